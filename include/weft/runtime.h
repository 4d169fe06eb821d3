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

/* In which order a worker that has run out of tasks asks the others for some. */
typedef enum weft_steal {
	WEFT_STEAL_DEFAULT, /* WEFT_STEAL (random, adaptive, near), else random */
	WEFT_STEAL_RANDOM,  /* all of them, from a random one */
	WEFT_STEAL_ADAPTIVE, /* first whoever gave something last; then the others from a random one, those that never have anything less often */
	WEFT_STEAL_NEAR, /* those on the same core, then those that share its last-level cache, its NUMA node, its package, and then the rest; sleepers nearby are woken first. From where workers
			    are pinned, else from where each ran last */
} weft_steal;

enum weft_exit {
	WEFT_EXIT_DEFAULT, /* what WEFT_EXIT says, "main" or "idle"; else WEFT_EXIT_ON_MAIN */
	WEFT_EXIT_ON_MAIN, /* weft_run returns when its first task does */
	WEFT_EXIT_ON_IDLE, /* weft_run returns, with the result of its first task, when that and all other tasks have ended */
};

/* Which of its runnable tasks a worker takes. Other workers take its oldest in any case. */
enum weft_order {
	WEFT_ORDER_DEFAULT, /* WEFT_ORDER (fifo, lifo), else FIFO */
	WEFT_ORDER_FIFO,    /* the oldest */
	WEFT_ORDER_LIFO /* the newest: a tree of tasks is walked in depth, and few of its tasks are alive at a time. One that yields goes behind all others (one of those has a turn
			       each 61 schedules at least), and after
			       20 ms, or a million schedules, it is the oldest's turn once, so that none waits for ever */
};

typedef struct weft_opts {
	int workers; /* OS threads that run tasks, 1..512, and not more than .workers_max, if that is said; 0: WEFT_WORKERS, else as many as this process may use at once (CPU affinity and cgroup quota) */
	size_t stack; /* usable stack bytes of a task, 16 KiB to 1 GiB, rounded up (weft_task_opts.stack); 0: WEFT_STACK, else 192 KiB */
	size_t max_tasks; /* tasks alive at once, then weft_go returns WEFT_EAGAIN; 0: WEFT_MAX_TASKS, else no limit */
	int blocking_max; /* threads for weft_blocking at once; 0: 512 */
	uint64_t seed;    /* of every random choice; 0: WEFT_SEED, else taken from the system */
	bool no_signals;  /* install no signal handlers: no report of stack overflows, no dump on SIGQUIT */
	bool no_deadlock; /* do not look for deadlocks */
	int workers_max; /* seats for workers, 1..512: what weft_workers_set and spares may use; 0: WEFT_WORKERS_MAX, else 64, or as many as there are workers or CPUs. What is not used costs address space only */
	int spares; /* workers more, at most, 1..512, while all are stuck in a task and others wait: see below; negative: none; 0: WEFT_SPARES, else 4, but none where 1 worker was asked for */
	const char *
		cpuset; /* CPUs that all of its threads keep to, as Linux writes them: "0-3,8"; NULL: WEFT_CPUSET, else all that the caller's thread may use. Borrowed for the call */
	bool pin_workers; /* each worker keeps to a CPU of its own, of those: first CPUs of cores before hyperthreads, near each other before far, the lowest number first; where there are more
			     workers than CPUs it begins again. false: WEFT_PIN (0 or 1), else not */
	weft_steal steal;
	const char *
		worker_name; /* what the names of workers' threads begin with, 1 to 11 bytes without control characters: "NAME-2" and so on (worker 1 of weft_run is the caller's thread, and keeps its name); the
				monitor's is "NAME-mon". NULL: "weft". Copied */
	/* ns that a task has to wait, in one wait, until the pages below its stack pointer are given back, which a deeper call before has touched: at least so long. Usually it is not more than twice that; but as
	 * that work takes some hundredths of one CPU's time at most while tasks run, it is later where thousands of stacks become due together. Sooner when no task of the process has run for some tenths of a second. Deep again, it touches them anew (some microseconds). A program whose tasks switch by themselves to
	 * stacks that are variables in a frame of the task's, and wait there, must say never: what is below the stack pointer is in use then (stacks from elsewhere are noticed). 0:
	 * WEFT_TRIM_PARKED, else 10 s; negative: never, as on systems without membarrier */
	int64_t trim_parked;
	bool stack_report; /* note how deep stacks are used, for weft_stack_report; starts and ends of tasks then cost microseconds. WEFT_STACK_REPORT=1: and print it at the end */
	bool paused;       /* no task runs before weft_resume */
	enum weft_exit exit;
	enum weft_order order;
} weft_opts;

/* weft_run - bring the runtime up, run fn(arg) as the first task, take the runtime down when it returns.
 *
 * The calling thread becomes worker 1. Tasks still alive when fn returns are not waited for (unless .exit says so, or weft_shutdown waits for them): they never run again, and their stacks
 * are freed; a task that is running on another worker is waited for until it parks, yields or ends. What such tasks own (memory, descriptors) is not
 * freed for them. While tasks run the calling thread blocks all signals but those of faults and SIGURG (by which dumps look at running tasks); its mask is restored at the end, without a SIGPIPE that came of a task's write.
 *
 * With a cpuset, or pinned, the calling thread gets its own set of CPUs back at the end. Threads that weft makes besides workers (for files, names, blocking calls) keep to the cpuset, and to
 * no worker's CPU; those that a task makes by itself (pthread_create, libuv's pool), and processes it forks, begin with what its worker keeps to, as is usual on Linux. weft_proc_spawn's begin with the cpuset.
 *
 * Returns what fn returned, or gave to weft_exit; WEFT_EDEADLK when every task waits for another (a report is on standard error);
 * WEFT_ENOMEM, or another negative code, when it could not start; WEFT_EINVAL for options out of range, and for a cpuset that is no list, or has a CPU that is not there or not
 * allowed (a line on standard error says which); WEFT_EINVAL for no fn; WEFT_EBUSY when one is up that weft_run has brought up (others: weft/several.h), or in a task.
 *
 * Numbers in the environment may be decimal, octal (010) or hexadecimal (0x10), as in C. Two descriptors stay open after the first runtime of a process: a pipe of libuv's.
 * Blocks: yes, the calling thread. Threads: one that runs no task.
 */
WEFT_API int weft_run(weft_task_fn *fn, void *arg, const weft_opts *o);

/* weft_workers_set - let so many workers run tasks from now on.
 *
 *   n  1..512, and at most weft_opts.workers_max; 0: as weft_opts.workers 0 says now, and it is followed again
 *
 * More: threads are made, or go on that were there before; they look for work at once. Fewer: the last ones stop running tasks at their next schedule, and give to others what they have; a task that does not come to one
 * is not waited for. A worker that was taken away keeps its thread, which sleeps, runs tasks pinned to it (weft_task_pin), and hears of descriptors and timers until these have moved or ended.
 * Until it is given back weft_task_opts.worker may not name it. From the first second worker on, locks and queues cost what they cost several workers, also when there is only one again.
 *
 * Where the number was not asked for (weft_opts.workers and WEFT_WORKERS), it follows CPU affinity and cgroup quota while the program runs, looked at once a second at most, and only by a process that is
 * awake; this call ends that, n = 0 begins it. Where all workers stand on tasks that do not come to a schedule, and others wait, a spare worker is taken up to weft_opts.spares: after 20 ms if all of them sleep in the system,
 * else when those that do not have computed for 50 ms. It goes when one of the others moves again.
 *
 * Returns 0; WEFT_EINVAL for n out of range; WEFT_ESRCH when no runtime is up, or it goes down; WEFT_ENOMEM, WEFT_EAGAIN, WEFT_EMFILE ... when a thread or what it needs could not be made: then
 * the same workers run tasks as before, and threads that have been made until then sleep, for the next one who asks for more.
 * Blocks: no, but for the time it takes to make threads. Threads: any.
 */
WEFT_API int weft_workers_set(int n);

/* weft_exit - take the runtime down with this result, as if the first task had returned it. From a task it does not return; from another
 * thread it returns at once. Nothing happens when no runtime is up. */
WEFT_API void weft_exit(int result);

/* .exit = WEFT_EXIT_ON_IDLE. The end is exact: no task that another has started, or a timer, is lost. (One that a foreign thread starts just when all others have ended may be: let the first task wait for such threads.) What counts as a task: one that
 * runs, waits (for a blocking call, a name, a child process, ...), or has not begun; a job that was submitted to a pool (unless that .leaves it), until its future has ended; and a timer that will start one (weft_timer_after, weft_ctx_on_done of a context with a deadline), as long as it is set, unless to never. What does not:
 * timers and tickers with a channel, calls that a task has left behind, and weft's own tasks that hand on signals and look after children. Tasks that wait for each other are a deadlock, as ever; so are
 * actors, servers and supervisors that are left, which are tasks that wait for messages: stop them, or the end is WEFT_EDEADLK, with a report.
 *
 * .paused. The runtime is up: other threads may start tasks, set timers, ask for figures and dumps, and end it (weft_exit, weft_shutdown). Nothing runs, the first task neither, and no
 * timer goes off, before weft_resume: then what is due. Nobody wakes meanwhile, and nobody calls it a deadlock. Threads of pools are no workers: what other threads submit there runs, and is told of (weft/pool.h). */

enum weft_state {
	WEFT_STATE_DOWN,     /* no runtime is up, or not yet */
	WEFT_STATE_PAUSED,   /* up, and waits for weft_resume */
	WEFT_STATE_RUNNING,  /* up */
	WEFT_STATE_STOPPING, /* weft_shutdown was called, or its result is decided; until weft_run is about to return */
};

/* weft_state - in which state the runtime is: one moment ago, when it is not this thread that changes it. Blocks: no. Threads: any. */
WEFT_API enum weft_state weft_state(void);

/* weft_resume - let a runtime run that was brought up with .paused.
 * Returns 0; WEFT_EALREADY: it is not paused; WEFT_ESRCH: none is up. Blocks: no. Threads: any. Order: what the caller did before is seen by all tasks. */
WEFT_API int weft_resume(void);

/* A task, as it was when it was looked at. */
typedef struct weft_task_info {
	uint64_t id;
	char name[32]; /* its own, or that of its function; cut where it is longer; "" when neither is known */
	enum weft_task_state state;
	const char *reason; /* what it waits for (weft_task_reason); "" when it does not. Static */
	const char *file;   /* where it was started; NULL: not known. The program's */
	int line;
	int64_t waited; /* ns it has waited; 0 when it does not */
} weft_task_info;

/* weft_shutdown - end all other tasks, and then the runtime.
 *
 *   grace_ns  how long they may take; 0 or less: they are told, and not waited for
 *   deadline  the same as a point in time
 *   out, max  room for max stragglers, at least 1; *n receives how many there are, which may be more
 *
 * Cancels the root context with WEFT_REASON_SHUTDOWN: every task, but in a shield (WEFT_WITH_SHIELD) or under a context that is apart (weft_ctx_without_cancel), and every context below the root; tasks that are started later are
 * born cancelled. Then waits until all tasks but those that are in weft_shutdown themselves have ended. What is set up to happen later (timers) is not waited for, callbacks of contexts that it cancels (weft_ctx_on_done) are. A paused runtime is resumed, so that each task can give back what it was given.
 *
 * If the grace is over first, writes to standard error which tasks have not ended, each as in weft_dump; weft_shutdown_list fills in out instead (for their stacks, too, call weft_dump after it).
 *
 * The runtime then goes down when the last of the callers of weft_shutdown ends: a task that has called it may go on as the last one (it is cancelled, like all: WEFT_WITH_SHIELD around what shall wait), and its end stops the
 * runtime, as weft_exit does at any time; for another thread its return does. The end of the first task alone stops it no more. weft_run returns what the first task has returned, if it has, else WEFT_ETIMEDOUT.
 * Stragglers never run again then, as ever.
 *
 * Returns 0: all have ended; WEFT_ETIMEDOUT; WEFT_ECANCELED: the runtime was going down already, or did meanwhile, by weft_exit; WEFT_ESRCH: none is up; WEFT_EINVAL: no room, no n, or within weft_blocking, whose task it would wait for; WEFT_ENOMEM.
 * Blocks: yes (shutdown), also a caller that is cancelled. Threads: any.
 */
WEFT_API int weft_shutdown(int64_t grace_ns);
WEFT_API int weft_shutdown_until(int64_t deadline);
WEFT_API int weft_shutdown_list(int64_t deadline, weft_task_info *out, int max, int *n);

/* weft_block_on - run fn(arg) as a task and wait for it, from an OS thread that runs none.
 *
 *   ret  receives its result; NULL: not wanted
 *
 * Returns 0, or as weft_go; WEFT_ECANCELED when the runtime went down first; WEFT_EINVAL on a task, or for no fn.
 */
WEFT_API int weft_block_on(weft_task_fn *fn, void *arg, int *ret);

/* weft_dump - write every task to a descriptor: id, name, state, what it waits for and how long, where it was started, its stack.
 * Returns 0; WEFT_ESRCH when no runtime is up; WEFT_ENOMEM; or what the system says when the descriptor does not take all of it (WEFT_EBADF, WEFT_EPIPE ...), WEFT_ETIMEDOUT when a reader
 * has taken nothing for a second. Threads: any. Safe while tasks run. */
WEFT_API int weft_dump(int fd);

/* weft_trim - give memory back to the system now that no task has: stacks and records of tasks that have ended. What tasks that wait do not use of theirs goes by weft_opts.trim_parked. Blocks: no. Threads: any. */
WEFT_API void weft_trim(void);

/* How deep the tasks were that were started at one place. */
typedef struct weft_stack_use {
	const char *fn;   /* the function, as it is written there; NULL: not known. It and the next belong to the program */
	const char *file; /* NULL: not known, as of the first task */
	int line;
	uint64_t ended; /* tasks of that place that have ended */
	uint64_t alive; /* ... that have begun, and have not */
	size_t deepest; /* bytes of its stack that one of them has used, ended or not */
	size_t size; /* bytes of stack that they had, which may be more than they have asked for (weft_task_opts.stack); of different ones, the most */
	size_t suggested; /* weft_task_opts.stack for them: the least of 64, 192 (the default), 448, 960 ... KiB, which is what there is, in which half as much again as `deepest` fits */
} weft_stack_use;

/* weft_stack_uses - how deep stacks were used, by place, the deepest first. What counts are the bytes that a task has written, not what it has only reserved.
 *
 *   out  receives the first `max` places; NULL with 0: only how many there are is asked
 *
 * Returns how many places there are; WEFT_ENOTSUP when weft_opts.stack_report was not set; WEFT_ENOMEM, also for want of a descriptor where the kernel lets nobody look without one. From the runtime's start until the next one's: tasks that
 * are alive count as they are now. Blocks: no. Threads: any, but not while a runtime comes up.
 */
WEFT_API int weft_stack_uses(weft_stack_use *out, int max);

/* weft_stack_report - write that to a descriptor, as a table. Returns 0, or as weft_stack_uses; as weft_dump when the descriptor does not take all of it. */
WEFT_API int weft_stack_report(int fd);

typedef struct weft_stat {
	int workers;        /* that run tasks, without spares: what was asked for, or the machine has room for */
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
	int spares;         /* workers there are just now because others are stuck */
	uint64_t rescues;   /* times one was taken */
	uint64_t trimmed;   /* long waits from whose stacks unused pages were given back, if there were any (weft_opts.trim_parked) */
} weft_stat;

/* weft_stats - figures since the runtime came up; sums over workers, each a moment old. Returns 0, WEFT_ESRCH, or WEFT_EINVAL for NULL. */
WEFT_API int weft_stats(weft_stat *out);

/* weft_node - the NUMA node of the CPU that the caller runs on, 0 to weft_nodes() - 1; it may be another after any blocking call, and on a thread that is not bound at any time.
 * weft_nodes - one more than the highest number of a node of this machine; not each need have a CPU, or exist. 1 where nothing is known.
 *
 * Tasks' stacks and records come from the node of the worker that takes them. For a channel: weft_chan_opts.node = 1 + weft_node().
 * Blocks: no, but the first call may read files. Threads: any, with and without a runtime.
 */
WEFT_API int weft_node(void);
WEFT_API int weft_nodes(void);

/* weft_version - "major.minor.patch" of the library that is linked. */
WEFT_API const char *weft_version(void);

WEFT_API int weft__run_main(int (*fn)(int, char **), int argc, char **argv);

WEFT_END_DECLS

/* WEFT_MAIN(argc, argv) { ... } - main() as the first task. The process exits with what it returns; 2 after a deadlock report; a negative
 * code of weft_run is printed and becomes exit status 1. Tasks that still run then get a tenth of a second to park, yield or end; it exits all the same. */
#define WEFT_MAIN(argc, argv)                                                   \
	static int weft__user_main(int, char **);                               \
	int main(int weft__argc, char **weft__argv)                             \
	{                                                                       \
		return weft__run_main(weft__user_main, weft__argc, weft__argv); \
	}                                                                       \
	static int weft__user_main(int argc __attribute__((unused)), char **argv __attribute__((unused)))

#endif
