/* SPDX-License-Identifier: MIT
 *
 * sink.c - who asks: read, view, each, fold, collect, count.
 *
 * A sink looks at elements where they lie (stage_view), a batch at a time. One that stops in the middle of it gives the rest back to the stream (stage_unview), which gives it first to whoever asks next.
 */
#include "stream/stage.h"

#include <stdlib.h>

int weft__sink_begin(weft_stream *s)
{
	if (!s)
		return WEFT_EINVAL;
	if (s->status < 0 && !s->have)
		return s->status;
	if (load_relaxed(&s->busy)) /* a hint: two tasks that come at the same time are not told apart */
		return WEFT_EBUSY;
	store_relaxed(&s->busy, true);
	return 0;
}

void weft__sink_end(weft_stream *s)
{
	store_relaxed(&s->busy, false);
}

ssize_t weft_stream_read_until(weft_stream *s, void *out, size_t max, int64_t deadline)
{
	ssize_t n = weft__sink_begin(s);

	if (n)
		return n;
	if (!out)
		n = WEFT_EINVAL;
	else if (max > 0)
		n = weft__stage_pull(s, out, stage_min(max, PTRDIFF_MAX / s->elem), deadline);
	weft__sink_end(s);
	return n;
}

ssize_t weft_stream_read(weft_stream *s, void *out, size_t max)
{
	return weft_stream_read_until(s, out, max, WEFT_FOREVER);
}

ssize_t weft_stream_view_until(weft_stream *s, const void **p, size_t max, int64_t deadline)
{
	ssize_t n = weft__sink_begin(s);
	const char *at = NULL;

	if (p)
		*p = NULL;
	if (n)
		return n;
	if (!p)
		n = WEFT_EINVAL;
	else if (max > 0)
		n = weft__stage_view(s, &at, stage_min(max, s->batch), deadline);
	if (n > 0)
		*p = at;
	weft__sink_end(s);
	return n;
}

ssize_t weft_stream_view(weft_stream *s, const void **p, size_t max)
{
	return weft_stream_view_until(s, p, max, WEFT_FOREVER);
}

bool weft__stream_step(weft_stream *s, void *out, size_t size)
{
	if (unlikely(s && s->elem && s->elem != size))
		weft__fatal("WEFT_STREAM_FOREACH: the variable has %zu bytes, and the elements of stream %p have %zu", size, (void *)s,
			    s->elem);
	if (likely(s && s->have && !load_relaxed(&s->busy))) { /* what has been asked for is given without much ado */
		memcpy(out, s->buf + s->at * size, size);
		s->at++;
		s->have--;
		return true;
	}
	if (weft__sink_begin(s) == 0) {
		const char *p;
		ssize_t n = weft__stage_view(s, &p, s->batch, WEFT_FOREVER);

		if (n > 0) {
			memcpy(out, p, size);
			weft__stage_unview(s, (size_t)n - 1);
		}
		weft__sink_end(s);
		return n > 0;
	}
	return false;
}

/* --- functions of each element --- */

int64_t weft_stream_each_until(weft_stream *s, weft_stream_each_fn *fn, void *arg, int64_t deadline)
{
	int64_t total = 0, rc = fn ? weft__sink_begin(s) : WEFT_EINVAL;
	const char *view;
	size_t elem;
	ssize_t n;

	if (rc)
		return rc;
	elem = s->elem;
	while ((n = stage_next(s, &view, total > 0, deadline)) > 0) {
		const char *p = view; /* whose address nobody has: it stays in a register across the calls */

		for (ssize_t i = 0; i < n && !rc; i++, p += elem) {
			rc = fn(p, arg);
			total++;
			if (unlikely(rc))
				weft__stage_unview(s, (size_t)(n - i - 1));
		}
		if (rc)
			break;
	}
	weft__sink_end(s);
	return rc < 0 ? rc : rc == 0 && n < 0 ? n : total;
}

int64_t weft_stream_each(weft_stream *s, weft_stream_each_fn *fn, void *arg)
{
	return weft_stream_each_until(s, fn, arg, WEFT_FOREVER);
}

int64_t weft_stream_fold_until(weft_stream *s, void *acc, weft_stream_fold_fn *fn, void *arg, int64_t deadline)
{
	int64_t total = 0, rc = fn ? weft__sink_begin(s) : WEFT_EINVAL;
	const char *view;
	size_t elem;
	ssize_t n;

	if (rc)
		return rc;
	elem = s->elem;
	while ((n = stage_next(s, &view, total > 0, deadline)) > 0) {
		const char *p = view; /* as above */

		for (ssize_t i = 0; i < n && !rc; i++, p += elem) {
			rc = fn(acc, p, arg);
			total++;
			if (unlikely(rc))
				weft__stage_unview(s, (size_t)(n - i - 1));
		}
		if (rc)
			break;
	}
	weft__sink_end(s);
	return rc < 0 ? rc : rc == 0 && n < 0 ? n : total;
}

int64_t weft_stream_fold(weft_stream *s, void *acc, weft_stream_fold_fn *fn, void *arg)
{
	return weft_stream_fold_until(s, acc, fn, arg, WEFT_FOREVER);
}

int64_t weft_stream_fold_batch_until(weft_stream *s, void *acc, weft_stream_fold_batch_fn *fn, void *arg, int64_t deadline)
{
	int64_t total = 0, rc = fn ? weft__sink_begin(s) : WEFT_EINVAL;
	const char *p;
	ssize_t n;

	if (rc)
		return rc;
	while (rc == 0 && (n = stage_next(s, &p, total > 0, deadline)) > 0) {
		rc = fn(acc, p, (size_t)n, arg);
		total += n;
	}
	weft__sink_end(s);
	return rc < 0 ? rc : rc == 0 && n < 0 ? n : total;
}

int64_t weft_stream_fold_batch(weft_stream *s, void *acc, weft_stream_fold_batch_fn *fn, void *arg)
{
	return weft_stream_fold_batch_until(s, acc, fn, arg, WEFT_FOREVER);
}

/* --- all of it --- */

int64_t weft_stream_count_until(weft_stream *s, int64_t deadline)
{
	int64_t total = 0, rc = weft__sink_begin(s);
	const char *p;
	ssize_t n;

	if (rc)
		return rc;
	while ((n = stage_next(s, &p, total > 0, deadline)) > 0)
		total += n;
	weft__sink_end(s);
	return n < 0 ? n : total;
}

int64_t weft_stream_count(weft_stream *s)
{
	return weft_stream_count_until(s, WEFT_FOREVER);
}

/* Room for one more batch, within max elements. */
static int collect_room(weft_stream *s, char **all, size_t have, size_t *room, size_t max)
{
	size_t want = have + s->batch > 2 * have ? have + s->batch : 2 * have;
	char *more;

	if (want > max)
		want = max;
	if (want > PTRDIFF_MAX / s->elem)
		return WEFT_ENOMEM;
	more = realloc(*all, want * s->elem);
	if (!more)
		return WEFT_ENOMEM;
	*all = more;
	*room = want;
	return 0;
}

static ssize_t collect(weft_stream *s, char **all, size_t *have, size_t max, int64_t deadline)
{
	size_t room = 0;
	ssize_t n;

	do {
		if (*have == max) { /* is there one more? */
			const char *p;

			n = weft__stage_view(s, &p, 1, deadline);
			if (n > 0) {
				weft__stage_unview(s, 1);
				n = WEFT_ENOBUFS;
			}
			return n;
		}
		if (*have == room) {
			int rc = collect_room(s, all, *have, &room, max);

			if (rc)
				return rc;
		}
		n = stage_goes_on(*have > 0, deadline);
		if (n)
			return n;
		n = weft__stage_pull(s, *all + *have * s->elem, room - *have, deadline);
		if (n > 0)
			*have += (size_t)n;
	} while (n > 0);
	return n;
}

int64_t weft_stream_collect_until(weft_stream *s, void **out, size_t *n, size_t max, int64_t deadline)
{
	char *all = NULL;
	size_t have = 0;
	int64_t rc = WEFT_EINVAL;

	if (out)
		*out = NULL;
	if (n)
		*n = 0;
	if (out && n)
		rc = weft__sink_begin(s);
	if (rc)
		return rc;
	rc = s->fleeting ? WEFT_EINVAL : collect(s, &all, &have, max ? max : SIZE_MAX, deadline);
	if (have == 0) {
		free(all);
		all = NULL;
	}
	*out = all;
	*n = have;
	weft__sink_end(s);
	return rc < 0 ? rc : (int64_t)have;
}

int64_t weft_stream_collect(weft_stream *s, void **out, size_t *n, size_t max)
{
	return weft_stream_collect_until(s, out, n, max, WEFT_FOREVER);
}
