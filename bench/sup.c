/* SPDX-License-Identifier: MIT
 *
 * sup.c - P28: what does it cost to start a child again that has failed, and is it the same after ten thousand times; and to have a child of a dynamic supervisor come and go?
 */
#include "bench.h"

/* --- a child that fails so often; the start and the end of its supervisor are shared among those --- */

struct failing {
	int left; /* its child's, one after the other */
	weft_event over;
};

static int fails(void *arg)
{
	struct failing *f = arg;

	if (f->left--)
		return -1;
	weft_event_set(&f->over);
	return task_sleep(INT64_MAX);
}

static int64_t restart(uint64_t n, void *arg)
{
	const int restarts = *(const int *)arg;
	uint64_t did = 0;
	int64_t start = bench_now();

	for (; did < n; did += (uint64_t)restarts) {
		struct failing f = {.left = restarts};
		const child_spec c = {.id = "c", .task = fails, .arg = &f};
		actor_ref sup;

		MUST(sup_start(&sup, &(sup_opts){.children = &c, .n = 1, .max_restarts = 100000}));
		MUST(weft_event_wait(&f.over));
		MUST(sup_stop(sup));
	}
	return bench_scale(bench_now() - start, n, did);
}

/* Does a restart cost the same after many? Both in turn, so that what the machine does meanwhile is shared. */
static void flat(struct bench *b)
{
	const int few = 1000, many = 10000;
	uint64_t n = b->quick ? 40000 : 400000;
	double s[3][BENCH_RUNS_MAX];

	if (!bench_wanted(b, "restart, 1000 a supervisor") && !bench_wanted(b, "restart, 10000 a supervisor") &&
	    !bench_wanted(b, "restart, 10000 against 1000"))
		return;
	for (int i = -1; i < b->runs; i++) { /* the first one warms up */
		double one = (double)restart(n, (void *)&few) / (double)n, other = (double)restart(n, (void *)&many) / (double)n;

		if (i < 0)
			continue;
		s[0][i] = one;
		s[1][i] = other;
		s[2][i] = other / one;
	}
	bench_report(b, "P28", "restart, 1000 a supervisor", "ns", s[0], b->runs);
	bench_report(b, "P28", "restart, 10000 a supervisor", "ns", s[1], b->runs);
	bench_report(b, "P28", "restart, 10000 against 1000", "ratio", s[2], b->runs);
}

/* --- children that end at once --- */

static int ends(void *arg)
{
	(void)arg;
	return 0;
}

static int64_t dynamic(uint64_t n, void *arg)
{
	const child_spec c = {.task = ends, .restart = TEMPORARY};
	int64_t start, took;
	actor_ref sup;

	(void)arg;
	MUST(sup_start(&sup, &(sup_opts){.strategy = DYNAMIC, .children = &c, .n = 1}));
	start = bench_now();
	for (uint64_t i = 0; i < n; i++)
		MUST(sup_child_start(sup, NULL, NULL));
	took = bench_now() - start;
	MUST(sup_stop(sup));
	return took;
}

static int body(void *arg)
{
	struct bench *b = arg;

	bench_measure(b, "P28", "restart, 100 a supervisor", restart, &(int){100});
	flat(b);
	bench_measure(b, "P28", "dynamic child, start and end", dynamic, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
