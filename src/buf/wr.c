/* SPDX-License-Identifier: MIT
 *
 * wr.c - buffered writing: what fits is copied; what does not goes out at once, behind what is buffered, in one call.
 *
 * What the stream below has not taken when it fails moves to the front of the buffer: it is sent by the next call that sends.
 */
#include "buf/pass.h"

#include <stdio.h>
#include <stdlib.h>

int weft_wr_init(weft_wr *w, weft_io io, void *buf, size_t size)
{
	*w = (weft_wr){.weft__io = io, .weft__buf = buf};
	if (!buf && size == 0)
		size = WEFT_BUF_SIZE;
	if (!io.ops || size < WEFT_BUF_MIN || size > SSIZE_MAX)
		return WEFT_EINVAL;
	if (!buf) {
		w->weft__buf = malloc(size);
		if (!w->weft__buf)
			return WEFT_ENOMEM;
		w->weft__own = true;
	}
	w->weft__size = size;
	return 0;
}

void weft_wr_free(weft_wr *w)
{
	if (w->weft__own)
		free(w->weft__buf);
	*w = (weft_wr){.weft__own = false};
}

void weft_wr_reset(weft_wr *w, weft_io io)
{
	w->weft__io = io;
	w->weft__have = 0;
	w->weft__status = 0;
}

size_t weft_wr_buffered(const weft_wr *w)
{
	return w->weft__have;
}

/* Sends what is buffered, and n bytes behind it. Returns 0, or an error; *done: how many of the n. */
static int send_all(weft_wr *w, const void *buf, size_t n, size_t *done, int64_t deadline)
{
	struct iovec v[2] = {{w->weft__buf, w->weft__have}, {(void *)buf, n}};
	size_t sent, old;
	ssize_t rc;

	*done = 0;
	if (n > SSIZE_MAX - w->weft__have)
		return WEFT_EINVAL;
	rc = weft_io_writev_until(w->weft__io, v, n > 0 ? 2 : 1, &sent, deadline);
	if (unlikely(sent > w->weft__have + n))
		weft__fatal("a stream (%s) was given %zu bytes, and says that it has written %zu", w->weft__io.ops->kind, w->weft__have + n,
			    sent);
	if (rc >= 0) {
		w->weft__have = 0;
		*done = n;
		return 0;
	}
	old = sent < w->weft__have ? sent : w->weft__have;
	w->weft__have -= old;
	memmove(w->weft__buf, w->weft__buf + old, w->weft__have);
	*done = sent - old;
	if (!may_pass(rc))
		w->weft__status = (int)rc;
	return (int)rc;
}

static void put(weft_wr *w, const void *buf, size_t n)
{
	if (n > 0)
		memcpy(w->weft__buf + w->weft__have, buf, n);
	w->weft__have += n;
}

static size_t room(const weft_wr *w)
{
	return w->weft__size - w->weft__have;
}

static int put_or_send(weft_wr *w, const void *buf, size_t n, size_t *done, int64_t deadline)
{
	*done = 0;
	if (w->weft__status)
		return w->weft__status;
	if (n > room(w))
		return send_all(w, buf, n, done, deadline);
	put(w, buf, n);
	*done = n;
	return 0;
}

ssize_t weft_wr_write_until(weft_wr *w, const void *buf, size_t n, size_t *done, int64_t deadline)
{
	size_t dummy;
	int rc = put_or_send(w, buf, n, done ? done : &dummy, deadline);

	return rc ? rc : (ssize_t)n;
}

ssize_t weft_wr_write(weft_wr *w, const void *buf, size_t n, size_t *done)
{
	return weft_wr_write_until(w, buf, n, done, WEFT_FOREVER);
}

int weft_wr_byte_until(weft_wr *w, char byte, int64_t deadline)
{
	size_t done;

	if (likely(w->weft__status == 0 && w->weft__have < w->weft__size)) {
		w->weft__buf[w->weft__have++] = byte;
		return 0;
	}
	return put_or_send(w, &byte, 1, &done, deadline);
}

int weft_wr_byte(weft_wr *w, char byte)
{
	return weft_wr_byte_until(w, byte, WEFT_FOREVER);
}

int weft_wr_flush_until(weft_wr *w, int64_t deadline)
{
	size_t done;

	if (w->weft__status || w->weft__have == 0)
		return w->weft__status;
	return send_all(w, NULL, 0, &done, deadline);
}

int weft_wr_flush(weft_wr *w)
{
	return weft_wr_flush_until(w, WEFT_FOREVER);
}

/* --- printf --- */

/* A text of n bytes for which, with its 0, there is no room. */
static int print_long(weft_wr *w, size_t n, int64_t deadline, const char *fmt, va_list args)
{
	char *text = malloc(n + 1);
	size_t done;
	int rc;

	if (!text)
		return WEFT_ENOMEM;
	vsnprintf(text, n + 1, fmt, args);
	if (n <= w->weft__size) { /* all or nothing: what is buffered goes first */
		rc = n > room(w) ? weft_wr_flush_until(w, deadline) : 0;
		if (rc == 0)
			put(w, text, n);
	} else {
		rc = send_all(w, text, n, &done, deadline);
		if (rc && done > 0)
			w->weft__status = rc; /* nobody has the rest any more */
	}
	free(text);
	return rc;
}

ssize_t weft_wr_vprintf_until(weft_wr *w, int64_t deadline, const char *fmt, va_list args)
{
	va_list again;
	int n, rc = 0;

	if (w->weft__status)
		return w->weft__status;
	va_copy(again, args);
	n = vsnprintf(room(w) > 0 ? w->weft__buf + w->weft__have : NULL, room(w), fmt, args);
	if (n < 0)
		rc = WEFT_EINVAL;
	else if ((size_t)n < room(w)) /* its 0 has to fit as well, for vsnprintf writes one */
		w->weft__have += (size_t)n;
	else
		rc = print_long(w, (size_t)n, deadline, fmt, again);
	va_end(again);
	return rc ? rc : n;
}

ssize_t weft_wr_vprintf(weft_wr *w, const char *fmt, va_list args)
{
	return weft_wr_vprintf_until(w, WEFT_FOREVER, fmt, args);
}

ssize_t weft_wr_printf_until(weft_wr *w, int64_t deadline, const char *fmt, ...)
{
	va_list args;
	ssize_t n;

	va_start(args, fmt);
	n = weft_wr_vprintf_until(w, deadline, fmt, args);
	va_end(args);
	return n;
}

ssize_t weft_wr_printf(weft_wr *w, const char *fmt, ...)
{
	va_list args;
	ssize_t n;

	va_start(args, fmt);
	n = weft_wr_vprintf_until(w, WEFT_FOREVER, fmt, args);
	va_end(args);
	return n;
}

/* --- as a stream --- */

static ssize_t wr_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	*done = 0;
	for (int i = 0; i < count; i++) {
		size_t n;
		int rc = put_or_send(self, v[i].iov_base, v[i].iov_len, &n, deadline);

		*done += n;
		if (rc)
			return rc;
	}
	return (ssize_t)*done;
}

static int wr_shutdown(void *self, int how, int64_t deadline)
{
	int rc = how == SHUT_RD ? 0 : weft_wr_flush_until(self, deadline);

	return rc ? rc : pass_shutdown(self, how, deadline);
}

static const weft_io_ops wr_ops = {"buffered writer", pass_readv, wr_writev, wr_shutdown, pass_set_deadline, pass_close};

weft_io weft_wr_io(weft_wr *w)
{
	return (weft_io){&wr_ops, w};
}
