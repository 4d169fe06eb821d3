/* SPDX-License-Identifier: MIT
 *
 * dump.c - debug/: does a dump show who every task is, what it waits for, where it was started and where it stands, while tasks run?
 */
#include "debug/dump.h"

#include "base/atomic.h"
#include "base/compiler.h"
#include "core/guard.h"
#include "debug/peek.h"
#include "dumped.h"
#include "tap.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <weft.h>

static ATOMIC(int) stop, ready;
static volatile int zero; /* so that the compiler knows no values */
static chan *c;

/* Ends with main: what it has looked at stays where it is. */
static int run_as(int (*fn)(void *), int workers)
{
	setenv("WEFT_EXIT", "main", 1);
	return weft_run(fn, NULL, &(weft_opts){.workers = workers});
}

static void run(int (*fn)(void *))
{
	T_EQ(run_as(fn, 0), 0);
}

/* --- tasks to look at --- */

NOINLINE static void waits_in_here(void)
{
	int x;

	chan_recv(c, &x);
	NO_TAIL_CALL();
}

static int reader(void *arg)
{
	(void)arg;
	waits_in_here();
	NO_TAIL_CALL();
	return 0;
}

NOINLINE static void spins_in_here(void)
{
	add_acq_rel(&ready, 1);
	while (!load_relaxed(&stop))
		;
	NO_TAIL_CALL();
}

static int spinner(void *arg)
{
	(void)arg;
	spins_in_here();
	NO_TAIL_CALL();
	return 0;
}

static void wait_for(ATOMIC(int) *word, int n)
{
	while (load_acquire(word) < n)
		task_sleep(1 * MS);
}

/* It waits in there, and its stack was read: one that is on its way, or whose worker does not get a core for a while, is shown without. */
static bool waits_there(const char *text, const char *who)
{
	const char *part = strstr(text, who) ? part_of(text, who) : "";

	return strstr(part, ": parked, chan receive, for ") && strstr(part, "waits_in_here+");
}

/* A dump in which this one does, and the other, if there is one. */
static char *dumped_waiting(const char *who, const char *other)
{
	for (;;) {
		char *text = dumped();

		if (waits_there(text, who) && (!other || waits_there(text, other)))
			return text;
		free(text);
		task_sleep(1 * MS);
	}
}

/* --- what is shown --- */

static int parked_main(void *arg)
{
	weft_task *t;
	char *text;
	const char *part;

	(void)arg;
	c = chan_make(sizeof(int), 0);
	T_EQ(go_opts(&t, reader, NULL, &(weft_task_opts){.name = "conn 7"}), 0);
	T_EQ(go(waits_in_here), 0);
	text = dumped_waiting("\"conn 7\"", " waits_in_here: ");
	part = part_of(text, "\"conn 7\"");
	T_STR_HAS(part, "parked, chan receive, for ");
	T_STR_HAS(part, " reader ");
	T_STR_HAS(part, "waits_in_here+");
	T_STR_HAS(part, "reader+");
	T_STR_HAS(part, "chan_recv");
	part = part_of(text, " waits_in_here: ");
	T_STR_HAS(part, "parked, chan receive, for ");
	T_STR_HAS(part, "; started at ");
	T_STR_HAS(part, "dump.c:");
	T_STR_HAS(part_of(text, ", main,"), "running on worker ");
	T_STR_HAS(part_of(text, ", main,"), "parked_main+");
	free(text);
	return 0;
}

TEST_WORKERS(parked_task_is_shown_with_name_reason_site_and_stack)
{
	run(parked_main);
}

static ATOMIC(int) section_over;

NOINLINE static void section_in_here(void)
{
	WEFT_BLOCKING
	{
		store_release(&ready, 1);
		while (!load_acquire(&section_over))
			usleep(1000);
	}
	NO_TAIL_CALL();
}

static int section(void *arg)
{
	(void)arg;
	section_in_here();
	NO_TAIL_CALL();
	return 0;
}

static int section_main(void *arg)
{
	const char *part;
	weft_task *t;
	char *text;

	(void)arg;
	T_EQ(go_opts(&t, section, NULL, NULL), 0);
	wait_for(&ready, 1);
	text = dumped();
	store_release(&section_over, 1);
	T_EQ(task_join(t, NULL), 0);
	part = part_of(text, " section: ");
	T_STR_HAS(part, "parked, blocking call, for ");
	T_STR_HAS(part, "section_in_here+");
	T_STR_HAS(part, "section+");
	free(text);
	return 0;
}

/* What it does on the other thread is above the frames that are its own. */
TEST_WORKERS(task_in_a_section_is_shown_up_to_there)
{
	run(section_main);
}

static int spinning_main(void *arg)
{
	const char *part;
	char *text;

	(void)arg;
	T_EQ(go_opts(NULL, spinner, NULL, NULL), 0);
	wait_for(&ready, 1);
	text = dumped();
	while (strstr(text, "(its worker did not show its stack)")) { /* it has no core just now */
		free(text);
		text = dumped();
	}
	store_relaxed(&stop, 1);
	part = part_of(text, " spinner: ");
	T_STR_HAS(part, "running on worker ");
	T_STR_HAS(part, "spins_in_here+");
	T_STR_HAS(part, "spinner+");
	free(text);
	return 0;
}

TEST(spinning_task_shows_its_stack)
{
	run(spinning_main);
}

static void nothing(void)
{
}

static int ended(void *arg)
{
	(void)arg;
	return 0;
}

static int sleeper(void *arg)
{
	(void)arg;
	while (task_sleep(3600 * SEC) == 0)
		;
	task_sleep_until(weft_now() + 7200 * SEC);
	return 0;
}

static int states_main(void *arg)
{
	weft_task *t, *e;
	char *text;

	(void)arg;
	T_EQ(go_opts(&e, ended, NULL, NULL), 0);
	T_EQ(go_opts(&t, sleeper, NULL, &(weft_task_opts){.name = "long"}), 0);
	while (task_stateof(t) != WEFT_TASK_PARKED || task_stateof(e) != WEFT_TASK_DONE)
		task_yield();
	T_EQ(go(nothing), 0);
	text = dumped();
	T_STR_HAS(part_of(text, "\"long\""), "parked, sleep, for ");
	T_STR_HAS(part_of(text, "\"long\""), "59 min 5");
	T_STR_HAS(part_of(text, " nothing: "), "new, has not run yet");
	T_STR_HAS(text, "(1 more have ended");
	free(text);
	T_EQ(task_join(e, NULL), 0);
	task_detach(t);
	return 0;
}

TEST(states_deadlines_and_ended_tasks_are_told_apart)
{
	T_EQ(run_as(states_main, 1), 0);
}

static int yielder(void *arg)
{
	(void)arg;
	while (!load_relaxed(&stop))
		task_yield();
	return 0;
}

static int runnable_main(void *arg)
{
	char *text;

	(void)arg;
	T_EQ(go_opts(NULL, yielder, NULL, NULL), 0);
	for (int i = 0; i < 10; i++)
		task_yield();
	text = dumped();
	T_STR_HAS(part_of(text, " yielder: "), "runnable");
	T_STR_HAS(part_of(text, " yielder: "), "yielder+");
	free(text);
	store_relaxed(&stop, 1);
	return 0;
}

TEST(runnable_task_shows_where_it_goes_on)
{
	T_EQ(run_as(runnable_main, 1), 0);
}

NOINLINE static void sinks(int n)
{
	if (n > 0)
		sinks(n - 1);
	else
		waits_in_here();
	NO_TAIL_CALL();
}

static void deep(int n)
{
	sinks(n);
	NO_TAIL_CALL();
}

static int deep_main(void *arg)
{
	char *text;
	const char *part;

	(void)arg;
	c = chan_make(sizeof(int), 0);
	T_EQ(go(deep, 20), 0);
	T_EQ(go(deep, 200), 0);
	text = dumped();
	while (count_of(text, "waits_in_here+") < 2) { /* both wait */
		free(text);
		task_sleep(1 * MS);
		text = dumped();
	}
	part = part_of(text, " deep: ");
	if (!strstr(part, "    ..."))
		part = part_of(strstr(text, part) + strlen(part), " deep: ");
	T_GT(count_of(part, "sinks+"), 50);
	T_STR_HAS(part, "    ...");
	free(text);
	return 0;
}

TEST(deep_stack_is_cut_and_says_so)
{
	T_EQ(run_as(deep_main, 1), 0);
}

#if defined(__GNUC__) && !defined(__clang__)
#define NO_FRAME_POINTER __attribute__((optimize("omit-frame-pointer")))
#else
#define NO_FRAME_POINTER
#endif

NOINLINE NO_FRAME_POINTER static int frameless(int a, int b)
{
	waits_in_here();
	return zero + a * b;
}

NOINLINE NO_FRAME_POINTER static int frameless_too(int a)
{
	return frameless(zero, a + 1) + zero;
}

static void frameless_task(void)
{
	frameless_too(zero);
	NO_TAIL_CALL();
}

static int frameless_main(void *arg)
{
	const char *part;
	char *text;

	(void)arg;
	c = chan_make(sizeof(int), 0);
	T_EQ(go(frameless_task), 0);
	text = dumped_waiting(" frameless_task: ", NULL);
	part = part_of(text, " frameless_task: ");
	T_STR_HAS(part, "waits_in_here+");
	T_EQ(count_of(part, "    frameless"), 3); /* gcc's clones have longer names */
	free(text);
	return 0;
}

TEST(functions_without_frame_pointer_are_shown)
{
	run(frameless_main);
}

/* --- who asks --- */

static void *asks(void *arg)
{
	char *text = dumped();

	(void)arg;
	T_STR_HAS(part_of(text, " waits_in_here: "), "waits_in_here+");
	free(text);
	store_release(&ready, 1); /* pairs with load_acquire in wait_for */
	return NULL;
}

static int foreign_main(void *arg)
{
	pthread_t thread;

	(void)arg;
	c = chan_make(sizeof(int), 0);
	T_EQ(go(waits_in_here), 0);
	free(dumped_waiting(" waits_in_here: ", NULL));
	T_EQ(pthread_create(&thread, NULL, asks, NULL), 0);
	wait_for(&ready, 1);
	T_EQ(pthread_join(thread, NULL), 0);
	return 0;
}

TEST_WORKERS(foreign_thread_may_dump)
{
	run(foreign_main);
}

static void *receives(void *arg)
{
	int x;

	(void)arg;
	T_EQ(chan_recv(c, &x), 0);
	return NULL;
}

static int thread_main(void *arg)
{
	pthread_t thread;
	char *text;
	int x = 1;

	(void)arg;
	c = chan_make(sizeof(int), 0);
	T_EQ(pthread_create(&thread, NULL, receives, NULL), 0);
	for (;;) { /* it may begin late; and between being counted and being shown */
		text = dumped();
		if (strstr(text, ": parked, chan receive") && strstr(text, ", 1 thread "))
			break;
		free(text);
		task_sleep(1 * MS);
	}
	T_STR_HAS(text, ", 1 thread that weft did not make");
	T_OK(strncmp(part_of(text, ": parked, chan receive"), "thread ", 7) == 0);
	free(text);
	T_EQ(chan_send(c, &x), 0);
	T_EQ(pthread_join(thread, NULL), 0);
	return 0;
}

TEST(foreign_thread_that_waits_is_shown)
{
	run(thread_main);
}

TEST(no_runtime_no_dump)
{
	T_EQ(weft_dump(2), WEFT_ESRCH);
}

/* --- signals --- */

static int quit_main(void *arg)
{
	char *text = NULL;

	(void)arg;
	c = chan_make(sizeof(int), 0);
	T_EQ(go(waits_in_here), 0);
	free(dumped_waiting(" waits_in_here: ", NULL));
	hear();
	kill(getpid(), SIGQUIT);
	for (int i = 0; i < 2000; i++) {
		task_sleep(1 * MS);
		text = text_of(heard);
		if (strstr(text, "waits_in_here+") && strstr(text, ", main,"))
			break;
		free(text);
		text = NULL;
	}
	free(heard_text());
	T_OK(text != NULL);
	T_STR_HAS(part_of(text, " waits_in_here: "), "waits_in_here+");
	free(text);
	return 0;
}

TEST_WORKERS(sigquit_prints_all_tasks_and_the_program_goes_on)
{
	struct sigaction sa;

	run(quit_main);
	T_EQ(sigaction(SIGQUIT, NULL, &sa), 0);
	T_OK(sa.sa_handler == SIG_DFL);
}

static void program_quit(int sig)
{
	(void)sig;
	add_acq_rel(&ready, 1);
}

static int own_quit_main(void *arg)
{
	char *text;

	(void)arg;
	hear();
	kill(getpid(), SIGQUIT);
	wait_for(&ready, 1);
	task_sleep(20 * MS);
	text = heard_text();
	T_STR_EQ(text, "");
	free(text);
	return 0;
}

TEST(sigquit_is_left_alone_when_the_program_handles_it)
{
	struct sigaction sa;

	T_OK(signal(SIGQUIT, program_quit) == SIG_DFL);
	run(own_quit_main);
	T_EQ(sigaction(SIGQUIT, NULL, &sa), 0);
	T_OK(sa.sa_handler == program_quit);
}

static int own_urg_main(void *arg)
{
	char *text;

	(void)arg;
	T_EQ(go_opts(NULL, spinner, NULL, NULL), 0);
	wait_for(&ready, 1);
	text = dumped();
	store_relaxed(&stop, 1);
	T_STR_HAS(part_of(text, " spinner: "), "(its worker did not show its stack)");
	free(text);
	return 0;
}

TEST(sigurg_is_left_alone_when_the_program_handles_it)
{
	struct sigaction sa;

	T_OK(signal(SIGURG, program_quit) == SIG_DFL);
	run(own_urg_main);
	T_EQ(load_acquire(&ready), 1);
	T_EQ(sigaction(SIGURG, NULL, &sa), 0);
	T_OK(sa.sa_handler == program_quit);
}

TEST(handlers_are_gone_after_the_run)
{
	struct sigaction sa;

	run(ended);
	T_EQ(sigaction(SIGURG, NULL, &sa), 0);
	T_OK(sa.sa_handler == SIG_DFL);
}

/* --- the last words --- */

NOINLINE static void unlocks_wrongly(void)
{
	static weft_mutex m;

	weft_mutex_unlock(&m);
	NO_TAIL_CALL();
}

static int wrong_main(void *arg)
{
	(void)arg;
	unlocks_wrongly();
	NO_TAIL_CALL();
	return 0;
}

TEST_DIES(fatal_error_shows_the_callers_stack, "unlocks_wrongly+")
{
	run(wrong_main);
}

TEST_DIES(fatal_error_names_the_task, ", main, wrong_main: running on worker 1")
{
	run(wrong_main);
}

/* --- under load --- */

static void blink(int n)
{
	for (int i = 0; i < n % 4; i++)
		task_yield();
	if (n % 3 == 0)
		task_sleep((n % 7) * 10 * US);
	NO_TAIL_CALL();
}

static int churn(void *arg)
{
	(void)arg;
	for (int i = 0; !load_relaxed(&stop); i++) {
		if (i % 16 == 0)
			go_opts(NULL, ended, NULL, &(weft_task_opts){.name = "short lived"});
		go(blink, i);
		task_yield();
	}
	add_acq_rel(&ready, 1);
	return 0;
}

static int churn_main(void *arg)
{
	int64_t until;
	int dumps = 0;

	(void)arg;
	for (int i = 0; i < 1000; i++) {
		if (i < 20)
			T_EQ(go_opts(NULL, churn, NULL, NULL), 0);
		else
			T_EQ(go_opts(NULL, yielder, NULL, NULL), 0);
	}
	until = weft_now() + 1 * SEC; /* now: to start them may take as long */
	do {
		char *text = dumped();

		T_OK(strncmp(text, "weft: ", 6) == 0);
		T_OK(strstr(text, " task") != NULL);
		free(text);
		dumps++;
		task_yield();
	} while (weft_now() < until);
	store_relaxed(&stop, 1);
	wait_for(&ready, 20);
	T_GT(dumps, 0);
	return 0;
}

TEST(tasks_come_and_go_while_they_are_dumped)
{
	tap_limit(60);
	T_EQ(run_as(churn_main, 8), 0);
}

static int many_main(void *arg)
{
	int n = tap_slow() > 1 || weft__guard_kind() != GUARD_MADVISE ? 5000 : 100000;
	char *text, count[64];

	(void)arg;
	c = chan_make(sizeof(int), 0);
	for (int i = 0; i < n; i++)
		T_EQ(go(waits_in_here), 0);
	T_EQ(go(deep, 2), 0);
	task_sleep(100 * MS);
	snprintf(count, sizeof count, "(and %d more like task ", n - 10);
	for (int i = 0;; i++) { /* until all wait: one that is still on its way is of a kind of its own, or has no stack yet */
		text = dumped();
		if ((strstr(text, count) && strstr(text, " deep+")) || i == 100)
			break;
		free(text);
		task_sleep(100 * MS);
	}
	T_EQ(count_of(text, " waits_in_here: "), 10);
	T_STR_HAS(text, count);
	T_STR_HAS(part_of(text, " deep: "), "deep+");
	T_LT(strlen(text), 20000);
	free(text);
	return 0;
}

TEST(many_tasks_alike_are_folded)
{
	tap_limit(60);
	run(many_main);
}

static int slow_reader_main(void *arg)
{
	int fd[2];
	char text[65536];

	(void)arg;
	c = chan_make(sizeof(int), 0);
	for (int i = 0; i < 900; i++)
		T_EQ(go(waits_in_here), 0);
	task_sleep(50 * MS);
	T_EQ(pipe2(fd, O_NONBLOCK), 0);
	T_EQ(weft_dump(fd[1]), WEFT_ETIMEDOUT); /* more than a pipe holds, and nobody reads */
	T_EQ(weft_dump(fd[0]), WEFT_EBADF);
	T_EQ(weft_dump(-1), WEFT_EBADF);
	T_GT(read(fd[0], text, sizeof text), 4096);
	T_OK(strncmp(text, "weft: 901 tasks", 15) == 0);
	return 0;
}

TEST(reader_that_takes_nothing_is_given_up)
{
	run(slow_reader_main);
}

/* --- peek --- */

static void peek_checks(bool by_pipe)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *m = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static char to[1 << 18];
	char text[16];
	struct peek p;

	T_OK(m != MAP_FAILED);
	memset(m, 'x', 2 * page);
	T_EQ(munmap(m + 2 * page, page), 0);
	weft__peek_open(&p);
	p.by_pipe = by_pipe;
	T_EQ(weft__peek(&p, m + page, to, page), page);
	T_EQ(weft__peek(&p, m + 1, to, 2 * page), 2 * page - 1); /* up to the hole */
	T_OK(memcmp(to, m + 1, 2 * page - 1) == 0);
	T_EQ(weft__peek(&p, m + 2 * page, to, 1), 0);
	T_EQ(weft__peek(&p, NULL, to, 8), 0);
	T_OK(weft__peek_text(&p, "a\nb", text, sizeof text));
	T_STR_EQ(text, "a?b");
	strcpy(m + 2 * page - 4, "end");
	T_OK(weft__peek_text(&p, m + 2 * page - 4, text, sizeof text));
	T_STR_EQ(text, "end");
	T_OK(!weft__peek_text(&p, m + 2 * page, text, sizeof text));
	weft__peek_close(&p);
}

TEST(memory_that_is_gone_reads_short)
{
	peek_checks(false);
}

TEST(memory_that_is_gone_reads_short_through_a_pipe_too)
{
	peek_checks(true);
}
