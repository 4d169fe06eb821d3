/* SPDX-License-Identifier: MIT
 *
 * weft/flow.h - flow control: credits that a receiver grants, a window that follows measured latency, a detector of congestion, and what they are made of.
 *
 * Which one: the receiver knows how much it can take: credits. Nobody knows, but latency tells: a window (or, with the waiting and the counting, weft/limit.h). There
 * is a queue whose length can be seen: the detector. A rate is prescribed: weft/limiter.h.
 *
 * Windows, averages and forecasts are plain numbers that one caller at a time uses: nothing in them waits, allocates, or reads a clock. All is integer arithmetic, so
 * that the same samples give the same result everywhere.
 */
#ifndef WEFT_FLOW_H
#define WEFT_FLOW_H

#include "error.h"
#include "export.h"
#include "sync.h"
#include "time.h"
#include <stdbool.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

/* --- credits --- */

typedef struct weft_credit weft_credit;

/* weft_credit_make - so many credits, to be taken by senders; what a credit stands for (an element, a byte) is up to both sides.
 *
 * Returns 0; WEFT_EINVAL: NULL, or n below 0 or above 2^62; WEFT_ENOMEM. On any error *out is NULL. Blocks: no. Threads: any; needs no runtime.
 */
WEFT_API int weft_credit_make(weft_credit **out, int64_t n);

/* weft_credit_ref, weft_credit_free - one reference more or less; a call borrows it until it returns. NULL is allowed in free. Somebody waiting when the last one is given back
 * is a fatal error. Threads: any. */
WEFT_API weft_credit *weft_credit_ref(weft_credit *c);
WEFT_API void weft_credit_free(weft_credit *c);

/* weft_credit_grant - the receiver can take n more; or a sender gives back what it has not used.
 *
 * Returns 0; WEFT_ECLOSED; WEFT_EINVAL: NULL, n below 1, or there would be more than 2^62. On any error nothing was granted.
 * Blocks: no. Threads: any. Order: what came before it is seen by those who take the credits.
 */
WEFT_API int weft_credit_grant(weft_credit *c, int64_t n);

/* weft_credit_take - take n credits at once, waiting until they are granted. First come first served, however many one wants.
 *
 * Returns 0; WEFT_ECLOSED; WEFT_EAGAIN (deadline WEFT_NOW), WEFT_ETIMEDOUT, WEFT_ECANCELED; WEFT_EINVAL: NULL, or n below 1. On any error none was taken.
 * Blocks: yes (credit). Threads: any.
 */
WEFT_API int weft_credit_take(weft_credit *c, int64_t n);
WEFT_API int weft_credit_take_until(weft_credit *c, int64_t n, int64_t deadline);

/* weft_credit_take_some - take what there is, 1 to `most`, waiting for the first. Returns how many; else as weft_credit_take. */
WEFT_API int64_t weft_credit_take_some(weft_credit *c, int64_t most);
WEFT_API int64_t weft_credit_take_some_until(weft_credit *c, int64_t most, int64_t deadline);

/* weft_credit_close - nothing more is wanted: who waits, and who comes, gets WEFT_ECLOSED; credits nobody has taken are void.
 *
 * Returns 0; WEFT_ECLOSED: it was before; WEFT_EINVAL: NULL. Blocks: no. Threads: any.
 */
WEFT_API int weft_credit_close(weft_credit *c);

/* weft_credit_value - credits nobody has taken, now. weft_credit_waiting - senders that wait, now. Threads: any. */
WEFT_API int64_t weft_credit_value(weft_credit *c);
WEFT_API int weft_credit_waiting(weft_credit *c);

/* --- windows --- */

enum weft_window_rule {
	/* One more a round; a cut to .backoff per cent after a round with a loss, or while the average latency is above .target.
	 * Source: Chiu and Jain, "Analysis of the Increase and Decrease Algorithms" (1989). */
	WEFT_AIMD,
	/* Keeps a short queue at the callee, whose length is estimated by how far latency is above the least that was seen: window * (1 - least / latency).
	 * Source: Brakmo and Peterson, "TCP Vegas" (1995), with the bounds of Netflix's concurrency-limits (3 and 6 times the decimal logarithm). Changed: every 32nd round is
	 * made with half the window, to measure the least latency anew without a queue (as BBR does, Cardwell and others 2016). */
	WEFT_VEGAS,
	/* Follows the ratio of the long-term average to the latency of this round, plus the root of the window for bursts: needs neither a target nor a least latency.
	 * Source: Gradient2 of Netflix's concurrency-limits. Changed: once a round; integers. */
	WEFT_GRADIENT,
};

/* Zero is the default everywhere. */
typedef struct weft_window_opts {
	enum weft_window_rule rule;
	int initial, least, most; /* 0: 20, 1, 1000 */
	int64_t target;           /* WEFT_AIMD: ns; 0: only losses cut */
	int backoff;              /* per cent that a cut leaves, 1 to 99; 0: 80 */
	int smooth;               /* WEFT_AIMD: a sample counts one so many-th in the average; 0: 8 */
	int tolerance;            /* WEFT_GRADIENT: per cent of the average that latency may be, 100 and more; 0: 150 */
} weft_window_opts;

/* How many calls may be under way, by how long they take. Private fields. */
typedef struct weft_window {
	weft_window_opts weft__o;
	int64_t weft__size;           /* in 1024ths */
	int64_t weft__ema;            /* AIMD: of samples; GRADIENT: of rounds; 0: none yet */
	int64_t weft__least;          /* VEGAS: latency without a queue; 0: none yet */
	int64_t weft__kept;           /* VEGAS: the window while the half is tried; 0: it is not */
	int64_t weft__sum, weft__min; /* of this round */
	int32_t weft__n, weft__lost, weft__in;
	uint32_t weft__rounds;
} weft_window;

/* weft_window_init - a window of .initial. Returns 0; WEFT_EINVAL: NULL, or a number out of range (least <= initial <= most <= 2^20). */
WEFT_API int weft_window_init(weft_window *w, const weft_window_opts *o);

/* weft_window_sample - a call has ended.
 *
 *   latency  ns it has taken, above 0 (less counts as 1); not looked at if it is lost
 *   in       how many were under way, itself included: a window that is not half used does not grow
 *   lost     it was dropped, or timed out
 *
 * A round is as many samples as the window is wide, but 8 at least: the window changes at its end. Returns the window, now.
 */
WEFT_API int weft_window_sample(weft_window *w, int64_t latency, int in, bool lost);

/* weft_window_size - the window, now. weft_window_latency - the latency it goes by: AIMD and GRADIENT their average, VEGAS the least; 0: none yet. */
WEFT_API int weft_window_size(const weft_window *w);
WEFT_API int64_t weft_window_latency(const weft_window *w);

/* --- forecasts --- */

/* A level and its trend, for a straight line into the near future. Zeroed memory is a valid one that has seen nothing. Private fields. */
typedef struct weft_forecast {
	int64_t weft__level; /* in 1024ths */
	int64_t weft__trend; /* in 1024ths a millisecond */
	int64_t weft__when;  /* of the last sample; 0: none */
} weft_forecast;

/* weft_forecast_see - the level is x at the time `now`; times before the last one count as the same. |x| up to 2^40.
 * weft_forecast_in - what it will be in ns nanoseconds, if it goes on like this.
 *
 * Source: Holt, "Forecasting Seasonals and Trends by Exponentially Weighted Moving Averages" (1957), the part without seasons; a half and a quarter as weights. It knows no
 * seasons and no steps: what turns round is seen some samples late.
 */
WEFT_API void weft_forecast_see(weft_forecast *f, int64_t x, int64_t now);
WEFT_API int64_t weft_forecast_in(const weft_forecast *f, int64_t ns);

/* --- congestion --- */

typedef struct weft_congestion_opts {
	int64_t high, low; /* congested at `high` and above, over at `low` and below; low < high */
	int64_t rise;      /* ns that it must have been at or above high; 0: at once */
	int64_t fall;      /* ns that it must have been at or below low; 0: at once */
	int64_t ahead; /* ns: begins where the forecast for so long ahead reaches `high`, if the level is above `low`; 0: the level alone counts */
} weft_congestion_opts;

/* Whether a level (of a queue, a buffer, a latency) is too high, with hysteresis: in between the marks, and for shorter than the hold times, it stays what it was. Not to be copied.
 * Private fields. */
typedef struct weft_congestion {
	weft_congestion_opts weft__o;
	weft_forecast weft__f;
	int64_t weft__since; /* the other side was reached then; 0: it is not */
	weft_event weft__clear;
} weft_congestion;

/* weft_congestion_init - not congested. Returns 0; WEFT_EINVAL: NULL, low >= high, or a negative time. */
WEFT_API int weft_congestion_init(weft_congestion *c, const weft_congestion_opts *o);

/* weft_congestion_see - the level is `level` at the time `now` (weft_now(), or another clock's; above 0). One caller at a time.
 *
 * Returns 1: congested from now on; -1: not any more: all who wait go on; 0: as before. Blocks: no.
 */
WEFT_API int weft_congestion_see(weft_congestion *c, int64_t level, int64_t now);

/* weft_congested - is it congested now? Threads: any. */
WEFT_API bool weft_congested(weft_congestion *c);

/* weft_congestion_wait - wait until it is not congested. Returns 0; WEFT_EAGAIN (deadline WEFT_NOW), WEFT_ETIMEDOUT, WEFT_ECANCELED.
 * Blocks: yes (event). Threads: any. */
WEFT_API int weft_congestion_wait(weft_congestion *c);
WEFT_API int weft_congestion_wait_until(weft_congestion *c, int64_t deadline);

WEFT_END_DECLS

#endif
