/* SPDX-License-Identifier: MIT
 *
 * mpmc.cpp - model of weft/lf/mpmc.h, and of the bounded queue of weft/lf/mpsc.h: producers and consumers at capacities 1, 2 and 3.
 *
 * Values are plain memory, so a slot that is refilled before it was read, or read before it was filled, is a race. Nothing is lost, nothing
 * comes out twice, what one producer has pushed one consumer pops in order, and never are more in than the capacity says.
 */
#include "model.h"
#include "base/atomic.h"

#include "weft/lf/mpsc.h"

#define TRIES 3

WEFT_MPMC_DEFINE(one, int, 1);
WEFT_MPMC_DEFINE(two, int, 2);
WEFT_MPMC_DEFINE(three, int, 3);
WEFT_MPSC_DEFINE(sole, int, 2);

/* Values are 100 * producer + how many it had pushed. */
struct account {
	int in[2], got[2][TRIES], popping, out, cap;

	void open(int c)
	{
		memset(this, 0, sizeof(*this));
		cap = c;
	}

	int next(unsigned producer)
	{
		return (int)(100 * producer) + in[producer];
	}

	/* The exact form: those that have come out, and those that are on their way, make room for no more than there is. */
	void pushed(unsigned producer)
	{
		in[producer]++;
		RL_ASSERT(in[0] + in[1] - out - popping <= cap);
	}

	void popped(int v, int *last)
	{
		int p = v / 100, i = v % 100;

		RL_ASSERT(got[p][i]++ == 0);
		RL_ASSERT(i > last[p]);
		last[p] = i;
		out++;
	}

	void all()
	{
		for (int p = 0; p < 2; p++)
			for (int i = 0; i < in[p]; i++)
				RL_ASSERT(got[p][i] == 1);
		RL_ASSERT(out == in[0] + in[1] && out > 0);
	}
};

/* Threads 0 and 1 push (the second only if there are two producers), the others pop. */
template <typename Q, int CAP, void (*init)(Q *), bool (*push)(Q *, int), bool (*pop)(Q *, int *), unsigned PRODUCERS, unsigned THREADS>
struct traffic : rl::test_suite<traffic<Q, CAP, init, push, pop, PRODUCERS, THREADS>, THREADS> {
	Q q;
	struct account a;

	void before()
	{
		init(&q);
		a.open(CAP);
	}

	void drain()
	{
		int last[2] = {-1, -1}, v;

		while (pop(&q, &v))
			a.popped(v, last);
	}

	void thread(unsigned id)
	{
		int last[2] = {-1, -1}, v;

		for (int i = 0; i < TRIES; i++) {
			if (id < PRODUCERS) {
				if (push(&q, a.next(id)))
					a.pushed(id);
			} else {
				a.popping++;
				bool got = pop(&q, &v);
				a.popping--;
				if (got)
					a.popped(v, last);
			}
		}
	}

	void after()
	{
		drain();
		a.all();
	}
};

typedef traffic<one, 1, one_init, one_push, one_pop, 2, 4> cap1;
typedef traffic<two, 2, two_init, two_push, two_pop, 2, 4> cap2;
typedef traffic<three, 3, three_init, three_push, three_pop, 2, 3> cap3;
typedef traffic<sole, 2, sole_init, sole_push, sole_pop, 2, 3> one_consumer;
typedef traffic<two, 2, two_init, two_push_alone, two_pop, 1, 3> one_producer;
typedef traffic<two, 2, two_init, two_push_alone, two_pop_alone, 1, 2> one_of_each;

/* At the end of the positions, one producer and one consumer: laps go on from SIZE_MAX to 0. */
struct wrap : rl::test_suite<wrap, 2> {
	struct three q;
	int in, out;

	void before()
	{
		weft__mpmc_start(&q.tail, &q.head, q.slot, sizeof(q.slot[0]), 3, 4, (size_t)0 - 4);
		in = out = 0;
	}

	void thread(unsigned id)
	{
		int v;

		for (int i = 0; i < 6; i++) {
			if (id == 0)
				in += three_push(&q, in);
			else if (three_pop(&q, &v))
				RL_ASSERT(v == out++);
		}
	}

	void after()
	{
		int v;

		while (three_pop(&q, &v))
			RL_ASSERT(v == out++);
		RL_ASSERT(in == out && in >= 3);
	}
};

static const struct scenario scenarios[] = {
	{"capacity 1, two producers, two consumers", rl::simulate<cap1>, 50000, 0},
	{"capacity 2, two producers, two consumers", rl::simulate<cap2>, 50000, 0},
	{"capacity 3, two producers, a consumer", rl::simulate<cap3>, 40000, 2},
	{"one consumer who knows it", rl::simulate<one_consumer>, 40000, 2},
	{"one producer who knows it", rl::simulate<one_producer>, 40000, 2},
	{"one of each who know it", rl::simulate<one_of_each>, 40000, 3},
	{"the last lap", rl::simulate<wrap>, 40000, 3},
};

static const struct mutation mutations[] = {
	{"an element is published without release", "two__put", "store_release", "stamp"},
	{"a slot is given back without release", "two__get", "store_release", "stamp"},
	{"a producer reads a stamp without acquire", "weft__mpmc_free", "load_acquire", "stamp"},
	{"a consumer reads a stamp without acquire", "weft__mpmc_full", "load_acquire", "stamp"},
	{"the only producer reads a stamp without acquire", "weft__mpmc_free_alone", "load_acquire", "stamp"},
	{"the only consumer reads a stamp without acquire", "weft__mpmc_full_alone", "load_acquire", "stamp"},
	{"one consumer: a slot is given back without release", "sole_mpmc__get", "store_release", "stamp"},
};

MODEL_MAIN(scenarios, mutations)
