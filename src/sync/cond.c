/* SPDX-License-Identifier: MIT
 *
 * cond.c - a condition variable of 4 bytes.
 *
 *   weft__waiters  1: a signal shall look into the lot bucket; set and cleared under the bucket's lock
 *
 * A wait lists itself before it unlocks the mutex; so whoever changes something under that mutex afterwards, and signals, finds it.  It has then opened its wait and is not parked
 * yet: it may be claimed while it unlocks, which does not park.  The wait word decides whether it was woken: a signal that has claimed it makes it return 0, whatever
 * deadline and cancel do, and one that has not goes to the next.  Relocking is shielded; it fails if the mutex is poisoned meanwhile.
 *
 * Model: test/model/cond.cpp.
 */
#include "base/check.h"
#include "core/lot.h"
#include "core/runtime.h"
#include "sync/mutex.h"

_Static_assert(sizeof(weft_cond) == 4, "a condition variable is 4 bytes");

static inline ATOMIC(uint32_t) *waiters_of(weft_cond *c)
{
	return (ATOMIC(uint32_t) *)&c->weft__waiters;
}

/* Bucket locked. */
static void nobody_waits(void *arg)
{
	store_relaxed(waiters_of((weft_cond *)arg), 0u); /* a hint for who signals later; see below */
}

int weft_cond_wait_until(weft_cond *c, weft_mutex *m, int64_t deadline)
{
	struct lot_bucket *b = lot_bucket(c);
	struct waiter w;
	struct self me;
	uint64_t word;
	int rc = self_enter(&me, &deadline);

	if (unlikely(rc))
		return rc;
	if (unlikely(!mutex_mine(m, me.task)))
		weft__fatal("weft_cond_wait: the mutex %p is not locked by the caller", (void *)m);
	if (unlikely(deadline == WEFT_NOW))
		return WEFT_EAGAIN;
	lock_take_solo(&b->lock, RANK_LOT);
	lot_mark(b);
	store_relaxed(waiters_of(c), 1u); /* whoever locks m after us sees it */
	word = wait_begin(me.task, &w, 1, REASON_COND, deadline);
	waiter_init(&w, me.task, word, &b->lock, RANK_LOT, c, NULL);
	list_push_tail(&b->waiters, &w.link);
	lock_drop_solo(&b->lock);
	weft_mutex_unlock(m);
	rc = weft__wait_park(me.worker, me.task, &w, 1, word, deadline);
	san_acquire(c);
	if (unlikely(weft__mutex_relock(m, me.task))) {
		weft__hold_lost(me.task, m);
		if (!rc)
			weft_cond_signal(c); /* ours, which nobody would act upon: so in the end all who wait are told */
		return WEFT_EPOISONED;
	}
	return rc;
}

int weft_cond_wait(weft_cond *c, weft_mutex *m)
{
	return weft_cond_wait_until(c, m, WEFT_FOREVER);
}

void weft_cond_signal(weft_cond *c)
{
	struct worker *wk = weft__worker(); /* before anything elided: see base/solo.h */

	san_release(c);
	if (load_relaxed(waiters_of(c))) /* who waits for what we have changed under m set it before it unlocked m */
		weft__lot_wake_one(wk, c, 0, nobody_waits, c);
}

void weft_cond_broadcast(weft_cond *c)
{
	struct worker *wk = weft__worker(); /* as above */
	struct lot_bucket *b = lot_bucket(c);
	struct inject_node *claimed;

	san_release(c);
	if (!load_relaxed(waiters_of(c))) /* as above */
		return;
	lock_take_solo(&b->lock, RANK_LOT);
	nobody_waits(c);
	claimed = weft__lot_claim_all(b, c, 0);
	lock_drop_solo(&b->lock);
	weft__ready_list(wk, claimed);
}
