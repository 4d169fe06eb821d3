/* SPDX-License-Identifier: MIT
 *
 * weft/lf/deque.h - work-stealing deque that grows: one owner pushes and pops at the bottom, anyone steals at the top.
 *
 *   weft_deque_init      before anybody else knows d; weft_deque_destroy, when nobody uses it any more
 *   weft_deque_push      owner; 0, or WEFT_ENOMEM when it would have to grow and cannot
 *   weft_deque_pop       owner: the youngest item, or NULL
 *   weft_deque_steal     anyone: the oldest item; NULL: empty, or, if *lost, somebody else took that one: try again, or elsewhere
 *   weft_deque_len       any thread; a hint
 *
 *   top      next index to steal; moved forward by compare-and-swap, by thieves, and by the owner for the last item
 *   bottom   next index to fill; stored by the owner only
 *   ring     where the items are, [top, bottom) modulo its size; replaced by the owner by one of twice the size when full
 *
 * Items are pointers, not NULL; the queue never looks at what they point to.  An index is 64 bits wide and does not wrap.
 *
 * Retired rings are kept until weft_deque_destroy: a thief may still read one, and finds there what it would find in the new ring, for the owner fills
 * only the new one.  All of them together are smaller than the one in use.
 *
 * Progress: push is wait-free but for the allocator, and has no locked instruction; pop is wait-free: a fence, and for the last item one
 * compare-and-swap; steal is lock-free: lost means that another took the item.  LIFO for the owner, FIFO for thieves.  Order: what came before a push
 * is seen by whoever gets the item.  Memory: rings by weft_lf_alloc; items are the caller's.
 *
 * Source: Chase, Lev, "Dynamic Circular Work-Stealing Deque" (SPAA 2005); orders by Le, Pop, Cohen, Zappa Nardelli, "Correct and Efficient
 * Work-Stealing for Weak Memory Models" (PPoPP 2013).  Changed: their release fence in push is a release store of bottom, their consume load an
 * acquire, their acquire of top in steal relaxed, for the fence follows; rings are retired, not freed; it does not shrink.
 *
 * Models: test/model/deque.cpp; test/model/wsq.pml for the order between a thief's read of a slot and its refill, which is the same here.
 */
#ifndef WEFT_LF_DEQUE_H
#define WEFT_LF_DEQUE_H

#include "../error.h"
#include "atomic.h"
#include "memory.h"
#include <stddef.h>
#include <stdint.h>

/* Private. */
typedef struct weft__deque_ring {
	struct weft__deque_ring *retired; /* the one before, kept for thieves; the owner's */
	int64_t mask;                     /* size - 1; does not change */
	WEFT_ATOMIC(void *) * slot;       /* behind it, in the same memory */
} weft__deque_ring;

/* Private fields. */
typedef struct weft_deque {
	WEFT_LF_ALIGNED WEFT_ATOMIC(int64_t) top;    /* compared and swapped by thieves */
	WEFT_LF_ALIGNED WEFT_ATOMIC(int64_t) bottom; /* stored by the owner */
	WEFT_ATOMIC(weft__deque_ring *) ring;        /* stored by the owner */
} weft_deque;

#ifndef weft__deque_slots
/* Memory for a ring and its slots. */
#define weft__deque_slots(size) ((weft__deque_ring *)weft_lf_alloc(sizeof(weft__deque_ring) + (size_t)(size) * sizeof(WEFT_ATOMIC(void *))))
#define weft__deque_first(r) ((WEFT_ATOMIC(void *) *)(void *)((r) + 1))
#define weft__deque_drop(r) weft_lf_free(r)
#endif

static inline weft__deque_ring *weft__deque_make(int64_t size, weft__deque_ring *before)
{
	weft__deque_ring *r = weft__deque_slots(size);
	int64_t i;

	if (!r)
		return NULL;
	r->retired = before;
	r->mask = size - 1;
	r->slot = weft__deque_first(r);
	for (i = 0; i < size; i++)
		weft_store_relaxed(&r->slot[i], (void *)NULL); /* a thief that is too late may read one that was never filled */
	return r;
}

/* weft_deque_init - make d empty, with room for `size` items, rounded up to a power of two, until it first grows.
 *
 * Returns 0; WEFT_EINVAL, WEFT_ENOMEM. */
static inline int weft_deque_init(weft_deque *d, size_t size)
{
	weft__deque_ring *r;

	if (size == 0 || size > SIZE_MAX / 64)
		return WEFT_EINVAL;
	r = weft__deque_make((int64_t)WEFT_LF_POW2(size), NULL);
	if (!r)
		return WEFT_ENOMEM;
	weft_store_relaxed(&d->top, (int64_t)0); /* not shared yet */
	weft_store_relaxed(&d->bottom, (int64_t)0);
	weft_store_relaxed(&d->ring, r);
	return 0;
}

static inline void weft_deque_destroy(weft_deque *d)
{
	weft__deque_ring *r = weft_load_relaxed(&d->ring), *before; /* nobody else is there any more */

	for (; r; r = before) {
		before = r->retired;
		weft__deque_drop(r);
	}
	weft_store_relaxed(&d->ring, (weft__deque_ring *)NULL);
}

/* Owner of a full ring: a new one of twice the size with the same items, or NULL. */
WEFT_LF_SLOW weft__deque_ring *weft__deque_grow(weft_deque *d, weft__deque_ring *old, int64_t t, int64_t b)
{
	weft__deque_ring *r = weft__deque_make(2 * (old->mask + 1), old);
	int64_t i;

	if (!r)
		return NULL;
	for (i = t; i < b; i++) /* our own stores; not visible before the store below */
		weft_store_relaxed(&r->slot[i & r->mask], weft_load_relaxed(&old->slot[i & old->mask]));
	weft_store_release(&d->ring, r); /* pairs with load_acquire(ring) in weft_deque_steal: the slots, and what r says of itself */
	return r;
}

/* Owner. */
static inline int weft_deque_push(weft_deque *d, void *item)
{
	int64_t b = weft_load_relaxed(&d->bottom); /* ours */
	int64_t t = weft_load_acquire(&d->top);    /* pairs with cas_seq_cst in weft_deque_steal: the slot we refill has been read */
	weft__deque_ring *r = weft_load_relaxed(&d->ring); /* ours */

	if (__builtin_expect(b - t > r->mask, 0)) {
		r = weft__deque_grow(d, r, t, b);
		if (!r)
			return WEFT_ENOMEM;
	}
	weft_store_relaxed(&r->slot[b & r->mask], item); /* made visible by the store below */
	weft_store_release(&d->bottom, b + 1);           /* pairs with load_acquire(bottom) in weft_deque_steal */
	return 0;
}

/* Owner. */
static inline void *weft_deque_pop(weft_deque *d)
{
	int64_t b = weft_load_relaxed(&d->bottom) - 1;     /* ours */
	weft__deque_ring *r = weft_load_relaxed(&d->ring); /* ours */
	int64_t t;
	void *item;

	weft_store_relaxed(&d->bottom, b); /* ordered by the fence */
	/* pairs with the fence in weft_deque_steal: either it sees that b is ours, or we see its top */
	weft_fence_seq_cst();
	t = weft_load_relaxed(&d->top);
	if (t > b) {
		weft_store_relaxed(&d->bottom, b + 1); /* it was empty; the same as before */
		return NULL;
	}
	item = weft_load_relaxed(&r->slot[b & r->mask]); /* only the owner writes slots */
	if (t == b) {
		/* The last one: thieves may want it too. */
		if (!weft_cas_seq_cst(&d->top, &t, t + 1)) /* as in the paper; that it is one step is what counts */
			item = NULL;
		weft_store_relaxed(&d->bottom, b + 1); /* publishes nothing: empty */
	}
	return item;
}

/* Anyone. */
static inline void *weft_deque_steal(weft_deque *d, bool *lost)
{
	int64_t t = weft_load_relaxed(&d->top); /* the fence makes an acquire of it: pairs with cas_seq_cst by whoever moved it */
	weft__deque_ring *r;
	void *item;
	int64_t b;

	*lost = false;
	weft_fence_seq_cst();              /* pairs with the fence in weft_deque_pop */
	b = weft_load_acquire(&d->bottom); /* pairs with store_release(bottom) in weft_deque_push: slot, and what the item points to */
	if (t >= b)
		return NULL;
	r = weft_load_acquire(&d->ring);                 /* pairs with store_release(ring) in weft__deque_grow */
	item = weft_load_relaxed(&r->slot[t & r->mask]); /* ordered by the acquires; counts only if top has not moved */
	/* Releases our read of the slot: pairs with load_acquire(top) in weft_deque_push. In one order with the fences, as C11 asks for: an owner whose
	 * fence comes later sees it, though what it pairs with is another thief's read. */
	if (!weft_cas_seq_cst(&d->top, &t, t + 1)) {
		*lost = true;
		return NULL;
	}
	return item;
}

static inline size_t weft_deque_len(weft_deque *d)
{
	int64_t t = weft_load_relaxed(&d->top), b = weft_load_relaxed(&d->bottom); /* a hint */

	return b > t ? (size_t)(b - t) : 0;
}

#endif
