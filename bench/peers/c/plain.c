/* SPDX-License-Identifier: MIT
 *
 * plain.c - reading a file as one does (P58): pread and read in a loop, one thread.
 *
 *     PROGRAM [-workers 1] [-runs N] [-quick] [-only TEXT] P58
 */
#include "../../filebench.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#define RUNS_MAX 100

static int fd;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void must(int ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "plain: %s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static double preads(uint64_t n)
{
	char buf[FILE_PIECE];
	uint32_t seed = 1;
	double start = now();

	for (uint64_t i = 0; i < n; i++)
		must(pread(fd, buf, sizeof(buf), file_somewhere(&seed)) == FILE_PIECE, "pread");
	return now() - start;
}

static double in_a_row(uint64_t n)
{
	static char buf[FILE_BLOCK];
	double start = now();

	for (uint64_t i = 0; i < n; i++) {
		ssize_t got = read(fd, buf, sizeof(buf));

		must(got >= 0, "read");
		if (got == 0)
			lseek(fd, 0, SEEK_SET);
	}
	return now() - start;
}

static double asks(uint64_t n)
{
	struct stat st;
	double start = now();

	for (uint64_t i = 0; i < n; i++)
		must(fstat(fd, &st) == 0, "fstat");
	return now() - start;
}

static double asks_path(uint64_t n)
{
	struct stat st;
	double start = now();

	for (uint64_t i = 0; i < n; i++)
		must(stat("/tmp", &st) == 0, "stat");
	return now() - start;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const char *variant, double (*work)(uint64_t), int runs, int quick)
{
	double s[RUNS_MAX], target = quick ? 60e6 : 250e6, took;
	uint64_t n = 100;

	while ((took = work(n)) < target / 4)
		n *= 4;
	n = (uint64_t)((double)n * target / took) + 1;
	for (int i = 0; i < runs; i++)
		s[i] = work(n) / (double)n;
	qsort(s, (size_t)runs, sizeof(*s), by_size);
	printf("{\"name\": \"P58\", \"variant\": \"%s\", \"workers\": 1, \"unit\": \"ns\", \"median\": %.4g, \"min\": %.4g, \"max\": %.4g, "
	       "\"runs\": %d, \"peer\": \"plain\", \"version\": \"\"}\n",
	       variant, runs % 2 ? s[runs / 2] : (s[runs / 2 - 1] + s[runs / 2]) / 2, s[0], s[runs - 1], runs);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *variant;
		double (*work)(uint64_t);
	} rows[] = {{"4 KiB of a file, 1 task", preads},
		    {"64 KiB after 64 KiB", in_a_row},
		    {"stat of an open file", asks},
		    {"stat, by way of a thread", asks_path}};
	int runs = 5, quick = 0, workers = 1;
	char path[] = "/tmp/weft-bench.XXXXXX";
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
	file_make(path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd >= 0, path);
	unlink(path);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (strstr(rows[i].variant, only))
			measure(rows[i].variant, rows[i].work, runs, quick);
	}
	return 0;
}
