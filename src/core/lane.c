/* SPDX-License-Identifier: MIT
 *
 * lane.c - lanes that are made while a runtime is up: their making and their end. See lane.h; how jobs run: lane_thread.c.
 *
 *   made      on the list, with `min` threads
 *   closing   by weft__lane_end, or the runtime.  Nobody is let in any more
 *   gone      no thread is left: off the list; its threads are joined, who waits is told.  By a worker; or by whoever takes the runtime down (weft__lane_went_down); or by who has
 *             ended it: a foreign thread, or a task of another runtime, which its last thread tells, and whoever finds it without threads (see_out): no worker is needed
 *
 * Whoever gives up waiting for its end leaves it on the list, where the runtime that goes down finds it.
 */
#include "core/lane.h"

#include "base/clock.h"
#include "base/ref.h"
#include "core/runtime.h"
#include <stdlib.h>
#include <string.h>

static struct lock lock;                /* RANK_SOURCE, before those of lanes; guards both. Never elided */
static struct list lanes[RUNTIMES_MAX]; /* by the runtime's number, as is the next */
static bool opened[RUNTIMES_MAX];       /* it is up, and not going down */

void weft__lanes_opened(struct runtime *rt)
{
	lock_take(&lock, RANK_SOURCE);
	opened[rt->home] = true;
	lock_drop(&lock);
}

void weft__lanes_closed(struct runtime *rt)
{
	lock_take(&lock, RANK_SOURCE);
	opened[rt->home] = false;
	lock_drop(&lock);
}

void weft__lanes_hold(void)
{
	lock_take(&lock, RANK_SOURCE);
}

void weft__lanes_let_go(void)
{
	lock_drop(&lock);
}

/* Nobody else takes any off meanwhile: the workers have ended. */
void weft__lanes_foreach(struct runtime *rt, void (*fn)(struct lane_state *l, void *arg), void *arg)
{
	struct list_node *n, *next;

	for (n = list_first(&lanes[rt->home]); n; n = next) {
		next = list_after(&lanes[rt->home], n);
		fn(container_of(n, struct lane_state, link), arg);
	}
}

void weft__lanes_forked(void)
{
	store_relaxed(&lock.word, LOCK_FREE); /* whoever held it is not here */
}

static void unlist(struct lane_state *l)
{
	lock_take(&lock, RANK_SOURCE);
	list_remove(&l->link);
	lock_drop(&lock);
}

void weft__lane_ref(struct lane_state *l)
{
	add_relaxed(&l->refs, 1u); /* the caller's own reference keeps it */
}

void weft__lane_unref(struct lane_state *l)
{
	if (!l->own || !ref_drop(&l->refs))
		return;
	if (l->attr)
		pthread_attr_destroy(l->attr);
	free(l->attr);
	free((char *)(uintptr_t)l->name);
	free(l);
}

/* By a worker, or whoever takes the runtime down: all its threads have ended. */
static void gone(struct job *j, int rc)
{
	struct lane_state *l = container_of(j, struct lane_state, gone);
	struct lane_thread *t;

	(void)rc;
	unlist(l);
	lock_take(&l->lock, RANK_LOT);
	t = weft__lane_take_ended(l);
	lock_drop(&l->lock);
	weft__lane_join(t);
	weft__ready_list(weft__worker(), weft__job_tell(&l->gone));
	weft__lane_unref(l);
}

void weft__lane_went_down(struct lane_state *l)
{
	struct lane_thread *t;
	bool adrift;

	unlist(l);
	lock_take(&l->lock, RANK_LOT);
	l->down = true;
	adrift = l->threads != 0;
	t = weft__lane_take_ended(l); /* one that was left may have ended just now; those that do so later detach themselves */
	lock_drop(&l->lock);
	weft__lane_join(t);
	if (!adrift)
		weft__lane_unref(l);
}

/* Locked. Closes it; if it has no threads nobody else would say that it is gone. */
static void close_lane(struct lane_state *l, int rc)
{
	weft__lane_close(l, rc);
	if (l->threads == 0 && !l->told)
		weft__lane_tell_gone(l);
}

static int list_it(struct lane_state *l)
{
	int rc = WEFT_ESRCH;

	lock_take(&lock, RANK_SOURCE);
	if (opened[l->rt->home]) {
		list_push_tail(&lanes[l->rt->home], &l->link);
		rc = 0;
	}
	lock_drop(&lock);
	return rc;
}

int weft__lane_make(struct lane_state **out, const struct lane_opts *o)
{
	struct lane_state *l = calloc(1, sizeof *l);
	int rc = WEFT_ENOMEM;

	*out = NULL;
	if (!l)
		return rc;
	l->rt = weft__rt_here();
	l->own = true;
	l->min = o->min;
	l->max = o->max;
	l->bound = o->bound;
	l->idle_ns = o->idle_ns;
	l->leaves = o->leaves;
	l->waits = o->waits;
	l->hooks = o->hooks;
	l->gone.over = gone;
	l->gone.lane = l;
	list_init(&l->gone.waiters);
	store_relaxed(&l->gone.state, 0u); /* not shared yet: not over */
	store_relaxed(&l->refs, 2u);       /* the same: the caller's, and the list's */
	store_relaxed(&l->untold, 1u);     /* the same */
	l->name = strdup(o->name);
	rc = l->name ? list_it(l) : WEFT_ENOMEM;
	if (rc) {
		free((char *)(uintptr_t)l->name);
		free(l);
		return rc;
	}
	lock_take(&l->lock, RANK_LOT);
	l->attr = o->attr;
	l->placed = o->placed;
	while (!rc && !l->closing && l->threads < l->min)
		rc = weft__lane_grow(l) ? 0 : WEFT_EAGAIN;
	if (rc) {
		l->attr = NULL;
		if (!l->closing)
			close_lane(l, WEFT_EDOWN); /* those that were made end by themselves */
	}
	lock_drop(&l->lock);
	if (rc)
		weft__lane_unref(l);
	else
		*out = l;
	return rc;
}

/* All its threads have ended, as the caller has been told: it does what else a worker would. */
static void see_out(struct lane_state *l)
{
	struct lane_thread *t;
	bool listed;

	lock_take(&lock, RANK_SOURCE);
	listed = opened[l->rt->home] && list_linked(&l->link); /* else whoever takes the runtime down does, or has done it */
	if (listed)
		list_remove(&l->link);
	lock_drop(&lock);
	if (!listed)
		return;
	lock_take(&l->lock, RANK_LOT);
	t = weft__lane_take_ended(l);
	lock_drop(&l->lock);
	weft__lane_join(t);
	weft__lane_unref(l);
}

/* Returns whether the caller will be told of its end, or is at once, if it waits. */
static bool begin_end(struct lane_state *l, bool waits, bool foreign)
{
	bool told;

	lock_take(&l->lock, RANK_LOT);
	told = !l->down && !l->told && l->threads == 0 && (foreign || !waits || load_acquire(&l->untold) == 1); /* pairs with drop_untold */
	l->gone.foreign = told || (waits && foreign);
	if (!l->down && !l->closing)
		close_lane(l, 0);
	lock_drop(&l->lock);
	return told;
}

/* It has waited in vain. Returns whether it is over all the same. */
static bool give_up_end(struct lane_state *l)
{
	bool over;

	lock_take(&l->lock, RANK_LOT);
	over = l->gone.foreign && l->told && !l->called_off;
	if (!over) {
		l->gone.foreign = false;
		if (!l->down && !l->told)
			weft__lane_close(l, WEFT_EDOWN);
	}
	weft__lane_pay(l);
	lock_drop(&l->lock);
	return over;
}

int weft__lane_end(struct lane_state *l, int64_t deadline, bool shielded)
{
	struct self me;
	int rc = self_enter(&me, &deadline);

	if (shielded && rc != WEFT_ENOMEM)
		rc = 0;
	if (!rc && deadline == WEFT_NOW)
		rc = WEFT_EAGAIN;
	if (begin_end(l, !rc, !me.worker || me.worker->rt != l->rt))
		rc = 0;
	else if (!rc)
		rc = weft__job_wait(&l->gone, REASON_BLOCKING, shielded ? WEFT_FOREVER : deadline, shielded);
	if (rc && give_up_end(l))
		rc = 0;
	if (!rc)
		see_out(l);
	weft__lane_unref(l);
	return rc;
}
