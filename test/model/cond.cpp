/* SPDX-License-Identifier: MIT
 *
 * cond.cpp - model of sync/cond.c as it is, over sync/mutex.c and core/lot.c: who is woken says so, a signal goes to somebody who waits, and the mutex is held after every wait.
 *
 * Two wait for a flag that the mutex guards; the third sets it, and wakes one, or both.  One of the two may be cancelled meanwhile, or its deadline may pass; if it was woken it passes
 * the signal on, and if it says that it was not, the other must have it: a signal that is lost shows as a deadlock.
 */
#include "waiting.h"

#include "lock.h"

#include "base/config.h"
#undef LOT_BUCKETS
#define LOT_BUCKETS 0 /* the table is the process's, and Relacy's atomics live in an execution */
#pragma GCC diagnostic ignored "-Wdiv-by-zero"
#include "core/lot.h"
static struct lot_bucket *bucket; /* of this execution */
#define lot_bucket(key) ((void)(key), bucket)
#define lot_mark(b) ((void)(b))
#include "core/lot.c"

static int64_t clock_now(void)
{
	return 1; /* no mutex is waited for so long that it is handed over: mutex.cpp */
}

struct weft_mutex {
	ATOMIC(uint32_t) weft__state, weft__owner;
};

struct weft_cond {
	ATOMIC(uint32_t) weft__waiters;
};

#define _Static_assert(what, why) static_assert(true, why)
#include "sync/mutex.c"
#undef LOCKED
#undef WAITERS

#define EARLY "the mutex is unlocked before the wait is listed"
#define FALLIBLE "to lock the mutex again may be cancelled"

static bool early[WAITING_THREADS]; /* has unlocked it already */

static bool mine(weft_mutex *m, struct weft_task *t)
{
	bool is = mutex_mine(m, t);

	if (MUTATED(EARLY)) {
		early[rl::thread_index()] = true;
		weft_mutex_unlock(m);
	}
	return is;
}

static void unlock(weft_mutex *m)
{
	if (!early[rl::thread_index()])
		weft_mutex_unlock(m);
	early[rl::thread_index()] = false;
}

static int relock(weft_mutex *m, struct weft_task *t)
{
	if (!MUTATED(FALLIBLE))
		return weft__mutex_relock(m, t);
	(void)weft_mutex_lock_until(m, WEFT_FOREVER);
	return 0;
}
#define mutex_mine(m, t) mine(m, t)
#define weft_mutex_unlock(m) unlock(m)
#define weft__mutex_relock(m, t) relock(m, t)
#define weft__hold_lost(t, m) ((void)(m)) /* no mutex is poisoned here */
void weft_cond_signal(weft_cond *c);
#include "sync/cond.c"
#undef weft_mutex_unlock

struct subject {
	weft_mutex m;
	weft_cond c;
	struct lot_bucket b;
	struct weft_task tasks[WAITING_THREADS];
	rl::var<int> flag; /* under m */

	void be_born()
	{
		waiting_reset(tasks);
		store_relaxed(&m.weft__state, 0u);
		store_relaxed(&m.weft__owner, 0u);
		store_relaxed(&c.weft__waiters, 0u);
		lock_reset(&b.lock);
		list_init(&b.waiters);
		bucket = &b;
		flag($) = 0;
		early[0] = early[1] = early[2] = false;
	}

	void end()
	{
		RL_ASSERT(load_relaxed(&m.weft__state) == 0);
		RL_ASSERT(list_empty(&b.waiters));
	}

	/* Waits for the flag. Returns 0, or why it gave up. */
	int await(int64_t deadline)
	{
		int rc = weft_mutex_lock(&m);

		if (rc)
			return rc; /* cancelled before it had begun */
		while (!rc && !flag($))
			rc = weft_cond_wait_until(&c, &m, deadline);
		flag($) = flag($); /* it is ours to write, or there is a race */
		weft_mutex_unlock(&m);
		return rc;
	}

	void set()
	{
		RL_ASSERT(weft_mutex_lock(&m) == 0);
		flag($) = 1;
		weft_mutex_unlock(&m);
	}

	/* One that may give up, and else passes on what it has taken. */
	void fickle(int64_t deadline, int why)
	{
		int rc = await(deadline);

		RL_ASSERT(rc == 0 || rc == why);
		if (rc == 0)
			weft_cond_signal(&c);
	}
};

struct cancelled : rl::test_suite<cancelled, 3> {
	struct subject s;

	void before()
	{
		s.be_born();
		s.tasks[0].watched = true;
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			s.fickle(WEFT_FOREVER, WEFT_ECANCELED);
		} else if (id == 1) {
			RL_ASSERT(s.await(WEFT_FOREVER) == 0);
		} else {
			s.set();
			weft_cond_signal(&s.c);
			waiting_cancel(&s.tasks[0]);
		}
	}

	void after()
	{
		s.end();
	}
};

struct cancelled_first : rl::test_suite<cancelled_first, 3> {
	struct subject s;

	void before()
	{
		s.be_born();
		s.tasks[0].watched = true;
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			s.fickle(WEFT_FOREVER, WEFT_ECANCELED);
		} else if (id == 1) {
			RL_ASSERT(s.await(WEFT_FOREVER) == 0);
		} else {
			waiting_cancel(&s.tasks[0]);
			s.set();
			weft_cond_signal(&s.c);
		}
	}

	void after()
	{
		s.end();
	}
};

struct deadline : rl::test_suite<deadline, 3> {
	struct subject s;

	void before()
	{
		s.be_born();
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			s.fickle(INT64_MAX - 1, WEFT_ETIMEDOUT);
		} else if (id == 1) {
			RL_ASSERT(s.await(WEFT_FOREVER) == 0);
		} else {
			s.set();
			weft_cond_signal(&s.c);
		}
	}

	void after()
	{
		s.end();
	}
};

struct broadcast : rl::test_suite<broadcast, 3> {
	struct subject s;

	void before()
	{
		s.be_born();
	}

	void thread(unsigned id)
	{
		if (id < 2) {
			RL_ASSERT(s.await(WEFT_FOREVER) == 0);
		} else {
			s.set();
			weft_cond_broadcast(&s.c);
		}
	}

	void after()
	{
		s.end();
	}
};

static const struct scenario scenarios[] = {
	{"woken, and cancelled", rl::simulate<cancelled>, 100000, 1},
	{"cancelled, and woken", rl::simulate<cancelled_first>, 100000, 1},
	{"the deadline of one passes", rl::simulate<deadline>, 100000, 1},
	{"both are woken", rl::simulate<broadcast>, 100000, 1},
};

static const struct mutation mutations[] = {
	{EARLY},
	{FALLIBLE},
	{LEFT_LISTED},
	{ENDED_UNASKED},
	{"locking and unlocking do not acquire and release", "solo_cas32", "cas_acq_rel", "p"},
	{"an unlock that found waiters does not release", "unlock_slow", "store_release", "state_of(m)"},
	{"the bucket's lock does not release", "lock_drop_solo", "swap_release", "&l->word"},
	{"a wake-up does not release", "weft__ready", "store_release", "&t->futex"},
	{"the canceller has no fence", "waiting_cancel", "heavy", ""},
};

MODEL_MAIN(scenarios, mutations)
