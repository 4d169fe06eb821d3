/* SPDX-License-Identifier: MIT
 *
 * pin.c - tasks that stay on their worker.
 *
 * A pinned task is never put where thieves look (slot, ring, injection queue), but into a queue of its worker's, w->pinned, that only the owner takes from. Whoever makes a task
 * runnable looks at its flags anyway, for foreign threads; so those that are not pinned pay nothing there, and one branch in a yield. The owner looks into that
 * queue in its slow pick, which whoever puts a task there brings forward (sched.c: go_home). On a worker that is alone it is where all others are, and as quick: there are no thieves, until that ends (core/alone.h).
 *
 * Rejected: to let it be stolen, and have the thief send it home: each pick would have to look. The inbox: others take from it, when its owner is stuck.
 */
#include "base/check.h"
#include "core/runtime.h"

void weft_task_pin(void)
{
	struct worker *w = weft__worker();
	struct weft_task *t = w ? load_relaxed(&w->cur) : NULL; /* own */

	if (!t)
		return;
	if (task_is(t, TASK_PINNED)) {
		if (t->own_pins == UINT16_MAX)
			weft__fatal("weft_task_pin: task %llu is pinned %u times already", (unsigned long long)t->id, UINT16_MAX);
		t->own_pins++;
		return;
	}
	t->own_home = (uint16_t)w->id; /* before the flag: both are acquired with the claim of its next wait */
	t->own_pins = 1;
	add_relaxed(&t->flags, (uint8_t)TASK_PINNED); /* it is not set; beside weft_task_prio. See task_is */
}

void weft_task_unpin(void)
{
	struct weft_task *t = weft_task_self();

	if (!t)
		return;
	if (!task_is(t, TASK_PINNED))
		weft__fatal("weft_task_unpin: task %llu is not pinned", (unsigned long long)t->id);
	if (--t->own_pins == 0)
		add_relaxed(&t->flags, (uint8_t)(0u - TASK_PINNED)); /* it is set; as above */
}

int weft_task_worker(void)
{
	struct worker *w = weft__worker();

	return w && load_relaxed(&w->cur) ? (int)w->id + 1 : 0; /* own */
}
