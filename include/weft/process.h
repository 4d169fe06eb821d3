/* SPDX-License-Identifier: MIT
 *
 * weft/process.h - child processes: start one, talk to it, wait for it, end it.
 *
 *     weft_proc_out o;
 *
 *     rc = weft_proc_output(&o, &(weft_proc_opts){.argv = (const char *const[]){"ls", "-l", NULL}});      its output, when it has ended
 *     if (rc == 0 && o.status.code == 0)
 *             fwrite(o.data, 1, o.len, stdout);
 *     weft_proc_out_free(&o);
 *
 * A child gets the three standard descriptors and those it is given, and nothing else of weft's: all that weft opens is closed by exec. All its signals have their default
 * action, and none is blocked. What keeps it from starting (no such program, no permission, too many arguments) is told by the call that starts it, never by an exit code of 127.
 *
 * A child that the program forks by itself has, until it calls exec, all that weft has open: ends of pipes, too, so that whoever reads from one hears of its end later.
 */
#ifndef WEFT_PROCESS_H
#define WEFT_PROCESS_H

#include "ctx.h"
#include "error.h"
#include "export.h"
#include "pipe.h"
#include "time.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

WEFT_BEGIN_DECLS

typedef struct weft_proc weft_proc; /* a child */

/* Where a standard descriptor of the child leads. */
typedef enum weft_proc_to {
	WEFT_PROC_TO_INHERITED,
	WEFT_PROC_TO_NULL,
	WEFT_PROC_TO_PIPE,
	WEFT_PROC_TO_FD,
	WEFT_PROC_TO_FILE,
	WEFT_PROC_TO_OUT
} weft_proc_to;

typedef struct weft_proc_io {
	weft_proc_to to;
	int fd;           /* FD */
	int flags;        /* FILE: of open(2) */
	const char *path; /* FILE */
} weft_proc_io;

#define WEFT_PROC_IO(...) (__extension__(weft_proc_io){__VA_ARGS__})
#define WEFT_PROC_INHERIT WEFT_PROC_IO(WEFT_PROC_TO_INHERITED, -1, 0, NULL) /* the parent's own: the default */
#define WEFT_PROC_NULL WEFT_PROC_IO(WEFT_PROC_TO_NULL, -1, 0, NULL)         /* /dev/null */
#define WEFT_PROC_PIPE WEFT_PROC_IO(WEFT_PROC_TO_PIPE, -1, 0, NULL)         /* to us: weft_proc_in, weft_proc_out_pipe, weft_proc_err */
#define WEFT_PROC_FD(n) WEFT_PROC_IO(WEFT_PROC_TO_FD, (n), 0, NULL)         /* a descriptor of ours, which stays ours */
#define WEFT_PROC_FILE(p, flag) \
	WEFT_PROC_IO(WEFT_PROC_TO_FILE, -1, (flag), (p))          /* opened with these flags (with O_CREAT: mode 0666); path as we see it */
#define WEFT_PROC_OUT WEFT_PROC_IO(WEFT_PROC_TO_OUT, -1, 0, NULL) /* err only: where out leads, as in 2>&1 */

typedef struct weft_proc_user {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* the only supplementary ones */
	int ngroups;
} weft_proc_user;

#define WEFT_PROC_OWN_GROUP (-1)

/* Zero is the default everywhere; argv must be given. All of it is used during the call only. */
typedef struct weft_proc_opts {
	const char *const *argv; /* ends with NULL; argv[0] there is */
	const char *path; /* the program; NULL: argv[0]. Without a slash it is looked for in our PATH; else, if relative, from cwd on */
	const char *const *env; /* "NAME=value", ends with NULL; NULL: our own */
	const char *cwd;        /* its working directory; NULL: ours */
	weft_proc_io in, out, err;
	const int *fds; /* further descriptors, which it gets as 3, 4, ...; -1: it has none of that number */
	int nfds;
	bool detached;              /* in a session of its own (setsid), and so in a group of its own */
	int pgroup;                 /* WEFT_PROC_OWN_GROUP: its process group is its own; > 0: that group; 0: ours */
	const weft_proc_user *user; /* as whom it runs; NULL: as we do */
	int pdeathsig; /* signal it gets when the thread that started it ends: the worker, at the end of weft_run, at the latest. It is started on that thread, which waits meanwhile. 0: none */
	weft_ctx *
		ctx; /* whose end ends it: SIGTERM, and SIGKILL if it has not ended `grace` later, to its whole group if that is its own. If it obeys SIGTERM, others of its group that do not are left alone: weft_proc_kill_group ends them. NULL: nobody's; for weft_proc_run and weft_proc_output: the caller's */
	int64_t grace; /* nanoseconds; 0: SIGKILL at once */
	/* weft_proc_output only */
	const void *
		input; /* what it reads, `ninput` bytes of it, and then the end; `in` is not looked at. NULL: as `in` says, by default nothing (/dev/null) */
	size_t ninput;
	size_t limit;       /* bytes kept of each, output and errors; what goes beyond is read and dropped. 0: 16 MiB */
	int64_t wait_delay; /* how long, once it has ended, others that it has started may keep its output open, before that is closed on them; 0: as long as they like, and then only the end of the caller's own context ends that, not that of `ctx` */
} weft_proc_opts;

/* How a child has ended. */
typedef struct weft_proc_status {
	int code;            /* what it gave to exit; -1: it was killed */
	int signal;          /* that killed it; 0: none */
	bool core;           /* ... and left a core file */
	struct rusage usage; /* of it and those of its children that it has waited for; zero where the system (an emulator) does not say */
} weft_proc_status;

/* weft_proc_spawn - start a child.
 *
 *   out  receives it, with one reference; NULL on error
 *
 * Returns 0: the program runs; WEFT_ENOENT: there is none of that name, or no such directory; WEFT_EACCES: it may not be run; WEFT_ENOEXEC: it is no program (a script without #! is none); WEFT_E2BIG: arguments and environment are too
 * large; WEFT_EPERM: a user or group that we may not become; WEFT_EINVAL: no argv, or what makes no sense; WEFT_EBADF: not an open descriptor; WEFT_EMFILE, WEFT_ENFILE, WEFT_ENOMEM; WEFT_EAGAIN: too many processes, no thread, or deadline
 * WEFT_NOW; what else open(2), chdir(2) or execve(2) say, negated; WEFT_ECANCELED, WEFT_ETIMEDOUT: the caller, or `ctx`, was cancelled before it began; WEFT_ESRCH: `ctx` is given, and no runtime is up. (With `ctx` WEFT_ENOMEM
 * also: there are as many tasks as there may be.) On any error no child is left, nor where it never returns because the runtime goes down (the child is killed then; as are those of weft_proc_run and
 * weft_proc_output); but if memory for its pipes runs out, the program may have begun.
 * Blocks: yes (blocking call): the system looks for the program on a thread of the file lane. Threads: any; needs no runtime but for `ctx`.
 */
WEFT_API int weft_proc_spawn(weft_proc **out, const weft_proc_opts *o);
WEFT_API int weft_proc_spawn_until(weft_proc **out, const weft_proc_opts *o, int64_t deadline);

/* weft_proc_wait - wait until it has ended. Its pipes may be open longer, if it has handed them on.
 *
 *   status  NULL: not wanted
 *
 * Returns 0, any number of times; WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW): it runs; WEFT_ECHILD: somebody else in this process has waited for it, or SIGCHLD is ignored: nobody knows how it ended;
 * WEFT_ENOMEM, WEFT_ESRCH (it runs, and no runtime is up); on a system without pidfd also WEFT_EMFILE, WEFT_ENFILE, WEFT_EAGAIN as in weft_signal_notify, and there
 * SIGCHLD must not be blocked where weft_run is called.
 * Blocks: yes (io). Threads: any, several at a time.
 */
WEFT_API int weft_proc_wait(weft_proc *p, weft_proc_status *status);
WEFT_API int weft_proc_wait_until(weft_proc *p, weft_proc_status *status, int64_t deadline);

/* weft_proc_kill - send it a signal, or (weft_proc_kill_group) all of its process group, if it was given one of its own. It cannot hit another process that has got its number;
 * on a system without pidfd, as long as nobody else in this process waits for our children, and SIGCHLD is not ignored.
 *
 * Returns 0; WEFT_ESRCH: it has ended, and somebody has waited for it; WEFT_EINVAL: no such signal, or no group of its own; WEFT_EPERM. Blocks: no. Threads: any.
 */
WEFT_API int weft_proc_kill(weft_proc *p, int sig);
WEFT_API int weft_proc_kill_group(weft_proc *p, int sig);

/* weft_proc_pid - its number; another's, maybe, once it has been waited for. */
WEFT_API pid_t weft_proc_pid(weft_proc *p);

/* weft_proc_in, weft_proc_out_pipe, weft_proc_err - our end of the pipe to its standard input, from its output, from its errors; borrowed; NULL: it is no pipe. To keep one longer than the
 * child: weft_pipe_ref. weft_proc_close_in: it comes to the end of its input. Returns 0; WEFT_ECLOSED: it was closed before; WEFT_EINVAL: no pipe. */
WEFT_API weft_pipe *weft_proc_in(weft_proc *p);
WEFT_API weft_pipe *weft_proc_out_pipe(weft_proc *p);
WEFT_API weft_pipe *weft_proc_err(weft_proc *p);
WEFT_API int weft_proc_close_in(weft_proc *p);

/* weft_proc_ref, weft_proc_free - one reference more or less. With the last one our ends of its pipes are given up, too. A child that nobody has waited for runs on, and is waited for in the background: by a task of
 * weft's own, or when the next one is started. NULL is allowed in free. Blocks: no. Threads: any. */
WEFT_API weft_proc *weft_proc_ref(weft_proc *p);
WEFT_API void weft_proc_free(weft_proc *p);

/* --- in one go --- */

/* weft_proc_run - start a child, and wait until it has ended.
 *
 *   status  NULL: not wanted
 *
 * Returns 0: it ran, and *status says how it ended; what weft_proc_spawn and weft_proc_wait return; WEFT_ECANCELED, WEFT_ETIMEDOUT: the caller or `ctx` was cancelled, or is past its deadline: it was ended
 * (SIGTERM, and after `grace` SIGKILL), and waited for; WEFT_ESRCH: no runtime is up. A pipe in `o` is an error: WEFT_EINVAL.
 * Blocks: yes (blocking call, io). Threads: any, while a runtime is up.
 */
WEFT_API int weft_proc_run(const weft_proc_opts *o, weft_proc_status *status);
WEFT_API int weft_proc_run_until(const weft_proc_opts *o, weft_proc_status *status, int64_t deadline);

typedef struct weft_proc_out {
	char *data; /* its output; a zero behind it; NULL: none */
	size_t len;
	char *err_data; /* its errors, if err is WEFT_PROC_PIPE */
	size_t err_len;
	bool cut;  /* there was more than `limit` */
	bool held; /* somebody held it open for longer than `wait_delay` */
	weft_proc_status status;
} weft_proc_out;

/* weft_proc_output - the same, and collect what it writes: its output, whatever `out` is; its errors, if err is WEFT_PROC_PIPE (WEFT_PROC_OUT: both in one). It reads
 * `input`. That it does not read all of that is no error.
 *
 *   out  what it wrote, after an error, too, as far as it came; to be given to weft_proc_out_free whatever is returned
 *
 * Returns as weft_proc_run; WEFT_ENOBUFS: `cut`; WEFT_ENOMEM also: what it wrote could not all be kept.
 * Blocks: yes (blocking call, io, join). Threads: any, while a runtime is up.
 */
WEFT_API int weft_proc_output(weft_proc_out *out, const weft_proc_opts *o);
WEFT_API int weft_proc_output_until(weft_proc_out *out, const weft_proc_opts *o, int64_t deadline);

WEFT_API void weft_proc_out_free(weft_proc_out *out);

WEFT_END_DECLS

#endif
