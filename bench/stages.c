/* SPDX-License-Identifier: MIT
 *
 * stages.c - P25: a pipeline of four stages, a microsecond of work in each: how much faster is it with two workers than
 * with one?
 *
 * Both are measured in one process, in turn, each in a runtime of its own.
 */
#include "work.h"

#define STAGES 4

struct pipe {
	uint64_t items;
	size_t cap;
	int64_t took;
};

static uint64_t steps; /* of work that take a microsecond */

static void stage(chan *in, chan *out)
{
	uint64_t v;

	while (chan_recv(in, &v) == 0) {
		v = work_steps(v, steps);
		MUST(chan_send(out, &v));
	}
	MUST(chan_close(out));
	chan_free(in);
	chan_free(out);
}

static void source(chan *out, uint64_t items)
{
	for (uint64_t i = 0; i < items; i++)
		MUST(chan_send(out, &i));
	MUST(chan_close(out));
	chan_free(out);
}

static int pipeline(void *arg)
{
	struct pipe *p = arg;
	chan *in = bench_chan(sizeof(uint64_t), p->cap), *first = chan_ref(in);
	uint64_t v, n = 0;
	int64_t start;

	for (int i = 0; i < STAGES; i++) {
		chan *out = bench_chan(sizeof(uint64_t), p->cap);

		MUST(go(stage, in, chan_ref(out)));
		in = out;
	}
	start = bench_now();
	MUST(go(source, first, p->items));
	while (chan_recv(in, &v) == 0)
		n++;
	p->took = bench_now() - start;
	chan_free(in);
	return n == p->items ? 0 : 1;
}

static double an_item(struct pipe *p, int workers)
{
	if (MUST(weft_run(pipeline, p, &(weft_opts){.workers = workers})) != 0) {
		fprintf(stderr, "bench: items were lost\n");
		exit(1);
	}
	return (double)p->took / (double)p->items;
}

static void measure(const struct bench *b, const char *variant, size_t cap)
{
	struct pipe p = {.items = b->quick ? 10000 : 50000, .cap = cap};
	double one[BENCH_RUNS_MAX], two[BENCH_RUNS_MAX], ratio[BENCH_RUNS_MAX];
	char name[80];

	for (int i = 0; i < b->runs; i++) {
		one[i] = an_item(&p, 1);
		two[i] = an_item(&p, 2);
		ratio[i] = one[i] / two[i];
	}
	snprintf(name, sizeof(name), "%s, an item, 1 worker", variant);
	bench_report(b, "P25", name, "ns", one, b->runs);
	snprintf(name, sizeof(name), "%s, an item, 2 workers", variant);
	bench_report(b, "P25", name, "ns", two, b->runs);
	snprintf(name, sizeof(name), "%s, speed-up", variant);
	bench_report(b, "P25", name, "x", ratio, b->runs);
}

int main(int argc, char **argv)
{
	struct bench b;

	bench_args(&b, argc, argv);
	steps = work_us();
	measure(&b, "4 stages of 1 us, unbuffered", 0);
	measure(&b, "4 stages of 1 us, capacity 16", 16);
	return 0;
}
