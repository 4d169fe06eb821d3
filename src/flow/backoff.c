/* SPDX-License-Identifier: MIT
 *
 * backoff.c - pauses that grow, drawn at random; and the budget that tries again are paid from.
 */
#include "base/check.h"
#include "base/clock.h"
#include "base/rand.h"
#include "core/runtime.h"
#include "weft/retry.h"
#include <stdlib.h>

/* --- pauses --- */

#define BASE_DEFAULT (100 * WEFT_MS)

static uint64_t any_seed(void)
{
	struct worker *w = weft__worker();

	return w ? rng_next(&w->rng) : (uint64_t)weft__clock_read() * 0x9e3779b97f4a7c15ULL;
}

int weft_backoff_init(weft_backoff *b, const weft_backoff_opts *o)
{
	weft_backoff_opts with = {.base = 0};

	if (o)
		with = *o;
	with.base = with.base ? with.base : BASE_DEFAULT;
	if (!with.cap)
		with.cap = with.base > INT64_MAX / 100 ? INT64_MAX : with.base * 100;
	with.factor = with.factor ? with.factor : 200;
	if (!b || with.base < 0 || with.cap < with.base || with.factor < 100 || with.factor > 100000 ||
	    (unsigned)with.jitter > WEFT_JITTER_NONE)
		return WEFT_EINVAL;
	*b = (weft_backoff){
		.weft__base = with.base,
		.weft__cap = with.cap,
		.weft__next = with.base,
		.weft__random = with.seed ? with.seed : any_seed(),
		.weft__factor = with.factor,
		.weft__jitter = with.jitter,
	};
	return 0;
}

/* At random, a to b. */
static int64_t between(weft_backoff *b, int64_t from, int64_t to)
{
	struct rng r = {.state = b->weft__random};
	uint64_t n = (uint64_t)(((__uint128_t)rng_next(&r) * ((uint64_t)(to - from) + 1)) >> 64); /* as rng_below, of 64 bits */

	b->weft__random = r.state;
	return from + (int64_t)n;
}

static int64_t times(int64_t ns, int percent, int64_t most)
{
	__int128 by = (__int128)ns * percent / 100;

	return by > most ? most : (int64_t)by;
}

int64_t weft_backoff_next(weft_backoff *b)
{
	int64_t d = b->weft__next, pause;

	switch (b->weft__jitter) {
	case WEFT_JITTER_FULL:
		pause = between(b, 0, d);
		break;
	case WEFT_JITTER_EQUAL:
		pause = between(b, d / 2, d);
		break;
	case WEFT_JITTER_DECORRELATED: /* d: the pause before */
		pause = between(b, b->weft__base, times(d, 300, b->weft__cap));
		b->weft__next = pause;
		return pause;
	default:
		pause = d;
	}
	b->weft__next = times(d, b->weft__factor, b->weft__cap);
	return pause;
}

/* --- budgets --- */

#define WHOLE 100000 /* a try again, in the thousandths of a hundredth that it is counted in */
#define AT_FIRST 10  /* seconds of per_second that are there when it is made */

struct weft_retry_budget {
	struct lock lock; /* RANK_SOURCE; guards have and when */
	ATOMIC(uint32_t) refs;
	int64_t each;       /* what a first try brings; constant */
	int64_t per_second; /* what a second brings; constant */
	int64_t most;       /* constant */
	int64_t have;
	int64_t when; /* `have` is of this time */
};

int weft_retry_budget_make(weft_retry_budget **out, const weft_retry_budget_opts *o)
{
	weft_retry_budget_opts with = {.percent = 0};
	weft_retry_budget *b;

	if (out)
		*out = NULL;
	if (o)
		with = *o;
	with.percent = with.percent ? with.percent : 20;
	with.per_second = with.per_second ? with.per_second : 10;
	with.most = with.most ? with.most : 100;
	if (!out || with.percent < 0 || with.percent > 1000 || with.per_second < -1 || with.most < 1 || with.most > 1 << 20)
		return WEFT_EINVAL;
	b = calloc(1, sizeof *b);
	if (!b)
		return WEFT_ENOMEM;
	b->each = (int64_t)with.percent * (WHOLE / 100);
	b->per_second = with.per_second < 0 ? 0 : (int64_t)with.per_second * WHOLE;
	b->most = (int64_t)with.most * WHOLE;
	b->have = AT_FIRST * b->per_second < b->most ? AT_FIRST * b->per_second : b->most;
	b->when = clock_now();
	store_relaxed(&b->refs, 1u); /* not shared yet */
	*out = b;
	return 0;
}

weft_retry_budget *weft_retry_budget_ref(weft_retry_budget *b)
{
	add_relaxed(&b->refs, 1u); /* the caller's own reference keeps it */
	return b;
}

void weft_retry_budget_free(weft_retry_budget *b)
{
	if (b && add_acq_rel(&b->refs, (uint32_t)-1) == 1) /* acquire and release: the last one sees all */
		free(b);
}

/* Locked. What time has brought, in whole parts: the rest of a part stays in `when`. */
static void settle(weft_retry_budget *b, int64_t now)
{
	int64_t part, brought;

	if (!b->per_second || now <= b->when)
		return;
	part = WEFT_SEC / b->per_second + 1; /* ns, or more, for one */
	if (now - b->when > (int64_t)(b->most / b->per_second + 1) * WEFT_SEC) {
		b->have = b->most;
		b->when = now;
		return;
	}
	if (now - b->when < part)
		return;
	brought = (int64_t)((__int128)(now - b->when) * b->per_second / WEFT_SEC);
	b->when += (int64_t)(((__int128)brought * WEFT_SEC + b->per_second - 1) / b->per_second);
	b->have = b->have + brought > b->most ? b->most : b->have + brought;
}

static void lock(weft_retry_budget *b)
{
	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&b->lock, RANK_SOURCE);
}

void weft_retry_budget_first(weft_retry_budget *b)
{
	lock(b);
	b->have = b->have + b->each > b->most ? b->most : b->have + b->each;
	lock_drop_solo(&b->lock);
}

bool weft_retry_budget_take(weft_retry_budget *b)
{
	int64_t now = clock_now();
	bool taken;

	lock(b);
	settle(b, now);
	taken = b->have >= WHOLE;
	if (taken)
		b->have -= WHOLE;
	lock_drop_solo(&b->lock);
	return taken;
}

int weft_retry_budget_left(weft_retry_budget *b)
{
	int64_t now = clock_now();
	int n;

	lock(b);
	settle(b, now);
	n = (int)(b->have / WHOLE);
	lock_drop_solo(&b->lock);
	return n;
}
