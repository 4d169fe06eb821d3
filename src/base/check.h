/* SPDX-License-Identifier: MIT
 *
 * check.h - asserts that print the values they saw, and the fatal error of a user's mistake.
 *
 *   CHECK(x)            a broken invariant of weft: always on, cheap
 *   CHECK_EQ(a, b)      the same, printing both values (integers)
 *   DCHECK(x)           debug builds only; may be slow
 *   weft__fatal(...)    misuse that cannot be returned as an error code (features R6): says what the caller did, shows the
 *                       task and its stack, aborts
 */
#ifndef WEFT_BASE_CHECK_H
#define WEFT_BASE_CHECK_H

#include "base/compiler.h"

COLD NORETURN void weft__check_failed(const char *file, int line, const char *expr);
COLD NORETURN void weft__check_eq_failed(const char *file, int line, const char *expr, long long a, long long b);
COLD NORETURN void weft__fatal(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Writes a line to standard error with one write(2); safe in signal handlers. */
COLD void weft__log(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Set by debug/: prints the calling task and its stack before weft__fatal aborts. NULL until the runtime is up. */
extern HIDDEN void (*weft__fatal_hook)(void);

#define CHECK(x)                                                    \
	do {                                                        \
		if (unlikely(!(x)))                                 \
			weft__check_failed(__FILE__, __LINE__, #x); \
	} while (0)

#define CHECK_EQ(a, b)                                                                               \
	do {                                                                                         \
		long long check_a_ = (long long)(a), check_b_ = (long long)(b);                      \
		if (unlikely(check_a_ != check_b_))                                                  \
			weft__check_eq_failed(__FILE__, __LINE__, #a " == " #b, check_a_, check_b_); \
	} while (0)

#ifdef WEFT_DEBUG
#define DCHECK(x) CHECK(x)
#else
#define DCHECK(x) ((void)sizeof(!(x)))
#endif

#endif
