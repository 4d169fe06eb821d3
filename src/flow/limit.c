/* SPDX-License-Identifier: MIT
 *
 * limit.c - adaptive limits: a line (flow/line.h) whose limit is a window (weft/flow.h), moved by what calls take.
 *
 * The window is under the line's lock; a release changes it, the limit and the permits in one step, so that never more are in than the limit was when the last one came in.
 */
#include "weft/limit.h"

#include "base/check.h"
#include "base/clock.h"
#include "flow/line.h"
#include "weft/defer.h"
#include <stdlib.h>

struct weft_limit {
	struct line line;
	weft_window window; /* under the lock of line.gate */
	ATOMIC(uint32_t) refs;
};

int weft_limit_make(weft_limit **out, const weft_limit_opts *o)
{
	weft_window w;
	weft_limit *l;

	if (out)
		*out = NULL;
	if (!out || !o || weft_window_init(&w, &o->window) != 0 || !weft__line_valid(&o->line))
		return WEFT_EINVAL;
	l = calloc(1, sizeof *l);
	if (!l)
		return WEFT_ENOMEM;
	l->window = w;
	weft__line_init(&l->line, &o->line, weft_window_size(&w));
	store_relaxed(&l->refs, 1u); /* not shared yet */
	*out = l;
	return 0;
}

weft_limit *weft_limit_ref(weft_limit *l)
{
	add_relaxed(&l->refs, 1u); /* the caller's own reference keeps it */
	return l;
}

void weft_limit_free(weft_limit *l)
{
	if (!l || add_acq_rel(&l->refs, (uint32_t)-1) != 1) /* acquire and release: the last one sees all */
		return;
	weft__gate_check_unused(&l->line.gate, l, "weft_limit_free");
	free(l);
}

int weft_limit_acquire_until(weft_limit *l, weft_permit *p, int64_t deadline)
{
	int rc;

	if (unlikely(!l || !p))
		return WEFT_EINVAL;
	rc = line_enter(&l->line, deadline);
	if (likely(!rc))
		p->weft__began = clock_now();
	return rc;
}

int weft_limit_acquire(weft_limit *l, weft_permit *p)
{
	int rc = weft_limit_acquire_until(l, p, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_limit_tryacquire(weft_limit *l, weft_permit *p)
{
	return weft_limit_acquire_until(l, p, WEFT_NOW);
}

void weft_limit_release(weft_limit *l, weft_permit *p, enum weft_outcome how)
{
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */
	int64_t took = how == WEFT_OK ? clock_now() - p->weft__began : 0;
	int64_t in;

	gate_lock(&l->line.gate);
	in = line_in(&l->line);
	if (unlikely(in < 1))
		weft__fatal("weft_limit_release: nobody is in limit %p", (void *)l);
	if (how != WEFT_IGNORED)
		line_resize(&l->line, weft_window_sample(&l->window, took, (int)in, how == WEFT_FAILED));
	gate_give_unlock(&l->line.gate, wk, 1);
}

static enum weft_outcome outcome_of(int rc)
{
	if (rc >= 0)
		return WEFT_OK;
	return rc == WEFT_ETIMEDOUT || rc == WEFT_EOVERLOAD || rc == WEFT_ENOBUFS ? WEFT_FAILED : WEFT_IGNORED;
}

/* A call that is being made, in its frame. */
struct call {
	weft_limit *l;
	weft_permit p;
	enum weft_outcome how;
};

static void end_call(void *arg)
{
	struct call *c = arg;

	weft_limit_release(c->l, &c->p, c->how);
}

int weft_limit_call_until(weft_limit *l, weft_task_fn *fn, void *arg, int64_t deadline)
{
	struct call c = {.l = l, .how = WEFT_IGNORED};
	weft_defer d;
	int rc;

	if (!fn)
		return WEFT_EINVAL;
	rc = weft_limit_acquire_until(l, &c.p, deadline);
	if (rc)
		return rc;
	weft__defer_push(&d, end_call, &c);
	rc = fn(arg);
	c.how = outcome_of(rc);
	weft__defer_end(&d);
	return rc;
}

int weft_limit_call(weft_limit *l, weft_task_fn *fn, void *arg)
{
	return weft_limit_call_until(l, fn, arg, WEFT_FOREVER);
}

int weft_limit_size(weft_limit *l)
{
	int n;

	(void)weft__worker(); /* see base/solo.h */
	gate_lock(&l->line.gate);
	n = (int)l->line.limit;
	gate_unlock(&l->line.gate);
	return n;
}

int64_t weft_limit_latency(weft_limit *l)
{
	int64_t ns;

	(void)weft__worker(); /* see base/solo.h */
	gate_lock(&l->line.gate);
	ns = weft_window_latency(&l->window);
	gate_unlock(&l->line.gate);
	return ns;
}

void weft_limit_stat(weft_limit *l, weft_bulkhead_stats *out)
{
	weft__line_stat(&l->line, out);
}
