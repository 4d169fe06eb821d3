/* SPDX-License-Identifier: MIT
 *
 * several_fail.c - the n-th call for memory, a thread or a descriptor fails, for all n: a runtime that cannot come up beside others leaves nothing behind.
 */
#include "failpoint.h"
#include "rt.h"

#include "weft/several.h"

static int runs(void *arg)
{
	return *(int *)arg;
}

/* One that comes up although something has failed (a thread's alternate stack, which is asked for later) works, or goes down by itself. */
static void use_and_free(weft_runtime *rt)
{
	static int four = 4;
	weft_task *t;
	int ret = 0, rc = weft_runtime_go(rt, &t, runs, &four, NULL);

	if (rc == 0) {
		rc = weft_task_join(t, &ret);
		if (rc)
			weft_task_detach(t);
		else
			T_EQ(ret, 4);
	}
	T_OK(rc == 0 || rc == WEFT_ESRCH || rc == WEFT_ECANCELED || rc == WEFT_ENOMEM);
	T_EQ(weft_free(rt, WEFT_FOREVER), 0);
}

static void fail_each(int workers)
{
	weft_runtime *rt;
	bool fired = true;
	int failed = 0;

	for (long n = 1; fired; n++) {
		int rc;

		failpoint_arm(n);
		rc = weft_make(&rt, &(weft_opts){.workers = workers, .seed = 1});
		if (rc == 0)
			use_and_free(rt);
		fired = failpoint_fired();
		failpoint_disarm();
		T_OK(rc <= 0);
		T_EQ(rt == NULL, rc != 0);
		failed += rc != 0;
		T_LT(n, 1000);
	}
	T_GT(failed, 5); /* memory of workers, their loops, the monitor's, threads */
}

/* Nobody else is up: the first that needs what the process keeps. */
TEST_WORKERS(alone)
{
	weft_runtime *rt;
	uv_loop_t once;
	int fds;

	T_EQ(uv_loop_init(&once), 0);
	T_EQ(uv_loop_close(&once), 0);
	T_EQ(weft_make(&rt, &(weft_opts){.workers = tap_workers()}), 0); /* what is kept from the first one on */
	T_EQ(weft_free(rt, 0), 0);
	fds = rt_fds();
	fail_each(tap_workers());
	nothing_left();
	T_EQ(rt_fds(), fds);
}

static int beside_main(void *arg)
{
	(void)arg;
	until_all_workers_run();
	fail_each(2);
	return 0;
}

/* By a task of the default one, which goes on. */
TEST_WORKERS(beside_the_default_one)
{
	run(beside_main, NULL);
}

/* A start in another runtime that fails leaves nothing there. */
static int starts_main(void *arg)
{
	static int four = 4;
	weft_runtime *rt;
	bool fired = true;

	(void)arg;
	until_all_workers_run();
	T_EQ(weft_make(&rt, &(weft_opts){.workers = 1}), 0);
	for (long n = 1; fired; n++) {
		weft_task *t;
		int rc;

		failpoint_arm(n);
		rc = weft_runtime_go(rt, &t, runs, &four, &(weft_task_opts){.name = "named", .stack = 64 * 1024});
		fired = failpoint_fired();
		failpoint_disarm();
		if (rc == 0)
			T_EQ(finish(t), 4);
		else
			T_EQ(rc, WEFT_ENOMEM);
		T_LT(n, 100);
	}
	T_EQ(weft_free(rt, WEFT_FOREVER), 0);
	return 0;
}

TEST_WORKERS(starts)
{
	run(starts_main, NULL);
}
