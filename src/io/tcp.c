/* SPDX-License-Identifier: MIT
 *
 * tcp.c - TCP connections and listeners: the system calls, and what their errors mean. Reading and writing: io/stream.h; dialling: dial.c.
 *
 * Accepted sockets inherit TCP_NODELAY and keep-alive from their listener, so accepting costs one system call.
 */
#include "io/addr.h"
#include "io/dns.h"
#include "io/sock.h"
#include "io/stream.h"
#include "io/tcp.h"

#include "base/clock.h"
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <unistd.h>
#include <weft/net.h>

/* --- options --- */

static int set_keepalive(int fd, int seconds)
{
	int rc = weft__sock_set(fd, SOL_SOCKET, SO_KEEPALIVE, seconds > 0);

	if (rc == 0 && seconds > 0)
		rc = weft__sock_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
	if (rc == 0 && seconds > 0)
		rc = weft__sock_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
	return rc;
}

int weft__tcp_socket(int family, int keepalive)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = weft__sock_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (rc == 0)
		rc = set_keepalive(fd, keepalive);
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

int weft__tcp_local(struct fd *f, weft_addr *out)
{
	socklen_t n = sizeof *out;
	int rc = weft__fd_enter(f);

	if (rc)
		return rc;
	if (getsockname(f->fd, &out->sa, &n))
		rc = -errno;
	weft__fd_leave(f);
	return rc;
}

/* --- listeners --- */

static int listen_on(const weft_addr *a, const weft_listen_opts *o)
{
	int fd = weft__tcp_socket(a->sa.sa_family, KEEPALIVE_S);
	int rc;

	if (fd < 0)
		return fd;
	rc = weft__sock_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (rc == 0 && o->reuse_port)
		rc = weft__sock_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (rc == 0 && a->sa.sa_family == AF_INET6)
		rc = weft__sock_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->v6_only);
	if (rc == 0) /* before listen: what is offered to peers follows from it */
		rc = weft__sock_buffers(fd, o->send_buffer, o->receive_buffer);
	if (rc == 0 && (bind(fd, &a->sa, weft__addr_len(a)) || listen(fd, o->backlog > 0 ? o->backlog : INT_MAX)))
		rc = -errno;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

int weft_tcp_listen_until(weft_tcp_listener **out, const char *addr, const weft_listen_opts *o, int64_t deadline)
{
	static const weft_listen_opts none;
	weft_addr a;
	struct fd *f;
	int rc, fd;

	*out = NULL;
	o = o ? o : &none;
	rc = weft__dns_first(&a, addr, deadline);
	if (rc)
		return rc;
	rc = weft__fd_make(&f, -1);
	if (rc)
		return rc;
	fd = listen_on(&a, o);
	if (fd == -EAFNOSUPPORT && addr[0] == ':') { /* no IPv6 here */
		weft__addr_any4(&a);
		fd = listen_on(&a, o);
	}
	if (fd < 0) {
		weft__fd_unref(f);
		return fd;
	}
	weft__fd_use(f, fd);
	*out = (weft_tcp_listener *)f;
	return 0;
}

int weft_tcp_listen(weft_tcp_listener **out, const char *addr, const weft_listen_opts *o)
{
	return weft_tcp_listen_until(out, addr, o, WEFT_FOREVER);
}

int weft_tcp_accept_until(weft_tcp_listener *l, weft_tcp **out, int64_t deadline)
{
	struct fd *f;
	int rc = weft__sock_accept(&l->f, &f, deadline);

	*out = (weft_tcp *)f;
	NO_JUMP();
	return rc;
}

int weft_tcp_accept(weft_tcp_listener *l, weft_tcp **out)
{
	return weft_tcp_accept_until(l, out, WEFT_FOREVER);
}

int weft_tcp_listener_addr(weft_tcp_listener *l, weft_addr *out)
{
	return weft__tcp_local(&l->f, out);
}

weft_tcp_listener *weft_tcp_listener_ref(weft_tcp_listener *l)
{
	weft__fd_ref(&l->f);
	return l;
}

int weft_tcp_listener_close(weft_tcp_listener *l)
{
	return l ? weft__fd_close(&l->f, false) : 0;
}

void weft_tcp_listener_free(weft_tcp_listener *l)
{
	if (l)
		weft__fd_unref(&l->f);
}

int weft_tcp_listener_set_deadline(weft_tcp_listener *l, int64_t deadline)
{
	return weft__stream_set_deadline(&l->f, deadline, deadline); /* who pauses hears of the other direction (io/fd.h) */
}

int weft_tcp_listener_fd(weft_tcp_listener *l)
{
	return weft__fd_number(&l->f);
}

static bool is_ip(int family)
{
	return family == AF_INET || family == AF_INET6;
}

int weft_tcp_listener_from_fd(weft_tcp_listener **out, int fd)
{
	struct fd *f;
	int rc = weft__sock_take(&f, fd, is_ip, true);

	*out = (weft_tcp_listener *)f;
	if (rc ==
	    0) { /* those that it will accept shall be as all are; whoever made it may have forbidden that, and then they are as he wanted them */
		(void)weft__sock_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		(void)set_keepalive(fd, KEEPALIVE_S);
	}
	return rc;
}

/* --- read and write --- */

ssize_t weft_tcp_read_until(weft_tcp *c, void *buf, size_t n, int64_t deadline)
{
	return stream_read(&c->f, buf, n, deadline, STREAM_TCP);
}

ssize_t weft_tcp_read(weft_tcp *c, void *buf, size_t n)
{
	return weft_tcp_read_until(c, buf, n, WEFT_FOREVER);
}

ssize_t weft_tcp_readv_until(weft_tcp *c, const struct iovec *v, int count, int64_t deadline)
{
	return stream_readv(&c->f, v, count, deadline, STREAM_TCP);
}

ssize_t weft_tcp_readv(weft_tcp *c, const struct iovec *v, int count)
{
	return weft_tcp_readv_until(c, v, count, WEFT_FOREVER);
}

ssize_t weft_tcp_write_until(weft_tcp *c, const void *buf, size_t n, size_t *done, int64_t deadline)
{
	return stream_write(&c->f, buf, n, done, deadline, STREAM_TCP);
}

ssize_t weft_tcp_write(weft_tcp *c, const void *buf, size_t n, size_t *done)
{
	return weft_tcp_write_until(c, buf, n, done, WEFT_FOREVER);
}

ssize_t weft_tcp_writev_until(weft_tcp *c, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	return stream_writev(&c->f, v, count, done, deadline, STREAM_TCP);
}

ssize_t weft_tcp_writev(weft_tcp *c, const struct iovec *v, int count, size_t *done)
{
	return weft_tcp_writev_until(c, v, count, done, WEFT_FOREVER);
}

weft_io weft_tcp_io(weft_tcp *c)
{
	return (weft_io){&weft__tcp_ops, &c->f};
}

/* --- the rest --- */

int weft_tcp_set_deadline(weft_tcp *c, int64_t rd, int64_t wr)
{
	return weft__stream_set_deadline(&c->f, rd, wr);
}

int weft_tcp_shutdown(weft_tcp *c, int how)
{
	return weft__stream_shutdown(&c->f, how);
}

weft_tcp *weft_tcp_ref(weft_tcp *c)
{
	weft__fd_ref(&c->f);
	return c;
}

int weft_tcp_close(weft_tcp *c)
{
	return c ? weft__fd_close(&c->f, false) : 0;
}

void weft_tcp_free(weft_tcp *c)
{
	if (c)
		weft__fd_unref(&c->f);
}

int weft_tcp_from_fd(weft_tcp **out, int fd)
{
	struct fd *f;
	int rc = weft__sock_take(&f, fd, is_ip, false);

	*out = (weft_tcp *)f;
	return rc;
}

int weft_tcp_fd(weft_tcp *c)
{
	return weft__fd_number(&c->f);
}

int weft_tcp_local(weft_tcp *c, weft_addr *out)
{
	return weft__tcp_local(&c->f, out);
}

int weft_tcp_peer(weft_tcp *c, weft_addr *out)
{
	socklen_t n = sizeof *out;
	int rc = weft__fd_enter(&c->f);

	if (rc)
		return rc;
	if (getpeername(c->f.fd, &out->sa, &n))
		rc = -errno;
	weft__fd_leave(&c->f);
	return rc;
}

int weft_tcp_nodelay(weft_tcp *c, bool on)
{
	return weft__sock_option(&c->f, IPPROTO_TCP, TCP_NODELAY, on);
}

int weft_tcp_quickack(weft_tcp *c, bool on)
{
	return weft__sock_option(&c->f, IPPROTO_TCP, TCP_QUICKACK, on);
}

int weft__tcp_keepalive_seconds(int64_t idle)
{
	int64_t seconds = idle / SEC + (idle % SEC != 0);

	return idle < 0 || seconds > 32767 ? WEFT_EINVAL : (int)seconds;
}

int weft_tcp_keepalive(weft_tcp *c, int64_t idle)
{
	int seconds = weft__tcp_keepalive_seconds(idle);
	int rc;

	if (seconds < 0)
		return seconds;
	rc = weft__fd_enter(&c->f);
	if (rc)
		return rc;
	rc = set_keepalive(c->f.fd, seconds);
	weft__fd_leave(&c->f);
	return rc;
}

int weft_tcp_user_timeout(weft_tcp *c, int64_t ns)
{
	int64_t ms = ns / MS + (ns % MS != 0);

	if (ns < 0 || ms > INT_MAX)
		return WEFT_EINVAL;
	return weft__sock_option(&c->f, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)ms);
}

/* Any time but none would have close wait, and the worker with it. */
int weft_tcp_linger(weft_tcp *c, bool on)
{
	struct linger l = {.l_onoff = !on, .l_linger = 0};
	int rc = weft__fd_enter(&c->f);

	if (rc)
		return rc;
	if (setsockopt(c->f.fd, SOL_SOCKET, SO_LINGER, &l, sizeof l))
		rc = -errno;
	weft__fd_leave(&c->f);
	return rc;
}

int weft_tcp_buffers(weft_tcp *c, int send, int receive)
{
	return weft__sock_resize(&c->f, send, receive);
}
