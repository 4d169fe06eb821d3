/* SPDX-License-Identifier: MIT
 *
 * simple.c - stages that are a function of one element at a time: map, filter, take, drop, scan, zip.
 *
 * A map reads where the stage before it has its elements (stage_view), and writes where its caller wants them. A filter has its elements put where its caller wants them and moves up those that stay, unless the stage before it
 * has them in place: then it copies those only. So a chain of maps and filters has one buffer a map, and copies nothing besides.
 *
 * When a function fails, what came before is given, and the error is what the next pull finds. What was asked for behind it is lost: nobody can get past the error.
 *
 * A stage that leaves out asks again and again; the stage before it looks at the deadline only when it waits. So the one that asks looks at it, each time it has nothing to give.
 */
#include "stream/stage.h"

#include <stdlib.h>

/* The error of an element function at the i-th of a pull. */
static ssize_t failed_at(weft_stream *s, size_t i, int code)
{
	(void)weft__stage_fail(s, code, NULL);
	return i > 0 ? (ssize_t)i : code;
}

/* --- map --- */

struct map {
	weft_stream s;
	weft_stream_map_fn *fn;
	weft_stream_map_batch_fn *batch;
	void *arg;
};

static ssize_t map_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct map *m = (struct map *)s;
	weft_stream_map_fn *fn = m->fn;
	size_t in_elem = s->up->elem, out_elem = s->elem;
	void *arg = m->arg;
	const char *view, *in;
	ssize_t n = weft__stage_view(s->up, &view, stage_min(max, s->up->batch), deadline);

	if (n <= 0)
		return n;
	in = view; /* a variable whose address nobody has: it stays in a register across the calls */
	for (ssize_t i = 0; i < n; i++) {
		int rc = fn(in, out, arg);

		if (unlikely(rc < 0))
			return failed_at(s, (size_t)i, rc);
		in += in_elem;
		out += out_elem;
	}
	return n;
}

static ssize_t map_batch_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct map *m = (struct map *)s;
	const char *in;
	ssize_t n = weft__stage_view(s->up, &in, stage_min(max, s->up->batch), deadline);

	if (likely(n > 0)) {
		int rc = m->batch(in, out, (size_t)n, m->arg);

		if (unlikely(rc < 0))
			return failed_at(s, 0, rc);
	}
	return n;
}

static const struct stage_ops map_ops = {.kind = "map", .pull = map_pull};
static const struct stage_ops map_batch_ops = {.kind = "map", .pull = map_batch_pull};

weft_stream *weft_stream_map(weft_stream *s, size_t elem, weft_stream_map_fn *fn, void *arg)
{
	struct map *m = weft__stage_on(&s, &map_ops, sizeof *m, elem, fn != NULL);

	if (m) {
		m->fn = fn;
		m->arg = arg;
	}
	return s;
}

weft_stream *weft_stream_map_batch(weft_stream *s, size_t elem, weft_stream_map_batch_fn *fn, void *arg)
{
	struct map *m = weft__stage_on(&s, &map_batch_ops, sizeof *m, elem, fn != NULL);

	if (m) {
		m->batch = fn;
		m->arg = arg;
	}
	return s;
}

/* --- filter, and the stages that leave out by a function --- */

struct filter {
	weft_stream s;
	weft_stream_filter_fn *fn;
	weft_stream_filter_batch_fn *batch;
	void *arg;
	bool open; /* drop_while: all that comes is given */
};

/* The next elements of the stage before s: where they lie, or else in out. */
static ALWAYS_INLINE ssize_t next_ones(weft_stream *s, const char **in, char *out, size_t max, int64_t deadline)
{
	weft_stream *up = s->up;

	if (up->ops->view)
		return weft__stage_view(up, in, stage_min(max, up->batch), deadline);
	*in = out;
	return weft__stage_pull(up, out, stage_min(max, up->batch), deadline);
}

/* Copied whether or not it stays: a branch that nobody can foresee costs more. It may lie where it goes. */
static ALWAYS_INLINE void keep_one(char *to, const char *from, size_t elem)
{
	uint64_t wide;
	uint32_t narrow;

	if (likely(elem == sizeof wide)) {
		memcpy(&wide, from, sizeof wide);
		memcpy(to, &wide, sizeof wide);
	} else if (elem == sizeof narrow) {
		memcpy(&narrow, from, sizeof narrow);
		memcpy(to, &narrow, sizeof narrow);
	} else if (to != from) {
		memcpy(to, from, elem);
	}
}

static ssize_t filter_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct filter *f = (struct filter *)s;
	weft_stream_filter_fn *fn = f->fn;
	size_t elem = s->elem, left = 0;
	void *arg = f->arg;
	const char *view;
	ssize_t n;
	int rc;

	while (left == 0 && (n = next_ones(s, &view, out, max, deadline)) > 0) {
		const char *in = view; /* as above */

		for (ssize_t i = 0; i < n; i++, in += elem) {
			int keep = fn(in, arg);

			if (unlikely(keep < 0))
				return failed_at(s, left, keep);
			keep_one(out + left * elem, in, elem);
			left += keep > 0;
		}
		if (left == 0 && (rc = weft__stage_check(deadline)) != 0)
			return rc;
	}
	return left > 0 ? (ssize_t)left : n;
}

static ssize_t filter_batch_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct filter *f = (struct filter *)s;
	const char *in;
	ssize_t n, left = 0;
	int rc;

	while (left == 0 && (n = next_ones(s, &in, out, max, deadline)) > 0) {
		left = f->batch(in, out, (size_t)n, f->arg);
		if (unlikely(left < 0))
			return failed_at(s, 0, (int)left);
		if (left == 0 && (rc = weft__stage_check(deadline)) != 0)
			return rc;
	}
	return left > 0 ? left : n;
}

static ssize_t filter_map_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct filter *f = (struct filter *)s;
	const char *in;
	ssize_t n, left = 0;
	int rc;

	while (left == 0 && (n = weft__stage_view(s->up, &in, stage_min(max, s->up->batch), deadline)) > 0) {
		left = f->batch(in, out, (size_t)n, f->arg);
		if (unlikely(left < 0))
			return failed_at(s, 0, (int)left);
		if (left == 0 && (rc = weft__stage_check(deadline)) != 0)
			return rc;
	}
	return left > 0 ? left : n;
}

static ssize_t take_while_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct filter *f = (struct filter *)s;
	ssize_t n = weft__stage_pull(s->up, out, max, deadline);

	for (ssize_t i = 0; i < n; i++) {
		int keep = f->fn(out + (size_t)i * s->elem, f->arg);

		if (keep < 0)
			return failed_at(s, (size_t)i, keep);
		if (!keep) {
			s->status = ENDED;
			return i;
		}
	}
	return n;
}

static ssize_t drop_while_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct filter *f = (struct filter *)s;
	ssize_t n;
	int rc;

	while ((n = weft__stage_pull(s->up, out, max, deadline)) > 0 && !f->open) {
		for (size_t i = 0; i < (size_t)n; i++) {
			int drop = f->fn(out + i * s->elem, f->arg);

			if (drop < 0)
				return failed_at(s, 0, drop);
			if (!drop) {
				f->open = true;
				memmove(out, out + i * s->elem, ((size_t)n - i) * s->elem);
				return n - (ssize_t)i;
			}
		}
		rc = weft__stage_check(deadline);
		if (rc)
			return rc;
	}
	return n;
}

static const struct stage_ops filter_ops = {.kind = "filter", .pull = filter_pull};
static const struct stage_ops filter_batch_ops = {.kind = "filter", .pull = filter_batch_pull};
static const struct stage_ops filter_map_ops = {.kind = "filter_map", .pull = filter_map_pull};
static const struct stage_ops take_while_ops = {.kind = "take_while", .pull = take_while_pull};
static const struct stage_ops drop_while_ops = {.kind = "drop_while", .pull = drop_while_pull};

static weft_stream *filter_by(weft_stream *s, const struct stage_ops *ops, weft_stream_filter_fn *fn, void *arg)
{
	struct filter *f = weft__stage_same_on(&s, ops, sizeof *f, fn != NULL);

	if (f) {
		f->fn = fn;
		f->arg = arg;
	}
	return s;
}

weft_stream *weft_stream_filter(weft_stream *s, weft_stream_filter_fn *fn, void *arg)
{
	return filter_by(s, &filter_ops, fn, arg);
}

weft_stream *weft_stream_take_while(weft_stream *s, weft_stream_filter_fn *fn, void *arg)
{
	return filter_by(s, &take_while_ops, fn, arg);
}

weft_stream *weft_stream_drop_while(weft_stream *s, weft_stream_filter_fn *fn, void *arg)
{
	return filter_by(s, &drop_while_ops, fn, arg);
}

weft_stream *weft_stream_filter_batch(weft_stream *s, weft_stream_filter_batch_fn *fn, void *arg)
{
	struct filter *f = weft__stage_same_on(&s, &filter_batch_ops, sizeof *f, fn != NULL);

	if (f) {
		f->batch = fn;
		f->arg = arg;
	}
	return s;
}

weft_stream *weft_stream_filter_map_batch(weft_stream *s, size_t elem, weft_stream_filter_batch_fn *fn, void *arg)
{
	struct filter *f = weft__stage_on(&s, &filter_map_ops, sizeof *f, elem, fn != NULL);

	if (f) {
		f->batch = fn;
		f->arg = arg;
	}
	return s;
}

/* --- take, drop --- */

struct counted {
	weft_stream s;
	uint64_t left; /* to be given, or to be dropped */
};

static ssize_t take_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct counted *c = (struct counted *)s;
	ssize_t n = 0;

	if (c->left > 0)
		n = weft__stage_pull(s->up, out, c->left < max ? (size_t)c->left : max, deadline);
	if (n > 0) {
		c->left -= (uint64_t)n;
		if (c->left == 0)
			s->status = ENDED;
	}
	return n;
}

static ssize_t drop_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct counted *c = (struct counted *)s;

	while (c->left > 0) {
		const char *p;
		ssize_t n = weft__stage_view(s->up, &p, c->left < s->up->batch ? (size_t)c->left : s->up->batch, deadline);

		if (n <= 0)
			return n;
		c->left -= (uint64_t)n;
		if (c->left > 0 && (n = weft__stage_check(deadline)) != 0)
			return n;
	}
	return weft__stage_pull(s->up, out, max, deadline);
}

static const struct stage_ops take_ops = {.kind = "take", .pull = take_pull};
static const struct stage_ops drop_ops = {.kind = "drop", .pull = drop_pull};

static weft_stream *counted(weft_stream *s, const struct stage_ops *ops, uint64_t n)
{
	struct counted *c = weft__stage_same_on(&s, ops, sizeof *c, true);

	if (c)
		c->left = n;
	return s;
}

weft_stream *weft_stream_take(weft_stream *s, uint64_t n)
{
	return counted(s, &take_ops, n);
}

weft_stream *weft_stream_drop(weft_stream *s, uint64_t n)
{
	return counted(s, &drop_ops, n);
}
