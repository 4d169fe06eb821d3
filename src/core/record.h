/* SPDX-License-Identifier: MIT
 *
 * record.h - the records of tasks: taken for one that shall be, given back after the last reference. The memory itself: recslab.h.
 *
 * Each worker has a cache of free ones, and a block of ids. A task that shall be is reserved first, that is, it has a record and a place under max_tasks; from then on it cannot fail for want of either.
 * Included where tasks start and end, so that both are one function there.
 */
#ifndef WEFT_CORE_RECORD_H
#define WEFT_CORE_RECORD_H

#include "base/asym.h"
#include "base/check.h"
#include "base/ref.h"
#include "core/runtime.h"
#include <stdlib.h>

/* --- record.c --- */
struct weft_task *weft__record_refill(struct worker *w); /* fills an empty cache by half, and takes one; w NULL: one */
void weft__record_spill(struct worker *w);               /* empties a full one by half */
bool weft__live_take_one(struct runtime *rt);
void weft__born_outside(struct runtime *rt, struct weft_task *t);

static inline struct weft_task *record_get(struct worker *w)
{
	if (likely(w && w->nrecords > 0))
		return w->records[--w->nrecords];
	return weft__record_refill(w);
}

static inline void record_put(struct worker *w, struct weft_task *t)
{
	if (unlikely(!w)) {
		void *one = t;

		weft__rec_put_batch(&one, 1);
		return;
	}
	if (unlikely(w->nrecords == RECORD_CACHE))
		weft__record_spill(w);
	w->records[w->nrecords++] = t;
}

static inline void live_drop(struct runtime *rt)
{
	if (unlikely(rt->max_tasks != SIZE_MAX))
		add_relaxed(&rt->live, (size_t)-1); /* as in weft__live_take */
}

/* A record for a task that shall be; nothing of it is written yet. */
static ALWAYS_INLINE int task_reserve(struct runtime *rt, struct worker *w, struct weft_task **out)
{
	struct weft_task *t;

	if (unlikely(rt->max_tasks != SIZE_MAX) && !weft__live_take_one(rt))
		return WEFT_EAGAIN;
	if (unlikely(injectq_len(&rt->stackless) != 0)) {
		live_drop(rt);
		return WEFT_ENOMEM;
	}
	t = record_get(w);
	if (unlikely(!t)) {
		live_drop(rt);
		return WEFT_ENOMEM;
	}
	*out = t;
	return 0;
}

/* A task in a reserved record, with one reference and an id. Where it was started is the caller's to say. */
static ALWAYS_INLINE void task_init(struct runtime *rt, struct worker *w, struct weft_task *t, unsigned flags)
{
	t->ctx.sp = NULL;
	store_relaxed(&t->cancel, load_relaxed(&rt->born)); /* the record is ours until it is queued; ctx_root.c */
	store_relaxed(&t->on_cpu, (uint8_t)0);
	store_relaxed(&t->reason, (uint8_t)REASON_NONE);
	store_relaxed(&t->deadline, WEFT_FOREVER);
	t->limit = WEFT_FOREVER;
	store_relaxed(&t->flags, (uint8_t)(rt->task_flags | flags));
	t->saved_errno = 0;
	t->waiters = NULL;
	t->wctx = NULL;
	t->stack = NULL;
	t->name = NULL;
	store_relaxed(&t->home, rt->home); /* before its state, for those who walk over all records */
	store_relaxed(&t->permit, (uint64_t)0);
	store_relaxed(&t->refs, 1u);
	if (likely(w)) {
		if (unlikely(w->id_next == w->id_end)) {
			w->id_next = weft__id_block(ID_BLOCK);
			w->id_end = w->id_next + ID_BLOCK;
		}
		t->id = w->id_next++;
		store_relaxed(&w->stat_started, load_relaxed(&w->stat_started) + 1); /* statistics */
	} else {
		t->id = weft__id_block(1);
		weft__born_outside(rt, t);
	}
	store_release(&t->state, (uint8_t)WEFT_TASK_NEW); /* pairs with load_acquire in those walks */
}

static ALWAYS_INLINE int task_new(struct runtime *rt, struct worker *w, struct weft_task **out, unsigned flags)
{
	int rc = task_reserve(rt, w, out);

	if (likely(rc == 0))
		task_init(rt, w, *out, flags);
	return rc;
}

static inline void record_free(struct worker *w, struct weft_task *t)
{
	if (unlikely(t->name != NULL)) {
		san_acquire(&t->refs);
		free(t->name);
	}
	if (unlikely(load_relaxed(&t->reason) == REASON_PANICKED)) /* ours alone; see joined in task_handle.c */
		weft__fatal("task %llu panicked, and its handle was given back without a look at the result", (unsigned long long)t->id);
	store_relaxed(&t->state, (uint8_t)TASK_FREE); /* for dumps */
	record_put(w, t);
}

static inline void record_unref(struct worker *w, struct weft_task *t)
{
	/* acquire: alone now, we see what the others did; release: they see what we did. A count of one needs no read-modify-write: nobody else has a reference to copy. */
	if (load_acquire(&t->refs) == 1 || ref_drop(&t->refs))
		record_free(w, t);
}

#endif
