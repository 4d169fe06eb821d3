/* SPDX-License-Identifier: MIT
 *
 * park.c - park and unpark with one sticky permit, and sleep.
 *
 * One word a task, t->permit:
 *   PERMIT_NONE -> word         the task, which has opened the wait `word` and is about to park
 *   PERMIT_NONE -> PERMIT_HELD  unpark, nobody parked: kept for the next park
 *   word -> PERMIT_NONE         unpark, which then owes the claim of `word`; or the task, whose wait ended otherwise
 *   PERMIT_HELD -> PERMIT_NONE  the task takes it
 * An unpark that took a word and lost its claim (timed out, cancelled) leaves the permit behind instead.
 *
 * Model: test/model/park.cpp.
 */
#include "core/runtime.h"

#include "base/clock.h"

#define PERMIT_NONE ((uint64_t)0)
#define PERMIT_HELD ((uint64_t)1) /* no open word equals it: their state bits are WAIT_OPEN */

int weft_task_park_until(int64_t deadline)
{
	struct self me;
	uint64_t word, seen;
	int rc;

	if (!weft_task_self())
		return WEFT_EINVAL;
	rc = self_enter(&me, &deadline);
	if (rc)
		return rc;
	seen = PERMIT_HELD;
	if (solo_cas64(&me.task->permit, &seen, PERMIT_NONE)) { /* pairs with unpark */
		san_acquire(me.task);
		return 0;
	}
	if (deadline == WEFT_NOW)
		return WEFT_EAGAIN;
	word = wait_begin(me.task, NULL, 0, REASON_PARK, deadline);
	seen = PERMIT_NONE;
	if (!solo_cas64(&me.task->permit, &seen, word) && /* pairs with unpark */
	    wait_claim(&me.task->wait, word, WAIT_WOKEN)) {
		(void)swap_acquire(&me.task->permit, PERMIT_NONE); /* it came meanwhile */
		san_acquire(me.task);
		task_set_state(me.task, WEFT_TASK_RUNNING);
		return 0;
	}
	rc = weft__wait_park(me.worker, me.task, NULL, 0, word, deadline);
	if (rc) {
		seen = word;
		(void)solo_cas64(&me.task->permit, &seen, PERMIT_NONE); /* unless an unpark has it: then it leaves the permit */
	}
	return rc;
}

int weft_task_park(void)
{
	return weft_task_park_until(WEFT_FOREVER);
}

void weft_task_unpark(weft_task *t)
{
	struct worker *w = weft__worker();        /* before anything is claimed: see base/solo.h */
	uint64_t seen = load_relaxed(&t->permit); /* checked by the compare-and-swap */

	san_release(t);
	for (;;) {
		if (seen == PERMIT_NONE || seen == PERMIT_HELD) {
			if (solo_cas64(&t->permit, &seen, PERMIT_HELD)) /* pairs with the task's compare-and-swaps */
				return;
		} else if (solo_cas64(&t->permit, &seen, PERMIT_NONE)) {
			if (wait_claim(&t->wait, seen, WAIT_WOKEN)) {
				weft__ready(w, t);
				return;
			}
			seen = PERMIT_NONE;
		}
	}
}

int weft_task_sleep_until(int64_t deadline)
{
	struct self me;
	int64_t effective = deadline;
	uint64_t word;
	int rc = self_enter(&me, &effective);

	if (rc)
		return rc;
	if (effective <= clock_now()) {
		if (effective < deadline)
			return WEFT_ETIMEDOUT; /* the context's */
		weft_task_yield();
		return 0;
	}
	word = wait_begin(me.task, NULL, 0, REASON_SLEEP, effective);
	rc = weft__wait_park(me.worker, me.task, NULL, 0, word, effective);
	return rc == WEFT_ETIMEDOUT && effective == deadline ? 0 : rc;
}

int weft_task_sleep(int64_t ns)
{
	return weft_task_sleep_until(ns <= 0 ? WEFT_NOW : clock_add(clock_now(), ns));
}
