/* SPDX-License-Identifier: MIT
 *
 * machine.h - machines that are not there: their topology, and trees of files like /sys's from which it could be read.
 *
 *   machine(packages, caches, cores, threads)    the topology of a regular one, a node a package: CPUs are numbered as usual, the first of every core before the second of any
 *   machine_of(cpus, n, nodes)      ... of one with these CPUs
 *   machine_tree(cpus, n, nodes)    the files of that; machine_root() is where
 *   machine_file(path, text)        one of them written anew; NULL: removed
 *
 * A tree is hundreds of files: who does not ask about them does without. It is removed when the test's process ends.
 */
#ifndef WEFT_TEST_MACHINE_H
#define WEFT_TEST_MACHINE_H

#include "tap.h"

#include "core/topo.h"
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Which core, last-level cache, node and package a CPU is of: any numbers. Offline: the system shows no more of it than that it could be there. */
struct machine_cpu {
	int core, cache, node, package;
	bool offline;
};

static char machine__dir[64];
static pid_t machine__owner;

static int machine__remove(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	remove(path);
	return 0;
}

static void machine__end(void)
{
	if (getpid() == machine__owner)
		nftw(machine__dir, machine__remove, 16, FTW_DEPTH | FTW_PHYS);
}

static inline const char *machine_root(void)
{
	if (!*machine__dir) {
		snprintf(machine__dir, sizeof machine__dir, "%s/weft.XXXXXX",
			 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm"); /* no disk is waited for */
		T_OK(mkdtemp(machine__dir) != NULL);
		machine__owner = getpid();
		atexit(machine__end);
	}
	return machine__dir;
}

static inline void machine_file(const char *path, const char *text)
{
	char full[PATH_MAX];
	FILE *f;

	T_LT(snprintf(full, sizeof full, "%s/sys/devices/system/%s", machine_root(), path), sizeof full);
	if (!text) {
		T_EQ(unlink(full), 0);
		return;
	}
	for (char *at = strchr(full + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		mkdir(full, 0755);
		*at = '/';
	}
	f = fopen(full, "w");
	T_OK(f != NULL);
	T_GE(fputs(text, f), 0);
	T_EQ(fclose(f), 0);
}

static inline void machine_list(const char *path, const struct cpuset *s)
{
	char text[4096];

	weft__cpuset_print(s, text, sizeof text - 1);
	machine_file(path, strcat(text, "\n"));
}

static inline void machine_number(const char *path, int n)
{
	char text[16];

	snprintf(text, sizeof text, "%d\n", n);
	machine_file(path, text);
}

static inline void machine_tree(const struct machine_cpu *cpu, int n, int nodes)
{
	struct cpuset online = {.bits = {0}}, all = {.bits = {0}};
	char path[128];

	for (int i = 0; i < n; i++) {
		struct cpuset core = {.bits = {0}}, cache = {.bits = {0}}, self = {.bits = {0}};

		if (cpu[i].offline)
			continue;
		cpuset_add(&online, (unsigned)i);
		cpuset_add(&self, (unsigned)i);
		for (int k = 0; k < n; k++) {
			if (!cpu[k].offline && cpu[k].core == cpu[i].core)
				cpuset_add(&core, (unsigned)k);
			if (!cpu[k].offline && cpu[k].cache == cpu[i].cache)
				cpuset_add(&cache, (unsigned)k);
		}
		snprintf(path, sizeof path, "cpu/cpu%d/topology/thread_siblings_list", i);
		machine_list(path, &core);
		snprintf(path, sizeof path, "cpu/cpu%d/topology/physical_package_id", i);
		machine_number(path, cpu[i].package);
		for (int index = 0; index < 3; index++) { /* data, instructions (said to be larger than they are), and all */
			snprintf(path, sizeof path, "cpu/cpu%d/cache/index%d/level", i, index);
			machine_number(path, (int[]){1, 4, 3}[index]);
			snprintf(path, sizeof path, "cpu/cpu%d/cache/index%d/type", i, index);
			machine_file(path, (const char *[]){"Data\n", "Instruction\n", "Unified\n"}[index]);
			snprintf(path, sizeof path, "cpu/cpu%d/cache/index%d/shared_cpu_list", i, index);
			machine_list(path, index == 2 ? &cache : index ? &self : &core);
		}
	}
	machine_list("cpu/online", &online);
	for (int node = 0; node < nodes; node++) {
		struct cpuset list = {.bits = {0}};

		cpuset_add(&all, (unsigned)node);
		for (int k = 0; k < n; k++) {
			if (!cpu[k].offline && cpu[k].node == node)
				cpuset_add(&list, (unsigned)k);
		}
		snprintf(path, sizeof path, "node/node%d/cpulist", node);
		machine_list(path, &list);
	}
	machine_list("node/online", &all);
}

/* The number of the first CPU that has the same of this as cpu[i]. */
#define MACHINE_FIRST(cpu, i, what)                                            \
	({                                                                     \
		int first_ = 0;                                                \
		while (cpu[first_].offline || cpu[first_].what != cpu[i].what) \
			first_++;                                              \
		(uint16_t) first_;                                             \
	})

static inline struct topo *machine_of(const struct machine_cpu *cpu, int n, int nodes)
{
	struct topo *t = weft__topo_make((unsigned)n);

	T_OK(t != NULL);
	t->here = false;
	t->nnodes = (unsigned)nodes;
	for (int i = 0; i < n; i++) {
		if (!cpu[i].offline)
			t->cpu[i] = (struct topo_cpu){.there = true,
						      .core = MACHINE_FIRST(cpu, i, core),
						      .cache = MACHINE_FIRST(cpu, i, cache),
						      .node = (uint16_t)cpu[i].node,
						      .package = MACHINE_FIRST(cpu, i, package)};
	}
	return t;
}

/* The CPUs of a regular one, into cpu. Returns how many. */
static inline int machine_cpus(struct machine_cpu *cpu, int room, int packages, int caches, int cores, int threads)
{
	int all = packages * caches * cores, n = all * threads;

	T_LE(n, room);
	for (int i = 0; i < n; i++) {
		int core = i % all;

		cpu[i] = (struct machine_cpu){
			.core = core, .cache = core / cores, .node = core / cores / caches, .package = core / cores / caches};
	}
	return n;
}

static inline struct topo *machine(int packages, int caches, int cores, int threads)
{
	struct machine_cpu cpu[64];

	return machine_of(cpu, machine_cpus(cpu, 64, packages, caches, cores, threads), packages);
}

#endif
