/* SPDX-License-Identifier: MIT
 *
 * http_hello.c - an HTTP/1.1 server that greets whatever is asked for, a task per connection.
 *
 *     http_hello [ADDRESS [SECONDS]]        ADDRESS: default 127.0.0.1:8080; port 0: any free port
 *                                           SECONDS: what a client may take for a request, and between two; default 10
 *
 * Requests are read by RFC 9112, and strictly: what two programs could read in two ways (a bare CR or LF, two lengths, a folded header) is
 * refused. Prints "listening on ADDRESS". SIGINT or SIGTERM end it, as they end echo_server.c, where that part is explained.
 */
#include "signals.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <weft.h>

#define HEAD_MAX 8192      /* bytes of a request before its body; more: 431 */
#define BODY_MAX (1 << 20) /* bytes of a body, which are read and dropped; more: 413 */
#define MOMENT SEC
#define TOKEN "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

struct session {
	tcp *conn;
	int64_t patience; /* nanoseconds that the client may take */
	size_t have;      /* bytes in buf: the request that is read now, and what came after it */
	time_t date_of;   /* the second that date says */
	char date[32];
	char buf[HEAD_MAX];
};

struct request {
	bool head;     /* HEAD: the same answer, without its body */
	bool http10;   /* HTTP/1.0 */
	bool keep;     /* the client wants to ask more on this connection */
	size_t length; /* bytes of body that follow */
};

/* --- reading the head of a request --- */

/* Looks at the bytes from *seen on. Returns the length of the head once its empty line is there, 0 before, 400 for bytes that no head has. */
static int find_end(struct session *k, size_t *seen, size_t *length)
{
	for (; *seen < k->have; ++*seen) {
		unsigned char ch = (unsigned char)k->buf[*seen];
		bool after_cr = *seen > 0 && k->buf[*seen - 1] == '\r';

		if ((ch == '\n') != after_cr) /* CR and LF come together or not at all */
			return 400;
		if (iscntrl(ch) && ch != '\r' && ch != '\n' && ch != '\t')
			return 400;
		if (ch == '\n' && *seen >= 3 && k->buf[*seen - 2] == '\n') {
			*length = *seen + 1;
			return 0;
		}
	}
	return 0;
}

static void consume(struct session *k, size_t n)
{
	k->have -= n;
	memmove(k->buf, k->buf + n, k->have);
}

/* Reads until a whole head is at the start of the buffer. Returns 0 and its length, the status to refuse it with, or -1: there is none to come. */
static int read_head(struct session *k, size_t *length)
{
	size_t seen = 0;
	int status;

	for (*length = 0;;) {
		ssize_t n;

		while (k->have >= 2 && memcmp(k->buf, "\r\n", 2) == 0) { /* empty lines before a request are to be overlooked */
			consume(k, 2);
			seen = 0;
		}
		status = find_end(k, &seen, length);
		if (status != 0 || *length != 0)
			return status;
		if (k->have == sizeof k->buf)
			return 431;
		n = tcp_read(k->conn, k->buf + k->have, sizeof k->buf - k->have);
		if (n == WEFT_ETIMEDOUT && k->have > 0)
			return 408;
		if (n <= 0) /* the end, an idle client, or one that is gone */
			return -1;
		k->have += (size_t)n;
	}
}

/* Turns the line at s into a string and returns the start of the next one. The head has no zeroes, and every line of it ends with CR LF. */
static char *cut_line(char *s, char *end)
{
	char *cr = memchr(s, '\r', (size_t)(end - s));

	*cr = '\0';
	return cr + 2;
}

static bool is_token(const char *s)
{
	return *s && s[strspn(s, TOKEN)] == '\0';
}

/* METHOD SP TARGET SP VERSION. Returns 0 or a status; *allowed: it is a method that this server knows. */
static int parse_request_line(char *line, struct request *r, bool *allowed)
{
	char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;

	if (!version)
		return 400;
	*target++ = '\0';
	*version++ = '\0';
	if (!is_token(line) || !*target)
		return 400;
	for (const char *p = target; *p; p++) {
		if (*p <= ' ' || *p > '~') /* char may be signed or not: both are refused */
			return 400;
	}
	if (strncmp(version, "HTTP/", 5) != 0 || !isdigit((unsigned char)version[5]) || version[6] != '.' ||
	    !isdigit((unsigned char)version[7]) || version[8])
		return 400;
	if (version[5] != '1')
		return 505;
	r->http10 = version[7] == '0';
	r->head = strcmp(line, "HEAD") == 0;
	*allowed = r->head || strcmp(line, "GET") == 0;
	return 0;
}

/* The list has this element: connection options are separated by commas and compared without regard to case. */
static bool list_has(const char *list, const char *element)
{
	size_t n = strlen(element);

	while (*(list += strspn(list, ", \t"))) {
		if (strncasecmp(list, element, n) == 0 && (!list[n] || strchr(", \t", list[n])))
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

/* Reads the head at the start of the buffer. Returns 200, or the status to refuse it with. */
static int parse_head(char *head, size_t length, struct request *r)
{
	char *end = head + length, *line = head, *next = cut_line(line, end);
	bool allowed = false, close = false, keep_alive = false, has_length = false, encoded = false, expects = false;
	int hosts = 0, status = parse_request_line(line, r, &allowed);

	if (status != 0)
		return status;
	for (line = next; next = cut_line(line, end), *line; line = next) {
		char *value = strchr(line, ':'), *last;

		if (!value)
			return 400;
		*value++ = '\0';
		if (!is_token(line)) /* also a space before the colon, and a line that continues another */
			return 400;
		value += strspn(value, " \t");
		for (last = value + strlen(value); last > value && (last[-1] == ' ' || last[-1] == '\t');)
			*--last = '\0';

		if (strcasecmp(line, "Host") == 0) {
			hosts++;
		} else if (strcasecmp(line, "Connection") == 0) {
			close |= list_has(value, "close");
			keep_alive |= list_has(value, "keep-alive");
		} else if (strcasecmp(line, "Content-Length") == 0) {
			if (has_length || !*value || value[strspn(value, "0123456789")])
				return 400;
			has_length = true;
			r->length = strtoul(value, NULL, 10); /* a number too large becomes the largest, which is refused below */
		} else if (strcasecmp(line, "Transfer-Encoding") == 0) {
			encoded = true;
		} else if (strcasecmp(line, "Expect") == 0) {
			expects = true;
		}
	}
	if (hosts > 1 || (hosts == 0 && !r->http10) || (encoded && (has_length || r->http10)))
		return 400;
	if (encoded)
		return 501;
	if (r->length > BODY_MAX)
		return 413;
	if (expects && r->length > 0) /* whoever waits for leave to send a body is not given it */
		return 417;
	r->keep = !close && (!r->http10 || keep_alive);
	return allowed ? 200 : 405;
}

/* --- answering --- */

static const char *reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 413:
		return "Content Too Large";
	case 417:
		return "Expectation Failed";
	case 431:
		return "Request Header Fields Too Large";
	case 501:
		return "Not Implemented";
	case 505:
		return "HTTP Version Not Supported";
	}
	return "Unknown";
}

/* The time as HTTP writes it, made anew once a second. */
static const char *date(struct session *k)
{
	time_t t = time(NULL);
	struct tm tm;

	if (t != k->date_of) {
		gmtime_r(&t, &tm);
		strftime(k->date, sizeof k->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
		k->date_of = t;
	}
	return k->date;
}

/* Returns 0, or a negative code: the client is gone. */
static int reply(struct session *k, const struct request *r, int status)
{
	const char *connection = !r->keep ? "Connection: close\r\n" : r->http10 ? "Connection: keep-alive\r\n" : "";
	const char *allow = status == 405 ? "Allow: GET, HEAD\r\n" : "";
	const char *text = status == 200 ? "Hello, world!" : reason(status);
	char out[512];
	int n = snprintf(out, sizeof out, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s%s\r\n%s\n",
			 status, reason(status), date(k), strlen(text) + 1, allow, connection, text);
	ssize_t sent;

	if (r->head)
		n -= (int)strlen(text) + 1;
	sent = tcp_write(k->conn, out, (size_t)n, NULL);
	return sent < 0 ? (int)sent : 0;
}

/* The client has as long for this as for a request, whatever it did before. */
static void start_clock(struct session *k)
{
	int64_t end = weft_in(k->patience);

	tcp_set_deadline(k->conn, end, end);
}

/* Reads the body and drops it. What came with the head is in the buffer, the rest has yet to come. */
static bool skip_body(struct session *k, size_t length)
{
	while (length > 0) {
		size_t n = k->have < length ? k->have : length;
		ssize_t got;

		consume(k, n);
		length -= n;
		if (length == 0)
			break;
		got = tcp_read(k->conn, k->buf, sizeof k->buf);
		if (got <= 0)
			return false;
		k->have = (size_t)got;
	}
	return true;
}

/* What follows an answer. */
enum next { REQUEST, CLOSE, NOTHING };

/* One request and its answer. NOTHING: the client is gone, or never asked. */
static enum next answer(struct session *k)
{
	struct request r = {0};
	size_t length;
	int status;

	start_clock(k);
	status = read_head(k, &length);
	if (status < 0)
		return NOTHING;
	if (status == 0) {
		status = parse_head(k->buf, length, &r);
		consume(k, length);
	}
	/* After any other status it is not known where the next request begins: r.keep is false then. */
	if ((status == 200 || status == 405) && !skip_body(k, r.length))
		return NOTHING;
	start_clock(k);
	if (reply(k, &r, status) != 0)
		return NOTHING;
	return r.keep ? REQUEST : CLOSE;
}

/* Says that no more is sent, and reads on for a moment: to close with input unread would cut the connection, maybe before the reply is read. */
static void linger(struct session *k)
{
	int64_t end = weft_in(MOMENT);

	tcp_shutdown(k->conn, SHUT_WR);
	tcp_set_deadline(k->conn, end, end);
	while (tcp_read(k->conn, k->buf, sizeof k->buf) > 0)
		;
}

static void serve(tcp *conn, int64_t patience, waitgroup *tasks)
{
	struct session k;
	enum next next;

	k.conn = conn;
	k.patience = patience;
	k.have = 0;
	k.date_of = 0;
	while ((next = answer(&k)) == REQUEST)
		;
	if (next == CLOSE)
		linger(&k);
	tcp_close(conn);
	wg_done(tasks);
}

/* --- the server --- */

struct options {
	const char *address;
	int64_t patience;
	int signals;
};

/* Accepts until the listener is closed. Returns why it stopped: WEFT_ECLOSED, or an error. */
static int accept_all(tcp_listener *l, int64_t patience, waitgroup *tasks)
{
	tcp *conn;
	int rc;

	while ((rc = tcp_accept(l, &conn)) == 0) {
		wg_add(tasks, 1);
		rc = go(serve, conn, patience, tasks);
		if (rc != 0) {
			fprintf(stderr, "http_hello: a connection is refused: %s\n", weft_strerror(rc));
			tcp_close(conn);
			wg_done(tasks);
		}
	}
	return rc;
}

/* Serves until a signal comes, then gives the connections a moment, and cuts the rest. Returns why it stopped accepting. */
static int serve_all(tcp_listener *l, int signals, int64_t patience)
{
	ctx *scope = ctx_make(NULL), *up;
	struct stopper stopper;
	waitgroup tasks = {0};
	int rc = scope ? stopper_start(&stopper, signals, l) : WEFT_ENOMEM;

	if (rc == 0) {
		up = ctx_enter(scope); /* the tasks started from here on are ended by cancelling it */
		rc = accept_all(l, patience, &tasks);
		ctx_leave(up);
		wg_wait_until(&tasks, weft_in(MOMENT));
		ctx_cancel(scope, WEFT_REASON_CANCELED);
		wg_wait(&tasks);
		stopper_end(&stopper);
	}
	ctx_free(scope);
	return rc;
}

static int run(void *arg)
{
	struct options *o = arg;
	char text[WEFT_ADDR_TEXT];
	tcp_listener *l;
	weft_addr addr;
	int rc;

	rc = tcp_listen(&l, o->address, NULL);
	if (rc != 0) {
		fprintf(stderr, "http_hello: %s: %s\n", o->address, weft_strerror(rc));
		return 1;
	}
	if (tcp_listener_addr(l, &addr) == 0 && addr_format(&addr, text, sizeof text) > 0)
		printf("listening on %s\n", text);
	fflush(stdout);
	rc = serve_all(l, o->signals, o->patience);
	if (rc != WEFT_ECLOSED)
		fprintf(stderr, "http_hello: %s\n", weft_strerror(rc));
	tcp_listener_close(l);
	return rc != WEFT_ECLOSED;
}

int main(int argc, char **argv)
{
	struct options o = {argc > 1 ? argv[1] : "127.0.0.1:8080", (argc > 2 ? atoi(argv[2]) : 10) * SEC, signals_open()};
	int rc;

	if (argc > 3 || o.patience <= 0) {
		fprintf(stderr, "usage: http_hello [ADDRESS [SECONDS]]\n");
		return 2;
	}
	if (o.signals < 0) {
		perror("http_hello: signals");
		return 1;
	}
	rc = weft_run(run, &o, NULL);
	if (rc < 0)
		fprintf(stderr, "http_hello: the runtime could not run: %s\n", weft_strerror(rc));
	return rc != 0;
}
