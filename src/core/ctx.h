/* SPDX-License-Identifier: MIT
 *
 * ctx.h - what a context is, for the files that make it up: ctx.c (the tree), ctx_done.c (who is told of its end), ctx_scope.c (blocks).
 */
#ifndef WEFT_CORE_CTX_H
#define WEFT_CORE_CTX_H

#include "core/runtime.h"
#include "weft/ctx.h"

struct weft_ctx {
	struct lock lock;   /* RANK_CTX */
	ATOMIC(int) reason; /* enum weft_reason; written once, under lock */
	ATOMIC(uint32_t) refs;
	ATOMIC(uint32_t) run; /* of that runtime; constant, but for roots: who has the number, or had it last. 0: weft_run's, any */
	bool apart;           /* not cancelled with its parent, of which it has the values only; constant */
	bool off_root;        /* nor with the root: it or one above is apart; constant */
	uint8_t home;      /* number of the runtime in which it was made, or the one above all of it: with whose root it ends; constant */
	int64_t deadline;  /* the earliest of its own and its parents'; constant */
	const char *cause; /* valid once there is a reason: own_cause, or that of one above; NULL: none was given */
	char *own_cause;   /* heap */
	weft_ctx *parent;  /* one reference; NULL: the root; constant */
	struct list_node sibling; /* in parent->children; under the parent's lock */
	struct list children;     /* under lock */
	struct list tasks;        /* records, by ctx_link; under lock */
	struct list waiters;      /* who waits for its end; under lock */
	struct list hooks;        /* callbacks; under lock */
	/* of two parents */
	weft_ctx *second;             /* one reference; NULL: none; constant */
	struct list_node second_link; /* in second->linked; under that one's lock */
	struct list linked;           /* contexts this is the second parent of; under lock */
	weft_ctx *next_linked;        /* in the chain of whoever has marked `second`; that one's */
	ATOMIC(bool) heard; /* it is in the list of those whose end is told to others than tasks that end with the root; ctx_root.c */
	struct list_node heard_link; /* in that list; under its lock */
	/* value */
	const void *key; /* NULL: none; constant, as the rest */
	void *value;
	void (*dtor)(void *value);
};

/* --- ctx_root.c --- */
#define ROOT_GONE RUNTIMES_MAX                        /* of threads that use a runtime which has gone */
extern HIDDEN weft_ctx weft__roots[RUNTIMES_MAX + 1]; /* by number */

static inline bool ctx_is_root(const weft_ctx *c)
{
	return c == &weft__roots[c->home];
}

/* Somebody is about to wait for c's end, or to have a callback: from here on the end of the root is told to c. Returns whether that has come already. c: not the root, not locked. */
bool weft__ctx_heard(weft_ctx *c);
void weft__ctx_unheard(weft_ctx *c); /* c is about to be freed */

/* c is cancelled because the root is, though nobody has told it; or another runtime has that root now. */
static inline bool ctx_root_ended(weft_ctx *c)
{
	weft_ctx *root = &weft__roots[c->home];

	if (unlikely(load_acquire(&root->reason) != 0)) /* pairs with store_release in weft__ctx_root_cancel, and in weft__ctx_root_new */
		return !c->off_root;
	return unlikely(load_relaxed(&root->run) != load_relaxed(&c->run)) && !c->off_root; /* acquired above */
}

/* --- ctx.c --- */
void weft__ctx_claim(struct weft_task *t,
		     struct ready_list *r); /* ends the wait that t has open, if its cancel word says so; after asym_heavy */

/* --- ctx_done.c --- */
void weft__ctx_hooks_take(weft_ctx *c, struct weft_ctx_hook **chain); /* locked: those that shall run move to the chain */
void weft__ctx_hooks_start(struct weft_ctx_hook *chain);              /* starts them; nothing is locked */

#endif
