/* SPDX-License-Identifier: MIT
 *
 * barrier.c - where n parties wait for each other, in 12 bytes.
 *
 *   weft__parties  how many                           weft__round  counts rounds; changes with every one that ends, and with reset
 *   weft__here     how many of this round have come; BROKEN: none will do any more
 *
 * All of it changes under the lot bucket's lock.  The last to come claims all the others.  One of them may have been ended by its deadline or a cancel just before, so that its claim
 * is lost, or it is listed no more: then the round is broken, and the others, claimed but not readied yet, are told so.  Who gives up breaks the round it came for, and no
 * later one.
 */
#include "base/check.h"
#include "core/lot.h"
#include "core/runtime.h"
#include "weft/sync.h"

#define BROKEN (1u << 31)

_Static_assert(sizeof(weft_barrier) == 12, "a barrier is 12 bytes");

struct barrier_ask {
	struct lot_ask ask;
	bool now;       /* does not count as having come if it would have to wait */
	uint32_t round; /* it has come for */
	int rc;         /* where it need not wait */
};

/* Bucket locked: takes all off the list, and claims them, into r. Returns how many. */
static uint32_t claim_all(weft_barrier *b, struct lot_bucket *bucket, int status, struct ready_list *r)
{
	struct waiter *w;
	uint32_t n = 0;

	while ((w = weft__lot_next(bucket, b, NULL)) != NULL) {
		list_remove(&w->link);
		if (!waiter_claim(w, status, false))
			continue; /* it has given up */
		ready_list_add(r, w->task);
		n++;
	}
	return n;
}

static void break_it(weft_barrier *b, struct lot_bucket *bucket, struct ready_list *r)
{
	b->weft__here = BROKEN;
	claim_all(b, bucket, WEFT_EBROKEN, r);
}

/* The last has come. */
static int complete(weft_barrier *b, struct lot_bucket *bucket, struct ready_list *r)
{
	b->weft__round++;
	b->weft__here = 0;
	if (likely(claim_all(b, bucket, 0, r) + 1 >= b->weft__parties))
		return 1;
	b->weft__here = BROKEN;
	for (struct inject_node *n = r->first; n; n = n->next) /* claimed, but not readied: nobody has looked yet */
		task_of_next(n)->waiters->status = WEFT_EBROKEN;
	return WEFT_EBROKEN;
}

static bool must_wait(struct lot_ask *ask, struct lot_bucket *bucket, struct ready_list *r)
{
	struct barrier_ask *a = container_of(ask, struct barrier_ask, ask);
	weft_barrier *b = ask->key;

	a->round = b->weft__round;
	if (b->weft__here & BROKEN)
		a->rc = WEFT_EBROKEN;
	else if (b->weft__here + 1 >= b->weft__parties)
		a->rc = complete(b, bucket, r);
	else {
		b->weft__here += !a->now;
		return true;
	}
	return false;
}

static void gone(struct lot_ask *ask, struct lot_bucket *bucket, struct ready_list *r)
{
	struct barrier_ask *a = container_of(ask, struct barrier_ask, ask);
	weft_barrier *b = ask->key;

	if (b->weft__round == a->round)
		break_it(b, bucket, r);
}

static void change(weft_barrier *b, void (*to)(weft_barrier *, struct lot_bucket *, struct ready_list *))
{
	struct lot_bucket *bucket = lot_bucket(b);
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */
	struct ready_list r;

	ready_list_init(&r);
	lock_take_solo(&bucket->lock, RANK_LOT);
	to(b, bucket, &r);
	lock_drop_solo(&bucket->lock);
	weft__lot_ready(wk, &r);
}

static void begin_anew(weft_barrier *b, struct lot_bucket *bucket, struct ready_list *r)
{
	b->weft__round++;
	b->weft__here = 0;
	claim_all(b, bucket, WEFT_EBROKEN, r);
}

int weft_barrier_wait_until(weft_barrier *b, int64_t deadline)
{
	struct barrier_ask a = {.ask = {.key = b, .still = must_wait, .left = gone}};
	struct self me;
	int rc = self_enter(&me, &deadline);

	san_release(b);
	if (unlikely(rc)) { /* one that will not come */
		change(b, break_it);
		return rc;
	}
	a.now = deadline == WEFT_NOW;
	rc = weft__lot_ask(&a.ask, &me, REASON_BARRIER, deadline);
	san_acquire(b);
	return rc ? rc : a.rc;
}

int weft_barrier_wait(weft_barrier *b)
{
	return weft_barrier_wait_until(b, WEFT_FOREVER);
}

void weft_barrier_reset(weft_barrier *b)
{
	change(b, begin_anew);
}

bool weft_barrier_broken(weft_barrier *b)
{
	struct lot_bucket *bucket = lot_bucket(b);
	bool broken;

	(void)weft__worker(); /* as in change */
	lock_take_solo(&bucket->lock, RANK_LOT);
	broken = b->weft__here & BROKEN;
	lock_drop_solo(&bucket->lock);
	return broken;
}

void weft_barrier_init(weft_barrier *b, int n)
{
	if (n < 1)
		weft__fatal("weft_barrier_init: a barrier of %d parties", n);
	*b = (weft_barrier)WEFT_BARRIER_INIT(n);
}
