/* SPDX-License-Identifier: MIT
 *
 * chan_ring.h - one task sends and one receives (SPSC): each has its side of the channel to itself, without a lock.
 *
 * Such a channel is in one of two states, written under its lock:
 *
 *   apart     the tail is the sender's, the head the receiver's; between them the buffer is a ring of one producer and one consumer: a count at
 *             each side, released by whoever moves it, acquired by the other, who looks at it only when his own copy says full, or empty
 *   together  the channel is like any other (chan.h)
 *
 * Only a put into the buffer and a get out of it happen apart.  Everything else (waiting, close, select, a deadline ...) takes the lock, has the sides come
 * together, and is the code of all channels: so a mode changes nothing but the speed.  A side's owner says when it is at it:
 *
 *   owner:   on the side's worker? busy = 1; light fence; apart? put or get; busy = 0        (chan_side_enter, chan_side_leave)
 *   others:  lock; apart = no; heavy fence; wait until both are not busy; collect head, tail and length        (weft__chan_join)
 *
 * One of the two sees the other (base/asym.h): a lock that is biased towards its owner. Who waits there waits for a few instructions of a thread that may be off
 * its core, as for any lock.
 *
 * The heavy fence is a system call.  It is not needed when both owners belong to the worker that joins, as tasks do that wake each other: what runs on one
 * worker is never in the middle of anything there.  So a side names a worker; an owner that has been moved to another takes the lock, and names that.
 * Between workers the sides part again only after `patience` operations in a row that did not have to wait; it doubles when that was too soon. When it has
 * been so a few times they stay together for a thousand waits, and the channel has the quick paths of any other meanwhile; and while one worker is
 * alone, for those are elided.
 *
 * Rejected: the same with a lock at the side of many (MPSC, SPMC): slower than the lock alone, for each that finds the buffer full has the sides join, by a
 * system call.  These modes are as fast as MPMC, and checked like this one.
 *
 * Source: biased locking (Kawachiya, Koseki, Onodera 2002), its revocation by membarrier; the ring is Lamport's with cached counts (Lee et al., MCRingBuffer,
 * 2010).  Model: test/model/ring.cpp.
 */
#ifndef WEFT_SYNC_CHAN_RING_H
#define WEFT_SYNC_CHAN_RING_H

#include "base/asym.h"
#include "base/atomic.h"
#include "base/config.h"
#include "base/solo.h"

/* Of chan.quick. */
#define CHAN_APART 0x80u  /* the sides are apart */
#define CHAN_SINGLE 0x40u /* they may be */

struct chan_side {
	ATOMIC(uint32_t) busy;  /* 1 while its owner is at it */
	ATOMIC(uint32_t) count; /* elements that have passed it, modulo 2^32; by its owner */
	SHARED(uint32_t) seen;  /* the other's count, as last seen; by its owner */
	SHARED(uint32_t) at;    /* index of the next slot; by its owner */
	ATOMIC(void *) worker;  /* of its owner; written together */
} __attribute__((aligned(128)));

/* The owner of a side, who is not in the middle of anything. False: the sides are together. */
static ALWAYS_INLINE bool chan_side_enter(struct chan_side *s, ATOMIC(uint8_t) *quick, void *worker)
{
	if (unlikely(load_relaxed(&s->worker) != worker)) /* a hint: if it is true of the owner's worker, nobody else writes it now */
		return false;
	store_relaxed(&s->busy, 1u);
	asym_light();                                 /* pairs with asym_heavy in chan_sides_call */
	if (likely(load_acquire(quick) & CHAN_APART)) /* ordered by it; acquire: pairs with store_release in chan_sides_part */
		return true;
	store_release(&s->busy, 0u); /* what was done in an earlier turn, too: in C11 a relaxed store would carry that on, in C++20 not */
	return false;
}

static ALWAYS_INLINE void chan_side_leave(struct chan_side *s)
{
	store_release(&s->busy, 0u); /* pairs with load_acquire in chan_side_left */
}

/* Room for one element at the tail. The owner of the put side. */
static ALWAYS_INLINE bool chan_side_room(struct chan_side *put, struct chan_side *get, uint32_t cap)
{
	uint32_t n = load_relaxed(&put->count); /* own */

	if (likely(n - shared_get(&put->seen) < cap))
		return true;
	shared_set(&put->seen, load_acquire(&get->count)); /* pairs with store_release in chan_side_step: the slot has been read */
	return n - shared_get(&put->seen) < cap;
}

/* An element at the head. The owner of the get side. */
static ALWAYS_INLINE bool chan_side_filled(struct chan_side *get, struct chan_side *put)
{
	uint32_t n = load_relaxed(&get->count); /* own */

	if (likely(n != shared_get(&get->seen)))
		return true;
	shared_set(&get->seen, load_acquire(&put->count)); /* pairs with store_release in chan_side_step: the slot has been filled */
	return n != shared_get(&get->seen);
}

/* Past one element. The owner, who has filled its slot, or read it. */
static ALWAYS_INLINE void chan_side_step(struct chan_side *s, uint32_t cap)
{
	uint32_t at = shared_get(&s->at) + 1;

	shared_set(&s->at, at == cap ? 0 : at);
	store_release(&s->count, load_relaxed(&s->count) + 1); /* pairs with load_acquire in chan_side_room and chan_side_filled */
}

/* Together, from apart, first step: no owner enters any more. The caller holds the channel's lock. plain: what quick is while together. ours: both owners
 * belong to the caller's worker. */
static inline void chan_sides_call(ATOMIC(uint8_t) *quick, uint8_t plain, bool ours)
{
	store_relaxed(quick, plain); /* made visible by the fence */
	if (!ours)
		asym_heavy(); /* pairs with asym_light in chan_side_enter */
}

/* Second step, until it is true of both sides: its owner is not at it. Then the caller may look at it. */
static inline bool chan_side_left(struct chan_side *s)
{
	return load_acquire(&s->busy) == 0; /* pairs with store_release in chan_side_leave */
}

/* Apart, from together: len elements from head on. The caller holds the lock, and touches neither side any more. */
static inline void chan_sides_part(struct chan_side *put, struct chan_side *get, ATOMIC(uint8_t) *quick, uint8_t apart, uint32_t head,
				   uint32_t len, uint32_t cap)
{
	uint32_t n = load_relaxed(&get->count); /* under the lock */

	shared_set(&get->at, head);
	shared_set(&get->seen, n + len);
	shared_set(&put->at, head + len >= cap ? head + len - cap : head + len);
	shared_set(&put->seen, n);
	store_relaxed(&put->count, n + len); /* made visible by the store below */
	store_release(quick, apart);         /* pairs with load_acquire in chan_side_enter */
}

#endif
