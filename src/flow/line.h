/* SPDX-License-Identifier: MIT
 *
 * line.h - a gate through which one goes at a time, with a line of bounded length and patience: what a bulkhead and an adaptive limit have in common.
 *
 * When the line was last empty is noted by who begins it; that is all that controlled delay needs to know (weft/bulkhead.h).
 */
#ifndef WEFT_FLOW_LINE_H
#define WEFT_FLOW_LINE_H

#include "flow/gate.h"
#include "weft/bulkhead.h"

struct line {
	struct gate gate; /* its lock guards all below */
	int64_t limit;    /* permits, out or not */
	int64_t begun;    /* when the line that stands now was begun */
	weft_line_opts o; /* constant; max -1: INT32_MAX */
	int32_t most_in, most_waiting;
	uint64_t admitted, waited, full, late, gone;
	int64_t waited_ns;
};

/* Whether these options make sense. */
bool weft__line_valid(const weft_line_opts *o);
void weft__line_init(struct line *l, const weft_line_opts *o, int64_t limit);

/* Goes in, or waits to: weft_bulkhead_enter_until without its EINVAL. */
int weft__line_enter_slow(struct line *l, const struct self *me, int64_t deadline);
void weft__line_stat(struct line *l, weft_bulkhead_stats *out);

/* Locked. The limit is another; who can go in by that is let in by the next gate_give_unlock. */
static inline void line_resize(struct line *l, int64_t limit)
{
	l->gate.free += limit - l->limit;
	l->limit = limit;
}

/* Locked. Those who are in. */
static inline int64_t line_in(const struct line *l)
{
	return l->limit - l->gate.free;
}

static inline void line_count_in(struct line *l)
{
	int32_t in = (int32_t)line_in(l);

	l->admitted++;
	if (in > l->most_in)
		l->most_in = in;
}

static ALWAYS_INLINE int line_enter(struct line *l, int64_t deadline)
{
	struct self me;
	int rc = self_enter(&me, &deadline);

	if (unlikely(rc))
		return rc;
	gate_lock(&l->gate);
	if (likely(l->gate.free > 0 && !gate_line(&l->gate))) {
		l->gate.free--;
		line_count_in(l);
		gate_unlock(&l->gate);
		return 0;
	}
	return weft__line_enter_slow(l, &me, deadline); /* unlocks */
}

#endif
