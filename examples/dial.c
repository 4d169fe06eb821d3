/* SPDX-License-Identifier: MIT
 *
 * dial.c - finds out what a name means, and connects to it, with one deadline for all of it.
 *
 * A dial asks for the name, and tries its addresses, IPv6 and IPv4 in turns, the next one besides when one does not answer soon. Whatever takes how long, it returns by
 * its deadline. Here everything is on this machine: "localhost" is known to all, and names under "invalid" exist nowhere.
 */
#include <stdio.h>
#include <string.h>
#include <weft.h>

#define PATIENCE (5 * SEC)

static void serve(tcp_listener *l)
{
	tcp *c;

	while (tcp_accept(l, &c) == 0) {
		tcp_write(c, "hello", 5, NULL);
		tcp_close(c);
	}
	tcp_listener_close(l);
}

static void resolve(const char *host)
{
	weft_addr *a;
	int n = dns_resolve_until(&a, host, "80", NULL, weft_in(PATIENCE));

	if (n < 0) {
		printf("%s: %s\n", host, weft_strerror(n));
		return;
	}
	printf("%s:", host);
	for (int i = 0; i < n; i++) {
		char text[WEFT_ADDR_TEXT];

		addr_format(&a[i], text, sizeof text);
		printf(" %s", text);
	}
	printf("\n");
	dns_free(a);
}

static void talk(const char *what, const char *at)
{
	int64_t deadline = weft_in(PATIENCE);
	char text[64];
	ssize_t n;
	tcp *c;
	int rc = tcp_dial_until(&c, at, deadline);

	if (rc) {
		printf("%s: %s\n", what, weft_strerror(rc));
		return;
	}
	n = tcp_read_until(c, text, sizeof text, deadline);
	printf("%s: %.*s\n", what, n > 0 ? (int)n : 0, text);
	tcp_close(c);
}

WEFT_MAIN(argc, argv)
{
	tcp_listener *l;
	weft_addr a;
	char at[64];

	(void)argc;
	(void)argv;
	resolve("192.0.2.1");
	resolve("localhost");
	resolve("nowhere.invalid");
	if (tcp_listen(&l, "localhost:0", NULL) || tcp_listener_addr(l, &a))
		return 1;
	go(serve, tcp_listener_ref(l));
	snprintf(at, sizeof at, "localhost:%d", addr_port(&a));
	talk("a server", at);
	tcp_listener_close(l);
	talk("nobody", at);
	talk("nowhere", "nowhere.invalid:80");
	return 0;
}
