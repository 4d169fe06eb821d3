/* SPDX-License-Identifier: MIT
 *
 * worker.c - a worker's own stack: find a task and run it, search, sleep.
 *
 * A worker comes back to its own stack when nothing is runnable on it, when its next task is still stood upon by another worker (law 5), or when the
 * runtime stops.  From there:  own queues - due timers - search the others (rings, slots that stand still, due timers, loops of those that are
 * stuck) - sleep in the loop, and in those of workers that are stuck, of which this one then is a ward's guardian.
 *
 * The protocol of search and sleep is core/idle.h's, the word slept upon core/parker.h's.  The law this file keeps for them: look at every queue
 * once more after idle_enter.
 *
 * What its owner takes at its next schedule is better left to it, if it comes to that soon: its data is in that core's cache.  So a worker keeps to itself one task,
 * in its slot or alone in its ring, as long as it moves:
 *   - A task alone in a ring is stolen by a searcher that finds it there twice, a round of its search apart.  One that is started and waited for is gone by then.
 *   - A task in the slot is taken by a searcher that has watched for SLOT_WATCH_NS, and saw the owner's tick stand still.
 *   - An owner that has moved under watch is left in peace for QUIET_TIMES as many schedules (quiet_until): the one task it keeps wakes nobody, and is not looked
 *     at.  Else tasks that wake each other in turn, or start and join, would have a searcher about them for ever, woken each time, finding nothing, and
 *     interrupting them with the membarrier of its going to sleep.  If it stops moving meanwhile, the monitor has it helped (MONITOR_NS); if its turns become
 *     longer than a watch, the monitor ends its peace.
 * All else in its ring is work to share, and stolen at once.  Whoever has work does not look for any; where that leaves one worker with many times as many tasks as another,
 * the monitor sees it, and has the poor one take half (level_with).
 *
 * A worker that has run out of work looks on for a while before it sleeps if that has paid: its last sleep was ended by new work at once (a quarter of SPIN_NS), or it found
 * work by looking on (twice as long, up to SPIN_NS; half as long if it did not).  Meanwhile it counts as a searcher, and nobody pays for waking it.
 *
 * Model: test/model/slot.pml.  Not here: what to do with a picked task (sched.c), whom to wake (idle.h).
 */
#include "core/sched.h"

#include "base/check.h"
#include "base/clock.h"
#include "core/life.h"
#include "core/offload.h"
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

/* The oldest of those that wait for whichever worker comes; its share of the others goes to its ring, so that it need not come back for each. */
static struct weft_task *take_injected(struct worker *w)
{
	struct inject_node *nodes[RUNQ_CAP / 2];
	uint32_t share = injectq_len(&w->rt->inject) / rt_active(w->rt) + 1; /* a hint */
	uint32_t n = injectq_pop_n(&w->rt->inject, nodes, share < RUNQ_CAP / 2 ? share : RUNQ_CAP / 2);

	for (uint32_t i = 1; i < n; i++)
		sched_push_tail(w, task_of_next(nodes[i]));
	return n ? task_of_next(nodes[0]) : NULL;
}

static struct weft_task *shared_queues(struct worker *w)
{
	struct weft_task *t = task_of_next(injectq_pop(&w->pinned));

	if (!t && injectq_len(&w->rt->ran) && weft__offload_collect(w))
		t = weft__sched_pick(w);
	if (!t)
		t = task_of_next(injectq_pop(&w->inbox));
	if (!t)
		t = take_injected(w);
	return t ? t : weft__prio_deal(w, false);
}

static void count_steal(struct worker *w, struct weft_task *t)
{
	if (t)
		store_relaxed(&w->stat_steals, load_relaxed(&w->stat_steals) + 1); /* statistics */
}

/* Takes a woken task out of a victim's slot. */
static struct weft_task *rob_slot(struct worker *w, struct worker *v)
{
	bool mixed = mixed_is(&v->mixed);
	struct weft_task *t = swap_acq_rel(&v->slot, NULL); /* pairs with store_release and swap in sched_push_slot */

	if (unlikely(t && mixed && task_is(t, TASK_PINNED))) {
		weft__sched_home(w->rt, t);
		return NULL;
	}
	count_steal(w, t);
	return t;
}

/* Takes the oldest that is not pinned to v out of a ring that may hold some that are: core/alone.h. */
NOINLINE static struct weft_task *rob_mixed(struct worker *w, struct worker *v)
{
	struct weft_task *t;

	while ((t = wsq_steal_one(&v->runq)) != NULL && task_is(t, TASK_PINNED)) /* they are few, and come no more */
		weft__sched_home(w->rt, t);
	return t;
}

/* Takes half of a victim's ring, and returns the oldest. */
static struct weft_task *rob_normal(struct worker *w, struct worker *v)
{
	uint32_t moved;

	return unlikely(mixed_is(&v->mixed)) ? rob_mixed(w, v) : wsq_steal(&v->runq, &w->runq, &moved);
}

/* ... or of its tasks of another class. */
static struct weft_task *rob_ring(struct worker *w, struct worker *v)
{
	bool classes = unlikely(weft__prio_kept(v) != 0);
	struct weft_task *t = classes ? weft__prio_rob(w, v, PRIOQ_HIGH) : NULL;

	if (!t)
		t = rob_normal(w, v);
	if (!t && classes)
		t = weft__prio_rob(w, v, PRIOQ_LOW);
	count_steal(w, t);
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
	if ((kicked || weft__loop_active(v->loop)) &&       /* it may have gone to sleep without knowing of what was started here */
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

/* Hears what the descriptors have to say that others listen to who run no task, before they are awake. */
static void hear_others(struct worker *w)
{
	struct runtime *rt = w->rt;
	unsigned n = rt_seats(rt), at = rng_below(&w->rng, n);
	bool kicked;

	for (unsigned i = 0; i < n && i < HEAR_MAX; i++, at = at + 1 == n ? 0 : at + 1) {
		struct worker *v = &rt->workers[at];

		if (v == w || load_relaxed(&v->cur) || !weft__loop_watches(v->loop)) /* hints */
			continue;
		weft__ready_list(w, weft__loop_poll(v->loop, LOOP_GUEST, &kicked));
		if (kicked && load_acquire(&v->parker.state) != PARKER_EMPTY) /* as in serve_loop */
			weft__loop_kick(v->loop);
	}
}

/* Is there an event already? What a task has just written another waits for, often: if that is seen here, nobody wakes for it. */
static struct weft_task *hear(struct worker *w)
{
	bool kicked; /* it is awake */

	if (weft__loop_watches(w->loop))
		weft__ready_list(w, weft__loop_poll(w->loop, LOOP_GUEST, &kicked));
	if (wsq_empty(&w->runq))
		hear_others(w);
	return weft__sched_pick(w);
}

/* The first task in v's ring is the one that was there a round ago. */
static bool stays(struct worker *w, struct worker *v)
{
	struct watched *was = &w->watched[v->id];
	uint32_t head = (uint32_t)load_relaxed(&v->runq.head), then = was->head; /* hints */
	bool empty = wsq_empty(&v->runq);

	was->head = empty ? head - 1 : head; /* none: what comes next shall be seen there twice, too */
	return head == then && !empty;
}

static struct weft_task *rob(struct worker *w, struct worker *v, int64_t now)
{
	if (sched_shares(v) || stays(w, v)) {
		struct weft_task *t = rob_ring(w, v);

		if (t)
			return t;
	}
	if (weft__sched_timers(w, &v->wheel, now) || serve_stuck(w, v))
		return weft__sched_pick(w);
	return NULL;
}

/* First pass: notes the ticks of workers that keep a task to themselves (slot, ring, inbox). Second pass (take): takes from one whose tick is the same. watched: for
 * SLOT_WATCH_NS, so leaves the others in peace. */
static struct weft_task *visit_kept(struct worker *w, bool take, bool watched, bool *seen)
{
	struct runtime *rt = w->rt;

	for (unsigned i = 0, n = rt_seats(rt); i < n; i++) {
		struct worker *v = &rt->workers[i];
		struct watched *was = &w->watched[i];
		uint32_t tick = load_relaxed(&v->tick); /* a hint: stale means one more look later */
		/* hints; what is placed on a worker is taken from it only when the monitor has found it stuck on a task */
		bool placed = injectq_len(&v->inbox) && stuck(v);
		bool keeps =
			placed || ((load_relaxed(&v->slot) || !wsq_empty(&v->runq) || weft__prio_kept(v)) && (stuck(v) || !sched_quiet(v)));
		uint32_t moved = tick - was->tick;
		struct weft_task *t;

		if (v == w)
			continue;
		if (take && keeps && !moved) {
			t = rob_slot(w, v);
			if (!t)
				t = rob_ring(w, v);
			if (!t && placed)
				t = task_of_next(injectq_pop(&v->inbox));
			if (t)
				return t;
		}
		if (watched && was->kept && moved > 1 && moved < QUIET_MAX / QUIET_TIMES)
			store_relaxed(&v->quiet_until, tick + moved * QUIET_TIMES); /* a hint */
		*seen |= keeps;
		was->kept = keeps;
		was->tick = keeps ? tick : tick - 1;
	}
	return NULL;
}

/* Only the tasks of workers that stand on one are looked at; the slot and inbox of one that has not moved since w's last visit. */
NOINLINE void weft__worker_help(struct worker *w)
{
	struct runtime *rt = w->rt;
	struct weft_task *t;
	bool seen = false;

	store_relaxed(&rt->help_wanted, false); /* a hint */
	for (unsigned i = 0, n = rt_seats(rt); i < n; i++) {
		struct worker *v = &rt->workers[i];

		if (v == w || !load_relaxed(&v->cur)) /* a hint */
			continue;
		weft__sched_timers(w, &v->wheel, w->coarse_now);
		w->errand |= stuck(v) && weft__loop_watches(v->loop); /* libuv wants an OS stack */
		t = rob_ring(w, v);
		if (t)
			weft__sched_push(w, t);
	}
	t = visit_kept(w, true, false, &seen);
	if (t)
		weft__sched_push(w, t);
}

/* Who has work does not search. Where tasks never wait, but only yield, whoever has few of them would keep few, and those would have all turns of a worker. Of NORMAL ones only, and if they
 * do not come among HIGH ones: what has another class has its share of another kind. */
NOINLINE void weft__worker_level(struct worker *w)
{
	struct worker *v = &w->rt->workers[load_relaxed(&w->level_with) - 1];
	struct weft_task *t;

	store_relaxed(&w->level_with, 0u); /* a hint */
	if (v == w || !sched_uneven(w, wsq_len(&v->runq)) || injectq_len(&w->prio.own[PRIOQ_HIGH]) ||
	    injectq_len(&w->prio.home[PRIOQ_HIGH]))
		return;
	t = rob_normal(w, v);
	count_steal(w, t);
	if (t)
		weft__sched_push(w, t);
}

/* One round over the victims, in the order of a policy that keeps one. */
NOINLINE static struct weft_task *rob_in_order(struct worker *w, int64_t now, int round)
{
	struct victim_round r;
	struct weft_task *t;
	int id;

	weft__victims_begin(w, &r, round);
	while ((id = weft__victims_next(w, &r)) >= 0) {
		t = rob(w, &w->rt->workers[id], now);
		weft__victims_told(w, id, t != NULL);
		if (t)
			return t;
	}
	return NULL;
}

/* One round over all victims, from a random one. */
static struct weft_task *rob_all(struct worker *w, int64_t now, int round)
{
	struct runtime *rt = w->rt;
	unsigned n = rt_seats(rt), at = rng_below(&w->rng, n);
	struct weft_task *t;

	if (rt->place.steal != WEFT_STEAL_RANDOM)
		return rob_in_order(w, now, round);
	for (unsigned i = 0; i < n; i++, at = at + 1 == n ? 0 : at + 1) {
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

	if (unlikely(w->rt->place.tracks))
		weft__place_note(w);
	for (unsigned i = 0, n = rt_seats(w->rt); i < n; i++)
		w->watched[i].head = (uint32_t)load_relaxed(&w->rt->workers[i].runq.head) - 1; /* another: to be seen there twice */
	for (int round = 0; round < SEARCH_ROUNDS; round++) {
		t = rob_all(w, clock_now(), round);
		if (!t)
			t = shared_queues(w);
		if (t)
			return t;
		cpu_relax();
	}
	return NULL;
}

/* Is there anything in a queue that is everybody's? kept: what a worker keeps alone in its ring counts, if it is not left in peace. */
static bool shared_work(struct worker *w, bool kept)
{
	struct runtime *rt = w->rt;

	if (injectq_len(&rt->inject) || injectq_len(&rt->ran) || injectq_len(&w->inbox) || injectq_len(&w->pinned) ||
	    weft__prio_anywhere(rt) || weft__prio_here(w) || load_relaxed(&rt->stopping)) /* after idle_enter: ordered by its fence */
		return true;
	for (unsigned i = 0, n = rt_seats(rt); i < n; i++) {
		struct worker *v = &rt->workers[i];

		if (sched_shares(v) || (kept && (!wsq_empty(&v->runq) || weft__prio_kept(v)) && (stuck(v) || !sched_quiet(v))))
			return true;
	}
	return false;
}

/* After idle_enter: is there anything in any queue? */
static bool any_work(struct worker *w)
{
	struct runtime *rt = w->rt;
	int64_t now = clock_now();

	/* ordered by idle_enter's fence; a pick that comes back for an errand leaves tasks in the ring */
	if (shared_work(w, true) || load_relaxed(&w->slot) || !wsq_empty(&w->runq) || w->errand)
		return true;
	for (unsigned i = 0, n = rt_seats(rt); i < n; i++) {
		if (wheel_next(&rt->workers[i].wheel) <= now)
			return true;
	}
	return false;
}

/* A moment between two looks, of fewer than LOOKS_MAX until `until`. (The tests' clock may stand still.) */
static bool look_again(int64_t until, int *looks)
{
	for (int i = 0; i < 16; i++)
		cpu_relax();
	return ++*looks < LOOKS_MAX && clock_now() < until;
}

/* What workers keep to themselves now, and still do at the same tick a moment later. asleep: the caller is on the list of sleepers, and may be notified. *other: it ended
 * early, for there is something else to do. */
static struct weft_task *still_kept(struct worker *w, bool asleep, bool *other)
{
	bool seen = false;
	int looks = 0;
	int64_t until;

	*other = false;
	visit_kept(w, false, false, &seen);
	if (!seen)
		return NULL;
	until = clock_now() + SLOT_WATCH_NS;
	do {
		*other = (asleep && load_relaxed(&w->parker.state) == PARKER_NOTIFIED) || shared_work(w, false); /* hints */
		if (*other)
			return NULL;
	} while (look_again(until, &looks));
	return visit_kept(w, true, true, &seen);
}

/* Looks on for a while, if that has paid lately. Returns whether there is something to do. */
static bool look_on(struct worker *w)
{
	int looks = 0;
	int64_t until;

	if (!w->spin_ns)
		return false;
	until = clock_now() + w->spin_ns;
	do {
		if (shared_work(w, true)) {
			w->spin_ns = w->spin_ns < SPIN_NS / 2 ? 2 * w->spin_ns : SPIN_NS;
			return true;
		}
	} while (look_again(until, &looks));
	w->spin_ns = w->spin_ns > SPIN_NS / 8 ? w->spin_ns / 2 : 0;
	return false;
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

	for (unsigned i = 0; i < rt_seats(rt) && n < LOOP_WARDS_MAX; i++) {
		struct worker *v = &rt->workers[i];

		if (v != w && stuck(v) && weft__loop_watches(v->loop)) {
			store_relaxed(&v->warded, true); /* a hint */
			loops[n] = v->loop;
			wards[n++] = v;
		}
	}
	if (parker_prepare(&w->parker) && !load_acquire(&rt->stopping)) {
		int64_t since = clock_now();

		store_relaxed(&w->stat_sleeps, load_relaxed(&w->stat_sleeps) + 1); /* statistics */
		ready = weft__loop_sleep(w->loop, wheel_next(&w->wheel), loops, n);
		if (load_relaxed(&w->parker.state) == PARKER_NOTIFIED && clock_now() - since < SPIN_WORTH_NS) /* a hint */
			w->spin_ns = w->spin_ns > SPIN_NS / 4 ? w->spin_ns : SPIN_NS / 4;
	}
	parker_done(&w->parker);
	searching = idle_leave(&rt->idle, w->id, false);
	weft__monitor_poke(rt);     /* not before: it may be about to look whether all sleep */
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
	bool searching = false, other, ignored, walk;
	unsigned seats;
	int id;

	for (;;) {
		if (load_acquire(&rt->stopping)) /* pairs with store_release in weft__runtime_stop */
			break;
		if (unlikely(seat_retired(w))) {
			id = searching ? idle_retire(&rt->idle) : -1;
			searching = false;
			if (id >= 0)
				weft__sched_notify(rt, (unsigned)id);
			t = weft__seat_rest(w);
			if (t)
				break;
			continue;
		}
		if (unlikely(w->errand)) {
			w->errand = false;
			weft__ready_list(w, weft__loop_poll(w->loop, LOOP_OWNER, &ignored)); /* a kick: it is awake */
			for (unsigned i = 0, n = rt_seats(rt); i < n; i++) {
				if (i != w->id)
					serve_stuck(w, &rt->workers[i]);
			}
		}
		t = weft__sched_pick(w);
		if (!t)
			t = shared_queues(w);
		if (!t) {
			w->coarse_now = clock_now();
			if (weft__sched_timers(w, &w->wheel, w->coarse_now))
				t = weft__sched_pick(w);
		}
		if (!t && rt_seats(rt) > 1)
			t = hear(w);
		if (t)
			break;
		if (!searching && rt_seats(rt) > 1)
			searching = idle_try_search(&rt->idle, rt_active(rt));
		if (searching) {
			t = search(w);
			if (!t)
				t = still_kept(w, false, &other);
			if (t)
				break;
			if (other || look_on(w))
				continue; /* from the start: its own queue and loop may want it, too */
		}
		asym_light(); /* pairs with asym_heavy in life.c, which says why none is missed: what ended here is counted before the look */
		if (unlikely(load_relaxed(&rt->watch)) && weft__life_look(w))
			continue;
		idle_enter(&rt->idle, w->id, searching);
		walk = unlikely(load_relaxed(&rt->watch)) &&
		       weft__life_walk(rt); /* after idle_enter: of two, the second sees the first asleep */
		if (walk || any_work(w)) {
			searching = idle_leave(&rt->idle, w->id, true);
			if (walk)
				weft__ctx_root_walk(rt);
			continue;
		}
		t = rt_seats(rt) > 1 ? still_kept(w, true, &other) : NULL;
		if (t) {
			searching = idle_leave(&rt->idle, w->id, false);
			break;
		}
		searching = sleep_now(w);
	}
	if (searching) {
		seats = rt_seats(rt);
		id = idle_found(&rt->idle, seats);
		if (id == IDLE_LOOK && rt_seats(rt) != seats)
			id = idle_pick(&rt->idle); /* one made meanwhile may have been counted as at rest, in the place of one that runs */
		else if (id == IDLE_LOOK)
			id = shared_work(w, true) || load_relaxed(&w->slot) || !wsq_empty(&w->runq) ? idle_pick(&rt->idle) : -1;
		if (id >= 0)
			weft__sched_notify(rt, (unsigned)id);
	}
	return t;
}

/* What was put on the ring by w on its own stack, less the task that it takes itself, is for others, too. */
static void pay(struct worker *w)
{
	w->owes = false;
	if (load_relaxed(&w->slot) || !wsq_empty(&w->runq) || weft__prio_kept(w)) /* own; thieves only take */
		weft__sched_wake(w->rt);
}

void weft__worker_main(struct worker *w)
{
	struct weft_task *t;

	weft__life_gate(w->rt);
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
		if (w->owes)
			pay(w);
		weft__sched_resume(w, t);
		if (load_acquire(&w->rt->stopping)) /* pairs with store_release in weft__runtime_stop */
			break;
	}
}
