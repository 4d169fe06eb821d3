/* SPDX-License-Identifier: MIT
 *
 * rmutex.c - a mutex that its owner may lock again: the mutex knows its owner, and here is counted how often.
 */
#include "base/check.h"
#include "core/runtime.h"
#include "sync/mutex.h"

_Static_assert(sizeof(weft_rmutex) == 12, "a recursive mutex is 12 bytes");

int weft_rmutex_lock_until(weft_rmutex *m, int64_t deadline)
{
	int rc = weft_mutex_lock_until(&m->weft__m, deadline);

	if (likely(rc != WEFT_EDEADLK))
		return rc;
	if (m->weft__depth == UINT32_MAX) /* ours: we own it */
		weft__fatal("weft_rmutex_lock: the recursive mutex %p was locked too often", (void *)m);
	m->weft__depth++;
	return 0;
}

int weft_rmutex_lock(weft_rmutex *m)
{
	return weft_rmutex_lock_until(m, WEFT_FOREVER);
}

int weft_rmutex_trylock(weft_rmutex *m)
{
	return weft_rmutex_lock_until(m, WEFT_NOW);
}

void weft_rmutex_unlock(weft_rmutex *m)
{
	struct weft_task *t = caller();

	if (t && mutex_mine(&m->weft__m, t) && m->weft__depth)
		m->weft__depth--;
	else
		weft_mutex_unlock(&m->weft__m); /* and whoever does not own it is told */
}
