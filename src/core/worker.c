/* SPDX-License-Identifier: MIT
 *
 * worker.c - a worker's own stack: find a task and run it, search, sleep.
 *
 * A worker comes back to its own stack when nothing is runnable on it, when its next task is still stood upon by another worker (law 5), or when the
 * runtime stops.  From there:  own queues - due timers - search the others (rings, slots that stand still, due timers, loops of those that are
 * stuck) - sleep in the loop, and in those of workers that are stuck, of which this one then is a ward's guardian.
 *
 * The protocol of search and sleep is core/idle.h's, the word slept upon core/parker.h's.  The law this file keeps for them: look at every queue
 * once more after idle_enter.  A full LIFO slot counts as work only if its owner does not move: the owner takes it at its next schedule, and a
 * wake-up that comes after idle_enter tells us.  So a searcher notes the ticks of owners with full slots, watches for SLOT_WATCH_NS, and takes
 * the slots of those that stand still.  Tasks that wake each other in turn, out of the slot, would so have a searcher about them for ever, woken by each
 * wake-up, finding nothing, and interrupting them with the membarrier of its going to sleep.  Hence an owner that has moved is left in peace for
 * QUIET_TIMES as many schedules as it made under watch (quiet_until): its slot wakes nobody, and is not looked at.  If it stops moving meanwhile, with its slot full,
 * the monitor has it helped (MONITOR_NS).
 *
 * Not here: what to do with a picked task (sched.c), whom to wake (idle.h).
 */
#include "core/sched.h"

#include "base/check.h"
#include "base/clock.h"
#include <sched.h>

/* Somebody still stands on t, about to leave it: a few instructions, unless the kernel has taken that thread off its core. */
static void wait_off_cpu(struct weft_task *t)
{
	while (oncpu_busy(&t->on_cpu)) {
		for (int i = 0; i < 200 && oncpu_busy(&t->on_cpu); i++)
			cpu_relax();
		if (oncpu_busy(&t->on_cpu))
			sched_yield(); /* lets that thread finish; a wake-up from it would cost every switch a locked instruction */
	}
}

static struct weft_task *shared_queues(struct worker *w)
{
	struct weft_task *t = task_of_next(injectq_pop(&w->inbox));

	return t ? t : task_of_next(injectq_pop(&w->rt->inject));
}

/* Takes a woken task out of a victim's slot. */
static struct weft_task *rob_slot(struct worker *w, struct worker *v)
{
	struct weft_task *t = swap_acq_rel(&v->slot, NULL); /* pairs with store_release and swap in push_slot */

	if (t)
		store_relaxed(&w->stat_steals, load_relaxed(&w->stat_steals) + 1); /* statistics */
	return t;
}

/* The monitor has seen that v stands on the same task as a while ago. */
static bool stuck(struct worker *v)
{
	return load_relaxed(&v->cur) && load_relaxed(&v->stuck_tick) == load_relaxed(&v->tick); /* hints */
}

/* Hears what the descriptors of another worker have to say. Returns whether that made tasks runnable. */
static bool serve_loop(struct worker *w, struct worker *v)
{
	struct inject_node *ready;
	bool kicked;

	ready = weft__loop_poll(v->loop, LOOP_OTHER, &kicked);
	if (kicked &&
	    load_acquire(&v->parker.state) != PARKER_EMPTY) /* it went to sleep meanwhile; pairs with parker_notify by way of the kick */
		weft__loop_kick(v->loop);
	weft__ready_list(w, ready);
	return ready != NULL;
}

/* ... if it is stuck. */
static bool serve_stuck(struct worker *w, struct worker *v)
{
	return stuck(v) && weft__loop_watches(v->loop) && serve_loop(w, v);
}

static struct weft_task *rob(struct worker *w, struct worker *v, int64_t now)
{
	struct weft_task *t;
	uint32_t moved;

	if (wsq_len(&v->runq)) {
		t = wsq_steal(&v->runq, &w->runq, &moved);
		if (t) {
			store_relaxed(&w->stat_steals, load_relaxed(&w->stat_steals) + 1); /* statistics */
			return t;
		}
	}
	if (weft__sched_timers(w, &v->wheel, now) || serve_stuck(w, v))
		return weft__sched_pick(w);
	return NULL;
}

/* First pass: notes the ticks of workers that keep a task to themselves (slot, inbox). Second pass (take): takes from one whose tick is the same, and leaves the
 * others in peace. */
static struct weft_task *visit_slots(struct worker *w, bool take, bool *seen)
{
	struct runtime *rt = w->rt;

	for (unsigned i = 0; i < rt->n; i++) {
		struct worker *v = &rt->workers[i];
		uint32_t tick = load_relaxed(&v->tick); /* a hint: stale means one more look later */
		/* hints; what is placed on a worker is taken from it only when the monitor has found it stuck on a task */
		bool placed = injectq_len(&v->inbox) && stuck(v);
		bool keeps = placed || (load_relaxed(&v->slot) && (stuck(v) || !sched_quiet(v))); /* a hint */
		uint32_t moved = tick - w->watched[i];
		struct weft_task *t;

		if (v == w)
			continue;
		if (take && keeps && !moved) {
			t = rob_slot(w, v);
			if (!t && placed)
				t = task_of_next(injectq_pop(&v->inbox));
			if (t)
				return t;
		}
		if (take && moved > 1 && moved < QUIET_MAX / QUIET_TIMES)
			store_relaxed(&v->quiet_until, tick + moved * QUIET_TIMES); /* a hint */
		*seen |= keeps;
		w->watched[i] = keeps ? tick : tick - 1;
	}
	return NULL;
}

/* Only the tasks of workers that stand on one are looked at; the slot and inbox of one that has not moved since w's last visit. */
NOINLINE void weft__worker_help(struct worker *w)
{
	struct runtime *rt = w->rt;
	struct weft_task *t;
	uint32_t moved;
	bool seen = false;

	store_relaxed(&rt->help_wanted, false); /* a hint */
	for (unsigned i = 0; i < rt->n; i++) {
		struct worker *v = &rt->workers[i];

		if (v == w || !load_relaxed(&v->cur)) /* a hint */
			continue;
		weft__sched_timers(w, &v->wheel, w->coarse_now);
		serve_stuck(w, v);
		t = wsq_steal(&v->runq, &w->runq, &moved);
		if (t)
			weft__sched_push(w, t);
	}
	t = visit_slots(w, true, &seen);
	if (t)
		weft__sched_push(w, t);
}

/* One round over all victims, from a random one. */
static struct weft_task *rob_all(struct worker *w, int64_t now)
{
	struct runtime *rt = w->rt;
	unsigned at = rng_below(&w->rng, rt->n);
	struct weft_task *t;

	for (unsigned i = 0; i < rt->n; i++, at = at + 1 == rt->n ? 0 : at + 1) {
		if (at == w->id)
			continue;
		t = rob(w, &rt->workers[at], now);
		if (t)
			return t;
	}
	return NULL;
}

static struct weft_task *search(struct worker *w)
{
	struct weft_task *t;

	for (int round = 0; round < SEARCH_ROUNDS; round++) {
		t = rob_all(w, clock_now());
		if (!t)
			t = shared_queues(w);
		if (t)
			return t;
		cpu_relax();
	}
	return NULL;
}

/* Is there anything in a queue that is everybody's? */
static bool shared_work(struct worker *w)
{
	struct runtime *rt = w->rt;

	if (injectq_len(&rt->inject) || injectq_len(&w->inbox) || load_relaxed(&rt->stopping)) /* after idle_enter: ordered by its fence */
		return true;
	for (unsigned i = 0; i < rt->n; i++) {
		if (!wsq_empty(&rt->workers[i].runq))
			return true;
	}
	return false;
}

/* After idle_enter: is there anything in any queue? */
static bool any_work(struct worker *w)
{
	struct runtime *rt = w->rt;
	int64_t now = clock_now();

	if (shared_work(w) || load_relaxed(&w->slot)) /* ordered by idle_enter's fence */
		return true;
	for (unsigned i = 0; i < rt->n; i++) {
		if (wheel_next(&rt->workers[i].wheel) <= now)
			return true;
	}
	return false;
}

/* Slots that are full now, and still are of the same tick a moment later. asleep: the caller is on the list of sleepers, and may be notified. *other: it ended
 * early, for there is something else to do. */
static struct weft_task *still_slot(struct worker *w, bool asleep, bool *other)
{
	bool seen = false;
	int64_t until;

	*other = false;
	visit_slots(w, false, &seen);
	if (!seen)
		return NULL;
	until = clock_now() + SLOT_WATCH_NS;
	while (clock_now() < until) {
		*other = (asleep && load_relaxed(&w->parker.state) == PARKER_NOTIFIED) || shared_work(w); /* hints */
		if (*other)
			return NULL;
		for (int i = 0; i < 16; i++)
			cpu_relax();
	}
	return visit_slots(w, true, &seen);
}

/* Sleeps, unless notified, and leaves the list of sleepers. Returns whether it was taken off it to search. */
static bool sleep_now(struct worker *w)
{
	struct worker *wards[LOOP_WARDS_MAX];
	struct loop *loops[LOOP_WARDS_MAX];
	struct inject_node *ready = NULL;
	struct runtime *rt = w->rt;
	unsigned n = 0;
	bool searching;

	for (unsigned i = 0; i < rt->n && n < LOOP_WARDS_MAX; i++) {
		struct worker *v = &rt->workers[i];

		if (v != w && stuck(v) && weft__loop_watches(v->loop)) {
			store_relaxed(&v->warded, true); /* a hint */
			loops[n] = v->loop;
			wards[n++] = v;
		}
	}
	if (parker_prepare(&w->parker) && !load_acquire(&rt->stopping)) {
		store_relaxed(&w->stat_sleeps, load_relaxed(&w->stat_sleeps) + 1); /* statistics */
		ready = weft__loop_sleep(w->loop, wheel_next(&w->wheel), loops, n);
	}
	parker_done(&w->parker);
	searching = idle_leave(&rt->idle, w->id, false);
	weft__monitor_poke();       /* not before: it may be about to look whether all sleep */
	weft__ready_list(w, ready); /* not before: it may wake a sleeper, which shall not be this one */
	for (unsigned i = 0; i < n; i++) {
		serve_loop(w, wards[i]);
		store_relaxed(&wards[i]->warded, false); /* a hint: another's ward is found again */
	}
	return searching;
}

/* The next task for this worker, however long it takes; NULL when the runtime stops. */
static struct weft_task *find(struct worker *w)
{
	struct runtime *rt = w->rt;
	struct weft_task *t = NULL;
	bool searching = false, other, ignored;
	int id;

	for (;;) {
		if (load_acquire(&rt->stopping)) /* pairs with store_release in weft__runtime_stop */
			break;
		if (unlikely(w->errand)) {
			w->errand = false;
			weft__ready_list(w, weft__loop_poll(w->loop, LOOP_OWNER, &ignored)); /* a kick: it is awake */
		}
		t = weft__sched_pick(w);
		if (!t)
			t = shared_queues(w);
		if (!t) {
			w->coarse_now = clock_now();
			if (weft__sched_timers(w, &w->wheel, w->coarse_now))
				t = weft__sched_pick(w);
		}
		if (t)
			break;
		if (!searching && rt->n > 1)
			searching = idle_try_search(&rt->idle, rt->n);
		if (searching) {
			do {
				t = search(w);
				if (!t)
					t = still_slot(w, false, &other);
			} while (!t && other && !load_relaxed(&rt->stopping)); /* looked at above */
			if (t)
				break;
		}
		idle_enter(&rt->idle, w->id, searching);
		if (any_work(w)) {
			searching = idle_leave(&rt->idle, w->id, true);
			continue;
		}
		t = rt->n > 1 ? still_slot(w, true, &other) : NULL;
		if (t) {
			searching = idle_leave(&rt->idle, w->id, false);
			break;
		}
		searching = sleep_now(w);
	}
	if (searching) {
		id = idle_found(&rt->idle);
		if (id >= 0)
			weft__sched_notify(rt, (unsigned)id);
	}
	return t;
}

void weft__worker_main(struct worker *w)
{
	struct weft_task *t;

	for (;;) {
		t = w->taken;
		w->taken = NULL;
		if (!t)
			t = find(w);
		if (!t)
			break;
		if (t->ctx.sp == NULL && !weft__task_bind(w, t))
			continue;
		wait_off_cpu(t);
		weft__sched_resume(w, t);
		if (load_acquire(&w->rt->stopping)) /* pairs with store_release in weft__runtime_stop */
			break;
	}
}
