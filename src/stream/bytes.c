/* SPDX-License-Identifier: MIT
 *
 * bytes.c - byte streams and files as sources and sinks.
 *
 * A source of lines has one buffer, and its elements are pieces of it: all lines that lie in it are given in one pull. What is left of it is moved to the front, and more is read, only when the stream is pulled again and there is no
 * whole line; so pieces are valid until then, and no byte is copied but those.
 */
#include "stream/stage.h"
#include "weft/file.h"

#include <stdlib.h>

struct bytes {
	weft_stream s;
	weft_io io;
	weft_file *file; /* NULL: none, or not opened yet */
	char *path;      /* of the file; NULL: io is somebody's */
	char *buf;       /* size bytes; at..end are read and not given, up to `seen` there is no end of line */
	size_t size, at, seen, end;
	bool ended;
};

/* More bytes behind `end`. 1: there are; 0: the end has come; or an error. */
static ssize_t fill(struct bytes *b, int64_t deadline)
{
	ssize_t n;

	if (b->path && !b->file) {
		int rc = weft_file_open_until(&b->file, b->path, O_RDONLY, 0, deadline);

		if (rc)
			return stage_told(&b->s, rc);
		b->io = weft_file_io(b->file);
	}
	if (b->at > 0) {
		memmove(b->buf, b->buf + b->at, b->end - b->at);
		b->seen -= b->at;
		b->end -= b->at;
		b->at = 0;
	}
	n = weft_io_read_until(b->io, b->buf + b->end, b->size - b->end, deadline);
	if (n < 0)
		return stage_told(&b->s, n);
	b->end += (size_t)n;
	b->ended = n == 0;
	return n > 0;
}

/* The lines that are there, max at most. */
static size_t split(struct bytes *b, weft_bytes *out, size_t max)
{
	size_t n = 0;

	while (n < max) {
		const char *from = b->buf + b->at, *lf = memchr(b->buf + b->seen, '\n', b->end - b->seen);
		size_t len;

		if (!lf) {
			b->seen = b->end;
			break;
		}
		len = (size_t)(lf - from);
		b->at += len + 1;
		b->seen = b->at;
		out[n++] = (weft_bytes){from, len > 0 && lf[-1] == '\r' ? len - 1 : len};
	}
	return n;
}

static ssize_t lines_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct bytes *b = (struct bytes *)s;
	weft_bytes *to = (weft_bytes *)(void *)out; /* aligned for any element */
	ssize_t n = weft__stage_check(deadline);

	while (n >= 0) {
		n = (ssize_t)split(b, to, max);
		if (n > 0)
			return n;
		if (b->ended) {
			if (b->at == b->end)
				return 0;
			*to = (weft_bytes){b->buf + b->at, b->end - b->at};
			b->at = b->seen = b->end;
			return 1;
		}
		if (b->end - b->at == b->size)
			return weft__stage_fail(s, WEFT_ENOBUFS, NULL);
		n = fill(b, deadline);
	}
	return n;
}

static ssize_t bytes_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct bytes *b = (struct bytes *)s;
	ssize_t n = weft__stage_check(deadline);

	(void)max;
	if (n)
		return n;
	b->at = b->seen = b->end = 0;
	n = fill(b, deadline);
	if (n > 0)
		*(weft_bytes *)(void *)out = (weft_bytes){b->buf, b->end};
	return n;
}

static void bytes_close(weft_stream *s)
{
	struct bytes *b = (struct bytes *)s;

	weft_file_close(b->file);
	free(b->path);
	free(b->buf);
}

static const struct stage_ops lines_ops = {.kind = "lines", .pull = lines_pull, .close = bytes_close};
static const struct stage_ops bytes_ops = {.kind = "bytes", .pull = bytes_pull, .close = bytes_close};

static weft_stream *make(const struct stage_ops *ops, weft_io io, const char *path, size_t max, bool ok)
{
	weft_stream *s;
	struct bytes *b;

	if (max == 0)
		max = WEFT_STREAM_LINE_MAX;
	b = stage_source(&s, ops, sizeof *b, sizeof(weft_bytes), ok && max >= WEFT_BUF_MIN && max <= PTRDIFF_MAX);
	if (!b)
		return s;
	b->s.fleeting = true;
	b->io = io;
	b->size = max;
	b->buf = malloc(max);
	if (path)
		b->path = strdup(path);
	return b->buf && (b->path || !path) ? s : weft__stage_undo(s, WEFT_ENOMEM);
}

weft_stream *weft_stream_lines(weft_io io, size_t max)
{
	return make(&lines_ops, io, NULL, max, io.ops != NULL);
}

weft_stream *weft_stream_bytes(weft_io io, size_t max)
{
	return make(&bytes_ops, io, NULL, max, io.ops != NULL);
}

weft_stream *weft_stream_file_lines(const char *path, size_t max)
{
	return make(&lines_ops, (weft_io){.ops = NULL}, path, max, path != NULL);
}

weft_stream *weft_stream_file_bytes(const char *path, size_t max)
{
	return make(&bytes_ops, (weft_io){.ops = NULL}, path, max, path != NULL);
}

/* --- sinks --- */

static ssize_t put_plain(const weft_stream *s, const char *e, weft_wr *w, int64_t deadline)
{
	weft_bytes b = {e, s->elem};

	if (s->fleeting)
		memcpy(&b, e, sizeof b);
	return weft_wr_write_until(w, b.data, b.n, NULL, deadline);
}

static int64_t write_all(weft_stream *s, weft_wr *w, weft_stream_put_fn *put, void *arg, int64_t deadline)
{
	int64_t total = 0, rc = 0;
	const char *p;

	for (;;) {
		ssize_t n = stage_goes_on(total > 0, deadline);

		if (n == 0)
			n = weft__stage_view(s, &p, s->batch, WEFT_NOW);
		if (n == WEFT_EAGAIN) { /* before it waits for more */
			rc = weft_wr_flush_until(w, deadline);
			if (rc)
				return rc;
			n = weft__stage_view(s, &p, s->batch, deadline);
		}
		if (n <= 0) {
			rc = weft_wr_flush_until(w, deadline);
			return n < 0 ? n : rc < 0 ? rc : total;
		}
		for (ssize_t i = 0; i < n; i++, p += s->elem) {
			rc = put ? put(p, w, arg, deadline) : put_plain(s, p, w, deadline);
			if (rc < 0) {
				weft__stage_unview(s, (size_t)(n - i - 1));
				return rc;
			}
			total++;
		}
	}
}

int64_t weft_stream_to_io_until(weft_stream *s, weft_io io, weft_stream_put_fn *put, void *arg, int64_t deadline)
{
	int64_t rc = io.ops ? weft__sink_begin(s) : WEFT_EINVAL;
	weft_wr w;

	if (rc)
		return rc;
	rc = weft_wr_init(&w, io, NULL, 0);
	if (rc == 0) {
		rc = write_all(s, &w, put, arg, deadline);
		weft_wr_free(&w);
	}
	weft__sink_end(s);
	return rc;
}

int64_t weft_stream_to_io(weft_stream *s, weft_io io, weft_stream_put_fn *put, void *arg)
{
	return weft_stream_to_io_until(s, io, put, arg, WEFT_FOREVER);
}

int64_t weft_stream_to_file_until(weft_stream *s, const char *path, unsigned mode, weft_stream_put_fn *put, void *arg, int64_t deadline)
{
	weft_file *f;
	int64_t rc;
	int closed;

	if (!s || !path)
		return WEFT_EINVAL;
	rc = weft_file_open_until(&f, path, O_WRONLY | O_CREAT | O_TRUNC, (mode_t)mode, deadline);
	if (rc)
		return rc;
	rc = weft_stream_to_io_until(s, weft_file_io(f), put, arg, deadline);
	closed = weft_file_close(f);
	return rc < 0 ? rc : closed < 0 ? closed : rc;
}

int64_t weft_stream_to_file(weft_stream *s, const char *path, unsigned mode, weft_stream_put_fn *put, void *arg)
{
	return weft_stream_to_file_until(s, path, mode, put, arg, WEFT_FOREVER);
}

int64_t weft_stream_to_chan_until(weft_stream *s, weft_chan *c, int64_t deadline)
{
	int64_t total = 0, rc = c ? weft__sink_begin(s) : WEFT_EINVAL;
	const char *p;
	ssize_t n = 0;

	if (rc)
		return rc;
	if (weft_chan_elem(c) != s->elem || s->fleeting)
		rc = WEFT_EINVAL;
	while (rc == 0 && (n = stage_next(s, &p, total > 0, deadline)) > 0) {
		for (ssize_t i = 0; i < n && rc == 0;) {
			ssize_t k = weft_chan_send_many_until(c, p + (size_t)i * s->elem, (size_t)(n - i), deadline);

			if (k < 0) {
				weft__stage_unview(s, (size_t)(n - i));
				rc = k;
			} else {
				i += k;
				total += k;
			}
		}
	}
	weft__sink_end(s);
	return rc < 0 ? rc : n < 0 ? n : total;
}

int64_t weft_stream_to_chan(weft_stream *s, weft_chan *c)
{
	return weft_stream_to_chan_until(s, c, WEFT_FOREVER);
}
