/* SPDX-License-Identifier: MIT
 *
 * rand.h - seeded pseudo-random numbers: every random choice of the runtime comes from one of these.
 *
 * wyrand (Wang Yi, "wyhash", public domain): one 64-bit word of state, one multiplication a draw.  A worker's generator is seeded from the
 * runtime's seed and its number, so that one seed decides every choice of a run.  Not for secrets.
 */
#ifndef WEFT_BASE_RAND_H
#define WEFT_BASE_RAND_H

#include <stdint.h>

struct rng {
	uint64_t state;
};

static inline void rng_seed(struct rng *r, uint64_t seed, uint64_t stream)
{
	r->state = seed ^ (stream * 0x9e3779b97f4a7c15ULL);
}

static inline uint64_t rng_next(struct rng *r)
{
	__uint128_t m;
	uint64_t s = r->state += 0xa0761d6478bd642fULL;

	m = (__uint128_t)s * (s ^ 0xe7037ed1a0b428dbULL);
	return (uint64_t)(m >> 64) ^ (uint64_t)m;
}

/* Uniform in [0, n), n > 0, without division (Lemire 2019, the multiply-shift; its bias of n / 2^32 is below what any test here sees). */
static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)(((rng_next(r) >> 32) * (uint64_t)n) >> 32);
}

#endif
