/* SPDX-License-Identifier: MIT
 *
 * producer_consumer.c - two producers and three consumers share one channel of four places.
 *
 * A full channel makes producers wait, an empty one consumers: nobody runs ahead by more than four. Only the last producer may close it; the wait group says
 * when that is. Consumers take until it is closed and empty.
 */
#include <stdio.h>
#include <weft.h>

#define PRODUCERS 2
#define CONSUMERS 3
#define EACH 1000

struct item {
	int producer, number;
};

static void produce(chan *items, int me, waitgroup *producing)
{
	for (int i = 1; i <= EACH; i++) {
		struct item it = {me, i};

		if (chan_send(items, &it) != 0)
			break;
	}
	wg_done(producing);
}

/* Its result is the sum of what it got. */
static int consume(void *items)
{
	struct item it;
	int sum = 0;

	while (chan_recv(items, &it) == 0)
		sum += it.number;
	return sum;
}

WEFT_MAIN(argc, argv)
{
	chan *items = chan_make(sizeof(struct item), 4);
	task *consumer[CONSUMERS];
	waitgroup producing = {0};
	int sum = 0, part;

	if (!items)
		return 1;
	for (int i = 0; i < CONSUMERS; i++) {
		if (go_opts(&consumer[i], consume, items, NULL) != 0)
			return 1;
	}
	wg_add(&producing, PRODUCERS);
	for (int i = 0; i < PRODUCERS; i++) {
		if (go(produce, items, i, &producing) != 0)
			return 1;
	}
	if (wg_wait(&producing) != 0)
		return 1;
	chan_close(items);

	for (int i = 0; i < CONSUMERS; i++) {
		if (task_join(consumer[i], &part) != 0)
			return 1;
		sum += part;
	}
	printf("%d producers made %d items each; their numbers are %d together\n", PRODUCERS, EACH, sum);
	chan_free(items);
	return 0;
}
