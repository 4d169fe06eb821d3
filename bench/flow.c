/* SPDX-License-Identifier: MIT
 *
 * flow.c - P53: how much goes through a pipe and a pair of Unix domain sockets from one task to another, 64 KiB a call?
 */
#include "bench.h"
#include "pour.h"

static char block[POUR_BLOCK];

struct writer {
	weft_io io;
	uint64_t blocks;
};

static int writes(void *arg)
{
	struct writer *w = arg;

	for (uint64_t i = 0; i < w->blocks; i++) {
		if (weft_io_write(w->io, block, sizeof(block), NULL) != (ssize_t)sizeof(block))
			MUST(WEFT_EPIPE);
	}
	return 0;
}

/* GB/s of n blocks. */
static double flow(weft_io from, weft_io to, uint64_t n)
{
	char *buf = bench_need(malloc(POUR_BLOCK), "a block");
	uint64_t left = n * POUR_BLOCK;
	struct writer w = {from, n};
	int64_t start = bench_now();
	weft_task *t;

	MUST(weft_go_opts(&t, writes, &w, NULL));
	while (left > 0) {
		ssize_t k = weft_io_read(to, buf, POUR_BLOCK);

		if (k <= 0)
			MUST(k < 0 ? (int)k : WEFT_EPIPE);
		left -= (uint64_t)k;
	}
	MUST(weft_task_join(t, NULL));
	free(buf);
	return (double)n * POUR_BLOCK / (double)(bench_now() - start);
}

static void measure(const struct bench *b, const char *variant, weft_io from, weft_io to)
{
	uint64_t n = b->quick ? 2000 : 16000; /* 0.13 GB, 1 GB */
	double s[BENCH_RUNS_MAX];

	if (!bench_wanted(b, variant))
		return;
	flow(from, to, n / 8);
	for (int i = 0; i < b->runs; i++)
		s[i] = flow(from, to, n);
	bench_report(b, "P53", variant, "GB/s", s, b->runs);
}

static int body(void *arg)
{
	weft_pipe *r, *w;
	weft_unix *c[2];

	MUST(weft_pipe_make(&r, &w));
	measure(arg, "a pipe", weft_pipe_io(w), weft_pipe_io(r));
	weft_pipe_close(w);
	weft_pipe_close(r);
	MUST(weft_unix_pair(&c[0], &c[1]));
	measure(arg, "Unix domain sockets", weft_unix_io(c[0]), weft_unix_io(c[1]));
	weft_unix_close(c[0]);
	weft_unix_close(c[1]);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
