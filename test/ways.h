/* SPDX-License-Identifier: MIT
 *
 * ways.h - one element into a channel, or out of it, by each of the calls there are; and such a call as a task.
 */
#ifndef WEFT_TEST_WAYS_H
#define WEFT_TEST_WAYS_H

#include "rt.h"

enum way { BY_CALL, BY_TRY, BY_SELECT, BY_POLL, BY_HOLD, BY_MANY };

/* elem: of that many bytes. Those that wait do so until the deadline. Returns 0 or an error; WEFT_EAGAIN of those that do not wait. */
static inline int move_by(enum way way, weft_chan *c, bool send, void *elem, size_t bytes, int64_t deadline)
{
	weft_case k[] = {send ? WEFT_SEND(c, elem) : WEFT_RECV(c, elem), WEFT_DEFAULT()};
	void *slot = &slot;
	ssize_t n;
	int rc;

	switch (way) {
	case BY_TRY:
		return send ? weft_chan_trysend(c, elem) : weft_chan_tryrecv(c, elem);
	case BY_SELECT:
		rc = weft_chan_select_until(k, 1, deadline);
		return rc ? rc : k[0].status;
	case BY_POLL:
		rc = weft_chan_select_until(k, 2, deadline);
		return rc == 1 ? WEFT_EAGAIN : rc ? rc : k[0].status;
	case BY_HOLD:
		rc = send ? weft_chan_reserve_until(c, &slot, deadline) : weft_chan_peek_until(c, &slot, deadline);
		if (rc) {
			T_EQ(slot, NULL);
			return rc;
		}
		memcpy(send ? slot : elem, send ? elem : slot, bytes);
		return send ? weft_chan_commit(c) : weft_chan_release(c);
	case BY_MANY:
		n = send ? weft_chan_send_many_until(c, elem, 1, deadline) : weft_chan_recv_many_until(c, elem, 1, deadline);
		return n == 1 ? 0 : (int)n;
	default:
		if (deadline == WEFT_FOREVER)
			return send ? weft_chan_send(c, elem) : weft_chan_recv(c, elem);
		return send ? weft_chan_send_until(c, elem, deadline) : weft_chan_recv_until(c, elem, deadline);
	}
}

/* One call of a task's, upon a channel of int64_t. */
enum what { SEND, RESERVE, SELECT_SEND, RECV, PEEK, SELECT_RECV };

struct call {
	weft_chan *c;
	enum what what;
	int64_t v;        /* to send, or received */
	int64_t deadline; /* 0: none */
	bool now;         /* a try */
};

static inline int call(void *arg)
{
	static const enum way ways[] = {BY_CALL, BY_HOLD, BY_SELECT};
	struct call *k = arg;

	return move_by(ways[k->what % 3], k->c, k->what < RECV, &k->v, sizeof k->v,
		       k->now        ? WEFT_NOW
		       : k->deadline ? k->deadline
				     : WEFT_FOREVER);
}

#endif
