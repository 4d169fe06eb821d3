/* SPDX-License-Identifier: MIT
 *
 * lf_mpsc.c - the intrusive queue of weft/lf/mpsc.h.
 */
#include "tap.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <weft/lf/mpsc.h>

#define THREADS 3

struct item {
	weft_mpsc_node node; /* first: an item is where its node is */
	long number;
};

static weft_mpsc queue;
static struct item *items;
static long each;
static WEFT_ATOMIC(long) producers;

static long number(weft_mpsc_node *n)
{
	return ((struct item *)(void *)n)->number;
}

/* What goes in comes out, in order, and nodes may be used again at once. */
TEST(smoke)
{
	static struct item i[5];
	weft_mpsc_node *n;
	bool busy = true;

	weft_mpsc_init(&queue);
	T_OK(!weft_mpsc_trypop(&queue, &busy) && !busy);
	for (int round = 0; round < 20; round++) {
		for (int k = 0; k < 5; k++) {
			i[k].number = 10 * round + k;
			weft_mpsc_push(&queue, &i[k].node);
		}
		for (int k = 0; k < 5; k++) {
			n = weft_mpsc_pop(&queue);
			T_OK(n == &i[k].node);
			T_EQ(number(n), 10 * round + k);
		}
		T_OK(!weft_mpsc_trypop(&queue, &busy) && !busy);
		weft_mpsc_push(&queue, &i[0].node);
		T_OK(weft_mpsc_pop(&queue) == &i[0].node);
	}
}

/* A producer that has swapped and not linked: the consumer is told so, gets what was before it, and then all the rest. */
TEST(push_in_progress)
{
	static struct item a, b, c;
	weft_mpsc_node *before;
	bool busy;

	weft_mpsc_init(&queue);
	weft_mpsc_push(&queue, &a.node);
	weft_store_relaxed(&b.node.weft__next, (weft_mpsc_node *)NULL);
	before = weft_swap_acq_rel(&queue.last, &b.node); /* the first half of a push */
	weft_mpsc_push(&queue, &c.node);
	T_OK(!weft_mpsc_trypop(&queue, &busy) && busy); /* a may be the last but for the link */
	weft_store_release(&before->weft__next, &b.node);
	T_OK(weft_mpsc_pop(&queue) == &a.node);
	T_OK(weft_mpsc_pop(&queue) == &b.node);
	T_OK(weft_mpsc_pop(&queue) == &c.node);
	T_OK(!weft_mpsc_trypop(&queue, &busy) && !busy);

	/* The same on an empty queue. */
	weft_store_relaxed(&b.node.weft__next, (weft_mpsc_node *)NULL);
	before = weft_swap_acq_rel(&queue.last, &b.node);
	T_OK(!weft_mpsc_trypop(&queue, &busy) && busy);
	weft_store_release(&before->weft__next, &b.node);
	T_OK(weft_mpsc_pop(&queue) == &b.node);
}

static void *produce(void *arg)
{
	long me = weft_add_relaxed(&producers, 1), i;

	for (i = me * each; i < (me + 1) * each; i++) {
		items[i].number = i;
		weft_mpsc_push(&queue, &items[i].node);
		if (i % 100 == 0)
			sched_yield();
	}
	return arg;
}

/* Three push at once: nothing is lost or comes twice, and each one's nodes come in order. */
TEST(stress)
{
	long last[THREADS], got = 0, k;
	pthread_t t[THREADS];
	weft_mpsc_node *n;
	bool busy;

	each = tap_iters(100000);
	items = calloc((size_t)(THREADS * each), sizeof(*items));
	T_OK(items != NULL);
	weft_mpsc_init(&queue);
	for (k = 0; k < THREADS; k++) {
		last[k] = k * each - 1;
		T_EQ(pthread_create(&t[k], NULL, produce, NULL), 0);
	}
	while (got < THREADS * each) {
		n = weft_mpsc_pop(&queue);
		if (!n) {
			sched_yield();
			continue;
		}
		k = number(n) / each;
		T_EQ(number(n), last[k] + 1);
		last[k] = number(n);
		((struct item *)(void *)n)->number = -1; /* the consumer's now */
		got++;
	}
	for (k = 0; k < THREADS; k++)
		T_EQ(pthread_join(t[k], NULL), 0);
	T_OK(!weft_mpsc_trypop(&queue, &busy) && !busy);
	free(items);
}
