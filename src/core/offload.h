/* SPDX-License-Identifier: MIT
 *
 * offload.h - calls that block their thread run on threads of their own, while the task that asked is parked.
 *
 * A lane is a pool of threads: one is made when a job waits and none is free, up to the lane's limit, and ends when it has been idle for a while, or the runtime goes
 * down. Lanes keep files, names and users' work from starving each other.
 *
 *   state  QUEUED -> RUNNING -> RAN -> OVER     a thread takes it, has run it, a worker has told who waits
 *          QUEUED -> OVER                       withdrawn before it began: it does not run
 *          QUEUED -> RAN                        the same, by the lane: it has rc
 *          RUNNING -> LEFT                      given up while it ran (drop): the thread calls drop
 *
 * A job that has begun is not given up, for it may be writing to the caller's memory: who waits, waits to its end, and so does the runtime that goes down. A job
 * that owns all it touches may be left behind instead (drop): its waiter goes at once, and drop is called when it has run, or instead of running.
 *
 * A foreign thread runs its job itself: it may block.
 *
 * Threads of a lane claim no wait of a task of its runtime, so that a worker that is alone stays so (base/solo.h): what has run goes to a queue of the runtime's, and workers look
 * there as they look into the injection queue. Of the jobs of foreign threads, which have ended elision when they came, they tell by themselves: these need no worker, which may be busy for long, or paused. So
 * they do of those of other runtimes' tasks, for where there are several nothing is elided.
 */
#ifndef WEFT_CORE_OFFLOAD_H
#define WEFT_CORE_OFFLOAD_H

#include "base/atomic.h"
#include "base/list.h"
#include "core/injectq.h"
#include "core/task.h"

struct runtime;
struct worker;

enum lane { LANE_FILE, LANE_DNS, LANE_USER, LANES };

struct lane_state;

struct job {
	void (*run)(struct job *j); /* on a thread of the lane, or the caller's */
	void (*drop)(
		struct job *j); /* NULL: it is waited for. Else it is on the heap, and this frees it when nobody else will; any thread */
	/* NULL: whoever submits it waits for it. Else a worker, or whoever takes the runtime down, calls this, once, and then drop; of a job that is left that one calls it, with an error, and its thread
	 * calls drop. If no task of the lane's runtime has submitted it the lane's thread may do so, too. rc: 0: it has run; or why it has not, or is left */
	void (*over)(struct job *j, int rc);
	/* offload.c's */
	struct inject_node next; /* link of the lane's queue, then of those that have run */
	ATOMIC(uint32_t) state;
	int rc; /* valid when it has run, or is over: 0; or why it has not run */
	struct lane_state *lane;
	struct job *room;       /* who has submitted it waits for room: told by this one; NULL: nobody does */
	unsigned home;          /* the worker it came from, of the lane's runtime */
	struct runtime *abroad; /* it is in the frame of a task of this one, which is not the lane's; else NULL */
	bool foreign;           /* from no task of the lane's runtime: whoever ends it tells of it */
	bool counts;            /* weft__offload_counted */
	struct weft_task *task; /* of a section (blocking.c): to be made runnable; else NULL */
	struct list waiters;    /* who waits: one at most; under lock */
};

/* Runs j on the lane and waits for it. run and drop are set.
 *
 * Returns 0: it has run, and is the caller's again; or an error: it has not run, and will not, or, with drop, is not the caller's any more: WEFT_ECANCELED, WEFT_ETIMEDOUT, WEFT_EAGAIN
 * (deadline WEFT_NOW, or no thread could be made), WEFT_ENOMEM. */
int weft__offload(enum lane lane, struct job *j, enum task_reason reason, int64_t deadline);

/* The same, but neither deadline nor cancel end it: for what must be done (close). If no thread can be made, it runs on the caller's. */
void weft__offload_shielded(enum lane lane, struct job *j, enum task_reason reason);

/* Queues j, of task or waited for later. Returns 0 or WEFT_EAGAIN. Caller: a task. */
int weft__offload_submit(enum lane lane, struct job *j, struct worker *w);

/* Tells those whose jobs have run. Returns whether there were any. */
bool weft__offload_collect(struct worker *w);

/* The runtime goes down, no worker runs: withdraws what waits, waits for what runs, ends the threads. */
void weft__offload_down(struct runtime *rt);

/* Threads of all lanes: they are none of the user's. */
int weft__offload_threads(void);

/* Jobs with `over` that have not been told of: who waits for what they do is in no deadlock. */
int weft__offload_pending(void);

/* Jobs that keep a runtime with WEFT_EXIT_ON_IDLE: those with `over`, of lanes of its that do not leave them. */
size_t weft__offload_counted(struct runtime *rt);

/* How many have ended: one that has may still be among the kernel's threads. */
uint32_t weft__offload_ends(void);
void weft__offload_one_ends(void); /* another thread of weft's is about to end, that nobody joins */

/* Whether the calling thread is one of a lane's. */
bool weft__offload_here(void);

/* A forked child, in which no runtime is up: it has none of the threads. */
void weft__offload_forked(void);

/* A runtime comes up: the limit of LANE_USER from the next job on. About to be published: jobs may come. */
void weft__offload_up(struct runtime *rt, unsigned threads);
void weft__offload_open(struct runtime *rt);

/* For tests: threads of a lane, jobs that wait for one. */
unsigned weft__offload_lane_threads(enum lane lane);
unsigned weft__offload_lane_queued(enum lane lane);

#endif
