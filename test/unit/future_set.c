/* SPDX-License-Identifier: MIT
 *
 * future_set.c - sync/future_set.c: futures taken in the order in which they end.
 */
#include "rt.h"

#include "weft/future.h"
#include <pthread.h>

#define MANY 20

struct pair {
	weft_promise *p;
	weft_future *f;
};

static struct pair make(void)
{
	struct pair k;

	T_EQ(weft_promise_make(sizeof(int), &k.p, &k.f), 0);
	return k;
}

static void give(struct pair *k, int v)
{
	T_EQ(weft_promise_resolve(k->p, &v), 0);
	weft_promise_free(k->p);
}

static int value(weft_future *f)
{
	int v = -1, rc = weft_future_poll(f, &v);

	weft_future_free(f);
	return rc ? rc : v;
}

static int order_main(void *arg)
{
	weft_futures *s = weft_futures_make();
	struct pair k[MANY];
	weft_ended e;

	(void)arg;
	T_EQ(weft_futures_next(s, &e), WEFT_ENOENT);
	for (int i = 0; i < MANY; i++) {
		k[i] = make();
		T_EQ(weft_futures_add(s, k[i].f, (uint64_t)i), 0);
	}
	T_EQ(weft_futures_len(s), MANY);
	T_EQ(weft_futures_next_until(s, &e, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_futures_next_until(s, &e, 1), WEFT_ETIMEDOUT);
	for (int i = 0; i < MANY; i++)
		give(&k[i * 7 % MANY], i);
	T_EQ(weft_futures_add(s, weft_future_ready(&(int){99}, sizeof(int)), 99), 0); /* it has ended */
	for (int i = 0; i < MANY; i++) {
		T_EQ(weft_futures_next_until(s, &e, WEFT_NOW), 0);
		T_EQ(e.label, (uint64_t)(i * 7 % MANY));
		T_EQ(value(e.f), i);
	}
	T_EQ(weft_futures_next(s, &e), 0);
	T_EQ(value(e.f), 99);
	T_EQ(weft_futures_next(s, &e), WEFT_ENOENT);
	T_EQ(weft_futures_len(s), 0);
	T_EQ(weft_futures_next(NULL, &e), WEFT_EINVAL);
	T_EQ(weft_futures_next(s, NULL), WEFT_EINVAL);
	T_EQ(weft_futures_add(s, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_futures_add(NULL, e.f, 0), WEFT_EINVAL);
	weft_futures_free(s);
	weft_futures_free(NULL);
	return 0;
}

/* They come in the order in which they ended, with their labels; an empty set says so. */
TEST_WORKERS(order_of_ends)
{
	run(order_main, NULL);
}

/* It needs no runtime. */
TEST(without_a_runtime)
{
	T_EQ(order_main(NULL), 0);
}

static int takes(void *arg)
{
	weft_ended e;
	int rc = weft_futures_next(arg, &e);

	return rc ? rc : value(e.f);
}

static int waits_main(void *arg)
{
	weft_futures *s = weft_futures_make();
	struct pair k = make(), more = make();
	weft_task *t, *u, *v;

	(void)arg;
	T_EQ(weft_futures_add(s, k.f, 0), 0);
	t = start(takes, s);
	until_reason(t, "future");
	give(&k, 5);
	T_EQ(finish(t), 5);
	T_EQ(weft_futures_add(s, more.f, 0), 0);
	t = start(takes, s);
	u = start(takes, s);
	v = start(takes, s);
	until_reason(t, "future");
	until_reason(u, "future");
	until_reason(v, "future");
	weft_task_cancel(v);
	T_EQ(finish(v), WEFT_ECANCELED);
	give(&more, 6);
	T_EQ(finish(t) + finish(u), 6 + WEFT_ENOENT); /* one has it; for the other there is none left */
	weft_futures_free(s);
	return 0;
}

/* Who waits is woken by the next that ends; when there is none left, told. */
TEST_WORKERS(waited_for)
{
	run(waits_main, NULL);
}

static int select_main(void *arg)
{
	weft_futures *s = weft_futures_make();
	weft_chan *c = weft_chan_make(sizeof(int), 1);
	struct pair k = make();
	weft_ended e = {NULL, 0};
	int v = 1;
	weft_case cases[] = {WEFT_FUTURES(s, &e), WEFT_RECV(c, &v)};

	(void)arg;
	T_EQ(weft_futures_add(s, k.f, 3), 0);
	T_EQ(weft_chan_send(c, &v), 0);
	T_EQ(weft_chan_select(cases, 2), 1);
	give(&k, 7);
	T_EQ(weft_chan_select(cases, 2), 0);
	T_EQ(cases[0].status, 0);
	T_EQ(e.label, 3);
	T_EQ(value(e.f), 7);
	T_EQ(weft_chan_select(cases, 2), 0);
	T_EQ(cases[0].status, WEFT_ENOENT);
	weft_chan_free(c);
	weft_futures_free(s);
	return 0;
}

/* A select takes one, too. */
TEST_WORKERS(selected)
{
	run(select_main, NULL);
}

static int freed_main(void *arg)
{
	weft_futures *s = weft_futures_make();
	struct pair k = make(), done = make(), kept = make();

	(void)arg;
	T_EQ(weft_futures_add(s, k.f, 0), 0);
	T_EQ(weft_futures_add(s, done.f, 0), 0);
	T_EQ(weft_futures_add(s, weft_future_ref(kept.f), 0), 0);
	give(&done, 1);
	weft_futures_free(s);
	T_OK(weft_promise_canceled(k.p)); /* nobody else wants it */
	T_OK(!weft_promise_canceled(kept.p));
	weft_promise_free(k.p);
	give(&kept, 2);
	T_EQ(value(kept.f), 2);
	return 0;
}

/* A set that is given back gives back what is in it. */
TEST_WORKERS(freed)
{
	run(freed_main, NULL);
}

static int gives_all(void *arg)
{
	struct pair *k = arg;

	for (int i = 0; i < MANY; i++) {
		int rc = weft_promise_resolve(k[i].p, &i);

		T_OK(rc == 0 || rc == WEFT_EALREADY);
		weft_promise_free(k[i].p);
	}
	return 0;
}

static int race_main(void *arg)
{
	(void)arg;
	for (int round = 0; round < tap_iters(100); round++) {
		weft_futures *s = weft_futures_make();
		struct pair k[MANY];
		weft_task *t;
		weft_ended e;
		int n = 0, rc;

		for (int i = 0; i < MANY; i++)
			k[i] = make();
		t = start(gives_all, k);
		for (int i = 0; i < MANY; i++)
			T_EQ(weft_futures_add(s, k[i].f, (uint64_t)i), 0);
		for (; n < round % MANY; n++) {
			rc = weft_futures_next(s, &e);
			T_EQ(rc, 0);
			T_EQ(value(e.f), (int)e.label);
		}
		weft_futures_free(s); /* while the others end */
		T_EQ(finish(t), 0);
	}
	return 0;
}

/* Futures end while the set is given back: each is told of once, or not at all. */
TEST_WORKERS(freed_while_they_end)
{
	run(race_main, NULL);
}
