/* SPDX-License-Identifier: MIT
 *
 * work.h - work of a microsecond, for what is measured with some to do (P23, P25).
 */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include "bench.h"

static __attribute__((noinline)) uint64_t work_steps(uint64_t x, uint64_t n)
{
	while (n--)
		x = x * 6364136223846793005u + 1442695040888963407u;
	return x;
}

/* So many steps take a microsecond here. */
static uint64_t work_us(void)
{
	int64_t best = INT64_MAX;
	volatile uint64_t sink = 1;

	for (int i = 0; i < 50; i++) {
		int64_t start = bench_now(), took;

		sink = work_steps(sink, 100000);
		took = bench_now() - start;
		if (took < best)
			best = took;
	}
	return (uint64_t)(100000 * 1000 / best);
}

#endif
