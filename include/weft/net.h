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
 * weft_tcp_close or weft_tcp_free. The first close closes the connection, wakes whoever waits on it with WEFT_ECLOSED, and its descriptor is closed when it
 * returns; whoever has a reference of his own gets WEFT_ECLOSED from then on. A reference that is freed leaves the connection open for those who have others; the
 * last one closes it.
 */
#ifndef WEFT_NET_H
#define WEFT_NET_H

#include "error.h"
#include "export.h"
#include "io.h"
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

/* weft_addr_equal - do both name the same address and port? An IPv4 address is equal to itself mapped into IPv6; zones of IPv6 count, flow labels and padding do not, as they would in
 * memcmp. Of another family: no. Blocks: no. Threads: any. */
WEFT_API bool weft_addr_equal(const weft_addr *a, const weft_addr *b);

/* --- listeners --- */

typedef struct weft_listen_opts {
	int backlog;                     /* connections the kernel keeps until they are accepted; 0: as many as it allows */
	bool reuse_port;                 /* SO_REUSEPORT: several listeners share one port, and the kernel spreads connections over them */
	bool v6_only;                    /* a listener on any IPv6 address takes no IPv4 connections; without it, it takes both */
	int send_buffer, receive_buffer; /* of the connections, as weft_tcp_buffers; 0: the system's choice */
} weft_listen_opts;

/* weft_tcp_listen - listen on an address.
 *
 *   out   receives the listener, with one reference; NULL on error
 *   addr  as for weft_addr_resolve (weft/dns.h), a name's first address; port 0: the kernel chooses one (weft_tcp_listener_addr says which)
 *   o     NULL: all zero
 *
 * SO_REUSEADDR is set: a port whose old connections linger can be listened on; one that has a listener cannot. ":port" falls back to IPv4 where
 * the system has no IPv6.
 *
 * Returns 0; the errors of weft_addr_resolve; WEFT_EINVAL: a negative size; WEFT_EADDRINUSE, WEFT_EADDRNOTAVAIL, WEFT_EACCES, WEFT_EMFILE, WEFT_ENFILE, WEFT_ENOMEM, or what
 * else socket(2), bind(2) or listen(2) say, negated.
 * Blocks: for a name that has to be asked for (name); never for an address, which is no cancellation point either. Threads: any.
 */
WEFT_API int weft_tcp_listen(weft_tcp_listener **out, const char *addr, const weft_listen_opts *o);
WEFT_API int weft_tcp_listen_until(weft_tcp_listener **out, const char *addr, const weft_listen_opts *o, int64_t deadline);

/* weft_tcp_accept - the next connection.
 *
 *   out  receives it, with one reference; NULL on error. Small writes are sent at once (TCP_NODELAY), and keep-alive is on, as in Go.
 *
 * Connections that broke before they were accepted are passed over. While descriptors or memory are exhausted (EMFILE, ENFILE, ENOBUFS, ENOMEM) it
 * waits and tries again, at growing intervals up to a second: the listener is not lost, and a loop around accept does not spin.
 *
 * Returns 0; WEFT_ECLOSED, WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW and none there), WEFT_ENOMEM, WEFT_ESRCH (no runtime);
 * with deadline WEFT_NOW also WEFT_EMFILE, WEFT_ENFILE, WEFT_ENOBUFS.
 * Blocks: yes (accept). Threads: any; several tasks may accept, and are served in turn.
 */
WEFT_API int weft_tcp_accept(weft_tcp_listener *l, weft_tcp **out);
WEFT_API int weft_tcp_accept_until(weft_tcp_listener *l, weft_tcp **out, int64_t deadline);

/* weft_tcp_listener_addr - the address it listens on. Returns 0; WEFT_ECLOSED. */
WEFT_API int weft_tcp_listener_addr(weft_tcp_listener *l, weft_addr *out);

/* weft_tcp_listener_set_deadline - until when accepts may wait, those that wait just now included, as weft_tcp_set_deadline. Returns 0; WEFT_ECLOSED. */
WEFT_API int weft_tcp_listener_set_deadline(weft_tcp_listener *l, int64_t deadline);

/* weft_tcp_listener_ref, _close, _free - as for connections. When the first close has returned, the port can be listened on again. */
WEFT_API weft_tcp_listener *weft_tcp_listener_ref(weft_tcp_listener *l);
WEFT_API int weft_tcp_listener_close(weft_tcp_listener *l);
WEFT_API void weft_tcp_listener_free(weft_tcp_listener *l);

/* weft_tcp_listener_from_fd - a listener that was opened elsewhere: by whoever started the program, say (socket activation).
 *
 *   fd  a listening TCP socket; the listener's from here on, which closes it. It is made non-blocking, which whoever else has it sees, and is not handed on to other
 *       programs; connections from it are set up as all are.
 *
 * Returns 0; WEFT_EINVAL: not such a socket; WEFT_EBADF; WEFT_ENOMEM: fd is still the caller's. Blocks: no. Threads: any.
 */
WEFT_API int weft_tcp_listener_from_fd(weft_tcp_listener **out, int fd);

/* weft_tcp_listener_fd - as weft_tcp_fd. */
WEFT_API int weft_tcp_listener_fd(weft_tcp_listener *l);

/* --- connections --- */

typedef struct weft_dial_opts {
	int64_t delay; /* nanoseconds after which the next address is tried besides those that have not answered; 0: 250 ms; negative: only when those have failed */
	const char *
		local; /* the near end, as for weft_addr_parse ("192.0.2.7:0"); addresses of its family are tried: of ":5000", IPv6 only. NULL: the kernel chooses. Borrowed for the call */
	int family;    /* AF_INET, AF_INET6: only such addresses; 0: both */
	int64_t keepalive; /* nanoseconds, as for weft_tcp_keepalive; 0: the default; negative: never */
} weft_dial_opts;

/* weft_tcp_dial - connect to an address.
 *
 *   out   receives the connection, with one reference, set up as accept's are; NULL on error
 *   addr  as for weft_addr_resolve (weft/dns.h): "192.0.2.1:80", "example.com:http"; ":port" is the own machine
 *   o     NULL: all zero
 *
 * Of a name the first 16 addresses are tried, IPv6 and IPv4 in turns (RFC 8305): the next one when the last has failed, or has not answered for a while. The first connection that
 * stands is it; the others are closed. The deadline is one for all of it, the name included.
 *
 * Returns 0; the errors of weft_dns_resolve; if all addresses failed, why the first did: WEFT_ECONNREFUSED, WEFT_ENETUNREACH, WEFT_EHOSTUNREACH, WEFT_EADDRNOTAVAIL, WEFT_EMFILE, or
 * what else the kernel says; WEFT_ETIMEDOUT (the kernel's time, or the deadline), WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW), WEFT_ENOMEM, WEFT_ESRCH; WEFT_EINVAL: an
 * option makes no sense.
 * Blocks: yes (name, then dial). Threads: any.
 */
WEFT_API int weft_tcp_dial(weft_tcp **out, const char *addr);
WEFT_API int weft_tcp_dial_until(weft_tcp **out, const char *addr, int64_t deadline);
WEFT_API int weft_tcp_dial_opts(weft_tcp **out, const char *addr, const weft_dial_opts *o);
WEFT_API int weft_tcp_dial_opts_until(weft_tcp **out, const char *addr, const weft_dial_opts *o, int64_t deadline);

/* weft_tcp_read - read what is there, waiting for the first byte.
 *
 *   buf  room for n bytes, 0 to SSIZE_MAX
 *
 * Returns 1 to n: bytes read; 0: the peer has shut down its side (or n is 0: then nothing is looked at); WEFT_ECLOSED, WEFT_ETIMEDOUT,
 * WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW), WEFT_ECONNRESET or what else recv(2) says, WEFT_EINVAL, WEFT_ENOMEM, WEFT_ESRCH.
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
 * WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW), what else send(2) says, WEFT_EINVAL, WEFT_ENOMEM, WEFT_ESRCH. No SIGPIPE is raised, and the process's disposition of it
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
 * which itself does not block, and for the disk, while a file is being copied to it (weft_io_copy); not ended by cancel. Threads: any.
 */
WEFT_API int weft_tcp_close(weft_tcp *c);

/* weft_tcp_free - give up a reference and leave the connection open, unless it was the last one, which closes it. NULL is allowed. Threads: any. */
WEFT_API void weft_tcp_free(weft_tcp *c);

/* weft_tcp_from_fd - a connection that was opened elsewhere.
 *
 *   fd  a connected TCP socket; the connection's from here on, which closes it. As for weft_tcp_listener_from_fd; its other options stay as they are.
 *
 * Returns 0; WEFT_EINVAL: not such a socket; WEFT_EBADF; WEFT_ENOMEM: fd is still the caller's. Blocks: no. Threads: any.
 */
WEFT_API int weft_tcp_from_fd(weft_tcp **out, int fd);

/* weft_tcp_fd - the descriptor, for what has no call here. It is lent: not to be closed, waited for with weft_io_wait, nor read or written past the calls here, and another file's once the connection
 * is closed. Returns it; WEFT_ECLOSED. */
WEFT_API int weft_tcp_fd(weft_tcp *c);

/* weft_tcp_local, weft_tcp_peer - the two ends' addresses. Return 0; WEFT_ECLOSED; peer: WEFT_ENOTCONN once it has been reset. */
WEFT_API int weft_tcp_local(weft_tcp *c, weft_addr *out);
WEFT_API int weft_tcp_peer(weft_tcp *c, weft_addr *out);

/* weft_tcp_nodelay - send small writes at once (true, the default), or gather them (Nagle). Returns 0; WEFT_ECLOSED. */
WEFT_API int weft_tcp_nodelay(weft_tcp *c, bool on);

/* weft_tcp_keepalive - ask a silent peer whether it is there, after `idle` nanoseconds (rounded up to seconds) and as often again; 0: never. The default
 * is 15 seconds. Returns 0; WEFT_ECLOSED; WEFT_EINVAL: negative, or more than 32,767 seconds. */
WEFT_API int weft_tcp_keepalive(weft_tcp *c, int64_t idle);

/* weft_tcp_user_timeout - give up a connection whose peer has not acknowledged what was sent for so many nanoseconds (rounded up to milliseconds); 0: the system's
 * own time, minutes. Reads and writes end with WEFT_ETIMEDOUT then. Returns 0; WEFT_ECLOSED; WEFT_EINVAL: negative, or more than INT_MAX milliseconds. */
WEFT_API int weft_tcp_user_timeout(weft_tcp *c, int64_t ns);

/* weft_tcp_linger - what close does with bytes that are not sent yet: send them in the background (true, the default), or drop them and reset the connection. There is
 * no close that waits for them: shut down, and read to the end. Returns 0; WEFT_ECLOSED. */
WEFT_API int weft_tcp_linger(weft_tcp *c, bool on);

/* weft_tcp_buffers - how many bytes the system keeps that were written and not acknowledged, and that came and were not read; 0: leave it as it is. The system doubles
 * them, for its own needs, and has limits (net.core.wmem_max). Returns 0; WEFT_ECLOSED; WEFT_EINVAL: negative. */
WEFT_API int weft_tcp_buffers(weft_tcp *c, int send, int receive);

/* weft_tcp_quickack - acknowledge at once what has come, and for a while what comes (true), or when it suits (false); the system changes it as it sees fit. Returns 0;
 * WEFT_ECLOSED. */
WEFT_API int weft_tcp_quickack(weft_tcp *c, bool on);

/* weft_tcp_io - the connection as a byte stream (weft/io.h). */
WEFT_API weft_io weft_tcp_io(weft_tcp *c);

WEFT_END_DECLS

#endif
