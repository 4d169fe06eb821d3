/* SPDX-License-Identifier: MIT
 *
 * endless.c - tasks start and end, on and on: memory stays where it was.
 *
 * Environment: WEFT_TEST_TASKS=n sets how many; 1000000000 is what a release is proved with.
 */
#include "rt.h"

#include "base/sanitizer.h"
#include "weft/go.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WINDOW = 1000, STARTERS = 4, FLAT = 4 << 20 /* bytes it may differ by */ };

struct endless {
	long tasks; /* of one starter */
	ATOMIC(long) ran;
	long resident[2]; /* bytes, after a tenth and at the end */
	weft_wg starters;
};

static long resident(void)
{
	long total, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	T_OK(f);
	T_EQ(fscanf(f, "%ld %ld", &total, &pages), 2);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

static void runs(struct endless *e, weft_wg *g)
{
	add_relaxed(&e->ran, 1); /* read when all have ended */
	weft_wg_done(g);
}

static void starter(struct endless *e)
{
	for (long n = 0; n < e->tasks; n += WINDOW) {
		weft_wg g = {0};

		weft_wg_add(&g, WINDOW);
		for (int i = 0; i < WINDOW; i++)
			T_EQ(weft_go(runs, e, &g), 0);
		T_EQ(weft_wg_wait(&g), 0);
	}
	weft_wg_done(&e->starters);
}

static void round_of(struct endless *e, long tasks)
{
	e->tasks = tasks / STARTERS / WINDOW * WINDOW;
	weft_wg_add(&e->starters, STARTERS);
	for (int i = 0; i < STARTERS; i++)
		T_EQ(weft_go(starter, e), 0);
	T_EQ(weft_wg_wait(&e->starters), 0);
}

static int endless_main(void *arg)
{
	const char *env = getenv("WEFT_TEST_TASKS");
	long n = env ? atol(env) : tap_iters(weft__san ? 1000000 : 10000000); /* with fake stacks a task costs two maps */
	struct endless *e = arg;

	tap_limit(env ? 24 * 3600 : 120);
	round_of(e, n / 10);
	e->resident[0] = resident();
	round_of(e, n - n / 10);
	e->resident[1] = resident();
	tap_note("%ld tasks; %ld KiB resident, %ld KiB after a tenth of them", load_relaxed(&e->ran), e->resident[1] / 1024,
		 e->resident[0] / 1024);
	if (!weft__san) /* a sanitizer remembers every task */
		T_LT(e->resident[1], e->resident[0] + FLAT);
	return 0;
}

/* Any number of tasks take the memory of those that are alive at once. */
TEST_WORKERS(memory_is_flat)
{
	struct endless e = {.tasks = 0};

	run(endless_main, &e);
}
