/* SPDX-License-Identifier: MIT
 *
 * weft/task.h - tasks: start, name, yield, sleep, park, join, cancel.
 *
 * A task is a function with a stack of its own. It stops running only in a blocking call or at its end. Every blocking call
 *   - parks the task, never the worker, and may go on on another worker: keep no address of a thread-local variable, errno's included, across one;
 *   - returns 0 or a count, or a negative code;
 *   - has a form X_until(..., deadline), absolute (weft_in(100 * WEFT_MS), not 100 * WEFT_MS): WEFT_NOW never waits (WEFT_EAGAIN), WEFT_FOREVER has no bound. Not those that
 *     wait for others to end whatever happens: weft_group_close, weft_group_map, weft_par_for, weft_gen_free, weft_block_on;
 *   - is a cancellation point: after WEFT_ECANCELED or WEFT_ETIMEDOUT nothing has happened, unless it says otherwise (TCP writes, generators, limiters, barriers, loops over tasks);
 *   - may be called from any OS thread; one that weft did not make sleeps on a futex instead.
 */
#ifndef WEFT_TASK_H
#define WEFT_TASK_H

#include "ctx.h"
#include "error.h"
#include "export.h"
#include "time.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef __cplusplus
#include "go.h"
#endif

WEFT_BEGIN_DECLS

typedef struct weft_task weft_task;
typedef int weft_task_fn(void *arg);

typedef struct weft_task_opts {
	const char *name; /* copied, cut at 31 bytes; NULL: the function's name where known */
	size_t stack;     /* usable bytes, 16 KiB to 1 GiB; 0: the runtime's default */
	int worker;       /* 1..n: start on that worker (it may move later), unless that one is stuck on a task; 0: anywhere */
	bool now;         /* run it at once; the caller goes on next, when it parks or ends. Tasks only, ignored with .worker */
	weft_ctx *ctx;    /* context to run under; NULL: the caller's */
} weft_task_opts;

enum weft_task_state {
	WEFT_TASK_NEW,      /* started, has not run yet */
	WEFT_TASK_RUNNABLE, /* in a queue */
	WEFT_TASK_RUNNING,  /* on a worker */
	WEFT_TASK_PARKED,   /* waits; weft_task_reason says for what */
	WEFT_TASK_DONE,     /* has ended */
};

/* weft_go(fn, args...) - start fn(args...) as a detached task: a macro, see weft/go.h.
 *
 * Returns 0; WEFT_ENOMEM; WEFT_EAGAIN when the runtime's max_tasks are alive; WEFT_ESRCH when no runtime is up.
 * Blocks: no. Threads: any. Order: what the caller did before is seen by fn.
 */

/* weft_go_opts - start fn(arg) as a task, with options.
 *
 *   out  receives a handle with one reference, which weft_task_join or weft_task_detach gives back; NULL: detached
 *   o    options; NULL: none
 *
 * Returns 0, or as weft_go; WEFT_EINVAL for a stack size or worker out of range. On error *out is NULL.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_go_opts(weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o);
WEFT_API int weft__go_opts_at(weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o, const struct weft_site *site);

#ifndef __cplusplus
/* The same, for reports: where it is written. */
#define weft_go_opts(out, fn, arg, ...) weft__go_opts_at(out, fn, arg, __VA_ARGS__, WEFT__SITE(#fn))
#endif

/* weft_task_join - wait until t has ended, and give its handle back.
 *
 *   ret  receives what its function returned, or gave to weft_task_exit; NULL: not wanted
 *
 * Returns 0; WEFT_ECANCELED, WEFT_ETIMEDOUT, WEFT_EAGAIN: then the handle is still the caller's; WEFT_EDEADLK for the caller itself. A thread
 * outside gets WEFT_ECANCELED, too, when the runtime went down before t had ended, then and from then on: what remains is weft_task_detach.
 * A handle that was given back is void: using it again is a fatal error, if it is noticed (the record may be another task's by then).
 * Blocks: yes (join). Threads: any, one at a time a handle. Order: all that t did is seen after it.
 */
WEFT_API int weft_task_join(weft_task *t, int *ret);
WEFT_API int weft_task_join_until(weft_task *t, int *ret, int64_t deadline);

/* weft_task_detach - give the handle back without waiting. The task goes on. NULL is allowed. */
WEFT_API void weft_task_detach(weft_task *t);

/* weft_task_self - the calling task, borrowed; NULL on an OS thread that runs none. */
WEFT_API weft_task *weft_task_self(void);

/* weft_task_id - its number, greater than 0, never used twice in a process, not consecutive. NULL: the caller's; 0 on an OS thread that runs none. */
WEFT_API uint64_t weft_task_id(weft_task *t);

/* weft_task_name - rename the calling task (copied, cut at 31 bytes). Returns 0, WEFT_ENOMEM, or WEFT_EINVAL off a task. */
WEFT_API int weft_task_name(const char *name);

/* weft_task_stateof - its state now (may have changed when you read it). weft_task_reason - what it waits for, in words ("chan send", "sleep"
 * ...); "" when it does not wait. */
WEFT_API enum weft_task_state weft_task_stateof(weft_task *t);
WEFT_API const char *weft_task_reason(weft_task *t);

/* weft_task_cancel - cancel one task: its blocking calls return WEFT_ECANCELED from now on. It alone: neither its context (weft_ctx_reason does not show it) nor the
 * tasks it has started.
 *
 * Returns 0, or WEFT_EALREADY if it was cancelled before or has ended. Blocks: no. Threads: any.
 */
WEFT_API int weft_task_cancel(weft_task *t);

/* weft_task_yield - let others run: the caller goes to the tail of its queue. Nothing to do off a task. */
WEFT_API void weft_task_yield(void);

/* weft_task_sleep - wait for at least ns nanoseconds; never less. ns <= 0 yields; INT64_MAX: for ever.
 *
 * Returns 0, WEFT_ECANCELED, or WEFT_ETIMEDOUT when the context's deadline came first. weft_task_sleep_until: until an absolute time.
 * Blocks: yes (sleep). Threads: any.
 */
WEFT_API int weft_task_sleep(int64_t ns);
WEFT_API int weft_task_sleep_until(int64_t deadline);

/* weft_task_park - wait for weft_task_unpark of the caller.
 *
 * There is one sticky permit a task: an unpark that comes first makes the next park return at once; two of them count as one.
 * Returns 0 (the permit is used up), WEFT_ECANCELED, WEFT_ETIMEDOUT, WEFT_EAGAIN; WEFT_EINVAL off a task.
 */
WEFT_API int weft_task_park(void);
WEFT_API int weft_task_park_until(int64_t deadline);

/* weft_task_unpark - give t its permit. t must be the caller's to name: a handle held, or a task known to be alive.
 * Blocks: no. Threads: any. Order: what the caller did before is seen when park returns. */
WEFT_API void weft_task_unpark(weft_task *t);

/* weft_task_exit - end the calling task with this result. Does not return. Off a task: a fatal error. */
WEFT_API void weft_task_exit(int result) __attribute__((noreturn));

/* weft_task_pin - stay on this worker, and so on this OS thread, until weft_task_unpin: around code that keeps something in thread-local storage, or
 * in the thread, from one blocking call to the next.
 *
 * Pins nest, up to 65535 deep, else it is a fatal error. A pinned task blocks as any other; when it goes on, it waits for its worker, however long that is busy (with a long computation, or in a system call),
 * though others may be idle. Each of its wake-ups costs some more. Off a task there is nothing to do: a thread stays what it is.
 * weft_task_unpin of a task that is not pinned is a fatal error. A task may end pinned.
 */
WEFT_API void weft_task_pin(void);
WEFT_API void weft_task_unpin(void);

/* weft_task_worker - the worker the caller runs on, 1 to n, as in weft_task_opts; it may be another after any blocking call. 0 off a task. */
WEFT_API int weft_task_worker(void);

/* weft_task_stack_left - bytes of stack the calling task has left; 0 on an OS thread that runs none. */
WEFT_API size_t weft_task_stack_left(void);

WEFT_END_DECLS

#endif
