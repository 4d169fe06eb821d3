/* SPDX-License-Identifier: MIT
 *
 * cond.c - condition variable: who is woken, in which order, with the mutex held whatever happened, and no signal lost.
 */
#include "rt.h"

#include <pthread.h>
#include <stdlib.h>

struct shared {
	weft_mutex m;
	weft_cond c;
	ATOMIC(int) awake, stop;
	int i, taken;
};

static void lock(struct shared *s)
{
	T_EQ(weft_mutex_lock(&s->m), 0);
}

static void unlock(struct shared *s)
{
	weft_mutex_unlock(&s->m);
}

/* The caller owns the mutex: to lock it again would be a deadlock. */
static void owns(struct shared *s)
{
	int rc = weft_mutex_lock_until(&s->m, WEFT_NOW);

	T_OK(rc == WEFT_EDEADLK || (rc && rc == weft_ctx_check()));
}

static int waits(void *arg)
{
	struct shared *s = arg;
	int rc;

	lock(s);
	rc = weft_cond_wait(&s->c, &s->m);
	owns(s);
	add_relaxed(&s->awake, 1);
	unlock(s);
	return rc;
}

static void start_waiters(struct shared *s, weft_task **t, int n)
{
	for (int i = 0; i < n; i++) {
		t[i] = start(waits, s);
		until_reason(t[i], "condition");
	}
}

static int signal_main(void *arg)
{
	enum { N = 8 };
	struct shared s = {.i = 0};
	weft_task *t[N];

	(void)arg;
	weft_cond_signal(&s.c); /* nobody waits: nothing */
	weft_cond_broadcast(&s.c);
	start_waiters(&s, t, N);
	for (int i = 0; i < N; i++) {
		T_EQ(load_relaxed(&s.awake), i);
		if (i % 2)
			lock(&s);
		weft_cond_signal(&s.c);
		if (i % 2) {
			for (int k = 0; k < 5; k++)
				weft_task_yield();
			T_EQ(load_relaxed(&s.awake), i); /* waits for the mutex now */
			unlock(&s);
		}
		T_EQ(finish(t[i]), 0); /* the one that has waited longest */
	}
	start_waiters(&s, t, N);
	lock(&s);
	weft_cond_broadcast(&s.c);
	T_EQ(load_relaxed(&s.awake), N);
	unlock(&s);
	for (int i = 0; i < N; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* Signal wakes one, the first; broadcast all. */
TEST_WORKERS(signal_and_broadcast)
{
	run(signal_main, NULL);
}

struct generation {
	struct shared *s;
	int i;
};

static int wakes_in_turn(void *arg)
{
	struct generation *g = arg;

	lock(g->s);
	add_relaxed(&g->s->awake, 1);
	T_EQ(weft_cond_wait(&g->s->c, &g->s->m), 0);
	g->s->taken = g->i;
	add_relaxed(&g->s->stop, 1);
	unlock(g->s);
	return 0;
}

static int generations_main(void *arg)
{
	enum { N = 100 };
	struct shared s = {.i = 0};
	struct generation g[N];
	weft_task *t[N];

	(void)arg;
	for (int i = 0; i < N; i++) {
		g[i] = (struct generation){&s, i};
		t[i] = start(wakes_in_turn, &g[i]);
		until_reason(t[i], "condition");
		if (i > 0) { /* the one of the turn before; never the one just come */
			weft_cond_signal(&s.c);
			until(load_acquire(&s.stop) == i);
			lock(&s);
			T_EQ(s.taken, i - 1);
			unlock(&s);
		}
	}
	weft_cond_signal(&s.c);
	for (int i = 0; i < N; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* A signal goes to those who waited before it, never to one that comes after. */
TEST_WORKERS(generations)
{
	run(generations_main, NULL);
}

static int gives_up(void *arg)
{
	struct shared *s = arg;
	int rc;

	lock(s);
	rc = weft_cond_wait_until(&s->c, &s->m, s->i ? weft_in(WEFT_MS) : WEFT_FOREVER);
	owns(s);
	add_relaxed(&s->awake, 1);
	unlock(s);
	return rc;
}

static int relock_main(void *arg)
{
	struct shared s = {.i = 0};
	weft_task *t;

	(void)arg;
	time_fake();
	for (s.i = 0; s.i < 2; s.i++) {
		t = start(gives_up, &s);
		until_reason(t, "condition");
		lock(&s);
		if (s.i)
			time_move(2 * WEFT_MS);
		else
			T_EQ(weft_task_cancel(t), 0);
		until_reason(t, "mutex"); /* its deadline has passed, or it is cancelled: it waits all the same */
		T_EQ(load_relaxed(&s.awake), s.i);
		T_EQ(s.i ? weft_task_cancel(t) : 0, 0); /* during that wait, too */
		for (int k = 0; k < 5; k++)
			weft_task_yield();
		T_EQ(weft_task_stateof(t), WEFT_TASK_PARKED);
		unlock(&s);
		T_EQ(finish(t), s.i ? WEFT_ETIMEDOUT : WEFT_ECANCELED);
	}
	time_real();
	lock(&s);
	T_EQ(weft_cond_wait_until(&s.c, &s.m, WEFT_NOW), WEFT_EAGAIN);
	owns(&s);
	T_EQ(weft_cond_wait_until(&s.c, &s.m, 1), WEFT_ETIMEDOUT);
	owns(&s);
	T_EQ(weft_task_cancel(weft_task_self()), 0);
	T_EQ(weft_cond_wait(&s.c, &s.m), WEFT_ECANCELED);
	owns(&s);
	unlock(&s);
	return 0;
}

/* After deadline and cancel the mutex is held again, however long that takes. */
TEST_WORKERS(mutex_is_held_whatever_happened)
{
	run(relock_main, NULL);
}

static int passed_on_main(void *arg)
{
	struct shared s = {.i = 0};
	weft_task *t[3];

	(void)arg;
	for (long k = 0; k < tap_iters(500); k++) {
		start_waiters(&s, t, 3);
		T_EQ(weft_task_cancel(t[0]), 0); /* may not have run yet: still listed */
		weft_cond_signal(&s.c);
		T_EQ(finish(t[0]), WEFT_ECANCELED);
		T_EQ(finish(t[1]), 0);
		weft_cond_signal(&s.c);
		T_EQ(finish(t[2]), 0);
	}
	return 0;
}

/* One that was cancelled takes no signal: the next gets it. */
TEST_WORKERS(signal_passes_over_who_gave_up)
{
	run(passed_on_main, NULL);
}

/* --- a bounded buffer, which stops for ever when one signal is lost --- */

struct buffer {
	weft_mutex m;
	weft_cond room, some;
	int n, slot[3], head;
	long sum, each;
};

static int produces(void *arg)
{
	struct buffer *b = arg;

	for (int i = 1; i <= b->each; i++) {
		T_EQ(weft_mutex_lock(&b->m), 0);
		while (b->n == 3) {
			int rc = i % 5 ? weft_cond_wait(&b->room, &b->m) : weft_cond_wait_until(&b->room, &b->m, weft_in(20 * WEFT_US));

			T_OK(rc == 0 || (rc == WEFT_ETIMEDOUT && i % 5 == 0));
		}
		b->slot[(b->head + b->n++) % 3] = i;
		weft_cond_signal(&b->some);
		weft_mutex_unlock(&b->m);
	}
	return 0;
}

static int consumes(void *arg)
{
	struct buffer *b = arg;

	for (int i = 1; i <= b->each; i++) {
		T_EQ(weft_mutex_lock(&b->m), 0);
		while (b->n == 0) {
			int rc = i % 7 ? weft_cond_wait(&b->some, &b->m) : weft_cond_wait_until(&b->some, &b->m, weft_in(20 * WEFT_US));

			T_OK(rc == 0 || (rc == WEFT_ETIMEDOUT && i % 7 == 0));
		}
		b->sum += b->slot[b->head];
		b->head = (b->head + 1) % 3;
		b->n--;
		weft_mutex_unlock(&b->m);
		weft_cond_signal(&b->room); /* without the mutex is fine, too */
	}
	return 0;
}

static int impatient(void *arg)
{
	struct buffer *b = arg;
	weft_cond *c = weft_task_id(NULL) % 2 ? &b->room : &b->some;
	int rc = weft_mutex_lock(&b->m);

	if (rc)
		return rc;
	rc = weft_cond_wait(c, &b->m);
	if (!rc)
		weft_cond_signal(c); /* it was meant for another */
	weft_mutex_unlock(&b->m);
	return rc;
}

static void *thread_produces(void *arg)
{
	produces(arg);
	return NULL;
}

static int buffer_main(void *arg)
{
	struct buffer b = {.each = tap_iters(1000)};
	weft_task *t[8], *victim;
	pthread_t th;

	(void)arg;
	T_EQ(pthread_create(&th, NULL, thread_produces, &b), 0);
	for (int i = 0; i < 8; i++)
		t[i] = start(i < 3 ? produces : i < 7 ? consumes : impatient, &b);
	for (long i = 0; i < b.each / 2; i++) {
		victim = start(impatient, &b);
		if (i % 3)
			weft_task_yield();
		weft_task_cancel(victim);
		finish(victim);
	}
	for (int i = 0; i < 7; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(pthread_join(th, NULL), 0);
	weft_task_cancel(t[7]);
	finish(t[7]);
	T_EQ(b.n, 0);
	T_EQ(b.sum, 4 * b.each * (b.each + 1) / 2);
	return 0;
}

/* Producers and consumers, waits that end by themselves, and others cancelled among them: a signal that were lost would stop it. */
TEST_WORKERS(no_signal_is_lost)
{
	tap_limit(60);
	run(buffer_main, NULL);
}

static int freed_main(void *arg)
{
	(void)arg;
	for (long i = 0; i < tap_iters(1000); i++) { /* each in memory of its own, which is gone as soon as its waiter returns */
		struct shared *s = calloc(1, sizeof *s);
		weft_task *t;

		T_OK(s != NULL);
		t = start(waits, s);
		until_reason(t, "condition");
		weft_cond_signal(&s->c);
		T_EQ(finish(t), 0);
		free(s);
	}
	return 0;
}

TEST_WORKERS(freed_when_the_waiter_has_returned)
{
	run(freed_main, NULL);
}

static int unlocked_main(void *arg)
{
	struct shared s = {.i = 0};

	(void)arg;
	weft_cond_wait(&s.c, &s.m);
	return 0;
}

static int others_main(void *arg)
{
	struct shared *s = arg;

	weft_cond_wait(&s->c, &s->m);
	return 0;
}

static int others_mutex_main(void *arg)
{
	struct shared s = {.i = 0};

	(void)arg;
	lock(&s);
	return finish(start(others_main, &s));
}

TEST_DIES_WORKERS(wait_without_the_mutex, "is not locked by the caller")
{
	run(unlocked_main, NULL);
}

TEST_DIES_WORKERS(wait_with_anothers_mutex, "is not locked by the caller")
{
	run(others_mutex_main, NULL);
}
