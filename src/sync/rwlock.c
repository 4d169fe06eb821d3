/* SPDX-License-Identifier: MIT
 *
 * rwlock.c - a reader-writer lock of 8 bytes, served in the order of coming.
 *
 *   weft__state  WRITER    one writes                            weft__owner  record index of the writer while WRITER
 *                WAITERS   somebody may wait in the lot bucket
 *                READER    times how many read
 *
 * Without WAITERS locking and unlocking are one read-modify-write each.  While it is set the state changes under the bucket's lock only, and whoever leaves lets in those who are
 * next in line: one writer, or all readers up to the next writer.  They own it when they are woken.  Who comes meanwhile stands behind them, so neither kind starves.
 * A writer that has failed poisons it, as a mutex (mutex.c). Who has read is not known: of a reader that has failed it stays read for ever.
 * Law: with the bucket unlocked, who is listed is listed while WAITERS is set, and the first cannot get in, or has given up and will let others in.
 */
#include "base/check.h"
#include "core/lot.h"
#include "core/recslab.h"
#include "core/runtime.h"
#include "sync/mutex.h"
#include "sync/poison.h"

#define WRITER 1u
#define WAITERS 2u
#define READER 4u

_Static_assert(sizeof(weft_rwlock) == 8, "a reader-writer lock is 8 bytes");

struct rwlock_ask {
	struct lot_ask ask;
	bool write;
	bool poisoned;
};

static inline ATOMIC(uint32_t) *state_of(weft_rwlock *l)
{
	return (ATOMIC(uint32_t) *)&l->weft__state;
}

static inline ATOMIC(uint32_t) *owner_of(weft_rwlock *l)
{
	return (ATOMIC(uint32_t) *)&l->weft__owner;
}

static inline bool writes(weft_rwlock *l, uint32_t state, struct weft_task *t)
{
	return (state & WRITER) && t && load_relaxed(owner_of(l)) == rec_index(t); /* only the owner itself can match */
}

static inline void set_writer(weft_rwlock *l, struct weft_task *t)
{
	store_relaxed(owner_of(l), rec_index(t)); /* read by the owner itself, for reports, or once that has failed */
	task_holds(t);
}

/* As of a mutex. */
static bool poisoned(weft_rwlock *l)
{
	return (load_relaxed(state_of(l)) & WRITER) && lock_fell(owner_of(l)); /* as there */
}

/* What the state becomes when one more gets in, were nobody in line; 0: it cannot. */
static inline uint32_t with_one(uint32_t was, bool write)
{
	uint32_t held = was & ~WAITERS;

	if (write)
		return held ? 0 : WRITER;
	return held & WRITER ? 0 : held + READER;
}

static inline bool get_in(weft_rwlock *l, bool write, struct weft_task *t)
{
	uint32_t was = 0, next; /* a guess */

	while (!(was & WAITERS) && (next = with_one(was, write)) != 0) {
		if (solo_cas32(state_of(l), &was, next)) { /* pairs with unlock, and let_in */
			if (write)
				set_writer(l, t);
			return true;
		}
	}
	return false;
}

/* Bucket locked, and WAITERS was set, so that the state is ours: held, besides. Lets in who is next in line. */
static void let_in(weft_rwlock *l, struct lot_bucket *b, uint32_t held, struct ready_list *r)
{
	struct waiter *w;

	while ((w = weft__lot_next(b, l, NULL)) != NULL) {
		bool write = container_of((struct lot_ask *)w->slot, struct rwlock_ask, ask)->write;
		uint32_t next = with_one(held, write);

		if (!next)
			break;
		list_remove(&w->link);
		if (!waiter_claim(w, 0, false))
			continue; /* its deadline passed, or it was cancelled */
		held = next;
		if (write)
			store_relaxed(owner_of(l), rec_index(w->task)); /* before it runs */
		ready_list_add(r, w->task);
	}
	store_release(state_of(l), w ? held | WAITERS : held); /* pairs with get_in; the last access: who gets in may free it */
}

static bool must_wait(struct lot_ask *a, struct lot_bucket *b, struct ready_list *r)
{
	bool write = container_of(a, struct rwlock_ask, ask)->write;
	weft_rwlock *l = (weft_rwlock *)a->key;
	bool first = !weft__lot_next(b, l, NULL);
	uint32_t was = load_relaxed(state_of(l)); /* checked by the compare-and-swap */

	(void)r;
	if (unlikely(poisoned(l))) {
		container_of(a, struct rwlock_ask, ask)->poisoned = true;
		return false;
	}
	for (;;) {
		uint32_t next = first ? with_one(was, write) : 0;

		if (next) {
			if (cas_acquire(state_of(l), &was, next)) /* as in get_in */
				return false;
		} else if ((was & WAITERS) || cas_relaxed(state_of(l), &was, was | WAITERS)) { /* the bucket's lock orders it */
			return true;
		}
	}
}

/* One that was in line has gone. */
static void gone(struct lot_ask *a, struct lot_bucket *b, struct ready_list *r)
{
	weft_rwlock *l = (weft_rwlock *)a->key;
	uint32_t was = load_acquire(state_of(l)); /* pairs with unlock: those who get in see what came before it */

	if (was & WAITERS)
		let_in(l, b, was & ~WAITERS, r);
}

NOINLINE static int lock_slow(weft_rwlock *l, struct self *me, bool write, int64_t deadline)
{
	struct rwlock_ask a = {.ask = {.key = l, .still = must_wait, .left = gone}, .write = write};
	int rc;

	if (writes(l, load_relaxed(state_of(l)), me->task)) /* only then it stays so */
		return WEFT_EDEADLK;
	rc = weft__lot_ask(&a.ask, me, write ? REASON_WRLOCK : REASON_RDLOCK, deadline);
	if (unlikely(a.poisoned))
		return WEFT_EPOISONED;
	if (!rc && write)
		set_writer(l, me->task); /* where it was let in it is there already */
	return rc;
}

static ALWAYS_INLINE int lock_until(weft_rwlock *l, bool write, int64_t deadline)
{
	struct self me;
	int rc = self_enter(&me, &deadline);

	if (unlikely(rc))
		return rc;
	if (unlikely(!get_in(l, write, me.task)))
		rc = lock_slow(l, &me, write, deadline);
	san_acquire(l);
	return rc;
}

int weft_rwlock_rdlock_until(weft_rwlock *l, int64_t deadline)
{
	return lock_until(l, false, deadline);
}

int weft_rwlock_rdlock(weft_rwlock *l)
{
	return lock_until(l, false, WEFT_FOREVER);
}

int weft_rwlock_wrlock_until(weft_rwlock *l, int64_t deadline)
{
	return lock_until(l, true, deadline);
}

int weft_rwlock_wrlock(weft_rwlock *l)
{
	return lock_until(l, true, WEFT_FOREVER);
}

int weft_rwlock_tryrdlock(weft_rwlock *l)
{
	int rc = lock_until(l, false, WEFT_NOW);

	return rc == WEFT_EDEADLK ? WEFT_EAGAIN : rc;
}

int weft_rwlock_trywrlock(weft_rwlock *l)
{
	int rc = lock_until(l, true, WEFT_NOW);

	return rc == WEFT_EDEADLK ? WEFT_EAGAIN : rc;
}

/* Somebody may be in line: the state changes from `from`, a part of it, to `to`, and who can gets in. */
/* More have unlocked it than hold it, at the same time, so that each has seen it held. */
static inline void check_held(weft_rwlock *l, uint32_t state, uint32_t from)
{
	if (unlikely((state & ~WAITERS) < from || (from == READER && (state & WRITER))))
		weft__fatal("weft_rwlock_unlock: the reader-writer lock %p is not locked", (void *)l);
}

NOINLINE static void leave_slow(weft_rwlock *l, struct worker *wk, uint32_t from, uint32_t to)
{
	struct lot_bucket *b = lot_bucket(l);
	struct ready_list r;
	uint32_t was;

	ready_list_init(&r);
	lock_take_solo(&b->lock, RANK_LOT);
	was = load_acquire(state_of(l)); /* as in gone */
	for (;;) {
		check_held(l, was, from);
		if (was & WAITERS) {
			let_in(l, b, (was & ~WAITERS) - from + to, &r);
			break;
		}
		if (cas_acq_rel(state_of(l), &was, was - from + to)) /* pairs with get_in; nobody sets WAITERS while we have the lock */
			break;
	}
	lock_drop_solo(&b->lock);
	weft__lot_ready(wk, &r);
}

static void leave(weft_rwlock *l, struct worker *wk, uint32_t from, uint32_t to)
{
	uint32_t was = load_relaxed(state_of(l)); /* checked by the compare-and-swap */

	san_release(l);
	while (!(was & WAITERS)) {
		check_held(l, was, from);
		if (solo_cas32(state_of(l), &was, was - from + to)) /* pairs with get_in */
			return;
	}
	leave_slow(l, wk, from, to);
}

/* The caller is the writer, or the program ends. */
static void check_writer(weft_rwlock *l, struct weft_task *t, const char *call)
{
	struct weft_task *o;

	if (likely(writes(l, load_relaxed(state_of(l)), t)))
		return;
	if (!(load_relaxed(state_of(l)) & WRITER))
		weft__fatal("%s: the reader-writer lock %p is not locked for writing", call, (void *)l);
	o = weft__rec_at(load_relaxed(owner_of(l)));
	weft__fatal("%s: the reader-writer lock %p is written by task %llu, not by the caller (task %llu)", call, (void *)l,
		    o ? (unsigned long long)o->id : 0ULL, t ? (unsigned long long)t->id : 0ULL);
}

void weft_rwlock_unlock(weft_rwlock *l)
{
	struct worker *wk = weft__worker();
	struct weft_task *t;
	uint32_t state = load_relaxed(state_of(l)); /* it is held, by the caller besides others: what we look at stays so */

	if (state >= READER) {
		leave(l, wk, READER, 0);
		return;
	}
	if (unlikely(!(state & WRITER)))
		weft__fatal("weft_rwlock_unlock: the reader-writer lock %p is not locked", (void *)l);
	t = caller();
	check_writer(l, t, "weft_rwlock_unlock");
	store_relaxed(owner_of(l), 0u); /* no record has index 0 */
	task_holds_not(t);
	leave(l, wk, WRITER, 0);
}

void weft_rwlock_downgrade(weft_rwlock *l)
{
	struct worker *wk = weft__worker();
	struct weft_task *t = caller();

	check_writer(l, t, "weft_rwlock_downgrade");
	store_relaxed(owner_of(l), 0u); /* as in unlock */
	task_holds_not(t);
	leave(l, wk, WRITER, READER);
}

/* Bucket locked: of the only reader. */
static bool upgrade_in_line(weft_rwlock *l)
{
	struct lot_bucket *b = lot_bucket(l);
	uint32_t was = READER | WAITERS;
	bool done;

	lock_take_solo(&b->lock, RANK_LOT);
	done = cas_acquire(state_of(l), &was, WRITER | WAITERS); /* pairs with leave: of the other readers */
	lock_drop_solo(&b->lock);
	return done;
}

int weft_rwlock_tryupgrade(weft_rwlock *l)
{
	int64_t deadline = WEFT_NOW;
	struct self me;
	uint32_t was = READER;
	int rc = self_enter(&me, &deadline);

	if (unlikely(load_relaxed(state_of(l)) < READER)) /* not if the caller reads */
		weft__fatal("weft_rwlock_tryupgrade: the reader-writer lock %p is not locked for reading", (void *)l);
	if (unlikely(rc))
		return rc;
	while (!solo_cas32(state_of(l), &was, WRITER)) { /* pairs with leave: of the other readers */
		if ((was & ~WAITERS) != READER)
			return WEFT_EAGAIN;
		if ((was & WAITERS) && upgrade_in_line(l))
			break;
		was = READER;
	}
	set_writer(l, me.task);
	san_acquire(l);
	return 0;
}

/* --- poisoned: poison.c --- */

bool weft__rwlock_poisoned(weft_rwlock *l)
{
	return poisoned(l);
}

uint32_t weft__rwlock_owner(weft_rwlock *l)
{
	return load_relaxed(state_of(l)) & WRITER ? load_relaxed(owner_of(l)) : 0; /* as of a mutex */
}

void weft__rwlock_inherit(weft_rwlock *l, struct weft_task *t)
{
	set_writer(l, t);
	san_acquire(l);
}
