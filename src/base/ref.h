/* SPDX-License-Identifier: MIT
 *
 * ref.h - a reference is given back: the one place where counts of references go down.
 *
 * Whoever gives the last one back frees what the others have used, or has a function of the user's do it. The count orders that; a program under ThreadSanitizer that links a
 * plain library is told so here, because free, memcpy and the user's own reads are seen there, and the count is not.
 */
#ifndef WEFT_BASE_REF_H
#define WEFT_BASE_REF_H

#include "base/atomic.h"
#include "base/sanitizer.h"

#include <stdbool.h>

/* One less. True: it was the last, and the caller sees all that was done by those before it. */
static inline bool ref_drop(ATOMIC(uint32_t) *refs)
{
	san_release(refs);
	if (add_acq_rel(refs, (uint32_t)-1) != 1) /* release for whoever will be the last; acquire: the last one sees all */
		return false;
	san_acquire(refs);
	return true;
}

#endif
