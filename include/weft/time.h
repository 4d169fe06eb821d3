/* SPDX-License-Identifier: MIT
 *
 * weft/time.h - monotonic time, timers and tickers.
 *
 * Times are int64_t nanoseconds. A deadline is absolute, on the clock of weft_now(). Go 1.23's rules hold: after stop or reset
 * has returned, no tick of the earlier setting is delivered; a ticker drops ticks that nobody took, it never queues them.
 */
#ifndef WEFT_TIME_H
#define WEFT_TIME_H

#include "export.h"
#include <stdint.h>

WEFT_BEGIN_DECLS

#define WEFT_NS INT64_C(1)
#define WEFT_US (1000 * WEFT_NS)
#define WEFT_MS (1000 * WEFT_US)
#define WEFT_SEC (1000 * WEFT_MS)

#define WEFT_NOW INT64_C(0)    /* deadline: never wait; the call returns WEFT_EAGAIN instead */
#define WEFT_FOREVER INT64_MAX /* deadline: none */

typedef struct weft_chan weft_chan;
typedef struct weft_timer weft_timer;

/* weft_now - monotonic time in nanoseconds, greater than 0. Threads: any. */
WEFT_API int64_t weft_now(void);

/* weft_in - the deadline `ns` nanoseconds from now; saturates instead of overflowing; ns <= 0: now. Threads: any. */
WEFT_API int64_t weft_in(int64_t ns);

/* weft_timer_after - start a task fn(arg) once, `ns` nanoseconds from now.
 *
 * Returns the timer, or NULL: memory is short, no runtime is up, there are as many tasks as there may be, or fn is NULL. The caller owns it: weft_timer_free ends the timer (see there).
 * The task starts detached, without the caller's context.
 * Blocks: no. Threads: any, while a runtime is up.
 */
WEFT_API weft_timer *weft_timer_after(int64_t ns, void (*fn)(void *), void *arg);

/* weft_timer_make - a timer that puts one int64_t (the time it fired) into its channel, `ns` nanoseconds from now.
 *
 * Returns the timer, or NULL when memory is short or no runtime is up. The channel, weft_timer_chan, lives as long as the timer.
 * Blocks: no. Threads: any, while a runtime is up.
 */
WEFT_API weft_timer *weft_timer_make(int64_t ns);

/* weft_ticker_make - the same every `ns` nanoseconds, ns > 0. Ticks nobody took are dropped.
 *
 * Returns the timer, or NULL when memory is short, no runtime is up, or ns <= 0.
 */
WEFT_API weft_timer *weft_ticker_make(int64_t ns);

/* weft_timer_chan - the timer's channel (elements int64_t, capacity 1), borrowed; NULL for weft_timer_after's timers, and for NULL. */
WEFT_API weft_chan *weft_timer_chan(weft_timer *t);

/* weft_timer_stop - prevent the timer from firing.
 *
 * Returns 1 if this call prevented it (a tick not yet received counts as not fired, and is taken back), else 0.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_timer_stop(weft_timer *t);

/* weft_timer_reset - make it fire `ns` nanoseconds from now instead (a ticker: every ns from now on).
 *
 * Returns 1 if it was active, else 0; WEFT_EINVAL for a ticker with ns <= 0; WEFT_ESRCH: no runtime is up; of weft_timer_after's also WEFT_ENOMEM, WEFT_EAGAIN as weft_go, and then it is stopped. No tick of the earlier setting comes after the return.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_timer_reset(weft_timer *t, int64_t ns);

/* weft_timer_free - stop it and drop it; NULL is allowed. */
WEFT_API void weft_timer_free(weft_timer *t);

WEFT_END_DECLS

#endif
