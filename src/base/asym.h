/* SPDX-License-Identifier: MIT
 *
 * asym.h - the asymmetric fence: free on the frequent side, a membarrier on the rare side.
 *
 * Two threads that each store one word and then load the other's must not both miss (Dekker).  The frequent side calls
 * asym_light() between its store and its load, the rare side asym_heavy() between its own.  Where the kernel offers
 * membarrier(PRIVATE_EXPEDITED) the light side is a compiler barrier and the heavy one the system call; where it does not,
 * both are full fences.  The models try both (test/model/model.h).
 *
 * Pairs in the tree: cancel against park (core/ctx.c, core/wait.c), ready against sleep (core/idle.h), a worker that runs against the monitor that
 * dozes off (core/monitor.c), a claim against who trims the stack of a waiting task (core/trim.c), an elided section against the second thread (base/solo.h).
 */
#ifndef WEFT_BASE_ASYM_H
#define WEFT_BASE_ASYM_H

#include "base/atomic.h"

#ifdef WEFT_MODEL
#define asym_light() fence_seq_cst()
#define asym_heavy() fence_seq_cst()
#else

extern HIDDEN bool weft__asym_on; /* membarrier works and the process is registered; written once, before any second thread */

static ALWAYS_INLINE void asym_light(void)
{
	compiler_barrier();
	if (unlikely(!weft__asym_on))
		fence_seq_cst();
}

/* A system call: microseconds when other cores are busy. Any thread. */
void weft__asym_heavy(void);
#define asym_heavy() weft__asym_heavy()

/* Registers the process. Idempotent; runs before main as a constructor. WEFT_NO_MEMBARRIER=1 in the environment keeps it off (tests). */
void weft__asym_init(void);
#endif

#endif
