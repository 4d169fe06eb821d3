/* SPDX-License-Identifier: MIT
 *
 * weft/opool.h - a pool of objects that are dear to make: what was put back is taken again.
 */
#ifndef WEFT_OPOOL_H
#define WEFT_OPOOL_H

#include "error.h"
#include "export.h"
#include <stddef.h>

WEFT_BEGIN_DECLS

typedef struct weft_opool weft_opool;

typedef struct weft_opool_opts {
	void *(*make)(void *arg); /* a new object, or NULL: it cannot be had. Called by get, on the caller's stack; may block */
	void (*destroy)(void *object, void *arg); /* gives one back for good. Called by put, trim and free; NULL: nothing to do */
	void *arg;                                /* for both */
	size_t max_idle;                          /* objects kept, at most; 0: 64 */
} weft_opool_opts;

/* weft_opool_make - a pool, empty. Returns 0, WEFT_ENOMEM, WEFT_EINVAL (NULL, no .make, .max_idle above 2^31); on any error *out is NULL. Blocks: no. Threads:
 * any; needs no runtime. */
WEFT_API int weft_opool_make(weft_opool **out, const weft_opool_opts *o);

/* weft_opool_ref, weft_opool_free - one reference more or less; the last one destroys what is idle. Objects that are out are the callers'. NULL is allowed in
 * free. Threads: any. */
WEFT_API weft_opool *weft_opool_ref(weft_opool *p);
WEFT_API void weft_opool_free(weft_opool *p);

/* weft_opool_get - an idle object, the one put last; else a new one.
 *
 * Returns it; it is the caller's, to be put back or destroyed by himself. NULL: make has returned NULL, or p is NULL.
 * Blocks: no, but for what make does. Threads: any. Order: what was done to the object before it was put is seen.
 */
WEFT_API void *weft_opool_get(weft_opool *p);

/* weft_opool_put - give an object back, as it shall be found. If as many as allowed are idle it is destroyed. NULL is allowed. Threads: any. */
WEFT_API void weft_opool_put(weft_opool *p, void *object);

/* weft_opool_idle - how many are idle now. weft_opool_trim - destroy all but `keep` of them. Threads: any. */
WEFT_API size_t weft_opool_idle(weft_opool *p);
WEFT_API void weft_opool_trim(weft_opool *p, size_t keep);

WEFT_END_DECLS

#endif
