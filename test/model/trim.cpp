/* SPDX-License-Identifier: MIT
 *
 * trim.cpp - model of core/trim.c over core/waitword.h and core/oncpu.h: what is given back of a waiting task's stack, nobody uses.
 *
 * Two workers run one task in turns: it opens its wait and leaves, one of them claims the wait, and takes it or hands it to the other.  A third thread sees the task wait, holds it,
 * and gives back the lower part of its stack.  Stack and registers are plain variables: to touch them while another does is a race, and a task that finds its stack emptied while it
 * runs has lost it.
 */
#include "model.h"

#include "core/oncpu.h"
#include "core/waitword.h"

#define RUNS 3  /* times the task runs */
#define LOOKS 2 /* times it is looked at */

struct trimmed : rl::test_suite<trimmed, 3> {
	ATOMIC(uint64_t) wait;
	ATOMIC(uint8_t) on_cpu;
	rl::var<int> below; /* the stack below the pointer it waits at */
	rl::var<int> regs;
	ATOMIC(uint64_t) source;   /* the open wait; stands for a source's list and its lock */
	ATOMIC(uint32_t) inbox[2]; /* a worker's queue */
	ATOMIC(uint32_t) ended;
	int runs;

	void before()
	{
		store_relaxed(&wait, (uint64_t)0);
		store_relaxed(&on_cpu, (uint8_t)0);
		store_relaxed(&source, (uint64_t)0);
		store_relaxed(&inbox[0], 1u); /* it is about to run on worker 0 */
		store_relaxed(&inbox[1], 0u);
		store_relaxed(&ended, 0u);
		below($) = 0;
		regs($) = 0;
		runs = 0;
	}

	bool take(unsigned self)
	{
		uint64_t word;

		if (load_acquire(&inbox[self])) {
			store_relaxed(&inbox[self], 0u);
			return true;
		}
		word = load_acquire(&source);
		if (!word || !wait_claim(&wait, word, WAIT_WOKEN))
			return false;
		asym_light(); /* compiler_barrier in oncpu_busy */
		if (rl::rand(2)) {
			store_release(&inbox[1 - self], 1u);
			return false;
		}
		return true;
	}

	bool busy()
	{
		return !MUTATED("nobody looks at on_cpu") && oncpu_busy(&on_cpu);
	}

	void worker(unsigned self)
	{
		while (!load_acquire(&ended)) {
			if (!take(self)) {
				rl::yield(1, $);
				continue;
			}
			while (busy())
				rl::yield(1, $);
			RL_ASSERT(regs($) == runs);
			oncpu_set(&on_cpu);
			below($) = ++runs;
			RL_ASSERT(below($) == runs);
			if (runs == RUNS) {
				store_release(&ended, 1u);
				return;
			}
			store_release(&source, wait_open(&wait, WAIT_OPEN));
			regs($) = runs; /* it leaves; from here on on the worker's own stack */
			oncpu_clear(&on_cpu);
		}
	}

	void look()
	{
		uint64_t word = load_acquire(&wait);

		if (!wait_is_open(word))
			return;
		if (!MUTATED("it is not held") && !oncpu_hold(&on_cpu))
			return;
		if (!MUTATED("no fence"))
			asym_heavy();
		if (MUTATED("the wait is not looked at again") || load_acquire(&wait) == word) {
			RL_ASSERT(regs($) > 0);
			below($) = 0;
		}
		if (MUTATED("letting go is a store"))
			store_release(&on_cpu, (uint8_t)0);
		else
			oncpu_let_go(&on_cpu);
	}

	void thread(unsigned self)
	{
		if (self < 2) {
			worker(self);
			return;
		}
		for (int i = 0; i < LOOKS; i++)
			look();
	}

	void after()
	{
		RL_ASSERT(runs == RUNS);
	}
};

static const struct scenario scenarios[] = {
	{"two workers take in turns what a third thread trims", rl::simulate<trimmed>, 400000, 1},
};

static const struct mutation mutations[] = {
	{"it is not held"},
	{"no fence"},
	{"the wait is not looked at again"},
	{"letting go is a store"},
	{"nobody looks at on_cpu"},
	{"letting go does not release", "oncpu_let_go", "cas_release", "on_cpu"},
	{"looking at on_cpu does not acquire", "oncpu_busy", "load_acquire", "on_cpu"},
};

MODEL_MAIN(scenarios, mutations)
