/* SPDX-License-Identifier: MIT
 *
 * weft/lf/seqlock.h - a small record that is read far more often than written: readers write nothing, and look again if somebody wrote meanwhile.
 *
 *	struct weft_seqlock lock;
 *	weft_seqlock_word words[WEFT_SEQLOCK_WORDS(struct point)];
 *
 *	weft_seqlock_write(&lock, words, &point, sizeof point);      one writer
 *	weft_seqlock_update(&lock, words, &point, sizeof point);     one of several
 *	weft_seqlock_read(&lock, words, &copy, sizeof copy);         anyone
 *
 *   seq   even: the record is whole; odd: a writer is at it. Stored by the one writer; or moved to odd by compare-and-swap among several
 *
 * The record is copied word by word through atomics, so that reading it while it is written is no data race, and what is torn is thrown away. It must be
 * plain bytes without padding that matters, and no pointer in it may be followed before the copy is known to be whole. 2^63 writes during one read
 * would fool the reader.
 *
 * Progress: weft_seqlock_write and weft_seqlock_try_read are wait-free. weft_seqlock_read is blocking: a writer that stops in the middle stops readers,
 * and writers without pause starve them. weft_seqlock_update is blocking: writers wait for each other. So a writer must not give up its thread
 * between begin and end: in a task no blocking call, no yield. Waiting loops spin; pass through weft_seqlock_try_read to do something else.
 *
 * Threads: any number of readers; one writer at a time with weft_seqlock_write (a lock of the caller's counts), any number with weft_seqlock_update;
 * never both kinds at once. Memory: the caller's; zeroed memory is a valid lock, and a record of zeros.
 *
 * Source: H.-J. Boehm, "Can seqlocks get along with programming language memory models?" (MSPC 2012). Changed: where Boehm puts a fence between the
 * record and the second look (or first look and record), each word is loaded with acquire and stored with release. It costs nothing on x86, about
 * what the fence costs on ARM for the few words this is for, and ThreadSanitizer, which does not see fences, understands it.
 *
 * Model: test/model/seqlock.cpp.
 */
#ifndef WEFT_LF_SEQLOCK_H
#define WEFT_LF_SEQLOCK_H

#include "atomic.h"
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef WEFT_ATOMIC(uintptr_t) weft_seqlock_word;

/* How many words hold a T. */
#define WEFT_SEQLOCK_WORDS(T) ((sizeof(T) + sizeof(uintptr_t) - 1) / sizeof(uintptr_t))

struct weft_seqlock {
	WEFT_ATOMIC(uint64_t) seq;
};

/* No other thread knows l yet. */
static inline void weft_seqlock_init(struct weft_seqlock *l)
{
	weft_store_relaxed(&l->seq, (uint64_t)0); /* not shared yet */
}

/* --- The record, word by word ----------------------------------------------------------------------------------------------- */

/* Between begin and end of a write. */
static inline void weft_seqlock_put(weft_seqlock_word *to, const void *from, size_t size)
{
	const char *bytes = (const char *)from;

	for (; size > 0; to++) {
		size_t n = size < sizeof(uintptr_t) ? size : sizeof(uintptr_t);
		uintptr_t w = 0;

		memcpy(&w, bytes, n);
		/* who reads this word sees the odd sequence, too; pairs with load_acquire in weft_seqlock_get */
		weft_store_release(to, w);
		bytes += n;
		size -= n;
	}
}

/* Between begin and retry of a read. */
static inline void weft_seqlock_get(void *to, weft_seqlock_word *from, size_t size)
{
	char *bytes = (char *)to;

	for (; size > 0; from++) {
		size_t n = size < sizeof(uintptr_t) ? size : sizeof(uintptr_t);
		/* comes before the second look at the sequence; pairs with store_release in weft_seqlock_put */
		uintptr_t w = weft_load_acquire(from);

		memcpy(bytes, &w, n);
		bytes += n;
		size -= n;
	}
}

/* --- Writers ---------------------------------------------------------------------------------------------------------------- */

/* The only writer. */
static inline void weft_seqlock_write_begin(struct weft_seqlock *l)
{
	weft_store_relaxed(&l->seq, weft_load_relaxed(&l->seq) + 1); /* ours; made visible by every word that follows */
}

static inline void weft_seqlock_write_end(struct weft_seqlock *l)
{
	weft_store_release(&l->seq, weft_load_relaxed(&l->seq) + 1); /* pairs with load_acquire in weft_seqlock_read_begin */
}

/* One of several writers. False: another one is at it. weft_seqlock_write_end ends it. */
static inline bool weft_seqlock_try_begin(struct weft_seqlock *l)
{
	uint64_t s = weft_load_relaxed(&l->seq); /* checked by the compare-and-swap */

	/* acquire: our words come after those of the writer before us; pairs with store_release in weft_seqlock_write_end */
	return s % 2 == 0 && weft_cas_acquire(&l->seq, &s, s + 1);
}

/* Replaces the record by the `size` bytes at from. The only writer. Wait-free. */
static inline void weft_seqlock_write(struct weft_seqlock *l, weft_seqlock_word *words, const void *from, size_t size)
{
	weft_seqlock_write_begin(l);
	weft_seqlock_put(words, from, size);
	weft_seqlock_write_end(l);
}

/* The same for one of several writers. Waits, spinning, for another that is at it. */
static inline void weft_seqlock_update(struct weft_seqlock *l, weft_seqlock_word *words, const void *from, size_t size)
{
	while (!weft_seqlock_try_begin(l))
		weft_cpu_relax();
	weft_seqlock_put(words, from, size);
	weft_seqlock_write_end(l);
}

/* --- Readers ---------------------------------------------------------------------------------------------------------------- */

/* The sequence to hand to weft_seqlock_read_retry; odd: a writer is at it, and the read will fail. */
static inline uint64_t weft_seqlock_read_begin(struct weft_seqlock *l)
{
	return weft_load_acquire(
		&l->seq); /* the record of this sequence, or a later one; pairs with store_release in weft_seqlock_write_end */
}

/* Whether what was read since `began` must be thrown away. */
static inline bool weft_seqlock_read_retry(struct weft_seqlock *l, uint64_t began)
{
	return began % 2 != 0 || weft_load_relaxed(&l->seq) != began; /* after the words, which were acquired */
}

/* Copies the record to `to`; false: somebody wrote meanwhile, and what lies there is nothing. Wait-free. */
static inline bool weft_seqlock_try_read(struct weft_seqlock *l, weft_seqlock_word *words, void *to, size_t size)
{
	uint64_t began = weft_seqlock_read_begin(l);

	if (began % 2 != 0)
		return false;
	weft_seqlock_get(to, words, size);
	return !weft_seqlock_read_retry(l, began);
}

/* Copies a whole record to `to`; spins while somebody writes. */
static inline void weft_seqlock_read(struct weft_seqlock *l, weft_seqlock_word *words, void *to, size_t size)
{
	while (!weft_seqlock_try_read(l, words, to, size))
		weft_cpu_relax();
}

#endif
