/* SPDX-License-Identifier: MIT
 *
 * gen.c - generators: a task that hands its values to whoever asks.
 *
 *   takers   those who have asked, in the order they came
 *   giver    the generator, while it stands in its yield (or before it has begun) and nobody asks
 *   value    in the frame of that yield: there was no taker left when it came; the next one takes it, and the generator stays where it is
 *
 * Law: takers and giver are never both waiting when the lock is free. Who asks claims the giver, and is listed in the same step; who yields claims the first taker
 * and copies into its room. Each leaves its worker to the other, so a value costs a switch there and one back.
 *
 * Freeing is cancelling the task, and joining it.
 */
#include "base/check.h"
#include "core/lot.h"
#include "core/sched.h"
#include "core/source.h"
#include "weft/defer.h"
#include "weft/gen.h"
#include <stdlib.h>
#include <string.h>

#define ELEM_MAX 65535
#define OVER 1 /* waiter status: there will be no value, see end */

struct weft_gen {
	struct lock lock; /* RANK_SOURCE; guards the lists, value, has, freeing and end */
	int end;          /* 0: it goes on; else what next returns */
	bool has;         /* value is to be taken */
	bool freeing;     /* nobody will ask any more */
	const void *value;
	struct list takers, giver;
	int result; /* of fn; the generator's own */
	size_t elem;
	weft_task_fn *fn;
	void *arg;
	weft_task *task;   /* a handle */
	ATOMIC(bool) told; /* somebody knows that it has panicked; relaxed: looked at when all is over */
};

static struct weft_task *claim_first(struct list *waiters, int status, struct waiter **claimed)
{
	struct list_node *n;

	while ((n = list_pop_head(waiters)) != NULL) {
		struct waiter *w = container_of(n, struct waiter, link);

		if (waiter_claim(w, status, false)) {
			*claimed = w;
			return w->task;
		}
	}
	return NULL;
}

static void copy(weft_gen *g, void *to, const void *from)
{
	if (to && g->elem)
		memcpy(to, from, g->elem);
}

/* Locked: lists the caller, unlocks, wakes `other`, parks. In line, like the park: the less there is to return from after a switch, the better (arch/context.h). */
static ALWAYS_INLINE int hand_over(weft_gen *g, struct self me, struct list *to, void *slot, enum task_reason reason,
				   struct weft_task *other, int64_t deadline)
{
	struct waiter w;
	uint64_t word = wait_begin(me.task, &w, 1, reason, deadline);
	int rc;

	waiter_init(&w, me.task, word, &g->lock, RANK_SOURCE, g, slot);
	list_push_tail(to, &w.link);
	lock_drop_solo(&g->lock);
	rc = other ? wait_park_to(me.worker, me.task, other, &w, word, deadline) : wait_park(me.worker, me.task, &w, 1, word, deadline);
	return rc ? rc : w.status;
}

/* --- the generator's side --- */

/* Locked: waits until somebody asks. Nobody does now. */
static ALWAYS_INLINE int until_asked(weft_gen *g, struct self me, struct weft_task *taker, int64_t deadline)
{
	return hand_over(g, me, &g->giver, NULL, REASON_YIELD, taker, deadline);
}

/* However it ended: by return, by weft_task_exit, or by a panic. */
static void ended(void *arg)
{
	weft_gen *g = arg;
	struct worker *w = weft__worker(); /* before anything elided: see base/solo.h */
	struct inject_node *ready;

	lock_take_solo(&g->lock, RANK_SOURCE);
	g->end = weft_task_self()->own.unwinding ? WEFT_EPANIC : g->result < 0 ? g->result : WEFT_ECLOSED;
	ready = weft__source_claim_all(&g->takers, OVER);
	lock_drop_solo(&g->lock);
	weft__ready_list(w, ready);
}

static int gen_main(void *arg)
{
	int64_t deadline = WEFT_FOREVER;
	weft_gen *g = arg;
	weft_defer d;
	struct self me;
	int rc;

	weft__defer_push(&d, ended, g);
	rc = self_enter(&me, &deadline);
	if (!rc) {
		me.task->own_gen = g;
		lock_take_solo(&g->lock, RANK_SOURCE);
		if (list_first(&g->takers))
			lock_drop_solo(&g->lock);
		else
			rc = until_asked(g, me, NULL, deadline);
	}
	if (!rc)
		rc = g->fn(g->arg);
	g->result = rc;
	weft__defer_end(&d);
	return rc;
}

int weft_gen_yield(const void *value)
{
	int64_t deadline = WEFT_FOREVER;
	struct weft_task *t = weft_task_self(), *taker;
	struct waiter *w;
	struct self me;
	weft_gen *g;
	int rc;

	if (!t || t->fn != (void (*)(void))gen_main)
		return WEFT_EINVAL;
	g = t->own_gen;
	rc = self_enter(&me, &deadline);
	if (rc)
		return rc;
	lock_take_solo(&g->lock, RANK_SOURCE);
	if (unlikely(g->freeing)) { /* a shield does not hold back this */
		lock_drop_solo(&g->lock);
		return WEFT_ECANCELED;
	}
	taker = claim_first(&g->takers, 0, &w);
	if (taker) {
		copy(g, w->slot, value);
		if (list_first(&g->takers)) {
			lock_drop_solo(&g->lock);
			weft__ready(me.worker, taker);
			return 0;
		}
	} else {
		g->value = value;
		g->has = true;
	}
	rc = until_asked(g, me, taker, deadline);
	if (rc) {
		(void)weft__worker(); /* the caller may be elsewhere: as above */
		lock_take_solo(&g->lock, RANK_SOURCE);
		g->has = false; /* value is in the frame that the caller leaves now */
		lock_drop_solo(&g->lock);
	}
	return rc;
}

/* --- the takers' --- */

/* It does not change any more once it is not 0. */
static int end_of(weft_gen *g)
{
	if (unlikely(g->end == WEFT_EPANIC))
		store_relaxed(&g->told, true);
	return g->end;
}

static ALWAYS_INLINE int next(weft_gen *g, void *out, int64_t deadline)
{
	struct weft_task *giver;
	struct waiter *w;
	struct self me;
	int rc;

	if (!g)
		return WEFT_EINVAL;
	rc = self_enter(&me, &deadline);
	if (rc)
		return rc;
	if (me.task == g->task)
		return WEFT_EDEADLK;
	lock_take_solo(&g->lock, RANK_SOURCE);
	rc = end_of(g);
	if (!rc && unlikely(weft_task_stateof(g->task) == WEFT_TASK_DONE)) {
		rc = WEFT_ECLOSED; /* the runtime has gone down, and left it unfinished */
		g->has = false;    /* with its stack the value is gone */
	}
	if (g->has || rc) {
		if (g->has) {
			copy(g, out, g->value);
			g->has = false;
			rc = 0;
		}
		lock_drop_solo(&g->lock);
		return rc;
	}
	giver = claim_first(&g->giver, 0, &w);
	if (deadline != WEFT_NOW) {
		rc = hand_over(g, me, &g->takers, out, REASON_GENERATOR, giver, deadline);
		return rc == OVER ? end_of(g) : rc; /* acquired with the claim */
	}
	lock_drop_solo(&g->lock);
	if (giver)
		weft__ready(me.worker, giver);
	return WEFT_EAGAIN;
}

int weft_gen_next_until(weft_gen *g, void *out, int64_t deadline)
{
	return next(g, out, deadline);
}

int weft_gen_next(weft_gen *g, void *out)
{
	return next(g, out, WEFT_FOREVER);
}

bool weft__gen_step(weft_gen *g, void *out, size_t size)
{
	if (unlikely(g && g->elem != size))
		weft__fatal("WEFT_GEN_FOREACH: the variable has %zu bytes, and the values of generator %p have %zu", size, (void *)g,
			    g->elem);
	return weft_gen_next(g, out) == 0;
}

/* --- making and freeing --- */

int weft__gen_make_at(weft_gen **out, size_t elem, weft_task_fn *fn, void *arg, const struct weft_site *site)
{
	weft_gen *g;
	int rc;

	if (!out)
		return WEFT_EINVAL;
	*out = NULL;
	if (!fn || elem > ELEM_MAX)
		return WEFT_EINVAL;
	g = calloc(1, sizeof *g);
	if (!g)
		return WEFT_ENOMEM;
	list_init(&g->takers);
	list_init(&g->giver);
	g->elem = elem;
	g->fn = fn;
	g->arg = arg;
	rc = weft__go_opts_at(&g->task, gen_main, g, NULL, site);
	if (rc) {
		free(g);
		return rc;
	}
	*out = g;
	return 0;
}

int(weft_gen_make)(weft_gen **out, size_t elem, weft_task_fn *fn, void *arg)
{
	return weft__gen_make_at(out, elem, fn, arg, NULL);
}

static bool runs(void *arg)
{
	weft_gen *g = arg;

	return weft_task_stateof(g->task) != WEFT_TASK_DONE;
}

void weft_gen_free(weft_gen *g)
{
	if (!g)
		return;
	if (g->task == weft_task_self())
		weft__fatal("weft_gen_free: generator %p was freed from inside", (void *)g);
	lock_take_solo(&g->lock, RANK_SOURCE);
	weft__source_check_unused(&g->takers, g, "weft_gen_free");
	lock_drop_solo(&g->lock);
	if (runs(g)) {
		struct worker *wk = weft__worker(); /* as above */
		struct weft_task *giver;
		struct waiter *w;

		lock_take_solo(&g->lock, RANK_SOURCE);
		g->freeing = true;
		giver = claim_first(&g->giver, WEFT_ECANCELED, &w);
		lock_drop_solo(&g->lock);
		if (giver)
			weft__ready(wk, giver);
		(void)weft_task_cancel(g->task);
		if (weft__lot_wait_shielded(&g->task->result, runs, g, REASON_JOIN) == WEFT_ENOMEM)
			return; /* a thread that cannot wait: the generator, which still runs, stays */
	}
	if (load_relaxed(&g->told))
		store_relaxed(&g->task->reason, (uint8_t)REASON_NONE); /* else giving back the handle of one that has panicked is the end */
	weft_task_detach(g->task);
	free(g);
}
