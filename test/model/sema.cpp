/* SPDX-License-Identifier: MIT
 *
 * sema.cpp - model of sync/sema.c as it is, over core/lot.c: permits are neither lost nor doubled, nobody waits for ever for what there is, and what came before a release is seen by
 * who takes it.
 *
 * One that wants two may have a deadline, which passes at any moment, or be cancelled: those behind it must get what it waited for. Somebody who is forgotten shows as a deadlock.
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

struct weft_sema {
	ATOMIC(uint64_t) weft__state;
};

#define ALONE "who gives up lets nobody have what it waited for"
#define JUMPS "who comes looks at the permits, whoever is in line"
#define STUBBORN "a release deals to who has given up, too"

static int ask(struct lot_ask *a, const struct self *me, enum task_reason reason, int64_t deadline)
{
	if (MUTATED(ALONE))
		a->left = NULL;
	return weft__lot_ask(a, me, reason, deadline);
}

static struct waiter *next_waiter(const char *func, struct lot_bucket *b, const void *key)
{
	if (!strcmp(func, "must_wait") && MUTATED(JUMPS))
		return NULL;
	return weft__lot_next(b, key, NULL);
}

static bool claim(struct waiter *w, int status)
{
	return waiter_claim(w, status, false) || MUTATED(STUBBORN);
}
#define weft__lot_ask(a, me, reason, deadline) ask(a, me, reason, deadline)
#define weft__lot_next(b, key, w) next_waiter(__func__, b, key)
#define waiter_claim(w, status, solo) claim(w, status)
#define _Static_assert(what, why) static_assert(true, why)
#include "sync/sema.c"
#undef waiter_claim
#undef weft__lot_next

struct subject {
	weft_sema s;
	struct lot_bucket b;
	struct weft_task tasks[WAITING_THREADS];
	rl::var<int> guarded; /* by both permits of two */
	int permits;

	void be_born(int n)
	{
		waiting_reset(tasks);
		store_relaxed(&s.weft__state, (uint64_t)n << 32);
		lock_reset(&b.lock);
		list_init(&b.waiters);
		bucket = &b;
		permits = n;
		guarded($) = 0;
	}

	/* After so many more were given than taken. */
	void end(int more)
	{
		RL_ASSERT(load_relaxed(&s.weft__state) == (uint64_t)(permits + more) << 32);
		RL_ASSERT(list_empty(&b.waiters));
	}

	void both()
	{
		RL_ASSERT(weft_sema_acquire(&s, 2) == 0);
		guarded($) = guarded($) + 1;
		weft_sema_release(&s, 2);
	}

	void one()
	{
		RL_ASSERT(weft_sema_acquire(&s, 1) == 0);
		(void)(int)guarded($);
		weft_sema_release(&s, 1);
	}

	/* Gives the permits back one by one, if it has got them. */
	void fickle(int64_t deadline, int why)
	{
		int rc = weft_sema_acquire_until(&s, 2, deadline);

		RL_ASSERT(rc == 0 || rc == why);
		if (rc)
			return;
		guarded($) = guarded($) + 1;
		weft_sema_release(&s, 1);
		weft_sema_release(&s, 1);
	}
};

struct readers_and_writers : rl::test_suite<readers_and_writers, 3> {
	struct subject s;

	void before()
	{
		s.be_born(2);
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			s.both();
			s.one();
		} else if (id == 1) {
			s.both();
		} else {
			s.one();
			s.one();
		}
	}

	void after()
	{
		s.end(0);
	}
};

struct deadline : rl::test_suite<deadline, 3> {
	struct subject s;

	void before()
	{
		s.be_born(2);
	}

	void thread(unsigned id)
	{
		if (id == 0)
			s.fickle(INT64_MAX - 1, WEFT_ETIMEDOUT);
		else if (id == 1)
			s.both();
		else
			s.one();
	}

	void after()
	{
		s.end(0);
	}
};

/* Of one permit: who wants two waits in front of who wants one, until it is cancelled. */
struct cancelled : rl::test_suite<cancelled, 3> {
	struct subject s;

	void before()
	{
		s.be_born(1);
		s.tasks[0].watched = true;
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			RL_ASSERT(weft_sema_acquire(&s.s, 2) == WEFT_ECANCELED);
		} else if (id == 1) {
			s.one();
		} else {
			waiting_cancel(&s.tasks[0]);
		}
	}

	void after()
	{
		s.end(0);
	}
};

/* The second permit comes as it is cancelled. */
struct given_or_cancelled : rl::test_suite<given_or_cancelled, 3> {
	struct subject s;

	void before()
	{
		s.be_born(1);
		s.tasks[0].watched = true;
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			s.fickle(WEFT_FOREVER, WEFT_ECANCELED);
		} else if (id == 1) {
			weft_sema_release(&s.s, 1);
			s.one();
		} else {
			waiting_cancel(&s.tasks[0]);
		}
	}

	void after()
	{
		s.end(1);
	}
};

struct tries : rl::test_suite<tries, 3> {
	struct subject s;

	void before()
	{
		s.be_born(2);
	}

	void thread(unsigned id)
	{
		if (id < 2) {
			s.both();
		} else if (weft_sema_tryacquire(&s.s, 1) == 0) {
			(void)(int)s.guarded($);
			weft_sema_release(&s.s, 1);
		}
	}

	void after()
	{
		s.end(0);
	}
};

static const struct scenario scenarios[] = {
	{"two want both, others one", rl::simulate<readers_and_writers>, 100000, 1},
	{"the deadline of one passes", rl::simulate<deadline>, 100000, 2},
	{"one is cancelled", rl::simulate<cancelled>, 100000, 2},
	{"one is cancelled as it is given", rl::simulate<given_or_cancelled>, 100000, 2},
	{"one only tries", rl::simulate<tries>, 50000, 1},
};

static const struct mutation mutations[] = {
	{ALONE},
	{JUMPS},
	{STUBBORN},
	{LEFT_LISTED},
	{ENDED_UNASKED},
	{"taking and giving do not acquire and release", "solo_cas64", "cas_acq_rel", "p"},
	{"dealing does not release", "deal", "store_release", "state_of(s)"},
	{"who takes in the slow path does not acquire", "must_wait", "cas_acquire", "state_of(s)"},
	{"the bucket's lock does not release", "lock_drop_solo", "swap_release", "&l->word"},
	{"a wake-up does not release", "weft__ready", "store_release", "&t->futex"},
	{"the canceller has no fence", "waiting_cancel", "heavy", ""},
};

MODEL_MAIN(scenarios, mutations)
