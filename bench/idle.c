/* SPDX-License-Identifier: MIT
 *
 * idle.c - P26: what does a process do whose tasks all wait? It should not wake up at all.
 *
 * A hundred tasks wait on a channel, one for a timer an hour ahead. A plain thread looks at the kernel's counts before
 * and after ten seconds (two with --quick), leaving itself out, and then ends the runtime.
 */
#include "bench.h"
#include "proc.h"

#include <pthread.h>
#include <unistd.h>

static const struct bench *bench;

static void nap(double seconds)
{
	struct timespec ts = {.tv_sec = (time_t)seconds, .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};

	while (nanosleep(&ts, &ts) != 0)
		;
}

static void *look(void *arg)
{
	double span = bench->quick ? 2 : 10, switches, cpu;

	(void)arg;
	nap(1); /* whatever starting left to do is done */
	switches = proc_switches(gettid());
	cpu = proc_cpu();
	nap(span);
	cpu = (proc_cpu() - cpu) / span;
	switches = (proc_switches(gettid()) - switches) / span;
	bench_report(bench, "P26", "idle, context switches a second", "/s", &switches, 1);
	bench_report(bench, "P26", "idle, CPU a second", "us/s", &cpu, 1);
	weft_exit(0);
	return NULL;
}

static void wait_for(chan *c)
{
	(void)chan_recv(c, NULL);
}

static int body(void *arg)
{
	chan *never = bench_chan(0, 0);
	pthread_t looker;

	bench = arg;
	for (int i = 0; i < 100; i++)
		MUST(go(wait_for, never));
	if (pthread_create(&looker, NULL, look, NULL) != 0)
		return 1;
	return task_sleep(3600 * SEC); /* weft_exit comes first; the channel goes with the process */
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
