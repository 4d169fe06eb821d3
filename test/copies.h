/* SPDX-License-Identifier: MIT
 *
 * copies.h - for tests of copies: ends of every kind, with a task at the far end that writes the pattern, or reads it and looks at each byte.
 *
 *   source_make(&e, kind, n)   e.near has n bytes to be read, then its end        source_end(&e)
 *   dest_make(&e, kind, 0)     e.near is to be written to                         dest_end(&e) returns how many bytes have come
 *   copy_start(&c, &dst, &src) a task that copies; c.rc, c.how
 */
#ifndef WEFT_TEST_COPIES_H
#define WEFT_TEST_COPIES_H

#include "net.h"

#include "base/rand.h"
#include "io/copy.h"
#include "weft/bufio.h"
#include "weft/file.h"
#include "weft/pipe.h"
#include "weft/unix.h"
#include <pthread.h>
#include <sys/mman.h>

enum kind { TCP, UNIX, PIPE, FILE_, PAIR, MEM, KINDS };
static const char *const kind_name[] = {"tcp", "unix", "pipe", "file", "pair", "memory"};

/* What is copied: byte i of it. */
static inline unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 31 + i / 251);
}

static inline void pattern(unsigned char *buf, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf[i] = byte_at(from + i);
}

static inline void check(const unsigned char *buf, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (buf[i] != byte_at(from + i))
			T_FAIL("byte %zu is %d", from + i, buf[i]);
	}
}

/* --- ends --- */

/* `near` is what is copied from or to; `far` its other end, used by a task of its own, if it has one. */
struct end {
	enum kind kind;
	weft_io near, far;
	weft_membuf mem;
	size_t n;     /* bytes the far end shall write */
	size_t got;   /* bytes it has read */
	size_t piece; /* it reads so many at a time, and lets others run before; 0: all it can get */
	weft_task *task;
};

static inline void ends_make(struct end *e, enum kind kind, bool source)
{
	weft_tcp *t[2];
	weft_unix *u[2];
	weft_pipe *p[2];
	weft_file *f;

	*e = (struct end){.kind = kind};
	switch (kind) {
	case TCP:
		pair_make(&t[0], &t[1]);
		e->near = weft_tcp_io(t[0]);
		e->far = weft_tcp_io(t[1]);
		break;
	case UNIX:
		T_EQ(weft_unix_pair(&u[0], &u[1]), 0);
		e->near = weft_unix_io(u[0]);
		e->far = weft_unix_io(u[1]);
		break;
	case PIPE:
		T_EQ(weft_pipe_make(&p[0], &p[1]), 0);
		e->near = weft_pipe_io(p[source ? 0 : 1]);
		e->far = weft_pipe_io(p[source ? 1 : 0]);
		break;
	case FILE_:
		T_EQ(weft_file_from_fd(&f, memfd_create("copy", MFD_CLOEXEC)), 0);
		e->near = weft_file_io(f);
		break;
	case PAIR:
		T_EQ(weft_io_pair(&e->near, &e->far), 0);
		break;
	default:
		e->near = weft_membuf_io(&e->mem);
		break;
	}
}

static inline void close_near(struct end *e)
{
	if (e->near.ops && e->kind != MEM)
		T_EQ(weft_io_close(e->near), 0);
	e->near.ops = NULL;
	weft_membuf_free(&e->mem);
}

static inline void close_far(struct end *e)
{
	if (e->far.ops)
		T_EQ(weft_io_close(e->far), 0);
	e->far.ops = NULL;
}

static inline int writes_far(void *arg)
{
	struct end *e = arg;
	unsigned char buf[8192];

	for (size_t at = 0; at < e->n;) {
		size_t n = e->n - at < sizeof buf ? e->n - at : sizeof buf;

		pattern(buf, at, n);
		T_EQ(weft_io_write(e->far, buf, n, NULL), (ssize_t)n);
		at += n;
	}
	close_far(e);
	return 0;
}

static inline int reads_far(void *arg)
{
	struct end *e = arg;
	unsigned char buf[8192];
	ssize_t n;

	for (;;) {
		if (e->piece)
			weft_task_yield();
		n = weft_io_read(e->far, buf, e->piece ? e->piece : sizeof buf);
		if (n <= 0)
			return (int)n;
		check(buf, e->got, (size_t)n);
		e->got += (size_t)n;
	}
}

/* A source of n bytes, then its end. */
static inline void source_make(struct end *e, enum kind kind, size_t n)
{
	unsigned char *all;

	ends_make(e, kind, true);
	e->n = n;
	if (e->far.ops) {
		e->task = start(writes_far, e);
		return;
	}
	all = malloc(n + 1);
	pattern(all, 0, n);
	T_EQ(weft_io_write(e->near, all, n, NULL), (ssize_t)n);
	free(all);
	if (kind == FILE_)
		T_EQ(weft_file_seek(e->near.self, 0, SEEK_SET), 0);
}

static inline void source_end(struct end *e)
{
	if (e->task)
		T_EQ(finish(e->task), 0);
	close_far(e);
	close_near(e);
}

static inline void dest_make(struct end *e, enum kind kind, size_t piece)
{
	ends_make(e, kind, false);
	e->piece = piece;
	if (e->far.ops)
		e->task = start(reads_far, e);
}

/* How many bytes have come; they are looked at, and the end is closed. */
static inline size_t dest_end(struct end *e)
{
	unsigned char buf[4096];
	ssize_t n;

	if (e->task) {
		close_near(e); /* its peer reads to the end */
		T_EQ(finish(e->task), 0);
		close_far(e);
		return e->got;
	}
	if (e->kind == FILE_)
		T_EQ(weft_file_seek(e->near.self, 0, SEEK_SET), 0);
	while ((n = weft_io_read(e->near, buf, sizeof buf)) > 0) {
		check(buf, e->got, (size_t)n);
		e->got += (size_t)n;
	}
	close_near(e);
	return e->got;
}

/* --- a copy in a task --- */

struct copying {
	weft_io dst, src;
	uint64_t limit;
	int64_t deadline, rc;
	weft_copied how;
};

static inline int copies(void *arg)
{
	struct copying *c = arg;

	c->rc = weft_io_copy_until(c->dst, c->src, c->limit ? c->limit : WEFT_COPY_ALL, &c->how, c->deadline ? c->deadline : WEFT_FOREVER);
	return 0;
}

static inline weft_task *copy_start(struct copying *c, struct end *dst, struct end *src)
{
	*c = (struct copying){.dst = dst->near, .src = src->near, .deadline = c->deadline};
	return start(copies, c);
}

#endif
