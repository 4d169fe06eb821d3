/* SPDX-License-Identifier: MIT
 *
 * future.c - futures end once, in one way, for all who wait; a promise that is dropped is an error and not a hang.
 */
#include "late.h"

#include "weft/future.h"
#include <pthread.h>

struct pair {
	weft_promise *p;
	weft_future *f;
};

static struct pair pair(void)
{
	struct pair x;

	T_EQ(weft_promise_make(sizeof(int), &x.p, &x.f), 0);
	return x;
}

static void pair_free(struct pair x)
{
	weft_promise_free(x.p);
	weft_future_free(x.f);
}

static int resolve(weft_promise *p, int v)
{
	return weft_promise_resolve(p, &v);
}

/* --- how it ends --- */

static void ended_as(weft_future *f, int status, int value)
{
	weft_case c[] = {WEFT_FUTURE(f, NULL)};
	int v = -1;

	T_OK(weft_future_done(f));
	T_EQ(weft_future_poll(f, &v), status);
	T_EQ(v, status ? -1 : value);
	T_EQ(weft_future_poll(f, NULL), status);
	v = -1;
	T_EQ(weft_future_await(f, &v), status);
	T_EQ(v, status ? -1 : value);
	T_EQ(weft_future_await_until(f, NULL, WEFT_NOW), status);
	T_EQ(weft_chan_select(c, 1), 0);
	T_EQ(c[0].status, status);
}

static int ends_main(void *arg)
{
	struct pair x = pair();
	int v = -1;

	(void)arg;
	T_OK(!weft_future_done(x.f));
	T_OK(!weft_promise_canceled(x.p));
	T_EQ(weft_future_poll(x.f, &v), WEFT_EAGAIN);
	T_EQ(weft_future_await_until(x.f, &v, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_future_await_until(x.f, &v, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(v, -1);
	T_EQ(resolve(x.p, 7), 0);
	ended_as(x.f, 0, 7);
	T_EQ(resolve(x.p, 8), WEFT_EALREADY); /* the first wins */
	T_EQ(weft_promise_reject(x.p, WEFT_EPIPE), WEFT_EALREADY);
	T_EQ(weft_future_cancel(x.f), WEFT_EALREADY);
	T_OK(!weft_promise_canceled(x.p));
	ended_as(x.f, 0, 7);
	pair_free(x);

	x = pair();
	T_EQ(weft_promise_reject(x.p, WEFT_EPIPE), 0);
	T_EQ(resolve(x.p, 8), WEFT_EALREADY);
	ended_as(x.f, WEFT_EPIPE, 0);
	pair_free(x);

	x = pair(); /* a value of NULL: zeroes */
	T_EQ(weft_promise_resolve(x.p, NULL), 0);
	ended_as(x.f, 0, 0);
	pair_free(x);

	x = pair();
	T_EQ(weft_future_cancel(x.f), 0);
	T_EQ(weft_future_cancel(x.f), WEFT_EALREADY);
	T_OK(weft_promise_canceled(x.p));
	T_EQ(resolve(x.p, 8), WEFT_EALREADY);
	ended_as(x.f, WEFT_ECANCELED, 0);
	pair_free(x);

	x = pair(); /* dropped; but not while somebody else has a reference */
	weft_promise_free(weft_promise_ref(x.p));
	T_OK(!weft_future_done(x.f));
	weft_promise_free(x.p);
	ended_as(x.f, WEFT_EBROKEN, 0);
	weft_future_free(x.f);

	x = pair(); /* nobody wants it */
	weft_future_free(weft_future_ref(x.f));
	T_OK(!weft_promise_canceled(x.p));
	weft_future_free(x.f);
	T_OK(weft_promise_canceled(x.p));
	T_EQ(resolve(x.p, 8), WEFT_EALREADY);
	weft_promise_free(x.p);

	x = pair(); /* dropped after the end: nothing of that */
	T_EQ(resolve(x.p, 9), 0);
	weft_promise_free(x.p);
	ended_as(x.f, 0, 9);
	weft_future_free(x.f);
	return 0;
}

TEST_WORKERS(ends_once)
{
	run(ends_main, NULL);
}

TEST(arguments)
{
	char wide[65535], back[65535];
	weft_promise *p = (weft_promise *)wide;
	weft_future *f = (weft_future *)wide;
	weft_case cases[] = {WEFT_FUTURE(NULL, NULL), WEFT_PROMISE(NULL)};

	T_EQ(weft_promise_make(65536, &p, &f), WEFT_EINVAL);
	T_OK(!p && !f);
	f = (weft_future *)wide;
	T_EQ(weft_promise_make(1, NULL, &f), WEFT_EINVAL);
	T_OK(!f);
	p = (weft_promise *)wide;
	T_EQ(weft_promise_make(1, &p, NULL), WEFT_EINVAL);
	T_OK(!p);
	T_EQ(weft_promise_resolve(NULL, wide), WEFT_EINVAL);
	T_EQ(weft_promise_reject(NULL, WEFT_EPIPE), WEFT_EINVAL);
	T_EQ(weft_future_cancel(NULL), WEFT_EINVAL);
	T_EQ(weft_future_poll(NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_future_await(NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_future_ready(NULL, 65536), NULL);
	T_EQ(weft_future_failed(0), NULL);
	T_EQ(weft_future_failed(5), NULL);
	weft_promise_free(NULL);
	weft_future_free(NULL);
	T_EQ(weft_chan_select_until(cases, 2, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);

	T_EQ(weft_promise_make(sizeof wide, &p, &f), 0); /* as wide as can be */
	T_EQ(weft_promise_reject(p, 0), WEFT_EINVAL);
	T_EQ(weft_promise_reject(p, 5), WEFT_EINVAL);
	for (size_t i = 0; i < sizeof wide; i++)
		wide[i] = (char)(i * 7);
	T_EQ(weft_promise_resolve(p, wide), 0);
	T_EQ(weft_future_await(f, back), 0);
	T_EQ(memcmp(wide, back, sizeof wide), 0);
	weft_promise_free(p);
	weft_future_free(f);
	T_EQ(weft_promise_make(0, &p, &f), 0); /* no value: only that it ends */
	T_EQ(weft_promise_resolve(p, NULL), 0);
	T_EQ(weft_future_await(f, NULL), 0);
	weft_promise_free(p);
	weft_future_free(f);
}

/* --- waiting --- */

static int waits(void *arg)
{
	int v = -1, rc = weft_future_await(arg, &v);

	return rc ? rc : v;
}

static weft_task *start_wait(weft_future *f)
{
	weft_task *t = start(waits, f);

	until_reason(t, "future");
	return t;
}

enum how { VALUE, ERROR, CANCEL, DROP };

static int end_it(struct pair x, enum how how)
{
	switch (how) {
	case VALUE:
		T_EQ(resolve(x.p, 42), 0);
		return 42;
	case ERROR:
		T_EQ(weft_promise_reject(x.p, WEFT_ELAGGED), 0);
		return WEFT_ELAGGED;
	case CANCEL:
		T_EQ(weft_future_cancel(x.f), 0);
		return WEFT_ECANCELED;
	default:
		weft_promise_free(weft_promise_ref(x.p));
		weft_promise_free(x.p);
		return WEFT_EBROKEN;
	}
}

static int waiting_main(void *arg)
{
	enum { N = 20 };
	weft_task *t[N];

	(void)arg;
	for (int how = VALUE; how <= DROP; how++) { /* all get the same */
		struct pair x = pair();
		int want;

		for (int i = 0; i < N; i++)
			t[i] = start_wait(x.f);
		want = end_it(x, (enum how)how);
		for (int i = 0; i < N; i++)
			T_EQ(finish(t[i]), want);
		if (how == DROP)
			weft_future_free(x.f);
		else
			pair_free(x);
	}
	return 0;
}

TEST_WORKERS(all_who_wait_get_the_same)
{
	run(waiting_main, NULL);
}

static int picks(void *arg)
{
	struct pair *x = arg;
	weft_case cases[] = {WEFT_PROMISE(x->p), WEFT_FUTURE(NULL, NULL)};

	T_EQ(weft_chan_select(cases, 2), 0);
	return cases[0].status;
}

static int told_main(void *arg)
{
	(void)arg;
	for (int how = VALUE; how <= CANCEL; how++) {
		struct pair x = pair();
		weft_task *t = start(picks, &x);

		until_reason(t, "select");
		(void)end_it(x, (enum how)how);
		T_EQ(finish(t), how == CANCEL ? WEFT_ECANCELED : WEFT_EALREADY);
		T_EQ(picks(&x), how == CANCEL ? WEFT_ECANCELED : WEFT_EALREADY);
		pair_free(x);
	}
	struct pair x = pair(); /* the last who could want it goes */
	weft_task *t = start(picks, &x);

	until_reason(t, "select");
	weft_future_free(x.f);
	T_EQ(finish(t), WEFT_ECANCELED);
	weft_promise_free(x.p);
	return 0;
}

/* Who makes the value hears that nobody wants it. */
TEST_WORKERS(the_producer_is_told)
{
	run(told_main, NULL);
}

struct picking {
	weft_future *f;
	weft_chan *c;
	int v;
};

static int picks_one(void *arg)
{
	struct picking *k = arg;
	weft_case cases[] = {WEFT_RECV(k->c, NULL), WEFT_FUTURE(k->f, &k->v)};
	int i = weft_chan_select(cases, 2);

	T_GE(i, 0);
	return i == 1 && cases[1].status ? cases[1].status : i;
}

static int select_main(void *arg)
{
	struct pair x = pair();
	struct picking k = {x.f, weft_chan_make(sizeof(int), 0), -1};
	weft_task *t = start(picks_one, &k);

	(void)arg;
	until_reason(t, "select");
	T_EQ(weft_chan_send(k.c, &(int){1}), 0);
	T_EQ(finish(t), 0);
	T_EQ(k.v, -1);
	t = start(picks_one, &k);
	until_reason(t, "select");
	T_EQ(resolve(x.p, 5), 0);
	T_EQ(finish(t), 1);
	T_EQ(k.v, 5);
	pair_free(x);
	x = pair();
	k.f = x.f;
	k.v = -1;
	T_EQ(weft_promise_reject(x.p, WEFT_EPIPE), 0);
	T_EQ(picks_one(&k), WEFT_EPIPE);
	T_EQ(k.v, -1);
	pair_free(x);
	weft_chan_free(k.c);
	return 0;
}

TEST_WORKERS(in_a_select)
{
	run(select_main, NULL);
}

static void late_end(void *arg)
{
	T_EQ(resolve(arg, 6), 0);
}

static int late_main(void *arg)
{
	(void)arg;
	for (int after = 0; after < 2; after++) {
		struct pair x = pair();
		int v = -1;
		struct late late = {late_end, x.p};
		weft_case cases[2];

		cases[after] = WEFT_FUTURE(x.f, &v);
		cases[!after] = LATE(&late);
		T_EQ(weft_chan_select(cases, 2), after);
		T_EQ(v, 6);
		pair_free(x);
	}
	return 0;
}

/* Ended between the look and the listing, or just after it. */
TEST_WORKERS(ends_while_it_is_listed)
{
	run(late_main, NULL);
}

static int cancelled_main(void *arg)
{
	struct pair x = pair();
	weft_task *t = start_wait(x.f), *u = start_wait(x.f);

	(void)arg;
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(weft_future_poll(x.f, NULL), WEFT_EAGAIN); /* the caller's own: the future is what it was */
	T_EQ(resolve(x.p, 3), 0);
	T_EQ(finish(u), 3);
	pair_free(x);
	return 0;
}

TEST_WORKERS(who_is_cancelled_leaves_it_alone)
{
	run(cancelled_main, NULL);
}

/* --- who frees it --- */

/* Frees the future as soon as it has been waited for, while the producer is still on its way out of resolve. */
static int waits_and_frees(void *arg)
{
	weft_future *f = arg;
	int v = -1, rc = weft_future_await(f, &v);

	weft_future_free(f);
	return rc ? rc : v;
}

static int gives(void *arg)
{
	weft_promise *p = arg;

	T_EQ(resolve(p, 11), 0);
	weft_promise_free(p);
	return 0;
}

static void *thread_gives(void *arg)
{
	gives(arg);
	return NULL;
}

static int freed_main(void *arg)
{
	long n = tap_iters(2000);

	(void)arg;
	for (long i = 0; i < n; i++) {
		struct pair x = pair();
		weft_task *a = start(waits_and_frees, x.f), *b = NULL;
		pthread_t th;

		if (i % 50 == 0)
			T_EQ(pthread_create(&th, NULL, thread_gives, x.p), 0);
		else
			b = start(gives, x.p);
		T_EQ(finish(a), 11);
		if (b)
			finish(b);
		else
			T_EQ(pthread_join(th, NULL), 0);
	}
	return 0;
}

TEST_WORKERS(freed_at_once)
{
	run(freed_main, NULL);
}

static int dies_main(void *arg)
{
	struct pair x = pair();
	weft_task *t = start_wait(x.f);

	(void)arg;
	weft_future_free(x.f);
	weft_task_detach(t);
	return 0;
}

TEST_DIES_WORKERS(freed_while_waited_for, "weft_future_free: task")
{
	run(dies_main, NULL);
}

static int hopeless_main(void *arg)
{
	return weft_future_await(arg, NULL);
}

/* Nobody is left to end it: that is a deadlock, and said to be one. */
TEST_WORKERS(nobody_is_left)
{
	struct pair x = pair();

	T_EQ(run_with(hopeless_main, x.f, (weft_opts){.workers = 0}), WEFT_EDEADLK);
	pair_free(x);
}

static int dies_promise_main(void *arg)
{
	struct pair x = pair();
	weft_task *t = start(picks, &x);

	(void)arg;
	until_reason(t, "select");
	weft_promise_free(x.p);
	weft_task_detach(t);
	return 0;
}

TEST_DIES_WORKERS(promise_freed_while_waited_for, "weft_promise_free: task")
{
	run(dies_promise_main, NULL);
}

static void *outside(void *arg)
{
	int v = -1;

	T_EQ(weft_future_await(arg, &v), 0);
	return (void *)(intptr_t)v;
}

/* Between threads alone, without a runtime. */
TEST(threads_alone)
{
	for (int i = 0; i < 50; i++) {
		struct pair x = pair();
		pthread_t th;
		void *got;

		T_EQ(pthread_create(&th, NULL, outside, x.f), 0);
		if (i % 2)
			sched_yield();
		T_EQ(resolve(x.p, i), 0);
		T_EQ(pthread_join(th, &got), 0);
		T_EQ((intptr_t)got, i);
		pair_free(x);
	}
}

/* Ended already when they are made. */
TEST(ready_and_failed)
{
	int v = 17;
	weft_future *f = weft_future_ready(&v, sizeof v), *g = weft_future_failed(WEFT_EPIPE), *z = weft_future_ready(NULL, sizeof v);

	ended_as(f, 0, 17);
	ended_as(g, WEFT_EPIPE, 0);
	ended_as(z, 0, 0);
	T_EQ(weft_future_cancel(f), WEFT_EALREADY);
	weft_future_free(f);
	weft_future_free(g);
	weft_future_free(z);
}
