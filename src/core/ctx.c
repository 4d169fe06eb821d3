/* SPDX-License-Identifier: MIT
 *
 * ctx.c - contexts: the tree, the tasks under each, and cancelling them.
 *
 * The root context is NULL in records, and keeps no list; who cancels it, and how: ctx_root.c.  Every other context has a lock, its children and its tasks. Locks are
 * taken from a context to those below it, never upwards.
 *
 * Cancelling passes over the subtree twice: first it marks every context and sets the cancel word of every task listed, then, after one asym_heavy(), it
 * claims the open waits of the tasks still listed.  A task that opens a wait after the first pass sees its word (law 3, core/wait.c); a task that
 * enters a context sees the mark under the context's lock.  The tasks claimed are made runnable when no lock is held.
 *
 * A context with a second parent (weft_ctx_linked) is a child of the first, and listed with the second: those who cancel that one cancel it next, as the top of
 * a subtree of its own.  It is not held by that list: who finds it there takes a reference unless its last one is gone.
 */
#include "core/ctx.h"

#include "base/clock.h"
#include "base/ref.h"
#include "core/source.h"
#include <stdlib.h>
#include <string.h>

static inline weft_ctx *of_task(struct weft_task *t)
{
	return t && t->wctx ? t->wctx : weft__ctx_root();
}

/* --- tree --- */

/* A context with what all have. parent: whose values it sees; it takes a reference. */
static weft_ctx *ctx_new(weft_ctx *parent, int64_t deadline)
{
	weft_ctx *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->deadline = deadline;
	store_relaxed(&c->refs, 1u); /* not shared yet */
	c->off_root = parent->off_root;
	c->home = parent->home;
	store_relaxed(&c->run, load_relaxed(&parent->run)); /* not shared yet; constant, or the root of who asks */
	if (!ctx_is_root(parent))
		c->parent = weft_ctx_ref(parent);
	return c;
}

/* Lists c with its parent, and with its second one. Born cancelled if one of them is. */
static void ctx_list(weft_ctx *c, weft_ctx *with, struct list *list, struct list_node *link)
{
	(void)weft__worker(); /* see base/solo.h: who waits for a context is taken off under these locks elided */
	lock_take_solo(&with->lock, RANK_CTX);
	if (load_relaxed(&with->reason)) { /* under lock */
		lock_take_solo(&c->lock, RANK_CTX);
		if (!load_relaxed(&c->reason)) { /* the same */
			c->cause = with->cause;
			san_release(&c->reason);
			store_release(&c->reason, (int)WEFT_REASON_PARENT); /* as in mark */
		}
		lock_drop_solo(&c->lock);
	}
	list_push_tail(list, link);
	lock_drop_solo(&with->lock);
}

/* Does c end with the root that the runtime with this number has in this run? One that had the number before has left contexts, too. */
static inline bool ends_with(weft_ctx *c, unsigned home, uint32_t run)
{
	return c->home == home && load_relaxed(&c->run) == run; /* constant; of a root while its runtime is up */
}

/* A task is under c, or a context, that does not end with c's root: c is to be told of that. */
static NOINLINE void foreign_under(weft_ctx *c)
{
	if (!ctx_is_root(c) && weft__ctx_heard(c)) /* that was there first, and has not told c */
		(void)weft__ctx_cancel_as(c, WEFT_REASON_SHUTDOWN, NULL);
}

weft_ctx *weft_ctx_with_deadline(weft_ctx *parent, int64_t deadline)
{
	weft_ctx *c;

	if (!parent)
		parent = weft_ctx_self();
	c = ctx_new(parent, deadline < parent->deadline ? deadline : parent->deadline);
	if (c && c->parent)
		ctx_list(c, parent, &parent->children, &c->sibling);
	return c;
}

weft_ctx *weft_ctx_make(weft_ctx *parent)
{
	return weft_ctx_with_deadline(parent, WEFT_FOREVER);
}

weft_ctx *weft_ctx_linked(weft_ctx *a, weft_ctx *b)
{
	weft_ctx *c;
	bool one; /* of b nothing comes but the end of its root */

	if (!a)
		a = weft_ctx_self();
	if (!b)
		b = weft_ctx_self();
	one = a == b || (ctx_is_root(b) && b->home == a->home);
	c = ctx_new(a, a->deadline < b->deadline ? a->deadline : b->deadline);
	if (!c)
		return NULL;
	if (a->off_root && !b->off_root) {
		c->off_root = false;
		c->home = b->home;
		store_relaxed(&c->run, load_relaxed(&b->run)); /* as in ctx_new */
	}
	if (!one) {
		c->second = weft_ctx_ref(b);
		ctx_list(c, b, &b->linked, &c->second_link);
	}
	if (c->parent)
		ctx_list(c, a, &a->children, &c->sibling);
	if (!one && !ends_with(b, c->home, load_relaxed(&c->run))) /* as in ctx_new */
		foreign_under(b);
	return c;
}

weft_ctx *weft_ctx_without_cancel(weft_ctx *parent)
{
	weft_ctx *c = ctx_new(parent ? parent : weft_ctx_self(), WEFT_FOREVER);

	if (c)
		c->apart = c->off_root = true;
	return c;
}

weft_ctx *weft_ctx_with_value(weft_ctx *parent, const void *key, void *value, void (*dtor)(void *value))
{
	weft_ctx *c = key ? weft_ctx_make(parent) : NULL;

	if (c) {
		c->key = key;
		c->value = value;
		c->dtor = dtor;
	}
	return c;
}

void *weft_ctx_value(weft_ctx *c, const void *key)
{
	if (!c)
		c = weft_ctx_self();
	for (; c && key; c = c->parent) {
		if (c->key == key)
			return c->value;
	}
	return NULL;
}

weft_ctx *weft_ctx_ref(weft_ctx *c)
{
	if (!ctx_is_root(c))
		add_relaxed(&c->refs, 1u); /* the caller's own reference keeps it */
	return c;
}

static void unlist(weft_ctx *with, struct list_node *link)
{
	(void)weft__worker(); /* as in ctx_list */
	lock_take_solo(&with->lock, RANK_CTX);
	list_remove(link);
	lock_drop_solo(&with->lock);
}

void weft_ctx_free(weft_ctx *c)
{
	while (c && !ctx_is_root(c) && ref_drop(&c->refs)) {
		weft_ctx *parent = c->parent;

		weft__source_check_unused(&c->waiters, c, "weft_ctx_free");
		if (c->second) {
			unlist(c->second, &c->second_link);
			weft_ctx_free(c->second);
		}
		if (parent && !c->apart)
			unlist(parent, &c->sibling);
		weft__ctx_unheard(c);
		if (c->dtor)
			c->dtor(c->value);
		free(c->own_cause);
		free(c);
		c = parent;
	}
}

/* Visits c and all below it, each with its lock held (and those above it up to c). */
static void walk(weft_ctx *c, void (*visit)(weft_ctx *c, void *arg), void *arg)
{
	weft_ctx *at = c;

	lock_take_solo(&at->lock, RANK_CTX);
	visit(at, arg);
	for (;;) {
		struct list_node *n = list_first(&at->children);

		while (!n && at != c) {
			weft_ctx *up = at->parent;

			n = list_after(&up->children, &at->sibling);
			lock_drop_solo(&at->lock);
			at = up;
		}
		if (!n)
			break;
		at = container_of(n, weft_ctx, sibling);
		lock_take_solo(&at->lock, RANK_CTX);
		visit(at, arg);
	}
	lock_drop_solo(&c->lock);
}

/* --- cancel --- */

/* Replaces the context's part of a task's cancel word. Under the lock of its context, or when it is in none. */
static void set_cancel(struct weft_task *t, uint32_t bits)
{
	uint32_t was = load_relaxed(
		&t->cancel); /* checked by the compare-and-swap; the context's part of it changes under the context's lock only */

	if ((was & ~(CANCEL_OWN | CANCEL_SHIELD | CANCEL_ROOT)) == bits)
		return;
	san_release(&t->cancel);
	while (!cas_acq_rel(&t->cancel, &was,
			    (was & (CANCEL_OWN | CANCEL_SHIELD | CANCEL_ROOT)) |
				    bits)) /* made visible to the task by asym_heavy, or by the lock */
		;
}

/* That part, for a task under c. Locked. */
static uint32_t cancel_bits(weft_ctx *c)
{
	return (load_relaxed(&c->reason) != 0) | (c->off_root ? CANCEL_APART : 0); /* under lock */
}

/* What a cancel has to do when no lock is held. */
struct claims {
	struct inject_node *first, **last; /* tasks to be made runnable */
	struct weft_ctx_hook *hooks;       /* callbacks to be started */
	weft_ctx *next;                    /* contexts to be cancelled next: linked with one that was; with a reference each */
};

static void claims_init(struct claims *cl)
{
	cl->first = NULL;
	cl->last = &cl->first;
	cl->hooks = NULL;
	cl->next = NULL;
}

static void note(struct weft_task *t, struct claims *cl)
{
	t->next.next = NULL;
	*cl->last = &t->next;
	cl->last = &t->next.next;
}

/* Claims the wait that t has open, if any, and notes it. */
static void claim(struct weft_task *t, struct claims *cl)
{
	uint64_t word = load_acquire(&t->wait); /* pairs with store_release in wait_open: a shield that it was opened under is seen */

	if (wait_state(word) == WAIT_OPEN && cancel_counts(load_relaxed(&t->cancel)) && wait_claim(&t->wait, word, WAIT_CANCELED))
		note(t, cl);
}

bool weft__ctx_ref_unless_last(weft_ctx *c)
{
	uint32_t n = load_relaxed(&c->refs); /* checked by the compare-and-swap */

	while (n) {
		if (cas_relaxed(&c->refs, &n,
				n + 1)) /* as weft_ctx_ref: the lock of the list it is in, or of what its dtor uses, keeps its memory */
			return true;
	}
	return false;
}

struct marking {
	weft_ctx *top; /* where it started */
	int reason;    /* of top; those below get WEFT_REASON_PARENT */
	char *own;     /* the cause, which top is to own; NULL: `cause`, somebody else's */
	const char *cause;
	bool won; /* top was not cancelled before */
	struct claims *claims;
};

/* c has just been marked, once for all: takes those who wait for it, and those linked with it. Locked. */
static void tell(weft_ctx *c, struct claims *cl)
{
	struct list_node *n;

	while ((n = list_pop_head(&c->waiters)) != NULL) {
		struct waiter *w = container_of(n, struct waiter, link);

		if (waiter_claim(w, 0, false))
			note(w->task, cl);
	}
	weft__ctx_hooks_take(c, &cl->hooks);
	for (n = list_first(&c->linked); n; n = list_after(&c->linked, n)) {
		weft_ctx *l = container_of(n, weft_ctx, second_link);

		if (weft__ctx_ref_unless_last(l)) {
			l->next_linked = cl->next;
			cl->next = l;
		}
	}
}

static void mark(weft_ctx *c, void *arg)
{
	struct marking *m = arg;
	int reason = c == m->top ? m->reason : ctx_root_ended(c) ? WEFT_REASON_SHUTDOWN : WEFT_REASON_PARENT;
	struct list_node *n;

	if (load_relaxed(&c->reason)) /* under lock: the first reason stays */
		return;
	if (c == m->top) {
		m->won = true;
		c->own_cause = m->own;
	}
	c->cause = m->own ? m->own : m->cause; /* those below keep top */
	san_release(&c->reason);
	store_release(&c->reason, reason); /* pairs with load_acquire in weft_ctx_reason */
	for (n = list_first(&c->tasks); n; n = list_after(&c->tasks, n))
		set_cancel(container_of(n, struct weft_task, ctx_link), cancel_bits(c));
	tell(c, m->claims);
}

static void claim_all(weft_ctx *c, void *arg)
{
	struct list_node *n;

	for (n = list_first(&c->tasks); n; n = list_after(&c->tasks, n))
		claim(container_of(n, struct weft_task, ctx_link), arg);
}

/* Cancels m->top and all below it; notes what is to be done afterwards. */
static bool cancel_tree(struct marking *m, struct claims *cl)
{
	m->won = false;
	m->claims = cl;
	walk(m->top, mark, m);
	if (!m->won)
		return false;
	asym_heavy(); /* pairs with asym_light in weft__wait_park */
	walk(m->top, claim_all, cl);
	return true;
}

int weft__ctx_cancel_as(weft_ctx *c, int reason, const char *cause)
{
	struct marking m = {.top = c, .reason = reason, .own = cause ? strdup(cause) : NULL};
	struct worker *w = weft__worker(); /* before anything is claimed: see base/solo.h */
	struct claims cl;
	int rc = 0;

	if (ctx_root_ended(c) && reason != WEFT_REASON_SHUTDOWN) { /* the root was first */
		m.reason = WEFT_REASON_SHUTDOWN;
		free(m.own);
		m.own = NULL;
		rc = WEFT_EALREADY;
	}
	claims_init(&cl);
	if (!cancel_tree(&m, &cl)) {
		free(m.own);
		return WEFT_EALREADY;
	}
	while (cl.next) {
		weft_ctx *l = cl.next;
		struct marking ml = {.top = l, .reason = ctx_root_ended(l) ? WEFT_REASON_SHUTDOWN : WEFT_REASON_PARENT};

		cl.next = l->next_linked;
		ml.cause = l->second->cause;
		cancel_tree(&ml, &cl);
		weft_ctx_free(l);
	}
	weft__ready_list(w, cl.first);
	weft__ctx_hooks_start(cl.hooks);
	return rc;
}

int weft_ctx_cancel_cause(weft_ctx *c, int reason, const char *cause)
{
	if (!reason)
		reason = WEFT_REASON_CANCELED;
	if (!c || ctx_is_root(c) || (reason != WEFT_REASON_CANCELED && reason < WEFT_REASON_USER))
		return WEFT_EINVAL;
	return weft__ctx_cancel_as(c, reason, cause);
}

int weft_ctx_cancel(weft_ctx *c, int reason)
{
	return weft_ctx_cancel_cause(c, reason, NULL);
}

void weft__ctx_claim(struct weft_task *t, struct ready_list *r)
{
	struct claims cl;

	claims_init(&cl);
	claim(t, &cl);
	if (cl.first)
		ready_list_add(r, t);
}

int weft_task_cancel(weft_task *t)
{
	struct worker *w = weft__worker(); /* before anything is claimed: see base/solo.h */
	struct claims cl;
	uint32_t was;

	if (!t)
		return WEFT_EINVAL;
	was = load_relaxed(&t->cancel);                /* checked by the compare-and-swap */
	if (load_acquire(&t->state) == WEFT_TASK_DONE) /* pairs with store_release in task_done */
		return WEFT_EALREADY;
	san_release(&t->cancel);
	do {
		if (was & CANCEL_OWN)
			return WEFT_EALREADY;
	} while (!cas_acq_rel(&t->cancel, &was, was | CANCEL_OWN)); /* made visible to the task by asym_heavy */
	claims_init(&cl);
	asym_heavy(); /* pairs with asym_light in weft__wait_park */
	claim(t, &cl);
	weft__ready_list(w, cl.first);
	return 0;
}

/* --- tasks under contexts --- */

/* Lists t under c (not the root), of which it takes over one reference. If c is another runtime's, a task of t's runtime has been under it before: foreign_under. */
static void attach(struct weft_task *t, weft_ctx *c)
{
	t->wctx = c;
	t->limit = c->deadline;
	lock_take_solo(&c->lock, RANK_CTX);
	list_push_tail(&c->tasks, &t->ctx_link);
	set_cancel(t, cancel_bits(c));
	lock_drop_solo(&c->lock);
}

/* Takes t from its context's list; the reference goes to the caller. */
static weft_ctx *detach(struct weft_task *t)
{
	weft_ctx *c = t->wctx;

	if (!c)
		return weft__ctx_root();
	lock_take_solo(&c->lock, RANK_CTX);
	list_remove(&t->ctx_link);
	lock_drop_solo(&c->lock);
	t->wctx = NULL;
	t->limit = WEFT_FOREVER;
	set_cancel(t, 0);
	return c;
}

void weft__ctx_task_start(struct weft_task *t, weft_ctx *c)
{
	unsigned home = load_relaxed(&t->home); /* own, or not shared yet */

	if (ctx_is_root(c))
		return;
	attach(t, weft_ctx_ref(c));
	if (unlikely(!ends_with(c, home, load_relaxed(&weft__roots[home].run)))) /* constant while t is there */
		foreign_under(c);
}

void weft__ctx_task_inherit(struct weft_task *t, weft_ctx *c)
{
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

void weft__ctx_back(struct weft_task *t, weft_ctx *up)
{
	weft_ctx_free(detach(t));
	if (up && !ctx_is_root(up))
		attach(t, up);
}

void weft_ctx_leave(weft_ctx *up)
{
	struct weft_task *t = weft_task_self();

	if (t && up)
		weft__ctx_back(t, up);
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
	reason = load_acquire(&c->reason); /* pairs with store_release in mark */
	if (reason)
		san_acquire(&c->reason);
	else if (ctx_root_ended(c))
		reason = WEFT_REASON_SHUTDOWN;
	else if (c->deadline != WEFT_FOREVER && clock_now() >= c->deadline)
		reason = WEFT_REASON_DEADLINE;
	return reason;
}

const char *weft_ctx_cause(weft_ctx *c)
{
	int reason;

	if (!c)
		c = weft_ctx_self();
	reason = weft_ctx_reason(c);
	if (load_acquire(&c->reason) && c->cause) /* as in weft_ctx_reason: else it is written just now */
		return c->cause;
	switch (reason) {
	case WEFT_NOT_CANCELED:
		return "";
	case WEFT_REASON_DEADLINE:
		return "the deadline has passed";
	case WEFT_REASON_SIBLING:
		return "another task of the group has failed";
	case WEFT_REASON_SHUTDOWN:
		return "the runtime goes down";
	default:
		return "cancelled";
	}
}

int weft_ctx_check(void)
{
	struct weft_task *t = weft_task_self();

	if (!t)
		return 0;
	if (cancel_counts(load_relaxed(&t->cancel))) /* a look; blocking calls look again */
		return weft__wait_canceled(t);
	return t->limit != WEFT_FOREVER && clock_now() >= t->limit ? WEFT_ETIMEDOUT : 0;
}
