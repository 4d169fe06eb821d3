/* SPDX-License-Identifier: MIT
 *
 * elems.h - the pipelines of P23, as a plain loop has them: numbers through 1, 3 and 10 stages.
 *
 *   1 stage     fold                       the sum, so what it costs to bring the elements there
 *   3 stages    map, filter, fold
 *   10 stages   map, filter, map, filter, map, filter, map, filter, map, fold
 *
 * The work is next to none, and the same in every language: x * 5 + 3; keep what 8 does not divide; add. Elements are 0, 1, 2 ..., so that no branch is mispredicted for long, and
 * come from an array that the first caches hold. A figure is of an element of the source, whether or not it comes to the end.
 */
#ifndef BENCH_ELEMS_H
#define BENCH_ELEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELEMS 4096 /* of the source */

static const int elems_stages[] = {1, 3, 10};

static inline void elems_fill(uint64_t *e)
{
	for (uint64_t i = 0; i < ELEMS; i++)
		e[i] = i;
}

static inline uint64_t elem_map(uint64_t x)
{
	return x * 5 + 3;
}

static inline bool elem_keep(uint64_t x)
{
	return (x & 7) != 0;
}

static inline uint64_t elem_fold(uint64_t sum, uint64_t x)
{
	return sum + x;
}

/* x is in a register here, alone: no compiler takes several elements at once, nor two stages for one. */
#define ELEM_ALONE(x) __asm__("" : "+r"(x))

static inline uint64_t loop_1(const uint64_t *e, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t x = e[i];

		ELEM_ALONE(x);
		sum = elem_fold(sum, x);
	}
	return sum;
}

static inline uint64_t loop_3(const uint64_t *e, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t x = elem_map(e[i]);

		ELEM_ALONE(x);
		if (elem_keep(x))
			sum = elem_fold(sum, x);
	}
	return sum;
}

#define ELEM_MAP_AND_KEEP(x) \
	x = elem_map(x);     \
	ELEM_ALONE(x);       \
	if (!elem_keep(x))   \
	continue

static inline uint64_t loop_10(const uint64_t *e, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t x = e[i];

		ELEM_MAP_AND_KEEP(x);
		ELEM_MAP_AND_KEEP(x);
		ELEM_MAP_AND_KEEP(x);
		ELEM_MAP_AND_KEEP(x);
		x = elem_map(x);
		ELEM_ALONE(x);
		sum = elem_fold(sum, x);
	}
	return sum;
}

/* The sum of the elements through so many stages. */
static inline uint64_t loop_of(int stages, const uint64_t *e, size_t n)
{
	return stages == 1 ? loop_1(e, n) : stages == 3 ? loop_3(e, n) : loop_10(e, n);
}

#endif
