/* SPDX-License-Identifier: MIT
 *
 * idle.h - which workers sleep, how many search, and whom to wake when work appears.
 *
 *    31         20 19         10 9           0
 *   +-------------+-------------+-------------+
 *   |  sleepers   |   resting   |  searching  |     i->state: one word, so that all counts are always seen at one instant
 *   +-------------+-------------+-------------+
 *
 *   sleepers    workers on the list below; changed under i->lock only, together with the list
 *   resting     retired workers that sleep (core/seats.c): on no list, woken for what is theirs alone
 *   searching   workers awake, without work, looking for some; each of them will look at every queue before it sleeps
 *
 * A worker is in one of four states, and moves by one read-modify-write of the word:
 *
 *   running   -> searching   idle_try_search         it ran out of work and not enough others search already
 *   running   -> sleeping    idle_enter(.., false)   it ran out of work and enough others search
 *   searching -> running     idle_found              it found work; the last searcher wakes another before it runs any, if it must
 *   searching -> sleeping    idle_enter(.., true)    it found nothing; from here on nobody relies on its search
 *   sleeping  -> searching   idle_wake               by a waker; the worker is notified and learns of it in idle_leave
 *   sleeping  -> running     idle_leave(.., false)   its loop had something, or it found work in its second look ...
 *   sleeping  -> searching   idle_leave(.., true)    ... and wants to be counted as a searcher
 *   searching -> running     idle_retire             it is retired; the last searcher wakes another, as if it had found work
 *   running  <-> resting     idle_rest, idle_rise    it is retired, and has handed on all that others may run
 *
 * Whoever makes a task runnable: puts it on a queue; then calls idle_wake and notifies the worker it names.  (But not for the one task that it takes itself
 * at its next schedule, while it is left in peace, worker.c: it is awake, and is helped by the monitor if there is no next schedule.)
 * Whoever goes to sleep: idle_enter; looks at every queue once more; prepares its parker; blocks; idle_leave.
 *
 * Why no work is left while all sleep.  A waker publishes its work W, passes asym_light() and reads the word.  A worker
 * X that goes to sleep changes the word, passes asym_heavy(), and then looks.  So if the waker read the word before X's
 * change, X's look sees W (or that it has been taken).  Now the waker read one of:
 *
 *   searching > 0   A searcher X had not changed the word yet.  If X finds nothing it changes it, looks again, sees W.
 *                   If it finds other work it gives up its place by a read-modify-write of the same word: either others
 *                   still search, and the same holds of the last of them; or it was the last, and wakes a sleeper Y,
 *                   which will search, and look again before it sleeps; or nobody sleeps, and then see below;
 *                   or all others sleep or rest.  Then a waker that is a worker has itself looked again since; any other
 *                   passes a full fence between W and the word, as X does between the word and a look of its own:
 *                   X sees W and wakes Y, or the waker did not see X search.  (Without this exception each single
 *                   event would wake two workers, the second for nothing.)
 *   sleepers == 0   Every worker that is not retired changes the word before it sleeps, hence after this read, and sees W then; one of them there is always.
 *   otherwise       The waker takes a sleeper off the list, which counts as a searcher at once, and notifies it.
 *
 * A sleeper taken off the list and one that leaves by itself meet under the lock: idle_leave says who was first.  A
 * worker that left by itself cannot be notified by that waker any more; one that was taken may be notified after it is
 * already awake (parker.h says why that is harmless).
 *
 * A worker that rests looks at nobody's queues but its own, into which others put what is meant for it alone, and notify it; so it needs no fence (core/parker.h). Retiring a worker that searches
 * is what breaks a promise; hence idle_retire.
 *
 * While one worker is alone in weft (base/solo.h) the only wakers are its own tasks, threads that end that first, and pass asym_heavy in doing so before they
 * publish anything, and the monitor and threads of lanes (core/lane_thread.c), which pass it before they wake, or leave that to who came before them.  So then
 * it need not, and going to sleep costs no system call but the sleep.
 *
 * Published practice: Go's runtime (proc.go, "Worker thread parking/unparking") for the last-searcher rule, Tokio's
 * idle.rs for both counts in one word.  Changed: a sleeper becomes a searcher in the one step that takes it off the
 * list, so that a waker never counts as a searcher itself; every worker looks a second time, also one that did not
 * search; the fence on the waker's side is asymmetric.
 *
 * Model: test/model/idle.cpp, test/model/idle.pml, test/model/retire.pml.  Not here: the sleep itself (core/parker.h), the search
 * (core/worker.c).
 */
#ifndef WEFT_CORE_IDLE_H
#define WEFT_CORE_IDLE_H

#include "base/asym.h"
#include "base/atomic.h"
#include "base/config.h"
#include "base/lock.h"
#ifndef WEFT_MODEL
#include <stdint.h>
#endif

#define IDLE_SEARCHER 1u
#define IDLE_RESTING (1u << 10)
#define IDLE_SLEEPER (1u << 20)
#define IDLE_NOT_LISTED UINT16_MAX
#define IDLE_LOOK (-2) /* of idle_found */

struct idle;

/* Which place on the list of sleepers, which is not empty, shall be woken. Called under the lock. */
typedef unsigned idle_choose(struct idle *i);

struct idle {
	ATOMIC(uint32_t) state;              /* drawn above; sleepers under lock, searching by any worker */
	struct lock lock;                    /* guards what follows; RANK_IDLE */
	SHARED(uint16_t) n;                  /* workers on the list; equals sleepers */
	SHARED(uint16_t) list[WORKERS_MAX];  /* ids; the last in is the first out, if nobody else is asked: its caches are the warmest */
	SHARED(uint16_t) place[WORKERS_MAX]; /* where on the list a worker is, or IDLE_NOT_LISTED */
	idle_choose *choose;                 /* NULL: the last in; constant while workers run */
};

static inline uint32_t idle_searching(uint32_t state)
{
	return state & (IDLE_RESTING - 1);
}

static inline uint32_t idle_sleeping(uint32_t state)
{
	return state / IDLE_SLEEPER;
}

/* Sleepers and those that rest. */
static inline uint32_t idle_asleep(uint32_t state)
{
	return idle_sleeping(state) + (state % IDLE_SLEEPER) / IDLE_RESTING;
}

/* No thread but the caller's knows i yet. All workers count as running. */
static inline void idle_init(struct idle *i)
{
	unsigned k;

	store_relaxed(&i->state, 0u); /* not shared yet */
	shared_set(&i->n, (uint16_t)0);
	i->choose = NULL;
	for (k = 0; k < WORKERS_MAX; k++)
		shared_set(&i->place[k], (uint16_t)IDLE_NOT_LISTED);
}

/* How many workers are on the list: a hint, or exact where the caller's own synchronisation makes it so. Any thread. */
static inline uint32_t idle_sleepers(struct idle *i)
{
	return idle_sleeping(load_relaxed(&i->state)); /* a hint; whoever needs more holds the lock */
}

/* Do all of so many workers sleep or rest? As exact. Any thread. */
static inline bool idle_all_asleep(struct idle *i, unsigned workers)
{
	return idle_asleep(load_relaxed(&i->state)) == workers; /* as above */
}

static inline void idle__unlist(struct idle *i, unsigned id)
{
	uint16_t n = (uint16_t)(shared_get(&i->n) - 1);
	uint16_t at = shared_get(&i->place[id]);
	uint16_t last = shared_get(&i->list[n]);

	shared_set(&i->list[at], last);
	shared_set(&i->place[last], at);
	shared_set(&i->place[id], (uint16_t)IDLE_NOT_LISTED);
	shared_set(&i->n, n);
}

/* A running worker without work asks whether it may search. False: half of those awake do already; sleep instead. */
static inline bool idle_try_search(struct idle *i, unsigned workers)
{
	uint32_t state = load_relaxed(&i->state); /* a hint: too many searchers cost time, not work */

	if (2 * idle_searching(state) >= workers - idle_sleeping(state))
		return false;
	/* promises a look that comes later; idle_enter and idle_found order it */
	add_relaxed(&i->state, IDLE_SEARCHER);
	return true;
}

/* A searcher takes its place on the list and gives up its search in one step; a running worker (searching == false)
 * just takes its place. The caller must now look at every queue once more before it blocks: that look sees all work
 * whose waker did not see this worker. */
static inline void idle_enter(struct idle *i, unsigned id, bool searching)
{
	uint16_t n;

	lock_take(&i->lock, RANK_IDLE);
	n = shared_get(&i->n);
	shared_set(&i->list[n], (uint16_t)id);
	shared_set(&i->place[id], n);
	shared_set(&i->n, (uint16_t)(n + 1));
	/* the lock orders the list, the fence below the rest */
	add_relaxed(&i->state, IDLE_SLEEPER - (searching ? IDLE_SEARCHER : 0u));
	lock_drop(&i->lock);
	if (!solo_is_on())
		asym_heavy(); /* pairs with asym_light in idle_wake, and with the release in idle_found */
}

/* A sleeper is awake again: its loop returned, or its second look found work. search: it wants to count as a searcher
 * from here on. Returns whether it now does: search, or a waker took it off the list first (and notifies it, or
 * has). */
static inline bool idle_leave(struct idle *i, unsigned id, bool search)
{
	bool taken;

	lock_take(&i->lock, RANK_IDLE);
	taken = shared_get(&i->place[id]) == IDLE_NOT_LISTED;
	if (!taken) {
		idle__unlist(i, id);
		add_relaxed(&i->state, (search ? IDLE_SEARCHER : 0u) - IDLE_SLEEPER); /* the lock orders the list */
	}
	lock_drop(&i->lock);
	return taken || search;
}

/* Takes a sleeper off the list if there is one and nobody searches, and makes it a searcher. Returns its id, which the
 * caller must notify; or -1. For whoever has work to share; slow half of idle_wake. */
static inline int idle_pick(struct idle *i)
{
	uint32_t state = load_relaxed(&i->state); /* after the caller's fence, or its own change of the word */
	int id = -1;

	if (idle_sleeping(state) == 0 || idle_searching(state) != 0)
		return -1;
	lock_take(&i->lock, RANK_IDLE);
	/* sleepers is exact under the lock; searching is settled by the compare-and-swap */
	state = load_relaxed(&i->state);
	while (idle_sleeping(state) != 0 && idle_searching(state) == 0) {
		/* relaxed would do: the lock orders the list, the caller's notification what it published */
		if (cas_acquire(&i->state, &state, state - IDLE_SLEEPER + IDLE_SEARCHER)) {
			id = shared_get(&i->list[likely(!i->choose) ? shared_get(&i->n) - 1u : i->choose(i)]);
			idle__unlist(i, (unsigned)id);
			break;
		}
	}
	lock_drop(&i->lock);
	return id;
}

/* The same for n > 0 pieces of work: takes as many sleepers as it needs beside those who search already. Puts their ids into ids[n], returns how many. */
static inline uint32_t idle_pick_many(struct idle *i, uint16_t *ids, uint32_t n)
{
	uint32_t state, searching, sleeping, k;

	lock_take(&i->lock, RANK_IDLE);
	state = load_relaxed(&i->state); /* as in idle_pick */
	do {
		searching = idle_searching(state);
		sleeping = idle_sleeping(state);
		k = searching < n ? n - searching : 0;
		if (k > sleeping)
			k = sleeping;
	} while (k && !cas_acquire(&i->state, &state, state - k * IDLE_SLEEPER + k * IDLE_SEARCHER)); /* as in idle_pick */
	for (n = 0; n < k; n++) {
		ids[n] = shared_get(&i->list[likely(!i->choose) ? shared_get(&i->n) - 1u : i->choose(i)]); /* as in idle_pick */
		idle__unlist(i, ids[n]);
	}
	lock_drop(&i->lock);
	return k;
}

/* Called after work was put on a queue, by any thread: is there somebody to be woken? (The usual case is no: a compiler
 * barrier and a load.) */
static inline bool idle_wanting(struct idle *i)
{
	uint32_t state;

	asym_light();                    /* pairs with asym_heavy in idle_enter */
	state = load_relaxed(&i->state); /* ordered by the fence */
	return unlikely(idle_sleeping(state) != 0 && idle_searching(state) == 0);
}

/* Called after work was put on a queue, by any thread. Returns the id of a worker to notify, or -1. */
static inline int idle_wake(struct idle *i)
{
	return idle_wanting(i) ? idle_pick(i) : -1;
}

/* A searcher has work in its hands, or other things to do. Before it runs anything: returns the id of a worker to
 * notify, or -1. The last searcher passes the search on, because wakers relied on it. IDLE_LOOK: all others sleep or rest, so only a thread that is no
 * worker can have; the caller looks at all queues, and if there is anything, passes the search on by idle_pick. workers: all there are, the retired too. */
static inline int idle_found(struct idle *i, unsigned workers)
{
	/* release: what we stole into our own ring; pairs with the change of the word and asym_heavy of those that go
	 * to sleep later (idle_enter) */
	uint32_t was = add_acq_rel(&i->state, 0u - IDLE_SEARCHER);

	if (idle_searching(was) != 1 || idle_sleeping(was) == 0)
		return -1;
	if (idle_asleep(was) == workers - 1) {
		fence_seq_cst(); /* pairs with the fence of those that are no workers, between their queue and the word */
		return IDLE_LOOK;
	}
	return idle_pick(i);
}

/* A searcher is retired: it will not look again. Returns the id of a worker to notify, or -1: whoever relied on it is seen to by another. */
static inline int idle_retire(struct idle *i)
{
	uint32_t was = add_acq_rel(&i->state, 0u - IDLE_SEARCHER); /* as in idle_found */

	return idle_searching(was) == 1 ? idle_pick(i) : -1;
}

/* A retired worker, which counts as running, is about to sleep. It has handed on what others may run; what is its own it looks for once more. */
static inline void idle_rest(struct idle *i)
{
	add_acq_rel(&i->state,
		    IDLE_RESTING); /* its queues order it: see above; release: whoever counts it as at rest knows that it is there */
}

/* It is awake again. */
static inline void idle_rise(struct idle *i)
{
	add_relaxed(&i->state, 0u - IDLE_RESTING); /* as above */
}

#endif
