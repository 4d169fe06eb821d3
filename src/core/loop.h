/* SPDX-License-Identifier: MIT
 *
 * loop.h - the libuv loop of one worker: where it sleeps, and what wakes it.
 *
 * Tasks never call libuv (law 6).  The loop runs on an OS stack, by its owner.  loop_kick is the only call for other threads.
 */
#ifndef WEFT_CORE_LOOP_H
#define WEFT_CORE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

/* A loop with its wake-up handle. Returns 0 or libuv's code; *out is NULL on error. */
int weft__loop_make(struct loop **out);

/* Closes all of it. Owner's thread, or any once the owner is gone. NULL is allowed. */
void weft__loop_free(struct loop *l);

/* Blocks until kicked, an event of the loop, or the absolute monotonic deadline (INT64_MAX: none); runs the events' callbacks. Owner, on its own
 * stack. May return early. */
void weft__loop_sleep(struct loop *l, int64_t deadline);

/* Runs what is ready, without blocking. Owner, on its own stack. */
void weft__loop_poll(struct loop *l);

/* Has handles or requests of its own besides the wake-up: needs to be polled while the worker is busy. */
bool weft__loop_active(struct loop *l);

/* Makes loop_sleep return, now or next time. Any thread. Orders nothing (core/parker.h does). */
void weft__loop_kick(struct loop *l);

#endif
