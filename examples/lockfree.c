/* SPDX-License-Identifier: MIT
 *
 * lockfree.c - weft's lock-free structures alone: plain threads, no tasks, no runtime, nothing to link. Two threads put numbers into a queue that two others take them out of; those
 * send what they have found to main, through another.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <weft/lockfree.h>

enum { THREADS = 2, EACH = 10000, END = -1 };

struct found {
	long count, sum;
};

WEFT_MPMC_DEFINE(numbers, long, 64);        /* any number of producers and consumers */
WEFT_MPSC_DEFINE(results, struct found, 4); /* one consumer */

static struct numbers numbers;
static struct results results;

/* The queues never wait: what to do meanwhile is the caller's business. */
static void later(struct weft_lf_backoff *b)
{
	if (!weft_lf_backoff_spin(b))
		sched_yield();
}

static void put(long n)
{
	struct weft_lf_backoff b = WEFT_LF_BACKOFF(4, 64, 1024);

	while (!numbers_push(&numbers, n)) /* full */
		later(&b);
}

static void *produce(void *arg)
{
	long first = *(long *)arg;

	for (long i = 0; i < EACH; i++)
		put(first + i);
	return NULL;
}

static void *consume(void *arg)
{
	struct found f = {0, 0};

	(void)arg;
	for (;;) {
		struct weft_lf_backoff b = WEFT_LF_BACKOFF(4, 64, 1024);
		long n;

		while (!numbers_pop(&numbers, &n)) /* empty */
			later(&b);
		if (n == END)
			break;
		f.count++;
		f.sum += n;
	}
	while (!results_push(&results, f))
		sched_yield();
	return NULL;
}

int main(void)
{
	pthread_t producer[THREADS], consumer[THREADS];
	long first[THREADS];
	struct found all = {0, 0}, f;

	numbers_init(&numbers);
	results_init(&results);
	for (int i = 0; i < THREADS; i++) {
		first[i] = i * EACH;
		if (pthread_create(&producer[i], NULL, produce, &first[i]) || pthread_create(&consumer[i], NULL, consume, NULL))
			return 1;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(producer[i], NULL);
	for (int i = 0; i < THREADS; i++)
		put(END); /* behind all numbers */
	for (int i = 0; i < THREADS; i++)
		pthread_join(consumer[i], NULL);
	while (results_pop(&results, &f)) {
		all.count += f.count;
		all.sum += f.sum;
	}
	printf("%ld numbers, %ld together\n", all.count, all.sum);
	return 0;
}
