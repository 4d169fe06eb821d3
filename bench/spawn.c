/* SPDX-License-Identifier: MIT
 *
 * spawn.c - P4: what does a short task cost from its start to its end, many at a time?
 *
 * In a batch: a hundred by one call. Queued: the starter goes on, and waits once a hundred (or a million) are started. Run at once: each runs before the
 * starter goes on.
 */
#include "bench.h"

#define WINDOW 100
#define MILLION 1000000

static int64_t queued(uint64_t n, void *arg)
{
	uint64_t did = 0;
	waitgroup g = {0};
	int64_t start = bench_now();

	(void)arg;
	for (; did < n; did += WINDOW) {
		wg_add(&g, WINDOW);
		for (int i = 0; i < WINDOW; i++)
			MUST(go(wg_done, &g));
		MUST(wg_wait(&g));
	}
	return bench_scale(bench_now() - start, n, did);
}

static int finish(void *arg)
{
	wg_done(arg);
	return 0;
}

static int64_t at_once(uint64_t n, void *arg)
{
	const task_opts o = {.now = true};
	uint64_t did = 0;
	waitgroup g = {0};
	int64_t start = bench_now();

	(void)arg;
	for (; did < n; did += WINDOW) {
		wg_add(&g, WINDOW);
		for (int i = 0; i < WINDOW; i++)
			MUST(go_opts(NULL, finish, &g, &o));
		MUST(wg_wait(&g));
	}
	return bench_scale(bench_now() - start, n, did);
}

static int64_t batched(uint64_t n, void *arg)
{
	void *args[WINDOW];
	uint64_t did = 0;
	waitgroup g = {0};
	int64_t start = bench_now();

	(void)arg;
	for (int i = 0; i < WINDOW; i++)
		args[i] = &g;
	for (; did < n; did += WINDOW) {
		wg_add(&g, WINDOW);
		MUST(go_batch(finish, args, WINDOW, NULL, NULL));
		MUST(wg_wait(&g));
	}
	return bench_scale(bench_now() - start, n, did);
}

/* A million started before the first of them runs (one worker). The first round, which makes records, warms up. */
static void million(const struct bench *b)
{
	const char *variant = "1000000 at once, queued";
	double s[BENCH_RUNS_MAX];
	waitgroup g = {0};

	if (!bench_wanted(b, variant))
		return;
	for (int i = -1; i < b->runs; i++) {
		int64_t start = bench_now();

		wg_add(&g, MILLION);
		for (int k = 0; k < MILLION; k++)
			MUST(go(wg_done, &g));
		MUST(wg_wait(&g));
		if (i >= 0)
			s[i] = (double)(bench_now() - start) / MILLION;
	}
	bench_report(b, "P4", variant, "ns", s, b->runs);
}

static int body(void *arg)
{
	struct bench *b = arg;

	bench_measure(b, "P4", "windows of 100, queued", queued, NULL);
	bench_measure(b, "P4", "windows of 100, run at once", at_once, NULL);
	bench_measure(b, "P4", "windows of 100, in a batch", batched, NULL);
	million(b);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
