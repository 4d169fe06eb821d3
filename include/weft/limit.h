/* SPDX-License-Identifier: MIT
 *
 * weft/limit.h - an adaptive limit: as many calls at a time as the callee can take, found out by how long they take. What a bulkhead is told, it measures.
 *
 *     weft_permit p;
 *
 *     rc = weft_limit_acquire(l, &p);            // WEFT_EOVERLOAD: turned away, before it costs anything
 *     if (!rc) {
 *             rc = ask(callee);
 *             weft_limit_release(l, &p, rc == WEFT_ETIMEDOUT ? WEFT_FAILED : rc < 0 ? WEFT_IGNORED : WEFT_OK);
 *     }
 *
 * The rules by which it widens and narrows are those of windows (weft/flow.h); who waits stands in line as before a bulkhead (weft/bulkhead.h).
 */
#ifndef WEFT_LIMIT_H
#define WEFT_LIMIT_H

#include "bulkhead.h"
#include "error.h"
#include "export.h"
#include "flow.h"
#include "task.h"
#include "time.h"
#include <stdint.h>

WEFT_BEGIN_DECLS

/* What a call has shown of the callee; for limits and breakers. */
enum weft_outcome {
	WEFT_OK,      /* it answered, maybe with an error: its latency counts */
	WEFT_FAILED,  /* limits: it was dropped, or took too long; breakers: it failed */
	WEFT_IGNORED, /* nothing: it was not made, or cut short by the caller's own cancel */
};

typedef struct weft_limit weft_limit;

/* One who is in. Private fields. */
typedef struct weft_permit {
	int64_t weft__began;
} weft_permit;

typedef struct weft_limit_opts {
	weft_window_opts window;
	weft_line_opts line;
} weft_limit_opts;

/* weft_limit_make - a limit, nobody in.
 *
 * Returns 0; WEFT_EINVAL: NULL, or a number out of range (weft_window_init, weft_bulkhead_make); WEFT_ENOMEM. On any error *out is NULL.
 * Blocks: no. Threads: any; needs no runtime.
 */
WEFT_API int weft_limit_make(weft_limit **out, const weft_limit_opts *o);

/* weft_limit_ref, weft_limit_free - as weft_bulkhead_ref, weft_bulkhead_free. */
WEFT_API weft_limit *weft_limit_ref(weft_limit *l);
WEFT_API void weft_limit_free(weft_limit *l);

/* weft_limit_acquire - get one of the places there are now, as weft_bulkhead_enter does. Its time begins when it is got.
 *
 * Returns as weft_bulkhead_enter; WEFT_EINVAL: l or p is NULL. *p is written only with 0; it is given to weft_limit_release, once.
 * Blocks: yes (admission). Threads: any.
 */
WEFT_API int weft_limit_acquire(weft_limit *l, weft_permit *p);
WEFT_API int weft_limit_acquire_until(weft_limit *l, weft_permit *p, int64_t deadline);
WEFT_API int weft_limit_tryacquire(weft_limit *l, weft_permit *p);

/* weft_limit_release - the call has ended, with this outcome. More releases than acquires are a fatal error. Blocks: no. Threads: any. */
WEFT_API void weft_limit_release(weft_limit *l, weft_permit *p, enum weft_outcome how);

/* weft_limit_call - acquire, call fn(arg), release: WEFT_FAILED for WEFT_ETIMEDOUT, WEFT_EOVERLOAD and WEFT_ENOBUFS, WEFT_IGNORED for any other negative code, else WEFT_OK. If
 * fn panics or ends its task: WEFT_IGNORED.
 *
 * Returns what fn returns; else as weft_limit_acquire, and fn was not called. The deadline is for getting in.
 * Blocks: yes (admission), and if fn does. Threads: any.
 */
WEFT_API int weft_limit_call(weft_limit *l, weft_task_fn *fn, void *arg);
WEFT_API int weft_limit_call_until(weft_limit *l, weft_task_fn *fn, void *arg, int64_t deadline);

/* weft_limit_size - the limit, now. weft_limit_latency - as weft_window_latency. weft_limit_stat - what is counted; .max is the limit. Threads: any. */
WEFT_API int weft_limit_size(weft_limit *l);
WEFT_API int64_t weft_limit_latency(weft_limit *l);
WEFT_API void weft_limit_stat(weft_limit *l, weft_bulkhead_stats *out);

WEFT_END_DECLS

#endif
