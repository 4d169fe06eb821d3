/* SPDX-License-Identifier: MIT
 *
 * usertimer.c - timers and tickers of the program: Go 1.23's rules on top of the wheels.
 *
 * A timer's lock (RANK_TIMER) decides what happens to it; the wheel only says when.  Firing has two steps, because a wheel's lock ranks after a
 * channel's:
 *   1. under the wheel's lock: the node has left the wheel; the timer goes on the caller's list, in_flight, with the generation it was due for;
 *   2. with no wheel locked, under the timer's lock: if the generation is still the same, deliver; a ticker links itself again.
 * Stop and reset move the generation on, so what is in flight delivers nothing; a timer that was reset while in flight is linked by step 2.
 * A tick that sits in the channel is taken back by stop and reset.
 *
 * A timer that starts a task holds a record for it from the moment it is set, so that firing cannot fail; it is written when the timer fires.
 * One that calls a function of weft's (weft__usertimer_new) is started once, holds nothing, and calls it however its time ends: when it is due, or when the runtime goes down; unless stop says that it has prevented that.
 * One that is set to never (INT64_MAX) is armed and in no wheel: it keeps nobody's hope up (deadlock), and outlives the runtime unnoticed, so it knows its run.
 * References: the caller's, and one while linked or in flight.
 */
#include "core/runtime.h"

#include "base/clock.h"
#include "core/life.h"
#include "weft/chan.h"
#include <stdlib.h>

struct weft_timer {
	/* what stop touches */
	struct lock lock;            /* RANK_TIMER */
	uint32_t refs;               /* under lock */
	struct timer_node node;      /* kind TIMER_USER */
	ATOMIC(uint32_t) generation; /* of the setting; moved on by set and stop, under lock */
	bool in_flight;              /* between step 1 and step 2; under the lock of node.wheel */
	bool armed;                  /* will fire; under lock */
	bool ticked;                 /* a tick was put since it was last set, and may still be in the channel; under lock */
	bool ticker;                 /* constant */
	bool counted;                /* it will start a task, and the runtime counts on that (life.c); under lock */
	bool hurried;                /* at once; under lock */
	struct weft_task *task;      /* reserved, to be started when it fires; under lock */
	uint32_t run;                /* of the runtime that it was reserved in, and that counts it; under lock */
	/* the rest */
	struct list_node fired;                    /* on the list of whoever fires it; under in_flight */
	uint32_t due_generation;                   /* valid while in flight; written by step 1 */
	int64_t when;                              /* under lock */
	int64_t period;                            /* ns; 0: once; under lock */
	weft_chan *chan;                           /* NULL: starts a task, or calls; constant */
	void (*call)(struct worker *w, void *arg); /* NULL: starts a task, or has a channel; constant */
	void (*fn)(void *);                        /* constant */
	void *arg;                                 /* constant */
};

/* Whether it will start a task. Locked. */
static void count(struct runtime *rt, weft_timer *t, bool will)
{
	if (t->hurried && !will) {
		t->hurried = false;
		weft__life_hurried(rt, false);
	}
	if (t->counted != will)
		weft__life_timer(rt, will); /* last: it has somebody look */
	t->counted = will;
}

/* Gives back the record it holds. rt: where the caller is; w: its worker there; NULL: none. Locked. */
static void unreserve(weft_timer *t, struct runtime *rt, struct worker *w)
{
	struct weft_task *task = t->task;
	struct runtime *its;

	t->task = NULL;
	if (task && rt && t->run == load_relaxed(&rt->run)) { /* constant while the caller is in it */
		weft__task_unreserve(rt, w, task);
		count(rt, t, false);
	} else if (task) {
		its = weft__rt_enter_run(t->run);
		if (its) {
			weft__task_unreserve(its, NULL, task);
			count(its, t, false);
			weft__rt_leave(its);
		} else {
			weft__rec_put_batch((void **)&task, 1); /* the runtime that counted it is gone */
		}
	}
	t->counted = t->hurried = false;
}

/* Unlocks it with a reference less. */
static void drop(weft_timer *t)
{
	bool last = --t->refs == 0;

	if (last)
		unreserve(t, NULL, NULL); /* never fired, and stopped when no runtime was up */

	lock_drop_solo(&t->lock);
	if (!last)
		return;
	weft_chan_free(t->chan);
	free(t);
}

void weft__usertimer_unref(weft_timer *t)
{
	lock_take_solo(&t->lock, RANK_TIMER);
	drop(t);
}

/* A time a wheel takes: after the end of time is at it. */
static int64_t later(int64_t when, int64_t ns)
{
	int64_t at = clock_add(when, ns);

	return at < WHEEL_NEVER ? at : WHEEL_NEVER - 1;
}

/* Links the node. Timer locked, node neither linked nor in flight. Takes a reference. */
static void link_node(struct runtime *rt, weft_timer *t)
{
	struct worker *w = weft__worker();
	struct worker *at = w && w->rt == rt && !seat_retired(w)
				    ? w
				    : &rt->workers[t->generation %
						   load_acquire(&rt->active)]; /* pairs with store_release in seats.c: it has its wheel */
	bool first;

	if (t->when == WHEEL_NEVER)
		return;
	t->refs++;
	lock_take_solo(&at->wheel.lock, RANK_WHEEL);
	first = weft__wheel_add(&at->wheel, &t->node, t->when);
	lock_drop_solo(&at->wheel.lock);
	if (first && at != w)
		weft__sched_notify(rt, at->id);
}

/* Takes the node out of its wheel. Timer locked. Returns whether it is in flight instead. */
static bool unlink_node(weft_timer *t)
{
	struct wheel *wheel = load_relaxed(&t->node.wheel); /* written by link_node, under the timer's lock */
	bool in_flight, linked;

	if (!wheel)
		return false;
	lock_take_solo(&wheel->lock, RANK_WHEEL);
	linked = list_linked(&t->node.link);
	if (linked)
		weft__wheel_remove(wheel, &t->node);
	in_flight = t->in_flight;
	lock_drop_solo(&wheel->lock);
	if (linked)
		t->refs--; /* the caller has one of his own */
	if (!in_flight)
		store_relaxed(&t->node.wheel, NULL); /* under lock: in no wheel, and the wheel may go */
	return in_flight;
}

/* Step 1. The wheel's lock is held. */
int64_t weft__usertimer_due(struct timer_node *n, int64_t now, struct list *fired)
{
	weft_timer *t = container_of(n, struct weft_timer, node);

	(void)now;
	t->in_flight = true;
	t->due_generation = load_relaxed(&t->generation); /* moved on only after the mover has held this wheel's lock */
	list_push_tail(fired, &t->fired);
	return WHEEL_NEVER;
}

/* Another runtime's task has set it meanwhile. Locked. */
static bool moves_on(weft_timer *t)
{
	struct runtime *rt =
		t->armed && t->due_generation != load_relaxed(&t->generation) ? weft__rt_enter_run(t->run) : NULL; /* under lock */

	if (!rt)
		return false;
	link_node(rt, t);
	weft__rt_leave(rt);
	return true;
}

/* Step 2. */
int weft__usertimer_fire(struct worker *w, struct list *fired, int64_t now)
{
	struct list_node *n;
	int ready = 0;

	while ((n = list_pop_head(fired)) != NULL) {
		weft_timer *t = container_of(n, struct weft_timer, fired);
		struct wheel *wheel;
		struct weft_task *task = NULL;
		bool counted = false, hurried = false;
		void (*call)(struct worker * w, void *arg) = NULL;
		void *arg = t->arg;

		lock_take_solo(&t->lock, RANK_TIMER);
		wheel = load_relaxed(&t->node.wheel); /* as in unlink_node */
		lock_take_solo(&wheel->lock, RANK_WHEEL);
		t->in_flight = false;
		lock_drop_solo(&wheel->lock);
		store_relaxed(&t->node.wheel, NULL);                                 /* as in unlink_node */
		if (t->armed && t->due_generation == load_relaxed(&t->generation)) { /* under lock */
			if (t->chan) {
				(void)weft__chan_put(t->chan, &now); /* full: the tick is dropped */
				t->ticked = true;
			} else {
				task = t->task; /* NULL: it calls */
				t->task = NULL;
				counted = t->counted;
				hurried = t->hurried;
				t->counted = t->hurried = false;
				call = t->call;
			}
			t->armed = t->period != 0;
			if (t->period) {
				t->when = later(t->when, t->period);
				if (t->when <= now) /* late: skip what was missed */
					t->when += (now - t->when + t->period) / t->period * t->period;
			}
			ready++;
		}
		if (t->armed && t->run == load_relaxed(&w->rt->run)) { /* constant */
			link_node(w->rt, t);
		} else if (t->armed && !moves_on(t)) {
			t->armed = false; /* it was set meanwhile by a task of a runtime that has gone */
			unreserve(t, w->rt, w);
		}
		if (task) { /* it calls fn by itself: an abandoned one holds nothing of the timer */
			weft__task_init(w->rt, w, task);
			task_mark(task, TASK_REGS);
			task->fn = (void (*)(void))t->fn;
			task->args.i[0] = (uintptr_t)t->arg;
		}
		if (counted)
			weft__life_timer(w->rt, false); /* not before: it is a start now */
		if (hurried)
			weft__life_hurried(w->rt, false); /* the same */
		drop(t);
		if (task)
			weft__sched_push(w, task);
		else if (call)
			call(w, arg);
	}
	return ready;
}

/* The runtime goes down with these timers in its wheels: they will never fire. They are in flight (step 1); other runtimes' tasks may be setting and stopping them. The only thread left of this one. */
void weft__usertimer_drop(struct list *fired)
{
	struct worker *w = weft__worker();
	struct list_node *n;

	while ((n = list_pop_head(fired)) != NULL) {
		weft_timer *t = container_of(n, struct weft_timer, fired);
		void (*call)(struct worker * w, void *arg) = t->call;
		struct wheel *wheel;
		void *arg = t->arg;

		lock_take_solo(&t->lock, RANK_TIMER);
		wheel = load_relaxed(&t->node.wheel); /* as in unlink_node */
		lock_take_solo(&wheel->lock, RANK_WHEEL);
		t->in_flight = false;
		lock_drop_solo(&wheel->lock);
		store_relaxed(&t->node.wheel, NULL); /* as in unlink_node */
		if (!t->armed)
			call = NULL; /* stopped: it will not be called */
		if (!moves_on(t)) {
			t->armed = false;
			unreserve(t, w->rt, w);
		}
		drop(t);
		if (call)
			call(w, arg);
	}
}

/* Sets it to fire in ns. Timer locked and disarmed, not linked. Returns 0, WEFT_ENOMEM, WEFT_ESRCH, WEFT_EAGAIN. */
static int arm(struct runtime *rt, weft_timer *t, int64_t ns, bool in_flight)
{
	struct worker *w = weft__worker();

	if (t->task && t->run != load_relaxed(&rt->run)) /* as in unreserve */
		unreserve(t, rt, NULL);
	if (!t->chan && !t->task) {
		int rc = weft__task_reserve(rt, w && w->rt == rt ? w : NULL, &t->task);

		if (rc)
			return rc;
	}
	t->run = load_relaxed(&rt->run); /* as in unreserve */
	t->when = ns == INT64_MAX ? WHEEL_NEVER : later(clock_now(), ns < 0 ? 0 : ns);
	t->armed = true;
	count(rt, t, !t->chan && !t->call && t->when != WHEEL_NEVER);
	if (!in_flight)
		link_node(rt, t);
	return 0;
}

static weft_timer *timer_new(int64_t ns, int64_t period, bool with_chan, void (*fn)(void *), void *arg)
{
	struct worker *w = weft__worker();
	struct runtime *rt = w ? w->rt : weft__rt_enter();
	weft_timer *t;
	int rc = 0;

	if (!rt)
		return NULL;
	t = calloc(1, sizeof *t);
	if (!t)
		goto out;
	t->refs = 1;
	t->node.kind = TIMER_USER;
	t->period = period;
	t->ticker = period != 0;
	t->fn = fn;
	t->arg = arg;
	if (with_chan)
		t->chan = weft_chan_make(sizeof(int64_t), 1);
	rc = with_chan && !t->chan ? WEFT_ENOMEM : 0;
	if (!rc) {
		lock_take_solo(&t->lock, RANK_TIMER);
		rc = arm(rt, t, ns, false);
		lock_drop_solo(&t->lock);
	}
	if (rc) {
		weft__usertimer_unref(t);
		t = NULL;
	}
out:
	if (!w)
		weft__rt_leave(rt);
	return t;
}

weft_timer *weft__usertimer_new(void (*call)(struct worker *w, void *arg), void *arg)
{
	weft_timer *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->refs = 1;
	t->node.kind = TIMER_USER;
	t->call = call;
	t->arg = arg;
	return t;
}

int weft__usertimer_start(weft_timer *t, unsigned home, int64_t when)
{
	struct worker *w = weft__worker_in(&weft__rts[home]);
	struct runtime *rt = w ? w->rt : weft__rt_enter_home(home);

	if (!rt)
		return WEFT_ESRCH;
	lock_take_solo(&t->lock, RANK_TIMER);
	t->run = load_relaxed(&rt->run); /* as in unreserve */
	t->when = when < WHEEL_NEVER ? when : WHEEL_NEVER - 1;
	t->armed = true;
	link_node(rt, t);
	lock_drop_solo(&t->lock);
	if (!w)
		weft__rt_leave(rt);
	return 0;
}

weft_timer *weft_timer_after(int64_t ns, void (*fn)(void *), void *arg)
{
	return fn ? timer_new(ns, 0, false, fn, arg) : NULL;
}

weft_timer *weft_timer_make(int64_t ns)
{
	return timer_new(ns, 0, true, NULL, NULL);
}

weft_timer *weft_ticker_make(int64_t ns)
{
	return ns > 0 ? timer_new(ns, ns, true, NULL, NULL) : NULL;
}

weft_chan *weft_timer_chan(weft_timer *t)
{
	return t ? t->chan : NULL;
}

/* Timer locked. Returns 1 if it was going to fire, or had fired and nobody has seen it. */
static int disarm(weft_timer *t, bool *in_flight)
{
	int was = t->armed;

	t->armed = false;
	*in_flight = unlink_node(t);
	/* after the node has left the wheel: what is in flight has the old number, and no step 1 can see the new one before it is linked again */
	store_relaxed(&t->generation, load_relaxed(&t->generation) + 1); /* under lock */
	if (t->ticked && weft__chan_take(t->chan, NULL) == 0)
		was = 1;
	t->ticked = false;
	return was;
}

int weft_timer_stop(weft_timer *t)
{
	struct worker *w = weft__worker();
	bool in_flight;
	int was = 0;

	lock_take_solo(&t->lock, RANK_TIMER);
	if (w || weft__run_is_up(t->run)) { /* else nothing can fire */
		was = disarm(t, &in_flight);
		unreserve(t, w ? w->rt : NULL, w);
	}
	lock_drop_solo(&t->lock);
	return was;
}

int weft_timer_reset(weft_timer *t, int64_t ns)
{
	struct worker *w = weft__worker();
	struct runtime *rt;
	bool in_flight;
	int rc, was;

	if (t->ticker && ns <= 0)
		return WEFT_EINVAL;
	rt = w ? w->rt : weft__rt_enter();
	if (!rt)
		return WEFT_ESRCH;
	lock_take_solo(&t->lock, RANK_TIMER);
	was = disarm(t, &in_flight);
	if (t->ticker)
		t->period = ns;
	rc = arm(rt, t, ns, in_flight);
	lock_drop_solo(&t->lock);
	if (!w)
		weft__rt_leave(rt);
	return rc ? rc : was;
}

void weft__usertimer_hasten(weft_timer *t)
{
	struct runtime *rt;
	bool in_flight;

	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&t->lock, RANK_TIMER);
	rt = weft__rt_enter_run(t->run); /* it fires where it was set, or not at all */
	if (rt && t->armed) {
		(void)disarm(t, &in_flight);
		if (t->task && !t->hurried) {
			t->hurried = true;
			weft__life_hurried(rt, true);
		}
		(void)arm(rt, t, 0, in_flight); /* it has its task */
	}
	lock_drop_solo(&t->lock);
	if (rt)
		weft__rt_leave(rt);
}

void weft_timer_free(weft_timer *t)
{
	if (!t)
		return;
	weft_timer_stop(t);
	weft__usertimer_unref(t);
}
