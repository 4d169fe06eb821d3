/* SPDX-License-Identifier: MIT
 *
 * weft/limiter.h - a rate limiter: a bucket of tokens that fills at a steady rate.
 */
#ifndef WEFT_LIMITER_H
#define WEFT_LIMITER_H

#include "error.h"
#include "export.h"
#include "time.h"
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef struct weft_limiter weft_limiter;

/* weft_limiter_make - a limiter, its bucket full.
 *
 *   rate   tokens that come every `per` nanoseconds, 1 or more: weft_limiter_make(100, WEFT_SEC, 10) is a hundred a second, ten at once
 *   burst  tokens the bucket holds, 1 or more; it fills in less than a hundred years
 *
 * Returns it with one reference, or NULL: memory is short, or a number is out of range. Blocks: no. Threads: any; needs no runtime.
 */
WEFT_API weft_limiter *weft_limiter_make(int64_t rate, int64_t per, int64_t burst);

/* weft_limiter_ref, weft_limiter_free - one reference more or less; a call borrows it until it returns. NULL is allowed in free. Threads: any. */
WEFT_API weft_limiter *weft_limiter_ref(weft_limiter *l);
WEFT_API void weft_limiter_free(weft_limiter *l);

/* weft_limiter_wait - take n tokens, waiting until they are there.
 *
 * Who comes first is served first: each gets the time of its turn when it comes. If that is later than the deadline the call returns at once, and has taken
 * nothing.
 *
 *   n  1 to burst
 *
 * Returns 0; WEFT_EAGAIN (deadline WEFT_NOW), WEFT_ETIMEDOUT; WEFT_ECANCELED: then its tokens are there again, unless others have come after it, whose turns
 * stay as they were told: then they are lost; WEFT_EINVAL: NULL, or n out of range.
 * Blocks: yes (sleep). Threads: any.
 */
WEFT_API int weft_limiter_wait(weft_limiter *l, int64_t n);
WEFT_API int weft_limiter_wait_until(weft_limiter *l, int64_t n, int64_t deadline);

/* weft_limiter_try - take n tokens if they are there: 0, or WEFT_EAGAIN. Else as weft_limiter_wait, without waiting. */
WEFT_API int weft_limiter_try(weft_limiter *l, int64_t n);

/* weft_limiter_reserve - take n tokens in any case.
 *
 * Returns the time from which on the caller may use them, absolute, not before now; WEFT_EINVAL as above. Blocks: no, and so it is no cancellation point.
 * Threads: any.
 */
WEFT_API int64_t weft_limiter_reserve(weft_limiter *l, int64_t n);

WEFT_END_DECLS

#endif
