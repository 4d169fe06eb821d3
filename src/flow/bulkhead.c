/* SPDX-License-Identifier: MIT
 *
 * bulkhead.c - bulkheads: a line (flow/line.h) whose limit is what its owner says.
 */
#include "weft/bulkhead.h"

#include "base/check.h"
#include "flow/line.h"
#include "weft/defer.h"
#include <stdlib.h>

struct weft_bulkhead {
	struct line line;
	ATOMIC(uint32_t) refs;
};

int weft_bulkhead_make(weft_bulkhead **out, const weft_bulkhead_opts *o)
{
	weft_bulkhead *b;

	if (out)
		*out = NULL;
	if (!out || !o || o->max < 1 || !weft__line_valid(&o->line))
		return WEFT_EINVAL;
	b = calloc(1, sizeof *b);
	if (!b)
		return WEFT_ENOMEM;
	weft__line_init(&b->line, &o->line, o->max);
	store_relaxed(&b->refs, 1u); /* not shared yet */
	*out = b;
	return 0;
}

weft_bulkhead *weft_bulkhead_ref(weft_bulkhead *b)
{
	add_relaxed(&b->refs, 1u); /* the caller's own reference keeps it */
	return b;
}

void weft_bulkhead_free(weft_bulkhead *b)
{
	if (!b || add_acq_rel(&b->refs, (uint32_t)-1) != 1) /* acquire and release: the last one sees all */
		return;
	weft__gate_check_unused(&b->line.gate, b, "weft_bulkhead_free");
	free(b);
}

int weft_bulkhead_enter_until(weft_bulkhead *b, int64_t deadline)
{
	return likely(b != NULL) ? line_enter(&b->line, deadline) : WEFT_EINVAL;
}

int weft_bulkhead_enter(weft_bulkhead *b)
{
	return likely(b != NULL) ? line_enter(&b->line, WEFT_FOREVER) : WEFT_EINVAL;
}

int weft_bulkhead_tryenter(weft_bulkhead *b)
{
	return weft_bulkhead_enter_until(b, WEFT_NOW);
}

void weft_bulkhead_leave(weft_bulkhead *b)
{
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */

	gate_lock(&b->line.gate);
	if (unlikely(line_in(&b->line) < 1))
		weft__fatal("weft_bulkhead_leave: nobody is in bulkhead %p", (void *)b);
	gate_give_unlock(&b->line.gate, wk, 1);
}

static void leave(void *b)
{
	weft_bulkhead_leave(b);
}

int weft_bulkhead_call_until(weft_bulkhead *b, weft_task_fn *fn, void *arg, int64_t deadline)
{
	weft_defer d;
	int rc;

	if (!fn)
		return WEFT_EINVAL;
	rc = weft_bulkhead_enter_until(b, deadline);
	if (rc)
		return rc;
	weft__defer_push(&d, leave, b);
	rc = fn(arg);
	weft__defer_end(&d);
	return rc;
}

int weft_bulkhead_call(weft_bulkhead *b, weft_task_fn *fn, void *arg)
{
	return weft_bulkhead_call_until(b, fn, arg, WEFT_FOREVER);
}

int weft_bulkhead_resize(weft_bulkhead *b, int max)
{
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */

	if (!b || max < 1)
		return WEFT_EINVAL;
	gate_lock(&b->line.gate);
	line_resize(&b->line, max);
	gate_give_unlock(&b->line.gate, wk, 0);
	return 0;
}

void weft_bulkhead_stat(weft_bulkhead *b, weft_bulkhead_stats *out)
{
	weft__line_stat(&b->line, out);
}
