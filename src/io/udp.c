/* SPDX-License-Identifier: MIT
 *
 * udp.c - UDP sockets: the system calls, and what their errors mean.
 *
 * Every send and receive is tried first; only EAGAIN waits (io/fd.h).  Only EAGAIN says that nothing is left, too: a datagram says nothing about the next, and recvmmsg(2), which
 * returns fewer than asked for when it meets an error, keeps the error without an event.
 */
#include "io/udp.h"
#include "io/addr.h"
#include "io/dns.h"
#include "io/sock.h"
#include "io/stream.h"

#include <errno.h>
#include <limits.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

#ifndef UDP_SEGMENT /* linux/udp.h, which does not go with netinet/udp.h */
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* --- addresses --- */

/* How `to` is written for u. Returns the bytes of it; *at may be room. */
static socklen_t mapped(const weft_udp *u, const weft_addr *to, weft_addr *room, const weft_addr **at)
{
	*at = to;
	if (!to || to->sa.sa_family == AF_UNSPEC) {
		*at = NULL;
		return 0;
	}
	if (to->sa.sa_family == AF_INET && udp_noted(u, NOTE_V6)) {
		memset(room, 0, sizeof *room);
		room->v6.sin6_family = AF_INET6;
		room->v6.sin6_port = to->v4.sin_port;
		room->v6.sin6_addr.s6_addr[10] = room->v6.sin6_addr.s6_addr[11] = 0xff;
		memcpy(&room->v6.sin6_addr.s6_addr[12], &to->v4.sin_addr, 4);
		*at = room;
	}
	return weft__addr_len(*at);
}

/* An address of the kernel's, in place: IPv4 if it is that. */
static void unmap(weft_addr *a)
{
	weft_addr v4;

	if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
		return;
	memset(&v4, 0, sizeof v4); /* all of it: an initialiser need not reach all of a union */
	v4.v4.sin_family = AF_INET;
	v4.v4.sin_port = a->v6.sin6_port;
	memcpy(&v4.v4.sin_addr, &a->v6.sin6_addr.s6_addr[12], 4);
	*a = v4;
}

/* --- open, connect --- */

static int prepare(int fd, const weft_addr *a, const weft_udp_opts *o)
{
	int rc = 0;

	if (o->reuse_addr)
		rc = weft__sock_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (rc == 0 && o->reuse_port)
		rc = weft__sock_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (rc == 0 && a->sa.sa_family == AF_INET6)
		rc = weft__sock_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->v6_only);
	if (rc == 0 && o->broadcast)
		rc = weft__sock_set(fd, SOL_SOCKET, SO_BROADCAST, 1);
	if (rc == 0)
		rc = weft__sock_buffers(fd, o->send_buffer, o->receive_buffer);
	if (rc == 0 && o->gro)
		rc = weft__sock_set(fd, IPPROTO_UDP, UDP_GRO, 1);
	if (rc == 0 && bind(fd, &a->sa, weft__addr_len(a)))
		rc = -errno;
	return rc;
}

/* Returns the socket, or a negative code. */
static int open_at(const weft_addr *a, const weft_udp_opts *o)
{
	int fd = socket(a->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = prepare(fd, a, o);
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

static void opened(struct fd *f, int fd, bool v6, bool gro)
{
	weft__fd_use(f, fd);
	store_relaxed(&f->note, (v6 ? NOTE_V6 : 0) | (gro ? NOTE_GRO : 0)); /* nobody else has it yet */
}

int weft_udp_open(weft_udp **out, const char *addr, const weft_udp_opts *o)
{
	static const weft_udp_opts none;
	weft_addr a;
	struct fd *f;
	int rc, fd;

	*out = NULL;
	o = o ? o : &none;
	addr = addr ? addr : ":0";
	rc = weft_addr_parse(&a, addr);
	if (rc)
		return rc;
	rc = weft__fd_make(&f, -1);
	if (rc)
		return rc;
	fd = open_at(&a, o);
	if (fd == -EAFNOSUPPORT && addr[0] == ':') { /* no IPv6 here */
		weft__addr_any4(&a);
		fd = open_at(&a, o);
	}
	if (fd < 0) {
		weft__fd_unref(f);
		return fd;
	}
	opened(f, fd, a.sa.sa_family == AF_INET6, o->gro);
	*out = (weft_udp *)f;
	return 0;
}

int weft_udp_connect(weft_udp *u, const weft_addr *peer)
{
	const weft_addr *at;
	weft_addr room;
	socklen_t n = mapped(u, peer, &room, &at);
	int rc = at ? weft__fd_enter(&u->f) : WEFT_EINVAL;

	if (rc)
		return rc;
	if (connect(u->f.fd, &at->sa, n))
		rc = -errno;
	weft__fd_leave(&u->f);
	return rc;
}

/* A socket of to's family, connected to it. Returns it, or a negative code. A function of its own: errno's address is another's after a park. */
static NOINLINE int connected_to(const weft_addr *to, const weft_udp_opts *o)
{
	weft_addr own = {.sa.sa_family = to->sa.sa_family}; /* any, as all zero is */
	int fd = open_at(&own, o), rc;

	if (fd < 0 || connect(fd, &to->sa, weft__addr_len(to)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

int weft_udp_dial_until(weft_udp **out, const char *addr, const weft_udp_opts *o, int64_t deadline)
{
	static const weft_udp_opts none;
	weft_addr to[DNS_TARGETS];
	int rc, n, fd = 0;
	struct fd *f;

	*out = NULL;
	o = o ? o : &none;
	n = weft__dns_enter(deadline);
	if (n == 0)
		n = weft__dns_targets(to, addr, AF_UNSPEC, deadline);
	if (n < 0)
		return n;
	rc = weft__fd_make(&f, -1);
	if (rc)
		return rc;
	for (int i = 0; i < n; i++) {
		fd = connected_to(&to[i], o);
		if (fd >= 0) {
			opened(f, fd, to[i].sa.sa_family == AF_INET6, o->gro);
			*out = (weft_udp *)f;
			return 0;
		}
		rc = rc ? rc : fd;
	}
	weft__fd_unref(f);
	return rc;
}

int weft_udp_dial(weft_udp **out, const char *addr, const weft_udp_opts *o)
{
	return weft_udp_dial_until(out, addr, o, WEFT_FOREVER);
}

/* --- sending and receiving --- */

struct datagram {
	void *buf;
	size_t n, whole;
	const weft_addr *to;
	weft_addr *from;
};

struct batch {
	weft_udp_msg *m;
	int n;
};

/* Once, without waiting. Returns a length or count, or a negative code. */
typedef ssize_t try_fn(weft_udp *u, void *arg);

static ALWAYS_INLINE ssize_t repeat(weft_udp *u, enum poll_dir dir, int64_t deadline, try_fn *try, void *arg)
{
	struct fd_op op;
	ssize_t n;

	fd_op_init(&op, &u->f, dir, dir == POLL_READ ? REASON_READ : REASON_WRITE, deadline);
	while ((n = weft__fd_next(&op)) == 0) {
		n = try(u, arg);
		if (n == -EAGAIN)
			fd_op_blocked(&op);
		else if (n != -EINTR)
			break;
	}
	weft__fd_end(&op);
	return n;
}

static NOINLINE ssize_t try_send(weft_udp *u, void *arg)
{
	struct datagram *d = arg;
	const weft_addr *at;
	weft_addr room;
	socklen_t len = mapped(u, d->to, &room, &at);
	ssize_t n = sendto(u->f.fd, d->buf, d->n, MSG_NOSIGNAL, at ? &at->sa : NULL, len);

	return n < 0 ? weft__errno() : n;
}

static NOINLINE ssize_t try_recv(weft_udp *u, void *arg)
{
	struct datagram *d = arg;
	socklen_t len = sizeof *d->from;
	ssize_t n;

	if (d->from)
		memset(d->from, 0, sizeof *d->from);
	n = recvfrom(u->f.fd, d->buf, d->n, MSG_TRUNC, d->from ? &d->from->sa : NULL, d->from ? &len : NULL);
	if (n < 0)
		return weft__errno();
	if (d->from)
		unmap(d->from);
	d->whole = (size_t)n;
	return d->whole < d->n ? n : (ssize_t)d->n;
}

ssize_t weft_udp_sendto_until(weft_udp *u, const void *buf, size_t n, const weft_addr *to, int64_t deadline)
{
	struct datagram d = {.buf = (void *)buf, .n = n, .to = to};

	return repeat(u, POLL_WRITE, deadline, try_send, &d);
}

ssize_t weft_udp_sendto(weft_udp *u, const void *buf, size_t n, const weft_addr *to)
{
	return weft_udp_sendto_until(u, buf, n, to, WEFT_FOREVER);
}

ssize_t weft_udp_send_until(weft_udp *u, const void *buf, size_t n, int64_t deadline)
{
	struct datagram d = {.buf = (void *)buf, .n = n};

	return repeat(u, POLL_WRITE, deadline, try_send, &d);
}

ssize_t weft_udp_send(weft_udp *u, const void *buf, size_t n)
{
	return weft_udp_send_until(u, buf, n, WEFT_FOREVER);
}

static ALWAYS_INLINE ssize_t receive(weft_udp *u, struct datagram *d, size_t *whole, int64_t deadline)
{
	ssize_t n;

	if (d->n > SSIZE_MAX || udp_noted(u, NOTE_GRO))
		return WEFT_EINVAL;
	n = repeat(u, POLL_READ, deadline, try_recv, d);
	if (whole && n >= 0)
		*whole = d->whole;
	return n;
}

ssize_t weft_udp_recvfrom_until(weft_udp *u, void *buf, size_t n, weft_addr *from, size_t *whole, int64_t deadline)
{
	struct datagram d = {.buf = buf, .n = n, .from = from};

	return receive(u, &d, whole, deadline);
}

ssize_t weft_udp_recvfrom(weft_udp *u, void *buf, size_t n, weft_addr *from, size_t *whole)
{
	return weft_udp_recvfrom_until(u, buf, n, from, whole, WEFT_FOREVER);
}

ssize_t weft_udp_recv_until(weft_udp *u, void *buf, size_t n, size_t *whole, int64_t deadline)
{
	struct datagram d = {.buf = buf, .n = n};

	return receive(u, &d, whole, deadline);
}

ssize_t weft_udp_recv(weft_udp *u, void *buf, size_t n, size_t *whole)
{
	return weft_udp_recv_until(u, buf, n, whole, WEFT_FOREVER);
}

/* --- several a call --- */

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int)) +
		   CMSG_SPACE(32)]; /* a socket taken over may ask for another, a time or an interface, which comes first */
};

static void put_segment(struct msghdr *h, union control *c, int segment)
{
	uint16_t size = (uint16_t)segment;

	memset(c, 0, sizeof *c);
	c->header.cmsg_level = IPPROTO_UDP;
	c->header.cmsg_type = UDP_SEGMENT;
	c->header.cmsg_len = CMSG_LEN(sizeof size);
	memcpy(CMSG_DATA(&c->header), &size, sizeof size);
	h->msg_control = c;
	h->msg_controllen = CMSG_SPACE(sizeof size);
}

static int get_segment(struct msghdr *h)
{
	int size = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
			memcpy(&size, CMSG_DATA(c), sizeof size);
	}
	return size;
}

static NOINLINE ssize_t try_send_many(weft_udp *u, void *arg)
{
	struct batch *b = arg;
	struct mmsghdr h[WEFT_UDP_BATCH];
	union control c[WEFT_UDP_BATCH];
	weft_addr room[WEFT_UDP_BATCH];
	int sent;

	for (int i = 0; i < b->n; i++) {
		weft_udp_msg *m = &b->m[i];
		const weft_addr *at;
		socklen_t len = mapped(u, &m->addr, &room[i], &at);

		h[i] = (struct mmsghdr){.msg_hdr = {(void *)at, len, m->iov, (size_t)m->count, NULL, 0, 0}};
		if (m->segment)
			put_segment(&h[i].msg_hdr, &c[i], m->segment);
	}
	sent = sendmmsg(u->f.fd, h, (unsigned)b->n, MSG_NOSIGNAL);
	if (sent < 0)
		return weft__errno();
	for (int i = 0; i < sent; i++)
		b->m[i].len = h[i].msg_len;
	return sent;
}

static size_t room_of(const weft_udp_msg *m)
{
	size_t sum = 0;

	for (int i = 0; i < m->count; i++) {
		if (__builtin_add_overflow(sum, m->iov[i].iov_len, &sum))
			return SIZE_MAX;
	}
	return sum;
}

static NOINLINE ssize_t try_recv_many(weft_udp *u, void *arg)
{
	struct batch *b = arg;
	struct mmsghdr h[WEFT_UDP_BATCH];
	union control c[WEFT_UDP_BATCH];
	bool taken = udp_noted(u, NOTE_GRO);
	int got;

	for (int i = 0; i < b->n; i++) {
		weft_udp_msg *m = &b->m[i];

		memset(&m->addr, 0, sizeof m->addr);
		h[i] = (struct mmsghdr){
			.msg_hdr = {&m->addr, sizeof m->addr, m->iov, (size_t)m->count, taken ? &c[i] : NULL, taken ? sizeof c[i] : 0, 0}};
	}
	got = recvmmsg(u->f.fd, h, (unsigned)b->n, MSG_TRUNC, NULL);
	if (got < 0)
		return weft__errno();
	for (int i = 0; i < got; i++) {
		weft_udp_msg *m = &b->m[i];
		size_t room = room_of(m);

		unmap(&m->addr);
		m->whole = h[i].msg_len;
		m->len = m->whole < room ? m->whole : room;
		m->segment = taken ? get_segment(&h[i].msg_hdr) : 0;
	}
	return got;
}

/* How many of n may be tried at a time; or why none. */
static int batch_size(const weft_udp_msg *m, int n, bool sent)
{
	if (n < 0)
		return WEFT_EINVAL;
	if (n > WEFT_UDP_BATCH)
		n = WEFT_UDP_BATCH;
	for (int i = 0; i < n; i++) {
		if (m[i].count < 0 || m[i].count > IOV_COUNT_MAX || (sent && (m[i].segment < 0 || m[i].segment > UINT16_MAX)))
			return i ? i : WEFT_EINVAL;
	}
	return n;
}

int weft_udp_send_many_until(weft_udp *u, weft_udp_msg *m, int n, int64_t deadline)
{
	struct batch b = {m, batch_size(m, n, true)};

	return b.n <= 0 ? b.n : (int)repeat(u, POLL_WRITE, deadline, try_send_many, &b);
}

int weft_udp_send_many(weft_udp *u, weft_udp_msg *m, int n)
{
	return weft_udp_send_many_until(u, m, n, WEFT_FOREVER);
}

int weft_udp_recv_many_until(weft_udp *u, weft_udp_msg *m, int n, int64_t deadline)
{
	struct batch b = {m, batch_size(m, n, false)};

	return b.n <= 0 ? b.n : (int)repeat(u, POLL_READ, deadline, try_recv_many, &b);
}

int weft_udp_recv_many(weft_udp *u, weft_udp_msg *m, int n)
{
	return weft_udp_recv_many_until(u, m, n, WEFT_FOREVER);
}

/* --- the rest --- */

int weft_udp_set_deadline(weft_udp *u, int64_t rd, int64_t wr)
{
	return weft__stream_set_deadline(&u->f, rd, wr);
}

static int name_of(weft_udp *u, weft_addr *out, int (*ask)(int, struct sockaddr *restrict, socklen_t *restrict))
{
	socklen_t n = sizeof *out;
	int rc = weft__fd_enter(&u->f);

	if (rc)
		return rc;
	memset(out, 0, sizeof *out);
	if (ask(u->f.fd, &out->sa, &n))
		rc = -errno;
	weft__fd_leave(&u->f);
	unmap(out);
	return rc;
}

int weft_udp_local(weft_udp *u, weft_addr *out)
{
	return name_of(u, out, getsockname);
}

int weft_udp_peer(weft_udp *u, weft_addr *out)
{
	return name_of(u, out, getpeername);
}

weft_udp *weft_udp_ref(weft_udp *u)
{
	weft__fd_ref(&u->f);
	return u;
}

int weft_udp_close(weft_udp *u)
{
	return u ? weft__fd_close(&u->f, false) : 0;
}

void weft_udp_free(weft_udp *u)
{
	if (u)
		weft__fd_unref(&u->f);
}

/* A property of a socket, or a negative code. */
static int property(int fd, int level, int name)
{
	socklen_t n = sizeof(int);
	int value = 0;

	return getsockopt(fd, level, name, &value, &n) ? -errno : value;
}

int weft_udp_from_fd(weft_udp **out, int fd)
{
	int family = property(fd, SOL_SOCKET, SO_DOMAIN);
	int protocol = family < 0 ? family : property(fd, SOL_SOCKET, SO_PROTOCOL);
	int gro, rc;
	struct fd *f;

	*out = NULL;
	if (protocol < 0)
		return protocol == -ENOTSOCK ? WEFT_EINVAL : protocol;
	if ((family != AF_INET && family != AF_INET6) || protocol != IPPROTO_UDP)
		return WEFT_EINVAL;
	gro = property(fd, IPPROTO_UDP, UDP_GRO);
	if (gro < 0 && gro != WEFT_ENOPROTOOPT) /* a kernel that does not know it does not do it */
		return gro;
	rc = weft__fd_make(&f, -1);
	if (rc)
		return rc;
	rc = weft__fd_nonblocking(fd);
	if (rc) {
		weft__fd_unref(f);
		return rc;
	}
	opened(f, fd, family == AF_INET6, gro > 0);
	*out = (weft_udp *)f;
	return 0;
}

int weft_udp_fd(weft_udp *u)
{
	return weft__fd_number(&u->f);
}
