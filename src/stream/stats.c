/* SPDX-License-Identifier: MIT
 *
 * stats.c - what the stages of a stream have done so far: counters that their pullers write, and anybody reads.
 */
#include "base/clock.h"
#include "stream/stage.h"

/* The stages before s: those that it owns, or one that it shares. */
static weft_stream *const *before(const weft_stream *s, size_t *n)
{
	*n = s->shared ? 1 : s->n_ups;
	return s->shared ? &s->shared : s->ups;
}

/* A loop along the first ones: chains may be long. */
static size_t stages(const weft_stream *s)
{
	size_t total = 0, n;

	while (s) {
		weft_stream *const *ups = before(s, &n);

		total++;
		for (size_t i = 1; i < n; i++)
			total += stages(ups[i]);
		s = n ? ups[0] : NULL;
	}
	return total;
}

static void look(const weft_stream *s, weft_stream_stat *out)
{
	size_t n;
	weft_stream *const *ups = before(s, &n);

	*out = (weft_stream_stat){
		.kind = s->ops->kind,
		.out = load_relaxed(&s->n.out), /* all of them: statistics, may be stale */
		.pulls = load_relaxed(&s->n.pulls),
		.waits = load_relaxed(&s->n.waits),
		.dropped = s->ops->dropped ? s->ops->dropped(s) : load_relaxed(&s->n.dropped),
		.errors = load_relaxed(&s->failed),
		.ns = load_relaxed(&s->n.ns),
	};
	memcpy(out->name, s->name, sizeof out->name);
	for (size_t i = 0; i < n; i++)
		out->in += load_relaxed(&ups[i]->n.out);
}

/* s and all before it, so that s is at out[end - 1]; those from out[room] on do not fit. */
static void look_all(const weft_stream *s, weft_stream_stat *out, size_t end, size_t room)
{
	while (s) {
		size_t n;
		weft_stream *const *ups = before(s, &n);

		if (--end < room)
			look(s, &out[end]);
		while (n > 1) {
			look_all(ups[--n], out, end, room);
			end -= stages(ups[n]);
		}
		s = n ? ups[0] : NULL;
	}
}

size_t weft_stream_stats(const weft_stream *s, weft_stream_stat *out, size_t n)
{
	size_t all = stages(s);

	if (out)
		look_all(s, out, all, n);
	return all;
}

weft_stream *weft_stream_clock(weft_stream *s)
{
	for (weft_stream *at = s; at && !at->fixed;) {
		size_t n;
		weft_stream *const *ups = before(at, &n);

		store_relaxed(&at->clocked, true); /* a hint for who pulls */
		for (size_t i = 1; i < n; i++)
			(void)weft_stream_clock(ups[i]);
		at = n ? ups[0] : NULL;
	}
	return s;
}

static double rate_of(uint64_t count, weft_stream_meter *m)
{
	int64_t now = clock_now();
	double rate = 0;

	if (m->at && now > m->at && count > m->count) /* it is less when a sink has given some back */
		rate = (double)(count - m->count) * 1e9 / (double)(now - m->at);
	m->count = count;
	m->at = now;
	return rate;
}

double weft_stream_rate(const weft_stream *s, weft_stream_meter *m)
{
	return rate_of(s ? load_relaxed(&s->n.out) : 0, m); /* statistics */
}

double weft_stream_stat_rate(const weft_stream_stat *st, weft_stream_meter *m)
{
	return rate_of(st ? st->out : 0, m);
}
