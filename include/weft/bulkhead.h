/* SPDX-License-Identifier: MIT
 *
 * weft/bulkhead.h - a bulkhead: so many may be in at a time, so many may wait, and no more, so that one slow callee does not take all tasks with it.
 *
 *     rc = weft_bulkhead_call(b, query, &q);     // at most .max at a time, however many call
 *     if (rc == WEFT_EOVERLOAD)
 *             return serve_stale(&q);
 */
#ifndef WEFT_BULKHEAD_H
#define WEFT_BULKHEAD_H

#include "error.h"
#include "export.h"
#include "task.h"
#include "time.h"
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef struct weft_bulkhead weft_bulkhead;

/* How those wait who are let wait; of a bulkhead, and of a limit (weft/limit.h). Zero is the default everywhere. */
typedef struct weft_line_opts {
	int max;         /* so many may wait; 0: nobody, who cannot go on at once is turned away; -1: any number */
	int64_t longest; /* ns that each may wait; 0: as long as it likes. Who has waited so long is turned away */
	/* Controlled delay: once the line has not been empty for `interval` ns, who comes may wait only `target` ns. A burst is waited out, a line that stands is cut
	 * short, so that those who are let in are not those whose callers have given up. Both 0: not used. */
	int64_t target, interval;
} weft_line_opts;

typedef struct weft_bulkhead_opts {
	int max; /* in at a time, 1 or more */
	weft_line_opts line;
} weft_bulkhead_opts;

typedef struct weft_bulkhead_stats {
	int max;                   /* as it is now */
	int in, waiting;           /* now */
	int most_in, most_waiting; /* at a time, so far */
	uint64_t admitted;         /* were let in, */
	uint64_t waited;           /* of these, after waiting, */
	int64_t waited_ns;         /* that long in all */
	uint64_t full;             /* turned away at once: WEFT_EOVERLOAD, WEFT_EAGAIN */
	uint64_t late;             /* turned away after waiting: WEFT_EOVERLOAD, WEFT_ETIMEDOUT */
	uint64_t gone;             /* cancelled while they waited */
} weft_bulkhead_stats;

/* weft_bulkhead_make - a bulkhead, empty.
 *
 * Returns 0; WEFT_EINVAL: NULL, .max below 1, .line.max below -1, a negative time, or only one of .target and .interval; WEFT_ENOMEM. On any error *out is NULL.
 * Blocks: no. Threads: any; needs no runtime.
 * Source of controlled delay: Nichols and Jacobson, "Controlling Queue Delay" (2012), in the form of Maurer, "Fail at Scale" (ACM Queue, 2015). Changed: how
 * long one may wait is decided when it comes, by a deadline, instead of when it is taken from the line.
 */
WEFT_API int weft_bulkhead_make(weft_bulkhead **out, const weft_bulkhead_opts *o);

/* weft_bulkhead_ref, weft_bulkhead_free - one reference more or less; a call borrows it until it returns. NULL is allowed in free. Somebody waiting when the last one is given
 * back is a fatal error. Threads: any. */
WEFT_API weft_bulkhead *weft_bulkhead_ref(weft_bulkhead *b);
WEFT_API void weft_bulkhead_free(weft_bulkhead *b);

/* weft_bulkhead_enter - go in, waiting for room as long as the bulkhead lets one wait. First come first served.
 *
 * Returns 0: the caller is in, until weft_bulkhead_leave. Else it is not: WEFT_EOVERLOAD: as many wait as may, or it has waited as long as it may;
 * WEFT_EAGAIN (deadline WEFT_NOW): it would have to wait; WEFT_ETIMEDOUT, WEFT_ECANCELED; WEFT_EINVAL: NULL.
 * Blocks: yes (admission). Threads: any. Order: what came before somebody's leave is seen by who comes in by it.
 */
WEFT_API int weft_bulkhead_enter(weft_bulkhead *b);
WEFT_API int weft_bulkhead_enter_until(weft_bulkhead *b, int64_t deadline);

/* weft_bulkhead_tryenter - the same without waiting: 0, or WEFT_EAGAIN. */
WEFT_API int weft_bulkhead_tryenter(weft_bulkhead *b);

/* weft_bulkhead_leave - go out. Somebody else may do it for who went in. More leaves than enters is a fatal error. Blocks: no. Threads: any. */
WEFT_API void weft_bulkhead_leave(weft_bulkhead *b);

/* weft_bulkhead_call - enter, call fn(arg), leave: also if fn panics or ends its task.
 *
 * Returns what fn returns; else as weft_bulkhead_enter, and fn was not called. The deadline is for getting in.
 * Blocks: yes (admission), and if fn does. Threads: any.
 */
WEFT_API int weft_bulkhead_call(weft_bulkhead *b, weft_task_fn *fn, void *arg);
WEFT_API int weft_bulkhead_call_until(weft_bulkhead *b, weft_task_fn *fn, void *arg, int64_t deadline);

/* weft_bulkhead_resize - let `max` be in at a time from now on. If more are, the next come in when enough have left.
 *
 * Returns 0; WEFT_EINVAL: NULL, or max below 1. Blocks: no. Threads: any.
 */
WEFT_API int weft_bulkhead_resize(weft_bulkhead *b, int max);

/* weft_bulkhead_stat - what it has counted; all of one moment. Who has waited is in at once, and among the .admitted, .late or .gone when it runs. Threads: any. */
WEFT_API void weft_bulkhead_stat(weft_bulkhead *b, weft_bulkhead_stats *out);

WEFT_END_DECLS

#endif
