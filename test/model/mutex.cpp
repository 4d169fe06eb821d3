/* SPDX-License-Identifier: MIT
 *
 * mutex.cpp - model of sync/mutex.c and of core/lot.c under it, as they are: mutual exclusion, nobody waits for ever, and what one owner wrote the next one sees.
 *
 * One of the waiters may have a deadline, which passes at any moment, or be left behind by a runtime that goes down, before or after it was woken: whose
 * turn it was must pass on.  A lost turn shows as a deadlock.  The clock goes by little or by MUTEX_FAIR_NS at every look, so every
 * waiter is handed the mutex, or is woken to try again.  The steps of the protocol are taken apart in mutex.pml; here it is the orders, and those steps that
 * can be left out around the source.
 */
#include "waiting.h"

#include "lock.h"

#include "base/config.h"
#undef LOT_BUCKETS
#define LOT_BUCKETS 0 /* the table is the process's, and Relacy's atomics live in an execution */
#pragma GCC diagnostic ignored "-Wdiv-by-zero"
#include "core/lot.h"
static struct lot_bucket *bucket; /* of this execution */
#define lot_bucket(key) ((void)(key), bucket)
#define lot_mark(b) ((void)(b))
#include "core/lot.c"

static int64_t now; /* of this execution */

static int64_t clock_now(void)
{
	now += rl::rand(2) ? MUTEX_FAIR_NS : 1;
	return now;
}

struct weft_mutex {
	ATOMIC(uint32_t) weft__state, weft__owner;
};

static struct waiter *next_waiter(const char *func, struct lot_bucket *b, const void *key)
{
	if (!strcmp(func, "take_or_announce") && MUTATED("who takes the mutex in the slow path sets LOCKED only, whoever else waits"))
		return NULL;
	return weft__lot_next(b, key, NULL);
}
#define weft__lot_next(b, key, w) next_waiter(__func__, b, key)
#define _Static_assert(what, why) static_assert(true, why)
#include "sync/mutex.c"
#undef weft__lot_next

struct subject {
	weft_mutex m;
	struct lot_bucket b;
	struct weft_task tasks[WAITING_THREADS];
	rl::var<int> guarded;

	void be_born()
	{
		waiting_reset(tasks);
		store_relaxed(&m.weft__state, 0u);
		store_relaxed(&m.weft__owner, 0u);
		lock_reset(&b.lock);
		list_init(&b.waiters);
		bucket = &b;
		now = 1;
		guarded($) = 0;
	}

	void end()
	{
		RL_ASSERT(load_relaxed(&m.weft__state) == 0);
		RL_ASSERT(load_relaxed(&m.weft__owner) == 0);
		RL_ASSERT(list_empty(&b.waiters));
	}

	void unlock()
	{
		if (MUTATED("an unlock is a look for WAITERS and a store") && load_relaxed(&m.weft__state) == LOCKED) {
			store_relaxed(&m.weft__owner, 0u);
			store_release(&m.weft__state, 0u);
			return;
		}
		weft_mutex_unlock(&m);
	}

	void use()
	{
		guarded($) = guarded($) + 1;
		unlock();
	}

	void once()
	{
		RL_ASSERT(weft_mutex_lock(&m) == 0);
		use();
	}

	/* A deadline far off, as the call sees it: it passes as soon as it waits. */
	void impatient()
	{
		int rc = weft_mutex_lock_until(&m, INT64_MAX - 1);

		RL_ASSERT(rc == 0 || rc == WEFT_ETIMEDOUT);
		if (rc == 0)
			use();
	}

	void mortal(struct weft_task *t)
	{
		int rc;

		t->mortal = true;
		rc = weft_mutex_lock(&m);
		RL_ASSERT(rc == 0 || rc == WEFT_ECANCELED);
		if (rc == 0)
			use();
	}
};

struct three_lockers : rl::test_suite<three_lockers, 3> {
	struct subject s;

	void before()
	{
		s.be_born();
	}

	void thread(unsigned id)
	{
		s.once();
		if (id == 0)
			s.once();
	}

	void after()
	{
		s.end();
		RL_ASSERT(s.guarded($) == 4);
	}
};

struct deadline : rl::test_suite<deadline, 3> {
	struct subject s;

	void before()
	{
		s.be_born();
	}

	void thread(unsigned id)
	{
		if (id == 1)
			s.impatient();
		s.once();
	}

	void after()
	{
		s.end();
	}
};

struct left_behind : rl::test_suite<left_behind, 3> {
	struct subject s;

	void before()
	{
		s.be_born();
	}

	void thread(unsigned id)
	{
		if (id == 1)
			s.mortal(&s.tasks[1]);
		else
			s.once();
		if (id == 0)
			s.once();
	}

	void after()
	{
		s.end();
	}
};

struct tries : rl::test_suite<tries, 3> {
	struct subject s;

	void before()
	{
		s.be_born();
	}

	void thread(unsigned id)
	{
		if (id != 1)
			s.once();
		else if (weft_mutex_trylock(&s.m) == 0)
			s.use();
	}

	void after()
	{
		s.end();
	}
};

static const struct scenario scenarios[] = {
	{"three lockers, one of them twice", rl::simulate<three_lockers>, 100000, 1},
	{"the deadline of one passes", rl::simulate<deadline>, 100000, 2},
	{"one is left behind", rl::simulate<left_behind>, 100000, 2},
	{"one only tries", rl::simulate<tries>, 50000, 1},
};

static const struct mutation mutations[] = {
	{"an unlock is a look for WAITERS and a store"},
	{"who takes the mutex in the slow path sets LOCKED only, whoever else waits"},
	{LEFT_ALONE},
	{"locking and unlocking do not acquire and release", "solo_cas32", "cas_acq_rel", "p"},
	{"an unlock that found waiters does not release", "unlock_slow", "store_release", "state_of(m)"},
	{"who takes the mutex in the slow path does not acquire", "take_or_announce", "cas_acquire", "state_of(m)"},
	{"who only tries does not acquire", "take_free", "cas_acquire", "state_of(m)"},
	{"the bucket's lock does not release", "lock_drop_solo", "swap_release", "&l->word"},
	{"a wake-up does not release", "weft__ready", "store_release", "&t->futex"},
};

MODEL_MAIN(scenarios, mutations)
