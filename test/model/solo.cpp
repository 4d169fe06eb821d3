/* SPDX-License-Identifier: MIT
 *
 * solo.cpp - model of base/solo.h under base/lock.h, base/lock.c and core/waitword.h: what one worker does by plain loads
 * and stores while it is alone, and what the threads that come do by read-modify-writes, exclude each other all the same.
 *
 * Thread 0 is the worker.  The others come at any moment, end elision and use what it uses.  A forgotten sleeper, or a
 * wake-up that nobody owes, shows as a deadlock.  That a third thread comes while the second is between two of its
 * steps matters: some of the mutations are only seen by it.  The worker's sleep without a fence (core/idle.h) is here, too; core/park.c is in
 * park.cpp.
 *
 * Not noticed: a section that was not opened, and clears `in` without release.  By the rules of C++11, which are Relacy's,
 * the last section's release store heads a sequence to which the later plain ones of that thread belong; by those of C++20 it does not.
 */
#define MODEL_SOLO
bool model_enter();
void model_leave();
#define solo_elides() model_enter()
#define solo_elided() model_leave()
#define solo_is_on() model_is_on()
bool model_is_on();

#include "futex.h"
#include "model.h"

#include "base/config.h"
#undef LOCK_SPINS
#undef LOCK_PAUSE
#define LOCK_SPINS 1
#define LOCK_PAUSE 1
#include "base/lock.c"
#undef WORKERS_MAX
#define WORKERS_MAX 1
#include "core/idle.h"
#include "core/injectq.h"
#include "core/parker.h"
#include "core/waitword.h"

#define BLIND "a section does not look at the state again after in = 1"
#define EARLY "a section clears `in` before its stores"
#define HASTY "the second thread does not wait for `in`"
#define TRUSTING "a third thread looks at `in` although the second has not passed its fence"
#define LULLED "a worker passes no fence before it sleeps, although a second thread has come"
#define PUSHING "a third thread goes on while the second is on its way"

static struct solo *solo; /* of this execution */

bool model_enter()
{
	bool entered;

	if (MUTATED(BLIND)) {
		entered = load_relaxed(&solo->state) == SOLO_ON;
		if (entered) {
			store_relaxed(&solo->in, 1u);
			asym_light();
		}
		return entered;
	}
	entered = solo_enter(solo);
	if (entered && MUTATED(EARLY))
		solo_leave(solo);
	return entered;
}

void model_leave()
{
	if (!MUTATED(EARLY))
		solo_leave(solo);
}

bool model_is_on()
{
	return MUTATED(LULLED) || solo_on(solo);
}

/* solo_end as it was: only who has ended elision passes the fence, but everybody looks at `in`. */
static bool trusting_end(struct solo *s)
{
	uint32_t state = load_acquire(&s->state);

	if (state == SOLO_ON) {
		if (cas_acq_rel(&s->state, &state, SOLO_ENDING))
			asym_heavy();
		return false;
	}
	return state == SOLO_NEVER || (!load_acquire(&s->in) && cas_acq_rel(&s->state, &state, SOLO_NEVER));
}

/* weft__solo_end, which weft__worker calls for a thread that is no worker. */
static void arrive()
{
	uint32_t draining = SOLO_DRAINING;

	for (;;) {
		if (MUTATED(TRUSTING)) {
			if (trusting_end(solo))
				return;
		} else if (MUTATED(PUSHING) && load_acquire(&solo->state) == SOLO_ENDING) {
			return;
		} else if (MUTATED(HASTY) && cas_acq_rel(&solo->state, &draining, SOLO_NEVER)) {
			return;
		} else if (solo_end(solo)) {
			return;
		}
		draining = SOLO_DRAINING;
		rl::yield(1, $);
	}
}

template <typename suite> struct alone : rl::test_suite<suite, 3> {
	struct solo s;
	struct lock lock;

	void be_born(uint32_t state)
	{
		solo = &s;
		store_relaxed(&s.state, state);
		store_relaxed(&s.in, 0u);
		store_relaxed(&lock.word, LOCK_FREE);
	}

	void after()
	{
		RL_ASSERT(load_relaxed(&s.state) == SOLO_NEVER);
		RL_ASSERT(load_relaxed(&s.in) == 0);
		RL_ASSERT(load_relaxed(&lock.word) == LOCK_FREE);
	}
};

/* The lock, taken and dropped in two sections. */
struct lockers : alone<lockers> {
	rl::var<int> guarded;

	void before()
	{
		be_born(SOLO_ON);
		guarded($) = 0;
	}

	void once()
	{
		lock_take_solo(&lock, RANK_CHAN);
		guarded($) = guarded($) + 1;
		lock_drop_solo(&lock);
	}

	void thread(unsigned id)
	{
		if (id)
			arrive();
		once();
		if (id == 0)
			once();
	}

	void after()
	{
		alone::after();
		RL_ASSERT(guarded($) == 4);
	}
};

/* A whole operation in one section, which leaves the lock alone (sync/chan.h): against threads that take it. */
struct operations : alone<operations> {
	rl::var<int> guarded;

	void before()
	{
		be_born(SOLO_ON);
		guarded($) = 0;
	}

	void thread(unsigned id)
	{
		if (id)
			arrive();
		for (int i = id ? 1 : 0; i < 2; i++) {
			bool whole = solo_elides();

			if (!whole)
				lock_take(&lock, RANK_CHAN);
			guarded($) = guarded($) + 1;
			if (whole)
				solo_elided();
			else
				lock_drop(&lock);
		}
	}

	void after()
	{
		alone::after();
		RL_ASSERT(guarded($) == 4);
	}
};

/* Elision begins and is over while others come: a runtime starts and ends. */
struct begin_and_over : alone<begin_and_over> {
	rl::var<int> guarded;

	void before()
	{
		be_born(SOLO_OFF);
		guarded($) = 0;
	}

	void once()
	{
		lock_take_solo(&lock, RANK_CHAN);
		guarded($) = guarded($) + 1;
		lock_drop_solo(&lock);
	}

	void thread(unsigned id)
	{
		if (id) {
			arrive();
			once();
			return;
		}
		for (int i = 0; i < 2; i++) {
			solo_begin(&s);
			once();
			solo_over(&s);
		}
	}

	void after()
	{
		alone::after();
		RL_ASSERT(guarded($) == 4);
	}
};

/* The worker opens a wait, lists it and lets its deadline pass; one thread wakes it by the list, the other cancels it. Exactly one of the three ends
 * it, and the waiter sees what that one delivered. */
struct claimers : alone<claimers> {
	ATOMIC(uint64_t) wait;
	ATOMIC(uint32_t) ready;
	rl::var<uint64_t> list; /* the listed waiter's word, or 0; under lock */
	rl::var<int> delivered; /* written by the winner */
	int wins;

	void before()
	{
		be_born(SOLO_ON);
		store_relaxed(&wait, (uint64_t)0);
		store_relaxed(&ready, 0u);
		list($) = 0;
		delivered($) = 0;
		wins = 0;
	}

	void claim(uint64_t word, enum wait_state why, bool plain)
	{
		if (!(plain ? wait_claim_plain(&wait, word, why) : wait_claim(&wait, word, why)))
			return;
		wins++;
		delivered($) = (int)why;
		store_release(&ready, 1u); /* stands for a queue */
	}

	/* A wait in sections of its own, or ended inside the section of a whole operation. */
	void worker()
	{
		uint64_t word;
		bool whole;

		lock_take_solo(&lock, RANK_CHAN);
		word = wait_open(&wait, WAIT_OPEN);
		list($) = word;
		lock_drop_solo(&lock);
		whole = solo_elides();
		claim(word, WAIT_TIMEDOUT, whole);
		if (whole)
			solo_elided();
		while (!load_acquire(&ready))
			rl::yield(1, $);
		RL_ASSERT(wins == 1);
		RL_ASSERT(wait_state(load_relaxed(&wait)) == (enum wait_state)(int)delivered($));
	}

	void waker()
	{
		uint64_t word;

		arrive();
		lock_take_solo(&lock, RANK_CHAN);
		word = list($);
		if (word) {
			list($) = 0;
			claim(word, WAIT_WOKEN, false);
		}
		lock_drop_solo(&lock);
	}

	void canceller()
	{
		uint64_t word;

		arrive();
		word = load_acquire(&wait);
		if (wait_is_open(word))
			claim(word, WAIT_CANCELED, false);
	}

	void thread(unsigned id)
	{
		if (id == 0)
			worker();
		else if (id == 1)
			waker();
		else
			canceller();
	}
};

/* The same with claims that are each a section of their own. */
struct claims_alone : alone<claims_alone> {
	ATOMIC(uint64_t) wait;
	rl::var<int> delivered; /* written by the winner, in time for after() */
	ATOMIC(uint32_t) wins;

	void before()
	{
		be_born(SOLO_ON);
		store_relaxed(&wait, (uint64_t)1 << WAIT_STATE_BITS | WAIT_OPEN);
		store_relaxed(&wins, 0u);
		delivered($) = 0;
	}

	void thread(unsigned id)
	{
		if (id)
			arrive();
		if (wait_claim(&wait, (uint64_t)1 << WAIT_STATE_BITS | WAIT_OPEN, (enum wait_state)id)) {
			add_relaxed(&wins, 1u);
			delivered($) = (int)id;
		}
	}

	void after()
	{
		RL_ASSERT(load_relaxed(&wins) == 1);
		RL_ASSERT(wait_state(load_relaxed(&wait)) == (enum wait_state)(int)delivered($));
	}
};

/* solo_cas32 as a lock's word, solo_add64 as a counter. */
struct words : alone<words> {
	ATOMIC(uint32_t) held;
	ATOMIC(uint64_t) count;
	rl::var<int> guarded;

	void before()
	{
		be_born(SOLO_ON);
		store_relaxed(&held, 0u);
		store_relaxed(&count, (uint64_t)0);
		guarded($) = 0;
	}

	void once()
	{
		uint32_t was = 0;

		while (!solo_cas32(&held, &was, 1u)) {
			was = 0;
			rl::yield(1, $);
		}
		guarded($) = guarded($) + 1;
		was = 1;
		RL_ASSERT(solo_cas32(&held, &was, 0u));
		if (solo_add64(&count, 1) == 3)
			RL_ASSERT(guarded($) == 4);
	}

	void thread(unsigned id)
	{
		if (id)
			arrive();
		once();
		if (id == 0)
			once();
	}

	void after()
	{
		alone::after();
		RL_ASSERT(load_relaxed(&count) == 4);
	}
};

/* The worker has nothing to do and sleeps, without a fence while it is alone (core/idle.h). The monitor brings work, and is none that comes; a thread comes, and
 * brings some too, or does not wake anybody. */
template <typename suite, bool brings> struct sleeps : alone<suite> {
	struct idle idle;
	struct parker parker;
	struct injectq inject;
	struct inject_node node[3];
	ATOMIC(uint32_t) kick;

	void before()
	{
		this->be_born(SOLO_ON);
		idle_init(&idle);
		store_relaxed(&idle.lock.word, LOCK_FREE);
		injectq_init(&inject);
		store_relaxed(&inject.lock.word, LOCK_FREE);
		store_relaxed(&parker.state, PARKER_EMPTY);
		store_relaxed(&kick, 0u);
	}

	void wake()
	{
		if (idle_wake(&idle) >= 0 && parker_notify(&parker)) {
			store_release(&kick, 1u); /* an eventfd: the system call orders */
			weft__futex_wake(&kick, 1);
		}
	}

	void monitor()
	{
		injectq_push(&inject, &node[2]);
		asym_heavy();
		wake();
	}

	void worker()
	{
		for (int left = 1 + brings; left > 0;) {
			if (injectq_pop(&inject)) {
				left--;
				continue;
			}
			idle_enter(&idle, 0, false);
			if (injectq_len(&inject)) {
				idle_leave(&idle, 0, true);
				idle_found(&idle, 1);
				continue;
			}
			if (parker_prepare(&parker)) {
				while (load_acquire(&kick) == 0)
					weft__futex_wait(&kick, 0, INT64_MAX);
				store_relaxed(&kick, 0u);
			}
			parker_done(&parker);
			if (idle_leave(&idle, 0, false))
				idle_found(&idle, 1);
		}
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			worker();
		} else if (id == 1) {
			arrive();
			if (brings) {
				injectq_push(&inject, &node[1]);
				wake();
			}
		} else {
			monitor();
		}
	}
};
struct two_bring : sleeps<two_bring, true> {
};
struct monitor_brings : sleeps<monitor_brings, false> {
};

static const struct scenario scenarios[] = {
	{"two threads come and take the lock", rl::simulate<lockers>, 100000, 1},
	{"two threads come while whole operations are elided", rl::simulate<operations>, 100000, 2},
	{"two threads come while a runtime starts and ends", rl::simulate<begin_and_over>, 100000, 1},
	{"two threads come and claim the wait", rl::simulate<claimers>, 100000, 1},
	{"one wait, three claims", rl::simulate<claims_alone>, 50000, 3},
	{"two threads come and share words", rl::simulate<words>, 100000, 1},
	{"the worker sleeps; the monitor brings work, and a thread that comes", rl::simulate<two_bring>, 100000, 1},
	{"the worker sleeps; the monitor brings work, and a thread comes", rl::simulate<monitor_brings>, 100000, 2},
};

static const struct mutation mutations[] = {
	{"the second thread has no fence", "solo_end", "heavy", ""},
	{"a section has no fence", "solo_enter", "fence", ""},
	{HASTY},
	{BLIND},
	{TRUSTING},
	{PUSHING},
	{EARLY},
	{LULLED},
	{"a worker asks whether it is alone before it is on the list of sleepers", "solo_on", "fence", ""},
	{"the monitor passes no fence before it wakes", "monitor", "heavy", ""},
	{"leaving a section does not release", "solo_leave", "store_release", "&s->in"},
	{"the second thread does not acquire what the sections stored", "solo_end", "load_acquire", "&s->in"},
	{"the third thread does not acquire what the second saw", "solo_end", "load_acquire", "&s->state"},
	{"going on does not release to the third thread, nor acquire", "solo_end", "cas_acq_rel", "&s->state"},
	{"elision is over without release", "solo_over", "cas_acq_rel", "&s->state"},
};

MODEL_MAIN(scenarios, mutations)
