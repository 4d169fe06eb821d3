/* SPDX-License-Identifier: MIT
 *
 * weft/supervisor.h - supervisors: actors that start others, and start them again when they fail.
 *
 *	static const weft_child_spec children[] = {
 *		{.id = "store", .start = start_store},                                 // a function that starts an actor
 *		{.id = "poller", .task = poll_for_ever, .restart = WEFT_TRANSIENT},    // a function in a task of its own
 *		{.id = "sessions", .sup = &sessions},                                  // a supervisor
 *	};
 *
 *	weft_sup_start(&sup, &(weft_sup_opts){.strategy = WEFT_REST_FOR_ONE, .children = children, .n = 3});
 *	...
 *	weft_sup_stop(sup);
 *
 * Children are started in their order, one after the other: the next when the start of the one before has returned. They are stopped in the reverse order. What a supervisor promises, and its words, are those
 * of Erlang/OTP; where it is otherwise, that is said. One that gives up ends with WEFT_EINTENSITY, abnormally (in OTP normally, by `shutdown`): so a transient one is started again by its own.
 *
 * A supervisor is an actor: its reference can be linked to, monitored, named, waited for. It traps exits. It ends, and stops its children first, when it is told to stop, when its context is cancelled, when it gets an exit
 * signal of whoever has started it, when its children fail too often, and when a significant child has ended. It calls start functions on its own task: while one blocks, it does nothing else. An exit signal that a child
 * has sent it (weft_actor_signal) is not that child's end, and is dropped.
 *
 * A child's context is below its supervisor's: who cancels that one cancels all of the tree, at once and in no order. So to end an application on a signal, do not give the supervisor weft_ctx_on_signal(...) as .ctx: wait for that context, or
 * for the signal, in main, and call weft_sup_stop_until then. An end is normal if its kind is WEFT_END_NORMAL or WEFT_END_SHUTDOWN; all others are abnormal: a code, a panic, a kill, an exit
 * signal, a context.
 *
 * C cannot end a task that does not look. A child that is still there after it was told to end, and then killed, is abandoned: the supervisor says so (on_event, or on standard error) and goes on without it.
 */
#ifndef WEFT_SUPERVISOR_H
#define WEFT_SUPERVISOR_H

#include "actor.h"
#include "registry.h"

WEFT_BEGIN_DECLS

typedef struct weft_sup_opts weft_sup_opts;

/* --- what is to be started --- */

/* Is a child that has ended by itself started again? */
enum weft_restart {
	WEFT_PERMANENT, /* always */
	WEFT_TRANSIENT, /* after an abnormal end; after a normal one its specification stays */
	WEFT_TEMPORARY, /* never; its specification goes with it */
};

/* What an abnormal end of a child means. */
enum weft_on_fail {
	WEFT_FAIL_RESTART, /* as .restart and the strategy say */
	WEFT_FAIL_RESUME, /* it is started again by itself: whatever the strategy, no other child is touched, and it is not counted. Not if it is temporary */
	WEFT_FAIL_TERMINATE, /* it is not started again; nor is any other child touched */
	WEFT_FAIL_ESCALATE,  /* the supervisor ends the same way, for its own supervisor to decide */
};

#define WEFT_CHILD_IGNORE 1     /* from a start function: nothing was started, and that is no error */
#define WEFT_SHUTDOWN_KILL (-1) /* weft_child_spec.shutdown */
#define WEFT_SHUTDOWN_DEFAULT (5 * WEFT_SEC)

typedef struct weft_child_spec {
	const char *
		id; /* its name in the supervisor: 1 to 63 bytes, copied. In that of a dynamic supervisor: of all its children's tasks, or NULL */
	/* One of the three. */
	/* Starts an actor (a server, anything that has a reference) and returns 0; WEFT_CHILD_IGNORE; or a negative code: it has failed. Start it with .link: else, should it end at once, nobody knows how. */
	int (*start)(weft_actor_ref *out, void *arg);
	int (*task)(void *arg); /* runs in an actor of its own, and may receive; 0 is a normal end, all else an abnormal one */
	const weft_sup_opts *
		sup; /* a supervisor with these options; they must stay as long as this supervisor does. Each that is started with them is done with its children's arguments at its end: dtor */
	void *arg;   /* not of a dynamic supervisor, whose children come with one each */
	size_t size; /* bytes of arg to be copied; a task gets a copy of them at each start. 0: arg is passed on as it is */
	/* Called once when the supervisor has no more use for arg: on its task; on that of the last of its children that it has abandoned; in the caller of a start that fails; when main has returned, on the thread that
	 * called weft_run. It must not block; a panic of it is told on standard error. NULL: nothing is called */
	void (*dtor)(void *arg);
	enum weft_restart restart;
	enum weft_on_fail on_fail;
	/* How long it may take to end when it is told to (an exit signal, WEFT_END_SHUTDOWN, which cancels it unless it traps those), ns; then it is killed. WEFT_SHUTDOWN_KILL: at once; WEFT_FOREVER: as long
	 * as it takes. 0: WEFT_SHUTDOWN_DEFAULT; of a supervisor: WEFT_FOREVER */
	int64_t shutdown;
	bool contain;     /* of a task: a fault in its code ends it alone (weft_actor_opts.contain) */
	bool significant; /* its end by itself may end the supervisor: auto_shutdown. Not if it is permanent */
} weft_child_spec;

/* --- the supervisor --- */

enum weft_strategy {
	WEFT_ONE_FOR_ONE,  /* who has failed is started again */
	WEFT_ONE_FOR_ALL,  /* all others are stopped, and all are started again */
	WEFT_REST_FOR_ONE, /* those behind it are stopped, and it and they are started again */
	WEFT_DYNAMIC, /* any number of children of one kind, each with its own argument, without order and ids: weft_sup_child_start. OTP's simple_one_for_one */
};

enum weft_auto_shutdown {
	WEFT_SHUTDOWN_NEVER,
	WEFT_SHUTDOWN_ANY_SIGNIFICANT, /* the supervisor ends (WEFT_END_SHUTDOWN) when a significant child has ended by itself, and is not started again */
	WEFT_SHUTDOWN_ALL_SIGNIFICANT, /* when the last of them has */
};

/* How long to wait before a child is started again: min, then mult times as long each time, up to max; from the start again when it has been up for longer than max. A group (WEFT_ONE_FOR_ALL, WEFT_REST_FOR_ONE) waits for the longest
 * wait of those in it that have failed. */
typedef struct weft_sup_backoff {
	int64_t min;   /* ns; 0: none is waited for, as in OTP */
	int64_t max;   /* ns; 0: 64 times min */
	double mult;   /* 1 or more; 0: 2 */
	double jitter; /* 0 to 1: so much of each wait, at most, is taken off at random */
} weft_sup_backoff;

enum weft_sup_event_kind {
	WEFT_SUP_STARTED,      /* a child is up */
	WEFT_SUP_RESTARTED,    /* the same, again */
	WEFT_SUP_START_FAILED, /* end.code: what start has returned */
	WEFT_SUP_EXITED,       /* by itself; end: how */
	WEFT_SUP_STOPPED,      /* by the supervisor; end: how, as far as it is known */
	WEFT_SUP_WAITING,      /* it will be started again after `delay` */
	WEFT_SUP_ABANDONED, /* it was killed, and has not ended (end.code WEFT_ETIMEDOUT); or the supervisor was, and could not wait (WEFT_ECANCELED) */
	WEFT_SUP_GAVE_UP, /* too many restarts; id: whose would have been the next */
};

/* weft_sup_event_name - "started", "restarted", "start failed", "exited", "stopped", "waiting", "abandoned", "gave up". */
WEFT_API const char *weft_sup_event_name(enum weft_sup_event_kind kind);

typedef struct weft_sup_event {
	enum weft_sup_event_kind kind;
	weft_actor_ref sup;
	const char *name;   /* the supervisor's; "" */
	const char *id;     /* the child's; "": a dynamic supervisor's, whose specification has none */
	weft_actor_ref ref; /* the child; WEFT_NO_ACTOR: it is not up */
	weft_end end;       /* of WEFT_SUP_WAITING: what it is started again for */
	uint64_t restarts;  /* how often it has been started again */
	int64_t delay;      /* ns */
} weft_sup_event;

/* weft_sup_event_text - an event as a line for a log, without its end: `supervisor top: child a: exited, code: i/o error, 2 restarts`. buf, size, and what it returns: as of snprintf. Blocks: no. Threads: any. */
WEFT_API int weft_sup_event_text(const weft_sup_event *e, char *buf, size_t size);

#define WEFT_SUP_MAX_RESTARTS 3
#define WEFT_SUP_WITHIN (5 * WEFT_SEC)
#define WEFT_SUP_PATIENCE (5 * WEFT_SEC)
#define WEFT_SUP_NO_RESTARTS (-1)
#define WEFT_SUP_UNLIMITED INT32_MAX

struct weft_sup_opts {
	enum weft_strategy strategy;
	const weft_child_spec
		*children; /* n of them, copied; of a dynamic supervisor: one, what all its children are like, of which none is started */
	size_t n;
	/* More than max_restarts within `within` ns: the supervisor stops all children and ends with WEFT_EINTENSITY. One restart of several children, by the strategy, is one; so is each further try of a start that fails. */
	int32_t max_restarts; /* up to 1,000,000; 0: WEFT_SUP_MAX_RESTARTS; WEFT_SUP_NO_RESTARTS: the first is too many; WEFT_SUP_UNLIMITED */
	int64_t within;       /* 0: WEFT_SUP_WITHIN */
	weft_sup_backoff backoff;
	enum weft_auto_shutdown auto_shutdown;
	int64_t patience; /* ns for which it waits for one that it has killed; 0: WEFT_SUP_PATIENCE; WEFT_FOREVER */
	/* Called on the supervisor's task for all that happens; it must not block, and not call the supervisor. NULL: WEFT_SUP_ABANDONED and WEFT_SUP_GAVE_UP are told on standard error. */
	void (*on_event)(const weft_sup_event *e, void *arg);
	void *event_arg;
	const char *name;     /* of its task, and in events: copied, cut at 31 bytes; NULL: "supervisor". No entry in the registry */
	const char *reg_name; /* it gets this name in the registry (weft_reg_put) before its children are started; NULL: none */
	weft_ctx *ctx;        /* parent of its own context; NULL: the caller's */
	bool link;            /* it is linked to the caller, an actor */
};

/* weft_sup_start - start a supervisor and its children.
 *
 *   out  receives its reference; NULL: not wanted
 *
 * Returns 0 when all of them are up. If the start of one fails: what it has returned (WEFT_EPANIC: it panicked), after those that were up have been stopped, in reverse order. WEFT_EINVAL: options that make no sense, also
 * a significant child where auto_shutdown is never, or that is permanent; WEFT_EEXIST: an id twice, or somebody has the reg_name; WEFT_ENAMETOOLONG; WEFT_ENOMEM, WEFT_EAGAIN, WEFT_ESRCH as weft_actor_start; WEFT_ETIMEDOUT, WEFT_ECANCELED: of the wait: then
 * it is killed. Whatever it returns, the children's arguments are not the caller's any more: each is done with, by its dtor, when the supervisor is, or has not come to be.
 * Blocks: yes (actor). Threads: any. An exit signal of the caller (WEFT_NO_ACTOR: if it is no actor), and of nobody else, ends it.
 */
WEFT_API int weft_sup_start(weft_actor_ref *out, const weft_sup_opts *o);
WEFT_API int weft_sup_start_until(weft_actor_ref *out, const weft_sup_opts *o, int64_t deadline);

/* weft_sup_stop - tell it to end, and wait until it and its children have.
 *
 * Returns, and past the deadline does, as weft_actor_stop_wait. WEFT_EDEADLK: the caller is it, or runs under its context, as its children do: it is told, and not waited for. (A child whose context is another one calls
 * weft_actor_stop instead.) 0 also if a child was abandoned on the way, and runs on: on_event has told of it (WEFT_SUP_ABANDONED). Its end is WEFT_END_SHUTDOWN, unless it has come to another just then: one that gives up ends with WEFT_EINTENSITY.
 * Blocks: yes (actor). Threads: any.
 */
WEFT_API int weft_sup_stop(weft_actor_ref sup);
WEFT_API int weft_sup_stop_until(weft_actor_ref sup, int64_t deadline);

/* --- children, at run time ---
 *
 * These ask the supervisor, and wait for its answer. All of them return, besides what they say: WEFT_ESRCH: it has ended, or ends before it answers; WEFT_EINVAL: it is no supervisor, or an argument makes no sense; WEFT_EDEADLK: the
 * caller is the supervisor itself, as in a start function; WEFT_ENOMEM. WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN: nothing was done (or it is what a start function has returned); WEFT_EALREADY: the deadline has passed, or the
 * caller was cancelled, when the supervisor was at it: it goes on with it, unless that has ended it. (A start function that returns WEFT_EALREADY is told as WEFT_EBUSY.)
 * Block: yes (event). Threads: any. What a start function waits for, as an actor's on_start, must not ask the supervisor that has called it: neither would go on. Nor may what a child does to end, its on_stop, or whatever it does
 * after an exit signal that it traps, ask the one that stops it, but with a deadline: it is waited for. (One that ends itself says so: WEFT_ESRCH.)
 */

/* weft_sup_child_add - one more child, started now, behind all others.
 *
 *   out  receives its reference (WEFT_NO_ACTOR: start has ignored it); NULL: not wanted
 *
 * Returns 0; WEFT_EEXIST: there is one of that id, and *out is that one's reference; what start has returned, then it was not added. WEFT_ENOTSUP: a dynamic supervisor; WEFT_ENAMETOOLONG. The argument is the supervisor's, with its
 * dtor, after 0 and WEFT_EALREADY, else still the caller's.
 */
WEFT_API int weft_sup_child_add(weft_actor_ref sup, const weft_child_spec *spec, weft_actor_ref *out);
WEFT_API int weft_sup_child_add_until(weft_actor_ref sup, const weft_child_spec *spec, weft_actor_ref *out, int64_t deadline);

/* weft_sup_child_start - one more child of a dynamic supervisor.
 *
 *   arg  the argument of this one, as the specification's: copied, if that has a size
 *
 * Returns as weft_sup_child_add; WEFT_ENOTSUP: it is not dynamic.
 */
WEFT_API int weft_sup_child_start(weft_actor_ref sup, void *arg, weft_actor_ref *out);
WEFT_API int weft_sup_child_start_until(weft_actor_ref sup, void *arg, weft_actor_ref *out, int64_t deadline);

/* weft_sup_child_stop - stop a child. It is not started again, unless by weft_sup_child_restart, or with others by the strategy; its specification stays, but a temporary child's. One that
 * waits to be started again does not wait any more. weft_sup_child_stop_ref - the same, by its reference; a dynamic supervisor's is gone then.
 * Return 0, also if it was not running; WEFT_ENOENT: there is none. WEFT_ENOTSUP: by its id, of a dynamic supervisor. */
WEFT_API int weft_sup_child_stop(weft_actor_ref sup, const char *id);
WEFT_API int weft_sup_child_stop_until(weft_actor_ref sup, const char *id, int64_t deadline);
WEFT_API int weft_sup_child_stop_ref(weft_actor_ref sup, weft_actor_ref child);
WEFT_API int weft_sup_child_stop_ref_until(weft_actor_ref sup, weft_actor_ref child, int64_t deadline);

/* weft_sup_child_restart - start one that is not running. Returns 0; what start has returned: it stays as it was; WEFT_EBUSY: it is running, or waits to be started again; WEFT_ENOENT, WEFT_ENOTSUP as above. */
WEFT_API int weft_sup_child_restart(weft_actor_ref sup, const char *id, weft_actor_ref *out);
WEFT_API int weft_sup_child_restart_until(weft_actor_ref sup, const char *id, weft_actor_ref *out, int64_t deadline);

/* weft_sup_child_del - drop the specification of a child that is not running; one that waits to be started again does not wait any more (in OTP that is an error). Returns 0; WEFT_EBUSY: it is running; WEFT_ENOENT, WEFT_ENOTSUP as above. */
WEFT_API int weft_sup_child_del(weft_actor_ref sup, const char *id);
WEFT_API int weft_sup_child_del_until(weft_actor_ref sup, const char *id, int64_t deadline);

/* weft_sup_child_find - whose reference it has now. Returns 0: *out is it, or WEFT_NO_ACTOR: it is not running; WEFT_ENOENT, WEFT_ENOTSUP as above. */
WEFT_API int weft_sup_child_find(weft_actor_ref sup, const char *id, weft_actor_ref *out);
WEFT_API int weft_sup_child_find_until(weft_actor_ref sup, const char *id, weft_actor_ref *out, int64_t deadline);

/* --- how it is doing --- */

enum weft_child_state {
	WEFT_CHILD_DOWN,    /* it has ended normally, was stopped, or its start has ignored it */
	WEFT_CHILD_WAITING, /* it will be started again */
	WEFT_CHILD_UP,
};

typedef struct weft_child_info {
	char id[WEFT_NAME_MAX + 1];   /* of a dynamic supervisor's: what its specification says, or "" */
	char name[WEFT_NAME_MAX + 1]; /* the first one of those that it has in the registry; "" */
	weft_actor_ref ref;           /* WEFT_NO_ACTOR: it is not up */
	enum weft_child_state state;
	enum weft_restart restart;
	bool sup;          /* it is a supervisor */
	uint64_t restarts; /* how often it has been started again */
	int64_t since;     /* when it was last started, as weft_now; 0: never */
	int64_t due;       /* WEFT_CHILD_WAITING: when it will be, as weft_now; else 0 */
} weft_child_info;

/* weft_sup_list - its children, in their order.
 *
 *   out, n  room for so many
 *
 * Returns how many there are, which may be more than n.
 */
WEFT_API int weft_sup_list(weft_actor_ref sup, weft_child_info *out, int n);
WEFT_API int weft_sup_list_until(weft_actor_ref sup, weft_child_info *out, int n, int64_t deadline);

typedef struct weft_sup_stat {
	char name[32];
	enum weft_strategy strategy;
	uint32_t children; /* specifications; of a dynamic supervisor: children */
	uint32_t up;
	uint32_t waiting;
	uint32_t sups;        /* of those up */
	uint64_t restarts;    /* in all, as max_restarts counts them */
	uint32_t recent;      /* within the last `within` */
	int32_t max_restarts; /* so many of those may be; 0, or WEFT_SUP_UNLIMITED */
	uint32_t abandoned;
	int64_t since; /* when it was started, as weft_now */
} weft_sup_stat;

/* weft_sup_health - its figures. Returns 0. */
WEFT_API int weft_sup_health(weft_actor_ref sup, weft_sup_stat *out);
WEFT_API int weft_sup_health_until(weft_actor_ref sup, weft_sup_stat *out, int64_t deadline);

#define WEFT_SUP_TREE_NO_TIMES 1u /* flags */
#define WEFT_SUP_TREE_MOST 20     /* children of a dynamic supervisor that are shown */

/* weft_sup_tree - the supervisor, and all below it, in words: a line each with name, state, restarts, and for how long it has been up, or will wait. Of a supervisor also how many restarts of its children max_restarts has counted in all.
 * Children of a dynamic one are called by their names in the registry, else as their specification is. One supervisor is asked after the other.
 *
 *   buf, size  as of snprintf: cut, if need be, and ended by a zero
 *   flags      WEFT_SUP_TREE_NO_TIMES, or 0
 *
 * Returns how many bytes there would be, without the zero.
 */
WEFT_API int weft_sup_tree(weft_actor_ref sup, char *buf, size_t size, unsigned flags);
WEFT_API int weft_sup_tree_until(weft_actor_ref sup, char *buf, size_t size, unsigned flags, int64_t deadline);

WEFT_END_DECLS

#endif
