/* SPDX-License-Identifier: MIT
 *
 * tap.c - runs each test in a process of its own and reports it as TAP.
 *
 * The parent is one thread that sleeps in sigtimedwait until its child ends or runs out of time.  The child's output goes to a file that is
 * shown as comments when the test failed.  The two share one page: has a check failed, was it skipped and why, how long may it take.
 */
#include "tap.h"

#include "base/atomic.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_VALGRIND_H
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#define LIMIT_DEFAULT 30 /* seconds */
#define SHOWN_LINES 400  /* of a failed test's output */
#define QUIT_GRACE 1     /* seconds from SIGQUIT, which shows the tasks, to SIGKILL */

struct tap_shared {
	ATOMIC(int) failed;  /* a check failed; written by the child, read when it has ended */
	ATOMIC(int) skipped; /* 1: being skipped; the first of several wins */
	ATOMIC(int) limit;   /* seconds, before scaling; written by either, relaxed: the parent looks again and again */
	char reason[256];    /* of the skip */
	char told[256];      /* what the test has found out; written by the child, read when it has ended */
};

static struct tap_test *first, *last;
static struct tap_shared *shared;
static const struct tap_test *current; /* in the child */
static bool in_process;
static ATOMIC(int) leaky; /* in the child; relaxed: read when the body has returned */

void tap_register(struct tap_test *t)
{
	if (last)
		last->next = t;
	else
		first = t;
	last = t;
}

int tap_workers(void)
{
	return current && current->workers ? current->workers : 2;
}

int tap_slow(void)
{
	static int slow;

	if (!slow) {
		const char *env = getenv("WEFT_TEST_SLOW");

		slow = env ? atoi(env) : 0;
		if (slow < 1)
			slow = RUNNING_ON_VALGRIND ? 20 : BUILT_WITH_ASAN || BUILT_WITH_TSAN ? 10 : 1;
	}
	return slow;
}

long tap_iters(long n)
{
	return n < tap_slow() ? 1 : n / tap_slow();
}

void tap_limit(int seconds)
{
	store_relaxed(&shared->limit, seconds); /* the parent reads it when the old limit has passed */
}

void tap_leaky(void)
{
	store_relaxed(&leaky, 1);
}

/* One write(2), for stdio's locks may be held by whoever this interrupts. */
static void say(const char *prefix, const char *fmt, va_list ap)
{
	char line[1024];
	int n = snprintf(line, sizeof line, "%s", prefix);
	int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);

	n += m < 0 ? 0 : m;
	if (n > (int)sizeof line - 2)
		n = (int)sizeof line - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

void tap_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
}

void tap_tell(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(shared->told, sizeof shared->told, fmt, ap);
	va_end(ap);
	tap_note("%s", shared->told);
}

void tap_fail(const char *file, int line, const char *fmt, ...)
{
	char where[256];
	va_list ap;

	snprintf(where, sizeof where, "failed at %s:%d: ", file, line);
	va_start(ap, fmt);
	say(where, fmt, ap);
	va_end(ap);
	store_relaxed(&shared->failed, 1); /* the parent reads it after waitpid */
	if (in_process)
		abort();
	_exit(1);
}

void tap_skip(const char *fmt, ...)
{
	va_list ap;

	if (swap_acq_rel(&shared->skipped, 1) == 0) {
		va_start(ap, fmt);
		vsnprintf(shared->reason, sizeof shared->reason, fmt, ap);
		va_end(ap);
	}
	if (in_process)
		fprintf(stderr, "skipped: %s\n", shared->reason);
	_exit(0);
}

void tap_str(const char *file, int line, const char *what, const char *a, const char *b, int whole)
{
	if (!a || !b || (whole ? strcmp(a, b) != 0 : strstr(a, b) == NULL))
		tap_fail(file, line, "%s: \"%s\" against \"%s\"", what, a ? a : "(null)", b ? b : "(null)");
}

static void body_run(const struct tap_test *t)
{
	char count[16];

	current = t;
	if (t->workers) {
		snprintf(count, sizeof count, "%d", t->workers);
		setenv("WEFT_WORKERS", count, 1);
	}
	t->body();
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* Waits for the child until start + limit, the limit as it stands at that moment. True if it ended, with its status. */
static bool child_wait(pid_t pid, const sigset_t *sigchld, int64_t start, int *status)
{
	for (;;) {
		int64_t left = start + (int64_t)load_relaxed(&shared->limit) * tap_slow() * 1000000000LL - now_ns();
		struct timespec ts = {.tv_sec = left / 1000000000LL, .tv_nsec = left % 1000000000LL};

		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		if (left <= 0)
			return false;
		sigtimedwait(sigchld, NULL, &ts); /* an error or a stray child only means another look */
	}
}

/* The child's output: does it contain `text`; or, with text NULL, show it as comments. */
static bool output_look(FILE *out, const char *text)
{
	char line[2048];
	int n = 0;

	rewind(out);
	while (fgets(line, sizeof line, out)) {
		line[strcspn(line, "\n")] = '\0';
		if (text && strstr(line, text))
			return true;
		if (!text && n++ < SHOWN_LINES)
			printf("# %s\n", line);
	}
	if (n > SHOWN_LINES)
		printf("# (%d lines more)\n", n - SHOWN_LINES);
	return false;
}

/* What is wrong with how the test ended, or NULL. */
static const char *verdict(const struct tap_test *t, int status, FILE *out, char *why, size_t size)
{
	if (load_relaxed(&shared->failed)) /* the child has ended */
		return "a check failed";
	if (load_relaxed(&shared->skipped))
		return NULL;
	if (t->dies && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		snprintf(why, size, "returned, but should have died saying \"%s\"", t->dies);
		return why;
	}
	if (t->dies && !output_look(out, t->dies)) {
		snprintf(why, size, "died, but without saying \"%s\"", t->dies);
		return why;
	}
	if (t->dies || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return NULL;
	if (WIFEXITED(status))
		snprintf(why, size, "ended with exit status %d", WEXITSTATUS(status));
	else
		snprintf(why, size, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	return why;
}

/* Runs test number n in a child. True if it passed or was skipped. */
static bool test_run(const struct tap_test *t, int n)
{
	const char *env = getenv("WEFT_TEST_LIMIT"), *wrong = NULL;
	FILE *out = tmpfile();
	int64_t start = now_ns();
	sigset_t sigchld, old;
	char why[256];
	int status = 0;
	pid_t pid;

	memset(shared, 0, sizeof *shared);
	store_relaxed(&shared->limit, env && atoi(env) > 0 ? atoi(env) : LIMIT_DEFAULT); /* before the fork */
	sigemptyset(&sigchld);
	sigaddset(&sigchld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &sigchld, &old);
	fflush(stdout);
	pid = out ? fork() : -1;
	if (pid < 0) {
		printf("Bail out! no temporary file or process: %s\n", strerror(errno));
		exit(1);
	}
	if (pid == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigprocmask(SIG_SETMASK, &old, NULL);
		dup2(fileno(out), STDOUT_FILENO);
		dup2(fileno(out), STDERR_FILENO);
		fclose(out);
		if (t->dies)
			setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		body_run(t);
		if (load_relaxed(&leaky)) {
			fflush(NULL);
			_exit(0);
		}
		exit(0); /* not _exit: leak checkers look at exit */
	}
	setpgid(pid, pid);
	if (child_wait(pid, &sigchld, start, &status)) {
		wrong = verdict(t, status, out, why, sizeof why);
	} else {
		int64_t grace = now_ns();

		snprintf(why, sizeof why, "ran out of time: %d s", load_relaxed(&shared->limit) * tap_slow());
		wrong = why;
		store_relaxed(&shared->limit, QUIT_GRACE);
		kill(pid, SIGQUIT);
		if (!child_wait(pid, &sigchld, grace, &status)) {
			kill(-pid, SIGKILL);
			waitpid(pid, &status, 0);
		}
	}
	kill(-pid, SIGKILL); /* whatever it left running */
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (wrong) {
		printf("not ok %d - %s\n", n, t->name);
		output_look(out, NULL);
		printf("# %s: %s\n", t->name, wrong);
	} else if (load_relaxed(&shared->skipped)) {
		printf("ok %d - %s # SKIP %s\n", n, t->name, shared->reason);
	} else {
		printf("ok %d - %s\n", n, t->name);
		if (shared->told[0])
			printf("# %s\n", shared->told);
	}
	fclose(out);
	return !wrong;
}

/* Is the test asked for by one of the names: its own, or its own without " @Nw"? No names ask for all. */
static bool asked_for(const struct tap_test *t, char **names, int n)
{
	for (int i = 0; i < n; i++) {
		size_t len = strlen(names[i]);

		if (strncmp(t->name, names[i], len) == 0 && (t->name[len] == '\0' || t->name[len] == ' '))
			return true;
	}
	return n == 0;
}

int main(int argc, char **argv)
{
	int planned = 0, n = 0, bad = 0;

	signal(SIGQUIT, SIG_DFL); /* shells have it ignored by what they run in the background */
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		printf("Bail out! no memory\n");
		return 1;
	}
	if (argc == 2 && strcmp(argv[1], "-l") == 0) {
		for (struct tap_test *t = first; t; t = t->next)
			printf("%s\n", t->name);
		return 0;
	}
	in_process = argc == 3 && strcmp(argv[1], "--in-process") == 0;
	if (in_process) {
		argv++;
		argc--;
	}
	for (struct tap_test *t = first; t; t = t->next)
		planned += asked_for(t, argv + 1, argc - 1);
	if (planned == 0) {
		fprintf(stderr, "%s: no such test (-l lists them)\n", argv[0]);
		return 1;
	}
	if (!in_process)
		printf("TAP version 13\n1..%d\n", planned);
	for (struct tap_test *t = first; t; t = t->next) {
		if (!asked_for(t, argv + 1, argc - 1))
			continue;
		if (in_process) {
			body_run(t);
			return 0;
		}
		bad += !test_run(t, ++n);
	}
	return bad != 0;
}
