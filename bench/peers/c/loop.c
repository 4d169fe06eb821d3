/* SPDX-License-Identifier: MIT
 *
 * loop.c - a pipeline as one writes it by hand (P23): a loop, one thread; its functions inlined, and called through pointers.
 *
 *     PROGRAM [-workers 1] [-runs N] [-quick] [-only TEXT] P23
 */
#include "../../elems.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS_MAX 100
#define MOST 10 /* stages */

/* What a stage is, where the loop does not know it. */
struct stage {
	uint64_t (*map)(uint64_t);
	bool (*keep)(uint64_t);
	uint64_t (*fold)(uint64_t, uint64_t);
};

static uint64_t elems[ELEMS];
static struct stage line[MOST];

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static uint64_t inlined(int stages)
{
	return loop_of(stages, elems, ELEMS);
}

/* The compiler must not know what is in `line`. */
static __attribute__((noinline)) void lay(int stages)
{
	for (int k = 0; k < stages - 1; k++)
		line[k] = k % 2 ? (struct stage){.keep = elem_keep} : (struct stage){.map = elem_map};
	line[stages - 1] = (struct stage){.fold = elem_fold};
	__asm__ volatile("" : : "r"(line) : "memory");
}

static uint64_t called(int stages)
{
	const struct stage *last = line + stages - 1;
	uint64_t sum = 0;

	for (size_t i = 0; i < ELEMS; i++) {
		const struct stage *s = line;
		uint64_t x = elems[i];

		for (; s < last; s++) {
			if (s->map)
				x = s->map(x);
			else if (!s->keep(x))
				break;
		}
		if (s == last)
			sum = s->fold(sum, x);
	}
	return sum;
}

static double work(uint64_t (*loop)(int), int stages, uint64_t rounds)
{
	uint64_t want = loop_of(stages, elems, ELEMS);
	double start;

	lay(stages);
	start = now();
	for (uint64_t i = 0; i < rounds; i++) {
		__asm__ volatile("" : : "r"(elems) : "memory"); /* for all the compiler knows, others than the last time */
		if (loop(stages) != want) {
			fprintf(stderr, "loop: another sum\n");
			exit(1);
		}
	}
	return now() - start;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const char *form, uint64_t (*loop)(int), int stages, int runs, int quick, const char *only)
{
	double s[RUNS_MAX], target = quick ? 60e6 : 250e6, took;
	char variant[64];
	uint64_t n = 1;

	snprintf(variant, sizeof(variant), "%d stage%s%s", stages, stages == 1 ? "" : "s", form);
	if (!strstr(variant, only))
		return;
	while ((took = work(loop, stages, n)) < target / 4)
		n *= 4;
	n = (uint64_t)((double)n * target / took) + 1;
	for (int i = 0; i < runs; i++)
		s[i] = work(loop, stages, n) / (double)n / ELEMS;
	qsort(s, (size_t)runs, sizeof(*s), by_size);
	printf("{\"name\": \"P23\", \"variant\": \"%s\", \"workers\": 1, \"unit\": \"ns\", \"median\": %.4g, \"min\": %.4g, \"max\": %.4g, "
	       "\"runs\": %d, \"peer\": \"plain\", \"version\": \"\"}\n",
	       variant, runs % 2 ? s[runs / 2] : (s[runs / 2 - 1] + s[runs / 2]) / 2, s[0], s[runs - 1], runs);
}

int main(int argc, char **argv)
{
	int runs = 5, quick = 0, workers = 1;
	const char *only = "";

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-quick") == 0)
			quick = 1;
		else if (i + 1 < argc && strcmp(argv[i], "-workers") == 0)
			workers = atoi(argv[++i]);
		else if (i + 1 < argc && strcmp(argv[i], "-runs") == 0)
			runs = atoi(argv[++i]);
		else if (i + 1 < argc && strcmp(argv[i], "-only") == 0)
			only = argv[++i];
	}
	if (workers != 1)
		return 0;
	runs = runs < 1 ? 1 : runs > RUNS_MAX ? RUNS_MAX : runs;
	elems_fill(elems);
	for (size_t i = 0; i < sizeof(elems_stages) / sizeof(*elems_stages); i++) {
		measure("", inlined, elems_stages[i], runs, quick, only);
		measure(", called", called, elems_stages[i], runs, quick, only);
	}
	return 0;
}
