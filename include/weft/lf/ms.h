/* SPDX-License-Identifier: MIT
 *
 * weft/lf/ms.h - an unbounded FIFO for any number of producers and consumers, linked, whose nodes are freed safely while it is in use.
 *
 *	struct weft_hp *hp = weft_hp_acquire(&domain);      a guard for each user at a time (hazard.h)
 *	weft_ms_push(&q, hp, value);
 *	while (weft_ms_pop(&q, hp, &value)) ...
 *
 *   head   the dummy: a node whose value has been taken already; the oldest value is in the one after it
 *   tail   the last node, or one on the way to it: whoever finds it behind moves it on
 *   next   of a node: NULL while it is the last one; set once
 *
 * Progress: push and pop are lock-free: whoever fails was overtaken by another that succeeded, and a thread that stops in the middle stops nobody, as the
 * others move the tail for it. Not wait-free. (weft_ms_push asks malloc for a node: that is as lock-free as malloc. weft_ms_push_node does not.)
 * Threads: any, in both roles, each with a guard of its own for the call.
 *
 * Memory: values are the caller's, and only passed on. Nodes belong to the queue from push on; a popped node is retired through the popper's guard, and comes
 * back through free_node when nobody looks at it any more. Two of the guard's slots, 0 and 1, are used during a call and empty after it.
 *
 * Source: M. M. Michael, M. L. Scott, "Simple, Fast, and Practical Non-Blocking and Blocking Concurrent Queue Algorithms" (PODC 1996), with hazard pointers as
 * in Michael, "Hazard Pointers" (2004). Changed: no counted pointers, as hazard pointers prevent ABA as well; push does not look at the tail a second time
 * but for protecting it, since its compare-and-swap of a NULL `next` can only succeed on the last node.
 *
 * Model: test/model/hazard.cpp.
 */
#ifndef WEFT_LF_MS_H
#define WEFT_LF_MS_H

#include "hazard.h"

struct weft_ms_node {
	struct weft_hp_node hp; /* for its retirement; first */
	WEFT_ATOMIC(void *) next;
	WEFT_SHARED(void *) value; /* written before the node is linked, and never again */
};

struct weft_ms {
	WEFT_LF_ALIGNED WEFT_ATOMIC(void *) head; /* struct weft_ms_node; moved by consumers */
	WEFT_LF_ALIGNED WEFT_ATOMIC(void *) tail; /* the same; moved by producers, and by whoever finds it behind */
	void (*free_node)(struct weft_hp_node *); /* constant */
};

static inline void weft__ms_free(struct weft_hp_node *n)
{
	free(n);
}

/* An empty queue whose nodes are the caller's: `dummy` is the first, to be given back like all others by free_node, which gets the address of a
 * struct weft_ms_node. Only weft_ms_push_node goes with it. No other thread knows q yet. */
static inline void weft_ms_init_nodes(struct weft_ms *q, struct weft_ms_node *dummy, void (*free_node)(struct weft_hp_node *))
{
	weft_store_relaxed(&dummy->next, (void *)NULL); /* not shared yet */
	weft_store_relaxed(&q->head, (void *)dummy);
	weft_store_relaxed(&q->tail, (void *)dummy);
	q->free_node = free_node;
}

/* An empty queue whose nodes are malloc'ed. False: no memory. No other thread knows q yet. */
static inline bool weft_ms_init(struct weft_ms *q)
{
	struct weft_ms_node *dummy = (struct weft_ms_node *)malloc(sizeof *dummy);

	if (!dummy)
		return false;
	weft_ms_init_nodes(q, dummy, weft__ms_free);
	return true;
}

/* Gives back all nodes that are in the queue; values that are still there are forgotten. Nobody uses q, or comes any more. */
static inline void weft_ms_destroy(struct weft_ms *q)
{
	struct weft_ms_node *n = (struct weft_ms_node *)weft_load_relaxed(&q->head), *next; /* the caller has seen all others end */

	for (; n; n = next) {
		next = (struct weft_ms_node *)weft_load_relaxed(&n->next); /* the same */
		q->free_node(&n->hp);
	}
}

/* Puts value at the end, in the node n, which belongs to the queue from here on. */
static inline void weft_ms_push_node(struct weft_ms *q, struct weft_hp *hp, struct weft_ms_node *n, void *value)
{
	weft_shared_set(&n->value, value);
	weft_store_relaxed(&n->next, (void *)NULL); /* made visible by the compare-and-swaps below */
	for (;;) {
		/* the tail never falls behind the head: while it is found there, it is not retired */
		struct weft_ms_node *last = (struct weft_ms_node *)weft_hp_protect(hp, 0, &q->tail);
		/* acquire: we may pass on the node we find, without a fence between; pairs with the compare-and-swap of next below */
		void *next = weft_load_acquire(&last->next);
		void *was = last;

		if (next) {
			weft_cas_release(&q->tail, &was, next); /* what we acquired of it; pairs with weft_hp_protect above, in others */
			continue;
		}
		/* relaxed: n was filled before the fence in weft_hp_protect, which releases it with this; pairs with the loads of next */
		if (!weft_cas_relaxed(&last->next, &next, (void *)n))
			continue;
		weft_cas_relaxed(&q->tail, &was,
				 (void *)n); /* the same; or somebody has done it for us. Pairs with weft_hp_protect above */
		break;
	}
	weft_hp_clear(hp, 0);
}

/* The same with a node from malloc. False: no memory. */
static inline bool weft_ms_push(struct weft_ms *q, struct weft_hp *hp, void *value)
{
	struct weft_ms_node *n = (struct weft_ms_node *)malloc(sizeof *n);

	if (!n)
		return false;
	weft_ms_push_node(q, hp, n, value);
	return true;
}

/* Takes the oldest value. False: the queue was empty at some moment during the call. */
static inline bool weft_ms_pop(struct weft_ms *q, struct weft_hp *hp, void **value)
{
	struct weft_ms_node *first, *next;
	void *last, *was;

	for (;;) {
		first = (struct weft_ms_node *)weft_hp_protect(hp, 0, &q->head);
		/* no older than the one whoever made `first` the head saw, so not before `first`: we acquired their doing with the head */
		last = weft_load_relaxed(&q->tail);
		/* acquired by the fence in weft_hp_set; pairs with the compare-and-swap of next in weft_ms_push_node */
		next = (struct weft_ms_node *)weft_load_relaxed(&first->next);
		if (!next) {
			weft_hp_clear(hp, 0);
			weft_hp_clear(hp, 1); /* of an earlier round */
			return false;
		}
		weft_hp_set(hp, 1, next);
		/* while first is the head, next is not retired; relaxed, as it comes after the fence in weft_hp_set */
		if (weft_load_relaxed(&q->head) != (void *)first)
			continue;
		was = last;
		if (last == (void *)first) { /* the head must not overtake the tail */
			weft_cas_relaxed(&q->tail, &was,
					 (void *)next); /* next, by that fence; pairs with weft_hp_protect in weft_ms_push_node */
			continue;
		}
		*value = weft_shared_get(&next->value); /* counts if we win; others may read it, too */
		was = first;
		/* next, and how far the tail was, by that fence; pairs with weft_hp_protect above, in others */
		if (weft_cas_relaxed(&q->head, &was, (void *)next))
			break;
	}
	weft_hp_clear(hp, 0);
	weft_hp_clear(hp, 1);
	weft_hp_retire(hp, &first->hp, q->free_node);
	return true;
}

/* A hint, while others push and pop. */
static inline bool weft_ms_empty(struct weft_ms *q, struct weft_hp *hp)
{
	struct weft_ms_node *first = (struct weft_ms_node *)weft_hp_protect(hp, 0, &q->head);
	bool empty = weft_load_relaxed(&first->next) == NULL; /* a hint */

	weft_hp_clear(hp, 0);
	return empty;
}

#endif
