/* SPDX-License-Identifier: MIT
 *
 * grip.h - how a thread that is no worker of a runtime keeps it up while it uses it.
 *
 * One word, of those that stay when the runtime goes (runtime.h):
 *
 *    31     30                              0
 *   +------+---------------------------------+
 *   | OPEN |   threads between enter, leave  |
 *   +------+---------------------------------+
 *
 *   enter    inside + 1; OPEN? else leave, and there is none
 *   leave    inside - 1; 0: whoever goes down is woken
 *   down     OPEN off; wait until inside is 0; the rest of what the runtime has is nobody else's
 *
 * The word serves the next runtime with the same number, too. A thread that means a certain one looks at its run, inside. One that has claimed a task of the number need not: going down first claims all that wait, and
 * waits for tasks that others have claimed and not queued yet (runtime.c, call_off); so between such a claim and the queue the runtime cannot close.
 *
 * Model: test/model/grip.cpp.  Not here: what goes down, in which order (core/runtime.c).
 */
#ifndef WEFT_CORE_GRIP_H
#define WEFT_CORE_GRIP_H

#include "base/atomic.h"
#ifndef WEFT_MODEL
#include <stdbool.h>
#include <stdint.h>
#endif

#define GRIP_OPEN (1u << 31)

/* Returns whether the last is out of one that is closed: to be woken by the word. */
static inline bool grip_leave(ATOMIC(uint32_t) *inside)
{
	return add_acq_rel(inside, (uint32_t)-1) == 1u; /* release: pairs with load_acquire in grip_left */
}

/* True: it is up, and stays so until grip_leave. False: *wake as what that returns. */
static inline bool grip_enter(ATOMIC(uint32_t) *inside, bool *wake)
{
	if (add_acq_rel(inside, 1u) & GRIP_OPEN) /* acquire: pairs with the release in grip_open */
		return true;
	*wake = grip_leave(inside);
	return false;
}

static inline void grip_open(ATOMIC(uint32_t) *inside)
{
	add_acq_rel(inside, GRIP_OPEN); /* release: pairs with grip_enter */
}

/* Nobody enters any more. Those who are inside have not left: grip_left. */
static inline void grip_close(ATOMIC(uint32_t) *inside)
{
	add_acq_rel(inside, 0u - GRIP_OPEN); /* orders nothing by itself: grip_left does */
}

/* How many are inside still, some of them just finding it closed. 0: what they did is seen. */
static inline uint32_t grip_left(ATOMIC(uint32_t) *inside)
{
	return load_acquire(inside); /* pairs with the release in grip_leave */
}

#endif
