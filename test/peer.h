/* SPDX-License-Identifier: MIT
 *
 * peer.h - for tests with real peers: starts a program of Debian's, listens to what it says, ends it.
 *
 *   peer_need("curl")             its path, or the test is skipped and says why
 *   peer_start(&p, flags, path, args..., NULL)
 *   peer_until_says(&p, "text")   reads its output up to the line that has the text, and returns that line; ends the test if it does not come
 *   peer_until_listens(&p, port)  until something on this machine listens on the TCP port; peer_until_bound for UDP
 *   peer_read(&p, buf, n)         its output, to the end
 *   peer_signal(&p, SIGTERM), peer_end(&p)    its exit status, or minus the signal that ended it
 *   peer_dir(dir), peer_dir_end(dir)          a directory of the test's own
 *
 * From a task these park it, so a server in the same process may serve the peer, also with one worker; from any other thread they block.
 * A test that is killed takes its peers with it (setpriv --pdeathsig), if the thread that started them lasts as long as they: a worker, or the main thread.
 */
#ifndef WEFT_TEST_PEER_H
#define WEFT_TEST_PEER_H

#include "rt.h"

#include "core/guard.h"
#include "weft/io.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	PEER_IN = 1,
	PEER_OUT = 2,
	PEER_ERR = 4
}; /* flags: we write its input (else: nothing there); we read its output; its errors are in its output */

struct peer {
	char name[64];
	pid_t pid;
	int in, out; /* our ends of its pipes, non-blocking; -1: none */
	int life;    /* at its end once it has ended */
	size_t have; /* bytes that it has said, and peer_until_says has read but not returned */
	char said[16384];
	char line[2048]; /* peer_until_says's last */
};

extern char **environ;

/* --- finding one --- */

static inline const char *peer_have(const char *name)
{
	static const char *const dirs[] = {"/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin"};
	static char path[64];

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		snprintf(path, sizeof path, "%s/%s", dirs[i], name);
		if (access(path, X_OK) == 0)
			return path;
	}
	return NULL;
}

/* The path is overwritten by the next call. */
static inline const char *peer_need(const char *name)
{
	const char *path = peer_have(name);

	if (weft__emulated())
		tap_skip("programs of the machine itself are no peers of an emulated one");
	if (!path)
		tap_skip("%s is not installed", name);
	return path;
}

/* --- starting it --- */

static inline void peer__wait(int fd, int events)
{
	struct pollfd p = {.fd = fd, .events = (short)(events & WEFT_IO_R ? POLLIN : POLLOUT)};

	if (weft_task_self())
		T_GT(weft_io_wait(fd, events), 0);
	else
		poll(&p, 1, -1);
}

static inline void peer__close(int *fd)
{
	if (*fd < 0)
		return;
	(void)weft_io_forget(*fd);
	close(*fd);
	*fd = -1;
}

/* A pipe whose end `ours` (0: reading) does not block. */
static inline void peer__pipe(int fd[2], int ours)
{
	T_EQ(pipe2(fd, O_CLOEXEC), 0);
	T_EQ(fcntl(fd[ours], F_SETFL, O_NONBLOCK), 0);
}

static inline void peer_startv(struct peer *p, int flags, char *const *argv)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1}, life[2];
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t set;

	memset(p, 0, offsetof(struct peer, said));
	snprintf(p->name, sizeof p->name, "%s", strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0]);
	peer__pipe(life, 0);
	if (flags & PEER_IN) {
		signal(SIGPIPE, SIG_IGN); /* it may read no more */
		peer__pipe(in, 1);
	}
	if (flags & (PEER_OUT | PEER_ERR))
		peer__pipe(out, 0);

	T_EQ(posix_spawn_file_actions_init(&fa), 0);
	if (flags & PEER_IN)
		T_EQ(posix_spawn_file_actions_adddup2(&fa, in[0], 0), 0);
	else
		T_EQ(posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0), 0);
	if (flags & (PEER_OUT | PEER_ERR))
		T_EQ(posix_spawn_file_actions_adddup2(&fa, out[1], 1), 0);
	if (flags & PEER_ERR)
		T_EQ(posix_spawn_file_actions_adddup2(&fa, out[1], 2), 0);
	T_EQ(posix_spawn_file_actions_adddup2(&fa, life[1], 3), 0); /* last: 3 may be one of the others */

	T_EQ(posix_spawnattr_init(&at), 0);
	sigemptyset(&set);
	T_EQ(posix_spawnattr_setsigmask(&at, &set), 0);
	sigfillset(&set);
	T_EQ(posix_spawnattr_setsigdefault(&at, &set), 0);
	T_EQ(posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF), 0);

	T_EQ(posix_spawn(&p->pid, argv[0], &fa, &at, argv, environ), 0);
	posix_spawnattr_destroy(&at);
	posix_spawn_file_actions_destroy(&fa);
	close(life[1]);
	if (in[0] >= 0)
		close(in[0]);
	if (out[1] >= 0)
		close(out[1]);
	p->in = in[1];
	p->out = out[0];
	p->life = life[0];
}

/* path, then its arguments, then NULL. */
static __attribute__((sentinel, unused)) void peer_start(struct peer *p, int flags, const char *path, ...)
{
	static const char setpriv[] = "/usr/bin/setpriv";
	char *argv[40] = {(char *)setpriv, (char *)"--pdeathsig", (char *)"KILL", (char *)"--", (char *)path};
	char copy[64]; /* peer_need's is overwritten */
	int n = 5;
	va_list args;

	snprintf(copy, sizeof copy, "%s", path);
	argv[4] = copy;
	va_start(args, path);
	while ((argv[n] = va_arg(args, char *)) != NULL)
		T_LT(++n, (int)ARRAY_LEN(argv) - 1);
	va_end(args);
	peer_startv(p, flags, access(setpriv, X_OK) == 0 ? argv : argv + 4);
	snprintf(p->name, sizeof p->name, "%s", strrchr(copy, '/') ? strrchr(copy, '/') + 1 : copy);
}

/* --- talking to it --- */

/* What looks at errno is not inlined: compilers keep its address, and a task that has parked in between may be on another thread. */
static NOINLINE __attribute__((unused)) ssize_t peer__read(int fd, void *buf, size_t n)
{
	ssize_t got = read(fd, buf, n);

	return got < 0 ? -errno : got;
}

static NOINLINE __attribute__((unused)) ssize_t peer__write(int fd, const void *buf, size_t n)
{
	ssize_t put = write(fd, buf, n);

	return put < 0 ? -errno : put;
}

/* Its output, up to n bytes; less than n: that was all. */
static inline size_t peer_read(struct peer *p, void *buf, size_t n)
{
	size_t all = p->have < n ? p->have : n;

	memcpy(buf, p->said, all);
	p->have -= all;
	memmove(p->said, p->said + all, p->have);
	while (all < n) {
		ssize_t got = peer__read(p->out, (char *)buf + all, n - all);

		if (got == 0)
			break;
		if (got > 0) {
			all += (size_t)got;
			continue;
		}
		T_EQ(got, -EAGAIN);
		peer__wait(p->out, WEFT_IO_R);
	}
	return all;
}

/* The next line of its output that has the text, without its end; valid until the next call. */
static inline const char *peer_until_says(struct peer *p, const char *text)
{
	for (;;) {
		char *end = memchr(p->said, '\n', p->have);
		ssize_t got;

		if (end) {
			size_t n = (size_t)(end - p->said) + 1;

			snprintf(p->line, sizeof p->line, "%.*s", (int)n - 1, p->said);
			p->have -= n;
			memmove(p->said, end + 1, p->have);
			tap_note("%s: %s", p->name, p->line);
			if (strstr(p->line, text))
				return p->line;
			continue;
		}
		T_LT(p->have, sizeof p->said); /* a line longer than that */
		got = peer__read(p->out, p->said + p->have, sizeof p->said - p->have);
		if (got == -EAGAIN)
			peer__wait(p->out, WEFT_IO_R);
		else if (got <= 0)
			T_FAIL("%s has not said \"%s\" before its end", p->name, text);
		else
			p->have += (size_t)got;
	}
}

/* Writes all of it. Returns false if it reads no more. */
static inline bool peer_write(struct peer *p, const void *buf, size_t n)
{
	for (size_t all = 0; all < n;) {
		ssize_t put = peer__write(p->in, (const char *)buf + all, n - all);

		if (put == -EAGAIN)
			peer__wait(p->in, WEFT_IO_W);
		else if (put == -EPIPE)
			return false;
		else
			T_GT(put, 0);
		all += put > 0 ? (size_t)put : 0;
	}
	return true;
}

/* The end of its input. */
static inline void peer_shut(struct peer *p)
{
	peer__close(&p->in);
}

/* --- ports --- */

/* A port that nobody has on this address; the program is to take it. Use an address of the test's own (own_host), where no other takes it meanwhile. */
static inline int peer_port(const char *host, int type)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	T_GE(fd, 0);
	T_EQ(inet_pton(AF_INET, host, &a.sin_addr), 1);
	T_EQ(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	T_EQ(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	close(fd);
	return ntohs(a.sin_port);
}

/* Whether a line of /proc/net/NAME has the local port, in that state (0: any). */
static inline bool peer__has_port(const char *name, int port, unsigned state)
{
	char path[32], text[512];
	bool has = false;
	FILE *f;

	snprintf(path, sizeof path, "/proc/net/%s", name);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!has && fgets(text, sizeof text, f)) {
		unsigned local, st;

		has = sscanf(text, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &local, &st) == 2 && (int)local == port &&
		      (!state || st == state);
	}
	fclose(f);
	return has;
}

static inline bool peer_lives(struct peer *p)
{
	struct pollfd life = {.fd = p->life, .events = POLLIN};

	return poll(&life, 1, 0) == 0;
}

static inline void peer__until_port(struct peer *p, int port, const char *v4, const char *v6, unsigned state)
{
	while (!peer__has_port(v4, port, state) && !peer__has_port(v6, port, state)) {
		if (!peer_lives(p))
			T_FAIL("%s ended before it had port %d", p->name, port);
		let_run();
	}
}

static inline void peer_until_listens(struct peer *p, int port)
{
	peer__until_port(p, port, "tcp", "tcp6", 0x0a); /* TCP_LISTEN */
}

static inline void peer_until_bound(struct peer *p, int port)
{
	peer__until_port(p, port, "udp", "udp6", 0);
}

/* --- its end --- */

static inline void peer_signal(struct peer *p, int sig)
{
	T_EQ(kill(p->pid, sig), 0);
}

/* Waits for its end. */
static inline int peer_end(struct peer *p)
{
	int status;

	peer__close(&p->in);
	while (peer__read(p->life, &(char){0}, 1) == -EAGAIN)
		peer__wait(p->life, WEFT_IO_R);
	while (waitpid(p->pid, &status, 0) < 0) /* it is ending, or has closed what it does not know and is to be waited for like this */
		;
	peer__close(&p->life);
	peer__close(&p->out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* --- files --- */

/* dir: room for 64 bytes. Unix sockets need short names. */
static inline void peer_dir(char *dir)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, 64, "%s/weft.XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	T_OK(mkdtemp(dir));
}

static inline int peer__remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static inline void peer_dir_end(const char *dir)
{
	T_EQ(nftw(dir, peer__remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
