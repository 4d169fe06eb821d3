/* SPDX-License-Identifier: MIT
 *
 * ring.cpp - model of a channel whose sides are apart, sync/chan_ring.h: one sends, one receives, each without the lock, while a third has the sides come
 * together, and roles move from worker to worker.  Values arrive once and in order, and nobody touches a slot, a head or a length that another is at (Relacy
 * finds the race).
 *
 * The channel around it is the simplest there is: under the lock a head and a length.  Threads are workers; a task that is moved to another worker is a role
 * that another thread goes on with.
 */
#include "lock.h"
#include "model.h"

#include "sync/chan_ring.h"

enum { CAP = 2, VALUES = 3 };

struct channel {
	struct lock lock;
	ATOMIC(uint8_t) quick;
	struct chan_side put, get;
	rl::var<uint32_t> head, len;
	rl::var<int> buf[CAP];
	int next;          /* value to be received next; by whoever receives */
	rl::var<int> sent; /* values sent; by whoever sends */

	void reset(bool apart, void *w0, void *w1)
	{
		lock_reset(&lock);
		store_relaxed(&quick, (uint8_t)CHAN_SINGLE);
		for (struct chan_side *s : {&put, &get}) {
			store_relaxed(&s->busy, 0u);
			store_relaxed(&s->count, 0u);
			s->seen($) = 0u;
			s->at($) = 0u;
		}
		store_relaxed(&put.worker, w0);
		store_relaxed(&get.worker, w1);
		head($) = 0u;
		len($) = 0u;
		next = 0;
		sent($) = 0;
		if (apart)
			chan_sides_part(&put, &get, &quick, CHAN_APART | CHAN_SINGLE, 0, 0, CAP);
	}

	bool is_of(void *w)
	{
		return load_relaxed(&put.worker) == w && load_relaxed(&get.worker) == w;
	}

	/* Locked. */
	void join(void *w)
	{
		if (!(load_relaxed(&quick) & CHAN_APART))
			return;
		chan_sides_call(&quick, CHAN_SINGLE, is_of(w) || MUTATED("no fence between workers"));
		if (!MUTATED("the busy are not waited for")) {
			while (!chan_side_left(&put) || !chan_side_left(&get))
				rl::yield(1, $);
		}
		head($) = shared_get(&get.at);
		len($) = load_relaxed(&put.count) - load_relaxed(&get.count);
	}

	/* The same, after an operation of the role whose side it is. */
	void calm(struct chan_side *s, void *w, bool part)
	{
		store_relaxed(&s->worker, w);
		if (part)
			chan_sides_part(&put, &get, &quick, CHAN_APART | CHAN_SINGLE, head($), len($), CAP);
	}

	bool enter(struct chan_side *s, void *w)
	{
		if (MUTATED("an owner enters on any worker"))
			w = load_relaxed(&s->worker);
		return chan_side_enter(s, &quick, w);
	}

	bool send(int v, void *w, bool part)
	{
		bool done = false;

		if (enter(&put, w)) {
			if (chan_side_room(&put, &get, CAP)) {
				buf[shared_get(&put.at)]($) = v;
				chan_side_step(&put, CAP);
				done = true;
			}
			chan_side_leave(&put);
			return done;
		}
		lock_take(&lock, RANK_CHAN);
		join(w);
		if (len($) < CAP) {
			buf[(head($) + len($)) % CAP]($) = v;
			len($) = len($) + 1;
			done = true;
		}
		calm(&put, w, part);
		lock_drop(&lock);
		return done;
	}

	bool recv(void *w, bool part)
	{
		bool done = false;

		if (enter(&get, w)) {
			if (chan_side_filled(&get, &put)) {
				RL_ASSERT(buf[shared_get(&get.at)]($) == next);
				next++;
				chan_side_step(&get, CAP);
				done = true;
			}
			chan_side_leave(&get);
			return done;
		}
		lock_take(&lock, RANK_CHAN);
		join(w);
		if (len($)) {
			RL_ASSERT(buf[head($)]($) == next);
			next++;
			head($) = (head($) + 1) % CAP;
			len($) = len($) - 1;
			done = true;
		}
		calm(&get, w, part);
		lock_drop(&lock);
		return done;
	}

	/* What close, len, select do: the sides come together; part: they go apart again later. */
	void look(void *w, bool part)
	{
		lock_take(&lock, RANK_CHAN);
		join(w);
		RL_ASSERT(len($) <= CAP);
		if (part)
			chan_sides_part(&put, &get, &quick, CHAN_APART | CHAN_SINGLE, head($), len($), CAP);
		lock_drop(&lock);
	}

	/* All that was sent and not received is in it. */
	void check()
	{
		lock_take(&lock, RANK_CHAN);
		join(NULL);
		RL_ASSERT(sent($) == next + (int)len($));
		for (uint32_t i = 0; i < len($); i++)
			RL_ASSERT(buf[(head($) + i) % CAP]($) == next + (int)i);
		lock_drop(&lock);
	}
};

static char workers[3]; /* addresses */

/* One sends, one receives, apart from the start; nobody else. */
struct two : rl::test_suite<two, 2> {
	struct channel c;

	void before()
	{
		c.reset(true, &workers[0], &workers[1]);
	}

	void thread(unsigned id)
	{
		for (int i = 0; i < VALUES + 1; i++) {
			if (id == 0)
				c.sent($) = c.sent($) + c.send(c.sent($), &workers[0], true);
			else
				c.recv(&workers[1], true);
		}
	}

	void after()
	{
		c.check();
	}
};

/* The same, and a third looks in: the sides come together, and part again at the next operation. */
struct looked_at : rl::test_suite<looked_at, 3> {
	struct channel c;

	void before()
	{
		c.reset(true, &workers[0], &workers[1]);
	}

	void thread(unsigned id)
	{
		for (int i = 0; i < 2; i++) {
			if (id == 0)
				c.sent($) = c.sent($) + c.send(c.sent($), &workers[0], true);
			else if (id == 1)
				c.recv(&workers[1], true);
			else
				c.look(&workers[2], false);
		}
	}

	void after()
	{
		c.check();
	}
};

/* They part under the hands of those who do not know it yet. */
struct parted : rl::test_suite<parted, 3> {
	struct channel c;

	void before()
	{
		c.reset(false, &workers[0], &workers[1]);
	}

	void thread(unsigned id)
	{
		for (int i = 0; i < 2; i++) {
			if (id == 0)
				c.sent($) = c.sent($) + c.send(c.sent($), &workers[0], false);
			else if (id == 1)
				c.recv(&workers[1], false);
			else
				c.look(&workers[2], true);
		}
	}

	void after()
	{
		c.check();
	}
};

/* Both owners belong to one worker, so it needs no fence; then the sender is moved to another. */
struct moved : rl::test_suite<moved, 2> {
	struct channel c;
	ATOMIC(uint32_t) stolen;

	void before()
	{
		c.reset(true, &workers[0], &workers[0]);
		store_relaxed(&stolen, 0u);
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			c.sent($) = c.sent($) + c.send(c.sent($), &workers[0], true);
			store_release(&stolen, 1u); /* as a queue of tasks orders it */
			c.recv(&workers[0], true);
			c.look(&workers[0], false);
			c.recv(&workers[0], true);
		} else {
			while (!load_acquire(&stolen))
				rl::yield(1, $);
			for (int i = 0; i < 2; i++)
				c.sent($) = c.sent($) + c.send(c.sent($), &workers[1], true);
		}
	}

	void after()
	{
		c.check();
	}
};

static const struct scenario scenarios[] = {
	{"one sends, one receives", rl::simulate<two>, 60000, 2},
	{"a third has them come together", rl::simulate<looked_at>, 80000, 1},
	{"a third has them part", rl::simulate<parted>, 80000, 1},
	{"the sender is moved to another worker", rl::simulate<moved>, 60000, 2},
};

static const struct mutation mutations[] = {
	{"no fence between workers"},
	{"the busy are not waited for"},
	{"an owner enters on any worker"},
	{"an owner has no fence", "chan_side_enter", "fence", ""},
	{"an owner does not acquire what was done together", "chan_side_enter", "load_acquire", "quick"},
	{"leaving does not release", "chan_side_leave", "store_release", "&s->busy"},
	{"who joins does not acquire", "chan_side_left", "load_acquire", "&s->busy"},
	{"who joins has no fence", "chan_sides_call", "heavy", ""},
	{"a slot is filled while it is read", "chan_side_room", "load_acquire", "&get->count"},
	{"a slot is read while it is filled", "chan_side_filled", "load_acquire", "&put->count"},
	{"a step does not release", "chan_side_step", "store_release", "&s->count"},
	{"parting does not release", "chan_sides_part", "store_release", "quick"},
};

MODEL_MAIN(scenarios, mutations)
