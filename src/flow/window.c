/* SPDX-License-Identifier: MIT
 *
 * window.c - how many calls may be under way, by how long they take: three rules, applied once a round.
 *
 * A round is as many samples as the window is wide, about the time in which all that was under way has ended: what is seen in one is the effect of the window of the last. So a cut is
 * not repeated for the same congestion, and nothing needs to be remembered of single calls.
 *
 * Integers: the window in 1024ths, latencies in ns.
 */
#include "base/check.h"
#include "weft/flow.h"

#define ONE 1024
#define MOST (1 << 20)
#define ROUND_LEAST 8
#define VEGAS_PROBE 32                    /* rounds */
#define LONGEST (INT64_MAX / (MOST * 32)) /* of a latency: sums of a round, and its products with percentages, fit */

static int or_default(int n, int def)
{
	return n ? n : def;
}

int weft_window_init(weft_window *w, const weft_window_opts *o)
{
	weft_window_opts with;

	if (!w || !o)
		return WEFT_EINVAL;
	with = *o;
	with.least = or_default(o->least, 1);
	with.most = or_default(o->most, 1000);
	with.initial = or_default(o->initial, 20 < with.least ? with.least : 20 > with.most ? with.most : 20);
	with.backoff = or_default(o->backoff, 80);
	with.smooth = or_default(o->smooth, 8);
	with.tolerance = or_default(o->tolerance, 150);
	if ((unsigned)with.rule > WEFT_GRADIENT || with.least < 1 || with.initial < with.least || with.most < with.initial ||
	    with.most > MOST || with.target < 0 || with.backoff < 1 || with.backoff > 99 || with.smooth < 1 || with.tolerance < 100 ||
	    with.tolerance > 10000)
		return WEFT_EINVAL;
	*w = (weft_window){.weft__o = with, .weft__size = (int64_t)with.initial * ONE, .weft__min = INT64_MAX};
	return 0;
}

int weft_window_size(const weft_window *w)
{
	return (int)(w->weft__size / ONE);
}

int64_t weft_window_latency(const weft_window *w)
{
	return w->weft__o.rule == WEFT_VEGAS ? w->weft__least : w->weft__ema;
}

static int64_t root(int64_t n)
{
	int64_t r = 0;

	for (int64_t bit = (int64_t)1 << 30; bit; bit >>= 1) {
		if ((r + bit) * (r + bit) <= n)
			r += bit;
	}
	return r;
}

/* Digits less one: the decimal logarithm, rounded down, but 1 at least. */
static int64_t log10_of(int64_t n)
{
	int64_t l = 0;

	for (; n >= 10; n /= 10)
		l++;
	return l ? l : 1;
}

static void resize(weft_window *w, int64_t size)
{
	int64_t least = (int64_t)w->weft__o.least * ONE, most = (int64_t)w->weft__o.most * ONE;

	w->weft__size = size < least ? least : size > most ? most : size;
}

static void cut(weft_window *w)
{
	resize(w, w->weft__size * w->weft__o.backoff / 100);
}

/* A round of AIMD has ended. */
static void aimd(weft_window *w, bool used)
{
	if (w->weft__lost || (w->weft__o.target && w->weft__ema > w->weft__o.target))
		cut(w);
	else if (used)
		resize(w, w->weft__size + ONE);
}

static void vegas(weft_window *w, bool used)
{
	int64_t size = w->weft__size / ONE, mean, queue, log = log10_of(size);

	if (w->weft__kept) { /* half the window was tried: this is what it takes without a queue */
		if (w->weft__min != INT64_MAX)
			w->weft__least = w->weft__min;
		resize(w, w->weft__kept);
		w->weft__kept = 0;
		return;
	}
	if (w->weft__lost) {
		cut(w);
		return;
	}
	if (!w->weft__least || w->weft__min < w->weft__least)
		w->weft__least = w->weft__min;
	if (++w->weft__rounds % VEGAS_PROBE == 0) {
		w->weft__kept = w->weft__size;
		resize(w, w->weft__size / 2);
		return;
	}
	mean = w->weft__sum / w->weft__n;
	queue = size - size * w->weft__least / mean; /* mean >= least > 0 */
	if (queue > 6 * log)
		resize(w, w->weft__size - log * ONE);
	else if (used && queue <= log)
		resize(w, w->weft__size + 6 * log * ONE);
	else if (used && queue < 3 * log)
		resize(w, w->weft__size + log * ONE);
}

static void gradient(weft_window *w, bool used)
{
	int64_t mean, ratio, next;

	if (w->weft__lost) {
		cut(w);
		return;
	}
	mean = w->weft__sum / w->weft__n;
	w->weft__ema = w->weft__ema ? w->weft__ema + (mean - w->weft__ema) / 64 : mean;
	if (w->weft__ema > 2 * mean) /* after a long congestion: the average must not stay behind what is normal again */
		w->weft__ema = w->weft__ema / 20 * 19;
	ratio = (int64_t)((__int128)w->weft__ema * w->weft__o.tolerance / 100 * ONE / mean);
	if (ratio >= ONE) {
		if (!used)
			return;
		ratio = ONE;
	} else if (ratio < ONE / 2) {
		ratio = ONE / 2;
	}
	next = w->weft__size * ratio / ONE + root(w->weft__size / ONE) * ONE;
	resize(w, (w->weft__size * 4 + next) / 5);
}

static void end_round(weft_window *w)
{
	bool used = 2 * w->weft__in >= w->weft__size / ONE;

	if (w->weft__o.rule == WEFT_AIMD)
		aimd(w, used);
	else if (w->weft__o.rule == WEFT_VEGAS)
		vegas(w, used);
	else
		gradient(w, used);
	w->weft__sum = 0;
	w->weft__min = INT64_MAX;
	w->weft__n = w->weft__lost = w->weft__in = 0;
}

int weft_window_sample(weft_window *w, int64_t latency, int in, bool lost)
{
	int64_t round;

	if (in > w->weft__in)
		w->weft__in = in;
	if (lost) {
		w->weft__lost++;
	} else {
		latency = latency < 1 ? 1 : latency > LONGEST ? LONGEST : latency;
		w->weft__n++;
		w->weft__sum += latency;
		if (latency < w->weft__min)
			w->weft__min = latency;
		if (w->weft__o.rule == WEFT_AIMD)
			w->weft__ema = w->weft__ema ? w->weft__ema + (latency - w->weft__ema) / w->weft__o.smooth : latency;
	}
	round = w->weft__size / ONE;
	if (w->weft__n + w->weft__lost >= (round < ROUND_LEAST ? ROUND_LEAST : round))
		end_round(w);
	return weft_window_size(w);
}
