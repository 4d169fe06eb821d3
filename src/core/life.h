/* SPDX-License-Identifier: MIT
 *
 * life.h - the states of a runtime, and how it ends when its tasks have (life.c).
 */
#ifndef WEFT_CORE_LIFE_H
#define WEFT_CORE_LIFE_H

#include "core/runtime.h"

/* --- life.c --- */
void weft__life_begin(struct runtime *rt);    /* about to be published */
void weft__life_gate(struct runtime *rt);     /* a worker, before its first look for work: waits while the runtime is paused */
void weft__life_stopping(struct runtime *rt); /* its result is decided */
int weft__life_shut(struct runtime *rt,
		    int64_t deadline); /* as weft_shutdown_until, by another than its tasks, who is in rt, and leaves it */
enum weft_state weft__life_state(struct runtime *rt);
void weft__life_over(struct runtime *rt); /* no worker runs any more: nobody waits for its tasks */
void weft__life_down(struct runtime *rt); /* it is gone */

/* The end of a task with TASK_MAIN: the first one, or one that has called weft_shutdown. Before it counts as finished. */
void weft__life_main_ended(struct runtime *rt, struct weft_task *t, int result);

/* A timer that will start a task was set, or is so no more. */
void weft__life_timer(struct runtime *rt, bool set);

/* Of a job of a pool of rt's nobody need be told any more: who looked before may have counted it. Any thread; rt need not be up. */
void weft__life_told(struct runtime *rt);

/* Such a timer was set to go off at once, by a cancel, or is so no more: a shutdown waits for what it starts. */
void weft__life_hurried(struct runtime *rt, bool set);

/* A start has failed that was counted: by a thread that is no worker. */
void weft__life_unstarted(struct runtime *rt);

/* w is about to sleep, and rt->watch is set: have all tasks ended? Returns whether that has changed anything for w. */
bool weft__life_look(struct worker *w);

/* A worker is about to sleep, counts as asleep, and rt->watch is set: shall it go over all tasks once more (weft__ctx_root_walk), for it is the last, and no worker is in the middle of a start? */
bool weft__life_walk(struct runtime *rt);

/* Is the end of this task not waited for: one that has called weft_shutdown, or serves the process? */
bool weft__life_excused(struct weft_task *t);

/* --- several.c --- */
void weft__several_risen(struct runtime *rt); /* one of weft_make's is up */
void weft__several_down(struct runtime *by);  /* by's tasks run no more */

/* --- ctx_root.c --- */
int weft__ctx_root_cancel(struct runtime *rt); /* 0, or WEFT_EALREADY */
void weft__ctx_root_walk(struct runtime *rt);
void weft__ctx_root_down(struct runtime *rt);
void weft__ctx_root_over(struct runtime *rt);
size_t weft__ctx_service_tasks(struct runtime *rt);
bool weft__ctx_serves(struct weft_task *t); /* is among them */

#endif
