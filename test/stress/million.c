/* SPDX-License-Identifier: MIT
 *
 * million.c - a million parked tasks, each with a guarded stack, at once; one that overflows is named; and the memory comes back.
 */
#include "kib.h"
#include "rt.h"

#include "core/guard.h"
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MILLION = 1000000 };

/* What the process costs: resident pages and the tables that map them. */
static long cost(void)
{
	return status_kib("VmRSS") + status_kib("VmPTE");
}

static void skip_unless_fit(void)
{
	long maps = 0;
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");

	if (f && fscanf(f, "%ld", &maps) != 1)
		maps = 0;
	if (f)
		fclose(f);
#ifdef WEFT_SMALL
	tap_skip("slabs of four stacks are a mapping each: a million do not fit vm.max_map_count");
#endif
	if (weft__san)
		tap_skip("sanitizers limit the number of stacks");
	if (weft__guard_kind() != GUARD_MADVISE)
		tap_skip("this kernel has no MADV_GUARD_INSTALL: vm.max_map_count (%ld) limits the number of guards", maps);
	if (available_kib() < 6000000)
		tap_skip("less than 6 GB of memory available");
}

struct crowd {
	ATOMIC(long) parked, ended;
	weft_chan *gate;
	weft_wg g;
	weft_task *victim;
	bool overflows;
};

static void one_of_many(struct crowd *c)
{
	add_relaxed(&c->parked, 1);
	weft_chan_recv(c->gate, NULL); /* until it is closed */
	add_relaxed(&c->ended, 1);
	weft_wg_done(&c->g);
}

static NOINLINE int dig(volatile char *up)
{
	volatile char frame[2048];

	frame[0] = up ? *up : 1;
	return up && *up == 7 ? 0 : dig(frame) + frame[0];
}

static int overflower(void *arg)
{
	(void)arg;
	return weft_task_park() ? 0 : dig(NULL);
}

static int million_main(void *arg)
{
	struct crowd *c = arg;
	struct stack_stats st;
	int64_t ended;
	long full;

	c->gate = weft_chan_make(0, 0);
	weft_wg_add(&c->g, MILLION);
	T_EQ(weft_go_opts(&c->victim, overflower, NULL, &(weft_task_opts){.name = "digger"}), 0);
	for (long i = 0; i < MILLION; i++) {
		T_EQ(weft_go(one_of_many, c), 0);
		if (i % 64 == 0)
			weft_task_yield();
	}
	until(load_relaxed(&c->parked) == MILLION);
	weft__stack_stats(&st);
	T_GE(st.in_use, MILLION);
	full = cost();
	tap_note("full: %ld kB, %.0f bytes a task", full, full * 1024.0 / MILLION);
	if (c->overflows) {
		weft_task_unpark(c->victim);
		finish(c->victim);
		T_FAIL("it did not overflow");
	}
	T_EQ(weft_task_cancel(c->victim), 0);
	weft_task_detach(c->victim);
	T_EQ(weft_chan_close(c->gate), 0);
	T_EQ(weft_wg_wait(&c->g), 0);
	T_EQ(load_relaxed(&c->ended), MILLION);
	weft_chan_free(c->gate);
	ended = weft_now();
	while (cost() >= 100000 && weft_now() < ended + 30 * WEFT_SEC) /* two decay times, unless the machine is busy otherwise */
		weft_task_sleep(50 * WEFT_MS);
	tap_note("after %.1f s: %ld kB resident, %ld kB of page tables", (double)(weft_now() - ended) / WEFT_SEC, status_kib("VmRSS"),
		 status_kib("VmPTE"));
	T_LT(cost(), 100000);
	return 0;
}

/* A million parked tasks at once under an ordinary vm.max_map_count; after they have ended, the memory is given back. */
TEST(million)
{
	static struct crowd c;

	skip_unless_fit();
	tap_limit(180);
	run(million_main, &c);
}

/* Among the million one overflows its stack: it is named. */
TEST_DIES(million_and_one_overflows, "digger")
{
	static struct crowd c = {.overflows = true};

	skip_unless_fit();
	tap_limit(180);
	run(million_main, &c);
}
