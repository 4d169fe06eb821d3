/* SPDX-License-Identifier: MIT
 *
 * guard.h - makes the bytes below a stack fault when touched, or says that it cannot.
 *
 * Two ways.  madvise(MADV_GUARD_INSTALL) marks page table entries and costs no mapping, so a million guards are possible.  mprotect(PROT_NONE)
 * splits the mapping in two, so at most a share of vm.max_map_count may be spent on it; beyond that a request fails, and says so once.
 * Another system adds another guard_*.c.
 */
#ifndef WEFT_CORE_GUARD_H
#define WEFT_CORE_GUARD_H

#include <stdbool.h>
#include <stddef.h>

enum stack_guard_kind { GUARD_MADVISE, GUARD_MPROTECT };

/* Which of the two a new mapping should start with. Probed at the first call. Any thread. */
enum stack_guard_kind weft__guard_kind(void);

/* An emulator (qemu-user) only pretends to take advice. It then has a thread of its own in the process, too. */
bool weft__emulated(void);

/* Makes [p, p + size) fault, whole pages of a private anonymous mapping, by *kind; a mapping that refuses GUARD_MADVISE (locked memory) gets
 * the other, and *kind says so.  Returns 0 or -ENOMEM.  Any thread. */
int weft__guard_install(void *p, size_t size, enum stack_guard_kind *kind);

/* Makes a part of one, whole pages, memory again. Returns 0 or a negative code. Async-signal-safe. */
int weft__guard_remove(void *p, size_t size, enum stack_guard_kind kind);

/* n guards of GUARD_MPROTECT were unmapped: their share of the budget is free again. */
void weft__guard_forget(size_t n);

/* How many guards of GUARD_MPROTECT the process may have at once, and has. */
size_t weft__guard_budget(void);
size_t weft__guard_spent(void);

#endif
