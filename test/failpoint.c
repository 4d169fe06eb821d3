/* SPDX-License-Identifier: MIT
 *
 * failpoint.c - the wrappers behind failpoint.h: count, fail the n-th, else call the real one.
 *
 * To wrap one more call: a line here and its name in test/meson.build.
 */
#include "failpoint.h"

#include "base/atomic.h"
#include "base/sanitizer.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <uv.h>

/* armed is written last and read first (release, acquire), so that whoever sees it also sees the other words as set up. */
static ATOMIC(int) armed;           /* 0 no, 1 one call fails, 2 all from then on */
static ATOMIC(long) nth;            /* which one; relaxed, ordered by armed */
static ATOMIC(long) calls;          /* so far; relaxed: a counter */
static ATOMIC(const char *) failed; /* the first that failed; relaxed: read when the test has stopped its threads */

static void arm(int how, long n)
{
	store_relaxed(&armed, 0);
	store_relaxed(&nth, n);
	store_relaxed(&calls, 0);
	store_relaxed(&failed, NULL);
	store_release(&armed, how); /* pairs with load_acquire in fails */
}

void failpoint_arm(long n)
{
	arm(1, n);
}

void failpoint_arm_all(long n)
{
	arm(2, n);
}

long failpoint_disarm(void)
{
	store_release(&armed, 0);
	return load_relaxed(&calls);
}

bool failpoint_fired(void)
{
	return load_relaxed(&failed) != NULL;
}

const char *failpoint_name(void)
{
	const char *name = load_relaxed(&failed);

	return name ? name : "";
}

/* Shall this call fail? */
static bool fails(const char *name)
{
	const char *none = NULL;
	int how = load_acquire(&armed); /* pairs with store_release in arm */
	long n, want;

	if (!how)
		return false;
	n = add_relaxed(&calls, 1) + 1;
	want = load_relaxed(&nth);
	if (want == 0 || (how == 1 ? n != want : n < want))
		return false;
	cas_acq_rel(&failed, &none, name);
	return true;
}

/* clang-format off */
/* WRAP(result, name, parameters, arguments, what a failing call does instead); WRAP_IF: one that cannot fail unless `can` is not counted. */
#define WRAP(type, name, params, args, ...) WRAP_IF(type, name, params, args, true, __VA_ARGS__)
#define WRAP_IF(type, name, params, args, can, ...) \
	type __real_##name params;                  \
	type __wrap_##name params;                  \
	type __wrap_##name params                   \
	{                                           \
		if ((can) && fails(#name)) {        \
			__VA_ARGS__;                \
		}                                   \
		return __real_##name args;          \
	}
#define REFUSE(result, code) \
	errno = (code);      \
	return (result)

WRAP(void *, malloc, (size_t n), (n), REFUSE(NULL, ENOMEM))
WRAP(void *, calloc, (size_t n, size_t m), (n, m), REFUSE(NULL, ENOMEM))
WRAP(void *, realloc, (void *p, size_t n), (p, n), REFUSE(NULL, ENOMEM))
WRAP(void *, aligned_alloc, (size_t a, size_t n), (a, n), REFUSE(NULL, ENOMEM))
WRAP(int, posix_memalign, (void **p, size_t a, size_t n), (p, a, n), return ENOMEM)
WRAP(char *, strdup, (const char *s), (s), REFUSE(NULL, ENOMEM))

WRAP(void *, mmap, (void *p, size_t n, int prot, int flags, int fd, off_t off), (p, n, prot, flags, fd, off),
     REFUSE(MAP_FAILED, ENOMEM))
/* What mmap is called in object files built with _FILE_OFFSET_BITS=64. */
WRAP(void *, mmap64, (void *p, size_t n, int prot, int flags, int fd, off_t off), (p, n, prot, flags, fd, off),
     REFUSE(MAP_FAILED, ENOMEM))
/* Giving pages back cannot fail for want of anything, and the monitor does it when it likes. */
WRAP_IF(int, madvise, (void *p, size_t n, int advice), (p, n, advice), advice != MADV_DONTNEED, REFUSE(-1, ENOMEM))
WRAP(int, mprotect, (void *p, size_t n, int prot), (p, n, prot), REFUSE(-1, ENOMEM))
/* Asking, and doing without one, cannot fail; a sanitizer's own for a new thread must not. */
WRAP_IF(int, sigaltstack, (const stack_t *s, stack_t *old), (s, old), s && !(s->ss_flags & SS_DISABLE) && !weft__san, REFUSE(-1, ENOMEM))

WRAP(int, epoll_create1, (int flags), (flags), REFUSE(-1, EMFILE))
/* Taking a descriptor out cannot fail for want of anything. */
WRAP_IF(int, epoll_ctl, (int ep, int op, int fd, struct epoll_event *e), (ep, op, fd, e), op != EPOLL_CTL_DEL, REFUSE(-1, ENOMEM))
WRAP(int, eventfd, (unsigned n, int flags), (n, flags), REFUSE(-1, EMFILE))
WRAP(int, timerfd_create, (int clock, int flags), (clock, flags), REFUSE(-1, EMFILE))
WRAP(int, pipe2, (int fd[2], int flags), (fd, flags), REFUSE(-1, EMFILE))

WRAP(int, socket, (int family, int type, int protocol), (family, type, protocol), REFUSE(-1, EMFILE))
WRAP(int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), REFUSE(-1, ENOMEM))
WRAP(int, listen, (int fd, int backlog), (fd, backlog), REFUSE(-1, ENOMEM))
WRAP(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags), REFUSE(-1, EMFILE))
WRAP(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), REFUSE(-1, ENOMEM))
WRAP(int, setsockopt, (int fd, int level, int name, const void *v, socklen_t n), (fd, level, name, v, n), REFUSE(-1, ENOBUFS))
WRAP(int, getsockopt, (int fd, int level, int name, void *v, socklen_t *n), (fd, level, name, v, n), REFUSE(-1, ENOBUFS))
WRAP(int, getsockname, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), REFUSE(-1, ENOBUFS))
WRAP(int, getpeername, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), REFUSE(-1, ENOBUFS))
WRAP(ssize_t, recv, (int fd, void *buf, size_t n, int flags), (fd, buf, n, flags), REFUSE(-1, ENOMEM))
WRAP(ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n), REFUSE(-1, ENOMEM))
WRAP(ssize_t, send, (int fd, const void *buf, size_t n, int flags), (fd, buf, n, flags), REFUSE(-1, ENOBUFS))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), REFUSE(-1, ENOBUFS))
WRAP(ssize_t, recvfrom, (int fd, void *buf, size_t n, int flags, struct sockaddr *a, socklen_t *len), (fd, buf, n, flags, a, len), REFUSE(-1, ENOMEM))
WRAP(ssize_t, sendto, (int fd, const void *buf, size_t n, int flags, const struct sockaddr *a, socklen_t len), (fd, buf, n, flags, a, len), REFUSE(-1, ENOBUFS))
WRAP(int, recvmmsg, (int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *t), (fd, m, n, flags, t), REFUSE(-1, ENOMEM))
WRAP(int, sendmmsg, (int fd, struct mmsghdr *m, unsigned n, int flags), (fd, m, n, flags), REFUSE(-1, ENOBUFS))
/* Of nothing it is no more than a look: the monitor's first act under TSan, whenever that begins. */
WRAP_IF(int, poll, (struct pollfd *p, nfds_t n, int ms), (p, n, ms), n, REFUSE(-1, ENOMEM))

WRAP(int, inotify_init1, (int flags), (flags), REFUSE(-1, EMFILE))
WRAP(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask), REFUSE(-1, ENOSPC))

WRAP(int, pthread_create, (pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg), (t, a, fn, arg),
     return EAGAIN)
WRAP(int, pthread_key_create, (pthread_key_t *k, void (*fn)(void *)), (k, fn), return EAGAIN)

WRAP(int, uv_loop_init, (uv_loop_t *l), (l), return UV_EMFILE)
WRAP(int, uv_async_init, (uv_loop_t *l, uv_async_t *a, uv_async_cb cb), (l, a, cb), return UV_EMFILE)
WRAP(int, uv_timer_init, (uv_loop_t *l, uv_timer_t *t), (l, t), return UV_ENOMEM)
WRAP(int, uv_timer_start, (uv_timer_t *t, uv_timer_cb cb, uint64_t ms, uint64_t again), (t, cb, ms, again),
     return UV_EINVAL)
WRAP(int, uv_poll_init, (uv_loop_t *l, uv_poll_t *p, int fd), (l, p, fd), return UV_ENOMEM)
WRAP(int, uv_poll_start, (uv_poll_t *p, int events, uv_poll_cb cb), (p, events, cb), return UV_ENOMEM)
WRAP(int, uv_signal_init, (uv_loop_t *l, uv_signal_t *s), (l, s), return UV_EMFILE)
WRAP(int, uv_signal_start, (uv_signal_t *s, uv_signal_cb cb, int signum), (s, cb, signum), return UV_ENOMEM)

/* clang-format on */

/* The variable arguments of uv_loop_configure are one int or none for every option there is. */
int __real_uv_loop_configure(uv_loop_t *l, uv_loop_option option, ...);
int __wrap_uv_loop_configure(uv_loop_t *l, uv_loop_option option, int value);
int __wrap_uv_loop_configure(uv_loop_t *l, uv_loop_option option, int value)
{
	return fails("uv_loop_configure") ? UV_ENOSYS : __real_uv_loop_configure(l, option, value);
}
