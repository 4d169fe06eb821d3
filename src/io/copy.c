/* SPDX-License-Identifier: MIT
 *
 * copy.c - from one stream to another: past the process where the system can do that, else through a buffer.
 *
 *   socket, pipe -> socket, pipe    splice(2), through a pipe of our own (a duct)
 *   file -> socket, pipe            sendfile(2), on a thread of the files' lane, for it may wait for the disk
 *   anything else                   read, write
 *
 * A duct is filled by one call and emptied before the next: so when filling it would block, it is the source that has nothing, and when emptying it would, the destination
 * is full.  (Splicing from a pipe to a socket without one would save a call, but not say which of them it waits for.)  Ducts are kept for the next copy, some of them, until the
 * runtime goes down.
 *
 * What a way cannot do (EINVAL) is left to the buffer, from where it came to.
 */
#include "io/copy.h"

#include "base/check.h"
#include "base/list.h"
#include "io/file.h"
#include "io/stream.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sendfile.h>

#define BUFFER SMALL(64 << 10, 4 << 10)
#define FEW SMALL(4 << 10, 16)  /* bytes for which a duct does not pay */
#define DUCT_SIZE (256 << 10)   /* asked for; the system may give less */
#define DUCTS_KEPT SMALL(16, 2) /* idle ones */
#define OTHER_WAY 1             /* not an error: the buffer shall do the rest */

struct copying {
	weft_io dst, src;
	uint64_t left; /* bytes that may still be read */
	weft_copied how;
	int64_t deadline;
};

static size_t at_most(const struct copying *c, size_t n)
{
	return c->left < n ? (size_t)c->left : n;
}

static void has_read(struct copying *c, size_t n)
{
	c->left -= n;
	c->how.read += n;
}

static int dst_error(struct copying *c, int rc)
{
	c->how.dst_failed = true;
	return rc;
}

/* --- the buffer --- */

static int write_out(struct copying *c, const void *buf, size_t n)
{
	size_t done;
	ssize_t rc = weft_io_write_until(c->dst, buf, n, &done, c->deadline);

	c->how.written += done;
	return rc < 0 ? dst_error(c, (int)rc) : 0;
}

static int by_buffer(struct copying *c)
{
	char *buf = c->left > 0 ? malloc(BUFFER) : NULL;
	int rc = 0;

	if (!buf && c->left > 0)
		return WEFT_ENOMEM;
	while (c->left > 0 && rc == 0) {
		ssize_t n = weft_io_read_until(c->src, buf, at_most(c, BUFFER), c->deadline);

		if (n <= 0) {
			rc = (int)n;
			break;
		}
		if ((size_t)n > at_most(c, BUFFER))
			weft__fatal("a stream (%s) was asked for %zu bytes, and says that it has read %zd", c->src.ops->kind,
				    at_most(c, BUFFER), n);
		has_read(c, (size_t)n);
		rc = write_out(c, buf, (size_t)n);
	}
	free(buf);
	return rc;
}

/* --- ducts --- */

struct duct {
	struct list_node all;
	struct duct *next; /* idle: in the list of those */
	int fd[2];
	bool idle;    /* not in use */
	uint8_t task; /* in use by a task: 1 more than the number of its runtime; or it was, last */
	size_t have;  /* bytes in it; its user's */
};

static struct lock ducts_lock; /* RANK_POOL */
static struct list ducts;      /* all of them; under lock, as what follows */
static struct duct *idle_ducts;
static int duct_count, idle_count;

static void duct_close(struct duct *d)
{
	close(d->fd[0]);
	close(d->fd[1]);
	free(d);
}

/* NULL: there are no descriptors or no memory for one. */
static struct duct *duct_make(uint8_t task)
{
	struct duct *d = calloc(1, sizeof *d);

	if (!d)
		return NULL;
	if (pipe2(d->fd, O_CLOEXEC | O_NONBLOCK)) {
		free(d);
		return NULL;
	}
	(void)fcntl(d->fd[1], F_SETPIPE_SZ, DUCT_SIZE); /* users may have only so much in all: it works with less */
	d->task = task;
	lock_take(&ducts_lock, RANK_POOL);
	list_push_tail(&ducts, &d->all);
	duct_count++;
	lock_drop(&ducts_lock);
	return d;
}

static struct duct *duct_get(void)
{
	struct worker *w = weft__worker();
	uint8_t task = (uint8_t)(w ? w->home + 1u : 0);
	struct duct *d;

	lock_take(&ducts_lock, RANK_POOL);
	d = idle_ducts;
	if (d) {
		idle_ducts = d->next;
		idle_count--;
		d->idle = false;
		d->task = task;
	}
	lock_drop(&ducts_lock);
	return d ? d : duct_make(task);
}

/* One that is not empty is kept by nobody. */
static void duct_put(struct duct *d)
{
	bool keep;

	lock_take(&ducts_lock, RANK_POOL);
	keep = d->have == 0 && idle_count < DUCTS_KEPT && d->task; /* a foreign thread's may come back after the runtime's end */
	if (keep) {
		d->idle = true;
		d->next = idle_ducts;
		idle_ducts = d;
		idle_count++;
	} else {
		list_remove(&d->all);
		duct_count--;
	}
	lock_drop(&ducts_lock);
	if (!keep)
		duct_close(d);
}

void weft__copy_down(struct runtime *rt)
{
	struct list_node *n, *next;
	struct list gone;

	list_init(&gone);
	lock_take(&ducts_lock, RANK_POOL);
	for (n = list_first(&ducts); n; n = next) {
		struct duct *d = container_of(n, struct duct, all);

		next = list_after(&ducts, n);
		if (d->idle ? !rt->last : d->task != rt->home + 1)
			continue;
		list_remove(n);
		list_push_tail(&gone, n);
		duct_count--;
	}
	if (rt->last) {
		idle_ducts = NULL;
		idle_count = 0;
	}
	lock_drop(&ducts_lock);
	while ((n = list_pop_head(&gone)) != NULL)
		duct_close(container_of(n, struct duct, all));
}

int weft__copy_ducts(void)
{
	int n;

	lock_take(&ducts_lock, RANK_POOL);
	n = duct_count;
	lock_drop(&ducts_lock);
	return n;
}

/* --- splice --- */

/* Not inlined: see weft__errno. */
NOINLINE static ssize_t move(int from, int to, size_t n)
{
	ssize_t rc = splice(from, NULL, to, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	return rc < 0 ? -errno : rc;
}

/* The same of a thread that does not have SIGPIPE blocked. */
NOINLINE static ssize_t move_quietly(int from, int to, size_t n)
{
	struct quiet q;
	ssize_t rc;

	weft__quiet_begin(&q);
	rc = splice(from, NULL, to, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	weft__quiet_end(&q);
	return rc < 0 ? -errno : rc;
}

/* From src into a duct, which is empty and, while there is nothing to read, not kept: copies that wait hold no descriptors. WEFT_EMFILE: none can be had. */
static ssize_t duct_in(struct copying *c, struct fd *src, struct duct **d)
{
	struct fd_op op;
	ssize_t n;

	fd_op_init(&op, src, POLL_READ, REASON_READ, c->deadline);
	while ((n = weft__fd_next(&op)) == 0) {
		if (!*d)
			*d = duct_get();
		n = *d ? move(src->fd, (*d)->fd[1], at_most(c, DUCT_SIZE)) : WEFT_EMFILE;
		if (n == WEFT_EAGAIN) {
			fd_op_blocked(&op);
			duct_put(*d);
			*d = NULL;
		} else if (n != -EINTR) {
			break;
		}
	}
	weft__fd_end(&op);
	return n;
}

static ssize_t out_once(struct copying *c, struct fd *dst, struct duct *d)
{
	struct fd_op op;
	ssize_t n;

	fd_op_init(&op, dst, POLL_WRITE, REASON_WRITE, c->deadline);
	while ((n = weft__fd_next(&op)) == 0) {
		n = op.task ? move(d->fd[0], dst->fd, d->have) : move_quietly(d->fd[0], dst->fd, d->have);
		if (n == WEFT_EAGAIN)
			fd_op_blocked(&op);
		else if (n != -EINTR)
			break;
	}
	weft__fd_end(&op);
	return n;
}

/* What is in the duct goes through a buffer after all: to a file that is appended to. */
static int duct_by_hand(struct copying *c, struct duct *d)
{
	char buf[1024];
	int rc = 0;

	while (d->have > 0 && rc == 0) {
		ssize_t n = read(d->fd[0], buf, sizeof buf);

		if (n <= 0)
			return WEFT_EINVAL; /* it is nobody else's */
		d->have -= (size_t)n;
		rc = write_out(c, buf, (size_t)n);
	}
	return rc ? rc : OTHER_WAY;
}

static int duct_out(struct copying *c, struct fd *dst, struct duct *d)
{
	while (d->have > 0) {
		ssize_t n = out_once(c, dst, d);

		if (n == WEFT_EINVAL)
			return duct_by_hand(c, d);
		if (n < 0)
			return dst_error(c, (int)n);
		d->have -= (size_t)n;
		c->how.written += (size_t)n;
	}
	return 0;
}

static int by_splice(struct copying *c, struct fd *dst, struct fd *src)
{
	struct duct *d = NULL;
	int rc = 0;

	while (c->left > 0 && rc == 0) {
		ssize_t n = duct_in(c, src, &d);

		if (n <= 0) {
			rc = n == WEFT_EINVAL || n == WEFT_EMFILE ? OTHER_WAY : (int)n;
			break;
		}
		d->have = (size_t)n;
		has_read(c, (size_t)n);
		rc = duct_out(c, dst, d);
	}
	if (d)
		duct_put(d);
	return rc;
}

/* --- sendfile --- */

struct sending {
	struct file_call call; /* fd: the file; n: bytes at most */
	int to;
	bool quiet; /* the thread may get SIGPIPE */
	bool ran;   /* what it returned is the system's word */
	bool full;  /* nothing more goes into `to` now */
};

/* On a thread of the lane. Returns bytes, 0 at the end of the file, or what the system says. */
static ssize_t do_send(struct file_call *call)
{
	struct sending *s = container_of(call, struct sending, call);
	size_t all = 0;
	struct quiet q;
	ssize_t n;

	if (s->quiet)
		weft__quiet_begin(&q);
	do {
		n = AGAIN(sendfile(s->to, call->fd, NULL, call->n - all));
		if (n > 0)
			all += (size_t)n;
	} while (n > 0 && all < call->n);
	s->full = n == WEFT_EAGAIN;
	if (s->quiet)
		weft__quiet_end(&q);
	s->ran = true;
	return all > 0 ? (ssize_t)all : n; /* an error behind some bytes comes again */
}

/* One job, dst being ready for it; the file's turn is held meanwhile. */
static ssize_t send_some(struct copying *c, struct sending *s, struct fd *src)
{
	struct fd_op op;
	ssize_t n;

	s->ran = s->full = false;
	s->call.n = at_most(c, FILE_AT_ONCE);
	fd_op_init(&op, src, POLL_READ, REASON_FILE, c->deadline);
	n = weft__fd_next(&op);
	if (n == 0) {
		s->call.fd = src->fd;
		n = weft__file_call(&s->call, c->deadline);
	}
	weft__fd_end(&op);
	return n;
}

/* The same, waiting for room. Returns bytes, 0 at the end of the file, OTHER_WAY in *rc, or an error there. */
static ssize_t send_next(struct copying *c, struct fd *dst, struct fd *src, int *rc)
{
	struct sending s = {.call = {.fn = do_send}, .to = dst->fd};
	struct fd_op op;
	ssize_t n;

	fd_op_init(&op, dst, POLL_WRITE, REASON_WRITE, c->deadline);
	for (;;) {
		n = weft__fd_next(&op);
		if (n) {
			*rc = dst_error(c, (int)n);
			break;
		}
		s.quiet = !op.task;
		n = send_some(c, &s, src);
		if (n > 0 && s.full)
			fd_op_drained(&op);
		if (!s.full || n > 0)
			break;
		fd_op_blocked(&op);
	}
	weft__fd_end(&op);
	if (n >= 0 || *rc)
		return n;
	if (s.ran && (n == WEFT_EINVAL || n == WEFT_ENOSYS))
		*rc = OTHER_WAY;
	else if (!s.ran || n == -EIO || n == WEFT_ENOMEM || n == WEFT_EBADF || n == -EOVERFLOW)
		*rc = (int)n;
	else
		*rc = dst_error(c, (int)n);
	return n;
}

static int by_sendfile(struct copying *c, struct fd *dst, struct fd *src)
{
	int rc = 0;

	while (c->left > 0) {
		ssize_t n = send_next(c, dst, src, &rc);

		if (n <= 0)
			break;
		has_read(c, (size_t)n);
		c->how.written += (size_t)n;
	}
	return rc;
}

/* --- the call --- */

/* A descriptor's record that splice and sendfile may write to, or read from. */
static struct fd *plain(weft_io io)
{
	return io.ops == &weft__tty_ops ? NULL : weft__io_fd(io);
}

static struct fd *plain_file(weft_io io)
{
	return io.ops == &weft__file_ops && !file_is_stream(io.self) ? io.self : NULL;
}

int64_t weft_io_copy_until(weft_io dst, weft_io src, uint64_t limit, weft_copied *how, int64_t deadline)
{
	struct copying c = {.dst = dst, .src = src, .left = limit, .deadline = deadline};
	struct fd *to, *from;
	int rc = OTHER_WAY;

	if (how)
		*how = c.how;
	if (!dst.ops || !src.ops)
		return WEFT_EINVAL;
	to = plain(dst);
	from = plain(src);
	if (limit > FEW && to && from)
		rc = by_splice(&c, to, from);
	else if (limit > FEW && to && plain_file(src))
		rc = by_sendfile(&c, to, plain_file(src));
	if (rc == OTHER_WAY)
		rc = by_buffer(&c);
	if (how)
		*how = c.how;
	return rc ? rc : (int64_t)c.how.written;
}

int64_t weft_io_copy(weft_io dst, weft_io src, uint64_t limit, weft_copied *how)
{
	return weft_io_copy_until(dst, src, limit, how, WEFT_FOREVER);
}
