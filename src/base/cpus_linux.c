/* SPDX-License-Identifier: MIT
 *
 * cpus_linux.c - sched_getaffinity, and the CPU quota of this process's cgroup (version 2, then 1) and of those above it.
 */
#include "base/cpus.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

/* "quota period" of one directory in whole CPUs, rounded up; 0: no limit here. */
static unsigned quota_v2(const char *dir)
{
	char path[512];
	long long quota, period;
	unsigned n = 0;
	FILE *f;

	if ((size_t)snprintf(path, sizeof path, "%s/cpu.max", dir) >= sizeof path)
		return 0;
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0) /* "max 100000" does not scan */
		n = (unsigned)((quota + period - 1) / period);
	fclose(f);
	return n;
}

static long long number(const char *dir, const char *file)
{
	char path[512];
	long long v = -1;
	FILE *f;

	if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, file) >= sizeof path)
		return -1;
	f = fopen(path, "re");
	if (!f)
		return -1;
	if (fscanf(f, "%lld", &v) != 1)
		v = -1;
	fclose(f);
	return v;
}

static unsigned quota_v1(const char *dir)
{
	long long quota = number(dir, "cpu.cfs_quota_us"), period = number(dir, "cpu.cfs_period_us");

	return quota > 0 && period > 0 ? (unsigned)((quota + period - 1) / period) : 0;
}

/* Smallest limit from base + rel up to base. */
static unsigned smallest(const char *base, char *rel, unsigned (*quota)(const char *))
{
	char dir[400];
	unsigned least = 0;

	for (;;) {
		char *slash;
		unsigned q;

		if ((size_t)snprintf(dir, sizeof dir, "%s%s", base, strcmp(rel, "/") ? rel : "") >= sizeof dir)
			return least;
		q = quota(dir);
		if (q && (!least || q < least))
			least = q;
		slash = strrchr(rel, '/');
		if (!slash || rel[0] == '\0')
			return least;
		*slash = '\0';
	}
}

static unsigned cgroup_limit(void)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[400];
	unsigned least = 0;

	if (!f)
		return 0;
	while (fgets(line, sizeof line, f)) {
		char *controllers = strchr(line, ':');
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;
		unsigned q = 0;

		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		controllers++;
		if (!*controllers)
			q = smallest("/sys/fs/cgroup", path, quota_v2);
		else if (strstr(controllers, "cpu") && !strstr(controllers, "cpuset"))
			q = smallest("/sys/fs/cgroup/cpu", path, quota_v1);
		if (q && (!least || q < least))
			least = q;
	}
	fclose(f);
	return least;
}

unsigned weft__cpus(void)
{
	cpu_set_t set;
	unsigned n = 1, limit = cgroup_limit();

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		n = (unsigned)CPU_COUNT(&set);
	if (limit && limit < n)
		n = limit;
	return n ? n : 1;
}
