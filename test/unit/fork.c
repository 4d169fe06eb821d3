/* SPDX-License-Identifier: MIT
 *
 * fork.c - a forked child may call exec, and is told so when it tries anything else of weft's.
 */
#include "child.h"

#include "weft/net.h"
#include "weft/several.h"
#include <pthread.h>
#include <string.h>

/* Forks; the child calls fn, with its standard error in a pipe. Returns how it has ended; what it wrote is in said. A function of its own, and so are those of fn: errno and the like
 * are another thread's after a park. */
static char said[4096];

NOINLINE static int forked(void (*fn)(void *arg), void *arg)
{
	int fds[2], status;
	size_t n = 0;
	ssize_t more;
	pid_t pid;

	T_EQ(pipe(fds), 0);
	pid = fork();
	T_OK(pid >= 0);
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		fn(arg);
		_exit(0);
	}
	close(fds[1]);
	while (n < sizeof said - 1 && (more = read(fds[0], said + n, sizeof said - 1 - n)) > 0)
		n += (size_t)more;
	said[n] = 0;
	close(fds[0]);
	T_EQ(waitpid(pid, &status, 0), pid);
	return status;
}

static void is_told(void (*fn)(void *arg), void *arg)
{
	int status = forked(fn, arg);

	T_STR_HAS(said, "this process was forked");
	T_OK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}

static void receives(void *arg)
{
	(void)weft_chan_recv(arg, NULL);
}

static void sleeps(void *arg)
{
	(void)arg;
	(void)weft_task_sleep(WEFT_SEC);
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static void starts(void *arg)
{
	(void)weft_go_opts(NULL, nothing, arg, NULL);
}

static void runs(void *arg)
{
	(void)weft_run(nothing, arg, NULL);
}

static void dials(void *arg)
{
	weft_tcp *c;

	(void)arg;
	(void)weft_tcp_dial(&c, "127.0.0.1:1");
}

static void executes(void *arg)
{
	execlp("sh", "sh", "-c", (const char *)arg, (char *)NULL);
}

static int task_main(void *arg)
{
	weft_chan *c = weft_chan_make(1, 1);
	int status;

	(void)arg;
	is_told(receives, c);
	is_told(sleeps, NULL);
	is_told(starts, NULL);
	is_told(runs, NULL);
	is_told(dials, NULL);
	status = forked(executes, (void *)(uintptr_t) "exit 4");
	T_OK(WIFEXITED(status));
	T_EQ(WEXITSTATUS(status), 4);
	status = forked(executes, (void *)(uintptr_t) "kill -TERM $$"); /* not blocked, though this worker blocks it */
	T_OK(WIFSIGNALED(status));
	T_EQ(WTERMSIG(status), SIGTERM);
	T_EQ(weft_chan_send(c, ""), 0); /* here all goes on */
	T_EQ(weft_task_sleep(1), 0);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(from_a_task)
{
	run(task_main, NULL);
}

static int others_main(void *arg)
{
	weft_runtime *rt;
	weft_task *t;

	(void)arg;
	T_EQ(weft_make(&rt, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(weft_runtime_go(rt, &t, task_main, NULL, NULL), 0);
	T_EQ(finish(t), 0);
	T_EQ(task_main(NULL), 0);
	T_EQ(weft_free(rt, WEFT_FOREVER), 0);
	return 0;
}

/* Two runtimes are up, and a task of each forks: nothing of either goes on in the child; here both do. */
TEST_WORKERS(from_tasks_of_two)
{
	run(others_main, NULL);
}

struct foreign {
	weft_chan *c;
	ATOMIC(bool) over;
};

static void *thread_main(void *arg)
{
	struct foreign *f = arg;
	int status;

	is_told(receives, f->c);
	is_told(starts, NULL);
	status = forked(executes, (void *)(uintptr_t) "exit 4");
	T_OK(WIFEXITED(status));
	T_EQ(WEXITSTATUS(status), 4);
	store_release(&f->over, true); /* pairs with load_acquire in foreign_main */
	return NULL;
}

static int foreign_main(void *arg)
{
	struct foreign f = {.c = weft_chan_make(1, 1)};
	pthread_t th;

	(void)arg;
	T_EQ(pthread_create(&th, NULL, thread_main, &f), 0);
	until(load_acquire(&f.over)); /* pairs with store_release in thread_main */
	T_EQ(pthread_join(th, NULL), 0);
	weft_chan_free(f.c);
	return 0;
}

TEST_WORKERS(from_a_thread)
{
	run(foreign_main, NULL);
}

static void makes(void *arg)
{
	weft_runtime *rt;

	(void)arg;
	(void)weft_make(&rt, NULL);
}

/* The only one that is up is not the default one. */
TEST_WORKERS(beside_a_made_one)
{
	weft_chan *c = weft_chan_make(1, 1);
	weft_runtime *rt;
	weft_task *t;

	T_EQ(weft_make(&rt, &(weft_opts){.workers = tap_workers()}), 0);
	is_told(receives, c);
	is_told(runs, NULL);
	is_told(makes, NULL);
	T_EQ(weft_runtime_go(rt, &t, task_main, NULL, NULL), 0);
	T_EQ(finish(t), 0);
	T_EQ(weft_free(rt, WEFT_FOREVER), 0);
	weft_chan_free(c);
	nothing_left();
}

static void child_runs(void *arg)
{
	(void)arg;
	if (BUILT_WITH_TSAN)
		_exit(0); /* no threads after a fork */
	_exit(weft_run(nothing, NULL, &(weft_opts){.workers = tap_workers()}));
}

/* With no runtime up, either half may bring one up: before the first, and after one. */
TEST_WORKERS(without_a_runtime)
{
	for (int i = 0; i < 2; i++) {
		int status = forked(child_runs, NULL);

		T_OK(WIFEXITED(status));
		T_EQ(WEXITSTATUS(status), 0);
		run(nothing, NULL);
	}
}
