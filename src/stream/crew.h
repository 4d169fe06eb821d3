/* SPDX-License-Identifier: MIT
 *
 * crew.h - the tasks of a stage: a group below the context of whoever made the stage, begun at the first pull, cancelled and waited for when the stage is freed.
 */
#ifndef WEFT_STREAM_CREW_H
#define WEFT_STREAM_CREW_H

#include "weft/group.h"

struct crew {
	weft_group g;
	bool made, begun;
};

static inline int crew_make(struct crew *c)
{
	int rc = weft_group_init(&c->g, &(weft_group_opts){.policy = WEFT_IGNORE});

	c->made = rc == 0;
	return rc;
}

static inline void crew_end(struct crew *c)
{
	if (!c->made)
		return;
	(void)weft_group_cancel(&c->g, WEFT_REASON_CANCELED);
	(void)weft_group_close(&c->g);
}

#endif
