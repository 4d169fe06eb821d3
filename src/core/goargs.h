/* SPDX-License-Identifier: MIT
 *
 * goargs.h - the argument registers of weft_go between the call that is caught and the task that makes it.
 *
 *   weft_go(fn, args...)          compiled as a call of fn, lands in weft__go_catch[] (src/arch/<cpu>.S)
 *   weft__go_catch[]              argument registers into a weft__go_args on its own frame, then
 *   weft__go_start(call, args)    copies them into a new task's record; its result becomes weft_go's
 *   weft__go_call_args(fn, args)  on the task's stack: registers back, call fn
 *
 * A register is kept whole: what the compiler put there for a narrow argument, extended or not, is what fn gets.
 */
#ifndef WEFT_CORE_GOARGS_H
#define WEFT_CORE_GOARGS_H

#include "arch/switch.h"
#include "weft/go.h"

#include <stddef.h>
#include <stdint.h>

struct weft__go_args {
	uintptr_t i[6]; /* rdi rsi rdx rcx r8 r9, or x0-x5 */
	uint64_t f[6];  /* low halves of xmm0-xmm5, or d0-d5; not written where call->fp is 0 */
};

_Static_assert(offsetof(struct weft__go_args, i) == GO_ARGS_I, "src/arch/<cpu>.S");
_Static_assert(offsetof(struct weft__go_args, f) == GO_ARGS_F, "src/arch/<cpu>.S");
_Static_assert(sizeof(struct weft__go_args) == GO_ARGS_SIZE, "src/arch/<cpu>.S");
_Static_assert(offsetof(struct weft__go_call, rc) == GO_CALL_RC, "src/arch/<cpu>.S");

/* Called by the assembler for each weft_go, on its caller's stack; call and args are its caller's.  Returns weft_go's result. */
__attribute__((visibility("hidden"))) int weft__go_start(struct weft__go_call *call, const struct weft__go_args *args);

/* Loads the argument registers and calls fn; returns when fn does.  Reads all of args, before the call only. */
__attribute__((visibility("hidden"))) void weft__go_call_args(void (*fn)(void), const struct weft__go_args *args);

#endif
