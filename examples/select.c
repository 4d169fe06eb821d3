/* SPDX-License-Identifier: MIT
 *
 * select.c - one task that serves several channels: it sends on one and receives from others, whichever can go on.
 *
 * The counter belongs to one task alone; all others talk to it, so it needs no lock. A channel that has been closed would be ready for ever: setting it to
 * NULL takes it out of the select.
 */
#include <stdio.h>
#include <weft.h>

struct counter {
	chan *more, *less; /* what to add and to subtract */
	chan *value;       /* how much it is now, for whoever asks */
};

static int serve(void *arg)
{
	struct counter *k = arg;
	chan *more = k->more, *less = k->less;
	int total = 0, n, asked = 0;

	while (more || less) {
		chan_case c[] = {CASE_RECV(more, &n), CASE_RECV(less, &n), CASE_SEND(k->value, &total)};
		int i = chan_select(c, 3);

		if (i < 0)
			return i; /* cancelled */
		if (i == 2)
			asked++;
		else if (c[i].status == 0)
			total += i == 0 ? n : -n;
		else if (i == 0)
			more = NULL;
		else
			less = NULL;
	}
	printf("asked %d times, in the end %d\n", asked, total);
	return 0;
}

/* Sends 1, 2, ... n. */
static void numbers(chan *c, int n, waitgroup *g)
{
	for (int i = 1; i <= n; i++) {
		if (chan_send(c, &i) != 0)
			break;
	}
	wg_done(g);
}

WEFT_MAIN(argc, argv)
{
	struct counter k = {chan_make(sizeof(int), 0), chan_make(sizeof(int), 0), chan_make(sizeof(int), 0)};
	waitgroup g = {0};
	task *server = NULL;
	int total, rc, ret = 1;

	if (!k.more || !k.less || !k.value)
		return 1;
	wg_add(&g, 2);
	if (go_opts(&server, serve, &k, NULL) != 0 || chan_recv(k.value, &total) != 0)
		return 1;
	printf("at first %d\n", total);

	if (go(numbers, k.more, 100, &g) != 0 || go(numbers, k.less, 10, &g) != 0)
		return 1;
	if (wg_wait(&g) != 0 || chan_recv(k.value, &total) != 0) /* all that was sent is counted before the next answer */
		return 1;
	printf("now %d\n", total);

	chan_close(k.more);
	chan_close(k.less);
	rc = task_join(server, &ret);
	chan_free(k.more);
	chan_free(k.less);
	chan_free(k.value);
	return rc != 0 || ret != 0;
}
