/* SPDX-License-Identifier: MIT
 *
 * fd_use.h - how fd.c and fd_op.c change the word that fd.h draws.
 */
#ifndef WEFT_IO_FD_USE_H
#define WEFT_IO_FD_USE_H

#include "io/fd.h"

/* A use of one that is CLOSED has ended: wakes whoever closes, and waits upon the address of f->fd; or closes it in the place of who has gone. f may be another's by now. */
void weft__fd_tell_closer(struct fd *f);

/* Neither reference nor BUSY is left: the record is anybody's. */
void weft__fd_recycle(struct fd *f);

/* As weft__fd_drop, with what weft__fd_hold has given. */
bool weft__fd_drop_held(struct fd *f);

/* Sets and clears bits; returns what it was. */
static inline uint64_t use_change(struct fd *f, uint64_t set, uint64_t clear)
{
	uint64_t was = load_relaxed(&f->use); /* checked by the compare-and-swap */

	while (!solo_cas64(&f->use, &was,
			   (was | set) & ~clear)) /* acquire, release: who closes sees what calls did, and the other way round */
		;
	return was;
}

static inline uint64_t use_add(struct fd *f, uint64_t n)
{
	uint64_t was = load_relaxed(&f->use); /* as above */

	while (!solo_cas64(&f->use, &was, was + n))
		;
	return was + n;
}

static inline bool use_gone(uint64_t use)
{
	return use < FD_REF && !(use & (FD_BUSY(POLL_READ) | FD_BUSY(POLL_WRITE)));
}

/* Takes bits of FD_IN_USE away. */
static inline void use_leave(struct fd *f, uint64_t bits)
{
	if (unlikely(use_change(f, 0, bits) & FD_CLOSED))
		weft__fd_tell_closer(f);
}

#endif
