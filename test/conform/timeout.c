/* SPDX-License-Identifier: MIT
 *
 * timeout.c - timeouts of select, deadlines, and timers and tickers among the cases of a select, by a clock that moves only when it is told to.
 */
#include "timed.h"

/* --- timeouts --- */

/* A timeout in a select fires when its time has come and nothing else could go on, not before. */
TIMED(after_is_never_early)
{
	weft_chan *c = ints(0);
	weft_case cases[] = {WEFT_RECV(c, NULL), WEFT_AFTER(1000)};
	struct other o;

	other_selects(&o, cases, 2);
	time_move(999);
	T_OK(other_waits(&o));
	time_move(1);
	T_EQ(other_ends(&o), 1);
	T_EQ(cases[1].status, 0);
	T_EQ(put(c, 1), WEFT_EAGAIN);
	emptied(c);
}

/* What comes before the timeout is taken, and the timeout does not fire. */
TIMED(after_is_too_late)
{
	weft_chan *c = ints(0);
	int v = -1;
	weft_case cases[] = {WEFT_AFTER(1000), WEFT_RECV(c, &v)};
	struct other o;

	other_selects(&o, cases, 2);
	time_move(999);
	all_due();
	T_EQ(put(c, 3), 0);
	time_move(1000);
	T_EQ(other_ends(&o), 1);
	T_EQ(v, 3);
	emptied(c);
}

/* Of several timeouts the earliest fires; a timeout counts from the call. */
TIMED(earliest_after_fires)
{
	weft_case cases[] = {WEFT_AFTER(3000), WEFT_AFTER(1000), WEFT_AFTER(2000), WEFT_AFTER(WEFT_FOREVER)};
	struct other o;

	for (int i = 0; i < 3; i++) {
		time_move(700);
		other_selects(&o, cases, 4);
		time_move(999);
		T_OK(other_waits(&o));
		time_move(1);
		T_EQ(other_ends(&o), 1);
	}
}

/* A deadline and a timeout in one select: the earlier counts. */
TIMED(after_and_deadline)
{
	weft_case one = WEFT_AFTER(1000);
	struct other o;

	other_selects_until(&o, &one, 1, weft_in(999));
	time_move(999);
	T_EQ(other_ends(&o), WEFT_ETIMEDOUT);
	other_selects_until(&o, &one, 1, weft_in(1001));
	time_move(1000);
	T_EQ(other_ends(&o), 0);
}

/* A send or receive with a deadline waits until then, not less; then nothing was sent or received. */
TIMED(deadline_is_never_early)
{
	weft_chan *c = ints(0);
	struct other o[2];

	other_receives_until(&o[0], c, weft_in(1000));
	time_move(999);
	T_OK(other_waits(&o[0]));
	time_move(1);
	T_EQ(other_ends(&o[0]), WEFT_ETIMEDOUT);
	T_EQ(o[0].v, -1);
	other_sends_until(&o[1], c, 5, weft_in(1000));
	time_move(999);
	T_OK(other_waits(&o[1]));
	time_move(1);
	T_EQ(other_ends(&o[1]), WEFT_ETIMEDOUT);
	T_EQ(take(c), WEFT_EAGAIN);
	emptied(c);
}

/* Who is served before his deadline is not late, however far the clock moves afterwards. */
TIMED(served_before_the_deadline)
{
	weft_chan *c = ints(0);
	struct other o[2];

	other_receives_until(&o[0], c, weft_in(1000));
	time_move(999);
	all_due();
	T_EQ(put(c, 4), 0);
	time_move(5000);
	T_EQ(other_ends(&o[0]), 0);
	T_EQ(o[0].v, 4);
	other_sends_until(&o[1], c, 5, weft_in(1000));
	T_EQ(take(c), 5);
	time_move(5000);
	T_EQ(other_ends(&o[1]), 0);
	emptied(c);
}

/* A context's deadline bounds every call under it, whatever its own deadline. */
TIMED(context_bounds_the_call)
{
	weft_chan *c = ints(0);
	weft_ctx *x = weft_ctx_with_deadline(NULL, weft_in(1000)), *up = weft_ctx_enter(x);
	struct other o[3];
	weft_case one = WEFT_RECV(c, NULL);

	other_receives(&o[0], c); /* under the context */
	other_sends_until(&o[1], NULL, 1, weft_in(9000));
	other_selects(&o[2], &one, 1);
	weft_ctx_leave(up);
	time_move(999);
	for (int i = 0; i < 3; i++)
		T_OK(other_waits(&o[i]));
	time_move(1);
	for (int i = 0; i < 3; i++)
		T_EQ(other_ends(&o[i]), WEFT_ETIMEDOUT);
	weft_ctx_free(x);
	emptied(c);
}

/* --- the idioms --- */

/* Work until a timer says stop: the timer's channel is a case like any other, and its rest is nobody's. */
TIMED(work_until_the_timer)
{
	weft_chan *work = ints(1);
	weft_timer *t = weft_timer_make(1000);
	int n = 0;

	for (bool up = true; up;) {
		weft_case cases[] = {WEFT_SEND(work, &n), WEFT_RECV(weft_timer_chan(t), NULL)};

		switch (weft_chan_select(cases, 2)) {
		case 0:
			T_EQ(take(work), n++);
			time_move(10);
			break;
		case 1:
			T_GE(n, 100);
			up = false;
			break;
		default:
			T_FAIL("no case");
		}
	}
	emptied(work);
	weft_timer_free(t);
}

/* An idle timer is set again at each piece of work, and fires only when there is none. */
TIMED(idle_timer)
{
	weft_chan *work = ints(0);
	weft_timer *t = weft_timer_make(1000);

	for (int i = 0; i < 5; i++) {
		weft_case cases[] = {WEFT_RECV(work, NULL), WEFT_RECV(weft_timer_chan(t), NULL)};
		struct other o;

		other_selects(&o, cases, 2);
		time_move(900);
		T_OK(other_waits(&o));
		T_EQ(put(work, i), 0);
		T_EQ(other_ends(&o), 0);
		T_EQ(weft_timer_reset(t, 1000), 1);
	}
	time_move(1000);
	T_EQ(tick(t), weft_now());
	emptied(work);
	weft_timer_free(t);
}

/* A case whose timer is not wanted is switched off by NULL, and on again. */
TIMED(timer_case_is_switched)
{
	weft_timer *t = weft_ticker_make(1000);
	weft_case cases[] = {WEFT_RECV(NULL, NULL), WEFT_DEFAULT()};

	time_move(1000);
	T_OK(ticked(t));
	T_EQ(weft_chan_select(cases, 2), 1);
	cases[0].chan = weft_timer_chan(t);
	T_EQ(weft_chan_select(cases, 2), 0);
	T_EQ(weft_chan_select(cases, 2), 1);
	weft_timer_free(t);
}

/* A ticker meters work: one piece a tick. */
TIMED(ticker_meters_work)
{
	weft_timer *t = weft_ticker_make(1000);
	int64_t start = weft_now();
	weft_chan *c = ints(5);

	for (int i = 0; i < 5; i++)
		T_EQ(put(c, i), 0);
	T_EQ(weft_chan_close(c), 0);
	for (int i = 0;; i++) {
		int v = get(c);

		if (v < 0)
			break;
		time_move(1000);
		T_EQ(tick(t), start + 1000 * (i + 1));
	}
	weft_timer_free(t);
	emptied(c);
}
