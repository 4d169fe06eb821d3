/* SPDX-License-Identifier: MIT
 *
 * timed.c - stages that look at the clock: throttle, debounce, timeout.
 *
 * None has a task or a timer: a stage that waits for its own time and for the stage before it pulls with the sooner of its own and its caller's deadline, and asks afterwards whose it was.
 */
#include "base/clock.h"
#include "stream/stage.h"
#include "weft/ctx.h"
#include "weft/limiter.h"
#include "weft/task.h"

#include <stdlib.h>

/* --- throttle --- */

struct throttle {
	weft_stream s;
	weft_limiter *l;
};

/* Elements that may not go yet stay with the stage before it. */
static ssize_t throttle_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct throttle *t = (struct throttle *)s;
	const char *p;
	ssize_t n = weft__stage_view(s->up, &p, stage_min(max, s->up->batch), deadline), k = 1;
	int rc;

	if (n <= 0)
		return n;
	rc = weft_limiter_wait_until(t->l, 1, deadline);
	if (rc == WEFT_ETIMEDOUT) { /* told in advance: but whoever set the deadline counts on its having come */
		int slept = weft_task_sleep_until(deadline);

		rc = slept ? slept : rc;
	}
	while (rc == 0 && k < n && weft_limiter_try(t->l, 1) == 0)
		k++;
	if (rc)
		k = 0;
	memcpy(out, p, (size_t)k * s->elem);
	weft__stage_unview(s->up, (size_t)(n - k));
	return k ? k : rc;
}

static void throttle_close(weft_stream *s)
{
	weft_limiter_free(((struct throttle *)s)->l);
}

static const struct stage_ops throttle_ops = {.kind = "throttle", .pull = throttle_pull, .close = throttle_close};

weft_stream *weft_stream_throttle(weft_stream *s, int64_t rate, int64_t per, int64_t burst)
{
	bool ok = rate >= 1 && per >= 1 && burst >= 1 && (__int128)burst * per / rate <= INT64_MAX / 3; /* as weft_limiter_make has it */
	struct throttle *t = weft__stage_same_on(&s, &throttle_ops, sizeof *t, ok);

	if (!t)
		return s;
	t->l = weft_limiter_make(rate, per, burst);
	return t->l ? s : weft__stage_undo(s, WEFT_ENOMEM);
}

/* --- debounce --- */

struct debounce {
	weft_stream s;
	int64_t ns, due;
	bool held;
	char *last;
};

static ssize_t debounce_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct debounce *d = (struct debounce *)s;
	const char *p;
	ssize_t n;

	(void)max;
	while ((n = weft__stage_view(s->up, &p, s->up->batch, d->held && d->due < deadline ? d->due : deadline)) > 0) {
		stage_count(&s->n.dropped, (uint64_t)n - 1 + d->held);
		memcpy(d->last, p + ((size_t)n - 1) * s->elem, s->elem);
		d->held = true;
		d->due = clock_add(clock_now(), d->ns);
		n = weft__stage_check(deadline);
		if (n)
			return n;
	}
	if (!d->held)
		return n;
	if (!s->up->status && !((n == WEFT_ETIMEDOUT || n == WEFT_EAGAIN) && clock_now() >= d->due))
		return n;
	memcpy(out, d->last, s->elem);
	d->held = false;
	return 1;
}

static void debounce_close(weft_stream *s)
{
	free(((struct debounce *)s)->last);
}

static const struct stage_ops debounce_ops = {.kind = "debounce", .pull = debounce_pull, .close = debounce_close};

weft_stream *weft_stream_debounce(weft_stream *s, int64_t ns)
{
	struct debounce *d = weft__stage_same_on(&s, &debounce_ops, sizeof *d, ns > 0 && !(s && s->fleeting));

	if (!d)
		return s;
	d->ns = ns;
	d->last = malloc(s->elem);
	return d->last ? s : weft__stage_undo(s, WEFT_ENOMEM);
}

/* --- timeout --- */

struct timeout {
	weft_stream s;
	int64_t ns;
	int64_t due; /* of the element that was asked for; 0: none is */
};

static ssize_t timeout_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct timeout *t = (struct timeout *)s;
	ssize_t n;

	if (t->due == 0)
		t->due = clock_add(clock_now(), t->ns);
	n = weft__stage_pull(s->up, out, max, t->due < deadline ? t->due : deadline);
	if (n >= 0)
		t->due = 0;
	else if ((n == WEFT_ETIMEDOUT || n == WEFT_EAGAIN) && !s->up->status && clock_now() >= t->due && weft_ctx_check() == 0)
		return weft__stage_fail(s, WEFT_ETIMEDOUT, NULL);
	return n;
}

static const struct stage_ops timeout_ops = {.kind = "timeout", .pull = timeout_pull};

weft_stream *weft_stream_timeout(weft_stream *s, int64_t ns)
{
	struct timeout *t = weft__stage_same_on(&s, &timeout_ops, sizeof *t, ns > 0);

	if (t)
		t->ns = ns;
	return s;
}
