/* SPDX-License-Identifier: MIT
 *
 * weft/future.h - a value that will be there later, or an error: a promise is the end that gives it, a future the end that waits for it.
 *
 *     weft_promise *p;
 *     weft_future *f;
 *
 *     weft_promise_make(sizeof v, &p, &f);       one side: weft_promise_resolve(p, &v), or weft_promise_reject(p, err); weft_promise_free(p)
 *                                                other:    weft_future_await(f, &v); weft_future_free(f)
 *
 *     f = weft_go_future(fn, arg, sizeof v);     a task whose function gives the value
 *
 * A future ends once: with a value (status 0), or with an error, a negative code: what it was rejected with; WEFT_EBROKEN, the last reference to its promise
 * was given back before it ended; WEFT_ECANCELED, by weft_future_cancel, or because nobody has a reference to it any more. Any number of tasks and threads
 * wait for the same future; all get the same.
 */
#ifndef WEFT_FUTURE_H
#define WEFT_FUTURE_H

#include "chan.h"
#include "error.h"
#include "export.h"
#include "task.h"
#include "time.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef struct weft_promise weft_promise;
typedef struct weft_future weft_future;

/* weft_promise_make - a promise and its future, one reference each.
 *
 *   elem  bytes of the value, 0 (none: only that it ends) to 65,535
 *
 * Returns 0, WEFT_ENOMEM, WEFT_EINVAL (NULL, or elem out of range); on any error both are NULL. Blocks: no. Threads: any; needs no runtime.
 */
WEFT_API int weft_promise_make(size_t elem, weft_promise **p, weft_future **f);

/* weft_promise_ref, weft_promise_free - one reference more or less, as when several may give the value. With the last one a future that has not ended ends with
 * WEFT_EBROKEN; that somebody waits for the promise (WEFT_PROMISE) is a fatal error. NULL is allowed in free. Blocks: no. Threads: any. */
WEFT_API weft_promise *weft_promise_ref(weft_promise *p);
WEFT_API void weft_promise_free(weft_promise *p);

/* weft_promise_resolve - end the future with a value.
 *
 *   value  its bytes, copied; NULL: they are zeroes
 *
 * The promise stays the caller's, to be freed.
 * Returns 0; WEFT_EALREADY: it has ended before (the first wins), or was cancelled; WEFT_EINVAL for NULL.
 * Blocks: no, and so it is no cancellation point. Threads: any. Order: what the caller did before is seen by whoever finds the future ended.
 */
WEFT_API int weft_promise_resolve(weft_promise *p, const void *value);

/* weft_promise_reject - the same with an error, a negative code. Returns as weft_promise_resolve; WEFT_EINVAL, too, if err is not negative. */
WEFT_API int weft_promise_reject(weft_promise *p, int err);

/* weft_promise_canceled - is there nobody any more who wants the value: was the future cancelled, or the last reference to it given back, before it had ended? Threads: any. */
WEFT_API bool weft_promise_canceled(weft_promise *p);

/* weft_future_ref, weft_future_free - one reference more or less. With the last one a future that has not ended is cancelled: nobody wants it. That while
 * somebody waits for it is a fatal error. NULL is allowed in free. Blocks: no. Threads: any. */
WEFT_API weft_future *weft_future_ref(weft_future *f);
WEFT_API void weft_future_free(weft_future *f);

/* weft_future_await - wait until f has ended.
 *
 *   out  room for the value; NULL: not wanted
 *
 * Returns 0: *out is the value; the error f has ended with (*out untouched); WEFT_EAGAIN (deadline WEFT_NOW), WEFT_ETIMEDOUT, WEFT_ECANCELED: the caller's
 * own, and f is what it was; WEFT_EINVAL for NULL. weft_future_poll tells an error of f's from the caller's own, if they are the same.
 * Blocks: yes (future). Threads: any, any number at a time.
 */
WEFT_API int weft_future_await(weft_future *f, void *out);
WEFT_API int weft_future_await_until(weft_future *f, void *out, int64_t deadline);

/* weft_future_poll - the same without waiting, and no cancellation point: what f has ended with, or WEFT_EAGAIN. weft_future_done - has it ended?
 * Threads: any. */
WEFT_API int weft_future_poll(weft_future *f, void *out);
WEFT_API bool weft_future_done(weft_future *f);

/* weft_future_cancel - end f with WEFT_ECANCELED, and tell the producer: weft_promise_canceled says so, WEFT_PROMISE is ready; a task of weft_go_future,
 * weft_future_map or weft_future_then is cancelled (weft_task_cancel), or never started.
 *
 * Returns 0; WEFT_EALREADY: it has ended before; WEFT_EINVAL for NULL. Blocks: no. Threads: any.
 */
WEFT_API int weft_future_cancel(weft_future *f);

/* weft_future_ready, weft_future_failed - a future that has ended: with a value of so many bytes (copied; NULL: zeroes), or an error, a negative code.
 *
 * Returns it with one reference, or NULL: memory is short, elem out of range, or err not negative. Blocks: no. Threads: any; needs no runtime.
 */
WEFT_API weft_future *weft_future_ready(const void *value, size_t elem);
WEFT_API weft_future *weft_future_failed(int err);

/* --- in a select --- */

static inline void *weft__on_future(weft_future *f)
{
	return f;
}

static inline void *weft__on_promise(weft_promise *p)
{
	return p;
}

/* A wait borrows its futures and promises until it returns.
 *
 * WEFT_FUTURE - f has ended. out: room for the value, or NULL. f NULL: never ready. Status: what weft_future_poll returns. */
#define WEFT_FUTURE(f, out) WEFT_CASE_OF(WEFT_CASE_SOURCE, 0, {.on = weft__on_future(f)}, {.elem = (out)}, {.source = &weft_source_future})
WEFT_API extern const weft_source weft_source_future;

/* WEFT_PROMISE - the promise need not be kept any more. p NULL: never ready. Status: WEFT_ECANCELED: weft_promise_canceled; WEFT_EALREADY: it was
 * resolved or rejected. */
#define WEFT_PROMISE(p) WEFT_CASE_OF(WEFT_CASE_SOURCE, 0, {.on = weft__on_promise(p)}, {.elem = 0}, {.source = &weft_source_promise})
WEFT_API extern const weft_source weft_source_promise;

/* --- several at once --- */

#define WEFT_FUTURE_CANCEL_REST 1u /* when it is decided, the futures that have not ended are cancelled */

/* weft_future_all - wait until all have ended with a value, or any with an error.
 *
 *   fs     n of them, 0 to 65,535; the same may stand there twice
 *   out    room for n values, one after the other: then all must be of the same size; NULL: not wanted (weft_future_poll has each)
 *   flags  0, or WEFT_FUTURE_CANCEL_REST
 *
 * Returns 0; the error of one that failed, as soon as there is one (the first in the array, if several had before the call): *out is untouched; WEFT_EAGAIN,
 * WEFT_ETIMEDOUT, WEFT_ECANCELED: the caller's own, and nothing happened, nothing is cancelled; WEFT_ENOMEM (more than 32, and no memory); WEFT_EINVAL: a NULL
 * among them, n out of range, another flag, or sizes that differ.
 * Blocks: yes (future). Threads: any.
 */
WEFT_API int weft_future_all(weft_future *const *fs, int n, void *out, unsigned flags);
WEFT_API int weft_future_all_until(weft_future *const *fs, int n, void *out, unsigned flags, int64_t deadline);

/* weft_future_race - wait until one has ended, however.
 *
 *   fs   n of them, 1 to 65,535
 *   out  room for its value, if it has one; NULL: not wanted
 *
 * Returns its index, of several the smallest: weft_future_poll(fs[i], NULL) says how it has ended. Else as weft_future_all.
 */
WEFT_API int weft_future_race(weft_future *const *fs, int n, void *out, unsigned flags);
WEFT_API int weft_future_race_until(weft_future *const *fs, int n, void *out, unsigned flags, int64_t deadline);

/* weft_future_any - wait until one has ended with a value, which is copied to *out.
 *
 * Returns its index, of several the smallest; if all have failed the error of the last in the array (weft_future_poll has each). Else as weft_future_race.
 */
WEFT_API int weft_future_any(weft_future *const *fs, int n, void *out, unsigned flags);
WEFT_API int weft_future_any_until(weft_future *const *fs, int n, void *out, unsigned flags, int64_t deadline);

/* weft_future_all_settled - wait until all have ended, however.
 *
 *   status  room for n: what each has ended with; NULL: not wanted
 *
 * Returns 0. Else as weft_future_all.
 */
WEFT_API int weft_future_all_settled(weft_future *const *fs, int n, int *status);
WEFT_API int weft_future_all_settled_until(weft_future *const *fs, int n, int *status, int64_t deadline);

/* --- in the order in which they end --- */

typedef struct weft_futures weft_futures;

/* One of a set that has ended. */
typedef struct weft_ended {
	weft_future *f; /* the receiver's reference */
	uint64_t label; /* what it was added with */
} weft_ended;

/* weft_futures_make - a set of futures, empty, out of which they come in the order in which they end. Returns it, or NULL: no memory. Blocks: no. Threads: any; needs no runtime.
 * weft_futures_free - give it back, and the references to what is still in it, which cancels those that nobody else has one to. NULL is allowed. That while somebody waits is a fatal error. */
WEFT_API weft_futures *weft_futures_make(void);
WEFT_API void weft_futures_free(weft_futures *s);

/* weft_futures_add - put a future in.
 *
 *   f      the caller's reference goes to the set; only on success
 *   label  comes back with it
 *
 * Returns 0, WEFT_ENOMEM, WEFT_EINVAL (NULL). Blocks: no. Threads: any, also while others wait.
 */
WEFT_API int weft_futures_add(weft_futures *s, weft_future *f, uint64_t label);

/* weft_futures_next - wait until one of those in it has ended, and take it out: of several the one that ended first.
 *
 * Returns 0: out->f has ended (weft_future_poll says how), and is the caller's; WEFT_ENOENT: there is none in it; WEFT_EAGAIN (deadline WEFT_NOW), WEFT_ETIMEDOUT, WEFT_ECANCELED; WEFT_EINVAL: NULL.
 * Blocks: yes (future). Threads: any, any number at a time.
 */
WEFT_API int weft_futures_next(weft_futures *s, weft_ended *out);
WEFT_API int weft_futures_next_until(weft_futures *s, weft_ended *out, int64_t deadline);

/* weft_futures_len - how many are in it, ended or not. Threads: any. */
WEFT_API size_t weft_futures_len(weft_futures *s);

static inline void *weft__on_futures(weft_futures *s)
{
	return s;
}

/* WEFT_FUTURES - select case: one of a set has ended. out: a weft_ended *. s NULL: never ready. Status: 0, or WEFT_ENOENT: there is none in it. */
#define WEFT_FUTURES(s, out) \
	WEFT_CASE_OF(WEFT_CASE_SOURCE, 0, {.on = weft__on_futures(s)}, {.elem = (out)}, {.source = &weft_source_futures})
WEFT_API extern const weft_source weft_source_futures;

/* --- tasks that end with a value --- */

/* What gives a value: 0, and *out is it (zeroes before); or a negative code, and the future fails with that (a positive one: WEFT_EINVAL). */
typedef int weft_future_fn(void *arg, void *out);
typedef int weft_future_map_fn(const void *value, void *out, void *arg);
typedef int weft_future_then_fn(int status, const void *value, void *out, void *arg);

/* weft_go_future - start a task, under the caller's context, that gives the value.
 *
 *   fn    fn(arg, out) runs on it
 *   arg   must live until fn has ended, which is not when the future has: of one that was cancelled, or freed, or left over by race, any or CANCEL_REST, the task may still run.
 *         So it is no variable of a frame that may be left before, unless every future was awaited and none cancelled. If fn is never called nobody frees it
 *   elem  bytes of the value, 0 to 65,535
 *
 * If fn panics the future ends with WEFT_EPANIC, if it ends the task (weft_task_exit) with WEFT_EBROKEN. If the future is cancelled, so is the task; if that
 * was before it ran fn is not called. Whoever does not want to know how it ends takes weft_go: to free the future cancels it. A task that is left behind when
 * the runtime goes down never ends its future: who waits from outside gives a deadline.
 *
 * Returns the future with one reference; NULL: memory is short, no runtime is up, its max_tasks are alive, or elem is out of range. Blocks: no. Threads: any.
 */
WEFT_API weft_future *weft_go_future(weft_future_fn *fn, void *arg, size_t elem);
WEFT_API weft_future *weft__go_future_at(weft_future_fn *fn, void *arg, size_t elem, const struct weft_site *site);

#ifndef __cplusplus
/* The same, for reports: where it is written. */
#define weft_go_future(fn, ...) weft__go_future_at(fn, __VA_ARGS__, WEFT__SITE(#fn))
#endif

/* weft_future_map - a future of what becomes of the value of f; weft_future_then - of how f ends, be it an error.
 *
 *   f     kept until the new one has ended; the caller's reference stays the caller's
 *   fn    map: fn(value, out, arg), not called if f fails: then the new one fails with the same. then: fn(status, value, out, arg), value NULL if status is not 0
 *   elem  bytes of the new value, 0 to 65,535
 *
 * fn runs on a task of its own, which starts (for reports, at the place of this call) when f has ended, under the context of who calls here; so it may wait, also for another future, whose value
 * becomes its own. Nothing waits until then. If no task can be started the new future fails with why: WEFT_ENOMEM, WEFT_EAGAIN (max_tasks), WEFT_ESRCH (no
 * runtime is up). As for cancel and exit, see weft_go_future; to cancel the new one leaves f alone, unless nobody else has a reference to it.
 *
 * Returns it with one reference; NULL: memory is short, elem is out of range, or f or fn is NULL. Blocks: no. Threads: any.
 */
WEFT_API weft_future *weft_future_map(weft_future *f, weft_future_map_fn *fn, void *arg, size_t elem);
WEFT_API weft_future *weft_future_then(weft_future *f, weft_future_then_fn *fn, void *arg, size_t elem);
WEFT_API weft_future *weft__future_map_at(weft_future *f, weft_future_map_fn *fn, void *arg, size_t elem, const struct weft_site *site);
WEFT_API weft_future *weft__future_then_at(weft_future *f, weft_future_then_fn *fn, void *arg, size_t elem, const struct weft_site *site);

#ifndef __cplusplus
#define weft_future_map(f, fn, ...) weft__future_map_at(f, fn, __VA_ARGS__, WEFT__SITE(#fn))
#define weft_future_then(f, fn, ...) weft__future_then_at(f, fn, __VA_ARGS__, WEFT__SITE(#fn))
#endif

WEFT_END_DECLS

#endif
