/* SPDX-License-Identifier: MIT
 *
 * steal.c - P80: which steal policy finds work soonest: random, adaptive or near; and does it help that workers are pinned?
 *
 * The same work in a runtime of its own for each, in turn, so that what the machine does meanwhile is shared by all. Work for which workers steal: a tree of tasks that wait for their
 * children (the spine of it is one worker's), one task that starts all others, each a microsecond of work, and pairs that talk, more of them than workers.
 */
#include "work.h"

#define PAIRS 16
#define WAYS 6

static const struct way {
	const char *name;
	weft_steal steal;
	bool pin;
} ways[WAYS] = {
	{"random", WEFT_STEAL_RANDOM, false},
	{"adaptive", WEFT_STEAL_ADAPTIVE, false},
	{"near", WEFT_STEAL_NEAR, false},
	{"random, pinned", WEFT_STEAL_RANDOM, true},
	{"adaptive, pinned", WEFT_STEAL_ADAPTIVE, true},
	{"near, pinned", WEFT_STEAL_NEAR, true},
};

struct load {
	uint64_t n;
	int64_t took;
};

static uint64_t steps; /* of work that take a microsecond */

/* --- a tree --- */

static int node(void *arg)
{
	intptr_t depth = (intptr_t)arg;
	weft_task *kid[2];
	int sum = 1, got;

	if (!depth)
		return 1;
	for (int i = 0; i < 2; i++)
		MUST(weft_go_opts(&kid[i], node, (void *)(depth - 1), NULL));
	for (int i = 0; i < 2; i++) {
		MUST(weft_task_join(kid[i], &got));
		sum += got;
	}
	return sum;
}

static int tree(void *arg)
{
	struct load *l = arg;
	int64_t start = bench_now();
	intptr_t depth = 0;

	while (((uint64_t)2 << depth) - 1 < l->n)
		depth++;
	l->n = ((uint64_t)2 << depth) - 1;
	if ((uint64_t)node((void *)depth) != l->n)
		return 1;
	l->took = bench_now() - start;
	return 0;
}

/* --- one starts all --- */

static void microsecond(waitgroup *wg)
{
	volatile uint64_t sink = work_steps(1, steps);

	(void)sink;
	wg_done(wg);
}

static int fan(void *arg)
{
	struct load *l = arg;
	waitgroup wg = {0};
	int64_t start = bench_now();

	wg_add(&wg, (int)l->n);
	for (uint64_t i = 0; i < l->n; i++)
		MUST(go(microsecond, &wg));
	MUST(wg_wait(&wg));
	l->took = bench_now() - start;
	return 0;
}

/* --- pairs --- */

static void echo(chan *in, chan *out)
{
	uint64_t v;

	while (chan_recv(in, &v) == 0)
		MUST(chan_send(out, &v));
}

static void ask(chan *out, chan *in, uint64_t n, waitgroup *wg)
{
	for (uint64_t i = 0; i < n; i++) {
		MUST(chan_send(out, &i));
		MUST(chan_recv(in, &i));
	}
	MUST(chan_close(out));
	wg_done(wg);
}

static int pairs(void *arg)
{
	struct load *l = arg;
	chan *there[PAIRS], *back[PAIRS];
	waitgroup wg = {0};
	int64_t start;

	wg_add(&wg, PAIRS);
	for (int i = 0; i < PAIRS; i++) {
		there[i] = bench_chan(sizeof(uint64_t), 0);
		back[i] = bench_chan(sizeof(uint64_t), 0);
		MUST(go(echo, there[i], back[i]));
	}
	start = bench_now();
	for (int i = 0; i < PAIRS; i++)
		MUST(go(ask, there[i], back[i], l->n / PAIRS, &wg));
	MUST(wg_wait(&wg));
	l->took = bench_now() - start;
	return 0; /* the channels go with the process */
}

/* --- all ways --- */

static void measure(const struct bench *b, const char *variant, weft_task_fn *fn, uint64_t n)
{
	static double s[WAYS][BENCH_RUNS_MAX];
	char name[80];

	if (!bench_wanted(b, variant))
		return;
	for (int run = -1; run < b->runs; run++) { /* the first one warms up */
		for (int i = 0; i < WAYS; i++) {
			const weft_opts o = {.workers = b->workers, .steal = ways[i].steal, .pin_workers = ways[i].pin};
			struct load l = {.n = b->quick ? n / 10 : n};

			if (MUST(weft_run(fn, &l, &o)) != 0) {
				fprintf(stderr, "bench: tasks were lost\n");
				exit(1);
			}
			if (run >= 0)
				s[i][run] = (double)l.took / (double)l.n;
		}
	}
	for (int i = 0; i < WAYS; i++) {
		snprintf(name, sizeof name, "%s, %s", variant, ways[i].name);
		bench_report(b, "P80", name, "ns", s[i], b->runs);
	}
}

int main(int argc, char **argv)
{
	struct bench b;

	bench_args(&b, argc, argv);
	steps = work_us();
	measure(&b, "tree of tasks, a task", tree, 1000000);
	measure(&b, "one starts all, 1 us each, a task", fan, 200000);
	measure(&b, "16 pairs, there and back", pairs, 1000000);
	return 0;
}
