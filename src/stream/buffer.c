/* SPDX-License-Identifier: MIT
 *
 * buffer.c - a stage whose task reads ahead, into a feed (feed.h), under a policy.
 */
#include "stream/crew.h"
#include "stream/feed.h"

struct buffer {
	weft_stream s;
	struct crew crew;
	struct feed *f;
};

/* However the task ended: if it has not said how, it was by a panic, or by weft_task_exit in somebody's function. */
static void gone(void *arg)
{
	(void)weft__feed_end(((struct buffer *)arg)->f, WEFT_EPANIC, NULL);
}

static int reads_ahead(void *arg)
{
	struct buffer *b = arg;
	weft_stream *up = b->s.up;
	const char *p;
	size_t done;
	ssize_t n;

	WEFT_DEFER(gone, b);
	while ((n = weft__stage_view(up, &p, up->batch, WEFT_FOREVER)) > 0) {
		size_t all = (size_t)n;

		n = weft__feed_put(b->f, p, all, &done, WEFT_FOREVER);
		for (size_t i = done; i < all && b->f->o.on_drop; i++) /* it is being freed */
			b->f->o.on_drop(p + i * up->elem, b->f->o.arg);
		if (n < 0)
			break;
	}
	(void)weft__feed_end(b->f, n < 0 ? (int)n : ENDED, up->status < 0 ? up->where : NULL);
	return 0;
}

static ssize_t buffer_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct buffer *b = (struct buffer *)s;

	if (!b->crew.begun) {
		int rc = weft_group_go(&b->crew.g, reads_ahead, b);

		if (rc)
			return crew_refused(&b->crew, s, rc);
		b->crew.begun = true;
	}
	return weft__feed_get(b->f, s, out, max, deadline);
}

static void buffer_close(weft_stream *s)
{
	struct buffer *b = (struct buffer *)s;

	crew_end(&b->crew);
	if (b->f) {
		weft__feed_deafen(b->f);
		weft__feed_unref(b->f);
	}
}

static uint64_t buffer_dropped(const weft_stream *s)
{
	const struct feed *f = ((const struct buffer *)s)->f; /* NULL: half made */

	return f ? load_relaxed(&f->dropped) : 0; /* statistics */
}

static const struct stage_ops buffer_ops = {
	.kind = "buffer", .pull = buffer_pull, .close = buffer_close, .dropped = buffer_dropped, .tasks = true};

weft_stream *weft_stream_buffer(weft_stream *s, const weft_stream_opts *o)
{
	static const weft_stream_opts plain = {.elem = 0};
	size_t elem = weft_stream_elem(s);
	struct buffer *b;
	int rc;

	if (!o)
		o = &plain;
	b = weft__stage_keeps_on(&s, &buffer_ops, sizeof *b, elem ? elem : 1, o->elem == 0 || o->elem == elem);
	if (!b)
		return s;
	rc = weft__feed_make(&b->f, o, elem);
	if (!rc)
		rc = crew_make(&b->crew);
	return rc ? weft__stage_undo(s, rc) : s;
}
