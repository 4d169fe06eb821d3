/* SPDX-License-Identifier: MIT
 *
 * stack_report.c - how deep stacks are used, by the place where tasks were started: of those that have ended, that live, that were trimmed; as data and as a table.
 */
#include "dumped.h"
#include "failpoint.h"
#include "rt.h"

#include "base/asym.h"
#include "core/stackpool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLACK (12 * 1024) /* what a test's own calls use besides; sanitizers make frames larger */

static const weft_opts noted = {.stack_report = true};

static void needs_mincore(void)
{
	size_t page = page_size();
	unsigned char in = 1;
	char *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	T_NE(p, MAP_FAILED);
	if (mincore(p, page, &in) || (in & 1))
		tap_skip("mincore is not real here");
	munmap(p, page);
}

/* By alloca: AddressSanitizer may keep variables of a fixed size elsewhere (detect_stack_use_after_return). */
static NOINLINE int uses(size_t size)
{
	volatile char *frame = __builtin_alloca(size);

	for (size_t i = 0; i < size; i++)
		frame[i] = 1;
	return frame[size / 2];
}

/* The place where tasks are started with this function; all zero: there is none yet. */
static weft_stack_use use_of(const char *fn)
{
	weft_stack_use u[32];
	int n = weft_stack_uses(u, ARRAY_LEN(u));

	T_GT(n, 0);
	T_LE(n, ARRAY_LEN(u));
	for (int i = 1; i < n; i++)
		T_LE(u[i].deepest, u[i - 1].deepest);
	for (int i = 0; i < n; i++) {
		if (u[i].fn && strcmp(u[i].fn, fn) == 0)
			return u[i];
	}
	return (weft_stack_use){.fn = NULL};
}

static int shallow(void *arg)
{
	(void)arg;
	return uses(1024) - 1;
}

static int middling(void *arg)
{
	(void)arg;
	return uses(30 * 1024) - 1;
}

static int large(void *arg)
{
	(void)arg;
	return uses(130 * 1024) - 1;
}

/* One after the other: each on the stack that the one before has used. */
static void several(weft_task_fn *fn, int n)
{
	for (int i = 0; i < n; i++)
		T_EQ(finish(start(fn, NULL)), 0);
}

static int three_main(void *arg)
{
	weft_task *t;
	weft_stack_use u;

	(void)arg;
	for (int round = 0; round < 3; round++) {
		T_EQ(weft_go_opts(&t, large, NULL, NULL), 0);
		T_EQ(finish(t), 0);
		T_EQ(weft_go_opts(&t, middling, NULL, NULL), 0);
		T_EQ(finish(t), 0);
		T_EQ(weft_go_opts(&t, shallow, NULL, NULL), 0);
		T_EQ(finish(t), 0);
	}
	until(use_of("shallow").ended == 3); /* its stack is looked at after others know that it has ended */
	until(use_of("middling").ended == 3);
	until(use_of("large").ended == 3);
	u = use_of("shallow");
	T_GE(u.deepest, 1024);
	T_LE(u.deepest, 1024 + SLACK);
	T_EQ(u.alive, 0);
	T_EQ(u.size, STACK_DEFAULT);
	T_OK(strstr(u.file, "stack_report.c") && u.line > 0);
	u = use_of("middling");
	T_GE(u.deepest, 30 * 1024);
	T_LE(u.deepest, 30 * 1024 + SLACK);
	T_EQ(u.suggested, 64 * 1024);
	u = use_of("large");
	T_GE(u.deepest, 130 * 1024);
	T_LE(u.deepest, 130 * 1024 + SLACK);
	T_GE(u.suggested, STACK_DEFAULT);
	return 0;
}

/* Each place has its own figure, also of tasks that have had a stack which another had used deeper. */
TEST_WORKERS(places)
{
	needs_mincore();
	unsetenv("WEFT_STACK_REPORT");
	T_EQ(run_with(three_main, NULL, noted), 0);
	T_EQ(use_of("large").ended, 3); /* until the next one comes up */
	T_EQ(run_with(shallow, NULL, noted), 0);
	T_EQ(weft_stack_uses(NULL, 0), 1); /* the main task's alone */
	T_EQ(run_with(shallow, NULL, (weft_opts){.workers = 1}), 0);
	T_EQ(weft_stack_uses(NULL, 0), WEFT_ENOTSUP);
}

static int used_before(void *arg)
{
	(void)arg;
	several(large, 20);
	return 0;
}

static int after_use(void *arg)
{
	weft_task *t[10];

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		T_EQ(weft_go_opts(&t[i], shallow, NULL, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		T_EQ(finish(t[i]), 0);
	until(use_of("shallow").ended == ARRAY_LEN(t));
	T_LE(use_of("shallow").deepest, 1024 + SLACK);
	return 0;
}

/* What others have done with a stack when nobody asked is not this task's. */
TEST_WORKERS(stacks_used_before)
{
	needs_mincore();
	unsetenv("WEFT_STACK_REPORT");
	T_EQ(run_with(used_before, NULL, (weft_opts){.workers = 0}), 0);
	T_EQ(run_with(after_use, NULL, noted), 0);
}

static int waits_then(void *arg)
{
	weft_chan *c = arg;

	uses(130 * 1024);
	return weft_chan_recv(c, NULL) == WEFT_ECLOSED ? 0 : 1;
}

static int living_main(void *arg)
{
	weft_chan *c = weft_chan_make(0, 0);
	weft_task *t[3];
	weft_stack_use u;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		T_EQ(weft_go_opts(&t[i], waits_then, c, NULL), 0);
		until_reason(t[i], "chan receive");
	}
	u = use_of("waits_then");
	T_EQ(u.alive, ARRAY_LEN(t));
	T_EQ(u.ended, 0);
	T_GE(u.deepest, 130 * 1024);
	T_LE(u.deepest, 130 * 1024 + SLACK);
	weft_chan_close(c);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		T_EQ(finish(t[i]), 0);
	until(use_of("waits_then").ended == ARRAY_LEN(t));
	T_EQ(use_of("waits_then").alive, 0);
	weft_chan_free(c);
	return 0;
}

/* Tasks that have not ended count, too. */
TEST_WORKERS(living)
{
	needs_mincore();
	T_EQ(run_with(living_main, NULL, noted), 0);
}

static int trimmed_main(void *arg)
{
	weft_chan *c = weft_chan_make(0, 0);
	weft_task *t;
	weft_stat s;

	(void)arg;
	T_EQ(weft_go_opts(&t, waits_then, c, NULL), 0);
	do {
		let_run();
		T_EQ(weft_stats(&s), 0);
	} while (s.trimmed == 0);
	until_parked(t);
	T_GE(use_of("waits_then").deepest, 130 * 1024);
	T_EQ(use_of("waits_then").alive, 1);
	weft_chan_close(c);
	T_EQ(finish(t), 0);
	until(use_of("waits_then").ended == 1);
	T_GE(use_of("waits_then").deepest, 130 * 1024);
	weft_chan_free(c);
	return 0;
}

/* What trimming has taken away is not forgotten. */
TEST_WORKERS(trimmed)
{
	needs_mincore();
	if (!weft__asym_on)
		tap_skip("there is no membarrier");
	T_EQ(run_with(trimmed_main, NULL, (weft_opts){.stack_report = true, .trim_parked = 1}), 0);
}

static int leaves_some(void *arg)
{
	weft_task *t;

	T_EQ(weft_go_opts(&t, waits_then, arg, NULL), 0);
	until_reason(t, "chan receive");
	weft_task_detach(t);
	return 0;
}

/* Tasks that never end count when the runtime goes down. */
TEST_WORKERS(left_behind)
{
	weft_chan *c = weft_chan_make(0, 0);

	ends_with_main();
	needs_mincore();
	T_EQ(run_with(leaves_some, c, noted), 0);
	T_GE(use_of("waits_then").deepest, 130 * 1024);
	T_EQ(use_of("waits_then").ended, 0);
	T_EQ(use_of("waits_then").alive, 0);
	weft_chan_free(c);
}

/* --- as a table --- */

static int middling_main(void *arg)
{
	weft_task *t;

	(void)arg;
	T_EQ(weft_go_opts(&t, middling, NULL, NULL), 0);
	T_EQ(finish(t), 0);
	until(use_of("middling").ended == 1);
	return 0;
}

static char *table_of(void)
{
	int fd = sheet();
	char *text;

	T_EQ(weft_stack_report(fd), 0);
	text = text_of(fd);
	close(fd);
	return text;
}

static void check_table(const char *text)
{
	T_STR_HAS(text, "stacks, by the place where their tasks were started");
	T_STR_HAS(text, "192 KiB     64 KiB         1         0  middling at ");
	T_STR_HAS(text, "stack_report.c:");
	T_STR_HAS(text, "not at a place in the program\n");
}

TEST_WORKERS(as_a_table)
{
	char *text;

	needs_mincore();
	T_EQ(run_with(middling_main, NULL, noted), 0);
	text = table_of();
	check_table(text);
	free(text);
}

/* Asked for from outside, it is printed at the end; 0 and nothing do not ask. */
TEST_WORKERS(environment)
{
	char *text;

	needs_mincore();
	setenv("WEFT_STACK_REPORT", "1", 1);
	hear();
	T_EQ(weft_run(middling_main, NULL, &(weft_opts){.workers = tap_workers()}), 0);
	text = heard_text();
	check_table(text);
	free(text);
	setenv("WEFT_STACK_REPORT", "0", 1);
	hear();
	T_EQ(weft_run(shallow, NULL, &(weft_opts){.workers = tap_workers()}), 0);
	text = heard_text();
	T_STR_EQ(text, "");
	free(text);
	setenv("WEFT_STACK_REPORT", "2", 1);
	T_EQ(weft_run(shallow, NULL, NULL), WEFT_EINVAL);
	unsetenv("WEFT_STACK_REPORT");
}

/* --- what is wrong --- */

TEST(nobody_has_asked)
{
	weft_stack_use u;

	unsetenv("WEFT_STACK_REPORT");
	T_EQ(weft_run(shallow, NULL, NULL), 0);
	T_EQ(weft_stack_uses(&u, 1), WEFT_ENOTSUP);
	T_EQ(weft_stack_report(STDERR_FILENO), WEFT_ENOTSUP);
	T_EQ(weft_stack_uses(&u, -1), WEFT_EINVAL);
	T_EQ(weft_stack_uses(NULL, 1), WEFT_EINVAL);
}

/* A descriptor that does not take it is told. */
TEST(broken_descriptor)
{
	int fd[2];

	T_EQ(weft_run(shallow, NULL, &noted), 0);
	T_EQ(weft_stack_report(-1), WEFT_EBADF);
	T_EQ(pipe(fd), 0);
	T_EQ(weft_stack_report(fd[0]), WEFT_EBADF); /* not open for writing */
	T_EQ(weft_stack_report(fd[1]), 0);
	close(fd[0]);
	close(fd[1]);
}

static int deep_main(void *arg)
{
	weft_task *t;

	(void)arg;
	T_EQ(weft_go_opts(&t, large, NULL, &(weft_task_opts){.stack = 1024 * 1024}), 0);
	T_EQ(finish(t), 0);
	until(use_of("large").ended == 1);
	T_EQ(use_of("large").size, 1984 * 1024);
	T_EQ(use_of("large").suggested, 448 * 1024);
	return 0;
}

/* Sizes are those that stacks have, and so is what is suggested: to ask for it gives just that. */
TEST_WORKERS(sizes_that_there_are)
{
	needs_mincore();
	T_EQ(run_with(deep_main, NULL, noted), 0);
}

static int hungry_main(void *arg)
{
	weft_stack_use u[4];
	long n;

	(void)arg;
	several(middling, 1);
	for (n = 1;; n++) {
		int got;

		failpoint_arm(n);
		got = weft_stack_uses(u, ARRAY_LEN(u));
		failpoint_disarm();
		if (!failpoint_fired())
			break;
		T_EQ(got, WEFT_ENOMEM);
	}
	T_GT(n, 2);
	return 0;
}

/* Without memory there is no answer; without memory for a place, tasks end all the same. */
TEST(no_memory)
{
	needs_mincore();
	T_EQ(run_with(hungry_main, NULL, (weft_opts){.workers = 1, .stack_report = true, .trim_parked = -1}), 0);
}
