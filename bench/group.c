/* SPDX-License-Identifier: MIT
 *
 * group.c - P34: what does a child of a group cost, from its start until all are joined? P35: what does a parallel loop cost, and save, against a plain one?
 */
#include "bench.h"

#define CHILDREN 100

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int64_t hundred(uint64_t n, void *arg)
{
	const group_opts *o = arg;
	uint64_t did = 0;
	int64_t start = bench_now();

	for (; did < n; did += CHILDREN) {
		weft_group g;

		MUST(group_init(&g, o));
		for (int i = 0; i < CHILDREN; i++)
			MUST(group_go(&g, nothing, NULL));
		MUST(group_close(&g));
	}
	return bench_scale(bench_now() - start, n, did);
}

static int fails(void *arg)
{
	(void)arg;
	return -1;
}

/* The first child fails; the others wait for something, and are cancelled. */
static int waits(void *arg)
{
	(void)arg;
	return task_sleep_until(FOREVER);
}

static int64_t failing(uint64_t n, void *arg)
{
	uint64_t did = 0;
	int64_t start = bench_now();

	(void)arg;
	for (; did < n; did += CHILDREN) {
		weft_group g;

		MUST(group_init(&g, NULL));
		for (int i = 1; i < CHILDREN; i++)
			MUST(group_go(&g, waits, NULL));
		MUST(group_go(&g, fails, NULL));
		if (group_close(&g) != -1)
			exit(1);
	}
	return bench_scale(bench_now() - start, n, did);
}

/* --- loops --- */

static int compute(size_t from, size_t to, void *arg)
{
	(void)arg;
	for (; from < to; from++) {
		uint64_t x = from;

		for (int i = 0; i < 100; i++)
			x = x * 6364136223846793005u + 1442695040888963407u;
		__asm__ volatile("" ::"r"(x)); /* it is wanted */
	}
	return 0;
}

static int64_t serial(uint64_t n, void *arg)
{
	int64_t start = bench_now();

	MUST(compute(0, n, arg));
	return bench_now() - start;
}

static int64_t parallel(uint64_t n, void *arg)
{
	int64_t start = bench_now();

	MUST(par_for(n, *(size_t *)arg, compute, NULL));
	return bench_now() - start;
}

static int64_t short_loops(uint64_t n, void *arg)
{
	uint64_t did = 0;
	int64_t start = bench_now();

	(void)arg;
	for (; did < n; did += 100)
		MUST(par_for(100, 10, compute, NULL));
	return bench_scale(bench_now() - start, n, did);
}

static int body(void *arg)
{
	const group_opts limited = {.max = 10};
	struct bench *b = arg;
	size_t chosen = 0, ten = 10;

	bench_measure(b, "P34", "100 children", hundred, NULL);
	bench_measure(b, "P34", "100 children, 10 at a time", hundred, (void *)&limited);
	bench_measure(b, "P34", "100 children, 99 wait, one fails", failing, NULL);
	bench_measure(b, "P35", "an index, plain loop", serial, NULL);
	bench_measure(b, "P35", "an index, par_for", parallel, &chosen);
	bench_measure(b, "P35", "an index, par_for, grain 10", parallel, &ten);
	bench_measure(b, "P35", "an index, par_for of 100, grain 10", short_loops, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
