/* SPDX-License-Identifier: MIT
 *
 * future_many.c - all, race, any, all settled: what decides them, what they return, and that nothing is left when they do.
 */
#include "rt.h"

#include "weft/future.h"
#include <pthread.h>

enum { N = 5, LOTS = 100 };

struct many {
	int n;
	weft_promise *p[LOTS];
	weft_future *f[LOTS];
	int (*call)(struct many *m, int64_t deadline);
	unsigned flags;
	int64_t deadline;
	int out[LOTS];
	int status[LOTS];
};

static int call_all(struct many *m, int64_t deadline)
{
	return weft_future_all_until(m->f, m->n, m->out, m->flags, deadline);
}

static int call_race(struct many *m, int64_t deadline)
{
	return weft_future_race_until(m->f, m->n, m->out, m->flags, deadline);
}

static int call_any(struct many *m, int64_t deadline)
{
	return weft_future_any_until(m->f, m->n, m->out, m->flags, deadline);
}

static int call_settled(struct many *m, int64_t deadline)
{
	return weft_future_all_settled_until(m->f, m->n, m->status, deadline);
}

static int (*const calls[])(struct many *m, int64_t deadline) = {call_all, call_race, call_any, call_settled};

static void make(struct many *m, int n, int (*call)(struct many *, int64_t))
{
	memset(m, 0, sizeof *m);
	m->n = n;
	m->call = call;
	m->deadline = WEFT_FOREVER;
	for (int i = 0; i < n; i++) {
		T_EQ(weft_promise_make(sizeof(int), &m->p[i], &m->f[i]), 0);
		m->out[i] = -1;
	}
}

static void unmake(struct many *m)
{
	for (int i = 0; i < m->n; i++) {
		weft_promise_free(m->p[i]);
		weft_future_free(m->f[i]);
	}
}

static void good(struct many *m, int i)
{
	T_EQ(weft_promise_resolve(m->p[i], &(int){100 + i}), 0);
}

static void bad(struct many *m, int i)
{
	T_EQ(weft_promise_reject(m->p[i], -1000 - i), 0);
}

static int caller(void *arg)
{
	struct many *m = arg;

	return m->call(m, m->deadline);
}

/* What the steps before the last say is not enough; the last decides. Positive: number i - 1 gets its value; negative: an error. */
struct story {
	int (*call)(struct many *m, int64_t deadline);
	int steps[N]; /* 0: no more */
	int want;
};

static const struct story stories[] = {
	{call_all, {1, 2, 3, 4, 5}, 0},
	{call_all, {5, 1, 4, 2, 3}, 0},
	{call_all, {-1}, -1000},
	{call_all, {5, 4, 3, -2}, -1001},
	{call_all, {1, 2, 3, 4, -5}, -1004},
	{call_race, {1}, 0},
	{call_race, {5}, 4},
	{call_race, {-3}, 2},
	{call_any, {1}, 0},
	{call_any, {-1, -5, -2, 4}, 3},
	{call_any, {-1, -2, -3, -4, 5}, 4},
	{call_any, {-5, -4, -3, -2, -1}, -1004},
	{call_settled, {1, 2, 3, 4, 5}, 0},
	{call_settled, {-5, 3, -1, 2, -4}, 0},
};

static void step(struct many *m, int s)
{
	if (s > 0)
		good(m, s - 1);
	else
		bad(m, -s - 1);
}

static void check(struct many *m, const struct story *s, int rc)
{
	T_EQ(rc, s->want);
	for (int i = 0; i < N; i++) {
		int status = weft_future_poll(m->f[i], NULL);

		if (s->call == call_all)
			T_EQ(m->out[i], rc ? -1 : 100 + i);
		if (s->call == call_settled)
			T_EQ(m->status[i], status);
	}
	if (s->call == call_race || s->call == call_any)
		T_EQ(m->out[0], rc >= 0 && weft_future_poll(m->f[rc], NULL) == 0 ? 100 + rc : -1);
}

static void tell(const struct story *s, bool ready)
{
	struct many m;
	weft_task *t = NULL;

	make(&m, N, s->call);
	for (int i = 0; i < N && s->steps[i]; i++) {
		T_EQ(s->call(&m, WEFT_NOW), WEFT_EAGAIN);
		if (!ready && !t) {
			t = start(caller, &m);
			until_reason(t, "future");
		}
		step(&m, s->steps[i]);
		if (t && i + 1 < N && s->steps[i + 1])
			until_reason(t, "future"); /* not woken for nothing */
	}
	check(&m, s, ready ? s->call(&m, WEFT_NOW) : finish(t));
	unmake(&m);
}

static int stories_main(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(stories); i++) {
		tap_note("story %zu", i);
		tell(&stories[i], true);
		tell(&stories[i], false);
	}
	return 0;
}

TEST_WORKERS(what_decides)
{
	run(stories_main, NULL);
}

static int given_up_main(void *arg)
{
	struct many m;
	weft_task *t;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		for (int lots = 0; lots < 2; lots++) {
			make(&m, lots ? LOTS : N, calls[i]);
			m.flags = WEFT_FUTURE_CANCEL_REST;
			m.deadline = weft_in(WEFT_MS);
			T_EQ(caller(&m), WEFT_ETIMEDOUT);
			m.deadline = WEFT_FOREVER;
			t = start(caller, &m);
			until_reason(t, "future");
			T_EQ(weft_task_cancel(t), 0);
			T_EQ(finish(t), WEFT_ECANCELED);
			for (int k = 0; k < m.n; k++) /* nothing happened */
				T_EQ(weft_future_poll(m.f[k], NULL), WEFT_EAGAIN);
			t = start(caller, &m);
			until_reason(t, "future");
			for (int k = 0; k < m.n; k++) {
				int rc = weft_promise_resolve(m.p[k], &k);

				T_OK(rc == 0 || (k && rc == WEFT_EALREADY && calls[i] != call_settled && calls[i] != call_all));
			}
			T_EQ(finish(t), 0);
			unmake(&m);
		}
	}
	return 0;
}

/* Deadline, cancel, and once more; few and many. */
TEST_WORKERS(given_up)
{
	run(given_up_main, NULL);
}

static int rest_main(void *arg)
{
	struct many m;

	(void)arg;
	for (size_t i = 0; i < 3; i++) {
		for (unsigned flags = 0; flags <= WEFT_FUTURE_CANCEL_REST; flags++) {
			make(&m, N, calls[i]);
			m.flags = flags;
			if (i == 0)
				bad(&m, 3);
			else
				good(&m, 3);
			T_EQ(caller(&m), i == 0 ? -1003 : 3);
			for (int k = 0; k < N; k++) {
				if (k == 3)
					continue;
				T_EQ(weft_promise_canceled(m.p[k]), flags);
				T_EQ(weft_future_poll(m.f[k], NULL), flags ? WEFT_ECANCELED : WEFT_EAGAIN);
			}
			unmake(&m);
		}
	}
	make(&m, N, call_any); /* none is left to be cancelled */
	m.flags = WEFT_FUTURE_CANCEL_REST;
	for (int k = 0; k < N; k++)
		bad(&m, k);
	T_EQ(caller(&m), -1004);
	unmake(&m);
	return 0;
}

TEST_WORKERS(the_rest_is_cancelled)
{
	run(rest_main, NULL);
}

static int odd_main(void *arg)
{
	weft_future *same[3], *other[2], *hole[2];
	weft_promise *p, *q;
	weft_future *f, *g;
	int out[3] = {-1, -1, -1};

	(void)arg;
	T_EQ(weft_future_all(NULL, 0, NULL, 0), 0);
	T_EQ(weft_future_all_settled(NULL, 0, NULL), 0);
	T_EQ(weft_future_race(NULL, 0, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_future_any(NULL, 0, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_future_all(NULL, 1, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_promise_make(sizeof(int), &p, &f), 0);
	T_EQ(weft_promise_make(8, &q, &g), 0);
	same[0] = same[1] = same[2] = f;
	other[0] = f;
	other[1] = g;
	hole[0] = f;
	hole[1] = NULL;
	T_EQ(weft_future_all(same, -1, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_future_all(same, 65536, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_future_all(same, 3, NULL, 2), WEFT_EINVAL);
	T_EQ(weft_future_race(same, 3, NULL, 2), WEFT_EINVAL);
	T_EQ(weft_future_any(same, 3, NULL, 2), WEFT_EINVAL);
	T_EQ(weft_future_all(hole, 2, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_future_race(hole, 2, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_future_any(hole, 2, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_future_all_settled(hole, 2, NULL), WEFT_EINVAL);
	T_EQ(weft_future_all(other, 2, out, 0), WEFT_EINVAL); /* of two sizes */
	T_EQ(weft_future_all_until(other, 2, NULL, 0, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_future_all_until(same, 3, out, 0, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_promise_resolve(p, &(int){6}), 0);
	T_EQ(weft_future_all(same, 3, out, 0), 0); /* the same three times */
	for (int i = 0; i < 3; i++)
		T_EQ(out[i], 6);
	weft_promise_free(p);
	weft_promise_free(q);
	weft_future_free(f);
	weft_future_free(g);
	return 0;
}

TEST_WORKERS(odd_arguments)
{
	run(odd_main, NULL);
}

/* --- many at once, ended from everywhere --- */

struct storm {
	struct many *m;
	int from, step;
	bool fail;
};

static int storms(void *arg)
{
	struct storm *s = arg;

	for (int i = s->from; i < s->m->n; i += s->step) {
		if (s->fail && i % 7 == 3)
			bad(s->m, i);
		else
			good(s->m, i);
		if (i % 5 == 0)
			weft_task_yield();
	}
	return 0;
}

static void *thread_storms(void *arg)
{
	storms(arg);
	return NULL;
}

static int storm_main(void *arg)
{
	enum { STORMS = 4 };
	long rounds = tap_iters(300);
	static struct many m;

	(void)arg;
	for (long r = 0; r < rounds; r++) {
		struct storm s[STORMS];
		weft_task *t[STORMS], *c;
		pthread_t th;
		int rc;

		make(&m, r % 3 ? LOTS : N, calls[(size_t)r % ARRAY_LEN(calls)]);
		c = start(caller, &m);
		for (int i = 0; i < STORMS; i++) {
			s[i] = (struct storm){&m, i, STORMS, r % 2};
			if (i)
				t[i] = start(storms, &s[i]);
		}
		T_EQ(pthread_create(&th, NULL, thread_storms, &s[0]), 0);
		rc = finish(c);
		for (int i = 1; i < STORMS; i++)
			finish(t[i]);
		T_EQ(pthread_join(th, NULL), 0);
		if (m.call == call_all)
			T_OK(r % 2 ? rc <= -1003 : rc == 0);
		else if (m.call == call_settled)
			T_EQ(rc, 0);
		else
			T_OK(rc >= 0 && rc < m.n);
		for (int i = 0; i < m.n; i++)
			T_EQ(weft_future_poll(m.f[i], NULL), r % 2 && i % 7 == 3 ? -1000 - i : 0);
		unmake(&m);
	}
	return 0;
}

TEST_WORKERS(ended_from_everywhere)
{
	run(storm_main, NULL);
}
