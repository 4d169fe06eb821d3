/* SPDX-License-Identifier: MIT
 *
 * once.c - something that is done once, in 8 bytes.
 *
 *   weft__state  NEW, RUNNING, DONE                                         weft__owner  record index of who runs it while RUNNING
 *                WAITERS, with RUNNING: somebody waits in the lot bucket; set under its lock
 *
 *   NEW -> RUNNING    whoever comes first        RUNNING -> DONE    it, when fn has returned, or has ended its task
 *                                                RUNNING -> NEW     the same, of a fn that may fail and has: all who wait look again, and one of them is next
 */
#include "base/check.h"
#include "core/lot.h"
#include "core/recslab.h"
#include "core/runtime.h"
#include "weft/defer.h"
#include "weft/sync.h"

#define NEW 0u
#define RUNNING 1u
#define WAITERS 2u
#define DONE 4u /* WEFT__ONCE_DONE */

_Static_assert(sizeof(weft_once) == 8, "a once is 8 bytes");

static inline ATOMIC(uint32_t) *state_of(weft_once *o)
{
	return (ATOMIC(uint32_t) *)&o->weft__state;
}

static inline ATOMIC(uint32_t) *owner_of(weft_once *o)
{
	return (ATOMIC(uint32_t) *)&o->weft__owner;
}

static void run_over(weft_once *o, uint32_t state)
{
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */
	struct lot_bucket *b = lot_bucket(o);
	struct inject_node *claimed;
	uint32_t was = RUNNING;

	san_release(o);
	store_relaxed(owner_of(o), 0u);            /* no record has index 0 */
	if (cas_acq_rel(state_of(o), &was, state)) /* pairs with load_acquire in is_done, and with begin */
		return;
	lock_take_solo(&b->lock, RANK_LOT);
	(void)swap_acq_rel(state_of(o), state); /* the same */
	claimed = weft__lot_claim_all(
		b, o, 0); /* under the lock that it became DONE under: who sees that may free it, and something else may lie there */
	lock_drop_solo(&b->lock);
	weft__ready_list(wk, claimed);
}

static void run_done(void *arg)
{
	run_over(arg, DONE);
}

static void run_failed(void *arg)
{
	run_over(arg, NEW);
}

static inline bool is_done(weft_once *o)
{
	bool done = load_acquire(state_of(o)) == DONE; /* pairs with run_over */

	san_acquire(o);
	return done;
}

/* Under the bucket's lock. */
static bool must_wait(void *arg)
{
	weft_once *o = arg;
	uint32_t was = load_acquire(state_of(o)); /* pairs with run_over */

	while (was & RUNNING) {
		if ((was & WAITERS) || cas_acquire(state_of(o), &was, was | WAITERS)) /* against one that is over just now */
			return true;
	}
	return false;
}

/* Returns 1: the caller is to run it; 0: it is done; or an error. */
static int begin(weft_once *o, int64_t deadline)
{
	struct self me;
	uint32_t was;
	int rc;

	for (;;) {
		if (is_done(o))
			return 0;
		rc = self_enter(&me, &deadline);
		if (rc)
			return rc;
		was = NEW;
		if (cas_acquire(state_of(o), &was, RUNNING)) {          /* pairs with run_over: of one that failed */
			store_relaxed(owner_of(o), rec_index(me.task)); /* read by the owner itself, or for reports */
			san_acquire(o);
			return 1;
		}
		if (load_relaxed(owner_of(o)) == rec_index(me.task)) /* only the owner itself can match */
			return WEFT_EDEADLK;
		rc = weft__lot_wait(o, must_wait, o, REASON_ONCE, deadline);
		if (rc)
			return is_done(o) ? 0 : rc;
	}
}

NOINLINE static int do_slow(weft_once *o, void (*fn)(void *arg), void *arg, int64_t deadline)
{
	weft_defer over;
	int rc = begin(o, deadline);

	if (rc <= 0)
		return rc;
	weft__defer_push(&over, run_done, o);
	fn(arg);
	weft__defer_end(&over);
	return 0;
}

int(weft_once_do)(weft_once *o, void (*fn)(void *arg), void *arg)
{
	return likely(is_done(o)) ? 0 : do_slow(o, fn, arg, WEFT_FOREVER);
}

int weft_once_do_until(weft_once *o, void (*fn)(void *arg), void *arg, int64_t deadline)
{
	return likely(is_done(o)) ? 0 : do_slow(o, fn, arg, deadline);
}

NOINLINE static int retry_slow(weft_once *o, weft_task_fn *fn, void *arg, int64_t deadline)
{
	weft_defer failed;
	int rc = begin(o, deadline);

	if (rc <= 0)
		return rc;
	weft__defer_push(&failed, run_failed, o);
	rc = fn(arg);
	weft__defer_drop(&failed);
	run_over(o, rc ? NEW : DONE);
	return rc;
}

int(weft_once_retry)(weft_once *o, weft_task_fn *fn, void *arg)
{
	return likely(is_done(o)) ? 0 : retry_slow(o, fn, arg, WEFT_FOREVER);
}

int weft_once_retry_until(weft_once *o, weft_task_fn *fn, void *arg, int64_t deadline)
{
	return likely(is_done(o)) ? 0 : retry_slow(o, fn, arg, deadline);
}
