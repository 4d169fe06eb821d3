/* SPDX-License-Identifier: MIT
 *
 * rendezvous.c - P6: how long does a question and its answer take through two unbuffered channels?
 */
#include "bench.h"

static void echo(chan *there, chan *back)
{
	int64_t v;

	while (chan_recv(there, &v) == 0)
		MUST(chan_send(back, &v));
	MUST(chan_close(back));
	chan_free(there);
	chan_free(back);
}

static int64_t round_trip(uint64_t n, void *arg)
{
	chan *there = bench_chan(sizeof(int64_t), 0), *back = bench_chan(sizeof(int64_t), 0);
	int64_t start, took;

	(void)arg;
	MUST(go(echo, chan_ref(there), chan_ref(back)));
	start = bench_now();
	for (uint64_t i = 0; i < n; i++) {
		int64_t v = (int64_t)i;

		MUST(chan_send(there, &v));
		MUST(chan_recv(back, &v));
	}
	took = bench_now() - start;
	MUST(chan_close(there));
	while (chan_recv(back, NULL) == 0)
		;
	chan_free(there);
	chan_free(back);
	return took;
}

static int body(void *arg)
{
	bench_measure(arg, "P6", "round trip", round_trip, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
