/* SPDX-License-Identifier: MIT
 *
 * lastwords.h - what the report of a stack overflow asks of the debug storey: weft__overflow_caller, weft__overflow_name (core/stack.h).
 */
#ifndef WEFT_DEBUG_LASTWORDS_H
#define WEFT_DEBUG_LASTWORDS_H

#include "core/stack.h"

bool weft__last_caller(struct overflow_regs *r, bool exact, uintptr_t lo, uintptr_t hi);
void weft__last_name(uintptr_t pc, bool ret, char *buf, size_t n);

#endif
