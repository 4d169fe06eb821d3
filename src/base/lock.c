/* SPDX-License-Identifier: MIT
 *
 * lock.c - the slow half of the small lock, and the rank checks of debug builds.
 */
#include "base/lock.h"

#include "base/check.h"
#include "base/config.h"
#include "base/futex.h"

bool weft__lock_careful = true;

__attribute__((constructor(102))) static void choose(void) /* after sanitizer.c has looked */
{
	weft__asym_init();
	weft__lock_careful = !weft__asym_on || (!BUILT_WITH_TSAN && (weft__san & SAN_TSAN));
}

void weft__lock_slow(struct lock *l)
{
	for (int i = 0; i < LOCK_SPINS; i++) {
		uint32_t was = 0;

		if (load_relaxed(&l->held) == 0 && cas_acquire(&l->held, &was, 1u)) /* pairs with lock_drop */
			return;
		cpu_relax();
	}
	add_relaxed(&l->waiters, 1u); /* made visible to the unlocker by asym_heavy */
	asym_heavy();                 /* pairs with asym_light in lock_drop */
	for (;;) {
		uint32_t was = 0;

		if (cas_acquire(&l->held, &was, 1u))
			break;
		weft__futex_wait(&l->held, 1u, INT64_MAX);
	}
	add_relaxed(&l->waiters, (uint32_t)-1); /* too late seen: one futile futex wake */
}

void weft__lock_wake(struct lock *l)
{
	weft__futex_wake(&l->held, 1);
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

		if (rank == RANK_CHAN && top == RANK_CHAN)
			CHECK((uintptr_t)l > (uintptr_t)held[nheld - 1].lock);
		else if (rank == RANK_CTX && top == RANK_CTX)
			; /* downwards: the caller walks the tree */
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
#endif
