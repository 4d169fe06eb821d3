/* SPDX-License-Identifier: MIT
 *
 * main_exit.c - how a program made with WEFT_MAIN ends: with what its main returned, whatever other tasks still do.
 */
#include "base/sanitizer.h"
#include "tap.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft.h>

/* What main has that never returned is lost: LeakSanitizer is not to look, which it does where going down takes so long that the monitor calls exit. */
static bool in_main;
int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
	return in_main;
}

static atomic_bool spinning;

static void spin(void)
{
	atomic_store(&spinning, true);
	for (;;)
		atomic_thread_fence(memory_order_seq_cst);
}

static int returns_seven(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return 7;
}

static int leaves_a_spinner(int argc, char **argv)
{
	T_EQ(go(spin), 0);
	while (!atomic_load(&spinning))
		task_yield();
	return returns_seven(argc, argv);
}

static int waits_for_nobody(int argc, char **argv)
{
	chan *c = chan_make(0, 0);

	(void)argc;
	(void)argv;
	return chan_recv(c, NULL);
}

static int exits_from_below(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	weft_exit(9);
	return 1;
}

/* Exit status of a process whose main() is WEFT_MAIN's with this body. */
static int status_of(int (*body)(int, char **))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		in_main = true;
		_exit(weft__run_main(body, 0, NULL)); /* no leak check: a deadlocked main frees nothing */
	}
	T_EQ(waitpid(pid, &status, 0), pid);
	T_OK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

TEST_WORKERS(main_returns_the_exit_status)
{
	T_EQ(status_of(returns_seven), 7);
	T_EQ(status_of(exits_from_below), 9);
}

/* A task that never parks does not keep the process. */
TEST(main_returns_while_a_task_spins)
{
	setenv("WEFT_EXIT", "main", 1);
	if (weft__san & SAN_TSAN)
		tap_skip("TSan takes threads that still run at exit for leaked ones");
	setenv("WEFT_WORKERS", "2", 1);
	T_EQ(status_of(leaves_a_spinner), 7);
}

TEST_WORKERS(deadlock_exits_with_two)
{
	T_EQ(status_of(waits_for_nobody), 2);
}
