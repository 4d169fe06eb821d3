/* SPDX-License-Identifier: MIT
 *
 * lockcheck.c - libweft-lockcheck.so: is a task that lets others run while it holds a native mutex noticed, and nothing else?
 *
 * Each case is a program of its own: this one, with --in-process and the library preloaded. Without it the same cases do no harm, as they are run here first.
 */
#include "rt.h"

#include "core/guard.h"
#include "weft/defer.h"
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER, n = PTHREAD_MUTEX_INITIALIZER;

/* --- the cases --- */

NOINLINE static void locks_it(void)
{
	T_EQ(pthread_mutex_lock(&m), 0);
	__asm__ volatile("");
}

static int sleeps(void *arg)
{
	(void)arg;
	locks_it();
	T_EQ(weft_task_sleep(WEFT_MS), 0);
	pthread_mutex_unlock(&m);
	return 0;
}

TEST(case_sleeps)
{
	T_EQ(weft_run(sleeps, NULL, &(weft_opts){.workers = 1}), 0);
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int yields(void *arg)
{
	struct timespec at = {0, 0};

	(void)arg;
	T_EQ(pthread_mutex_trylock(&n), 0); /* of several, the last one is told */
	T_EQ(pthread_mutex_timedlock(&m, &at), 0);
	T_EQ(weft_go_opts(NULL, nothing, NULL, NULL), 0);
	weft_task_yield();
	pthread_mutex_unlock(&n);
	pthread_mutex_unlock(&m);
	return 0;
}

TEST(case_yields)
{
	T_EQ(weft_run(yields, NULL, &(weft_opts){.workers = 1}), 0);
}

static int forgets(void *arg)
{
	(void)arg;
	locks_it();
	return 0;
}

static int starts_forgets(void *arg)
{
	(void)arg;
	T_EQ(weft_go_opts(NULL, forgets, NULL, NULL), 0);
	weft_task_yield();
	weft_task_yield();
	return 0;
}

TEST(case_forgets)
{
	T_EQ(weft_run(starts_forgets, NULL, &(weft_opts){.workers = 1}), 0);
}

/* All that is right: in any order, recursively, one that cannot be had, across calls that do not wait, and by threads of one's own. */
static void *thread_holds(void *arg)
{
	weft_chan *c = arg;
	int v = 1;

	T_EQ(pthread_mutex_lock(&n), 0);
	T_EQ(weft_chan_send(c, &v), 0); /* a thread may wait with a mutex */
	T_EQ(weft_chan_send(c, &v), 0);
	pthread_mutex_unlock(&n);
	return NULL;
}

static int behaves(void *arg)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t r;
	pthread_t t;
	weft_chan *c = weft_chan_make(sizeof(int), 0);
	int v;

	(void)arg;
	T_EQ(pthread_mutexattr_init(&attr), 0);
	T_EQ(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE), 0);
	T_EQ(pthread_mutex_init(&r, &attr), 0);
	T_EQ(pthread_mutex_lock(&m), 0);
	T_EQ(pthread_mutex_lock(&n), 0);
	T_EQ(weft_chan_tryrecv(c, &v), WEFT_EAGAIN);
	T_EQ(pthread_mutex_unlock(&m), 0);
	T_EQ(pthread_mutex_unlock(&n), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(pthread_mutex_lock(&r), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(pthread_mutex_unlock(&r), 0);
	T_EQ(pthread_create(&t, NULL, thread_holds, c), 0);
	T_EQ(weft_chan_recv(c, &v), 0);
	T_NE(pthread_mutex_trylock(&n), 0);
	T_EQ(weft_task_sleep(WEFT_MS), 0);
	T_EQ(weft_chan_recv(c, &v), 0);
	pthread_join(t, NULL);
	T_EQ(pthread_mutex_lock(&n), 0);
	T_EQ(pthread_mutex_unlock(&n), 0);
	for (int i = 0; i < 100; i++)
		T_EQ(finish(start(nothing, NULL)), 0);
	weft_chan_free(c);
	pthread_mutex_destroy(&r);
	return 0;
}

TEST_WORKERS(case_behaves)
{
	T_EQ(weft_run(behaves, NULL, &(weft_opts){.workers = tap_workers()}), 0);
}

/* --- under the library --- */

static char out[1 << 16];

/* Runs a case under the library: what it prints is in `out`. Returns its status. */
static int watched(const char *name)
{
	char self[PATH_MAX], command[4 * PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
	size_t got;
	FILE *f;

#ifndef WEFT_DEBUG
	tap_skip("built without debug checks");
#endif
	if (weft__san || weft__emulated())
		tap_skip("no preloading under sanitizers, Valgrind or an emulator");
	T_GT(len, 0);
	self[len] = 0;
	snprintf(command, sizeof command, "ulimit -c 0; LD_PRELOAD='%s' exec '%s' --in-process '%s' 2>&1", LOCKCHECK_LIB, self, name);
	f = popen(command, "r");
	T_OK(f != NULL);
	got = fread(out, 1, sizeof out - 1, f);
	out[got] = 0;
	fputs(out, stderr);
	return pclose(f);
}

TEST(notices_a_sleep)
{
	T_NE(watched("case_sleeps"), 0);
	T_STR_HAS(out, "was locked here:");
	T_STR_HAS(out, "locks_it"); /* where it was locked */
	T_STR_HAS(out, "while it lets others run (sleep)");
	T_STR_HAS(strstr(out, "lets others run"), "sleeps+"); /* and where it waits */
}

TEST(notices_a_yield)
{
	char mutex[40];

	T_NE(watched("case_yields"), 0);
	T_STR_HAS(out, "while it lets others run (yield)");
	snprintf(mutex, sizeof mutex, "yields+");
	T_STR_HAS(out, mutex);
}

TEST(notices_an_end)
{
	T_NE(watched("case_forgets"), 0);
	T_STR_HAS(out, "while it lets others run (its end)");
	T_STR_HAS(out, "locks_it");
}

TEST(notices_nothing_else)
{
	const char *cases[] = {"case_behaves @1w", "case_behaves @2w", "case_behaves @8w"};

	unsetenv("WEFT_STACK_REPORT");
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		T_EQ(watched(cases[i]), 0);
	T_EQ(strstr(out, "weft"), NULL);
}
