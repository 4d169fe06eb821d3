/* SPDX-License-Identifier: MIT
 *
 * peer.hpp - what the Boost peers share with each other, and with bench.h: arguments, calibration, one JSON line an
 * answer.
 *
 * A row's work has the form ns(n): do n operations, return how many nanoseconds they took; names, variants and lengths
 * of runs are those of bench.h, so that run.py can join them.
 */
#ifndef PEER_HPP
#define PEER_HPP

#include <boost/version.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

static int workers = 1;
static int runs;
static bool quick;
static const char *only = "";

static int64_t now()
{
	auto since = std::chrono::steady_clock::now().time_since_epoch();

	return std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
}

static void report(const char *name, const char *variant, std::vector<double> s)
{
	std::sort(s.begin(), s.end());
	size_t k = s.size();
	double median = k % 2 ? s[k / 2] : (s[k / 2 - 1] + s[k / 2]) / 2;

	printf("{\"name\": \"%s\", \"variant\": \"%s\", \"workers\": %d, \"unit\": \"ns\", \"median\": %.3f, \"min\": %.3f, "
	       "\"max\": %.3f, \"runs\": %zu, \"peer\": \"boost\", \"version\": \"%d.%d\"}\n",
	       name, variant, workers, median, s[0], s[k - 1], k, BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000);
	fflush(stdout);
}

/* Finds an n for which work(n) takes long enough to be believed, and reports nanoseconds an operation. */
static void measure(const char *name, const char *variant, const std::function<int64_t(uint64_t)> &work)
{
	double target = quick ? 60e6 : 250e6;
	uint64_t n = 100;
	std::vector<double> s;

	if (!strstr(variant, only))
		return;
	for (;; n *= 4) {
		double took = (double)work(n);

		if (took >= target / 4) {
			n = std::max<uint64_t>(1, (uint64_t)((double)n * target / took));
			break;
		}
	}
	for (int i = 0; i < runs; i++)
		s.push_back((double)work(n) / (double)n);
	report(name, variant, s);
}

struct row {
	const char *name;
	void (*work)();
};

/* Reads the options; returns the index of the first row asked for. */
static int peer_args(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "-quick") == 0) {
			quick = true;
		} else if (strcmp(argv[i], "-workers") == 0 && i + 1 < argc) {
			workers = atoi(argv[++i]);
		} else if (strcmp(argv[i], "-runs") == 0 && i + 1 < argc) {
			runs = atoi(argv[++i]);
		} else if (strcmp(argv[i], "-only") == 0 && i + 1 < argc) {
			only = argv[++i];
		} else {
			fprintf(stderr, "usage: %s [-workers 1|2] [-runs N] [-quick] [-only TEXT] NAME...\n", argv[0]);
			exit(2);
		}
	}
	if (workers < 1 || workers > 2) {
		fprintf(stderr, "%s: 1 or 2 workers\n", argv[0]);
		exit(2);
	}
	if (runs < 1)
		runs = quick ? 3 : 5;
	return i;
}

static void peer_run(const std::vector<row> &rows, const char *name)
{
	for (auto &r : rows)
		if (strcmp(r.name, name) == 0)
			return r.work();
	fprintf(stderr, "no row %s\n", name);
	exit(2);
}

#endif
