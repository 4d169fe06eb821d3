/* SPDX-License-Identifier: MIT
 *
 * proc.h - what the kernel counts for this process, and for a server's: memory, context switches, CPU time (Linux).
 */
#ifndef BENCH_PROC_H
#define BENCH_PROC_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Sum of the figures in a status file's lines that contain `key`; 0 when it cannot be read. */
static inline double proc_line(const char *path, const char *key)
{
	FILE *f = fopen(path, "r");
	char line[256];
	double sum = 0;

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, key))
			sum += strtod(strchr(line, ':') + 1, NULL);
	}
	fclose(f);
	return sum;
}

/* Bytes resident, and bytes of page tables. */
static inline double proc_resident(void)
{
	return 1024 * proc_line("/proc/self/status", "VmRSS:");
}

static inline double proc_tables(void)
{
	return 1024 * proc_line("/proc/self/status", "VmPTE:");
}

/* Context switches, voluntary or not, of all threads of the process but thread `but`. */
static inline double proc_switches(int but)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	double sum = 0;

	while (d && (e = readdir(d))) {
		char path[300];

		if (e->d_name[0] == '.' || atoi(e->d_name) == but)
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
		sum += proc_line(path, "ctxt_switches:");
	}
	if (d)
		closedir(d);
	return sum;
}

/* Microseconds of CPU time of the whole process, user and system. */
static inline double proc_cpu(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return 1e6 * (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) + (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

/* Nanoseconds of CPU time that all threads of a process have used; ends this one if there is no such process. */
static inline double proc_cpu_of(int pid)
{
	char path[300], line[512];
	struct dirent *e;
	double sum = 0;
	FILE *f;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	if (!d) {
		fprintf(stderr, "no process %d\n", pid);
		exit(1);
	}
	while ((e = readdir(d))) {
		unsigned long user, sys;
		double ns;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, e->d_name);
		f = fopen(path, "r");
		if (f && fscanf(f, "%lf", &ns) == 1) {
			sum += ns;
		} else { /* a kernel without scheduler statistics: clock ticks */
			if (f)
				fclose(f);
			snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", pid, e->d_name);
			f = fopen(path, "r");
			if (f && fgets(line, sizeof(line), f) && strrchr(line, ')') &&
			    sscanf(strrchr(line, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) == 2)
				sum += (double)(user + sys) * 1e9 / (double)sysconf(_SC_CLK_TCK);
		}
		if (f)
			fclose(f);
	}
	closedir(d);
	return sum;
}

#endif
