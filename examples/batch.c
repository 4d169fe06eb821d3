/* SPDX-License-Identifier: MIT
 *
 * batch.c - several elements a call: a writer that takes all that has piled up, instead of one record at a time, and a sender that hands over what fits.
 */
#include <stdio.h>
#include <weft.h>

enum { RECORDS = 1000, MOST = 64 };

CHAN_DEFINE(int, records);

static void produce(records *out, int first)
{
	int batch[MOST];

	for (int at = 0; at < RECORDS;) {
		int n = RECORDS - at < MOST ? RECORDS - at : MOST;

		for (int i = 0; i < n; i++)
			batch[i] = first + at + i;
		/* waits for room for one; how many went with it is what comes back */
		for (ssize_t sent = 0, more; sent < n; sent += more) {
			more = records_send_many(out, batch + sent, (size_t)(n - sent));
			if (more < 0)
				return;
		}
		at += n;
	}
}

static void produce_and_say(records *out, int first, waitgroup *g)
{
	produce(out, first);
	wg_done(g);
}

static void close_after(records *c, waitgroup *g)
{
	wg_wait(g);
	records_close(c);
}

WEFT_MAIN(argc, argv)
{
	records *c = records_make(2 * MOST);
	waitgroup g = {0};
	int batch[MOST], last[2] = {-1, RECORDS - 1}, in_order = 1;
	long sum = 0, count = 0, calls = 0;
	ssize_t n;

	(void)argc;
	(void)argv;
	if (!c)
		return 1;
	wg_add(&g, 2);
	if (go(produce_and_say, c, 0, &g) != 0 || go(produce_and_say, c, RECORDS, &g) != 0 || go(close_after, c, &g) != 0)
		return 1;
	while ((n = records_recv_many(c, batch, MOST)) > 0) {
		calls++;
		count += n;
		for (ssize_t i = 0; i < n; i++) {
			int *before = &last[batch[i] / RECORDS];

			in_order &= batch[i] == *before + 1;
			*before = batch[i];
			sum += batch[i];
		}
	}
	printf("%ld records, the sum of their numbers is %ld\n", count, sum);
	printf("each sender's %s\n", in_order ? "in order" : "out of order");
	printf("at most %d a call: %s\n", MOST, calls >= count / MOST ? "yes" : "no");
	printf("then: %s\n", weft_strerror((int)n));
	records_free(c);
	return 0;
}
