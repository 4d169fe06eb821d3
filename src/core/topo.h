/* SPDX-License-Identifier: MIT
 *
 * topo.h - what the machine looks like: which CPUs share a core, a cache, a node, a package, and how far one is from another.
 *
 * Read once a process, when somebody first asks, and constant from then on: from hwloc, if weft was built with it (topo_hwloc.c), else from /sys (topo_sys.c), else from the
 * CPUs that this thread may use. What cannot be found out is taken for the plainest there is: a core a CPU, one cache a package, one package, one node.
 *
 * A core, a cache and a package go by the number of the first CPU in them; a node by the system's own number.
 * hwloc can show a machine that is not this one (HWLOC_SYNTHETIC, HWLOC_XMLFILE): then no thread is bound, and no memory placed, but everything is decided as it would be there.
 */
#ifndef WEFT_CORE_TOPO_H
#define WEFT_CORE_TOPO_H

#include "base/cpuset.h"
#include <stdbool.h>
#include <stdint.h>

/* How far two CPUs are from each other, nearest first. */
enum topo_level {
	TOPO_SAME,    /* one and the same */
	TOPO_CORE,    /* hyperthreads of one core */
	TOPO_CACHE,   /* one last-level cache */
	TOPO_NODE,    /* one node of one package */
	TOPO_PACKAGE, /* either of those */
	TOPO_REST,    /* all others, and those of which nothing is known */
	TOPO_LEVELS
};

struct topo_cpu {
	bool there; /* the machine has it, and it is in use; else the rest means nothing */
	uint16_t core, cache, node, package;
};

struct topo {
	unsigned ncpus;  /* above the number of every CPU */
	unsigned nnodes; /* above the number of every node; at least 1 */
	bool here;       /* it is this machine */
	struct topo_cpu cpu[];
};

/* This process's. Any thread; the first call reads files. */
const struct topo *weft__topo(void);

/* nnodes of it, without reading all of it where one small file says that it is 1. Any thread. */
unsigned weft__topo_nodes(void);

/* For tests: t, if it is not NULL, is this process's from here on. The caller's, for good; no runtime is up. */
void weft__topo_set(const struct topo *t);

static inline bool topo_has(const struct topo *t, int cpu)
{
	return cpu >= 0 && (unsigned)cpu < t->ncpus && t->cpu[cpu].there;
}

/* The node of a CPU; 0: it is not known. */
static inline unsigned topo_node(const struct topo *t, int cpu)
{
	return topo_has(t, cpu) ? t->cpu[cpu].node : 0;
}

static inline enum topo_level topo_level(const struct topo *t, int a, int b)
{
	const struct topo_cpu *x, *y;

	if (!topo_has(t, a) || !topo_has(t, b))
		return TOPO_REST;
	x = &t->cpu[a];
	y = &t->cpu[b];
	if (a == b)
		return TOPO_SAME;
	if (x->core == y->core)
		return TOPO_CORE;
	if (x->cache == y->cache)
		return TOPO_CACHE;
	if (x->node != y->node && x->package != y->package)
		return TOPO_REST;
	return x->node == y->node && x->package == y->package ? TOPO_NODE : TOPO_PACKAGE;
}

/* --- what the readers share --- */

/* No CPU is there yet, all node 0. NULL: no memory, or ncpus is 0. */
struct topo *weft__topo_make(unsigned ncpus);

/* Below root, "" or the path of a tree made like /sys's. NULL: there is no list of CPUs, or no memory. To be freed. */
struct topo *weft__topo_sys(const char *root);

/* NULL: weft was built without hwloc, or that fails. To be freed. */
struct topo *weft__topo_hwloc(void);

/* Whether the nodes are to be asked of hwloc because its environment says what machine to show. */
bool weft__topo_hwloc_shown(void);

#endif
