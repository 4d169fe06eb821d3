/* SPDX-License-Identifier: MIT
 *
 * smalllock.cpp - model of base/lock.h and base/lock.c: mutual exclusion, no sleeper is forgotten, and the unlocker
 * does not touch the lock after its swap.
 *
 * A forgotten sleeper shows as a deadlock.  The end of a lock's memory is a plain write that must come after every
 * access to the lock's words, in the sense of happens-before: an access that is not ordered before it is a data race,
 * also where it was in time by luck.  Elision (lock_take_solo) is modelled in solo.cpp.
 */
#include "mortal.h"

#undef ATOMIC
#define ATOMIC(T) mortal<T>

#include "futex.h"

#include "base/config.h"
#undef LOCK_SPINS
#undef LOCK_PAUSE
#define LOCK_SPINS 1
#define LOCK_PAUSE 1
#include "base/lock.c"

/* The lock that was rejected: it unlocks by a plain store, then looks whether anybody is counted as waiting. */
struct counting_lock {
	ATOMIC(uint32_t) held, waiters;
};

static void counting_take(struct counting_lock *l)
{
	uint32_t was = 0;

	if (cas_acquire(&l->held, &was, 1u))
		return;
	add_relaxed(&l->waiters, 1u);
	asym_heavy();
	for (;;) {
		was = 0;
		if (cas_acquire(&l->held, &was, 1u))
			break;
		weft__futex_wait(&l->held, 1u, INT64_MAX);
	}
	add_relaxed(&l->waiters, (uint32_t)-1);
}

static void counting_drop(struct counting_lock *l)
{
	store_release(&l->held, 0u);
	asym_light();
	if (load_relaxed(&l->waiters)) /* the next owner may have freed it */
		weft__futex_wake(&l->held, 1);
}

/* weft__lock_slow without its spins, but what it takes after a sleep it marks as if nobody slept any more. */
static void forgetful_take(struct lock *l)
{
	uint32_t was = LOCK_FREE;

	if (cas_acquire(&l->word, &was, LOCK_HELD))
		return;
	while (swap_acquire(&l->word, LOCK_WAITED) != LOCK_FREE) {
		weft__futex_wait(&l->word, LOCK_WAITED, INT64_MAX);
		was = LOCK_FREE;
		if (cas_acquire(&l->word, &was, LOCK_HELD))
			return;
	}
}

#define COUNTING "the unlocker looks at a count of waiters after a plain store"

/* The real lock, unless a step is changed. */
struct subject {
	struct lock lock;
	struct counting_lock counting;

	void be_born()
	{
		lock.word.be_born(LOCK_FREE);
		counting.held.be_born(0u);
		counting.waiters.be_born(0u);
	}

	void die()
	{
		lock.word.die();
		counting.held.die();
		counting.waiters.die();
	}

	void take()
	{
		if (MUTATED(COUNTING))
			counting_take(&counting);
		else if (MUTATED("who takes the lock after a sleep forgets the other sleepers"))
			forgetful_take(&lock);
		else
			lock_take(&lock, RANK_CHAN);
	}

	void drop()
	{
		if (MUTATED(COUNTING)) {
			counting_drop(&counting);
		} else if (MUTATED("the unlocker wakes nobody")) {
			swap_release(&lock.word, LOCK_FREE);
		} else if (MUTATED("the unlocker leaves the wake to the next owner if the lock is marked again")) {
			if (swap_release(&lock.word, LOCK_FREE) == LOCK_WAITED && load_relaxed(&lock.word) != LOCK_WAITED)
				weft__lock_wake(&lock);
		} else {
			lock_drop(&lock);
		}
	}
};

/* One of them comes twice. */
struct three_lockers : rl::test_suite<three_lockers, 3> {
	struct subject s;
	rl::var<int> guarded;

	void before()
	{
		s.be_born();
		guarded($) = 0;
	}

	void once()
	{
		s.take();
		guarded($) = guarded($) + 1;
		s.drop();
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
		RL_ASSERT(load_relaxed(&s.lock.word) == LOCK_FREE);
	}
};

/* The last of n owners frees the lock as soon as it has dropped it, as the receiver of its last element does with a channel. */
template <typename suite, unsigned n> struct last_frees : rl::test_suite<suite, n> {
	struct subject s;
	rl::var<unsigned> owners; /* still to come; under s */

	void before()
	{
		s.be_born();
		owners($) = n;
	}

	void thread(unsigned)
	{
		unsigned left;

		s.take();
		left = owners($) - 1;
		owners($) = left;
		s.drop();
		if (left == 0)
			s.die();
	}

	void after()
	{
		RL_ASSERT(owners($) == 0);
	}
};
struct last_of_two : last_frees<last_of_two, 2> {
};
struct last_of_three : last_frees<last_of_three, 3> {
};

static const struct scenario scenarios[] = {
	{"three lockers", rl::simulate<three_lockers>, 400000, 2},
	{"the last of two frees the lock", rl::simulate<last_of_two>, 100000, 4},
	{"the last of three frees the lock", rl::simulate<last_of_three>, 200000, 2},
};

static const struct mutation mutations[] = {
	{COUNTING},
	{"the unlocker leaves the wake to the next owner if the lock is marked again"},
	{"the unlocker wakes nobody"},
	{"who takes the lock after a sleep forgets the other sleepers"},
	{"unlocking does not release", "lock_drop", "swap_release", "&l->word"},
	{"locking does not acquire", "lock_take", "cas_acquire", "&l->word"},
	{"a locker that spun does not acquire", "weft__lock_slow", "cas_acquire", "&l->word"},
	{"a locker that slept does not acquire", "weft__lock_slow", "swap_acquire", "&l->word"},
};

MODEL_MAIN(scenarios, mutations)
