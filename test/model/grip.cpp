/* SPDX-License-Identifier: MIT
 *
 * grip.cpp - model of entering a runtime against its going down, over core/grip.h and core/waitword.h, with the number used again: what is inside never loses the runtime, a task that was claimed before
 * is queued in its own, and who comes late with a run finds that one or none.
 *
 * The runtime's memory stands for all it has: written by whoever brings one up, and taken away when it is down; who uses it inside must see what it is.
 */
#include "model.h"

#include "core/grip.h"
#include "core/waitword.h"

/* One goes down, and another comes up by the same number. A waker claims the first one's task; a third thread means the first one by its run. */
struct down_and_up : rl::test_suite<down_and_up, 3> {
	ATOMIC(uint32_t) inside, run;
	ATOMIC(uint64_t) wait;
	ATOMIC(uint32_t) queued;  /* the task: it is in the queue */
	rl::var<uint32_t> memory; /* of the runtime: which one it is; 0: none */

	void before()
	{
		store_relaxed(&inside, 0u);
		store_relaxed(&run, 0u);
		store_relaxed(&wait, (uint64_t)0);
		store_relaxed(&queued, 0u);
		memory($) = 1;
		store_relaxed(&run, 1u);
		(void)wait_open(&wait, WAIT_OPEN);
		grip_open(&inside);
	}

	void down()
	{
		uint64_t word = load_acquire(&wait);

		if (!(wait_is_open(word) && wait_claim(&wait, word, WAIT_CANCELED))) { /* call_off */
			while (!MUTATED("going down does not wait for who has claimed") && !load_acquire(&queued))
				rl::yield(1, $);
		}
		grip_close(&inside);
		while (!MUTATED("going down does not wait for who is inside") && grip_left(&inside) != 0)
			rl::yield(1, $);
		memory($) = 0;
		store_release(&run, 0u);
		/* the next */
		memory($) = 2;
		store_relaxed(&run, 2u);
		grip_open(&inside);
	}

	void waker()
	{
		uint64_t word = load_acquire(&wait);
		bool wake = false;

		if (!wait_is_open(word) || !wait_claim(&wait, word, WAIT_WOKEN))
			return;
		if (!grip_enter(&inside, &wake)) {
			RL_ASSERT(!"a claimed task is lost");
			return;
		}
		RL_ASSERT(memory($) == 1);
		store_release(&queued, 1u);
		RL_ASSERT(memory($) == 1); /* the queue, and who is woken: used after the task is queued */
		(void)grip_leave(&inside);
	}

	void late()
	{
		bool wake = false;
		uint32_t which;

		if (!grip_enter(&inside, &wake))
			return;
		which = load_relaxed(&run);
		if (which == 1 || MUTATED("whoever means a run does not look at it"))
			RL_ASSERT(memory($) == 1);
		else
			RL_ASSERT(memory($) == 2);
		(void)grip_leave(&inside);
	}

	void thread(unsigned id)
	{
		if (id == 0)
			down();
		else if (id == 1)
			waker();
		else
			late();
	}
};

static const struct scenario scenarios[] = {
	{"down, and up by the same number", rl::simulate<down_and_up>, 300000, 3},
};

static const struct mutation mutations[] = {
	{"going down does not wait for who has claimed"},
	{"going down does not wait for who is inside"},
	{"whoever means a run does not look at it"},
	{"entering does not acquire", "grip_enter", "add_acq_rel", "inside"},
	{"leaving does not release", "grip_leave", "add_acq_rel", "inside"},
	{"opening does not release", "grip_open", "add_acq_rel", "inside"},
	{"who goes down does not acquire", "grip_left", "load_acquire", "inside"},
};

MODEL_MAIN(scenarios, mutations)
