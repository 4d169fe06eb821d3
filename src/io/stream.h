/* SPDX-License-Identifier: MIT
 *
 * stream.h - byte streams upon a descriptor: what reading and writing TCP, Unix domain sockets, pipes and terminals have in common.
 *
 * Every read and write is tried first, as a plain non-blocking call on whatever worker runs the task; only EAGAIN waits.  After a read that did not fill
 * its buffer the next one waits at once, where the kind allows it: with edge-triggered events there is nothing more, unless the system has spoken of an end or an
 * error.  A request and its answer cost two system calls.  (Waiting, turns and close: io/fd.h.)
 *
 * The two loops are here to be compiled into each kind's calls: the kind is a constant there.
 */
#ifndef WEFT_IO_STREAM_H
#define WEFT_IO_STREAM_H

#include "io/fd.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <weft/io.h>

#define IOV_COUNT_MAX 1024 /* Linux: UIO_MAXIOV */
#define IOV_AT_ONCE 16     /* buffers of a writev given to the kernel at a time */

enum stream_kind {
	STREAM_TCP,  /* a socket, of which a read takes all that fits */
	STREAM_UNIX, /* a socket, of which a read may stop at what was sent along with the bytes */
	STREAM_OTHER /* no socket: a read may stop anywhere (at a line, at a packet) */
};

/* The descriptor's record, if io is one of the kinds above, and nothing but that; NULL: it is another's. */
struct fd *weft__io_fd(weft_io io);

extern HIDDEN const weft_io_ops weft__tcp_ops, weft__unix_ops, weft__pipe_ops, weft__tty_ops; /* stream_ops.c; self: a struct fd */

/* Minus errno, just after a system call has failed. Not inlined: compilers keep errno's address, and a task that has parked may be on another thread. */
int weft__errno(void);

/* Bytes in all; -1: more than SSIZE_MAX. */
ssize_t weft__stream_total(const struct iovec *v, int count);

/* The buffers from byte `from` on, as many as fit into out[IOV_AT_ONCE]. Returns how many. */
int weft__stream_rest(const struct iovec *v, int count, size_t from, struct iovec *out);

/* Around a system call on a thread that does not have SIGPIPE blocked: none is raised by it. errno is its own afterwards. */
struct quiet {
	sigset_t old;
	bool before;
};
void weft__quiet_begin(struct quiet *q);
void weft__quiet_end(const struct quiet *q);

/* writev(2) that raises no SIGPIPE, for what is no socket. Workers have it blocked: only other threads take this way. */
ssize_t weft__stream_quiet(int fd, const struct iovec *v, int count);

/* Records for two descriptors that `open` makes at once: 0 or a negative code. On error there are none, and f[] is NULL. */
int weft__stream_pair(struct fd *f[2], int (*open)(int fds[2]));

int weft__stream_set_deadline(struct fd *f, int64_t rd, int64_t wr);
int weft__stream_shutdown(struct fd *f, int how);

/* --- read --- */

/* One try. *more: there may be more, though it did not fill the buffers. */
static ALWAYS_INLINE ssize_t stream_take(int fd, const struct iovec *v, int count, enum stream_kind kind, bool *more)
{
	*more = kind == STREAM_OTHER;
	if (kind == STREAM_UNIX) {
		struct msghdr m = {.msg_iov = (struct iovec *)v, .msg_iovlen = (size_t)count};
		ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC); /* descriptors that came along are closed by the kernel */

		*more = m.msg_flags & MSG_CTRUNC;
		return n;
	}
	if (count == 1)
		return kind == STREAM_TCP ? recv(fd, v->iov_base, v->iov_len, 0) : read(fd, v->iov_base, v->iov_len);
	return readv(fd, v, count);
}

static ALWAYS_INLINE ssize_t stream_receive(struct fd *f, const struct iovec *v, int count, size_t want, int64_t deadline,
					    enum stream_kind kind)
{
	struct fd_op op;
	bool more;
	ssize_t n;
	int rc;

	fd_op_init(&op, f, POLL_READ, REASON_READ, deadline);
	for (;;) {
		rc = weft__fd_next(&op);
		if (unlikely(rc)) {
			n = rc;
			break;
		}
		n = stream_take(f->fd, v, count, kind, &more);
		if (likely(n >= 0)) {
			if ((size_t)n < want && n > 0 && !more)
				fd_op_drained(&op);
			break;
		}
		n = weft__errno();
		if (n == WEFT_EAGAIN)
			fd_op_blocked(&op);
		else if (n != -EINTR)
			break;
	}
	weft__fd_end(&op);
	return n;
}

static ALWAYS_INLINE ssize_t stream_read(struct fd *f, void *buf, size_t n, int64_t deadline, enum stream_kind kind)
{
	struct iovec v = {buf, n};

	if (unlikely(n == 0))
		return 0;
	return n > SSIZE_MAX ? WEFT_EINVAL : stream_receive(f, &v, 1, n, deadline, kind);
}

static ALWAYS_INLINE ssize_t stream_readv(struct fd *f, const struct iovec *v, int count, int64_t deadline, enum stream_kind kind)
{
	ssize_t n;

	if (count < 0 || count > IOV_COUNT_MAX)
		return WEFT_EINVAL;
	n = weft__stream_total(v, count);
	if (n <= 0)
		return n < 0 ? WEFT_EINVAL : 0;
	return stream_receive(f, v, count, (size_t)n, deadline, kind);
}

/* --- write --- */

/* One try, from byte `from` on. */
static ALWAYS_INLINE ssize_t stream_give(const struct fd_op *op, const struct iovec *v, int count, size_t from, enum stream_kind kind)
{
	struct iovec rest[IOV_AT_ONCE];
	struct msghdr m = {.msg_iov = rest};
	int fd = op->f->fd;

	if (likely(count == 1) && kind != STREAM_OTHER)
		return send(fd, (char *)v->iov_base + from, v->iov_len - from, MSG_NOSIGNAL);
	m.msg_iovlen = (size_t)weft__stream_rest(v, count, from, rest);
	if (kind != STREAM_OTHER)
		return sendmsg(fd, &m, MSG_NOSIGNAL);
	return op->task ? writev(fd, rest, (int)m.msg_iovlen) : weft__stream_quiet(fd, rest, (int)m.msg_iovlen);
}

static ALWAYS_INLINE ssize_t stream_transmit(struct fd *f, const struct iovec *v, int count, size_t all, size_t *done, int64_t deadline,
					     enum stream_kind kind)
{
	struct fd_op op;
	size_t sent = 0;
	ssize_t n = 0;
	int rc;

	fd_op_init(&op, f, POLL_WRITE, REASON_WRITE, deadline);
	while (sent < all) {
		rc = weft__fd_next(&op);
		if (unlikely(rc)) {
			n = rc;
			break;
		}
		n = stream_give(&op, v, count, sent, kind);
		if (likely(n >= 0)) {
			sent += (size_t)n;
			continue;
		}
		n = weft__errno();
		if (n == WEFT_EAGAIN)
			fd_op_blocked(&op);
		else if (n != -EINTR)
			break;
	}
	weft__fd_end(&op);
	if (done)
		*done = sent;
	return sent == all ? (ssize_t)all : n;
}

static ALWAYS_INLINE ssize_t stream_write(struct fd *f, const void *buf, size_t n, size_t *done, int64_t deadline, enum stream_kind kind)
{
	struct iovec v = {(void *)buf, n};

	if (done)
		*done = 0;
	return n > SSIZE_MAX ? WEFT_EINVAL : stream_transmit(f, &v, 1, n, done, deadline, kind);
}

static ALWAYS_INLINE ssize_t stream_writev(struct fd *f, const struct iovec *v, int count, size_t *done, int64_t deadline,
					   enum stream_kind kind)
{
	ssize_t n;

	if (done)
		*done = 0;
	if (count < 0 || count > IOV_COUNT_MAX)
		return WEFT_EINVAL;
	n = weft__stream_total(v, count);
	return n < 0 ? WEFT_EINVAL : stream_transmit(f, v, count, (size_t)n, done, deadline, kind);
}

#endif
