/* SPDX-License-Identifier: MIT
 *
 * st.c - State Threads, one thread of the system's: start and end, join, a question and its answer by condition variables (it has no channels), a mutex, a million parked.
 *
 *     st [-workers 1] [-runs N] [-quick] [-only TEXT] P4|P5|P6|P10|P15
 *
 * With two workers it has no answer.
 */
#include <st.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RUNS_MAX = 100, WINDOW = 100, MILLION = 1000000, STACK = 64 * 1024 };

static int runs, quick, workers = 1;
static const char *only = "";

__attribute__((noreturn)) static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(const char *name, const char *variant, const char *unit, double *s, int n)
{
	qsort(s, (size_t)n, sizeof(*s), by_size);
	printf("{\"name\": \"%s\", \"variant\": \"%s\", \"workers\": 1, \"unit\": \"%s\", \"median\": %.4g, \"min\": %.4g, \"max\": %.4g, "
	       "\"runs\": %d, \"peer\": \"st\", \"version\": \"1.9\"}\n",
	       name, variant, unit, n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2, s[0], s[n - 1], n);
	fflush(stdout);
}

/* work(n) does n operations, and returns nanoseconds. Lengths of runs as in bench.h. */
static void measure(const char *name, const char *variant, int64_t (*work)(uint64_t))
{
	double target = quick ? 60e6 : 250e6, s[RUNS_MAX];
	uint64_t n = 100;

	if (!strstr(variant, only))
		return;
	for (;; n *= 4) {
		double took = (double)work(n);

		if (took >= target / 4) {
			n = (uint64_t)((double)n * target / took) + 1;
			break;
		}
	}
	for (int i = 0; i < runs; i++)
		s[i] = (double)work(n) / (double)n;
	report(name, variant, "ns", s, runs);
}

static st_thread_t start(void *(*fn)(void *), int joinable)
{
	st_thread_t t = st_thread_create(fn, NULL, joinable, STACK);

	if (!t)
		die("st_thread_create");
	return t;
}

/* --- start and end --- */

static st_cond_t over;
static int left;

static void *one(void *arg)
{
	(void)arg;
	if (!--left)
		st_cond_signal(over);
	return NULL;
}

static int64_t windows(uint64_t n)
{
	uint64_t did = 0;
	int64_t from = now();

	for (; did < n; did += WINDOW) {
		left = WINDOW;
		for (int i = 0; i < WINDOW; i++)
			start(one, 0);
		while (left)
			st_cond_wait(over);
	}
	return (int64_t)((double)(now() - from) * (double)n / (double)did);
}

static void *nothing(void *arg)
{
	return arg;
}

static int64_t joins(uint64_t n)
{
	int64_t from = now();

	while (n--) {
		if (st_thread_join(start(nothing, 1), NULL))
			die("st_thread_join");
	}
	return now() - from;
}

/* --- a question and its answer --- */

static st_cond_t asked, answered;
static uint64_t question, answer; /* the number of the last; 0: over */

static void *answers(void *arg)
{
	(void)arg;
	for (uint64_t seen = 0;; st_cond_signal(answered)) {
		while (question == seen)
			st_cond_wait(asked);
		seen = question;
		if (!seen)
			return NULL;
		answer = seen;
	}
}

static int64_t round_trips(uint64_t n)
{
	st_thread_t t;
	int64_t from, took;

	question = answer = 0;
	t = start(answers, 1);
	from = now();
	for (uint64_t i = 1; i <= n; i++) {
		question = i;
		st_cond_signal(asked);
		while (answer != i)
			st_cond_wait(answered);
	}
	took = now() - from;
	question = 0;
	st_cond_signal(asked);
	st_thread_join(t, NULL);
	return took;
}

/* --- a mutex --- */

enum { TASKS = 200 };

static st_mutex_t lock;
static uint64_t counter, each;

static int64_t alone(uint64_t n)
{
	int64_t from = now();

	for (uint64_t i = 0; i < n; i++) {
		st_mutex_lock(lock);
		st_mutex_unlock(lock);
	}
	return now() - from;
}

static void *contender(void *arg)
{
	for (uint64_t i = 0; i < each; i++) {
		st_mutex_lock(lock);
		counter++;
		st_mutex_unlock(lock);
	}
	return arg;
}

static int64_t contended(uint64_t n)
{
	st_thread_t t[TASKS];
	int64_t from = now();

	each = n / TASKS + 1;
	counter = 0;
	for (int i = 0; i < TASKS; i++)
		t[i] = start(contender, 1);
	for (int i = 0; i < TASKS; i++)
		st_thread_join(t[i], NULL);
	if (counter != each * TASKS)
		die("contended");
	return (int64_t)((double)(now() - from) * (double)n / (double)counter);
}

/* --- a million parked --- */

static st_cond_t gate;
static int in, open_;

static void *waits(void *arg)
{
	in++;
	while (!open_)
		st_cond_wait(gate);
	return one(arg);
}

/* Bytes. */
static double status(const char *key)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];
	double kb = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, strlen(key)) == 0)
			kb = atof(line + strlen(key));
	}
	if (f)
		fclose(f);
	return 1024 * kb;
}

static void parked(const char *name)
{
	double create, finish[RUNS_MAX], warm[RUNS_MAX], rss, tables, took;

	for (int i = 0; i <= runs; i++) {
		double rss0 = status("VmRSS:"), tables0 = status("VmPTE:");
		int64_t from = now();

		in = open_ = 0;
		left = MILLION;
		for (int k = 0; k < MILLION; k++)
			start(waits, 0);
		while (in < MILLION)
			st_usleep(0);
		took = (double)(now() - from) / MILLION;
		if (i == 0) {
			create = took;
			rss = (status("VmRSS:") - rss0) / MILLION;
			tables = (status("VmPTE:") - tables0) / MILLION;
			report(name, "create", "ns", &create, 1);
			report(name, "resident, each", "B", &rss, 1);
			report(name, "page tables, each", "B", &tables, 1);
		}
		from = now();
		open_ = 1;
		st_cond_broadcast(gate);
		while (left)
			st_cond_wait(over);
		if (i) {
			warm[i - 1] = took;
			finish[i - 1] = (double)(now() - from) / MILLION;
		}
	}
	report(name, "create, warm", "ns", warm, runs);
	report(name, "wake and finish", "ns", finish, runs);
}

static void row(const char *name)
{
	if (strcmp(name, "P4") == 0) {
		measure(name, "windows of 100, queued", windows);
	} else if (strcmp(name, "P5") == 0) {
		measure(name, "spawn and join", joins);
	} else if (strcmp(name, "P6") == 0) {
		measure(name, "round trip", round_trips);
	} else if (strcmp(name, "P10") == 0) {
		measure(name, "lock and unlock, alone", alone);
		measure(name, "200 tasks contending", contended);
	} else if (strcmp(name, "P15") == 0) {
		parked(name);
	}
}

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "-quick") == 0)
			quick = 1;
		else if (strcmp(argv[i], "-workers") == 0 && i + 1 < argc)
			workers = atoi(argv[++i]);
		else if (strcmp(argv[i], "-runs") == 0 && i + 1 < argc)
			runs = atoi(argv[++i]);
		else if (strcmp(argv[i], "-only") == 0 && i + 1 < argc)
			only = argv[++i];
		else
			return 2;
	}
	if (runs < 1)
		runs = quick ? 3 : 5;
	if (runs > RUNS_MAX)
		runs = RUNS_MAX;
	if (workers != 1)
		return 0;
	if (st_init())
		die("st_init");
	over = st_cond_new();
	asked = st_cond_new();
	answered = st_cond_new();
	gate = st_cond_new();
	lock = st_mutex_new();
	for (; i < argc; i++)
		row(argv[i]);
	return 0;
}
