/* SPDX-License-Identifier: MIT
 *
 * parked.c - P15: a million tasks, each parked on a stack of its own: what do they cost to create, to wake and finish,
 * and in memory?
 *
 * They wait for one channel to be closed. The first round is cold: every stack is mapped, guarded and touched for the
 * first time. Beside it a plain C loop does only that, in the same process: guard a page, write to the one below the
 * top. Later rounds find the stacks in the pool. Memory is the process's resident set and its page tables while all are
 * parked, less what they were before.
 */
#include "bench.h"
#include "proc.h"

#include <sys/mman.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define MILLION 1000000
#define STACK (192 * 1024)
#define PAGE 4096
#define SLAB 1024 /* stacks a mapping */

static uint64_t parked; /* tasks that have arrived; relaxed: the main task only waits for the number */

static void wait_for(chan *gate, waitgroup *g)
{
	__atomic_add_fetch(&parked, 1, __ATOMIC_RELAXED);
	(void)chan_recv(gate, NULL); /* WEFT_ECLOSED */
	wg_done(g);
}

static void round_of(int64_t *create, int64_t *finish, double *resident, double *tables)
{
	double resident0 = proc_resident(), tables0 = proc_tables();
	chan *gate = bench_chan(0, 0);
	waitgroup g = {0};
	int64_t t0, t1, t2;

	parked = 0;
	t0 = bench_now();
	wg_add(&g, MILLION);
	for (int i = 0; i < MILLION; i++)
		MUST(go(wait_for, gate, &g));
	while (__atomic_load_n(&parked, __ATOMIC_RELAXED) < MILLION)
		task_yield();
	t1 = bench_now();
	*resident = (proc_resident() - resident0) / MILLION;
	*tables = (proc_tables() - tables0) / MILLION;
	*create = t1 - t0;
	t2 = bench_now();
	MUST(chan_close(gate));
	MUST(wg_wait(&g));
	*finish = bench_now() - t2;
	chan_free(gate);
}

/* Guard and first touch, a million times: the floor under a stack's creation. Returns nanoseconds each, or 0 where the
 * kernel has no guards without mappings of their own. */
static double floor_of_create(void)
{
	static char *slabs[(MILLION + SLAB - 1) / SLAB];
	int64_t start = bench_now(), took;
	int n = 0;
	bool ok = true;

	for (int i = 0; i < MILLION && ok; i++) {
		char *stack;

		if (i % SLAB == 0) {
			slabs[n] = mmap(NULL, (size_t)SLAB * (STACK + PAGE), PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
			if (slabs[n] == MAP_FAILED) {
				ok = false;
				break;
			}
			madvise(slabs[n], (size_t)SLAB * (STACK + PAGE), MADV_NOHUGEPAGE);
			n++;
		}
		stack = slabs[n - 1] + (size_t)(i % SLAB) * (STACK + PAGE);
		ok = madvise(stack, PAGE, MADV_GUARD_INSTALL) == 0;
		*(volatile char *)(stack + PAGE + STACK - 64) = 1;
	}
	took = bench_now() - start;
	while (n > 0)
		munmap(slabs[--n], (size_t)SLAB * (STACK + PAGE));
	return ok ? (double)took / MILLION : 0;
}

static int body(void *arg)
{
	struct bench *b = arg;
	double warm[BENCH_RUNS_MAX], finish[BENCH_RUNS_MAX], resident, tables, cold, plain, unused[2];
	int64_t t_create, t_finish;

	(void)floor_of_create(); /* a virtual machine's memory has its own first touch */
	plain = floor_of_create();
	if (plain > 0)
		bench_report(b, "P15", "plain C loop: guard and first touch", "ns", &plain, 1);
	for (int i = -1; i < b->runs; i++) {
		round_of(&t_create, &t_finish, i < 0 ? &resident : &unused[0], i < 0 ? &tables : &unused[1]);
		if (i < 0) {
			cold = (double)t_create / MILLION;
			bench_report(b, "P15", "create", "ns", &cold, 1);
			if (plain > 0)
				bench_report(b, "P15", "create, against the plain C loop", "ratio", &(double){cold / plain}, 1);
			bench_report(b, "P15", "resident, each", "B", &resident, 1);
			bench_report(b, "P15", "page tables, each", "B", &tables, 1);
		} else {
			warm[i] = (double)t_create / MILLION;
			finish[i] = (double)t_finish / MILLION;
		}
	}
	bench_report(b, "P15", "create, warm", "ns", warm, b->runs);
	bench_report(b, "P15", "wake and finish", "ns", finish, b->runs);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
