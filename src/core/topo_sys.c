/* SPDX-License-Identifier: MIT
 *
 * topo_sys.c - the topology as Linux shows it below /sys/devices/system.
 *
 *   cpu/online                                  the CPUs there are: without it nothing is known
 *   cpu/cpuN/topology/thread_siblings_list      those of its core, itself too           missing: it is alone
 *   cpu/cpuN/topology/physical_package_id       any number, the same for a package      missing, or -1: all one
 *   cpu/cpuN/cache/indexM/{type,level,shared_cpu_list}   the highest level counts       missing: one cache a package
 *   node/online, node/nodeN/cpulist             a node may have no CPU                  missing: all of node 0
 *
 * Any file may be missing, or be out of date by a CPU that has come or gone: lists are cut to the CPUs that are online.
 */
#include "core/topo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_INDEXES 16 /* a CPU has four or five */
#define NODE_NUMBERS 1024
#define NO_PACKAGE (-1)

/* The first line of a file, cut. False: there is none. */
static bool read_line(const char *root, const char *path, char *buf, size_t n)
{
	char full[512];
	bool ok;
	FILE *f;

	if ((size_t)snprintf(full, sizeof full, "%s/sys/devices/system/%s", root, path) >= sizeof full)
		return false;
	f = fopen(full, "re");
	if (!f)
		return false;
	ok = fgets(buf, (int)n, f) != NULL;
	fclose(f);
	return ok;
}

/* The list in a file. False: there is none, it is empty or makes no sense. */
static bool read_list(const char *root, const char *path, struct cpuset *out)
{
	char line[4096];

	return read_line(root, path, line, sizeof line) && weft__cpuset_parse(line, out) == 0 && weft__cpuset_next(out, 0) < CPUS_MAX;
}

static bool read_number(const char *root, const char *path, int *out)
{
	char line[32], *end;
	long v;

	if (!read_line(root, path, line, sizeof line))
		return false;
	v = strtol(line, &end, 10);
	if (end == line || v < -1 || v > INT32_MAX)
		return false;
	*out = (int)v;
	return true;
}

/* The first CPU that is on both lists, or `cpu`, which is one of them. */
static uint16_t first_of(const struct cpuset *list, const struct cpuset *online, unsigned cpu)
{
	for (unsigned i = weft__cpuset_next(list, 0); i < cpu; i = weft__cpuset_next(list, i + 1)) {
		if (cpuset_has(online, i))
			return (uint16_t)i;
	}
	return (uint16_t)cpu;
}

static uint16_t core_of(const char *root, const struct cpuset *online, unsigned cpu)
{
	struct cpuset list;
	char path[64];

	snprintf(path, sizeof path, "cpu/cpu%u/topology/thread_siblings_list", cpu);
	return read_list(root, path, &list) ? first_of(&list, online, cpu) : (uint16_t)cpu;
}

static int package_id(const char *root, unsigned cpu)
{
	char path[64];
	int id;

	snprintf(path, sizeof path, "cpu/cpu%u/topology/physical_package_id", cpu);
	return read_number(root, path, &id) ? id : NO_PACKAGE;
}

/* The last-level cache of `cpu`. False: it is not known. */
static bool cache_of(const char *root, const struct cpuset *online, unsigned cpu, uint16_t *out)
{
	int best = 0;

	for (int i = 0; i < CACHE_INDEXES; i++) {
		struct cpuset list;
		char path[64], type[32];
		int level;

		snprintf(path, sizeof path, "cpu/cpu%u/cache/index%d/level", cpu, i);
		if (!read_number(root, path, &level) || level <= best)
			continue;
		snprintf(path, sizeof path, "cpu/cpu%u/cache/index%d/type", cpu, i);
		if (read_line(root, path, type, sizeof type) && strncmp(type, "Instruction", 11) == 0)
			continue;
		snprintf(path, sizeof path, "cpu/cpu%u/cache/index%d/shared_cpu_list", cpu, i);
		if (!read_list(root, path, &list))
			continue;
		best = level;
		*out = first_of(&list, online, cpu);
	}
	return best > 0;
}

static void read_nodes(const char *root, struct topo *t)
{
	struct cpuset nodes, list; /* numbers of nodes are lists of the same kind */
	char path[64];

	if (!read_list(root, "node/online", &nodes))
		return;
	for (unsigned n = weft__cpuset_next(&nodes, 0); n < NODE_NUMBERS; n = weft__cpuset_next(&nodes, n + 1)) {
		t->nnodes = n + 1;
		snprintf(path, sizeof path, "node/node%u/cpulist", n);
		if (!read_list(root, path, &list))
			continue; /* memory alone */
		for (unsigned cpu = weft__cpuset_next(&list, 0); cpu < t->ncpus; cpu = weft__cpuset_next(&list, cpu + 1))
			t->cpu[cpu].node = (uint16_t)n;
	}
}

struct topo *weft__topo_sys(const char *root)
{
	struct cpuset online;
	struct topo *t;
	unsigned n = 0;
	int *package;

	if (!read_list(root, "cpu/online", &online))
		return NULL;
	for (unsigned cpu = weft__cpuset_next(&online, 0); cpu < CPUS_MAX; cpu = weft__cpuset_next(&online, cpu + 1))
		n = cpu + 1;
	t = weft__topo_make(n);
	package = calloc(n, sizeof *package);
	if (!t || !package) {
		free(t);
		free(package);
		return NULL;
	}
	for (unsigned cpu = 0; cpu < n; cpu++) {
		struct topo_cpu *c = &t->cpu[cpu];

		if (!cpuset_has(&online, cpu))
			continue;
		c->there = true;
		c->core = core_of(root, &online, cpu);
		package[cpu] = package_id(root, cpu);
		for (c->package = 0; !t->cpu[c->package].there || package[c->package] != package[cpu]; c->package++)
			; /* to itself at the latest */
		if (!cache_of(root, &online, cpu, &c->cache))
			c->cache = c->package;
	}
	read_nodes(root, t);
	t->here = root[0] == '\0';
	free(package);
	return t;
}
