/* SPDX-License-Identifier: MIT
 *
 * sched.c - what a scheduler does besides the hot half in sched.h: publish, pick slowly, start, end, fire timers.
 *
 * Order of work on a worker: the LIFO slot (a task just woken, whose data is in this core's cache), then the ring.  Every TICK_SLOW schedules,
 * or when the monitor says so, the slow pick looks first at due timers, the injection queue and the inbox; the loop is polled on the worker's own
 * stack, but seldom while half a ring or more waits in the injection queue: they have waited longer than those whom the loop would bring, and who come before them.
 * After SLOT_RUN_MAX runs out of the slot in a row the next wake goes to the tail, so that a pair waking each other starves nobody; if there is
 * anybody in the ring: two that are alone there stay together, where their data is.
 *
 * Every scheduling choice is one function: next task (weft__sched_pick), victim (worker.c: steal), whom to wake (core/idle.h).
 */
#include "core/sched.h"

#include "base/clock.h"
#include "base/futex.h"
#include "core/offload.h"

/* --- publishing work --- */

void weft__sched_notify(struct runtime *rt, unsigned id)
{
	struct worker *w = &rt->workers[id];

	if (parker_notify(&w->parker))
		weft__loop_kick(w->loop);
}

NOINLINE void weft__sched_wake_picked(struct runtime *rt, int id)
{
	weft__monitor_poke();
	weft__sched_notify(rt, (unsigned)id);
}

NOINLINE void weft__sched_share(struct worker *w)
{
	if (!load_relaxed(&w->cur)) /* own. It takes one of them at once, and wakes another for the rest: worker.c */
		w->owes = true;
	else if (sched_shares(w) || !sched_quiet(w))
		sched_wake_one(w->rt);
}

void weft__sched_wake(struct runtime *rt)
{
	sched_wake_one(rt);
}

void weft__sched_inject(struct runtime *rt, struct weft_task *t)
{
	injectq_push(&rt->inject, &t->next);
	fence_seq_cst(); /* pairs with the fence in idle_found: no worker calls this, or it is about to see to the rest itself */
	sched_wake_one(rt);
}

/* w's slow pick comes after so many schedules at the latest. */
static inline void slow_pick_within(struct worker *w, int32_t n)
{
	if (load_relaxed(&w->countdown) > n)
		store_relaxed(&w->countdown, n); /* never 0, which is the monitor's: whoever runs would give way */
}

/* To the queue of the worker it is pinned to, which is found in the slow pick. w: the caller's, or NULL. last: behind what is in w's ring, else it runs next, unless
 * that has happened too often in a row. */
NOINLINE static void go_home(struct runtime *rt, struct worker *w, struct weft_task *t, bool last)
{
	struct worker *home = &rt->workers[t->own_home];

	injectq_push(&home->pinned, &t->next);
	if (home != w) {
		store_relaxed(&home->countdown, 1); /* a hint */
		weft__sched_notify(rt, home->id);
		return;
	}
	last |= w->slot_runs >= SLOT_RUN_MAX;
	slow_pick_within(w, last ? (int32_t)wsq_len(&w->runq) + (load_relaxed(&w->slot) != NULL) + 1 : 1);
}

/* Must it go home to its own worker's queue? Where there is only one worker there are no thieves. */
static inline bool stays_home(struct runtime *rt, struct weft_task *t)
{
	return unlikely(task_is(t, TASK_PINNED)) && rt->n > 1;
}

/* A claimed task goes back to its runtime from a thread that is no worker of it. */
NOINLINE static void ready_from_outside(struct weft_task *t)
{
	if (!weft__rt_enter())
		return;                                        /* the runtime went down, and took its tasks with it */
	store_release(&t->state, (uint8_t)WEFT_TASK_RUNNABLE); /* pairs with load_acquire in call_off */
	if (stays_home(weft__rt, t))
		go_home(weft__rt, NULL, t, false);
	else
		weft__sched_inject(weft__rt, t);
	weft__rt_leave();
}

/* The ring is full: its older half goes to the injection queue, where all find it. */
NOINLINE void weft__sched_overflow(struct worker *w, struct weft_task *t)
{
	void *half[RUNQ_CAP / 2];
	uint32_t n;

	while (!wsq_push(&w->runq, t)) {
		n = wsq_take_half(&w->runq, half);
		if (n) {
			for (uint32_t i = 0; i + 1 < n; i++)
				((struct weft_task *)half[i])->next.next = &((struct weft_task *)half[i + 1])->next;
			injectq_push_chain(&w->rt->inject, &((struct weft_task *)half[0])->next, &((struct weft_task *)half[n - 1])->next,
					   n);
		}
	}
}

void weft__sched_push(struct worker *w, struct weft_task *t)
{
	sched_push(w, t);
}

NOINLINE static void ready_foreign(struct weft_task *t)
{
	san_release(t);
	store_release(&t->futex, 0u);   /* pairs with load_acquire(futex) in weft__foreign_sleep */
	weft__futex_wake(&t->futex, 1); /* the thread may be gone already: then the word, never unmapped, has no sleeper */
}

/* Where the usual way is not the right one. */
NOINLINE static bool ready_special(struct worker *w, struct weft_task *t)
{
	if (task_is(t, TASK_FOREIGN)) {
		ready_foreign(t);
		return true;
	}
	if (!w || !stays_home(w->rt, t))
		return false;
	task_set_state(t, WEFT_TASK_RUNNABLE);
	go_home(w->rt, w, t, false);
	return true;
}

void weft__ready(struct worker *w, struct weft_task *t)
{
	san_release(t);
	if (unlikely(task_is(t, TASK_FOREIGN | TASK_PINNED)) && ready_special(w, t))
		return;
	if (likely(w != NULL)) {
		task_set_state(t, WEFT_TASK_RUNNABLE);
		sched_push_next(w, t);
	} else {
		ready_from_outside(t);
	}
}

void weft__ready_list(struct worker *w, struct inject_node *n)
{
	while (n) {
		struct weft_task *t = task_of_next(n);

		n = n->next;
		if (w && !task_is(t, TASK_FOREIGN | TASK_PINNED)) { /* many at once: in the order they were claimed */
			san_release(t);
			task_set_state(t, WEFT_TASK_RUNNABLE);
			weft__sched_push(w, t);
		} else {
			weft__ready(w, t);
		}
	}
}

/* --- picking --- */

/* One that is pinned to w. They count as runs out of the slot, and so give way to the ring in their turn; and to the inbox and the injection queue every other time. */
NOINLINE static struct weft_task *pick_pinned(struct worker *w)
{
	struct weft_task *t = NULL;
	bool others = injectq_len(&w->inbox) || injectq_len(&w->rt->inject);

	if ((w->slot_runs < SLOT_RUN_MAX || wsq_empty(&w->runq)) && !(others && w->pinned_last))
		t = task_of_next(injectq_pop(&w->pinned));
	if (t)
		w->slot_runs++;
	w->pinned_last = t != NULL;
	if (injectq_len(&w->pinned))
		slow_pick_within(w, 2);
	return t;
}

NOINLINE struct weft_task *weft__sched_pick_slow(struct worker *w)
{
	struct runtime *rt = w->rt;
	struct weft_task *t, *shared;
	bool backlog;

	store_relaxed(&w->countdown, TICK_SLOW); /* a nudge of the monitor that comes just now is repeated */
	if (load_acquire(&rt->stopping))         /* pairs with store_release in weft__runtime_stop */
		return NULL;
	w->coarse_now = clock_now();
	weft__sched_timers(w, &w->wheel, w->coarse_now);
	if (unlikely(load_relaxed(&rt->help_wanted))) /* a hint of the monitor */
		weft__worker_help(w);
	if (unlikely(w->errand))
		return NULL;
	if (unlikely(injectq_len(&rt->ran)))
		(void)weft__offload_collect(w);
	if (injectq_len(&rt->stackless)) {
		t = task_of_next(injectq_pop(&rt->stackless));
		if (t)
			sched_push_tail(w, t);
	}
	backlog = injectq_len(&rt->inject) >= RUNQ_CAP / 2;
	if (weft__loop_watches(w->loop) && clock_past(w->coarse_now, w->polled_at, backlog ? LOOP_BACKLOG_NS : LOOP_BUSY_NS)) {
		w->polled_at = w->coarse_now;
		weft__ready_list(w, weft__loop_poll(w->loop, LOOP_TASK, &w->errand));
		if (unlikely(w->errand))
			return NULL;
	}
	if (unlikely(injectq_len(&w->pinned)) && (t = pick_pinned(w)) != NULL)
		return t;
	t = task_of_next(injectq_pop(&w->inbox));
	shared = task_of_next(injectq_pop(&rt->inject));
	if (t && shared)
		sched_push_tail(w, shared); /* one of each: neither queue starves the other */
	else if (!t)
		t = shared;
	if (t)
		w->slot_runs = 0;
	return t;
}

NOINLINE struct weft_task *weft__sched_fit(struct worker *w, struct weft_task *next)
{
	while (next && next->ctx.sp == NULL && !weft__task_bind(w, next))
		next = sched_pick(w);
	if (next && unlikely(oncpu_busy(&next->on_cpu))) { /* law 5: never wait while standing on a task */
		w->taken = next;
		return NULL;
	}
	return next;
}

struct weft_task *weft__sched_pick(struct worker *w)
{
	return sched_pick(w);
}

/* --- leaving --- */

NOINLINE void weft__sched_park(struct worker *w, struct weft_task *t)
{
	sched_park(w, t);
}

NOINLINE static void yield_at_home(struct worker *w, struct weft_task *t)
{
	t->nwaiters = 0; /* as below */
	task_set_state(t, WEFT_TASK_RUNNABLE);
	go_home(w->rt, w, t, true);
	sched_park(w, t);
}

NOINLINE void weft__sched_yield(struct worker *w, struct weft_task *t)
{
	bool only = !w->alone && !load_relaxed(&w->slot) && wsq_empty(&w->runq); /* own; thieves only take */
	struct weft_task *next;

	if (unlikely(task_is(t, TASK_PINNED)) && !w->alone) {
		yield_at_home(w, t);
		return;
	}
	t->nwaiters = 0; /* those of its last wait are gone: runtime.c, call_off */
	task_set_state(t, WEFT_TASK_RUNNABLE);
	if (only)
		sched_push_tail(w, t); /* and wakes nobody yet: it will most likely be picked again, if none is woken who steals it */
	else
		sched_push(w, t);
	next = sched_pick(w);
	if (unlikely(next == t)) {
		sched_enter(w, t);
		return;
	}
	if (only && idle_wanting(&w->rt->idle)) /* there is another after all */
		weft__sched_share(w);
	sched_leave(w, t, sched_fit(w, next), 0);
}

NOINLINE void weft__sched_run_now(struct worker *w, struct weft_task *t, struct weft_task *fresh)
{
	t->nwaiters = 0; /* as in yield */
	task_set_state(t, WEFT_TASK_RUNNABLE);
	if (stays_home(w->rt, t))
		go_home(w->rt, w, t, false);
	else
		sched_push_next(w, t);
	sched_leave(w, t, fresh, 0);
}

NOINLINE void weft__sched_resume(struct worker *w, struct weft_task *t)
{
	w->prev = NULL; /* nobody to settle: the worker's own stack does not end */
	sched_enter(w, t);
	switch_context(&w->ctx, &w->san, &t->ctx, &t->stack->san, w, 0);
	sched_settle(w);
	if (unlikely(w->fall.task != NULL))
		weft__contain_end(w);
}

void weft__sched_arrived(struct worker *w)
{
	sched_settle(w);
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
	struct due d = {.n = 0};
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
