/* SPDX-License-Identifier: MIT
 *
 * weft/cmap.h - a map that any task and thread may use at the same time: from bytes, strings or numbers to pointers.
 *
 * Whose are the values? Without .hold and .drop the program's, as long as the map has them. With both the map keeps references of its own: .hold makes one,
 * for the map when a value is set and for the caller when it is got; .drop gives one back, the map's when the value leaves the map. What a caller was given
 * stays valid then, whatever others do to the map meanwhile.
 */
#ifndef WEFT_CMAP_H
#define WEFT_CMAP_H

#include "error.h"
#include "export.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef struct weft_cmap weft_cmap;

typedef struct weft_cmap_opts {
	void (*hold)(
		void *value); /* one reference more. Called under a lock: it only counts, does not wait and calls nothing of weft's; NULL: nothing to do */
	void (*drop)(void *value); /* one less. Called on the caller's stack, nothing locked; NULL: nothing to do */
} weft_cmap_opts;

/* weft_cmap_make - a map, empty. o NULL: no callbacks. Returns it with one reference, or NULL: memory is short. Blocks: no. Threads: any; needs no runtime. */
WEFT_API weft_cmap *weft_cmap_make(const weft_cmap_opts *o);

/* weft_cmap_ref, weft_cmap_free - one reference more or less; the last one drops all values. NULL is allowed in free. Threads: any. */
WEFT_API weft_cmap *weft_cmap_ref(weft_cmap *m);
WEFT_API void weft_cmap_free(weft_cmap *m);

/* weft_cmap_get - the value of a key.
 *
 *   key, len  its bytes, up to 2^31 - 1; a string and its length, say
 *
 * Returns it (held for the caller, if there is .hold), or NULL: there is none. Blocks: no. Threads: any. Order: what came before it was set is seen.
 */
WEFT_API void *weft_cmap_get(weft_cmap *m, const void *key, size_t len);

/* weft_cmap_set - set the value of a key; the one it had is dropped.
 *
 *   value  not NULL; held by the map, if there is .hold: the caller's own reference stays the caller's
 *
 * Returns 0; WEFT_ENOMEM: the map is as it was; WEFT_EINVAL: value is NULL, or len out of range. Blocks: no. Threads: any.
 */
WEFT_API int weft_cmap_set(weft_cmap *m, const void *key, size_t len, void *value);

/* weft_cmap_get_or_set - the value of a key, which is set if there is none.
 *
 *   actual  receives the value that is there now, held for the caller; NULL: not wanted, and not held
 *
 * Returns 1: it was set; 0: there was one; WEFT_ENOMEM, WEFT_EINVAL as weft_cmap_set. Blocks: no. Threads: any.
 */
WEFT_API int weft_cmap_get_or_set(weft_cmap *m, const void *key, size_t len, void *value, void **actual);

/* weft_cmap_del - take a key out; its value is dropped. Returns 0; WEFT_ENOENT: there is none. Blocks: no. Threads: any. */
WEFT_API int weft_cmap_del(weft_cmap *m, const void *key, size_t len);

/* weft_cmap_len - how many keys there are: exact while nobody changes it. Threads: any. */
WEFT_API size_t weft_cmap_len(weft_cmap *m);

/* weft_cmap_foreach - call fn(key, len, value, arg) for each, in no order, until it returns false.
 *
 * A key that is in the map all the while comes once; one that is set or taken out meanwhile comes once or not at all. The value is held during the call. fn
 * runs on the caller's stack, nothing is locked: it may wait, and use the map.
 *
 * Returns 0; WEFT_ECANCELED: fn has returned false; WEFT_ENOMEM: some have come. Blocks: no, but for what fn does. Threads: any.
 */
WEFT_API int weft_cmap_foreach(weft_cmap *m, bool (*fn)(const void *key, size_t len, void *value, void *arg), void *arg);

/* The same with a number as the key: it stands for its eight bytes. */
static inline void *weft_cmap_get_u64(weft_cmap *m, uint64_t key)
{
	return weft_cmap_get(m, &key, sizeof key);
}

static inline int weft_cmap_set_u64(weft_cmap *m, uint64_t key, void *value)
{
	return weft_cmap_set(m, &key, sizeof key, value);
}

static inline int weft_cmap_get_or_set_u64(weft_cmap *m, uint64_t key, void *value, void **actual)
{
	return weft_cmap_get_or_set(m, &key, sizeof key, value, actual);
}

static inline int weft_cmap_del_u64(weft_cmap *m, uint64_t key)
{
	return weft_cmap_del(m, &key, sizeof key);
}

WEFT_END_DECLS

#endif
