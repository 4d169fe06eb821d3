/* SPDX-License-Identifier: MIT
 *
 * unwind.h - from a stack frame to its caller's: by the compiler's call frame information, else by the frame pointer.
 *
 * Programs are usually built without frame pointers, so a walk along them loses the user's functions, which matter most.  All code built for these
 * CPUs carries .eh_frame; what is needed of it here is little: where the return address and the frame pointer were saved.
 */
#ifndef WEFT_DEBUG_UNWIND_H
#define WEFT_DEBUG_UNWIND_H

#include <stdbool.h>
#include <stdint.h>

struct regs {
	uintptr_t pc, sp, fp;
	uintptr_t lr; /* link register of an interrupted function; 0 where there is none */
	uintptr_t
		probe; /* x86_64: r11 of an interrupted function, by which one that is just touching the pages of a large frame finds its caller; else 0 */
	uintptr_t base;  /* x86_64: rbx, by which the loader finds its caller when a function is called for the first time; 0: not known */
	uintptr_t pc_at; /* after a step by the compiler's information: where pc lies on the stack; 0: it was in lr */
};

/* One stack address range that can be read: word(arg, at, out). False: not readable. */
typedef bool unwind_word(void *arg, uintptr_t at, uintptr_t *out);

#define UNWIND_CACHE 256

/* How to find the caller of what runs at pc. */
struct unwind_rule {
	uintptr_t pc;    /* looked up; 0: free */
	uintptr_t begin; /* of its function; 0: not known */
	uint8_t how;     /* unwind.c */
	bool cfa_fp;     /* CFA = fp + cfa, else sp + cfa */
	bool cfa_probe;  /* CFA = probe + cfa */
	bool cfa_base;   /* CFA = base + cfa */
	bool ra_saved, fp_saved, base_saved;
	bool base_lost;            /* its caller's cannot be found */
	int32_t cfa, ra, fp, base; /* offsets; all but cfa from the CFA */
};

struct unwind_cache {
	struct unwind_rule rule[UNWIND_CACHE]; /* by pc; all zero at first */
};

enum unwind {
	UNWIND_STEP, /* *r are the caller's registers */
	UNWIND_END,  /* this is the outermost frame */
	UNWIND_LOST, /* there should be a caller, but it cannot be found */
};

/* Where the function begins that runs at r->pc, by the compiler's information, which says how to find its caller; 0: there is none, and a step would be a guess. exact: as below. */
uintptr_t weft__unwind_begin(struct unwind_cache *u, const struct regs *r, bool exact);

/* exact: r->pc is where it stands, not a return address. */
enum unwind weft__unwind_step(struct unwind_cache *u, struct regs *r, bool exact, unwind_word *word, void *arg);

#endif
