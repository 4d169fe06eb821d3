/* SPDX-License-Identifier: MIT
 *
 * weft/lock.h - locks: mutex, recursive mutex, reader-writer lock, spin lock, condition variable. Zeroed memory is a valid one of each; none needs to be destroyed.
 *
 *	WEFT_WITH_LOCK(&m) {
 *		balance += amount;
 *	} else {
 *		return WEFT_ECANCELED;
 *	}
 */
#ifndef WEFT_LOCK_H
#define WEFT_LOCK_H

#include "defer.h"
#include "error.h"
#include "export.h"
#include "time.h"
#include <stdint.h>

WEFT_BEGIN_DECLS

/* --- mutex --- */

/* A mutex of tasks and foreign threads, 8 bytes. It knows its owner: locking twice and unlocking another's are noticed. Private fields. */
typedef struct weft_mutex {
	uint32_t weft__state;
	uint32_t weft__owner;
} weft_mutex;

/* weft_mutex_lock - own m, waiting for it.
 *
 * Look at what it returns: unlike pthread's and Go's it fails once the task is cancelled or its context has expired, even if m is free, and then m is not the
 * caller's to unlock.
 *
 * Waiters are served first come first served; a running task may overtake them, until the first has waited for 1 ms: then m is handed to it.
 * Returns 0; WEFT_ETIMEDOUT, WEFT_ECANCELED: m is not held; WEFT_EDEADLK if the caller holds it already; WEFT_EPOISONED: its owner, an actor that is contained, has failed (weft/actor.h): m is not
 * held, and what it guards may be half done: weft_mutex_recover.
 * Blocks: yes (mutex). Threads: any.
 */
WEFT_API int weft_mutex_lock(weft_mutex *m);
WEFT_API int weft_mutex_lock_until(weft_mutex *m, int64_t deadline);

/* weft_mutex_trylock - own m if it is free: 0; else WEFT_EAGAIN, or WEFT_ECANCELED, WEFT_ETIMEDOUT and WEFT_EPOISONED as from weft_mutex_lock. */
WEFT_API int weft_mutex_trylock(weft_mutex *m);

/* weft_mutex_recover - own a mutex that is poisoned, in its dead owner's place, to put right what it guards; unlocked, it is as any other. Initialising one anew does as well, where nobody uses it.
 *
 * One that is never recovered keeps 256 bytes, the record of the task that owned it: also if it lay in memory of that task's.
 * Returns 0: m is held; WEFT_EINVAL: it is not poisoned, or not any more; WEFT_ENOMEM: a foreign thread got no record. Blocks: no. Threads: any.
 */
WEFT_API int weft_mutex_recover(weft_mutex *m);

/* weft_mutex_unlock - give m up. Fatal error if it is not locked, or locked by somebody else. Blocks: no. */
WEFT_API void weft_mutex_unlock(weft_mutex *m);

/* --- recursive mutex --- */

/* A mutex that its owner, a task (or a foreign thread), may lock again; 12 bytes. Private fields. */
typedef struct weft_rmutex {
	weft_mutex weft__m;
	uint32_t weft__depth; /* how often it was locked again; the owner's */
} weft_rmutex;

/* weft_rmutex_lock - own m, waiting for it; or once more, if it is the caller's already. Each success is one unlock owed.
 *
 * Returns 0; WEFT_ETIMEDOUT, WEFT_ECANCELED (also from a further lock), WEFT_EPOISONED as weft_mutex_lock: nothing has changed. More than 2^32 - 1 times is a fatal error.
 * Blocks: yes (mutex). Threads: any. Fairness: weft_mutex_lock's.
 */
WEFT_API int weft_rmutex_lock(weft_rmutex *m);
WEFT_API int weft_rmutex_lock_until(weft_rmutex *m, int64_t deadline);

/* weft_rmutex_trylock - the same without waiting: WEFT_EAGAIN if it is another's. */
WEFT_API int weft_rmutex_trylock(weft_rmutex *m);

/* weft_rmutex_unlock - undo one lock; the last gives m up. Fatal error if it is not locked, or locked by somebody else. Blocks: no. */
WEFT_API void weft_rmutex_unlock(weft_rmutex *m);

/* weft_rmutex_recover - as weft_mutex_recover: m is held once, however often its dead owner had locked it. */
WEFT_API int weft_rmutex_recover(weft_rmutex *m);

/* --- reader-writer lock --- */

/* Held by one writer, or by up to 2^30 - 1 readers; 8 bytes. It knows its writer, and counts its readers. Private fields. */
typedef struct weft_rwlock {
	uint32_t weft__state;
	uint32_t weft__owner;
} weft_rwlock;

/* weft_rwlock_rdlock, weft_rwlock_wrlock - hold l for reading, with other readers; or for writing, alone.
 *
 * First come first served: a reader that comes when a writer waits gets in behind it, so neither starves. Hence whoever reads must not lock it for reading again, as in Go:
 * a writer may have come in between, and the two wait for each other.
 * Returns 0; WEFT_ETIMEDOUT, WEFT_ECANCELED: l is not held; WEFT_EDEADLK if the caller holds it for writing; WEFT_EPOISONED: an actor that is contained has failed while it wrote: weft_rwlock_recover. (One
 * that has failed while it read is not known: l stays read for ever.)
 * Blocks: yes (read lock, write lock). Threads: any.
 */
WEFT_API int weft_rwlock_rdlock(weft_rwlock *l);
WEFT_API int weft_rwlock_rdlock_until(weft_rwlock *l, int64_t deadline);
WEFT_API int weft_rwlock_wrlock(weft_rwlock *l);
WEFT_API int weft_rwlock_wrlock_until(weft_rwlock *l, int64_t deadline);

/* weft_rwlock_tryrdlock, weft_rwlock_trywrlock - the same without waiting: WEFT_EAGAIN where it would have to, also behind others. */
WEFT_API int weft_rwlock_tryrdlock(weft_rwlock *l);
WEFT_API int weft_rwlock_trywrlock(weft_rwlock *l);

/* weft_rwlock_recover - as weft_mutex_recover: l is held for writing. */
WEFT_API int weft_rwlock_recover(weft_rwlock *l);

/* weft_rwlock_unlock - give it up, in whichever way the caller holds it. Fatal error if nobody holds it, or another writes; that the caller is one of its readers is not
 * known. Blocks: no. Threads: any. */
WEFT_API void weft_rwlock_unlock(weft_rwlock *l);

/* weft_rwlock_downgrade - the writer becomes a reader, with nobody in between; readers that wait next in line join it. Fatal error if the caller is not its writer.
 * Blocks: no. */
WEFT_API void weft_rwlock_downgrade(weft_rwlock *l);

/* weft_rwlock_tryupgrade - a reader becomes the writer, with nobody in between, if it is the only one. Two that waited for each other to leave would do so for ever: so it
 * never waits.
 *
 * Returns 0; WEFT_EAGAIN: there are other readers; WEFT_ECANCELED, WEFT_ETIMEDOUT. On any error the caller still reads. Fatal error if nobody does.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_rwlock_tryupgrade(weft_rwlock *l);

/* --- spin lock --- */

/* For a few instructions between which nobody waits for anything, 4 bytes. A thread that does not get it looks on for some microseconds, and then sleeps: the worker with it.
 * Private fields. */
typedef struct weft_spin {
	uint32_t weft__state;
} weft_spin;

/* weft_spin_lock, weft_spin_unlock - own s, and give it up.
 *
 * In between the caller must not park, nor lock s again, nor take long. Debug builds end the program where a task parks or yields with one held, and name it; and check who
 * unlocks. Never cancelled. Blocks: the thread, shortly. Threads: any.
 */
WEFT_API void weft_spin_lock(weft_spin *s);
WEFT_API void weft_spin_unlock(weft_spin *s);

/* weft_spin_trylock - own s if it is free: 0; else WEFT_EAGAIN. */
WEFT_API int weft_spin_trylock(weft_spin *s);

/* --- condition variable --- */

/* Wakes those who wait for something that a mutex guards, 4 bytes. Private fields. */
typedef struct weft_cond {
	uint32_t weft__waiters;
} weft_cond;

/* weft_cond_wait - give m up, wait to be woken, and lock m again. Whatever it returns but WEFT_EPOISONED, m is held.
 *
 *   m  locked by the caller, else it is a fatal error
 *
 * Call it in a loop that looks whether what is waited for is there, for others may have been faster to lock m; and leave the loop when it fails: in a cancelled task
 * it fails at once, every time.
 *
 *     while (!ready && rc == 0)
 *             rc = weft_cond_wait(&c, &m);
 *
 * Nobody is woken without a signal.
 * Returns 0: woken. WEFT_EPOISONED: m has been poisoned meanwhile (weft_mutex_lock), and, of all that is returned this alone, is not held. WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (deadline
 * WEFT_NOW): it took no signal; nor does one that is told WEFT_EPOISONED, who passes it on, so that in the end all who wait are told. To lock m again it waits whatever happens, also past its
 * deadline and when cancelled.
 * Blocks: yes (condition; then mutex). Threads: any.
 */
WEFT_API int weft_cond_wait(weft_cond *c, weft_mutex *m);
WEFT_API int weft_cond_wait_until(weft_cond *c, weft_mutex *m, int64_t deadline);

/* weft_cond_signal, weft_cond_broadcast - wake the one that has waited longest; wake all. Only those who wait already count.
 *
 * The caller has changed what they wait for with m locked; it may have unlocked it since. Nothing happens if nobody waits.
 * Blocks: no. Threads: any.
 */
WEFT_API void weft_cond_signal(weft_cond *c);
WEFT_API void weft_cond_broadcast(weft_cond *c);

/* --- blocks --- */

/* WEFT_WITH_LOCK(&m) { ... } else { ... } - run a block with a mutex locked, which is unlocked on every way out of it: at its end, by return, break, continue and goto, by
 * weft_task_exit and weft_task_panic. WEFT_WITH_RMUTEX for a recursive one, WEFT_WITH_RDLOCK and WEFT_WITH_WRLOCK for a reader-writer lock.
 *
 * Locking may fail: the task is cancelled, its context has expired, the lock is poisoned, or a foreign thread has no memory for its record. Then the block is not run, and the one behind else is;
 * without an else what follows cannot tell. The forms _OR leave in rc, an int variable of the caller's, 0 or the code. That the caller holds it already is a fatal error here.
 * break and continue leave the block, not a loop around it. What stands in the parentheses must not leave the function (WEFT_TRY). The block must not unlock it by itself; weft_cond_wait with it may be called there: if that returns WEFT_EPOISONED
 * the end of the block unlocks it only if the caller has recovered it.
 * Blocks: yes, as the lock. Threads: any.
 */
#define WEFT_WITH_LOCK(m) WEFT__HOLDING(weft__hold_mutex(&WEFT__JOIN(weft__held_, __LINE__), (m)))
#define WEFT_WITH_RMUTEX(m) WEFT__HOLDING(weft__hold_rmutex(&WEFT__JOIN(weft__held_, __LINE__), (m)))
#define WEFT_WITH_RDLOCK(l) WEFT__HOLDING(weft__hold_read(&WEFT__JOIN(weft__held_, __LINE__), (l)))
#define WEFT_WITH_WRLOCK(l) WEFT__HOLDING(weft__hold_write(&WEFT__JOIN(weft__held_, __LINE__), (l)))
#define WEFT_WITH_LOCK_OR(m, rc) WEFT__HOLDING((rc) = weft__hold_mutex(&WEFT__JOIN(weft__held_, __LINE__), (m)))
#define WEFT_WITH_RMUTEX_OR(m, rc) WEFT__HOLDING((rc) = weft__hold_rmutex(&WEFT__JOIN(weft__held_, __LINE__), (m)))
#define WEFT_WITH_RDLOCK_OR(l, rc) WEFT__HOLDING((rc) = weft__hold_read(&WEFT__JOIN(weft__held_, __LINE__), (l)))
#define WEFT_WITH_WRLOCK_OR(l, rc) WEFT__HOLDING((rc) = weft__hold_write(&WEFT__JOIN(weft__held_, __LINE__), (l)))

/* --- what the blocks are made of; private --- */

struct weft__held {
	weft_defer weft__unlock;
	int weft__rc; /* 0: it is held */
};

WEFT_API int weft__hold_mutex(struct weft__held *h, weft_mutex *m);
WEFT_API int weft__hold_rmutex(struct weft__held *h, weft_rmutex *m);
WEFT_API int weft__hold_read(struct weft__held *h, weft_rwlock *l);
WEFT_API int weft__hold_write(struct weft__held *h, weft_rwlock *l);
WEFT_API void weft__hold_end(struct weft__held *h);

#define WEFT__HOLDING(begin)                                                                     \
	WEFT__BLOCK(struct weft__held, WEFT__JOIN(weft__held_, __LINE__), weft__hold_end, begin) \
	if (WEFT__JOIN(weft__held_, __LINE__).weft__rc == 0)

WEFT_END_DECLS

#endif
