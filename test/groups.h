/* SPDX-License-Identifier: MIT
 *
 * groups.h - children of a group that return a number, and the group's own figures.
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

#endif
