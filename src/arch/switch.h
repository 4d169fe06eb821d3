/* SPDX-License-Identifier: MIT
 *
 * switch.h - switches from one stack to another and tells the sanitizers, if there are any.
 *
 * The only caller of arch_switch.  Law: called from noinline functions of core/ only, so that no caller's idea of "this
 * thread" is kept in a register across it.
 *
 *   from side:  switch_context(...)                                      returns when somebody switches back
 *   to side:    returns from its own switch_context, or, the first time, runs its entry(pass, arg).  The entry must itself
 *               call  if (unlikely(weft__san)) weft__san_after_switch(its own san_fiber)  before anything else.
 */
#ifndef WEFT_ARCH_SWITCH_H
#define WEFT_ARCH_SWITCH_H

#if defined(__x86_64__)
#include "arch/x86_64.h"
#elif defined(__aarch64__)
#include "arch/aarch64.h"
#else
#error "weft: this CPU has no src/arch files yet"
#endif
#include "base/sanitizer.h"

/* Stops `from` and goes on with `to`.
 *
 *   from, from_san  the running stack: where it is kept until somebody switches back
 *   to, to_san      a stopped or freshly made context on which nobody runs
 *   pass            handed to the side that goes on
 *   from_ends       `from` will never be switched to again
 *
 * Returns the pass of the switch that came back, possibly on another thread.
 */
static ALWAYS_INLINE void *switch_context(struct context *from, struct san_fiber *from_san, struct context *to, struct san_fiber *to_san,
					  void *pass, int from_ends)
{
	if (unlikely(weft__san))
		weft__san_before_switch(from_san, to_san, from_ends);
	pass = arch_switch(from, to, pass);
	if (unlikely(weft__san))
		weft__san_after_switch(from_san);
	return pass;
}

#endif
