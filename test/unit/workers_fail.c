/* SPDX-License-Identifier: MIT
 *
 * workers_fail.c - the n-th call for memory, descriptors or a thread fails, for all n, while workers are added: the number stays as it was, what runs goes on, and the next try succeeds.
 */
#include "failpoint.h"
#include "rt.h"

static ATOMIC(bool) over;
static ATOMIC(int) begun;

static int noise(void *arg)
{
	(void)arg;
	add_relaxed(&begun, 1);
	while (!load_relaxed(&over))
		weft_task_yield();
	return 0;
}

static bool is_shortage(int rc)
{
	return rc == WEFT_ENOMEM || rc == WEFT_EMFILE || rc == WEFT_EAGAIN;
}

/* Seats whose thread is there. */
static int seats_started(void)
{
	int n = 0;

	for (unsigned i = 1; i < rt_seats(weft__rt); i++)
		n += weft__rt->workers[i].started;
	return n;
}

/* One more than there are, until it succeeds. Returns how often it did not. */
static int add_one(int n)
{
	int refused = 0;
	weft_stat s;

	for (long k = 1;; k++) {
		bool fired;
		int rc;

		failpoint_arm(k);
		rc = weft_workers_set(n);
		fired = failpoint_fired();
		failpoint_disarm();
		T_EQ(weft_stats(&s), 0);
		T_EQ(s.workers, rc ? n - 1 : n);
		T_EQ(load_relaxed(&weft__rt->threads), seats_started()); /* one that could not sit is not counted */
		if (rc && (!fired || !is_shortage(rc)))
			T_FAIL("call %ld (%s): %d", k, failpoint_name(), rc);
		if (!rc)
			return refused;
		refused++;
		T_LT(k, 100);
	}
}

static int grow_main(void *arg)
{
	weft_task *t[3];
	int refused;

	(void)arg;
	until_all_workers_run();
	store_relaxed(&over, false);
	store_relaxed(&begun, 0);
	for (int i = 0; i < 3; i++)
		t[i] = start(noise, NULL);
	until(load_relaxed(&begun) == 3); /* each has its stack: no call of theirs fails in place of ours */
	refused = add_one(tap_workers() + 1);
	refused += add_one(tap_workers() + 2);
	T_GE(refused, 1);
	T_EQ(weft_workers_set(1), 0);
	failpoint_arm_all(1);
	T_EQ(weft_workers_set(tap_workers() + 2), 0); /* who was there before needs nothing */
	T_OK(weft_workers_set(tap_workers() + 4) < 0);
	failpoint_disarm();
	T_EQ(weft_workers_set(tap_workers() + 4), 0);
	store_relaxed(&over, true);
	for (int i = 0; i < 3; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* Nothing is made by halves, and nothing is left when all is over. */
TEST_WORKERS(grow)
{
	for (int i = 0; i < 2; i++)
		T_EQ(run_with(grow_main, NULL, (weft_opts){.spares = -1}), 0);
}

/* --- the monitor's --- */

static int computes(void *arg)
{
	(void)arg;
	while (!load_acquire(&over))
		cpu_relax();
	return 0;
}

static int ends_it(void *arg)
{
	(void)arg;
	store_release(&over, true); /* pairs with computes */
	return 0;
}

static int rescue_main(void *arg)
{
	weft_task *t[8], *e;

	(void)arg;
	until_all_workers_run();
	store_relaxed(&over, false);
	for (int i = 0; i < tap_workers(); i++)
		t[i] = start(computes, NULL);
	e = start(ends_it, NULL);
	failpoint_arm(2); /* the first try of the monitor's fails */
	for (int i = 0; i < tap_workers(); i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(finish(e), 0);
	failpoint_disarm();
	return 0;
}

/* A rescue that fails for want of something is tried again. */
TEST_WORKERS(rescue)
{
	T_EQ(run_with(rescue_main, NULL, (weft_opts){.spares = 1}), 0);
}
