/* SPDX-License-Identifier: MIT
 *
 * ask_again.c - questions by UDP, asked again until they are answered.
 *
 * A small server of names, as DNS is one: a question is one datagram, and so is its answer. Datagrams get lost: this server, to show it, forgets every third, and answers some
 * with the answer of the question before. So each question has a number, which its answer carries; who asks waits a moment for the answer with that number, then asks
 * again, for a longer moment each time, and gives up in the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

enum { TRIES = 8, TEXT = 48 };

#define MOMENT (20 * MS) /* for the first answer; then twice as long each time */

struct message {
	uint32_t number; /* both ends are on this machine; else it would be in network order */
	char text[TEXT];
};

/* --- the server --- */

static const char *const names[][2] = {{"warp", "192.0.2.1"}, {"weft", "192.0.2.2"}, {"loom", "192.0.2.3"}};

static const char *look_up(const char *name)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (strcmp(names[i][0], name) == 0)
			return names[i][1];
	}
	return "no such name";
}

static void serve(udp *u)
{
	struct message m, last = {0, ""};
	weft_addr from;

	for (int n = 1;; n++) {
		ssize_t len = udp_recvfrom(u, &m, sizeof m, &from, NULL);

		if (len < 0)
			break; /* closed */
		if (len != sizeof m || n % 3 == 1)
			continue; /* not a question; or lost on the way */
		if (n % 3 == 2)
			udp_sendto(u, &last, sizeof last, &from); /* comes too late for whoever asked it */
		m.text[TEXT - 1] = '\0';
		snprintf(m.text, sizeof m.text, "%s", look_up(m.text));
		last = m;
		if (n % 3 == 0)
			udp_sendto(u, &m, sizeof m, &from);
	}
	udp_free(u);
}

/* --- who asks --- */

/* One try: the answer to question m->number, into m. */
static int try_once(udp *u, struct message *m, int64_t deadline)
{
	struct message a;
	ssize_t n = udp_send_until(u, m, sizeof *m, deadline);

	while (n >= 0) {
		n = udp_recv_until(u, &a, sizeof a, NULL, deadline);
		if (n == sizeof a && a.number == m->number) {
			*m = a;
			return 0;
		}
	}
	return (int)n; /* WEFT_ECONNREFUSED: nobody is there just now, as good as lost */
}

static int ask(udp *u, uint32_t number, const char *name, struct message *m, int *tries)
{
	int64_t moment = MOMENT;
	int rc = WEFT_ETIMEDOUT;

	for (*tries = 1; *tries <= TRIES; ++*tries) {
		memset(m, 0, sizeof *m);
		m->number = number;
		snprintf(m->text, sizeof m->text, "%s", name);
		rc = try_once(u, m, weft_in(moment));
		if (rc == 0 || rc == WEFT_ECANCELED)
			break;
		moment *= 2;
	}
	return rc;
}

WEFT_MAIN(argc, argv)
{
	static const char *const questions[] = {"weft", "loom", "warp", "shuttle"};
	int all_tries = 0, all = sizeof questions / sizeof *questions;
	udp *server, *client;
	weft_addr at;

	(void)argc;
	(void)argv;
	if (udp_open(&server, "127.0.0.1:0", NULL) != 0 || udp_local(server, &at) != 0)
		return 1;
	if (go(serve, udp_ref(server)) != 0)
		return 1;
	if (udp_open(&client, "127.0.0.1:0", NULL) != 0 || udp_connect(client, &at) != 0)
		return 1;
	for (int i = 0; i < all; i++) {
		struct message m;
		int tries, rc = ask(client, (uint32_t)i + 1, questions[i], &m, &tries);

		printf("%s: %s\n", questions[i], rc ? weft_strerror(rc) : m.text);
		all_tries += tries;
	}
	printf("%d questions, %s\n", all, all_tries > all ? "some of them asked again" : "each asked once");
	udp_close(client);
	udp_close(server);
	return 0;
}
