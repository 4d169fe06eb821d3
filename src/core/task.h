/* SPDX-License-Identifier: MIT
 *
 * task.h - the task record: what there is of a task besides its stack.
 *
 * A record lives in a type-stable slab (core/recslab.h): it is recycled, never unmapped, so that a late claim of an old wait
 * fails and touches nothing else.  A task gets its stack when it first runs, unless its start says how large (weft_task_opts.stack) or runs it at once.
 *
 *   state      record                  stack                              who may touch the record's plain fields   ends by
 *   NEW        in one queue            none, or one that its start took   whoever holds it: starter, then taker     first run: weft__task_bind
 *   RUNNABLE   in exactly one queue    at rest once on_cpu is clear       the taker                                 being picked
 *   RUNNING    on exactly one worker   that worker stands on it           the task                                  sched_leave
 *   PARKED     on exactly one wait     at rest once on_cpu is clear       whoever claimed the wait                  a claim
 *   DONE       kept by handles         recycled when settled              readers of result                         last reference
 *
 * References: one of the task itself until it is settled after its end, one of a joinable handle.
 *
 * Foreign threads (not made by weft) that block get a record too (core/foreign.c): no stack, flag TASK_FOREIGN; they sleep on `futex`.
 */
#ifndef WEFT_CORE_TASK_H
#define WEFT_CORE_TASK_H

#include "arch/context.h"
#include "base/atomic.h"
#include "base/compiler.h"
#include "base/list.h"
#include "core/goargs.h"
#include "core/injectq.h"
#include "core/recslab.h"
#include "core/stack.h"
#include "core/timer.h"
#include "core/waitword.h"
#include "weft/ctx.h"
#include "weft/error.h"
#include "weft/task.h"
#include <stdint.h>

/* What a parked task waits for. Order matters: those up to REASON_OWN_LAST are weft's own objects, which count for the deadlock report. */
enum task_reason {
	REASON_NONE,
	REASON_CHAN_SEND,
	REASON_CHAN_RECV,
	REASON_SELECT,
	REASON_MUTEX,
	REASON_WAITGROUP,
	REASON_JOIN,
	REASON_PARK,
	REASON_BCAST,
	REASON_WATCH,
	REASON_GENERATOR,
	REASON_YIELD,
	REASON_FUTURE,
	REASON_CTX,
	REASON_RDLOCK,
	REASON_WRLOCK,
	REASON_COND,
	REASON_SEMA,
	REASON_LATCH,
	REASON_BARRIER,
	REASON_ONCE,
	REASON_EVENT,
	REASON_GROUP,      /* for its children */
	REASON_GROUP_ROOM, /* to start one more */
	REASON_MAIL,       /* for a message */
	REASON_MAIL_ROOM,  /* for room in a mailbox */
	REASON_ACTOR,      /* for the start or the end of one */
	REASON_ACTOR_NAME, /* until it is somebody's */
	REASON_ADMISSION,  /* a bulkhead, an adaptive limit */
	REASON_CREDIT,     /* of a receiver */
	REASON_CALL,       /* for a server's answer */
	REASON_SHUTDOWN,   /* for the end of all other tasks */
	REASON_SLEEP,
	REASON_OWN_LAST = REASON_SLEEP,
	REASON_READ,
	REASON_WRITE,
	REASON_ACCEPT,
	REASON_DIAL,
	REASON_IO,
	REASON_UV,        /* a request of libuv's */
	REASON_NAME,      /* for what a name means */
	REASON_FILE,      /* a thread that asks a disk, or its turn */
	REASON_BLOCKING,  /* a call, or a section, on a thread of its own */
	REASON_RUNTIME,   /* another one that comes up, or goes down */
	REASON_SELECT_IO, /* of a select, some cases of which others than weft decide */
	REASON_ABANDONED, /* DONE: the runtime went down before it ended */
	REASON_PANICKED,  /* DONE: by a panic, and nobody has asked for the result */
	REASON_FELL, /* DONE, or about to be: it has failed, and was ended where it stood (core/contain.c): the locks that it owned are poisoned */
	REASON_COUNT,
};

const char *weft__reason_name(enum task_reason r);

enum task_flag {
	TASK_REGS = 1,       /* starts from argument registers (weft_go), else from fn(arg) */
	TASK_JOINABLE = 2,   /* has, or had, a handle: its end wakes joiners */
	TASK_FOREIGN = 4,    /* stands for an OS thread */
	TASK_LOW = 8,        /* its class (core/prio.h); with TASK_HIGH: whichever its number says */
	TASK_OWN_STACK = 16, /* its stack goes back to the shared pool, not to a worker's cache: another size, or the first task's */
	TASK_FLOATS =
		32, /* with TASK_REGS: some arguments are in floating-point registers; without: the first task, or one that shuts down, see task_is_main */
	TASK_PINNED = 64, /* stays on worker own_home (core/pin.c) */
	TASK_HIGH = 128   /* its class */
};

#define TASK_MAIN TASK_FLOATS                 /* see task_is_main */
#define TASK_CLASS (TASK_LOW | TASK_HIGH)     /* not NORMAL, perhaps */
#define TASK_APART (TASK_CLASS | TASK_PINNED) /* goes to a queue of its kind when it is made runnable */

#define ON_CPU_FOREIGN 2 /* on_cpu of a foreign thread's record: for those who look at records that are just being made (runtime.c) */

struct waiter;
struct weft_defer;
struct trying;
struct unwinding;
struct locals;

/* What few tasks have. */
struct task_own {
	struct weft_defer *defers;   /* what it has deferred, innermost first (core/defer.c) */
	struct trying *tries;        /* the weft_task_try it is in, innermost first; in its stack */
	struct unwinding *unwinding; /* the panic that runs what is deferred; in its stack */
	struct locals *locals;       /* its task-local values; NULL: none */
};

struct weft_task {
	/* line 0: what a switch and a wake-up touch */
	struct context
		ctx; /* where it stopped; valid while it stands on no worker and has run before. In a section (blocking.c): what called it */
	ATOMIC(uint64_t) wait;   /* core/waitword.h */
	ATOMIC(uint32_t) cancel; /* CANCEL_*, and 1: its context is cancelled; 0: not cancelled; else see cancel_counts */
	ATOMIC(uint8_t) state;   /* enum weft_task_state; for readers; written by whoever owns the task just then */
	ATOMIC(uint8_t) reason;  /* enum task_reason; valid while PARKED */
	ATOMIC(uint8_t)
	flags; /* enum task_flag; constant from its first run on, but for TASK_PINNED, which the task changes while it runs, and the class, which anybody may: by read-modify-writes */
	ATOMIC(uint8_t) on_cpu; /* core/oncpu.h */
	int32_t saved_errno;    /* errno while it does not run */
	union {
		ATOMIC(uint32_t) futex; /* TASK_FOREIGN: 1 while it sleeps */
		struct {
			uint16_t nwaiters;    /* PARKED: how many waiters; task only */
			ATOMIC(uint8_t) home; /* number of its runtime; constant from its start on. Not of TASK_FOREIGN */
		};
	};
	struct inject_node next; /* link of the queue it is in */
	union {
		struct waiter
			*waiters; /* PARKED: first of its waiters (NULL: none); after WOKEN: the one that was claimed, set by the claimer */
		struct locals *inherited; /* NEW: core/local.h */
	};
	/* line 1: what blocking calls and start and end touch */
	ATOMIC(int64_t) deadline;     /* of the open wait; WEFT_FOREVER: none. Written by the task before it opens the wait */
	int64_t limit;                /* its context's deadline; task only */
	weft_ctx *wctx;               /* context it runs under, one reference; NULL: the root. Task only */
	struct stack *stack;          /* NULL before the first run */
	void (*fn)(void);             /* a weft_task_fn, or any function (TASK_REGS) */
	const struct weft_site *site; /* where it was started; static; NULL: unknown */
	uint64_t id;
	ATOMIC(uint32_t) refs;
	int32_t result; /* valid when DONE */
	/* line 2 */
	char *name;                /* ours; NULL: none. Changed by the task only */
	ATOMIC(uint64_t) permit;   /* park/unpark: PERMIT_* or the open wait word of a parked task (core/park.c) */
	struct list_node ctx_link; /* in wctx's list; under its lock */
	union {
		struct weft__go_args args; /* NEW: argument registers, or args.i[0] = arg of a weft_task_fn */
		struct {                   /* from the first run on */
			union {
				uintptr_t args_i[6]; /* args.i, until fn is called; args.f is gone */
				struct {
					struct task_own own; /* from then on; task only */
					union {
						struct weft_gen *own_gen; /* of a generator: itself (sync/gen.c) */
						struct actor *own_actor;  /* of an actor, from its start (actor/actor.c) */
					};
					uint32_t
						own_held; /* locks that know it as their owner; the task's. REASON_FELL: that are poisoned, each of which keeps the record: atomic then */
					uint16_t own_home; /* TASK_PINNED: id of its worker */
					uint16_t own_pins; /* TASK_PINNED: how many times */
				};
			};
			struct timer_node timer; /* one node a task; stays linked after a wake-up (core/wait.c) */
			int64_t parked_at;       /* coarse time of the last park, for dumps */
		};
	};
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct weft_task) <= RECORD_SIZE, "a task record is at most 256 bytes");
_Static_assert(WORKERS_MAX <= UINT16_MAX, "own_home is a worker's id");

static inline struct weft_task *task_of_next(struct inject_node *n)
{
	return n ? container_of(n, struct weft_task, next) : NULL;
}

/* Whoever asks has a handle, or the task, or has claimed its wait; nobody is told anything by these alone. */
static inline bool task_is(const struct weft_task *t, unsigned flags)
{
	return load_relaxed(&t->flags) & flags;
}

/* The first task, or one that has called weft_shutdown: its end may take the runtime down (core/life.c). */
static inline bool task_is_main(const struct weft_task *t)
{
	return (load_relaxed(&t->flags) & (TASK_REGS | TASK_MAIN)) == TASK_MAIN; /* as in task_is */
}

/* The caller's task ends as the first one does. It has begun, so nobody asks for TASK_REGS any more. */
static inline void task_mark_main(struct weft_task *t)
{
	uint8_t was = load_relaxed(&t->flags); /* as in task_is */

	while (!cas_relaxed(&t->flags, &was, (uint8_t)((was & ~(unsigned)TASK_REGS) | TASK_MAIN))) /* beside weft_task_prio */
		;
}

/* Made runnable by w, may t go to w's own queues as it is? Not a thread's record, not one that goes to a queue of its kind, or is another runtime's. (The number is in the line that the claim has touched.) */
#define TASK_STAYS(t, w) likely(!task_is((t), TASK_FOREIGN | TASK_APART) && load_relaxed(&(t)->home) == (w)->home) /* constant */

/* Its number for reports; that of a foreign thread, negative. */
static inline int64_t task_number(const struct weft_task *t)
{
	return task_is(t, TASK_FOREIGN) ? -(int64_t)t->id : (int64_t)t->id;
}

/* Before its first run. */
static inline void task_mark(struct weft_task *t, unsigned flags)
{
	store_relaxed(&t->flags, (uint8_t)(load_relaxed(&t->flags) | flags)); /* see task_is */
}

/* The caller's, which runs: beside weft_task_prio. */
static inline void task_mark_running(struct weft_task *t, unsigned flags)
{
	uint8_t was = load_relaxed(&t->flags); /* as in task_is */

	while (!cas_relaxed(&t->flags, &was, (uint8_t)(was | flags))) /* the same */
		;
}

/* Has it failed? Who finds so sees all that it did before. Of a task that is not kept, by a lock that is poisoned, the answer may be another's at any time. */
static inline bool task_fell(const struct weft_task *t)
{
	return load_acquire(&t->reason) == REASON_FELL; /* pairs with the release in weft__task_fall */
}

/* A lock knows t, the caller's, as its owner from here on; and no more. For locks that have an owner: all of them, always. Of a foreign thread nobody asks. */
static ALWAYS_INLINE void task_holds(struct weft_task *t)
{
	t->own_held++; /* plain, so that it is one instruction */
}

static ALWAYS_INLINE void task_holds_not(struct weft_task *t)
{
	t->own_held--;
}

static inline void task_set_state(struct weft_task *t, enum weft_task_state s)
{
	store_relaxed(&t->state, (uint8_t)s); /* for readers only; what it means is ordered by queue, claim or settling */
}

#endif
