/* SPDX-License-Identifier: MIT
 *
 * check.c - how weft dies: one line that says what was seen, the stacks when they can be had, abort.
 *
 * Everything here formats into a buffer on the stack and calls write(2) once, so that it works in a signal handler and with
 * stdio's locks held by somebody else.
 */
#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void (*weft__fatal_hook)(void);

static void emit(const char *prefix, const char *fmt, va_list ap)
{
	char line[512];
	int n = snprintf(line, sizeof line, "%s", prefix);
	int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);

	n += m < 0 ? 0 : m;
	if (n > (int)sizeof line - 2)
		n = (int)sizeof line - 2;
	line[n++] = '\n';
	for (int off = 0; off < n;) {
		ssize_t w = write(STDERR_FILENO, line + off, (size_t)(n - off));

		if (w <= 0)
			break;
		off += (int)w;
	}
}

void weft__log(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit("weft: ", fmt, ap);
	va_end(ap);
}

static NORETURN void die(void)
{
	static int dying;

	if (weft__fatal_hook && !__atomic_exchange_n(&dying, 1, __ATOMIC_RELAXED))
		weft__fatal_hook();
	abort();
}

void weft__check_failed(const char *file, int line, const char *expr)
{
	weft__log("broken invariant at %s:%d: %s", file, line, expr);
	die();
}

void weft__check_eq_failed(const char *file, int line, const char *expr, long long a, long long b)
{
	weft__log("broken invariant at %s:%d: %s (%lld against %lld)", file, line, expr, a, b);
	die();
}

void weft__fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit("weft: fatal: ", fmt, ap);
	va_end(ap);
	die();
}
