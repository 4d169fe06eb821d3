/* SPDX-License-Identifier: MIT
 *
 * lock.c - the slow half of the small lock, and the rank checks of debug builds.
 */
#include "base/lock.h"

#include "base/check.h"
#include "base/config.h"
#include "base/futex.h"
#include "weft/lf/backoff.h"

/* Whoever waits keeps its hands off for a while, and longer the next time: each look takes the line from the holder, which meanwhile takes and drops the lock many times over. */
void weft__lock_slow(struct lock *l)
{
	struct weft_lf_backoff b = WEFT_LF_BACKOFF(LOCK_PAUSE, LOCK_PAUSE_MAX, LOCK_SPINS);

	while (weft_lf_backoff_spin(&b)) {
		uint32_t was = LOCK_FREE;

		if (load_relaxed(&l->word) == LOCK_FREE &&
		    cas_acquire(&l->word, &was, LOCK_HELD)) /* pairs with swap_release in lock_drop */
			return;
	}
	while (swap_acquire(&l->word, LOCK_WAITED) != LOCK_FREE) /* the same; having slept, we cannot know whether others still do */
		weft__futex_wait(&l->word, LOCK_WAITED, INT64_MAX);
}

void weft__lock_wake(struct lock *l)
{
	weft__futex_wake(&l->word, 1);
}

#ifdef WEFT_DEBUG
#define HELD_MAX 64

/* Written and read by one thread only; a lock is never held across a switch, so the thread is the right owner. */
static __thread struct {
	struct lock *lock;
	enum lock_rank rank;
} held[HELD_MAX];
static __thread int nheld;     /* entries of held[] in use */
static __thread int noverflow; /* locks beyond HELD_MAX (a select over very many channels): counted, not checked */

NOINLINE void weft__lock_note_taken(struct lock *l, enum lock_rank rank)
{
	if (nheld > 0) {
		enum lock_rank top = held[nheld - 1].rank;

		if ((rank == RANK_CHAN || rank == RANK_ACTOR) && top == rank)
			CHECK((uintptr_t)l > (uintptr_t)held[nheld - 1].lock);
		else if (rank == RANK_CTX && top == RANK_CTX)
			; /* downwards: the caller walks the tree */
		else if (rank == RANK_SPIN && top == RANK_SPIN)
			; /* their own business */
		else
			CHECK(rank > top);
	}
	if (nheld == HELD_MAX) {
		noverflow++;
		return;
	}
	held[nheld].lock = l;
	held[nheld].rank = rank;
	nheld++;
}

NOINLINE void weft__lock_note_freed(struct lock *l)
{
	for (int i = nheld - 1; i >= 0; i--) {
		if (held[i].lock == l) {
			for (int j = i; j + 1 < nheld; j++)
				held[j] = held[j + 1];
			nheld--;
			return;
		}
	}
	CHECK(noverflow > 0);
	noverflow--;
}

NOINLINE int weft__locks_held(void)
{
	return nheld + noverflow;
}

NOINLINE bool weft__lock_held(struct lock *l)
{
	for (int i = 0; i < nheld; i++) {
		if (held[i].lock == l)
			return true;
	}
	return false;
}

NOINLINE void weft__locks_none(void)
{
	for (int i = 0; i < nheld; i++) {
		if (held[i].rank == RANK_SPIN)
			weft__fatal("a task parks, or a thread sleeps in weft, while it holds the spin lock %p", (void *)held[i].lock);
	}
	CHECK_EQ(weft__locks_held(), 0);
}
#endif
