/* SPDX-License-Identifier: MIT
 *
 * wakeup.c - P24: a task starts another, or wakes one, and computes on. How soon does the other, sleeping worker run
 * it?
 *
 * Keeps the other rows honest: a runtime that woke nobody would be fast in them. Needs two workers and two cores. Beside
 * it the floor: the same between two bare threads, one of which sleeps in a read of an eventfd.
 */
#include "bench.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GIVE_UP (20 * MS) /* the caller computes no longer than that */

static int64_t stamp; /* when it ran; 0: not yet */

static void note(void)
{
	__atomic_store_n(&stamp, bench_now(), __ATOMIC_RELEASE); /* pairs with the loads in latency */
}

static void woken(chan *c, waitgroup *g)
{
	while (chan_recv(c, NULL) == 0)
		note();
	wg_done(g);
}

static void *bare(void *arg)
{
	uint64_t n;

	while (read(*(int *)arg, &n, sizeof(n)) == sizeof(n) && n == 1)
		note();
	return NULL;
}

/* c: woken by a send; else fd >= 0: a thread that reads it; else started. */
static void latency(const struct bench *b, const char *variant, chan *c, int fd)
{
	static double us[2000];
	int n = b->quick ? 300 : 2000;
	char name[64];

	for (int i = 0; i < n; i++) {
		int64_t start;

		stamp = 0;
		MUST(task_sleep(300 * US)); /* the other worker goes to sleep */
		start = bench_now();
		if (c)
			MUST(chan_send(c, NULL));
		else if (fd >= 0)
			MUST(eventfd_write(fd, 1));
		else
			MUST(go(note));
		while (__atomic_load_n(&stamp, __ATOMIC_ACQUIRE) == 0 && bench_now() - start < GIVE_UP)
			;
		while (__atomic_load_n(&stamp, __ATOMIC_ACQUIRE) == 0)
			task_yield();
		us[i] = (double)(stamp - start) / 1e3;
	}
	qsort(us, (size_t)n, sizeof(*us), bench_compare);
	snprintf(name, sizeof(name), "%s, p50", variant);
	bench_report(b, "P24", name, "us", &us[n / 2], 1);
	snprintf(name, sizeof(name), "%s, p99", variant);
	bench_report(b, "P24", name, "us", &us[n * 99 / 100], 1);
	snprintf(name, sizeof(name), "%s, max", variant);
	bench_report(b, "P24", name, "us", &us[n - 1], 1);
}

static int body(void *arg)
{
	struct bench *b = arg;
	waitgroup g = {0};
	chan *c = bench_chan(0, 1);
	int fd = eventfd(0, EFD_CLOEXEC);
	pthread_t thread;

	if (fd < 0 || pthread_create(&thread, NULL, bare, &fd)) {
		fprintf(stderr, "bench: no thread to compare with\n");
		exit(1);
	}
	latency(b, "bare thread", NULL, fd);
	MUST(eventfd_write(fd, 2));
	pthread_join(thread, NULL);
	close(fd);
	latency(b, "go", NULL, -1);
	wg_add(&g, 1);
	MUST(go(woken, c, &g));
	task_yield();
	latency(b, "wake", c, -1);
	MUST(chan_close(c));
	MUST(wg_wait(&g));
	chan_free(c);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
