/* SPDX-License-Identifier: MIT
 *
 * futex.h - base/futex.h for the models: the value is compared and the sleeper queued in one step, and both calls order
 * as the kernel's do.  A wake goes by the address and does not look at the word.
 */
#ifndef WEFT_TEST_MODEL_FUTEX_H
#define WEFT_TEST_MODEL_FUTEX_H

#include "model.h"

#include "base/futex.h"

int weft__futex_wait(ATOMIC(uint32_t) *word, uint32_t expected, int64_t)
{
	rl::context &c = rl::ctx();
	uint32_t value;

	c.sched();
	c.atomic_thread_fence_seq_cst();
	{
		rl::preemption_disabler no(c);

		value = load_relaxed(word);
	}
	if (value == expected)
		word->wait(c, false, false, $);
	return 0;
}

void weft__futex_wake(ATOMIC(uint32_t) *word, int n)
{
	rl::context &c = rl::ctx();

	c.sched();
	c.atomic_thread_fence_seq_cst();
	word->wake(c, (rl::thread_id_t)n, $);
}

#endif
