/* SPDX-License-Identifier: MIT
 *
 * aarch64.h - the context switch of aarch64, inlined, and the constants its assembler half shares (aarch64.S).
 *
 * pass travels in x0.  The jump is br x17, which under BTI may land on `bti j` and `bti c` alike.  The contract is in
 * context.h.
 */
#ifndef WEFT_ARCH_AARCH64_H
#define WEFT_ARCH_AARCH64_H

#define GO_ARGS_I 0 /* offsets in struct weft__go_args (core/goargs.h) */
#define GO_ARGS_F 48
#define GO_ARGS_SIZE 96
#define GO_CALL_RC 0 /* offset in struct weft__go_call (weft/go.h) */

#define ARCH_NOP 4 /* bytes of an instruction */
#define ARCH_TRAP_IS_BEHIND 0

#define ARCH_RED_ZONE 0 /* the ABI has none */

#include "arch/context.h"

#ifndef __ASSEMBLER__
#include "base/compiler.h"

#ifdef __ARM_FEATURE_BTI_DEFAULT
#define ARCH_LANDING "hint #36\n" /* bti j */
#else
#define ARCH_LANDING
#endif

#ifdef __ARM_FEATURE_SVE
#define ARCH_CLOBBERS_SVE , "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13", "p14", "p15", "ffr"
#else
#define ARCH_CLOBBERS_SVE
#endif

/* From the new stack pointer to the jump the stack is neither context's: an unwinder that looks from a signal handler stops
 * here.  The macro is the compiler's word that it writes CFI directives itself. */
#ifdef __GCC_HAVE_DWARF2_CFI_ASM
#define ARCH_CFI_AWAY ".cfi_remember_state\n\t.cfi_undefined x30\n\t"
#define ARCH_CFI_BACK ".cfi_restore_state\n\t"
#else
#define ARCH_CFI_AWAY
#define ARCH_CFI_BACK
#endif

/* The value of a thread-local pointer of this library (initial-exec), as it is now, for the thread that runs this now. */
#define ARCH_THREAD_LOCAL(symbol)                                                \
	({                                                                       \
		void *value_, *offset_;                                          \
		__asm__ volatile("adrp %1, :gottprel:" #symbol "\n\t"            \
				 "ldr %1, [%1, #:gottprel_lo12:" #symbol "]\n\t" \
				 "mrs %0, tpidr_el0\n\t"                         \
				 "ldr %0, [%0, %1]"                              \
				 : "=&r"(value_), "=&r"(offset_)                 \
				 :                                               \
				 : "memory");                                    \
		value_;                                                          \
	})

/* Stops `from` here and goes on with `to`; returns the pass of the switch that comes back here.  x29 is saved by hand, because
 * gcc refuses it as a clobber where frames are kept.  A numeric label, so that the compiler may copy the statement. */
static ALWAYS_INLINE void *arch_switch(struct context *from, struct context *to, void *pass)
{
	register void *x0 __asm__("x0") = pass;
	register struct context *x1 __asm__("x1") = from;
	register struct context *x2 __asm__("x2") = to;

	/* clang-format off */
	__asm__ volatile("mov x16, sp\n\t"
			 "adr x17, 1f\n\t"
			 "stp x16, x17, [x1, %[sp]]\n\t"
			 "str x29, [x1, %[fp]]\n\t"
			 "ldp x16, x17, [x2, %[sp]]\n\t"
			 ARCH_CFI_AWAY
			 "ldr x29, [x2, %[fp]]\n\t"
			 "mov sp, x16\n\t"
			 "br x17\n"
			 "1:\t" ARCH_CFI_BACK ARCH_LANDING
			 : "+r"(x0), "+r"(x1), "+r"(x2)
			 : [sp] "i"(CONTEXT_SP), [fp] "i"(CONTEXT_FP)
			 : "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x18", "x19",
			   "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x30", "v0", "v1", "v2", "v3", "v4", "v5", "v6",
			   "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22",
			   "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31" ARCH_CLOBBERS_SVE, "cc", "memory");
	/* clang-format on */
	return x0;
}
#endif
#endif
