/* SPDX-License-Identifier: MIT
 *
 * lock.h - the small lock for models of something else: its slow path just tries again, so nobody ever sleeps on it.
 */
#ifndef WEFT_TEST_MODEL_LOCK_H
#define WEFT_TEST_MODEL_LOCK_H

#include "model.h"

#include "base/lock.h"

void weft__lock_slow(struct lock *l)
{
	uint32_t was = LOCK_FREE;

	while (!cas_acquire(&l->word, &was, LOCK_HELD)) {
		was = LOCK_FREE;
		rl::yield(1, $);
	}
}

void weft__lock_wake(struct lock *)
{
}

static inline void lock_reset(struct lock *l)
{
	store_relaxed(&l->word, LOCK_FREE);
}

#endif
