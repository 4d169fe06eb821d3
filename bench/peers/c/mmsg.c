/* SPDX-License-Identifier: MIT
 *
 * mmsg.c - P56 with nothing but system calls, in one thread that sends and receives in turn: what the kernel alone costs.
 *
 *     mmsg [-workers N] [-runs N] [-quick] [-only TEXT] P56
 *
 * With two workers it has no answer.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { SIZE = 64, WINDOW = 64, BATCH = 32, RUNS_MAX = 100 };

static int here, there, runs, quick, workers = 1;
static const char *only = "";
static char bytes[WINDOW][SIZE];
static struct iovec vec[WINDOW];
static struct sockaddr_in from[WINDOW];

static int must(long n, const char *what)
{
	if (n < 0) {
		perror(what);
		exit(1);
	}
	return (int)n;
}
#define MUST(call) must((long)(call), #call)

static void ends(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;

	here = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	there = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	MUST(bind(there, (struct sockaddr *)&a, sizeof a));
	MUST(getsockname(there, (struct sockaddr *)&a, &len));
	MUST(connect(here, (struct sockaddr *)&a, sizeof a));
	for (int i = 0; i < WINDOW; i++)
		vec[i] = (struct iovec){bytes[i], SIZE};
}

static void prepare(struct mmsghdr *h, int n, int named)
{
	memset(h, 0, (size_t)n * sizeof *h);
	for (int i = 0; i < n; i++) {
		h[i].msg_hdr.msg_iov = &vec[i];
		h[i].msg_hdr.msg_iovlen = 1;
		h[i].msg_hdr.msg_name = named ? &from[i] : NULL;
		h[i].msg_hdr.msg_namelen = named ? sizeof from[i] : 0;
	}
}

static void send_all(int fd, int n, int named)
{
	struct mmsghdr h[WINDOW];

	prepare(h, n, named);
	for (int sent = 0; sent < n;)
		sent += MUST(sendmmsg(fd, h + sent, (unsigned)(n - sent), 0));
}

static void receive_all(int fd, int n, int named)
{
	struct mmsghdr h[WINDOW];

	prepare(h, n, named);
	for (int got = 0; got < n;)
		got += MUST(recvmmsg(fd, h + got, (unsigned)(n - got), MSG_WAITFORONE, NULL));
}

static void echo(int batch)
{
	socklen_t len = sizeof from[0];

	if (batch == 1) {
		MUST(send(here, bytes, SIZE, 0));
		MUST(recvfrom(there, bytes, SIZE, 0, (struct sockaddr *)from, &len));
		MUST(sendto(there, bytes, SIZE, 0, (struct sockaddr *)from, len));
		MUST(recv(here, bytes, SIZE, 0));
		return;
	}
	send_all(here, batch, 0);
	receive_all(there, batch, 1);
	send_all(there, batch, 1);
	receive_all(here, batch, 0);
}

/* A window. */
static void one_way(int batch)
{
	socklen_t len = sizeof from[0];

	if (batch == 1) {
		for (int i = 0; i < WINDOW; i++)
			MUST(send(here, bytes, SIZE, 0));
		for (int i = 0; i < WINDOW; i++)
			MUST(recvfrom(there, bytes, SIZE, 0, (struct sockaddr *)from, &len));
	} else {
		send_all(here, WINDOW, 0);
		receive_all(there, WINDOW, 1);
	}
	MUST(sendto(there, bytes, 1, 0, (struct sockaddr *)from, sizeof from[0]));
	MUST(recv(here, bytes, 1, 0));
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double took(void (*turn)(int), int batch, long turns)
{
	double start = now();

	for (long i = 0; i < turns; i++)
		turn(batch);
	return now() - start;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const char *variant, void (*turn)(int), int batch, int each)
{
	double target = quick ? 60e6 : 250e6, s[RUNS_MAX];
	long turns = 4;

	if (!strstr(variant, only) || workers != 1)
		return;
	for (;; turns *= 4) {
		double t = took(turn, batch, turns);

		if (t >= target / 4) {
			turns = (long)((double)turns * target / t) + 1;
			break;
		}
	}
	for (int i = 0; i < runs; i++)
		s[i] = took(turn, batch, turns) / (double)turns / each;
	qsort(s, (size_t)runs, sizeof *s, by_size);
	printf("{\"name\": \"P56\", \"variant\": \"%s\", \"workers\": 1, \"unit\": \"ns\", \"median\": %.4g, \"min\": %.4g, \"max\": %.4g, "
	       "\"runs\": %d, "
	       "\"peer\": \"mmsg\", \"version\": \"\"}\n",
	       variant, runs % 2 ? s[runs / 2] : (s[runs / 2 - 1] + s[runs / 2]) / 2, s[0], s[runs - 1], runs);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "-quick") == 0)
			quick = 1;
		else if (strcmp(argv[i], "-workers") == 0 && i + 1 < argc)
			workers = atoi(argv[++i]);
		else if (strcmp(argv[i], "-runs") == 0 && i + 1 < argc)
			runs = atoi(argv[++i]);
		else if (strcmp(argv[i], "-only") == 0 && i + 1 < argc)
			only = argv[++i];
		else
			return 2;
	}
	if (runs < 1)
		runs = quick ? 3 : 5;
	if (runs > RUNS_MAX)
		runs = RUNS_MAX;
	ends();
	measure("echo", echo, 1, 1);
	measure("one way", one_way, 1, WINDOW);
	measure("echo, 32 a call", echo, BATCH, BATCH);
	measure("one way, 64 a call", one_way, WINDOW, WINDOW);
	return 0;
}
