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
 * Newest first: after TICK_OLDEST schedules, or OLDEST_NS, it is the oldest's turn once.  Not more often: what has waited longest in a tree of tasks is the largest part of it that has not begun, and to have many of those under way
 * takes memory, and so time.
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
	weft__monitor_poke(rt);
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

void weft__sched_wake_many(struct runtime *rt, uint32_t n)
{
	uint16_t ids[128]; /* those that are waked count as searching: a second turn would stop at them */

	while (n && idle_sleepers(&rt->idle)) { /* a hint: who has gone to sleep since the caller's fence has seen the tasks */
		uint32_t most = n < ARRAY_LEN(ids) ? n : (uint32_t)ARRAY_LEN(ids);
		uint32_t got = idle_pick_many(&rt->idle, ids, most);

		if (!got)
			return;
		weft__monitor_poke(rt);
		for (uint32_t i = 0; i < got; i++)
			weft__sched_notify(rt, ids[i]);
		n -= got;
	}
}

void weft__sched_inject(struct runtime *rt, struct weft_task *t)
{
	enum weft_prio p = task_class(t);

	if (likely(p == WEFT_PRIO_NORMAL))
		injectq_push(&rt->inject, &t->next);
	else
		weft__prio_inject(rt, prio_queue(p), &t->next, &t->next, 1);
	fence_seq_cst(); /* pairs with the fence in idle_found, of whoever is no worker; for a worker it is not needed, nor harmful */
	sched_wake_one(rt);
}

/* To the queue of the worker it is pinned to, which is found in the slow pick. w: the caller's, or NULL. last: behind what is in w's ring, else it runs next, unless
 * that has happened too often in a row. */
NOINLINE static void go_home(struct runtime *rt, struct worker *w, struct weft_task *t, bool last)
{
	struct worker *home = &rt->workers[t->own_home];

	if (unlikely(task_class(t) != WEFT_PRIO_NORMAL))
		weft__prio_put_home(home, t);
	else
		injectq_push(&home->pinned, &t->next);
	if (home != w) {
		store_relaxed(&home->countdown, 1); /* a hint */
		weft__sched_notify(rt, home->id);
		return;
	}
	last |= w->slot_runs >= SLOT_RUN_MAX;
	sched_slow_within(w, last ? (int32_t)wsq_len(&w->runq) + (load_relaxed(&w->slot) != NULL) + 1 : 1);
}

void weft__sched_home(struct runtime *rt, struct weft_task *t)
{
	go_home(rt, NULL, t, false);
}

/* t is pinned to w, and can be where w's other tasks are: core/alone.h. */
static inline bool stays(struct worker *w, struct weft_task *t)
{
	return alone_is(&w->alone) && sched_is_home(w, t);
}

/* A claimed task goes back to its runtime from a thread that is no worker of it. */
NOINLINE static void ready_from_outside(struct weft_task *t)
{
	struct runtime *rt = weft__rt_enter_home(load_relaxed(&t->home)); /* constant */

	if (!rt)
		return;                                        /* it went down, and took its tasks with it */
	store_release(&t->state, (uint8_t)WEFT_TASK_RUNNABLE); /* pairs with load_acquire in call_off */
	if (unlikely(task_is(t, TASK_PINNED)))
		go_home(rt, NULL, t, false);
	else
		weft__sched_inject(rt, t);
	weft__rt_leave(rt);
}

/* Those of n tasks that are pinned go home, to w. Returns how many are left. */
static uint32_t without_pinned(struct worker *w, void **tasks, uint32_t n)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct weft_task *t = tasks[i];

		if (task_is(t, TASK_PINNED))
			go_home(w->rt, w, t, true);
		else
			tasks[left++] = t;
	}
	return left;
}

/* The ring is full: its older half goes to the injection queue, where all find it. */
NOINLINE void weft__sched_overflow(struct worker *w, struct weft_task *t)
{
	void *half[RUNQ_CAP / 2];
	uint32_t n;

	while (!wsq_push(&w->runq, t)) {
		n = wsq_take_half(&w->runq, half);
		if (mixed_is(&w->mixed))
			n = without_pinned(w, half, n);
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
	if (unlikely(task_is(t, TASK_CLASS)) && task_class(t) != WEFT_PRIO_NORMAL)
		weft__prio_push(w, t);
	else
		sched_push(w, t);
}

NOINLINE static void ready_foreign(struct weft_task *t)
{
	san_release(t);
	store_release(&t->futex, 0u);   /* pairs with load_acquire(futex) in weft__wait_foreign */
	weft__futex_wake(&t->futex, 1); /* the thread may be gone already: then the word, never unmapped, has no sleeper */
}

/* One with TASK_APART is runnable, and comes next. */
NOINLINE static void push_apart(struct worker *w, struct weft_task *t)
{
	if (stays(w, t))
		sched_push_next(w, t);
	else if (task_is(t, TASK_PINNED))
		go_home(w->rt, w, t, false);
	else if (task_class(t) != WEFT_PRIO_NORMAL)
		weft__prio_push(w, t);
	else /* as others, for now */
		sched_push_next(w, t);
}

/* Where the usual way is not the right one. */
NOINLINE static void ready_special(struct worker *w, struct weft_task *t)
{
	if (task_is(t, TASK_FOREIGN)) {
		ready_foreign(t);
		return;
	}
	if (!w || load_relaxed(&t->home) != w->home) { /* constant */
		ready_from_outside(t);
		return;
	}
	task_set_state(t, WEFT_TASK_RUNNABLE);
	push_apart(w, t);
}

void weft__ready(struct worker *w, struct weft_task *t)
{
	san_release(t);
	if (likely(w != NULL) && TASK_STAYS(t, w)) {
		task_set_state(t, WEFT_TASK_RUNNABLE);
		sched_push_next(w, t);
	} else {
		ready_special(w, t);
	}
}

void weft__ready_list(struct worker *w, struct inject_node *n)
{
	while (n) {
		struct weft_task *t = task_of_next(n);

		n = n->next;
		if (w && (TASK_STAYS(t, w) || stays(w, t))) { /* many at once: in the order they were claimed */
			san_release(t);
			task_set_state(t, WEFT_TASK_RUNNABLE);
			sched_push(w, t);
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
	bool others = injectq_len(&w->inbox) || injectq_len(&w->rt->inject) ||
		      (w->rt->lifo && (load_relaxed(&w->slot) || !wsq_empty(&w->runq))); /* own: there each schedule is a slow one */

	if ((w->slot_runs < SLOT_RUN_MAX || wsq_empty(&w->runq)) && !(others && w->pinned_last))
		t = task_of_next(injectq_pop(&w->pinned));
	if (t)
		w->slot_runs++;
	w->pinned_last = t != NULL;
	if (injectq_len(&w->pinned))
		sched_slow_within(w, 2);
	return t;
}

/* Others may look into w's slot and ring by now: what is pinned goes where they do not. */
NOINLINE static void sweep(struct worker *w)
{
	struct weft_task *t = swap_acq_rel(&w->slot, NULL); /* as in sched_push_slot */
	uint32_t n = wsq_len(&w->runq);

	if (t && task_is(t, TASK_PINNED))
		go_home(w->rt, w, t, false);
	else if (t)
		(void)sched_push_slot(w, t);
	for (uint32_t i = 0; i < n && (t = (struct weft_task *)wsq_pop(&w->runq)) != NULL; i++) {
		if (task_is(t, TASK_PINNED))
			go_home(w->rt, w, t, true);
		else
			sched_push_tail(w, t);
	}
	mixed_end(&w->mixed);
	if (idle_wanting(&w->rt->idle)) /* as in sched_push */
		weft__sched_share(w);
}

/* Sees to timers, the loop and what waits for stacks. False: w is to come back to its own stack. */
static bool pass(struct worker *w)
{
	struct runtime *rt = w->rt;
	struct weft_task *t;
	bool backlog;

	store_relaxed(&w->countdown, rt->lifo ? 1 : TICK_SLOW); /* a nudge of the monitor that comes just now is repeated */
	if (load_acquire(&rt->stopping))                        /* pairs with store_release in weft__runtime_stop */
		return false;
	w->coarse_now = clock_now();
	if (unlikely(mixed_due(&w->mixed, &w->alone)))
		sweep(w);
	weft__sched_timers(w, &w->wheel, w->coarse_now);
	if (unlikely(rt->place.tracks))
		weft__place_note(w);
	if (unlikely(load_relaxed(&rt->help_wanted))) /* a hint of the monitor */
		weft__worker_help(w);
	if (unlikely(load_relaxed(&w->level_with))) /* the same */
		weft__worker_level(w);
	if (unlikely(w->errand))
		return false;
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
	}
	return likely(!w->errand);
}

/* From the inbox and the injection queue. */
static struct weft_task *pick_placed(struct worker *w)
{
	struct weft_task *t = task_of_next(injectq_pop(&w->inbox));
	struct weft_task *shared = task_of_next(injectq_pop(&w->rt->inject));

	if (unlikely(t && task_class(t) != WEFT_PRIO_NORMAL)) {
		weft__prio_put(w, t);
		t = NULL;
	}
	if (t && shared)
		sched_push_tail(w, shared); /* one of each: neither queue starves the other */
	else if (!t)
		t = shared;
	if (t)
		w->slot_runs = 0;
	return t;
}

/* Has w anything in its slot or ring, or elsewhere for what is NORMAL? */
static bool normal_waits(struct worker *w)
{
	return load_relaxed(&w->slot) || !wsq_empty(&w->runq) || injectq_len(&w->pinned) || injectq_len(&w->inbox) ||
	       injectq_len(&w->rt->inject); /* own, and hints */
}

/* It is the oldest's turn, where the newest comes first. Not because of the monitor alone, which would decide about the order then. */
static bool is_aged(struct worker *w)
{
	uint32_t since = load_relaxed(&w->tick) - w->prio.aged; /* own */

	return since >= TICK_OLDEST || (since >= TICK_SLOW && w->coarse_now - w->prio.aged_at >= OLDEST_NS);
}

/* A slow pick that is one because of classes, or of the order, more often than every TICK_SLOW schedules: what else there is to be done slowly is done as often as ever. */
NOINLINE static struct weft_task *pick_often(struct worker *w, bool held)
{
	struct runtime *rt = w->rt;
	uint32_t tick = load_relaxed(&w->tick), since = tick - w->prio.passed;                     /* own */
	bool due = load_relaxed(&w->countdown) < 0 || since >= TICK_SLOW || injectq_len(&rt->ran); /* the monitor's 0, counted down */
	struct weft_task *t = NULL, *oldest;
	bool aged;

	if (due) {
		w->prio.passed = tick;
		w->prio.owed = true;
		since = 0;
		if (!pass(w))
			return NULL;
	}
	aged = rt->lifo && is_aged(w);
	store_relaxed(&w->countdown, rt->lifo ? 1 : TICK_SLOW - (int32_t)since); /* as in pass */
	if (load_relaxed(&rt->classes))                                          /* as in weft__sched_pick_due */
		t = weft__prio_deal(w, held || normal_waits(w));
	if (!t && unlikely(injectq_len(&w->pinned)))
		t = pick_pinned(w);
	if (t && w->prio.owed)
		sched_slow_within(
			w,
			1); /* what is owed comes when it is nobody's turn, not at the next whole pick, which may wake one of a class again */
	if (t || !(w->prio.owed || aged || (!held && !load_relaxed(&w->slot) && wsq_empty(&w->runq)))) /* own; thieves only take */
		return t;
	t = pick_placed(w);
	w->prio.owed = false;
	if (aged) {
		w->prio.aged = tick;
		w->prio.aged_at = w->coarse_now;
	}
	if (aged &&
	    (oldest = (struct weft_task *)wsq_pop(&w->runq)) != NULL) { /* so that it comes at last, whatever is started and woken */
		if (t)
			sched_push_tail(w, t); /* its turn is the next one */
		w->slot_runs = 0;
		t = oldest;
	}
	return t;
}

/* All that pick_often does would be to look: the newest is next. */
static inline bool newest_is_next(struct worker *w, bool held)
{
	struct runtime *rt = w->rt;
	uint32_t tick = load_relaxed(&w->tick); /* own; below own, and hints */

	return rt->lifo && load_relaxed(&w->countdown) == 0 && tick - w->prio.passed < TICK_SLOW && tick - w->prio.aged < TICK_OLDEST &&
	       !w->prio.owed && !injectq_len(&rt->ran) && !injectq_len(&w->pinned) && !load_relaxed(&rt->classes) &&
	       (held || load_relaxed(&w->slot) || !wsq_empty(&w->runq));
}

NOINLINE struct weft_task *weft__sched_pick_due(struct worker *w, bool held)
{
	struct weft_task *t;

	if (unlikely(seat_retired(w)))
		return load_acquire(&w->rt->stopping) ? NULL : weft__seat_pick(w); /* as in pass */
	if (newest_is_next(w, held)) {
		store_relaxed(&w->countdown, 1); /* as in pass */
		return NULL;
	}
	if (unlikely(w->rt->lifo || load_relaxed(&w->rt->classes))) /* set by this worker, or found out a little later */
		return pick_often(w, held);
	if (!pass(w))
		return NULL;
	if (unlikely(injectq_len(&w->pinned)) && (t = pick_pinned(w)) != NULL)
		return t;
	return pick_placed(w);
}

/* The task that was woken last, else the newest of the ring. */
static struct weft_task *pick_newest(struct worker *w)
{
	struct weft_task *t = load_relaxed(&w->slot); /* as in sched_pick */

	if (t && likely(alone_is(&w->alone)))
		store_relaxed(&w->slot, NULL);
	else if (t)
		t = swap_acquire(&w->slot, NULL);
	if (t) {
		w->slot_runs++;
		return t;
	}
	w->slot_runs = 0;
	return (struct weft_task *)(likely(alone_is(&w->alone)) ? wsq_pop_newest_alone(&w->runq) : wsq_pop_newest(&w->runq));
}

NOINLINE struct weft_task *weft__sched_pick_slow(struct worker *w)
{
	struct weft_task *t = weft__sched_pick_due(w, false);

	if (t || likely(!w->rt->lifo) || w->errand || load_relaxed(&w->rt->stopping)) /* as in sched_pick */
		return t;
	return pick_newest(w);
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

/* A pinned one, or one of a class. False: neither, for now. */
NOINLINE static bool yield_apart(struct worker *w, struct weft_task *t)
{
	bool home = task_is(t, TASK_PINNED);
	struct weft_task *next;

	if (!home && task_class(t) == WEFT_PRIO_NORMAL)
		return false;
	t->nwaiters = 0; /* as below */
	task_set_state(t, WEFT_TASK_RUNNABLE);
	if (home) {
		w->pinned_last = true; /* newest first: others have the next turn */
		go_home(w->rt, w, t, true);
		sched_park(w, t);
		return true;
	}
	weft__prio_put(w, t);
	next = sched_pick(w);
	if (next == t) {
		sched_enter(w, t);
		return true;
	}
	if (!alone_is(&w->alone) && idle_wanting(&w->rt->idle)) /* not before: it may be the only one */
		weft__sched_share(w);
	sched_leave(w, t, sched_fit(w, next), 0);
	return true;
}

/* Newest first: who yields goes where neither the newest nor the oldest of the ring is looked for, else those who yield would have the turns of the oldest. They come when the ring
 * is empty, and one each TICK_SLOW schedules, in the order in which they have yielded. Nobody is waked for it: we are about to look there ourselves. */
NOINLINE static void yield_behind(struct worker *w, struct weft_task *t)
{
	struct weft_task *next;

	injectq_push(&w->rt->inject, &t->next);
	next = sched_pick(w);
	if (next == t) {
		sched_enter(w, t);
		return;
	}
	if (!alone_is(&w->alone)) /* not before: it may be what comes next */
		sched_wake_one(w->rt);
	sched_leave(w, t, sched_fit(w, next), 0);
}

NOINLINE void weft__sched_yield(struct worker *w, struct weft_task *t)
{
	bool only = !alone_is(&w->alone) && !load_relaxed(&w->slot) && wsq_empty(&w->runq); /* own; thieves only take */
	struct weft_task *next;

	if (unlikely(task_is(t, TASK_APART)) && (w->rt->lifo || !stays(w, t)) && yield_apart(w, t))
		return;
	t->nwaiters = 0; /* those of its last wait are gone: runtime.c, call_off */
	task_set_state(t, WEFT_TASK_RUNNABLE);
	if (unlikely(w->rt->lifo) && (load_relaxed(&w->slot) || !wsq_empty(&w->runq) || injectq_len(&w->rt->inject))) { /* own; a hint */
		yield_behind(w, t);
		return;
	}
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
	if (likely(!task_is(t, TASK_APART)))
		sched_push_next(w, t);
	else
		push_apart(w, t);
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
