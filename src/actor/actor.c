/* SPDX-License-Identifier: MIT
 *
 * actor.c - the life of an actor: the loop, failures, how it ends; what can be asked of one.
 *
 *	actor_main   on a task of its own
 *	  try body: on_start, then receive and handle, or run      a panic comes out of the try as WEFT_EPANIC
 *	  failed, and on_error is for it: once more from body
 *	  finish: on_stop, death.c                                 also if the task ends by weft_task_exit: what is deferred before all else
 *	end_for        on another's, where a fault has ended the task (core/contain.c): death.c at once
 */
#include "actor/actor.h"

#include "base/check.h"
#include "base/clock.h"
#include <string.h>

/* An actor's frame. */
struct life {
	struct actor *a;
	weft_defer defer;
	weft_panic panic, asked; /* of the try; of what on_error is asked about */
	weft_end end;
	bool finishing, over;
	bool said; /* panic */
};

/* --- the loop --- */

CALLS_OUT static int serve(struct actor *a)
{
	weft_msg *m;
	int rc;

	for (;;) {
		rc = weft_actor_recv(&m);
		if (unlikely(rc))
			return rc;
		a->current = letter_of(m);
		rc = a->on_msg(a->state_data, m);
		if (likely(a->current != NULL)) {
			list_remove(&a->current->link);
			letter_put(weft__worker(), a->current);
			a->current = NULL;
		}
		if (unlikely(rc))
			return rc < 0 ? rc : rc == WEFT_ACTOR_STOP ? 0 : WEFT_EINVAL;
	}
}

/* on_start has succeeded. */
static void begun(struct actor *a)
{
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	struct weft_task *ready;

	lock_take_solo(&a->lock, RANK_ACTOR);
	a->state = CELL_RUNNING;
	ready = weft__actor_started(a, 0);
	actor_unlock(a);
	if (ready)
		weft__ready(w, ready);
}

CALLS_OUT static int body(void *arg)
{
	struct life *l = arg;
	struct actor *a = l->a;
	int rc, error = a->error;

	if (unlikely(a->current != NULL)) /* a panic came in between */
		weft_msg_free(&a->current->msg);
	if (unlikely(error)) {
		a->error = 0;
		a->asking = true;
		rc = a->on_error(a->state_data, error,
				 error == WEFT_EPANIC && l->asked.file ? &l->asked : NULL /* or on_msg has just returned that code */);
		if (rc < 0)
			return rc;
		a->asking = false;
	}
	if (a->state == CELL_STARTING) { /* written by us only */
		rc = a->on_start(a->state_data);
		if (rc < 0)
			return rc;
		begun(a);
	}
	return a->run ? a->run(a->state_data) : serve(a);
}

/* Is on_error asked what to do about rc? Not about what it has come to itself, and not when the actor is to end anyway. */
static bool may_go_on(struct actor *a, int rc)
{
	bool ordered;

	if (rc >= 0 || !a->on_error || a->asking || a->state != CELL_RUNNING)
		return false;
	lock_take_solo(&a->lock, RANK_ACTOR);
	ordered = a->order != ORDER_NONE;
	actor_unlock(a);
	return !ordered && !weft_ctx_check();
}

/* The caller is an actor, or was until just now: its panic is told to the user. */
static void say(const weft_panic *p)
{
	struct weft_task *t = weft_task_self();
	char label[64];

	weft__log("actor of task %llu (%s) panicked: %s (%s:%d)", (unsigned long long)t->id, weft__task_label(t, label, sizeof label),
		  p->message, p->file, p->line);
}

/* Looking for a stack takes its time: in a storm of panics most are told without. */
#define SHOWN_A_SECOND 16

void weft__actor_show(void)
{
	static ATOMIC(uint64_t) shown; /* in this second: the second, and how many */
	uint64_t now = (uint64_t)(clock_now() / WEFT_SEC) * SHOWN_A_SECOND, was = load_relaxed(&shown), next;

	do {
		next = was >= now && was < now + SHOWN_A_SECOND ? was + 1 : now + 1;
		if (next == now + SHOWN_A_SECOND)
			return;
	} while (!cas_relaxed(&shown, &was, next)); /* a figure */
	if (weft__fatal_hook)
		weft__fatal_hook();
}

static void say_and_show(void *arg, const weft_panic *p)
{
	(void)arg;
	say(p);
	weft__actor_show();
}

int weft__actor_try(weft_task_fn *fn, void *arg)
{
	weft_panic p;

	return weft__task_try(fn, arg, &p, say_and_show, NULL);
}

/* Of body. What on_error will be asked about is on_error's. */
static void heard(void *arg, const weft_panic *p)
{
	struct life *l = arg;

	l->said = !may_go_on(l->a, WEFT_EPANIC);
	if (l->said)
		say_and_show(NULL, p);
}

/* --- the end --- */

weft_end weft__actor_end_of(struct actor *a, int rc)
{
	bool told = rc == WEFT_ECLOSED || rc == WEFT_ECANCELED || rc == WEFT_ETIMEDOUT; /* by what it waited for */

	if (a->order == ORDER_KILL)
		return a->end;
	if (rc == WEFT_EPANIC)
		return (weft_end){WEFT_END_PANIC, rc};
	if (a->order && (rc >= 0 || told))
		return a->end;
	if (rc == 0)
		return (weft_end){WEFT_END_NORMAL, 0};
	if (told && weft_ctx_reason(NULL) != WEFT_NOT_CANCELED)
		return (weft_end){WEFT_END_CANCELED, rc};
	return (weft_end){WEFT_END_CODE, rc};
}

CALLS_OUT static int stop_body(void *arg)
{
	struct life *l = arg;

	l->a->on_stop(l->a->state_data, l->end);
	return 0;
}

/* on_stop shall not be cancelled but by a kill: not by what has ended the actor, which may be on its way yet, nor by what ends its parent meanwhile. False: it has been killed. */
static bool shield(struct actor *a)
{
	weft_ctx *c = weft_ctx_without_cancel(NULL), *up;
	bool killed;

	lock_take_solo(&a->lock, RANK_ACTOR);
	killed = a->order == ORDER_KILL;
	a->last_ctx = c;
	actor_unlock(a);
	if (c) {
		up = weft_ctx_enter(c);
		weft_ctx_free(up); /* it does not come back there */
	}
	return !killed;
}

CALLS_OUT static void finish(struct life *l, int rc)
{
	struct actor *a = l->a;
	bool started = a->state != CELL_STARTING, canceled = weft__actor_canceled();

	l->finishing = true;
	if (!started && rc >= 0)
		rc = WEFT_EDOWN; /* by weft_task_exit */
	(void)weft__worker();    /* see base/solo.h */
	lock_take_solo(&a->lock, RANK_ACTOR);
	l->end = weft__actor_end_of(a, rc);
	if ((canceled && rc == WEFT_ECANCELED) || (a->order == ORDER_KILL && rc == WEFT_ESRCH)) /* ESRCH: no name for it */
		rc = WEFT_EDOWN;                                                                /* for the starter, who is not */
	if (started)
		a->state = CELL_STOPPING;
	actor_unlock(a);
	if (started && a->on_stop && shield(a) && weft__actor_try(stop_body, l) == WEFT_EPANIC)
		l->end = (weft_end){WEFT_END_PANIC, WEFT_EPANIC};
	(void)weft__worker(); /* as above */
	lock_take_solo(&a->lock, RANK_ACTOR);
	if (a->order == ORDER_KILL)
		l->end = a->end;
	actor_unlock(a);
	l->over = true;
	weft__actor_die(a, l->end, started ? 0 : rc);
}

/* The task ends by weft_task_exit. */
CALLS_OUT static void left(void *arg)
{
	struct life *l = arg;

	if (l->over)
		return;
	if (l->finishing) { /* in on_stop */
		l->over = true;
		weft__actor_die(l->a, l->end, 0);
		return;
	}
	weft__defer_push(&l->defer, left, l);
	finish(l, l->defer.weft__task->own.unwinding ? WEFT_EPANIC : l->defer.weft__task->result); /* as in detached */
	weft__defer_drop(&l->defer);
}

CALLS_OUT static void actor_main(struct actor *a)
{
	struct weft_task *t = weft_task_self();
	struct life l; /* large, and most of it is for a panic only */
	int rc;

	l.a = a;
	l.finishing = l.over = l.said = false;
	a->life = &l;
	t->own_actor = a;
	store_relaxed(&a->task, t); /* compared with by others, no more */
	weft__defer_push(&l.defer, left, &l);
	while (may_go_on(a, rc = weft__task_try(body, &l, &l.panic, heard, &l))) {
		l.asked = l.panic;
		a->error = rc;
	}
	if (rc == WEFT_EPANIC && l.panic.file && !l.said) /* it has been told to end since */
		say(&l.panic);
	finish(&l, rc);
	weft__defer_drop(&l.defer);
}

void (*const weft__actor_main)(void) = (void (*)(void))actor_main;

/* --- one that is contained --- */

static bool asks(const struct weft_task *t, uintptr_t *top)
{
	struct actor *a = t->fn == weft__actor_main ? t->own_actor : NULL;

	if (!a || !a->contain)
		return false;
	*top = (uintptr_t)a->life;
	return true;
}

static void *leaves(struct weft_task *t)
{
	struct actor *a = t->own_actor;

	lock_take_solo(&a->lock, RANK_ACTOR);
	store_relaxed(&a->task, NULL); /* under lock: who kills it now has nothing to cancel */
	actor_unlock(a);
	return a;
}

/* The end of an actor whose task is no more, on another. */
static void end_for(struct actor *a, uintptr_t code)
{
	bool started = a->state != CELL_STARTING; /* written by its task only */

	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&a->lock, RANK_ACTOR);
	if (started)
		a->state = CELL_STOPPING;
	actor_unlock(a);
	weft__actor_die(a, (weft_end){WEFT_END_FAULT, (int)code}, started ? 0 : (int)code);
}

static void told(struct worker *w, void *what, int code)
{
	const uintptr_t words[4] = {(uintptr_t)what, (uintptr_t)code, 0, 0};
	int rc = weft__go_heir(w, (void (*)(void))end_for, words);

	if (rc) /* its record is kept, by its locks, and there is no memory for one more */
		weft__fatal("an actor has failed, and nobody can be had to say so: %s", weft_strerror(rc));
}

__attribute__((constructor)) static void hook(void)
{
	weft__contain_hooks.asks = asks;
	weft__contain_hooks.leaves = leaves;
	weft__contain_hooks.told = told;
}

/* --- asking --- */

weft_actor_ref weft_actor_self(void)
{
	struct actor *a = actor_self(weft__worker());

	return a ? actor_ref(a) : WEFT_NO_ACTOR;
}

bool weft_actor_alive(weft_actor_ref ref)
{
	struct actor *a;
	bool alive;

	(void)weft__worker(); /* see base/solo.h */
	a = actor_lock(ref);
	alive = a && !actor_deserted(a); /* who waited for its end has heard of it */
	if (a)
		actor_unlock(a);
	return alive;
}

int weft_actor_become(int (*on_msg)(void *state, weft_msg *m))
{
	struct actor *a = actor_self(weft__worker());

	if (!a || !a->on_msg || !on_msg)
		return WEFT_EINVAL;
	a->on_msg = on_msg;
	return 0;
}

int weft_actor_stats(weft_actor_ref ref, weft_actor_stat *out)
{
	struct actor *a;

	(void)weft__worker(); /* as above */
	if (!out)
		return WEFT_EINVAL;
	memset(out, 0, sizeof *out);
	a = actor_lock(ref);
	if (!a)
		return WEFT_ESRCH;
	out->state = a->state == CELL_STARTING ? WEFT_ACTOR_STARTING : a->state == CELL_STOPPING ? WEFT_ACTOR_STOPPING : WEFT_ACTOR_RUNNING;
	out->len = a->len;
	out->cap = a->cap;
	for (struct list_node *n = list_first(&a->sendq); n; n = list_after(&a->sendq, n))
		out->senders++;
	out->relations = a->nrelations;
	out->suspended = a->suspended;
	out->above = a->above;
	out->received = load_relaxed(&a->received); /* statistics */
	out->dropped = a->dropped;
	actor_unlock(a);
	return 0;
}

const char *weft_end_name(weft_end e)
{
	static const char *const names[] = {"normal", "code", "panic", "canceled", "killed", "shutdown", "unknown", "fault"};

	return e.kind >= 0 && e.kind <= WEFT_END_FAULT ? names[e.kind] : "?";
}
