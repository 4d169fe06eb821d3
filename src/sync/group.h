/* SPDX-License-Identifier: MIT
 *
 * group.h - how many run in a group: one word that counts, limits and is waited upon. Policies, contexts and tasks are group.c's.
 *
 *   weft__state   63 .. 32: STARTED, children so far          31 .. 3: RUNNING, places taken: children that have not ended
 *                 2: OPEN        1: ROOM, somebody waits for a place         0: JOINERS, somebody waits for RUNNING to be 0
 *
 *   take     RUNNING + 1, STARTED + 1, while RUNNING < max. Else ROOM is set, and the caller listed, under the bucket's lock of the room's key.
 *   leave    ROOM      takes that lock: the first who waits gets the place, and RUNNING stays; nobody waits any more: ROOM is cleared, and it is tried again
 *            JOINERS   and the last: takes the lock of the group's own bucket, RUNNING - 1, JOINERS cleared, all who wait are claimed
 *            else      RUNNING - 1, one compare-and-swap
 *   join     under the lock of the group's own bucket: RUNNING is 0, or JOINERS is set, and the caller listed.
 *
 * Laws.
 * ROOM is set only while RUNNING >= max: places are handed on, so nobody overtakes those who wait.
 * Who has a place keeps the group alive: it touches the group for the last time when it gives the place up, which is one compare-and-swap, or the hand-over. What the
 * last one does after that, under the bucket's lock, it does by the group's address alone. Whoever waits at the same address in another group, in the frame that came
 * after, needs that lock to list itself, and so is not mistaken.
 *
 * Model: test/model/group.cpp.
 */
#ifndef WEFT_SYNC_GROUP_H
#define WEFT_SYNC_GROUP_H

#include "core/lot.h"
#ifndef WEFT_MODEL
#include "core/runtime.h"
#include "weft/group.h"
#endif

#define GROUP_JOINERS ((uint64_t)1)
#define GROUP_ROOM ((uint64_t)2)
#define GROUP_OPEN ((uint64_t)4)
#define GROUP_ONE ((uint64_t)8)
#define GROUP_STARTED ((uint64_t)1 << 32)
#define GROUP_MOST (UINT32_MAX / 8)

#define GROUP_HANDED 1 /* waiter status: the place is yours */

#ifndef WEFT_MODEL
static inline ATOMIC(uint64_t) *group_state(weft_group *g)
{
	return (ATOMIC(uint64_t) *)&g->weft__state;
}
#endif

static inline uint32_t group_running(uint64_t state)
{
	return (uint32_t)state / (uint32_t)GROUP_ONE;
}

/* The key of those who wait for a place. */
static inline void *group_room(weft_group *g)
{
	return &g->weft__max;
}

/* --- taking a place --- */

/* Under the bucket's lock: must the caller wait? Then ROOM is set; else it has a place. */
static bool group_full(void *arg)
{
	weft_group *g = (weft_group *)arg;
	uint64_t was = load_relaxed(group_state(g)); /* checked by the compare-and-swap */

	for (;;) {
		if (group_running(was) < g->weft__max) {
			if (cas_acq_rel(group_state(g), &was, was + GROUP_STARTED + GROUP_ONE)) /* as in group_take */
				return false;
		} else if ((was & GROUP_ROOM) || cas_relaxed(group_state(g), &was, was | GROUP_ROOM)) { /* the bucket's lock orders it */
			return true;
		}
	}
}

static NOINLINE int group_take_slow(weft_group *g, int64_t deadline)
{
	int rc = weft__lot_wait(group_room(g), group_full, g, REASON_GROUP_ROOM, deadline);

	if (rc == GROUP_HANDED)
		add_relaxed(group_state(g), GROUP_STARTED); /* a count; the place was another's */
	return rc;
}

/* 0: the caller has a place; GROUP_HANDED: it has one for which it had to wait; else what ended the waiting. */
static inline int group_take(weft_group *g, int64_t deadline)
{
	uint64_t was = load_relaxed(group_state(g)); /* checked by the compare-and-swap */

	while (likely(group_running(was) < g->weft__max)) {
		if (likely(solo_cas64(group_state(g), &was, was + GROUP_STARTED + GROUP_ONE))) /* pairs with those who leave */
			return 0;
	}
	return group_take_slow(g, deadline);
}

/* --- giving it up --- */

/* ROOM is set: gives the caller's place to the first who waits for one. False: nobody does, and ROOM is cleared; the place is still the caller's. */
static NOINLINE bool group_hand_over(weft_group *g, struct worker *wk)
{
	void *key = group_room(g);
	struct lot_bucket *b = lot_bucket(key);
	struct weft_task *next = NULL;
	struct waiter *w;
	uint64_t was;

	lock_take_solo(&b->lock, RANK_LOT);
	while (!next && (w = weft__lot_next(b, key, NULL)) != NULL) {
		list_remove(&w->link);
		if (waiter_claim(w, GROUP_HANDED, false))
			next = w->task; /* it does not run before it is made ready below: the group stays */
	}
	if (!weft__lot_next(b, key, NULL)) {
		was = load_relaxed(group_state(g));                           /* checked by the compare-and-swap */
		while (!cas_relaxed(group_state(g), &was, was & ~GROUP_ROOM)) /* the bucket's lock orders it */
			;
	}
	lock_drop_solo(&b->lock);
	if (next)
		weft__ready(wk, next);
	return next != NULL;
}

/* JOINERS is set, and the caller seemed to be the last. False: somebody wants its place. */
static NOINLINE bool group_last_out(weft_group *g, struct worker *wk)
{
	struct lot_bucket *b = lot_bucket(g);
	struct inject_node *claimed = NULL;
	uint64_t was, now;

	lock_take_solo(&b->lock, RANK_LOT);
	was = load_relaxed(group_state(g)); /* checked by the compare-and-swap */
	do {
		if (was & GROUP_ROOM) {
			lock_drop_solo(&b->lock);
			return false;
		}
		now = was - GROUP_ONE;
		if (group_running(now) == 0)
			now &= ~GROUP_JOINERS;
	} while (!cas_acq_rel(group_state(g), &was, now)); /* pairs with load_acquire in group_runs */
	if (group_running(now) == 0)                       /* from here on g is an address, and nothing else */
		claimed = weft__lot_claim_all(b, g, 0);
	lock_drop_solo(&b->lock);
	weft__ready_list(wk, claimed);
	return true;
}

/* Gives up the caller's place. It touches g no more. */
static inline void group_leave(weft_group *g, struct worker *wk)
{
	uint64_t was = load_relaxed(group_state(g)); /* checked by the compare-and-swap */

	for (;;) {
		if (unlikely(was & GROUP_ROOM)) {
			if (group_hand_over(g, wk))
				return;
		} else if (unlikely((was & GROUP_JOINERS) && group_running(was) == 1)) {
			if (group_last_out(g, wk))
				return;
		} else if (likely(solo_cas64(group_state(g), &was, was - GROUP_ONE))) { /* pairs with load_acquire in group_runs */
			return;
		} else {
			continue;
		}
		was = load_relaxed(group_state(g)); /* as above */
	}
}

/* --- joining --- */

/* Under the bucket's lock: must the caller wait? Then JOINERS is set. */
static bool group_runs(void *arg)
{
	weft_group *g = (weft_group *)arg;
	uint64_t was = load_acquire(group_state(g)); /* pairs with those who leave */

	while (group_running(was)) {
		if ((was & GROUP_JOINERS) || cas_relaxed(group_state(g), &was, was | GROUP_JOINERS)) /* the bucket's lock orders it */
			return true;
		was = load_acquire(group_state(g)); /* as above */
	}
	return false;
}

static inline int group_join(weft_group *g, int64_t deadline)
{
	return weft__lot_wait(g, group_runs, g, REASON_GROUP, deadline);
}

/* Waits until nobody has a place, whatever happens, and takes OPEN. 0, or WEFT_ENOMEM: a foreign thread cannot wait. */
static inline int group_shut(weft_group *g)
{
	uint64_t was = load_relaxed(group_state(g)); /* checked by the compare-and-swap */
	int rc = 0;

	while (rc >= 0) {
		if (group_running(was) == 0 && cas_acq_rel(group_state(g), &was, was & ~GROUP_OPEN)) /* pairs with those who leave */
			return 0;
		if (group_running(was))
			rc = weft__lot_wait_shielded(g, group_runs, g, REASON_GROUP);
		was = load_relaxed(group_state(g)); /* as above */
	}
	return rc;
}

#endif
