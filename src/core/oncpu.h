/* SPDX-License-Identifier: MIT
 *
 * oncpu.h - says whether a worker still stands on a task's stack.
 *
 * A task that parks can be claimed, queued and taken by another worker before its own worker has left its stack: it
 * opens its wait first and saves its registers last.  So every record carries one flag:
 *
 *   clear -> busy   the worker about to load the task's registers
 *   busy -> clear   the context that arrives after the task has left (settling it); nobody else
 *
 * Law: whoever takes a task from a queue waits until it is clear before it loads the registers, and never waits while
 * it stands on a task itself.  Two workers standing on each other's next task would wait for ever; so one that finds
 * its next task busy first switches to its own stack, which settles the task it left, and waits there.
 *
 * A task is in one queue only, so setting needs no read-modify-write: the taker is alone.  That it is not overtaken by
 * an old value: the flag was set before the task opened its wait (or queued itself), the claim acquired that, and the
 * queue handed it on.
 *
 * Models: test/model/oncpu.cpp, test/model/oncpu.pml.  Not here: the switch (arch/), what else settling does
 * (core/sched.c).
 */
#ifndef WEFT_CORE_ONCPU_H
#define WEFT_CORE_ONCPU_H

#include "base/atomic.h"
#ifndef WEFT_MODEL
#include <stdint.h>
#endif

/* By the worker that is about to load the task's registers, after oncpu_busy said no (or the task has never run). */
static inline void oncpu_set(ATOMIC(uint8_t) *on_cpu)
{
	store_relaxed(on_cpu, (uint8_t)1); /* read after a claim and a queue that order it; see the law above */
}

/* By the context that arrives next, once the registers of the task it came from are saved. */
static inline void oncpu_clear(ATOMIC(uint8_t) *on_cpu)
{
	/* pairs with load_acquire in oncpu_busy: the saved registers and the stack */
	store_release(on_cpu, (uint8_t)0);
}

/* By the worker that took the task from a queue. False: its registers and stack may be used. */
static inline bool oncpu_busy(ATOMIC(uint8_t) *on_cpu)
{
	return load_acquire(on_cpu) != 0; /* pairs with store_release in oncpu_clear */
}

#endif
