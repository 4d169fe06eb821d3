/* SPDX-License-Identifier: MIT
 *
 * spsc.cpp - model of weft/lf/spsc.h: a producer and a consumer of the ring, of its ends, of batches, and of the unbounded queue.
 *
 * Slots are plain memory, so a slot that is refilled before it was read, or read before it was filled, is a race. What comes out is what went
 * in, in order, and never are more in than the capacity says.
 */
#include "model.h"
#include "base/atomic.h"

#define weft_lf_new(T) (new T)
#define weft_lf_alloc(n) malloc(n) /* not reached */
#define weft_lf_free(p) delete (p)
#include "weft/lf/spsc.h"

WEFT_SPSC_DEFINE(one, int, 1);
WEFT_SPSC_DEFINE(two, int, 2);
WEFT_SPSC_DEFINE(three, int, 3);
WEFT_SPSC_LIST_DEFINE(list, int, 2);

/* What both sides have done. The model runs one thread at a time, so plain memory will do. */
struct account {
	int in, out, cap;

	void open(int c)
	{
		in = out = 0;
		cap = c;
	}

	void pushed()
	{
		in++;
		RL_ASSERT(in - out <= cap + 1); /* one may be out that is not counted yet */
	}

	void popped(int v)
	{
		RL_ASSERT(v == out); /* nothing lost, doubled or out of order */
		out++;
	}
};

/* Single elements through a ring of two: it is full and empty again and again. */
struct single : rl::test_suite<single, 2> {
	struct two q;
	struct account a;

	void before()
	{
		two_init(&q);
		a.open(2);
	}

	void thread(unsigned id)
	{
		int v;

		for (int i = 0; i < 6; i++) {
			if (id == 0) {
				if (two_push(&q, a.in))
					a.pushed();
			} else if (two_pop(&q, &v)) {
				a.popped(v);
			}
		}
	}

	void after()
	{
		int v;

		while (two_pop(&q, &v))
			a.popped(v);
		RL_ASSERT(a.in == a.out && a.in >= 2);
	}
};

/* The ends, in a ring of one, from counts just before they wrap. */
struct ends : rl::test_suite<ends, 2> {
	struct one q;
	struct account a;

	void before()
	{
		one_init(&q);
		store_relaxed(&q.tail, SIZE_MAX - 1);
		store_relaxed(&q.head, SIZE_MAX - 1);
		q.room = q.seen = SIZE_MAX - 1;
		a.open(1);
	}

	void thread(unsigned id)
	{
		int v;

		if (id == 0) {
			struct one_tx x = one_tx(&q);

			for (int i = 0; i < 6; i++)
				if (one_send(&x, a.in))
					a.pushed();
		} else {
			struct one_rx y = one_rx(&q);

			for (int i = 0; i < 6; i++)
				if (one_recv(&y, &v))
					a.popped(v);
		}
	}

	void after()
	{
		struct one_rx y = one_rx(&q);
		int v;

		while (one_recv(&y, &v))
			a.popped(v);
		RL_ASSERT(a.in == a.out && a.in >= 1);
	}
};

/* Two at a time through a ring of three, which has four slots. */
struct batches : rl::test_suite<batches, 2> {
	struct three q;
	int in, out;

	void before()
	{
		three_init(&q);
		in = out = 0;
	}

	void thread(unsigned id)
	{
		int v[2];
		size_t n;

		for (int i = 0; i < 4; i++) {
			if (id == 0) {
				v[0] = in;
				v[1] = in + 1;
				in += (int)three_push_n(&q, v, 2);
				RL_ASSERT(in - out <= 3 + 2);
			} else {
				n = three_pop_n(&q, v, 2);
				for (size_t k = 0; k < n; k++)
					RL_ASSERT(v[k] == out + (int)k);
				out += (int)n;
			}
		}
	}

	void after()
	{
		int v;

		for (; three_pop(&q, &v); out++)
			RL_ASSERT(v == out);
		RL_ASSERT(in == out && in >= 3);
	}
};

/* Segments of two: they are linked, used up, given back and filled again; none is touched after it was freed. */
struct segments : rl::test_suite<segments, 2> {
	struct list q;
	struct account a;

	void before()
	{
		list_init(&q);
		a.open(100);
	}

	void thread(unsigned id)
	{
		int v;

		for (int i = 0; i < 7; i++) {
			if (id == 0) {
				RL_ASSERT(list_push(&q, a.in));
				a.pushed();
			} else if (list_pop(&q, &v)) {
				a.popped(v);
			}
		}
	}

	void after()
	{
		int v;

		while (a.in - a.out > 1) {
			RL_ASSERT(list_pop(&q, &v));
			a.popped(v);
		}
		list_destroy(&q); /* with one in it; Relacy looks for leaks */
	}
};

static const struct scenario scenarios[] = {
	{"a ring of two", rl::simulate<single>, 60000, 3},
	{"the ends of a ring of one", rl::simulate<ends>, 60000, 3},
	{"batches", rl::simulate<batches>, 60000, 3},
	{"segments", rl::simulate<segments>, 60000, 3},
};

static const struct mutation mutations[] = {
	{"an element is published without release", "two__put", "store_release", "&q->tail"},
	{"a slot is given back without release", "two__get", "store_release", "&q->head"},
	{"an end publishes without release", "one__put", "store_release", "&q->tail"},
	{"an end gives back without release", "one__get", "store_release", "&q->head"},
	{"a batch is published without release", "three_push_n", "store_release", "&q->tail"},
	{"a batch is given back without release", "three_pop_n", "store_release", "&q->head"},
	{"the producer reads head without acquire", "weft__spsc_room", "load_acquire", "head"},
	{"the consumer reads tail without acquire", "weft__spsc_some", "load_acquire", "tail"},
	{"segments: an element is published without release", "list_push", "store_release", "&q->tail"},
	{"a used-up segment is given back without release", "list__advance", "swap_release", "&q->spare"},
	{"a used-up segment is taken without acquire", "list__grow", "swap_acquire", "&q->spare"},
};

MODEL_MAIN(scenarios, mutations)
