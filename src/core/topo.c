/* SPDX-License-Identifier: MIT
 *
 * topo.c - this process's topology: read when first asked for, kept for good.
 *
 * Two threads may read it at the same time: the first to be done wins, and the other's is freed.
 */
#include "core/topo.h"

#include "base/atomic.h"
#include "base/compiler.h"

#include <stdio.h>
#include <stdlib.h>

static ATOMIC(const struct topo *) mine;
static ATOMIC(unsigned) nodes; /* 0: not asked yet; relaxed everywhere: whoever asks finds the same, and the word is all there is to see */

static const struct topo nothing_known = {.nnodes = 1, .here = true};

struct topo *weft__topo_make(unsigned ncpus)
{
	struct topo *t;

	if (!ncpus)
		return NULL;
	t = calloc(1, sizeof *t + ncpus * sizeof t->cpu[0]);
	if (!t)
		return NULL;
	t->ncpus = ncpus;
	t->nnodes = 1;
	t->here = true;
	return t;
}

/* Of the CPUs that this thread may use: a core each, in one of everything else. */
static struct topo *plainest(void)
{
	struct cpuset set;
	struct topo *t;
	unsigned last = CPUS_MAX, first;

	if (weft__cpuset_get(&set))
		return NULL;
	first = weft__cpuset_next(&set, 0);
	for (unsigned cpu = first; cpu < CPUS_MAX; cpu = weft__cpuset_next(&set, cpu + 1))
		last = cpu;
	if (last == CPUS_MAX)
		return NULL;
	t = weft__topo_make(last + 1);
	for (unsigned cpu = first; t && cpu < CPUS_MAX; cpu = weft__cpuset_next(&set, cpu + 1)) {
		t->cpu[cpu] = (struct topo_cpu){.there = true, .core = (uint16_t)cpu, .cache = (uint16_t)first, .package = (uint16_t)first};
	}
	return t;
}

COLD static const struct topo *read_all(void)
{
	const struct topo *none = NULL;
	struct topo *t = weft__topo_hwloc();

	if (!t)
		t = weft__topo_sys("");
	if (!t)
		t = plainest();
	if (!t)
		return &nothing_known;                         /* for want of memory: others may do better */
	if (cas_acq_rel(&mine, &none, (const struct topo *)t)) /* pairs with load_acquire in weft__topo */
		return t;
	free(t);
	return none;
}

const struct topo *weft__topo(void)
{
	const struct topo *t = load_acquire(&mine); /* pairs with cas_acq_rel in read_all */

	return likely(t != NULL) ? t : read_all();
}

/* /sys says that there is one node, and it is number 0. */
static bool only_node_0(void)
{
	char line[16];
	FILE *f = fopen("/sys/devices/system/node/online", "re");
	bool yes;

	if (!f)
		return false;
	yes = fgets(line, sizeof line, f) && line[0] == '0' && line[1] == '\n';
	fclose(f);
	return yes;
}

unsigned weft__topo_nodes(void)
{
	unsigned n = load_relaxed(&nodes);

	if (likely(n))
		return n;
	if (!weft__topo_hwloc_shown() && only_node_0())
		n = 1;
	else if (weft__topo() == &nothing_known)
		return 1; /* for now */
	else
		n = weft__topo()->nnodes;
	store_relaxed(&nodes, n);
	return n;
}

void weft__topo_set(const struct topo *t)
{
	if (!t)
		return;
	store_release(&mine, t); /* pairs with load_acquire in weft__topo */
	store_relaxed(&nodes, t->nnodes);
}
