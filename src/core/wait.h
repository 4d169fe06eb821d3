/* SPDX-License-Identifier: MIT
 *
 * wait.h - the one way to wait.
 *
 * A blocking call is written like this, whatever it waits for:
 *
 *	rc = self_enter(&me, &deadline)                   who am I; cancelled or past the context's deadline: rc, and nothing happens
 *	lock the source; if it can go on at once, do it, unlock, return
 *	if (deadline == WEFT_NOW) unlock, return WEFT_EAGAIN
 *	struct waiter w; word = wait_begin(...) opens the wait; waiter_init(&w, ... word ...); put w on the source's list; unlock
 *	rc = weft__wait_park(...)
 *	rc == 0: somebody claimed w, did what was asked, and left w.status; of several waiters, the task says which was claimed
 *	else: timed out or cancelled: w has been taken off the list again: nothing happened
 *
 * and the other side, under the source's lock:
 *
 *	while ((w = first waiter)) { take it off the list; if (waiter_claim(w, status)) { deliver; collect w->task; break; } }
 *	unlock; weft__ready(task)
 *
 * Laws 1, 2, 3, 4 and 8 of HACKING.md live here.
 */
#ifndef WEFT_CORE_WAIT_H
#define WEFT_CORE_WAIT_H

#include "base/list.h"
#include "base/lock.h"
#include "core/readylist.h"
#include "core/task.h"
#include "core/waitword.h"

struct worker;

/* One place in one source's list. Lives in the waiting call's frame, which does not return before it is off the list. */
struct waiter {
	struct list_node link;  /* in the source's list; under *lock */
	struct weft_task *task; /* who waits */
	uint64_t word;          /* the open wait: what a claim must present */
	struct lock *lock;      /* the source's lock */
	void *source;           /* the source: a channel, or the address waited upon */
	void *slot;             /* where the element is taken from or put */
	int16_t status;         /* 0 or an error for the caller; set by the claimer */
	uint16_t place;         /* which of its call's waiters, an array, it is */
	uint16_t index;         /* which case of a select */
	uint8_t kind;           /* rank of *lock */
	bool sends;             /* of a select: it is in a channel's queue of senders. For dumps */
};

/* Who calls: a task on a worker, or a foreign thread in its proxy record. Valid until the next park. */
struct self {
	struct worker *worker; /* NULL: foreign thread */
	struct weft_task *task;
};

/* Takes w off no list; closes its wait for the caller. True: the caller owes w->task a wake-up. solo: called in an elided section. */
static ALWAYS_INLINE bool waiter_claim(struct waiter *w, int32_t status, bool solo)
{
	struct weft_task *t = w->task;

	if (!(solo ? wait_claim_plain(&t->wait, w->word, WAIT_WOKEN) : wait_claim(&t->wait, w->word, WAIT_WOKEN)))
		return false;
	w->status = (int16_t)status;
	t->waiters = w;
	return true;
}

/* Opens the caller's wait with a deadline (WEFT_FOREVER: none). w: its waiters, for dumps and shutdown (NULL: none).
 * Returns the open word, to be stored in the waiters before they are listed. */
static inline uint64_t wait_begin_as(struct weft_task *t, struct waiter *w, int n, enum task_reason reason, int64_t deadline,
				     enum wait_state how)
{
	store_relaxed(&t->reason, (uint8_t)reason); /* for readers */
	task_set_state(t, WEFT_TASK_PARKED);        /* before anybody can claim the wait and say RUNNABLE */
	t->waiters = w;
	if (unlikely(task_is(t, TASK_FOREIGN)))
		store_relaxed(&t->futex, 1u); /* made visible by the release store in wait_open */
	else
		t->nwaiters = (uint16_t)n;
	if (load_relaxed(&t->deadline) != deadline)    /* own field */
		store_relaxed(&t->deadline, deadline); /* made visible by the release store in wait_open */
	return wait_open(&t->wait, how);
}

static inline uint64_t wait_begin(struct weft_task *t, struct waiter *w, int n, enum task_reason reason, int64_t deadline)
{
	return wait_begin_as(t, w, n, reason, deadline, WAIT_OPEN);
}

static inline void waiter_init(struct waiter *w, struct weft_task *t, uint64_t word, struct lock *lock, enum lock_rank rank, void *source,
			       void *slot)
{
	w->task = t;
	w->word = word;
	w->lock = lock;
	w->source = source;
	w->slot = slot;
	w->status = 0;
	w->index = 0;
	w->place = 0;
	w->kind = (uint8_t)rank;
	w->sends = false;
	w->link.next = NULL;
}

/* Entry of every blocking call: finds the caller and folds its context's deadline into *deadline.
 * Returns 0, or WEFT_ECANCELED / WEFT_ETIMEDOUT: the call must do nothing; WEFT_ENOMEM: a foreign thread got no record. */
int weft__self_enter_slow(struct self *me, int64_t *deadline);

/* Parks the caller (wk: NULL for a foreign thread) on the wait it has opened. w: the first of its n waiters, NULL and 0 when it is on no list.
 * Returns 0 (claimed by a source; t->waiters says which), WEFT_ETIMEDOUT or WEFT_ECANCELED (then all waiters are off their lists again).
 * wk is void afterwards: the task may be on another worker. */
int weft__wait_park(struct worker *wk, struct weft_task *t, struct waiter *w, int n, uint64_t word, int64_t deadline);

/* Takes n waiters off their lists, each under its source's lock; those already off stay off. */
void weft__wait_withdraw(struct waiter *w, int n);

/* A task ends: its timer node, if linked, leaves its wheel. */
void weft__wait_disarm(struct weft_task *t);

/* t has seen that it is cancelled: sees from here on what came before the cancel. Returns WEFT_ECANCELED. */
COLD int weft__wait_canceled(struct weft_task *t);

/* Makes a claimed task runnable. No lock may be held. w: the caller's worker, NULL off one. */
void weft__ready(struct worker *w, struct weft_task *t);

#endif
