/* SPDX-License-Identifier: MIT
 *
 * peer.h - what the servers in C share: arguments, the listening socket, the line that says the port.
 *
 *     PROGRAM --mode echo|http|accept|sink|source [--workers N] [--port P]
 *
 * With N workers there are N threads, each with a listening socket of its own on the same port (SO_REUSEPORT): the kernel spreads the connections.
 */
#ifndef PEER_H
#define PEER_H

#include "../../http.h"
#include "../../pour.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUF 4096 /* a connection's buffer; POUR_BLOCK in sinks */

static struct {
	int workers, port;
	bool http, accept, sink, source; /* none: echo */
	size_t buf;                      /* bytes of a connection's buffer */
} opt = {.workers = 1, .buf = BUF};

static struct http_replies replies;
static char block[POUR_BLOCK]; /* what a source says */

__attribute__((noreturn)) static void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static void arguments(int argc, char **argv)
{
	const char *mode = "";

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--mode") == 0)
			mode = argv[i + 1];
		else if (strcmp(argv[i], "--workers") == 0)
			opt.workers = atoi(argv[i + 1]);
		else if (strcmp(argv[i], "--port") == 0)
			opt.port = atoi(argv[i + 1]);
		else
			mode = "unknown";
	}
	opt.http = strcmp(mode, "http") == 0;
	opt.accept = strcmp(mode, "accept") == 0;
	opt.sink = strcmp(mode, "sink") == 0;
	opt.source = strcmp(mode, "source") == 0;
	opt.buf = opt.sink ? POUR_BLOCK : BUF;
	if (argc % 2 == 0 || (!opt.http && !opt.accept && !opt.sink && !opt.source && strcmp(mode, "echo") != 0) || opt.workers < 1)
		die("usage", "--mode echo|http|accept|sink|source [--workers N] [--port P]");
	http_replies_init(&replies);
	pour_fill(block);
}

/* A listening socket on opt.port; with port 0 the kernel chooses one, and opt.port says which. */
static int listen_here(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	socklen_t size = sizeof(a);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    (opt.workers > 1 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
	    bind(fd, (struct sockaddr *)&a, size) != 0 || listen(fd, SOMAXCONN) != 0 || getsockname(fd, (struct sockaddr *)&a, &size) != 0)
		die("listen", strerror(errno));
	opt.port = ntohs(a.sin_port);
	return fd;
}

/* Runs loop(listening socket) in so many threads as there are workers, after saying the port. */
static void serve(void *(*loop)(void *), const char *version)
{
	int *fds = calloc((size_t)opt.workers, sizeof(*fds));
	pthread_t thread;

	if (!fds)
		die("serve", "no memory");
	for (int i = 0; i < opt.workers; i++)
		fds[i] = listen_here();
	printf("port %d %s\n", opt.port, version);
	fflush(stdout);
	for (int i = 1; i < opt.workers; i++) {
		if (pthread_create(&thread, NULL, loop, &fds[i]) != 0)
			die("serve", "no thread");
	}
	loop(&fds[0]);
}

#endif
