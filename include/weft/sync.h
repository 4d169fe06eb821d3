/* SPDX-License-Identifier: MIT
 *
 * weft/sync.h - mutex and wait group. Zeroed memory is a valid one; none needs to be destroyed.
 */
#ifndef WEFT_SYNC_H
#define WEFT_SYNC_H

#include "error.h"
#include "export.h"
#include "time.h"
#include <stdint.h>

WEFT_BEGIN_DECLS

/* A mutex of tasks and foreign threads, 8 bytes. The owner is known, for the deadlock report. Private fields. */
typedef struct weft_mutex {
	uint32_t weft__state;
	uint32_t weft__owner;
} weft_mutex;

/* weft_mutex_lock - own m, waiting for it.
 *
 * Look at what it returns: unlike pthread's and Go's it fails once the task is cancelled or its context has expired, even if m is free, and then m is not the
 * caller's to unlock.
 *
 * Waiters are served first come first served; a running task may overtake them, until the first has waited for 1 ms: then m is handed to it.
 * Returns 0; WEFT_ETIMEDOUT, WEFT_ECANCELED: m is not held; WEFT_EDEADLK if the caller holds it already.
 * Blocks: yes (mutex). Threads: any.
 */
WEFT_API int weft_mutex_lock(weft_mutex *m);
WEFT_API int weft_mutex_lock_until(weft_mutex *m, int64_t deadline);

/* weft_mutex_trylock - own m if it is free: 0, else WEFT_EAGAIN. */
WEFT_API int weft_mutex_trylock(weft_mutex *m);

/* weft_mutex_unlock - give m up. Fatal error if it is not locked, or locked by somebody else. Blocks: no. */
WEFT_API void weft_mutex_unlock(weft_mutex *m);

/* A counter to wait upon until it is 0, 8 bytes. Private fields. */
typedef struct weft_wg {
	uint64_t weft__state;
} weft_wg;

/* weft_wg_add - add n (may be negative). The counter below 0, or above 2^31 - 1, is a fatal error. weft_wg_done - subtract 1.
 * Blocks: no. Threads: any. Order: what came before done is seen after wait. */
WEFT_API void weft_wg_add(weft_wg *g, int n);
WEFT_API void weft_wg_done(weft_wg *g);

/* weft_wg_wait - wait until the counter is 0. It may be used again afterwards.
 *
 * Returns 0; WEFT_ETIMEDOUT, WEFT_ECANCELED. Blocks: yes (wait group). Threads: any.
 */
WEFT_API int weft_wg_wait(weft_wg *g);
WEFT_API int weft_wg_wait_until(weft_wg *g, int64_t deadline);

WEFT_END_DECLS

#endif
