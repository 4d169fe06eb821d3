/* SPDX-License-Identifier: MIT
 *
 * cancel.cpp - model of cancel against park, over core/waitword.h and base/asym.h: exactly one of waker, canceller and
 * the task itself ends a wait, and no task sleeps for ever with its flag set.
 *
 * The task waits twice; a waker wakes at most the first wait it finds; the canceller cancels once, at any moment.  So
 * the second wait ends only because cancelling finds the task, wherever it is.  A task that sleeps for ever shows as a
 * livelock.
 */
#include "lock.h"
#include "model.h"

#include "core/waitword.h"

struct cancel_park : rl::test_suite<cancel_park, 3> {
	ATOMIC(uint64_t) wait;
	ATOMIC(uint32_t) flag;
	ATOMIC(uint32_t) ready; /* how often the task was made runnable: the scheduler's queue */
	struct lock lock;       /* the source's */
	rl::var<uint64_t> list; /* the word of the listed waiter, or 0; under lock */
	/* the waiter's element: written by the task before it lists it, filled by the waker that won */
	rl::var<int> slot;
	int ends; /* how often the present wait was ended */

	void before()
	{
		store_relaxed(&wait, (uint64_t)0);
		store_relaxed(&flag, 0u);
		store_relaxed(&ready, 0u);
		lock_reset(&lock);
		list($) = 0;
		slot($) = 0;
		ends = 0;
	}

	void make_ready()
	{
		ends++;
		add_acq_rel(&ready, 1u); /* stands for a queue: a task is put there by the one who claimed it */
	}

	void withdraw()
	{
		lock_take(&lock, RANK_CHAN);
		list($) = 0;
		lock_drop(&lock);
	}

	/* One blocking call. False: cancelled. */
	bool block(uint32_t nth)
	{
		uint64_t word;
		uint32_t was;

		if (load_relaxed(&flag)) /* on entry: a hint, the look below decides */
			return false;
		ends = 0;
		slot($) = 0;
		lock_take(&lock, RANK_CHAN);
		word = wait_open(&wait, WAIT_OPEN);
		list($) = word;
		lock_drop(&lock);
		asym_light();
		if (!MUTATED("the task does not look at its flag") && load_relaxed(&flag) && wait_claim(&wait, word, WAIT_CANCELED)) {
			ends++;
			withdraw();
			RL_ASSERT(ends == 1);
			return false;
		}
		was = load_acquire(&ready);
		while (was == nth) { /* parked */
			rl::yield(1, $);
			was = load_acquire(&ready);
		}
		RL_ASSERT(was == nth + 1);
		RL_ASSERT(ends == 1);
		RL_ASSERT(!wait_is_open(load_relaxed(&wait)));
		if (wait_state(load_relaxed(&wait)) == WAIT_WOKEN) {
			RL_ASSERT(slot($) == 7);
			return true;
		}
		RL_ASSERT(load_relaxed(&flag) == 1);
		withdraw();
		return false;
	}

	void task()
	{
		if (block(0))
			RL_ASSERT(!block(1));
	}

	void canceller()
	{
		uint64_t word;

		store_relaxed(&flag, 1u); /* pairs with load_relaxed in block, both between fences */
		asym_heavy();
		word = load_acquire(&wait);
		if (!wait_is_open(word))
			return;
		if (MUTATED("the canceller closes the wait by a store")) {
			store_release(&wait, (word & ~(WAIT_SEQ_ONE - 1)) | WAIT_CANCELED);
			make_ready();
		} else if (wait_claim(&wait, word, WAIT_CANCELED)) {
			make_ready();
		}
	}

	void waker()
	{
		uint64_t word;
		bool won = false;

		lock_take(&lock, RANK_CHAN);
		word = list($);
		if (word) {
			list($) = 0;
			won = wait_claim(&wait, word, WAIT_WOKEN);
			if (won)
				slot($) = 7;
		}
		lock_drop(&lock);
		if (won)
			make_ready();
	}

	void thread(unsigned id)
	{
		if (id == 0)
			task();
		else if (id == 1)
			canceller();
		else
			waker();
	}
};

/* A waker that holds a reference without the source's lock: it may come long after its wait was ended by somebody else,
 * while the task stands in its next wait.  The sequence in the word keeps it from ending that one. */
struct late_claim : rl::test_suite<late_claim, 3> {
	ATOMIC(uint64_t) wait, published;
	ATOMIC(uint32_t) ready;
	int woken_by[2];

	void before()
	{
		store_relaxed(&wait, (uint64_t)0);
		store_relaxed(&published, (uint64_t)0);
		store_relaxed(&ready, 0u);
		woken_by[0] = woken_by[1] = -1;
	}

	void thread(unsigned id)
	{
		uint64_t word;

		if (id == 0) {
			for (uint32_t n = 0; n < 2; n++) {
				store_release(&published, wait_open(&wait, WAIT_OPEN));
				while (load_acquire(&ready) == n)
					rl::yield(1, $);
				RL_ASSERT(woken_by[n] >= 0);
			}
			return;
		}
		/* Two wakers, one per wait in turn; each reads one published word and may be late with it. */
		for (;;) {
			word = load_acquire(&published);
			if (word && wait_seq(word) >= (id == 1 ? 1u : 2u))
				break;
			/* too early for us: try the first wait as well, in a race with 1 */
			if (word && id == 2 && wait_seq(word) == 1) {
				if (claim(word, id))
					continue;
			}
			rl::yield(1, $);
		}
		claim(word, id);
		if (id == 1) {
			while (load_acquire(&ready) < 1)
				rl::yield(1, $);
		}
	}

	bool claim(uint64_t word, unsigned id)
	{
		uint64_t target = word;

		if (MUTATED("a claim forgets the sequence")) {
			target = load_acquire(&wait);
			if (!wait_is_open(target))
				return false;
		}
		if (!wait_claim(&wait, target, WAIT_WOKEN))
			return false;
		RL_ASSERT(woken_by[wait_seq(word) - 1] == -1); /* the wait that was meant */
		woken_by[wait_seq(word) - 1] = (int)id;
		add_acq_rel(&ready, 1u);
		return true;
	}
};

/* A wait that is on no list (a sleep), against a canceller and a timer that goes by the deadline in the record.  The
 * timer that wins has read the deadline of the very wait it ends. */
struct cancel_sleep : rl::test_suite<cancel_sleep, 3> {
	ATOMIC(uint64_t) wait;
	ATOMIC(int64_t) deadline;
	ATOMIC(uint32_t) flag, ready;

	void before()
	{
		store_relaxed(&wait, (uint64_t)0);
		store_relaxed(&deadline, (int64_t)0);
		store_relaxed(&flag, 0u);
		store_relaxed(&ready, 0u);
	}

	/* Returns why it ended. */
	enum wait_state sleep_until(uint32_t nth, int64_t when)
	{
		uint64_t word;

		if (load_relaxed(&flag))
			return WAIT_CANCELED;
		store_relaxed(&deadline, when); /* made visible by the release store in wait_open */
		word = wait_open(&wait, WAIT_OPEN);
		asym_light();
		if (load_relaxed(&flag) && wait_claim(&wait, word, WAIT_CANCELED))
			return WAIT_CANCELED;
		while (load_acquire(&ready) == nth)
			rl::yield(1, $);
		return wait_state(load_relaxed(&wait));
	}

	void thread(unsigned id)
	{
		uint64_t word;
		int64_t when;

		if (id == 0) {
			if (sleep_until(0, 100) == WAIT_TIMEDOUT)
				sleep_until(1, 200);
			return;
		}
		if (id == 1) {
			store_relaxed(&flag, 1u);
			asym_heavy();
		}
		word = load_acquire(&wait);
		if (!wait_is_open(word))
			return;
		when = load_relaxed(&deadline); /* ordered by the acquire */
		if (!wait_claim(&wait, word, id == 1 ? WAIT_CANCELED : WAIT_TIMEDOUT))
			return;
		RL_ASSERT(when == (int64_t)wait_seq(word) * 100);
		add_acq_rel(&ready, 1u);
	}
};

/* A task that waits under a shield, then without it: the first wait is ended by its waker, whenever it is cancelled, the second one by the canceller. */
struct cancel_shield : rl::test_suite<cancel_shield, 3> {
	ATOMIC(uint64_t) wait, listed;
	ATOMIC(uint32_t) cancel, ready;

	void before()
	{
		store_relaxed(&wait, (uint64_t)0);
		store_relaxed(&listed, (uint64_t)0);
		store_relaxed(&cancel, 0u);
		store_relaxed(&ready, 0u);
	}

	void set_shield(uint32_t bit)
	{
		uint32_t was = load_relaxed(&cancel);

		while (!cas_relaxed(&cancel, &was, (was & ~CANCEL_SHIELD) | bit))
			;
	}

	void park(uint32_t nth, uint64_t word)
	{
		asym_light();
		if (cancel_counts(load_relaxed(&cancel)) && wait_claim(&wait, word, WAIT_CANCELED))
			return;
		while (load_acquire(&ready) == nth)
			rl::yield(1, $);
	}

	void task()
	{
		uint64_t word;

		set_shield(CANCEL_SHIELD);
		word = wait_open(&wait, WAIT_OPEN);
		store_release(&listed, word);
		park(0, word);
		RL_ASSERT(wait_state(load_relaxed(&wait)) == WAIT_WOKEN);
		set_shield(0);
		if (cancel_counts(load_relaxed(&cancel)))
			return;
		park(1, wait_open(&wait, WAIT_OPEN));
		RL_ASSERT(wait_state(load_relaxed(&wait)) == WAIT_CANCELED);
	}

	void canceller()
	{
		uint32_t was = load_relaxed(&cancel);
		bool counts = false;
		uint64_t word;

		while (!cas_acq_rel(&cancel, &was, was | CANCEL_OWN))
			;
		asym_heavy();
		if (MUTATED("the canceller looks for the shield before the wait"))
			counts = cancel_counts(load_relaxed(&cancel));
		word = load_acquire(&wait);
		if (!counts)
			counts = cancel_counts(load_relaxed(&cancel));
		if (MUTATED("the canceller does not look for the shield"))
			counts = true;
		if (wait_state(word) == WAIT_OPEN && counts && wait_claim(&wait, word, WAIT_CANCELED))
			add_acq_rel(&ready, 1u);
	}

	void waker()
	{
		uint64_t word;

		while ((word = load_acquire(&listed)) == 0)
			rl::yield(1, $);
		if (wait_claim(&wait, word, WAIT_WOKEN))
			add_acq_rel(&ready, 1u);
	}

	void thread(unsigned id)
	{
		if (id == 0)
			task();
		else if (id == 1)
			canceller();
		else
			waker();
	}
};

static const struct scenario scenarios[] = {
	{"cancel against park and wake", rl::simulate<cancel_park>, 400000, 2},
	{"cancel against sleep and timer", rl::simulate<cancel_sleep>, 200000, 3},
	{"cancel against a shield", rl::simulate<cancel_shield>, 200000, 2},
	{"late claims", rl::simulate<late_claim>, 200000, 2},
};

static const struct mutation mutations[] = {
	{"the task has no fence", "sleep_until", "fence", ""},
	{"the canceller has no fence", "canceller", "heavy", ""},
	{"the task does not look at its flag"},
	{"the canceller closes the wait by a store"},
	{"a claim forgets the sequence"},
	{"opening a wait does not release", "wait_open", "store_release", "w"},
	{"the canceller looks for the shield before the wait"},
	{"the canceller does not look for the shield"},
	{"the shield is looked for without acquire of the wait", "canceller", "load_acquire", "&wait"},
	{"the word is read without acquire", "thread", "load_acquire", "&wait"},
};

MODEL_MAIN(scenarios, mutations)
