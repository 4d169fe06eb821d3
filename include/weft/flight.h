/* SPDX-License-Identifier: MIT
 *
 * weft/flight.h - one run for all who ask for the same at the same time.
 *
 *     rc = weft_flight_do(fl, url, fetch, &request, &page);       a hundred tasks: one fetch
 */
#ifndef WEFT_FLIGHT_H
#define WEFT_FLIGHT_H

#include "error.h"
#include "export.h"
#include "future.h"
#include <stddef.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef struct weft_flight weft_flight;

/* weft_flight_make - what is under way, by key.
 *
 *   elem  bytes of a result, 0 to 65,535
 *
 * Returns it with one reference, or NULL: memory is short, or elem is out of range. Blocks: no. Threads: any; needs no runtime.
 */
WEFT_API weft_flight *weft_flight_make(size_t elem);

/* weft_flight_ref, weft_flight_free - one reference more or less; a call borrows it until it returns. NULL is allowed in free. Threads: any. */
WEFT_API weft_flight *weft_flight_ref(weft_flight *fl);
WEFT_API void weft_flight_free(weft_flight *fl);

/* weft_flight_do - run fn(arg, out) for this key, or, while another runs it, wait for what comes of that.
 *
 *   key  a string, copied
 *   fn   as of weft_go_future; runs on the caller's stack, under its context: if that is cancelled all who wait get what fn makes of it
 *   out  room for a result, which is copied to all who ask: a pointer in it is everybody's; NULL: not wanted. Untouched if it fails
 *
 * deadline: of the waiting for another; the caller's own run has none.
 * Returns what fn has returned (a positive number: WEFT_EINVAL); WEFT_EBROKEN: the task that ran it ended in the middle; WEFT_EAGAIN (deadline WEFT_NOW),
 * WEFT_ETIMEDOUT, WEFT_ECANCELED: the caller's own, or that of the task which ran it: of another's, the deadline has not passed and weft_ctx_check returns 0: ask again, or let fn
 * run in WEFT_WITH_SHIELD; WEFT_EDEADLK: the caller itself is running it; WEFT_ENOMEM; WEFT_EINVAL for NULL.
 * Blocks: yes (future), and as fn does. Threads: any. Order: what fn has done is seen by all who get its result.
 */
WEFT_API int weft_flight_do(weft_flight *fl, const char *key, weft_future_fn *fn, void *arg, void *out);
WEFT_API int weft_flight_do_until(weft_flight *fl, const char *key, weft_future_fn *fn, void *arg, void *out, int64_t deadline);

/* A run that is left behind when the runtime goes down never ends: weft_flight_forget frees its key. */

/* weft_flight_forget - who asks from now on does not wait for the run that is under way, but runs anew. Returns 0; WEFT_ENOENT: none is; WEFT_EINVAL for NULL.
 * Blocks: no. Threads: any. */
WEFT_API int weft_flight_forget(weft_flight *fl, const char *key);

WEFT_END_DECLS

#endif
