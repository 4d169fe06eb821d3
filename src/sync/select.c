/* SPDX-License-Identifier: MIT
 *
 * select.c - waits for one of many channel operations, and other sources (core/source.h), and does exactly one.
 *
 * Passes:  1 lock all distinct channels, in address order: one instant (elided: one section, and no order)
 *          2 move the cases that look ready to the front; try them in random order; the first that goes on is it (uniform among the ready)
 *          3 else open one wait, put a waiter for each case on its channel, unlock, park
 *          4 woken: the claimed waiter says which case; take the others off their queues, each in constant time
 * A case whose partner was claimed elsewhere in the meantime looks ready and is not.  A select never pairs with itself: in pass 2 none of its waiters is
 * listed.  Up to SELECT_INLINE cases nothing is allocated.
 *
 * With sources among the cases: in pass 2 each is looked at once, while the channels are locked, so that what moves between a channel and a source is seen in one
 * of them; one that is picked is finished when they are unlocked.  Between 3 and 4 each is looked at once more and listed.  One that is ready by then has
 * fired, if the caller can claim its own wait.  A false alarm starts all over, with the same deadline.  All this is a function of its own, as is a select in
 * order, so that channels alone pay nothing for it.
 *
 * Model: test/model/select.cpp.
 */
#include "base/check.h"
#include "core/runtime.h"
#include "core/source.h"
#include "sync/chan.h"

#include "base/clock.h"
#include <limits.h>
#include <stdlib.h>

struct scratch {
	struct waiter *waiters;   /* one a case; lock == NULL: not listed */
	struct weft_chan **chans; /* distinct, in address order; not elided only */
	uint16_t *order;          /* cases that may fire: those of channels, then those of sources */
	int live;                 /* how many of channels */
	int sources;              /* how many of sources */
	int nchans;
	bool strict; /* a channel that was waited for is: then it is looked at once more */
};

static int by_address(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (struct weft_chan *const *)a, y = (uintptr_t) * (struct weft_chan *const *)b;

	return x < y ? -1 : x > y;
}

static void sort_chans(struct scratch *s, const struct weft_case *cases)
{
	struct weft_chan **c = s->chans;
	int n = s->live, kept = 0;

	for (int i = 0; i < n; i++)
		c[i] = cases[s->order[i]].chan;
	if (n <= 12) { /* insertion sort: the usual select has a few cases */
		for (int i = 1; i < n; i++) {
			struct weft_chan *x = c[i];
			int j = i;

			for (; j > 0 && (uintptr_t)c[j - 1] > (uintptr_t)x; j--)
				c[j] = c[j - 1];
			c[j] = x;
		}
	} else {
		qsort(c, (size_t)n, sizeof *c, by_address);
	}
	for (int i = 0; i < n; i++) {
		if (kept == 0 || c[kept - 1] != c[i])
			c[kept++] = c[i];
	}
	s->nchans = kept;
}

static void lock_chans(struct scratch *s)
{
	for (int i = 0; i < s->nchans; i++) {
		lock_take(&s->chans[i]->lock, RANK_CHAN);
		chan_together(s->chans[i]);
	}
}

/* The same where locks are elided. */
static void enter_chans(struct scratch *s, const struct weft_case *cases)
{
	for (int i = 0; i < s->live; i++)
		chan_together(cases[s->order[i]].chan);
}

/* Returns whether it is elided: then all until unlock_all is one section. */
static bool lock_all(struct scratch *s, const struct weft_case *cases)
{
	if (solo_elides()) {
		enter_chans(s, cases);
		return true;
	}
	sort_chans(s, cases);
	lock_chans(s);
	return false;
}

static void unlock_all(struct scratch *s, bool solo)
{
	if (solo) {
		solo_elided();
		return;
	}
	for (int i = s->nchans - 1; i >= 0; i--)
		lock_drop(&s->chans[i]->lock);
}

/* Pass 2. All locked. The index of the case that went on, or -1. */
static int try_all(struct weft_case *cases, struct scratch *s, struct rng *rng, struct weft_task **ready, bool solo)
{
	uint16_t *order = s->order;
	int n = 0;

	for (int i = 0; i < s->live; i++) {
		uint16_t at = order[i];

		if (chan_looks_ready(cases[at].chan, cases[at].kind == WEFT_CASE_SEND)) {
			order[i] = order[n];
			order[n++] = at;
		}
	}
	for (; n > 0; n--) {
		uint32_t pick = n > 1 ? rng_below(rng, (uint32_t)n) : 0;
		uint16_t at = order[pick];
		struct weft_case *c = &cases[at];
		int rc = c->kind == WEFT_CASE_SEND ? chan_do_send(c->chan, c->elem, ready, solo)
						   : chan_do_recv(c->chan, c->elem, ready, solo);

		if (rc <= 0) {
			c->status = rc;
			return at;
		}
		order[pick] = order[n - 1];
		order[n - 1] = at;
	}
	return -1;
}

/* What a send has to look at when it has gone on: it may have reached a mark, or found a strict channel closed. All locked. at: -1: none has. */
static inline const struct chan_more *more_of(const struct weft_case *cases, int at)
{
	return at >= 0 && cases[at].kind == WEFT_CASE_SEND ? cases[at].chan->more : NULL;
}

/* A case of a channel has fired; nothing is locked, and a plain channel may be gone. Returns its index. */
static inline int fired_chan(struct weft_case *cases, int at, const struct chan_more *more)
{
	if (unlikely(more != NULL))
		cases[at].status = chan_sent(cases[at].chan, more, cases[at].status, "weft_chan_select");
	return at;
}

static ATOMIC(uint64_t) foreign_draws; /* selects of foreign threads that have drawn; relaxed: each its own number, that is all */

/* Random numbers off a worker: a generator for this call only. The numbers keep those of calls that follow each other apart, which the clock alone does not. */
static struct rng *rng_of(struct self *me, struct rng *local)
{
	if (me->worker)
		return &me->worker->rng;
	rng_seed(local, (uint64_t)clock_now(), add_relaxed(&foreign_draws, 1));
	return local;
}

/* Lists case `at` with its channel, as the place-th of its select. Locked. */
static inline void list_chan(struct scratch *s, struct weft_task *t, uint64_t word, struct weft_case *c, uint16_t at, int place)
{
	struct waiter *w = &s->waiters[place];

	waiter_init(w, t, word, &c->chan->lock, RANK_CHAN, c->chan, c->elem);
	w->index = at;
	w->place = (uint16_t)place;
	w->sends = c->kind == WEFT_CASE_SEND;
	s->strict |= c->chan->more && c->chan->more->strict;
	list_append(c->kind == WEFT_CASE_SEND ? &c->chan->sendq : &c->chan->recvq, &w->link);
}

/* Channels only, in any order. */
static ALWAYS_INLINE int select_chans(struct self *me, struct weft_case *cases, struct scratch *s, bool poll, int64_t deadline)
{
	struct weft_task *t = me->task, *ready = NULL;
	struct rng local;
	struct waiter *won;
	uint64_t word;
	int fired, rc;
	bool solo;

	solo = lock_all(s, cases);
	fired = try_all(cases, s, rng_of(me, &local), &ready, solo);
	if (fired >= 0 || poll) {
		const struct chan_more *more = more_of(cases, fired);

		unlock_all(s, solo);
		if (ready)
			weft__ready(me->worker, ready);
		return fired >= 0 ? fired_chan(cases, fired, more) : WEFT_EAGAIN;
	}
	word = wait_begin(t, s->waiters, s->live, REASON_SELECT, deadline);
	for (int i = 0; i < s->live; i++)
		list_chan(s, t, word, &cases[s->order[i]], s->order[i], i);
	unlock_all(s, solo);
	rc = weft__wait_park(me->worker, t, s->waiters, s->live, word, deadline);
	if (rc)
		return rc; /* all withdrawn */
	won = t->waiters;
	fired = won->index;
	if (s->live > 1)
		weft__wait_withdraw(s->waiters, s->live);
	cases[fired].status = won->status;
	return fired_chan(cases, fired, s->strict ? more_of(cases, fired) : NULL); /* closed: whoever closed it has zeroed the element */
}

/* --- with sources, or in order --- */

#define PICK_NONE (-1)
#define SELECT_AGAIN INT_MIN /* no error code */

static inline bool is_source(const struct weft_case *c)
{
	return c->kind == WEFT_CASE_SOURCE;
}

/* Pass 2, first half. All locked. Moves those that look ready to the front; returns how many, or what a source fails with. */
static int look_at_all(struct self *me, struct weft_case *cases, struct scratch *s)
{
	uint16_t *order = s->order;
	int n = 0;

	for (int i = 0; i < s->live + s->sources; i++) {
		uint16_t at = order[i];
		struct weft_case *c = &cases[at];
		int rc = is_source(c) ? c->source->look(c, me, NULL) : chan_looks_ready(c->chan, c->kind == WEFT_CASE_SEND);

		if (rc < 0)
			return rc;
		if (rc) {
			order[i] = order[n];
			order[n++] = at;
		}
	}
	return n;
}

/* Which of n places of order: the one of the first case, or any. */
static int pick_one(const uint16_t *order, int n, bool ordered, struct rng *rng)
{
	int best = 0;

	if (!ordered)
		return n > 1 ? (int)rng_below(rng, (uint32_t)n) : 0;
	for (int i = 1; i < n; i++) {
		if (order[i] < order[best])
			best = i;
	}
	return best;
}

/* Pass 2, second half. All locked. Of the first n of order, which look ready: one of a channel that went on, or one of a source, which is to be finished; or
 * PICK_NONE. */
static int pick_and_try(struct weft_case *cases, struct scratch *s, int n, bool ordered, struct rng *rng, struct weft_task **ready,
			bool solo)
{
	uint16_t *order = s->order;

	for (; n > 0; n--) {
		int pick = pick_one(order, n, ordered, rng), rc;
		uint16_t at = order[pick];
		struct weft_case *c = &cases[at];

		if (is_source(c))
			return at;
		rc = c->kind == WEFT_CASE_SEND ? chan_do_send(c->chan, c->elem, ready, solo) : chan_do_recv(c->chan, c->elem, ready, solo);
		if (rc <= 0) {
			c->status = rc;
			return at;
		}
		order[pick] = order[n - 1];
		order[n - 1] = at;
	}
	return PICK_NONE;
}

/* Opens the wait and puts the channels' waiters on their queues. All locked. */
static uint64_t open_wait(struct self *me, struct weft_case *cases, struct scratch *s, int64_t deadline)
{
	enum task_reason reason = REASON_SELECT;
	int n = s->live + s->sources;
	uint64_t word;

	for (int i = 0; i < n; i++) {
		struct weft_case *c = &cases[s->order[i]];

		if (is_source(c) && c->source->outside)
			reason = REASON_SELECT_IO;
	}
	word = wait_begin(me->task, s->waiters, n, reason, deadline);
	for (int i = 0; i < n; i++) {
		struct weft_case *c = &cases[s->order[i]];

		if (is_source(c))
			source_waiter(&s->waiters[i], me->task, word, s->order[i], (uint16_t)i);
		else
			list_chan(s, me->task, word, c, s->order[i], i);
	}
	return word;
}

/* Nothing is locked. Lists the sources' waiters; none more once the wait is closed. Returns 0, or what ends the select here, its wait closed by itself: an error
 * of a source, or 1: the case *fired is ready. */
static int list_sources(struct self *me, struct weft_case *cases, struct scratch *s, uint64_t word, int *fired)
{
	struct weft_task *t = me->task;

	for (int i = 0; i < s->live + s->sources; i++) {
		struct weft_case *c = &cases[s->order[i]];
		int rc;

		if (!is_source(c))
			continue;
		if (load_relaxed(&t->wait) != word) /* a look */
			return 0;
		rc = c->source->look(c, me, &s->waiters[i]);
		if (rc == 0)
			continue;
		if (!wait_claim(&t->wait, word, WAIT_WOKEN))
			return 0; /* somebody was faster, and wakes us */
		task_set_state(t, WEFT_TASK_RUNNING);
		*fired = s->order[i];
		return rc;
	}
	return 0;
}

/* All waiters are off their lists. Finishes the sources that were listed; won last. Returns whether won, if it is a source's, has happened. */
static bool finish_sources(struct weft_case *cases, struct scratch *s, struct waiter *won)
{
	for (int i = 0; i < s->live + s->sources; i++) {
		struct waiter *w = &s->waiters[i];
		struct weft_case *c = &cases[s->order[i]];

		if (is_source(c) && w->lock && w != won)
			c->source->finish(c, w, false);
	}
	if (!won || !is_source(&cases[won->index]))
		return true;
	return cases[won->index].source->finish(&cases[won->index], won, true);
}

/* One turn: the index of the case that fired, an error, or SELECT_AGAIN. */
static int select_once(struct self *me, struct weft_case *cases, struct scratch *s, bool ordered, bool poll, int64_t deadline)
{
	struct weft_task *ready = NULL;
	int n = s->live + s->sources, fired, rc;
	struct waiter *won = NULL;
	struct rng local;
	uint64_t word;
	bool solo;

	solo = !s->sources && solo_elides();
	if (solo)
		enter_chans(s, cases);
	else
		lock_chans(s);
	rc = look_at_all(me, cases, s);
	fired = rc > 0 ? pick_and_try(cases, s, rc, ordered, rng_of(me, &local), &ready, solo) : PICK_NONE;
	if (rc < 0 || fired != PICK_NONE || poll) {
		const struct chan_more *more = more_of(cases, fired);

		unlock_all(s, solo);
		if (ready)
			weft__ready(me->worker, ready);
		if (rc < 0)
			return rc;
		if (fired == PICK_NONE)
			return WEFT_EAGAIN;
		if (!is_source(&cases[fired]))
			return fired_chan(cases, fired, more);
		return cases[fired].source->finish(&cases[fired], NULL, true) ? fired : SELECT_AGAIN;
	}
	word = open_wait(me, cases, s, deadline);
	unlock_all(s, solo);
	rc = list_sources(me, cases, s, word, &fired);
	if (rc) {
		weft__wait_withdraw(s->waiters, n);
		finish_sources(cases, s, NULL);
		if (rc < 0)
			return rc;
		return cases[fired].source->finish(&cases[fired], NULL, true) ? fired : SELECT_AGAIN;
	}
	rc = weft__wait_park(me->worker, me->task, s->waiters, n, word, deadline);
	me->worker = weft__worker();
	if (rc == 0) {
		won = me->task->waiters;
		weft__wait_withdraw(s->waiters, n);
	}
	if (!finish_sources(cases, s, won))
		return SELECT_AGAIN;
	if (rc)
		return rc;
	if (is_source(&cases[won->index]))
		return won->index;
	cases[won->index].status = won->status;
	return fired_chan(cases, won->index, s->strict ? more_of(cases, won->index) : NULL);
}

/* n: of all cases; those of sources stand at the end of order. */
NOINLINE static int select_any(struct self *me, struct weft_case *cases, int n, struct scratch *s, bool ordered, bool poll,
			       int64_t deadline)
{
	int rc;

	memmove(s->order + s->live, s->order + n - s->sources, (size_t)s->sources * sizeof *s->order);
	if (s->live)
		sort_chans(s, cases);
	do {
		rc = select_once(me, cases, s, ordered, poll, deadline);
	} while (rc == SELECT_AGAIN);
	return rc;
}

/* Checks the cases; finds those that may fire, default and timeout. Returns 0 or WEFT_EINVAL. */
static ALWAYS_INLINE int survey(const struct weft_case *cases, int n, struct scratch *s, int *otherwise, int *after, int64_t *deadline)
{
	int64_t now = 0;

	*otherwise = *after = -1;
	for (int i = 0; i < n; i++) {
		enum weft_case_kind kind = cases[i].kind;

		if (likely(kind == WEFT_CASE_RECV || kind == WEFT_CASE_SEND)) {
			s->order[s->live] = (uint16_t)i;
			s->live += cases[i].chan != NULL;
		} else if (kind == WEFT_CASE_DEFAULT) {
			if (*otherwise >= 0)
				return WEFT_EINVAL;
			*otherwise = i;
		} else if (kind == WEFT_CASE_AFTER) {
			int64_t due;

			if (!now)
				now = clock_now();
			due = cases[i].ns <= 0 ? now : clock_add(now, cases[i].ns);
			if (due < *deadline) {
				*deadline = due;
				*after = i;
			}
		} else if (kind == WEFT_CASE_SOURCE && cases[i].source) {
			int64_t due = cases[i].source->due ? cases[i].source->due(&cases[i]) : WEFT_FOREVER;

			s->order[n - ++s->sources] = (uint16_t)i; /* from the end, where no channel's comes */
			if (due < *deadline) {
				*deadline = due;
				*after = i;
			}
		} else if (kind != WEFT_CASE_NONE) {
			return WEFT_EINVAL;
		}
	}
	return 0;
}

static ALWAYS_INLINE int chan_select(weft_case *cases, int n, bool ordered, int64_t deadline)
{
	struct {
		struct waiter waiters[SELECT_INLINE];
		struct weft_chan *chans[SELECT_INLINE];
		uint16_t order[SELECT_INLINE];
	} few;
	struct scratch s = {few.waiters, few.chans, few.order, 0, 0, 0};
	struct self me;
	int64_t limit = deadline; /* the caller's and its context's */
	int otherwise, after, rc;
	void *many = NULL;

	if (unlikely(n < 0 || n > UINT16_MAX || (n && !cases)))
		return WEFT_EINVAL;
	rc = self_enter(&me, &limit);
	if (unlikely(rc))
		return rc;
	deadline = limit;
	if (unlikely(n > SELECT_INLINE)) {
		size_t each = sizeof(struct waiter) + sizeof(struct weft_chan *) + sizeof(uint16_t);

		many = malloc((size_t)n * each);
		if (!many)
			return WEFT_ENOMEM;
		s.waiters = (struct waiter *)many;
		s.chans = (struct weft_chan **)(s.waiters + n);
		s.order = (uint16_t *)(s.chans + n);
	}
	rc = survey(cases, n, &s, &otherwise, &after, &deadline);
	if (likely(rc == 0)) {
		bool poll = otherwise >= 0 || deadline == WEFT_NOW;

		if (likely(!ordered && !s.sources))
			rc = select_chans(&me, cases, &s, poll, deadline);
		else
			rc = select_any(&me, cases, n, &s, ordered, poll, deadline);
	}
	if (unlikely(many != NULL))
		free(many);
	if (rc == WEFT_EAGAIN && otherwise >= 0) {
		cases[otherwise].status = 0;
		return otherwise;
	}
	if (rc == WEFT_ETIMEDOUT && after >= 0 && deadline < limit) {
		cases[after].status = 0;
		if (is_source(&cases[after]))
			(void)cases[after].source->finish(&cases[after], NULL, true); /* it is ready from its time on */
		return after;
	}
	return rc;
}

int weft_chan_select_until(weft_case *cases, int n, int64_t deadline)
{
	return chan_select(cases, n, false, deadline);
}

int weft_chan_select(weft_case *cases, int n)
{
	return weft_chan_select_until(cases, n, WEFT_FOREVER);
}

int weft_chan_select_with(weft_case *cases, int n, unsigned flags, int64_t deadline)
{
	if (flags & ~WEFT_SELECT_ORDERED)
		return WEFT_EINVAL;
	return flags ? chan_select(cases, n, true, deadline) : weft_chan_select_until(cases, n, deadline);
}
