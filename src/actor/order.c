/* SPDX-License-Identifier: MIT
 *
 * order.c - what an actor is told from outside: to stop, by an exit signal, by a kill; to hold; and waiting for its end.
 *
 *   ORDER_NONE -> ORDER_STOP     its next receive says so                                             all under its lock; the first says
 *              -> ORDER_CANCEL   the same, and its context is cancelled: what it waits for ends      how it ends, but that a kill has the last word
 *              -> ORDER_KILL     the same, and no on_stop; one that is running is cancelled, too. It has no names any more, whenever it ends
 *
 * Cancelling takes locks and wakes tasks, so it happens after the actor is unlocked: with a reference to what is to be cancelled, because the actor may be gone by then.
 */
#include "actor/actor.h"
#include "core/source.h"

void weft__aftermath(struct worker *w, struct aftermath *m)
{
	if (m->unnamed.weft__at) {
		if (weft__reg_forget)
			weft__reg_forget(m->unnamed);
		if (weft__pg_forget)
			weft__pg_forget(m->unnamed);
	}
	if (m->ready)
		weft__ready(w, m->ready);
	if (m->ctx) {
		(void)weft_ctx_cancel(m->ctx, WEFT_REASON_CANCELED);
		weft_ctx_free(m->ctx);
	}
	if (m->last_ctx) {
		(void)weft_ctx_cancel(m->last_ctx, WEFT_REASON_CANCELED);
		weft_ctx_free(m->last_ctx);
	}
	if (m->task) {
		(void)weft_task_cancel(m->task);
		weft__task_unref(w, m->task);
	}
}

/* Locked. An order, if it outdoes what the actor has been told so far. Returns whether it does. */
static bool order_give(struct actor *a, enum order o, weft_end e, struct aftermath *m)
{
	if (a->state == CELL_GONE || a->order >= o || (a->state == CELL_STOPPING && o != ORDER_KILL))
		return false;
	if (a->order == ORDER_NONE || o == ORDER_KILL)
		a->end = e;
	a->order = (uint8_t)o;
	if (o == ORDER_KILL) {
		a->nameless = true;
		if (a->named)
			m->unnamed = actor_ref(a);
	}
	m->ready = weft__mail_wake(a, WEFT_ECLOSED);
	if (o == ORDER_STOP)
		return true;
	if (a->ctx)
		m->ctx = weft_ctx_ref(a->ctx);
	if (a->last_ctx)
		m->last_ctx = weft_ctx_ref(a->last_ctx);
	if (a->attached) {
		m->task = load_relaxed(&a->task); /* under lock */
		add_relaxed(&m->task->refs, 1u);  /* it has its own until it is gone, and it is not: it must take this lock first */
	}
	return true;
}

struct letter *weft__order_exit(struct actor *a, struct letter *l, weft_actor_ref from, weft_end e, struct aftermath *m)
{
	if (a->state == CELL_GONE)
		return l;
	if (a->traps) {
		weft__letter_down(l, 0, from, e, WEFT_MSG_EXIT);
		m->ready = weft__mail_put(a, l);
		return NULL;
	}
	if (e.kind != WEFT_END_NORMAL)
		(void)order_give(a, ORDER_CANCEL, e, m);
	return l;
}

bool weft__actor_canceled(void)
{
	struct actor *a = actor_self(weft__worker());
	bool told;

	if (!a || weft_ctx_check())
		return weft_ctx_check() != 0;
	lock_take_solo(&a->lock, RANK_ACTOR); /* its on_stop is not cancelled, but it is */
	told = a->order >= ORDER_CANCEL;
	actor_unlock(a);
	return told;
}

static inline bool end_is(weft_end e)
{
	return e.kind >= WEFT_END_NORMAL && e.kind <= WEFT_END_FAULT;
}

/* Returns 0, WEFT_EALREADY, WEFT_ESRCH. */
static int give(weft_actor_ref ref, enum order o, weft_end e)
{
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	struct aftermath m = {.ready = NULL};
	struct actor *a = actor_lock(ref);
	bool given;

	if (!a)
		return WEFT_ESRCH;
	given = order_give(a, o, e, &m);
	actor_unlock(a);
	weft__aftermath(w, &m);
	return given ? 0 : WEFT_EALREADY;
}

int weft_actor_stop(weft_actor_ref ref, weft_end end)
{
	return end_is(end) ? give(ref, ORDER_STOP, end) : WEFT_EINVAL;
}

int weft_actor_kill(weft_actor_ref ref)
{
	int rc = give(ref, ORDER_KILL, (weft_end){WEFT_END_KILLED, WEFT_ECANCELED});

	return rc == WEFT_EALREADY ? 0 : rc;
}

int weft_actor_signal(weft_actor_ref ref, weft_end end)
{
	struct worker *w = weft__worker(); /* as above */
	struct actor *self = actor_self(w), *a;
	struct aftermath m = {.ready = NULL};
	struct letter *l;

	if (!end_is(end) || end.kind == WEFT_END_KILLED)
		return WEFT_EINVAL;
	l = letter_get(w, sizeof(weft_down));
	if (!l)
		return WEFT_ENOMEM;
	l->msg.weft__flags |= LETTER_SIGNAL;
	a = actor_lock(ref);
	if (!a) {
		letter_put(w, l);
		return WEFT_ESRCH;
	}
	l = weft__order_exit(a, l, self ? actor_ref(self) : WEFT_NO_ACTOR, end, &m);
	actor_unlock(a);
	if (l)
		letter_put(w, l);
	weft__aftermath(w, &m);
	return 0;
}

/* --- hold --- */

int weft_actor_suspend(weft_actor_ref ref)
{
	struct actor *a;

	(void)weft__worker(); /* as above */
	a = actor_lock(ref);
	if (!a)
		return WEFT_ESRCH;
	a->suspended = true;
	actor_unlock(a);
	return 0;
}

int weft_actor_resume(weft_actor_ref ref)
{
	struct worker *w = weft__worker(); /* as above */
	struct weft_task *ready = NULL;
	struct actor *a = actor_lock(ref);

	if (!a)
		return WEFT_ESRCH;
	a->suspended = false;
	if (a->mask)
		ready = weft__mail_wake(a, 0);
	actor_unlock(a);
	if (ready)
		weft__ready(w, ready);
	return 0;
}

/* --- waiting for the end --- */

int weft_actor_wait_until(weft_actor_ref ref, weft_end *end, int64_t deadline)
{
	struct actor *a;
	struct waiter w;
	struct self me;
	weft_end got;
	uint64_t word;
	int rc = self_enter(&me, &deadline);

	if (rc)
		return rc;
	a = actor_lock(ref);
	if (!a)
		return WEFT_ESRCH;
	rc = load_relaxed(&a->task) == me.task ? WEFT_EDEADLK : deadline == WEFT_NOW ? WEFT_EAGAIN : 0; /* our own store, if it is us */
	if (!rc && actor_deserted(a))
		rc = WEFT_ESRCH;
	if (rc) {
		actor_unlock(a);
		return rc;
	}
	word = wait_begin(me.task, &w, 1, REASON_ACTOR, deadline);
	waiter_init(&w, me.task, word, &a->lock, RANK_ACTOR, a, &got);
	w.index = WAIT_END;
	list_push_tail(&a->waits, &w.link);
	actor_unlock(a);
	rc = weft__wait_park(me.worker, me.task, &w, 1, word, deadline);
	if (rc || w.status)
		return rc ? rc : w.status;
	if (end)
		*end = got;
	return 0;
}

int weft_actor_wait(weft_actor_ref ref, weft_end *end)
{
	int rc = weft_actor_wait_until(ref, end, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_actor_stop_wait_until(weft_actor_ref ref, int64_t deadline)
{
	int rc = weft_actor_stop(ref, (weft_end){WEFT_END_NORMAL, 0});

	if (rc == WEFT_ESRCH)
		return rc;
	rc = weft_actor_wait_until(ref, NULL, deadline);
	if (rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED || rc == WEFT_EAGAIN)
		(void)weft_actor_kill(ref);
	return rc == WEFT_ESRCH ? 0 : rc;
}

int weft_actor_stop_wait(weft_actor_ref ref)
{
	int rc = weft_actor_stop_wait_until(ref, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}
