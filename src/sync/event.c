/* SPDX-License-Identifier: MIT
 *
 * event.c - set or not, in 4 bytes.
 *
 *   weft__state  0, SET, or WAITERS: not set, and somebody may wait in the lot bucket; set under its lock
 */
#include "core/lot.h"
#include "core/runtime.h"
#include "weft/sync.h"

#define SET 1u
#define WAITERS 2u

_Static_assert(sizeof(weft_event) == 4, "an event is 4 bytes");

static inline ATOMIC(uint32_t) *state_of(weft_event *e)
{
	return (ATOMIC(uint32_t) *)&e->weft__state;
}

NOINLINE static void set_and_wake(weft_event *e)
{
	struct lot_bucket *b = lot_bucket(e);
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */
	struct inject_node *claimed;

	lock_take_solo(&b->lock, RANK_LOT);
	(void)swap_acq_rel(state_of(e), SET); /* as in set; the last access: who sees it may free it */
	claimed = weft__lot_claim_all(b, e, 0);
	lock_drop_solo(&b->lock);
	weft__ready_list(wk, claimed);
}

void weft_event_set(weft_event *e)
{
	uint32_t was;

	(void)weft__worker(); /* before anything elided: see base/solo.h */
	san_release(e);
	was = load_relaxed(state_of(e)); /* checked by the compare-and-swap */
	while (!(was & WAITERS)) {
		if (solo_cas32(state_of(e), &was, SET)) /* pairs with isset; also if it was set: what we did is seen, too */
			return;
	}
	set_and_wake(e);
}

void weft_event_reset(weft_event *e)
{
	uint32_t was = SET;

	(void)weft__worker();              /* as above */
	solo_cas32(state_of(e), &was, 0u); /* else it was not set */
}

bool weft_event_isset(weft_event *e)
{
	bool set;

	(void)weft__worker();                  /* see base/solo.h */
	set = load_acquire(state_of(e)) & SET; /* pairs with set */
	san_acquire(e);
	return set;
}

/* Under the bucket's lock. */
static bool must_wait(void *arg)
{
	weft_event *e = arg;
	uint32_t was = load_acquire(state_of(e)); /* as above */

	while (!(was & SET)) {
		if ((was & WAITERS) || cas_acquire(state_of(e), &was, WAITERS)) /* against a set that comes just now */
			return true;
		was = load_acquire(state_of(e)); /* as above: one that fails has acquired nothing */
	}
	return false;
}

int weft_event_wait_until(weft_event *e, int64_t deadline)
{
	struct self me;
	int rc = self_enter(&me, &deadline);

	if (unlikely(rc))
		return rc;
	if (!weft_event_isset(e))
		rc = weft__lot_wait(e, must_wait, e, REASON_EVENT, deadline);
	san_acquire(e);
	return rc;
}

int weft_event_wait(weft_event *e)
{
	return weft_event_wait_until(e, WEFT_FOREVER);
}
