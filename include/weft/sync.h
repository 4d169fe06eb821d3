/* SPDX-License-Identifier: MIT
 *
 * weft/sync.h - waiting for each other: wait group, semaphore, latch, barrier, once, event; and the locks (weft/lock.h). Zeroed memory is a valid one of each; none needs to
 * be destroyed, but it stays until all who wait upon it have returned.
 */
#ifndef WEFT_SYNC_H
#define WEFT_SYNC_H

#include "error.h"
#include "export.h"
#include "lock.h"
#include "task.h"
#include "time.h"
#include <stdbool.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

/* --- wait group --- */

/* A counter to wait upon until it is 0, 8 bytes. Private fields. */
typedef struct weft_wg {
	uint64_t weft__state;
} weft_wg;

/* weft_wg_add - add n (may be negative). The counter below 0, or above 2^31 - 1, is a fatal error. weft_wg_done - subtract 1.
 *
 * Whoever uses it again adds when all waits of the last round have returned: debug builds end the program where they notice that one has not.
 * Blocks: no. Threads: any. Order: what came before done is seen after wait. */
WEFT_API void weft_wg_add(weft_wg *g, int n);
WEFT_API void weft_wg_done(weft_wg *g);

/* weft_wg_go - add 1, and start fn(arg) as a detached task; when that ends, by whatever way, subtract 1. What fn returns is dropped.
 *
 * Returns 0; WEFT_EINVAL without fn, and what weft_go returns: nothing was added. Blocks: no. Threads: any.
 */
WEFT_API int weft_wg_go(weft_wg *g, weft_task_fn *fn, void *arg);
WEFT_API int weft__wg_go_at(weft_wg *g, weft_task_fn *fn, void *arg, const struct weft_site *site);

#ifndef __cplusplus
/* The same, for reports: where it is written. */
#define weft_wg_go(g, fn, ...) weft__wg_go_at((g), (fn), __VA_ARGS__, WEFT__SITE(#fn))
#endif

/* weft_wg_wait - wait until the counter is 0. It may be used again afterwards.
 *
 * Returns 0; WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW): the others have not ended, and still use g and whatever else they were given. So either g does
 * not lie in this frame, or the wait is made in WEFT_WITH_SHIELD; or take WEFT_WITH_GROUP, which does all that. Blocks: yes (wait group). Threads: any.
 */
WEFT_API int weft_wg_wait(weft_wg *g);
WEFT_API int weft_wg_wait_until(weft_wg *g, int64_t deadline);

/* --- semaphore --- */

/* So many permits, at most 2^31 - 1, 8 bytes; zeroed: none. Private fields. */
typedef struct weft_sema {
	uint64_t weft__state;
} weft_sema;

#define WEFT_SEMA_INIT(n)           \
	{                           \
		(uint64_t)(n) << 32 \
	}

/* weft_sema_init - give it n permits, before anybody uses it. Negative: a fatal error. */
WEFT_API void weft_sema_init(weft_sema *s, int n);

/* weft_sema_acquire - take k permits at once, waiting for them.
 *
 * First come first served: whoever wants many is not overtaken by those who want few.
 * Returns 0; WEFT_EINVAL: k is negative; WEFT_ETIMEDOUT, WEFT_ECANCELED: none was taken. k of 0 takes none, and does not wait.
 * Blocks: yes (semaphore). Threads: any.
 */
WEFT_API int weft_sema_acquire(weft_sema *s, int k);
WEFT_API int weft_sema_acquire_until(weft_sema *s, int k, int64_t deadline);

/* weft_sema_tryacquire - the same without waiting: WEFT_EAGAIN where it would have to, also behind others. */
WEFT_API int weft_sema_tryacquire(weft_sema *s, int k);

/* weft_sema_release - give k permits, which need not have been taken. k below 0, or more than 2^31 - 1 in all, is a fatal error.
 * Blocks: no. Threads: any. Order: what came before it is seen by those who take them. */
WEFT_API void weft_sema_release(weft_sema *s, int k);

/* weft_sema_value - permits there are now (may have changed when you read it). */
WEFT_API int weft_sema_value(weft_sema *s);

/* --- latch --- */

/* Opens for good when it has been counted down to 0, 8 bytes; zeroed: open. Private fields. */
typedef struct weft_latch {
	weft_wg weft__g;
} weft_latch;

#define WEFT_LATCH_INIT(n)                  \
	{                                   \
		{                           \
			(uint64_t)(n) << 32 \
		}                           \
	}

/* weft_latch_init - set it to n, before anybody uses it. Negative: a fatal error. */
WEFT_API void weft_latch_init(weft_latch *l, int n);

/* weft_latch_down - count down by n. n below 0, or more than is left, is a fatal error. Blocks: no. Threads: any. Order: what came before it is seen after wait. */
WEFT_API void weft_latch_down(weft_latch *l, int n);

/* weft_latch_wait - wait until it is open. Returns 0; WEFT_ETIMEDOUT, WEFT_ECANCELED. Blocks: yes (latch). Threads: any. */
WEFT_API int weft_latch_wait(weft_latch *l);
WEFT_API int weft_latch_wait_until(weft_latch *l, int64_t deadline);

/* --- barrier --- */

/* Where n parties wait for each other, round after round, 12 bytes; zeroed: of one party, which never waits. Private fields. */
typedef struct weft_barrier {
	uint32_t weft__parties;
	uint32_t weft__here; /* of this round */
	uint32_t weft__round;
} weft_barrier;

#define WEFT_BARRIER_INIT(n)        \
	{                           \
		(uint32_t)(n), 0, 0 \
	}

/* weft_barrier_init - make it one of n parties, before anybody uses it. n below 1 is a fatal error. */
WEFT_API void weft_barrier_init(weft_barrier *b, int n);

/* weft_barrier_wait - wait until all parties have come; then all go on, and the next round begins.
 *
 * Returns 1 to exactly one of them, the last to come, and 0 to the others; WEFT_EBROKEN; WEFT_EAGAIN (deadline WEFT_NOW): it does not count as having come.
 * WEFT_ETIMEDOUT, WEFT_ECANCELED: a party that does not wait leaves the others nothing to wait for, so this breaks the barrier: those who wait, and those who come
 * later, get WEFT_EBROKEN, until it is reset.
 * Blocks: yes (barrier). Threads: any. Order: what each did before is seen by all after.
 */
WEFT_API int weft_barrier_wait(weft_barrier *b);
WEFT_API int weft_barrier_wait_until(weft_barrier *b, int64_t deadline);

/* weft_barrier_reset - begin a new round, whole. Those who wait get WEFT_EBROKEN. weft_barrier_broken - is it broken now? Blocks: no. Threads: any. */
WEFT_API void weft_barrier_reset(weft_barrier *b);
WEFT_API bool weft_barrier_broken(weft_barrier *b);

/* --- once --- */

/* Something to be done once, 8 bytes. Private fields. */
typedef struct weft_once {
	uint32_t weft__state;
	uint32_t weft__owner;
} weft_once;

/* weft_once_do - call fn(arg), unless that was done before; whoever comes meanwhile waits until it is done. If fn ends its task, by weft_task_exit or a panic, that counts as
 * done, as in Go.
 *
 * Returns 0: it is done, also to a cancelled task. Else it is not done yet: WEFT_ECANCELED, WEFT_ETIMEDOUT; WEFT_EDEADLK if fn calls it again. The deadline is for waiting: fn,
 * once begun, ends when it ends.
 * Blocks: yes (once), and if fn does. Threads: any. Order: what fn did is seen by all to whom 0 is returned.
 */
WEFT_API int weft_once_do(weft_once *o, void (*fn)(void *arg), void *arg);
WEFT_API int weft_once_do_until(weft_once *o, void (*fn)(void *arg), void *arg, int64_t deadline);

/* weft_once_retry - the same for an fn that may fail: if it returns anything but 0, or ends its task, it is not done, and the next who comes, or waits, tries.
 *
 * Returns 0: it is done; what fn returned, if the caller's own call of it failed; else as weft_once_do.
 */
WEFT_API int weft_once_retry(weft_once *o, weft_task_fn *fn, void *arg);
WEFT_API int weft_once_retry_until(weft_once *o, weft_task_fn *fn, void *arg, int64_t deadline);

/* Done before: without a call. Not under ThreadSanitizer, which would not see what weft, built without it, has stored. */
#if defined(__SANITIZE_THREAD__)
#define WEFT__ONCE_CALL 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEFT__ONCE_CALL 1
#endif
#endif
#ifndef WEFT__ONCE_CALL
#define WEFT__ONCE_DONE 4u /* its state then */
static inline bool weft__once_done(weft_once *o)
{
	return __atomic_load_n(&o->weft__state, __ATOMIC_ACQUIRE) == WEFT__ONCE_DONE; /* pairs with the swap in once.c */
}

static inline int weft__once_do(weft_once *o, void (*fn)(void *arg), void *arg)
{
	return __builtin_expect(weft__once_done(o), 1) ? 0 : weft_once_do(o, fn, arg);
}

static inline int weft__once_retry(weft_once *o, weft_task_fn *fn, void *arg)
{
	return __builtin_expect(weft__once_done(o), 1) ? 0 : weft_once_retry(o, fn, arg);
}
#define weft_once_do(o, fn, ...) weft__once_do((o), (fn), __VA_ARGS__)
#define weft_once_retry(o, fn, ...) weft__once_retry((o), (fn), __VA_ARGS__)
#endif

/* --- event --- */

/* Set or not, to be waited upon until it is, 4 bytes; zeroed: not. Private fields. */
typedef struct weft_event {
	uint32_t weft__state;
} weft_event;

/* weft_event_set - set it: all who wait go on, even if it is reset at once. weft_event_reset - unset it. weft_event_isset - is it set now?
 * Blocks: no. Threads: any. Order: what came before set is seen after wait. */
WEFT_API void weft_event_set(weft_event *e);
WEFT_API void weft_event_reset(weft_event *e);
WEFT_API bool weft_event_isset(weft_event *e);

/* weft_event_wait - wait until it is set. Returns 0; WEFT_ETIMEDOUT, WEFT_ECANCELED. Blocks: yes (event). Threads: any. */
WEFT_API int weft_event_wait(weft_event *e);
WEFT_API int weft_event_wait_until(weft_event *e, int64_t deadline);

WEFT_END_DECLS

#endif
