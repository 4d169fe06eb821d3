/* SPDX-License-Identifier: MIT
 *
 * weft/net.h - TCP in straight lines: listen, accept, dial, read, write, deadlines.
 *
 *     weft_tcp_listener *l;
 *     weft_tcp *c;
 *
 *     if (weft_tcp_listen(&l, "127.0.0.1:7000", NULL) == 0)
 *             while (weft_tcp_accept(l, &c) == 0)
 *                     go(serve, c);
 *
 * A call that cannot go on parks the task, never the worker. One task may read while another writes; two that read take turns. Every call here may be made
 * by any thread; one that would have to wait needs a runtime (else WEFT_ESRCH).
 *
 * Every blocking call looks first whether its task is cancelled or a deadline has passed, before it tries. There are three deadlines, and the earliest
 * counts: the call's (the _until forms), the connection's (weft_tcp_set_deadline), and that of the task's context.
 *
 * References: listen, accept and dial give one; weft_tcp_ref gives another to each further task that keeps the connection. Each ends with one
 * weft_tcp_close. The first close closes the connection, wakes whoever waits on it with WEFT_ECLOSED, and its descriptor is closed when it
 * returns; whoever has a reference of his own gets WEFT_ECLOSED from then on.
 */
#ifndef WEFT_NET_H
#define WEFT_NET_H

#include "error.h"
#include "export.h"
#include "time.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

WEFT_BEGIN_DECLS

typedef struct weft_tcp weft_tcp;                   /* a connection */
typedef struct weft_tcp_listener weft_tcp_listener; /* a port that connections come to */

/* --- addresses --- */

typedef union weft_addr {
	struct sockaddr sa; /* sa_family says which */
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
} weft_addr;

#define WEFT_ADDR_TEXT 80 /* bytes that any address fits in as text */

/* weft_addr_parse - an address from text.
 *
 *   text  "192.0.2.1:80", "[2001:db8::1]:80" (with a zone: "[fe80::1%eth0]:80"), "localhost:80" (127.0.0.1), ":80" (any address, IPv6 and IPv4)
 *
 * Returns 0; WEFT_EINVAL: not of that form, or the port is not 0 to 65,535; WEFT_EAI_NONAME: a name other than localhost. Blocks: no. Threads: any.
 */
WEFT_API int weft_addr_parse(weft_addr *out, const char *text);

/* weft_addr_format - as weft_addr_parse reads it, into buf of n bytes; an IPv4 address mapped into IPv6 is written as IPv4.
 *
 * Returns the length without the final zero; WEFT_ENOSPC: more than n - 1 (WEFT_ADDR_TEXT is always enough); WEFT_EINVAL: another family.
 */
WEFT_API int weft_addr_format(const weft_addr *a, char *buf, size_t n);

/* weft_addr_port - the port, 0 for another family. */
WEFT_API int weft_addr_port(const weft_addr *a);

/* --- listeners --- */

typedef struct weft_listen_opts {
	int backlog;     /* connections the kernel keeps until they are accepted; 0: as many as it allows */
	bool reuse_port; /* SO_REUSEPORT: several listeners share one port, and the kernel spreads connections over them */
	bool v6_only;    /* a listener on any IPv6 address takes no IPv4 connections; without it, it takes both */
} weft_listen_opts;

/* weft_tcp_listen - listen on an address.
 *
 *   out   receives the listener, with one reference; NULL on error
 *   addr  as for weft_addr_parse; port 0: the kernel chooses one (weft_tcp_listener_addr says which)
 *   o     NULL: all zero
 *
 * SO_REUSEADDR is set: a port whose old connections linger can be listened on; one that has a listener cannot. ":port" falls back to IPv4 where
 * the system has no IPv6.
 *
 * Returns 0; the errors of weft_addr_parse; WEFT_EADDRINUSE, WEFT_EADDRNOTAVAIL, WEFT_EACCES, WEFT_EMFILE, WEFT_ENFILE, WEFT_ENOMEM, or what
 * else socket(2), bind(2) or listen(2) say, negated.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_tcp_listen(weft_tcp_listener **out, const char *addr, const weft_listen_opts *o);

/* weft_tcp_accept - the next connection.
 *
 *   out  receives it, with one reference; NULL on error. Small writes are sent at once (TCP_NODELAY), and keep-alive is on, as in Go.
 *
 * Connections that broke before they were accepted are passed over. While descriptors or memory are exhausted (EMFILE, ENFILE, ENOBUFS, ENOMEM) it
 * waits and tries again, at growing intervals up to a second: the listener is not lost, and a loop around accept does not spin.
 *
 * Returns 0; WEFT_ECLOSED, WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW and none there), WEFT_ENOMEM, WEFT_ESRCH (no runtime);
 * with deadline WEFT_NOW also WEFT_EMFILE, WEFT_ENFILE.
 * Blocks: yes (accept). Threads: any; several tasks may accept, and are served in turn.
 */
WEFT_API int weft_tcp_accept(weft_tcp_listener *l, weft_tcp **out);
WEFT_API int weft_tcp_accept_until(weft_tcp_listener *l, weft_tcp **out, int64_t deadline);

/* weft_tcp_listener_addr - the address it listens on. Returns 0; WEFT_ECLOSED. */
WEFT_API int weft_tcp_listener_addr(weft_tcp_listener *l, weft_addr *out);

/* weft_tcp_listener_ref, weft_tcp_listener_close - as for connections. When the first close has returned, the port can be listened on again. */
WEFT_API weft_tcp_listener *weft_tcp_listener_ref(weft_tcp_listener *l);
WEFT_API int weft_tcp_listener_close(weft_tcp_listener *l);

/* --- connections --- */

/* weft_tcp_dial - connect to an address.
 *
 *   out   receives the connection, with one reference, set up as accept's are; NULL on error
 *   addr  as for weft_addr_parse; "localhost" tries 127.0.0.1, then ::1; ":port" is the own machine
 *
 * Returns 0; the errors of weft_addr_parse; WEFT_ECONNREFUSED, WEFT_ENETUNREACH, WEFT_EHOSTUNREACH, WEFT_EADDRNOTAVAIL, WEFT_EMFILE, or what else the kernel says of
 * the last address tried; WEFT_ETIMEDOUT (the kernel's time, or the deadline), WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW), WEFT_ENOMEM, WEFT_ESRCH.
 * Blocks: yes (dial). Threads: any.
 */
WEFT_API int weft_tcp_dial(weft_tcp **out, const char *addr);
WEFT_API int weft_tcp_dial_until(weft_tcp **out, const char *addr, int64_t deadline);

/* weft_tcp_read - read what is there, waiting for the first byte.
 *
 *   buf  room for n bytes, 0 to SSIZE_MAX
 *
 * Returns 1 to n: bytes read; 0: the peer has shut down its side (or n is 0: then nothing is looked at); WEFT_ECLOSED, WEFT_ETIMEDOUT,
 * WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW), WEFT_ECONNRESET or what else recv(2) says, WEFT_EINVAL, WEFT_ESRCH.
 * Blocks: yes (read). Threads: any.
 */
WEFT_API ssize_t weft_tcp_read(weft_tcp *c, void *buf, size_t n);
WEFT_API ssize_t weft_tcp_read_until(weft_tcp *c, void *buf, size_t n, int64_t deadline);

/* weft_tcp_readv - the same into count buffers (0 to 1,024), filled one after the other. */
WEFT_API ssize_t weft_tcp_readv(weft_tcp *c, const struct iovec *v, int count);
WEFT_API ssize_t weft_tcp_readv_until(weft_tcp *c, const struct iovec *v, int count, int64_t deadline);

/* weft_tcp_write - write all of it.
 *
 *   buf   n bytes, 0 to SSIZE_MAX
 *   done  receives how many of them the kernel took, which is n on success; NULL: not wanted
 *
 * Returns n; or an error, after which some bytes may have been sent (done says how many): WEFT_EPIPE, WEFT_ECONNRESET (the peer is gone), WEFT_ECLOSED,
 * WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW), what else send(2) says, WEFT_EINVAL, WEFT_ESRCH. No SIGPIPE is raised, and the process's disposition of it
 * is left alone.
 * Blocks: yes (write). Threads: any; two writes do not mix.
 */
WEFT_API ssize_t weft_tcp_write(weft_tcp *c, const void *buf, size_t n, size_t *done);
WEFT_API ssize_t weft_tcp_write_until(weft_tcp *c, const void *buf, size_t n, size_t *done, int64_t deadline);

/* weft_tcp_writev - the same of count buffers (0 to 1,024), one after the other. */
WEFT_API ssize_t weft_tcp_writev(weft_tcp *c, const struct iovec *v, int count, size_t *done);
WEFT_API ssize_t weft_tcp_writev_until(weft_tcp *c, const struct iovec *v, int count, size_t *done, int64_t deadline);

/* weft_tcp_set_deadline - until when reads and writes of the connection may wait, those that wait just now included.
 *
 *   rd, wr  absolute times (weft_in); WEFT_FOREVER: none; a time past: such calls end with WEFT_ETIMEDOUT at once
 *
 * Returns 0; WEFT_ECLOSED. Blocks: no. Threads: any, also while others read and write. Moving a deadline back costs nothing but the store.
 */
WEFT_API int weft_tcp_set_deadline(weft_tcp *c, int64_t rd, int64_t wr);

/* weft_tcp_shutdown - end a direction: SHUT_WR (the peer reads to the end, and may still send), SHUT_RD, SHUT_RDWR.
 *
 * Returns 0; WEFT_ECLOSED; WEFT_ENOTCONN: the peer has reset it; WEFT_EINVAL. Blocks: no. Threads: any.
 */
WEFT_API int weft_tcp_shutdown(weft_tcp *c, int how);

/* weft_tcp_ref - one reference more, for another task. Returns c. */
WEFT_API weft_tcp *weft_tcp_ref(weft_tcp *c);

/* weft_tcp_close - give up a reference; the first of them closes the connection.
 *
 * What was written is still sent, in the background. NULL is allowed.
 *
 * Returns 0; WEFT_ECLOSED: another reference closed it before (this one is given up all the same). Blocks: for another thread's system call on the connection,
 * which itself does not block; not ended by cancel. Threads: any.
 */
WEFT_API int weft_tcp_close(weft_tcp *c);

/* weft_tcp_local, weft_tcp_peer - the two ends' addresses. Return 0; WEFT_ECLOSED; peer: WEFT_ENOTCONN once it has been reset. */
WEFT_API int weft_tcp_local(weft_tcp *c, weft_addr *out);
WEFT_API int weft_tcp_peer(weft_tcp *c, weft_addr *out);

/* weft_tcp_nodelay - send small writes at once (true, the default), or gather them (Nagle). Returns 0; WEFT_ECLOSED. */
WEFT_API int weft_tcp_nodelay(weft_tcp *c, bool on);

/* weft_tcp_keepalive - ask a silent peer whether it is there, after `idle` nanoseconds (rounded up to seconds) and as often again; 0: never. The default
 * is 15 seconds. Returns 0; WEFT_ECLOSED; WEFT_EINVAL: negative, or more than 32,767 seconds. */
WEFT_API int weft_tcp_keepalive(weft_tcp *c, int64_t idle);

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
