/* SPDX-License-Identifier: MIT
 *
 * list.c - base/list.h: does the intrusive list keep its order and know its members?
 */
#include "base/list.h"

#include "base/rand.h"
#include "tap.h"

struct item {
	int n;
	struct list_node link;
};

static struct item *item(struct list_node *n)
{
	return container_of(n, struct item, link);
}

/* Zeroed memory is an empty list that can be used at once. */
TEST(zeroed_is_empty)
{
	struct list l = {0};
	struct item a = {.n = 1};

	T_OK(list_empty(&l));
	T_EQ(list_first(&l), NULL);
	T_EQ(list_pop_head(&l), NULL);
	list_push_head(&l, &a.link);
	T_OK(!list_empty(&l));
	T_EQ(list_pop_head(&l), &a.link);
	T_OK(list_empty(&l));
}

/* Tail pushes come out first in first out, head pushes last in first out. */
TEST(keeps_order)
{
	struct item it[4] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}};
	struct list l;

	list_init(&l);
	list_push_tail(&l, &it[2].link);
	list_push_tail(&l, &it[3].link);
	list_push_head(&l, &it[1].link);
	list_push_head(&l, &it[0].link);
	for (int i = 0; i < 4; i++)
		T_EQ(item(list_pop_head(&l))->n, i);
	T_OK(list_empty(&l));
}

/* A node knows whether it is in a list, also after it was taken out of the middle. */
TEST(knows_members)
{
	struct item it[3] = {{.n = 0}, {.n = 1}, {.n = 2}};
	struct list l = {0};

	for (int i = 0; i < 3; i++) {
		T_OK(!list_linked(&it[i].link));
		list_push_tail(&l, &it[i].link);
		T_OK(list_linked(&it[i].link));
	}
	list_remove(&it[1].link);
	T_OK(!list_linked(&it[1].link));
	T_EQ(list_first(&l), &it[0].link);
	T_EQ(list_after(&l, &it[0].link), &it[2].link);
	T_EQ(list_after(&l, &it[2].link), NULL);
	list_remove(&it[0].link);
	list_remove(&it[2].link);
	T_OK(list_empty(&l));
}

/* Against an array, through random operations: same members, same order. */
TEST(agrees_with_an_array)
{
	enum { ITEMS = 32 };
	struct item it[ITEMS] = {0};
	struct item *model[ITEMS];
	struct list l = {0};
	struct rng r;
	int n = 0;

	rng_seed(&r, 1, 0);
	for (int i = 0; i < ITEMS; i++)
		it[i].n = i;
	for (long step = 0; step < tap_iters(20000); step++) {
		struct item *x = &it[rng_below(&r, ITEMS)];
		struct list_node *node;
		int at = 0;

		while (at < n && model[at] != x)
			at++;
		T_EQ(list_linked(&x->link), at < n);
		if (at < n) {
			list_remove(&x->link);
			for (n--; at < n; at++)
				model[at] = model[at + 1];
		} else if (rng_below(&r, 2)) {
			list_push_tail(&l, &x->link);
			model[n++] = x;
		} else {
			list_push_head(&l, &x->link);
			for (int i = n++; i > 0; i--)
				model[i] = model[i - 1];
			model[0] = x;
		}
		node = list_first(&l);
		for (int i = 0; i < n; i++) {
			T_EQ(node, &model[i]->link);
			node = list_after(&l, node);
		}
		T_EQ(node, NULL);
	}
}
