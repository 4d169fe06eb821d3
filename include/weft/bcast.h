/* SPDX-License-Identifier: MIT
 *
 * weft/bcast.h - broadcast: every subscriber gets every element, as long as it keeps up.
 *
 * A broadcast keeps the last `cap` elements. Sending never waits: the oldest is overwritten, and whoever had not received it yet is told how many it has missed.
 */
#ifndef WEFT_BCAST_H
#define WEFT_BCAST_H

#include "chan.h"
#include "error.h"
#include "export.h"
#include <stddef.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef struct weft_bcast weft_bcast;

/* weft_bcast_make - a broadcast.
 *
 *   elem  bytes of an element, 0 (signals only) to 65,535
 *   cap   elements it keeps, exactly; at least 1
 *
 * Returns it with one reference, or NULL: memory is short, or elem or cap is out of range.
 * Blocks: no. Threads: any; needs no runtime.
 */
WEFT_API weft_bcast *weft_bcast_make(size_t elem, size_t cap);

/* weft_bcast_ref, weft_bcast_free - one reference more or less; a subscription has one, too. NULL is allowed in free. Threads: any. Who gives up the last but those of
 * subscriptions closes it first, or their receivers wait for ever. */
WEFT_API weft_bcast *weft_bcast_ref(weft_bcast *b);
WEFT_API void weft_bcast_free(weft_bcast *b);

/* weft_bcast_send - give one element to all subscriptions there are.
 *
 *   elem  the element size in bytes; copied before return
 *
 * Returns 0; WEFT_ECLOSED; WEFT_EINVAL for NULL. Blocks: no, and so it is no cancellation point. Threads: any. Order: the send happens before each
 * matching receive returns.
 */
WEFT_API int weft_bcast_send(weft_bcast *b, const void *elem);

/* weft_bcast_close - no more sends. Subscribers receive what is kept for them, then get WEFT_ECLOSED.
 *
 * Returns 0; WEFT_ECLOSED if it was closed before; WEFT_EINVAL for NULL. Blocks: no. Threads: any.
 */
WEFT_API int weft_bcast_close(weft_bcast *b);

/* weft_bcast_sub - subscribe: to all that is sent from now on.
 *
 * Returns the subscription, to be ended by weft_bsub_free; or NULL: memory is short, or b is NULL. Blocks: no. Threads: any.
 */
WEFT_API weft_bsub *weft_bcast_sub(weft_bcast *b);

/* weft_bsub_free - end a subscription. NULL is allowed. Ending one that somebody still receives from is a fatal error. Threads: any. */
WEFT_API void weft_bsub_free(weft_bsub *s);

/* weft_bsub_recv - receive the next element, waiting for one.
 *
 *   s    several tasks may receive from one subscription: then each element is had by one of them
 *   out  room for one element; NULL: it is dropped
 *
 * Returns 0; WEFT_ELAGGED: some were overwritten before they were received (weft_bsub_missed says how many, *out is untouched); the next receive goes on with
 * the oldest that is kept; WEFT_ECLOSED once it is closed and all is received (then *out is zeroed); WEFT_EINVAL for NULL; WEFT_EAGAIN (deadline
 * WEFT_NOW), WEFT_ETIMEDOUT, WEFT_ECANCELED: nothing was received.
 * Blocks: yes (broadcast). Threads: any.
 */
WEFT_API int weft_bsub_recv(weft_bsub *s, void *out);
WEFT_API int weft_bsub_recv_until(weft_bsub *s, void *out, int64_t deadline);

/* weft_bsub_missed - how many elements were missed, as WEFT_ELAGGED has told since this was last asked. Blocks: no. Threads: any. */
WEFT_API uint64_t weft_bsub_missed(weft_bsub *s);

/* WEFT_BSUB - a case of a select: receives the next element. s NULL: never ready. Status: 0, WEFT_ELAGGED, WEFT_ECLOSED, as weft_bsub_recv. */
#define WEFT_BSUB(s, ...) WEFT_CASE_OF(WEFT_CASE_SOURCE, 0, {.bsub = (s)}, {.elem = (__VA_ARGS__)}, {.source = &weft_source_bsub})
WEFT_API extern const weft_source weft_source_bsub;

WEFT_END_DECLS

#endif
