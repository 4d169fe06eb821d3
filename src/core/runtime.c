/* SPDX-License-Identifier: MIT
 *
 * runtime.c - brings the runtime up and takes it down.
 *
 * Up:    options (options.c) - records - workers with their loops - overflow handler, signal mask - main task - publish - threads, monitor - worker 1 is the caller.
 * Down:  1 somebody decides the result and sets `stopping`     2 each worker leaves its loop at its next schedule
 *        3 threads joined, those of lanes too, monitor stopped 4 tasks that wait are called off: waits closed, waiters withdrawn
 *        5 unpublished: no foreign thread is inside any more   6 wheels emptied, tasks that are left abandoned: stacks and records put back
 *        7 caches drained, loops closed
 */
#include "core/runtime.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "base/futex.h"
#include "core/guard.h"
#include "core/life.h"
#include "core/local.h"
#include "core/lot.h"
#include "core/node.h"
#include "core/offload.h"
#include "core/recslab.h"
#include "core/stackuse.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

struct debug_hooks weft__hooks;

static void nothing(struct runtime *rt)
{
	(void)rt;
}

void (*weft__requests_down)(struct runtime *rt) = nothing;
void (*weft__io_leave)(struct runtime *rt) = nothing;
void (*weft__io_down)(struct runtime *rt) = nothing;
void (*weft__actors_down)(struct runtime *rt) = nothing;
void (*weft__actors_desert)(struct runtime *rt) = nothing;
struct up_down weft__signals;

/* --- workers --- */

extern __attribute__((weak)) void __lsan_register_root_region(const void *addr, size_t size);
extern __attribute__((weak)) void __lsan_unregister_root_region(const void *addr, size_t size);

static size_t workers_size(struct runtime *rt)
{
	return rt->seats_max * sizeof *rt->workers;
}

static void workers_free(struct runtime *rt)
{
	if (!rt->workers)
		return;
	for (unsigned i = 0; i < rt_seats(rt); i++) {
		struct worker *w = &rt->workers[i];

		weft__loop_free(w->loop);
		weft__victims_free(w);
		free(w->watched);
	}
	if (__lsan_unregister_root_region)
		__lsan_unregister_root_region(rt->workers, workers_size(rt));
	munmap(rt->workers, workers_size(rt));
}

int weft__seat_make(struct runtime *rt, unsigned id)
{
	struct worker *w = &rt->workers[id];
	int64_t now = clock_now();
	int rc;

	weft__node_worker(rt, id);
	w->rt = rt;
	w->home = rt->home;
	w->watched = calloc(rt->seats_max, sizeof *w->watched);
	rc = w->watched ? weft__victims_make(w) : WEFT_ENOMEM;
	if (!rc)
		rc = weft__loop_make(&w->loop, rt);
	if (rc) {
		weft__victims_free(w);
		free(w->watched);
		w->watched = NULL;
		return rc;
	}
	w->id = id;
	store_relaxed(&w->cpu, place_cpu(&rt->place, id)); /* not shared yet, here and below */
	w->coarse_now = now;
	w->prio.aged_at = now;
	store_relaxed(&w->countdown, rt->lifo ? 1 : TICK_SLOW);
	store_relaxed(&w->stuck_tick, UINT32_MAX);
	rng_seed(&w->rng, rt->seed, id + 1);
	wsq_init(&w->runq);
	weft__wheel_init(&w->wheel, now);
	return 0;
}

static int workers_make(struct runtime *rt)
{
	void *mem = mmap(NULL, workers_size(rt), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int rc;

	if (mem == MAP_FAILED)
		return WEFT_ENOMEM;
	(void)madvise(mem, workers_size(rt), MADV_NOHUGEPAGE); /* seats that are never made cost nothing */
	if (__lsan_register_root_region)
		__lsan_register_root_region(mem, workers_size(rt)); /* what only a worker points to is not leaked */
	rt->workers = mem;
	for (unsigned i = 0; i < rt_active(rt); i++) {
		rc = weft__seat_make(rt, i);
		if (rc)
			return rc;
		store_relaxed(&rt->n, i + 1); /* not shared yet, here and below */
		if (i)
			idle_rest(&rt->idle); /* as its thread finds it */
	}
	store_relaxed(&rt->workers[0].alone, rt_active(rt) == 1 && weft__asym_on);
	store_relaxed(&rt->workers[0].mixed, alone_is(&rt->workers[0].alone));
	return 0;
}

/* What a thread gets while it is a worker, and gives back. */
struct seat {
	struct altstack alt;
	int slack;
};

static int sit(struct worker *w, struct seat *s)
{
	int rc = w->rt->signals ? weft__altstack_enter(&s->alt) : 0;

	if (rc)
		return rc;
	s->slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* nanoseconds: sleeps end when they should */
	w->errno_at = &errno;
	if (unlikely(weft__san))
		weft__san_thread_init(&w->san);
	weft__worker_set(w);
	store_relaxed(&w->tid, (int)gettid()); /* for dumps */
	return 0;
}

static void rise(struct worker *w, struct seat *s)
{
	store_relaxed(&w->tid, 0); /* for dumps */
	weft__worker_set(NULL);
	if (s->slack > 0)
		prctl(PR_SET_TIMERSLACK, s->slack, 0, 0, 0);
	if (w->rt->signals)
		weft__altstack_leave(&s->alt);
}

static void *worker_thread(void *arg)
{
	struct worker *w = arg;
	struct seat s;
	int rc = sit(w, &s);

	if (rc)
		weft__log("worker %u has no alternate signal stack (%s); it does not run", w->id + 1, strerror(-rc));
	if (rc && load_relaxed(&w->seated)) { /* nobody waits to hear of it: written before the thread began */
		weft__runtime_stop(w->rt, rc);
		return NULL;
	}
	if (rc)
		add_relaxed(&w->rt->threads, -1);          /* a look, and before it is known that this thread ends: deadlock.c */
	store_release(&w->seated, rc ? (uint32_t)rc : 1u); /* pairs with load_acquire in weft__seat_started */
	weft__futex_wake(&w->seated, 1);
	if (rc)
		return NULL;
	idle_rise(&w->rt->idle);
	weft__monitor_poke(w->rt); /* it may sleep, and what this one finds nobody wakes for */
	weft__worker_main(w);
	rise(w, &s);
	return NULL;
}

static void block_signals(sigset_t *old);

static void name_thread(struct worker *w)
{
	char name[24]; /* 16 are used: core/place.h */

	snprintf(name, sizeof name, "%s-%u", w->rt->place.name, w->id + 1);
	pthread_setname_np(w->thread, name);
}

int weft__seat_start(struct worker *w, bool asked)
{
	sigset_t old;
	int rc;

	store_relaxed(&w->seated, asked ? 0u : 1u); /* made visible by pthread_create */
	block_signals(&old);
	rc = weft__place_thread(&w->rt->place, (int)w->id, NULL, &w->thread, worker_thread, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return rc;
	w->started = true;
	add_relaxed(&w->rt->threads, 1); /* a look */
	name_thread(w);
	return 0;
}

int weft__seat_started(struct worker *w)
{
	int rc;

	while (load_acquire(&w->seated) == 0) /* pairs with store_release in worker_thread */
		weft__futex_wait(&w->seated, 0, INT64_MAX);
	rc = (int)load_relaxed(&w->seated); /* acquired above */
	if (rc >= 0)
		return 0;
	pthread_join(w->thread, NULL);
	w->started = false;
	return rc;
}

static int threads_start(struct runtime *rt)
{
	int rc = 0;

	lock_take(&rt->seats, RANK_SEATS);
	for (unsigned i = 1; i < rt_active(rt) && !rc; i++) {
		if (!rt->workers[i].started) /* by a foreign thread that has set another number already */
			rc = weft__seat_start(&rt->workers[i], false);
	}
	lock_drop(&rt->seats);
	return rc ? rc : weft__monitor_start(rt);
}

static void threads_join(struct runtime *rt)
{
	lock_take(&rt->seats, RANK_SEATS); /* whoever makes some now has seen that it goes down, or is done here */
	lock_drop(&rt->seats);
	for (unsigned i = 1; i < rt_seats(rt); i++) {
		if (rt->workers[i].started)
			pthread_join(rt->workers[i].thread, NULL);
	}
}

/* --- stop --- */

void weft__runtime_stop(struct runtime *rt, int result)
{
	uint32_t none = 0;

	if (!cas_acq_rel(&rt->stop_claimed, &none, 1u)) /* the first result counts */
		return;
	rt->result = result;
	store_release(&rt->stopping, true); /* pairs with load_acquire(stopping) everywhere */
	fence_seq_cst(); /* whoever makes a seat that is missing here passes asym_heavy, and its thread sees the above: seats.c */
	for (unsigned i = 0, n = rt_seats(rt); i < n; i++) {
		store_relaxed(&rt->workers[i].countdown, 0); /* a hint: they look every TICK_SLOW schedules anyway */
		weft__sched_notify(rt, i);
	}
	weft__life_stopping(rt);
}

void weft_exit(int result)
{
	struct worker *w = weft__worker();
	struct weft_task *t;

	if (!w) {
		struct runtime *rt = weft__rt_enter();

		if (rt) {
			weft__runtime_stop(rt, result);
			weft__rt_leave(rt);
		}
		return;
	}
	weft__runtime_stop(w->rt, result);
	t = load_relaxed(&w->cur); /* own */
	if (!t)
		weft__fatal("weft_exit was called from a worker's own stack");
	for (;;) { /* nobody is resumed any more */
		wait_begin(t, NULL, 0, REASON_NONE, WEFT_FOREVER);
		store_relaxed(&w->countdown, 0); /* own */
		weft__sched_park(w, t);
		w = weft__worker();
	}
}

bool weft__task_alive(struct weft_task *t, uint8_t state)
{
	return state != TASK_FREE && state != WEFT_TASK_DONE &&
	       load_acquire(&t->refs) != 0 && /* pairs with store_release in weft__foreign */
	       load_relaxed(&t->on_cpu) != ON_CPU_FOREIGN;
}

/* Its wait was claimed, and it will never go on: takes it out of where it is still listed, as it would have done itself. What woke it has done so already with
 * the one waiter it claimed, whose source may be gone by now. */
static void forgo(struct weft_task *t)
{
	bool woken = wait_state(load_acquire(&t->wait)) == WAIT_WOKEN; /* pairs with the claim */
	struct waiter *w = t->waiters;

	if (!woken) {
		weft__wait_withdraw(w, (int)t->nwaiters);
		return;
	}
	weft__wait_withdraw(w - w->place, w->place);
	weft__wait_withdraw(w + 1, (int)t->nwaiters - w->place - 1);
	if (w->status == LOT_AGAIN) /* a foreign thread may wait there, too */
		weft__lot_wake_one(NULL, w->source, LOT_AGAIN, NULL, NULL);
}

/* Step 4 for one record; arg: the runtime. */
static bool call_off(void *rec, void *arg)
{
	struct weft_task *t = rec;
	struct runtime *rt = arg;
	bool ours = load_acquire(&t->home) == rt->home; /* before its state: it may have been another's until now, and have waited there */
	uint8_t state = load_acquire(&t->state);        /* all workers are gone; foreign threads may still be waking some */
	uint64_t word;

	if (!ours || !weft__task_alive(t, state) || !task_of(t, rt) || (state != WEFT_TASK_PARKED && state != WEFT_TASK_RUNNABLE))
		return true;
	word = load_acquire(&t->wait); /* pairs with store_release in wait_open */
	if (state == WEFT_TASK_PARKED && wait_is_open(word) && wait_claim(&t->wait, word, WAIT_CANCELED)) {
		if (t->waiters)
			weft__wait_withdraw(t->waiters, (int)t->nwaiters);
		task_set_state(t, WEFT_TASK_RUNNABLE);
	} else {
		while (load_acquire(&t->state) == WEFT_TASK_PARKED) /* claimed by a foreign thread that is about to queue it */
			sched_yield();
		if (t->nwaiters && t->waiters)
			forgo(t);
	}
	return true;
}

/* Step 6 for one record. Nobody else touches it any more. */
static bool abandon(void *rec, void *arg)
{
	struct weft_task *t = rec;
	struct runtime *rt = arg;
	struct stack *s;

	if (!weft__task_alive(t, load_acquire(&t->state)) || !task_of(t, rt))
		return true;
	weft__locals_abandon(t, load_relaxed(&t->state) != WEFT_TASK_NEW);
	s = t->stack;
	t->stack = NULL;
	if (s) {
		if (unlikely(weft__san) && t->ctx.sp)
			weft__san_fiber_fini(&s->san);
		s->owner = NULL;
		if (unlikely(weft__stackuse_on))
			weft__stackuse_left(t, s);
		weft__stack_put(s);
	}
	t->ctx.sp = NULL;
	if (t->wctx)
		weft__ctx_task_end(t);
	t->result = WEFT_ECANCELED;
	store_relaxed(&t->reason, (uint8_t)REASON_ABANDONED); /* before DONE */
	store_release(&t->state, (uint8_t)WEFT_TASK_DONE);    /* as in task_done */
	if (task_is(t, TASK_JOINABLE))
		weft__lot_wake_all(NULL, &t->result, WEFT_ECANCELED);
	weft__task_unref(NULL, t);
	rt->abandoned++;
	return true;
}

static int64_t drop_timer(struct timer_node *n, int64_t now, void *arg)
{
	return n->kind == TIMER_USER ? weft__usertimer_due(n, now, arg) : WHEEL_NEVER;
}

/* Tasks of rt run no more. Threads, and tasks of other runtimes, that wait for what only they do are told, each as the call says: jobs that are under way may wait so, or for somebody who does, and rt waits for them. Who is
 * listed already is found; who comes later sees the flag, under the lock of what it waits for. Model: test/model/desert.pml. */
static void desert(struct runtime *rt)
{
	store_relaxed(&rt->deserted, true);
	fence_seq_cst(); /* pairs with the one in wait_for_start: of a cell that is not found here */
	weft__joins_desert(rt);
	weft__actors_desert(rt);
}

static void down(struct runtime *rt)
{
	struct list users;

	threads_join(rt);
	desert(rt);
	weft__io_leave(rt); /* before it waits for anything */
	weft__ctx_root_down(rt);
	weft__several_down(rt);
	weft__offload_down(rt);
	weft__monitor_stop(rt);
	weft__life_over(rt);
	weft__rec_foreach(call_off, rt);
	weft__rt_unpublish(rt);
	weft__requests_down(rt);
	weft__io_down(rt);
	if (weft__signals.down)
		weft__signals.down(rt);
	list_init(&users);
	for (unsigned i = 0; i < rt_seats(rt); i++)
		weft__wheel_run(&rt->workers[i].wheel, INT64_MAX - 1, drop_timer, &users);
	weft__usertimer_drop(&users);
	weft__actors_down(rt); /* while their tasks' records are theirs: a foreign thread's kill looks for one */
	if (rt->last)
		weft__stack_release();
	weft__rec_foreach(abandon, rt); /* those included that foreign threads have started or woken meanwhile */
	for (unsigned i = 0; i < rt_seats(rt); i++) {
		weft__stack_cache_drain(&rt->workers[i].stacks);
		weft__records_drain(&rt->workers[i]);
	}
	if (rt->stack_report)
		weft__hooks.stack_report(STDERR_FILENO);
}

/* --- run --- */

static void block_signals(sigset_t *old)
{
	sigset_t set;

	sigfillset(&set);
	sigdelset(&set, SIGSEGV);
	sigdelset(&set, SIGBUS);
	sigdelset(&set, SIGFPE);
	sigdelset(&set, SIGILL);
	sigdelset(&set, SIGTRAP);
	sigdelset(&set, SIGABRT);
	sigdelset(&set, SIGSYS);
	if (load_relaxed(&weft__hooks.open_signal)) /* written by this thread */
		sigdelset(&set, load_relaxed(&weft__hooks.open_signal));
	pthread_sigmask(SIG_SETMASK, &set, old);
}

/* Gives the thread its mask back. A SIGPIPE of its own, from a write to a peer that had gone, was answered with EPIPE: it is dropped, instead of killing the process
 * now. */
static void unblock_signals(const sigset_t *old)
{
	sigset_t pipe, pending;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	if (!sigismember(old, SIGPIPE) && sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE))
		sigtimedwait(&pipe, NULL, &(struct timespec){0, 0});
	pthread_sigmask(SIG_SETMASK, old, NULL);
}

/* Standard input, output and error that were closed when the program began lead nowhere from here on, as in Go: else the first descriptors that are opened would be taken for
 * them, and libuv ends a process that closes one of those. */
static void hold_stdio(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
		    open("/dev/null", fd ? O_WRONLY : O_RDONLY) < 0) /* the lowest free number */
			return;
	}
}

int weft__rt_serve(struct runtime *rt, weft_task_fn *fn, void *arg, const weft_opts *o, int *result)
{
	struct worker *w;
	struct seat seat;
	sigset_t mask;
	int rc;

	hold_stdio();
	idle_init(&rt->idle);
	rc = weft__options(rt, o);
	if (!rc)
		rc = weft__place_caller(&rt->place); /* before it touches memory that shall be near it */
	if (!rc)
		rc = weft__fork_trap();
	if (!rc)
		rc = weft__records_init();
	if (!rc)
		rc = workers_make(rt);
	if (rc)
		goto free_workers;
	w = &rt->workers[0];
	w->thread = pthread_self();
	if (rt->made)
		name_thread(w);
	rc = rt->signals ? weft__overflow_install() : 0;
	if (rc)
		goto free_workers;
	block_signals(&mask);
	if (!rt->made)
		rt->caller_mask = mask;
	rc = sit(w, &seat);
	if (rc)
		goto restore_signals;
	rc = fn ? weft__task_start_main(rt, w, fn, arg) : 0;
	if (rc)
		goto leave_seat;
	if (alone_is(&w->alone))
		weft__solo_begin(weft__thread());
	weft__life_begin(rt);
	weft__rt_publish(rt);
	rc = weft__signals.up ? weft__signals.up(rt) : 0;
	if (!rc)
		rc = threads_start(rt);
	if (rc)
		weft__runtime_stop(rt, rc);
	else if (rt->made)
		weft__several_risen(rt);
	weft__worker_main(w);
	down(rt);
	weft__life_down(rt);
	weft__solo_over();
	*result = rt->result;
	if (!rc && rt->result == WEFT_EDEADLK && rt->deadlock_reported)
		rc = WEFT_EDEADLK;
leave_seat:
	rise(w, &seat);
restore_signals:
	unblock_signals(&mask);
	if (rt->signals)
		weft__overflow_uninstall();
free_workers:
	workers_free(rt);
	weft__trim_down(&rt->trim);
	weft__place_down(&rt->place);
	return rc;
}

int weft__run(weft_task_fn *fn, void *arg, const weft_opts *o, bool exit_process, int *result)
{
	struct runtime *rt;
	int rc;

	if (!fn)
		return WEFT_EINVAL;
	rt = weft__worker() ? NULL : weft__rt_take(0);
	if (!rt)
		return WEFT_EBUSY;
	rt->exit_process = exit_process;
	rc = weft__rt_serve(rt, fn, arg, o, result);
	weft__rt_give(rt);
	return rc;
}

/* --- figures --- */

void weft__rt_stats(struct runtime *rt, weft_stat *out)
{
	struct stack_stats st;

	out->workers = (int)load_relaxed(&rt->wish); /* statistics, here and below */
	out->spares = (int)load_relaxed(&rt->spares);
	out->rescues = load_relaxed(&rt->stat_rescues);
	out->started = load_relaxed(&rt->stat_started);
	for (unsigned i = 0; i < rt_seats(rt); i++) {
		struct worker *w = &rt->workers[i];

		out->started += load_relaxed(&w->stat_started);
		out->finished += load_relaxed(&w->stat_finished);
		out->switches += load_relaxed(&w->tick);
		out->steals += load_relaxed(&w->stat_steals);
		out->sleeps += load_relaxed(&w->stat_sleeps);
		out->timers += load_relaxed(&w->stat_timers);
		out->faults += load_relaxed(&w->stat_faults);
	}
	out->trimmed = load_relaxed(&rt->trim.stacks);
	weft__stack_stats(&st);
	out->stacks = st.stacks;
	out->stack_bytes = st.mapped;
	out->quarantined = st.quarantined;
}

int weft_stats(weft_stat *out)
{
	struct worker *self = weft__worker();
	struct runtime *rt;

	if (!out)
		return WEFT_EINVAL;
	memset(out, 0, sizeof *out);
	rt = self ? self->rt : weft__rt_enter();
	if (!rt)
		return WEFT_ESRCH;
	weft__rt_stats(rt, out);
	if (!self)
		weft__rt_leave(rt);
	return 0;
}

void weft_trim(void)
{
	weft__stack_trim();
	weft__rec_trim();
}
