/* SPDX-License-Identifier: MIT
 *
 * queue.h - the work of P17 and P18, in C and C++: what weft's queues and the peers' are asked alike.
 *
 *   One thread: send a number, receive it, in turn: both are counted.
 *   Two threads, each pinned to a core of its own: one sends the numbers from 1 to n, the other receives them and checks their sum. Who finds the queue
 *   full or empty looks again after 32 pause instructions.
 *
 * No weft in it.
 */
#ifndef BENCH_QUEUE_H
#define BENCH_QUEUE_H

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define QUEUE_CAP 1024

#if defined(__x86_64__)
#define queue_relax() __builtin_ia32_pause()
#else
#define queue_relax() __asm__ volatile("" ::: "memory")
#endif

/* Who looks again at once takes the line from the other side, which slows both, with every queue there is. */
static inline void queue_pause(void)
{
	int i;

	for (i = 0; i < 32; i++)
		queue_relax();
}

static inline int64_t queue_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline void queue_check(uint64_t sum, uint64_t n)
{
	if (sum != n * (n + 1) / 2) {
		fprintf(stderr, "queue: what came out is not what went in\n");
		exit(1);
	}
}

/* The work of one thread, as a function NAME(n, q) that returns nanoseconds: PUSH and POP are true when they have worked. */
#define QUEUE_IN_TURN(NAME, TYPE, PUSH, POP)               \
	static int64_t NAME(uint64_t n, void *arg)         \
	{                                                  \
		TYPE *q = (TYPE *)arg;                     \
		uint64_t i, v = 0, sum = 0;                \
		int64_t start = queue_now();               \
                                                           \
		for (i = 1; i <= n; i++) {                 \
			if (!(PUSH(q, i)) || !(POP(q, v))) \
				queue_check(0, n);         \
			sum += v;                          \
		}                                          \
		start = queue_now() - start;               \
		queue_check(sum, n);                       \
		return start;                              \
	}

/* The two threads' loops, as NAME_send and NAME_receive for queue_two. */
#define QUEUE_TWO(NAME, TYPE, PUSH, POP)                      \
	static void NAME##_send(void *arg, uint64_t n)        \
	{                                                     \
		TYPE *q = (TYPE *)arg;                        \
		uint64_t i;                                   \
                                                              \
		for (i = 1; i <= n; i++)                      \
			while (!(PUSH(q, i)))                 \
				queue_pause();                \
	}                                                     \
	static uint64_t NAME##_receive(void *arg, uint64_t n) \
	{                                                     \
		TYPE *q = (TYPE *)arg;                        \
		uint64_t i, v = 0, sum = 0;                   \
                                                              \
		for (i = 0; i < n; i++) {                     \
			while (!(POP(q, v)))                  \
				queue_pause();                \
			sum += v;                             \
		}                                             \
		return sum;                                   \
	}

struct queue_two {
	void (*send)(void *, uint64_t);
	uint64_t (*receive)(void *, uint64_t);
	void *q;
	uint64_t n;
	int ready; /* how many threads are at the start; by atomic builtins */
};

/* The caller's k-th core, if it has so many. */
static inline void queue_pin(int k)
{
	static cpu_set_t all;
	static int known;
	cpu_set_t one;
	int i;

	if (!known) {
		known = 1;
		sched_getaffinity(0, sizeof(all), &all);
	}
	CPU_ZERO(&one);
	for (i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, &all) && k-- == 0) {
			CPU_SET(i, &one);
			sched_setaffinity(0, sizeof(one), &one);
			return;
		}
	}
}

static inline void queue_meet(struct queue_two *t)
{
	__atomic_fetch_add(&t->ready, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&t->ready, __ATOMIC_ACQUIRE) < 2)
		queue_relax();
}

static inline void *queue_sender(void *arg)
{
	struct queue_two *t = (struct queue_two *)arg;

	queue_pin(1);
	queue_meet(t);
	t->send(t->q, t->n);
	return NULL;
}

/* Nanoseconds for n messages from one thread to another. */
static inline int64_t queue_run_two(struct queue_two *t, uint64_t n)
{
	pthread_t sender;
	int64_t start;
	uint64_t sum;

	t->n = n;
	t->ready = 0;
	queue_pin(0);
	if (pthread_create(&sender, NULL, queue_sender, t) != 0)
		exit(1);
	queue_meet(t);
	start = queue_now();
	sum = t->receive(t->q, n);
	start = queue_now() - start;
	pthread_join(sender, NULL);
	queue_check(sum, n);
	return start;
}

#endif
