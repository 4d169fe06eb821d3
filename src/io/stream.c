/* SPDX-License-Identifier: MIT
 *
 * stream.c - byte streams upon a descriptor: what is not on the way of a request. See stream.h.
 */
#include "io/stream.h"

#include <signal.h>
#include <time.h>

int weft__errno(void)
{
	return -errno;
}

ssize_t weft__stream_total(const struct iovec *v, int count)
{
	size_t sum = 0;

	for (int i = 0; i < count; i++) {
		if (v[i].iov_len > SSIZE_MAX - sum)
			return -1;
		sum += v[i].iov_len;
	}
	return (ssize_t)sum;
}

int weft__stream_rest(const struct iovec *v, int count, size_t from, struct iovec *out)
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

void weft__quiet_begin(struct quiet *q)
{
	sigset_t pipe, pending;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &q->old);
	q->before = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE); /* one that is another's doing stays */
}

void weft__quiet_end(const struct quiet *q)
{
	int err = errno;
	sigset_t pipe;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	if (err == EPIPE && !q->before)
		sigtimedwait(&pipe, NULL, &(struct timespec){0, 0});
	pthread_sigmask(SIG_SETMASK, &q->old, NULL);
	errno = err;
}

ssize_t weft__stream_quiet(int fd, const struct iovec *v, int count)
{
	struct quiet q;
	ssize_t n;

	weft__quiet_begin(&q);
	n = writev(fd, v, count);
	weft__quiet_end(&q);
	return n;
}

int weft__stream_pair(struct fd *f[2], int (*open)(int fds[2]))
{
	int fds[2], rc;

	f[0] = f[1] = NULL;
	rc = weft__fd_make(&f[0], -1);
	if (rc)
		return rc;
	rc = weft__fd_make(&f[1], -1);
	if (rc)
		goto drop_first;
	rc = open(fds);
	if (rc)
		goto drop_second;
	weft__fd_use(f[0], fds[0]);
	weft__fd_use(f[1], fds[1]);
	return 0;
drop_second:
	weft__fd_unref(f[1]);
drop_first:
	weft__fd_unref(f[0]);
	f[0] = f[1] = NULL;
	return rc;
}

int weft__stream_set_deadline(struct fd *f, int64_t rd, int64_t wr)
{
	int rc = weft__fd_enter(f);

	if (rc)
		return rc;
	weft__fd_set_deadline(f, POLL_READ, rd);
	weft__fd_set_deadline(f, POLL_WRITE, wr);
	weft__fd_leave(f);
	return 0;
}

int weft__stream_shutdown(struct fd *f, int how)
{
	int rc = weft__fd_enter(f);

	if (rc)
		return rc;
	if (shutdown(f->fd, how))
		rc = -errno;
	else if (how != SHUT_RD)
		weft__poll_look(&f->poll, POLL_WRITE); /* a full Unix domain socket tells its own side nothing */
	weft__fd_leave(f);
	return rc;
}
