/* SPDX-License-Identifier: MIT
 *
 * select.c - P9: what does a select cost, with some channels ready, with none and a default, and when it has to wait?
 *
 * Where channels are ready, the one that fired is filled again: that send is part of the operation. The cases are
 * written out for each call, as a program would.
 */
#include "bench.h"

static int64_t two_ready(uint64_t n, void *arg)
{
	chan *c[2];
	int64_t v = 1, start, took;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		c[i] = bench_chan(sizeof(int64_t), 1);
		MUST(chan_send(c[i], &v));
	}
	start = bench_now();
	for (uint64_t i = 0; i < n; i++) {
		chan_case k[] = {CASE_RECV(c[0], &v), CASE_RECV(c[1], &v)};

		MUST(chan_send(c[MUST(chan_select(k, 2))], &v));
	}
	took = bench_now() - start;
	for (int i = 0; i < 2; i++)
		chan_free(c[i]);
	return took;
}

static int64_t eight_ready(uint64_t n, void *arg)
{
	chan *c[8];
	int64_t v = 1, start, took;

	(void)arg;
	for (int i = 0; i < 8; i++) {
		c[i] = bench_chan(sizeof(int64_t), 1);
		MUST(chan_send(c[i], &v));
	}
	start = bench_now();
	for (uint64_t i = 0; i < n; i++) {
		chan_case k[] = {
			CASE_RECV(c[0], &v), CASE_RECV(c[1], &v), CASE_RECV(c[2], &v), CASE_RECV(c[3], &v),
			CASE_RECV(c[4], &v), CASE_RECV(c[5], &v), CASE_RECV(c[6], &v), CASE_RECV(c[7], &v),
		};

		MUST(chan_send(c[MUST(chan_select(k, 8))], &v));
	}
	took = bench_now() - start;
	for (int i = 0; i < 8; i++)
		chan_free(c[i]);
	return took;
}

static int64_t none_ready(uint64_t n, void *arg)
{
	chan *c[8];
	int64_t v, start, took;

	(void)arg;
	for (int i = 0; i < 8; i++)
		c[i] = bench_chan(sizeof(int64_t), 1);
	start = bench_now();
	for (uint64_t i = 0; i < n; i++) {
		chan_case k[] = {
			CASE_RECV(c[0], &v), CASE_RECV(c[1], &v), CASE_RECV(c[2], &v), CASE_RECV(c[3], &v), CASE_RECV(c[4], &v),
			CASE_RECV(c[5], &v), CASE_RECV(c[6], &v), CASE_RECV(c[7], &v), CASE_DEFAULT(),
		};

		MUST(chan_select(k, 9));
	}
	took = bench_now() - start;
	for (int i = 0; i < 8; i++)
		chan_free(c[i]);
	return took;
}

static void feed(chan **c, uint64_t n, waitgroup *g)
{
	for (uint64_t i = 0; i < n; i++) {
		int64_t v = 1;

		MUST(chan_send(c[i % 8], &v));
	}
	wg_done(g);
}

static int64_t select_blocking(uint64_t n, void *arg)
{
	chan *c[8];
	waitgroup g = {0};
	int64_t v, start, took;

	(void)arg;
	for (int i = 0; i < 8; i++)
		c[i] = bench_chan(sizeof(int64_t), 0);
	wg_add(&g, 1);
	MUST(go(feed, c, n, &g));
	start = bench_now();
	for (uint64_t i = 0; i < n; i++) {
		chan_case k[] = {
			CASE_RECV(c[0], &v), CASE_RECV(c[1], &v), CASE_RECV(c[2], &v), CASE_RECV(c[3], &v),
			CASE_RECV(c[4], &v), CASE_RECV(c[5], &v), CASE_RECV(c[6], &v), CASE_RECV(c[7], &v),
		};

		MUST(chan_select(k, 8));
	}
	took = bench_now() - start;
	MUST(wg_wait(&g));
	for (int i = 0; i < 8; i++)
		chan_free(c[i]);
	return took;
}

static int body(void *arg)
{
	struct bench *b = arg;

	bench_measure(b, "P9", "2 ready", two_ready, NULL);
	bench_measure(b, "P9", "8 ready", eight_ready, NULL);
	bench_measure(b, "P9", "8 none ready, default", none_ready, NULL);
	bench_measure(b, "P9", "8 blocking", select_blocking, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
