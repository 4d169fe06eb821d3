/* SPDX-License-Identifier: MIT
 *
 * weft/lf/backoff.h - how long a thread keeps its hands off before it tries again: spins that double up to a bound, then the caller's own action.
 *
 *	struct weft_lf_backoff b = WEFT_LF_BACKOFF(first, most, total);
 *
 *	while (!try_it())
 *		if (!weft_lf_backoff_spin(&b))
 *			sleep, yield, or do something else;      once `total` spins are spent
 *
 * Each look of a waiter takes the cache line from the thread that it waits for: fewer looks, and later ones, let that thread finish. Spinning is for waits
 * that are shorter than a switch; after `total` spins somebody is off its core, and only giving up the own one helps: that is the caller's
 * action (sched_yield, a futex, weft_task_yield in a task).
 *
 * The caller's look must not be begun while it still spins: a processor guesses that the spins are over, looks ahead, and has taken the line from the holder for
 * nothing, over and over (measured: a contended lock was two to three times slower, with some placements of the loop in memory and not with others).
 *
 * Progress: weft_lf_backoff_spin is wait-free: it spins no more than `most` times. Whether what is waited for comes is not its business.
 * Threads: the struct is the caller's own, on its stack.
 *
 * Source: T. E. Anderson, "The Performance of Spin Lock Alternatives for Shared-Memory Multiprocessors" (1990), exponential backoff with a bound.
 * Changed: not randomised: the looks of different threads differ enough by when they came; and it ends, so that whoever waits long is told.
 */
#ifndef WEFT_LF_BACKOFF_H
#define WEFT_LF_BACKOFF_H

#include "atomic.h"

struct weft_lf_backoff {
	unsigned pause; /* spins of the next round */
	unsigned most;  /* pause doubles until it is no less */
	unsigned left;  /* spins until the caller is told to do something else; 0: now */
};

/* Initialiser: rounds of `first` spins, twice as many each time while they are below `most`, `total` spins together (a started round is finished). */
#define WEFT_LF_BACKOFF(first, most, total) \
	{                                   \
		(first), (most), (total)    \
	}

/* Spins for a round. False, without spinning: all are spent. */
static inline bool weft_lf_backoff_spin(struct weft_lf_backoff *b)
{
	unsigned i;

	if (b->left == 0)
		return false;
	for (i = 0; i < b->pause; i++)
		weft_cpu_relax();
	weft_cpu_settle();
	b->left = b->left > b->pause ? b->left - b->pause : 0;
	if (b->pause < b->most)
		b->pause *= 2;
	return true;
}

#endif
