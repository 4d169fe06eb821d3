/* SPDX-License-Identifier: MIT
 *
 * flag.cpp - model of weft/lf/flag.h: one raises it at a time, and what came before is seen.
 */
#include "model.h"

#include "weft/lf/flag.h"

/* As a lock that is tried: three threads count, once each if they come in. */
struct tried : rl::test_suite<tried, 3> {
	struct weft_flag flag;
	rl::var<int> guarded;

	void before()
	{
		weft_flag_init(&flag);
		guarded($) = 0;
	}

	void thread(unsigned)
	{
		if (!weft_flag_raise(&flag))
			return;
		guarded($) = guarded($) + 1;
		weft_flag_lower(&flag);
	}

	void after()
	{
		RL_ASSERT(guarded($) >= 1);
	}
};

/* As news: exactly one of two was first; whoever sees the flag up sees what the first had done. */
struct news : rl::test_suite<news, 3> {
	struct weft_flag flag;
	rl::var<int> done[2];
	int first[2];

	void before()
	{
		weft_flag_init(&flag);
		for (int i = 0; i < 2; i++) {
			done[i]($) = 0;
			first[i] = 0;
		}
	}

	void thread(unsigned id)
	{
		if (id < 2) {
			done[id]($) = 1;
			first[id] = weft_flag_raise(&flag);
		} else if (weft_flag_is_up(&flag)) {
			RL_ASSERT(first[0] + first[1] <= 1);
			if (first[0])
				RL_ASSERT(done[0]($) == 1);
			if (first[1])
				RL_ASSERT(done[1]($) == 1);
		}
	}

	void after()
	{
		RL_ASSERT(first[0] + first[1] == 1);
	}
};

static const struct scenario scenarios[] = {
	{"a lock that is tried", rl::simulate<tried>, 30000, 2},
	{"who was first", rl::simulate<news>, 30000, 2},
};

static const struct mutation mutations[] = {
	{"raising it orders nothing", "weft_flag_raise", "swap_acq_rel", "&f->up"},
	{"lowering it does not release", "weft_flag_lower", "store_release", "&f->up"},
	{"seeing it does not acquire", "weft_flag_is_up", "load_acquire", "&f->up"},
};

MODEL_MAIN(scenarios, mutations)
