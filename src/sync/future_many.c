/* SPDX-License-Identifier: MIT
 *
 * future_many.c - waits for several futures at once: all, race, any, all settled.
 *
 * One wait, and a waiter for each future that has not ended, as in a select; but not each that ends is what is waited for. They have a gathering in common
 * (sync/future.h), a count of those that are left, and a future that ends claims the wait only if that makes it: so a thousand futures wake whoever waits for
 * them once.  What has happened is read off the futures afterwards.
 */
#include "sync/future.h"

#include "base/check.h"
#include "core/runtime.h"
#include "core/source.h"
#include <stdlib.h>
#include <string.h>

/* What ends the wait, besides that all have ended. */
enum ends { ON_VALUE = 1, ON_ERROR = 2 };

static bool decided(weft_future *const *fs, int n, unsigned ends)
{
	int left = n;

	for (int i = 0; i < n; i++) {
		if (!future_done(fs[i]))
			continue;
		left--;
		if (ends & (fs[i]->status == 0 ? ON_VALUE : ON_ERROR))
			return true;
	}
	return left == 0;
}

/* The caller's wait is open. Counts fs[i] if it has ended: then it returns whether that decides it. Else lists w. */
static bool count_or_list(struct gathering *g, struct weft_future *f, struct waiter *w)
{
	bool counts = false;

	lock_take_solo(&f->lock, RANK_SOURCE);
	if (load_relaxed(&f->done)) { /* under lock */
		counts = gathering_counts(g, f);
	} else {
		w->slot = g;
		source_list(w, &f->waiters, &f->lock, RANK_SOURCE, f);
	}
	lock_drop_solo(&f->lock);
	return counts;
}

static int wait_for(struct self *me, weft_future *const *fs, int n, unsigned ends, struct waiter *waiters, int64_t deadline)
{
	struct gathering g;
	struct weft_task *t = me->task;
	uint64_t word = wait_begin(t, waiters, n, REASON_FUTURE, deadline);
	bool counts = false;
	int rc = 0;

	store_relaxed(&g.left, (uint32_t)n); /* not shared yet */
	g.on_value = ends & ON_VALUE;
	g.on_error = ends & ON_ERROR;
	for (int i = 0; i < n; i++)
		source_waiter(&waiters[i], t, word, (uint16_t)i, (uint16_t)i);
	for (int i = 0; i < n && !counts; i++)
		counts = count_or_list(&g, fs[i], &waiters[i]);
	if (counts && wait_claim(&t->wait, word, WAIT_WOKEN))
		task_set_state(t, WEFT_TASK_RUNNING);
	else
		rc = weft__wait_park(me->worker, t, waiters, n, word,
				     deadline); /* if that decides it, but somebody else was faster: that one wakes us */
	if (rc == 0)
		weft__wait_withdraw(waiters, n);
	return rc;
}

/* Waits until it is decided. Returns 0, or the caller's own error. */
static int gather(weft_future *const *fs, int n, unsigned ends, int64_t deadline)
{
	struct waiter few[SELECT_INLINE], *many = NULL;
	struct self me;
	int rc = self_enter(&me, &deadline);

	if (rc || decided(fs, n, ends))
		return rc;
	if (deadline == WEFT_NOW)
		return WEFT_EAGAIN;
	if (n > SELECT_INLINE) {
		many = (struct waiter *)malloc((size_t)n * sizeof *many);
		if (!many)
			return WEFT_ENOMEM;
	}
	rc = wait_for(&me, fs, n, ends, many ? many : few, deadline);
	free(many);
	return rc;
}

static int check(weft_future *const *fs, int n, int least, unsigned flags)
{
	if (n < least || n > UINT16_MAX || (n && !fs) || (flags & ~WEFT_FUTURE_CANCEL_REST))
		return WEFT_EINVAL;
	for (int i = 0; i < n; i++) {
		if (!fs[i])
			return WEFT_EINVAL;
	}
	return 0;
}

static void cancel_rest(weft_future *const *fs, int n, unsigned flags)
{
	for (int i = 0; i < n && (flags & WEFT_FUTURE_CANCEL_REST); i++)
		(void)weft_future_cancel(fs[i]); /* unless it has ended */
}

int weft_future_all_until(weft_future *const *fs, int n, void *out, unsigned flags, int64_t deadline)
{
	int rc = check(fs, n, 0, flags);

	for (int i = 1; i < n && out && !rc; i++) {
		if (fs[i]->elem != fs[0]->elem)
			rc = WEFT_EINVAL;
	}
	if (!rc)
		rc = gather(fs, n, ON_ERROR, deadline);
	if (rc)
		return rc;
	for (int i = 0; i < n && !rc; i++) {
		if (future_done(fs[i]))
			rc = fs[i]->status;
	}
	if (rc) {
		cancel_rest(fs, n, flags);
		return rc;
	}
	for (int i = 0; i < n && out; i++)
		(void)weft_future_poll(fs[i], (char *)out + (size_t)i * fs[i]->elem);
	return 0;
}

int weft_future_all(weft_future *const *fs, int n, void *out, unsigned flags)
{
	return weft_future_all_until(fs, n, out, flags, WEFT_FOREVER);
}

int weft_future_race_until(weft_future *const *fs, int n, void *out, unsigned flags, int64_t deadline)
{
	int first = 0, rc = check(fs, n, 1, flags);

	if (!rc)
		rc = gather(fs, n, ON_VALUE | ON_ERROR, deadline);
	if (rc)
		return rc;
	while (!future_done(fs[first])) /* one is */
		first++;
	(void)weft_future_poll(fs[first], out);
	cancel_rest(fs, n, flags);
	return first;
}

int weft_future_race(weft_future *const *fs, int n, void *out, unsigned flags)
{
	return weft_future_race_until(fs, n, out, flags, WEFT_FOREVER);
}

int weft_future_any_until(weft_future *const *fs, int n, void *out, unsigned flags, int64_t deadline)
{
	int rc = check(fs, n, 1, flags);

	if (!rc)
		rc = gather(fs, n, ON_VALUE, deadline);
	if (rc)
		return rc;
	for (int i = 0; i < n; i++) {
		if (weft_future_poll(fs[i], out) == 0) {
			cancel_rest(fs, n, flags);
			return i;
		}
	}
	return fs[n - 1]->status;
}

int weft_future_any(weft_future *const *fs, int n, void *out, unsigned flags)
{
	return weft_future_any_until(fs, n, out, flags, WEFT_FOREVER);
}

int weft_future_all_settled_until(weft_future *const *fs, int n, int *status, int64_t deadline)
{
	int rc = check(fs, n, 0, 0);

	if (!rc)
		rc = gather(fs, n, 0, deadline);
	for (int i = 0; i < n && status && !rc; i++)
		status[i] = fs[i]->status;
	return rc;
}

int weft_future_all_settled(weft_future *const *fs, int n, int *status)
{
	return weft_future_all_settled_until(fs, n, status, WEFT_FOREVER);
}
