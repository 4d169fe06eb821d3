/* SPDX-License-Identifier: MIT
 *
 * gdb.c - debug/gdb/weft-gdb.py: does gdb list the tasks and show their stacks, in a live process and in a core file, of weft_run's runtime and of another?
 *
 * gdb runs this very program with --in-process, up to stop_here.
 */
#include "base/atomic.h"
#include "base/compiler.h"
#include "dumped.h"
#include "rt.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft.h>

static ATOMIC(int) stop, spinning, stop_elsewhere, spinning_elsewhere;
static weft_runtime *made;

/* --- the program gdb looks at: once with two runtimes, and once with the made one alone --- */

NOINLINE static void waits_for_gdb(chan *c)
{
	int x;

	chan_recv(c, &x);
	NO_TAIL_CALL();
}

static int named(void *arg)
{
	waits_for_gdb(arg);
	NO_TAIL_CALL();
	return 0;
}

NOINLINE static void spins_for_gdb(void)
{
	while (!load_relaxed(&stop))
		store_relaxed(&spinning, 1);
	NO_TAIL_CALL();
}

NOINLINE static int spins_elsewhere(void *arg)
{
	(void)arg;
	while (!load_relaxed(&stop_elsewhere))
		store_relaxed(&spinning_elsewhere, 1);
	NO_TAIL_CALL();
	return 0;
}

NOINLINE static void stop_here(void)
{
	NO_TAIL_CALL();
}

static int look_at_main(void *arg)
{
	chan *c = arg;
	task *here, *there;

	T_EQ(go(waits_for_gdb, c), 0);
	T_EQ(go_opts(&here, named, c, &(weft_task_opts){.name = "conn 7"}), 0);
	T_EQ(weft_runtime_go(made, &there, named, c, &(weft_task_opts){.name = "made 9"}), 0);
	T_EQ(weft_runtime_go(made, NULL, spins_elsewhere, NULL, NULL), 0);
	until_reason(here, "chan receive");
	until_reason(there, "chan receive");
	task_detach(here);
	task_detach(there);
	T_EQ(go(spins_for_gdb), 0);
	until(load_relaxed(&spinning) && load_relaxed(&spinning_elsewhere));
	stop_here();
	store_relaxed(&stop, 1);
	return 0;
}

TEST(program_to_look_at)
{
	chan *c = chan_make(sizeof(int), 0);

	setenv("WEFT_EXIT", "main", 1);
	tap_leaky(); /* its tasks never run again */
	T_EQ(weft_make(&made, &(weft_opts){.workers = 2}), 0);
	T_EQ(weft_run(look_at_main, c, &(weft_opts){.workers = 2}), 0);
	stop_here();
	store_relaxed(&stop_elsewhere, 1);
	T_EQ(weft_free(made, -1), 0);
}

/* --- gdb --- */

static char script[PATH_MAX], dir[PATH_MAX], out[1 << 18];

/* Runs gdb with these arguments: its output is in `out`. */
static void gdb(const char *args)
{
	char command[8 * PATH_MAX];
	FILE *f;
	size_t n;

	snprintf(command, sizeof command,
		 "exec gdb -nx -batch -iex 'set debuginfod enabled off' -iex 'set pagination off' -iex 'source %s' %s </dev/null 2>&1",
		 script, args);
	f = popen(command, "r");
	T_OK(f != NULL);
	n = fread(out, 1, sizeof out - 1, f);
	out[n] = 0;
	pclose(f);
	fputs(out, stderr);
}

/* Looks at the live process; leaves a core file too if asked. */
static void look(bool core)
{
	char self[PATH_MAX], args[4 * PATH_MAX];
	char *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	T_GT(n, 0);
	self[n] = 0;
	if (tap_slow() > 1)
		tap_skip("gdb does not look at slow programs");
	if (system("gdb -nx -batch -ex 'python print(1)' >/dev/null 2>&1") != 0)
		tap_skip("there is no gdb with Python");
	snprintf(script, sizeof script, "%s", __FILE__);
	slash = strrchr(script, '/');
	T_OK(slash != NULL);
	snprintf(slash, (size_t)(script + sizeof script - slash), "/../../src/debug/gdb/weft-gdb.py");
	if (access(script, R_OK))
		tap_skip("%s is not there: run from the build directory", script);
	tap_limit(120);
	snprintf(dir, sizeof dir, "/tmp/weft-gdb-XXXXXX");
	T_OK(mkdtemp(dir) != NULL);
	if (core)
		setenv("WEFT_NO_GUARD_MADVISE", "1", 1); /* gdb, unlike the kernel, writes no memory that has a guard in the middle */
	snprintf(args, sizeof args,
		 "-ex 'break stop_here' -ex run -ex 'info weft-tasks' -ex 'echo \\n-all-\\n' -ex 'task all bt' -ex 'echo \\n-own-\\n' -ex "
		 "'bt 1' "
		 "%s%s%s -ex continue -ex 'echo \\n-made-\\n' -ex 'info weft-tasks' -ex 'task all bt' -ex kill --args %s --in-process "
		 "program_to_look_at",
		 core ? "-ex 'generate-core-file " : "", core ? dir : "", core ? "/core'" : "", self);
	gdb(args);
	if (strstr(out, "Operation not permitted") || strstr(out, "Could not trace"))
		tap_skip("gdb may not trace programs here");
}

static void clean_up(void)
{
	char path[PATH_MAX + 8];

	snprintf(path, sizeof path, "%s/core", dir);
	unlink(path);
	rmdir(dir);
}

/* The first line that has `who` has `what`, too. */
static void check_line(const char *text, const char *who, const char *what)
{
	const char *at = strstr(text, who);
	char line[512];

	T_OK(at != NULL);
	snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
	T_STR_HAS(line, what);
}

/* The made runtime's. */
static void check_made(const char *text)
{
	T_STR_HAS(text, "weft: runtime 1: 2 tasks on 2 workers\n");
	check_line(text, "named \"made 9\"", "parked, chan recv");
	check_line(text, "named \"made 9\"", ", in runtime 1; started at ");
	check_line(text, "spins_elsewhere  ", "running on worker ");
	check_line(text, "spins_elsewhere  ", ", in runtime 1; started at ");
	T_STR_HAS(text, "spins_elsewhere ("); /* by its worker's thread */
}

/* The tasks as gdb must show them. */
static void check_tasks(const char *text)
{
	T_STR_HAS(text, "weft: 4 tasks on 2 workers\n");
	T_STR_HAS(text, "named \"conn 7\"");
	T_STR_HAS(text, "waits_for_gdb");
	T_STR_HAS(text, "parked, chan recv");
	T_STR_HAS(text, "gdb.c:");
	check_line(text, "spins_for_gdb  ", "running on worker ");
}

static void check_stacks(const char *text)
{
	const char *at = strstr(text, "named \"conn 7\"");

	T_OK(at != NULL);
	T_STR_HAS(at, "chan_recv");
	T_STR_HAS(at, "in waits_for_gdb (");
	T_STR_HAS(at, "in named (");
	T_STR_HAS(text, "spins_for_gdb (");
	T_STR_HAS(text, "look_at_main (");
}

TEST(live_process)
{
	const char *all, *own, *alone;

	look(false);
	all = strstr(out, "\n-all-\n");
	own = strstr(out, "\n-own-\n");
	alone = strstr(out, "\n-made-\n");
	T_OK(all && own && alone);
	check_tasks(out);
	check_stacks(all);
	check_made(out);
	check_made(alone);
	T_OK(strstr(alone, "conn 7") == NULL && strstr(alone, "weft: 4 tasks") == NULL);
	T_STR_HAS(own, "#0  stop_here ("); /* what was selected is selected again */
	clean_up();
}

TEST(core_file)
{
	char args[4 * PATH_MAX], self[PATH_MAX];
	ssize_t n;

	look(true);
	n = readlink("/proc/self/exe", self, sizeof self - 1);
	T_GT(n, 0);
	self[n] = 0;
	snprintf(args, sizeof args,
		 "-ex 'info tasks' -ex 'echo \\n-all-\\n' -ex 'weft-task all bt' -ex 'task 2 frame function waits_for_gdb' %s %s/core",
		 self, dir);
	gdb(args);
	check_tasks(out);
	T_OK(strstr(out, "\n-all-\n") != NULL);
	check_stacks(strstr(out, "\n-all-\n"));
	clean_up();
}
