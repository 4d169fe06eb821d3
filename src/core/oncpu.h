/* SPDX-License-Identifier: MIT
 *
 * oncpu.h - says whether a worker still stands on a task's stack.
 *
 * A task that parks can be claimed, queued and taken by another worker before its own worker has left its stack: it
 * opens its wait first and saves its registers last.  So every record carries one flag:
 *
 *   clear -> busy   the worker about to load the task's registers
 *   busy -> clear   the context that arrives after the task has left (settling it); nobody else
 *   clear -> held   who looks after the stack of a task that waits (core/trim.c), and may find the task taken
 *   held -> clear   the same; or the taker, who had not seen it (held -> busy)
 *
 * Law: whoever takes a task from a queue waits until it is clear before it loads the registers, and never waits while
 * it stands on a task itself.  Two workers standing on each other's next task would wait for ever; so one that finds
 * its next task busy first switches to its own stack, which settles the task it left, and waits there.
 *
 * A task is in one queue only, so setting needs no read-modify-write: the taker is alone.  That it is not overtaken by
 * an old value: the flag was set before the task opened its wait (or queued itself), the claim acquired that, and the
 * queue handed it on.
 *
 * A holder is not alone: a taker looks and sets without a read-modify-write.  So it holds first, then passes asym_heavy(), and then looks whether the task still waits as it did. If so,
 * whoever claims that wait does so after the fence, and whoever takes the task finds it held: the stack is the holder's until it lets go, which takers wait for as for a worker
 * that is about to leave.  If not, it may have been held too late, and the holder touches nothing.  Both let go by a compare-and-swap: the flag may be the taker's by now.
 * One holder at a time in a process: it cannot tell another's from its own.
 *
 * Models: test/model/oncpu.cpp, test/model/oncpu.pml; holders: test/model/trim.cpp, test/model/trim.pml.  Not here: the switch (arch/), what else settling does
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
	compiler_barrier();               /* behind the claim: pairs with asym_heavy in core/trim.c */
	return load_acquire(on_cpu) != 0; /* pairs with store_release in oncpu_clear, and cas_release in oncpu_let_go */
}

#define ON_CPU_HELD 3 /* 2: core/task.h */

/* Of a task that has been seen waiting. False: somebody stands on it. */
static inline bool oncpu_hold(ATOMIC(uint8_t) *on_cpu)
{
	uint8_t clear = 0;

	return cas_acquire(
		on_cpu, &clear,
		(uint8_t)
			ON_CPU_HELD); /* pairs with store_release in oncpu_clear; the fence that follows would do, but ThreadSanitizer does not see it */
}

/* By who holds it, or held it too late. */
static inline void oncpu_let_go(ATOMIC(uint8_t) *on_cpu)
{
	uint8_t held = ON_CPU_HELD;

	(void)cas_release(on_cpu, &held, (uint8_t)0); /* pairs with load_acquire in oncpu_busy: what was done to the stack */
}

#endif
