/* SPDX-License-Identifier: MIT
 *
 * oncpu.cpp - model of core/waitword.h and core/oncpu.h: nobody resumes a task that its last worker still stands on.
 *
 * Two workers run two tasks.  A task opens its wait, lists it, and parks; anybody who sees the wait claims it, even
 * before the task has left its worker, and resumes the task himself or hands it to the other worker.  So both workers
 * come to stand on each other's next task. A task's stack and registers are plain variables: touching them before the
 * task is settled is a race.  Waiting for ever is a livelock.
 */
#include "model.h"

#include "core/oncpu.h"
#include "core/waitword.h"

#define TASKS 2
#define RUNS 3 /* times a task runs before it ends */
#define NONE (-1)

struct task {
	ATOMIC(uint64_t) wait;
	ATOMIC(uint8_t) on_cpu;
	rl::var<int> stack; /* touched by the running task */
	rl::var<int> regs;  /* written when it leaves, read when it is resumed */
	/* the word by which the open wait can be claimed; stands for a source's list and its lock */
	ATOMIC(uint64_t) source;
	int runs; /* how often it ran */
};

struct crosswise : rl::test_suite<crosswise, 2> {
	struct task task[TASKS];
	ATOMIC(uint32_t) inbox[2]; /* a worker's queue of one: task + 1, or 0 */
	ATOMIC(uint32_t) ended;

	void before()
	{
		store_relaxed(&ended, 0u);
		for (int i = 0; i < TASKS; i++) {
			store_relaxed(&task[i].wait, (uint64_t)0);
			store_relaxed(&task[i].on_cpu, (uint8_t)1); /* task i runs on worker i */
			store_relaxed(&task[i].source, (uint64_t)0);
			store_relaxed(&inbox[i], 0u);
			task[i].stack($) = 0;
			task[i].regs($) = 0;
			task[i].runs = 0;
		}
	}

	/* Takes a task from the worker's queue, or claims one and keeps it, or claims it and gives it to the other
	 * worker. */
	int take(unsigned self)
	{
		uint32_t t = load_acquire(&inbox[self]);

		if (t) {
			store_relaxed(&inbox[self], 0u);
			return (int)t - 1;
		}
		for (int i = 0; i < TASKS; i++) {
			uint64_t word = load_acquire(&task[i].source);
			uint32_t empty = 0;

			if (!word || !wait_claim(&task[i].wait, word, WAIT_WOKEN))
				continue;
			if (rl::rand(2) && cas_release(&inbox[1 - self], &empty, (uint32_t)i + 1))
				continue;
			return i;
		}
		return NONE;
	}

	void settle(int left)
	{
		if (left != NONE)
			oncpu_clear(&task[left].on_cpu);
	}

	/* Saves the registers of the task the worker stands on. What comes next runs on another stack. */
	void leave(int t)
	{
		task[t].regs($) = task[t].runs;
	}

	void load(int t)
	{
		if (!MUTATED("on_cpu is not set when a task is resumed"))
			oncpu_set(&task[t].on_cpu);
		RL_ASSERT(task[t].regs($) == task[t].runs);
	}

	bool busy(int t)
	{
		return !MUTATED("nobody looks at on_cpu") && oncpu_busy(&task[t].on_cpu);
	}

	/* From task t, which has parked or ended, to the next. Returns the task the worker stands on then, or NONE when
	 * all have ended. */
	int switch_from(unsigned self, int t)
	{
		int next = take(self), stands_on = t;

		if (next == t)
			return t; /* claimed before it left: it simply goes on */
		if (next != NONE && !busy(next)) {
			leave(t);
			load(next);
			settle(t);
			return next;
		}
		if (!MUTATED("a worker waits while it stands on a task") || next == NONE) {
			leave(t); /* to the worker's own stack */
			settle(t);
			stands_on = NONE;
		}
		while (next == NONE) {
			if (load_acquire(&ended) == TASKS)
				return NONE;
			next = take(self);
			if (next == NONE)
				rl::yield(1, $);
		}
		while (busy(next))
			rl::yield(1, $);
		if (stands_on != NONE)
			leave(t);
		load(next);
		settle(stands_on);
		return next;
	}

	void thread(unsigned self)
	{
		int t = (int)self;

		while (t != NONE) {
			task[t].stack($) = task[t].stack($) + 1;
			task[t].runs++;
			RL_ASSERT(task[t].stack($) == task[t].runs);
			if (task[t].runs == RUNS)
				add_acq_rel(&ended, 1u);
			else
				store_release(&task[t].source, wait_open(&task[t].wait, WAIT_OPEN));
			t = switch_from(self, t);
		}
	}

	void after()
	{
		for (int i = 0; i < TASKS; i++)
			RL_ASSERT(task[i].runs == RUNS);
	}
};

static const struct scenario scenarios[] = {
	{"two workers take each other's tasks", rl::simulate<crosswise>, 400000, 1},
};

static const struct mutation mutations[] = {
	{"nobody looks at on_cpu"},
	{"on_cpu is not set when a task is resumed"},
	{"a worker waits while it stands on a task"},
	{"settling does not release", "oncpu_clear", "store_release", "on_cpu"},
	{"looking at on_cpu does not acquire", "oncpu_busy", "load_acquire", "on_cpu"},
};

MODEL_MAIN(scenarios, mutations)
