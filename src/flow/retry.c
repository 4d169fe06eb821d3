/* SPDX-License-Identifier: MIT
 *
 * retry.c - calls a function until it goes well, or there is no sense in it.
 *
 * A loop: a try, under a context of its own where it has a time limit; then every reason not to try again, the cheapest first, so that a budget is not asked for a try that time does not
 * allow; then the pause.  What the caller gets is what the last try came to, unless it was cancelled in the pause.
 */
#include "weft/retry.h"

#include "base/check.h"
#include "base/clock.h"
#include "core/runtime.h"
#include "weft/ctx.h"
#include "weft/defer.h"
#include "weft/scope.h"

#define TRIES_DEFAULT 3

bool weft_retry_worth(int rc)
{
	if (rc >= 0)
		return false;
	switch (rc) {
	case WEFT_EINVAL: /* the call, or the program */
	case WEFT_EBADF:
	case WEFT_ENOSYS:
	case WEFT_ENOTSUP:
	case WEFT_EAFNOSUPPORT:
	case WEFT_ENOPROTOOPT:
	case WEFT_ENOTTY:
	case WEFT_ENOEXEC:
	case WEFT_EPANIC:
	case WEFT_EDEADLK:
	case WEFT_ESRCH:
	case WEFT_E2BIG:
	case WEFT_EMSGSIZE:
	case WEFT_ENAMETOOLONG:
	case WEFT_EDESTADDRREQ:
	case WEFT_EACCES: /* forbidden */
	case WEFT_EPERM:
	case WEFT_EROFS:
	case WEFT_EUNTRUSTED:
	case WEFT_ENOENT: /* so it is */
	case WEFT_EEXIST:
	case WEFT_EALREADY:
	case WEFT_EISDIR:
	case WEFT_ENOTDIR:
	case WEFT_ELOOP:
	case WEFT_ESPIPE:
	case WEFT_EXDEV:
	case WEFT_ENODEV:
	case WEFT_EFBIG:
	case WEFT_EAI_NONAME:
	case WEFT_EAI_NODATA:
	case WEFT_EAI_SERVICE:
	case WEFT_ECLOSED: /* over */
	case WEFT_ECANCELED:
	case WEFT_EOPEN: /* what they are for */
	case WEFT_EOVERLOAD:
		return false;
	default:
		return true;
	}
}

bool weft_retry_actor(int rc, void *arg)
{
	(void)arg;
	return rc == WEFT_ENOENT || rc == WEFT_ESRCH || weft_retry_worth(rc);
}

static bool worth(int rc, void *arg)
{
	(void)arg;
	return weft_retry_worth(rc);
}

static int one_try(weft_task_fn *fn, void *arg, int64_t deadline)
{
	int rc = WEFT_ETIMEDOUT;

	if (deadline == WEFT_FOREVER)
		return fn(arg);
	WEFT_WITH_TIMEOUT (deadline - clock_now())
		rc = fn(arg);
	return rc;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* By when all tries are to be over, as the caller and .whole say: of that, a try has to be told. Its context's deadline it knows. 0: it is past. */
static int64_t latest(const weft_retry_opts *o, int64_t deadline)
{
	int64_t now;

	if (likely(!o->whole && deadline == WEFT_FOREVER))
		return WEFT_FOREVER; /* no look at the clock, which costs more than all else here */
	now = clock_now();
	if (deadline <= now)
		return 0;
	return o->whole ? sooner(deadline, clock_add(now, o->whole)) : deadline;
}

/* A try has failed. WEFT_RETRY_WELL: there is no reason not to pause so long, *pause, and try again. */
static enum weft_retry_end reason_to_end(const weft_retry_opts *o, weft_retry_report *r, weft_backoff *b, int64_t limit, int64_t *pause)
{
	if (weft_ctx_check() == WEFT_ECANCELED)
		return WEFT_RETRY_CANCELED;
	if (!(o->again ? o->again : worth)(r->last, o->arg))
		return WEFT_RETRY_PERMANENT;
	if (o->tries > 0 && r->tries >= o->tries)
		return WEFT_RETRY_TRIES;
	*pause = weft_backoff_next(b);
	if (o->before) {
		*pause = o->before(r, *pause, o->arg);
		if (*pause < 0)
			return WEFT_RETRY_STOPPED;
	}
	if (clock_add(clock_now(), *pause) >= limit)
		return WEFT_RETRY_TIME;
	if (o->budget && !weft_retry_budget_take(o->budget))
		return WEFT_RETRY_BUDGET;
	return WEFT_RETRY_WELL;
}

static int retry(const weft_retry_opts *o, weft_task_fn *fn, void *arg, weft_backoff *b, int64_t deadline, weft_retry_report *r)
{
	int64_t of_all = latest(o, deadline), pause;
	int rc = weft_ctx_check();

	if (!rc && !of_all)
		rc = WEFT_ETIMEDOUT;
	if (rc) {
		r->end = rc == WEFT_ECANCELED ? WEFT_RETRY_CANCELED : WEFT_RETRY_TIME;
		return rc;
	}
	if (o->budget)
		weft_retry_budget_first(o->budget);
	for (;;) {
		r->tries++;
		r->last = one_try(fn, arg, o->each ? sooner(clock_add(clock_now(), o->each), of_all) : of_all);
		if (r->last >= 0) {
			r->end = WEFT_RETRY_WELL;
			return r->last;
		}
		r->end = reason_to_end(o, r, b, sooner(of_all, weft_ctx_deadline(NULL)), &pause);
		if (r->end != WEFT_RETRY_WELL)
			return r->last;
		r->paused = clock_add(r->paused, pause);
		rc = pause ? weft_task_sleep(pause) : weft_ctx_check();
		if (rc) {
			r->end = rc == WEFT_ECANCELED ? WEFT_RETRY_CANCELED : WEFT_RETRY_TIME;
			return rc == WEFT_ECANCELED ? rc : r->last;
		}
	}
}

/* Options as they count. Returns 0; WEFT_EINVAL. */
static int prepare(const weft_retry_opts *o, weft_retry_opts *with, weft_backoff *b)
{
	*with = o ? *o : (weft_retry_opts){.tries = 0};
	if (with->tries < -1 || with->each < 0 || with->whole < 0)
		return WEFT_EINVAL;
	if (!with->tries)
		with->tries = TRIES_DEFAULT;
	return weft_backoff_init(b, &with->backoff);
}

int weft_retry_until(const weft_retry_opts *o, weft_task_fn *fn, void *arg, int64_t deadline)
{
	weft_retry_report r = {.tries = 0};
	weft_retry_opts with;
	weft_backoff b;
	int rc = prepare(o, &with, &b);

	if (rc || !fn)
		return WEFT_EINVAL;
	rc = retry(&with, fn, arg, &b, deadline, &r);
	if (with.report)
		*with.report = r;
	return rc;
}

int weft_retry(const weft_retry_opts *o, weft_task_fn *fn, void *arg)
{
	return weft_retry_until(o, fn, arg, WEFT_FOREVER);
}

/* --- with errors that say more --- */

struct trying {
	weft_retry_err_fn *fn;
	void *arg;
	weft_err *last; /* of the try before; NULL: there was none, or it went well */
};

static int try_err(void *arg)
{
	struct trying *t = arg;
	int code;

	weft_err_free(t->last);
	t->last = NULL;
	t->last = t->fn(t->arg);
	if (!t->last)
		return 0;
	code = weft_err_code(t->last);
	return code < 0 ? code : WEFT_EINVAL;
}

static void drop_last(void *arg)
{
	struct trying *t = arg;

	weft_err_free(t->last);
}

static const char *const ends[] = {
	[WEFT_RETRY_WELL] = "it went well", [WEFT_RETRY_TRIES] = "no more are allowed", [WEFT_RETRY_PERMANENT] = "it will not change",
	[WEFT_RETRY_TIME] = "out of time",  [WEFT_RETRY_CANCELED] = "cancelled",        [WEFT_RETRY_BUDGET] = "the budget is used up",
	[WEFT_RETRY_STOPPED] = "stopped",
};

weft_err *weft__retry_err(const weft_retry_opts *o, weft_retry_err_fn *fn, void *arg, int64_t deadline, const char *file, int line)
{
	struct trying t = {fn, arg, NULL};
	weft_retry_report r = {.tries = 0};
	weft_retry_opts with;
	weft_backoff b;
	weft_err *e;
	weft_defer d;
	int rc = prepare(o, &with, &b);

	if (rc || !fn)
		return weft__err_of(WEFT_EINVAL, file, line);
	weft__defer_push(&d, drop_last, &t); /* should fn, or .before, panic */
	rc = retry(&with, try_err, &t, &b, deadline, &r);
	weft__defer_drop(&d);
	if (with.report)
		*with.report = r;
	if (rc >= 0)
		return NULL;
	e = t.last ? t.last : weft__err_of(rc, file, line); /* cancelled or out of time before the first try */
	return weft__err_wrap(e, rc == weft_err_code(e) ? 0 : rc, file, line, "gave up after %d %s, %s", r.tries,
			      r.tries == 1 ? "try" : "tries", ends[r.end]);
}
