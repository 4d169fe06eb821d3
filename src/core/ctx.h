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
	bool apart;               /* not cancelled with its parent, of which it has the values only; constant */
	int64_t deadline;         /* the earliest of its own and its parents'; constant */
	const char *cause;        /* valid once there is a reason: own_cause, or that of one above; NULL: none was given */
	char *own_cause;          /* heap */
	weft_ctx *parent;         /* one reference; NULL: the root; constant */
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
	/* value */
	const void *key; /* NULL: none; constant, as the rest */
	void *value;
	void (*dtor)(void *value);
};

/* --- ctx_done.c --- */
void weft__ctx_hooks_take(weft_ctx *c, struct weft_ctx_hook **chain); /* locked: those that shall run move to the chain */
void weft__ctx_hooks_start(struct weft_ctx_hook *chain);              /* starts them; nothing is locked */

#endif
