/* SPDX-License-Identifier: MIT
 *
 * local.c - task-local storage: keys, and a table of values in each task that has any.
 *
 *   key    63 .. 16: generation, odd     15 .. 0: its slot          a slot given back and taken again is another key
 *   slot   gen even: free     odd: in use     dtor and inherit: written while it is even
 *   table  one entry a slot, with the whole key: what was stored under an older one is not found
 *
 * The table is the task's: nobody else looks at it, so get is three compares and no lock. What a new task inherits is a table made by its starter, which waits in
 * its record until it begins.
 *
 * Rejected: one table of what is inherited, shared by all heirs: starting a task would be cheaper, but a copy of its own is what some values are.
 */
#include "core/local.h"

#include "base/check.h"
#include "core/runtime.h"
#include "weft/local.h"
#include <stdlib.h>
#include <string.h>

#define SLOT_BITS 16
#define ROUNDS 4 /* of destructors that set values */

struct key {
	ATOMIC(uint32_t) gen;
	ATOMIC(local_dtor *) dtor;
	ATOMIC(local_inherit *) inherit;
};

static struct key keys[LOCAL_KEYS];
static struct lock keys_lock; /* RANK_POOL; who makes a key, or gives one back */

struct value {
	weft_local key;
	void *p; /* NULL: none */
};

struct locals {
	uint32_t n;     /* entries */
	uint32_t round; /* of its destruction */
	bool heritable; /* some key has inherit */
	struct value value[];
};

static inline uint32_t slot_of(weft_local key)
{
	return (uint32_t)(key & ((1u << SLOT_BITS) - 1));
}

/* Is it the key of that slot now? */
static inline bool is_key(weft_local key, uint32_t slot)
{
	return load_acquire(&keys[slot].gen) == (uint32_t)(key >> SLOT_BITS); /* pairs with store_release in make */
}

/* What is said of the key, if it is one all the while. */
static local_dtor *dtor_of(weft_local key)
{
	uint32_t slot = slot_of(key);
	local_dtor *dtor = load_acquire(&keys[slot].dtor); /* pairs with store_release in make: then gen has changed, too */

	return is_key(key, slot) ? dtor : NULL;
}

static local_inherit *inherit_of(weft_local key)
{
	uint32_t slot = slot_of(key);
	local_inherit *inherit = load_acquire(&keys[slot].inherit); /* as above */

	return is_key(key, slot) ? inherit : NULL;
}

/* --- keys --- */

int weft_local_make(weft_local *key, local_dtor *dtor, local_inherit *inherit)
{
	if (!key || (dtor && inherit == weft__local_same))
		return WEFT_EINVAL;
	lock_take(&keys_lock, RANK_POOL);
	for (uint32_t i = 0; i < LOCAL_KEYS; i++) {
		uint32_t gen = load_relaxed(&keys[i].gen); /* under lock */

		if (gen & 1)
			continue;
		store_release(&keys[i].dtor, dtor); /* pairs with load_acquire in dtor_of */
		store_release(&keys[i].inherit, inherit);
		store_release(&keys[i].gen, gen + 1); /* pairs with load_acquire in is_key */
		lock_drop(&keys_lock);
		*key = (weft_local)(gen + 1) << SLOT_BITS | i;
		return 0;
	}
	lock_drop(&keys_lock);
	return WEFT_EAGAIN;
}

int weft_local_free(weft_local key)
{
	uint32_t slot = slot_of(key);
	bool was;

	if (slot >= LOCAL_KEYS || !key)
		return WEFT_EINVAL;
	lock_take(&keys_lock, RANK_POOL);
	was = is_key(key, slot);
	if (was)
		store_release(&keys[slot].gen, (uint32_t)(key >> SLOT_BITS) + 1); /* before what make writes next */
	lock_drop(&keys_lock);
	return was ? 0 : WEFT_EINVAL;
}

void *weft__local_same(void *value)
{
	return value;
}

/* --- values --- */

void *weft_local_get(weft_local key)
{
	struct worker *w = weft__worker_look();                                         /* nothing that may be elided is touched */
	struct weft_task *t = likely(w) ? load_relaxed(&w->cur) : weft__foreign_look(); /* own */
	struct locals *l = t ? t->own.locals : NULL;
	uint32_t slot = slot_of(key);

	if (!l || slot >= l->n || l->value[slot].key != key || !is_key(key, slot))
		return NULL;
	return l->value[slot].p;
}

/* Room for that slot in t's table. */
static bool grow(struct weft_task *t, uint32_t slot)
{
	uint32_t had = t->own.locals ? t->own.locals->n : 0, n = 4;
	struct locals *l;

	while (n <= slot)
		n *= 2;
	l = realloc(t->own.locals, sizeof *l + n * sizeof l->value[0]);
	if (!l)
		return false;
	if (!had)
		memset(l, 0, sizeof *l);
	memset(&l->value[had], 0, (n - had) * sizeof l->value[0]);
	l->n = n;
	t->own.locals = l;
	return true;
}

int weft_local_set(weft_local key, void *value)
{
	struct worker *w = weft__worker();
	struct weft_task *t;
	uint32_t slot = slot_of(key);
	struct locals *l;

	if (slot >= LOCAL_KEYS || !key || !is_key(key, slot))
		return WEFT_EINVAL;
	t = likely(w) ? load_relaxed(&w->cur) : weft__foreign(); /* own */
	if (!t)
		return w ? WEFT_EINVAL : WEFT_ENOMEM;
	if (unlikely(!t->own.locals || slot >= t->own.locals->n)) {
		if (!value)
			return 0;
		if (!grow(t, slot))
			return WEFT_ENOMEM;
	}
	l = t->own.locals;
	l->value[slot].key = key;
	l->value[slot].p = value;
	l->heritable |= inherit_of(key) != NULL;
	return 0;
}

/* --- birth and death --- */

int weft__locals_room(struct weft_task *from, struct weft_task *t)
{
	struct locals *l = from->own.locals, *mine;

	if (!l || !l->heritable)
		return 0;
	mine = calloc(1, sizeof *mine + l->n * sizeof mine->value[0]);
	if (!mine)
		return WEFT_ENOMEM;
	mine->n = l->n;
	mine->heritable = true;
	t->inherited = mine;
	return 0;
}

void weft__locals_fill(struct weft_task *from, struct weft_task *t)
{
	struct locals *l = from->own.locals, *mine = t->inherited;
	struct worker *w = weft__worker();
	uint32_t tick = w ? load_relaxed(&w->tick) : 0; /* own */

	if (!mine)
		return;
	for (uint32_t i = 0; i < mine->n && i < l->n; i++) {
		struct value v = l->value[i];
		local_inherit *inherit = v.p ? inherit_of(v.key) : NULL;

		if (!inherit)
			continue;
		mine->value[i].key = v.key;
		mine->value[i].p = inherit(v.p);
		l = from->own.locals; /* it may have set a value */
	}
	if (w && load_relaxed(&w->tick) != tick) /* the caller holds a worker's record in hand */
		weft__fatal("an inherit function of task-local storage has blocked, while task %llu started another",
			    (unsigned long long)from->id);
}

NOINLINE int weft__locals_inherit(struct weft_task *from, struct weft_task *t)
{
	int rc = weft__locals_room(from, t);

	if (!rc)
		weft__locals_fill(from, t);
	return rc;
}

/* One round. Returns whether anything was destroyed. *l may have been moved by what destructors have set. */
static bool destroy(struct locals **l)
{
	bool any = false;

	for (uint32_t i = 0; i < (*l)->n; i++) {
		struct value v = (*l)->value[i];
		local_dtor *dtor = v.p ? dtor_of(v.key) : NULL;

		(*l)->value[i].p = NULL;
		if (!dtor)
			continue;
		dtor(v.p);
		any = true;
	}
	return any;
}

NOINLINE void weft__locals_end(struct weft_task *t)
{
	while (t->own.locals->round++ < ROUNDS && destroy(&t->own.locals)) /* a destructor that exits starts over from here */
		;
	free(t->own.locals);
	t->own.locals = NULL;
}

void weft__locals_abandon(struct weft_task *t, bool begun)
{
	free(begun ? t->own.locals : t->inherited);
}
