/* SPDX-License-Identifier: MIT
 *
 * late.h - a case of a select that is never ready, and does something once the select has looked at all its cases and found nothing: between the look at the others and their listing,
 * or just after it, as it stands behind or before them.
 */
#ifndef WEFT_TEST_LATE_H
#define WEFT_TEST_LATE_H

#include "rt.h"

#include "core/source.h"

struct late {
	void (*fn)(void *arg);
	void *arg;
};

static inline int late_look(struct weft_case *c, struct self *me, struct waiter *w)
{
	struct late *l = c->on;

	(void)me;
	if (w)
		l->fn(l->arg);
	return 0;
}

static const struct weft_source late_source = {.look = late_look};

#define LATE(l) WEFT_CASE_OF(WEFT_CASE_SOURCE, 0, {.on = (l)}, {.elem = NULL}, {.source = &late_source})

#endif
