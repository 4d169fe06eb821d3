/* SPDX-License-Identifier: MIT
 *
 * weft/pool.h - thread pools beside the workers: for code that blocks its thread, so many at a time, and for what belongs to a thread: a database handle, an OpenGL context, a library that is bound to one.
 *
 *     weft_pool *db;
 *
 *     weft_pool_make(&db, &(weft_pool_opts){.max = 4, .queue = 100, .name = "db", .init = connect, .fini = disconnect});
 *     rc = weft_pool_call(db, query, &q, &n);            the task waits, its worker does not
 *     weft_pool_submit(db, query, &q, &f);               or later: weft_future_await(f, &n)
 *     weft_pool_free(db);
 *
 * Threads are made when there is work and none is free, up to .max, and end when they have had nothing to do for a while. Jobs begin in the order in which they came. What a job does is
 * done off a task, as in weft_blocking (weft/blocking.h): it may use channels and locks, and then blocks that thread; it is not cancelled, and has no deadline; weft_task_exit and weft_task_panic are fatal.
 *
 * A future ends, and a task that waits goes on, when a worker has looked. What a thread outside, or a task of another runtime, has submitted or called needs none: it hears of it from the pool's own thread, also while all workers are busy. So a pool works while the runtime is
 * still paused (weft_opts.paused): init and the jobs of threads outside run, their calls return, their futures end, and the pool can be freed; tasks that follow upon these run later.
 *
 * WEFT_POOL_DEFAULT, which is NULL, is the pool that weft_blocking uses: of weft_opts.blocking_max threads, without a bound.
 *
 * A pool lives in a runtime. When that goes down, jobs that have not begun never do: their futures, and calls from outside, end with WEFT_EDOWN; weft_run waits for those under way, unless the pool .leaves them. What is
 * left then of a pool is its handle, which is still to be freed. The threads have ended, but for those that were left: each ends, and its fini runs, when its job returns.
 * With WEFT_EXIT_ON_IDLE that is not before all submitted jobs have run, those of pools that leave them not counted: they count as tasks do.
 *
 * A job (and what weft_blocking calls) that is under way when the runtime goes down can start no more tasks, actors, pools (WEFT_ESRCH); to wait for a task or an actor (weft_task_join, WEFT_EXIT in a select, weft_block_on, weft_actor_start, weft_actor_wait, a server's answer)
 * ends, with the code that each says for it, for no task runs any more. What else it may wait for, channels above all, others than tasks may see to, and weft_run waits until they do: close its channels before.
 */
#ifndef WEFT_POOL_H
#define WEFT_POOL_H

#include "export.h"
#include "future.h"
#include "task.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef struct weft_pool weft_pool;

#define WEFT_POOL_DEFAULT ((weft_pool *)0)
#define WEFT_POOL_THREADS_MAX 1024

enum weft_pool_full {
	WEFT_POOL_WAIT, /* who submits waits for room */
	WEFT_POOL_FAIL, /* ... or is told WEFT_EOVERLOAD */
};

typedef struct weft_pool_opts {
	int min; /* threads that are made at once, and do not end for want of work. One whose init fails is replaced when the next job comes */
	int max;   /* threads at most, up to WEFT_POOL_THREADS_MAX; 0: as many as there are processors, or .min if that is more */
	int queue; /* jobs that may wait for a thread; 0: any number; -1: none, which a free thread must take at once */
	enum weft_pool_full full; /* what happens to more */
	int64_t idle;             /* ns that a thread has nothing to do before it ends; 0: 10 s; WEFT_FOREVER: it does not. Real time */
	const char *name;         /* of the threads; copied, cut at 15 bytes; NULL: "weft-pool" */
	size_t stack;             /* bytes of each thread's stack, up to 1 GiB; 0: as the system says */
	const int *
		cpus; /* numbers of the processors that the threads may run on, n_cpus of them, among those of weft_opts.cpuset; copied; NULL and 0: any */
	int n_cpus;
	/* On each thread, first of all: what it needs, to be left in *local (NULL before), where weft_pool_local finds it. Negative: the thread cannot be had, and ends; if there is no other,
	 * the jobs that wait fail with that code. The next one that comes has another thread try. Else it has succeeded. Nobody waits for it: weft_pool_make returns before. The thread is one of the pool's already, but
	 * weft_pool_local is NULL: what init calls of its own pool runs there and then, without what it is about to make. */
	int (*init)(void **local, void *arg);
	void (*fini)(void *local, void *arg); /* last of all, unless init has failed */
	void *arg;                            /* of both */
	bool leaves; /* when the runtime goes down jobs under way are left, and not waited for: not those of weft_pool_call */
} weft_pool_opts;

/* weft_pool_make - a pool.
 *
 *   o  NULL: all as it comes
 *
 * Returns 0; WEFT_EINVAL: NULL, options out of range or that contradict each other, processors that the process, or the runtime, may not use; WEFT_ENOMEM; WEFT_EAGAIN: .min threads cannot be made (such as .stack says), or, with .cpus, not even one for a moment; WEFT_ESRCH: no runtime is up, or it goes down. On any
 * error *p is NULL.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_pool_make(weft_pool **p, const weft_pool_opts *o);

/* weft_pool_free - end a pool: nothing more is taken; what was is run; threads end; and that is waited for, also if the caller is cancelled. NULL is allowed.
 * weft_pool_free_until - the same with a grace: past the deadline, or when the caller is cancelled (or was before), jobs that have not begun are withdrawn, with WEFT_EDOWN, and what is under way is not waited for: it goes on, and its future ends,
 * as long as the runtime is up. So it may be using what it was given when this has returned.
 * Of a pool that has no threads both return 0 at once (to one of its runtime's tasks that may wait: when futures have ended that are about to).
 *
 * Whatever it returns but WEFT_EDEADLK, the handle is gone. Submitting meanwhile is WEFT_ECLOSED; afterwards it is an error that nobody notices.
 *
 * Return 0: all is over, and futures have ended (to a caller that is no task of its runtime, is cancelled, or past its deadline: those of jobs that tasks submitted may be about to: a worker tells); WEFT_EDEADLK: the caller is one of its threads; WEFT_ENOMEM: a thread outside has nothing to wait with, and what is under way goes on; WEFT_ETIMEDOUT, WEFT_ECANCELED: see above; WEFT_EAGAIN: the deadline WEFT_NOW: as past it.
 * Block: yes (blocking call). Threads: any.
 */
WEFT_API int weft_pool_free(weft_pool *p);
WEFT_API int weft_pool_free_until(weft_pool *p, int64_t deadline);

/* weft_pool_submit - have fn(arg) called on a thread of the pool.
 *
 *   out  receives its future, with one reference; what fn returns, whatever it is, is the value, an int. NULL: nobody wants to know
 *
 * To cancel the future, or to give back the last reference to it, withdraws the job, if it has not begun; one that has goes on, and what it returns is dropped. So arg must live until fn has ended, or until the pool has been freed, and not only until the
 * future has ended; if fn is never called nobody frees it.
 * A future fails with WEFT_EDOWN if the pool, or the runtime, has ended before its job began; or with what init has returned.
 *
 * Returns 0; else nothing was submitted, and *out is NULL: WEFT_EOVERLOAD: no room, and the pool says so (WEFT_POOL_FAIL); WEFT_EDEADLK: no room, and the caller is one of the threads that make it; WEFT_ECLOSED: the pool is being freed; WEFT_ESRCH: its runtime has
 * gone, or goes down; WEFT_EAGAIN: it has no thread, and the system gives none, or (deadline WEFT_NOW) no room; WEFT_EINVAL: fn NULL; WEFT_ENOMEM. Of the wait for room: WEFT_ETIMEDOUT, WEFT_ECANCELED.
 * Blocks: while there is no room (blocking call). Threads: any. Order: what the caller did before is seen by fn; what fn did is seen by whoever finds the future ended.
 */
WEFT_API int weft_pool_submit(weft_pool *p, weft_task_fn *fn, void *arg, weft_future **out);
WEFT_API int weft_pool_submit_until(weft_pool *p, weft_task_fn *fn, void *arg, weft_future **out, int64_t deadline);

/* weft_pool_call - call fn(arg) on a thread of the pool, and wait for it. A thread of the pool calls it itself.
 *
 *   ret  receives what it returns; NULL: not wanted
 *
 * weft_pool_call_until - the same; the deadline, as a cancel, is only for the wait until it begins: past it the call is given up, if it has not begun.
 *
 * Once it has begun it is waited for to its end, whatever becomes of deadline and context. No memory is allocated, unless a thread is made.
 *
 * Returns 0: it has run; or it has not, and will not: WEFT_ECANCELED, WEFT_ETIMEDOUT (before a thread was free), WEFT_EAGAIN (deadline WEFT_NOW, or the system gives no thread), WEFT_EDOWN: the pool, or the runtime, has ended; what init
 * has returned; WEFT_EOVERLOAD, WEFT_ECLOSED, WEFT_ESRCH, WEFT_EINVAL, WEFT_ENOMEM as above.
 * Blocks: yes (blocking call). Threads: any.
 */
WEFT_API int weft_pool_call(weft_pool *p, weft_task_fn *fn, void *arg, int *ret);
WEFT_API int weft_pool_call_until(weft_pool *p, weft_task_fn *fn, void *arg, int *ret, int64_t deadline);

/* weft_pool_local - in a job: what the init of its thread has left in *local. NULL: the caller is no thread of a pool's. */
WEFT_API void *weft_pool_local(void);

typedef struct weft_pool_stat {
	int threads, busy; /* now: alive; and with a job under way */
	int queued; /* jobs that have not begun: also one that a thread is on its way to, which the bound (.queue) does not count; who waits for room is not in it */
	int most_threads, most_queued; /* so far */
	uint64_t submitted;            /* jobs that were taken, calls among them */
	uint64_t ran;                  /* of these, have run */
	uint64_t withdrawn;            /* of these, never will */
	uint64_t refused;              /* jobs that found no room, and did not wait */
	uint64_t failed;               /* threads whose init has failed */
} weft_pool_stat;

/* weft_pool_stats - how a pool is doing; all of one moment. Blocks: no. Threads: any. */
WEFT_API void weft_pool_stats(weft_pool *p, weft_pool_stat *out);

WEFT_END_DECLS

#endif
