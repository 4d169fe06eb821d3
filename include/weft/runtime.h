/* SPDX-License-Identifier: MIT
 *
 * weft/runtime.h - bring the runtime up, run a first task, take it down.
 */
#ifndef WEFT_RUNTIME_H
#define WEFT_RUNTIME_H

#include "error.h"
#include "export.h"
#include "task.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef struct weft_opts {
	int workers; /* OS threads that run tasks, 1..512; 0: WEFT_WORKERS, else as many as this process may use at once (CPU affinity and cgroup quota) */
	size_t stack;     /* usable stack bytes of a task; 0: WEFT_STACK, else 192 KiB */
	size_t max_tasks; /* tasks alive at once, then weft_go returns WEFT_EAGAIN; 0: WEFT_MAX_TASKS, else no limit */
	int blocking_max; /* threads for weft_blocking at once; 0: 512 */
	uint64_t seed;    /* of every random choice; 0: WEFT_SEED, else taken from the system */
	bool no_signals;  /* install no signal handlers: no report of stack overflows, no dump on SIGQUIT */
	bool no_deadlock; /* do not look for deadlocks */
} weft_opts;

/* weft_run - bring the runtime up, run fn(arg) as the first task, take the runtime down when it returns.
 *
 * The calling thread becomes worker 1. Tasks still alive when fn returns are not waited for: they never run again, and their stacks
 * are freed; a task that is running on another worker is waited for until it parks, yields or ends. What such tasks own (memory, descriptors) is not
 * freed for them. While tasks run the calling thread blocks all signals but those of faults; its mask is restored at the end, without a SIGPIPE that came of a task's write.
 *
 * Returns what fn returned, or gave to weft_exit; WEFT_EDEADLK when every task waits for another (a report is on standard error);
 * WEFT_ENOMEM, or another negative code, when it could not start; WEFT_EINVAL for options out of range; WEFT_EBUSY when a runtime is up.
 * Blocks: yes, the calling thread. Threads: one that runs no task.
 */
WEFT_API int weft_run(weft_task_fn *fn, void *arg, const weft_opts *o);

/* weft_exit - take the runtime down with this result, as if the first task had returned it. From a task it does not return; from another
 * thread it returns at once. Nothing happens when no runtime is up. */
WEFT_API void weft_exit(int result);

/* weft_block_on - run fn(arg) as a task and wait for it, from an OS thread that runs none.
 *
 *   ret  receives its result; NULL: not wanted
 *
 * Returns 0, or as weft_go; WEFT_ECANCELED when the runtime went down first; WEFT_EINVAL on a task.
 */
WEFT_API int weft_block_on(weft_task_fn *fn, void *arg, int *ret);

/* weft_dump - write every task to a descriptor: id, name, state, what it waits for and how long, where it was started, its stack.
 * Returns 0, or WEFT_ESRCH when no runtime is up. Threads: any. Safe while tasks run. */
WEFT_API int weft_dump(int fd);

/* weft_trim - give unused memory (stacks, records) back to the system now. */
WEFT_API void weft_trim(void);

typedef struct weft_stat {
	int workers;
	uint64_t started;   /* tasks started */
	uint64_t finished;  /* tasks that have ended */
	uint64_t switches;  /* times a task was given a worker */
	uint64_t steals;    /* times a worker took tasks from another */
	uint64_t sleeps;    /* times a worker went to sleep */
	uint64_t timers;    /* timers and deadlines that fired */
	size_t stacks;      /* stacks mapped */
	size_t stack_bytes; /* bytes they reserve, guards included */
	uint64_t faults;    /* tasks that have failed and were contained (weft_actor_opts.contain) */
	size_t quarantined; /* stacks of such, kept from use: the last 64, and those of the last second */
} weft_stat;

/* weft_stats - figures since the runtime came up; sums over workers, each a moment old. Returns 0, or WEFT_ESRCH. */
WEFT_API int weft_stats(weft_stat *out);

/* weft_version - "major.minor.patch" of the library that is linked. */
WEFT_API const char *weft_version(void);

WEFT_API int weft__run_main(int (*fn)(int, char **), int argc, char **argv);

WEFT_END_DECLS

/* WEFT_MAIN(argc, argv) { ... } - main() as the first task. The process exits with what it returns; 2 after a deadlock report; a negative
 * code of weft_run is printed and becomes exit status 1. Does not wait for tasks that are still running. */
#define WEFT_MAIN(argc, argv)                                                   \
	static int weft__user_main(int, char **);                               \
	int main(int weft__argc, char **weft__argv)                             \
	{                                                                       \
		return weft__run_main(weft__user_main, weft__argc, weft__argv); \
	}                                                                       \
	static int weft__user_main(int argc __attribute__((unused)), char **argv __attribute__((unused)))

#endif
