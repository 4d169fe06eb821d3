/* SPDX-License-Identifier: MIT
 *
 * gen.c - P41: what does a value out of a generator cost, and what through an unbuffered channel, one way?
 */
#include "bench.h"

static int forever(void *arg)
{
	(void)arg;
	for (int64_t i = 0; gen_yield(&i) == 0; i++)
		;
	return 0;
}

static int64_t generator(uint64_t n, void *arg)
{
	weft_gen *g = NULL;
	int64_t start, took, v;

	(void)arg;
	MUST(gen_make(&g, sizeof(int64_t), forever, NULL));
	MUST(gen_next(g, &v));
	start = bench_now();
	for (uint64_t i = 0; i < n; i++)
		MUST(gen_next(g, &v));
	took = bench_now() - start;
	gen_free(g);
	return took;
}

static void sender(chan *c)
{
	int64_t i = 0;

	while (chan_send(c, &i) == 0)
		i++;
	chan_free(c);
}

static int64_t channel(uint64_t n, void *arg)
{
	chan *c = bench_chan(sizeof(int64_t), 0);
	int64_t start, took, v;

	(void)arg;
	MUST(go(sender, chan_ref(c)));
	MUST(chan_recv(c, &v));
	start = bench_now();
	for (uint64_t i = 0; i < n; i++)
		MUST(chan_recv(c, &v));
	took = bench_now() - start;
	MUST(chan_close(c));
	chan_free(c);
	return took;
}

static int body(void *arg)
{
	struct bench *b = arg;

	bench_measure(b, "P41", "generator", generator, NULL);
	bench_measure(b, "P41", "unbuffered channel", channel, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
