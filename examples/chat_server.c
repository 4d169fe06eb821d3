/* SPDX-License-Identifier: MIT
 *
 * chat_server.c - what one client says, all clients read: for nc and telnet.
 *
 *     chat_server [ADDRESS]        ADDRESS: default 127.0.0.1:7001; port 0: any free port
 *
 * One task, the broadcaster, owns the list of clients; others speak to it through channels. Each connection has a task that reads, and one
 * that writes what the broadcaster has put into the client's own channel. After the chat server in "The Go Programming Language", chapter 8,
 * with what that one leaves to its readers: names, slow clients, lines of limited length, and an end.
 *
 * A client that does not read fills its channel. It is then dismissed: it gets a moment for what is in its channel, and the connection ends.
 * To drop single messages instead would leave it in a conversation with holes that nobody sees; to wait would stall everybody else. Nor may one
 * who pours in a file make others look slow: after each line a client has to take breath, and what it sends meanwhile waits in the network.
 *
 * Prints "listening on ADDRESS". SIGINT or SIGTERM end it: clients are told, and dismissed.
 */
#include <ctype.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>

#define LINE_MAX_BYTES 400 /* what a client may say at once */
#define NAME_MAX_BYTES 20
#define QUEUE 64         /* lines that a client may lag behind, besides what the kernel keeps */
#define BREATH (10 * MS) /* between two lines of a client */
#define MOMENT SEC

/* Travels through channels by value: nobody owns it. */
struct line {
	size_t length;
	char text[LINE_MAX_BYTES + WEFT_ADDR_TEXT + 8];
};

/* Lives in the frame of the task that reads. The writer and the broadcaster borrow it, and are counted in users while they do. */
struct client {
	tcp *conn;
	chan *out; /* of struct line; the broadcaster closes it */
	char name[WEFT_ADDR_TEXT];
	waitgroup users;
	struct client *next; /* the broadcaster's list */
};

struct room {
	chan *messages, *entering, *leaving; /* to the broadcaster: struct line, struct client *, struct client * */
	ctx *stop;                           /* ends with a signal */
};

__attribute__((format(printf, 2, 3))) static void print_line(struct line *l, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(l->text, sizeof l->text - 2, format, args);
	va_end(args);
	l->length = n < 0 ? 0 : (size_t)n < sizeof l->text - 2 ? (size_t)n : sizeof l->text - 3;
	memcpy(l->text + l->length, "\r\n", 2);
	l->length += 2;
}

/* --- the broadcaster --- */

/* What is in its channel may still be written, for a moment; then the connection ends, and the client leaves. More than once does no harm. */
static void dismiss(struct client *c)
{
	int64_t end = weft_in(MOMENT);

	chan_close(c->out);
	tcp_set_deadline(c->conn, end, end);
}

/* Never waits for a client. */
static void tell(struct client *c, const struct line *l)
{
	if (chan_trysend(c->out, l) == WEFT_EAGAIN)
		dismiss(c);
}

static void take_off(struct client **list, struct client *c)
{
	while (*list != c)
		list = &(*list)->next;
	*list = c->next;
}

/* Nobody cancels it, so select always ends with a case. */
static int broadcast(void *arg)
{
	enum { MESSAGE, ENTERING, LEAVING, CLOSING };
	struct client *here = NULL, *c;
	struct room *r = arg;
	bool closing = false;
	struct line l;

	for (;;) {
		chan_case k[] = {
			[MESSAGE] = CASE_RECV(r->messages, &l),
			[ENTERING] = CASE_RECV(r->entering, &c),
			[LEAVING] = CASE_RECV(r->leaving, &c),
			[CLOSING] = CASE_DONE(closing ? NULL : r->stop, NULL), /* NULL: never again */
		};

		switch (chan_select(k, 4)) {
		case MESSAGE:
			if (k[MESSAGE].status == WEFT_ECLOSED) /* all have left */
				return 0;
			for (c = here; c; c = c->next)
				tell(c, &l);
			break;
		case ENTERING:
			c->next = here;
			here = c;
			if (closing)
				dismiss(c);
			break;
		case LEAVING:
			take_off(&here, c);
			chan_close(c->out);
			wg_done(&c->users); /* from here on c is no more */
			break;
		case CLOSING:
			closing = true;
			print_line(&l, "* the server ends");
			for (c = here; c; c = c->next) {
				tell(c, &l);
				dismiss(c);
			}
			break;
		}
	}
}

/* --- a client --- */

/* Writes what is put into the client's channel until that is closed and empty, or the client is gone; then makes the reader see the end. */
static void write_lines(struct client *c)
{
	struct line l;

	while (chan_recv(c->out, &l) == 0) {
		if (tcp_write(c->conn, l.text, l.length, NULL) < 0)
			break;
	}
	tcp_shutdown(c->conn, SHUT_RDWR);
	wg_done(&c->users);
}

struct input {
	char text[LINE_MAX_BYTES + 1]; /* the line last read, a string */
	bool too_long;                 /* and its rest is lost */
	weft_rd from;
	char buf[1024];
};

/* Reads a line, which ends with LF or CR LF, or where the input ends. Control characters are dropped: nobody shall steer another's terminal. */
static bool read_line(struct input *in)
{
	size_t length = 0;
	char *line;
	ssize_t n = rd_line(&in->from, &line);

	in->too_long = n > LINE_MAX_BYTES || n == WEFT_ENOBUFS;
	if (n == WEFT_ENOBUFS)
		n = rd_skip(&in->from, '\n') < 0 ? -1 : 0;
	for (ssize_t i = 0; i < n && length < LINE_MAX_BYTES; i++) {
		if (!iscntrl((unsigned char)line[i]))
			in->text[length++] = line[i];
	}
	in->text[length] = '\0';
	return n >= 0;
}

static bool name_good(const char *name)
{
	size_t n = strlen(name);

	for (const char *p = name; *p; p++) {
		if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_')
			return false;
	}
	return n > 0 && n <= NAME_MAX_BYTES;
}

/* What the client has typed, as a line for all in *l, or for itself alone: false. */
static bool understand(struct client *c, const struct input *in, struct line *l)
{
	if (in->too_long) {
		print_line(l, "* that was too long: a line has at most %d bytes", LINE_MAX_BYTES);
		return false;
	}
	if (strncmp(in->text, "/name ", 6) != 0) {
		print_line(l, "%s: %s", c->name, in->text);
		return true;
	}
	if (!name_good(in->text + 6)) {
		print_line(l, "* a name has 1 to %d letters, digits, - or _", NAME_MAX_BYTES);
		return false;
	}
	print_line(l, "* %s is now %s", c->name, in->text + 6);
	snprintf(c->name, sizeof c->name, "%s", in->text + 6);
	return true;
}

/* From the first line to the last. The broadcaster knows the client between entering and leaving. */
static void talk(struct room *r, struct client *c)
{
	struct input in;
	struct line l;

	print_line(&l, "* you are %s; /name NAME changes that", c->name);
	tell(c, &l);
	chan_send(r->entering, &c);
	print_line(&l, "* %s has come", c->name);
	chan_send(r->messages, &l);

	rd_init(&in.from, tcp_io(c->conn), in.buf, sizeof in.buf);
	while (read_line(&in)) {
		if (!in.text[0] && !in.too_long)
			continue;
		if (understand(c, &in, &l))
			chan_send(r->messages, &l);
		else
			tell(c, &l);
		task_sleep(BREATH);
	}

	chan_send(r->leaving, &c);
	print_line(&l, "* %s has left", c->name);
	chan_send(r->messages, &l);
}

/* A connection: reads, and has a second task that writes. Nothing in it is cancelled, so nobody has to look for that: when the server ends, it is dismissed. */
static void visit(struct room *r, struct client *c)
{
	wg_add(&c->users, 2); /* the writer and the broadcaster */
	if (go(write_lines, c) != 0)
		return;
	talk(r, c);
	tcp_set_deadline(c->conn, FOREVER, weft_in(MOMENT)); /* who has left may still read what was said before */
	wg_wait(&c->users);
}

static int serve(tcp *conn, void *arg)
{
	struct client me = {.conn = conn, .out = chan_make(sizeof(struct line), QUEUE)};
	weft_addr peer;

	if (me.out && tcp_peer(conn, &peer) == 0 && addr_format(&peer, me.name, sizeof me.name) > 0)
		WITH_SHIELD visit(arg, &me); /* from a second signal */
	chan_free(me.out);
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

/* Opens the room, serves, and closes it: clients leave first, then the broadcaster. */
static int run(const char *address)
{
	struct room r = {.messages = chan_make(sizeof(struct line), 0),
			 .entering = chan_make(sizeof(struct client *), 0),
			 .leaving = chan_make(sizeof(struct client *), 0),
			 .stop = ctx_on_signal(NULL, SIGTERM, SIGINT)};
	task *broadcaster;
	int rc = WEFT_ENOMEM;

	if (r.messages && r.entering && r.leaving && r.stop)
		rc = go_opts(&broadcaster, broadcast, &r, NULL);
	if (rc == 0) { /* more listeners would let a second server in on their port */
		rc = tcp_serve_addr(address, serve, &r, &(serve_opts){.ctx = r.stop, .grace = FOREVER, .listeners = 1, .ready = ready});
		chan_close(r.messages);
		task_join(broadcaster, NULL);
	}
	ctx_free(r.stop);
	chan_free(r.leaving);
	chan_free(r.entering);
	chan_free(r.messages);
	return rc;
}

WEFT_MAIN(argc, argv)
{
	const char *address = argc > 1 ? argv[1] : "127.0.0.1:7001";
	int rc;

	if (argc > 2) {
		fprintf(stderr, "usage: chat_server [ADDRESS]\n");
		return 2;
	}
	rc = run(address);
	if (rc == 0 || rc == WEFT_ETIMEDOUT) /* that one: a second signal came */
		return 0;
	fprintf(stderr, "chat_server: %s: %s\n", address, weft_strerror(rc));
	return 1;
}
