/* SPDX-License-Identifier: MIT
 *
 * sync.c - mutex and wait group: exclusion, order, fairness, reuse, and misuse that is named.
 */
#include "rt.h"

#include "core/lot.h"
#include <pthread.h>
#include <stdlib.h>

struct shared {
	weft_mutex m;
	weft_wg g;
	long plain;
	ATOMIC(int) inside, order, stop;
	long n;
};

/* --- mutex --- */

static int counter(void *arg)
{
	struct shared *s = arg;

	for (long i = 0; i < s->n; i++) {
		int rc = i % 5 == 4 ? weft_mutex_lock_until(&s->m, weft_in(i % 2 ? WEFT_SEC * 20 : WEFT_US)) : weft_mutex_lock(&s->m);

		if (rc) {
			T_EQ(rc, WEFT_ETIMEDOUT);
			T_EQ(i % 5, 4);
			i--;
			continue;
		}
		T_EQ(add_relaxed(&s->inside, 1), 0);
		s->plain++;
		if (i % 7 == 0)
			weft_task_yield();
		add_relaxed(&s->inside, -1);
		weft_mutex_unlock(&s->m);
	}
	return 0;
}

static int exclusion_main(void *arg)
{
	struct shared s = {.n = tap_iters(1000)};
	weft_task *t[20];

	(void)arg;
	for (int i = 0; i < 20; i++)
		t[i] = start(counter, &s);
	for (int i = 0; i < 20; i++)
		finish(t[i]);
	T_EQ(s.plain, 20 * s.n);
	return 0;
}

/* One at a time, nobody is lost, with and without deadlines. */
TEST_WORKERS(exclusion)
{
	tap_limit(60);
	run(exclusion_main, NULL);
}

struct queued {
	struct shared *s;
	int i;
};

static int takes_turn(void *arg)
{
	struct queued *q = arg;

	T_EQ(weft_mutex_lock(&q->s->m), 0);
	T_EQ(add_relaxed(&q->s->order, 1), q->i);
	weft_mutex_unlock(&q->s->m);
	return 0;
}

static int fifo_main(void *arg)
{
	(void)arg;
	for (int round = 0; round < 10; round++) {
		struct shared s = {.n = 0};
		struct queued q[20];
		weft_task *t[20];

		T_EQ(weft_mutex_lock(&s.m), 0);
		T_EQ(weft_mutex_lock(&s.m), WEFT_EDEADLK);
		T_EQ(weft_mutex_trylock(&s.m), WEFT_EAGAIN);
		for (int i = 0; i < 20; i++) {
			q[i] = (struct queued){&s, i};
			t[i] = start(takes_turn, &q[i]);
			until_reason(t[i], "mutex");
		}
		if (round % 2) /* with and without the hand-over of a lock long waited for */
			weft_task_sleep(2 * MUTEX_FAIR_NS);
		weft_mutex_unlock(&s.m);
		for (int i = 0; i < 20; i++)
			finish(t[i]);
		T_EQ(weft_mutex_trylock(&s.m), 0);
		weft_mutex_unlock(&s.m);
	}
	return 0;
}

/* Waiters get it in the order in which they came. */
TEST_WORKERS(waiters_in_order)
{
	run(fifo_main, NULL);
}

static int hog(void *arg)
{
	struct shared *s = arg;

	while (!load_acquire(&s->stop)) {
		T_EQ(weft_mutex_lock(&s->m), 0);
		for (int i = 0; i < 100; i++)
			cpu_relax();
		weft_mutex_unlock(&s->m);
		if (weft__rt->n == 1)
			weft_task_yield();
	}
	return 0;
}

static int hog_main(void *arg)
{
	struct shared s = {.n = 0};
	weft_task *t = start(hog, &s);

	(void)arg;
	until(weft_task_stateof(t) != WEFT_TASK_NEW);
	for (int i = 0; i < 50; i++) { /* would never come in otherwise */
		T_EQ(weft_mutex_lock(&s.m), 0);
		weft_mutex_unlock(&s.m);
		weft_task_yield();
	}
	store_release(&s.stop, 1);
	finish(t);
	return 0;
}

/* A task that locks it again and again does not keep a waiter out for ever. */
TEST_WORKERS(a_hog_lets_others_in)
{
	run(hog_main, NULL);
}

static int gives_up(void *arg)
{
	struct shared *s = arg;
	int rc = weft_mutex_lock_until(&s->m, weft_in(100 * WEFT_US));

	if (rc == 0)
		weft_mutex_unlock(&s->m);
	else
		T_EQ(rc, WEFT_ETIMEDOUT);
	return rc;
}

static int waits_its_turn(void *arg)
{
	struct shared *s = arg;

	T_EQ(weft_mutex_lock(&s->m), 0);
	weft_mutex_unlock(&s->m);
	return 0;
}

static int giving_up_main(void *arg)
{
	long n = tap_iters(1000);
	int late = 0;

	(void)arg;
	for (long i = 0; i < n; i++) {
		struct shared s = {.n = 0};
		weft_task *a, *b;

		T_EQ(weft_mutex_lock(&s.m), 0);
		a = start(gives_up, &s);
		until(weft_task_stateof(a) >= WEFT_TASK_PARKED);
		b = start(waits_its_turn, &s);
		until_reason(b, "mutex");
		weft_task_sleep(50 * WEFT_US + i % 50 * WEFT_US);
		weft_mutex_unlock(&s.m); /* may wake the one whose time is up: the next must not be forgotten */
		late += finish(a) != 0;
		T_EQ(finish(b), 0);
	}
	tap_note("%d of %ld late", late, n);
	return 0;
}

/* An unlock that meets the deadline of the first waiter does not forget the second. */
TEST_WORKERS(unlock_against_a_deadline)
{
	run(giving_up_main, NULL);
}

static int bad_unlock(void *arg)
{
	struct shared *s = arg;

	weft_mutex_unlock(&s->m);
	return 0;
}

static int unlock_free_main(void *arg)
{
	struct shared s = {.n = 0};

	(void)arg;
	weft_mutex_unlock(&s.m);
	return 0;
}

static int unlock_other_main(void *arg)
{
	struct shared s = {.n = 0};

	(void)arg;
	T_EQ(weft_mutex_lock(&s.m), 0);
	finish(start(bad_unlock, &s));
	return 0;
}

/* Unlocking what is not locked, or another's, is a fatal error that says so. */
TEST_DIES_WORKERS(unlock_of_a_free_mutex, "is not locked")
{
	run(unlock_free_main, NULL);
}

TEST_DIES_WORKERS(unlock_of_anothers_mutex, "not by the caller")
{
	run(unlock_other_main, NULL);
}

/* --- wait group --- */

static int done_one(void *arg)
{
	struct shared *s = arg;

	add_relaxed(&s->inside, 1);
	weft_wg_done(&s->g);
	return 0;
}

static int waits(void *arg)
{
	struct shared *s = arg;

	return weft_wg_wait(&s->g);
}

static int wg_main(void *arg)
{
	struct shared s = {.n = 0};
	long n = tap_iters(300);

	(void)arg;
	T_EQ(weft_wg_wait(&s.g), 0); /* 0 from the start */
	T_EQ(weft_wg_wait_until(&s.g, WEFT_NOW), 0);
	for (long i = 0; i < n; i++) { /* used again and again */
		weft_task *w[5];

		weft_wg_add(&s.g, 10);
		for (int k = 0; k < 5; k++)
			w[k] = start(waits, &s);
		if (i % 2)
			until_parked(w[4]);
		for (int k = 0; k < 10; k++)
			T_EQ(weft_go_opts(NULL, done_one, &s, NULL), 0);
		T_EQ(weft_wg_wait(&s.g), 0);
		T_EQ(load_relaxed(&s.inside), 10 * (i + 1));
		for (int k = 0; k < 5; k++)
			T_EQ(finish(w[k]), 0);
	}
	weft_wg_add(&s.g, 5);
	weft_wg_add(&s.g, -4);
	T_EQ(weft_wg_wait_until(&s.g, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_wg_wait_until(&s.g, weft_in(WEFT_US)), WEFT_ETIMEDOUT);
	weft_wg_add(&s.g, -1);
	T_EQ(weft_wg_wait(&s.g), 0);
	return 0;
}

/* All waiters go on when the counter is 0, again and again. */
TEST_WORKERS(wait_group)
{
	run(wg_main, NULL);
}

TEST_DIES(wait_group_below_zero, "the counter of wait group")
{
	weft_wg g = {0};

	weft_wg_add(&g, 1);
	weft_wg_add(&g, -2);
}

TEST_DIES(wait_group_too_high, "the counter of wait group")
{
	weft_wg g = {0};

	weft_wg_add(&g, INT32_MAX);
	weft_wg_add(&g, 1);
}

struct churning {
	weft_wg g;
	ATOMIC(int) running;
};

static void runs_in(struct churning *c)
{
	if (load_relaxed(&c->running) == 2) /* a look: the first of the two, sometimes */
		weft_task_yield();
	add_relaxed(&c->running, -1); /* ordered by done */
	weft_wg_done(&c->g);
}

static int churning_main(void *arg)
{
	(void)arg;
	for (long k = tap_iters(20000); k > 0; k--) {
		struct churning *c = malloc(sizeof *c);

		*c = (struct churning){.running = 0};
		for (int round = 0; round < 2; round++) {
			weft_wg_add(&c->g, 2);
			add_relaxed(&c->running, 2);
			T_EQ(weft_go(runs_in, c), 0);
			T_EQ(weft_go(runs_in, c), 0);
			(void)weft_wg_wait_until(&c->g, WEFT_NOW); /* leaves its mark */
			T_EQ(weft_wg_wait(&c->g), 0);
			T_EQ(load_relaxed(&c->running), 0); /* ordered by the wait */
		}
		free(c);
	}
	return 0;
}

/* Those who gave up leave the group marked: whoever reaches 0 then wakes nobody of the next round, nor at that address of another group. */
TEST_WORKERS(rounds_after_a_look)
{
	run(churning_main, NULL);
}

static void *is_last(void *arg)
{
	weft_wg_done(arg);
	return NULL;
}

static int last_main(void *arg)
{
	weft_wg g = {0};
	struct lot_bucket *b = lot_bucket(&g);
	pthread_t thread;

	(void)arg;
	weft_wg_add(&g, 1);
	T_EQ(weft_wg_wait_until(&g, WEFT_NOW), WEFT_EAGAIN); /* leaves its mark */
	lock_take(&b->lock, RANK_LOT);
	T_EQ(pthread_create(&thread, NULL, is_last, &g), 0);
	while (load_relaxed(&b->lock.word) != LOCK_WAITED) /* until it is about to wake somebody */
		sched_yield();
	T_EQ(g.weft__state >> 32, 1); /* and the counter is not 0 before: else another round might begin, and be taken for this one */
	lock_drop(&b->lock);
	T_EQ(pthread_join(thread, NULL), 0);
	T_EQ(g.weft__state, 0);
	return 0;
}

TEST(zero_and_the_wake_are_one_step)
{
	T_EQ(weft_run(last_main, NULL, &(weft_opts){.workers = 2}), 0);
}
