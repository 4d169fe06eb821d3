/* SPDX-License-Identifier: MIT
 *
 * local.h - task-local values, as the life of a task sees them.
 *
 *   NEW                      t->inherited: what its starter gave it
 *   from its first run on    t->own.locals, which begins as that; NULL while it has no value
 */
#ifndef WEFT_CORE_LOCAL_H
#define WEFT_CORE_LOCAL_H

#include "core/task.h"

typedef void local_dtor(void *value);
typedef void *local_inherit(void *value);

/* `from`, the caller or its proxy, has values, and starts t. Returns 0 or WEFT_ENOMEM. */
int weft__locals_inherit(struct weft_task *from, struct weft_task *t);

/* The same in two: room, which can fail, and may be given back (weft__locals_abandon); and the values. */
int weft__locals_room(struct weft_task *from, struct weft_task *t);
void weft__locals_fill(struct weft_task *from, struct weft_task *t);

/* The caller's task ends: destroys its values, and frees the table. May block. */
void weft__locals_end(struct weft_task *t);

static inline void locals_end(struct weft_task *t)
{
	if (unlikely(t->own.locals != NULL))
		weft__locals_end(t);
}

/* t never runs again. begun: it has run before. */
void weft__locals_abandon(struct weft_task *t, bool begun);

#endif
