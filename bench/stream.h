/* SPDX-License-Identifier: MIT
 *
 * stream.h - what P51's pourer and every server in C agree upon: the size of a block, and how a sink says what it has got.
 *
 * source: the server writes block after block, of which byte i is STREAM_BYTE(i), until the connection breaks. sink: it reads to the end, and then writes how many bytes there
 * were, 8 bytes, least first.
 */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include <stddef.h>
#include <stdint.h>

#define STREAM_BLOCK 65536
#define STREAM_BYTE(i) ((unsigned char)((i)*7))

static inline void stream_fill(char *block)
{
	for (size_t i = 0; i < STREAM_BLOCK; i++)
		block[i] = (char)STREAM_BYTE(i);
}

static inline void stream_put(char *to, uint64_t n)
{
	for (int i = 0; i < 8; i++)
		to[i] = (char)(n >> 8 * i);
}

static inline uint64_t stream_get(const char *from)
{
	uint64_t n = 0;

	for (int i = 0; i < 8; i++)
		n |= (uint64_t)(unsigned char)from[i] << 8 * i;
	return n;
}

#endif
