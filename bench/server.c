/* SPDX-License-Identifier: MIT
 *
 * server.c - the server of P19 to P21, P50 and P51, straight-line, a task per connection: TCP echo, the same with a buffer only while there is something to read, HTTP hello,
 * one that closes what it accepts, one that reads all, one that writes without end.
 *
 *     bench_server --mode echo|lazy|http|accept|sink|source [--workers N] [--port P]
 *
 * Prints "port N" and serves until killed. bench/net.py starts it and the peers' servers, and bench/load.c, visit.c and pour.c ask them.
 */
#include "bench.h"
#include "http.h"
#include "pour.h"

static struct http_replies replies;

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

/* As echo, with nothing but a byte of its stack while it waits: the buffer is taken when there is something to read. */
static void lazy(weft_tcp *c)
{
	ssize_t n;
	char first;

	while (weft_tcp_read(c, &first, 1) > 0) {
		char *buf = bench_need(malloc(4096), "a buffer");

		buf[0] = first;
		n = weft_tcp_read_until(c, buf + 1, 4095, WEFT_NOW);
		n = weft_tcp_write(c, buf, n > 0 ? 1 + (size_t)n : 1, NULL);
		free(buf);
		if (n < 0)
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

static void sink(weft_tcp *c)
{
	char *buf = bench_need(malloc(POUR_BLOCK), "a block");
	uint64_t all = 0;
	ssize_t n;

	while ((n = weft_tcp_read(c, buf, POUR_BLOCK)) > 0)
		all += (uint64_t)n;
	pour_put(buf, all);
	if (n == 0)
		weft_tcp_write(c, buf, 8, NULL);
	weft_tcp_close(c);
	free(buf);
}

static void source(weft_tcp *c)
{
	char *buf = bench_need(malloc(POUR_BLOCK), "a block");

	pour_fill(buf);
	while (weft_tcp_write(c, buf, POUR_BLOCK, NULL) > 0)
		;
	weft_tcp_close(c);
	free(buf);
}

static const struct mode {
	const char *name;
	void (*serve)(weft_tcp *c); /* as a task; NULL: closed at once */
} modes[] = {{"echo", echo}, {"lazy", lazy}, {"http", http}, {"accept", NULL}, {"sink", sink}, {"source", source}};

static struct {
	int workers, port;
	const struct mode *mode;
} opt = {.workers = 1};

static int serve(void *arg)
{
	void (*fn)(weft_tcp * c) = opt.mode->serve;
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
	while (MUST(weft_tcp_accept(l, &c)) == 0) {
		if (fn)
			MUST(weft_go(fn, c));
		else
			weft_tcp_close(c);
	}
	return 0;
}

static void usage(void)
{
	fputs("usage: bench_server --mode echo|lazy|http|accept|sink|source [--workers N] [--port P]\n", stderr);
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
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		if (strcmp(modes[i].name, mode) == 0)
			opt.mode = &modes[i];
	}
	if (argc % 2 == 0 || !opt.mode)
		usage();
	http_replies_init(&replies);
	return MUST(weft_run(serve, NULL, &(weft_opts){.workers = opt.workers}));
}
