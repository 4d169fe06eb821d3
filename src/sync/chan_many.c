/* SPDX-License-Identifier: MIT
 *
 * chan_many.c - several elements a call: one lock and one pass of wake-ups for all that go at once.
 *
 * The first element is sent, or received, as weft_chan_send and weft_chan_recv do it, waiting if need be; what else goes without waiting goes with it.
 */
#include "sync/chan.h"

#include "core/sched.h"

/* As many of n as go at once. *error: what ended it, or 0. Returns how many. */
static size_t some(weft_chan *c, enum chan_dir dir, char *elems, size_t n, int *error)
{
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	struct weft_task *task;
	struct ready_list ready;
	size_t done = 0;
	int rc = 0;

	ready_list_init(&ready);
	chan_take(c);
	for (; done < n; done++) {
		char *at = elems ? elems + done * c->elem : NULL;

		rc = dir == CHAN_TX ? chan_do_send(c, at, &task, false) : chan_do_recv(c, at, &task, false);
		if (rc)
			break;
		if (task)
			ready_list_add(&ready, task);
	}
	chan_drop(c);
	weft__ready_list(w, ready.first);
	*error = rc == CHAN_WAIT ? WEFT_EAGAIN : rc;
	return done;
}

/* Inlined: the public call stays on the stack, and in dumps. */
static ALWAYS_INLINE ssize_t many(weft_chan *c, enum chan_dir dir, char *elems, size_t n, int64_t deadline)
{
	struct chan_more *more = c ? c->more : NULL;
	size_t done = 0;
	int rc;

	if (!n)
		return 0;
	if (!c) {
		rc = dir == CHAN_TX ? weft_chan_send_until(c, elems, deadline) : weft_chan_recv_until(c, elems, deadline);
		NO_JUMP();
		return rc;
	}
	if (n > (size_t)PTRDIFF_MAX)
		return WEFT_EINVAL;
	rc = weft_ctx_check();
	if (rc)
		return rc;
	done = some(c, dir, elems, n, &rc);
	if (!done && rc == WEFT_EAGAIN && deadline != WEFT_NOW) {
		rc = dir == CHAN_TX ? weft_chan_send_until(c, elems, deadline) : weft_chan_recv_until(c, elems, deadline);
		if (rc)
			return rc;
		done = 1;
		if (n > 1)
			done += some(c, dir, elems ? elems + c->elem : NULL, n - 1, &rc);
	}
	if (dir == CHAN_TX)
		rc = chan_sent(c, more, done ? 0 : rc, "weft_chan_send_many");
	return done ? (ssize_t)done : rc;
}

ssize_t weft_chan_send_many_until(weft_chan *c, const void *elems, size_t n, int64_t deadline)
{
	return many(c, CHAN_TX, (char *)elems, n, deadline);
}

ssize_t weft_chan_send_many(weft_chan *c, const void *elems, size_t n)
{
	return weft_chan_send_many_until(c, elems, n, WEFT_FOREVER);
}

ssize_t weft_chan_recv_many_until(weft_chan *c, void *out, size_t n, int64_t deadline)
{
	return many(c, CHAN_RX, out, n, deadline);
}

ssize_t weft_chan_recv_many(weft_chan *c, void *out, size_t n)
{
	return weft_chan_recv_many_until(c, out, n, WEFT_FOREVER);
}
