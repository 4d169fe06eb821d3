/* SPDX-License-Identifier: MIT
 *
 * weft/retry.h - try again: so often, with pauses that grow and are drawn at random, as long as it makes sense, and no more than the callee can bear.
 *
 *     rc = weft_retry(&(weft_retry_opts){.tries = 5, .each = WEFT_SEC, .whole = 10 * WEFT_SEC}, fetch, &f);
 */
#ifndef WEFT_RETRY_H
#define WEFT_RETRY_H

#include "error.h"
#include "errors.h"
#include "export.h"
#include "task.h"
#include "time.h"
#include <stdbool.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

/* --- pauses --- */

/* How a pause is drawn, with d = base * factor^n, at most cap, before the n-th try again (n = 0, 1, ...).
 * Source: Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015). */
enum weft_jitter {
	WEFT_JITTER_FULL,         /* 0 to d: the fewest tries meet */
	WEFT_JITTER_EQUAL,        /* d / 2 to d: never none */
	WEFT_JITTER_DECORRELATED, /* base to three times the pause before, at most cap; the factor is not used */
	WEFT_JITTER_NONE,         /* d */
};

/* Zero is the default everywhere. */
typedef struct weft_backoff_opts {
	int64_t base; /* ns; 0: 100 ms */
	int64_t cap;  /* ns, base and more; 0: a hundred times base */
	int factor;   /* per cent, 100 to 100000; 0: 200 */
	enum weft_jitter jitter;
	uint64_t seed; /* the same seed draws the same pauses; 0: another one each time (of WEFT_SEED, if that is set) */
} weft_backoff_opts;

/* A row of pauses, for one caller. Private fields. */
typedef struct weft_backoff {
	int64_t weft__base, weft__cap, weft__next;
	uint64_t weft__random;
	int weft__factor;
	enum weft_jitter weft__jitter;
} weft_backoff;

/* weft_backoff_init - begin a row; o NULL: all defaults. Returns 0; WEFT_EINVAL: b is NULL, or a number is out of range. Blocks: no. Threads: any. */
WEFT_API int weft_backoff_init(weft_backoff *b, const weft_backoff_opts *o);

/* weft_backoff_next - the next pause of the row, in ns, 0 to cap. */
WEFT_API int64_t weft_backoff_next(weft_backoff *b);

/* --- budgets --- */

/* How many of the calls of a whole program, or to one callee, may be tries again, so that retries do not multiply the load of who is overloaded already. */
typedef struct weft_retry_budget weft_retry_budget;

/* Zero is the default everywhere. */
typedef struct weft_retry_budget_opts {
	int percent;    /* tries again for a hundred first tries, 0 to 1000; 0: 20 */
	int per_second; /* so many more a second, for who calls rarely; 0: 10; -1: none */
	int most; /* that can be saved up, 1 to 2^20; 0: 100. So many are there at first, but not more than per_second gives in ten seconds */
} weft_retry_budget_opts;

/* weft_retry_budget_make - a budget; o NULL: all defaults.
 *
 * Returns 0; WEFT_EINVAL: out is NULL, or a number is out of range; WEFT_ENOMEM. On any error *out is NULL. Blocks: no. Threads: any; needs no runtime.
 * Source: the retry budget of Twitter's Finagle, and the throttling of gRPC (proposal A6). Changed: what is saved up has a bound instead of an age.
 */
WEFT_API int weft_retry_budget_make(weft_retry_budget **out, const weft_retry_budget_opts *o);

/* weft_retry_budget_ref, weft_retry_budget_free - one reference more or less; a call borrows it until it returns. NULL is allowed in free. Threads: any. */
WEFT_API weft_retry_budget *weft_retry_budget_ref(weft_retry_budget *b);
WEFT_API void weft_retry_budget_free(weft_retry_budget *b);

/* weft_retry_budget_first - a first try is being made. weft_retry_budget_take - may one be made again? True: it is paid for. weft_retry_budget_left - how many may be, now.
 * weft_retry calls the first two. Blocks: no. Threads: any. */
WEFT_API void weft_retry_budget_first(weft_retry_budget *b);
WEFT_API bool weft_retry_budget_take(weft_retry_budget *b);
WEFT_API int weft_retry_budget_left(weft_retry_budget *b);

/* --- retry --- */

/* Why no further try was made. */
enum weft_retry_end {
	WEFT_RETRY_WELL,      /* the last one went well */
	WEFT_RETRY_TRIES,     /* there have been as many as allowed */
	WEFT_RETRY_PERMANENT, /* its error is one that stays */
	WEFT_RETRY_TIME,      /* the pause would outlast the deadline, the caller's or its context's, or .whole */
	WEFT_RETRY_CANCELED,  /* the caller was cancelled */
	WEFT_RETRY_BUDGET,    /* the budget is used up */
	WEFT_RETRY_STOPPED,   /* .before has said so */
};

/* What weft_retry has done. */
typedef struct weft_retry_report {
	int tries;
	int last;       /* what the last try returned; 0: there was none */
	int64_t paused; /* ns, as they were meant to be */
	enum weft_retry_end end;
} weft_retry_report;

/* Zero is the default everywhere. */
typedef struct weft_retry_opts {
	int tries;                 /* in all; 0: 3; -1: as many as time allows */
	int64_t each;              /* ns that a try may take; 0: no limit. One that ends for it, with WEFT_ETIMEDOUT, is tried again */
	int64_t whole;             /* ns for all tries and pauses together; 0: no limit */
	weft_backoff_opts backoff; /* the pauses */
	weft_retry_budget *budget; /* borrowed; NULL: none */
	bool (*again)(int rc, void *arg); /* is it worth trying again after this error? NULL: weft_retry_worth */
	/* Called before each pause, with what has been done so far and the pause that is meant. Returns the pause to make (what a server has asked for, say); negative: no further
	 * try. NULL: none. */
	int64_t (*before)(const weft_retry_report *r, int64_t pause, void *arg);
	void *arg;                 /* for both */
	weft_retry_report *report; /* written before the return; NULL: not wanted */
} weft_retry_opts;

/* weft_retry - call fn(arg) until it returns 0 or more.
 *
 *   o  NULL: all defaults. A try with a time limit runs under a context of its own (WEFT_WITH_TIMEOUT), which is an allocation; without one nothing is allocated. Off a task
 *      .each and .whole bound the pauses only
 *
 * Returns what the last try returned; WEFT_ECANCELED, WEFT_ETIMEDOUT: the caller was cancelled, or out of time, before the first try, or cancelled in a pause; WEFT_EINVAL: fn is NULL, or
 * a number is out of range. A pause that would outlast the deadline is not begun.
 * Blocks: yes (sleep), and if fn does. Threads: any.
 */
WEFT_API int weft_retry(const weft_retry_opts *o, weft_task_fn *fn, void *arg);
WEFT_API int weft_retry_until(const weft_retry_opts *o, weft_task_fn *fn, void *arg, int64_t deadline);

/* weft_retry_err(o, fn, arg), weft_retry_err_until(o, fn, arg, deadline) - the same for a function that returns a weft_err (weft/errors.h); what counts is its code, and a code that is not negative counts as WEFT_EINVAL.
 *
 * Returns NULL, or the error of the last try as the cause of one that says how many there were and why there are no more, made here: the caller's. Errors of earlier tries are freed.
 */
typedef weft_err *weft_retry_err_fn(void *arg);
#define weft_retry_err(...) weft__retry_err(__VA_ARGS__, WEFT_FOREVER, __FILE__, __LINE__) /* the options may be a literal, with commas */
#define weft_retry_err_until(...) weft__retry_err(__VA_ARGS__, __FILE__, __LINE__)
WEFT_API weft_err *weft__retry_err(const weft_retry_opts *o, weft_retry_err_fn *fn, void *arg, int64_t deadline, const char *file,
				   int line);

/* weft_retry_worth - may another try come to something else? False for 0 and more; for what is wrong with the call or the program (WEFT_EINVAL, WEFT_EBADF, WEFT_ENOSYS, WEFT_ENOTSUP,
 * WEFT_EPANIC, ...), what is forbidden (WEFT_EACCES, WEFT_EPERM, WEFT_EROFS, WEFT_EUNTRUSTED), what is so (WEFT_ENOENT, WEFT_EEXIST, WEFT_EAI_NONAME, ...), what is over (WEFT_ECLOSED), for
 * WEFT_ECANCELED, and where trying again is what must not be done (WEFT_EOPEN, WEFT_EOVERLOAD). True for all others, also the program's own. */
WEFT_API bool weft_retry_worth(int rc);

/* weft_retry_actor - the same of calls to actors, for .again: also true for WEFT_ENOENT, a name that is nobody's while a supervisor starts its server again, and for WEFT_ESRCH, a reference to one that has ended (so look it up in each try:
 * weft_reg_call). */
WEFT_API bool weft_retry_actor(int rc, void *arg);

WEFT_END_DECLS

#endif
