/* SPDX-License-Identifier: MIT
 *
 * sleep.c - P14: a task sleeps for a while, alone. How much longer does it take?
 *
 * The process has nothing else to do, so each sleep also puts the worker to sleep in the kernel, and wakes it.
 */
#include "bench.h"

#define SLEEPS_MAX 2000

static void overshoot(const struct bench *b, const char *span, int64_t ns, int n)
{
	static double us[SLEEPS_MAX];
	char median[64], p99[64];

	snprintf(median, sizeof(median), "%s, overshoot, median", span);
	snprintf(p99, sizeof(p99), "%s, overshoot, p99", span);
	if (!bench_wanted(b, median) && !bench_wanted(b, p99))
		return;
	if (b->quick)
		n /= 4;
	for (int i = 0; i < n; i++) {
		int64_t start = bench_now();

		MUST(task_sleep(ns));
		us[i] = (double)(bench_now() - start - ns) / 1e3;
	}
	qsort(us, (size_t)n, sizeof(*us), bench_compare);
	bench_report(b, "P14", median, "us", &us[n / 2], 1);
	bench_report(b, "P14", p99, "us", &us[n * 99 / 100], 1);
}

static int body(void *arg)
{
	const struct bench *b = arg;

	overshoot(b, "100 us", 100 * US, 2000);
	overshoot(b, "1 ms", 1 * MS, 1000);
	overshoot(b, "10 ms", 10 * MS, 200);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
