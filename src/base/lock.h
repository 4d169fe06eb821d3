/* SPDX-License-Identifier: MIT
 *
 * lock.h - the small lock: guards a few words for a few instructions, never across a switch.
 *
 *   held     0 free, 1 held.  Locking is one compare-and-swap; unlocking is a plain release store.
 *   waiters  threads that sleep, or are about to, on held.
 *
 * A locker that does not get it spins a little, then counts itself in waiters, passes asym_heavy() and looks once more before it sleeps.  The
 * unlocker stores held = 0, passes asym_light(), and looks at waiters: one of the two sees the other.  So the unlock that every fast path pays is
 * a store and a load.  (Rejected: Drepper's three-state futex mutex, whose unlock is a second locked instruction.)
 *
 * Ranks (debug builds): a thread may only take a lock of a higher rank than all it holds, but locks of rank RANK_CHAN may be
 * taken several at a time, in address order (select), and of RANK_CTX from a context to those below it.  Parking asserts that none is held.
 *
 * Locks that are taken on the paths of tasks are elided while one worker is alone in weft: lock_take_solo, base/solo.h.
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
	RANK_CTX,    /* a context; several from the root downwards */
	RANK_TIMER,  /* a user timer */
	RANK_CHAN,   /* a channel; several in address order */
	RANK_LOT,    /* a bucket of address-keyed waiters */
	RANK_WHEEL,  /* a worker's timers */
	RANK_INJECT, /* the injection queue */
	RANK_IDLE,   /* the list of sleeping workers */
	RANK_POOL,   /* task records, stacks */
};

struct lock {
	ATOMIC(uint32_t) held;
	ATOMIC(uint32_t) waiters;
};

#ifdef WEFT_MODEL
void weft__lock_slow(struct lock *l);
void weft__lock_wake(struct lock *l);
#define lock_note_taken(l, rank) ((void)0)
#define lock_note_freed(l) ((void)0)
#define weft__lock_careful 1
#define compiler_barrier() ((void)0)
#else
/* Unlocking must tell TSan, or pass a real fence: one look on the fast path instead of two. Written once, before any second thread. */
extern bool weft__lock_careful;
void weft__lock_slow(struct lock *l);
void weft__lock_wake(struct lock *l);
#ifdef WEFT_DEBUG
void weft__lock_note_taken(struct lock *l, enum lock_rank rank);
void weft__lock_note_freed(struct lock *l);
int weft__locks_held(void); /* small locks the calling thread holds */
#define lock_note_taken(l, rank) weft__lock_note_taken((l), (rank))
#define lock_note_freed(l) weft__lock_note_freed(l)
#else
#define lock_note_taken(l, rank) ((void)(rank))
#define lock_note_freed(l) ((void)0)
#endif
#endif

static inline void lock_take(struct lock *l, enum lock_rank rank)
{
	uint32_t was = 0;

	if (unlikely(!cas_acquire(&l->held, &was, 1u))) /* pairs with store_release(held) in lock_drop */
		weft__lock_slow(l);
	san_acquire(l);
	lock_note_taken(l, rank);
}

/* lock_take for locks that the monitor thread never takes: elided while one worker is alone (base/solo.h). Dropped as usual. */
static inline void lock_take_solo(struct lock *l, enum lock_rank rank)
{
	uint32_t was = 0;
	bool free;

	if (solo_elides()) {
		free = load_relaxed(&l->held) == 0; /* nobody else is in weft */
		if (likely(free))
			store_relaxed(&l->held, 1u); /* a thread that comes later finds it held */
		solo_elided();
	} else {
		free = cas_acquire(&l->held, &was, 1u); /* as in lock_take */
	}
	if (unlikely(!free))
		weft__lock_slow(l);
	san_acquire(l);
	lock_note_taken(l, rank);
}

/* True if it was free. Never waits. */
static inline bool lock_try(struct lock *l, enum lock_rank rank)
{
	uint32_t was = 0;

	if (load_relaxed(&l->held) || !cas_acquire(&l->held, &was, 1u)) /* pairs with lock_drop */
		return false;
	san_acquire(l);
	lock_note_taken(l, rank);
	return true;
}

static inline void lock_drop(struct lock *l)
{
	lock_note_freed(l);
	if (unlikely(weft__lock_careful))
		san_release(l);
	store_release(&l->held, 0u); /* pairs with cas_acquire(held) in lock_take */
	compiler_barrier();
	if (unlikely(weft__lock_careful))
		asym_light(); /* pairs with asym_heavy in weft__lock_slow; but for this case it is the compiler barrier above */
	if (unlikely(load_relaxed(&l->waiters)))
		weft__lock_wake(l);
}

#endif
