/* SPDX-License-Identifier: MIT
 *
 * process.h - what process.c has for run.c.
 */
#ifndef WEFT_SERVE_PROCESS_H
#define WEFT_SERVE_PROCESS_H

#include "weft/process.h"

/* Whether there is one now; for a thread it may be gone at once. */
bool weft__proc_runtime_up(void);

/* Whether its context's end has ended it. */
bool weft__proc_struck(weft_proc *p);

/* Ends it for certain and waits for that, whatever becomes of the caller: SIGTERM, after `grace` SIGKILL. */
void weft__proc_end(weft_proc *p, int64_t grace);

/* The runtime goes down, and a call that has p in its frame never returns (weft__file_hold): kills it, waits for that, gives p up. */
void weft__proc_forsake(weft_proc *p);

#endif
