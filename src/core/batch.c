/* SPDX-License-Identifier: MIT
 *
 * batch.c - starts many tasks at once, or none.
 *
 * First all that can fail, for all of them: places under the limit (in one step), records, names, stacks, room for inherited values.  Then nothing can: values, contexts, queues.
 * Of many records the memory is mapped first, in one piece: what cannot be had is refused untouched, for slabs of records are never unmapped (recslab.c).
 * They are chained by their queue link all the while, so no memory is needed besides their own.  The caller's ring is filled, and seen by others when it is: one store for all; the rest goes to the injection
 * queue, under one lock: through the ring it would go there by halves.
 */
#include "core/sched.h"

#include "core/local.h"
#include "core/recslab.h"

struct batch {
	struct inject_node *first, **end;
	uint32_t n; /* made */
};

static void undo(struct runtime *rt, struct worker *w, struct batch *b, uint32_t wanted)
{
	struct inject_node *next;

	for (struct inject_node *node = b->first; node; node = next) {
		struct weft_task *t = task_of_next(node);

		next = node->next;
		weft__locals_abandon(t, false);
		store_relaxed(&t->refs, 1u); /* not shared yet */
		weft__task_unmake(rt, w, t);
	}
	if (rt->max_tasks != SIZE_MAX)
		add_relaxed(&rt->live, 0 - (size_t)(wanted - b->n)); /* a counter; orders nothing */
}

/* All that can fail, for all of them. */
static int make(struct runtime *rt, struct worker *w, struct weft_task *cur, struct batch *b, uint32_t n, const weft_task_opts *o,
		bool handle)
{
	int rc = weft__task_make_many(rt, w, n, &b->end, &b->n, o, handle);

	if (!cur || !cur->own.locals)
		return rc;
	for (struct inject_node *node = b->first; node && !rc; node = node->next)
		rc = weft__locals_room(cur, task_of_next(node));
	return rc;
}

/* The n tasks of a chain are runnable. */
static void queue(struct runtime *rt, struct worker *w, struct batch *b, const weft_task_opts *o)
{
	struct inject_node *first = b->first, *last = container_of(b->end, struct inject_node, next);
	uint32_t n = b->n;

	if (o->worker) {
		injectq_push_chain(&rt->workers[o->worker - 1].inbox, first, last, n);
		weft__sched_notify(rt, (unsigned)o->worker - 1);
	} else if (o->prio) {
		if (w && o->where == WEFT_WHERE_LOCAL)
			weft__prio_put_chain(w, prio_queue(o->prio), first, last, n);
		else
			weft__prio_inject(rt, prio_queue(o->prio), first, last, n);
	} else {
		uint32_t room = w && o->where == WEFT_WHERE_LOCAL ? wsq_room(&w->runq) : 0, ringed = 0;

		for (; ringed < room && ringed < n; ringed++, first = first->next)
			wsq_put(&w->runq, ringed, task_of_next(first));
		if (ringed)
			wsq_publish(&w->runq, ringed);
		if (n > ringed)
			injectq_push_chain(&rt->inject, first, last, n - ringed);
	}
	fence_seq_cst();                                 /* as in weft__sched_inject */
	weft__sched_wake_many(rt, o->worker ? 1 : b->n); /* if that worker is stuck others look there */
}

static int go_batch(struct runtime *rt, struct worker *w, weft_task_fn *fn, void *const *args, uint32_t n, weft_task **out,
		    const weft_task_opts *o, const struct weft_site *site)
{
	struct weft_task *cur = w ? load_relaxed(&w->cur) : weft__foreign_look(); /* own */
	weft_ctx *c = o->ctx ? o->ctx : cur ? cur->wctx : NULL;
	struct batch b = {.end = &b.first};
	bool locals = cur && cur->own.locals;
	int rc = weft__task_check_opts(rt, o);

	if (rc)
		return rc;
	if (rt->max_tasks != SIZE_MAX && !weft__live_take(rt, n))
		return WEFT_EAGAIN;
	if (n > RECORD_CACHE)
		rc = weft__rec_room(n) ? WEFT_ENOMEM : 0;
	if (!rc)
		rc = make(rt, w, cur, &b, n, o, out != NULL);
	if (rc) {
		undo(rt, w, &b, n);
		if (b.n > (o->stack ? 1 : RECORD_CACHE))
			weft_trim(); /* stacks are unmapped, records lose their pages: memory is short */
		return rc;
	}
	for (struct inject_node *node = b.first; node; node = node->next) {
		struct weft_task *t = task_of_next(node);

		t->fn = (void (*)(void))fn;
		t->site = site;
		t->args.i[0] = (uintptr_t)(args ? *args++ : NULL);
		if (out)
			*out++ = t;
		if (locals)
			weft__locals_fill(cur, t);
		if (c)
			weft__ctx_task_start(t, c);
		san_release(t);
	}
	queue(rt, w, &b, o);
	return 0;
}

int weft__go_batch_at(weft_task_fn *fn, void *const *args, size_t n, weft_task **out, const weft_task_opts *o, const struct weft_site *site)
{
	struct worker *w = weft__worker();
	struct runtime *rt;
	int rc;

	for (size_t i = 0; out && i < n; i++)
		out[i] = NULL;
	if (!fn || n > INT32_MAX || (o && o->now))
		return WEFT_EINVAL;
	rt = w ? w->rt : weft__rt_enter_start();
	if (!rt)
		return WEFT_ESRCH;
	rc = n ? go_batch(rt, w, fn, args, (uint32_t)n, out, o ? o : &weft__no_task_opts, site) : 0;
	if (!w)
		weft__rt_leave(rt);
	return rc;
}

int(weft_go_batch)(weft_task_fn *fn, void *const *args, size_t n, weft_task **out, const weft_task_opts *o)
{
	return weft__go_batch_at(fn, args, n, out, o, NULL);
}
