/* SPDX-License-Identifier: MIT
 *
 * stack_decay.c - gives the memory of stacks back that nobody needs: the decaying watermark.
 *
 * A free stack that was not needed for an interval goes from hot to idle, without its pages but for the top ones; after another one from idle to cold, and its pages go when its
 * slab is swept. A slab that is all cold is unmapped. What was not needed is a list's low-water mark (stack.c).
 *
 * Stacks whose pages are being dropped are in no list (limbo), so the lock is not held over a system call.
 */
#include "core/stackpool.h"

#include "base/clock.h"
#include <sys/mman.h>

#define SLICE_NS (10 * MS) /* a decay's work per call */

static struct stack_pool *const pool = &weft__stack_pool;

static struct list_node *pop_tail(struct list *l)
{
	struct list_node *n = list_empty(l) ? NULL : l->head.prev;

	if (n)
		list_remove(n);
	return n;
}

/* Lock held: the tail of a list is what nobody needed for longest. */
static struct stack *move_one(struct list *l, size_t *n, size_t *low)
{
	struct list_node *node = pop_tail(l);

	if (!node)
		return NULL;
	if (--*n < *low)
		*low = *n;
	return container_of(node, struct stack, link);
}

/* Up to BATCH stacks of a list to their slabs, cold and dirty. Returns how many. */
static unsigned make_cold(struct list *l, size_t *len, size_t *low, size_t *todo)
{
	unsigned n = 0;
	struct stack *s;

	lock_take(&pool->lock, RANK_POOL);
	while (*todo && n < BATCH) {
		s = move_one(l, len, low);
		if (!s) {
			*todo = 0;
			break;
		}
		--*todo;
		s->slab->cold |= (uint64_t)1 << s->index;
		s->slab->dirty |= (uint64_t)1 << s->index;
		weft__slab_settle(s->slab);
		n++;
	}
	pool->stats.pooled -= n;
	lock_drop(&pool->lock);
	return n;
}

/* Up to BATCH stacks from hot to idle, without the pages below their top. Returns how many. */
static unsigned make_idle(struct class *k)
{
	struct stack *s[BATCH];
	bool drop[BATCH];
	unsigned n = 0;

	lock_take(&pool->lock, RANK_POOL);
	while (k->hot_move && n < BATCH) {
		s[n] = move_one(&k->hot, &k->nhot, &k->hot_low);
		if (!s[n]) {
			k->hot_move = 0;
			break;
		}
		k->hot_move--;
		drop[n] = s[n]->slab->out != 0; /* else the slab is likely to go as a whole */
		n++;
	}
	lock_drop(&pool->lock);
	for (unsigned i = 0; i < n; i++) {
		size_t deep = (size_t)(s[i]->hi - s[i]->lo) - STACK_TRIM_KEEP;

		if (drop[i])
			madvise(s[i]->lo, deep & ~(page_size() - 1), MADV_DONTNEED); /* locked memory refuses, and keeps its pages */
	}
	lock_take(&pool->lock, RANK_POOL);
	for (unsigned i = 0; i < n; i++) {
		list_push_head(&k->idle, &s[i]->link);
		if (k->idle_low == k->nidle)
			k->idle_low++; /* idle from the start of this interval on, not of the next one */
		k->nidle++;
	}
	lock_drop(&pool->lock);
	return n;
}

/* Drops the pages of a slab's dirty slots, in runs: guards in between stay. Lock not held, slots in limbo. */
static void drop_pages(struct stack_slab *b, uint64_t slots)
{
	while (slots) {
		unsigned first = (unsigned)__builtin_ctzll(slots), last = first;

		while (last + 1 < b->slots && (slots >> (last + 1) & 1))
			last++;
		madvise(b->stack[first].lo, (size_t)(b->stack[last].hi - b->stack[first].lo), MADV_DONTNEED);
		slots &= last == 63 ? 0 : ~(uint64_t)0 << (last + 1);
	}
}

/* Looks at one slab of the sweep list. False if there is none. */
static bool sweep_one(void)
{
	struct list_node *node;
	struct stack_slab *b;
	uint64_t dirty;

	lock_take(&pool->lock, RANK_POOL);
	node = list_pop_head(&pool->sweep_list);
	if (!node) {
		lock_drop(&pool->lock);
		return false;
	}
	b = container_of(node, struct stack_slab, sweep);
	if (b->cold == all_slots(b)) {
		list_remove(&b->link);
		b->cold = 0;
		weft__slab_hide(b);
		lock_drop(&pool->lock);
		weft__slab_unmap(b);
		return true;
	}
	dirty = b->dirty;
	b->cold &= ~dirty;
	b->dirty = 0;
	weft__slab_settle(b);
	lock_drop(&pool->lock);
	drop_pages(b, dirty);
	lock_take(&pool->lock, RANK_POOL);
	b->cold |= dirty;
	weft__slab_settle(b);
	lock_drop(&pool->lock);
	return true;
}

/* Lock held. Is this interval's work done? */
static bool settled(void)
{
	if (!list_empty(&pool->sweep_list))
		return false;
	for (unsigned i = 0; i < load_relaxed(&pool->nclasses); i++) {
		if (pool->classes[i].hot_move || pool->classes[i].idle_move)
			return false;
	}
	return true;
}

/* Lock held: what the interval that ends here did not need is to be moved. */
static void next_interval(void)
{
	for (unsigned i = 0; i < load_relaxed(&pool->nclasses); i++) {
		struct class *k = &pool->classes[i];

		k->hot_move = k->hot_low;
		k->idle_move = k->idle_low;
		k->hot_low = k->nhot;
		k->idle_low = k->nidle;
	}
}

enum stack_decay weft__stack_decay(void)
{
	int64_t until = clock_now() + SLICE_NS;
	enum stack_decay rc;

	lock_take(&pool->lock, RANK_POOL);
	if (settled())
		next_interval();
	lock_drop(&pool->lock);
	for (unsigned i = 0; i < load_relaxed(&pool->nclasses); i++) {
		struct class *k = &pool->classes[i];

		while (clock_now() < until && make_cold(&k->idle, &k->nidle, &k->idle_low, &k->idle_move))
			;
		while (clock_now() < until && make_idle(k))
			;
	}
	while (clock_now() < until && sweep_one())
		;
	lock_take(&pool->lock, RANK_POOL);
	rc = !settled() ? STACK_DECAY_NOW : pool->stats.pooled ? STACK_DECAY_LATER : STACK_DECAY_DONE;
	lock_drop(&pool->lock);
	return rc;
}

void weft__stack_trim(void)
{
	for (unsigned i = 0; i < load_relaxed(&pool->nclasses); i++) {
		struct class *k = &pool->classes[i];

		lock_take(&pool->lock, RANK_POOL);
		k->hot_move = k->nhot;
		k->idle_move = k->nidle;
		lock_drop(&pool->lock);
		while (make_cold(&k->idle, &k->nidle, &k->idle_low, &k->idle_move))
			;
		while (make_cold(&k->hot, &k->nhot, &k->hot_low, &k->hot_move))
			;
	}
	while (sweep_one())
		;
}

void weft__stack_trim_below(struct stack *s, const void *frame)
{
	uintptr_t to = ((uintptr_t)frame - page_size()) & ~(page_size() - 1); /* what we call ourselves stands in between */

	if (to > (uintptr_t)s->lo)
		madvise(s->lo, to - (uintptr_t)s->lo, MADV_DONTNEED); /* locked memory refuses, and keeps its pages */
}
