/* SPDX-License-Identifier: MIT
 *
 * split.c - one stream into several: tee, and partition.
 *
 * Each end has a feed of its own (feed.h), with the policy. There is no task: an end that is asked and has nothing pulls, for all, one end at a time. Under WEFT_STREAM_BLOCK it first waits until every end has room, and asks for no
 * more than that: so what was pulled can be put where it belongs at once, and a call that is cut short has nothing in hand.
 */
#include "stream/feed.h"
#include "weft/defer.h"

#include <stdlib.h>

struct split {
	weft_mutex m; /* guards pulling and open */
	weft_cond changed;
	weft_stream *up;                        /* the puller's */
	int (*which)(const void *e, void *arg); /* NULL: a tee */
	void *arg;
	size_t n, open; /* ends; those that were not freed */
	bool pulling;   /* an end is at it */
	bool begun;     /* the puller's: it has something in hand */
	bool told;      /* the puller's: all feeds have ended */
	enum weft_stream_policy policy;
	char *batch; /* the puller's: what it has pulled */
	struct feed *feeds[];
};

struct end {
	weft_stream s;
	struct split *sp;
	struct feed *f;
};

static void end_all(struct split *sp, int end, const char *where)
{
	sp->told = true;
	for (size_t i = 0; i < sp->n; i++)
		(void)weft__feed_end(sp->feeds[i], end, where);
}

/* One that has been freed takes none, and does not mind. */
static void put(struct feed *f, const char *e, size_t n)
{
	size_t done;
	ssize_t rc = weft__feed_add(f, e, n, &done, WEFT_NOW);

	if (rc == WEFT_ENOMEM)
		(void)weft__feed_end(f, WEFT_ENOMEM, NULL);
}

static void hand_out(struct split *sp, size_t n, const char *name)
{
	size_t elem = sp->up->elem;

	for (size_t i = 0; i < sp->n && !sp->which; i++)
		put(sp->feeds[i], sp->batch, n);
	for (size_t i = 0; i < n && sp->which; i++) {
		const char *e = sp->batch + i * elem;
		int to = sp->which(e, sp->arg);

		if (to < 0 || (size_t)to >= sp->n) {
			end_all(sp, to < 0 ? to : WEFT_EINVAL, name);
			return;
		}
		put(sp->feeds[to], e, 1);
	}
}

/* The pull is over, however: if by a panic, or weft_task_exit, in somebody's function, so is the stream. */
static void pull_over(void *arg)
{
	struct split *sp = arg;

	if (sp->begun) {
		sp->begun = false;
		end_all(sp, WEFT_EPANIC, NULL);
	}
	weft__feed_lock(&sp->m);
	sp->pulling = false;
	weft_cond_broadcast(&sp->changed);
	weft_mutex_unlock(&sp->m);
}

/* 0: there is something new for somebody, if only the end; or the caller's error. */
static ssize_t pull_for_all(struct split *sp, size_t room, const char *name, int64_t deadline)
{
	ssize_t n;

	WEFT_DEFER(pull_over, sp);
	sp->begun = true;
	n = weft__stage_pull(sp->up, sp->batch, stage_min(room, sp->up->batch), deadline);
	if (n > 0)
		hand_out(sp, (size_t)n, name);
	else if (sp->up->status)
		end_all(sp, sp->up->status, sp->up->status < 0 ? sp->up->where : NULL);
	sp->begun = false;
	return n < 0 && !sp->told ? n : 0;
}

/* Locked: how many elements can be put to every end. */
static size_t room_of(struct split *sp)
{
	size_t room = SIZE_MAX;

	for (size_t i = 0; i < sp->n && sp->policy == WEFT_STREAM_BLOCK; i++) {
		struct feed *f = sp->feeds[i];

		weft__feed_lock(&f->m);
		if (!f->deaf)
			room = stage_min(room, f->o.max - f->len);
		weft_mutex_unlock(&f->m);
	}
	return room;
}

static bool has_some(struct feed *f)
{
	bool some;

	weft__feed_lock(&f->m);
	some = f->len > 0 || f->end;
	weft_mutex_unlock(&f->m);
	return some;
}

/* The end has nothing: sees to it that it gets something, or waits. 0: it is to look again. */
static ssize_t get_more(struct end *e, int64_t deadline)
{
	struct split *sp = e->sp;
	ssize_t n = 0;
	size_t room;

	weft__feed_lock(&sp->m);
	if (has_some(e->f)) { /* while nobody pulls, nothing comes */
		weft_mutex_unlock(&sp->m);
		return 0;
	}
	room = sp->pulling ? 0 : stage_min(room_of(sp), e->f->o.max); /* who asks loses nothing of what it asks for */
	if (room == 0) {
		n = deadline == WEFT_NOW ? WEFT_EAGAIN : weft_cond_wait_until(&sp->changed, &sp->m, deadline);
		weft_mutex_unlock(&sp->m);
		return n;
	}
	sp->pulling = true;
	weft_mutex_unlock(&sp->m);
	return pull_for_all(sp, room, e->s.name, deadline);
}

static ssize_t end_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct end *e = (struct end *)s;
	ssize_t n;

	for (bool again = false; (n = weft__feed_get(e->f, s, out, max, WEFT_NOW)) == WEFT_EAGAIN && !s->status; again = true) {
		n = again ? weft__stage_check(deadline) : 0; /* all may have been for others */
		if (n == 0)
			n = get_more(e, deadline);
		if (n < 0)
			return n;
	}
	if (n > 0) { /* there is room again */
		weft__feed_lock(&e->sp->m);
		weft_cond_broadcast(&e->sp->changed);
		weft_mutex_unlock(&e->sp->m);
	}
	return n;
}

static void split_free(struct split *sp)
{
	for (size_t i = 0; i < sp->n; i++)
		if (sp->feeds[i])
			weft__feed_unref(sp->feeds[i]);
	weft_stream_free(sp->up);
	free(sp->batch);
	free(sp);
}

static void end_close(weft_stream *s)
{
	struct end *e = (struct end *)s;
	struct split *sp = e->sp;
	bool last;

	if (!sp)
		return; /* half made */
	weft__feed_deafen(e->f);
	weft__feed_lock(&sp->m);
	last = --sp->open == 0;
	weft_cond_broadcast(&sp->changed);
	weft_mutex_unlock(&sp->m);
	if (last)
		split_free(sp);
}

static uint64_t end_dropped(const weft_stream *s)
{
	return load_relaxed(&((const struct end *)s)->f->dropped); /* statistics */
}

static const struct stage_ops tee_ops = {.kind = "tee", .pull = end_pull, .close = end_close, .dropped = end_dropped, .tasks = true};
static const struct stage_ops partition_ops = {
	.kind = "partition", .pull = end_pull, .close = end_close, .dropped = end_dropped, .tasks = true};

/* What the ends share; and they. On error nothing is left of it but s. */
static int split_make(struct split **out, weft_stream *s, size_t n, const weft_stream_opts *o)
{
	struct split *sp = calloc(1, sizeof *sp + n * sizeof(struct feed *));
	int rc = 0;

	if (!sp)
		return WEFT_ENOMEM;
	sp->n = n;
	sp->policy = o->policy;
	sp->batch = malloc(s->batch * s->elem);
	if (!sp->batch)
		rc = WEFT_ENOMEM;
	for (size_t i = 0; i < n && !rc; i++)
		rc = weft__feed_make(&sp->feeds[i], o, s->elem);
	if (rc) {
		split_free(sp); /* up is not set yet */
		return rc;
	}
	*out = sp;
	return 0;
}

static int ends_make(struct split *sp, weft_stream *s, const struct stage_ops *ops, weft_stream **out)
{
	for (size_t i = 0; i < sp->n; i++) {
		struct end *e = stage_source(&out[i], ops, sizeof *e, s->elem, true);

		if (!e) {
			weft_stream_free(out[i]);
			while (i-- > 0)
				weft_stream_free(out[i]); /* they know of no split yet */
			return WEFT_ENOMEM;
		}
	}
	for (size_t i = 0; i < sp->n; i++) {
		struct end *e = (struct end *)out[i];

		e->sp = sp;
		e->f = sp->feeds[i];
		e->s.shared = s;
	}
	sp->open = sp->n;
	sp->up = s;
	return 0;
}

static void split(weft_stream *s, size_t n, weft_stream **out, const struct stage_ops *ops, int (*which)(const void *e, void *arg),
		  void *arg, const weft_stream_opts *o)
{
	struct split *sp = NULL;
	int rc = !s || !out || n == 0 || n > INT32_MAX ? WEFT_EINVAL
		 : s->status < 0 && !s->have           ? s->status
		 : s->fleeting                         ? WEFT_EINVAL
						       : 0;

	if (!rc)
		rc = split_make(&sp, s, n, o);
	if (!rc) {
		sp->which = which;
		sp->arg = arg;
		rc = ends_make(sp, s, ops, out);
		if (!rc)
			return;
		split_free(sp);
	}
	for (size_t i = 0; out && i < n; i++) {
		out[i] = weft__stage_failed(ops->kind, rc);
		if (s && s->status < 0 && !s->have && !out[i]->fixed)
			memcpy(out[i]->where, s->where, sizeof s->where);
	}
	weft_stream_free(s);
}

void weft_stream_tee(weft_stream *s, size_t n, weft_stream **out, size_t max, enum weft_stream_policy policy)
{
	split(s, n, out, &tee_ops, NULL, NULL, &(weft_stream_opts){.max = max, .policy = policy});
}

void weft_stream_partition(weft_stream *s, size_t n, weft_stream **out, int (*which)(const void *e, void *arg), void *arg, size_t max,
			   enum weft_stream_policy policy)
{
	if (!which) {
		weft_stream_free(s);
		s = NULL;
	}
	split(s, n, out, &partition_ops, which, arg, &(weft_stream_opts){.max = max, .policy = policy});
}
