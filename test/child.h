/* SPDX-License-Identifier: MIT
 *
 * child.h - for tests of child processes: shell scripts as children.
 */
#ifndef WEFT_TEST_CHILD_H
#define WEFT_TEST_CHILD_H

#include "rt.h"

#include "io/fd.h"
#include "io/spawn.h"
#include "weft/process.h"
#include "weft/signal.h"
#include "weft/waker.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SH(script) .argv = ARGV("sh", "-c", (script))
#define OPTS(...) (&(weft_proc_opts){__VA_ARGS__})

/* What stays for good is there: the descriptors of the first signal and the first loop. */
static inline void run_children(weft_task_fn *fn, void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 1);
	size_t records;

	T_EQ(weft_signal_notify(c, SIGCHLD), 0);
	T_EQ(weft_signal_stop(c), 0);
	weft_chan_free(c);
	records = weft__fd_count();
	run(fn, arg);
	T_LE(weft__fd_count(), records + 1); /* that of the signals' */
}

static inline weft_proc *spawn(const weft_proc_opts *o)
{
	weft_proc *p;

	T_EQ(weft_proc_spawn(&p, o), 0);
	T_OK(p);
	return p;
}

static inline weft_proc_status ended(weft_proc *p)
{
	weft_proc_status st;

	T_EQ(weft_proc_wait(p, &st), 0);
	weft_proc_free(p);
	return st;
}

/* Waits for a line from its output. */
static inline void until_says(weft_proc *p, const char *line)
{
	char buf[64];
	size_t n = 0;

	do {
		ssize_t more = weft_pipe_read(weft_proc_out_pipe(p), buf + n, 1);

		T_EQ(more, 1);
	} while (buf[n++] != '\n' && n < sizeof buf);
	buf[n - 1] = 0;
	T_STR_EQ(buf, line);
}

/* Not even a zombie is left. A function of its own: errno's address is another's after a yield. */
NOINLINE UNUSED static bool is_gone(pid_t pid)
{
	return kill(pid, 0) && errno == ESRCH;
}

/* No child of ours is left, none that has ended either. */
NOINLINE UNUSED static bool no_child(void)
{
	return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

#endif
