/* SPDX-License-Identifier: MIT
 *
 * churn.c - tasks are born and die by the hundred thousand; parks and cancels come in storms. Nobody is lost, and memory does not grow.
 */
#include "rt.h"

#include "base/rand.h"
#include <stdlib.h>

/* --- births --- */

struct tree {
	weft_wg g;
	ATOMIC(long) leaves;
};

static void grow(struct tree *t, int depth)
{
	if (depth == 0) {
		add_relaxed(&t->leaves, 1);
	} else {
		weft_wg_add(&t->g, 2);
		T_EQ(weft_go(grow, t, depth - 1), 0);
		T_EQ(weft_go(grow, t, depth - 1), 0);
	}
	weft_wg_done(&t->g);
}

static int births_main(void *arg)
{
	int depth = tap_slow() > 1 ? 11 : 15;
	struct rec_stats first = {0}, last;

	(void)arg;
	for (int round = 0; round < 6; round++) {
		struct tree t = {.leaves = 0};

		weft_wg_add(&t.g, 1);
		T_EQ(weft_go(grow, &t, depth), 0);
		T_EQ(weft_wg_wait(&t.g), 0);
		T_EQ(t.leaves, 1L << depth);
		weft__rec_stats(&last);
		if (round == 2)
			first = last;
	}
	T_LE(last.slabs, 2 * first.slabs + 64);
	return 0;
}

/* Trees of tasks: every leaf is reached, and records are used again. */
TEST_WORKERS(births)
{
	tap_limit(60);
	run(births_main, NULL);
}

static int odd_task(void *arg)
{
	char *p = __builtin_alloca(8000);

	memset(p, (int)(intptr_t)arg, 8000);
	__asm__ volatile("" ::"r"(p) : "memory");
	if ((intptr_t)arg % 3 == 0)
		weft_task_sleep((intptr_t)arg % 50 * WEFT_US);
	if ((intptr_t)arg % 7 == 0)
		weft_task_exit((int)(intptr_t)arg);
	return (int)(intptr_t)arg;
}

static int mixed_main(void *arg)
{
	long n = tap_iters(300);
	struct rng r;

	(void)arg;
	rng_seed(&r, 21, 0);
	for (long i = 0; i < n; i++) {
		weft_task *t[64];
		weft_task_opts o = {.stack = 0};

		for (intptr_t k = 0; k < 64; k++) {
			o.name = k % 4 ? NULL : "odd";
			o.stack = k % 5 ? 0 : (size_t)(16384 << rng_below(&r, 5));
			o.now = rng_below(&r, 2);
			o.worker = rng_below(&r, 6) ? 0 : 1 + (int)rng_below(&r, weft__rt->n);
			T_EQ(weft_go_opts(&t[k], odd_task, (void *)k, &o), 0);
		}
		for (intptr_t k = 0; k < 64; k++) {
			if (rng_below(&r, 4) == 0)
				weft_task_detach(t[k]);
			else
				T_EQ(finish(t[k]), k);
		}
		if (i % 16 == 0)
			weft_trim();
	}
	return 0;
}

/* Tasks of all sizes and options, joined, detached, while memory is trimmed. */
TEST_WORKERS(all_sorts)
{
	tap_limit(60);
	run(mixed_main, NULL);
}

/* --- parks --- */

enum { RING = 50 };

struct ring {
	weft_task *t[RING];
	ATOMIC(long) hops;
	long want;
	ATOMIC(int) stop;
};

static struct ring ring;

static int hopper(void *arg)
{
	intptr_t i = (intptr_t)arg;

	for (;;) {
		int rc = weft_task_park_until(i % 3 ? WEFT_FOREVER : weft_in(50 * WEFT_US));

		if (load_acquire(&ring.stop)) {
			weft_task_unpark(ring.t[(i + 1) % RING]);
			return 0;
		}
		if (rc == WEFT_ETIMEDOUT)
			continue;
		T_EQ(rc, 0);
		if (add_relaxed(&ring.hops, 1) >= ring.want)
			store_release(&ring.stop, 1);
		weft_task_unpark(ring.t[(i + 1) % RING]);
		weft_task_unpark(ring.t[(i * 7 + 3) % RING]);
	}
}

static int parks_main(void *arg)
{
	weft_task *t[RING];

	(void)arg;
	memset(&ring, 0, sizeof ring);
	ring.want = tap_iters(200000);
	for (intptr_t i = 0; i < RING; i++)
		ring.t[i] = t[i] = start(hopper, (void *)i); /* parked, as nobody has a permit yet, or soon to be */
	for (int i = 0; i < RING; i++)
		until(weft_task_stateof(t[i]) != WEFT_TASK_NEW);
	weft_task_unpark(t[0]);
	for (int i = 0; i < RING; i++) {
		/* who stops first wakes the next; all get there */
		while (weft_task_join_until(t[i], NULL, weft_in(5 * WEFT_MS)) == WEFT_ETIMEDOUT) {
			if (load_acquire(&ring.stop)) {
				for (int k = i; k < RING; k++)
					weft_task_unpark(t[k]);
			}
		}
	}
	T_GE(ring.hops, ring.want);
	return 0;
}

/* A storm of unparks around a ring, some of them against deadlines. */
TEST_WORKERS(park_storm)
{
	tap_limit(60);
	run(parks_main, NULL);
}

/* --- cancels --- */

struct storm {
	weft_chan *c;
	weft_mutex m;
	weft_wg g;
	ATOMIC(long) sent, got;
	uint64_t seed;
};

static int victim(void *arg)
{
	struct storm *s = arg;
	struct rng r;
	int rc = 0;

	rng_seed(&r, s->seed, weft_task_id(NULL));
	while (rc != WEFT_ECANCELED) {
		weft_case cases[3] = {WEFT_SEND(s->c, "x"), WEFT_RECV(s->c, NULL), WEFT_AFTER(rng_below(&r, 20) * WEFT_US)};

		switch (rng_below(&r, 7)) {
		case 0:
			rc = weft_chan_send(s->c, "x");
			if (!rc)
				add_relaxed(&s->sent, 1);
			break;
		case 1:
			rc = weft_chan_recv(s->c, NULL);
			if (!rc)
				add_relaxed(&s->got, 1);
			break;
		case 2:
			rc = weft_chan_select(cases, 3);
			if (rc == 0)
				add_relaxed(&s->sent, 1);
			if (rc == 1)
				add_relaxed(&s->got, 1);
			break;
		case 3:
			rc = weft_mutex_lock(&s->m);
			if (rc == 0) {
				weft_task_yield();
				weft_mutex_unlock(&s->m);
			}
			break;
		case 4:
			rc = weft_task_sleep(rng_below(&r, 30) * WEFT_US);
			break;
		case 5:
			rc = weft_wg_wait_until(&s->g, weft_in(rng_below(&r, 30) * WEFT_US));
			break;
		default:
			rc = weft_task_park_until(weft_in(rng_below(&r, 30) * WEFT_US));
		}
	}
	return rc;
}

static int cancels_main(void *arg)
{
	long n = tap_iters(150);

	(void)arg;
	for (long i = 0; i < n; i++) {
		struct storm s = {.c = weft_chan_make(1, (size_t)i % 3), .seed = (uint64_t)i + 1};
		weft_ctx *c[4];
		weft_task *t[40];

		weft_wg_add(&s.g, 1);
		for (int k = 0; k < 4; k++)
			c[k] = weft_ctx_make(k % 2 ? c[k - 1] : NULL);
		for (int k = 0; k < 40; k++)
			T_EQ(weft_go_opts(&t[k], victim, &s, &(weft_task_opts){.ctx = c[k % 4]}), 0);
		for (int k = 0; k < (int)(i % 30); k++)
			weft_task_yield();
		for (int k = 0; k < 40; k += 5)
			weft_task_cancel(t[k]);
		T_EQ(weft_ctx_cancel(c[1], WEFT_REASON_CANCELED), 0);
		T_EQ(weft_ctx_cancel(c[0], WEFT_REASON_CANCELED), 0);
		T_EQ(weft_ctx_cancel(c[3], WEFT_REASON_CANCELED), 0);
		T_EQ(weft_ctx_cancel(c[2], WEFT_REASON_CANCELED), 0);
		for (int k = 0; k < 40; k++)
			T_EQ(finish(t[k]), WEFT_ECANCELED);
		T_EQ(s.sent, s.got + (long)weft_chan_len(s.c));
		T_EQ(weft_mutex_trylock(&s.m), 0); /* nobody left with it */
		weft_mutex_unlock(&s.m);
		for (int k = 0; k < 4; k++)
			weft_ctx_free(c[k]);
		weft_chan_free(s.c);
	}
	return 0;
}

/* A storm of cancels over every kind of wait: all end, nothing is lost, no lock is left held. */
TEST_WORKERS(cancel_storm)
{
	tap_limit(60);
	run(cancels_main, NULL);
}
