/* SPDX-License-Identifier: MIT
 *
 * idle.cpp - model of core/parker.h and core/idle.h over queue/wsq.h: no work is ever left in a queue while a worker
 * sleeps.
 *
 * A worker that has got its share of work never comes back (it spins in a task), so nobody but the sleepers can take
 * what is left.  If they sleep for ever, that is a deadlock.  Watching a slot is one look here, for its owner does not move; slot.pml has the rest.
 */
#include "futex.h"
#include "lock.h"
#include "model.h"

#include "base/config.h"
#undef WORKERS_MAX
#define WORKERS_MAX 3
#define WSQ_CAP 4
#include "core/idle.h"
#include "core/injectq.h"
#include "core/parker.h"
#include "queue/wsq.h"

/* Which sleeper is woken is a matter of taste (core/victim.c): any will do. */
static unsigned anyone(struct idle *i)
{
	return rl::rand(shared_get(&i->n));
}

/* What all scenarios share: three workers, their rings, and the loop in which they look for work. */
struct workers {
	struct idle idle;
	struct parker parker[3];
	struct wsq q[3];
	ATOMIC(uint32_t) kick[3]; /* a worker's loop: set and woken by whoever kicks it, or by an event */
	struct injectq inject;
	ATOMIC(void *) slot; /* the first worker's, which computes for ever: core/worker.c, rob_slot */
	struct inject_node node[4];
	rl::var<int> payload[4];
	int ran[4];
	unsigned n;

	void reset(unsigned workers)
	{
		n = workers;
		idle_init(&idle);
		idle.choose = anyone;
		lock_reset(&idle.lock);
		injectq_init(&inject);
		lock_reset(&inject.lock);
		store_relaxed(&slot, (void *)NULL);
		for (int i = 0; i < 3; i++) {
			store_relaxed(&parker[i].state, PARKER_EMPTY);
			store_relaxed(&kick[i], 0u);
			wsq_init(&q[i]);
			for (int k = 0; k < WSQ_CAP; k++)
				store_relaxed(&q[i].slot[k], (void *)NULL);
		}
		for (int i = 0; i < 4; i++)
			ran[i] = 0;
	}

	void interrupt(unsigned id)
	{
		store_release(&kick[id], 1u); /* an eventfd: the system call orders */
		weft__futex_wake(&kick[id], 1);
	}

	void notify(int id)
	{
		if (id >= 0 && parker_notify(&parker[id]))
			interrupt((unsigned)id);
	}

	void publish(unsigned self, int i)
	{
		payload[i]($) = 100 + i;
		RL_ASSERT(wsq_push(&q[self], &payload[i]));
		notify(idle_wake(&idle));
	}

	/* weft_go_batch: n of them, from i on, and one pass over the sleepers */
	void publish_many(unsigned self, int i, uint32_t many)
	{
		uint16_t ids[4];
		bool early = MUTATED("a batch is published after the look at who sleeps");

		for (uint32_t k = 0; k < many && !early; k++) {
			payload[i + (int)k]($) = 100 + i + (int)k;
			RL_ASSERT(wsq_push(&q[self], &payload[i + (int)k]));
		}
		rl::atomic_thread_fence(rl::mo_seq_cst, $); /* batch.c's */
		for (uint32_t got = idle_sleepers(&idle) ? idle_pick_many(&idle, ids, many) : 0; got > 0; got--)
			notify(ids[got - 1]);
		for (uint32_t k = 0; k < many && early; k++) {
			payload[i + (int)k]($) = 100 + i + (int)k;
			RL_ASSERT(wsq_push(&q[self], &payload[i + (int)k]));
		}
	}

	/* sched_push_slot */
	void publish_slot(int i)
	{
		payload[i]($) = 100 + i;
		store_release(&slot, (void *)&payload[i]);
		notify(idle_wake(&idle));
	}

	void *rob_slot()
	{
		return load_relaxed(&slot) ? swap_acq_rel(&slot, (void *)NULL) : NULL;
	}

	/* What a thread that owns no ring does. */
	void publish_foreign(int i)
	{
		payload[i]($) = 100 + i;
		injectq_push(&inject, &node[i]);
		if (!MUTATED("a foreign thread has no fence"))
			rl::atomic_thread_fence(rl::mo_seq_cst, $);
		notify(idle_wake(&idle));
	}

	/* What a lane's thread does where there is one worker: behind another it relies on the wake-up of that one (core/lane_thread.c, to_workers). */
	void pass_on(int i)
	{
		bool before = injectq_len(&inject) != 0;

		payload[i]($) = 100 + i;
		if (injectq_push(&inject, &node[i]) != 0 || (before && MUTATED("a lane's thread looks for others before it queues")))
			return;
		rl::atomic_thread_fence(rl::mo_seq_cst, $);
		notify(idle_wake(&idle));
	}

	void *take_injected()
	{
		struct inject_node *i = injectq_pop(&inject);

		return i ? &payload[i - node] : NULL;
	}

	void run(void *p)
	{
		int i = (int)((rl::var<int> *)p - payload);

		RL_ASSERT(payload[i]($) == 100 + i);
		RL_ASSERT(ran[i]++ == 0);
	}

	void *look_for_work(unsigned self)
	{
		uint32_t moved;
		void *p = wsq_pop(&q[self]);

		for (unsigned k = 1; !p && k < n; k++)
			p = wsq_steal(&q[(self + k) % n], &q[self], &moved);
		if (!p)
			p = take_injected();
		return p ? p : rob_slot();
	}

	bool something_queued()
	{
		for (unsigned k = 0; k < n; k++)
			if (!wsq_empty(&q[k]))
				return true;
		return injectq_len(&inject) != 0;
	}

	/* As find in worker.c ends. */
	void found()
	{
		int id = idle_found(&idle, n);

		if (id == IDLE_LOOK)
			id = something_queued() && !MUTATED("the last searcher looks nowhere") ? idle_pick(&idle) : -1;
		notify(id);
	}

	/* A worker without work looks, searches and sleeps until it has found one piece, which it has run when this
	 * returns. */
	void work(unsigned self)
	{
		bool searching = false;
		void *p;

		for (;;) {
			p = wsq_pop(&q[self]);
			if (!p && !searching)
				searching = idle_try_search(&idle, n);
			if (!p && searching)
				p = look_for_work(self);
			if (p) {
				if (searching) {
					if (MUTATED("the last searcher wakes nobody"))
						add_acq_rel(&idle.state, 0u - IDLE_SEARCHER);
					else
						found();
				}
				run(p);
				return;
			}
			searching = sleep(self, searching, &p);
			if (p) {
				if (searching)
					found();
				run(p);
				return;
			}
		}
	}

	/* Returns whether it counts as a searcher now. *p: what it has found in the slot. */
	bool sleep(unsigned self, bool searching, void **p)
	{
		bool late = MUTATED("sleep is announced before the search ends");

		idle_enter(&idle, self, searching && !late);
		if (!MUTATED("nobody looks a second time") && something_queued()) {
			if (searching && late)
				add_acq_rel(&idle.state, 0u - IDLE_SEARCHER);
			return idle_leave(&idle, self, true);
		}
		if (searching && late)
			add_acq_rel(&idle.state, 0u - IDLE_SEARCHER);
		if (!MUTATED("nobody looks at the slot a second time"))
			*p = rob_slot();
		if (*p)
			return idle_leave(&idle, self, false);
		if (prepare(&parker[self])) {
			while (load_acquire(&kick[self]) == 0)
				weft__futex_wait(&kick[self], 0, INT64_MAX);
			store_relaxed(&kick[self], 0u);
		}
		parker_done(&parker[self]);
		return idle_leave(&idle, self, false);
	}

	bool prepare(struct parker *p)
	{
		if (!MUTATED("the parker is set by a store"))
			return parker_prepare(p);
		store_release(&p->state, PARKER_SLEEPING);
		return true;
	}
};

/* One worker publishes one task and never looks again; the other must get it. */
struct one_sleeper : rl::test_suite<one_sleeper, 2> {
	struct workers w;

	void before()
	{
		w.reset(2);
	}

	void thread(unsigned id)
	{
		if (id == 0)
			w.publish(0, 0);
		else
			w.work(1);
	}
};

/* One publishes two tasks; each of the two others may take one only, so whoever takes the first must see to the
 * second. */
struct two_sleepers : rl::test_suite<two_sleepers, 3> {
	struct workers w;

	void before()
	{
		w.reset(3);
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			w.publish(0, 0);
			w.publish(0, 1);
		} else {
			w.work(id);
		}
	}
};

/* One publishes three; whoever robs it of two must not sit on the second. */
struct loot : rl::test_suite<loot, 3> {
	struct workers w;

	void before()
	{
		w.reset(3);
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			w.publish(0, 0);
			w.publish(0, 1);
			w.publish(0, 2);
		} else {
			w.work(id);
			if (id == 2)
				w.work(id);
		}
	}
};

/* One publishes a batch of two, and computes for ever: each of the two others gets one, or one of them both. */
struct batch : rl::test_suite<batch, 3> {
	struct workers w;

	void before()
	{
		w.reset(3);
	}

	void thread(unsigned id)
	{
		if (id == 0)
			w.publish_many(0, 0, 2);
		else
			w.work(id);
	}
};

/* The same while another publishes one. */
struct batch_and_one : rl::test_suite<batch_and_one, 3> {
	struct workers w;

	void before()
	{
		w.reset(3);
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			w.publish_many(0, 0, 2);
		} else if (id == 1) {
			w.publish(1, 2);
		} else {
			w.work(2);
			w.work(2);
			w.work(2);
		}
	}
};

/* Two publish at the same time; the third must get both. */
struct two_publishers : rl::test_suite<two_publishers, 3> {
	struct workers w;

	void before()
	{
		w.reset(3);
	}

	void thread(unsigned id)
	{
		if (id < 2) {
			w.publish(id, (int)id);
		} else {
			w.work(2);
			w.work(2);
		}
	}
};

/* A sleeper is woken by an event of its own while others want to wake it. */
struct event_meets_wake : rl::test_suite<event_meets_wake, 3> {
	struct workers w;

	void before()
	{
		w.reset(3);
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			w.publish(0, 0);
			w.interrupt(1);
			w.publish(0, 1);
			w.interrupt(2);
		} else {
			w.work(id);
		}
	}
};

/* A thread that is no worker publishes two tasks through the injection queue. */
struct foreign : rl::test_suite<foreign, 3> {
	struct workers w;

	void before()
	{
		w.reset(3);
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			w.publish_foreign(0);
			w.publish_foreign(1);
		} else {
			w.work(id);
		}
	}
};

/* The same, and there are no workers but the two that sleep: the one that is woken first may find the other asleep, and nobody else awake. */
struct foreign_alone : rl::test_suite<foreign_alone, 3> {
	struct workers w;

	void before()
	{
		w.reset(2);
	}

	void thread(unsigned id)
	{
		if (id == 2) {
			w.publish_foreign(0);
			w.publish_foreign(1);
		} else {
			w.work(id);
		}
	}
};

/* Two threads of lanes pass on a job each, to one worker, which sleeps. */
struct lanes : rl::test_suite<lanes, 3> {
	struct workers w;

	void before()
	{
		w.reset(1);
	}

	void thread(unsigned id)
	{
		if (id) {
			w.pass_on((int)id);
		} else {
			w.work(0);
			w.work(0);
		}
	}
};

/* One publishes a task in its slot, and computes for ever. */
struct full_slot : rl::test_suite<full_slot, 2> {
	struct workers w;

	void before()
	{
		w.reset(2);
	}

	void thread(unsigned id)
	{
		if (id == 0)
			w.publish_slot(0);
		else
			w.work(1);
	}
};

/* The same, and one in its ring. */
struct slot_and_ring : rl::test_suite<slot_and_ring, 3> {
	struct workers w;

	void before()
	{
		w.reset(3);
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			w.publish_slot(0);
			w.publish(0, 1);
		} else {
			w.work(id);
		}
	}
};

/* The parker alone: what was written before the notification is visible after it, and the sleeper is kicked exactly
 * when it sleeps. */
struct parker_alone : rl::test_suite<parker_alone, 2> {
	struct workers w;
	rl::var<int> message, loop_made_ready;

	void before()
	{
		w.reset(2);
		message($) = 0;
		loop_made_ready($) = 0;
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			message($) = 1;
			if (parker_notify(&w.parker[1])) {
				RL_ASSERT(loop_made_ready($) == 1);
				w.interrupt(1);
			}
			return;
		}
		loop_made_ready($) = 1;
		do {
			if (w.prepare(&w.parker[1])) {
				while (load_acquire(&w.kick[1]) == 0)
					weft__futex_wait(&w.kick[1], 0, INT64_MAX);
			}
		} while (!parker_done(&w.parker[1]));
		RL_ASSERT(message($) == 1);
	}
};

static const struct scenario scenarios[] = {
	{"the parker alone", rl::simulate<parker_alone>, 50000, 4},
	{"a foreign thread publishes two, all workers sleep", rl::simulate<foreign_alone>, 150000, 2},
	{"one publishes, one sleeps", rl::simulate<one_sleeper>, 100000, 3},
	{"one publishes two, two sleep", rl::simulate<two_sleepers>, 150000, 2},
	{"one publishes three, two sleep", rl::simulate<loot>, 150000, 1},
	{"two publish, one sleeps", rl::simulate<two_publishers>, 150000, 1},
	{"an event meets a wake", rl::simulate<event_meets_wake>, 150000, 1},
	{"a foreign thread publishes two, two sleep", rl::simulate<foreign>, 100000, 1},
	{"two lanes pass on a job each, one sleeps", rl::simulate<lanes>, 100000, 2},
	{"one fills its slot, one sleeps", rl::simulate<full_slot>, 100000, 3},
	{"one fills its slot and publishes one, two sleep", rl::simulate<slot_and_ring>, 100000, 1},
	{"one publishes a batch, two sleep", rl::simulate<batch>, 100000, 1},
	{"one publishes a batch, one a task, one sleeps", rl::simulate<batch_and_one>, 100000, 1},
};

static const struct mutation mutations[] = {
	{"nobody looks a second time"},
	{"a batch is published after the look at who sleeps"},
	{"nobody looks at the slot a second time"},
	{"filling the slot does not release", "publish_slot", "store_release", "&slot"},
	{"robbing the slot does not acquire", "rob_slot", "swap_acq_rel", "&slot"},
	{"sleep is announced before the search ends"},
	{"the last searcher wakes nobody"},
	{"the last searcher looks nowhere"},
	{"a foreign thread has no fence"},
	{"a lane's thread looks for others before it queues"},
	{"the last searcher has no fence", "idle_found", "fence", ""},
	{"the parker is set by a store"},
	{"a waker has no fence", "idle_wanting", "fence", ""},
	{"the last searcher does not release its loot", "idle_found", "add_acq_rel", "&i->state"},
	{"a sleeper has no fence", "idle_enter", "heavy", ""},
	{"a notification does not release", "parker_notify", "swap_acq_rel", "&p->state"},
	{"going to sleep does not release", "parker_prepare", "cas_release", "&p->state"},
	{"waking up does not acquire", "parker_done", "swap_acquire", "&p->state"},
};

MODEL_MAIN(scenarios, mutations)
