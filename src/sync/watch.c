/* SPDX-License-Identifier: MIT
 *
 * watch.c - a value that changes, and those who wait for a version later than the one they have seen.
 *
 * One lock guards value, version and the list of those who wait.  A change wakes all of them (a source, core/source.h): whoever is in the list has seen the latest
 * version, so each change is news for all.  They copy the value for themselves, whatever it is by then.
 */
#include "weft/watch.h"

#include "base/check.h"
#include "base/ref.h"
#include "core/runtime.h"
#include "core/source.h"
#include <stdlib.h>
#include <string.h>

struct weft_watch {
	struct lock lock; /* RANK_SOURCE; guards all below but refs */
	uint16_t elem;    /* bytes of the value; constant */
	bool closed;
	ATOMIC(uint32_t) refs;
	uint64_t version;
	struct list waiters; /* source: the watch */
	CACHE_ALIGNED char value[];
};

weft_watch *weft_watch_make(size_t elem, const void *initial)
{
	struct weft_watch *w;
	size_t bytes = ROUND_UP(sizeof *w + elem, CACHELINE);

	if (elem > UINT16_MAX)
		return NULL;
	w = aligned_alloc(CACHELINE, bytes);
	if (!w)
		return NULL;
	memset(w, 0, bytes);
	w->elem = (uint16_t)elem;
	w->version = 1;
	if (initial && elem)
		memcpy(w->value, initial, elem);
	store_relaxed(&w->refs, 1u); /* not shared yet */
	return w;
}

weft_watch *weft_watch_ref(weft_watch *w)
{
	add_relaxed(&w->refs, 1u); /* the caller's own reference keeps it */
	return w;
}

void weft_watch_free(weft_watch *w)
{
	if (!w || !ref_drop(&w->refs))
		return;
	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&w->lock, RANK_SOURCE);
	weft__source_check_unused(&w->waiters, w, "weft_watch_free");
	lock_drop_solo(&w->lock);
	free(w);
}

int weft_watch_set(weft_watch *w, const void *value)
{
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */
	struct inject_node *claimed = NULL;
	int rc = WEFT_ECLOSED;

	if (!w)
		return WEFT_EINVAL;
	lock_take_solo(&w->lock, RANK_SOURCE);
	if (!w->closed) {
		if (w->elem) /* a value of no size has no address */
			memcpy(w->value, value, w->elem);
		w->version++;
		claimed = weft__source_claim_all(&w->waiters, 0);
		rc = 0;
	}
	lock_drop_solo(&w->lock);
	weft__ready_list(wk, claimed);
	return rc;
}

uint64_t weft_watch_get(weft_watch *w, void *out)
{
	uint64_t version;

	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&w->lock, RANK_SOURCE);
	if (out && w->elem)
		memcpy(out, w->value, w->elem);
	version = w->version;
	lock_drop_solo(&w->lock);
	return version;
}

int weft_watch_close(weft_watch *w)
{
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */
	struct inject_node *claimed;
	bool was;

	if (!w)
		return WEFT_EINVAL;
	lock_take_solo(&w->lock, RANK_SOURCE);
	was = w->closed;
	w->closed = true;
	claimed = weft__source_claim_all(&w->waiters, 0);
	lock_drop_solo(&w->lock);
	weft__ready_list(wk, claimed);
	return was ? WEFT_ECLOSED : 0;
}

/* --- the source --- */

static int watch_look(struct weft_case *c, struct self *me, struct waiter *w)
{
	struct weft_watch *v = c->watch;
	bool ready;

	(void)me;
	if (!v)
		return 0; /* never */
	if (!c->version)
		return WEFT_EINVAL;
	lock_take_solo(&v->lock, RANK_SOURCE);
	ready = v->version > *c->version || v->closed;
	if (!ready && w)
		source_list(w, &v->waiters, &v->lock, RANK_SOURCE, v);
	lock_drop_solo(&v->lock);
	return ready;
}

static bool watch_finish(struct weft_case *c, struct waiter *w, bool fired)
{
	struct weft_watch *v = c->watch;

	(void)w;
	if (!fired)
		return false;
	lock_take_solo(&v->lock, RANK_SOURCE);
	c->status = v->version > *c->version ? 0 : WEFT_ECLOSED; /* what it was ready for it stays ready for */
	if (!c->status)
		*c->version = v->version;
	lock_drop_solo(&v->lock);
	return true;
}

const struct weft_source weft_source_watch = {.look = watch_look, .finish = watch_finish};

int weft_watch_changed_until(weft_watch *w, uint64_t *version, void *out, int64_t deadline)
{
	weft_case c = WEFT_WATCH(w, version);
	int rc;

	if (!w || !version)
		return WEFT_EINVAL;
	rc = weft__source_wait(&c, REASON_WATCH, deadline);
	if (!rc)
		*version = weft_watch_get(w, out); /* a later one, maybe, but one of which value and version belong together */
	return rc;
}

int weft_watch_changed(weft_watch *w, uint64_t *version, void *out)
{
	return weft_watch_changed_until(w, version, out, WEFT_FOREVER);
}
