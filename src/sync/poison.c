/* SPDX-License-Identifier: MIT
 *
 * poison.c - locks whose owner has failed, and was ended where it stood (core/contain.c): who waits for one is told, and somebody may take it over.
 *
 * Such a lock stays locked, and its owner's number names a record with REASON_FELL, which the lock keeps from other use (task.h: own_held). The locks themselves look at that before they have anybody wait, under
 * the lock of the bucket; and here all buckets are gone through once, after REASON_FELL was set: so nobody is left waiting, and nobody comes to wait.
 */
#include "core/lot.h"
#include "core/runtime.h"
#include "sync/poison.h"

/* Does w wait for a lock that the task of that number owns? Bucket locked. */
static bool waits_for(const struct waiter *w, uint32_t owner)
{
	switch (load_relaxed(&w->task->reason)) { /* written before it was listed */
	case REASON_MUTEX:
		return weft__mutex_owner(w->source) == owner;
	case REASON_RDLOCK:
	case REASON_WRLOCK:
		return weft__rwlock_owner(w->source) == owner;
	default:
		return false;
	}
}

static void poison(struct worker *wk, struct weft_task *t)
{
	uint32_t owner = rec_index(t);
	struct ready_list r;

	for (struct lot_bucket *b = weft__lot_marked(NULL); b; b = weft__lot_marked(b)) {
		struct list_node *n, *next;

		ready_list_init(&r);
		lock_take_solo(&b->lock, RANK_LOT);
		for (n = list_first(&b->waiters); n; n = next) {
			struct waiter *w = container_of(n, struct waiter, link);

			next = list_after(&b->waiters, n);
			if (!waits_for(w, owner))
				continue;
			list_remove(n);
			if (waiter_claim(w, WEFT_EPOISONED, false))
				ready_list_add(&r, w->task);
		}
		lock_drop_solo(&b->lock);
		weft__ready_list(wk, r.first);
	}
}

__attribute__((constructor)) static void hook(void)
{
	weft__locks_poison = poison;
}

/* Makes a lock the caller's, if its owner has failed. Nobody waits for it then: who does has been told, or is about to be. */
static int inherit(void *lock, bool (*poisoned)(void *lock), uint32_t (*owner_of)(void *lock),
		   void (*give)(void *lock, struct weft_task *t))
{
	struct weft_task *t = caller(), *dead = NULL;
	struct lot_bucket *b = lot_bucket(lock);

	if (!t)
		return WEFT_ENOMEM;
	lock_take_solo(&b->lock, RANK_LOT);
	if (poisoned(lock)) {
		dead = weft__rec_at(owner_of(lock));
		give(lock, t);
	}
	lock_drop_solo(&b->lock);
	if (!dead)
		return WEFT_EINVAL;
	weft__task_mended(dead);
	return 0;
}

static bool mutex_poisoned(void *m)
{
	return weft__mutex_poisoned(m);
}

static uint32_t mutex_owner(void *m)
{
	return weft__mutex_owner(m);
}

static void mutex_give(void *m, struct weft_task *t)
{
	weft__mutex_inherit(m, t);
}

static bool rwlock_poisoned(void *l)
{
	return weft__rwlock_poisoned(l);
}

static uint32_t rwlock_owner(void *l)
{
	return weft__rwlock_owner(l);
}

static void rwlock_give(void *l, struct weft_task *t)
{
	weft__rwlock_inherit(l, t);
}

int weft_mutex_recover(weft_mutex *m)
{
	return inherit(m, mutex_poisoned, mutex_owner, mutex_give);
}

int weft_rwlock_recover(weft_rwlock *l)
{
	return inherit(l, rwlock_poisoned, rwlock_owner, rwlock_give);
}

int weft_rmutex_recover(weft_rmutex *m)
{
	int rc = weft_mutex_recover(&m->weft__m);

	if (!rc)
		m->weft__depth = 0; /* ours: we own it */
	return rc;
}
