/* SPDX-License-Identifier: MIT
 *
 * contain_malloc.c - core/contain.c with an allocator that is not libc's: it is not the program's own code, so a stack that runs full in there ends the actor when the call has returned, and the allocator's lock is free.
 */
#include "allocator.h"
#include "rt.h"
#include "weft/actor.h"
#include <stdlib.h>

static void *volatile kept;
static int volatile sink;

__attribute__((noinline)) static int deep(int n)
{
	volatile char frame[64];

	frame[0] = (char)n;
	kept = malloc(16);
	free(kept);
	return n < 0 ? 0 : deep(n + 1) + frame[0];
}

static int overflows(void *state)
{
	(void)state;
	sink = deep(1);
	return 0;
}

static int one_after_the_other(void *arg)
{
	weft_stat st;

	(void)arg;
	for (unsigned i = 1; i <= 10; i++) {
		weft_actor_ref ref;

		T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.run = overflows, .contain = true}), 0);
		until(!weft_actor_alive(ref));
		kept = malloc(16);
		free(kept);
		T_EQ(weft_stats(&st), 0);
		T_EQ(st.faults, i);
	}
	T_EQ(allocator_errnos, 0);
	return 0;
}

TEST_WORKERS(a_stack_that_runs_full_in_the_allocator)
{
	if (weft__san)
		tap_skip("not with Valgrind");
	run(one_after_the_other, NULL);
}
