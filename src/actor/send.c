/* SPDX-License-Identifier: MIT
 *
 * send.c - sending to actors.
 *
 * A mailbox is a list a class, under the cell's lock. An actor that waits for any message is given one by the sender that claims it, past the lists; one that waits for certain messages looks for
 * itself (receive.c). A sender that finds no room waits with its letter, which it takes back itself when it was not put in.
 */
#include "actor/actor.h"

#include "weft/server.h"
#include <string.h>

/* --- dead letters --- */

static struct {
	struct lock lock; /* RANK_POOL */
	ATOMIC(bool) set; /* a hint */
	void (*fn)(const weft_dead_letter *d, void *arg);
	void *arg;
} dead;

void weft_actor_on_dead_letter(void (*fn)(const weft_dead_letter *d, void *arg), void *arg)
{
	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&dead.lock, RANK_POOL);
	dead.fn = fn;
	dead.arg = arg;
	store_relaxed(&dead.set, fn != NULL); /* under lock */
	lock_drop_solo(&dead.lock);
}

static void put_back(void *l)
{
	letter_put(weft__worker(), l);
}

void weft__letter_destroy(struct letter *l, void (*dtor)(weft_msg *m))
{
	weft_defer back;

	weft__defer_push(&back, put_back, l);
	l->link.next = NULL; /* of a cache's chain, or of a mailbox: it is nobody's, should dtor free it */
	if (dtor && l->msg.kind == WEFT_MSG_USER)
		dtor(&l->msg);
	weft__defer_end(&back);
}

/* To the hook, if there is one. The caller has asked weft__worker() before. */
static void tell_hook(weft_actor_ref to, const weft_msg *m)
{
	weft_dead_letter d = {.to = to, .from = m->from, .tag = m->tag, .data = m->data, .len = m->len, .prio = m->prio};
	void (*fn)(const weft_dead_letter *, void *);
	void *arg;

	lock_take_solo(&dead.lock, RANK_POOL);
	fn = dead.fn;
	arg = dead.arg;
	lock_drop_solo(&dead.lock);
	if (fn)
		fn(&d, arg);
}

void weft__msg_unwanted(const weft_msg *m)
{
	struct actor *a = actor_self(weft__worker());

	if (m->kind == WEFT_MSG_USER && !(m->weft__flags & LETTER_CALL) && load_relaxed(&dead.set)) /* as below */
		tell_hook(actor_ref(a), m);
}

/* l, whose receiver is gone, is told to the hook and freed. Returns WEFT_ESRCH. */
NOINLINE static int dead_letter(struct worker *w, weft_actor_ref to, struct letter *l)
{
	if (load_relaxed(&dead.set)) { /* a hint: looked at again under the lock */
		weft_defer back;

		weft__defer_push(&back, put_back, l); /* also if fn panics, or ends the task */
		tell_hook(to, &l->msg);
		weft__defer_end(&back);
		return WEFT_ESRCH;
	}
	letter_put(w, l);
	return WEFT_ESRCH;
}

/* --- into the mailbox; locked --- */

static ALWAYS_INLINE struct waiter *claim(struct list *q, int status)
{
	struct list_node *n;

	while ((n = list_pop_head(q)) != NULL) {
		struct waiter *w = container_of(n, struct waiter, link);

		if (waiter_claim(w, status, false))
			return w;
	}
	return NULL;
}

static ALWAYS_INLINE struct weft_task *mail_put(struct actor *a, struct letter *l)
{
	struct list_node *n;

	if (likely(!a->suspended)) {
		while ((n = list_pop_head(&a->recvq)) != NULL) {
			struct waiter *w = container_of(n, struct waiter, link);
			bool any = w->slot != NULL;
			struct weft_task *t = w->task;

			if (unlikely(!waiter_claim(w, 0, false)))
				continue;
			if (likely(any))
				a->given = l;
			else
				mail_push(a, l);
			return t;
		}
	}
	mail_push(a, l);
	return NULL;
}

struct weft_task *weft__mail_put(struct actor *a, struct letter *l)
{
	return mail_put(a, l);
}

struct weft_task *weft__mail_wake(struct actor *a, int status)
{
	struct waiter *w = claim(&a->recvq, status);

	return w ? w->task : NULL;
}

/* --- sending --- */

/* Locked, and full. Unlocks. */
NOINLINE static int send_full(struct self *me, struct actor *a, weft_actor_ref to, struct letter *l, int64_t deadline)
{
	void (*dtor)(weft_msg * m);
	int rc = WEFT_ENOBUFS, status;

	if (a->overflow == WEFT_OVERFLOW_DROP) {
		a->dropped++;
		dtor = a->dtor;
		actor_unlock(a);
		weft__letter_destroy(l, dtor);
		return 0;
	}
	if (a->overflow == WEFT_OVERFLOW_BLOCK)
		rc = load_relaxed(&a->task) == me->task ? WEFT_EDEADLK /* our own store, if it is us */
		     : deadline == WEFT_NOW             ? WEFT_EAGAIN
							: 0;
	if (rc) {
		actor_unlock(a);
		letter_put(me->worker, l);
		return rc;
	}
	rc = mail_wait_room(me, a, l, deadline, &status);
	if (!rc && !status)
		return 0;
	actor_unlock(a);
	if (!rc)
		return dead_letter(me->worker, to, l);
	letter_put(me->worker, l);
	return rc;
}

NOINLINE void weft__mail_above(struct worker *w, struct actor *a, struct weft_task *ready)
{
	void (*on_high)(weft_actor_ref ref, uint32_t len, void *arg) = a->on_high;
	weft_actor_ref ref = actor_ref(a);
	void *arg = a->high_arg;
	uint32_t len = a->len;

	a->above = true;
	actor_unlock(a);
	if (ready)
		weft__ready(w, ready);
	if (on_high)
		on_high(ref, len, arg);
}

static ALWAYS_INLINE void copy(void *to, const void *from, size_t n)
{
	if (likely(n == 8))
		memcpy(to, from, 8);
	else if (n)
		memcpy(to, from, n);
}

static ALWAYS_INLINE int post(weft_actor_ref to, uint64_t tag, const void *data, size_t len, int prio, int64_t deadline, unsigned flags)
{
	struct weft_task *ready;
	struct actor *a, *self;
	struct letter *l;
	struct self me;
	int rc;

	if (unlikely(prio < WEFT_PRIO_URGENT || prio > WEFT_PRIO_LOW || (len && !data)))
		return WEFT_EINVAL;
	if (unlikely(len >= MSG_MAX))
		return WEFT_EMSGSIZE;
	rc = self_enter(&me, &deadline);
	if (unlikely(rc))
		return rc;
	l = letter_get(me.worker, len);
	if (unlikely(!l))
		return WEFT_ENOMEM;
	self = actor_self(me.worker);
	l->msg.tag = tag;
	l->msg.from = self ? actor_ref(self) : WEFT_NO_ACTOR;
	l->msg.kind = WEFT_MSG_USER;
	l->msg.prio = (int8_t)prio;
	if (flags)
		l->msg.weft__flags |= (uint8_t)flags;
	copy(l->bytes, data, len);
	a = actor_lock(to);
	if (unlikely(!a))
		return dead_letter(me.worker, to, l);
	if (unlikely(a->len >= a->cap))
		return send_full(&me, a, to, l, deadline);
	ready = mail_put(a, l);
	if (unlikely(a->high && a->len >= a->high && !a->above)) {
		weft__mail_above(me.worker, a, ready);
		return 0;
	}
	actor_unlock(a);
	if (ready)
		weft__ready(me.worker, ready);
	return 0;
}

int weft_actor_send(weft_actor_ref to, uint64_t tag, const void *data, size_t len, int prio)
{
	int rc = post(to, tag, data, len, prio, WEFT_FOREVER, 0);

	NO_JUMP();
	return rc;
}

int weft_actor_send_until(weft_actor_ref to, uint64_t tag, const void *data, size_t len, int prio, int64_t deadline)
{
	int rc = post(to, tag, data, len, prio, deadline, 0);

	NO_JUMP();
	return rc;
}

int weft_server_cast(weft_actor_ref to, uint64_t tag, const void *data, size_t len)
{
	int rc = weft_server_cast_until(to, tag, data, len, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_server_cast_until(weft_actor_ref to, uint64_t tag, const void *data, size_t len, int64_t deadline)
{
	int rc = post(to, tag, data, len, WEFT_PRIO_NORMAL, deadline, LETTER_CAST);

	NO_JUMP();
	return rc;
}
