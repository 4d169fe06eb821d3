/* SPDX-License-Identifier: MIT
 *
 * retry.c - trying again: how often, after what pauses, and every reason not to.
 */
#include "rt.h"

#include "weft/defer.h"
#include "weft/retry.h"
#include "weft/scope.h"

/* --- pauses --- */

TEST(backoff_numbers)
{
	static const weft_backoff_opts bad[] = {
		{.base = -1}, {.base = 10, .cap = 9}, {.factor = 99}, {.factor = 100001}, {.jitter = (enum weft_jitter)4},
	};
	weft_backoff b;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		T_EQ(weft_backoff_init(&b, &bad[i]), WEFT_EINVAL);
	T_EQ(weft_backoff_init(NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_backoff_init(&b, NULL), 0);
	for (int i = 0; i < 100; i++) {
		int64_t d = i < 7 ? (int64_t)100 * WEFT_MS << i : 10 * WEFT_SEC, pause = weft_backoff_next(&b);

		T_OK(pause >= 0 && pause <= (d < 10 * WEFT_SEC ? d : 10 * WEFT_SEC));
	}
	T_EQ(weft_backoff_init(&b, &(weft_backoff_opts){.base = INT64_MAX, .jitter = WEFT_JITTER_NONE}), 0);
	T_EQ(weft_backoff_next(&b), INT64_MAX);
	T_EQ(weft_backoff_next(&b), INT64_MAX);
}

TEST(backoff_without_jitter)
{
	static const int64_t pauses[] = {10, 15, 22, 33, 40, 40};
	weft_backoff b;

	T_EQ(weft_backoff_init(&b, &(weft_backoff_opts){.base = 10, .cap = 40, .factor = 150, .jitter = WEFT_JITTER_NONE}), 0);
	for (size_t i = 0; i < ARRAY_LEN(pauses); i++)
		T_EQ(weft_backoff_next(&b), pauses[i]);
}

/* Each kind stays in its bounds, reaches near both of them, and is the same again from the same seed. */
TEST(backoff_with_jitter)
{
	enum { N = 20000 };

	for (int kind = WEFT_JITTER_FULL; kind < WEFT_JITTER_NONE; kind++) {
		weft_backoff_opts o = {.base = 1000, .cap = 8000, .jitter = (enum weft_jitter)kind, .seed = 11};
		int64_t low = kind == WEFT_JITTER_FULL    ? 0
			      : kind == WEFT_JITTER_EQUAL ? 4000
							  : 1000,
			least = INT64_MAX, most = 0, before = 1000;
		weft_backoff b, again;

		T_EQ(weft_backoff_init(&b, &o), 0);
		T_EQ(weft_backoff_init(&again, &o), 0);
		for (int i = 0; i < N; i++) {
			int64_t pause = weft_backoff_next(&b);

			T_EQ(pause, weft_backoff_next(&again));
			if (kind == WEFT_JITTER_DECORRELATED) {
				T_OK(pause >= 1000 && pause <= 3 * before && pause <= 8000);
				before = pause;
			} else if (i < 3) {
				T_LE(pause, 1000 << i);
			}
			if (i < 3)
				continue;
			least = pause < least ? pause : least;
			most = pause > most ? pause : most;
		}
		T_GE(least, low);
		T_LE(least, low + 100);
		T_OK(most > 7900 && most <= 8000);
	}
}

TEST(seeds_differ)
{
	weft_backoff a, b;
	int same = 0;

	T_EQ(weft_backoff_init(&a, &(weft_backoff_opts){.seed = 1}), 0);
	T_EQ(weft_backoff_init(&b, &(weft_backoff_opts){.seed = 2}), 0);
	for (int i = 0; i < 20; i++)
		same += weft_backoff_next(&a) == weft_backoff_next(&b);
	T_LT(same, 3);
}

/* --- budgets --- */

static int budget_main(void *arg)
{
	static const weft_retry_budget_opts bad[] = {
		{.percent = -1}, {.percent = 1001}, {.per_second = -2}, {.most = -1}, {.most = (1 << 20) + 1}};
	weft_retry_budget *b = (void *)&bad;

	(void)arg;
	time_fake();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		T_EQ(weft_retry_budget_make(&b, &bad[i]), WEFT_EINVAL);
		T_EQ(b, NULL);
	}
	T_EQ(weft_retry_budget_make(NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_retry_budget_make(&b, NULL), 0);
	T_EQ(weft_retry_budget_left(b), 100);
	weft_retry_budget_free(weft_retry_budget_ref(b));
	weft_retry_budget_free(b);
	weft_retry_budget_free(NULL);

	T_EQ(weft_retry_budget_make(&b, &(weft_retry_budget_opts){.percent = 25, .per_second = -1, .most = 3}), 0);
	T_EQ(weft_retry_budget_left(b), 0);
	T_OK(!weft_retry_budget_take(b));
	for (int i = 0; i < 3; i++)
		weft_retry_budget_first(b);
	T_OK(!weft_retry_budget_take(b));
	weft_retry_budget_first(b); /* four bring one */
	T_OK(weft_retry_budget_take(b));
	T_OK(!weft_retry_budget_take(b));
	time_move(1000 * WEFT_SEC); /* time brings none here */
	T_EQ(weft_retry_budget_left(b), 0);
	for (int i = 0; i < 100; i++)
		weft_retry_budget_first(b);
	T_EQ(weft_retry_budget_left(b), 3); /* the most there may be */
	weft_retry_budget_free(b);

	T_EQ(weft_retry_budget_make(&b, &(weft_retry_budget_opts){.per_second = 3, .most = 20}), 0);
	T_EQ(weft_retry_budget_left(b), 20);
	for (int i = 0; i < 20; i++)
		T_OK(weft_retry_budget_take(b));
	T_OK(!weft_retry_budget_take(b));
	for (int i = 0, got = 0; i < 1000; i++) { /* in steps that divide nothing: nothing is lost to rounding */
		time_move(10 * WEFT_MS + 1);
		got += weft_retry_budget_take(b);
		T_OK(got <= 30 && (i < 999 || got >= 29));
	}
	time_move(100 * WEFT_SEC);
	T_EQ(weft_retry_budget_left(b), 20);
	weft_retry_budget_free(b);
	time_real();
	return 0;
}

TEST(budget)
{
	run(budget_main, NULL);
}

/* --- retry --- */

/* A callee: comes to results one after the other, and moves the clock. */
struct callee {
	const int *results;
	int64_t takes;
	int calls;
	int64_t at[16]; /* when it was called */
	weft_task *victim;
};

static int called(void *arg)
{
	struct callee *c = arg;

	T_LT(c->calls, 16);
	c->at[c->calls] = weft_now();
	time_move(c->takes);
	return c->results[c->calls++];
}

#define CALLEE(...)                      \
	{                                \
		.results = (const int[]) \
		{                        \
			__VA_ARGS__      \
		}                        \
	}

/* Moves the clock whenever the retrier sleeps, to when it wakes up and no further: what it measures is exact. */
struct retrying {
	weft_retry_opts o;
	weft_task_fn *fn;
	void *arg;
	int64_t deadline;
	ATOMIC(int) over;
};

static int retries(void *arg)
{
	struct retrying *r = arg;
	int rc = weft_retry_until(&r->o, r->fn, r->arg, r->deadline);

	store_release(&r->over, 1);
	return rc;
}

static int run_retry(struct retrying *r)
{
	weft_task *t;

	store_relaxed(&r->over, 0);
	t = start(retries, r);
	while (!load_acquire(&r->over)) {
		if (strcmp(weft_task_reason(t), "sleep") == 0 && !on_stack(t)) { /* else its deadline is not there yet, maybe */
			int64_t left = load_relaxed(&t->deadline) - weft_now();  /* of this sleep, or of one that is over */

			if (left > 0)
				time_move(left);
		}
		let_run();
	}
	return finish(t);
}

#define EXACT(ms)                                                                       \
	{                                                                               \
		.base = (ms)*WEFT_MS, .cap = 1000 * WEFT_MS, .jitter = WEFT_JITTER_NONE \
	}

static int tries_main(void *arg)
{
	struct callee c = CALLEE(WEFT_EAGAIN, WEFT_ECONNRESET, 7);
	weft_retry_report rep;
	struct retrying r = {.o = {.backoff = EXACT(10), .report = &rep}, .fn = called, .arg = &c, .deadline = WEFT_FOREVER};

	(void)arg;
	time_fake();
	T_EQ(weft_retry(&(weft_retry_opts){.tries = -2}, called, &c), WEFT_EINVAL);
	T_EQ(weft_retry(&(weft_retry_opts){.each = -1}, called, &c), WEFT_EINVAL);
	T_EQ(weft_retry(&(weft_retry_opts){.whole = -1}, called, &c), WEFT_EINVAL);
	T_EQ(weft_retry(&(weft_retry_opts){.backoff.factor = 1}, called, &c), WEFT_EINVAL);
	T_EQ(weft_retry(NULL, NULL, &c), WEFT_EINVAL);
	T_EQ(c.calls, 0);

	T_EQ(run_retry(&r), 7);
	T_EQ(c.calls, 3);
	T_EQ(rep.tries, 3);
	T_EQ(rep.last, 7);
	T_EQ(rep.end, WEFT_RETRY_WELL);
	T_EQ(rep.paused, 30 * WEFT_MS);
	T_EQ(c.at[1] - c.at[0], 10 * WEFT_MS);
	T_EQ(c.at[2] - c.at[1], 20 * WEFT_MS);

	c = (struct callee)CALLEE(WEFT_EAGAIN, WEFT_EIO, WEFT_EPIPE, 0);
	T_EQ(run_retry(&r), WEFT_EPIPE); /* three are the default */
	T_EQ(rep.end, WEFT_RETRY_TRIES);
	T_EQ(rep.last, WEFT_EPIPE);

	c = (struct callee)CALLEE(WEFT_EAGAIN, WEFT_EACCES);
	T_EQ(run_retry(&r), WEFT_EACCES);
	T_EQ(rep.end, WEFT_RETRY_PERMANENT);
	T_EQ(rep.tries, 2);

	r.o.tries = 1;
	c = (struct callee)CALLEE(WEFT_EAGAIN);
	T_EQ(run_retry(&r), WEFT_EAGAIN);
	T_EQ(rep.paused, 0);

	c = (struct callee)CALLEE(0);
	T_EQ(weft_retry(NULL, called, &c), 0);
	time_real();
	return 0;
}

TEST_WORKERS(so_many_tries)
{
	run(tries_main, NULL);
}

static bool only_eio(int rc, void *arg)
{
	(void)arg;
	return rc == WEFT_EIO;
}

static int64_t no_pause(const weft_retry_report *r, int64_t pause, void *arg)
{
	int *calls = arg;

	T_EQ(pause, (int64_t)10 * WEFT_MS << (r->tries - 1));
	T_EQ(r->last, WEFT_EIO);
	return ++*calls == 3 ? -1 : 0;
}

static int hooks_main(void *arg)
{
	struct callee c = CALLEE(WEFT_EIO, WEFT_EAGAIN);
	weft_retry_report rep;
	int calls = 0;

	(void)arg;
	time_fake();
	T_EQ(weft_retry(
		     &(weft_retry_opts){
			     .tries = 9, .backoff = EXACT(10), .again = only_eio, .before = no_pause, .arg = &calls, .report = &rep},
		     called, &c),
	     WEFT_EAGAIN);
	T_EQ(rep.end, WEFT_RETRY_PERMANENT);
	T_EQ(calls, 1);
	calls = 0;
	c = (struct callee)CALLEE(WEFT_EIO, WEFT_EIO, WEFT_EIO, 0);
	T_EQ(weft_retry(&(weft_retry_opts){.tries = -1, .backoff = EXACT(10), .before = no_pause, .arg = &calls, .report = &rep}, called,
			&c),
	     WEFT_EIO);
	T_EQ(rep.end, WEFT_RETRY_STOPPED);
	T_EQ(rep.tries, 3);
	T_EQ(rep.paused, 0);
	time_real();
	return 0;
}

TEST_WORKERS(hooks)
{
	run(hooks_main, NULL);
}

static int waits_for_ever(void *arg)
{
	struct callee *c = arg;

	c->calls++;
	return weft_task_sleep(INT64_MAX);
}

static int time_main(void *arg)
{
	struct callee c = CALLEE(WEFT_EIO, WEFT_EIO, WEFT_EIO, WEFT_EIO, WEFT_EIO);
	weft_retry_report rep;
	struct retrying r = {.o = {.tries = -1, .backoff = EXACT(10), .report = &rep}, .fn = called, .arg = &c};

	(void)arg;
	time_fake();
	r.deadline = weft_now() + 60 * WEFT_MS; /* 10 + 20, and 40 would be too much */
	T_EQ(run_retry(&r), WEFT_EIO);
	T_EQ(rep.end, WEFT_RETRY_TIME);
	T_EQ(rep.tries, 3);
	T_LT(weft_now(), r.deadline);

	r.deadline = WEFT_FOREVER; /* .whole says the same */
	r.o.whole = 60 * WEFT_MS;
	c = (struct callee)CALLEE(WEFT_EIO, WEFT_EIO, WEFT_EIO, WEFT_EIO, WEFT_EIO);
	T_EQ(run_retry(&r), WEFT_EIO);
	T_EQ(rep.tries, 3);

	r.fn = waits_for_ever; /* and ends a try */
	c = (struct callee)CALLEE(0);
	T_EQ(run_retry(&r), WEFT_ETIMEDOUT);
	T_EQ(c.calls, 1);
	T_EQ(rep.end, WEFT_RETRY_TIME);

	r.o.each = 25 * WEFT_MS; /* two tries of 25 and one pause of 10 fit; the next pause does not */
	r.o.whole = 75 * WEFT_MS;
	T_EQ(run_retry(&r), WEFT_ETIMEDOUT);
	T_EQ(c.calls, 3);
	T_EQ(rep.tries, 2);
	T_EQ(rep.last, WEFT_ETIMEDOUT);

	r.o.whole = 0;
	r.o.tries = 3; /* a try that was too slow is tried again */
	c.calls = 0;
	T_EQ(run_retry(&r), WEFT_ETIMEDOUT);
	T_EQ(c.calls, 3);
	T_EQ(rep.end, WEFT_RETRY_TRIES);

	T_EQ(weft_retry_until(&(weft_retry_opts){.report = &rep}, called, &c, weft_now()), WEFT_ETIMEDOUT);
	T_EQ(weft_retry_until(&(weft_retry_opts){.report = &rep}, called, &c, WEFT_NOW), WEFT_ETIMEDOUT);
	T_EQ(rep.tries, 0);
	T_EQ(rep.end, WEFT_RETRY_TIME);

	c = (struct callee)CALLEE(WEFT_EIO, WEFT_EIO);
	WEFT_WITH_TIMEOUT (15 * WEFT_MS) { /* the caller's own context */
		weft_retry_opts o = {.tries = 9, .backoff = EXACT(10), .report = &rep};

		c.takes = 10 * WEFT_MS;
		T_EQ(weft_retry(&o, called, &c), WEFT_EIO);
		T_EQ(rep.tries, 1);
		T_EQ(rep.end, WEFT_RETRY_TIME);
		time_move(5 * WEFT_MS);
		T_EQ(weft_retry(&o, called, &c), WEFT_ETIMEDOUT);
		T_EQ(rep.tries, 0);
	}
	time_real();
	return 0;
}

TEST_WORKERS(out_of_time)
{
	run(time_main, NULL);
}

static int cancels_itself(void *arg)
{
	struct callee *c = arg;

	c->calls++;
	T_EQ(weft_task_cancel(weft_task_self()), 0);
	return WEFT_EIO;
}

static int cancelled_before(void *arg)
{
	struct retrying *r = arg;

	until(weft_ctx_check() != 0);
	return retries(r);
}

static int cancel_main(void *arg)
{
	struct callee c = CALLEE(WEFT_EIO, WEFT_EIO);
	weft_retry_report rep;
	struct retrying r = {.o = {.backoff = EXACT(10), .report = &rep}, .fn = called, .arg = &c, .deadline = WEFT_FOREVER};
	weft_task *t;

	(void)arg;
	time_fake();
	t = start(retries, &r);
	until_reason(t, "sleep"); /* in a pause */
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(rep.end, WEFT_RETRY_CANCELED);
	T_EQ(rep.tries, 1);
	T_EQ(rep.last, WEFT_EIO);

	r.fn = cancels_itself; /* in a try */
	T_EQ(finish(start(retries, &r)), WEFT_EIO);
	T_EQ(rep.end, WEFT_RETRY_CANCELED);
	T_EQ(rep.tries, 1);

	t = start(cancelled_before, &r);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(rep.tries, 0);
	T_EQ(rep.last, 0);
	time_real();
	return 0;
}

TEST_WORKERS(cancelled)
{
	run(cancel_main, NULL);
}

static int always(void *arg)
{
	add_relaxed((ATOMIC(int) *)arg, 1);
	return WEFT_EAGAIN;
}

static int64_t at_once(const weft_retry_report *r, int64_t pause, void *arg)
{
	(void)r;
	(void)pause;
	(void)arg;
	return 0;
}

struct storm {
	weft_retry_budget *b;
	ATOMIC(int) calls, broke;
};

static int storms(void *arg)
{
	struct storm *s = arg;

	for (int i = 0; i < 100; i++) {
		weft_retry_report rep;
		weft_retry_opts o = {.tries = 5, .budget = s->b, .before = at_once, .report = &rep};

		T_EQ(weft_retry(&o, always, &s->calls), WEFT_EAGAIN);
		if (rep.end == WEFT_RETRY_BUDGET)
			add_relaxed(&s->broke, 1);
	}
	return 0;
}

static int storm_main(void *arg)
{
	struct storm s = {.calls = 0};
	weft_task *t[8];

	(void)arg;
	T_EQ(weft_retry_budget_make(&s.b, &(weft_retry_budget_opts){.percent = 10, .per_second = -1}), 0);
	for (int i = 0; i < 8; i++)
		t[i] = start(storms, &s);
	for (int i = 0; i < 8; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(load_relaxed(&s.calls) + weft_retry_budget_left(s.b), 880); /* instead of 4000 */
	T_GE(load_relaxed(&s.broke), 700);
	weft_retry_budget_free(s.b);
	return 0;
}

/* A tenth more, however many fail. */
TEST_WORKERS(a_budget_stops_a_storm)
{
	run(storm_main, NULL);
}

/* --- with errors that say more --- */

static weft_err *load(void *arg)
{
	struct callee *c = arg;
	int n = c->calls++;

	return c->results[n] ? weft_err_new(c->results[n], "load, try %d", n + 1) : NULL;
}

static weft_err *load_and_panic(void *arg)
{
	struct callee *c = arg;

	if (c->calls)
		weft_task_panic("the second time");
	return load(arg);
}

static int panics(void *arg)
{
	weft_err_free(weft_retry_err(&(weft_retry_opts){.before = at_once, .tries = 3}, load_and_panic, arg));
	return 0;
}

static weft_err *odd(void *arg)
{
	(void)arg;
	return weft_err_new(5, "not negative");
}

static int cancelled_err(void *arg)
{
	weft_err *e;

	(void)arg;
	until(weft_ctx_check() != 0);
	e = weft_retry_err(NULL, load, NULL);
	T_EQ(weft_err_code(e), WEFT_ECANCELED);
	T_STR_HAS(weft_err_message(e), "gave up after 0 tries, cancelled");
	weft_err_free(e);
	return 0;
}

static int err_main(void *arg)
{
	struct callee c = CALLEE(WEFT_EIO, WEFT_EPIPE, 0);
	weft_retry_report rep;
	weft_retry_opts o = {.before = at_once, .report = &rep};
	weft_panic p;
	weft_task *t;
	weft_err *e;
	int line;

	(void)arg;
	T_EQ(weft_retry_err(&o, load, &c), NULL);
	T_EQ(rep.tries, 3);
	c = (struct callee)CALLEE(WEFT_EIO, WEFT_EPIPE, WEFT_EBUSY);
	e = weft_retry_err(&o, load, &c);
	T_EQ(weft_err_code(e), WEFT_EBUSY);
	T_STR_EQ(weft_err_message(e), "gave up after 3 tries, no more are allowed");
	T_STR_HAS(weft_err_where(e, &line), "retry.c");
	T_STR_EQ(weft_err_message(weft_err_cause(e)), "load, try 3");
	weft_err_free(e);
	c = (struct callee)CALLEE(WEFT_ENOENT);
	e = weft_retry_err_until(&(weft_retry_opts){.before = at_once, .report = &rep}, load, &c, weft_in(3600 * WEFT_SEC));
	T_STR_EQ(weft_err_message(e), "gave up after 1 try, it will not change");
	weft_err_free(e);
	e = weft_retry_err(&o, odd, &c);
	T_EQ(rep.last, WEFT_EINVAL);
	T_OK(e);
	weft_err_free(e);
	e = weft_retry_err(&o, NULL, &c);
	T_EQ(weft_err_code(e), WEFT_EINVAL);
	weft_err_free(e);
	c = (struct callee)CALLEE(WEFT_EIO);
	T_EQ(weft_task_try(panics, &c, &p), WEFT_EPANIC); /* nothing leaks */
	t = start(cancelled_err, NULL);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), 0);
	return 0;
}

TEST_WORKERS(errors_that_say_more)
{
	run(err_main, NULL);
}

TEST(what_is_worth_it)
{
	static const int yes[] = {WEFT_EAGAIN, WEFT_ETIMEDOUT, WEFT_ECONNREFUSED, WEFT_ECONNRESET,
				  WEFT_EIO,    WEFT_EAI_AGAIN, WEFT_ENOMEM,       -10001};
	static const int no[] = {
		0, 5, WEFT_EINVAL, WEFT_ECANCELED, WEFT_EACCES, WEFT_ENOENT, WEFT_ECLOSED, WEFT_EOPEN, WEFT_EOVERLOAD, WEFT_EPANIC};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		T_OK(weft_retry_worth(yes[i]));
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		T_OK(!weft_retry_worth(no[i]));
	T_OK(weft_retry_actor(WEFT_ENOENT, NULL) && weft_retry_actor(WEFT_ESRCH, NULL) && weft_retry_actor(WEFT_EDOWN, NULL));
	T_OK(weft_retry_actor(WEFT_ETIMEDOUT, NULL));
	T_OK(!weft_retry_actor(0, NULL) && !weft_retry_actor(WEFT_ECANCELED, NULL) && !weft_retry_actor(WEFT_ENOTSUP, NULL));
}

#define HOUR (3600 * WEFT_SEC) /* what no stall before the first try uses up */

static int second_time(void *arg)
{
	return ++*(int *)arg == 2 ? 3 : WEFT_EIO;
}

/* Off a task the pauses are waited for as well, and .whole ends them. */
TEST(in_a_thread_of_ones_own)
{
	weft_retry_report rep;
	int calls = 0;

	T_EQ(weft_retry(&(weft_retry_opts){.backoff.base = WEFT_MS}, second_time, &calls), 3);
	calls = 2;
	T_EQ(weft_retry(
		     &(weft_retry_opts){
			     .tries = -1, .whole = HOUR, .backoff = {.base = 2 * HOUR, .jitter = WEFT_JITTER_NONE}, .report = &rep},
		     second_time, &calls),
	     WEFT_EIO);
	T_EQ(rep.tries, 1);
	T_EQ(rep.end, WEFT_RETRY_TIME);
}
