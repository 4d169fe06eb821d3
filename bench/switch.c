/* SPDX-License-Identifier: MIT
 *
 * switch.c - P1: what does the bare switch from one stack to another cost, inlined and called?
 *
 * No runtime is up. Two contexts switch to and fro; an operation is one direction.
 */
#include "arch/switch.h"
#include "bench.h"

static struct context here, there;

static NORETURN void back_inlined(void *pass, void *arg)
{
	(void)pass;
	(void)arg;
	for (;;)
		arch_switch(&there, &here, NULL);
}

static NORETURN void back_called(void *pass, void *arg)
{
	(void)pass;
	(void)arg;
	for (;;)
		weft__arch_switch_called(&there, &here, NULL);
}

static NOINLINE int64_t inlined(uint64_t n, void *arg)
{
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i += 2)
		arch_switch(&here, &there, NULL);
	return bench_now() - start;
}

static NOINLINE int64_t called(uint64_t n, void *arg)
{
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i += 2)
		weft__arch_switch_called(&here, &there, NULL);
	return bench_now() - start;
}

int main(int argc, char **argv)
{
	static char stack[2][64 * 1024] CACHE_ALIGNED;
	struct bench b;

	bench_args(&b, argc, argv);
	arch_context_make(&there, stack[0] + sizeof(stack[0]), back_inlined, NULL);
	bench_measure(&b, "P1", "one direction", inlined, NULL);
	arch_context_make(&there, stack[1] + sizeof(stack[1]), back_called, NULL);
	bench_measure(&b, "P1", "one direction, called", called, NULL);
	return 0;
}
