/* SPDX-License-Identifier: MIT
 *
 * lockcheck.c - says which native mutex a task holds that is about to wait, where it was locked, and where the task waits.
 *
 * Whoever goes on on this worker and wants that mutex blocks the thread, or, if it is a recursive one, gets it; and its owner may go on on another thread, which then unlocks what it
 * has not locked. libweft-lockcheck.so (preload/lockcheck.c) knows what the thread holds.
 */
#include "debug/lockcheck.h"

#include "base/check.h"
#include "core/runtime.h"
#include "debug/symbols.h"
#include "preload/lockcheck.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static lockcheck_held_fn *held;

static void put_frame(struct symbols *s, void *pc)
{
	const struct symbol *f = weft__symbol_find(s, (uintptr_t)pc - 1); /* the call before it */
	const char *module = f->module ? weft__file_name(f->module) : NULL;
	char line[400];
	int n;

	if (f->name)
		n = snprintf(line, sizeof line, "    %.200s+%#lx (%.100s+%#lx)\n", f->name, (unsigned long)f->offset, module ? module : "?",
			     (unsigned long)f->address);
	else if (module)
		n = snprintf(line, sizeof line, "    (%.100s+%#lx)\n", module, (unsigned long)f->address);
	else
		n = snprintf(line, sizeof line, "    [%p]\n", pc);
	(void)!write(STDERR_FILENO, line, (size_t)n);
}

COLD NORETURN static void report(struct weft_task *t, const struct held_mutex *h)
{
	static struct symbols symbols; /* weft dies once */
	const char *what = load_relaxed(&t->state) == WEFT_TASK_PARKED     ? weft__reason_name((enum task_reason)load_relaxed(&t->reason))
			   : load_relaxed(&t->state) == WEFT_TASK_RUNNABLE ? "yield"
									   : "its end";

	weft__log("the pthread mutex %p was locked here:", h->mutex);
	for (int i = 0; i < h->n; i++)
		put_frame(&symbols, h->pc[i]);
	weft__fatal("task %llu holds the pthread mutex %p (see above) while it lets others run (%s); unlock it first, or use weft_mutex",
		    (unsigned long long)t->id, h->mutex, what);
}

static void check(struct weft_task *t)
{
	int n;
	const struct held_mutex *h = held(&n);

	if (unlikely(n > 0))
		report(t, &h[n - 1]);
}

lockcheck *weft__lockcheck_find(void)
{
	*(void **)&held = dlsym(RTLD_DEFAULT, LOCKCHECK_HELD);
	return held ? check : NULL;
}
