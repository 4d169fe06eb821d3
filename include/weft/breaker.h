/* SPDX-License-Identifier: MIT
 *
 * weft/breaker.h - a circuit breaker: calls to what keeps failing are not made for a while, and then one is, to see.
 *
 *     rc = weft_breaker_call(b, query, &q);
 *     if (rc == WEFT_EOPEN)
 *             return serve_stale(&q);
 *
 *     closed     calls are made, and counted; too many failures: open
 *     open       calls are not made (WEFT_EOPEN), for .open_for; then whoever comes first makes it half open
 *     half open  one call at a time is made, a probe; the others get WEFT_EOPEN. As many that go well as .probes says: closed. One that does not: open, for longer.
 *                A probe of which nothing was learned (WEFT_IGNORED: its caller was cancelled, panicked, ended) leaves its place to the next.
 *
 * Source: Nygard, "Release It!" (2007).
 */
#ifndef WEFT_BREAKER_H
#define WEFT_BREAKER_H

#include "error.h"
#include "export.h"
#include "limit.h"
#include "task.h"
#include "time.h"
#include <stdbool.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef struct weft_breaker weft_breaker;

enum weft_breaker_state {
	WEFT_BREAKER_CLOSED,
	WEFT_BREAKER_OPEN,
	WEFT_BREAKER_HALF_OPEN,
};

/* A change of state, as the listener is told: also of weft_breaker_trip when it is open, and weft_breaker_reset when it is closed. */
typedef struct weft_breaker_change {
	weft_breaker *breaker; /* borrowed */
	enum weft_breaker_state from, to;
	uint32_t number; /* of the change: 1, 2 and so on. Tells their order to a listener that is called by several threads at once */
	int64_t when;    /* weft_now() */
	int64_t until;   /* open: no probe before it; WEFT_FOREVER: until weft_breaker_reset */
} weft_breaker_change;

/* Zero is the default everywhere; of .in_a_row, .failed and .slow one is given at least. */
typedef struct weft_breaker_opts {
	int in_a_row;      /* so many failures one after the other open it; 0: do not */
	int failed;        /* so many per cent of the calls in the window failed: opens it; 0: does not */
	int slow;          /* so many per cent of the calls in the window were slow: opens it; 0: does not. A slow failure counts as both */
	int64_t slow_from; /* ns: who takes so long is slow; given with .slow */
	int calls;         /* the window: the last so many calls, at most 2^20; 0: 100 */
	int64_t window;    /* the window: the calls that ended in so many ns, in ten parts; instead of .calls. 0: .calls is it */
	int least;         /* as long as fewer calls are in the window, percentages do not count; 0: 10, or .calls if that is less */
	int64_t open_for;  /* ns; 0: a second */
	int64_t open_most; /* ns: twice as long after each probe that fails, up to this; 0: always .open_for */
	int probes;        /* probes in a row that must go well; 0: 1 */
	/* What a call that returned rc has shown. NULL: 0 and more, WEFT_OK; WEFT_ECANCELED, WEFT_EOPEN, WEFT_EOVERLOAD and WEFT_EINVAL, WEFT_IGNORED; else WEFT_FAILED. Called by
	 * weft_breaker_call with nothing locked. */
	enum weft_outcome (*judge)(int rc, void *arg);
	/* The listener: called after each change, by whoever caused it, with nothing locked. It may use the breaker, and block; it must not free the last reference. NULL: none. */
	void (*changed)(const weft_breaker_change *c, void *arg);
	void *arg; /* for both */
} weft_breaker_opts;

/* A call that may be made. Private fields. */
typedef struct weft_pass {
	uint32_t weft__round; /* calls that began in an earlier round of the breaker's tell nothing */
	bool weft__probe;
	int64_t weft__began;
} weft_pass;

typedef struct weft_breaker_stats {
	enum weft_breaker_state state;
	int64_t until;                  /* open: no probe before it */
	bool probing;                   /* a probe is under way */
	int calls, failed, slow;        /* in the window */
	int in_a_row;                   /* failures */
	uint64_t refused;               /* calls, in all */
	uint64_t ok, failures, ignored; /* calls that were let through and have ended, also late ones */
	uint64_t opened;                /* so often */
} weft_breaker_stats;

/* weft_breaker_make - a breaker, closed.
 *
 * Returns 0; WEFT_EINVAL: NULL, a number out of range (percentages: 0 to 100), nothing that opens it, or .slow without .slow_from; WEFT_ENOMEM. On any error *out is NULL.
 * Blocks: no. Threads: any; needs no runtime.
 */
WEFT_API int weft_breaker_make(weft_breaker **out, const weft_breaker_opts *o);

/* weft_breaker_ref, weft_breaker_free - one reference more or less; a call borrows it until it returns. NULL is allowed in free. Threads: any. */
WEFT_API weft_breaker *weft_breaker_ref(weft_breaker *b);
WEFT_API void weft_breaker_free(weft_breaker *b);

/* weft_breaker_enter - may a call be made?
 *
 * Returns 0: yes, and weft_breaker_leave follows; WEFT_EOPEN: no; WEFT_ECANCELED, WEFT_ETIMEDOUT: the caller is cancelled, or out of time: it would be a probe from which nothing
 * is learned; WEFT_EINVAL: NULL. *p is written only with 0.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_breaker_enter(weft_breaker *b, weft_pass *p);

/* weft_breaker_leave - it has ended, with this outcome: once for each 0 of weft_breaker_enter, by whomever. A probe that is never left keeps the breaker half open, which
 * weft_breaker_reset ends; weft_breaker_call leaves in any case. Blocks: no, but for what the listener does. Threads: any. */
WEFT_API void weft_breaker_leave(weft_breaker *b, weft_pass *p, enum weft_outcome how);

/* weft_breaker_call - enter, call fn(arg), leave: also if fn panics or ends its task (WEFT_IGNORED). A failure in a task that is cancelled by then is WEFT_IGNORED, too.
 *
 * Returns what fn returns; else as weft_breaker_enter, and fn was not called. Blocks: if fn does. Threads: any.
 */
WEFT_API int weft_breaker_call(weft_breaker *b, weft_task_fn *fn, void *arg);

/* weft_breaker_trip - open it for ns nanoseconds; 0: until weft_breaker_reset. Also if it is open, or half open: then the probe that is under way counts no more.
 * weft_breaker_reset - close it; what was counted in the window is forgotten.
 *
 * Return 0; WEFT_EINVAL: NULL, or a negative time. Blocks: no, but for what the listener does. Threads: any.
 */
WEFT_API int weft_breaker_trip(weft_breaker *b, int64_t ns);
WEFT_API int weft_breaker_reset(weft_breaker *b);

/* weft_breaker_stateof - its state, now: open also when its time is over, until somebody comes. weft_breaker_stat - what it has counted; all of one moment. Threads: any. */
WEFT_API enum weft_breaker_state weft_breaker_stateof(weft_breaker *b);
WEFT_API void weft_breaker_stat(weft_breaker *b, weft_breaker_stats *out);

WEFT_END_DECLS

#endif
