/* SPDX-License-Identifier: MIT
 *
 * overflow.c - core/overflow.c: is an overflow named, and does every other fault go where it went before?
 *
 * The code under test runs on a thread whose stack is one of weft's; what kills its process is asked in a child, whose last words are read.
 */
#include "core/stack.h"
#include "debug/lastwords.h"

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/sanitizer.h"
#include "failpoint.h"
#include "kib.h"
#include "tap.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs fn in a child; its exit status, and what it wrote to standard error, up to size bytes. */
static int last_words(void (*fn)(void), char *buf, size_t size)
{
	struct rlimit no_core = {0};
	char rest[4096];
	size_t n = 0;
	int fd[2], status;
	ssize_t r;
	pid_t pid;

	T_EQ(pipe(fd), 0);
	pid = fork();
	T_GE(pid, 0);
	if (pid == 0) {
		close(fd[0]);
		dup2(fd[1], STDERR_FILENO);
		close(fd[1]);
		setrlimit(RLIMIT_CORE, &no_core);
		fn();
		_exit(0);
	}
	close(fd[1]);
	while ((r = read(fd[0], n + 1 < size ? buf + n : rest, n + 1 < size ? size - 1 - n : sizeof rest)) > 0)
		n += n + 1 < size ? (size_t)r : 0;
	buf[n] = '\0';
	close(fd[0]);
	T_EQ(waitpid(pid, &status, 0), pid);
	tap_note("last words, status 0x%x: %.900s", status, buf);
	return status;
}

static bool killed_by(int status, int sig)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == sig;
}

/* A sanitizer's report of a fault ends the process with an exit status, or the fault does. */
static bool died_of_fault(int status, const char *said)
{
	return killed_by(status, SIGSEGV) || (weft__san && (!WIFEXITED(status) || WEXITSTATUS(status)) && strstr(said, "SEGV"));
}

/* A call, so that the compiler does not know what it writes to. */
NOINLINE static void touch(volatile char *p)
{
	*p = 1;
}

NOINLINE static int deep(int n)
{
	volatile char frame[200];

	frame[0] = (char)n;
	if (n < 1 << 30)
		n = deep(n + 1);
	return n + frame[0];
}

NOINLINE static int big_frame(int n)
{
	volatile char frame[16 * 1024];

	frame[sizeof frame - 1] = (char)n;
	frame[0] = (char)n;
	if (n < 1 << 30)
		n = big_frame(n + 1);
	return n + frame[0];
}

/* ---- Threads on stacks of weft's ---- */

struct runner {
	pthread_t thread;
	struct stack *stack;
	void (*fn)(void);
	void *own_alt; /* the thread had this alternate stack when it entered weft */
};

enum { OWN_ALT_SIZE = 32 * 1024 };

static void *runner_main(void *arg)
{
	struct runner *r = arg;
	struct altstack alt;
	stack_t now, own = {.ss_sp = r->own_alt, .ss_size = OWN_ALT_SIZE};

	if (r->own_alt)
		T_EQ(sigaltstack(&own, NULL), 0);
	T_EQ(weft__altstack_enter(&alt), 0);
	r->fn();
	weft__altstack_leave(&alt);
	if (r->own_alt) {
		T_EQ(sigaltstack(NULL, &now), 0);
		T_EQ(now.ss_sp, r->own_alt);
		T_EQ(now.ss_size, OWN_ALT_SIZE);
		own.ss_flags = SS_DISABLE;
		T_EQ(sigaltstack(&own, NULL), 0);
	}
	return NULL;
}

static void runner_start(struct runner *r, size_t size, void (*fn)(void))
{
	pthread_attr_t attr;

	if (!r->stack)
		T_EQ(weft__stack_get(size, &r->stack), 0);
	r->fn = fn;
	r->stack->owner = (struct weft_task *)r; /* never looked into */
	pthread_attr_init(&attr);
	T_EQ(pthread_attr_setstack(&attr, r->stack->lo, (size_t)(r->stack->hi - r->stack->lo)), 0);
	T_EQ(pthread_create(&r->thread, &attr, runner_main, r), 0);
	pthread_attr_destroy(&attr);
}

static void runner_join(struct runner *r)
{
	pthread_join(r->thread, NULL);
	weft__stack_put(r->stack);
	r->stack = NULL;
}

static void describe_seven(struct weft_task *t, char *buf, size_t n)
{
	(void)t;
	snprintf(buf, n, "task 7 \"digger\" (deep, started at mine.c:42)");
}

static void recurse(void)
{
	deep(0);
}

static void recurse_big(void)
{
	big_frame(0);
}

static void overflow_with(void (*fn)(void), size_t size)
{
	struct runner r = {0};

	T_EQ(weft__overflow_install(), 0);
	weft__overflow_describe = describe_seven;
	runner_start(&r, size, fn);
	runner_join(&r);
}

/* ---- Overflows ---- */

static void overflow_small(void)
{
	overflow_with(recurse, STACK_DEFAULT);
}

static void check_named(int status, const char *said)
{
	T_OK(killed_by(status, SIGABRT));
	T_STR_HAS(said, "weft: stack overflow in task 7 \"digger\" (deep, started at mine.c:42): its stack of 192 KiB is full");
	T_STR_HAS(said, "go_opts(.stack = ...)");
	T_STR_HAS(said, "  #0 ");
	T_STR_HAS(said, "overflow"); /* the module of the frames */
	T_STR_HAS(said, "  #15 ");
	T_STR_HAS(said, " more frames ..."); /* a long chain: both ends */
	T_OK(strlen(said) < 8000);
}

static void overflow_with_names(void)
{
	weft__overflow_caller = weft__last_caller;
	weft__overflow_name = weft__last_name;
	overflow_with(recurse, STACK_DEFAULT);
}

/* With the debug storey, as in every program: static functions have their names, too. */
TEST(overflow_names_functions)
{
	char said[16384];

	check_named(last_words(overflow_with_names, said, sizeof said), said);
	T_STR_HAS(said, "  #2   deep");
}

/* The task, its place, its size, what to do, and frames; then abort. */
TEST(overflow_is_named)
{
	char said[16384];

	check_named(last_words(overflow_small, said, sizeof said), said);
}

static void overflow_of_big_frames(void)
{
	overflow_with(recurse_big, STACK_DEFAULT);
}

/* Frames of four pages and no probe still meet the guard. */
TEST(overflow_by_big_frames_is_named)
{
	char said[16384];
	int status = last_words(overflow_of_big_frames, said, sizeof said);

	T_OK(killed_by(status, SIGABRT));
	T_STR_HAS(said, "weft: stack overflow in task 7");
}

static void overflow_nameless(void)
{
	struct runner r = {0};

	T_EQ(weft__overflow_install(), 0);
	runner_start(&r, 1 << 20, recurse);
	runner_join(&r);
}

/* Without a describer it is "a task". */
TEST(overflow_without_describer)
{
	char said[16384], want[128];
	int status = last_words(overflow_nameless, said, sizeof said);

	snprintf(want, sizeof want, "weft: stack overflow in a task: its stack of %d KiB is full", 2048 - STACK_GUARD / 1024);
	T_OK(killed_by(status, SIGABRT));
	T_STR_HAS(said, want);
}

static void overflow_fallback(void)
{
	setenv("WEFT_NO_GUARD_MADVISE", "1", 1);
	overflow_small();
}

/* Guards by mprotect raise another signal code; the report is the same. */
TEST(overflow_into_mprotect_guard)
{
	char said[16384];

	check_named(last_words(overflow_fallback, said, sizeof said), said);
}

static void overflow_on_inherited_altstack(void)
{
	struct runner r = {.own_alt = malloc(OWN_ALT_SIZE)};

	T_EQ(weft__overflow_install(), 0);
	weft__overflow_describe = describe_seven;
	runner_start(&r, STACK_DEFAULT, recurse);
	runner_join(&r);
}

/* The thread came with an alternate stack of its own. */
TEST(overflow_on_thread_with_own_altstack)
{
	char said[16384];

	check_named(last_words(overflow_on_inherited_altstack, said, sizeof said), said);
}

static void nothing(void)
{
}

TEST(altstack_is_put_back)
{
	struct runner r = {.own_alt = malloc(OWN_ALT_SIZE)};
	void *mine = r.own_alt;

	runner_start(&r, STACK_DEFAULT, nothing); /* checks it */
	runner_join(&r);
	free(mine);
}

/* Enter fails whole or not at all. */
TEST(altstack_failures_leak_nothing)
{
	for (long n = 1;; n++) {
		struct altstack a;
		stack_t was, now;
		int rc;

		T_EQ(sigaltstack(NULL, &was), 0);
		failpoint_arm(n);
		rc = weft__altstack_enter(&a);
		failpoint_disarm();
		if (rc == 0)
			weft__altstack_leave(&a);
		else
			T_OK(failpoint_fired() && a.mem == NULL);
		T_EQ(sigaltstack(NULL, &now), 0);
		T_EQ(now.ss_sp, was.ss_sp);
		if (!failpoint_fired())
			break;
		T_LT(n, 20);
	}
}

static pthread_barrier_t together;

static void meet_and_recurse(void)
{
	pthread_barrier_wait(&together);
	deep(0);
}

static void two_overflows(void)
{
	struct runner r[2] = {{0}};

	T_EQ(weft__overflow_install(), 0);
	weft__overflow_describe = describe_seven;
	pthread_barrier_init(&together, NULL, 2);
	for (int i = 0; i < 2; i++)
		runner_start(&r[i], STACK_DEFAULT, meet_and_recurse);
	for (int i = 0; i < 2; i++)
		runner_join(&r[i]);
}

/* One report, whole; the other thread waits for the end. */
TEST(two_overflows_at_once)
{
	char said[16384];

	for (long i = 0; i < tap_iters(20); i++) {
		const char *first;

		check_named(last_words(two_overflows, said, sizeof said), said);
		first = strstr(said, "weft: stack overflow");
		T_EQ(strstr(first + 1, "weft: stack overflow"), NULL);
	}
}

static struct stack *victim;

static void stray(void)
{
	touch(victim->lo - 100);
}

static void stray_from_weft(void)
{
	struct runner r = {0};

	T_EQ(weft__overflow_install(), 0);
	weft__overflow_describe = describe_seven;
	T_EQ(weft__stack_get(STACK_DEFAULT, &victim), 0);
	runner_start(&r, STACK_DEFAULT, stray);
	runner_join(&r);
}

static void stray_from_elsewhere(void)
{
	T_EQ(weft__overflow_install(), 0);
	T_EQ(weft__stack_get(STACK_DEFAULT, &victim), 0);
	stray();
}

/* A wild pointer into another stack's guard is not called an overflow. */
TEST(stray_access_is_told_apart)
{
	char said[16384];

	T_OK(killed_by(last_words(stray_from_weft, said, sizeof said), SIGABRT));
	T_STR_HAS(said, "weft: task 7 \"digger\" (deep, started at mine.c:42) strayed into the guard below the stack of no task");
	T_STR_HAS(said, "  #1 ");
	T_OK(killed_by(last_words(stray_from_elsewhere, said, sizeof said), SIGABRT));
	T_STR_HAS(said, "weft: code on a stack that is not weft's strayed into the guard");
}

static void overflow_of_one_in_a_million(void)
{
	struct runner r = {0};
	struct stack *s;

	for (int i = 0; i < 1000000; i++) {
		T_EQ(weft__stack_get(STACK_DEFAULT, &s), 0);
		if (i == 500000)
			r.stack = s;
	}
	T_EQ(weft__overflow_install(), 0);
	weft__overflow_describe = describe_seven;
	runner_start(&r, STACK_DEFAULT, recurse);
	runner_join(&r);
}

TEST(overflow_of_one_in_a_million_is_named)
{
	char said[16384];

	if (weft__san || tap_slow() > 1 || STACK_SLAB_SLOTS < 64)
		tap_skip("plain builds only");
	if (weft__guard_kind() != GUARD_MADVISE)
		tap_skip("guards by mprotect do not go that far");
	if (available_kib() < 2L << 20)
		tap_skip("needs 2 GiB of free memory, has %ld MiB", available_kib() >> 10);
	tap_limit(120);
	check_named(last_words(overflow_of_one_in_a_million, said, sizeof said), said);
}

/* ---- Other faults ---- */

static char *forbidden; /* a page that faults and is in no stack */

static void map_forbidden(void)
{
	forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	T_NE(forbidden, MAP_FAILED);
}

static void fault(void)
{
	touch(forbidden);
}

static void default_sigsegv(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};

	if (!weft__san) /* a sanitizer's handler is what is chained to */
		sigaction(SIGSEGV, &dfl, NULL);
}

static void fault_plain(void)
{
	struct runner r = {0};

	default_sigsegv();
	T_EQ(weft__overflow_install(), 0);
	runner_start(&r, STACK_DEFAULT, fault);
	runner_join(&r);
}

/* With no handler before, a wild access kills by SIGSEGV, and weft says where it was; with a sanitizer's, that one's report comes out alone. */
TEST(other_faults_die_as_before)
{
	char said[16384], where[80];
	int status;

	map_forbidden();
	status = last_words(fault_plain, said, sizeof said);
	T_OK(died_of_fault(status, said));
	snprintf(where, sizeof where, "weft: segmentation fault (signal 11) in a task, at address 0x%zx\n", (size_t)forbidden);
	T_EQ(strstr(said, "weft: ") != NULL, !weft__san);
	T_EQ(strstr(said, where) != NULL, !weft__san);
}

static sem_t is_reporting;

/* The other one's fault comes in the middle of the report. */
static void describe_slowly(struct weft_task *t, char *buf, size_t n)
{
	sem_post(&is_reporting);
	nanosleep(&(struct timespec){0, 100000000}, NULL);
	describe_seven(t, buf, n);
}

static void fault_later(void)
{
	while (sem_wait(&is_reporting))
		;
	fault();
}

static void two_faults(void)
{
	struct runner r[2] = {{0}};

	default_sigsegv();
	T_EQ(sem_init(&is_reporting, 0, 0), 0);
	T_EQ(weft__overflow_install(), 0);
	weft__overflow_describe = describe_slowly;
	runner_start(&r[0], STACK_DEFAULT, fault_later);
	runner_start(&r[1], STACK_DEFAULT, fault);
	for (int i = 0; i < 2; i++)
		runner_join(&r[i]);
}

/* A report is not cut off by the next thread that comes to the same bug. */
TEST(two_faults_at_once)
{
	char said[16384];
	int status;

	map_forbidden();
	status = last_words(two_faults, said, sizeof said);
	T_OK(died_of_fault(status, said));
	T_EQ(strstr(said, "weft: segmentation fault (signal 11) in task 7") != NULL, !weft__san);
}

static void fault_ignored(void)
{
	signal(SIGSEGV, SIG_IGN);
	fault_plain();
}

/* Nobody can ignore a real fault. */
TEST(ignored_fault_still_dies)
{
	char said[16384];

	map_forbidden();
	if (weft__san)
		tap_skip("a sanitizer's handler is in between");
	T_OK(killed_by(last_words(fault_ignored, said, sizeof said), SIGSEGV));
}

static void kill_self(void)
{
	default_sigsegv();
	T_EQ(weft__overflow_install(), 0);
	kill(getpid(), SIGSEGV);
	for (;;)
		pause();
}

/* A SIGSEGV sent by kill kills, although no instruction would fault again. */
TEST(sent_signal_dies)
{
	char said[16384];

	T_OK(died_of_fault(last_words(kill_self, said, sizeof said), said));
}

TEST(sent_signal_stays_ignored)
{
	signal(SIGSEGV, SIG_IGN);
	T_EQ(weft__overflow_install(), 0);
	raise(SIGSEGV);
	weft__overflow_uninstall();
}

static sigjmp_buf back;
static volatile sig_atomic_t seen;
static void *volatile seen_addr;
static sigset_t seen_mask;

static void with_info(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	T_OK(context);
	seen_addr = info->si_addr;
	pthread_sigmask(SIG_BLOCK, NULL, &seen_mask);
	seen = 1;
	siglongjmp(back, 1);
}

static void without_info(int sig)
{
	seen = 1 + (sig == SIGSEGV);
	siglongjmp(back, 1);
}

static void put_handler(int flags, bool info)
{
	struct sigaction sa = {.sa_flags = flags | (info ? SA_SIGINFO : 0)};

	if (info)
		sa.sa_sigaction = with_info;
	else
		sa.sa_handler = without_info;
	sigaddset(&sa.sa_mask, SIGUSR1);
	T_EQ(sigaction(SIGSEGV, &sa, NULL), 0);
}

static void fault_and_return(void)
{
	seen = 0;
	if (sigsetjmp(back, 1) == 0)
		fault();
	T_NE(seen, 0);
}

/* The handler that was there gets the address, and its mask; after uninstalling it is there again. */
TEST(previous_handler_is_called)
{
	struct sigaction now;

	map_forbidden();
	put_handler(0, true);
	T_EQ(weft__overflow_install(), 0);
	T_EQ(weft__overflow_install(), 0);
	for (int i = 0; i < 3; i++) {
		fault_and_return();
		T_EQ(seen_addr, forbidden);
		T_EQ(sigismember(&seen_mask, SIGUSR1), 1);
		T_EQ(sigismember(&seen_mask, SIGSEGV), 1);
		if (!(weft__san & SAN_TSAN)) /* it blocks all signals in handlers */
			T_EQ(sigismember(&seen_mask, SIGUSR2), 0);
	}
	weft__overflow_uninstall();
	T_EQ(sigaction(SIGSEGV, NULL, &now), 0);
	T_OK(now.sa_sigaction != with_info);
	weft__overflow_uninstall();
	T_EQ(sigaction(SIGSEGV, NULL, &now), 0);
	T_OK(now.sa_sigaction == with_info);
	fault_and_return();
}

TEST(previous_handler_without_siginfo)
{
	map_forbidden();
	put_handler(0, false);
	T_EQ(weft__overflow_install(), 0);
	fault_and_return();
	T_EQ(seen, 2);
	weft__overflow_uninstall();
}

TEST(previous_handler_with_nodefer)
{
	map_forbidden();
	put_handler(SA_NODEFER, true);
	T_EQ(weft__overflow_install(), 0);
	fault_and_return();
	T_EQ(sigismember(&seen_mask, SIGSEGV), 0);
	T_EQ(sigismember(&seen_mask, SIGUSR1), 1);
	weft__overflow_uninstall();
}

static void fault_twice(void)
{
	put_handler(SA_RESETHAND, true);
	T_EQ(weft__overflow_install(), 0);
	fault_and_return();
	fprintf(stderr, "once\n");
	fault_and_return();
	fprintf(stderr, "twice\n");
}

/* SA_RESETHAND: once. */
TEST(previous_handler_with_resethand)
{
	char said[16384];
	int status;

	map_forbidden();
	status = last_words(fault_twice, said, sizeof said);
	T_OK(killed_by(status, SIGSEGV));
	T_STR_HAS(said, "once");
	T_EQ(strstr(said, "twice"), NULL);
}

static struct sigaction under_theirs;

static void theirs(int sig, siginfo_t *info, void *context)
{
	under_theirs.sa_sigaction(sig, info, context);
}

/* Somebody puts theirs over ours: uninstalling leaves it, installing again does not make a ring of handlers, and all are still called. */
TEST(later_handler_is_left_alone)
{
	struct sigaction sa = {.sa_sigaction = theirs, .sa_flags = SA_SIGINFO | SA_ONSTACK}, now;

	map_forbidden();
	put_handler(0, true);
	T_EQ(weft__overflow_install(), 0);
	T_EQ(sigaction(SIGSEGV, &sa, &under_theirs), 0);
	fault_and_return();
	weft__overflow_uninstall();
	T_EQ(sigaction(SIGSEGV, NULL, &now), 0);
	T_OK(now.sa_sigaction == theirs);
	fault_and_return();
	T_EQ(weft__overflow_install(), 0);
	fault_and_return();
	weft__overflow_uninstall();
	T_EQ(sigaction(SIGSEGV, &under_theirs, NULL), 0);
	T_EQ(weft__overflow_install(), 0);
	fault_and_return();
	weft__overflow_uninstall();
	T_EQ(sigaction(SIGSEGV, NULL, &now), 0);
	T_OK(now.sa_sigaction == with_info);
}
