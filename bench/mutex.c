/* SPDX-License-Identifier: MIT
 *
 * mutex.c - P10: what does locking and unlocking a mutex cost, alone and with 200 tasks that all want it?
 */
#include "bench.h"

#define TASKS 200

static int64_t alone(uint64_t n, void *arg)
{
	mutex m = {0};
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++) {
		MUST(mutex_lock(&m));
		mutex_unlock(&m);
	}
	return bench_now() - start;
}

static void contender(mutex *m, uint64_t *counter, uint64_t times, waitgroup *g)
{
	for (uint64_t i = 0; i < times; i++) {
		MUST(mutex_lock(m));
		*counter += 1;
		mutex_unlock(m);
	}
	wg_done(g);
}

static int64_t contended(uint64_t n, void *arg)
{
	uint64_t each = n / TASKS + 1, counter = 0;
	waitgroup g = {0};
	mutex m = {0};
	int64_t start = bench_now();

	(void)arg;
	wg_add(&g, TASKS);
	for (int i = 0; i < TASKS; i++)
		MUST(go(contender, &m, &counter, each, &g));
	MUST(wg_wait(&g));
	if (counter != each * TASKS) {
		fprintf(stderr, "bench: %llu instead of %llu\n", (unsigned long long)counter, (unsigned long long)each * TASKS);
		exit(1);
	}
	return bench_scale(bench_now() - start, n, each * TASKS);
}

static int body(void *arg)
{
	struct bench *b = arg;

	bench_measure(b, "P10", "lock and unlock, alone", alone, NULL);
	bench_measure(b, "P10", "200 tasks contending", contended, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
