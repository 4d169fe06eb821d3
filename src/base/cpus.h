/* SPDX-License-Identifier: MIT
 *
 * cpus.h - how many CPUs this process may use at once, now and later.
 */
#ifndef WEFT_BASE_CPUS_H
#define WEFT_BASE_CPUS_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>

unsigned weft__cpus(void);             /* at least 1 */
unsigned weft__cpus_of(unsigned most); /* of so many; 0: as above */

/* The same for who asks again and again: what is read stays open. */
#define CPUS_LEVELS_MAX 16 /* groups above each other */

struct cpus {
	int self;      /* says which groups the process is in; -1: unknown */
	uint64_t seen; /* what it said: a hash */
	int n;
	bool lacks; /* there were no descriptors, or no memory, to open all: limits may be missing */
	struct {
		int quota, period; /* descriptors; period is -1 where one file says both */
	} level[CPUS_LEVELS_MAX];
};

void weft__cpus_open(struct cpus *c);                  /* never fails: what cannot be opened does not limit */
unsigned weft__cpus_read(struct cpus *c);              /* at least 1. A process that has been moved to another group is followed there */
unsigned weft__cpus_limit(struct cpus *c, unsigned n); /* the same of n that it may run on */
void weft__cpus_close(struct cpus *c);

/* Where groups are: the tests have some of their own. */
struct cpus_where {
	const char *self;    /* the process' groups */
	const char *v2, *v1; /* directories of both versions */
};
extern HIDDEN struct cpus_where weft__cpus_where;

#endif
