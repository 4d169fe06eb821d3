/* SPDX-License-Identifier: MIT
 *
 * mortal.h - an atomic whose memory may end, for models of who frees what. Waking is by address and no access.
 *
 * The end is a plain write: an access that is not ordered before it is a data race, also where it was in time by luck.
 */
#ifndef WEFT_TEST_MODEL_MORTAL_H
#define WEFT_TEST_MODEL_MORTAL_H

#include "model.h"

/* An atomic whose memory may end: once it is born, every access reads `memory`, die() writes it. */
template <typename T> struct mortal : rl::atomic<T> {
	rl::var<int> memory; /* 1 alive, 0 freed; valid once born */
	bool born;

	mortal() : born(false)
	{
	}

	void be_born()
	{
		memory($) = 1;
		born = true;
	}

	void be_born(T v)
	{
		be_born();
		this->store(v, rl::mo_relaxed, $);
	}

	void die()
	{
		RL_ASSERT(memory($) == 1); /* not twice */
		memory($) = 0;
	}

	rl::atomic<T> *touch()
	{
		if (born)
			RL_ASSERT(memory($) == 1);
		return this;
	}

	T load(rl::memory_order mo, rl::debug_info_param info)
	{
		return touch()->load(mo, info);
	}

	void store(T v, rl::memory_order mo, rl::debug_info_param info)
	{
		touch()->store(v, mo, info);
	}

	T exchange(T v, rl::memory_order mo, rl::debug_info_param info)
	{
		return touch()->exchange(v, mo, info);
	}

	T fetch_add(T v, rl::memory_order mo, rl::debug_info_param info)
	{
		return touch()->fetch_add(v, mo, info);
	}

	bool compare_exchange_strong(T &expected, T v, rl::memory_order mo, rl::debug_info_param info, rl::memory_order failure_mo,
				     rl::debug_info_param failure_info)
	{
		return touch()->compare_exchange_strong(expected, v, mo, info, failure_mo, failure_info);
	}
};

#endif
