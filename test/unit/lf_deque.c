/* SPDX-License-Identifier: MIT
 *
 * lf_deque.c - the deque of weft/lf/deque.h, from a ring of two on, so that it grows under thieves.
 */
#include "tap.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <weft/lf/deque.h>

#define THIEVES 3

static weft_deque deque;
static WEFT_ATOMIC(uint8_t) * seen;
static WEFT_ATOMIC(long) taken;
static WEFT_ATOMIC(int) done;
static long count;

static void *item(long i)
{
	return (void *)(uintptr_t)i;
}

static long number(void *p)
{
	return (long)(uintptr_t)p;
}

static void took(void *p)
{
	T_OK(number(p) >= 1 && number(p) <= count);
	T_EQ(weft_add_relaxed(&seen[number(p)], 1), 0); /* never twice */
	weft_add_relaxed(&taken, 1);
}

/* The owner's youngest first, thieves' oldest first; it grows as need be, also when the indices do not start at the beginning of the ring. */
TEST(smoke)
{
	bool lost;
	long i;

	T_EQ(weft_deque_init(&deque, 0), WEFT_EINVAL);
	T_EQ(weft_deque_init(&deque, SIZE_MAX), WEFT_EINVAL);
	T_EQ(weft_deque_init(&deque, 2), 0);
	T_OK(!weft_deque_pop(&deque));
	T_OK(!weft_deque_steal(&deque, &lost) && !lost);
	for (i = 1; i <= 3; i++) {
		T_EQ(weft_deque_push(&deque, item(i)), 0);
		T_EQ(number(weft_deque_steal(&deque, &lost)), i);
	}
	for (i = 1; i <= 1000; i++) {
		T_EQ(weft_deque_push(&deque, item(i)), 0);
		T_EQ(weft_deque_len(&deque), i);
	}
	for (i = 1; i <= 500; i++)
		T_EQ(number(weft_deque_steal(&deque, &lost)), i);
	for (i = 1000; i > 500; i--)
		T_EQ(number(weft_deque_pop(&deque)), i);
	T_OK(!weft_deque_pop(&deque));
	T_OK(!weft_deque_pop(&deque));
	T_OK(!weft_deque_steal(&deque, &lost) && !lost);
	T_EQ(weft_deque_len(&deque), 0);
	T_EQ(weft_deque_push(&deque, item(7)), 0);
	T_EQ(number(weft_deque_pop(&deque)), 7);
	weft_deque_destroy(&deque);
}

static void *thief(void *arg)
{
	bool lost;
	void *p;

	for (;;) {
		bool last = weft_load_acquire(&done); /* pairs with store_release in round_of: all is pushed */

		p = weft_deque_steal(&deque, &lost);
		if (p)
			took(p);
		else if (last && !lost)
			return arg;
		else
			sched_yield();
	}
}

/* The owner pushes bursts and takes back what the thieves leave. */
static void round_of(long n, long burst, bool pops)
{
	pthread_t t[THIEVES];
	void *p;
	long i;
	int k;

	count = n;
	seen = calloc((size_t)n + 1, sizeof(*seen));
	T_OK(seen != NULL);
	weft_store_relaxed(&taken, 0);
	weft_store_relaxed(&done, 0); /* the threads' creation orders it */
	T_EQ(weft_deque_init(&deque, 2), 0);
	for (k = 0; k < THIEVES; k++)
		T_EQ(pthread_create(&t[k], NULL, thief, NULL), 0);
	for (i = 1; i <= n; i++) {
		T_EQ(weft_deque_push(&deque, item(i)), 0);
		if (i % burst)
			continue;
		for (k = 0; pops && k < burst && (p = weft_deque_pop(&deque)) != NULL; k++)
			took(p);
		if (i % (64 * burst) == 0)
			sched_yield();
	}
	while (pops && (p = weft_deque_pop(&deque)) != NULL)
		took(p);
	weft_store_release(&done, 1); /* pairs with load_acquire in thief */
	for (k = 0; k < THIEVES; k++)
		T_EQ(pthread_join(t[k], NULL), 0);
	T_EQ(weft_load_relaxed(&taken), n);
	for (i = 1; i <= n; i++)
		T_EQ(weft_load_relaxed(&seen[i]), 1);
	weft_deque_destroy(&deque);
	free(seen);
}

/* One item at a time: the owner and all thieves want the same. */
TEST(last_item)
{
	round_of(tap_iters(100000), 1, true);
}

TEST(stress)
{
	round_of(tap_iters(100000), 3, true);
	round_of(tap_iters(100000), 100, true);
}

/* The owner only pushes, and the thieves cannot keep up: it grows while they steal. */
TEST(grows_under_thieves)
{
	for (int k = 0; k < 20; k++)
		round_of(tap_iters(10000), 1000, false);
}
