/* SPDX-License-Identifier: MIT
 *
 * kv_server.c - keys and values over TCP, a line a request, as one would write it in Go: a task per connection, time-outs, limits, and an end.
 *
 *     kv_server [ADDRESS] [--idle SECONDS] [--life SECONDS]        ADDRESS: default 127.0.0.1:7002; port 0: any free port
 *
 *     SET key value...    OK                  GET key    VALUE value... or NONE
 *     DEL key             OK or NONE          LEN        the number of keys
 *     QUIT                BYE, and the end    else       ERROR and why
 *
 * Lines end with LF or CR LF. A connection ends when a line is longer than LINE_MAX_BYTES, when no line has come for `idle` seconds (default 60), and in any case after
 * `life` (default 3600): each time the client is told. No more than CONNS_MAX are served at a time; others wait in the kernel's queue.
 *
 * Prints "listening on ADDRESS". SIGINT or SIGTERM end it: who waits for a request is told BYE, replies that are on their way get a moment, the rest is cut.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define LINE_MAX_BYTES 4000
#define CONNS_MAX 1000
#define MOMENT SEC

/* --- values --- */

struct value {
	atomic_int refs;
	int size;
	char text[];
};

static void value_hold(void *p)
{
	struct value *v = p;

	atomic_fetch_add(&v->refs, 1);
}

static void value_drop(void *p)
{
	struct value *v = p;

	if (atomic_fetch_sub(&v->refs, 1) == 1)
		free(v);
}

static struct value *value_make(const char *text)
{
	size_t size = strlen(text);
	struct value *v = malloc(sizeof *v + size);

	if (v) {
		atomic_init(&v->refs, 1);
		v->size = (int)size;
		memcpy(v->text, text, size);
	}
	return v;
}

/* --- connections --- */

struct server {
	cmap *map; /* to struct value */
	ctx *stop; /* ends with a signal */
	int64_t idle, life;
};

/* In the frame of its task. */
struct client {
	struct server *server;
	weft_rd in;
	weft_wr out;
};

/* A line, to be sent before the next wait for one. False: the client is gone. */
__attribute__((format(printf, 2, 3))) static bool say(struct client *c, const char *format, ...)
{
	va_list args;
	ssize_t n;

	va_start(args, format);
	n = wr_vprintf(&c->out, format, args);
	va_end(args);
	return n >= 0 && wr_write(&c->out, "\r\n", 2, NULL) == 2;
}

static bool set(struct client *c, const char *key, const char *text)
{
	struct value *v = value_make(text);
	int rc = v ? cmap_set(c->server->map, key, strlen(key), v) : WEFT_ENOMEM;

	if (v)
		value_drop(v); /* the map has its own reference */
	return rc ? say(c, "ERROR %s", weft_strerror(rc)) : say(c, "OK");
}

static bool get(struct client *c, const char *key)
{
	struct value *v = cmap_get(c->server->map, key, strlen(key));
	bool alive = v ? say(c, "VALUE %.*s", v->size, v->text) : say(c, "NONE");

	if (v)
		value_drop(v);
	return alive;
}

/* Answers a request. False: the connection ends. */
static bool answer(struct client *c, char *line)
{
	const char *what = strsep(&line, " "), *key = strsep(&line, " ");

	if (strcmp(what, "QUIT") == 0) {
		say(c, "BYE");
		return false;
	}
	if (strcmp(what, "LEN") == 0)
		return say(c, "%zu", cmap_len(c->server->map));
	if (!key || !*key)
		return say(c, "ERROR a request is SET key value, GET key, DEL key, LEN or QUIT");
	if (strcmp(what, "GET") == 0)
		return get(c, key);
	if (strcmp(what, "DEL") == 0)
		return say(c, cmap_del(c->server->map, key, strlen(key)) ? "NONE" : "OK");
	if (strcmp(what, "SET") == 0)
		return line ? set(c, key, line) : say(c, "ERROR no value");
	return say(c, "ERROR no such request");
}

/* Request after request. Returns why there are no more: 0: the client is done, or gone. */
static ssize_t talk(struct client *c)
{
	ssize_t n;
	char *line;

	while ((n = rd_line_until(&c->in, &line, weft_in(c->server->idle))) >= 0) {
		if (!answer(c, line))
			return 0;
	}
	return n;
}

/* What the client is told then. */
static void farewell(struct client *c, ssize_t rc)
{
	if (rc == WEFT_ENOBUFS)
		say(c, "ERROR a line has at most %d bytes", LINE_MAX_BYTES);
	else if (rc == WEFT_ETIMEDOUT && ctx_reason(c->server->stop) != WEFT_NOT_CANCELED)
		say(c, "BYE");
	else if (rc == WEFT_ETIMEDOUT)
		say(c, "ERROR too late");
	wr_flush(&c->out);
}

/* The server stops: no more requests, and a moment for replies. On a task of its own, which has a reference. */
static void hurry(void *arg)
{
	tcp *conn = arg;

	tcp_set_deadline(conn, weft_now(), weft_in(MOMENT));
	tcp_free(conn);
}

static int serve(tcp *conn, void *arg)
{
	struct client c = {.server = arg};
	int64_t end = weft_in(c.server->life);
	weft_ctx_hook *hook;
	int rc;

	rc = rd_init(&c.in, tcp_io(conn), NULL, LINE_MAX_BYTES + 3); /* and CR, LF, and a byte that it asks for */
	if (rc == 0)
		rc = wr_init(&c.out, tcp_io(conn), NULL, 0);
	if (rc == 0) {
		rd_tie(&c.in, &c.out); /* replies go out before more requests are waited for */
		tcp_set_deadline(conn, end, end + MOMENT);
		hook = ctx_on_done(c.server->stop, hurry, tcp_ref(conn));
		if (hook)
			farewell(&c, talk(&c));
		if (!hook || ctx_forget(hook))
			tcp_free(conn); /* hurry's */
	}
	wr_free(&c.out);
	rd_free(&c.in);
	return rc;
}

/* --- start and end --- */

struct options {
	const char *address;
	double idle, life; /* seconds */
};

static void ready(const weft_addr *at, void *arg)
{
	char text[WEFT_ADDR_TEXT];

	(void)arg;
	if (addr_format(at, text, sizeof text) > 0)
		printf("listening on %s\n", text);
	fflush(stdout);
}

/* Serves until a signal comes. */
static int run(const struct options *o)
{
	struct server s = {.idle = (int64_t)(o->idle * SEC), .life = (int64_t)(o->life * SEC)};
	serve_opts opts = {.max = CONNS_MAX, .grace = 2 * MOMENT, .ready = ready};
	tcp_listener *l;
	int rc;

	s.map = cmap_make(&(weft_cmap_opts){.hold = value_hold, .drop = value_drop});
	s.stop = opts.ctx = ctx_on_signal(NULL, SIGTERM, SIGINT);
	rc = s.map && s.stop ? tcp_listen(&l, o->address, NULL) : WEFT_ENOMEM;
	if (rc == 0)
		rc = tcp_serve(&l, 1, serve, &s, &opts);
	if (rc && rc != WEFT_ETIMEDOUT) /* that one: some were cut */
		fprintf(stderr, "kv_server: %s: %s\n", o->address, weft_strerror(rc));
	ctx_free(s.stop);
	cmap_free(s.map);
	return rc && rc != WEFT_ETIMEDOUT;
}

static bool options(struct options *o, int argc, char **argv)
{
	int i = 1;

	if (i < argc && argv[i][0] != '-')
		o->address = argv[i++];
	for (; i + 1 < argc; i += 2) {
		double *to = strcmp(argv[i], "--idle") == 0 ? &o->idle : strcmp(argv[i], "--life") == 0 ? &o->life : NULL;
		char *end;

		if (!to)
			return false;
		*to = strtod(argv[i + 1], &end);
		if (*end || !(*to > 0 && *to <= 1e6))
			return false;
	}
	return i == argc;
}

WEFT_MAIN(argc, argv)
{
	struct options o = {"127.0.0.1:7002", 60, 3600};

	if (!options(&o, argc, argv)) {
		fprintf(stderr, "usage: kv_server [ADDRESS] [--idle SECONDS] [--life SECONDS]\n");
		return 2;
	}
	return run(&o);
}
