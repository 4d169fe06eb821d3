/* SPDX-License-Identifier: MIT
 *
 * several.c - several elements as one: batches, and windows by count and by time.
 *
 * What has come lies in `kept` until it is given; so a call that is cut short loses nothing. The time of an element is when it was pulled.
 */
#include "base/clock.h"
#include "stream/stage.h"

#include <stdlib.h>

struct several {
	weft_stream s;
	size_t size, step;  /* elements; step: of windows */
	int64_t span, tick; /* nanoseconds. Of a batch: span is how long it waits */
	int64_t due;        /* when what is kept is to be given, or the next window */
	char *kept;         /* size elements */
	size_t have, fresh; /* that are kept; that have come since the last window */
	size_t skip;        /* to be left out before the next window */
	int64_t *when;      /* of windows by time: when each has come */
};

static ssize_t give(struct several *v, char *out)
{
	size_t bytes = v->have * v->s.up->elem;

	memcpy(out, &v->have, sizeof v->have);
	memcpy(out + sizeof v->have, v->kept, bytes);
	memset(out + sizeof v->have + bytes, 0, v->s.elem - sizeof v->have - bytes);
	return 1;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Whether it was the time that a stage has set, not its caller's, that came. */
static bool is_due(ssize_t rc, int64_t due)
{
	return (rc == WEFT_ETIMEDOUT || rc == WEFT_EAGAIN) && clock_now() >= due;
}

/* --- batches --- */

static ssize_t batch_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct several *v = (struct several *)s;
	size_t elem = s->up->elem;
	bool timed = v->span != WEFT_FOREVER;

	(void)max;
	while (v->have < v->size) {
		int64_t until = v->have && timed ? sooner(deadline, v->due) : deadline;
		ssize_t n = weft__stage_pull(s->up, v->kept + v->have * elem, v->size - v->have, until);

		if (n > 0) {
			if (v->have == 0 && timed)
				v->due = clock_add(clock_now(), v->span);
			v->have += (size_t)n;
		} else if (v->have > 0 && (s->up->status || (timed && is_due(n, v->due)))) {
			break;
		} else {
			return n;
		}
	}
	give(v, out);
	v->have = 0;
	return 1;
}

/* --- windows by count --- */

static ssize_t window_skip(struct several *v, int64_t deadline)
{
	weft_stream *up = v->s.up;

	while (v->skip > 0) {
		const char *p;
		ssize_t n = weft__stage_view(up, &p, stage_min(v->skip, up->batch), deadline);

		if (n <= 0)
			return n;
		v->skip -= (size_t)n;
		if (v->skip > 0 && (n = weft__stage_check(deadline)) != 0)
			return n;
	}
	return 1;
}

static ssize_t window_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct several *v = (struct several *)s;
	size_t elem = s->up->elem, gone;
	ssize_t n = window_skip(v, deadline);

	(void)max;
	if (n <= 0)
		return n;
	while (v->have < v->size) {
		n = weft__stage_pull(s->up, v->kept + v->have * elem, v->size - v->have, deadline);
		if (n > 0) {
			v->have += (size_t)n;
			v->fresh += (size_t)n;
		} else if (s->up->status && v->fresh > 0) {
			break;
		} else {
			return n;
		}
	}
	give(v, out);
	gone = stage_min(v->step, v->have);
	v->skip = v->step - gone;
	v->have -= gone;
	v->fresh = 0;
	memmove(v->kept, v->kept + gone * elem, v->have * elem);
	return 1;
}

/* --- windows by time --- */

static void forget(struct several *v, size_t n)
{
	v->have -= n;
	memmove(v->kept, v->kept + n * v->s.up->elem, v->have * v->s.up->elem);
	memmove(v->when, v->when + n, v->have * sizeof v->when[0]);
}

/* Those that came at `limit` or before are in no window any more. */
static void forget_older(struct several *v, int64_t limit)
{
	size_t n = 0;

	while (n < v->have && v->when[n] <= limit)
		n++;
	forget(v, n);
}

/* The window that is due, if there is anything in it. */
static bool close_window(struct several *v, char *out)
{
	int64_t at = v->due, now = clock_now();

	forget_older(v, at - v->span);
	v->due = clock_add(at, v->tick);
	v->fresh = 0;
	if (v->have > 0)
		return give(v, out) > 0;
	if (v->due <= now) /* nothing has come, so the windows until now are empty */
		v->due = clock_add(v->due, (now - v->due) / v->tick * v->tick + v->tick);
	return false;
}

static ssize_t window_time_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct several *v = (struct several *)s;
	size_t elem = s->up->elem;
	const char *p;
	ssize_t n;

	(void)max;
	if (v->due == 0)
		v->due = clock_add(clock_now(), v->tick);
	for (;;) {
		int64_t now = clock_now();

		if (now >= v->due) {
			if (close_window(v, out))
				return 1;
			continue;
		}
		n = weft__stage_view(s->up, &p, stage_min(v->size, s->up->batch), sooner(deadline, v->due));
		if (n > 0) {
			size_t k = (size_t)n;

			if (v->have + k > v->size)
				forget(v, v->have + k - v->size);
			memcpy(v->kept + v->have * elem, p, k * elem);
			now = clock_now();
			for (size_t i = 0; i < k; i++)
				v->when[v->have++] = now;
			v->fresh = stage_min(v->fresh + k, v->have);
			n = weft__stage_check(deadline);
			if (n)
				return n;
		} else if (s->up->status && v->fresh > 0) {
			forget(v, v->have - v->fresh);
			v->fresh = 0;
			give(v, out);
			v->have = 0;
			return 1;
		} else if (s->up->status || !is_due(n, v->due)) {
			return n;
		}
	}
}

static void several_close(weft_stream *s)
{
	struct several *v = (struct several *)s;

	free(v->kept);
	free(v->when);
}

static const struct stage_ops batch_ops = {.kind = "batch", .pull = batch_pull, .close = several_close};
static const struct stage_ops window_ops = {.kind = "window", .pull = window_pull, .close = several_close};
static const struct stage_ops window_time_ops = {.kind = "window_time", .pull = window_time_pull, .close = several_close};

static weft_stream *several_on(weft_stream *s, const struct stage_ops *ops, struct several like, bool ok)
{
	size_t elem = weft_stream_elem(s), whole = 0;
	struct several *v;

	if (ok && elem && like.size > 0 && like.size <= WEFT_STREAM_ELEM_MAX / elem)
		whole = (sizeof(size_t) + like.size * elem + sizeof(size_t) - 1) / sizeof(size_t) * sizeof(size_t);
	else if (!s || s->status >= 0)
		ok = false;
	v = weft__stage_keeps_on(&s, ops, sizeof *v, whole, ok);
	if (!v)
		return s;
	v->size = like.size;
	v->step = like.step;
	v->span = like.span;
	v->tick = like.tick;
	v->kept = malloc(v->size * elem);
	if (v->tick)
		v->when = malloc(v->size * sizeof v->when[0]);
	return v->kept && (v->when || !v->tick) ? s : weft__stage_undo(s, WEFT_ENOMEM);
}

weft_stream *weft_stream_batch(weft_stream *s, size_t n, int64_t max_wait)
{
	return several_on(s, &batch_ops, (struct several){.size = n, .span = max_wait}, max_wait >= 0);
}

weft_stream *weft_stream_window(weft_stream *s, size_t size, size_t step)
{
	return several_on(s, &window_ops, (struct several){.size = size, .step = step}, step > 0);
}

weft_stream *weft_stream_window_time(weft_stream *s, int64_t span, int64_t step, size_t max)
{
	return several_on(s, &window_time_ops, (struct several){.size = max, .span = span, .tick = step}, step > 0 && step <= span);
}
