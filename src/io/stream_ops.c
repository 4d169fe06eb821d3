/* SPDX-License-Identifier: MIT
 *
 * stream_ops.c - the kinds of stream.h as weft_io sees them: the record alone, whatever handle it is behind.
 */
#include "io/stream.h"

static ssize_t tcp_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	return stream_readv(self, v, count, deadline, STREAM_TCP);
}

static ssize_t tcp_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	return stream_writev(self, v, count, done, deadline, STREAM_TCP);
}

static ssize_t unix_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	return stream_readv(self, v, count, deadline, STREAM_UNIX);
}

static ssize_t unix_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	return stream_writev(self, v, count, done, deadline, STREAM_UNIX);
}

static ssize_t other_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	return stream_readv(self, v, count, deadline, STREAM_OTHER);
}

static ssize_t other_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	return stream_writev(self, v, count, done, deadline, STREAM_OTHER);
}

static int sock_shutdown(void *self, int how, int64_t deadline)
{
	(void)deadline; /* nothing waits */
	return weft__stream_shutdown(self, how);
}

static int set_deadline(void *self, int64_t rd, int64_t wr)
{
	return weft__stream_set_deadline(self, rd, wr);
}

static int close_fd(void *self)
{
	return weft__fd_close(self, false);
}

const weft_io_ops weft__tcp_ops = {"tcp", tcp_readv, tcp_writev, sock_shutdown, set_deadline, close_fd};
const weft_io_ops weft__unix_ops = {"unix", unix_readv, unix_writev, sock_shutdown, set_deadline, close_fd};
const weft_io_ops weft__pipe_ops = {"pipe", other_readv, other_writev, NULL, set_deadline, close_fd};
const weft_io_ops weft__tty_ops = {"tty", other_readv, other_writev, NULL, set_deadline, close_fd};
