/* SPDX-License-Identifier: MIT
 *
 * sanitizer.h - tells AddressSanitizer, ThreadSanitizer and Valgrind about stacks, switches and locks.
 *
 * The hooks are weak symbols: absent in a plain program, present as soon as the program (or this library) is built with a sanitizer. So one packaged
 * library serves both.  weft__san says which were found; it is written once, by a constructor.  A library that is itself
 * built with TSan needs no san_acquire/san_release: its atomics are seen.
 *
 * Order around a switch:  san_before_switch(...), the switch, san_after_switch(...) on the other side.
 */
#ifndef WEFT_BASE_SANITIZER_H
#define WEFT_BASE_SANITIZER_H

#ifdef WEFT_MODEL
#define san_acquire(p) ((void)0)
#define san_release(p) ((void)0)
#else

#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

#define SAN_ASAN 1u
#define SAN_TSAN 2u
#define SAN_VALGRIND 4u

extern HIDDEN unsigned weft__san; /* SAN_* found at start; 0 in a plain program */

/* What the sanitizers need to know of one stack that code can be switched to: a task's, or a worker's own. */
struct san_fiber {
	void *tsan;           /* TSan's fiber */
	void *asan_fake;      /* ASan's fake stack while the fiber is switched out */
	const void *bottom;   /* lowest usable byte */
	size_t size;          /* bytes */
	unsigned valgrind_id; /* Valgrind's handle of the registered stack */
};

/* The calling thread's own stack: fills f so that tasks can switch back to it. */
void weft__san_thread_init(struct san_fiber *f);
/* A fiber for a task about to run first on [bottom, bottom + size). */
void weft__san_fiber_init(struct san_fiber *f, const void *bottom, size_t size, const char *name);
/* The task has ended and another context is running; its stack may be reused after this. */
void weft__san_fiber_fini(struct san_fiber *f);

/* Called right before and right after every switch when weft__san != 0. from_ends: the task that leaves never comes back. */
COLD void weft__san_before_switch(struct san_fiber *from, struct san_fiber *to, int from_ends);
COLD void weft__san_after_switch(struct san_fiber *self);

/* What the calling thread does to memory and descriptors meanwhile is no access to TSan. False: there is no such call, and end is not to follow. */
COLD bool weft__san_ignore_begin(void);
COLD void weft__san_ignore_end(void);

COLD void weft__san_acquire(void *p);
COLD void weft__san_release(void *p);

/* A word that orders two threads was acquired / is about to be released: for programs under TSan that link a plain library. */
static ALWAYS_INLINE void san_acquire(void *p)
{
	if (!BUILT_WITH_TSAN && unlikely(weft__san & SAN_TSAN))
		weft__san_acquire(p);
}

static ALWAYS_INLINE void san_release(void *p)
{
	if (!BUILT_WITH_TSAN && unlikely(weft__san & SAN_TSAN))
		weft__san_release(p);
}

#endif
#endif
