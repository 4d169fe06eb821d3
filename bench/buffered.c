/* SPDX-License-Identifier: MIT
 *
 * buffered.c - P7, P8: what does a message through a channel of 128 cost, one sender to one receiver and a hundred to a
 * hundred?
 */
#include "bench.h"

struct crowd {
	int senders, receivers;
};

static void sender(chan *c, waitgroup *g, uint64_t times)
{
	for (uint64_t i = 0; i < times; i++) {
		int64_t v = (int64_t)i;

		MUST(chan_send(c, &v));
	}
	wg_done(g);
}

static void receiver(chan *c, waitgroup *g)
{
	int64_t v;

	while (chan_recv(c, &v) == 0)
		;
	wg_done(g);
}

static int64_t many_to_many(uint64_t n, void *arg)
{
	struct crowd *crowd = arg;
	uint64_t each = n / (uint64_t)crowd->senders + 1;
	waitgroup sending = {0}, receiving = {0};
	chan *c = bench_chan(sizeof(int64_t), 128);
	int64_t start = bench_now(), took;

	wg_add(&sending, crowd->senders);
	wg_add(&receiving, crowd->receivers);
	for (int i = 0; i < crowd->receivers; i++)
		MUST(go(receiver, c, &receiving));
	for (int i = 0; i < crowd->senders; i++)
		MUST(go(sender, c, &sending, each));
	MUST(wg_wait(&sending));
	MUST(chan_close(c));
	MUST(wg_wait(&receiving));
	took = bench_now() - start;
	chan_free(c);
	return bench_scale(took, n, each * (uint64_t)crowd->senders);
}

static int body(void *arg)
{
	struct bench *b = arg;

	bench_measure(b, "P7", "capacity 128, 1x1", many_to_many, &(struct crowd){1, 1});
	bench_measure(b, "P8", "capacity 128, 100x100", many_to_many, &(struct crowd){100, 100});
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
