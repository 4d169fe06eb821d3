/* SPDX-License-Identifier: MIT
 *
 * task_handle.c - what is done with a task's handle: join, WEFT_EXIT in a select, detach; and what a task asks of itself.
 *
 * A handle is a reference to the record. Joiners wait upon the address of its result (core/lot.h), until its state is DONE; the end of a task wakes them (task.c).
 */
#include "core/runtime.h"

#include "base/check.h"
#include "base/sanitizer.h"
#include "core/lot.h"
#include "core/source.h"

weft_task *weft_task_self(void)
{
	struct worker *w = weft__worker();

	return w ? load_relaxed(&w->cur) : NULL; /* own */
}

static bool not_done(void *arg)
{
	struct weft_task *t = arg;

	return load_acquire(&t->state) != WEFT_TASK_DONE; /* pairs with store_release in task_done */
}

/* As long as the record is nobody's again, a handle that was given back is noticed. */
static void check_handle(struct weft_task *t, const char *call)
{
	if (unlikely(load_relaxed(&t->state) == TASK_FREE)) /* a hint */
		weft__fatal("%s: the handle %p was given back before (joined or detached)", call, (void *)t);
}

/* Whether the calling task, self, may wait for t's end: 0, or why not. */
static inline int may_join(struct weft_task *t, struct weft_task *self, const char *call)
{
	if (t == self)
		return WEFT_EDEADLK;
	if (!task_is(t, TASK_JOINABLE))
		return WEFT_EINVAL;
	check_handle(t, call);
	return 0;
}

/* t is DONE: gives its handle back. */
static inline int joined(struct weft_task *t, int *ret)
{
	san_acquire(t);
	if (unlikely(load_relaxed(&t->reason) == REASON_ABANDONED)) /* written before DONE, which the caller has acquired */
		return WEFT_ECANCELED;                              /* as to those who waited already when the runtime went down */
	if (unlikely(load_relaxed(&t->reason) == REASON_PANICKED))  /* the same */
		store_relaxed(&t->reason, (uint8_t)REASON_NONE);    /* somebody has asked; before the reference is given back */
	if (ret)
		*ret = t->result;
	weft__task_unref(weft__worker(), t);
	return 0;
}

int weft_task_join_until(weft_task *t, int *ret, int64_t deadline)
{
	int rc = t ? may_join(t, weft_task_self(), "weft_task_join") : WEFT_EINVAL;

	if (!rc)
		rc = weft__lot_wait(&t->result, not_done, t, REASON_JOIN, deadline);
	return rc ? rc : joined(t, ret);
}

int weft_task_join(weft_task *t, int *ret)
{
	return weft_task_join_until(t, ret, WEFT_FOREVER);
}

/* WEFT_EXIT. */
static int exit_look(struct weft_case *c, struct self *me, struct waiter *w)
{
	struct weft_task *t = c->task;
	struct lot_bucket *b;
	bool done;
	int rc;

	if (!t)
		return 0; /* never, and nobody need be told */
	if (!w) {
		rc = may_join(t, me->task, "WEFT_EXIT");
		return rc ? rc : !not_done(t);
	}
	b = lot_bucket(&t->result);
	lock_take_solo(&b->lock, RANK_LOT);
	done = !not_done(t);
	if (!done)
		source_list(w, &b->waiters, &b->lock, RANK_LOT, &t->result);
	lock_drop_solo(&b->lock);
	return done;
}

static bool exit_finish(struct weft_case *c, struct waiter *w, bool fired)
{
	(void)w; /* whoever called the task off has said so in its record, too */
	if (fired)
		c->status = joined(c->task, c->ret);
	return fired;
}

const struct weft_source weft_source_exit = {.look = exit_look, .finish = exit_finish};

void weft_task_detach(weft_task *t)
{
	if (!t)
		return;
	check_handle(t, "weft_task_detach");
	weft__task_unref(weft__worker(), t);
}

uint64_t weft_task_id(weft_task *t)
{
	if (!t)
		t = weft_task_self();
	return t ? t->id : 0;
}

enum weft_task_state weft_task_stateof(weft_task *t)
{
	return (enum weft_task_state)load_acquire(&t->state); /* pairs with store_release in task_done: a DONE task's effects are seen */
}

void weft_task_yield(void)
{
	struct worker *w = weft__worker();
	struct weft_task *t = w ? load_relaxed(&w->cur) : NULL; /* own */

	if (likely(t != NULL))
		weft__sched_yield(w, t);
}

size_t weft_task_stack_left(void)
{
	struct weft_task *t = weft_task_self();
	char *here = __builtin_frame_address(0);

	return t && here > t->stack->lo ? (size_t)(here - t->stack->lo) : 0; /* not: it is lent some */
}
