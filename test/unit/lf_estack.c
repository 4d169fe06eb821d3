/* SPDX-License-Identifier: MIT
 *
 * lf_estack.c - the elimination array of weft/lf/stack.h: a push and a pop that are in each other's way really meet there.
 *
 * There may be fewer cores than threads, so that nobody would ever be in anybody's way. Therefore whoever waits gives its time slice away instead of spinning,
 * and now and then so does whoever is between its look at a word and its compare-and-swap. There is one slot.
 */
#include "weft/lf/atomic.h"
#include <sched.h>

#undef weft_cpu_relax
#define weft_cpu_relax() ((void)sched_yield())

#define weft_tagged weft_tagged_at_once
#include "weft/lf/tagged.h"
#undef weft_tagged

/* Words are made just before the compare-and-swap that puts them there. */
static inline uint64_t weft_tagged(const void *p, uint64_t tag)
{
	static __thread unsigned n;

	if (++n % 3 == 0)
		sched_yield();
	return weft_tagged_at_once(p, tag);
}

#define WEFT_ESTACK_SLOTS 1
#define WEFT_ESTACK_SPINS 100
#define WEFT_ESTACK_SPINS_MAX 100
#include "weft/lf/stack.h"

#include "tap.h"
#include "weft/lf/list.h"
#include <pthread.h>

#define THREADS 4

struct item {
	struct weft_stack_node link;
	int holder; /* plain: whoever holds it is alone */
};

static struct weft_estack stack;
static struct item item[THREADS];
static WEFT_ATOMIC(long) taken[THREADS];
static long rounds;

static void *takes_one(void *arg)
{
	struct weft__estack_try t;
	struct weft_stack_node *n;

	weft__estack_begin(&t);
	while ((n = weft__estack_take(&stack, &t)) == NULL)
		sched_yield();
	WEFT_CONTAINER_OF(n, struct item, link)->holder = 1;
	*(struct weft_stack_node **)arg = n;
	return NULL;
}

static void *gives_one(void *arg)
{
	struct weft__estack_try t;
	struct item *it = arg;

	weft__estack_begin(&t);
	it->holder = 0;
	while (!weft__estack_give(&stack, &it->link, &t))
		sched_yield();
	return NULL;
}

/* Waits until somebody waits in the slot. */
static void until(enum weft_estack_state state)
{
	while (weft__estack_state(weft_load_relaxed(&stack.slot[0].word)) != state) /* a hint; what follows looks again */
		sched_yield();
}

static void expect_free(uint64_t met)
{
	T_EQ(weft_estack_met(&stack), met);
	T_OK(weft_estack_empty(&stack));
	T_EQ(weft__estack_state(weft_load_relaxed(&stack.slot[0].word)), WEFT_ESTACK_FREE);
}

/* A pop waits in the array; a push that comes gives it its node, and the stack never hears of it. */
TEST(a_push_finds_a_pop_waiting)
{
	long n = tap_iters(50);

	for (long i = 0; i < n; i++) {
		struct weft_stack_node *got;
		pthread_t t;

		T_EQ(pthread_create(&t, NULL, takes_one, &got), 0);
		until(WEFT_ESTACK_WISH);
		gives_one(&item[0]);
		T_EQ(pthread_join(t, NULL), 0);
		T_EQ(got, &item[0].link);
		T_EQ(item[0].holder, 1);
		expect_free((uint64_t)i + 1);
	}
}

/* The other way round. */
TEST(a_pop_finds_a_push_waiting)
{
	long n = tap_iters(50);

	for (long i = 0; i < n; i++) {
		struct weft_stack_node *got;
		pthread_t t;

		T_EQ(pthread_create(&t, NULL, gives_one, &item[0]), 0);
		until(WEFT_ESTACK_OFFER);
		takes_one(&got);
		T_EQ(item[0].holder, 1);
		T_EQ(pthread_join(t, NULL), 0);
		T_EQ(got, &item[0].link);
		expect_free((uint64_t)i + 1);
	}
}

/* Its own element, round after round: nobody else can get a second one from it before it is back. */
static void *gives_often(void *arg)
{
	long me = (long)(intptr_t)arg;

	for (long i = 1; i <= rounds; i++) {
		gives_one(&item[me]);
		while (weft_load_acquire(&taken[me]) != i) /* pairs with store_release in takes_often */
			sched_yield();
	}
	return NULL;
}

static void *takes_often(void *arg)
{
	(void)arg;
	for (long i = 0; i < rounds; i++) {
		struct weft_stack_node *n;
		struct item *it;

		takes_one(&n);
		it = WEFT_CONTAINER_OF(n, struct item, link);
		T_EQ(it->holder, 1);
		weft_store_release(&taken[it - item],
				   weft_load_relaxed(&taken[it - item]) + 1); /* pairs with load_acquire in gives_often */
	}
	return NULL;
}

/* As many give as take, all in the array: each element goes to exactly one. */
TEST(many_meet)
{
	pthread_t give[THREADS], take[THREADS];

	rounds = tap_iters(300);
	for (int i = 0; i < THREADS; i++) {
		T_EQ(pthread_create(&give[i], NULL, gives_often, (void *)(intptr_t)i), 0);
		T_EQ(pthread_create(&take[i], NULL, takes_often, NULL), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		T_EQ(pthread_join(give[i], NULL), 0);
		T_EQ(pthread_join(take[i], NULL), 0);
	}
	for (int i = 0; i < THREADS; i++)
		T_EQ(weft_load_relaxed(&taken[i]), rounds);
	expect_free((uint64_t)(THREADS * rounds));
}

static void *goes_round(void *arg)
{
	(void)arg;
	for (long i = 0; i < rounds || weft_estack_met(&stack) == 0; i++) {
		struct weft_stack_node *n = weft_estack_pop(&stack);
		struct item *it;

		if (!n)
			continue;
		it = WEFT_CONTAINER_OF(n, struct item, link);
		T_EQ(it->holder, 0);
		it->holder = 1;
		sched_yield();
		T_EQ(it->holder, 1);
		it->holder = 0;
		weft_estack_push(&stack, n);
	}
	return NULL;
}

/* Who uses the stack as one should is led to the array when others are in the way, and meets them there: else this would not end. */
TEST(who_is_in_the_way_meets)
{
	pthread_t t[THREADS];
	int n = 0;

	rounds = tap_iters(1000);
	for (int i = 0; i < THREADS; i++)
		weft_estack_push(&stack, &item[i].link);
	for (int i = 0; i < THREADS; i++)
		T_EQ(pthread_create(&t[i], NULL, goes_round, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		T_EQ(pthread_join(t[i], NULL), 0);
	tap_note("%llu pairs met", (unsigned long long)weft_estack_met(&stack));
	while (weft_estack_pop(&stack))
		n++;
	T_EQ(n, THREADS);
}
