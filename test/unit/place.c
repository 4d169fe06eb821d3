/* SPDX-License-Identifier: MIT
 *
 * place.c - weft_opts.cpuset, .pin_workers, .worker_name, and their environment: who is bound to what, what the caller gets back, which sets are refused and what is said of them.
 *
 * Where the answer depends on the machine, another is shown (machine.h), on which nothing is bound.
 */
#include "dumped.h"
#include "machine.h"
#include "rt.h"

#include "core/node.h"
#include "weft/blocking.h"
#include "weft/process.h"
#include <errno.h>
#include <sys/prctl.h>

static struct cpuset mine(void)
{
	struct cpuset s;

	T_EQ(weft__cpuset_get(&s), 0);
	return s;
}

static struct cpuset only(unsigned cpu)
{
	struct cpuset s = {.bits = {0}};

	cpuset_add(&s, cpu);
	return s;
}

static struct cpuset first_of(struct cpuset s)
{
	return only(weft__cpuset_next(&s, 0));
}

static bool same(struct cpuset a, struct cpuset b)
{
	return memcmp(&a, &b, sizeof a) == 0;
}

/* Of a thread of this process, by the kernel's number. */
static struct cpuset of_thread(int tid)
{
	struct cpuset s = {.bits = {0}};

	T_EQ(sched_getaffinity(tid, sizeof s, (cpu_set_t *)(void *)&s), 0);
	return s;
}

static struct cpuset of_pthread(pthread_t t)
{
	struct cpuset s = {.bits = {0}};

	T_EQ(pthread_getaffinity_np(t, sizeof s, (cpu_set_t *)(void *)&s), 0);
	return s;
}

static const char *list_of(struct cpuset s)
{
	static char text[8][256];
	static unsigned at;

	return weft__cpuset_print(&s, text[at++ % 8], sizeof text[0]);
}

static void clean_environment(void)
{
	unsetenv("WEFT_CPUSET");
	unsetenv("WEFT_PIN");
	unsetenv("WEFT_STEAL");
	unsetenv("HWLOC_SYNTHETIC"); /* before anybody asks what the machine looks like */
	unsetenv("HWLOC_XMLFILE");
}

/* --- the order of CPUs --- */

static void check_order(const struct topo *t, const char *list, const uint16_t *expected, unsigned n)
{
	uint16_t order[64];
	struct cpuset s;

	T_EQ(weft__cpuset_parse(list, &s), 0);
	T_EQ(cpuset_count(&s), n);
	T_EQ(weft__place_order(t, &s, order), 0);
	for (unsigned i = 0; i < n; i++)
		T_EQ(order[i], expected[i]);
}
#define CHECK_ORDER(t, list, ...) check_order(t, list, (const uint16_t[]){__VA_ARGS__}, ARRAY_LEN(((const uint16_t[]){__VA_ARGS__})))

/* All cores first, near each other; then their second threads. */
TEST(order_of_a_server)
{
	struct topo *t = machine(2, 2, 4, 2);

	CHECK_ORDER(t, "0-31", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
		    30, 31);
	CHECK_ORDER(t, "0,16,1,17,8,24", 0, 1, 8, 16, 17, 24);
	CHECK_ORDER(t, "16-31", 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
	CHECK_ORDER(t, "3,9,18,20,28", 18, 3, 20, 9, 28);
	CHECK_ORDER(t, "7", 7);
	CHECK_ORDER(t, "30,40", 30, 40); /* of which nothing is known */
	free(t);
}

/* Where siblings are neighbours, they are no neighbours in the order; nodes of one package stay together. */
TEST(order_of_a_hybrid)
{
	static const struct machine_cpu cpu[] = {
		{.core = 0},
		{.core = 0},
		{.core = 1},
		{.core = 1},
		{.core = 2, .node = 1},
		{.core = 3},
		{.core = 4, .cache = 1, .node = 1, .package = 1},
		{.core = 5, .cache = 1},
	};
	struct topo *t;

	t = machine_of(cpu, ARRAY_LEN(cpu), 2);
	CHECK_ORDER(t, "0-7", 0, 2, 5, 7, 4, 6, 1, 3);
	free(t);
}

/* --- who is bound --- */

struct bound {
	struct cpuset before, set;
	bool pinned;
};

static int look_from_a_lane(void *arg)
{
	const struct bound *b = arg;

	T_STR_EQ(list_of(mine()), list_of(b->set));
	return 0;
}

static int sees_who_is_bound(void *arg)
{
	struct bound *b = arg;
	int rc = -1;

	until_all_workers_run();
	for (unsigned i = 0; i < weft__rt->n; i++) {
		struct worker *w = &weft__rt->workers[i];
		struct cpuset s = of_thread(load_relaxed(&w->tid));

		if (b->pinned) {
			T_EQ(load_relaxed(&w->cpu), place_cpu(&weft__rt->place, i));
			T_STR_EQ(list_of(s), list_of(only((unsigned)load_relaxed(&w->cpu))));
			T_OK(cpuset_has(&b->set, (unsigned)load_relaxed(&w->cpu)));
		} else {
			T_STR_EQ(list_of(s), list_of(b->set));
		}
	}
	for (unsigned i = 1; b->pinned && i < weft__rt->n && i < cpuset_count(&b->set); i++)
		T_NE(load_relaxed(&weft__rt->workers[i].cpu), load_relaxed(&weft__rt->workers[i - 1].cpu)); /* each its own */
	until(same(of_pthread(weft__rt->monitor), b->set)); /* its thread may not have begun */
	T_EQ(weft_blocking(look_from_a_lane, b, &rc), 0);
	T_EQ(rc, 0);
	return 0;
}

static void run_bound(struct bound *b, weft_opts o)
{
	b->before = mine();
	T_EQ(run_with(sees_who_is_bound, b, o), 0);
	T_STR_EQ(list_of(mine()), list_of(b->before));
}

/* A set: all threads of the runtime keep to it, and the caller's gets its own back. */
TEST_WORKERS(cpuset)
{
	struct bound b = {.pinned = false};

	clean_environment();
	b.set = first_of(mine());
	run_bound(&b, (weft_opts){.cpuset = list_of(b.set)});
	b.set = mine();
	run_bound(&b, (weft_opts){.cpuset = list_of(b.set)});
	setenv("WEFT_CPUSET", list_of(b.set), 1);
	run_bound(&b, (weft_opts){.workers = 0});
}

/* Pinned: each worker has a CPU, and nobody else is bound to that; again by the environment. */
TEST_WORKERS(pinned)
{
	struct bound b = {.pinned = true, .set = mine()};

	clean_environment();
	run_bound(&b, (weft_opts){.pin_workers = true});
	setenv("WEFT_PIN", "1", 1);
	run_bound(&b, (weft_opts){.workers = 0});
	setenv("WEFT_PIN", "0", 1);
	run_bound(&b, (weft_opts){.pin_workers = true}); /* the option counts */
	b.set = first_of(b.before);
	run_bound(&b, (weft_opts){.pin_workers = true, .cpuset = list_of(b.set)}); /* all on one */
}

/* Without either nobody is bound. */
TEST_WORKERS(not_bound)
{
	struct bound b = {.pinned = false, .set = mine()};

	clean_environment();
	setenv("WEFT_PIN", "0", 1);
	setenv("WEFT_CPUSET", "", 1);
	run_bound(&b, (weft_opts){.workers = 0});
}

static int spawns(void *arg)
{
	const char *want = arg;
	char said[256] = "", *at;
	weft_proc *p;
	weft_proc_status st;
	ssize_t n;

	T_EQ(weft_proc_spawn(&p, &(weft_proc_opts){.argv = (const char *const[]){"grep", "Cpus_allowed_list", "/proc/self/status", NULL},
						   .out = WEFT_PROC_PIPE}),
	     0);
	for (size_t got = 0; (n = weft_pipe_read(weft_proc_out_pipe(p), said + got, sizeof said - 1 - got)) > 0; got += (size_t)n)
		;
	T_EQ(weft_proc_wait(p, &st), 0);
	weft_proc_free(p);
	at = strrchr(said, '\t');
	T_OK(at != NULL);
	at[strcspn(at, "\n")] = '\0';
	T_STR_EQ(at + 1, want);
	return 0;
}

/* A child of a pinned worker's task may use what all of the runtime may. */
TEST_WORKERS(children_are_not_pinned)
{
	clean_environment();
	T_EQ(weft_run(spawns, (void *)list_of(mine()), &(weft_opts){.workers = tap_workers(), .pin_workers = true}), 0);
}

/* --- how many --- */

static int counts_workers(void *arg)
{
	(void)arg;
	return (int)weft__rt->n;
}

/* A set of one CPU has one worker, if nobody says otherwise. */
TEST(workers_of_a_set)
{
	struct cpuset all = mine(), one = first_of(all);

	clean_environment();
	unsetenv("WEFT_WORKERS");
	T_EQ(weft_run(counts_workers, NULL, &(weft_opts){.cpuset = list_of(one)}), 1);
	T_EQ(weft_run(counts_workers, NULL, &(weft_opts){.cpuset = list_of(one), .workers = 3}), 3);
	setenv("WEFT_WORKERS", "2", 1);
	T_EQ(weft_run(counts_workers, NULL, &(weft_opts){.cpuset = list_of(one)}), 2);
	T_STR_EQ(list_of(mine()), list_of(all));
}

/* --- what is refused --- */

/* Runs with these options, and returns what was said on standard error. */
static const char *refused(weft_opts o)
{
	static char *said;

	free(said);
	o.workers = 2;
	hear();
	T_EQ(weft_run(counts_workers, NULL, &o), WEFT_EINVAL);
	said = heard_text();
	return said;
}

/* Sets that make no sense are refused, and it is said why; nothing has happened. */
TEST(bad_sets)
{
	static const char *const bad[] = {"x", "0-", "1-0", "0,,1", " ", "", "4096"};
	struct cpuset all = mine();

	clean_environment();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *said = refused((weft_opts){.cpuset = bad[i]});

		T_STR_HAS(said, "weft_opts.cpuset=");
		T_STR_HAS(said, "is no list of CPUs");
	}
	setenv("WEFT_CPUSET", "x", 1);
	T_STR_HAS(refused((weft_opts){.stack = 0}), "WEFT_CPUSET=x is no list of CPUs");
	unsetenv("WEFT_CPUSET");
	T_STR_HAS(refused((weft_opts){.cpuset = "4095"}), "weft_opts.cpuset=4095: CPU 4095 is not there; those that may be used are ");
	T_STR_EQ(list_of(mine()), list_of(all));
	nothing_left();
}

/* A CPU that is there, but that this thread may not use. */
TEST(set_not_allowed)
{
	struct cpuset all = mine(), one = first_of(all);
	unsigned other = weft__cpuset_next(&all, weft__cpuset_next(&all, 0) + 1);
	char text[80];

	clean_environment();
	if (other == CPUS_MAX || !weft__topo()->here)
		tap_skip("there is but one CPU");
	T_EQ(weft__cpuset_bind(&one), 0);
	snprintf(text, sizeof text, "CPU %u is not allowed; those that may be used are %s", other, list_of(one));
	T_STR_HAS(refused((weft_opts){.cpuset = list_of(all)}), text);
	T_STR_EQ(list_of(mine()), list_of(one));
	T_EQ(weft_run(counts_workers, NULL, &(weft_opts){.workers = 2, .pin_workers = true}), 2); /* on that one */
	T_STR_EQ(list_of(mine()), list_of(one));
}

/* The other options, and the environment. */
TEST(bad_options)
{
	clean_environment();
	T_STR_HAS(refused((weft_opts){.steal = (weft_steal)4}), "weft_opts.steal=4 is not 0 to 3");
	refused((weft_opts){.steal = (weft_steal)-1});
	T_STR_HAS(refused((weft_opts){.stack = 1}), "weft_opts.stack=1 is not 0 or 16384 to 1073741824");
	T_STR_HAS(refused((weft_opts){.spares = 513}), "weft_opts.spares=513 is not 0 to 512");
	T_STR_HAS(refused((weft_opts){.workers_max = 513}), "weft_opts.workers_max=513 is not 0 to 512");
	T_STR_HAS(refused((weft_opts){.workers_max = 1}), "weft_opts.workers=2 is more than weft_opts.workers_max=1");
	T_STR_HAS(refused((weft_opts){.blocking_max = -1}), "weft_opts.blocking_max=-1 is not 0 to ");
	T_STR_HAS(refused((weft_opts){.exit = (enum weft_exit)3}), "weft_opts.exit=3 is not 0 to 2");
	T_STR_HAS(refused((weft_opts){.order = (enum weft_order)3}), "weft_opts.order=3 is not 0 to 2");
	setenv("WEFT_WORKERS_MAX", "1", 1);
	T_STR_HAS(refused((weft_opts){.stack = 0}), "weft_opts.workers=2 is more than WEFT_WORKERS_MAX=1");
	unsetenv("WEFT_WORKERS_MAX");
	T_STR_HAS(refused((weft_opts){.worker_name = "a\nb"}), "weft_opts.worker_name has a control character (0xa)");
	T_STR_HAS(refused((weft_opts){.worker_name = "\x7f"}), "weft_opts.worker_name has a control character (0x7f)");
	T_STR_HAS(refused((weft_opts){.worker_name = ""}), "has not 1 to 11 bytes");
	T_STR_HAS(refused((weft_opts){.worker_name = "twelve bytes"}), "has not 1 to 11 bytes");
	setenv("WEFT_PIN", "2", 1);
	T_STR_HAS(refused((weft_opts){.stack = 0}), "WEFT_PIN=2 is not 0 or 1");
	setenv("WEFT_PIN", "10", 1);
	refused((weft_opts){.stack = 0});
	setenv("WEFT_PIN", "", 1); /* as if it were not set */
	setenv("WEFT_STEAL", "far", 1);
	T_STR_HAS(refused((weft_opts){.stack = 0}), "WEFT_STEAL=far is not random, adaptive or near");
	setenv("WEFT_STEAL", "", 1);
	T_EQ(weft_run(counts_workers, NULL, &(weft_opts){.workers = 2}), 2);
	nothing_left();
}

/* --- names --- */

static int sees_names(void *arg)
{
	const char *prefix = arg;
	char name[32], want[32];

	until_all_workers_run();
	for (unsigned i = 1; i < weft__rt->n; i++) {
		snprintf(want, sizeof want, "%s-%u", prefix, i + 1);
		do { /* it gets its name behind its start */
			let_run();
			T_EQ(pthread_getname_np(weft__rt->workers[i].thread, name, sizeof name), 0);
		} while (strcmp(name, want) != 0);
	}
	snprintf(want, sizeof want, "%s-mon", prefix);
	do { /* the same */
		let_run();
		T_EQ(pthread_getname_np(weft__rt->monitor, name, sizeof name), 0);
	} while (strcmp(name, want) != 0);
	return 0;
}

/* Workers' threads are named as asked; the caller's keeps its name. */
TEST_WORKERS(names)
{
	char before[32], after[32];

	clean_environment();
	T_EQ(pthread_getname_np(pthread_self(), before, sizeof before), 0);
	T_EQ(run_with(sees_names, (void *)"weft", (weft_opts){.workers = 0}), 0);
	T_EQ(run_with(sees_names, (void *)"front", (weft_opts){.worker_name = "front"}), 0);
	T_EQ(run_with(sees_names, (void *)"eleven byte", (weft_opts){.worker_name = "eleven byte"}), 0);
	T_EQ(pthread_getname_np(pthread_self(), after, sizeof after), 0);
	T_STR_EQ(after, before);
}

/* --- a machine that is only shown --- */

static int sees_the_server(void *arg)
{
	const struct bound *b = arg;

	until_all_workers_run();
	for (unsigned i = 0; i < weft__rt->n; i++) {
		struct worker *w = &weft__rt->workers[i];

		T_STR_EQ(list_of(of_thread(load_relaxed(&w->tid))), list_of(b->before));
		T_EQ(load_relaxed(&w->cpu), 8 + (int)i % 8 + (int)i / 8 * 16);
	}
	T_EQ(weft_nodes(), 2);
	weft_task_pin();
	T_EQ(weft_node(), 1);
	weft_task_unpin();
	return 0;
}

/* Workers have the CPUs that they would have there, and no thread is bound. */
TEST_WORKERS(shown)
{
	struct bound b = {.before = mine()};

	clean_environment();
	weft__topo_set(machine(2, 2, 4, 2));
	T_EQ(run_with(sees_the_server, &b, (weft_opts){.cpuset = "8-15,24-31", .pin_workers = true}), 0);
	T_STR_HAS(refused((weft_opts){.cpuset = "0-32"}), "CPU 32 is not there; those that may be used are 0-31");
	T_STR_EQ(list_of(mine()), list_of(b.before));
}
