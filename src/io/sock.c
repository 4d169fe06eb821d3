/* SPDX-License-Identifier: MIT
 *
 * sock.c - what sockets of all families have in common: options, accepting, taking over one that is open.
 */
#include "io/sock.h"

#include "base/clock.h"
#include "io/stream.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define STARVED_FIRST_NS (5 * MS) /* accept without descriptors: first pause, and the longest */
#define STARVED_LAST_NS (1000 * MS)
#define BROKEN_MAX 64 /* connections in a row that broke before they were accepted, until others shall run: there may be no end of them */

int weft__sock_set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value) ? -errno : 0;
}

int weft__sock_option(struct fd *f, int level, int name, int value)
{
	int rc = weft__fd_enter(f);

	if (rc)
		return rc;
	rc = weft__sock_set(f->fd, level, name, value);
	weft__fd_leave(f);
	return rc;
}

int weft__sock_buffers(int fd, int send, int receive)
{
	int rc = 0;

	if (send < 0 || receive < 0)
		return WEFT_EINVAL;
	if (send > 0)
		rc = weft__sock_set(fd, SOL_SOCKET, SO_SNDBUF, send);
	if (rc == 0 && receive > 0)
		rc = weft__sock_set(fd, SOL_SOCKET, SO_RCVBUF, receive);
	return rc;
}

int weft__sock_resize(struct fd *f, int send, int receive)
{
	int rc = weft__fd_enter(f);

	if (rc)
		return rc;
	rc = weft__sock_buffers(f->fd, send, receive);
	weft__fd_leave(f);
	return rc;
}

/* --- accepting --- */

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

int weft__sock_accept(struct fd *l, struct fd **out, int64_t deadline)
{
	int64_t pause = STARVED_FIRST_NS;
	struct fd_op op;
	struct fd *f;
	int rc, fd, err, broken = 0;

	*out = NULL;
	fd_op_init(&op, l, POLL_READ, REASON_ACCEPT, deadline);
	while ((rc = weft__fd_next(&op)) == 0) {
		rc = weft__fd_make(&f, -1); /* before a connection is taken, so that none is lost */
		if (rc)
			break;
		fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			break;
		err = -weft__errno();
		weft__fd_unref(f);
		if (err == EAGAIN) {
			fd_op_blocked(&op);
		} else if (broke_before(err) && ++broken % BROKEN_MAX) {
			continue;
		} else if ((starved(err) || broke_before(err)) && deadline != WEFT_NOW) {
			rc = weft__fd_pause(&op, clock_add(clock_now(), pause));
			if (rc)
				break;
			pause = pause * 2 < STARVED_LAST_NS ? pause * 2 : STARVED_LAST_NS;
		} else {
			rc = -err;
			break;
		}
	}
	weft__fd_end(&op);
	if (rc)
		return rc;
	weft__fd_use(f, fd);
	*out = f;
	return 0;
}

/* --- taking over --- */

/* A socket's property, or a negative code. */
static int property(int fd, int name)
{
	socklen_t n = sizeof(int);
	int value = 0;

	return getsockopt(fd, SOL_SOCKET, name, &value, &n) ? -errno : value;
}

int weft__sock_take(struct fd **out, int fd, bool (*fits)(int family), bool listens)
{
	int family = property(fd, SO_DOMAIN), rc;

	*out = NULL;
	if (family < 0)
		return family == -ENOTSOCK ? WEFT_EINVAL : family;
	if (!fits(family) || property(fd, SO_TYPE) != SOCK_STREAM || property(fd, SO_ACCEPTCONN) != listens)
		return WEFT_EINVAL;
	rc = weft__fd_make(out, -1);
	if (rc)
		return rc;
	rc = weft__fd_nonblocking(fd);
	if (rc) {
		weft__fd_unref(*out);
		*out = NULL;
		return rc;
	}
	weft__fd_use(*out, fd);
	return 0;
}
