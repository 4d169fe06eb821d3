/* SPDX-License-Identifier: MIT
 *
 * mpsc.cpp - model of weft/lf/mpsc.h's intrusive queue: two producers, one consumer.
 *
 * Every node carries a payload that its producer writes plainly; the consumer reads it, and then overwrites it, for it owns the node. Nothing is
 * lost, nothing comes out twice, each producer's nodes come in order, and when all producers are done none is said to be busy.
 *
 * What the swap's order guards against, a store that overtakes another thread's, Relacy does not produce: mpsc.pml.
 */
#include "model.h"
#include "base/atomic.h"

#include "weft/lf/mpsc.h"

#define EACH 2

struct item {
	weft_mpsc_node node; /* first: an item is where its node is */
	rl::var<int> payload;
};

struct many_producers : rl::test_suite<many_producers, 3> {
	weft_mpsc q;
	struct item item[2][EACH];
	int next[2], got;

	void before()
	{
		weft_mpsc_init(&q);
		next[0] = next[1] = got = 0;
	}

	void take(weft_mpsc_node *n)
	{
		struct item *i = (struct item *)(void *)n;
		int p = i >= item[1], k = (int)(i - item[p]);

		RL_ASSERT(i->payload($) == 10 * p + k);
		RL_ASSERT(k == next[p]); /* in order, once */
		next[p]++;
		got++;
		i->payload($) = -1;
	}

	void thread(unsigned id)
	{
		if (id < 2) {
			for (int k = 0; k < EACH; k++) {
				item[id][k].payload($) = (int)(10 * id) + k;
				weft_mpsc_push(&q, &item[id][k].node);
			}
			return;
		}
		for (int k = 0; k < 5; k++) {
			weft_mpsc_node *n = weft_mpsc_pop(&q);

			if (n)
				take(n);
		}
	}

	void after()
	{
		weft_mpsc_node *n;
		bool busy;

		while ((n = weft_mpsc_trypop(&q, &busy)) != NULL)
			take(n);
		RL_ASSERT(!busy);
		RL_ASSERT(got == 2 * EACH);
	}
};

/* A node goes round: as soon as it is popped it is pushed again. */
struct again : rl::test_suite<again, 2> {
	weft_mpsc q;
	struct item item[2];

	void before()
	{
		weft_mpsc_init(&q);
	}

	void thread(unsigned id)
	{
		item[id].payload($) = (int)id;
		weft_mpsc_push(&q, &item[id].node);
		if (id == 0)
			return;
		for (int k = 0; k < 4; k++) {
			weft_mpsc_node *n = weft_mpsc_pop(&q);

			if (!n)
				continue;
			struct item *i = (struct item *)(void *)n;
			int v = i->payload($);

			RL_ASSERT(v >= 0 && v % 10 == (int)(i - item));
			i->payload($) = v + 10;
			weft_mpsc_push(&q, n);
		}
	}

	void after()
	{
		weft_mpsc_node *n;
		int left = 0;
		bool busy;

		while ((n = weft_mpsc_trypop(&q, &busy)) != NULL)
			left++;
		RL_ASSERT(!busy && left == 2);
	}
};

static const struct scenario scenarios[] = {
	{"two producers", rl::simulate<many_producers>, 150000, 2},
	{"a node goes round", rl::simulate<again>, 60000, 3},
};

static const struct mutation mutations[] = {
	{"a node is linked without release", "weft_mpsc_push", "store_release", "&before->weft__next"},
	{"a link is read without acquire", "weft_mpsc_trypop", "load_acquire", "&n->weft__next"},
};

MODEL_MAIN(scenarios, mutations)
