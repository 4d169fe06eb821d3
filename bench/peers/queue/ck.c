/* SPDX-License-Identifier: MIT
 *
 * ck.c - P17, P18 with concurrencykit's ck_ring, one producer and one consumer, and many of both. Numbers travel as its pointers.
 */
#define PEER "ck"
#include "peer.h"

#include <ck_ring.h>

struct ring {
	ck_ring_t ring;
	ck_ring_buffer_t buffer[QUEUE_CAP];
};

static struct ring spsc, mpmc;

static inline bool mpmc_pop(struct ring *q, uint64_t *v)
{
	void *p;

	if (!ck_ring_dequeue_mpmc(&q->ring, q->buffer, &p))
		return false;
	*v = (uintptr_t)p;
	return true;
}

static inline bool spsc_pop(struct ring *q, uint64_t *v)
{
	void *p;

	if (!ck_ring_dequeue_spsc(&q->ring, q->buffer, &p))
		return false;
	*v = (uintptr_t)p;
	return true;
}

#define SPSC_PUSH(q, v) ck_ring_enqueue_spsc(&(q)->ring, (q)->buffer, (void *)(uintptr_t)(v))
#define SPSC_POP(q, v) spsc_pop(q, &(v))
#define MPMC_PUSH(q, v) ck_ring_enqueue_mpmc(&(q)->ring, (q)->buffer, (void *)(uintptr_t)(v))
#define MPMC_POP(q, v) mpmc_pop(q, &(v))
QUEUE_IN_TURN(spsc_in_turn, struct ring, SPSC_PUSH, SPSC_POP)
QUEUE_TWO(spsc_two, struct ring, SPSC_PUSH, SPSC_POP)
QUEUE_IN_TURN(mpmc_in_turn, struct ring, MPMC_PUSH, MPMC_POP)
QUEUE_TWO(mpmc_two, struct ring, MPMC_PUSH, MPMC_POP)

static void row(const char *name)
{
	if (strcmp(name, "P17") == 0) {
		measure_in_turn(name, "spsc, in turn", spsc_in_turn, &spsc);
		measure_two(name, "spsc, two threads", spsc_two_send, spsc_two_receive, &spsc);
	} else {
		measure_in_turn(name, "mpmc, in turn", mpmc_in_turn, &mpmc);
		measure_two(name, "mpmc, two threads", mpmc_two_send, mpmc_two_receive, &mpmc);
	}
}

int main(int argc, char **argv)
{
	ck_ring_init(&spsc.ring, QUEUE_CAP);
	ck_ring_init(&mpmc.ring, QUEUE_CAP);
	return peer_main(argc, argv, row);
}
