/* SPDX-License-Identifier: MIT
 *
 * iowait.c - weft_io_wait: pipes, sockets, eventfds that weft did not open; who is woken, by what, and what becomes of a number that is closed.
 */
#include "net.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

enum { R = WEFT_IO_R, W = WEFT_IO_W, RW = WEFT_IO_R | WEFT_IO_W };

/* A pipe: p[0] to be read, p[1] to be written. */
static void make_pipe(int *p)
{
	T_EQ(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
}

static void make_sockets(int *p)
{
	T_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p), 0);
}

static void put(int fd)
{
	T_EQ(write(fd, "12345678", 8), 8); /* what an eventfd takes, too */
}

static void take(int fd)
{
	char buf[8];

	T_EQ(read(fd, buf, 8), 8);
}

static void fill_up(int fd)
{
	static const char zeros[65536];

	while (write(fd, zeros, sizeof zeros) > 0)
		;
}

static void empty(int fd)
{
	char buf[4096];

	while (read(fd, buf, sizeof buf) > 0)
		;
}

/* Forgets it, if it was waited for, and closes it. */
static void drop(int fd)
{
	int rc = weft_io_forget(fd);

	T_OK(rc == 0 || rc == WEFT_ENOENT);
	T_EQ(weft_io_forget(fd), WEFT_ENOENT);
	T_EQ(close(fd), 0);
}

static void drop_both(int *p)
{
	drop(p[0]);
	drop(p[1]);
}

struct io {
	int fd, events;
	int64_t deadline; /* 0: none */
	ATOMIC(int) gate, done;
	int rc;
};

static int waits(void *arg)
{
	struct io *w = arg;

	return weft_io_wait_until(w->fd, w->events, w->deadline ? w->deadline : WEFT_FOREVER);
}

static weft_task *start_wait(struct io *w, int fd, int events)
{
	weft_task *t;

	*w = (struct io){.fd = fd, .events = events};
	t = start(waits, w);
	until_reason(t, "io");
	return t;
}

/* --- what is ready --- */

static int ready_main(void *arg)
{
	const int64_t deadlines[] = {WEFT_FOREVER, WEFT_NOW, weft_in(20 * WEFT_SEC)};
	int p[2], s[2], e = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	(void)arg;
	make_pipe(p);
	make_sockets(s);
	for (size_t i = 0; i < ARRAY_LEN(deadlines); i++) {
		T_EQ(weft_io_wait_until(p[1], W, deadlines[i]), W);
		T_EQ(weft_io_wait_until(p[1], RW, deadlines[i]), W);
		T_EQ(weft_io_wait_until(s[0], RW, deadlines[i]), W);
		T_EQ(weft_io_wait_until(e, RW, deadlines[i]), W);
		put(p[1]);
		put(s[1]);
		put(e);
		T_EQ(weft_io_wait_until(p[0], R, deadlines[i]), R);
		T_EQ(weft_io_wait_until(s[0], R, deadlines[i]), R);
		T_EQ(weft_io_wait_until(s[0], W, deadlines[i]), W);
		T_EQ(weft_io_wait_until(s[0], RW, deadlines[i]), RW);
		T_EQ(weft_io_wait_until(e, RW, deadlines[i]), RW);
		take(p[0]);
		take(s[0]);
		take(e);
		T_EQ(weft_io_wait_until(p[0], R, WEFT_NOW), WEFT_EAGAIN);
		T_EQ(weft_io_wait_until(s[0], R, WEFT_NOW), WEFT_EAGAIN);
		T_EQ(weft_io_wait_until(e, R, WEFT_NOW), WEFT_EAGAIN);
	}
	T_EQ(weft_io_forget(p[0]), WEFT_ENOENT); /* nobody had to wait: nothing is kept */
	T_EQ(weft_io_forget(p[1]), WEFT_ENOENT);
	drop_both(p);
	drop_both(s);
	drop(e);
	return 0;
}

/* What holds is said at once, and no more than was asked for. */
TEST_WORKERS(ready_at_once)
{
	run_net(ready_main, NULL);
}

static int woken_main(void *arg)
{
	int p[2], s[2], e = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), tfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct io w;
	weft_task *t;

	(void)arg;
	make_pipe(p);
	make_sockets(s);
	for (int i = 0; i < 10; i++) {
		t = start_wait(&w, p[0], R);
		put(p[1]);
		T_EQ(finish(t), R);
		take(p[0]);

		fill_up(p[1]);
		t = start_wait(&w, p[1], W);
		empty(p[0]);
		T_EQ(finish(t), W);

		t = start_wait(&w, e, R);
		put(e);
		T_EQ(finish(t), R);
		take(e);

		fill_up(s[0]);
		t = start_wait(&w, s[0], RW);
		put(s[1]);
		T_EQ(finish(t), R);
		take(s[0]);
		t = start_wait(&w, s[0], RW);
		empty(s[1]);
		T_EQ(finish(t), W);

		T_EQ(timerfd_settime(tfd, 0, &(struct itimerspec){.it_value.tv_nsec = 2000000}, NULL), 0);
		w = (struct io){.fd = tfd, .events = R};
		t = start(waits, &w); /* it may be over before anybody has seen it wait */
		T_EQ(finish(t), R);
		T_EQ(read(tfd, &(uint64_t){0}, 8), 8);
	}
	drop_both(p);
	drop_both(s);
	drop(e);
	drop(tfd);
	return 0;
}

/* A task that waits is woken by what it waits for. */
TEST_WORKERS(woken)
{
	run_net(woken_main, NULL);
}

static int ends_main(void *arg)
{
	(void)arg;
	for (int before = 0; before < 2; before++) { /* the end comes before the wait, or during it */
		int p[2], s[2], rc;
		struct io w;
		weft_task *t = NULL;

		make_pipe(p); /* the writer goes: the reader reads the end */
		if (!before)
			t = start_wait(&w, p[0], R);
		close(p[1]);
		T_EQ(t ? finish(t) : weft_io_wait(p[0], RW), t ? R : RW);
		drop(p[0]);

		make_pipe(p); /* the reader goes: the writer would get an error */
		fill_up(p[1]);
		t = before ? NULL : start_wait(&w, p[1], W);
		close(p[0]);
		T_EQ(t ? finish(t) : weft_io_wait(p[1], W), W);
		drop(p[1]);

		make_sockets(s); /* the peer goes */
		fill_up(s[0]);
		t = before ? NULL : start_wait(&w, s[0], RW);
		close(s[1]);
		rc = t ? finish(t) : weft_io_wait(s[0], RW);
		T_EQ(rc, RW);
		drop(s[0]);

		make_sockets(s); /* the peer says no more */
		fill_up(s[0]);
		t = before ? NULL : start_wait(&w, s[0], RW);
		T_EQ(shutdown(s[1], SHUT_WR), 0);
		T_EQ(t ? finish(t) : weft_io_wait(s[0], RW), R);
		drop_both(s);
	}
	return 0;
}

/* Ends and errors count as ready. */
TEST_WORKERS(ends_and_errors)
{
	run_net(ends_main, NULL);
}

static int urgent_main(void *arg)
{
	weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL);
	int raw = raw_dial(l);
	weft_tcp *c = accept_from(l);
	weft_case cases[] = {WEFT_FD(raw, R)};
	weft_stat before, after;

	(void)arg;
	T_EQ(send(number_of(c), "!", 1, MSG_OOB), 1);
	until(holds(raw, POLLPRI));
	T_EQ(weft_stats(&before), 0);
	T_EQ(weft_io_wait_until(raw, R, weft_in(20 * WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_chan_select_until(cases, 1, weft_in(20 * WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_stats(&after), 0);
	T_LT(after.switches - before.switches, 100);
	write_all(c, "x", 1);
	T_EQ(weft_io_wait(raw, R), R);
	drop(raw);
	T_EQ(weft_tcp_close(c), 0);
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* Urgent data is nothing to be read: who waits sleeps on. */
TEST_WORKERS(urgent_data)
{
	run_net(urgent_main, NULL);
}

static int refused_main(void *arg)
{
	char name[] = "/tmp/weft-iowait-XXXXXX";
	int file = mkstemp(name), dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), p[2];

	(void)arg;
	T_GE(file, 0);
	T_EQ(unlink(name), 0);
	make_pipe(p);
	for (int events = R; events <= RW; events++) {
		T_EQ(weft_io_wait(file, events), WEFT_EPERM);
		T_EQ(weft_io_wait_until(file, events, WEFT_NOW), WEFT_EPERM);
		T_EQ(weft_io_wait(dir, events), WEFT_EPERM);
		T_EQ(weft_io_wait(-1, events), WEFT_EBADF);
		T_EQ(weft_io_wait(INT32_MIN, events), WEFT_EBADF);
		T_EQ(weft_io_wait(INT32_MAX, events), WEFT_EBADF);
	}
	T_EQ(weft_io_wait(p[1], 0), WEFT_EINVAL);
	T_EQ(weft_io_wait(p[1], 4), WEFT_EINVAL);
	T_EQ(weft_io_wait(p[1], RW | 8), WEFT_EINVAL);
	T_EQ(weft_io_wait(p[1], -1), WEFT_EINVAL);
	drop_both(p);
	T_EQ(weft_io_wait(p[0], R), WEFT_EBADF); /* closed */
	T_EQ(weft_io_forget(-1), WEFT_ENOENT);
	T_EQ(weft_io_forget(INT32_MAX), WEFT_ENOENT);
	T_EQ(weft_io_forget(p[0]), WEFT_ENOENT);
	close(file);
	close(dir);
	return 0;
}

/* What cannot be waited for is refused. */
TEST_WORKERS(refused)
{
	run_net(refused_main, NULL);
}

/* --- several --- */

enum { SEVERAL = 20 };

static int several_main(void *arg)
{
	struct io w[SEVERAL];
	weft_task *t[SEVERAL];
	int s[2];

	(void)arg;
	make_sockets(s);
	for (int round = 0; round < 3; round++) {
		fill_up(s[0]);
		for (int i = 0; i < SEVERAL; i++)
			t[i] = start_wait(&w[i], s[0], 1 + i % 3); /* R, W, RW */
		put(s[1]);
		for (int i = 0; i < SEVERAL; i++) {
			if (1 + i % 3 != W)
				T_EQ(finish(t[i]), R);
		}
		for (int i = 1; i < SEVERAL; i += 3)
			T_EQ(weft_task_stateof(t[i]), WEFT_TASK_PARKED);
		empty(s[1]);
		for (int i = 1; i < SEVERAL; i += 3)
			T_EQ(finish(t[i]), W);
		take(s[0]);
	}
	drop_both(s);
	return 0;
}

/* Several tasks wait for one descriptor: all for whom something has come are woken, and only those. */
TEST_WORKERS(several_on_one)
{
	run_net(several_main, NULL);
}

static int pingpong_back(void *arg)
{
	int *p = arg; /* reads p[0], writes p[3] */
	char x;

	for (;;) {
		ssize_t n = read(p[0], &x, 1);

		if (n == 0)
			return 0;
		if (n < 0)
			T_EQ(weft_io_wait(p[0], R), R);
		else
			T_EQ(write(p[3], &x, 1), 1);
	}
}

static int pingpong_main(void *arg)
{
	long n = tap_iters(10000);
	weft_task *t;
	int p[4];
	char x;

	(void)arg;
	make_pipe(p);
	make_pipe(p + 2);
	t = start(pingpong_back, p);
	for (long i = 0; i < n; i++) {
		T_EQ(write(p[1], &(char){(char)i}, 1), 1);
		while (read(p[2], &x, 1) != 1)
			T_EQ(weft_io_wait_until(p[2], R, i % 2 ? WEFT_FOREVER : weft_in(20 * WEFT_SEC)), R);
		T_EQ(x, (char)i);
	}
	T_EQ(weft_io_forget(p[1]), WEFT_ENOENT);
	close(p[1]);
	T_EQ(finish(t), 0);
	drop(p[0]);
	drop_both(p + 2);
	return 0;
}

/* Thousands of waits in a row: none is missed. */
TEST_WORKERS(pingpong)
{
	run_net(pingpong_main, NULL);
}

static int many_main(void *arg)
{
	struct rlimit limit;
	int n, *fds;
	struct io *w;
	weft_task **t;

	(void)arg;
	T_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	n = (int)tap_iters(limit.rlim_cur > 8000 ? 2000 : (long)limit.rlim_cur / 4);
	fds = calloc((size_t)n, sizeof *fds);
	w = calloc((size_t)n, sizeof *w);
	t = calloc((size_t)n, sizeof(weft_task *));
	for (int i = 0; i < n; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		T_GE(fds[i], 0);
		w[i] = (struct io){.fd = fds[i], .events = R};
		t[i] = start(waits, &w[i]);
	}
	for (int i = 0; i < n; i++)
		until_reason(t[i], "io");
	for (int i = n; i-- > 0;)
		put(fds[i]);
	for (int i = 0; i < n; i++)
		T_EQ(finish(t[i]), R);
	for (int i = 0; i < n; i++)
		drop(fds[i]);
	free(fds);
	free(w);
	free(t);
	return 0;
}

/* Many descriptors at once, and great numbers. */
TEST_WORKERS(many_descriptors)
{
	run_net(many_main, NULL);
}

/* --- numbers --- */

static int reopened_main(void *arg)
{
	int p[2], s[2], number, file, e;
	struct io w;
	weft_task *t;

	(void)arg;
	for (int i = 0; i < 5; i++) {
		make_pipe(p);
		number = p[0];
		t = start_wait(&w, number, R);
		put(p[1]);
		T_EQ(finish(t), R);
		close(p[0]); /* without a word */
		close(p[1]);
		T_EQ(weft_io_wait(number, R), WEFT_EBADF);

		make_sockets(s); /* the number is a socket's now */
		if (s[0] != number) {
			T_EQ(dup3(s[0], number, O_CLOEXEC), number);
			close(s[0]);
		}
		T_EQ(weft_io_wait_until(number, R, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
		t = start_wait(&w, number, R);
		put(s[1]);
		T_EQ(finish(t), R);
		take(number);
		fill_up(number);
		t = start_wait(&w, number, W);
		empty(s[1]);
		T_EQ(finish(t), W);
		close(number);

		file = memfd_create("weft", MFD_CLOEXEC); /* a regular file's */
		if (file != number) {
			T_EQ(dup3(file, number, O_CLOEXEC), number);
			close(file);
		}
		T_EQ(weft_io_wait(number, R), WEFT_EPERM);

		e = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* put in its place at once */
		T_EQ(dup3(e, number, O_CLOEXEC), number);
		close(e);
		t = start_wait(&w, number, R);
		put(number);
		T_EQ(finish(t), R);
		T_EQ(weft_io_forget(number), 0);
		close(number);
		close(s[1]);
	}
	return 0;
}

/* A number that was closed without a word is another's at the next wait. */
TEST_WORKERS(closed_and_reopened)
{
	run_net(reopened_main, NULL);
}

static int replaced_main(void *arg)
{
	int p[2], q[2];
	struct io w[2];
	weft_task *t[2];

	(void)arg;
	make_pipe(p);
	make_pipe(q);
	t[0] = start_wait(&w[0], p[0], R);
	T_EQ(dup3(q[0], p[0], O_CLOEXEC), p[0]); /* under the one who waits */
	t[1] = start_wait(&w[1], p[0], R);
	put(q[1]);
	T_EQ(finish(t[1]), R);
	T_EQ(finish(t[0]), R);
	drop_both(p);
	drop_both(q);
	return 0;
}

/* ... also for those who still wait for the number. */
TEST_WORKERS(replaced_under_a_wait)
{
	run_net(replaced_main, NULL);
}

static int kept_alive_main(void *arg)
{
	int p[2], s[2], copy, number;
	struct io w;
	weft_task *t;

	(void)arg;
	make_pipe(p);
	number = p[0];
	T_EQ(weft_io_wait_until(number, R, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	copy = fcntl(p[0], F_DUPFD_CLOEXEC, 0); /* the file lives on under another number */
	close(number);
	make_sockets(s);
	if (s[0] != number) {
		T_EQ(dup3(s[0], number, O_CLOEXEC), number);
		close(s[0]);
	}
	t = start_wait(&w, number, R);
	put(p[1]); /* the old one's event is not the new one's */
	for (int i = 0; i < 300; i++)
		let_run();
	T_EQ(weft_task_stateof(t) != WEFT_TASK_DONE, 1);
	put(s[1]);
	T_EQ(finish(t), R);
	T_EQ(weft_io_wait(copy, R), R);
	drop(copy);
	drop(p[1]);
	drop(number);
	drop(s[1]);
	return 0;
}

/* A file that lives on under another number says nothing about the one it had. */
TEST_WORKERS(file_outlives_its_number)
{
	run_net(kept_alive_main, NULL);
}

static int forget_main(void *arg)
{
	struct io w[SEVERAL];
	weft_task *t[SEVERAL];
	int s[2];

	(void)arg;
	make_sockets(s);
	T_EQ(weft_io_forget(s[0]), WEFT_ENOENT);
	for (int round = 0; round < 3; round++) {
		fill_up(s[0]);
		for (int i = 0; i < SEVERAL; i++)
			t[i] = start_wait(&w[i], s[0], 1 + i % 3);
		T_EQ(weft_io_forget(s[0]), 0);
		for (int i = 0; i < SEVERAL; i++)
			T_EQ(finish(t[i]), WEFT_ECLOSED);
		T_EQ(weft_io_forget(s[0]), WEFT_ENOENT);
		T_OK(is_open(s[0]));               /* that is its owner's business */
		t[0] = start_wait(&w[0], s[0], W); /* forgotten, but not closed: one may wait for it again */
		empty(s[1]);
		T_EQ(finish(t[0]), W);
		T_EQ(weft_io_forget(s[0]), 0);
	}
	drop_both(s);
	return 0;
}

/* Forget ends all waits, and says so. */
TEST_WORKERS(forget)
{
	run_net(forget_main, NULL);
}

struct hustle {
	int fd;
	ATOMIC(int) stop;
};

static int hustles(void *arg)
{
	struct hustle *h = arg;
	int rc;

	while (!load_acquire(&h->stop)) {
		rc = weft_io_wait_until(h->fd, R, weft_in(200 * WEFT_US));
		T_OK(rc == R || rc == WEFT_ECLOSED || rc == WEFT_ETIMEDOUT);
		weft_task_yield();
	}
	return 0;
}

static int hustle_main(void *arg)
{
	struct hustle h = {.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	long n = tap_iters(3000);
	weft_task *t[4];

	(void)arg;
	for (int i = 0; i < 4; i++)
		t[i] = start(hustles, &h);
	for (long i = 0; i < n; i++) {
		int rc = weft_io_forget(h.fd);

		T_OK(rc == 0 || rc == WEFT_ENOENT);
		if (i % 3 == 0)
			put(h.fd);
		else if (i % 3 == 1)
			(void)!read(h.fd, &(uint64_t){0}, 8);
		let_run();
	}
	store_release(&h.stop, 1);
	for (int i = 0; i < 4; i++)
		T_EQ(finish(t[i]), 0);
	drop(h.fd);
	return 0;
}

/* Forgotten while others come and go. */
TEST_WORKERS(forget_meanwhile)
{
	run_net(hustle_main, NULL);
}

/* --- what every blocking call is asked --- */

static int gated(void *arg)
{
	struct io *w = arg;

	until(load_acquire(&w->gate)); /* yielding is no cancellation point */
	return weft_io_wait_until(w->fd, w->events, w->deadline ? w->deadline : WEFT_FOREVER);
}

static int late_main(void *arg)
{
	const int64_t past[] = {1, -1, INT64_MIN, weft_now()};
	int p[2];

	(void)arg;
	make_pipe(p);
	for (int i = 0; i < 20; i++) {
		int64_t at = weft_in((i % 3) * WEFT_MS);

		T_EQ(weft_io_wait_until(p[0], R, at), WEFT_ETIMEDOUT);
		T_GE(weft_now(), at);
		T_EQ(weft_io_wait_until(p[0], R, WEFT_NOW), WEFT_EAGAIN);
	}
	for (int full = 0; full < 2; full++) {
		for (size_t i = 0; i < ARRAY_LEN(past); i++)
			T_EQ(weft_io_wait_until(p[0], R, past[i]), WEFT_ETIMEDOUT);
		put(p[1]);
	}
	T_EQ(weft_io_wait(p[0], R), R);
	drop_both(p);
	return 0;
}

/* It ends at its deadline, not before; one that has passed is looked at first. */
TEST_WORKERS(late)
{
	run_net(late_main, NULL);
}

static int cancelled_main(void *arg)
{
	int p[2];

	(void)arg;
	make_pipe(p);
	for (int how = 0; how < 4; how++) { /* before or during; the task or its context */
		weft_ctx *c = weft_ctx_make(NULL);
		struct io w = {.fd = p[0], .events = R};
		weft_task *t;

		T_EQ(weft_go_opts(&t, gated, &w, &(weft_task_opts){.ctx = c}), 0);
		if (how & 1) {
			put(p[1]); /* ready: it must not say so */
		} else {
			store_release(&w.gate, 1);
			until_reason(t, "io");
		}
		T_EQ(how & 2 ? weft_ctx_cancel(c, WEFT_REASON_CANCELED) : weft_task_cancel(t), 0);
		store_release(&w.gate, 1);
		T_EQ(finish(t), WEFT_ECANCELED);
		weft_ctx_free(c);
		empty(p[0]);
	}
	for (int past = 0; past < 2; past++) {
		int64_t at = past ? weft_now() : weft_in(2 * WEFT_MS);
		weft_ctx *c = weft_ctx_with_deadline(NULL, at);
		struct io w = {.fd = p[0], .events = R, .gate = 1};
		weft_task *t;

		if (past)
			put(p[1]);
		T_EQ(weft_go_opts(&t, gated, &w, &(weft_task_opts){.ctx = c}), 0);
		T_EQ(finish(t), WEFT_ETIMEDOUT);
		T_GE(weft_now(), at);
		weft_ctx_free(c);
	}
	drop_both(p);
	return 0;
}

/* Cancelled, or under a context past its deadline, before and during. */
TEST_WORKERS(cancelled)
{
	run_net(cancelled_main, NULL);
}

static void *waits_outside(void *arg)
{
	struct io *w = arg;

	w->rc = weft_io_wait_until(w->fd, w->events, w->deadline);
	store_release(&w->done, 1);
	return NULL;
}

static int outside_main(void *arg)
{
	const int64_t ins[] = {WEFT_FOREVER, WEFT_NOW, 5 * WEFT_MS, -WEFT_SEC};
	int p[2];

	(void)arg;
	make_pipe(p);
	for (int i = 0; i < 8; i++) {
		int64_t in = ins[i / 2];
		struct io w = {.fd = p[0], .events = R, .deadline = in == WEFT_FOREVER || in == WEFT_NOW ? in : weft_now() + in};
		bool ready = i % 2;
		pthread_t th;

		if (ready)
			put(p[1]);
		T_EQ(pthread_create(&th, NULL, waits_outside, &w), 0);
		if (!ready && in == WEFT_FOREVER) {
			weft_task_sleep(WEFT_MS); /* likely waiting by now; either order is legal */
			put(p[1]);
		}
		until(load_acquire(&w.done));
		pthread_join(th, NULL);
		if (in == WEFT_FOREVER || (ready && in == WEFT_NOW))
			T_EQ(w.rc, R);
		else if (in == WEFT_NOW)
			T_EQ(w.rc, WEFT_EAGAIN);
		else if (!ready || in < 0)
			T_EQ(w.rc, WEFT_ETIMEDOUT);
		else
			T_OK(w.rc == R || w.rc == WEFT_ETIMEDOUT);
		empty(p[0]);
	}
	drop_both(p);
	return 0;
}

/* Threads that weft did not make wait like tasks. */
TEST_WORKERS(foreign_threads)
{
	run_net(outside_main, NULL);
}

static int again_main(void *arg)
{
	int *p = arg;
	struct io w;
	weft_task *t;

	T_EQ(weft_io_wait_until(p[0], R, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	t = start_wait(&w, p[0], R);
	put(p[1]);
	T_EQ(finish(t), R);
	take(p[0]);
	return 0;
}

/* Without a runtime a look is a look, and to wait is refused; what is kept for a descriptor serves the next runtime. */
TEST_WORKERS(runtimes_come_and_go)
{
	size_t records = weft__fd_count();
	int p[2];

	make_pipe(p);
	T_EQ(weft_io_wait(p[0], R), WEFT_ESRCH);
	for (int i = 0; i < 3; i++) {
		T_EQ(weft_io_wait_until(p[0], R, WEFT_NOW), WEFT_EAGAIN);
		T_EQ(weft_io_wait(p[1], W), W);
		T_EQ(weft_run(again_main, p, &(weft_opts){.workers = tap_workers()}), 0);
		T_EQ(weft_io_wait(p[0], R), WEFT_ESRCH);
		put(p[1]);
		T_EQ(weft_io_wait(p[0], R), R);
		take(p[0]);
		if (i == 1)
			T_EQ(weft_io_forget(p[0]), 0);
	}
	drop_both(p);
	T_EQ(weft__fd_count(), records);
	nothing_left();
}

static int leaves_main(void *arg)
{
	struct io *w = arg;

	for (int i = 0; i < 3; i++) {
		weft_task *t = start(waits, &w[i]);

		until_reason(t, "io");
		weft_task_detach(t);
	}
	return 0;
}

/* Tasks that wait when the runtime goes down leave nothing once the descriptor is forgotten. */
TEST_WORKERS(left_in_the_middle)
{
	size_t records = weft__fd_count();
	struct io w[3];
	int p[2];

	ends_with_main();
	make_pipe(p);
	for (int i = 0; i < 3; i++)
		w[i] = (struct io){.fd = p[0], .events = R};
	T_EQ(weft_run(leaves_main, w, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(weft_run(again_main, p, &(weft_opts){.workers = tap_workers()}), 0);
	drop_both(p);
	T_EQ(weft__fd_count(), records);
	nothing_left();
}

static int forgets_main(void *arg)
{
	struct io *w = arg;

	for (int i = 0; i < 3; i++) {
		weft_task *t = start(waits, &w[i]);

		until_reason(t, "io");
		weft_task_detach(t);
	}
	return weft_io_forget(w->fd); /* and down it goes, before they have learned of it */
}

/* Nor do those that were just told to give up. */
TEST_WORKERS(left_when_forgotten)
{
	size_t records = weft__fd_count();
	struct io w[3];
	int p[2];

	make_pipe(p);
	for (int i = 0; i < 3; i++)
		w[i] = (struct io){.fd = p[0], .events = R};
	T_EQ(weft_run(forgets_main, w, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(weft__fd_count(), records);
	T_EQ(weft_run(again_main, p, &(weft_opts){.workers = tap_workers()}), 0);
	drop_both(p);
	T_EQ(weft__fd_count(), records);
	nothing_left();
}

struct half {
	int s[2];
	bool write; /* woken by room to write, instead of something to read */
	struct io w;
};

static int half_main(void *arg)
{
	struct half *h = arg;
	weft_task *t;

	fill_up(h->s[0]);
	t = start_wait(&h->w, h->s[0], RW);
	T_EQ(weft_task_prio(NULL, WEFT_PRIO_NORMAL), 0);
	T_EQ(weft_task_prio(t, WEFT_PRIO_NORMAL), 0); /* neither before the other */
	if (h->write)
		empty(h->s[1]);
	else
		put(h->s[1]);
	until(weft_task_stateof(t) != WEFT_TASK_PARKED);
	if (tap_workers() == 1 && !weft__rt->lifo)
		T_EQ(weft_task_stateof(t), WEFT_TASK_RUNNABLE); /* and it will not run */
	weft_task_detach(t);
	return 0;
}

static int other_half_main(void *arg)
{
	struct half *h = arg;
	weft_task *t;

	empty(h->s[0]);
	fill_up(h->s[0]);
	t = start_wait(&h->w, h->s[0], RW);
	put(h->s[1]);
	T_EQ(finish(t), R);
	take(h->s[0]);
	t = start_wait(&h->w, h->s[0], RW);
	empty(h->s[1]);
	T_EQ(finish(t), W);
	drop_both(h->s);
	return 0;
}

/* Nor does one that was woken by one side while it waited for both, and that never went on: it waits for neither. */
TEST_WORKERS(left_when_half_woken)
{
	size_t records = weft__fd_count();

	for (int i = 0; i < 6; i++) {
		struct half h = {.write = i % 2};

		make_sockets(h.s);
		T_EQ(weft_run(half_main, &h, &(weft_opts){.workers = tap_workers()}), 0);
		weft_trim(); /* the stack that it waited on */
		T_EQ(weft_run(other_half_main, &h, &(weft_opts){.workers = tap_workers()}), 0);
		T_EQ(weft__fd_count(), records);
		nothing_left();
	}
}
