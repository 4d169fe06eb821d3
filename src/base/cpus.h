/* SPDX-License-Identifier: MIT
 *
 * cpus.h - how many processors this process may use at once.
 */
#ifndef WEFT_BASE_CPUS_H
#define WEFT_BASE_CPUS_H

/* CPU affinity of the calling thread, bounded by the cgroup's quota (rounded up). At least 1. */
unsigned weft__cpus(void);

#endif
