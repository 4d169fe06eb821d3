/* SPDX-License-Identifier: MIT
 *
 * drain_server.c - an echo server that stops in order: at SIGTERM or SIGINT it takes no more connections, and lets those that are there finish.
 *
 * A client in the same process sends the signal in the middle of its conversation, and is served to the end of it.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <weft.h>

static chan *addresses;

static int echo(tcp *c, void *arg)
{
	char buf[512];
	ssize_t n;

	(void)arg;
	while ((n = tcp_read(c, buf, sizeof buf)) > 0) {
		if (tcp_write(c, buf, (size_t)n, NULL) < 0)
			break;
	}
	return (int)n;
}

/* The server listens. */
static void ready(const weft_addr *at, void *arg)
{
	(void)arg;
	chan_send(addresses, at);
}

static void says(tcp *c, const char *word, size_t n)
{
	char back[64] = "";

	if (tcp_write(c, word, n, NULL) > 0 && tcp_read(c, back, sizeof back - 1) > 0)
		printf("client: %s comes back\n", back);
}

static int client(void *arg)
{
	char text[WEFT_ADDR_TEXT];
	ctx *stop = arg;
	weft_addr at;
	tcp *c;
	int rc;

	chan_recv(addresses, &at);
	addr_format(&at, text, sizeof text);
	if (tcp_dial(&c, text) != 0)
		return 1;
	says(c, "hello", 5);
	kill(getpid(), SIGTERM);
	ctx_wait(stop);
	printf("it stops: %s\n", weft_ctx_cause(stop));
	says(c, "and goodbye", 11);
	rc = tcp_close(c);
	return rc;
}

WEFT_MAIN(argc, argv)
{
	ctx *stop = ctx_on_signal(NULL, SIGTERM, SIGINT);
	serve_counters counters = {{0}};
	serve_stat st;
	task *t;
	int rc;

	addresses = chan_make(sizeof(weft_addr), 1);
	go_opts(&t, client, stop, NULL);
	rc = tcp_serve_addr("127.0.0.1:0", echo, NULL,
			    &(serve_opts){.ctx = stop, .grace = 30 * SEC, .counters = &counters, .ready = ready});
	task_join(t, NULL);
	serve_stats(&counters, &st);
	printf("server: %s; %d connection, %d cancelled\n", weft_strerror(rc), (int)st.accepted, (int)st.canceled);
	ctx_free(stop);
	chan_free(addresses);
	return rc != 0;
}
