/* SPDX-License-Identifier: MIT
 *
 * lane.h - a lane as those see it that make it work (lane_thread.c, offload.c, offload_down.c), and lanes that are made while a runtime is up, for pools (lane.c, sync/pool.c).
 *
 * Such a lane is one of its runtime, and ends with it.  What it has besides those of offload.c: a least number of threads, which do not end for want of work; what each of them does first and last; a bound on
 * the jobs that wait.
 *
 *   references   the handle's; each job's that is the lane's (it comes with the memory of its future); and one while it is listed among the lanes of the runtime
 *   closing      no more jobs are taken.  Its threads end when there is nothing to do; the last of them has `gone` run, that is, told by a worker, who takes it off the list; or it tells whoever waits
 *                for its end and is no task of its runtime, who does the same (gone.foreign).  A worker has it only when every job that has an owner has been told of (untold): another one may
 *                be at that still
 *   down         the runtime has gone.  Threads whose jobs were left live on, and the last of them gives the reference back
 *
 * The bound. A job for which a thread is free, or can be made, has room; so it has while fewer wait than may, those not counted for which threads are on their way.  Else it stands outside, in line, and whoever
 * submits it waits for a job in its own frame (job.room), which is told like any that has run when a thread has made room.
 */
#ifndef WEFT_CORE_LANE_H
#define WEFT_CORE_LANE_H

#include "base/list.h"
#include "base/lock.h"
#include "core/offload.h"
#include <pthread.h>
#include <signal.h>

#define LANE_UNBOUNDED (1u << 30)

enum { QUEUED, RUNNING, RAN, OVER, LEFT, OUTSIDE }; /* a job's state */

struct lane_hooks {
	int (*init)(void **local, void *arg); /* first of all on each thread; negative: it cannot be one. NULL: nothing to do */
	void (*fini)(void *local, void *arg); /* last of all, if that was not */
	void *arg;
};

struct lane_thread {
	struct lane_thread *next; /* in the lane's list of the idle, or of the ended */
	struct lane_state *lane;
	pthread_t id;
	ATOMIC(uint32_t) word; /* futex: TAKEN, SPINS, SLEEPS; written under lock */
	int64_t spin_ns;       /* how long it looks on before it sleeps; its own */
	void *local;           /* what init has left there; its own */
};

struct lane_state {
	struct runtime *rt; /* whose it is; constant */
	const char *name;
	unsigned max;
	struct lock lock;                 /* RANK_LOT; guards the rest */
	struct inject_node *first, *last; /* jobs that wait */
	struct inject_node *busy;         /* jobs under way that somebody waits for */
	struct inject_node
		*owed; /* jobs from outside its runtime that are over, and to be told of by whoever has the lock, when it has dropped it */
	unsigned queued;
	struct lane_thread *idle;  /* most recent first */
	struct lane_thread *ended; /* to be joined */
	unsigned threads;          /* alive */
	unsigned running;          /* how many are busy */
	unsigned left;             /* jobs under way that nobody waits for */
	unsigned leaving;          /* of the threads, those that have found nothing to do, and are at their last */
	unsigned coming;           /* threads that were made or taken, and have not looked at the queue since */
	bool closing;              /* idle threads shall end; no job is taken */
	/* of a lane that was made at run time; the first three: constant */
	bool own;
	unsigned min;
	unsigned bound;                          /* jobs that may wait; LANE_UNBOUNDED: any number. Of all lanes */
	int64_t idle_ns;                         /* of all lanes; constant */
	struct inject_node *outside, *outsiders; /* first and last of the jobs that have no room */
	bool leaves;                             /* jobs under way are left when the runtime goes down; constant */
	bool waits;                              /* who finds no room waits; constant */
	bool called_off, down;                   /* its runtime goes down; has gone. Of all lanes */
	bool told;                               /* `gone` is under way, or over; or shall be when none is untold */
	ATOMIC(uint32_t) untold;                 /* jobs with an owner who has not been told, but `gone`; and 1 until `gone` may be */
	struct lane_hooks hooks;                 /* constant */
	pthread_attr_t *attr;                    /* of its threads; NULL: as usual; constant */
	bool placed;                             /* attr says on which CPUs; constant */
	struct job gone;                         /* its last thread has ended */
	struct list_node link;                   /* among the runtime's; under the lock of the list */
	ATOMIC(uint32_t) refs;
	/* figures */
	unsigned most_threads, most_queued;
	uint64_t submitted, ran, withdrawn, refused, failed_threads;
};

/* --- lane_thread.c. Its lock is held, where nothing else is said --- */
static inline struct job *job_of(struct inject_node *n)
{
	return n ? container_of(n, struct job, next) : NULL;
}

void weft__lane_enqueue(struct lane_state *l, struct job *j); /* appends j */
void weft__lane_unqueue(struct lane_state *l, struct job *j); /* takes j, which has not begun, out: OVER */
struct job *weft__lane_take_job(struct lane_state *l);        /* the oldest that waits; NULL: none */
void weft__lane_let_one_in(struct lane_state *l);             /* the first of those outside comes in */
void weft__lane_take_out(struct inject_node **first, struct inject_node **last, struct job *j); /* j out of a list */
void weft__lane_leave_behind(struct lane_state *l,
			     struct job *j); /* nobody waits any more for j, which is under way: its thread will drop it */

/* j has run, or shall not (rc): whoever waits for it is told, or will be; weft__lane_pay is due. */
void weft__lane_pass_on(struct lane_state *l, struct job *j, int rc);

/* May there be one thread more? */
bool weft__lane_may_grow(const struct lane_state *l);

/* One more thread. Returns whether it could be made. */
bool weft__lane_grow(struct lane_state *l);

/* No more jobs are taken; idle threads end. rc not 0: and what waits is told that. weft__lane_pay is due. */
void weft__lane_close(struct lane_state *l, int rc);

/* An idle thread is told to look. There is one. Returns it, if it sleeps: it is to be woken. */
struct lane_thread *weft__lane_take_idle(struct lane_state *l);

/* Those that have ended, to be joined: locked; and joins them, unlocked. */
struct lane_thread *weft__lane_take_ended(struct lane_state *l);
void weft__lane_join(struct lane_thread *t);

/* The last of its threads has ended, and it takes no more jobs: a worker shall see to the rest, when none is untold; or who waits for that (gone.foreign). The runtime is up. */
void weft__lane_tell_gone(struct lane_state *l);

/* One less is untold. Not locked; l stays. */
void weft__lane_one_told(struct lane_state *l);

/* The calling thread's; NULL: it is none of a lane's. */
struct lane_thread *weft__lane_thread(void);
static inline struct lane_state *weft__lane_of(const struct lane_thread *t)
{
	return t->lane;
}

/* Blocks all signals but those of faults, for a thread that is made meanwhile. */
void weft__lane_mask(sigset_t *before);

/* The first runtime comes up; a forked child. */
void weft__lane_threads_up(void);
void weft__lane_threads_forked(void);

/* --- offload.c --- */
struct lane_state *weft__lane(enum lane lane); /* of the caller's runtime */

/* Queues j on any lane. w: the caller's worker, or NULL. Returns 0; WEFT_EAGAIN: no thread can be made; WEFT_ESRCH: no runtime is up; WEFT_ECLOSED: it is being ended; WEFT_EOVERLOAD: no room; WEFT_EBUSY: none, and
 * j stands outside: room, which is set in j then, is to be waited for. */
int weft__lane_submit(struct lane_state *l, struct job *j, struct job *room, struct worker *w);

/* As weft__offload, from tasks and from foreign threads, whose jobs run on the lane, too. j has neither drop nor over. */
int weft__lane_run(struct lane_state *l, struct job *j, enum task_reason reason, int64_t deadline);

/* Waits until somebody says that j is over: also a foreign thread. Returns 0, or what ends a wait; shielded: nothing but the deadline. */
int weft__job_wait(struct job *j, enum task_reason reason, int64_t deadline, bool shielded);

/* j, with `over`, shall not run: if it has not begun it is told of by the caller, with rc, before this returns. Returns whether. */
bool weft__lane_withdraw(struct job *j, int rc);

/* j, which stood outside, comes no more. False: it has been let in, or told. */
bool weft__lane_step_back(struct job *j);

/* Tells of those that are owed. Locked; unlocks meanwhile. */
void weft__lane_pay(struct lane_state *l);

/* j is over: tells those who wait for it. Returns those to be made runnable. */
struct inject_node *weft__job_tell(struct job *j);

/* j, which has `over`, is, as rc says; the same of one that may have `drop`, too, and has rc. */
void weft__job_tell_owner(struct job *j, int rc);
void weft__job_done(struct job *j);

/* Whoever waits for j, of rt, which goes down, never runs again; others do, and are told. over: it is. */
void weft__job_orphan(struct runtime *rt, struct job *j, bool over);

/* fn for each lane of rt's, which goes down. */
void weft__offload_each(struct runtime *rt, void (*fn)(struct lane_state *l, void *arg), void *arg);
void weft__offload_wait_more(void); /* one job more that somebody will be told of */

/* --- offload_down.c --- */
/* j is in the frame of a task of `from`, which is not the lane's runtime: that one does not go down before it is told, and weft__job_back called. NULL: it is not. */
void weft__job_abroad(struct job *j, struct runtime *from);
void weft__job_back(struct runtime *from);
void weft__offload_changed(void); /* a thread or a job of a lane that is closing */

/* --- lane.c --- */
struct lane_opts {
	const char *name;
	unsigned min, max, bound;
	int64_t idle_ns;
	bool leaves, waits;
	struct lane_hooks hooks;
	pthread_attr_t *attr; /* on the heap, initialised; the lane's from its success on */
	bool placed;          /* it says on which CPUs */
};

/* A lane of the caller's runtime, with a reference for the caller. Returns 0, WEFT_ENOMEM, WEFT_ESRCH (no runtime is up), WEFT_EAGAIN (not all of min threads can be made). */
int weft__lane_make(struct lane_state **out, const struct lane_opts *o);

/* Takes no more jobs, and waits until all have run and its threads have ended. Past the deadline, or if the caller is cancelled (unless shielded), what has not begun is withdrawn, with WEFT_EDOWN. The caller's reference is
 * given back. Returns 0, WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (the deadline WEFT_NOW; as past it). */
int weft__lane_end(struct lane_state *l, int64_t deadline, bool shielded);

void weft__lane_unref(struct lane_state *l);
void weft__lane_ref(struct lane_state *l);

/* A runtime comes up: lanes may be made; goes down: no more are. fn for each there is, which may take it off the list. */
void weft__lanes_opened(struct runtime *rt);
void weft__lanes_closed(struct runtime *rt);
void weft__lanes_foreach(struct runtime *rt, void (*fn)(struct lane_state *l, void *arg), void *arg);

/* The runtime that it was made in has gone: off the list. It has no threads, but for those whose jobs were left. */
void weft__lane_went_down(struct lane_state *l);

/* While it is held no lane goes: a job that is seen neither RAN nor OVER then has its lane. */
void weft__lanes_hold(void);
void weft__lanes_let_go(void);

/* A forked child, in which no runtime is up. */
void weft__lanes_forked(void);

#endif
