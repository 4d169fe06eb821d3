/* SPDX-License-Identifier: MIT
 *
 * ring.h - channels promised to one sender and one receiver, and elements that bear a number, for the tests of them.
 */
#ifndef WEFT_TEST_RING_H
#define WEFT_TEST_RING_H

#include "ways.h"

#include "sync/chan.h"

static inline weft_chan *opened(size_t elem, size_t cap)
{
	weft_chan *c;

	T_EQ(weft_chan_open(&c, &(weft_chan_opts){.elem = elem, .cap = cap, .mode = WEFT_CHAN_SPSC}), 0);
	return c;
}

static inline bool apart(weft_chan *c)
{
	return load_acquire(&c->quick) & CHAN_APART;
}

static inline void fill(unsigned char *e, size_t elem, long i)
{
	for (size_t k = 0; k < elem; k++)
		e[k] = k < 8 ? (unsigned char)(i >> (8 * k)) : (unsigned char)(i + (long)k);
}

static inline void looks_like(const unsigned char *e, size_t elem, long i)
{
	for (size_t k = 0; k < elem; k++)
		T_EQ(e[k], k < 8 ? (unsigned char)(i >> (8 * k)) : (unsigned char)(i + (long)k));
}

#endif
