/* SPDX-License-Identifier: MIT
 *
 * allocator.c - see allocator.h. Memory is libc's.
 */
#include "allocator.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

_Atomic int allocator_errnos;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

extern void *__libc_malloc(size_t size);

__attribute__((noinline)) static void *in_a_large_frame(size_t size)
{
	volatile char frame[3000];

	frame[0] = 1;
	frame[sizeof frame - 1] = 1;
	return __libc_malloc(size + (size_t)frame[0] - 1);
}

void *malloc(size_t size)
{
	int before = errno;
	void *p;

	pthread_mutex_lock(&lock);
	p = in_a_large_frame(size);
	if (p && errno != before)
		allocator_errnos++;
	pthread_mutex_unlock(&lock);
	return p;
}
