/* SPDX-License-Identifier: MIT
 *
 * future_then.c - futures whose value a task gives: go_future, map, then.
 *
 * The task writes the value where it belongs, and holds the promise. It is named in the future while fn runs, so that whoever cancels the future cancels it;
 * if it is too late for that when it begins, fn is not called.
 *
 * Rejected, for map and then: a task that waits from the start; it costs a stack while nothing happens. fn on the stack of whoever ends the first future: that
 * one would wait for all that fn does, and might hold what fn wants.
 */
#include "sync/future.h"

#include "core/runtime.h"
#include "weft/defer.h"
#include "weft/task.h"

/* Behind the value of a future that weft_go_future has made. */
struct work {
	weft_future_fn *fn;
	void *arg;
};

/* Names the calling task in f. False: f has ended. */
static bool begin(struct weft_future *f)
{
	struct weft_task *self = weft_task_self();
	bool pending;

	lock_take_solo(&f->lock, RANK_SOURCE);
	pending = !load_relaxed(&f->done); /* under lock */
	if (pending) {
		f->task = self;
		add_relaxed(&self->refs, 1u); /* f's: a runtime that goes down may leave the task where it stands */
	}
	lock_drop_solo(&f->lock);
	return pending;
}

/* Calls fn, and ends f with what it returns; a panic of it is the future's, not the process's. */
static void give(struct weft_future *f, weft_task_fn *fn, void *arg)
{
	int rc = weft_task_try(fn, arg, NULL);

	(void)weft__future_end(f, FUTURE_DONE, rc > 0 ? WEFT_EINVAL : rc, NULL);
}

/* However the task leaves: a future that it has not ended is broken now. */
static void leave(void *arg)
{
	struct weft_future *f = (struct weft_future *)arg, *of = f->then ? f->then->of : NULL;
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	struct weft_task *task;

	lock_take_solo(&f->lock, RANK_SOURCE);
	task = f->task;
	f->task = NULL;
	lock_drop_solo(&f->lock);
	if (task)
		weft__task_unref(w, task); /* not the last one: it is the caller */
	weft__promise_release(f);
	weft__future_release(of);
}

static int work(void *arg)
{
	struct weft_future *f = (struct weft_future *)arg;
	struct work *k = (struct work *)future_behind(f);

	return k->fn(k->arg, f->value);
}

static int work_task(void *arg)
{
	struct weft_future *f = (struct weft_future *)arg;

	WEFT_DEFER(leave, f);
	if (begin(f))
		give(f, work, f);
	return 0;
}

weft_future *weft__go_future_at(weft_future_fn *fn, void *arg, size_t elem, const struct weft_site *site)
{
	struct weft_future *f = fn ? weft__future_new(elem, sizeof(struct work), FUTURE_PROMISE + 1) : NULL;
	struct work *k;

	if (!f)
		return NULL;
	k = (struct work *)future_behind(f);
	k->fn = fn;
	k->arg = arg;
	if (weft__go_opts_at(NULL, work_task, f, NULL, site) == 0)
		return f;
	weft__promise_release(f); /* it is broken, and nobody has seen it */
	weft__future_release(f);
	return NULL;
}

weft_future *(weft_go_future)(weft_future_fn *fn, void *arg, size_t elem)
{
	return weft__go_future_at(fn, arg, elem, NULL);
}

static int then(void *arg)
{
	struct then *t = (struct then *)arg;
	struct weft_future *of = t->of;

	if (t->map)
		return t->map(of->value, t->it->value, t->arg);
	return t->then(of->status, of->status == 0 ? of->value : NULL, t->it->value, t->arg);
}

static int then_task(void *arg)
{
	struct then *t = (struct then *)arg;

	WEFT_DEFER(leave, t->it);
	if (begin(t->it))
		give(t->it, then, t);
	return 0;
}

/* Whoever has ended what it waits for, the task is one of the runtime in which it was asked for. */
int weft__future_start(struct then *t)
{
	weft_task_opts o = {.ctx = t->ctx};

	return weft__go_in_run(t->run, then_task, t, &o, t->site);
}

static weft_future *derive(weft_future *f, weft_future_map_fn *map, weft_future_then_fn *then_fn, void *arg, size_t elem,
			   const struct weft_site *site)
{
	struct weft_future *it = f && (map || then_fn) ? weft__future_new(elem, sizeof(struct then), FUTURE_PROMISE + 1) : NULL;
	struct then *t;
	bool done;

	if (!it)
		return NULL;
	t = (struct then *)future_behind(it);
	t->of = weft_future_ref(f);
	t->it = it;
	t->map = map;
	t->then = then_fn;
	t->arg = arg;
	t->site = site;
	t->ctx = weft_ctx_ref(weft_ctx_self());
	t->run = weft__run_self();
	it->then = t;
	lock_take_solo(&f->lock, RANK_SOURCE);
	done = load_relaxed(&f->done) != FUTURE_PENDING; /* under lock */
	if (!done)
		list_push_tail(&f->thens, &t->link);
	lock_drop_solo(&f->lock);
	if (done) {
		weft_future_ref(f);
		weft__future_follow(t);
	}
	return it;
}

weft_future *weft__future_map_at(weft_future *f, weft_future_map_fn *fn, void *arg, size_t elem, const struct weft_site *site)
{
	return derive(f, fn, NULL, arg, elem, site);
}

weft_future *weft__future_then_at(weft_future *f, weft_future_then_fn *fn, void *arg, size_t elem, const struct weft_site *site)
{
	return derive(f, NULL, fn, arg, elem, site);
}

weft_future *(weft_future_map)(weft_future *f, weft_future_map_fn *fn, void *arg, size_t elem)
{
	return derive(f, fn, NULL, arg, elem, NULL);
}

weft_future *(weft_future_then)(weft_future *f, weft_future_then_fn *fn, void *arg, size_t elem)
{
	return derive(f, NULL, fn, arg, elem, NULL);
}
