/* SPDX-License-Identifier: MIT
 *
 * visit.c - the other side of P50: connections to a server on this machine that come and go. No weft in it.
 *
 *     bench_visit --port P --pid PID --mode accept|echo [--conns N] [--seconds S] [--warm S]
 *
 * One thread, bare epoll, N connections at a time; where one ends the next is opened.
 *   accept  the server accepts and closes; we read the end
 *   echo    64 bytes there and back, then we are gone
 * Each is closed with a reset, so that neither side keeps anything of it: else ports would run out within a second.
 *
 * Prints one line of JSON; ends with status 1 after any error, and when the server is silent for PATIENCE seconds.
 */
#include "proc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define PATIENCE 10
#define SIZE 64
#define CONNS_MAX 1000

static struct {
	int port, pid, conns;
	double seconds, warm;
	bool echo, accept;
} opt = {.conns = 50, .seconds = 2, .warm = 0.5};

struct visit {
	int fd;
	uint64_t seq; /* which one it is */
	size_t have;  /* of its reply */
};

static struct visit visits[CONNS_MAX];
static int epfd;
static uint64_t opened, done;

__attribute__((noreturn)) static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_visit: connection %llu: %s: %s\n", (unsigned long long)done, what, why);
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* What its request, and its reply, says at i. */
static char byte_of(const struct visit *v, size_t i)
{
	return (char)(v->seq * 31 + i * 7);
}

static void begin(struct visit *v)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = v};
	struct timeval limit = {.tv_sec = PATIENCE};
	struct linger reset = {1, 0};
	char text[SIZE];

	v->seq = opened++;
	v->have = 0;
	v->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (v->fd < 0 || setsockopt(v->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) != 0 ||
	    setsockopt(v->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0) /* bounds connect */
		die("socket", strerror(errno));
	if (connect(v->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("connect", strerror(errno));
	for (size_t i = 0; i < SIZE; i++)
		text[i] = byte_of(v, i);
	if (opt.echo && send(v->fd, text, SIZE, MSG_NOSIGNAL) != SIZE)
		die("send", strerror(errno));
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, v->fd, &ev) != 0)
		die("epoll_ctl", strerror(errno));
}

static void go_on(struct visit *v)
{
	char text[SIZE + 1];
	ssize_t n = recv(v->fd, text, sizeof(text) - v->have, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0)
		die("recv", strerror(errno));
	if (opt.accept && n > 0)
		die("recv", "nobody was asked");
	if (opt.echo && (n == 0 || v->have + (size_t)n > SIZE))
		die("recv", n == 0 ? "the server closed it" : "more than was sent");
	for (ssize_t i = 0; i < n; i++) {
		if (text[i] != byte_of(v, v->have + (size_t)i))
			die("recv", "not what was sent");
	}
	v->have += (size_t)n;
	if (opt.echo && v->have < SIZE)
		return;
	close(v->fd);
	done++;
	begin(v);
}

static void serve(double end)
{
	struct epoll_event ev[256];
	double heard = now(), at;

	while ((at = now()) < end) {
		int n = epoll_wait(epfd, ev, sizeof(ev) / sizeof(*ev), (int)((end - at) * 1e3) + 1);

		if (n < 0 && errno != EINTR)
			die("epoll_wait", strerror(errno));
		for (int i = 0; i < n; i++)
			go_on(ev[i].data.ptr);
		heard = n > 0 ? at : heard;
		if (at > heard + PATIENCE)
			die("recv", "the server is silent");
	}
}

int main(int argc, char **argv)
{
	double start, took, cpu;
	uint64_t before;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--port") == 0)
			opt.port = atoi(argv[i + 1]);
		else if (strcmp(argv[i], "--pid") == 0)
			opt.pid = atoi(argv[i + 1]);
		else if (strcmp(argv[i], "--conns") == 0)
			opt.conns = atoi(argv[i + 1]);
		else if (strcmp(argv[i], "--seconds") == 0)
			opt.seconds = atof(argv[i + 1]);
		else if (strcmp(argv[i], "--warm") == 0)
			opt.warm = atof(argv[i + 1]);
		else if (strcmp(argv[i], "--mode") == 0) {
			opt.echo = strcmp(argv[i + 1], "echo") == 0;
			opt.accept = strcmp(argv[i + 1], "accept") == 0;
		} else
			argc = 0;
	}
	if (argc % 2 == 0 || opt.echo == opt.accept || opt.port < 1 || opt.port > 65535 || opt.pid < 1 || opt.conns < 1 ||
	    opt.conns > CONNS_MAX || opt.seconds <= 0 || opt.warm < 0) {
		fputs("usage: bench_visit --port P --pid PID --mode accept|echo [--conns N] [--seconds S] [--warm S]\n", stderr);
		return 2;
	}
	alarm((unsigned)(opt.seconds + opt.warm) + 4 * PATIENCE); /* whatever happens, it ends */
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (epfd < 0)
		die("epoll_create1", strerror(errno));
	for (int i = 0; i < opt.conns; i++)
		begin(&visits[i]);
	serve(now() + opt.warm);
	before = done;
	start = now();
	cpu = proc_cpu_of(opt.pid);
	serve(start + opt.seconds);
	cpu = proc_cpu_of(opt.pid) - cpu;
	took = now() - start;
	if (done == before)
		die("measured", "none");
	printf("{\"mode\": \"%s\", \"conns\": %d, \"seconds\": %.3f, \"visits\": %llu, \"kvps\": %.3f, \"server_cpu_us\": %.4f}\n",
	       opt.echo ? "echo" : "accept", opt.conns, took, (unsigned long long)(done - before), (double)(done - before) / took / 1e3,
	       cpu / 1e3 / (double)(done - before));
	return 0;
}
