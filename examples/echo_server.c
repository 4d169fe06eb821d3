/* SPDX-License-Identifier: MIT
 *
 * echo_server.c - sends back what it gets, a task per connection.
 *
 *     echo_server [ADDRESS]        ADDRESS: default 127.0.0.1:7000; port 0: any free port
 *
 * Prints "listening on ADDRESS". SIGINT or SIGTERM end it: it accepts no more, connections get a moment to finish, the rest are cut.
 */
#include "signals.h"
#include <stdio.h>
#include <weft.h>

#define MOMENT SEC

/* One connection. It ends when the client has said all, or is gone: neither is an error of ours. */
static void echo(tcp *conn, waitgroup *tasks)
{
	char buf[8192];
	ssize_t n;

	while ((n = tcp_read(conn, buf, sizeof buf)) > 0) {
		if (tcp_write(conn, buf, (size_t)n, NULL) < 0)
			break;
	}
	tcp_close(conn);
	wg_done(tasks);
}

/* Accepts until the listener is closed. Returns why it stopped: WEFT_ECLOSED, or an error. */
static int accept_all(tcp_listener *l, waitgroup *tasks)
{
	tcp *conn;
	int rc;

	while ((rc = tcp_accept(l, &conn)) == 0) {
		wg_add(tasks, 1);
		rc = go(echo, conn, tasks);
		if (rc != 0) { /* too many tasks: this client is out of luck, the next may not be */
			fprintf(stderr, "echo_server: a connection is refused: %s\n", weft_strerror(rc));
			tcp_close(conn);
			wg_done(tasks);
		}
	}
	return rc;
}

/* Serves until a signal comes, then gives the connections a moment, and cuts the rest. Returns why it stopped accepting. */
static int serve_all(tcp_listener *l, int signals)
{
	ctx *scope = ctx_make(NULL), *up;
	struct stopper stopper;
	waitgroup tasks = {0};
	int rc = scope ? stopper_start(&stopper, signals, l) : WEFT_ENOMEM;

	if (rc == 0) {
		up = ctx_enter(scope); /* the tasks started from here on are ended by cancelling it */
		rc = accept_all(l, &tasks);
		ctx_leave(up);
		wg_wait_until(&tasks, weft_in(MOMENT));
		ctx_cancel(scope, WEFT_REASON_CANCELED);
		wg_wait(&tasks);
		stopper_end(&stopper);
	}
	ctx_free(scope);
	return rc;
}

struct options {
	const char *address;
	int signals;
};

static int run(void *arg)
{
	struct options *o = arg;
	char text[WEFT_ADDR_TEXT];
	tcp_listener *l;
	weft_addr addr;
	int rc;

	rc = tcp_listen(&l, o->address, NULL);
	if (rc != 0) {
		fprintf(stderr, "echo_server: %s: %s\n", o->address, weft_strerror(rc));
		return 1;
	}
	if (tcp_listener_addr(l, &addr) == 0 && addr_format(&addr, text, sizeof text) > 0)
		printf("listening on %s\n", text);
	fflush(stdout);
	rc = serve_all(l, o->signals);
	if (rc != WEFT_ECLOSED)
		fprintf(stderr, "echo_server: %s\n", weft_strerror(rc));
	tcp_listener_close(l);
	return rc != WEFT_ECLOSED;
}

int main(int argc, char **argv)
{
	struct options o = {argc > 1 ? argv[1] : "127.0.0.1:7000", signals_open()};
	int rc;

	if (argc > 2) {
		fprintf(stderr, "usage: echo_server [ADDRESS]\n");
		return 2;
	}
	if (o.signals < 0) {
		perror("echo_server: signals");
		return 1;
	}
	rc = weft_run(run, &o, NULL);
	if (rc < 0)
		fprintf(stderr, "echo_server: the runtime could not run: %s\n", weft_strerror(rc));
	return rc != 0;
}
