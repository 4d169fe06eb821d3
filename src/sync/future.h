/* SPDX-License-Identifier: MIT
 *
 * future.h - what a future and its promise are: one piece of memory, two handles.
 *
 *   done    FUTURE_PENDING -> FUTURE_DONE       it has its value, or an error: whoever gives it, under lock; for good
 *           FUTURE_PENDING -> FUTURE_CANCELED   the same, by those who wait for it
 *   refs    63 .. 32: references to the promise    31 .. 0: to the future.  The memory goes with the last of both; the last of one side ends a future
 *           that is pending, before it goes.
 *
 * Whoever ends it does the rest, alone: wakes those who wait, tells the task that works on it, and follows what is made of it (map, then).
 *
 * A future g that is made of a future f: g is listed in f->thens until f ends, or g does. It holds a reference to f (as a future) until g ends; and a promise
 * of g belongs to the place in the list: whoever takes it off gets it.  Nothing is done with two locked.  Chains are followed in loops: they may be long.
 */
#ifndef WEFT_SYNC_FUTURE_H
#define WEFT_SYNC_FUTURE_H

#include "core/wait.h"
#include "weft/future.h"

#define FUTURE_PENDING 0u
#define FUTURE_DONE 1u
#define FUTURE_CANCELED 2u

#define FUTURE_PROMISE ((uint64_t)1 << 32)

/* Of a future that is made of another: behind the value. */
struct then {
	struct list_node link;        /* in of->thens; under of->lock */
	struct weft_future *of;       /* a reference, given back by whoever ends it */
	struct weft_future *it;       /* whose it is; NULL: a set's (future_set.c); constant */
	struct then *next;            /* also to be followed; of whoever took it off the list */
	weft_future_map_fn *map;      /* one of the two; constant */
	weft_future_then_fn *then;    /* the same */
	void *arg;                    /* constant */
	struct weft_ctx *ctx;         /* a reference; constant */
	uint32_t run;                 /* of the runtime of weft_make that its task is one of; 0: weft_run's; constant */
	const struct weft_site *site; /* where it was written; NULL: not known; constant */
};

/* Of a future that something else than a task works on. */
struct future_ops {
	void (*cancel)(
		struct weft_future *f); /* it has been cancelled: whoever has done that, nothing being locked; f lives until it returns */
	void (*gone)(struct weft_future *f); /* its memory is about to go; any thread; NULL: nothing to do */
};

struct weft_future {
	struct lock lock; /* RANK_SOURCE */
	ATOMIC(uint32_t) done;
	ATOMIC(uint64_t) refs;
	int32_t status; /* valid when done */
	uint16_t elem;  /* bytes of the value; constant */
	/* Source: the future, or &refs: who waits for the end of the promise. Slot: a gathering, or NULL. Under lock. */
	struct list waiters;
	struct list thens;            /* under lock */
	struct weft_task *task;       /* works on it: to be cancelled with it; one reference; NULL: none. Under lock */
	struct then *then;            /* NULL: it is made of no other; constant */
	const struct future_ops *ops; /* what else works on it; NULL: nothing; constant */
	/* Written by whoever ends it, under lock, or by its task; read when done. */
	__attribute__((aligned(16))) char value[];
};

/* A wait for several futures at once, in the frame of who waits. Counted under the lock of each: whoever has taken its waiters off all lists is alone
 * with it. */
struct gathering {
	ATOMIC(uint32_t) left; /* futures that have not ended, or are not looked at yet */
	bool on_value;         /* the first value ends it */
	bool on_error;         /* the first error does */
};

static inline uint32_t future_done(struct weft_future *f)
{
	uint32_t done = load_acquire(&f->done); /* pairs with store_release in end_one */

	if (done)
		san_acquire(&f->done);
	return done;
}

/* f is done, and locked. Is that what the gathering waits for? */
static inline bool gathering_counts(struct gathering *g, struct weft_future *f)
{
	bool last = add_acq_rel(&g->left, (uint32_t)-1) == 1; /* a count; the claim orders the rest */

	return last || (f->status == 0 ? g->on_value : g->on_error);
}

static inline void *future_behind(struct weft_future *f)
{
	return f->value + ROUND_UP(f->elem, 16);
}

/* --- future.c --- */

/* A future, pending, with so many bytes behind its value. NULL: no memory, or elem is out of range. */
struct weft_future *weft__future_new(size_t elem, size_t more, uint64_t refs);

/* Ends it, and does all that follows. value NULL: it is in its place. Returns 0 or WEFT_EALREADY. */
int weft__future_end(struct weft_future *f, uint32_t how, int status, const void *value);

/* A reference to the future, or to its promise, less. */
void weft__future_release(struct weft_future *f); /* NULL is allowed */
void weft__promise_release(struct weft_future *f);

/* t->of has ended, and t is in no list. Takes over a reference to t->of, and the promise of t->it. */
void weft__future_follow(struct then *t);

/* --- future_set.c --- */

/* t->of, of a set, has ended, and t is in no list. */
void weft__futures_ended(struct then *t);

/* --- future_then.c --- */

/* Starts the task of t, which takes over the same. An error: it has taken over nothing. */
int weft__future_start(struct then *t);

#endif
