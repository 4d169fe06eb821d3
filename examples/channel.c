/* SPDX-License-Identifier: MIT
 *
 * channel.c - what a channel does: it hands over, it holds, it closes.
 *
 * A task that uses a channel holds a reference to it and gives that back when it is done.
 */
#include <stdio.h>
#include <weft.h>

static void count(chan *c, int n)
{
	for (int i = 1; i <= n; i++) {
		if (chan_send(c, &i) != 0) /* waits until somebody has it */
			break;
	}
	chan_close(c); /* says that no more will come */
	chan_free(c);
}

/* Capacity 0: sender and receiver meet. */
static int meet(void)
{
	chan *c = chan_make(sizeof(int), 0);
	int i, rc;

	if (!c)
		return WEFT_ENOMEM;
	rc = go(count, chan_ref(c), 3);
	if (rc == 0) {
		while ((rc = chan_recv(c, &i)) == 0)
			printf("received %d\n", i);
		printf("%s\n", weft_strerror(rc));
	} else {
		chan_free(c); /* the task's */
	}
	chan_free(c);
	return rc == WEFT_ECLOSED ? 0 : rc;
}

/* Capacity 2: the first two sends need nobody. What is in it when it is closed is still received. */
static int hold(void)
{
	chan *c = chan_make(sizeof(int), 2);
	int i, rc = 0;

	if (!c)
		return WEFT_ENOMEM;
	for (i = 10; rc == 0; i += 10) {
		rc = chan_trysend(c, &i); /* instead of waiting: WEFT_EAGAIN */
		if (rc == 0)
			printf("put in %d\n", i);
	}
	printf("%zu of %zu: full\n", chan_len(c), chan_cap(c));
	chan_close(c);
	while ((rc = chan_recv(c, &i)) == 0)
		printf("took out %d\n", i);
	printf("%s\n", weft_strerror(rc));
	chan_free(c);
	return rc == WEFT_ECLOSED ? 0 : rc;
}

WEFT_MAIN(argc, argv)
{
	int rc = meet();

	if (rc == 0)
		rc = hold();
	if (rc != 0)
		fprintf(stderr, "channel: %s\n", weft_strerror(rc));
	return rc != 0;
}
