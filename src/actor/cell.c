/* SPDX-License-Identifier: MIT
 *
 * cell.c - memory for actors: cells, which stay cells for ever, and letters; and tickets, which stay tickets.
 *
 * Free cells are in one list, which grows by slabs, and so are free tickets. A letter of MSG_INLINE bytes goes to the cache of the worker that frees it; half a cache goes to a shared pool when it is
 * full, and comes from there, or from the heap, when it is empty. What the shared pool has too much of goes back to the heap. Under a sanitizer each letter is of the heap.
 */
#include "actor/actor.h"

#include "base/sanitizer.h"
#include <stdlib.h>
#include <string.h>

/* --- cells --- */

#define SLAB_CELLS SMALL(64, 2)

struct slab {
	struct slab *next;
	struct actor cells[SLAB_CELLS];
};

static struct lock cells_lock;      /* RANK_POOL; guards both */
static struct actor *free_cells;    /* by next_free */
static ATOMIC(struct slab *) slabs; /* all; never shrinks */

static bool grow(void)
{
	struct slab *s = aligned_alloc(_Alignof(struct actor), sizeof *s);

	if (!s)
		return false;
	memset(s, 0, sizeof *s);
	for (unsigned i = 0; i < SLAB_CELLS; i++)
		s->cells[i].gen = 1; /* a reference of zeros is nobody's */
	lock_take_solo(&cells_lock, RANK_POOL);
	for (unsigned i = 0; i < SLAB_CELLS; i++) {
		s->cells[i].next_free = free_cells;
		free_cells = &s->cells[i];
	}
	s->next = load_relaxed(&slabs); /* under lock */
	store_release(&slabs, s);       /* pairs with load_acquire in foreach */
	lock_drop_solo(&cells_lock);
	return true;
}

struct actor *weft__cell_get(void)
{
	struct actor *a;

	for (;;) {
		lock_take_solo(&cells_lock, RANK_POOL);
		a = free_cells;
		if (a)
			free_cells = a->next_free;
		lock_drop_solo(&cells_lock);
		if (a || !grow())
			break;
	}
	return a;
}

void weft__cell_put(struct actor *a)
{
	lock_take_solo(&cells_lock, RANK_POOL);
	a->next_free = free_cells;
	free_cells = a;
	lock_drop_solo(&cells_lock);
}

void weft__cell_foreach(void (*fn)(struct actor *a, void *arg), void *arg)
{
	for (struct slab *s = load_acquire(&slabs); s; s = s->next) { /* pairs with store_release in grow */
		for (unsigned i = 0; i < SLAB_CELLS; i++)
			fn(&s->cells[i], arg);
	}
}

/* --- tickets --- */

#define SLAB_TICKETS SMALL(64, 2)

struct ticket_slab {
	struct ticket_slab *next;
	struct ticket tickets[SLAB_TICKETS];
};

static struct lock tickets_lock; /* RANK_POOL; guards both */
static struct ticket *free_tickets;
static struct ticket_slab *ticket_slabs; /* all; never shrinks. So that they are not taken for lost */

static bool more_tickets(void)
{
	struct ticket_slab *s = calloc(1, sizeof *s);

	if (!s)
		return false;
	lock_take_solo(&tickets_lock, RANK_POOL);
	for (unsigned i = 0; i < SLAB_TICKETS; i++) {
		s->tickets[i].next_free = free_tickets;
		free_tickets = &s->tickets[i];
	}
	s->next = ticket_slabs;
	ticket_slabs = s;
	lock_drop_solo(&tickets_lock);
	return true;
}

struct ticket *weft__ticket_get(void)
{
	struct ticket *t;

	do {
		lock_take_solo(&tickets_lock, RANK_POOL);
		t = free_tickets;
		if (t)
			free_tickets = t->next_free;
		lock_drop_solo(&tickets_lock);
	} while (!t && more_tickets());
	return t;
}

void weft__ticket_put(struct ticket *t)
{
	lock_take_solo(&tickets_lock, RANK_POOL);
	t->next_free = free_tickets;
	free_tickets = t;
	lock_drop_solo(&tickets_lock);
}

/* --- letters --- */

#define BATCH (LETTER_CACHE / 2)
#define SHARED_BATCHES SMALL(64, 2)

struct letter_cache weft__letters[RUNTIMES_MAX][WORKERS_MAX];

static struct lock shared_lock;               /* RANK_POOL; guards both */
static struct letter *shared[SHARED_BATCHES]; /* chains of BATCH letters */
static ATOMIC(unsigned) nshared;

static struct letter *letter_new(size_t len, uint8_t flags)
{
	struct letter *l = malloc(sizeof *l + (len < MSG_INLINE ? MSG_INLINE : len));

	if (!l)
		return NULL;
	l->link.next = NULL;
	l->msg.data = l->bytes;
	l->msg.len = (uint32_t)len;
	l->msg.weft__flags = flags;
	return l;
}

/* A batch out of the shared pool into the worker's cache, which is empty. */
static bool fetch(struct letter_cache *c)
{
	unsigned n;

	if (!load_relaxed(&nshared)) /* a hint */
		return false;
	lock_take_solo(&shared_lock, RANK_POOL);
	n = load_relaxed(&nshared); /* under lock */
	if (n) {
		c->first = shared[n - 1];
		c->n = BATCH;
		store_relaxed(&nshared, n - 1); /* under lock */
	}
	lock_drop_solo(&shared_lock);
	return c->n != 0;
}

NOINLINE struct letter *weft__letter_get_slow(struct worker *w, size_t len)
{
	if (len > MSG_INLINE || weft__san)
		return letter_new(len, 0);
	if (w && fetch(letters_of(w)))
		return letter_get(w, len);
	return letter_new(len, LETTER_POOLED);
}

NOINLINE void weft__letter_put_slow(struct worker *w, struct letter *l)
{
	struct letter_cache *c;
	struct letter *batch, *last;
	bool taken = false;
	unsigned n;

	if (!w || !(l->msg.weft__flags & LETTER_POOLED)) {
		free(l);
		return;
	}
	c = letters_of(w);
	batch = last = c->first;
	for (unsigned i = 1; i < BATCH; i++)
		last = (struct letter *)last->link.next;
	c->first = (struct letter *)last->link.next;
	c->n -= BATCH;
	last->link.next = NULL;
	lock_take_solo(&shared_lock, RANK_POOL);
	n = load_relaxed(&nshared); /* under lock */
	if (n < SHARED_BATCHES) {
		shared[n] = batch;
		store_relaxed(&nshared, n + 1); /* under lock */
		taken = true;
	}
	lock_drop_solo(&shared_lock);
	while (!taken && batch) {
		last = (struct letter *)batch->link.next;
		free(batch);
		batch = last;
	}
	letter_put(w, l);
}
