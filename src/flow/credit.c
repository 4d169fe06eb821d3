/* SPDX-License-Identifier: MIT
 *
 * credit.c - credits: a gate (flow/gate.h) that its receiver fills, and may close.
 */
#include "base/check.h"
#include "flow/gate.h"
#include "weft/flow.h"
#include <stdlib.h>

#define CREDIT_MAX ((int64_t)1 << 62)

struct weft_credit {
	struct gate gate;
	bool closed; /* under its lock */
	ATOMIC(uint32_t) refs;
};

int weft_credit_make(weft_credit **out, int64_t n)
{
	weft_credit *c;

	if (out)
		*out = NULL;
	if (!out || n < 0 || n > CREDIT_MAX)
		return WEFT_EINVAL;
	c = calloc(1, sizeof *c);
	if (!c)
		return WEFT_ENOMEM;
	c->gate.free = n;
	store_relaxed(&c->refs, 1u); /* not shared yet */
	*out = c;
	return 0;
}

weft_credit *weft_credit_ref(weft_credit *c)
{
	add_relaxed(&c->refs, 1u); /* the caller's own reference keeps it */
	return c;
}

void weft_credit_free(weft_credit *c)
{
	if (!c || add_acq_rel(&c->refs, (uint32_t)-1) != 1) /* acquire and release: the last one sees all */
		return;
	weft__gate_check_unused(&c->gate, c, "weft_credit_free");
	free(c);
}

int weft_credit_grant(weft_credit *c, int64_t n)
{
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */
	int rc;

	if (!c || n < 1)
		return WEFT_EINVAL;
	gate_lock(&c->gate);
	if (likely(!c->closed && n <= CREDIT_MAX - c->gate.free)) {
		gate_give_unlock(&c->gate, wk, n);
		return 0;
	}
	rc = c->closed ? WEFT_ECLOSED : WEFT_EINVAL;
	gate_unlock(&c->gate);
	return rc;
}

static ALWAYS_INLINE int take(weft_credit *c, struct gate_ask *a, int64_t deadline)
{
	struct self me;
	int rc;

	if (unlikely(!c || a->most < 1))
		return WEFT_EINVAL;
	rc = self_enter(&me, &deadline);
	if (unlikely(rc))
		return rc;
	gate_lock(&c->gate);
	if (likely(!c->closed && gate_try(&c->gate, a))) {
		gate_unlock(&c->gate);
		return 0;
	}
	rc = c->closed ? WEFT_ECLOSED : deadline == WEFT_NOW ? WEFT_EAGAIN : 0;
	if (rc) {
		gate_unlock(&c->gate);
		return rc;
	}
	return weft__gate_wait(&c->gate, a, &me, REASON_CREDIT, deadline); /* unlocks */
}

int weft_credit_take_until(weft_credit *c, int64_t n, int64_t deadline)
{
	struct gate_ask a = {.least = n, .most = n};

	return take(c, &a, deadline);
}

int weft_credit_take(weft_credit *c, int64_t n)
{
	struct gate_ask a = {.least = n, .most = n};

	return take(c, &a, WEFT_FOREVER);
}

int64_t weft_credit_take_some_until(weft_credit *c, int64_t most, int64_t deadline)
{
	struct gate_ask a = {.least = 1, .most = most};
	int rc = take(c, &a, deadline);

	return rc ? rc : a.got;
}

int64_t weft_credit_take_some(weft_credit *c, int64_t most)
{
	struct gate_ask a = {.least = 1, .most = most};
	int rc = take(c, &a, WEFT_FOREVER);

	return rc ? rc : a.got;
}

int weft_credit_close(weft_credit *c)
{
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */
	struct ready_list r;
	bool was;

	if (!c)
		return WEFT_EINVAL;
	ready_list_init(&r);
	gate_lock(&c->gate);
	was = c->closed;
	c->closed = true;
	c->gate.free = 0;
	weft__gate_close(&c->gate, WEFT_ECLOSED, &r);
	gate_unlock(&c->gate);
	weft__lot_ready(wk, &r);
	return was ? WEFT_ECLOSED : 0;
}

int64_t weft_credit_value(weft_credit *c)
{
	int64_t n;

	(void)weft__worker(); /* see base/solo.h */
	gate_lock(&c->gate);
	n = c->gate.free;
	gate_unlock(&c->gate);
	return n;
}

int weft_credit_waiting(weft_credit *c)
{
	int n;

	(void)weft__worker(); /* see base/solo.h */
	gate_lock(&c->gate);
	n = gate_waiting(&c->gate);
	gate_unlock(&c->gate);
	return n;
}
