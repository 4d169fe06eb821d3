/* SPDX-License-Identifier: MIT
 *
 * pipe.c - descriptors that were open before, and terminals: what becomes of those who share them, modes and how they are put back. Streams as such: streams_io.c.
 */
#include "net.h"

#include "weft/pipe.h"
#include <sys/wait.h>
#include <termios.h>

static bool blocks(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	T_GE(flags, 0);
	return !(flags & O_NONBLOCK);
}

/* --- taking over --- */

static int taken_main(void *arg)
{
	int fds[2], others[2];
	weft_pipe *r, *w;
	char x = 0;

	(void)arg;
	T_EQ(pipe2(fds, O_CLOEXEC), 0);
	for (int i = 0; i < 2; i++)
		T_GE(others[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3), 0); /* as a parent has them */
	T_EQ(weft_pipe_open(&r, fds[0]), 0);
	T_EQ(weft_pipe_open(&w, fds[1]), 0);
	for (int i = 0; i < 2; i++) {
		T_OK(blocks(others[i]));
		T_OK(!weft_pipe_shared(i ? w : r));
		T_OK(!blocks(weft_pipe_fd(i ? w : r)));
		T_EQ(fcntl(weft_pipe_fd(i ? w : r), F_GETFD), FD_CLOEXEC);
		if (fds[i] != weft_pipe_fd(r) && fds[i] != weft_pipe_fd(w))
			T_OK(!is_open(fds[i]));
	}
	T_EQ(weft_pipe_read_until(r, &x, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_pipe_write(w, "t", 1, NULL), 1);
	T_EQ(weft_pipe_read(r, &x, 1), 1);
	T_EQ(x, 't');
	T_EQ(weft_pipe_read(w, &x, 1), WEFT_EBADF);
	T_EQ(weft_pipe_write(r, &x, 1, NULL), WEFT_EBADF);
	T_EQ(weft_pipe_close(w), 0);
	close(others[1]);
	T_EQ(weft_pipe_read(r, &x, 1), 0);
	T_EQ(weft_pipe_close(r), 0);
	close(others[0]);
	return 0;
}

/* Whoever shares a pipe does not see it made non-blocking. */
TEST_WORKERS(others_keep_their_ways)
{
	run_net(taken_main, NULL);
}

static int shared_main(void *arg)
{
	weft_pipe *a, *b;
	int sv[2], other;
	char x = 0;

	(void)arg;
	/* a socket cannot be opened again */
	T_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	other = fcntl(sv[0], F_DUPFD_CLOEXEC, 3);
	T_EQ(weft_pipe_open(&a, sv[0]), 0);
	T_EQ(weft_pipe_fd(a), sv[0]);
	T_OK(weft_pipe_shared(a));
	T_OK(!blocks(other));
	T_EQ(weft_pipe_open(&b, sv[1]), 0);
	T_EQ(weft_pipe_write(a, "s", 1, NULL), 1);
	T_EQ(weft_pipe_read(b, &x, 1), 1);
	T_EQ(x, 's');
	T_EQ(weft_pipe_close(a), 0);
	close(other);
	T_EQ(weft_pipe_read(b, &x, 1), 0);
	T_EQ(weft_pipe_write(b, "s", 1, NULL), WEFT_EPIPE);
	T_EQ(weft_pipe_close(b), 0);

	/* what does not block already is taken as it is */
	T_EQ(pipe2(sv, O_CLOEXEC | O_NONBLOCK), 0);
	T_EQ(weft_pipe_open(&a, sv[0]), 0);
	T_EQ(weft_pipe_open(&b, sv[1]), 0);
	T_EQ(weft_pipe_fd(a), sv[0]);
	T_EQ(weft_pipe_fd(b), sv[1]);
	T_OK(!weft_pipe_shared(a));
	T_EQ(weft_pipe_close(a), 0);
	T_EQ(weft_pipe_close(b), 0);
	T_OK(!is_open(sv[0]));
	return 0;
}

/* Where it cannot be helped, it is said. */
TEST_WORKERS(shared)
{
	run_net(shared_main, NULL);
}

static int refused_main(void *arg)
{
	const char *const paths[] = {"/dev/null", "/proc/self/exe", "/"};
	weft_pipe *p = (void *)1;
	weft_tty *t = (void *)1;
	int fd;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		T_GE(fd, 0);
		T_EQ(weft_pipe_open(&p, fd), WEFT_EPERM);
		T_EQ(weft_tty_open(&t, fd), WEFT_ENOTTY);
		T_OK(!weft_isatty(fd));
		T_OK(!p && !t);
		T_OK(is_open(fd));
		T_EQ(close(fd), 0);
		T_EQ(weft_pipe_open(&p, fd), WEFT_EBADF);
		T_EQ(weft_tty_open(&t, fd), WEFT_EBADF);
	}
	T_EQ(weft_pipe_open(&p, -1), WEFT_EBADF);
	T_EQ(weft_tty_open(&t, -1), WEFT_EBADF);
	T_OK(!weft_isatty(-1));
	T_EQ(weft_pipe_close(NULL), 0);
	T_EQ(weft_tty_close(NULL), 0);
	weft_pipe_free(NULL);
	weft_tty_free(NULL);
	return 0;
}

/* Files that are always ready, and what is no file. */
TEST_WORKERS(refused)
{
	run_net(refused_main, NULL);
}

static int standard_main(void *arg)
{
	int *fds = arg;
	weft_pipe *in;
	char x = 0;

	T_EQ(weft_pipe_open(&in, STDIN_FILENO), 0);
	T_GT(weft_pipe_fd(in), STDERR_FILENO);
	T_EQ(write(fds[1], "i", 1), 1);
	T_EQ(weft_pipe_read(in, &x, 1), 1);
	T_EQ(x, 'i');
	T_EQ(weft_pipe_close(in), 0);
	T_OK(is_open(STDIN_FILENO));
	T_OK(blocks(STDIN_FILENO));
	return 0;
}

/* Standard input keeps its number, also when it is closed. */
TEST(standard_input)
{
	int fds[2];

	T_EQ(pipe2(fds, O_CLOEXEC), 0);
	T_EQ(dup2(fds[0], STDIN_FILENO), STDIN_FILENO);
	run_net(standard_main, fds);
}

static int packets_main(void *arg)
{
	weft_pipe *r;
	char buf[64];
	int fds[2];

	(void)arg;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		tap_skip("no packets in pipes here");
	T_EQ(weft_pipe_open(&r, fds[0]), 0);
	T_EQ(weft_pipe_read_until(r, buf, 1, WEFT_NOW), WEFT_EAGAIN);
	for (int i = 1; i <= 3; i++)
		T_EQ(write(fds[1], "packet", (size_t)i), i);
	for (int i = 1; i <= 3; i++)
		T_EQ(weft_pipe_read(r, buf, sizeof buf), i);
	T_EQ(weft_pipe_close(r), 0);
	close(fds[1]);
	return 0;
}

/* A read that does not fill its buffer has not taken all there is. */
TEST_WORKERS(packets)
{
	run_net(packets_main, NULL);
}

static int free_main(void *arg)
{
	weft_pipe *r, *w;
	int number;
	char x;

	(void)arg;
	T_EQ(weft_pipe_make(&r, &w), 0);
	T_EQ(weft_pipe_ref(w) == w, 1);
	weft_pipe_free(w);
	T_EQ(weft_pipe_write(w, "x", 1, NULL), 1);
	number = weft_pipe_fd(w);
	weft_pipe_free(w);
	T_OK(!is_open(number));
	T_EQ(weft_pipe_read(r, &x, 1), 1);
	T_EQ(weft_pipe_read(r, &x, 1), 0);
	weft_pipe_ref(r);
	T_EQ(weft_pipe_close(r), 0);
	T_EQ(weft_pipe_read(r, &x, 1), WEFT_ECLOSED);
	T_EQ(weft_pipe_set_deadline(r, 1, 1), WEFT_ECLOSED);
	T_EQ(weft_pipe_fd(r), WEFT_ECLOSED);
	weft_pipe_free(r);
	return 0;
}

TEST_WORKERS(references_are_given_up)
{
	run_net(free_main, NULL);
}

static int out_main(void *arg)
{
	weft_pipe *r = (void *)1, *w = (void *)1;
	struct rlimit was, less;
	int fds[2];

	(void)arg;
	until_all_workers_run();
	T_EQ(pipe2(fds, O_CLOEXEC), 0);
	T_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
	less = was;
	less.rlim_cur = 3;
	T_EQ(setrlimit(RLIMIT_NOFILE, &less), 0);
	T_EQ(weft_pipe_make(&r, &w), WEFT_EMFILE);
	T_OK(!r && !w);
	T_EQ(weft_pipe_open(&r, fds[0]), WEFT_EMFILE);
	T_OK(!r);
	T_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
	T_OK(is_open(fds[0]));
	T_OK(blocks(fds[0]));
	close(fds[0]);
	close(fds[1]);
	return 0;
}

TEST_WORKERS(out_of_descriptors)
{
	if (weft__emulated())
		tap_skip("limits are the emulator's own");
	run_net(out_main, NULL);
}

/* --- terminals --- */

/* A pseudo-terminal: its master, and the side of programs. */
static void pty(int *master, int *slave)
{
	char name[64];

	*master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*master < 0 || grantpt(*master) || unlockpt(*master) || ptsname_r(*master, name, sizeof name))
		tap_skip("no pseudo-terminals here");
	*slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*slave < 0)
		tap_skip("no pseudo-terminals here");
}

static bool echoes(int fd)
{
	struct termios t;

	T_EQ(tcgetattr(fd, &t), 0);
	return t.c_lflag & ECHO;
}

static void type(weft_tty *master, const char *text)
{
	T_EQ(weft_tty_write(master, text, strlen(text), NULL), (ssize_t)strlen(text));
}

static void reads(weft_tty *t, const char *text)
{
	char buf[64];
	ssize_t n = weft_tty_read(t, buf, sizeof buf);

	T_EQ(n, (ssize_t)strlen(text));
	T_EQ(memcmp(buf, text, (size_t)n), 0);
}

static void reads_exactly(weft_tty *t, const char *text)
{
	for (size_t i = 0; text[i]; i++) {
		char x = 0;

		T_EQ(weft_tty_read(t, &x, 1), 1);
		T_EQ(x, text[i]);
	}
}

static int lines_main(void *arg)
{
	weft_tty *t, *m;
	int fds[2], other;
	char x;

	(void)arg;
	pty(&fds[0], &fds[1]);
	T_OK(weft_isatty(fds[1]));
	other = fcntl(fds[1], F_DUPFD_CLOEXEC, 3);
	T_EQ(weft_tty_open(&t, fds[1]), 0);
	T_EQ(weft_tty_open(&m, fds[0]), 0);
	T_OK(!weft_tty_shared(t));
	T_OK(blocks(other));
	T_OK(weft_tty_shared(m)); /* a master is one of its kind */
	T_EQ(weft_tty_fd(m), fds[0]);

	/* a line a read, two that came at once among them; Ctrl-D */
	T_EQ(weft_tty_read_until(t, &x, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_tty_write_until(m, "late\n", 5, NULL, weft_now() - 1), WEFT_ETIMEDOUT);
	type(m, "one\ntwo\n\4");
	reads(t, "one\n");
	reads(t, "two\n");
	T_EQ(weft_tty_read(t, &x, 1), 0);
	reads_exactly(m, "one\r\ntwo\r\n"); /* it is shown */

	/* keys, not shown */
	for (int raw = 0; raw < 2; raw++) {
		T_EQ(weft_tty_mode(t, raw ? WEFT_TTY_RAW : WEFT_TTY_CBREAK), 0);
		T_OK(!echoes(other));
		type(m, "k\r");
		reads_exactly(t, "k\r");
		T_EQ(weft_tty_read_until(m, &x, 1, WEFT_NOW), WEFT_EAGAIN);
		T_EQ(weft_tty_write(t, "\n", 1, NULL), 1);
		reads_exactly(m, raw ? "\n" : "\r\n");
	}
	T_EQ(weft_tty_mode(t, WEFT_TTY_NORMAL), 0);
	T_OK(echoes(other));
	T_EQ(weft_tty_mode(t, WEFT_TTY_NORMAL), 0);
	T_EQ(weft_tty_mode(t, (weft_tty_modes)3), WEFT_EINVAL);
	T_EQ(weft_tty_mode(t, (weft_tty_modes)-1), WEFT_EINVAL);

	/* both sides of a pseudo-terminal are one terminal */
	T_EQ(weft_tty_mode(m, WEFT_TTY_RAW), 0);
	T_OK(!echoes(other));
	T_EQ(weft_tty_mode(t, WEFT_TTY_NORMAL), 0);
	T_OK(echoes(other));

	/* all at once */
	T_EQ(weft_tty_mode(t, WEFT_TTY_RAW), 0);
	T_OK(!echoes(other));
	weft_tty_restore();
	T_OK(echoes(other));

	weft_tty_ref(t);
	T_EQ(weft_tty_close(t), 0);
	T_EQ(weft_tty_mode(t, WEFT_TTY_RAW), WEFT_ECLOSED);
	weft_tty_free(t);
	close(other);
	T_EQ(weft_tty_close(m), 0);
	return 0;
}

/* A terminal gives lines, or keys, as its mode says; nobody else's is changed for weft's sake. */
TEST_WORKERS(lines_and_keys)
{
	run_net(lines_main, NULL);
}

struct hangup {
	weft_tty *t;
	ssize_t rc;
};

static int waits_for_key(void *arg)
{
	struct hangup *h = arg;
	char x;

	h->rc = weft_tty_read(h->t, &x, 1);
	return 0;
}

static int size_main(void *arg)
{
	struct winsize w = {.ws_col = 132, .ws_row = 43};
	int fds[2], columns, rows;
	struct hangup h;
	weft_task *task;

	(void)arg;
	pty(&fds[0], &fds[1]);
	T_EQ(ioctl(fds[0], TIOCSWINSZ, &w), 0);
	T_EQ(weft_tty_open(&h.t, fds[1]), 0);
	T_EQ(weft_tty_size(h.t, &columns, &rows), 0);
	T_EQ(columns, 132);
	T_EQ(rows, 43);

	/* the window is closed */
	task = start(waits_for_key, &h);
	until_reason(task, "read");
	close(fds[0]);
	T_EQ(finish(task), 0);
	T_OK(h.rc == 0 || h.rc == -EIO);
	T_EQ(weft_tty_write(h.t, "x", 1, NULL), -EIO);
	T_EQ(weft_tty_size(h.t, &columns, &rows), -EIO);
	weft_tty_ref(h.t);
	T_EQ(weft_tty_close(h.t), 0);
	T_EQ(weft_tty_size(h.t, &columns, &rows), WEFT_ECLOSED);
	T_EQ(weft_tty_set_deadline(h.t, 1, 1), WEFT_ECLOSED);
	weft_tty_free(h.t);
	return 0;
}

TEST_WORKERS(size_and_hangup)
{
	run_net(size_main, NULL);
}

static int many_main(void *arg)
{
	enum { MANY = 17 };
	int fds[MANY][2], rc;
	weft_tty *t[MANY];

	(void)arg;
	for (int i = 0; i < MANY; i++) {
		pty(&fds[i][0], &fds[i][1]);
		if (i % 2) { /* by its master */
			int other = fds[i][0];

			fds[i][0] = fds[i][1];
			fds[i][1] = other;
		}
		T_EQ(weft_tty_open(&t[i], fds[i][1]), 0);
		rc = weft_tty_mode(t[i], WEFT_TTY_RAW);
		T_EQ(rc, i < 16 ? 0 : WEFT_ENOSPC);
		T_EQ(echoes(weft_tty_fd(t[i])), i == 16);
	}
	T_EQ(weft_tty_mode(t[3], WEFT_TTY_NORMAL), 0);
	T_EQ(weft_tty_mode(t[16], WEFT_TTY_RAW), 0);
	weft_tty_restore();
	for (int i = 0; i < MANY; i++) {
		T_OK(echoes(weft_tty_fd(t[i])));
		T_EQ(weft_tty_close(t[i]), 0);
		close(fds[i][0]);
	}
	return 0;
}

/* There is room for sixteen that are changed. */
TEST_WORKERS(many_terminals)
{
	run_net(many_main, NULL);
}

/* The end of the process puts a terminal back, even when what it was opened with is closed; the end of a child that was forked does not. */
TEST(put_back_at_exit)
{
	int fds[2], status;
	weft_tty *t;
	pid_t pid;

	if (BUILT_WITH_TSAN)
		tap_skip("a child that was forked and exits is not for TSan");
	pty(&fds[0], &fds[1]);
	pid = fork();
	T_GE(pid, 0);
	if (pid == 0) {
		if (weft_tty_open(&t, fds[1]) || weft_tty_mode(t, WEFT_TTY_RAW) || weft_tty_close(t))
			_exit(1);
		pid = fork();
		if (pid == 0) {
			weft_tty_restore();
			_exit(echoes(fds[0]) ? 2 : 0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			_exit(3);
		exit(0);
	}
	T_EQ(waitpid(pid, &status, 0), pid);
	T_EQ(status, 0);
	T_OK(echoes(fds[0]));
	close(fds[0]);
	close(fds[1]);
}
