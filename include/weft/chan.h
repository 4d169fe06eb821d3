/* SPDX-License-Identifier: MIT
 *
 * weft/chan.h - channels and select.
 *
 * A channel carries elements of a fixed size, by copy, in the order they were sent; waiters are served in the order they came.
 * Pointers inside an element belong to the receiver after a successful send, and still to the sender after any error.
 */
#ifndef WEFT_CHAN_H
#define WEFT_CHAN_H

#include "error.h"
#include "export.h"
#include "time.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

/* weft_chan_make - a channel.
 *
 *   elem  bytes of an element, 0 (signals only) to 65,535
 *   cap   elements it holds, exactly; 0: a send returns only after a receiver has the element
 *
 * Returns it with one reference, or NULL: memory is short, or elem * cap is out of range.
 * Blocks: no. Threads: any; needs no runtime.
 */
WEFT_API weft_chan *weft_chan_make(size_t elem, size_t cap);

/* weft_chan_ref, weft_chan_free - one reference more or less; the last one frees it, elements left in it included. Freeing a channel that
 * tasks still wait on is a fatal error; a call borrows its channels until it returns, a select all of its cases'. NULL is allowed in free. Threads: any. */
WEFT_API weft_chan *weft_chan_ref(weft_chan *c);
WEFT_API void weft_chan_free(weft_chan *c);

/* weft_chan_send - send one element, waiting for room or a receiver.
 *
 *   c     open channel; borrowed for the call; NULL: waits for ever (until deadline or cancel)
 *   elem  the channel's element size in bytes; copied before return, never kept
 *
 * Returns 0; or WEFT_ECLOSED, WEFT_ETIMEDOUT, WEFT_ECANCELED. On any error nothing was sent.
 * Blocks: yes (chan send). Threads: any. Order: the send happens before the matching receive returns.
 */
WEFT_API int weft_chan_send(weft_chan *c, const void *elem);
WEFT_API int weft_chan_send_until(weft_chan *c, const void *elem, int64_t deadline);

/* weft_chan_recv - receive one element, waiting for one.
 *
 *   c    channel; NULL: waits for ever (until deadline or cancel)
 *   out  room for one element; NULL: it is dropped
 *
 * Returns 0; WEFT_ECLOSED once the channel is closed and empty (then *out is zeroed); WEFT_ETIMEDOUT, WEFT_ECANCELED (*out untouched).
 * Blocks: yes (chan receive). Threads: any.
 */
WEFT_API int weft_chan_recv(weft_chan *c, void *out);
WEFT_API int weft_chan_recv_until(weft_chan *c, void *out, int64_t deadline);

/* weft_chan_trysend, weft_chan_tryrecv - the same without waiting: WEFT_EAGAIN where it would have to. One atomic look: never "empty" while an
 * element or a waiting sender was there. A NULL channel: WEFT_EAGAIN. A cancelled task gets WEFT_ECANCELED. */
WEFT_API int weft_chan_trysend(weft_chan *c, const void *elem);
WEFT_API int weft_chan_tryrecv(weft_chan *c, void *out);

/* weft_chan_close - no more sends. Receivers drain what is in it, then get WEFT_ECLOSED; parked and later senders get WEFT_ECLOSED, their elements
 * not sent.
 *
 * Returns 0; WEFT_ECLOSED if it was closed before; WEFT_EINVAL for NULL. Blocks: no. Threads: any.
 */
WEFT_API int weft_chan_close(weft_chan *c);

/* weft_chan_len, weft_chan_cap - elements in it now, and how many it holds; 0 and 0 for a rendezvous channel and for NULL. */
WEFT_API size_t weft_chan_len(weft_chan *c);
WEFT_API size_t weft_chan_cap(weft_chan *c);

enum weft_case_kind { WEFT_CASE_NONE, WEFT_CASE_SEND, WEFT_CASE_RECV, WEFT_CASE_AFTER, WEFT_CASE_DEFAULT };

typedef struct weft_case {
	enum weft_case_kind kind;
	int status;      /* out, on the case that fired: 0, or WEFT_ECLOSED */
	weft_chan *chan; /* SEND, RECV; NULL: never ready */
	void *elem;      /* SEND: read only, kept by the caller; RECV: room for one element, or NULL */
	int64_t ns;      /* AFTER: nanoseconds from the call of select */
} weft_case;

#define WEFT_CASE_OF(...) ((weft_case){__VA_ARGS__})
#define WEFT_SEND(c, ptr) WEFT_CASE_OF(.kind = WEFT_CASE_SEND, .chan = (c), .elem = (void *)(ptr))
#define WEFT_RECV(c, ptr) WEFT_CASE_OF(.kind = WEFT_CASE_RECV, .chan = (c), .elem = (ptr))
#define WEFT_AFTER(nsecs) WEFT_CASE_OF(.kind = WEFT_CASE_AFTER, .ns = (nsecs))
#define WEFT_OTHERWISE() WEFT_CASE_OF(.kind = WEFT_CASE_DEFAULT)

/* weft_chan_select - wait until one of the cases can go on, and do exactly that one.
 *
 *   cases  n of them, 0 to 65,535; the same channel may stand in several, in both directions; it never pairs with itself
 *   n      number of cases; none, or only NULL channels: waits for ever (until deadline or cancel)
 *
 * Which are ready is looked at in one instant, over all channels; among the ready one is taken uniformly at random. A closed channel is ready: the case's
 * status is WEFT_ECLOSED. With a DEFAULT case, or deadline WEFT_NOW, it never waits.
 *
 * Returns the index of the case that fired, its status set; WEFT_EAGAIN (deadline WEFT_NOW and no DEFAULT case), WEFT_ETIMEDOUT,
 * WEFT_ECANCELED: then no case happened; WEFT_ENOMEM (more than 32 cases and no memory); WEFT_EINVAL (bad kind, n out of range, two DEFAULT cases).
 * Blocks: yes (select). Threads: any.
 */
WEFT_API int weft_chan_select(weft_case *cases, int n);
WEFT_API int weft_chan_select_until(weft_case *cases, int n, int64_t deadline);

WEFT_END_DECLS

#endif
