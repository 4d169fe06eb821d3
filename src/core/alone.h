/* SPDX-License-Identifier: MIT
 *
 * alone.h - a worker that has no thieves takes from its ring and slot without a locked instruction; and how that ends while it runs.
 *
 *   owner   says that the task it stands on is RUNNING no more;   looks whether it is alone;   takes, as it has seen;   says that the next one is RUNNING
 *   ender   alone = false;   asym_heavy;   waits until it sees the owner outside;   asym_heavy;   from here on there may be thieves
 *
 * Outside: the task that the owner stands on is RUNNING, or the owner sleeps.  One of the two sees the other (base/asym.h): either the owner finds that it is not
 * alone any more, or it was inside when the ender passed its fence; then it is seen outside only when it has taken, and looks again before it takes again.  The second fence makes visible what it
 * did before it was seen.  Both words are written anyway, so being alone costs one look at a byte, and that it may end costs nothing.
 *
 * Without membarrier, which the owner would have to pay for at each look, no worker is ever alone.
 *
 * What is pinned to a worker (core/pin.c) is in its slot and ring like all other tasks while it is alone, for nobody takes it from there.  So they may be mixed, still, when that has ended, and thieves come at once if the
 * owner is stuck in a task:
 *
 *   owner   looks whether it is alone;   puts what is pinned into slot or ring if it is, home if it is not
 *           at a slow pick, once it has seen that it is not: takes all out of slot and ring, puts what is pinned home and the rest back;   mixed = false
 *   thief   looks whether they are mixed;   takes;   and sends home what is pinned, if they were
 *
 * Being alone ends once, and the owner's looks do not go backward: what it puts there after its sweep is not pinned.  So a thief that sees false finds none.  The owner may be in the middle of putting a pinned task there when it
 * ends; its sweep comes after that.  What overflows the ring is not for thieves' eyes: of that the pinned go home at once, always (sched.c).
 *
 * Rejected: whoever ends it sweeps: a pinned task may be in the owner's hand meanwhile, on its way to the ring.  A flag about each such way, for which that one waits: two stores a wake-up.  To have what is
 * pinned go home always: its queue has a lock, and is found in the slow pick.
 *
 * Model: test/model/alone.cpp.  Not here: who ends it (core/seats.c).
 */
#ifndef WEFT_CORE_ALONE_H
#define WEFT_CORE_ALONE_H

#include "base/asym.h"
#include "base/atomic.h"

/* The owner, before it takes anything. */
static ALWAYS_INLINE bool alone_is(ATOMIC(bool) *alone)
{
#if defined(WEFT_MODEL)
	asym_light();
	return load_relaxed(alone);
#elif defined(__x86_64__)
	bool yes; /* one instruction, which compilers do not make of a relaxed load */

	__asm__ volatile("cmpb $0, %1" : "=@ccne"(yes) : "m"(*(const volatile unsigned char *)alone) : "memory");
	return yes;
#else
	compiler_barrier(); /* pairs with asym_heavy in alone_end */
	return load_relaxed(alone);
#endif
}

/* First step of the end. Any thread; as often as it likes. */
static inline void alone_end(ATOMIC(bool) *alone)
{
	store_relaxed(alone, false); /* made visible by the fence */
	asym_heavy();                /* pairs with the barrier in alone_is */
}

/* Last step: the owner has been seen outside. */
static inline void alone_ended(void)
{
	asym_heavy(); /* what it did inside is visible: it was done before it was seen outside */
}

/* A thief, before it takes: what it finds may be pinned to its owner. */
static inline bool mixed_is(ATOMIC(bool) *mixed)
{
	return load_acquire(mixed); /* pairs with store_release in mixed_end: what it takes was put there after that */
}

/* The owner: is there a sweep to be made? */
static inline bool mixed_due(ATOMIC(bool) *mixed, ATOMIC(bool) *alone)
{
	return load_relaxed(mixed) && !alone_is(alone); /* own */
}

/* It has been made. */
static inline void mixed_end(ATOMIC(bool) *mixed)
{
	store_release(mixed, false); /* pairs with load_acquire in mixed_is */
}

#endif
