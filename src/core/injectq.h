/* SPDX-License-Identifier: MIT
 *
 * injectq.h - the runtime's shared FIFO of runnable tasks: what overflows a ring, and what foreign threads make
 * runnable.
 *
 * Unbounded, because the nodes are the tasks' own; so putting something in cannot fail.  A lock and not a lock-free
 * list: it is the slow way by design (a ring's overflow brings half a ring at once), and popping a batch needs one lock
 * and no read-modify-write a node.
 *
 * len can be read without the lock: zero costs the workers that look here now and then one load.  Who must not miss a
 * node passes a fence between announcing that it will sleep and reading len, as those who push do between len and
 * reading who sleeps (core/idle.h).
 */
#ifndef WEFT_CORE_INJECTQ_H
#define WEFT_CORE_INJECTQ_H

#include "base/atomic.h"
#include "base/lock.h"

struct inject_node {
	SHARED(struct inject_node *) next; /* valid while queued; under the queue's lock */
};

struct injectq {
	ATOMIC(uint32_t) len;               /* nodes queued; written under lock, read by anyone */
	struct lock lock;                   /* RANK_INJECT; guards the rest */
	SHARED(struct inject_node *) first; /* NULL when empty */
	SHARED(struct inject_node *) last;  /* valid when not empty */
};

/* No other thread knows q yet. Zeroed memory is a valid empty queue too. */
static inline void injectq_init(struct injectq *q)
{
	store_relaxed(&q->len, 0u); /* not shared yet */
	shared_set(&q->first, (struct inject_node *)NULL);
	shared_set(&q->last, (struct inject_node *)NULL);
}

/* How many nodes: a hint, see above. Any thread. */
static inline uint32_t injectq_len(struct injectq *q)
{
	return load_relaxed(&q->len); /* a hint, or ordered by the caller's fence */
}

/* Appends the n >= 1 nodes first .. last, linked by next. Returns how many there were before. Any thread. */
static inline uint32_t injectq_push_chain(struct injectq *q, struct inject_node *first, struct inject_node *last, uint32_t n)
{
	struct inject_node *none = NULL;
	uint32_t len;

	shared_set(&last->next, none);
	lock_take(&q->lock, RANK_INJECT);
	len = load_relaxed(&q->len); /* under lock */
	if (len == 0)
		shared_set(&q->first, first);
	else
		shared_set(&shared_get(&q->last)->next, first);
	shared_set(&q->last, last);
	store_relaxed(&q->len, len + n); /* the lock orders the nodes; a reader without it follows with the lock */
	lock_drop(&q->lock);
	return len;
}

static inline uint32_t injectq_push(struct injectq *q, struct inject_node *node)
{
	return injectq_push_chain(q, node, node, 1);
}

/* Takes up to max of the oldest nodes into out[]. Returns how many. Any thread; an empty queue costs one load. */
static inline uint32_t injectq_pop_n(struct injectq *q, struct inject_node **out, uint32_t max)
{
	struct inject_node *node;
	uint32_t n, len;

	if (load_relaxed(&q->len) == 0) /* a hint, see above */
		return 0;
	lock_take(&q->lock, RANK_INJECT);
	len = load_relaxed(&q->len); /* under lock */
	node = shared_get(&q->first);
	for (n = 0; n < max && n < len; n++) {
		out[n] = node;
		node = shared_get(&node->next);
	}
	shared_set(&q->first, node);
	store_relaxed(&q->len, len - n); /* as in injectq_push_chain */
	lock_drop(&q->lock);
	return n;
}

/* The oldest node, or NULL. Any thread. */
static inline struct inject_node *injectq_pop(struct injectq *q)
{
	struct inject_node *node;

	return injectq_pop_n(q, &node, 1) ? node : NULL;
}

#endif
