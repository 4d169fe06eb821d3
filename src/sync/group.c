/* SPDX-License-Identifier: MIT
 *
 * group.c - groups of tasks that end together: policies, contexts, and how a child begins and ends. Who is counted when is group.h's.
 *
 * A child is a task that runs under the group's context and begins in child_call (or a body of par.c's), which has a place in the group from before its start.
 * What it has deferred before all else gives the place up if it ends by weft_task_exit or a panic.  A child's failure is noted, and its task-local values are
 * destroyed, before it gives up its place, so who has joined sees that.
 *
 * A child still ends after it has given up its place: it leaves the group's context, of which it has a reference, and touches nothing of the group's.
 */
#include "sync/group.h"

#include "base/check.h"
#include "core/local.h"
#include "core/runtime.h"
#include "sync/child.h"
#include <stdlib.h>
#include <string.h>

#define KEEP_DEFAULT 64

#define FAIL_ONE ((uint64_t)1 << 32)

static inline ATOMIC(uint64_t) *fails_of(weft_group *g)
{
	return (ATOMIC(uint64_t) *)&g->weft__fails;
}

static inline int32_t first_in(uint64_t fails)
{
	return (int32_t)(uint32_t)fails;
}

static inline ATOMIC(int) *code_of(weft_group_err *e)
{
	return (ATOMIC(int) *)&e->code;
}

/* --- begin and end --- */

static int set_up(weft_group *g, const weft_group_opts *o)
{
	if ((unsigned)o->policy > WEFT_IGNORE || o->max < 0 || o->keep < 0 || o->keep > UINT16_MAX || o->timeout < 0)
		return WEFT_EINVAL;
	if (!weft__worker() && !weft__foreign())
		return WEFT_ENOMEM; /* it could not wait when it closes the group */
	g->weft__policy = (uint16_t)o->policy;
	g->weft__max = o->max && (unsigned)o->max < GROUP_MOST ? (uint32_t)o->max : GROUP_MOST;
	g->weft__name = o->name;
	if (o->policy == WEFT_COLLECT) {
		g->weft__keep = (uint16_t)(o->keep ? o->keep : KEEP_DEFAULT);
		g->weft__errors = calloc(g->weft__keep, sizeof *g->weft__errors);
		if (!g->weft__errors)
			return WEFT_ENOMEM;
	}
	g->weft__ctx = o->timeout ? weft_ctx_with_deadline(o->ctx, weft_in(o->timeout)) : weft_ctx_make(o->ctx);
	return g->weft__ctx ? 0 : WEFT_ENOMEM;
}

static void tear_down(weft_group *g)
{
	weft_ctx_free(g->weft__ctx);
	free(g->weft__errors);
	g->weft__ctx = NULL;
	g->weft__errors = NULL;
}

static const weft_group_opts no_opts;

int weft_group_init(weft_group *g, const weft_group_opts *o)
{
	if (!g)
		return WEFT_EINVAL;
	memset(g, 0, sizeof *g);
	g->weft__init = set_up(g, o ? o : &no_opts);
	if (g->weft__init)
		tear_down(g);
	else
		store_relaxed(group_state(g), GROUP_OPEN); /* not shared yet */
	return g->weft__init;
}

/* 0, or what weft_group_init returned. A group that is not open is no group. */
static inline int opened(weft_group *g, const char *call)
{
	if (likely(load_relaxed(group_state(g)) & GROUP_OPEN)) /* a hint: who uses a group that is being closed has lost it already */
		return 0;
	if (!g->weft__init)
		weft__fatal("%s: the group %p was closed, or never made by weft_group_init", call, (void *)g);
	return g->weft__init;
}

/* What a group's end, or its waiter, has to say. */
static int result(weft_group *g)
{
	if (g->weft__init)
		return g->weft__init;
	return g->weft__policy == WEFT_IGNORE ? 0 : first_in(load_relaxed(fails_of(g))); /* ordered by the join */
}

int weft_group_wait_until(weft_group *g, int64_t deadline)
{
	int rc;

	if (!g)
		return WEFT_EINVAL;
	if (g->weft__init)
		return g->weft__init;
	rc = group_join(g, deadline);
	san_acquire(g);
	return rc ? rc : result(g);
}

int weft_group_wait(weft_group *g)
{
	return weft_group_wait_until(g, WEFT_FOREVER);
}

int weft_group_close(weft_group *g)
{
	if (!g)
		return WEFT_EINVAL;
	(void)weft__worker();                             /* see base/solo.h */
	if (!(load_relaxed(group_state(g)) & GROUP_OPEN)) /* the closer's own store, or that of weft_group_init */
		return result(g);
	if (group_shut(g))
		weft__fatal("weft_group_close: there is no memory for this thread to wait for the group %p", (void *)g);
	san_acquire(g);
	tear_down(g);
	return result(g);
}

/* --- blocks --- */

/* The task that has opened the block ends inside it. */
static void abandoned(void *arg)
{
	weft_group *g = arg;

	(void)weft_ctx_cancel(g->weft__ctx, WEFT_REASON_CANCELED);
	(void)weft_group_close(g);
}

weft_group *weft__group_begin(weft_group *g, weft_group_opts o)
{
	(void)weft_group_init(g, &o); /* whatever is done with it says so */
	weft__defer_push(&g->weft__defer, abandoned, g);
	return g;
}

void weft__group_end(weft_group *g)
{
	weft__defer_drop(&g->weft__defer);
	(void)weft_group_close(g);
}

int weft__group_finish(weft_group *g, int rc)
{
	if (!rc && !g->weft__init)
		rc = group_join(g, WEFT_FOREVER);
	if (rc && !g->weft__init) {
		weft__group_fail(g, 0, rc);
		(void)weft_ctx_cancel(g->weft__ctx, WEFT_REASON_CANCELED);
	}
	weft__group_end(g);
	return result(g) ? result(g) : rc;
}

/* --- cancel, errors, counts --- */

int weft_group_cancel(weft_group *g, int reason)
{
	int rc = g ? opened(g, "weft_group_cancel") : WEFT_EINVAL;

	return rc ? rc : weft_ctx_cancel(g->weft__ctx, reason);
}

weft_ctx *weft_group_ctx(weft_group *g)
{
	return g ? g->weft__ctx : NULL;
}

NOINLINE void weft__group_fail(weft_group *g, uint64_t task, int code)
{
	uint64_t was = load_relaxed(fails_of(g)); /* ordered by the join */
	uint32_t n;

	while (!cas_relaxed(fails_of(g), &was,
			    (was + FAIL_ONE) | (first_in(was) ? 0 : (uint32_t)code))) /* who is counted first is the first */
		;
	n = (uint32_t)(was / FAIL_ONE);
	if (n < g->weft__keep) {
		g->weft__errors[n].task = task;
		store_release(code_of(&g->weft__errors[n]), code); /* pairs with load_acquire in weft_group_errors */
	}
	if (!first_in(was) && g->weft__policy == WEFT_FAIL_FAST)
		(void)weft__ctx_cancel_as(g->weft__ctx, WEFT_REASON_SIBLING, NULL);
}

int weft_group_errors(weft_group *g, weft_group_err *out, int n)
{
	uint32_t failed;
	int i = 0;

	if (!g || !g->weft__errors)
		return 0;
	failed = (uint32_t)(load_relaxed(fails_of(g)) / FAIL_ONE); /* those that fail meanwhile are not waited for */
	for (; i < n && (uint32_t)i < failed && i < g->weft__keep; i++) {
		int code = load_acquire(code_of(&g->weft__errors[i])); /* pairs with store_release in weft__group_fail */

		if (!code)
			break; /* somebody is writing it: who has joined does not come here */
		out[i].task = g->weft__errors[i].task;
		out[i].code = code;
	}
	return i;
}

void weft_group_counts(weft_group *g, weft_group_stat *out)
{
	uint32_t failed = (uint32_t)(load_relaxed(fails_of(g)) / FAIL_ONE); /* before the others: a child fails, then ends */
	uint64_t state = load_acquire(group_state(g));                      /* pairs with those who leave */

	out->running = group_running(state);
	out->done = (uint32_t)(state / GROUP_STARTED) - out->running;
	out->failed = failed;
}

/* --- children --- */

/* Why a group starts nobody any more. */
static inline int over(weft_group *g)
{
	int reason = weft_ctx_reason(g->weft__ctx);

	return likely(!reason) ? 0 : reason == WEFT_REASON_DEADLINE ? WEFT_ETIMEDOUT : WEFT_ECANCELED;
}

int weft__group_spawn(weft_group *g, const struct child_start *s, int64_t deadline, const struct weft_site *site)
{
	struct self me;
	int rc = g && s->words[1] ? opened(g, "weft_group_go") : WEFT_EINVAL;

	if (!rc)
		rc = self_enter(&me, &deadline);
	if (!rc)
		rc = over(g);
	if (!rc)
		rc = group_take(g, deadline);
	if (unlikely(rc < 0))
		return rc;
	if (rc == GROUP_HANDED)
		rc = over(g);
	if (!rc)
		rc = weft__go_words(s->body, s->words, g->weft__ctx, g->weft__name, site);
	if (unlikely(rc)) {
		add_relaxed(group_state(g), -GROUP_STARTED); /* a count: it never was */
		group_leave(g, weft__worker());
	}
	return rc;
}

/* The calling task gives up its place. */
static void child_done(weft_group *g, int code)
{
	struct worker *w = weft__worker(); /* before anything elided: see base/solo.h */

	if (unlikely(code < 0))
		weft__group_fail(g, weft_task_id(NULL), code);
	san_release(g);
	group_leave(g, w);
}

/* It ends by weft_task_exit or a panic. Of all that it has deferred this comes last. */
static void left_early(void *arg)
{
	struct child *c = arg;
	struct weft_task *t = weft_task_self();
	bool panicked = weft__panic_report(t);

	weft__defer_push(&c->defer, left_early, c); /* once more: what is destroyed next may end the task, too */
	weft__child_end(c, panicked ? WEFT_EPANIC : c->whole && t->result >= 0 ? WEFT_ECANCELED : t->result);
	if (panicked)
		weft__task_leave(WEFT_EPANIC); /* which is asked for: the group does */
}

void weft__child_begin(struct child *c, weft_group *g)
{
	c->g = g;
	c->whole = false;
	weft__defer_push(&c->defer, left_early, c);
}

void weft__child_end(struct child *c, int code)
{
	c->defer.weft__task->result = code; /* for those of them who ask */
	locals_end(c->defer.weft__task);    /* destructors are the child's doing, and who has joined need not mind them */
	weft__defer_drop(&c->defer);
	child_done(c->g, code);
}

static void child_call(weft_group *g, weft_task_fn *fn, void *arg)
{
	struct child c;

	weft__child_begin(&c, g);
	weft__child_end(&c, fn(arg));
}

/* A child was not started. For want of something: it counts as one that failed. Because the group was over: that is its result, if it has no other. */
static void lost(weft_group *g, int rc)
{
	uint64_t was = load_relaxed(fails_of(g)); /* as in weft__group_fail */

	if (rc == WEFT_ENOMEM || rc == WEFT_EAGAIN || rc == WEFT_ESRCH)
		weft__group_fail(g, 0, rc);
	else if (rc != WEFT_EINVAL && weft_ctx_reason(g->weft__ctx) != WEFT_NOT_CANCELED)
		while (!first_in(was) && !cas_relaxed(fails_of(g), &was, was | (uint32_t)rc))
			;
}

int weft__group_go_at(weft_group *g, weft_task_fn *fn, void *arg, int64_t deadline, const struct weft_site *site)
{
	const struct child_start s = {(void (*)(void))child_call, {(uintptr_t)g, (uintptr_t)fn, (uintptr_t)arg}};

	int rc = weft__group_spawn(g, &s, deadline, site);

	if (unlikely(rc < 0) && deadline == WEFT_FOREVER && g && !g->weft__init)
		lost(g, rc);
	return rc;
}

int(weft_group_go)(weft_group *g, weft_task_fn *fn, void *arg)
{
	return weft__group_go_at(g, fn, arg, WEFT_FOREVER, NULL);
}

int(weft_group_go_until)(weft_group *g, weft_task_fn *fn, void *arg, int64_t deadline)
{
	return weft__group_go_at(g, fn, arg, deadline, NULL);
}

int(weft_group_trygo)(weft_group *g, weft_task_fn *fn, void *arg)
{
	return weft__group_go_at(g, fn, arg, WEFT_NOW, NULL);
}
