/* SPDX-License-Identifier: MIT
 *
 * flow.c - credits, windows, forecasts, congestion.
 */
#include "rt.h"

#include "base/rand.h"
#include "weft/flow.h"
#include <pthread.h>

/* --- credits --- */

struct taking {
	weft_credit *c;
	int64_t n, deadline;
	bool some;
};

static int takes(void *arg)
{
	struct taking *t = arg;

	return t->some ? (int)weft_credit_take_some_until(t->c, t->n, t->deadline) : weft_credit_take_until(t->c, t->n, t->deadline);
}

static weft_task *waits_for(struct taking *t, weft_credit *c, int64_t n, bool some)
{
	weft_task *k;

	*t = (struct taking){c, n, WEFT_FOREVER, some};
	k = start(takes, t);
	until_reason(k, "credit");
	return k;
}

static weft_credit *credits(int64_t n)
{
	weft_credit *c;

	T_EQ(weft_credit_make(&c, n), 0);
	return c;
}

static int credit_errors_main(void *arg)
{
	const int64_t most = (int64_t)1 << 62;
	weft_credit *c = (void *)&most;

	(void)arg;
	T_EQ(weft_credit_make(&c, -1), WEFT_EINVAL);
	T_EQ(c, NULL);
	T_EQ(weft_credit_make(&c, most + 1), WEFT_EINVAL);
	T_EQ(weft_credit_make(NULL, 1), WEFT_EINVAL);
	T_EQ(weft_credit_take(NULL, 1), WEFT_EINVAL);
	T_EQ(weft_credit_take_some(NULL, 1), WEFT_EINVAL);
	T_EQ(weft_credit_grant(NULL, 1), WEFT_EINVAL);
	T_EQ(weft_credit_close(NULL), WEFT_EINVAL);
	c = credits(most - 1);
	T_EQ(weft_credit_grant(c, 2), WEFT_EINVAL);
	T_EQ(weft_credit_grant(c, 1), 0);
	T_EQ(weft_credit_grant(c, 0), WEFT_EINVAL);
	T_EQ(weft_credit_take(c, 0), WEFT_EINVAL);
	T_EQ(weft_credit_take(c, -1), WEFT_EINVAL);
	T_EQ(weft_credit_take_some(c, 0), WEFT_EINVAL);
	T_EQ(weft_credit_take(c, most), 0);
	T_EQ(weft_credit_take_until(c, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_credit_take_some_until(c, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_credit_take_until(c, 1, weft_now() - 1), WEFT_ETIMEDOUT);
	T_EQ(weft_credit_grant(c, 5), 0);
	T_EQ(weft_credit_take_some(c, 3), 3);
	T_EQ(weft_credit_take_some(c, 3), 2);
	T_EQ(weft_credit_grant(c, 5), 0);
	T_EQ(weft_credit_close(c), 0);
	T_EQ(weft_credit_close(c), WEFT_ECLOSED);
	T_EQ(weft_credit_value(c), 0);
	T_EQ(weft_credit_take(c, 1), WEFT_ECLOSED);
	T_EQ(weft_credit_take_some(c, 1), WEFT_ECLOSED);
	T_EQ(weft_credit_grant(c, 1), WEFT_ECLOSED);
	weft_credit_free(weft_credit_ref(c));
	weft_credit_free(c);
	weft_credit_free(NULL);
	return 0;
}

TEST_WORKERS(credit_errors_are_told)
{
	run(credit_errors_main, NULL);
}

static int order_main(void *arg)
{
	weft_credit *c = credits(2);
	struct taking t[4];
	weft_task *k[4];

	(void)arg;
	k[0] = waits_for(&t[0], c, 5, false);
	k[1] = waits_for(&t[1], c, 3, true);
	k[2] = waits_for(&t[2], c, 1, false);
	T_EQ(weft_credit_waiting(c), 3);
	T_EQ(weft_credit_take_until(c, 1, WEFT_NOW), WEFT_EAGAIN); /* there are two, but somebody is in line for them */
	T_EQ(weft_credit_grant(c, 2), 0);
	T_EQ(weft_credit_waiting(c), 3);
	T_EQ(weft_credit_grant(c, 2), 0); /* six: five, and the one that is left */
	T_EQ(weft_credit_waiting(c), 1);
	T_EQ(finish(k[0]), 0);
	T_EQ(finish(k[1]), 1);
	T_EQ(weft_credit_grant(c, 10), 0);
	T_EQ(finish(k[2]), 0);
	T_EQ(weft_credit_value(c), 9);
	T_EQ(weft_credit_take(c, 9), 0);
	for (int i = 0; i < 4; i++)
		k[i] = waits_for(&t[i], c, 1 + i, i % 2);
	T_EQ(weft_credit_close(c), 0);
	for (int i = 0; i < 4; i++)
		T_EQ(finish(k[i]), WEFT_ECLOSED);
	weft_credit_free(c);
	return 0;
}

TEST_WORKERS(credits_go_in_order)
{
	run(order_main, NULL);
}

static int gives_up_main(void *arg)
{
	weft_credit *c;
	struct taking t[3];
	weft_task *k[3];

	(void)arg;
	time_fake();
	c = credits(2);
	k[0] = waits_for(&t[0], c, 5, false);
	k[1] = waits_for(&t[1], c, 2, false); /* could go on, were it not for the first */
	T_EQ(weft_task_cancel(k[0]), 0);
	T_EQ(finish(k[0]), WEFT_ECANCELED);
	T_EQ(finish(k[1]), 0);
	T_EQ(weft_credit_grant(c, 1), 0);
	t[2] = (struct taking){c, 2, weft_now() + WEFT_MS, false};
	k[2] = start(takes, &t[2]);
	until_reason(k[2], "credit");
	k[0] = waits_for(&t[0], c, 3, true);
	time_move(WEFT_MS);
	T_EQ(finish(k[2]), WEFT_ETIMEDOUT);
	T_EQ(finish(k[0]), 1);
	T_EQ(weft_credit_value(c), 0);
	T_EQ(weft_credit_waiting(c), 0);
	weft_credit_free(c);
	time_real();
	return 0;
}

/* Who gives up lets those behind it have what it waited for. */
TEST_WORKERS(giving_up_forgets_nobody)
{
	run(gives_up_main, NULL);
}

struct traffic {
	weft_credit *c;
	ATOMIC(int64_t) sent, received;
};

struct sender {
	struct traffic *k;
	uint64_t seed;
};

static int sends(void *arg)
{
	struct sender *s = arg;
	struct rng r;

	rng_seed(&r, s->seed, 1);
	for (;;) {
		int64_t want = 1 + rng_below(&r, 7), got;

		got = rng_below(&r, 2) ? weft_credit_take_some(s->k->c, want)
				       : weft_credit_take_until(s->k->c, want, weft_in(rng_below(&r, 100) * WEFT_US));
		if (got == WEFT_ECLOSED || got == WEFT_ECANCELED)
			return 0;
		if (got == WEFT_ETIMEDOUT)
			continue;
		T_GE(got, 0);
		add_acq_rel(&s->k->sent, got ? got : want); /* pairs with load_acquire in exact_main: who sees it sent sees it received */
		if (rng_below(&r, 4) == 0)
			weft_task_yield();
	}
}

static void *grants(void *arg)
{
	struct traffic *k = arg;
	struct rng r;

	rng_seed(&r, 7, 7);
	for (long i = 0; i < tap_iters(3000); i++) {
		int64_t n = 1 + rng_below(&r, 9);

		add_relaxed(&k->received, n);
		T_EQ(weft_credit_grant(k->c, n), 0);
	}
	return NULL;
}

static int exact_main(void *arg)
{
	enum { N = 12 };
	struct traffic k = {.c = credits(0)};
	struct sender s[N];
	weft_task *t[N];
	pthread_t th;
	int64_t granted = 0;

	(void)arg;
	for (int i = 0; i < N; i++) {
		s[i] = (struct sender){&k, (uint64_t)i};
		t[i] = start(sends, &s[i]);
	}
	T_EQ(pthread_create(&th, NULL, grants, &k), 0);
	for (long i = 0; i < tap_iters(3000); i++) {
		T_EQ(weft_credit_grant(k.c, 3), 0);
		granted += 3;
		if (i == tap_iters(1000)) {
			for (int j = 0; j < N; j += 3)
				T_EQ(weft_task_cancel(t[j]), 0);
		}
		if (i % 8 == 0)
			weft_task_yield();
		T_LE(load_acquire(&k.sent), granted + load_relaxed(&k.received)); /* pairs with add_acq_rel in sends */
	}
	T_EQ(pthread_join(th, NULL), 0); /* it does not wait for tasks */
	granted += load_relaxed(&k.received);
	until(load_relaxed(&k.sent) + weft_credit_value(k.c) == granted && weft_credit_value(k.c) == 0);
	T_EQ(weft_credit_close(k.c), 0);
	for (int i = 0; i < N; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(load_relaxed(&k.sent), granted); /* none lost, none twice */
	weft_credit_free(k.c);
	return 0;
}

TEST_WORKERS(credits_are_exact)
{
	run(exact_main, NULL);
}

static int free_credit_main(void *arg)
{
	weft_credit *c = credits(0);
	static struct taking t;

	(void)arg;
	(void)waits_for(&t, c, 1, false);
	weft_credit_free(c);
	return 0;
}

TEST_DIES(credits_freed_while_somebody_waits, "weft_credit_free")
{
	run(free_credit_main, NULL);
}

/* --- windows --- */

TEST(window_numbers)
{
	static const weft_window_opts bad[] = {
		{.rule = (enum weft_window_rule)3},
		{.least = -1},
		{.initial = 5, .least = 6},
		{.initial = 5, .most = 4},
		{.most = (1 << 20) + 1},
		{.target = -1},
		{.backoff = 100},
		{.backoff = -1},
		{.smooth = -1},
		{.tolerance = 99},
	};
	weft_window w;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		T_EQ(weft_window_init(&w, &bad[i]), WEFT_EINVAL);
	T_EQ(weft_window_init(NULL, &bad[0]), WEFT_EINVAL);
	T_EQ(weft_window_init(&w, NULL), WEFT_EINVAL);
	T_EQ(weft_window_init(&w, &(weft_window_opts){.least = 30}), 0);
	T_EQ(weft_window_size(&w), 30);
	T_EQ(weft_window_init(&w, &(weft_window_opts){.most = 10}), 0);
	T_EQ(weft_window_size(&w), 10);
	T_EQ(weft_window_init(&w, &(weft_window_opts){.rule = WEFT_AIMD}), 0);
	T_EQ(weft_window_size(&w), 20);
}

/* The longest latencies there are, and none at all: no overflow, and the window stays in its bounds. */
TEST(window_extremes)
{
	struct rng r = {42};

	for (int rule = WEFT_AIMD; rule <= WEFT_GRADIENT; rule++) {
		weft_window w;

		T_EQ(weft_window_init(
			     &w,
			     &(weft_window_opts){
				     .rule = (enum weft_window_rule)rule, .initial = 1 << 18, .least = 3, .most = 1 << 20, .target = 5}),
		     0);
		for (int i = 0; i < 1 << 21; i++) {
			static const int64_t latencies[] = {INT64_MAX, 0, -5, INT64_MIN, 1, WEFT_SEC};
			int n = weft_window_sample(&w, latencies[rng_below(&r, 6)], 1 << 20, i % 1000 == 7);

			T_OK(n >= 3 && n <= 1 << 20);
		}
	}
}

/* A callee that serves `width` at a time, each in `each` ns: with n under way the latency is as long as the queue makes it. Returns the window after so many rounds. */
static int settles_at(weft_window *w, int width, int64_t each, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		int n = weft_window_size(w), ended = n > 8 ? n : 8;
		int64_t latency = n <= width ? each : each * n / width;

		for (int k = 0; k < ended; k++)
			(void)weft_window_sample(w, latency, n, false);
	}
	return weft_window_size(w);
}

TEST(windows_find_the_width)
{
	static const int widths[] = {4, 40, 400};

	for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
		int width = widths[i], n;
		weft_window w;

		T_EQ(weft_window_init(&w, &(weft_window_opts){.rule = WEFT_AIMD, .target = 15 * WEFT_MS}), 0);
		for (int k = 0; k < 20; k++) {
			n = settles_at(&w, width, 10 * WEFT_MS, k ? 37 : 1000);
			T_OK(n >= width &&
			     n <= width * 2 + 1); /* up to half as much again fits the target; a cut leaves four fifths of that */
		}
		T_EQ(weft_window_init(&w, &(weft_window_opts){.rule = WEFT_VEGAS}), 0);
		for (int k = 0; k < 20; k++) {
			n = settles_at(&w, width, 10 * WEFT_MS, k ? 32 : 32 * 8);
			T_OK(n >= width - 1 && n <= width + 6 * 3); /* a queue of a few */
		}
		T_EQ(weft_window_init(&w, &(weft_window_opts){.rule = WEFT_GRADIENT}), 0);
		for (int k = 0; k < 20; k++) {
			n = settles_at(&w, width, 10 * WEFT_MS, k ? 20 : 400);
			T_GE(n, width); /* never below what the callee can do */
		}
	}
}

TEST(vegas_follows_a_callee_that_gets_slower_for_good)
{
	weft_window w;
	int n;

	T_EQ(weft_window_init(&w, &(weft_window_opts){.rule = WEFT_VEGAS}), 0);
	(void)settles_at(&w, 40, 10 * WEFT_MS, 320);
	T_EQ(weft_window_latency(&w), 10 * WEFT_MS);
	n = settles_at(&w, 40, 30 * WEFT_MS, 10);
	T_LT(n, 40); /* looks like a queue */
	n = settles_at(&w, 40, 30 * WEFT_MS, 320);
	T_EQ(weft_window_latency(&w), 30 * WEFT_MS); /* measured anew with half the window */
	T_GE(n, 39);
}

TEST(gradient_narrows_when_latency_rises)
{
	weft_window w;
	int before, after;

	T_EQ(weft_window_init(&w, &(weft_window_opts){.rule = WEFT_GRADIENT, .most = 100}), 0);
	before = settles_at(&w, 100, 10 * WEFT_MS, 100);
	T_EQ(before, 100);
	after = settles_at(&w, 10, 10 * WEFT_MS, 20);
	T_LT(after, 60);
	T_GE(after, 10);
	T_EQ(settles_at(&w, 100, 10 * WEFT_MS, 200), 100); /* and widens again */
}

TEST(losses_cut_once_a_round)
{
	for (int rule = WEFT_AIMD; rule <= WEFT_GRADIENT; rule++) {
		weft_window w;

		T_EQ(weft_window_init(&w, &(weft_window_opts){.rule = (enum weft_window_rule)rule, .initial = 100, .backoff = 50}), 0);
		for (int i = 0; i < 99; i++)
			T_EQ(weft_window_sample(&w, WEFT_MS, 100, i % 2), 100);
		T_EQ(weft_window_sample(&w, WEFT_MS, 100, false), 50);
		for (int i = 0; i < 49; i++)
			T_EQ(weft_window_sample(&w, WEFT_MS, 50, true), 50);
		T_EQ(weft_window_sample(&w, WEFT_MS, 50, true), 25);
	}
}

TEST(a_window_that_is_not_used_does_not_grow)
{
	for (int rule = WEFT_AIMD; rule <= WEFT_GRADIENT; rule++) {
		weft_window w;

		T_EQ(weft_window_init(&w, &(weft_window_opts){.rule = (enum weft_window_rule)rule}), 0);
		for (int i = 0; i < 20 * 31; i++)
			T_EQ(weft_window_sample(&w, WEFT_MS, 9, false), 20);
	}
}

/* --- forecasts --- */

TEST(forecast_of_a_straight_line)
{
	weft_forecast f = {0};
	int64_t now = WEFT_SEC;

	T_EQ(weft_forecast_in(&f, WEFT_SEC), 0);
	weft_forecast_see(&f, 1000, now);
	T_EQ(weft_forecast_in(&f, WEFT_SEC), 1000); /* no trend yet */
	for (int i = 1; i <= 100; i++)
		weft_forecast_see(&f, 1000 + 5 * i, now += 10 * WEFT_MS);
	T_OK(weft_forecast_in(&f, 0) >= 1495 && weft_forecast_in(&f, 0) <= 1505);
	T_OK(weft_forecast_in(&f, 100 * WEFT_MS) >= 1540 && weft_forecast_in(&f, 100 * WEFT_MS) <= 1560);
	T_EQ(weft_forecast_in(&f, -5), weft_forecast_in(&f, 0));
	for (int i = 1; i <= 100; i++)
		weft_forecast_see(&f, 1500, now += 10 * WEFT_MS);
	T_OK(weft_forecast_in(&f, WEFT_SEC) >= 1495 && weft_forecast_in(&f, WEFT_SEC) <= 1505); /* it is level now */
	weft_forecast_see(&f, 0, now);                                                          /* at the same time: half way */
	weft_forecast_see(&f, 0, now - WEFT_SEC);
	T_OK(weft_forecast_in(&f, 0) >= 370 && weft_forecast_in(&f, 0) <= 380);
}

TEST(forecast_extremes)
{
	weft_forecast f = {0};
	struct rng r = {7};
	int64_t now = 1;

	for (int i = 0; i < 100000; i++) {
		int64_t x = (int64_t)1 << 40;

		weft_forecast_see(&f, rng_below(&r, 2) ? x : -x, now);
		now = clock_add(now, rng_below(&r, 3) ? 1 : (int64_t)(rng_next(&r) >> 8));
		(void)weft_forecast_in(&f, INT64_MAX);
	}
}

/* --- congestion --- */

TEST(congestion_with_two_marks_and_hold_times)
{
	weft_congestion c;
	int64_t t = WEFT_SEC;

	T_EQ(weft_congestion_init(NULL, &(weft_congestion_opts){.high = 2, .low = 1}), WEFT_EINVAL);
	T_EQ(weft_congestion_init(&c, NULL), WEFT_EINVAL);
	T_EQ(weft_congestion_init(&c, &(weft_congestion_opts){.high = 2, .low = 2}), WEFT_EINVAL);
	T_EQ(weft_congestion_init(&c, &(weft_congestion_opts){.high = 2, .low = 1, .rise = -1}), WEFT_EINVAL);
	T_EQ(weft_congestion_init(&c, &(weft_congestion_opts){.high = 2, .low = 1, .fall = -1}), WEFT_EINVAL);
	T_EQ(weft_congestion_init(&c, &(weft_congestion_opts){.high = 2, .low = 1, .ahead = -1}), WEFT_EINVAL);
	T_EQ(weft_congestion_init(&c, &(weft_congestion_opts){.high = 80, .low = 20, .rise = 10, .fall = 100}), 0);
	T_OK(!weft_congested(&c));
	T_EQ(weft_congestion_see(&c, 80, t), 0);
	T_EQ(weft_congestion_see(&c, 80, t + 9), 0);
	T_EQ(weft_congestion_see(&c, 79, t + 9), 0); /* it begins anew */
	T_EQ(weft_congestion_see(&c, 90, t + 10), 0);
	T_EQ(weft_congestion_see(&c, 90, t + 19), 0);
	T_EQ(weft_congestion_see(&c, 80, t + 20), 1);
	T_OK(weft_congested(&c));
	T_EQ(weft_congestion_see(&c, 21, t + 500), 0); /* in between */
	T_EQ(weft_congestion_see(&c, 20, t + 501), 0);
	T_EQ(weft_congestion_see(&c, 50, t + 550), 0);
	T_EQ(weft_congestion_see(&c, 5, t + 560), 0);
	T_EQ(weft_congestion_see(&c, 5, t + 659), 0);
	T_EQ(weft_congestion_see(&c, 5, t + 660), -1);
	T_OK(!weft_congested(&c));
	T_EQ(weft_congestion_see(&c, 50, t + 700), 0);
	T_EQ(weft_congestion_init(&c, &(weft_congestion_opts){.high = 2, .low = 1}), 0); /* no hold times: at once */
	T_EQ(weft_congestion_see(&c, 2, 1), 1);
	T_EQ(weft_congestion_see(&c, 1, 1), -1);
}

/* With the forecast it begins earlier, and ends as without. */
TEST(congestion_seen_coming)
{
	weft_congestion now, soon;
	int64_t t = WEFT_SEC, first_now = 0, first_soon = 0;

	T_EQ(weft_congestion_init(&now, &(weft_congestion_opts){.high = 100, .low = 20}), 0);
	T_EQ(weft_congestion_init(&soon, &(weft_congestion_opts){.high = 100, .low = 20, .ahead = 30 * WEFT_MS}), 0);
	for (int64_t level = 0; level <= 120; level++, t += WEFT_MS) {
		if (weft_congestion_see(&now, level, t) == 1)
			first_now = level;
		if (weft_congestion_see(&soon, level, t) == 1)
			first_soon = level;
	}
	T_EQ(first_now, 100);
	T_OK(first_soon >= 65 && first_soon <= 80);
	for (int64_t level = 120; level > 20; level--, t += WEFT_MS) {
		T_EQ(weft_congestion_see(&now, level, t), 0);
		T_EQ(weft_congestion_see(&soon, level, t), 0);
	}
	T_EQ(weft_congestion_see(&now, 20, t), -1);
	T_EQ(weft_congestion_see(&soon, 20, t), -1);
	for (int i = 0; i < 50; i++)
		T_EQ(weft_congestion_see(&soon, 20, t += WEFT_MS), 0); /* not above low: nothing to fear */
}

struct until_clear {
	weft_congestion c;
	int64_t deadline;
};

static int waits_until_clear(void *arg)
{
	struct until_clear *u = arg;

	return u->deadline == WEFT_FOREVER ? weft_congestion_wait(&u->c) : weft_congestion_wait_until(&u->c, u->deadline);
}

static int wait_main(void *arg)
{
	struct until_clear u = {.deadline = WEFT_FOREVER};
	weft_task *t[5];

	(void)arg;
	time_fake();
	T_EQ(weft_congestion_init(&u.c, &(weft_congestion_opts){.high = 2, .low = 1}), 0);
	T_EQ(weft_congestion_wait(&u.c), 0);
	T_EQ(weft_congestion_see(&u.c, 5, weft_now()), 1);
	T_EQ(weft_congestion_wait_until(&u.c, WEFT_NOW), WEFT_EAGAIN);
	for (int i = 0; i < 4; i++) {
		t[i] = start(waits_until_clear, &u);
		until_reason(t[i], "event");
	}
	T_EQ(weft_task_cancel(t[0]), 0);
	T_EQ(finish(t[0]), WEFT_ECANCELED);
	u.deadline = weft_now() + WEFT_MS;
	t[4] = start(waits_until_clear, &u);
	until_reason(t[4], "event");
	time_move(WEFT_MS);
	T_EQ(finish(t[4]), WEFT_ETIMEDOUT);
	T_EQ(weft_congestion_see(&u.c, 1, weft_now()), -1);
	for (int i = 1; i < 4; i++)
		T_EQ(finish(t[i]), 0);
	time_real();
	return 0;
}

TEST_WORKERS(waiting_for_the_end_of_a_congestion)
{
	run(wait_main, NULL);
}
