/* SPDX-License-Identifier: MIT
 *
 * lf_spsc.c - the queues of weft/lf/spsc.h: the questions asked of every queue, in rings so small that they are full and empty all the time.
 */
#include "tap.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <weft/lf/spsc.h>

struct odd {
	char text[13];
};

struct big {
	uint64_t a, b;
	char text[40];
};

WEFT_SPSC_DEFINE(one, uint64_t, 1);
WEFT_SPSC_DEFINE(five, uint64_t, 5);
WEFT_SPSC_DEFINE(eight, uint64_t, 8);
WEFT_SPSC_DEFINE(odd_ring, struct odd, 3);
WEFT_SPSC_DEFINE(big_ring, struct big, 3);
WEFT_SPSC_LIST_DEFINE(list, uint64_t, 4);
WEFT_SPSC_LIST_DEFINE(big_list, struct big, 1);

static uint64_t count;

/* As after so many elements. */
#define START(q, n)                                  \
	do {                                         \
		weft_store_relaxed(&(q)->tail, (n)); \
		weft_store_relaxed(&(q)->head, (n)); \
		(q)->room = (q)->seen = (n);         \
	} while (0)

/* Exactly cap elements fit, in order, wherever the counts are: where 32 bits end, and where size_t does. */
#define EXACT(name, cap)                                                                                \
	do {                                                                                            \
		static struct name q;                                                                   \
		size_t start[] = {0, (size_t)UINT32_MAX - 7, (size_t)0 - 7};                            \
		for (int k = 0; k < 3; k++) {                                                           \
			name##_init(&q);                                                                \
			START(&q, start[k]);                                                            \
			for (uint64_t round = 0, v; round < 20; round++) {                              \
				T_OK(!name##_pop(&q, &v));                                              \
				for (uint64_t i = 0; i < (cap); i++) {                                  \
					T_EQ(name##_len(&q), i);                                        \
					T_OK(name##_push(&q, 100 * round + i));                         \
				}                                                                       \
				T_OK(!name##_push(&q, 99));                                             \
				for (uint64_t i = 0; i < (cap); i++) {                                  \
					T_OK(name##_pop(&q, &v));                                       \
					T_EQ(v, 100 * round + i);                                       \
				}                                                                       \
				T_OK(!name##_pop(&q, &v));                                              \
				T_OK(name##_push(&q, 1) && name##_pop(&q, &v)); /* one further round */ \
			}                                                                               \
		}                                                                                       \
	} while (0)

TEST(empty_full)
{
	EXACT(one, 1);
	EXACT(five, 5);
	EXACT(eight, 8);
}

/* Ends and the ring itself in turn: neither believes in what the other has changed. */
TEST(ends_and_ring_take_turns)
{
	static struct five q;
	uint64_t in = 0, out = 0, v;

	five_init(&q);
	for (int round = 0; round < 100; round++) {
		struct five_tx x = five_tx(&q);
		struct five_rx y = five_rx(&q);

		while (five_send(&x, in))
			in++;
		T_EQ(five_len(&q), 5);
		T_OK(!five_push(&q, 0));
		for (int i = 0; i < round % 6; i++, out++) {
			T_OK(five_recv(&y, &v));
			T_EQ(v, out);
		}
		while (five_push(&q, in))
			in++;
		T_EQ(five_len(&q), 5);
		while (five_pop(&q, &v))
			T_EQ(v, out++);
		y = five_rx(&q);
		T_OK(!five_recv(&y, &v));
		T_EQ(in, out);
	}
}

/* Batches take what fits, and give what there is, around the end of the slots. */
TEST(batches)
{
	static struct five q;
	uint64_t v[8], in = 0, out = 0;

	five_init(&q);
	START(&q, (size_t)0 - 20);
	for (size_t want = 1, round = 0; round < 200; round++, want = want % 8 + 1) {
		size_t had = five_len(&q), n;

		for (size_t i = 0; i < want; i++)
			v[i] = in + i;
		n = five_push_n(&q, v, want);
		T_EQ(n, want < 5 - had ? want : 5 - had);
		in += n;
		n = five_pop_n(&q, v, round % 4);
		T_EQ(n, round % 4 < in - out ? round % 4 : in - out);
		for (size_t i = 0; i < n; i++)
			T_EQ(v[i], out + i);
		out += n;
	}
	T_EQ(five_pop_n(&q, v, 0), 0);
}

/* Elements of any size are copied whole. */
TEST(sizes)
{
	static struct odd_ring odd;
	static struct big_ring big;
	struct odd o;
	struct big b;

	odd_ring_init(&odd);
	big_ring_init(&big);
	for (int i = 0; i < 50; i++) {
		memset(&o, i, sizeof(o));
		memset(&b, i, sizeof(b));
		T_OK(odd_ring_push(&odd, o) && big_ring_push(&big, b));
		T_OK(odd_ring_push(&odd, o) && big_ring_push(&big, b));
		for (int k = 0; k < 2; k++) {
			memset(&o, 0xff, sizeof(o));
			memset(&b, 0xff, sizeof(b));
			T_OK(odd_ring_pop(&odd, &o) && big_ring_pop(&big, &b));
			for (size_t n = 0; n < sizeof(o); n++)
				T_EQ(o.text[n], i);
			for (size_t n = 0; n < sizeof(b.text); n++)
				T_EQ(b.text[n], i);
		}
	}
}

/* The same of rings made at run time. */
TEST(made_at_run_time)
{
	size_t elems[] = {1, 3, 8, 13, 64, 1000}, caps[] = {1, 2, 3, 8, 100};
	char in[4000], out[4000];
	weft_spsc q;

	T_EQ(weft_spsc_init(&q, 0, 1), WEFT_EINVAL);
	T_EQ(weft_spsc_init(&q, 1, 0), WEFT_EINVAL);
	T_EQ(weft_spsc_init(&q, SIZE_MAX / 2, 4), WEFT_EINVAL);
	T_EQ(weft_spsc_init(&q, 8, SIZE_MAX / 2), WEFT_EINVAL);
	for (size_t e = 0; e < sizeof(elems) / sizeof(elems[0]); e++) {
		for (size_t c = 0; c < sizeof(caps) / sizeof(caps[0]); c++) {
			T_EQ(weft_spsc_init(&q, elems[e], caps[c]), 0);
			START(&q, (size_t)0 - caps[c] - 1);
			for (unsigned round = 0; round < 5; round++) {
				for (size_t i = 0; i < caps[c]; i++) {
					memset(in, (int)(round + i), elems[e]);
					T_OK(weft_spsc_push(&q, in));
				}
				T_OK(!weft_spsc_push(&q, in));
				T_EQ(weft_spsc_len(&q), caps[c]);
				for (size_t i = 0; i < caps[c]; i++) {
					memset(in, (int)(round + i), elems[e]);
					T_OK(weft_spsc_pop(&q, out));
					T_EQ(memcmp(in, out, elems[e]), 0);
				}
				T_OK(!weft_spsc_pop(&q, out));
				for (size_t i = 0; i < 3 * elems[e]; i++)
					in[i] = (char)(i * 7 + round);
				T_EQ(weft_spsc_push_n(&q, in, 3), caps[c] < 3 ? caps[c] : 3);
				T_EQ(weft_spsc_pop_n(&q, out, 4), caps[c] < 3 ? caps[c] : 3);
				T_EQ(memcmp(in, out, (caps[c] < 3 ? caps[c] : 3) * elems[e]), 0);
			}
			weft_spsc_destroy(&q);
		}
	}
}

/* The unbounded one grows and shrinks, keeps one segment, and gives all back, whatever is in it. */
TEST(list)
{
	static struct list q;
	static struct big_list b;
	uint64_t in = 0, out = 0, v;
	struct big e = {0};

	for (int left = 0; left < 10; left++) {
		list_init(&q);
		in = out = 0;
		T_OK(!list_pop(&q, &v));
		for (int round = 0; round < 30; round++) {
			for (int i = 0; i < round; i++)
				T_OK(list_push(&q, in++));
			while (out + (uint64_t)(round < 29 ? round % 7 : left) < in) {
				T_OK(list_pop(&q, &v));
				T_EQ(v, out++);
			}
			T_EQ(list_empty(&q), in == out);
		}
		list_destroy(&q);
		T_OK(list_empty(&q));
		T_OK(list_push(&q, 7)); /* it is a new one now */
		T_OK(list_pop(&q, &v) && v == 7);
		list_destroy(&q);
	}
	big_list_init(&b);
	big_list_destroy(&b); /* nothing was ever in it */
	for (uint64_t i = 0; i < 5; i++) {
		e.a = i;
		T_OK(big_list_push(&b, e));
	}
	for (uint64_t i = 0; i < 5; i++)
		T_OK(big_list_pop(&b, &e) && e.a == i);
	big_list_destroy(&b);
}

/* Both ends of a queue, for two threads: push(q, v) and pop(q, &v) as the test says. */
struct pair {
	bool (*push)(void *, uint64_t);
	bool (*pop)(void *, uint64_t *);
	void *q;
};

static void *consumer(void *arg)
{
	struct pair *p = arg;
	uint64_t i, v;

	for (i = 0; i < count; i++) {
		while (!p->pop(p->q, &v))
			sched_yield();
		T_EQ(v, i); /* nothing lost, doubled or out of order */
	}
	T_OK(!p->pop(p->q, &v));
	return NULL;
}

static void pass(bool (*push)(void *, uint64_t), bool (*pop)(void *, uint64_t *), void *q)
{
	struct pair p = {push, pop, q};
	pthread_t t;
	uint64_t i;

	count = (uint64_t)tap_iters(60000);
	T_EQ(pthread_create(&t, NULL, consumer, &p), 0);
	for (i = 0; i < count; i++)
		while (!push(q, i))
			sched_yield();
	T_EQ(pthread_join(t, NULL), 0);
}

static bool one_in(void *q, uint64_t v)
{
	return one_push(q, v);
}

static bool one_out(void *q, uint64_t *v)
{
	return one_pop(q, v);
}

static bool five_in(void *x, uint64_t v)
{
	return five_send(((void **)x)[0], v);
}

static bool five_out(void *x, uint64_t *v)
{
	return five_recv(((void **)x)[1], v);
}

/* An element that only holds together if it is seen whole. */
static bool big_in(void *q, uint64_t v)
{
	struct big b = {.a = v, .b = ~v};

	return big_ring_push(q, b);
}

static bool big_out(void *q, uint64_t *v)
{
	struct big b;

	if (!big_ring_pop(q, &b))
		return false;
	T_EQ(b.a, ~b.b);
	*v = b.a;
	return true;
}

static bool made_in(void *q, uint64_t v)
{
	return weft_spsc_push(q, &v);
}

static bool made_out(void *q, uint64_t *v)
{
	return weft_spsc_pop(q, v);
}

static bool list_in(void *q, uint64_t v)
{
	return list_push(q, v);
}

static bool list_out(void *q, uint64_t *v)
{
	return list_pop(q, v);
}

/* One thread pushes, one pops: everything arrives, in order; also where 32 bits end, and where size_t does. */
TEST(spsc)
{
	static struct one one;
	static struct five five;
	static struct big_ring big;
	struct five_tx x;
	struct five_rx y;
	void *ends[] = {&x, &y};

	one_init(&one);
	START(&one, (size_t)UINT32_MAX - 100);
	pass(one_in, one_out, &one);
	five_init(&five);
	START(&five, (size_t)0 - 100);
	x = five_tx(&five);
	y = five_rx(&five);
	pass(five_in, five_out, ends);
	big_ring_init(&big);
	pass(big_in, big_out, &big);
}

TEST(spsc_made_at_run_time)
{
	weft_spsc q;

	T_EQ(weft_spsc_init(&q, sizeof(uint64_t), 7), 0);
	pass(made_in, made_out, &q);
	weft_spsc_destroy(&q);
}

TEST(spsc_list)
{
	static struct list q;

	list_init(&q);
	pass(list_in, list_out, &q);
	list_destroy(&q);
}

static void *batch_consumer(void *arg)
{
	uint64_t v[7], out = 0;

	while (out < count) {
		size_t n = eight_pop_n(arg, v, 1 + out % 7);

		for (size_t i = 0; i < n; i++)
			T_EQ(v[i], out + i);
		out += n;
		if (n == 0)
			sched_yield();
	}
	return NULL;
}

/* The same in batches of changing sizes. */
TEST(spsc_batches)
{
	static struct eight q;
	uint64_t v[5], in = 0;
	pthread_t t;

	eight_init(&q);
	START(&q, (size_t)0 - 1000);
	count = (uint64_t)tap_iters(60000);
	T_EQ(pthread_create(&t, NULL, batch_consumer, &q), 0);
	while (in < count) {
		size_t n = 1 + in % 5;

		if (n > count - in)
			n = count - in;
		for (size_t i = 0; i < n; i++)
			v[i] = in + i;
		n = eight_push_n(&q, v, n);
		in += n;
		if (n == 0)
			sched_yield();
	}
	T_EQ(pthread_join(t, NULL), 0);
}
