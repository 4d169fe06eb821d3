/* SPDX-License-Identifier: MIT
 *
 * congestion.c - whether a level is too high, with two marks and two hold times, and a straight line into the future.
 *
 * `since` is when the level reached the other side and has not come back from there; the state changes once that is long enough ago.  The state itself is an event that
 * is set while there is no congestion, so waiting for the end is waiting for an event.
 */
#include "base/compiler.h"
#include "weft/flow.h"

#define ONE 1024
#define BEYOND ((int64_t)1 << 52) /* what a forecast says at most */

static int64_t clamp(__int128 x)
{
	return x > BEYOND ? BEYOND : x < -BEYOND ? -BEYOND : (int64_t)x;
}

static int64_t line_at(const weft_forecast *f, int64_t ns)
{
	return clamp(f->weft__level + (__int128)f->weft__trend * ns / WEFT_MS);
}

void weft_forecast_see(weft_forecast *f, int64_t x, int64_t now)
{
	int64_t dt = now - f->weft__when, was = f->weft__level, at;

	if (!f->weft__when) {
		*f = (weft_forecast){.weft__level = x * ONE, .weft__when = now};
		return;
	}
	if (dt < 0)
		dt = 0;
	at = line_at(f, dt);
	f->weft__level = clamp(at + ((__int128)x * ONE - at) / 2);
	if (!dt)
		return;
	f->weft__trend = clamp(f->weft__trend + ((__int128)(f->weft__level - was) * WEFT_MS / dt - f->weft__trend) / 4);
	f->weft__when = now;
}

int64_t weft_forecast_in(const weft_forecast *f, int64_t ns)
{
	return line_at(f, ns < 0 ? 0 : ns) / ONE;
}

int weft_congestion_init(weft_congestion *c, const weft_congestion_opts *o)
{
	if (!c || !o || o->low >= o->high || o->rise < 0 || o->fall < 0 || o->ahead < 0)
		return WEFT_EINVAL;
	*c = (weft_congestion){.weft__o = *o};
	weft_event_set(&c->weft__clear);
	return 0;
}

bool weft_congested(weft_congestion *c)
{
	return !weft_event_isset(&c->weft__clear);
}

int weft_congestion_see(weft_congestion *c, int64_t level, int64_t now)
{
	const weft_congestion_opts *o = &c->weft__o;
	bool congested = weft_congested(c), other = congested ? level <= o->low : level >= o->high;

	if (o->ahead) {
		weft_forecast_see(&c->weft__f, level, now);
		if (!congested && level > o->low && weft_forecast_in(&c->weft__f, o->ahead) >= o->high)
			other = true;
	}
	if (!other) {
		c->weft__since = 0;
		return 0;
	}
	if (!c->weft__since)
		c->weft__since = now;
	if (now - c->weft__since < (congested ? o->fall : o->rise))
		return 0;
	c->weft__since = 0;
	if (congested)
		weft_event_set(&c->weft__clear);
	else
		weft_event_reset(&c->weft__clear);
	return congested ? -1 : 1;
}

int weft_congestion_wait_until(weft_congestion *c, int64_t deadline)
{
	int rc = weft_event_wait_until(&c->weft__clear, deadline);

	NO_JUMP();
	return rc;
}

int weft_congestion_wait(weft_congestion *c)
{
	int rc = weft_event_wait_until(&c->weft__clear, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}
