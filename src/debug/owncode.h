/* SPDX-License-Identifier: MIT
 *
 * owncode.h - whose code a task that has failed is in, and on whose behalf (core/contain.h).
 */
#ifndef WEFT_DEBUG_OWNCODE_H
#define WEFT_DEBUG_OWNCODE_H

#include "core/contain.h"

/* Finds what walks compare with. Before the first; not in a signal handler; any thread, also several at once. Returns 0; WEFT_ENOTSUP: weft's code cannot be told from the program's; WEFT_ENOMEM. */
int weft__owncode_prepare(void);

/* Has the code at r been called by nobody but the program's own, all the way up to the frame that holds f->top? For the fault handler, on an alternate stack. Sets f->pc. *ret_at: of OWN_LATER, where on the
 * stack the address lies to which that call will return; 0: in the link register. */
enum own_code weft__owncode(struct fall *f, const struct overflow_regs *r, uintptr_t *ret_at);

/* "function+0x12 (module+0x1234)" for a code address. Both: one caller at a time. */
void weft__owncode_name(uintptr_t pc, bool ret, char *buf, size_t n);

#endif
