/* SPDX-License-Identifier: MIT
 *
 * alone.cpp - model of core/alone.h: a worker that takes from its slot and ring by plain stores while it has no thieves, and another thread that ends that and then robs it.
 *
 * Thread 0 is the owner: task after task says that it runs no more, and takes the next one from a slot that it filled itself.  Thread 1 ends its being alone, waits until it is seen outside, and robs.
 * Each item is taken once, and what the owner did inside is seen by who robs it (head, which is no atomic here: a race shows if the end is not waited for).  A second ender comes, too.
 *
 * What is pinned to the owner: while it is alone it puts such items where the others are, and later it puts them home.  It sweeps when it has seen that it is not alone any more.  Thread 1 runs none of them, and sends home what
 * it finds.  That the flag is stored and read in order is nothing that shows here: a take reads what is latest, in Relacy, so only a load that takes a store of the future could find a pinned item behind the flag.
 *
 * Without membarrier nobody is alone; here the owner pays for that with a fence of its own, which it has nowhere else.
 */
#include "model.h"

#include "core/alone.h"

#define PARKED 0u
#define RUNNING 1u
#define ITEMS 3

#define HASTY "the ender does not wait until the owner is outside"
#define EARLY "the owner says that the next task runs before it has taken it"
#define LATE "the owner looks whether it is alone before it says that its task runs no more"
#define FORGETFUL "a second ender robs without having seen the owner outside"
#define BLIND "a thief does not look whether what it takes is pinned"
#define PROUD "the owner says that it has swept before it does"
#define RASH "the owner sweeps while it is alone"
#define STALE "the owner decides where a pinned item goes by an older look"

template <typename suite, unsigned threads> struct alone_base : rl::test_suite<suite, threads> {
	ATOMIC(bool) alone;
	ATOMIC(uint32_t) state; /* of the task that the owner stands on */
	ATOMIC(uint32_t) slot;  /* 0: empty */
	ATOMIC(uint32_t) taken[ITEMS + 1];
	rl::var<int> head; /* the owner's while it is inside, alone */

	void before()
	{
		store_relaxed(&alone, true);
		store_relaxed(&state, RUNNING);
		store_relaxed(&slot, 0u);
		for (int i = 0; i <= ITEMS; i++)
			store_relaxed(&taken[i], 0u);
		head($) = 0;
	}

	void take(uint32_t item)
	{
		if (item)
			RL_ASSERT(add_relaxed(&taken[item], 1u) == 0);
	}

	void pick()
	{
		bool is = false;
		uint32_t t;

		if (MUTATED(LATE))
			is = alone_is(&alone);
		store_relaxed(&state, PARKED);
		if (!MUTATED(LATE))
			is = alone_is(&alone);
		if (MUTATED(EARLY))
			store_relaxed(&state, RUNNING);
		if (is) {
			t = load_relaxed(&slot);
			if (t) {
				head($) = head($) + 1;
				store_relaxed(&slot, 0u);
			}
		} else {
			t = swap_acquire(&slot, 0u);
		}
		if (!model_membarrier)
			fence_seq_cst();
		store_relaxed(&state, RUNNING);
		take(t);
	}

	void owner()
	{
		for (uint32_t i = 1; i <= ITEMS; i++) {
			if (load_relaxed(&slot) == 0)
				store_release(&slot, i);
			else
				take(i); /* into the ring, which is not here */
			pick();
		}
	}

	void ender(bool hasty)
	{
		alone_end(&alone);
		while (!hasty && load_acquire(&state) != RUNNING)
			rl::yield(1, $);
		alone_ended();
		(void)(int)head($);
		take(swap_acq_rel(&slot, 0u));
	}
};

struct one : alone_base<one, 2> {
	void thread(unsigned id)
	{
		if (id == 0)
			owner();
		else
			ender(MUTATED(HASTY));
	}
};

struct two : alone_base<two, 3> {
	void thread(unsigned id)
	{
		if (id == 0)
			owner();
		else
			ender(id == 2 && MUTATED(FORGETFUL));
	}
};

/* Items 1 and 3 are pinned. */
struct pins : alone_base<pins, 2> {
	ATOMIC(bool) mixed;
	ATOMIC(uint32_t) home; /* bits */

	void before()
	{
		alone_base<pins, 2>::before();
		store_relaxed(&mixed, true);
		store_relaxed(&home, 0u);
	}

	static bool pinned(uint32_t item)
	{
		return item & 1;
	}

	void go_home(uint32_t item)
	{
		RL_ASSERT(!(add_relaxed(&home, 1u << item) & 1u << item));
	}

	void sweep()
	{
		uint32_t t;

		if (MUTATED(RASH) ? !load_relaxed(&mixed) : !mixed_due(&mixed, &alone))
			return;
		if (MUTATED(PROUD))
			mixed_end(&mixed);
		t = swap_acq_rel(&slot, 0u);
		if (t && pinned(t))
			go_home(t);
		else if (t)
			store_release(&slot, t);
		mixed_end(&mixed);
	}

	void put(uint32_t item, bool was_alone)
	{
		bool is = MUTATED(STALE) ? was_alone : alone_is(&alone);

		if (pinned(item) && !is)
			go_home(item);
		else if (load_relaxed(&slot) == 0)
			store_release(&slot, item);
		else
			take(item); /* as in owner */
	}

	void run_those_at_home()
	{
		uint32_t bits = swap_acq_rel(&home, 0u);

		for (uint32_t i = 1; i <= ITEMS; i++) {
			if (bits & 1u << i)
				take(i);
		}
	}

	void rob()
	{
		bool m = mixed_is(&mixed);
		uint32_t t = swap_acq_rel(&slot, 0u);

		if (!t)
			return;
		if (m && pinned(t) && !MUTATED(BLIND)) {
			go_home(t);
		} else {
			RL_ASSERT(!pinned(t));
			take(t);
		}
	}

	void thread(unsigned id)
	{
		if (id == 1) {
			alone_end(&alone);
			while (load_acquire(&state) != RUNNING)
				rl::yield(1, $);
			alone_ended();
			rob();
			rob();
			return;
		}
		for (uint32_t i = 1; i <= ITEMS; i++) {
			bool was_alone = alone_is(&alone);

			sweep();
			put(i, was_alone);
			sweep();
			pick();
			run_those_at_home();
		}
	}

	void after()
	{
		uint32_t left = load_relaxed(&slot), bits = load_relaxed(&home);

		for (uint32_t i = 1; i <= ITEMS; i++) /* once, wherever it is */
			RL_ASSERT(load_relaxed(&taken[i]) + (left == i) + !!(bits & 1u << i) == 1);
	}
};

static const struct scenario scenarios[] = {
	{"a thread ends it, and robs", rl::simulate<one>, 100000, 3},
	{"two threads end it, and rob", rl::simulate<two>, 100000, 1},
	{"a thread ends it, and sends home what is pinned", rl::simulate<pins>, 100000, 3},
};

static const struct mutation mutations[] = {
	{HASTY},
	{EARLY},
	{LATE},
	{FORGETFUL},
	{BLIND},
	{PROUD},
	{RASH},
	{STALE},
	{"the ender passes no fence", "alone_end", "heavy", ""},
	{"the ender does not make visible what was done before the owner was seen outside", "alone_ended", "heavy", ""},
	{"the owner does not look in order", "alone_is", "fence", ""},
};

MODEL_MAIN(scenarios, mutations)
