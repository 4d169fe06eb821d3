/* SPDX-License-Identifier: MIT
 *
 * readylist.h - tasks that were claimed under a source's lock, oldest first, to be given to weft__ready_list once nothing is locked.
 *
 * The link is the task's own, that of the queue it goes to; so nothing is allocated, and the list is its collector's until it is given away.
 */
#ifndef WEFT_CORE_READYLIST_H
#define WEFT_CORE_READYLIST_H

#ifndef WEFT_MODEL
#include "core/task.h"
#endif

struct ready_list {
	struct inject_node *first, **last;
};

static inline void ready_list_init(struct ready_list *r)
{
	r->first = NULL;
	r->last = &r->first;
}

static inline void ready_list_add(struct ready_list *r, struct weft_task *t)
{
	t->next.next = NULL;
	*r->last = &t->next;
	r->last = &t->next.next;
}

#endif
