/* SPDX-License-Identifier: MIT
 *
 * sched.c - makes tasks runnable, picks the next one, and switches to it.
 *
 * One door out: a task leaves its worker in sched_switch(), called by park, yield, run-now and exit, and by nothing else.  The context that arrives next
 * settles the one that left (settle): clears its on_cpu, or recycles it when it has ended.  Settling is all that is done after a switch.
 *
 * Order of work on a worker: the LIFO slot (a task just woken, whose data is in this core's cache), then the ring.  Every TICK_SLOW schedules,
 * or when the monitor says so, the slow pick looks first at due timers, the injection queue and the inbox; the loop is polled on the worker's own
 * stack.  After SLOT_RUN_MAX runs out of the slot in a row the next wake goes to the tail, so that a pair waking each other starves nobody.
 *
 * Every scheduling choice is one function: next task (weft__sched_pick), victim (worker.c: steal), whom to wake (core/idle.h).
 */
#include "core/runtime.h"

#include "arch/switch.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/futex.h"

/* --- publishing work --- */

void weft__sched_notify(struct runtime *rt, unsigned id)
{
	struct worker *w = &rt->workers[id];

	if (parker_notify(&w->parker))
		weft__loop_kick(w->loop);
}

NOINLINE static void wake_picked(struct runtime *rt, int id)
{
	weft__monitor_poke(rt);
	weft__sched_notify(rt, (unsigned)id);
}

/* After work was put where any worker finds it. */
static inline void wake_one(struct runtime *rt)
{
	int id = idle_wake(&rt->idle);

	if (unlikely(id >= 0))
		wake_picked(rt, id);
}

void weft__sched_wake(struct runtime *rt)
{
	wake_one(rt);
}

void weft__sched_inject(struct runtime *rt, struct weft_task *t)
{
	injectq_push(&rt->inject, &t->next);
	wake_one(rt);
}

/* A claimed task goes back to its runtime from a thread that is no worker of it. */
NOINLINE static void ready_from_outside(struct weft_task *t)
{
	if (!weft__rt_enter())
		return; /* the runtime went down, and took its tasks with it */
	task_set_state(t, WEFT_TASK_RUNNABLE);
	weft__sched_inject(weft__rt, t);
	weft__rt_leave();
}

/* The ring is full: its older half goes to the injection queue, where all find it. */
NOINLINE static void overflow(struct worker *w, struct weft_task *t)
{
	void *half[RUNQ_CAP / 2];
	uint32_t n;

	while (!wsq_push(&w->runq, t)) {
		n = wsq_take_half(&w->runq, half);
		if (n) {
			for (uint32_t i = 0; i + 1 < n; i++)
				((struct weft_task *)half[i])->next.next = &((struct weft_task *)half[i + 1])->next;
			injectq_push_chain(&w->rt->inject, &((struct weft_task *)half[0])->next,
					   &((struct weft_task *)half[n - 1])->next, n);
		}
	}
}

static inline void push_tail(struct worker *w, struct weft_task *t)
{
	if (unlikely(!wsq_push(&w->runq, t)))
		overflow(w, t);
}

void weft__sched_push(struct worker *w, struct weft_task *t)
{
	push_tail(w, t);
	wake_one(w->rt);
}

static inline void push_slot(struct worker *w, struct weft_task *t)
{
	if (w->slot_runs >= SLOT_RUN_MAX) {
		push_tail(w, t);
		return;
	}
	if (load_relaxed(&w->slot) == NULL) { /* only the owner fills it, so it stays empty */
		store_release(&w->slot, t);   /* pairs with the thief's swap in worker.c */
		return;
	}
	t = swap_acq_rel(&w->slot, t); /* a thief may be taking the old one */
	if (t)
		push_tail(w, t);
}

NOINLINE static void ready_foreign(struct weft_task *t)
{
	san_release(t);
	store_release(&t->futex, 0u); /* pairs with load_acquire(futex) in weft__foreign_sleep */
	weft__futex_wake(&t->futex, 1); /* the thread may be gone already: then the word, never unmapped, has no sleeper */
}

void weft__ready(struct worker *w, struct weft_task *t)
{
	san_release(t);
	if (unlikely(t->flags & TASK_FOREIGN)) {
		ready_foreign(t);
		return;
	}
	if (likely(w != NULL)) {
		task_set_state(t, WEFT_TASK_RUNNABLE);
		push_slot(w, t);
		wake_one(w->rt);
	} else {
		ready_from_outside(t);
	}
}

void weft__ready_list(struct worker *w, struct inject_node *n)
{
	while (n) {
		struct weft_task *t = task_of_next(n);

		n = n->next;
		if (w && !(t->flags & TASK_FOREIGN)) { /* many at once: in the order they were claimed */
			san_release(t);
			task_set_state(t, WEFT_TASK_RUNNABLE);
			weft__sched_push(w, t);
		} else {
			weft__ready(w, t);
		}
	}
}

/* --- picking --- */

static inline struct weft_task *take_slot(struct worker *w)
{
	struct weft_task *t = load_relaxed(&w->slot); /* our own store, or a thief's NULL */

	if (t)
		t = swap_acquire(&w->slot, NULL); /* a thief may have been faster */
	return t;
}

NOINLINE static struct weft_task *pick_slow(struct worker *w)
{
	struct runtime *rt = w->rt;
	struct weft_task *t;

	store_relaxed(&w->countdown, TICK_SLOW); /* a nudge of the monitor that comes just now is repeated */
	if (load_acquire(&rt->stopping))         /* pairs with store_release in weft__runtime_stop */
		return NULL;
	w->coarse_now = clock_now();
	weft__sched_timers(w, &w->wheel, w->coarse_now);
	if (injectq_len(&rt->stackless)) {
		t = task_of_next(injectq_pop(&rt->stackless));
		if (t)
			push_tail(w, t);
	}
	t = task_of_next(injectq_pop(&w->inbox));
	if (!t)
		t = task_of_next(injectq_pop(&rt->inject));
	if (t)
		w->slot_runs = 0;
	return t;
}

static inline struct weft_task *pick(struct worker *w)
{
	struct weft_task *t;
	int32_t left = load_relaxed(&w->countdown) - 1; /* owner, or the monitor's 0 */

	store_relaxed(&w->countdown, left);
	if (unlikely(left <= 0)) {
		t = pick_slow(w);
		if (t || load_relaxed(&w->rt->stopping))
			return t;
	}
	t = take_slot(w);
	if (t) {
		w->slot_runs++;
		return t;
	}
	w->slot_runs = 0;
	return (struct weft_task *)wsq_pop(&w->runq);
}

struct weft_task *weft__sched_pick(struct worker *w)
{
	return pick(w);
}

/* --- switching --- */

static inline void settle(struct worker *w)
{
	struct weft_task *p = w->prev;

	if (!p)
		return;
	w->prev = NULL;
	if (unlikely(load_relaxed(&p->state) == WEFT_TASK_DONE)) /* only the task itself ever stores DONE */
		weft__task_settle_done(w, p);
	else
		oncpu_clear(&p->on_cpu);
}

/* Accounts for t getting the worker. */
static inline void enter(struct worker *w, struct weft_task *t)
{
	store_relaxed(&w->tick, load_relaxed(&w->tick) + 1); /* own word */
	oncpu_set(&t->on_cpu);
	task_set_state(t, WEFT_TASK_RUNNING);
	store_relaxed(&w->cur, t); /* own word; the monitor and dumps look at it */
}

/* Leaves t for `next` (bound, and nobody stands on it), or for the worker's own stack when it is NULL. Returns when t has been taken again. */
static ALWAYS_INLINE void leave(struct worker *w, struct weft_task *t, struct weft_task *next, int for_good)
{
	DCHECK(load_relaxed(&w->cur) == t);
	DCHECK(w->prev == NULL);
#ifdef WEFT_DEBUG
	CHECK_EQ(weft__locks_held(), 0); /* law 8 */
#endif
	t->saved_errno = *w->errno_at;
	w->prev = t;
	if (likely(next != NULL)) {
		enter(w, next);
		w = (struct worker *)switch_context(&t->ctx, &t->stack->san, &next->ctx, &next->stack->san, w, for_good);
	} else {
		store_relaxed(&w->cur, NULL); /* as in enter */
		w = (struct worker *)switch_context(&t->ctx, &t->stack->san, &w->ctx, &w->san, w, for_good);
	}
	settle(w);
	*w->errno_at = t->saved_errno;
	san_acquire(t);
}

/* Makes what was picked fit to be switched to from a task's stack. NULL: go by the worker's own stack; if w->taken is set, for that task. */
static inline struct weft_task *fit(struct worker *w, struct weft_task *next)
{
	while (next && unlikely(next->ctx.sp == NULL) && !weft__task_bind(w, next))
		next = pick(w);
	if (next && unlikely(oncpu_busy(&next->on_cpu))) { /* law 5: never wait while standing on a task */
		w->taken = next;
		return NULL;
	}
	return next;
}

NOINLINE void weft__sched_park(struct worker *w, struct weft_task *t)
{
	struct weft_task *next;

	task_set_state(t, WEFT_TASK_PARKED);
	next = pick(w);
	if (unlikely(next == t)) { /* woken before it left: it never does */
		enter(w, t);
		return;
	}
	leave(w, t, fit(w, next), 0);
}

NOINLINE void weft__sched_yield(struct worker *w, struct weft_task *t)
{
	struct weft_task *next;

	task_set_state(t, WEFT_TASK_RUNNABLE);
	push_tail(w, t);
	wake_one(w->rt);
	next = pick(w);
	if (next == t) {
		enter(w, t);
		return;
	}
	leave(w, t, fit(w, next), 0);
}

NOINLINE void weft__sched_run_now(struct worker *w, struct weft_task *t, struct weft_task *fresh)
{
	task_set_state(t, WEFT_TASK_RUNNABLE);
	push_tail(w, t);
	wake_one(w->rt);
	leave(w, t, fresh, 0);
}

NOINLINE void weft__sched_exit(struct worker *w, struct weft_task *t)
{
	leave(w, t, fit(w, pick(w)), 1);
	__builtin_unreachable();
}

NOINLINE void weft__sched_resume(struct worker *w, struct weft_task *t)
{
	enter(w, t);
	switch_context(&w->ctx, &w->san, &t->ctx, &t->stack->san, w, 0);
	settle(w);
}

void weft__sched_arrived(struct worker *w)
{
	settle(w);
}

/* --- timers --- */

struct due {
	struct inject_node *first, **last; /* tasks claimed, in order */
	struct list fired;                 /* user timers */
	int n;
};

/* Called under the wheel's lock. */
static int64_t on_due(struct timer_node *n, int64_t now, void *arg)
{
	struct due *d = arg;
	struct weft_task *t;
	uint64_t word;
	int64_t deadline;

	if (n->kind == TIMER_USER)
		return weft__usertimer_due(n, now, &d->fired);
	t = container_of(n, struct weft_task, timer);
	word = load_acquire(&t->wait); /* pairs with store_release in wait_open: the deadline below is this wait's, or the claim fails */
	if (!wait_is_open(word))
		return WHEEL_NEVER;
	deadline = load_relaxed(&t->deadline);
	if (deadline > now)
		return deadline; /* moved, or none (WHEEL_NEVER) */
	if (wait_claim(&t->wait, word, WAIT_TIMEDOUT)) {
		t->next.next = NULL;
		*d->last = &t->next;
		d->last = &t->next.next;
		d->n++;
	}
	return WHEEL_NEVER;
}

int weft__sched_timers(struct worker *w, struct wheel *wheel, int64_t now)
{
	struct due d = { .n = 0 };
	int n;

	if (wheel_next(wheel) > now)
		return 0;
	d.last = &d.first;
	n = weft__wheel_run(wheel, now, on_due, &d);
	if (n)
		store_relaxed(&w->stat_timers, load_relaxed(&w->stat_timers) + (uint64_t)n); /* statistics */
	weft__ready_list(w, d.first);
	return d.n + weft__usertimer_fire(w, &d.fired, now);
}
