/* SPDX-License-Identifier: MIT
 *
 * tty.c - terminals: their modes and how they are put back, their size. Reading and writing: io/stream.h.
 *
 * What a terminal was like before is kept here, by device, with a descriptor of its own: it must be put back also when all who used it have closed theirs. Entries
 * are looked through without a lock by a signal handler:
 *
 *	FREE -> BUSY -> SAVED      whoever changes the mode, under the lock
 *	SAVED -> BUSY -> FREE      whoever puts it back
 */
#include "io/pipe.h"
#include "io/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <weft/pipe.h>

struct weft_tty {
	struct fd f; /* its note: NOTE_SHARED */
};

#define SAVED_MAX 16
#define PTS_MAJOR 136 /* Linux: the devices of /dev/pts */

enum { SAVED_FREE, SAVED_BUSY, SAVED };

static struct saved {
	ATOMIC(uint32_t) state; /* above */
	dev_t device;           /* these are constant while SAVED */
	int fd;
	pid_t owner; /* a child that was forked has the entry, too, but not the say */
	struct termios was;
} saved[SAVED_MAX];
static struct lock saved_lock; /* RANK_POOL: who changes modes */
static bool saved_at_exit;     /* under lock */

bool weft_isatty(int fd)
{
	struct termios t;

	return tcgetattr(fd, &t) == 0;
}

int weft_tty_open(weft_tty **out, int fd)
{
	struct termios t;
	struct fd *f;
	int rc;

	*out = NULL;
	if (tcgetattr(fd, &t))
		return errno == EINVAL ? WEFT_ENOTTY : -errno;
	rc = weft__pipe_take(&f, fd);
	*out = (weft_tty *)f;
	return rc;
}

bool weft_tty_shared(const weft_tty *t)
{
	return load_relaxed(&t->f.note) & NOTE_SHARED; /* constant */
}

/* --- modes --- */

/* Workers have SIGTTOU blocked, so a change from the background goes through, too. */
static int apply(int fd, const struct termios *t)
{
	while (tcsetattr(fd, TCSANOW, t)) { /* not once all is written: that would wait */
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* Puts one back, unless somebody else is at it. Signal handlers, too. */
static int put_back(struct saved *s)
{
	uint32_t is = SAVED;
	int rc;

	if (!cas_acquire(&s->state, &is, SAVED_BUSY)) /* pairs with the release in keep */
		return 0;
	rc = apply(s->fd, &s->was);
	close(s->fd);
	store_release(&s->state, SAVED_FREE); /* pairs with load_acquire in keep */
	return rc;
}

void weft_tty_restore(void)
{
	int err = errno;

	for (int i = 0; i < SAVED_MAX; i++) {
		if (load_acquire(&saved[i].state) == SAVED && saved[i].owner == getpid()) /* pairs with the release in keep */
			put_back(&saved[i]);
	}
	errno = err;
}

static struct saved *find(dev_t device)
{
	for (int i = 0; i < SAVED_MAX; i++) {
		if (load_acquire(&saved[i].state) == SAVED && saved[i].device == device &&
		    saved[i].owner == getpid()) /* pairs with the release in keep */
			return &saved[i];
	}
	return NULL;
}

/* Keeps what the terminal is like now, unless that is kept. Locked. */
static int keep(int fd, dev_t device, const struct termios *was)
{
	struct saved *s = NULL;

	if (find(device))
		return 0;
	for (int i = 0; i < SAVED_MAX && !s; i++) {
		if (load_acquire(&saved[i].state) == SAVED_FREE) /* pairs with the release in put_back */
			s = &saved[i];
	}
	if (!s)
		return WEFT_ENOSPC;
	if (!saved_at_exit)
		saved_at_exit = atexit(weft_tty_restore) == 0;
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (s->fd < 0)
		return -errno;
	s->device = device;
	s->owner = getpid();
	s->was = *was;
	store_release(&s->state, SAVED); /* pairs with cas_acquire in put_back */
	return 0;
}

/* Which terminal it is. All masters of pseudo-terminals are one device, so they go by that of the other side, whose modes are the same. */
static int device_of(int fd, dev_t *device)
{
	struct stat st;
	int pty;

	if (fstat(fd, &st))
		return -errno;
	*device = ioctl(fd, TIOCGPTN, &pty) == 0 ? makedev(PTS_MAJOR, (unsigned)pty) : st.st_rdev;
	return 0;
}

static int set_mode(int fd, weft_tty_modes mode)
{
	struct termios now;
	struct saved *s;
	dev_t device = 0;
	int rc;

	rc = device_of(fd, &device);
	if (rc)
		return rc;
	if (tcgetattr(fd, &now))
		return -errno;
	if (mode == WEFT_TTY_NORMAL) {
		s = find(device);
		return s ? put_back(s) : 0;
	}
	rc = keep(fd, device, &now);
	if (rc)
		return rc;
	s = find(device);
	if (s)
		now = s->was; /* modes do not add up */
	if (mode == WEFT_TTY_RAW) {
		cfmakeraw(&now);
	} else {
		now.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
		now.c_iflag &= ~(tcflag_t)ICRNL;
	}
	now.c_cc[VMIN] = 1;
	now.c_cc[VTIME] = 0;
	return apply(fd, &now);
}

int weft_tty_mode(weft_tty *t, weft_tty_modes mode)
{
	int rc;

	if ((unsigned)mode > WEFT_TTY_RAW)
		return WEFT_EINVAL;
	rc = weft__fd_enter(&t->f);
	if (rc)
		return rc;
	lock_take(&saved_lock, RANK_POOL);
	rc = set_mode(t->f.fd, mode);
	lock_drop(&saved_lock);
	weft__fd_leave(&t->f);
	return rc;
}

int weft_tty_size(weft_tty *t, int *columns, int *rows)
{
	struct winsize w = {0};
	int rc = weft__fd_enter(&t->f);

	*columns = *rows = 0;
	if (rc)
		return rc;
	if (ioctl(t->f.fd, TIOCGWINSZ, &w))
		rc = -errno;
	weft__fd_leave(&t->f);
	*columns = w.ws_col;
	*rows = w.ws_row;
	return rc;
}

/* --- read and write --- */

ssize_t weft_tty_read_until(weft_tty *t, void *buf, size_t n, int64_t deadline)
{
	return stream_read(&t->f, buf, n, deadline, STREAM_OTHER);
}

ssize_t weft_tty_read(weft_tty *t, void *buf, size_t n)
{
	return weft_tty_read_until(t, buf, n, WEFT_FOREVER);
}

ssize_t weft_tty_write_until(weft_tty *t, const void *buf, size_t n, size_t *done, int64_t deadline)
{
	return stream_write(&t->f, buf, n, done, deadline, STREAM_OTHER);
}

ssize_t weft_tty_write(weft_tty *t, const void *buf, size_t n, size_t *done)
{
	return weft_tty_write_until(t, buf, n, done, WEFT_FOREVER);
}

weft_io weft_tty_io(weft_tty *t)
{
	return (weft_io){&weft__tty_ops, &t->f};
}

/* --- the rest --- */

int weft_tty_set_deadline(weft_tty *t, int64_t rd, int64_t wr)
{
	return weft__stream_set_deadline(&t->f, rd, wr);
}

weft_tty *weft_tty_ref(weft_tty *t)
{
	weft__fd_ref(&t->f);
	return t;
}

int weft_tty_close(weft_tty *t)
{
	return t ? weft__fd_close(&t->f, false) : 0;
}

void weft_tty_free(weft_tty *t)
{
	if (t)
		weft__fd_unref(&t->f);
}

int weft_tty_fd(weft_tty *t)
{
	return weft__fd_number(&t->f);
}
