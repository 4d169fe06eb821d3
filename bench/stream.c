/* SPDX-License-Identifier: MIT
 *
 * stream.c - P23: what does an element cost on its way through a stream of 1, 3 and 10 stages, next to a loop by hand, and to tasks with channels between them?
 *
 * The pipelines are those of elems.h; each round's sum is compared with the plain loop's. Forms of the same: a function an element, a function a batch, expressions that are compiled into a
 * loop (WEFT_STREAM_MAP), the same in one stage (WEFT_STREAM_STEPS), and a task a stage. "Against the plain loop": both in turn, in one process.
 *
 * Besides: what a stream between two channels costs, against a task that receives and sends; and how much faster a parallel map is with two workers than with one, each in a runtime of
 * its own.
 */
#include "elems.h"
#include "work.h"

#include <inttypes.h>

static uint64_t elems[ELEMS];

/* What a sink returns. */
static int64_t counted(int64_t n)
{
	MUST(n < 0 ? (int)n : 0);
	return n;
}

/* --- a function an element --- */

static int map_one(const void *in, void *out, void *arg)
{
	(void)arg;
	*(uint64_t *)out = elem_map(*(const uint64_t *)in);
	return 0;
}

static int keep_one(const void *e, void *arg)
{
	(void)arg;
	return elem_keep(*(const uint64_t *)e);
}

static int fold_one(void *acc, const void *e, void *arg)
{
	(void)arg;
	*(uint64_t *)acc = elem_fold(*(uint64_t *)acc, *(const uint64_t *)e);
	return 0;
}

static uint64_t by_elements(int stages)
{
	weft_stream *s = stream_of(elems, ELEMS, sizeof(*elems));
	uint64_t sum = 0;

	for (int k = 0; k < stages - 1; k++)
		s = k % 2 ? stream_filter(s, keep_one, NULL) : stream_map(s, sizeof(uint64_t), map_one, NULL);
	counted(stream_fold(s, &sum, fold_one, NULL));
	stream_free(s);
	return sum;
}

/* --- a function a batch --- */

static int map_batch(const void *in, void *out, size_t n, void *arg)
{
	const uint64_t *i = in;
	uint64_t *restrict o = out;

	(void)arg;
	for (size_t k = 0; k < n; k++)
		o[k] = elem_map(i[k]);
	return 0;
}

static ssize_t keep_batch(const void *in, void *out, size_t n, void *arg)
{
	const uint64_t *i = in;
	uint64_t *o = out;
	size_t left = 0;

	(void)arg;
	for (size_t k = 0; k < n; k++) {
		uint64_t x = i[k];

		o[left] = x;
		left += elem_keep(x);
	}
	return (ssize_t)left;
}

static int fold_batch(void *acc, const void *in, size_t n, void *arg)
{
	const uint64_t *i = in;
	uint64_t sum = *(uint64_t *)acc;

	(void)arg;
	for (size_t k = 0; k < n; k++)
		sum = elem_fold(sum, i[k]);
	*(uint64_t *)acc = sum;
	return 0;
}

static uint64_t by_batches(int stages)
{
	weft_stream *s = stream_of(elems, ELEMS, sizeof(*elems));
	uint64_t sum = 0;

	for (int k = 0; k < stages - 1; k++)
		s = k % 2 ? stream_filter_batch(s, keep_batch, NULL) : stream_map_batch(s, sizeof(uint64_t), map_batch, NULL);
	counted(stream_fold_batch(s, &sum, fold_batch, NULL));
	stream_free(s);
	return sum;
}

/* --- expressions --- */

STREAM_MAP(mapped, uint64_t, x, uint64_t, elem_map(x))
STREAM_FILTER(kept, uint64_t, x, elem_keep(x))
STREAM_FOLD(folded, uint64_t, acc, uint64_t, x, acc = elem_fold(acc, x))

static uint64_t by_expressions(int stages)
{
	weft_stream *s = stream_of(elems, ELEMS, sizeof(*elems));
	uint64_t sum = 0;

	for (int k = 0; k < stages - 1; k++)
		s = k % 2 ? kept(s, NULL) : mapped(s, NULL);
	counted(folded(s, &sum, NULL));
	stream_free(s);
	return sum;
}

/* --- the same, all maps and filters of a pipeline in the steps of one stage --- */

STREAM_STEPS(steps_3, uint64_t, x, uint64_t, y, y = elem_map(x); if (!elem_keep(y)) continue)
STREAM_STEPS(steps_10, uint64_t, x, uint64_t, y, ELEM_MAP_AND_KEEP(x); ELEM_MAP_AND_KEEP(x); ELEM_MAP_AND_KEEP(x); ELEM_MAP_AND_KEEP(x);
	     y = elem_map(x); ELEM_ALONE(y))

static uint64_t by_steps(int stages)
{
	weft_stream *s = stream_of(elems, ELEMS, sizeof(*elems));
	uint64_t sum = 0;

	s = stages == 3 ? steps_3(s, NULL) : stages == 10 ? steps_10(s, NULL) : s;
	counted(folded(s, &sum, NULL));
	stream_free(s);
	return sum;
}

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

/* --- the pipelines, measured --- */

struct form {
	const char *words; /* of the variant, behind the number of stages */
	uint64_t (*once)(int stages);
	int stages;
};

static uint64_t by_loop(int stages)
{
	__asm__ volatile("" : : "r"(elems) : "memory"); /* for all the compiler knows, others than the last time */
	return loop_of(stages, elems, ELEMS);
}

static int64_t rounds(uint64_t n, void *arg)
{
	const struct form *f = arg;
	uint64_t want = by_loop(f->stages), did = 0;
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

static void name_form(char *variant, size_t room, const struct form *f, const char *more)
{
	snprintf(variant, room, "%d stage%s%s%s", f->stages, f->stages == 1 ? "" : "s", f->words, more);
}

/* How many times longer it takes than the loop does. */
static void against_loop(const struct bench *b, struct form *f)
{
	struct form loop = {.once = by_loop, .stages = f->stages};
	uint64_t n = b->quick ? 10000000 : 50000000;
	double s[BENCH_RUNS_MAX];
	char variant[80];

	name_form(variant, sizeof(variant), f, ", against the plain loop");
	if (!bench_wanted(b, variant))
		return;
	rounds(n / 4, f);
	for (int i = 0; i < b->runs; i++) {
		double by_hand = (double)rounds(n, &loop);

		s[i] = (double)rounds(n, f) / by_hand;
	}
	bench_report(b, "P23", variant, "ratio", s, b->runs);
}

static void pipelines(const struct bench *b)
{
	static const struct {
		const char *words;
		uint64_t (*once)(int stages);
		bool is_stream;
	} forms[] = {
		{"", by_elements, true},
		{", batch functions", by_batches, true},
		{", expressions", by_expressions, true},
		{", steps", by_steps, true},
		{", a task each, 128", tasks_128, false},
		{", a task each, unbuffered", tasks_unbuffered, false},
	};
	char variant[80];

	elems_fill(elems);
	for (size_t i = 0; i < sizeof(elems_stages) / sizeof(*elems_stages); i++) {
		for (size_t k = 0; k < sizeof(forms) / sizeof(*forms); k++) {
			struct form f = {forms[k].words, forms[k].once, elems_stages[i]};

			name_form(variant, sizeof(variant), &f, "");
			bench_measure(b, "P23", variant, rounds, &f);
			if (forms[k].is_stream && b->workers == 1)
				against_loop(b, &f);
		}
	}
}

/* --- from a channel to a channel --- */

static void feed(chan *out, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		MUST(chan_send(out, &i));
	MUST(chan_close(out));
	chan_free(out);
}

static void relay_by_hand(chan *in, chan *out)
{
	uint64_t x;

	while (chan_recv(in, &x) == 0) {
		x = elem_map(x);
		if (elem_keep(x))
			MUST(chan_send(out, &x));
	}
	MUST(chan_close(out));
	chan_free(in);
	chan_free(out);
}

static void relay_by_stream(chan *in, chan *out)
{
	weft_stream *s = stream_filter(stream_map(stream_chan(in), sizeof(uint64_t), map_one, NULL), keep_one, NULL);

	counted(stream_to_chan(s, out));
	stream_free(s);
	MUST(chan_close(out));
	chan_free(in);
	chan_free(out);
}

static int64_t relayed(uint64_t n, bool by_hand)
{
	chan *in = bench_chan(sizeof(uint64_t), 128), *out = bench_chan(sizeof(uint64_t), 128);
	uint64_t x, got = 0, want = 0;
	int64_t start, took;

	for (uint64_t i = 0; i < n; i++)
		want += elem_keep(elem_map(i));
	start = bench_now();
	MUST(go(feed, chan_ref(in), n));
	MUST(by_hand ? go(relay_by_hand, in, chan_ref(out)) : go(relay_by_stream, in, chan_ref(out)));
	while (chan_recv(out, &x) == 0)
		got++;
	took = bench_now() - start;
	chan_free(out);
	if (got != want) {
		fprintf(stderr, "bench: %" PRIu64 " of %" PRIu64 " came through\n", got, want);
		exit(1);
	}
	return took;
}

static int64_t relayed_by_hand(uint64_t n, void *arg)
{
	(void)arg;
	return relayed(n, true);
}

static int64_t relayed_by_stream(uint64_t n, void *arg)
{
	(void)arg;
	return relayed(n, false);
}

/* --- parallel --- */

struct job {
	uint64_t items, steps;
	stream_par o;
	int64_t took;
};

static int compute(const void *in, void *out, void *arg)
{
	const struct job *j = arg;

	*(uint64_t *)out = work_steps(*(const uint64_t *)in, j->steps);
	return 0;
}

static int parallel(void *arg)
{
	struct job *j = arg;
	weft_stream *s = stream_parallel(stream_range(0, (int64_t)j->items, 1), sizeof(uint64_t), compute, j, &j->o);
	int64_t start = bench_now(), n = counted(stream_count(s));

	j->took = bench_now() - start;
	stream_free(s);
	return n == (int64_t)j->items ? 0 : 1;
}

static double an_item(struct job *j, int workers)
{
	if (MUST(weft_run(parallel, j, &(weft_opts){.workers = workers})) != 0) {
		fprintf(stderr, "bench: items were lost\n");
		exit(1);
	}
	return (double)j->took / (double)j->items;
}

static void speed_up(const struct bench *b, const char *words, struct job j)
{
	double one[BENCH_RUNS_MAX], two[BENCH_RUNS_MAX], ratio[BENCH_RUNS_MAX];
	char name[80];

	if (!bench_wanted(b, words))
		return;
	j.items = b->quick ? 20000 : 100000;
	for (int i = 0; i < b->runs; i++) {
		one[i] = an_item(&j, 1);
		two[i] = an_item(&j, 2);
		ratio[i] = one[i] / two[i];
	}
	snprintf(name, sizeof(name), "%s, an item, 1 worker", words);
	bench_report(b, "P23", name, "ns", one, b->runs);
	snprintf(name, sizeof(name), "%s, an item, 2 workers", words);
	bench_report(b, "P23", name, "ns", two, b->runs);
	snprintf(name, sizeof(name), "%s, speed-up", words);
	bench_report(b, "P23", name, "x", ratio, b->runs);
}

static int body(void *arg)
{
	struct bench *b = arg;

	pipelines(b);
	bench_measure(b, "P23", "channel to channel", relayed_by_stream, NULL);
	bench_measure(b, "P23", "channel to channel, by hand", relayed_by_hand, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	struct bench b;
	uint64_t us;

	bench_args(&b, argc, argv);
	MUST(weft_run(body, &b, &(weft_opts){.workers = b.workers}));
	if (b.workers == 2) {
		us = work_us();
		speed_up(&b, "parallel map of 1 us", (struct job){.steps = us});
		speed_up(&b, "parallel map of 1 us, unordered", (struct job){.steps = us, .o.unordered = true});
		speed_up(&b, "parallel map of 10 us", (struct job){.steps = 10 * us});
	}
	return 0;
}
