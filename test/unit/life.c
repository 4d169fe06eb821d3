/* SPDX-License-Identifier: MIT
 *
 * life.c - the states of a runtime, one that is brought up paused, and one that ends when its last task has.
 */
#include "dumped.h"
#include "rt.h"

#include "weft/blocking.h"
#include "weft/go.h"
#include "weft/signal.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* --- a runtime on a thread of its own --- */

struct up {
	pthread_t th;
	weft_task_fn *fn;
	void *arg;
	weft_opts o;
	int rc;
};

static void *up_main(void *arg)
{
	struct up *u = arg;

	u->rc = weft_run(u->fn, u->arg, &u->o);
	return NULL;
}

/* Returns when it is in this state. */
static void up(struct up *u, enum weft_state s)
{
	u->o.workers = tap_workers();
	T_EQ(pthread_create(&u->th, NULL, up_main, u), 0);
	until(weft_state() == s);
}

static int down(struct up *u)
{
	T_EQ(pthread_join(u->th, NULL), 0);
	T_EQ(weft_state(), WEFT_STATE_DOWN);
	nothing_left();
	return u->rc;
}

/* --- states --- */

static int states_main(void *arg)
{
	(void)arg;
	T_EQ(weft_state(), WEFT_STATE_RUNNING);
	T_EQ(weft_resume(), WEFT_EALREADY);
	return 4;
}

static int parks_main(void *arg)
{
	(void)arg;
	(void)weft_task_park();
	return 0;
}

/* Down, running, stopping, down. */
TEST_WORKERS(states)
{
	struct up u = {.fn = parks_main, .o.no_deadlock = true};

	T_EQ(weft_state(), WEFT_STATE_DOWN);
	T_EQ(weft_resume(), WEFT_ESRCH);
	T_EQ(run_with(states_main, NULL, (weft_opts){.workers = 0}), 4);
	up(&u, WEFT_STATE_RUNNING);
	T_EQ(weft_resume(), WEFT_EALREADY);
	weft_exit(6);
	T_OK(weft_state() == WEFT_STATE_STOPPING || weft_state() == WEFT_STATE_DOWN);
	T_EQ(down(&u), 6);
}

/* Options and environment that make no sense are refused. */
TEST(bad_options)
{
	T_EQ(weft_run(states_main, NULL, &(weft_opts){.exit = (enum weft_exit)3}), WEFT_EINVAL);
	T_EQ(weft_run(states_main, NULL, &(weft_opts){.exit = (enum weft_exit) - 1}), WEFT_EINVAL);
	setenv("WEFT_EXIT", "never", 1);
	T_EQ(weft_run(states_main, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_run(states_main, NULL, &(weft_opts){.exit = WEFT_EXIT_ON_MAIN}), 4); /* the option is asked first */
	setenv("WEFT_EXIT", "", 1);
	T_EQ(weft_run(states_main, NULL, NULL), 4);
	nothing_left();
}

/* --- paused --- */

static ATOMIC(int) ran;

static int runs(void *arg)
{
	add_acq_rel(&ran, 1);
	return (int)(intptr_t)arg;
}

static void runs_void(void *arg)
{
	(void)runs(arg);
}

/* Threads start tasks, also on a certain worker, set timers, look; none runs before weft_resume, and then all of them. */
TEST_WORKERS(paused_until_resumed)
{
	struct up u = {.fn = runs, .arg = (void *)3, .o = {.paused = true, .exit = WEFT_EXIT_ON_IDLE}};
	weft_task *t[20];
	weft_timer *timer;
	weft_stat s;
	int ret;

	up(&u, WEFT_STATE_PAUSED);
	for (int i = 0; i < 20; i++)
		T_EQ(weft_go_opts(&t[i], runs, (void *)(intptr_t)i, &(weft_task_opts){.worker = i % 2 ? 1 + i % tap_workers() : 0}), 0);
	timer = weft_timer_after(0, runs_void, NULL);
	T_OK(timer != NULL);
	usleep(60000); /* longer than the monitor waits before it asks for a deadlock */
	T_EQ(weft_stats(&s), 0);
	T_EQ(s.switches, 0);
	T_EQ(s.sleeps, 0);
	T_EQ(s.started, 21);
	T_EQ(load_acquire(&ran), 0);
	for (int i = 0; i < 20; i++)
		T_EQ(weft_task_stateof(t[i]), WEFT_TASK_NEW);
	T_EQ(weft_state(), WEFT_STATE_PAUSED);
	T_EQ(weft_resume(), 0);
	T_NE(weft_resume(), 0);
	for (int i = 0; i < 20; i++) {
		T_EQ(weft_task_join(t[i], &ret), 0);
		T_EQ(ret, i);
	}
	T_EQ(pthread_join(u.th, NULL), 0);
	T_EQ(u.rc, 3);
	T_EQ(load_acquire(&ran), 22);
	weft_timer_free(timer);
	nothing_left();
}

/* It can be ended before anything has run. */
TEST_WORKERS(paused_and_ended)
{
	struct up u = {.fn = runs, .o.paused = true};

	up(&u, WEFT_STATE_PAUSED);
	T_EQ(weft_go_opts(NULL, runs, NULL, NULL), 0);
	weft_exit(5);
	T_EQ(down(&u), 5);
	T_EQ(load_acquire(&ran), 0);
}

/* What has been started can be seen. */
TEST_WORKERS(paused_and_dumped)
{
	struct up u = {.fn = runs, .o.paused = true};
	char *text;

	up(&u, WEFT_STATE_PAUSED);
	T_EQ(weft_go_opts(NULL, runs, NULL, &(weft_task_opts){.name = "early"}), 0);
	text = dumped();
	T_STR_HAS(text, "weft: 2 tasks");
	T_STR_HAS(text, "early");
	T_STR_HAS(text, "new, has not run yet");
	free(text);
	weft_exit(0);
	T_EQ(down(&u), 0);
}

/* --- the end of the last task --- */

static int idle(weft_task_fn *fn, void *arg)
{
	return run_with(fn, arg, (weft_opts){.exit = WEFT_EXIT_ON_IDLE});
}

static ATOMIC(int) leaves;

static void tree(int depth)
{
	if (!depth) {
		add_acq_rel(&leaves, 1);
		return;
	}
	for (int i = 0; i < 3; i++)
		T_EQ(weft_go(tree, depth - 1), 0);
	if (depth % 2)
		(void)weft_task_sleep(depth * US);
	else
		weft_task_yield();
}

static int tree_main(void *arg)
{
	tree((int)(intptr_t)arg);
	return 7;
}

/* Also those that others have started after the first has ended. */
TEST_WORKERS(idle_waits_for_all)
{
	T_EQ(idle(tree_main, (void *)5), 7);
	T_EQ(load_acquire(&leaves), 243);
}

static int sleeper(void *arg)
{
	(void)weft_task_sleep((int64_t)(intptr_t)arg);
	add_acq_rel(&ran, 1);
	return 0;
}

static int blocks(void *arg)
{
	weft_event *e = arg;

	usleep(1000);
	WEFT_BLOCKING
	{
		usleep(1000);
	}
	weft_event_set(e);
	add_acq_rel(&ran, 1);
	return 0;
}

static int waits(void *arg)
{
	(void)weft_event_wait(arg);
	add_acq_rel(&ran, 1);
	return 0;
}

static int mixed_main(void *arg)
{
	T_EQ(weft_go_opts(NULL, waits, arg, NULL), 0);
	T_EQ(weft_go_opts(NULL, blocks, arg, NULL), 0);
	T_EQ(weft_go_opts(NULL, sleeper, (void *)(2 * MS), NULL), 0);
	return -9;
}

/* Whatever the last ones wait for: a lane's thread, a deadline, each other. */
TEST_WORKERS(idle_waits_for_those_that_wait)
{
	weft_event e = {0};

	T_EQ(idle(mixed_main, &e), -9);
	T_EQ(load_acquire(&ran), 3);
}

static weft_timer *chain[4];

static void link_of_chain(void *arg)
{
	int i = (int)(intptr_t)arg;

	add_acq_rel(&ran, 1);
	if (i)
		chain[i] = weft_timer_after(MS, link_of_chain, (void *)(intptr_t)(i - 1));
}

static int timers_main(void *arg)
{
	(void)arg;
	chain[0] = weft_timer_after(MS, link_of_chain, (void *)3);
	T_OK(chain[0] != NULL);
	return 1;
}

/* A timer that will start a task counts, also one that such a task has set. */
TEST_WORKERS(idle_waits_for_timers)
{
	T_EQ(idle(timers_main, NULL), 1);
	T_EQ(load_acquire(&ran), 4);
	for (int i = 0; i < 4; i++)
		weft_timer_free(chain[i]);
	nothing_left();
}

static weft_timer *set[5];

static int others_main(void *arg)
{
	weft_chan *c = arg;

	set[0] = weft_timer_after(INT64_MAX, runs_void, NULL); /* never */
	set[1] = weft_timer_after(3600 * SEC, runs_void, NULL);
	set[2] = weft_timer_make(3600 * SEC);
	set[3] = weft_ticker_make(MS);
	set[4] = weft_timer_after(3600 * SEC, runs_void, NULL);
	T_EQ(weft_timer_stop(set[1]), 1);
	T_EQ(weft_timer_reset(set[4], INT64_MAX), 1);
	T_EQ(weft_signal_notify(c, SIGUSR1, 0), 0);
	return 2;
}

/* Timers that are stopped, or set to never, or to tick, and the task that hands on signals, do not count. */
TEST_WORKERS(idle_does_not_wait_for)
{
	weft_chan *c = weft_chan_make(sizeof(int), 1);

	T_EQ(weft_run(others_main, c, &(weft_opts){.workers = tap_workers(), .exit = WEFT_EXIT_ON_IDLE}), 2);
	T_EQ(load_acquire(&ran), 0);
	for (int i = 0; i < 5; i++)
		weft_timer_free(set[i]);
	T_EQ(weft_signal_stop(c), 0);
	weft_chan_free(c);
	nothing_left();
}

static int last_timer_main(void *arg)
{
	weft_timer *t = weft_timer_after(3600 * SEC, runs_void, NULL);

	T_OK(t != NULL);
	store_release((ATOMIC(weft_timer *) *)arg, t);
	return 8;
}

/* All sleep, and a timer is all that is left: the thread that stops it ends the runtime. */
TEST_WORKERS(idle_after_a_thread_stops_the_last_timer)
{
	ATOMIC(weft_timer *) shared = NULL;
	weft_timer *timer;
	struct up u = {.fn = last_timer_main, .arg = &shared, .o.exit = WEFT_EXIT_ON_IDLE};
	weft_stat s;

	up(&u, WEFT_STATE_RUNNING);
	until(weft_stats(&s) == 0 && s.finished == 1);
	timer = load_acquire(&shared);
	T_EQ(weft_timer_stop(timer), 1);
	T_EQ(down(&u), 8);
	weft_timer_free(timer);
}

static int exits(void *arg)
{
	weft_task_yield();
	weft_exit((int)(intptr_t)arg);
	return 0;
}

static int exit_main(void *arg)
{
	T_EQ(weft_go_opts(NULL, exits, arg, NULL), 0);
	T_EQ(weft_go_opts(NULL, sleeper, (void *)(3600 * SEC), NULL), 0);
	return 1;
}

/* weft_exit ends it at once. */
TEST_WORKERS(idle_and_exit)
{
	T_EQ(idle(exit_main, (void *)9), 9);
}

static int stuck_main(void *arg)
{
	T_EQ(weft_go_opts(NULL, waits, arg, NULL), 0);
	return 1;
}

/* Those who wait for each other when the first has gone are a deadlock. */
TEST_WORKERS(idle_and_deadlock)
{
	weft_event e = {0};

	T_EQ(idle(stuck_main, &e), WEFT_EDEADLK);
}

static int env_main(void *arg)
{
	T_EQ(weft_go_opts(NULL, sleeper, (void *)MS, NULL), 0);
	return (int)(intptr_t)arg;
}

/* By the environment. */
TEST_WORKERS(idle_by_environment)
{
	setenv("WEFT_EXIT", "idle", 1);
	T_EQ(run_with(env_main, (void *)3, (weft_opts){.workers = 0}), 3);
	T_EQ(load_acquire(&ran), 1);
}

/* --- a storm --- */

static ATOMIC(int) begun, over;

static void grows(uint64_t seed)
{
	add_acq_rel(&begun, 1);
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	switch (seed >> 61) {
	case 0:
		weft_task_yield();
		break;
	case 1:
		(void)weft_task_sleep((int64_t)(seed >> 48) % (20 * US));
		break;
	case 2:
	case 3:
		T_EQ(weft_go(grows, seed), 0);
		break;
	case 4:
		T_EQ(weft_go(grows, seed), 0);
		T_EQ(weft_go(grows, seed + 1), 0);
		weft_task_yield();
		break;
	default:
		break;
	}
	add_acq_rel(&over, 1);
}

static int storm_main(void *arg)
{
	for (int i = 0; i < 8; i++)
		T_EQ(weft_go(grows, (uint64_t)(uintptr_t)arg * 8 + (uint64_t)i), 0);
	return 11;
}

/* No last task is lost, and none is waited for that is gone. */
TEST_WORKERS(idle_storm)
{
	for (long i = 0; i < tap_iters(50); i++) {
		T_EQ(weft_run(storm_main, (void *)(intptr_t)i, &(weft_opts){.workers = tap_workers(), .exit = WEFT_EXIT_ON_IDLE}), 11);
		T_EQ(load_acquire(&begun), load_acquire(&over));
	}
	nothing_left();
}
