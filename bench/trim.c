/* SPDX-License-Identifier: MIT
 *
 * trim.c - P61: what does a task cost in memory that was deep in a call once, and waits since; what does it cost to give back what it does not use, and to wake it
 * afterwards?
 *
 * A hundred thousand tasks, each of which has used 16 KiB of its stack and waits for a message. In a runtime that trims no stacks, and in one that trims those that have waited for a fifth
 * of a second. A message wakes a task, which then goes as deep as before, or does not. CPU time is the whole process's, whose tasks all wait, less that of as long a time afterwards.
 */
#include "bench.h"
#include "proc.h"

#define TASKS 100000
#define DEEP (16 * 1024)
#define SOON (200 * MS)

struct round {
	const struct bench *b;
	int tasks;
	bool trims;
	chan *gate;
	waitgroup there; /* those that are not waiting */
};

static __attribute__((noinline)) int deep(void)
{
	volatile char frame[DEEP];

	for (size_t i = 0; i < sizeof(frame); i += 1024)
		frame[i] = 1;
	return frame[0];
}

static void wait_for(struct round *r)
{
	int dive = 1;

	do {
		if (dive)
			deep();
		wg_done(&r->there);
	} while (chan_recv(r->gate, &dive) == 0);
	wg_done(&r->there);
}

static int64_t wake_all(struct round *r, int dive)
{
	int64_t t = bench_now();

	wg_add(&r->there, r->tasks);
	for (int i = 0; i < r->tasks; i++)
		MUST(chan_send(r->gate, &dive));
	MUST(wg_wait(&r->there));
	return bench_now() - t;
}

static uint64_t trimmed(void)
{
	weft_stat s;

	MUST(weft_stats(&s));
	return s.trimmed;
}

/* Until no more are. Returns the CPU time that it has taken, each. */
static double until_trimmed(struct round *r)
{
	double cpu = proc_cpu();
	int64_t start = bench_now(), changed = start, took;
	uint64_t first = trimmed(), n = first;

	if (!r->trims)
		return 0;
	while (bench_now() - changed < 4 * SOON) {
		MUST(task_sleep(20 * MS));
		if (trimmed() != n) {
			n = trimmed();
			changed = bench_now();
		}
	}
	took = bench_now() - start;
	cpu = proc_cpu() - cpu;
	start = bench_now();
	cpu += proc_cpu();
	while (bench_now() - start < took)
		MUST(task_sleep(20 * MS));
	return 1e3 * (cpu - proc_cpu()) / (double)(n - first);
}

static void say(struct round *r, const char *what, const char *unit, double value)
{
	char variant[100];

	snprintf(variant, sizeof(variant), "%s, %s", what, r->trims ? "trimmed" : "not trimmed");
	if (bench_wanted(r->b, variant))
		bench_report(r->b, "P61", variant, unit, &value, 1);
}

static int body(void *arg)
{
	struct round *r = arg;
	double resident = proc_resident(), tables = proc_tables(), cpu, n = r->tasks;

	r->gate = bench_chan(sizeof(int), 0);
	wg_add(&r->there, r->tasks);
	for (int i = 0; i < r->tasks; i++)
		MUST(go(wait_for, r));
	MUST(wg_wait(&r->there));
	cpu = until_trimmed(r);
	say(r, "resident, each", "B", (proc_resident() - resident) / n);
	say(r, "page tables, each", "B", (proc_tables() - tables) / n);
	if (r->trims)
		say(r, "CPU time, each", "ns", cpu);
	say(r, "wake", "ns", (double)wake_all(r, 0) / n);
	(void)until_trimmed(r);
	say(r, "wake and as deep again", "ns", (double)wake_all(r, 1) / n);
	wg_add(&r->there, r->tasks);
	MUST(chan_close(r->gate));
	MUST(wg_wait(&r->there));
	chan_free(r->gate);
	weft_trim();
	return 0;
}

int main(int argc, char **argv)
{
	struct bench b;
	struct round r = {.b = &b};

	bench_args(&b, argc, argv);
	r.tasks = b.quick ? TASKS / 10 : TASKS;
	for (int i = 0; i < 2; i++) {
		r.trims = i;
		MUST(weft_run(body, &r, &(weft_opts){.workers = b.workers, .trim_parked = i ? SOON : -1}));
	}
	return 0;
}
