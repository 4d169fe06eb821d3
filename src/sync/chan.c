/* SPDX-License-Identifier: MIT
 *
 * chan.c - channels: send, receive, close.
 *
 * Both directions are one shape: lock, try (chan.h), and if it would wait: enlist with the channel, unlock, park.  An element goes straight from a
 * sender's frame into a parked receiver's, and from a parked sender's into the buffer slot that a receiver just emptied, so that order is kept.
 * Woken by deadline or cancel, a waiter takes itself off the queue: nothing was sent or taken.
 */
#include "sync/chan.h"

#include "base/check.h"
#include "core/sched.h"

/* A NULL channel: nothing ever happens on it. */
NOINLINE static int wait_on_nothing(struct worker *wk, struct weft_task *t, enum task_reason reason, int64_t deadline)
{
	uint64_t word;

	if (deadline == WEFT_NOW)
		return WEFT_EAGAIN;
	word = wait_begin(t, NULL, 0, reason, deadline);
	return weft__wait_park(wk, t, NULL, 0, word, deadline);
}

/* Second halves of chan_send and chan_recv: enlists, unlocks (solo: what chan_lock said) and parks. */
static ALWAYS_INLINE int chan_wait(weft_chan *c, enum chan_dir dir, void *elem, int64_t deadline, struct worker *wk, struct weft_task *t,
				   bool solo)
{
	enum task_reason reason = dir == CHAN_TX ? REASON_CHAN_SEND : REASON_CHAN_RECV;
	struct waiter w;
	uint64_t word = wait_begin(t, &w, 1, reason, deadline);
	int rc;

	waiter_init(&w, t, word, &c->lock, RANK_CHAN, c, elem);
	list_append(dir == CHAN_TX ? &c->sendq : &c->recvq, &w.link);
	CHAN_COUNT(c->waits[dir]++);
	if (unlikely(c->ring != NULL))
		weft__chan_waits(c);
	chan_unlock(c, solo);
	rc = wait_park(wk, t, &w, 1, word, deadline);
	return likely(rc == 0) ? w.status : rc; /* closed: whoever closed it has zeroed a receiver's element */
}

/* What public calls jump to, so that what need not wait saves no registers: these are on the stack in their place. */
static int chan_send_wait(weft_chan *c, const void *elem, int64_t deadline, struct worker *wk, struct weft_task *t, bool solo)
	PART_OF(weft_chan_send, wait);
static int chan_recv_wait(weft_chan *c, void *out, int64_t deadline, struct worker *wk, struct weft_task *t, bool solo)
	PART_OF(weft_chan_recv, wait);

NOINLINE static int chan_send_wait(weft_chan *c, const void *elem, int64_t deadline, struct worker *wk, struct weft_task *t, bool solo)
{
	bool strict = c->more && c->more->strict;
	int rc = chan_wait(c, CHAN_TX, (void *)elem, deadline, wk, t, solo);

	if (unlikely(strict) && (rc == WEFT_ECLOSED || rc == WEFT_EPIPE))
		weft__fatal("weft_chan_send: the channel was closed, and is strict");
	return rc;
}

NOINLINE static int chan_recv_wait(weft_chan *c, void *out, int64_t deadline, struct worker *wk, struct weft_task *t, bool solo)
{
	return chan_wait(c, CHAN_RX, out, deadline, wk, t, solo);
}

/* From the lock on. */
static ALWAYS_INLINE int chan_send(weft_chan *c, const void *elem, int64_t deadline, struct worker *wk, struct weft_task *t, bool solo)
{
	struct weft_task *ready;
	int rc = chan_do_send(c, elem, &ready, solo);

	if (rc <= 0) {
		struct chan_more *more = c->more;

		chan_calm(c, CHAN_TX);
		chan_unlock(c, solo);
		if (ready)
			weft__ready(wk, ready);
		return chan_sent(c, more, rc, "weft_chan_send");
	}
	if (deadline == WEFT_NOW) {
		chan_unlock(c, solo);
		return WEFT_EAGAIN;
	}
	return chan_send_wait(c, elem, deadline, wk, t, solo);
}

static ALWAYS_INLINE int chan_recv(weft_chan *c, void *out, int64_t deadline, struct worker *wk, struct weft_task *t, bool solo)
{
	struct weft_task *ready;
	int rc = chan_do_recv(c, out, &ready, solo);

	if (rc <= 0) {
		chan_calm(c, CHAN_RX);
		chan_unlock(c, solo);
		if (ready)
			weft__ready(wk, ready);
		return rc;
	}
	if (deadline == WEFT_NOW) {
		chan_unlock(c, solo);
		return WEFT_EAGAIN;
	}
	return chan_recv_wait(c, out, deadline, wk, t, solo);
}

enum locked { LOCKED_NOT, LOCKED, LOCKED_SOLO };

static int chan_send_rest(weft_chan *c, const void *elem, int64_t deadline, struct worker *wk, struct weft_task *t, enum locked locked)
	PART_OF(weft_chan_send, rest);
static int chan_recv_rest(weft_chan *c, void *out, int64_t deadline, struct worker *wk, struct weft_task *t, enum locked locked)
	PART_OF(weft_chan_recv, rest);

/* All that is not the common case below: one function, so that tasks that wait have the same stack, however they came to wait. wk, t: the caller, unless LOCKED_NOT. */
NOINLINE static int chan_send_rest(weft_chan *c, const void *elem, int64_t deadline, struct worker *wk, struct weft_task *t,
				   enum locked locked)
{
	bool solo = locked == LOCKED_SOLO;

	if (locked == LOCKED_NOT) {
		struct self me;
		int rc = self_enter(&me, &deadline);

		if (unlikely(rc))
			return rc;
		if (unlikely(!c)) {
			rc = wait_on_nothing(me.worker, me.task, REASON_CHAN_SEND, deadline);
			NO_JUMP();
			return rc;
		}
		if (chan_is_apart(c)) {
			enum chan_apart how = chan_apart_send(me.worker, c, elem);

			if (how == CHAN_DONE || (how == CHAN_NOT_NOW && deadline == WEFT_NOW))
				return how == CHAN_DONE ? 0 : WEFT_EAGAIN;
		}
		wk = me.worker;
		t = me.task;
		solo = chan_lock(c);
	} else {
		chan_together(c);
	}
	return chan_send(c, elem, deadline, wk, t, solo);
}

NOINLINE static int chan_recv_rest(weft_chan *c, void *out, int64_t deadline, struct worker *wk, struct weft_task *t, enum locked locked)
{
	bool solo = locked == LOCKED_SOLO;

	if (locked == LOCKED_NOT) {
		struct self me;
		int rc = self_enter(&me, &deadline);

		if (unlikely(rc))
			return rc;
		if (unlikely(!c)) {
			rc = wait_on_nothing(me.worker, me.task, REASON_CHAN_RECV, deadline);
			NO_JUMP();
			return rc;
		}
		if (chan_is_apart(c)) {
			enum chan_apart how = chan_apart_recv(me.worker, c, out);

			if (how == CHAN_DONE || (how == CHAN_NOT_NOW && deadline == WEFT_NOW))
				return how == CHAN_DONE ? 0 : WEFT_EAGAIN;
		}
		wk = me.worker;
		t = me.task;
		solo = chan_lock(c);
	} else {
		chan_together(c);
	}
	return chan_recv(c, out, deadline, wk, t, solo);
}

int weft_chan_send_until(weft_chan *c, const void *elem, int64_t deadline)
{
	return chan_send_rest(c, elem, deadline, NULL, NULL, LOCKED_NOT);
}

int weft_chan_recv_until(weft_chan *c, void *out, int64_t deadline)
{
	return chan_recv_rest(c, out, deadline, NULL, NULL, LOCKED_NOT);
}

/* --- send and receive without a deadline: the common case, into or out of the buffer, needs no frame; all else is jumped to --- */

NOINLINE static int chan_send_apart(weft_chan *c, const void *elem, struct worker *w)
{
	return likely(chan_apart_send(w, c, elem) == CHAN_DONE) ? 0 : chan_send_rest(c, elem, WEFT_FOREVER, NULL, NULL, LOCKED_NOT);
}

NOINLINE static int chan_recv_apart(weft_chan *c, void *out, struct worker *w)
{
	return likely(chan_apart_recv(w, c, out) == CHAN_DONE) ? 0 : chan_recv_rest(c, out, WEFT_FOREVER, NULL, NULL, LOCKED_NOT);
}

NOINLINE static int chan_wake_locker(weft_chan *c)
{
	weft__lock_wake(&c->lock);
	return 0;
}

/* Whether the caller need not look at anything but the channel. */
static ALWAYS_INLINE bool chan_at_ease(struct worker *w, struct weft_task *t, weft_chan *c)
{
	return likely(w) && self_at_ease(w, t) && likely(c);
}

int weft_chan_send(weft_chan *c, const void *elem)
{
	struct worker *w = weft__worker_look();                         /* NULL: the general case asks again */
	struct weft_task *t = likely(w) ? load_relaxed(&w->cur) : NULL; /* own */

	if (!chan_at_ease(w, t, c))
		return chan_send_rest(c, elem, WEFT_FOREVER, NULL, NULL, LOCKED_NOT);
	if (chan_is_apart(c))
		return chan_send_apart(c, elem, w);
	if (unlikely(weft__san))
		return chan_send_rest(c, elem, WEFT_FOREVER, NULL, NULL, LOCKED_NOT);
	if (solo_elides()) {
		if (likely(chan_quick_put(c, elem))) {
			solo_elided();
			return 0;
		}
		return chan_send_rest(c, elem, WEFT_FOREVER, w, t, LOCKED_SOLO);
	}
	if (likely(lock_try_bare(&c->lock, RANK_CHAN))) {
		if (likely(chan_quick_put(c, elem)))
			return likely(lock_drop_bare(&c->lock)) ? 0 : chan_wake_locker(c);
		return chan_send_rest(c, elem, WEFT_FOREVER, w, t, LOCKED);
	}
	return chan_send_rest(c, elem, WEFT_FOREVER, NULL, NULL, LOCKED_NOT);
}

int weft_chan_recv(weft_chan *c, void *out)
{
	struct worker *w = weft__worker_look();                         /* as above */
	struct weft_task *t = likely(w) ? load_relaxed(&w->cur) : NULL; /* own */

	if (!chan_at_ease(w, t, c))
		return chan_recv_rest(c, out, WEFT_FOREVER, NULL, NULL, LOCKED_NOT);
	if (chan_is_apart(c))
		return chan_recv_apart(c, out, w);
	if (unlikely(weft__san))
		return chan_recv_rest(c, out, WEFT_FOREVER, NULL, NULL, LOCKED_NOT);
	if (solo_elides()) {
		if (likely(chan_quick_get(c, out))) {
			solo_elided();
			return 0;
		}
		return chan_recv_rest(c, out, WEFT_FOREVER, w, t, LOCKED_SOLO);
	}
	if (likely(lock_try_bare(&c->lock, RANK_CHAN))) {
		if (likely(chan_quick_get(c, out)))
			return likely(lock_drop_bare(&c->lock)) ? 0 : chan_wake_locker(c);
		return chan_recv_rest(c, out, WEFT_FOREVER, w, t, LOCKED);
	}
	return chan_recv_rest(c, out, WEFT_FOREVER, NULL, NULL, LOCKED_NOT);
}

/* For try forms: whether the caller has been cancelled. */
static inline int try_enter(struct worker **w)
{
	struct weft_task *t;

	*w = weft__worker();
	if (!*w)
		return 0;
	t = load_relaxed(&(*w)->cur); /* own */
	if (!t || likely(load_relaxed(&t->cancel) == 0 && t->limit == WEFT_FOREVER))
		return 0;
	return weft_ctx_check();
}

static inline int trysend(struct worker *w, weft_chan *c, const void *elem)
{
	struct weft_task *ready;
	struct chan_more *more;
	bool solo;
	int rc;

	if (chan_is_apart(c)) {
		enum chan_apart how = chan_apart_send(w, c, elem);

		if (how != CHAN_TOGETHER)
			return how == CHAN_DONE ? 0 : WEFT_EAGAIN;
	}
	solo = chan_lock(c);
	more = c->more;
	rc = chan_do_send(c, elem, &ready, solo);
	if (rc == 0)
		chan_calm(c, CHAN_TX);
	chan_unlock(c, solo);
	if (ready)
		weft__ready(w, ready);
	return rc == CHAN_WAIT ? WEFT_EAGAIN : chan_sent(c, more, rc, "weft_chan_trysend");
}

static inline int tryrecv(struct worker *w, weft_chan *c, void *out)
{
	struct weft_task *ready;
	bool solo;
	int rc;

	if (chan_is_apart(c)) {
		enum chan_apart how = chan_apart_recv(w, c, out);

		if (how != CHAN_TOGETHER)
			return how == CHAN_DONE ? 0 : WEFT_EAGAIN;
	}
	solo = chan_lock(c);
	rc = chan_do_recv(c, out, &ready, solo);
	if (rc == 0)
		chan_calm(c, CHAN_RX);
	chan_unlock(c, solo);
	if (ready)
		weft__ready(w, ready);
	return rc == CHAN_WAIT ? WEFT_EAGAIN : rc;
}

int weft_chan_trysend(weft_chan *c, const void *elem)
{
	struct worker *w;
	int rc = try_enter(&w);

	if (unlikely(rc))
		return rc;
	return likely(c) ? trysend(w, c, elem) : WEFT_EAGAIN;
}

int weft_chan_tryrecv(weft_chan *c, void *out)
{
	struct worker *w;
	int rc = try_enter(&w);

	if (unlikely(rc))
		return rc;
	return likely(c) ? tryrecv(w, c, out) : WEFT_EAGAIN;
}

int weft__chan_put(weft_chan *c, const void *elem)
{
	return trysend(weft__worker(), c, elem);
}

int weft__chan_take(weft_chan *c, void *out)
{
	return tryrecv(weft__worker(), c, out);
}

/* Ends it: `how` says for whom. Returns 0, or WEFT_ECLOSED: it is closed already. */
int weft__chan_finish(weft_chan *c, enum chan_closed how)
{
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */
	struct ready_list ready;
	struct waiter *w;

	ready_list_init(&ready);
	chan_take(c);
	if (c->closed) {
		chan_drop(c);
		return WEFT_ECLOSED;
	}
	c->closed = (uint8_t)how;
	while ((w = chan_claim(&c->sendq, chan_closed_code(c), false)) != NULL)
		ready_list_add(&ready, w->task);
	if (!(c->held & CHAN_HELD_HEAD)) /* else whoever holds the oldest sees to them, when it is released */
		weft__chan_drained(c, &ready);
	chan_drop(c);
	weft__ready_list(wk, ready.first);
	return 0;
}

int weft_chan_close(weft_chan *c)
{
	struct chan_more *more;
	int rc;

	if (!c)
		return WEFT_EINVAL;
	more = c->more;
	rc = weft__chan_finish(c, CHAN_CLOSED);
	return chan_sent(c, more, rc, "weft_chan_close");
}
