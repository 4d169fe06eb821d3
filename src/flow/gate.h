/* SPDX-License-Identifier: MIT
 *
 * gate.h - how many may pass: a signed count of permits and a line of those who wait for some, under a lock that also guards what its owner keeps beside it.
 *
 *   free     permits there are; negative when the owner has taken some back that are still out (a limit that has shrunk)
 *   waiters  first come first served, however many one wants
 *   waiting  how many have come to stand in line and not been taken off by who deals, nor gone, since the line was last found empty: its length, when it is not empty
 *
 * Who gives up leaves the list at once, and the count when it runs; a task that is abandoned (the runtime goes down) leaves the list and never runs. So an empty list says that nobody is in
 * line, whatever the count; the next to come counts from one, in a new era, and who is of an earlier one does not count itself off.
 *
 * Law: with the lock free, the first in line wants more than there is, or has given up and will deal when it runs. So nobody overtakes, and nobody is forgotten.
 * Whoever deals takes what a waiter is given off `free` before it runs, and off the line: what is counted is exact at every unlock, not when the woken have run.
 *
 * Why not weft_sema: a semaphore's permits cannot be negative, its line has no bound that is exact, and it cannot be closed. Those who stand on this (bulkhead.c, limit.c,
 * credit.c) need one of these each, and counters, which the same lock guards.
 */
#ifndef WEFT_FLOW_GATE_H
#define WEFT_FLOW_GATE_H

#include "core/lot.h"
#include "core/runtime.h"
#include "core/wait.h"

struct gate {
	struct lock lock; /* RANK_SOURCE; guards all below */
	int32_t waiting;
	uint32_t era;
	int64_t free;
	struct list waiters; /* source: the gate; slot: a struct gate_ask */
};

/* One who wants permits, in its frame. */
struct gate_ask {
	int64_t least; /* goes on with so many */
	int64_t most;  /* takes no more than that */
	int64_t got;   /* written by who deals, before the claim */
	uint32_t era;  /* of the gate, when it came */
	bool off;      /* not in line any more; by who deals */
};

static inline void gate_lock(struct gate *g)
{
	lock_take_solo(&g->lock, RANK_SOURCE);
}

static inline void gate_unlock(struct gate *g)
{
	lock_drop_solo(&g->lock);
}

/* Locked. Is anybody in line? How many? */
static inline bool gate_line(const struct gate *g)
{
	return !list_empty(&g->waiters);
}

static inline int32_t gate_waiting(const struct gate *g)
{
	return gate_line(g) ? g->waiting : 0;
}

/* Locked. Takes what it wants, if there is enough and nobody is in line. */
static inline bool gate_try(struct gate *g, struct gate_ask *a)
{
	if (gate_line(g) || g->free < a->least)
		return false;
	a->got = a->most < g->free ? a->most : g->free;
	g->free -= a->got;
	return true;
}

/* Locked, and gate_try has failed. Stands in line, unlocks and waits, for a caller that has entered. Unlocked when it returns.
 * 0: a->got is its own; the status of weft__gate_close; WEFT_ETIMEDOUT, WEFT_ECANCELED: nothing was taken. deadline: not WEFT_NOW. me->worker is void afterwards. */
int weft__gate_wait(struct gate *g, struct gate_ask *a, const struct self *me, enum task_reason reason, int64_t deadline);

/* Locked. `free` may have grown: claims those in line who can go on, into r, for weft__lot_ready after unlocking. */
void weft__gate_deal(struct gate *g, struct ready_list *r);

/* Locked. All in line go, with this status and nothing. */
void weft__gate_close(struct gate *g, int status, struct ready_list *r);

/* Nobody may wait for what is being freed: a fatal error, made by `call`. */
void weft__gate_check_unused(struct gate *g, const void *what, const char *call);

/* Locked. n permits more. Unlocks, and lets go on who can. wk: the caller's worker, asked for before locking. */
static inline void gate_give_unlock(struct gate *g, struct worker *wk, int64_t n)
{
	struct ready_list r;

	g->free += n;
	if (likely(!gate_line(g))) {
		gate_unlock(g);
		return;
	}
	ready_list_init(&r);
	weft__gate_deal(g, &r);
	gate_unlock(g);
	weft__lot_ready(wk, &r);
}

#endif
