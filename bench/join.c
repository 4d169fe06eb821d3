/* SPDX-License-Identifier: MIT
 *
 * join.c - P5: what does it cost to start one task and wait for it, over and over?
 */
#include "bench.h"

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int64_t one_at_a_time(uint64_t n, void *arg)
{
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++) {
		task *t;

		MUST(go_opts(&t, nothing, NULL, NULL));
		MUST(task_join(t, NULL));
	}
	return bench_now() - start;
}

static int body(void *arg)
{
	bench_measure(arg, "P5", "spawn and join", one_at_a_time, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
