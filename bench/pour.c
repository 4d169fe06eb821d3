/* SPDX-License-Identifier: MIT
 *
 * pour.c - the other side of P51: one connection to a server on this machine, as much through it as it takes. No weft in it.
 *
 *     bench_pour --port P --pid PID --mode sink|source [--seconds S] [--warm S]
 *
 * One thread, blocking calls of 64 KiB. `mode` is what the server is: into a sink we write, and it says in the end how many bytes it has got; from a source we read,
 * and look at the first blocks. What the server's threads used of the CPU meanwhile is what the scheduler says of them.
 *
 * Prints one line of JSON; ends with status 1 after any error, and when the server does nothing for PATIENCE seconds.
 */
#include "proc.h"
#include "pour.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <time.h>

#define PATIENCE 10
#define LOOKED_AT 100 /* bytes of a source that are compared */

static struct {
	int port, pid;
	double seconds, warm;
	bool sink, source;
} opt = {.seconds = 2, .warm = 0.5};

static char block[POUR_BLOCK], got[POUR_BLOCK];

__attribute__((noreturn)) static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_pour: %s: %s\n", what, why);
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int connect_to(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct timeval limit = {.tv_sec = PATIENCE};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		die("connect", strerror(errno));
	return fd;
}

/* One call's worth of bytes. all: how many there have been. */
static size_t some(int fd, uint64_t all)
{
	ssize_t n = opt.sink ? send(fd, block, sizeof(block), MSG_NOSIGNAL) : recv(fd, got, sizeof(got), 0);

	if (n <= 0)
		die(opt.sink ? "send" : "recv", n == 0 ? "the server closed it" : strerror(errno));
	for (ssize_t i = 0; opt.source && i < n && all + (uint64_t)i < LOOKED_AT; i++) {
		if ((unsigned char)got[i] != POUR_BYTE((all + (uint64_t)i) % POUR_BLOCK))
			die("recv", "not what a source says");
	}
	return (size_t)n;
}

/* All that was written has arrived. */
static void check_sink(int fd, uint64_t all)
{
	size_t have = 0;
	ssize_t n;

	shutdown(fd, SHUT_WR);
	while (have < 8 && (n = recv(fd, got + have, 8 - have, 0)) > 0)
		have += (size_t)n;
	if (have < 8 || pour_get(got) != all)
		die("recv", "the sink has not got what was written");
}

static void pour(void)
{
	int fd = connect_to(opt.port);
	double start = now(), at, cpu;
	uint64_t all = 0, before;

	while ((at = now()) < start + opt.warm)
		all += some(fd, all);
	before = all;
	start = at;
	cpu = proc_cpu_of(opt.pid);
	while ((at = now()) < start + opt.seconds)
		all += some(fd, all);
	cpu = proc_cpu_of(opt.pid) - cpu;
	if (opt.sink)
		check_sink(fd, all);
	printf("{\"mode\": \"%s\", \"seconds\": %.3f, \"gb\": %.3f, \"gbps\": %.4f, \"server_cpu_s_gb\": %.5f}\n",
	       opt.sink ? "sink" : "source", at - start, (double)(all - before) / 1e9, (double)(all - before) / 1e9 / (at - start),
	       cpu / (double)(all - before));
	close(fd);
}

int main(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--port") == 0)
			opt.port = atoi(argv[i + 1]);
		else if (strcmp(argv[i], "--pid") == 0)
			opt.pid = atoi(argv[i + 1]);
		else if (strcmp(argv[i], "--seconds") == 0)
			opt.seconds = atof(argv[i + 1]);
		else if (strcmp(argv[i], "--warm") == 0)
			opt.warm = atof(argv[i + 1]);
		else if (strcmp(argv[i], "--mode") == 0) {
			opt.sink = strcmp(argv[i + 1], "sink") == 0;
			opt.source = strcmp(argv[i + 1], "source") == 0;
		} else
			argc = 0;
	}
	if (argc % 2 == 0 || opt.sink == opt.source || opt.port < 1 || opt.port > 65535 || opt.pid < 1 || opt.seconds <= 0 ||
	    opt.warm < 0) {
		fputs("usage: bench_pour --port P --pid PID --mode sink|source [--seconds S] [--warm S]\n", stderr);
		return 2;
	}
	alarm((unsigned)(opt.seconds + opt.warm) + 4 * PATIENCE); /* whatever happens, it ends */
	pour_fill(block);
	pour();
	return 0;
}
