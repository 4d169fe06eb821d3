/* SPDX-License-Identifier: MIT
 *
 * lastwords.c - frames and names for the report of a stack overflow, or another fault that ends the process, found as dumps find them.
 *
 * What it needs lies here from the start, because it runs on an alternate stack in a process that is about to end: tables that are too large for that stack, used once, by one thread. It reads the stack that is
 * full directly, within its bounds: nobody else runs on it. As dladdr does, it takes the dynamic loader's lock: a task that overflows inside dlopen may get no frames.
 */
#include "debug/lastwords.h"

#include "debug/symbols.h"
#include "debug/unwind.h"

static struct {
	struct unwind_cache rules;
	struct symbols symbols;
	uintptr_t lo, hi;
} last;

static NO_ASAN bool word_of(void *arg, uintptr_t at, uintptr_t *out)
{
	(void)arg;
	if (last.hi < sizeof *out || at < last.lo || at > last.hi - sizeof *out || at % sizeof *out)
		return false;
	*out = *(const uintptr_t *)at;
	return true;
}

bool weft__last_caller(struct overflow_regs *r, bool exact, uintptr_t lo, uintptr_t hi)
{
	struct regs regs = {.pc = r->pc, .sp = r->sp, .fp = r->fp, .lr = exact ? r->lr : 0, .probe = exact ? r->probe : 0, .base = r->base};

	last.lo = lo;
	last.hi = hi;
	if (weft__unwind_step(&last.rules, &regs, exact, word_of, NULL) != UNWIND_STEP)
		return false;
	*r = (struct overflow_regs){.pc = regs.pc, .sp = regs.sp, .fp = regs.fp, .base = regs.base};
	return true;
}

void weft__last_name(uintptr_t pc, bool ret, char *buf, size_t n)
{
	weft__symbol_text(&last.symbols, pc, ret, buf, n);
}
