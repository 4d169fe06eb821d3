/* SPDX-License-Identifier: MIT
 *
 * barrier.c - barrier, latch and event, wait groups that start their tasks: who goes on when, what breaks a barrier, misuse that is named.
 */
#include "rt.h"

#include "base/rand.h"
#include "weft/defer.h"
#include <pthread.h>
#include <stdlib.h>

struct shared {
	weft_barrier b;
	weft_latch l;
	weft_event e;
	weft_wg g;
	ATOMIC(int) n, leaders, broken;
	long rounds;
	int parties;
};

/* --- barrier --- */

static int goes_round(void *arg)
{
	struct shared *s = arg;

	for (long i = 0; i < s->rounds; i++) {
		int rc;

		add_relaxed(&s->n, 1); /* ordered by the barrier */
		rc = weft_barrier_wait(&s->b);
		T_OK(rc == 0 || rc == 1);
		T_GE(load_relaxed(&s->n), (i + 1) * s->parties);
		add_relaxed(&s->leaders, rc);
		if (i % 7 == 0)
			weft_task_yield();
		T_GE(weft_barrier_wait(&s->b), 0);
		T_EQ(load_relaxed(&s->leaders), i + 1); /* one a round, and nobody is a round ahead */
		T_GE(weft_barrier_wait(&s->b), 0);
	}
	return 0;
}

static void *thread_goes_round(void *arg)
{
	goes_round(arg);
	return NULL;
}

static int rounds_main(void *arg)
{
	struct shared s = {.rounds = tap_iters(300), .parties = 9};
	weft_barrier of_one = {0}, init = WEFT_BARRIER_INIT(2);
	weft_task *t[8];
	pthread_t th;

	(void)arg;
	T_EQ(weft_barrier_wait(&of_one), 1);
	T_EQ(weft_barrier_wait(&of_one), 1);
	T_EQ(weft_barrier_wait_until(&init, WEFT_NOW), WEFT_EAGAIN);
	weft_barrier_init(&s.b, s.parties);
	T_EQ(pthread_create(&th, NULL, thread_goes_round, &s), 0);
	for (int i = 0; i < 8; i++)
		t[i] = start(goes_round, &s);
	for (int i = 0; i < 8; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(pthread_join(th, NULL), 0);
	return 0;
}

/* Nobody goes on before all have come, round after round, and one a round is told that it was the last. */
TEST_WORKERS(rounds)
{
	tap_limit(60);
	run(rounds_main, NULL);
}

static int comes(void *arg)
{
	struct shared *s = arg;

	return weft_barrier_wait(&s->b);
}

static int comes_for_a_while(void *arg)
{
	struct shared *s = arg;

	return weft_barrier_wait_until(&s->b, weft_in(2 * WEFT_MS));
}

static int comes_late(void *arg)
{
	T_EQ(weft_task_cancel(weft_task_self()), 0);
	return comes(arg);
}

static int broken_main(void *arg)
{
	(void)arg;
	for (int how = 0; how < 4; how++) {
		struct shared s = {.rounds = 0};
		weft_task *t[5];

		weft_barrier_init(&s.b, 7);
		for (int round = 0; round < 2; round++) {
			for (int i = 0; i < 5; i++) {
				t[i] = start(how == 1 && i == 2 ? comes_for_a_while : comes, &s);
				if (how != 1)
					until_reason(t[i], "barrier");
			}
			if (how == 0)
				T_EQ(weft_task_cancel(t[2]), 0);
			if (how == 2) /* one that never waits */
				T_EQ(finish(start(comes_late, &s)), WEFT_ECANCELED);
			if (how == 3)
				weft_barrier_reset(&s.b);
			for (int i = 0; i < 5; i++) {
				int rc = finish(t[i]);

				T_EQ(rc, how == 0 && i == 2 ? WEFT_ECANCELED : how == 1 && i == 2 ? WEFT_ETIMEDOUT : WEFT_EBROKEN);
			}
			T_EQ(weft_barrier_broken(&s.b), how != 3);
			if (how != 3) {
				T_EQ(weft_barrier_wait(&s.b), WEFT_EBROKEN);
				T_EQ(weft_barrier_wait_until(&s.b, WEFT_NOW), WEFT_EBROKEN);
				weft_barrier_reset(&s.b);
			}
			T_OK(!weft_barrier_broken(&s.b));
		}
		weft_barrier_init(&s.b, 2);
		t[0] = start(comes, &s); /* whole again */
		T_GE(weft_barrier_wait(&s.b), 0);
		T_GE(finish(t[0]), 0);
	}
	return 0;
}

/* A cancel, a deadline, a party that is cancelled when it comes, and a reset break it for all, until it is reset. */
TEST_WORKERS(broken)
{
	run(broken_main, NULL);
}

static int last_or_cancel_main(void *arg)
{
	long n = tap_iters(1000);
	int whole = 0;

	(void)arg;
	for (long i = 0; i < n; i++) {
		struct shared s = {.rounds = 0};
		weft_task *t[3];
		int rc[4];

		weft_barrier_init(&s.b, 4);
		for (int k = 0; k < 3; k++) {
			t[k] = start(comes, &s);
			until_parked(t[k]);
		}
		if (i % 2) { /* its wait is ended, but it has not run: still listed */
			T_EQ(weft_task_cancel(t[1]), 0);
			rc[3] = weft_barrier_wait(&s.b);
		} else {
			rc[3] = weft_barrier_wait(&s.b);
			weft_task_cancel(t[1]);
		}
		for (int k = 0; k < 3; k++)
			rc[k] = finish(t[k]);
		if (rc[3] == 1) {
			T_EQ(rc[0] | rc[1] | rc[2], 0);
			T_OK(!weft_barrier_broken(&s.b));
			whole++;
		} else {
			T_EQ(rc[0], WEFT_EBROKEN);
			T_EQ(rc[1], WEFT_ECANCELED);
			T_EQ(rc[2], WEFT_EBROKEN);
			T_EQ(rc[3], WEFT_EBROKEN);
			T_OK(weft_barrier_broken(&s.b));
		}
	}
	T_EQ(whole, (n + 1) / 2);
	return 0;
}

/* The last comes as one is cancelled: all went, or none did. */
TEST_WORKERS(all_or_none)
{
	run(last_or_cancel_main, NULL);
}

static int joins_in(void *arg)
{
	struct shared *s = arg;
	struct rng r;

	rng_seed(&r, 17, weft_task_id(NULL));
	while (!load_acquire(&s->broken)) {
		int64_t deadline = rng_below(&r, 4) ? WEFT_FOREVER : weft_in((int64_t)rng_below(&r, 200) * WEFT_US);
		int rc = weft_barrier_wait_until(&s->b, deadline);

		if (rc == 1)
			add_relaxed(&s->leaders, 1);
		if (rc >= 0)
			add_relaxed(&s->n, 1);
		if (rc == WEFT_ECANCELED)
			return 0;
		if (rc < 0)
			weft_barrier_reset(&s->b);
		if (rng_below(&r, 4) == 0)
			weft_task_yield();
	}
	return 0;
}

static int leavers_main(void *arg)
{
	struct shared s = {.rounds = tap_iters(300)};
	weft_task *t[8];
	struct rng r;

	(void)arg;
	rng_seed(&r, 19, 0);
	weft_barrier_init(&s.b, 4);
	for (int i = 0; i < 8; i++)
		t[i] = start(joins_in, &s);
	for (long i = 0; i < s.rounds; i++) {
		uint32_t k = rng_below(&r, 8);

		weft_task_cancel(t[k]);
		finish(t[k]);
		t[k] = start(joins_in, &s);
		weft_task_yield();
	}
	store_release(&s.broken, 1);
	for (int i = 0; i < 8; i++) {
		weft_task_cancel(t[i]);
		finish(t[i]);
	}
	T_EQ(load_relaxed(&s.n), 4 * load_relaxed(&s.leaders));
	return 0;
}

/* Parties that leave, are cancelled and reset it: who goes on goes on with all of its round, one of them the leader. */
TEST_WORKERS(leaders_and_parties_match)
{
	tap_limit(60);
	run(leavers_main, NULL);
}

TEST_DIES(barrier_of_none, "a barrier of 0 parties")
{
	weft_barrier b;

	weft_barrier_init(&b, 0);
}

/* --- latch --- */

static int waits_for_latch(void *arg)
{
	struct shared *s = arg;
	int rc = weft_latch_wait(&s->l);

	T_EQ(load_relaxed(&s->n), 10);
	return rc;
}

static int counts_down(void *arg)
{
	struct shared *s = arg;

	add_relaxed(&s->n, 1);
	weft_latch_down(&s->l, 1);
	return 0;
}

static int latch_main(void *arg)
{
	static weft_latch three = WEFT_LATCH_INIT(3);
	struct shared s = {.rounds = 0};
	weft_task *t[5];

	(void)arg;
	T_EQ(weft_latch_wait(&s.l), 0); /* zeroed: open */
	T_EQ(weft_latch_wait_until(&three, WEFT_NOW), WEFT_EAGAIN);
	weft_latch_down(&three, 2);
	weft_latch_down(&three, 0);
	T_EQ(weft_latch_wait_until(&three, weft_in(WEFT_US)), WEFT_ETIMEDOUT);
	weft_latch_down(&three, 1);
	T_EQ(weft_latch_wait(&three), 0);
	T_EQ(weft_latch_wait_until(&three, WEFT_NOW), 0);
	weft_latch_init(&s.l, 10);
	for (int i = 0; i < 5; i++) {
		t[i] = start(waits_for_latch, &s);
		until_reason(t[i], "latch");
	}
	for (int i = 0; i < 10; i++)
		weft_task_detach(start(counts_down, &s));
	for (int i = 0; i < 5; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* It opens for all, when all have counted down, and stays open. */
TEST_WORKERS(latch)
{
	run(latch_main, NULL);
}

TEST_DIES(latch_too_far, "weft_latch_down: the counter of latch")
{
	weft_latch l = WEFT_LATCH_INIT(1);

	weft_latch_down(&l, 2);
}

TEST_DIES(latch_up, "is counted down by -1")
{
	weft_latch l = WEFT_LATCH_INIT(1);

	weft_latch_down(&l, -1);
}

TEST_DIES(latch_of_less_than_none, "a latch of -1")
{
	weft_latch l;

	weft_latch_init(&l, -1);
}

/* --- event --- */

static int waits_for_event(void *arg)
{
	struct shared *s = arg;

	return weft_event_wait(&s->e);
}

static int event_main(void *arg)
{
	struct shared s = {.rounds = tap_iters(100)};
	weft_task *t[5];

	(void)arg;
	for (long i = 0; i < s.rounds; i++) {
		T_OK(!weft_event_isset(&s.e));
		T_EQ(weft_event_wait_until(&s.e, WEFT_NOW), WEFT_EAGAIN);
		for (int k = 0; k < 5; k++) {
			t[k] = start(waits_for_event, &s);
			until_reason(t[k], "event");
		}
		weft_event_set(&s.e);
		if (i % 2) {
			weft_event_set(&s.e);
			T_OK(weft_event_isset(&s.e));
			T_EQ(weft_event_wait_until(&s.e, WEFT_NOW), 0);
		}
		weft_event_reset(&s.e);
		weft_event_reset(&s.e);
		for (int k = 0; k < 5; k++)
			T_EQ(finish(t[k]), 0);
	}
	return 0;
}

/* Set wakes all who wait, even if it is reset at once; who comes later waits again. */
TEST_WORKERS(event)
{
	run(event_main, NULL);
}

static int sets(void *arg)
{
	weft_event_set(arg);
	return 0;
}

static int freed_main(void *arg)
{
	(void)arg;
	for (long i = 0; i < tap_iters(2000); i++) {
		weft_event *e = calloc(1, sizeof *e);
		weft_task *t;

		T_OK(e != NULL);
		t = start(sets, e);
		T_EQ(weft_event_wait(e), 0);
		memset(e, 0xff, sizeof *e);
		free(e);
		finish(t);
	}
	return 0;
}

/* Who has waited may free it, though set has not returned. */
TEST_WORKERS(event_freed_by_who_has_waited)
{
	run(freed_main, NULL);
}

/* --- wait group --- */

static int ends_somehow(void *arg)
{
	struct shared *s = arg;
	int k = add_relaxed(&s->n, 1);

	weft_task_yield();
	if (k % 2)
		weft_task_exit(1);
	return 0;
}

static int starts_more(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < 5; i++)
		T_EQ(weft_wg_go(&s->g, ends_somehow, s), 0);
	return 0;
}

static int wg_go_main(void *arg)
{
	struct shared s = {.rounds = tap_iters(100)};

	(void)arg;
	T_EQ(weft_wg_go(&s.g, NULL, NULL), WEFT_EINVAL);
	for (long i = 1; i <= s.rounds; i++) {
		for (int k = 0; k < 10; k++)
			T_EQ(weft_wg_go(&s.g, k % 5 ? ends_somehow : starts_more, &s), 0);
		T_EQ(weft_wg_wait(&s.g), 0);
		T_EQ(load_relaxed(&s.n), i * 18);
	}
	return 0;
}

/* A task that was started by a wait group is counted until it has ended, however it does. */
TEST_WORKERS(wg_go)
{
	run(wg_go_main, NULL);
}

static int stays(void *arg)
{
	return weft_event_wait(&((struct shared *)arg)->e);
}

static int refused_main(void *arg)
{
	struct shared s = {.rounds = 0};

	(void)arg;
	T_EQ(weft_wg_go(&s.g, stays, &s), 0);
	T_EQ(weft_wg_go(&s.g, stays, &s), WEFT_EAGAIN);
	weft_event_set(&s.e);
	return weft_wg_wait(&s.g);
}

/* One that cannot be started is not counted. */
TEST_WORKERS(wg_go_refused)
{
	T_EQ(run_with(refused_main, NULL, (weft_opts){.max_tasks = 2}), 0);
}

TEST(wg_go_without_a_runtime)
{
	struct shared s = {.rounds = 0};

	T_EQ(weft_wg_go(&s.g, ends_somehow, &s), WEFT_ESRCH);
	T_EQ(weft_wg_wait(&s.g), 0);
}

#ifdef WEFT_DEBUG
static int waits_for_group(void *arg)
{
	struct shared *s = arg;

	return weft_wg_wait(&s->g);
}

static int too_early_main(void *arg)
{
	struct shared s = {.rounds = 0};
	weft_task *t[50];

	(void)arg;
	for (;;) { /* with several workers the waiter may be quick */
		weft_wg_add(&s.g, 1);
		for (int i = 0; i < 50; i++) {
			t[i] = start(waits_for_group, &s);
			until_reason(t[i], "wait group");
		}
		weft_wg_done(&s.g);
		weft_wg_add(&s.g, 1);
		weft_wg_done(&s.g);
		weft_wg_add(&s.g, 1);
		weft_task_yield();
		weft_task_yield();
		weft_wg_done(&s.g);
		for (int i = 0; i < 50; i++)
			finish(t[i]);
	}
	return 0;
}

/* It is used again before all who waited have returned. */
TEST_DIES_WORKERS(wg_used_again_too_early, "is used again before")
{
	run(too_early_main, NULL);
}
#endif
