/* SPDX-License-Identifier: MIT
 *
 * timer.h - hierarchical timing wheel of one worker (Varghese and Lauck 1987, scheme 7).
 *
 * Deadlines are absolute monotonic nanoseconds and exact: a node fires at the first run at or after its deadline, never
 * before.  Slots are a tick of 2^WHEEL_TICK_SHIFT ns wide, WHEEL_LEVELS levels of 64 of them cover every int64_t, and a
 * bitmap a level makes "what is next?" a count of zeros. Adding and removing are O(1) under the wheel's lock; a node
 * moves down at most once a level.  Nodes that fire in one run do so in the order of their ticks, and within a tick in
 * the order they were added.
 *
 * A wheel knows nodes, not tasks: what a due node means is the business of the fire function (core/wait.c,
 * core/usertimer.c).
 */
#ifndef WEFT_CORE_TIMER_H
#define WEFT_CORE_TIMER_H

#include "base/list.h"
#include "base/lock.h"
#include <stdint.h>

#define WHEEL_TICK_SHIFT 14 /* 16.384 us */
#define WHEEL_SLOT_BITS 6
#define WHEEL_SLOTS (1 << WHEEL_SLOT_BITS)
#define WHEEL_LEVELS 9
#define WHEEL_NEVER INT64_MAX
#define WHEEL_KINDS 2

struct wheel;

struct timer_node {
	struct list_node link; /* in a slot of *wheel; under that wheel's lock; unlinked: next == NULL */
	int64_t when;          /* deadline it was linked for; valid while linked; under the lock */
	/* wheel it was last linked in, NULL before the first; written under that wheel's lock by whoever links it */
	ATOMIC(struct wheel *) wheel;
	uint8_t level, slot; /* where it is linked; valid while linked; under the lock */
	uint8_t kind;        /* below WHEEL_KINDS; for the fire function; constant while linked */
};

struct wheel {
	/* no node is due before it (ns); WHEEL_NEVER: empty; written under lock, read by anyone (relaxed: a hint) */
	ATOMIC(int64_t) next;
	struct lock lock; /* RANK_WHEEL */
	/* everything of the ticks below this one has fired; counted from INT64_MIN; under lock */
	uint64_t tick;
	ATOMIC(uint32_t) linked[WHEEL_KINDS]; /* nodes linked, by kind; written under lock, read by anyone (relaxed: a hint) */
	uint64_t occupied[WHEEL_LEVELS];      /* bit s: slot s of the level is not empty; under lock */
	struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

/* Called for each due node, already unlinked, with the wheel's lock held. Returns a time to link it again at (> now),
 * or WHEEL_NEVER to leave it out; in that case the node may be freed by then. Must not touch the wheel. */
typedef int64_t wheel_fire(struct timer_node *n, int64_t now, void *arg);

void weft__wheel_init(struct wheel *w, int64_t now);

/* Links n for `when` (any time but WHEEL_NEVER; now or earlier: at the next run). Caller holds w->lock; n is in no
 * wheel. True if n is now the earliest: who sleeps until wheel_next must be told. */
bool weft__wheel_add(struct wheel *w, struct timer_node *n, int64_t when);

/* Unlinks n. Caller holds w->lock; n is linked in w. */
void weft__wheel_remove(struct wheel *w, struct timer_node *n);

/* Fires everything due at `now`. Takes w->lock itself, unless nothing is due: that costs one load. Returns how many
 * nodes fired. `now` may be older than that of an earlier run (two workers serving one wheel). */
int weft__wheel_run(struct wheel *w, int64_t now, wheel_fire *fire, void *arg);

/* When weft__wheel_run next has something to do: ns, or WHEEL_NEVER. Never later than the earliest deadline; exact
 * while few nodes share the first slot. A run at a time that was too early fires nothing and moves it forward, at most
 * WHEEL_LEVELS times a node. Any thread, no lock. */
static inline int64_t wheel_next(struct wheel *w)
{
	return load_relaxed(&w->next);
}

/* How many nodes of that kind are linked. Any thread, no lock. */
static inline uint32_t wheel_linked(struct wheel *w, uint8_t kind)
{
	return load_relaxed(&w->linked[kind]);
}

#endif
