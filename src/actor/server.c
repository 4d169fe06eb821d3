/* SPDX-License-Identifier: MIT
 *
 * server.c - servers: an actor whose loop hands what comes to the functions of a table.
 *
 * The state of the actor is a struct server with the user's state behind it, in one letter (actor.h), so that it goes with the actor however that ends. A migration makes a second one and
 * takes the place of the first between two messages; it comes as a call of the highest class that is not handed on (MSG_CHANGE).
 *
 * The call in hand is remembered until its handler has returned: where that fails and the server goes on all the same, nobody would answer it.
 */
#include "actor/actor.h"

#include "base/clock.h"
#include "core/stack.h"
#include "weft/server.h"
#include <string.h>

struct server {
	const weft_server_vt *vt;
	void *state;       /* handlers' first argument: own, or what was given */
	weft_from in_hand; /* the call that is being handled; its caller may have given up */
	int64_t timeout;   /* as weft_server_timeout has said, from the end of the handler on; negative: none; or STILL */
	int64_t due;       /* when that is over; WEFT_FOREVER: none */
	char name[WEFT_NAME_MAX + 1];
	char own[] __attribute__((aligned(16)));
};

/* A migration, in its caller's request. */
struct change {
	const weft_server_vt *to;
	weft_server_conv *conv;
	void *arg;
};

#define SIZE_LIMIT ((size_t)1 << 29)
#define STILL INT64_MAX /* timeout: what has come since was nothing to the user, and `due` stays */

/* The calling server; NULL: it is none. */
static struct server *server_self(struct actor *a)
{
	return a && a->run == weft__server_run ? a->state_data : NULL;
}

/* --- handlers of the actor --- */

CALLS_OUT static int server_start(void *state)
{
	struct server *s = state;
	int rc = s->name[0] ? weft_reg_put(s->name, weft_actor_self()) : 0;

	if (rc)
		return rc;
	rc = s->vt->init ? s->vt->init(s->state) : 0;
	return rc < 0 ? rc : 0;
}

CALLS_OUT static void server_stop(void *state, weft_end e)
{
	struct server *s = state;

	s->vt->terminate(s->state, e);
}

CALLS_OUT static int server_error(void *state, int code, const weft_panic *p)
{
	struct server *s = state;
	weft_from from = s->in_hand;
	int rc = s->vt->error(s->state, code, p);

	if (rc >= 0)
		(void)weft_server_fail(from, code);
	return rc;
}

/* What the actor does, by its server's table. Its own task, or before it runs; locked, where anybody else may look. */
static void behave(struct actor *a, const weft_server_vt *vt)
{
	a->on_stop = vt->terminate ? server_stop : NULL;
	a->on_error = vt->error ? server_error : NULL;
	a->dtor = vt->dtor;
}

/* --- migration --- */

/* A state that was not finished. */
static void forget(void *l)
{
	list_remove(&((struct letter *)l)->link);
	letter_put(weft__worker(), l);
}

CALLS_OUT static int convert(struct actor *a, struct server *s, const struct change *c)
{
	size_t size = c->to->size;
	struct letter *l, *old = a->state_letter;
	struct server *fresh;
	weft_defer unless;
	int rc;

	if (!c->conv || !size || !s->vt->size) {
		if (c->conv || size != s->vt->size)
			return WEFT_EINVAL;
		s->vt = c->to;
		return 0;
	}
	l = letter_get(weft__worker(), sizeof *s + size);
	if (!l)
		return WEFT_ENOMEM;
	fresh = (struct server *)l->bytes;
	*fresh = *s;
	fresh->vt = c->to;
	fresh->state = fresh->own;
	memset(fresh->own, 0, size);
	list_append(&a->hand, &l->link);      /* where it is found if the runtime goes down meanwhile */
	weft__defer_push(&unless, forget, l); /* also if conv panics, or ends the task */
	rc = c->conv(s->state, fresh->state, c->arg);
	if (rc < 0) {
		weft__defer_end(&unless);
		return rc;
	}
	weft__defer_drop(&unless);
	list_remove(&l->link);
	a->state_letter = l;
	a->state_data = fresh;
	letter_put(weft__worker(), old);
	return 0;
}

CALLS_OUT static void migrate(struct actor *a, weft_msg *m)
{
	struct server *s = a->state_data;
	int rc = convert(a, s, m->data);

	s = a->state_data;
	if (!rc) {
		(void)weft__worker(); /* see base/solo.h */
		lock_take_solo(&a->lock, RANK_ACTOR);
		behave(a, s->vt);
		actor_unlock(a);
		(void)weft_server_reply(s->in_hand, NULL, 0);
	} else {
		(void)weft_server_fail(s->in_hand, rc);
	}
}

/* --- the loop --- */

/* What has come is nothing to the user: the time that he has said goes on. */
static void goes_on(struct server *s)
{
	if (s->timeout > 0)
		s->timeout = STILL;
}

/* Nobody wants it. */
CALLS_OUT static int drop(struct server *s, weft_msg *m)
{
	weft__msg_unwanted(m);
	if (s->vt->dtor && m->kind == WEFT_MSG_USER)
		s->vt->dtor(m);
	return 0;
}

static ALWAYS_INLINE int handle(struct actor *a, struct server *s, weft_msg *m)
{
	unsigned flags = m->weft__flags;

	if (likely(flags & LETTER_CALL)) {
		s->in_hand = weft_msg_from(m);
		if (unlikely(!weft_server_waiting(s->in_hand))) {
			goes_on(s);
			return drop(s, m);
		}
		if (unlikely(m->kind == MSG_CHANGE)) {
			goes_on(s);
			migrate(a, m);
			return 0;
		}
		s->timeout = -1;
		if (likely(s->vt->call != NULL))
			return s->vt->call(s->state, m, s->in_hand);
		(void)weft_server_fail(s->in_hand, WEFT_ENOTSUP);
		return drop(s, m);
	}
	s->timeout = -1;
	s->in_hand.weft__who = NULL;
	if (flags & LETTER_CAST)
		return s->vt->cast ? s->vt->cast(s->state, m) : drop(s, m);
	return s->vt->info ? s->vt->info(s->state, m) : drop(s, m);
}

NOINLINE void weft__hibernate(struct actor *a)
{
	bool ready;

	lock_take_solo(&a->lock, RANK_ACTOR);
	ready = weft__mail_ready(a);
	actor_unlock(a);
	if (!ready)
		weft__stack_trim_below(weft_task_self()->stack, __builtin_frame_address(0));
}

/* Until when it waits. */
static ALWAYS_INLINE int64_t due(const struct server *s)
{
	if (likely(s->timeout < 0))
		return WEFT_FOREVER;
	if (s->timeout == STILL)
		return s->due;
	return s->timeout ? clock_add(clock_now(), s->timeout) : WEFT_NOW;
}

/* The time that weft_server_timeout has said is over: not the context's. */
static bool is_over(const struct server *s, int rc)
{
	return (rc == WEFT_ETIMEDOUT || (rc == WEFT_EAGAIN && s->due == WEFT_NOW)) && s->due != WEFT_FOREVER && !weft_ctx_check();
}

CALLS_OUT int weft__server_run(void *state)
{
	struct actor *a = actor_self(weft__worker());
	struct server *s = state;
	weft_msg *m;
	int rc;

	s->in_hand = (weft_from){WEFT_NO_ACTOR, NULL, 0};
	for (;;) {
		s->due = due(s);
		rc = weft_actor_recv_until(&m, s->due);
		if (unlikely(rc)) {
			if (!is_over(s, rc))
				return rc;
			s->timeout = -1;
			s->in_hand.weft__who = NULL;
			rc = s->vt->timeout ? s->vt->timeout(s->state) : 0;
		} else {
			a->current = letter_of(m);
			rc = handle(a, s, m);
			s = a->state_data; /* it may have migrated */
			if (likely(a->current != NULL)) {
				list_remove(&a->current->link);
				letter_put(weft__worker(), a->current);
				a->current = NULL;
			}
		}
		if (unlikely(rc == WEFT_SERVER_HIBERNATE)) {
			weft__hibernate(a);
			rc = 0;
		}
		if (unlikely(rc))
			return rc < 0 ? rc : rc == WEFT_SERVER_STOP ? 0 : WEFT_EINVAL;
	}
}

int weft_server_timeout(int64_t ns)
{
	struct server *s = server_self(actor_self(weft__worker()));

	if (!s)
		return WEFT_EINVAL;
	s->timeout = ns < 0 ? -1 : ns == STILL ? ns - 1 : ns;
	return 0;
}

/* --- start and stop --- */

/* What a server is started with. */
struct first {
	const weft_server_vt *vt;
	const void *init;
	const char *name; /* NULL: none */
};

static void fill(void *state, const void *from)
{
	const struct first *f = from;
	struct server *s = state;

	*s = (struct server){.vt = f->vt, .state = s->own, .timeout = -1};
	if (f->name)
		memcpy(s->name, f->name, strlen(f->name));
	if (!f->vt->size)
		s->state = (void *)(uintptr_t)f->init;
	else if (f->init)
		memcpy(s->own, f->init, f->vt->size);
	else
		memset(s->own, 0, f->vt->size);
}

int weft__server_start_at(weft_actor_ref *out, const weft_server_vt *vt, const void *init, const weft_server_opts *o, int64_t deadline,
			  const struct weft_site *site)
{
	static const weft_server_opts usual;
	struct first first = {.vt = vt, .init = init};

	if (out)
		*out = WEFT_NO_ACTOR;
	if (!o)
		o = &usual;
	if (!vt || vt->size >= SIZE_LIMIT || (o->name && !*o->name))
		return WEFT_EINVAL;
	if (o->name && strlen(o->name) > WEFT_NAME_MAX)
		return WEFT_ENAMETOOLONG;
	first.name = o->name;
	return weft__actor_start_by(out,
				    &(weft_actor_opts){.run = weft__server_run,
						       .on_start = o->name || vt->init ? server_start : NULL,
						       .on_stop = vt->terminate ? server_stop : NULL,
						       .on_error = vt->error ? server_error : NULL,
						       .dtor = vt->dtor,
						       .state = &first,
						       .size = sizeof(struct server) + vt->size,
						       .mailbox = o->mailbox,
						       .name = o->name,
						       .ctx = o->ctx,
						       .trap_exit = o->trap_exit,
						       .link = o->link,
						       .contain = o->contain},
				    fill, deadline, site);
}

int(weft_server_start_until)(weft_actor_ref *out, const weft_server_vt *vt, const void *init, const weft_server_opts *o, int64_t deadline)
{
	return weft__server_start_at(out, vt, init, o, deadline, NULL);
}

int(weft_server_start)(weft_actor_ref *out, const weft_server_vt *vt, const void *init, const weft_server_opts *o)
{
	return weft__server_start_at(out, vt, init, o, WEFT_FOREVER, NULL);
}

int weft_server_stop_until(weft_actor_ref ref, weft_end end, int64_t deadline)
{
	int rc = weft_actor_stop(ref, end);

	if (rc == WEFT_ESRCH || rc == WEFT_EINVAL)
		return rc;
	rc = weft_actor_wait_until(ref, NULL, deadline);
	if (rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED || rc == WEFT_EAGAIN)
		(void)weft_actor_kill(ref);
	return rc == WEFT_ESRCH ? 0 : rc;
}

int weft_server_stop(weft_actor_ref ref, weft_end end)
{
	int rc = weft_server_stop_until(ref, end, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_server_migrate_until(weft_actor_ref ref, const weft_server_vt *to, weft_server_conv *conv, void *arg, int64_t deadline)
{
	const struct change c = {to, conv, arg};
	int rc;

	if (!to || to->size >= SIZE_LIMIT)
		return WEFT_EINVAL;
	rc = weft__call(ref, 0, &c, sizeof c, NULL, 0, deadline, CALL_CHANGE);
	NO_JUMP();
	return rc;
}

int weft_server_migrate(weft_actor_ref ref, const weft_server_vt *to, weft_server_conv *conv, void *arg)
{
	int rc = weft_server_migrate_until(ref, to, conv, arg, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}
