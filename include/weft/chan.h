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
#include <sys/types.h>

WEFT_BEGIN_DECLS

/* weft_chan_make - a channel.
 *
 *   elem  bytes of an element, 0 (signals only) to 65,535
 *   cap   elements it holds, exactly; 0: a send returns only after a receiver has the element; WEFT_CHAN_UNBOUNDED: as many as are sent
 *
 * Returns it with one reference, or NULL: memory is short, or elem * cap is out of range.
 * Blocks: no. Threads: any; needs no runtime.
 */
WEFT_API weft_chan *weft_chan_make(size_t elem, size_t cap);

#define WEFT_CHAN_UNBOUNDED SIZE_MAX

/* How many tasks send, and how many receive, at a time. A promise: it makes the channel faster, and changes nothing else. Who takes a role over from
 * another task must have synchronised with it, and who has given it up does not take it back. A debug build ends the program and names the task that breaks
 * the promise (select included): -Dbuildtype=debug, or -Ddebug_checks=true. */
enum weft_chan_mode {
	WEFT_CHAN_MPMC, /* any number of both */
	WEFT_CHAN_SPSC, /* one sends, one receives */
	WEFT_CHAN_MPSC, /* one receives */
	WEFT_CHAN_SPMC, /* one sends */
};

/* Zero is the default everywhere. */
typedef struct weft_chan_opts {
	size_t elem, cap; /* as in weft_chan_make */
	enum weft_chan_mode mode;
	const char *name;         /* copied, cut at 31 bytes; for reports */
	void (*dtor)(void *elem); /* called for each element that is left when the channel is freed */
	size_t max_bytes;         /* without a bound: sends that would have it hold more bytes of elements get WEFT_ENOBUFS. 0: no limit */
	size_t high; /* elements, at most cap: on_high is called when so many are reached, and again once there were half as many */
	void (*on_high)(weft_chan *c, size_t len, void *arg); /* by whoever sent, with no lock held: it may block */
	void *arg;                                            /* on_high's */
	int node;    /* 1 + the NUMA node whose memory it takes (not that of blocks without a bound); 0: wherever */
	bool strict; /* as in Go: to send upon it once it is closed, or to close it twice, is a fatal error */
} weft_chan_opts;

/* weft_chan_open - a channel with options.
 *
 * Returns 0 and the channel, with one reference, in *out; WEFT_ENOMEM; WEFT_EINVAL: out of range, an unknown mode or node, `high` without on_high or the
 * other way round or beyond cap, max_bytes with a bound or less than one element. On any error *out is NULL.
 * Blocks: no. Threads: any; needs no runtime.
 */
WEFT_API int weft_chan_open(weft_chan **out, const weft_chan_opts *o);

/* weft_chan_ref, weft_chan_free - one reference more or less; the last one frees it, elements left in it included. Freeing a channel that
 * tasks still wait on is a fatal error; a call borrows its channels until it returns, a select all of its cases'. NULL is allowed in free. Threads: any. */
WEFT_API weft_chan *weft_chan_ref(weft_chan *c);
WEFT_API void weft_chan_free(weft_chan *c);

/* weft_chan_send - send one element, waiting for room or a receiver.
 *
 *   c     open channel; borrowed for the call; NULL: waits for ever (until deadline or cancel)
 *   elem  the channel's element size in bytes; copied before return, never kept
 *
 * Returns 0; or WEFT_ECLOSED, WEFT_EPIPE (its last receiving end is gone), WEFT_ETIMEDOUT, WEFT_ECANCELED; upon a channel without a bound
 * WEFT_ENOMEM, WEFT_ENOBUFS (max_bytes). On any error nothing was sent.
 * Blocks: yes (chan send), but not upon a channel without a bound. Threads: any. Order: the send happens before the matching receive returns.
 */
WEFT_API int weft_chan_send(weft_chan *c, const void *elem);
WEFT_API int weft_chan_send_until(weft_chan *c, const void *elem, int64_t deadline);

/* weft_chan_recv - receive one element, waiting for one.
 *
 *   c    channel; NULL: waits for ever (until deadline or cancel)
 *   out  room for one element; NULL: it is dropped (not given to a dtor: it has been received)
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

/* weft_chan_elem - bytes of an element; 0 for NULL. weft_chan_name - its name, "" without one; lives as long as the channel. */
WEFT_API size_t weft_chan_elem(weft_chan *c);
WEFT_API const char *weft_chan_name(weft_chan *c);

/* --- several elements a call --- */

/* weft_chan_send_many, weft_chan_recv_many - send, or receive, at least one element, waiting for that, and with it as many of n as go without waiting.
 *
 *   elems  n elements, one behind the other; copied before return, never kept
 *   out    room for n elements; NULL: they are dropped
 *
 * Returns how many, 1 to n (0 when n is 0); or what weft_chan_send and weft_chan_recv return when there was none; WEFT_EINVAL: n is beyond PTRDIFF_MAX. A receive
 * that the end of the channel cuts short has zeroed the element behind the last it returns.
 * The elements are neighbours: nobody else's come between those of one call that did not wait.
 * Blocks: yes (chan send, chan receive). Threads: any.
 */
WEFT_API ssize_t weft_chan_send_many(weft_chan *c, const void *elems, size_t n);
WEFT_API ssize_t weft_chan_send_many_until(weft_chan *c, const void *elems, size_t n, int64_t deadline);
WEFT_API ssize_t weft_chan_recv_many(weft_chan *c, void *out, size_t n);
WEFT_API ssize_t weft_chan_recv_many_until(weft_chan *c, void *out, size_t n, int64_t deadline);

/* --- elements in place: no copy --- */

/* weft_chan_reserve - wait for room, and hold it: *slot is where the next element goes. Fill it, then weft_chan_commit sends it, or weft_chan_abort does not.
 * Until then whoever else sends waits; who receives goes on. Not for rendezvous channels.
 * Slots lie one behind the other, the first at a multiple of 64 bytes: they are aligned for elements of any type whose alignment is at most 64. (So with weft_chan_peek.)
 *
 * Returns 0; what weft_chan_send returns; WEFT_EINVAL: NULL, or a rendezvous channel. On any error nothing is held and *slot is NULL.
 * weft_chan_commit returns 0; WEFT_ECLOSED, WEFT_EPIPE: it was not sent, and nothing is held any more; WEFT_EINVAL for NULL. weft_chan_abort returns 0, or WEFT_EINVAL for NULL.
 * Commit and abort by any task or thread, once; without a reservation they are fatal errors.
 * Blocks: reserve, yes (chan send); commit and abort, no. Threads: any.
 */
WEFT_API int weft_chan_reserve(weft_chan *c, void **slot);
WEFT_API int weft_chan_reserve_until(weft_chan *c, void **slot, int64_t deadline);
WEFT_API int weft_chan_commit(weft_chan *c);
WEFT_API int weft_chan_abort(weft_chan *c);

/* weft_chan_peek - wait for an element, and hold it where it lies: *slot. weft_chan_release takes it out. Until then whoever else receives waits; who sends
 * goes on as long as there is room. Not for rendezvous channels.
 *
 * Returns 0; what weft_chan_recv returns; WEFT_EINVAL: NULL, or a rendezvous channel. On any error nothing is held and *slot is NULL.
 * weft_chan_release returns 0, or WEFT_EINVAL for NULL. By any task or thread, once; without a peek it is a fatal error.
 * Blocks: peek, yes (chan receive); release, no. Threads: any.
 */
WEFT_API int weft_chan_peek(weft_chan *c, void **slot);
WEFT_API int weft_chan_peek_until(weft_chan *c, void **slot, int64_t deadline);
WEFT_API int weft_chan_release(weft_chan *c);

/* --- what it has done --- */

typedef struct weft_chan_stat {
	uint64_t sent, received;         /* elements so far */
	uint64_t send_waits, recv_waits; /* calls that had to wait (of select: not counted); modulo 2^32 */
	size_t len, most;                /* elements in it: now, and at most so far. In other modes than MPMC, most is at least so many */
	size_t senders, receivers;       /* tasks that wait now */
	bool closed;
} weft_chan_stat;

/* weft_chan_stats - what it has done so far, in one instant. Returns 0; WEFT_EINVAL for NULL; WEFT_ENOSYS: weft was built without statistics
 * (-Dchan_stats=false), what is counted is 0, the rest is true. Threads: any. */
WEFT_API int weft_chan_stats(weft_chan *c, weft_chan_stat *out);

/* --- ends: a channel for one direction --- */

typedef struct weft_tx weft_tx; /* a sending end */
typedef struct weft_rx weft_rx; /* a receiving end */

/* weft_chan_tx, weft_chan_rx - an end of c more; it holds a reference of its own. NULL: NULL.
 *
 * weft_tx_free, weft_rx_free - one end less. The last sending end closes the channel. With the last receiving end the channel is broken: sends,
 * parked and later, get WEFT_EPIPE; elements left in it are given to its dtor when it is freed. NULL is allowed. _ref: one end more, of an end.
 * Blocks: no. Threads: any.
 */
WEFT_API weft_tx *weft_chan_tx(weft_chan *c);
WEFT_API weft_rx *weft_chan_rx(weft_chan *c);
WEFT_API weft_tx *weft_tx_ref(weft_tx *t);
WEFT_API weft_rx *weft_rx_ref(weft_rx *r);
WEFT_API void weft_tx_free(weft_tx *t);
WEFT_API void weft_rx_free(weft_rx *r);

/* weft_tx_chan, weft_rx_chan - the channel that an end is of, borrowed: for what can be asked of it (weft_chan_len, _cap, _elem, _name, _stats). It lives as long as
 * the end. NULL: NULL. */
static inline weft_chan *weft_tx_chan(weft_tx *t)
{
	return (weft_chan *)t;
}

static inline weft_chan *weft_rx_chan(weft_rx *r)
{
	return (weft_chan *)r;
}

/* As the calls of the same names upon channels. */
static inline int weft_tx_send(weft_tx *t, const void *elem)
{
	return weft_chan_send((weft_chan *)t, elem);
}

static inline int weft_tx_send_until(weft_tx *t, const void *elem, int64_t deadline)
{
	return weft_chan_send_until((weft_chan *)t, elem, deadline);
}

static inline int weft_tx_trysend(weft_tx *t, const void *elem)
{
	return weft_chan_trysend((weft_chan *)t, elem);
}

static inline ssize_t weft_tx_send_many(weft_tx *t, const void *elems, size_t n)
{
	return weft_chan_send_many((weft_chan *)t, elems, n);
}

static inline ssize_t weft_tx_send_many_until(weft_tx *t, const void *elems, size_t n, int64_t deadline)
{
	return weft_chan_send_many_until((weft_chan *)t, elems, n, deadline);
}

static inline int weft_tx_reserve(weft_tx *t, void **slot)
{
	return weft_chan_reserve((weft_chan *)t, slot);
}

static inline int weft_tx_reserve_until(weft_tx *t, void **slot, int64_t deadline)
{
	return weft_chan_reserve_until((weft_chan *)t, slot, deadline);
}

static inline int weft_tx_commit(weft_tx *t)
{
	return weft_chan_commit((weft_chan *)t);
}

static inline int weft_tx_abort(weft_tx *t)
{
	return weft_chan_abort((weft_chan *)t);
}

static inline int weft_rx_recv(weft_rx *r, void *out)
{
	return weft_chan_recv((weft_chan *)r, out);
}

static inline int weft_rx_recv_until(weft_rx *r, void *out, int64_t deadline)
{
	return weft_chan_recv_until((weft_chan *)r, out, deadline);
}

static inline int weft_rx_tryrecv(weft_rx *r, void *out)
{
	return weft_chan_tryrecv((weft_chan *)r, out);
}

static inline ssize_t weft_rx_recv_many(weft_rx *r, void *out, size_t n)
{
	return weft_chan_recv_many((weft_chan *)r, out, n);
}

static inline ssize_t weft_rx_recv_many_until(weft_rx *r, void *out, size_t n, int64_t deadline)
{
	return weft_chan_recv_many_until((weft_chan *)r, out, n, deadline);
}

static inline int weft_rx_peek(weft_rx *r, void **slot)
{
	return weft_chan_peek((weft_chan *)r, slot);
}

static inline int weft_rx_peek_until(weft_rx *r, void **slot, int64_t deadline)
{
	return weft_chan_peek_until((weft_chan *)r, slot, deadline);
}

static inline int weft_rx_release(weft_rx *r)
{
	return weft_chan_release((weft_chan *)r);
}

/* weft_oneshot_make - a channel for one element: weft_oneshot_send uses *tx up. weft_tx_free instead: the receiver gets WEFT_ECLOSED.
 *
 * Returns 0, WEFT_ENOMEM, WEFT_EINVAL (NULL, or elem out of range); on any error both are NULL. Receive with weft_rx_recv, or in a select.
 * Blocks: no. Threads: any; needs no runtime.
 */
WEFT_API int weft_oneshot_make(size_t elem, weft_tx **tx, weft_rx **rx);

/* weft_oneshot_send - send the element, and free the end. Returns 0, or WEFT_EPIPE: the receiver is gone; WEFT_EINVAL for NULL. It never waits, and
 * does so for a cancelled task, too. Blocks: no. Threads: any. */
WEFT_API int weft_oneshot_send(weft_tx *t, const void *elem);

/* --- select --- */

enum weft_case_kind { WEFT_CASE_NONE, WEFT_CASE_SEND, WEFT_CASE_RECV, WEFT_CASE_AFTER, WEFT_CASE_DEFAULT, WEFT_CASE_SOURCE };

typedef struct weft_task weft_task;
typedef struct weft_bsub weft_bsub;
typedef struct weft_watch weft_watch;
typedef struct weft_source weft_source; /* a kind of thing, other than a channel, that a select can wait for */

/* Made by macros, one a kind:
 *
 *     WEFT_SEND(c, &v)      CASE_SEND       an element into a channel        WEFT_TX_SEND(t, &v)    CASE_TX_SEND    the same, of an end
 *     WEFT_RECV(c, &v)      CASE_RECV       an element out of it             WEFT_RX_RECV(r, &v)    CASE_RX_RECV
 *     WEFT_AFTER(ns)        CASE_AFTER      so much later                    WEFT_DEFAULT()         CASE_DEFAULT    at once
 *     WEFT_TIMER(t, &at)    CASE_TIMER      a timer fires                    WEFT_EXIT(task, &ret)  CASE_EXIT       a task ends
 *     WEFT_FD(fd, dir)      CASE_FD         a descriptor is ready            WEFT_BSUB(s, &v)       CASE_BSUB       a broadcast (weft/bcast.h)
 *     WEFT_WATCH(w, &seen)  CASE_WATCH      a value changes (weft/watch.h)   WEFT_DONE(ctx, &why)   CASE_DONE       a context is cancelled
 *     WEFT_FUTURE(f, &v)    CASE_FUTURE     a future ends (weft/future.h)    WEFT_FUTURES(s, &e)    CASE_FUTURES    one of a set ends
 *     WEFT_PROMISE(p)       CASE_PROMISE    nobody wants its value           WEFT_MAIL(&m)          CASE_MAIL       a message (weft/actor.h)
 *
 * on the right of each its short name (weft/short.h). What is meant by a member depends on the case; those of a union are of one case each. */
typedef struct weft_case {
	enum weft_case_kind kind;
	int status; /* out: of the case that fired; 0, or what went wrong with what it waited for. Of another case it means nothing */
	union {
		weft_chan *chan; /* SEND, RECV; NULL: never ready */
		weft_task *task; /* SOURCE: what it waits for; NULL: never ready */
		weft_bsub *bsub;
		weft_watch *watch;
		void *on;
		int fd;
	};
	union {
		void *elem; /* SEND: read only, kept by the caller; RECV, SOURCE: room for one element, or NULL */
		int *ret;
		uint64_t *version;
		int events;
	};
	union {
		int64_t ns;                /* AFTER: nanoseconds from the call of select */
		const weft_source *source; /* SOURCE */
	};
} weft_case;

/* With all members, and as an extension, so that C++ compilers have nothing to remark. */
#define WEFT_CASE_OF(...) (__extension__(weft_case){__VA_ARGS__})

/* WEFT_SEND, WEFT_RECV - an element into a channel, or out of it. A closed channel is ready: the status is WEFT_ECLOSED.
 * WEFT_AFTER - so many nanoseconds after the call of select, if nothing else is ready before. WEFT_DEFAULT - if nothing else is ready now.
 * The last argument of each may be a compound literal with commas: WEFT_SEND(c, &(struct span){p, n}). */
#define WEFT_SEND(c, ...) WEFT_CASE_OF(WEFT_CASE_SEND, 0, {.chan = (c)}, {.elem = (void *)(__VA_ARGS__)}, {.ns = 0})
#define WEFT_RECV(c, ...) WEFT_CASE_OF(WEFT_CASE_RECV, 0, {.chan = (c)}, {.elem = (__VA_ARGS__)}, {.ns = 0})
#define WEFT_TX_SEND(t, ...) WEFT_SEND(weft_tx_chan(t), __VA_ARGS__)
#define WEFT_RX_RECV(r, ...) WEFT_RECV(weft_rx_chan(r), __VA_ARGS__)
#define WEFT_AFTER(nsecs) WEFT_CASE_OF(WEFT_CASE_AFTER, 0, {.chan = 0}, {.elem = 0}, {.ns = (nsecs)})
#define WEFT_DEFAULT() WEFT_CASE_OF(WEFT_CASE_DEFAULT, 0, {.chan = 0}, {.elem = 0}, {.ns = 0})

/* WEFT_TIMER - a timer or ticker fires (weft_timer_make, weft_ticker_make).
 *
 *   at  an int64_t, which receives when; or NULL
 */
#define WEFT_TIMER(t, ...) WEFT_RECV(weft_timer_chan(t), __VA_ARGS__)

/* WEFT_EXIT - a task ends: joins it.
 *
 *   t    a handle; it is given back if this case fires with status 0, and else stays the caller's. NULL: never ready
 *   ret  an int, which receives the task's result; or NULL
 *
 * Status: 0; WEFT_ECANCELED: the runtime went down before the task had ended. The select fails with WEFT_EINVAL: not a handle; WEFT_EDEADLK: the caller.
 */
#define WEFT_EXIT(t, ...) WEFT_CASE_OF(WEFT_CASE_SOURCE, 0, {.task = (t)}, {.ret = (__VA_ARGS__)}, {.source = &weft_source_exit})
WEFT_API extern const weft_source weft_source_exit;

/* WEFT_DONE - a context is cancelled, or its deadline has passed.
 *
 *   c    NULL: never ready
 *   why  an int, which receives the reason (weft_ctx_reason); or NULL
 *
 * Status: 0.
 */
#define WEFT_DONE(c, why) WEFT_CASE_OF(WEFT_CASE_SOURCE, 0, {.on = (c)}, {.ret = (why)}, {.source = &weft_source_ctx})

WEFT_API extern const weft_source weft_source_ctx;

/* WEFT_FD - a descriptor that weft did not open can be read, or written (weft_io_wait).
 *
 *   dir  WEFT_IO_R or WEFT_IO_W (weft/io.h); for both write two cases
 *
 * Status: 0: it can; WEFT_EBADF, WEFT_EPERM (a regular file), WEFT_ECLOSED (weft_io_forget), WEFT_ESRCH, or why else it cannot be waited for. The
 * select fails with WEFT_EINVAL: neither direction, or both.
 */
#define WEFT_FD(number, dir) WEFT_CASE_OF(WEFT_CASE_SOURCE, 0, {.fd = (number)}, {.events = (dir)}, {.source = &weft_source_fd})
WEFT_API extern const weft_source weft_source_fd;

/* weft_chan_select - wait until one of the cases can go on, and do exactly that one.
 *
 *   cases  n of them, 0 to 65,535; the same channel may stand in several, in both directions; it never pairs with itself
 *   n      number of cases; none, or only NULL channels: waits for ever (until deadline or cancel)
 *
 * Which are ready is looked at in one instant, over all channels, within which each task, descriptor and so on is looked at once; among the ready one is
 * taken uniformly at random. A closed channel is ready: the case's status is WEFT_ECLOSED, or WEFT_EPIPE; so is one without a bound, with WEFT_ENOMEM or
 * WEFT_ENOBUFS if it cannot take the element. With a DEFAULT case, or deadline WEFT_NOW, it never waits.
 *
 * Returns the index of the case that fired, its status set; WEFT_EAGAIN (deadline WEFT_NOW and no DEFAULT case), WEFT_ETIMEDOUT,
 * WEFT_ECANCELED: then no case happened; WEFT_ENOMEM (more than 32 cases, or a descriptor, and no memory); WEFT_EINVAL (bad kind, n out of range, two
 * DEFAULT cases), and what is said of the cases above.
 * Blocks: yes (select). Threads: any.
 */
WEFT_API int weft_chan_select(weft_case *cases, int n);
WEFT_API int weft_chan_select_until(weft_case *cases, int n, int64_t deadline);

#define WEFT_SELECT_ORDERED 1u /* of several that are ready, the first in the array */

/* weft_chan_select_with - the same, with flags: 0, or WEFT_SELECT_ORDERED. If it has to wait, the case that is ready first fires, wherever it stands.
 *
 * Returns as weft_chan_select; WEFT_EINVAL for another flag.
 */
WEFT_API int weft_chan_select_with(weft_case *cases, int n, unsigned flags, int64_t deadline);

WEFT_END_DECLS

#endif
