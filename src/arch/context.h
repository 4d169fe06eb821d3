/* SPDX-License-Identifier: MIT
 *
 * context.h - the contract of a context switch.
 *
 * A context is what a stopped task needs to go on: where its stack pointer, its program counter and its frame pointer were.
 * Everything else that the ABI makes a function preserve (x86_64: rbx, r12-r15; aarch64: x19-x28, d8-d15) is saved by the
 * compiler around the switch, because the switch declares it clobbered: only what is live is saved.
 *
 *   arch_switch(from, to, pass)           stops `from`, goes on with `to`; returns what the switch that comes back passes
 *   weft__arch_switch_called(...)         the same as a called function, where inlining is not possible
 *   arch_context_make(c, hi, entry, arg)  the first switch to c calls entry(pass, arg) on the stack that ends at hi
 *
 * Saved:      sp, pc, fp, callee-saved registers that are live.
 * Not saved:  MXCSR and the x87 control word, FPCR: floating-point control belongs to the thread.  errno is saved by core/.
 *             The signal mask and the alternate stack belong to the thread.
 * pass:       travels in a register, so that the resumed side learns its worker without reading thread-local storage, whose
 *             address the compiler may have kept from before the switch (law 7).
 * Alignment:  a new context's stack pointer is 16-byte aligned before the call of its entry.
 * Below sp:   ARCH_RED_ZONE bytes below a parked context's sp belong to it: the switch is inlined into functions that may keep
 *             locals there, and leaves them where they are, because nobody runs on a parked stack.  Who trims parked stacks
 *             trims below sp - ARCH_RED_ZONE.
 * Returns:    the processor predicts a ret from a stack of its own, which follows calls and rets and knows nothing of switches: a function that returns after a
 *             switch is predicted to return to where the stopped context would have.  So a context begins by a jump, not a call, and ends by one: who waits for
 *             its end then finds the predictor as it was left.  Two contexts that stop in different functions mispredict once a switch.
 *             (Rejected: returning by a jump instead. It saves that, but leaves the predictor an entry too many each time, and the rets that
 *             follow, also those of users' loops, get slower by more: docs/performance.md.)
 * End:        the first frame has an undefined return address (CFI) and a zero frame pointer: unwinders stop there.
 * Who calls:  arch/switch.h only, and it is called only from noinline functions of core/ that have no variable-length array
 *             and no alloca (clang would want rbx or x19 for their frames).
 */
#ifndef WEFT_ARCH_CONTEXT_H
#define WEFT_ARCH_CONTEXT_H

#define CONTEXT_SP 0 /* offsets in struct context, for the assembler */
#define CONTEXT_PC 8
#define CONTEXT_FP 16

#ifndef __ASSEMBLER__
#include "base/compiler.h"

struct context {
	void *sp; /* stack pointer at the switch */
	void *pc; /* where to go on */
	void *fp; /* frame pointer: first link of the stopped task's frame chain, for dumps */
};

_Static_assert(offsetof(struct context, sp) == CONTEXT_SP, "arch/<cpu>.S");
_Static_assert(offsetof(struct context, pc) == CONTEXT_PC, "arch/<cpu>.S");
_Static_assert(offsetof(struct context, fp) == CONTEXT_FP, "arch/<cpu>.S");

/* First function on a context's stack: pass is the first switch's, arg was given to arch_context_make.  Never returns. */
typedef void context_entry(void *pass, void *arg);

/* The outermost frame: calls sp[0](pass, sp[1]) with an aligned stack; traps if that returns.  Never called, only arrived at. */
__attribute__((visibility("hidden"))) void weft__arch_entry(void);

/* Where a call that a task shall not come back from returns to, in place of its caller; behind the first instruction, for unwinders look for what stands before a return address. Calls weft__contain_returned
 * (core/contain.c). */
__attribute__((visibility("hidden"))) void weft__arch_fell(void);
__attribute__((visibility("hidden"))) NORETURN void weft__contain_returned(void);

/* arch_switch as a function. */
__attribute__((visibility("hidden"))) void *weft__arch_switch_called(struct context *from, struct context *to, void *pass);

/* The first switch to c calls entry(pass, arg) on the stack below stack_hi.  Writes the two topmost words of the stack. */
static inline void arch_context_make(struct context *c, void *stack_hi, context_entry *entry, void *arg)
{
	uintptr_t *sp = (uintptr_t *)(((uintptr_t)stack_hi & ~(uintptr_t)15) - 16);

	sp[0] = (uintptr_t)entry;
	sp[1] = (uintptr_t)arg;
	c->sp = sp;
	c->pc = (void *)(uintptr_t)weft__arch_entry;
	c->fp = NULL;
}
#endif

#endif
