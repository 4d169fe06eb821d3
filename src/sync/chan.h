/* SPDX-License-Identifier: MIT
 *
 * chan.h - the channel as chan.c and select.c see it.
 *
 * One lock a channel guards all of it.  Invariants, whenever the lock is free:
 *   - recvq not empty: the buffer is empty, and no live sender waits;
 *   - sendq not empty: the buffer is full (or cap is 0), and no live receiver waits;
 *   - closed: both queues hold no live waiter.
 * A waiter in a queue may be dead: claimed elsewhere (deadline, cancel, another case of its select) and not yet taken off. Whoever
 * pops it finds out by the claim that fails.
 */
#ifndef WEFT_SYNC_CHAN_H
#define WEFT_SYNC_CHAN_H

#include "base/list.h"
#include "base/lock.h"
#include "core/wait.h"
#include "weft/chan.h"
#include <string.h>

struct weft_chan {
	struct lock lock; /* RANK_CHAN; guards all below but refs */
	uint32_t cap;     /* elements the buffer holds; constant */
	uint32_t len;     /* elements in it */
	uint32_t head;    /* index of the oldest */
	uint16_t elem;    /* bytes of an element; constant */
	bool closed;
	ATOMIC(uint32_t) refs;
	struct list recvq; /* waiters with a slot to fill (NULL: element unwanted), oldest first */
	struct list sendq; /* waiters with a slot to take from, oldest first */
	CACHE_ALIGNED char buf[];
};

/* Copies an element. The sizes that channels of pointers and ints have become single moves. */
static inline void elem_copy(void *to, const void *from, size_t n)
{
	if (likely(n == 8))
		memcpy(to, from, 8);
	else if (n == 4)
		memcpy(to, from, 4);
	else if (n) /* elements of no size have no address */
		memcpy(to, from, n);
}

static inline char *chan_slot(struct weft_chan *c, uint32_t i)
{
	return c->buf + (size_t)i * c->elem;
}

/* Locks c. Returns whether that is elided (base/solo.h): then all until chan_unlock is one section, and claims in it are plain. */
static ALWAYS_INLINE bool chan_lock(struct weft_chan *c)
{
	if (solo_elides())
		return true;
	lock_take(&c->lock, RANK_CHAN);
	return false;
}

static ALWAYS_INLINE void chan_unlock(struct weft_chan *c, bool solo)
{
	if (solo)
		solo_elided();
	else
		lock_drop(&c->lock);
}

/* The oldest waiter of q that is still alive, claimed with `status` and off the queue; NULL: none. Channel locked. */
static ALWAYS_INLINE struct waiter *chan_claim(struct list *q, int status, bool solo)
{
	struct list_node *n;

	while ((n = q->head.next) != &q->head) {
		struct waiter *w = container_of(n, struct waiter, link);

		list_remove(n);
		if (likely(waiter_claim(w, status, solo)))
			return w;
	}
	return NULL;
}

static inline void chan_buf_put(struct weft_chan *c, const void *elem)
{
	uint32_t at = c->head + c->len;

	if (at >= c->cap)
		at -= c->cap;
	elem_copy(chan_slot(c, at), elem, c->elem);
	c->len++;
}

static inline void chan_buf_get(struct weft_chan *c, void *out)
{
	if (out)
		elem_copy(out, chan_slot(c, c->head), c->elem);
	if (++c->head == c->cap)
		c->head = 0;
	c->len--;
}

#define CHAN_WAIT 1 /* neither 0 nor an error: the operation would have to wait */

/* One attempt, channel locked: 0 done, WEFT_ECLOSED, or CHAN_WAIT. *ready receives a task to be made runnable after unlocking, or NULL. */
static ALWAYS_INLINE int chan_do_send(struct weft_chan *c, const void *elem, struct weft_task **ready, bool solo)
{
	struct waiter *w;

	*ready = NULL;
	if (unlikely(c->closed))
		return WEFT_ECLOSED;
	if ((w = chan_claim(&c->recvq, 0, solo)) != NULL) {
		if (w->slot)
			elem_copy(w->slot, elem, c->elem);
		*ready = w->task;
		return 0;
	}
	if (c->len < c->cap) {
		chan_buf_put(c, elem);
		return 0;
	}
	return CHAN_WAIT;
}

static ALWAYS_INLINE int chan_do_recv(struct weft_chan *c, void *out, struct weft_task **ready, bool solo)
{
	struct waiter *w;

	*ready = NULL;
	if (c->len) {
		chan_buf_get(c, out);
		if ((w = chan_claim(&c->sendq, 0, solo)) != NULL) { /* its element takes the room at the tail */
			chan_buf_put(c, w->slot);
			*ready = w->task;
		}
		return 0;
	}
	if ((w = chan_claim(&c->sendq, 0, solo)) != NULL) {
		if (out)
			elem_copy(out, w->slot, c->elem);
		*ready = w->task;
		return 0;
	}
	if (unlikely(c->closed)) {
		if (out)
			memset(out, 0, c->elem);
		return WEFT_ECLOSED;
	}
	return CHAN_WAIT;
}

#endif
