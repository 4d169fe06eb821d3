/* SPDX-License-Identifier: MIT
 *
 * unix_fds.c - descriptors that travel over a Unix domain socket, along with bytes.
 */
#include "io/stream.h"
#include "io/unix.h"

#include <string.h>

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(WEFT_UNIX_FDS_MAX * sizeof(int)) +
		   CMSG_SPACE(sizeof(struct ucred))]; /* a socket taken over may ask for those */
};

static ssize_t send_with(int fd, const void *buf, size_t n, const int *fds, int count)
{
	struct iovec v = {(void *)buf, n};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	union control c;

	if (count > 0) {
		memset(&c, 0, sizeof c);
		m.msg_control = c.bytes;
		m.msg_controllen = CMSG_SPACE((size_t)count * sizeof *fds);
		c.align.cmsg_level = SOL_SOCKET;
		c.align.cmsg_type = SCM_RIGHTS;
		c.align.cmsg_len = CMSG_LEN((size_t)count * sizeof *fds);
		memcpy(CMSG_DATA(&c.align), fds, (size_t)count * sizeof *fds);
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL);
}

ssize_t weft_unix_send_fds_until(weft_unix *c, const void *buf, size_t n, const int *fds, int count, size_t *done, int64_t deadline)
{
	struct fd_op op;
	size_t sent = 0;
	ssize_t rc = 0;

	if (done)
		*done = 0;
	if (n == 0 || n > SSIZE_MAX || count < 0 || count > WEFT_UNIX_FDS_MAX)
		return WEFT_EINVAL;
	fd_op_init(&op, &c->f, POLL_WRITE, REASON_WRITE, deadline);
	while (sent < n) {
		rc = weft__fd_next(&op);
		if (rc)
			break;
		rc = send_with(c->f.fd, (const char *)buf + sent, n - sent, fds, sent ? 0 : count);
		if (rc >= 0) {
			sent += (size_t)rc;
			continue;
		}
		rc = weft__errno();
		if (rc == WEFT_EAGAIN)
			fd_op_blocked(&op);
		else if (rc != -EINTR)
			break;
	}
	weft__fd_end(&op);
	if (done)
		*done = sent;
	return sent == n ? (ssize_t)n : rc;
}

ssize_t weft_unix_send_fds(weft_unix *c, const void *buf, size_t n, const int *fds, int count, size_t *done)
{
	return weft_unix_send_fds_until(c, buf, n, fds, count, done, WEFT_FOREVER);
}

/* Gives the descriptors of a message to the caller, or closes them. Returns how many there are, or why they were closed. */
static int unpack(struct msghdr *m, int *fds, int room)
{
	int rc = m->msg_flags & MSG_CTRUNC ? WEFT_EMFILE : 0; /* what the kernel may send at once fits: it had no numbers left */
	int n = 0, fd;

	for (int pass = 0; pass < 2; pass++) { /* looks, then takes or closes */
		for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
			if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
				continue;
			for (size_t at = 0; at + sizeof fd <= h->cmsg_len - CMSG_LEN(0); at += sizeof fd) {
				memcpy(&fd, CMSG_DATA(h) + at, sizeof fd);
				if (pass == 0)
					n++;
				else if (rc == 0)
					*fds++ = fd;
				else
					close(fd);
			}
		}
		if (rc == 0 && n > room)
			rc = WEFT_ENOSPC;
	}
	return rc ? rc : n;
}

ssize_t weft_unix_recv_fds_until(weft_unix *c, void *buf, size_t n, int *fds, int *count, int64_t deadline)
{
	struct iovec v = {buf, n};
	int room = *count;
	union control box;
	struct msghdr m;
	struct fd_op op;
	ssize_t got;

	*count = 0;
	if (n == 0 || n > SSIZE_MAX || room < 0 || room > WEFT_UNIX_FDS_MAX)
		return WEFT_EINVAL;
	fd_op_init(&op, &c->f, POLL_READ, REASON_READ, deadline);
	while ((got = weft__fd_next(&op)) == 0) {
		m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1, .msg_control = box.bytes, .msg_controllen = sizeof box.bytes};
		got = recvmsg(c->f.fd, &m, MSG_CMSG_CLOEXEC);
		if (got >= 0) {
			*count = unpack(&m, fds, room);
			break;
		}
		got = weft__errno();
		if (got == WEFT_EAGAIN)
			fd_op_blocked(&op);
		else if (got != -EINTR)
			break;
	}
	weft__fd_end(&op);
	return got;
}

ssize_t weft_unix_recv_fds(weft_unix *c, void *buf, size_t n, int *fds, int *count)
{
	return weft_unix_recv_fds_until(c, buf, n, fds, count, WEFT_FOREVER);
}
