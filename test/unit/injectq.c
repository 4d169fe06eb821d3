/* SPDX-License-Identifier: MIT
 *
 * injectq.c - the shared injection queue: the questions asked of every queue.
 */
#include "tap.h"

#include "base/rand.h"
#include "core/injectq.h"
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 8
#define BATCH 7

struct item {
	struct inject_node node;
	int producer;
	long nr; /* counts up within a producer */
	ATOMIC(int) taken;
};

static struct injectq q;
static struct item *items;
static long nitems;
static ATOMIC(int) go;
static ATOMIC(long) ntaken;

static struct item *item_of(struct inject_node *n)
{
	return (struct item *)n;
}

static void setup(long n)
{
	long i;

	injectq_init(&q);
	memset(&q.lock, 0, sizeof q.lock);
	items = calloc((size_t)n, sizeof *items);
	T_OK(items != NULL);
	nitems = n;
	store_relaxed(&ntaken, 0); /* no threads yet */
	store_relaxed(&go, 0);
	for (i = 0; i < n; i++)
		items[i].nr = i;
}

static void took(struct inject_node *n)
{
	struct item *it = item_of(n);

	T_OK(it >= items && it < items + nitems);
	T_EQ(add_relaxed(&it->taken, 1), 0); /* never twice */
	add_relaxed(&ntaken, 1);             /* only a count */
}

static void expect_all_taken(void)
{
	long i;

	T_EQ(load_relaxed(&ntaken), nitems);
	for (i = 0; i < nitems; i++)
		T_EQ(load_relaxed(&items[i].taken), 1);
	T_EQ(injectq_len(&q), 0);
	T_OK(injectq_pop(&q) == NULL);
	free(items);
}

static void start(pthread_t *t, int n, void *(*fn)(void *))
{
	int i;

	for (i = 0; i < n; i++)
		T_EQ(pthread_create(&t[i], NULL, fn, (void *)(intptr_t)i), 0);
}

static void join(pthread_t *t, int n)
{
	int i;

	for (i = 0; i < n; i++)
		T_EQ(pthread_join(t[i], NULL), 0);
}

/* Pushes the n items at `first` as one chain. */
static void push_chain(struct item *first, long n)
{
	long i;

	for (i = 0; i + 1 < n; i++)
		first[i].node.next = &first[i + 1].node;
	injectq_push_chain(&q, &first[0].node, &first[n - 1].node, (uint32_t)n);
}

/* What goes in comes out, in order. */
TEST(smoke)
{
	long i;

	setup(5);
	for (i = 0; i < 5; i++)
		injectq_push(&q, &items[i].node);
	T_EQ(injectq_len(&q), 5);
	for (i = 0; i < 5; i++) {
		struct inject_node *n = injectq_pop(&q);

		T_EQ(item_of(n)->nr, i);
		took(n);
	}
	expect_all_taken();
}

/* Exact when empty; never full; chains and batches meet in every combination of sizes. */
TEST(empty_full)
{
	struct inject_node *out[BATCH];
	uint32_t max, n;
	long chain, in, next;

	for (chain = 1; chain <= 9; chain++) {
		for (max = 1; max <= BATCH; max++) {
			setup(90);
			T_OK(injectq_pop(&q) == NULL);
			T_EQ(injectq_pop_n(&q, out, max), 0);
			for (in = 0; in < 90; in += chain)
				push_chain(&items[in], in + chain <= 90 ? chain : 90 - in);
			T_EQ(injectq_len(&q), 90);
			T_EQ(injectq_pop_n(&q, out, 0), 0);
			for (next = 0; next < 90;) {
				uint32_t k;

				n = injectq_pop_n(&q, out, max);
				T_EQ(n, next + max <= 90 ? max : 90 - next);
				for (k = 0; k < n; k++) {
					T_EQ(item_of(out[k])->nr, next + k);
					took(out[k]);
				}
				next += n;
				T_EQ(injectq_len(&q), 90 - next);
			}
			expect_all_taken();
		}
	}
}

static void *push_all(void *arg)
{
	struct rng r;
	long i, n;

	rng_seed(&r, 3, (uint64_t)(intptr_t)arg);
	for (i = 0; i < nitems; i += n) {
		n = 1 + rng_below(&r, 5);
		if (n > nitems - i)
			n = nitems - i;
		push_chain(&items[i], n);
	}
	return NULL;
}

/* One pushes, one pops: everything arrives in order. */
TEST(spsc)
{
	struct inject_node *out[BATCH];
	long next = 0;
	pthread_t t;

	setup(tap_iters(300000));
	start(&t, 1, push_all);
	while (next < nitems) {
		uint32_t k, n = injectq_pop_n(&q, out, BATCH);

		if (n == 0)
			sched_yield();
		for (k = 0; k < n; k++) {
			T_EQ(item_of(out[k])->nr, next++);
			took(out[k]);
		}
	}
	join(&t, 1);
	expect_all_taken();
}

static void *stampede_taker(void *arg)
{
	struct inject_node *n;

	(void)arg;
	while (!load_acquire(&go))
		sched_yield();
	while ((n = injectq_pop(&q)) != NULL)
		took(n);
	return NULL;
}

/* All at once fall upon a few nodes: each goes to exactly one of them. */
TEST(stampede)
{
	long round, rounds = tap_iters(300);
	pthread_t t[THREADS];

	for (round = 0; round < rounds; round++) {
		setup(20);
		push_chain(items, 20);
		start(t, THREADS, stampede_taker);
		store_release(&go, 1); /* pairs with load_acquire in stampede_taker */
		join(t, THREADS);
		expect_all_taken();
	}
}

/* Even threads push their share, in chains; odd ones pop, alone and in batches, and see each producer's items in
 * order. */
static void *stress_thread(void *arg)
{
	struct inject_node *out[BATCH];
	long share = nitems / (THREADS / 2), last[THREADS / 2], i, n;
	int me = (int)(intptr_t)arg;
	struct rng r;

	rng_seed(&r, 5, (uint64_t)me);
	if (me % 2 == 0) {
		struct item *mine = &items[me / 2 * share];

		for (i = 0; i < share; i++)
			mine[i].producer = me / 2;
		for (i = 0; i < share; i += n) {
			n = 1 + rng_below(&r, 9);
			if (n > share - i)
				n = share - i;
			push_chain(&mine[i], n);
		}
		return NULL;
	}
	for (i = 0; i < THREADS / 2; i++)
		last[i] = -1;
	while (load_relaxed(&ntaken) < nitems) { /* only a count */
		uint32_t k, c = injectq_pop_n(&q, out, 1 + rng_below(&r, BATCH));

		if (c == 0)
			sched_yield();
		for (k = 0; k < c; k++) {
			struct item *it = item_of(out[k]);

			T_OK(it->nr > last[it->producer]);
			last[it->producer] = it->nr;
			took(out[k]);
		}
	}
	return NULL;
}

TEST(stress)
{
	pthread_t t[THREADS];

	setup(tap_iters(400000) / THREADS * THREADS);
	start(t, THREADS, stress_thread);
	join(t, THREADS);
	expect_all_taken();
}

/* However busily new nodes come and go, an old one is next after all that came before it. */
TEST(no_starvation)
{
	long i;

	setup(2000);
	for (i = 0; i < 10; i++)
		injectq_push(&q, &items[i].node);
	for (i = 0; i < 1990; i++) {
		struct inject_node *n;

		injectq_push(&q, &items[10 + i].node);
		n = injectq_pop(&q);
		T_EQ(item_of(n)->nr, i);
		took(n);
	}
	while (load_relaxed(&ntaken) < nitems)
		took(injectq_pop(&q));
	expect_all_taken();
}

static void *take_some(void *arg)
{
	long i;

	for (i = 0; i < 5 + (intptr_t)arg; i++) {
		struct inject_node *n = injectq_pop(&q);

		if (n)
			took(n);
	}
	return NULL;
}

/* When everybody has stopped in the middle, nothing is lost: the queue holds the rest. */
TEST(leftovers)
{
	long round, rounds = tap_iters(200);
	struct inject_node *n;
	pthread_t t[4];

	for (round = 0; round < rounds; round++) {
		setup(100);
		start(t, 4, take_some);
		push_all(NULL);
		join(t, 4);
		T_EQ(injectq_len(&q), nitems - load_relaxed(&ntaken));
		while ((n = injectq_pop(&q)) != NULL)
			took(n);
		expect_all_taken();
	}
}
