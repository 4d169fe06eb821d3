/* SPDX-License-Identifier: MIT
 *
 * future.c - futures and promises: made, ended, waited for, given back. sync/future.h says how they hang together.
 *
 * One lock guards everything until the future is done; then nothing changes any more, and nobody locks it: whoever finds it done reads.
 *
 * Model: test/model/future.cpp.
 */
#include "sync/future.h"

#include "base/check.h"
#include "core/runtime.h"
#include "core/source.h"
#include <stdlib.h>
#include <string.h>

struct thens {
	struct then *first, **last;
};

static inline uint32_t futures(uint64_t refs)
{
	return (uint32_t)refs;
}

static inline uint32_t promises(uint64_t refs)
{
	return (uint32_t)(refs >> 32);
}

static inline struct weft_future *of_promise(weft_promise *p)
{
	return (struct weft_future *)p;
}

/* --- memory --- */

struct weft_future *weft__future_new(size_t elem, size_t more, uint64_t refs)
{
	struct weft_future *f;

	if (elem > UINT16_MAX)
		return NULL;
	f = (struct weft_future *)calloc(1, sizeof *f + ROUND_UP(elem, 16) + more);
	if (!f)
		return NULL;
	f->elem = (uint16_t)elem;
	store_relaxed(&f->refs, refs); /* not shared yet */
	return f;
}

/* One reference less, of a side that has another, or whose future is done. */
static void drop(struct weft_future *f, uint64_t one)
{
	san_release(&f->refs);
	if (add_acq_rel(&f->refs, 0 - one) != one) /* acquire and release: the last one sees all */
		return;
	san_acquire(&f->refs);
	if (f->then)
		weft_ctx_free(f->then->ctx);
	if (f->ops && f->ops->gone)
		f->ops->gone(f);
	free(f);
}

/* --- its end --- */

/* f is done, and locked. */
static void claim_waiters(struct weft_future *f, struct ready_list *ready)
{
	struct list_node *n;

	while ((n = list_pop_head(&f->waiters)) != NULL) {
		struct waiter *w = container_of(n, struct waiter, link);
		struct gathering *g = (struct gathering *)w->slot;

		if ((!g || gathering_counts(g, f)) && waiter_claim(w, 0, false))
			ready_list_add(ready, w->task);
	}
}

/* The same. Each gets a reference to f. */
static void take_thens(struct weft_future *f, struct thens *more)
{
	struct list_node *n;

	while ((n = list_pop_head(&f->thens)) != NULL) {
		struct then *t = container_of(n, struct then, link);

		add_relaxed(&f->refs, 1u); /* the caller's own reference keeps it */
		t->next = NULL;
		*more->last = t;
		more->last = &t->next;
	}
}

/* Returns whether it was the first. Then what is made of it is added to *more, and the caller has to see to what it is made of (upstream). */
static bool end_one(struct weft_future *f, uint32_t how, int status, const void *value, struct thens *more)
{
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	struct weft_task *task = NULL;
	struct ready_list ready;

	ready_list_init(&ready);
	lock_take_solo(&f->lock, RANK_SOURCE);
	if (load_relaxed(&f->done)) { /* under lock */
		lock_drop_solo(&f->lock);
		return false;
	}
	if (value && f->elem) /* a value of no size has no address */
		memcpy(f->value, value, f->elem);
	f->status = status;
	san_release(&f->done);
	store_release(&f->done, how); /* pairs with load_acquire in future_done */
	claim_waiters(f, &ready);
	take_thens(f, more);
	if (how == FUTURE_CANCELED && f->task) {
		task = f->task;
		add_relaxed(&task->refs, 1u); /* f has one while it stands here */
	}
	lock_drop_solo(&f->lock);
	weft__ready_list(w, ready.first);
	if (task) {
		weft_task_cancel(task);
		weft__task_unref(weft__worker(), task);
	}
	if (how == FUTURE_CANCELED && f->ops)
		f->ops->cancel(f);
	return true;
}

/* f has ended, by the caller. Takes it out of the list of what it is made of; returns that, with a reference to be given back; NULL: it is made of none. */
static struct weft_future *upstream(struct weft_future *f)
{
	struct then *t = f->then;
	struct weft_future *of;
	bool listed;

	if (!t)
		return NULL;
	of = t->of;
	lock_take_solo(&of->lock, RANK_SOURCE);
	listed = list_linked(&t->link);
	if (listed)
		list_remove(&t->link);
	lock_drop_solo(&of->lock);
	if (listed)
		drop(f, FUTURE_PROMISE); /* the place's; the caller has a reference */
	return of;
}

/* Starts the task of t; or it needs none, or cannot have one. */
static void follow_one(struct then *t, struct thens *more)
{
	struct weft_future *it = t->it, *of = t->of;
	int rc = of->status;

	if (!it) {
		weft__futures_ended(t);
		weft__future_release(of);
		return;
	}
	if (!future_done(it) && (rc == 0 || t->then)) {
		rc = weft__future_start(t);
		if (rc == 0)
			return;
	}
	if (end_one(it, FUTURE_DONE, rc, NULL, more))
		weft__future_release(upstream(it));
	drop(it, FUTURE_PROMISE);
	weft__future_release(of);
}

static void follow_all(struct thens *more)
{
	while (more->first) {
		struct then *t = more->first;

		more->first = t->next;
		if (!more->first)
			more->last = &more->first;
		follow_one(t, more);
	}
}

void weft__future_follow(struct then *t)
{
	struct thens more = {t, &t->next};

	t->next = NULL;
	follow_all(&more);
}

int weft__future_end(struct weft_future *f, uint32_t how, int status, const void *value)
{
	struct thens more = {NULL, &more.first};

	if (!end_one(f, how, status, value, &more))
		return WEFT_EALREADY;
	weft__future_release(upstream(f));
	follow_all(&more);
	return 0;
}

/* Whoever waits for f, as this side does, would use what is being freed. */
static void check_unused(struct weft_future *f, const void *side, const char *call)
{
	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&f->lock, RANK_SOURCE);
	weft__source_check_unused(&f->waiters, side, call);
	lock_drop_solo(&f->lock);
}

void weft__future_release(struct weft_future *f)
{
	while (f) {
		uint64_t was = load_relaxed(&f->refs); /* checked by the compare-and-swap; and if it is one, it is the caller's */
		struct weft_future *up = NULL;

		san_release(&f->refs); /* as in ref_drop */
		while (futures(was) > 1) {
			if (cas_acq_rel(&f->refs, &was, was - 1)) /* as in drop */
				return;
		}
		if (!future_done(f)) {
			struct thens none = {NULL, &none.first};

			check_unused(f, f, "weft_future_free");
			if (end_one(f, FUTURE_CANCELED, WEFT_ECANCELED, NULL,
				    &none)) /* what is made of it would have a reference: there is none */
				up = upstream(f);
		}
		drop(f, 1);
		f = up;
	}
}

void weft__promise_release(struct weft_future *f)
{
	uint64_t was = load_relaxed(&f->refs); /* as above */

	san_release(&f->refs); /* the same */
	while (promises(was) > 1) {
		if (cas_acq_rel(&f->refs, &was, was - FUTURE_PROMISE)) /* as in drop */
			return;
	}
	if (!future_done(f)) {
		check_unused(f, &f->refs, "weft_promise_free");
		(void)weft__future_end(f, FUTURE_DONE, WEFT_EBROKEN, NULL);
	}
	drop(f, FUTURE_PROMISE);
}

/* --- the source --- */

/* side: the future, or &refs. */
static int look(struct weft_future *f, void *side, struct waiter *w)
{
	bool done;

	if (!f)
		return 0; /* never */
	done = future_done(f) != FUTURE_PENDING;
	if (done || !w)
		return done;
	lock_take_solo(&f->lock, RANK_SOURCE);
	done = load_relaxed(&f->done) != FUTURE_PENDING; /* under lock */
	if (!done)
		source_list(w, &f->waiters, &f->lock, RANK_SOURCE, side);
	lock_drop_solo(&f->lock);
	return done;
}

static int future_look(struct weft_case *c, struct self *me, struct waiter *w)
{
	(void)me;
	return look((struct weft_future *)c->on, c->on, w);
}

static bool future_finish(struct weft_case *c, struct waiter *w, bool fired)
{
	(void)w;
	if (fired)
		c->status = weft_future_poll((struct weft_future *)c->on, c->elem);
	return fired;
}

const struct weft_source weft_source_future = {.look = future_look, .finish = future_finish};

static int promise_look(struct weft_case *c, struct self *me, struct waiter *w)
{
	struct weft_future *f = (struct weft_future *)c->on;

	(void)me;
	return look(f, f ? &f->refs : NULL, w);
}

static bool promise_finish(struct weft_case *c, struct waiter *w, bool fired)
{
	(void)w;
	if (fired)
		c->status = weft_promise_canceled((weft_promise *)c->on) ? WEFT_ECANCELED : WEFT_EALREADY;
	return fired;
}

const struct weft_source weft_source_promise = {.look = promise_look, .finish = promise_finish};

/* --- public --- */

int weft_promise_make(size_t elem, weft_promise **p, weft_future **f)
{
	if (p)
		*p = NULL;
	if (f)
		*f = NULL;
	if (!p || !f || elem > UINT16_MAX)
		return WEFT_EINVAL;
	*f = weft__future_new(elem, 0, FUTURE_PROMISE + 1);
	*p = (weft_promise *)*f;
	return *f ? 0 : WEFT_ENOMEM;
}

weft_promise *weft_promise_ref(weft_promise *p)
{
	add_relaxed(&of_promise(p)->refs, FUTURE_PROMISE); /* the caller's own reference keeps it */
	return p;
}

void weft_promise_free(weft_promise *p)
{
	if (p)
		weft__promise_release(of_promise(p));
}

int weft_promise_resolve(weft_promise *p, const void *value)
{
	return p ? weft__future_end(of_promise(p), FUTURE_DONE, 0, value) : WEFT_EINVAL;
}

int weft_promise_reject(weft_promise *p, int err)
{
	return p && err < 0 ? weft__future_end(of_promise(p), FUTURE_DONE, err, NULL) : WEFT_EINVAL;
}

bool weft_promise_canceled(weft_promise *p)
{
	return future_done(of_promise(p)) == FUTURE_CANCELED;
}

weft_future *weft_future_ref(weft_future *f)
{
	add_relaxed(&f->refs, 1u); /* the caller's own reference keeps it */
	return f;
}

void weft_future_free(weft_future *f)
{
	weft__future_release(f);
}

bool weft_future_done(weft_future *f)
{
	return future_done(f) != FUTURE_PENDING;
}

int weft_future_poll(weft_future *f, void *out)
{
	if (!f)
		return WEFT_EINVAL;
	if (!future_done(f))
		return WEFT_EAGAIN;
	if (f->status == 0 && out && f->elem)
		memcpy(out, f->value, f->elem);
	return f->status;
}

int weft_future_cancel(weft_future *f)
{
	return f ? weft__future_end(f, FUTURE_CANCELED, WEFT_ECANCELED, NULL) : WEFT_EINVAL;
}

int weft_future_await_until(weft_future *f, void *out, int64_t deadline)
{
	weft_case c = WEFT_FUTURE(f, out);

	return f ? weft__source_wait(&c, REASON_FUTURE, deadline) : WEFT_EINVAL;
}

int weft_future_await(weft_future *f, void *out)
{
	return weft_future_await_until(f, out, WEFT_FOREVER);
}

static weft_future *ended(int status, const void *value, size_t elem)
{
	struct weft_future *f = weft__future_new(elem, 0, 1);

	if (!f)
		return NULL;
	if (value && elem)
		memcpy(f->value, value, elem);
	f->status = status;
	store_relaxed(&f->done, FUTURE_DONE); /* not shared yet */
	return f;
}

weft_future *weft_future_ready(const void *value, size_t elem)
{
	return ended(0, value, elem);
}

weft_future *weft_future_failed(int err)
{
	return err < 0 ? ended(err, NULL, 0) : NULL;
}
