/* SPDX-License-Identifier: MIT
 *
 * again.c - a source that is made anew when it fails.
 *
 * While it waits for its next try there is no stream below: `due` says when to make one, and a call that is cut short leaves it standing.
 */
#include "base/clock.h"
#include "stream/stage.h"
#include "weft/task.h"

struct again {
	weft_stream s;
	weft_stream *(*make)(void *arg);
	int64_t (*pause)(int code, int failures, void *arg);
	void *arg;
	weft_stream *sub; /* NULL: to be made, not before due */
	int64_t due;
	int failures; /* in a row */
};

static ssize_t wait_until(int64_t due, int64_t deadline)
{
	int rc;

	if (clock_now() >= due)
		return 0;
	if (deadline == WEFT_NOW)
		return WEFT_EAGAIN;
	rc = weft_task_sleep_until(deadline < due ? deadline : due);
	return rc ? rc : clock_now() >= due ? 0 : WEFT_ETIMEDOUT;
}

/* The stream below has failed: drops it. 0: there will be another try. */
static ssize_t failed(struct again *a)
{
	weft_stream *sub = a->sub;
	int64_t pause;

	if (a->failures < INT32_MAX)
		a->failures++;
	pause = a->pause(sub->status, a->failures, a->arg);
	if (pause < 0) {
		weft__stage_inherit(&a->s, sub);
		return a->s.status;
	}
	weft_stream_free(sub);
	a->sub = NULL;
	a->due = clock_add(clock_now(), pause);
	return 0;
}

static ssize_t again_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct again *a = (struct again *)s;
	ssize_t n;

	for (;;) {
		n = weft__stage_check(deadline);
		if (n == 0 && !a->sub)
			n = wait_until(a->due, deadline);
		if (n)
			return n;
		if (!a->sub) {
			a->sub = a->make(a->arg);
			if (!a->sub)
				return weft__stage_fail(s, WEFT_ENOMEM, NULL);
			if (a->sub->status >= 0 && (a->sub->elem != s->elem || a->sub->fleeting))
				return weft__stage_fail(s, WEFT_EINVAL, NULL);
		}
		n = weft__stage_pull(a->sub, out, max, deadline);
		if (n > 0)
			a->failures = 0;
		if (n >= 0 || a->sub->status >= 0)
			return n;
		n = failed(a);
		if (n)
			return n;
	}
}

static void again_close(weft_stream *s)
{
	weft_stream_free(((struct again *)s)->sub);
}

static const struct stage_ops again_ops = {.kind = "retry", .pull = again_pull, .close = again_close};

weft_stream *weft_stream_retry(size_t elem, weft_stream *(*make)(void *arg), int64_t (*pause)(int code, int failures, void *arg), void *arg)
{
	weft_stream *s;
	struct again *a = stage_source(&s, &again_ops, sizeof *a, elem, make && pause);

	if (a) {
		a->make = make;
		a->pause = pause;
		a->arg = arg;
	}
	return s;
}
