/* SPDX-License-Identifier: MIT
 *
 * loop_hold.h - the libuv loop inside a worker's loop, whichever of the two that is: who holds it, what was posted to it, when it is due.
 *
 * One word, l->held, decides. Whoever gets it serves what was posted and runs libuv; who does not has posted before, and leaves it to the holder:
 *
 *	poster:  post    fence    take held: fails              holder:  drop held    fence    look at what is posted: again
 *
 * Both files put a struct loop at the head of their own.
 */
#ifndef WEFT_CORE_LOOP_HOLD_H
#define WEFT_CORE_LOOP_HOLD_H

#include "core/loop.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "core/readylist.h"
#include <time.h>
#include <uv.h>

struct loop {
	uv_loop_t uv;             /* by whoever holds it */
	struct runtime *rt;       /* constant */
	ATOMIC(uint32_t) held;    /* 1 while somebody runs it */
	ATOMIC(uint32_t) watched; /* descriptors there are, and what is expected; a hint */
	ATOMIC(bool) leaves;      /* its worker is retired; a hint */
	struct injectq ops;       /* posted */
	ATOMIC(int64_t) due;      /* libuv's next timer, as whoever ran it last saw it; INT64_MAX: none */
	struct ready_list *ready; /* where callbacks collect; by whoever holds it */
};

/* Takes the loop: what callbacks claim goes to r. False: another thread has it. */
static inline bool loop_take(struct loop *l, struct ready_list *r)
{
	uint32_t idle = 0;

	fence_seq_cst(); /* what we have posted is seen by who holds it, or we get it: pairs with the fence in loop_drop */
	if (!cas_acquire(&l->held, &idle, 1u)) /* pairs with the release in loop_drop */
		return false;
	l->ready = r;
	return true;
}

/* Notes when libuv is due next, and lets the loop go. Who has posted meanwhile is to be looked for. */
static inline void loop_drop(struct loop *l)
{
	int ms = uv_loop_alive(&l->uv) ? uv_backend_timeout(&l->uv) : -1;

	/* who sleeps by it is kicked afterwards, or has it from here: the fence behind the release, or the holder's own sleep */
	store_relaxed(&l->due, ms < 0 ? INT64_MAX : clock_add(clock_now(), ms * INT64_C(1000000)));
	l->ready = NULL;
	store_release(&l->held, 0u); /* pairs with cas_acquire in loop_take */
	fence_seq_cst();             /* pairs with the fence in loop_take */
}

/* Does what was posted. The loop is held. */
void weft__loop_ops(struct loop *l);

/* For how long a sleep until the deadline, or until libuv's next timer here or in one of the n wards, may last: *ts, or NULL: for ever. */
const struct timespec *weft__loop_timeout(struct loop *l, struct loop *const *wards, unsigned n, int64_t deadline, struct timespec *ts);

/* The loop is to be closed: ends the process if a user's handle is still open. All of ours are unreferenced. */
void weft__loop_none_open(struct loop *l);

/* Closes the libuv loop, on which nothing is open. */
void weft__loop_uv_close(uv_loop_t *uv);

/* --- each file's own --- */

/* Does what was posted and runs what is ready, unless another thread does. */
void weft__loop_run(struct loop *l, struct ready_list *r);

/* How long libuv would block just now, in milliseconds; -1: for ever. */
int weft__loop_blocks(struct loop *l);

#endif
