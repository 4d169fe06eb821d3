/* SPDX-License-Identifier: MIT
 *
 * cpuset.c - lists of CPUs: read and written.
 */
#include "base/cpuset.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

unsigned weft__cpuset_next(const struct cpuset *s, unsigned from)
{
	while (from < CPUS_MAX) {
		uint64_t rest = s->bits[from / 64] >> from % 64;

		if (rest)
			return from + (unsigned)__builtin_ctzll(rest);
		from = (from / 64 + 1) * 64;
	}
	return CPUS_MAX;
}

/* Decimal digits at *at, which moves behind them. -1: there are none, or too many. */
static int number(const char **at)
{
	int v = 0;

	if (**at < '0' || **at > '9')
		return -1;
	for (; **at >= '0' && **at <= '9'; ++*at) {
		v = v * 10 + (**at - '0');
		if (v >= CPUS_MAX)
			return -1;
	}
	return v;
}

static const char *skip_space(const char *at)
{
	return at + strspn(at, " \t\n");
}

int weft__cpuset_parse(const char *list, struct cpuset *out)
{
	const char *at = skip_space(list);

	memset(out, 0, sizeof *out);
	if (!*at)
		return 0;
	for (;;) {
		int from = number(&at), to = from;

		if (*at == '-') {
			at++;
			to = number(&at);
		}
		if (from < 0 || to < from)
			return -EINVAL;
		for (int cpu = from; cpu <= to; cpu++)
			cpuset_add(out, (unsigned)cpu);
		if (*at != ',')
			return *skip_space(at) ? -EINVAL : 0;
		at++;
	}
}

char *weft__cpuset_print(const struct cpuset *s, char *buf, size_t n)
{
	unsigned from = weft__cpuset_next(s, 0), to;
	size_t at = 0;

	buf[0] = '\0';
	for (; from < CPUS_MAX; from = weft__cpuset_next(s, to + 1)) {
		char one[24];
		int len;

		for (to = from; cpuset_has(s, to + 1); to++)
			;
		len = snprintf(one, sizeof one, from == to ? "%s%u" : "%s%u-%u", at ? "," : "", from, to);
		if (at + (size_t)len >= n) {
			at = at < n - 4 ? at : n - 4;
			memcpy(buf + at, "...", 4);
			break;
		}
		memcpy(buf + at, one, (size_t)len + 1);
		at += (size_t)len;
	}
	return buf;
}
