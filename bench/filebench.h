/* SPDX-License-Identifier: MIT
 *
 * filebench.h - what is read in P58, by weft and by the plain loop: a file of 64 MiB, which the system has in memory when it has been written.
 */
#ifndef FILEBENCH_H
#define FILEBENCH_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES (64 << 20)
#define FILE_PIECE 4096
#define FILE_BLOCK (64 << 10)

/* Makes the file; path ends in XXXXXX. */
static inline void file_make(char *path)
{
	char *block = malloc(FILE_BLOCK);
	int fd = mkstemp(path);

	if (!block || fd < 0) {
		fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	for (int i = 0; i < FILE_BLOCK; i++)
		block[i] = (char)(i * 7 + 1);
	for (int i = 0; i < FILE_BYTES / FILE_BLOCK; i++) {
		if (write(fd, block, FILE_BLOCK) != FILE_BLOCK) {
			fprintf(stderr, "bench: %s: no room for 64 MiB\n", path);
			unlink(path);
			exit(1);
		}
	}
	close(fd);
	free(block);
}

/* Where one of its pieces begins. */
static inline int64_t file_somewhere(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (int64_t)(*seed >> 8) % (FILE_BYTES / FILE_PIECE) * FILE_PIECE;
}

#endif
