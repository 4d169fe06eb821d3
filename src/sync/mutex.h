/* SPDX-License-Identifier: MIT
 *
 * mutex.h - what other locks need of a mutex.
 */
#ifndef WEFT_SYNC_MUTEX_H
#define WEFT_SYNC_MUTEX_H

#include "core/wait.h"
#include "weft/lock.h"

/* Does t, the caller, own m? Of another's mutex only that it is not t's is certain. */
static inline bool mutex_mine(weft_mutex *m, struct weft_task *t)
{
	ATOMIC(uint32_t) *owner = (ATOMIC(uint32_t) *)&m->weft__owner;

	return load_relaxed(owner) == rec_index(t); /* only the owner itself can match */
}

/* Locks m for t, the caller, whatever happens: not ended by cancel, without a deadline. t does not own it. */
void weft__mutex_relock(weft_mutex *m, struct weft_task *t);

/* The caller: a task, or a foreign thread's record. NULL: no memory for that. */
static inline struct weft_task *caller(void)
{
	struct worker *w = weft__worker();

	return w ? load_relaxed(&w->cur) : weft__foreign(); /* own */
}

#endif
