/* SPDX-License-Identifier: MIT
 *
 * spin.c - the small lock (base/lock.h) for users: a worker waits for it as a thread does. Debug builds note who holds which; parking with one is a fatal error (core/sched.h).
 */
#include "base/check.h"
#include "core/runtime.h"
#include "weft/lock.h"

_Static_assert(sizeof(weft_spin) == sizeof(struct lock), "a spin lock is a small lock");

static inline struct lock *lock_of(weft_spin *s)
{
	return (struct lock *)s;
}

#ifdef WEFT_DEBUG
static void check(weft_spin *s, bool held, const char *call)
{
	if (weft__lock_held(lock_of(s)) != held)
		weft__fatal("%s: the caller %s the spin lock %p", call, held ? "does not hold" : "holds", (void *)s);
}
#else
#define check(s, held, call) ((void)0)
#endif

void weft_spin_lock(weft_spin *s)
{
	(void)weft__worker(); /* before anything elided: see base/solo.h */
	check(s, false, "weft_spin_lock");
	lock_take_solo(lock_of(s), RANK_SPIN);
}

int weft_spin_trylock(weft_spin *s)
{
	uint32_t was = LOCK_FREE;

	(void)weft__worker();                                /* as above */
	if (!solo_cas32(&lock_of(s)->word, &was, LOCK_HELD)) /* pairs with the swap in lock_drop_solo */
		return WEFT_EAGAIN;
	san_acquire(s);
	lock_note_taken(lock_of(s), RANK_SPIN);
	return 0;
}

void weft_spin_unlock(weft_spin *s)
{
	check(s, true, "weft_spin_unlock");
	lock_drop_solo(lock_of(s));
}
