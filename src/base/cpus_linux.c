/* SPDX-License-Identifier: MIT
 *
 * cpus_linux.c - sched_getaffinity, and the CPU quota of this process's cgroup (version 2, then 1) and of those above it; which CPUs a
 * thread may use, and where it runs.
 *
 * The files stay open and are read at their beginning each time: a look is a few system calls, and no path is walked. The list of groups is read again, too; when it is another one, all is opened anew.
 */
#include "base/cpus.h"

#include "base/cpuset.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cpus_where weft__cpus_where = {"/proc/self/cgroup", "/sys/fs/cgroup", "/sys/fs/cgroup/cpu"};

static int open_for(struct cpus *c, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	c->lacks |= fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM);
	return fd;
}

static int open_in(struct cpus *c, const char *dir, const char *file)
{
	char path[512];

	if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, file) >= sizeof path)
		return -1;
	return open_for(c, path);
}

/* What a file says now, ended by a zero. Returns its length; 0 if nothing. */
static size_t text(int fd, char *buf, size_t size)
{
	size_t n = 0;
	ssize_t got = 1;

	while (fd >= 0 && n + 1 < size && got > 0) {
		got = pread(fd, buf + n, size - 1 - n, (off_t)n);
		if (got > 0)
			n += (size_t)got;
	}
	buf[n] = '\0';
	return n;
}

/* One level in whole CPUs, rounded up; 0: no limit here. */
static unsigned limit_of(int quota_fd, int period_fd)
{
	char buf[64], *end;
	long long quota, period;

	if (!text(quota_fd, buf, sizeof buf))
		return 0;
	quota = strtoll(buf, &end, 10); /* "max 100000" has none */
	if (period_fd >= 0) {
		if (!text(period_fd, buf, sizeof buf))
			return 0;
		end = buf;
	}
	period = strtoll(end, NULL, 10);
	if (quota <= 0 || period <= 0)
		return 0;
	return quota / period >= INT32_MAX ? 0 : (unsigned)((quota + period - 1) / period);
}

static void level_open(struct cpus *c, const char *dir, bool v2)
{
	int quota, period = -1;

	if (c->n == CPUS_LEVELS_MAX)
		return;
	quota = open_in(c, dir, v2 ? "cpu.max" : "cpu.cfs_quota_us");
	if (quota < 0)
		return;
	if (!v2) {
		period = open_in(c, dir, "cpu.cfs_period_us");
		if (period < 0) {
			close(quota);
			return;
		}
	}
	c->level[c->n].quota = quota;
	c->level[c->n++].period = period;
}

/* From base + rel up to base. rel is cut off. */
static void levels_open(struct cpus *c, const char *base, char *rel, bool v2)
{
	char dir[400];

	for (;;) {
		char *slash;

		if ((size_t)snprintf(dir, sizeof dir, "%s%s", base, strcmp(rel, "/") ? rel : "") >= sizeof dir)
			return;
		level_open(c, dir, v2);
		slash = strrchr(rel, '/');
		if (!slash || rel[0] == '\0')
			return;
		*slash = '\0';
	}
}

/* Is "cpu" one of them? They have commas between them. */
static bool has_cpu(const char *controllers)
{
	for (const char *at = controllers; *at; at += strspn(at, ",")) {
		size_t n = strcspn(at, ",");

		if (n == 3 && memcmp(at, "cpu", 3) == 0)
			return true;
		at += n;
	}
	return false;
}

/* One line of the list of groups: number:controllers:path; no controllers: version 2. */
static void line_open(struct cpus *c, char *line)
{
	char *controllers = strchr(line, ':');
	char *path = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!path)
		return;
	*path++ = '\0';
	controllers++;
	if (!*controllers)
		levels_open(c, weft__cpus_where.v2, path, true);
	else if (has_cpu(controllers))
		levels_open(c, weft__cpus_where.v1, path, false);
}

static void levels_close(struct cpus *c)
{
	for (int i = 0; i < c->n; i++) {
		close(c->level[i].quota);
		if (c->level[i].period >= 0)
			close(c->level[i].period);
	}
	c->n = 0;
}

/* FNV-1a. */
static uint64_t hash(const char *s)
{
	uint64_t h = 14695981039346656037u;

	while (*s)
		h = (h ^ (unsigned char)*s++) * 1099511628211u;
	return h;
}

/* Opens what the list of groups names, if that is not what it named last. */
static void groups(struct cpus *c)
{
	char buf[4096], *line, *rest;
	uint64_t now;

	text(c->self, buf, sizeof buf);
	now = hash(buf);
	if (now == c->seen)
		return;
	levels_close(c);
	c->seen = now;
	for (line = strtok_r(buf, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		line_open(c, line);
}

void weft__cpus_open(struct cpus *c)
{
	*c = (struct cpus){.n = 0};
	c->self = open_for(c, weft__cpus_where.self);
}

unsigned weft__cpus_limit(struct cpus *c, unsigned n)
{
	groups(c);
	for (int i = 0; i < c->n; i++) {
		unsigned limit = limit_of(c->level[i].quota, c->level[i].period);

		if (limit && limit < n)
			n = limit;
	}
	return n ? n : 1;
}

unsigned weft__cpus_read(struct cpus *c)
{
	struct cpuset set;

	return weft__cpus_limit(c, weft__cpuset_get(&set) == 0 ? cpuset_count(&set) : 1);
}

void weft__cpus_close(struct cpus *c)
{
	levels_close(c);
	if (c->self >= 0)
		close(c->self);
	c->self = -1;
}

unsigned weft__cpus_of(unsigned most)
{
	struct cpus c;
	unsigned n;

	weft__cpus_open(&c);
	n = most ? weft__cpus_limit(&c, most) : weft__cpus_read(&c);
	weft__cpus_close(&c);
	return n;
}

unsigned weft__cpus(void)
{
	return weft__cpus_of(0);
}

int weft__cpuset_get(struct cpuset *out)
{
	memset(out, 0, sizeof *out); /* the system writes no more than it has */
	return sched_getaffinity(0, sizeof *out, (cpu_set_t *)(void *)out) == 0 ? 0 : -errno;
}

int weft__cpuset_bind(const struct cpuset *s)
{
	return sched_setaffinity(0, sizeof *s, (const cpu_set_t *)(const void *)s) == 0 ? 0 : -errno;
}

int weft__cpu_here(void)
{
	return sched_getcpu(); /* of glibc 2.35 on a look at what the kernel keeps up to date (rseq) */
}
