/* SPDX-License-Identifier: MIT
 *
 * ends.c - a channel in two halves: several tasks hold sending ends, one a receiving end. Nobody has to know who is the last: the channel ends with the last sending end, and
 * breaks with the last receiving one.
 */
#include <stdio.h>
#include <weft.h>

CHAN_DEFINE(int, ints);

/* Owns `out`. Cannot receive from it, nor close it under the others: the compiler sees to that. */
static void squares(ints_tx *out, int from, int to, waitgroup *g)
{
	for (int i = from; i < to; i++) {
		if (ints_tx_send(out, i * i) != 0)
			break;
	}
	ints_tx_free(out);
	wg_done(g);
}

/* Sends until nobody receives any more. */
static int forever(void *arg)
{
	ints_tx *out = arg;
	int rc, i = 0;

	while ((rc = ints_tx_send(out, i++)) == 0)
		;
	ints_tx_free(out);
	return rc;
}

WEFT_MAIN(argc, argv)
{
	ints *c = ints_make(4);
	ints_rx *in;
	waitgroup g = {0};
	task *t;
	int v, sum = 0, end, rc;

	(void)argc;
	(void)argv;
	if (!c)
		return 1;
	in = ints_rx_make(c);
	wg_add(&g, 3);
	for (int i = 0; i < 3; i++) {
		if (go(squares, ints_tx_make(c), i * 10, i * 10 + 10, &g) != 0)
			return 1;
	}
	ints_free(c); /* the ends keep it */
	chan_foreach (in, int, n, &end)
		sum += n;
	wg_wait(&g);
	printf("the squares below 30 are %d together; then: %s\n", sum, weft_strerror(end));
	ints_rx_free(in);

	/* The other way round: the receiver leaves first. */
	c = ints_make(0);
	if (!c)
		return 1;
	in = ints_rx_make(c);
	if (go_opts(&t, forever, ints_tx_make(c), NULL) != 0)
		return 1;
	ints_free(c);
	for (int i = 0; i < 3 && ints_rx_recv(in, &v) == 0; i++)
		printf("%d\n", v);
	ints_rx_free(in);
	task_join(t, &rc);
	printf("the sender: %s\n", weft_strerror(rc));
	return 0;
}
