/* SPDX-License-Identifier: MIT
 *
 * net.h - for tests of sockets: connections to try things on, plain sockets at the other end, and a look at what is left of them.
 *
 *   run_net(fn, arg)      as run(), and no descriptor's record (io/fd.h) is left either
 *   listen_at(addr, at)   a listener, and its address as text
 *   pair_make(&a, &b)     two ends of one connection
 *   raw_dial(l), raw_reset(fd)    a client that knows nothing of weft; how it cuts the connection
 *   fill(c, peer)         writes until c takes no more, and will not before its peer (a number) has read something; drain(c) reads what is there
 *
 * What is not part of a question goes past weft: fill, drain and raw_* are plain system calls.
 */
#ifndef WEFT_TEST_NET_H
#define WEFT_TEST_NET_H

#include "rt.h"

#include "core/guard.h"
#include "io/fd.h"
#include "weft/net.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* What the process keeps of its first runtime (libuv's pipe) is there from here on: descriptors can be counted. */
static inline void warm_up(void)
{
	uv_loop_t once;

	T_EQ(uv_loop_init(&once), 0);
	T_EQ(uv_loop_close(&once), 0);
}

static inline int run_net_with(weft_task_fn *fn, void *arg, weft_opts o)
{
	size_t records = weft__fd_count();
	int rc = run_with(fn, arg, o);

	T_EQ(weft__fd_count(), records);
	return rc;
}

static inline void run_net(weft_task_fn *fn, void *arg)
{
	T_EQ(run_net_with(fn, arg, (weft_opts){.workers = 0}), 0);
}

/* --- weft's side --- */

/* The descriptor's record of a weft_tcp or weft_tcp_listener, and its number. */
static inline struct fd *record_of(void *handle)
{
	return handle;
}

static inline int number_of(void *handle)
{
	return record_of(handle)->fd;
}

/* What looks at errno is not inlined: compilers keep its address, and a task that has parked in between may be on another thread. */
static NOINLINE __attribute__((unused)) bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0 || errno != EBADF;
}

/* at: WEFT_ADDR_TEXT bytes, or NULL. */
static inline weft_tcp_listener *listen_at(const char *addr, char *at)
{
	weft_tcp_listener *l;
	weft_addr a;

	T_EQ(weft_tcp_listen(&l, addr, NULL), 0);
	T_EQ(weft_tcp_listener_addr(l, &a), 0);
	if (at)
		T_GT(weft_addr_format(&a, at, WEFT_ADDR_TEXT), 0);
	return l;
}

static inline int port_of(weft_tcp_listener *l)
{
	weft_addr a;

	T_EQ(weft_tcp_listener_addr(l, &a), 0);
	return weft_addr_port(&a);
}

static inline weft_tcp *dial_to(const char *at)
{
	weft_tcp *c;

	T_EQ(weft_tcp_dial(&c, at), 0);
	return c;
}

static inline weft_tcp *accept_from(weft_tcp_listener *l)
{
	weft_tcp *c;

	T_EQ(weft_tcp_accept(l, &c), 0);
	return c;
}

/* Of two descriptors: b is what the other end of a is. */
static inline bool meets(int a, int b)
{
	struct sockaddr_storage x = {0}, y = {0};

	T_EQ(getsockname(a, (struct sockaddr *)&x, &(socklen_t){sizeof x}), 0);
	return !getpeername(b, (struct sockaddr *)&y, &(socklen_t){sizeof y}) && !memcmp(&x, &y, sizeof x);
}

/* The same: nobody else has dialled the port, which may have been another program's until now. */
static inline bool is_peer(weft_tcp *a, weft_tcp *b)
{
	return meets(number_of(a), number_of(b));
}

static inline void pair_make(weft_tcp **a, weft_tcp **b)
{
	char at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l = listen_at("127.0.0.1:0", at);

	*a = dial_to(at);
	*b = accept_from(l);
	while (!is_peer(*a, *b)) {
		T_EQ(weft_tcp_close(*b), 0);
		*b = accept_from(l);
	}
	T_EQ(weft_tcp_listener_close(l), 0);
}

static inline void read_all(weft_tcp *c, void *buf, size_t n)
{
	for (size_t got = 0; got < n;) {
		ssize_t rc = weft_tcp_read(c, (char *)buf + got, n - got);

		T_GT(rc, 0);
		got += (size_t)rc;
	}
}

static inline void write_all(weft_tcp *c, const void *buf, size_t n)
{
	T_EQ(weft_tcp_write(c, buf, n, NULL), (ssize_t)n);
}

/* An address of this machine that other tests do not use: no port of it is ever taken by chance. */
static inline const char *own_host(void)
{
	static char host[32];
	unsigned pid = (unsigned)getpid();

	snprintf(host, sizeof host, "127.%u.%u.%u", 1 + (pid >> 16 & 0x7f), pid >> 8 & 255, pid & 255);
	return host;
}

/* --- those who try something once --- */

/* One byte from c to s and back: these two are connected. */
static inline void talk(weft_tcp *c, weft_tcp *s)
{
	char x = 0;

	write_all(c, "a", 1);
	read_all(s, &x, 1);
	T_EQ(x, 'a');
	write_all(s, "b", 1);
	read_all(c, &x, 1);
	T_EQ(x, 'b');
}

struct reading {
	weft_tcp *c;
	size_t n;
	ssize_t rc;
	char buf[64];
};

static inline int reads_once(void *arg)
{
	struct reading *r = arg;

	r->rc = weft_tcp_read(r->c, r->buf, r->n ? r->n : sizeof r->buf);
	return 0;
}

struct writing {
	weft_tcp *c;
	const char *buf;
	size_t n, done;
	ssize_t rc;
	int64_t deadline;
};

static inline int writes_once(void *arg)
{
	struct writing *w = arg;

	w->rc = weft_tcp_write_until(w->c, w->buf, w->n, &w->done, w->deadline ? w->deadline : WEFT_FOREVER);
	return 0;
}

/* One of several in a line. */
struct in_line {
	void *h; /* a listener or connection */
	weft_tcp *got;
	char byte;
};

static inline int line_accept(void *arg)
{
	struct in_line *me = arg;

	return weft_tcp_accept(me->h, &me->got);
}

static inline int line_read(void *arg)
{
	struct in_line *me = arg;

	return (int)weft_tcp_read(me->h, &me->byte, 1);
}

enum { LINE = 10 };

/* --- the system's side --- */

static inline int raw_connect(const char *host, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	T_GE(fd, 0);
	T_EQ(inet_pton(AF_INET, host, &a.sin_addr), 1);
	T_EQ(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

static inline int raw_dial(weft_tcp_listener *l)
{
	return raw_connect("127.0.0.1", port_of(l));
}

/* Closes it so that the peer gets a reset. */
static inline void raw_reset(int fd)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	T_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
	T_EQ(close(fd), 0);
}

/* Whether one of the events (POLLIN ...) holds now. */
static inline bool holds(int fd, int events)
{
	struct pollfd p = {.fd = fd, .events = (short)events};

	return poll(&p, 1, 0) == 1;
}

/* Waits until one of the events holds. For tests without a runtime: tasks ask weft. */
static inline void until_holds(int fd, int events)
{
	struct pollfd p = {.fd = fd, .events = (short)events};

	T_EQ(poll(&p, 1, 20000), 1);
}

/* Bytes that were sent and wait for the peer's word. -1: cannot tell. */
static inline int in_flight(int fd)
{
	int queued, unsent;

	if (ioctl(fd, SIOCOUTQ, &queued) || ioctl(fd, SIOCOUTQNSD, &unsent))
		return -1;
	return queued - unsent;
}

/* Bytes that were written and of which the peer has not said that it has them: sent, or held back until it has told of room. */
static inline int not_taken(int fd)
{
	int queued;

	T_EQ(ioctl(fd, SIOCOUTQ, &queued), 0);
	return queued;
}

/* A client that is connected on its own side may not be in its listener's queue yet: it is when that side has taken a byte. Who dials afterwards comes behind it. */
static inline void until_queued(int fd)
{
	T_EQ(write(fd, "q", 1), 1);
	until(not_taken(fd) == 0);
}

/* Returns how many bytes it wrote, all 0. */
static NOINLINE __attribute__((unused)) size_t fill(weft_tcp *c, int peer)
{
	static const char chunk[65536];
	int fd = number_of(c), calm = 0;
	size_t all = 0;

	/* Of a size that does not change: it tells of room when it is empty, and not when it is asked again a while later. */
	T_EQ(setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int)), 0);
	while (calm < 3) { /* what is under way may still make room */
		ssize_t n = send(fd, chunk, sizeof chunk, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			all += (size_t)n;
			calm = 0;
		} else {
			T_EQ(errno, EAGAIN);
			T_EQ(setsockopt(peer, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int)), 0); /* its word now, not 40 ms later */
			calm += in_flight(fd) <= 0;
			nanosleep(&(struct timespec){0, 200000}, NULL); /* the kernel's own thread may have what is about to be sent */
			let_run();
		}
	}
	return all;
}

/* Reads what is there. Returns how many bytes. */
static inline size_t drain(weft_tcp *c)
{
	char chunk[16384];
	size_t all = 0;
	ssize_t n;

	while ((n = recv(number_of(c), chunk, sizeof chunk, MSG_DONTWAIT)) > 0)
		all += (size_t)n;
	return all;
}

/* A listener whose queue is full: the system answers no further client until it accepts. Returns how many clients are in it: fds[4]. */
static inline int listen_full(weft_tcp_listener **l, char *at, int *fds)
{
	weft_addr a;
	int n;

	snprintf(at, WEFT_ADDR_TEXT, "%s:0", own_host()); /* nobody else comes */
	T_EQ(weft_tcp_listen(l, at, &(weft_listen_opts){.backlog = 1}), 0);
	T_EQ(weft_tcp_listener_addr(*l, &a), 0);
	T_GT(weft_addr_format(&a, at, WEFT_ADDR_TEXT), 0);
	for (n = 0; n < 2; n++) /* one more than the backlog, on Linux */
		fds[n] = raw_connect(own_host(), port_of(*l));
	for (;;) { /* the last may be connected on its own side, but not in the queue yet */
		struct tcp_info info;
		socklen_t len = sizeof info;

		if (weft__emulated() || getsockopt(number_of(*l), IPPROTO_TCP, TCP_INFO, &info, &len)) {
			until_queued(fds[n - 1]);
			return n;
		}
		if (info.tcpi_unacked > info.tcpi_sacked)
			return n;
		let_run();
	}
}

static inline bool have_ipv6(void)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool have = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;

	if (fd >= 0)
		close(fd);
	return have;
}

#endif
