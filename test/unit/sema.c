/* SPDX-License-Identifier: MIT
 *
 * sema.c - semaphore: never more out than in, first come first served however much is wanted, and nobody forgotten when one gives up.
 */
#include "rt.h"

#include "base/rand.h"
#include <pthread.h>
#include <stdlib.h>

struct shared {
	weft_sema s;
	ATOMIC(int) out, order;
	int most;
	long each;
};

static int numbers_main(void *arg)
{
	static weft_sema filled = WEFT_SEMA_INIT(3);
	weft_sema s = {0};

	(void)arg;
	T_EQ(weft_sema_value(&filled), 3);
	T_EQ(weft_sema_value(&s), 0);
	T_EQ(weft_sema_tryacquire(&s, 1), WEFT_EAGAIN);
	T_EQ(weft_sema_tryacquire(&s, 0), 0);
	T_EQ(weft_sema_acquire(&s, 0), 0);
	T_EQ(weft_sema_acquire(&s, -1), WEFT_EINVAL);
	weft_sema_release(&s, 0);
	weft_sema_release(&s, 5);
	T_EQ(weft_sema_tryacquire(&s, 6), WEFT_EAGAIN);
	T_EQ(weft_sema_value(&s), 5);
	T_EQ(weft_sema_acquire(&s, 2), 0);
	T_EQ(weft_sema_value(&s), 3);
	T_EQ(weft_sema_tryacquire(&s, 3), 0);
	weft_sema_init(&s, INT32_MAX);
	T_EQ(weft_sema_acquire(&s, INT32_MAX), 0);
	weft_sema_release(&s, INT32_MAX);
	T_EQ(weft_sema_value(&s), INT32_MAX);
	return 0;
}

TEST_WORKERS(numbers)
{
	run(numbers_main, NULL);
}

struct queued {
	struct shared *k;
	int i, want;
};

static int takes_turn(void *arg)
{
	struct queued *q = arg;
	int rc = weft_sema_acquire(&q->k->s, q->want);

	if (!rc)
		add_relaxed(&q->k->order, 1);
	return rc;
}

static weft_task *wants(struct queued *q, struct shared *k, int want)
{
	weft_task *t;

	*q = (struct queued){k, 0, want};
	t = start(takes_turn, q);
	until_reason(t, "semaphore");
	return t;
}

static int turns(struct shared *k)
{
	for (int i = 0; i < 10; i++)
		let_run();
	return load_acquire(&k->order);
}

static int order_main(void *arg)
{
	(void)arg;
	for (int round = 0; round < 10; round++) {
		struct shared k = {.each = 0};
		struct queued q[4];
		weft_task *t[4];
		static const int want[] = {5, 1, 2, 1};

		weft_sema_init(&k.s, 2);
		for (int i = 0; i < 4; i++)
			t[i] = wants(&q[i], &k, want[i]);
		T_EQ(weft_sema_tryacquire(&k.s, 1), WEFT_EAGAIN); /* there are two, but somebody is in line for them */
		weft_sema_release(&k.s, 1);
		weft_sema_release(&k.s, 1);
		T_EQ(turns(&k), 0); /* four: the big one is not overtaken */
		weft_sema_release(&k.s, 2);
		T_EQ(finish(t[0]), 0);
		T_EQ(finish(t[1]), 0); /* the sixth */
		T_EQ(turns(&k), 2);
		weft_sema_release(&k.s, 1);
		T_EQ(turns(&k), 2);
		weft_sema_release(&k.s, 7);
		T_EQ(finish(t[2]), 0);
		T_EQ(finish(t[3]), 0);
		T_EQ(weft_sema_value(&k.s), 5);
		T_EQ(weft_sema_tryacquire(&k.s, 5), 0);
	}
	return 0;
}

/* In the order of coming; several that a release satisfies go at once. */
TEST_WORKERS(big_requests_are_not_overtaken)
{
	run(order_main, NULL);
}

static int gives_up(void *arg)
{
	struct queued *q = arg;

	return weft_sema_acquire_until(&q->k->s, q->want, weft_in(2 * WEFT_MS));
}

static int leaving_main(void *arg)
{
	(void)arg;
	for (int by_cancel = 0; by_cancel < 2; by_cancel++) {
		struct shared k = {.each = 0};
		struct queued q[3];
		weft_task *t[3];

		time_fake();
		weft_sema_init(&k.s, 2);
		q[0] = (struct queued){&k, 0, 5};
		t[0] = start(by_cancel ? takes_turn : gives_up, &q[0]);
		until_reason(t[0], "semaphore");
		q[1] = (struct queued){&k, 1, 1};
		q[2] = (struct queued){&k, 2, 1};
		t[1] = start(takes_turn, &q[1]);
		t[2] = start(takes_turn, &q[2]);
		if (by_cancel)
			T_EQ(weft_task_cancel(t[0]), 0);
		else
			time_move(3 * WEFT_MS);
		T_EQ(finish(t[0]), by_cancel ? WEFT_ECANCELED : WEFT_ETIMEDOUT);
		T_EQ(finish(t[1]), 0);
		T_EQ(finish(t[2]), 0);
		T_EQ(weft_sema_value(&k.s), 0);
		time_real();
	}
	return 0;
}

/* Those behind one that gives up get what it waited for. */
TEST_WORKERS(behind_one_that_gives_up)
{
	run(leaving_main, NULL);
}

enum { PERMITS = 7 };

static int uses(void *arg)
{
	struct shared *k = arg;
	struct rng r;

	rng_seed(&r, 13, (uint64_t)add_relaxed(&k->order, 1));
	for (long i = 0; i < k->each; i++) {
		int n = 1 + (int)rng_below(&r, rng_below(&r, 4) ? 3 : PERMITS);
		int64_t deadline = rng_below(&r, 4)   ? WEFT_FOREVER
				   : rng_below(&r, 3) ? weft_in((int64_t)rng_below(&r, 100) * WEFT_US)
						      : WEFT_NOW;
		int rc = weft_sema_acquire_until(&k->s, n, deadline);

		if (rc) {
			T_OK(rc == WEFT_ETIMEDOUT || rc == WEFT_EAGAIN || rc == WEFT_ECANCELED);
			if (rc == WEFT_ECANCELED)
				return rc;
			continue;
		}
		T_LE(add_relaxed(&k->out, n) + n, PERMITS);
		if (rng_below(&r, 3) == 0)
			weft_task_yield();
		add_relaxed(&k->out, -n);
		if (n > 1 && rng_below(&r, 2)) {
			weft_sema_release(&k->s, 1);
			n--;
		}
		weft_sema_release(&k->s, n);
	}
	return 0;
}

static void *thread_uses(void *arg)
{
	uses(arg);
	return NULL;
}

static int stress_main(void *arg)
{
	struct shared k = {.each = tap_iters(2000)};
	weft_task *t[24], *victim;
	pthread_t th;

	(void)arg;
	weft_sema_init(&k.s, PERMITS);
	T_EQ(pthread_create(&th, NULL, thread_uses, &k), 0);
	for (int i = 0; i < 24; i++)
		t[i] = start(uses, &k);
	for (long i = 0; i < k.each / 4; i++) {
		victim = start(uses, &k);
		if (i % 3)
			weft_task_yield();
		weft_task_cancel(victim);
		finish(victim);
	}
	for (int i = 0; i < 24; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(pthread_join(th, NULL), 0);
	T_EQ(weft_sema_value(&k.s), PERMITS);
	T_EQ(weft_sema_tryacquire(&k.s, PERMITS), 0);
	return 0;
}

/* Never more out than there are, and all are back in the end. */
TEST_WORKERS(permits_are_conserved)
{
	tap_limit(60);
	run(stress_main, NULL);
}

static int gives(void *arg)
{
	weft_sema_release(arg, 2);
	return 0;
}

static int freed_main(void *arg)
{
	(void)arg;
	for (long i = 0; i < tap_iters(2000); i++) {
		weft_sema *s = calloc(1, sizeof *s);
		weft_task *t;

		T_OK(s != NULL);
		t = start(gives, s);
		T_EQ(weft_sema_acquire(s, 2), 0);
		memset(s, 0xff, sizeof *s); /* it is ours alone now */
		free(s);
		finish(t);
	}
	return 0;
}

/* Who has got what it waited for may free it, though the release has not returned. */
TEST_WORKERS(freed_by_who_has_got_it)
{
	run(freed_main, NULL);
}

TEST_DIES(negative_release, "-1 permits are given")
{
	weft_sema s = {0};

	weft_sema_release(&s, -1);
}

TEST_DIES(negative_init, "weft_sema_init: -1 permits")
{
	weft_sema s;

	weft_sema_init(&s, -1);
}

TEST_DIES(too_many_permits, "more than 2^31 - 1 permits")
{
	weft_sema s = {0};

	weft_sema_release(&s, INT32_MAX);
	weft_sema_release(&s, 1);
}

static int too_many_in_line_main(void *arg)
{
	struct shared k = {.each = 0};
	struct queued q;

	(void)arg;
	weft_sema_release(&k.s, INT32_MAX - 1);
	T_EQ(weft_sema_acquire(&k.s, INT32_MAX - 1), 0);
	weft_task_detach(wants(&q, &k, INT32_MAX));
	weft_sema_release(&k.s, INT32_MAX - 1);
	weft_sema_release(&k.s, 2);
	return 0;
}

TEST_DIES_WORKERS(too_many_permits_while_one_waits, "more than 2^31 - 1 permits")
{
	run(too_many_in_line_main, NULL);
}
