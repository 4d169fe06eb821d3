/* SPDX-License-Identifier: MIT
 *
 * polldesc.cpp - model of a descriptor's record, core/polldesc.h: readiness against deadline, against cancel (the same to it) and against close. No event is lost
 * between a try and the wait, nobody is woken by an event that came before its try, a wait that was ended leaves nothing behind, and an event of a descriptor that was
 * closed does nothing to the one that has its record now.
 *
 * The kernel's side of a socket is one counter of bytes.  A task that sleeps for ever shows as a livelock.
 */
#include "lock.h"
#include "model.h"

#include "base/list.h"
#include "core/waitword.h"

struct inject_node {
	struct inject_node *next;
};

struct waiter;

struct weft_task {
	ATOMIC(uint64_t) wait;
	ATOMIC(uint32_t) ready; /* how often it was made runnable */
	struct inject_node next;
	struct waiter *waiters;
};

struct waiter {
	struct list_node link;
	struct weft_task *task;
	uint64_t word;
	int status;
};

static bool waiter_claim(struct waiter *w, int status, bool)
{
	struct weft_task *t = w->task;

	if (!wait_claim(&t->wait, w->word, WAIT_WOKEN))
		return false;
	w->status = status;
	t->waiters = w;
	return true;
}

#define lock_take_solo lock_take
#define lock_drop_solo lock_drop
#include "core/polldesc.h"

#define CLOSED (-1)

/* The ready list is given to the scheduler. */
static void make_ready(struct inject_node *n)
{
	while (n) {
		struct weft_task *t = container_of(n, struct weft_task, next);

		n = n->next;
		add_acq_rel(&t->ready, 1u);
	}
}

struct world {
	struct polldesc pd;
	struct weft_task t;
	struct waiter w[8]; /* one for each wait: frames that are gone */
	ATOMIC(uint32_t) bytes;
	uint32_t waits;

	void reset()
	{
		lock_reset(&pd.lock);
		shared_set(&pd.generation, (uint16_t)0);
		pd.home = NULL;
		for (int d = 0; d < POLL_DIRS; d++)
			list_init(&pd.side[d].waiters);
		poll_open(&pd);
		store_relaxed(&t.wait, (uint64_t)0);
		store_relaxed(&t.ready, 0u);
		store_relaxed(&bytes, 0u);
		waits = 0;
	}

	/* One blocking read. 1: a byte; 0: the end; CLOSED; WAIT_TIMEDOUT as -2. */
	int read()
	{
		for (;;) {
			uint32_t seen = poll_events(&pd, POLL_READ);
			bool end = load_relaxed(&pd.hung_up); /* as new as the count */
			uint32_t n = load_seq_cst(&bytes);    /* the try: a system call */
			int rc;

			while (n && !cas_seq_cst(&bytes, &n, n - 1))
				;
			if (n)
				return 1;
			if (end)
				return 0;
			if (MUTATED("the count is read after the try"))
				seen = poll_events(&pd, POLL_READ);
			rc = wait(seen);
			if (rc)
				return rc;
		}
	}

	int wait(uint32_t seen)
	{
		struct waiter *me = &w[waits];
		int rc;

		lock_take(&pd.lock, RANK_DESC);
		rc = poll_may_wait(&pd, POLL_READ, seen, CLOSED);
		if (rc == 0 && MUTATED("who waits does not look at the count again"))
			rc = 1;
		if (rc == CLOSED && MUTATED("who waits does not look whether it is closed"))
			rc = 1;
		if (rc != 1) {
			lock_drop(&pd.lock);
			return rc;
		}
		me->task = &t;
		me->word = wait_open(&t.wait, WAIT_OPEN);
		me->status = 0;
		list_push_tail(&pd.side[POLL_READ].waiters, &me->link);
		lock_drop(&pd.lock);
		waits++;
		RL_ASSERT(waits < 8);
		while (load_acquire(&t.ready) < waits)
			rl::yield(1, $);
		RL_ASSERT(load_relaxed(&t.ready) == waits); /* once a wait */
		if (wait_state(load_relaxed(&t.wait)) == WAIT_WOKEN) {
			RL_ASSERT(t.waiters == me); /* not by what an earlier wait left behind */
			RL_ASSERT(me->status == CLOSED || poll_events(&pd, POLL_READ) != seen);
			return me->status;
		}
		if (!MUTATED("a wait that timed out stays on the list")) {
			lock_take(&pd.lock, RANK_DESC);
			if (list_linked(&me->link))
				list_remove(&me->link);
			lock_drop(&pd.lock);
		}
		RL_ASSERT(!list_linked(&me->link));
		return -2;
	}

	/* What the loop hears. */
	void event(uint16_t generation, bool hung_up)
	{
		struct ready_list r;

		ready_list_init(&r);
		if (MUTATED("an event is not counted")) {
			lock_take(&pd.lock, RANK_DESC);
			if (shared_get(&pd.generation) == generation)
				poll_claim(&pd, POLL_READ, 0, &r);
			lock_drop(&pd.lock);
		} else if (MUTATED("an event does not look at the generation")) {
			lock_take(&pd.lock, RANK_DESC);
			generation = shared_get(&pd.generation);
			lock_drop(&pd.lock);
			poll_arrive(&pd, generation, 1u << POLL_READ, hung_up, &r);
		} else {
			poll_arrive(&pd, generation, 1u << POLL_READ, hung_up, &r);
		}
		make_ready(r.first);
	}

	/* A deadline or a cancel: claims the wait that is open, if any. */
	void timer()
	{
		uint64_t word = load_acquire(&t.wait);

		if (wait_is_open(word) && wait_claim(&t.wait, word, WAIT_TIMEDOUT))
			add_acq_rel(&t.ready, 1u);
	}
};

/* A byte comes, then the end; a deadline at any moment. */
struct ready_deadline : rl::test_suite<ready_deadline, 3> {
	world x;

	void before()
	{
		x.reset();
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			int got = 0, late = 0, rc;

			while ((rc = x.read()) != 0) {
				got += rc == 1;
				late += rc == -2;
			}
			RL_ASSERT(got == 1 && late <= 1);
			RL_ASSERT(list_empty(&x.pd.side[POLL_READ].waiters));
		} else if (id == 1) {
			add_seq_cst(&x.bytes, 1u);
			x.event(0, false);
			x.event(0, true);
		} else {
			x.timer();
		}
	}
};

/* The descriptor is closed under a reader while a byte comes, and its record serves another, of which no event has been heard. */
struct ready_close : rl::test_suite<ready_close, 3> {
	world x;

	void before()
	{
		x.reset();
	}

	void thread(unsigned id)
	{
		struct ready_list r;

		if (id == 0) {
			int rc = x.read();

			RL_ASSERT(rc == 1 || rc == CLOSED);
			if (rc == 1) {
				rc = x.read();
				RL_ASSERT(rc == CLOSED);
			}
		} else if (id == 1) {
			add_seq_cst(&x.bytes, 1u);
			x.event(0, false);
		} else {
			ready_list_init(&r);
			lock_take(&x.pd.lock, RANK_DESC);
			poll_shut(&x.pd, CLOSED, &r);
			if (MUTATED("closing keeps the generation"))
				shared_set(&x.pd.generation, (uint16_t)0);
			lock_drop(&x.pd.lock);
			make_ready(r.first);
		}
	}

	void after()
	{
		RL_ASSERT(list_empty(&x.pd.side[POLL_READ].waiters));
	}
};

/* A record that is closed and opened for another descriptor, before, while or after an event of the first is heard. */
struct late_event : rl::test_suite<late_event, 2> {
	world x;

	void before()
	{
		x.reset();
	}

	void thread(unsigned id)
	{
		struct ready_list r;

		if (id == 0) {
			x.event(0, true);
			return;
		}
		ready_list_init(&r);
		lock_take(&x.pd.lock, RANK_DESC);
		poll_shut(&x.pd, CLOSED, &r);
		if (MUTATED("closing keeps the generation"))
			shared_set(&x.pd.generation, (uint16_t)0);
		lock_drop(&x.pd.lock);
		poll_open(&x.pd);
	}

	void after()
	{
		RL_ASSERT(load_relaxed(&x.pd.side[POLL_READ].events) == POLL_FIRST);
		RL_ASSERT(!load_relaxed(&x.pd.hung_up));
	}
};

static const struct scenario scenarios[] = {
	{"readiness against a deadline", rl::simulate<ready_deadline>, 200000, 2},
	{"readiness against close", rl::simulate<ready_close>, 200000, 2},
	{"a late event", rl::simulate<late_event>, 20000, 3},
};

static const struct mutation mutations[] = {
	{"the count is read after the try"},
	{"who waits does not look at the count again"},
	{"who waits does not look whether it is closed"},
	{"a wait that timed out stays on the list"},
	{"an event is not counted"},
	{"an event does not look at the generation"},
	{"closing keeps the generation"},
	{"the count is read without acquire", "poll_events", "load_acquire", "&pd->side[d].events"},
	{"the count is stored without release", "poll_arrive", "store_release", "&pd->side[d].events"},
};

MODEL_MAIN(scenarios, mutations)
