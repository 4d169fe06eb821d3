/* SPDX-License-Identifier: MIT
 *
 * weft/unix.h - Unix domain sockets: connections between processes of one machine, which can carry open descriptors.
 *
 *     weft_unix_listener *l;
 *     weft_unix *c;
 *
 *     if (weft_unix_listen(&l, "/run/app.sock", NULL) == 0)
 *             while (weft_unix_accept(l, &c) == 0)
 *                     go(serve, c);
 *
 * As TCP (weft/net.h) in all that is not said here: deadlines, references, close.
 *
 * A name is a path, of at most 107 bytes; or, with an @ in front, a name of its own kind (abstract), which is no file, has no access rights, and goes away with its
 * listener.
 */
#ifndef WEFT_UNIX_H
#define WEFT_UNIX_H

#include "error.h"
#include "export.h"
#include "io.h"
#include "time.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

WEFT_BEGIN_DECLS

typedef struct weft_unix weft_unix;                   /* a connection */
typedef struct weft_unix_listener weft_unix_listener; /* a name that connections come to */

#define WEFT_UNIX_NAME 109    /* bytes that any name fits in as text */
#define WEFT_UNIX_FDS_MAX 253 /* descriptors sent at once: the system's limit */

/* --- listeners --- */

typedef struct weft_unix_opts {
	int backlog;       /* connections the kernel keeps until they are accepted; 0: as many as it allows */
	unsigned mode;     /* access bits of the file, whatever the umask; who may write it may connect. 0: the umask's. For paths */
	bool remove_stale; /* a socket file at the path that nobody listens at is removed first; whoever does listen sees a connection that ends at once. Two that do so at once may
			      remove each other's */
	bool keep_file;    /* close leaves the file there */
} weft_unix_opts;

/* weft_unix_listen - listen at a name.
 *
 *   out   receives the listener, with one reference; NULL on error
 *   name  a path, or "@name"; "@": the kernel chooses one (weft_unix_listener_name says which)
 *   o     NULL: all zero
 *
 * The first close removes the file, unless another has taken its place. A relative path is looked up again then: not after chdir(2).
 *
 * Returns 0; WEFT_EINVAL: the name is empty or too long, or mode has other bits than 0777; WEFT_EADDRINUSE: there is such a file, or somebody has the name;
 * WEFT_EACCES, WEFT_ENOENT (no such directory), WEFT_EMFILE, WEFT_ENFILE, WEFT_ENOMEM, or what else socket(2), bind(2), chmod(2) or listen(2) say, negated.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_unix_listen(weft_unix_listener **out, const char *name, const weft_unix_opts *o);

/* weft_unix_accept - the next connection. Returns and blocks as weft_tcp_accept. */
WEFT_API int weft_unix_accept(weft_unix_listener *l, weft_unix **out);
WEFT_API int weft_unix_accept_until(weft_unix_listener *l, weft_unix **out, int64_t deadline);

/* weft_unix_listener_name - the name it listens at, as weft_unix_listen takes it, into buf of n bytes.
 *
 * Returns the length without the final zero; WEFT_ENOSPC: more than n - 1 (WEFT_UNIX_NAME is always enough); WEFT_ECLOSED.
 */
WEFT_API int weft_unix_listener_name(weft_unix_listener *l, char *buf, size_t n);

/* weft_unix_listener_set_deadline, _ref, _close, _free, _from_fd, _fd - as for TCP listeners. The file of one that was taken over stays where it is. */
WEFT_API int weft_unix_listener_set_deadline(weft_unix_listener *l, int64_t deadline);
WEFT_API weft_unix_listener *weft_unix_listener_ref(weft_unix_listener *l);
WEFT_API int weft_unix_listener_close(weft_unix_listener *l);
WEFT_API void weft_unix_listener_free(weft_unix_listener *l);
WEFT_API int weft_unix_listener_from_fd(weft_unix_listener **out, int fd);
WEFT_API int weft_unix_listener_fd(weft_unix_listener *l);

/* --- connections --- */

/* weft_unix_dial - connect to a name.
 *
 *   out   receives the connection, with one reference; NULL on error
 *   name  as for weft_unix_listen
 *
 * While the listener's backlog is full it tries again, at growing intervals up to a tenth of a second: the system does not say when there is room.
 *
 * Returns 0; WEFT_EINVAL: no name; WEFT_ENOENT: no such file; WEFT_ECONNREFUSED: nobody listens there; WEFT_EACCES, WEFT_EMFILE, WEFT_ENFILE, or what else
 * connect(2) says; WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW: the backlog is full), WEFT_ENOMEM, WEFT_ESRCH.
 * Blocks: yes (dial). Threads: any.
 */
WEFT_API int weft_unix_dial(weft_unix **out, const char *name);
WEFT_API int weft_unix_dial_until(weft_unix **out, const char *name, int64_t deadline);

/* weft_unix_pair - two ends of one connection, without a name, each with one reference.
 *
 * Returns 0; WEFT_EMFILE, WEFT_ENFILE, WEFT_ENOMEM: both NULL. Blocks: no. Threads: any.
 */
WEFT_API int weft_unix_pair(weft_unix **a, weft_unix **b);

/* weft_unix_read, _readv, _write, _writev, _set_deadline, _shutdown, _ref, _close, _free, _from_fd, _fd - as those of TCP. A read closes the descriptors that came with
 * what it reads, and does not read on past them. */
WEFT_API ssize_t weft_unix_read(weft_unix *c, void *buf, size_t n);
WEFT_API ssize_t weft_unix_read_until(weft_unix *c, void *buf, size_t n, int64_t deadline);
WEFT_API ssize_t weft_unix_readv(weft_unix *c, const struct iovec *v, int count);
WEFT_API ssize_t weft_unix_readv_until(weft_unix *c, const struct iovec *v, int count, int64_t deadline);
WEFT_API ssize_t weft_unix_write(weft_unix *c, const void *buf, size_t n, size_t *done);
WEFT_API ssize_t weft_unix_write_until(weft_unix *c, const void *buf, size_t n, size_t *done, int64_t deadline);
WEFT_API ssize_t weft_unix_writev(weft_unix *c, const struct iovec *v, int count, size_t *done);
WEFT_API ssize_t weft_unix_writev_until(weft_unix *c, const struct iovec *v, int count, size_t *done, int64_t deadline);
WEFT_API int weft_unix_set_deadline(weft_unix *c, int64_t rd, int64_t wr);
WEFT_API int weft_unix_shutdown(weft_unix *c, int how);
WEFT_API weft_unix *weft_unix_ref(weft_unix *c);
WEFT_API int weft_unix_close(weft_unix *c);
WEFT_API void weft_unix_free(weft_unix *c);
WEFT_API int weft_unix_from_fd(weft_unix **out, int fd);
WEFT_API int weft_unix_fd(weft_unix *c);

/* weft_unix_buffers - as weft_tcp_buffers. */
WEFT_API int weft_unix_buffers(weft_unix *c, int send, int receive);

/* --- descriptors --- */

/* weft_unix_send_fds - write all of it, and send descriptors along with the first byte.
 *
 *   buf   n bytes, 1 to SSIZE_MAX: there is no sending of descriptors alone
 *   fds   count of them (0 to WEFT_UNIX_FDS_MAX); the caller keeps them, and may close them as soon as this returns
 *   done  receives how many bytes were sent: the descriptors were, if it is not 0; NULL: not wanted
 *
 * Returns as weft_unix_write; WEFT_EINVAL, WEFT_EBADF: one of them is not open; WEFT_ETOOMANYREFS: too many are under way.
 * Blocks: yes (write). Threads: any.
 */
WEFT_API ssize_t weft_unix_send_fds(weft_unix *c, const void *buf, size_t n, const int *fds, int count, size_t *done);
WEFT_API ssize_t weft_unix_send_fds_until(weft_unix *c, const void *buf, size_t n, const int *fds, int count, size_t *done,
					  int64_t deadline);

/* weft_unix_recv_fds - read what is there, and the descriptors that came with it; never those of two sendings at once.
 *
 *   buf    room for n bytes, 1 to SSIZE_MAX
 *   fds    receives the descriptors, which are the caller's then, and are not handed on to other programs (close-on-exec)
 *   count  in: room in fds (0 to WEFT_UNIX_FDS_MAX). Out: how many came; or WEFT_ENOSPC: more than there is room for, or WEFT_EMFILE: the process has no descriptor
 *          left for some: then all that came are closed
 *
 * Returns as weft_unix_read; *count is 0 on error.
 * Blocks: yes (read). Threads: any.
 */
WEFT_API ssize_t weft_unix_recv_fds(weft_unix *c, void *buf, size_t n, int *fds, int *count);
WEFT_API ssize_t weft_unix_recv_fds_until(weft_unix *c, void *buf, size_t n, int *fds, int *count, int64_t deadline);

typedef struct weft_unix_cred {
	pid_t pid;
	uid_t uid; /* effective, when it connected or began to listen */
	gid_t gid;
} weft_unix_cred;

/* weft_unix_peer - who is at the other end, as the kernel knows it. Returns 0; WEFT_ECLOSED. */
WEFT_API int weft_unix_peer(weft_unix *c, weft_unix_cred *out);

/* weft_unix_io - the connection as a byte stream (weft/io.h). */
WEFT_API weft_io weft_unix_io(weft_unix *c);

WEFT_END_DECLS

#endif
