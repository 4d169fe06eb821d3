/* SPDX-License-Identifier: MIT
 *
 * life_fail.c - the n-th call for memory fails, for all n: a start that fails is nobody whose end is waited for; a runtime that cannot come up paused says so; a shutdown that cannot show who is late ends all the
 * same.
 */
#include "failpoint.h"
#include "rt.h"

#include "weft/scope.h"
#include <pthread.h>
#include <stdlib.h>

static ATOMIC(int) ran;

static int runs(void *arg)
{
	(void)arg;
	add_acq_rel(&ran, 1);
	return 0;
}

static void runs_void(void *arg)
{
	(void)runs(arg);
}

struct starts {
	long n;
	int begun;
	bool fired;
	weft_timer *timer;
};

static int starts_main(void *arg)
{
	struct starts *s = arg;

	until_all_workers_run();
	failpoint_arm(s->n);
	s->begun += weft_go_opts(NULL, runs, NULL, &(weft_task_opts){.name = "named", .stack = 64 * 1024}) == 0;
	s->timer = weft_timer_after(0, runs_void, NULL);
	s->begun += s->timer != NULL;
	s->fired = failpoint_fired();
	failpoint_disarm();
	return 3;
}

/* The runtime ends with the last task that has begun. */
TEST_WORKERS(a_start_that_fails_does_not_count)
{
	for (struct starts s = {.n = 1, .fired = true}; s.fired; s.n++) {
		s.begun = 0;
		store_release(&ran, 0);
		T_EQ(run_with(starts_main, &s, (weft_opts){.exit = WEFT_EXIT_ON_IDLE}), 3);
		T_EQ(load_acquire(&ran), s.begun);
		weft_timer_free(s.timer);
		T_LT(s.n, 100);
	}
}

struct up {
	int rc;
	ATOMIC(bool) over;
};

static void *comes_up(void *arg)
{
	struct up *u = arg;

	u->rc = weft_run(runs, NULL, &(weft_opts){.workers = tap_workers(), .paused = true});
	store_release(&u->over, true);
	return NULL;
}

/* The gate is no place to be left at. */
TEST_WORKERS(paused_or_an_error)
{
	bool fired = true;

	T_EQ(run_with(runs, NULL, (weft_opts){.workers = 0}), 0); /* what stays */
	for (long n = 1; fired; n++) {
		struct up u = {.rc = 1};
		pthread_t th;

		failpoint_arm(n);
		while (pthread_create(&th, NULL, comes_up, &u))
			;
		until(load_acquire(&u.over) || weft_state() == WEFT_STATE_PAUSED);
		while (!load_acquire(&u.over) && weft_resume() == WEFT_ESRCH)
			let_run();
		pthread_join(th, NULL);
		fired = failpoint_fired();
		failpoint_disarm();
		T_OK(u.rc == 0 || u.rc == WEFT_ENOMEM || u.rc == WEFT_EMFILE || u.rc == WEFT_EAGAIN);
		T_LT(n, 1000);
	}
	nothing_left();
}

static int late(void *arg)
{
	WEFT_WITH_SHIELD(void) weft_event_wait(arg);
	return 0;
}

static int shut_main(void *arg)
{
	bool fired = true;
	weft_event e = {0};
	weft_task_info i;
	weft_task *t = start(late, &e);
	int n;

	(void)arg;
	until_all_workers_run();
	until_reason(t, "event");
	for (long k = 1; fired; k++) {
		int rc;

		failpoint_arm_all(k);
		rc = weft_shutdown_list(WEFT_NOW, &i, 1, &n);
		fired = failpoint_fired();
		failpoint_disarm();
		T_EQ(rc, WEFT_ETIMEDOUT);
		T_OK(n == 1 || (fired && n == 0)); /* or there was no memory to look */
		T_LT(k, 1000);
	}
	weft_event_set(&e);
	weft_task_detach(t);
	T_EQ(weft_shutdown_until(WEFT_FOREVER), 0);
	return 0;
}

/* The answer is right, also where there is no memory to say who. */
TEST_WORKERS(stragglers_without_memory)
{
	run(shut_main, NULL);
}
