/* SPDX-License-Identifier: MIT
 *
 * shutdown.c - the runtime goes down, again and again, while tasks and foreign threads are in the middle of everything.
 *
 * Nothing may be left behind, nobody may hang, and a foreign thread that waits for a task learns that the runtime went first.
 */
#include "rt.h"

#include <pthread.h>

struct traffic {
	weft_chan *a, *b;
	weft_mutex m;
	weft_wg g;
	weft_task *napper;
	ATOMIC(int) started; /* by the starters, and not run yet */
	int spins;
};

static int pinger(void *arg)
{
	struct traffic *f = arg;

	for (;;) {
		if (weft_chan_send(f->a, "x") || weft_chan_recv(f->b, NULL))
			return 0;
	}
}

static int ponger(void *arg)
{
	struct traffic *f = arg;

	for (;;) {
		if (weft_chan_recv(f->a, NULL) || weft_chan_send(f->b, "x"))
			return 0;
	}
}

static int locker(void *arg)
{
	struct traffic *f = arg;

	while (weft_mutex_lock(&f->m) == 0) {
		weft_task_yield();
		weft_mutex_unlock(&f->m);
	}
	return 0;
}

static int sleeper(void *arg)
{
	(void)arg;
	while (weft_task_sleep(10 * WEFT_US) == 0)
		;
	return 0;
}

static int napper(void *arg)
{
	(void)arg;
	while (weft_task_park() == 0)
		;
	return 0;
}

static int selector(void *arg)
{
	struct traffic *f = arg;

	for (;;) {
		weft_case cases[] = {WEFT_RECV(f->a, NULL), WEFT_SEND(f->b, "x"), WEFT_AFTER(20 * WEFT_US)};

		if (weft_chan_select(cases, 3) < 0)
			return 0;
	}
}

static void nothing(void *arg)
{
	struct traffic *f = arg;

	if (f)
		add_relaxed(&f->started, -1);
}

/* Not without bound: it may be of a higher class than what it starts (WEFT_PRIO=mixed). */
static int starter(void *arg)
{
	struct traffic *f = arg;

	for (;;) {
		add_relaxed(&f->started, 1);
		if (weft_go(nothing, f))
			return 0;
		do
			weft_task_yield();
		while (load_relaxed(&f->started) > 50);
	}
}

static int everything_main(void *arg)
{
	static weft_task_fn *const kinds[] = {pinger, ponger, locker, sleeper, selector, starter};
	struct traffic *f = arg;

	f->napper = NULL;
	for (int i = 0; i < 18; i++) {
		weft_ctx *c = i % 3 ? NULL : weft_ctx_with_deadline(NULL, weft_in(WEFT_SEC));

		T_EQ(weft_go_opts(NULL, kinds[(size_t)i % ARRAY_LEN(kinds)], f, &(weft_task_opts){.ctx = c, .stack = i % 5 ? 0 : 65536}),
		     0);
		weft_ctx_free(c);
	}
	T_EQ(weft_go_opts(NULL, napper, NULL, NULL), 0);
	for (int i = 0; i < f->spins; i++)
		weft_task_yield();
	weft_go(nothing, NULL); /* one that never starts */
	return 5;
}

/* The main task returns while others are parked, asleep, runnable, running and never started. */
TEST_WORKERS(main_returns)
{
	long n = tap_iters(300);
	struct traffic f;

	ends_with_main();
	tap_limit(120);
	for (long i = 0; i < n; i++) {
		memset(&f, 0, sizeof f);
		f.a = weft_chan_make(1, (size_t)i % 2);
		f.b = weft_chan_make(1, 0);
		f.spins = (int)i % 100;
		T_EQ(run_with(everything_main, &f, (weft_opts){.seed = (uint64_t)i + 1}), 5);
		weft_chan_free(f.a);
		weft_chan_free(f.b);
	}
}

/* --- foreign threads meanwhile --- */

struct outside {
	ATOMIC(int) stop;
	ATOMIC(long) ran, canceled, refused;
	weft_chan *a;
};

static int job(void *arg)
{
	add_relaxed((ATOMIC(long) *)arg, 1);
	weft_task_yield();
	return 17;
}

static void *blocks_on(void *arg)
{
	struct outside *o = arg;

	while (!load_acquire(&o->stop)) {
		int ret = -1, rc = weft_block_on(job, &o->ran, &ret);

		if (rc == 0) {
			T_EQ(ret, 17);
		} else if (rc == WEFT_ECANCELED) {
			add_relaxed(&o->canceled, 1);
		} else {
			T_EQ(rc, WEFT_ESRCH);
			add_relaxed(&o->refused, 1);
			sched_yield();
		}
	}
	return NULL;
}

static void *wakes(void *arg)
{
	struct outside *o = arg;

	while (!load_acquire(&o->stop)) {
		weft_timer *t;

		weft_chan_trysend(o->a, "x");
		weft_chan_tryrecv(o->a, NULL);
		weft_go(nothing, NULL);
		t = weft_timer_make(5 * WEFT_US);
		weft_timer_free(t);
		t = weft_timer_after(5 * WEFT_US, nothing, NULL);
		weft_timer_free(t);
	}
	return NULL;
}

static int outside_task(void *arg)
{
	struct outside *o = arg;

	for (;;) {
		if (weft_chan_send(o->a, "x") || weft_chan_recv(o->a, NULL))
			return 0;
	}
}

static int outside_main(void *arg)
{
	weft_ctx *c = weft_ctx_with_deadline(NULL, weft_in(200 * WEFT_US));
	weft_ctx *up;

	for (int i = 0; i < 6; i++)
		T_EQ(weft_go_opts(NULL, outside_task, arg, NULL), 0);
	up = weft_ctx_enter(c);
	while (weft_ctx_check() == 0)
		weft_task_yield();
	weft_ctx_leave(up);
	weft_ctx_free(c);
	return 0;
}

/* Threads start tasks, wait for them, wake others and set timers while the runtime goes up and down under them. */
TEST_WORKERS(foreign_threads_meanwhile)
{
	struct outside o = {.a = weft_chan_make(1, 0)};
	long n = tap_iters(400);
	struct rt_left l;
	pthread_t th[4];

	tap_limit(120);
	ends_with_main();
	for (int i = 0; i < 4; i++)
		T_EQ(pthread_create(&th[i], NULL, i < 2 ? blocks_on : wakes, &o), 0);
	for (long i = 0; i < n; i++)
		T_EQ(weft_run(outside_main, &o, &(weft_opts){.workers = tap_workers(), .no_deadlock = true}), 0);
	store_release(&o.stop, 1);
	for (int i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	tap_note("%ld ran, %ld canceled, %ld refused", o.ran, o.canceled, o.refused);
	weft_chan_free(o.a);
	l = rt_left();
	T_EQ(l.tasks, 0);
	nothing_left();
}
