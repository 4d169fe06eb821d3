/* SPDX-License-Identifier: MIT
 *
 * lock.c - base/lock.h: does the small lock exclude, wake its sleepers, and (debug builds) watch the ranks?
 */
#include "base/lock.h"

#include "base/clock.h"
#include "tap.h"
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 8 };

static struct {
	struct lock lock;
	long counter; /* under lock */
	long rounds;  /* constant while threads run */
} shared;

TEST(free_lock_is_taken_at_once)
{
	struct lock l = {0};

	lock_take(&l, RANK_CHAN);
	T_EQ(load_relaxed(&l.held), 1);
	lock_drop(&l);
	T_EQ(load_relaxed(&l.held), 0);
	T_OK(lock_try(&l, RANK_CHAN));
	lock_drop(&l);
}

static void *try_once(void *arg)
{
	bool got = lock_try(&shared.lock, RANK_CHAN);

	if (got)
		lock_drop(&shared.lock);
	*(bool *)arg = got;
	return NULL;
}

TEST(held_lock_is_not_taken_by_try)
{
	pthread_t t;
	bool got = true;

	lock_take(&shared.lock, RANK_CHAN);
	T_EQ(pthread_create(&t, NULL, try_once, &got), 0);
	pthread_join(t, NULL);
	lock_drop(&shared.lock);
	T_OK(!got);
}

static void *count(void *arg)
{
	(void)arg;
	for (long i = 0; i < shared.rounds; i++) {
		lock_take(&shared.lock, RANK_CHAN);
		shared.counter++;
		lock_drop(&shared.lock);
	}
	return NULL;
}

/* No increment is lost, and nobody is left sleeping, however many threads fight for the lock. */
TEST_WORKERS(excludes)
{
	pthread_t t[THREADS_MAX];
	int n = tap_workers();

	shared.rounds = tap_iters(400000);
	for (int i = 0; i < n; i++)
		T_EQ(pthread_create(&t[i], NULL, count, NULL), 0);
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	T_EQ(shared.counter, n * shared.rounds);
	T_EQ(load_relaxed(&shared.lock.held), 0);
	T_EQ(load_relaxed(&shared.lock.waiters), 0);
}

static void *hold(void *arg)
{
	(void)arg;
	for (long i = 0; i < shared.rounds; i++) {
		struct timespec ts = {.tv_nsec = 50000};

		lock_take(&shared.lock, RANK_CHAN);
		shared.counter++;
		nanosleep(&ts, NULL); /* long enough that the others sleep */
		lock_drop(&shared.lock);
	}
	return NULL;
}

/* Sleepers are woken: every lock_drop here finds some, and all threads get through. */
TEST_WORKERS(wakes_sleepers)
{
	pthread_t t[THREADS_MAX];
	int n = tap_workers();

	shared.rounds = 100;
	for (int i = 0; i < n; i++)
		T_EQ(pthread_create(&t[i], NULL, hold, NULL), 0);
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	T_EQ(shared.counter, n * shared.rounds);
}

#ifdef WEFT_DEBUG
static struct lock low, high;

TEST(ranks_rise)
{
	lock_take(&low, RANK_CHAN);
	lock_take(&high, RANK_POOL);
	T_EQ(weft__locks_held(), 2);
	lock_drop(&low); /* in any order */
	lock_drop(&high);
	T_EQ(weft__locks_held(), 0);
}

TEST(channel_locks_rise_in_address)
{
	struct lock two[2];

	memset(two, 0, sizeof two);
	lock_take(&two[0], RANK_CHAN);
	lock_take(&two[1], RANK_CHAN);
	lock_drop(&two[1]);
	lock_drop(&two[0]);
}

TEST_DIES(falling_rank_dies, "broken invariant")
{
	lock_take(&high, RANK_POOL);
	lock_take(&low, RANK_CHAN);
}

TEST_DIES(channel_locks_against_the_addresses_die, "broken invariant")
{
	struct lock two[2];

	memset(two, 0, sizeof two);
	lock_take(&two[1], RANK_CHAN);
	lock_take(&two[0], RANK_CHAN);
}
#endif
