/* SPDX-License-Identifier: MIT
 *
 * loop.h - the loop of one worker: where it sleeps, what wakes it, and how it hears of descriptors.
 *
 * Two files behind this interface, chosen by the build option `loop`:
 *   loop_epoll.c  Linux: one edge-triggered epoll set, each descriptor in it once; the libuv loop's descriptor is one of them
 *   loop_uv.c     portable: a uv_poll handle a descriptor, kept armed
 * What both do with the libuv loop inside: loop_hold.c.
 *
 * Tasks never call libuv (law 6).  A libuv loop runs on an OS stack, by whoever holds its lock: the owner, or a worker that looks after it while the
 * owner is stuck in a task.  Claimed tasks are returned as a list, oldest first, for weft__ready_list.
 */
#ifndef WEFT_CORE_LOOP_H
#define WEFT_CORE_LOOP_H

#include "base/compiler.h"
#include "core/injectq.h"
#include <stdbool.h>
#include <stdint.h>

struct loop;
struct runtime;
struct weft_task;
struct ready_list;
struct polldesc;

#define LOOP_WARDS_MAX 8

/* A loop of rt's, with its wake-up. Returns 0 or a negative code; *out is NULL on error. */
int weft__loop_make(struct loop **out, struct runtime *rt);

/* Whose it is. */
struct runtime *weft__loop_runtime(const struct loop *l);

/* Closes all of it. Owner's thread, or any once the owner is gone; nobody is watched any more. NULL is allowed. */
void weft__loop_free(struct loop *l);

/* Blocks until kicked, an event of the loop, the absolute monotonic deadline (INT64_MAX: none), or until one of n wards (loops of workers that are stuck) has
 * something: that is left to be polled. Owner, on its own stack. May return early. */
struct inject_node *weft__loop_sleep(struct loop *l, int64_t deadline, struct loop *const *wards, unsigned n);

enum loop_caller {
	LOOP_OWNER, /* the owner, on its own stack */
	LOOP_TASK,  /* the owner, on a task's stack, which is too small for libuv. *flag: come back on your own */
	LOOP_OTHER, /* another worker, on its own stack. *flag: the owner's wake-up was taken in; if it sleeps, it must be kicked again */
	LOOP_GUEST /* any worker, on its own stack, for descriptors only, where these can be told apart: what is libuv's is left to the owner. *flag: as above */
};

/* What is there, without blocking. */
struct inject_node *weft__loop_poll(struct loop *l, enum loop_caller who, bool *flag);

/* Descriptors are watched, or operations wait: needs to be polled while its worker is busy. Any thread; a hint. */
bool weft__loop_watches(struct loop *l);

/* Has libuv handles or requests that keep it alive. Owner, or any while all workers sleep. */
bool weft__loop_active(struct loop *l);

/* Makes weft__loop_sleep return, now or next time. Any thread. Orders nothing (core/parker.h does). */
void weft__loop_kick(struct loop *l);

/* Its worker is retired, or not any more: what is waited for by others' tasks moves at once, where it can. Any thread. */
void weft__loop_leave(struct loop *l, bool leaves);

/* Something that is to be done with libuv, by whoever holds the loop, on an OS stack. */
struct loop_op {
	struct inject_node node;
	void (*run)(struct loop_op *op, void *uv); /* uv: the uv_loop_t */
};

/* Hands op to the loop. own: the caller's; else its worker must be woken by the caller. Any thread. */
void weft__loop_post(struct loop *l, struct loop_op *op, bool own);

/* More, or less, of what libuv does for somebody is under way: the loop is polled while its worker is busy. Any thread. */
void weft__loop_expect(struct loop *l, int more);

/* In a callback of libuv's, or in run of an op: t was claimed, and shall be made runnable. */
void weft__loop_ready(struct loop *l, struct weft_task *t);

/* No worker runs any more: does what was posted, and waits for libuv up to ms milliseconds. What becomes ready is nobody's task. */
void weft__loop_run_out(struct loop *l, int ms);

/* Sees to it that the next event of a side of fd is heard, by l if fd is not watched yet, or has been waited for by l's worker several times in a row. pd locked. own: l is the calling worker's. Returns 0 or a
 * negative code. */
int weft__loop_want(struct loop *l, struct polldesc *pd, int fd, unsigned dir, bool own);

/* fd may be another file than the one that is watched: watches this one; what is ready now is heard again. pd locked, and watched. Returns 0 or a negative
 * code. */
int weft__loop_again(struct polldesc *pd, int fd);

/* fd is to be closed, or not watched any more; poll_shut has been called. pd locked. True: done. False: ends in weft__loop_forgotten(pd, r), called with
 * nothing locked but the loop; until then fd must stay open. */
bool weft__loop_forget(struct polldesc *pd, int fd);

/* The runtime of pd's loop goes down: pd is watched by nobody from here on. pd locked; the caller runs that runtime's loops, nobody else does. */
void weft__loop_quit(struct polldesc *pd);

/* The same of a loop: lets go of what it was to let go of. Whom that wakes is added to r. */
void weft__loop_clear(struct loop *l, struct ready_list *r);

/* Handed in by io/fd.c: what forget has promised. Claims whom it would wake, and adds them to r: a worker that is about to sleep makes nothing runnable. */
extern HIDDEN void (*weft__loop_forgotten)(struct polldesc *pd, struct ready_list *r);

#endif
