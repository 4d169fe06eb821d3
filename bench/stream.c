/* SPDX-License-Identifier: MIT
 *
 * stream.c - P23: what does an element cost on its way through 1, 3 and 10 stages?
 *
 * The pipelines are those of elems.h; each round's sum is compared with the plain loop's.
 */
#include "bench.h"
#include "elems.h"

#include <inttypes.h>

static uint64_t elems[ELEMS];

/* --- a task a stage, and channels between them --- */

static void source(chan *out)
{
	for (size_t i = 0; i < ELEMS; i++)
		MUST(chan_send(out, &elems[i]));
	MUST(chan_close(out));
	chan_free(out);
}

static void mapper(chan *in, chan *out)
{
	uint64_t x;

	while (chan_recv(in, &x) == 0) {
		x = elem_map(x);
		MUST(chan_send(out, &x));
	}
	MUST(chan_close(out));
	chan_free(in);
	chan_free(out);
}

static void filterer(chan *in, chan *out)
{
	uint64_t x;

	while (chan_recv(in, &x) == 0) {
		if (elem_keep(x))
			MUST(chan_send(out, &x));
	}
	MUST(chan_close(out));
	chan_free(in);
	chan_free(out);
}

static uint64_t tasks(int stages, size_t cap)
{
	chan *last = bench_chan(sizeof(uint64_t), cap);
	uint64_t sum = 0, x;

	MUST(go(source, chan_ref(last)));
	for (int k = 0; k < stages - 1; k++) {
		chan *out = bench_chan(sizeof(uint64_t), cap);

		MUST(k % 2 ? go(filterer, last, chan_ref(out)) : go(mapper, last, chan_ref(out)));
		last = out;
	}
	while (chan_recv(last, &x) == 0)
		sum = elem_fold(sum, x);
	chan_free(last);
	return sum;
}

static uint64_t tasks_128(int stages)
{
	return tasks(stages, 128);
}

static uint64_t tasks_unbuffered(int stages)
{
	return tasks(stages, 0);
}

/* --- measuring --- */

struct form {
	const char *words; /* of the variant, behind the number of stages */
	uint64_t (*once)(int stages);
	int stages;
};

static int64_t rounds(uint64_t n, void *arg)
{
	const struct form *f = arg;
	uint64_t want = loop_of(f->stages, elems, ELEMS), did = 0;
	int64_t start = bench_now();

	for (; did < n; did += ELEMS) {
		uint64_t sum = f->once(f->stages);

		if (sum != want) {
			fprintf(stderr, "bench: %d stages%s: the sum is %" PRIu64 ", not %" PRIu64 "\n", f->stages, f->words, sum, want);
			exit(1);
		}
	}
	return bench_scale(bench_now() - start, n, did);
}

static int body(void *arg)
{
	static const struct form forms[] = {
		{", a task each, 128", tasks_128},
		{", a task each, unbuffered", tasks_unbuffered},
	};
	struct bench *b = arg;
	char variant[80];

	elems_fill(elems);
	for (size_t i = 0; i < sizeof(elems_stages) / sizeof(*elems_stages); i++) {
		for (size_t k = 0; k < sizeof(forms) / sizeof(*forms); k++) {
			struct form f = forms[k];

			f.stages = elems_stages[i];
			snprintf(variant, sizeof(variant), "%d stage%s%s", f.stages, f.stages == 1 ? "" : "s", f.words);
			bench_measure(b, "P23", variant, rounds, &f);
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
