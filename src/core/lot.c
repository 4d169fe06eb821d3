/* SPDX-License-Identifier: MIT
 *
 * lot.c - waits upon an address, wakes those who do. See lot.h.
 */
#include "core/lot.h"

#include "base/check.h"
#include "core/runtime.h"

struct lot_bucket weft__lot[LOT_BUCKETS];
ATOMIC(bool) weft__lot_marks[(LOT_BUCKETS + LOT_MARKED - 1) / LOT_MARKED];

struct lot_bucket *weft__lot_marked(struct lot_bucket *b)
{
	size_t i = b ? (size_t)(b - weft__lot) + 1 : 0;

	if (!b)
		fence_seq_cst(); /* pairs with the one in lot_mark */
	while (i < ARRAY_LEN(weft__lot)) {
		if (load_relaxed(&weft__lot_marks[i / LOT_MARKED])) /* ordered by the fence */
			return &weft__lot[i];
		i = (i / LOT_MARKED + 1) * LOT_MARKED;
	}
	return NULL;
}

struct waiter *weft__lot_next(struct lot_bucket *b, const void *key, struct waiter *w)
{
	struct list_node *n = w ? list_after(&b->waiters, &w->link) : list_first(&b->waiters);

	for (; n; n = list_after(&b->waiters, n)) {
		w = container_of(n, struct waiter, link);
		if (w->source == key)
			return w;
	}
	return NULL;
}

static int lot_wait(void *key, bool (*still)(void *arg), void *arg, enum task_reason reason, struct self me, int64_t deadline,
		    enum wait_state how)
{
	struct lot_bucket *b = lot_bucket(key);
	struct waiter w;
	uint64_t word;
	int rc;

	lock_take_solo(&b->lock, RANK_LOT);
	lot_mark(b);
	if (!still(arg)) {
		lock_drop_solo(&b->lock);
		return 0;
	}
	if (deadline == WEFT_NOW) {
		lock_drop_solo(&b->lock);
		return WEFT_EAGAIN;
	}
	word = wait_begin_as(me.task, &w, 1, reason, deadline, how);
	waiter_init(&w, me.task, word, &b->lock, RANK_LOT, key, NULL);
	list_push_tail(&b->waiters, &w.link);
	lock_drop_solo(&b->lock);
	rc = weft__wait_park(me.worker, me.task, &w, 1, word, deadline);
	return rc ? rc : w.status;
}

int weft__lot_wait(void *key, bool (*still)(void *arg), void *arg, enum task_reason reason, int64_t deadline)
{
	struct self me;
	int rc = self_enter(&me, &deadline);

	return rc ? rc : lot_wait(key, still, arg, reason, me, deadline, WAIT_OPEN);
}

int weft__lot_wait_shielded(void *key, bool (*still)(void *arg), void *arg, enum task_reason reason)
{
	return weft__lot_wait_shielded_until(key, still, arg, reason, WEFT_FOREVER);
}

int weft__lot_wait_shielded_until(void *key, bool (*still)(void *arg), void *arg, enum task_reason reason, int64_t deadline)
{
	struct self me = {.worker = weft__worker()};

	me.task = me.worker ? load_relaxed(&me.worker->cur) : weft__foreign(); /* own */
	if (!me.task && me.worker)
		weft__fatal("a blocking call was made from a worker's own stack (a callback must not block)");
	return me.task ? lot_wait(key, still, arg, reason, me, deadline, WAIT_SHIELDED) : WEFT_ENOMEM;
}

void weft__lot_ready(struct worker *w, struct ready_list *r)
{
	if (r->first && !r->first->next)
		weft__ready(w, container_of(r->first, struct weft_task, next));
	else
		weft__ready_list(w, r->first);
}

NOINLINE static void lot_left(struct lot_ask *a, struct lot_bucket *b)
{
	struct worker *wk = weft__worker(); /* before anything is locked: see base/solo.h */
	struct ready_list r;

	ready_list_init(&r);
	lock_take_solo(&b->lock, RANK_LOT);
	a->left(a, b, &r);
	lock_drop_solo(&b->lock);
	weft__lot_ready(wk, &r);
}

int weft__lot_ask(struct lot_ask *a, const struct self *me, enum task_reason reason, int64_t deadline)
{
	struct lot_bucket *b = lot_bucket(a->key);
	struct ready_list r;
	struct waiter w;
	uint64_t word;
	int rc;

	ready_list_init(&r);
	lock_take_solo(&b->lock, RANK_LOT);
	lot_mark(b);
	if (!a->still(a, b, &r)) {
		lock_drop_solo(&b->lock);
		weft__lot_ready(me->worker, &r);
		return 0;
	}
	if (deadline == WEFT_NOW) {
		lock_drop_solo(&b->lock);
		return WEFT_EAGAIN;
	}
	word = wait_begin(me->task, &w, 1, reason, deadline);
	waiter_init(&w, me->task, word, &b->lock, RANK_LOT, a->key, a);
	list_push_tail(&b->waiters, &w.link);
	lock_drop_solo(&b->lock);
	rc = weft__wait_park(me->worker, me->task, &w, 1, word, deadline);
	if (!rc)
		return w.status;
	if (a->left)
		lot_left(a, b);
	return rc;
}

struct inject_node *weft__lot_claim_all(struct lot_bucket *b, void *key, int status)
{
	struct ready_list claimed;
	struct waiter *w, *next;

	ready_list_init(&claimed);
	for (w = weft__lot_next(b, key, NULL); w; w = next) {
		next = weft__lot_next(b, key, w);
		list_remove(&w->link);
		if (waiter_claim(w, status, false))
			ready_list_add(&claimed, w->task);
	}
	return claimed.first;
}

struct inject_node *weft__lot_take_all(void *key, int status)
{
	struct lot_bucket *b = lot_bucket(key);
	struct inject_node *claimed;

	lock_take_solo(&b->lock, RANK_LOT);
	claimed = weft__lot_claim_all(b, key, status);
	lock_drop_solo(&b->lock);
	return claimed;
}

void weft__lot_wake_all(struct worker *wk, void *key, int status)
{
	weft__ready_list(wk, weft__lot_take_all(key, status));
}

static struct inject_node *claim_those(struct lot_bucket *b, bool (*which)(const struct waiter *w, void *arg), void *arg, int status)
{
	struct list_node *n, *next;
	struct ready_list claimed;

	ready_list_init(&claimed);
	lock_take_solo(&b->lock, RANK_LOT);
	for (n = list_first(&b->waiters); n; n = next) {
		struct waiter *w = container_of(n, struct waiter, link);

		next = list_after(&b->waiters, n);
		if (!which(w, arg))
			continue;
		list_remove(n);
		if (waiter_claim(w, status, false))
			ready_list_add(&claimed, w->task);
	}
	lock_drop_solo(&b->lock);
	return claimed.first;
}

void weft__lot_wake_those(bool (*which)(const struct waiter *w, void *arg), void *arg, int status)
{
	struct worker *wk = weft__worker();

	for (struct lot_bucket *b = weft__lot_marked(NULL); b; b = weft__lot_marked(b))
		weft__ready_list(wk, claim_those(b, which, arg, status));
}

void weft__lot_wake_one(struct worker *wk, void *key, int status, void (*none)(void *arg), void *arg)
{
	struct lot_bucket *b = lot_bucket(key);
	struct weft_task *claimed = NULL;
	struct waiter *w;

	lock_take_solo(&b->lock, RANK_LOT);
	while (!claimed && (w = weft__lot_next(b, key, NULL)) != NULL) {
		list_remove(&w->link);
		if (waiter_claim(w, status, false))
			claimed = w->task;
	}
	if (none && !weft__lot_next(b, key, NULL))
		none(arg);
	lock_drop_solo(&b->lock);
	if (claimed)
		weft__ready(wk, claimed);
}
