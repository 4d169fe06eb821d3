/* SPDX-License-Identifier: MIT
 *
 * dumped.h - what weft_dump writes, as a text, and the part of it that is about one task; and what weft says on standard error. Public calls only.
 */
#ifndef WEFT_TEST_DUMPED_H
#define WEFT_TEST_DUMPED_H

#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <weft/runtime.h>

#define NO_TAIL_CALL() __asm__ volatile("") /* after a call: the caller's frame must be there to be seen */

/* All that was written to fd. */
static inline char *text_of(int fd)
{
	off_t n = lseek(fd, 0, SEEK_END);
	char *text = malloc((size_t)n + 1);

	T_OK(text && pread(fd, text, (size_t)n, 0) == n);
	text[n] = 0;
	return text;
}

static inline int sheet(void)
{
	int fd = memfd_create("dump", 0);

	T_OK(fd >= 0);
	return fd;
}

static inline char *dumped(void)
{
	int fd = sheet();
	char *text;

	T_EQ(weft_dump(fd), 0);
	text = text_of(fd);
	close(fd);
	return text;
}

/* Standard error goes to a sheet, until heard_text, which returns what was said. text_of(heard): what was said up to now. */
static int heard = -1, heard__stderr;

static inline void hear(void)
{
	heard = sheet();
	heard__stderr = dup(STDERR_FILENO);
	T_OK(heard__stderr >= 0 && dup2(heard, STDERR_FILENO) >= 0);
}

static inline char *heard_text(void)
{
	char *text;

	dup2(heard__stderr, STDERR_FILENO);
	close(heard__stderr);
	text = text_of(heard);
	close(heard);
	tap_note("%s", text);
	return text;
}

/* The lines about the task whose head contains `who`: its head and its frames. Static buffer. */
static inline const char *part_of(const char *text, const char *who)
{
	static char part[16384];
	const char *line = strstr(text, who), *end;

	if (!line) {
		tap_note("%s", text);
		T_FAIL("no task with \"%s\"", who);
	}
	while (line > text && line[-1] != '\n')
		line--;
	end = strchr(line, '\n');
	while (end && strncmp(end + 1, "    ", 4) == 0)
		end = strchr(end + 1, '\n');
	snprintf(part, sizeof part, "%.*s", end ? (int)(end - line) : (int)strlen(line), line);
	return part;
}

static inline int count_of(const char *text, const char *what)
{
	int n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

#endif
