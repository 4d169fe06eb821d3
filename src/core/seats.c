/* SPDX-License-Identifier: MIT
 *
 * seats.c - workers that come and go while the runtime is up.
 *
 * A seat is a place for a worker: its record, its loop, its thread.  Seats 0 .. n-1 have been made, those below `active` run tasks, the others are retired.  A seat that was made stays, with its
 * thread, until the runtime goes down; so n only grows, and whoever looks at all workers (thieves, the monitor, dumps) looks at the retired as well.
 *
 *   made -> at rest      here; its thread, once it sits, is one that rests        at rest -> running   its thread finds that it is below `active`, or has a task that is pinned to it
 *   running -> at rest   its thread finds that it is not, and that nothing is left for it alone
 *
 * Whoever changes `active` stores it and then notifies those whom it means (core/parker.h: they see it before they sleep).
 *
 * A retired worker hands on what others may run (slot, ring, inbox, its HIGH and LOW tasks) to the queues of the runtime at each of its schedules, and runs only what is pinned to it.  It goes on listening to its loop and its wheel:
 * descriptors move to the loop of whoever waits for them next, periodic timers to another wheel when they fire, the rest ends there.  It is not on the list of sleepers, and does not search.
 * What it promised as a searcher another keeps (core/idle.h: idle_retire).
 *
 * The first worker of a runtime with one is alone (core/alone.h), and maybe elided (base/solo.h).  Both are ended for good before a second seat is made, by whoever makes it.
 *
 * Rejected: a thread that ends with its seat: tasks pinned to it, descriptors and timers would have to be moved by somebody else.  A list of seats with gaps: "below active" is one comparison for all.
 *
 * Model: test/model/retire.pml, test/model/alone.cpp.  Not here: the sleep of active workers (core/worker.c), when a spare is taken (core/rescue.c).
 */
#include "core/sched.h"

#include "base/clock.h"
#include "base/solo.h"
#include "core/life.h"
#include <sched.h>

/* --- the end of being alone --- */

/* w takes nothing just now: see alone.h. At the gate (core/life.c) it has not begun. */
static bool is_outside(struct worker *w)
{
	struct weft_task *t = load_acquire(&w->cur); /* a look. Records stay: where it runs no more its state says so */

	if (weft__worker_look() == w || load_relaxed(&w->rt->gate)) /* opened: it looks first */
		return true;
	return (t && load_acquire(&t->state) == WEFT_TASK_RUNNING) || load_acquire(&w->parker.state) == PARKER_SLEEPING;
}

/* A second worker is to come. tries: looks at the first one; 0: as many as it takes. Returns 0; WEFT_EAGAIN; or WEFT_ESRCH when the runtime goes down meanwhile. */
static int end_alone(struct runtime *rt, int tries)
{
	struct worker *w = &rt->workers[0];

	weft__solo_end_now();
	alone_end(&w->alone);
	for (int i = 1; !is_outside(w); i++) {
		if (load_acquire(&rt->stopping)) /* pairs with store_release in weft__runtime_stop */
			return WEFT_ESRCH;
		if (tries && i == tries)
			return WEFT_EAGAIN;
		sched_yield(); /* a worker that is neither in a task nor asleep soon is one of them */
	}
	alone_ended();
	return 0;
}

/* --- more, fewer; under rt->seats --- */

/* Seats up to `to`, with threads that rest. What has been made before one failed stays. */
static int grow(struct runtime *rt, unsigned to)
{
	unsigned n = rt_seats(rt);
	int rc = 0;

	if (to > n) {
		for (unsigned i = n; i < to && !rc; i++) {
			rc = weft__seat_make(rt, i);
			if (!rc) {
				store_release(&rt->n, i + 1); /* pairs with load_acquire in rt_seats; first it counts as awake */
				idle_rest(&rt->idle);         /* as its thread finds it */
			}
		}
		asym_heavy(); /* before one of them runs, all know of it: idle_found counts them */
	}
	for (unsigned i = 1; i < to && !rc; i++) {
		if (!rt->workers[i].started)
			rc = weft__seat_start(&rt->workers[i], true);
	}
	for (unsigned i = 1; i < to; i++) {
		int one = rt->workers[i].started ? weft__seat_started(&rt->workers[i]) : 0;

		rc = rc ? rc : one;
	}
	return rc;
}

static int set(struct runtime *rt, unsigned wish, unsigned spares)
{
	unsigned old = rt_active(rt), to = wish + spares < rt->seats_max ? wish + spares : rt->seats_max;
	/* stopping pairs with store_release in weft__runtime_stop: threads are joined after the lock was free. old: while the runtime comes up some may have no thread yet, and something in their queues */
	int rc = load_acquire(&rt->stopping) ? WEFT_ESRCH : grow(rt, to > old ? to : old);

	if (rc)
		return rc;
	store_relaxed(&rt->wish, wish);        /* looks; under lock */
	store_relaxed(&rt->spares, to - wish); /* the same */
	store_release(&rt->active, to);        /* pairs with load_acquire in seat_retired */
	for (unsigned i = old < to ? old : to; i < old || i < to; i++) {
		struct worker *w = &rt->workers[i];

		weft__loop_leave(w->loop, i >= to);
		if (i >= to)
			store_relaxed(&w->countdown, 0); /* a hint: it looks every TICK_SLOW schedules anyway */
		weft__sched_notify(rt, i);
	}
	return 0;
}

static bool needs_another(struct runtime *rt, unsigned n)
{
	return n > 1 && rt_seats(rt) == 1;
}

/* follow: of the machine's making; else the user's. */
static int wish(struct runtime *rt, unsigned n, bool follow, bool user)
{
	int rc = needs_another(rt, n) ? end_alone(rt, user ? 0 : 100) : 0;

	if (rc)
		return rc;
	lock_take(&rt->seats, RANK_SEATS);
	if (user || load_relaxed(&rt->follows)) { /* under lock */
		rc = set(rt, n, load_relaxed(&rt->spares));
		if (!rc)
			store_relaxed(&rt->follows, follow); /* under lock */
	}
	lock_drop(&rt->seats);
	return rc;
}

int weft__seats_follow(struct runtime *rt, unsigned n)
{
	return wish(rt, n < rt->seats_max ? n : rt->seats_max, true, false);
}

int weft__seats_spares(struct runtime *rt, unsigned n)
{
	int rc = needs_another(rt, 1 + n) ? end_alone(rt, 100) : 0;

	if (rc)
		return rc;
	lock_take(&rt->seats, RANK_SEATS);
	rc = set(rt, load_relaxed(&rt->wish), n); /* under lock */
	lock_drop(&rt->seats);
	return rc;
}

int weft_workers_set(int n)
{
	struct worker *w = weft__worker();
	struct runtime *rt;
	unsigned workers = (unsigned)n;
	bool follow = false;
	int rc = n < 0 || n > WORKERS_MAX ? WEFT_EINVAL : 0;

	if (rc)
		return rc;
	rt = w ? w->rt : weft__rt_enter();
	if (!rt)
		return WEFT_ESRCH;
	if (!n)
		rc = weft__workers_auto(rt, &workers, &follow);
	if (!n && workers > rt->seats_max)
		workers = rt->seats_max;
	if (!rc)
		rc = workers <= rt->seats_max ? wish(rt, workers, follow, true) : WEFT_EINVAL;
	if (!w)
		weft__rt_leave(rt);
	return rc;
}

/* --- a retired worker --- */

/* The oldest of those placed on w that is NORMAL; others before it go to its queues of their class. */
static struct weft_task *placed(struct worker *w)
{
	struct weft_task *t;

	while ((t = task_of_next(injectq_pop(&w->inbox))) != NULL && task_class(t) != WEFT_PRIO_NORMAL)
		weft__prio_put(w, t);
	return t;
}

/* All that others may run goes where they find it. */
static void hand_on(struct worker *w)
{
	struct weft_task *t = swap_acq_rel(&w->slot, NULL), *last = NULL; /* as rob_slot in worker.c */
	struct inject_node *first = NULL;
	uint32_t n = 0;

	w->owes = false;
	w->slot_runs = 0;
	if (!t)
		t = wsq_pop(&w->runq);
	if (!t)
		t = placed(w);
	while (t) {
		if (last)
			last->next.next = &t->next;
		else
			first = &t->next;
		last = t;
		n++;
		t = wsq_pop(&w->runq);
		if (!t)
			t = placed(w);
	}
	if (n)
		injectq_push_chain(&w->rt->inject, first, &last->next, n);
	n += weft__prio_hand_on(w);
	if (!n)
		return;
	fence_seq_cst(); /* as in weft__sched_inject */
	weft__sched_wake(w->rt);
}

struct weft_task *weft__seat_pick(struct worker *w)
{
	struct weft_task *t;

	store_relaxed(&w->countdown, 1); /* its next pick is a slow one, too */
	w->coarse_now = clock_now();
	weft__sched_timers(w, &w->wheel, w->coarse_now);
	if (weft__loop_watches(w->loop) && clock_past(w->coarse_now, w->polled_at, LOOP_BUSY_NS)) {
		w->polled_at = w->coarse_now;
		weft__ready_list(w, weft__loop_poll(w->loop, LOOP_TASK, &w->errand));
	}
	hand_on(w);
	if (unlikely(w->errand))
		return NULL;
	t = load_relaxed(&w->rt->classes) ? weft__prio_deal(w, injectq_len(&w->pinned) != 0) : NULL; /* a hint: see is_wanted */
	return t ? t : task_of_next(injectq_pop(&w->pinned));
}

/* Is there anything for it? What is put there is put there before it is notified. */
static bool is_wanted(struct worker *w)
{
	return !seat_retired(w) || injectq_len(&w->pinned) || injectq_len(&w->inbox) || weft__prio_here(w) ||
	       wheel_next(&w->wheel) <= clock_now() || load_acquire(&w->rt->stopping); /* pairs with store_release in weft__runtime_stop */
}

struct weft_task *weft__seat_rest(struct worker *w)
{
	struct inject_node *ready = NULL;
	struct weft_task *t;
	bool ignored, walk;

	w->errand = false;
	weft__ready_list(w, weft__loop_poll(w->loop, LOOP_OWNER, &ignored)); /* a kick: it is awake */
	t = weft__seat_pick(w);
	if (t || w->errand)
		return t;
	asym_light(); /* as in worker.c */
	if (unlikely(load_relaxed(&w->rt->watch)) && weft__life_look(w))
		return NULL;
	weft__stack_cache_drain(&w->stacks);
	weft__records_drain(w);
	idle_rest(&w->rt->idle);
	walk = unlikely(load_relaxed(&w->rt->watch)) && weft__life_walk(w->rt); /* as in worker.c */
	if (!walk && parker_prepare(&w->parker) && !is_wanted(w)) {
		store_relaxed(&w->stat_sleeps, load_relaxed(&w->stat_sleeps) + 1); /* statistics */
		ready = weft__loop_sleep(w->loop, wheel_next(&w->wheel), NULL, 0);
	}
	parker_done(&w->parker);
	idle_rise(&w->rt->idle);
	weft__monitor_poke(w->rt);
	if (walk)
		weft__ctx_root_walk(w->rt);
	weft__ready_list(w, ready); /* and is handed on at the next turn */
	return NULL;
}
