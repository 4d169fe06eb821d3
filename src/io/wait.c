/* SPDX-License-Identifier: MIT
 *
 * wait.c - waiting for descriptors that weft did not open: weft_io_wait, WEFT_FD in a select, weft_io_forget.
 *
 * Such a descriptor may be read and written by anybody, and closed behind our back, so nothing is remembered about its readiness: each wait looks (poll with
 * no timeout), has the loop look anew, and only then waits.  What is kept by number is the record, until weft_io_forget.
 */
#include "io/fd.h"

#include "base/clock.h"
#include "core/source.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <weft/net.h>

static struct lock table_lock; /* RANK_LOT: nothing is locked inside but the pool */
static struct fd **table;      /* by descriptor; under lock */
static size_t table_size;      /* entries; under lock */
static ATOMIC(uint32_t) kept;  /* of them with a record; written under lock, a hint */

/* With a reference for the caller: to wait (made if there is none, ended by weft__fd_release), or to close. NULL: none, or none could be made. */
static struct fd *look_up(int fd, bool wait)
{
	size_t at = (size_t)fd, size; /* a negative one is beyond the end */
	struct fd *f = NULL, **more;

	lock_take(&table_lock, RANK_LOT);
	if (at >= table_size && wait) {
		size = ROUND_UP(at + 1, 64) * 2;
		more = realloc(table, size * sizeof *table);
		if (!more)
			goto out;
		memset(more + table_size, 0, (size - table_size) * sizeof *table);
		table = more;
		table_size = size;
	}
	if (at < table_size) {
		if (!table[at] && wait && weft__fd_make(&table[at], -1) == 0) {
			table[at]->fd = fd; /* not weft__fd_use: it is not ours */
			table[at]->others = true;
			add_relaxed(&kept, 1u); /* a hint */
		}
		f = table[at];
	}
	if (f && wait)
		weft__fd_hold(f);
	else if (f)
		weft__fd_ref(f);
out:
	lock_drop(&table_lock);
	return f;
}

/* Which of the events hold now; 0: none. Not inlined: see weft__errno. */
NOINLINE static int look(int fd, int events)
{
	struct pollfd p = {.fd = fd, .events = (short)((events & WEFT_IO_R ? POLLIN : 0) | (events & WEFT_IO_W ? POLLOUT : 0))};
	int hold = 0;

	while (poll(&p, 1, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (p.revents & POLLNVAL)
		return WEFT_EBADF;
	if (p.revents & (POLLIN | POLLHUP | POLLERR))
		hold |= WEFT_IO_R;
	if (p.revents & (POLLOUT | POLLHUP | POLLERR))
		hold |= WEFT_IO_W;
	return hold & events;
}

/* poll(2) calls files of these kinds ready, always; epoll does not take them. */
static bool cannot_wait(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

int weft_io_wait_until(int fd, int events, int64_t deadline)
{
	uint32_t seen[POLL_DIRS];
	int64_t limit = deadline;
	struct self me;
	struct fd *f;
	int rc;

	if (fd < 0 || !events || events & ~(WEFT_IO_R | WEFT_IO_W))
		return fd < 0 ? WEFT_EBADF : WEFT_EINVAL;
	rc = self_enter(&me, &limit);
	if (!rc && deadline != WEFT_FOREVER && deadline != WEFT_NOW && deadline <= clock_now())
		rc = WEFT_ETIMEDOUT;
	if (!rc)
		rc = cannot_wait(fd) ? WEFT_EPERM : look(fd, events);
	if (rc)
		return rc;
	if (deadline == WEFT_NOW)
		return WEFT_EAGAIN;
	f = look_up(fd, true);
	if (!f)
		return WEFT_ENOMEM;
	do {
		for (int d = 0; d < POLL_DIRS; d++)
			seen[d] = poll_events(&f->poll, (enum poll_dir)d);
		rc = weft__poll_again(&f->poll, fd);
		if (!rc)
			rc = look(fd, events);
		if (!rc)
			rc = weft__poll_wait(&f->poll, fd, (unsigned)events, seen, REASON_IO, deadline);
	} while (!rc);
	weft__fd_release(f);
	return rc;
}

int weft_io_wait(int fd, int events)
{
	return weft_io_wait_until(fd, events, WEFT_FOREVER);
}

/* --- WEFT_FD --- */

/* Ready with an error, or with 0. */
static int fd_ready(struct weft_case *c, int status)
{
	c->status = status;
	return 1;
}

/* One look. Returns as look of a source does. */
static int fd_try(struct weft_case *c)
{
	int rc = look(c->fd, c->events);

	if (rc > 0 && cannot_wait(c->fd)) /* ready as those always are */
		rc = WEFT_EPERM;
	return rc ? fd_ready(c, rc < 0 ? rc : 0) : 0;
}

/* Lists w, with a reference to the descriptor's record as long as it is listed. */
static int fd_list(struct weft_case *c, struct self *me, struct waiter *w)
{
	enum poll_dir d = c->events == WEFT_IO_R ? POLL_READ : POLL_WRITE;
	struct fd *f = look_up(c->fd, true);
	uint32_t seen;
	int rc;

	if (!f)
		return WEFT_ENOMEM;
	do {
		seen = poll_events(&f->poll, d);
		rc = weft__poll_again(&f->poll, c->fd);
		if (rc == 0 && fd_try(c)) {
			weft__fd_release(f);
			return 1;
		}
		if (rc == 0)
			rc = weft__poll_list(&f->poll, c->fd, d, seen, me->worker, w);
	} while (rc == 1);
	if (rc == 0)
		return 0;
	weft__fd_release(f);
	return rc == WEFT_ENOMEM ? rc : fd_ready(c, rc);
}

static int fd_look(struct weft_case *c, struct self *me, struct waiter *w)
{
	if (c->events != WEFT_IO_R && c->events != WEFT_IO_W)
		return WEFT_EINVAL;
	if (c->fd < 0)
		return fd_ready(c, WEFT_EBADF);
	return w ? fd_list(c, me, w) : fd_try(c);
}

static bool fd_finish(struct weft_case *c, struct waiter *w, bool fired)
{
	if (w) {
		c->status = w->status;
		if (fired && w->status == 0)
			fired = fd_try(c); /* not: somebody else has taken it, or the number is another file's by now */
		weft__fd_release(container_of((struct polldesc *)w->source, struct fd, poll));
	}
	return fired;
}

const struct weft_source weft_source_fd = {.look = fd_look, .finish = fd_finish, .outside = true};

/* --- forgetting --- */

/* The record stays in the table until the loop has let go of the descriptor: another's entry for it would be in the way, or be taken for this one's. */
int weft_io_forget(int fd)
{
	struct fd *f = look_up(fd, false);

	if (!f)
		return WEFT_ENOENT;
	if (weft__fd_close(f, true))
		return WEFT_ENOENT; /* somebody else is at it */
	lock_take(&table_lock, RANK_LOT);
	table[fd] = NULL;
	add_relaxed(&kept, (uint32_t)-1); /* a hint */
	lock_drop(&table_lock);
	weft__fd_unref(f); /* the table's */
	return 0;
}

/* Its entry in a loop, or libuv's handle, would be in the way of ours; and a late weft_io_forget would take ours away. */
void weft__io_ours(int fd)
{
	if (unlikely(load_relaxed(&kept))) /* a hint: who has closed fd, or told us, has counted it before */
		(void)weft_io_forget(fd);
}
