/* SPDX-License-Identifier: MIT
 *
 * peer.h - what the peers of P17 and P18 share, in C and C++: arguments, calibration, one JSON line an answer.
 *
 *     PROGRAM [-workers 1|2] [-runs N] [-quick] [-only TEXT] ROW...
 *
 * The includer defines PEER (and whoever builds it PEER_VERSION), and ends with peer_main(argc, argv, row), where row(name) measures one row. Names, variants and lengths
 * of runs are those of queue.c.
 */
#ifndef QUEUE_PEER_H
#define QUEUE_PEER_H

#include "../../queue.h"

#include <string.h>

#define RUNS_MAX 100

static int workers = 1, runs, quick;
static const char *only = "";

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(const char *name, const char *variant, const char *unit, double *s)
{
	qsort(s, (size_t)runs, sizeof(*s), by_size);
	printf("{\"name\": \"%s\", \"variant\": \"%s\", \"workers\": %d, \"unit\": \"%s\", \"median\": %.4g, \"min\": %.4g, \"max\": %.4g, "
	       "\"runs\": %d, \"peer\": \"" PEER "\", \"version\": \"" PEER_VERSION "\"}\n",
	       name, variant, workers, unit, runs % 2 ? s[runs / 2] : (s[runs / 2 - 1] + s[runs / 2]) / 2, s[0], s[runs - 1], runs);
	fflush(stdout);
}

/* One thread: millions of operations a second, two a turn. */
static inline void measure_in_turn(const char *name, const char *variant, int64_t (*work)(uint64_t, void *), void *q)
{
	uint64_t n = quick ? 10000000 : 50000000;
	double s[RUNS_MAX];
	int i;

	if (workers != 1 || !strstr(variant, only))
		return;
	work(n / 4, q);
	for (i = 0; i < runs; i++)
		s[i] = 2e3 * (double)n / (double)work(n, q);
	report(name, variant, "M/s", s);
}

/* Two threads: nanoseconds a message. */
static inline void measure_two(const char *name, const char *variant, void (*send)(void *, uint64_t), uint64_t (*receive)(void *, uint64_t),
			       void *q)
{
	double target = quick ? 60e6 : 250e6, s[RUNS_MAX];
	struct queue_two t;
	uint64_t n = 100;
	int i;

	if (workers != 2 || !strstr(variant, only))
		return;
	t.send = send;
	t.receive = receive;
	t.q = q;
	for (;; n *= 4) {
		double took = (double)queue_run_two(&t, n);

		if (took >= target / 4) {
			n = (uint64_t)((double)n * target / took) + 1;
			break;
		}
	}
	for (i = 0; i < runs; i++)
		s[i] = (double)queue_run_two(&t, n) / (double)n;
	report(name, variant, "ns", s);
}

static int peer_main(int argc, char **argv, void (*row)(const char *))
{
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "-quick") == 0) {
			quick = 1;
		} else if (strcmp(argv[i], "-workers") == 0 && i + 1 < argc) {
			workers = atoi(argv[++i]);
		} else if (strcmp(argv[i], "-runs") == 0 && i + 1 < argc) {
			runs = atoi(argv[++i]);
		} else if (strcmp(argv[i], "-only") == 0 && i + 1 < argc) {
			only = argv[++i];
		} else {
			fprintf(stderr, "usage: %s [-workers 1|2] [-runs N] [-quick] [-only TEXT] ROW...\n", argv[0]);
			return 2;
		}
	}
	if (runs < 1)
		runs = quick ? 3 : 5;
	if (runs > RUNS_MAX)
		runs = RUNS_MAX;
	for (; i < argc; i++)
		row(argv[i]);
	return 0;
}

#endif
