/* SPDX-License-Identifier: MIT
 *
 * copy_ends.c - io/copy.c: copies that end early: whose fault it was, and what is lost; threads that copy.
 */
#include "copies.h"

/* --- ends that fail --- */

static bool streams(enum kind k)
{
	return k != FILE_ && k != MEM;
}

static int dest_gone_main(void *arg)
{
	(void)arg;
	for (int from = 0; from < KINDS; from++) {
		for (int to = 0; to < KINDS; to++) {
			struct end src, dst;
			weft_copied how;
			int64_t n;

			if (!streams((enum kind)to))
				continue;
			tap_note("%s to %s", kind_name[from], kind_name[to]);
			ends_make(&dst, (enum kind)to, false);
			if (to == TCP) /* what the source has does not fit: the system may bring the word that nobody reads late */
				T_EQ(setsockopt(weft_tcp_fd(dst.near.self), SOL_SOCKET, SO_SNDBUF, &(int){65536}, sizeof(int)), 0);
			close_far(&dst);
			source_make(&src, (enum kind)from, 300000);
			n = weft_io_copy(dst.near, src.near, WEFT_COPY_ALL, &how);
			T_OK(n == WEFT_EPIPE || n == WEFT_ECONNRESET);
			T_OK(how.dst_failed);
			T_GE(how.read, how.written);
			weft_io_copy(weft_null_io(), src.near, WEFT_COPY_ALL, NULL);
			source_end(&src);
			close_near(&dst);
		}
	}
	return 0;
}

/* Nobody reads any more at the destination: that is said, and that it is the destination. */
TEST_WORKERS(destination_is_gone)
{
	run_net(dest_gone_main, NULL);
}

static int source_reset_main(void *arg)
{
	char at[40];

	(void)arg;
	snprintf(at, sizeof at, "%s:0", own_host()); /* nobody else dials it */
	for (int to = 0; to < KINDS; to++) {
		weft_tcp_listener *l = listen_at(at, NULL);
		int raw = raw_connect(own_host(), port_of(l));
		weft_tcp *c = accept_from(l);
		struct end dst;
		struct copying x = {.deadline = 0};
		weft_task *t;

		dest_make(&dst, (enum kind)to, 0);
		x = (struct copying){.dst = dst.near, .src = weft_tcp_io(c)};
		t = start(copies, &x);
		until_reason(t, "read");
		raw_reset(raw);
		finish(t);
		T_EQ(x.rc, WEFT_ECONNRESET);
		T_OK(!x.how.dst_failed);
		T_EQ(x.how.read, 0);
		T_EQ(dest_end(&dst), 0);
		T_EQ(weft_tcp_close(c), 0);
		T_EQ(weft_tcp_listener_close(l), 0);
	}
	return 0;
}

TEST_WORKERS(source_is_reset)
{
	run_net(source_reset_main, NULL);
}

/* The source has nothing: at its deadline, at once, and when cancelled, nothing has happened. */
static int source_silent_main(void *arg)
{
	(void)arg;
	for (int from = 0; from < KINDS; from++) {
		struct copying c = {.deadline = 0};
		struct end src, dst;
		weft_task *t;

		if (!streams((enum kind)from))
			continue;
		ends_make(&src, (enum kind)from, true);
		dest_make(&dst, TCP, 0);
		T_EQ(weft_io_copy_until(dst.near, src.near, WEFT_COPY_ALL, &c.how, WEFT_NOW), WEFT_EAGAIN);
		T_OK(!c.how.dst_failed);
		T_EQ(weft_io_copy_until(dst.near, src.near, WEFT_COPY_ALL, &c.how, 1), WEFT_ETIMEDOUT);
		T_EQ(weft_io_copy_until(dst.near, src.near, WEFT_COPY_ALL, &c.how, weft_in(2 * WEFT_MS)), WEFT_ETIMEDOUT);
		t = copy_start(&c, &dst, &src);
		until_parked(t);
		T_EQ(weft_io_set_deadline(src.near, 1, WEFT_FOREVER), 0);
		finish(t);
		T_EQ(weft_io_set_deadline(src.near, WEFT_FOREVER, WEFT_FOREVER), 0);
		T_EQ(c.rc, WEFT_ETIMEDOUT);
		T_OK(!c.how.dst_failed);
		t = copy_start(&c, &dst, &src);
		until_parked(t);
		T_EQ(weft_task_cancel(t), 0);
		finish(t);
		T_EQ(c.rc, WEFT_ECANCELED);
		T_EQ(c.how.read, 0);
		src.n = 70000; /* and it goes on as if nothing had been */
		src.task = start(writes_far, &src);
		T_EQ(weft_io_copy(dst.near, src.near, WEFT_COPY_ALL, NULL), 70000);
		T_EQ(dest_end(&dst), 70000);
		source_end(&src);
	}
	return 0;
}

TEST_WORKERS(source_is_silent)
{
	run_net(source_silent_main, NULL);
}

/* The destination is full: the same, but that it is the destination; what was read and not written is said. */
static int dest_full_main(void *arg)
{
	(void)arg;
	for (int from = 0; from < KINDS; from++) {
		for (int how = 0; how < 3; how++) {
			struct copying c = {.deadline = 0};
			struct end src, dst;
			weft_task *t;

			tap_note("%s, %d", kind_name[from], how);
			source_make(&src, (enum kind)from, 1 << 20);
			ends_make(&dst, UNIX, false);
			t = copy_start(&c, &dst, &src);
			until_reason(t, "write");
			if (how == 0)
				T_EQ(weft_io_set_deadline(dst.near, WEFT_FOREVER, 1), 0);
			else if (how == 1)
				T_EQ(weft_task_cancel(t), 0);
			else
				close_far(&dst);
			finish(t);
			T_EQ(c.rc, how == 0 ? WEFT_ETIMEDOUT : how == 1 ? WEFT_ECANCELED : WEFT_EPIPE);
			T_OK(c.how.dst_failed);
			T_GT(c.how.written, 0);
			T_GE(c.how.read, c.how.written);
			if (from == FILE_)
				T_EQ(weft_file_seek(src.near.self, 0, SEEK_CUR), (int64_t)c.how.read); /* no more than that is gone */
			weft_io_copy(weft_null_io(), src.near, WEFT_COPY_ALL, NULL);
			source_end(&src);
			if (dst.far.ops) { /* what was written is there */
				dst.task = start(reads_far, &dst);
				T_EQ(dest_end(&dst), c.how.written);
			} else {
				close_near(&dst);
			}
		}
	}
	return 0;
}

TEST_WORKERS(destination_is_full)
{
	tap_limit(60);
	run_net(dest_full_main, NULL);
}

static int closed_main(void *arg)
{
	(void)arg;
	for (int which = 0; which < 2; which++) {
		for (int from = 0; from < KINDS; from++) {
			struct copying c = {.deadline = 0};
			struct end src, dst;
			weft_tcp *t[2];
			weft_task *task;

			if (which == 1 || from == TCP) {
				source_make(&src, (enum kind)from, which ? 8 << 20 : 0);
			} else {
				continue;
			}
			pair_make(&t[0], &t[1]);
			/* what the source has does not fit, whatever the system makes of its own buffers */
			T_EQ(setsockopt(weft_tcp_fd(t[0]), SOL_SOCKET, SO_SNDBUF, &(int){65536}, sizeof(int)), 0);
			T_EQ(setsockopt(weft_tcp_fd(t[1]), SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int)), 0);
			dst = (struct end){.kind = TCP, .near = weft_tcp_io(t[0]), .far = weft_tcp_io(t[1])};
			if (which == 0) { /* a source of its own that stays silent */
				source_end(&src);
				ends_make(&src, TCP, true);
				weft_tcp_ref(src.near.self);
			} else {
				weft_tcp_ref(t[0]);
			}
			task = copy_start(&c, &dst, &src);
			until_reason(task, which ? "write" : "read");
			T_EQ(weft_tcp_close(which ? t[0] : src.near.self), 0);
			finish(task);
			T_EQ(c.rc, WEFT_ECLOSED);
			T_EQ(c.how.dst_failed, which);
			T_EQ(weft_tcp_close(which ? t[0] : src.near.self), WEFT_ECLOSED);
			if (which)
				dst.near.ops = NULL;
			else
				src.near.ops = NULL;
			if (which)
				weft_io_copy(weft_null_io(), src.near, WEFT_COPY_ALL, NULL);
			source_end(&src);
			close_near(&dst);
			close_far(&dst);
		}
	}
	return 0;
}

/* One of the ends is closed by another task while the copy waits at it. */
TEST_WORKERS(closed_meanwhile)
{
	run_net(closed_main, NULL);
}

static int odd_main(void *arg)
{
	char path[64] = "/tmp/weft.XXXXXX";
	int fd = mkstemp(path);
	struct end dst, src;
	weft_copied how;
	weft_file *f;

	(void)arg;
	T_GE(fd, 0);
	T_EQ(unlink(path), 0);
	T_EQ(weft_io_copy(weft_null_io(), (weft_io){NULL, NULL}, 1, &how), WEFT_EINVAL);
	T_EQ(weft_io_copy((weft_io){NULL, NULL}, weft_null_io(), 1, &how), WEFT_EINVAL);
	T_EQ(weft_io_copy(weft_null_io(), weft_null_io(), WEFT_COPY_ALL, NULL), 0);

	dest_make(&dst, TCP, 0);
	snprintf(path, sizeof path, "/proc/self/fd"); /* a directory is no source */
	T_EQ(weft_file_open(&f, path, O_RDONLY, 0), 0);
	T_LT(weft_io_copy(dst.near, weft_file_io(f), WEFT_COPY_ALL, &how), 0);
	T_OK(!how.dst_failed);
	T_EQ(weft_file_close(f), 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd); /* nor is what is to be written only */
	T_EQ(weft_file_open(&f, path, O_WRONLY, 0), 0);
	T_EQ(weft_io_copy(dst.near, weft_file_io(f), WEFT_COPY_ALL, &how), WEFT_EBADF);
	T_OK(!how.dst_failed);
	T_EQ(weft_file_close(f), 0);
	T_EQ(dest_end(&dst), 0);
	close(fd);

	source_make(&src, TCP, 100000); /* a destination that cannot be written */
	T_EQ(weft_file_open(&f, "/dev/full", O_WRONLY, 0), 0);
	T_EQ(weft_io_copy(weft_file_io(f), src.near, WEFT_COPY_ALL, &how), WEFT_ENOSPC);
	T_OK(how.dst_failed);
	T_EQ(weft_file_close(f), 0);
	weft_io_copy(weft_null_io(), src.near, WEFT_COPY_ALL, NULL);
	source_end(&src);
	return 0;
}

TEST_WORKERS(ends_of_the_wrong_kind)
{
	run_net(odd_main, NULL);
}

/* A pipe that is appended to takes no splice: it gets all the same. */
static int append_main(void *arg)
{
	struct end src, dst;
	weft_pipe *p;
	int fd[2];

	(void)arg;
	T_EQ(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	T_EQ(fcntl(fd[1], F_SETFL, O_NONBLOCK | O_APPEND), 0);
	dst = (struct end){.kind = PIPE};
	T_EQ(weft_pipe_open(&p, fd[0]), 0);
	dst.far = weft_pipe_io(p);
	T_EQ(weft_pipe_open(&p, fd[1]), 0);
	dst.near = weft_pipe_io(p);
	dst.task = start(reads_far, &dst);
	source_make(&src, TCP, 300000);
	T_EQ(weft_io_copy(dst.near, src.near, WEFT_COPY_ALL, NULL), 300000);
	T_EQ(dest_end(&dst), 300000);
	source_end(&src);
	return 0;
}

TEST_WORKERS(a_pipe_that_is_appended_to)
{
	run_net(append_main, NULL);
}

/* --- threads --- */

static ATOMIC(int) thread_done;

static void *copies_in_thread(void *arg)
{
	copies(arg);
	store_release(&thread_done, 1);
	return NULL;
}

static void copy_in_thread(struct copying *c)
{
	pthread_t th;

	store_relaxed(&thread_done, 0);
	T_EQ(pthread_create(&th, NULL, copies_in_thread, c), 0);
	until(load_acquire(&thread_done)); /* not in pthread_join: somebody has to listen to the loop */
	T_EQ(pthread_join(th, NULL), 0);
}

static int thread_main(void *arg)
{
	(void)arg;
	for (int from = TCP; from < KINDS; from++) {
		struct copying c = {.deadline = 0};
		struct end src, dst;

		source_make(&src, (enum kind)from, 200000);
		dest_make(&dst, UNIX, 0);
		c = (struct copying){.dst = dst.near, .src = src.near, .limit = 200000};
		copy_in_thread(&c);
		T_EQ(c.rc, 200000);
		T_EQ(dest_end(&dst), 200000);
		source_end(&src);

		source_make(&src, (enum kind)from, 200000); /* and no SIGPIPE kills it */
		ends_make(&dst, UNIX, false);
		close_far(&dst);
		c = (struct copying){.dst = dst.near, .src = src.near, .limit = 8000};
		copy_in_thread(&c);
		T_EQ(c.rc, WEFT_EPIPE);
		T_OK(c.how.dst_failed);
		weft_io_copy(weft_null_io(), src.near, WEFT_COPY_ALL, NULL);
		source_end(&src);
		close_near(&dst);
	}
	return 0;
}

TEST_WORKERS(threads_copy)
{
	run_net(thread_main, NULL);
}
