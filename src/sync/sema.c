/* SPDX-License-Identifier: MIT
 *
 * sema.c - a counting semaphore of 8 bytes, of which several permits may be taken at once.
 *
 *   weft__state   63 .. 32: permits     0: WAITERS, somebody may wait in the lot bucket
 *
 * Without WAITERS taking and giving are one read-modify-write each.  While it is set the word changes under the bucket's lock only, and whoever changes it deals out what there is:
 * to the first in line, then the next, until one wants more than is left.  So nobody overtakes.  Whoever gives up lets those behind it have what it waited for.
 * Law: with the bucket unlocked, who is listed is listed while WAITERS is set, and the first wants more than there is, or has given up and will deal.
 *
 * Model: test/model/sema.cpp.
 */
#include "base/check.h"
#include "core/lot.h"
#include "core/runtime.h"
#include "weft/sync.h"

#define WAITERS ((uint64_t)1)
#define ONE ((uint64_t)1 << 32)

_Static_assert(sizeof(weft_sema) == 8, "a semaphore is 8 bytes");

struct sema_ask {
	struct lot_ask ask;
	uint64_t want; /* in ONEs */
};

static inline ATOMIC(uint64_t) *state_of(weft_sema *s)
{
	return (ATOMIC(uint64_t) *)&s->weft__state;
}

static inline int64_t count(uint64_t state)
{
	return (int64_t)(state >> 32);
}

/* Nobody is in line, and there are enough. */
static inline bool take(weft_sema *s, uint64_t want)
{
	uint64_t was = load_relaxed(state_of(s)); /* checked by the compare-and-swap */

	while (!(was & WAITERS) && was >= want) {
		if (solo_cas64(state_of(s), &was, was - want)) /* pairs with give and deal */
			return true;
	}
	return false;
}

/* Bucket locked, and WAITERS set, so that the word is ours: gives those in line what there is, `have`. */
static void deal(weft_sema *s, struct lot_bucket *b, uint64_t have, struct ready_list *r)
{
	struct waiter *w;

	while ((w = weft__lot_next(b, s, NULL)) != NULL) {
		uint64_t want = container_of((struct lot_ask *)w->slot, struct sema_ask, ask)->want;

		if (want > have)
			break;
		list_remove(&w->link);
		if (!waiter_claim(w, 0, false))
			continue; /* its deadline passed, or it was cancelled */
		have -= want;
		ready_list_add(r, w->task);
	}
	store_release(state_of(s), w ? have | WAITERS : have); /* pairs with take; the last access: who takes may free it */
}

static bool must_wait(struct lot_ask *a, struct lot_bucket *b, struct ready_list *r)
{
	uint64_t want = container_of(a, struct sema_ask, ask)->want;
	weft_sema *s = (weft_sema *)a->key;
	bool first = !weft__lot_next(b, s, NULL);
	uint64_t was = load_relaxed(state_of(s)); /* checked by the compare-and-swap */

	(void)r;
	for (;;) {
		uint64_t have = was & ~WAITERS;

		if (first && have >= want) {
			if (cas_acquire(state_of(s), &was, have - want)) /* as in take */
				return false;
		} else if ((was & WAITERS) || cas_relaxed(state_of(s), &was, was | WAITERS)) { /* the bucket's lock orders it */
			return true;
		}
	}
}

/* One that was in line has gone. */
static void gone(struct lot_ask *a, struct lot_bucket *b, struct ready_list *r)
{
	weft_sema *s = (weft_sema *)a->key;
	uint64_t was = load_acquire(state_of(s)); /* pairs with give: those who are dealt to see what came before it */

	if (was & WAITERS)
		deal(s, b, was & ~WAITERS, r);
}

int weft_sema_acquire_until(weft_sema *s, int k, int64_t deadline)
{
	struct sema_ask a;
	struct self me;
	int rc;

	if (unlikely(k < 0))
		return WEFT_EINVAL;
	rc = self_enter(&me, &deadline);
	if (unlikely(rc))
		return rc;
	if (unlikely(k == 0))
		return 0;
	a.want = (uint64_t)k * ONE;
	if (unlikely(!take(s, a.want))) {
		if (deadline == WEFT_NOW && !(load_relaxed(state_of(s)) & WAITERS)) /* it was so an instant ago; whether to look in line */
			return WEFT_EAGAIN;
		a.ask.key = s;
		a.ask.still = must_wait;
		a.ask.left = gone;
		rc = weft__lot_ask(&a.ask, &me, REASON_SEMA, deadline);
	}
	san_acquire(s);
	return rc;
}

int weft_sema_acquire(weft_sema *s, int k)
{
	return weft_sema_acquire_until(s, k, WEFT_FOREVER);
}

int weft_sema_tryacquire(weft_sema *s, int k)
{
	return weft_sema_acquire_until(s, k, WEFT_NOW);
}

static void check(weft_sema *s, uint64_t was, int k)
{
	if (unlikely(count(was) + k > INT32_MAX))
		weft__fatal("weft_sema_release: semaphore %p would have more than 2^31 - 1 permits (it has %lld, %d are given)", (void *)s,
			    (long long)count(was), k);
}

NOINLINE static void give_in_line(weft_sema *s, int k)
{
	struct lot_bucket *b = lot_bucket(s);
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */
	struct ready_list r;
	uint64_t was;

	ready_list_init(&r);
	lock_take_solo(&b->lock, RANK_LOT);
	was = load_acquire(state_of(s)); /* as in gone */
	for (;;) {
		check(s, was, k);
		if (was & WAITERS) {
			deal(s, b, (was & ~WAITERS) + (uint64_t)k * ONE, &r);
			break;
		}
		if (cas_acq_rel(state_of(s), &was, was + (uint64_t)k * ONE)) /* as in give; nobody sets WAITERS while we have the lock */
			break;
	}
	lock_drop_solo(&b->lock);
	weft__lot_ready(wk, &r);
}

void weft_sema_release(weft_sema *s, int k)
{
	uint64_t was;

	(void)weft__worker(); /* before anything elided: see base/solo.h */
	if (unlikely(k < 0))
		weft__fatal("weft_sema_release: %d permits are given to semaphore %p", k, (void *)s);
	san_release(s);
	was = load_relaxed(state_of(s)); /* checked by the compare-and-swap */
	while (!(was & WAITERS)) {
		check(s, was, k);
		if (solo_cas64(state_of(s), &was, was + (uint64_t)k * ONE)) /* pairs with take, and gives on what it acquires */
			return;
	}
	give_in_line(s, k);
}

void weft_sema_init(weft_sema *s, int n)
{
	if (n < 0)
		weft__fatal("weft_sema_init: %d permits", n);
	store_relaxed(state_of(s), (uint64_t)n * ONE); /* nobody uses it yet */
}

int weft_sema_value(weft_sema *s)
{
	return (int)count(load_relaxed(state_of(s))); /* a look */
}
