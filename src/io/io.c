/* SPDX-License-Identifier: MIT
 *
 * io.c - byte streams of any kind: what the caller gives is looked at here, the rest is the kind's.
 */
#include "io/stream.h"

struct fd *weft__io_fd(weft_io io)
{
	bool ours = io.ops == &weft__tcp_ops || io.ops == &weft__unix_ops || io.ops == &weft__pipe_ops || io.ops == &weft__tty_ops;

	return ours ? io.self : NULL;
}

/* What v of count buffers holds; or WEFT_EINVAL. */
static ssize_t look(weft_io io, const struct iovec *v, int count)
{
	ssize_t n;

	if (!io.ops || count < 0 || count > IOV_COUNT_MAX)
		return WEFT_EINVAL;
	n = weft__stream_total(v, count);
	return n < 0 ? WEFT_EINVAL : n;
}

/* --- read --- */

ssize_t weft_io_readv_until(weft_io io, const struct iovec *v, int count, int64_t deadline)
{
	ssize_t n = look(io, v, count);

	if (n > 0) {
		n = io.ops->readv(io.self, v, count, deadline);
		NO_JUMP();
	}
	return n;
}

ssize_t weft_io_readv(weft_io io, const struct iovec *v, int count)
{
	return weft_io_readv_until(io, v, count, WEFT_FOREVER);
}

ssize_t weft_io_read_until(weft_io io, void *buf, size_t n, int64_t deadline)
{
	struct iovec v = {buf, n};

	return weft_io_readv_until(io, &v, 1, deadline);
}

ssize_t weft_io_read(weft_io io, void *buf, size_t n)
{
	return weft_io_read_until(io, buf, n, WEFT_FOREVER);
}

/* --- write --- */

ssize_t weft_io_writev_until(weft_io io, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	ssize_t n = look(io, v, count);
	size_t sent = 0;

	if (n > 0)
		n = io.ops->writev(io.self, v, count, &sent, deadline);
	if (done)
		*done = sent;
	return n;
}

ssize_t weft_io_writev(weft_io io, const struct iovec *v, int count, size_t *done)
{
	return weft_io_writev_until(io, v, count, done, WEFT_FOREVER);
}

ssize_t weft_io_write_until(weft_io io, const void *buf, size_t n, size_t *done, int64_t deadline)
{
	struct iovec v = {(void *)buf, n};

	return weft_io_writev_until(io, &v, 1, done, deadline);
}

ssize_t weft_io_write(weft_io io, const void *buf, size_t n, size_t *done)
{
	return weft_io_write_until(io, buf, n, done, WEFT_FOREVER);
}

/* --- the rest --- */

int weft_io_shutdown_until(weft_io io, int how, int64_t deadline)
{
	int rc;

	if (!io.ops || (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR))
		return WEFT_EINVAL;
	if (!io.ops->shutdown)
		return WEFT_ENOTSUP;
	rc = io.ops->shutdown(io.self, how, deadline);
	NO_JUMP();
	return rc;
}

int weft_io_shutdown(weft_io io, int how)
{
	return weft_io_shutdown_until(io, how, WEFT_FOREVER);
}

int weft_io_set_deadline(weft_io io, int64_t rd, int64_t wr)
{
	if (!io.ops)
		return WEFT_EINVAL;
	return io.ops->set_deadline ? io.ops->set_deadline(io.self, rd, wr) : WEFT_ENOTSUP;
}

int weft_io_close(weft_io io)
{
	int rc;

	if (!io.ops)
		return WEFT_EINVAL;
	if (!io.ops->close)
		return WEFT_ENOTSUP;
	rc = io.ops->close(io.self);
	NO_JUMP();
	return rc;
}
