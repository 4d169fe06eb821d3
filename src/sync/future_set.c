/* SPDX-License-Identifier: MIT
 *
 * future_set.c - sets of futures, which come out in the order in which they end.
 *
 * A member stands among what is made of its future (sync/future.h), where whoever ends that finds it, takes it off, and puts it at the end of the set's queue.  So adding costs no wait, and taking out does not look at those that have not ended.
 *
 *   in the future's list    until the future ends, or the set is given back: whoever takes it off, under the future's lock
 *   in `pending`            until it is in `done`, or the set is given back; under the set's lock
 *
 * Nothing is done with both locked.  So whoever gives the set back may find that a member has just been taken off by its future's end, whose weft__futures_ended is still to come: they agree under the set's lock which of them is the second, and frees it.
 */
#include "sync/future.h"

#include "base/ref.h"
#include "core/runtime.h"
#include "core/source.h"
#include <stdlib.h>

struct member {
	struct then then; /* `it` is NULL */
	struct weft_futures *set;
	uint64_t label;
	struct list_node link; /* in pending or done; under the set's lock */
	bool looked_at;        /* by whoever gives the set back; under the set's lock */
	bool met;              /* one of the two has been there; the same */
};

struct weft_futures {
	struct lock lock;          /* RANK_SOURCE; guards the rest */
	struct list pending, done; /* members */
	struct list waiters;
	size_t len;
	ATOMIC(uint32_t) refs; /* the handle, and each member that has not ended */
};

static void unref(struct weft_futures *s)
{
	if (ref_drop(&s->refs))
		free(s);
}

/* m is in no list. */
static void member_free(struct member *m)
{
	weft__future_release(m->then.of);
	free(m);
}

/* The set has been given back. Locked. Is the caller the second to see m? */
static bool is_second(struct member *m)
{
	bool second = m->met;

	m->met = true;
	return second;
}

void weft__futures_ended(struct then *t)
{
	struct member *m = container_of(t, struct member, then);
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	struct weft_futures *s = m->set;
	struct inject_node *ready = NULL;
	bool forget = false;

	lock_take_solo(&s->lock, RANK_SOURCE);
	if (m->looked_at) {
		forget = is_second(m);
	} else {
		list_remove(&m->link);
		list_push_tail(&s->done, &m->link);
		ready = weft__source_claim_all(&s->waiters, 0);
	}
	lock_drop_solo(&s->lock);
	weft__ready_list(w, ready);
	if (forget)
		member_free(m);
	unref(s);
}

/* --- the source --- */

static int set_look(struct weft_case *c, struct self *me, struct waiter *w)
{
	struct weft_futures *s = (struct weft_futures *)c->on;
	bool ready;

	(void)me;
	if (!s)
		return 0; /* never */
	if (!c->elem)
		return WEFT_EINVAL;
	lock_take_solo(&s->lock, RANK_SOURCE);
	ready = !list_empty(&s->done) || !s->len;
	if (!ready && w)
		source_list(w, &s->waiters, &s->lock, RANK_SOURCE, s);
	lock_drop_solo(&s->lock);
	return ready;
}

static bool set_finish(struct weft_case *c, struct waiter *w, bool fired)
{
	struct weft_futures *s = (struct weft_futures *)c->on;
	struct worker *wk = weft__worker(); /* as above */
	weft_ended *out = (weft_ended *)c->elem;
	struct inject_node *ready = NULL;
	struct member *m = NULL;
	struct list_node *n;
	bool none;

	(void)w;
	if (!fired)
		return false;
	lock_take_solo(&s->lock, RANK_SOURCE);
	n = list_pop_head(&s->done);
	if (n) {
		m = container_of(n, struct member, link);
		s->len--;
	}
	none = s->len == 0;
	if (n && none)
		ready = weft__source_claim_all(&s->waiters, 0); /* who waits for another waits in vain */
	lock_drop_solo(&s->lock);
	weft__ready_list(wk, ready);
	if (!m) {
		c->status = WEFT_ENOENT;
		return none; /* else somebody was faster */
	}
	*out = (weft_ended){m->then.of, m->label};
	free(m);
	c->status = 0;
	return true;
}

const struct weft_source weft_source_futures = {.look = set_look, .finish = set_finish};

/* --- public --- */

weft_futures *weft_futures_make(void)
{
	struct weft_futures *s = (struct weft_futures *)calloc(1, sizeof *s);

	if (s)
		store_relaxed(&s->refs, 1u); /* not shared yet */
	return s;
}

int weft_futures_add(weft_futures *s, weft_future *f, uint64_t label)
{
	struct member *m;
	bool done;

	if (!s || !f)
		return WEFT_EINVAL;
	m = (struct member *)calloc(1, sizeof *m);
	if (!m)
		return WEFT_ENOMEM;
	m->then.of = f;
	m->set = s;
	m->label = label;
	(void)weft__worker();      /* as above */
	add_relaxed(&s->refs, 1u); /* the caller's own reference keeps it */
	lock_take_solo(&s->lock, RANK_SOURCE);
	s->len++;
	list_push_tail(&s->pending, &m->link);
	lock_drop_solo(&s->lock);
	lock_take_solo(&f->lock, RANK_SOURCE);
	done = load_relaxed(&f->done) != FUTURE_PENDING; /* under lock */
	if (!done)
		list_push_tail(&f->thens, &m->then.link);
	lock_drop_solo(&f->lock);
	if (done)
		weft__futures_ended(&m->then);
	return 0;
}

/* Takes m, which the caller has taken out of `pending`, off its future. Or that has ended just now. */
static void withdraw(struct weft_futures *s, struct member *m)
{
	struct weft_future *f = m->then.of; /* the member's reference, which goes with it */
	bool listed, forget = true;

	lock_take_solo(&f->lock, RANK_SOURCE);
	listed = list_linked(&m->then.link);
	if (listed)
		list_remove(&m->then.link);
	lock_drop_solo(&f->lock);
	if (listed) {
		unref(s);
	} else {
		lock_take_solo(&s->lock, RANK_SOURCE);
		forget = is_second(m);
		lock_drop_solo(&s->lock);
	}
	if (forget)
		member_free(m);
}

void weft_futures_free(weft_futures *s)
{
	struct list_node *n;
	struct member *m;
	bool ended;

	if (!s)
		return;
	for (;;) {
		(void)weft__worker(); /* as above */
		lock_take_solo(&s->lock, RANK_SOURCE);
		weft__source_check_unused(&s->waiters, s, "weft_futures_free");
		n = list_pop_head(&s->done);
		ended = n != NULL;
		if (!n)
			n = list_pop_head(&s->pending);
		m = n ? container_of(n, struct member, link) : NULL;
		if (m)
			m->looked_at = true;
		lock_drop_solo(&s->lock);
		if (!m)
			break;
		if (ended)
			member_free(m);
		else
			withdraw(s, m);
	}
	unref(s);
}

int weft_futures_next_until(weft_futures *s, weft_ended *out, int64_t deadline)
{
	weft_case c = WEFT_FUTURES(s, out);

	return s && out ? weft__source_wait(&c, REASON_FUTURE, deadline) : WEFT_EINVAL;
}

int weft_futures_next(weft_futures *s, weft_ended *out)
{
	int rc = weft_futures_next_until(s, out, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

size_t weft_futures_len(weft_futures *s)
{
	size_t n;

	(void)weft__worker(); /* as above */
	lock_take_solo(&s->lock, RANK_SOURCE);
	n = s->len;
	lock_drop_solo(&s->lock);
	return n;
}
