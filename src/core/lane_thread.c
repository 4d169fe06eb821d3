/* SPDX-License-Identifier: MIT
 *
 * lane_thread.c - a lane's queue and its threads: how jobs are queued, taken, run and passed on, and how threads come, look for work and go. See lane.h; who asks: offload.c.
 *
 * A thread that goes idle lists itself, and sleeps on a word of its own; who brings work takes the one that went last, whose cache is warmest, and lets the others age.
 */
#include "core/lane.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "base/futex.h"
#include "core/runtime.h"
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { TAKEN, SPINS, SLEEPS }; /* an idle thread: is off the list, looks on, sleeps */

static ATOMIC(unsigned) cpus;             /* 0: not asked yet. One: who spins keeps others from it */
static ATOMIC(int) alive;                 /* threads of all lanes */
static ATOMIC(uint32_t) ends;             /* how many have ended */
static __thread struct lane_thread *here; /* this thread, if it is one of them */

int weft__offload_threads(void)
{
	return load_relaxed(&alive); /* a look */
}

uint32_t weft__offload_ends(void)
{
	return load_relaxed(&ends); /* a look */
}

void weft__offload_one_ends(void)
{
	add_relaxed(&ends, 1u); /* as in leave */
}

NOINLINE bool weft__offload_here(void)
{
	return here != NULL;
}

NOINLINE struct lane_thread *weft__lane_thread(void)
{
	return here;
}

void weft__lane_threads_up(void)
{
	if (!load_relaxed(&cpus))                   /* once: it reads files */
		store_relaxed(&cpus, weft__cpus()); /* before there are threads */
}

void weft__lane_threads_forked(void)
{
	store_relaxed(&alive, 0);
}

/* --- the queue --- */

/* Appends j. Locked. */
void weft__lane_enqueue(struct lane_state *l, struct job *j)
{
	struct inject_node *none = NULL;

	store_relaxed(&j->state, (uint32_t)QUEUED); /* under lock */
	shared_set(&j->next.next, none);
	if (l->last)
		shared_set(&l->last->next, &j->next);
	else
		l->first = &j->next;
	l->last = &j->next;
	l->queued++;
	if (l->queued > l->most_queued)
		l->most_queued = l->queued;
}

/* To those who have a worker of l's runtime tell who waits for it, a task of that. Locked, by a lane's thread or anybody else; the runtime is up as long as a job is busy, or waits. */
static void to_workers(struct lane_state *l, struct job *j, int rc)
{
	struct runtime *rt = l->rt;
	unsigned home = j->home;
	bool first;

	j->rc = rc;
	store_relaxed(&j->state, (uint32_t)RAN); /* under lock; made visible to the worker by the queue's */
	san_release(j);
	first = injectq_push(&rt->ran, &j->next) == 0;
	store_relaxed(&rt->workers[home].countdown, 1); /* a hint: it looks soon */
	if (rt_seats(rt) > 1)
		fence_seq_cst(); /* pairs with the fence in idle_found */
	else if (first)
		asym_heavy(); /* a worker that is alone passes none before it sleeps: idle.h */
	else
		return; /* it has not taken the one before yet, whose thread wakes it, and takes all that are there */
	weft__sched_wake(rt);
}

/* To a foreign thread, or a task of another runtime, or by whoever sees to what it waits for: elision has ended before j came. Locked. */
static void to_waiter(struct job *j)
{
	struct runtime *from = j->abroad; /* j is its owner's when it has been told */

	weft__ready_list(NULL, weft__job_tell(j));
	weft__job_back(from);
}

/* j has run, or shall not: whoever waits for it is told, or will be. Locked. */
void weft__lane_pass_on(struct lane_state *l, struct job *j, int rc)
{
	if (!j->foreign) {
		to_workers(l, j, rc);
		return;
	}
	j->rc = rc;
	if (!j->over) {
		to_waiter(j);
		return;
	}
	store_relaxed(&j->state, (uint32_t)RAN); /* under lock */
	shared_set(&j->next.next, l->owed);
	l->owed = &j->next;
}

/* The first of those outside comes in. Locked. */
void weft__lane_let_one_in(struct lane_state *l)
{
	struct job *j = job_of(l->outside), *room = j->room;

	l->outside = shared_get(&j->next.next);
	if (!l->outside)
		l->outsiders = NULL;
	j->room = NULL;
	weft__lane_enqueue(l, j);
	weft__lane_pass_on(l, room, 0);
}

/* A job has left the queue: who stands outside comes in, as far as there is room. Locked. */
static void let_in(struct lane_state *l)
{
	while (unlikely(l->outside != NULL) && l->queued < l->bound + l->coming)
		weft__lane_let_one_in(l);
}

/* The oldest job that waits. Locked. */
struct job *weft__lane_take_job(struct lane_state *l)
{
	struct job *j;

	if (!l->first && l->outside) /* who asks is the room */
		weft__lane_let_one_in(l);
	j = job_of(l->first);
	if (!j)
		return NULL;
	l->first = shared_get(&j->next.next);
	if (!l->first)
		l->last = NULL;
	l->queued--;
	let_in(l);
	return j;
}

/* It is under way, or no more. Locked. */
static void begin(struct lane_state *l, struct job *j)
{
	store_relaxed(&j->state, (uint32_t)RUNNING); /* under lock */
	shared_set(&j->next.next, l->busy);
	l->busy = &j->next;
	l->running++;
}

static void end(struct lane_state *l, struct job *j)
{
	struct inject_node *next = shared_get(&j->next.next), *at = l->busy;

	l->running--;
	if (at == &j->next) {
		l->busy = next;
		return;
	}
	while (shared_get(&at->next) != &j->next)
		at = shared_get(&at->next);
	shared_set(&at->next, next);
}

/* Nobody waits for it any more: its thread will drop it. Locked. */
void weft__lane_leave_behind(struct lane_state *l, struct job *j)
{
	end(l, j);
	store_relaxed(&j->state, (uint32_t)LEFT); /* under lock */
	l->left++;
}

/* It has run. Locked. */
static void has_run(struct lane_state *l, struct job *j)
{
	l->ran++;
	if (load_relaxed(&j->state) == LEFT) { /* under lock */
		l->left--;
		lock_drop(&l->lock);
		j->drop(j);
		lock_take(&l->lock, RANK_LOT);
		return;
	}
	end(l, j);
	weft__lane_pass_on(l, j, 0);
	weft__lane_pay(l);
	if (l->closing) /* and the runtime goes on with it when this is unlocked */
		weft__offload_changed();
}

/* Takes j out of a list of jobs. Locked. */
void weft__lane_take_out(struct inject_node **first, struct inject_node **last, struct job *j)
{
	struct inject_node *before = NULL, *n = *first, *next;

	while (n != &j->next) {
		before = n;
		n = shared_get(&n->next);
	}
	next = shared_get(&n->next);
	if (before)
		shared_set(&before->next, next);
	else
		*first = next;
	if (!next)
		*last = before;
}

/* Takes j out of the queue. Locked. */
void weft__lane_unqueue(struct lane_state *l, struct job *j)
{
	weft__lane_take_out(&l->first, &l->last, j);
	l->queued--;
	l->withdrawn++;
	store_relaxed(&j->state, (uint32_t)OVER); /* under lock */
	let_in(l);
}

/* --- the threads --- */

/* Listed, and unlocked: looks on for a while, if that has paid lately, as workers do (worker.c). */
static void look_on(struct lane_thread *t)
{
	int64_t until;

	if (!t->spin_ns)
		return;
	until = weft__clock_read() + t->spin_ns;
	do {
		for (int i = 0; i < 16; i++)
			cpu_relax();
		if (load_relaxed(&t->word) == TAKEN) { /* a look; the lock orders it */
			t->spin_ns = t->spin_ns < SPIN_NS / 2 ? 2 * t->spin_ns : SPIN_NS;
			return;
		}
	} while (weft__clock_read() < until);
	t->spin_ns = t->spin_ns > SPIN_NS / 8 ? t->spin_ns / 2 : 0;
}

/* Until when a thread sleeps. Locked. */
static int64_t sleeps_until(const struct lane_state *l, int64_t since)
{
	return l->threads - l->leaving > l->min && l->idle_ns < INT64_MAX - since ? since + l->idle_ns : INT64_MAX;
}

/* Sleeps until there is work. Locked; returns locked. False: it shall end. */
static bool wait_for_work(struct lane_state *l, struct lane_thread *t)
{
	int64_t since = weft__clock_read(), until; /* real time also under the fake clock */
	bool late;

	if (l->closing)
		return false;
	store_relaxed(&t->word, (uint32_t)SPINS); /* under lock */
	t->next = l->idle;
	l->idle = t;
	lock_drop(&l->lock);
	look_on(t);
	lock_take(&l->lock, RANK_LOT);
	if (load_relaxed(&t->word) == TAKEN) { /* under lock */
		l->coming--;
		return true;
	}
	store_relaxed(&t->word, (uint32_t)SLEEPS); /* under lock */
	until = sleeps_until(l, since);
	do {
		lock_drop(&l->lock);
		late = weft__futex_wait(&t->word, SLEEPS, until) != 0;
		lock_take(&l->lock, RANK_LOT);
		if (late && l->threads - l->leaving <= l->min) { /* others have ended meanwhile */
			late = false;
			until = INT64_MAX;
		}
	} while (load_relaxed(&t->word) && !late); /* under lock */
	if (load_relaxed(&t->word)) {              /* still on the list: nobody has taken it */
		for (struct lane_thread **at = &l->idle; *at; at = &(*at)->next) {
			if (*at == t) {
				*at = t->next;
				break;
			}
		}
		return false;
	}
	l->coming--;
	if (load_relaxed(&cpus) > 1 && weft__clock_read() - since < SPIN_WORTH_NS)
		t->spin_ns = t->spin_ns > SPIN_NS / 4 ? t->spin_ns : SPIN_NS / 4;
	return true;
}

/* Runs what waits, until there has been nothing for long, or it shall end. Locked. */
static void serve(struct lane_state *l, struct lane_thread *t)
{
	struct job *j;

	do {
		while ((j = weft__lane_take_job(l)) != NULL) {
			begin(l, j);
			lock_drop(&l->lock);
			san_acquire(j);
			if (unlikely(
				    l->rt->home)) /* what it calls of weft's is of that runtime; its thread may have been left by one before */
				weft__thread_use(
					load_relaxed(&l->rt->run)); /* constant while a job is under way, or of no importance any more */
			j->run(j);
			if (unlikely(load_relaxed(&weft__forked))) /* it has forked, and did not call exec */
				weft__forked_fatal();
			lock_take(&l->lock, RANK_LOT);
			has_run(l, j);
		}
	} while (wait_for_work(l, t));
}

/* A thread cannot be one of the lane's. If it is the last, nobody comes for what waits. Locked. */
static void cannot(struct lane_state *l, int rc)
{
	struct job *j;

	l->failed_threads++;
	while (l->threads == 1 && (j = weft__lane_take_job(l)) != NULL) {
		l->withdrawn++;
		weft__lane_pass_on(l, j, rc);
		weft__lane_pay(l); /* others may come meanwhile */
	}
}

/* With init and fini around it: a job that has come while fini ran is a reason to begin anew. Locked. */
static void serve_hooked(struct lane_state *l, struct lane_thread *t)
{
	bool comes = true;
	int rc;

	do {
		if (l->closing && !l->first && !l->outside) { /* it could not be made, or has been ended: nobody needs what init makes */
			l->coming -= comes;
			return;
		}
		lock_drop(&l->lock);
		t->local = NULL;
		rc = l->hooks.init ? l->hooks.init(&t->local, l->hooks.arg) : 0;
		lock_take(&l->lock, RANK_LOT);
		l->coming -= comes;
		comes = false;
		if (rc < 0) {
			cannot(l, rc);
			return;
		}
		serve(l, t);
		l->leaving++;
		lock_drop(&l->lock);
		if (l->hooks.fini)
			l->hooks.fini(t->local, l->hooks.arg);
		lock_take(&l->lock, RANK_LOT);
		l->leaving--;
	} while (l->first || l->outside);
}

/* One less is untold. Returns whether none is. */
static bool drop_untold(struct lane_state *l)
{
	return add_acq_rel(&l->untold, (uint32_t)-1) == 1; /* what the others told of is seen by whoever waits for `gone` */
}

/* Locked. */
static void gone_to_workers(struct lane_state *l)
{
	weft__offload_wait_more();
	to_workers(l, &l->gone, 0);
}

void weft__lane_tell_gone(struct lane_state *l)
{
	l->told = true;
	if (l->gone.foreign) {
		to_waiter(&l->gone);
		return;
	}
	if (drop_untold(l))
		gone_to_workers(l);
}

void weft__lane_one_told(struct lane_state *l)
{
	if (!drop_untold(l))
		return;
	lock_take(&l->lock, RANK_LOT);
	if (!l->called_off) /* else went_down does */
		gone_to_workers(l);
	lock_drop(&l->lock);
}

/* The last that a thread does. Locked; unlocks. */
static void leave(struct lane_state *l, struct lane_thread *t)
{
	bool last = --l->threads == 0 && l->own && l->closing, adrift = l->down;

	add_relaxed(&ends, 1u);  /* before it is missing from alive, and before the kernel knows */
	add_relaxed(&alive, -1); /* a look */
	if (adrift) {            /* nobody joins it */
		pthread_detach(t->id);
		free(t);
	} else {
		t->next = l->ended;
		l->ended = t;
	}
	if (last && !adrift && !l->told)
		weft__lane_tell_gone(l);
	weft__offload_changed();
	lock_drop(&l->lock);
	if (adrift && last)
		weft__lane_unref(l);
}

static void *thread_main(void *arg)
{
	struct lane_thread *t = arg;
	struct lane_state *l = t->lane;
	char name[16];

	here = t;
	if (unlikely(l->rt->home))                           /* what it calls of weft's is of that runtime: also in init and fini */
		weft__thread_use(load_relaxed(&l->rt->run)); /* as in serve */
	if (l->own)
		snprintf(name, sizeof name, "%s", l->name);
	else
		snprintf(name, sizeof name, "weft-%s", l->name);
	pthread_setname_np(pthread_self(), name);
	lock_take(&l->lock, RANK_LOT);
	if (l->hooks.init || l->hooks.fini) {
		serve_hooked(l, t);
	} else {
		l->coming--;
		serve(l, t);
	}
	here = NULL;
	leave(l, t);
	return NULL;
}

struct lane_thread *weft__lane_take_ended(struct lane_state *l)
{
	struct lane_thread *t = l->ended;

	l->ended = NULL;
	return t;
}

void weft__lane_join(struct lane_thread *t)
{
	struct lane_thread *next;

	for (; t; t = next) {
		next = t->next;
		pthread_join(t->id, NULL);
		free(t);
	}
}

static int create_here(struct lane_thread *t)
{
	const pthread_attr_t *attr = t->lane->attr;

	if (t->lane->placed)
		return pthread_create(&t->id, attr, thread_main, t);
	return weft__place_thread(&t->lane->rt->place, PLACE_ASIDE, attr, &t->id, thread_main, t); /* up: whoever asks is inside */
}

void weft__lane_mask(sigset_t *before)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
	sigset_t all;

	sigfillset(&all);
	for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_BLOCK, &all, before);
}

/* With all signals blocked, as on a worker: whoever asks may be a thread of the user's. */
static int create(struct lane_thread *t)
{
	sigset_t before;
	int rc;

	if (weft__worker_look())
		return create_here(t);
	weft__lane_mask(&before);
	rc = create_here(t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

/* It begins when this is unlocked, so it is counted before it can end. */
bool weft__lane_grow(struct lane_state *l)
{
	struct lane_thread *t = calloc(1, sizeof *t);

	if (!t)
		return false;
	t->lane = l;
	if (create(t)) {
		free(t);
		return false;
	}
	l->threads++;
	l->coming++;
	if (l->threads > l->most_threads)
		l->most_threads = l->threads;
	add_relaxed(&alive, 1); /* a look */
	return true;
}

/* Threads with a job that was left are not counted. Locked. */
bool weft__lane_may_grow(const struct lane_state *l)
{
	return l->threads - l->left < l->max && l->threads < LANE_THREADS_MAX;
}

/* An idle thread is told to look. Locked. Returns it, if it sleeps. */
struct lane_thread *weft__lane_take_idle(struct lane_state *l)
{
	struct lane_thread *t = l->idle;
	bool asleep = load_relaxed(&t->word) == SLEEPS; /* under lock */

	l->idle = t->next;
	l->coming++;
	store_relaxed(&t->word, (uint32_t)TAKEN); /* under lock */
	return asleep ? t : NULL;
}

void weft__lane_close(struct lane_state *l, int rc)
{
	struct lane_thread *t;
	struct job *j;

	l->closing = true;
	while (rc && ((j = weft__lane_take_job(l)) != NULL)) { /* and so those outside */
		l->withdrawn++;
		weft__lane_pass_on(l, j, rc);
	}
	while (l->idle) {
		t = weft__lane_take_idle(l);
		if (t)
			weft__futex_wake(&t->word, 1);
	}
}
