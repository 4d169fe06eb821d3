/* SPDX-License-Identifier: MIT
 *
 * node.h - memory near those who use it, on machines with several NUMA nodes.
 *
 * Stacks and records lie in pools by node (core/stackpool.h, core/recslab.c): a worker takes from its own node's, what is put back goes to the pool it came from, and only when its own
 * node's has nothing left, and the system neither, a worker takes from others'. A worker's own struct, with its ring and its queues, lies on its node if it is pinned.
 * Where there is one node all of this is that node's, and nobody asks where he is.
 */
#ifndef WEFT_CORE_NODE_H
#define WEFT_CORE_NODE_H

#include "base/compiler.h"
#include "base/config.h"
#include "core/topo.h"
#include <stddef.h>

struct runtime;

/* The node of the calling thread: of its worker's CPU, or else of the one it runs on. */
unsigned weft__node_here(void);

/* The pool of that node, below NODES_MAX. */
static inline unsigned node_pool(unsigned node)
{
	return node % NODES_MAX;
}

/* New pages of [at, at + bytes) shall come from that node; -1: from wherever. Nothing happens where there is one node. at: the start of a page. */
void weft__node_prefer(void *at, size_t bytes, int node);

/* What it calls where there are several: mbind, unless the machine is only shown. Tests put another in its place. */
extern HIDDEN void (*weft__node_wish)(void *at, size_t bytes, int node);

/* A worker that is about to be made lies on its node, if it is pinned: the pages of rt's array (which begins with one) that it is the first to touch. */
void weft__node_worker(struct runtime *rt, unsigned id);

#endif
