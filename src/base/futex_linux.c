/* SPDX-License-Identifier: MIT
 *
 * futex_linux.c - the futex system call, private to the process, with absolute monotonic deadlines (FUTEX_WAIT_BITSET).
 */
#include "base/futex.h"

#include "base/clock.h"
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int weft__futex_wait(ATOMIC(uint32_t) *word, uint32_t expected, int64_t deadline)
{
	struct timespec ts, *until = NULL;
	int saved = errno;
	long rc;
	int err;

	if (deadline != INT64_MAX) {
		if (deadline < 0)
			deadline = 0;
		ts.tv_sec = deadline / 1000000000LL;
		ts.tv_nsec = deadline % 1000000000LL;
		until = &ts;
	}
	rc = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, until, NULL, FUTEX_BITSET_MATCH_ANY);
	err = rc < 0 ? errno : 0;
	errno = saved;
	return err == ETIMEDOUT ? -ETIMEDOUT : 0;
}

void weft__futex_wake(ATOMIC(uint32_t) *word, int n)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, n, NULL, NULL, 0);
	errno = saved;
}
