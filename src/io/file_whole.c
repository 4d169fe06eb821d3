/* SPDX-License-Identifier: MIT
 *
 * file_whole.c - whole files in one call: read all that is in one, write one anew, copy one.
 *
 * A job reads or copies a few megabytes, so that cancel and deadline have their turn; what it has open and allocated is kept in the call's frame between two of them.
 */
#include "io/file.h"

#include "io/stream.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <weft/fs.h>

#define READ_FIRST 4096 /* bytes of the buffer for what does not say how long it is */
#define NAME_TRIES 100
#define MODE_KEPT 01777 /* of the mode of another file: not on whose behalf it runs */

/* Where it is. */
static ssize_t close_here(struct file_call *c)
{
	int fd = c->fd;

	c->fd = -1;
	return close(fd) && errno != EINTR ? -errno : 0;
}

/* On the lane: from here on it is no more *fd. */
static int close_there(int *fd)
{
	int was = *fd;

	*fd = -1;
	return was < 0 ? 0 : weft__file_close_fd(was);
}

/* --- read --- */

struct reading {
	struct file_call c; /* c.fd: -1 before it is open */
	char *buf;
	size_t size, len; /* of buf; bytes read */
	bool end;
	bool other;      /* it is no regular file, and open */
	weft_file *file; /* that then */
};

static void reading_forsaken(struct file_call *c)
{
	struct reading *r = container_of(c, struct reading, c);

	weft__file_forsake_fd(c);
	if (r->file)
		weft__file_forsake(r->file);
	free(r->buf);
}

/* Room for one byte more than there is, at least. */
static int grow(struct reading *r, size_t size)
{
	char *more;

	if (size <= r->len) /* more than memory has addresses */
		return WEFT_ENOMEM;
	more = realloc(r->buf, size);
	if (!more)
		return WEFT_ENOMEM;
	r->buf = more;
	r->size = size;
	return 0;
}

static ssize_t read_begin(struct reading *r)
{
	struct stat st;
	ssize_t rc = weft__file_open_regular(&r->c.fd, r->c.path, O_RDONLY, 0, &st);

	r->other = rc == 1;
	if (rc)
		return rc;
	return grow(r, st.st_size > 0 ? (size_t)st.st_size + 2 : READ_FIRST); /* one to find the end, one for the zero */
}

/* 1: it is no regular file. */
static ssize_t do_read_all(struct file_call *c)
{
	struct reading *r = container_of(c, struct reading, c);
	size_t stop = r->len + FILE_AT_ONCE;
	ssize_t n = r->c.fd < 0 ? read_begin(r) : 0;

	while (n == 0 && !r->end && r->len < stop) {
		if (r->len + 1 >= r->size)
			n = grow(r, r->size * 2);
		if (n)
			break;
		n = AGAIN(read(r->c.fd, r->buf + r->len, r->size - r->len - 1 < FILE_AT_ONCE ? r->size - r->len - 1 : FILE_AT_ONCE));
		if (n < 0)
			break;
		r->end = n == 0;
		r->len += (size_t)n;
		n = 0;
	}
	if (r->end) {
		close(r->c.fd);
		r->c.fd = -1;
	}
	return n;
}

/* What is no file on a disk: as a byte stream, or bit by bit. By the descriptor that it was found out with: a FIFO that is closed forgets what was written to it. */
static ssize_t read_other(struct reading *r, int64_t deadline)
{
	ssize_t n = weft__file_adopt(&r->file, r->c.fd);
	weft_file *f = r->file;

	if (n)
		return n;
	r->c.fd = -1;
	for (;;) {
		n = r->len + 1 >= r->size ? grow(r, r->size ? r->size * 2 : READ_FIRST) : 0;
		if (n == 0)
			n = weft_file_read_until(f, r->buf + r->len, r->size - r->len - 1, deadline);
		if (n <= 0)
			break;
		r->len += (size_t)n;
	}
	r->file = NULL;
	(void)weft_file_close(f);
	return n;
}

int weft_file_read_all_until(const char *path, void **buf, size_t *n, int64_t deadline)
{
	struct reading r = {.c = {.fn = do_read_all, .path = path, .fd = -1}};
	ssize_t rc;

	if (n)
		*n = 0;
	if (!buf)
		return WEFT_EINVAL;
	*buf = NULL;
	if (!path)
		return WEFT_EINVAL;
	weft__file_hold(&r.c, reading_forsaken);
	do
		rc = weft__file_call(&r.c, deadline);
	while (rc == 0 && !r.end);
	if (r.other)
		rc = read_other(&r, deadline);
	if (rc)
		(void)close_there(&r.c.fd);
	weft__file_let_go(&r.c);
	if (rc) {
		free(r.buf);
		return (int)rc;
	}
	r.buf[r.len] = '\0';
	*buf = r.buf;
	if (n)
		*n = r.len;
	return 0;
}

int weft_file_read_all(const char *path, void **buf, size_t *n)
{
	return weft_file_read_all_until(path, buf, n, WEFT_FOREVER);
}

/* --- write --- */

struct writing {
	struct file_call c; /* c.fd: -1 if it is not open */
	mode_t mode;
	weft_file *file; /* what is no regular file */
};

static void writing_forsaken(struct file_call *c)
{
	struct writing *w = container_of(c, struct writing, c);

	weft__file_forsake_fd(c);
	if (w->file)
		weft__file_forsake(w->file);
}

static ssize_t write_fd(int fd, const char *buf, size_t n)
{
	while (n > 0) {
		ssize_t done = AGAIN(write(fd, buf, n));

		if (done <= 0)
			return done < 0 ? done : WEFT_EIO;
		buf += done;
		n -= (size_t)done;
	}
	return 0;
}

/* 1: it is no regular file. */
static ssize_t do_write_all(struct file_call *c)
{
	struct writing *w = container_of(c, struct writing, c);
	struct stat st;
	ssize_t rc = weft__file_open_regular(&c->fd, c->path, O_WRONLY | O_CREAT | O_TRUNC, w->mode, &st), closed;

	if (rc)
		return rc;
	rc = write_fd(c->fd, c->buf, c->n);
	closed = close_here(c);
	return rc ? rc : closed;
}

/* A file beside path that nobody else has. Returns its descriptor, and its name in `name` of PATH_MAX bytes. */
static int open_beside(char *restrict name, const char *restrict path, mode_t mode)
{
	const char *slash = strrchr(path, '/');
	int dir = slash ? (int)(slash - path) + 1 : 0, fd = WEFT_EEXIST;

	for (int i = 0; i < NAME_TRIES && fd == WEFT_EEXIST; i++) {
		uint64_t random;

		if (getrandom(&random, sizeof random, 0) < 0)
			return -errno;
		if (snprintf(name, PATH_MAX, "%.*s.weft-%016llx", dir, path, (unsigned long long)random) >= PATH_MAX)
			return WEFT_ENAMETOOLONG;
		fd = (int)AGAIN(open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
	}
	return fd;
}

/* The directory that path is in. */
static int open_directory(char *path)
{
	char *slash = strrchr(path, '/'), cut;
	int fd;

	if (!slash)
		return (int)AGAIN(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	slash += slash == path;
	cut = *slash;
	*slash = '\0';
	fd = (int)AGAIN(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	*slash = cut;
	return fd;
}

/* That path is another file now is on the disk as well. */
static ssize_t sync_directory(int dir)
{
	ssize_t rc = AGAIN(fsync(dir));

	return rc == WEFT_EINVAL ? 0 : rc; /* not of this file system */
}

static ssize_t put_in_place(struct writing *w, const char *restrict path, char *restrict name)
{
	struct file_call *c = &w->c;
	struct stat st;
	bool there = stat(path, &st) == 0;
	ssize_t rc, closed;

	if (there && !S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? WEFT_EISDIR : WEFT_EINVAL;
	c->fd = open_beside(name, path, there ? 0600 : w->mode); /* whoever may not read the old one shall not open the new one meanwhile */
	if (c->fd < 0)
		return c->fd;
	rc = there ? AGAIN(fchmod(c->fd, st.st_mode & MODE_KEPT)) : 0;
	if (rc == 0)
		rc = write_fd(c->fd, c->buf, c->n);
	if (rc == 0)
		rc = AGAIN(fsync(c->fd));
	closed = close_here(c);
	if (rc == 0)
		rc = closed;
	if (rc == 0)
		rc = AGAIN(rename(name, path));
	if (rc)
		unlink(name);
	return rc;
}

/* What can fail for want of something fails before the file is in its place. */
static ssize_t replace(struct writing *w, char *restrict path, char *restrict name)
{
	int dir = open_directory(path);
	ssize_t rc;

	if (dir < 0 && dir != WEFT_EACCES) /* a directory that may be written and not read */
		return dir;
	rc = put_in_place(w, path, name);
	if (rc == 0 && dir >= 0)
		rc = sync_directory(dir);
	if (dir >= 0)
		close(dir);
	return rc;
}

/* What c->path leads to, or is: room of PATH_MAX. */
static ssize_t target_of(const char *path, char *target)
{
	size_t bytes = strlen(path) + 1;
	char byte;

	if (realpath(path, target))
		return 0;
	if (errno != ENOENT)
		return -errno;
	if (readlink(path, &byte, 1) >= 0)
		return WEFT_ENOENT; /* a link that leads nowhere would be replaced itself */
	if (bytes > PATH_MAX)
		return WEFT_ENAMETOOLONG;
	memcpy(target, path, bytes);
	return 0;
}

static ssize_t do_replace(struct file_call *c)
{
	char *path = malloc(PATH_MAX), *name = malloc(PATH_MAX);
	ssize_t rc = path && name ? target_of(c->path, path) : WEFT_ENOMEM;

	if (rc == 0)
		rc = replace(container_of(c, struct writing, c), path, name);
	free(path);
	free(name);
	return rc;
}

static int write_other(struct writing *w, int64_t deadline)
{
	ssize_t rc = weft__file_adopt(&w->file, w->c.fd);
	weft_file *f = w->file;
	int closed;

	if (rc) {
		(void)close_there(&w->c.fd);
		return (int)rc;
	}
	w->c.fd = -1;
	rc = weft_file_write_until(f, w->c.buf, w->c.n, NULL, deadline);
	w->file = NULL;
	closed = weft_file_close(f);
	return rc < 0 ? (int)rc : closed;
}

int weft_file_write_all_until(const char *path, const void *buf, size_t n, mode_t mode, int flags, int64_t deadline)
{
	struct writing w = {.c = {.path = path, .buf = (void *)buf, .n = n, .fd = -1}, .mode = mode};
	ssize_t rc;

	if (!path || n > SSIZE_MAX || flags & ~WEFT_FILE_ATOMIC)
		return WEFT_EINVAL;
	w.c.fn = flags & WEFT_FILE_ATOMIC ? do_replace : do_write_all;
	weft__file_hold(&w.c, writing_forsaken);
	rc = weft__file_call(&w.c, deadline);
	if (rc == 1)
		rc = write_other(&w, deadline);
	weft__file_let_go(&w.c);
	return (int)rc;
}

int weft_file_write_all(const char *path, const void *buf, size_t n, mode_t mode, int flags)
{
	return weft_file_write_all_until(path, buf, n, mode, flags, WEFT_FOREVER);
}

/* --- copy --- */

struct copying {
	struct file_call c; /* c.fd: from, c.path, c.to; -1 before it is open */
	int to;
	bool by_hand; /* the kernel does not copy between these two */
	bool end;
};

static void copying_forsaken(struct file_call *c)
{
	struct copying *k = container_of(c, struct copying, c);

	weft__file_forsake_fd(c);
	if (k->to >= 0)
		close(k->to);
}

static ssize_t copy_begin(struct copying *k)
{
	struct stat from, to;
	ssize_t rc = weft__file_open_regular(&k->c.fd, k->c.path, O_RDONLY, 0, &from);

	if (rc == 0)
		rc = weft__file_open_regular(&k->to, k->c.to, O_WRONLY | O_CREAT | k->c.flags, from.st_mode & MODE_KEPT, &to);
	if (rc == 0 && from.st_dev == to.st_dev && from.st_ino == to.st_ino)
		rc = WEFT_EINVAL;
	if (rc == 0)
		rc = AGAIN(fchmod(k->to, from.st_mode & MODE_KEPT));
	if (rc == 0)
		rc = AGAIN(ftruncate(k->to, 0)); /* last: an error leaves what was there */
	return rc == 1 ? WEFT_EINVAL : rc;
}

/* A piece. Returns its length, 0 at the end. */
static ssize_t copy_some(struct copying *k, char *buf, size_t n)
{
	ssize_t got = AGAIN(read(k->c.fd, buf, n)), rc;

	if (got <= 0)
		return got;
	rc = write_fd(k->to, buf, (size_t)got);
	return rc ? rc : got;
}

static ssize_t do_copy(struct file_call *c)
{
	enum { PIECE = 128 << 10 };
	struct copying *k = container_of(c, struct copying, c);
	ssize_t n = c->fd < 0 ? copy_begin(k) : 0;
	char *buf = NULL;
	bool any = c->done > 0;

	if (n)
		return n;
	for (size_t left = FILE_AT_ONCE; left > 0 && !k->end; left -= left < (size_t)n ? left : (size_t)n) {
		n = k->by_hand ? 0 : AGAIN(copy_file_range(c->fd, NULL, k->to, NULL, left, 0));
		if (!k->by_hand && (n < 0 || (n == 0 && !any)) && n != WEFT_ENOSPC && n != WEFT_EIO && n != WEFT_EDQUOT && n != WEFT_EFBIG)
			k->by_hand = true; /* another file system, one that makes its files up (/proc), or an old kernel */
		if (k->by_hand && !buf && !(buf = malloc(PIECE))) {
			n = WEFT_ENOMEM;
			break;
		}
		if (k->by_hand)
			n = copy_some(k, buf, PIECE);
		if (n < 0)
			break;
		any |= n > 0;
		c->done += (size_t)n;
		k->end = n == 0;
	}
	free(buf);
	return n < 0 ? n : 0;
}

int weft_fs_copy_until(const char *from, const char *to, int flags, int64_t deadline)
{
	struct copying k = {.c = {.fn = do_copy, .path = from, .to = to, .fd = -1, .flags = flags & WEFT_COPY_NEW ? O_EXCL : 0}, .to = -1};
	ssize_t rc;
	int closed;

	if (!from || !to || flags & ~WEFT_COPY_NEW)
		return WEFT_EINVAL;
	weft__file_hold(&k.c, copying_forsaken);
	do
		rc = weft__file_call(&k.c, deadline);
	while (rc == 0 && !k.end);
	(void)close_there(&k.c.fd);
	closed = close_there(&k.to);
	weft__file_let_go(&k.c);
	return rc ? (int)rc : closed;
}

int weft_fs_copy(const char *from, const char *to, int flags)
{
	return weft_fs_copy_until(from, to, flags, WEFT_FOREVER);
}
