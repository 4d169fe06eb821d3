/* SPDX-License-Identifier: MIT
 *
 * ctx_more.c - contexts: values, causes, two parents, who is told of the end, blocks under a context, and shields.
 */
#include "rt.h"

#include "weft/chan.h"
#include "weft/scope.h"
#include <pthread.h>

/* --- values and causes --- */

static int waits_for_nothing(void *arg)
{
	weft_ctx *c = weft_ctx_make(NULL), *up = weft_ctx_enter(c);

	(void)arg;
	(void)weft_ctx_cancel(c, 1 << 30);
	weft_ctx_leave(up);
	weft_ctx_free(c);
	return weft_chan_recv(NULL, NULL);
}

static int dropped;

static void drop(void *value)
{
	dropped += *(int *)value;
}

static int values_main(void *arg)
{
	static const char k1, k2;
	int one = 1, two = 2, ten = 10;
	weft_ctx *a = weft_ctx_with_value(NULL, &k1, &one, drop), *b = weft_ctx_with_value(a, &k2, &two, drop);
	weft_ctx *c = weft_ctx_with_value(b, &k1, &ten, drop), *d = weft_ctx_without_cancel(c), *up;

	(void)arg;
	dropped = 0;
	T_EQ(weft_ctx_with_value(NULL, NULL, &one, drop), NULL);
	T_EQ(weft_ctx_value(NULL, &k1), NULL);
	T_EQ(weft_ctx_value(a, &k1), &one);
	T_EQ(weft_ctx_value(a, &k2), NULL);
	T_EQ(weft_ctx_value(d, &k1), &ten); /* the nearest */
	T_EQ(weft_ctx_value(d, &k2), &two);
	T_EQ(weft_ctx_value(d, NULL), NULL);
	up = weft_ctx_enter(d);
	T_EQ(weft_ctx_value(NULL, &k1), &ten);
	weft_ctx_leave(up);
	weft_ctx_free(a);
	weft_ctx_free(b);
	weft_ctx_free(c);
	T_EQ(dropped, 0); /* d holds them all */
	weft_ctx_free(d);
	T_EQ(dropped, 13);
	return 0;
}

TEST_WORKERS(values)
{
	run(values_main, NULL);
}

static int causes_main(void *arg)
{
	char word[] = "the user has left";
	weft_ctx *a = weft_ctx_make(NULL), *b = weft_ctx_make(a), *born, *late;

	(void)arg;
	T_STR_EQ(weft_ctx_cause(NULL), "");
	T_STR_EQ(weft_ctx_cause(b), "");
	T_EQ(weft_ctx_cancel_cause(a, WEFT_REASON_USER + 7, word), 0);
	T_EQ(weft_ctx_cancel_cause(a, WEFT_REASON_USER, "another"), WEFT_EALREADY);
	word[0] = '?'; /* copied */
	born = weft_ctx_make(b);
	weft_ctx_free(a);
	weft_ctx_free(b);
	T_STR_EQ(weft_ctx_cause(born), "the user has left");
	T_EQ(weft_ctx_reason(born), WEFT_REASON_PARENT);
	weft_ctx_free(born);
	a = weft_ctx_make(NULL);
	T_EQ(weft_ctx_cancel(a, 0), 0);
	T_EQ(weft_ctx_reason(a), WEFT_REASON_CANCELED);
	T_STR_EQ(weft_ctx_cause(a), "cancelled");
	weft_ctx_free(a);
	late = weft_ctx_with_deadline(NULL, weft_now());
	T_STR_EQ(weft_ctx_cause(late), "the deadline has passed");
	weft_ctx_free(late);
	T_EQ(weft_ctx_cancel_cause(weft_ctx_self(), WEFT_REASON_CANCELED, "no"), WEFT_EINVAL);
	return 0;
}

TEST_WORKERS(causes)
{
	run(causes_main, NULL);
}

static int any_reason_main(void *arg)
{
	static const int reasons[] = {1 << 30, 0x53544f50, INT32_MAX, WEFT_REASON_USER};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		weft_ctx *c = weft_ctx_make(NULL);
		weft_task *t;

		T_EQ(weft_ctx_cancel(c, reasons[i]), 0);
		WEFT_WITH_CTX (c) {
			T_EQ(weft_ctx_check(), WEFT_ECANCELED);
			T_EQ(weft_task_sleep(1), WEFT_ECANCELED);
		}
		T_EQ(weft_ctx_reason(c), reasons[i]);
		T_EQ(weft_ctx_check(), 0);
		weft_ctx_free(c);
		t = start(waits_for_nothing, NULL); /* no shield is left behind */
		until_parked(t);
		T_EQ(weft_task_cancel(t), 0);
		T_EQ(finish(t), WEFT_ECANCELED);
	}
	return 0;
}

TEST_WORKERS(any_number_is_a_reason)
{
	run(any_reason_main, NULL);
}

/* --- two parents --- */

static int linked_main(void *arg)
{
	int64_t soon = weft_in(WEFT_SEC * 100);
	weft_ctx *a, *b, *c, *d, *e;

	(void)arg;
	for (int way = 0; way < 2; way++) {
		a = weft_ctx_with_deadline(NULL, soon + way);
		b = weft_ctx_with_deadline(NULL, soon + 1 - way);
		c = weft_ctx_linked(a, b);
		d = weft_ctx_make(c);
		e = weft_ctx_linked(b, d); /* linked again below a linked one */
		T_EQ(weft_ctx_deadline(c), soon);
		T_EQ(weft_ctx_cancel_cause(way ? a : b, WEFT_REASON_CANCELED, "that one"), 0);
		T_EQ(weft_ctx_reason(way ? b : a), WEFT_NOT_CANCELED);
		T_EQ(weft_ctx_reason(c), WEFT_REASON_PARENT);
		T_EQ(weft_ctx_reason(d), WEFT_REASON_PARENT);
		T_EQ(weft_ctx_reason(e), WEFT_REASON_PARENT);
		T_STR_EQ(weft_ctx_cause(d), "that one");
		T_STR_EQ(weft_ctx_cause(e), "that one");
		weft_ctx_free(e);
		e = weft_ctx_linked(way ? b : a, way ? a : b); /* born so */
		T_EQ(weft_ctx_reason(e), WEFT_REASON_PARENT);
		T_STR_EQ(weft_ctx_cause(e), "that one");
		weft_ctx_free(a);
		weft_ctx_free(b);
		weft_ctx_free(c);
		weft_ctx_free(d);
		weft_ctx_free(e);
	}
	a = weft_ctx_make(NULL);
	c = weft_ctx_linked(NULL, a);
	weft_ctx_free(c); /* gone before its second parent is cancelled */
	d = weft_ctx_linked(a, a);
	e = weft_ctx_linked(a, weft_ctx_self());
	T_EQ(weft_ctx_cancel(a, WEFT_REASON_CANCELED), 0);
	T_EQ(weft_ctx_reason(d), WEFT_REASON_PARENT);
	T_EQ(weft_ctx_reason(e), WEFT_REASON_PARENT);
	weft_ctx_free(a);
	weft_ctx_free(d);
	weft_ctx_free(e);
	return 0;
}

TEST_WORKERS(two_parents)
{
	run(linked_main, NULL);
}

static void *links_and_frees(void *arg)
{
	weft_ctx *a = arg;

	for (long k = tap_iters(2000); k > 0; k--) {
		weft_ctx *c = weft_ctx_linked(NULL, a);

		weft_ctx_free(c);
	}
	return NULL;
}

static int linked_race_main(void *arg)
{
	(void)arg;
	for (long k = tap_iters(20); k > 0; k--) {
		weft_ctx *a = weft_ctx_make(NULL), *kept = weft_ctx_linked(NULL, a);
		pthread_t threads[3];

		for (size_t i = 0; i < ARRAY_LEN(threads); i++)
			T_EQ(pthread_create(&threads[i], NULL, links_and_frees, a), 0);
		weft_task_yield();
		T_EQ(weft_ctx_cancel(a, WEFT_REASON_CANCELED), 0);
		T_EQ(weft_ctx_reason(kept), WEFT_REASON_PARENT);
		for (size_t i = 0; i < ARRAY_LEN(threads); i++)
			T_EQ(pthread_join(threads[i], NULL), 0);
		weft_ctx_free(kept);
		weft_ctx_free(a);
	}
	return 0;
}

/* Who cancels the second parent finds contexts that are being freed, and those that are being made. */
TEST_WORKERS(two_parents_race)
{
	run(linked_race_main, NULL);
}

/* --- who is told --- */

static int waits_for(void *arg)
{
	return weft_ctx_wait(arg);
}

static int waits_with_select(void *arg)
{
	int why = -1;
	weft_case cases[] = {WEFT_RECV(NULL, NULL), WEFT_DONE(NULL, NULL), WEFT_DONE((weft_ctx *)arg, &why)};

	T_EQ(weft_chan_select(cases, 3), 2);
	T_EQ(cases[2].status, 0);
	return why;
}

static int told_main(void *arg)
{
	weft_ctx *a = weft_ctx_make(NULL), *b = weft_ctx_make(a), *late;
	weft_task *t[4];
	int why;

	(void)arg;
	T_EQ(weft_ctx_wait_until(a, WEFT_NOW), WEFT_EAGAIN);
	t[0] = start(waits_for, a);
	t[1] = start(waits_for, b);
	t[2] = start(waits_with_select, a);
	t[3] = start(waits_with_select, b);
	until_reason(t[0], "context");
	until_reason(t[1], "context");
	until_reason(t[2], "select");
	until_reason(t[3], "select");
	T_EQ(weft_ctx_cancel(a, WEFT_REASON_USER + 3), 0);
	T_EQ(finish(t[0]), 0);
	T_EQ(finish(t[1]), 0);
	T_EQ(finish(t[2]), WEFT_REASON_USER + 3);
	T_EQ(finish(t[3]), WEFT_REASON_PARENT);
	T_EQ(weft_ctx_wait_until(a, WEFT_NOW), 0);
	T_EQ(weft_chan_select_until(&WEFT_DONE(b, &why), 1, WEFT_NOW), 0);
	T_EQ(why, WEFT_REASON_PARENT);
	weft_ctx_free(b);
	weft_ctx_free(a);

	/* a deadline, and one's own end */
	time_fake();
	late = weft_ctx_with_deadline(NULL, weft_in(WEFT_SEC));
	a = weft_ctx_make(NULL);
	t[0] = start(waits_for, late);
	t[1] = start(waits_with_select, late);
	t[2] = start(waits_for, a);
	until_reason(t[0], "context");
	until_reason(t[1], "select");
	until_reason(t[2], "context");
	T_EQ(weft_ctx_wait_until(late, weft_in(-1)), WEFT_ETIMEDOUT);
	time_move(WEFT_SEC);
	T_EQ(finish(t[0]), 0);
	T_EQ(finish(t[1]), WEFT_REASON_DEADLINE);
	T_EQ(weft_task_cancel(t[2]), 0);
	T_EQ(finish(t[2]), WEFT_ECANCELED);
	weft_ctx_free(late);
	weft_ctx_free(a);
	time_real();
	return 0;
}

TEST_WORKERS(told_of_the_end)
{
	run(told_main, NULL);
}

static int freed_main(void *arg)
{
	weft_ctx *c = weft_ctx_make(NULL);
	weft_task *t = start(waits_for, c);

	(void)arg;
	until_reason(t, "context");
	weft_ctx_free(c);
	return 0;
}

TEST_DIES_WORKERS(freed_while_waited_for, "weft_ctx_free: task")
{
	run(freed_main, NULL);
}

static void counts(void *arg)
{
	add_relaxed((ATOMIC(int) *)arg, 1); /* a counter */
	T_EQ(weft_ctx_check(), 0);
}

static int hooks_main(void *arg)
{
	weft_ctx *a = weft_ctx_make(NULL), *b = weft_ctx_make(a), *late;
	weft_ctx_hook *h, *g, *k;
	ATOMIC(int) n = 0, m = 0;

	(void)arg;
	T_EQ(weft_ctx_on_done(a, NULL, NULL), NULL);
	T_EQ(weft_ctx_forget(NULL), 0);
	h = weft_ctx_on_done(a, counts, (void *)&n);
	g = weft_ctx_on_done(b, counts, (void *)&n);
	k = weft_ctx_on_done(b, counts, (void *)&m);
	T_EQ(weft_ctx_forget(k), 1);
	T_EQ(weft_ctx_forget(weft_ctx_on_done(weft_ctx_self(), counts, (void *)&m)), 1); /* the root */
	T_EQ(weft_ctx_cancel(a, WEFT_REASON_CANCELED), 0);
	until(load_relaxed(&n) == 2);
	T_EQ(weft_ctx_forget(h), 0);
	T_EQ(weft_ctx_forget(g), 0);
	h = weft_ctx_on_done(b, counts, (void *)&n); /* at once */
	until(load_relaxed(&n) == 3);
	T_EQ(weft_ctx_forget(h), 0);
	weft_ctx_free(a);
	weft_ctx_free(b);

	time_fake();
	late = weft_ctx_with_deadline(NULL, weft_in(WEFT_SEC));
	h = weft_ctx_on_done(late, counts, (void *)&n);
	g = weft_ctx_on_done(late, counts, (void *)&m);
	T_EQ(weft_ctx_forget(g), 1);
	time_move(WEFT_SEC);
	until(load_relaxed(&n) == 4);
	T_EQ(weft_ctx_cancel(late, WEFT_REASON_CANCELED), 0); /* late as well: it has been called */
	T_EQ(weft_ctx_forget(h), 0);
	weft_ctx_free(late);
	time_real();
	weft_task_yield();
	T_EQ(load_relaxed(&n), 4);
	T_EQ(load_relaxed(&m), 0);
	return 0;
}

TEST_WORKERS(callbacks)
{
	run(hooks_main, NULL);
}

struct racing {
	weft_ctx *c;
	weft_ctx_hook *h;
	ATOMIC(int) n;
	ATOMIC(int) prevented;
};

static void called(void *arg)
{
	struct racing *r = arg;

	add_relaxed(&r->n, 1); /* a counter */
}

static int forgets(void *arg)
{
	struct racing *r = arg;

	add_relaxed(&r->prevented, weft_ctx_forget(r->h)); /* a counter */
	return 0;
}

static int hooks_race_main(void *arg)
{
	struct racing r;
	int runs = 0;

	(void)arg;
	store_relaxed(&r.n, 0);
	store_relaxed(&r.prevented, 0);
	for (long k = tap_iters(2000); k > 0; k--, runs++) {
		weft_task *t;

		r.c = weft_ctx_make(NULL);
		r.h = weft_ctx_on_done(r.c, called, &r);
		t = start(forgets, &r);
		if (k % 3)
			weft_task_yield();
		T_EQ(weft_ctx_cancel(r.c, WEFT_REASON_CANCELED), 0);
		T_EQ(finish(t), 0);
		weft_ctx_free(r.c);
	}
	until(load_relaxed(&r.n) + load_relaxed(&r.prevented) == runs); /* each exactly one of the two */
	return 0;
}

TEST_WORKERS(callback_or_forgotten)
{
	run(hooks_race_main, NULL);
}

struct forever {
	weft_ctx *c;
	weft_ctx_hook *h;
};

static int forever_main(void *arg)
{
	struct forever *f = arg;

	f->c = weft_ctx_make(NULL);
	f->h = weft_ctx_on_done(f->c, counts, NULL);
	return weft_chan_recv(NULL, NULL); /* nobody will cancel it: a callback that waits is no hope */
}

/* And it can be forgotten when its runtime is gone, or another one up. */
TEST_WORKERS(callbacks_are_no_hope)
{
	struct forever f[2];

	for (int i = 0; i < 2; i++) {
		T_EQ(weft_run(forever_main, &f[i], &(weft_opts){.workers = (int)tap_workers(), .max_tasks = 10}), WEFT_EDEADLK);
		T_OK(f[i].c && f[i].h);
	}
	for (int i = 0; i < 2; i++) {
		T_EQ(weft_ctx_cancel(f[i].c, WEFT_REASON_CANCELED), 0);
		T_EQ(weft_ctx_forget(f[i].h), 0);
		weft_ctx_free(f[i].c);
	}
}

/* --- blocks --- */

static int bounded(void *arg)
{
	(void)arg;
	return weft_task_sleep(WEFT_SEC * 1000);
}

static int in_block(int way)
{
	WEFT_WITH_TIMEOUT (WEFT_SEC) {
		if (way == 0)
			break;
		if (way == 1)
			continue;
		if (way == 2)
			return 2;
		if (way == 3)
			weft_task_panic("out");
		T_LE(weft_ctx_deadline(NULL), weft_in(WEFT_SEC));
	}
	return way;
}

static int in_block_of(void *arg)
{
	return in_block(*(int *)arg);
}

static int blocks_main(void *arg)
{
	weft_ctx *c = weft_ctx_make(NULL), *own = weft_ctx_self();
	int ran = 0;

	(void)arg;
	for (int way = 0; way < 5; way++) {
		T_EQ(weft_task_try(in_block_of, &way, NULL), way == 3 ? WEFT_EPANIC : way);
		T_EQ(weft_ctx_deadline(NULL), WEFT_FOREVER);
		T_EQ(weft_ctx_self(), own);
	}
	time_fake();
	WEFT_WITH_TIMEOUT (WEFT_SEC) {
		weft_task *t = start(bounded, NULL);

		WEFT_WITH_TIMEOUT (WEFT_SEC * 5) {
			T_EQ(weft_ctx_deadline(NULL), weft_in(WEFT_SEC)); /* the earlier */
		}
		until_reason(t, "sleep");
		time_move(WEFT_SEC);
		T_EQ(weft_task_sleep(1), WEFT_ETIMEDOUT);
		T_EQ(weft_ctx_check(), WEFT_ETIMEDOUT);
		WEFT_WITH_SHIELD
		{
			T_EQ(finish(t), WEFT_ETIMEDOUT);
		}
		ran++;
	}
	T_EQ(weft_ctx_check(), 0);
	time_real();
	WEFT_WITH_CTX (c) {
		T_EQ(weft_ctx_self(), c);
		T_EQ(weft_ctx_cancel(c, WEFT_REASON_CANCELED), 0);
		T_EQ(weft_ctx_check(), WEFT_ECANCELED);
		ran++;
	}
	T_EQ(weft_ctx_check(), 0);
	T_EQ(ran, 2);
	weft_ctx_free(c);
	return 0;
}

TEST_WORKERS(blocks)
{
	run(blocks_main, NULL);
}

/* --- shields --- */

static int shielded(void *arg)
{
	weft_chan *c = arg;
	int n = 0;

	T_EQ(weft_chan_recv(c, NULL), WEFT_ECANCELED);
	WEFT_WITH_SHIELD
	{
		T_EQ(weft_ctx_check(), 0);
		T_EQ(weft_chan_tryrecv(NULL, &n), WEFT_EAGAIN);
		WEFT_WITH_SHIELD
		{
			T_EQ(weft_chan_recv(c, &n), 0);
		}
		T_EQ(weft_chan_recv(c, &n), 0);
		WEFT_WITH_TIMEOUT (0) {
			T_EQ(weft_chan_recv(c, &n), WEFT_ETIMEDOUT); /* its own deadline counts */
		}
	}
	T_EQ(weft_chan_recv(c, &n), WEFT_ECANCELED);
	return n;
}

static int shield_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 0);

	(void)arg;
	for (int way = 0; way < 3; way++) {
		weft_ctx *x = weft_ctx_make(NULL);
		weft_task *t;
		int n = 7;

		T_EQ(weft_go_opts(&t, shielded, c, &(weft_task_opts){.ctx = x}), 0);
		until_parked(t);
		if (way != 0)
			T_EQ(weft_task_cancel(t), 0);
		if (way != 1)
			T_EQ(weft_ctx_cancel(x, WEFT_REASON_CANCELED), 0);
		T_EQ(weft_chan_send(c, &n), 0);
		n = 8;
		T_EQ(weft_chan_send(c, &n), 0);
		T_EQ(finish(t), 8);
		weft_ctx_free(x);
	}
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(shields)
{
	run(shield_main, NULL);
}

static int waits_shielded(void *arg)
{
	int rc = 0, n;

	WEFT_WITH_SHIELD
	{
		for (int i = 0; i < 3 && !rc; i++)
			rc = weft_chan_recv(arg, &n);
	}
	return rc ? rc : weft_ctx_check();
}

static int shield_race_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 0);

	(void)arg;
	for (int k = (int)tap_iters(1000); k > 0; k--) {
		weft_ctx *x = weft_ctx_make(NULL);
		weft_task *t;

		T_EQ(weft_go_opts(&t, waits_shielded, c, &(weft_task_opts){.ctx = x}), 0);
		if (k % 2)
			weft_task_yield();
		T_EQ(weft_chan_send(c, &k), 0);
		T_EQ(k % 3 ? weft_task_cancel(t) : weft_ctx_cancel(x, WEFT_REASON_CANCELED), 0);
		T_EQ(weft_chan_send(c, &k), 0);
		T_EQ(weft_chan_send(c, &k), 0);
		T_EQ(finish(t), WEFT_ECANCELED); /* behind the shield, not in it */
		weft_ctx_free(x);
	}
	weft_chan_free(c);
	return 0;
}

/* Cancelled at any moment of a shield: never in it, always behind it. */
TEST_WORKERS(shield_race)
{
	run(shield_race_main, NULL);
}
