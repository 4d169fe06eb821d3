/* SPDX-License-Identifier: MIT
 *
 * blocking.c - users' blocking calls: a function on a thread of the lane for users, and a section, for which the task itself moves there.
 *
 * A section.  The task parks, but opens no wait: nobody may claim it.  Its job is queued; a thread of the lane takes it, waits until the worker has left the task's
 * stack, and switches to it.  There weft__worker() says "none", so all that is called is called by a foreign thread.  At the end the task switches back to the
 * thread, which says that the stack is free and that the job has run; a worker then takes the task as any that became runnable.
 *
 *	task      worker's: submit, park ----switch---- thread's: ...section... ----switch---- worker's: goes on
 *	on_cpu    1                       0           1                              0           1
 *
 * Rejected: to leave the task on its thread and give the worker's seat to another.  The worker's own stack stands on that thread, and would have to be left in the
 * middle; moving the task needs nothing that parking does not.
 */
#include "core/lane.h"
#include "core/sched.h"
#include "weft/blocking.h"
#include <errno.h>

/* --- a function --- */

struct call {
	struct job job;
	weft_task_fn *fn;
	void *arg;
	int ret;
};

static void call_run(struct job *j)
{
	struct call *c = container_of(j, struct call, job);

	c->ret = c->fn(c->arg);
}

int weft_blocking_until(weft_task_fn *fn, void *arg, int *ret, int64_t deadline)
{
	struct call c = {.job.run = call_run, .fn = fn, .arg = arg};
	int rc = fn ? weft__offload(LANE_USER, &c.job, REASON_BLOCKING, deadline) : WEFT_EINVAL;

	if (rc == 0 && ret)
		*ret = c.ret;
	return rc;
}

int weft_blocking(weft_task_fn *fn, void *arg, int *ret)
{
	return weft_blocking_until(fn, arg, ret, WEFT_FOREVER);
}

/* --- a section --- */

struct section {
	struct job job;       /* job.task: who is in it; NULL: nobody moved */
	struct context home;  /* where the thread's own stack stopped */
	struct san_fiber san; /* of the thread */
	int *errno_at;        /* the thread's */
};

_Static_assert(sizeof(struct section) <= sizeof(struct weft__section), "a section fits its public form");

/* On a thread of the lane. */
static void section_run(struct job *j)
{
	struct section *s = container_of(j, struct section, job);
	struct weft_task *t = j->task;
	struct altstack alt = {.mem = NULL};
	bool covered = j->lane->rt->signals && weft__altstack_enter(&alt) == 0;

	while (oncpu_busy(&t->on_cpu))
		sched_yield(); /* its worker is about to leave it: a few instructions */
	oncpu_set(&t->on_cpu);
	san_acquire(t);
	s->errno_at = &errno;
	if (unlikely(weft__san))
		weft__san_thread_init(&s->san);
	switch_context(&s->home, &s->san, &t->ctx, &t->stack->san, NULL, 0);
	san_release(t);
	oncpu_clear(&t->on_cpu);
	if (covered)
		weft__altstack_leave(&alt);
}

/* Leaves the worker; returns on the thread. */
NOINLINE static void move_there(struct worker *w, struct weft_task *t, struct section *s)
{
	struct weft_task *next = sched_fit(w, sched_pick(w)); /* never t, which is in no queue */

	sched_switch(w, t, next, 0);
	*s->errno_at = t->saved_errno;
}

/* Leaves the thread; returns on a worker. */
NOINLINE static void move_back(struct weft_task *t, struct section *s)
{
	struct san_fiber *from = unlikely(weft__san) ? &t->stack->san : NULL;
	struct worker *w;

#ifdef WEFT_DEBUG
	weft__locks_none(); /* law 8 */
#endif
	t->saved_errno = *s->errno_at;
	w = switch_context(&t->ctx, from, &s->home, &s->san, NULL, 0);
	sched_arrive(w);
}

void weft__section_begin(struct weft__section *at)
{
	struct section *s = (struct section *)at;
	struct worker *w = weft__worker();
	struct weft_task *t = w ? load_relaxed(&w->cur) : NULL; /* own */

	*s = (struct section){.job.run = section_run, .job.task = t};
	if (!t || task_is(t, TASK_PINNED)) {
		s->job.task = NULL;
		return;
	}
	t->nwaiters = 0; /* those of its last wait are gone: runtime.c, call_off */
	t->parked_at = w->coarse_now;
	store_relaxed(&t->reason, (uint8_t)REASON_BLOCKING); /* for readers */
	task_set_state(t, WEFT_TASK_PARKED);
	if (weft__offload_submit(LANE_USER, &s->job, w)) {
		task_set_state(t, WEFT_TASK_RUNNING);
		s->job.task = NULL;
		return;
	}
	move_there(w, t, s);
	/* For dumps: the frames of its caller stay where they are until the section ends. */
	t->ctx = (struct context){
		.sp = __builtin_dwarf_cfa(), .pc = __builtin_return_address(0), .fp = *(void **)__builtin_frame_address(0)};
}

void weft__section_end(struct weft__section *at)
{
	struct section *s = (struct section *)at;

	if (s->job.task)
		move_back(s->job.task, s);
}
