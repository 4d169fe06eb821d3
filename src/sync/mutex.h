/* SPDX-License-Identifier: MIT
 *
 * mutex.h - what other locks need of a mutex.
 */
#ifndef WEFT_SYNC_MUTEX_H
#define WEFT_SYNC_MUTEX_H

#include "core/recslab.h"
#include "core/wait.h"
#include "weft/lock.h"

/* Does t, the caller, own m? Of another's mutex only that it is not t's is certain. */
static inline bool mutex_mine(weft_mutex *m, struct weft_task *t)
{
	ATOMIC(uint32_t) *owner = (ATOMIC(uint32_t) *)&m->weft__owner;

	return load_relaxed(owner) == rec_index(t); /* only the owner itself can match */
}

/* Locks m for t, the caller, whatever happens: not ended by cancel, without a deadline. t does not own it. Returns 0; WEFT_EPOISONED. */
int weft__mutex_relock(weft_mutex *m, struct weft_task *t);

/* hold.c: t, the caller, has come back without m, which it had locked. */
void weft__hold_lost(struct weft_task *t, weft_mutex *m);

/* For poison.c, the bucket being locked: has its owner failed? Then it stays so. The number of the owner's record, 0: it has none, reliable of one that has failed; m becomes t's, the caller's, in the place
 * of such a one. */
bool weft__mutex_poisoned(weft_mutex *m);
uint32_t weft__mutex_owner(weft_mutex *m);
void weft__mutex_inherit(weft_mutex *m, struct weft_task *t);

/* Has the owner of that number failed? */
static inline bool lock_owner_fell(uint32_t owner)
{
	struct weft_task *t = weft__rec_at(owner);

	return t && task_fell(t);
}

/* Has the owner of a lock failed while it owned it? `at`: where its number is, which an owner clears before it unlocks. If so it stays so until somebody recovers the lock. */
static inline bool lock_fell(ATOMIC(uint32_t) *at)
{
	uint32_t owner = load_relaxed(at); /* looked at again */

	/* It may have unlocked, and failed then, between the two looks: that is seen at the second. Nor is its record a new owner's then. */
	return lock_owner_fell(owner) && load_acquire(at) == owner && lock_owner_fell(owner);
}

/* The caller: a task, or a foreign thread's record. NULL: no memory for that. */
static inline struct weft_task *caller(void)
{
	struct worker *w = weft__worker();

	return w ? load_relaxed(&w->cur) : weft__foreign(); /* own */
}

#endif
