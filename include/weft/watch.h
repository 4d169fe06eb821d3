/* SPDX-License-Identifier: MIT
 *
 * weft/watch.h - a value that changes, and those who want to know its latest.
 *
 * Every change has a version, which grows. Whoever waits, waits for a version later than the one it has seen: it may skip some, but never misses the last.
 */
#ifndef WEFT_WATCH_H
#define WEFT_WATCH_H

#include "chan.h"
#include "error.h"
#include "export.h"
#include <stddef.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

/* weft_watch_make - a watched value.
 *
 *   elem     bytes of it, 0 (changes only) to 65,535
 *   initial  its first value, copied, version 1; NULL: zeroes
 *
 * Returns it with one reference, or NULL: memory is short, or elem is out of range. Blocks: no. Threads: any; needs no runtime.
 */
WEFT_API weft_watch *weft_watch_make(size_t elem, const void *initial);

/* weft_watch_ref, weft_watch_free - one reference more or less; freeing the last while somebody waits is a fatal error. NULL is allowed in free. Threads: any. */
WEFT_API weft_watch *weft_watch_ref(weft_watch *w);
WEFT_API void weft_watch_free(weft_watch *w);

/* weft_watch_set - change the value; all who wait for that go on.
 *
 * Returns 0; WEFT_ECLOSED; WEFT_EINVAL for NULL. Blocks: no, and so it is no cancellation point. Threads: any. Order: what the caller did before is seen by
 * whoever gets this version.
 */
WEFT_API int weft_watch_set(weft_watch *w, const void *value);

/* weft_watch_get - the latest value, whole, also after close.
 *
 *   out  room for it; NULL: not wanted
 *
 * Returns its version. Blocks: no. Threads: any.
 */
WEFT_API uint64_t weft_watch_get(weft_watch *w, void *out);

/* weft_watch_changed - wait for a later version.
 *
 *   version  the one seen (0: none, so that the first call gets the value at once); becomes the latest
 *   out      room for the value; NULL: not wanted
 *
 * Returns 0: value and version belong together; WEFT_ECLOSED: closed, and there is no later one; WEFT_EINVAL: w or version is NULL; WEFT_EAGAIN (deadline
 * WEFT_NOW), WEFT_ETIMEDOUT, WEFT_ECANCELED: both are untouched.
 * Blocks: yes (watch). Threads: any.
 */
WEFT_API int weft_watch_changed(weft_watch *w, uint64_t *version, void *out);
WEFT_API int weft_watch_changed_until(weft_watch *w, uint64_t *version, void *out, int64_t deadline);

/* weft_watch_close - it changes no more: who waits, now or later, for a version there will never be gets WEFT_ECLOSED.
 *
 * Returns 0; WEFT_ECLOSED if it was closed before; WEFT_EINVAL for NULL. Blocks: no. Threads: any.
 */
WEFT_API int weft_watch_close(weft_watch *w);

/* WEFT_WATCH - a case of a select: there is a version later than *seen, which becomes the latest; weft_watch_get has the value (and the version that goes
 * with it). w NULL: never ready. Status: 0, WEFT_ECLOSED. The select fails with WEFT_EINVAL: seen is NULL. */
#define WEFT_WATCH(w, ...) WEFT_CASE_OF(WEFT_CASE_SOURCE, 0, {.watch = (w)}, {.version = (__VA_ARGS__)}, {.source = &weft_source_watch})
WEFT_API extern const weft_source weft_source_watch;

WEFT_END_DECLS

#endif
