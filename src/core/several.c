/* SPDX-License-Identifier: MIT
 *
 * several.c - runtimes beside the one of weft_run: made, used, freed.
 *
 * A runtime is its number (home), which its tasks' records, its workers and its contexts bear. Whoever makes a task runnable compares the number in its record with that of its own worker (TASK_STAYS), and if
 * they differ puts the task where a foreign thread would: into the other runtime's injection queue, between enter and leave (core/foreign.c). That is all there is between runtimes; the rest is that each has its own:
 * workers, wheels, loops, lanes, monitor, root context, states.
 *
 * The process's own: records, stacks, ids, the lot, descriptors' records, names of actors, signals (their reader is a task of any), dumps. Whoever takes a runtime down looks at all of these for what is its, by number, while
 * others go on: a record's is written before its state; a descriptor's word says whose task is in it; a loop knows its runtime, and what it watched is watched by nobody then, until who waits looks again (weft__poll_down).
 *
 * A number is used again, and a runtime's memory with it (weft__rts): a run is told from the next by rt->run.  A waker that has claimed a task of a number and has not entered yet holds only the task, which going
 * down waits for (runtime.c, call_off); so it finds the runtime open, or another thread's claim was first.
 *
 * One is made by a thread of its own, its host, which becomes its first worker as the caller of weft_run does, and takes it down.
 *
 * Whoever has made or frees it sees it out: joins the host, and gives the number back. If that is a task, whose runtime goes down meanwhile (keeper), nobody would: then the one that is left is stopped, and its host sees it out
 * itself; or whoever takes the task's runtime down, if the host was through first. One compare-and-swap of `fate` decides.
 */
#include "weft/several.h"

#include "base/check.h"
#include "core/lane.h"
#include "core/life.h"
#include "core/lot.h"
#include "weft/time.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ATOMIC(uint32_t) weft__others;

enum { FATE_KEPT, FATE_LEFT, FATE_ENDED }; /* rt->fate: somebody sees it out; nobody does but its host; its host is through */

/* The host's, on the heap: whoever makes it may be left before it is up. */
struct birth {
	struct runtime *rt;
	weft_opts o;
	char text[]; /* what o points to */
};

static struct runtime *of(weft_runtime *rt)
{
	return rt ? (struct runtime *)rt : &weft__rts[0];
}

static weft_runtime *handle(struct runtime *rt)
{
	return rt->home ? (weft_runtime *)rt : NULL;
}

/* Enters it, unless the caller is a task of it. NULL: it is not up. */
static struct runtime *come_in(weft_runtime *rt)
{
	return weft__worker_in(of(rt)) ? of(rt) : weft__rt_enter_home(of(rt)->home);
}

static void go_out(struct runtime *rt)
{
	if (!weft__worker_in(rt))
		weft__rt_leave(rt);
}

/* --- up --- */

static void see_out(struct runtime *rt);

static void *host_main(void *arg)
{
	struct birth *b = arg;
	struct runtime *rt = b->rt;
	uint32_t fate = FATE_KEPT;
	int result = 0, rc;

	weft__solo_end_now();
	rc = weft__rt_serve(rt, NULL, NULL, &b->o, &result);
	free(b);
	if (!cas_acq_rel(&rt->fate, &fate, (uint32_t)FATE_ENDED)) { /* pairs with the same in weft__several_down */
		pthread_detach(pthread_self());
		weft__offload_one_ends(); /* before it may be asked whether there are threads that weft has not made: deadlock.c */
		see_out(rt);
	} else if (load_relaxed(&rt->risen)) { /* own */
		store_release(&rt->sunk, 1u);  /* pairs with load_acquire in is_up */
		weft__lot_wake_all(NULL, &rt->sunk, 0);
	} else {
		store_release(&rt->risen, (uint32_t)(rc ? rc : WEFT_ECANCELED)); /* pairs with load_acquire in is_coming */
		weft__lot_wake_all(NULL, &rt->risen, 0);
	}
	return NULL;
}

/* It is up: tells who waits in weft_make. */
void weft__several_risen(struct runtime *rt)
{
	store_release(&rt->risen, 1u); /* pairs with load_acquire in is_coming */
	weft__lot_wake_all(weft__worker(), &rt->risen, 0);
	if (load_acquire(&rt->fate) == FATE_LEFT) /* pairs with the compare-and-swap; it came before there was anything to stop */
		weft__runtime_stop(rt, 0);
}

static bool is_coming(void *arg)
{
	return load_acquire(&((struct runtime *)arg)->risen) == 0; /* pairs with store_release of the host's */
}

static bool is_up(void *arg)
{
	return load_acquire(&((struct runtime *)arg)->sunk) == 0; /* as above */
}

/* Not on a worker's own stack; and a thread that may wait. */
static int may_wait(const char *what)
{
	struct worker *w = weft__worker();

	if (w && !load_relaxed(&w->cur)) /* own */
		weft__fatal("%s was called from a worker's own stack (a callback must not block)", what);
	return w || weft__foreign() ? 0 : WEFT_ENOMEM;
}

static void wait_while(bool (*cond)(void *arg), struct runtime *rt, void *at)
{
	while (cond(rt))
		(void)weft__lot_wait_shielded(at, cond, rt, REASON_RUNTIME);
}

static struct birth *birth_make(struct runtime *rt, const weft_opts *o)
{
	size_t set = o->cpuset ? strlen(o->cpuset) + 1 : 0, name = o->worker_name ? strlen(o->worker_name) + 1 : 0;
	struct birth *b = malloc(sizeof *b + set + name);

	if (!b)
		return NULL;
	b->rt = rt;
	b->o = *o;
	if (set)
		b->o.cpuset = memcpy(b->text, o->cpuset, set);
	if (name)
		b->o.worker_name = memcpy(b->text + set, o->worker_name, name);
	return b;
}

/* With all signals blocked but those of faults, as on a worker; and not on the one CPU that the caller's may be bound to. */
static int start_host(struct runtime *rt, const weft_opts *o)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
	struct lane_thread *here =
		weft__run_is_up(weft__thread_run()) || !weft__thread_run() ? weft__lane_thread() : NULL; /* of one that is up */
	struct birth *b = birth_make(rt, o);
	struct worker *w = weft__worker();
	sigset_t all, mask;
	int rc;

	if (!b)
		return WEFT_ENOMEM;
	sigfillset(&all);
	for (unsigned i = 0; i < ARRAY_LEN(faults); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_BLOCK, &all, &mask);
	rt->caller_mask = here ? weft__lane_of(here)->rt->caller_mask
			  : w  ? w->rt->caller_mask
			       : mask; /* what threads of weft's block is not the user's wish */
	rc = w ? weft__place_thread(&w->rt->place, PLACE_ASIDE, NULL, &rt->host, host_main, b)
	       : -pthread_create(&rt->host, NULL, host_main, b);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	if (rc)
		free(b);
	return rc;
}

/* Nothing of it is left; the default one's tasks may wait for nobody but themselves again. */
static void bury(struct runtime *rt)
{
	struct runtime *first;

	weft__rt_give(rt);
	add_relaxed(&weft__others, (uint32_t)-1); /* before it is looked at again */
	first = weft__rt_enter_home(0);
	if (!first)
		return;
	weft__offload_one_ends(); /* its host, which may still be listed */
	weft__monitor_again(first);
	weft__rt_leave(first);
}

/* One that was left: what else weft_free does. */
static void see_out(struct runtime *rt)
{
	bool signals = rt->signals;

	bury(rt);
	weft__hooks.one_less(signals);
}

/* The caller sees rt out, which goes with the caller's runtime until then. */
static void keep(struct runtime *rt)
{
	struct worker *w = weft__worker();

	store_relaxed(&rt->keeper, w ? load_relaxed(&w->rt->run) : 0u); /* read when tasks of that run no more; a thread is never left */
}

static void keep_not(struct runtime *rt)
{
	store_relaxed(&rt->keeper, 0u); /* as above */
}

/* Tasks of `by` run no more: what they were about to make, or to free, goes down by itself. */
void weft__several_down(struct runtime *by)
{
	uint32_t mine = load_relaxed(&by->run); /* constant */

	for (unsigned i = 1; i < RUNTIMES_MAX && load_relaxed(&weft__others); i++) {
		struct runtime *rt = &weft__rts[i];
		uint32_t fate = FATE_KEPT, run;

		if (load_relaxed(&rt->keeper) != mine) /* by others; own ones were written before the workers ended */
			continue;
		run = load_relaxed(&rt->run); /* constant until it is seen out */
		keep_not(rt);
		if (!cas_acq_rel(&rt->fate, &fate, (uint32_t)FATE_LEFT)) { /* pairs with the host's; from here on rt is the host's */
			pthread_join(rt->host, NULL);                      /* it is at its last */
			see_out(rt);
			continue;
		}
		rt = weft__rt_enter_run(run); /* NULL: it goes down, or comes up, and looks: weft__several_risen */
		if (!rt)
			continue;
		weft__runtime_stop(rt, 0);
		weft__rt_leave(rt);
	}
}

int weft__make(struct runtime **out, const weft_opts *o)
{
	struct runtime *rt = NULL;
	int rc = may_wait("weft_make");

	for (unsigned i = 1; i < RUNTIMES_MAX && !rc && !rt; i++)
		rt = weft__rt_take(i);
	if (!rt)
		return rc ? rc : WEFT_EAGAIN;
	add_relaxed(&weft__others, 1u); /* the caller is a task that runs, or a thread that weft did not make */
	rt->made = true;
	rt->signals = !o->no_signals;
	keep(rt);
	rc = start_host(rt, o);
	if (!rc) {
		wait_while(is_coming, rt, &rt->risen);
		rc = (int)load_relaxed(&rt->risen); /* acquired above */
		if (rc > 0) {
			keep_not(rt);
			*out = rt;
			return 0;
		}
		pthread_join(rt->host, NULL); /* it is at its last */
	}
	keep_not(rt);
	bury(rt);
	return rc;
}

/* --- down --- */

int weft__free(struct runtime *rt, int64_t grace_ns)
{
	struct lane_thread *here =
		weft__run_is_up(weft__thread_run()) || !weft__thread_run() ? weft__lane_thread() : NULL; /* of one that is up */
	int rc;

	if (weft__worker_in(rt) || (here && weft__lane_of(here)->rt == rt))
		return WEFT_EDEADLK;
	rc = may_wait("weft_free");
	if (rc)
		return rc;
	keep(rt);
	if (grace_ns >= 0 && weft__rt_enter_home(rt->home))
		rc = weft__life_shut(rt, weft_in(grace_ns));
	if (weft__rt_enter_home(rt->home)) {
		weft__runtime_stop(rt, 0);
		weft__rt_leave(rt);
	}
	wait_while(is_up, rt, &rt->sunk);
	pthread_join(rt->host, NULL); /* it is at its last */
	keep_not(rt);
	bury(rt);
	return rc == WEFT_ETIMEDOUT ? rc : 0;
}

/* --- use --- */

int weft__runtime_go_at(weft_runtime *h, weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o,
			const struct weft_site *site)
{
	struct runtime *rt;
	int rc;

	if (out)
		*out = NULL;
	if (!fn)
		return WEFT_EINVAL;
	rt = weft__worker_in(of(h)) ? of(h) : weft__rt_enter_home_start(of(h)->home);
	if (!rt)
		return WEFT_ESRCH;
	rc = weft__go_in(rt, out, fn, arg, o, site);
	go_out(rt);
	return rc;
}

int(weft_runtime_go)(weft_runtime *rt, weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o)
{
	return weft__runtime_go_at(rt, out, fn, arg, o, NULL);
}

weft_runtime *weft_runtime_self(void)
{
	return handle(weft__rt_here());
}

int weft_runtime_use(weft_runtime *h)
{
	struct runtime *rt;

	if (weft__worker())
		return WEFT_EINVAL;
	if (!h) {
		weft__thread_use(0);
		return 0;
	}
	rt = weft__rt_enter_home(of(h)->home);
	if (!rt)
		return WEFT_ESRCH;
	weft__thread_use(load_relaxed(&rt->run)); /* constant while we are inside */
	weft__rt_leave(rt);
	return 0;
}

int weft_runtime_stats(weft_runtime *h, weft_stat *out)
{
	struct runtime *rt;

	if (!out)
		return WEFT_EINVAL;
	*out = (weft_stat){.workers = 0};
	rt = come_in(h);
	if (!rt)
		return WEFT_ESRCH;
	weft__rt_stats(rt, out);
	go_out(rt);
	return 0;
}

enum weft_state weft_runtime_state(weft_runtime *rt)
{
	return weft__life_state(of(rt));
}

int weft_runtime_shutdown_until(weft_runtime *h, int64_t deadline)
{
	struct lane_thread *here =
		weft__run_is_up(weft__thread_run()) || !weft__thread_run() ? weft__lane_thread() : NULL; /* of one that is up */
	struct runtime *rt = of(h);
	int rc;

	if (weft__worker_in(rt))
		return weft_shutdown_until(deadline);
	if (here && weft__lane_of(here)->rt == rt)
		return WEFT_EINVAL;
	rc = may_wait("weft_runtime_shutdown");
	if (rc)
		return rc;
	if (!weft__rt_enter_home(rt->home))
		return WEFT_ESRCH;
	rc = weft__life_shut(rt, deadline);
	NO_JUMP();
	return rc;
}

int weft_runtime_shutdown(weft_runtime *rt, int64_t grace_ns)
{
	int rc = weft_runtime_shutdown_until(rt, weft_in(grace_ns));

	NO_JUMP();
	return rc;
}

int weft_runtime_dump(weft_runtime *h, int fd)
{
	struct runtime *rt = come_in(h);
	int rc;

	if (!rt)
		return WEFT_ESRCH;
	rc = weft__hooks.dump(fd, rt);
	go_out(rt);
	return rc;
}
