/* SPDX-License-Identifier: MIT
 *
 * request.c - calls whose answers are futures.
 *
 * A call names the wait of its caller (call.c). A request has no wait; its letter names a ticket, and the ticket's number.  Tickets stay tickets for ever, as cells stay cells, and a number is used once: so what names one holds nothing that goes away.
 *
 *   pending   in the list of the server's cell, with a promise of the future, which has the same number.  All of this changes under that cell's lock, until the number moves on:
 *   over      whoever has moved it on ends the future: who answers, the server's death; or whoever gives the future up, which has ended it
 *
 * A late answer finds another number, or another generation of the cell. It looks at the number under the lock of the cell that it was meant for, so that what it finds is that request's for as long as it holds the lock, or none of its business.
 *
 * The answer goes into the future's value, which has room for it from the start: an answer needs no memory.
 */
#include "actor/actor.h"

#include "sync/future.h"
#include "weft/server.h"
#include <string.h>

/* Behind the future's value. */
struct request {
	struct ticket *ticket;
	uint64_t number;
	struct actor *to;
	uint32_t len; /* of the answer; written by whoever answers, read when it is done */
};

/* --- tickets --- */

static inline struct weft_task *name_of(struct ticket *t)
{
	return (struct weft_task *)((uintptr_t)t | 1);
}

static inline struct ticket *ticket_of(const struct weft_task *who)
{
	return (struct ticket *)((uintptr_t)who & ~(uintptr_t)1);
}

/* Locked: the cell that it was for. Returns the promise, the caller's now as the ticket is; NULL: it is over. */
static struct weft_future *take(struct ticket *t, uint64_t number)
{
	if (load_relaxed(&t->number) != number) /* under lock, or another's */
		return NULL;
	store_release(&t->number, number + 1); /* pairs with load_acquire in weft__request_waiting */
	list_remove(&t->link);
	return t->f;
}

bool weft__request_waiting(const struct weft_task *who, uint64_t word)
{
	return load_acquire(&ticket_of(who)->number) == word; /* a snapshot */
}

/* --- the future --- */

static inline struct request *request_of(struct weft_future *f)
{
	return (struct request *)future_behind(f);
}

/* Nobody wants it any more. */
static void give_up(struct weft_future *f)
{
	struct request *r = request_of(f);
	struct weft_future *promise;

	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&r->to->lock, RANK_ACTOR);
	promise = take(r->ticket, r->number);
	actor_unlock(r->to);
	if (!promise)
		return;
	weft__ticket_put(r->ticket);
	weft__promise_release(f);
}

static const struct future_ops request_ops = {.cancel = give_up};

static struct weft_future *request_new(size_t cap)
{
	struct weft_future *f = weft__future_new(cap, sizeof(struct request), FUTURE_PROMISE + 1);
	struct request *r;

	if (!f)
		return NULL;
	r = request_of(f);
	r->ticket = weft__ticket_get();
	if (!r->ticket) {
		weft__promise_release(f);
		weft__future_release(f);
		return NULL;
	}
	r->number = load_relaxed(&r->ticket->number); /* ours */
	r->ticket->f = f;
	f->ops = &request_ops;
	return f;
}

/* It was not sent; its ticket is in no list. */
static void request_free(struct weft_future *f)
{
	weft__ticket_put(request_of(f)->ticket);
	f->ops = NULL;
	weft__promise_release(f);
	weft__future_release(f);
}

/* --- who asks --- */

/* Locked, and full; the ticket is listed. Unlocks. Returns 0: it is in; else it is not, and the ticket is in no list. */
static int wait_for_room(struct self *me, struct actor *a, struct weft_future *f, struct letter *l, int64_t deadline)
{
	struct request *r = request_of(f);
	struct weft_future *promise;
	int rc, status;

	rc = mail_wait_room(me, a, l, deadline, &status);
	if (!rc && !status)
		return 0;
	promise = take(r->ticket, r->number);
	actor_unlock(a);
	letter_put(me->worker, l);
	if (promise)
		request_free(f);
	else
		weft__future_release(f); /* the actor's death has seen to the rest */
	return rc ? rc : status;
}

/* Why it cannot wait for room: locked, and there is none. */
static int no_room(const struct actor *a, const struct self *me, int64_t deadline)
{
	if (a->overflow != WEFT_OVERFLOW_BLOCK)
		return WEFT_ENOBUFS;
	if (load_relaxed(&a->task) == me->task) /* our own store, if it is us */
		return WEFT_EDEADLK;
	return deadline == WEFT_NOW ? WEFT_EAGAIN : 0;
}

/* Sends l, or gives back all. */
static int post(struct self *me, weft_actor_ref to, struct weft_future *f, struct letter *l, int64_t deadline)
{
	struct actor *a = actor_lock(to);
	struct request *r = request_of(f);
	struct weft_task *ready;
	int rc = a && !actor_deserted(a) ? 0 : WEFT_ESRCH;
	bool room = a && a->len < a->cap;

	if (!rc && !room)
		rc = no_room(a, me, deadline);
	if (rc) {
		if (a)
			actor_unlock(a);
		letter_put(me->worker, l);
		request_free(f);
		return rc;
	}
	r->to = a;
	list_push_tail(&a->requests, &r->ticket->link);
	if (!room)
		return wait_for_room(me, a, f, l, deadline);
	ready = weft__mail_put(a, l);
	if (a->high && a->len >= a->high && !a->above) {
		weft__mail_above(me->worker, a, ready);
		return 0;
	}
	actor_unlock(a);
	if (ready)
		weft__ready(me->worker, ready);
	return 0;
}

int weft_server_request_until(weft_actor_ref to, uint64_t tag, const void *req, size_t len, size_t cap, weft_future **out, int64_t deadline)
{
	struct weft_future *f;
	struct actor *self;
	struct letter *l;
	struct self me;
	int rc;

	if (out)
		*out = NULL;
	if (!out || (len && !req) || cap > UINT16_MAX)
		return WEFT_EINVAL;
	if (len >= MSG_MAX)
		return WEFT_EMSGSIZE;
	rc = self_enter(&me, &deadline);
	if (rc)
		return rc;
	l = weft__call_letter(me.worker, len);
	if (!l)
		return WEFT_ENOMEM;
	f = request_new(cap);
	if (!f) {
		letter_put(me.worker, l);
		return WEFT_ENOMEM;
	}
	self = actor_self(me.worker);
	l->msg.tag = tag;
	l->msg.from = self ? actor_ref(self) : WEFT_NO_ACTOR;
	l->msg.kind = WEFT_MSG_USER;
	l->msg.prio = WEFT_PRIO_NORMAL;
	l->msg.weft__flags |= LETTER_REQUEST;
	weft__call_name(l, name_of(request_of(f)->ticket), request_of(f)->number);
	if (len)
		memcpy(l->msg.data, req, len);
	rc = post(&me, to, f, l, deadline);
	if (!rc)
		*out = f;
	return rc;
}

int weft_server_request(weft_actor_ref to, uint64_t tag, const void *req, size_t len, size_t cap, weft_future **out)
{
	int rc = weft_server_request_until(to, tag, req, len, cap, out, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_reg_request_until(const char *name, uint64_t tag, const void *req, size_t len, size_t cap, weft_future **out, int64_t deadline)
{
	weft_actor_ref to;
	int rc;

	if (out)
		*out = NULL;
	rc = weft_reg_get(name, &to);
	if (!rc)
		rc = weft_server_request_until(to, tag, req, len, cap, out, deadline);
	NO_JUMP();
	return rc;
}

int weft_reg_request(const char *name, uint64_t tag, const void *req, size_t len, size_t cap, weft_future **out)
{
	int rc = weft_reg_request_until(name, tag, req, len, cap, out, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_server_response_until(weft_future *f, void *reply, size_t cap, int64_t deadline)
{
	struct request *r;
	int rc;

	if (!f || f->ops != &request_ops || (cap && !reply))
		return WEFT_EINVAL;
	rc = weft_future_await_until(f, NULL, deadline);
	if (rc)
		return rc;
	r = request_of(f);
	if (r->len > cap)
		return WEFT_EMSGSIZE;
	if (r->len)
		memcpy(reply, f->value, r->len);
	return (int)r->len;
}

int weft_server_response(weft_future *f, void *reply, size_t cap)
{
	int rc = weft_server_response_until(f, reply, cap, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

/* --- who answers --- */

int weft__request_reply(weft_actor_ref to, struct weft_task *who, uint64_t word, const void *data, size_t len, int code)
{
	struct ticket *t = ticket_of(who);
	struct weft_future *f;
	struct actor *a = actor_lock(to);
	int rc = 0;

	if (!a)
		return WEFT_ESRCH;
	f = take(t, word);
	actor_unlock(a);
	if (!f)
		return WEFT_ESRCH;
	weft__ticket_put(t);
	if (!code && len > f->elem) {
		rc = code = WEFT_EMSGSIZE;
	} else if (!code && len) {
		memcpy(f->value, data, len); /* nobody looks at it before it is done */
		request_of(f)->len = (uint32_t)len;
	}
	if (weft__future_end(f, FUTURE_DONE, code, NULL))
		rc = WEFT_ESRCH; /* it has been given up just now */
	weft__promise_release(f);
	return rc;
}

void weft__requests_take(struct actor *a, struct list *tickets)
{
	struct list_node *n;

	while ((n = list_first(&a->requests)) != NULL) {
		struct ticket *t = container_of(n, struct ticket, link);

		(void)take(t, load_relaxed(&t->number)); /* under lock */
		list_push_tail(tickets, &t->link);
	}
}

void weft__requests_end(struct list *tickets)
{
	struct list_node *n;

	while ((n = list_pop_head(tickets)) != NULL) {
		struct ticket *t = container_of(n, struct ticket, link);
		struct weft_future *f = t->f;

		weft__ticket_put(t);
		(void)weft__future_end(f, FUTURE_DONE, WEFT_EDOWN, NULL);
		weft__promise_release(f);
	}
}

void weft__request_left(struct letter *l, struct list *tickets)
{
	struct ticket *t = ticket_of(l->caller);

	l->msg.weft__flags &= (uint8_t)~LETTER_REQUEST;
	if (take(t, weft__call_word(l)))
		list_push_tail(tickets, &t->link);
}

void weft__requests_drop(struct list *tickets)
{
	struct list_node *n;

	while ((n = list_pop_head(tickets)) != NULL)
		request_free(container_of(n, struct ticket, link)->f); /* nobody has seen it but the task */
}
