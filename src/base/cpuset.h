/* SPDX-License-Identifier: MIT
 *
 * cpuset.h - sets of CPUs, and lists of them as Linux writes them: "0-3,8".
 *
 * Plain memory, of a size that is fixed: a set may lie in a frame. CPUs beyond CPUS_MAX are in no set.
 */
#ifndef WEFT_BASE_CPUSET_H
#define WEFT_BASE_CPUSET_H

#include "base/config.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpuset {
	uint64_t bits[CPUS_MAX / 64];
};

static inline bool cpuset_has(const struct cpuset *s, unsigned cpu)
{
	return cpu < CPUS_MAX && (s->bits[cpu / 64] >> cpu % 64 & 1);
}

static inline void cpuset_add(struct cpuset *s, unsigned cpu)
{
	if (cpu < CPUS_MAX)
		s->bits[cpu / 64] |= (uint64_t)1 << cpu % 64;
}

static inline unsigned cpuset_count(const struct cpuset *s)
{
	unsigned n = 0;

	for (size_t i = 0; i < CPUS_MAX / 64; i++)
		n += (unsigned)__builtin_popcountll(s->bits[i]);
	return n;
}

/* The lowest CPU of s from `from` on; CPUS_MAX: there is none. */
unsigned weft__cpuset_next(const struct cpuset *s, unsigned from);

/* Reads a list: numbers and ranges of decimal digits, with commas between them; spaces and a newline at the ends are allowed, and so is an empty list. 0, or -EINVAL: it is
 * something else, a range runs backwards, or a number is CPUS_MAX or more. */
int weft__cpuset_parse(const char *list, struct cpuset *out);

/* Writes s as a list, cut short by "..." where buf ends. n: at least 4. Returns buf. */
char *weft__cpuset_print(const struct cpuset *s, char *buf, size_t n);

/* --- cpus_linux.c --- */

/* The CPUs that the calling thread may use. 0, or a negative code. */
int weft__cpuset_get(struct cpuset *out);

/* The calling thread uses these only. 0, or a negative code: -EINVAL: none of them is there, and allowed. */
int weft__cpuset_bind(const struct cpuset *s);

/* The CPU that the calling thread runs on, a moment ago; -1: the system does not say. */
int weft__cpu_here(void);

#endif
