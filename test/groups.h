/* SPDX-License-Identifier: MIT
 *
 * groups.h - children of a group that return a number, count, or wait until they are cancelled; and the group's own figures.
 */
#ifndef WEFT_TEST_GROUPS_H
#define WEFT_TEST_GROUPS_H

#include "rt.h"

#include "weft/group.h"

static inline weft_group_stat counts(weft_group *g)
{
	weft_group_stat s;

	weft_group_counts(g, &s);
	return s;
}

/* Returns what `code` has made its argument of. */
static inline int returns(void *arg)
{
	return (int)(intptr_t)arg;
}

static inline void *code(int n)
{
	return (void *)(intptr_t)n;
}

static inline int adds(void *arg)
{
	add_relaxed((ATOMIC(int) *)arg, 1); /* ordered by the join */
	return 0;
}

static inline int waits(void *arg)
{
	(void)arg;
	return weft_task_sleep_until(WEFT_FOREVER);
}

/* Who has a group, and what became of it. */
struct owner {
	ATOMIC(int) ready;
	ATOMIC(int) ended; /* children */
	int wait, close;
};

/* A child of an owner's: it takes its time to end. */
static inline int waits_and_says(void *arg)
{
	struct owner *o = arg;
	int rc = weft_task_sleep_until(WEFT_FOREVER);

	for (int i = 0; i < 5; i++)
		weft_task_yield();
	add_relaxed(&o->ended, 1); /* ordered by the join */
	return rc;
}

#endif
