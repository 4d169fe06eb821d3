/* SPDX-License-Identifier: MIT
 *
 * peek.h - reads memory of this process that may change or vanish at any moment.
 *
 * Dumps look at records, names and stacks of tasks that run on meanwhile.  The kernel does the reading (process_vm_readv on our own pid; where that
 * is refused, a write into a pipe), so that memory which is unmapped in between is a short count and not a fault, and the sanitizers,
 * which would rightly call it a race, see nothing.  What was read may be torn: the reader checks, afterwards, a word that says so.
 */
#ifndef WEFT_DEBUG_PEEK_H
#define WEFT_DEBUG_PEEK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peek {
	bool by_pipe; /* process_vm_readv was refused */
	bool blind;   /* and so was the pipe: nothing can be read */
	int fd[2];    /* the pipe; -1 until it is needed */
};

void weft__peek_open(struct peek *p);
void weft__peek_close(struct peek *p);

/* Copies n bytes at `from` to `to`. Returns how many could be read, from the start. errno stays. Async-signal-safe. */
size_t weft__peek(struct peek *p, const void *from, void *to, size_t n);

static inline bool peek_all(struct peek *p, const void *from, void *to, size_t n)
{
	return weft__peek(p, from, to, n) == n;
}

/* A string of at most n - 1 bytes, made printable. False if nothing could be read. */
bool weft__peek_text(struct peek *p, const char *from, char *to, size_t n);

#endif
