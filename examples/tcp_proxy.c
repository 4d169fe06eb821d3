/* SPDX-License-Identifier: MIT
 *
 * tcp_proxy.c - passes connections on to another server: two copies a connection, past this process where the system can do that.
 *
 *     tcp_proxy [ADDRESS [TARGET]]        ADDRESS: default 127.0.0.1:7003; port 0: any free port
 *                                         TARGET: where to; default 127.0.0.1:7000, the echo server
 *
 * An end of input is passed on as such: what comes the other way still comes. If one direction breaks, so does the other. Prints "listening on ADDRESS". SIGINT or SIGTERM end it, as they
 * end echo_server.c.
 */
#include <signal.h>
#include <stdio.h>
#include <weft.h>

#define MOMENT SEC
#define PATIENCE (10 * SEC) /* for the target to answer */

struct way {
	tcp *from, *to;
};

static int one_way(void *arg)
{
	struct way *w = arg;
	int64_t n = io_copy(tcp_io(w->to), tcp_io(w->from), WEFT_COPY_ALL, NULL);

	if (n < 0)
		return (int)n;
	tcp_shutdown(w->to, SHUT_WR);
	return 0;
}

/* One connection, to the target that arg names. */
static int pass_on(tcp *client, void *arg)
{
	tcp *server;
	int rc = tcp_dial_until(&server, arg, weft_in(PATIENCE));

	if (rc == 0) {
		struct way there = {client, server}, back = {server, client};

		WITH_GROUP (g) { /* the first to fail has the other cancelled */
			group_go(&g, one_way, &there);
			group_go(&g, one_way, &back);
		}
		tcp_close(server);
	}
	return rc;
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
	const char *address = argc > 1 ? argv[1] : "127.0.0.1:7003";
	char target[] = "127.0.0.1:7000";
	serve_opts o = {.grace = MOMENT, .listeners = 1, .ready = ready}; /* more listeners would let a second server in on their port */
	int rc;

	if (argc > 3) {
		fprintf(stderr, "usage: tcp_proxy [ADDRESS [TARGET]]\n");
		return 2;
	}
	o.ctx = ctx_on_signal(NULL, SIGTERM, SIGINT);
	rc = o.ctx ? tcp_serve_addr(address, pass_on, argc > 2 ? argv[2] : target, &o) : WEFT_ENOMEM;
	ctx_free(o.ctx);
	if (rc == 0 || rc == WEFT_ETIMEDOUT) /* that one: some were cut */
		return 0;
	fprintf(stderr, "tcp_proxy: %s: %s\n", address, weft_strerror(rc));
	return 1;
}
