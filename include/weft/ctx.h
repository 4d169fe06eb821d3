/* SPDX-License-Identifier: MIT
 *
 * weft/ctx.h - contexts: cancel many tasks at once, and bound their calls by one deadline.
 *
 * Every task runs under a context, which weft_go hands on to the tasks it starts; the first one is the root. Cancelling a context
 * cancels those below it. A cancelled task's blocking calls return WEFT_ECANCELED, those it is in and those it makes later, and have
 * done nothing: no message taken, no lock held. A context's deadline bounds every blocking call under it (WEFT_ETIMEDOUT). The root is cancelled by weft_shutdown only.
 *
 * Order: what came before a cancel is seen by whoever has heard of it: after weft_ctx_wait, WEFT_DONE, WEFT_ECANCELED, weft_ctx_check, or a weft_ctx_reason that is not WEFT_NOT_CANCELED.
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
	WEFT_REASON_SHUTDOWN, /* the runtime is going down (weft_shutdown): of the root, and all below it that were not cancelled before. Not to be relied on in the next runtime: a context that outlives
				 weft_run may then be cancelled or not */
	WEFT_REASON_SIGNAL,   /* a signal has come (weft/signal.h); its name is the cause */
	WEFT_REASON_USER,     /* this and greater: the program's own */
};

/* weft_ctx_make - a context below `parent` (NULL: below the caller's own).
 *
 * Returns it with one reference, or NULL when memory is short. Below a cancelled parent it is born cancelled (WEFT_REASON_PARENT).
 * Blocks: no. Threads: any.
 */
WEFT_API weft_ctx *weft_ctx_make(weft_ctx *parent);

/* weft_ctx_with_deadline - the same with a deadline (absolute); the earlier of it and the parent's counts. For a block: weft/scope.h. */
WEFT_API weft_ctx *weft_ctx_with_deadline(weft_ctx *parent, int64_t deadline);

/* weft_ctx_linked - a context below both a and b (NULL: the caller's own): cancelled when either is; the earlier deadline counts; values are a's.
 *
 * Returns it with one reference, or NULL when memory is short.
 */
WEFT_API weft_ctx *weft_ctx_linked(weft_ctx *a, weft_ctx *b);

/* weft_ctx_without_cancel - a context with the values of `parent` (NULL: the caller's own), which is not cancelled with it and has no deadline: for what shall outlive
 * it. NULL when memory is short. For a block see WEFT_WITH_SHIELD. */
WEFT_API weft_ctx *weft_ctx_without_cancel(weft_ctx *parent);

/* weft_ctx_with_value - a context below `parent` that carries a value.
 *
 *   key    an address of yours, so that nobody else's is the same; NULL is an error
 *   value  kept as it is; dtor(value) is called when the last reference is gone (NULL: nothing is), by whoever gives it back: it must not block
 *
 * Returns it, or NULL (no key, or no memory: then dtor is not called).
 */
WEFT_API weft_ctx *weft_ctx_with_value(weft_ctx *parent, const void *key, void *value, void (*dtor)(void *value));

/* weft_ctx_value - the value of the nearest context, c (NULL: the caller's own) or above it, that has one of this key; NULL: none. As far up as contexts go, one
 * comparison each. It lives as long as c does. */
WEFT_API void *weft_ctx_value(weft_ctx *c, const void *key);

/* weft_ctx_ref, weft_ctx_free - one reference more or less. Tasks under it, and contexts below it, hold their own. NULL is allowed in free. */
WEFT_API weft_ctx *weft_ctx_ref(weft_ctx *c);
WEFT_API void weft_ctx_free(weft_ctx *c);

/* weft_ctx_cancel - cancel c and everything below it.
 *
 *   reason  WEFT_REASON_CANCELED (0 stands for it), or WEFT_REASON_USER and up
 *
 * Returns 0; WEFT_EALREADY if it was cancelled before (the first reason stays); WEFT_EINVAL: c is NULL or the root, or another reason; then nothing is cancelled.
 * When it returns, every blocking call under it that was waiting has been claimed or was already woken; unless somebody else cancels the same at the same time: then soon.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_ctx_cancel(weft_ctx *c, int reason);

/* weft_ctx_cancel_cause - the same, and says why in words (copied; NULL: none), for those who ask weft_ctx_cause, of those below c too. */
WEFT_API int weft_ctx_cancel_cause(weft_ctx *c, int reason, const char *cause);

/* weft_ctx_cause - why c (NULL: the caller's own) is cancelled, in words: the cause that was given for it or for the context above it that was cancelled; else what
 * its reason means; "" while it is not. Lives as long as c. Threads: any. */
WEFT_API const char *weft_ctx_cause(weft_ctx *c);

/* weft_ctx_wait - wait until c (NULL: the caller's own, whose end is the caller's as well) is cancelled or its deadline has passed. At once if it is. In a select: WEFT_DONE.
 *
 * Returns 0; WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN: it has not ended. Blocks: yes (context). Threads: any.
 */
WEFT_API int weft_ctx_wait(weft_ctx *c);
WEFT_API int weft_ctx_wait_until(weft_ctx *c, int64_t deadline);

/* weft_ctx_on_done - have fn(arg) called once c is cancelled or its deadline has passed, on a task of its own, under the root context: at a shutdown it is born cancelled. At once, if that is so.
 *
 * Returns a handle for weft_ctx_forget; NULL: no memory, no runtime, or as many tasks as there may be. What could fail has been done then. c NULL: the caller's own.
 * Blocks: no. Threads: any.
 */
typedef struct weft_ctx_hook weft_ctx_hook;
WEFT_API weft_ctx_hook *weft_ctx_on_done(weft_ctx *c, void (*fn)(void *arg), void *arg);

/* weft_ctx_forget - give the handle back. Returns 1 if the call will not happen any more; 0 if it has begun, or is about to. NULL: 0. Blocks: no. Threads: any. */
WEFT_API int weft_ctx_forget(weft_ctx_hook *h);

/* weft_ctx_reason - why c is cancelled: an enum weft_reason, WEFT_NOT_CANCELED while it is not (WEFT_REASON_DEADLINE once its deadline
 * has passed). weft_ctx_deadline - its deadline, WEFT_FOREVER without one. NULL: the caller's own context. Threads: any. */
WEFT_API int weft_ctx_reason(weft_ctx *c);
WEFT_API int64_t weft_ctx_deadline(weft_ctx *c);

/* weft_ctx_self - the caller's context, borrowed. The root for foreign threads. A root is not to be kept beyond its runtime, whatever references there are: the next one may have its place. */
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
