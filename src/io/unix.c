/* SPDX-License-Identifier: MIT
 *
 * unix.c - Unix domain sockets: names and the files they make. Reading and writing: io/stream.h; descriptors that travel: unix_fds.c.
 */
#include "io/sock.h"
#include "io/stream.h"
#include "io/unix.h"

#include "base/clock.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

struct weft_unix_listener {
	struct fd f; /* its note: NOTE_FILE and which file, until the first close */
};

#define NOTE_FILE 1u           /* its file is to be removed */
#define FULL_FIRST_NS (1 * MS) /* dial to a full backlog: first pause, and the longest */
#define FULL_LAST_NS (100 * MS)
#define PATH_AT offsetof(struct sockaddr_un, sun_path)

/* --- names --- */

/* The address of a name, and its length. Returns 0 or WEFT_EINVAL. */
static int address(struct sockaddr_un *a, socklen_t *len, const char *name)
{
	size_t n = name ? strlen(name) : 0;

	memset(a, 0, sizeof *a);
	a->sun_family = AF_UNIX;
	if (n == 0 || n > sizeof a->sun_path - (*name != '@'))
		return WEFT_EINVAL;
	memcpy(a->sun_path, name, n);
	if (*name == '@')
		a->sun_path[0] = 0;
	*len = (socklen_t)(PATH_AT + n + (*name != '@'));
	if (n == 1 && *name == '@')
		*len = PATH_AT; /* the kernel chooses */
	return 0;
}

/* What is kept of a file: as long as its socket is open, no other file has its numbers. Never 0. */
static uint32_t note_of(const struct stat *st)
{
	uint64_t h = ((uint64_t)st->st_dev * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)st->st_ino) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(h >> 32) | NOTE_FILE;
}

static int open_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

/* --- listeners --- */

/* Is there a socket that nobody listens at? */
static bool is_stale(const struct sockaddr_un *a, socklen_t len)
{
	int fd = open_socket();
	bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)a, len) < 0 && errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return stale;
}

static int bind_at(int fd, const struct sockaddr_un *a, socklen_t len, bool remove_stale)
{
	struct stat st;

	if (bind(fd, (const struct sockaddr *)a, len) == 0)
		return 0;
	if (errno != EADDRINUSE || !remove_stale || !a->sun_path[0])
		return -errno;
	if (lstat(a->sun_path, &st) || !S_ISSOCK(st.st_mode) || !is_stale(a, len))
		return WEFT_EADDRINUSE;
	if (unlink(a->sun_path) && errno != ENOENT)
		return -errno;
	return bind(fd, (const struct sockaddr *)a, len) == 0 ? 0 : -errno;
}

/* A listening socket at an address, or a negative code. Nobody can connect before it listens: its rights are in place by then. */
static int listen_at(const struct sockaddr_un *a, socklen_t len, const weft_unix_opts *o)
{
	bool file = a->sun_path[0];
	int fd = open_socket(), rc;

	if (fd < 0)
		return fd;
	rc = bind_at(fd, a, len, o->remove_stale);
	if (rc)
		goto close_fd;
	if ((file && o->mode && chmod(a->sun_path, o->mode)) || listen(fd, o->backlog > 0 ? o->backlog : INT_MAX)) {
		rc = -errno;
		goto unlink_file;
	}
	return fd;
unlink_file:
	if (file)
		unlink(a->sun_path);
close_fd:
	close(fd);
	return rc;
}

int weft_unix_listen(weft_unix_listener **out, const char *name, const weft_unix_opts *o)
{
	static const weft_unix_opts none;
	struct sockaddr_un a;
	struct stat st;
	socklen_t len;
	struct fd *f;
	int rc, fd;

	*out = NULL;
	o = o ? o : &none;
	rc = o->mode & ~0777u ? WEFT_EINVAL : address(&a, &len, name);
	if (!rc)
		rc = weft__fd_make(&f, -1);
	if (rc)
		return rc;
	fd = listen_at(&a, len, o);
	if (fd < 0) {
		weft__fd_unref(f);
		return fd;
	}
	weft__fd_use(f, fd);
	if (a.sun_path[0] && !o->keep_file && lstat(a.sun_path, &st) == 0)
		store_relaxed(&f->note, note_of(&st)); /* nobody else has it yet */
	*out = (weft_unix_listener *)f;
	return 0;
}

int weft_unix_accept_until(weft_unix_listener *l, weft_unix **out, int64_t deadline)
{
	struct fd *f;
	int rc = weft__sock_accept(&l->f, &f, deadline);

	*out = (weft_unix *)f;
	NO_JUMP();
	return rc;
}

int weft_unix_accept(weft_unix_listener *l, weft_unix **out)
{
	return weft_unix_accept_until(l, out, WEFT_FOREVER);
}

/* The address it listens at. A path is terminated. Between weft__fd_enter and weft__fd_leave. */
static int listener_address(const struct fd *f, struct sockaddr_un *a, socklen_t *len)
{
	memset(a, 0, sizeof *a);
	*len = sizeof *a;
	return getsockname(f->fd, (struct sockaddr *)a, len) ? -errno : 0;
}

int weft_unix_listener_name(weft_unix_listener *l, char *buf, size_t n)
{
	struct sockaddr_un a;
	socklen_t len;
	size_t size;
	int rc = weft__fd_enter(&l->f);

	if (rc)
		return rc;
	rc = listener_address(&l->f, &a, &len);
	weft__fd_leave(&l->f);
	if (rc)
		return rc;
	if (len <= PATH_AT) { /* one that was taken over may have none */
		size = 0;
	} else if (a.sun_path[0]) {
		size = strnlen(a.sun_path, sizeof a.sun_path);
	} else {
		a.sun_path[0] = '@';
		size = len - PATH_AT;
	}
	if (size >= n)
		return WEFT_ENOSPC;
	memcpy(buf, a.sun_path, size);
	buf[size] = 0;
	return (int)size;
}

int weft_unix_listener_set_deadline(weft_unix_listener *l, int64_t deadline)
{
	return weft__stream_set_deadline(&l->f, deadline, deadline); /* as in tcp.c */
}

weft_unix_listener *weft_unix_listener_ref(weft_unix_listener *l)
{
	weft__fd_ref(&l->f);
	return l;
}

/* Whoever finds it closed finds the file gone, or another at it whom the close waits for. */
static void remove_file(struct fd *f)
{
	struct sockaddr_un a;
	struct stat st;
	socklen_t len;
	uint32_t note;

	if (weft__fd_enter(f))
		return;
	note = swap_acquire(&f->note, 0u); /* the first of those that close at once gets it */
	if (note && listener_address(f, &a, &len) == 0 && lstat(a.sun_path, &st) == 0 && note_of(&st) == note)
		unlink(a.sun_path);
	weft__fd_leave(f);
}

/* The file goes first: as long as the socket listens, nobody else makes one at that path. */
int weft_unix_listener_close(weft_unix_listener *l)
{
	if (!l)
		return 0;
	remove_file(&l->f);
	return weft__fd_close(&l->f, false);
}

void weft_unix_listener_free(weft_unix_listener *l)
{
	if (l && !weft__fd_drop(&l->f))
		weft_unix_listener_close(l);
}

static bool is_unix(int family)
{
	return family == AF_UNIX;
}

int weft_unix_listener_from_fd(weft_unix_listener **out, int fd)
{
	struct fd *f;
	int rc = weft__sock_take(&f, fd, is_unix, true);

	*out = (weft_unix_listener *)f;
	return rc;
}

int weft_unix_listener_fd(weft_unix_listener *l)
{
	return weft__fd_number(&l->f);
}

/* --- dial --- */

static int connect_to(struct fd *f, const struct sockaddr_un *a, socklen_t len, int64_t deadline)
{
	int64_t pause = FULL_FIRST_NS;
	struct fd_op op;
	int rc;

	fd_op_init(&op, f, POLL_WRITE, REASON_DIAL, deadline);
	while ((rc = weft__fd_next(&op)) == 0) {
		if (connect(f->fd, (const struct sockaddr *)a, len) == 0)
			break;
		rc = weft__errno();
		if (rc == -EINTR)
			continue;
		if (rc != WEFT_EAGAIN || deadline == WEFT_NOW)
			break;
		rc = weft__fd_pause(&op, clock_add(clock_now(), pause));
		if (rc)
			break;
		pause = pause * 2 < FULL_LAST_NS ? pause * 2 : FULL_LAST_NS;
	}
	weft__fd_end(&op);
	return rc;
}

int weft_unix_dial_until(weft_unix **out, const char *name, int64_t deadline)
{
	struct sockaddr_un a;
	socklen_t len;
	struct fd *f;
	int rc, fd;

	*out = NULL;
	rc = address(&a, &len, name);
	if (!rc)
		rc = weft__fd_make(&f, -1);
	if (rc)
		return rc;
	fd = open_socket();
	if (fd < 0) {
		weft__fd_unref(f);
		return fd;
	}
	weft__fd_use(f, fd);
	if (weft__worker())
		fd_task_does(&f->task_dials, true);
	rc = connect_to(f, &a, len, deadline);
	fd_task_does(&f->task_dials, false);
	if (rc) {
		weft__fd_close(f, false);
		return rc;
	}
	*out = (weft_unix *)f;
	return 0;
}

int weft_unix_dial(weft_unix **out, const char *name)
{
	return weft_unix_dial_until(out, name, WEFT_FOREVER);
}

static int open_pair(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) ? -errno : 0;
}

int weft_unix_pair(weft_unix **a, weft_unix **b)
{
	struct fd *f[2];
	int rc = weft__stream_pair(f, open_pair);

	*a = (weft_unix *)f[0];
	*b = (weft_unix *)f[1];
	return rc;
}

/* --- read and write --- */

ssize_t weft_unix_read_until(weft_unix *c, void *buf, size_t n, int64_t deadline)
{
	return stream_read(&c->f, buf, n, deadline, STREAM_UNIX);
}

ssize_t weft_unix_read(weft_unix *c, void *buf, size_t n)
{
	return weft_unix_read_until(c, buf, n, WEFT_FOREVER);
}

ssize_t weft_unix_readv_until(weft_unix *c, const struct iovec *v, int count, int64_t deadline)
{
	return stream_readv(&c->f, v, count, deadline, STREAM_UNIX);
}

ssize_t weft_unix_readv(weft_unix *c, const struct iovec *v, int count)
{
	return weft_unix_readv_until(c, v, count, WEFT_FOREVER);
}

ssize_t weft_unix_write_until(weft_unix *c, const void *buf, size_t n, size_t *done, int64_t deadline)
{
	return stream_write(&c->f, buf, n, done, deadline, STREAM_UNIX);
}

ssize_t weft_unix_write(weft_unix *c, const void *buf, size_t n, size_t *done)
{
	return weft_unix_write_until(c, buf, n, done, WEFT_FOREVER);
}

ssize_t weft_unix_writev_until(weft_unix *c, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	return stream_writev(&c->f, v, count, done, deadline, STREAM_UNIX);
}

ssize_t weft_unix_writev(weft_unix *c, const struct iovec *v, int count, size_t *done)
{
	return weft_unix_writev_until(c, v, count, done, WEFT_FOREVER);
}

weft_io weft_unix_io(weft_unix *c)
{
	return (weft_io){&weft__unix_ops, &c->f};
}

/* --- the rest --- */

int weft_unix_set_deadline(weft_unix *c, int64_t rd, int64_t wr)
{
	return weft__stream_set_deadline(&c->f, rd, wr);
}

int weft_unix_shutdown(weft_unix *c, int how)
{
	return weft__stream_shutdown(&c->f, how);
}

weft_unix *weft_unix_ref(weft_unix *c)
{
	weft__fd_ref(&c->f);
	return c;
}

int weft_unix_close(weft_unix *c)
{
	return c ? weft__fd_close(&c->f, false) : 0;
}

void weft_unix_free(weft_unix *c)
{
	if (c)
		weft__fd_unref(&c->f);
}

int weft_unix_from_fd(weft_unix **out, int fd)
{
	struct fd *f;
	int rc = weft__sock_take(&f, fd, is_unix, false);

	*out = (weft_unix *)f;
	return rc;
}

int weft_unix_fd(weft_unix *c)
{
	return weft__fd_number(&c->f);
}

int weft_unix_buffers(weft_unix *c, int send, int receive)
{
	return weft__sock_resize(&c->f, send, receive);
}

int weft_unix_peer(weft_unix *c, weft_unix_cred *out)
{
	struct ucred cred;
	socklen_t n = sizeof cred;
	int rc = weft__fd_enter(&c->f);

	if (rc)
		return rc;
	if (getsockopt(c->f.fd, SOL_SOCKET, SO_PEERCRED, &cred, &n))
		rc = -errno;
	else
		*out = (weft_unix_cred){cred.pid, cred.uid, cred.gid};
	weft__fd_leave(&c->f);
	return rc;
}
