/* SPDX-License-Identifier: MIT
 *
 * lock.h - the small lock: guards a few words for a few instructions, never across a switch.
 *
 *   word   LOCK_FREE -> LOCK_HELD        locker, by compare-and-swap
 *          any -> LOCK_WAITED            locker about to sleep, by swap; if it read LOCK_FREE it has the lock
 *          HELD, WAITED -> LOCK_FREE     unlocker, by swap; if it read LOCK_WAITED it wakes one sleeper
 *
 * Drepper's futex mutex ("Futexes are tricky", mutex 2), with a little spinning.  The unlocker touches the lock for the last time in the swap: the memory may
 * be freed by whoever gets the lock next (a channel is, by the receiver of its last element).  That is why the unlock is not a plain store
 * followed by a look at a count of waiters, which would save an instruction.
 *
 * Locks that are taken on the paths of tasks are elided while one worker is alone in weft: lock_take_solo, lock_drop_solo, base/solo.h.
 *
 * Ranks (debug builds): a thread may only take a lock of a higher rank than all it holds, but locks of rank RANK_CHAN may be
 * taken several at a time, in address order (select), so may two of RANK_ACTOR, of RANK_CTX from a context to those below it, and of RANK_SPIN as users like.  Parking asserts that none is held.
 */
#ifndef WEFT_BASE_LOCK_H
#define WEFT_BASE_LOCK_H

#include "base/asym.h"
#include "base/atomic.h"
#include "base/sanitizer.h"
#include "base/solo.h"
#include <stdint.h>

enum lock_rank {
	RANK_NONE = 0,
	RANK_SPIN,   /* users' spin locks; several in any order */
	RANK_CTX,    /* a context; several from the root downwards */
	RANK_TIMER,  /* a user timer */
	RANK_CHAN,   /* a channel; several in address order */
	RANK_NAMES,  /* names of actors, groups of actors */
	RANK_ACTOR,  /* an actor; two in address order */
	RANK_SOURCE, /* what a select can wait for besides: a broadcast, a watched value */
	RANK_LOT,    /* a bucket of address-keyed waiters */
	RANK_DESC,   /* a descriptor */
	RANK_WHEEL,  /* a worker's timers */
	RANK_SEATS,  /* which workers there are */
	RANK_INJECT, /* the injection queue */
	RANK_IDLE,   /* the list of sleeping workers */
	RANK_POOL,   /* task records, stacks */
};

#define LOCK_FREE 0u
#define LOCK_HELD 1u
#define LOCK_WAITED 2u /* held, and somebody may sleep on it */

struct lock {
	ATOMIC(uint32_t) word;
};

void weft__lock_slow(struct lock *l);
void weft__lock_wake(struct lock *l);

#if !defined(WEFT_MODEL) && defined(WEFT_DEBUG)
void weft__lock_note_taken(struct lock *l, enum lock_rank rank);
void weft__lock_note_freed(struct lock *l);
int weft__locks_held(void);           /* small locks the calling thread holds */
bool weft__lock_held(struct lock *l); /* by the calling thread */
void weft__locks_none(void);          /* it is about to park, and must hold none */
#define lock_note_taken(l, rank) weft__lock_note_taken((l), (rank))
#define lock_note_freed(l) weft__lock_note_freed(l)
#else
#define lock_note_taken(l, rank) ((void)(rank))
#define lock_note_freed(l) ((void)(l))
#endif

static inline void lock_take(struct lock *l, enum lock_rank rank)
{
	uint32_t was = LOCK_FREE;

	if (unlikely(!cas_acquire(&l->word, &was, LOCK_HELD))) /* pairs with swap_release in lock_drop */
		weft__lock_slow(l);
	san_acquire(l);
	lock_note_taken(l, rank);
}

static inline void lock_drop(struct lock *l)
{
	lock_note_freed(l);
	san_release(l);
	if (unlikely(swap_release(&l->word, LOCK_FREE) == LOCK_WAITED)) /* pairs with cas_acquire in lock_take */
		weft__lock_wake(l);                                     /* by address only */
}

/* Takes it if it is free, and drops it, where no sanitizer watches: for functions without a frame. */
static inline bool lock_try_bare(struct lock *l, enum lock_rank rank)
{
	uint32_t was = LOCK_FREE;

	if (unlikely(!cas_acquire(&l->word, &was, LOCK_HELD))) /* as in lock_take */
		return false;
	lock_note_taken(l, rank);
	return true;
}

/* False: weft__lock_wake is owed. */
static inline bool lock_drop_bare(struct lock *l)
{
	lock_note_freed(l);
	return likely(swap_release(&l->word, LOCK_FREE) != LOCK_WAITED); /* as in lock_drop */
}

/* lock_take and lock_drop for locks that the monitor thread never takes: elided while one worker is alone (base/solo.h). */
static inline void lock_take_solo(struct lock *l, enum lock_rank rank)
{
	uint32_t was = LOCK_FREE;
	bool taken;

	if (solo_elides()) {
		taken = load_relaxed(&l->word) == LOCK_FREE; /* nobody else is in weft */
		if (likely(taken))
			store_relaxed(&l->word, LOCK_HELD); /* a thread that comes later finds it held */
		solo_elided();
	} else {
		taken = cas_acquire(&l->word, &was, LOCK_HELD); /* as in lock_take */
	}
	if (unlikely(!taken))
		weft__lock_slow(l);
	san_acquire(l);
	lock_note_taken(l, rank);
}

static inline void lock_drop_solo(struct lock *l)
{
	lock_note_freed(l);
	san_release(l);
	if (solo_elides()) {
		store_relaxed(&l->word, LOCK_FREE); /* nobody else is in weft, so nobody waits */
		solo_elided();
	} else if (unlikely(swap_release(&l->word, LOCK_FREE) == LOCK_WAITED)) { /* as in lock_drop */
		weft__lock_wake(l);
	}
}

#endif
