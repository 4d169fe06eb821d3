/* SPDX-License-Identifier: MIT
 *
 * backtrace.h - return addresses of a stack: one that is at rest, the caller's own, or one that another worker runs on.
 */
#ifndef WEFT_DEBUG_BACKTRACE_H
#define WEFT_DEBUG_BACKTRACE_H

#include "debug/peek.h"
#include "debug/unwind.h"
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#define TRACE_MAX 64
#define STACK_WINDOW 1024 /* bytes of a stack read at once */

struct weft_task;

struct trace {
	int n;
	bool exact;              /* pc[0] is where it stands; else all are return addresses */
	bool cut;                /* there is more, but not in pc, or it cannot be read */
	uintptr_t pc[TRACE_MAX]; /* innermost first */
};

/* What walks need. One user at a time. */
struct tracer {
	struct peek peek;
	struct unwind_cache rules;
	uintptr_t at; /* window: [at, at + len) of the stack walked now */
	size_t len;
	char window[STACK_WINDOW];
	ucontext_t self; /* too large for a small stack */
};

void weft__tracer_open(struct tracer *tr);
void weft__tracer_close(struct tracer *tr);

/* Walks a stack at rest from r. */
void weft__backtrace_walk(struct tracer *tr, const struct regs *r, struct trace *out);

/* The caller's own, from the caller of this function on. */
void weft__backtrace_self(struct tracer *tr, struct trace *out);

/* What the worker on thread `tid` runs: interrupts it, and waits for its answer at most 100 ms.
 *
 *   task  receives the task it stood on, NULL for none
 *
 * Returns 0; WEFT_ESRCH (no such thread), WEFT_ETIMEDOUT (no answer), WEFT_EINVAL (the signal is not ours).
 */
int weft__backtrace_running(struct tracer *tr, int tid, struct trace *out, struct weft_task **task);

/* The handler of TRACE_SIGNAL, which that needs. Installed only where the disposition is the default. Counted: each install has its uninstall.
 * While the handler is ours workers do not block the signal (weft__hooks.open_signal). */
#define TRACE_SIGNAL SIGURG /* ignored by default, and sent by nobody who does not ask for it: harmless when it comes late */
void weft__backtrace_install(void);
void weft__backtrace_uninstall(void);

#endif
