/* SPDX-License-Identifier: MIT
 *
 * contain.h - a task that fails in code of its own ends, and the process goes on: where that is asked for, and possible (contain.c).
 */
#ifndef WEFT_CORE_CONTAIN_H
#define WEFT_CORE_CONTAIN_H

#include "base/compiler.h"
#include "core/stack.h"
#include <signal.h>

struct worker;

/* How a task has failed. */
struct fall {
	struct weft_task *task; /* NULL: none has */
	int code;               /* WEFT_EOVERFLOW, WEFT_EFAULT, ... */
	bool aborted;           /* by abort */
	bool has_address;
	uintptr_t address; /* that it has touched, or at which it stands */
	uintptr_t lo, hi;  /* its stack */
	uintptr_t top;     /* in the frame of whoever may end it: all below are its own */
	uintptr_t pc;      /* where in its code */
	bool ret;          /* that is a return address, or otherwise behind what has failed; before the walk: of the registers' */
};

enum own_code {
	OWN_NOT,   /* somebody else's work is under way */
	OWN_NOW,   /* it can be ended where it stands */
	OWN_LATER, /* its stack is full in a call that it has made of somebody else's: it can be when that returns */
};

struct runtime;

/* From here on rt's tasks may be contained. Returns 0; WEFT_ENOTSUP: not here (a sanitizer, no handlers, weft cannot be told from the program). Any thread that is in rt. */
int weft__contain_up(struct runtime *rt);

/* Real nanoseconds for which a handler waits for another to come to an end. Tests only change it. */
extern HIDDEN int64_t weft__contain_patience;

/* The fault handler: may the task that stands on this thread be ended? Then the context has been made one that goes on on the worker's own stack, and true is returned. */
bool weft__contain(int sig, const siginfo_t *info, void *context);

/* That stack: a task has been ended. */
void weft__contain_end(struct worker *w);

/* From above. asks: in the fault handler, of a task that runs: is it contained, and up to which frame (an address in it)? leaves, told: on a worker's own stack: it is about to be no
 * more; returns what stands on it; that shall end. */
struct contain_hooks {
	bool (*asks)(const struct weft_task *t, uintptr_t *top);
	void *(*leaves)(struct weft_task *t);
	void (*told)(struct worker *w, void *what, int code);
	int (*prepare)(void); /* debug/owncode.h */
	enum own_code (*own)(struct fall *f, const struct overflow_regs *r, uintptr_t *ret_at);
	void (*name)(uintptr_t pc, bool ret, char *buf, size_t n);
};
extern HIDDEN struct contain_hooks weft__contain_hooks;

#endif
