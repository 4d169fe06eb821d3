/* SPDX-License-Identifier: MIT
 *
 * merge.c - several streams as one: a task a stream, which pulls a batch and waits until that has been read; the reader goes round those that have one.
 */
#include "stream/crew.h"
#include "stream/feed.h"

#include <stdlib.h>

struct lane {
	struct merge *m;
	weft_stream *up;
	char *buf;       /* the task's while have is 0, then the reader's */
	size_t at, have; /* under lock */
	bool over;       /* its task has ended */
	weft_cond empty;
};

struct merge {
	weft_stream s;
	struct crew crew;
	weft_mutex lock; /* guards all below, and what lanes say */
	weft_cond ready;
	size_t turn, left; /* which lane is looked at first; lanes that are not over */
	int end;           /* an error of a lane; then nothing more is pulled */
	char where[WEFT_STREAM_NAME_MAX + 1];
	struct lane *lanes;
	size_t started; /* of their tasks; the reader's */
	char *bytes;    /* their buffers */
};

/* Locked. */
static void fails(struct merge *m, int code, const char *where)
{
	if (!m->end) {
		m->end = code;
		memcpy(m->where, where, strnlen(where, WEFT_STREAM_NAME_MAX));
	}
}

static void ends(struct lane *l, ssize_t n, const char *where)
{
	struct merge *m = l->m;

	weft__feed_lock(&m->lock);
	if (n < 0)
		fails(m, (int)n, where);
	if (!l->over) {
		l->over = true;
		m->left--;
	}
	weft_cond_signal(&m->ready);
	weft_mutex_unlock(&m->lock);
}

/* However the task ended: if it has not said how, it was by a panic, or by weft_task_exit, in somebody's function. */
static void gone(void *arg)
{
	struct lane *l = arg;

	if (!l->over) /* written by this task only */
		ends(l, WEFT_EPANIC, l->m->s.name);
}

static int fetches(void *arg)
{
	struct lane *l = arg;
	struct merge *m = l->m;
	ssize_t n;

	WEFT_DEFER(gone, l);
	while ((n = weft__stage_pull(l->up, l->buf, m->s.batch, WEFT_FOREVER)) > 0) {
		int rc = 0;

		weft__feed_lock(&m->lock);
		l->at = 0;
		l->have = (size_t)n;
		weft_cond_signal(&m->ready);
		while (l->have > 0 && !rc)
			rc = weft_cond_wait(&l->empty, &m->lock);
		if (m->end)
			rc = WEFT_ECANCELED;
		weft_mutex_unlock(&m->lock);
		if (rc) {
			n = rc;
			break;
		}
	}
	ends(l, n, l->up->status < 0 ? l->up->where : m->s.name);
	return 0;
}

static int begin(struct merge *m)
{
	while (m->started < m->s.n_ups) {
		int rc = weft_group_go(&m->crew.g, fetches, &m->lanes[m->started]);

		if (rc)
			return rc;
		m->started++;
	}
	m->crew.begun = true;
	return 0;
}

/* Locked: from the next lane that has some. */
static size_t read_next(struct merge *m, char *out, size_t max)
{
	size_t lanes = m->s.n_ups, elem = m->s.elem;

	for (size_t i = 0; i < lanes; i++) {
		struct lane *l = &m->lanes[(m->turn + i) % lanes];

		if (l->have > 0) {
			size_t n = stage_min(max, l->have);

			memcpy(out, l->buf + l->at * elem, n * elem);
			l->at += n;
			l->have -= n;
			if (l->have == 0)
				weft_cond_signal(&l->empty);
			m->turn = (size_t)(l - m->lanes + 1) % lanes;
			return n;
		}
	}
	return 0;
}

static ssize_t merge_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct merge *m = (struct merge *)s;
	int rc = weft__stage_check(WEFT_FOREVER); /* what is there is given, also past the deadline */
	bool waited = false;
	ssize_t n;

	if (rc)
		return rc;
	if (!m->crew.begun) {
		rc = begin(m);
		if (rc)
			return crew_refused(&m->crew, s, rc);
	}
	weft__feed_lock(&m->lock);
	while ((n = (ssize_t)read_next(m, out, max)) == 0 && m->left > 0 && !m->end) {
		if (!waited)
			stage_count(&s->n.waits, 1);
		waited = true;
		n = deadline == WEFT_NOW ? WEFT_EAGAIN : weft_cond_wait_until(&m->ready, &m->lock, deadline);
		if (n < 0)
			break;
	}
	if (n == 0 && m->end)
		n = weft__stage_fail(s, m->end, m->where);
	weft_mutex_unlock(&m->lock);
	if (s->status < 0)
		(void)weft_group_cancel(&m->crew.g, WEFT_REASON_CANCELED);
	return n;
}

static void merge_close(weft_stream *s)
{
	struct merge *m = (struct merge *)s;

	crew_end(&m->crew);
	free(m->lanes);
	free(m->bytes);
}

static const struct stage_ops merge_ops = {.kind = "merge", .pull = merge_pull, .close = merge_close, .tasks = true};

weft_stream *weft_stream_merge(weft_stream *const *streams, size_t n)
{
	bool ok = streams && n > 0;
	int rc = WEFT_ENOMEM;
	struct merge *m;
	weft_stream *s;

	for (size_t i = 0; ok && i < n; i++)
		ok = weft_stream_elem(streams[i]) == weft_stream_elem(streams[0]) && !(streams[i] && streams[i]->fleeting);
	m = weft__stage_upon(&s, streams, streams ? n : 0, &merge_ops, sizeof *m, ok ? weft_stream_elem(streams[0]) : 0, ok);
	if (!m)
		return s;
	m->left = n;
	m->lanes = calloc(n, sizeof m->lanes[0]);
	m->bytes = calloc(n, s->batch * s->elem);
	if (m->lanes && m->bytes)
		rc = crew_make(&m->crew);
	if (rc)
		return weft__stage_undo(s, rc);
	for (size_t i = 0; i < n; i++)
		m->lanes[i] = (struct lane){.m = m, .up = s->ups[i], .buf = m->bytes + i * s->batch * s->elem};
	return s;
}
