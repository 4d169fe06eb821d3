/* SPDX-License-Identifier: MIT
 *
 * waitgroup.c - a counter of 8 bytes to wait upon until it is 0.
 *
 *   weft__state   63 .. 32: the counter     0: WAITERS, somebody waits in the lot bucket (set under its lock)
 *
 * add and done are one read-modify-write.  The one that reaches 0 with WAITERS set takes the bucket's lock, clears the flag and wakes all who came so
 * far, even if the counter has been raised again meanwhile: they waited for it to be 0, and it was.
 */
#include "base/check.h"
#include "core/lot.h"
#include "core/runtime.h"
#include "weft/sync.h"

#define WAITERS ((uint64_t)1)
#define ONE ((uint64_t)1 << 32)

_Static_assert(sizeof(weft_wg) == 8, "a wait group is 8 bytes");

static inline ATOMIC(uint64_t) *state_of(weft_wg *g)
{
	return (ATOMIC(uint64_t) *)&g->weft__state;
}

static inline int32_t count(uint64_t state)
{
	return (int32_t)(state >> 32);
}

NOINLINE static void wake(weft_wg *g)
{
	struct lot_bucket *b = lot_bucket(g);
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	struct inject_node *claimed;
	uint64_t was;

	lock_take_solo(&b->lock, RANK_LOT);
	was = load_relaxed(state_of(g));                                           /* checked by the compare-and-swap */
	while ((was & WAITERS) && !cas_acq_rel(state_of(g), &was, was & ~WAITERS)) /* the bucket's lock orders it */
		;
	claimed = weft__lot_claim_all(b, g, 0);
	lock_drop_solo(&b->lock);
	weft__ready_list(w, claimed);
}

void weft_wg_add(weft_wg *g, int n)
{
	uint64_t was;
	int64_t now;

	(void)weft__worker(); /* before anything elided: see base/solo.h */
	san_release(g);
	/* release: what came before done is seen after wait; acquire: of the last one's view of the others */
	was = solo_add64(state_of(g), (uint64_t)(int64_t)n * ONE);
	now = (int64_t)count(was) + n;
	if (unlikely(now < 0 || now > INT32_MAX))
		weft__fatal("weft_wg_add: the counter of wait group %p would become %lld (it was %d, %d was added)", (void *)g,
			    (long long)now, count(was), n);
	if (now == 0 && (was & WAITERS))
		wake(g);
}

void weft_wg_done(weft_wg *g)
{
	weft_wg_add(g, -1);
}

/* Under the bucket's lock: must the caller wait? Then WAITERS is set. */
static bool must_wait(void *arg)
{
	weft_wg *g = arg;
	uint64_t was = load_acquire(state_of(g)); /* pairs with add_acq_rel in done */

	for (;;) {
		if (count(was) == 0)
			return was & WAITERS; /* the last done is about to wake, and touches g once more */
		if ((was & WAITERS) || cas_acq_rel(state_of(g), &was, was | WAITERS)) /* against a done that comes just now */
			return true;
		was = load_acquire(state_of(g)); /* as above */
	}
}

int weft_wg_wait_until(weft_wg *g, int64_t deadline)
{
	int rc = weft__lot_wait(g, must_wait, g, REASON_WAITGROUP, deadline);

	san_acquire(g);
	return rc;
}

int weft_wg_wait(weft_wg *g)
{
	return weft_wg_wait_until(g, WEFT_FOREVER);
}
