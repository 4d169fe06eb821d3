/* SPDX-License-Identifier: MIT
 *
 * clock.c - reads CLOCK_MONOTONIC, which the kernel serves without a system call.
 */
#include "base/clock.h"

#include <time.h>

ATOMIC(int64_t) weft__clock_fake = CLOCK_REAL;

int64_t weft__clock_read(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000LL + ts.tv_nsec;
}
