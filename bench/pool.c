/* SPDX-License-Identifier: MIT
 *
 * pool.c - P38: what does a job cost on a thread of a pool, next to a blocking call: one at a time, and many at once?
 */
#include "bench.h"

#define AT_ONCE 100

static int adds(void *arg)
{
	++*(int64_t *)arg;
	return 0;
}

static int64_t blocked(uint64_t n, void *arg)
{
	int64_t start = bench_now(), sum = 0;

	(void)arg;
	for (uint64_t i = 0; i < n; i++)
		MUST(blocking(adds, &sum, NULL));
	return bench_now() - start;
}

static int64_t called(uint64_t n, void *arg)
{
	int64_t start = bench_now(), sum = 0;

	for (uint64_t i = 0; i < n; i++)
		MUST(pool_call(arg, adds, &sum, NULL));
	return bench_now() - start;
}

static int64_t awaited(uint64_t n, void *arg)
{
	int64_t start = bench_now(), sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		future *f;

		MUST(pool_submit(arg, adds, &sum, &f));
		MUST(future_await(f, NULL));
		future_free(f);
	}
	return bench_now() - start;
}

/* One thread, so that what it adds needs no lock. */
static int64_t in_batches(uint64_t n, void *arg)
{
	int64_t start = bench_now(), sum = 0;

	for (uint64_t i = 0; i < n; i += AT_ONCE) {
		future *f[AT_ONCE];

		for (int k = 0; k < AT_ONCE; k++)
			MUST(pool_submit(arg, adds, &sum, &f[k]));
		MUST(future_all(f, AT_ONCE, NULL, 0));
		for (int k = 0; k < AT_ONCE; k++)
			future_free(f[k]);
	}
	return bench_now() - start;
}

static int body(void *arg)
{
	struct bench *b = arg;
	pool *one, *four;

	MUST(pool_make(&one, &(pool_opts){.max = 1}));
	MUST(pool_make(&four, &(pool_opts){.max = 4}));
	bench_measure(b, "P38", "blocking call", blocked, NULL);
	bench_measure(b, "P38", "call, 4 threads", called, four);
	bench_measure(b, "P38", "submit and await, 4 threads", awaited, four);
	bench_measure(b, "P38", "submit 100 and await all, 1 thread", in_batches, one);
	MUST(pool_free(one));
	MUST(pool_free(four));
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
