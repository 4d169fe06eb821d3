/* SPDX-License-Identifier: MIT
 *
 * weft/waker.h - wake a task from anywhere: another task, any thread, a signal handler.
 *
 * A waker holds one wake-up: one that comes first makes the next wait return at once, and several count as one.
 */
#ifndef WEFT_WAKER_H
#define WEFT_WAKER_H

#include "error.h"
#include "export.h"
#include "time.h"
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef struct weft_waker weft_waker;

/* weft_waker_make - a waker; it takes a descriptor. Returns 0, WEFT_ENOMEM, WEFT_EMFILE, WEFT_ENFILE, WEFT_EINVAL (NULL); on any error *out is NULL. Blocks:
 * no. Threads: any; needs no runtime. */
WEFT_API int weft_waker_make(weft_waker **out);

/* weft_waker_ref, weft_waker_free - one reference more or less. With the last one whoever still waits for it gets WEFT_ECLOSED. NULL is allowed in free.
 * Blocks: hardly (with -Dloop=uv until a loop has forgotten its descriptor). Threads: any, but no signal handler. */
WEFT_API weft_waker *weft_waker_ref(weft_waker *w);
WEFT_API void weft_waker_free(weft_waker *w);

/* weft_waker_wake - end the wait of one who waits, now or later. NULL: nothing happens.
 *
 * Blocks: no. Threads: any, and signal handlers, whatever they interrupt: it is one write to a descriptor, and leaves errno alone. Order: what the caller did
 * before is seen when the wait returns.
 */
WEFT_API void weft_waker_wake(weft_waker *w);

/* weft_waker_wait - wait for a wake-up, and use it up.
 *
 * Returns 0; WEFT_EAGAIN (deadline WEFT_NOW), WEFT_ETIMEDOUT, WEFT_ECANCELED: a wake-up that comes is kept; WEFT_ENOMEM; WEFT_ESRCH: a thread, and no runtime
 * is up; WEFT_ECLOSED: freed meanwhile; WEFT_EINVAL for NULL.
 * Blocks: yes (io). Threads: any; of several that wait one goes on.
 */
WEFT_API int weft_waker_wait(weft_waker *w);
WEFT_API int weft_waker_wait_until(weft_waker *w, int64_t deadline);

/* weft_waker_fd - its descriptor, for a select: WEFT_FD(weft_waker_fd(w), WEFT_IO_R); then weft_waker_wait_until(w, WEFT_NOW). */
WEFT_API int weft_waker_fd(weft_waker *w);

WEFT_END_DECLS

#endif
