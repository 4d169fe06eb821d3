/* SPDX-License-Identifier: MIT
 *
 * line.c - waits to go through a gate, as long as its line allows. See line.h.
 */
#include "flow/line.h"

#include "base/clock.h"

bool weft__line_valid(const weft_line_opts *o)
{
	return o->max >= -1 && o->longest >= 0 && o->target >= 0 && o->interval >= 0 && !o->target == !o->interval;
}

void weft__line_init(struct line *l, const weft_line_opts *o, int64_t limit)
{
	l->o = *o;
	if (o->max < 0)
		l->o.max = INT32_MAX;
	l->limit = limit;
	l->gate.free = limit;
}

/* Locked. Until when may who comes now wait? Notes when a line begins. */
static int64_t patience(struct line *l, int64_t now)
{
	int64_t ns = l->o.longest ? l->o.longest : INT64_MAX;

	if (!gate_line(&l->gate))
		l->begun = now;
	if (l->o.interval && now - l->begun > l->o.interval && l->o.target < ns)
		ns = l->o.target;
	return clock_add(now, ns);
}

/* What has become of who waited. */
static void count(struct line *l, int rc, int64_t ns)
{
	(void)weft__worker(); /* see base/solo.h */
	gate_lock(&l->gate);
	if (!rc) {
		line_count_in(l);
		l->waited++;
		l->waited_ns += ns;
	} else if (rc == WEFT_ECANCELED) {
		l->gone++;
	} else {
		l->late++;
	}
	gate_unlock(&l->gate);
}

int weft__line_enter_slow(struct line *l, const struct self *me, int64_t deadline)
{
	struct gate_ask a = {.least = 1, .most = 1};
	int64_t now, until;
	int rc;

	if (deadline == WEFT_NOW || gate_waiting(&l->gate) >= l->o.max) {
		l->full++;
		gate_unlock(&l->gate);
		return deadline == WEFT_NOW ? WEFT_EAGAIN : WEFT_EOVERLOAD;
	}
	now = clock_now();
	until = patience(l, now);
	if (gate_waiting(&l->gate) >= l->most_waiting)
		l->most_waiting = gate_waiting(&l->gate) + 1;
	rc = weft__gate_wait(&l->gate, &a, me, REASON_ADMISSION, until < deadline ? until : deadline); /* unlocks */
	count(l, rc, clock_now() - now);
	return rc == WEFT_ETIMEDOUT && until < deadline ? WEFT_EOVERLOAD : rc;
}

void weft__line_stat(struct line *l, weft_bulkhead_stats *out)
{
	(void)weft__worker(); /* see base/solo.h */
	gate_lock(&l->gate);
	*out = (weft_bulkhead_stats){
		.max = (int)l->limit,
		.in = (int)line_in(l),
		.waiting = gate_waiting(&l->gate),
		.most_in = l->most_in,
		.most_waiting = l->most_waiting,
		.admitted = l->admitted,
		.waited = l->waited,
		.waited_ns = l->waited_ns,
		.full = l->full,
		.late = l->late,
		.gone = l->gone,
	};
	gate_unlock(&l->gate);
}
