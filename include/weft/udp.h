/* SPDX-License-Identifier: MIT
 *
 * weft/udp.h - UDP in straight lines: open, send, receive, several datagrams a call, multicast.
 *
 *     weft_udp *u;
 *     weft_addr from;
 *     char buf[1500];
 *     ssize_t n;
 *
 *     if (weft_udp_open(&u, "127.0.0.1:7000", NULL) == 0)
 *             while ((n = weft_udp_recvfrom(u, buf, sizeof buf, &from, NULL)) >= 0)
 *                     weft_udp_sendto(u, buf, (size_t)n, &from);
 *
 * A datagram arrives whole, once, twice, or not at all, and not always in its turn. A length of 0 is a datagram like others, and no end.
 *
 * Waiting, deadlines, threads and references are those of connections (weft/net.h): a call that cannot go on parks the task; one task may receive while
 * another sends, and two that receive take turns; the first close wakes whoever waits with WEFT_ECLOSED.
 *
 * A socket of an IPv6 address that is not v6_only speaks to IPv4 as well. Addresses of that kind are IPv4 in what weft takes and gives, so the address a datagram came from
 * is equal (weft_addr_equal) to the one it was asked at.
 */
#ifndef WEFT_UDP_H
#define WEFT_UDP_H

#include "net.h"

WEFT_BEGIN_DECLS

typedef struct weft_udp weft_udp; /* a socket */

typedef struct weft_udp_opts {
	bool reuse_port; /* SO_REUSEPORT: several sockets share one port, and the kernel spreads datagrams over them by who sends */
	bool reuse_addr; /* SO_REUSEADDR: several sockets share one port; each gets what is multicast, one of them the rest */
	bool v6_only;    /* a socket on any IPv6 address does not speak to IPv4; without it, it does */
	bool broadcast;  /* it may send to a broadcast address (else WEFT_EACCES) */
	bool gro;        /* UDP_GRO: received are several datagrams of one sender in one message: weft_udp_recv_many only */
	int receive_buffer; /* bytes that the kernel keeps until they are received (SO_RCVBUF), more are dropped; 0: its own choice. It has limits of its own */
	int send_buffer; /* the same of those to be sent (SO_SNDBUF) */
} weft_udp_opts;

/* weft_udp_open - a socket.
 *
 *   out   receives it, with one reference; NULL on error
 *   addr  its own address, as for weft_addr_parse; port 0: the kernel chooses one (weft_udp_local says which). NULL: ":0", for those who ask
 *   o     NULL: all zero
 *
 * ":port" falls back to IPv4 where the system has no IPv6.
 *
 * Returns 0; the errors of weft_addr_parse; WEFT_EINVAL: a negative buffer size; WEFT_EADDRINUSE, WEFT_EADDRNOTAVAIL, WEFT_EACCES, WEFT_EMFILE, WEFT_ENFILE, WEFT_ENOMEM;
 * WEFT_ENOPROTOOPT: gro, and the kernel has none; or what else socket(2), setsockopt(2) or bind(2) say, negated. Descriptors that are exhausted are waited for nowhere: try again.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_udp_open(weft_udp **out, const char *addr, const weft_udp_opts *o);

/* weft_udp_connect - send to this peer when no other is named, and receive from it alone. Its refusals (ICMP) are reported from then on.
 *
 * Nothing is sent. May be called again for another peer, also while others send and receive; there is no way back to none, which on Linux may lose the socket's port.
 *
 * Returns 0; WEFT_ECLOSED; WEFT_EINVAL: no address; WEFT_EAFNOSUPPORT: an IPv6 address, and the socket is of IPv4; WEFT_ENETUNREACH, WEFT_EACCES (a broadcast address), or what else connect(2) says.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_udp_connect(weft_udp *u, const weft_addr *peer);

/* --- one datagram --- */

/* weft_udp_send, weft_udp_sendto - send a datagram to the connected peer, or to an address.
 *
 *   buf  n bytes, 0 to 65,507
 *   to   an address; NULL: the connected peer
 *
 * It waits only while the kernel has no room. That it was sent does not mean that it arrives.
 *
 * Returns n; WEFT_EMSGSIZE: too long for a datagram; WEFT_EDESTADDRREQ: to nobody; WEFT_ECONNREFUSED: the peer's machine has refused an earlier one (this one was not sent, and
 * may be tried again); WEFT_ECLOSED, WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW); WEFT_EAFNOSUPPORT, WEFT_ENETUNREACH, WEFT_EACCES, or what else
 * sendto(2) says; WEFT_ESRCH. On any error nothing was sent.
 * Blocks: yes (write). Threads: any.
 */
WEFT_API ssize_t weft_udp_send(weft_udp *u, const void *buf, size_t n);
WEFT_API ssize_t weft_udp_send_until(weft_udp *u, const void *buf, size_t n, int64_t deadline);
WEFT_API ssize_t weft_udp_sendto(weft_udp *u, const void *buf, size_t n, const weft_addr *to);
WEFT_API ssize_t weft_udp_sendto_until(weft_udp *u, const void *buf, size_t n, const weft_addr *to, int64_t deadline);

/* weft_udp_recv, weft_udp_recvfrom - receive a datagram.
 *
 *   buf    room for n bytes; a datagram is taken off the queue also if n is 0
 *   from   receives who sent it; NULL: not wanted
 *   whole  receives its length; more than n: the rest of it is lost. NULL: not wanted
 *
 * Returns the bytes that are in buf, 0 to n; WEFT_ECONNREFUSED: the connected peer's machine has refused what was sent, once for each refusal the kernel has told of; WEFT_ECLOSED,
 * WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW); WEFT_EINVAL: n is beyond SSIZE_MAX, or the socket was opened with gro; what else recvfrom(2) says; WEFT_ESRCH.
 * On any error no datagram was taken.
 * Blocks: yes (read). Threads: any.
 */
WEFT_API ssize_t weft_udp_recv(weft_udp *u, void *buf, size_t n, size_t *whole);
WEFT_API ssize_t weft_udp_recv_until(weft_udp *u, void *buf, size_t n, size_t *whole, int64_t deadline);
WEFT_API ssize_t weft_udp_recvfrom(weft_udp *u, void *buf, size_t n, weft_addr *from, size_t *whole);
WEFT_API ssize_t weft_udp_recvfrom_until(weft_udp *u, void *buf, size_t n, weft_addr *from, size_t *whole, int64_t deadline);

/* --- several datagrams a call --- */

#define WEFT_UDP_BATCH 64 /* so many at most */

typedef struct weft_udp_msg {
	weft_addr addr;    /* received: who sent it; to be sent: to whom, and all zero is the connected peer */
	struct iovec *iov; /* its bytes, or room for them */
	int count;         /* buffers in iov, 0 to 1,024 */
	int segment; /* 0: one datagram; else several of so many bytes, of which the last may be shorter. Set by receives; to be sent: the kernel cuts it up (UDP_SEGMENT) */
	size_t len;  /* set: bytes received, or sent */
	size_t whole; /* set by receives: its length; more than len: the rest is lost */
} weft_udp_msg;

/* weft_udp_send_many - send at least one message, waiting for that, and with it as many of n as go without waiting.
 *
 *   m  n messages; more than WEFT_UDP_BATCH are left for the next call
 *
 * A message with a segment is cut by the kernel, which takes up to 64 datagrams and 65,507 bytes of them (else WEFT_EINVAL or WEFT_EMSGSIZE); one that cannot do it says WEFT_EINVAL.
 *
 * Returns how many, 1 to n (0 when n is 0), from the first on; or what weft_udp_sendto returns of the first; WEFT_EINVAL: n is negative, a count or segment out of range.
 * An error of a later one ends the call before it, and is what the next call that begins with it gets.
 * Blocks: yes (write). Threads: any.
 */
WEFT_API int weft_udp_send_many(weft_udp *u, weft_udp_msg *m, int n);
WEFT_API int weft_udp_send_many_until(weft_udp *u, weft_udp_msg *m, int n, int64_t deadline);

/* weft_udp_recv_many - receive at least one message, waiting for that, and with it as many of n as are there.
 *
 *   m  n messages; not more than WEFT_UDP_BATCH are received at a time. iov and count are looked at, the rest is set.
 *
 * Returns how many, 1 to n (0 when n is 0); or what weft_udp_recvfrom returns when there was none; WEFT_EINVAL: n is negative, or a count out of range.
 * Blocks: yes (read). Threads: any.
 */
WEFT_API int weft_udp_recv_many(weft_udp *u, weft_udp_msg *m, int n);
WEFT_API int weft_udp_recv_many_until(weft_udp *u, weft_udp_msg *m, int n, int64_t deadline);

/* --- multicast --- */

/* weft_udp_join, weft_udp_leave - receive what is sent to a group, or not any more.
 *
 *   group      a multicast address; its port is not looked at. An IPv4 group may be joined by an IPv6 socket that speaks to IPv4.
 *   interface  by its name ("eth0"); NULL: of the route to the group
 *
 * Returns 0; WEFT_ECLOSED; WEFT_EINVAL: no multicast address; WEFT_ENODEV: no such interface, or no route; WEFT_EADDRINUSE: joined already; WEFT_EADDRNOTAVAIL: leave without
 * join; WEFT_ENOBUFS: too many; or what else setsockopt(2) says. Blocks: no. Threads: any.
 */
WEFT_API int weft_udp_join(weft_udp *u, const weft_addr *group, const char *interface);
WEFT_API int weft_udp_leave(weft_udp *u, const weft_addr *group, const char *interface);

/* weft_udp_multicast_ttl - how many routers away what is sent to groups may go: 0 (this machine) to 255; 1 at the start.
 * weft_udp_multicast_loop - whether this machine's own members get it, too; true at the start.
 * weft_udp_multicast_interface - by which interface it goes out; NULL: by the route.
 *
 * Return 0; WEFT_ECLOSED; WEFT_EINVAL: not 0 to 255; WEFT_ENODEV: no such interface; or what else setsockopt(2) says. Block: no. Threads: any.
 */
WEFT_API int weft_udp_multicast_ttl(weft_udp *u, int ttl);
WEFT_API int weft_udp_multicast_loop(weft_udp *u, bool on);
WEFT_API int weft_udp_multicast_interface(weft_udp *u, const char *interface);

/* --- the rest --- */

/* weft_udp_set_deadline - until when receives (rd) and sends (wr) may wait. As weft_tcp_set_deadline. */
WEFT_API int weft_udp_set_deadline(weft_udp *u, int64_t rd, int64_t wr);

/* weft_udp_local, weft_udp_peer - its own address, and the connected peer's. Return 0; WEFT_ECLOSED; peer: WEFT_ENOTCONN. */
WEFT_API int weft_udp_local(weft_udp *u, weft_addr *out);
WEFT_API int weft_udp_peer(weft_udp *u, weft_addr *out);

/* weft_udp_ref, weft_udp_close, weft_udp_free - as weft_tcp_ref, weft_tcp_close and weft_tcp_free. What the kernel has received, and nobody from it, is lost with the socket. */
WEFT_API weft_udp *weft_udp_ref(weft_udp *u);
WEFT_API int weft_udp_close(weft_udp *u);
WEFT_API void weft_udp_free(weft_udp *u);

/* weft_udp_from_fd - a socket that was opened elsewhere.
 *
 *   fd  a UDP socket; the weft_udp's from here on, which closes it. It is made non-blocking, which whoever else has it sees, and is not handed on to other programs;
 *       its other options stay as they are.
 *
 * Returns 0; WEFT_EINVAL: not such a socket; WEFT_EBADF; WEFT_ENOMEM: fd is still the caller's. Blocks: no. Threads: any.
 */
WEFT_API int weft_udp_from_fd(weft_udp **out, int fd);

/* weft_udp_fd - as weft_tcp_fd. */
WEFT_API int weft_udp_fd(weft_udp *u);

WEFT_END_DECLS

#endif
