/* SPDX-License-Identifier: MIT
 *
 * errors.c - messages that do not fit their arguments, each with a part of what the compiler says about it. Case 0 must compile.
 *
 * Compiled with -Werror=format.
 */
#include <weft.h>

#ifndef CASE
#define CASE 0
#endif

weft_err *make(const char *path, long n, weft_err *cause);

weft_err *make(const char *path, long n, weft_err *cause)
{
	/* CASE 1: expects argument of type | specifies type */
#if CASE == 1
	return weft_err_new(WEFT_ENOENT, "open %d", path);
	/* CASE 2: expects argument of type | specifies type */
#elif CASE == 2
	return weft_err_wrap(cause, 0, "try %s", n);
	/* CASE 3: expects a matching | more '%' conversions */
#elif CASE == 3
	return weft_err_wrap(cause, 0, "open %s %ld", path);
#else
	WEFT_ERR_TRY(weft_err_new(WEFT_ENOENT, "open %s, try %ld", path, n));
	WEFT_ERR_TRY(weft_err_of(WEFT_ENOENT));
	return weft_err_wrap(cause, 0, "open %s, try %ld", path, n);
#endif
}
