/* SPDX-License-Identifier: MIT
 *
 * weft/ctx.h - contexts: cancel many tasks at once, and bound their calls by one deadline.
 *
 * Every task runs under a context, which weft_go hands on to the tasks it starts; the first one is the root. Cancelling a context
 * cancels those below it. A cancelled task's blocking calls return WEFT_ECANCELED, those it is in and those it makes later, and have
 * done nothing: no message taken, no lock held. A context's deadline bounds every blocking call under it (WEFT_ETIMEDOUT).
 */
#ifndef WEFT_CTX_H
#define WEFT_CTX_H

#include "export.h"
#include "time.h"

WEFT_BEGIN_DECLS

typedef struct weft_ctx weft_ctx;

enum weft_reason {
	WEFT_NOT_CANCELED = 0,
	WEFT_REASON_CANCELED, /* somebody called cancel */
	WEFT_REASON_DEADLINE, /* its deadline passed */
	WEFT_REASON_PARENT,   /* the context above was cancelled */
	WEFT_REASON_SIBLING,  /* another task of the group failed */
	WEFT_REASON_SHUTDOWN, /* the runtime is going down */
	WEFT_REASON_USER,     /* this and greater: the program's own */
};

/* weft_ctx_make - a context below `parent` (NULL: below the caller's own).
 *
 * Returns it with one reference, or NULL when memory is short. Below a cancelled parent it is born cancelled (WEFT_REASON_PARENT).
 * Blocks: no. Threads: any.
 */
WEFT_API weft_ctx *weft_ctx_make(weft_ctx *parent);

/* weft_ctx_with_deadline - the same with a deadline (absolute); the earlier of it and the parent's counts. */
WEFT_API weft_ctx *weft_ctx_with_deadline(weft_ctx *parent, int64_t deadline);

/* weft_ctx_ref, weft_ctx_free - one reference more or less. Tasks under it, and contexts below it, hold their own. NULL is allowed in free. */
WEFT_API weft_ctx *weft_ctx_ref(weft_ctx *c);
WEFT_API void weft_ctx_free(weft_ctx *c);

/* weft_ctx_cancel - cancel c and everything below it.
 *
 *   reason  WEFT_REASON_CANCELED, or WEFT_REASON_USER and up
 *
 * Returns 0; WEFT_EALREADY if it was cancelled before (the first reason stays); WEFT_EINVAL for another reason or the root.
 * When it returns, every blocking call under it that was waiting has been claimed or was already woken.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_ctx_cancel(weft_ctx *c, int reason);

/* weft_ctx_reason - why c is cancelled: an enum weft_reason, WEFT_NOT_CANCELED while it is not (WEFT_REASON_DEADLINE once its deadline
 * has passed). weft_ctx_deadline - its deadline, WEFT_FOREVER without one. NULL: the caller's own context. Threads: any. */
WEFT_API int weft_ctx_reason(weft_ctx *c);
WEFT_API int64_t weft_ctx_deadline(weft_ctx *c);

/* weft_ctx_self - the caller's context, borrowed. The root for foreign threads. */
WEFT_API weft_ctx *weft_ctx_self(void);

/* weft_ctx_enter - run the calling task under c from now on.
 *
 * Returns the context it was under, with its reference, to be given to weft_ctx_leave; NULL when the caller is no task.
 * Use in pairs:  weft_ctx *up = weft_ctx_enter(c); ... weft_ctx_leave(up);
 */
WEFT_API weft_ctx *weft_ctx_enter(weft_ctx *c);
WEFT_API void weft_ctx_leave(weft_ctx *up);

/* weft_ctx_check - has the calling task been cancelled, or its context's deadline passed?
 *
 * Returns 0, WEFT_ECANCELED or WEFT_ETIMEDOUT: what the next blocking call would return. For loops that compute.
 */
WEFT_API int weft_ctx_check(void);

WEFT_END_DECLS

#endif
