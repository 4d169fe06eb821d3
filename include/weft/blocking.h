/* SPDX-License-Identifier: MIT
 *
 * weft/blocking.h - code that blocks its thread: system calls without a non-blocking form, libraries that wait, long computations.
 *
 *     weft_blocking(compress, &job, &rc);                  a function on a thread of its own
 *
 *     WEFT_BLOCKING {                                      a section of this one
 *             rc = sqlite3_step(q);
 *     }
 *
 * The task gives its worker to others meanwhile, and goes on where there is room when it is over. There are up to weft_opts.blocking_max such threads, made when needed; what comes
 * beyond waits for its turn. Files and names have threads of their own (weft/file.h, weft/dns.h): none starves another.
 *
 * Threads of one's own, as many as one likes, and what is bound to a thread: weft/pool.h.
 *
 * What runs there runs off a task, as on any thread of yours: it may use channels and locks (and then blocks that thread), it is not cancelled and has no deadline,
 * weft_task_self() is NULL, and weft_task_exit and weft_task_panic are fatal.
 * When the runtime goes down, nobody serves what such a thread waits for in weft, and weft_run waits for it: close its channels and connections before. (It can start no more tasks then, and is not kept waiting for one: weft/pool.h.) Going there and back costs two hops between threads, which does not pay for what blocks for less.
 */
#ifndef WEFT_BLOCKING_H
#define WEFT_BLOCKING_H

#include "defer.h"
#include "export.h"
#include "task.h"
#include <stdint.h>

WEFT_BEGIN_DECLS

/* weft_blocking - call fn(arg) on a thread that may block, and wait for it.
 *
 *   ret  receives what it returns; NULL: not wanted
 *
 * Once it has begun it is waited for to its end, whatever becomes of the caller's context: it may be using what the caller owns. So does weft_run, which does not return before.
 *
 * Returns 0: it has run; or it has not, and will not: WEFT_ECANCELED, WEFT_ETIMEDOUT (before a thread was free), WEFT_EAGAIN (deadline WEFT_NOW, or the system gives no thread), WEFT_EINVAL (fn NULL), WEFT_ENOMEM.
 * Blocks: yes (blocking call). Threads: any; a thread that is no task calls fn itself.
 */
WEFT_API int weft_blocking(weft_task_fn *fn, void *arg, int *ret);
WEFT_API int weft_blocking_until(weft_task_fn *fn, void *arg, int *ret, int64_t deadline);

/* WEFT_BLOCKING { ... } - a block that the task runs on a thread that may block, on its own stack.
 *
 * It is left on every way out (weft/defer.h); to the compiler it is a loop. If no thread can be made, or the task is pinned (weft_task_pin: it must stay on its thread), the block runs on the worker, which others then help out. Inside another
 * such block, or off a task, it is a plain block. It waits for a thread even if the task is cancelled.
 *
 * errno and thread-local variables are those of another thread inside, and may be of yet another behind; compilers keep their addresses all the same, so do what needs them in a function that is called. Blocks: yes. Threads: any.
 */
#define WEFT_BLOCKING                                                                              \
	WEFT__BLOCK(struct weft__section, WEFT__JOIN(weft__section_, __LINE__), weft__section_end, \
		    weft__section_begin(&WEFT__JOIN(weft__section_, __LINE__)))

/* --- private --- */

struct weft__section {
	void *weft__words[24];
};

WEFT_API void weft__section_begin(struct weft__section *s);
WEFT_API void weft__section_end(struct weft__section *s);

WEFT_END_DECLS

#endif
