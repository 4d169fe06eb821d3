/* SPDX-License-Identifier: MIT
 *
 * gate.c - stands in line, deals, closes. See gate.h.
 */
#include "flow/gate.h"

#include "core/source.h"

static struct gate_ask *ask_of(struct waiter *w)
{
	return w->slot;
}

static void take_off(struct gate *g, struct waiter *w)
{
	list_remove(&w->link);
	ask_of(w)->off = true; /* its frame stays until it has had the lock */
	g->waiting--;
}

void weft__gate_deal(struct gate *g, struct ready_list *r)
{
	struct list_node *n;

	while ((n = list_first(&g->waiters)) != NULL) {
		struct waiter *w = container_of(n, struct waiter, link);
		struct gate_ask *a = ask_of(w);
		int64_t got = a->most < g->free ? a->most : g->free;

		if (g->free < a->least)
			break;
		take_off(g, w);
		a->got = got;
		if (!waiter_claim(w, 0, false))
			continue; /* its deadline passed, or it was cancelled */
		g->free -= got;
		ready_list_add(r, w->task);
	}
}

void weft__gate_close(struct gate *g, int status, struct ready_list *r)
{
	struct list_node *n;

	while ((n = list_first(&g->waiters)) != NULL) {
		struct waiter *w = container_of(n, struct waiter, link);

		take_off(g, w);
		if (waiter_claim(w, status, false))
			ready_list_add(r, w->task);
	}
}

/* It has waited in vain: who stood behind it may want less. */
NOINLINE static void leave(struct gate *g, struct gate_ask *a)
{
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */
	struct ready_list r;

	ready_list_init(&r);
	gate_lock(g);
	if (!a->off && a->era == g->era)
		g->waiting--;
	weft__gate_deal(g, &r);
	gate_unlock(g);
	weft__lot_ready(wk, &r);
}

int weft__gate_wait(struct gate *g, struct gate_ask *a, const struct self *me, enum task_reason reason, int64_t deadline)
{
	struct waiter w;
	uint64_t word;
	int rc;

	if (!gate_line(g)) {
		g->waiting = 0;
		g->era++;
	}
	a->era = g->era;
	a->off = false;
	word = wait_begin(me->task, &w, 1, reason, deadline);
	waiter_init(&w, me->task, word, &g->lock, RANK_SOURCE, g, a);
	list_push_tail(&g->waiters, &w.link);
	g->waiting++;
	gate_unlock(g);
	rc = weft__wait_park(me->worker, me->task, &w, 1, word, deadline);
	if (!rc)
		return w.status;
	leave(g, a);
	return rc;
}

void weft__gate_check_unused(struct gate *g, const void *what, const char *call)
{
	(void)weft__worker(); /* see base/solo.h */
	gate_lock(g);
	weft__source_check_unused(&g->waiters, what, call);
	gate_unlock(g);
}
