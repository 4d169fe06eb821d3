/* SPDX-License-Identifier: MIT
 *
 * ctx.c - contexts: the tree, the tasks under each, and cancelling them.
 *
 * The root context is NULL in records, keeps no list and cannot be cancelled.  Every other context has a lock, its children and its tasks. Locks are
 * taken from a context to those below it, never upwards.
 *
 * Cancelling passes over the subtree twice: first it marks every context and sets the cancel word of every task listed, then, after one asym_heavy(), it
 * claims the open waits of the tasks still listed.  A task that opens a wait after the first pass sees its word (law 3, core/wait.c); a task that
 * enters a context sees the mark under the context's lock.  The tasks claimed are made runnable when no lock is held.
 */
#include "core/runtime.h"

#include "base/clock.h"
#include <stdlib.h>

struct weft_ctx {
	struct lock lock;   /* RANK_CTX */
	ATOMIC(int) reason; /* enum weft_reason; written once, under lock */
	ATOMIC(uint32_t) refs;
	int64_t deadline;         /* the earlier of its own and its parent's; constant */
	weft_ctx *parent;         /* one reference; NULL: the root; constant */
	struct list_node sibling; /* in parent->children; under the parent's lock */
	struct list children;     /* under lock */
	struct list tasks;        /* records, by ctx_link; under lock */
};

static weft_ctx root = {.refs = 1, .deadline = WEFT_FOREVER};

static inline weft_ctx *of_task(struct weft_task *t)
{
	return t && t->wctx ? t->wctx : &root;
}

/* --- tree --- */

weft_ctx *weft_ctx_with_deadline(weft_ctx *parent, int64_t deadline)
{
	weft_ctx *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	if (!parent)
		parent = weft_ctx_self();
	c->deadline = deadline < parent->deadline ? deadline : parent->deadline;
	store_relaxed(&c->refs, 1u); /* not shared yet */
	if (parent == &root)
		return c;
	c->parent = weft_ctx_ref(parent);
	lock_take(&parent->lock, RANK_CTX);
	if (load_relaxed(&parent->reason))                          /* under lock */
		store_relaxed(&c->reason, (int)WEFT_REASON_PARENT); /* not shared yet */
	list_push_tail(&parent->children, &c->sibling);
	lock_drop(&parent->lock);
	return c;
}

weft_ctx *weft_ctx_make(weft_ctx *parent)
{
	return weft_ctx_with_deadline(parent, WEFT_FOREVER);
}

weft_ctx *weft_ctx_ref(weft_ctx *c)
{
	if (c != &root)
		add_relaxed(&c->refs, 1u); /* the caller's own reference keeps it */
	return c;
}

void weft_ctx_free(weft_ctx *c)
{
	while (c && c != &root && add_acq_rel(&c->refs, (uint32_t)-1) == 1) { /* acquire and release: the last one sees all */
		weft_ctx *parent = c->parent;

		if (parent) {
			lock_take(&parent->lock, RANK_CTX);
			list_remove(&c->sibling);
			lock_drop(&parent->lock);
		}
		free(c);
		c = parent;
	}
}

/* Visits c and all below it, each with its lock held (and those above it up to c). */
static void walk(weft_ctx *c, void (*visit)(weft_ctx *c, void *arg), void *arg)
{
	weft_ctx *at = c;

	lock_take(&at->lock, RANK_CTX);
	visit(at, arg);
	for (;;) {
		struct list_node *n = list_first(&at->children);

		while (!n && at != c) {
			weft_ctx *up = at->parent;

			n = list_after(&up->children, &at->sibling);
			lock_drop(&at->lock);
			at = up;
		}
		if (!n)
			break;
		at = container_of(n, weft_ctx, sibling);
		lock_take(&at->lock, RANK_CTX);
		visit(at, arg);
	}
	lock_drop(&c->lock);
}

/* --- cancel --- */

/* Replaces the context's part of a task's cancel word. */
static void set_cancel(struct weft_task *t, uint32_t reason)
{
	uint32_t was = load_relaxed(&t->cancel); /* checked by the compare-and-swap */

	while (!cas_acq_rel(&t->cancel, &was, (was & CANCEL_OWN) | reason)) /* made visible to the task by asym_heavy, or by the lock */
		;
}

struct marking {
	weft_ctx *top; /* where it started */
	int reason;    /* of top; those below get WEFT_REASON_PARENT */
	bool won;      /* top was not cancelled before */
};

static void mark(weft_ctx *c, void *arg)
{
	struct marking *m = arg;
	int reason = c == m->top ? m->reason : WEFT_REASON_PARENT;
	struct list_node *n;

	if (load_relaxed(&c->reason)) /* under lock: the first reason stays */
		return;
	if (c == m->top)
		m->won = true;
	store_release(&c->reason, reason); /* pairs with load_acquire in weft_ctx_reason */
	for (n = list_first(&c->tasks); n; n = list_after(&c->tasks, n))
		set_cancel(container_of(n, struct weft_task, ctx_link), (uint32_t)reason);
}

struct claims {
	struct inject_node *first, **last;
};

/* Claims the wait that t has open, if any, and notes it. */
static void claim(struct weft_task *t, struct claims *cl)
{
	uint64_t word = load_acquire(&t->wait); /* pairs with store_release in wait_open */

	if (wait_state(word) == WAIT_OPEN && wait_claim(&t->wait, word, WAIT_CANCELED)) {
		t->next.next = NULL;
		*cl->last = &t->next;
		cl->last = &t->next.next;
	}
}

static void claim_all(weft_ctx *c, void *arg)
{
	struct list_node *n;

	for (n = list_first(&c->tasks); n; n = list_after(&c->tasks, n))
		claim(container_of(n, struct weft_task, ctx_link), arg);
}

int weft_ctx_cancel(weft_ctx *c, int reason)
{
	struct claims cl = {.first = NULL};
	struct marking m = {.top = c};
	struct worker *w;

	if (!c || c == &root || (reason != WEFT_REASON_CANCELED && reason < WEFT_REASON_USER))
		return WEFT_EINVAL;
	w = weft__worker(); /* before anything is claimed: see base/solo.h */
	cl.last = &cl.first;
	m.reason = reason;
	walk(c, mark, &m);
	if (!m.won)
		return WEFT_EALREADY;
	asym_heavy(); /* pairs with asym_light in weft__wait_park */
	walk(c, claim_all, &cl);
	weft__ready_list(w, cl.first);
	return 0;
}

int weft_task_cancel(weft_task *t)
{
	struct worker *w = weft__worker(); /* before anything is claimed: see base/solo.h */
	struct claims cl = {.first = NULL};
	uint32_t was = load_relaxed(&t->cancel); /* checked by the compare-and-swap */

	if (load_acquire(&t->state) == WEFT_TASK_DONE) /* pairs with store_release in task_end */
		return WEFT_EALREADY;
	do {
		if (was & CANCEL_OWN)
			return WEFT_EALREADY;
	} while (!cas_acq_rel(&t->cancel, &was, was | CANCEL_OWN)); /* made visible to the task by asym_heavy */
	cl.last = &cl.first;
	asym_heavy(); /* pairs with asym_light in weft__wait_park */
	claim(t, &cl);
	weft__ready_list(w, cl.first);
	return 0;
}

/* --- tasks under contexts --- */

/* Lists t under c (not the root), of which it takes over one reference. */
static void attach(struct weft_task *t, weft_ctx *c)
{
	t->wctx = c;
	t->limit = c->deadline;
	lock_take(&c->lock, RANK_CTX);
	list_push_tail(&c->tasks, &t->ctx_link);
	set_cancel(t, (uint32_t)load_relaxed(&c->reason)); /* under lock */
	lock_drop(&c->lock);
}

/* Takes t from its context's list; the reference goes to the caller. */
static weft_ctx *detach(struct weft_task *t)
{
	weft_ctx *c = t->wctx;

	if (!c)
		return &root;
	lock_take(&c->lock, RANK_CTX);
	list_remove(&t->ctx_link);
	lock_drop(&c->lock);
	t->wctx = NULL;
	t->limit = WEFT_FOREVER;
	set_cancel(t, 0);
	return c;
}

void weft__ctx_task_start(struct weft_task *t, weft_ctx *c)
{
	if (c != &root)
		attach(t, weft_ctx_ref(c));
}

void weft__ctx_task_end(struct weft_task *t)
{
	weft_ctx_free(detach(t));
}

weft_ctx *weft_ctx_self(void)
{
	return of_task(weft_task_self());
}

weft_ctx *weft_ctx_enter(weft_ctx *c)
{
	struct weft_task *t = weft_task_self();
	weft_ctx *up;

	if (!t || !c)
		return NULL;
	up = detach(t);
	weft__ctx_task_start(t, c);
	return up;
}

void weft_ctx_leave(weft_ctx *up)
{
	struct weft_task *t = weft_task_self();

	if (!t || !up)
		return;
	weft_ctx_free(detach(t));
	if (up != &root)
		attach(t, up);
}

int64_t weft_ctx_deadline(weft_ctx *c)
{
	return (c ? c : weft_ctx_self())->deadline;
}

int weft_ctx_reason(weft_ctx *c)
{
	int reason;

	if (!c)
		c = weft_ctx_self();
	reason = load_acquire(&c->reason); /* pairs with store_release in weft_ctx_cancel */
	if (!reason && c->deadline != WEFT_FOREVER && clock_now() >= c->deadline)
		reason = WEFT_REASON_DEADLINE;
	return reason;
}

int weft_ctx_check(void)
{
	struct weft_task *t = weft_task_self();

	if (!t)
		return 0;
	if (load_relaxed(&t->cancel)) /* a look; blocking calls look again */
		return WEFT_ECANCELED;
	return t->limit != WEFT_FOREVER && clock_now() >= t->limit ? WEFT_ETIMEDOUT : 0;
}
