/* SPDX-License-Identifier: MIT
 *
 * call.c - messages that are answered: the call, the answer, and what ends the wait in between.
 *
 *   caller                                          actor                          whoever answers
 *   lock the actor's cell
 *   open the wait; into the cell's `calls`
 *   the letter into the mailbox, with the caller's
 *     record and open word; unlock; park            receives it: that makes a
 *                                                   weft_from, and goes anywhere   lock the cell: is it still this actor?
 *                                                                                  claim that word of that record
 *                                                                                  out of `calls`; unlock
 *                                                                                  copy the answer into the caller's frame
 *   is made runnable, and returns                                                  ready the caller
 *
 * Laws. A weft_from holds nothing that goes away: cells and records are type-stable, and the word is of one wait for ever. Only who has claimed the wait looks at the caller's frame, which
 * cannot return before it has been made runnable. So an answer after a timeout, a second answer, or one after the actor's death fails its claim, or finds another generation, and touches nothing.
 * A caller that gives up takes itself out of `calls` under the cell's lock; an actor that dies claims all who are in there (weft__calls_end). Its letter stays where it is: only the actor takes letters out. What has become of its
 * caller is one look at the record.
 *
 * Where the mailbox is full the caller waits in `sendq` with its letter, as every sender does, but in the wait that it has opened for the answer: who takes a letter out moves it from there to `calls`.
 */
#include "actor/actor.h"
#include "core/sched.h"

#include "base/clock.h"
#include "weft/server.h"
#include <string.h>

/* A caller's frame. */
struct call {
	struct waiter w; /* slot: the letter, as long as there is no room for it */
	void *reply;
	size_t cap;
	int result;
};

/* Where a letter keeps the open word: behind what a pooled one has room for besides; or before its data. */
#define CALL_SHORT (MSG_INLINE - sizeof(uint64_t))
#define CALL_LONG 16 /* keeps the data aligned */

static inline uint64_t *word_of(struct letter *l)
{
	return (uint64_t *)(l->msg.weft__flags & LETTER_LONG ? l->bytes : l->bytes + CALL_SHORT);
}

static ALWAYS_INLINE struct letter *call_letter(struct worker *w, size_t len)
{
	struct letter *l;

	if (likely(len <= CALL_SHORT)) {
		l = letter_get(w, MSG_INLINE);
		if (unlikely(!l))
			return NULL;
		l->msg.weft__flags |= LETTER_CALL;
	} else {
		l = letter_get(w, len + CALL_LONG);
		if (unlikely(!l))
			return NULL;
		l->msg.weft__flags |= LETTER_CALL | LETTER_LONG;
		l->msg.data = l->bytes + CALL_LONG;
	}
	l->msg.len = (uint32_t)len;
	return l;
}

struct letter *weft__call_letter(struct worker *w, size_t len)
{
	return call_letter(w, len);
}

void weft__call_name(struct letter *l, struct weft_task *who, uint64_t word)
{
	l->caller = who;
	*word_of(l) = word;
}

uint64_t weft__call_word(struct letter *l)
{
	return *word_of(l);
}

/* --- the caller --- */

/* Why it cannot be: locked. */
static ALWAYS_INLINE int refused(const struct actor *a, const struct self *me, bool room, enum call_kind kind)
{
	if (unlikely(load_relaxed(&a->task) == me->task)) /* our own store, if it is us */
		return WEFT_EDEADLK;
	if (unlikely(!room && a->overflow != WEFT_OVERFLOW_BLOCK))
		return WEFT_ENOBUFS;
	if (unlikely(kind != CALL_USER && a->run != (kind == CALL_CHANGE ? weft__server_run : weft__bus_run)))
		return WEFT_EINVAL;
	return actor_deserted(a) ? WEFT_EDOWN : 0;
}

static void put_back(void *l)
{
	letter_put(weft__worker(), (struct letter *)l);
}

/* Locked; with this letter the mailbox reaches its mark. Unlocks, tells, and locks again, if it is still there: the caller may be on another worker by then. */
NOINLINE static struct actor *tell_above(struct actor *a, weft_actor_ref to, struct letter *l)
{
	void (*on_high)(weft_actor_ref ref, uint32_t len, void *arg) = a->on_high;
	void *arg = a->high_arg;
	uint32_t len = a->len + 1;
	weft_defer back;

	a->above = true;
	actor_unlock(a);
	if (on_high) {
		weft__defer_push(&back, put_back, l); /* also if it panics, or ends the task */
		on_high(to, len, arg);
		weft__defer_drop(&back);
	}
	(void)weft__worker(); /* see base/solo.h */
	return actor_lock(to);
}

/* Its wait for room is over; did the letter get in? Then it is the actor's. */
NOINLINE static void take_back(struct actor *a, struct call *c, struct letter *l)
{
	struct worker *w = weft__worker();
	bool ours;

	lock_take_solo(&a->lock, RANK_ACTOR);
	ours = c->w.slot != NULL;
	if (ours)
		list_remove(&l->link);
	actor_unlock(a);
	if (ours)
		letter_put(w, l);
}

/* head: hlen bytes that come before the request. */
static ALWAYS_INLINE int call(weft_actor_ref to, uint64_t tag, const void *head, size_t hlen, const void *req, size_t len, void *reply,
			      size_t cap, int64_t deadline, enum call_kind kind)
{
	struct weft_task *ready = NULL;
	struct actor *a, *self;
	struct letter *l;
	struct call c;
	struct self me;
	uint64_t word;
	bool room;
	int rc;

	if (unlikely((len && !req) || (cap && !reply)))
		return WEFT_EINVAL;
	if (unlikely(len >= MSG_MAX))
		return WEFT_EMSGSIZE;
	rc = self_enter(&me, &deadline);
	if (unlikely(rc))
		return rc;
	if (unlikely(deadline != WEFT_FOREVER)) {
		rc = deadline == WEFT_NOW ? WEFT_EAGAIN : clock_now() >= deadline ? WEFT_ETIMEDOUT : 0;
		if (rc)
			return rc; /* what is late already is not asked */
	}
	l = call_letter(me.worker, hlen + len);
	if (unlikely(!l))
		return WEFT_ENOMEM;
	self = actor_self(me.worker);
	l->msg.tag = tag;
	l->msg.from = self ? actor_ref(self) : WEFT_NO_ACTOR;
	l->msg.kind = kind == CALL_USER ? WEFT_MSG_USER : kind == CALL_BUS ? MSG_ASKED : MSG_CHANGE;
	l->msg.prio = kind == CALL_CHANGE ? WEFT_PRIO_URGENT : WEFT_PRIO_NORMAL;
	if (hlen)
		memcpy(l->msg.data, head, hlen);
	if (likely(len == 8))
		memcpy((char *)l->msg.data + hlen, req, 8);
	else if (len)
		memcpy((char *)l->msg.data + hlen, req, len);
	c.reply = reply;
	c.cap = cap;

	a = actor_lock(to);
	if (unlikely(a && a->high && kind != CALL_CHANGE && a->len + 1 >= a->high && !a->above &&
		     (list_empty(&a->recvq) || a->suspended))) {
		a = tell_above(a, to, l);
		me.worker = weft__worker();
	}
	if (unlikely(!a)) {
		letter_put(weft__worker(), l);
		return WEFT_ESRCH;
	}
	room = likely(a->len < a->cap) || kind == CALL_CHANGE;
	rc = refused(a, &me, room, kind);
	if (unlikely(rc)) {
		actor_unlock(a);
		letter_put(me.worker, l);
		return rc;
	}
	word = wait_begin(me.task, &c.w, 1, REASON_CALL, deadline);
	waiter_init(&c.w, me.task, word, &a->lock, RANK_ACTOR, a, room ? NULL : l);
	l->caller = me.task;
	*word_of(l) = word;
	if (likely(room)) {
		list_push_head(&a->calls, &c.w.link);
		ready = weft__mail_put(a, l);
	} else {
		l->msg.weft__home = letter_home(me.worker);
		list_push_tail(&a->sendq, &c.w.link);
		list_push_tail(&a->outside, &l->link);
	}
	actor_unlock(a);
	rc = likely(ready != NULL) ? wait_park_to(me.worker, me.task, ready, &c.w, word, deadline)
				   : wait_park(me.worker, me.task, &c.w, 1, word, deadline);
	if (likely(!rc && !c.w.status))
		return c.result;
	if (!room)
		take_back(a, &c, l);
	return rc ? rc : WEFT_EDOWN;
}

int weft__call(weft_actor_ref to, uint64_t tag, const void *req, size_t len, void *reply, size_t cap, int64_t deadline, enum call_kind kind)
{
	int rc = call(to, tag, NULL, 0, req, len, reply, cap, deadline, kind);

	NO_JUMP();
	return rc;
}

int weft__call_bus(weft_actor_ref to, const void *head, size_t hlen, const void *req, size_t len, void *reply, size_t cap, int64_t deadline)
{
	int rc = call(to, 0, head, hlen, req, len, reply, cap, deadline, CALL_BUS);

	NO_JUMP();
	return rc;
}

int weft_server_call(weft_actor_ref to, uint64_t tag, const void *req, size_t len, void *reply, size_t cap)
{
	int rc = weft__call(to, tag, req, len, reply, cap, WEFT_FOREVER, CALL_USER);

	NO_JUMP();
	return rc;
}

int weft_server_call_until(weft_actor_ref to, uint64_t tag, const void *req, size_t len, void *reply, size_t cap, int64_t deadline)
{
	int rc = weft__call(to, tag, req, len, reply, cap, deadline, CALL_USER);

	NO_JUMP();
	return rc;
}

int weft__server_ask(weft_actor_ref to, uint64_t tag, const void *req, size_t len, void *reply, size_t size, int64_t deadline)
{
	int rc = weft__call(to, tag, req, len, reply, size, deadline, CALL_USER);

	NO_JUMP();
	return rc < 0 ? rc : (size_t)rc == size ? 0 : WEFT_EMSGSIZE;
}

/* --- the actor; locked --- */

bool weft__call_is_in(struct actor *a, struct waiter *w, struct letter *l)
{
	if (load_relaxed(&w->task->wait) != w->word) /* it is on its way to take its letter back, under our lock */
		return false;
	list_remove(&l->link); /* from outside */
	w->slot = NULL;
	list_push_head(&a->calls, &w->link);
	return true;
}

void weft__calls_end(struct actor *a, struct ready_list *ready)
{
	struct list_node *n;

	while ((n = list_pop_head(&a->calls)) != NULL) {
		struct waiter *w = container_of(n, struct waiter, link);
		struct weft_task *t = w->task;

		if (waiter_claim(w, WEFT_EDOWN, false))
			ready_list_add(ready, t);
	}
}

weft_from weft_msg_from(const weft_msg *m)
{
	struct letter *l = letter_of((weft_msg *)(uintptr_t)m);
	struct actor *a = actor_self(weft__worker());

	if (!a || !(m->weft__flags & LETTER_CALL))
		return (weft_from){WEFT_NO_ACTOR, NULL, 0};
	return (weft_from){actor_ref(a), l->caller, *word_of(l)};
}

/* --- who answers --- */

/* Claims the caller. NULL: nobody waits. */
static ALWAYS_INLINE struct call *claim(weft_from from)
{
	struct weft_task *t = from.weft__who;
	struct actor *a = actor_lock(from.weft__to);
	struct waiter *w;
	struct call *c = NULL;

	if (unlikely(!a))
		return NULL;
	if (likely(wait_claim(&t->wait, from.weft__wait, WAIT_WOKEN))) { /* pairs with wait_begin: what lies in the frame */
		w = t->waiters;
		c = container_of(w, struct call, w);
		list_remove(&c->w.link);
	}
	actor_unlock(a);
	return c;
}

int weft_server_reply(weft_from from, const void *data, size_t len)
{
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	struct call *c;
	int rc = 0;

	if (unlikely(len && !data))
		return WEFT_EINVAL;
	if (unlikely(from_ticket(from.weft__who)))
		return weft__request_reply(from.weft__to, from.weft__who, from.weft__wait, data, len, 0);
	c = likely(from.weft__who != NULL) ? claim(from) : NULL;
	if (unlikely(!c))
		return WEFT_ESRCH;
	if (unlikely(len > c->cap || len >= MSG_MAX)) {
		rc = c->result = WEFT_EMSGSIZE;
	} else {
		c->result = (int)len;
		if (likely(len == 8))
			memcpy(c->reply, data, 8);
		else if (len)
			memcpy(c->reply, data, len);
	}
	weft__ready(w, from.weft__who);
	return rc;
}

int weft_server_fail(weft_from from, int code)
{
	struct worker *w = weft__worker(); /* as above */
	struct call *c;

	if (code >= 0)
		return WEFT_EINVAL;
	if (code == WEFT_ECANCELED && weft__actor_canceled())
		code = WEFT_EDOWN;
	if (from_ticket(from.weft__who))
		return weft__request_reply(from.weft__to, from.weft__who, from.weft__wait, NULL, 0, code);
	c = from.weft__who ? claim(from) : NULL;
	if (!c)
		return WEFT_ESRCH;
	c->result = code;
	weft__ready(w, from.weft__who);
	return 0;
}

bool weft_server_waiting(weft_from from)
{
	struct weft_task *t = from.weft__who;

	if (unlikely(from_ticket(t)))
		return weft__request_waiting(t, from.weft__wait);
	return t && load_acquire(&t->wait) == from.weft__wait; /* a snapshot */
}
