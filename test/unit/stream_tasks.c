/* SPDX-License-Identifier: MIT
 *
 * stream_tasks.c - stages between tasks: parallel, merge, tee, partition; and what can be seen of a stream from outside while it runs.
 */
#include "rt.h"

#include "weft/defer.h"
#include "weft/stream.h"
#include <stdlib.h>

static weft_stream *of_range(int64_t n)
{
	return weft_stream_range(0, n, 1);
}

static void fails_as(weft_stream *s, int code, const char *stage)
{
	weft_stream_err e;

	T_EQ(weft_stream_error(s, &e), code);
	T_STR_EQ(e.stage, stage);
}

/* --- parallel --- */

static int64_t sum_below(int64_t n)
{
	return n * (n - 1) / 2;
}

static int yields_some(const void *in, void *out, void *arg)
{
	int64_t v = *(const int64_t *)in;

	(void)arg;
	for (int64_t i = 0; i < v % 7; i++)
		weft_task_yield();
	*(int64_t *)out = 3 * v;
	return 0;
}

static int parallel_main(void *arg)
{
	int64_t n = tap_iters(2000), next = 0, sum = 0, v[50];
	weft_stream *s = weft_stream_parallel(of_range(n), 8, yields_some, NULL, &(weft_stream_par){.tasks = 5, .window = 9});
	ssize_t k;

	(void)arg;
	while ((k = weft_stream_read(s, v, 50)) > 0) {
		T_LE(k, 9); /* the window */
		for (ssize_t i = 0; i < k; i++)
			T_EQ(v[i], 3 * next++);
	}
	T_EQ(k, 0);
	T_EQ(next, n);
	weft_stream_free(s);
	s = weft_stream_parallel(of_range(n), 8, yields_some, NULL, &(weft_stream_par){.tasks = 5, .unordered = true});
	WEFT_STREAM_FOREACH(s, int64_t, w)
	sum += w;
	T_EQ(sum, 3 * sum_below(n));
	T_EQ(weft_stream_count(s), 0);
	weft_stream_free(s);
	s = weft_stream_parallel(of_range(100), 8, yields_some, NULL, NULL);
	T_EQ(weft_stream_count(s), 100);
	weft_stream_free(s);
	return 0;
}

TEST_WORKERS(parallel_maps)
{
	run(parallel_main, NULL);
}

static ATOMIC(int64_t) begun;

static int fails_at_20(const void *in, void *out, void *arg)
{
	int64_t v = *(const int64_t *)in;

	add_relaxed(&begun, 1);
	if (v == 20)
		return -2020;
	if (arg && v > 20)
		return weft_chan_recv(arg, NULL); /* for ever, until it is cancelled */
	return yields_some(in, out, NULL);
}

static int panics_at_20(const void *in, void *out, void *arg)
{
	(void)arg;
	if (*(const int64_t *)in == 20)
		weft_task_panic("on purpose");
	return yields_some(in, out, NULL);
}

static int parallel_fails_main(void *arg)
{
	weft_chan *never = weft_chan_make(8, 0);
	weft_stream *s;
	int64_t v, n = 0;
	ssize_t k;

	(void)arg;
	store_relaxed(&begun, 0);
	s = weft_stream_parallel(of_range(1000), 8, fails_at_20, never, &(weft_stream_par){.tasks = 4, .window = 8});
	s = weft_stream_name(s, "twenties");
	while ((k = weft_stream_read(s, &v, 1)) > 0)
		T_EQ(v, 3 * n++);
	T_EQ(n, 20);
	T_EQ(k, -2020);
	fails_as(s, -2020, "twenties");
	T_LE(load_relaxed(&begun), 28); /* none beyond the window */
	weft_stream_free(s);

	s = weft_stream_parallel(of_range(1000), 8, fails_at_20, never, &(weft_stream_par){.tasks = 4, .unordered = true});
	T_EQ(weft_stream_count(s), -2020);
	weft_stream_free(s);

	for (int unordered = 0; unordered < 2; unordered++) {
		s = weft_stream_parallel(of_range(1000), 8, panics_at_20, NULL, &(weft_stream_par){.tasks = 3, .unordered = unordered});
		T_EQ(weft_stream_count(s), WEFT_EPANIC);
		weft_stream_free(s);
		s = weft_stream_map(of_range(100), 8, panics_at_20, NULL); /* in the stage before it */
		s = weft_stream_parallel(s, 8, yields_some, NULL, &(weft_stream_par){.tasks = 3, .unordered = unordered});
		T_EQ(weft_stream_count(s), WEFT_EPANIC);
		weft_stream_free(s);
		s = weft_stream_name(weft_stream_map(of_range(100), 8, fails_at_20, NULL), "before");
		s = weft_stream_parallel(s, 8, yields_some, NULL, &(weft_stream_par){.tasks = 3, .unordered = unordered});
		n = 0;
		while ((k = weft_stream_read(s, &v, 1)) > 0)
			n++;
		T_EQ(n, 20);
		T_EQ(k, -2020);
		fails_as(s, -2020, "before");
		weft_stream_free(s);
	}
	weft_chan_free(never);
	return 0;
}

TEST_WORKERS(parallel_errors)
{
	run(parallel_fails_main, NULL);
}

static int waits_for_ever(const void *in, void *out, void *arg)
{
	(void)in, (void)out;
	return weft_chan_recv(arg, NULL);
}

static int reads_one(void *arg)
{
	int64_t v;

	return (int)weft_stream_read(arg, &v, 1);
}

struct last {
	int given;
	ATOMIC(bool) ended;
};

static int one_only(void *out, void *arg, int64_t deadline)
{
	struct last *l = arg;

	(void)deadline;
	if (l->given++) {
		store_release(&l->ended, true);
		return 0;
	}
	*(int64_t *)out = 1;
	return 1;
}

static int fails_behind_the_end(const void *in, void *out, void *arg)
{
	struct last *l = arg;

	(void)in, (void)out;
	until(load_acquire(&l->ended));
	for (int i = 0; i < 100; i++)
		let_run(); /* alone with it on a worker, the other has noted the end by now */
	return -7;
}

static int parallel_last_main(void *arg)
{
	(void)arg;
	for (int i = 0; i < 10; i++) {
		struct last l = {.given = 0};
		weft_stream_par o = {.tasks = 2, .unordered = i & 1};
		weft_stream *s = weft_stream_from(8, one_only, NULL, &l);
		int64_t v;

		s = weft_stream_parallel(s, 8, fails_behind_the_end, &l, &o);
		T_EQ(weft_stream_read(s, &v, 1), -7);
		T_EQ(weft_stream_error(s, NULL), -7);
		weft_stream_free(s);
	}
	return 0;
}

/* The last element fails when the end has been seen: it is an error, not the end, and not a wait for what never comes. */
TEST_WORKERS(parallel_last_fails)
{
	run(parallel_last_main, NULL);
}

/* The stage before it has a long name, and fails first. */
static int one_then_fails(void *out, void *arg, int64_t deadline)
{
	int rc = one_only(out, arg, deadline);

	return rc ? rc : -9;
}

static int parallel_named_main(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2; i++) {
		struct last l = {.given = 0};
		weft_stream_par o = {.tasks = 4, .unordered = i & 1}; /* more than there are elements */
		weft_stream *s = weft_stream_name(weft_stream_from(8, one_then_fails, NULL, &l), "a stage of a long name");
		int64_t v;

		s = weft_stream_name(weft_stream_parallel(s, 8, fails_behind_the_end, &l, &o), "short");
		T_EQ(weft_stream_read(s, &v, 1), -7);
		fails_as(s, -7, "short");
		weft_stream_free(s);
	}
	return 0;
}

TEST_WORKERS(parallel_failure_has_its_own_name)
{
	run(parallel_named_main, NULL);
}

static ATOMIC(int) entered;

static int meets_another(const void *in, void *out, void *arg)
{
	(void)arg;
	add_relaxed(&entered, 1);
	until(load_relaxed(&entered) >= 2);
	*(int64_t *)out = *(const int64_t *)in;
	return 0;
}

static int receives(void *arg)
{
	(void)weft_chan_recv(arg, NULL);
	return 0;
}

#define MOST_TASKS 8

static int parallel_few_main(void *arg)
{
	weft_chan *c = weft_chan_make(8, 0);
	weft_stream *s = weft_stream_parallel(of_range(10), 8, meets_another, NULL, &(weft_stream_par){.tasks = 3});
	weft_task *t[MOST_TASKS];
	int64_t v = 0;
	int n = 0;

	(void)arg;
	store_relaxed(&entered, 0);
	while (n < MOST_TASKS && weft_go_opts(&t[n], receives, c, NULL) == 0)
		n++;
	T_LT(n, MOST_TASKS);
	T_EQ(weft_stream_read_until(s, &v, 1, WEFT_NOW), WEFT_EAGAIN); /* there may be no more */
	T_EQ(weft_stream_error(s, NULL), 0);
	T_EQ(weft_chan_send(c, &v), 0);
	until(weft_stream_read_until(s, &v, 1, WEFT_NOW) == WEFT_EAGAIN && load_relaxed(&entered) == 1); /* one more */
	T_EQ(weft_chan_close(c), 0);
	for (int i = 0; i < n; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(weft_stream_count(s), 10); /* the others are asked for again */
	weft_stream_free(s);
	weft_chan_free(c);
	return 0;
}

TEST(parallel_tasks_that_could_not_be_had_come_later)
{
	for (unsigned workers = 1; workers <= 2; workers++)
		T_EQ(run_with(parallel_few_main, NULL, (weft_opts){.workers = workers, .max_tasks = MOST_TASKS}), 0);
}

static int parallel_ends_main(void *arg)
{
	weft_chan *never = weft_chan_make(8, 0);
	weft_stream *s;
	weft_ctx *c, *up;
	weft_task *t;
	int64_t v;

	(void)arg;
	for (int i = 0; i < 4; i++) {
		weft_stream_par o = {.tasks = 3, .unordered = i & 1};

		c = weft_ctx_make(NULL);
		up = weft_ctx_enter(c);
		s = i < 2 ? weft_stream_parallel(of_range(10), 8, waits_for_ever, never, &o)
			  : weft_stream_parallel(weft_stream_chan(never), 8, yields_some, NULL, &o);
		weft_ctx_leave(up);
		T_EQ(weft_stream_read_until(s, &v, 1, WEFT_NOW), WEFT_EAGAIN);
		t = start(reads_one, s);
		until_reason(t, "condition");
		T_EQ(weft_task_cancel(t), 0);
		T_EQ(finish(t), WEFT_ECANCELED);
		T_EQ(weft_stream_error(s, NULL), 0); /* the reader's own */
		time_fake();
		T_EQ(weft_stream_read_until(s, &v, 1, weft_now() - 1), WEFT_ETIMEDOUT);
		time_real();
		t = start(reads_one, s);
		until_reason(t, "condition");
		T_EQ(weft_ctx_cancel(c, 0), 0);
		T_EQ(finish(t), WEFT_ECANCELED); /* the stage's */
		T_EQ(weft_stream_error(s, NULL), WEFT_ECANCELED);
		weft_stream_free(s);
		weft_ctx_free(c);

		s = weft_stream_parallel(of_range(10), 8, waits_for_ever, never, &o);
		T_EQ(weft_stream_read_until(s, &v, 1, WEFT_NOW), WEFT_EAGAIN);
		weft_stream_free(s); /* in the middle */
		weft_stream_free(weft_stream_parallel(of_range(10), 8, waits_for_ever, never, &o));
	}
	weft_chan_free(never);
	return 0;
}

TEST_WORKERS(parallel_cancelled_and_freed)
{
	run(parallel_ends_main, NULL);
}

/* --- merge --- */

static int merge_main(void *arg)
{
	weft_stream *s, *three[3];
	int64_t next[3] = {0, 0, 0}, n = tap_iters(1000), total = 0;
	weft_chan *c = weft_chan_make(8, 4);
	int64_t v = 5;

	(void)arg;
	for (int64_t i = 0; i < 3; i++)
		three[i] = weft_stream_range(i * 1000000, i * 1000000 + n * (i + 1), 1);
	s = weft_stream_merge(three, 3);
	WEFT_STREAM_FOREACH(s, int64_t, w)
	{
		T_EQ(w % 1000000, next[w / 1000000]++); /* each one's in its order */
		total++;
	}
	T_EQ(total, 6 * n);
	T_EQ(weft_stream_count(s), 0);
	weft_stream_free(s);

	three[0] = of_range(0); /* one that gives nothing holds up nobody */
	three[1] = weft_stream_chan(c);
	s = weft_stream_merge(three, 2);
	T_EQ(weft_stream_read_until(s, &v, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_chan_send(c, &v), 0);
	T_EQ(weft_stream_read(s, &v, 1), 1);
	T_EQ(v, 5);
	T_EQ(weft_chan_close(c), 0);
	T_EQ(weft_stream_read(s, &v, 1), 0);
	weft_stream_free(s);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(merges)
{
	run(merge_main, NULL);
}

static int merge_fair_main(void *arg)
{
	weft_chan *c[2] = {weft_chan_make(8, 200), weft_chan_make(8, 200)};
	weft_stream *two[2] = {weft_stream_chan(c[0]), weft_stream_chan(c[1])};
	weft_stream *s = weft_stream_merge(two, 2);
	int64_t v, from[2] = {0, 0};

	(void)arg;
	for (int64_t i = 0; i < 200; i++)
		for (int64_t k = 0; k < 2; k++)
			T_EQ(weft_chan_send(c[k], &k), 0);
	(void)weft_stream_read_until(s, &v, 1, WEFT_NOW);
	until(weft_chan_len(c[0]) < 100 && weft_chan_len(c[1]) < 100); /* both have pulled, a batch each */
	for (int i = 0; i < 200; i++)
		let_run();
	for (int i = 0; i < 40; i++) {
		T_EQ(weft_stream_read(s, &v, 1), 1);
		from[v]++;
	}
	T_EQ(from[0], 20);
	T_EQ(from[1], 20);
	weft_stream_free(s);
	weft_chan_free(c[0]);
	weft_chan_free(c[1]);
	return 0;
}

TEST(merges_are_fair) /* with one worker: whoever has been let run has come as far as it can */
{
	T_EQ(run_with(merge_fair_main, NULL, (weft_opts){.workers = 1}), 0);
}

static int merge_fails_main(void *arg)
{
	weft_chan *never = weft_chan_make(8, 0);
	weft_stream *s, *two[2];
	int64_t v, n = 0;
	weft_ctx *c, *up;
	weft_task *t;
	ssize_t k;

	(void)arg;
	two[0] = weft_stream_chan(never);
	two[1] = weft_stream_name(weft_stream_map(of_range(100), 8, fails_at_20, NULL), "second");
	s = weft_stream_merge(two, 2);
	while ((k = weft_stream_read(s, &v, 1)) > 0)
		T_EQ(v, 3 * n++);
	T_EQ(n, 20);
	T_EQ(k, -2020);
	fails_as(s, -2020, "second");
	weft_stream_free(s);
	two[0] = weft_stream_chan(never);
	two[1] = weft_stream_map(of_range(100), 8, panics_at_20, NULL);
	s = weft_stream_merge(two, 2);
	T_EQ(weft_stream_count(s), WEFT_EPANIC);
	weft_stream_free(s);

	c = weft_ctx_make(NULL);
	up = weft_ctx_enter(c);
	two[0] = weft_stream_chan(never);
	two[1] = weft_stream_chan(never);
	s = weft_stream_merge(two, 2);
	weft_ctx_leave(up);
	t = start(reads_one, s);
	until_reason(t, "condition");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(weft_stream_error(s, NULL), 0);
	T_EQ(weft_ctx_cancel(c, 0), 0);
	T_EQ(weft_stream_read(s, &v, 1), WEFT_ECANCELED);
	T_EQ(weft_stream_error(s, NULL), WEFT_ECANCELED);
	weft_stream_free(s);
	weft_ctx_free(c);
	two[0] = weft_stream_chan(never);
	two[1] = of_range(1000);
	s = weft_stream_merge(two, 2);
	T_EQ(weft_stream_read(s, &v, 1), 1);
	weft_stream_free(s); /* in the middle */
	weft_chan_free(never);
	return 0;
}

TEST_WORKERS(merge_errors)
{
	run(merge_fails_main, NULL);
}

static int out_of_time_main(void *arg)
{
	weft_chan *never = weft_chan_make(8, 0);

	(void)arg;
	time_fake();
	for (int kind = 0; kind < 3; kind++) {
		weft_ctx *c = weft_ctx_with_deadline(NULL, weft_in(100)), *up = weft_ctx_enter(c);
		weft_stream *s = weft_stream_chan(never);
		weft_task *t;

		s = kind == 0   ? weft_stream_parallel(s, 8, yields_some, NULL, NULL)
		    : kind == 1 ? weft_stream_merge(&s, 1)
				: weft_stream_buffer(s, NULL);
		weft_ctx_leave(up);
		t = start(reads_one, s);
		until_reason(t, "condition");
		time_move(100);
		T_EQ(finish(t), WEFT_ETIMEDOUT); /* the stage's, not the reader's */
		T_EQ(weft_stream_error(s, NULL), WEFT_ETIMEDOUT);
		T_EQ(reads_one(s), WEFT_ETIMEDOUT);
		weft_stream_free(s);
		weft_ctx_free(c);
	}
	time_real();
	weft_chan_free(never);
	return 0;
}

TEST_WORKERS(stages_end_with_their_makers_deadline)
{
	run(out_of_time_main, NULL);
}

/* --- tee, partition --- */

struct summing {
	weft_stream *s;
	int64_t sum, n;
};

static int sums(void *arg)
{
	struct summing *u = arg;

	WEFT_STREAM_FOREACH(u->s, int64_t, v)
	{
		u->sum += v;
		u->n++;
		if (u->n % 50 == 0)
			weft_task_yield();
	}
	T_EQ(weft_stream_count(u->s), 0);
	weft_stream_free(u->s);
	return 0;
}

static int mod_3(const void *e, void *arg)
{
	int64_t v = *(const int64_t *)e;

	return arg && v == 20 ? -2020 : (int)(v % 3);
}

static int split_main(void *arg)
{
	int64_t n = tap_iters(3000), all = 0;

	(void)arg;
	for (int part = 0; part < 2; part++) {
		struct summing u[3] = {{.n = 0}};
		weft_stream *out[3];
		weft_task *t[3];

		if (part)
			weft_stream_partition(of_range(n), 3, out, mod_3, NULL, 5, WEFT_STREAM_BLOCK);
		else
			weft_stream_tee(of_range(n), 3, out, 5, WEFT_STREAM_BLOCK);
		for (int i = 0; i < 3; i++) {
			u[i].s = out[i];
			t[i] = start(sums, &u[i]);
		}
		all = 0;
		for (int i = 0; i < 3; i++) {
			T_EQ(finish(t[i]), 0);
			all += u[i].sum;
			if (!part)
				T_EQ(u[i].sum, sum_below(n));
		}
		T_EQ(all, (part ? 1 : 3) * sum_below(n));
	}
	return 0;
}

TEST_WORKERS(tees_and_partitions)
{
	run(split_main, NULL);
}

static int64_t drain_now(weft_stream *s)
{
	int64_t v, n = 0;

	while (weft_stream_read_until(s, &v, 1, WEFT_NOW) > 0)
		n++;
	return n;
}

static int tee_bounds_main(void *arg)
{
	weft_stream *out[2];
	weft_stream_stat st;
	int64_t v;

	(void)arg;
	weft_stream_tee(of_range(100), 2, out, 5, WEFT_STREAM_BLOCK);
	T_EQ(drain_now(out[0]), 5); /* the other has read none */
	T_EQ(drain_now(out[1]), 10);
	T_EQ(drain_now(out[0]), 10);
	weft_stream_free(out[1]); /* it does not count any more */
	T_EQ(drain_now(out[0]), 85);
	weft_stream_free(out[0]);

	weft_stream_tee(of_range(100), 2, out, 5, WEFT_STREAM_DROP_OLDEST);
	while (weft_stream_read(out[0], &v, 1) > 0)
		;
	T_EQ(weft_stream_read(out[1], &v, 1), 1);
	T_EQ(v, 95);
	T_EQ(drain_now(out[1]), 4);
	T_EQ(weft_stream_read(out[1], &v, 1), 0);
	T_EQ(weft_stream_stats(out[1], &st, 0), 2);
	weft_stream_free(out[0]);
	weft_stream_free(out[1]);

	for (int i = 0; i < 2; i++) { /* one that is always read is never behind */
		weft_stream_tee(of_range(1000), 2, out, 4, i ? WEFT_STREAM_DROP_OLDEST : WEFT_STREAM_DROP_LATEST);
		T_EQ(drain_now(out[0]), 1000);
		T_EQ(drain_now(out[1]), 4);
		weft_stream_free(out[0]);
		weft_stream_free(out[1]);
	}

	weft_stream_tee(of_range(1000), 2, out, 0, WEFT_STREAM_UNBOUNDED);
	T_EQ(drain_now(out[0]), 1000);
	T_EQ(drain_now(out[1]), 1000);
	weft_stream_free(out[0]);
	weft_stream_free(out[1]);
	return 0;
}

TEST_WORKERS(tee_bounds)
{
	run(tee_bounds_main, NULL);
}

static int split_fails_main(void *arg)
{
	weft_stream *out[3], *s;
	weft_chan *c = weft_chan_make(8, 1);
	weft_task *t;
	int64_t v = 0, code = -1;

	(void)arg;
	s = weft_stream_name(weft_stream_map(of_range(100), 8, fails_at_20, NULL), "source");
	weft_stream_tee(s, 2, out, 50, WEFT_STREAM_BLOCK);
	for (int i = 0; i < 2; i++) {
		T_EQ(drain_now(out[i]), 20);
		T_EQ(weft_stream_read(out[i], &v, 1), -2020);
		fails_as(out[i], -2020, "source");
		weft_stream_free(out[i]);
	}
	weft_stream_partition(of_range(100), 3, out, mod_3, &code, 50, WEFT_STREAM_BLOCK);
	for (int i = 0; i < 3; i++) {
		weft_stream_name(out[i], "by three");
		T_EQ(drain_now(out[i]), i < 2 ? 7 : 6);
		T_EQ(weft_stream_read(out[i], &v, 1), -2020);
	}
	fails_as(out[0], -2020, "by three");
	for (int i = 0; i < 3; i++)
		weft_stream_free(out[i]);
	weft_stream_partition(of_range(100), 2, out, mod_3, NULL, 50, WEFT_STREAM_BLOCK); /* there is no third */
	T_EQ(drain_now(out[0]), 1);
	T_EQ(weft_stream_read(out[1], &v, 1), 1);
	T_EQ(weft_stream_read(out[1], &v, 1), WEFT_EINVAL);
	weft_stream_free(out[0]);
	weft_stream_free(out[1]);

	weft_stream_tee(weft_stream_chan(c), 2, out, 0, WEFT_STREAM_BLOCK);
	t = start(reads_one, out[0]); /* it pulls */
	until_reason(t, "chan receive");
	T_EQ(weft_stream_read_until(out[1], &v, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	t = start(reads_one, out[1]); /* so does the other */
	until_reason(t, "chan receive");
	T_EQ(weft_chan_send(c, &v), 0);
	T_EQ(finish(t), 1);
	T_EQ(drain_now(out[0]), 1);
	weft_stream_free(out[0]);
	weft_stream_free(out[1]);
	weft_chan_free(c);

	weft_stream_tee(weft_stream_map(of_range(100), 8, panics_at_20, NULL), 2, out, 0, WEFT_STREAM_BLOCK);
	t = start(reads_one, out[0]);
	T_EQ(finish(t), WEFT_EPANIC);
	T_EQ(weft_stream_read(out[1], &v, 1), WEFT_EPANIC);
	weft_stream_free(out[0]);
	weft_stream_free(out[1]);
	return 0;
}

TEST_WORKERS(split_errors)
{
	run(split_fails_main, NULL);
}

TEST(arguments)
{
	weft_stream *out[2], *s;

	weft_stream_tee(NULL, 2, out, 0, WEFT_STREAM_BLOCK);
	for (int i = 0; i < 2; i++) {
		T_EQ(weft_stream_error(out[i], NULL), WEFT_EINVAL);
		weft_stream_free(out[i]);
	}
	weft_stream_tee(weft_stream_failed(-88), 2, out, 0, WEFT_STREAM_BLOCK);
	for (int i = 0; i < 2; i++) {
		fails_as(out[i], -88, "failed");
		weft_stream_free(out[i]);
	}
	weft_stream_tee(of_range(3), 2, NULL, 0, WEFT_STREAM_BLOCK);
	weft_stream_tee(of_range(3), 0, out, 0, WEFT_STREAM_BLOCK);
	weft_stream_tee(of_range(3), 1, out, 5, WEFT_STREAM_UNBOUNDED);
	fails_as(out[0], WEFT_EINVAL, "tee");
	weft_stream_free(out[0]);
	weft_stream_partition(of_range(3), 1, out, NULL, NULL, 5, WEFT_STREAM_BLOCK);
	fails_as(out[0], WEFT_EINVAL, "partition");
	weft_stream_free(out[0]);
	s = weft_stream_parallel(of_range(3), 8, NULL, NULL, NULL);
	fails_as(s, WEFT_EINVAL, "parallel");
	weft_stream_free(s);
	s = weft_stream_parallel(of_range(3), 8, yields_some, NULL, &(weft_stream_par){.tasks = -1});
	fails_as(s, WEFT_EINVAL, "parallel");
	weft_stream_free(s);
	s = weft_stream_parallel(of_range(3), 8, yields_some, NULL, &(weft_stream_par){.tasks = 4, .window = 3});
	fails_as(s, WEFT_EINVAL, "parallel");
	weft_stream_free(s);
	s = weft_stream_parallel(of_range(3), 8, yields_some, NULL, NULL); /* there is no runtime */
	T_EQ(weft_stream_count(s), WEFT_ESRCH);
	weft_stream_free(s);
	s = weft_stream_merge(NULL, 3);
	fails_as(s, WEFT_EINVAL, "merge");
	weft_stream_free(s);
	out[0] = of_range(3);
	out[1] = weft_stream_batch(of_range(3), 2, 2);
	s = weft_stream_merge(out, 2);
	fails_as(s, WEFT_EINVAL, "merge");
	weft_stream_free(s);
	out[0] = of_range(3);
	s = weft_stream_merge(out, 1);
	T_EQ(weft_stream_count(s), WEFT_ESRCH);
	weft_stream_free(s);
}

/* --- statistics --- */

static int is_odd(const void *e, void *arg)
{
	(void)arg;
	return (int)(*(const int64_t *)e % 2);
}

TEST(counts)
{
	weft_stream *two[2] = {weft_stream_name(of_range(300), "left"), weft_stream_filter(of_range(300), is_odd, NULL)}, *s;
	weft_stream_stat st[8];
	weft_stream_meter m = {.at = 0};

	s = weft_stream_clock(weft_stream_take(weft_stream_concat(two, 2), 400));
	T_EQ(weft_stream_stats(s, NULL, 0), 5);
	T_EQ(weft_stream_stats(NULL, st, 8), 0);
	time_fake();
	T_EQ(weft_stream_rate(s, &m) == 0.0, 1);
	T_EQ(weft_stream_count(s), 400);
	add_relaxed(&weft__clock_fake, WEFT_SEC / 2);
	T_EQ((int64_t)weft_stream_rate(s, &m), 800);
	T_EQ((int64_t)weft_stream_rate(s, &m), 0);
	time_real();
	st[3].pulls = 12345;
	T_EQ(weft_stream_stats(s, st, 3), 5); /* those that fit */
	T_EQ(st[3].pulls, 12345);
	T_EQ(weft_stream_stats(s, st, 8), 5);
	T_STR_EQ(st[0].name, "left");
	T_STR_EQ(st[0].kind, "range");
	T_STR_EQ(st[2].kind, "filter");
	T_STR_EQ(st[3].kind, "concat");
	T_STR_EQ(st[4].name, "take");
	T_EQ(st[0].in, 0);
	T_EQ(st[0].out, 300);
	T_EQ(st[2].out, 100);
	T_GE(st[2].in, 200);
	T_EQ(st[3].in, 400);
	T_EQ(st[4].in, 400);
	T_EQ(st[4].out, 400);
	T_GE(st[4].pulls, 4);
	T_EQ(st[4].errors, 0);
	weft_stream_free(s);
	s = weft_stream_map(of_range(300), 8, fails_at_20, NULL);
	T_EQ(weft_stream_count(s), -2020);
	T_EQ(weft_stream_stats(s, st, 8), 2);
	T_EQ(st[1].errors, 1);
	T_EQ(st[1].out, 20);
	weft_stream_free(s);
}

struct measured {
	weft_stream *s;
	weft_stream_meter m;
};

static int measures_and_stops(const void *e, void *arg)
{
	struct measured *u = arg;

	(void)e;
	(void)weft_stream_rate(u->s, &u->m);
	return 1;
}

TEST(rates_of_stages)
{
	int64_t some[10] = {0};
	struct measured u = {.s = weft_stream_of(some, 10, 8)};
	weft_stream_meter m[2] = {{.at = 0}};
	weft_stream_stat st[2];
	weft_stream *s;

	time_fake();
	T_EQ(weft_stream_each(u.s, measures_and_stops, &u), 1); /* the rest is given back */
	add_relaxed(&weft__clock_fake, WEFT_SEC);
	T_EQ(weft_stream_rate(u.s, &u.m) == 0.0, 1);
	T_EQ(weft_stream_count(u.s), 9);
	add_relaxed(&weft__clock_fake, WEFT_SEC);
	T_EQ((int64_t)weft_stream_rate(u.s, &u.m), 9);
	weft_stream_free(u.s);

	s = weft_stream_filter(of_range(300), is_odd, NULL);
	T_EQ(weft_stream_stats(s, st, 2), 2);
	for (int i = 0; i < 2; i++)
		T_EQ(weft_stream_stat_rate(&st[i], &m[i]) == 0.0, 1);
	T_EQ(weft_stream_count(s), 150);
	add_relaxed(&weft__clock_fake, WEFT_SEC / 2);
	T_EQ(weft_stream_stats(s, st, 2), 2);
	T_EQ((int64_t)weft_stream_stat_rate(&st[0], &m[0]), 600);
	T_EQ((int64_t)weft_stream_stat_rate(&st[1], &m[1]), 300);
	add_relaxed(&weft__clock_fake, WEFT_SEC / 2);
	T_EQ(weft_stream_stat_rate(&st[1], &m[1]) == 0.0, 1); /* nothing since */
	T_EQ(weft_stream_stat_rate(NULL, &m[0]) == 0.0, 1);
	T_EQ(weft_stream_rate(NULL, &m[0]) == 0.0, 1);
	time_real();
	weft_stream_free(s);
}

static ATOMIC(int) watching;

static int watches(void *arg)
{
	weft_stream_stat st[4];
	uint64_t last = 0;

	while (load_acquire(&watching)) {
		T_EQ(weft_stream_stats(arg, st, 4), 3);
		T_GE(st[2].out, last);
		last = st[2].out;
		weft_task_yield();
	}
	return 0;
}

static int watched_main(void *arg)
{
	weft_stream *s = weft_stream_parallel(weft_stream_map(of_range(tap_iters(2000)), 8, yields_some, NULL), 8, yields_some, NULL, NULL);
	weft_task *t;

	(void)arg;
	store_release(&watching, 1);
	t = start(watches, s);
	T_GT(weft_stream_count(s), 0);
	store_release(&watching, 0);
	T_EQ(finish(t), 0);
	weft_stream_free(s);
	return 0;
}

TEST_WORKERS(is_watched_while_it_runs)
{
	run(watched_main, NULL);
}
