/* SPDX-License-Identifier: MIT
 *
 * close.c - closing a channel: what is in it is received first, then everybody is told, now and for ever.
 */
#include "conform.h"

/* What was sent before the close is received before the close is seen, in order. */
LAW(drained_before_closed)
{
	for (size_t cap = 1; cap < 6; cap++) {
		for (size_t n = 0; n <= cap; n++) {
			weft_chan *c = ints(cap);

			for (size_t i = 0; i < n; i++)
				T_EQ(put(c, (int)i), 0);
			T_EQ(weft_chan_close(c), 0);
			for (size_t i = 0; i < n; i++)
				T_EQ(i % 2 ? take(c) : get(c), i);
			for (int i = 0; i < 3; i++)
				T_EQ(i % 2 ? take(c) : get(c), WEFT_ECLOSED);
			emptied(c);
		}
	}
}

/* A receive from a closed and empty channel goes on at once, every time, and yields a zero value. */
LAW(closed_yields_zeros_for_ever)
{
	for (size_t cap = 0; cap < 3; cap++) {
		weft_chan *c = ints(cap);
		int v;

		T_EQ(weft_chan_close(c), 0);
		for (int i = 0; i < 100; i++) {
			v = 5;
			T_EQ(weft_chan_recv(c, &v), WEFT_ECLOSED);
			T_EQ(v, 0);
			v = 5;
			T_EQ(weft_chan_tryrecv(c, &v), WEFT_ECLOSED);
			T_EQ(v, 0);
			v = 5;
			T_EQ(weft_chan_recv_until(c, &v, WEFT_NOW), WEFT_ECLOSED);
			T_EQ(v, 0);
			v = 5;
			T_EQ(weft_chan_recv_until(c, &v, weft_in(WEFT_SEC)), WEFT_ECLOSED);
			T_EQ(v, 0);
			T_EQ(weft_chan_recv(c, NULL), WEFT_ECLOSED);
		}
		emptied(c);
	}
}

/* A zero that was sent is a value; a zero that comes of the close is not: the result says which. */
LAW(sent_zeros_are_not_the_end)
{
	weft_chan *c = ints(2);
	int v = 5;

	T_EQ(put(c, 0), 0);
	T_EQ(put(c, 0), 0);
	T_EQ(weft_chan_close(c), 0);
	T_EQ(weft_chan_recv(c, &v), 0);
	T_EQ(v, 0);
	v = 5;
	T_EQ(weft_chan_tryrecv(c, &v), 0);
	T_EQ(v, 0);
	v = 5;
	T_EQ(weft_chan_recv(c, &v), WEFT_ECLOSED);
	T_EQ(v, 0);
	emptied(c);
}

/* A send on a closed channel sends nothing and says so, whether there is room or not, in every form. */
LAW(nothing_is_sent_on_a_closed_channel)
{
	for (size_t cap = 0; cap < 4; cap++) {
		weft_chan *c = ints(cap);
		int v = 7;
		weft_case one = WEFT_SEND(c, &v);

		for (size_t i = 0; i < cap / 2; i++)
			T_EQ(put(c, 1), 0);
		T_EQ(weft_chan_close(c), 0);
		T_EQ(weft_chan_send(c, &v), WEFT_ECLOSED);
		T_EQ(weft_chan_trysend(c, &v), WEFT_ECLOSED);
		T_EQ(weft_chan_send_until(c, &v, WEFT_NOW), WEFT_ECLOSED);
		T_EQ(weft_chan_send_until(c, &v, weft_in(WEFT_SEC)), WEFT_ECLOSED);
		T_EQ(weft_chan_select(&one, 1), 0);
		T_EQ(one.status, WEFT_ECLOSED);
		T_EQ(weft_chan_len(c), cap / 2);
		for (size_t i = 0; i < cap / 2; i++)
			T_EQ(take(c), 1);
		T_EQ(take(c), WEFT_ECLOSED);
		T_EQ(v, 7);
		emptied(c);
	}
}

/* A full channel that is closed tells senders that it is closed, not that it is full. */
LAW(closed_comes_before_full)
{
	weft_chan *c = ints(1);

	T_EQ(put(c, 1), 0);
	T_EQ(put(c, 2), WEFT_EAGAIN);
	T_EQ(weft_chan_close(c), 0);
	T_EQ(put(c, 2), WEFT_ECLOSED);
	T_EQ(take(c), 1);
	emptied(c);
}

/* A channel is closed once: who closes it again is told, and nothing changes. */
LAW(closed_only_once)
{
	weft_chan *c = ints(2);

	T_EQ(put(c, 4), 0);
	T_EQ(weft_chan_close(c), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(weft_chan_close(c), WEFT_ECLOSED);
	T_EQ(take(c), 4);
	T_EQ(weft_chan_close(c), WEFT_ECLOSED);
	T_EQ(take(c), WEFT_ECLOSED);
	emptied(c);
}

/* Length and capacity of a closed channel are those of any other. */
LAW(length_and_capacity_after_close)
{
	weft_chan *c = ints(5);

	for (int i = 0; i < 3; i++)
		T_EQ(put(c, i), 0);
	T_EQ(weft_chan_close(c), 0);
	for (size_t i = 3; i > 0; i--) {
		T_EQ(weft_chan_len(c), i);
		T_EQ(weft_chan_cap(c), 5);
		T_EQ(get(c), 3 - i);
	}
	T_EQ(get(c), WEFT_ECLOSED);
	T_EQ(weft_chan_cap(c), 5);
	emptied(c);
}

enum { CROWD = 50 };

/* The close wakes every receiver that waits, with a zero. */
LAW(close_wakes_every_receiver)
{
	for (size_t cap = 0; cap < 2; cap++) {
		weft_chan *c = ints(cap);
		struct other o[CROWD];

		for (int i = 0; i < CROWD; i++)
			other_receives(&o[i], c);
		T_EQ(weft_chan_close(c), 0);
		for (int i = 0; i < CROWD; i++) {
			T_EQ(other_ends(&o[i]), WEFT_ECLOSED);
			T_EQ(o[i].v, 0);
		}
		emptied(c);
	}
}

/* The close wakes every sender that waits; nothing of theirs was sent, what was in the channel before is still to be had. */
LAW(close_wakes_every_sender)
{
	for (size_t cap = 0; cap < 3; cap++) {
		weft_chan *c = ints(cap);
		struct other o[CROWD];

		for (size_t i = 0; i < cap; i++)
			T_EQ(put(c, (int)i), 0);
		for (int i = 0; i < CROWD; i++)
			other_sends(&o[i], c, 100 + i);
		T_EQ(weft_chan_close(c), 0);
		for (int i = 0; i < CROWD; i++) {
			T_EQ(other_ends(&o[i]), WEFT_ECLOSED);
			T_EQ(o[i].v, 100 + i);
		}
		for (size_t i = 0; i < cap; i++)
			T_EQ(get(c), i);
		T_EQ(get(c), WEFT_ECLOSED);
		emptied(c);
	}
}

/* The close wakes selects, whichever of their cases it is; only that case has happened. */
LAW(close_wakes_selects)
{
	for (int n = 1; n < 5; n++) {
		for (int which = 0; which < n; which++) {
			weft_case cases[2][4];
			weft_chan *c[4];
			int v[2][4];
			struct other o[2];

			for (int i = 0; i < n; i++)
				c[i] = ints(0);
			for (int k = 0; k < 2; k++) {
				for (int i = 0; i < n; i++) {
					v[k][i] = 9;
					cases[k][i] = k ? WEFT_SEND(c[i], &v[k][i]) : WEFT_RECV(c[i], &v[k][i]);
					cases[k][i].status = 77;
				}
				other_selects(&o[k], cases[k], n);
				T_EQ(weft_chan_close(c[which]), 0);
				T_EQ(other_ends(&o[k]), which);
				for (int i = 0; i < n; i++) {
					T_EQ(cases[k][i].status, i == which ? WEFT_ECLOSED : 77);
					T_EQ(v[k][i], k == 0 && i == which ? 0 : 9);
				}
				weft_chan_free(c[which]);
				c[which] = ints(0);
			}
			for (int i = 0; i < n; i++)
				emptied(c[i]);
		}
	}
}

/* Senders' and receivers' selects and plain calls in one line: the close wakes them all. */
LAW(close_wakes_the_mixed_line)
{
	for (int sends = 0; sends < 2; sends++) {
		weft_chan *c = ints(0), *never = ints(0);
		weft_case cases[CROWD][2];
		struct other o[CROWD];
		int v = 1;

		for (int i = 0; i < CROWD; i++) {
			cases[i][0] = WEFT_RECV(never, NULL);
			cases[i][1] = sends ? WEFT_SEND(c, &v) : WEFT_RECV(c, NULL);
			if (i % 3 == 0)
				other_selects(&o[i], cases[i], 2);
			else if (sends)
				other_sends_until(&o[i], c, i, i % 3 == 1 ? WEFT_FOREVER : weft_in(60 * WEFT_SEC));
			else
				other_receives_until(&o[i], c, i % 3 == 1 ? WEFT_FOREVER : weft_in(60 * WEFT_SEC));
		}
		T_EQ(weft_chan_close(c), 0);
		for (int i = 0; i < CROWD; i++) {
			T_EQ(other_ends(&o[i]), i % 3 ? WEFT_ECLOSED : 1);
			if (i % 3 == 0)
				T_EQ(cases[i][1].status, WEFT_ECLOSED);
		}
		emptied(c);
		emptied(never);
	}
}

/* Who has given up before the close is not told of it. */
LAW(close_passes_over_who_gave_up)
{
	weft_chan *c = ints(0);
	struct other o[4];

	for (int i = 0; i < 4; i++)
		other_receives(&o[i], c);
	T_EQ(other_cancelled(&o[0]), WEFT_ECANCELED);
	T_EQ(other_cancelled(&o[2]), WEFT_ECANCELED);
	T_EQ(weft_chan_close(c), 0);
	for (int i = 0; i < 4; i++) {
		if (i % 2)
			T_EQ(other_ends(&o[i]), WEFT_ECLOSED);
		T_EQ(o[i].v, i % 2 ? 0 : -1);
	}
	emptied(c);
}

/* Closing one channel tells nobody who waits on another. */
LAW(close_of_another_channel_is_not_heard)
{
	weft_chan *a = ints(0), *b = ints(0);
	struct other o;

	other_receives(&o, a);
	T_EQ(weft_chan_close(b), 0);
	T_OK(other_waits(&o));
	T_EQ(give(a, 1), 0);
	T_EQ(other_ends(&o), 0);
	T_EQ(o.v, 1);
	emptied(a);
	emptied(b);
}

/* --- broadcast --- */

struct broadcast {
	weft_chan *done;
	int news; /* written before the close, plainly */
	ATOMIC(int) told;
};

static void listener(struct broadcast *b, bool by_select)
{
	weft_case cases[] = {WEFT_RECV(NULL, NULL), WEFT_RECV(b->done, NULL)};

	if (!by_select) {
		T_EQ(get(b->done), WEFT_ECLOSED);
	} else {
		T_EQ(weft_chan_select(cases, 2), 1);
		T_EQ(cases[1].status, WEFT_ECLOSED);
	}
	T_EQ(b->news, 42);
	add_relaxed(&b->told, 1); /* ordered by the wait group */
	done();
}

/* One close tells any number of listeners, those that come later too. */
LAW(close_is_a_broadcast)
{
	enum { LISTENERS = 2000 };
	struct broadcast b = {.done = ints(0)};

	for (int i = 0; i < LISTENERS / 2; i++)
		hire(listener, &b, i % 2 == 0);
	settle(); /* most of them wait, some may not yet */
	T_EQ(load_relaxed(&b.told), 0);
	b.news = 42;
	T_EQ(weft_chan_close(b.done), 0);
	for (int i = 0; i < LISTENERS / 2; i++)
		hire(listener, &b, i % 2 == 0);
	all_done();
	T_EQ(load_relaxed(&b.told), LISTENERS);
	emptied(b.done);
}

/* --- range --- */

struct range {
	weft_chan *c;
	ATOMIC(int64_t) sum;
	ATOMIC(int) n;
};

static void ranger(struct range *r)
{
	int v;

	while ((v = get(r->c)) >= 0) {
		add_relaxed(&r->sum, v); /* ordered by the wait group */
		add_relaxed(&r->n, 1);
	}
	T_EQ(v, WEFT_ECLOSED);
	done();
}

/* A loop over a channel sees every element that was sent, in order, and ends when it is closed and empty. */
LAW(range_ends_with_the_close)
{
	for (size_t cap = 0; cap < 8; cap += 7) {
		struct range r = {.c = ints(cap)};

		hire(ranger, &r);
		for (int i = 1; i <= 100; i++)
			T_EQ(give(r.c, i), 0);
		T_EQ(weft_chan_close(r.c), 0);
		all_done();
		T_EQ(load_relaxed(&r.n), 100);
		T_EQ(load_relaxed(&r.sum), 5050);
		emptied(r.c);
	}
}

/* A loop over a channel that is closed and empty has no turn. */
LAW(range_over_a_closed_channel_is_empty)
{
	struct range r = {.c = ints(3)};

	T_EQ(weft_chan_close(r.c), 0);
	hire(ranger, &r);
	all_done();
	T_EQ(load_relaxed(&r.n), 0);
	emptied(r.c);
}

/* Several loops over one channel share its elements: each is seen once, and all loops end. */
LAW(ranges_share_the_elements)
{
	int n = (int)tap_iters(5000);

	for (size_t cap = 0; cap < 8; cap += 7) {
		struct range r = {.c = ints(cap)};

		for (int i = 0; i < 6; i++)
			hire(ranger, &r);
		for (int i = 0; i < n; i++)
			T_EQ(give(r.c, i), 0);
		T_EQ(weft_chan_close(r.c), 0);
		all_done();
		T_EQ(load_relaxed(&r.n), n);
		T_EQ(load_relaxed(&r.sum), (int64_t)n * (n - 1) / 2);
		emptied(r.c);
	}
}

/* --- against others --- */

struct closing {
	weft_chan *c;
	ATOMIC(int) sent, received, closed;
};

static void closing_sender(struct closing *k)
{
	for (int i = 0;; i++) {
		weft_case cases[] = {WEFT_SEND(k->c, &i), WEFT_AFTER(60 * WEFT_SEC)};
		int rc = WEFT_ECLOSED;

		switch (i % 3) {
		case 0:
			rc = give(k->c, i);
			break;
		case 1:
			rc = weft_chan_send_until(k->c, &i, weft_in(60 * WEFT_SEC));
			break;
		default:
			if (weft_chan_select(cases, 2) == 0)
				rc = cases[0].status;
		}
		if (rc == WEFT_ECLOSED)
			break;
		T_EQ(rc, 0);
		add_relaxed(&k->sent, 1); /* ordered by the wait group */
	}
	done();
}

static void closing_receiver(struct closing *k)
{
	while (get(k->c) >= 0)
		add_relaxed(&k->received, 1); /* as above */
	done();
}

static void closing_closer(struct closing *k)
{
	int rc = weft_chan_close(k->c);

	T_OK(rc == 0 || rc == WEFT_ECLOSED);
	add_relaxed(&k->closed, rc == 0); /* as above */
	done();
}

/* Whenever the close comes: what was sent is received, what was not is not, and of several that close one has. */
LAW(close_against_everybody)
{
	long n = tap_iters(300);

	for (long i = 0; i < n; i++) {
		struct closing k = {.c = ints(draw(4))};
		uint32_t pause = draw(30);

		for (int j = 0; j < 3; j++) {
			hire(closing_sender, &k);
			hire(closing_receiver, &k);
		}
		while (pause-- > 0)
			weft_task_yield();
		for (int j = 0; j < 3; j++)
			hire(closing_closer, &k);
		all_done();
		T_EQ(load_relaxed(&k.sent), load_relaxed(&k.received));
		T_EQ(load_relaxed(&k.closed), 1);
		emptied(k.c);
	}
}

/* A closed channel may be dropped with elements in it. */
LAW(closed_channel_is_dropped_with_what_is_left)
{
	weft_chan *c = ints(3);

	T_EQ(put(c, 1), 0);
	T_EQ(weft_chan_close(c), 0);
	weft_chan_free(c);
	c = ints(3); /* an open one too */
	T_EQ(put(c, 1), 0);
	weft_chan_free(c);
}

/* Closing needs no receiver, and a channel need not be closed. */
LAW(close_waits_for_nobody)
{
	weft_chan *c[3] = {ints(0), ints(2), ints(2)};

	T_EQ(put(c[1], 1), 0);
	for (int i = 0; i < 2; i++)
		T_EQ(weft_chan_close(c[i]), 0);
	for (int i = 0; i < 3; i++)
		weft_chan_free(c[i]);
}

static int cancelled_closer(void *arg)
{
	until(weft_ctx_check() == WEFT_ECANCELED);
	return weft_chan_close(arg);
}

/* Closing is no waiting: a cancelled task can still close what it owns, and those who wait are told. */
LAW(cancelled_task_closes_what_it_owns)
{
	weft_chan *c = ints(0);
	struct other o;
	weft_task *t;

	other_receives(&o, c);
	t = start(cancelled_closer, c);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), 0);
	T_EQ(other_ends(&o), WEFT_ECLOSED);
	emptied(c);
}
