/* SPDX-License-Identifier: MIT
 *
 * x86_64.S - first frame of a context, the called switch, and the two ends of go(): registers into memory and back.
 *
 * Contracts: arch/context.h and core/goargs.h.  The property note claims IBT only.  Shadow stacks would break at the first
 * switch, and because a linker claims for its output what all inputs claim, this file also takes the claim from the library.
 */
#include "arch/x86_64.h"

#define FUNCTION(name)               \
	.globl	name;                \
	.hidden	name;                \
	.type	name, @function;     \
	.balign	16;                  \
name:
#define END(name) .size name, . - name

	.weak	weft__contain_returned /* whoever links a part of the library that has no tasks needs none */
	.hidden	weft__contain_returned
	.text

/* The first switch to a context arrives here: rax = pass, (rsp) = entry, 8(rsp) = its argument, rbp = 0. */
FUNCTION(weft__arch_entry)
	.cfi_startproc
	.cfi_undefined rip
	endbr64
	movq	%rax, %rdi
	movq	8(%rsp), %rsi
	xorl	%ebp, %ebp
	movq	(%rsp), %rcx
	leaq	.Lended(%rip), %rdx
	pushq	%rdx			/* a call that the return predictor does not hear of: context.h */
	jmpq	*%rcx
.Lended:
	ud2
	.cfi_endproc
END(weft__arch_entry)

/* A task comes back from its last call (core/contain.c), to the second byte. */
FUNCTION(weft__arch_fell)
	.cfi_startproc
	.cfi_undefined rip
	nop
	andq	$-16, %rsp
	xorl	%ebp, %ebp
	call	weft__contain_returned
	ud2
	.cfi_endproc
END(weft__arch_fell)

/* void *weft__arch_switch_called(from rdi, to rsi, pass rdx) */
FUNCTION(weft__arch_switch_called)
	.cfi_startproc
	endbr64
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	movq	%rsp, %rbp
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r12, 0
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r13, 0
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r14, 0
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r15, 0
	movq	%rdx, %rax
	leaq	.Lresume(%rip), %rcx
	movq	%rsp, CONTEXT_SP(%rdi)
	movq	%rcx, CONTEXT_PC(%rdi)
	movq	%rbp, CONTEXT_FP(%rdi)
	.cfi_remember_state
	.cfi_undefined rip
	movq	CONTEXT_SP(%rsi), %rsp
	movq	CONTEXT_FP(%rsi), %rbp
	jmpq	*CONTEXT_PC(%rsi)
.Lresume:
	.cfi_restore_state
	endbr64
	popq	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore r15
	popq	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore r14
	popq	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore r13
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore r12
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbp
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register rip, rcx
	notrack jmpq *%rcx		/* the return address has no endbr64 before it */
	.cfi_endproc
END(weft__arch_switch_called)

/* The calls weft_go compiles to land here: argument registers as for fn, r10 = struct weft__go_call. */
	.macro	CATCH name, fp
	.globl	\name
	.hidden	\name
	.type	\name, @function
	.balign	16
\name:
	.cfi_startproc
	endbr64
	pushq	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset rbp, -16
	movq	%rsp, %rbp
	.cfi_def_cfa_register rbp
	subq	$(GO_ARGS_SIZE + 16), %rsp
	movq	%rdi, GO_ARGS_I(%rsp)
	movq	%rsi, GO_ARGS_I+8(%rsp)
	movq	%rdx, GO_ARGS_I+16(%rsp)
	movq	%rcx, GO_ARGS_I+24(%rsp)
	movq	%r8, GO_ARGS_I+32(%rsp)
	movq	%r9, GO_ARGS_I+40(%rsp)
	.if	\fp
	movq	%xmm0, GO_ARGS_F(%rsp)
	movq	%xmm1, GO_ARGS_F+8(%rsp)
	movq	%xmm2, GO_ARGS_F+16(%rsp)
	movq	%xmm3, GO_ARGS_F+24(%rsp)
	movq	%xmm4, GO_ARGS_F+32(%rsp)
	movq	%xmm5, GO_ARGS_F+40(%rsp)
	.endif
	movq	%r10, GO_ARGS_SIZE(%rsp)
	movq	%r10, %rdi
	movq	%rsp, %rsi
	call	weft__go_start
	movq	GO_ARGS_SIZE(%rsp), %r10
	movl	%eax, GO_CALL_RC(%r10)
	leave
	.cfi_def_cfa rsp, 8
	.cfi_restore rbp
	ret
	.cfi_endproc
	.size	\name, . - \name
	.endm

	.hidden	weft__go_start
	CATCH	weft__go_catch_int, 0
	CATCH	weft__go_catch_fp, 1

/* void weft__go_call_args(fn rdi, args rsi) */
FUNCTION(weft__go_call_args)
	.cfi_startproc
	endbr64
	pushq	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset rbp, -16
	movq	%rsp, %rbp
	.cfi_def_cfa_register rbp
	movq	%rdi, %r11
	movq	GO_ARGS_F(%rsi), %xmm0
	movq	GO_ARGS_F+8(%rsi), %xmm1
	movq	GO_ARGS_F+16(%rsi), %xmm2
	movq	GO_ARGS_F+24(%rsi), %xmm3
	movq	GO_ARGS_F+32(%rsi), %xmm4
	movq	GO_ARGS_F+40(%rsi), %xmm5
	movq	GO_ARGS_I(%rsi), %rdi
	movq	GO_ARGS_I+16(%rsi), %rdx
	movq	GO_ARGS_I+24(%rsi), %rcx
	movq	GO_ARGS_I+32(%rsi), %r8
	movq	GO_ARGS_I+40(%rsi), %r9
	movq	GO_ARGS_I+8(%rsi), %rsi
	movl	$6, %eax		/* vector registers in use, should fn have no prototype */
	call	*%r11
	popq	%rbp
	.cfi_def_cfa rsp, 8
	.cfi_restore rbp
	ret
	.cfi_endproc
END(weft__go_call_args)

	.section .data.rel.ro, "aw", @progbits
	.globl	weft__go_catch
	.type	weft__go_catch, @object
	.balign	8
weft__go_catch:				/* indices: weft/go.h */
	.quad	weft__go_catch_int, weft__go_catch_fp, 0, 0
END(weft__go_catch)

	.section .note.GNU-stack, "", @progbits

	.section .note.gnu.property, "a"
	.balign	8
	.long	4			/* "GNU" and its zero */
	.long	16			/* bytes of properties */
	.long	5			/* NT_GNU_PROPERTY_TYPE_0 */
	.asciz	"GNU"
	.long	0xc0000002		/* GNU_PROPERTY_X86_FEATURE_1_AND */
	.long	4
	.long	1			/* IBT */
	.long	0
