/* SPDX-License-Identifier: MIT
 *
 * buffered.c - P7, P8: what does a message through a channel of 128 cost, one sender to one receiver and a hundred to a
 * hundred? And with a promise (modes), several a call, and without a bound?
 */
#include "bench.h"

struct crowd {
	int senders, receivers;
	weft_chan_opts o;
	size_t batch; /* elements a call */
};

static void sender(chan *c, waitgroup *g, uint64_t times)
{
	for (uint64_t i = 0; i < times; i++) {
		int64_t v = (int64_t)i;

		MUST(chan_send(c, &v));
	}
	wg_done(g);
}

static void sender_of_many(chan *c, waitgroup *g, uint64_t times, size_t batch)
{
	int64_t v[64] = {0};

	for (uint64_t i = 0; i < times;) {
		ssize_t n = chan_send_many(c, v, batch < times - i ? batch : (size_t)(times - i));

		MUST(n < 0);
		i += (uint64_t)n;
	}
	wg_done(g);
}

static void receiver_of_many(chan *c, waitgroup *g, size_t batch)
{
	int64_t v[64];

	while (chan_recv_many(c, v, batch) > 0)
		;
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
	weft_chan_opts o = crowd->o;
	chan *c;
	int64_t start = bench_now(), took;

	o.elem = sizeof(int64_t);
	o.cap = o.cap ? o.cap : 128;
	MUST(chan_open(&c, &o));
	wg_add(&sending, crowd->senders);
	wg_add(&receiving, crowd->receivers);
	for (int i = 0; i < crowd->receivers; i++)
		MUST(crowd->batch ? go(receiver_of_many, c, &receiving, crowd->batch) : go(receiver, c, &receiving));
	for (int i = 0; i < crowd->senders; i++)
		MUST(crowd->batch ? go(sender_of_many, c, &sending, each, crowd->batch) : go(sender, c, &sending, each));
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
	bench_measure(b, "P7", "SPSC mode, 128, 1x1", many_to_many, &(struct crowd){1, 1, .o.mode = WEFT_CHAN_SPSC});
	bench_measure(b, "P7", "capacity 128, 1x1, 16 a call", many_to_many, &(struct crowd){1, 1, .batch = 16});
	bench_measure(b, "P7", "no bound, 1x1", many_to_many, &(struct crowd){1, 1, .o.cap = WEFT_CHAN_UNBOUNDED});
	bench_measure(b, "P8", "capacity 128, 100x100", many_to_many, &(struct crowd){100, 100});
	bench_measure(b, "P8", "MPSC mode, 128, 100x1", many_to_many, &(struct crowd){100, 1, .o.mode = WEFT_CHAN_MPSC});
	bench_measure(b, "P8", "capacity 128, 100x1", many_to_many, &(struct crowd){100, 1});
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
