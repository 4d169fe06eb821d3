/* SPDX-License-Identifier: MIT
 *
 * ring.c - P11: what does a hop cost in a ring of 1,000 tasks that hand one number on through unbuffered channels?
 */
#include "bench.h"

#define TASKS 1000

/* Owns the reading end of `in` and the writing end of `out`, one reference each. */
static void relay(chan *in, chan *out)
{
	int64_t v;

	while (chan_recv(in, &v) == 0) {
		v++;
		MUST(chan_send(out, &v));
	}
	MUST(chan_close(out));
	chan_free(in);
	chan_free(out);
}

static int64_t hops(uint64_t n, void *arg)
{
	uint64_t rounds = n / TASKS + 1;
	chan *first = bench_chan(sizeof(int64_t), 0), *last = chan_ref(first);
	int64_t v = 0, start, took;

	(void)arg;
	for (int i = 1; i < TASKS; i++) {
		chan *out = bench_chan(sizeof(int64_t), 0);

		MUST(go(relay, last, chan_ref(out)));
		last = out;
	}
	start = bench_now();
	for (uint64_t i = 0; i < rounds; i++) {
		v++;
		MUST(chan_send(first, &v));
		MUST(chan_recv(last, &v));
	}
	took = bench_now() - start;
	if (v != (int64_t)(rounds * TASKS)) {
		fprintf(stderr, "bench: %lld hops instead of %llu\n", (long long)v, (unsigned long long)rounds * TASKS);
		exit(1);
	}
	MUST(chan_close(first));
	while (chan_recv(last, NULL) == 0)
		;
	chan_free(first);
	chan_free(last);
	return bench_scale(took, n, rounds * TASKS);
}

static int body(void *arg)
{
	bench_measure(arg, "P11", "hop, 1000 tasks", hops, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
