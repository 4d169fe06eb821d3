/* SPDX-License-Identifier: MIT
 *
 * rd.c - buffered reading: bytes at..end of the buffer are read and not taken; whatever looks for something fills until it is there.
 *
 * The last byte of the buffer is never filled: there is always room for the 0 behind a line.  The byte taken last is kept beside the buffer, because a line's end is
 * overwritten; it can be put back while at > 0, or while nothing is buffered (fill sees to that).
 */
#include "buf/pass.h"

#include <stdlib.h>

int weft_rd_init(weft_rd *r, weft_io io, void *buf, size_t size)
{
	*r = (weft_rd){.weft__io = io, .weft__buf = buf, .weft__last = -1};
	if (!buf && size == 0)
		size = WEFT_BUF_SIZE;
	if (!io.ops || size < WEFT_BUF_MIN || size > SSIZE_MAX)
		return WEFT_EINVAL;
	if (!buf) {
		r->weft__buf = malloc(size);
		if (!r->weft__buf)
			return WEFT_ENOMEM;
		r->weft__own = true;
	}
	r->weft__size = size - 1;
	return 0;
}

void weft_rd_free(weft_rd *r)
{
	if (r->weft__own)
		free(r->weft__buf);
	*r = (weft_rd){.weft__last = -1};
}

void weft_rd_reset(weft_rd *r, weft_io io)
{
	r->weft__io = io;
	r->weft__at = r->weft__end = 0;
	r->weft__status = 0;
	r->weft__last = -1;
}

void weft_rd_tie(weft_rd *r, weft_wr *w)
{
	r->weft__tied = w;
}

size_t weft_rd_buffered(const weft_rd *r)
{
	return r->weft__end - r->weft__at;
}

/* --- the buffer --- */

static ssize_t below_read(weft_rd *r, void *buf, size_t n, int64_t deadline)
{
	ssize_t got;

	if (r->weft__status)
		return r->weft__status;
	if (r->weft__tied) {
		int rc = weft_wr_flush_until(r->weft__tied, deadline);

		if (rc)
			return rc;
	}
	got = read_below(r->weft__io, buf, n, deadline);
	if (got < 0 && !may_pass(got))
		r->weft__status = (int)got;
	return got;
}

/* Reads once into the buffer, which is not full of bytes not taken. Returns how many; 0: the end. */
static ssize_t fill(weft_rd *r, int64_t deadline)
{
	ssize_t got;

	if (r->weft__at == r->weft__end) {
		r->weft__at = r->weft__end = 0;
	} else if (r->weft__end == r->weft__size) {
		memmove(r->weft__buf, r->weft__buf + r->weft__at, weft_rd_buffered(r));
		r->weft__end -= r->weft__at;
		r->weft__at = 0;
		r->weft__last = -1; /* its place is another's */
	}
	got = below_read(r, r->weft__buf + r->weft__end, r->weft__size - r->weft__end, deadline);
	if (got > 0) {
		if (r->weft__at == 0)
			r->weft__last = -1; /* the same */
		r->weft__end += (size_t)got;
	}
	return got;
}

/* Takes n bytes of those that are there. Returns where they are. */
static char *take(weft_rd *r, size_t n)
{
	char *p = r->weft__buf + r->weft__at;

	if (n > 0)
		r->weft__last = (unsigned char)p[n - 1];
	r->weft__at += n;
	return p;
}

static size_t copy_out(weft_rd *r, void *buf, size_t n)
{
	if (n > weft_rd_buffered(r))
		n = weft_rd_buffered(r);
	if (n > 0)
		memcpy(buf, take(r, n), n);
	return n;
}

/* Some bytes for buf, past the buffer if that is empty and they are many. */
static ssize_t some(weft_rd *r, void *buf, size_t n, int64_t deadline)
{
	ssize_t got;

	if (weft_rd_buffered(r) > 0)
		return (ssize_t)copy_out(r, buf, n);
	if (n >= r->weft__size) {
		got = below_read(r, buf, n, deadline);
		if (got > 0) {
			r->weft__at = r->weft__end = 0;
			r->weft__last = ((unsigned char *)buf)[got - 1];
		}
		return got;
	}
	got = fill(r, deadline);
	return got > 0 ? (ssize_t)copy_out(r, buf, n) : got;
}

/* Fills until n bytes are there. Returns 0, or an error. */
static int have(weft_rd *r, size_t n, int64_t deadline)
{
	while (weft_rd_buffered(r) < n) {
		ssize_t got;

		if (n > r->weft__size)
			return WEFT_ENOBUFS;
		got = fill(r, deadline);
		if (got <= 0)
			return got ? (int)got : WEFT_EOF;
	}
	return 0;
}

/* Fills until delim is there. Returns the length with it; or what there is before the end, *found false. */
static ssize_t have_delim(weft_rd *r, char delim, bool *found, int64_t deadline)
{
	size_t seen = 0;

	*found = false;
	for (;;) {
		char *start = r->weft__buf + r->weft__at, *p;
		ssize_t got;

		p = memchr(start + seen, delim, weft_rd_buffered(r) - seen);
		if (p) {
			*found = true;
			return p - start + 1;
		}
		seen = weft_rd_buffered(r);
		if (seen == r->weft__size)
			return WEFT_ENOBUFS;
		got = fill(r, deadline);
		if (got < 0)
			return got;
		if (got == 0)
			return seen > 0 ? (ssize_t)seen : WEFT_EOF;
	}
}

/* --- the calls --- */

ssize_t weft_rd_read_until(weft_rd *r, void *buf, size_t n, int64_t deadline)
{
	ssize_t got;

	if (n == 0 || n > SSIZE_MAX)
		return n ? WEFT_EINVAL : 0;
	got = some(r, buf, n, deadline);
	NO_JUMP();
	return got;
}

ssize_t weft_rd_full_until(weft_rd *r, void *buf, size_t n, size_t *done, int64_t deadline)
{
	size_t all = 0;
	ssize_t got = 0;

	if (n > SSIZE_MAX)
		got = WEFT_EINVAL;
	while (all < n && got >= 0) {
		got = some(r, (char *)buf + all, n - all, deadline);
		if (got == 0)
			got = WEFT_EOF;
		if (got > 0)
			all += (size_t)got;
	}
	if (done)
		*done = all;
	return got < 0 ? got : (ssize_t)n;
}

ssize_t weft_rd_peek_until(weft_rd *r, size_t n, const char **p, int64_t deadline)
{
	int rc = have(r, n, deadline);

	r->weft__last = -1;
	*p = rc ? NULL : r->weft__buf + r->weft__at;
	return rc ? rc : (ssize_t)weft_rd_buffered(r);
}

int64_t weft_rd_discard_until(weft_rd *r, uint64_t n, uint64_t *done, int64_t deadline)
{
	uint64_t left = n;
	ssize_t got = n > INT64_MAX ? WEFT_EINVAL : 0;

	while (got >= 0) {
		size_t now = weft_rd_buffered(r) < left ? weft_rd_buffered(r) : (size_t)left;

		take(r, now);
		left -= now;
		if (left == 0)
			break;
		got = fill(r, deadline);
		if (got == 0)
			got = WEFT_EOF;
	}
	if (done)
		*done = n - left;
	return got < 0 ? got : (int64_t)n;
}

ssize_t weft_rd_delim_until(weft_rd *r, char delim, char **piece, int64_t deadline)
{
	bool found;
	ssize_t n = have_delim(r, delim, &found, deadline);

	*piece = n < 0 ? NULL : take(r, (size_t)n);
	return n;
}

ssize_t weft_rd_line_until(weft_rd *r, char **line, int64_t deadline)
{
	bool found;
	ssize_t n = have_delim(r, '\n', &found, deadline);

	*line = NULL;
	if (n < 0)
		return n;
	*line = take(r, (size_t)n);
	if (found && --n > 0 && (*line)[n - 1] == '\r')
		n--;
	(*line)[n] = '\0';
	return n;
}

int64_t weft_rd_skip_until(weft_rd *r, char delim, int64_t deadline)
{
	int64_t all = 0;

	for (;;) {
		size_t there = weft_rd_buffered(r);
		char *start = r->weft__buf + r->weft__at, *p = memchr(start, delim, there);
		ssize_t got;

		if (p)
			there = (size_t)(p - start) + 1;
		take(r, there);
		all += (int64_t)there;
		if (p)
			return all;
		got = fill(r, deadline);
		if (got < 0)
			return got;
		if (got == 0)
			return all > 0 ? all : WEFT_EOF;
	}
}

int weft_rd_byte_until(weft_rd *r, int64_t deadline)
{
	int rc = have(r, 1, deadline);

	return rc ? rc : (unsigned char)*take(r, 1);
}

int weft_rd_unread(weft_rd *r)
{
	if (r->weft__last < 0)
		return WEFT_EINVAL;
	if (r->weft__at == 0) /* then nothing is buffered: it had gone past the buffer */
		r->weft__at = r->weft__end = 1;
	r->weft__buf[--r->weft__at] = (char)r->weft__last;
	r->weft__last = -1;
	return 0;
}

ssize_t weft_rd_all_until(weft_rd *r, weft_membuf *to, size_t limit, int64_t deadline)
{
	size_t all = 0;

	for (;;) {
		size_t now = weft_rd_buffered(r);
		ssize_t got;
		int rc;

		if (now > limit - all)
			now = limit - all;
		rc = weft_membuf_append(to, r->weft__buf + r->weft__at, now);
		if (rc)
			return rc;
		take(r, now);
		all += now;
		if (weft_rd_buffered(r) > 0)
			return WEFT_ENOBUFS;
		got = fill(r, deadline);
		if (got <= 0)
			return got < 0 ? got : (ssize_t)all;
	}
}

/* --- without a deadline --- */

ssize_t weft_rd_read(weft_rd *r, void *buf, size_t n)
{
	return weft_rd_read_until(r, buf, n, WEFT_FOREVER);
}

ssize_t weft_rd_full(weft_rd *r, void *buf, size_t n, size_t *done)
{
	return weft_rd_full_until(r, buf, n, done, WEFT_FOREVER);
}

ssize_t weft_rd_peek(weft_rd *r, size_t n, const char **p)
{
	return weft_rd_peek_until(r, n, p, WEFT_FOREVER);
}

int64_t weft_rd_discard(weft_rd *r, uint64_t n, uint64_t *done)
{
	return weft_rd_discard_until(r, n, done, WEFT_FOREVER);
}

ssize_t weft_rd_line(weft_rd *r, char **line)
{
	return weft_rd_line_until(r, line, WEFT_FOREVER);
}

ssize_t weft_rd_delim(weft_rd *r, char delim, char **piece)
{
	return weft_rd_delim_until(r, delim, piece, WEFT_FOREVER);
}

int64_t weft_rd_skip(weft_rd *r, char delim)
{
	return weft_rd_skip_until(r, delim, WEFT_FOREVER);
}

int weft_rd_byte(weft_rd *r)
{
	return weft_rd_byte_until(r, WEFT_FOREVER);
}

ssize_t weft_rd_all(weft_rd *r, weft_membuf *to, size_t limit)
{
	return weft_rd_all_until(r, to, limit, WEFT_FOREVER);
}

/* --- as a stream --- */

static ssize_t rd_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	weft_rd *r = self;
	ssize_t all = 0;

	for (int i = 0; i < count && (all == 0 || weft_rd_buffered(r) > 0); i++) {
		ssize_t got;

		if (v[i].iov_len == 0)
			continue;
		got = some(r, v[i].iov_base, v[i].iov_len, deadline);
		if (got <= 0)
			return got; /* nothing before it: only what is buffered goes to a second place */
		all += got;
	}
	return all;
}

static const weft_io_ops rd_ops = {"buffered reader", rd_readv, pass_writev, pass_shutdown, pass_set_deadline, pass_close};

weft_io weft_rd_io(weft_rd *r)
{
	return (weft_io){&rd_ops, r};
}
