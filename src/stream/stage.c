/* SPDX-License-Identifier: MIT
 *
 * stage.c - what is the same for every stage: making one, freeing it, pulling it, its errors.
 *
 * A stage that cannot be made leaves no stage: the stream below it gets the error, under the new one's name, and is what the maker returns; makers further on find it failed and return it as it is. So a chain in which
 * memory ran out is as long as it had come, and no maker needs memory to fail. Only a source has nothing below: then the stream is one of two static ones, which nobody writes to.
 */
#include "stream/stage.h"

#include "base/clock.h"
#include "core/runtime.h"
#include <stdlib.h>

static const struct stage_ops nothing_ops = {.kind = "stream"};

static weft_stream no_memory = {.ops = &nothing_ops, .status = WEFT_ENOMEM, .told = true, .fixed = true, .where = "stream"};
static weft_stream no_stream = {.ops = &nothing_ops, .status = WEFT_EINVAL, .told = true, .fixed = true, .where = "stream"};

static void set_name(char *to, const char *name)
{
	size_t n = strnlen(name, WEFT_STREAM_NAME_MAX);

	memcpy(to, name, n);
	to[n] = '\0';
}

weft_stream *weft_stream_name(weft_stream *s, const char *name)
{
	if (s && !s->status)
		set_name(s->name, name ? name : s->ops->kind);
	return s;
}

/* --- errors --- */

ssize_t weft__stage_fail(weft_stream *s, ssize_t code, const char *where)
{
	if (s->fixed)
		return s->status;
	s->status = (int)code;
	store_relaxed(&s->failed, true); /* for statistics */
	set_name(s->where, where ? where : s->name);
	return code;
}

void weft__stage_inherit(weft_stream *s, const weft_stream *from)
{
	if (s->status >= 0 && from->told)
		(void)weft__stage_fail(s, from->status, from->where);
}

int weft_stream_error(const weft_stream *s, weft_stream_err *out)
{
	int code = !s ? WEFT_EINVAL : s->status < 0 && !s->have ? s->status : 0;

	if (out) {
		*out = (weft_stream_err){.code = code};
		if (s && code)
			set_name(out->stage, s->where);
	}
	return code;
}

weft_stream *weft__stage_failed(const char *kind, int code)
{
	weft_stream *s = code == WEFT_ENOMEM ? NULL : calloc(1, sizeof *s);

	if (!s)
		return code == WEFT_EINVAL ? &no_stream : &no_memory;
	s->ops = &nothing_ops;
	set_name(s->name, kind);
	(void)weft__stage_fail(s, code, NULL);
	return s;
}

weft_stream *weft_stream_failed(int code)
{
	return weft__stage_failed("failed", code < 0 ? code : WEFT_EINVAL);
}

weft_stream *weft__stream_as(weft_stream *s, size_t elem, const char *stage)
{
	if (s && (s->status >= 0 || s->have) && s->elem != elem) {
		(void)weft__stage_fail(s, WEFT_EINVAL, stage);
		s->have = 0;
	}
	return s;
}

/* --- making and freeing --- */

/* Of the streams that a stage was to be made upon, the first that has failed; the others are freed. */
static weft_stream *keep_failed(weft_stream *const *streams, size_t n, const char *kind, int code)
{
	weft_stream *kept = NULL;

	for (size_t i = 0; i < n; i++)
		if (streams[i] && streams[i]->status < 0 && !streams[i]->have && !kept)
			kept = streams[i];
	for (size_t i = 0; i < n && !kept; i++)
		if (streams[i]) {
			kept = streams[i];
			(void)weft__stage_fail(kept, code, kind);
			kept->have = 0;
		}
	for (size_t i = 0; i < n; i++)
		if (streams[i] != kept)
			weft_stream_free(streams[i]);
	return kept ? kept : weft__stage_failed(kind, code);
}

void *weft__stage_upon(weft_stream **out, weft_stream *const *streams, size_t n, const struct stage_ops *ops, size_t size, size_t elem,
		       bool ok)
{
	weft_stream *s = NULL, **ups = NULL;
	int code = ok && elem > 0 && elem <= WEFT_STREAM_ELEM_MAX ? 0 : WEFT_EINVAL;

	for (size_t i = 0; i < n && !code; i++)
		code = !streams[i] ? WEFT_EINVAL : streams[i]->status < 0 && !streams[i]->have ? streams[i]->status : 0;
	if (!code) {
		s = calloc(1, size);
		if (s && n > 1)
			ups = malloc(n * sizeof(weft_stream *));
		if (!s || (n > 1 && !ups)) {
			free(s);
			code = WEFT_ENOMEM;
		}
	}
	if (code) {
		*out = keep_failed(streams, n, ops->kind, code);
		return NULL;
	}
	s->ops = ops;
	s->elem = elem;
	s->batch = stage_batch(elem);
	s->n_ups = n;
	s->ups = n > 1 ? ups : &s->up;
	for (size_t i = 0; i < n; i++)
		s->ups[i] = streams[i];
	set_name(s->name, ops->kind);
	*out = s;
	return s;
}

void *weft__stage_on(weft_stream **s, const struct stage_ops *ops, size_t size, size_t elem, bool ok)
{
	weft_stream *up = *s;

	return weft__stage_upon(s, &up, 1, ops, size, elem, ok);
}

void *weft__stage_same_on(weft_stream **s, const struct stage_ops *ops, size_t size, bool ok)
{
	bool fleeting = *s && (*s)->fleeting;
	weft_stream *made = weft__stage_on(s, ops, size, *s && !(*s)->fixed && (*s)->elem ? (*s)->elem : 1, ok);

	if (made)
		made->fleeting = fleeting;
	return made;
}

void *weft__stage_keeps_on(weft_stream **s, const struct stage_ops *ops, size_t size, size_t elem, bool ok)
{
	return weft__stage_on(s, ops, size, elem, ok && !(*s && (*s)->fleeting));
}

weft_stream *weft__stage_undo(weft_stream *s, int code)
{
	(void)weft__stage_fail(s, code, NULL);
	s->have = 0;
	return s;
}

void weft_stream_free(weft_stream *s)
{
	while (s && !s->fixed) {
		weft_stream *up = NULL;

		if (s->ops->close)
			s->ops->close(s);
		for (size_t i = 1; i < s->n_ups; i++)
			weft_stream_free(s->ups[i]);
		if (s->n_ups > 0)
			up = s->ups[0];
		if (s->ups != &s->up)
			free(s->ups);
		free(s->buf);
		free(s);
		s = up; /* a loop: a chain may be long */
	}
}

size_t weft_stream_elem(const weft_stream *s)
{
	return s ? s->elem : 0;
}

/* --- pulling --- */

static ssize_t tells(weft_stream *s)
{
	if (!s->told) /* a static one is not written to */
		s->told = true;
	return s->status;
}

/* A pull has come back with n. */
static ssize_t came(weft_stream *s, ssize_t n)
{
	stage_count(&s->n.pulls, 1);
	if (likely(n > 0)) {
		stage_count(&s->n.out, (uint64_t)n);
		return n;
	}
	if (s->status < 0)
		return tells(s);
	if (n == 0) {
		s->status = ENDED;
		return 0;
	}
	for (size_t i = 0; i < s->n_ups && !s->ops->tasks && s->status == 0; i++)
		weft__stage_inherit(s, s->ups[i]);
	return s->status < 0 ? tells(s) : n;
}

static ssize_t over(weft_stream *s)
{
	return s->status == ENDED ? 0 : tells(s);
}

static int64_t clock_of(weft_stream *s)
{
	return unlikely(load_relaxed(&s->clocked)) ? clock_now() : 0; /* set by anybody, at any time */
}

static void clock_spent(weft_stream *s, int64_t since)
{
	if (unlikely(since))
		stage_count(&s->n.ns, (uint64_t)(clock_now() - since));
}

static ssize_t pull_new(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	int64_t since = clock_of(s);
	ssize_t n = s->ops->pull(s, out, max, deadline);

	clock_spent(s, since);
	return came(s, n);
}

/* What is in buf. */
static size_t take(weft_stream *s, const char **p, size_t max)
{
	size_t n = stage_min(max, s->have);

	*p = s->buf + s->at * s->elem;
	s->at += n;
	s->have -= n;
	return n;
}

ssize_t weft__stage_pull(weft_stream *s, void *out, size_t max, int64_t deadline)
{
	if (unlikely(s->have)) {
		const char *p;
		size_t n = take(s, &p, max);

		memcpy(out, p, n * s->elem);
		return (ssize_t)n;
	}
	if (unlikely(s->status))
		return over(s);
	return pull_new(s, out, max, deadline);
}

ssize_t weft__stage_view(weft_stream *s, const char **p, size_t max, int64_t deadline)
{
	if (!s->have) {
		ssize_t n;

		if (unlikely(s->status))
			return over(s);
		if (s->ops->view) {
			int64_t since = clock_of(s);

			n = s->ops->view(s, p, max, deadline);
			clock_spent(s, since);
			return came(s, n);
		}
		if (unlikely(!s->buf)) {
			s->buf = malloc(s->batch * s->elem);
			if (!s->buf)
				return WEFT_ENOMEM;
		}
		n = pull_new(s, s->buf, stage_min(max, s->batch), deadline);
		if (n <= 0)
			return n;
		s->at = 0;
		s->have = (size_t)n;
	}
	return (ssize_t)take(s, p, max);
}

void weft__stage_unview(weft_stream *s, size_t n)
{
	if (n == 0)
		return;
	if (s->ops->unview && !s->buf) {
		s->ops->unview(s, n);
		stage_count(&s->n.out, -(uint64_t)n);
	} else {
		s->at -= n;
		s->have += n;
	}
}

int weft__stage_check(int64_t deadline)
{
	struct self me;
	int rc;

	if (weft__worker()) {
		rc = self_enter(&me, &deadline);
		if (rc)
			return rc;
	}
	return deadline != WEFT_NOW && deadline != WEFT_FOREVER && clock_now() >= deadline ? WEFT_ETIMEDOUT : 0;
}
