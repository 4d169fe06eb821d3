/* SPDX-License-Identifier: MIT
 *
 * moodycamel.cpp - P17 with moodycamel's ReaderWriterQueue, P18 with its ConcurrentQueue, with tokens, its fastest form. Neither allocates: they are made
 * with room, and try_enqueue does not add to it.
 */
#define PEER "moodycamel"
#include "peer.h"

#include <concurrentqueue/concurrentqueue.h>
#include <readerwriterqueue/readerwriterqueue.h>

struct many {
	moodycamel::ConcurrentQueue<uint64_t> q;
	moodycamel::ProducerToken in;
	moodycamel::ConsumerToken out;

	many() : q(QUEUE_CAP), in(q), out(q)
	{
	}
};

typedef moodycamel::ReaderWriterQueue<uint64_t> ring;

#define SPSC_PUSH(q, v) (q)->try_enqueue(v)
#define SPSC_POP(q, v) (q)->try_dequeue(v)
#define MPMC_PUSH(m, v) (m)->q.try_enqueue((m)->in, v)
#define MPMC_POP(m, v) (m)->q.try_dequeue((m)->out, v)
QUEUE_IN_TURN(spsc_in_turn, ring, SPSC_PUSH, SPSC_POP)
QUEUE_TWO(spsc_two, ring, SPSC_PUSH, SPSC_POP)
QUEUE_IN_TURN(mpmc_in_turn, many, MPMC_PUSH, MPMC_POP)
QUEUE_TWO(mpmc_two, many, MPMC_PUSH, MPMC_POP)

static ring *spsc;
static many *mpmc;

static void row(const char *name)
{
	if (strcmp(name, "P17") == 0) {
		measure_in_turn(name, "spsc, in turn", spsc_in_turn, spsc);
		measure_two(name, "spsc, two threads", spsc_two_send, spsc_two_receive, spsc);
	} else {
		measure_in_turn(name, "mpmc, in turn", mpmc_in_turn, mpmc);
		measure_two(name, "mpmc, two threads", mpmc_two_send, mpmc_two_receive, mpmc);
	}
}

int main(int argc, char **argv)
{
	spsc = new ring(QUEUE_CAP);
	mpmc = new many;
	return peer_main(argc, argv, row);
}
