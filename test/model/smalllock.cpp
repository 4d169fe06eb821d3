/* SPDX-License-Identifier: MIT
 *
 * smalllock.cpp - model of base/lock.h and base/lock.c: mutual exclusion, and no sleeper is forgotten.
 *
 * Three threads take the lock, one of them twice.  A forgotten sleeper shows as a deadlock.
 */
#include "futex.h"
#include "model.h"

#include "base/config.h"
#undef LOCK_SPINS
#define LOCK_SPINS 1
#include "base/lock.c"

struct three_lockers : rl::test_suite<three_lockers, 3> {
	struct lock lock;
	rl::var<int> guarded;

	void before()
	{
		store_relaxed(&lock.held, 0u);
		store_relaxed(&lock.waiters, 0u);
		guarded($) = 0;
	}

	void once()
	{
		lock_take(&lock, RANK_POOL);
		guarded($) = guarded($) + 1;
		lock_drop(&lock);
	}

	void thread(unsigned id)
	{
		once();
		if (id == 0)
			once();
	}

	void after()
	{
		RL_ASSERT(guarded($) == 4);
		RL_ASSERT(load_relaxed(&lock.held) == 0 && load_relaxed(&lock.waiters) == 0);
	}
};

/* lock_try never waits, and excludes as lock_take does. */
struct taker_and_trier : rl::test_suite<taker_and_trier, 2> {
	struct lock lock;
	rl::var<int> guarded;

	void before()
	{
		store_relaxed(&lock.held, 0u);
		store_relaxed(&lock.waiters, 0u);
		guarded($) = 0;
	}

	void thread(unsigned id)
	{
		for (int i = 0; i < 2; i++) {
			if (id == 0)
				lock_take(&lock, RANK_POOL);
			else if (!lock_try(&lock, RANK_POOL))
				continue;
			guarded($) = guarded($) + 1;
			lock_drop(&lock);
		}
	}
};

static const struct scenario scenarios[] = {
	{ "three lockers", rl::simulate<three_lockers>, 400000, 2 },
	{ "taking against trying", rl::simulate<taker_and_trier>, 200000, 3 },
};

static const struct mutation mutations[] = {
	{ "the unlocker has no fence", "lock_drop", "fence", "" },
	{ "the sleeper has no fence", "weft__lock_slow", "heavy", "" },
	{ "unlocking does not release", "lock_drop", "store_release", "&l->held" },
	{ "locking does not acquire", "lock_take", "cas_acquire", "&l->held" },
	{ "a slow locker does not acquire", "weft__lock_slow", "cas_acquire", "&l->held" },
	{ "trying does not acquire", "lock_try", "cas_acquire", "&l->held" },
};

MODEL_MAIN(scenarios, mutations)
