/* SPDX-License-Identifier: MIT
 *
 * aarch64.S - first frame of a context, the called switch, and the two ends of go(): registers into memory and back.
 *
 * Contracts: arch/context.h and core/goargs.h.  The property note claims BTI: every place an indirect branch may land on has
 * its hint (spelled as hint numbers, so that any assembler takes them).
 */
#include "arch/aarch64.h"

#define BTI_C hint #34
#define BTI_J hint #36
#define BTI_JC hint #38

#define FUNCTION(name)               \
	.globl	name;                \
	.hidden	name;                \
	.type	name, %function;     \
	.balign	16;                  \
name:
#define END(name) .size name, . - name

	.weak	weft__contain_returned /* whoever links a part of the library that has no tasks needs none */
	.hidden	weft__contain_returned
	.text

/* The first switch to a context arrives here: x0 = pass, [sp] = entry, [sp, 8] = its argument, x29 = 0. */
FUNCTION(weft__arch_entry)
	.cfi_startproc
	.cfi_undefined x30
	BTI_JC
	ldp	x16, x1, [sp]
	mov	x29, #0
	adr	x30, .Lended		/* a call that the return predictor does not hear of: context.h */
	br	x16			/* x16: may land on bti c */
.Lended:
	brk	#1
	.cfi_endproc
END(weft__arch_entry)

/* A task comes back from its last call (core/contain.c), to the second instruction. */
FUNCTION(weft__arch_fell)
	.cfi_startproc
	.cfi_undefined x30
	nop
	mov	x29, #0
	bl	weft__contain_returned
	brk	#1
	.cfi_endproc
END(weft__arch_fell)

/* void *weft__arch_switch_called(from x0, to x1, pass x2) */
FUNCTION(weft__arch_switch_called)
	.cfi_startproc
	BTI_C
	stp	x29, x30, [sp, #-160]!
	.cfi_def_cfa_offset 160
	.cfi_offset x29, -160
	.cfi_offset x30, -152
	mov	x29, sp
	stp	x19, x20, [sp, #16]
	.cfi_offset x19, -144
	.cfi_offset x20, -136
	stp	x21, x22, [sp, #32]
	.cfi_offset x21, -128
	.cfi_offset x22, -120
	stp	x23, x24, [sp, #48]
	.cfi_offset x23, -112
	.cfi_offset x24, -104
	stp	x25, x26, [sp, #64]
	.cfi_offset x25, -96
	.cfi_offset x26, -88
	stp	x27, x28, [sp, #80]
	.cfi_offset x27, -80
	.cfi_offset x28, -72
	stp	d8, d9, [sp, #96]
	.cfi_offset b8, -64
	.cfi_offset b9, -56
	stp	d10, d11, [sp, #112]
	.cfi_offset b10, -48
	.cfi_offset b11, -40
	stp	d12, d13, [sp, #128]
	.cfi_offset b12, -32
	.cfi_offset b13, -24
	stp	d14, d15, [sp, #144]
	.cfi_offset b14, -16
	.cfi_offset b15, -8
	mov	x3, x0
	mov	x0, x2
	mov	x16, sp
	adr	x17, .Lresume
	stp	x16, x17, [x3, #CONTEXT_SP]
	str	x29, [x3, #CONTEXT_FP]
	ldp	x16, x17, [x1, #CONTEXT_SP]
	.cfi_remember_state
	.cfi_undefined x30
	ldr	x29, [x1, #CONTEXT_FP]
	mov	sp, x16
	br	x17
.Lresume:
	.cfi_restore_state
	BTI_J
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	d8, d9, [sp, #96]
	ldp	d10, d11, [sp, #112]
	ldp	d12, d13, [sp, #128]
	ldp	d14, d15, [sp, #144]
	ldp	x29, x30, [sp], #160
	.cfi_def_cfa_offset 0
	.cfi_restore x29
	.cfi_restore x30
	.cfi_restore x19
	.cfi_restore x20
	.cfi_restore x21
	.cfi_restore x22
	.cfi_restore x23
	.cfi_restore x24
	.cfi_restore x25
	.cfi_restore x26
	.cfi_restore x27
	.cfi_restore x28
	.cfi_restore b8
	.cfi_restore b9
	.cfi_restore b10
	.cfi_restore b11
	.cfi_restore b12
	.cfi_restore b13
	.cfi_restore b14
	.cfi_restore b15
#ifdef __ARM_FEATURE_BTI_DEFAULT
	ret				/* the return address is no landing pad: br would trap there */
#else
	br	x30			/* not ret: the return predictor would be wrong every time */
#endif
	.cfi_endproc
END(weft__arch_switch_called)

/* The calls weft_go compiles to land here: argument registers as for fn, the chain register = struct weft__go_call. */
	.macro	CATCH name, fp, chain
	.globl	\name
	.hidden	\name
	.type	\name, %function
	.balign	16
\name:
	.cfi_startproc
	BTI_C
	stp	x29, x30, [sp, #-(GO_ARGS_SIZE + 32)]!
	.cfi_def_cfa_offset GO_ARGS_SIZE + 32
	.cfi_offset x29, -(GO_ARGS_SIZE + 32)
	.cfi_offset x30, -(GO_ARGS_SIZE + 24)
	mov	x29, sp
	str	\chain, [sp, #16]
	stp	x0, x1, [sp, #32 + GO_ARGS_I]
	stp	x2, x3, [sp, #32 + GO_ARGS_I + 16]
	stp	x4, x5, [sp, #32 + GO_ARGS_I + 32]
	.if	\fp
	stp	d0, d1, [sp, #32 + GO_ARGS_F]
	stp	d2, d3, [sp, #32 + GO_ARGS_F + 16]
	stp	d4, d5, [sp, #32 + GO_ARGS_F + 32]
	.endif
	mov	x0, \chain
	add	x1, sp, #32
	bl	weft__go_start
	ldr	x9, [sp, #16]
	str	w0, [x9, #GO_CALL_RC]
	ldp	x29, x30, [sp], #GO_ARGS_SIZE + 32
	.cfi_def_cfa_offset 0
	.cfi_restore x29
	.cfi_restore x30
	ret
	.cfi_endproc
	.size	\name, . - \name
	.endm

	.hidden	weft__go_start
	CATCH	weft__go_catch_int, 0, x18
	CATCH	weft__go_catch_fp, 1, x18
	CATCH	weft__go_catch_int_x15, 0, x15
	CATCH	weft__go_catch_fp_x15, 1, x15

/* void weft__go_call_args(fn x0, args x1) */
FUNCTION(weft__go_call_args)
	.cfi_startproc
	BTI_C
	stp	x29, x30, [sp, #-16]!
	.cfi_def_cfa_offset 16
	.cfi_offset x29, -16
	.cfi_offset x30, -8
	mov	x29, sp
	mov	x9, x0
	ldp	d0, d1, [x1, #GO_ARGS_F]
	ldp	d2, d3, [x1, #GO_ARGS_F + 16]
	ldp	d4, d5, [x1, #GO_ARGS_F + 32]
	ldp	x2, x3, [x1, #GO_ARGS_I + 16]
	ldp	x4, x5, [x1, #GO_ARGS_I + 32]
	ldp	x0, x1, [x1, #GO_ARGS_I]
	blr	x9
	ldp	x29, x30, [sp], #16
	.cfi_def_cfa_offset 0
	.cfi_restore x29
	.cfi_restore x30
	ret
	.cfi_endproc
END(weft__go_call_args)

	.section .data.rel.ro, "aw", %progbits
	.globl	weft__go_catch
	.type	weft__go_catch, %object
	.balign	8
weft__go_catch:				/* indices: weft/go.h */
	.quad	weft__go_catch_int, weft__go_catch_fp, weft__go_catch_int_x15, weft__go_catch_fp_x15
END(weft__go_catch)

	.section .note.GNU-stack, "", %progbits

	.section .note.gnu.property, "a"
	.balign	8
	.long	4			/* "GNU" and its zero */
	.long	16			/* bytes of properties */
	.long	5			/* NT_GNU_PROPERTY_TYPE_0 */
	.asciz	"GNU"
	.long	0xc0000000		/* GNU_PROPERTY_AARCH64_FEATURE_1_AND */
	.long	4
	.long	1			/* BTI */
	.long	0
