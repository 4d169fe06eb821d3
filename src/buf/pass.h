/* SPDX-License-Identifier: MIT
 *
 * pass.h - what a stream upon another leaves to it. Of each, self begins with the weft_io of the one below.
 */
#ifndef WEFT_BUF_PASS_H
#define WEFT_BUF_PASS_H

#include "base/check.h"
#include "base/compiler.h"
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <weft/bufio.h>

static inline weft_io below(void *self)
{
	return *(weft_io *)self;
}

static inline ssize_t pass_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	return weft_io_readv_until(below(self), v, count, deadline);
}

static inline ssize_t pass_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	return weft_io_writev_until(below(self), v, count, done, deadline);
}

static inline int pass_shutdown(void *self, int how, int64_t deadline)
{
	return weft_io_shutdown_until(below(self), how, deadline);
}

static inline int pass_set_deadline(void *self, int64_t rd, int64_t wr)
{
	return weft_io_set_deadline(below(self), rd, wr);
}

static inline int pass_close(void *self)
{
	return weft_io_close(below(self));
}

/* For what can only be read. */
static inline ssize_t no_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	(void)self, (void)v, (void)count, (void)deadline;
	*done = 0;
	return WEFT_ENOTSUP;
}

/* Whether the same call may do better another time: nothing has happened, and the stream is as good as before. */
static inline bool may_pass(ssize_t rc)
{
	return rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED || rc == WEFT_EAGAIN || rc == WEFT_ENOMEM || rc == WEFT_ESRCH;
}

/* Reads, believing no stream that claims more than it was asked for. */
static inline ssize_t read_below(weft_io io, void *buf, size_t n, int64_t deadline)
{
	ssize_t got = weft_io_read_until(io, buf, n, deadline);

	if (unlikely(got > 0 && (size_t)got > n))
		weft__fatal("a stream (%s) was asked for %zu bytes, and says that it has read %zd", io.ops->kind, n, got);
	return got;
}

#endif
