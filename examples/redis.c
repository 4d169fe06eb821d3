/* SPDX-License-Identifier: MIT
 *
 * redis.c - a client of Redis in straight lines: its protocol over a buffered reader and writer, pipelines, messages pushed by the server, and a connection that is made again.
 *
 *     redis [ADDRESS [SECONDS]]        ADDRESS: HOST:PORT, or the path of a Unix domain socket; default 127.0.0.1:6379
 *                                      SECONDS: how long it waits for a server; default 1
 *
 * It needs a Redis server (Debian: redis-server), of which it uses keys that begin with "weft:"; without one it says so.
 * A command is an array of strings; an answer is a line that says what it is, and what belongs to it (RESP2). Nothing here waits but reads and writes, which park the task.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define PATIENCE (10 * SEC) /* for an answer */
#define TEXT_MAX (64 << 20) /* bytes of a string in an answer */
#define ITEMS_MAX (1 << 20) /* elements of an array */
#define DEPTH_MAX 8         /* arrays in arrays */
#define TRY_FIRST (5 * MS)  /* between two tries to connect, and the longest */
#define TRY_LAST (500 * MS)
#define MALFORMED (-EPROTO)

struct redis {
	const char *address;
	weft_io io; /* io.ops NULL: not connected */
	weft_rd rd;
	weft_wr wr;
};

enum kind { TEXT = '+', ERROR = '-', NUMBER = ':', STRING = '$', ARRAY = '*', NIL = 0 };

struct reply {
	enum kind kind;
	int64_t number;     /* NUMBER; ARRAY: how many */
	char *text;         /* TEXT, ERROR, STRING; with a 0 behind it */
	size_t length;      /* of it */
	struct reply *item; /* ARRAY */
};

static void reply_free(struct reply *r)
{
	for (int64_t i = 0; r->item && i < r->number; i++)
		reply_free(&r->item[i]);
	free(r->item);
	free(r->text);
	*r = (struct reply){.kind = NIL};
}

/* --- the connection --- */

static int dial(weft_io *io, const char *address, int64_t deadline)
{
	weft_unix *u;
	tcp *t;
	int rc;

	if (strchr(address, '/')) {
		rc = unix_dial_until(&u, address, deadline);
		if (rc == 0)
			*io = unix_io(u);
	} else {
		rc = tcp_dial_until(&t, address, deadline);
		if (rc == 0)
			*io = tcp_io(t);
	}
	return rc;
}

static void redis_close(struct redis *r)
{
	if (!r->io.ops)
		return;
	wr_free(&r->wr);
	rd_free(&r->rd);
	io_close(r->io);
	r->io.ops = NULL;
}

/* Connects, trying again until the deadline while nobody listens. */
static int redis_open(struct redis *r, const char *address, int64_t deadline)
{
	int64_t pause = TRY_FIRST;
	int rc;

	*r = (struct redis){.address = address};
	while ((rc = dial(&r->io, address, deadline)) == WEFT_ECONNREFUSED || rc == WEFT_ENOENT) {
		if (weft_in(pause) > deadline || task_sleep(pause) != 0)
			break;
		pause = pause * 2 < TRY_LAST ? pause * 2 : TRY_LAST;
	}
	if (rc != 0)
		return rc;
	rc = rd_init(&r->rd, r->io, NULL, 0);
	if (rc == 0)
		rc = wr_init(&r->wr, r->io, NULL, 0);
	if (rc != 0)
		redis_close(r);
	return rc;
}

/* --- the protocol --- */

/* Puts a command into the buffer: strings, then NULL. Errors stay in the writer, and show when it is flushed. */
static void send_strings(struct redis *r, va_list args)
{
	const char *s;
	va_list again;
	int n = 0;

	va_copy(again, args);
	while (va_arg(again, const char *))
		n++;
	va_end(again);
	wr_printf(&r->wr, "*%d\r\n", n);
	while ((s = va_arg(args, const char *)) != NULL)
		wr_printf(&r->wr, "$%zu\r\n%s\r\n", strlen(s), s);
}

__attribute__((sentinel)) static void redis_send(struct redis *r, ...)
{
	va_list args;

	va_start(args, r);
	send_strings(r, args);
	va_end(args);
}

/* The same for a value that may hold zeros. */
static void redis_send_set(struct redis *r, const char *key, const void *value, size_t n)
{
	wr_printf(&r->wr, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key, n);
	wr_write(&r->wr, value, n, NULL);
	wr_write(&r->wr, "\r\n", 2, NULL);
}

static bool parse_number(const char *s, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(s, &end, 10);
	return *s && *end == '\0' && errno == 0;
}

/* The bytes of a string, and the end of line behind it. */
static int read_string(struct redis *r, struct reply *out, size_t n)
{
	char end[2];
	ssize_t rc;

	out->text = malloc(n + 1);
	if (!out->text)
		return WEFT_ENOMEM;
	rc = rd_full(&r->rd, out->text, n, NULL);
	if (rc >= 0)
		rc = rd_full(&r->rd, end, 2, NULL);
	if (rc < 0)
		return (int)rc;
	out->text[n] = '\0';
	out->length = n;
	return end[0] == '\r' && end[1] == '\n' ? 0 : MALFORMED;
}

static int read_reply(struct redis *r, struct reply *out, int depth);

static int read_array(struct redis *r, struct reply *out, int depth)
{
	int rc = 0;

	if (out->number > ITEMS_MAX || depth == DEPTH_MAX)
		return MALFORMED;
	out->item = calloc((size_t)out->number + 1, sizeof *out->item);
	if (!out->item)
		return WEFT_ENOMEM;
	for (int64_t i = 0; i < out->number && rc == 0; i++)
		rc = read_reply(r, &out->item[i], depth + 1);
	return rc;
}

static int read_reply(struct redis *r, struct reply *out, int depth)
{
	char *line;
	ssize_t n = rd_line(&r->rd, &line);

	*out = (struct reply){.kind = NIL};
	if (n < 0)
		return (int)n;
	switch (line[0]) {
	case TEXT:
	case ERROR:
		out->kind = (enum kind)line[0];
		out->length = (size_t)n - 1;
		out->text = strdup(line + 1);
		return out->text ? 0 : WEFT_ENOMEM;
	case NUMBER:
		out->kind = NUMBER;
		return parse_number(line + 1, &out->number) ? 0 : MALFORMED;
	case STRING:
	case ARRAY:
		if (!parse_number(line + 1, &out->number) || out->number < -1 || out->number > TEXT_MAX)
			return MALFORMED;
		if (out->number == -1)
			return 0;
		out->kind = (enum kind)line[0];
		return line[0] == STRING ? read_string(r, out, (size_t)out->number) : read_array(r, out, depth);
	default:
		return MALFORMED;
	}
}

/* The next answer. After an error there is nothing to free, and the connection is of no use any more. */
static int redis_receive(struct redis *r, struct reply *out)
{
	int rc = read_reply(r, out, 0);

	if (rc != 0)
		reply_free(out);
	return rc;
}

/* A command and its answer. */
__attribute__((sentinel)) static int redis_call(struct redis *r, struct reply *out, ...)
{
	int64_t end = weft_in(PATIENCE);
	va_list args;
	int rc;

	io_set_deadline(r->io, end, end);
	va_start(args, out);
	send_strings(r, args);
	va_end(args);
	*out = (struct reply){.kind = NIL};
	rc = wr_flush(&r->wr);
	return rc ? rc : redis_receive(r, out);
}

/* GET, which may be asked twice: over a new connection if the old one has broken. */
static int redis_get(struct redis *r, const char *key, struct reply *out)
{
	int rc = redis_call(r, out, "GET", key, NULL);

	if (rc != WEFT_EOF && rc != WEFT_EPIPE && rc != WEFT_ECONNRESET)
		return rc;
	printf("the connection is gone; a new one\n");
	redis_close(r);
	rc = redis_open(r, r->address, weft_in(PATIENCE));
	return rc ? rc : redis_call(r, out, "GET", key, NULL);
}

/* --- what is shown --- */

static void print(const char *what, const struct reply *r)
{
	printf("%s:", what);
	switch (r->kind) {
	case NIL:
		printf(" nothing");
		break;
	case NUMBER:
		printf(" %" PRId64, r->number);
		break;
	case ARRAY:
		for (int64_t i = 0; i < r->number; i++)
			printf(" %s", r->item[i].text ? r->item[i].text : "?");
		break;
	default:
		printf(" %s", r->text);
	}
	printf("\n");
}

#define CALL(r, what, ...)                                             \
	do {                                                           \
		struct reply reply_;                                   \
		int rc_ = redis_call((r), &reply_, __VA_ARGS__, NULL); \
		if (rc_ != 0)                                          \
			return rc_;                                    \
		print((what), &reply_);                                \
		reply_free(&reply_);                                   \
	} while (0)

static int commands(struct redis *r)
{
	CALL(r, "a value", "SET", "weft:hello", "world");
	CALL(r, "the same", "GET", "weft:hello");
	CALL(r, "no such key", "GET", "weft:none");
	CALL(r, "a list", "DEL", "weft:list");
	CALL(r, "its length", "RPUSH", "weft:list", "a", "b", "c");
	CALL(r, "its elements", "LRANGE", "weft:list", "0", "-1");
	CALL(r, "a mistake", "INCR", "weft:list");
	return 0;
}

/* Bytes of every value there and back, more than any buffer holds. */
static int big_value(struct redis *r)
{
	static unsigned char value[300000];
	struct reply reply;
	int rc;

	for (size_t i = 0; i < sizeof value; i++)
		value[i] = (unsigned char)(i * 7 + i / 256);
	io_set_deadline(r->io, weft_in(PATIENCE), weft_in(PATIENCE));
	redis_send_set(r, "weft:big", value, sizeof value);
	rc = wr_flush(&r->wr);
	if (rc == 0)
		rc = redis_receive(r, &reply);
	if (rc != 0)
		return rc;
	reply_free(&reply);
	rc = redis_call(r, &reply, "GET", "weft:big", NULL);
	if (rc != 0)
		return rc;
	printf("%zu bytes came back %s\n", reply.length,
	       reply.length == sizeof value && memcmp(reply.text, value, sizeof value) == 0 ? "as they went" : "changed");
	reply_free(&reply);
	return 0;
}

/* A thousand commands and their answers, in as many system calls as buffers take. */
static int pipeline(struct redis *r)
{
	enum { N = 1000 };
	struct reply reply;
	int64_t sum = 0;
	int rc;

	io_set_deadline(r->io, weft_in(PATIENCE), weft_in(PATIENCE));
	redis_send(r, "DEL", "weft:count", NULL);
	for (int i = 0; i < N; i++)
		redis_send(r, "INCR", "weft:count", NULL);
	rc = wr_flush(&r->wr);
	for (int i = 0; i < N + 1 && rc == 0; i++) {
		rc = redis_receive(r, &reply);
		if (rc == 0 && i > 0)
			sum += reply.number;
		if (rc == 0)
			reply_free(&reply);
	}
	if (rc == 0)
		printf("a pipeline of %d: the answers add up to %" PRId64 "\n", N, sum);
	return rc;
}

/* --- messages --- */

/* Reads what the server pushes, until it has confirmed that nothing more is subscribed to; each into a channel. */
static int listen_task(void *arg)
{
	struct redis *r = ((void **)arg)[0];
	chan *news = ((void **)arg)[1];
	struct reply m;
	bool on = true;
	int rc;

	while (on && (rc = redis_receive(r, &m)) == 0) {
		on = m.kind != ARRAY || m.number != 3 || strcmp(m.item[0].text, "unsubscribe") != 0;
		chan_send(news, &m); /* whoever receives it frees it */
	}
	chan_close(news);
	return on ? rc : 0;
}

/* Takes messages until one is of that kind. */
static int until_message(chan *news, const char *kind)
{
	struct reply m;
	bool last;

	do {
		int rc = chan_recv(news, &m);

		if (rc != 0)
			return rc;
		print("pushed", &m);
		last = m.kind == ARRAY && m.number > 0 && m.item[0].text && strcmp(m.item[0].text, kind) == 0;
		reply_free(&m);
	} while (!last);
	return 0;
}

/* One task reads the subscriber's connection, this one writes to it. */
static int messages(struct redis *r)
{
	chan *news = chan_make(sizeof(struct reply), 0);
	struct redis sub;
	struct reply reply;
	void *args[2] = {&sub, news};
	task *t;
	int rc = news ? redis_open(&sub, r->address, weft_in(PATIENCE)) : WEFT_ENOMEM;

	if (rc != 0)
		goto out;
	rc = go_opts(&t, listen_task, args, NULL);
	if (rc != 0)
		goto out_close;
	redis_send(&sub, "SUBSCRIBE", "weft:news", NULL);
	rc = wr_flush(&sub.wr);
	if (rc == 0)
		rc = until_message(news, "subscribe");
	for (int i = 1; i <= 3 && rc == 0; i++) {
		rc = redis_call(r, &reply, "PUBLISH", "weft:news", i == 1 ? "one" : i == 2 ? "two" : "three", NULL);
		if (rc == 0)
			reply_free(&reply);
		if (rc == 0)
			rc = until_message(news, "message");
	}
	redis_send(&sub, "UNSUBSCRIBE", NULL);
	if (rc == 0)
		rc = wr_flush(&sub.wr);
	if (rc == 0)
		rc = until_message(news, "unsubscribe");
	io_shutdown(sub.io, SHUT_RDWR); /* if anything went wrong: the reader comes to its end */
	while (chan_recv(news, &reply) == 0)
		reply_free(&reply);
	task_join(t, NULL);
out_close:
	redis_close(&sub);
out:
	chan_free(news);
	return rc;
}

/* --- the connection breaks --- */

static int broken(struct redis *r)
{
	struct redis other;
	struct reply reply;
	char id[32];
	int rc = redis_call(r, &reply, "CLIENT", "ID", NULL);

	if (rc != 0)
		return rc;
	snprintf(id, sizeof id, "%" PRId64, reply.number);
	reply_free(&reply);
	rc = redis_open(&other, r->address, weft_in(PATIENCE));
	if (rc != 0)
		return rc;
	rc = redis_call(&other, &reply, "CLIENT", "KILL", "ID", id, NULL);
	redis_close(&other);
	if (rc != 0)
		return rc;
	reply_free(&reply);
	rc = redis_get(r, "weft:hello", &reply);
	if (rc != 0)
		return rc;
	print("still there", &reply);
	reply_free(&reply);
	return 0;
}

struct options {
	const char *address;
	int64_t patience;
};

static int run(void *arg)
{
	struct options *o = arg;
	struct redis r;
	int rc = redis_open(&r, o->address, weft_in(o->patience));

	if (rc != 0) {
		printf("no Redis server at %s (%s): \"redis-server --port 6379\" starts one\n", o->address, weft_strerror(rc));
		return 1;
	}
	rc = commands(&r);
	if (rc == 0)
		rc = big_value(&r);
	if (rc == 0)
		rc = pipeline(&r);
	if (rc == 0)
		rc = messages(&r);
	if (rc == 0)
		rc = broken(&r);
	redis_close(&r);
	if (rc != 0)
		fprintf(stderr, "redis: %s\n", weft_strerror(rc));
	return rc != 0;
}

int main(int argc, char **argv)
{
	struct options o = {argc > 1 ? argv[1] : "127.0.0.1:6379", (argc > 2 ? atoi(argv[2]) : 1) * SEC};
	int rc;

	if (argc > 3) {
		fprintf(stderr, "usage: redis [ADDRESS [SECONDS]]\n");
		return 2;
	}
	rc = weft_run(run, &o, NULL);
	if (rc < 0)
		fprintf(stderr, "redis: the runtime could not run: %s\n", weft_strerror(rc));
	return rc != 0;
}
