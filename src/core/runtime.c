/* SPDX-License-Identifier: MIT
 *
 * runtime.c - brings the runtime up and takes it down.
 *
 * Up:    options - records - workers with their loops - signal mask, overflow handler - main task - publish - threads, monitor - worker 1 is the caller.
 * Down:  1 somebody decides the result and sets `stopping`     2 each worker leaves its loop at its next schedule
 *        3 threads joined, those of lanes too, monitor stopped 4 tasks that wait are called off: waits closed, waiters withdrawn
 *        5 unpublished: no foreign thread is inside any more   6 wheels emptied, tasks that are left abandoned: stacks and records put back
 *        7 caches drained, loops closed
 */
#include "core/runtime.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "core/guard.h"
#include "core/local.h"
#include "core/lot.h"
#include "core/offload.h"
#include "core/recslab.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

struct debug_hooks weft__hooks;

static void nothing(void)
{
}

void (*weft__requests_down)(void) = nothing;
void (*weft__io_down)(void) = nothing;
void (*weft__actors_down)(void) = nothing;
struct up_down weft__signals;

/* --- options --- */

/* An unsigned number from the environment, 0 or min .. max, into *out if it is set. */
static int env_number(const char *name, unsigned long long min, unsigned long long max, unsigned long long *out)
{
	const char *s = getenv(name);
	unsigned long long v;
	char *end;

	if (!s || !*s)
		return 0;
	errno = 0;
	v = strtoull(s, &end, 0);
	if (errno || *end || end == s || *s == '-' || v > max || (v && v < min)) {
		weft__log("%s=%s is not %s%llu to %llu", name, s, min ? "0 or " : "", min, max);
		return WEFT_EINVAL;
	}
	*out = v;
	return 0;
}

static int options(struct runtime *rt, const weft_opts *o)
{
	unsigned long long workers = 0, stack = 0, tasks = 0, seed = 0;
	int rc;

	if (o->workers < 0 || o->workers > WORKERS_MAX || o->blocking_max < 0)
		return WEFT_EINVAL;
	workers = (unsigned long long)o->workers;
	stack = o->stack;
	tasks = o->max_tasks;
	seed = o->seed;
	rc = workers ? 0 : env_number("WEFT_WORKERS", 0, WORKERS_MAX, &workers);
	if (!rc && !stack)
		rc = env_number("WEFT_STACK", STACK_MIN, STACK_MAX, &stack);
	if (!rc && !tasks)
		rc = env_number("WEFT_MAX_TASKS", 0, SIZE_MAX, &tasks);
	if (!rc && !seed)
		rc = env_number("WEFT_SEED", 0, UINT64_MAX, &seed);
	if (rc)
		return rc;
	if (stack && (stack < STACK_MIN || stack > (unsigned long long)STACK_MAX))
		return WEFT_EINVAL;
	if (!workers)
		workers = weft__cpus();
	if (workers > WORKERS_MAX)
		workers = WORKERS_MAX;
	if (!seed && getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
		seed = (unsigned long long)clock_now();
	rt->n = (unsigned)workers;
	rt->stack_size = stack ? (size_t)stack : STACK_DEFAULT;
	rt->task_flags = rt->stack_size == STACK_DEFAULT ? 0 : TASK_OWN_STACK;
	rt->max_tasks = tasks ? (size_t)tasks : SIZE_MAX;
	rt->seed = seed;
	weft__offload_up(o->blocking_max ? (unsigned)o->blocking_max : LANE_USER_MAX);
	rt->signals = !o->no_signals;
	rt->deadlock_check = !o->no_deadlock;
	return 0;
}

/* --- workers --- */

static void workers_free(struct runtime *rt)
{
	add_relaxed(&weft__run_count, 1u); /* nobody is inside: descriptors that live on are watched nowhere */
	for (unsigned i = 0; rt->workers && i < rt->n; i++) {
		struct worker *w = &rt->workers[i];

		weft__loop_free(w->loop);
		free(w->watched);
	}
	free(rt->workers);
}

static int workers_make(struct runtime *rt)
{
	int64_t now = clock_now();
	int rc;

	rt->workers = aligned_alloc(_Alignof(struct worker), rt->n * sizeof *rt->workers);
	if (!rt->workers)
		return WEFT_ENOMEM;
	memset(rt->workers, 0, rt->n * sizeof *rt->workers);
	for (unsigned i = 0; i < rt->n; i++) {
		struct worker *w = &rt->workers[i];

		w->rt = rt;
		w->id = i;
		w->alone = rt->n == 1;
		w->coarse_now = now;
		store_relaxed(&w->countdown, TICK_SLOW); /* not shared yet */
		store_relaxed(&w->stuck_tick, UINT32_MAX);
		rng_seed(&w->rng, rt->seed, i + 1);
		wsq_init(&w->runq);
		weft__wheel_init(&w->wheel, now);
		w->watched = calloc(rt->n, sizeof *w->watched);
		rc = w->watched ? weft__loop_make(&w->loop) : WEFT_ENOMEM;
		if (rc)
			return rc;
	}
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

	if (rc) {
		weft__log("worker %u has no alternate signal stack (%s); it does not run", w->id + 1, strerror(-rc));
		weft__runtime_stop(w->rt, rc);
		return NULL;
	}
	weft__worker_main(w);
	rise(w, &s);
	return NULL;
}

static int threads_start(struct runtime *rt)
{
	char name[16];
	int rc;

	for (unsigned i = 1; i < rt->n; i++) {
		struct worker *w = &rt->workers[i];

		rc = pthread_create(&w->thread, NULL, worker_thread, w);
		if (rc)
			return -rc;
		w->started = true;
		snprintf(name, sizeof name, "weft-%u", i + 1);
		pthread_setname_np(w->thread, name);
	}
	return weft__monitor_start(rt);
}

static void threads_join(struct runtime *rt)
{
	for (unsigned i = 1; i < rt->n; i++) {
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
	for (unsigned i = 0; i < rt->n; i++) {
		store_relaxed(&rt->workers[i].countdown, 0); /* a hint: they look every TICK_SLOW schedules anyway */
		weft__sched_notify(rt, i);
	}
}

void weft_exit(int result)
{
	struct worker *w = weft__worker();
	struct weft_task *t;

	if (!w) {
		if (weft__rt_enter()) {
			weft__runtime_stop(weft__rt, result);
			weft__rt_leave();
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

/* Step 4 for one record. */
static bool call_off(void *rec, void *arg)
{
	struct weft_task *t = rec;
	uint8_t state = load_acquire(&t->state); /* all workers are gone; foreign threads may still be waking some */
	uint64_t word;

	(void)arg;
	if (!weft__task_alive(t, state) || (state != WEFT_TASK_PARKED && state != WEFT_TASK_RUNNABLE))
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

	if (!weft__task_alive(t, load_acquire(&t->state)))
		return true;
	weft__locals_abandon(t, load_relaxed(&t->state) != WEFT_TASK_NEW);
	s = t->stack;
	t->stack = NULL;
	if (s) {
		if (unlikely(weft__san) && t->ctx.sp)
			weft__san_fiber_fini(&s->san);
		s->owner = NULL;
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
	struct list *users = arg;

	(void)now;
	if (n->kind == TIMER_USER)
		list_push_tail(users, &n->link);
	return WHEEL_NEVER;
}

static void down(struct runtime *rt)
{
	struct list users;
	struct list_node *n;

	threads_join(rt);
	weft__offload_down(rt);
	weft__monitor_stop(rt);
	weft__rec_foreach(call_off, rt);
	weft__rt_unpublish();
	weft__requests_down();
	weft__io_down();
	if (weft__signals.down)
		weft__signals.down();
	list_init(&users);
	for (unsigned i = 0; i < rt->n; i++)
		weft__wheel_run(&rt->workers[i].wheel, INT64_MAX - 1, drop_timer, &users);
	while ((n = list_pop_head(&users)) != NULL)
		weft__usertimer_drop(container_of(n, struct timer_node, link));
	weft__actors_down(); /* while their tasks' records are theirs: a foreign thread's kill looks for one */
	weft__stack_release();
	weft__rec_foreach(abandon, rt); /* those included that foreign threads have started or woken meanwhile */
	for (unsigned i = 0; i < rt->n; i++) {
		weft__stack_cache_drain(&rt->workers[i].stacks);
		weft__records_drain(&rt->workers[i]);
	}
}

/* --- run --- */

static ATOMIC(uint32_t) up; /* a weft_run is under way */

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

int weft__run(weft_task_fn *fn, void *arg, const weft_opts *o, bool exit_process, int *result)
{
	struct runtime *rt;
	struct worker *w;
	struct seat seat;
	uint32_t none = 0;
	int rc;

	if (!fn)
		return WEFT_EINVAL;
	if (weft__worker() || !cas_acquire(&up, &none, 1u)) /* pairs with the release below */
		return WEFT_EBUSY;
	hold_stdio();
	rc = WEFT_ENOMEM;
	rt = calloc(1, sizeof *rt);
	if (!rt)
		goto out;
	idle_init(&rt->idle);
	rt->exit_process = exit_process;
	rc = options(rt, o);
	if (!rc)
		rc = weft__fork_trap();
	if (!rc)
		rc = weft__records_init();
	if (!rc)
		rc = workers_make(rt);
	if (rc)
		goto free_workers;
	w = &rt->workers[0];
	rc = rt->signals ? weft__overflow_install() : 0;
	if (rc)
		goto free_workers;
	block_signals(&rt->caller_mask);
	rc = sit(w, &seat);
	if (rc)
		goto restore_signals;
	rc = weft__task_start_main(rt, w, fn, arg);
	if (rc)
		goto leave_seat;
	if (w->alone)
		weft__solo_begin(weft__thread());
	weft__rt_publish(rt);
	rc = weft__signals.up ? weft__signals.up() : 0;
	if (!rc)
		rc = threads_start(rt);
	if (rc)
		weft__runtime_stop(rt, rc);
	weft__worker_main(w);
	down(rt);
	weft__solo_over();
	*result = rt->result;
	if (!rc && rt->result == WEFT_EDEADLK && rt->deadlock_reported)
		rc = WEFT_EDEADLK;
leave_seat:
	rise(w, &seat);
restore_signals:
	unblock_signals(&rt->caller_mask);
	if (rt->signals)
		weft__overflow_uninstall();
free_workers:
	workers_free(rt);
	free(rt);
out:
	store_release(&up, 0u); /* pairs with cas_acquire above */
	return rc;
}

/* --- figures --- */

int weft_stats(weft_stat *out)
{
	struct worker *self = weft__worker();
	struct stack_stats st;
	struct runtime *rt;

	memset(out, 0, sizeof *out);
	if (!self && !weft__rt_enter())
		return WEFT_ESRCH;
	rt = weft__rt;
	out->workers = (int)rt->n;
	out->started = load_relaxed(&rt->stat_started); /* statistics, here and below */
	for (unsigned i = 0; i < rt->n; i++) {
		struct worker *w = &rt->workers[i];

		out->started += load_relaxed(&w->stat_started);
		out->finished += load_relaxed(&w->stat_finished);
		out->switches += load_relaxed(&w->tick);
		out->steals += load_relaxed(&w->stat_steals);
		out->sleeps += load_relaxed(&w->stat_sleeps);
		out->timers += load_relaxed(&w->stat_timers);
		out->faults += load_relaxed(&w->stat_faults);
	}
	if (!self)
		weft__rt_leave();
	weft__stack_stats(&st);
	out->stacks = st.stacks;
	out->stack_bytes = st.mapped;
	out->quarantined = st.quarantined;
	return 0;
}

void weft_trim(void)
{
	weft__stack_trim();
	weft__rec_trim();
}
