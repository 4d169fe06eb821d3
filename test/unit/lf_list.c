/* SPDX-License-Identifier: MIT
 *
 * lf_list.c - weft/lf/list.h: the singly linked stack and FIFO keep their order (the doubly linked list: list.c); weft/lf/backoff.h ends in time.
 */
#include "weft/lf/list.h"

#include "tap.h"
#include "weft/lf/backoff.h"

struct item {
	int n;
	struct weft_slist_node link;
};

static int number(struct weft_slist_node *n)
{
	return WEFT_CONTAINER_OF(n, struct item, link)->n;
}

/* Last in, first out; zeroed memory is empty; all can be taken at once. */
TEST(stack_keeps_order)
{
	struct item it[4] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}};
	struct weft_slist l = {0};
	struct weft_slist_node *n;

	T_OK(weft_slist_empty(&l));
	T_EQ(weft_slist_pop(&l), NULL);
	for (int i = 0; i < 4; i++)
		weft_slist_push(&l, &it[i].link);
	T_EQ(weft_slist_length(&l), 4);
	T_EQ(number(weft_slist_pop(&l)), 3);
	n = weft_slist_take(&l);
	T_OK(weft_slist_empty(&l));
	for (int i = 2; i >= 0; i--, n = n->next)
		T_EQ(number(n), i);
	T_EQ(n, NULL);
	weft_slist_push(&l, &it[0].link);
	weft_slist_init(&l);
	T_OK(weft_slist_empty(&l));
}

/* First in, first out, also through empty; what is pushed in front comes first. */
TEST(fifo_keeps_order)
{
	struct item it[4] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}};
	struct weft_fifo f = {0};

	T_OK(weft_fifo_empty(&f));
	T_EQ(weft_fifo_pop(&f), NULL);
	for (int round = 0; round < 3; round++) {
		weft_fifo_push(&f, &it[2].link);
		weft_fifo_push(&f, &it[3].link);
		weft_fifo_push_front(&f, &it[1].link);
		weft_fifo_push_front(&f, &it[0].link);
		for (int i = 0; i < 4; i++)
			T_EQ(number(weft_fifo_pop(&f)), i);
		T_OK(weft_fifo_empty(&f));
		T_EQ(weft_fifo_pop(&f), NULL);
	}
	weft_fifo_push_front(&f, &it[0].link); /* the first is the last as well */
	weft_fifo_push(&f, &it[1].link);
	T_EQ(number(weft_fifo_pop(&f)), 0);
	T_EQ(number(weft_fifo_pop(&f)), 1);
}

/* One FIFO behind the other, each of them empty or not. */
TEST(fifos_append)
{
	for (int na = 0; na <= 2; na++) {
		for (int nb = 0; nb <= 2; nb++) {
			struct item it[5] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}, {.n = 4}};
			struct weft_fifo a, b;

			weft_fifo_init(&a);
			weft_fifo_init(&b);
			for (int i = 0; i < na; i++)
				weft_fifo_push(&a, &it[i].link);
			for (int i = 0; i < nb; i++)
				weft_fifo_push(&b, &it[na + i].link);
			weft_fifo_append(&a, &b);
			T_OK(weft_fifo_empty(&b));
			weft_fifo_push(&a, &it[na + nb].link);
			for (int i = 0; i <= na + nb; i++)
				T_EQ(number(weft_fifo_pop(&a)), i);
			T_OK(weft_fifo_empty(&a));
		}
	}
}

/* Spins double up to the bound, and end when all are spent. */
TEST(backoff_doubles_and_ends)
{
	struct weft_lf_backoff b = WEFT_LF_BACKOFF(2, 8, 21), none = WEFT_LF_BACKOFF(1, 1, 0);
	unsigned expect[] = {2, 4, 8, 8};

	for (int i = 0; i < 4; i++) {
		T_EQ(b.pause, expect[i]);
		T_OK(weft_lf_backoff_spin(&b));
	}
	T_EQ(b.left, 0);
	T_OK(!weft_lf_backoff_spin(&b));
	T_OK(!weft_lf_backoff_spin(&b));
	T_OK(!weft_lf_backoff_spin(&none));
}
