/* SPDX-License-Identifier: MIT
 *
 * wsq.cpp - model of queue/wsq.h: an owner and two thieves, one of whom also robs the other.
 *
 * An owner that takes at the tail, and puts at the head, against the same thieves.
 *
 * Every item carries a payload that its pusher writes plainly; whoever gets the item reads it.  Nothing is lost,
 * nothing comes out twice, and no payload is read before it is written.
 */
#include "items.h"

#define WSQ_CAP 4
#include "queue/wsq.h"

#define ITEMS 6

static void ring_init(struct wsq *q)
{
	wsq_init(q);
	for (int i = 0; i < WSQ_CAP; i++)
		store_relaxed(&q->slot[i], (void *)NULL);
}

/* The owner pushes more than fits, pops, gives up half; thief 1 robs the owner; thief 2 robs thief 1, then the
 * owner. */
struct rob_each_other : rl::test_suite<rob_each_other, 3> {
	struct wsq q[3];
	model_items<ITEMS> items;

	void before()
	{
		items.reset();
		for (int i = 0; i < 3; i++)
			ring_init(&q[i]);
	}

	void push(int i)
	{
		void *p = items.make(i), *half[WSQ_CAP / 2];

		while (!wsq_push(&q[0], p)) {
			uint32_t n = wsq_take_half(&q[0], half);

			for (uint32_t k = 0; k < n; k++)
				items.take(half[k]);
		}
	}

	void thread(unsigned id)
	{
		uint32_t moved;

		if (id == 0) {
			push(0);
			push(1);
			push(2);
			push(3);
			items.take(wsq_pop(&q[0]));
			push(4);
			push(5);
			items.take(wsq_pop(&q[0]));
		} else if (id == 1) {
			items.take(wsq_steal(&q[0], &q[1], &moved));
			items.take(wsq_pop(&q[1]));
			items.take(wsq_steal(&q[0], &q[1], &moved));
		} else {
			items.take(wsq_steal(&q[1], &q[2], &moved));
			items.take(wsq_steal(&q[0], &q[2], &moved));
			items.take(wsq_steal(&q[1], &q[2], &moved));
		}
	}

	void after()
	{
		void *p;

		for (int i = 0; i < 3; i++)
			while ((p = wsq_pop(&q[i])) != NULL)
				items.take(p);
		items.all_taken(ITEMS);
	}
};

/* The owner takes back what two thieves want: one or two items, all compare-and-swaps meet. */
struct last_item : rl::test_suite<last_item, 3> {
	struct wsq q[3];
	model_items<ITEMS> items;

	void before()
	{
		items.reset();
		for (int i = 0; i < 3; i++)
			ring_init(&q[i]);
	}

	void thread(unsigned id)
	{
		uint32_t moved;

		if (id == 0) {
			wsq_push(&q[0], items.make(0));
			items.take(wsq_pop(&q[0]));
			wsq_push(&q[0], items.make(1));
			wsq_push(&q[0], items.make(2));
			items.take(wsq_pop(&q[0]));
		} else {
			items.take(wsq_steal(&q[0], &q[id], &moved));
			items.take(wsq_steal(&q[0], &q[id], &moved));
		}
	}

	void after()
	{
		void *p;

		for (int i = 0; i < 3; i++)
			while ((p = wsq_pop(&q[i])) != NULL)
				items.take(p);
		items.all_taken(3);
	}
};

/* The owner takes its newest, and puts one to the old end; thieves take half, of what they saw some time ago. */
struct newest_first : rl::test_suite<newest_first, 3> {
	struct wsq q[3];
	model_items<ITEMS> items;

	void before()
	{
		items.reset();
		for (int i = 0; i < 3; i++)
			ring_init(&q[i]);
	}

	void thread(unsigned id)
	{
		uint32_t moved;

		if (id == 0) {
			wsq_push(&q[0], items.make(0));
			wsq_push(&q[0], items.make(1));
			wsq_push(&q[0], items.make(2));
			items.take(wsq_pop_newest(&q[0]));
			items.take(wsq_pop_newest(&q[0]));
			wsq_push(&q[0], items.make(3));
			wsq_push_oldest(&q[0], items.make(4));
			items.take(wsq_pop_newest(&q[0]));
			wsq_push(&q[0], items.make(5));
			items.take(wsq_pop_newest(&q[0]));
		} else {
			items.take(wsq_steal(&q[0], &q[id], &moved));
			items.take(wsq_pop_newest(&q[id]));
			items.take(wsq_steal(&q[3 - id], &q[id], &moved));
			items.take(wsq_steal(&q[0], &q[id], &moved));
		}
	}

	void after()
	{
		void *p;

		for (int i = 0; i < 3; i++)
			while ((p = wsq_pop(&q[i])) != NULL)
				items.take(p);
		items.all_taken(ITEMS);
	}
};

/* What is put to the old end is there only for whoever sees its turn. */
struct put_back : rl::test_suite<put_back, 2> {
	struct wsq q[2];
	model_items<ITEMS> items;

	void before()
	{
		items.reset();
		for (int i = 0; i < 2; i++)
			ring_init(&q[i]);
	}

	void thread(unsigned id)
	{
		uint32_t moved;

		if (id == 0) {
			wsq_push(&q[0], items.make(0));
			wsq_push_oldest(&q[0], items.make(1));
			items.take(wsq_pop_newest(&q[0]));
			wsq_push_oldest(&q[0], items.make(2));
		} else {
			items.take(wsq_steal(&q[0], &q[1], &moved));
			items.take(wsq_steal(&q[0], &q[1], &moved));
		}
	}

	void after()
	{
		void *p;

		for (int i = 0; i < 2; i++)
			while ((p = wsq_pop(&q[i])) != NULL)
				items.take(p);
		items.all_taken(3);
	}
};

static const struct scenario scenarios[] = {
	{"thieves rob the owner and each other", rl::simulate<rob_each_other>, 400000, 1},
	{"the last item", rl::simulate<last_item>, 400000, 2},
	{"the owner takes its newest", rl::simulate<newest_first>, 400000, 1},
	{"one is put to the old end", rl::simulate<put_back>, 400000, 2},
};

static const struct mutation mutations[] = {
	{"an item is published without release", "weft__wsq_push", "store_release", "tail"},
	{"a thief reads tail without acquire", "weft__wsq_steal", "load_acquire", "victim_tail"},
	{"loot is published without release", "weft__wsq_steal", "store_release", "own_tail"},
	{"a thief reads head without acquire", "weft__wsq_steal", "load_acquire", "victim_head"},
	{"the turn of the newest is taken without release", "weft__wsq_pop_newest", "cas_release", "head"},
	{"the oldest is put without release", "weft__wsq_push_oldest", "cas_release", "head"},
};

MODEL_MAIN(scenarios, mutations)
