/* SPDX-License-Identifier: MIT
 *
 * weft/lf/tagged.h - a pointer and a tag in one word, so that one compare-and-swap checks both.
 *
 *   63 .......................... 19 18 ............. 0
 *   bits 47 .. 3 of the address      tag
 *
 * The address is one of user space with four-level page tables (below 2^48), of something aligned to 8: then 45 bits say all, and 19 are left for the tag.
 * Addresses above that come only to programs that ask mmap for them, or to those that keep marks in the top byte of a pointer: weft_tagged stops the
 * program then, instead of losing bits.
 *
 * What a tag is good for, and what not: a thread that has read a word and is then held up may find the same word again although it was changed
 * meanwhile (ABA). A change that counts the tag up is noticed, but for one case: exactly a multiple of 2^19 (524288) counted changes while that thread is
 * between its look and its compare-and-swap, and the same pointer in the word just then. That is accepted (Go's stacks accept it with as many bits). Who
 * cannot accept it protects the pointer instead: weft/lf/hazard.h.
 *
 * Progress: wait-free; these are plain computations. A tag of more bits needs a compare-and-swap of two words, which some CPUs do not have and compilers
 * hand to a library with locks in it; this needs neither.
 */
#ifndef WEFT_LF_TAGGED_H
#define WEFT_LF_TAGGED_H

#include <stdint.h>

#define WEFT_TAG_BITS 19
#define WEFT_TAG_MASK (((uint64_t)1 << WEFT_TAG_BITS) - 1)

/* The word of p and the low 19 bits of tag. */
static inline uint64_t weft_tagged(const void *p, uint64_t tag)
{
	uint64_t address = (uint64_t)(uintptr_t)p;

	if (__builtin_expect((address & 7) != 0 || address >> 48 != 0, 0))
		__builtin_trap(); /* not aligned to 8, or beyond 48 bits */
	return address << 16 | (tag & WEFT_TAG_MASK);
}

static inline void *weft_tagged_ptr(uint64_t word)
{
	return (void *)(uintptr_t)(word >> WEFT_TAG_BITS << 3);
}

static inline uint64_t weft_tagged_tag(uint64_t word)
{
	return word & WEFT_TAG_MASK;
}

#endif
