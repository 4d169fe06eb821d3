/* SPDX-License-Identifier: MIT
 *
 * echo_server.c - sends back what it gets, a task per connection.
 *
 *     echo_server [ADDRESS]        ADDRESS: default 127.0.0.1:7000; port 0: any free port
 *
 * Prints "listening on ADDRESS". SIGINT or SIGTERM end it: it accepts no more, connections get a moment to finish, the rest are cut.
 */
#include <signal.h>
#include <stdio.h>
#include <weft.h>

#define MOMENT SEC

/* One connection. It ends when the client has said all, or is gone: neither is an error of ours. */
static int echo(tcp *conn, void *arg)
{
	char buf[8192];
	ssize_t n;

	(void)arg;
	while ((n = tcp_read(conn, buf, sizeof buf)) > 0) {
		if (tcp_write(conn, buf, (size_t)n, NULL) < 0)
			break;
	}
	return 0;
}

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
	const char *address = argc > 1 ? argv[1] : "127.0.0.1:7000";
	serve_opts o = {.grace = MOMENT, .listeners = 1, .ready = ready}; /* more listeners would let a second server in on their port */
	int rc;

	if (argc > 2) {
		fprintf(stderr, "usage: echo_server [ADDRESS]\n");
		return 2;
	}
	o.ctx = ctx_on_signal(NULL, SIGTERM, SIGINT);
	rc = o.ctx ? tcp_serve_addr(address, echo, NULL, &o) : WEFT_ENOMEM;
	ctx_free(o.ctx);
	if (rc == 0 || rc == WEFT_ETIMEDOUT) /* that one: some were cut */
		return 0;
	fprintf(stderr, "echo_server: %s: %s\n", address, weft_strerror(rc));
	return 1;
}
