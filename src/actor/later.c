/* SPDX-License-Identifier: MIT
 *
 * later.c - messages that are sent when their time has come.
 *
 * A timer of the program (core/usertimer.c), in the receiver's runtime, whoever sends, says when; the letter says what has happened: it is the timer's, and the timer in the list of the receiver's cell, until somebody takes it out under the cell's lock:
 *
 *   it is due      into the mailbox; also when the runtime goes down, where it is destroyed with the rest
 *   cancel         back to the memory it came from
 *   the death      to what the receiver has not received
 *
 * References: the caller's, if it wants one; the list's; and the alarm's, which is given back by the alarm when it calls, or by whoever has stopped it before.
 */
#include "actor/actor.h"

#include "base/clock.h"
#include "base/ref.h"
#include "weft/server.h"
#include <stdlib.h>
#include <string.h>

struct weft_actor_timer {
	struct list_node link; /* in actor->later; under that one's lock, then of whoever has taken the letter */
	struct actor *actor;   /* constant */
	struct letter *letter; /* NULL: somebody has taken it; under the actor's lock */
	weft_timer *alarm;     /* constant */
	int64_t when;          /* constant */
	ATOMIC(uint32_t) refs;
};

static void unref(weft_actor_timer *t)
{
	if (!ref_drop(&t->refs))
		return;
	weft__usertimer_unref(t->alarm);
	free(t);
}

/* Takes the letter. Locked. NULL: somebody was faster. Else the list's reference is the caller's. */
static struct letter *take(weft_actor_timer *t)
{
	struct letter *l = t->letter;

	t->letter = NULL;
	if (l)
		list_remove(&t->link);
	return l;
}

static void stop(weft_actor_timer *t)
{
	if (weft_timer_stop(t->alarm))
		unref(t);
}

/* It is due. */
static void send(struct worker *w, void *arg)
{
	weft_actor_timer *t = arg;
	struct actor *a = t->actor;
	struct weft_task *ready = NULL;
	struct letter *l;

	lock_take_solo(&a->lock, RANK_ACTOR);
	l = take(t);
	if (l)
		ready = weft__mail_put(a, l);
	actor_unlock(a);
	if (ready)
		weft__ready(w, ready);
	if (l)
		unref(t);
	unref(t);
}

void weft__later_take(struct actor *a, struct list *mail, struct list *timers)
{
	struct list_node *n;

	while ((n = list_pop_head(&a->later)) != NULL) {
		weft_actor_timer *t = container_of(n, struct weft_actor_timer, link);

		list_push_tail(mail, &t->letter->link);
		t->letter = NULL;
		list_push_tail(timers, n);
	}
}

void weft__later_end(struct list *timers)
{
	struct list_node *n;

	while ((n = list_pop_head(timers)) != NULL) {
		weft_actor_timer *t = container_of(n, struct weft_actor_timer, link);

		stop(t);
		unref(t);
	}
}

static struct letter *letter_of_now(struct worker *w, uint64_t tag, const void *data, size_t len, int prio, unsigned flags)
{
	struct letter *l = letter_get(w, len);
	struct actor *self;

	if (!l)
		return NULL;
	self = actor_self(w);
	l->msg.tag = tag;
	l->msg.from = self ? actor_ref(self) : WEFT_NO_ACTOR;
	l->msg.kind = WEFT_MSG_USER;
	l->msg.prio = (int8_t)prio;
	l->msg.weft__flags |= (uint8_t)flags;
	if (len)
		memcpy(l->bytes, data, len);
	return l;
}

/* Nobody knows it. Its letter is somebody else's. */
static void forget(weft_actor_timer *t)
{
	if (t)
		weft__usertimer_unref(t->alarm);
	free(t);
}

static weft_actor_timer *timer_new(int64_t when)
{
	weft_actor_timer *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->when = when;
	t->alarm = weft__usertimer_new(send, t);
	if (t->alarm)
		return t;
	free(t);
	return NULL;
}

/* The alarm could not be started: the receiver's runtime goes down. */
static int undo(weft_actor_timer *t)
{
	struct letter *l;

	lock_take_solo(&t->actor->lock, RANK_ACTOR);
	l = take(t);
	actor_unlock(t->actor);
	if (l) {
		letter_put(weft__worker(), l);
		unref(t);
	}
	unref(t); /* the alarm's */
	return WEFT_ESRCH;
}

static int later(weft_actor_ref to, int64_t when, uint64_t tag, const void *data, size_t len, int prio, unsigned flags,
		 weft_actor_timer **out)
{
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	weft_actor_timer *t;
	struct letter *l;
	unsigned home;
	int rc = 0;

	if (out)
		*out = NULL;
	if (prio < WEFT_PRIO_URGENT || prio > WEFT_PRIO_LOW || (len && !data) || when == WEFT_FOREVER)
		return WEFT_EINVAL;
	if (len >= MSG_MAX)
		return WEFT_EMSGSIZE;
	t = timer_new(when);
	l = t ? letter_of_now(w, tag, data, len, prio, flags) : NULL;
	if (!l) {
		forget(t);
		return WEFT_ENOMEM;
	}
	t->actor = actor_lock(to);
	if (!t->actor) {
		letter_put(w, l);
		forget(t);
		return WEFT_ESRCH;
	}
	t->letter = l;
	store_relaxed(&t->refs, 3u); /* ours, the list's, the alarm's */
	list_push_tail(&t->actor->later, &t->link);
	home = t->actor->home;
	actor_unlock(t->actor);
	if (out)
		*out = t; /* it may be due before this returns */
	if (weft__usertimer_start(t->alarm, home, when))
		rc = undo(t);
	if (rc && out)
		*out = NULL;
	if (rc || !out)
		unref(t);
	return rc;
}

/* WEFT_FOREVER is never, and what is too far off is late. */
static int64_t in(int64_t ns)
{
	int64_t when = weft_in(ns);

	return when == WEFT_FOREVER && ns != WEFT_FOREVER ? when - 1 : when;
}

int weft_actor_send_at(weft_actor_ref to, int64_t when, uint64_t tag, const void *data, size_t len, int prio, weft_actor_timer **out)
{
	return later(to, when, tag, data, len, prio, 0, out);
}

int weft_actor_send_after(weft_actor_ref to, int64_t ns, uint64_t tag, const void *data, size_t len, int prio, weft_actor_timer **out)
{
	return later(to, in(ns), tag, data, len, prio, 0, out);
}

int weft_server_cast_at(weft_actor_ref to, int64_t when, uint64_t tag, const void *data, size_t len, weft_actor_timer **out)
{
	return later(to, when, tag, data, len, WEFT_PRIO_NORMAL, LETTER_CAST, out);
}

int weft_server_cast_after(weft_actor_ref to, int64_t ns, uint64_t tag, const void *data, size_t len, weft_actor_timer **out)
{
	return later(to, in(ns), tag, data, len, WEFT_PRIO_NORMAL, LETTER_CAST, out);
}

int weft_actor_timer_cancel(weft_actor_timer *t)
{
	struct worker *w = weft__worker(); /* as above */
	struct letter *l;

	if (!t)
		return 0;
	lock_take_solo(&t->actor->lock, RANK_ACTOR);
	l = take(t);
	actor_unlock(t->actor);
	if (l) {
		letter_put(w, l);
		unref(t);
	}
	stop(t);
	unref(t);
	return l != NULL;
}

int64_t weft_actor_timer_left(weft_actor_timer *t)
{
	int64_t left;
	bool waits;

	(void)weft__worker(); /* as above */
	if (!t)
		return WEFT_ESRCH;
	lock_take_solo(&t->actor->lock, RANK_ACTOR);
	waits = t->letter != NULL;
	actor_unlock(t->actor);
	if (!waits)
		return WEFT_ESRCH;
	left = t->when - clock_now();
	return left > 0 ? left : 0;
}
