/* SPDX-License-Identifier: MIT
 *
 * usertimer.c - timers and tickers of the program: never early, Go 1.23's rules for stop and reset, tasks started once, freed at any time.
 */
#include "rt.h"

#include "base/rand.h"
#include <stdlib.h>

/* --- firing --- */

static int fires_main(void *arg)
{
	int64_t set, at;
	weft_timer *t;

	(void)arg;
	time_fake(); /* until it was looked at: it might be due by then */
	set = weft_now();
	t = weft_timer_make(2 * WEFT_MS);
	T_EQ(weft_chan_cap(weft_timer_chan(t)), 1);
	T_EQ(weft_chan_tryrecv(weft_timer_chan(t), &at), WEFT_EAGAIN);
	time_real();
	T_EQ(weft_chan_recv(weft_timer_chan(t), &at), 0);
	T_GE(at, set + 2 * WEFT_MS);
	T_LE(at, weft_now());
	T_EQ(weft_chan_recv_until(weft_timer_chan(t), &at, weft_in(3 * WEFT_MS)), WEFT_ETIMEDOUT); /* once */
	T_EQ(weft_timer_stop(t), 0);
	T_EQ(weft_timer_reset(t, 0), 0);
	T_EQ(weft_chan_recv(weft_timer_chan(t), &at), 0);
	T_EQ(weft_timer_reset(t, -WEFT_SEC), 0);
	T_EQ(weft_chan_recv(weft_timer_chan(t), &at), 0);
	T_EQ(weft_timer_reset(t, WEFT_FOREVER), 0);
	T_EQ(weft_timer_reset(t, WEFT_SEC), 1);
	T_EQ(weft_timer_stop(t), 1);
	T_EQ(weft_timer_stop(t), 0);
	weft_timer_free(t);
	weft_timer_free(NULL);
	T_EQ(weft_timer_chan(NULL), NULL);
	T_EQ(weft_chan_select_with((weft_case[]){WEFT_TIMER(NULL, &at)}, 1, 0, WEFT_NOW), WEFT_EAGAIN); /* never ready */
	T_EQ(weft_ticker_make(0), NULL);
	T_EQ(weft_ticker_make(-1), NULL);
	T_EQ(weft_timer_after(1, NULL, NULL), NULL);
	t = weft_ticker_make(WEFT_SEC);
	T_EQ(weft_timer_reset(t, 0), WEFT_EINVAL);
	T_EQ(weft_timer_reset(t, -5), WEFT_EINVAL);
	weft_timer_free(t);
	return 0;
}

/* A timer fires once, not before its time; stop and reset say whether it was active. */
TEST_WORKERS(fires_once)
{
	run(fires_main, NULL);
}

static int stale_main(void *arg)
{
	long n = tap_iters(3000);
	struct rng r;

	(void)arg;
	rng_seed(&r, 9, 0);
	for (long i = 0; i < n; i++) {
		weft_timer *t = i % 2 ? weft_timer_make(10 * WEFT_US) : weft_ticker_make(10 * WEFT_US);
		int64_t until_ns = weft_in(5 * WEFT_US + rng_below(&r, 20) * WEFT_US), at, reset_at;

		while (weft_now() < until_ns)
			weft_task_yield();
		weft_timer_stop(t);
		T_EQ(weft_chan_len(weft_timer_chan(t)), 0); /* Go 1.23: no stale tick */
		T_EQ(weft_chan_tryrecv(weft_timer_chan(t), NULL), WEFT_EAGAIN);
		weft_task_yield();
		T_EQ(weft_chan_len(weft_timer_chan(t)), 0);
		reset_at = weft_now();
		weft_timer_reset(t, 10 * WEFT_US);
		until_ns = weft_in(rng_below(&r, 20) * WEFT_US);
		while (weft_now() < until_ns)
			weft_task_yield();
		reset_at = weft_now();
		weft_timer_reset(t, 30 * WEFT_US);
		T_EQ(weft_chan_recv(weft_timer_chan(t), &at), 0);
		T_GE(at, reset_at + 30 * WEFT_US); /* of this setting, not of one before */
		weft_timer_free(t);
	}
	return 0;
}

/* After stop or reset has returned, no tick of the earlier setting comes, however close it was. */
TEST_WORKERS(no_stale_tick)
{
	tap_limit(60);
	run(stale_main, NULL);
}

static int ticker_main(void *arg)
{
	int64_t start_at = weft_now(), at, last = 0;
	weft_timer *t = weft_ticker_make(WEFT_MS);

	(void)arg;
	for (int i = 1; i <= 5; i++) {
		T_EQ(weft_chan_recv(weft_timer_chan(t), &at), 0);
		T_GE(at, start_at + i * WEFT_MS);
		T_GT(at, last);
		last = at;
	}
	weft_task_sleep(10 * WEFT_MS);                 /* ticks nobody takes are dropped, not queued */
	until(weft_chan_len(weft_timer_chan(t)) == 1); /* the worker that ticks may be late */
	T_EQ(weft_chan_tryrecv(weft_timer_chan(t), &at), 0);
	T_EQ(weft_timer_stop(t), 1);
	weft_task_sleep(3 * WEFT_MS);
	T_EQ(weft_chan_len(weft_timer_chan(t)), 0);
	T_EQ(weft_timer_reset(t, WEFT_MS), 0);
	T_EQ(weft_chan_recv(weft_timer_chan(t), &at), 0);
	T_EQ(weft_chan_recv(weft_timer_chan(t), &at), 0);
	weft_timer_free(t);
	return 0;
}

/* A ticker ticks on, drops what nobody takes, and can be stopped and set again. */
TEST_WORKERS(ticker)
{
	run(ticker_main, NULL);
}

/* --- tasks --- */

static ATOMIC(int) ran;

static void note_run(void *arg)
{
	T_OK(weft_task_self() != NULL);
	T_EQ(weft_ctx_deadline(NULL), WEFT_FOREVER); /* without the caller's context */
	weft_task_yield();
	add_relaxed(&ran, (int)(intptr_t)arg);
}

static int after_main(void *arg)
{
	long n = tap_iters(3000);
	int expect = 0;
	weft_timer *t;
	weft_ctx *c = weft_ctx_with_deadline(NULL, weft_in(100 * WEFT_SEC)), *up = weft_ctx_enter(c);

	(void)arg;
	store_relaxed(&ran, 0);
	t = weft_timer_after(WEFT_MS, note_run, (void *)1);
	T_EQ(weft_timer_chan(t), NULL);
	until(load_relaxed(&ran) == 1);
	T_EQ(weft_timer_stop(t), 0);
	T_EQ(weft_timer_reset(t, 0), 0);
	until(load_relaxed(&ran) == 2);
	weft_timer_free(t);
	weft_timer_free(weft_timer_after(WEFT_SEC, note_run, (void *)1000)); /* freed while armed */
	store_relaxed(&ran, 0);
	for (long i = 0; i < n; i++) { /* stop against fire: one of the two */
		int64_t until_ns = weft_in(i % 20 * WEFT_US);

		t = weft_timer_after(10 * WEFT_US, note_run, (void *)1);
		while (weft_now() < until_ns)
			weft_task_yield();
		expect += !weft_timer_stop(t);
		if (i % 3 == 0) { /* and once more, moved while it may be firing */
			int was = weft_timer_reset(t, 5 * WEFT_US);

			T_EQ(was, 0);
			expect += !weft_timer_stop(t);
		}
		weft_timer_free(t);
	}
	until(load_relaxed(&ran) >= expect);
	weft_task_sleep(2 * WEFT_MS);
	T_EQ(load_relaxed(&ran), expect);
	weft_ctx_leave(up);
	weft_ctx_free(c);
	return 0;
}

/* timer_after runs its function as a task, once; stop prevented it or it ran, never both, never neither. */
TEST_WORKERS(after)
{
	tap_limit(60);
	run(after_main, NULL);
}

/* --- cancelled tasks --- */

static int cancelled_yielder(void *arg)
{
	ATOMIC(int) *stop = arg;

	while (weft_ctx_check() == 0)
		weft_task_yield();
	while (!load_acquire(stop))
		weft_task_yield();
	return 0;
}

static int cancelled_stopper(void *arg)
{
	weft_timer *t = arg;

	while (weft_ctx_check() == 0)
		weft_task_yield();
	until(weft_chan_len(weft_timer_chan(t)) == 1);
	T_EQ(weft_timer_stop(t), 1);
	T_EQ(weft_chan_len(weft_timer_chan(t)), 0);
	return 0;
}

static int cancelled_main(void *arg)
{
	ATOMIC(int) stop = 0;
	weft_task *y[8];
	weft_timer *t;
	int64_t at;

	(void)arg;
	for (int i = 0; i < tap_workers(); i++) {
		y[i] = start(cancelled_yielder, &stop);
		T_EQ(weft_task_cancel(y[i]), 0);
	}
	for (int i = 0; i < 30; i++) { /* a tick is not lost, whoever happened to deliver it */
		t = weft_timer_make(100 * WEFT_US);
		T_EQ(weft_chan_recv_until(weft_timer_chan(t), &at, weft_in(10 * WEFT_SEC)), 0);
		weft_timer_free(t);
	}
	store_release(&stop, 1);
	for (int i = 0; i < tap_workers(); i++)
		finish(y[i]);
	for (int i = 0; i < 10; i++) { /* a cancelled task's stop takes the tick back */
		t = weft_timer_make(0);
		y[0] = start(cancelled_stopper, t);
		T_EQ(weft_task_cancel(y[0]), 0);
		finish(y[0]);
		weft_timer_free(t);
	}
	return 0;
}

/* Timers serve all, also when the task that runs just then, or that stops one, is cancelled. */
TEST_WORKERS(cancelled_tasks_disturb_no_timer)
{
	run(cancelled_main, NULL);
}

/* --- across workers, threads and runtimes --- */

enum { TIMERS = 20 };

static weft_timer *shared[TIMERS];

static int juggler(void *arg)
{
	struct rng r;
	long n = tap_iters(3000);

	rng_seed(&r, (uint64_t)(intptr_t)arg, 0);
	for (long i = 0; i < n; i++) {
		weft_timer *t = shared[rng_below(&r, TIMERS)];

		switch (rng_below(&r, 4)) {
		case 0:
			weft_timer_stop(t);
			break;
		case 1:
			weft_chan_recv_until(weft_timer_chan(t), NULL, weft_in(20 * WEFT_US));
			break;
		default:
			weft_timer_reset(t, 1 + rng_below(&r, 30) * WEFT_US);
		}
		if (i % 8 == 0)
			weft_task_yield();
	}
	return 0;
}

static int juggle_main(void *arg)
{
	weft_task *t[8];

	(void)arg;
	for (int i = 0; i < TIMERS; i++)
		shared[i] = i % 2 ? weft_timer_make(WEFT_US) : weft_ticker_make(15 * WEFT_US);
	for (int i = 0; i < 8; i++)
		t[i] = start(juggler, (void *)(intptr_t)(i + 1));
	for (int i = 0; i < 8; i++)
		finish(t[i]);
	for (int i = 0; i < TIMERS; i++) {
		weft_timer_stop(shared[i]);
		weft_task_yield();
		T_EQ(weft_chan_len(weft_timer_chan(shared[i])), 0);
		weft_timer_free(shared[i]);
	}
	return 0;
}

/* Many tasks stop, reset and receive from the same timers on all workers. */
TEST_WORKERS(juggled)
{
	tap_limit(60);
	run(juggle_main, NULL);
}

static int leave_main(void *arg)
{
	int round = (int)(intptr_t)arg;
	int64_t at;

	for (int i = 0; i < TIMERS; i++) {
		if (round == 0) {
			shared[i] = i % 3 == 0   ? weft_timer_make(i % 2 ? WEFT_US : WEFT_SEC)
				    : i % 3 == 1 ? weft_ticker_make(i % 2 ? WEFT_US : WEFT_SEC)
						 : weft_timer_after(i % 2 ? WEFT_US : WEFT_SEC, note_run, (void *)1);
		} else if (round == 1) {
			T_EQ(weft_timer_stop(shared[i]) && i % 3 == 2, 0); /* those went down with the first runtime */
			T_EQ(weft_timer_reset(shared[i], WEFT_MS), 0);
		}
	}
	if (round == 0) {
		weft_task_sleep(WEFT_MS); /* half of them have fired */
		return 0;
	}
	for (int i = 0; i < TIMERS; i++) {
		if (weft_timer_chan(shared[i])) {
			T_EQ(weft_chan_recv(weft_timer_chan(shared[i]), &at), 0);
		}
	}
	until(load_relaxed(&ran) >= TIMERS / 3);
	return 0;
}

/* Timers live on when the runtime goes down, unarmed, and can be set again in the next one. */
TEST_WORKERS(timers_outlive_the_runtime)
{
	ends_with_main();
	run(leave_main, (void *)0);
	T_EQ(weft_timer_stop(shared[2]), 0);
	T_EQ(weft_timer_reset(shared[2], 1), WEFT_ESRCH);
	store_relaxed(&ran, 0);
	run(leave_main, (void *)1);
	for (int i = 0; i < TIMERS; i++)
		weft_timer_free(shared[i]);
	nothing_left();
}
