/* SPDX-License-Identifier: MIT
 *
 * weft/task.h - tasks: start, name, yield, sleep, park, join, cancel.
 *
 * A task is a function with a stack of its own. It stops running only in a blocking call or at its end. Every blocking call
 *   - parks the task, never the worker, and may go on on another worker: keep no address of a thread-local variable, errno's included, across one;
 *   - returns 0 or a count, or a negative code;
 *   - has a form X_until(..., deadline), absolute (weft_in(100 * WEFT_MS), not 100 * WEFT_MS): WEFT_NOW never waits (WEFT_EAGAIN), WEFT_FOREVER has no bound. Not weft_gen_yield,
 *     and not those that wait whatever happens: weft_group_close, weft_group_map, weft_par_for, weft_gen_free, weft_stream_free, weft_file_close, weft_file_unlock, weft_signal_stop, weft_tcp_serve,
 *     weft_tcp_serve_addr, weft_block_on, weft_make, weft_free;
 *   - is a cancellation point: after WEFT_ECANCELED or WEFT_ETIMEDOUT nothing has happened, unless it says otherwise (TCP writes, generators, limiters, barriers, loops over tasks);
 *   - may be called from any OS thread; one that weft did not make sleeps on a futex instead, and gets WEFT_ENOMEM, also where a call does not list it, when there is no memory for the record by
 *     which it waits.
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

/* Classes of tasks, and of messages (weft/actor.h), which may be URGENT, too. While tasks of all three are runnable on a worker, it runs 64 HIGH ones and 8 NORMAL ones for each LOW one; where two wait, 8 HIGH to one NORMAL, 8 NORMAL to
 * one LOW, 64 HIGH to one LOW. So none starves; and a class whose turn is due comes first once, so that of tasks that become runnable together the first to run may be a LOW one. Nobody is interrupted for a HIGH task: it comes next when the running one parks, yields or ends, or a sleeping worker is woken
 * for it. Each worker weighs those that it has: it takes no others as long as one of them is runnable, also one that only yields (but NORMAL ones from one that has many times as many, if it has no HIGH one: see weft_task_yield), and on another worker LOW ones may go on faster than HIGH ones here. Workers without work take any. What a class means in time depends on how long its tasks run; who holds a lock runs in its own class. */
enum weft_prio { WEFT_PRIO_URGENT = -2, WEFT_PRIO_HIGH = -1, WEFT_PRIO_NORMAL = 0, WEFT_PRIO_LOW = 1 };

/* Where a task starts. */
enum weft_where {
	WEFT_WHERE_LOCAL, /* in the caller's worker's queue, where its data is; others may take it. Of a thread that is no worker: as GLOBAL */
	WEFT_WHERE_GLOBAL, /* in the queue of the runtime: on whichever worker comes first; one that has work of its own looks there now and then */
};

typedef struct weft_task_opts {
	const char *name; /* copied, cut at 31 bytes; NULL: the function's name where known */
	/* usable bytes, 16 KiB to 1 GiB; 0: the runtime's default. Rounded up: with its guard of 64 KiB a stack takes a power of two of address space, from 128 KiB on, so that 64, 192, 448, 960 ... KiB
	 * are what there is (1 MiB: 1984 KiB; 1 GiB: 2 GiB - 64 KiB). Memory is taken as it is touched */
	size_t stack;
	int worker; /* 1..n, the workers there are now: start on that one (it may move later), unless it is stuck on a task, or retired before it comes to it; 0: anywhere. What is placed is found
		       within 61 schedules of that worker, also if it is of class HIGH */
	bool now;   /* run it at once; the caller goes on next, when it parks or ends. Tasks only, ignored with .worker */
	weft_ctx *ctx;         /* context to run under; NULL: the caller's */
	enum weft_prio prio;   /* its class; not inherited: 0 is NORMAL, whatever the caller's */
	enum weft_where where; /* not together with .worker; ignored with .now on a task */
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
 * Returns 0; WEFT_ENOMEM; WEFT_EAGAIN when the runtime's max_tasks are alive; WEFT_ESRCH when no runtime is up, or (a thread outside) its result is decided: the task would never run.
 * Blocks: no. Threads: any. Order: what the caller did before is seen by fn.
 */

/* weft_go_opts - start fn(arg) as a task, with options.
 *
 *   out  receives a handle with one reference, which weft_task_join or weft_task_detach gives back; NULL: detached
 *   o    options; NULL: none
 *
 * Returns 0, or as weft_go; WEFT_EINVAL for no fn, a stack size, worker, class or place out of range, or a place with .worker. On error *out is NULL.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_go_opts(weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o);
WEFT_API int weft__go_opts_at(weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o, const struct weft_site *site);

#ifndef __cplusplus
/* The same, for reports: where it is written. */
#define weft_go_opts(out, fn, arg, ...) weft__go_opts_at(out, fn, arg, __VA_ARGS__, WEFT__SITE(#fn))
#endif

/* weft_go_batch - start n tasks fn(args[i]), or none: what they need is taken for all of them before the first begins, and sleeping workers are woken in one go.
 *
 *   args  n pointers, read during the call; NULL: each gets NULL
 *   out   receives n handles, as of weft_go_opts; NULL: detached
 *   o     options of each; NULL: none. .now cannot be; .stack: all stacks are mapped at once
 *
 * What is taken is touched: 256 bytes a task, more with a name, a stack or inherited values; so both time and memory go with n. More than the machine has, swap included, or than the process can
 * map is refused before any of it is touched; a limit that ends the process instead (of a cgroup) is not seen. What was taken before a failure is given back, to the system but for what caches keep.
 *
 * Returns 0, also for n = 0; WEFT_ENOMEM; WEFT_EAGAIN when max_tasks would be exceeded; WEFT_ESRCH as weft_go (for n = 0, too); WEFT_EINVAL for no fn, .now, more than 2^31 - 1 tasks, or options
 * out of range. On error all of out[] are NULL.
 * Blocks: no. Threads: any. Order: what the caller did before is seen by each.
 */
WEFT_API int weft_go_batch(weft_task_fn *fn, void *const *args, size_t n, weft_task **out, const weft_task_opts *o);
WEFT_API int weft__go_batch_at(weft_task_fn *fn, void *const *args, size_t n, weft_task **out, const weft_task_opts *o,
			       const struct weft_site *site);

#ifndef __cplusplus
#define weft_go_batch(fn, args, n, out, ...) weft__go_batch_at(fn, args, n, out, __VA_ARGS__, WEFT__SITE(#fn))
#endif

/* weft_task_join - wait until t has ended, and give its handle back.
 *
 *   ret  receives what its function returned, or gave to weft_task_exit; NULL: not wanted
 *
 * Returns 0; WEFT_ECANCELED, WEFT_ETIMEDOUT, WEFT_EAGAIN: then the handle is still the caller's; WEFT_EINVAL for NULL, or a task without a handle (weft_task_self of a detached one); WEFT_EDEADLK for the caller itself. A thread
 * outside, or a task of another runtime, gets WEFT_ECANCELED, too, when the runtime went down before t had ended, then and from then on: what remains is weft_task_detach.
 * A handle that was given back is void: using it again is a fatal error, if it is noticed (the record may be another task's by then).
 * Blocks: yes (join). Threads: any, one at a time a handle. Order: all that t did is seen after it.
 */
WEFT_API int weft_task_join(weft_task *t, int *ret);
WEFT_API int weft_task_join_until(weft_task *t, int *ret, int64_t deadline);

/* weft_task_detach - give the handle back without waiting. The task goes on. NULL is allowed. A task that never had a handle (weft_task_self of one that weft_go has started) is a fatal error. */
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
 * Returns 0; WEFT_EALREADY if it was cancelled before or has ended; WEFT_EINVAL for NULL. Blocks: no. Threads: any.
 */
WEFT_API int weft_task_cancel(weft_task *t);

/* weft_task_yield - let others run: the caller goes to the tail of its worker's queue. (Where that leaves one worker with few tasks that only yield and another with many, NORMAL ones, the one takes half of those within some milliseconds.) Nothing to do off a task. */
WEFT_API void weft_task_yield(void);

/* weft_task_prio - put t, NULL: the caller, into another class: from its next wake-up, or yield, on. A runnable task stays where it is until then. While
 * a task is pinned its class is kept among those pinned to its worker.
 *
 * weft_task_prioof: the class of t, NULL: the caller's; NORMAL off a task.
 * Returns 0; WEFT_EINVAL for another value, or NULL off a task. Of a task that has ended nothing changes. t must be the caller's to name, as for weft_task_unpark.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_task_prio(weft_task *t, enum weft_prio prio);
WEFT_API enum weft_prio weft_task_prioof(weft_task *t);

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

/* weft_task_worker - the worker the caller runs on, 1 to n, as in weft_task_opts; it may be another after any blocking call. Above n, and at most weft_opts.workers_max: a spare, or one that was
 * retired (weft_workers_set). 0 off a task. */
WEFT_API int weft_task_worker(void);

/* weft_task_stack_left - bytes of stack the calling task has left; 0 on an OS thread that runs none. */
WEFT_API size_t weft_task_stack_left(void);

WEFT_END_DECLS

#endif
