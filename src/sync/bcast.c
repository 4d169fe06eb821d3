/* SPDX-License-Identifier: MIT
 *
 * bcast.c - broadcast: a ring that the sender overwrites, and subscriptions that read it each at its own place.
 *
 * Elements are numbered from 0.  The last `cap` of them are kept, in a ring of the next power of two.  A subscription is the number of the element it
 * receives next: behind the oldest that is kept it has lagged, at the number to be sent next it waits.  One lock guards all.
 *
 * A send wakes all who wait; each takes for itself when it runs (a source, core/source.h).  (Rejected: to put the element into their frames, as a channel
 * does.  It would spare them a lock, but the sender would copy it once for each under the lock, and one of two that share a subscription would
 * have to be passed over.)
 */
#include "weft/bcast.h"

#include "base/check.h"
#include "base/ref.h"
#include "core/runtime.h"
#include "core/source.h"
#include <stdlib.h>
#include <string.h>

struct weft_bcast {
	struct lock lock; /* RANK_SOURCE; guards all below but refs */
	uint16_t elem;    /* bytes of an element; constant */
	bool closed;
	uint64_t cap;  /* elements kept; constant */
	uint64_t mask; /* places in the ring, less 1; constant */
	uint64_t next; /* number of the element that is sent next */
	ATOMIC(uint32_t) refs;
	struct list waiters; /* source: their subscription */
	CACHE_ALIGNED char ring[];
};

struct weft_bsub {
	weft_bcast *of;  /* a reference; constant */
	uint64_t next;   /* number of the element it receives next; under of->lock */
	uint64_t missed; /* not asked for yet; the same */
};

weft_bcast *weft_bcast_make(size_t elem, size_t cap)
{
	uint64_t places = 1;
	struct weft_bcast *b;
	size_t bytes;

	if (elem > UINT16_MAX || cap < 1 || cap > UINT32_MAX / 2)
		return NULL;
	while (places < cap)
		places *= 2;
	if (__builtin_mul_overflow(elem, places, &bytes) || bytes > PTRDIFF_MAX - sizeof *b - CACHELINE)
		return NULL;
	b = aligned_alloc(CACHELINE, ROUND_UP(sizeof *b + bytes, CACHELINE));
	if (!b)
		return NULL;
	memset(b, 0, sizeof *b);
	b->elem = (uint16_t)elem;
	b->cap = cap;
	b->mask = places - 1;
	store_relaxed(&b->refs, 1u); /* not shared yet */
	return b;
}

weft_bcast *weft_bcast_ref(weft_bcast *b)
{
	add_relaxed(&b->refs, 1u); /* the caller's own reference keeps it */
	return b;
}

void weft_bcast_free(weft_bcast *b)
{
	if (b && ref_drop(&b->refs))
		free(b);
}

weft_bsub *weft_bcast_sub(weft_bcast *b)
{
	struct weft_bsub *s = b ? calloc(1, sizeof *s) : NULL;

	if (!s)
		return NULL;
	(void)weft__worker(); /* see base/solo.h */
	s->of = weft_bcast_ref(b);
	lock_take_solo(&b->lock, RANK_SOURCE);
	s->next = b->next;
	lock_drop_solo(&b->lock);
	return s;
}

void weft_bsub_free(weft_bsub *s)
{
	weft_bcast *b;

	if (!s)
		return;
	(void)weft__worker(); /* see base/solo.h */
	b = s->of;
	lock_take_solo(&b->lock, RANK_SOURCE);
	weft__source_check_unused(&b->waiters, s, "weft_bsub_free");
	lock_drop_solo(&b->lock);
	weft_bcast_free(b);
	free(s);
}

static void *place_of(struct weft_bcast *b, uint64_t number)
{
	return b->ring + (number & b->mask) * b->elem;
}

int weft_bcast_send(weft_bcast *b, const void *elem)
{
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */
	struct inject_node *claimed = NULL;
	int rc = WEFT_ECLOSED;

	if (!b)
		return WEFT_EINVAL;
	lock_take_solo(&b->lock, RANK_SOURCE);
	if (!b->closed) {
		if (b->elem) /* elements of no size have no address */
			memcpy(place_of(b, b->next), elem, b->elem);
		b->next++;
		claimed = weft__source_claim_all(&b->waiters, 0);
		rc = 0;
	}
	lock_drop_solo(&b->lock);
	weft__ready_list(wk, claimed);
	return rc;
}

int weft_bcast_close(weft_bcast *b)
{
	struct worker *wk = weft__worker(); /* as above */
	struct inject_node *claimed;
	bool was;

	if (!b)
		return WEFT_EINVAL;
	lock_take_solo(&b->lock, RANK_SOURCE);
	was = b->closed;
	b->closed = true;
	claimed = weft__source_claim_all(&b->waiters, 0);
	lock_drop_solo(&b->lock);
	weft__ready_list(wk, claimed);
	return was ? WEFT_ECLOSED : 0;
}

/* --- the source --- */

#define TAKE_WAIT 1

/* Locked. 0, WEFT_ELAGGED, WEFT_ECLOSED, or TAKE_WAIT. */
static int take(struct weft_bsub *s, void *out)
{
	struct weft_bcast *b = s->of;
	uint64_t oldest = b->next > b->cap ? b->next - b->cap : 0;

	if (s->next < oldest) {
		s->missed += oldest - s->next;
		s->next = oldest;
		return WEFT_ELAGGED;
	}
	if (s->next == b->next && !b->closed)
		return TAKE_WAIT;
	if (s->next == b->next) {
		if (out)
			memset(out, 0, b->elem);
		return WEFT_ECLOSED;
	}
	if (out && b->elem)
		memcpy(out, place_of(b, s->next), b->elem);
	s->next++;
	return 0;
}

static int bsub_look(struct weft_case *c, struct self *me, struct waiter *w)
{
	struct weft_bsub *s = c->bsub;
	bool ready;

	(void)me;
	if (!s)
		return 0; /* never */
	lock_take_solo(&s->of->lock, RANK_SOURCE);
	ready = s->next != s->of->next || s->of->closed;
	if (!ready && w)
		source_list(w, &s->of->waiters, &s->of->lock, RANK_SOURCE, s);
	lock_drop_solo(&s->of->lock);
	return ready;
}

static bool bsub_finish(struct weft_case *c, struct waiter *w, bool fired)
{
	struct weft_bsub *s = c->bsub;

	(void)w;
	if (!fired)
		return false;
	lock_take_solo(&s->of->lock, RANK_SOURCE);
	c->status = take(s, c->elem);
	lock_drop_solo(&s->of->lock);
	return c->status != TAKE_WAIT; /* another that shares the subscription was first */
}

const struct weft_source weft_source_bsub = {.look = bsub_look, .finish = bsub_finish};

int weft_bsub_recv_until(weft_bsub *s, void *out, int64_t deadline)
{
	weft_case c = WEFT_BSUB(s, out);

	return s ? weft__source_wait(&c, REASON_BCAST, deadline) : WEFT_EINVAL;
}

int weft_bsub_recv(weft_bsub *s, void *out)
{
	return weft_bsub_recv_until(s, out, WEFT_FOREVER);
}

uint64_t weft_bsub_missed(weft_bsub *s)
{
	uint64_t n;

	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&s->of->lock, RANK_SOURCE);
	n = s->missed;
	s->missed = 0;
	lock_drop_solo(&s->of->lock);
	return n;
}
