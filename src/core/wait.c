/* SPDX-License-Identifier: MIT
 *
 * wait.c - parks the caller on an open wait, with deadline and cancellation.
 *
 * Law 3, cancellation finds the task: the task opens its wait, enlists, unlocks, then looks at its cancel flag; the canceller sets the flag, passes
 * asym_heavy(), then claims the open wait.  One of the two sees the other; whoever claims has won, and a task that lost its own claim parks to
 * take the wake-up that is on its way.
 *
 * Deadlines.  One timer node a task, in its record; the deadline word in the record is what counts.  A wake-up leaves the node linked; a node that fires
 * looks at wait word and deadline, and claims, moves, or drops out (sched.c: on_due).  Whether the node stands early enough is decided under the
 * lock of the wheel it is in: the firing side takes it out under the same lock, after which it looks at the word that was opened before.
 *
 * A foreign thread opens waits in its proxy record and sleeps on a futex; it watches its own deadline.
 */
#include "core/sched.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/futex.h"

int weft__self_enter_slow(struct self *me, int64_t *deadline)
{
	struct weft_task *t;

	if (!me->worker) {
		me->task = weft__foreign();
		return me->task ? 0 : WEFT_ENOMEM;
	}
	t = me->task;
	if (!t)
		weft__fatal("a blocking call was made from a worker's own stack (a callback must not block)");
	if (load_relaxed(&me->worker->countdown) <= 0 &&
	    *deadline != WEFT_NOW) { /* the monitor's: it has stood here for a while without parking */
		weft__sched_yield(me->worker, t);
		me->worker = weft__worker();
	}
	if (cancel_counts(load_relaxed(&t->cancel))) /* as in self_enter */
		return weft__wait_canceled(t);
	if (t->limit != WEFT_FOREVER) {
		if (clock_now() >= t->limit)
			return WEFT_ETIMEDOUT;
		if (*deadline > t->limit)
			*deadline = t->limit;
	}
	return 0;
}

void weft__wait_withdraw(struct waiter *w, int n)
{
	for (int i = 0; i < n; i++) {
		if (!w[i].lock)
			continue; /* a case that was never listed */
		lock_take_solo(w[i].lock, (enum lock_rank)w[i].kind);
		if (list_linked(&w[i].link))
			list_remove(&w[i].link);
		lock_drop_solo(w[i].lock);
	}
}

NOINLINE void weft__wait_arm(struct worker *w, struct weft_task *t, int64_t deadline)
{
	struct wheel *own = &w->wheel;
	struct wheel *old = load_relaxed(&t->timer.wheel); /* written by the task only */

	if (old && old != own) {
		bool stands = false;

		lock_take_solo(&old->lock, RANK_WHEEL);
		if (list_linked(&t->timer.link)) {
			stands = t->timer.when <= deadline;
			if (!stands)
				weft__wheel_remove(old, &t->timer);
		}
		lock_drop_solo(&old->lock);
		if (stands)
			return;
	}
	lock_take_solo(&own->lock, RANK_WHEEL);
	if (list_linked(&t->timer.link)) {
		if (t->timer.when <= deadline)
			goto out;
		weft__wheel_remove(own, &t->timer);
	}
	weft__wheel_add(own, &t->timer, deadline);
out:
	lock_drop_solo(&own->lock);
}

void weft__wait_disarm(struct weft_task *t)
{
	struct wheel *wheel = load_relaxed(&t->timer.wheel); /* written by the task only */

	lock_take_solo(&wheel->lock, RANK_WHEEL);
	if (list_linked(&t->timer.link))
		weft__wheel_remove(wheel, &t->timer);
	lock_drop_solo(&wheel->lock);
	store_relaxed(&t->timer.wheel, NULL); /* as above */
}

int weft__wait_canceled(struct weft_task *t)
{
	(void)load_acquire(&t->cancel); /* pairs with the compare-and-swaps in ctx.c */
	san_acquire(&t->cancel);
	return WEFT_ECANCELED;
}

int weft__wait_outcome(struct weft_task *t, struct waiter *w, int n)
{
	uint64_t word = load_acquire(&t->wait); /* pairs with the claim: what the claimer delivered */

	switch (wait_state(word)) {
	case WAIT_WOKEN:
		return 0;
	case WAIT_TIMEDOUT:
		weft__wait_withdraw(w, n);
		return WEFT_ETIMEDOUT;
	case WAIT_CANCELED:
		weft__wait_withdraw(w, n);
		return weft__wait_canceled(t);
	default:
		weft__fatal("task %llu was resumed with its wait open (word %#llx)", (unsigned long long)t->id, (unsigned long long)word);
	}
}

NOINLINE int weft__wait_foreign(struct weft_task *t, struct waiter *w, int n, uint64_t word, int64_t deadline)
{
#ifdef WEFT_DEBUG
	weft__locks_none();
#endif
	while (load_acquire(&t->futex) != 0) { /* pairs with store_release in ready_foreign */
		if (weft__futex_wait(&t->futex, 1u, deadline) == 0)
			continue;
		if (wait_claim(&t->wait, word, WAIT_TIMEDOUT)) {
			task_set_state(t, WEFT_TASK_RUNNING);
			return weft__wait_outcome(t, w, n);
		}
		deadline = WEFT_FOREVER; /* somebody else has claimed it, and is about to wake us */
	}
	san_acquire(t);
	task_set_state(t, WEFT_TASK_RUNNING);
	return weft__wait_outcome(t, w, n);
}

NOINLINE int weft__wait_park(struct worker *wk, struct weft_task *t, struct waiter *w, int n, uint64_t word, int64_t deadline)
{
	return wait_park(wk, t, w, n, word, deadline);
}
