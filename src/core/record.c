/* SPDX-License-Identifier: MIT
 *
 * record.c - the records of tasks: what is seldom done with them, and what others do. See record.h.
 */
#include "core/record.h"

#include "core/life.h"
#include "core/recslab.h"
#include <stddef.h>
#include <string.h>

static ATOMIC(uint64_t) next_id = 1; /* ids are given out in blocks; never reused in a process */

int weft__records_init(void)
{
	return weft__rec_init(offsetof(struct weft_task, wait), offsetof(struct weft_task, next));
}

NOINLINE struct weft_task *weft__record_refill(struct worker *w)
{
	int n;

	if (!w) {
		void *one;

		return weft__rec_get_batch(&one, 1) == 1 ? one : NULL;
	}
	n = weft__rec_get_batch((void **)w->records, RECORD_CACHE / 2);
	if (n <= 0)
		return NULL;
	w->nrecords = (unsigned)n - 1;
	return w->records[w->nrecords];
}

NOINLINE void weft__record_spill(struct worker *w)
{
	/* the older half: what was freed last is warm */
	weft__rec_put_batch((void **)w->records, RECORD_CACHE / 2);
	w->nrecords -= RECORD_CACHE / 2;
	memmove(w->records, w->records + RECORD_CACHE / 2, w->nrecords * sizeof w->records[0]);
}

void weft__records_drain(struct worker *w)
{
	weft__rec_put_batch((void **)w->records, (int)w->nrecords);
	w->nrecords = 0;
}

uint64_t weft__id_block(unsigned n)
{
	return add_relaxed(&next_id, n); /* a number; orders nothing */
}

bool weft__live_take(struct runtime *rt, size_t count)
{
	size_t n = load_relaxed(&rt->live); /* a counter; orders nothing */

	do {
		if (n >= rt->max_tasks || count > rt->max_tasks - n)
			return false;
	} while (!cas_relaxed(&rt->live, &n, n + count));
	return true;
}

NOINLINE bool weft__live_take_one(struct runtime *rt)
{
	return weft__live_take(rt, 1);
}

/* The same for a thread that is no worker, once the task can be seen: a walk over all tasks that it has escaped has set rt->born before. */
NOINLINE void weft__born_outside(struct runtime *rt, struct weft_task *t)
{
	add_relaxed(&rt->stat_started, 1u);               /* statistics */
	store_release(&t->state, (uint8_t)WEFT_TASK_NEW); /* as in task_init */
	asym_light();                                     /* pairs with asym_heavy in weft__ctx_root_cancel */
	if (unlikely(load_relaxed(&rt->born)))
		store_relaxed(&t->cancel, load_relaxed(&rt->born)); /* as in task_init */
}

int weft__task_reserve(struct runtime *rt, struct worker *w, struct weft_task **out)
{
	return task_reserve(rt, w, out);
}

void weft__task_unreserve(struct runtime *rt, struct worker *w, struct weft_task *t)
{
	live_drop(rt);
	record_put(w, t);
}

void weft__task_init(struct runtime *rt, struct worker *w, struct weft_task *t)
{
	task_init(rt, w, t, 0);
	t->site = NULL;
}

void weft__task_unref(struct worker *w, struct weft_task *t)
{
	record_unref(w, t);
}

/* Gives it back unstarted. */
void weft__task_unmake(struct runtime *rt, struct worker *w, struct weft_task *t)
{
	if (t->stack)
		weft__stack_put(t->stack);
	live_drop(rt);
	record_free(w, t);
	if (w) {
		store_relaxed(&w->stat_started, load_relaxed(&w->stat_started) - 1); /* statistics */
	} else {
		add_relaxed(&rt->stat_started, (uint64_t)-1); /* the same */
		weft__life_unstarted(rt);
	}
}
