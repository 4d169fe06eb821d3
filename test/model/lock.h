/* SPDX-License-Identifier: MIT
 *
 * lock.h - the small lock for models of something else: its slow path just tries again.
 */
#ifndef WEFT_TEST_MODEL_LOCK_H
#define WEFT_TEST_MODEL_LOCK_H

#include "model.h"

#include "base/lock.h"

void weft__lock_slow(struct lock *l)
{
	uint32_t was = 0;

	while (!cas_acquire(&l->held, &was, 1u)) {
		was = 0;
		rl::yield(1, $);
	}
}

void weft__lock_wake(struct lock *)
{
}

static inline void lock_reset(struct lock *l)
{
	store_relaxed(&l->held, 0u);
	store_relaxed(&l->waiters, 0u);
}

#endif
