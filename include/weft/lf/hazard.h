/* SPDX-License-Identifier: MIT
 *
 * weft/lf/hazard.h - hazard pointers: who takes an object out of a shared structure frees it when nobody can be looking at it any more.
 *
 *	struct weft_hp *hp = weft_hp_acquire(&domain);        a guard: for as long as its holder uses the structure
 *	p = weft_hp_protect(hp, 0, &shared);                  now *p stays until slot 0 is set anew or cleared
 *	weft_hp_clear(hp, 0);
 *	weft_hp_retire(hp, &p->hp, free_it);                  p is reachable no more; free_it(&p->hp) is called when nobody protects it
 *	weft_hp_release(hp);                                  all its slots are cleared; somebody else may acquire it
 *
 * A guard belongs to the code that acquired it, not to an OS thread: a task may park with it and go on elsewhere, and keeps what it protects the while.
 * It serves one user at a time. Guards are few and long-lived: every scan looks at all that were ever acquired at the same time.
 *
 * The law: an object is protected once its address lies in a slot and a look after that (behind a fence) finds it still reachable. It is retired once
 * it is reachable no more. Whoever scans passes a fence after that and then reads the slots: either it sees the address, or the
 * other's second look sees that the object is gone.
 *
 * Progress: protect is lock-free (a new value of the shared pointer makes it look again); set, clear, retire and scan are wait-free, given that
 * the number of guards is bounded, and but for what the caller's free function does; acquire is lock-free, but for malloc if no guard is free.
 *
 * Garbage: a guard keeps at most WEFT_HP_BATCH + 2 * H retired objects, H being the slots of all guards, and after a scan no more than H: so a scan frees
 * at least WEFT_HP_BATCH + H of them, and its cost, spread over them, is constant. What a released guard still keeps is freed by its next holder, or with the domain.
 *
 * Memory: objects are the caller's, with a struct weft_hp_node as their FIRST member: its address is the object's. Retiring allocates nothing. Guards are
 * malloc'ed, and freed with the domain, which must outlive all use.
 *
 * Source: M. M. Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects" (IEEE TPDS 15(6), 2004). Changed: guards are acquired explicitly;
 * retired objects are linked through themselves instead of being kept in arrays; a scan keeps the slots it has read in a filter of fixed size instead of a
 * sorted list, and looks at all slots again only for objects that the filter does not clear, so it needs no memory and little stack; what an idle guard
 * keeps is not taken over by others (HelpScan): it is bounded.
 *
 * Model: test/model/hazard.cpp.
 */
#ifndef WEFT_LF_HAZARD_H
#define WEFT_LF_HAZARD_H

#include "atomic.h"
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define WEFT_HP_SLOTS 4 /* pointers a guard can protect at a time */
#ifndef WEFT_HP_BATCH
#define WEFT_HP_BATCH 64 /* retired objects, besides those that slots may hold, that make a scan worth while */
#endif
#define WEFT__HP_FILTER 2048 /* bits; a power of two. More slots in use than that make scans slower, not wrong */

/* The first member of what is retired. */
struct weft_hp_node {
	struct weft_hp_node *next;              /* a guard's list; valid once retired */
	void (*reclaim)(struct weft_hp_node *); /* the same */
};

struct weft_hp {
	WEFT_LF_ALIGNED WEFT_ATOMIC(void *) slot[WEFT_HP_SLOTS]; /* protected, or NULL; written by the holder */
	WEFT_ATOMIC(unsigned) held;                              /* 1: somebody's */
	struct weft_hp_domain *domain;                           /* constant */
	struct weft_hp *next;                                    /* the guard made before this one; constant */
	WEFT_SHARED(struct weft_hp_node *) retired;              /* the holder's */
	WEFT_SHARED(size_t) nretired;                            /* how many those are; the holder's */
};

struct weft_hp_domain {
	WEFT_LF_ALIGNED WEFT_ATOMIC(struct weft_hp *) guards; /* all that were ever made, the last one first */
	WEFT_ATOMIC(size_t) nguards;                          /* how many; counted before they are listed */
};

/* No other thread knows d yet. Zeroed memory is a valid domain too. */
static inline void weft_hp_domain_init(struct weft_hp_domain *d)
{
	weft_store_relaxed(&d->guards, (struct weft_hp *)NULL); /* not shared yet */
	weft_store_relaxed(&d->nguards, (size_t)0);
}

/* --- Protecting ------------------------------------------------------------------------------------------------------------- */

/* Puts p into slot i, which protects *p if the caller finds it reachable once more after this. What was in the slot is protected no longer. */
static inline void weft_hp_set(struct weft_hp *hp, unsigned i, void *p)
{
	/* release: our use of what was there before is over; pairs with load_acquire in weft_hp_scan */
	weft_store_release(&hp->slot[i], p);
	/* with the fence in weft_hp_scan: it sees p in the slot, or the caller's next look sees what p's retirer had done */
	weft_fence_seq_cst();
}

/* Slot i protects nothing any more. */
static inline void weft_hp_clear(struct weft_hp *hp, unsigned i)
{
	weft_store_release(&hp->slot[i], (void *)NULL); /* our use of it is over; pairs with load_acquire in weft_hp_scan */
}

/* What *from points to, protected by slot i; or NULL. */
static inline void *weft_hp_protect(struct weft_hp *hp, unsigned i, WEFT_ATOMIC(void *) * from)
{
	void *p = weft_load_relaxed(from), *again; /* not followed before the second look */

	for (;;) {
		weft_hp_set(hp, i, p);
		again = weft_load_acquire(from); /* pairs with the release that put it there: what it points to */
		if (again == p)
			return p;
		p = again;
	}
}

/* --- Retiring --------------------------------------------------------------------------------------------------------------- */

static inline size_t weft__hp_hash(const void *p)
{
	/* Fibonacci hashing (Knuth 6.4): the high bits of the product depend on all of the address. */
	return (size_t)((uint64_t)(uintptr_t)p * 0x9E3779B97F4A7C15u >> 32) & (WEFT__HP_FILTER - 1);
}

/* Whether some slot of these guards holds p, which is retired. */
static inline bool weft__hp_protected(struct weft_hp *g, const void *p)
{
	unsigned i;

	for (; g; g = g->next)
		for (i = 0; i < WEFT_HP_SLOTS; i++)
			if (weft_load_acquire(&g->slot[i]) == p) /* as in weft_hp_scan */
				return true;
	return false;
}

/* Frees all that this guard has retired and nobody protects. Free functions must not use this guard. */
static inline void weft_hp_scan(struct weft_hp *hp)
{
	struct weft_hp_node *n, *next, *kept = NULL;
	uint64_t filter[WEFT__HP_FILTER / 64] = {0};
	size_t h, nkept = 0;
	struct weft_hp *all, *g;
	unsigned i;
	void *p;

	weft_fence_seq_cst(); /* what we retired is gone before we look at slots; pairs with the fence in weft_hp_set */
	/* pairs with cas_release in weft__hp_list. A guard that is not in the list yet: its holder's fences come after ours. */
	all = weft_load_acquire(&hp->domain->guards);
	for (g = all; g; g = g->next) {
		for (i = 0; i < WEFT_HP_SLOTS; i++) {
			p = weft_load_acquire(&g->slot[i]); /* pairs with store_release in weft_hp_set, weft_hp_clear: its uses are over */
			if (p) {
				h = weft__hp_hash(p);
				filter[h / 64] |= (uint64_t)1 << h % 64;
			}
		}
	}
	n = weft_shared_get(&hp->retired);
	for (; n; n = next) {
		next = n->next;
		h = weft__hp_hash(n);
		if ((filter[h / 64] >> h % 64 & 1) != 0 && weft__hp_protected(all, n)) {
			n->next = kept;
			kept = n;
			nkept++;
		} else {
			n->reclaim(n);
		}
	}
	weft_shared_set(&hp->retired, kept);
	weft_shared_set(&hp->nretired, nkept);
}

/* Has fn(n) called when no slot holds n any more: by this call, or a later one of this guard's holder, or the domain's end. n is the first member of
 * something that whoever looks from now on cannot find; whoever took it out acquired it. */
static inline void weft_hp_retire(struct weft_hp *hp, struct weft_hp_node *n, void (*fn)(struct weft_hp_node *))
{
	size_t slots = weft_load_relaxed(&hp->domain->nguards) * WEFT_HP_SLOTS; /* only when to scan depends on it */

	n->reclaim = fn;
	n->next = weft_shared_get(&hp->retired);
	weft_shared_set(&hp->retired, n);
	weft_shared_set(&hp->nretired, weft_shared_get(&hp->nretired) + 1);
	if (weft_shared_get(&hp->nretired) >= WEFT_HP_BATCH + 2 * slots)
		weft_hp_scan(hp);
}

/* How many retired objects this guard keeps. Its holder. */
static inline size_t weft_hp_retired(struct weft_hp *hp)
{
	return weft_shared_get(&hp->nretired);
}

/* --- Guards ----------------------------------------------------------------------------------------------------------------- */

/* One that nobody holds, or NULL. */
static inline struct weft_hp *weft__hp_find(struct weft_hp_domain *d)
{
	struct weft_hp *g;

	for (g = weft_load_acquire(&d->guards); g; g = g->next) { /* pairs with cas_release in weft__hp_list */
		unsigned was = 0;

		if (weft_load_relaxed(&g->held) == 0 &&   /* checked by the compare-and-swap */
		    weft_cas_acquire(&g->held, &was, 1u)) /* what it has retired; pairs with store_release in weft_hp_release */
			return g;
	}
	return NULL;
}

/* Makes g, zeroed or new memory, a guard of d that is held. */
static inline void weft__hp_list(struct weft_hp_domain *d, struct weft_hp *g)
{
	struct weft_hp *first = weft_load_relaxed(&d->guards); /* checked by the compare-and-swap */
	unsigned i;

	for (i = 0; i < WEFT_HP_SLOTS; i++)
		weft_store_relaxed(&g->slot[i], (void *)NULL); /* made visible by the compare-and-swap */
	weft_store_relaxed(&g->held, 1u);                      /* the same */
	weft_shared_set(&g->retired, (struct weft_hp_node *)NULL);
	weft_shared_set(&g->nretired, (size_t)0);
	g->domain = d;
	weft_add_relaxed(&d->nguards, (size_t)1); /* only when to scan depends on it */
	do
		g->next = first;
	while (!weft_cas_release(&d->guards, &first, g)); /* pairs with load_acquire in weft_hp_scan, weft__hp_find */
}

/* A guard with all slots empty, the caller's until weft_hp_release; NULL: no memory. */
static inline struct weft_hp *weft_hp_acquire(struct weft_hp_domain *d)
{
	struct weft_hp *g = weft__hp_find(d);
	void *memory;

	if (g)
		return g;
	if (posix_memalign(&memory, 128, sizeof *g) != 0)
		return NULL;
	g = (struct weft_hp *)memory;
	weft__hp_list(d, g);
	return g;
}

/* The caller protects nothing any more and gives its guard back. */
static inline void weft_hp_release(struct weft_hp *hp)
{
	unsigned i;

	for (i = 0; i < WEFT_HP_SLOTS; i++)
		weft_hp_clear(hp, i);
	if (weft_shared_get(&hp->retired))
		weft_hp_scan(hp);
	weft_store_release(&hp->held, 0u); /* what is retired; pairs with cas_acquire in weft__hp_find */
}

/* Frees what is retired still, and all guards. Nobody holds one, or comes any more. */
static inline void weft_hp_domain_destroy(struct weft_hp_domain *d)
{
	struct weft_hp *g = weft_load_relaxed(&d->guards), *below; /* the caller has seen all others end */
	struct weft_hp *first = g;

	for (; g; g = g->next)
		weft_hp_scan(g);
	for (g = first; g; g = below) {
		below = g->next;
		free(g);
	}
	weft_hp_domain_init(d);
}

#endif
