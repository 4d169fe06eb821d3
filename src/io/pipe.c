/* SPDX-License-Identifier: MIT
 *
 * pipe.c - pipes, and taking over descriptors that others may share. Reading and writing: io/stream.h.
 */
#include "io/pipe.h"
#include "io/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <weft/pipe.h>

struct weft_pipe {
	struct fd f; /* its note: NOTE_SHARED */
};

static int open_pipe(int fds[2])
{
	return pipe2(fds, O_NONBLOCK | O_CLOEXEC) ? -errno : 0;
}

int weft_pipe_make(weft_pipe **r, weft_pipe **w)
{
	struct fd *f[2];
	int rc = weft__stream_pair(f, open_pipe);

	*r = (weft_pipe *)f[0];
	*w = (weft_pipe *)f[1];
	return rc;
}

/* --- taking over --- */

/* Can it be waited for? 0 or a negative code. */
static int can_wait(int fd)
{
	struct epoll_event ev = {.events = 0};
	int set = epoll_create1(EPOLL_CLOEXEC), rc;

	if (set < 0)
		return -errno;
	rc = epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
	close(set);
	return rc;
}

/* The same file, opened for us alone; or a negative code. Opening other devices may do things to them. */
static int open_again(int fd, int flags)
{
	struct stat st;
	char path[32];
	int pty, again;

	if (ioctl(fd, TIOCGPTN, &pty) == 0)
		return WEFT_EPERM; /* opened again, the master of a pseudo-terminal is another one's */
	if (fstat(fd, &st) || (!S_ISFIFO(st.st_mode) && !weft_isatty(fd)))
		return WEFT_EPERM;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	again = open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	return again < 0 ? -errno : again;
}

/* One that is ours to close: 0, 1 and 2 are not. */
static int own(int fd)
{
	int copy = fd > STDERR_FILENO ? fd : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	return copy < 0 ? -errno : copy;
}

int weft__pipe_take(struct fd **out, int fd)
{
	int flags = fcntl(fd, F_GETFL), rc, mine;
	uint32_t note = 0;

	*out = NULL;
	if (flags < 0)
		return -errno;
	rc = can_wait(fd);
	if (!rc)
		rc = weft__fd_make(out, -1);
	if (rc)
		return rc;
	mine = flags & O_NONBLOCK ? WEFT_EALREADY : open_again(fd, flags);
	if (mine >= 0) {
		if (fd > STDERR_FILENO)
			close(fd);
	} else if (mine == WEFT_EMFILE || mine == WEFT_ENFILE) {
		rc = mine;
		goto fail;
	} else {
		note = flags & O_NONBLOCK ? 0 : NOTE_SHARED;
		mine = own(fd);
		rc = mine < 0 ? mine : weft__fd_nonblocking(mine);
		if (rc) {
			if (mine >= 0 && mine != fd)
				close(mine);
			goto fail;
		}
	}
	weft__fd_use(*out, mine);
	store_relaxed(&(*out)->note, note); /* nobody else has it yet */
	return 0;
fail:
	weft__fd_unref(*out);
	*out = NULL;
	return rc;
}

int weft_pipe_open(weft_pipe **out, int fd)
{
	struct fd *f;
	int rc = weft__pipe_take(&f, fd);

	*out = (weft_pipe *)f;
	return rc;
}

bool weft_pipe_shared(const weft_pipe *p)
{
	return load_relaxed(&p->f.note) & NOTE_SHARED; /* constant */
}

/* --- read and write --- */

ssize_t weft_pipe_read_until(weft_pipe *p, void *buf, size_t n, int64_t deadline)
{
	return stream_read(&p->f, buf, n, deadline, STREAM_OTHER);
}

ssize_t weft_pipe_read(weft_pipe *p, void *buf, size_t n)
{
	return weft_pipe_read_until(p, buf, n, WEFT_FOREVER);
}

ssize_t weft_pipe_readv_until(weft_pipe *p, const struct iovec *v, int count, int64_t deadline)
{
	return stream_readv(&p->f, v, count, deadline, STREAM_OTHER);
}

ssize_t weft_pipe_readv(weft_pipe *p, const struct iovec *v, int count)
{
	return weft_pipe_readv_until(p, v, count, WEFT_FOREVER);
}

ssize_t weft_pipe_write_until(weft_pipe *p, const void *buf, size_t n, size_t *done, int64_t deadline)
{
	return stream_write(&p->f, buf, n, done, deadline, STREAM_OTHER);
}

ssize_t weft_pipe_write(weft_pipe *p, const void *buf, size_t n, size_t *done)
{
	return weft_pipe_write_until(p, buf, n, done, WEFT_FOREVER);
}

ssize_t weft_pipe_writev_until(weft_pipe *p, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	return stream_writev(&p->f, v, count, done, deadline, STREAM_OTHER);
}

ssize_t weft_pipe_writev(weft_pipe *p, const struct iovec *v, int count, size_t *done)
{
	return weft_pipe_writev_until(p, v, count, done, WEFT_FOREVER);
}

weft_io weft_pipe_io(weft_pipe *p)
{
	return (weft_io){&weft__pipe_ops, &p->f};
}

/* --- the rest --- */

int weft_pipe_set_deadline(weft_pipe *p, int64_t rd, int64_t wr)
{
	return weft__stream_set_deadline(&p->f, rd, wr);
}

weft_pipe *weft_pipe_ref(weft_pipe *p)
{
	weft__fd_ref(&p->f);
	return p;
}

int weft_pipe_close(weft_pipe *p)
{
	return p ? weft__fd_close(&p->f, false) : 0;
}

void weft_pipe_free(weft_pipe *p)
{
	if (p)
		weft__fd_unref(&p->f);
}

int weft_pipe_fd(weft_pipe *p)
{
	return weft__fd_number(&p->f);
}
