/* SPDX-License-Identifier: MIT
 *
 * solo.c - turns elision on and off. See solo.h.
 */
#include "base/solo.h"

#include "base/sanitizer.h"
#include <sched.h>

struct solo weft__solo;
static ATOMIC(uintptr_t) owner; /* first thread that used weft; 0: none yet */

/* Is the caller the owner? Becomes it if there is none. */
static bool is_owner(uintptr_t self)
{
	uintptr_t first = 0;

	return cas_relaxed(&owner, &first, self) || first == self; /* says who, orders nothing */
}

bool weft__solo_begin(uintptr_t self)
{
	uint32_t off = SOLO_OFF;

	if (!is_owner(self) || !weft__asym_on || BUILT_WITH_TSAN || (weft__san & SAN_TSAN))
		return false;
	return cas_acq_rel(&weft__solo.state, &off, SOLO_ON); /* release: nothing was elided before */
}

void weft__solo_over(void)
{
	uint32_t on = SOLO_ON;

	(void)cas_acq_rel(&weft__solo.state, &on, SOLO_OFF); /* unless a second thread has come */
}

void weft__solo_end_slow(uintptr_t self)
{
	if (is_owner(self))
		return;
	while (!solo_end(&weft__solo)) {
		for (int i = 0; i < 100; i++)
			cpu_relax();
		if (load_relaxed(&weft__solo.in)) /* a hint: the worker may be off its core in mid-section */
			sched_yield();
	}
}
