/* SPDX-License-Identifier: MIT
 *
 * uvpoll.c - waiting for a descriptor with libuv's uv_poll (P52): a byte there and back over a pair of sockets, between two handles of one loop.
 *
 *     PROGRAM [-workers 1] [-runs N] [-quick] [-only TEXT] P52
 *
 * As iowait.c does: who waits starts his handle, and has it stopped when it has fired; before he waits he tries.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define VARIANT "a descriptor of the system's, round trip"
#define RUNS_MAX 100

static struct side {
	uv_poll_t poll;
	int fd;
	uint64_t left; /* bytes to be taken */
	int answers;
} sides[2];

static void must(int code, const char *what)
{
	if (code < 0) {
		fprintf(stderr, "uvpoll: %s: %s\n", what, uv_strerror(code));
		exit(1);
	}
}

static void put(struct side *s)
{
	if (write(s->fd, "x", 1) != 1)
		must(-errno, "write");
}

static void on_ready(uv_poll_t *h, int status, int events);

/* Takes what is there; waits for the next. */
static void go_on(struct side *s)
{
	char x;

	while (s->left > 0 && read(s->fd, &x, 1) == 1) {
		s->left--;
		if (s->answers || s->left > 0)
			put(s);
	}
	if (s->left > 0)
		must(uv_poll_start(&s->poll, UV_READABLE, on_ready), "uv_poll_start");
}

static void on_ready(uv_poll_t *h, int status, int events)
{
	(void)events;
	must(status, "poll");
	uv_poll_stop(h);
	go_on(h->data);
}

static double work(uv_loop_t *loop, uint64_t n)
{
	uint64_t start = uv_hrtime();

	sides[0].left = sides[1].left = n;
	put(&sides[0]);
	go_on(&sides[0]);
	go_on(&sides[1]);
	uv_run(loop, UV_RUN_DEFAULT);
	if (sides[0].left || sides[1].left)
		must(UV_EOF, "round trips");
	return (double)(uv_hrtime() - start);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	int fds[2], runs = 5, quick = 0, workers = 1;
	const char *only = "";
	double s[RUNS_MAX], target, took;
	uint64_t n = 100;
	uv_loop_t loop;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-quick") == 0)
			quick = 1;
		else if (i + 1 < argc && strcmp(argv[i], "-workers") == 0)
			workers = atoi(argv[++i]);
		else if (i + 1 < argc && strcmp(argv[i], "-runs") == 0)
			runs = atoi(argv[++i]);
		else if (i + 1 < argc && strcmp(argv[i], "-only") == 0)
			only = argv[++i];
	}
	if (workers != 1 || !strstr(VARIANT, only)) /* a loop is one thread's */
		return 0;
	runs = runs < 1 ? 1 : runs > RUNS_MAX ? RUNS_MAX : runs;
	must(uv_loop_init(&loop), "uv_loop_init");
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) ? -errno : 0, "socketpair");
	for (int i = 0; i < 2; i++) {
		sides[i].fd = fds[i];
		sides[i].answers = i;
		must(uv_poll_init(&loop, &sides[i].poll, fds[i]), "uv_poll_init");
		sides[i].poll.data = &sides[i];
	}
	target = quick ? 60e6 : 250e6;
	while ((took = work(&loop, n)) < target / 4)
		n *= 4;
	n = (uint64_t)((double)n * target / took) + 1;
	for (int i = 0; i < runs; i++)
		s[i] = work(&loop, n) / (double)n;
	qsort(s, (size_t)runs, sizeof(*s), by_size);
	printf("{\"name\": \"P52\", \"variant\": \"" VARIANT
	       "\", \"workers\": 1, \"unit\": \"ns\", \"median\": %.4g, \"min\": %.4g, \"max\": %.4g, "
	       "\"runs\": %d, \"peer\": \"uv\", \"version\": \"%s\"}\n",
	       runs % 2 ? s[runs / 2] : (s[runs / 2 - 1] + s[runs / 2]) / 2, s[0], s[runs - 1], runs, uv_version_string());
	return 0;
}
