/* SPDX-License-Identifier: MIT
 *
 * feed.c - see feed.h; and the streams that users write to, which are one and a reading stage.
 *
 * A writer that waits is woken for each element that is taken, first come first served; one that finds no room all the same (another was faster) waits again.
 */
#include "stream/feed.h"

#include "core/runtime.h"
#include "weft/scope.h"
#include <sched.h>
#include <stdlib.h>

#define ROOM_FIRST 16     /* elements that a ring without a bound begins with */
#define ROOM_KEPT 1024    /* one that is larger is given back when it is empty */
#define DROPPED_MAX 1024u /* bytes of an element that on_drop is called for: it lies in the writer's frame meanwhile */

void weft__feed_lock(weft_mutex *m)
{
	if (likely(weft_mutex_trylock(m) == 0))
		return;
	WEFT_WITH_SHIELD
	{
		while (weft_mutex_lock(m) != 0)
			sched_yield(); /* a foreign thread without a record; nobody keeps the mutex while he waits */
	}
}

static bool opts_ok(const weft_stream_opts *o, size_t elem)
{
	bool bound = o->policy != WEFT_STREAM_UNBOUNDED;
	size_t max = o->max ? o->max : 64;

	if (elem == 0 || elem > WEFT_STREAM_ELEM_MAX || (unsigned)o->policy > WEFT_STREAM_UNBOUNDED || (!bound && o->max) ||
	    (o->on_drop && elem > DROPPED_MAX))
		return false;
	if (bound && (max > PTRDIFF_MAX / elem || o->high > max))
		return false;
	return o->high ? o->low < o->high : !o->low && !o->on_mark;
}

int weft__feed_make(struct feed **out, const weft_stream_opts *o, size_t elem)
{
	struct feed *f;

	*out = NULL;
	if (!opts_ok(o, elem))
		return WEFT_EINVAL;
	f = calloc(1, sizeof *f);
	if (!f)
		return WEFT_ENOMEM;
	f->o = *o;
	f->o.elem = elem;
	if (o->policy != WEFT_STREAM_UNBOUNDED) {
		f->o.max = f->room = o->max ? o->max : 64;
		f->ring = malloc(f->room * elem);
		if (!f->ring) {
			free(f);
			return WEFT_ENOMEM;
		}
	} else {
		f->o.max = SIZE_MAX;
	}
	store_relaxed(&f->refs, 1u); /* nobody else knows it */
	*out = f;
	return 0;
}

void weft__feed_unref(struct feed *f)
{
	if (add_acq_rel(&f->refs, (uint32_t)-1) == 1) { /* acquire and release: the last one sees all */
		free(f->ring);
		free(f);
	}
}

static char *slot(struct feed *f, size_t i)
{
	size_t at = f->head + i;

	return f->ring + (at < f->room ? at : at - f->room) * f->o.elem;
}

/* --- locked --- */

/* A ring of more elements, without a bound. */
static int grow(struct feed *f, size_t n)
{
	size_t elem = f->o.elem, room = f->room ? f->room : ROOM_FIRST;
	char *ring;

	while (room < n) {
		if (room > PTRDIFF_MAX / elem / 2)
			return WEFT_ENOMEM;
		room *= 2;
	}
	ring = malloc(room * elem);
	if (!ring)
		return WEFT_ENOMEM;
	if (f->len) {
		size_t first = stage_min(f->len, f->room - f->head);

		memcpy(ring, slot(f, 0), first * elem);
		memcpy(ring + first * elem, f->ring, (f->len - first) * elem);
	}
	free(f->ring);
	f->ring = ring;
	f->room = room;
	f->head = 0;
	return 0;
}

/* There is room for them. */
static void push(struct feed *f, const char *elems, size_t n)
{
	size_t elem = f->o.elem, at = f->head + f->len, first;

	at = at < f->room ? at : at - f->room;
	first = stage_min(n, f->room - at);
	memcpy(f->ring + at * elem, elems, first * elem);
	memcpy(f->ring, elems + first * elem, (n - first) * elem);
	f->len += n;
}

static void pop(struct feed *f, char *out, size_t n)
{
	size_t elem = f->o.elem, first = stage_min(n, f->room - f->head);

	memcpy(out, slot(f, 0), first * elem);
	memcpy(out + first * elem, f->ring, (n - first) * elem);
	f->head = f->head + n < f->room ? f->head + n : f->head + n - f->room;
	f->len -= n;
	if (f->len == 0 && f->o.max == SIZE_MAX && f->room > ROOM_KEPT) {
		free(f->ring);
		f->ring = NULL;
		f->room = f->head = 0;
	}
}

/* Looks at the marks: whoever finds that on_mark is to be told tells it, and what has changed by then. True: the mutex was free meanwhile. */
static bool tell(struct feed *f)
{
	bool was_free = false;

	if (f->o.high) {
		if (f->len >= f->o.high)
			f->high = true;
		else if (f->len <= f->o.low)
			f->high = false;
		while (f->o.on_mark && f->told != f->high && !f->telling) {
			bool high = f->told = f->high;
			size_t len = f->len;

			f->telling = was_free = true;
			weft_mutex_unlock(&f->m);
			f->o.on_mark(high, len, f->o.arg);
			weft__feed_lock(&f->m);
			f->telling = false;
		}
	}
	return was_free;
}

static void unlock_and_tell(struct feed *f)
{
	(void)tell(f);
	weft_mutex_unlock(&f->m);
}

/* The one that would be read next makes room; unlocks meanwhile to tell of it. */
static void drop_oldest(struct feed *f, const char *mine)
{
	_Alignas(16) char old[DROPPED_MAX]; /* as the header promises */

	if (f->o.on_drop)
		memcpy(old, slot(f, 0), f->o.elem);
	f->head = f->head + 1 < f->room ? f->head + 1 : 0;
	f->len--;
	push(f, mine, 1);
	if (f->o.on_drop) {
		weft_mutex_unlock(&f->m);
		f->o.on_drop(old, f->o.arg);
		weft__feed_lock(&f->m);
	}
}

static void drop_latest(struct feed *f, const char *mine)
{
	if (f->o.on_drop) {
		weft_mutex_unlock(&f->m);
		f->o.on_drop(mine, f->o.arg);
		weft__feed_lock(&f->m);
	}
}

static int wait_for_room(struct feed *f, int64_t deadline)
{
	int rc;

	if (deadline == WEFT_NOW)
		return WEFT_EAGAIN;
	f->waiting++;
	rc = weft_cond_wait_until(&f->writable, &f->m, deadline);
	f->waiting--;
	return rc;
}

/* --- writing --- */

/* Returns how many were dropped, or an error; *done: how many it has dealt with. */
static ssize_t feed_put(struct feed *f, const char *elems, size_t n, size_t *done, int64_t deadline)
{
	int rc = weft__stage_check(WEFT_FOREVER); /* room that is there is taken also past the deadline, as in a channel */

	*done = 0;
	return rc ? rc : weft__feed_add(f, elems, n, done, deadline);
}

ssize_t weft__feed_add(struct feed *f, const char *elems, size_t n, size_t *done, int64_t deadline)
{
	size_t elem = f->o.elem;
	ssize_t dropped = 0;
	int rc = 0;

	*done = 0;
	weft__feed_lock(&f->m);
	while (*done < n) {
		const char *e = elems + *done * elem;

		rc = f->deaf ? WEFT_EPIPE : f->end ? WEFT_ECLOSED : rc;
		if (!rc && f->o.max == SIZE_MAX && f->len + (n - *done) > f->room)
			rc = grow(f, f->len + (n - *done));
		if (rc)
			break;
		if (f->len < f->o.max) {
			size_t k = stage_min(n - *done, f->o.max - f->len);

			push(f, e, k);
			*done += k;
			weft_cond_signal(&f->readable);
		} else if (tell(f)) { /* before it waits or drops; then it looks again */
			continue;
		} else if (f->o.policy == WEFT_STREAM_BLOCK) {
			rc = wait_for_room(f, deadline);
		} else {
			stage_count(&f->dropped, 1);
			dropped++;
			++*done;
			if (f->o.policy == WEFT_STREAM_DROP_OLDEST)
				drop_oldest(f, e);
			else
				drop_latest(f, e);
		}
	}
	unlock_and_tell(f);
	return *done < n ? rc : dropped;
}

ssize_t weft__feed_room(struct feed *f, int64_t deadline)
{
	ssize_t n = weft__stage_check(WEFT_FOREVER);

	if (n)
		return n;
	weft__feed_lock(&f->m);
	while (!n && !f->deaf && f->len == f->o.max && f->o.policy == WEFT_STREAM_BLOCK)
		n = wait_for_room(f, deadline);
	if (f->deaf)
		n = WEFT_EPIPE;
	else if (!n)
		n = f->len < f->o.max ? (ssize_t)stage_min(f->o.max - f->len, PTRDIFF_MAX) : 1;
	weft_mutex_unlock(&f->m);
	return n;
}

int weft__feed_end(struct feed *f, int end, const char *where)
{
	int rc = WEFT_ECLOSED;

	weft__feed_lock(&f->m);
	if (!f->end) {
		rc = 0;
		f->end = end;
		if (where)
			memcpy(f->where, where, strnlen(where, WEFT_STREAM_NAME_MAX));
		weft_cond_broadcast(&f->readable);
		weft_cond_broadcast(&f->writable);
	}
	weft_mutex_unlock(&f->m);
	return rc;
}

/* --- reading --- */

ssize_t weft__feed_get(struct feed *f, weft_stream *s, char *out, size_t max, int64_t deadline)
{
	int rc = weft__stage_check(WEFT_FOREVER); /* as above */
	bool waited = false;
	ssize_t n;

	if (rc)
		return rc;
	weft__feed_lock(&f->m);
	while (f->len == 0 && !f->end && !rc) {
		if (!waited)
			stage_count(&s->n.waits, 1);
		waited = true;
		rc = deadline == WEFT_NOW ? WEFT_EAGAIN : weft_cond_wait_until(&f->readable, &f->m, deadline);
	}
	n = (ssize_t)stage_min(f->len, max);
	if (n > 0) {
		pop(f, out, (size_t)n);
		for (size_t i = stage_min(f->waiting, (size_t)n); i > 0; i--)
			weft_cond_signal(&f->writable);
	} else if (f->end == ENDED) {
		n = 0;
	} else if (f->end) {
		n = weft__stage_fail(s, f->end, f->where[0] ? f->where : NULL);
	} else {
		n = rc;
	}
	unlock_and_tell(f);
	return n;
}

void weft__feed_forget(const struct feed *f, const char *elems, size_t n)
{
	for (size_t i = 0; i < n && f->o.on_drop; i++)
		f->o.on_drop(elems + i * f->o.elem, f->o.arg);
}

void weft__feed_deafen(struct feed *f)
{
	weft__feed_lock(&f->m);
	f->deaf = true;
	weft_cond_broadcast(&f->writable);
	weft_mutex_unlock(&f->m);
	if (f->o.on_drop) /* no writer adds any more, so nobody else touches them */
		for (size_t i = 0; i < f->len; i++)
			f->o.on_drop(slot(f, i), f->o.arg);
	weft__feed_lock(&f->m);
	f->len = 0;
	unlock_and_tell(f);
}

/* --- streams that users write to --- */

struct written {
	weft_stream s;
	struct feed *f;
};

static ssize_t written_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	return weft__feed_get(((struct written *)s)->f, s, out, max, deadline);
}

static void written_forget(const weft_stream *s, const char *elems, size_t n)
{
	weft__feed_forget(((const struct written *)s)->f, elems, n);
}

static void written_close(weft_stream *s)
{
	struct feed *f = ((struct written *)s)->f;

	weft__feed_deafen(f);
	weft__feed_unref(f);
}

static uint64_t written_dropped(const weft_stream *s)
{
	return load_relaxed(&((const struct written *)s)->f->dropped); /* statistics */
}

static const struct stage_ops written_ops = {
	.kind = "open", .pull = written_pull, .forget = written_forget, .close = written_close, .dropped = written_dropped};

static struct feed *feed_of(weft_stream_tx *w)
{
	return (struct feed *)(void *)w;
}

int weft_stream_open(weft_stream **s, weft_stream_tx **w, const weft_stream_opts *o)
{
	struct written *r;
	struct feed *f;
	int rc;

	if (s)
		*s = NULL;
	if (w)
		*w = NULL;
	if (!s || !w || !o)
		return WEFT_EINVAL;
	rc = weft__feed_make(&f, o, o->elem);
	if (rc)
		return rc;
	r = stage_source(s, &written_ops, sizeof *r, o->elem, true);
	if (!r) {
		rc = weft_stream_error(*s, NULL);
		weft_stream_free(*s);
		*s = NULL;
		weft__feed_unref(f);
		return rc;
	}
	r->f = f;
	store_relaxed(&f->refs, 2u); /* nobody else knows it */
	store_relaxed(&f->writers, 1u);
	*w = (weft_stream_tx *)(void *)f;
	return 0;
}

weft_stream_tx *weft_stream_tx_ref(weft_stream_tx *w)
{
	if (w) {
		add_relaxed(&feed_of(w)->refs, 1u); /* the caller's own keeps it */
		add_relaxed(&feed_of(w)->writers, 1u);
	}
	return w;
}

void weft_stream_tx_free(weft_stream_tx *w)
{
	if (!w)
		return;
	if (add_acq_rel(&feed_of(w)->writers, (uint32_t)-1) == 1) /* as in weft__feed_unref */
		(void)weft__feed_end(feed_of(w), ENDED, NULL);
	weft__feed_unref(feed_of(w));
}

int weft_stream_write_until(weft_stream_tx *w, const void *elem, int64_t deadline)
{
	size_t done;
	ssize_t n = w && elem ? feed_put(feed_of(w), elem, 1, &done, deadline) : WEFT_EINVAL;

	NO_JUMP();
	return (int)n;
}

int weft_stream_write(weft_stream_tx *w, const void *elem)
{
	return weft_stream_write_until(w, elem, WEFT_FOREVER);
}

ssize_t weft_stream_write_many_until(weft_stream_tx *w, const void *elems, size_t n, size_t *done, int64_t deadline)
{
	size_t mine;
	ssize_t rc;

	if (!done)
		done = &mine;
	*done = 0;
	if (!w || (!elems && n) || n > PTRDIFF_MAX / feed_of(w)->o.elem)
		return WEFT_EINVAL;
	rc = feed_put(feed_of(w), elems, n, done, deadline);
	NO_JUMP();
	return rc;
}

ssize_t weft_stream_write_many(weft_stream_tx *w, const void *elems, size_t n, size_t *done)
{
	return weft_stream_write_many_until(w, elems, n, done, WEFT_FOREVER);
}

int weft_stream_close(weft_stream_tx *w)
{
	return w ? weft__feed_end(feed_of(w), ENDED, NULL) : WEFT_EINVAL;
}

int weft_stream_fail(weft_stream_tx *w, int code)
{
	return w && code < 0 ? weft__feed_end(feed_of(w), code, NULL) : WEFT_EINVAL;
}

size_t weft_stream_tx_len(weft_stream_tx *w)
{
	size_t len = 0;

	if (w) {
		weft__feed_lock(&feed_of(w)->m);
		len = feed_of(w)->len;
		weft_mutex_unlock(&feed_of(w)->m);
	}
	return len;
}

uint64_t weft_stream_tx_dropped(weft_stream_tx *w)
{
	return w ? load_relaxed(&feed_of(w)->dropped) : 0; /* a count */
}

bool weft_stream_tx_high(weft_stream_tx *w)
{
	bool high = false;

	if (w) {
		weft__feed_lock(&feed_of(w)->m);
		high = feed_of(w)->high;
		weft_mutex_unlock(&feed_of(w)->m);
	}
	return high;
}
