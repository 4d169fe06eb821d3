/* SPDX-License-Identifier: MIT
 *
 * weft/io.h - what can be read and written: byte streams behind one door, and any descriptor.
 *
 * A weft_io is a pair of pointers, passed by value: who reads, and from what. Buffered readers and writers, TLS and weft_io_copy take one, so they work over whatever
 * gives one: weft_tcp_io, weft_unix_io, weft_pipe_io, weft_tty_io, weft_file_io, weft_tls_io, or your own.
 *
 *     weft_io io = weft_tcp_io(c);
 *
 *     n = weft_io_read(io, buf, sizeof buf);
 *
 * It holds no reference: what it was made from must live as long as it is used.
 */
#ifndef WEFT_IO_H
#define WEFT_IO_H

#include "error.h"
#include "export.h"
#include "time.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

WEFT_BEGIN_DECLS

/* How one kind of stream does it. self is weft_io's. Each call has the semantics, errors included, of the weft_tcp call of that name (weft/net.h). */
typedef struct weft_io_ops {
	const char *kind; /* "tcp", "tls"; for messages; static */
	ssize_t (*readv)(void *self, const struct iovec *v, int count, int64_t deadline);
	ssize_t (*writev)(void *self, const struct iovec *v, int count, size_t *done,
			  int64_t deadline);                     /* done: never NULL; all of it, or an error */
	int (*shutdown)(void *self, int how, int64_t deadline);  /* NULL: WEFT_ENOTSUP */
	int (*set_deadline)(void *self, int64_t rd, int64_t wr); /* NULL: WEFT_ENOTSUP */
	int (*close)(void *self);                                /* NULL: WEFT_ENOTSUP */
} weft_io_ops;

typedef struct weft_io {
	const weft_io_ops *ops; /* static */
	void *self;
} weft_io;

/* weft_io_read, weft_io_readv - read what is there, waiting for the first byte. As weft_tcp_read and weft_tcp_readv. */
WEFT_API ssize_t weft_io_read(weft_io io, void *buf, size_t n);
WEFT_API ssize_t weft_io_read_until(weft_io io, void *buf, size_t n, int64_t deadline);
WEFT_API ssize_t weft_io_readv(weft_io io, const struct iovec *v, int count);
WEFT_API ssize_t weft_io_readv_until(weft_io io, const struct iovec *v, int count, int64_t deadline);

/* weft_io_write, weft_io_writev - write all of it. As weft_tcp_write and weft_tcp_writev. */
WEFT_API ssize_t weft_io_write(weft_io io, const void *buf, size_t n, size_t *done);
WEFT_API ssize_t weft_io_write_until(weft_io io, const void *buf, size_t n, size_t *done, int64_t deadline);
WEFT_API ssize_t weft_io_writev(weft_io io, const struct iovec *v, int count, size_t *done);
WEFT_API ssize_t weft_io_writev_until(weft_io io, const struct iovec *v, int count, size_t *done, int64_t deadline);

/* weft_io_shutdown - end a direction (SHUT_RD, SHUT_WR, SHUT_RDWR). Returns as weft_tcp_shutdown; WEFT_ENOTSUP: this kind cannot. Blocks: a kind that has to say so to the
 * peer (TLS) may wait for room. */
WEFT_API int weft_io_shutdown(weft_io io, int how);
WEFT_API int weft_io_shutdown_until(weft_io io, int how, int64_t deadline);

/* weft_io_set_deadline - as weft_tcp_set_deadline; WEFT_ENOTSUP: this kind has none. */
WEFT_API int weft_io_set_deadline(weft_io io, int64_t rd, int64_t wr);

/* weft_io_close - gives up the reference of what it was made from, as that kind's close does. */
WEFT_API int weft_io_close(weft_io io);

/* --- copying --- */

#define WEFT_COPY_ALL UINT64_MAX /* limit: none */

/* How far a copy came. */
typedef struct weft_copied {
	uint64_t read;    /* bytes taken from the source; those that are not written as well are gone */
	uint64_t written; /* bytes that the destination took */
	bool dst_failed;  /* the error came while it wrote, or waited to; else it is the source's. Cancel and deadlines come in either */
} weft_copied;

/* weft_io_copy - write to dst what is read from src, to its end, or `limit` bytes.
 *
 *   limit  WEFT_COPY_ALL: to the end
 *   how    receives how far it came, also after an error; NULL: not wanted
 *
 * Between sockets and pipes, and from files to sockets, the bytes do not pass through the process (splice(2), sendfile(2)). Neither end is shut down or closed: a proxy, which copies
 * in both directions, ends with weft_io_shutdown(dst, SHUT_WR) what has come to its end.
 *
 * `how` is written when it returns, and not before. For figures while it runs, copy in pieces:  while ((n = weft_io_copy(dst, src, 1 << 20, NULL)) > 0) sum += n;
 *
 * Returns how many bytes dst took; or the error of an end, of the deadline or of cancel; WEFT_EINVAL; WEFT_ENOMEM. As soon as something is read it is to be written: after an error
 * some of it may be lost (how->read less how->written).
 * Blocks: yes (read, write, file). Threads: any.
 */
WEFT_API int64_t weft_io_copy(weft_io dst, weft_io src, uint64_t limit, weft_copied *how);
WEFT_API int64_t weft_io_copy_until(weft_io dst, weft_io src, uint64_t limit, weft_copied *how, int64_t deadline);

/* --- any descriptor --- */

#define WEFT_IO_R 1 /* can be read: data, end, or an error to be had */
#define WEFT_IO_W 2 /* can be written, or has an error to be had */

/* weft_io_wait - wait until a descriptor that weft did not open can be read or written.
 *
 *   fd      something that epoll takes: socket, pipe, terminal, eventfd, ...; it should be non-blocking, for what is ready may be gone
 *   events  WEFT_IO_R, WEFT_IO_W, or both
 *
 * Returns those of them that hold, at least one; WEFT_EINVAL, WEFT_EBADF; WEFT_EPERM: regular files cannot be waited for; WEFT_ECLOSED: weft_io_forget;
 * WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW: a look), WEFT_ENOMEM, WEFT_ESRCH.
 * Blocks: yes (io). Threads: any; several tasks may wait for one descriptor, and all are woken.
 */
WEFT_API int weft_io_wait(int fd, int events);
WEFT_API int weft_io_wait_until(int fd, int events, int64_t deadline);

/* weft_io_forget - say that fd, which was waited for, is about to be closed: who still waits gets WEFT_ECLOSED, and weft drops what it keeps for it.
 *
 * Returns 0; WEFT_ENOENT: nothing is kept. Blocks: no. Threads: any. A descriptor that is closed without it is noticed at the next wait for its number.
 */
WEFT_API int weft_io_forget(int fd);

WEFT_END_DECLS

#endif
