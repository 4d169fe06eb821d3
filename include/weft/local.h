/* SPDX-License-Identifier: MIT
 *
 * weft/local.h - task-local storage: a key, under which every task has a value of its own.
 *
 * A task that moves to another worker takes its values along; an OS thread that weft did not make has values, too. Who uses no key pays nothing.
 * (What a call needs from its callers is better handed down by a context: weft_ctx_value. Task-local storage is for what belongs to the task itself.)
 */
#ifndef WEFT_LOCAL_H
#define WEFT_LOCAL_H

#include "error.h"
#include "export.h"
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef uint64_t weft_local; /* a key; 0 is none, and no key is made twice */

/* weft_local_make - a key. Nobody has a value under it yet: weft_local_get returns NULL.
 *
 *   dtor     called with a task's value when the task ends (NULL: not wanted), by itself, however it ends: by return, weft_task_exit or a panic. It may block, start
 *            tasks and set values; what it sets is destroyed in its turn, but after four rounds what is left is dropped. A thread's values are destroyed when it ends.
 *            Those of a task that never runs again, because the runtime goes down, are not.
 *   inherit  called by whoever starts a task, with the starter's value: returns what the new task gets, which is destroyed as any other value: a copy, or
 *            the same with one reference more; NULL: nothing. It must not block, panic or end the task. The starter is whoever calls weft_go, weft_group_go, weft_go_future ...;
 *            of weft_future_map and _then, whoever ends the first future; of timers and callbacks of contexts, nobody. WEFT_LOCAL_INHERIT: the very same, for values without dtor.
 *            NULL: a new task has no value
 *
 * Returns 0; WEFT_EAGAIN: there are 256 keys; WEFT_EINVAL: key is NULL, or WEFT_LOCAL_INHERIT has a dtor. Blocks: no. Threads: any; needs no runtime.
 */
WEFT_API int weft_local_make(weft_local *key, void (*dtor)(void *value), void *(*inherit)(void *value));
#define WEFT_LOCAL_INHERIT weft__local_same
WEFT_API void *weft__local_same(void *value);

/* weft_local_free - give the key back. The values that tasks have under it are dropped, not destroyed.
 *
 * Returns 0; WEFT_EINVAL: it is none, or was given back before. Blocks: no. Threads: any.
 */
WEFT_API int weft_local_free(weft_local key);

/* weft_local_set - the calling task's value. The one it had is not destroyed.
 *
 * Returns 0; WEFT_EINVAL: no key, or the caller is a worker that runs no task; WEFT_ENOMEM. Blocks: no. Threads: any.
 */
WEFT_API int weft_local_set(weft_local key, void *value);

/* weft_local_get - the calling task's value; NULL: it has none, or there is no such key. Blocks: no. Threads: any. */
WEFT_API void *weft_local_get(weft_local key);

WEFT_END_DECLS

#endif
