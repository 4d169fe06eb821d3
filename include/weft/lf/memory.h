/* SPDX-License-Identifier: MIT
 *
 * weft/lf/memory.h - what the structures of weft/lf share: where memory comes from, sizes that are powers of two, functions made by macros.
 *
 *   weft_lf_new(T)          a T, aligned to a pair of cache lines, not initialised; NULL: none left
 *   weft_lf_alloc(n)        n bytes, likewise
 *   weft_lf_free(p)         gives either back; NULL is nothing
 *   WEFT_LF_FN              how a function begins that a macro defines for the user: that some are not used is no reason to warn
 *   WEFT_LF_SLOW            the same of one that is seldom called
 *   WEFT_LF_POW2(n)         the smallest power of two, at least 2, that is not less than n (at least 1); a constant if n is
 *
 * Whoever wants the memory from elsewhere defines weft_lf_new, weft_lf_alloc and weft_lf_free first, all three.
 */
#ifndef WEFT_LF_MEMORY_H
#define WEFT_LF_MEMORY_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define WEFT_LF_FN static inline __attribute__((unused))
#define WEFT_LF_SLOW static __attribute__((noinline, unused))
#define WEFT_LF_POW2(n) ((size_t)2 << (63 - __builtin_clzll(((unsigned long long)(n)-1) | 1)))

#ifndef weft_lf_new
#define weft_lf_new(T) ((T *)weft__lf_alloc(sizeof(T)))
#define weft_lf_alloc(n) weft__lf_alloc(n)
#define weft_lf_free(p) free(p)

static inline void *weft__lf_alloc(size_t n)
{
	void *p = NULL;

	return posix_memalign(&p, 128, n) == 0 ? p : NULL;
}
#endif

/* Copies an element: the usual size by a move, others by memcpy. (The empty asm keeps a compiler from warning of the branch that is not taken.) */
static inline void weft__lf_copy(void *to, const void *from, size_t n)
{
	__asm__("" : "+r"(to), "+r"(from));
	if (n == 8)
		memcpy(to, from, 8);
	else
		memcpy(to, from, n);
}

#endif
