/* SPDX-License-Identifier: MIT
 *
 * source.c - where elements come from: arrays, ranges, functions, channels, generators, the clock.
 *
 * Those that never wait look once a batch whether their caller has been cancelled or is out of time (stage_check): a pipeline over them is nothing but a loop. The others are blocking calls, which do.
 */
#include "base/clock.h"
#include "stream/stage.h"
#include "weft/task.h"

/* --- an array --- */

struct array {
	weft_stream s;
	const char *at;
	size_t left;
};

static ssize_t array_view(weft_stream *s, const char **p, size_t max, int64_t deadline)
{
	struct array *a = (struct array *)s;
	size_t n = stage_min(max, a->left);
	int rc;

	if (n == 0)
		return 0;
	rc = weft__stage_check(deadline);
	if (rc)
		return rc;
	*p = a->at;
	a->at += n * s->elem;
	a->left -= n;
	return (ssize_t)n;
}

static void array_unview(weft_stream *s, size_t n)
{
	struct array *a = (struct array *)s;

	a->at -= n * s->elem;
	a->left += n;
}

static ssize_t array_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	const char *p = NULL;
	ssize_t n = array_view(s, &p, max, deadline);

	if (n > 0)
		memcpy(out, p, (size_t)n * s->elem);
	return n;
}

static const struct stage_ops array_ops = {.kind = "of", .pull = array_pull, .view = array_view, .unview = array_unview};

weft_stream *weft_stream_of(const void *array, size_t n, size_t elem)
{
	weft_stream *s;
	struct array *a = stage_source(&s, &array_ops, sizeof *a, elem, (array || n == 0) && (elem == 0 || n <= PTRDIFF_MAX / elem));

	if (a) {
		a->at = array;
		a->left = n;
	}
	return s;
}

/* --- a range --- */

struct range {
	weft_stream s;
	int64_t at, step;
	uint64_t left;
};

static ssize_t range_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct range *r = (struct range *)s;
	int64_t *v = (int64_t *)(void *)out; /* aligned for any element */
	size_t n = r->left < max ? (size_t)r->left : max;
	uint64_t at = (uint64_t)r->at, step = (uint64_t)r->step; /* the one behind the last may not fit */
	int rc;

	if (n == 0)
		return 0;
	rc = weft__stage_check(deadline);
	if (rc)
		return rc;
	for (size_t i = 0; i < n; i++)
		v[i] = (int64_t)(at + i * step);
	r->at = (int64_t)(at + n * step);
	r->left -= n;
	return (ssize_t)n;
}

static const struct stage_ops range_ops = {.kind = "range", .pull = range_pull};

weft_stream *weft_stream_range(int64_t from, int64_t to, int64_t step)
{
	weft_stream *s;
	struct range *r = stage_source(&s, &range_ops, sizeof *r, sizeof(int64_t), step != 0);
	uint64_t gap, stride;

	if (!r)
		return s;
	r->at = from;
	r->step = step;
	if (step > 0 ? from < to : from > to) {
		gap = step > 0 ? (uint64_t)to - (uint64_t)from : (uint64_t)from - (uint64_t)to;
		stride = step > 0 ? (uint64_t)step : -(uint64_t)step;
		r->left = (gap - 1) / stride + 1;
	}
	return s;
}

/* --- a function --- */

struct from {
	weft_stream s;
	weft_stream_next_fn *next;
	void (*done)(void *arg);
	void *arg;
};

/* Only the first may wait: what is there is given. A function cannot be asked whether it would wait, so it is called once. */
static ssize_t from_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct from *f = (struct from *)s;
	int rc = weft__stage_check(deadline);

	(void)max;
	if (rc)
		return rc;
	rc = f->next(out, f->arg, deadline);
	return rc > 0 ? 1 : stage_told(s, rc);
}

static void from_close(weft_stream *s)
{
	struct from *f = (struct from *)s;

	if (f->done)
		f->done(f->arg);
}

static const struct stage_ops from_ops = {.kind = "from", .pull = from_pull, .close = from_close};

weft_stream *weft_stream_from(size_t elem, weft_stream_next_fn *next, void (*done)(void *arg), void *arg)
{
	weft_stream *s;
	struct from *f = stage_source(&s, &from_ops, sizeof *f, elem, next != NULL);

	if (f) {
		f->next = next;
		f->done = done;
		f->arg = arg;
	} else if (done) {
		done(arg);
	}
	return s;
}

/* --- a channel --- */

struct chan_source {
	weft_stream s;
	weft_chan *c;
	weft_rx *rx; /* its end, if it was given one; else it has a reference of c */
};

static ssize_t chan_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct chan_source *f = (struct chan_source *)s;
	ssize_t n = weft_chan_recv_many_until(f->c, out, max, WEFT_NOW);

	if (n == WEFT_EAGAIN && deadline != WEFT_NOW) {
		stage_count(&s->n.waits, 1);
		n = weft_chan_recv_many_until(f->c, out, max, deadline);
	}
	return n == WEFT_ECLOSED ? 0 : stage_told(s, n);
}

static void chan_close(weft_stream *s)
{
	struct chan_source *f = (struct chan_source *)s;

	if (f->rx)
		weft_rx_free(f->rx);
	else
		weft_chan_free(f->c);
}

static const struct stage_ops chan_ops = {.kind = "chan", .pull = chan_pull, .close = chan_close};

weft_stream *weft_stream_chan(weft_chan *c)
{
	weft_stream *s;
	struct chan_source *f = stage_source(&s, &chan_ops, sizeof *f, weft_chan_elem(c), c != NULL);

	if (f)
		f->c = weft_chan_ref(c);
	return s;
}

weft_stream *weft_stream_rx(weft_rx *r)
{
	weft_stream *s;
	struct chan_source *f = stage_source(&s, &chan_ops, sizeof *f, weft_chan_elem(weft_rx_chan(r)), r != NULL);

	if (f) {
		f->c = weft_rx_chan(r);
		f->rx = r;
	} else {
		weft_rx_free(r);
	}
	return s;
}

/* --- a generator --- */

struct gen_source {
	weft_stream s;
	weft_gen *g;
};

static ssize_t gen_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	int rc = weft_gen_next_until(((struct gen_source *)s)->g, out, deadline);

	(void)max;
	return rc == 0 ? 1 : rc == WEFT_ECLOSED ? 0 : stage_told(s, rc);
}

static void gen_close(weft_stream *s)
{
	weft_gen_free(((struct gen_source *)s)->g);
}

static const struct stage_ops gen_ops = {.kind = "gen", .pull = gen_pull, .close = gen_close};

weft_stream *weft_stream_gen(weft_gen *g, size_t elem)
{
	weft_stream *s;
	struct gen_source *f = stage_source(&s, &gen_ops, sizeof *f, elem, g != NULL);

	if (f)
		f->g = g;
	else
		weft_gen_free(g);
	return s;
}

/* --- the clock --- */

struct ticker {
	weft_stream s;
	int64_t ns, next; /* next: 0 before the first pull */
};

static ssize_t ticker_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct ticker *t = (struct ticker *)s;
	int64_t now = clock_now(), missed;
	int rc = weft__stage_check(deadline);

	(void)max;
	if (rc)
		return rc;
	if (t->next == 0)
		t->next = clock_add(now, t->ns);
	if (now < t->next) {
		if (deadline == WEFT_NOW)
			return WEFT_EAGAIN;
		rc = weft_task_sleep_until(deadline < t->next ? deadline : t->next);
		if (rc)
			return rc;
		now = clock_now();
		if (now < t->next)
			return WEFT_ETIMEDOUT;
	}
	missed = (now - t->next) / t->ns;
	memcpy(out, &(int64_t){t->next + missed * t->ns}, sizeof(int64_t));
	t->next = clock_add(t->next + missed * t->ns, t->ns);
	return 1;
}

static const struct stage_ops ticker_ops = {.kind = "ticker", .pull = ticker_pull};

weft_stream *weft_stream_ticker(int64_t ns)
{
	weft_stream *s;
	struct ticker *t = stage_source(&s, &ticker_ops, sizeof *t, sizeof(int64_t), ns > 0);

	if (t)
		t->ns = ns;
	return s;
}
