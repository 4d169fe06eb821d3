/* SPDX-License-Identifier: MIT
 *
 * dump.h - every task on paper: who it is, what it waits for and how long, where it was started, its stack.
 */
#ifndef WEFT_DEBUG_DUMP_H
#define WEFT_DEBUG_DUMP_H

#include "weft/runtime.h"

struct verdict;
struct runtime;

/* Every task and every foreign thread that has waited in weft, to fd. Any thread, while tasks run; takes no lock that a task may hold.
 * With more than DUMP_FULL_TASKS tasks, those alike (function, state, reason, stack) are folded: DUMP_ALIKE of each kind in full, the others counted.
 * Returns 0, or why fd has not taken all of it. */
int weft__dump_all(int fd, struct runtime *only);

/* The report when every task waits for another, to standard error. */
void weft__dump_deadlock(const struct verdict *v);

/* Tasks that have not ended, but those that weft_shutdown does not wait for, to standard error; or up to max of them into out. Return how many there are; 0 also when there is no memory to look. */
int weft__dump_stragglers(struct runtime *rt);
int weft__list_stragglers(struct runtime *rt, weft_task_info *out, int max);

/* The calling task, if any, and the caller's stack, to standard error: before weft dies. */
void weft__dump_self(void);

#endif
