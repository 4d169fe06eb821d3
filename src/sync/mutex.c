/* SPDX-License-Identifier: MIT
 *
 * mutex.c - a mutex of 8 bytes for tasks and foreign threads.
 *
 *   weft__state  LOCKED    somebody owns it                     weft__owner  record index of the owner while LOCKED
 *                WAITERS   an unlock shall look into its lot bucket; set and cleared under the bucket's lock
 *
 * Locking and unlocking alone are one read-modify-write each.  An unlock that finds WAITERS takes the bucket's lock: the first waiter is either
 * handed the mutex (it has waited for MUTEX_FAIR_NS: state stays LOCKED), or the mutex is freed and the waiter woken to try again, in front of the
 * queue if it is too late.  So a running task may overtake, but not for long.  (An unlock by plain store would lose a waiter that is just enlisting.)
 *
 * Waking one is enough until it has tried: with it WAITERS goes, whoever else waits, and it sets WAITERS again if there is somebody.  So one that holds the mutex
 * a thousand times before the woken task comes to run pays for one wake.  Law: who waits is listed while WAITERS is set, or somebody was woken with LOT_AGAIN
 * and has not tried yet.  (Go: mutexWoken.  A runtime that goes down and leaves such a task behind wakes the next in its place: runtime.c, call_off.)
 *
 * A task that has failed, and was ended where it stood (core/contain.c), owns its mutexes for ever: LOCKED, and an owner with REASON_FELL. Such a mutex is poisoned. Each counts in its owner's own_held, which
 * keeps that record, until somebody takes it over (poison.c). Who would wait for one looks at its owner under the bucket's lock; who waits already is told by the end of that task, which comes
 * there after it has set REASON_FELL: so all are told.
 *
 * Model: test/model/mutex.pml (the steps), test/model/mutex.cpp (the orders).
 */
#include "base/check.h"
#include "base/clock.h"
#include "core/lot.h"
#include "core/recslab.h"
#include "core/runtime.h"
#include "sync/mutex.h"

#define LOCKED 1u
#define WAITERS 2u

#define HANDED 1 /* waiter status: the mutex is yours; else LOT_AGAIN */

_Static_assert(sizeof(weft_mutex) == 8, "a mutex is 8 bytes");

static inline ATOMIC(uint32_t) *state_of(weft_mutex *m)
{
	return (ATOMIC(uint32_t) *)&m->weft__state;
}

static inline ATOMIC(uint32_t) *owner_of(weft_mutex *m)
{
	return (ATOMIC(uint32_t) *)&m->weft__owner;
}

static inline void set_owner(weft_mutex *m, struct weft_task *t)
{
	store_relaxed(owner_of(m), rec_index(t)); /* read by the owner itself, for reports, or once that has failed */
	task_holds(t);
	san_acquire(m);
}

static bool poisoned(weft_mutex *m)
{
	return (load_relaxed(state_of(m)) & LOCKED) && lock_fell(owner_of(m)); /* of a lock that is poisoned neither changes */
}

static inline bool take_free(weft_mutex *m)
{
	uint32_t was = load_relaxed(state_of(m)); /* checked by the compare-and-swap */

	while (!(was & LOCKED)) {
		if (cas_acquire(state_of(m), &was, was | LOCKED)) /* pairs with the release in unlock */
			return true;
	}
	return false;
}

struct mutex_waiter {
	struct waiter w;
	int64_t since; /* when it first enlisted */
};

/* Bucket locked: sets WAITERS, unless it takes the mutex; then only if others wait. True: taken. */
static bool take_or_announce(weft_mutex *m, struct lot_bucket *b)
{
	uint32_t was = load_relaxed(state_of(m)); /* checked by the compare-and-swap */
	uint32_t taken = LOCKED | (weft__lot_next(b, m, NULL) ? WAITERS : 0);

	for (;;) {
		if (!(was & LOCKED)) {
			if (cas_acquire(state_of(m), &was, taken)) /* as in take_free */
				return true;
		} else if ((was & WAITERS) || cas_relaxed(state_of(m), &was, was | WAITERS)) { /* the bucket's lock orders it */
			return false;
		}
	}
}

static int lock_slow(weft_mutex *m, struct worker *wk, struct weft_task *t, int64_t deadline, enum wait_state how)
	PART_OF(weft_mutex_lock, slow);

NOINLINE static int lock_slow(weft_mutex *m, struct worker *wk, struct weft_task *t, int64_t deadline, enum wait_state how)
{
	struct lot_bucket *b = lot_bucket(m);
	struct mutex_waiter mw = {.since = 0};
	uint64_t word;
	bool again = false;
	int rc;

	if (load_relaxed(owner_of(m)) == rec_index(t) && (load_relaxed(state_of(m)) & LOCKED)) /* only the owner itself can match */
		return WEFT_EDEADLK;
	for (;;) {
		lock_take_solo(&b->lock, RANK_LOT);
		lot_mark(b);
		if (take_or_announce(m, b)) {
			lock_drop_solo(&b->lock);
			break;
		}
		if (unlikely(poisoned(m))) {
			lock_drop_solo(&b->lock);
			return WEFT_EPOISONED;
		}
		if (deadline == WEFT_NOW) {
			lock_drop_solo(&b->lock);
			return WEFT_EAGAIN;
		}
		if (!mw.since)
			mw.since = clock_now();
		word = wait_begin_as(t, &mw.w, 1, REASON_MUTEX, deadline, how);
		waiter_init(&mw.w, t, word, &b->lock, RANK_LOT, m, NULL);
		if (again)
			list_push_head(&b->waiters, &mw.w.link);
		else
			list_push_tail(&b->waiters, &mw.w.link);
		lock_drop_solo(&b->lock);
		rc = weft__wait_park(wk, t, &mw.w, 1, word, deadline);
		wk = weft__worker();
		if (rc)
			return rc;
		if (mw.w.status == HANDED)
			break;
		if (unlikely(mw.w.status == WEFT_EPOISONED))
			return WEFT_EPOISONED;
		again = true;
	}
	set_owner(m, t);
	return 0;
}

int weft_mutex_lock_until(weft_mutex *m, int64_t deadline)
{
	struct self me;
	uint32_t was = 0;
	int rc = self_enter(&me, &deadline);

	if (unlikely(rc))
		return rc;
	if (likely(solo_cas32(state_of(m), &was, LOCKED))) { /* pairs with the release in unlock */
		set_owner(m, me.task);
		return 0;
	}
	return lock_slow(m, me.worker, me.task, deadline, WAIT_OPEN);
}

int weft__mutex_relock(weft_mutex *m, struct weft_task *t)
{
	struct worker *wk = weft__worker();
	uint32_t was = 0;

	if (!solo_cas32(state_of(m), &was, LOCKED)) /* as above */
		return lock_slow(m, wk, t, WEFT_FOREVER, WAIT_SHIELDED);
	set_owner(m, t);
	return 0;
}

NOINLINE static int lock_for_ever(weft_mutex *m)
{
	return weft_mutex_lock_until(m, WEFT_FOREVER);
}

/* A mutex that is free, and a caller who has nothing else to mind: without a frame. */
int weft_mutex_lock(weft_mutex *m)
{
	struct worker *w = weft__worker_look();                         /* NULL: the general case asks again */
	struct weft_task *t = likely(w) ? load_relaxed(&w->cur) : NULL; /* own */
	uint32_t was = 0;

	if (likely(w) && self_at_ease(w, t) && likely(solo_cas32(state_of(m), &was, LOCKED))) { /* as above */
		set_owner(m, t);
		return 0;
	}
	return lock_for_ever(m);
}

int weft_mutex_trylock(weft_mutex *m)
{
	struct self me;
	int64_t deadline = WEFT_NOW;
	int rc = self_enter(&me, &deadline);

	if (unlikely(rc))
		return rc;
	if (!take_free(m))
		return unlikely(poisoned(m)) ? WEFT_EPOISONED : WEFT_EAGAIN;
	set_owner(m, me.task);
	return 0;
}

NOINLINE static void unlock_slow(weft_mutex *m, struct worker *wk)
{
	struct lot_bucket *b = lot_bucket(m);
	struct weft_task *ready = NULL;
	struct waiter *w;
	int64_t now = clock_now();

	lock_take_solo(&b->lock, RANK_LOT);
	while ((w = weft__lot_next(b, m, NULL)) != NULL) {
		struct mutex_waiter *mw = container_of(w, struct mutex_waiter, w);
		struct weft_task *t = w->task;
		bool hand = now - mw->since >= MUTEX_FAIR_NS;

		list_remove(&w->link);
		if (hand)
			store_relaxed(owner_of(m), rec_index(t));         /* under the bucket's lock, before the new owner runs */
		if (!waiter_claim(w, hand ? HANDED : LOT_AGAIN, false)) { /* its deadline passed, or it was cancelled */
			store_relaxed(owner_of(m), 0u);                   /* as above */
			continue;
		}
		ready = t;
		if (hand) {
			if (!weft__lot_next(b, m, NULL))
				store_relaxed(state_of(m), LOCKED); /* we own it, and WAITERS changes under this lock only */
			lock_drop_solo(&b->lock);
			weft__ready(wk, ready);
			return;
		}
		break;
	}
	store_release(state_of(m), 0u); /* pairs with cas_acquire of the next owner */
	lock_drop_solo(&b->lock);
	if (ready)
		weft__ready(wk, ready);
}

NOINLINE static void unlock_any(weft_mutex *m)
{
	struct worker *wk = weft__worker();
	struct weft_task *t = likely(wk) ? load_relaxed(&wk->cur) : weft__foreign(); /* own */
	uint32_t was = LOCKED;

	if (unlikely(!(load_relaxed(state_of(m)) & LOCKED))) /* the owner's own, if there is one */
		weft__fatal("weft_mutex_unlock: the mutex %p is not locked", (void *)m);
	if (unlikely(!t || load_relaxed(owner_of(m)) != rec_index(t))) { /* only the owner itself can match */
		struct weft_task *o = weft__rec_at(load_relaxed(owner_of(m)));

		weft__fatal("weft_mutex_unlock: the mutex %p is owned by task %llu, not by the caller (task %llu)", (void *)m,
			    o ? (unsigned long long)o->id : 0ULL, t ? (unsigned long long)t->id : 0ULL);
	}
	store_relaxed(owner_of(m), 0u); /* no record has index 0 */
	task_holds_not(t);
	san_release(m);
	if (!solo_cas32(state_of(m), &was, 0u)) /* pairs with cas_acquire of the next owner */
		unlock_slow(m, wk);
}

/* As in weft_mutex_lock. */
void weft_mutex_unlock(weft_mutex *m)
{
	struct worker *w = weft__worker_look();                         /* as there */
	struct weft_task *t = likely(w) ? load_relaxed(&w->cur) : NULL; /* own */
	uint32_t was = LOCKED;

	if (likely(t) && likely(load_relaxed(owner_of(m)) == rec_index(t))) { /* as above: then it is locked */
		store_relaxed(owner_of(m), 0u);
		task_holds_not(t);
		san_release(m);
		if (unlikely(!solo_cas32(state_of(m), &was, 0u))) /* as above */
			unlock_slow(m, w);
		return;
	}
	unlock_any(m);
}

/* --- poisoned: poison.c --- */

bool weft__mutex_poisoned(weft_mutex *m)
{
	return poisoned(m);
}

uint32_t weft__mutex_owner(weft_mutex *m)
{
	return load_relaxed(state_of(m)) & LOCKED ? load_relaxed(owner_of(m)) : 0; /* of one that has failed it stays */
}

void weft__mutex_inherit(weft_mutex *m, struct weft_task *t)
{
	set_owner(m, t);
}
