/* SPDX-License-Identifier: MIT
 *
 * lot.c - waits upon an address, wakes those who do. See lot.h.
 */
#include "core/lot.h"

#include "core/runtime.h"

struct lot_bucket weft__lot[LOT_BUCKETS];

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

int weft__lot_wait(void *key, bool (*still)(void *arg), void *arg, enum task_reason reason, int64_t deadline)
{
	struct lot_bucket *b = lot_bucket(key);
	struct self me;
	struct waiter w;
	uint64_t word;
	int rc = self_enter(&me, &deadline);

	if (rc)
		return rc;
	lock_take_solo(&b->lock, RANK_LOT);
	if (!still(arg)) {
		lock_drop_solo(&b->lock);
		return 0;
	}
	if (deadline == WEFT_NOW) {
		lock_drop_solo(&b->lock);
		return WEFT_EAGAIN;
	}
	word = wait_begin(me.task, &w, 1, reason, deadline);
	waiter_init(&w, me.task, word, &b->lock, RANK_LOT, key, NULL);
	list_push_tail(&b->waiters, &w.link);
	lock_drop_solo(&b->lock);
	rc = weft__wait_park(me.worker, me.task, &w, 1, word, deadline);
	return rc ? rc : w.status;
}

struct inject_node *weft__lot_claim_all(struct lot_bucket *b, void *key, int status)
{
	struct inject_node *first = NULL, **last = &first;
	struct waiter *w, *next;

	for (w = weft__lot_next(b, key, NULL); w; w = next) {
		next = weft__lot_next(b, key, w);
		list_remove(&w->link);
		if (waiter_claim(w, status, false)) {
			w->task->next.next = NULL;
			*last = &w->task->next;
			last = &w->task->next.next;
		}
	}
	return first;
}

void weft__lot_wake_all(struct worker *wk, void *key, int status)
{
	struct lot_bucket *b = lot_bucket(key);
	struct inject_node *claimed;

	lock_take_solo(&b->lock, RANK_LOT);
	claimed = weft__lot_claim_all(b, key, status);
	lock_drop_solo(&b->lock);
	weft__ready_list(wk, claimed);
}
