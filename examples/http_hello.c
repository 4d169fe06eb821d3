/* SPDX-License-Identifier: MIT
 *
 * http_hello.c - an HTTP/1.1 server that greets whatever is asked for, a task per connection.
 *
 *     http_hello [ADDRESS [SECONDS]]        ADDRESS: default 127.0.0.1:8080; port 0: any free port
 *                                           SECONDS: what a client may take for a request, and between two; default 10
 *
 * Requests are read by RFC 9112, and strictly: what two programs could read in two ways (a bare CR or LF, two lengths, a folded header) is
 * refused. Prints "listening on ADDRESS". SIGINT or SIGTERM end it, as they end echo_server.c.
 */
#include <ctype.h>
#include <signal.h>
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
	weft_rd in;
	weft_wr out;
	time_t date_of; /* the second that date says */
	char date[32];
	char head[HEAD_MAX];    /* of the request that is read now */
	char buf[HEAD_MAX + 1]; /* in's */
	char out_buf[2048];
};

struct request {
	bool head;     /* HEAD: the same answer, without its body */
	bool http10;   /* HTTP/1.0 */
	bool keep;     /* the client wants to ask more on this connection */
	size_t length; /* bytes of body that follow */
};

/* --- reading the head of a request --- */

/* Looks at the bytes from *seen on. Returns the length of the head once its empty line is there, 0 before, 400 for bytes that no head has. */
static int find_end(const char *p, size_t have, size_t *seen, size_t *length)
{
	for (; *seen < have; ++*seen) {
		unsigned char ch = (unsigned char)p[*seen];
		bool after_cr = *seen > 0 && p[*seen - 1] == '\r';

		if ((ch == '\n') != after_cr) /* CR and LF come together or not at all */
			return 400;
		if (iscntrl(ch) && ch != '\r' && ch != '\n' && ch != '\t')
			return 400;
		if (ch == '\n' && *seen >= 3 && p[*seen - 2] == '\n') {
			*length = *seen + 1;
			return 0;
		}
	}
	return 0;
}

/* Reads a whole head. Returns 0 and its length, the status to refuse it with, or -1: there is none to come. */
static int read_head(struct session *k, size_t *length)
{
	size_t seen = 0;
	const char *p;
	int status;

	for (*length = 0;;) {
		ssize_t n = rd_peek(&k->in, seen + 1, &p); /* more than was seen before */

		if (n == WEFT_ENOBUFS)
			return 431;
		if (n == WEFT_ETIMEDOUT && rd_buffered(&k->in) > 0)
			return 408;
		if (n < 0) /* the end, an idle client, or one that is gone */
			return -1;
		if (n >= 2 && memcmp(p, "\r\n", 2) == 0) { /* empty lines before a request are to be overlooked */
			rd_discard(&k->in, 2, NULL);
			seen = 0;
			continue;
		}
		status = find_end(p, (size_t)n, &seen, length);
		if (status != 0)
			return status;
		if (*length != 0)
			return rd_full(&k->in, k->head, *length, NULL) < 0 ? -1 : 0; /* all of it is there */
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

/* Goes out before the next wait for a request. False: the client is gone. */
static bool reply(struct session *k, const struct request *r, int status)
{
	const char *connection = !r->keep ? "Connection: close\r\n" : r->http10 ? "Connection: keep-alive\r\n" : "";
	const char *allow = status == 405 ? "Allow: GET, HEAD\r\n" : "";
	const char *text = status == 200 ? "Hello, world!" : reason(status);
	ssize_t n = wr_printf(&k->out, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s%s\r\n", status,
			      reason(status), date(k), strlen(text) + 1, allow, connection);

	return n >= 0 && (r->head || wr_printf(&k->out, "%s\n", text) >= 0);
}

/* The client has as long for this as for a request, whatever it did before. */
static void start_clock(struct session *k)
{
	int64_t end = weft_in(k->patience);

	tcp_set_deadline(k->conn, end, end);
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
	if (status == 0)
		status = parse_head(k->head, length, &r);
	/* After any other status it is not known where the next request begins: r.keep is false then. */
	if ((status == 200 || status == 405) && rd_discard(&k->in, r.length, NULL) < 0) /* the body is of no interest */
		return NOTHING;
	if (!reply(k, &r, status))
		return NOTHING;
	return r.keep ? REQUEST : CLOSE;
}

/* Sends the last answer, says that no more comes, and reads on for a moment: to close with input unread would cut the connection, maybe before the reply is read. */
static void linger(struct session *k)
{
	int64_t end;

	start_clock(k);
	wr_flush(&k->out);
	tcp_shutdown(k->conn, SHUT_WR);
	end = weft_in(MOMENT);
	tcp_set_deadline(k->conn, end, end);
	while (rd_read(&k->in, k->head, sizeof k->head) > 0)
		;
}

static int serve(tcp *conn, void *arg)
{
	int64_t *patience = arg;
	struct session k;
	enum next next;

	k.conn = conn;
	k.patience = *patience;
	k.date_of = 0;
	rd_init(&k.in, tcp_io(conn), k.buf, sizeof k.buf);
	wr_init(&k.out, tcp_io(conn), k.out_buf, sizeof k.out_buf);
	rd_tie(&k.in, &k.out);
	while ((next = answer(&k)) == REQUEST)
		;
	if (next == CLOSE)
		linger(&k);
	return 0;
}

/* --- the server --- */

static void ready(const weft_addr *at, void *arg)
{
	char text[WEFT_ADDR_TEXT];

	(void)arg;
	if (addr_format(at, text, sizeof text) > 0)
		printf("listening on %s\n", text);
	fflush(stdout);
}

WEFT_MAIN(argc, argv)
{
	const char *address = argc > 1 ? argv[1] : "127.0.0.1:8080";
	int64_t patience = (argc > 2 ? atoi(argv[2]) : 10) * SEC;
	serve_opts o = {.grace = MOMENT, .listeners = 1, .ready = ready}; /* more listeners would let a second server in on their port */
	int rc;

	if (argc > 3 || patience <= 0) {
		fprintf(stderr, "usage: http_hello [ADDRESS [SECONDS]]\n");
		return 2;
	}
	o.ctx = ctx_on_signal(NULL, SIGTERM, SIGINT);
	rc = o.ctx ? tcp_serve_addr(address, serve, &patience, &o) : WEFT_ENOMEM;
	ctx_free(o.ctx);
	if (rc == 0 || rc == WEFT_ETIMEDOUT) /* that one: some were cut */
		return 0;
	fprintf(stderr, "http_hello: %s: %s\n", address, weft_strerror(rc));
	return 1;
}
