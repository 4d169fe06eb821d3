/* SPDX-License-Identifier: MIT
 *
 * rand.c - base/rand.h: one seed, one sequence; another seed or stream, another; and even enough for choices.
 */
#include "base/rand.h"

#include "tap.h"

TEST(same_seed_same_sequence)
{
	struct rng a, b;

	rng_seed(&a, 42, 7);
	rng_seed(&b, 42, 7);
	for (int i = 0; i < 1000; i++)
		T_EQ(rng_next(&a), rng_next(&b));
}

/* Streams of one seed, and seeds that differ by one bit, have nothing in common. */
TEST(streams_differ)
{
	struct rng a, b, c;
	int same = 0;

	rng_seed(&a, 42, 0);
	rng_seed(&b, 42, 1);
	rng_seed(&c, 43, 0);
	for (int i = 0; i < 1000; i++) {
		uint64_t x = rng_next(&a), y = rng_next(&b), z = rng_next(&c);

		same += x == y || y == z || x == z;
	}
	T_EQ(same, 0);
}

/* Every value below n comes, none beyond, each about as often. */
TEST(below_is_uniform)
{
	static const uint32_t sizes[] = {1, 2, 3, 7, 64, 1000};

	for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		static int seen[1000];
		uint32_t n = sizes[k];
		struct rng r;

		rng_seed(&r, 5, k);
		for (uint32_t i = 0; i < n; i++)
			seen[i] = 0;
		for (uint32_t i = 0; i < n * 1000; i++) {
			uint32_t x = rng_below(&r, n);

			T_LT(x, n);
			seen[x]++;
		}
		for (uint32_t i = 0; i < n; i++) { /* 1000 expected; a standard deviation is below 32 */
			T_GT(seen[i], 800);
			T_LT(seen[i], 1200);
		}
	}
}
