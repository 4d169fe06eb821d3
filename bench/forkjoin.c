/* SPDX-License-Identifier: MIT
 *
 * forkjoin.c - P16: what do tasks cost in a program that computes, and what does a second worker gain? fib(42), a task for each number above 20 that is not computed by its caller.
 *
 * One worker: against a plain C function, the same that computes the numbers up to 20 here. Two: against one. Both in turn, in one run.
 */
#include "bench.h"

#define FIB 42
#define FIB_IS 267914296
#define CUT 20

__attribute__((noinline)) static int64_t plain(int n)
{
	return n < 2 ? n : plain(n - 1) + plain(n - 2);
}

struct part {
	int n;
	int64_t value;
};

static int fib(void *arg)
{
	struct part *p = arg, left = {p->n - 1, 0}, right = {p->n - 2, 0};
	task *t;

	if (p->n <= CUT) {
		p->value = plain(p->n);
		return 0;
	}
	MUST(go_opts(&t, fib, &left, NULL));
	fib(&right);
	MUST(task_join(t, NULL));
	p->value = left.value + right.value;
	return 0;
}

static int64_t check(int64_t from, int64_t value)
{
	int64_t took = bench_now() - from;

	if (value != FIB_IS) {
		fprintf(stderr, "bench: fib(%d) is %lld\n", FIB, (long long)value);
		exit(1);
	}
	return took;
}

static int measured(void *arg)
{
	int64_t *took = arg, from = bench_now();
	struct part p = {FIB, 0};

	fib(&p);
	*took = check(from, p.value);
	return 0;
}

static double with_workers(int n)
{
	int64_t took;

	MUST(weft_run(measured, &took, &(weft_opts){.workers = n}));
	return (double)took;
}

static double without(void)
{
	int64_t from = bench_now();

	return (double)check(from, plain(FIB));
}

int main(int argc, char **argv)
{
	double cost[BENCH_RUNS_MAX], gain[BENCH_RUNS_MAX];
	struct bench b;

	bench_args(&b, argc, argv);
	for (int i = 0; i < b.runs; i++) {
		double base = b.workers > 1 ? with_workers(1) : without(), took = with_workers(b.workers);

		cost[i] = took / base;
		gain[i] = base / took;
	}
	if (b.workers == 1 && bench_wanted(&b, "fib(42), against plain C"))
		bench_report(&b, "P16", "fib(42), against plain C", "ratio", cost, b.runs);
	if (b.workers > 1 && bench_wanted(&b, "fib(42), speed-up"))
		bench_report(&b, "P16", "fib(42), speed-up", "x", gain, b.runs);
	return 0;
}
