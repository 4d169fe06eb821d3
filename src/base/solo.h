/* SPDX-License-Identifier: MIT
 *
 * solo.h - elision: while one OS thread is alone in weft, its small locks and claims need no locked instruction.
 *
 *   state   SOLO_OFF     nobody is elided; a runtime with one worker may turn it on
 *           SOLO_ON      exactly one thread, that worker, is in weft
 *           SOLO_ENDING  a second thread has come and waits for the section that is under way
 *           SOLO_NEVER   a second thread has been seen: for good
 *   in      1 while the worker is in an elided section: a few plain loads and stores in place of one locked instruction
 *
 *   OFF -> ON      weft_run with one worker        ON -> OFF          the same, when it is over
 *   ON -> ENDING   the second thread               OFF, ENDING -> NEVER   the second thread
 *
 * A section:      in = 1; (compiler barrier) look at state; ON: plain path, else locked path; in = 0.
 * Second thread:  state = ENDING; asym_heavy(); wait until in is 0; state = NEVER; go on.
 * asym_heavy is a membarrier, so one of the two sees the other, and what the sections stored is visible to the second thread when it goes on.
 * Without membarrier, and where TSan watches, it is never turned on.
 *
 * The first thread that ever uses weft is its owner; a runtime with one worker is elided only if it runs on that thread, which may of course use weft
 * before and after it too.  Every other thread passes weft__solo_end() before it touches anything that is elided: weft__worker(), the one reader of "who
 * am I", sees to it.  The monitor thread takes no elided lock and makes no claim.
 */
#ifndef WEFT_BASE_SOLO_H
#define WEFT_BASE_SOLO_H

#include "base/asym.h"
#include "base/atomic.h"
#ifndef WEFT_MODEL
#include <stdint.h>
#endif

#define SOLO_OFF 0u
#define SOLO_ON 1u
#define SOLO_ENDING 2u
#define SOLO_NEVER 3u

struct solo {
	ATOMIC(uint32_t) state;
	ATOMIC(uint32_t) in; /* written by the worker only */
};

/* Opens a section. True: plain path, and solo_leave must follow. False: take the locked path; there is no section. */
static inline bool solo_enter(struct solo *s)
{
	if (load_relaxed(&s->state) != SOLO_ON) /* a hint: decided below */
		return false;
	store_relaxed(&s->in, 1u);
	asym_light();                           /* pairs with asym_heavy in solo_end */
	if (load_relaxed(&s->state) == SOLO_ON) /* ordered by it */
		return true;
	store_release(&s->in, 0u); /* as in solo_leave */
	return false;
}

static inline void solo_leave(struct solo *s)
{
	store_release(&s->in, 0u); /* pairs with load_acquire in solo_end: what the section stored */
}

/* One turn of a second thread. True: it may go on. False: somebody is still on the way; pause and call again. */
static inline bool solo_end(struct solo *s)
{
	uint32_t state = load_acquire(&s->state); /* pairs with the compare-and-swaps to NEVER */

	switch (state) {
	case SOLO_NEVER:
		return true;
	case SOLO_OFF:
		return cas_acq_rel(&s->state, &state, SOLO_NEVER);
	case SOLO_ON:
		if (!cas_acq_rel(&s->state, &state, SOLO_ENDING))
			return false;
		asym_heavy(); /* pairs with asym_light in solo_enter */
		return false;
	default:
		if (load_acquire(&s->in)) /* pairs with store_release in solo_leave */
			return false;
		return cas_acq_rel(&s->state, &state, SOLO_NEVER);
	}
}

#ifdef WEFT_MODEL
#ifndef MODEL_SOLO
#define solo_elides() false /* models of something else: always the locked path */
#define solo_elided() ((void)0)
#endif
#else
extern struct solo weft__solo;
#define solo_elides() solo_enter(&weft__solo)
#define solo_elided() solo_leave(&weft__solo)

/* self: an address that only the calling thread has. */
bool weft__solo_begin(uintptr_t self); /* a runtime with one worker, before its first task; whether it is on */
void weft__solo_over(void);            /* the same, after its last */
void weft__solo_end_slow(uintptr_t self);

/* Called by every thread that is no worker before it uses anything that may be elided. */
static inline void weft__solo_end(uintptr_t self)
{
	if (unlikely(load_acquire(&weft__solo.state) != SOLO_NEVER)) /* pairs with the compare-and-swaps to NEVER */
		weft__solo_end_slow(self);
}
#endif

#endif
