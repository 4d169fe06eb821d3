/* SPDX-License-Identifier: MIT
 *
 * recslab.h - type-stable memory for task records: slabs of RECORD_SIZE bytes, numbered, never unmapped.
 *
 * A record's wait word (core/waitword.h) never goes backwards, whatever becomes of its slab: a claim of an old wait may come at any time later,
 * finds memory there, and fails.  Caches of free records are the workers' own.
 */
#ifndef WEFT_CORE_RECSLAB_H
#define WEFT_CORE_RECSLAB_H

#include "base/config.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_SIZE 256

/* Where in a record lie its 64-bit wait word (sequence << 8 | state) and a pointer that is the pool's while the record is free.
 * Once, before the rest; repeating it with the same values does nothing.  Returns 0, or -EINVAL if the values changed. */
int weft__rec_init(size_t wait_offset, size_t link_offset);

/* 1..n records into out; returns how many, or -ENOMEM.  A record that was never used is zeroed but for the wait word; another may be zeroed too, or as it
 * was put back but for the link.  The wait word is closed, its sequence not lower than it ever was, and above 0. Any thread. */
int weft__rec_get_batch(void **out, int n);
void weft__rec_put_batch(void **recs, int n);

/* Makes room for n records near the caller, or none: what is not free already is mapped in one piece, and not touched but for a page in RECORD_SLAB_SIZE. They are nobody's yet: others may take them. Returns 0; or -ENOMEM: it
 * cannot be mapped, or is more than the machine has (swap included). Any thread. */
int weft__rec_room(size_t n);

enum rec_decay { REC_DECAY_DONE = 0, REC_DECAY_LATER = 1 };

/* Ends an interval of the decaying watermark: gives back the memory of slabs all free that neither this interval nor the one before needed.
 * REC_DECAY_LATER: a slab all free still has memory. Any thread. */
enum rec_decay weft__rec_decay(void);

/* Gives back the memory of all slabs that are all free, at once. Any thread. */
void weft__rec_trim(void);

/* Calls fn for every record that was handed out since its slab last gave back its memory, in use or not, until fn returns false.
 * No lock is taken: records come and go meanwhile, fn reads them through atomics and may see one zeroed. Async-signal-safe if fn is. */
void weft__rec_foreach(bool (*fn)(void *rec, void *arg), void *arg);

/* The same by parts: the next n or fewer, from number `from` on (0: the first). Returns the number to go on from; 0: those were all, or fn has returned false. */
uint32_t weft__rec_walk(uint32_t from, uint32_t n, bool (*fn)(void *rec, void *arg), void *arg);
uint32_t weft__rec_numbers(void); /* all records' are lower */

/* Dense numbers, 0 is no record's. weft__rec_at: the record, in use or not; NULL for a number that no slab has. Any thread, no lock. */
static inline uint32_t rec_index(const void *rec)
{
	uintptr_t at = (uintptr_t)rec & (RECORD_SLAB_SIZE - 1);
	const uint32_t *number = (const uint32_t *)((uintptr_t)rec - at); /* the slab's, first in its head */

	return *number * (RECORD_SLAB_SIZE / RECORD_SIZE) + (uint32_t)(at / RECORD_SIZE);
}
void *weft__rec_at(uint32_t index);

/* The node whose pool a record is of (core/node.h). Any thread. */
unsigned weft__rec_node(const void *rec);

struct rec_stats {
	size_t slabs;          /* mapped */
	size_t empty;          /* of these, memory given back */
	size_t records_in_use; /* out of the pool: tasks, or in workers' caches */
};
void weft__rec_stats(struct rec_stats *out);

#endif
