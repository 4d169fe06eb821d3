/* SPDX-License-Identifier: MIT
 *
 * source.h - what a select can wait for besides channels: a new kind is two functions.
 *
 *   look(c, me, NULL)    is the case ready now? Nothing changes. Called while all channels of the select are locked: it takes locks of a rank above theirs,
 *                        wakes nobody, does not wait.
 *   look(c, me, w)       the caller's wait is open, and nothing is locked: looks once more, under the source's lock, and if it is not ready lists w there
 *                        (source_list). From then on w is a waiter as any other (core/wait.h): whoever makes the source ready claims it, deadline and cancel
 *                        take it off.
 *   finish(c, w, fired)  once for each case that was listed, after its waiter is off the list; and, with w NULL, for a case that look found ready and that is
 *                        to fire. Nothing is locked. fired: takes what the case delivers and sets c->status; returns whether it has: false is a false alarm,
 *                        as when somebody else took it first, and the select starts over. Not fired: gives back what listing took.
 *
 * look returns 1: ready; 0: not; negative: the select as a whole fails with it, for what is wrong with the call (WEFT_EINVAL, WEFT_EDEADLK, WEFT_ENOMEM).
 * What is wrong with the thing it waits for makes the case ready, and is its status, as with a channel that is closed; look may set c->status for that.
 *
 *	select                                         whoever makes the source ready
 *	look: no                                       lock; it is ready; claim the waiters listed; unlock
 *	open the wait                                  weft__ready_list
 *	lock; look again: no; list w; unlock
 *	park
 *	off the list; finish
 *
 * One of the two sees the other, under the source's lock.  A source that is ready in the second look has nobody to claim the wait: the caller does, and if somebody
 * else was faster (another case, cancel) that is what happened.  So the wait is opened once, and a system call, or an allocation, in the
 * second look delays nobody but the caller.
 *
 * A task that waits when the runtime goes down never runs again: its waiters are taken off, and finish is not called. What listing took besides must be found
 * by other means (io/fd.c counts it).
 *
 * Rejected: finish with the channels locked, so that a look cannot turn out wrong: it could wake nobody, and descriptors and mailboxes have false alarms anyway.
 * Rejected: listing in the same instant as looking: system calls under all channels' locks.
 */
#ifndef WEFT_CORE_SOURCE_H
#define WEFT_CORE_SOURCE_H

#include "core/wait.h"
#include "weft/chan.h"

/* The linker copies these objects into programs that are not position-independent, with the size they had then: it stays as it is. */
struct weft_source {
	int (*look)(struct weft_case *c, struct self *me, struct waiter *w);
	bool (*finish)(struct weft_case *c, struct waiter *w, bool fired);
	int64_t (*due)(
		const struct weft_case *
			c); /* absolute time at which it becomes ready by itself, nobody claiming its waiter; NULL, or WEFT_FOREVER: never */
	bool outside;       /* what it waits for may come from outside weft: whoever waits for it is in no deadlock */
};

/* Prepares w, on no list yet, for look. */
static inline void source_waiter(struct waiter *w, struct weft_task *t, uint64_t word, uint16_t index, uint16_t place)
{
	waiter_init(w, t, word, NULL, RANK_NONE, NULL, NULL);
	w->index = index;
	w->place = place;
}

/* Lists w. lock, of this rank, guards the list and is held. what: the source; it comes back as w->source. */
static inline void source_list(struct waiter *w, struct list *waiters, struct lock *lock, enum lock_rank rank, void *what)
{
	w->lock = lock;
	w->kind = (uint8_t)rank;
	w->source = what;
	list_push_tail(waiters, &w->link);
}

/* Claims all waiters of a list, with this status. The lock that guards it is held. The claimed are to be given to weft__ready_list after unlocking. */
struct inject_node *weft__source_claim_all(struct list *waiters, int status);

/* Whoever still waits for `what` is about to use memory that is being freed: a fatal error, made by `call`. Locked. */
void weft__source_check_unused(struct list *waiters, const void *what, const char *call);

/* Waits for one source alone: the blocking call that goes with it. Returns c->status; or WEFT_EAGAIN, WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_ENOMEM, and what look
 * fails with. */
int weft__source_wait(struct weft_case *c, enum task_reason reason, int64_t deadline);

#endif
