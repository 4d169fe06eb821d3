/* SPDX-License-Identifier: MIT
 *
 * weft/several.h - several runtimes in one process.
 *
 *     weft_runtime *rt;
 *
 *     weft_make(&rt, &(weft_opts){.workers = 2});          up, on threads of its own
 *     weft_runtime_go(rt, NULL, serve, &requests, NULL);   a task of it
 *     chan_send(requests, &r);                             what they share are channels, locks, futures ...
 *     weft_free(rt, 5 * SEC);                              shut down, and gone
 *
 * For parts of a program that shall not take each other's workers, limits, or end: each runtime has workers, timers, loops, threads for what blocks, options and a shutdown of its own. The one of weft_run is the default
 * one; it need not be up. A library can have one that its user does not know of.
 *
 * A task is its runtime's for life: it is started, runs and ends there, and no other steals it. What it starts is its runtime's too, but for weft_runtime_go; so are its timers, connections' events, actors and
 * calls that block. What waits and wakes may be shared by tasks of all runtimes: channels, select, locks, groups, futures, contexts, mailboxes, handles of tasks; so may connections, pools and timers. Waking a
 * task of another runtime costs what waking one from a thread of yours does.
 *
 * When one goes down while others wait for its tasks: what has an owner says so, as when the task had not gone on (joins return WEFT_ECANCELED, what was asked of servers and pools WEFT_EDOWN, actors' watchers hear of it). A channel is
 * nobody's, nor is a promise whose holder never goes on (the future of a weft_go_future, say): who waits there goes on waiting, so give a deadline. A lock that a task held which has not ended stays locked; a direction of a connection that such a task was in is free again when its runtime has gone.
 * A context ends with the root of the runtime in which it was made, or the outermost above it was, and with it what runs under it anywhere; for good, and at the latest when that runtime has gone (weft_run's ends by weft_shutdown
 * only). No report of a deadlock is made while there are others than the default one.
 *
 * Threads of yours use the default one, unless they choose: weft_runtime_use. Where there is an argument weft_runtime *rt, NULL is the default one. There may be 31 beside it.
 * A rt that weft_free was called for must not be used, as any handle. Reports of them: weft_dump, and SIGQUIT, show the tasks of all.
 */
#ifndef WEFT_SEVERAL_H
#define WEFT_SEVERAL_H

#include "error.h"
#include "export.h"
#include "go.h"
#include "runtime.h"
#include "task.h"
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef struct weft_runtime weft_runtime;

/* weft_make - bring up another runtime, on threads of its own. It has no first task; what is started in it runs at once, or, with .paused, when weft_resume was called by a thread that uses it.
 *
 *   out  receives it; NULL on error
 *   o    options, as of weft_run; NULL: none. The environment counts, too. .exit and .no_deadlock mean nothing here; .stack_report is the process's, and only the first that comes up can turn it on
 *
 * It stays up until weft_free, also when there is nothing to do; weft_exit and weft_shutdown of one of its tasks end all that runs in it, and it is freed all the same.
 * Returns 0; WEFT_EINVAL: out is NULL, or as weft_run; WEFT_ENOMEM; WEFT_EAGAIN: there are 31, or a thread cannot be made; or what else weft_run returns when it does not come up. Then nothing is left of it.
 * A task that is left in this call, because its runtime goes down, leaves nothing: what it was about to get goes down by itself.
 * Blocks: the calling task, or thread, for some milliseconds. Threads: any, with and without a runtime; not a callback on a worker's own stack. Ownership: the caller's, weft_free.
 */
WEFT_API int weft_make(weft_runtime **out, const weft_opts *o);

/* weft_free - shut rt down, and wait until it is gone.
 *
 *   rt        of weft_make, nobody else's any more; NULL: nothing happens
 *   grace_ns  how long its tasks may take to end once they are cancelled (weft_shutdown); 0: they are cancelled, and not waited for; negative: not even cancelled, other than by weft_shutdown
 *
 * What has not ended then never goes on, as when weft_run returns. Returns 0; or WEFT_ETIMEDOUT: the grace was over first, and standard error says for whom; it is gone all the same. Or it is
 * not freed: WEFT_EDEADLK: the caller is a task of rt's, or on one of its threads for what blocks; WEFT_ENOMEM: for a thread that waits for the first time.
 * A task that is left in this call, because its own runtime goes down, gives no more grace; rt goes all the same, by itself.
 * Blocks: shielded from cancel, until rt's tasks have come to a point where they can be left, and the calls they made on other threads have come back. Threads: any but rt's.
 */
WEFT_API int weft_free(weft_runtime *rt, int64_t grace_ns);

/* weft_runtime_go - as weft_go_opts, in rt. The new task inherits the caller's context and values, wherever that runs; a handle works everywhere.
 * Returns what that does; WEFT_ESRCH: rt is not up any more, or (NULL) yet, or its result is decided and the caller is no task of it. Blocks: no; .now means nothing where rt is not the caller's. Threads: any. */
WEFT_API int weft_runtime_go(weft_runtime *rt, weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o);
WEFT_API int weft__runtime_go_at(weft_runtime *rt, weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o,
				 const struct weft_site *site);

#ifndef __cplusplus
#define weft_runtime_go(rt, out, fn, arg, ...) weft__runtime_go_at(rt, out, fn, arg, __VA_ARGS__, WEFT__SITE(#fn))
#endif

/* weft_runtime_self - the runtime of the calling task, or what the calling thread has chosen; NULL: the default one. Blocks: no. Threads: any. */
WEFT_API weft_runtime *weft_runtime_self(void);

/* weft_runtime_use - from here on the calling thread means rt by all that it asks weft for: tasks and timers it starts, descriptors it waits for, weft_stats, weft_shutdown, weft_block_on and the like.
 * Once rt is gone such calls return WEFT_ESRCH, until the thread chooses another. NULL: the default one, as at first.
 * Returns 0; WEFT_EINVAL: a task has no choice; WEFT_ESRCH: rt is not up. Blocks: no. Threads: those that are not weft's. */
WEFT_API int weft_runtime_use(weft_runtime *rt);

/* The same as weft_stats, weft_state, weft_shutdown_until and weft_dump, of rt; weft_runtime_dump shows the tasks of rt alone. Blocks, threads: as those. weft_runtime_shutdown_until by others than tasks of rt counts as a
 * thread's: rt goes down with its return, if it was the last. */
WEFT_API int weft_runtime_stats(weft_runtime *rt, weft_stat *out);
WEFT_API enum weft_state weft_runtime_state(weft_runtime *rt);
WEFT_API int weft_runtime_shutdown(weft_runtime *rt, int64_t grace_ns);
WEFT_API int weft_runtime_shutdown_until(weft_runtime *rt, int64_t deadline);
WEFT_API int weft_runtime_dump(weft_runtime *rt, int fd);

WEFT_END_DECLS

#endif
