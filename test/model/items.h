/* SPDX-License-Identifier: MIT
 *
 * items.h - items that models pass through queues: each has a payload that its maker writes plainly and whoever gets it reads. Nothing comes out twice, and no payload is read
 * before it is written.
 */
#ifndef WEFT_TEST_MODEL_ITEMS_H
#define WEFT_TEST_MODEL_ITEMS_H

#include "model.h"

template <int n> struct model_items {
	rl::var<int> payload[n];
	int got[n];

	void reset()
	{
		for (int i = 0; i < n; i++)
			got[i] = 0;
	}

	void *make(int i)
	{
		payload[i]($) = 100 + i;
		return &payload[i];
	}

	void take(void *p)
	{
		int i;

		if (!p)
			return;
		i = (int)((rl::var<int> *)p - payload);
		RL_ASSERT(payload[i]($) == 100 + i);
		RL_ASSERT(got[i]++ == 0);
	}

	/* The first so many. */
	void all_taken(int made)
	{
		for (int i = 0; i < made; i++)
			RL_ASSERT(got[i] == 1);
	}
};

#endif
