/* SPDX-License-Identifier: MIT
 *
 * peek.c - reads memory of this process that may vanish, through the kernel. See peek.h.
 *
 * System calls are made by syscall(2), past the sanitizers' interceptors, which would look at what is read.
 */
#include "debug/peek.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096 /* of any size a page may have, the smallest; a pipe takes as much at once */

void weft__peek_open(struct peek *p)
{
	p->by_pipe = p->blind = false;
	p->fd[0] = p->fd[1] = -1;
}

void weft__peek_close(struct peek *p)
{
	if (p->fd[0] >= 0) {
		close(p->fd[0]);
		close(p->fd[1]);
	}
}

static size_t by_readv(struct peek *p, uintptr_t from, char *to, size_t n)
{
	struct iovec local = {to, n}, remote = {(void *)from, n};
	long got = syscall(SYS_process_vm_readv, getpid(), &local, 1L, &remote, 1L, 0L);

	if (got < 0 && errno != EFAULT)
		p->by_pipe = true; /* ENOSYS (emulators), EPERM (seccomp) */
	return got < 0 ? 0 : (size_t)got;
}

/* Page by page, because a write that would fault halfway may fail as a whole. */
static size_t by_pipe(struct peek *p, uintptr_t from, char *to, size_t n)
{
	size_t done = 0;

	if (p->fd[0] < 0 && pipe2(p->fd, O_CLOEXEC | O_NONBLOCK)) {
		p->blind = true;
		return 0;
	}
	while (done < n) {
		size_t want = PAGE - ((from + done) & (PAGE - 1));
		long got;

		if (want > n - done)
			want = n - done;
		got = syscall(SYS_write, p->fd[1], from + done, want);
		if (got <= 0)
			break;
		got = syscall(SYS_read, p->fd[0], to + done, (size_t)got);
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	return done;
}

size_t weft__peek(struct peek *p, const void *from, void *to, size_t n)
{
	int saved = errno;
	size_t got = 0;

	if (!p->by_pipe)
		got = by_readv(p, (uintptr_t)from, to, n);
	if (p->by_pipe)
		got = by_pipe(p, (uintptr_t)from, to, n);
	errno = saved;
	return got;
}

bool weft__peek_text(struct peek *p, const char *from, char *to, size_t n)
{
	size_t got, i;

	to[0] = 0;
	if (!from)
		return false;
	got = weft__peek(p, from, to, n - 1);
	for (i = 0; i < got && to[i]; i++) {
		if ((unsigned char)to[i] < ' ' || to[i] == 127)
			to[i] = '?';
	}
	to[i] = 0;
	return got > 0;
}
