/* SPDX-License-Identifier: MIT
 *
 * dump.h - every task on paper: who it is, what it waits for and how long, where it was started, its stack.
 */
#ifndef WEFT_DEBUG_DUMP_H
#define WEFT_DEBUG_DUMP_H

struct verdict;

/* Every task and every foreign thread that has waited in weft, to fd. Any thread, while tasks run; takes no lock that a task may hold.
 * With more than DUMP_FULL_TASKS tasks, those alike (function, state, reason, stack) are folded: DUMP_ALIKE of each kind in full, the others counted. */
void weft__dump_all(int fd);

/* The report when every task waits for another, to standard error. */
void weft__dump_deadlock(const struct verdict *v);

/* The calling task, if any, and the caller's stack, to standard error: before weft dies. */
void weft__dump_self(void);

#endif
