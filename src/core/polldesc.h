/* SPDX-License-Identifier: MIT
 *
 * polldesc.h - where a task that waits for a descriptor meets the loop that hears of it.
 *
 * For each side of a descriptor (reading, writing) the record counts the times the system has said that the side may go on:
 *
 *	seen = poll_events(side)           before the try
 *	try; it would block
 *	lock; closing? events != seen? else enlist, unlock, park                     wait
 *	lock; of an older generation? else events + 1, claim all waiters, unlock     poll_arrive: whoever hears of it
 *	lock; closing, generation + 1, claim all waiters with an error, unlock       poll_shut
 *
 * Whoever waits, waits for an event later than the one it saw before its try.  So none is lost between try and wait, there is no "ready" bit that somebody
 * must clear at the right moment, and nobody is woken by what came before.  An event of a descriptor that was closed, and whose record may serve
 * another by now, brings an older generation and does nothing.  Deadline and cancel are the wait's own business: the waiter takes itself off the
 * list, under the lock (core/wait.c), as with every source.
 *
 * (Rejected: a lock-free word a side that holds the task and the low bits of its sequence. It saves a locked instruction or two of all that a request
 * costs, none while one worker is alone, and is a second way to wait; select would not fit it.)
 *
 * Model: test/model/polldesc.cpp.  Not here: who hears of events (core/loop_*.c), who may try (io/fd.h).
 */
#ifndef WEFT_CORE_POLLDESC_H
#define WEFT_CORE_POLLDESC_H

#include "base/atomic.h"
#include "base/list.h"
#include "base/lock.h"
#include "core/readylist.h"
#ifndef WEFT_MODEL
#include "core/wait.h"
#endif

enum poll_dir { POLL_READ, POLL_WRITE, POLL_DIRS };

#define POLL_FIRST 1u /* events of a side at the start: its first try need not wait */

struct poll_side {
	ATOMIC(uint32_t) events; /* written under lock, read by anyone */
	struct list waiters;     /* for the next event; under lock */
};

struct runtime;

struct polldesc {
	struct lock lock;            /* RANK_DESC */
	SHARED(uint16_t) generation; /* of the descriptor; +1 at its close; under lock */
	SHARED(bool) closing;        /* under lock */
	/* The system spoke of an end, an error or urgent data: reads go on to it. Sticky; set before the event is counted. */
	ATOMIC(bool) hung_up;
	struct poll_side side[POLL_DIRS];
	/* where it is watched: core/loop_*.c */
	struct loop *home; /* NULL: nowhere yet, or its runtime has gone down; under lock */
	bool looked;       /* weft__loop_again was called: it is watched for less; under lock */
	uint8_t away;      /* waits in a row of tasks on other workers than home's; under lock */
	void *watch;       /* loop_uv.c's; under lock */
};

/* The record serves a descriptor from here on. Nobody else uses it, but late events may arrive. */
static inline void poll_open(struct polldesc *pd)
{
	lock_take_solo(&pd->lock, RANK_DESC);
	shared_set(&pd->closing, false);
	store_relaxed(&pd->hung_up, false); /* under lock */
	for (int d = 0; d < POLL_DIRS; d++)
		store_relaxed(&pd->side[d].events, POLL_FIRST); /* the same */
	lock_drop_solo(&pd->lock);
}

static inline uint32_t poll_events(struct polldesc *pd, enum poll_dir d)
{
	return load_acquire(&pd->side[d].events); /* pairs with store_release in poll_arrive: hung_up, too, is as new */
}

/* Claims all who wait for a side. Locked. */
static inline int poll_claim(struct polldesc *pd, enum poll_dir d, int status, struct ready_list *r)
{
	struct list_node *n;
	int claimed = 0;

	while ((n = list_pop_head(&pd->side[d].waiters)) != NULL) {
		struct waiter *w = container_of(n, struct waiter, link);

		if (!waiter_claim(w, status, false))
			continue;
		ready_list_add(r, w->task);
		claimed++;
	}
	return claimed;
}

/* An event of the sides in `dirs` (bits 1 << POLL_*) for the descriptor of that generation. Returns which of them somebody waited for. */
static inline unsigned poll_arrive(struct polldesc *pd, uint16_t generation, unsigned dirs, bool hung_up, struct ready_list *r)
{
	unsigned woken = 0;

	lock_take_solo(&pd->lock, RANK_DESC);
	if (shared_get(&pd->generation) == generation) {
		if (hung_up)
			store_relaxed(&pd->hung_up, true); /* made visible by the count */
		for (int d = 0; d < POLL_DIRS; d++) {
			if (!(dirs & 1u << d))
				continue;
			store_release(&pd->side[d].events,
				      load_relaxed(&pd->side[d].events) + 1); /* pairs with load_acquire in poll_events */
			if (poll_claim(pd, (enum poll_dir)d, 0, r))
				woken |= 1u << d;
		}
	}
	lock_drop_solo(&pd->lock);
	return woken;
}

/* Something else has changed that waiters go by (a deadline): counts as an event. */
static inline void poll_look(struct polldesc *pd, enum poll_dir d, struct ready_list *r)
{
	lock_take_solo(&pd->lock, RANK_DESC);
	store_release(&pd->side[d].events, load_relaxed(&pd->side[d].events) + 1); /* as in poll_arrive */
	poll_claim(pd, d, 0, r);
	lock_drop_solo(&pd->lock);
}

/* Whether a wait may begin: 1; or why not: 0 (there has been an event later than `seen`), or `closed`. Locked. */
static inline int poll_may_wait(struct polldesc *pd, enum poll_dir d, uint32_t seen, int closed)
{
	if (shared_get(&pd->closing))
		return closed;
	return load_relaxed(&pd->side[d].events) == seen; /* under lock */
}

/* The descriptor is about to be closed. From here on nobody waits, and no event counts. Locked. */
static inline void poll_shut(struct polldesc *pd, int closed, struct ready_list *r)
{
	shared_set(&pd->closing, true);
	shared_set(&pd->generation, (uint16_t)(shared_get(&pd->generation) + 1));
	for (int d = 0; d < POLL_DIRS; d++)
		poll_claim(pd, (enum poll_dir)d, closed, r);
}

#ifndef WEFT_MODEL
#define POLL_BOTH 3u      /* dirs: bits 1 << POLL_* */
#define POLL_UNWATCHED 4u /* with one of them: the loop is not asked to watch it */

/* Waits for an event of fd later than the one seen (by direction) of any of the directions in dirs. Returns 0: look again (there was one, or the deadlines may
 * have moved); WEFT_ECLOSED; WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (WEFT_NOW), WEFT_ESRCH (a foreign thread, and no runtime), or why
 * it cannot be watched. */
int weft__poll_wait(struct polldesc *pd, int fd, unsigned dirs, const uint32_t *seen, enum task_reason reason, int64_t deadline);

/* The same without parking, for a source (core/source.h): lists w for an event of a direction, later than the one seen. Returns 0: listed; 1: look again; or
 * an error, as above. */
int weft__poll_list(struct polldesc *pd, int fd, enum poll_dir d, uint32_t seen, struct worker *wk, struct waiter *w);

/* The number fd may mean another file since it was last waited for: the next event that is heard shall be of this one. What is ready now counts as an
 * event. Returns 0 or a negative code. */
int weft__poll_again(struct polldesc *pd, int fd);

/* What those who wait for a side go by has changed. Any thread. */
void weft__poll_look(struct polldesc *pd, enum poll_dir d);

/* Ends all waits with WEFT_ECLOSED. True: fd may be closed; false: once weft__loop_forgotten(pd) has been called. Any thread. */
bool weft__poll_close(struct polldesc *pd, int fd);

/* rt goes down, its workers have ended: if a loop of its watches pd, nobody does any more, and those who wait and are no tasks of it are claimed with 0: they look again, and have another loop watch it. So do
 * foreign threads that wait for nothing but a time. To be followed by weft__loop_clear. */
void weft__poll_down(struct polldesc *pd, struct runtime *rt, struct ready_list *r);
#endif

#endif
