/* SPDX-License-Identifier: MIT
 *
 * local.c - P40: what does a task-local value cost, and what do tasks cost that inherit one?
 */
#include "bench.h"

#define WINDOW 100

static weft_local key;

static int64_t get(uint64_t n, void *arg)
{
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++) {
		if (local_get(key) != &key)
			exit(1);
	}
	return bench_now() - start;
}

static int64_t set(uint64_t n, void *arg)
{
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++)
		MUST(local_set(key, &key));
	return bench_now() - start;
}

static int64_t inherit(uint64_t n, void *arg)
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

static int body(void *arg)
{
	struct bench *b = arg;

	MUST(local_make(&key, NULL, LOCAL_INHERIT));
	MUST(local_set(key, &key));
	bench_measure(b, "P40", "get", get, NULL);
	bench_measure(b, "P40", "set", set, NULL);
	bench_measure(b, "P40", "start, run and end a task that inherits one, windows of 100", inherit, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
