/* SPDX-License-Identifier: MIT
 *
 * tcp.c - TCP connections and listeners: the system calls, and what their errors mean.
 *
 * Every read and write is tried first, as a plain non-blocking call on whatever worker runs the task; only EAGAIN waits.  After a read that did not fill
 * its buffer the next one waits at once: with edge-triggered events there is nothing more, unless the system has spoken of an end or an
 * error.  A request and its answer cost two system calls.  (Waiting, turns and close: io/fd.h.)
 *
 * Accepted sockets inherit TCP_NODELAY and keep-alive from their listener, so accepting costs one system call.
 */
#include "io/addr.h"
#include "io/fd.h"

#include "base/clock.h"
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <unistd.h>
#include <weft/net.h>

struct weft_tcp {
	struct fd f;
};

struct weft_tcp_listener {
	struct fd f;
};

#define KEEPALIVE_S 15            /* as Go's */
#define STARVED_FIRST_NS (5 * MS) /* accept without descriptors: first pause, and the longest */
#define STARVED_LAST_NS (1000 * MS)
#define IOV_COUNT_MAX 1024 /* Linux: UIO_MAXIOV */
#define IOV_AT_ONCE 16     /* buffers of a writev given to the kernel at a time */
#define DIAL_SELF_TRIES 3

/* --- options --- */

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value) ? -errno : 0;
}

static int set_keepalive(int fd, int seconds)
{
	int rc = set(fd, SOL_SOCKET, SO_KEEPALIVE, seconds > 0);

	if (rc == 0 && seconds > 0)
		rc = set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
	if (rc == 0 && seconds > 0)
		rc = set(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
	return rc;
}

/* A socket as connections shall be. Returns it, or a negative code. */
static int open_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (rc == 0)
		rc = set_keepalive(fd, KEEPALIVE_S);
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

static int local(struct fd *f, weft_addr *out)
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
	int fd = open_socket(a->sa.sa_family);
	int rc;

	if (fd < 0)
		return fd;
	rc = set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (rc == 0 && o->reuse_port)
		rc = set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (rc == 0 && a->sa.sa_family == AF_INET6)
		rc = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->v6_only);
	if (rc == 0 && (bind(fd, &a->sa, weft__addr_len(a)) || listen(fd, o->backlog > 0 ? o->backlog : INT_MAX)))
		rc = -errno;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

int weft_tcp_listen(weft_tcp_listener **out, const char *addr, const weft_listen_opts *o)
{
	static const weft_listen_opts none;
	weft_addr a;
	struct fd *f;
	int rc, fd;

	*out = NULL;
	o = o ? o : &none;
	rc = weft_addr_parse(&a, addr);
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

/* The listener is all right; the connection that was next is not. */
static bool broke_before(int err)
{
	switch (err) {
	case ECONNABORTED:
	case EINTR:
	case EPERM: /* a firewall's rule */
	case EPROTO:
	case ENOPROTOOPT:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
		return true;
	default:
		return false;
	}
}

static bool starved(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

int weft_tcp_accept_until(weft_tcp_listener *l, weft_tcp **out, int64_t deadline)
{
	int64_t pause = STARVED_FIRST_NS;
	struct fd_op op;
	struct fd *f;
	int rc, fd, err;

	*out = NULL;
	fd_op_init(&op, &l->f, POLL_READ, REASON_ACCEPT, deadline);
	while ((rc = weft__fd_next(&op)) == 0) {
		rc = weft__fd_make(&f, -1); /* before a connection is taken, so that none is lost */
		if (rc)
			break;
		fd = accept4(l->f.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			break;
		err = errno;
		weft__fd_unref(f);
		if (err == EAGAIN) {
			fd_op_blocked(&op);
		} else if (starved(err) && deadline != WEFT_NOW) {
			rc = weft__fd_pause(&op, clock_add(clock_now(), pause));
			if (rc)
				break;
			pause = pause * 2 < STARVED_LAST_NS ? pause * 2 : STARVED_LAST_NS;
		} else if (!broke_before(err)) {
			rc = -err;
			break;
		}
	}
	weft__fd_end(&op);
	if (rc)
		return rc;
	weft__fd_use(f, fd);
	*out = (weft_tcp *)f;
	return 0;
}

int weft_tcp_accept(weft_tcp_listener *l, weft_tcp **out)
{
	return weft_tcp_accept_until(l, out, WEFT_FOREVER);
}

int weft_tcp_listener_addr(weft_tcp_listener *l, weft_addr *out)
{
	return local(&l->f, out);
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

/* --- dial --- */

static bool same_end(const weft_addr *a, const weft_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family || weft_addr_port(a) != weft_addr_port(b))
		return false;
	return a->sa.sa_family == AF_INET ? a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr
					  : IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr);
}

/* How the connection under way stands: 0 it stands; WEFT_EAGAIN still under way; else why it failed. */
static int dial_outcome(int fd)
{
	socklen_t n = sizeof(int);
	weft_addr peer;
	int err = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n))
		return -errno;
	if (err)
		return err == EINPROGRESS || err == EALREADY || err == EINTR ? WEFT_EAGAIN : -err;
	n = sizeof peer;
	return getpeername(fd, &peer.sa, &n) == 0 ? 0 : errno == ENOTCONN ? WEFT_EAGAIN : -errno;
}

/* Connects f's socket. */
static int dial_wait(struct fd *f, const weft_addr *a, int64_t deadline)
{
	struct fd_op op;
	bool begun = false;
	int rc;

	fd_op_init(&op, f, POLL_WRITE, REASON_DIAL, deadline);
	while ((rc = weft__fd_next(&op)) == 0) {
		if (!begun) {
			begun = true;
			rc = connect(f->fd, &a->sa, weft__addr_len(a)) ? -errno : 0;
			if (rc == -EINPROGRESS || rc == -EINTR)
				rc = WEFT_EAGAIN;
			else if (rc == -EAGAIN)
				rc = WEFT_EADDRNOTAVAIL; /* no local port */
		} else {
			rc = dial_outcome(f->fd);
		}
		if (rc != WEFT_EAGAIN)
			break;
		fd_op_blocked(&op);
	}
	weft__fd_end(&op);
	return rc;
}

static int dial_once(weft_tcp **out, const weft_addr *a, int64_t deadline)
{
	weft_addr mine;
	struct fd *f;
	int rc, fd;

	rc = weft__fd_make(&f, -1);
	if (rc)
		return rc;
	fd = open_socket(a->sa.sa_family);
	if (fd < 0) {
		weft__fd_unref(f);
		return fd;
	}
	weft__fd_use(f, fd);
	f->task_dials = weft__worker() != NULL;
	rc = dial_wait(f, a, deadline);
	f->task_dials = false;
	if (rc == 0 && local(f, &mine) == 0 && same_end(&mine, a))
		rc = WEFT_EALREADY; /* to itself: nobody listens, and the kernel happened to choose that very port */
	if (rc) {
		weft__fd_close(f, false);
		return rc;
	}
	*out = (weft_tcp *)f;
	return 0;
}

static int dial(weft_tcp **out, const weft_addr *a, int64_t deadline)
{
	int rc = 0;

	for (int i = 0; i < DIAL_SELF_TRIES; i++) {
		rc = dial_once(out, a, deadline);
		if (rc != WEFT_EALREADY)
			return rc;
	}
	return WEFT_ECONNREFUSED;
}

int weft_tcp_dial_until(weft_tcp **out, const char *addr, int64_t deadline)
{
	weft_addr a[2];
	int n, rc = 0;

	*out = NULL;
	n = weft__addr_targets(a, addr);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		rc = dial(out, &a[i], deadline);
		if (rc == 0 || rc == WEFT_ECANCELED || rc == WEFT_ETIMEDOUT || rc == WEFT_EAGAIN || rc == WEFT_ESRCH)
			break;
	}
	return rc;
}

int weft_tcp_dial(weft_tcp **out, const char *addr)
{
	return weft_tcp_dial_until(out, addr, WEFT_FOREVER);
}

/* --- read --- */

/* Bytes in all; -1: more than SSIZE_MAX. */
static ssize_t total(const struct iovec *v, int count)
{
	size_t sum = 0;

	for (int i = 0; i < count; i++) {
		if (v[i].iov_len > SSIZE_MAX - sum)
			return -1;
		sum += v[i].iov_len;
	}
	return (ssize_t)sum;
}

static ALWAYS_INLINE ssize_t receive(struct fd *f, const struct iovec *v, int count, size_t want, int64_t deadline)
{
	struct fd_op op;
	ssize_t n;
	int rc;

	fd_op_init(&op, f, POLL_READ, REASON_READ, deadline);
	for (;;) {
		rc = weft__fd_next(&op);
		if (unlikely(rc)) {
			n = rc;
			break;
		}
		n = count == 1 ? recv(f->fd, v->iov_base, v->iov_len, 0) : readv(f->fd, v, count);
		if (likely(n >= 0)) {
			if ((size_t)n < want && n > 0)
				fd_op_drained(&op);
			break;
		}
		if (errno == EAGAIN) {
			fd_op_blocked(&op);
		} else if (errno != EINTR) {
			n = -errno;
			break;
		}
	}
	weft__fd_end(&op);
	return n;
}

ssize_t weft_tcp_read_until(weft_tcp *c, void *buf, size_t n, int64_t deadline)
{
	struct iovec v = {buf, n};

	if (unlikely(n == 0))
		return 0;
	return n > SSIZE_MAX ? WEFT_EINVAL : receive(&c->f, &v, 1, n, deadline);
}

ssize_t weft_tcp_read(weft_tcp *c, void *buf, size_t n)
{
	return weft_tcp_read_until(c, buf, n, WEFT_FOREVER);
}

ssize_t weft_tcp_readv_until(weft_tcp *c, const struct iovec *v, int count, int64_t deadline)
{
	ssize_t n;

	if (count < 0 || count > IOV_COUNT_MAX)
		return WEFT_EINVAL;
	n = total(v, count);
	if (n <= 0)
		return n < 0 ? WEFT_EINVAL : 0;
	return receive(&c->f, v, count, (size_t)n, deadline);
}

ssize_t weft_tcp_readv(weft_tcp *c, const struct iovec *v, int count)
{
	return weft_tcp_readv_until(c, v, count, WEFT_FOREVER);
}

/* --- write --- */

/* The buffers from byte `from` on, as many as fit into out. Returns how many. */
static int rest_of(const struct iovec *v, int count, size_t from, struct iovec *out)
{
	int n = 0;

	for (int i = 0; i < count && n < IOV_AT_ONCE; i++) {
		if (from >= v[i].iov_len) {
			from -= v[i].iov_len;
			continue;
		}
		out[n].iov_base = (char *)v[i].iov_base + from;
		out[n++].iov_len = v[i].iov_len - from;
		from = 0;
	}
	return n;
}

static ssize_t send_from(int fd, const struct iovec *v, int count, size_t from)
{
	struct iovec rest[IOV_AT_ONCE];
	struct msghdr m = {.msg_iov = rest};

	if (likely(count == 1))
		return send(fd, (char *)v->iov_base + from, v->iov_len - from, MSG_NOSIGNAL);
	m.msg_iovlen = (size_t)rest_of(v, count, from, rest);
	return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static ALWAYS_INLINE ssize_t transmit(struct fd *f, const struct iovec *v, int count, size_t all, size_t *done, int64_t deadline)
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
		n = send_from(f->fd, v, count, sent);
		if (likely(n >= 0)) {
			sent += (size_t)n;
		} else if (errno == EAGAIN) {
			fd_op_blocked(&op);
		} else if (errno != EINTR) {
			n = -errno;
			break;
		}
	}
	weft__fd_end(&op);
	if (done)
		*done = sent;
	return sent == all ? (ssize_t)all : n;
}

ssize_t weft_tcp_write_until(weft_tcp *c, const void *buf, size_t n, size_t *done, int64_t deadline)
{
	struct iovec v = {(void *)buf, n};

	if (done)
		*done = 0;
	return n > SSIZE_MAX ? WEFT_EINVAL : transmit(&c->f, &v, 1, n, done, deadline);
}

ssize_t weft_tcp_write(weft_tcp *c, const void *buf, size_t n, size_t *done)
{
	return weft_tcp_write_until(c, buf, n, done, WEFT_FOREVER);
}

ssize_t weft_tcp_writev_until(weft_tcp *c, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	ssize_t n;

	if (done)
		*done = 0;
	if (count < 0 || count > IOV_COUNT_MAX)
		return WEFT_EINVAL;
	n = total(v, count);
	return n < 0 ? WEFT_EINVAL : transmit(&c->f, v, count, (size_t)n, done, deadline);
}

ssize_t weft_tcp_writev(weft_tcp *c, const struct iovec *v, int count, size_t *done)
{
	return weft_tcp_writev_until(c, v, count, done, WEFT_FOREVER);
}

/* --- the rest --- */

int weft_tcp_set_deadline(weft_tcp *c, int64_t rd, int64_t wr)
{
	int rc = weft__fd_enter(&c->f);

	if (rc)
		return rc;
	weft__fd_set_deadline(&c->f, POLL_READ, rd);
	weft__fd_set_deadline(&c->f, POLL_WRITE, wr);
	weft__fd_leave(&c->f);
	return 0;
}

int weft_tcp_shutdown(weft_tcp *c, int how)
{
	int rc = weft__fd_enter(&c->f);

	if (rc)
		return rc;
	if (shutdown(c->f.fd, how))
		rc = -errno;
	weft__fd_leave(&c->f);
	return rc;
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

int weft_tcp_local(weft_tcp *c, weft_addr *out)
{
	return local(&c->f, out);
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
	int rc = weft__fd_enter(&c->f);

	if (rc)
		return rc;
	rc = set(c->f.fd, IPPROTO_TCP, TCP_NODELAY, on);
	weft__fd_leave(&c->f);
	return rc;
}

int weft_tcp_keepalive(weft_tcp *c, int64_t idle)
{
	int64_t seconds = idle / SEC + (idle % SEC != 0);
	int rc;

	if (idle < 0 || seconds > 32767)
		return WEFT_EINVAL;
	rc = weft__fd_enter(&c->f);
	if (rc)
		return rc;
	rc = set_keepalive(c->f.fd, (int)seconds);
	weft__fd_leave(&c->f);
	return rc;
}
