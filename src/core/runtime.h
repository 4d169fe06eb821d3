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
#include "core/alone.h"
#include "core/contain.h"
#include "core/idle.h"
#include "core/injectq.h"
#include "core/loop.h"
#include "core/oncpu.h"
#include "core/parker.h"
#include "core/place.h"
#include "core/prio.h"
#include "core/stack.h"
#include "core/task.h"
#include "core/timer.h"
#include "core/trim.h"
#include "core/victim.h"
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
	uint32_t tick;  /* of the other */
	uint32_t head;  /* of its ring */
	bool kept;      /* it kept something */
	uint8_t misses; /* how often in a row it was asked and gave nothing, up to a bound; core/victim.c */
};

struct worker {
	/* the owner's, touched at every switch */
	struct context ctx;             /* where its own stack stopped */
	ATOMIC(struct weft_task *) cur; /* task it stands on; NULL: its own stack. Owner; the monitor and dumps read it */
	struct weft_task *prev;         /* task just left, to be settled by the context that arrives; owner */
	int *errno_at;                  /* the thread's errno */
	struct runtime *rt;
	ATOMIC(int32_t) countdown; /* schedules until the next slow one; owner, and the monitor sets 0 */
	uint8_t home;              /* its runtime's number; constant */
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
	unsigned id;                             /* its seat: 0 .. n-1 */
	ATOMIC(int) tid;                         /* the kernel's number of its thread; 0 while it has none */
	ATOMIC(bool) alone;                      /* there is no other worker, and has been none: core/alone.h */

	/* read by others */
	CACHE_ALIGNED ATOMIC(uint32_t) tick; /* schedules so far; written by the owner (relaxed), watched by thieves and the monitor */
	ATOMIC(uint32_t) stuck_tick;         /* the tick at which the monitor saw it stand still; monitor (relaxed), read by thieves */
	ATOMIC(uint32_t) quiet_until; /* tick up to which its slot is nobody else's business (sched.h); a watcher (relaxed), read by all */
	ATOMIC(uint32_t) level_with; /* 1 + the seat of one that has many times as many tasks; 0: none. The monitor's; taken by the owner */
	ATOMIC(bool) warded;         /* it is stuck, and a sleeping worker listens to its loop; a hint */
	ATOMIC(bool) mixed;          /* its slot and ring may hold what is pinned to it: core/alone.h */
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
	pthread_t thread;        /* of the first: the caller of weft_run */
	struct fall fall;        /* what has ended the task that it stood on; the fault handler's, then the owner's */
	bool started;            /* thread is to be joined; under the runtime's seats lock */
	bool owes;               /* it stands on its own stack, and has put tasks on its ring and woken nobody yet; owner */
	int64_t spin_ns;         /* how long it looks for work before it sleeps; owner */
	struct watched *watched; /* what it saw of other workers, by id; owner */
	struct victims victims;  /* whom it asks for work, in which order; owner */
	ATOMIC(int)
	cpu; /* where it is (core/place.h); -1: not known. Constant if it is pinned; else its owner's note, read by others as a hint */
	ATOMIC(uint32_t) seated; /* futex: 0, until its thread has what a worker needs: 1, or a negative code */
	struct prio prio;        /* its HIGH and LOW tasks, and whose turn it is */
};

struct runtime {
	struct worker *workers; /* seats_max of them; but for the first n zero pages */
	ATOMIC(unsigned) n;     /* seats made, of workers retired too; grows only: released by seats.c, read by rt_seats */
	struct injectq inject;
	struct idle idle;
	ATOMIC(bool) stopping;         /* workers leave their loops */
	ATOMIC(bool) contains;         /* tasks may be contained: core/contain.c */
	ATOMIC(uint32_t) stop_claimed; /* first to decide the result */
	int result;                    /* of weft_run; written by who claimed stop */
	size_t max_tasks;              /* SIZE_MAX: no limit */
	ATOMIC(size_t) live;           /* tasks alive; kept only when there is a limit */
	size_t stack_size;
	uint8_t task_flags;    /* of every task: TASK_OWN_STACK, if stack_size is not the default */
	ATOMIC(uint32_t) born; /* cancel word that a task begins with: 0, or CANCEL_ROOT (core/ctx_root.c) */
	uint64_t seed;
	bool signals, deadlock_check;
	bool exit_process;      /* WEFT_MAIN: tasks that run on do not keep the process */
	bool last;              /* when it went down no other was up */
	size_t abandoned;       /* tasks alive when it went down */
	uint32_t ends_seen;     /* threads of lanes that had ended when the monitor last asked for a verdict; monitor only */
	bool judge_soon;        /* the last verdict waits for threads that are about to be gone; monitor only */
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

	struct placement place; /* where its threads run */

	/* seats.c: those below `active` run tasks, the others are retired */
	struct lock seats;       /* RANK_SEATS; guards what follows */
	unsigned seats_max;      /* constant */
	ATOMIC(unsigned) active; /* wish + spares; read by all */
	ATOMIC(unsigned) wish;   /* as many as the user, or the quota, wants; read by all */
	ATOMIC(unsigned) spares; /* seats taken for workers that are stuck (rescue.c); read by all */
	ATOMIC(int) threads;     /* that weft has made for seats; read by the monitor */
	int spares_max;          /* as asked for; SPARES_DEFAULT */
	ATOMIC(bool) follows;    /* the number is the machine's: quota and affinity are looked at again (rescue.c); read by the monitor */
	ATOMIC(uint64_t) stat_rescues;
	struct rescue *rescue; /* monitor only */
	struct trim trim;      /* monitor */
	bool stack_report;     /* at the end, on standard error */

	/* life.c; under its lock, but for atomics */
	ATOMIC(uint32_t) gate;   /* futex: 1 while it is paused */
	ATOMIC(bool) watch;      /* somebody wants to know when all tasks have ended: workers look before they sleep; never reset */
	ATOMIC(uint64_t) timers; /* set, and will start a task */
	uint8_t exit;            /* WEFT_EXIT_ON_MAIN or WEFT_EXIT_ON_IDLE; constant */
	bool main_over;          /* the first task has ended, with ... */
	int main_result;         /* ... this */
	bool main_closes;        /* it has called weft_shutdown */
	bool walked_again;       /* core/ctx_root.c */
	uint64_t main_id;        /* of the first task; constant */
	struct weft_task *main;  /* the first task; NULL when it has ended */
	unsigned closers;        /* who has called weft_shutdown: tasks that have not ended, threads that have not returned */
	unsigned off;            /* tasks among them that wait there */
	struct list closing;     /* those that wait there: struct closer */
	ATOMIC(size_t)
	hurried; /* callbacks that a cancel has set off, and that are no tasks yet; calls that are about to set some off; and tasks that fall, and have no heir yet */

	/* several.c: one of weft_make's */
	bool made;
	pthread_t host;           /* the thread of its first worker */
	ATOMIC(uint32_t) risen;   /* waited for: 0 while it comes up; 1, or a negative code: it could not */
	ATOMIC(uint32_t) sunk;    /* waited for: 1 when it has gone down */
	ATOMIC(uint32_t) fate;    /* who sees it out; several.c */
	ATOMIC(bool) judge_again; /* there was another, and it has gone: whoever waits is looked at again; core/monitor.c */
	struct list outside;      /* those who shut it down and are no tasks of it: struct closer; life.c, under its lock */

	ATOMIC(uint32_t) abroad;             /* jobs in frames of its tasks that other runtimes' lanes have (core/offload_down.c) */
	ATOMIC(bool) deserted;               /* its workers have ended (runtime.c: desert); until the number is taken again */
	bool lifo;                           /* workers take their newest first; constant while running */
	ATOMIC(bool) classes;                /* there have been HIGH or LOW tasks (core/prio.h) */
	ATOMIC(uint32_t) told;               /* whom to tell next */
	struct injectq classed[PRIOQ_COUNT]; /* HIGH and LOW tasks that wait for whichever worker comes */

	/* From here on for good, whichever runtime has the number. */
	ATOMIC(uint32_t) taken;  /* somebody has the number: core/foreign.c */
	uint8_t home;            /* the number */
	ATOMIC(uint32_t) inside; /* threads between enter and leave, and RT_OPEN while it is up; core/foreign.c */
	ATOMIC(uint32_t) run;    /* of the one that is up: a number that no other has; its place is the rest by RUNTIMES_MAX. 0: none */
	ATOMIC(uint32_t) monitor_word; /* core/monitor.c, as is the next */
	ATOMIC(uint32_t) monitor_nap;
	ATOMIC(uint32_t) phase;  /* enum weft_state */
	ATOMIC(size_t) counted;  /* weft__offload_counted; whoever withdraws a job may come late */
	ATOMIC(uint32_t) keeper; /* run of the runtime whose task is in weft_make or weft_free of it; 0: none. several.c */
};

#define RUNTIMES_MAX 32 /* that are up at a time: fd.h has five bits for each */

/* By number; 0 is weft_run's. Static memory: whoever comes late, with a number or a run from before, finds a runtime that is not up, or another one. */
extern HIDDEN struct runtime weft__rts[RUNTIMES_MAX];

#define SPARES_DEFAULT (-1)

/* Seats that there are: for who looks at all workers, the retired too. */
static inline unsigned rt_seats(struct runtime *rt)
{
	return load_acquire(&rt->n); /* pairs with store_release in seats.c */
}

/* Workers that run tasks. */
static inline unsigned rt_active(struct runtime *rt)
{
	return load_relaxed(&rt->active); /* a hint */
}

/* Shall w run no tasks but those that are pinned to it? */
static inline bool seat_retired(struct worker *w)
{
	return w->id >= load_acquire(&w->rt->active); /* pairs with store_release in seats.c */
}

/* --- foreign.c: threads that are no workers, and which runtimes there are --- */
extern HIDDEN struct runtime *weft__rt; /* weft_run's while it is up, or NULL. For its tasks, and for tests */
/* Held by threads that are no workers of a runtime while they use it, so that it does not go down under them (core/foreign.c). NULL: it is not up. */
struct runtime *weft__rt_enter(void); /* the calling thread's: the one of weft_run, or what it has chosen; no worker */
struct runtime *weft__rt_enter_home(unsigned home);
/* The same, to start a task, or what ends with the runtime; NULL also when its result is decided: the task would never run. */
struct runtime *weft__rt_enter_start(void);
struct runtime *weft__rt_enter_home_start(unsigned home);
struct runtime *weft__rt_enter_run(uint32_t run);
void weft__rt_leave(struct runtime *rt);
struct runtime *weft__rt_take(unsigned home); /* for one that comes up; NULL: the number is taken */
void weft__rt_give(struct runtime *rt);       /* nothing of it is left */
void weft__rt_publish(struct runtime *rt);
void weft__rt_unpublish(struct runtime *rt);   /* returns when nobody is inside */
bool weft__run_is_up(uint32_t run);            /* a look, unless the caller is in it */
struct runtime *weft__rt_here(void);           /* the caller's: a task's, or what weft__rt_enter means, which may not be up */
unsigned weft__rts_up(void);                   /* how many are */
void weft__thread_use(uint32_t run);           /* the calling thread's, which is no worker; 0: weft_run's */
uint32_t weft__thread_run(void);               /* ... as chosen */
uint32_t weft__run_self(void);                 /* of the runtime whose tasks are those that the caller starts; 0: weft_run's */
unsigned weft__thread_home(void);              /* number of the runtime that this foreign thread uses */
struct weft_task *weft__foreign(void);         /* this thread's proxy record, made on first use; NULL: no memory */
struct weft_task *weft__foreign_look(void);    /* the same, but NULL if it has none yet */
struct weft_task *weft__foreign_or_task(void); /* the same, or, of a worker, its task */

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
uintptr_t weft__thread(void); /* a number that only the calling thread has */

/* The calling worker, if it is rt's. */
static inline struct worker *weft__worker_in(struct runtime *rt)
{
	struct worker *w = weft__worker();

	return w && w->rt == rt ? w : NULL;
}

/* Is t rt's? It is alive, and no foreign thread's. */
static inline bool task_of(struct weft_task *t, struct runtime *rt)
{
	return load_relaxed(&t->home) == rt->home; /* constant */
}

/* Does t, which waits, go on when rt's tasks do not any more? */
static inline bool task_outside(struct weft_task *t, struct runtime *rt)
{
	return task_is(t, TASK_FOREIGN) || !task_of(t, rt);
}

/* Do tasks with this number run no more? Under the lock of what is waited for: see runtime.c, desert. */
static inline bool rt_deserted(unsigned home)
{
	return load_relaxed(&weft__rts[home].deserted);
}

/* --- fork.c --- */
extern HIDDEN ATOMIC(bool) weft__forked; /* this is the child of a process with a runtime: nothing of that goes on here */
NORETURN void weft__forked_fatal(void);
int weft__fork_trap(void); /* from the first runtime on. Returns 0 or WEFT_ENOMEM */

/* --- sched.c --- */
void weft__sched_park(struct worker *w, struct weft_task *t); /* leave t for the next task; returns when t was made runnable and taken */
void weft__sched_yield(struct worker *w, struct weft_task *t);
void weft__sched_push(struct worker *w, struct weft_task *t);       /* to the tail, or the queue of its class, and wake one */
void weft__ready_list(struct worker *w, struct inject_node *first); /* a chain of claimed tasks; w may be NULL */
void weft__sched_resume(struct worker *w, struct weft_task *t); /* from the worker's own stack; returns when the worker comes back to it */
void weft__sched_arrived(struct worker *w);                     /* first thing on a fresh task's stack: settles who left */
void weft__sched_run_now(struct worker *w, struct weft_task *t, struct weft_task *fresh);
void weft__sched_inject(struct runtime *rt, struct weft_task *t);
void weft__sched_wake(struct runtime *rt); /* after work was published */
void weft__sched_notify(struct runtime *rt, unsigned id);
void weft__sched_wake_many(struct runtime *rt, uint32_t n); /* after n tasks were published */
struct weft_task *weft__sched_pick(struct worker *w);
int weft__sched_timers(struct worker *w, struct wheel *wheel, int64_t now); /* fire what is due; returns how many tasks became runnable */

/* --- worker.c --- */
void weft__worker_main(struct worker *w); /* until the runtime stops */
void weft__worker_help(struct worker *w); /* takes from workers that are stuck, though w has work of its own */
void weft__worker_level(
	struct worker *w); /* takes half of the ring of the one that is named in level_with, if it still has many times as many */

/* --- record.c --- */
#define TASK_FREE 255 /* state of a record in no use */
int weft__records_init(void);
void weft__records_drain(struct worker *w);
uint64_t weft__id_block(unsigned n);
/* A task to be started for certain, later: reserve it (0, WEFT_ENOMEM, WEFT_EAGAIN), and init it when it starts: a record with one reference and an id, not queued;
 * or give it back. w may be NULL. */
int weft__task_reserve(struct runtime *rt, struct worker *w, struct weft_task **out);
void weft__task_init(struct runtime *rt, struct worker *w, struct weft_task *t);
void weft__task_unreserve(struct runtime *rt, struct worker *w, struct weft_task *t);
bool weft__live_take(struct runtime *rt, size_t count); /* places under max_tasks, for several */
/* One that was not started: its place, too. */
void weft__task_unmake(struct runtime *rt, struct worker *w, struct weft_task *t);
void weft__task_unref(struct worker *w, struct weft_task *t);

/* --- task.c --- */
/* Several, whose places under max_tasks are taken (weft__live_take): records that are init'ed, with what options say of the tasks themselves, which are checked; handle: they will
 * have one. Each is put at *end of a chain, and counted in *made: also when it is not enough, for an error. */
int weft__task_make_many(struct runtime *rt, struct worker *w, uint32_t n, struct inject_node ***end, uint32_t *made,
			 const weft_task_opts *o, bool handle);
int weft__task_check_opts(struct runtime *rt, const weft_task_opts *o);
extern HIDDEN const weft_task_opts weft__no_task_opts;
/* weft_go of a function of four words or less, under context c (NULL: the caller's). name: copied; NULL: none. */
int weft__go_words(void (*fn)(void), const uintptr_t words[4], weft_ctx *c, const char *name, const struct weft_site *site);
/* The same in rt, which the caller is in; w: its worker there, or NULL. */
int weft__go_words_in(struct runtime *rt, struct worker *w, void (*fn)(void), const uintptr_t words[4], weft_ctx *c, const char *name,
		      const struct weft_site *site);
/* A task that fell (weft__task_fall) goes on as fn(words): in its place, so that no limit is asked for, nor a stack at once; without a context or values. On w's own stack, once a fall. Returns 0 or
 * WEFT_ENOMEM. */
int weft__go_heir(struct worker *w, void (*fn)(void), const uintptr_t words[4]);
int weft__go_in(struct runtime *rt, weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o,
		const struct weft_site *site); /* as weft_go_opts, in rt, which the caller is in */
/* A task of the runtime with this run (weft__run_self), whoever calls. WEFT_ESRCH: it goes down, or has: the task would never run. */
int weft__go_in_run(uint32_t run, weft_task_fn *fn, void *arg, const weft_task_opts *o, const struct weft_site *site);
int weft__task_start_main(struct runtime *rt, struct worker *w, weft_task_fn *fn, void *arg);
bool weft__task_bind(struct worker *w,
		     struct weft_task *t); /* first run: stack and first frame; false: it waits for a stack, pick another */
void weft__task_settle_done(struct worker *w, struct weft_task *t);
NORETURN void weft__task_leave(int result); /* ends the calling task, what it has deferred aside */
/* On w's own stack: t, which stood on w and has failed, ends; nothing of its stack runs any more. Its stack goes to quarantine, the locks it owned are poisoned. */
void weft__task_fall(struct worker *w, struct weft_task *t, int result);
NORETURN void weft__task_leave_fallen(struct worker *w, struct weft_task *t); /* to w's own stack, which finds w->fall */
void weft__task_mended(struct weft_task *t);                                  /* a lock that such a one owned is somebody else's now */
/* sync/poison.c: REASON_FELL has been set: who waits for a lock of t's is told. Nothing is locked */
extern HIDDEN void (*weft__locks_poison)(struct worker *w, struct weft_task *t);

/* --- task_handle.c --- */
void weft__joins_desert(struct runtime *rt); /* rt's tasks run no more: others stop waiting for their ends */

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
void weft__ctx_task_start(struct weft_task *t, weft_ctx *c);   /* t begins under c, or goes on under it; c may be a root: its own */
void weft__ctx_task_inherit(struct weft_task *t, weft_ctx *c); /* the same of a context that a task of t's runtime is under; not the root */
void weft__ctx_task_end(struct weft_task *t);
void weft__ctx_back(struct weft_task *t, weft_ctx *up); /* as weft_ctx_leave; up: NULL: the root */
bool weft__ctx_ref_unless_last(weft_ctx *c);            /* one reference more, unless the last is gone and c about to be freed */
int weft__ctx_cancel_as(weft_ctx *c, int reason, const char *cause); /* as weft_ctx_cancel_cause, for any reason */

/* --- ctx_root.c --- */
weft_ctx *weft__ctx_root(void);              /* of the caller's runtime */
weft_ctx *weft__ctx_service(void);           /* of weft's own tasks that serve the process: not cancelled with the root, not waited for */
void weft__ctx_root_new(struct runtime *rt); /* rt's number is its from here on */
void weft__ctx_foreign(struct weft_task *t); /* a foreign thread has a record, from here on */

/* --- sync/chan.c: what user timers need of a channel. They are served on any task's stack: it does not matter whether that task is cancelled --- */
int weft__chan_put(weft_chan *c, const void *elem); /* as weft_chan_trysend */
int weft__chan_take(weft_chan *c, void *out);       /* as weft_chan_tryrecv */

/* --- usertimer.c --- */
int64_t weft__usertimer_due(struct timer_node *n, int64_t now, struct list *fired);
int weft__usertimer_fire(struct worker *w, struct list *fired, int64_t now);
void weft__usertimer_drop(struct list *fired);
void weft__usertimer_unref(weft_timer *t); /* weft_timer_free without weft_timer_stop: if it is set, it will fire */
/* One that has `call` called, once it has been started: by a worker, with nothing locked; or, when the runtime goes down, by whoever takes it down. It is freed like any; weft_timer_stop returns 1 if it will not be called. NULL: no memory.
 * Start, once, in the runtime with the number home: when is absolute. Returns 0 or WEFT_ESRCH. */
weft_timer *weft__usertimer_new(void (*call)(struct worker *w, void *arg), void *arg);
int weft__usertimer_start(weft_timer *t, unsigned home, int64_t when);
void weft__usertimer_hasten(weft_timer *t); /* one that is set, if only to never, fires now */

enum timer_kind { TIMER_TASK, TIMER_USER };
_Static_assert(TIMER_USER < WHEEL_KINDS, "the wheel counts each kind");

/* --- monitor.c --- */
int weft__monitor_start(struct runtime *rt);
void weft__monitor_again(struct runtime *rt); /* its tasks shall be judged again */
void weft__monitor_stop(struct runtime *rt);
extern HIDDEN ATOMIC(uint32_t) weft__dump_wanted; /* set by the SIGQUIT handler: the monitor shall dump */
void weft__monitor_poke(struct runtime *rt);      /* a worker leaves idleness */
extern HIDDEN struct lock weft__sig_lock;         /* RANK_POOL: signals' dispositions, and (serve/sigreader.h) who has asked for signals */
bool weft__quit_is_default(const struct sigaction *sa); /* of SIGQUIT: the system's, or the dump's handler */
void weft__quit_default(void); /* nobody else wants SIGQUIT: the dump's handler, if a runtime is up that dumps. Under weft__sig_lock */

/* --- seats.c --- */
int weft__seats_follow(struct runtime *rt,
		       unsigned n); /* so many workers, unless the user has said how many. The monitor. 0, or a negative code */
int weft__seats_spares(struct runtime *rt, unsigned n); /* so many spares, if there are seats. As above */
struct weft_task *
weft__seat_pick(struct worker *w); /* the slow pick of a retired worker: hands on what others may run; one that is pinned to it, or NULL */
struct weft_task *
weft__seat_rest(struct worker *w); /* the same on its own stack, where it sleeps. NULL: look again whether it is still retired */

/* --- rescue.c: the monitor's --- */
int weft__rescue_make(struct runtime *rt);
void weft__rescue_free(struct runtime *rt);
void weft__rescue_look(struct runtime *rt, unsigned stuck,
		       bool waits); /* so many active workers stand on the task that they stood on at the last look; work waits */
void weft__rescue_follow(struct runtime *rt, int64_t now); /* quota and affinity */

/* --- options.c --- */
int weft__options(
	struct runtime *rt,
	const weft_opts *o); /* into rt, which is zeroed but for what several.c says. 0; WEFT_EINVAL, and a line in the log; WEFT_ENOMEM */
int weft__workers_auto(struct runtime *rt, unsigned *n,
		       bool *follows); /* as many as the environment says, or else the machine: then *follows. 0 or WEFT_EINVAL */

/* --- runtime.c --- */
int weft__seat_make(struct runtime *rt, unsigned id); /* its memory and its loop: 0 or a negative code, then nothing is made */
int weft__seat_start(
	struct worker *w,
	bool asked); /* makes its thread. Where nobody is asked whether it has all that it needs (weft__seat_started) it ends the runtime if it has not */
int weft__seat_started(struct worker *w); /* waits until it sits: 0, or a negative code, then it is not started */
void weft__runtime_stop(struct runtime *rt, int result);
/* Is it a task that has not ended? state: read with acquire. Foreign threads may be making records of their own meanwhile: reads only atomics. A record
 * that was never used is zeroed: its state says NEW, and it has no reference. */
bool weft__task_alive(struct weft_task *t, uint8_t state);

int weft__rt_serve(
	struct runtime *rt, weft_task_fn *fn, void *arg, const weft_opts *o,
	int *result); /* up, on the calling thread, and down. fn: NULL: it has no first task, and tells who waits when it is up */
void weft__rt_stats(struct runtime *rt, weft_stat *out); /* adds to zeros; the caller is in it */

int weft__run(weft_task_fn *fn, void *arg, const weft_opts *o, bool exit_process, int *result);

/* Called when all tasks are called off, while their stacks stand still; each is set by the file that needs it, if that is in the program. */
extern HIDDEN void (*weft__requests_down)(struct runtime *rt); /* io/uv.c's: requests of libuv's are stopped, and waited for */
/* Who hands signals on (serve/signal.c): a runtime has come up, its first task has not run yet: 0, or why it cannot run; its tasks never run again. */
struct up_down {
	int (*up)(struct runtime *rt);
	void (*down)(struct runtime *rt);
};
extern HIDDEN struct up_down weft__signals;

extern HIDDEN void (*weft__actors_down)(struct runtime *rt); /* actor/death.c's: tasks are gone; actors whose tasks they were end */
extern HIDDEN void (*weft__actors_desert)(
	struct runtime *rt); /* actor/death.c's: its tasks run no more, but are there: others stop waiting for actors that are such */
extern HIDDEN void (*weft__io_leave)(
	struct runtime *
		rt); /* io/fd.c's, as the next: its workers have ended, others shall hear of descriptors without it. Its tasks may still have calls under way */
extern HIDDEN void (*weft__io_down)(
	struct runtime *rt); /* io/fd.c's: tasks that use descriptors never run again, and nobody hears of descriptors */

/* --- several.c --- */
extern HIDDEN ATOMIC(uint32_t) weft__others; /* runtimes that weft_make has made, or is making, and weft_free has not freed */
int weft__make(struct runtime **out, const weft_opts *o);
int weft__free(struct runtime *rt, int64_t grace_ns);

/* --- deadlock.c --- */
/* The monitor has seen all workers asleep for so long: deadlock? False: it cannot be told yet, ask again; where they may sleep on, judge_soon is set. */
bool weft__runtime_all_asleep(struct runtime *rt, int64_t idle_ns);

/* What the storeys above give the core (weft.c sets them; core includes nothing of theirs). */
struct verdict {
	struct runtime *rt;
	size_t tasks; /* alive */
	bool hope;    /* some task may go on */
	int foreign;  /* threads not made by weft: then the runtime goes on */
};
struct debug_hooks {
	int (*dump)(int fd, struct runtime *only); /* of one runtime; NULL: of all */
	void (*deadlock)(const struct verdict *v);
	int (*dump_stragglers)(
		struct runtime *rt); /* tasks that weft_shutdown has waited for in vain, to standard error; returns how many */
	int (*list_stragglers)(struct runtime *rt, weft_task_info *out, int max);
	void (*leaves)(struct weft_task *t); /* debug builds: t is about to leave its worker; NULL: nobody wants to know */
	void (*stack_report)(int fd);
	void (*one_less)(bool signals); /* a runtime of weft_make's has gone that nobody frees. signals: it was to have handlers */
	ATOMIC(int) open_signal;        /* one that workers do not block, because it asks them where they are; 0: none */
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
