/* SPDX-License-Identifier: MIT
 *
 * topo.c - core/topo.h, base/cpuset.h: is a machine understood from what /sys says of it, also where that is little or strange?
 *
 * The machines are trees of files (machine.h); hwloc, where weft has it, is shown the same ones by name.
 */
#include "machine.h"

#include "base/compiler.h"
#include <errno.h>

/* --- lists of CPUs --- */

/* Lists are read as Linux writes them, and written so. */
TEST(lists)
{
	static const struct {
		const char *in, *out;
		unsigned n;
	} good[] = {
		{"", "", 0},
		{"\n", "", 0},
		{"0", "0", 1},
		{"0-3,8\n", "0-3,8", 5},
		{" 1,3,5 ", "1,3,5", 3},
		{"8,0-3,2-4", "0-4,8", 6},
		{"63-64", "63-64", 2},
		{"4095", "4095", 1},
		{"0-4095", "0-4095", 4096},
	};
	static const char *const bad[] = {"x",    "-",   "1-",  "-1",   "3-2",    "1,",    ",1",
					  "1,,2", "1 2", "0x1", "4096", "0-4096", "1-2-3", "99999999999999999999",
					  "1;2",  "+1"};
	struct cpuset s;
	char buf[64];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		T_EQ(weft__cpuset_parse(good[i].in, &s), 0);
		T_EQ(cpuset_count(&s), good[i].n);
		T_STR_EQ(weft__cpuset_print(&s, buf, sizeof buf), good[i].out);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (weft__cpuset_parse(bad[i], &s) != -EINVAL)
			T_FAIL("\"%s\" is taken for a list", bad[i]);
	}
	T_EQ(weft__cpuset_parse("1,3,70,4095", &s), 0);
	T_EQ(weft__cpuset_next(&s, 0), 1);
	T_EQ(weft__cpuset_next(&s, 2), 3);
	T_EQ(weft__cpuset_next(&s, 4), 70);
	T_EQ(weft__cpuset_next(&s, 71), 4095);
	T_EQ(weft__cpuset_next(&s, 4096), CPUS_MAX);
	T_OK(!cpuset_has(&s, 2) && !cpuset_has(&s, 5000));
}

/* What does not fit is cut, and says so. */
TEST(lists_that_do_not_fit)
{
	struct cpuset s;
	char buf[12];

	T_EQ(weft__cpuset_parse("0,2,4,6,8,10", &s), 0);
	T_STR_EQ(weft__cpuset_print(&s, buf, sizeof buf), "0,2,4,6,...");
	T_STR_EQ(weft__cpuset_print(&s, buf, 4), "...");
}

/* --- machines --- */

/* What is read of the files of a machine. It is what it should be, and so is what other tests take for it. */
static struct topo *read_of(const struct machine_cpu *cpu, int n, int nodes)
{
	struct topo *t, *known = machine_of(cpu, n, nodes);

	machine_tree(cpu, n, nodes);
	t = weft__topo_sys(machine_root());
	T_OK(t != NULL);
	T_OK(!t->here);
	T_EQ(t->nnodes, known->nnodes);
	for (int i = 0; i < n; i++) {
		T_EQ(topo_has(t, i), topo_has(known, i));
		if (!topo_has(t, i))
			continue;
		T_EQ(t->cpu[i].core, known->cpu[i].core);
		T_EQ(t->cpu[i].cache, known->cpu[i].cache);
		T_EQ(t->cpu[i].node, known->cpu[i].node);
		T_EQ(t->cpu[i].package, known->cpu[i].package);
	}
	free(known);
	return t;
}

static struct topo *regular(int packages, int caches, int cores, int threads)
{
	struct machine_cpu cpu[64];

	return read_of(cpu, machine_cpus(cpu, 64, packages, caches, cores, threads), packages);
}

static void check_cpu(const struct topo *t, int cpu, int core, int cache, int node, int package)
{
	T_OK(topo_has(t, cpu));
	T_EQ(t->cpu[cpu].core, core);
	T_EQ(t->cpu[cpu].cache, cache);
	T_EQ(t->cpu[cpu].node, node);
	T_EQ(t->cpu[cpu].package, package);
}

/* A desktop: one package, one cache, no hyperthreads. */
TEST(one_package)
{
	struct topo *t = regular(1, 1, 4, 1);

	T_EQ(t->ncpus, 4);
	T_EQ(t->nnodes, 1);
	T_OK(!t->here);
	for (int i = 0; i < 4; i++) {
		check_cpu(t, i, i, 0, 0, 0);
		for (int k = 0; k < 4; k++)
			T_EQ(topo_level(t, i, k), i == k ? TOPO_SAME : TOPO_CACHE);
	}
	free(t);
}

/* What 2 packages with 2 caches of 4 cores of 2 threads each look like from one CPU. */
static void check_server(const struct topo *t)
{
	T_EQ(t->ncpus, 32);
	T_EQ(t->nnodes, 2);
	for (int i = 0; i < 32; i++) {
		int core = i % 16;

		check_cpu(t, i, core, core / 4 * 4, core / 8, core / 8 * 8);
		for (int k = 0; k < 32; k++) {
			int other = k % 16;
			enum topo_level level = i == k                  ? TOPO_SAME
						: core == other         ? TOPO_CORE
						: core / 4 == other / 4 ? TOPO_CACHE
						: core / 8 == other / 8 ? TOPO_NODE
									: TOPO_REST;

			T_EQ(topo_level(t, i, k), level);
		}
	}
}

/* A server. */
TEST(two_packages)
{
	struct topo *t = regular(2, 2, 4, 2);

	check_server(t);
	T_EQ(topo_node(t, 7), 0);
	T_EQ(topo_node(t, 8), 1);
	T_EQ(topo_node(t, 31), 1);
	T_EQ(topo_node(t, 32), 0); /* there is none */
	T_EQ(topo_node(t, -1), 0);
	T_EQ(topo_level(t, 0, 32), TOPO_REST);
	T_EQ(topo_level(t, -1, -1), TOPO_REST);
	free(t);
}

/* Two fast cores with hyperthreads, four slow ones without, two of which share a cache of their own; two nodes within the package. */
TEST(hybrid)
{
	static const struct machine_cpu cpu[] = {
		{.core = 0},
		{.core = 0},
		{.core = 1},
		{.core = 1},
		{.core = 2, .node = 1},
		{.core = 3, .node = 1},
		{.core = 4, .cache = 1, .node = 1},
		{.core = 5, .cache = 1, .node = 1},
	};
	struct topo *t;

	t = read_of(cpu, ARRAY_LEN(cpu), 2);
	check_cpu(t, 0, 0, 0, 0, 0);
	check_cpu(t, 1, 0, 0, 0, 0);
	check_cpu(t, 3, 2, 0, 0, 0);
	check_cpu(t, 4, 4, 0, 1, 0);
	check_cpu(t, 7, 7, 6, 1, 0);
	T_EQ(topo_level(t, 0, 1), TOPO_CORE);
	T_EQ(topo_level(t, 1, 2), TOPO_CACHE);
	T_EQ(topo_level(t, 0, 4), TOPO_CACHE);
	T_EQ(topo_level(t, 4, 6), TOPO_NODE);
	T_EQ(topo_level(t, 0, 6), TOPO_PACKAGE);
	free(t);
}

/* One node that goes over two packages: the other package is farther than one's own. */
TEST(interleaved)
{
	static const struct machine_cpu cpu[] = {{.core = 0}, {.core = 1, .cache = 1}, {.core = 2, .cache = 2, .package = 1}};
	struct topo *t;

	t = read_of(cpu, ARRAY_LEN(cpu), 1);
	T_EQ(topo_level(t, 0, 1), TOPO_NODE);
	T_EQ(topo_level(t, 0, 2), TOPO_PACKAGE);
	free(t);
}

/* CPUs that are switched off are not there; who was named after one of them is named after the next. */
TEST(offline)
{
	static const struct machine_cpu cpu[] = {
		{.core = 0, .offline = true}, {.core = 1}, {.core = 0}, {.core = 1, .offline = true}, {.core = 2, .offline = true}};
	struct topo *t;

	machine_tree(cpu, ARRAY_LEN(cpu), 1);
	machine_file("cpu/cpu2/topology/thread_siblings_list", "0,2\n"); /* from before */
	t = weft__topo_sys(machine_root());
	T_OK(t != NULL);
	T_EQ(t->ncpus, 3);
	T_OK(!topo_has(t, 0) && topo_has(t, 1) && topo_has(t, 2) && !topo_has(t, 3));
	check_cpu(t, 1, 1, 1, 0, 1);
	check_cpu(t, 2, 2, 1, 0, 1);
	T_EQ(topo_level(t, 1, 2), TOPO_CACHE);
	T_EQ(topo_level(t, 0, 1), TOPO_REST);
	free(t);
}

/* A node may be memory alone; its number counts. */
TEST(node_without_cpus)
{
	static const struct machine_cpu cpu[] = {{.core = 0}, {.core = 1, .node = 1, .package = 1, .cache = 1}};
	struct topo *t;

	t = read_of(cpu, ARRAY_LEN(cpu), 3);
	T_EQ(t->nnodes, 3);
	T_EQ(topo_node(t, 0), 0);
	T_EQ(topo_node(t, 1), 1);
	free(t);
	machine_file("node/node1/cpulist", "\n"); /* and so may one in the middle */
	machine_file("node/node2/cpulist", "1\n");
	t = weft__topo_sys(machine_root());
	T_OK(t != NULL);
	T_EQ(topo_node(t, 1), 2);
	free(t);
}

/* Whatever is missing, or makes no sense, is taken for the plainest. */
TEST(missing_files)
{
	static const struct machine_cpu cpu[] = {{.core = 0}, {.core = 0}, {.core = 1, .package = 1, .cache = 1, .node = 1}};
	struct topo *t;

	machine_tree(cpu, ARRAY_LEN(cpu), 2);
	machine_file("cpu/cpu1/topology/thread_siblings_list", NULL); /* alone */
	machine_file("cpu/cpu1/topology/physical_package_id", NULL);  /* no package: not that of the others */
	machine_file("cpu/cpu1/cache/index2/shared_cpu_list", "rubbish\n");
	machine_file("cpu/cpu1/cache/index0/level", NULL); /* no cache: that of its package */
	machine_file("node/node1/cpulist", NULL);
	t = weft__topo_sys(machine_root());
	T_OK(t != NULL);
	check_cpu(t, 0, 0, 0, 0, 0);
	check_cpu(t, 1, 1, 1, 0, 1);
	check_cpu(t, 2, 2, 2, 0, 2);
	T_EQ(t->nnodes, 2);
	free(t);

	machine_file("node/online", NULL);
	for (int i = 0; i < 3; i++) {
		char path[64];

		for (int index = 0; index < 3; index++) {
			snprintf(path, sizeof path, "cpu/cpu%d/cache/index%d/type", i, index);
			machine_file(path, NULL);
			snprintf(path, sizeof path, "cpu/cpu%d/cache/index%d/level", i, index);
			if (i != 1 || index)
				machine_file(path, NULL);
		}
		snprintf(path, sizeof path, "cpu/cpu%d/topology/physical_package_id", i);
		machine_file(path, i == 1 ? "-1\n" : i ? "x\n" : "-1\n");
	}
	t = weft__topo_sys(machine_root());
	T_OK(t != NULL);
	check_cpu(t, 0, 0, 0, 0, 0);
	check_cpu(t, 1, 1, 0, 0, 0);
	check_cpu(t, 2, 2, 0, 0, 0);
	T_EQ(t->nnodes, 1);
	free(t);

	machine_file("cpu/online", "\n");
	T_OK(weft__topo_sys(machine_root()) == NULL);
	machine_file("cpu/online", "0-\n");
	T_OK(weft__topo_sys(machine_root()) == NULL);
	machine_file("cpu/online", NULL);
	T_OK(weft__topo_sys(machine_root()) == NULL);
	T_OK(weft__topo_sys("/nowhere") == NULL);
}

/* This machine has the CPUs that this thread may use, and the readers agree about them. */
TEST(this_machine)
{
	const struct topo *t = weft__topo();
	struct topo *sys = weft__topo_sys("");
	struct cpuset may;

	if (!t->here)
		tap_skip("another machine is shown");
	T_EQ(weft__cpuset_get(&may), 0);
	T_GE(t->nnodes, 1);
	T_EQ(weft__topo_nodes(), t->nnodes);
	T_OK(weft__topo() == t);
	for (unsigned cpu = weft__cpuset_next(&may, 0); cpu < CPUS_MAX; cpu = weft__cpuset_next(&may, cpu + 1)) {
		T_OK(topo_has(t, (int)cpu));
		T_LT(topo_node(t, (int)cpu), t->nnodes);
		T_OK(t->cpu[cpu].core <= cpu && t->cpu[cpu].cache <= cpu && t->cpu[cpu].package <= cpu);
		for (unsigned k = weft__cpuset_next(&may, 0); sys && k < CPUS_MAX; k = weft__cpuset_next(&may, k + 1))
			T_EQ(topo_level(sys, (int)cpu, (int)k), topo_level(t, (int)cpu, (int)k));
	}
	T_OK(cpuset_has(&may, (unsigned)weft__cpu_here()));
	free(sys);
}

/* hwloc shows a server, and it is the one that /sys would show. */
TEST(shown_by_hwloc)
{
	struct topo *t;

	setenv("HWLOC_SYNTHETIC", "package:2 [numa] l3:2 core:4 pu:2(indexes=2*16:1*2)", 1); /* numbered as Linux does */
	t = weft__topo_hwloc();
	if (!t)
		tap_skip("weft is built without hwloc");
	T_OK(weft__topo_hwloc_shown());
	T_OK(!t->here);
	check_server(t);
	free(t);
	T_EQ(weft__topo_nodes(), 2); /* this process has not asked before */
	T_OK(!weft__topo()->here);
	setenv("HWLOC_SYNTHETIC", "core:2 pu:1", 1);
	t = weft__topo_hwloc();
	T_OK(t != NULL);
	T_EQ(t->ncpus, 2);
	T_EQ(t->nnodes, 1);
	check_cpu(t, 0, 0, 0, 0, 0);
	check_cpu(t, 1, 1, 0, 0, 0);
	free(t);
}

/* What is set for a test is this process's. */
TEST(set)
{
	struct topo *t = machine(2, 1, 1, 1);

	weft__topo_set(t);
	T_OK(weft__topo() == t);
	T_EQ(weft__topo_nodes(), 2);
}
