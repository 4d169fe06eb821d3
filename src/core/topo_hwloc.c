/* SPDX-License-Identifier: MIT
 *
 * topo_hwloc.c - the topology as hwloc sees it, if weft is built with that (-Dhwloc).
 *
 * hwloc knows machines on which /sys lies, and shows others: HWLOC_SYNTHETIC="package:2 [numa] l3:2 core:4 pu:2", or HWLOC_XMLFILE, what `lstopo` has saved somewhere else.
 */
#include "core/topo.h"

#ifdef HAVE_HWLOC
#include <hwloc.h>
#include <stdlib.h>

static uint16_t first_cpu(hwloc_obj_t o)
{
	return (uint16_t)hwloc_bitmap_first(o->cpuset);
}

/* The largest cache for data that is above a CPU, NULL: none. */
static hwloc_obj_t last_cache(hwloc_obj_t pu)
{
	hwloc_obj_t best = NULL;

	for (hwloc_obj_t o = pu->parent; o; o = o->parent) {
		if (hwloc_obj_type_is_dcache(o->type))
			best = o;
	}
	return best;
}

static void fill_nodes(hwloc_topology_t h, struct topo *t)
{
	hwloc_obj_t node = NULL;

	while ((node = hwloc_get_next_obj_by_type(h, HWLOC_OBJ_NUMANODE, node)) != NULL) {
		if (node->os_index >= UINT16_MAX)
			continue;
		if (node->os_index >= t->nnodes)
			t->nnodes = node->os_index + 1;
	}
	/* Last, so that it counts, the lowest number: where a CPU is near to several kinds of memory that is the usual kind. */
	for (unsigned n = t->nnodes; n-- > 0;) {
		node = hwloc_get_numanode_obj_by_os_index(h, n);
		for (unsigned cpu = 0; node && cpu < t->ncpus; cpu++) {
			if (hwloc_bitmap_isset(node->cpuset, cpu))
				t->cpu[cpu].node = (uint16_t)n;
		}
	}
}

static struct topo *copy(hwloc_topology_t h)
{
	int last = hwloc_bitmap_last(hwloc_topology_get_topology_cpuset(h));
	struct topo *t = weft__topo_make(last < CPUS_MAX ? (unsigned)(last + 1) : CPUS_MAX);
	hwloc_obj_t pu = NULL, o;

	if (!t)
		return NULL;
	while ((pu = hwloc_get_next_obj_by_type(h, HWLOC_OBJ_PU, pu)) != NULL) {
		struct topo_cpu *c;

		if (pu->os_index >= t->ncpus)
			continue;
		c = &t->cpu[pu->os_index];
		c->there = true;
		o = hwloc_get_ancestor_obj_by_type(h, HWLOC_OBJ_CORE, pu);
		c->core = first_cpu(o ? o : pu);
		o = hwloc_get_ancestor_obj_by_type(h, HWLOC_OBJ_PACKAGE, pu);
		c->package = first_cpu(o ? o : hwloc_get_root_obj(h));
		o = last_cache(pu);
		c->cache = o ? first_cpu(o) : c->package;
	}
	fill_nodes(h, t);
	t->here = hwloc_topology_is_thissystem(h);
	return t;
}

struct topo *weft__topo_hwloc(void)
{
	struct topo *t = NULL;
	hwloc_topology_t h;

	if (hwloc_topology_init(&h))
		return NULL;
	/* Also what this process may not use, so that it can be told from what is not there. */
	if (hwloc_topology_set_flags(h, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) == 0 && hwloc_topology_load(h) == 0)
		t = copy(h);
	hwloc_topology_destroy(h);
	return t;
}

bool weft__topo_hwloc_shown(void)
{
	return getenv("HWLOC_SYNTHETIC") || getenv("HWLOC_XMLFILE");
}
#else
struct topo *weft__topo_hwloc(void)
{
	return NULL;
}

bool weft__topo_hwloc_shown(void)
{
	return false;
}
#endif
