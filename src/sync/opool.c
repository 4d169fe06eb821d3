/* SPDX-License-Identifier: MIT
 *
 * opool.c - object pools: a stack of idle objects under a lock.
 *
 * Its room is there from the start, so put needs no memory. make and destroy are called with nothing locked.
 */
#include "weft/opool.h"

#include "base/ref.h"
#include "core/runtime.h"
#include <stdlib.h>

#define IDLE_DEFAULT 64
#define IDLE_MAX ((size_t)1 << 31)

struct weft_opool {
	struct lock lock; /* RANK_SOURCE; guards n and idle */
	ATOMIC(uint32_t) refs;
	weft_opool_opts o; /* constant */
	size_t n;          /* idle */
	void *idle[];      /* o.max_idle places; the first n are taken */
};

int weft_opool_make(weft_opool **out, const weft_opool_opts *o)
{
	weft_opool *p;
	size_t max;

	if (out)
		*out = NULL;
	if (!out || !o || !o->make || o->max_idle > IDLE_MAX)
		return WEFT_EINVAL;
	max = o->max_idle ? o->max_idle : IDLE_DEFAULT;
	p = malloc(sizeof *p + max * sizeof p->idle[0]);
	if (!p)
		return WEFT_ENOMEM;
	*p = (weft_opool){.o = *o};
	p->o.max_idle = max;
	store_relaxed(&p->refs, 1u); /* not shared yet */
	*out = p;
	return 0;
}

weft_opool *weft_opool_ref(weft_opool *p)
{
	add_relaxed(&p->refs, 1u); /* the caller's own reference keeps it */
	return p;
}

void weft_opool_free(weft_opool *p)
{
	if (!p || !ref_drop(&p->refs))
		return;
	weft_opool_trim(p, 0);
	free(p);
}

/* Takes the one put last, if more than `keep` are idle; else NULL. */
static void *pop(weft_opool *p, size_t keep)
{
	void *object = NULL;

	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&p->lock, RANK_SOURCE);
	if (p->n > keep)
		object = p->idle[--p->n];
	lock_drop_solo(&p->lock);
	return object;
}

void *weft_opool_get(weft_opool *p)
{
	void *object = p ? pop(p, 0) : NULL;

	return object || !p ? object : p->o.make(p->o.arg);
}

void weft_opool_put(weft_opool *p, void *object)
{
	bool kept;

	if (!p || !object)
		return;
	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&p->lock, RANK_SOURCE);
	kept = p->n < p->o.max_idle;
	if (kept)
		p->idle[p->n++] = object;
	lock_drop_solo(&p->lock);
	if (!kept && p->o.destroy)
		p->o.destroy(object, p->o.arg);
}

size_t weft_opool_idle(weft_opool *p)
{
	size_t n;

	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&p->lock, RANK_SOURCE);
	n = p->n;
	lock_drop_solo(&p->lock);
	return n;
}

void weft_opool_trim(weft_opool *p, size_t keep)
{
	void *object;

	while ((object = pop(p, keep)) != NULL) {
		if (p->o.destroy)
			p->o.destroy(object, p->o.arg);
	}
}
