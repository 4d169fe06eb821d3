/* SPDX-License-Identifier: MIT
 *
 * proc_kill.c - whom a kill reaches: the child, or nobody; never who has got its number since.
 *
 * The linker wraps syscall and kill (test/meson.build): they are counted, and a system without pidfd_send_signal is played.
 */
#include "child.h"

#include <sys/syscall.h>

static ATOMIC(uint32_t) by_pidfd, by_number; /* signals sent, or tried to */
static ATOMIC(bool) no_such_call;

long __real_syscall(long nr, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f);
int __real_kill(pid_t pid, int sig);
int __wrap_kill(pid_t pid, int sig);

/* With as many arguments as any call has: who gives fewer does not look at the rest. */
long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
#ifdef SYS_pidfd_send_signal
	if (nr == SYS_pidfd_send_signal) {
		if (load_relaxed(&no_such_call)) { /* set by the only task that kills */
			errno = ENOSYS;
			return -1;
		}
		add_relaxed(&by_pidfd, 1u); /* counts, both */
	}
#endif
	return __real_syscall(nr, a, b, c, d, e, f);
}

int __wrap_kill(pid_t pid, int sig)
{
	add_relaxed(&by_number, 1u);
	return __real_kill(pid, sig);
}

static void count_anew(void)
{
	store_relaxed(&by_pidfd, 0u); /* the same */
	store_relaxed(&by_number, 0u);
}

/* Waits for a child as a library would that knows nothing of weft. A function of its own: errno's address is another's after a park. */
static NOINLINE void reap(pid_t pid)
{
	int rc;

	do {
		rc = waitpid(pid, NULL, 0);
	} while (rc < 0 && errno == EINTR);
	T_EQ(rc, pid);
}

/* Whether the system has pidfds, asked past weft. */
static bool has_pidfds(void)
{
	long fd = -1, rc = -1;

#if defined(SYS_pidfd_open) && defined(SYS_pidfd_send_signal)
	fd = __real_syscall(SYS_pidfd_open, getpid(), 0, 0, 0, 0, 0);
	if (fd >= 0) {
		rc = __real_syscall(SYS_pidfd_send_signal, fd, 0, 0, 0, 0, 0); /* sends nothing */
		close((int)fd);
	}
#endif
	return rc == 0;
}

static int reaped_main(void *arg)
{
	bool group = arg;
	weft_proc *p = spawn(OPTS(.argv = ARGV("sleep", "1000"), .pgroup = group ? WEFT_PROC_OWN_GROUP : 0));
	weft_proc_status st;

	count_anew();
	T_EQ(weft_proc_kill(p, 0), 0);
	T_EQ(weft_proc_kill(p, SIGKILL), 0);
	T_EQ(load_relaxed(&by_pidfd), 2);
	T_EQ(load_relaxed(&by_number), 0);
	reap(weft_proc_pid(p)); /* from here on its number may be anybody's */
	count_anew();
	T_EQ(weft_proc_kill(p, SIGTERM), WEFT_ESRCH);
	T_EQ(weft_proc_kill(p, 0), WEFT_ESRCH);
	if (group)
		T_EQ(weft_proc_kill_group(p, SIGTERM), WEFT_ESRCH);
	T_EQ(load_relaxed(&by_number), 0);
	T_EQ(weft_proc_wait(p, &st), WEFT_ECHILD); /* somebody else has waited for it */
	T_EQ(weft_proc_kill(p, SIGTERM), WEFT_ESRCH);
	T_EQ(load_relaxed(&by_number), 0);
	weft_proc_free(p);
	return 0;
}

TEST_WORKERS(waited_for_by_somebody_else)
{
	if (!has_pidfds())
		tap_skip("a system without pidfds");
	run_children(reaped_main, NULL);
}

TEST_WORKERS(leader_waited_for_by_somebody_else)
{
	if (!has_pidfds())
		tap_skip("a system without pidfds");
	run_children(reaped_main, (void *)"group");
}

static int waited_main(void *arg)
{
	weft_proc *p = spawn(OPTS(.argv = ARGV("true"), .pgroup = WEFT_PROC_OWN_GROUP));

	(void)arg;
	T_EQ(weft_proc_wait(p, NULL), 0);
	count_anew();
	T_EQ(weft_proc_kill(p, SIGTERM), WEFT_ESRCH);
	T_EQ(weft_proc_kill_group(p, SIGTERM), WEFT_ESRCH);
	T_EQ(load_relaxed(&by_pidfd), 0); /* that it is over is known */
	T_EQ(load_relaxed(&by_number), 0);
	weft_proc_free(p);
	return 0;
}

TEST_WORKERS(waited_for)
{
	run_children(waited_main, NULL);
}

static int number_main(void *arg)
{
	weft_proc *p = spawn(OPTS(.argv = ARGV("sleep", "1000")));
	weft_proc_status st;

	(void)arg;
	count_anew();
	store_relaxed(&no_such_call, true); /* read by this task's calls alone */
	T_EQ(weft_proc_kill(p, SIGTERM), 0);
	store_relaxed(&no_such_call, false);
	T_EQ(load_relaxed(&by_pidfd), 0);
	T_EQ(load_relaxed(&by_number), 1);
	st = ended(p);
	T_EQ(st.signal, SIGTERM);
	return 0;
}

/* A system without the call: by its number, as long as nobody has waited for it. */
TEST_WORKERS(no_such_system_call)
{
	run_children(number_main, NULL);
}
