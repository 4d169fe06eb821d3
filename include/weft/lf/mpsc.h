/* SPDX-License-Identifier: MIT
 *
 * weft/lf/mpsc.h - queues of many producers and one consumer: an intrusive one without bound, and a bounded one of elements.
 *
 *   weft_mpsc_node   a field of what is queued, the caller's, untouched by others from its pop on; in one queue at a time
 *   weft_mpsc_init   before anybody else knows q
 *   weft_mpsc_push   any thread
 *   weft_mpsc_pop    the consumer: the oldest node; NULL: empty, or the next push is in progress
 *   weft_mpsc_trypop the same, which also says which of the two it is
 *
 * WEFT_MPSC_DEFINE(name, T, cap): name_init, name_push, name_pop, name_len: a bounded queue, weft/lf/mpmc.h with one consumer, who needs no
 * locked instruction: what is said there of progress holds here as well.
 *
 *   last    the node pushed last; swapped by producers
 *   first   the node to pop next; the consumer's own
 *   next    of a node: the one pushed after it; stored by the producer of that one, after its swap
 *   stub    a node of the queue's own: something to hold on to when there is no other
 *
 * A producer first swaps itself in as last, then links the node before to its own. In between the list is cut there: the consumer sees nothing behind
 * the cut, not even what other producers have pushed meanwhile, until that producer goes on.
 *
 * Progress: push is wait-free: one swap and one store. pop and trypop are wait-free too, but NULL is also what they say while the push that
 * is next in order has not linked its node; busy tells it from empty.  FIFO by the order of the swaps.  Order: what came before a push is seen after
 * the pop of its node.  Memory: no allocation; the nodes and q are the caller's.
 *
 * Source: Dmitry Vyukov, "Intrusive MPSC node-based queue" (1024cores.net).  Changed: it says when a push is in progress.
 *
 * Models: test/model/mpsc.cpp, test/model/mpsc.pml, test/model/mpmc.cpp.
 */
#ifndef WEFT_LF_MPSC_H
#define WEFT_LF_MPSC_H

#include "atomic.h"
#include "mpmc.h"

typedef struct weft_mpsc_node weft_mpsc_node;
struct weft_mpsc_node {
	WEFT_ATOMIC(weft_mpsc_node *) weft__next;
};

/* Private fields. */
typedef struct weft_mpsc {
	WEFT_LF_ALIGNED WEFT_ATOMIC(weft_mpsc_node *) last; /* swapped by producers */
	WEFT_LF_ALIGNED weft_mpsc_node *first;              /* the consumer's own */
	weft_mpsc_node stub;
} weft_mpsc;

static inline void weft_mpsc_init(weft_mpsc *q)
{
	weft_store_relaxed(&q->stub.weft__next, (weft_mpsc_node *)NULL); /* not shared yet */
	weft_store_relaxed(&q->last, &q->stub);
	q->first = &q->stub;
}

static inline void weft_mpsc_push(weft_mpsc *q, weft_mpsc_node *n)
{
	weft_mpsc_node *before;

	weft_store_relaxed(&n->weft__next, (weft_mpsc_node *)NULL); /* comes before the next producer's link: by the swaps */
	/* pairs with itself: whoever swaps n out links to it after our store above */
	before = weft_swap_acq_rel(&q->last, n);
	weft_store_release(&before->weft__next, n); /* pairs with load_acquire(next) in weft_mpsc_trypop: what n is part of */
}

/* The oldest node. NULL: *busy says whether a push is in progress, else q is empty. */
static inline weft_mpsc_node *weft_mpsc_trypop(weft_mpsc *q, bool *busy)
{
	weft_mpsc_node *n = q->first;
	weft_mpsc_node *next = weft_load_acquire(&n->weft__next); /* pairs with store_release(next) in weft_mpsc_push */

	*busy = false;
	if (n == &q->stub) {
		if (!next) {
			*busy = weft_load_relaxed(&q->last) != n; /* somebody has swapped, and not linked */
			return NULL;
		}
		q->first = n = next; /* past the stub */
		next = weft_load_acquire(&n->weft__next);
	}
	if (!next) {
		if (weft_load_relaxed(&q->last) != n) { /* it is not the last one: its link is on the way */
			*busy = true;
			return NULL;
		}
		/* It is the last one, and may be handed out only with another behind it. */
		weft_mpsc_push(q, &q->stub);
		next = weft_load_acquire(&n->weft__next);
		if (!next) { /* a producer got in between, and has not linked */
			*busy = true;
			return NULL;
		}
	}
	q->first = next;
	return n;
}

static inline weft_mpsc_node *weft_mpsc_pop(weft_mpsc *q)
{
	bool busy;

	return weft_mpsc_trypop(q, &busy);
}

#define WEFT_MPSC_DEFINE(name, T, cap)                   \
	WEFT_MPMC_DEFINE(name##_mpmc, T, cap);           \
	struct name {                                    \
		struct name##_mpmc q;                    \
	};                                               \
	WEFT_LF_FN void name##_init(struct name *q)      \
	{                                                \
		name##_mpmc_init(&q->q);                 \
	}                                                \
	WEFT_LF_FN bool name##_push(struct name *q, T v) \
	{                                                \
		return name##_mpmc_push(&q->q, v);       \
	}                                                \
	WEFT_LF_FN bool name##_pop(struct name *q, T *v) \
	{                                                \
		return name##_mpmc_pop_alone(&q->q, v);  \
	}                                                \
	WEFT_LF_FN size_t name##_len(struct name *q)     \
	{                                                \
		return name##_mpmc_len(&q->q);           \
	}                                                \
	typedef char name##_is_defined[1]

#endif
