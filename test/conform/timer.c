/* SPDX-License-Identifier: MIT
 *
 * timer.c - timers and tickers, by a clock that moves only when it is told to.
 *
 * Go 1.23's rules: after stop or reset no tick of the earlier setting is seen; a ticker drops what nobody takes.
 */
#include "timed.h"

/* Timers that have fired so far, those whose tick was dropped included. */
static uint64_t fired(void)
{
	weft_stat st;

	T_EQ(weft_stats(&st), 0);
	return st.timers;
}

/* --- timers --- */

/* A timer fires when its time has come, not before. */
TIMED(timer_is_never_early)
{
	weft_timer *t = weft_timer_make(1000);

	T_OK(silent(t));
	time_move(999);
	T_OK(silent(t));
	time_move(1);
	T_OK(ticked(t));
	weft_timer_free(t);
}

/* Its tick says when it fired. */
TIMED(tick_is_the_time)
{
	weft_timer *t = weft_timer_make(1000);
	int64_t due = weft_in(1000);

	time_move(1000);
	T_EQ(tick(t), due);
	weft_timer_free(t);
}

/* It fires once. */
TIMED(timer_fires_once)
{
	weft_timer *t = weft_timer_make(1000);

	time_move(1000);
	T_GT(tick(t), 0);
	time_move(100000);
	T_OK(silent(t));
	weft_timer_free(t);
}

/* Its channel has room for one tick, so that it fires although nobody listens. */
TIMED(timers_channel_holds_one)
{
	weft_timer *t = weft_timer_make(1000);
	int64_t due = weft_in(1000);

	T_EQ(weft_chan_cap(weft_timer_chan(t)), 1);
	T_EQ(weft_chan_len(weft_timer_chan(t)), 0);
	time_move(1000);
	T_OK(ticked(t));
	time_move(5000);
	all_due();
	T_EQ(weft_chan_len(weft_timer_chan(t)), 1);
	T_EQ(tick(t), due); /* of then, not of now */
	weft_timer_free(t);
}

/* A receiver that waits gets the tick when it comes. */
TIMED(timer_wakes_its_receiver)
{
	weft_timer *t = weft_timer_make(1000);
	int64_t due = weft_in(1000);
	struct other o;

	weft_case one = WEFT_RECV(weft_timer_chan(t), &due);
	due = 0;
	other_selects(&o, &one, 1);
	time_move(999);
	T_OK(other_waits(&o));
	time_move(1);
	T_EQ(other_ends(&o), 0);
	T_EQ(due, weft_now());
	weft_timer_free(t);
}

/* A timer set to now or to the past fires at once. */
TIMED(past_is_now)
{
	time_move(10 * WEFT_US); /* a worker may have read the clock just before it stood still, and use that now: the past begins later */
	for (int64_t ns = 0; ns > -3000; ns -= 1000) {
		weft_timer *t = weft_timer_make(ns);

		T_EQ(tick(t), weft_now());
		weft_timer_free(t);
	}
}

/* A timer set to the end of time never fires. */
TIMED(never_is_never)
{
	weft_timer *t = weft_timer_make(WEFT_FOREVER);

	time_move(365 * 24 * 3600 * WEFT_SEC);
	T_OK(silent(t));
	T_EQ(weft_timer_stop(t), 1);
	weft_timer_free(t);
}

/* Stop before it has fired: it says that it has prevented it, and no tick comes. */
TIMED(stop_prevents)
{
	weft_timer *t = weft_timer_make(1000);

	T_EQ(weft_timer_stop(t), 1);
	time_move(5000);
	T_OK(silent(t));
	weft_timer_free(t);
}

/* Stop after the tick was received: it says that there was nothing to prevent. */
TIMED(stop_after_the_tick)
{
	weft_timer *t = weft_timer_make(1000);

	time_move(1000);
	T_GT(tick(t), 0);
	T_EQ(weft_timer_stop(t), 0);
	T_OK(silent(t));
	weft_timer_free(t);
}

/* Stop after it has fired but before anybody has received: the tick is taken back, which is to have prevented it. */
TIMED(stop_takes_the_tick_back)
{
	weft_timer *t = weft_timer_make(1000);

	time_move(1000);
	T_OK(ticked(t));
	T_EQ(weft_timer_stop(t), 1);
	T_OK(silent(t));
	T_EQ(weft_timer_stop(t), 0);
	weft_timer_free(t);
}

/* Only the first stop prevents. */
TIMED(stop_prevents_once)
{
	weft_timer *t = weft_timer_make(1000);

	T_EQ(weft_timer_stop(t), 1);
	T_EQ(weft_timer_stop(t), 0);
	T_EQ(weft_timer_stop(t), 0);
	weft_timer_free(t);
}

/* Stop does not close the channel: who receives from it goes on waiting. */
TIMED(stop_does_not_close)
{
	weft_timer *t = weft_timer_make(1000);
	struct other o;
	weft_case one = WEFT_RECV(weft_timer_chan(t), NULL);

	other_selects(&o, &one, 1);
	T_EQ(weft_timer_stop(t), 1);
	time_move(5000);
	T_OK(other_waits(&o));
	T_EQ(weft_timer_reset(t, 1000), 0); /* set again: its tick is his */
	time_move(1000);
	T_EQ(other_ends(&o), 0);
	T_EQ(one.status, 0);
	weft_timer_free(t);
}

/* Reset before it has fired: it was active, and fires at the new time only, earlier or later than the old. */
TIMED(reset_moves)
{
	for (int64_t ns = 500; ns <= 2000; ns += 1500) {
		weft_timer *t = weft_timer_make(1000);
		int64_t due;

		T_EQ(weft_timer_reset(t, ns), 1);
		due = weft_in(ns);
		time_move(ns - 1);
		T_OK(silent(t));
		time_move(1);
		T_EQ(tick(t), due);
		time_move(5000);
		T_OK(silent(t));
		weft_timer_free(t);
	}
}

/* Reset after the tick was received: it was not active, and fires again. */
TIMED(reset_sets_again)
{
	weft_timer *t = weft_timer_make(1000);

	for (int i = 0; i < 5; i++) {
		time_move(1000);
		T_EQ(tick(t), weft_now());
		T_EQ(weft_timer_reset(t, 1000), 0);
	}
	T_EQ(weft_timer_stop(t), 1);
	T_EQ(weft_timer_reset(t, 1000), 0);
	time_move(1000);
	T_EQ(tick(t), weft_now());
	weft_timer_free(t);
}

/* Reset after it has fired but before anybody has received: the old tick is not seen, only the new one. */
TIMED(reset_takes_the_tick_back)
{
	weft_timer *t = weft_timer_make(1000);

	time_move(1000);
	T_OK(ticked(t));
	T_EQ(weft_timer_reset(t, 1000), 1);
	T_OK(silent(t));
	time_move(999);
	T_OK(silent(t));
	time_move(1);
	T_EQ(tick(t), weft_now());
	weft_timer_free(t);
}

/* Timers fire in the order of their times, not of their making. */
TIMED(timers_fire_in_the_order_of_time)
{
	enum { N = 8 };
	weft_timer *t[N];
	int64_t start = weft_now();

	for (int i = 0; i < N; i++)
		t[i] = weft_timer_make(1000 * (1 + (i * 5) % N));
	for (int step = 1; step <= N; step++) {
		time_move(1000);
		for (int i = 0; i < N; i++) {
			if (1 + (i * 5) % N == step)
				T_EQ(tick(t[i]), start + 1000 * step);
			else
				T_EQ(weft_chan_len(weft_timer_chan(t[i])), 0);
		}
	}
	for (int i = 0; i < N; i++)
		weft_timer_free(t[i]);
}

/* Timers of the same time all fire. */
TIMED(timers_of_one_time_all_fire)
{
	enum { N = 200 };
	static weft_timer *t[N];

	for (int i = 0; i < N; i++)
		t[i] = weft_timer_make(1000);
	time_move(1000);
	for (int i = 0; i < N; i++)
		T_EQ(tick(t[i]), weft_now());
	for (int i = 0; i < N; i++)
		weft_timer_free(t[i]);
}

/* A timer may be dropped at any time: set, fired, received, stopped. */
TIMED(timers_are_dropped_at_any_time)
{
	for (int how = 0; how < 4; how++) {
		weft_timer *t = weft_timer_make(1000);

		if (how > 0)
			time_move(1000);
		if (how == 1)
			T_OK(ticked(t));
		if (how == 2)
			T_GT(tick(t), 0);
		if (how == 3)
			weft_timer_stop(t);
		weft_timer_free(t);
	}
	weft_timer_free(NULL);
	time_move(5000);
	all_due();
}

/* --- timers that start tasks --- */

static ATOMIC(int) started;

static void count_start(void *arg)
{
	T_OK(weft_task_self() != NULL);
	add_relaxed(&started, (int)(intptr_t)arg); /* ordered by until */
}

/* A timer with a function starts it as a task, once, when its time has come; it has no channel. */
TIMED(function_runs_in_a_task_of_its_own)
{
	weft_timer *t = weft_timer_after(1000, count_start, (void *)1);

	T_EQ(weft_timer_chan(t), NULL);
	time_move(999);
	all_due();
	T_EQ(load_relaxed(&started), 0);
	time_move(1);
	until(load_relaxed(&started) == 1);
	time_move(5000);
	all_due();
	T_EQ(load_relaxed(&started), 1);
	weft_timer_free(t);
}

/* Stop prevents it from being started; once it has been, stop says that it came too late. */
TIMED(stop_prevents_the_function)
{
	weft_timer *t = weft_timer_after(1000, count_start, (void *)1);

	T_EQ(weft_timer_stop(t), 1);
	time_move(5000);
	all_due();
	T_EQ(load_relaxed(&started), 0);
	T_EQ(weft_timer_reset(t, 1000), 0);
	time_move(1000);
	until(load_relaxed(&started) == 1);
	T_EQ(weft_timer_stop(t), 0);
	weft_timer_free(t);
}

/* Reset moves the start, or starts it once more. */
TIMED(reset_moves_the_function)
{
	weft_timer *t = weft_timer_after(1000, count_start, (void *)1);

	T_EQ(weft_timer_reset(t, 3000), 1);
	time_move(2999);
	all_due();
	T_EQ(load_relaxed(&started), 0);
	time_move(1);
	until(load_relaxed(&started) == 1);
	T_EQ(weft_timer_reset(t, 1000), 0);
	time_move(1000);
	until(load_relaxed(&started) == 2);
	weft_timer_free(t);
}

/* --- tickers --- */

/* A ticker ticks every period. */
TIMED(ticker_ticks_every_period)
{
	weft_timer *t = weft_ticker_make(1000);
	int64_t start = weft_now();

	for (int i = 1; i <= 10; i++) {
		time_move(999);
		T_OK(silent(t));
		time_move(1);
		T_EQ(tick(t), start + 1000 * i);
	}
	weft_timer_free(t);
}

/* Ticks that nobody takes are dropped: there is one, the oldest, however long nobody came. */
TIMED(ticker_drops_what_nobody_takes)
{
	weft_timer *t = weft_ticker_make(1000);
	int64_t start = weft_now();

	for (uint64_t i = 1, before = fired(); i <= 6; i++) {
		time_move(1000);
		until(fired() == before + i); /* and what came before has been delivered or dropped */
	}
	T_EQ(weft_chan_len(weft_timer_chan(t)), 1);
	T_EQ(tick(t), start + 1000);
	time_move(1000);
	T_GE(tick(t), start + 6000);
	weft_timer_free(t);
}

/* A ticker that was late does not make up for it: one tick, and on in step. */
TIMED(ticker_does_not_make_up)
{
	weft_timer *t = weft_ticker_make(1000);
	int64_t start = weft_now();

	time_move(5500);
	T_EQ(tick(t), start + 5500);
	T_OK(silent(t));
	time_move(499);
	T_OK(silent(t));
	time_move(1);
	T_EQ(tick(t), start + 6000);
	weft_timer_free(t);
}

/* Stop ends the ticks, taking back one that nobody has received; it does not close the channel. */
TIMED(ticker_stops)
{
	weft_timer *t = weft_ticker_make(1000);

	time_move(1000);
	T_OK(ticked(t));
	T_EQ(weft_timer_stop(t), 1);
	T_OK(silent(t));
	time_move(10000);
	T_OK(silent(t));
	T_EQ(weft_timer_stop(t), 0);
	weft_timer_free(t);
}

/* Reset gives a ticker a new period, from now. */
TIMED(ticker_takes_a_new_period)
{
	weft_timer *t = weft_ticker_make(1000);
	int64_t start;

	time_move(600);
	T_EQ(weft_timer_reset(t, 3000), 1);
	start = weft_now();
	for (int i = 1; i <= 3; i++) {
		time_move(2999);
		T_OK(silent(t));
		time_move(1);
		T_EQ(tick(t), start + 3000 * i);
	}
	T_EQ(weft_timer_stop(t), 1);
	T_EQ(weft_timer_reset(t, 500), 0);
	time_move(500);
	T_EQ(tick(t), weft_now());
	weft_timer_free(t);
}

/* A ticker's period is greater than 0. */
TIMED(ticker_has_a_period)
{
	weft_timer *t;

	T_EQ(weft_ticker_make(0), NULL);
	T_EQ(weft_ticker_make(-1), NULL);
	t = weft_ticker_make(1000);
	T_EQ(weft_timer_reset(t, 0), WEFT_EINVAL);
	T_EQ(weft_timer_reset(t, -1), WEFT_EINVAL);
	time_move(1000);
	T_EQ(tick(t), weft_now()); /* unharmed */
	weft_timer_free(t);
}
