/* SPDX-License-Identifier: MIT
 *
 * offload_down.c - the runtime goes down: what its lanes have not begun is called off, what may be left is left, the rest is waited for; and so are jobs in frames of its tasks that lanes of others have.
 */
#include "core/lane.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/futex.h"
#include "core/runtime.h"
#include <limits.h>

static ATOMIC(uint32_t)
	changed; /* futex of weft__offload_down: threads and jobs under way, of all lanes that are closing, and jobs abroad */

void weft__offload_changed(void)
{
	add_relaxed(&changed, 1u); /* the lock orders it */
	weft__futex_wake(&changed, INT_MAX);
}

/* j is in the frame of a task of another runtime than its lane's: that one does not go down before it is told. NULL: it is not. */
void weft__job_abroad(struct job *j, struct runtime *from)
{
	j->abroad = from;
	if (from)
		add_relaxed(&from->abroad, 1u); /* by a worker of its */
}

/* It is nobody's any more: from: as it was. */
void weft__job_back(struct runtime *from)
{
	if (!from)
		return;
	add_acq_rel(&from->abroad, (uint32_t)-1); /* pairs with load_acquire in weft__offload_down */
	weft__offload_changed();
}

/* Nobody will hear that it is over. */
static void unheard(struct job *j)
{
	if (j->task)
		task_set_state(j->task, WEFT_TASK_RUNNABLE); /* it waits for nothing any more: runtime.c, call_off */
}

/* Jobs that have not begun never will; what is under way and may be left is left. */
static void call_off(struct lane_state *l, void *arg)
{
	struct inject_node *n, *next, *gone = NULL;
	struct job *j;

	(void)arg;
	lock_take(&l->lock, RANK_LOT);
	weft__lane_close(l, WEFT_EDOWN);
	l->called_off = true;
	l->told = true; /* went_down does */
	for (n = l->busy; n; n = next) {
		next = shared_get(&n->next);
		j = job_of(n);
		if (!j->drop || (j->over && !l->leaves))
			continue;
		weft__lane_leave_behind(l, j);
		if (j->over) {
			shared_set(&j->next.next, gone);
			gone = &j->next;
		} else {
			weft__job_orphan(l->rt, j, false); /* before it is dropped, which needs the lane's lock */
		}
	}
	weft__lane_pay(l);
	lock_drop(&l->lock);
	for (; gone; gone = next) {
		next = shared_get(&gone->next);
		weft__job_tell_owner(job_of(gone), WEFT_EDOWN); /* it is not dropped before */
	}
}

/* Tells what is left of those who hear. */
static void hear_last(struct runtime *rt)
{
	void (*drop)(struct job *);
	struct job *j;

	while ((j = job_of(injectq_pop(&rt->ran))) != NULL) {
		unheard(j);
		san_acquire(j);
		if (j->over) {
			weft__job_done(j);
			continue;
		}
		drop = j->drop; /* NULL: it may be in the frame of a thread that goes on now */
		weft__job_orphan(rt, j, true);
		if (drop)
			drop(j);
	}
}

static void still_busy(struct lane_state *l, void *arg)
{
	lock_take(&l->lock, RANK_LOT);
	if (l->running || l->threads > l->left)
		*(bool *)arg = true;
	lock_drop(&l->lock);
}

/* It has no threads any more, but those whose jobs were left. */
static void went_down(struct lane_state *l, void *arg)
{
	struct lane_thread *t;

	(void)arg;
	lock_take(&l->lock, RANK_LOT);
	t = weft__lane_take_ended(l);
	l->down = !l->own; /* who comes later detaches itself; of others: lane.c says so */
	lock_drop(&l->lock);
	weft__lane_join(t);
	if (l->own) {
		weft__job_orphan(l->rt, &l->gone, true);
		weft__lane_went_down(l);
	}
}

/* A job of one lane may wait for one of another's: all are called off, and what has run is told, before any is waited for. */
void weft__offload_down(struct runtime *rt)
{
	int64_t notice = weft__clock_read() + STOP_NOTICE_NS;
	uint32_t seen;
	bool busy;

	weft__lanes_closed(rt);
	weft__offload_each(rt, call_off, NULL);
	for (;;) {
		seen = load_acquire(&changed); /* before the look; pairs with the locks of those that have changed it */
		hear_last(rt);
		busy = load_acquire(&rt->abroad) != 0; /* pairs with weft__job_back */
		weft__offload_each(rt, still_busy, &busy);
		if (!busy)
			break;
		if (weft__futex_wait(&changed, seen, notice)) {
			weft__log("weft_run waits for a blocking call that has not come back");
			notice = INT64_MAX; /* once */
		}
	}
	hear_last(rt);
	weft__offload_each(rt, went_down, NULL);
}
