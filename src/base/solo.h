/* SPDX-License-Identifier: MIT
 *
 * solo.h - elision: while one OS thread is alone in weft, its small locks and claims need no locked instruction.
 *
 *   state   SOLO_OFF       nobody is elided; a runtime with one worker may turn it on
 *           SOLO_ON        exactly one thread, that worker, is in weft
 *           SOLO_ENDING    a second thread has come, but `in` says nothing yet
 *           SOLO_DRAINING  asym_heavy has been passed: `in` says whether an elided section is under way
 *           SOLO_NEVER     a second thread has been seen: for good
 *   in      1 while the worker is in an elided section: a few plain loads and stores in place of one locked instruction
 *
 *   OFF -> ON      weft_run with one worker        ON -> OFF          the same, when it is over
 *   ON -> ENDING -> DRAINING -> NEVER, OFF -> NEVER                   each step by whichever other thread is there first
 *
 * A section:      in = 1; (compiler barrier) look at state; ON: plain path, else locked path; in = 0.
 * Second thread:  state = ENDING; asym_heavy(); state = DRAINING; wait until in is 0; state = NEVER; go on.
 * asym_heavy is a membarrier, so one of the two sees the other, and what the sections stored is visible to the second thread when it goes on.
 * A third thread that finds ENDING must not look at `in`: the second may not have passed asym_heavy yet.  It passes its own, and waits for nobody.
 * Without membarrier, and where TSan watches, it is never turned on.
 *
 * The first thread that ever uses weft is its owner; a runtime with one worker is elided only if it runs on that thread, which may of course use weft
 * before and after it too.  Every other thread passes weft__solo_end() before it touches anything that is elided: weft__worker(), the one reader of "who
 * am I", sees to it.  The monitor thread takes no elided lock and makes no claim, nor do threads of lanes
 * (core/lane_thread.c), but for what users' code does there, which is a second thread's, and to tell a second thread, or a task of a second
 * runtime, which have ended elision, of what they wait for.
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
#define SOLO_DRAINING 3u
#define SOLO_NEVER 4u

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
		(void)cas_acq_rel(&s->state, &state, SOLO_ENDING);
		return false;
	case SOLO_ENDING:
		asym_heavy(); /* pairs with asym_light in solo_enter */
		(void)cas_acq_rel(&s->state, &state, SOLO_DRAINING);
		return false;
	default:
		if (load_acquire(&s->in)) /* pairs with store_release in solo_leave */
			return false;
		return cas_acq_rel(&s->state, &state, SOLO_NEVER);
	}
}

/* A runtime with one worker is about to start its first task. True: it is elided from here on. */
static inline bool solo_begin(struct solo *s)
{
	uint32_t off = SOLO_OFF;

	return cas_acq_rel(&s->state, &off, SOLO_ON); /* acquire: pairs with the caller's own in solo_over */
}

/* The same, after its last. */
static inline void solo_over(struct solo *s)
{
	uint32_t on = SOLO_ON;

	(void)cas_acq_rel(&s->state, &on, SOLO_OFF); /* unless a second thread has come; release: pairs with the step OFF -> NEVER */
}

/* Between two accesses of the worker's: is it alone in weft? Who comes later has passed asym_heavy when it goes on, so it sees the first if the second was
 * before it. */
static ALWAYS_INLINE bool solo_on(struct solo *s)
{
	asym_light();                              /* pairs with asym_heavy in solo_end */
	return load_relaxed(&s->state) == SOLO_ON; /* ordered by it */
}

#ifdef WEFT_MODEL
#ifndef MODEL_SOLO
#define solo_is_on() false
#define solo_elides() false /* models of something else: always the locked path */
#define solo_elided() ((void)0)
#endif
#else
extern HIDDEN struct solo weft__solo;
#define solo_elides() solo_enter(&weft__solo)
#define solo_elided() solo_leave(&weft__solo)

static ALWAYS_INLINE bool solo_is_on(void)
{
	return solo_on(&weft__solo);
}

/* self: an address that only the calling thread has. */
bool weft__solo_begin(uintptr_t self); /* solo_begin, if the caller is the owner and elision is possible */
void weft__solo_over(void);
void weft__solo_end_slow(uintptr_t self);
void weft__solo_end_now(void); /* a second worker is about to begin. Any thread, in no elided section */

/* Called by every thread that is no worker before it uses anything that may be elided. */
static inline void weft__solo_end(uintptr_t self)
{
	if (unlikely(load_acquire(&weft__solo.state) != SOLO_NEVER)) /* pairs with the compare-and-swaps to NEVER */
		weft__solo_end_slow(self);
}
#endif

/* Read-modify-writes (acquire and release) that are plain while elided: for words that the monitor thread never touches. */
#define SOLO_CAS(name, word)                                                                         \
	static ALWAYS_INLINE bool name(ATOMIC(word) *p, word *expected, word v)                      \
	{                                                                                            \
		word now;                                                                            \
                                                                                                     \
		if (!solo_elides())                                                                  \
			return cas_acq_rel(p, expected, v); /* the caller says with whom it pairs */ \
		now = load_relaxed(p);                      /* nobody else is in weft */             \
		if (now == *expected)                                                                \
			store_relaxed(p, v);                                                         \
		solo_elided();                                                                       \
		if (now == *expected)                                                                \
			return true;                                                                 \
		*expected = now;                                                                     \
		return false;                                                                        \
	}
SOLO_CAS(solo_cas32, uint32_t)
SOLO_CAS(solo_cas64, uint64_t)
#undef SOLO_CAS

static ALWAYS_INLINE uint64_t solo_add64(ATOMIC(uint64_t) *p, uint64_t n)
{
	uint64_t was;

	if (!solo_elides())
		return add_acq_rel(p, n); /* as above */
	was = load_relaxed(p);            /* nobody else is in weft */
	store_relaxed(p, was + n);
	solo_elided();
	return was;
}

#endif
