/* SPDX-License-Identifier: MIT
 *
 * ctx_done.c - who is told of a context's end: those who wait for it, and callbacks.
 *
 * Whoever waits is in the context's list, under its lock; cancel claims them. A deadline wakes nobody by itself: who waits for a context that has one waits no longer
 * than until then, and looks again (source.h, due).
 *
 * A callback is a user timer (core/usertimer.c), set to the deadline or to never, so that it holds the task it will start from the beginning; cancel sets it to now.
 * One compare-and-swap of `state` decides between cancel and weft_ctx_forget; whether the deadline came first, the timer knows.
 */
#include "core/ctx.h"

#include "base/clock.h"
#include "base/ref.h"
#include "core/source.h"
#include <stdlib.h>

/* --- waiting --- */

/* A cancel of the root ends the caller's wait by itself, whatever it waits for. */
static bool ends_with_root(struct self *me)
{
	return me->worker && !(load_relaxed(&me->task->cancel) & (CANCEL_SHIELD | CANCEL_APART)); /* own bits */
}

static int ctx_look(struct weft_case *cs, struct self *me, struct waiter *w)
{
	weft_ctx *c = cs->on;
	bool done;

	if (!c)
		return 0; /* never */
	done = weft_ctx_reason(c) != WEFT_NOT_CANCELED;
	if (done || !w)
		return done;
	if (ends_with_root(me) && c->home == me->worker->home) {
		if (ctx_is_root(c))
			return 0;
	} else if (!ctx_is_root(c) && weft__ctx_heard(c)) {
		return 1;
	}
	lock_take_solo(&c->lock, RANK_CTX);
	done = load_relaxed(&c->reason) != WEFT_NOT_CANCELED; /* under lock */
	if (!done)
		source_list(w, &c->waiters, &c->lock, RANK_CTX, c);
	lock_drop_solo(&c->lock);
	return done;
}

static bool ctx_finish(struct weft_case *cs, struct waiter *w, bool fired)
{
	(void)w;
	if (!fired)
		return false;
	cs->status = 0;
	if (cs->ret)
		*cs->ret = weft_ctx_reason(cs->on);
	return true;
}

static int64_t ctx_due(const struct weft_case *cs)
{
	return cs->on ? weft_ctx_deadline(cs->on) : WEFT_FOREVER;
}

const struct weft_source weft_source_ctx = {.look = ctx_look, .finish = ctx_finish, .due = ctx_due};

int weft_ctx_wait_until(weft_ctx *c, int64_t deadline)
{
	weft_case done = WEFT_DONE(c ? c : weft_ctx_self(), NULL);

	return weft__source_wait(&done, REASON_CTX, deadline);
}

int weft_ctx_wait(weft_ctx *c)
{
	return weft_ctx_wait_until(c, WEFT_FOREVER);
}

/* --- callbacks --- */

enum { HOOK_SET, HOOK_FIRED, HOOK_FORGOTTEN };

struct weft_ctx_hook {
	struct list_node link;      /* in ctx->hooks; under its lock */
	struct weft_ctx_hook *next; /* in the chain of whoever cancels */
	weft_ctx *ctx;              /* one reference */
	weft_timer *timer;
	ATOMIC(int) state;
	ATOMIC(uint32_t) refs; /* the caller's, and one while listed or on a chain */
};

static void hook_unref(struct weft_ctx_hook *h)
{
	if (!ref_drop(&h->refs))
		return;
	weft__usertimer_unref(h->timer); /* stopped, or about to fire */
	free(h);
}

/* From cancel. */
void weft__ctx_hooks_take(weft_ctx *c, struct weft_ctx_hook **chain)
{
	struct list_node *n;

	while ((n = list_pop_head(&c->hooks)) != NULL) {
		struct weft_ctx_hook *h = container_of(n, struct weft_ctx_hook, link);

		h->next = *chain;
		*chain = h;
	}
}

static void fire(struct weft_ctx_hook *h)
{
	int was = HOOK_SET;

	if (cas_acq_rel(&h->state, &was, HOOK_FIRED)) /* against weft_ctx_forget */
		weft__usertimer_hasten(h->timer);
}

void weft__ctx_hooks_start(struct weft_ctx_hook *h)
{
	while (h) {
		struct weft_ctx_hook *next = h->next;

		fire(h);
		hook_unref(h);
		h = next;
	}
}

weft_ctx_hook *weft_ctx_on_done(weft_ctx *c, void (*fn)(void *arg), void *arg)
{
	struct weft_ctx_hook *h = fn ? calloc(1, sizeof *h) : NULL;
	int64_t deadline, now;
	bool ended;

	if (!h)
		return NULL;
	if (!c)
		c = weft_ctx_self();
	deadline = weft_ctx_deadline(c);
	now = clock_now();
	h->timer = weft_timer_after(deadline == WEFT_FOREVER ? INT64_MAX : deadline <= now ? 0 : deadline - now, fn, arg);
	if (!h->timer) {
		free(h);
		return NULL;
	}
	store_relaxed(&h->refs, 1u); /* not shared yet */
	h->ctx = weft_ctx_ref(c);
	(void)weft__worker(); /* see base/solo.h */
	ended = !ctx_is_root(c) && weft__ctx_heard(c);
	lock_take_solo(&c->lock, RANK_CTX);
	if (!ended && !load_relaxed(&c->reason)) { /* under lock */
		list_push_tail(&c->hooks, &h->link);
		store_relaxed(&h->refs, 2u); /* as above */
	}
	lock_drop_solo(&c->lock);
	if (load_relaxed(&h->refs) == 1) /* cancelled already; or taken by a cancel just now, which fires it, too */
		fire(h);
	return h;
}

int weft_ctx_forget(weft_ctx_hook *h)
{
	int was = HOOK_SET;
	bool listed;
	int stopped;

	if (!h)
		return 0;
	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&h->ctx->lock, RANK_CTX);
	listed = list_linked(&h->link);
	if (listed)
		list_remove(&h->link);
	lock_drop_solo(&h->ctx->lock);
	stopped = cas_acq_rel(&h->state, &was, HOOK_FORGOTTEN) &&
		  weft_timer_stop(h->timer); /* against fire; the deadline may have come first */
	weft_ctx_free(h->ctx);
	if (listed)
		hook_unref(h);
	hook_unref(h);
	return stopped;
}
