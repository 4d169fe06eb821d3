/* SPDX-License-Identifier: MIT
 *
 * kib.h - memory in kibibytes, from /proc: this process's, and what the system has.
 */
#ifndef WEFT_TEST_KIB_H
#define WEFT_TEST_KIB_H

#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number on a file's line "key: number kB"; -1: there is none. */
static inline long kib_of(const char *file, const char *key)
{
	FILE *f = fopen(file, "r");
	char line[256];
	long kib = -1;

	T_OK(f);
	while (fgets(line, sizeof line, f)) {
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			kib = strtol(line + strlen(key) + 1, NULL, 10);
	}
	fclose(f);
	return kib;
}

static inline long status_kib(const char *key)
{
	return kib_of("/proc/self/status", key);
}

static inline long available_kib(void)
{
	return kib_of("/proc/meminfo", "MemAvailable");
}

#endif
