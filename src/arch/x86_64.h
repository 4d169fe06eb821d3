/* SPDX-License-Identifier: MIT
 *
 * x86_64.h - the context switch of x86_64, inlined, and the constants its assembler half shares (x86_64.S).
 *
 * Always jmp, never ret, into the other context: a ret to an address that no call pushed last is predicted wrong every time.
 * pass travels in rax.  The contract is in context.h.
 */
#ifndef WEFT_ARCH_X86_64_H
#define WEFT_ARCH_X86_64_H

#define GO_ARGS_I 0 /* offsets in struct weft__go_args (core/goargs.h) */
#define GO_ARGS_F 48
#define GO_ARGS_SIZE 96
#define GO_CALL_RC 0 /* offset in struct weft__go_call (weft/go.h) */

#define ARCH_NOP 1            /* bytes of the shortest instruction */
#define ARCH_TRAP_IS_BEHIND 1 /* of a breakpoint the program counter is past the instruction */

#define ARCH_RED_ZONE 128 /* bytes below a parked sp that may hold live locals */

#include "arch/context.h"

#ifndef __ASSEMBLER__
#include "base/compiler.h"

/* The resume point is reached by an indirect jump, which IBT lets land on endbr64 only. */
#if defined(__CET__) && (__CET__ & 1)
#define ARCH_LANDING "endbr64\n"
#else
#define ARCH_LANDING
#endif

#ifdef __AVX512F__
#define ARCH_CLOBBERS_AVX512                                                                                                            \
	, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", \
		"xmm30", "xmm31", "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#else
#define ARCH_CLOBBERS_AVX512
#endif

/* From the new stack pointer to the jump the stack is neither context's: an unwinder that looks from a signal handler stops
 * here.  The macro is the compiler's word that it writes CFI directives itself. */
#ifdef __GCC_HAVE_DWARF2_CFI_ASM
#define ARCH_CFI_AWAY ".cfi_remember_state\n\t.cfi_undefined rip\n\t"
#define ARCH_CFI_BACK ".cfi_restore_state\n\t"
#else
#define ARCH_CFI_AWAY
#define ARCH_CFI_BACK
#endif

/* The value of a thread-local pointer of this library (initial-exec), as it is now, for the thread that runs this now. */
#define ARCH_THREAD_LOCAL(symbol)                                           \
	({                                                                  \
		void *value_;                                               \
		__asm__ volatile("movq " #symbol "@gottpoff(%%rip), %0\n\t" \
				 "movq %%fs:(%0), %0"                       \
				 : "=r"(value_)                             \
				 :                                          \
				 : "memory");                               \
		value_;                                                     \
	})

/* Stops `from` here and goes on with `to`; returns the pass of the switch that comes back here.  rbp is saved by hand, because
 * gcc refuses it as a clobber where frames are kept.  A numeric label, so that the compiler may copy the statement. */
static ALWAYS_INLINE void *arch_switch(struct context *from, struct context *to, void *pass)
{
	/* clang-format off */
	__asm__ volatile("leaq 1f(%%rip), %%rcx\n\t"
			 "movq %%rsp, %c[sp](%%rdi)\n\t"
			 "movq %%rcx, %c[pc](%%rdi)\n\t"
			 "movq %%rbp, %c[fp](%%rdi)\n\t"
			 ARCH_CFI_AWAY
			 "movq %c[sp](%%rsi), %%rsp\n\t"
			 "movq %c[fp](%%rsi), %%rbp\n\t"
			 "jmpq *%c[pc](%%rsi)\n"
			 "1:\t" ARCH_CFI_BACK ARCH_LANDING
			 : "+a"(pass), "+D"(from), "+S"(to)
			 : [sp] "i"(CONTEXT_SP), [pc] "i"(CONTEXT_PC), [fp] "i"(CONTEXT_FP)
			 : "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2", "xmm3",
			   "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "mm0",
			   "mm1", "mm2", "mm3", "mm4", "mm5", "mm6", "mm7", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)",
			   "st(7)" ARCH_CLOBBERS_AVX512, "cc", "memory");
	/* clang-format on */
	return pass;
}
#endif
#endif
