/* SPDX-License-Identifier: MIT
 *
 * chan_hold.c - elements in place, without a copy: reserve and commit at the tail, peek and release at the head.
 *
 * Who reserves holds the channel's tail: the slot behind the newest element.  Others who send wait meanwhile, as they would for room; who receives goes on.
 * Who peeks holds its head: others who receive wait, who sends goes on.  So order is kept, and one at a time is in each slot.
 *
 * To wait for it is to wait for room, or for an element: in the same queue, with CHAN_HOLD in the place of the slot.  Whoever would have taken the element
 * of such a sender sets CHAN_HELD_TAIL for it instead; whoever would have given one to such a receiver puts it into the buffer and sets CHAN_HELD_HEAD.
 * While something is held, nobody is taken off a queue by the other side; settle does what was left undone.
 */
#include "sync/chan.h"

#include "base/check.h"
#include "core/sched.h"

char weft__chan_hold[1];

void weft__chan_drained(struct weft_chan *c, struct ready_list *ready)
{
	struct waiter *w;

	while ((w = chan_claim(&c->recvq, WEFT_ECLOSED, false)) != NULL) {
		if (w->slot && w->slot != CHAN_HOLD)
			memset(w->slot, 0, c->elem); /* here, for the channel may be gone when the receiver runs */
		ready_list_add(ready, w->task);
	}
}

/* The channel is as nobody has left it: serves those who wait, as far as it goes. Locked. */
static void settle(struct weft_chan *c, struct ready_list *ready)
{
	struct waiter *w;

	for (;;) {
		if (c->len && !(c->held & CHAN_HELD_HEAD) && (w = chan_claim(&c->recvq, 0, false)) != NULL) {
			if (w->slot == CHAN_HOLD)
				chan_held(c, CHAN_HELD_HEAD, w->task);
			else
				chan_buf_get(c, w->slot);
		} else if (c->len < c->cap && !(c->held & CHAN_HELD_TAIL) && (w = chan_claim(&c->sendq, 0, false)) != NULL) {
			chan_take_over(c, w);
		} else {
			break;
		}
		ready_list_add(ready, w->task);
	}
	if (c->closed && !c->len)
		weft__chan_drained(c, ready);
	store_relaxed(&c->quick, chan_quick_of(c)); /* under the lock, or not shared yet */
}

/* Waits for the tail, or the head, and holds it. Returns 0 or an error, the channel unlocked. */
static int hold(weft_chan *c, enum chan_dir dir, int64_t deadline)
{
	unsigned end = dir == CHAN_TX ? CHAN_HELD_TAIL : CHAN_HELD_HEAD;
	struct waiter w;
	struct self me;
	uint64_t word;
	bool may;
	int rc = self_enter(&me, &deadline);

	if (rc)
		return rc;
	chan_take(c);
	weft__chan_promise(c, dir);
	if (dir == CHAN_TX) {
		rc = c->closed ? chan_closed_code(c) : 0;
		may = !(c->held & end) && c->len < c->cap;
	} else {
		rc = c->closed && !c->len ? WEFT_ECLOSED : 0;
		may = !(c->held & end) && c->len;
	}
	if (rc || may) {
		if (!rc)
			chan_held(c, end, me.task);
		chan_drop(c);
		return rc;
	}
	if (deadline == WEFT_NOW) {
		chan_drop(c);
		return WEFT_EAGAIN;
	}
	word = wait_begin(me.task, &w, 1, dir == CHAN_TX ? REASON_CHAN_SEND : REASON_CHAN_RECV, deadline);
	waiter_init(&w, me.task, word, &c->lock, RANK_CHAN, c, CHAN_HOLD);
	list_append(dir == CHAN_TX ? &c->sendq : &c->recvq, &w.link);
	CHAN_COUNT(c->waits[dir]++);
	chan_drop(c);
	rc = weft__wait_park(me.worker, me.task, &w, 1, word, deadline);
	return rc ? rc : w.status;
}

/* Gives up what is held. Locked; unlocks. */
static void let_go(weft_chan *c, unsigned end)
{
	struct ready_list ready;

	ready_list_init(&ready);
	c->held &= (uint8_t)~end;
	settle(c, &ready);
	chan_drop(c);
	weft__ready_list(weft__worker(), ready.first);
}

/* Locks c, of which the caller holds one end. */
static void enter(weft_chan *c, unsigned end, const char *call)
{
	(void)weft__worker(); /* see base/solo.h */
	chan_take(c);
	if (unlikely(!(c->held & end))) {
		chan_drop(c);
		weft__fatal("%s: nothing of the channel is %s", call, end == CHAN_HELD_TAIL ? "reserved" : "peeked at");
	}
}

int weft_chan_reserve_until(weft_chan *c, void **slot, int64_t deadline)
{
	struct chan_more *more;
	int rc, error = 0;

	if (slot)
		*slot = NULL;
	if (!c || !slot || !c->cap)
		return WEFT_EINVAL;
	more = c->more;
	rc = hold(c, CHAN_TX, deadline);
	if (rc)
		return chan_sent(c, more, rc, "weft_chan_reserve");
	chan_take(c);
	*slot = chan_tail(c, &error);
	if (!error)
		chan_drop(c);
	else
		let_go(c, CHAN_HELD_TAIL);
	return error;
}

int weft_chan_reserve(weft_chan *c, void **slot)
{
	return weft_chan_reserve_until(c, slot, WEFT_FOREVER);
}

int weft_chan_commit(weft_chan *c)
{
	struct chan_more *more;
	int rc;

	if (!c)
		return WEFT_EINVAL;
	enter(c, CHAN_HELD_TAIL, "weft_chan_commit");
	more = c->more;
	rc = c->closed ? chan_closed_code(c) : 0;
	if (!rc) {
		chan_push(c);
		CHAN_COUNT(c->sent++);
	}
	let_go(c, CHAN_HELD_TAIL);
	return chan_sent(c, more, rc, "weft_chan_commit");
}

int weft_chan_abort(weft_chan *c)
{
	struct chan_more *more;

	if (!c)
		return WEFT_EINVAL;
	enter(c, CHAN_HELD_TAIL, "weft_chan_abort");
	more = c->more;
	let_go(c, CHAN_HELD_TAIL);
	return chan_sent(c, more, 0, "weft_chan_abort"); /* those who waited for the tail may have reached the mark */
}

int weft_chan_peek_until(weft_chan *c, void **slot, int64_t deadline)
{
	int rc;

	if (slot)
		*slot = NULL;
	if (!c || !slot || !c->cap)
		return WEFT_EINVAL;
	rc = hold(c, CHAN_RX, deadline);
	if (rc)
		return rc;
	chan_take(c);
	*slot = chan_head(c);
	chan_drop(c);
	return 0;
}

int weft_chan_peek(weft_chan *c, void **slot)
{
	return weft_chan_peek_until(c, slot, WEFT_FOREVER);
}

int weft_chan_release(weft_chan *c)
{
	if (!c)
		return WEFT_EINVAL;
	enter(c, CHAN_HELD_HEAD, "weft_chan_release");
	chan_pop(c);
	let_go(c, CHAN_HELD_HEAD);
	return 0;
}
