/* SPDX-License-Identifier: MIT
 *
 * weft/group.h - structured concurrency: tasks that end before the block that started them does; loops over many tasks.
 *
 *     WEFT_WITH_GROUP(g, .max = 8, .timeout = 2 * WEFT_SEC) {
 *             for (int i = 0; i < n; i++)
 *                     weft_group_go(&g, fetch, &page[i]);   // one that cannot be started is an error of the group
 *             rc = weft_group_wait(&g);
 *     }
 *
 * However the block is left, nobody it started runs any more: children may point to what is declared outside it, in the frame around it. Not to what is declared in
 * it (nor to compound literals there): that is gone before the waiting, when weft_group_wait was cut short or not called.
 *
 * Children run under the group's context, which is below the caller's: whatever cancels the caller's context cancels them, and so does the group's own deadline. A
 * child fails by returning a negative number, by weft_task_exit with one, or by a panic (WEFT_EPANIC). What then happens to the others is the policy.
 */
#ifndef WEFT_GROUP_H
#define WEFT_GROUP_H

#include "ctx.h"
#include "defer.h"
#include "error.h"
#include "export.h"
#include "task.h"
#include "time.h"
#include <stddef.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

enum weft_group_policy {
	WEFT_FAIL_FAST, /* the first that fails cancels the others (WEFT_REASON_SIBLING); the group's result is its error */
	WEFT_COLLECT,   /* the others go on; the result is the first error, and weft_group_errors has them all */
	WEFT_IGNORE,    /* the others go on; the result is 0 */
};

/* Zero is the default everywhere. */
typedef struct weft_group_opts {
	enum weft_group_policy policy;
	int max;          /* children that run at a time; 0: no limit */
	int keep;         /* WEFT_COLLECT: errors kept, the first so many; 0: 64 */
	int64_t timeout;  /* nanoseconds until the deadline of the group's context; 0: none but the caller's */
	weft_ctx *ctx;    /* the context above the group's; NULL: the caller's */
	const char *name; /* of its children, who get a copy each: an allocation a child. NULL: their function's name, and none */
	int weft__end;    /* for WEFT_WITH_GROUP */
} weft_group_opts;

/* A child that failed. */
typedef struct weft_group_err {
	uint64_t task; /* its weft_task_id; 0: it could not be started */
	int code;
} weft_group_err;

typedef struct weft_group_stat {
	uint32_t running; /* children that have not ended */
	uint32_t done;    /* that have, modulo 2^32 */
	uint32_t failed;  /* of these, those that failed; and those that could not be started */
} weft_group_stat;

/* A group, in the frame of whoever is to wait for it. It is not to be copied. Private fields. */
typedef struct weft_group {
	uint64_t weft__state;
	uint64_t weft__fails; /* how many have; the low half: the code of the first, 0: none */
	uint32_t weft__max;
	int32_t weft__init; /* what weft_group_init has returned */
	uint16_t weft__policy;
	uint16_t weft__keep;
	weft_ctx *weft__ctx;
	const char *weft__name;
	weft_group_err *weft__errors;
	weft_defer weft__defer;
} weft_group;

/* weft_group_init - an empty group. weft_group_close must follow, before the frame it lies in is left; WEFT_WITH_GROUP sees to both.
 *
 *   o  options; NULL: none. The name must live as long as the group
 *
 * Returns 0; WEFT_ENOMEM: a group allocates its context, and under WEFT_COLLECT room for errors, and nothing a child; WEFT_EINVAL: out of range. After an error
 * weft_group_go and weft_group_wait return that error, and weft_group_close need not follow.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_group_init(weft_group *g, const weft_group_opts *o);

/* weft_group_go - start fn(arg) as a child, waiting while `max` of them run.
 *
 * Children may start others in their group (with `max`, by weft_group_trygo: a child that waits for room while all others do waits for ever). Who waits for room is
 * served in the order he came. A child that weft_group_go could not start for want of memory, tasks or a runtime counts as one that failed with that code; one that came when the group itself was cancelled or
 * past its deadline makes that the group's result, if it has no other: who is not cancelled need look at weft_group_wait only.
 * Returns 0: it runs, exactly once; else it never does: WEFT_ECANCELED, WEFT_ETIMEDOUT: the caller, or the group, is cancelled or past its deadline (a group that
 * fails fast is cancelled by its first error); what weft_go returns (WEFT_ENOMEM, WEFT_EAGAIN, WEFT_ESRCH); what weft_group_init returned; WEFT_EINVAL: g or fn
 * is NULL. weft_group_trygo and a deadline of WEFT_NOW: WEFT_EAGAIN where it would have to wait.
 * A group that was closed, or is none, is a fatal error.
 * Blocks: with `max` only (group room). Threads: any. Order: what the caller did before is seen by fn.
 */
WEFT_API int weft_group_go(weft_group *g, weft_task_fn *fn, void *arg);
WEFT_API int weft_group_go_until(weft_group *g, weft_task_fn *fn, void *arg, int64_t deadline);
WEFT_API int weft_group_trygo(weft_group *g, weft_task_fn *fn, void *arg);
WEFT_API int weft__group_go_at(weft_group *g, weft_task_fn *fn, void *arg, int64_t deadline, const struct weft_site *site);

#ifndef __cplusplus
/* The same, for reports: where it is written. */
#define weft_group_go(g, fn, ...) weft__group_go_at(g, fn, __VA_ARGS__, WEFT_FOREVER, WEFT__SITE(#fn))
#define weft_group_go_until(g, fn, ...) weft__group_go_at(g, fn, __VA_ARGS__, WEFT__SITE(#fn))
#define weft_group_trygo(g, fn, ...) weft__group_go_at(g, fn, __VA_ARGS__, WEFT_NOW, WEFT__SITE(#fn))
#endif

/* weft_group_wait - wait until no child runs. More may be started afterwards, and waited for again.
 *
 * Returns the group's result so far: 0, or by its policy the first error; or what ended the waiting: WEFT_ECANCELED, WEFT_ETIMEDOUT: the caller was cancelled, or is past a
 * deadline, WEFT_EAGAIN (deadline WEFT_NOW); what weft_group_init returned; WEFT_EINVAL: g is NULL. A cancelled caller does not wait: its children, if they are
 * under its context, are cancelled with it, and it is weft_group_close, and the end of the block, that wait for them. A child's error may have the same number:
 * weft_group_close returns the group's result and nothing else.
 * Blocks: yes (group). Threads: any, also several at a time, but no child of the group. Order: what the children did is seen after it.
 */
WEFT_API int weft_group_wait(weft_group *g);
WEFT_API int weft_group_wait_until(weft_group *g, int64_t deadline);

/* weft_group_close - wait until no child runs, and give up what the group owns. Neither cancel nor a deadline ends this waiting: children of a cancelled caller are
 * cancelled with it, and it waits for them to notice. Who closes a group knows that nobody but its children uses it any more.
 *
 * A thread outside waits for ever if the runtime goes down before the children have ended.
 *
 * Returns the group's result; closing it again returns it again; WEFT_EINVAL: g is NULL. Blocks: yes (group). Threads: any, but no child of the group.
 */
WEFT_API int weft_group_close(weft_group *g);

/* weft_group_cancel - cancel the children: their blocking calls return WEFT_ECANCELED, and no others are started.
 *
 *   reason  as in weft_ctx_cancel; to say why in words, weft_ctx_cancel_cause(weft_group_ctx(g), ...)
 *
 * Returns 0; WEFT_EALREADY: it was cancelled before; WEFT_EINVAL for another reason; what weft_group_init returned. Blocks: no. Threads: any.
 */
WEFT_API int weft_group_cancel(weft_group *g, int reason);

/* weft_group_ctx - the context of its children, borrowed; NULL once it is closed. */
WEFT_API weft_ctx *weft_group_ctx(weft_group *g);

/* weft_group_errors - which children of a WEFT_COLLECT group have failed, in the order they did; until it is closed.
 *
 *   out  room for n of them
 *
 * Returns how many it has written: those that are kept (the first `keep`), n at most. Blocks: no. Threads: any.
 */
WEFT_API int weft_group_errors(weft_group *g, weft_group_err *out, int n);

/* weft_group_counts - how many run, have ended, have failed. Also after it was closed. Blocks: no. Threads: any. */
WEFT_API void weft_group_counts(weft_group *g, weft_group_stat *out);

/* WEFT_WITH_GROUP(g, .max = 8, ...) { ... } - a block with a group of its own, a weft_group named g; options as in weft_group_opts, or none.
 *
 * It is closed when the block is left: at its end, by break, continue, return or goto the children are waited for as they are (who leaves because something failed calls
 * weft_group_cancel first, or WEFT_DEFERs it in the block: that runs before the waiting); weft_task_exit and panics cancel it first
 * (WEFT_REASON_CANCELED): nobody is left whom its children could work for. In the block break and continue are the block's own.
 */
#define WEFT_WITH_GROUP(...) WEFT__GROUP(__VA_ARGS__, .weft__end = 0)
#define WEFT__GROUP(g, ...) WEFT__GROUP_IN(g, WEFT__JOIN(weft__in_, __LINE__), __VA_ARGS__)
#define WEFT__GROUP_IN(g, in, ...)                                                                                                         \
	for (weft_group g __attribute__((cleanup(weft__group_end))), *in = (weft__group_begin(&g, WEFT__GROUP_OPTS(__VA_ARGS__)), &g); in; \
	     in = NULL)
#ifdef __cplusplus
#include "group_opts.h"
#else
#define WEFT__GROUP_OPTS(...) ((weft_group_opts){__VA_ARGS__})
#endif
WEFT_API weft_group *weft__group_begin(weft_group *g, weft_group_opts o);
WEFT_API void weft__group_end(weft_group *g);

/* --- loops --- */

typedef int weft_group_map_fn(const void *item, void *out, void *arg);
typedef int weft_range_fn(size_t from, size_t to, void *arg);

/* weft_group_map - fn(item, out, arg) for each of n items, each in a task of its own; waits for them.
 *
 *   items, item_size  an array; fn gets a pointer to one of them
 *   out, out_size     one result an item, where fn writes it; NULL: fn gets NULL
 *   o                 of the group that they make up; NULL: none
 *
 * Returns the group's result: 0, or by its policy the first error, then some items may not have been begun. WEFT_ENOMEM, WEFT_EAGAIN, WEFT_ESRCH, WEFT_EINVAL:
 * none, or not all, could be started. WEFT_ECANCELED, WEFT_ETIMEDOUT: the caller was cancelled or is past its deadline; those begun have been cancelled.
 * Whatever it returns, no task of it runs any more.
 * Blocks: yes (group, group room). Threads: any.
 */
WEFT_API int weft_group_map(weft_group_map_fn *fn, const void *items, size_t n, size_t item_size, void *out, size_t out_size, void *arg,
			    const weft_group_opts *o);

/* weft_par_for - a loop over 0 .. n - 1 in parallel: fn(from, to, arg) for ranges that together are all of it, each index once.
 *
 *   grain  indices a range has at most; 0: chosen. A range should be worth some microseconds
 *
 * The caller works through the loop range by range. Whenever its worker has nothing else queued, so that others may be looking for work, it leaves half of what
 * remains to another task, which does the same: what is split is split because somebody takes it. So a range should not wait for another one.
 *
 * Returns 0: all was done; or the first error: a range's negative result (WEFT_EPANIC: a panic), WEFT_ECANCELED, WEFT_ETIMEDOUT: of the caller; WEFT_EINVAL: fn is
 * NULL; WEFT_ENOMEM; WEFT_ESRCH. Then ranges that run are cancelled, and no others begun; those begun have ended.
 * Between ranges the caller and its helpers let others run if they have worked for long.
 * Blocks: yes (group). Threads: any; a foreign thread leaves the work to tasks.
 */
WEFT_API int weft_par_for(size_t n, size_t grain, weft_range_fn *fn, void *arg);

WEFT_END_DECLS

#endif
