/* SPDX-License-Identifier: MIT
 *
 * config.h - every constant that shapes the runtime, with the small value the tests build with beside it.
 *
 * SMALL(normal, small): a build with -DWEFT_SMALL (meson -Dsmall=true) takes the second, so that rings overflow, slabs fill
 * and caches spill within a few operations.  Shrink constants in tests, not code.
 */
#ifndef WEFT_BASE_CONFIG_H
#define WEFT_BASE_CONFIG_H

#ifdef WEFT_SMALL
#define SMALL(normal, small) (small)
#else
#define SMALL(normal, small) (normal)
#endif

#ifndef NS /* weft.h gives users the same names */
#define NS 1LL
#define US (1000 * NS)
#define MS (1000 * US)
#define SEC (1000 * MS)
#endif

#define WORKERS_MAX 512 /* more in weft_opts or the environment is refused; what the machine has more is not used */
#define CPUS_MAX 4096   /* CPUs that can be told apart, a multiple of 64 */
#define NODES_MAX 64    /* NUMA nodes that have memory pools of their own; those above share them */

#define RUNQ_CAP SMALL(256, 4)                          /* tasks in a worker's ring; a power of two */
#define SLOT_RUN_MAX 8                                  /* runs out of the LIFO slot in a row before a wake goes to the tail */
#define TICK_SLOW 61                                    /* every so many schedules: injection queue, due timers, loop */
#define TICK_OLDEST SMALL(TICK_SLOW * 16384, TICK_SLOW) /* newest first: the oldest's turn after so many schedules, ... */
#define OLDEST_NS (20 * MS)                             /* ... or so long */
#ifndef PREFETCH_STACK
#define PREFETCH_STACK 2  /* how many tasks ahead of its turn a stack is fetched into the cache */
#define PREFETCH_RECORD 4 /* the same of a record */
#endif
#define LOOP_MOVE_AFTER 8 /* waits for a descriptor in a row on other workers than the one that hears of it: it moves to the last of them */
#define HEAR_MAX 5        /* loops of others that a worker asks before it sleeps, its own counted */
#define SEARCH_ROUNDS 4   /* times a searching worker asks every victim */
#define SLOT_WATCH_NS (10 * US) /* how long a searcher watches an owner that keeps a task to itself */

#define SPIN_NS (20 * US)       /* how long a worker looks on before it sleeps, at most, if that has paid lately */
#define SPIN_WORTH_NS (50 * US) /* it pays when a sleep was ended by new work so soon */

#define LOOKS_MAX 1000 /* looks in a watch or a spin, however long they take */

#define QUIET_TIMES 50       /* an owner that moved under watch is left in peace for so many times as long */
#define QUIET_MAX (1u << 15) /* schedules; a watch in which there were too many was a long one: the watcher was off its core */

#define RECORD_SLAB_SIZE SMALL(256 * 1024, 16 * 1024) /* bytes, a power of two, aligned to itself */
#define RECORD_CACHE SMALL(256, 4)                    /* free records a worker keeps; half goes back when it is full */
#define ID_BLOCK SMALL(1024, 4)                       /* task ids a worker takes at a time */

#define STACK_GUARD (64 * 1024) /* bytes below every stack that fault when touched */
#if defined(__aarch64__)
#define STACK_SKEW (64 * 1024) /* the largest page there is */
#else
#define STACK_SKEW 4096 /* one page more from stack to stack: their tops fall into different sets of the TLB */
#endif
#define STACK_LEND (48 * 1024)     /* of the guard, what a task gets that is to come back from a call before it is ended (core/contain.c) */
#define STACK_DEFAULT (192 * 1024) /* usable bytes at least; with guard and skew a slot reserves a little over 256 KiB */
#define STACK_MIN (16 * 1024)
#define STACK_MAX (1024 * 1024 * 1024LL)
#define STACK_SLAB_SLOTS SMALL(64, 4)                                   /* stacks of the default size in one mapping */
#define STACK_CACHE SMALL(64, 2)                                        /* hot stacks a worker keeps, last in first out */
#define STACK_QUARANTINE SMALL(64, 4)                                   /* stacks of tasks that have failed which are kept as they are */
#define STACK_QUARANTINE_NS (1 * SEC)                                   /* more are for so long */
#define STACK_QUARANTINE_BYTES (SMALL(256, 32) * (size_t)STACK_DEFAULT) /* but never more than these: they may be wholly committed */
#define STACK_COLOURS 16                                                /* stack tops differ by 0 .. COLOURS-1 cache lines */
#define STACK_TRIM_KEEP (16 * 1024)                                     /* bytes a stack in the shared pool may keep committed */

#define DECAY_NS (1 * SEC)         /* unused memory is given back at latest two of these after its last use */
#define TRIM_PARKED_NS (10 * SEC)  /* tasks that wait for so long give back what they do not use of their stacks */
#define UNEVEN 4u                  /* a worker with so many times as many tasks shares them with one that has work, too */
#define MONITOR_NS (5 * MS)        /* how often the monitor looks while any worker runs */
#define TRIM_BUSY_NS (200 * US)    /* its work on that a look, while anybody runs */
#define TRIM_IDLE_NS (10 * MS)     /* ... and while nobody does */
#define TRIM_SHARE 100             /* of the time until it does so again for that reason */
#define MONITOR_IDLE_NS (100 * MS) /* all idle for so long: the monitor sleeps too */

#define ENDING_NS (1 * SEC)       /* idle for so long: threads that are listed still are not about to be gone */
#define DEADLOCK_NS (20 * MS)     /* all idle for so long: can anything go on? */
#define LOOP_BUSY_NS (1 * MS)     /* a worker that does not run out of tasks asks its loop so often */
#define LOOP_BACKLOG_NS (10 * MS) /* and so often while many wait in the injection queue */
#define LOOP_EVENTS SMALL(128, 2) /* events a loop takes at a time */

#define SEATS_MAX_LEAST 64      /* seats there may be where the user does not say, if not more are asked for and there are not more CPUs */
#define SPARES 4                /* spare workers at once, where the user does not say */
#define RESCUE_LOOKS 4          /* all workers are stuck while work waits: is a spare one needed? asked at so many looks of the monitor */
#define RESCUE_CPU_NS (50 * MS) /* yes, if each sleeps in the system, or has computed for so long */
#define CALM_LOOKS 4            /* looks at which not all were stuck: one is given back */
#define FOLLOW_NS SMALL(1 * SEC, 50 * MS) /* how often the number of CPUs is looked at again */

#define REPORT_NS (10 * SEC)     /* one thread prints of the fault that ends the process: another's fault gives it so long */
#define EXIT_GRACE_NS (100 * MS) /* WEFT_MAIN: main has returned; tasks that still run get so long to park; under a sanitizer ten times */
#define STOP_NOTICE_NS (1 * SEC) /* weft_run: after so long it says for whom it waits */

#define LANE_FILE_MAX SMALL(32, 2)            /* threads for files */
#define LANE_DNS_MAX SMALL(64, 2)             /* ... for names */
#define LANE_USER_MAX SMALL(512, 4)           /* ... for users' blocking calls, if they do not say */
#define LANE_THREADS_MAX 1024                 /* of any lane, those included whose job nobody waits for any more */
#define LANE_IDLE_NS SMALL(10 * SEC, 50 * MS) /* a thread that had nothing to do for so long ends */

#define LOCK_PAUSE 32               /* spins between looks at a small lock that somebody holds: at first ... */
#define LOCK_PAUSE_MAX 128          /* ... and at most */
#define LOCK_SPINS 1500             /* spins until a thread sleeps on it */
#define LOT_BUCKETS SMALL(16384, 2) /* address-keyed wait queues */

#define MUTEX_FAIR_NS (1 * MS)   /* a mutex waiter older than this is handed the lock */
#define LOCAL_KEYS SMALL(256, 8) /* keys of task-local storage */
#define SELECT_INLINE 32         /* cases whose waiters fit the caller's frame; more are malloc'ed */

#endif
