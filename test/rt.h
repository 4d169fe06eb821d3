/* SPDX-License-Identifier: MIT
 *
 * rt.h - brings a runtime up for a test, and looks afterwards whether anything is left of it.
 *
 *   run(fn, arg)          fn(arg) is the main task, on tap_workers() workers; it must return 0, and leave nothing behind
 *   start(fn, arg)        a joinable task; finish(t) joins it and returns its result
 *   until_parked(t)       lets others run until t waits; until_reason(t, "mutex") until it waits for that
 *   time_fake(), time_move(ns), time_real()    a clock that stands still until it is moved
 *
 * Nobody sleeps here to "wait until something has happened": a state is watched, and others run meanwhile.
 */
#ifndef WEFT_TEST_RT_H
#define WEFT_TEST_RT_H

#include "tap.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "core/recslab.h"
#include "core/runtime.h"
#include "core/stack.h"
#include "weft/chan.h"
#include "weft/ctx.h"
#include "weft/runtime.h"
#include "weft/sync.h"
#include "weft/task.h"
#include "weft/time.h"
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

/* --- what is left --- */

struct rt_left {
	size_t tasks;   /* records of tasks */
	size_t proxies; /* records of foreign threads */
};

static inline bool rt__count(void *rec, void *arg)
{
	struct weft_task *t = rec;
	struct rt_left *l = arg;

	if (t->id == 0 || load_acquire(&t->state) == TASK_FREE) /* a record never used, or given back */
		return true;
	if (task_is(t, TASK_FOREIGN))
		l->proxies++;
	else
		l->tasks++;
	return true;
}

static inline struct rt_left rt_left(void)
{
	struct rt_left l = {.tasks = 0};

	weft__rec_foreach(rt__count, &l);
	return l;
}

/* Open descriptors of this process, but those with which the monitor looks at its threads now and then. */
static inline int rt_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	char path[32];
	int n = 0;

	if (!d)
		return 0;
	while ((e = readdir(d)) != NULL) {
		ssize_t len = readlinkat(dirfd(d), e->d_name, path, sizeof path - 1);
		int at = 0;

		path[len > 0 ? len : 0] = '\0';
		(void)sscanf(path, "/proc/%*d/%n", &at);
		n += len > 0 && !(at && (!strncmp(path + at, "task", 4) || !strncmp(path + at, "fd", 2))); /* the last: our own look */
	}
	closedir(d);
	return n;
}

/* No runtime is up: no task, no stack, no record, no foreign thread but the caller has anything of weft's. */
static inline void nothing_left(void)
{
	struct stack_stats st;
	struct rec_stats rec;
	struct rt_left l = rt_left();

	weft__stack_stats(&st);
	weft__rec_stats(&rec);
	T_EQ(st.in_use, 0);
	T_EQ(l.tasks, 0);
	T_LE(l.proxies, 1);
	T_EQ(rec.records_in_use, l.proxies); /* nor one that was taken for a task that never began */
}

/* --- up and down --- */

static inline int run_with(weft_task_fn *fn, void *arg, weft_opts o)
{
	uv_loop_t once;
	int fds, rc;

	T_EQ(uv_loop_init(&once), 0); /* the first loop of a process makes libuv's signal pipe, which stays */
	T_EQ(uv_loop_close(&once), 0);
	fds = rt_fds();
	if (!o.workers)
		o.workers = tap_workers();
	rc = weft_run(fn, arg, &o);
	nothing_left();
	T_EQ(rt_fds(), fds);
	return rc;
}

static inline void run(weft_task_fn *fn, void *arg)
{
	T_EQ(run_with(fn, arg, (weft_opts){.workers = 0}), 0);
}

/* The test is about tasks that are left when the first one has ended: so the runtime ends with that one, whatever WEFT_EXIT says. */
static inline void ends_with_main(void)
{
	setenv("WEFT_EXIT", "main", 1);
}

/* --- tasks --- */

static inline weft_task *start(weft_task_fn *fn, void *arg)
{
	weft_task *t;

	T_EQ(weft_go_opts(&t, fn, arg, NULL), 0);
	return t;
}

static inline int finish(weft_task *t)
{
	int ret = -1;

	T_EQ(weft_task_join(t, &ret), 0);
	return ret;
}

/* Lets others run: other tasks, or from a foreign thread other threads. */
static inline void let_run(void)
{
	if (weft_task_self())
		weft_task_yield();
	sched_yield();
}

/* All tasks but the caller have ended: none holds anything when main returns. */
static inline void until_others_end(void)
{
	weft_stat s;

	do {
		let_run();
		T_EQ(weft_stats(&s), 0);
	} while (s.started - s.finished > 1);
}

static inline void until_state(weft_task *t, enum weft_task_state s)
{
	while (weft_task_stateof(t) != s)
		let_run();
}

/* A task says that it is parked, and why, before it is listed where it waits; it has done all that once no worker stands on its stack. */
static inline bool on_stack(weft_task *t)
{
	return load_acquire(&t->on_cpu) == 1; /* pairs with store_release in oncpu_clear */
}

static inline void until_parked(weft_task *t)
{
	while (weft_task_stateof(t) != WEFT_TASK_PARKED || on_stack(t))
		let_run();
}

static inline void until_reason(weft_task *t, const char *reason)
{
	while (strcmp(weft_task_reason(t), reason) != 0 || on_stack(t))
		let_run();
}

/* Waits, by letting others run, until a flag or counter has a value. */
#define until(cond)                \
	do {                       \
		while (!(cond))    \
			let_run(); \
	} while (0)

/* A worker that cannot have its alternate stack takes the runtime down: whoever lets calls fail waits until all have begun, unless that is the question. */
static inline void until_all_workers_run(void)
{
	for (unsigned i = 0; i < weft__rt->n; i++)
		until(load_relaxed(&weft__rt->workers[i].tid) != 0); /* its last step */
}

/* --- time --- */

static inline void time_fake(void)
{
	int64_t now;

	do {
		now = weft__clock_read();
		store_relaxed(&weft__clock_fake, now); /* ordered by what the test does next */
	} while (weft__clock_read() - now > WEFT_MS);  /* others have read a time by then that is long to come */
}

/* Moves the fake clock and wakes all workers, which sleep by the real one. */
static inline void time_move(int64_t ns)
{
	add_relaxed(&weft__clock_fake, ns); /* as above */
	for (unsigned i = 0; i < weft__rt->n; i++)
		weft__sched_notify(weft__rt, i);
}

static inline void time_real(void)
{
	store_relaxed(&weft__clock_fake, CLOCK_REAL); /* as above */
}

#endif
