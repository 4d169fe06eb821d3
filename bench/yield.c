/* SPDX-License-Identifier: MIT
 *
 * yield.c - P2, P3: how long is it from a task's yield to the next one's run?
 *
 * Wall time over all yields: with two workers half of it a yield on each.
 */
#include "bench.h"

static void yielder(waitgroup *g, uint64_t times)
{
	for (uint64_t i = 0; i < times; i++)
		task_yield();
	wg_done(g);
}

static int64_t among(uint64_t n, void *arg)
{
	int tasks = *(int *)arg;
	uint64_t each = n / (uint64_t)tasks + 1;
	waitgroup g = {0};
	int64_t start = bench_now();

	wg_add(&g, tasks);
	for (int i = 0; i < tasks; i++)
		MUST(go(yielder, &g, each));
	MUST(wg_wait(&g));
	return bench_scale(bench_now() - start, n, each * (uint64_t)tasks);
}

static int body(void *arg)
{
	struct bench *b = arg;

	if (b->workers == 1)
		bench_measure(b, "P2", "yield, 2 tasks", among, &(int){2});
	bench_measure(b, b->workers == 1 ? "P2" : "P3", "yield, 1000 tasks", among, &(int){1000});
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
