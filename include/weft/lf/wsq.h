/* SPDX-License-Identifier: MIT
 *
 * weft/lf/wsq.h - bounded work-stealing ring: one owner pushes and pops, anyone steals half. weft's scheduler runs on it.
 *
 *   WEFT_WSQ_DEFINE(name, cap)   struct name, a ring of `cap` pointers (a power of two), and its functions:
 *
 *   void name_init(q)                     empty; zeroed memory is a valid empty ring too
 *   bool name_push(q, item)               owner; false when full
 *   void *name_pop(q)                     owner; the oldest item, or NULL
 *   void *name_pop_alone(q)               owner of a ring that has no thieves at all: the same without a locked instruction
 *   uint32_t name_take_half(q, out)       owner of a full ring: half of it, oldest first, into out[cap / 2]
 *   void *name_steal(victim, own, &moved) thief who owns `own`: half of the victim's items (rounded up, no more than fit), oldest first
 *   uint32_t name_len(q), bool name_empty(q)   any thread; a hint
 *
 *   head   next index to take; moved forward by compare-and-swap only, by the owner and by thieves
 *   tail   next index to fill; stored by the owner only
 *   slot   [head, tail) modulo cap hold the items, oldest first; written by the owner only
 *
 * Indices count up for ever and wrap at 2^32 (a thief that is held up while exactly 2^32 items pass would be fooled; as
 * in Go, that is accepted).  An item belongs to whoever moved head past it.  A thief copies the items before it moves
 * head, so its copies count only if the compare-and-swap succeeds; slots are atomic because the owner may refill one
 * while a thief that is too late still reads it.
 *
 * Progress: push is wait-free and has no locked instruction; pop and steal are lock-free (a failed compare-and-swap is
 * another's success). FIFO for the owner and for thieves.  Memory: all within struct name, the caller's; items are the caller's pointers,
 * not NULL.
 *
 * Source: the run queue of Go's scheduler (runtime/proc.go: runqput, runqget, runqgrab, runqsteal).  Changed: no
 * `runnext` here; a thief keeps the oldest of its loot to run and queues the rest, so that order is kept; it takes no
 * more than fits its own ring; head is read relaxed where the compare-and-swap checks it anyway.
 *
 * Models: test/model/wsq.cpp, test/model/wsq.pml.
 */
#ifndef WEFT_LF_WSQ_H
#define WEFT_LF_WSQ_H

#include "atomic.h"
#include "memory.h"
#include <stddef.h>
#include <stdint.h>

typedef WEFT_ATOMIC(uint32_t) weft__wsq_index;
typedef WEFT_ATOMIC(void *) weft__wsq_slot;

static inline void weft__wsq_init(weft__wsq_index *head, weft__wsq_index *tail)
{
	weft_store_relaxed(head, 0u); /* not shared yet */
	weft_store_relaxed(tail, 0u);
}

/* Exact for the owner of a ring that nobody robs, else a hint. Whoever must not miss an item passes a fence first. */
static inline uint32_t weft__wsq_len(weft__wsq_index *head, weft__wsq_index *tail)
{
	uint32_t t = weft_load_relaxed(tail); /* a hint, or ordered by the caller's fence */
	uint32_t h = weft_load_relaxed(head); /* the same; may be ahead of t: then all up to t are gone */

	return (int32_t)(t - h) <= 0 ? 0 : t - h;
}

static inline bool weft__wsq_push(weft__wsq_index *head, weft__wsq_index *tail, weft__wsq_slot *slot, uint32_t cap, void *item)
{
	uint32_t t = weft_load_relaxed(tail); /* ours */
	uint32_t h = weft_load_acquire(head); /* pairs with cas_release in weft__wsq_steal: the slot we refill has been read */

	if (t - h >= cap)
		return false;
	weft_store_relaxed(&slot[t % cap], item); /* made visible by the store below */
	weft_store_release(tail, t + 1);          /* pairs with load_acquire(victim_tail) in weft__wsq_steal */
	return true;
}

static inline void *weft__wsq_pop(weft__wsq_index *head, weft__wsq_index *tail, weft__wsq_slot *slot, uint32_t cap)
{
	uint32_t t = weft_load_relaxed(tail); /* ours */
	uint32_t h = weft_load_relaxed(head); /* checked by the compare-and-swap; the slot is our own store */
	void *item;

	for (;;) {
		if (t == h)
			return NULL;
		item = weft_load_relaxed(&slot[h % cap]); /* only the owner writes slots */
		if (weft_cas_release(head, &h, h + 1))    /* relaxed would do: only the owner refills what it took */
			return item;
	}
}

static inline void *weft__wsq_pop_alone(weft__wsq_index *head, weft__wsq_index *tail, weft__wsq_slot *slot, uint32_t cap)
{
	uint32_t t = weft_load_relaxed(tail); /* ours */
	uint32_t h = weft_load_relaxed(head); /* ours too */

	if (t == h)
		return NULL;
	weft_store_relaxed(head, h + 1); /* others only read it, as a hint */
	return weft_load_relaxed(&slot[h % cap]);
}

/* How many: cap / 2, or 0 when the ring is not full, or a thief made room meanwhile. */
static inline uint32_t weft__wsq_take_half(weft__wsq_index *head, weft__wsq_index *tail, weft__wsq_slot *slot, uint32_t cap, void **out)
{
	uint32_t h = weft_load_relaxed(head); /* checked by the compare-and-swap */
	uint32_t t = weft_load_relaxed(tail); /* ours */
	uint32_t i, n = cap / 2;

	if (t - h < cap)
		return 0;
	for (i = 0; i < n; i++)
		out[i] = weft_load_relaxed(&slot[(h + i) % cap]); /* our own stores */
	return weft_cas_release(head, &h, h + n) ? n : 0;         /* as in weft__wsq_pop */
}

/* Returns the oldest item and puts the rest into the thief's ring, their number into *moved (0 when one was all). NULL: nothing to take. */
static inline void *weft__wsq_steal(weft__wsq_index *victim_head, weft__wsq_index *victim_tail, weft__wsq_slot *victim,
				    weft__wsq_index *own_head, weft__wsq_index *own_tail, weft__wsq_slot *own, uint32_t cap,
				    uint32_t *moved)
{
	uint32_t own_t = weft_load_relaxed(own_tail); /* ours */
	uint32_t own_h = weft_load_acquire(own_head); /* pairs with cas_release below, by those who rob us */
	uint32_t room = cap - (own_t - own_h);
	uint32_t h = weft_load_relaxed(victim_head); /* checked by the compare-and-swap */
	uint32_t t, n, i;
	void *first;

	*moved = 0;
	for (;;) {
		/* pairs with store_release(tail) in weft__wsq_push: slots and what they point to */
		t = weft_load_acquire(victim_tail);
		n = t - h;
		if ((int32_t)n <= 0) /* h may be ahead of t: then all up to t are gone */
			return NULL;
		if (n > cap) {
			/* h was older than t; what the owner saw when it filled t - 1 is visible now */
			h = weft_load_relaxed(victim_head);
			continue;
		}
		n -= n / 2;
		if (n > room + 1)
			n = room + 1;
		/* ordered by the acquire; counts only if head has not moved */
		first = weft_load_relaxed(&victim[h % cap]);
		for (i = 1; i < n; i++) /* relaxed likewise; our slots are not visible before the store of tail below */
			weft_store_relaxed(&own[(own_t + i - 1) % cap], weft_load_relaxed(&victim[(h + i) % cap]));
		/* our reads of the slots come before the owner's refill; pairs with load_acquire(head) in weft__wsq_push */
		if (weft_cas_release(victim_head, &h, h + n))
			break;
	}
	if (n > 1)
		weft_store_release(own_tail, own_t + n - 1); /* as in weft__wsq_push */
	*moved = n - 1;
	return first;
}

#define WEFT_WSQ_DEFINE(name, cap)                                                                                                 \
	struct name {                                                                                                              \
		WEFT_LF_ALIGNED weft__wsq_index head; /* compared and swapped by owner and thieves */                              \
		/* stored by the owner; lines of its own, so that pushing does not wait for thieves' */                            \
		WEFT_LF_ALIGNED weft__wsq_index tail;                                                                              \
		WEFT_LF_ALIGNED weft__wsq_slot slot[cap];                                                                          \
	};                                                                                                                         \
	WEFT_LF_FN void name##_init(struct name *q)                                                                                \
	{                                                                                                                          \
		weft__wsq_init(&q->head, &q->tail);                                                                                \
	}                                                                                                                          \
	WEFT_LF_FN uint32_t name##_len(struct name *q)                                                                             \
	{                                                                                                                          \
		return weft__wsq_len(&q->head, &q->tail);                                                                          \
	}                                                                                                                          \
	WEFT_LF_FN bool name##_empty(struct name *q)                                                                               \
	{                                                                                                                          \
		return name##_len(q) == 0;                                                                                         \
	}                                                                                                                          \
	WEFT_LF_FN bool name##_push(struct name *q, void *item)                                                                    \
	{                                                                                                                          \
		return weft__wsq_push(&q->head, &q->tail, q->slot, cap, item);                                                     \
	}                                                                                                                          \
	WEFT_LF_FN void *name##_pop(struct name *q)                                                                                \
	{                                                                                                                          \
		return weft__wsq_pop(&q->head, &q->tail, q->slot, cap);                                                            \
	}                                                                                                                          \
	WEFT_LF_FN void *name##_pop_alone(struct name *q)                                                                          \
	{                                                                                                                          \
		return weft__wsq_pop_alone(&q->head, &q->tail, q->slot, cap);                                                      \
	}                                                                                                                          \
	WEFT_LF_FN uint32_t name##_take_half(struct name *q, void **out)                                                           \
	{                                                                                                                          \
		return weft__wsq_take_half(&q->head, &q->tail, q->slot, cap, out);                                                 \
	}                                                                                                                          \
	WEFT_LF_FN void *name##_steal(struct name *victim, struct name *own, uint32_t *moved)                                      \
	{                                                                                                                          \
		return weft__wsq_steal(&victim->head, &victim->tail, victim->slot, &own->head, &own->tail, own->slot, cap, moved); \
	}                                                                                                                          \
	typedef char name##_cap_is_a_power_of_two[(cap) > 0 && ((cap) & ((cap)-1)) == 0 ? 1 : -1]

#endif
