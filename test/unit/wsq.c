/* SPDX-License-Identifier: MIT
 *
 * wsq.c - the run queue ring: the questions asked of every queue, in a ring of eight so that it is full and empty all
 * the time.
 *
 * Items are numbers 1 .. n disguised as pointers; a byte an item counts how often it came out.
 */
#include "tap.h"

#define WSQ_CAP 8
#include "queue/wsq.h"

#include "base/rand.h"
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 8

static struct wsq ring[THREADS];
static ATOMIC(uint8_t) *seen;
static long nseen;
static ATOMIC(int) go, done;

static void *item(long i)
{
	return (void *)(uintptr_t)i;
}

static long number(void *p)
{
	return (long)(uintptr_t)p;
}

static void expect_items(long n)
{
	seen = calloc((size_t)n + 1, sizeof *seen);
	T_OK(seen != NULL);
	nseen = n;
}

static void took(void *p)
{
	T_OK(number(p) >= 1 && number(p) <= nseen);
	T_EQ(add_relaxed(&seen[number(p)], 1), 0); /* never twice */
}

static void expect_all_taken(void)
{
	long i;

	for (i = 1; i <= nseen; i++)
		if (load_relaxed(&seen[i]) != 1)
			T_FAIL("item %ld came out %d times", i, load_relaxed(&seen[i]));
	free(seen);
}

static void start(pthread_t *t, int n, void *(*fn)(void *))
{
	int i;

	for (i = 0; i < n; i++)
		T_EQ(pthread_create(&t[i], NULL, fn, (void *)(intptr_t)(i + 1)), 0);
}

static void join(pthread_t *t, int n)
{
	int i;

	for (i = 0; i < n; i++)
		T_EQ(pthread_join(t[i], NULL), 0);
}

/* What goes in comes out, in order. */
TEST(smoke)
{
	struct wsq *q = &ring[0];
	long i;

	wsq_init(q);
	for (i = 1; i <= 5; i++)
		T_OK(wsq_push(q, item(i)));
	T_EQ(wsq_len(q), 5);
	for (i = 1; i <= 5; i++)
		T_EQ(number(wsq_pop(q)), i);
	T_OK(wsq_pop(q) == NULL);
}

/* Exact at both ends, also where the indices wrap; a full ring gives up its older half. */
TEST(empty_full)
{
	struct wsq *q = &ring[0];
	void *half[WSQ_CAP / 2];
	uint32_t begin, moved;
	long i;

	for (begin = (uint32_t)-2 * WSQ_CAP; begin != 3; begin++) {
		store_relaxed(&q->head, begin);
		store_relaxed(&q->tail, begin);
		wsq_init(&ring[1]);
		T_OK(wsq_empty(q));
		T_OK(wsq_pop(q) == NULL);
		T_OK(wsq_steal(q, &ring[1], &moved) == NULL);
		T_EQ(moved, 0);
		for (i = 1; i <= WSQ_CAP; i++) {
			T_EQ(wsq_take_half(q, half), 0);
			T_OK(wsq_push(q, item(i)));
			T_EQ(wsq_len(q), i);
		}
		T_OK(!wsq_push(q, item(99)));
		T_EQ(wsq_take_half(q, half), WSQ_CAP / 2);
		for (i = 1; i <= WSQ_CAP / 2; i++)
			T_EQ(number(half[i - 1]), i);
		T_OK(wsq_push(q, item(WSQ_CAP + 1)));
		for (i = WSQ_CAP / 2 + 1; i <= WSQ_CAP + 1; i++)
			T_EQ(number(wsq_pop(q)), i);
		T_OK(wsq_empty(q));
	}
}

/* A thief gets half, rounded up, oldest first; no more than fits; one even into a full ring. */
TEST(steal_takes_half)
{
	struct wsq *victim = &ring[0], *own = &ring[1];
	uint32_t n, had, moved;
	long i;

	for (n = 1; n <= WSQ_CAP; n++) {
		for (had = 0; had <= WSQ_CAP; had++) {
			uint32_t want = (n + 1) / 2, room = WSQ_CAP - had + 1, left = n;
			uint32_t expect = want < room ? want : room;

			wsq_init(victim);
			wsq_init(own);
			for (i = 1; i <= n; i++)
				wsq_push(victim, item(i));
			for (i = 1; i <= had; i++)
				wsq_push(own, item(100 + i));
			T_EQ(number(wsq_steal(victim, own, &moved)), 1);
			T_EQ(moved, expect - 1);
			left -= expect;
			T_EQ(wsq_len(victim), left);
			T_EQ(wsq_len(own), had + moved);
			for (i = 1; i <= had; i++)
				T_EQ(number(wsq_pop(own)), 100 + i);
			for (i = 2; i <= expect; i++)
				T_EQ(number(wsq_pop(own)), i);
			for (i = expect + 1; i <= n; i++)
				T_EQ(number(wsq_pop(victim)), i);
		}
	}
}

/* Who has no ring takes one at a time, the oldest. */
TEST(steal_one)
{
	struct wsq *victim = &ring[0];

	for (uint32_t begin = (uint32_t)-WSQ_CAP; begin != 3; begin++) {
		store_relaxed(&victim->head, begin);
		store_relaxed(&victim->tail, begin);
		T_OK(wsq_steal_one(victim) == NULL);
		for (long i = 1; i <= WSQ_CAP; i++)
			T_OK(wsq_push(victim, item(i)));
		for (long i = 1; i <= WSQ_CAP; i++) {
			T_EQ(number(wsq_steal_one(victim)), i);
			T_EQ(wsq_len(victim), WSQ_CAP - i);
		}
		T_OK(wsq_steal_one(victim) == NULL);
	}
}

/* Many at once: as many as there is room for, seen by nobody before they are published. */
TEST(publish_many)
{
	struct wsq *q = &ring[0];

	for (uint32_t begin = (uint32_t)-WSQ_CAP; begin != 3; begin++) {
		for (uint32_t had = 0; had <= WSQ_CAP; had++) {
			store_relaxed(&q->head, begin);
			store_relaxed(&q->tail, begin);
			for (long i = 1; i <= had; i++)
				T_OK(wsq_push(q, item(i)));
			T_EQ(wsq_room(q), WSQ_CAP - had);
			for (uint32_t i = 0; i < WSQ_CAP - had; i++)
				wsq_put(q, i, item(had + i + 1));
			T_EQ(wsq_len(q), had);
			wsq_publish(q, WSQ_CAP - had);
			T_EQ(wsq_room(q), 0);
			for (long i = 1; i <= WSQ_CAP; i++)
				T_EQ(number(wsq_pop(q)), i);
			T_OK(wsq_pop(q) == NULL);
		}
	}
}

static void *spsc_thief(void *arg)
{
	struct wsq *own = &ring[1];
	long last = 0;
	uint32_t moved;
	void *p;

	(void)arg;
	while (last < nseen) {
		p = wsq_pop(own);
		if (!p)
			p = wsq_steal(&ring[0], own, &moved);
		if (!p) {
			sched_yield();
			continue;
		}
		T_EQ(number(p), last + 1); /* in order */
		last = number(p);
		took(p);
	}
	return NULL;
}

/* One pushes, one steals: everything arrives in order. */
TEST(spsc)
{
	pthread_t t;
	long i;

	expect_items(tap_iters(300000));
	wsq_init(&ring[0]);
	wsq_init(&ring[1]);
	start(&t, 1, spsc_thief);
	for (i = 1; i <= nseen; i++)
		while (!wsq_push(&ring[0], item(i)))
			sched_yield();
	join(&t, 1);
	expect_all_taken();
}

static void *stampede_thief(void *arg)
{
	struct wsq *own = &ring[(intptr_t)arg];
	uint32_t moved;
	void *p;

	while (!load_acquire(&go))
		sched_yield();
	while ((p = (intptr_t)arg % 3 ? wsq_steal(&ring[0], own, &moved) : wsq_steal_one(&ring[0])) != NULL) {
		took(p);
		while ((p = wsq_pop(own)) != NULL)
			took(p);
	}
	return NULL;
}

/* All at once fall upon one full ring: each item goes to exactly one of them. */
TEST(stampede)
{
	long round, rounds = tap_iters(300), i;
	pthread_t t[THREADS - 1];
	void *p;

	for (round = 0; round < rounds; round++) {
		expect_items(WSQ_CAP);
		for (i = 0; i < THREADS; i++)
			wsq_init(&ring[i]);
		for (i = 1; i <= WSQ_CAP; i++)
			wsq_push(&ring[0], item(i));
		store_relaxed(&go, 0); /* the threads' creation orders it */
		start(t, THREADS - 1, stampede_thief);
		store_release(&go, 1); /* pairs with load_acquire in stampede_thief */
		while ((p = wsq_pop(&ring[0])) != NULL)
			took(p);
		join(t, THREADS - 1);
		expect_all_taken();
	}
}

/* Owns ring[arg]; robs whom chance says, and is robbed. */
static void *stress_thief(void *arg)
{
	struct wsq *own = &ring[(intptr_t)arg];
	struct rng r;
	uint32_t moved;
	void *p;

	rng_seed(&r, 1, (uint64_t)(intptr_t)arg);
	for (;;) {
		uint32_t whom = rng_below(&r, 4);
		bool last = load_acquire(&done); /* pairs with store_release in stress: all is pushed */

		if (whom != (uint32_t)(intptr_t)arg && (p = wsq_steal(&ring[whom], own, &moved)) != NULL)
			took(p);
		if (rng_below(&r, 2) && (p = wsq_pop(own)) != NULL)
			took(p);
		if (last && wsq_empty(own))
			return NULL;
		if (rng_below(&r, 16) == 0)
			sched_yield();
	}
}

/* An owner that pushes, pops and makes room, three thieves that rob it and each other; what is left at the end is still
 * there. */
static void stress(uint64_t seed, long n)
{
	void *half[WSQ_CAP / 2];
	pthread_t t[3];
	struct rng r;
	uint32_t k, c;
	void *p;
	long i;

	tap_note("seed %llu", (unsigned long long)seed);
	rng_seed(&r, seed, 0);
	expect_items(n);
	store_relaxed(&done, 0); /* the threads' creation orders it */
	for (i = 0; i < THREADS; i++)
		wsq_init(&ring[i]);
	start(t, 3, stress_thief);
	for (i = 1; i <= n; i++) {
		while (!wsq_push(&ring[0], item(i))) {
			c = wsq_take_half(&ring[0], half);
			for (k = 0; k < c; k++)
				took(half[k]);
		}
		if (rng_below(&r, 3) == 0 && (p = wsq_pop(&ring[0])) != NULL)
			took(p);
		if (rng_below(&r, 64) == 0)
			sched_yield();
	}
	store_release(&done, 1); /* pairs with load_acquire in stress_thief */
	join(t, 3);
	while ((p = wsq_pop(&ring[0])) != NULL)
		took(p);
	for (i = 1; i < THREADS; i++)
		T_OK(wsq_empty(&ring[i]));
	expect_all_taken();
}

TEST(stress_random)
{
	uint64_t seed;

	for (seed = 1; seed <= 4; seed++)
		stress(seed, tap_iters(500000));
}

/* However busily new items come and go, an old one is next after all that came before it. */
TEST(no_starvation)
{
	struct wsq *q = &ring[0];
	long i;

	wsq_init(q);
	for (i = 1; i < WSQ_CAP; i++)
		wsq_push(q, item(i));
	for (i = 1; i <= 1000; i++) {
		T_OK(wsq_push(q, item(WSQ_CAP - 1 + i)));
		T_EQ(number(wsq_pop(q)), i);
	}
}

/* When everybody has stopped in the middle, nothing is lost: the rings hold the rest. */
TEST(leftovers)
{
	long round, rounds = tap_iters(200), i, k;
	pthread_t t[2];
	void *p;

	for (round = 0; round < rounds; round++) {
		expect_items(3 * WSQ_CAP);
		for (i = 0; i < THREADS; i++)
			wsq_init(&ring[i]);
		store_relaxed(&done, 1); /* the threads' creation orders it; they stop as soon as their ring is empty */
		start(t, 2, stress_thief);
		for (i = 1; i <= 3 * WSQ_CAP; i++)
			while (!wsq_push(&ring[0], item(i)))
				if ((p = wsq_pop(&ring[0])) != NULL)
					took(p);
		join(t, 2);
		for (k = 0; k < THREADS; k++)
			while ((p = wsq_pop(&ring[k])) != NULL)
				took(p);
		expect_all_taken();
	}
}
