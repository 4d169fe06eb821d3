/* SPDX-License-Identifier: MIT
 *
 * locks.c - recursive mutex, spin lock, and blocks that hold a lock: whose they are, how often, and on which ways out they are given up.
 */
#include "rt.h"

#include <pthread.h>

/* --- recursive mutex --- */

struct depth {
	weft_rmutex m;
	weft_event go;
	long n;
};

static int tries(void *arg)
{
	struct depth *d = arg;
	int rc = weft_rmutex_trylock(&d->m);

	if (!rc)
		weft_rmutex_unlock(&d->m);
	return rc;
}

static int depth_main(void *arg)
{
	struct depth d = {.n = 0};

	(void)arg;
	for (int i = 0; i < 10; i++)
		T_EQ(i % 2 ? weft_rmutex_lock(&d.m) : weft_rmutex_trylock(&d.m), 0);
	for (int i = 0; i < 10; i++) {
		T_EQ(finish(start(tries, &d)), WEFT_EAGAIN);
		weft_task_yield(); /* maybe to another worker */
		weft_rmutex_unlock(&d.m);
	}
	T_EQ(finish(start(tries, &d)), 0);
	return 0;
}

/* It is free when it has been unlocked as often as locked. */
TEST_WORKERS(recursive_depth)
{
	run(depth_main, NULL);
}

static int cancelled_inside(void *arg)
{
	struct depth *d = arg;

	T_EQ(weft_rmutex_lock(&d->m), 0);
	T_EQ(weft_task_cancel(weft_task_self()), 0);
	T_EQ(weft_rmutex_lock(&d->m), WEFT_ECANCELED);
	weft_rmutex_unlock(&d->m);
	return 0;
}

static int cancelled_inside_main(void *arg)
{
	struct depth d = {.n = 0};

	(void)arg;
	T_EQ(finish(start(cancelled_inside, &d)), 0);
	return finish(start(tries, &d));
}

/* A further lock that is cancelled is none. */
TEST_WORKERS(recursive_cancelled)
{
	run(cancelled_inside_main, NULL);
}

static int counts_in_depth(void *arg)
{
	struct depth *d = arg;

	for (long i = 0; i < tap_iters(500); i++) {
		T_EQ(weft_rmutex_lock(&d->m), 0);
		T_EQ(weft_rmutex_lock(&d->m), 0);
		d->n++;
		weft_rmutex_unlock(&d->m);
		if (i % 9 == 0)
			weft_task_yield();
		d->n++;
		weft_rmutex_unlock(&d->m);
	}
	return 0;
}

static void *thread_counts(void *arg)
{
	counts_in_depth(arg);
	return NULL;
}

static int counts_main(void *arg)
{
	struct depth d = {.n = 0};
	weft_task *t[8];
	pthread_t th;

	(void)arg;
	T_EQ(pthread_create(&th, NULL, thread_counts, &d), 0);
	for (int i = 0; i < 8; i++)
		t[i] = start(counts_in_depth, &d);
	for (int i = 0; i < 8; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(pthread_join(th, NULL), 0);
	T_EQ(d.n, 9 * 2 * tap_iters(500));
	return 0;
}

TEST_WORKERS(recursive_exclusion)
{
	run(counts_main, NULL);
}

static int unlocks(void *arg)
{
	weft_rmutex_unlock(&((struct depth *)arg)->m);
	return 0;
}

static int unlock_free_main(void *arg)
{
	struct depth d = {.n = 0};

	(void)arg;
	return unlocks(&d);
}

static int unlock_other_main(void *arg)
{
	struct depth d = {.n = 0};

	(void)arg;
	T_EQ(weft_rmutex_lock(&d.m), 0);
	T_EQ(weft_rmutex_lock(&d.m), 0);
	return finish(start(unlocks, &d));
}

TEST_DIES_WORKERS(recursive_unlock_of_a_free_one, "is not locked")
{
	run(unlock_free_main, NULL);
}

TEST_DIES_WORKERS(recursive_unlock_of_anothers, "not by the caller")
{
	run(unlock_other_main, NULL);
}

TEST_DIES(recursive_too_deep, "was locked too often")
{
	weft_rmutex m = {.weft__depth = 0};

	T_EQ(weft_rmutex_lock(&m), 0);
	m.weft__depth = UINT32_MAX;
	weft_rmutex_lock(&m);
}

/* --- spin lock --- */

struct spun {
	weft_spin s;
	long n, each;
};

static int spins(void *arg)
{
	struct spun *k = arg;

	for (long i = 0; i < k->each; i++) {
		if (i % 3)
			weft_spin_lock(&k->s);
		else
			until(weft_spin_trylock(&k->s) == 0);
		k->n++;
		weft_spin_unlock(&k->s);
		if (i % 100 == 0)
			weft_task_yield();
	}
	return 0;
}

static void *thread_spins(void *arg)
{
	spins(arg);
	return NULL;
}

static int spin_main(void *arg)
{
	struct spun k = {.each = tap_iters(5000)};
	weft_spin other = {0};
	weft_task *t[8];
	pthread_t th;

	(void)arg;
	weft_spin_lock(&k.s);
	T_EQ(weft_spin_trylock(&k.s), WEFT_EAGAIN);
	weft_spin_lock(&other);
	weft_spin_unlock(&k.s); /* in any order */
	weft_spin_unlock(&other);
	T_EQ(pthread_create(&th, NULL, thread_spins, &k), 0);
	for (int i = 0; i < 8; i++)
		t[i] = start(spins, &k);
	for (int i = 0; i < 8; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(pthread_join(th, NULL), 0);
	T_EQ(k.n, 9 * k.each);
	return 0;
}

/* One at a time, tasks and a thread outside. */
TEST_WORKERS(spin_exclusion)
{
	run(spin_main, NULL);
}

#ifdef WEFT_DEBUG
static int parks_inside(void *arg)
{
	weft_spin s = {0};

	(void)arg;
	weft_spin_lock(&s);
	weft_task_sleep(WEFT_MS);
	return 0;
}

TEST_DIES_WORKERS(spin_parks_inside, "while it holds the spin lock")
{
	run(parks_inside, NULL);
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int yields_inside(void *arg)
{
	weft_spin s = {0};

	(void)arg;
	weft_task_detach(start(nothing, NULL));
	weft_spin_lock(&s);
	for (int i = 0; i < 1000; i++)
		weft_task_yield();
	return 0;
}

TEST_DIES_WORKERS(spin_yields_inside, "while it holds the spin lock")
{
	run(yields_inside, NULL);
}

TEST_DIES(spin_thread_sleeps_inside, "while it holds the spin lock")
{
	weft_event e = {0};
	weft_spin s = {0};

	weft_spin_lock(&s);
	weft_event_wait(&e);
}

TEST_DIES(spin_twice, "weft_spin_lock: the caller holds")
{
	weft_spin s = {0};

	weft_spin_lock(&s);
	weft_spin_lock(&s);
}

TEST_DIES(spin_unlock_of_a_free_one, "weft_spin_unlock: the caller does not hold")
{
	weft_spin s = {0};

	weft_spin_unlock(&s);
}
#endif

/* --- blocks --- */

static weft_mutex gm;
static weft_rmutex grm;
static weft_rwlock grw;

static void all_free(void)
{
	T_EQ(weft_mutex_trylock(&gm), 0);
	weft_mutex_unlock(&gm);
	T_EQ(weft_rwlock_trywrlock(&grw), 0);
	weft_rwlock_unlock(&grw);
	T_EQ(weft_rmutex_trylock(&grm), 0);
	weft_rmutex_unlock(&grm);
}

static void all_held(void)
{
	int rc = weft_mutex_lock_until(&gm, WEFT_NOW);

	T_EQ(rc, WEFT_EDEADLK);
	T_EQ(weft_rwlock_trywrlock(&grw), WEFT_EAGAIN);
}

static int leaves(int how)
{
	int rounds = 0;

	for (int i = 0; i < 3; i++) {
		rounds++;
		WEFT_WITH_LOCK (&gm) {
			WEFT_WITH_RMUTEX (&grm) {
				WEFT_WITH_RMUTEX (&grm) {
					WEFT_WITH_RDLOCK (&grw) {
						all_held();
						if (how == 1)
							return 1;
						if (how == 2)
							goto out;
						if (how == 3)
							weft_task_exit(3);
						if (how == 4)
							weft_task_panic("four");
						if (how == 5)
							break;
						if (how == 6)
							continue;
					}
				}
			}
		}
		all_free();
		WEFT_WITH_WRLOCK (&grw)
			T_EQ(weft_rwlock_tryrdlock(&grw), WEFT_EAGAIN);
	}
	T_EQ(rounds, 3);
	return how;
out:
	return 2;
}

static int leaves_task(void *arg)
{
	return leaves(*(int *)arg);
}

static int leaves_main(void *arg)
{
	weft_panic p;

	(void)arg;
	for (int how = 0; how < 7; how++) {
		if (how == 4) {
			T_EQ(weft_task_try(leaves_task, &how, &p), WEFT_EPANIC);
			T_STR_EQ(p.message, "four");
		} else {
			T_EQ(finish(start(leaves_task, &how)), how);
		}
		all_free();
	}
	return 0;
}

/* Whichever way a block is left, its lock is given up; break and continue leave the block. */
TEST_WORKERS(block_ways_out)
{
	run(leaves_main, NULL);
}

static int refused(void *arg)
{
	int rc = 1, runs = 0;

	(void)arg;
	T_EQ(weft_task_cancel(weft_task_self()), 0);
	WEFT_WITH_LOCK (&gm)
		runs++;
	WEFT_WITH_LOCK (&gm) {
		runs++;
	} else {
		runs += 100;
	}
	WEFT_WITH_LOCK_OR (&gm, rc) {
		runs++;
	}
	T_EQ(rc, WEFT_ECANCELED);
	rc = 1;
	WEFT_WITH_RDLOCK_OR (&grw, rc) {
		runs++;
	} else {
		T_EQ(rc, WEFT_ECANCELED);
		runs += 100;
	}
	rc = 1;
	WEFT_WITH_WRLOCK_OR (&grw, rc)
		runs++;
	T_EQ(rc, WEFT_ECANCELED);
	rc = 1;
	WEFT_WITH_RMUTEX_OR (&grm, rc)
		runs++;
	T_EQ(rc, WEFT_ECANCELED);
	T_EQ(runs, 200);
	return 0;
}

static int refused_main(void *arg)
{
	int rc = 1;

	(void)arg;
	T_EQ(finish(start(refused, NULL)), 0);
	all_free();
	WEFT_WITH_LOCK_OR (&gm, rc)
		T_EQ(rc, 0);
	T_EQ(rc, 0);
	all_free();
	return 0;
}

/* A block whose lock is refused is not run, and says so. */
TEST_WORKERS(block_refused)
{
	run(refused_main, NULL);
}

static void *thread_blocks(void *arg)
{
	for (int i = 0; i < 1000; i++) {
		WEFT_WITH_LOCK (&gm)
			++*(int *)arg;
	}
	return NULL;
}

static int threads_main(void *arg)
{
	pthread_t th;
	int n = 0;

	(void)arg;
	T_EQ(pthread_create(&th, NULL, thread_blocks, &n), 0);
	thread_blocks(&n);
	T_EQ(pthread_join(th, NULL), 0);
	T_EQ(n, 2000);
	return 0;
}

/* Also off a task. */
TEST_WORKERS(block_of_a_thread)
{
	run(threads_main, NULL);
}

static int twice_main(void *arg)
{
	(void)arg;
	WEFT_WITH_LOCK (&gm) {
		WEFT_WITH_LOCK (&gm)
			return 1;
	}
	return 0;
}

static int by_hand_main(void *arg)
{
	(void)arg;
	WEFT_WITH_LOCK (&gm)
		weft_mutex_unlock(&gm);
	return 0;
}

TEST_DIES_WORKERS(block_unlocked_by_hand, "is not locked")
{
	run(by_hand_main, NULL);
}

TEST_DIES_WORKERS(block_in_itself, "WEFT_WITH_LOCK: the caller holds")
{
	run(twice_main, NULL);
}
