/* SPDX-License-Identifier: MIT
 *
 * numa.h - where memory comes from, on machines whose memory has several nodes.
 */
#ifndef WEFT_BASE_NUMA_H
#define WEFT_BASE_NUMA_H

#include <stdbool.h>
#include <stddef.h>

/* The machine has this node, and we may use its memory. */
bool weft__node_usable(int node);

/* Pages of [at, at + bytes) that nobody has touched yet come from that node, while it has any; node -1: from wherever they would without this. A wish: nothing is said where it is not granted.
 * at: the start of a page. */
void weft__mem_prefer(void *at, size_t bytes, int node);

#endif
