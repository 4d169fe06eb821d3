/* SPDX-License-Identifier: MIT
 *
 * bench.h - what the benchmark programs share: arguments, calibration, runs, one JSON line an answer.
 *
 *     PROGRAM [--workers N] [--runs N] [--quick] [--only TEXT]
 *
 * A measurement is a function work(n, arg) that does n operations and returns how many nanoseconds they took; setting
 * up and tearing down stay outside what it counts. n is raised until a run is long enough to be believed (which also
 * warms everything up), then each run is reported in nanoseconds an operation: median, minimum and maximum. On a
 * machine that others use too the minimum says most.
 *
 * Not here: which core runs it (run.py pins it), what the figures are compared with (run.py, bench/peers).
 */
#ifndef BENCH_H
#define BENCH_H

#include <weft.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BENCH_RUNS_MAX 100

struct bench {
	int workers;      /* of the runtime */
	int runs;         /* of each measurement */
	bool quick;       /* short runs */
	const char *only; /* measure only variants that contain it; NULL: all */
};

typedef int64_t bench_work(uint64_t n, void *arg);

/* Every call of weft that can fail goes through this. */
#define MUST(call) bench_must((call), #call)

static inline int bench_must(int code, const char *what)
{
	if (code < 0) {
		fprintf(stderr, "bench: %s: %s\n", what, weft_strerror(code));
		exit(1);
	}
	return code;
}

static inline void *bench_need(void *p, const char *what)
{
	if (!p) {
		fprintf(stderr, "bench: no memory for %s\n", what);
		exit(1);
	}
	return p;
}

static inline weft_chan *bench_chan(size_t elem, size_t cap)
{
	return bench_need(weft_chan_make(elem, cap), "a channel");
}

static inline int64_t bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline bool bench_wanted(const struct bench *b, const char *variant)
{
	return !b->only || strstr(variant, b->only);
}

static int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* One answer: the samples of one measurement, which it sorts. */
static inline void bench_report(const struct bench *b, const char *name, const char *variant, const char *unit, double *s, int n)
{
	const char *commit = getenv("WEFT_BENCH_COMMIT");

	qsort(s, (size_t)n, sizeof(*s), bench_compare);
	printf("{\"name\": \"%s\", \"variant\": \"%s\", \"workers\": %d, \"unit\": \"%s\", \"median\": %.4g, \"min\": "
	       "%.4g, \"max\": %.4g, "
	       "\"runs\": %d, \"commit\": \"%s\"}\n",
	       name, variant, b->workers, unit, n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2, s[0], s[n - 1], n, commit ? commit : "");
	fflush(stdout);
}

/* Calibrate, run, report nanoseconds an operation. */
static inline void bench_measure(const struct bench *b, const char *name, const char *variant, bench_work *work, void *arg)
{
	double target = b->quick ? 60e6 : 250e6;
	double s[BENCH_RUNS_MAX];
	uint64_t n = 100;

	if (!bench_wanted(b, variant))
		return;
	for (;; n *= 4) {
		double took = (double)work(n, arg);

		if (took >= target / 4) {
			n = (uint64_t)((double)n * target / took) + 1;
			break;
		}
	}
	for (int i = 0; i < b->runs; i++)
		s[i] = (double)work(n, arg) / (double)n;
	bench_report(b, name, variant, "ns", s, b->runs);
}

/* The time of n operations, from that of the `did` which were done instead. */
static inline int64_t bench_scale(int64_t took, uint64_t n, uint64_t did)
{
	return (int64_t)((double)took * (double)n / (double)did);
}

static inline void bench_args(struct bench *b, int argc, char **argv)
{
	*b = (struct bench){.workers = 1};
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0) {
			b->quick = true;
		} else if (strcmp(argv[i], "--workers") == 0 && i + 1 < argc) {
			b->workers = atoi(argv[++i]);
		} else if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc) {
			b->runs = atoi(argv[++i]);
		} else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
			b->only = argv[++i];
		} else {
			fprintf(stderr, "usage: %s [--workers N] [--runs N] [--quick] [--only TEXT]\n", argv[0]);
			exit(2);
		}
	}
	if (b->runs < 1)
		b->runs = b->quick ? 3 : 5;
	if (b->runs > BENCH_RUNS_MAX)
		b->runs = BENCH_RUNS_MAX;
}

/* main() of a program: body(b) as the first task of a runtime with as many workers as asked for. */
static inline int bench_main_order(int argc, char **argv, weft_task_fn *body, enum weft_order order)
{
	struct bench b;

	bench_args(&b, argc, argv);
	return MUST(weft_run(body, &b, &(weft_opts){.workers = b.workers, .order = order}));
}

static inline int bench_main(int argc, char **argv, weft_task_fn *body)
{
	return bench_main_order(argc, argv, body, WEFT_ORDER_DEFAULT);
}

#endif
