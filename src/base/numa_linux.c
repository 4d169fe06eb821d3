/* SPDX-License-Identifier: MIT
 *
 * numa_linux.c - mbind and get_mempolicy, by their numbers: libnuma would be needed for nothing else.
 */
#include "base/numa.h"

#include <sys/syscall.h>
#include <unistd.h>

#define NODE_NUMBERS 1024 /* of the mask that the system is given */

/* The kernel's names are MPOL_DEFAULT, MPOL_PREFERRED, MPOL_F_MEMS_ALLOWED. */
#define POLICY_DEFAULT 0
#define POLICY_PREFERRED 1
#define GET_MEMBERS 4u

#define WORD_BITS (8 * sizeof(unsigned long))

bool weft__node_usable(int node)
{
	unsigned long mask[NODE_NUMBERS / WORD_BITS] = {0};

	if (node < 0 || node >= NODE_NUMBERS)
		return false;
	if (syscall(SYS_get_mempolicy, NULL, mask, (unsigned long)NODE_NUMBERS, NULL, (unsigned long)GET_MEMBERS) != 0)
		return node == 0; /* a kernel without NUMA has one */
	return mask[(size_t)node / WORD_BITS] >> ((size_t)node % WORD_BITS) & 1;
}

void weft__mem_prefer(void *at, size_t bytes, int node)
{
	unsigned long mask[NODE_NUMBERS / WORD_BITS] = {0};

	if (node < 0) {
		(void)syscall(SYS_mbind, at, bytes, POLICY_DEFAULT, NULL, 0ul, 0u);
		return;
	}
	if (node >= NODE_NUMBERS)
		return;
	mask[(size_t)node / WORD_BITS] = 1ul << ((size_t)node % WORD_BITS);
	(void)syscall(SYS_mbind, at, bytes, POLICY_PREFERRED, mask, (unsigned long)NODE_NUMBERS, 0u);
}
