/* SPDX-License-Identifier: MIT
 *
 * file_rw.c - reading and writing files.
 *
 * A read asks first for what is in the page cache (RWF_NOWAIT), where the task stands: that is a copy of memory, and costs less than the way to another thread and back. Only
 * what is not there is left to the lane.  It asks for little at a time: a long copy would keep other tasks from the worker.  Where a file system cannot say what it has, it is
 * asked once, and then no more (FILE_NO_PEEK).  Writes always take the lane: they may have to wait for memory, or for the journal.
 *
 * A read or write at the file's own position has the turn of reading, whichever it is: one position, one at a time.
 */
#include "io/file.h"

#include "base/clock.h"
#include "io/stream.h"
#include <poll.h>

struct weft_file {
	struct fd f;
};

#define PEEK_MAX (128 << 10) /* bytes of a read that asks the cache */
#define READ_MAX \
	((size_t)0x7fff0000) /* bytes that Linux moves at a time, at least: less than a page short of 2 GiB, and a page may have 64 KiB */
#define HERE (-1)            /* offset: the file's own position */

/* --- on the lane --- */

static ssize_t do_read(struct file_call *c)
{
	size_t left = c->n - c->done;

	while (left > 0) {
		struct iovec v[IOV_AT_ONCE];
		int count = weft__stream_rest(c->v, c->count, c->done, v);
		size_t asked = (size_t)weft__stream_total(v, count);
		ssize_t n = c->at == HERE ? AGAIN(readv(c->fd, v, count)) : AGAIN(preadv(c->fd, v, count, c->at + (int64_t)c->done));

		if (n < 0)
			return c->done ? (ssize_t)c->done : n;
		c->done += (size_t)n;
		left -= (size_t)n;
		if ((size_t)n < (asked < READ_MAX ? asked : READ_MAX))
			break;
	}
	return (ssize_t)c->done;
}

static ssize_t do_write(struct file_call *c)
{
	while (c->done < c->n) {
		struct iovec v[IOV_AT_ONCE];
		int count = weft__stream_rest(c->v, c->count, c->done, v);
		ssize_t n = c->at == HERE ? AGAIN(writev(c->fd, v, count)) : AGAIN(pwritev(c->fd, v, count, c->at + (int64_t)c->done));

		if (n <= 0)
			return n < 0 ? n : WEFT_EIO;
		c->done += (size_t)n;
	}
	return (ssize_t)c->n;
}

/* --- read --- */

/* Linux before 5.11 says 0, too, where there is something that the cache does not have (preadv2(2)). */
static bool at_end(struct fd *f, const struct file_call *c)
{
	int64_t at = c->at == HERE ? lseek(f->fd, 0, SEEK_CUR) : c->at + (int64_t)c->done;
	struct stat st;

	return at >= 0 && fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode) && at >= st.st_size;
}

/* Reads on from c->done what is in the cache. True: that was all there is to read. The descriptor is held. */
static bool peek(struct fd *f, struct file_call *c)
{
	while (c->done < c->n) {
		struct iovec v[IOV_AT_ONCE];
		int count = weft__stream_rest(c->v, c->count, c->done, v);
		ssize_t n = preadv2(f->fd, v, count, c->at == HERE ? -1 : c->at + (int64_t)c->done, RWF_NOWAIT);

		if (n == 0)
			return at_end(f, c);
		if (n < 0) {
			int rc = weft__errno();

			if (rc == -EOPNOTSUPP || rc == WEFT_ENOSYS)
				store_relaxed(&f->note, load_relaxed(&f->note) | FILE_NO_PEEK); /* a hint; it is no stream */
			return false; /* other errors are the lane's to find out as well */
		}
		c->done += (size_t)n;
	}
	return true;
}

static bool may_peek(struct fd *f, size_t n)
{
	return n <= PEEK_MAX && !(load_relaxed(&f->note) & FILE_NO_PEEK); /* a hint */
}

/* n: what became of the rest. If it was given up, what the cache had has been read all the same. */
static ssize_t with_rest(const struct file_call *c, ssize_t n)
{
	return n < 0 && c->done ? (ssize_t)c->done : n;
}

static ssize_t read_at(struct fd *f, struct file_call *c, int64_t deadline)
{
	int64_t limit = deadline;
	struct self me;
	bool all;
	ssize_t n = self_enter(&me, &limit);

	if (n == 0 && deadline != WEFT_FOREVER && deadline != WEFT_NOW && deadline <= clock_now())
		n = WEFT_ETIMEDOUT;
	if (n == 0 && may_peek(f, c->n)) {
		n = weft__fd_enter(f);
		if (n == 0) {
			all = peek(f, c);
			weft__fd_leave(f);
			if (all)
				return (ssize_t)c->done;
		}
	}
	if (n)
		return n;
	return with_rest(c, weft__file_upon(f, c, deadline));
}

static ssize_t read_here(struct fd *f, struct file_call *c, int64_t deadline)
{
	struct fd_op op;
	ssize_t n;

	fd_op_init(&op, f, POLL_READ, REASON_FILE, deadline);
	n = weft__fd_next(&op);
	if (n == 0) {
		c->fd = f->fd;
		n = may_peek(f, c->n) && peek(f, c) ? (ssize_t)c->done : with_rest(c, weft__file_call(c, deadline));
	}
	weft__fd_end(&op);
	return n;
}

/* A read has found nothing. That is the end if somebody has had it open for writing since; else the system says nothing at all. */
static ssize_t end_of_fifo(struct fd *f, int64_t deadline)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};
	ssize_t rc = weft__fd_enter(f);

	if (rc)
		return rc;
	rc = poll(&p, 1, 0) == 0 ? deadline == WEFT_NOW ? WEFT_EAGAIN : WEFT_ESRCH : 0; /* without a runtime nobody waits */
	weft__fd_leave(f);
	return rc;
}

ssize_t weft_file_readv_until(weft_file *f, const struct iovec *v, int count, int64_t deadline)
{
	struct file_call c = {.fn = do_read, .v = v, .count = count, .at = HERE};
	ssize_t n;

	if (file_is_stream(&f->f)) {
		n = stream_readv(&f->f, v, count, deadline, STREAM_OTHER);
		if (unlikely(n == 0) && load_relaxed(&f->f.note) & FILE_UNWRITTEN && weft__stream_total(v, count) > 0) /* a hint */
			n = end_of_fifo(&f->f, deadline);
		return n;
	}
	if (count < 0 || count > IOV_COUNT_MAX)
		return WEFT_EINVAL;
	n = weft__stream_total(v, count);
	if (n <= 0)
		return n < 0 ? WEFT_EINVAL : 0;
	c.n = (size_t)n;
	return read_here(&f->f, &c, deadline);
}

ssize_t weft_file_readv(weft_file *f, const struct iovec *v, int count)
{
	return weft_file_readv_until(f, v, count, WEFT_FOREVER);
}

ssize_t weft_file_read_until(weft_file *f, void *buf, size_t n, int64_t deadline)
{
	struct iovec v = {buf, n};

	return weft_file_readv_until(f, &v, 1, deadline);
}

ssize_t weft_file_read(weft_file *f, void *buf, size_t n)
{
	return weft_file_read_until(f, buf, n, WEFT_FOREVER);
}

ssize_t weft_file_preadv_until(weft_file *f, const struct iovec *v, int count, int64_t offset, int64_t deadline)
{
	struct file_call c = {.fn = do_read, .v = v, .count = count, .at = offset};
	ssize_t n;

	if (count < 0 || count > IOV_COUNT_MAX || offset < 0)
		return WEFT_EINVAL;
	n = weft__stream_total(v, count);
	if (n < 0)
		return WEFT_EINVAL;
	if (file_is_stream(&f->f))
		return WEFT_ESPIPE;
	if (n == 0)
		return 0;
	c.n = (size_t)n;
	return read_at(&f->f, &c, deadline);
}

ssize_t weft_file_preadv(weft_file *f, const struct iovec *v, int count, int64_t offset)
{
	return weft_file_preadv_until(f, v, count, offset, WEFT_FOREVER);
}

ssize_t weft_file_pread_until(weft_file *f, void *buf, size_t n, int64_t offset, int64_t deadline)
{
	struct iovec v = {buf, n};

	return weft_file_preadv_until(f, &v, 1, offset, deadline);
}

ssize_t weft_file_pread(weft_file *f, void *buf, size_t n, int64_t offset)
{
	return weft_file_pread_until(f, buf, n, offset, WEFT_FOREVER);
}

/* --- write --- */

static ssize_t write_here(struct fd *f, struct file_call *c, int64_t deadline)
{
	struct fd_op op;
	ssize_t n;

	fd_op_init(&op, f, POLL_READ, REASON_FILE, deadline);
	n = weft__fd_next(&op);
	if (n == 0) {
		c->fd = f->fd;
		n = weft__file_call(c, deadline);
	}
	weft__fd_end(&op);
	return n;
}

static ssize_t writev_with(struct fd *f, const struct iovec *v, int count, int64_t at, size_t *done, int64_t deadline)
{
	struct file_call c = {.fn = do_write, .v = v, .count = count, .at = at};
	ssize_t n;

	if (done)
		*done = 0;
	if (count < 0 || count > IOV_COUNT_MAX)
		return WEFT_EINVAL;
	n = weft__stream_total(v, count);
	if (n <= 0)
		return n < 0 ? WEFT_EINVAL : 0;
	c.n = (size_t)n;
	n = at == HERE ? write_here(f, &c, deadline) : weft__file_upon(f, &c, deadline);
	if (done)
		*done = c.done;
	return n;
}

ssize_t weft_file_writev_until(weft_file *f, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	if (file_is_stream(&f->f))
		return stream_writev(&f->f, v, count, done, deadline, STREAM_OTHER);
	return writev_with(&f->f, v, count, HERE, done, deadline);
}

ssize_t weft_file_writev(weft_file *f, const struct iovec *v, int count, size_t *done)
{
	return weft_file_writev_until(f, v, count, done, WEFT_FOREVER);
}

ssize_t weft_file_write_until(weft_file *f, const void *buf, size_t n, size_t *done, int64_t deadline)
{
	struct iovec v = {(void *)buf, n};

	return weft_file_writev_until(f, &v, 1, done, deadline);
}

ssize_t weft_file_write(weft_file *f, const void *buf, size_t n, size_t *done)
{
	return weft_file_write_until(f, buf, n, done, WEFT_FOREVER);
}

ssize_t weft_file_pwritev_until(weft_file *f, const struct iovec *v, int count, int64_t offset, size_t *done, int64_t deadline)
{
	if (done)
		*done = 0;
	if (offset < 0)
		return WEFT_EINVAL;
	if (file_is_stream(&f->f))
		return WEFT_ESPIPE;
	return writev_with(&f->f, v, count, offset, done, deadline);
}

ssize_t weft_file_pwritev(weft_file *f, const struct iovec *v, int count, int64_t offset, size_t *done)
{
	return weft_file_pwritev_until(f, v, count, offset, done, WEFT_FOREVER);
}

ssize_t weft_file_pwrite_until(weft_file *f, const void *buf, size_t n, int64_t offset, size_t *done, int64_t deadline)
{
	struct iovec v = {(void *)buf, n};

	return weft_file_pwritev_until(f, &v, 1, offset, done, deadline);
}

ssize_t weft_file_pwrite(weft_file *f, const void *buf, size_t n, int64_t offset, size_t *done)
{
	return weft_file_pwrite_until(f, buf, n, offset, done, WEFT_FOREVER);
}

/* --- the position --- */

static ssize_t do_seek(struct file_call *c)
{
	return AGAIN(lseek(c->fd, c->at, c->flags));
}

int64_t weft_file_seek_until(weft_file *f, int64_t offset, int whence, int64_t deadline)
{
	struct file_call c = {.fn = do_seek, .at = offset, .flags = whence};
	struct fd_op op;
	int64_t at;

	if (file_is_stream(&f->f))
		return WEFT_ESPIPE;
	fd_op_init(&op, &f->f, POLL_READ, REASON_FILE, deadline);
	at = weft__fd_next(&op);
	if (at == 0) {
		c.fd = f->f.fd;
		if (whence == SEEK_SET || whence == SEEK_CUR) /* no disk is asked */
			at = do_seek(&c);
		else
			at = weft__file_call(&c, deadline);
	}
	weft__fd_end(&op);
	return at;
}

int64_t weft_file_seek(weft_file *f, int64_t offset, int whence)
{
	return weft_file_seek_until(f, offset, whence, WEFT_FOREVER);
}

/* --- as a byte stream --- */

int weft_file_set_deadline(weft_file *f, int64_t rd, int64_t wr)
{
	return file_is_stream(&f->f) ? weft__stream_set_deadline(&f->f, rd, wr) : WEFT_ENOTSUP;
}

static ssize_t io_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	return weft_file_readv_until(self, v, count, deadline);
}

static ssize_t io_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	return weft_file_writev_until(self, v, count, done, deadline);
}

static int io_set_deadline(void *self, int64_t rd, int64_t wr)
{
	return weft_file_set_deadline(self, rd, wr);
}

static int io_close(void *self)
{
	return weft_file_close(self);
}

const weft_io_ops weft__file_ops = {
	.kind = "file", .readv = io_readv, .writev = io_writev, .set_deadline = io_set_deadline, .close = io_close};

weft_io weft_file_io(weft_file *f)
{
	return (weft_io){&weft__file_ops, f};
}
