/* SPDX-License-Identifier: MIT
 *
 * chan_ring.c - channels that are promised to one sender and one receiver: every step between sides apart, together and settled (sync/chan_ring.h), what brings them together,
 * and promises that are broken. For long: chan_ring_run.c.
 */
#include "ring.h"

/* --- the states --- */

/* A thread of its own: the sides part after so many operations without a wait, come together for whoever is no worker, less and less often, are settled
 * in the end, and after a thousand waits they may part again. What is in the channel is the same throughout. */
TEST(apart_together_settled)
{
	weft_chan *c = opened(8, 3);
	struct chan_ring *r = c->ring;
	uint32_t before = r->patience;
	long in = 0, out = 0, partings = 0;
	int64_t v;

	if (r->settled == CHAN_NEVER_APART)
		tap_skip("the sides do not part under this sanitizer");
	T_EQ(load_relaxed(&c->quick), CHAN_SINGLE);
	for (long i = 0; !r->settled; i++) {
		T_LT(i, 1000000);
		v = in++;
		T_EQ(weft_chan_send(c, &v), 0);
		T_LE(weft_chan_len(c), 3);
		T_EQ(weft_chan_len(c), in - out);
		if (apart(c)) {
			T_EQ(load_relaxed(&c->quick), CHAN_APART | CHAN_SINGLE);
			partings++;
		}
		for (long keep = i % 3; in - out > keep; out++) {
			T_EQ(weft_chan_recv(c, &v), 0);
			T_EQ(v, out);
			if (apart(c))
				partings++;
			T_EQ(weft_chan_len(c), in - out - 1);
		}
		T_GE(r->patience, before);
	}
	T_GT(partings, 3);
	T_OK(!(load_relaxed(&c->quick) & (CHAN_APART | CHAN_SINGLE))); /* as any channel */
	while (out < in) {
		T_EQ(weft_chan_recv(c, &v), 0);
		T_EQ(v, out++);
	}
	for (long i = 0; r->settled; i++) {
		T_LE(i, 1000);
		T_OK(!(load_relaxed(&c->quick) & (CHAN_APART | CHAN_SINGLE)));
		T_EQ(weft_chan_recv_until(c, &v, weft_now() - 1), WEFT_ETIMEDOUT);
	}
	T_EQ(load_relaxed(&c->quick), CHAN_SINGLE);
	T_EQ(r->patience, before);
	for (int i = 0; !apart(c); i++) {
		T_LT(i, 1000);
		T_EQ(weft_chan_send(c, &(int64_t){i}), 0);
		if (!apart(c)) {
			T_EQ(weft_chan_recv(c, &v), 0);
			T_EQ(v, i);
		}
	}
	weft_chan_free(c); /* apart */
	nothing_left();
}

/* What brings the sides together finds what is there, and they part again. On one worker they part at once, and no fence is needed. */
static int joins_main(void *arg)
{
	(void)arg;
	for (size_t cap = 1; cap < 5; cap++) {
		for (size_t elem = 0; elem < 30; elem += 4) {
			weft_chan *c = opened(elem, cap);
			unsigned char e[32], many[32 * 4];
			long in = 0, out = 0;

			store_relaxed(&c->ring->side[CHAN_TX].count, UINT32_MAX - 40u); /* they wrap soon; nobody uses it yet */
			store_relaxed(&c->ring->side[CHAN_RX].count, UINT32_MAX - 40u);
			for (int i = 0; i < 400; i++) {
				weft_case cases[] = {WEFT_RECV(c, e), WEFT_DEFAULT()};
				weft_chan_stat st;
				void *slot;

				while (in - out < (long)cap) {
					fill(e, elem, in++);
					T_EQ(weft_chan_send(c, e), 0);
				}
				T_EQ(weft_chan_trysend(c, e), WEFT_EAGAIN);
				T_EQ(weft_chan_send_until(c, e, WEFT_NOW), WEFT_EAGAIN);
				T_EQ(weft_chan_len(c), cap);
				while (in - out > i % (long)cap) {
					T_EQ(weft_chan_tryrecv(c, e), 0);
					looks_like(e, elem, out++);
				}
				if (i % 2 && !c->ring->settled && !solo_is_on())
					T_OK(apart(c));
				switch (i % 8) {
				case 1:
					(void)weft_chan_stats(c, &st);
					T_OK(!apart(c));
					T_EQ(st.len, in - out);
#if WEFT_CHAN_STATS
					T_EQ(st.sent, in);
					T_EQ(st.received, out);
					T_EQ(st.most, cap);
#endif
					break;
				case 3:
					T_EQ(weft_chan_select(cases, 2), in > out ? 0 : 1);
					T_OK(!apart(c));
					if (in > out)
						looks_like(e, elem, out++);
					break;
				case 5:
					if (in == out)
						T_EQ(weft_chan_recv_until(c, e, weft_now() - 1), WEFT_ETIMEDOUT);
					else
						T_EQ(weft_chan_recv_many(c, many, 4), in - out);
					for (long k = 0; out < in; k++)
						looks_like(many + (size_t)k * elem, elem, out++);
					T_OK(!apart(c));
					break;
				case 7:
					T_EQ(weft_chan_reserve(c, &slot), 0);
					T_OK(!apart(c));
					for (; in > out; out++) {
						T_EQ(weft_chan_recv(c, e), 0);
						looks_like(e, elem, out);
						T_OK(!apart(c)); /* never while held */
					}
					fill(slot, elem, in++);
					T_EQ(weft_chan_commit(c), 0);
					T_EQ(weft_chan_peek(c, &slot), 0);
					looks_like(slot, elem, out++);
					T_EQ(weft_chan_release(c), 0);
					break;
				default:
					break;
				}
			}
			if (c->ring->settled != CHAN_NEVER_APART)
				T_EQ(c->ring->settled != 0, solo_is_on()); /* alone, it is better elided */
			T_EQ(weft_chan_close(c), 0);
			while (out < in) {
				T_EQ(weft_chan_recv(c, e), 0);
				looks_like(e, elem, out++);
			}
			T_EQ(weft_chan_recv(c, e), WEFT_ECLOSED);
			T_EQ(weft_chan_send(c, e), WEFT_ECLOSED);
			weft_chan_free(c);
		}
	}
	return 0;
}

TEST_WORKERS(joined_by_everything)
{
	run(joins_main, NULL);
}

/* --- the promise --- */

#ifdef WEFT_DEBUG
struct breaker {
	weft_chan *c;
	enum way how;
	bool receives;
	ATOMIC(int) *turn;
	int me;
};

static int breaker(void *arg)
{
	struct breaker *b = arg;
	int64_t v = 1;

	for (int i = 0; i < 3; i++) {
		until(load_acquire(b->turn) % 2 == b->me);
		(void)move_by(b->how, b->c, !b->receives, &v, sizeof v, WEFT_FOREVER);
		add_acq_rel(b->turn, 1);
	}
	return 0;
}

static int breach_main(void *arg)
{
	struct breaker b[2];
	weft_task *t[2];
	ATOMIC(int) turn = 0;
	weft_chan *c;
	int what = (int)(intptr_t)arg;
	bool receives = what >= 10;

	T_EQ(weft_chan_open(&c, &(weft_chan_opts){8, 64,
						  receives   ? WEFT_CHAN_MPSC
						  : what % 2 ? WEFT_CHAN_SPMC
							     : WEFT_CHAN_SPSC,
						  .name = what == BY_TRY ? "pipe" : NULL}),
	     0);
	for (int64_t i = 0; receives && i < 32; i++)
		T_EQ(weft_chan_send(c, &i), 0);
	for (int i = 0; i < 2; i++) {
		b[i] = (struct breaker){c, (enum way)(what % 10), receives, &turn, i};
		t[i] = start(breaker, &b[i]);
	}
	for (int i = 0; i < 2; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* Two tasks in turn at an end that is promised to one: a debug build names both. */
#define BREACH(name, what, text)                            \
	TEST_DIES_WORKERS(name, "is promised to one " text) \
	{                                                   \
		run(breach_main, (void *)(intptr_t)(what)); \
	}

BREACH(two_send, BY_CALL, "sender at a time: task 2 sends on it, and so does task 3")
BREACH(two_try_to_send, BY_TRY, "sender at a time: task 2 sends on it, and so does task 3")
BREACH(two_select_to_send, BY_POLL, "sender at a time: task 2 sends on it, and so does task 3")
BREACH(two_send_many, BY_MANY, "sender at a time: task 2 sends on it, and so does task 3")
BREACH(two_reserve, BY_HOLD, "sender at a time: task 2 sends on it, and so does task 3")
BREACH(two_receive, 10 + BY_CALL, "receiver at a time: task 2 receives on it, and so does task 3")
BREACH(two_try_to_receive, 10 + BY_TRY, "receiver at a time: task 2 receives on it, and so does task 3")
BREACH(two_select_to_receive, 10 + BY_POLL, "receiver at a time: task 2 receives on it, and so does task 3")
BREACH(two_receive_many, 10 + BY_MANY, "receiver at a time: task 2 receives on it, and so does task 3")
BREACH(two_peek, 10 + BY_HOLD, "receiver at a time: task 2 receives on it, and so does task 3")

/* Also where no lock is taken. */
static int apart_breaker(void *arg)
{
	return weft_chan_trysend(arg, &(int64_t){1});
}

static int apart_breach_main(void *arg)
{
	weft_chan *c = opened(8, 8);
	int64_t v;

	(void)arg;
	for (int i = 0; i < 4; i++) {
		T_EQ(weft_chan_send(c, &(int64_t){i}), 0);
		T_EQ(weft_chan_recv(c, &v), 0);
	}
	T_EQ(finish(start(apart_breaker, c)), 0); /* handed over: as it may be */
	T_EQ(weft_chan_send(c, &v), 0);
	return 0;
}

TEST_DIES_WORKERS(two_send_apart, "is promised to one sender at a time: task 1 sends on it, and so does task 2")
{
	run(apart_breach_main, NULL);
}
#endif

/* The other modes are as any channel: many at the side where that is allowed. */
struct crowd {
	weft_chan *c;
	long n;
	ATOMIC(long) taken;
};

static int modes_sender(void *arg)
{
	struct crowd *p = arg;

	for (long i = 0; i < p->n; i++)
		T_EQ(weft_chan_send(p->c, &(int64_t){1}), 0);
	return 0;
}

static int modes_receiver(void *arg)
{
	struct crowd *p = arg;
	int64_t v;

	while (weft_chan_recv(p->c, &v) == 0)
		add_relaxed(&p->taken, (long)v);
	return 0;
}

static int modes_main(void *arg)
{
	(void)arg;
	for (int mode = WEFT_CHAN_MPMC; mode <= WEFT_CHAN_SPMC; mode++) {
		for (size_t cap = 0; cap < 3; cap++) {
			int ns = mode == WEFT_CHAN_MPSC ? 8 : 1, nr = mode == WEFT_CHAN_SPMC ? 8 : 1;
			struct crowd p = {.n = tap_iters(3000)};
			weft_task *s[8], *r[8];

			T_EQ(weft_chan_open(&p.c, &(weft_chan_opts){8, cap, (enum weft_chan_mode)mode}), 0);
			T_EQ(apart(p.c), false);
			for (int i = 0; i < nr; i++)
				r[i] = start(modes_receiver, &p);
			for (int i = 0; i < ns; i++)
				s[i] = start(modes_sender, &p);
			for (int i = 0; i < ns; i++)
				T_EQ(finish(s[i]), 0);
			T_EQ(weft_chan_close(p.c), 0);
			for (int i = 0; i < nr; i++)
				T_EQ(finish(r[i]), 0);
			T_EQ(load_relaxed(&p.taken), ns * p.n);
			weft_chan_free(p.c);
		}
	}
	return 0;
}

TEST_WORKERS(other_modes)
{
	run(modes_main, NULL);
}
