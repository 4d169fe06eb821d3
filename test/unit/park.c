/* SPDX-License-Identifier: MIT
 *
 * park.c - park and its permit, sleep, and one task's deadlines moved earlier and later from wait to wait.
 */
#include "rt.h"

#include "base/rand.h"

/* --- permit --- */

static int permit_main(void *arg)
{
	weft_task *me = weft_task_self();

	(void)arg;
	T_EQ(weft_task_park_until(WEFT_NOW), WEFT_EAGAIN);
	weft_task_unpark(me);
	T_EQ(weft_task_park(), 0); /* it came first */
	T_EQ(weft_task_park_until(WEFT_NOW), WEFT_EAGAIN);
	weft_task_unpark(me);
	weft_task_unpark(me); /* two count as one */
	T_EQ(weft_task_park_until(weft_now() - 1), 0);
	T_EQ(weft_task_park_until(weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	/* other waits neither take the permit nor are ended by it */
	weft_task_unpark(me);
	T_EQ(weft_task_sleep(WEFT_MS), 0);
	T_EQ(weft_chan_recv_until(NULL, NULL, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_task_park_until(WEFT_NOW), 0);
	return 0;
}

/* One sticky permit a task. */
TEST_WORKERS(permit)
{
	run(permit_main, NULL);
}

struct pair {
	weft_task *a, *b;
	ATOMIC(long) turns;
	long n;
};

static int volley_a(void *arg)
{
	struct pair *p = arg;

	for (long i = 0; i < p->n; i++) {
		T_EQ(weft_task_park(), 0);
		add_relaxed(&p->turns, 1);
		weft_task_unpark(p->b);
	}
	return 0;
}

static int volley_main(void *arg)
{
	struct pair p = {.n = tap_iters(30000), .b = weft_task_self()};

	(void)arg;
	p.a = start(volley_a, &p);
	for (long i = 0; i < p.n; i++) {
		weft_task_unpark(p.a);
		T_EQ(i % 2 ? weft_task_park() : weft_task_park_until(weft_in(20 * WEFT_SEC)), 0);
		T_EQ(load_relaxed(&p.turns), i + 1);
	}
	T_EQ(finish(p.a), 0);
	return 0;
}

/* Two tasks wake each other in turn: no unpark is lost, none counts twice. */
TEST_WORKERS(no_permit_is_lost)
{
	run(volley_main, NULL);
}

struct late {
	ATOMIC(long) given, taken;
	ATOMIC(int) stop;
};

static int late_parker(void *arg)
{
	struct late *l = arg;

	while (!load_acquire(&l->stop)) {
		int rc = weft_task_park_until(weft_in(5 * WEFT_US));

		if (rc == 0)
			add_relaxed(&l->taken, 1);
		else
			T_EQ(rc, WEFT_ETIMEDOUT);
	}
	while (weft_task_park_until(WEFT_NOW) == 0)
		add_relaxed(&l->taken, 1);
	return 0;
}

static int late_main(void *arg)
{
	struct late l = {.given = 0};
	long n = tap_iters(20000);
	weft_task *t = start(late_parker, &l);

	(void)arg;
	for (long i = 0; i < n; i++) {
		long before = load_relaxed(&l.taken);

		weft_task_unpark(t);
		while (load_relaxed(&l.taken) == before) /* each permit is used, also one that met a deadline */
			weft_task_yield();
		T_EQ(load_relaxed(&l.taken), before + 1);
	}
	store_release(&l.stop, 1);
	finish(t);
	T_EQ(l.taken, n);
	return 0;
}

/* An unpark that meets the deadline is not lost: the next park finds it. */
TEST_WORKERS(unpark_against_the_deadline)
{
	run(late_main, NULL);
}

static int rude_main(void *arg)
{
	weft_task *t;
	long n = tap_iters(20000);

	(void)arg;
	t = start(volley_a, &(struct pair){.n = 0});
	for (long i = 0; i < n; i++)
		weft_task_unpark(t); /* ended: nobody minds */
	finish(t);
	return 0;
}

/* Unpark of a task that has ended does nothing. */
TEST_WORKERS(unpark_of_the_dead)
{
	run(rude_main, NULL);
}

/* --- sleep --- */

struct nap {
	int64_t ns;
	weft_wg *g;
	ATOMIC(int64_t) *worst;
};

static int nap_task(void *arg)
{
	struct nap *p = arg;
	int64_t due = weft_now() + p->ns, late;

	T_EQ(p->ns % 2 ? weft_task_sleep(p->ns) : weft_task_sleep_until(due), 0);
	late = weft_now() - due;
	T_GE(late, 0); /* never early */
	if (late > load_relaxed(p->worst))
		store_relaxed(p->worst, late);
	weft_wg_done(p->g);
	return 0;
}

enum { NAPS = 10000 };

static int naps_main(void *arg)
{
	static struct nap naps[NAPS];
	static ATOMIC(int64_t) worst;
	weft_wg g = {0};
	int n = (int)tap_iters(NAPS);
	struct rng r;

	(void)arg;
	rng_seed(&r, 5, 0);
	weft_wg_add(&g, n);
	for (int i = 0; i < n; i++) {
		naps[i] = (struct nap){.ns = (int64_t)rng_below(&r, i % 3 ? 2000000 : 200000000), .g = &g, .worst = &worst};
		T_EQ(weft_go_opts(NULL, nap_task, &naps[i], NULL), 0);
	}
	T_EQ(weft_wg_wait(&g), 0);
	tap_note("latest: %lld us", (long long)(worst / 1000));
	return 0;
}

/* Ten thousand sleeps of random lengths: none ends early, all end. */
TEST_WORKERS(ten_thousand_sleeps)
{
	run(naps_main, NULL);
}

static int odd_sleeper(void *arg)
{
	return weft_task_sleep((int64_t)(intptr_t)arg);
}

static int odd_main(void *arg)
{
	weft_task *t;

	(void)arg;
	T_EQ(weft_task_sleep(0), 0);
	T_EQ(weft_task_sleep(-1), 0);
	T_EQ(weft_task_sleep(INT64_MIN), 0);
	T_EQ(weft_task_sleep_until(0), 0);
	T_EQ(weft_task_sleep_until(-5), 0);
	T_EQ(weft_task_sleep_until(weft_now()), 0);
	for (int i = 0; i < 3; i++) {
		t = start(odd_sleeper, i == 0 ? (void *)INT64_MAX : i == 1 ? (void *)(INT64_MAX - 1) : (void *)(WEFT_SEC * 1000));
		until_reason(t, "sleep");
		T_EQ(weft_task_cancel(t), 0);
		T_EQ(finish(t), WEFT_ECANCELED);
	}
	return 0;
}

static int hurried(void *arg)
{
	int64_t due = weft_now() + 100 * WEFT_US;
	int rc = weft_task_sleep(100 * WEFT_US);

	(void)arg;
	if (rc == 0)
		T_GE(weft_now(), due); /* 0 means that it has slept all that time */
	else
		T_EQ(rc, WEFT_ETIMEDOUT);
	return rc;
}

static int hurried_main(void *arg)
{
	long n = tap_iters(5000);

	(void)arg;
	for (long i = 0; i < n; i++) {
		weft_ctx *c = weft_ctx_with_deadline(NULL, weft_now() + i % 200 * 20);
		weft_task *t;

		T_EQ(weft_go_opts(&t, hurried, NULL, &(weft_task_opts){.ctx = c, .now = i % 2}), 0);
		T_EQ(finish(t), WEFT_ETIMEDOUT);
		weft_ctx_free(c);
	}
	return 0;
}

/* A sleep that the context's deadline cuts short says so, however close that deadline is. */
TEST_WORKERS(sleep_cut_short)
{
	run(hurried_main, NULL);
}

/* Sleeps of no length, of no end, and cancelled ones. */
TEST_WORKERS(odd_sleeps)
{
	run(odd_main, NULL);
}

/* --- time that stands still --- */

static int year_sleeper(void *arg)
{
	const int64_t year = 365 * 24 * 3600 * WEFT_SEC;

	return weft_task_sleep(year + (int64_t)(intptr_t)arg);
}

static int still_main(void *arg)
{
	const int64_t year = 365 * 24 * 3600 * WEFT_SEC;
	weft_task *t[3];

	(void)arg;
	time_fake();
	for (int64_t i = 0; i < 3; i++) {
		t[i] = start(year_sleeper, (void *)(intptr_t)i);
		until_parked(t[i]);
	}
	time_move(year - 1);
	for (int i = 0; i < 200; i++)
		let_run();
	T_EQ(weft_task_stateof(t[0]), WEFT_TASK_PARKED);
	for (int i = 0; i < 3; i++) { /* each at its very nanosecond */
		time_move(1);
		T_EQ(finish(t[i]), 0);
		if (i < 2) {
			for (int k = 0; k < 200; k++)
				let_run();
			T_EQ(weft_task_stateof(t[i + 1]), WEFT_TASK_PARKED);
		}
	}
	time_real();
	return 0;
}

/* By a clock that is moved by hand, sleeps end at their nanosecond. */
TEST_WORKERS(sleeps_by_the_fake_clock)
{
	T_EQ(run_with(still_main, NULL, (weft_opts){.no_deadlock = true}), 0);
}

/* --- deadlines that move --- */

static int mover(void *arg)
{
	weft_chan *c = arg;
	struct rng r;
	long n = tap_iters(2000);

	rng_seed(&r, weft_task_id(NULL), 0);
	for (long i = 0; i < n; i++) {
		int64_t in = (int64_t)rng_below(&r, 8) * 20 * WEFT_US, at = weft_now() + in;
		int rc;

		switch (rng_below(&r, 3)) {
		case 0: /* far away, woken at once: leaves its node behind, late */
			T_EQ(weft_chan_send_until(c, "x", weft_in(WEFT_SEC * 100)), 0);
			T_EQ(weft_chan_recv_until(c, NULL, weft_in(WEFT_SEC * 50)), 0);
			weft_task_yield(); /* perhaps on another worker from here */
			break;
		case 1:
			rc = weft_chan_recv_until(NULL, NULL, at);
			T_EQ(rc, WEFT_ETIMEDOUT);
			T_GE(weft_now(), at);
			break;
		default: /* no deadline at all meanwhile */
			weft_task_unpark(weft_task_self());
			T_EQ(weft_task_park(), 0);
			T_EQ(weft_task_sleep_until(at), 0);
			T_GE(weft_now(), at);
		}
	}
	return 0;
}

static int movers_main(void *arg)
{
	weft_chan *c = weft_chan_make(1, 40);
	weft_task *t[20];

	(void)arg;
	for (int i = 0; i < 20; i++)
		t[i] = start(mover, c);
	for (int i = 0; i < 20; i++)
		finish(t[i]);
	weft_chan_free(c);
	return 0;
}

/* One task's deadlines go earlier and later from wait to wait and from worker to worker: each is kept. */
TEST_WORKERS(moving_deadlines)
{
	tap_limit(60);
	run(movers_main, NULL);
}
