/* SPDX-License-Identifier: MIT
 *
 * child.h - a task that is counted by a group, for those who start such tasks: group.c and par.c.
 *
 *	static void body(weft_group *g, ...)
 *	{
 *		struct child c;
 *
 *		weft__child_begin(&c, g);
 *		code = ...
 *		weft__child_end(&c, code);        the group may be gone now
 *	}
 *
 * A body that does not come to its end, by weft_task_exit or a panic, is counted all the same.
 */
#ifndef WEFT_SYNC_CHILD_H
#define WEFT_SYNC_CHILD_H

#include "core/goargs.h"
#include "weft/group.h"

struct child_start {
	void (*body)(void); /* called with the words, the first of which is the group */
	uintptr_t words[4]; /* the second is not 0 */
};

struct child {
	weft_group *g;
	weft_defer defer; /* for the case that it ends without returning */
	bool whole;       /* that is an error, whatever its result: others rely on all of what it does */
};

/* weft_group_go_until of what s says. */
int weft__group_spawn(weft_group *g, const struct child_start *s, int64_t deadline, const struct weft_site *site);
void weft__child_begin(struct child *c, weft_group *g);
void weft__child_end(struct child *c, int code);

/* A failure that the group counts: of this task (0: of none). Whoever calls has a place in the group, or is the one who closes it. */
void weft__group_fail(weft_group *g, uint64_t task, int code);

/* The end of a group of weft__group_begin's that nobody else knows: waits, closes it. rc: what has gone wrong so far, 0 or an error; it, or an error of the waiting, cancels
 * the children. Returns the first error of all, by the group's policy. */
int weft__group_finish(weft_group *g, int rc);

#endif
