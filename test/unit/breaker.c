/* SPDX-License-Identifier: MIT
 *
 * breaker.c - circuit breakers: when they open, that exactly one probe is made at a time, and what becomes of it when its caller does not come back.
 */
#include "rt.h"

#include "base/rand.h"
#include "weft/breaker.h"
#include "weft/defer.h"
#include "weft/scope.h"
#include <pthread.h>

static weft_breaker *make(weft_breaker_opts o)
{
	weft_breaker *b;

	T_EQ(weft_breaker_make(&b, &o), 0);
	return b;
}

static weft_breaker_stats stats(weft_breaker *b)
{
	weft_breaker_stats s;

	weft_breaker_stat(b, &s);
	return s;
}

/* A call that takes ns, and comes to `how`. Returns what enter did. */
static int call(weft_breaker *b, int64_t ns, enum weft_outcome how)
{
	weft_pass p;
	int rc = weft_breaker_enter(b, &p);

	if (!rc) {
		if (ns)
			time_move(ns);
		weft_breaker_leave(b, &p, how);
	}
	return rc;
}

static int never(void *arg)
{
	(void)arg;
	T_FAIL("this was called");
}

TEST(numbers)
{
	static const weft_breaker_opts bad[] = {
		{.in_a_row = 0},
		{.in_a_row = -1},
		{.failed = 101},
		{.failed = -1},
		{.slow = 50},
		{.slow_from = 1},
		{.slow = 101, .slow_from = 1},
		{.slow = 5, .slow_from = -1},
		{.in_a_row = 1, .slow_from = 1},
		{.in_a_row = 1, .calls = -1},
		{.in_a_row = 1, .calls = (1 << 20) + 1},
		{.in_a_row = 1, .calls = 5, .window = WEFT_SEC},
		{.in_a_row = 1, .window = -1},
		{.in_a_row = 1, .least = -1},
		{.in_a_row = 1, .open_for = -1},
		{.in_a_row = 1, .open_most = -1},
		{.in_a_row = 1, .probes = -1},
	};
	weft_breaker *b = (void *)&bad;
	weft_pass p;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		T_EQ(weft_breaker_make(&b, &bad[i]), WEFT_EINVAL);
		T_EQ(b, NULL);
	}
	T_EQ(weft_breaker_make(&b, NULL), WEFT_EINVAL);
	T_EQ(weft_breaker_make(NULL, &(weft_breaker_opts){.in_a_row = 1}), WEFT_EINVAL);
	T_EQ(weft_breaker_enter(NULL, &p), WEFT_EINVAL);
	T_EQ(weft_breaker_call(NULL, never, NULL), WEFT_EINVAL);
	T_EQ(weft_breaker_trip(NULL, 0), WEFT_EINVAL);
	T_EQ(weft_breaker_reset(NULL), WEFT_EINVAL);
	b = make((weft_breaker_opts){.in_a_row = 1});
	T_EQ(weft_breaker_enter(b, NULL), WEFT_EINVAL);
	T_EQ(weft_breaker_call(b, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_breaker_trip(b, -1), WEFT_EINVAL);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_CLOSED);
	T_STR_HAS(weft_strerror(WEFT_EOPEN), "breaker is open");
	weft_breaker_free(weft_breaker_ref(b));
	weft_breaker_free(b);
	weft_breaker_free(NULL);
}

static int cycle_main(void *arg)
{
	weft_breaker *b;
	weft_pass p, q;

	(void)arg;
	time_fake();
	b = make((weft_breaker_opts){.in_a_row = 3, .open_for = WEFT_SEC, .open_most = 3 * WEFT_SEC, .probes = 2});
	T_EQ(call(b, 0, WEFT_FAILED), 0);
	T_EQ(call(b, 0, WEFT_FAILED), 0);
	T_EQ(call(b, 0, WEFT_OK), 0);
	T_EQ(call(b, 0, WEFT_FAILED), 0);
	T_EQ(call(b, 0, WEFT_FAILED), 0);
	T_EQ(call(b, 0, WEFT_IGNORED), 0); /* breaks no row */
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_CLOSED);
	T_EQ(call(b, 0, WEFT_FAILED), 0);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_OPEN);
	T_EQ(stats(b).until, weft_now() + WEFT_SEC);
	T_EQ(weft_breaker_call(b, never, NULL), WEFT_EOPEN);
	time_move(WEFT_SEC - 1);
	T_EQ(weft_breaker_enter(b, &p), WEFT_EOPEN);
	time_move(1);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_OPEN); /* until somebody comes */
	T_EQ(weft_breaker_enter(b, &p), 0);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_HALF_OPEN);
	T_EQ(weft_breaker_enter(b, &q), WEFT_EOPEN); /* one */
	T_OK(stats(b).probing);
	weft_breaker_leave(b, &p, WEFT_FAILED);
	T_EQ(stats(b).until, weft_now() + 2 * WEFT_SEC); /* longer */
	time_move(2 * WEFT_SEC);
	T_EQ(call(b, 0, WEFT_OK), 0); /* one of two that must go well */
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_HALF_OPEN);
	T_EQ(call(b, 0, WEFT_FAILED), 0);
	T_EQ(stats(b).until, weft_now() + 3 * WEFT_SEC); /* the longest */
	time_move(3 * WEFT_SEC);
	T_EQ(call(b, 0, WEFT_OK), 0);
	T_EQ(call(b, 0, WEFT_IGNORED), 0); /* leaves its place to the next */
	T_EQ(call(b, 0, WEFT_OK), 0);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_CLOSED);
	T_EQ(stats(b).opened, 3);
	T_EQ(stats(b).in_a_row, 0);
	T_EQ(stats(b).refused, 3);
	T_EQ(stats(b).ok + stats(b).failures + stats(b).ignored, 13);
	for (int i = 0; i < 3; i++)
		T_EQ(call(b, 0, WEFT_FAILED), 0);
	T_EQ(stats(b).until, weft_now() + WEFT_SEC); /* as short as at first */
	weft_breaker_free(b);
	time_real();
	return 0;
}

TEST_WORKERS(closed_open_half_open)
{
	run(cycle_main, NULL);
}

static int rate_main(void *arg)
{
	weft_breaker *b;

	(void)arg;
	time_fake();
	b = make((weft_breaker_opts){.failed = 50, .calls = 10, .least = 4});
	for (int i = 0; i < 3; i++)
		T_EQ(call(b, 0, WEFT_FAILED), 0);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_CLOSED); /* too few to say */
	for (int i = 0; i < 4; i++)
		(void)call(b, 0, WEFT_OK);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_OPEN); /* three of four had failed by then */
	T_EQ(stats(b).refused, 3);
	weft_breaker_reset(b);
	for (int i = 0; i < 10; i++)
		T_EQ(call(b, 0, i < 6 ? WEFT_OK : WEFT_FAILED), 0); /* 4 of 10 */
	T_EQ(stats(b).calls, 10);
	T_EQ(stats(b).failed, 4);
	for (int i = 0; i < 30; i++)
		T_EQ(call(b, 0, WEFT_OK), 0);
	T_EQ(stats(b).calls, 10); /* the last ten */
	T_EQ(stats(b).failed, 0);
	for (int i = 0; i < 4; i++)
		T_EQ(call(b, 0, WEFT_FAILED), 0);
	T_EQ(stats(b).failed, 4);
	T_EQ(call(b, 0, WEFT_FAILED), 0);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_OPEN);
	weft_breaker_free(b);
	time_real();
	return 0;
}

TEST(failures_among_the_last_calls)
{
	run(rate_main, NULL);
}

static int time_main(void *arg)
{
	weft_breaker *b;

	(void)arg;
	time_fake();
	b = make((weft_breaker_opts){.failed = 50, .window = WEFT_SEC, .least = 6});
	for (int i = 0; i < 5; i++)
		T_EQ(call(b, 100 * WEFT_MS, WEFT_FAILED), 0);
	T_EQ(stats(b).failed, 5);
	time_move(2 * WEFT_SEC);
	T_EQ(stats(b).calls, 0); /* long ago */
	for (int i = 0; i < 20; i++)
		T_EQ(call(b, 100 * WEFT_MS, WEFT_FAILED + (i % 5 != 0) * (WEFT_OK - WEFT_FAILED)), 0);
	T_LE(stats(b).calls, 11); /* two may fall into one part */
	T_GE(stats(b).calls, 8);
	for (int i = 0; i < 10 && weft_breaker_stateof(b) == WEFT_BREAKER_CLOSED; i++)
		T_EQ(call(b, 10 * WEFT_MS, WEFT_FAILED), 0);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_OPEN);
	weft_breaker_free(b);
	time_real();
	return 0;
}

TEST(failures_in_a_span_of_time)
{
	run(time_main, NULL);
}

static int slow_main(void *arg)
{
	weft_breaker *b;

	(void)arg;
	time_fake();
	b = make((weft_breaker_opts){.slow = 50, .slow_from = 10 * WEFT_MS, .calls = 4, .open_for = WEFT_SEC});
	for (int i = 0; i < 8; i++)
		T_EQ(call(b, 10 * WEFT_MS - 1, WEFT_FAILED), 0); /* failures alone do not count here */
	T_EQ(call(b, 10 * WEFT_MS, WEFT_OK), 0);
	T_EQ(stats(b).slow, 1);
	T_EQ(call(b, 0, WEFT_OK), 0);
	T_EQ(call(b, 20 * WEFT_MS, WEFT_OK), 0);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_OPEN);
	time_move(WEFT_SEC);
	T_EQ(call(b, 20 * WEFT_MS, WEFT_OK), 0); /* a slow probe does not close it */
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_OPEN);
	time_move(WEFT_SEC);
	T_EQ(call(b, WEFT_MS, WEFT_OK), 0);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_CLOSED);
	weft_breaker_free(b);
	time_real();
	return 0;
}

TEST(slow_calls_count)
{
	run(slow_main, NULL);
}

static int late_main(void *arg)
{
	weft_breaker *b;
	weft_pass early[3], probe;

	(void)arg;
	time_fake();
	b = make((weft_breaker_opts){.in_a_row = 1, .open_for = WEFT_SEC});
	for (int i = 0; i < 3; i++)
		T_EQ(weft_breaker_enter(b, &early[i]), 0);
	T_EQ(call(b, 0, WEFT_FAILED), 0);
	weft_breaker_leave(b, &early[0], WEFT_FAILED); /* they began before it opened: they tell nothing new */
	T_EQ(stats(b).opened, 1);
	time_move(WEFT_SEC);
	T_EQ(weft_breaker_enter(b, &probe), 0);
	weft_breaker_leave(b, &early[1], WEFT_OK);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_HALF_OPEN);
	T_OK(stats(b).probing);
	weft_breaker_trip(b, WEFT_SEC); /* while the probe is under way */
	weft_breaker_leave(b, &probe, WEFT_OK);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_OPEN);
	weft_breaker_reset(b);
	weft_breaker_leave(b, &early[2], WEFT_FAILED);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_CLOSED);
	T_EQ(stats(b).in_a_row, 0);
	T_EQ(stats(b).failures, 3);
	weft_breaker_free(b);
	time_real();
	return 0;
}

TEST(calls_of_an_earlier_round_tell_nothing)
{
	run(late_main, NULL);
}

/* --- by hand, and who listens --- */

struct heard {
	weft_breaker_change c[16];
	int n;
};

static void hears(const weft_breaker_change *c, void *arg)
{
	struct heard *h = arg;

	T_LT(h->n, 16);
	T_EQ(weft_breaker_stateof(c->breaker), c->to); /* nothing is locked */
	h->c[h->n++] = *c;
}

static int listener_main(void *arg)
{
	static const enum weft_breaker_state to[] = {
		WEFT_BREAKER_OPEN,   WEFT_BREAKER_HALF_OPEN, WEFT_BREAKER_OPEN, WEFT_BREAKER_HALF_OPEN, WEFT_BREAKER_CLOSED,
		WEFT_BREAKER_CLOSED, WEFT_BREAKER_OPEN,      WEFT_BREAKER_OPEN, WEFT_BREAKER_CLOSED,
	};
	struct heard h = {.n = 0};
	weft_breaker *b;

	(void)arg;
	time_fake();
	b = make((weft_breaker_opts){.in_a_row = 1, .changed = hears, .arg = &h});
	T_EQ(call(b, 0, WEFT_FAILED), 0);
	time_move(WEFT_SEC);
	T_EQ(call(b, 0, WEFT_FAILED), 0);
	time_move(WEFT_SEC);
	T_EQ(call(b, 0, WEFT_OK), 0);
	T_EQ(weft_breaker_reset(b), 0);
	T_EQ(weft_breaker_trip(b, 0), 0);
	time_move(1000 * WEFT_SEC);
	T_EQ(call(b, 0, WEFT_OK), WEFT_EOPEN); /* until it is reset */
	T_EQ(weft_breaker_trip(b, WEFT_SEC), 0);
	T_EQ(weft_breaker_reset(b), 0);
	T_EQ(h.n, ARRAY_LEN(to));
	for (int i = 0; i < h.n; i++) {
		T_EQ(h.c[i].to, to[i]);
		T_EQ(h.c[i].from, i ? to[i - 1] : WEFT_BREAKER_CLOSED);
		T_EQ(h.c[i].number, i + 1);
		T_EQ(h.c[i].breaker, b);
	}
	T_EQ(h.c[0].until, h.c[0].when + WEFT_SEC);
	T_EQ(h.c[6].until, WEFT_FOREVER);
	T_EQ(h.c[7].until, h.c[7].when + WEFT_SEC);
	weft_breaker_free(b);
	time_real();
	return 0;
}

TEST(tripped_and_reset_with_a_listener)
{
	run(listener_main, NULL);
}

/* --- probes whose callers do not come back --- */

static int returns(void *arg)
{
	return *(int *)arg;
}

static int panics(void *arg)
{
	(void)arg;
	weft_task_panic("in a probe");
}

static int exits(void *arg)
{
	(void)arg;
	weft_task_exit(3);
}

static int waits(void *arg)
{
	return weft_chan_recv(arg, NULL) ? WEFT_EPIPE : 0; /* tells cancel and failure not apart */
}

static int calls_panics(void *b)
{
	return weft_breaker_call(b, panics, NULL);
}

static int calls_exits(void *b)
{
	return weft_breaker_call(b, exits, NULL);
}

struct waiting {
	weft_breaker *b;
	weft_chan *c;
};

static int calls_waits(void *arg)
{
	struct waiting *w = arg;

	return weft_breaker_call(w->b, waits, w->c);
}

static int cancelled_before(void *b)
{
	until(weft_ctx_check() != 0);
	return weft_breaker_call(b, never, NULL);
}

static int lost_main(void *arg)
{
	struct waiting w = {.c = weft_chan_make(0, 0)};
	weft_breaker *b;
	weft_panic p;
	weft_task *t;

	(void)arg;
	time_fake();
	w.b = b = make((weft_breaker_opts){.in_a_row = 1, .open_for = WEFT_SEC});
	T_EQ(weft_breaker_call(b, returns, &(int){4}), 4);
	T_EQ(weft_breaker_call(b, returns, &(int){WEFT_ECANCELED}), WEFT_ECANCELED);
	T_EQ(weft_breaker_call(b, returns, &(int){WEFT_EINVAL}), WEFT_EINVAL);
	T_EQ(weft_breaker_call(b, returns, &(int){WEFT_EOVERLOAD}), WEFT_EOVERLOAD);
	T_EQ(weft_breaker_call(b, returns, &(int){WEFT_EOPEN}), WEFT_EOPEN);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_CLOSED);
	T_EQ(weft_breaker_call(b, returns, &(int){WEFT_EIO}), WEFT_EIO);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_OPEN);
	time_move(WEFT_SEC);

	T_EQ(weft_task_try(calls_panics, b, &p), WEFT_EPANIC);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_HALF_OPEN);
	T_OK(!stats(b).probing);

	T_EQ(finish(start(calls_exits, b)), 3);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_HALF_OPEN);
	T_OK(!stats(b).probing);

	t = start(calls_waits, &w);
	until_reason(t, "chan receive");
	T_EQ(weft_breaker_call(b, never, NULL), WEFT_EOPEN);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_EPIPE);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_HALF_OPEN); /* the cancelled caller's word does not count */
	T_OK(!stats(b).probing);

	t = start(cancelled_before, b);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_OK(!stats(b).probing);
	T_EQ(weft_breaker_call(b, returns, &(int){0}), 0);
	T_EQ(weft_breaker_stateof(b), WEFT_BREAKER_CLOSED);

	WEFT_WITH_TIMEOUT (WEFT_SEC) {
		time_move(WEFT_SEC);
		T_EQ(weft_breaker_call(b, never, NULL), WEFT_ETIMEDOUT);
	}
	weft_breaker_free(b);
	weft_chan_free(w.c);
	time_real();
	return 0;
}

TEST_WORKERS(a_lost_probe_is_given_back)
{
	run(lost_main, NULL);
}

static enum weft_outcome all_is_well(int rc, void *arg)
{
	T_EQ(rc, WEFT_EIO);
	++*(int *)arg;
	return WEFT_OK;
}

TEST(a_judge_of_ones_own)
{
	int asked = 0;
	weft_breaker *b = make((weft_breaker_opts){.in_a_row = 1, .judge = all_is_well, .arg = &asked});

	T_EQ(weft_breaker_call(b, returns, &(int){WEFT_EIO}), WEFT_EIO); /* off a task, too */
	T_EQ(asked, 1);
	T_EQ(stats(b).ok, 1);
	weft_breaker_free(b);
}

TEST_DIES(no_outcome, "is no outcome")
{
	weft_breaker *b = make((weft_breaker_opts){.in_a_row = 1});
	weft_pass p;

	T_EQ(weft_breaker_enter(b, &p), 0);
	weft_breaker_leave(b, &p, (enum weft_outcome)3);
}

/* --- exactly one probe --- */

struct rush {
	weft_breaker *b;
	ATOMIC(int) probes, made;
};

static int probe(void *arg)
{
	struct rush *k = arg;
	int now = add_relaxed(&k->probes, 1) + 1;

	T_EQ(now, 1);
	add_relaxed(&k->made, 1);
	weft_task_yield();
	add_relaxed(&k->probes, -1);
	return 0;
}

static enum weft_outcome nothing_learned(int rc, void *arg)
{
	(void)rc;
	(void)arg;
	return WEFT_IGNORED; /* it stays half open */
}

static int rushes(void *arg)
{
	struct rush *k = arg;

	for (long i = 0; i < tap_iters(2000); i++) {
		int rc = weft_breaker_call(k->b, probe, k);

		T_OK(rc == 0 || rc == WEFT_EOPEN || rc == WEFT_ECANCELED);
		if (i % 16 == 0)
			weft_task_yield();
	}
	return 0;
}

static void *thread_rushes(void *arg)
{
	(void)rushes(arg);
	return NULL;
}

static int rush_main(void *arg)
{
	enum { N = 16 };
	struct rush k = {.b = make((weft_breaker_opts){.in_a_row = 1, .judge = nothing_learned})};
	weft_task *t[N];
	pthread_t th;

	(void)arg;
	T_EQ(call(k.b, 0, WEFT_FAILED), 0);
	T_EQ(weft_breaker_trip(k.b, 1), 0);
	until(weft_now() >= stats(k.b).until);
	for (int i = 0; i < N; i++)
		t[i] = start(rushes, &k);
	T_EQ(pthread_create(&th, NULL, thread_rushes, &k), 0);
	for (int i = 0; i < N; i += 3)
		(void)weft_task_cancel(t[i]);
	for (int i = 0; i < N; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(pthread_join(th, NULL), 0); /* it never waits for a task */
	T_GE(load_relaxed(&k.made), 1);
	T_EQ(weft_breaker_stateof(k.b), WEFT_BREAKER_HALF_OPEN);
	T_OK(!stats(k.b).probing);
	T_EQ(stats(k.b).ignored, load_relaxed(&k.made));
	weft_breaker_free(k.b);
	return 0;
}

/* Whoever rushes in, and whoever is cancelled: never two at once, and never none for good. */
TEST_WORKERS(one_probe_at_a_time)
{
	run(rush_main, NULL);
}

static int mixed(void *arg)
{
	struct rush *k = arg;
	struct rng r;

	rng_seed(&r, (uint64_t)add_relaxed(&k->made, 1), 3);
	for (long i = 0; i < tap_iters(1000); i++) {
		weft_pass p;
		int rc = weft_breaker_enter(k->b, &p);

		if (rc == 0) {
			add_relaxed(&k->probes, 1);
			if (rng_below(&r, 3) == 0)
				weft_task_yield();
			weft_breaker_leave(k->b, &p, (enum weft_outcome)rng_below(&r, 3));
		} else if (rng_below(&r, 4) == 0) {
			T_EQ(rng_below(&r, 2) ? weft_breaker_reset(k->b) : weft_breaker_trip(k->b, 1 + rng_below(&r, 1000)), 0);
		}
	}
	return 0;
}

static void counts_changes(const weft_breaker_change *c, void *arg)
{
	(void)c;
	add_relaxed((ATOMIC(int) *)arg, 1);
}

static int mixed_main(void *arg)
{
	ATOMIC(int) changes = 0;
	struct rush k = {.b = make((weft_breaker_opts){
				 .in_a_row = 4,
				 .failed = 60,
				 .window = WEFT_MS,
				 .open_for = 20 * WEFT_US,
				 .changed = counts_changes,
				 .arg = &changes,
			 })};
	weft_task *t[8];
	weft_breaker_stats s;

	(void)arg;
	for (int i = 0; i < 8; i++)
		t[i] = start(mixed, &k);
	for (int i = 0; i < 8; i++)
		T_EQ(finish(t[i]), 0);
	s = stats(k.b);
	T_EQ(load_relaxed(&k.probes), s.ok + s.failures + s.ignored); /* every pass was left */
	T_OK(!s.probing);
	T_GE(load_relaxed(&changes), s.opened);
	T_EQ((uint64_t)load_relaxed(&k.probes) + s.refused, 8 * tap_iters(1000));
	weft_breaker_free(k.b);
	return 0;
}

TEST_WORKERS(all_at_once)
{
	run(mixed_main, NULL);
}
