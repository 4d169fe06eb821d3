/* SPDX-License-Identifier: MIT
 *
 * task_group.c - children that work in their parent's frame, three at a time, and what went wrong with some of them.
 *
 * The block ends when all of them have, however it is left; so they may be given addresses of what lies around it.
 */
#include <stdio.h>
#include <weft.h>

#define ORDERS 9

struct order {
	int number, pieces, price, total;
	uint64_t task;
};

static int price(void *arg)
{
	struct order *o = arg;

	o->task = task_id(NULL);
	task_sleep(MS); /* asks somebody */
	if (o->pieces == 0)
		return WEFT_EINVAL;
	if (o->number == 8)
		task_panic("order 8 is cursed"); /* ends the child, not the program */
	o->total = o->pieces * o->price;
	return 0;
}

WEFT_MAIN(argc, argv)
{
	struct order order[ORDERS];
	int sum = 0;

	(void)argc;
	(void)argv;
	for (int i = 0; i < ORDERS; i++)
		order[i] = (struct order){.number = i + 1, .pieces = i % 4, .price = 10 + i};
	WITH_GROUP (g, .policy = WEFT_COLLECT, .max = 3) {
		group_err err[ORDERS];
		group_stat count;
		int errors;

		for (int i = 0; i < ORDERS; i++) {
			if (group_go(&g, price, &order[i]) != 0)
				return 1;
		}
		group_wait(&g);
		group_counts(&g, &count);
		errors = group_errors(&g, err, ORDERS);
		printf("%u children, %u failed\n", count.done, count.failed);
		for (int i = 0; i < ORDERS; i++) { /* in the order of the orders, not in that of the failures */
			for (int k = 0; k < errors; k++) {
				if (err[k].task == order[i].task)
					printf("order %d: %s\n", order[i].number, weft_strerror(err[k].code));
			}
			sum += order[i].total;
		}
	}
	printf("the others cost %d\n", sum);
	return 0;
}
