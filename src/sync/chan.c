/* SPDX-License-Identifier: MIT
 *
 * chan.c - channels: make, send, receive, close.
 *
 * Both directions are one shape: lock, try (chan.h), and if it would wait: enlist with the channel, unlock, park.  An element goes straight from a
 * sender's frame into a parked receiver's, and from a parked sender's into the buffer slot that a receiver just emptied, so that order is kept.
 * Woken by deadline or cancel, a waiter takes itself off the queue: nothing was sent or taken.
 */
#include "sync/chan.h"

#include "base/check.h"
#include "core/sched.h"
#include <stdlib.h>

weft_chan *weft_chan_make(size_t elem, size_t cap)
{
	struct weft_chan *c;
	size_t bytes;

	if (elem > UINT16_MAX || cap > UINT32_MAX / 2 || __builtin_mul_overflow(elem, cap, &bytes) ||
	    bytes > PTRDIFF_MAX - sizeof *c - CACHELINE)
		return NULL;
	c = aligned_alloc(CACHELINE, ROUND_UP(sizeof *c + bytes, CACHELINE));
	if (!c)
		return NULL;
	memset(c, 0, sizeof *c);
	c->cap = (uint32_t)cap;
	c->elem = (uint16_t)elem;
	list_init(&c->sendq);
	list_init(&c->recvq);
	store_relaxed(&c->refs, 1u); /* not shared yet */
	return c;
}

weft_chan *weft_chan_ref(weft_chan *c)
{
	add_relaxed(&c->refs, 1u); /* the caller's own reference keeps it */
	return c;
}

/* A waiter that is still alive means that somebody is about to use freed memory. */
static void check_unused(struct list *q, const char *what)
{
	for (struct list_node *n = list_first(q); n; n = list_after(q, n)) {
		struct waiter *w = container_of(n, struct waiter, link);

		if (load_acquire(&w->task->wait) == w->word) /* pairs with the claim */
			weft__fatal("a channel was freed while task %llu waits to %s on it", (unsigned long long)w->task->id, what);
	}
}

void weft_chan_free(weft_chan *c)
{
	if (!c || add_acq_rel(&c->refs, (uint32_t)-1) != 1) /* acquire and release: the last one sees all */
		return;
	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&c->lock, RANK_CHAN);
	check_unused(&c->sendq, "send");
	check_unused(&c->recvq, "receive");
	lock_drop_solo(&c->lock);
	free(c);
}

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
static ALWAYS_INLINE int chan_wait(weft_chan *c, struct list *q, enum task_reason reason, void *elem, int64_t deadline, struct worker *wk,
				   struct weft_task *t, bool solo)
{
	struct waiter w;
	uint64_t word = wait_begin(t, &w, 1, reason, deadline);
	int rc;

	waiter_init(&w, t, word, &c->lock, RANK_CHAN, c, elem);
	list_append(q, &w.link);
	chan_unlock(c, solo);
	rc = wait_park(wk, t, &w, 1, word, deadline);
	return likely(rc == 0) ? w.status : rc; /* closed: whoever closed it has zeroed a receiver's element */
}

/* Functions of their own, so that what need not wait saves no registers; reached by a jump, so theirs are the names in backtraces. */
NOINLINE static int chan_send_wait(weft_chan *c, const void *elem, int64_t deadline, struct worker *wk, struct weft_task *t, bool solo)
{
	return chan_wait(c, &c->sendq, REASON_CHAN_SEND, (void *)elem, deadline, wk, t, solo);
}

NOINLINE static int chan_recv_wait(weft_chan *c, void *out, int64_t deadline, struct worker *wk, struct weft_task *t, bool solo)
{
	return chan_wait(c, &c->recvq, REASON_CHAN_RECV, out, deadline, wk, t, solo);
}

static ALWAYS_INLINE int chan_send(weft_chan *c, const void *elem, int64_t deadline)
{
	struct self me;
	struct weft_task *ready;
	bool solo;
	int rc = self_enter(&me, &deadline);

	if (unlikely(rc))
		return rc;
	if (unlikely(!c))
		return wait_on_nothing(me.worker, me.task, REASON_CHAN_SEND, deadline);
	solo = chan_lock(c);
	rc = chan_do_send(c, elem, &ready, solo);
	if (rc <= 0) {
		chan_unlock(c, solo);
		if (ready)
			weft__ready(me.worker, ready);
		return rc;
	}
	if (deadline == WEFT_NOW) {
		chan_unlock(c, solo);
		return WEFT_EAGAIN;
	}
	return chan_send_wait(c, elem, deadline, me.worker, me.task, solo);
}

static ALWAYS_INLINE int chan_recv(weft_chan *c, void *out, int64_t deadline)
{
	struct self me;
	struct weft_task *ready;
	bool solo;
	int rc = self_enter(&me, &deadline);

	if (unlikely(rc))
		return rc;
	if (unlikely(!c))
		return wait_on_nothing(me.worker, me.task, REASON_CHAN_RECV, deadline);
	solo = chan_lock(c);
	rc = chan_do_recv(c, out, &ready, solo);
	if (rc <= 0) {
		chan_unlock(c, solo);
		if (ready)
			weft__ready(me.worker, ready);
		return rc;
	}
	if (deadline == WEFT_NOW) {
		chan_unlock(c, solo);
		return WEFT_EAGAIN;
	}
	return chan_recv_wait(c, out, deadline, me.worker, me.task, solo);
}

int weft_chan_send(weft_chan *c, const void *elem)
{
	return chan_send(c, elem, WEFT_FOREVER);
}

int weft_chan_send_until(weft_chan *c, const void *elem, int64_t deadline)
{
	return chan_send(c, elem, deadline);
}

int weft_chan_recv(weft_chan *c, void *out)
{
	return chan_recv(c, out, WEFT_FOREVER);
}

int weft_chan_recv_until(weft_chan *c, void *out, int64_t deadline)
{
	return chan_recv(c, out, deadline);
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
	bool solo;
	int rc;

	solo = chan_lock(c);
	rc = chan_do_send(c, elem, &ready, solo);
	chan_unlock(c, solo);
	if (ready)
		weft__ready(w, ready);
	return rc == CHAN_WAIT ? WEFT_EAGAIN : rc;
}

static inline int tryrecv(struct worker *w, weft_chan *c, void *out)
{
	struct weft_task *ready;
	bool solo;
	int rc;

	solo = chan_lock(c);
	rc = chan_do_recv(c, out, &ready, solo);
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

int weft_chan_close(weft_chan *c)
{
	struct inject_node *first = NULL, **last = &first;
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */
	struct waiter *w;

	if (!c)
		return WEFT_EINVAL;
	lock_take_solo(&c->lock, RANK_CHAN);
	if (c->closed) {
		lock_drop_solo(&c->lock);
		return WEFT_ECLOSED;
	}
	c->closed = true;
	for (;;) {
		if ((w = chan_claim(&c->recvq, WEFT_ECLOSED, false)) != NULL) {
			if (w->slot)
				memset(w->slot, 0, c->elem); /* here, for the channel may be gone when the receiver runs */
		} else if ((w = chan_claim(&c->sendq, WEFT_ECLOSED, false)) == NULL) {
			break;
		}
		w->task->next.next = NULL;
		*last = &w->task->next;
		last = &w->task->next.next;
	}
	lock_drop_solo(&c->lock);
	weft__ready_list(wk, first);
	return 0;
}

size_t weft_chan_len(weft_chan *c)
{
	size_t n;

	if (!c)
		return 0;
	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&c->lock, RANK_CHAN);
	n = c->len;
	lock_drop_solo(&c->lock);
	return n;
}

size_t weft_chan_cap(weft_chan *c)
{
	return c ? c->cap : 0;
}
