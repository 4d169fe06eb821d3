/* SPDX-License-Identifier: MIT
 *
 * parked.c - P15: a million tasks, each parked on a stack of its own: what do they cost to create, to wake and finish,
 * and in memory?
 *
 * They wait for one channel to be closed. The first round is cold: every stack is mapped, guarded and touched for the
 * first time. A plain C loop does only that, in the same process and in turns with it, a block of stacks after each block
 * of tasks: what a page costs differs from second to second, above all in a virtual machine. Later rounds find the stacks
 * in the pool. Memory is the process's resident set and its page tables while all are parked, less what they were before;
 * the plain loop has given its own back by then.
 */
#include "bench.h"
#include "proc.h"

#include <sys/mman.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define MILLION 1000000
#define BLOCK 10000 /* tasks between two blocks of the plain loop */
#define PLAIN 2500  /* stacks in one of those */
#define STACK (192 * 1024)
#define GUARD (64 * 1024)
#define PAGE 4096
#define SLOT (GUARD + STACK + PAGE)

static uint64_t parked; /* tasks that have arrived; relaxed: the main task only waits for the number */

static void wait_for(chan *gate, waitgroup *g)
{
	__atomic_add_fetch(&parked, 1, __ATOMIC_RELAXED);
	(void)chan_recv(gate, NULL); /* WEFT_ECLOSED */
	wg_done(g);
}

/* Guard and first touch: the floor under a stack's creation. */
struct plain {
	char *slabs[MILLION / BLOCK];
	int n;
	int64_t took;
	bool no; /* the kernel has no guards without mappings of their own */
};

static void plain_block(struct plain *p)
{
	size_t size = (size_t)PLAIN * SLOT;
	int64_t start = bench_now();
	char *slab = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (slab == MAP_FAILED) {
		p->no = true;
		return;
	}
	p->slabs[p->n++] = slab;
	madvise(slab, size, MADV_NOHUGEPAGE);
	for (int i = 0; i < PLAIN && !p->no; i++) {
		char *stack = slab + (size_t)i * SLOT;

		p->no = madvise(stack, GUARD, MADV_GUARD_INSTALL) != 0;
		*(volatile char *)(stack + GUARD + STACK - 64) = 1;
	}
	p->took += bench_now() - start;
}

static void plain_drop(struct plain *p)
{
	while (p->n > 0)
		munmap(p->slabs[--p->n], (size_t)PLAIN * SLOT);
}

/* p: the plain loop, in turns with the creation; or NULL. */
static void round_of(struct plain *p, int64_t *create, int64_t *finish, double *resident, double *tables)
{
	double resident0 = proc_resident(), tables0 = proc_tables();
	chan *gate = bench_chan(0, 0);
	waitgroup g = {0};
	int64_t t;

	parked = 0;
	*create = 0;
	wg_add(&g, MILLION);
	for (int done = 0; done < MILLION; done += BLOCK) {
		t = bench_now();
		for (int i = 0; i < BLOCK; i++)
			MUST(go(wait_for, gate, &g));
		while (__atomic_load_n(&parked, __ATOMIC_RELAXED) < (uint64_t)done + BLOCK)
			task_yield();
		*create += bench_now() - t;
		if (p && !p->no)
			plain_block(p);
	}
	if (p)
		plain_drop(p);
	*resident = (proc_resident() - resident0) / MILLION;
	*tables = (proc_tables() - tables0) / MILLION;
	t = bench_now();
	MUST(chan_close(gate));
	MUST(wg_wait(&g));
	*finish = bench_now() - t;
	chan_free(gate);
}

static int body(void *arg)
{
	static struct plain p;
	struct bench *b = arg;
	double warm[BENCH_RUNS_MAX], finish[BENCH_RUNS_MAX], resident, tables, cold, plain, unused[2];
	int64_t t_create, t_finish;

	round_of(&p, &t_create, &t_finish, &resident, &tables);
	cold = (double)t_create / MILLION;
	bench_report(b, "P15", "create", "ns", &cold, 1);
	if (!p.no) {
		plain = (double)p.took / (MILLION / BLOCK * PLAIN);
		bench_report(b, "P15", "plain C loop: guard and first touch", "ns", &plain, 1);
		bench_report(b, "P15", "create, against the plain C loop", "ratio", &(double){cold / plain}, 1);
	}
	bench_report(b, "P15", "resident, each", "B", &resident, 1);
	bench_report(b, "P15", "page tables, each", "B", &tables, 1);
	for (int i = 0; i < b->runs; i++) {
		round_of(NULL, &t_create, &t_finish, &unused[0], &unused[1]);
		warm[i] = (double)t_create / MILLION;
		finish[i] = (double)t_finish / MILLION;
	}
	bench_report(b, "P15", "create, warm", "ns", warm, b->runs);
	bench_report(b, "P15", "wake and finish", "ns", finish, b->runs);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
