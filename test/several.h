/* SPDX-License-Identifier: MIT
 *
 * several.h - for tests that have another runtime beside the default one.
 */
#ifndef TEST_SEVERAL_H
#define TEST_SEVERAL_H

#include "rt.h"

#include "weft/several.h"

static inline weft_runtime *made(int workers)
{
	weft_runtime *rt;

	T_EQ(weft_make(&rt, &(weft_opts){.workers = workers}), 0);
	return rt;
}

static inline weft_task *start_in(weft_runtime *rt, weft_task_fn *fn, void *arg)
{
	weft_task *t;

	T_EQ(weft_runtime_go(rt, &t, fn, arg, NULL), 0);
	return t;
}

/* t's runtime went down before it had ended. */
static inline void was_left(weft_task *t)
{
	T_EQ(weft_task_join(t, NULL), WEFT_ECANCELED);
	weft_task_detach(t);
}

#endif
