/* SPDX-License-Identifier: MIT
 *
 * uv.c - the servers of P19 to P21, P50 and P51 on libuv's streams.
 *
 * Written for speed: uv_try_write first, which needs no request and no callback; what the kernel did not take goes with uv_write, and
 * reading stops meanwhile.
 */
#include "peer.h"

#include <signal.h>
#include <uv.h>

struct conn {
	uv_tcp_t tcp;
	uv_write_t rest; /* of a short write */
	size_t have;     /* http: bytes of requests not complete yet */
	size_t owed;     /* http: replies to be sent */
	uint64_t all;    /* sink: bytes so far */
	char buf[];      /* opt.buf bytes */
};

static void must(int code, const char *what)
{
	if (code < 0)
		die(what, uv_strerror(code));
}

static void on_close(uv_handle_t *h)
{
	free(h->data);
}

static void finish(struct conn *c)
{
	if (!uv_is_closing((uv_handle_t *)&c->tcp))
		uv_close((uv_handle_t *)&c->tcp, on_close);
}

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *b)
{
	struct conn *c = h->data;

	(void)hint;
	*b = uv_buf_init(c->buf + c->have, (unsigned)(opt.buf - c->have));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b);
static void answer(struct conn *c);
static void pour(struct conn *c);

static void on_written(uv_write_t *r, int status)
{
	struct conn *c = r->data;

	if (status < 0) {
		finish(c);
		return;
	}
	if (opt.source) {
		pour(c);
		return;
	}
	must(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read), "uv_read_start");
	answer(c);
}

/* Writes it all. False: the rest is on its way, or the connection broken. */
static bool put(struct conn *c, char *text, size_t size)
{
	uv_buf_t b = uv_buf_init(text, (unsigned)size);
	int n = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);

	if (n == (int)size)
		return true;
	if (n < 0 && n != UV_EAGAIN) {
		finish(c);
		return false;
	}
	if (n > 0)
		b = uv_buf_init(text + n, (unsigned)size - (unsigned)n);
	uv_read_stop((uv_stream_t *)&c->tcp);
	c->rest.data = c;
	if (uv_write(&c->rest, (uv_stream_t *)&c->tcp, &b, 1, on_written) < 0)
		finish(c);
	return false;
}

/* Sends the replies that are owed. */
static void answer(struct conn *c)
{
	while (c->owed > 0) {
		size_t k = c->owed < HTTP_REPLIES ? c->owed : HTTP_REPLIES;

		c->owed -= k; /* first: what put cannot send at once, it has taken over */
		if (!put(c, replies.text, k * HTTP_REPLY_SIZE))
			return;
	}
}

/* source: block after block. */
static void pour(struct conn *c)
{
	while (put(c, block, sizeof(block)))
		;
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct conn *c = s->data;
	size_t used;

	if (n < 0) {
		pour_put(c->buf, c->all);
		if (opt.sink && n == UV_EOF)
			put(c, c->buf, 8);
		finish(c);
		return;
	}
	if (n == 0)
		return;
	if (opt.sink) {
		c->all += (uint64_t)n;
		return;
	}
	if (!opt.http) {
		put(c, b->base, (size_t)n);
		return;
	}
	c->have += (size_t)n;
	c->owed = http_requests(c->buf, c->have, &used);
	c->have -= used;
	memmove(c->buf, c->buf + used, c->have);
	if (c->have == opt.buf)
		finish(c); /* headers too long */
	else
		answer(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct conn *c = malloc(sizeof(*c) + opt.buf);

	must(status, "accept");
	if (!c)
		die("accept", "no memory");
	must(uv_tcp_init(listener->loop, &c->tcp), "uv_tcp_init");
	c->tcp.data = c;
	c->have = c->owed = 0;
	c->all = 0;
	if (uv_accept(listener, (uv_stream_t *)&c->tcp) < 0 || opt.accept) {
		finish(c);
		return;
	}
	uv_tcp_nodelay(&c->tcp, 1);
	if (opt.source) {
		pour(c);
		return;
	}
	must(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read), "uv_read_start");
}

static void *loop(void *arg)
{
	uv_tcp_t listener;
	uv_loop_t l;

	must(uv_loop_init(&l), "uv_loop_init");
	must(uv_tcp_init(&l, &listener), "uv_tcp_init");
	must(uv_tcp_open(&listener, *(int *)arg), "uv_tcp_open");
	must(uv_listen((uv_stream_t *)&listener, SOMAXCONN, on_connection), "uv_listen");
	uv_run(&l, UV_RUN_DEFAULT);
	return NULL;
}

int main(int argc, char **argv)
{
	arguments(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	serve(loop, uv_version_string());
	return 0;
}
