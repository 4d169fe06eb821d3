/* SPDX-License-Identifier: MIT
 *
 * runtime.h - the runtime and its workers, as the rest of core/ sees them.
 */
#ifndef WEFT_CORE_RUNTIME_H
#define WEFT_CORE_RUNTIME_H

#include "arch/switch.h"
#include "base/config.h"
#include "base/lock.h"
#include "base/rand.h"
#include "core/contain.h"
#include "core/idle.h"
#include "core/injectq.h"
#include "core/loop.h"
#include "core/oncpu.h"
#include "core/parker.h"
#include "core/stack.h"
#include "core/task.h"
#include "core/timer.h"
#include "core/wait.h"
#include "queue/wsq.h"
#include "weft/defer.h"
#include "weft/runtime.h"
#include "weft/time.h"
#include <pthread.h>
#include <signal.h>

struct runtime;

/* What a worker saw of another that keeps a task to itself (worker.c). */
struct watched {
	uint32_t tick; /* of the other */
	uint32_t head; /* of its ring */
	bool kept;     /* it kept something */
};

struct worker {
	/* the owner's, touched at every switch */
	struct context ctx;             /* where its own stack stopped */
	ATOMIC(struct weft_task *) cur; /* task it stands on; NULL: its own stack. Owner; the monitor and dumps read it */
	struct weft_task *prev;         /* task just left, to be settled by the context that arrives; owner */
	int *errno_at;                  /* the thread's errno */
	struct runtime *rt;
	ATOMIC(int32_t) countdown; /* schedules until the next slow one; owner, and the monitor sets 0 */
	bool errand;               /* its loop wants to be run on the worker's own stack; owner */
	uint32_t slot_runs;        /* runs out of the slot in a row */
	bool pinned_last;          /* the last slow pick took a pinned one; owner */
	int64_t coarse_now;        /* clock at the last slow schedule; owner */
	int64_t polled_at;         /* coarse_now when its loop was last polled in between; owner */
	struct weft_task *taken;   /* picked, but somebody still stood on it: the worker's own stack waits for it; owner */
	struct rng rng;
	struct san_fiber san;
	struct stack_cache stacks;
	unsigned nrecords;
	struct weft_task *records[RECORD_CACHE]; /* free records; owner */
	uint64_t id_next, id_end;                /* task ids taken in advance; owner */
	unsigned id;                             /* 0 .. n-1 */
	ATOMIC(int) tid;                         /* the kernel's number of its thread; 0 while it has none */
	bool alone;                              /* there is no other worker; constant while running */

	/* read by others */
	CACHE_ALIGNED ATOMIC(uint32_t) tick; /* schedules so far; written by the owner (relaxed), watched by thieves and the monitor */
	ATOMIC(uint32_t) stuck_tick;         /* the tick at which the monitor saw it stand still; monitor (relaxed), read by thieves */
	ATOMIC(uint32_t) quiet_until; /* tick up to which its slot is nobody else's business (sched.h); a watcher (relaxed), read by all */
	ATOMIC(bool) warded;          /* it is stuck, and a sleeping worker listens to its loop; a hint */
	ATOMIC(struct weft_task *) slot; /* LIFO slot: put by the owner, taken by it or by a thief that saw tick stand still */
	ATOMIC(uint64_t) stat_started;   /* statistics: owner writes, anyone reads, relaxed */
	ATOMIC(uint64_t) stat_finished;
	ATOMIC(uint64_t) stat_steals;
	ATOMIC(uint64_t) stat_sleeps;
	ATOMIC(uint64_t) stat_timers;
	ATOMIC(uint64_t) stat_faults;
	struct wsq runq;
	CACHE_ALIGNED struct injectq inbox; /* tasks that shall start on this worker */
	struct injectq pinned;              /* runnable tasks that nobody else may run (core/pin.c) */
	struct parker parker;
	struct wheel wheel;
	struct loop *loop;
	pthread_t thread;
	struct fall fall;        /* what has ended the task that it stood on; the fault handler's, then the owner's */
	bool started;            /* thread is to be joined; runtime.c */
	bool owes;               /* it stands on its own stack, and has put tasks on its ring and woken nobody yet; owner */
	int64_t spin_ns;         /* how long it looks for work before it sleeps; owner */
	struct watched *watched; /* what it saw of other workers, by id; owner */
};

struct runtime {
	struct worker *workers;
	unsigned n;
	struct injectq inject;
	struct idle idle;
	ATOMIC(bool) stopping;         /* workers leave their loops */
	ATOMIC(bool) contains;         /* tasks may be contained: core/contain.c */
	ATOMIC(uint32_t) stop_claimed; /* first to decide the result */
	int result;                    /* of weft_run; written by who claimed stop */
	size_t max_tasks;              /* SIZE_MAX: no limit */
	ATOMIC(size_t) live;           /* tasks alive; kept only when there is a limit */
	size_t stack_size;
	uint8_t task_flags; /* of every task: TASK_OWN_STACK, if stack_size is not the default */
	uint64_t seed;
	bool signals, deadlock_check;
	bool exit_process;      /* WEFT_MAIN: tasks that run on do not keep the process */
	size_t abandoned;       /* tasks alive when it went down */
	uint32_t ends_seen;     /* threads of lanes that had ended when the monitor last asked for a verdict; monitor only */
	bool deadlock_reported; /* monitor; read when it has ended */

	struct injectq ran;       /* jobs that have run, and nobody has been told (core/offload.c) */
	struct injectq stackless; /* tasks that could not get a stack for their first run; retried when stacks come back */

	/* monitor */
	pthread_t monitor;
	bool monitor_up;
	ATOMIC(bool) monitor_stop;
	uint32_t *monitor_ticks;  /* ticks it saw last, by worker; monitor only */
	ATOMIC(bool) help_wanted; /* set by the monitor: a worker is stuck with work, none sleeps, a busy one shall take some */
	sigset_t caller_mask;     /* signal mask of the thread that called weft_run */

	/* foreign threads that weft made no worker of, for stats of tasks they start */
	ATOMIC(uint64_t) stat_started;
};

extern HIDDEN struct runtime
	*weft__rt; /* the one that is up, or NULL. Workers and tasks may read it; foreign threads between rt_enter and rt_leave */
/* Held by foreign threads while they use the runtime, so that it does not go down under them (core/foreign.c). */
extern HIDDEN ATOMIC(uint32_t) weft__run_count; /* how many runtimes have gone down: says which loops are gone */
bool weft__rt_enter(void);
void weft__rt_leave(void);
void weft__rt_publish(struct runtime *rt);
void weft__rt_unpublish(void); /* returns when no foreign thread is inside */

/* --- current.c: the one reader of thread-local storage --- */
struct worker *weft__worker_none(void);

/* For who touches nothing that may be elided (base/solo.h): the monitor's dumps. */
static ALWAYS_INLINE struct worker *weft__worker_look(void)
{
	return (struct worker *)ARCH_THREAD_LOCAL(weft__this_worker);
}

/* NULL on a foreign thread. Never keep it across a park. */
static ALWAYS_INLINE struct worker *weft__worker(void)
{
	struct worker *w = weft__worker_look();

	return likely(w != NULL) ? w : weft__worker_none();
}

void weft__worker_set(struct worker *w);
uintptr_t weft__thread(void);               /* a number that only the calling thread has */
struct weft_task *weft__foreign(void);      /* this thread's proxy record, made on first use; NULL: no memory */
struct weft_task *weft__foreign_look(void); /* the same, but NULL if it has none yet */

/* --- fork.c --- */
extern HIDDEN ATOMIC(bool) weft__forked; /* this is the child of a process with a runtime: nothing of that goes on here */
NORETURN void weft__forked_fatal(void);
int weft__fork_trap(void); /* from the first runtime on. Returns 0 or WEFT_ENOMEM */

/* --- sched.c --- */
void weft__sched_park(struct worker *w, struct weft_task *t); /* leave t for the next task; returns when t was made runnable and taken */
void weft__sched_yield(struct worker *w, struct weft_task *t);
void weft__sched_push(struct worker *w, struct weft_task *t);       /* to the tail, and wake one */
void weft__ready_list(struct worker *w, struct inject_node *first); /* a chain of claimed tasks; w may be NULL */
void weft__sched_resume(struct worker *w, struct weft_task *t); /* from the worker's own stack; returns when the worker comes back to it */
void weft__sched_arrived(struct worker *w);                     /* first thing on a fresh task's stack: settles who left */
void weft__sched_run_now(struct worker *w, struct weft_task *t, struct weft_task *fresh);
void weft__sched_inject(struct runtime *rt, struct weft_task *t);
void weft__sched_wake(struct runtime *rt); /* after work was published */
void weft__sched_notify(struct runtime *rt, unsigned id);
struct weft_task *weft__sched_pick(struct worker *w);
int weft__sched_timers(struct worker *w, struct wheel *wheel, int64_t now); /* fire what is due; returns how many tasks became runnable */

/* --- worker.c --- */
void weft__worker_main(struct worker *w); /* until the runtime stops */
void weft__worker_help(struct worker *w); /* takes from workers that are stuck, though w has work of its own */

/* --- task.c --- */
#define TASK_FREE 255 /* state of a record in no use */
int weft__records_init(void);
void weft__records_drain(struct worker *w);
uint64_t weft__id_block(unsigned n);
/* A task to be started for certain, later: reserve it (0, WEFT_ENOMEM, WEFT_EAGAIN), and init it when it starts: a record with one reference and an id, not queued;
 * or give it back. w may be NULL. */
int weft__task_reserve(struct runtime *rt, struct worker *w, struct weft_task **out);
void weft__task_init(struct runtime *rt, struct worker *w, struct weft_task *t);
void weft__task_unreserve(struct runtime *rt, struct worker *w, struct weft_task *t);
/* weft_go of a function of four words or less, under context c (NULL: the caller's). name: copied; NULL: none. */
int weft__go_words(void (*fn)(void), const uintptr_t words[4], weft_ctx *c, const char *name, const struct weft_site *site);
/* A task that fell (weft__task_fall) goes on as fn(words): in its place, so that no limit is asked for, nor a stack at once; without a context or values. On w's own stack, once a fall. Returns 0 or
 * WEFT_ENOMEM. */
int weft__go_heir(struct worker *w, void (*fn)(void), const uintptr_t words[4]);
int weft__task_start_main(struct runtime *rt, struct worker *w, weft_task_fn *fn, void *arg);
bool weft__task_bind(struct worker *w,
		     struct weft_task *t); /* first run: stack and first frame; false: it waits for a stack, pick another */
bool weft__task_bind_or_fail(struct worker *w, struct weft_task *t);
void weft__task_settle_done(struct worker *w, struct weft_task *t);
void weft__task_unref(struct worker *w, struct weft_task *t);
NORETURN void weft__task_leave(int result); /* ends the calling task, what it has deferred aside */
/* On w's own stack: t, which stood on w and has failed, ends; nothing of its stack runs any more. Its stack goes to quarantine, the locks it owned are poisoned. */
void weft__task_fall(struct worker *w, struct weft_task *t, int result);
NORETURN void weft__task_leave_fallen(struct worker *w, struct weft_task *t); /* to w's own stack, which finds w->fall */
void weft__task_mended(struct weft_task *t);                                  /* a lock that such a one owned is somebody else's now */
/* sync/poison.c: TASK_FELL has been set: who waits for a lock of t's is told. Nothing is locked */
extern HIDDEN void (*weft__locks_poison)(struct worker *w, struct weft_task *t);

/* --- defer.c --- */
/* weft_task_try; a panic is told to `heard` before the stack is left that it has come from. */
typedef void panic_heard(void *arg, const weft_panic *p);
int weft__task_try(weft_task_fn *fn, void *arg, weft_panic *out, panic_heard *heard, void *heard_arg);
bool weft__panic_report(
	struct weft_task
		*t); /* the caller, running what it has deferred: if because of a panic, says so on standard error, with its stack */

/* --- taskname.c --- */
int weft__task_set_name(struct weft_task *t, const char *name); /* copies it; 0 or WEFT_ENOMEM */
const char *weft__task_label(struct weft_task *t, char *buf,
			     size_t n); /* name, or function; of the caller's, or one that runs nowhere yet */
const char *weft__task_fn_name(struct weft_task *t, char *buf, size_t n); /* function; of any */
void weft__task_describe(struct weft_task *t, char *buf, size_t n);       /* one line for reports, in signal handlers too */

/* --- ctx.c --- */
void weft__ctx_task_start(struct weft_task *t, weft_ctx *c);
void weft__ctx_task_end(struct weft_task *t);
void weft__ctx_back(struct weft_task *t, weft_ctx *up); /* as weft_ctx_leave; up: NULL: the root */
weft_ctx *weft__ctx_root(void);
bool weft__ctx_ref_unless_last(weft_ctx *c); /* one reference more, unless the last is gone and c about to be freed */
int weft__ctx_cancel_as(weft_ctx *c, int reason, const char *cause); /* as weft_ctx_cancel_cause, for any reason */

/* --- sync/chan.c: what user timers need of a channel. They are served on any task's stack: it does not matter whether that task is cancelled --- */
int weft__chan_put(weft_chan *c, const void *elem); /* as weft_chan_trysend */
int weft__chan_take(weft_chan *c, void *out);       /* as weft_chan_tryrecv */

/* --- usertimer.c --- */
int64_t weft__usertimer_due(struct timer_node *n, int64_t now, struct list *fired);
int weft__usertimer_fire(struct worker *w, struct list *fired, int64_t now);
void weft__usertimer_drop(struct timer_node *n);
void weft__usertimer_unref(weft_timer *t);  /* weft_timer_free without weft_timer_stop: if it is set, it will fire */
void weft__usertimer_hasten(weft_timer *t); /* one that is set, if only to never, fires now */

enum timer_kind { TIMER_TASK, TIMER_USER };
_Static_assert(TIMER_USER < WHEEL_KINDS, "the wheel counts each kind");

/* --- monitor.c --- */
int weft__monitor_start(struct runtime *rt);
void weft__monitor_stop(struct runtime *rt);
extern HIDDEN ATOMIC(uint32_t) weft__dump_wanted; /* set by the SIGQUIT handler: the monitor shall dump */
void weft__monitor_poke(void);                    /* a worker leaves idleness */
extern HIDDEN struct lock weft__sig_lock;         /* RANK_POOL: signals' dispositions, and (serve/sigreader.h) who has asked for signals */
bool weft__quit_is_default(const struct sigaction *sa); /* of SIGQUIT: the system's, or the dump's handler */
void weft__quit_default(void); /* nobody else wants SIGQUIT: the dump's handler, if a runtime is up that dumps. Under weft__sig_lock */

/* --- runtime.c --- */
void weft__runtime_stop(struct runtime *rt, int result);
/* Is it a task that has not ended? state: read with acquire. Foreign threads may be making records of their own meanwhile: reads only atomics. A record
 * that was never used is zeroed: its state says NEW, and it has no reference. */
bool weft__task_alive(struct weft_task *t, uint8_t state);

int weft__run(weft_task_fn *fn, void *arg, const weft_opts *o, bool exit_process, int *result);

/* Called when all tasks are called off, while their stacks stand still; each is set by the file that needs it, if that is in the program. */
extern HIDDEN void (*weft__requests_down)(void); /* io/uv.c's: requests of libuv's are stopped, and waited for */
/* Who hands signals on (serve/signal.c): a runtime has come up, its first task has not run yet: 0, or why it cannot run; its tasks never run again. */
struct up_down {
	int (*up)(void);
	void (*down)(void);
};
extern HIDDEN struct up_down weft__signals;

extern HIDDEN void (*weft__actors_down)(void); /* actor/death.c's: tasks are gone; actors whose tasks they were end */
extern HIDDEN void (*weft__io_down)(void);     /* io/fd.c's: tasks that use descriptors never run again, and nobody hears of descriptors */

/* --- deadlock.c --- */
bool weft__runtime_all_asleep(
	struct runtime *rt); /* the monitor has seen all workers asleep for a while: deadlock? False: it cannot be told yet, ask again */

/* What the storeys above give the core (weft.c sets them; core includes nothing of theirs). */
struct verdict {
	size_t tasks; /* alive */
	bool hope;    /* some task may go on */
	int foreign;  /* threads not made by weft: then the runtime goes on */
};
struct debug_hooks {
	void (*dump)(int fd);
	void (*deadlock)(const struct verdict *v);
	void (*leaves)(struct weft_task *t); /* debug builds: t is about to leave its worker; NULL: nobody wants to know */
	ATOMIC(int) open_signal;             /* one that workers do not block, because it asks them where they are; 0: none */
};
extern HIDDEN struct debug_hooks weft__hooks;

/* A task under the root context that nobody has cancelled, and that the monitor does not ask to let others run. t: the worker's. */
static ALWAYS_INLINE bool self_at_ease(struct worker *w, struct weft_task *t)
{
	/* cancel: relaxed is enough here; what must not be missed is looked at again after the wait is open */
	return likely(t != NULL && load_relaxed(&t->cancel) == 0 && t->limit == WEFT_FOREVER && load_relaxed(&w->countdown) > 0);
}

/* Entry of a blocking call: what weft__self_enter_slow does, when there is something to do. */
static ALWAYS_INLINE int self_enter(struct self *me, int64_t *deadline)
{
	struct worker *w = weft__worker();
	struct self slow;
	int64_t d;
	int rc;

	me->worker = w;
	if (likely(w != NULL)) {
		me->task = load_relaxed(&w->cur); /* own */
		if (self_at_ease(w, me->task))
			return 0;
	}
	slow = *me; /* copies, so that the caller's stay in registers */
	d = *deadline;
	rc = weft__self_enter_slow(&slow, &d);
	*me = slow;
	*deadline = d;
	return rc;
}

#endif
