/* SPDX-License-Identifier: MIT
 *
 * sync.c - wait group and mutex beside channels: counting those who work, and keeping one at a time.
 */
#include "conform.h"

/* --- wait group --- */

struct group {
	weft_wg g;
	weft_chan *c;
	ATOMIC(int) n;
};

/* A zeroed wait group is one whose counter is 0: wait returns at once. */
LAW(empty_group_is_not_waited_for)
{
	weft_wg g = {0};

	T_EQ(weft_wg_wait(&g), 0);
	T_EQ(weft_wg_wait_until(&g, WEFT_NOW), 0);
	weft_wg_add(&g, 0);
	T_EQ(weft_wg_wait(&g), 0);
}

static int waits_for_group(void *arg)
{
	struct group *k = arg;

	return weft_wg_wait(&k->g);
}

/* Wait waits until the counter is 0: not until somebody is done, but until all are. */
LAW(wait_is_for_all)
{
	struct group k = {.n = 0};
	weft_task *t;

	weft_wg_add(&k.g, 3);
	t = start(waits_for_group, &k);
	until_reason(t, "wait group");
	for (int i = 0; i < 2; i++) {
		weft_wg_done(&k.g);
		settle();
		T_EQ(weft_task_stateof(t), WEFT_TASK_PARKED);
	}
	weft_wg_done(&k.g);
	T_EQ(finish(t), 0);
}

/* Add may take away as well; done is add of -1. */
LAW(add_counts_both_ways)
{
	struct group k = {.n = 0};

	weft_wg_add(&k.g, 5);
	weft_wg_add(&k.g, -3);
	T_EQ(weft_wg_wait_until(&k.g, WEFT_NOW), WEFT_EAGAIN);
	weft_wg_done(&k.g);
	T_EQ(weft_wg_wait_until(&k.g, WEFT_NOW), WEFT_EAGAIN);
	weft_wg_add(&k.g, -1);
	T_EQ(weft_wg_wait(&k.g), 0);
}

/* All who wait go on. */
LAW(all_waiters_go_on)
{
	enum { WAITERS = 50 };
	struct group k = {.n = 0};
	weft_task *t[WAITERS];

	weft_wg_add(&k.g, 1);
	for (int i = 0; i < WAITERS; i++)
		t[i] = start(waits_for_group, &k);
	for (int i = 0; i < WAITERS; i++)
		until_reason(t[i], "wait group");
	weft_wg_done(&k.g);
	for (int i = 0; i < WAITERS; i++)
		T_EQ(finish(t[i]), 0);
}

static void works(struct group *k, int children)
{
	for (int i = 0; i < children; i++) { /* added while the own is counted: the counter cannot be 0 */
		weft_wg_add(&k->g, 1);
		T_EQ(weft_go(works, k, children - 1), 0);
	}
	add_relaxed(&k->n, 1); /* ordered by the wait group */
	weft_wg_done(&k->g);
}

/* Who is counted may add others: wait is for them, too. */
LAW(workers_add_workers)
{
	struct group k = {.n = 0};

	weft_wg_add(&k.g, 1);
	T_EQ(weft_go(works, &k, 6), 0);
	T_EQ(weft_wg_wait(&k.g), 0);
	T_EQ(load_relaxed(&k.n), 1957); /* a(n) = 1 + n * a(n - 1) */
}

/* A wait group is used again when its wait is over. */
LAW(group_is_used_again)
{
	struct group k = {.n = 0};
	int rounds = (int)tap_iters(500);

	for (int r = 1; r <= rounds; r++) {
		weft_wg_add(&k.g, 4);
		for (int i = 0; i < 4; i++)
			T_EQ(weft_go(works, &k, 0), 0);
		T_EQ(weft_wg_wait(&k.g), 0);
		T_EQ(load_relaxed(&k.n), 4 * r);
	}
}

/* Waiting may end by deadline or cancel: the counter is as it was. */
LAW(wait_may_be_given_up)
{
	struct group k = {.n = 0};
	weft_task *t;

	weft_wg_add(&k.g, 1);
	T_EQ(weft_wg_wait_until(&k.g, weft_in(100 * WEFT_US)), WEFT_ETIMEDOUT);
	t = start(waits_for_group, &k);
	until_reason(t, "wait group");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(weft_wg_wait_until(&k.g, WEFT_NOW), WEFT_EAGAIN);
	weft_wg_done(&k.g);
	T_EQ(weft_wg_wait(&k.g), 0);
}

static void produces(struct group *k, int n)
{
	for (int i = 0; i < n; i++)
		T_EQ(give(k->c, 1), 0);
	weft_wg_done(&k->g);
}

static int closes_when_done(void *arg)
{
	struct group *k = arg;
	int rc = weft_wg_wait(&k->g);

	return rc ? rc : weft_chan_close(k->c);
}

/* The channel of many producers is closed by who waits for them: no send comes after the close, no element is lost. */
LAW(group_then_close)
{
	enum { PRODUCERS = 10, EACH = 50 };

	for (size_t cap = 0; cap < 6; cap += 5) {
		struct group k = {.c = ints(cap)};
		int n = 0, v;
		weft_task *t;

		weft_wg_add(&k.g, PRODUCERS);
		for (int i = 0; i < PRODUCERS; i++)
			T_EQ(weft_go(produces, &k, EACH), 0);
		t = start(closes_when_done, &k);
		while ((v = get(k.c)) >= 0)
			n += v;
		T_EQ(v, WEFT_ECLOSED);
		T_EQ(n, PRODUCERS * EACH);
		T_EQ(finish(t), 0);
		emptied(k.c);
	}
}

static int below_zero_main(void *arg)
{
	weft_wg g = {0};

	(void)arg;
	weft_wg_add(&g, 1);
	weft_wg_done(&g);
	weft_wg_done(&g);
	return 0;
}

/* A counter below 0 is a fatal error. */
TEST_DIES_WORKERS(group_below_zero, "the counter of wait group")
{
	run(below_zero_main, NULL);
}

/* --- mutex --- */

struct locked {
	weft_mutex m;
	weft_chan *c;
	int inside, n; /* plain, under m */
};

static int tries_lock(void *arg)
{
	struct locked *k = arg;
	int rc = weft_mutex_trylock(&k->m);

	if (rc == 0)
		weft_mutex_unlock(&k->m);
	return rc;
}

static int takes_lock(void *arg)
{
	struct locked *k = arg;

	T_EQ(weft_mutex_lock(&k->m), 0);
	T_EQ(k->inside++, 0);
	weft_task_yield();
	T_EQ(--k->inside, 0);
	weft_mutex_unlock(&k->m);
	return 0;
}

/* A zeroed mutex is free; a locked one lets nobody in until it is unlocked. */
LAW(mutex_is_one_at_a_time)
{
	struct locked k = {.n = 0};
	weft_task *t;

	T_EQ(finish(start(tries_lock, &k)), 0);
	T_EQ(weft_mutex_lock(&k.m), 0);
	T_EQ(finish(start(tries_lock, &k)), WEFT_EAGAIN);
	t = start(takes_lock, &k);
	until_reason(t, "mutex");
	weft_mutex_unlock(&k.m);
	T_EQ(finish(t), 0);
	T_EQ(weft_mutex_trylock(&k.m), 0);
	weft_mutex_unlock(&k.m);
}

static void locks_often(struct locked *k, int n)
{
	for (int i = 0; i < n; i++) {
		T_EQ(weft_mutex_lock(&k->m), 0);
		T_EQ(k->inside++, 0);
		k->n++;
		if (i % 8 == 0)
			weft_task_yield();
		T_EQ(--k->inside, 0);
		weft_mutex_unlock(&k->m);
	}
	done();
}

/* However many want it: one is inside, and each gets in. */
LAW(mutex_excludes)
{
	struct locked k = {.n = 0};
	int n = (int)tap_iters(1000);

	for (int i = 0; i < 10; i++)
		hire(locks_often, &k, n);
	all_done();
	T_EQ(k.n, 10 * n);
	T_EQ(k.inside, 0);
}

/* Locking what one holds already is an error that is returned; it is still held. */
LAW(mutex_is_not_locked_twice)
{
	struct locked k = {.n = 0};

	T_EQ(weft_mutex_lock(&k.m), 0);
	T_EQ(weft_mutex_lock(&k.m), WEFT_EDEADLK);
	T_EQ(finish(start(tries_lock, &k)), WEFT_EAGAIN);
	weft_mutex_unlock(&k.m);
	T_EQ(finish(start(tries_lock, &k)), 0);
}

static int sends_locked(void *arg)
{
	struct locked *k = arg;

	T_EQ(weft_mutex_lock(&k->m), 0);
	for (int i = 0; i < 5; i++)
		T_EQ(give(k->c, i), 0);
	weft_mutex_unlock(&k->m);
	return 0;
}

/* A task may wait on a channel while it holds a mutex: others stay out meanwhile, wherever it goes on. */
LAW(mutex_is_held_across_a_send)
{
	struct locked k = {.c = ints(0)};
	weft_task *a = start(sends_locked, &k), *b;

	until_reason(a, "chan send");
	b = start(takes_lock, &k);
	until_reason(b, "mutex");
	for (int i = 0; i < 5; i++) {
		T_EQ(finish(start(tries_lock, &k)), WEFT_EAGAIN);
		T_EQ(get(k.c), i);
	}
	T_EQ(finish(a), 0);
	T_EQ(finish(b), 0);
	emptied(k.c);
}

static int locks_or_gives_up(void *arg)
{
	struct locked *k = arg;
	int rc = weft_mutex_lock_until(&k->m, k->n ? WEFT_FOREVER : weft_in(100 * WEFT_US));

	if (rc == 0)
		weft_mutex_unlock(&k->m);
	return rc;
}

/* Waiting for a mutex may end by deadline or cancel: it is not held then, and the next in line gets it. */
LAW(who_gave_up_is_passed_over)
{
	struct locked k = {.n = 0};
	weft_task *late, *cancelled, *next;

	T_EQ(weft_mutex_lock(&k.m), 0);
	late = start(locks_or_gives_up, &k);
	T_EQ(finish(late), WEFT_ETIMEDOUT);
	k.n = 1;
	cancelled = start(locks_or_gives_up, &k);
	until_reason(cancelled, "mutex");
	next = start(locks_or_gives_up, &k);
	until_reason(next, "mutex");
	T_EQ(weft_task_cancel(cancelled), 0);
	T_EQ(finish(cancelled), WEFT_ECANCELED);
	weft_mutex_unlock(&k.m);
	T_EQ(finish(next), 0);
}

static int unlocks_anothers(void *arg)
{
	weft_mutex *m = arg;

	weft_mutex_unlock(m);
	return 0;
}

static int anothers_main(void *arg)
{
	weft_mutex m = {0};

	(void)arg;
	T_EQ(weft_mutex_lock(&m), 0);
	return finish(start(unlocks_anothers, &m));
}

static int free_main(void *arg)
{
	weft_mutex m = {0};

	(void)arg;
	T_EQ(weft_mutex_lock(&m), 0);
	weft_mutex_unlock(&m);
	weft_mutex_unlock(&m);
	return 0;
}

/* A mutex is unlocked by who has locked it. */
TEST_DIES_WORKERS(unlock_of_anothers, "not by the caller")
{
	run(anothers_main, NULL);
}

/* A mutex that is free is not unlocked. */
TEST_DIES_WORKERS(unlock_of_a_free_one, "is not locked")
{
	run(free_main, NULL);
}

static void gathers(struct locked *k, weft_wg *g, int v)
{
	T_EQ(weft_mutex_lock(&k->m), 0);
	k->n += v;
	weft_mutex_unlock(&k->m);
	weft_wg_done(g);
}

/* Fork and join by both: what is gathered under a mutex is complete when the wait is over. */
LAW(gathered_under_a_mutex)
{
	struct locked k = {.n = 0};
	weft_wg g = {0};

	weft_wg_add(&g, 100);
	for (int i = 1; i <= 100; i++)
		T_EQ(weft_go(gathers, &k, &g, i), 0);
	T_EQ(weft_wg_wait(&g), 0);
	T_EQ(k.n, 5050);
}
