/* SPDX-License-Identifier: MIT
 *
 * bulkhead.c - bulkheads and adaptive limits: never more in than may be, never more in line, nobody forgotten, and all of it counted.
 */
#include "rt.h"

#include "base/rand.h"
#include "weft/bulkhead.h"
#include "weft/defer.h"
#include "weft/limit.h"
#include "weft/scope.h"
#include <pthread.h>

static weft_bulkhead *make(int max, weft_line_opts line)
{
	weft_bulkhead *b;

	T_EQ(weft_bulkhead_make(&b, &(weft_bulkhead_opts){.max = max, .line = line}), 0);
	return b;
}

static weft_bulkhead_stats stats(weft_bulkhead *b)
{
	weft_bulkhead_stats s;

	weft_bulkhead_stat(b, &s);
	return s;
}

static int enters(void *b)
{
	return weft_bulkhead_enter(b);
}

static int never(void *arg)
{
	(void)arg;
	T_FAIL("this was called");
}

static int errors_main(void *arg)
{
	static const weft_bulkhead_opts bad[] = {
		{.max = 0},
		{.max = -1},
		{.max = 1, .line.max = -2},
		{.max = 1, .line.longest = -1},
		{.max = 1, .line.target = 1},
		{.max = 1, .line.interval = 1},
		{.max = 1, .line = {.target = -1, .interval = 1}},
	};
	weft_bulkhead *b = (void *)&bad;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		T_EQ(weft_bulkhead_make(&b, &bad[i]), WEFT_EINVAL);
		T_EQ(b, NULL);
	}
	T_EQ(weft_bulkhead_make(&b, NULL), WEFT_EINVAL);
	T_EQ(weft_bulkhead_make(NULL, &(weft_bulkhead_opts){.max = 1}), WEFT_EINVAL);
	T_EQ(weft_bulkhead_enter(NULL), WEFT_EINVAL);
	T_EQ(weft_bulkhead_enter_until(NULL, WEFT_NOW), WEFT_EINVAL);
	T_EQ(weft_bulkhead_tryenter(NULL), WEFT_EINVAL);
	T_EQ(weft_bulkhead_call(NULL, never, NULL), WEFT_EINVAL);
	T_EQ(weft_bulkhead_resize(NULL, 1), WEFT_EINVAL);
	b = make(2, (weft_line_opts){.max = 0});
	T_EQ(weft_bulkhead_call(b, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_bulkhead_resize(b, 0), WEFT_EINVAL);
	T_EQ(weft_bulkhead_enter(b), 0);
	T_EQ(weft_bulkhead_tryenter(b), 0);
	T_EQ(weft_bulkhead_tryenter(b), WEFT_EAGAIN);
	T_EQ(weft_bulkhead_enter(b), WEFT_EOVERLOAD); /* nobody may wait */
	T_EQ(weft_bulkhead_call(b, never, NULL), WEFT_EOVERLOAD);
	T_EQ(stats(b).in, 2);
	T_EQ(stats(b).full, 3);
	T_EQ(stats(b).admitted, 2);
	weft_bulkhead_leave(b);
	T_EQ(weft_bulkhead_enter(b), 0);
	weft_bulkhead_leave(b);
	weft_bulkhead_leave(b);
	weft_bulkhead_free(weft_bulkhead_ref(b));
	T_STR_HAS(weft_strerror(WEFT_EOVERLOAD), "overloaded");
	weft_bulkhead_free(b);
	weft_bulkhead_free(NULL);
	return 0;
}

TEST_WORKERS(errors_are_told)
{
	run(errors_main, NULL);
}

static int line_main(void *arg)
{
	weft_bulkhead *b = make(1, (weft_line_opts){.max = 2});
	weft_task *t[2], *u;

	(void)arg;
	T_EQ(weft_bulkhead_enter(b), 0);
	for (int i = 0; i < 2; i++) {
		t[i] = start(enters, b);
		until_reason(t[i], "admission");
	}
	T_EQ(weft_bulkhead_enter(b), WEFT_EOVERLOAD); /* two wait */
	T_EQ(stats(b).waiting, 2);
	weft_bulkhead_leave(b);
	T_EQ(stats(b).waiting, 1); /* it is in, even if it has not run yet */
	T_EQ(stats(b).in, 1);
	T_EQ(weft_bulkhead_tryenter(b), WEFT_EAGAIN);
	u = start(enters, b);
	until_reason(u, "admission"); /* there was room in line */
	T_EQ(finish(t[0]), 0);        /* in order */
	weft_bulkhead_leave(b);
	T_EQ(finish(t[1]), 0);
	weft_bulkhead_leave(b);
	T_EQ(finish(u), 0);
	weft_bulkhead_leave(b);
	T_EQ(stats(b).in, 0);
	T_EQ(stats(b).waiting, 0);
	T_EQ(stats(b).most_in, 1);
	T_EQ(stats(b).most_waiting, 2);
	T_EQ(stats(b).admitted, 4);
	T_EQ(stats(b).waited, 3);
	T_EQ(stats(b).full, 2);
	weft_bulkhead_free(b);
	return 0;
}

TEST_WORKERS(so_many_wait_in_order)
{
	run(line_main, NULL);
}

struct until_what {
	weft_bulkhead *b;
	int64_t deadline;
};

static int enters_until(void *arg)
{
	struct until_what *u = arg;

	return weft_bulkhead_enter_until(u->b, u->deadline);
}

static int ways_out_main(void *arg)
{
	weft_bulkhead *b;
	struct until_what u;
	weft_task *t;

	(void)arg;
	time_fake();
	b = make(1, (weft_line_opts){.max = -1, .longest = 10 * WEFT_MS});
	T_EQ(weft_bulkhead_enter(b), 0);
	u = (struct until_what){b, weft_now() + 4 * WEFT_MS};
	T_EQ(weft_bulkhead_enter_until(b, weft_now() - 1), WEFT_ETIMEDOUT);
	T_EQ(weft_bulkhead_call_until(b, never, NULL, weft_now() - 1), WEFT_ETIMEDOUT);
	t = start(enters_until, &u);
	until_reason(t, "admission");
	time_move(4 * WEFT_MS);
	T_EQ(finish(t), WEFT_ETIMEDOUT); /* its own deadline */
	u.deadline = weft_now() + 30 * WEFT_MS;
	t = start(enters_until, &u);
	until_reason(t, "admission");
	time_move(10 * WEFT_MS);
	T_EQ(finish(t), WEFT_EOVERLOAD); /* as long as one may */
	t = start(enters, b);
	until_reason(t, "admission");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(stats(b).waiting, 0);
	T_EQ(stats(b).late, 4);
	T_EQ(stats(b).gone, 1);
	weft_bulkhead_leave(b);
	T_EQ(weft_bulkhead_tryenter(b), 0); /* nothing was lost with them */
	WEFT_WITH_TIMEOUT (WEFT_MS) {
		t = start(enters, b); /* under this context */
		until_reason(t, "admission");
		time_move(WEFT_MS);
	}
	T_EQ(finish(t), WEFT_ETIMEDOUT);
	weft_bulkhead_leave(b);
	weft_bulkhead_free(b);
	time_real();
	return 0;
}

TEST_WORKERS(waiting_ends_as_all_waiting_does)
{
	run(ways_out_main, NULL);
}

static int is_cancelled(void *b)
{
	until(weft_ctx_check() != 0);
	T_EQ(weft_bulkhead_enter(b), WEFT_ECANCELED);
	return weft_bulkhead_call(b, never, NULL);
}

static int cancelled_main(void *arg)
{
	weft_bulkhead *b = make(1, (weft_line_opts){.max = 1});
	weft_task *t = start(is_cancelled, b);

	(void)arg;
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(stats(b).admitted, 0);
	weft_bulkhead_free(b);
	return 0;
}

TEST_WORKERS(cancelled_before)
{
	run(cancelled_main, NULL);
}

static int codel_main(void *arg)
{
	weft_bulkhead *b;
	weft_task *first, *second;

	(void)arg;
	time_fake();
	b = make(1, (weft_line_opts){.max = -1, .target = 5 * WEFT_MS, .interval = 100 * WEFT_MS});
	T_EQ(weft_bulkhead_enter(b), 0);
	first = start(enters, b); /* a burst waits as long as it takes */
	until_reason(first, "admission");
	time_move(101 * WEFT_MS);
	second = start(enters, b); /* the line has stood too long */
	until_reason(second, "admission");
	time_move(5 * WEFT_MS);
	T_EQ(finish(second), WEFT_EOVERLOAD);
	T_EQ(stats(b).waiting, 1);
	weft_bulkhead_leave(b);
	T_EQ(finish(first), 0);
	first = start(enters, b); /* a new line */
	until_reason(first, "admission");
	time_move(100 * WEFT_MS);
	T_EQ(stats(b).waiting, 1);
	weft_bulkhead_leave(b);
	T_EQ(finish(first), 0);
	T_EQ(stats(b).waited_ns, 206 * WEFT_MS);
	weft_bulkhead_leave(b);
	weft_bulkhead_free(b);
	time_real();
	return 0;
}

TEST_WORKERS(a_line_that_stands_is_cut_short)
{
	run(codel_main, NULL);
}

static int resize_main(void *arg)
{
	weft_bulkhead *b = make(2, (weft_line_opts){.max = -1});
	weft_task *t[3];

	(void)arg;
	T_EQ(weft_bulkhead_enter(b), 0);
	T_EQ(weft_bulkhead_enter(b), 0);
	for (int i = 0; i < 3; i++) {
		t[i] = start(enters, b);
		until_reason(t[i], "admission");
	}
	T_EQ(weft_bulkhead_resize(b, 4), 0);
	T_EQ(finish(t[0]), 0);
	T_EQ(finish(t[1]), 0);
	T_EQ(weft_bulkhead_resize(b, 1), 0);
	T_EQ(stats(b).in, 4);
	T_EQ(stats(b).max, 1);
	for (int i = 0; i < 3; i++) {
		T_EQ(stats(b).waiting, 1);
		weft_bulkhead_leave(b);
	}
	T_EQ(stats(b).waiting, 1);
	weft_bulkhead_leave(b);
	T_EQ(finish(t[2]), 0);
	T_EQ(weft_bulkhead_tryenter(b), WEFT_EAGAIN);
	weft_bulkhead_leave(b);
	weft_bulkhead_free(b);
	return 0;
}

TEST_WORKERS(resized)
{
	run(resize_main, NULL);
}

static int abandons(void *b)
{
	T_EQ(weft_bulkhead_enter(b), 0);
	for (int i = 0; i < 2; i++) {
		weft_task *t = start(enters, b);

		until_reason(t, "admission");
		weft_task_detach(t);
	}
	T_EQ(stats(b).waiting, 2);
	return 0;
}

static int comes_later(void *b)
{
	weft_task *t[2];

	T_EQ(stats(b).waiting, 0);
	T_EQ(weft_bulkhead_enter(b), 0);
	for (int i = 0; i < 2; i++) {
		t[i] = start(enters, b);
		until_reason(t[i], "admission");
	}
	T_EQ(weft_bulkhead_enter(b), WEFT_EOVERLOAD);
	for (int i = 0; i < 2; i++) {
		weft_bulkhead_leave(b);
		T_EQ(finish(t[i]), 0);
	}
	weft_bulkhead_leave(b);
	return 0;
}

/* It outlives the runtime, and tasks that stood in line when that went down. */
TEST_WORKERS(one_runtime_after_another)
{
	weft_bulkhead *b = make(1, (weft_line_opts){.max = 2});

	ends_with_main();
	run(abandons, b);
	weft_bulkhead_leave(b);
	T_EQ(stats(b).in, 0);
	run(comes_later, b);
	weft_bulkhead_free(b);
}

/* --- call --- */

static int five(void *b)
{
	T_EQ(stats(b).in, 1);
	return 5;
}

static int panics(void *arg)
{
	(void)arg;
	weft_task_panic("in the bulkhead");
}

static int exits(void *arg)
{
	(void)arg;
	weft_task_exit(3);
}

static int calls_and_exits(void *b)
{
	return weft_bulkhead_call(b, exits, NULL);
}

static int calls_and_panics(void *b)
{
	return weft_bulkhead_call(b, panics, NULL);
}

static int call_main(void *arg)
{
	weft_bulkhead *b = make(1, (weft_line_opts){.max = 0});
	weft_panic p;

	(void)arg;
	T_EQ(weft_bulkhead_call(b, five, b), 5);
	T_EQ(stats(b).in, 0);
	T_EQ(finish(start(calls_and_exits, b)), 3);
	T_EQ(stats(b).in, 0);
	T_EQ(weft_task_try(calls_and_panics, b, &p), WEFT_EPANIC);
	T_EQ(stats(b).in, 0);
	weft_bulkhead_free(b);
	return 0;
}

TEST_WORKERS(a_call_leaves_in_any_case)
{
	run(call_main, NULL);
}

TEST_DIES(one_leave_too_many, "nobody is in bulkhead")
{
	weft_bulkhead *b = make(1, (weft_line_opts){.max = 0});

	weft_bulkhead_leave(b);
}

static int freed_main(void *arg)
{
	weft_bulkhead *b = make(1, (weft_line_opts){.max = 1});

	(void)arg;
	T_EQ(weft_bulkhead_enter(b), 0);
	until_reason(start(enters, b), "admission");
	weft_bulkhead_free(b);
	return 0;
}

TEST_DIES(freed_while_somebody_waits, "weft_bulkhead_free")
{
	run(freed_main, NULL);
}

/* --- many --- */

struct crowd {
	weft_bulkhead *b;
	weft_limit *l;
	ATOMIC(int) in, passed, away;
	int max;
	uint64_t seed;
};

struct one {
	struct crowd *k;
	uint64_t seed;
	weft_task *self;
};

static void comes_and_goes(struct crowd *k, struct rng *r)
{
	int64_t deadline = rng_below(r, 4) ? WEFT_FOREVER : rng_below(r, 2) ? WEFT_NOW : weft_in(rng_below(r, 50) * WEFT_US);
	int rc = weft_bulkhead_enter_until(k->b, deadline);

	if (rc) {
		T_OK(rc == WEFT_EAGAIN || rc == WEFT_ETIMEDOUT || rc == WEFT_EOVERLOAD || rc == WEFT_ECANCELED);
		add_relaxed(&k->away, 1);
		return;
	}
	T_LE(add_relaxed(&k->in, 1) + 1, k->max);
	if (rng_below(r, 2))
		weft_task_yield();
	add_relaxed(&k->in, -1);
	add_relaxed(&k->passed, 1);
	weft_bulkhead_leave(k->b);
}

static int one_of_many(void *arg)
{
	struct one *o = arg;
	struct rng r;

	rng_seed(&r, o->seed, 1);
	for (long i = 0; i < tap_iters(400); i++)
		comes_and_goes(o->k, &r);
	return 0;
}

static void *thread_of_many(void *arg)
{
	(void)one_of_many(arg);
	return NULL;
}

static int many_main(void *arg)
{
	enum { N = 24 };
	struct crowd k = {.max = 3};
	struct one o[N + 1];
	weft_task *t[N];
	pthread_t th;
	weft_bulkhead_stats s;

	(void)arg;
	k.b = make(k.max, (weft_line_opts){.max = 8, .longest = WEFT_SEC});
	for (int i = 0; i < N; i++) {
		o[i] = (struct one){&k, (uint64_t)i, NULL};
		t[i] = start(one_of_many, &o[i]);
	}
	o[N] = (struct one){&k, N, NULL};
	T_EQ(pthread_create(&th, NULL, thread_of_many, &o[N]), 0);
	for (int i = 0; i < N; i += 3) {
		weft_task_yield();
		(void)weft_task_cancel(t[i]); /* at whatever point it is */
	}
	for (int i = 0; i < N; i++)
		T_EQ(finish(t[i]), 0);
	until(stats(k.b).in == 0 && load_relaxed(&k.passed) + load_relaxed(&k.away) == (N + 1) * tap_iters(400));
	T_EQ(pthread_join(th, NULL), 0);
	s = stats(k.b);
	T_EQ(s.in, 0);
	T_EQ(s.waiting, 0);
	T_EQ(s.admitted, load_relaxed(&k.passed));
	T_LE(s.most_in, k.max);
	T_LE(s.most_waiting, 8);
	for (int i = 0; i < k.max; i++)
		T_EQ(weft_bulkhead_tryenter(k.b), 0); /* all permits are there */
	T_EQ(weft_bulkhead_tryenter(k.b), WEFT_EAGAIN);
	weft_bulkhead_free(k.b);
	return 0;
}

/* Permits are exact, whoever is cancelled where, and the counters agree. */
TEST_WORKERS(many_come_and_go)
{
	run(many_main, NULL);
}

/* --- limits --- */

static weft_limit *limit(weft_limit_opts o)
{
	weft_limit *l;

	T_EQ(weft_limit_make(&l, &o), 0);
	return l;
}

static int limit_errors_main(void *arg)
{
	weft_limit *l = (void *)arg;
	weft_permit p;

	T_EQ(weft_limit_make(&l, &(weft_limit_opts){.line.max = -2}), WEFT_EINVAL);
	T_EQ(l, NULL);
	T_EQ(weft_limit_make(&l, &(weft_limit_opts){.window.backoff = 100}), WEFT_EINVAL);
	T_EQ(weft_limit_make(&l, NULL), WEFT_EINVAL);
	T_EQ(weft_limit_make(NULL, &(weft_limit_opts){.line.max = 0}), WEFT_EINVAL);
	T_EQ(weft_limit_acquire(NULL, &p), WEFT_EINVAL);
	T_EQ(weft_limit_call(NULL, never, NULL), WEFT_EINVAL);
	l = limit((weft_limit_opts){.window.initial = 2});
	T_EQ(weft_limit_acquire(l, NULL), WEFT_EINVAL);
	T_EQ(weft_limit_call(l, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_limit_acquire(l, &p), 0);
	T_EQ(weft_limit_tryacquire(l, &p), 0);
	T_EQ(weft_limit_tryacquire(l, &p), WEFT_EAGAIN);
	T_EQ(weft_limit_call_until(l, never, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_limit_acquire(l, &p), WEFT_EOVERLOAD);
	weft_limit_release(l, &p, WEFT_IGNORED);
	weft_limit_release(l, &p, WEFT_IGNORED);
	T_EQ(weft_limit_size(l), 2);
	T_EQ(weft_limit_latency(l), 0);
	weft_limit_free(weft_limit_ref(l));
	weft_limit_free(l);
	weft_limit_free(NULL);
	return 0;
}

TEST_WORKERS(limit_errors_are_told)
{
	run(limit_errors_main, NULL);
}

/* As many as may be at once, each for ns. */
static void round_of(weft_limit *l, int n, int64_t ns, enum weft_outcome how)
{
	weft_permit p[64];

	for (int i = 0; i < n; i++)
		T_EQ(weft_limit_acquire(l, &p[i]), 0);
	time_move(ns);
	for (int i = 0; i < n; i++)
		weft_limit_release(l, &p[i], how);
}

static int lets_in(void *arg)
{
	weft_limit *l = arg;
	weft_permit p;
	int rc = weft_limit_acquire(l, &p);

	if (!rc)
		weft_limit_release(l, &p, WEFT_IGNORED);
	return rc;
}

static int aimd_main(void *arg)
{
	weft_limit *l;
	weft_permit p[11];
	weft_task *t;
	weft_bulkhead_stats s;

	(void)arg;
	time_fake();
	l = limit((weft_limit_opts){
		.window = {.initial = 10, .target = 20 * WEFT_MS, .backoff = 50, .smooth = 1},
		.line.max = 5,
	});
	round_of(l, 10, 10 * WEFT_MS, WEFT_OK);
	T_EQ(weft_limit_size(l), 11);
	T_EQ(weft_limit_latency(l), 10 * WEFT_MS);
	for (int i = 0; i < 11; i++)
		T_EQ(weft_limit_acquire(l, &p[i]), 0);
	t = start(lets_in, l);
	until_reason(t, "admission");
	time_move(30 * WEFT_MS);
	for (int i = 0; i < 10; i++)
		weft_limit_release(l, &p[i], WEFT_IGNORED); /* lets it in, and tells nothing */
	T_EQ(finish(t), 0);
	T_EQ(weft_limit_size(l), 11);
	weft_limit_release(l, &p[10], WEFT_IGNORED);
	round_of(l, 11, 30 * WEFT_MS, WEFT_OK); /* too slow */
	T_EQ(weft_limit_size(l), 5);
	round_of(l, 5, WEFT_MS, WEFT_FAILED);
	round_of(l, 3, WEFT_MS, WEFT_FAILED); /* eight are a round */
	T_EQ(weft_limit_size(l), 2);
	for (int i = 0; i < 20; i++)
		round_of(l, 1, WEFT_MS, WEFT_OK); /* half of two is in use: it grows; of three it is not */
	T_EQ(weft_limit_size(l), 3);
	weft_limit_stat(l, &s);
	T_EQ(s.max, 3);
	T_EQ(s.in, 0);
	weft_limit_free(l);
	time_real();
	return 0;
}

TEST(a_limit_widens_and_narrows)
{
	run(aimd_main, NULL);
}

static int holds(void *arg)
{
	weft_permit *p = ((void **)arg)[1];

	return weft_limit_acquire(((void **)arg)[0], p);
}

static int shrunk_main(void *arg)
{
	weft_limit *l;
	weft_permit p[8], q;
	weft_task *t;

	(void)arg;
	time_fake();
	l = limit((weft_limit_opts){.window = {.initial = 8, .backoff = 50}, .line.max = 1});
	for (int i = 0; i < 8; i++)
		T_EQ(weft_limit_acquire(l, &p[i]), 0);
	t = start(holds, (void *[]){l, &q});
	until_reason(t, "admission");
	weft_limit_release(l, &p[0], WEFT_FAILED);
	T_EQ(finish(t), 0);
	for (int i = 0; i < 7; i++) { /* the eighth failure halves it, with eight in: seven others, and t's */
		weft_permit r = p[0];

		weft_limit_release(l, &p[i + 1], WEFT_FAILED);
		if (i < 6)
			T_EQ(weft_limit_acquire(l, &r), 0);
		p[i + 1] = r;
	}
	T_EQ(weft_limit_size(l), 4);
	for (int i = 0; i < 3; i++) { /* seven are in; the fifth has to leave before another comes in */
		T_EQ(weft_limit_tryacquire(l, &p[7]), WEFT_EAGAIN);
		weft_limit_release(l, &p[i + 1], WEFT_IGNORED);
	}
	T_EQ(weft_limit_tryacquire(l, &p[7]), WEFT_EAGAIN);
	weft_limit_release(l, &p[4], WEFT_IGNORED);
	T_EQ(weft_limit_tryacquire(l, &p[7]), 0);
	T_EQ(weft_limit_tryacquire(l, &p[7]), WEFT_EAGAIN);
	for (int i = 0; i < 4; i++)
		weft_limit_release(l, &p[7], WEFT_IGNORED);
	weft_limit_free(l);
	time_real();
	return 0;
}

/* What has been taken back while it was out is not given twice. */
TEST(a_limit_that_has_shrunk)
{
	run(shrunk_main, NULL);
}

static int comes_to(void *arg)
{
	time_move(10 * WEFT_MS);
	return *(int *)arg;
}

static int limit_panics(void *l)
{
	return weft_limit_call(l, panics, NULL);
}

static int limit_exits(void *l)
{
	return weft_limit_call(l, exits, NULL);
}

static int limit_call_main(void *arg)
{
	weft_limit *l;
	weft_panic p;
	weft_bulkhead_stats s;

	(void)arg;
	time_fake();
	l = limit((weft_limit_opts){.window = {.initial = 8, .backoff = 50, .smooth = 1}});
	for (int i = 0; i < 7; i++)
		T_EQ(weft_limit_call(l, comes_to, &(int){7}), 7);
	T_EQ(weft_limit_latency(l), 10 * WEFT_MS);
	T_EQ(weft_limit_call(l, comes_to, &(int){WEFT_EINVAL}), WEFT_EINVAL); /* no sample */
	T_EQ(weft_task_try(limit_panics, l, &p), WEFT_EPANIC);
	T_EQ(finish(start(limit_exits, l)), 3);
	T_EQ(weft_limit_size(l), 8);
	T_EQ(weft_limit_call(l, comes_to, &(int){WEFT_ETIMEDOUT}), WEFT_ETIMEDOUT); /* the eighth, and a loss */
	T_EQ(weft_limit_size(l), 4);
	weft_limit_stat(l, &s);
	T_EQ(s.in, 0);
	T_EQ(s.admitted, 11);
	weft_limit_free(l);
	time_real();
	return 0;
}

TEST(a_call_through_a_limit)
{
	run(limit_call_main, NULL);
}

TEST_DIES(one_release_too_many, "nobody is in limit")
{
	weft_limit *l = limit((weft_limit_opts){.line.max = 0});

	weft_limit_release(l, &(weft_permit){0}, WEFT_OK);
}

static int crowd_through_limit(void *arg)
{
	struct one *o = arg;
	struct crowd *k = o->k;
	weft_permit p;
	struct rng r;

	rng_seed(&r, o->seed, 2);
	for (long i = 0; i < tap_iters(400); i++) {
		int64_t deadline = rng_below(&r, 4) ? WEFT_FOREVER : weft_in(rng_below(&r, 50) * WEFT_US);
		int rc = weft_limit_acquire_until(k->l, &p, deadline);

		if (rc) {
			T_OK(rc == WEFT_ETIMEDOUT || rc == WEFT_EOVERLOAD || rc == WEFT_ECANCELED);
			continue;
		}
		T_LE(add_relaxed(&k->in, 1) + 1, k->max);
		if (rng_below(&r, 2))
			weft_task_yield();
		add_relaxed(&k->in, -1);
		weft_limit_release(k->l, &p, (enum weft_outcome)rng_below(&r, 3));
	}
	return 0;
}

static int limit_many_main(void *arg)
{
	enum { N = 24 };
	struct crowd k = {.max = 12};
	struct one o[N];
	weft_task *t[N];
	weft_bulkhead_stats s;
	weft_permit p;

	for (int rule = WEFT_AIMD; rule <= WEFT_GRADIENT; rule++) {
		(void)arg;
		k.l = limit((weft_limit_opts){.window = {.rule = (enum weft_window_rule)rule, .initial = 4, .least = 2, .most = 12},
					      .line.max = 10});
		for (int i = 0; i < N; i++) {
			o[i] = (struct one){&k, (uint64_t)i, NULL};
			t[i] = start(crowd_through_limit, &o[i]);
		}
		for (int i = 0; i < N; i += 4) {
			weft_task_yield();
			(void)weft_task_cancel(t[i]);
		}
		for (int i = 0; i < N; i++)
			T_EQ(finish(t[i]), 0);
		weft_limit_stat(k.l, &s);
		T_EQ(s.in, 0);
		T_EQ(s.waiting, 0);
		for (int i = 0; i < s.max; i++)
			T_EQ(weft_limit_tryacquire(k.l, &p), 0); /* all there are */
		T_EQ(weft_limit_tryacquire(k.l, &p), WEFT_EAGAIN);
		for (int i = 0; i < s.max; i++)
			weft_limit_release(k.l, &p, WEFT_IGNORED);
		weft_limit_free(k.l);
	}
	return 0;
}

TEST_WORKERS(many_through_a_limit_that_moves)
{
	run(limit_many_main, NULL);
}
