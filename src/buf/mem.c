/* SPDX-License-Identifier: MIT
 *
 * mem.c - small streams: memory, nothing, the first bytes of another, a copy of what goes by, several in a row.
 */
#include "buf/pass.h"

#include <stdlib.h>

/* --- memory --- */

#define MEMBUF_FIRST 256 /* bytes of the first allocation */

static size_t membuf_has(const weft_membuf *m)
{
	return m->end - m->at;
}

/* How many of n bytes it may still take. */
static size_t membuf_may(const weft_membuf *m, size_t n)
{
	size_t most = m->limit ? m->limit : SSIZE_MAX - 1;

	if (membuf_has(m) >= most)
		return 0;
	return n < most - membuf_has(m) ? n : most - membuf_has(m);
}

/* Room for n bytes more and a 0. */
static int membuf_grow(weft_membuf *m, size_t n)
{
	size_t has = membuf_has(m), size = m->weft__size ? m->weft__size : MEMBUF_FIRST;
	char *data;

	if (m->weft__size > 0 && n < m->weft__size - m->end)
		return 0;
	if (m->weft__size > 0 && n < m->weft__size - has && m->at >= has) { /* what is moved was read before: it pays */
		memmove(m->data, m->data + m->at, has);
		m->at = 0;
		m->end = has;
		return 0;
	}
	while (size <= has + n)
		size *= 2; /* has + n <= SSIZE_MAX */
	data = malloc(size);
	if (!data)
		return WEFT_ENOMEM;
	if (has > 0)
		memcpy(data, m->data + m->at, has);
	if (m->weft__size > 0)
		free(m->data);
	m->data = data;
	m->weft__size = size;
	m->at = 0;
	m->end = has;
	return 0;
}

int weft_membuf_append(weft_membuf *m, const void *buf, size_t n)
{
	int rc = membuf_may(m, n) < n ? WEFT_ENOBUFS : membuf_grow(m, n);

	if (rc)
		return rc;
	if (n > 0)
		memcpy(m->data + m->end, buf, n);
	m->end += n;
	m->data[m->end] = '\0';
	return 0;
}

void weft_membuf_free(weft_membuf *m)
{
	if (m->weft__size > 0)
		free(m->data);
	m->data = NULL;
	m->at = m->end = m->weft__size = 0;
}

static ssize_t membuf_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	weft_membuf *m = self;
	ssize_t all = 0;

	(void)deadline;
	for (int i = 0; i < count && membuf_has(m) > 0; i++) {
		size_t n = v[i].iov_len < membuf_has(m) ? v[i].iov_len : membuf_has(m);

		if (n > 0)
			memcpy(v[i].iov_base, m->data + m->at, n);
		m->at += n;
		all += (ssize_t)n;
	}
	if (membuf_has(m) == 0 && m->weft__size > 0) {
		m->at = m->end = 0;
		m->data[0] = '\0';
	}
	return all;
}

static ssize_t membuf_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	weft_membuf *m = self;

	(void)deadline;
	*done = 0;
	for (int i = 0; i < count; i++) {
		size_t n = membuf_may(m, v[i].iov_len);
		int rc = weft_membuf_append(m, v[i].iov_base, n);

		if (rc == 0)
			*done += n;
		if (rc == 0 && n < v[i].iov_len)
			rc = WEFT_ENOBUFS;
		if (rc)
			return rc;
	}
	return (ssize_t)*done;
}

weft_io weft_membuf_io(weft_membuf *m)
{
	static const weft_io_ops ops = {.kind = "memory", .readv = membuf_readv, .writev = membuf_writev};

	return (weft_io){&ops, m};
}

/* --- nothing --- */

static ssize_t null_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	(void)self, (void)v, (void)count, (void)deadline;
	return 0;
}

static ssize_t null_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	(void)self, (void)deadline;
	*done = 0;
	for (int i = 0; i < count; i++)
		*done += v[i].iov_len;
	return (ssize_t)*done;
}

weft_io weft_null_io(void)
{
	static const weft_io_ops ops = {.kind = "null", .readv = null_readv, .writev = null_writev};

	return (weft_io){&ops, NULL};
}

/* --- the first bytes of another --- */

static ssize_t limited_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	weft_limited *l = self;
	ssize_t got = 0;

	for (int i = 0; i < count && l->left > 0; i++) {
		if (v[i].iov_len == 0)
			continue;
		got = read_below(l->io, v[i].iov_base, v[i].iov_len < l->left ? v[i].iov_len : (size_t)l->left, deadline);
		if (got > 0)
			l->left -= (uint64_t)got;
		break; /* a second read may wait */
	}
	return got;
}

weft_io weft_limited_io(weft_limited *l)
{
	static const weft_io_ops ops = {"limited", limited_readv, pass_writev, pass_shutdown, pass_set_deadline, pass_close};

	return (weft_io){&ops, l};
}

/* --- a copy of what goes by --- */

static ssize_t tee_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	weft_tee *t = self;
	ssize_t got = 0, put;

	if (t->status)
		return t->status;
	for (int i = 0; i < count && got == 0; i++) {
		if (v[i].iov_len == 0)
			continue;
		got = read_below(t->from, v[i].iov_base, v[i].iov_len, deadline);
		if (got <= 0)
			return got;
		put = weft_io_write_until(t->to, v[i].iov_base, (size_t)got, NULL, deadline);
		if (put < 0)
			t->status = (int)put;
	}
	return got;
}

weft_io weft_tee_io(weft_tee *t)
{
	static const weft_io_ops ops = {"tee", tee_readv, pass_writev, pass_shutdown, pass_set_deadline, pass_close};

	return (weft_io){&ops, t};
}

/* --- several in a row --- */

static ssize_t chain_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	weft_chain *c = self;

	for (; c->at < c->parts; c->at++) {
		ssize_t got = weft_io_readv_until(c->part[c->at], v, count, deadline);

		if (got != 0)
			return got;
	}
	return 0;
}

weft_io weft_chain_io(weft_chain *c)
{
	static const weft_io_ops ops = {.kind = "chain", .readv = chain_readv, .writev = no_writev};

	return (weft_io){&ops, c};
}
