/* SPDX-License-Identifier: MIT
 *
 * shape.c - stages that remember: scan, distinct, dedup; and those that make one stream of several: flat_map, concat, zip.
 *
 * distinct keeps its elements in an open hash table, at most half full, in the order of their hashes: there is no list to follow, and nothing is ever taken out.
 */
#include "stream/stage.h"

#include <stdlib.h>

static ssize_t fail_behind(weft_stream *s, size_t i, int code)
{
	(void)weft__stage_fail(s, code, NULL);
	return i > 0 ? (ssize_t)i : code;
}

/* --- scan --- */

struct scan {
	weft_stream s;
	weft_stream_fold_fn *fn;
	void *arg;
	char *acc;
};

static ssize_t scan_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct scan *c = (struct scan *)s;
	const char *in;
	ssize_t n = weft__stage_view(s->up, &in, stage_min(max, s->up->batch), deadline);

	for (ssize_t i = 0; i < n; i++) {
		int rc = c->fn(c->acc, in, c->arg);

		if (rc < 0)
			return fail_behind(s, (size_t)i, rc);
		memcpy(out, c->acc, s->elem);
		in += s->up->elem;
		out += s->elem;
	}
	return n;
}

static void scan_close(weft_stream *s)
{
	free(((struct scan *)s)->acc);
}

static const struct stage_ops scan_ops = {.kind = "scan", .pull = scan_pull, .close = scan_close};

weft_stream *weft_stream_scan(weft_stream *s, size_t acc, const void *init, weft_stream_fold_fn *fn, void *arg)
{
	struct scan *c = weft__stage_on(&s, &scan_ops, sizeof *c, acc, fn != NULL);

	if (!c)
		return s;
	c->fn = fn;
	c->arg = arg;
	c->acc = calloc(1, acc);
	if (!c->acc)
		return weft__stage_undo(s, WEFT_ENOMEM);
	if (init)
		memcpy(c->acc, init, acc);
	return s;
}

/* --- distinct --- */

#define TABLE_FIRST 64

struct distinct {
	weft_stream s;
	size_t max, have;
	size_t room; /* slots, a power of two; 0: no table yet */
	char *used;  /* whether there is one in a slot */
	char *elems;
};

static uint64_t hash_of(const char *e, size_t n)
{
	uint64_t h = n * 0x9e3779b97f4a7c15u, w;

	for (; n >= 8; n -= 8, e += 8) {
		memcpy(&w, e, 8);
		h = (h ^ w) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	w = 0;
	memcpy(&w, e, n);
	h = (h ^ w) * 0xc4ceb9fe1a85ec53u;
	return h ^ (h >> 29);
}

/* The slot where e is, or would be. */
static size_t slot_of(const struct distinct *d, const char *e)
{
	size_t elem = d->s.elem, i = hash_of(e, elem) & (d->room - 1);

	while (d->used[i] && memcmp(d->elems + i * elem, e, elem) != 0)
		i = (i + 1) & (d->room - 1);
	return i;
}

static int table_grow(struct distinct *d)
{
	struct distinct old = *d;
	size_t elem = d->s.elem, room = d->room ? 2 * d->room : TABLE_FIRST;

	if (room > PTRDIFF_MAX / elem)
		return WEFT_ENOMEM;
	d->used = calloc(room, 1);
	d->elems = malloc(room * elem);
	if (!d->used || !d->elems) {
		free(d->used);
		free(d->elems);
		d->used = old.used;
		d->elems = old.elems;
		return WEFT_ENOMEM;
	}
	d->room = room;
	for (size_t i = 0; i < old.room; i++) {
		if (old.used[i]) {
			size_t to = slot_of(d, old.elems + i * elem);

			d->used[to] = 1;
			memcpy(d->elems + to * elem, old.elems + i * elem, elem);
		}
	}
	free(old.used);
	free(old.elems);
	return 0;
}

/* 1: it is new, and is remembered; 0: it is not; or an error. */
static int remember(struct distinct *d, const char *e)
{
	size_t i = d->room ? slot_of(d, e) : 0;

	if (d->room && d->used[i])
		return 0;
	if (d->max && d->have == d->max)
		return WEFT_ENOBUFS;
	if (2 * (d->have + 1) > d->room) {
		int rc = table_grow(d);

		if (rc)
			return rc;
		i = slot_of(d, e);
	}
	d->used[i] = 1;
	memcpy(d->elems + i * d->s.elem, e, d->s.elem);
	d->have++;
	return 1;
}

static ssize_t distinct_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct distinct *d = (struct distinct *)s;
	size_t elem = s->elem, left = 0;
	ssize_t n = 0;

	while (left == 0 && (n = weft__stage_pull(s->up, out, stage_min(max, s->up->batch), deadline)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			const char *e = out + (size_t)i * elem;
			int rc = remember(d, e);

			if (rc < 0)
				return fail_behind(s, left, rc);
			if (rc)
				memmove(out + left++ * elem, e, elem);
		}
		if (left == 0 && (n = weft__stage_check(deadline)) != 0)
			return n;
	}
	return left > 0 ? (ssize_t)left : n;
}

static void distinct_close(weft_stream *s)
{
	struct distinct *d = (struct distinct *)s;

	free(d->used);
	free(d->elems);
}

static const struct stage_ops distinct_ops = {.kind = "distinct", .pull = distinct_pull, .close = distinct_close};

weft_stream *weft_stream_distinct(weft_stream *s, size_t max)
{
	struct distinct *d = weft__stage_same_on(&s, &distinct_ops, sizeof *d, !(s && s->fleeting));

	if (d)
		d->max = max;
	return s;
}

/* --- dedup --- */

struct dedup {
	weft_stream s;
	char *last;
	bool any;
};

static ssize_t dedup_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct dedup *d = (struct dedup *)s;
	size_t elem = s->elem, left = 0;
	ssize_t n = 0;

	while (left == 0 && (n = weft__stage_pull(s->up, out, stage_min(max, s->up->batch), deadline)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			const char *e = out + (size_t)i * elem;

			if (d->any && memcmp(d->last, e, elem) == 0)
				continue;
			d->any = true;
			memcpy(d->last, e, elem);
			memmove(out + left++ * elem, e, elem);
		}
		if (left == 0 && (n = weft__stage_check(deadline)) != 0)
			return n;
	}
	return left > 0 ? (ssize_t)left : n;
}

static void dedup_close(weft_stream *s)
{
	free(((struct dedup *)s)->last);
}

static const struct stage_ops dedup_ops = {.kind = "dedup", .pull = dedup_pull, .close = dedup_close};

weft_stream *weft_stream_dedup(weft_stream *s)
{
	struct dedup *d = weft__stage_same_on(&s, &dedup_ops, sizeof *d, !(s && s->fleeting));

	if (!d)
		return s;
	d->last = malloc(s->elem);
	return d->last ? s : weft__stage_undo(s, WEFT_ENOMEM);
}

/* --- flat_map --- */

struct flat_map {
	weft_stream s;
	weft_stream_flat_map_fn *fn;
	void *arg;
	weft_stream *sub; /* whose elements are given; NULL: the next one is to be made */
};

static ssize_t flat_map_next(struct flat_map *f, int64_t deadline)
{
	const char *e;
	ssize_t n = weft__stage_view(f->s.up, &e, 1, deadline);

	if (n > 0) {
		f->sub = f->fn(e, f->arg);
		if (f->sub && f->sub->status >= 0 && (f->sub->elem != f->s.elem || f->sub->fleeting))
			return weft__stage_fail(&f->s, WEFT_EINVAL, NULL);
	}
	return n;
}

static ssize_t flat_map_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct flat_map *f = (struct flat_map *)s;
	ssize_t n;

	for (bool again = false;; again = true) {
		if (f->sub) {
			n = weft__stage_pull(f->sub, out, max, deadline);
			if (n < 0)
				weft__stage_inherit(s, f->sub);
			if (n != 0)
				return n;
			weft_stream_free(f->sub);
			f->sub = NULL;
		}
		n = again ? weft__stage_check(deadline) : 0; /* many may be empty, one after the other */
		if (n)
			return n;
		n = flat_map_next(f, deadline);
		if (n <= 0)
			return n;
	}
}

static void flat_map_close(weft_stream *s)
{
	weft_stream_free(((struct flat_map *)s)->sub);
}

static const struct stage_ops flat_map_ops = {.kind = "flat_map", .pull = flat_map_pull, .close = flat_map_close};

weft_stream *weft_stream_flat_map(weft_stream *s, size_t elem, weft_stream_flat_map_fn *fn, void *arg)
{
	struct flat_map *f = weft__stage_on(&s, &flat_map_ops, sizeof *f, elem, fn != NULL);

	if (f) {
		f->fn = fn;
		f->arg = arg;
	}
	return s;
}

/* --- concat --- */

struct concat {
	weft_stream s;
	size_t at;
};

static ssize_t concat_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct concat *c = (struct concat *)s;
	ssize_t n = 0;

	while (c->at < s->n_ups && (n = weft__stage_pull(s->ups[c->at], out, max, deadline)) == 0)
		c->at++;
	return n;
}

static const struct stage_ops concat_ops = {.kind = "concat", .pull = concat_pull};

weft_stream *weft_stream_concat(weft_stream *const *streams, size_t n)
{
	bool ok = streams && n > 0, fleeting = false;
	weft_stream *s;
	struct concat *c;

	for (size_t i = 0; ok && i < n; i++) {
		ok = weft_stream_elem(streams[i]) == weft_stream_elem(streams[0]);
		fleeting = fleeting || (streams[i] && streams[i]->fleeting);
	}
	c = weft__stage_upon(&s, streams, streams ? n : 0, &concat_ops, sizeof *c, ok ? weft_stream_elem(streams[0]) : 0, ok);
	if (c)
		c->s.fleeting = fleeting;
	return s;
}

/* --- zip --- */

struct zip {
	weft_stream s;
	weft_stream_zip_fn *fn;
	void *arg;
};

static ssize_t zip_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct zip *z = (struct zip *)s;
	weft_stream *a = s->ups[0], *b = s->ups[1];
	const char *pa, *pb;
	ssize_t n = weft__stage_view(a, &pa, stage_min(max, a->batch), deadline), m;

	if (n <= 0)
		return n;
	m = weft__stage_view(b, &pb, stage_min((size_t)n, b->batch), deadline);
	weft__stage_unview(a, (size_t)(n - (m > 0 ? m : 0))); /* in place all the same */
	for (ssize_t i = 0; i < m; i++) {
		int rc = z->fn(pa, pb, out, z->arg);

		if (rc < 0)
			return fail_behind(s, (size_t)i, rc);
		pa += a->elem;
		pb += b->elem;
		out += s->elem;
	}
	return m;
}

static const struct stage_ops zip_ops = {.kind = "zip", .pull = zip_pull};

weft_stream *weft_stream_zip(weft_stream *a, weft_stream *b, size_t elem, weft_stream_zip_fn *fn, void *arg)
{
	weft_stream *s, *both[] = {a, b};
	struct zip *z = weft__stage_upon(&s, both, 2, &zip_ops, sizeof *z, elem, fn != NULL);

	if (z) {
		z->fn = fn;
		z->arg = arg;
	}
	return s;
}
