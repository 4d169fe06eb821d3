/* SPDX-License-Identifier: MIT
 *
 * blocks.c - blocks that run once: an optimising compiler sees that they do, and does not remark upon what is set in one and used behind it; and what must not compile.
 */
#include <stdio.h>
#include <weft.h>

#ifndef CASE
#define CASE 0
#endif

int in_group(weft_task_fn *fn, int *v, int n);

int in_group(weft_task_fn *fn, int *v, int n)
{
	int rc, again;

	WEFT_WITH_GROUP (g, .max = 2) {
		for (int i = 0; i < n; i++)
			(void)weft_group_go(&g, fn, &v[i]);
		rc = weft_group_wait(&g);
	}
	if (rc < 0)
		printf("failed: %d\n", rc);
	WEFT_WITH_GROUP (g)
		again = weft_group_wait(&g);
	return rc ? rc : again;
}

int in_scopes(int64_t ns);

int in_scopes(int64_t ns)
{
	int rc, again;

	WEFT_WITH_TIMEOUT (ns) {
		rc = weft_task_sleep(ns);
	}
	WEFT_WITH_SHIELD
	{
		again = weft_task_sleep(ns);
	}
	return rc ? rc : again;
}

/* CASE 1: nosuch */
#if CASE == 1
void unknown_option(void)
{
	WEFT_WITH_GROUP (g, .nosuch = 2)
		(void)weft_group_wait(&g);
}
#endif
