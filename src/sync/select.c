/* SPDX-License-Identifier: MIT
 *
 * select.c - waits for one of many channel operations, and does exactly one.
 *
 * Passes:  1 sort the distinct channels by address and lock them all: one instant
 *          2 try the cases in random order; the first that goes on is it (uniform among the ready)
 *          3 else open one wait, put a waiter for each case on its channel, unlock, park
 *          4 woken: the claimed waiter says which case; take the others off their queues, each in constant time
 * A case whose partner was claimed elsewhere in the meantime counts as not ready.  A select never pairs with itself: in pass 2 none of its waiters is
 * listed.  Up to SELECT_INLINE cases nothing is allocated.
 */
#include "base/check.h"
#include "core/runtime.h"
#include "sync/chan.h"

#include "base/clock.h"
#include <stdlib.h>

struct scratch {
	struct waiter *waiters;   /* one a case; lock == NULL: not listed */
	struct weft_chan **chans; /* distinct, in address order */
	uint16_t *order;          /* cases in random order */
	int nchans;
};

/* Returns whether it is elided: then all until unlock_all is one section. */
static bool lock_all(struct scratch *s)
{
	if (solo_elides())
		return true;
	for (int i = 0; i < s->nchans; i++)
		lock_take(&s->chans[i]->lock, RANK_CHAN);
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

static int by_address(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (struct weft_chan *const *)a, y = (uintptr_t) * (struct weft_chan *const *)b;

	return x < y ? -1 : x > y;
}

static void sort_chans(struct scratch *s)
{
	struct weft_chan **c = s->chans;
	int n = s->nchans, kept = 0;

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

/* Pass 2. All locked. The index of the case that went on, or -1. */
static int try_all(struct weft_case *cases, struct scratch *s, int live, struct rng *rng, struct weft_task **ready, bool solo)
{
	for (int i = live - 1; i >= 0; i--) { /* Fisher-Yates, drawn as we go */
		uint32_t pick = i ? rng_below(rng, (uint32_t)i + 1) : 0;
		uint16_t at = s->order[pick];
		struct weft_case *c = &cases[at];
		int rc;

		s->order[pick] = s->order[i];
		s->order[i] = at;
		rc = c->kind == WEFT_CASE_SEND ? chan_do_send(c->chan, c->elem, ready, solo) : chan_do_recv(c->chan, c->elem, ready, solo);
		if (rc <= 0) {
			c->status = rc;
			return at;
		}
	}
	return -1;
}

/* Random numbers off a worker: a generator of the calling thread's own record. */
static struct rng *rng_of(struct self *me, struct rng *local)
{
	if (me->worker)
		return &me->worker->rng;
	rng_seed(local, (uint64_t)clock_now(), me->task->id);
	return local;
}

static int select_with(struct self *me, struct weft_case *cases, int n, struct scratch *s, bool poll, int64_t deadline)
{
	struct weft_task *t = me->task, *ready = NULL;
	struct rng local;
	struct waiter *won;
	uint64_t word;
	int live = 0, fired, rc;
	bool solo;

	for (int i = 0; i < n; i++) {
		if ((cases[i].kind == WEFT_CASE_SEND || cases[i].kind == WEFT_CASE_RECV) && cases[i].chan) {
			s->chans[s->nchans++] = cases[i].chan;
			s->order[live++] = (uint16_t)i;
		}
	}
	sort_chans(s);
	solo = lock_all(s);
	fired = try_all(cases, s, live, rng_of(me, &local), &ready, solo);
	if (fired >= 0 || poll) {
		unlock_all(s, solo);
		if (ready)
			weft__ready(me->worker, ready);
		return fired >= 0 ? fired : WEFT_EAGAIN;
	}
	word = wait_begin(t, s->waiters, live, REASON_SELECT, deadline);
	for (int i = 0; i < live; i++) {
		struct weft_case *c = &cases[s->order[i]];
		struct waiter *w = &s->waiters[i];

		waiter_init(w, t, word, &c->chan->lock, RANK_CHAN, c->chan, c->elem);
		w->index = s->order[i];
		w->place = (uint16_t)i;
		list_append(c->kind == WEFT_CASE_SEND ? &c->chan->sendq : &c->chan->recvq, &w->link);
	}
	unlock_all(s, solo);
	rc = weft__wait_park(me->worker, t, s->waiters, live, word, deadline);
	if (rc)
		return rc; /* all withdrawn */
	won = t->waiters;
	fired = won->index;
	if (live > 1)
		weft__wait_withdraw(s->waiters, live);
	cases[fired].status = won->status;
	return fired; /* closed: whoever closed it has zeroed the element */
}

/* Checks the cases; finds default and timeout. Returns 0 or WEFT_EINVAL. */
static int survey(struct weft_case *cases, int n, int *otherwise, int *after, int64_t *deadline)
{
	int64_t now = 0;

	*otherwise = *after = -1;
	for (int i = 0; i < n; i++) {
		switch (cases[i].kind) {
		case WEFT_CASE_NONE:
		case WEFT_CASE_SEND:
		case WEFT_CASE_RECV:
			break;
		case WEFT_CASE_DEFAULT:
			if (*otherwise >= 0)
				return WEFT_EINVAL;
			*otherwise = i;
			break;
		case WEFT_CASE_AFTER: {
			int64_t due;

			if (!now)
				now = clock_now();
			due = cases[i].ns <= 0 ? now : clock_add(now, cases[i].ns);
			if (due < *deadline) {
				*deadline = due;
				*after = i;
			}
			break;
		}
		default:
			return WEFT_EINVAL;
		}
	}
	return 0;
}

int weft_chan_select_until(weft_case *cases, int n, int64_t deadline)
{
	struct {
		struct waiter waiters[SELECT_INLINE];
		struct weft_chan *chans[SELECT_INLINE];
		uint16_t order[SELECT_INLINE];
	} few;
	struct scratch s = {few.waiters, few.chans, few.order, 0};
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
	rc = survey(cases, n, &otherwise, &after, &deadline);
	if (unlikely(rc))
		return rc;
	if (unlikely(n > SELECT_INLINE)) {
		size_t each = sizeof(struct waiter) + sizeof(struct weft_chan *) + sizeof(uint16_t);

		many = malloc((size_t)n * each);
		if (!many)
			return WEFT_ENOMEM;
		s.waiters = many;
		s.chans = (struct weft_chan **)(s.waiters + n);
		s.order = (uint16_t *)(s.chans + n);
	}
	rc = select_with(&me, cases, n, &s, otherwise >= 0 || deadline == WEFT_NOW, deadline);
	free(many);
	if (rc == WEFT_EAGAIN && otherwise >= 0) {
		cases[otherwise].status = 0;
		return otherwise;
	}
	if (rc == WEFT_ETIMEDOUT && after >= 0 && deadline < limit) {
		cases[after].status = 0;
		return after;
	}
	return rc;
}

int weft_chan_select(weft_case *cases, int n)
{
	return weft_chan_select_until(cases, n, WEFT_FOREVER);
}
