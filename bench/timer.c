/* SPDX-License-Identifier: MIT
 *
 * timer.c - P13: what do making and stopping a timer cost while a million others are live?
 *
 * The timers lie one to two hours ahead, at random. The first round, which makes the memory, only warms up.
 */
#include "bench.h"

#define MILLION 1000000

static void nothing(void *arg)
{
	(void)arg;
}

static weft_timer *one(int64_t ns)
{
	return bench_need(timer_after(ns, nothing, NULL), "a timer");
}

static int body(void *arg)
{
	struct bench *b = arg;
	weft_timer **live = bench_need(malloc(MILLION * sizeof(*live)), "timers");
	int64_t *later = bench_need(malloc(MILLION * sizeof(*later)), "times");
	double create[BENCH_RUNS_MAX], stop[BENCH_RUNS_MAX], both[BENCH_RUNS_MAX];
	uint64_t x = 88172645463325252u;

	for (int k = 0; k < MILLION; k++) {
		x ^= x << 13; /* xorshift64 of Marsaglia */
		x ^= x >> 7;
		x ^= x << 17;
		later[k] = 3600 * SEC + (int64_t)(x % (uint64_t)(3600 * SEC));
		live[k] = NULL;
	}
	for (int i = -1; i < b->runs; i++) {
		int64_t t0 = bench_now(), t1, t2, t3;

		for (int k = 0; k < MILLION; k++)
			live[k] = one(later[k]);
		t1 = bench_now();
		for (int k = 0; k < MILLION; k++)
			timer_free(one(later[k]));
		t2 = bench_now();
		for (int k = 0; k < MILLION; k++)
			timer_free(live[k]);
		t3 = bench_now();
		if (i < 0)
			continue;
		create[i] = (double)(t1 - t0) / MILLION;
		both[i] = (double)(t2 - t1) / MILLION;
		stop[i] = (double)(t3 - t2) / MILLION;
	}
	bench_report(b, "P13", "create, up to 1000000 live", "ns", create, b->runs);
	bench_report(b, "P13", "stop, 1000000 live", "ns", stop, b->runs);
	bench_report(b, "P13", "create and stop, 1000000 live", "ns", both, b->runs);
	free(later);
	free(live);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
