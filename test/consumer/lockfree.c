/* SPDX-License-Identifier: MIT
 *
 * lockfree.c - weft/lockfree.h as C and as C++11, without the library: every queue is made, used from both ends, and given back.
 */
#include <stdio.h>
#include <weft/lockfree.h>

struct pair {
	int a, b;
};

WEFT_SPSC_DEFINE(ring, struct pair, 3);
WEFT_SPSC_LIST_DEFINE(list, struct pair, 2);
WEFT_MPMC_DEFINE(many, struct pair, 3);
WEFT_MPSC_DEFINE(sole, struct pair, 3);
WEFT_WSQ_DEFINE(wsq, 8);

static struct ring ring;
static struct list list;
static struct many many;
static struct sole sole;
static struct wsq wsq, own;
static weft_mpsc mpsc;
static weft_mpsc_node node;
static weft_deque deque;
static weft_spsc spsc;
static weft_mpmc mpmc;

static int bad;

#define OK(x)                                      \
	do {                                       \
		if (!(x)) {                        \
			printf("wrong: %s\n", #x); \
			bad = 1;                   \
		}                                  \
	} while (0)

int main(void)
{
	struct pair in = {1, 2}, out = {0, 0};
	struct ring_tx x;
	struct ring_rx y;
	uint32_t moved;
	bool lost;

	ring_init(&ring);
	x = ring_tx(&ring);
	y = ring_rx(&ring);
	OK(ring_send(&x, in) && ring_recv(&y, &out) && out.b == 2);
	OK(ring_push(&ring, in) && ring_pop(&ring, &out) && !ring_pop(&ring, &out));
	OK(ring_push_n(&ring, &in, 1) == 1 && ring_len(&ring) == 1 && ring_pop_n(&ring, &out, 1) == 1);
	list_init(&list);
	for (int i = 0; i < 9; i++)
		OK(list_push(&list, in));
	OK(list_pop(&list, &out) && !list_empty(&list));
	list_destroy(&list);
	many_init(&many);
	OK(many_push(&many, in) && many_push_alone(&many, in) && many_len(&many) == 2 && many_pop(&many, &out) &&
	   many_pop_alone(&many, &out));
	sole_init(&sole);
	OK(sole_push(&sole, in) && sole_len(&sole) == 1 && sole_pop(&sole, &out));
	wsq_init(&wsq);
	wsq_init(&own);
	OK(wsq_push(&wsq, &in) && wsq_push(&wsq, &in) && wsq_steal(&wsq, &own, &moved) == &in && moved == 0);
	OK(wsq_pop(&wsq) == &in && wsq_empty(&wsq) && !wsq_pop_alone(&wsq));
	weft_mpsc_init(&mpsc);
	weft_mpsc_push(&mpsc, &node);
	OK(weft_mpsc_pop(&mpsc) == &node && !weft_mpsc_trypop(&mpsc, &lost) && !lost);
	OK(weft_deque_init(&deque, 1) == 0);
	for (int i = 0; i < 9; i++)
		OK(weft_deque_push(&deque, &in) == 0);
	OK(weft_deque_pop(&deque) == &in && weft_deque_steal(&deque, &lost) == &in && weft_deque_len(&deque) == 7);
	weft_deque_destroy(&deque);
	OK(weft_spsc_init(&spsc, sizeof(in), 3) == 0 && weft_spsc_push(&spsc, &in) && weft_spsc_len(&spsc) == 1 &&
	   weft_spsc_pop(&spsc, &out));
	weft_spsc_destroy(&spsc);
	OK(weft_mpmc_init(&mpmc, sizeof(in), 3) == 0 && weft_mpmc_push(&mpmc, &in) && weft_mpmc_len(&mpmc) == 1 &&
	   weft_mpmc_pop(&mpmc, &out));
	weft_mpmc_destroy(&mpmc);
	return bad;
}
