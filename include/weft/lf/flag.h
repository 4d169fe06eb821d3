/* SPDX-License-Identifier: MIT
 *
 * weft/lf/flag.h - one bit that many set and one clears: who was first? Also the smallest lock that is only tried.
 *
 *	if (weft_flag_raise(&f))
 *		first since it was last lowered: do it;
 *
 * What happened before a flag was lowered is visible to whoever raises it next, and what happened before it was raised to whoever sees it raised.
 * Zeroed memory is a lowered flag.
 *
 * Progress: every operation is wait-free. Threads: any. Whoever waits for a flag in a loop brings weft/lf/backoff.h, and is blocked by who raised it.
 *
 * Source: C11's atomic_flag. Changed: it can be read; a flag that is up is not written again, so that those who are too late share the line.
 */
#ifndef WEFT_LF_FLAG_H
#define WEFT_LF_FLAG_H

#include "atomic.h"

struct weft_flag {
	WEFT_ATOMIC(unsigned) up; /* 0 or 1 */
};

/* No other thread knows f yet. */
static inline void weft_flag_init(struct weft_flag *f)
{
	weft_store_relaxed(&f->up, 0u); /* not shared yet */
}

/* Whether it is up; if so, what happened before it was raised is visible. */
static inline bool weft_flag_is_up(struct weft_flag *f)
{
	return weft_load_acquire(&f->up) != 0; /* pairs with the swap in weft_flag_raise */
}

/* True: it was down, and this call raised it. False: it was up already. */
static inline bool weft_flag_raise(struct weft_flag *f)
{
	if (weft_load_relaxed(&f->up) != 0) /* nothing is concluded from what the others did */
		return false;
	return weft_swap_acq_rel(&f->up, 1u) == 0; /* pairs with weft_flag_lower, and with weft_flag_is_up */
}

/* Who raised it, or anyone. */
static inline void weft_flag_lower(struct weft_flag *f)
{
	weft_store_release(&f->up, 0u); /* pairs with the swap in weft_flag_raise */
}

#endif
