/* SPDX-License-Identifier: MIT
 *
 * park.cpp - model of core/park.c as it is, elided (base/solo.h) and not: no unpark is lost, whether it comes before, in or after the wait, or as its deadline
 * passes.
 *
 * Thread 0 is the worker's task, alone in weft; the others come at any moment, end elision, say that they have come, and unpark it.  It parks until both
 * have said so.  A lost permit shows as a deadlock; that it was woken and sees neither is an order that is missing.
 */
#define MODEL_SOLO
bool model_enter();
void model_leave();
#define solo_elides() model_enter()
#define solo_elided() model_leave()
#define solo_is_on() false

#include "waiting.h"

#include "base/config.h"
#undef LOCK_SPINS
#undef LOCK_PAUSE
#define LOCK_SPINS 1
#define LOCK_PAUSE 1
#include "base/lock.c"

#define HASTY "the second thread does not wait for `in`"
#define DROPPED "an unpark whose claim was lost leaves no permit"

static struct solo *solo; /* of this execution */
static bool dropped;      /* mutation DROPPED: the unpark in hand has nobody to wake */

bool model_enter()
{
	return solo_enter(solo);
}

void model_leave()
{
	solo_leave(solo);
}

/* weft__solo_end */
static void arrive()
{
	uint32_t draining = SOLO_DRAINING;

	while (!(MUTATED(HASTY) && cas_acq_rel(&solo->state, &draining, SOLO_NEVER)) && !solo_end(solo)) {
		draining = SOLO_DRAINING;
		rl::yield(1, $);
	}
}

static bool claim(const char *func, ATOMIC(uint64_t) *w, uint64_t word, enum wait_state why)
{
	if (wait_claim(w, word, why))
		return true;
	dropped = !strcmp(func, "weft_task_unpark") && MUTATED(DROPPED);
	return dropped;
}

static void ready(struct worker *w, struct weft_task *t)
{
	if (!dropped)
		weft__ready(w, t);
	dropped = false;
}

static int64_t clock_now()
{
	return 1;
}

static int64_t clock_add(int64_t now, int64_t ns)
{
	return now + ns;
}

static void weft_task_yield()
{
}

#define wait_claim(w, word, why) claim(__func__, w, word, why)
#define weft__ready(w, t) ready(w, t)
#include "core/park.c"
#undef wait_claim
#undef weft__ready

template <typename suite> struct parks : rl::test_suite<suite, 3> {
	struct solo s;
	struct weft_task tasks[WAITING_THREADS];
	ATOMIC(uint32_t) come[3];

	void before()
	{
		solo = &s;
		store_relaxed(&s.state, SOLO_ON);
		store_relaxed(&s.in, 0u);
		waiting_reset(tasks);
		for (int i = 0; i < 3; i++)
			store_relaxed(&come[i], 0u);
		dropped = false;
	}

	void others(unsigned id)
	{
		arrive();
		store_relaxed(&come[id], 1u); /* ordered by the unpark */
		weft_task_unpark(&tasks[0]);
	}

	/* How many have come, as the task sees it. */
	unsigned seen()
	{
		return load_relaxed(&come[1]) + load_relaxed(&come[2]); /* as above */
	}

	/* timed: so many of its waits have a deadline. */
	void until_both(int timed)
	{
		while (seen() < 2) {
			int rc = weft_task_park_until(timed > 0 ? INT64_MAX - 1 : WEFT_FOREVER);

			RL_ASSERT(rc == 0 ? seen() > 0 : rc == WEFT_ETIMEDOUT && timed > 0);
			timed--;
		}
	}
};

struct unparked : parks<unparked> {
	void thread(unsigned id)
	{
		if (id)
			others(id);
		else
			until_both(0);
	}
};

struct deadline_passes : parks<deadline_passes> {
	void thread(unsigned id)
	{
		if (id)
			others(id);
		else
			until_both(2);
	}
};

static const struct scenario scenarios[] = {
	{"two threads come and unpark", rl::simulate<unparked>, 100000, 2},
	{"they come as the deadline passes", rl::simulate<deadline_passes>, 100000, 1},
};

static const struct mutation mutations[] = {
	{DROPPED},
	{HASTY},
	{"the second thread has no fence", "solo_end", "heavy", ""},
	{"a section has no fence", "solo_enter", "fence", ""},
	{"the permit does not acquire and release", "solo_cas64", "cas_acq_rel", "p"},
};

MODEL_MAIN(scenarios, mutations)
