/* SPDX-License-Identifier: MIT
 *
 * timed.h - laws asked while the clock stands still, and what a timer has said so far.
 */
#ifndef WEFT_TEST_CONFORM_TIMED_H
#define WEFT_TEST_CONFORM_TIMED_H

#include "conform.h"

/* The clock stands still in all that follows. */
#define TIMED(name)                     \
	static void name##_timed(void); \
	LAW(name)                       \
	{                               \
		time_fake();            \
		name##_timed();         \
		time_real();            \
	}                               \
	static void name##_timed(void)

/* The tick that comes now or has come: the time it says, or an error. */
static inline int64_t tick(weft_timer *t)
{
	int64_t at = 0;
	int rc = weft_chan_recv_until(weft_timer_chan(t), &at, WEFT_FOREVER);

	return rc ? rc : at;
}

/* What is due now happens: a timer that is due now has fired, too. */
static inline void all_due(void)
{
	weft_timer *t = weft_timer_make(0);

	T_GT(tick(t), 0);
	weft_timer_free(t);
	settle();
}

/* No tick has come. */
static inline bool silent(weft_timer *t)
{
	all_due();
	return weft_chan_len(weft_timer_chan(t)) == 0 && weft_chan_tryrecv(weft_timer_chan(t), NULL) == WEFT_EAGAIN;
}

static inline bool ticked(weft_timer *t)
{
	until(weft_chan_len(weft_timer_chan(t)) == 1);
	return true;
}

#endif
