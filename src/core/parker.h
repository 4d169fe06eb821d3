/* SPDX-License-Identifier: MIT
 *
 * parker.h - the word on which one worker's sleep and everybody's wake-up meet.
 *
 *   EMPTY    -> SLEEPING   owner, about to block in its loop       SLEEPING -> NOTIFIED   waker; must kick the loop
 *   EMPTY    -> NOTIFIED   waker; the owner will see it            any      -> EMPTY      owner, awake again
 *   NOTIFIED -> NOTIFIED   waker; one notification is enough
 *
 * Both sides read-modify-write the word, so one of them is second and sees the other: either the owner finds NOTIFIED
 * and does not block, or the waker finds SLEEPING and kicks.  The kick itself (core/loop_*.c) orders nothing:
 * it may return early.
 *
 * Use, by the owner:
 *	if (parker_prepare(p))
 *		block until kicked, an event or a deadline;
 *	parker_done(p);
 * A notification may come late, after the owner has woken by itself; it then costs one turn that does not block.
 *
 * Model: test/model/idle.cpp.  Not here: choosing whom to wake (core/idle.h), the kick (core/loop).
 */
#ifndef WEFT_CORE_PARKER_H
#define WEFT_CORE_PARKER_H

#include "base/atomic.h"
#ifndef WEFT_MODEL
#include <stdint.h>
#endif

#define PARKER_EMPTY 0u
#define PARKER_SLEEPING 1u
#define PARKER_NOTIFIED 2u

struct parker {
	ATOMIC(uint32_t) state; /* PARKER_*; zeroed memory is EMPTY */
};

/* Owner, before it blocks. False: it was notified meanwhile and must not block. Follow with parker_done in both
 * cases. */
static inline bool parker_prepare(struct parker *p)
{
	uint32_t was = PARKER_EMPTY;

	/* pairs with swap_acq_rel in parker_notify: whoever kicks sees the loop made ready */
	return cas_release(&p->state, &was, PARKER_SLEEPING);
}

/* Owner, awake again or not having slept. True if somebody notified it: what they wrote before is visible. */
static inline bool parker_done(struct parker *p)
{
	return swap_acquire(&p->state, PARKER_EMPTY) == PARKER_NOTIFIED; /* pairs with swap_acq_rel in parker_notify */
}

/* Anyone. True: the owner blocks, or is just about to: the caller must kick its loop. */
static inline bool parker_notify(struct parker *p)
{
	/* release: with swap_acquire in parker_done; acquire: with cas_release in parker_prepare */
	return swap_acq_rel(&p->state, PARKER_NOTIFIED) == PARKER_SLEEPING;
}

#endif
