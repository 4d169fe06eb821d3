/* SPDX-License-Identifier: MIT
 *
 * feed.h - elements between tasks: a bounded ring with a policy for when it is full, one reader, any number of writers.
 *
 * All is guarded by one mutex, so bounds and counts are exact. The reader finds the end, or an error, behind the elements. What is called of the user's (on_mark, on_drop) is called without the mutex.
 */
#ifndef WEFT_STREAM_FEED_H
#define WEFT_STREAM_FEED_H

#include "stream/stage.h"
#include "weft/lock.h"

struct feed {
	weft_mutex m; /* guards all below that is not constant or atomic */
	weft_cond readable, writable;
	weft_stream_opts o;       /* constant */
	char *ring;               /* room elements; NULL: none yet (without a bound) */
	size_t room, head, len;   /* the oldest is at head */
	size_t waiting;           /* writers */
	int end;                  /* 0: it is open; ENDED; an error */
	bool deaf;                /* nobody reads any more */
	bool high, told, telling; /* above the mark; what on_mark was told; somebody is in it */
	ATOMIC(uint64_t) dropped; /* relaxed: read at any time */
	ATOMIC(uint32_t) refs, writers;
	char where[WEFT_STREAM_NAME_MAX + 1]; /* of an error that came from elsewhere; "": the stream's own */
};

/* Locks m, whether or not the caller is cancelled or out of time: it is only ever held for a moment. */
HIDDEN void weft__feed_lock(weft_mutex *m);

/* With one reference. o has been looked at. */
HIDDEN int weft__feed_make(struct feed **out, const weft_stream_opts *o, size_t elem);
HIDDEN void weft__feed_unref(struct feed *f);

/* Returns how many were dropped, or an error; *done: how many it has dealt with. Also by a caller who is cancelled: where there is room. */
HIDDEN ssize_t weft__feed_add(struct feed *f, const char *elems, size_t n, size_t *done, int64_t deadline);

/* How many may be added now, at least 1: waits until there is room, where the policy is to wait; where it is to drop, one for which another is dropped. Or an error: WEFT_EPIPE, the caller's. */
HIDDEN ssize_t weft__feed_room(struct feed *f, int64_t deadline);

/* No more are written. where: the stage whose error it is; NULL: the reader's. Returns 0, or WEFT_ECLOSED: it had ended. */
HIDDEN int weft__feed_end(struct feed *f, int end, const char *where);

/* For the stage s that reads it: its pull. */
HIDDEN ssize_t weft__feed_get(struct feed *f, weft_stream *s, char *out, size_t max, int64_t deadline);

/* These have been taken for the reader, who will not be given them: on_drop is told. */
HIDDEN void weft__feed_forget(const struct feed *f, const char *elems, size_t n);

/* Nobody reads any more: what is left is dropped, and it is below its mark. */
HIDDEN void weft__feed_deafen(struct feed *f);

#endif
