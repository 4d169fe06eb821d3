/* SPDX-License-Identifier: MIT
 *
 * sup.c - P28: what does it cost to start a child again that has failed, and to have a child of a dynamic supervisor come and go?
 */
#include "bench.h"

#define RESTARTS 100

/* --- a child that fails a hundred times; the start and the end of its supervisor are shared among those --- */

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
	uint64_t did = 0;
	int64_t start = bench_now();

	(void)arg;
	for (; did < n; did += RESTARTS) {
		struct failing f = {.left = RESTARTS};
		const child_spec c = {.id = "c", .task = fails, .arg = &f};
		actor_ref sup;

		MUST(sup_start(&sup, &(sup_opts){.children = &c, .n = 1, .max_restarts = 1000}));
		MUST(weft_event_wait(&f.over));
		MUST(sup_stop(sup));
	}
	return bench_scale(bench_now() - start, n, did);
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

	bench_measure(b, "P28", "restart, 100 a supervisor", restart, NULL);
	bench_measure(b, "P28", "dynamic child, start and end", dynamic, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
