/* SPDX-License-Identifier: MIT
 *
 * chan_hold_line.c - elements in place: reserve and peek in one line with everybody else who uses the channel, with a bound and without.
 */
#include "ways.h"

#include "sync/chan.h"

/* --- with a bound --- */

enum { LINE = 12 };

/* Whoever sends waits while the tail is held, however he does it, and in line; who receives goes on. */
static int tail_held_main(void *arg)
{
	static const size_t caps[] = {1, 2, 3, LINE + 4, WEFT_CHAN_UNBOUNDED};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(caps) * 2; i++) {
		bool commit = i % 2;
		weft_chan *c = weft_chan_make(8, caps[i / 2]);
		struct call k[LINE];
		weft_task *t[LINE];
		int64_t v, *slot;

		T_EQ(weft_chan_send(c, &(int64_t){-2}), 0);
		T_EQ(weft_chan_recv(c, NULL), 0);
		T_EQ(weft_chan_reserve(c, (void **)&slot), 0);
		for (int j = 0; j < LINE; j++) {
			k[j] = (struct call){.c = c, .what = (enum what)(j % 3), .v = j};
			t[j] = start(call, &k[j]);
			until_parked(t[j]);
		}
		T_EQ(weft_chan_tryrecv(c, &v), WEFT_EAGAIN); /* not even to the senders who wait */
		T_EQ(weft_chan_len(c), 0);
		*slot = -1;
		T_EQ(commit ? weft_chan_commit(c) : weft_chan_abort(c), 0);
		for (int j = commit ? -1 : 0; j < LINE; j++) {
			T_EQ(weft_chan_recv(c, &v), 0);
			T_EQ(v, j);
		}
		for (int j = 0; j < LINE; j++)
			T_EQ(finish(t[j]), 0);
		T_EQ(weft_chan_len(c), 0);
		weft_chan_free(c);
	}
	return 0;
}

TEST_WORKERS(a_held_tail_keeps_senders_in_line)
{
	run(tail_held_main, NULL);
}

/* Whoever receives waits while the head is held, and in line; who sends goes on as long as there is room, and waits in line behind. */
static int head_held_main(void *arg)
{
	static const size_t caps[] = {1, 2, 3, 2 * LINE + 4, WEFT_CHAN_UNBOUNDED};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
		weft_chan *c = weft_chan_make(8, caps[i]);
		struct call r[LINE], s[LINE];
		weft_task *tr[LINE], *ts[LINE];
		int64_t *slot;

		T_EQ(weft_chan_send(c, &(int64_t){-1}), 0);
		T_EQ(weft_chan_peek(c, (void **)&slot), 0);
		for (int j = 0; j < LINE; j++) {
			r[j] = (struct call){.c = c, .what = (enum what)(RECV + j % 3), .v = -7};
			tr[j] = start(call, &r[j]);
			until_parked(tr[j]);
			s[j] = (struct call){.c = c, .what = (enum what)(j % 3), .v = j};
			ts[j] = start(call, &s[j]);
			if (caps[i] > (size_t)j + 1)
				T_EQ(finish(ts[j]), 0); /* there is room */
			else
				until_parked(ts[j]);
		}
		T_EQ(*slot, -1);
		T_EQ(weft_chan_release(c), 0);
		for (int j = 0; j < LINE; j++) {
			T_EQ(finish(tr[j]), 0);
			T_EQ(r[j].v, j);
			if (caps[i] <= (size_t)j + 1)
				T_EQ(finish(ts[j]), 0);
		}
		T_EQ(weft_chan_len(c), 0);
		weft_chan_free(c);
	}
	return 0;
}

TEST_WORKERS(a_held_head_keeps_receivers_in_line)
{
	run(head_held_main, NULL);
}

/* Receivers and peekers that wait upon an empty channel are served in the order they came, also what comes by select, by send_many, and by commit. */
static int peekers_main(void *arg)
{
	(void)arg;
	for (int how = 0; how < 4; how++) {
		weft_chan *c = weft_chan_make(8, how % 2 ? 3 : WEFT_CHAN_UNBOUNDED);
		struct call r[LINE];
		weft_task *t[LINE];
		int64_t all[LINE];

		for (int j = 0; j < LINE; j++) {
			all[j] = j;
			r[j] = (struct call){.c = c, .what = (enum what)(RECV + (j + how) % 3), .v = -7};
			t[j] = start(call, &r[j]);
			until_parked(t[j]);
		}
		if (how == 0) {
			T_EQ(weft_chan_send_many(c, all, LINE), LINE);
		} else {
			for (int j = 0; j < LINE; j++) {
				struct call one = {.c = c, .what = (enum what)(how - 1), .v = j};

				T_EQ(call(&one), 0);
			}
		}
		for (int j = 0; j < LINE; j++) {
			T_EQ(finish(t[j]), 0);
			T_EQ(r[j].v, j);
		}
		weft_chan_free(c);
	}
	return 0;
}

TEST_WORKERS(peekers_and_receivers_in_one_line)
{
	run(peekers_main, NULL);
}

/* --- without a bound --- */

/* Senders that waited for the tail find that there is no room after all: they are told, and theirs alone is not sent. */
static int no_room_main(void *arg)
{
	weft_chan *c;
	struct call k[5];
	weft_task *t[5];
	int64_t v, *slot;

	(void)arg;
	T_EQ(weft_chan_open(&c, &(weft_chan_opts){.elem = 8, .cap = WEFT_CHAN_UNBOUNDED, .max_bytes = 16}), 0);
	T_EQ(weft_chan_reserve(c, (void **)&slot), 0);
	*slot = -1;
	for (int i = 0; i < 5; i++) {
		k[i] = (struct call){.c = c, .what = (enum what)(i % 3), .v = i};
		t[i] = start(call, &k[i]);
		until_parked(t[i]);
	}
	T_EQ(weft_chan_commit(c), 0);
	for (int i = 0; i < 5; i++)
		T_EQ(finish(t[i]), i ? WEFT_ENOBUFS : 0);
	for (int i = -1; i < 1; i++) {
		T_EQ(weft_chan_tryrecv(c, &v), 0);
		T_EQ(v, i);
	}
	T_EQ(weft_chan_tryrecv(c, &v), WEFT_EAGAIN);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(waited_for_the_tail_and_found_no_room)
{
	run(no_room_main, NULL);
}

/* The tail is given to a task that waits for it, at the very end of a block, and the channel is emptied before that task runs. */
static int edge_main(void *arg)
{
	(void)arg;
	for (int extra = -2; extra < 3; extra++) {
		weft_chan *c = weft_chan_make(8, WEFT_CHAN_UNBOUNDED);
		int64_t per = c->blocks->per + extra, v, *slot;
		struct call k = {.c = c, .what = RESERVE, .v = 5};
		weft_task *t;

		for (int64_t i = 0; i < per - 1; i++)
			T_EQ(weft_chan_send(c, &i), 0);
		T_EQ(weft_chan_reserve(c, (void **)&slot), 0);
		*slot = per - 1;
		t = start(call, &k);
		until_parked(t);
		T_EQ(weft_chan_commit(c), 0); /* it is t's now */
		for (int64_t i = 0; i < per; i++) {
			T_EQ(weft_chan_tryrecv(c, &v), 0);
			T_EQ(v, i);
		}
		T_EQ(finish(t), 0);
		T_EQ(weft_chan_recv(c, &v), 0);
		T_EQ(v, 5);
		for (int64_t i = 0; i < 3 * per; i++)
			T_EQ(weft_chan_send(c, &i), 0);
		for (int64_t i = 0; i < 3 * per; i++) {
			T_EQ(weft_chan_recv(c, &v), 0);
			T_EQ(v, i);
		}
		weft_chan_free(c);
	}
	return 0;
}

TEST_WORKERS(emptied_before_the_tail_is_used)
{
	run(edge_main, NULL);
}

/* A reservation, then an empty channel, then abort or commit, at every place of a block. */
TEST(drained_under_a_reservation)
{
	weft_chan *c = weft_chan_make(8, WEFT_CHAN_UNBOUNDED);
	int64_t per = c->blocks->per, v, *slot;

	for (int64_t n = 0; n < 2 * per + 2; n++) {
		for (int commit = 0; commit < 2; commit++) {
			for (int64_t i = 0; i < n; i++)
				T_EQ(weft_chan_send(c, &i), 0);
			T_EQ(weft_chan_reserve(c, (void **)&slot), 0);
			*slot = n;
			for (int64_t i = 0; i < n; i++) {
				T_EQ(weft_chan_recv(c, &v), 0);
				T_EQ(v, i);
			}
			T_EQ(*slot, n);
			T_EQ(commit ? weft_chan_commit(c) : weft_chan_abort(c), 0);
			T_EQ(weft_chan_tryrecv(c, &v), commit ? 0 : WEFT_EAGAIN);
			T_EQ(v, commit ? n : n ? n - 1 : v);
		}
	}
	weft_chan_free(c);
}

/* --- all of it at once --- */

enum { CROWD = 6, SHIFT = 32 };

struct crowd {
	weft_chan *c;
	long each;
	ATOMIC(int) number;
	ATOMIC(long) arrived;
};

static int crowd_sender(void *arg)
{
	struct crowd *w = arg;
	int64_t me = (int64_t)add_relaxed(&w->number, 1) << SHIFT;
	struct rng rng;

	rng_seed(&rng, (uint64_t)me, 7);
	for (long i = 0; i < w->each;) {
		uint32_t dice = rng_below(&rng, 8);
		struct call k = {.c = w->c, .what = (enum what)(dice % 3), .v = me | i};
		void *slot;
		int rc;

		if (dice == 6) {
			T_EQ(weft_chan_reserve(w->c, &slot), 0);
			weft_task_yield();
			T_EQ(weft_chan_abort(w->c), 0);
			continue;
		}
		if (dice == 7)
			rc = weft_chan_trysend(w->c, &k.v);
		else {
			k.deadline = dice > 3 ? weft_in(rng_below(&rng, 50) * WEFT_US) : 0;
			rc = call(&k);
		}
		if (rc == 0)
			i++;
		else
			T_OK(rc == WEFT_ETIMEDOUT || rc == WEFT_EAGAIN);
		if (rc == WEFT_EAGAIN)
			weft_task_yield();
	}
	return 0;
}

static int crowd_receiver(void *arg)
{
	struct crowd *w = arg;
	int64_t last[CROWD], got[5];
	struct rng rng;

	memset(last, -1, sizeof last);
	rng_seed(&rng, (uint64_t)add_relaxed(&w->number, 1), 9);
	for (;;) {
		uint32_t dice = rng_below(&rng, 8);
		struct call k = {.c = w->c, .what = (enum what)(RECV + dice % 3)};
		ssize_t n;

		if (dice == 7) {
			n = weft_chan_recv_many(w->c, got, ARRAY_LEN(got));
		} else {
			k.deadline = dice > 3 ? weft_in(rng_below(&rng, 50) * WEFT_US) : 0;
			n = call(&k);
			if (n == 0)
				n = 1;
			got[0] = k.v;
		}
		if (n == WEFT_ECLOSED)
			return 0;
		for (ssize_t i = 0; i < n; i++) {
			int who = (int)(got[i] >> SHIFT);

			T_LT(last[who], got[i] & UINT32_MAX);
			last[who] = got[i] & UINT32_MAX;
			add_relaxed(&w->arrived, 1l);
		}
	}
}

static int crowd_main(void *arg)
{
	static const size_t caps[] = {1, 2, 3, 40, WEFT_CHAN_UNBOUNDED};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
		struct crowd w = {.c = weft_chan_make(8, caps[i]), .each = tap_iters(1500)};
		weft_task *s[CROWD], *r[CROWD];

		for (int j = 0; j < CROWD; j++)
			s[j] = start(crowd_sender, &w);
		until(load_relaxed(&w.number) == CROWD);
		for (int j = 0; j < CROWD; j++)
			r[j] = start(crowd_receiver, &w);
		for (int j = 0; j < CROWD; j++)
			T_EQ(finish(s[j]), 0);
		T_EQ(weft_chan_close(w.c), 0);
		for (int j = 0; j < CROWD; j++)
			T_EQ(finish(r[j]), 0);
		T_EQ(load_relaxed(&w.arrived), CROWD * w.each);
		weft_chan_free(w.c);
	}
	return 0;
}

/* Senders and receivers of all sorts, in place and not, with deadlines and without: each element arrives once, and in its sender's order. */
TEST_WORKERS(in_place_and_not)
{
	tap_limit(90);
	run(crowd_main, NULL);
}
