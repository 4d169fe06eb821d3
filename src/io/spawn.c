/* SPDX-License-Identifier: MIT
 *
 * spawn.c - starts a process. See spawn.h.
 *
 *	parent   opens what the child shall have; blocks all signals; vfork
 *	child    session, group, user; moves descriptors to their places; directory; all signals to their default; unblocks them; exec
 *	         an error: writes errno into a pipe that exec closes, and leaves
 *	parent   reads that pipe: the end means that the program runs
 *
 * A vfork of our own, because posix_spawn changes no user and sets no signal for the parent's death. The child runs on the parent's stack while that thread waits, so it makes system
 * calls and nothing else: no allocation, no lock, none of the C library's wrappers that do more than that (its setuid asks all threads to follow). All of its signals are
 * blocked until no handler is left that could run in it, on our memory. The pipe, where shared memory would do: emulators and TSan make a fork of the vfork.
 *
 * Not uv_spawn: it is called on a loop's thread only, hears of ends by SIGCHLD, whose handler it takes for the whole process, and loses the error of a chdir.
 */
#include "io/spawn.h"

#include "base/config.h"
#include "core/runtime.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FDS_MAX 1024 /* further descriptors */

enum { LEAVE = -2, NONE = -1 }; /* in plan->from: as it is inherited; closed */

struct plan {
	const weft_proc_opts *o;
	const char *const *env;
	char **paths; /* to be tried in turn; ends with NULL */
	int *from;    /* what is to be its descriptor i */
	int n;        /* of those */
	int failure;  /* writing end of the pipe */
	pid_t parent;
};

bool weft__spawn_no_pidfd;

/* --- the child --- */

static int become(const weft_proc_user *u)
{
	if (syscall(SYS_setgroups, (size_t)u->ngroups, u->groups) || syscall(SYS_setresgid, u->gid, u->gid, u->gid) ||
	    syscall(SYS_setresuid, u->uid, u->uid, u->uid))
		return errno;
	return 0;
}

/* Out of the way of the places 0 to n-1, closed by exec. */
static int move_up(int *fd, int n)
{
	if (*fd < 0 || *fd >= n)
		return 0;
	*fd = fcntl(*fd, F_DUPFD_CLOEXEC, n);
	return *fd >= 0 ? 0 : errno == EINVAL ? EMFILE : errno; /* n is beyond the limit */
}

static int place(struct plan *p)
{
	int rc = move_up(&p->failure, p->n);

	for (int i = 0; i < p->n && !rc; i++)
		rc = move_up(&p->from[i], p->n);
	for (int i = 0; i < p->n && !rc; i++) {
		if (p->from[i] == NONE)
			syscall(SYS_close, i);
		else if (p->from[i] >= 0 && syscall(SYS_dup3, p->from[i], i, 0) < 0)
			rc = errno;
	}
	return rc;
}

static void default_signals(void)
{
	static const uint64_t none[8]; /* the kernel's sigaction: SIG_DFL, no flags, no mask */

	for (int sig = 1; sig <= 64; sig++)
		syscall(SYS_rt_sigaction, sig, none, NULL, 8);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, none, NULL, 8);
}

static int execute(struct plan *p)
{
	int rc = ENOENT;

	for (char **path = p->paths; *path; path++) {
		syscall(SYS_execve, *path, p->o->argv, p->env);
		switch (errno) {
		case EACCES:
			rc = EACCES; /* unless one further on can be run */
			break;
		case ENOENT:
		case ENOTDIR:
		case ENODEV:
		case ESTALE:
		case ETIMEDOUT:
			break;
		default:
			return errno;
		}
	}
	return rc;
}

static int child_steps(struct plan *p)
{
	const weft_proc_opts *o = p->o;
	int rc = 0;

	if (o->detached ? syscall(SYS_setsid) < 0 : o->pgroup && syscall(SYS_setpgid, 0, o->pgroup > 0 ? o->pgroup : 0))
		return errno;
	if (o->user)
		rc = become(o->user);
	if (!rc && o->pdeathsig) { /* behind the change of user, which takes it back */
		if (syscall(SYS_prctl, PR_SET_PDEATHSIG, o->pdeathsig, 0, 0, 0))
			return errno;
		if (syscall(SYS_getppid) != p->parent)
			return ESRCH; /* it has died already: nobody reads this */
	}
	if (!rc)
		rc = place(p);
	if (!rc && o->cwd && syscall(SYS_chdir, o->cwd))
		rc = errno;
	if (rc)
		return rc;
	default_signals();
	return execute(p);
}

NORETURN static void child(struct plan *p)
{
	int rc = child_steps(p);

	while (syscall(SYS_write, p->failure, &rc, sizeof rc) < 0 && errno == EINTR)
		;
	for (;;)
		syscall(SYS_exit_group, 127);
}

/* Nothing else lives in this frame, which the child returns to none of. */
NOINLINE static pid_t start(struct plan *p)
{
	pid_t pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): see the top */

	if (pid == 0)
		child(p);
	return pid < 0 ? -errno : pid;
}

/* --- the parent --- */

/* Descriptors 0 to 2 are places of the child's. */
static int above_stdio(int fd)
{
	int up, rc;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd < 0 ? -errno : fd;
	up = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	rc = -errno;
	close(fd);
	return up < 0 ? rc : up;
}

static int make_pipe(int fds[2])
{
	int rc = 0;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	for (int i = 0; i < 2; i++) {
		fds[i] = above_stdio(fds[i]);
		if (fds[i] < 0)
			rc = fds[i];
	}
	for (int i = 0; i < 2 && rc; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	return rc;
}

static void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Makes what the child's descriptor i shall be: p->from[i], and *opened, if that is to be closed here; *end is our end of a pipe. */
static int make_io(struct plan *p, int i, const weft_proc_io *io, int *opened, int *end)
{
	int fds[2], rc, flags;

	switch (io->to) {
	case WEFT_PROC_TO_INHERITED:
		p->from[i] = LEAVE;
		return 0;
	case WEFT_PROC_TO_FD:
		p->from[i] = io->fd;
		return fcntl(io->fd, F_GETFD) < 0 ? -errno : 0;
	case WEFT_PROC_TO_OUT:
		if (i != 2)
			return WEFT_EINVAL;
		p->from[i] = p->from[1] == LEAVE ? STDOUT_FILENO : p->from[1];
		return 0;
	case WEFT_PROC_TO_NULL:
	case WEFT_PROC_TO_FILE:
		flags = io->to == WEFT_PROC_TO_NULL ? O_RDWR : io->flags;
		*opened = above_stdio(open(io->to == WEFT_PROC_TO_NULL ? "/dev/null" : io->path, flags | O_CLOEXEC | O_NOCTTY, 0666));
		p->from[i] = *opened;
		return *opened < 0 ? *opened : 0;
	case WEFT_PROC_TO_PIPE:
		rc = make_pipe(fds);
		if (rc)
			return rc;
		*opened = p->from[i] = fds[i != 0];
		*end = fds[i == 0];
		return fcntl(*end, F_SETFL, O_NONBLOCK) ? -errno : 0; /* this end alone: the child's blocks */
	default:
		return WEFT_EINVAL;
	}
}

static void free_paths(char **paths)
{
	for (char **path = paths; paths && *path; path++)
		free(*path);
	free(paths);
}

/* Where to look for the program. 0 or WEFT_ENOMEM. */
static int find_paths(char ***out, const char *name)
{
	const char *dirs = getenv("PATH"), *at, *end;
	size_t n = 2, len = strlen(name), used = 0;
	char **paths;

	if (!dirs)
		dirs = "/bin:/usr/bin";
	if (strchr(name, '/'))
		dirs = "";
	for (at = dirs; *at; at++)
		n += *at == ':';
	paths = *out = calloc(n, sizeof *paths);
	if (!paths)
		return WEFT_ENOMEM;
	for (at = dirs; used < n - 1; at = end + 1) {
		end = strchrnul(at, ':');
		paths[used] = malloc((size_t)(end - at) + len + 2);
		if (!paths[used])
			return WEFT_ENOMEM;
		memcpy(paths[used], at, (size_t)(end - at));
		if (end > at)
			paths[used][end - at] = '/';
		memcpy(paths[used] + (end - at) + (end > at), name, len + 1);
		used++;
	}
	return 0;
}

static int check(const weft_proc_opts *o)
{
	if (!o || !o->argv || !o->argv[0] || o->nfds < 0 || o->nfds > FDS_MAX || (o->nfds && !o->fds))
		return WEFT_EINVAL;
	if (o->pgroup < WEFT_PROC_OWN_GROUP || (o->detached && o->pgroup > 0) || o->pdeathsig < 0 || o->pdeathsig > 64)
		return WEFT_EINVAL;
	if (o->user && (o->user->ngroups < 0 || (o->user->ngroups && !o->user->groups)))
		return WEFT_EINVAL;
	for (int i = 0; i < o->nfds; i++) {
		if (o->fds[i] != NONE && fcntl(o->fds[i], F_GETFD) < 0)
			return -errno;
	}
	if (!*(o->path ? o->path : o->argv[0]))
		return WEFT_ENOENT;
	return 0;
}

static int pidfd_of(pid_t pid)
{
#ifdef SYS_pidfd_open
	if (!weft__spawn_no_pidfd)
		return (int)syscall(SYS_pidfd_open, pid, 0); /* close on exec, always */
#endif
	(void)pid;
	return -1;
}

/* Starts it, and hears whether the program runs. */
static int start_and_hear(struct plan *p, struct spawned *out)
{
	sigset_t all, old;
	int fds[2], err = 0, rc = make_pipe(fds);
	ssize_t n;
	pid_t pid;

	if (rc)
		return rc;
	p->failure = fds[1];
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = start(p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	close(fds[1]);
	if (pid > 0) {
		do {
			n = read(fds[0], &err, sizeof err);
		} while (n < 0 && errno == EINTR);
		if (n == (ssize_t)sizeof err) {
			while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
				;
			rc = -err;
		}
	}
	close(fds[0]); /* before the next one is opened: there may be no other left */
	if (pid < 0 || rc)
		return pid < 0 ? (int)pid : rc;
	out->pid = pid;
	out->pidfd = pidfd_of(pid);
	return 0;
}

int weft__spawn(const weft_proc_opts *o, struct spawned *out)
{
	struct plan p = {.o = o, .parent = getpid()};
	const weft_proc_io *io[3];
	int opened[3] = {-1, -1, -1}, rc = check(o);

	if (rc)
		return rc;
	io[0] = &o->in;
	io[1] = &o->out;
	io[2] = &o->err;
	*out = (struct spawned){.pidfd = -1, .ends = {-1, -1, -1}};
	p.env = o->env ? o->env : (const char *const *)environ;
	p.n = 3 + o->nfds;
	p.from = malloc((size_t)p.n * sizeof *p.from);
	rc = p.from ? find_paths(&p.paths, o->path ? o->path : o->argv[0]) : WEFT_ENOMEM;
	for (int i = 0; i < 3 && !rc; i++)
		rc = make_io(&p, i, io[i], &opened[i], &out->ends[i]);
	for (int i = 0; i < o->nfds && !rc; i++)
		p.from[3 + i] = o->fds[i];
	if (!rc)
		rc = start_and_hear(&p, out);
	for (int i = 0; i < 3; i++) {
		close_if(opened[i]);
		if (rc)
			close_if(out->ends[i]);
	}
	free_paths(p.paths);
	free(p.from);
	return rc;
}
