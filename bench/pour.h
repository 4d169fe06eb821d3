/* SPDX-License-Identifier: MIT
 *
 * pour.h - what P51's pourer and every server in C agree upon: the size of a block, and how a sink says what it has got.
 *
 * source: the server writes block after block, of which byte i is POUR_BYTE(i), until the connection breaks. sink: it reads to the end, and then writes how many bytes there
 * were, 8 bytes, least first.
 */
#ifndef BENCH_POUR_H
#define BENCH_POUR_H

#include <stddef.h>
#include <stdint.h>

#define POUR_BLOCK 65536
#define POUR_BYTE(i) ((unsigned char)((i)*7))

static inline void pour_fill(char *block)
{
	for (size_t i = 0; i < POUR_BLOCK; i++)
		block[i] = (char)POUR_BYTE(i);
}

static inline void pour_put(char *to, uint64_t n)
{
	for (int i = 0; i < 8; i++)
		to[i] = (char)(n >> 8 * i);
}

static inline uint64_t pour_get(const char *from)
{
	uint64_t n = 0;

	for (int i = 0; i < 8; i++)
		n |= (uint64_t)(unsigned char)from[i] << 8 * i;
	return n;
}

#endif
