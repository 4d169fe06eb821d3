/* SPDX-License-Identifier: MIT
 *
 * asym_linux.c - the heavy side of the asymmetric fence: membarrier(2).
 */
#include "base/asym.h"

#include "base/check.h"
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

bool weft__asym_on;

__attribute__((constructor)) void weft__asym_init(void)
{
	const char *off = getenv("WEFT_NO_MEMBARRIER");
	int saved = errno;
	long can;

	if (off && *off && *off != '0')
		return;
	can = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
	if (can > 0 && (can & MEMBARRIER_CMD_PRIVATE_EXPEDITED) &&
	    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0)
		weft__asym_on = true;
	errno = saved;
}

void weft__asym_heavy(void)
{
	int saved = errno;

	fence_seq_cst();
	if (weft__asym_on) {
		long rc = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);

		CHECK_EQ(rc, 0);
	}
	errno = saved;
}
