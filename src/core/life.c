/* SPDX-License-Identifier: MIT
 *
 * life.c - the states of a runtime, and how it ends when its tasks have.
 *
 *   DOWN -> PAUSED     weft_run with .paused: workers stand at the gate, a futex       PAUSED -> RUNNING   weft_resume
 *   DOWN -> RUNNING    weft_run                                                       any -> STOPPING     weft_shutdown, or its result is decided
 *   STOPPING -> DOWN   weft_run is about to return
 *
 * Have all tasks ended?  Starts and ends are counted by each worker for itself (stat_started, stat_finished), for statistics; nothing is added to either.  They are summed by
 * whoever is about to sleep while somebody wants to know (rt->watch): first all ends, then, a fence later, all starts.  As no task ends that was not started, and both counts
 * only grow, sums that are equal mean that at the fence no task was alive.  No last end is missed: the worker on which it happened looks before it sleeps, and its look, which begins with a
 * fence, sees the ends on all workers whose own looks do not see this one.  (A start that fails is taken back; then its worker looks later, or is kicked.)
 * Not counted are tasks that serve the process (weft__ctx_service) and those that wait in weft_shutdown; a timer that will start a task counts for WEFT_EXIT_ON_IDLE, and so does a job of a pool, until its
 * future has ended; a callback that a cancel has set off counts for both.
 *
 * A shutdown.  From the first call of weft_shutdown on the end of the first task does not stop the runtime; the end of the last of its callers does, or, if that is a foreign
 * thread, its return.  Callers that are tasks are marked as it is (task_is_main).  Each has a `closer` in its frame, in a list while it waits; `over` is set once, under the lock, by
 * whoever finds that all tasks have ended, or takes the runtime down.
 *
 * Model: test/model/quiet.pml.
 */
#include "core/life.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/futex.h"
#include "base/solo.h"
#include "core/lot.h"
#include "core/offload.h"
#include <limits.h>

struct closer {
	struct list_node link;         /* in rt->closing; under lock */
	struct list_node outside_link; /* no task of rt's: in rt->outside until it returns; under lock */
	struct weft_task *task;        /* NULL: no task of rt's */
	struct runtime *by;            /* another runtime's task: whose; else NULL */
	ATOMIC(bool) over;             /* written under lock */
	int rc;                        /* valid when over */
};

static struct lock lock; /* RANK_CTX; guards what follows, and of the runtime what says so */

/* --- states --- */

void weft__life_begin(struct runtime *rt)
{
	list_init(&rt->closing);
	store_relaxed(&rt->phase, (uint32_t)(load_relaxed(&rt->gate) ? WEFT_STATE_PAUSED : WEFT_STATE_RUNNING)); /* publishing orders it */
}

void weft__life_down(struct runtime *rt)
{
	weft__ctx_root_over(rt);
	store_relaxed(&rt->phase, (uint32_t)WEFT_STATE_DOWN); /* a state; orders nothing */
}

enum weft_state weft__life_state(struct runtime *rt)
{
	bool in = weft__worker_in(rt), up = in || weft__rt_enter_home(rt->home);
	uint32_t p = load_relaxed(&rt->phase); /* a look */

	if (!up) /* not up yet, or going down */
		return p == WEFT_STATE_STOPPING ? WEFT_STATE_STOPPING : WEFT_STATE_DOWN;
	if (!in)
		weft__rt_leave(rt);
	return (enum weft_state)p;
}

enum weft_state weft_state(void)
{
	struct worker *w = weft__worker();
	uint32_t run = w ? 0 : weft__thread_run();

	if (run && !weft__run_is_up(run)) /* what the thread has chosen has gone; another may have its number */
		return WEFT_STATE_DOWN;
	return weft__life_state(weft__rt_here());
}

void weft__life_gate(struct runtime *rt)
{
	while (load_acquire(&rt->gate) && !load_acquire(&rt->stopping)) /* pair with open_gate, and store_release in weft__runtime_stop */
		weft__futex_wait(&rt->gate, 1u, INT64_MAX);
}

static bool open_gate(struct runtime *rt)
{
	uint32_t paused = 1, was = WEFT_STATE_PAUSED;

	if (!cas_acq_rel(&rt->gate, &paused, 0u)) /* pairs with load_acquire in weft__life_gate */
		return false;
	cas_relaxed(&rt->phase, &was, (uint32_t)WEFT_STATE_RUNNING); /* else it is stopping */
	weft__futex_wake(&rt->gate, INT_MAX);
	weft__monitor_poke(rt);
	return true;
}

int weft_resume(void)
{
	struct runtime *rt;
	bool done;

	if (weft__worker())
		return WEFT_EALREADY;
	rt = weft__rt_enter();
	if (!rt)
		return WEFT_ESRCH;
	done = open_gate(rt);
	weft__rt_leave(rt);
	return done ? 0 : WEFT_EALREADY;
}

void weft__life_stopping(struct runtime *rt)
{
	store_relaxed(&rt->phase, (uint32_t)WEFT_STATE_STOPPING); /* a state; orders nothing */
	open_gate(rt);
}

/* --- have all tasks ended? --- */

static uint64_t started(struct runtime *rt)
{
	uint64_t n = load_relaxed(&rt->stat_started); /* the fences of ended() order it */

	for (unsigned i = 0, seats = rt_seats(rt); i < seats; i++)
		n += load_relaxed(&rt->workers[i].stat_started); /* the same */
	return n;
}

static uint64_t finished(struct runtime *rt)
{
	uint64_t n = 0;

	for (unsigned i = 0, seats = rt_seats(rt); i < seats; i++)
		n += load_relaxed(&rt->workers[i].stat_finished); /* as in started */
	return n;
}

/* All but those that wait in weft_shutdown, and serve the process. *timers: those that will start one, then, and jobs of pools. Locked. */
static bool ended(struct runtime *rt, size_t *timers)
{
	uint64_t ends;
	size_t calls, serve;

	asym_heavy(); /* pairs with the stores of stat_finished: an end is seen here, or whoever counts it sees that somebody wants to know, and looks later */
	ends = finished(rt);
	if (started(rt) - ends > weft__ctx_service_tasks(rt) + rt->off)
		return false;
	asym_heavy();                        /* pairs with the stores of stat_started: of what has ended the start is seen below */
	*timers = load_acquire(&rt->timers); /* pairs with weft__life_timer: one that has gone off is a start below */
	*timers += weft__offload_counted(rt);
	calls = load_acquire(&rt->hurried); /* the same, with weft__life_hurried */
	if (calls)
		return false;
	serve = weft__ctx_service_tasks(rt); /* before the starts: one that serves is counted as one before it is listed */
	return serve + rt->off == started(rt) - ends;
}

/* The closers are told, and are to be woken. Locked. */
static void tell_closers(struct runtime *rt, int rc)
{
	struct list_node *n;

	while ((n = list_pop_head(&rt->closing)) != NULL) {
		struct closer *c = container_of(n, struct closer, link);

		c->rc = rc;
		store_release(&c->over, true); /* pairs with load_acquire in still_waits; c's frame may be gone once this is unlocked */
	}
	rt->off = 0;
}

/* Returns whether anything came of it. */
static bool look(struct runtime *rt, struct worker *w)
{
	size_t timers = 0;
	bool all, stop = false, tell = false;

	lock_take(&lock, RANK_CTX);
	if (load_acquire(&rt->stopping)) { /* pairs with store_release in weft__runtime_stop */
		lock_drop(&lock);
		return false;
	}
	all = ended(rt, &timers);
	if (all && !list_empty(&rt->closing)) {
		tell = true;
		tell_closers(rt, 0);
	} else if (all && !rt->closers) {
		stop = rt->exit == WEFT_EXIT_ON_IDLE && rt->main_over && !timers;
	}
	lock_drop(&lock);
	if (tell)
		weft__lot_wake_all(w, &rt->closing, 0);
	if (stop)
		weft__runtime_stop(rt, rt->main_result);
	return tell || stop;
}

bool weft__life_look(struct worker *w)
{
	return look(w->rt, w);
}

bool weft__life_walk(struct runtime *rt)
{
	bool walk;

	lock_take(&lock, RANK_CTX);
	walk = rt->closers && !rt->walked_again &&
	       !load_acquire(&rt->hurried) && /* pairs with weft__life_hurried: the first walk is over */
	       idle_all_asleep(&rt->idle, rt_seats(rt));
	rt->walked_again |= walk;
	lock_drop(&lock);
	return walk;
}

/* A foreign thread has done what a worker would look at before it sleeps: all may be asleep. */
static void kick(struct runtime *rt)
{
	asym_light(); /* pairs with asym_heavy in ended */
	if (unlikely(load_relaxed(&rt->watch)) && !weft__worker_in(rt))
		weft__sched_notify(rt, 0);
}

void weft__life_timer(struct runtime *rt, bool set)
{
	if (set) {
		(void)solo_add64(&rt->timers, 1); /* by a task that is alive, or a foreign thread, which nobody waits for */
		return;
	}
	(void)solo_add64(&rt->timers, (uint64_t)-1); /* pairs with load_acquire in ended */
	kick(rt);
}

void weft__life_told(struct runtime *rt)
{
	if (weft__worker_in(rt) || !weft__rt_enter_home(rt->home)) /* or another that has the number: it is kicked for nothing */
		return;
	kick(rt);
	weft__rt_leave(rt);
}

void weft__life_hurried(struct runtime *rt, bool set)
{
	add_acq_rel(&rt->hurried, set ? (size_t)1 : (size_t)-1); /* pairs with load_acquire in ended */
}

void weft__life_unstarted(struct runtime *rt)
{
	kick(rt);
}

/* --- the end of the first task, and of those that shut down --- */

/* One caller of weft_shutdown less. Returns whether it was the last. Locked. */
static bool closer_less(struct runtime *rt, int *result)
{
	*result = rt->main_over ? rt->main_result : WEFT_ETIMEDOUT;
	return --rt->closers == 0;
}

void weft__life_main_ended(struct runtime *rt, struct weft_task *t, int result)
{
	bool first = t == rt->main, stop = false;

	lock_take(&lock, RANK_CTX);
	if (first) {
		rt->main = NULL; /* its record may soon be that of one that shuts down */
		rt->main_over = true;
		rt->main_result = result;
		stop = !rt->closers && rt->exit == WEFT_EXIT_ON_MAIN;
	}
	if (!first || rt->main_closes)
		stop = closer_less(rt, &result);
	store_relaxed(&rt->watch, true); /* made visible by the fence of whoever looks; own looks see it */
	lock_drop(&lock);
	if (stop)
		weft__runtime_stop(rt, result);
}

static bool still_waits(void *arg)
{
	struct closer *c = arg;

	return !load_acquire(&c->over); /* pairs with store_release in tell_closers */
}

/* The caller is one of those who shut down from here on. Returns 0, or WEFT_ECANCELED: it goes down already. */
static int enlist(struct runtime *rt, struct closer *c)
{
	struct weft_task *t = c->task;

	lock_take(&lock, RANK_CTX);
	if (load_acquire(&rt->stopping)) { /* pairs with store_release in weft__runtime_stop */
		lock_drop(&lock);
		return WEFT_ECANCELED;
	}
	if (!t) {
		rt->closers++;
		list_push_tail(&rt->outside, &c->outside_link);
	} else if (t == rt->main) {
		rt->closers += !rt->main_closes;
		rt->main_closes = true;
	} else if (!task_is_main(t)) {
		rt->closers++;
		task_mark_main(t);
	}
	rt->off += t != NULL;
	list_push_tail(&rt->closing, &c->link);
	store_relaxed(&rt->phase, (uint32_t)WEFT_STATE_STOPPING); /* a state; orders nothing */
	store_relaxed(&rt->watch, true);                          /* made visible by the fence of the look below */
	lock_drop(&lock);
	return 0;
}

/* It waits no more. Returns its result: WEFT_ETIMEDOUT if nobody has told it. */
static int delist(struct runtime *rt, struct closer *c)
{
	int rc = WEFT_ETIMEDOUT;

	lock_take(&lock, RANK_CTX);
	if (load_relaxed(&c->over)) { /* under lock */
		rc = c->rc;
	} else { /* so rt is still there */
		list_remove(&c->link);
		rt->off -= c->task != NULL;
	}
	lock_drop(&lock);
	return rc;
}

/* One that has shut rt down and is no task of its returns. */
static void foreign_closed(struct runtime *rt, struct closer *c)
{
	int result;
	bool last = false;

	lock_take(&lock, RANK_CTX);
	if (list_linked(&c->outside_link)) { /* else no worker runs any more */
		list_remove(&c->outside_link);
		last = closer_less(rt, &result);
	}
	lock_drop(&lock);
	if (last)
		weft__runtime_stop(rt, result);
}

/* What is left, on standard error, or in out. Returns how many. */
static int stragglers(struct runtime *rt, weft_task_info *out, int max)
{
	if (out || max)
		return weft__hooks.list_stragglers ? weft__hooks.list_stragglers(rt, out, max) : 0;
	return weft__hooks.dump_stragglers ? weft__hooks.dump_stragglers(rt) : 0;
}

/* For a task of rt's; or (t NULL) another's, or a foreign thread, that is in rt and leaves it. */
static int shut(struct runtime *rt, struct weft_task *t, int64_t deadline, weft_task_info *out, int max, int *n)
{
	uint32_t run = load_relaxed(&rt->run); /* constant while the caller is in it */
	struct worker *w = weft__worker();
	struct closer c = {.task = t, .by = w && w->rt != rt ? w->rt : NULL};
	int rc;

	weft__life_hurried(rt, true); /* what the cancel sets off is not all known before it is done: until then nobody is told */
	rc = enlist(rt, &c);
	if (rc) {
		weft__life_hurried(rt, false); /* it goes down: nobody looks */
		if (!t)
			weft__rt_leave(rt);
		return rc;
	}
	(void)weft__ctx_root_cancel(rt); /* or another has */
	weft__life_hurried(rt, false);
	open_gate(rt);
	(void)look(rt, weft__worker());
	kick(rt); /* all may have gone to sleep meanwhile: the last of them walks again */
	if (!t)
		weft__rt_leave(rt); /* it may go down meanwhile, and tells c */
	while (!rc && still_waits(&c) && deadline > clock_now())
		rc = weft__lot_wait_shielded_until(&rt->closing, still_waits, &c, REASON_SHUTDOWN, deadline);
	rc = delist(rt, &c);
	if (!t && !weft__rt_enter_run(run))
		return rc;
	if (rc == WEFT_ETIMEDOUT)
		*n = stragglers(rt, out, max);
	if (!t) {
		foreign_closed(rt, &c);
		weft__rt_leave(rt);
	}
	return rc;
}

static int shutdown(int64_t deadline, weft_task_info *out, int max, int *n)
{
	struct worker *w = weft__worker();
	struct weft_task *t = w ? load_relaxed(&w->cur) : NULL; /* own */
	struct runtime *rt;

	if (w && !t)
		weft__fatal("weft_shutdown was called from a worker's own stack (a callback must not block)");
	if (weft__offload_here())
		return WEFT_EINVAL;
	if (!w && !weft__foreign())
		return WEFT_ENOMEM;
	rt = w ? w->rt : weft__rt_enter();
	if (!rt)
		return WEFT_ESRCH;
	return shut(rt, t, deadline, out, max, n);
}

int weft_shutdown_list(int64_t deadline, weft_task_info *out, int max, int *n)
{
	int rc;

	if (n)
		*n = 0;
	if (!n || !out || max <= 0)
		return WEFT_EINVAL;
	rc = shutdown(deadline, out, max, n);
	NO_JUMP();
	return rc;
}

int weft_shutdown_until(int64_t deadline)
{
	int n, rc = shutdown(deadline, NULL, 0, &n);

	NO_JUMP();
	return rc;
}

int weft_shutdown(int64_t grace_ns)
{
	int n, rc = shutdown(weft_in(grace_ns), NULL, 0, &n);

	NO_JUMP();
	return rc;
}

int weft__life_shut(struct runtime *rt, int64_t deadline)
{
	int n;

	return shut(rt, NULL, deadline, NULL, 0, &n);
}

/* Tasks of `by`, which never run again, have shut rt down: it does not wait for their return. The caller is in rt. */
static void closers_gone(struct runtime *rt, struct runtime *by)
{
	struct list_node *n, *next;
	int result = 0;
	bool last = false;

	lock_take(&lock, RANK_CTX);
	for (n = list_first(&rt->outside); n; n = next) {
		struct closer *c = container_of(n, struct closer, outside_link);

		next = list_after(&rt->outside, n);
		if (c->by != by)
			continue;
		list_remove(n);
		if (!load_relaxed(&c->over)) /* under lock */
			list_remove(&c->link);
		last |= closer_less(rt, &result);
	}
	lock_drop(&lock);
	if (last)
		weft__runtime_stop(rt, result);
}

/* No worker runs any more. */
void weft__life_over(struct runtime *rt)
{
	lock_take(&lock, RANK_CTX);
	tell_closers(rt, WEFT_ECANCELED);
	while (list_pop_head(&rt->outside) != NULL)
		;
	lock_drop(&lock);
	weft__lot_wake_all(NULL, &rt->closing, 0); /* others than its tasks, which never run again */
	for (unsigned i = 0; i < RUNTIMES_MAX && load_relaxed(&weft__others); i++) {
		struct runtime *other = i == rt->home ? NULL : weft__rt_enter_home(i);

		if (!other)
			continue;
		closers_gone(other, rt);
		weft__rt_leave(other);
	}
}

bool weft__life_excused(struct weft_task *t)
{
	struct runtime *rt = &weft__rts[load_relaxed(&t->home)]; /* a look */
	bool closes;

	lock_take(&lock, RANK_CTX);
	closes = task_is_main(t) && (t != rt->main || rt->main_closes);
	lock_drop(&lock);
	return closes || weft__ctx_serves(t);
}
