/* SPDX-License-Identifier: MIT
 *
 * lot.h - wait queues keyed by address, so that a mutex is 8 bytes, zeroed memory is valid, and nothing needs to be destroyed.
 *
 * A fixed table of buckets, one for some dozens of those who wait when there are a million, each a small lock and a list of waiters in the order they came; which bucket is a hash of the address.  Whoever waits
 * checks its condition under the bucket's lock and enlists there; whoever changes the condition changes it first, then takes that lock to
 * find waiters.  The table belongs to the process.
 *
 * Source: the parking lot of WebKit (Pizlo 2016). Changed: a wake is a claim of the task's wait word (core/waitword.h), so that deadlines, cancellation
 * and select need nothing here.
 */
#ifndef WEFT_CORE_LOT_H
#define WEFT_CORE_LOT_H

#include "core/wait.h"

/* Status of a waiter that is to try again: nobody else upon its key is woken until it has. Reasons that use it: REASON_MUTEX. */
#define LOT_AGAIN 2

struct lot_bucket {
	CACHE_ALIGNED struct lock lock; /* RANK_LOT */
	struct list waiters;            /* of all addresses that hash here, oldest first; under lock */
};

extern HIDDEN struct lot_bucket weft__lot[];

static inline struct lot_bucket *lot_bucket(const void *key)
{
	return &weft__lot[(((uintptr_t)key * 0x9e3779b97f4a7c15ULL) >> 32) % LOT_BUCKETS];
}

/* So many buckets share a mark, which says that somebody has waited in one of them: who goes through all need not look into the others, nor have the system give memory for them. */
#define LOT_MARKED 16
extern HIDDEN ATOMIC(bool) weft__lot_marks[];

/* By whoever is about to wait, under the bucket's lock, before it looks whether it must. */
static inline void lot_mark(const struct lot_bucket *b)
{
	ATOMIC(bool) *m = &weft__lot_marks[(size_t)(b - weft__lot) / LOT_MARKED];

	if (unlikely(!load_acquire(
		    m))) { /* another's: what it orders, it orders for us (x86, and aarch64 whose stores all others see at once) */
		store_relaxed(m, true);
		fence_seq_cst(); /* pairs with the one in weft__lot_marked: the mark is seen there, or here what was changed before */
	}
}

/* The next bucket in which anybody may wait, after b. NULL: the first; what waiters look at under the lock has been changed before. */
struct lot_bucket *weft__lot_marked(struct lot_bucket *b);

/* Next waiter upon key after w (NULL: from the start). Bucket locked. */
struct waiter *weft__lot_next(struct lot_bucket *b, const void *key, struct waiter *w);

/* Waits upon key while still(arg) says so (asked once, under the bucket's lock). Returns 0 when it does not; the waker's status; WEFT_EAGAIN, WEFT_ETIMEDOUT,
 * WEFT_ECANCELED, WEFT_ENOMEM. */
int weft__lot_wait(void *key, bool (*still)(void *arg), void *arg, enum task_reason reason, int64_t deadline);

/* The same, not ended by cancel and without a deadline: for what must be waited for. Returns 0, the waker's status, or WEFT_ENOMEM (a foreign thread
 * has no record). */
int weft__lot_wait_shielded(void *key, bool (*still)(void *arg), void *arg, enum task_reason reason);

/* The same with a deadline: also WEFT_EAGAIN, WEFT_ETIMEDOUT. */
int weft__lot_wait_shielded_until(void *key, bool (*still)(void *arg), void *arg, enum task_reason reason, int64_t deadline);

/* A call that may have to wait for more than that somebody wakes it: lives in its frame. Whoever goes through the waiters finds it as w->slot. */
struct lot_ask {
	void *key;
	/* Must it wait? Asked once, under the bucket's lock; if so it is listed in the same breath. Who can go on by what it did instead: claimed, into r. */
	bool (*still)(struct lot_ask *a, struct lot_bucket *b, struct ready_list *r);
	/* It has waited in vain, and is listed no more: who can go on now that it is gone? Under the bucket's lock. NULL: nobody. */
	void (*left)(struct lot_ask *a, struct lot_bucket *b, struct ready_list *r);
};

/* Waits, for a caller who has entered (self_enter), while a->still says so. Returns 0 when it does not; the waker's status; WEFT_EAGAIN (a->still has been asked), WEFT_ETIMEDOUT,
 * WEFT_ECANCELED. me->worker is void afterwards. */
int weft__lot_ask(struct lot_ask *a, const struct self *me, enum task_reason reason, int64_t deadline);

/* Readies those that were claimed under a bucket's lock: one runs next, several in the order they were claimed. Nothing is locked. */
void weft__lot_ready(struct worker *w, struct ready_list *r);

/* Claims all that wait upon key, with this status. Bucket locked. The claimed, oldest first, are to be given to weft__ready_list after unlocking. */
struct inject_node *weft__lot_claim_all(struct lot_bucket *b, void *key, int status);

/* The same with its own locking. */
struct inject_node *weft__lot_take_all(void *key, int status);

/* Wakes all that wait upon key; weft__lot_wait returns status to them. Takes the bucket's lock. w: the caller's worker or NULL. */
void weft__lot_wake_all(struct worker *w, void *key, int status);

/* Wakes all, whatever they wait upon, that which(w, arg) picks; asked under the bucket's lock. */
void weft__lot_wake_those(bool (*which)(const struct waiter *w, void *arg), void *arg, int status);

/* Wakes the first that waits upon key. none(arg), if given, is called under the bucket's lock when nobody is left. */
void weft__lot_wake_one(struct worker *w, void *key, int status, void (*none)(void *arg), void *arg);

#endif
