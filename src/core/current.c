/* SPDX-License-Identifier: MIT
 *
 * current.c - this worker: the one place where weft reads thread-local storage.
 *
 * Compilers keep addresses of thread-local variables, and on some CPUs their values, across a switch, after which they belong to another thread.  So
 * the variable is never read in C: weft__worker() (runtime.h) reads it in one volatile asm statement, which no compiler merges with another or moves
 * across a call; and nothing taken from it is kept across a park: what arrives after a switch is handed the worker by the switch itself
 * (arch/switch.h, `pass`).
 */
#include "core/runtime.h"

__thread HIDDEN struct worker *weft__this_worker;

NOINLINE struct worker *weft__worker_none(void)
{
	if (unlikely(load_relaxed(&weft__forked))) /* set before this thread ran in this process */
		weft__forked_fatal();
	weft__solo_end(weft__thread()); /* a thread that is no worker is about to use weft */
	return NULL;
}

NOINLINE uintptr_t weft__thread(void)
{
	__asm__ volatile("" ::: "memory");
	return (uintptr_t)&weft__this_worker;
}

NOINLINE void weft__worker_set(struct worker *w)
{
	__asm__ volatile("" ::: "memory");
	weft__this_worker = w;
}
