/* SPDX-License-Identifier: MIT
 *
 * ctx.c - contexts: inherited, nested, born cancelled, entered and left; cancelled exactly once, and reaching everyone below.
 */
#include "rt.h"

#include "base/rand.h"

static int checks(void *arg)
{
	(void)arg;
	return weft_ctx_check();
}

static int tree_main(void *arg)
{
	weft_ctx *root = weft_ctx_self(), *a = weft_ctx_make(NULL), *b, *c, *up, *born;
	int64_t soon = weft_in(WEFT_SEC * 100);
	weft_task *t;

	(void)arg;
	T_EQ(weft_ctx_deadline(NULL), WEFT_FOREVER);
	T_EQ(weft_ctx_cancel(root, WEFT_REASON_CANCELED), WEFT_EINVAL);
	T_EQ(weft_ctx_cancel(NULL, WEFT_REASON_CANCELED), WEFT_EINVAL);
	T_EQ(weft_ctx_cancel(weft_ctx_self(), 0), WEFT_EINVAL);
	T_EQ(weft_ctx_cancel(a, WEFT_REASON_DEADLINE), WEFT_EINVAL);
	T_EQ(weft_ctx_cancel(a, WEFT_REASON_PARENT), WEFT_EINVAL);
	T_EQ(weft_ctx_cancel(a, -3), WEFT_EINVAL);
	b = weft_ctx_with_deadline(a, soon);
	c = weft_ctx_with_deadline(b, soon + WEFT_SEC);
	T_EQ(weft_ctx_deadline(c), soon); /* the earlier counts */
	up = weft_ctx_enter(c);
	T_EQ(up, root);
	T_EQ(weft_ctx_self(), c);
	T_EQ(weft_ctx_deadline(NULL), soon);
	born = weft_ctx_make(NULL); /* below the caller's own */
	T_EQ(weft_ctx_deadline(born), soon);
	T_EQ(weft_go_opts(&t, checks, NULL, NULL), 0);
	T_EQ(finish(t), 0);
	T_EQ(weft_ctx_cancel(a, WEFT_REASON_USER + 1), 0);
	T_EQ(weft_ctx_cancel(a, WEFT_REASON_USER + 2), WEFT_EALREADY);
	T_EQ(weft_ctx_cancel(b, WEFT_REASON_CANCELED), WEFT_EALREADY);
	T_EQ(weft_ctx_reason(a), WEFT_REASON_USER + 1);
	T_EQ(weft_ctx_reason(b), WEFT_REASON_PARENT);
	T_EQ(weft_ctx_reason(born), WEFT_REASON_PARENT);
	T_EQ(weft_ctx_check(), WEFT_ECANCELED);
	T_EQ(weft_task_sleep(0), WEFT_ECANCELED);
	T_EQ(weft_go_opts(&t, checks, NULL, NULL), 0); /* starting is no blocking call; the new task is cancelled too */
	weft_ctx_leave(up);
	T_EQ(weft_ctx_check(), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	weft_ctx_free(born);
	born = weft_ctx_make(b);
	T_EQ(weft_ctx_reason(born), WEFT_REASON_PARENT);
	T_EQ(weft_go_opts(&t, checks, NULL, &(weft_task_opts){.ctx = born}), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	weft_ctx_free(born);
	weft_ctx_free(a);
	weft_ctx_free(b);
	weft_ctx_free(c);
	weft_ctx_free(NULL);
	weft_ctx_free(weft_ctx_ref(root));
	return 0;
}

/* Deadlines and cancellation go down the tree and stay with those who left it. */
TEST_WORKERS(tree)
{
	run(tree_main, NULL);
}

static int self_main(void *arg)
{
	weft_ctx *c = weft_ctx_make(NULL), *up;

	(void)arg;
	T_EQ(weft_task_cancel(weft_task_self()), 0);
	T_EQ(weft_task_cancel(weft_task_self()), WEFT_EALREADY);
	T_EQ(weft_task_cancel(NULL), WEFT_EINVAL);
	T_EQ(weft_ctx_check(), WEFT_ECANCELED);
	T_EQ(weft_ctx_reason(NULL), WEFT_NOT_CANCELED); /* the task, not its context */
	up = weft_ctx_enter(c);                         /* its own cancellation follows it through every context */
	T_EQ(weft_ctx_check(), WEFT_ECANCELED);
	weft_ctx_leave(up);
	T_EQ(weft_ctx_check(), WEFT_ECANCELED);
	T_EQ(weft_task_park_until(WEFT_NOW), WEFT_ECANCELED);
	weft_task_yield(); /* no cancellation point */
	weft_ctx_free(c);
	return 0;
}

static int self_task(void *arg)
{
	return self_main(arg);
}

static int self_outer(void *arg)
{
	return finish(start(self_task, arg));
}

/* A task's own cancellation stays with it. */
TEST_WORKERS(own_cancellation)
{
	run(self_outer, NULL);
}

/* --- one cancel reaches all --- */

enum { BELOW = 200 };

struct crowd {
	weft_chan *c;
	weft_mutex m;
	weft_wg g;
	ATOMIC(int) n;
};

static int waits_somehow(void *arg)
{
	struct crowd *k = arg;
	weft_case cases[2];

	switch (add_relaxed(&k->n, 1) % 6) {
	case 0:
		return weft_chan_recv(k->c, NULL);
	case 1:
		return weft_task_park();
	case 2:
		return weft_task_sleep(WEFT_SEC * 100);
	case 3:
		return weft_mutex_lock(&k->m);
	case 4:
		cases[0] = WEFT_RECV(k->c, NULL);
		cases[1] = WEFT_SEND(NULL, NULL);
		return weft_chan_select(cases, 2);
	default:
		return weft_wg_wait(&k->g);
	}
}

static int crowd_main(void *arg)
{
	(void)arg;
	for (int round = 0; round < 10; round++) {
		struct crowd k = {.c = weft_chan_make(1, 0)};
		weft_ctx *top = weft_ctx_make(NULL), *leaf[8];
		weft_task *t[BELOW];

		weft_wg_add(&k.g, 1);
		T_EQ(weft_mutex_lock(&k.m), 0);
		for (int i = 0; i < 8; i++)
			leaf[i] = weft_ctx_make(i ? leaf[(i - 1) / 2] : top);
		for (int i = 0; i < BELOW; i++)
			T_EQ(weft_go_opts(&t[i], waits_somehow, &k, &(weft_task_opts){.ctx = leaf[i % 8]}), 0);
		if (round % 2) {
			for (int i = 0; i < BELOW; i++)
				until_parked(t[i]);
		} else {
			for (int i = 0; i < round * 20; i++)
				weft_task_yield();
		}
		T_EQ(weft_ctx_cancel(top, WEFT_REASON_CANCELED), 0);
		for (int i = 0; i < BELOW; i++)
			T_EQ(finish(t[i]), WEFT_ECANCELED);
		for (int i = 0; i < 8; i++)
			weft_ctx_free(leaf[i]);
		weft_ctx_free(top);
		weft_mutex_unlock(&k.m);
		weft_chan_free(k.c);
	}
	return 0;
}

/* One cancel ends every kind of wait below, parked already or just about to be. */
TEST_WORKERS(reaches_everyone_below)
{
	run(crowd_main, NULL);
}

/* --- trees that change meanwhile --- */

struct forest {
	weft_ctx *top;
	ATOMIC(int) stop;
};

static int gardener(void *arg)
{
	struct forest *f = arg;
	struct rng r;

	rng_seed(&r, weft_task_id(NULL), 0);
	while (!load_acquire(&f->stop)) {
		weft_ctx *a = weft_ctx_make(f->top), *b = weft_ctx_with_deadline(a, weft_in(rng_below(&r, 50) * WEFT_US)), *up;
		weft_task *t;
		int rc;

		T_EQ(weft_go_opts(&t, checks, NULL, &(weft_task_opts){.ctx = rng_below(&r, 2) ? a : b}), 0);
		up = weft_ctx_enter(b);
		rc = weft_task_sleep(30 * WEFT_US);
		T_OK(rc == 0 || rc == WEFT_ECANCELED || rc == WEFT_ETIMEDOUT);
		weft_ctx_leave(up);
		if (rng_below(&r, 3) == 0)
			weft_ctx_cancel(rng_below(&r, 2) ? a : b, WEFT_REASON_CANCELED);
		weft_ctx_free(a);
		finish(t);
		weft_ctx_free(b);
	}
	return 0;
}

static int forest_main(void *arg)
{
	long n = tap_iters(200);

	(void)arg;
	for (long i = 0; i < n; i++) {
		struct forest f = {.top = weft_ctx_make(NULL)};
		weft_task *t[6];

		for (int k = 0; k < 6; k++)
			t[k] = start(gardener, &f);
		for (int k = 0; k < (int)i % 50; k++)
			weft_task_yield();
		T_EQ(weft_ctx_cancel(f.top, WEFT_REASON_CANCELED), 0);
		for (int k = 0; k < (int)i % 10; k++)
			weft_task_yield();
		store_release(&f.stop, 1);
		for (int k = 0; k < 6; k++)
			finish(t[k]);
		weft_ctx_free(f.top);
	}
	return 0;
}

/* Contexts are made, entered, cancelled and freed while the one above them is cancelled. */
TEST_WORKERS(cancel_of_a_changing_tree)
{
	run(forest_main, NULL);
}
