/* SPDX-License-Identifier: MIT
 *
 * stage.h - what every stage of a stream is: an end to pull from, the stages before it, a buffer, a status, counters.
 *
 * A kind of stage is a struct that begins with its weft_stream, and its stage_ops. Stages are pulled through stage_pull and stage_view only, which see to all that is the same for each:
 *
 *   status   0: it goes on; ENDED; negative: an error, which stays. stage_fail sets it, with the stage's name; a stage whose pull comes back with an error of the stage before it gets that one's, with its name,
 *            once it has been told of it: an error may lie behind elements that are still to be given.
 *            A negative result of a pull that leaves the status at 0 is the caller's (cancel, deadline): nothing is lost, and the next pull goes on.
 *   buf      what was pulled and not given: the room of stage_view, and of what a sink gives back (stage_unview). It is given first, before the status is told.
 *
 * Law: pull gives 1..max elements, or 0 (the end), or an error: never part of both. A stage that has something to give and an error gives first, and is asked again. It asks the stage before it for no more than it can
 * give, unless it keeps the rest.
 *
 * Nothing here is locked: a stage belongs to whoever pulls it. Counters have that one writer, and any reader.
 */
#ifndef WEFT_STREAM_STAGE_H
#define WEFT_STREAM_STAGE_H

#include "base/atomic.h"
#include "base/check.h"
#include "weft/stream.h"
#include <stdint.h>
#include <string.h>

#define BATCH_COUNT 512  /* elements a buffer holds at most: what a call of each stage is spread over, and what stays in the first cache */
#define BATCH_BYTES 8192 /* and bytes, unless one element is larger */

#define ENDED 1

struct stage_ops {
	const char *kind;
	ssize_t (*pull)(weft_stream *s, char *out, size_t max, int64_t deadline);
	ssize_t (*view)(weft_stream *s, const char **p, size_t max, int64_t deadline); /* in place; NULL: by way of buf */
	void (*unview)(weft_stream *s, size_t n);  /* the last n of a view were not used; with view only */
	void (*close)(weft_stream *s);             /* gives back what it has, before the stages before it are freed; NULL: nothing */
	uint64_t (*dropped)(const weft_stream *s); /* elements, so far; NULL: as counted in n */
	bool tasks;                                /* the stages before it are pulled by tasks of its own, or by others' */
};

struct stage_count {
	ATOMIC(uint64_t) out, pulls, waits, dropped, ns;
};

struct weft_stream {
	const struct stage_ops *ops;
	weft_stream **ups; /* the stages before it, which it owns; &up where there is one */
	weft_stream *up;
	size_t n_ups;
	weft_stream *shared; /* the stage before it that others have, too, for weft_stream_stats; NULL: none */
	size_t elem, batch;  /* bytes of an element; elements that buf has room for */
	char *buf;           /* NULL until it is needed */
	size_t at, have;     /* have elements of it are to be given, from at on */
	int status;
	bool told;            /* status is an error, and whoever pulls has been told: no element is in front of it */
	bool fleeting;        /* its elements are weft_bytes, whose bytes are the source's */
	bool fixed;           /* static, for want of memory: not to be written to */
	ATOMIC(bool) busy;    /* somebody is in a sink of it: a hint */
	ATOMIC(bool) clocked; /* time is measured */
	ATOMIC(bool) failed;  /* status is negative; for weft_stream_stats */
	struct stage_count n; /* written by who pulls; relaxed: statistics */
	char name[WEFT_STREAM_NAME_MAX + 1];
	char where[WEFT_STREAM_NAME_MAX + 1]; /* the name of the stage that failed */
};

/* A stage of a kind upon *s, which it takes over: then *s is the stage. size: bytes of its struct, which are zeroed. ok: its arguments make sense. keeps: it keeps elements, or reads ahead.
 * NULL: *s is a stream that has failed, and to be returned. */
HIDDEN void *weft__stage_on(weft_stream **s, const struct stage_ops *ops, size_t size, size_t elem, bool ok);
HIDDEN void *weft__stage_same_on(weft_stream **s, const struct stage_ops *ops, size_t size, bool ok); /* its elements are those of *s */
HIDDEN void *weft__stage_keeps_on(weft_stream **s, const struct stage_ops *ops, size_t size, size_t elem, bool ok);

/* A stage upon n streams, of elements of one size if same, all of which it takes over; n 0: a source. As above. */
HIDDEN void *weft__stage_upon(weft_stream **s, weft_stream *const *streams, size_t n, const struct stage_ops *ops, size_t size, size_t elem,
			      bool ok);

static inline void *stage_source(weft_stream **s, const struct stage_ops *ops, size_t size, size_t elem, bool ok)
{
	return weft__stage_upon(s, NULL, 0, ops, size, elem, ok);
}

/* A stage that was made, but what it needs could not be: it has failed, and its close finds it half made. */
HIDDEN weft_stream *weft__stage_undo(weft_stream *s, int code);

/* A stream that has failed. */
HIDDEN weft_stream *weft__stage_failed(const char *kind, int code);

/* Makes s a stream that has failed with the code, from now on, in the stage of that name (NULL: itself). Returns the code. */
HIDDEN ssize_t weft__stage_fail(weft_stream *s, ssize_t code, const char *where);

/* The error of `from`, if it has told of one, is s's. */
HIDDEN void weft__stage_inherit(weft_stream *s, const weft_stream *from);

HIDDEN ssize_t weft__stage_pull(weft_stream *s, void *out, size_t max, int64_t deadline);
HIDDEN ssize_t weft__stage_view(weft_stream *s, const char **p, size_t max, int64_t deadline);
HIDDEN void weft__stage_unview(weft_stream *s, size_t n);

/* For sources that never wait, once a pull, and for stages that pull again and again: is the caller cancelled, or out of time? It lets others run, if it is time for that. */
HIDDEN int weft__stage_check(int64_t deadline);

/* For sinks, which ask again and again: a stage looks at the deadline when it waits, so over one that always has some the sink does. had: it has got elements before. */
static inline int stage_goes_on(bool had, int64_t deadline)
{
	return had && deadline != WEFT_FOREVER ? weft__stage_check(deadline) : 0;
}

/* The next elements of a sink. */
static inline ssize_t stage_next(weft_stream *s, const char **p, bool had, int64_t deadline)
{
	int rc = stage_goes_on(had, deadline);

	return rc ? rc : weft__stage_view(s, p, s->batch, deadline);
}

/* A sink of s begins. 0: it may, and weft__sink_end must follow. */
HIDDEN int weft__sink_begin(weft_stream *s);
HIDDEN void weft__sink_end(weft_stream *s);

/* Only the puller writes it. */
static inline void stage_count(ATOMIC(uint64_t) *n, uint64_t more)
{
	store_relaxed(n, load_relaxed(n) + more);
}

static inline size_t stage_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Not an error of the stream: the caller's own, or its deadline's. */
static inline bool stage_passes(ssize_t rc)
{
	return rc == WEFT_EAGAIN || rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED;
}

/* What a source was told: an error that passes, or one that stays. */
static inline ssize_t stage_told(weft_stream *s, ssize_t rc)
{
	return rc < 0 && !stage_passes(rc) ? weft__stage_fail(s, rc, NULL) : rc;
}

static inline size_t stage_batch(size_t elem)
{
	size_t n = BATCH_BYTES / elem;

	return n > BATCH_COUNT ? BATCH_COUNT : n ? n : 1;
}

#endif
