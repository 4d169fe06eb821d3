/* SPDX-License-Identifier: MIT
 *
 * file.c - files: open, close, and what is done to one besides reading and writing (file_rw.c).
 */
#include "io/file.h"

#include "base/clock.h"
#include "io/stream.h"
#include <linux/magic.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/vfs.h>

struct weft_file {
	struct fd f;
};

#define LOCK_FIRST_NS (1 * MS) /* waiting for a lock: first pause, and the longest */
#define LOCK_LAST_NS (100 * MS)

/* --- calls on other threads --- */

static void run(struct job *j)
{
	struct file_call *c = container_of(j, struct file_call, job);

	c->rc = c->fn(c);
}

ssize_t weft__file_call(struct file_call *c, int64_t deadline)
{
	int rc;

	c->job = (struct job){.run = run};
	rc = weft__offload(LANE_FILE, &c->job, REASON_FILE, deadline);
	return rc ? rc : c->rc;
}

/* The same of what must be done: ended by nothing. */
static ssize_t must(struct file_call *c)
{
	c->job = (struct job){.run = run};
	weft__offload_shielded(LANE_FILE, &c->job, REASON_FILE);
	return c->rc;
}

ssize_t weft__file_upon(struct fd *f, struct file_call *c, int64_t deadline)
{
	struct fd_job j;
	ssize_t rc = weft__fd_job(f, &j);

	if (rc)
		return rc;
	c->fd = f->fd;
	rc = weft__file_call(c, deadline);
	weft__fd_job_over(f, &j);
	return rc;
}

/* --- what tasks have in their frames --- */

static struct lock held_lock; /* RANK_POOL */
static struct list held;      /* calls; under lock */

void weft__file_hold(struct file_call *c, void (*forsaken)(struct file_call *c))
{
	if (!weft__worker())
		return;
	c->forsaken = forsaken;
	c->home = weft__worker()->home;
	lock_take(&held_lock, RANK_POOL);
	list_push_tail(&held, &c->held);
	lock_drop(&held_lock);
}

void weft__file_let_go(struct file_call *c)
{
	if (!c->forsaken)
		return;
	lock_take(&held_lock, RANK_POOL);
	list_remove(&c->held);
	lock_drop(&held_lock);
	c->forsaken = NULL;
}

void weft__file_forsake_fd(struct file_call *c)
{
	if (c->fd >= 0)
		close(c->fd);
}

/* No task of rt runs, and foreign threads have none here; those of other runtimes take and give. */
void weft__file_down(struct runtime *rt)
{
	struct list_node *n, *next;
	struct list gone;

	list_init(&gone);
	lock_take(&held_lock, RANK_POOL);
	for (n = list_first(&held); n; n = next) {
		next = list_after(&held, n);
		if (container_of(n, struct file_call, held)->home != rt->home)
			continue;
		list_remove(n);
		list_push_tail(&gone, n);
	}
	lock_drop(&held_lock);
	while ((n = list_pop_head(&gone)) != NULL) {
		struct file_call *c = container_of(n, struct file_call, held);

		c->forsaken(c);
	}
}

void weft__file_forsake(weft_file *f)
{
	fd_task_does(&f->f.task_closes, true);
}

static int upon(weft_file *f, struct file_call *c, int64_t deadline)
{
	return (int)weft__file_upon(&f->f, c, deadline);
}

/* --- open --- */

/* Can it be waited for? */
static bool epoll_takes(int fd)
{
	struct epoll_event e = {.events = EPOLLIN};
	int ep = epoll_create1(EPOLL_CLOEXEC);
	bool takes = true;

	if (ep < 0)
		return true; /* the first wait will tell */
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e))
		takes = errno != EPERM;
	close(ep);
	return takes;
}

static bool is_stream(int fd, const struct stat *st)
{
	return S_ISFIFO(st->st_mode) || S_ISSOCK(st->st_mode) || (S_ISCHR(st->st_mode) && epoll_takes(fd));
}

/* Without O_NONBLOCK a FIFO would keep the thread until somebody opens its other end. What is on a disk does not heed it, but for a file that another process has a lease on. */
static int open_at_once(const char *path, int flags, mode_t mode)
{
	int fd = (int)AGAIN(open(path, flags | O_CLOEXEC | O_NONBLOCK, mode));

	if (fd == -EAGAIN && !(flags & O_NONBLOCK))
		fd = (int)AGAIN(open(path, flags | O_CLOEXEC, mode));
	return fd;
}

int weft__file_open_regular(int *fd, const char *path, int flags, mode_t mode, struct stat *st)
{
	int rc = open_at_once(path, flags, mode);

	if (rc < 0)
		return rc;
	*fd = rc;
	if (fstat(*fd, st) == 0)
		return !S_ISREG(st->st_mode);
	rc = -errno;
	close(*fd);
	*fd = -1;
	return rc;
}

/* An open descriptor, and of what kind it is. */
struct opening {
	struct file_call c;
	char *template;
	mode_t mode;
	bool stream;
	bool nobody_yet; /* a FIFO to be read: at its end until somebody writes */
};

static ssize_t do_open(struct file_call *c)
{
	struct opening *o = container_of(c, struct opening, c);
	struct stat st;

	if (o->template)
		c->fd = (int)AGAIN(mkostemp(o->template, O_CLOEXEC));
	else
		c->fd = open_at_once(c->path, c->flags, o->mode);
	if (c->fd < 0)
		return c->fd;
	if (fstat(c->fd, &st)) {
		int rc = -errno;

		close(c->fd);
		c->fd = -1;
		return rc;
	}
	o->stream = is_stream(c->fd, &st);
	o->nobody_yet = S_ISFIFO(st.st_mode) && (c->flags & O_ACCMODE) == O_RDONLY;
	return 0;
}

static int make(weft_file **out, int fd, bool stream, bool nobody_yet, bool direct)
{
	struct fd *f;
	int rc = weft__fd_make(&f, fd);

	if (rc)
		return rc;
	/* not shared yet; with O_DIRECT there is no cache, and a read waits for the disk */
	store_relaxed(&f->note, (stream ? FILE_STREAM : 0) | (direct ? FILE_NO_PEEK : 0) | (nobody_yet ? FILE_UNWRITTEN : 0));
	if (nobody_yet)
		store_relaxed(&f->side[POLL_READ].drained, POLL_FIRST); /* not shared yet: the first read waits */
	*out = (weft_file *)f;
	return 0;
}

static int open_with(weft_file **out, struct opening *o, int64_t deadline)
{
	ssize_t rc;

	o->c.fd = -1;
	weft__file_hold(&o->c, weft__file_forsake_fd);
	rc = weft__file_call(&o->c, deadline);
	if (rc == 0) {
		rc = make(out, o->c.fd, o->stream, o->nobody_yet, o->c.flags & O_DIRECT);
		if (rc) {
			if (o->template)
				unlink(o->template);
			close(o->c.fd);
		}
	}
	weft__file_let_go(&o->c);
	return (int)rc;
}

int weft_file_open_until(weft_file **out, const char *path, int flags, mode_t mode, int64_t deadline)
{
	struct opening o = {.c = {.fn = do_open, .path = path, .flags = flags}, .mode = mode};

	if (!out)
		return WEFT_EINVAL;
	*out = NULL;
	return path ? open_with(out, &o, deadline) : WEFT_EINVAL;
}

int weft_file_open(weft_file **out, const char *path, int flags, mode_t mode)
{
	return weft_file_open_until(out, path, flags, mode, WEFT_FOREVER);
}

int weft_file_temp_until(weft_file **out, char *path, int64_t deadline)
{
	struct opening o = {.c = {.fn = do_open, .flags = O_RDWR}, .template = path};

	if (!out)
		return WEFT_EINVAL;
	*out = NULL;
	return path ? open_with(out, &o, deadline) : WEFT_EINVAL;
}

int weft_file_temp(weft_file **out, char *path)
{
	return weft_file_temp_until(out, path, WEFT_FOREVER);
}

/* ours: opened by us, of which nobody else may have read. */
static int adopt(weft_file **out, int fd, bool ours)
{
	struct stat st;
	int flags, rc;
	bool stream;

	*out = NULL;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fstat(fd, &st))
		return weft__errno();
	stream = is_stream(fd, &st);
	rc = make(out, fd, stream, ours && S_ISFIFO(st.st_mode) && (flags & O_ACCMODE) == O_RDONLY, flags & O_DIRECT);
	if (rc)
		return rc;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (stream && !(flags & O_NONBLOCK))
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	return 0;
}

int weft__file_adopt(weft_file **out, int fd)
{
	return adopt(out, fd, true);
}

int weft_file_from_fd(weft_file **out, int fd)
{
	return out ? adopt(out, fd, false) : WEFT_EINVAL;
}

int weft_file_fd(weft_file *f)
{
	int fd = weft__fd_enter(&f->f);

	if (fd == 0) {
		fd = f->f.fd;
		weft__fd_leave(&f->f);
	}
	return fd;
}

weft_file *weft_file_ref(weft_file *f)
{
	weft__fd_ref(&f->f);
	return f;
}

/* --- close --- */

static ssize_t do_close(struct file_call *c)
{
	int fd = c->fd;

	c->fd = -1;
	return close(fd) && errno != EINTR ? -errno : 0; /* EINTR: Linux has closed it */
}

int weft__file_close_fd(int fd)
{
	struct file_call c = {.fn = do_close, .fd = fd};
	ssize_t rc;

	weft__file_hold(&c, weft__file_forsake_fd);
	rc = must(&c);
	weft__file_let_go(&c);
	return (int)rc;
}

int weft_file_close(weft_file *f)
{
	struct file_call c = {.fn = do_close};
	bool stream;
	int rc;

	if (!f)
		return 0;
	stream = file_is_stream(&f->f);
	c.fd = f->f.fd;
	rc = weft__fd_close(&f->f, true);
	if (rc)
		return rc;
	rc = stream ? (int)do_close(&c) : weft__file_close_fd(c.fd);
	NO_JUMP();
	return rc;
}

/* --- what is asked of a file --- */

static ssize_t do_sync(struct file_call *c)
{
	return AGAIN(c->flags ? fdatasync(c->fd) : fsync(c->fd));
}

static ssize_t do_truncate(struct file_call *c)
{
	return AGAIN(ftruncate(c->fd, c->at));
}

static ssize_t do_allocate(struct file_call *c)
{
	return AGAIN(fallocate(c->fd, c->flags, c->at, (off_t)c->n));
}

/* Keeps what it knows of an open file in memory. (An overlay may lie over any other; of networks' the server is asked.) */
static bool keeps_at_hand(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return false;
	switch ((uint32_t)fs.f_type) {
	case EXT4_SUPER_MAGIC: /* and its elders */
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case F2FS_SUPER_MAGIC:
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
		return true;
	default:
		return false;
	}
}

/* flags: set if it need not be asked on the lane the next time. */
static ssize_t do_stat(struct file_call *c)
{
	c->flags = keeps_at_hand(c->fd);
	return AGAIN(fstat(c->fd, c->buf));
}

/* Not inlined: see weft__errno. */
NOINLINE static int stat_here(int fd, struct stat *out)
{
	return (int)AGAIN(fstat(fd, out));
}

/* The lane has found that this does not block. */
static int stat_at_hand(struct fd *f, struct stat *out, int64_t deadline)
{
	int64_t limit = deadline;
	struct self me;
	int rc = self_enter(&me, &limit);

	if (!rc && limit != WEFT_FOREVER && limit != WEFT_NOW && limit <= clock_now())
		rc = WEFT_ETIMEDOUT;
	if (!rc)
		rc = weft__fd_enter(f);
	if (rc)
		return rc;
	rc = stat_here(f->fd, out);
	weft__fd_leave(f);
	return rc;
}

static ssize_t do_chmod(struct file_call *c)
{
	return AGAIN(fchmod(c->fd, (mode_t)c->n));
}

static ssize_t do_chown(struct file_call *c)
{
	return AGAIN(fchown(c->fd, (uid_t)c->n, (gid_t)c->at));
}

static ssize_t do_utimes(struct file_call *c)
{
	return AGAIN(futimens(c->fd, c->buf));
}

int weft_file_sync_until(weft_file *f, int64_t deadline)
{
	struct file_call c = {.fn = do_sync};

	return upon(f, &c, deadline);
}

int weft_file_sync(weft_file *f)
{
	return weft_file_sync_until(f, WEFT_FOREVER);
}

int weft_file_datasync_until(weft_file *f, int64_t deadline)
{
	struct file_call c = {.fn = do_sync, .flags = 1};

	return upon(f, &c, deadline);
}

int weft_file_datasync(weft_file *f)
{
	return weft_file_datasync_until(f, WEFT_FOREVER);
}

int weft_file_truncate_until(weft_file *f, int64_t length, int64_t deadline)
{
	struct file_call c = {.fn = do_truncate, .at = length};

	return upon(f, &c, deadline);
}

int weft_file_truncate(weft_file *f, int64_t length)
{
	return weft_file_truncate_until(f, length, WEFT_FOREVER);
}

int weft_file_allocate_until(weft_file *f, int mode, int64_t offset, int64_t length, int64_t deadline)
{
	struct file_call c = {.fn = do_allocate, .flags = mode, .at = offset, .n = (size_t)length};

	return upon(f, &c, deadline);
}

int weft_file_allocate(weft_file *f, int mode, int64_t offset, int64_t length)
{
	return weft_file_allocate_until(f, mode, offset, length, WEFT_FOREVER);
}

int weft_file_stat_until(weft_file *f, struct stat *out, int64_t deadline)
{
	struct file_call c = {.fn = do_stat, .buf = out};
	int rc;

	if (load_relaxed(&f->f.note) & FILE_AT_HAND) /* a hint */
		return stat_at_hand(&f->f, out, deadline);
	rc = upon(f, &c, deadline);
	if (!rc && c.flags && !file_is_stream(&f->f))
		store_relaxed(&f->f.note, load_relaxed(&f->f.note) | FILE_AT_HAND); /* a hint */
	return rc;
}

int weft_file_stat(weft_file *f, struct stat *out)
{
	return weft_file_stat_until(f, out, WEFT_FOREVER);
}

int weft_file_chmod_until(weft_file *f, mode_t mode, int64_t deadline)
{
	struct file_call c = {.fn = do_chmod, .n = mode};

	return upon(f, &c, deadline);
}

int weft_file_chmod(weft_file *f, mode_t mode)
{
	return weft_file_chmod_until(f, mode, WEFT_FOREVER);
}

int weft_file_chown_until(weft_file *f, uid_t uid, gid_t gid, int64_t deadline)
{
	struct file_call c = {.fn = do_chown, .n = uid, .at = gid};

	return upon(f, &c, deadline);
}

int weft_file_chown(weft_file *f, uid_t uid, gid_t gid)
{
	return weft_file_chown_until(f, uid, gid, WEFT_FOREVER);
}

int weft_file_utimes_until(weft_file *f, const struct timespec times[2], int64_t deadline)
{
	struct file_call c = {.fn = do_utimes, .buf = (void *)times};

	return upon(f, &c, deadline);
}

int weft_file_utimes(weft_file *f, const struct timespec times[2])
{
	return weft_file_utimes_until(f, times, WEFT_FOREVER);
}

/* --- locks --- */

static ssize_t do_lock(struct file_call *c)
{
	return AGAIN(flock(c->fd, c->flags));
}

static int try_lock(weft_file *f, int how)
{
	int64_t ignored = WEFT_NOW;
	struct self me;
	int rc = self_enter(&me, &ignored);

	if (!rc)
		rc = weft__fd_enter(&f->f);
	if (rc)
		return rc;
	if (flock(f->f.fd, how))
		rc = weft__errno();
	weft__fd_leave(&f->f);
	return rc;
}

/* Who waits has the turn of writing, which nothing else of a file uses: so it hears of a close. */
int weft_file_lock_until(weft_file *f, int how, int64_t deadline)
{
	struct file_call c = {.fn = do_lock};
	int64_t pause = LOCK_FIRST_NS;
	struct fd_op op;
	ssize_t rc;

	if (how != WEFT_LOCK_SHARED && how != WEFT_LOCK_EXCLUSIVE)
		return WEFT_EINVAL;
	if (file_is_stream(&f->f))
		return WEFT_ENOTSUP;
	c.flags = (how == WEFT_LOCK_SHARED ? LOCK_SH : LOCK_EX) | LOCK_NB;
	if (deadline == WEFT_NOW)
		return try_lock(f, c.flags);
	fd_op_init(&op, &f->f, POLL_WRITE, REASON_FILE, deadline);
	rc = weft__fd_next(&op);
	while (rc == 0) {
		rc = upon(f, &c, deadline);
		if (rc != WEFT_EAGAIN)
			break;
		rc = weft__fd_pause(&op, clock_now() + pause);
		pause = pause * 2 < LOCK_LAST_NS ? pause * 2 : LOCK_LAST_NS;
	}
	weft__fd_end(&op);
	return (int)rc;
}

int weft_file_lock(weft_file *f, int how)
{
	return weft_file_lock_until(f, how, WEFT_FOREVER);
}

int weft_file_unlock(weft_file *f)
{
	struct file_call c = {.fn = do_lock, .flags = LOCK_UN};
	struct fd_job j;
	ssize_t rc;

	if (file_is_stream(&f->f))
		return WEFT_ENOTSUP;
	rc = weft__fd_job(&f->f, &j);
	if (rc)
		return (int)rc;
	c.fd = f->f.fd;
	rc = must(&c);
	weft__fd_job_over(&f->f, &j);
	return (int)rc;
}
