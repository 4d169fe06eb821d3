/* SPDX-License-Identifier: MIT
 *
 * weft/uv.h - anything else that libuv can do, awaited: a request is started on one of weft's loops, and the task waits for its callback.
 *
 *     struct statfs_of { uv_fs_t req; const char *path; weft_uv *call; };
 *
 *     static void done(uv_fs_t *req)
 *     {
 *             weft_uv_done(((struct statfs_of *)req)->call, (int)req->result);
 *     }
 *
 *     static int start(struct uv_loop_s *loop, weft_uv *call, void *arg)
 *     {
 *             struct statfs_of *s = arg;
 *
 *             s->call = call;
 *             return uv_fs_statfs(loop, &s->req, s->path, done);
 *     }
 *
 *     rc = weft_uv_await(start, NULL, &s);
 *
 * Files, names, sockets and processes have calls of their own, which need none of this. Functions and callbacks here run on a worker's own stack, with the loop held: they must not block, and may
 * use libuv on that loop, and of weft only weft_uv_done. Handles that start opens are closed (uv_close, its callback run) before weft_uv_done.
 */
#ifndef WEFT_UV_H
#define WEFT_UV_H

#include "error.h"
#include "export.h"
#include "time.h"

WEFT_BEGIN_DECLS

struct uv_loop_s; /* uv_loop_t */

typedef struct weft_uv weft_uv; /* one call under way; valid until weft_uv_done */

/* weft_uv_await - run start(loop, call, arg) on a loop, and wait until weft_uv_done(call, result) is called.
 *
 *   start  begins the request; if it returns an error, that is the result, and weft_uv_done must not be called
 *   stop   called on the loop when the caller is cancelled or its time is over: shall see to it that weft_uv_done is called soon (uv_cancel, uv_close).
 *          NULL: the request is waited for to its end, for it uses the caller's memory
 *
 * Returns the result; WEFT_ECANCELED or WEFT_ETIMEDOUT: start was never called, or stop was, and the result was an error; WEFT_EAGAIN (deadline WEFT_NOW), WEFT_EINVAL (start NULL), WEFT_ENOMEM, WEFT_ESRCH (a foreign
 * thread, and no runtime). Blocks: yes (libuv). Threads: any. When the runtime goes down, what is under way is stopped, and waited for (but for calls made inside WEFT_BLOCKING and weft_blocking, which nobody serves then).
 * Threads of libuv's own pool count as yours where a deadlock is looked for: it is reported, and weft_run goes on.
 */
WEFT_API int weft_uv_await(int (*start)(struct uv_loop_s *loop, weft_uv *call, void *arg), void (*stop)(weft_uv *call, void *arg),
			   void *arg);
WEFT_API int weft_uv_await_until(int (*start)(struct uv_loop_s *loop, weft_uv *call, void *arg), void (*stop)(weft_uv *call, void *arg),
				 void *arg, int64_t deadline);

/* weft_uv_done - the call is over. Once, in a callback of libuv's on that loop, or in stop. The call, and what its caller owns, is gone when it returns. */
WEFT_API void weft_uv_done(weft_uv *call, int result);

WEFT_END_DECLS

#endif
