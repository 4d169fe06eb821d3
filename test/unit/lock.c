/* SPDX-License-Identifier: MIT
 *
 * lock.c - base/lock.h: does the small lock exclude, wake its sleepers, leave the lock alone once it is released, and (debug builds) watch the
 * ranks?
 */
#include "base/lock.h"

#include "tap.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS_MAX = 8 };

static struct {
	struct lock lock;
	long counter; /* under lock */
	long rounds;  /* constant while threads run */
} shared;

TEST(free_lock_is_taken_at_once)
{
	struct lock l = {0};

	T_EQ(load_relaxed(&l.word), LOCK_FREE);
	lock_take(&l, RANK_CHAN);
	T_EQ(load_relaxed(&l.word), LOCK_HELD);
	lock_drop(&l);
	T_EQ(load_relaxed(&l.word), LOCK_FREE);
	lock_take_solo(&l, RANK_CHAN);
	T_EQ(load_relaxed(&l.word), LOCK_HELD);
	lock_drop_solo(&l);
	T_EQ(load_relaxed(&l.word), LOCK_FREE);
}

static void *take_once(void *arg)
{
	lock_take(&shared.lock, RANK_CHAN);
	store_relaxed((ATOMIC(int) *)arg, 1);
	lock_drop(&shared.lock);
	return NULL;
}

/* Who finds it held says so in the word before it sleeps, and gets it when it is dropped. */
TEST(held_lock_is_waited_for)
{
	pthread_t t;
	ATOMIC(int) got = 0;

	lock_take(&shared.lock, RANK_CHAN);
	T_EQ(pthread_create(&t, NULL, take_once, &got), 0);
	while (load_relaxed(&shared.lock.word) != LOCK_WAITED)
		sched_yield();
	T_EQ(load_relaxed(&got), 0);
	lock_drop(&shared.lock);
	pthread_join(t, NULL);
	T_EQ(load_relaxed(&got), 1);
	T_EQ(load_relaxed(&shared.lock.word), LOCK_FREE);
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
	T_EQ(load_relaxed(&shared.lock.word), LOCK_FREE);
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

/* Sleepers are woken: every lock_drop here but the last finds some, and all threads get through. */
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
	T_EQ(load_relaxed(&shared.lock.word), LOCK_FREE);
}

enum { BATCH = 10000 };

struct mortal {
	struct lock lock;
	int owners; /* still to come; under lock */
};

static struct {
	pthread_barrier_t start, end;
	struct mortal *all[BATCH]; /* written between end and start */
	ATOMIC(int) through;       /* threads that have passed this batch */
} mortals;

/* Owns each of a batch once. The last owner frees it, as the receiver of its last element does with a channel. */
static void *own_and_free(void *arg)
{
	(void)arg;
	for (long r = 0; r < shared.rounds; r++) {
		pthread_barrier_wait(&mortals.start);
		for (int i = 0; i < BATCH; i++) {
			struct mortal *m = mortals.all[i];
			bool last;

			lock_take(&m->lock, RANK_CHAN);
			last = --m->owners == 0;
			lock_drop(&m->lock);
			if (last)
				free(m);
		}
		add_relaxed(&mortals.through, 1);
		pthread_barrier_wait(&mortals.end);
	}
	return NULL;
}

static void stand_still(int sig)
{
	struct timespec ts = {.tv_nsec = 50000};
	int saved = errno;

	(void)sig;
	nanosleep(&ts, NULL);
	errno = saved;
}

/* lock_drop does not touch the lock after it has released it.  TSan sees such an access whenever it is made; ASan and Valgrind, when the others have
 * overtaken and freed in between, for which signals stop the threads wherever they are. */
TEST_WORKERS(freed_by_the_next_owner)
{
	struct sigaction sa = {.sa_handler = stand_still, .sa_flags = SA_RESTART};
	pthread_t t[THREADS_MAX];
	int n = tap_workers();

	shared.rounds = 100; /* also in a slow run: it is for those */
	T_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
	T_EQ(pthread_barrier_init(&mortals.start, NULL, (unsigned)n + 1), 0);
	T_EQ(pthread_barrier_init(&mortals.end, NULL, (unsigned)n + 1), 0);
	for (int i = 0; i < n; i++)
		T_EQ(pthread_create(&t[i], NULL, own_and_free, NULL), 0);
	for (long r = 0; r < shared.rounds; r++) {
		for (int i = 0; i < BATCH; i++) {
			struct mortal *m = calloc(1, sizeof *m);

			T_OK(m != NULL);
			m->owners = n;
			mortals.all[i] = m;
		}
		store_relaxed(&mortals.through, 0); /* made visible by the barrier */
		pthread_barrier_wait(&mortals.start);
		for (int i = 0; load_relaxed(&mortals.through) < n; i++) {
			pthread_kill(t[i % n], SIGUSR1);
			stand_still(0);
		}
		pthread_barrier_wait(&mortals.end);
	}
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	pthread_barrier_destroy(&mortals.start);
	pthread_barrier_destroy(&mortals.end);
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
