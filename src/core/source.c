/* SPDX-License-Identifier: MIT
 *
 * source.c - waits for one source alone, and wakes those who do. See source.h; for several, sync/select.c.
 */
#include "core/source.h"

#include "base/check.h"
#include "core/runtime.h"

struct inject_node *weft__source_claim_all(struct list *waiters, int status)
{
	struct ready_list claimed;
	struct list_node *n;

	ready_list_init(&claimed);
	while ((n = list_pop_head(waiters)) != NULL) {
		struct waiter *w = container_of(n, struct waiter, link);

		if (waiter_claim(w, status, false))
			ready_list_add(&claimed, w->task);
	}
	return claimed.first;
}

void weft__source_check_unused(struct list *waiters, const void *what, const char *call)
{
	for (struct list_node *n = list_first(waiters); n; n = list_after(waiters, n)) {
		struct waiter *w = container_of(n, struct waiter, link);

		if (w->source == what && load_acquire(&w->task->wait) == w->word) /* pairs with the claim */
			weft__fatal("%s: task %llu still waits for it", call, (unsigned long long)w->task->id);
	}
}

/* Lists and parks. Returns 0: look again; or an error. *done: the case has happened. */
static int wait_once(struct weft_case *c, struct self *me, enum task_reason reason, int64_t deadline, bool *done)
{
	struct weft_task *t = me->task;
	struct waiter w;
	uint64_t word = wait_begin(t, &w, 1, reason, deadline);
	int rc;

	*done = false;
	source_waiter(&w, t, word, 0, 0);
	rc = c->source->look(c, me, &w);
	if (rc && wait_claim(&t->wait, word, WAIT_WOKEN)) {
		task_set_state(t, WEFT_TASK_RUNNING);
		*done = rc > 0 && c->source->finish(c, NULL, true);
		return rc < 0 ? rc : 0;
	}
	rc = weft__wait_park(me->worker, t, &w, 1, word, deadline);
	me->worker = weft__worker();
	if (w.lock)
		*done = c->source->finish(c, &w, rc == 0);
	return rc;
}

int weft__source_wait(struct weft_case *c, enum task_reason reason, int64_t deadline)
{
	struct self me;
	bool done = false;
	int rc = self_enter(&me, &deadline);
	int64_t due = c->source->due ? c->source->due(c) : WEFT_FOREVER;

	while (!rc && !done) {
		rc = c->source->look(c, &me, NULL);
		if (rc > 0) {
			done = c->source->finish(c, NULL, true);
			rc = 0;
		} else if (rc == 0) {
			rc = deadline == WEFT_NOW ? WEFT_EAGAIN : wait_once(c, &me, reason, due < deadline ? due : deadline, &done);
			if (rc == WEFT_ETIMEDOUT && due <= deadline)
				rc = 0; /* look again */
		}
	}
	return rc ? rc : c->status;
}
