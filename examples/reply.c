/* SPDX-License-Identifier: MIT
 *
 * reply.c - questions with the way back in them: each request carries a one-shot, into which the server puts its answer. Who asks waits for that answer alone, as long as he
 * likes; a request that is dropped unanswered tells him so.
 */
#include <stdio.h>
#include <weft.h>

CHAN_DEFINE(long, answers);

struct request {
	int n;
	answers_tx *reply;
};

CHAN_DEFINE(struct request, requests);

static long fibonacci(int n)
{
	long a = 0, b = 1;

	while (n-- > 0) {
		long next = a + b;

		a = b;
		b = next;
	}
	return a;
}

static int serve(void *arg)
{
	requests *in = arg;

	chan_foreach (in, struct request, r) {
		if (r.n <= 90)
			answers_oneshot_send(r.reply, fibonacci(r.n));
		else
			answers_tx_free(r.reply); /* too large for a long: no answer */
	}
	return 0;
}

static int ask(requests *server, int n, long *out)
{
	answers_tx *reply;
	answers_rx *answer;
	int rc = answers_oneshot(&reply, &answer);

	if (rc != 0)
		return rc;
	rc = requests_send(server, (struct request){n, reply});
	if (rc != 0)
		answers_tx_free(reply);
	else
		rc = answers_rx_recv_until(answer, out, weft_in(10 * SEC));
	answers_rx_free(answer); /* an answer that comes later is dropped */
	return rc;
}

WEFT_MAIN(argc, argv)
{
	static const int questions[] = {10, 50, 90, 91};
	requests *server = requests_make(0);
	task *t;
	long answer;

	(void)argc;
	(void)argv;
	if (!server || go_opts(&t, serve, server, NULL) != 0)
		return 1;
	for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
		int rc = ask(server, questions[i], &answer);

		if (rc == 0)
			printf("fibonacci(%d) = %ld\n", questions[i], answer);
		else
			printf("fibonacci(%d): no answer (%s)\n", questions[i], weft_strerror(rc));
	}
	requests_close(server);
	task_join(t, NULL);
	requests_free(server);
	return 0;
}
