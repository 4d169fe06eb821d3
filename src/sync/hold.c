/* SPDX-License-Identifier: MIT
 *
 * hold.c - what the blocks of weft/lock.h are made of: a lock, and its unlocking deferred.
 */
#include "base/check.h"
#include "core/runtime.h"
#include "sync/mutex.h"
#include "weft/lock.h"

static int hold(struct weft__held *h, int rc, void (*unlock)(void *), void *lock, const char *what)
{
	h->weft__rc = rc;
	if (likely(rc == 0))
		weft__defer_push(&h->weft__unlock, unlock, lock);
	else if (rc == WEFT_EDEADLK)
		weft__fatal("%s: the caller holds %p already", what, lock);
	return rc;
}

/* Where weft_cond_wait has come back without it, because it was poisoned: whoever has recovered it since may be the caller, or not. */
static void unlock_own(void *m)
{
	struct weft_task *t = caller();

	if (t && mutex_mine(m, t))
		weft_mutex_unlock(m);
}

static void unlock_mutex(void *m)
{
	if (unlikely(!weft__worker())) {
		unlock_own(m); /* what a foreign thread has lost is not noted */
		return;
	}
	weft_mutex_unlock(m);
}

/* In a block, or in something deferred above it. */
void weft__hold_lost(struct weft_task *t, weft_mutex *m)
{
	if (task_is(t, TASK_FOREIGN))
		return;
	for (weft_defer *d = t->own.defers; d; d = d->weft__next) {
		if (d->weft__fn == unlock_mutex && d->weft__arg == m)
			d->weft__fn = unlock_own;
	}
}

static void unlock_rmutex(void *m)
{
	weft_rmutex_unlock(m);
}

static void unlock_rwlock(void *l)
{
	weft_rwlock_unlock(l);
}

int weft__hold_mutex(struct weft__held *h, weft_mutex *m)
{
	return hold(h, weft_mutex_lock(m), unlock_mutex, m, "WEFT_WITH_LOCK");
}

int weft__hold_rmutex(struct weft__held *h, weft_rmutex *m)
{
	return hold(h, weft_rmutex_lock(m), unlock_rmutex, m, "WEFT_WITH_RMUTEX");
}

int weft__hold_read(struct weft__held *h, weft_rwlock *l)
{
	return hold(h, weft_rwlock_rdlock(l), unlock_rwlock, l, "WEFT_WITH_RDLOCK");
}

int weft__hold_write(struct weft__held *h, weft_rwlock *l)
{
	return hold(h, weft_rwlock_wrlock(l), unlock_rwlock, l, "WEFT_WITH_WRLOCK");
}

void weft__hold_end(struct weft__held *h)
{
	if (likely(h->weft__rc == 0))
		weft__defer_end(&h->weft__unlock);
}
