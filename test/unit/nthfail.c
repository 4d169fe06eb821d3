/* SPDX-License-Identifier: MIT
 *
 * nthfail.c - the n-th call for memory, mappings or descriptors fails, for all n: on the way to a runtime, a task, a timer, a channel, a context,
 * a select of 100 cases.  An error comes back (or a task waits for its stack and runs later), and nothing is left.
 */
#include "rt.h"

#include "failpoint.h"
#include <stdlib.h>

static int returns_five(void *arg)
{
	(void)arg;
	return 5;
}

static bool is_shortage(int rc)
{
	return rc == WEFT_ENOMEM || rc == -EMFILE || rc == WEFT_EAGAIN;
}

/* Things the process makes once and keeps, so that they do not count as left. */
static void warm_up(void)
{
	for (int i = 0; i < 2; i++)
		T_EQ(run_with(returns_five, NULL, (weft_opts){.workers = 0}), 5);
}

/* --- the runtime --- */

static void bring_up(bool all, bool warm)
{
	int refused = 0;

	for (long n = 1;; n++) {
		bool fired;
		int rc, fds = rt_fds();

		if (all)
			failpoint_arm_all(n);
		else
			failpoint_arm(n);
		rc = weft_run(returns_five, NULL, &(weft_opts){.workers = tap_workers()});
		fired = failpoint_fired();
		failpoint_disarm();
		if (rc != 5 && !is_shortage(rc))
			T_FAIL("call %ld (%s): %d", n, failpoint_name(), rc);
		refused += rc != 5;
		nothing_left();
		if (warm && rt_fds() != fds)
			T_FAIL("call %ld (%s): %d descriptors, before %d", n, failpoint_name(), rt_fds(), fds);
		if (!fired)
			break;
		T_LT(n, 2000);
	}
	T_GT(refused, 0);
	T_EQ(run_with(returns_five, NULL, (weft_opts){.workers = 0}), 5);
}

/* The first start of a runtime in a process, which makes what stays. */
TEST_WORKERS(first_runtime)
{
	bring_up(false, false);
}

TEST_WORKERS(any_runtime)
{
	warm_up();
	bring_up(false, true);
}

/* From the n-th call on all fail: also the second try and the fallback. */
TEST_WORKERS(runtime_all_fail)
{
	warm_up();
	bring_up(true, true);
}

/* --- what a running program makes --- */

enum { CASES = 100 };

struct thing {
	const char *name;
	int (*make)(void); /* makes and unmakes one; 0 or an error */
};

static int make_task(void)
{
	weft_task *t;
	int ret = 0, rc = weft_go_opts(&t, returns_five, NULL, NULL);

	if (rc) {
		T_EQ(t, NULL);
		return rc;
	}
	T_EQ(weft_task_join(t, &ret), 0); /* it may have waited for a stack */
	T_EQ(ret, 5);
	return 0;
}

static int make_fancy_task(void)
{
	weft_task *t;
	int ret = 0, rc = weft_go_opts(&t, returns_five, NULL, &(weft_task_opts){.name = "fancy", .stack = 1 << 20, .now = true});

	if (rc) {
		T_EQ(t, NULL);
		return rc;
	}
	T_EQ(weft_task_join(t, &ret), 0);
	T_EQ(ret, 5);
	return 0;
}

static ATOMIC(int) ended;

static void ends(void)
{
	add_relaxed(&ended, 1);
}

static int make_detached(void)
{
	int rc, before = load_relaxed(&ended);

	rc = weft_go(ends);
	if (!rc)
		until(load_relaxed(&ended) == before + 1);
	return rc;
}

static int make_crowd(void)
{
	enum { CROWD = 300 }; /* more than caches and a slab hold */
	int rc = 0, started = 0, before = load_relaxed(&ended);

	while (started < CROWD && !rc) {
		rc = weft_go(ends);
		started += !rc;
	}
	until(load_relaxed(&ended) == before + started);
	return rc;
}

static int sleeper_task(void *arg)
{
	(void)arg;
	return weft_task_sleep(10 * WEFT_US);
}

static int make_sleepers(void)
{
	weft_task *t[50];
	int rc = 0, n = 0;

	while (n < 50 && !rc) {
		rc = weft_go_opts(&t[n], sleeper_task, NULL, NULL);
		n += !rc;
	}
	while (n > 0)
		T_EQ(finish(t[--n]), 0);
	return rc;
}

static int make_chan(void)
{
	weft_chan *c = weft_chan_make(100, 1000);

	if (!c)
		return WEFT_ENOMEM;
	weft_chan_free(c);
	return 0;
}

static int make_ctx(void)
{
	weft_ctx *a = weft_ctx_make(NULL), *b = a ? weft_ctx_with_deadline(a, weft_in(WEFT_SEC)) : NULL;
	weft_task *t;
	int rc = a && b ? 0 : WEFT_ENOMEM;

	if (!rc && (rc = weft_go_opts(&t, returns_five, NULL, &(weft_task_opts){.ctx = b})) == 0)
		T_EQ(finish(t), 5);
	weft_ctx_free(a);
	weft_ctx_free(b);
	return rc;
}

static int make_timer(void)
{
	weft_timer *t = weft_timer_make(0);

	if (!t)
		return WEFT_ENOMEM;
	T_EQ(weft_chan_recv(weft_timer_chan(t), NULL), 0);
	weft_timer_free(t);
	t = weft_ticker_make(WEFT_SEC);
	if (!t)
		return WEFT_ENOMEM;
	weft_timer_free(t);
	return 0;
}

static void ran_after(void *arg)
{
	add_relaxed((ATOMIC(int) *)arg, 1);
}

static int make_after(void)
{
	int before = load_relaxed(&ended);
	weft_timer *t = weft_timer_after(0, ran_after, &ended);
	int rc;

	if (!t)
		return WEFT_ENOMEM;
	until(load_relaxed(&ended) == before + 1);
	rc = weft_timer_reset(t, 0);
	if (rc >= 0)
		until(load_relaxed(&ended) == before + 2);
	weft_timer_free(t);
	return rc < 0 ? rc : 0;
}

static int make_select(void)
{
	weft_case cases[CASES];
	weft_chan *c = weft_chan_make(1, 1);
	int rc;

	if (!c)
		return WEFT_ENOMEM;
	for (int i = 0; i < CASES; i++)
		cases[i] = WEFT_RECV(c, NULL);
	rc = weft_chan_select_until(cases, CASES, WEFT_NOW);
	if (rc == WEFT_EAGAIN) {
		T_EQ(weft_chan_trysend(c, "x"), 0);
		rc = weft_chan_select(cases, CASES);
		if (rc == WEFT_ENOMEM)
			T_EQ(weft_chan_len(c), 1); /* nothing was taken */
	}
	weft_chan_free(c);
	return rc < 0 ? rc : 0;
}

static int make_name(void)
{
	return weft_task_name("another name");
}

static const struct thing things[] = {
	{"task", make_task},
	{"fancy task", make_fancy_task},
	{"detached task", make_detached},
	{"many tasks", make_crowd},
	{"sleepers", make_sleepers},
	{"channel", make_chan},
	{"context", make_ctx},
	{"timer", make_timer},
	{"timer_after", make_after},
	{"select of 100", make_select},
	{"name", make_name},
};

static int things_main(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(things); i++) {
		int refused = 0;
		long n;

		for (n = 1;; n++) {
			bool fired;
			int rc;

			weft_trim(); /* caches of others aside, all is to be asked for again */
			failpoint_arm(n);
			rc = things[i].make();
			fired = failpoint_fired();
			failpoint_disarm();
			if (rc && !is_shortage(rc))
				T_FAIL("%s, call %ld (%s): %d", things[i].name, n, failpoint_name(), rc);
			if (rc && !fired)
				T_FAIL("%s refused although no call failed: %d", things[i].name, rc);
			refused += rc != 0;
			T_EQ(things[i].make(), 0); /* it works again */
			if (!fired)
				break;
			T_LT(n, 2000);
		}
		tap_note("%s: %ld calls, %d refused", things[i].name, n - 1, refused);
	}
	return 0;
}

/* In a running runtime: what is refused says so, what was promised comes, and the next try works. */
TEST_WORKERS(things_of_a_program)
{
	tap_limit(60);
	run(things_main, NULL);
}

/* From outside, without a runtime: a thread's own record, channels, contexts. */
TEST(foreign_record)
{
	weft_chan *c = weft_chan_make(1, 0);
	int refused = 0;

	for (long n = 1;; n++) {
		bool fired;
		int rc;

		failpoint_arm(n);
		rc = weft_chan_recv_until(c, NULL, WEFT_NOW);
		fired = failpoint_fired();
		failpoint_disarm();
		T_OK(rc == WEFT_EAGAIN || rc == WEFT_ENOMEM);
		refused += rc == WEFT_ENOMEM;
		if (!fired)
			break;
	}
	T_GT(refused, 0);
	T_EQ(weft_chan_recv_until(c, NULL, WEFT_NOW), WEFT_EAGAIN);
	weft_chan_free(c);
	nothing_left();
}
