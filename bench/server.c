/* SPDX-License-Identifier: MIT
 *
 * server.c - the server of P19, P20 and P21: TCP echo and HTTP hello, straight-line, a task per connection.
 *
 *     bench_server --mode echo|http [--workers N] [--port P]
 *
 * Prints "port N" and serves until killed. bench/net.py starts it and the peers' servers, and bench/load.c asks them.
 */
#include "bench.h"
#include "http.h"

static struct http_replies replies;

static struct {
	int workers, port;
	bool http;
} opt = {.workers = 1};

static void echo(weft_tcp *c)
{
	char buf[4096];
	ssize_t n;

	while ((n = weft_tcp_read(c, buf, sizeof(buf))) > 0) {
		if (weft_tcp_write(c, buf, (size_t)n, NULL) < 0)
			break;
	}
	weft_tcp_close(c);
}

/* Answers so many requests. False: the connection is broken. */
static bool answer(weft_tcp *c, size_t count)
{
	while (count > 0) {
		size_t k = count < HTTP_REPLIES ? count : HTTP_REPLIES;

		if (weft_tcp_write(c, replies.text, k * HTTP_REPLY_SIZE, NULL) < 0)
			return false;
		count -= k;
	}
	return true;
}

static void http(weft_tcp *c)
{
	char buf[4096];
	size_t have = 0, used;
	ssize_t n;

	while (have < sizeof(buf) && (n = weft_tcp_read(c, buf + have, sizeof(buf) - have)) > 0) {
		have += (size_t)n;
		if (!answer(c, http_requests(buf, have, &used)))
			break;
		have -= used;
		memmove(buf, buf + used, have);
	}
	weft_tcp_close(c);
}

static int serve(void *arg)
{
	weft_tcp_listener *l;
	weft_addr addr;
	weft_tcp *c;
	char text[32];

	(void)arg;
	snprintf(text, sizeof(text), "127.0.0.1:%d", opt.port);
	MUST(weft_tcp_listen(&l, text, NULL));
	MUST(weft_tcp_listener_addr(l, &addr));
	printf("port %d\n", weft_addr_port(&addr));
	fflush(stdout);
	while (MUST(weft_tcp_accept(l, &c)) == 0)
		MUST(opt.http ? weft_go(http, c) : weft_go(echo, c));
	return 0;
}

static void usage(void)
{
	fputs("usage: bench_server --mode echo|http [--workers N] [--port P]\n", stderr);
	exit(2);
}

int main(int argc, char **argv)
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
			usage();
	}
	opt.http = strcmp(mode, "http") == 0;
	if (argc % 2 == 0 || (!opt.http && strcmp(mode, "echo") != 0))
		usage();
	http_replies_init(&replies);
	return MUST(weft_run(serve, NULL, &(weft_opts){.workers = opt.workers}));
}
