/* SPDX-License-Identifier: MIT
 *
 * current.c - this worker: the one place where weft reads thread-local storage.
 *
 * Compilers keep addresses of thread-local variables across a switch, after which they belong to another thread.  So the variable is read in
 * functions that are never inlined, and nothing taken from it is kept across a park: what arrives after a switch is handed the worker by the
 * switch itself (arch/switch.h, `pass`).
 */
#include "core/runtime.h"

static __thread struct worker *this_worker;

NOINLINE struct worker *weft__worker(void)
{
	struct worker *w = this_worker;

	__asm__ volatile("" ::: "memory"); /* neither pure nor const: no two calls are merged */
	if (unlikely(!w))
		weft__solo_end((uintptr_t)&this_worker); /* a thread that is no worker is about to use weft */
	return w;
}

NOINLINE struct worker *weft__worker_look(void)
{
	__asm__ volatile("" ::: "memory");
	return this_worker;
}

NOINLINE uintptr_t weft__thread(void)
{
	__asm__ volatile("" ::: "memory");
	return (uintptr_t)&this_worker;
}

NOINLINE void weft__worker_set(struct worker *w)
{
	__asm__ volatile("" ::: "memory");
	this_worker = w;
}
