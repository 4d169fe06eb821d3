/* SPDX-License-Identifier: MIT
 *
 * node.c - where am I, and where shall memory come from? See node.h.
 */
#include "core/node.h"

#include "base/numa.h"
#include "core/runtime.h"
#include <unistd.h>

static void wish(void *at, size_t bytes, int node)
{
	if (weft__topo()->here)
		weft__mem_prefer(at, bytes, node);
}

void (*weft__node_wish)(void *at, size_t bytes, int node) = wish;

NOINLINE static unsigned node_of_thread(void)
{
	struct worker *w = weft__worker_look(); /* in stacks' and records' pools: nothing of those is elided */
	int cpu = w && w->rt->place.pins ? load_relaxed(&w->cpu) : weft__cpu_here(); /* constant, if it is pinned */

	return topo_node(weft__topo(), cpu);
}

unsigned weft__node_here(void)
{
	return weft__topo_nodes() == 1 ? 0 : node_of_thread();
}

void weft__node_prefer(void *at, size_t bytes, int node)
{
	if (weft__topo_nodes() > 1 && bytes)
		weft__node_wish(at, bytes, node);
}

/* A page in which one worker ends and the next begins is the former's. */
void weft__node_worker(struct runtime *rt, unsigned id)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ROUND_UP((uintptr_t)&rt->workers[id], page), to = ROUND_UP((uintptr_t)&rt->workers[id + 1], page);

	if (rt->place.pins && weft__topo_nodes() > 1)
		weft__node_prefer((void *)from, to - from, (int)topo_node(rt->place.topo, place_cpu(&rt->place, id)));
}

int weft_node(void)
{
	return (int)weft__node_here();
}

int weft_nodes(void)
{
	return (int)weft__topo_nodes();
}
