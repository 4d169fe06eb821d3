/* SPDX-License-Identifier: MIT
 *
 * wsq.h - bounded work-stealing ring: one owner pushes and pops, anyone steals half.
 *
 *   head   next index to take; moved forward by compare-and-swap only, by the owner and by thieves
 *   tail   next index to fill; stored by the owner only
 *   slot   [head, tail) modulo WSQ_CAP hold the items, oldest first; written by the owner only
 *
 * Indices count up for ever and wrap at 2^32 (a thief that is held up while exactly 2^32 items pass would be fooled; as
 * in Go, that is accepted).  An item belongs to whoever moved head past it.  A thief copies the items before it moves
 * head, so its copies count only if the compare-and-swap succeeds; slots are atomic because the owner may refill one
 * while a thief that is too late still reads it.
 *
 * Progress: push is wait-free and has no locked instruction; pop and steal are lock-free (a failed compare-and-swap is
 * another's success). FIFO for the owner and for thieves.
 *
 * Source: the run queue of Go's scheduler (runtime/proc.go: runqput, runqget, runqgrab, runqsteal).  Changed: no
 * `runnext` here; a thief keeps the oldest of its loot to run and queues the rest, so that order is kept; it takes no
 * more than fits its own ring; head is read relaxed where the compare-and-swap checks it anyway.
 *
 * Models: test/model/wsq.cpp, test/model/wsq.pml.  Not here: where the overflow goes (core/injectq.h), whom to rob.
 */
#ifndef WEFT_QUEUE_WSQ_H
#define WEFT_QUEUE_WSQ_H

#include "base/atomic.h"
#ifndef WSQ_CAP
#include "base/config.h"
#define WSQ_CAP RUNQ_CAP
#endif

struct wsq {
	CACHE_ALIGNED ATOMIC(uint32_t) head; /* CASed by owner and thieves */
	/* stored by the owner; a line of its own, so that pushing does not wait for thieves' lines */
	CACHE_ALIGNED ATOMIC(uint32_t) tail;
	CACHE_ALIGNED ATOMIC(void *) slot[WSQ_CAP];
};

/* No other thread knows q yet. Zeroed memory is a valid empty ring too. */
static inline void wsq_init(struct wsq *q)
{
	store_relaxed(&q->head, 0u); /* not shared yet */
	store_relaxed(&q->tail, 0u);
}

/* How many items; exact for the owner of a ring that nobody robs, else a hint. Any thread.
 * Whoever must not miss an item passes a fence first (core/idle.h). */
static inline uint32_t wsq_len(struct wsq *q)
{
	uint32_t t = load_relaxed(&q->tail); /* a hint, or ordered by the caller's fence */
	uint32_t h = load_relaxed(&q->head); /* the same; may be ahead of t: then all up to t are gone */

	return (int32_t)(t - h) <= 0 ? 0 : t - h;
}

static inline bool wsq_empty(struct wsq *q)
{
	return wsq_len(q) == 0;
}

/* Owner. False when full: the caller then makes room with wsq_take_half. */
static inline bool wsq_push(struct wsq *q, void *item)
{
	uint32_t t = load_relaxed(&q->tail); /* ours */
	uint32_t h = load_acquire(&q->head); /* pairs with cas_release in wsq_steal: the slot we refill has been read */

	if (t - h >= WSQ_CAP)
		return false;
	store_relaxed(&q->slot[t % WSQ_CAP], item); /* made visible by the store below */
	store_release(&q->tail, t + 1);             /* pairs with load_acquire(tail) in wsq_steal */
	return true;
}

/* Owner. The oldest item, or NULL. */
static inline void *wsq_pop(struct wsq *q)
{
	uint32_t t = load_relaxed(&q->tail); /* ours */
	uint32_t h = load_relaxed(&q->head); /* checked by the compare-and-swap; the slot is our own store */
	void *item;

	for (;;) {
		if (t == h)
			return NULL;
		item = load_relaxed(&q->slot[h % WSQ_CAP]); /* only the owner writes slots */
		if (cas_release(&q->head, &h, h + 1))       /* relaxed would do: only the owner refills what it took */
			return item;
	}
}

/* Owner of a ring that has no thieves at all: the same without a locked instruction. */
static inline void *wsq_pop_alone(struct wsq *q)
{
	uint32_t t = load_relaxed(&q->tail); /* ours */
	uint32_t h = load_relaxed(&q->head); /* ours too */

	if (t == h)
		return NULL;
	store_relaxed(&q->head, h + 1); /* others only read it, as a hint */
	return load_relaxed(&q->slot[h % WSQ_CAP]);
}

/* Owner of a full ring. Takes half of it, oldest first, into out[WSQ_CAP / 2] and returns how many: WSQ_CAP / 2, or 0
 * when a thief made room meanwhile. */
static inline uint32_t wsq_take_half(struct wsq *q, void **out)
{
	uint32_t h = load_relaxed(&q->head); /* checked by the compare-and-swap */
	uint32_t t = load_relaxed(&q->tail); /* ours */
	uint32_t i, n = WSQ_CAP / 2;

	if (t - h < WSQ_CAP)
		return 0;
	for (i = 0; i < n; i++)
		out[i] = load_relaxed(&q->slot[(h + i) % WSQ_CAP]); /* our own stores */
	return cas_release(&q->head, &h, h + n) ? n : 0;            /* as in wsq_pop */
}

/* Thief, who owns `own`. Moves half of the victim's items (rounded up, no more than fit) to the thief, oldest first:
 * returns the oldest and puts the rest into `own`, their number into *moved (0 when one was all). NULL: nothing to
 * take. */
static inline void *wsq_steal(struct wsq *victim, struct wsq *own, uint32_t *moved)
{
	uint32_t own_t = load_relaxed(&own->tail); /* ours */
	uint32_t own_h = load_acquire(&own->head); /* pairs with cas_release below, by those who rob us */
	uint32_t room = WSQ_CAP - (own_t - own_h);
	uint32_t h = load_relaxed(&victim->head); /* checked by the compare-and-swap */
	uint32_t t, n, i;
	void *first;

	*moved = 0;
	for (;;) {
		/* pairs with store_release(tail) in wsq_push: slots and what they point to */
		t = load_acquire(&victim->tail);
		n = t - h;
		if ((int32_t)n <= 0) /* h may be ahead of t: then all up to t are gone */
			return NULL;
		if (n > WSQ_CAP) {
			/* h was older than t; what the owner saw when it filled t - 1 is visible now */
			h = load_relaxed(&victim->head);
			continue;
		}
		n -= n / 2;
		if (n > room + 1)
			n = room + 1;
		/* ordered by the acquire; counts only if head has not moved */
		first = load_relaxed(&victim->slot[h % WSQ_CAP]);
		for (i = 1; i < n; i++) /* relaxed likewise; our slots are not visible before the store of tail below */
			store_relaxed(&own->slot[(own_t + i - 1) % WSQ_CAP], load_relaxed(&victim->slot[(h + i) % WSQ_CAP]));
		/* our reads of the slots come before the owner's refill; pairs with load_acquire(head) in wsq_push */
		if (cas_release(&victim->head, &h, h + n))
			break;
	}
	if (n > 1)
		store_release(&own->tail, own_t + n - 1); /* as in wsq_push */
	*moved = n - 1;
	return first;
}

#endif
