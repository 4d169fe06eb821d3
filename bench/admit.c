/* SPDX-License-Identifier: MIT
 *
 * admit.c - P75: what does it cost to be let in and to leave again: through a bulkhead, an adaptive limit, a breaker, by a credit; and to be ready to try again?
 */
#include "bench.h"

#define TASKS 200

static int64_t bulkhead_alone(uint64_t n, void *arg)
{
	bulkhead *b;
	int64_t start;

	(void)arg;
	MUST(bulkhead_make(&b, &(bulkhead_opts){.max = 10, .line.max = -1}));
	start = bench_now();
	for (uint64_t i = 0; i < n; i++) {
		MUST(bulkhead_enter(b));
		bulkhead_leave(b);
	}
	start = bench_now() - start;
	bulkhead_free(b);
	return start;
}

struct shared {
	bulkhead *b;
	waitgroup g;
	uint64_t each;
};

static void goes_in(struct shared *k)
{
	for (uint64_t i = 0; i < k->each; i++) {
		MUST(bulkhead_enter(k->b));
		task_yield(); /* all others come by, and all but ten wait */
		bulkhead_leave(k->b);
	}
	wg_done(&k->g);
}

static int64_t bulkhead_contended(uint64_t n, void *arg)
{
	struct shared k = {.each = n / TASKS + 1};
	int64_t start;

	(void)arg;
	MUST(bulkhead_make(&k.b, &(bulkhead_opts){.max = 10, .line.max = -1}));
	wg_add(&k.g, TASKS);
	start = bench_now();
	for (int i = 0; i < TASKS; i++)
		MUST(go(goes_in, &k));
	MUST(wg_wait(&k.g));
	start = bench_scale(bench_now() - start, n, k.each * TASKS);
	bulkhead_free(k.b);
	return start;
}

static int64_t limit_alone(uint64_t n, void *arg)
{
	weft_permit p;
	weft_limit *l;
	int64_t start;

	(void)arg;
	MUST(limit_make(&l, &(weft_limit_opts){.window = {.rule = WEFT_AIMD, .target = SEC}, .line.max = -1}));
	start = bench_now();
	for (uint64_t i = 0; i < n; i++) {
		MUST(limit_acquire(l, &p));
		limit_release(l, &p, WEFT_OK);
	}
	start = bench_now() - start;
	limit_free(l);
	return start;
}

static int64_t breaker_alone(uint64_t n, void *arg)
{
	breaker *b;
	weft_pass p;
	int64_t start;

	(void)arg;
	MUST(breaker_make(&b, &(breaker_opts){.in_a_row = 5, .failed = 50}));
	start = bench_now();
	for (uint64_t i = 0; i < n; i++) {
		MUST(breaker_enter(b, &p));
		breaker_leave(b, &p, WEFT_OK);
	}
	start = bench_now() - start;
	breaker_free(b);
	return start;
}

static int64_t credit_alone(uint64_t n, void *arg)
{
	weft_credit *c;
	int64_t start;

	(void)arg;
	MUST(credit_make(&c, 10));
	start = bench_now();
	for (uint64_t i = 0; i < n; i++) {
		MUST(credit_take(c, 1));
		MUST(credit_grant(c, 1));
	}
	start = bench_now() - start;
	credit_free(c);
	return start;
}

static int goes_well(void *arg)
{
	return *(volatile int *)arg;
}

static int64_t retry_once(uint64_t n, void *arg)
{
	int result = 0;
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++)
		MUST(retry(NULL, goes_well, &result));
	return bench_now() - start;
}

static int body(void *arg)
{
	struct bench *b = arg;

	bench_measure(b, "P75", "bulkhead, alone", bulkhead_alone, NULL);
	bench_measure(b, "P75", "bulkhead of 10, 200 tasks", bulkhead_contended, NULL);
	bench_measure(b, "P75", "adaptive limit, alone", limit_alone, NULL);
	bench_measure(b, "P75", "breaker, alone", breaker_alone, NULL);
	bench_measure(b, "P75", "credit, taken and granted", credit_alone, NULL);
	bench_measure(b, "P75", "retry, the first try goes well", retry_once, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
