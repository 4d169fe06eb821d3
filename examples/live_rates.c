/* SPDX-License-Identifier: MIT
 *
 * live_rates.c - a pipeline that watches itself: readings of a sensor (which is made up), the impossible ones left out, a mean of every hundred; and meanwhile what each stage does a second.
 *
 *     live_rates [SECONDS]     a fifth of a second without one
 *
 * Each stage counts what it gives, and with weft_stream_clock also how long it takes. Anybody may read that while the pipeline runs: here another pipeline does, a ticker's, in a task of its own. What it
 * sees goes to standard error, a block a tick; what does not depend on time to standard output.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define A_SECOND 20000 /* readings */
#define BURST 100      /* of them at once */
#define MEAN_OF 100
#define STAGES 8
#define TICK (50 * MS)

typedef STREAM_BATCH(int32_t, MEAN_OF) readings;

/* --- what is measured: noise around 20.00 degrees, and from time to time a broken wire --- */

struct sensor {
	uint32_t seed;
	uint64_t left;
};

static int read_sensor(void *out, void *arg, int64_t deadline)
{
	struct sensor *s = arg;

	(void)deadline; /* it never waits */
	if (s->left == 0)
		return 0;
	s->left--;
	s->seed = s->seed * 1664525u + 1013904223u;
	*(int32_t *)out = (s->seed >> 8) % 50 == 0 ? -99999 : 1900 + (int32_t)((s->seed >> 16) % 201);
	return 1;
}

STREAM_FILTER(possible, int32_t, hundredths, hundredths >= -5000 && hundredths <= 10000)

static int mean(const void *in, void *out, void *arg)
{
	const readings *r = in;
	int64_t sum = 0;

	(void)arg;
	for (size_t i = 0; i < r->n; i++)
		sum += r->e[i];
	*(double *)out = (double)sum / (double)r->n / 100;
	return 0;
}

/* The least and the greatest mean. */
struct range {
	double min, max;
};

static int widen(void *acc, const void *e, void *arg)
{
	struct range *r = acc;
	double mean = *(const double *)e;

	(void)arg;
	r->min = mean < r->min ? mean : r->min;
	r->max = mean > r->max ? mean : r->max;
	return 0;
}

/* --- and how fast --- */

struct watcher {
	const weft_stream *of;
	stream_stat last[STAGES];
	int64_t at;
};

static int say_rates(const void *tick, void *arg)
{
	struct watcher *w = arg;
	stream_stat stage[STAGES];
	size_t n = stream_stats(w->of, stage, STAGES);
	int64_t at = *(const int64_t *)tick;

	for (size_t i = 0; i < n && i < STAGES && w->at; i++) {
		uint64_t out = stage[i].out - w->last[i].out;
		double seconds = (double)(at - w->at) / SEC;

		fprintf(stderr, "%-10s %8" PRIu64 "  %8.0f a second  %8.0f ns each, with the stages before\n", stage[i].name, stage[i].out,
			(double)out / seconds, out ? (double)(stage[i].ns - w->last[i].ns) / (double)out : 0.0);
	}
	fprintf(stderr, "%s", w->at ? "\n" : "");
	memcpy(w->last, stage, sizeof stage);
	w->at = at;
	return 0;
}

/* Until it is cancelled. */
static int watch_rates(void *watcher)
{
	weft_stream *ticks = stream_ticker(TICK);
	int64_t rc = stream_each(ticks, say_rates, watcher);

	stream_free(ticks);
	return (int)rc;
}

static int measure(double seconds)
{
	struct sensor sensor = {.seed = 1, .left = (uint64_t)(seconds * A_SECOND)};
	struct range r = {.min = 1e9, .max = -1e9};
	int64_t at_least = (int64_t)(sensor.left > BURST ? sensor.left - BURST : 0) * SEC / A_SECOND, start = now(), rc;
	stream_stat stage[STAGES];
	stream_err e;
	struct watcher w = {.at = 0};
	weft_stream *s;
	task *watching;

	s = stream_name(stream_from(sizeof(int32_t), read_sensor, NULL, &sensor), "sensor");
	s = stream_name(stream_throttle(s, A_SECOND, SEC, BURST), "pace");
	s = possible(s, NULL);
	s = stream_name(stream_window(s, MEAN_OF, MEAN_OF), "hundreds");
	s = stream_name(stream_map(s, sizeof(double), mean, NULL), "means");
	w.of = stream_clock(s);
	rc = go_opts(&watching, watch_rates, &w, NULL);
	if (rc == 0) {
		rc = stream_fold(s, &r, widen, NULL);
		task_cancel(watching);
		task_join(watching, NULL);
	}
	if (stream_error(s, &e) != 0)
		fprintf(stderr, "%s: %s\n", e.stage, weft_strerror(e.code));
	for (size_t i = 0, n = stream_stats(s, stage, STAGES); i < n && i < STAGES && rc >= 0; i++)
		printf("%-10s %6" PRIu64 "\n", stage[i].name, stage[i].out);
	if (rc >= 0)
		printf("means from %.2f to %.2f degrees, %s\n", r.min, r.max, now() - start >= at_least ? "at the pace" : "too fast");
	stream_free(s);
	return rc < 0 ? (int)rc : 0;
}

WEFT_MAIN(argc, argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 0.2;
	int rc;

	if (!(seconds > 0 && seconds < 1e6)) {
		fprintf(stderr, "usage: live_rates [SECONDS]\n");
		return 2;
	}
	rc = measure(seconds);
	if (rc != 0)
		fprintf(stderr, "live_rates: %s\n", weft_strerror(rc));
	return rc != 0;
}
