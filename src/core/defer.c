/* SPDX-License-Identifier: MIT
 *
 * defer.c - what a task has deferred, panic, and the end of a task by its own will.
 *
 * What is deferred lies in the frames of who deferred it, linked in the record, innermost first. Leaving a block takes its own off (the compiler calls weft__defer_end);
 * exit and panic take off and run all, or all down to the try, on top of the stack as it stands; only then is the stack left, by longjmp to the frame of
 * weft_task_try or for good.
 *
 *	own.defers -> d3 -> d2 | -> d1         a panic inside the try runs d3 and d2, and jumps
 *	own.tries  ------------+               exit runs d3, d2, d1: no try holds it
 *	own.unwinding -> what is being said, while they run
 */
#include "base/check.h"
#include "core/local.h"
#include "core/lot.h"
#include "core/runtime.h"
#include "core/sched.h"
#include "weft/defer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A weft_task_try, in its frame. */
struct trying {
	jmp_buf env;
	struct weft_task *task;
	struct trying *up;           /* the one around it */
	struct unwinding *unwinding; /* what was being unwound when it began */
	weft_defer *below;           /* what was deferred when it began */
	weft_ctx *ctx;               /* the context it began under, borrowed: whoever entered another has that one's reference */
	panic_heard *heard;          /* NULL: none */
	void *heard_arg;
	weft_panic panic;
};

/* A panic that runs what is deferred, in its frame. */
struct unwinding {
	struct trying *to; /* NULL: the task ends */
	weft_panic *panic;
};

static inline struct weft_task *self(void)
{
	struct worker *w = weft__worker();

	return w ? load_relaxed(&w->cur) : NULL; /* own */
}

void weft__defer_push(weft_defer *d, void (*fn)(void *arg), void *arg)
{
	struct weft_task *t = self();

	d->weft__fn = fn;
	d->weft__arg = arg;
	d->weft__task = t;
	if (unlikely(!t))
		return;
	d->weft__next = t->own.defers;
	t->own.defers = d;
}

void weft__defer_drop(weft_defer *d)
{
	struct weft_task *t = d->weft__task;

	if (unlikely(!t))
		return;
	if (unlikely(t->own.defers != d))
		weft__fatal("a block with something deferred was left by a jump, or by another task than entered it");
	t->own.defers = d->weft__next;
}

CALLS_OUT void weft__defer_end(weft_defer *d)
{
	weft__defer_drop(d);
	d->weft__fn(d->weft__arg);
}

/* Runs what is deferred, down to `below`. */
CALLS_OUT static void run_defers(struct weft_task *t, weft_defer *below)
{
	while (t->own.defers != below)
		weft__defer_end(t->own.defers);
}

/* --- panic --- */

CALLS_OUT int weft__task_try(weft_task_fn *fn, void *arg, weft_panic *out, panic_heard *heard, void *heard_arg)
{
	struct trying y; /* large, and most of it is for a panic only */
	int rc;

	y.task = self();
	if (out) {
		out->message[0] = '\0';
		out->file = NULL;
		out->line = 0;
	}
	if (!y.task)
		return fn(arg);
	y.up = y.task->own.tries;
	y.below = y.task->own.defers;
	y.unwinding = y.task->own.unwinding;
	y.ctx = y.task->wctx;
	y.heard = heard;
	y.heard_arg = heard_arg;
	y.task->own.tries = &y;
	if (_setjmp(y.env) == 0) {
		rc = fn(arg);
	} else {
		rc = WEFT_EPANIC;
		y.task->own.unwinding = y.unwinding;
		if (out)
			*out = y.panic;
	}
	y.task->own.tries = y.up;
	return rc;
}

CALLS_OUT int weft_task_try(weft_task_fn *fn, void *arg, weft_panic *out)
{
	int rc = weft__task_try(fn, arg, out, NULL, NULL);

	NO_JUMP();
	return rc;
}

static void say(struct weft_task *t, const weft_panic *p)
{
	char label[64];

	weft__log("task %llu (%s) panicked: %s (%s:%d)", (unsigned long long)t->id, weft__task_label(t, label, sizeof label), p->message,
		  p->file, p->line);
	if (weft__fatal_hook)
		weft__fatal_hook();
}

bool weft__panic_report(struct weft_task *t)
{
	if (!t->own.unwinding)
		return false;
	say(t, t->own.unwinding->panic);
	return true;
}

/* Nobody tries: the task ends with it. */
static NORETURN void uncaught(struct weft_task *t, const weft_panic *p)
{
	char label[64];
	bool first = t->id == weft__worker()->rt->main_id; /* not one that has called weft_shutdown */

	/* a handle that is given back later without a look at the result: record_free, in record.h */
	if (!first && (!task_is(t, TASK_JOINABLE) || load_acquire(&t->refs) == 1)) /* pairs with the release of the handle */
		weft__fatal("task %llu (%s) panicked: %s (%s:%d)", (unsigned long long)t->id, weft__task_label(t, label, sizeof label),
			    p->message, p->file, p->line);
	say(t, p);
	locals_end(t); /* may wait, and so must come before the reason is told */
	if (!first)
		store_relaxed(&t->reason, (uint8_t)REASON_PANICKED); /* before DONE */
	weft__task_leave(WEFT_EPANIC);
}

CALLS_OUT void weft__panic_at(const char *file, int line, const char *fmt, ...)
{
	struct weft_task *t = self();
	struct unwinding here, *up;
	weft_panic first = {.line = 0};
	struct trying *y;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(first.message, sizeof first.message, fmt, ap);
	va_end(ap);
	if (!t)
		weft__fatal("panic off a task: %s (%s:%d)", first.message, file, line);
	first.file = file;
	first.line = line;
	y = t->own.tries;
	up = t->own.unwinding;
	if (up && up->to == y && n >= 0 && (size_t)n < sizeof first.message) /* in something deferred */
		snprintf(first.message + n, sizeof first.message - (size_t)n, "; after: %.100s", up->panic->message);
	here.to = y;
	here.panic = y ? &y->panic : &first;
	*here.panic = first;
	t->own.unwinding = &here;
	run_defers(t, y ? y->below : NULL);
	if (!y)
		uncaught(t, here.panic);
	if (y->heard)
		y->heard(y->heard_arg, here.panic);
	if (t->wctx != y->ctx) /* entered without anything deferred that leaves it */
		weft__ctx_back(t, y->ctx);
	_longjmp(y->env, 1);
}

CALLS_OUT void weft_task_exit(int result)
{
	struct weft_task *t = self();

	if (!t)
		weft__fatal("weft_task_exit called on a thread that runs no task");
	t->own.tries = NULL; /* none holds it */
	t->result = result;  /* for those among them who are asked for it */
	run_defers(t, NULL);
	if (unlikely(t->own.unwinding != NULL)) /* in something deferred that a panic runs: the panic stands */
		uncaught(t, t->own.unwinding->panic);
	weft__task_leave(result);
}
