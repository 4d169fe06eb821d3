/* SPDX-License-Identifier: MIT
 *
 * chan_ends.c - several elements a call, whoever waits at the other side; ends that close or break a channel when the last one goes, and one-shots.
 */
#include "rt.h"

#include <pthread.h>
#include <stdlib.h>

enum { LINE = 10 };

struct call {
	weft_chan *c;
	int64_t v[LINE];
	size_t n;      /* 0: weft_chan_send, weft_chan_recv */
	bool receives; /* else sends */
	bool selects;
};

/* How many, or an error. */
static int call(void *arg)
{
	struct call *k = arg;
	weft_case one = k->receives ? WEFT_RECV(k->c, k->v) : WEFT_SEND(k->c, k->v);
	int rc;

	if (k->selects) {
		T_EQ(weft_chan_select(&one, 1), 0);
		rc = one.status;
	} else if (k->n) {
		return (int)(k->receives ? weft_chan_recv_many(k->c, k->v, k->n) : weft_chan_send_many(k->c, k->v, k->n));
	} else {
		rc = k->receives ? weft_chan_recv(k->c, k->v) : weft_chan_send(k->c, k->v);
	}
	return rc ? rc : 1;
}

/* --- many --- */

/* As many as there is room for, as many as there are; 0 is 0. */
TEST(as_many_as_go)
{
	static const size_t elems[] = {0, 1, 4, 8, 24, 4096}, caps[] = {1, 2, 3, 7, WEFT_CHAN_UNBOUNDED};
	static unsigned char in[20 * 4096], out[21 * 4096];

	for (size_t e = 0; e < ARRAY_LEN(elems); e++) {
		for (size_t k = 0; k < ARRAY_LEN(caps) * 4; k++) {
			size_t size = elems[e], cap = caps[k / 4];
			weft_chan *c;

			T_EQ(weft_chan_open(&c, &(weft_chan_opts){.elem = size, .cap = cap, .mode = (enum weft_chan_mode)(k % 4)}), 0);
			T_EQ(weft_chan_send_many(c, NULL, 0), 0);
			T_EQ(weft_chan_recv_many(c, NULL, 0), 0);
			T_EQ(weft_chan_recv_many_until(c, out, 4, WEFT_NOW), WEFT_EAGAIN);
			T_EQ(weft_chan_recv_many_until(c, out, 4, weft_now() - 1), WEFT_ETIMEDOUT);
			for (size_t n = 1; n < 20; n++) {
				ssize_t sent = (ssize_t)(n < cap ? n : cap), first = sent > 2 ? 2 : 1;

				for (size_t b = 0; b < n * size; b++)
					in[b] = (unsigned char)(b / size + n);
				memset(out, 0xee, sizeof out);
				T_EQ(weft_chan_send_many(c, in, n), sent);
				if (cap != WEFT_CHAN_UNBOUNDED && (size_t)sent == cap) {
					T_EQ(weft_chan_send_many_until(c, in, n, WEFT_NOW), WEFT_EAGAIN);
					T_EQ(weft_chan_send_many_until(c, in, n, weft_now() - 1), WEFT_ETIMEDOUT);
				}
				T_EQ(weft_chan_recv_many(c, out, (size_t)first), first);
				if (sent > first)
					T_EQ(weft_chan_recv_many(c, n % 3 ? out + (size_t)first * size : NULL, 20), sent - first);
				T_EQ(memcmp(in, out, (size_t)(n % 3 ? sent : first) * size), 0);
				for (size_t b = (size_t)(n % 3 ? sent : first) * size; b < sizeof out; b++)
					T_EQ(out[b], 0xee);
			}
			T_EQ(weft_chan_send_many(c, in, 1), 1);
			T_EQ(weft_chan_close(c), 0);
			T_EQ(weft_chan_send_many(c, in, 2), WEFT_ECLOSED);
			T_EQ(weft_chan_recv_many(c, out, 5), 1);
			memset(out, 0xee, sizeof out);
			T_EQ(weft_chan_recv_many(c, out, 5), WEFT_ECLOSED);
			for (size_t b = 0; b < sizeof out; b++)
				T_EQ(out[b], b < size ? 0 : 0xee); /* the first one only */
			T_EQ(weft_chan_recv_many(c, NULL, 5), WEFT_ECLOSED);
			weft_chan_free(c);
		}
	}
	T_EQ(weft_chan_send_many(NULL, in, 0), 0);
	T_EQ(weft_chan_recv_many(NULL, out, 0), 0);
	T_EQ(weft_chan_send_many_until(NULL, in, 2, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_chan_recv_many_until(NULL, out, 2, weft_now() - 1), WEFT_ETIMEDOUT);
}

/* All who wait at the other side are served by one call, in line, also those of a rendezvous channel, and those who wait in a select or for many. */
static int one_pass_main(void *arg)
{
	(void)arg;
	for (size_t cap = 0; cap < 4; cap++) {
		for (int receivers = 0; receivers < 2; receivers++) {
			weft_chan *c = weft_chan_make(8, cap);
			struct call k[LINE];
			weft_task *t[LINE];
			int64_t v[3 * LINE];

			for (int64_t i = 0; !receivers && i < (int64_t)cap; i++)
				T_EQ(weft_chan_send(c, &(int64_t){i - (int64_t)cap}), 0);
			for (int i = 0; i < LINE; i++) {
				k[i] = (struct call){
					.c = c, .v = {receivers ? -7 : i}, .n = i % 3, .receives = receivers, .selects = i % 3 == 2};
				t[i] = start(call, &k[i]);
				until_parked(t[i]);
			}
			for (int i = 0; i < 3 * LINE; i++)
				v[i] = receivers ? i : -7;
			if (receivers)
				T_EQ(weft_chan_send_many(c, v, 3 * LINE), LINE + (ssize_t)cap);
			else
				T_EQ(weft_chan_recv_many(c, v, 3 * LINE), LINE + (ssize_t)cap);
			for (int i = 0; i < LINE; i++) {
				if (receivers && k[i].n == 1)
					T_GE(finish(t[i]), 1);
				else
					T_EQ(finish(t[i]), 1);
				if (receivers)
					T_EQ(k[i].v[0], i);
			}
			for (int i = 0; !receivers && i < LINE + (int)cap; i++)
				T_EQ(v[i], i - (int)cap);
			T_EQ(weft_chan_len(c), receivers ? cap : 0);
			weft_chan_free(c);
		}
	}
	return 0;
}

TEST_WORKERS(one_pass_serves_all_who_wait)
{
	run(one_pass_main, NULL);
}

/* Who had to wait takes with it what else goes at once. Cancelled, closed, or out of time before the first: that, and nothing of it was sent or taken. */
static int waited_main(void *arg)
{
	(void)arg;
	for (int receives = 0; receives < 2; receives++) {
		for (int how = 0; how < 4; how++) {
			weft_chan *c = weft_chan_make(8, 4);
			weft_rx *rx = weft_chan_rx(c);
			struct call k = {.c = c, .v = {1, 2, 3}, .n = 3, .receives = receives};
			int64_t v[4] = {7, 8, 9, 10};
			weft_task *t;
			int rc;

			if (!receives)
				T_EQ(weft_chan_send_many(c, v, 4), 4);
			t = start(call, &k);
			until_reason(t, receives ? "chan receive" : "chan send");
			switch (how) {
			case 0:
				if (receives)
					T_EQ(weft_chan_send(c, &v[0]), 0);
				else
					T_EQ(weft_chan_recv(c, &v[0]), 0);
				rc = finish(t);
				T_OK(rc == 1);
				break;
			case 1:
				T_EQ(weft_task_cancel(t), 0);
				T_EQ(finish(t), WEFT_ECANCELED);
				break;
			case 2:
				T_EQ(weft_chan_close(c), 0);
				T_EQ(finish(t), WEFT_ECLOSED);
				break;
			default:
				weft_rx_free(rx);
				rx = NULL;
				T_EQ(finish(t), receives ? WEFT_ECLOSED : WEFT_EPIPE);
				break;
			}
			T_EQ(weft_chan_len(c), receives ? 0 : 4);
			T_EQ(k.v[0], !receives || how == 1 ? 1 : how == 0 ? 7 : 0);
			T_EQ(k.v[1], 2);
			weft_rx_free(rx);
			weft_chan_free(c);
		}
	}
	return 0;
}

TEST_WORKERS(many_that_had_to_wait)
{
	run(waited_main, NULL);
}

/* Elements of one call are neighbours, and all of them arrive, though there is more than the channel holds and it is closed at any moment. */
struct flood {
	weft_chan *c;
	ATOMIC(int) number;
	ATOMIC(long) sent, taken;
};

static int flood_sender(void *arg)
{
	struct flood *f = arg;
	int64_t v[40], me = (int64_t)add_relaxed(&f->number, 1) << 32, i = 0;

	for (;;) {
		size_t n = 1 + (size_t)i % ARRAY_LEN(v);
		ssize_t done;

		for (size_t k = 0; k < n; k++)
			v[k] = me | (i + (int64_t)k);
		done = weft_chan_send_many(f->c, v, n);
		if (done == WEFT_ECLOSED)
			return 0;
		T_OK(done >= 1 && done <= (ssize_t)n);
		add_relaxed(&f->sent, done);
		i += done;
	}
}

static int flood_receiver(void *arg)
{
	struct flood *f = arg;
	int64_t v[33], last[3] = {-1, -1, -1};

	for (size_t want = 1;; want = want % ARRAY_LEN(v) + 1) {
		ssize_t n = weft_chan_recv_many(f->c, v, want);

		if (n == WEFT_ECLOSED)
			return 0;
		T_OK(n >= 1 && n <= (ssize_t)want);
		for (ssize_t k = 0; k < n; k++) {
			T_LT(last[v[k] >> 32], v[k] & UINT32_MAX);
			last[v[k] >> 32] = v[k] & UINT32_MAX;
		}
		add_relaxed(&f->taken, n);
	}
}

static int flood_main(void *arg)
{
	(void)arg;
	for (size_t cap = 0; cap < 60; cap = cap * 2 + 1) {
		struct flood f = {.c = weft_chan_make(8, cap)};
		weft_task *s[3], *r[2];

		for (int i = 0; i < 3; i++)
			s[i] = start(flood_sender, &f);
		for (int i = 0; i < 2; i++)
			r[i] = start(flood_receiver, &f);
		until(load_relaxed(&f.taken) > tap_iters(5000));
		T_EQ(weft_chan_close(f.c), 0);
		for (int i = 0; i < 3; i++)
			T_EQ(finish(s[i]), 0);
		for (int i = 0; i < 2; i++)
			T_EQ(finish(r[i]), 0);
		T_EQ(load_relaxed(&f.taken), load_relaxed(&f.sent));
		weft_chan_free(f.c);
	}
	return 0;
}

TEST_WORKERS(many_by_many)
{
	run(flood_main, NULL);
}

/* Whoever has received the last element of a plain channel may free it, by whatever call it was sent. */
struct last {
	weft_chan *c;
	int way;
};

static int last_sender(void *arg)
{
	struct last *l = arg;
	int64_t v = 3;
	weft_case s[] = {WEFT_SEND(l->c, &v)};
	void *slot;

	switch (l->way) {
	case 0:
		return weft_chan_send(l->c, &v);
	case 1:
		return weft_chan_trysend(l->c, &v);
	case 2:
		return (int)weft_chan_send_many(l->c, &v, 1) - 1;
	case 3:
		return weft_chan_select(s, 1);
	default:
		T_EQ(weft_chan_reserve(l->c, &slot), 0);
		memcpy(slot, &v, sizeof v);
		return weft_chan_commit(l->c);
	}
}

static int last_main(void *arg)
{
	long n = tap_iters(5000);

	(void)arg;
	for (long i = 0; i < n; i++) {
		struct last l = {NULL, (int)i % 5};
		weft_task *t;
		int64_t v;

		T_EQ(weft_chan_open(&l.c, &(weft_chan_opts){8, 1, i % 2 ? WEFT_CHAN_SPSC : WEFT_CHAN_MPMC}), 0);
		t = start(last_sender, &l);
		T_EQ(weft_chan_recv(l.c, &v), 0);
		weft_chan_free(l.c);
		T_EQ(v, 3);
		T_EQ(finish(t), 0);
	}
	return 0;
}

TEST_WORKERS(freed_by_who_has_the_last_element)
{
	run(last_main, NULL);
}

/* --- ends --- */

/* Every call upon a channel that goes one way has one upon that end, and what can be asked of the channel can be asked through it. */
TEST(ends_have_all_calls)
{
	weft_chan *c;
	weft_chan_stat st;
	int64_t v[4] = {1, 2, 3, 4}, w[4] = {0}, *slot;
	weft_tx *tx;
	weft_rx *rx;

	T_EQ(weft_chan_open(&c, &(weft_chan_opts){.elem = 8, .cap = 3, .name = "both"}), 0);
	tx = weft_chan_tx(c);
	rx = weft_chan_rx(c);
	T_EQ(weft_tx_chan(tx), c);
	T_EQ(weft_rx_chan(rx), c);
	weft_chan_free(c);
	T_EQ(weft_tx_send_many(tx, v, 2), 2);
	T_EQ(weft_tx_send_many_until(tx, v + 2, 2, WEFT_NOW), 1);
	T_EQ(weft_tx_send_many_until(tx, v + 3, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_tx_reserve_until(tx, (void **)&slot, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_chan_len(weft_tx_chan(tx)), 3);
	T_EQ(weft_chan_cap(weft_rx_chan(rx)), 3);
	T_STR_EQ(weft_chan_name(weft_rx_chan(rx)), "both");
	T_EQ(weft_rx_peek(rx, (void **)&slot), 0);
	T_EQ(*slot, 1);
	T_EQ(weft_rx_peek_until(rx, (void **)&slot, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_rx_release(rx), 0);
	T_EQ(weft_tx_reserve(tx, (void **)&slot), 0);
	*slot = 9;
	T_EQ(weft_tx_abort(tx), 0);
	T_EQ(weft_tx_reserve_until(tx, (void **)&slot, WEFT_NOW), 0);
	*slot = 7;
	T_EQ(weft_tx_commit(tx), 0);
	T_EQ(weft_rx_recv_many(rx, w, 2), 2);
	T_EQ(w[0] * 10 + w[1], 23);
	T_EQ(weft_rx_recv_many_until(rx, w, 4, WEFT_NOW), 1);
	T_EQ(w[0], 7);
	T_EQ(weft_rx_recv_many_until(rx, w, 4, WEFT_NOW), WEFT_EAGAIN);
	T_OK(weft_chan_stats(weft_tx_chan(tx), &st) == 0 || !WEFT_CHAN_STATS);
	T_EQ(st.len, 0);
	T_EQ(weft_tx_chan(NULL), NULL);
	T_EQ(weft_rx_chan(NULL), NULL);
	weft_tx_free(tx);
	T_EQ(weft_rx_peek(rx, (void **)&slot), WEFT_ECLOSED);
	weft_rx_free(rx);
	nothing_left();
}

static int tx_sender(void *arg)
{
	return weft_tx_send(arg, &(int64_t){5});
}

static int tx_selector(void *arg)
{
	weft_case s[] = {WEFT_TX_SEND(arg, &(int64_t){5}), WEFT_AFTER(20 * WEFT_SEC)};

	T_EQ(weft_chan_select(s, 2), 0);
	return s[0].status;
}

static int rx_receiver(void *arg)
{
	int64_t v = 9;
	int rc = weft_rx_recv(arg, &v);

	T_EQ(v, 0);
	return rc;
}

static int rx_selector(void *arg)
{
	int64_t v = 9;
	weft_case r[] = {WEFT_AFTER(20 * WEFT_SEC), WEFT_RX_RECV(arg, &v)};

	T_EQ(weft_chan_select(r, 2), 1);
	T_EQ(v, 0);
	return r[1].status;
}

/* The last sending end closes, for all who wait; ends hold the channel themselves. */
static int last_tx_main(void *arg)
{
	(void)arg;
	for (size_t cap = 0; cap < 3; cap++) {
		weft_chan *c = weft_chan_make(8, cap);
		weft_tx *tx = weft_chan_tx(c), *more = weft_tx_ref(tx), *third = weft_chan_tx(c);
		weft_rx *rx = weft_chan_rx(c);
		weft_task *t[2];

		weft_chan_free(c);
		t[0] = start(rx_receiver, rx);
		t[1] = start(rx_selector, rx);
		until_parked(t[0]);
		until_parked(t[1]);
		weft_tx_free(tx);
		weft_tx_free(third);
		T_EQ(weft_task_stateof(t[0]), WEFT_TASK_PARKED);
		T_EQ(weft_rx_tryrecv(rx, NULL), WEFT_EAGAIN);
		weft_tx_free(more);
		T_EQ(finish(t[0]), WEFT_ECLOSED);
		T_EQ(finish(t[1]), WEFT_ECLOSED);
		T_EQ(weft_rx_tryrecv(rx, NULL), WEFT_ECLOSED);
		T_EQ(weft_rx_recv_until(rx, NULL, WEFT_NOW), WEFT_ECLOSED);
		weft_rx_free(rx);
	}
	return 0;
}

TEST_WORKERS(last_sending_end_closes)
{
	run(last_tx_main, NULL);
}

/* With the last receiving end sends get WEFT_EPIPE: parked ones, later ones, those of a select. */
static int last_rx_main(void *arg)
{
	(void)arg;
	for (size_t cap = 0; cap < 3; cap++) {
		weft_chan *c = weft_chan_make(8, cap);
		weft_tx *tx = weft_chan_tx(c);
		weft_rx *rx = weft_chan_rx(c), *more = weft_rx_ref(rx);
		weft_task *t[2];
		void *slot;

		weft_chan_free(c);
		for (size_t i = 0; i < cap; i++)
			T_EQ(weft_tx_trysend(tx, &(int64_t){5}), 0);
		t[0] = start(tx_sender, tx);
		t[1] = start(tx_selector, tx);
		until_parked(t[0]);
		until_parked(t[1]);
		weft_rx_free(more);
		T_EQ(weft_task_stateof(t[0]), WEFT_TASK_PARKED);
		T_EQ(weft_tx_trysend(tx, &(int64_t){5}), WEFT_EAGAIN);
		weft_rx_free(rx);
		T_EQ(finish(t[0]), WEFT_EPIPE);
		T_EQ(finish(t[1]), WEFT_EPIPE);
		T_EQ(weft_tx_send(tx, &(int64_t){5}), WEFT_EPIPE);
		T_EQ(weft_tx_trysend(tx, &(int64_t){5}), WEFT_EPIPE);
		T_EQ(weft_tx_send_until(tx, &(int64_t){5}, WEFT_NOW), WEFT_EPIPE);
		T_EQ(tx_selector(tx), WEFT_EPIPE);
		T_EQ(weft_chan_send_many((weft_chan *)tx, &(int64_t){5}, 1), WEFT_EPIPE);
		if (cap)
			T_EQ(weft_chan_reserve((weft_chan *)tx, &slot), WEFT_EPIPE);
		weft_tx_free(tx);
	}
	return 0;
}

TEST_WORKERS(last_receiving_end_breaks)
{
	run(last_rx_main, NULL);
}

/* Ends go at any moment, on both sides: nobody hangs, nothing is touched that is gone. */
static int tx_drop(void *arg)
{
	for (int64_t i = 0; i < 3; i++) {
		if (weft_tx_send(arg, &i))
			break;
	}
	weft_tx_free(arg);
	return 0;
}

static int rx_drop(void *arg)
{
	int64_t v;

	for (int i = 0; i < 5; i++) {
		if (weft_rx_recv(arg, &v))
			break;
	}
	weft_rx_free(arg);
	return 0;
}

static int drop_main(void *arg)
{
	long n = tap_iters(2000);

	(void)arg;
	for (long i = 0; i < n; i++) {
		weft_chan *c = weft_chan_make(8, (size_t)i % 3);
		weft_task *t[6];

		for (int k = 0; k < 6; k++)
			t[k] = k % 2 ? start(rx_drop, weft_chan_rx(c)) : start(tx_drop, weft_chan_tx(c));
		weft_chan_free(c);
		for (int k = 0; k < 6; k++)
			T_EQ(finish(t[k]), 0);
	}
	return 0;
}

TEST_WORKERS(ends_go_at_any_moment)
{
	run(drop_main, NULL);
}

/* --- one-shots --- */

static int cancelled_sends(void *arg)
{
	T_EQ(weft_task_cancel(weft_task_self()), 0);
	return weft_oneshot_send(arg, &(int64_t){4});
}

static void *thread_sends(void *arg)
{
	return (void *)(intptr_t)weft_oneshot_send(arg, &(int64_t){6});
}

static int drops(void *arg)
{
	weft_tx_free(arg);
	return 0;
}

static int oneshot_main(void *arg)
{
	(void)arg;
	for (int wait = 0; wait < 2; wait++) {
		weft_tx *tx;
		weft_rx *rx;
		weft_task *t;
		pthread_t p;
		int64_t v = 0;
		void *rc;

		T_EQ(weft_oneshot_make(8, &tx, &rx), 0);
		t = start(cancelled_sends, tx);
		if (!wait)
			T_EQ(finish(t), 0);
		T_EQ(weft_rx_recv(rx, &v), 0);
		T_EQ(v, 4);
		T_EQ(weft_rx_recv(rx, &v), WEFT_ECLOSED);
		T_EQ(v, 0);
		if (wait)
			T_EQ(finish(t), 0);
		weft_rx_free(rx);

		T_EQ(weft_oneshot_make(8, &tx, &rx), 0); /* the sender is dropped */
		t = start(wait ? rx_receiver : rx_selector, rx);
		if (wait)
			until_parked(t);
		T_EQ(finish(start(drops, tx)), 0);
		T_EQ(finish(t), WEFT_ECLOSED);
		weft_rx_free(rx);

		T_EQ(weft_oneshot_make(8, &tx, &rx), 0); /* the receiver is */
		weft_rx_free(rx);
		T_EQ(weft_oneshot_send(tx, &v), WEFT_EPIPE);

		T_EQ(weft_oneshot_make(8, &tx, &rx), 0); /* nobody wants what was sent */
		T_EQ(weft_oneshot_send(tx, &v), 0);
		weft_rx_free(rx);

		T_EQ(weft_oneshot_make(8, &tx, &rx), 0);
		T_EQ(pthread_create(&p, NULL, thread_sends, tx), 0);
		T_EQ(weft_rx_recv(rx, &v), 0);
		T_EQ(v, 6);
		T_EQ(pthread_join(p, &rc), 0);
		T_EQ((intptr_t)rc, 0);
		weft_rx_free(rx);
	}
	return 0;
}

TEST_WORKERS(oneshots)
{
	run(oneshot_main, NULL);
}

TEST(oneshots_refused)
{
	weft_tx *tx = (weft_tx *)&tx;
	weft_rx *rx = (weft_rx *)&rx;

	T_EQ(weft_oneshot_make(65536, &tx, &rx), WEFT_EINVAL);
	T_EQ(tx, NULL);
	T_EQ(rx, NULL);
	T_EQ(weft_oneshot_make(SIZE_MAX, &tx, &rx), WEFT_EINVAL);
	rx = (weft_rx *)&rx;
	T_EQ(weft_oneshot_make(8, NULL, &rx), WEFT_EINVAL);
	T_EQ(rx, NULL);
	tx = (weft_tx *)&tx;
	T_EQ(weft_oneshot_make(8, &tx, NULL), WEFT_EINVAL);
	T_EQ(tx, NULL);
	T_EQ(weft_oneshot_send(NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_tx_ref(NULL), NULL);
	T_EQ(weft_rx_ref(NULL), NULL);
}
