/* SPDX-License-Identifier: MIT
 *
 * iowait.c - P52: what does waiting for a descriptor cost that weft did not open, next to one that it did?
 *
 * A round trip: a byte to the other task and one back, over a pair of sockets; each task waits for its byte. Both sides' system calls are in it.
 */
#include "bench.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- the system's descriptors, waited for with weft_io_wait --- */

static void put(int fd)
{
	if (write(fd, "x", 1) != 1)
		MUST(WEFT_EPIPE);
}

/* Tries first, as one does: then it waits. */
static void take(int fd)
{
	char x;

	while (read(fd, &x, 1) != 1)
		MUST(weft_io_wait(fd, WEFT_IO_R));
}

struct answerer {
	uint64_t n;
	int fd;
	weft_unix *c;
};

static int answers(void *arg)
{
	struct answerer *a = arg;

	for (uint64_t i = 0; i < a->n; i++) {
		take(a->fd);
		put(a->fd);
	}
	return 0;
}

static int64_t foreign(uint64_t n, void *arg)
{
	int *fds = arg;
	struct answerer a = {.n = n, .fd = fds[1]};
	int64_t start = bench_now();
	weft_task *t;

	MUST(weft_go_opts(&t, answers, &a, NULL));
	while (n--) {
		put(fds[0]);
		take(fds[0]);
	}
	MUST(weft_task_join(t, NULL));
	return bench_now() - start;
}

/* --- the same on weft's own --- */

static int own_answers(void *arg)
{
	struct answerer *a = arg;
	char x;

	for (uint64_t i = 0; i < a->n; i++) {
		MUST((int)weft_unix_read(a->c, &x, 1));
		MUST((int)weft_unix_write(a->c, &x, 1, NULL));
	}
	return 0;
}

static int64_t own(uint64_t n, void *arg)
{
	weft_unix **c = arg;
	struct answerer a = {.n = n, .c = c[1]};
	int64_t start = bench_now();
	weft_task *t;
	char x = 'x';

	MUST(weft_go_opts(&t, own_answers, &a, NULL));
	while (n--) {
		MUST((int)weft_unix_write(c[0], &x, 1, NULL));
		MUST((int)weft_unix_read(c[0], &x, 1));
	}
	MUST(weft_task_join(t, NULL));
	return bench_now() - start;
}

static int body(void *arg)
{
	const struct bench *b = arg;
	weft_unix *c[2];
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
		MUST(-errno);
	bench_measure(b, "P52", "a descriptor of the system's, round trip", foreign, fds);
	for (int i = 0; i < 2; i++) {
		weft_io_forget(fds[i]);
		close(fds[i]);
	}
	MUST(weft_unix_pair(&c[0], &c[1]));
	bench_measure(b, "P52", "an own socket, round trip", own, c);
	for (int i = 0; i < 2; i++)
		weft_unix_close(c[i]);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
