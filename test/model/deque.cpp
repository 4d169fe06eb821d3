/* SPDX-License-Identifier: MIT
 *
 * deque.cpp - model of weft/lf/deque.h: an owner and two thieves, in a ring that grows.
 *
 * Every item carries a payload that its pusher writes plainly; whoever gets the item reads it.  Nothing is lost, nothing comes out twice, no payload is
 * read before it is written, and no ring is touched after it was given back.
 *
 * Not noticed here: push's acquire of top and the release of a thief's compare-and-swap (wsq.pml shows them); and that it is sequentially consistent, for Relacy's
 * fences are stronger than C11's.
 */
#include "items.h"
#include "base/atomic.h"

#define weft_lf_new(T) (new T)
#define weft_lf_alloc(n) malloc(n) /* not reached */
#define weft_lf_free(p) delete (p)
/* Relacy's atomics must be constructed. */
#define weft__deque_slots(size) (new weft__deque_ring)
#define weft__deque_first(r) (new rl::atomic<void *>[(size_t)((r)->mask + 1)])
#define weft__deque_drop(r) (delete[](r)->slot, delete (r))
#include "weft/lf/deque.h"

#define ITEMS 5

/* The owner pushes more than the ring holds; the thieves may have the old one in their hands. */
struct grows : rl::test_suite<grows, 3> {
	weft_deque d;
	model_items<ITEMS> items;

	void before()
	{
		items.reset();
		RL_ASSERT(weft_deque_init(&d, 2) == 0);
	}

	void thread(unsigned id)
	{
		bool lost;

		if (id == 0) {
			for (int i = 0; i < 4; i++)
				RL_ASSERT(weft_deque_push(&d, items.make(i)) == 0);
			items.take(weft_deque_pop(&d));
			RL_ASSERT(weft_deque_push(&d, items.make(4)) == 0);
			items.take(weft_deque_pop(&d));
			items.take(weft_deque_pop(&d));
		} else {
			items.take(weft_deque_steal(&d, &lost));
			items.take(weft_deque_steal(&d, &lost));
		}
	}

	void after()
	{
		void *p;

		while ((p = weft_deque_pop(&d)) != NULL)
			items.take(p);
		items.all_taken(ITEMS);
		weft_deque_destroy(&d);
	}
};

/* The owner takes back what two thieves want. */
struct last_item : rl::test_suite<last_item, 3> {
	weft_deque d;
	model_items<ITEMS> items;

	void before()
	{
		items.reset();
		RL_ASSERT(weft_deque_init(&d, 2) == 0);
	}

	void thread(unsigned id)
	{
		bool lost;

		if (id == 0) {
			weft_deque_push(&d, items.make(0));
			items.take(weft_deque_pop(&d));
			weft_deque_push(&d, items.make(1));
			weft_deque_push(&d, items.make(2));
			items.take(weft_deque_pop(&d));
			items.take(weft_deque_pop(&d));
			weft_deque_push(&d, items.make(3));
			weft_deque_push(&d, items.make(4));
		} else {
			items.take(weft_deque_steal(&d, &lost));
			items.take(weft_deque_steal(&d, &lost));
		}
	}

	void after()
	{
		void *p;

		while ((p = weft_deque_pop(&d)) != NULL)
			items.take(p);
		items.all_taken(ITEMS);
		weft_deque_destroy(&d);
	}
};

/* Two items, and each side wants both: the owner takes the second without a compare-and-swap only if no thief can have come so far. */
struct two_items : rl::test_suite<two_items, 2> {
	weft_deque d;
	model_items<ITEMS> items;

	void before()
	{
		items.reset();
		RL_ASSERT(weft_deque_init(&d, 2) == 0);
		weft_deque_push(&d, items.make(0));
		weft_deque_push(&d, items.make(1));
	}

	void thread(unsigned id)
	{
		bool lost;

		for (int i = 0; i < 2; i++)
			items.take(id == 0 ? weft_deque_pop(&d) : weft_deque_steal(&d, &lost));
	}

	void after()
	{
		void *p;

		while ((p = weft_deque_pop(&d)) != NULL)
			items.take(p);
		items.all_taken(2);
		weft_deque_destroy(&d);
	}
};

static const struct scenario scenarios[] = {
	{"two items", rl::simulate<two_items>, 60000, 4},
	{"it grows under thieves", rl::simulate<grows>, 80000, 1},
	{"the last item", rl::simulate<last_item>, 80000, 1},
};

static const struct mutation mutations[] = {
	{"an item is published without release", "weft_deque_push", "store_release", "&d->bottom"},
	{"a thief reads bottom without acquire", "weft_deque_steal", "load_acquire", "&d->bottom"},
	{"a new ring is published without release", "weft__deque_grow", "store_release", "&d->ring"},
	{"a thief reads the ring without acquire", "weft_deque_steal", "load_acquire", "&d->ring"},
	{"the owner pops without a fence", "weft_deque_pop", "fence", ""},
	{"a thief steals without a fence", "weft_deque_steal", "fence", ""},
};

MODEL_MAIN(scenarios, mutations)
