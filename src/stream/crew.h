/* SPDX-License-Identifier: MIT
 *
 * crew.h - the tasks of a stage: a group below the context of whoever made the stage, begun at the first pull, cancelled and waited for when the stage is freed.
 */
#ifndef WEFT_STREAM_CREW_H
#define WEFT_STREAM_CREW_H

#include "stream/stage.h"
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

/* A task could not be started. If that was for the puller's own cancel or deadline, or for how many tasks there are just now, the next pull tries again. */
static inline ssize_t crew_refused(struct crew *c, weft_stream *s, int rc)
{
	return stage_passes(rc) && weft_ctx_reason(weft_group_ctx(&c->g)) == WEFT_NOT_CANCELED ? rc : weft__stage_fail(s, rc, NULL);
}

static inline void crew_end(struct crew *c)
{
	if (!c->made)
		return;
	(void)weft_group_cancel(&c->g, WEFT_REASON_CANCELED);
	(void)weft_group_close(&c->g);
}

#endif
