/* SPDX-License-Identifier: MIT
 *
 * together.c - one run for all who ask (flight), so many a second (limiter), made once and used again (object pool).
 */
#include "rt.h"

#include "weft/defer.h"
#include "weft/flight.h"
#include "weft/limiter.h"
#include "weft/opool.h"
#include <pthread.h>
#include <stdlib.h>

/* --- flight --- */

struct asking {
	weft_flight *fl;
	const char *key;
	ATOMIC(int) *runs;
	weft_future_fn *fn;
	int out;
	int64_t deadline;
	weft_chan *gate; /* fn waits for it to be closed */
};

static int answers(void *arg, void *out)
{
	struct asking *a = arg;
	int rc = a->gate ? weft_chan_recv(a->gate, NULL) : WEFT_ECLOSED;

	*(int *)out = 40 + add_relaxed(a->runs, 1);
	return rc == WEFT_ECLOSED ? 0 : rc;
}

static int asks(void *arg)
{
	struct asking *a = arg;

	a->out = -1;
	return weft_flight_do_until(a->fl, a->key, a->fn, a, &a->out, a->deadline);
}

static int shared_main(void *arg)
{
	enum { N = 20 };
	weft_flight *fl = weft_flight_make(sizeof(int));
	ATOMIC(int) runs = 0;
	struct asking a[N];
	weft_task *t[N];

	(void)arg;
	for (int round = 0; round < 3; round++) {
		weft_chan *gate = weft_chan_make(0, 0);

		for (int i = 0; i < N; i++) {
			a[i] = (struct asking){fl, "one", &runs, answers, 0, WEFT_FOREVER, gate};
			t[i] = start(asks, &a[i]);
			until_reason(t[i], i ? "future" : "chan receive");
		}
		T_EQ(weft_flight_do_until(fl, "one", answers, &a[0], NULL, WEFT_NOW), WEFT_EAGAIN);
		T_EQ(weft_flight_do_until(fl, "one", answers, &a[0], NULL, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
		T_EQ(weft_task_cancel(t[N - 1]), 0);
		T_EQ(finish(t[N - 1]), WEFT_ECANCELED);
		T_EQ(weft_chan_close(gate), 0);
		for (int i = 0; i < N - 1; i++) {
			T_EQ(finish(t[i]), 0);
			T_EQ(a[i].out, 40 + round);
		}
		weft_chan_free(gate);
	}
	T_EQ(load_relaxed(&runs), 3); /* nobody is kept: the next asks anew */
	weft_flight_free(fl);
	return 0;
}

TEST_WORKERS(flight_one_run_for_all)
{
	run(shared_main, NULL);
}

static int flight_fails(void *arg, void *out)
{
	(void)arg;
	(void)out;
	return WEFT_EPIPE;
}

static int flight_positive(void *arg, void *out)
{
	(void)arg;
	(void)out;
	return 1;
}

static int flight_again(void *arg, void *out)
{
	struct asking *a = arg;

	T_EQ(weft_flight_do(a->fl, a->key, a->fn, a, out), WEFT_EDEADLK);
	return weft_flight_do(a->fl, "another", flight_fails, a, out);
}

static int forget_main(void *arg)
{
	weft_flight *fl = weft_flight_make(sizeof(int));
	weft_chan *gate = weft_chan_make(0, 0);
	ATOMIC(int) runs = 0;
	struct asking a = {fl, "one", &runs, answers, 0, WEFT_FOREVER, gate}, b = a;
	weft_task *t = start(asks, &a);
	int out = -1;

	(void)arg;
	until_reason(t, "chan receive");
	T_EQ(weft_flight_forget(fl, "two"), WEFT_ENOENT);
	T_EQ(weft_flight_forget(fl, "one"), 0);
	T_EQ(weft_flight_forget(fl, "one"), WEFT_ENOENT);
	T_EQ(weft_flight_forget(NULL, "one"), WEFT_EINVAL);
	T_EQ(weft_flight_forget(fl, NULL), WEFT_EINVAL);
	b.gate = NULL;
	T_EQ(asks(&b), 0); /* its own run */
	T_EQ(b.out, 40);
	T_EQ(weft_chan_close(gate), 0);
	T_EQ(finish(t), 0);
	T_EQ(a.out, 41);
	T_EQ(weft_flight_do(fl, "one", flight_fails, NULL, &out), WEFT_EPIPE);
	T_EQ(weft_flight_do(fl, "one", flight_positive, NULL, &out), WEFT_EINVAL);
	T_EQ(out, -1);
	a.fn = flight_again;
	T_EQ(weft_flight_do(fl, "one", flight_again, &a, &out), WEFT_EPIPE);
	T_EQ(weft_flight_do(NULL, "one", answers, &a, NULL), WEFT_EINVAL);
	T_EQ(weft_flight_do(fl, NULL, answers, &a, NULL), WEFT_EINVAL);
	T_EQ(weft_flight_do(fl, "one", NULL, &a, NULL), WEFT_EINVAL);
	T_EQ(weft_flight_make(65536), NULL);
	weft_flight_free(weft_flight_ref(fl));
	weft_flight_free(fl);
	weft_flight_free(NULL);
	weft_chan_free(gate);
	return 0;
}

TEST_WORKERS(flight_forget_and_errors)
{
	run(forget_main, NULL);
}

static int flight_exits(void *arg, void *out)
{
	struct asking *a = arg;

	(void)out;
	T_EQ(weft_chan_recv(a->gate, NULL), WEFT_ECLOSED);
	weft_task_exit(5);
}

static int broken_main(void *arg)
{
	weft_flight *fl = weft_flight_make(sizeof(int));
	weft_chan *gate = weft_chan_make(0, 0);
	ATOMIC(int) runs = 0;
	struct asking a = {fl, "one", &runs, flight_exits, 0, WEFT_FOREVER, gate}, b = a;
	weft_task *t = start(asks, &a), *u;

	(void)arg;
	until_reason(t, "chan receive");
	u = start(asks, &b);
	until_reason(u, "future");
	T_EQ(weft_chan_close(gate), 0);
	T_EQ(finish(t), 5);
	T_EQ(finish(u), WEFT_EBROKEN);
	a.fn = answers; /* it is not under way any more */
	T_EQ(asks(&a), 0);
	weft_flight_free(fl);
	weft_chan_free(gate);
	return 0;
}

/* Whose task ends in the middle leaves the others an error, and the key free. */
TEST_WORKERS(flight_broken)
{
	run(broken_main, NULL);
}

static int flight_cancelled(void *arg)
{
	struct asking *a = arg;

	until(weft_ctx_check() != 0);
	return asks(a);
}

static int not_begun_main(void *arg)
{
	weft_flight *fl = weft_flight_make(sizeof(int));
	ATOMIC(int) runs = 0;
	struct asking a = {fl, "one", &runs, answers, 0, WEFT_FOREVER, NULL};
	weft_task *t = start(flight_cancelled, &a);

	(void)arg;
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(load_relaxed(&runs), 0);
	weft_flight_free(fl);
	return 0;
}

TEST_WORKERS(flight_of_a_cancelled_task)
{
	run(not_begun_main, NULL);
}

static void *thread_asks(void *arg)
{
	T_EQ(asks(arg), 0);
	return NULL;
}

static const char *const keys[] = {"a", "b", "c", "d", "e"};

static int asks_many(void *arg)
{
	struct asking a = *(struct asking *)arg;

	for (long i = 0; i < tap_iters(2000); i++) {
		a.key = keys[i % 5];
		T_EQ(asks(&a), 0);
		T_GE(a.out, 40);
		if (i % 7 == 0)
			(void)weft_flight_forget(a.fl, keys[(i + 1) % 5]);
	}
	return 0;
}

static int yields_and_answers(void *arg, void *out)
{
	weft_task_yield();
	return answers(arg, out);
}

static int stampede_main(void *arg)
{
	weft_flight *fl = weft_flight_make(sizeof(int));
	ATOMIC(int) runs = 0;
	struct asking a = {fl, "x", &runs, yields_and_answers, 0, WEFT_FOREVER, NULL}, b = a;
	weft_task *t[8];
	pthread_t th;

	(void)arg;
	for (int i = 0; i < 8; i++)
		t[i] = start(asks_many, &a);
	T_EQ(pthread_create(&th, NULL, thread_asks, &b), 0);
	for (int i = 0; i < 8; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(pthread_join(th, NULL), 0);
	weft_flight_free(fl);
	return 0;
}

TEST_WORKERS(flight_stampede)
{
	run(stampede_main, NULL);
}

/* --- limiter --- */

static int limiter_laws_main(void *arg)
{
	weft_limiter *l;
	int64_t now;

	(void)arg;
	time_fake();
	l = weft_limiter_make(10, WEFT_SEC, 3);
	now = weft_now();
	T_EQ(weft_limiter_try(l, 0), WEFT_EINVAL);
	T_EQ(weft_limiter_try(l, 4), WEFT_EINVAL);
	T_EQ(weft_limiter_wait(NULL, 1), WEFT_EINVAL);
	T_EQ(weft_limiter_reserve(NULL, 1), WEFT_EINVAL);
	T_EQ(weft_limiter_reserve(l, 4), WEFT_EINVAL);
	T_EQ(weft_limiter_wait(l, 2), 0); /* it begins full */
	T_EQ(weft_limiter_try(l, 2), WEFT_EAGAIN);
	T_EQ(weft_limiter_try(l, 1), 0);
	T_EQ(weft_limiter_try(l, 1), WEFT_EAGAIN);
	time_move(100 * WEFT_MS - 1);
	T_EQ(weft_limiter_try(l, 1), WEFT_EAGAIN);
	time_move(1);
	T_EQ(weft_limiter_try(l, 1), 0);
	T_EQ(weft_limiter_wait_until(l, 1, weft_now() + 100 * WEFT_MS - 1), WEFT_ETIMEDOUT); /* at once: it would be too late */
	T_EQ(weft_now(), now + 100 * WEFT_MS);
	T_EQ(weft_limiter_wait_until(l, 1, weft_now() - 5), WEFT_ETIMEDOUT);
	time_move(10 * WEFT_SEC); /* not more than full */
	T_EQ(weft_limiter_try(l, 3), 0);
	T_EQ(weft_limiter_try(l, 1), WEFT_EAGAIN);
	now = weft_now();
	T_EQ(weft_limiter_reserve(l, 1), now + 100 * WEFT_MS); /* in debt */
	T_EQ(weft_limiter_reserve(l, 3), now + 400 * WEFT_MS);
	time_move(400 * WEFT_MS);
	T_EQ(weft_limiter_try(l, 1), WEFT_EAGAIN);
	time_move(100 * WEFT_MS);
	T_EQ(weft_limiter_try(l, 1), 0);
	time_move(WEFT_SEC);
	T_EQ(weft_limiter_reserve(l, 1), weft_now());
	weft_limiter_free(weft_limiter_ref(l));
	weft_limiter_free(l);
	weft_limiter_free(NULL);
	T_EQ(weft_limiter_make(0, 1, 1), NULL);
	T_EQ(weft_limiter_make(1, 0, 1), NULL);
	T_EQ(weft_limiter_make(1, 1, 0), NULL);
	T_EQ(weft_limiter_make(1, INT64_MAX, 2), NULL);
	time_real();
	return 0;
}

TEST_WORKERS(limiter_laws)
{
	run(limiter_laws_main, NULL);
}

static int exact_main(void *arg)
{
	weft_limiter *l;
	int64_t from;
	int got = 0;

	(void)arg;
	time_fake();
	l = weft_limiter_make(3, WEFT_SEC, 2); /* a third of a second: no whole number of nanoseconds */
	from = weft_now();
	T_EQ(weft_limiter_try(l, 2), 0);
	for (int i = 1; i <= 3000; i++) {
		int64_t due = from + (i * WEFT_SEC + 2) / 3;

		time_move(due - 1 - weft_now());
		T_EQ(weft_limiter_try(l, 1), WEFT_EAGAIN);
		time_move(1);
		got += weft_limiter_try(l, 1) == 0;
	}
	T_EQ(got, 3000); /* a thousand seconds later it is still right to the nanosecond */
	weft_limiter_free(l);
	time_real();
	return 0;
}

TEST(limiter_loses_nothing_to_rounding)
{
	T_EQ(run_with(exact_main, NULL, (weft_opts){.workers = 1}), 0);
}

struct queueing {
	weft_limiter *l;
	int64_t n;
	int64_t at;
};

static int queues(void *arg)
{
	struct queueing *q = arg;
	int rc = weft_limiter_wait(q->l, q->n);

	q->at = weft_now();
	return rc;
}

static int fifo_main(void *arg)
{
	enum { N = 5 };
	struct queueing q[N];
	weft_limiter *l;
	weft_task *t[N];
	int64_t from;

	(void)arg;
	time_fake();
	l = weft_limiter_make(1, WEFT_SEC, 4);
	from = weft_now();
	T_EQ(weft_limiter_wait(l, 4), 0);
	for (int i = 0; i < N; i++) { /* a big one is not overtaken */
		q[i] = (struct queueing){l, i == 1 ? 4 : 1, 0};
		t[i] = start(queues, &q[i]);
		until_reason(t[i], "sleep");
	}
	T_EQ(weft_limiter_try(l, 1), WEFT_EAGAIN);
	T_EQ(weft_task_cancel(t[4]), 0); /* the last: its token is there again */
	T_EQ(finish(t[4]), WEFT_ECANCELED);
	T_EQ(weft_limiter_reserve(l, 1), from + 8 * WEFT_SEC);
	T_EQ(weft_task_cancel(t[2]), 0); /* others have come after it: theirs stay as they were told */
	T_EQ(finish(t[2]), WEFT_ECANCELED);
	T_EQ(weft_limiter_reserve(l, 1), from + 9 * WEFT_SEC);
	for (int s = 1; s <= 7; s++) {
		time_move(WEFT_SEC);
		if (s == 1)
			T_EQ(finish(t[0]), 0);
		if (s == 5)
			T_EQ(finish(t[1]), 0);
		if (s == 7)
			T_EQ(finish(t[3]), 0);
		if (s < 7)
			T_EQ(weft_task_stateof(t[3]), WEFT_TASK_PARKED);
	}
	T_EQ(q[0].at, from + 1 * WEFT_SEC);
	T_EQ(q[1].at, from + 5 * WEFT_SEC);
	T_EQ(q[3].at, from + 7 * WEFT_SEC);
	weft_limiter_free(l);
	time_real();
	return 0;
}

TEST_WORKERS(limiter_serves_in_order)
{
	run(fifo_main, NULL);
}

static int bounded_main(void *arg)
{
	weft_limiter *l;
	weft_ctx *c, *up;

	(void)arg;
	time_fake();
	l = weft_limiter_make(1, WEFT_SEC, 1);
	T_EQ(weft_limiter_try(l, 1), 0);
	c = weft_ctx_with_deadline(NULL, weft_in(WEFT_SEC / 2));
	up = weft_ctx_enter(c);
	T_EQ(weft_limiter_wait(l, 1), WEFT_ETIMEDOUT); /* the context's deadline bounds it */
	weft_ctx_leave(up);
	weft_ctx_free(c);
	c = weft_ctx_make(NULL);
	T_EQ(weft_ctx_cancel(c, WEFT_REASON_CANCELED), 0);
	time_move(WEFT_SEC);
	up = weft_ctx_enter(c);
	T_EQ(weft_limiter_try(l, 1), WEFT_ECANCELED);
	weft_ctx_leave(up);
	weft_ctx_free(c);
	T_EQ(weft_limiter_try(l, 1), 0); /* nothing was taken */
	weft_limiter_free(l);
	time_real();
	return 0;
}

TEST_WORKERS(limiter_under_a_context)
{
	run(bounded_main, NULL);
}

static void *limited_thread(void *arg)
{
	T_EQ(weft_limiter_wait(arg, 1), 0);
	return NULL;
}

TEST(limiter_of_a_thread)
{
	weft_limiter *l = weft_limiter_make(1, WEFT_MS, 1);
	pthread_t th;

	for (int i = 0; i < 3; i++) {
		T_EQ(pthread_create(&th, NULL, limited_thread, l), 0);
		T_EQ(pthread_join(th, NULL), 0);
	}
	weft_limiter_free(l);
}

/* --- object pool --- */

struct counts {
	ATOMIC(int) made, gone;
	int most; /* to be made */
};

static void *make(void *arg)
{
	struct counts *c = arg;

	return add_relaxed(&c->made, 1) < c->most ? calloc(1, sizeof(long)) : NULL;
}

static void gone(void *object, void *arg)
{
	struct counts *c = arg;

	add_relaxed(&c->gone, 1);
	free(object);
}

static int opool_main(void *arg)
{
	struct counts c = {.most = 4};
	weft_opool *p = (weft_opool *)&c;
	void *o[4];

	(void)arg;
	T_EQ(weft_opool_make(NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_opool_make(&p, NULL), WEFT_EINVAL);
	T_EQ(p, NULL);
	T_EQ(weft_opool_make(&p, &(weft_opool_opts){.max_idle = 3}), WEFT_EINVAL);
	T_EQ(weft_opool_make(&p, &(weft_opool_opts){.make = make, .max_idle = SIZE_MAX}), WEFT_EINVAL);
	T_EQ(weft_opool_make(&p, &(weft_opool_opts){.make = make, .destroy = gone, .arg = &c, .max_idle = 3}), 0);
	T_EQ(weft_opool_idle(p), 0);
	for (int i = 0; i < 4; i++) {
		o[i] = weft_opool_get(p);
		T_OK(o[i]);
	}
	T_EQ(weft_opool_get(p), NULL); /* make says so */
	weft_opool_put(p, NULL);
	T_EQ(weft_opool_idle(p), 0);
	for (int i = 0; i < 4; i++)
		weft_opool_put(p, o[i]);
	T_EQ(weft_opool_idle(p), 3);
	T_EQ(load_relaxed(&c.gone), 1); /* more than may be kept */
	for (int i = 2; i >= 0; i--) {
		T_EQ(weft_opool_get(p), o[i]); /* the one put last */
	}
	for (int i = 0; i < 3; i++)
		weft_opool_put(p, o[i]);
	weft_opool_trim(p, 2);
	T_EQ(load_relaxed(&c.gone), 2);
	T_EQ(weft_opool_idle(p), 2);
	T_EQ(load_relaxed(&c.made), 5);
	weft_opool_free(weft_opool_ref(p));
	T_EQ(load_relaxed(&c.gone), 2);
	weft_opool_free(p);
	T_EQ(load_relaxed(&c.gone), 4);
	weft_opool_free(NULL);
	T_EQ(weft_opool_get(NULL), NULL);
	T_EQ(weft_opool_make(&p, &(weft_opool_opts){.make = make, .arg = &c}), 0); /* no destroy: nothing to do */
	weft_opool_put(p, &c);
	weft_opool_free(p);
	return 0;
}

TEST_WORKERS(opool_laws)
{
	run(opool_main, NULL);
}

static int uses(void *arg)
{
	long n = tap_iters(20000);

	for (long i = 0; i < n; i++) {
		long *o = weft_opool_get(arg);

		T_EQ((*o)++ % 2, 0); /* nobody else has it */
		if (i % 16 == 0)
			weft_task_yield();
		(*o)++;
		weft_opool_put(arg, o);
	}
	return 0;
}

static int opool_crowd_main(void *arg)
{
	struct counts c = {.most = INT32_MAX};
	weft_opool *p;
	weft_task *t[8];

	(void)arg;
	T_EQ(weft_opool_make(&p, &(weft_opool_opts){.make = make, .destroy = gone, .arg = &c, .max_idle = 4}), 0);
	for (int i = 0; i < 8; i++)
		t[i] = start(uses, p);
	for (int i = 0; i < 8; i++)
		finish(t[i]);
	T_LE(weft_opool_idle(p), 4);
	weft_opool_free(p);
	T_EQ(load_relaxed(&c.made), load_relaxed(&c.gone));
	return 0;
}

TEST_WORKERS(opool_all_at_once)
{
	run(opool_crowd_main, NULL);
}

static int extremes_main(void *arg)
{
	weft_limiter *l = weft_limiter_make(INT64_MAX, WEFT_SEC, INT64_MAX);

	(void)arg;
	time_fake();
	T_OK(l);
	for (int i = 0; i < 5; i++)
		T_GE(weft_limiter_reserve(l, INT64_MAX - 1), weft_now());
	T_GE(weft_limiter_reserve(l, 1), weft_in(3 * WEFT_SEC));
	weft_limiter_free(l);
	time_real();
	return 0;
}

/* As good as no limit: the sums do not fit into 64 bits. */
TEST(limiter_of_everything)
{
	run(extremes_main, NULL);
}
