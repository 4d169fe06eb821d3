/* SPDX-License-Identifier: MIT
 *
 * clock.h - time: monotonic nanoseconds, real or fake.
 *
 * All time in weft comes from clock_now().  Tests install a fake clock (weft__clock_fake), which then stands still until it is
 * moved; sleeping workers are not woken by that, so the mover wakes them (weft__sched_notify).
 */
#ifndef WEFT_BASE_CLOCK_H
#define WEFT_BASE_CLOCK_H

#include "base/atomic.h"
#include <stdint.h>

#define CLOCK_REAL INT64_MIN

extern HIDDEN ATOMIC(int64_t) weft__clock_fake; /* CLOCK_REAL, or the time that every reader sees */

int64_t weft__clock_read(void);

/* Monotonic nanoseconds, greater than 0. Any thread. */
static inline int64_t clock_now(void)
{
	int64_t fake = load_relaxed(&weft__clock_fake); /* tests only; ordered by the tests' own synchronisation */

	return likely(fake == CLOCK_REAL) ? weft__clock_read() : fake;
}

/* Whether ns have gone by since then; always under a fake clock, which may stand still or go back to the real one. */
static inline bool clock_past(int64_t now, int64_t then, int64_t ns)
{
	return now - then >= ns || unlikely(load_relaxed(&weft__clock_fake) != CLOCK_REAL || now < then); /* as above */
}

static inline int64_t clock_add(int64_t now, int64_t ns)
{
	int64_t t;

	return __builtin_add_overflow(now, ns, &t) ? INT64_MAX : t;
}

#endif
