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
 *   void *name_pop_newest(q)              owner; the newest item, or NULL
 *   void *name_pop_newest_alone(q)        owner of a ring that has no thieves: the same without a locked instruction
 *   bool name_push_oldest(q, item)        owner; before all others, as if it were the oldest; false when full
 *   uint32_t name_take_half(q, out)       owner of a full ring: half of it, oldest first, into out[cap / 2]
 *   void *name_steal(victim, own, &moved) thief who owns `own`: half of the victim's items (rounded up, no more than fit), oldest first
 *   void *name_steal_one(victim)          thief, also one without a ring: the oldest item, or NULL
 *   uint32_t name_room(q)                 owner: so many items fit, at least, until it pushes
 *   void name_put(q, i, item)             owner: the i-th of several, i < room; nobody sees it before ...
 *   void name_publish(q, n)               owner: ... the first n of them, at once
 *   uint32_t name_len(q), bool name_empty(q)   any thread; a hint
 *
 *   head   low half: next index to take; high half: turn. Moved by compare-and-swap only, forward by the owner and by thieves; the
 *          owner takes the next turn whenever it moves an end backward
 *   tail   next index to fill; stored by the owner only
 *   slot   [head, tail) modulo cap hold the items, oldest first; written by the owner only
 *
 * Indices count up for ever and wrap at 2^32 (a thief that is held up while exactly 2^32 items pass would be fooled; as
 * in Go, that is accepted).  An item belongs to whoever moved head past it.  A thief copies the items before it moves
 * head, so its copies count only if the compare-and-swap succeeds; slots are atomic because the owner may refill one
 * while a thief that is too late still reads it.
 *
 * Thieves take many at a time, and how many they found out from a tail that may be an old one by now. So the owner that takes at the tail (pop_newest)
 * first moves tail back, and then takes the next turn: a thief whose head is of an earlier turn fails, and one that has seen the new turn
 * sees that tail too, for it reads head first.  (With thieves that take one item each, as Chase and Lev's, only the last item is
 * disputed, and the owner needs a fence in place of a compare-and-swap; that costs as much.)
 *
 * Progress: push is wait-free and has no locked instruction; pop, pop_newest, push_oldest and steal are lock-free (a failed compare-and-swap is
 * another's success). FIFO for thieves, and for an owner that uses push and pop.  Memory: all within struct name, the caller's; items are the caller's pointers,
 * not NULL.
 *
 * Source: the run queue of Go's scheduler (runtime/proc.go: runqput, runqget, runqgrab, runqsteal).  Changed: no
 * `runnext` here; a thief keeps the oldest of its loot to run and queues the rest, so that order is kept; it takes no
 * more than fits its own ring; head is read relaxed where the compare-and-swap checks it anyway; turns, and what the owner does with them.
 *
 * Models: test/model/wsq.cpp, test/model/wsq.pml, test/model/wsq_newest.pml.
 */
#ifndef WEFT_LF_WSQ_H
#define WEFT_LF_WSQ_H

#include "atomic.h"
#include "memory.h"
#include <stddef.h>
#include <stdint.h>

typedef WEFT_ATOMIC(uint64_t) weft__wsq_head; /* turn and index */
typedef WEFT_ATOMIC(uint32_t) weft__wsq_index;
typedef WEFT_ATOMIC(void *) weft__wsq_slot;

/* The next turn, with this index. */
static inline uint64_t weft__wsq_turn(uint64_t head, uint32_t index)
{
	return ((head >> 32) + 1) << 32 | index;
}

static inline void weft__wsq_init(weft__wsq_head *head, weft__wsq_index *tail)
{
	weft_store_relaxed(head, (uint64_t)0); /* not shared yet */
	weft_store_relaxed(tail, 0u);
}

/* Exact for the owner of a ring that nobody robs, else a hint. Whoever must not miss an item passes a fence first. */
static inline uint32_t weft__wsq_len(weft__wsq_head *head, weft__wsq_index *tail)
{
	uint32_t t = weft_load_relaxed(tail);           /* a hint, or ordered by the caller's fence */
	uint32_t h = (uint32_t)weft_load_relaxed(head); /* the same; may be ahead of t: then all up to t are gone */

	return (int32_t)(t - h) <= 0 ? 0 : t - h;
}

static inline bool weft__wsq_push(weft__wsq_head *head, weft__wsq_index *tail, weft__wsq_slot *slot, uint32_t cap, void *item)
{
	uint32_t t = weft_load_relaxed(tail);           /* ours */
	uint32_t h = (uint32_t)weft_load_acquire(head); /* pairs with cas_release in weft__wsq_steal: the slot we refill has been read */

	if (t - h >= cap)
		return false;
	weft_store_relaxed(&slot[t % cap], item); /* made visible by the store below */
	weft_store_release(tail, t + 1);          /* pairs with load_acquire(victim_tail) in weft__wsq_steal */
	return true;
}

/* The same in three steps, for many items. */
static inline uint32_t weft__wsq_room(weft__wsq_head *head, weft__wsq_index *tail, uint32_t cap)
{
	uint32_t t = weft_load_relaxed(tail);                 /* ours */
	return cap - (t - (uint32_t)weft_load_acquire(head)); /* as in weft__wsq_push */
}

static inline void weft__wsq_put(weft__wsq_index *tail, weft__wsq_slot *slot, uint32_t cap, uint32_t i, void *item)
{
	weft_store_relaxed(&slot[(weft_load_relaxed(tail) + i) % cap], item); /* nobody's; made visible by weft__wsq_publish */
}

static inline void weft__wsq_publish(weft__wsq_index *tail, uint32_t n)
{
	weft_store_release(tail, weft_load_relaxed(tail) + n); /* as in weft__wsq_push */
}

static inline void *weft__wsq_pop(weft__wsq_head *head, weft__wsq_index *tail, weft__wsq_slot *slot, uint32_t cap)
{
	uint32_t t = weft_load_relaxed(tail); /* ours */
	uint64_t h = weft_load_relaxed(head); /* checked by the compare-and-swap; the slot is our own store */
	void *item;

	for (;;) {
		if (t == (uint32_t)h)
			return NULL;
		item = weft_load_relaxed(&slot[(uint32_t)h % cap]); /* only the owner writes slots */
		if (weft_cas_release(
			    head, &h,
			    h + 1)) /* relaxed would do: only the owner refills what it took. (At the last index the next turn comes) */
			return item;
	}
}

static inline void *weft__wsq_pop_alone(weft__wsq_head *head, weft__wsq_index *tail, weft__wsq_slot *slot, uint32_t cap)
{
	uint32_t t = weft_load_relaxed(tail); /* ours */
	uint64_t h = weft_load_relaxed(head); /* ours too */

	if (t == (uint32_t)h)
		return NULL;
	weft_store_relaxed(head, h + 1); /* others only read it, as a hint */
	return weft_load_relaxed(&slot[(uint32_t)h % cap]);
}

static inline void *weft__wsq_pop_newest(weft__wsq_head *head, weft__wsq_index *tail, weft__wsq_slot *slot, uint32_t cap)
{
	uint32_t t = weft_load_relaxed(tail) - 1; /* ours */
	uint64_t h = weft_load_relaxed(head);     /* checked by the compare-and-swap; the slot is our own store */
	void *item;

	if (t + 1 == (uint32_t)h)
		return NULL;
	item = weft_load_relaxed(&slot[t % cap]); /* only the owner writes slots */
	weft_store_release(tail, t);              /* as in weft__wsq_push, of the items that are left */
	while ((int32_t)(t - (uint32_t)h) >= 0) {
		/* tail; pairs with load_acquire(victim_head) in weft__wsq_steal */
		if (weft_cas_release(head, &h, weft__wsq_turn(h, (uint32_t)h)))
			return item;
	}
	weft_store_release(tail, t + 1); /* thieves have taken all, this one too */
	return NULL;
}

static inline void *weft__wsq_pop_newest_alone(weft__wsq_head *head, weft__wsq_index *tail, weft__wsq_slot *slot, uint32_t cap)
{
	uint32_t t = weft_load_relaxed(tail) - 1; /* ours */

	if (t + 1 == (uint32_t)weft_load_relaxed(head)) /* ours too */
		return NULL;
	weft_store_relaxed(tail, t); /* others only read it, as a hint */
	return weft_load_relaxed(&slot[t % cap]);
}

static inline bool weft__wsq_push_oldest(weft__wsq_head *head, weft__wsq_index *tail, weft__wsq_slot *slot, uint32_t cap, void *item)
{
	uint32_t t = weft_load_relaxed(tail); /* ours */
	uint64_t h;

	do {
		h = weft_load_acquire(head); /* as in weft__wsq_push */
		if (t - (uint32_t)h >= cap)
			return false;
		weft_store_relaxed(&slot[((uint32_t)h - 1) % cap], item); /* nobody's: made visible by the compare-and-swap */
									  /* pairs with load_acquire(victim_head) in weft__wsq_steal */
	} while (!weft_cas_release(head, &h, weft__wsq_turn(h, (uint32_t)h - 1)));
	return true;
}

/* How many: cap / 2, or 0 when the ring is not full, or a thief made room meanwhile. */
static inline uint32_t weft__wsq_take_half(weft__wsq_head *head, weft__wsq_index *tail, weft__wsq_slot *slot, uint32_t cap, void **out)
{
	uint64_t h = weft_load_relaxed(head); /* checked by the compare-and-swap */
	uint32_t t = weft_load_relaxed(tail); /* ours */
	uint32_t i, n = cap / 2;

	if (t - (uint32_t)h < cap)
		return 0;
	for (i = 0; i < n; i++)
		out[i] = weft_load_relaxed(&slot[((uint32_t)h + i) % cap]); /* our own stores */
	return weft_cas_release(head, &h, h + n) ? n : 0;                   /* as in weft__wsq_pop */
}

/* Returns the oldest item and puts the rest into the thief's ring, their number into *moved (0 when one was all). NULL: nothing to take. */
static inline void *weft__wsq_steal(weft__wsq_head *victim_head, weft__wsq_index *victim_tail, weft__wsq_slot *victim,
				    weft__wsq_head *own_head, weft__wsq_index *own_tail, weft__wsq_slot *own, uint32_t cap, uint32_t *moved)
{
	uint32_t own_t = weft_load_relaxed(own_tail);           /* ours */
	uint32_t own_h = (uint32_t)weft_load_acquire(own_head); /* pairs with cas_release below, by those who rob us */
	uint32_t room = cap - (own_t - own_h);
	uint32_t at, t, n, i;
	void *first;
	uint64_t h;

	*moved = 0;
	for (;;) {
		/* pairs with cas_release in weft__wsq_pop_newest and weft__wsq_push_oldest: what went before this turn. Checked by the compare-and-swap */
		h = weft_load_acquire(victim_head);
		/* pairs with store_release(tail) in weft__wsq_push: slots and what they point to */
		t = weft_load_acquire(victim_tail);
		at = (uint32_t)h;
		n = t - at;
		if ((int32_t)n <= 0) /* h may be ahead of t: then all up to t are gone */
			return NULL;
		if (n > cap) /* h was older than t; what the owner saw when it filled t - 1 is visible now */
			continue;
		n -= n / 2;
		if (n > room + 1)
			n = room + 1;
		/* ordered by the acquire; counts only if head has not moved */
		first = weft_load_relaxed(&victim[at % cap]);
		for (i = 1; i < n; i++) /* relaxed likewise; our slots are not visible before the store of tail below */
			weft_store_relaxed(&own[(own_t + i - 1) % cap], weft_load_relaxed(&victim[(at + i) % cap]));
		/* our reads of the slots come before the owner's refill; pairs with load_acquire(head) in weft__wsq_push */
		if (weft_cas_release(victim_head, &h, h + n))
			break;
	}
	if (n > 1)
		weft_store_release(own_tail, own_t + n - 1); /* as in weft__wsq_push */
	*moved = n - 1;
	return first;
}

/* A thief whose ring is full gets the oldest item, and nothing is put there. */
static inline void *weft__wsq_steal_one(weft__wsq_head *victim_head, weft__wsq_index *victim_tail, weft__wsq_slot *victim, uint32_t cap)
{
	weft__wsq_head head;
	weft__wsq_index tail;
	uint32_t moved;

	weft__wsq_init(&head, &tail);
	weft_store_relaxed(&tail, cap); /* not shared */
	return weft__wsq_steal(victim_head, victim_tail, victim, &head, &tail, NULL, cap, &moved);
}

#define WEFT_WSQ_DEFINE(name, cap)                                                                                                 \
	struct name {                                                                                                              \
		WEFT_LF_ALIGNED weft__wsq_head head; /* compared and swapped by owner and thieves */                               \
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
	WEFT_LF_FN uint32_t name##_room(struct name *q)                                                                            \
	{                                                                                                                          \
		return weft__wsq_room(&q->head, &q->tail, cap);                                                                    \
	}                                                                                                                          \
	WEFT_LF_FN void name##_put(struct name *q, uint32_t i, void *item)                                                         \
	{                                                                                                                          \
		weft__wsq_put(&q->tail, q->slot, cap, i, item);                                                                    \
	}                                                                                                                          \
	WEFT_LF_FN void name##_publish(struct name *q, uint32_t n)                                                                 \
	{                                                                                                                          \
		weft__wsq_publish(&q->tail, n);                                                                                    \
	}                                                                                                                          \
	WEFT_LF_FN void *name##_pop(struct name *q)                                                                                \
	{                                                                                                                          \
		return weft__wsq_pop(&q->head, &q->tail, q->slot, cap);                                                            \
	}                                                                                                                          \
	WEFT_LF_FN void *name##_pop_alone(struct name *q)                                                                          \
	{                                                                                                                          \
		return weft__wsq_pop_alone(&q->head, &q->tail, q->slot, cap);                                                      \
	}                                                                                                                          \
	WEFT_LF_FN void *name##_pop_newest(struct name *q)                                                                         \
	{                                                                                                                          \
		return weft__wsq_pop_newest(&q->head, &q->tail, q->slot, cap);                                                     \
	}                                                                                                                          \
	WEFT_LF_FN void *name##_pop_newest_alone(struct name *q)                                                                   \
	{                                                                                                                          \
		return weft__wsq_pop_newest_alone(&q->head, &q->tail, q->slot, cap);                                               \
	}                                                                                                                          \
	WEFT_LF_FN bool name##_push_oldest(struct name *q, void *item)                                                             \
	{                                                                                                                          \
		return weft__wsq_push_oldest(&q->head, &q->tail, q->slot, cap, item);                                              \
	}                                                                                                                          \
	WEFT_LF_FN uint32_t name##_take_half(struct name *q, void **out)                                                           \
	{                                                                                                                          \
		return weft__wsq_take_half(&q->head, &q->tail, q->slot, cap, out);                                                 \
	}                                                                                                                          \
	WEFT_LF_FN void *name##_steal(struct name *victim, struct name *own, uint32_t *moved)                                      \
	{                                                                                                                          \
		return weft__wsq_steal(&victim->head, &victim->tail, victim->slot, &own->head, &own->tail, own->slot, cap, moved); \
	}                                                                                                                          \
	WEFT_LF_FN void *name##_steal_one(struct name *victim)                                                                     \
	{                                                                                                                          \
		return weft__wsq_steal_one(&victim->head, &victim->tail, victim->slot, cap);                                       \
	}                                                                                                                          \
	typedef char name##_cap_is_a_power_of_two[(cap) > 0 && ((cap) & ((cap)-1)) == 0 ? 1 : -1]

#endif
