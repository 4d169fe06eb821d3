/* SPDX-License-Identifier: MIT
 *
 * limiter.c - a rate limiter: the time at which the bucket will be full again says all.
 *
 * Taking n tokens moves that time by what n tokens take to come; they are there once it is no further off than a whole bucket takes. So a turn is a time,
 * known when the caller comes, and to wait for it is a sleep: there is no queue to be listed in.  Times are kept in nanoseconds and rate-ths of one, so
 * nothing is lost to rounding.
 *
 * Source: the virtual scheduling of the generic cell rate algorithm (ITU-T I.371).
 */
#include "weft/limiter.h"

#include "base/clock.h"
#include "base/ref.h"
#include "core/runtime.h"
#include "weft/task.h"
#include <stdlib.h>

struct moment {
	int64_t ns;
	int64_t part; /* rate-ths of a nanosecond, 0 .. rate - 1 */
};

struct weft_limiter {
	struct lock lock; /* RANK_SOURCE; guards full */
	ATOMIC(uint32_t) refs;
	int64_t rate, per, burst; /* constant */
	struct moment bucket;     /* how long a whole bucket takes to fill; constant */
	struct moment full;       /* when it is full again, if nobody takes any; may be past */
};

static struct moment time_of(const weft_limiter *l, int64_t tokens)
{
	__int128 parts = (__int128)tokens * l->per;

	return (struct moment){.ns = (int64_t)(parts / l->rate), .part = (int64_t)(parts % l->rate)};
}

weft_limiter *weft_limiter_make(int64_t rate, int64_t per, int64_t burst)
{
	weft_limiter *l;

	if (rate < 1 || per < 1 || burst < 1 || (__int128)burst * per / rate > INT64_MAX / 3)
		return NULL;
	l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->rate = rate;
	l->per = per;
	l->burst = burst;
	l->bucket = time_of(l, burst);
	store_relaxed(&l->refs, 1u); /* not shared yet */
	return l;
}

weft_limiter *weft_limiter_ref(weft_limiter *l)
{
	add_relaxed(&l->refs, 1u); /* the caller's own reference keeps it */
	return l;
}

void weft_limiter_free(weft_limiter *l)
{
	if (l && ref_drop(&l->refs))
		free(l);
}

struct turn {
	struct moment before, after; /* when the bucket is full again, without its tokens and with them */
	int64_t due;
};

static struct moment later(const weft_limiter *l, struct moment m, struct moment by)
{
	m.ns = clock_add(m.ns, by.ns);
	if (m.part >= l->rate - by.part) { /* the sum may not fit */
		m.part -= l->rate - by.part;
		m.ns = clock_add(m.ns, 1);
	} else {
		m.part += by.part;
	}
	return m;
}

/* Takes n tokens, if they are there by the time `latest`. */
static bool take(weft_limiter *l, int64_t n, int64_t now, int64_t latest, struct turn *t)
{
	bool taken;

	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&l->lock, RANK_SOURCE);
	t->before = l->full.ns < now ? (struct moment){.ns = now} : l->full;
	t->after = later(l, t->before, time_of(l, n));
	t->due = t->after.ns - l->bucket.ns + (t->after.part > l->bucket.part);
	if (t->due < now)
		t->due = now;
	taken = t->due <= latest;
	if (taken)
		l->full = t->after;
	lock_drop_solo(&l->lock);
	return taken;
}

/* Unless somebody has come after it. */
static void give_back(weft_limiter *l, const struct turn *t)
{
	(void)weft__worker(); /* as above */
	lock_take_solo(&l->lock, RANK_SOURCE);
	if (l->full.ns == t->after.ns && l->full.part == t->after.part)
		l->full = t->before;
	lock_drop_solo(&l->lock);
}

int weft_limiter_wait_until(weft_limiter *l, int64_t n, int64_t deadline)
{
	struct turn t;
	struct self me;
	int64_t now;
	int rc;

	if (!l || n < 1 || n > l->burst)
		return WEFT_EINVAL;
	rc = self_enter(&me, &deadline);
	if (rc)
		return rc;
	now = clock_now();
	if (!take(l, n, now, deadline < now ? now : deadline, &t))
		return deadline == WEFT_NOW ? WEFT_EAGAIN : WEFT_ETIMEDOUT;
	if (t.due <= now)
		return 0;
	rc = weft_task_sleep_until(t.due);
	if (rc)
		give_back(l, &t);
	return rc;
}

int weft_limiter_wait(weft_limiter *l, int64_t n)
{
	return weft_limiter_wait_until(l, n, WEFT_FOREVER);
}

int weft_limiter_try(weft_limiter *l, int64_t n)
{
	return weft_limiter_wait_until(l, n, WEFT_NOW);
}

int64_t weft_limiter_reserve(weft_limiter *l, int64_t n)
{
	struct turn t;

	if (!l || n < 1 || n > l->burst)
		return WEFT_EINVAL;
	(void)take(l, n, clock_now(), INT64_MAX, &t);
	return t.due;
}
