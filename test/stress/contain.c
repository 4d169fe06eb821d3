/* SPDX-License-Identifier: MIT
 *
 * contain.c - an actor that overflows its stack, one that divides by zero (where that is a fault), and one that writes to a null pointer are started again and again in one process, while others answer every call.
 *
 * WEFT_TEST_FAULTS=n: each so many times, with a thousand calls a time, instead of a few dozen. Only what is public is used here: the same program is run upon the shared library, where weft's code is known by other means.
 */
#include "tap.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <weft/actor.h>
#include <weft/runtime.h>
#include <weft/server.h>
#include <weft/supervisor.h>
#include <weft/task.h>

#define KINDS 3
#define ASKING 8

enum { PLUS_ONE };

static int *volatile nowhere;
static volatile int zero, sink, thousand = 1000;
static long faults, calls;
static atomic_long lives[KINDS], answered;

__attribute__((noinline)) static int deep(int n)
{
	volatile char frame[256];

	frame[0] = (char)n;
	return n < 0 ? 0 : deep(n + 1) + frame[0];
}

/* The calls go on meanwhile: each life waits for its share of them. */
static int lives_shortly(void *arg)
{
	int kind = *(int *)arg;
	long life = atomic_fetch_add(&lives[kind], 1);

	if (life == faults)
		return 0;
	while (atomic_load(&answered) < life * (calls / faults))
		weft_task_yield();
	if (kind == 0)
		sink = deep(1);
	else if (kind == 1)
		*nowhere = 1;
	else
		sink = thousand / zero; /* compilers have ideas about 1 / x */
	T_FAIL("nothing has happened");
}

static int answer(void *state, weft_msg *m, weft_from from)
{
	long n = *weft_msg_as(m, long) + 1;

	++*(long *)state;
	return weft_server_reply(from, &n, sizeof n);
}

static int asks(void *arg)
{
	weft_actor_ref server = *(weft_actor_ref *)arg;

	for (long n = 0; n < calls / ASKING; n++) {
		long got = 0;

		T_EQ(weft_server_call(server, PLUS_ONE, &n, sizeof n, &got, sizeof got), sizeof got);
		T_EQ(got, n + 1);
		atomic_fetch_add(&answered, 1);
	}
	return 0;
}

static int storm(void *arg)
{
	static const weft_server_vt vt = {.size = sizeof(long), .call = answer};
	static const char *const names[KINDS] = {"overflows", "writes to nowhere", "divides by zero"};
	static int kinds[KINDS] = {0, 1, 2};
	weft_actor_ref server[ASKING / 2], sup;
	weft_child_spec children[KINDS];
	weft_task *t[ASKING];
	weft_sup_stat st;
	int n = KINDS, rc;
	weft_stat all;

	(void)arg;
#if !defined(__x86_64__)
	n--; /* a division by zero gives 0 */
#endif
	for (int i = 0; i < n; i++)
		children[i] = (weft_child_spec){
			.id = names[i], .task = lives_shortly, .arg = &kinds[i], .restart = WEFT_TRANSIENT, .contain = true};
	rc = weft_sup_start(&sup, &(weft_sup_opts){.children = children, .n = (size_t)n, .max_restarts = WEFT_SUP_UNLIMITED});
	if (rc == WEFT_ENOTSUP)
		tap_skip("faults cannot be contained here");
	T_EQ(rc, 0);
	for (int i = 0; i < ASKING / 2; i++)
		T_EQ(weft_server_start(&server[i], &vt, NULL, NULL), 0);
	for (int i = 0; i < ASKING; i++)
		T_EQ(weft_go_opts(&t[i], asks, &server[i / 2], NULL), 0);
	for (int i = 0; i < ASKING; i++)
		T_EQ(weft_task_join(t[i], NULL), 0);
	do
		T_EQ(weft_sup_health(sup, &st), 0);
	while (st.up > 0 || st.restarts < (uint64_t)(n * faults));
	T_EQ(st.restarts, n * faults);
	T_EQ(weft_stats(&all), 0);
	T_EQ(all.faults, n * faults);
	T_EQ(answered, calls / ASKING * ASKING);
	for (int i = 0; i < n; i++)
		T_EQ(lives[i], faults + 1);
	T_EQ(weft_sup_stop(sup), 0);
	for (int i = 0; i < ASKING / 2; i++)
		T_EQ(weft_actor_stop_wait(server[i]), 0);
	tap_tell("%d actors have failed %ld times each, while %ld calls were answered", n, faults, (long)answered);
	return 0;
}

TEST_WORKERS(some_fail_while_others_answer)
{
	const char *s = getenv("WEFT_TEST_FAULTS");

	faults = s ? atol(s) : 40;
	calls = faults * 1000;
	if (s)
		tap_limit(600);
	T_EQ(weft_run(storm, NULL, &(weft_opts){.workers = tap_workers()}), 0);
}
