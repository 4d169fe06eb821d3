/* SPDX-License-Identifier: MIT
 *
 * script.h - streams that do as they are told: a source that gives its text in pieces, with errors in between, and a sink that takes as much as it shall.
 *
 *   struct source s = {.step = steps, .steps = n};    source_io(&s)
 *   struct sink k = {.room = 100, .rc = WEFT_EPIPE};  sink_io(&k), k.got
 */
#ifndef WEFT_TEST_SCRIPT_H
#define WEFT_TEST_SCRIPT_H

#include "tap.h"

#include "weft/bufio.h"
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* A text to be read, or what a read returns instead: an error, or 0, the end. The last step is the last answer for ever. */
struct step {
	const char *text;
	ssize_t rc;
};

struct source {
	const struct step *step;
	int steps, at;
	size_t most; /* bytes a read gives; 0: all of a text */
	size_t off;  /* in the text */
	int calls;
	int64_t deadline; /* of the last call */
};

static inline ssize_t source_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	struct source *s = self;
	const struct step *now;
	size_t n;

	s->calls++;
	s->deadline = deadline;
	T_GT(count, 0);
	now = &s->step[s->at];
	if (!now->text) {
		s->at += s->at < s->steps - 1;
		return now->rc;
	}
	n = strlen(now->text + s->off);
	if (s->most && n > s->most)
		n = s->most;
	if (n > v->iov_len)
		n = v->iov_len;
	memcpy(v->iov_base, now->text + s->off, n);
	s->off += n;
	if (!now->text[s->off]) {
		s->off = 0;
		T_LT(s->at, s->steps - 1); /* the last is no text */
		s->at++;
	}
	return (ssize_t)n;
}

static inline ssize_t source_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	(void)self;
	(void)v;
	(void)count;
	(void)deadline;
	*done = 0;
	return WEFT_ENOTSUP;
}

static inline weft_io source_io(struct source *s)
{
	static const weft_io_ops ops = {.kind = "script", .readv = source_readv, .writev = source_writev};

	return (weft_io){&ops, s};
}

struct sink {
	weft_membuf got;
	size_t room; /* bytes it takes before it fails with rc; rc 0: all */
	int rc;
	int calls, bufs; /* of the last call */
	int64_t deadline;
	int how; /* its last shutdown, + 1 */
	bool closed;
};

static inline ssize_t sink_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	(void)self;
	(void)v;
	(void)count;
	(void)deadline;
	return WEFT_ENOTSUP;
}

static inline ssize_t sink_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	struct sink *k = self;

	k->calls++;
	k->bufs = count;
	k->deadline = deadline;
	*done = 0;
	for (int i = 0; i < count; i++) {
		size_t n = v[i].iov_len;

		if (k->rc && n > k->room)
			n = k->room;
		T_EQ(weft_membuf_append(&k->got, v[i].iov_base, n), 0);
		*done += n;
		k->room -= k->rc ? n : 0;
		if (n < v[i].iov_len)
			return k->rc;
	}
	return (ssize_t)*done;
}

static inline int sink_shutdown(void *self, int how, int64_t deadline)
{
	(void)deadline;
	((struct sink *)self)->how = how + 1;
	return 0;
}

static inline int sink_close(void *self)
{
	((struct sink *)self)->closed = true;
	return 0;
}

static inline weft_io sink_io(struct sink *k)
{
	static const weft_io_ops ops = {"sink", sink_readv, sink_writev, sink_shutdown, NULL, sink_close};

	return (weft_io){&ops, k};
}

/* What has come, which is forgotten. */
static inline const char *sink_got(struct sink *k)
{
	static char text[4096];
	size_t n = k->got.end - k->got.at;

	T_LT(n, sizeof text);
	if (n > 0)
		memcpy(text, k->got.data + k->got.at, n);
	text[n] = '\0';
	weft_membuf_free(&k->got);
	return text;
}

#endif
