/* SPDX-License-Identifier: MIT
 *
 * group_loops.c - group_map and par_for: each item and each index once, or an error and nothing that still runs.
 */
#include "rt.h"

#include "weft/defer.h"
#include "weft/group.h"
#include <pthread.h>
#include <stdlib.h>

/* --- map --- */

static int squares(const void *item, void *out, void *arg)
{
	(void)arg;
	int v = *(const int *)item;

	if (v % 3 == 0)
		weft_task_yield();
	if (out)
		*(long *)out = (long)v * v;
	return 0;
}

static int fails_at_ten(const void *item, void *out, void *arg)
{
	(void)arg;
	int v = *(const int *)item;

	if (v == 10)
		return -10;
	*(long *)out = 1;
	return v > 10 ? weft_task_sleep_until(WEFT_FOREVER) : 0;
}

static int fails_from_ten(const void *item, void *out, void *arg)
{
	(void)arg;
	*(long *)out = 1;
	return *(const int *)item >= 10 ? -*(const int *)item : 0;
}

static int panics_at_ten(const void *item, void *out, void *arg)
{
	if (*(const int *)item == 10)
		weft_task_panic("ten");
	return squares(item, out, arg);
}

static int exits_at_ten(const void *item, void *out, void *arg)
{
	if (*(const int *)item == 10)
		weft_task_exit(-11);
	return squares(item, out, arg);
}

enum { N = 100 };

static int map_main(void *arg)
{
	const weft_group_opts some = {.max = 4}, ignore = {.policy = WEFT_IGNORE}, collect = {.policy = WEFT_COLLECT}, bad = {.max = -1};
	long out[N] = {0};
	int in[N], rc;

	(void)arg;
	for (int i = 0; i < N; i++)
		in[i] = i;
	for (int how = 0; how < 2; how++) {
		memset(out, 0, sizeof out);
		T_EQ(weft_group_map(squares, in, N, sizeof in[0], out, sizeof out[0], NULL, how ? &some : NULL), 0);
		for (int i = 0; i < N; i++)
			T_EQ(out[i], (long)i * i);
	}
	T_EQ(weft_group_map(squares, in, N, sizeof in[0], NULL, 0, NULL, NULL), 0);
	T_EQ(weft_group_map(squares, in, 0, sizeof in[0], out, sizeof out[0], NULL, NULL), 0);
	T_EQ(weft_group_map(NULL, in, N, sizeof in[0], out, sizeof out[0], NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_group_map(squares, NULL, N, sizeof in[0], out, sizeof out[0], NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_group_map(squares, in, N, sizeof in[0], out, sizeof out[0], NULL, &bad), WEFT_EINVAL);

	T_EQ(weft_group_map(fails_at_ten, in, N, sizeof in[0], out, sizeof out[0], NULL, NULL),
	     -10); /* and the others do not sleep for ever */
	memset(out, 0, sizeof out);
	T_EQ(weft_group_map(fails_from_ten, in, N, sizeof in[0], out, sizeof out[0], NULL, &ignore), 0);
	for (int i = 0; i < N; i++)
		T_EQ(out[i], 1);
	memset(out, 0, sizeof out);
	rc = weft_group_map(fails_from_ten, in, N, sizeof in[0], out, sizeof out[0], NULL, &collect);
	T_LE(rc, -10);
	T_GT(rc, -N);
	for (int i = 0; i < N; i++)
		T_EQ(out[i], 1);
	T_EQ(weft_group_map(panics_at_ten, in, N, sizeof in[0], out, sizeof out[0], NULL, NULL), WEFT_EPANIC);
	T_EQ(weft_group_map(exits_at_ten, in, N, sizeof in[0], out, sizeof out[0], NULL, NULL), -11);
	return 0;
}

TEST_WORKERS(map)
{
	run(map_main, NULL);
}

static ATOMIC(int) sleeping;

static int sleeps(const void *item, void *out, void *arg)
{
	(void)arg;
	int rc;

	(void)item;
	(void)out;
	add_relaxed(&sleeping, 1);
	rc = weft_task_sleep_until(WEFT_FOREVER);
	add_relaxed(&sleeping, -1);
	return rc;
}

static int maps_sleeps(void *arg)
{
	const int max = (int)(intptr_t)arg;
	int in[N] = {0};

	return weft_group_map(sleeps, in, N, sizeof in[0], NULL, 0, NULL,
			      &(weft_group_opts){.max = max, .policy = max == 5 ? WEFT_COLLECT : WEFT_FAIL_FAST});
}

static int map_cancel_main(void *arg)
{
	(void)arg;
	for (int max = 0; max < 10; max += 5) { /* in the wait for the end, and in the wait for room */
		weft_task *t = start(maps_sleeps, (void *)(intptr_t)max);

		until_reason(t, max ? "group room" : "group");
		until(load_relaxed(&sleeping) == (max ? max : N));
		T_EQ(weft_task_cancel(t), 0);
		T_EQ(finish(t), WEFT_ECANCELED);
		T_EQ(load_relaxed(&sleeping), 0);
	}
	return 0;
}

/* Cancelled: so are its tasks, and it waits for them. */
TEST_WORKERS(map_is_cancelled)
{
	run(map_cancel_main, NULL);
}

static int map_few_main(void *arg)
{
	long out[N] = {0};
	int in[N], done = 0;

	(void)arg;
	for (int i = 0; i < N; i++)
		in[i] = 1;
	T_EQ(weft_group_map(squares, in, N, sizeof in[0], out, sizeof out[0], NULL, NULL), WEFT_EAGAIN);
	for (int i = 0; i < N; i++)
		done += out[i] == 1;
	T_LT(done, N);
	T_EQ(weft_group_map(squares, in, N, sizeof in[0], out, sizeof out[0], NULL, &(weft_group_opts){.max = 2}), 0);
	return 0;
}

/* Fewer tasks than items: it says so; with a limit they do. */
TEST(map_with_few_tasks)
{
	int in = 1;

	T_EQ(run_with(map_few_main, NULL, (weft_opts){.workers = 1, .max_tasks = 10}), 0);
	T_EQ(weft_group_map(squares, &in, 1, sizeof in, NULL, 0, NULL, NULL), WEFT_ESRCH);
}

static int map_late_main(void *arg)
{
	weft_ctx *c = weft_ctx_with_deadline(NULL, weft_in(2 * WEFT_MS));
	int in[3] = {0};
	weft_task *t;

	(void)arg;
	T_EQ(weft_group_map(sleeps, in, 3, sizeof in[0], NULL, 0, NULL, &(weft_group_opts){.timeout = WEFT_MS}), WEFT_ETIMEDOUT);
	T_EQ(weft_go_opts(&t, maps_sleeps, NULL, &(weft_task_opts){.ctx = c}), 0);
	T_EQ(finish(t), WEFT_ETIMEDOUT);
	T_EQ(load_relaxed(&sleeping), 0);
	weft_ctx_free(c);
	return 0;
}

/* Its own deadline, and the caller's. */
TEST_WORKERS(map_is_late)
{
	run(map_late_main, NULL);
}

/* --- for --- */

struct range {
	size_t n, grain;
	ATOMIC(uint8_t) *seen;
	ATOMIC(uint32_t) ranges, tasks;
	size_t bad;
	int code;
	ATOMIC(uint64_t) first;
};

static int counts(size_t from, size_t to, void *arg)
{
	struct range *r = arg;
	uint64_t self = weft_task_id(NULL), none = 0;

	T_LT(from, to);
	T_LE(to, r->n);
	if (r->grain)
		T_OK(to - from <= r->grain);
	if (!cas_relaxed(&r->first, &none, self) && none != self)
		add_relaxed(&r->tasks, 1);
	add_relaxed(&r->ranges, 1);
	for (size_t i = from; i < to; i++)
		add_relaxed(&r->seen[i], (uint8_t)1);
	if (r->bad >= from && r->bad < to) {
		if (r->code == WEFT_EPANIC)
			weft_task_panic("a bad index");
		return r->code;
	}
	if (from % 7 == 0)
		weft_task_yield();
	return (int)(to - from); /* no error */
}

static void range_make(struct range *r, size_t n, size_t grain)
{
	*r = (struct range){.n = n, .grain = grain, .bad = SIZE_MAX, .seen = calloc(n + 1, 1)};
}

static size_t range_seen(struct range *r, uint8_t most)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++) {
		T_LE(load_relaxed(&r->seen[i]), most);
		n += load_relaxed(&r->seen[i]);
	}
	free(r->seen);
	return n;
}

static int for_main(void *arg)
{
	const size_t sizes[] = {0, 1, 2, 3, 10, 1000, 100000}, grains[] = {0, 1, 3, 1000, SIZE_MAX};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		for (size_t k = 0; k < ARRAY_LEN(grains); k++) {
			struct range r;

			if (sizes[i] > 1000 && grains[k] && grains[k] < 1000 && tap_slow() > 1)
				continue;
			range_make(&r, sizes[i], grains[k]);
			T_EQ(weft_par_for(r.n, r.grain, counts, &r), 0);
			tap_note("%zu by %zu: %u ranges", r.n, r.grain, load_relaxed(&r.ranges));
			T_EQ(range_seen(&r, 1), r.n);
		}
	}
	T_EQ(weft_par_for(3, 1, NULL, NULL), WEFT_EINVAL);
	return 0;
}

/* Each index once. */
TEST_WORKERS(for_all)
{
	run(for_main, NULL);
}

static int for_errors_main(void *arg)
{
	const int codes[] = {-4, WEFT_EPANIC};

	(void)arg;
	for (size_t bad = 0; bad < 1000; bad += 90) {
		for (size_t k = 0; k < ARRAY_LEN(codes); k++) {
			struct range r;

			range_make(&r, 1000, 10);
			r.bad = bad;
			r.code = codes[k];
			T_EQ(weft_par_for(r.n, r.grain, counts, &r), codes[k]);
			T_LE(range_seen(&r, 1), r.n);
			T_EQ(weft_ctx_check(), 0);
		}
	}
	return 0;
}

/* The first error ends it; none runs twice, and none when it has returned. */
TEST_WORKERS(for_errors)
{
	run(for_errors_main, NULL);
}

static ATOMIC(int) begun;

static int blocks(size_t from, size_t to, void *arg)
{
	(void)arg;
	(void)from;
	(void)to;
	add_relaxed(&begun, 1);
	return weft_task_sleep_until(WEFT_FOREVER);
}

static int for_blocks(void *arg)
{
	(void)arg;
	return weft_par_for(1000, 1, blocks, NULL);
}

static int for_cancel_main(void *arg)
{
	weft_ctx *c = weft_ctx_make(NULL);
	weft_task *t;

	(void)arg;
	for (int by_ctx = 0; by_ctx < 2; by_ctx++) {
		store_relaxed(&begun, 0);
		T_EQ(weft_go_opts(&t, for_blocks, NULL, &(weft_task_opts){.ctx = c}), 0);
		until_reason(t, "sleep");
		T_EQ(by_ctx ? weft_ctx_cancel(c, WEFT_REASON_CANCELED) : weft_task_cancel(t), 0);
		T_EQ(finish(t), WEFT_ECANCELED);
		T_LT(load_relaxed(&begun), 1000);
	}
	T_EQ(weft_go_opts(&t, for_blocks, NULL, &(weft_task_opts){.ctx = c}), 0); /* before */
	T_EQ(finish(t), WEFT_ECANCELED);
	weft_ctx_free(c);
	c = weft_ctx_with_deadline(NULL, weft_in(2 * WEFT_MS));
	T_EQ(weft_go_opts(&t, for_blocks, NULL, &(weft_task_opts){.ctx = c}), 0);
	T_EQ(finish(t), WEFT_ETIMEDOUT);
	weft_ctx_free(c);
	return 0;
}

TEST_WORKERS(for_is_cancelled)
{
	run(for_cancel_main, NULL);
}

static int exits_midway(size_t from, size_t to, void *arg)
{
	(void)to;
	if (from >= 50)
		weft_task_exit(-9);
	return counts(from, to, arg);
}

static int for_exit(void *arg)
{
	struct range *r = arg;

	return weft_par_for(r->n, 1, exits_midway, r);
}

static int for_exit_main(void *arg)
{
	struct range r;

	(void)arg;
	range_make(&r, 1000, 1);
	T_EQ(finish(start(for_exit, &r)), -9); /* whoever came there, the caller or another */
	T_LE(range_seen(&r, 1), r.n);
	return 0;
}

/* A range ends the task that works on it. */
TEST_WORKERS(for_and_exit)
{
	run(for_exit_main, NULL);
}

static int inner(size_t from, size_t to, void *arg)
{
	add_relaxed((ATOMIC(long) *)arg, (long)(to - from));
	return 0;
}

static int outer(size_t from, size_t to, void *arg)
{
	for (; from < to; from++)
		T_EQ(weft_par_for(100, 3, inner, arg), 0);
	return 0;
}

static int for_nested_main(void *arg)
{
	ATOMIC(long) n = 0;

	(void)arg;
	T_EQ(weft_par_for(100, 2, outer, &n), 0);
	T_EQ(load_relaxed(&n), 10000);
	return 0;
}

TEST_WORKERS(for_in_for)
{
	run(for_nested_main, NULL);
}

static void *for_foreign(void *arg)
{
	struct range *r = arg;

	T_EQ(weft_par_for(r->n, r->grain, counts, r), 0);
	return NULL;
}

static int for_foreign_main(void *arg)
{
	struct range r;
	pthread_t th;

	(void)arg;
	range_make(&r, 10000, 10);
	T_EQ(pthread_create(&th, NULL, for_foreign, &r), 0);
	pthread_join(th, NULL); /* this worker is stuck meanwhile */
	T_EQ(range_seen(&r, 1), r.n);
	return 0;
}

/* From a thread that weft did not make: tasks do it. */
TEST(for_foreign_thread)
{
	run(for_foreign_main, NULL);
}

TEST(for_no_runtime)
{
	struct range r;

	range_make(&r, 10, 1);
	T_EQ(weft_par_for(r.n, r.grain, counts, &r), WEFT_ESRCH);
	T_EQ(range_seen(&r, 1), 0);
}

static ATOMIC(uint32_t) meeting;

/* The first range waits until another runs: somebody else has taken it. */
static int meets(size_t from, size_t to, void *arg)
{
	(void)from;
	(void)to;
	(void)arg;
	add_relaxed(&meeting, 1);
	until(load_relaxed(&meeting) >= 2);
	return 0;
}

static int for_two_main(void *arg)
{
	(void)arg;
	return weft_par_for(2, 1, meets, NULL);
}

/* With two workers two ranges run at once. */
TEST(for_is_parallel)
{
	T_EQ(run_with(for_two_main, NULL, (weft_opts){.workers = 2}), 0);
}

static int leaves_at_seven(size_t from, size_t to, void *arg)
{
	(void)arg;
	for (; from < to; from++) {
		if (from == 7 && weft_task_self() != (weft_task *)arg)
			weft_task_exit(0);
		weft_task_yield();
	}
	return 0;
}

static int loop_of_quitters(void *arg)
{
	(void)arg;
	return weft_par_for(64, 1, leaves_at_seven, weft_task_self());
}

static int quit_main(void *arg)
{
	(void)arg;
	for (int k = 0; k < 50; k++) {
		weft_task *t = start(loop_of_quitters, NULL);
		int rc = finish(t);

		T_OK(rc == 0 || rc == WEFT_ECANCELED); /* 0: the caller did it himself */
	}
	return 0;
}

/* Who ends the task in a range has not done the rest of it: the loop says so. */
TEST_WORKERS(a_helper_that_leaves)
{
	run(quit_main, NULL);
}
