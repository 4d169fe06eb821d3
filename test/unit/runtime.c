/* SPDX-License-Identifier: MIT
 *
 * runtime.c - up and down: results, options, one at a time, again and again, what the caller's thread gets back, and deadlock.
 */
#include "rt.h"

#include "core/lot.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static int result(void *arg)
{
	return (int)(intptr_t)arg;
}

/* weft_run returns what the main task returned. */
TEST_WORKERS(returns_the_result)
{
	static const int results[] = {0, 1, -1, 255, 256, INT32_MAX, INT32_MIN, -ENOMEM};

	for (size_t i = 0; i < ARRAY_LEN(results); i++)
		T_EQ(run_with(result, (void *)(intptr_t)results[i], (weft_opts){.workers = 0}), results[i]);
	T_EQ(weft_run(NULL, NULL, NULL), WEFT_EINVAL);
}

static int hundred_main(void *arg)
{
	int round = (int)(intptr_t)arg;

	for (int i = 0; i < round % 10; i++)
		T_EQ(finish(start(result, (void *)7)), 7);
	return round;
}

static void *runs_one(void *arg)
{
	T_EQ(weft_run(hundred_main, arg, &(weft_opts){.workers = tap_workers()}), (int)(intptr_t)arg);
	return NULL;
}

/* A hundred runtimes in a row, from different threads. */
TEST_WORKERS(hundred_in_a_row)
{
	for (int i = 0; i < 100; i++) {
		pthread_t th;

		if (i % 3) {
			T_EQ(run_with(hundred_main, (void *)(intptr_t)i, (weft_opts){.workers = 0}), i);
			continue;
		}
		T_EQ(pthread_create(&th, NULL, runs_one, (void *)(intptr_t)i), 0);
		pthread_join(th, NULL);
		nothing_left();
	}
}

static void *runs_second(void *arg)
{
	*(int *)arg = weft_run(result, NULL, NULL);
	return NULL;
}

static int nested_main(void *arg)
{
	pthread_t th;
	int rc = 5;

	(void)arg;
	T_EQ(weft_run(result, NULL, NULL), WEFT_EBUSY);
	T_EQ(pthread_create(&th, NULL, runs_second, &rc), 0);
	pthread_join(th, NULL);
	T_EQ(rc, WEFT_EBUSY);
	return 0;
}

/* One at a time: on a task, and on another thread, it says WEFT_EBUSY. */
TEST_WORKERS(one_at_a_time)
{
	run(nested_main, NULL);
}

/* Options and environment that make no sense are refused; nothing has happened. */
TEST(bad_options)
{
	static const char *const names[] = {"WEFT_WORKERS",     "WEFT_STACK",        "WEFT_MAX_TASKS", "WEFT_SEED",
					    "WEFT_TRIM_PARKED", "WEFT_STACK_REPORT", "WEFT_ORDER",     "WEFT_PRIO"};
	static const char *const bad[] = {"x", "-1", "1x", "99999999999999999999999", " "};

	T_EQ(weft_run(result, NULL, &(weft_opts){.workers = -1}), WEFT_EINVAL);
	T_EQ(weft_run(result, NULL, &(weft_opts){.workers = 513}), WEFT_EINVAL);
	T_EQ(weft_run(result, NULL, &(weft_opts){.stack = 1}), WEFT_EINVAL);
	T_EQ(weft_run(result, NULL, &(weft_opts){.stack = SIZE_MAX}), WEFT_EINVAL);
	T_EQ(weft_run(result, NULL, &(weft_opts){.order = (enum weft_order)3}), WEFT_EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
			setenv(names[i], bad[k], 1);
			if (weft_run(result, NULL, NULL) != WEFT_EINVAL)
				T_FAIL("%s=%s was accepted", names[i], bad[k]);
		}
		setenv(names[i], "", 1); /* as if it were not set */
		T_EQ(weft_run(result, (void *)3, NULL), 3);
		unsetenv(names[i]);
	}
	nothing_left();
}

static int workers_main(void *arg)
{
	weft_stat s;

	(void)arg;
	T_EQ(weft_stats(NULL), WEFT_EINVAL);
	T_EQ(weft_stats(&s), 0);
	return s.workers;
}

/* The number of workers is the option's, else the environment's, else the machine's. */
TEST(number_of_workers)
{
	unsetenv("WEFT_WORKERS");
	T_GE(weft_run(workers_main, NULL, NULL), 1);
	setenv("WEFT_WORKERS", "3", 1);
	T_EQ(weft_run(workers_main, NULL, NULL), 3);
	T_EQ(weft_run(workers_main, NULL, &(weft_opts){.workers = 5}), 5);
	T_EQ(weft_run(workers_main, NULL, &(weft_opts){.workers = 60}), 60);
	nothing_left();
}

static int stats_main(void *arg)
{
	weft_stat a, b;

	(void)arg;
	T_EQ(weft_stats(&a), 0);
	for (int i = 0; i < 100; i++)
		finish(start(result, NULL));
	weft_task_sleep(10 * WEFT_MS);
	T_EQ(weft_stats(&b), 0);
	T_EQ(b.started, a.started + 100);
	T_EQ(b.finished, a.finished + 100);
	T_GT(b.switches, a.switches);
	T_GE(b.timers, a.timers + 1);
	T_GT(b.stacks, 0);
	T_GT(b.stack_bytes, 0);
	return 0;
}

/* The figures count what has happened. */
TEST_WORKERS(figures)
{
	run(stats_main, NULL);
}

/* --- the caller's thread --- */

static int masked_main(void *arg)
{
	sigset_t now;

	(void)arg;
	T_EQ(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	T_OK(sigismember(&now, SIGUSR1) && sigismember(&now, SIGINT) &&
	     !sigismember(&now, SIGSEGV)); /* workers block all but synchronous ones */
	return 0;
}

/* Signal mask, alternate stack, timer slack and handlers of the caller are put back. */
TEST_WORKERS(gives_the_thread_back)
{
	static const int handled[] = {SIGSEGV, SIGBUS, SIGQUIT, SIGPIPE};
	struct sigaction before[ARRAY_LEN(handled)], after;
	char *mem = malloc(1 << 17);
	stack_t mine = {.ss_sp = mem, .ss_size = 1 << 17}, was, is;
	sigset_t mask, now;

	sigaltstack(NULL, &was);
	T_EQ(sigaltstack(&mine, NULL), 0);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	prctl(PR_SET_TIMERSLACK, 12345, 0, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(handled); i++)
		sigaction(handled[i], NULL, &before[i]);
	for (int round = 0; round < 3; round++) {
		run(masked_main, NULL);
		T_EQ(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 12345);
		pthread_sigmask(SIG_SETMASK, NULL, &now);
		for (int s = 1; s < 32; s++)
			T_EQ(sigismember(&now, s), s == SIGUSR2);
		T_EQ(sigaltstack(NULL, &is), 0);
		T_EQ(is.ss_sp, mem);
		T_EQ(is.ss_size, mine.ss_size);
		for (size_t i = 0; i < ARRAY_LEN(handled); i++) {
			sigaction(handled[i], NULL, &after);
			T_EQ(after.sa_handler, before[i].sa_handler);
		}
	}
	sigaltstack(&was, NULL);
	free(mem);
}

NOINLINE static int write_error(int fd) /* errno's address must not be kept across the yield */
{
	return write(fd, "x", 1) < 0 ? errno : 0;
}

static int broken_pipe_main(void *arg)
{
	int p[2];

	(void)arg;
	T_EQ(pipe(p), 0);
	close(p[0]);
	for (int i = 0; i < 3; i++) {
		T_EQ(write_error(p[1]), EPIPE);
		weft_task_yield();
	}
	close(p[1]);
	return 0;
}

/* A write to a peer that has gone kills neither the task nor, afterwards, the process. */
TEST_WORKERS(no_sigpipe)
{
	sigset_t pending;

	signal(SIGPIPE, SIG_DFL);
	for (int i = 0; i < 3; i++) {
		run(broken_pipe_main, NULL);
		sigpending(&pending);
		T_EQ(sigismember(&pending, SIGPIPE), 0);
	}
}

/* --- deadlock --- */

static int waits_for_ever(void *arg)
{
	weft_chan_recv(arg, NULL);
	T_FAIL("went on after the end");
}

static int deadlock_main(void *arg)
{
	weft_chan *c = arg;

	T_EQ(weft_go_opts(NULL, waits_for_ever, c, &(weft_task_opts){.name = "starving"}), 0);
	T_EQ(weft_go_opts(NULL, waits_for_ever, c, NULL), 0);
	weft_chan_recv(c, NULL);
	T_FAIL("went on after the end");
}

/* Every task waits for another: weft_run says so. */
TEST_WORKERS(deadlock)
{
	for (int i = 0; i < 5; i++) {
		weft_chan *c = weft_chan_make(1, 0);

		T_EQ(run_with(deadlock_main, c, (weft_opts){.workers = 0}), WEFT_EDEADLK);
		weft_chan_free(c);
	}
}

/* The report names the tasks. */
TEST_DIES_WORKERS(deadlock_report, "starving")
{
	weft_chan *c = weft_chan_make(1, 0);

	T_EQ(weft_run(deadlock_main, c, &(weft_opts){.workers = tap_workers()}), WEFT_EDEADLK);
	exit(2);
}

static void nothing(void *arg)
{
	(void)arg;
}

static int hope_main(void *arg)
{
	weft_timer *t = weft_timer_make(3 * WEFT_MS), *u;

	(void)arg;
	T_EQ(weft_chan_recv(weft_timer_chan(t), NULL), 0); /* a timer may wake it */
	weft_timer_free(t);
	T_EQ(weft_chan_recv_until(NULL, NULL, weft_in(3 * WEFT_MS)), WEFT_ETIMEDOUT);
	u = weft_timer_after(3 * WEFT_MS, nothing, NULL);
	weft_task_sleep(6 * WEFT_MS);
	weft_timer_free(u);
	return 0;
}

/* Whoever waits for a timer or a deadline is no deadlock. */
TEST_WORKERS(timers_are_hope)
{
	run(hope_main, NULL);
}

static void *wakes_late(void *arg)
{
	struct timespec ts = {0, 20000000};

	nanosleep(&ts, NULL); /* outside weft: so that the runtime believes it cannot go on */
	weft_chan_send(arg, "x");
	return NULL;
}

static int outside_main(void *arg)
{
	weft_chan *c = weft_chan_make(1, 0);
	pthread_t th;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		T_EQ(pthread_create(&th, NULL, wakes_late, c), 0);
		T_EQ(weft_chan_recv(c, NULL), 0);
		pthread_join(th, NULL);
	}
	weft_chan_free(c);
	return 0;
}

/* While there is a thread that weft did not make, it may still come: the runtime goes on. */
TEST_WORKERS(foreign_threads_are_hope)
{
	run(outside_main, NULL);
}

static int sends_one(void *arg)
{
	return weft_chan_send(arg, "x");
}

static int stale_main(void *arg)
{
	weft_chan *c = arg;

	T_EQ(weft_go_opts(NULL, sends_one, c, NULL), 0);
	T_EQ(weft_chan_recv_until(c, NULL, weft_in(3600 * WEFT_SEC)), 0); /* its timer still stands in a wheel */
	weft_chan_recv(c, NULL);
	T_FAIL("went on after the end");
}

/* The deadline of a wait that is over is no hope. */
TEST_WORKERS(stale_timers_are_no_hope)
{
	weft_chan *c = weft_chan_make(1, 0);

	T_EQ(run_with(stale_main, c, (weft_opts){.workers = 0}), WEFT_EDEADLK);
	weft_chan_free(c);
}

struct just_in_time {
	weft_chan *c;
	ATOMIC(int64_t) idle_from;
	int64_t delay;
};

static void *wakes_and_ends(void *arg)
{
	struct just_in_time *j = arg;
	struct timespec ts;
	int64_t at;

	while (!load_acquire(&j->idle_from))
		sched_yield();
	at = load_relaxed(&j->idle_from) + j->delay;
	ts = (struct timespec){at / WEFT_SEC, at % WEFT_SEC};
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL); /* outside weft */
	T_EQ(weft_chan_send(j->c, "x"), 0);
	return NULL; /* and the thread is a foreign one no longer */
}

static int just_in_time_main(void *arg)
{
	struct just_in_time *j = arg;
	pthread_t th;

	T_EQ(pthread_create(&th, NULL, wakes_and_ends, j), 0);
	T_EQ(weft_chan_trysend(j->c, "x"), 0);
	T_EQ(weft_chan_recv(j->c, NULL), 0);
	store_release(&j->idle_from, weft_now());
	T_EQ(weft_chan_recv(j->c, NULL), 0);
	weft_task_sleep(5 * WEFT_MS);
	pthread_join(th, NULL);
	return 0;
}

/* A thread wakes a task in the very moment in which it is judged whether anything can go on, and ends. */
TEST_WORKERS(woken_while_judged)
{
	for (int i = 0; i < 20; i++) {
		struct just_in_time j = {.c = weft_chan_make(1, 1), .delay = DEADLOCK_NS + (i - 2) * 200 * WEFT_US};

		run(just_in_time_main, &j);
		weft_chan_free(j.c);
	}
}

/* --- left in the middle of a wait --- */

#define GHOSTS 4

struct ghosts {
	weft_chan *a, *b;
	weft_mutex m;
	weft_wg g;
	bool woken; /* by an element, instead of cancelled */
};

static int ghost_recv(void *arg)
{
	struct ghosts *g = arg;

	return weft_chan_recv(g->a, NULL);
}

static int ghost_select(void *arg)
{
	struct ghosts *g = arg;
	weft_case cases[] = {WEFT_RECV(g->b, NULL), WEFT_RECV(g->a, NULL), WEFT_RECV(g->b, NULL)};

	return weft_chan_select(cases, 3);
}

static int ghost_lock(void *arg)
{
	struct ghosts *g = arg;

	return weft_mutex_lock(&g->m);
}

static int ghost_wait(void *arg)
{
	struct ghosts *g = arg;

	return weft_wg_wait(&g->g);
}

static int takes(void *arg)
{
	char x = 0;

	T_EQ(weft_chan_recv(arg, &x), 0);
	return x;
}

/* Claimed tasks that are never resumed, for nobody runs them between the claim and the end. */
static int ghosts_main(void *arg)
{
	static weft_task_fn *const kinds[] = {ghost_select, ghost_recv, ghost_lock, ghost_wait};
	struct ghosts *g = arg;
	weft_ctx *c = weft_ctx_make(NULL), *up = weft_ctx_enter(c);

	T_EQ(weft_mutex_lock(&g->m), 0);
	weft_wg_add(&g->g, 1);
	for (size_t i = 0; i < ARRAY_LEN(kinds) * GHOSTS; i++) {
		weft_task *t = start(kinds[i % ARRAY_LEN(kinds)], g);

		until_parked(t);
		weft_task_detach(t);
	}
	weft_ctx_leave(up);
	if (g->woken) {
		weft_chan *gone = weft_chan_make(1, 0);
		weft_task *t = start(takes, gone);

		until_parked(t);
		weft_task_detach(t);
		T_EQ(weft_chan_trysend(gone, "x"), 0);
		weft_chan_free(gone); /* it has served */
		for (int i = 0; i < 2 * GHOSTS; i++)
			T_EQ(weft_chan_trysend(g->a, "x"), 0);
		weft_mutex_unlock(&g->m);
		weft_wg_done(&g->g);
	} else {
		weft_ctx_cancel(c, WEFT_REASON_CANCELED);
	}
	weft_ctx_free(c);
	return 5;
}

/* What they waited for is as new. */
static int after_ghosts_main(void *arg)
{
	struct ghosts *g = arg;
	weft_chan *const chans[] = {g->a, g->b};

	for (int i = 0; i < 2; i++) {
		weft_task *t;

		T_EQ(weft_chan_trysend(chans[i], "x"), WEFT_EAGAIN); /* nobody waits there */
		t = start(takes, chans[i]);
		until_parked(t);
		T_EQ(weft_chan_send(chans[i], "y"), 0);
		T_EQ(finish(t), 'y');
	}
	memset(&g->m, 0, sizeof g->m);
	memset(&g->g, 0, sizeof g->g);
	T_EQ(weft_mutex_lock(&g->m), 0);
	weft_mutex_unlock(&g->m);
	weft_wg_add(&g->g, 1);
	weft_wg_done(&g->g);
	return weft_wg_wait(&g->g);
}

/* Tasks that were woken or cancelled, and that the runtime left behind before they could go on, wait for nothing any more. */
TEST_WORKERS(never_resumed)
{
	ends_with_main();
	for (int i = 0; i < 10; i++) {
		struct ghosts g = {.a = weft_chan_make(1, 0), .b = weft_chan_make(1, 0), .woken = i % 2};

		T_EQ(run_with(ghosts_main, &g, (weft_opts){.workers = 0}), 5);
		weft_trim();
		run(after_ghosts_main, &g);
		weft_chan_free(g.a);
		weft_chan_free(g.b);
	}
}

struct heir {
	weft_mutex m;
	pthread_t th;
};

static void *inherits(void *arg)
{
	struct heir *h = arg;

	T_EQ(weft_mutex_lock(&h->m), 0);
	weft_mutex_unlock(&h->m);
	return NULL;
}

static int locks_too_late(void *arg)
{
	struct heir *h = arg;
	int rc = weft_mutex_lock(&h->m);

	if (rc == 0) /* in time: another worker was fast */
		weft_mutex_unlock(&h->m);
	return rc;
}

/* How many wait for the mutex. */
static int waiting(weft_mutex *m)
{
	struct lot_bucket *b = lot_bucket(m);
	int n = 0;

	lock_take_solo(&b->lock, RANK_LOT);
	for (struct waiter *w = weft__lot_next(b, m, NULL); w; w = weft__lot_next(b, m, w))
		n++;
	lock_drop_solo(&b->lock);
	return n;
}

static int heir_main(void *arg)
{
	struct heir *h = arg;
	weft_task *t;

	time_fake(); /* nobody waits so long that the mutex is handed to him */
	T_EQ(weft_mutex_lock(&h->m), 0);
	for (int i = 0; i < GHOSTS; i++) {
		t = start(locks_too_late, h);
		until_parked(t);
		weft_task_detach(t);
	}
	T_EQ(pthread_create(&h->th, NULL, inherits, h), 0);
	until(waiting(&h->m) == GHOSTS + 1);
	weft_mutex_unlock(&h->m); /* wakes the first task, and will wake no other until that one has tried */
	return 5;
}

/* A task that was to try again for a mutex, and was left behind, is in nobody's way: a thread behind it gets its turn. */
TEST_WORKERS(never_tried)
{
	struct heir h = {.th = 0};

	ends_with_main();
	T_EQ(weft_run(heir_main, &h, &(weft_opts){.workers = tap_workers()}), 5);
	time_real();
	T_EQ(pthread_join(h.th, NULL), 0);
}

/* --- words --- */

/* Every code has a name in words. */
TEST(codes_in_words)
{
	static const int codes[] = {
		0,          WEFT_EAGAIN, WEFT_EINVAL,  WEFT_ENOMEM, WEFT_ECANCELED, WEFT_ETIMEDOUT, WEFT_EDEADLK, WEFT_EALREADY,
		WEFT_ESRCH, WEFT_EBUSY,  WEFT_ECLOSED, 12345,       -99999,         INT32_MIN};

	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		T_OK(weft_strerror(codes[i]) != NULL);
		T_OK(weft_strerror(codes[i])[0] != '\0');
	}
	T_STR_HAS(weft_strerror(WEFT_ECLOSED), "closed");
	T_STR_HAS(weft_strerror(WEFT_EPIPE), "receives");
	T_STR_HAS(weft_strerror(WEFT_ENOBUFS), "limit");
}
