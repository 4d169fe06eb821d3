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
	if (!is_owner(self) || !weft__asym_on || BUILT_WITH_TSAN || (weft__san & SAN_TSAN))
		return false;
	return solo_begin(&weft__solo);
}

void weft__solo_over(void)
{
	solo_over(&weft__solo);
}

void weft__solo_end_slow(uintptr_t self)
{
	if (!is_owner(self))
		weft__solo_end_now();
}

void weft__solo_end_now(void)
{
	while (!solo_end(&weft__solo)) {
		for (int i = 0; i < 100; i++)
			cpu_relax();
		if (load_relaxed(&weft__solo.in)) /* a hint: the worker may be off its core in mid-section */
			sched_yield();
	}
}
