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

/* As not_done; but of a task that will never run again nothing is to be waited for. */
static bool must_wait(void *arg)
{
	struct weft_task *t = arg;

	return not_done(t) && !rt_deserted(load_relaxed(&t->home)); /* constant */
}

int weft_task_join_until(weft_task *t, int *ret, int64_t deadline)
{
	int rc = t ? may_join(t, weft_task_self(), "weft_task_join") : WEFT_EINVAL;

	if (!rc)
		rc = weft__lot_wait(&t->result, must_wait, t, REASON_JOIN, deadline);
	if (rc)
		return rc;
	return unlikely(not_done(t)) ? WEFT_ECANCELED : joined(t, ret);
}

/* A join, or a select (all of whose that are listed in the lot are for WEFT_EXIT), from outside rt, of a task of rt's? */
static bool joins_deserted(const struct waiter *w, void *arg)
{
	struct runtime *rt = arg;
	uint8_t reason = load_relaxed(&w->task->reason); /* of the wait, as long as w is listed */

	if ((reason != REASON_JOIN && reason != REASON_SELECT && reason != REASON_SELECT_IO) || wait_state(w->word) != WAIT_OPEN)
		return false;
	return task_outside(w->task, rt) && task_of(container_of(w->source, struct weft_task, result), rt);
}

void weft__joins_desert(struct runtime *rt)
{
	weft__lot_wake_those(joins_deserted, rt, WEFT_ECANCELED);
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
		return rc ? rc : !must_wait(t);
	}
	b = lot_bucket(&t->result);
	lock_take_solo(&b->lock, RANK_LOT);
	lot_mark(b);
	done = !must_wait(t);
	if (!done)
		source_list(w, &b->waiters, &b->lock, RANK_LOT, &t->result);
	lock_drop_solo(&b->lock);
	return done;
}

static bool exit_finish(struct weft_case *c, struct waiter *w, bool fired)
{
	(void)w; /* whoever called the task off has said so in its record, too */
	if (fired)
		c->status = unlikely(not_done(c->task)) ? WEFT_ECANCELED : joined(c->task, c->ret); /* not done: it never will be */
	return fired;
}

const struct weft_source weft_source_exit = {.look = exit_look, .finish = exit_finish};

void weft_task_detach(weft_task *t)
{
	if (!t)
		return;
	check_handle(t, "weft_task_detach");
	if (unlikely(!task_is(t, TASK_JOINABLE)))
		weft__fatal("weft_task_detach: task %llu has no handle", (unsigned long long)t->id);
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
