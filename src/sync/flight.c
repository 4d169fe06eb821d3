/* SPDX-License-Identifier: MIT
 *
 * flight.c - one run for all who ask for the same at the same time.
 *
 * A run under way is a record in a list, with a future. Whoever finds one waits for its future; whoever finds none lists its own, runs fn, takes it off, and
 * ends the future.
 */
#include "weft/flight.h"

#include "base/check.h"
#include "base/ref.h"
#include "core/runtime.h"
#include "sync/future.h"
#include "weft/defer.h"
#include <stdlib.h>
#include <string.h>

#define SHARDS 16

struct run {
	struct list_node link;      /* in its shard's list; under its lock. Not linked: over, or forgotten */
	struct shard *shard;        /* constant */
	struct weft_future *future; /* a reference of each side */
	struct weft_task *task;     /* runs it; constant */
	uint64_t hash;              /* constant */
	char key[];                 /* constant */
};

struct shard {
	struct lock lock; /* RANK_SOURCE */
	struct list runs;
};

struct weft_flight {
	ATOMIC(uint32_t) refs;
	size_t elem; /* constant */
	struct shard shards[SHARDS];
};

weft_flight *weft_flight_make(size_t elem)
{
	weft_flight *fl = elem <= UINT16_MAX ? calloc(1, sizeof *fl) : NULL;

	if (!fl)
		return NULL;
	fl->elem = elem;
	store_relaxed(&fl->refs, 1u); /* not shared yet */
	return fl;
}

weft_flight *weft_flight_ref(weft_flight *fl)
{
	add_relaxed(&fl->refs, 1u); /* the caller's own reference keeps it */
	return fl;
}

void weft_flight_free(weft_flight *fl)
{
	if (fl && ref_drop(&fl->refs))
		free(fl);
}

/* FNV-1a: keys are short. */
static uint64_t hash_of(const char *key)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *key; key++)
		h = (h ^ (unsigned char)*key) * 0x100000001b3ULL;
	return h ^ h >> 32;
}

/* Locked. */
static struct run *find(struct shard *s, uint64_t hash, const char *key)
{
	for (struct list_node *n = list_first(&s->runs); n; n = list_after(&s->runs, n)) {
		struct run *r = container_of(n, struct run, link);

		if (r->hash == hash && strcmp(r->key, key) == 0)
			return r;
	}
	return NULL;
}

static struct run *run_new(weft_flight *fl, struct shard *s, struct weft_task *task, uint64_t hash, const char *key)
{
	size_t len = strlen(key) + 1;
	struct run *r = malloc(sizeof *r + len);

	if (!r)
		return NULL;
	r->future = weft__future_new(fl->elem, 0, FUTURE_PROMISE + 1);
	if (!r->future) {
		free(r);
		return NULL;
	}
	r->link.next = NULL;
	r->shard = s;
	r->task = task;
	r->hash = hash;
	memcpy(r->key, key, len);
	return r;
}

/* Nobody finds it any more. */
static void unlist(struct run *r)
{
	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&r->shard->lock, RANK_SOURCE);
	if (list_linked(&r->link)) /* nobody has forgotten it */
		list_remove(&r->link);
	lock_drop_solo(&r->shard->lock);
}

static void run_free(struct run *r)
{
	unlist(r);
	weft__promise_release(r->future); /* unless it has ended it is broken now */
	weft__future_release(r->future);
	free(r);
}

/* Finds the run that is under way: returns its future, with a reference; WEFT_EDEADLK: the caller's own. Or lists `mine`, if there is one: returns 0
 * then, and *out is NULL. */
static int join(struct shard *s, uint64_t hash, const char *key, struct weft_task *self, struct run *mine, struct weft_future **out)
{
	struct run *r;
	int rc = 0;

	*out = NULL;
	lock_take_solo(&s->lock, RANK_SOURCE);
	r = find(s, hash, key);
	if (r && r->task == self)
		rc = WEFT_EDEADLK;
	else if (r)
		*out = weft_future_ref(r->future);
	else if (mine)
		list_push_tail(&s->runs, &mine->link);
	lock_drop_solo(&s->lock);
	return rc;
}

static int lead(struct run *r, weft_future_fn *fn, void *arg, void *out)
{
	struct weft_future *f = r->future;
	int rc;

	WEFT_DEFER(run_free, r); /* also if fn ends the task */
	rc = fn(arg, f->value);
	if (rc > 0)
		rc = WEFT_EINVAL;
	unlist(r); /* first: who comes now must not find what is over */
	(void)weft__future_end(f, FUTURE_DONE, rc, NULL);
	(void)weft_future_poll(f, out);
	return rc;
}

int weft_flight_do_until(weft_flight *fl, const char *key, weft_future_fn *fn, void *arg, void *out, int64_t deadline)
{
	struct weft_future *f;
	struct run *mine;
	struct shard *s;
	struct self me;
	uint64_t hash;
	int rc;

	if (!fl || !key || !fn)
		return WEFT_EINVAL;
	rc = self_enter(&me, &deadline);
	if (rc)
		return rc;
	hash = hash_of(key);
	s = &fl->shards[hash % SHARDS];
	rc = join(s, hash, key, me.task, NULL, &f);
	if (!rc && !f) {
		mine = run_new(fl, s, me.task, hash, key);
		if (!mine)
			return WEFT_ENOMEM;
		rc = join(s, hash, key, me.task, mine, &f);
		if (!f)
			return lead(mine, fn, arg, out);
		run_free(mine);
	}
	if (rc)
		return rc;
	rc = weft_future_await_until(f, out, deadline);
	weft__future_release(f);
	return rc;
}

int weft_flight_do(weft_flight *fl, const char *key, weft_future_fn *fn, void *arg, void *out)
{
	return weft_flight_do_until(fl, key, fn, arg, out, WEFT_FOREVER);
}

int weft_flight_forget(weft_flight *fl, const char *key)
{
	struct shard *s;
	struct run *r;
	uint64_t hash;

	if (!fl || !key)
		return WEFT_EINVAL;
	hash = hash_of(key);
	s = &fl->shards[hash % SHARDS];
	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&s->lock, RANK_SOURCE);
	r = find(s, hash, key);
	if (r)
		list_remove(&r->link);
	lock_drop_solo(&s->lock);
	return r ? 0 : WEFT_ENOENT;
}
