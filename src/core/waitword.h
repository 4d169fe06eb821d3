/* SPDX-License-Identifier: MIT
 *
 * waitword.h - the word that every wake must claim: one compare-and-swap decides who wakes a task.
 *
 *    63                                   8 7        0
 *   +--------------------------------------+----------+
 *   |             sequence                 |  state   |     one word a task, in its record, never unmapped
 *   +--------------------------------------+----------+
 *
 *   closed -> OPEN      the task itself, before it enlists anywhere; sequence + 1; a plain release store: nobody else writes a closed word
 *   OPEN   -> closed    whoever claims exactly this sequence; the new state says why (WOKEN, TIMEDOUT, CANCELED)
 *
 * Laws. An opened wait is closed by a claim, never by a store. The winner of the claim, and nobody else, delivers and makes the
 * task runnable (or, if it is the task itself that has not parked yet, simply goes on). Whoever holds a reference to a waiting task
 * holds the sequence with it: a late claim of an old wait fails, even when the record has been reused.
 */
#ifndef WEFT_CORE_WAITWORD_H
#define WEFT_CORE_WAITWORD_H

#include "base/atomic.h"
#include "base/solo.h"
#ifndef WEFT_MODEL
#include <stdint.h>
#endif

enum wait_state {
	WAIT_WOKEN = 0,    /* closed: the awaited thing happened; also the state of a fresh record */
	WAIT_TIMEDOUT = 1, /* closed: the deadline passed */
	WAIT_CANCELED = 2, /* closed: cancelled */
	WAIT_OPEN = 3,     /* claimable by anyone */
	WAIT_SHIELDED = 4, /* claimable by anyone but a canceller */
};

#define WAIT_STATE_BITS 8
#define WAIT_SEQ_ONE ((uint64_t)1 << WAIT_STATE_BITS)

static inline uint64_t wait_seq(uint64_t word)
{
	return word >> WAIT_STATE_BITS;
}

static inline enum wait_state wait_state(uint64_t word)
{
	return (enum wait_state)(word & (WAIT_SEQ_ONE - 1));
}

static inline bool wait_is_open(uint64_t word)
{
	return wait_state(word) >= WAIT_OPEN;
}

/* Opens the next wait. Task itself only. Returns the open word, which is what a claimer must present. */
static inline uint64_t wait_open(ATOMIC(uint64_t) *w, enum wait_state how)
{
	uint64_t word =
		(wait_seq(load_relaxed(w)) + 1) << WAIT_STATE_BITS | (uint64_t)how; /* relaxed: own earlier wait, claimed and acquired */

	store_release(w, word); /* pairs with load_acquire in ctx.c and timer.c: they see the deadline stored before */
	return word;
}

/* The same as wait_claim, in an elided section (base/solo.h): nobody else is in weft. */
static inline bool wait_claim_plain(ATOMIC(uint64_t) *w, uint64_t word, enum wait_state why)
{
	if (load_relaxed(w) != word) /* the section orders it */
		return false;
	store_relaxed(w, (word & ~(WAIT_SEQ_ONE - 1)) | (uint64_t)why); /* the same */
	return true;
}

/* Closes the wait that `word` opened. True for exactly one caller; that caller owes the task its wake-up.
 * acq_rel: what the winner then reads of the waiter was written before the wait was opened, and the task sees what happened before. */
static inline bool wait_claim(ATOMIC(uint64_t) *w, uint64_t word, enum wait_state why)
{
	uint64_t expected = word;

	if (solo_elides()) {
		bool won = wait_claim_plain(w, word, why);

		solo_elided();
		return won;
	}
	return cas_acq_rel(w, &expected, (word & ~(WAIT_SEQ_ONE - 1)) | (uint64_t)why);
}

/* --- the cancel word: a task's, and why it is cancelled --- */

#define CANCEL_OWN (1u << 31)    /* weft_task_cancel, as against its context; 1: its context is cancelled */
#define CANCEL_SHIELD (1u << 30) /* CANCEL_OWN and CANCEL_ROOT do not count for now; changed by the task only */
#define CANCEL_ROOT (1u << 29)   /* the root context is cancelled: the runtime is being shut down */
#define CANCEL_APART (1u << 28)  /* CANCEL_ROOT does not count: its context is not cancelled with the root; changed by the task only */

/* Does it end blocking calls? A canceller asks after it has read an open wait word with acquire: a shield that the wait was opened under shows. */
static inline bool cancel_counts(uint32_t cancel)
{
	if (cancel & CANCEL_SHIELD)
		cancel &= ~(CANCEL_OWN | CANCEL_ROOT | CANCEL_SHIELD);
	if (cancel & CANCEL_APART)
		cancel &= ~(CANCEL_ROOT | CANCEL_APART);
	return cancel != 0;
}

#endif
