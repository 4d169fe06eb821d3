/* SPDX-License-Identifier: MIT
 *
 * spawn.h - starts a process: files and pipes, vfork, exec, and what went wrong in between.
 */
#ifndef WEFT_IO_SPAWN_H
#define WEFT_IO_SPAWN_H

#include "base/compiler.h"
#include "weft/process.h"

struct spawned {
	pid_t pid;
	int pidfd;   /* -1: the system has none, or no descriptor is left */
	int ends[3]; /* ours of the pipes, non-blocking and above 2; -1: none */
};

/* Blocks its thread. Returns 0 or a negative code, and then nothing is left. */
int weft__spawn(const weft_proc_opts *o, struct spawned *out);

/* For tests: do as if the system had no pidfd. */
extern HIDDEN bool weft__spawn_no_pidfd;

#endif
