/* SPDX-License-Identifier: MIT
 *
 * queue.c - P17, P18: what does a message cost through the queues of weft/lf, in one thread and between two?
 *
 * P17  spsc: M/s, sends and receives counted, through the ends and without; ns a message between two threads; and the same
 *      by the queue of many with one thread at each end that knows it is alone, which has stamps in place of indices
 * P18  mpmc: the same
 */
#include "bench.h"
#include "queue.h"

#include <weft/lockfree.h>

WEFT_SPSC_DEFINE(ring, uint64_t, QUEUE_CAP);
WEFT_MPMC_DEFINE(many, uint64_t, QUEUE_CAP);

static struct ring ring;
static struct many many;

#define RING_PUSH(q, v) ring_push(q, v)
#define RING_POP(q, v) ring_pop(q, &(v))
#define MANY_PUSH(q, v) many_push(q, v)
#define MANY_POP(q, v) many_pop(q, &(v))
QUEUE_IN_TURN(ring_in_turn, struct ring, RING_PUSH, RING_POP)
QUEUE_IN_TURN(many_in_turn, struct many, MANY_PUSH, MANY_POP)
QUEUE_TWO(many_two, struct many, MANY_PUSH, MANY_POP)
#define ALONE_PUSH(q, v) many_push_alone(q, v)
#define ALONE_POP(q, v) many_pop_alone(q, &(v))
QUEUE_IN_TURN(alone_in_turn, struct many, ALONE_PUSH, ALONE_POP)
QUEUE_TWO(alone_two, struct many, ALONE_PUSH, ALONE_POP)

/* With each side's own state in local variables. */
static int64_t ends_in_turn(uint64_t n, void *arg)
{
	struct ring_tx x = ring_tx(arg);
	struct ring_rx y = ring_rx(arg);
	uint64_t i, v = 0, sum = 0;
	int64_t start = queue_now();

	for (i = 1; i <= n; i++) {
		if (!ring_send(&x, i) || !ring_recv(&y, &v))
			queue_check(0, n);
		sum += v;
	}
	start = queue_now() - start;
	queue_check(sum, n);
	return start;
}

static void ends_send(void *arg, uint64_t n)
{
	struct ring_tx x = ring_tx(arg);
	uint64_t i;

	for (i = 1; i <= n; i++)
		while (!ring_send(&x, i))
			queue_pause();
}

static uint64_t ends_receive(void *arg, uint64_t n)
{
	struct ring_rx y = ring_rx(arg);
	uint64_t i, v = 0, sum = 0;

	for (i = 0; i < n; i++) {
		while (!ring_recv(&y, &v))
			queue_pause();
		sum += v;
	}
	return sum;
}

static int64_t two(uint64_t n, void *arg)
{
	return queue_run_two(arg, n);
}

/* As bench_measure, in millions of operations a second, two a turn. */
static void rate(const struct bench *b, const char *name, const char *variant, bench_work *work, void *arg)
{
	uint64_t n = b->quick ? 10000000 : 50000000;
	double s[BENCH_RUNS_MAX];

	if (!bench_wanted(b, variant))
		return;
	work(n / 4, arg);
	for (int i = 0; i < b->runs; i++)
		s[i] = 2e3 * (double)n / (double)work(n, arg);
	bench_report(b, name, variant, "M/s", s, b->runs);
}

int main(int argc, char **argv)
{
	struct queue_two ring_pair = {.send = ends_send, .receive = ends_receive, .q = &ring};
	struct queue_two many_pair = {.send = many_two_send, .receive = many_two_receive, .q = &many};
	struct queue_two alone_pair = {.send = alone_two_send, .receive = alone_two_receive, .q = &many};
	struct bench b;

	bench_args(&b, argc, argv);
	ring_init(&ring);
	many_init(&many);
	if (b.workers == 1) {
		rate(&b, "P17", "spsc, in turn", ends_in_turn, &ring);
		ring_init(&ring);
		rate(&b, "P17", "spsc, in turn, without ends", ring_in_turn, &ring);
		rate(&b, "P17", "spsc, in turn, by stamps", alone_in_turn, &many);
		rate(&b, "P18", "mpmc, in turn", many_in_turn, &many);
	} else {
		bench_measure(&b, "P17", "spsc, two threads", two, &ring_pair);
		bench_measure(&b, "P17", "spsc, two threads, by stamps", two, &alone_pair);
		bench_measure(&b, "P18", "mpmc, two threads", two, &many_pair);
	}
	return 0;
}
