/* SPDX-License-Identifier: MIT
 *
 * lf_mpmc.c - the queues of weft/lf/mpmc.h and weft/lf/mpsc.h: the questions asked of every queue, at capacities where they are full and empty all the
 * time.
 */
#include "tap.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <weft/lf/mpsc.h>

#define THREADS 3 /* of each kind */

struct big {
	uint64_t a, b;
	char text[21];
};

WEFT_MPMC_DEFINE(one, uint64_t, 1);
WEFT_MPMC_DEFINE(two, uint64_t, 2);
WEFT_MPMC_DEFINE(three, uint64_t, 3);
WEFT_MPMC_DEFINE(eight, uint64_t, 8);
WEFT_MPMC_DEFINE(bigs, struct big, 5);
WEFT_MPSC_DEFINE(sole, uint64_t, 3);

/* Exactly cap elements fit, in order, also where 32 bits end and where size_t does. */
#define EXACT(name, cap, push, pop)                                                                              \
	do {                                                                                                     \
		static struct name q;                                                                            \
		size_t lap = WEFT_LF_POW2(cap), start[] = {0, ((size_t)1 << 32) - 2 * lap, (size_t)0 - 2 * lap}; \
		for (int k = 0; k < 3; k++) {                                                                    \
			name##_init(&q);                                                                         \
			weft__mpmc_start(&q.tail, &q.head, q.slot, sizeof(q.slot[0]), cap, lap, start[k]);       \
			for (uint64_t round = 0, v; round < 20; round++) {                                       \
				T_OK(!pop(&q, &v));                                                              \
				for (uint64_t i = 0; i < (cap); i++) {                                           \
					T_EQ(name##_len(&q), i);                                                 \
					T_OK(push(&q, 100 * round + i));                                         \
				}                                                                                \
				T_EQ(name##_len(&q), cap);                                                       \
				T_OK(!push(&q, 99));                                                             \
				for (uint64_t i = 0; i < (cap); i++) {                                           \
					T_OK(pop(&q, &v));                                                       \
					T_EQ(v, 100 * round + i);                                                \
				}                                                                                \
				T_OK(!pop(&q, &v));                                                              \
				T_OK(push(&q, 1) && pop(&q, &v)); /* one further round */                        \
			}                                                                                        \
		}                                                                                                \
	} while (0)

TEST(empty_full)
{
	EXACT(one, 1, one_push, one_pop);
	EXACT(two, 2, two_push, two_pop);
	EXACT(three, 3, three_push, three_pop);
	EXACT(eight, 8, eight_push, eight_pop);
	EXACT(one, 1, one_push_alone, one_pop_alone);
	EXACT(three, 3, three_push_alone, three_pop_alone);
	EXACT(eight, 8, eight_push, eight_pop_alone);
}

/* Of any size, and with sizes given at run time. */
TEST(made_at_run_time)
{
	size_t elems[] = {1, 3, 8, 13, 64, 1000}, caps[] = {1, 2, 3, 8, 100};
	char in[1000], out[1000];
	static struct bigs typed;
	weft_mpmc q;

	T_EQ(weft_mpmc_init(&q, 0, 1), WEFT_EINVAL);
	T_EQ(weft_mpmc_init(&q, 1, 0), WEFT_EINVAL);
	T_EQ(weft_mpmc_init(&q, SIZE_MAX / 4, 4), WEFT_EINVAL);
	T_EQ(weft_mpmc_init(&q, 8, SIZE_MAX / 2), WEFT_EINVAL);
	for (size_t e = 0; e < sizeof(elems) / sizeof(elems[0]); e++) {
		for (size_t c = 0; c < sizeof(caps) / sizeof(caps[0]); c++) {
			T_EQ(weft_mpmc_init(&q, elems[e], caps[c]), 0);
			for (unsigned round = 0; round < 5; round++) {
				T_OK(!weft_mpmc_pop(&q, out));
				for (size_t i = 0; i < caps[c]; i++) {
					memset(in, (int)(round + i), elems[e]);
					T_OK(weft_mpmc_push(&q, in));
				}
				T_OK(!weft_mpmc_push(&q, in));
				T_EQ(weft_mpmc_len(&q), caps[c]);
				for (size_t i = 0; i < caps[c]; i++) {
					memset(in, (int)(round + i), elems[e]);
					T_OK(weft_mpmc_pop(&q, out));
					T_EQ(memcmp(in, out, elems[e]), 0);
				}
			}
			weft_mpmc_destroy(&q);
		}
	}
	bigs_init(&typed);
	for (uint64_t i = 0; i < 5; i++)
		T_OK(bigs_push(&typed, (struct big){.a = i, .b = ~i}));
	T_OK(!bigs_push(&typed, (struct big){.a = 5}));
}

/* What THREADS producers push, `consumers` pop: the number of the producer and a number of its own. */
struct traffic {
	bool (*push)(void *, uint64_t);
	bool (*pop)(void *, uint64_t *);
	void *q;
	long each, cap;
	uint8_t *seen;               /* a byte an element: once; each written by who got it */
	WEFT_ATOMIC(long) in, out;   /* how many have gone in, and come out */
	WEFT_ATOMIC(long) producers; /* numbers for the producers */
};

static void *produce(void *arg)
{
	struct traffic *f = arg;
	long me = weft_add_relaxed(&f->producers, 1), i, out;

	for (i = 0; i < f->each; i++) {
		while (!f->push(f->q, ((uint64_t)me << 32) + (uint64_t)i))
			sched_yield();
		/* What has gone in is counted after, what comes out before: so never more than cap, but for those in between. */
		out = weft_add_acq_rel(&f->out, 0);
		T_LE(weft_add_acq_rel(&f->in, 1) + 1 - out, f->cap + THREADS + (weft_load_relaxed(&f->out) - out));
	}
	return NULL;
}

static void *consume(void *arg)
{
	struct traffic *f = arg;
	long last[THREADS];
	uint64_t v;

	memset(last, -1, sizeof(last));
	while (weft_load_relaxed(&f->out) < THREADS * f->each) { /* a hint; the rest is checked after the join */
		if (!f->pop(f->q, &v)) {
			sched_yield();
			continue;
		}
		weft_add_acq_rel(&f->out, 1);
		T_OK(v >> 32 < THREADS && (long)(uint32_t)v < f->each);
		T_LT(last[v >> 32], (long)(uint32_t)v); /* of one producer in order */
		last[v >> 32] = (long)(uint32_t)v;
		T_EQ(f->seen[(long)(v >> 32) * f->each + (long)(uint32_t)v]++, 0);
	}
	return NULL;
}

static void stress(bool (*push)(void *, uint64_t), bool (*pop)(void *, uint64_t *), void *q, long cap, int consumers)
{
	struct traffic f = {.push = push, .pop = pop, .q = q, .cap = cap, .each = tap_iters(20000)};
	pthread_t t[2 * THREADS];
	uint64_t v;
	long i;
	int n;

	f.seen = calloc((size_t)(THREADS * f.each), 1);
	T_OK(f.seen != NULL);
	for (n = 0; n < THREADS; n++)
		T_EQ(pthread_create(&t[n], NULL, produce, &f), 0);
	for (; n < THREADS + consumers; n++)
		T_EQ(pthread_create(&t[n], NULL, consume, &f), 0);
	while (n > 0)
		T_EQ(pthread_join(t[--n], NULL), 0);
	for (i = 0; i < THREADS * f.each; i++)
		T_EQ(f.seen[i], 1);
	T_OK(!pop(q, &v));
	free(f.seen);
}

#define OPS(name)                                    \
	static bool name##_in(void *q, uint64_t v)   \
	{                                            \
		return name##_push(q, v);            \
	}                                            \
	static bool name##_out(void *q, uint64_t *v) \
	{                                            \
		return name##_pop(q, v);             \
	}
OPS(one)
OPS(two)
OPS(three)
OPS(sole)

static bool made_in(void *q, uint64_t v)
{
	return weft_mpmc_push(q, &v);
}

static bool made_out(void *q, uint64_t *v)
{
	return weft_mpmc_pop(q, v);
}

static bool big_in(void *q, uint64_t v)
{
	return bigs_push(q, (struct big){.a = v, .b = ~v});
}

static bool big_out(void *q, uint64_t *v)
{
	struct big b;

	if (!bigs_pop(q, &b))
		return false;
	T_EQ(b.a, ~b.b); /* seen whole */
	*v = b.a;
	return true;
}

/* Three push and three pop: nothing is lost or comes out twice, each producer's come in order, and no more are in than fit. */
TEST(stress_1)
{
	static struct one q;

	one_init(&q);
	stress(one_in, one_out, &q, 1, THREADS);
}

TEST(stress_2)
{
	static struct two q;

	two_init(&q);
	stress(two_in, two_out, &q, 2, THREADS);
}

TEST(stress_3)
{
	static struct three q;

	three_init(&q);
	stress(three_in, three_out, &q, 3, THREADS);
}

TEST(stress_big)
{
	static struct bigs q;

	bigs_init(&q);
	stress(big_in, big_out, &q, 5, THREADS);
}

TEST(stress_made_at_run_time)
{
	weft_mpmc q;

	T_EQ(weft_mpmc_init(&q, sizeof(uint64_t), 7), 0);
	stress(made_in, made_out, &q, 7, THREADS);
	weft_mpmc_destroy(&q);
}

/* The bounded queue of one consumer. */
TEST(stress_one_consumer)
{
	static struct sole q;
	uint64_t v;

	sole_init(&q);
	for (uint64_t i = 0; i < 3; i++)
		T_OK(sole_push(&q, i));
	T_OK(!sole_push(&q, 3));
	T_EQ(sole_len(&q), 3);
	for (uint64_t i = 0; i < 3; i++)
		T_OK(sole_pop(&q, &v) && v == i);
	stress(sole_in, sole_out, &q, 3, 1);
}

static void *alone_consumer(void *arg)
{
	uint64_t i, v, n = (uint64_t)tap_iters(60000);

	for (i = 0; i < n; i++) {
		while (!three_pop_alone(arg, &v))
			sched_yield();
		T_EQ(v, i);
	}
	return NULL;
}

/* One of each, who know it: everything arrives in order. */
TEST(spsc_alone)
{
	uint64_t i, n = (uint64_t)tap_iters(60000);
	static struct three q;
	pthread_t t;

	three_init(&q);
	T_EQ(pthread_create(&t, NULL, alone_consumer, &q), 0);
	for (i = 0; i < n; i++)
		while (!three_push_alone(&q, i))
			sched_yield();
	T_EQ(pthread_join(t, NULL), 0);
}

/* A producer that is stopped in the middle of a push holds up what comes behind it, and nothing else: nobody waits, and all of it comes once it goes on. */
TEST(stalled_push)
{
	static struct three q;
	size_t p;
	weft__mpmc_word *stamp;
	uint64_t v;

	three_init(&q);
	T_OK(three_push(&q, 1));
	stamp = weft__mpmc_free(&q.tail, q.slot, sizeof(q.slot[0]), 3, 4, &p);
	T_OK(stamp != NULL);
	T_OK(three_push(&q, 3));
	T_OK(!three_push(&q, 4));
	T_OK(three_pop(&q, &v) && v == 1);
	T_OK(!three_pop(&q, &v));
	T_OK(three__put(&q, stamp, p, 2));
	T_OK(three_pop(&q, &v) && v == 2);
	T_OK(three_pop(&q, &v) && v == 3);
}
