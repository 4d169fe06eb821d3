/* SPDX-License-Identifier: MIT
 *
 * select.c - select: exactly one case, chosen uniformly among the ready; losers are off their queues; never paired with itself.
 */
#include "rt.h"

#include "sync/chan.h"
#include <stdlib.h>

/* Of the cases that are ready exactly one happens, send and receive mixed. */
static int one_fires_main(void *arg)
{
	weft_chan *c[4];
	int v, seen[5] = {0};

	(void)arg;
	for (int i = 0; i < 4; i++)
		c[i] = weft_chan_make(sizeof(int), 1);
	for (int k = 0; k < 2000; k++) {
		int out0 = -1, out1 = -1, s2 = 102, s3 = 103, n = 0;
		weft_case cases[] = {WEFT_RECV(c[0], &out0), WEFT_RECV(c[1], &out1), WEFT_SEND(c[2], &s2), WEFT_SEND(c[3], &s3),
				     WEFT_RECV(NULL, NULL)};
		int rc;

		v = 100;
		T_EQ(weft_chan_trysend(c[0], &v), 0);
		v = 101;
		T_EQ(weft_chan_trysend(c[1], &v), 0);
		for (int i = 0; i < 5; i++)
			cases[i].status = 77;
		rc = weft_chan_select(cases, 5);
		T_GE(rc, 0);
		T_LT(rc, 4);
		seen[rc]++;
		for (int i = 0; i < 5; i++)
			T_EQ(cases[i].status, i == rc ? 0 : 77);
		T_EQ(out0, rc == 0 ? 100 : -1);
		T_EQ(out1, rc == 1 ? 101 : -1);
		for (int i = 0; i < 4; i++)
			n += weft_chan_len(c[i]) == (i < 2 ? 0u : 1u);
		T_EQ(n, 1);
		for (int i = 0; i < 4; i++) {
			while (weft_chan_tryrecv(c[i], &v) == 0)
				T_EQ(v, 100 + i);
		}
	}
	for (int i = 0; i < 4; i++) {
		T_GT(seen[i], 0);
		weft_chan_free(c[i]);
	}
	return 0;
}

TEST_WORKERS(exactly_one_fires)
{
	run(one_fires_main, NULL);
}

/* --- the same channel --- */

static int pair_side(void *arg)
{
	weft_chan *c = arg;
	int out = -1, in = 5, rc;
	weft_case cases[] = {WEFT_SEND(c, &in), WEFT_RECV(c, &out), WEFT_RECV(c, &out), WEFT_SEND(c, &in)};

	rc = weft_chan_select(cases, 4);
	T_GE(rc, 0);
	T_EQ(cases[rc].status, 0);
	T_EQ(out, cases[rc].kind == WEFT_CASE_RECV ? 5 : -1);
	return cases[rc].kind == WEFT_CASE_RECV;
}

static int pairs_main(void *arg)
{
	int rounds = (int)tap_iters(1000);

	(void)arg;
	for (int i = 0; i < rounds; i++) {
		weft_chan *c = weft_chan_make(sizeof(int), 0);
		weft_task *a = start(pair_side, c), *b;

		if (i % 2) {
			until_reason(a, "select"); /* alone it pairs with nobody, itself included */
			for (int k = 0; k < 3; k++) {
				weft_task_yield();
				T_EQ(weft_task_stateof(a), WEFT_TASK_PARKED);
			}
		}
		b = start(pair_side, c);
		T_EQ(finish(a) + finish(b), 1); /* one sent, one received */
		weft_chan_free(c);
	}
	return 0;
}

/* Both directions of one channel in one select: it never pairs with itself, and two of them pair with each other. */
TEST_WORKERS(both_directions)
{
	run(pairs_main, NULL);
}

static int self_full_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 1);
	int in = 3, out = -1;
	weft_case cases[] = {WEFT_SEND(c, &in), WEFT_RECV(c, &out)};

	(void)arg;
	T_EQ(weft_chan_select(cases, 2), 0); /* empty: only the send can */
	T_EQ(weft_chan_len(c), 1);
	in = 4;
	T_EQ(weft_chan_select(cases, 2), 1); /* full: only the receive can */
	T_EQ(out, 3);
	weft_chan_free(c);
	c = weft_chan_make(sizeof(int), 0);
	cases[0].chan = cases[1].chan = c;
	T_EQ(weft_chan_select_until(cases, 2, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_chan_select_until(cases, 2, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	weft_chan_free(c);
	return 0;
}

/* On a buffered channel both directions are decided by what is in it. */
TEST_WORKERS(both_directions_of_a_buffer)
{
	run(self_full_main, NULL);
}

/* --- default, after, none, bad --- */

static int forms_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 1), *closed = weft_chan_make(sizeof(int), 1);
	weft_case cases[4], bad;
	int64_t at;
	int v = 1;

	(void)arg;
	weft_chan_close(closed);
	/* default: when nothing is ready, and only then */
	cases[0] = WEFT_RECV(c, &v);
	cases[1] = WEFT_DEFAULT();
	cases[1].status = 5;
	T_EQ(weft_chan_select(cases, 2), 1);
	T_EQ(cases[1].status, 0);
	T_EQ(weft_chan_trysend(c, &v), 0);
	T_EQ(weft_chan_select(cases, 2), 0);
	T_EQ(weft_chan_select(&cases[1], 1), 0);
	/* after: not before its time; the earliest of several; ready cases first, even when it is 0 */
	cases[1] = WEFT_AFTER(3 * WEFT_MS);
	cases[2] = WEFT_AFTER(WEFT_MS);
	cases[3] = WEFT_AFTER(WEFT_FOREVER);
	at = weft_now();
	T_EQ(weft_chan_select(cases, 4), 2);
	T_EQ(cases[2].status, 0);
	T_GE(weft_now(), at + WEFT_MS);
	cases[2] = WEFT_AFTER(0);
	T_EQ(weft_chan_select(cases, 3), 2);
	cases[2] = WEFT_AFTER(-WEFT_SEC);
	T_EQ(weft_chan_select(cases, 3), 2);
	T_EQ(weft_chan_trysend(c, &v), 0);
	T_EQ(weft_chan_select(cases, 3), 0);
	/* after and deadline: the earlier */
	cases[1] = WEFT_AFTER(WEFT_SEC);
	T_EQ(weft_chan_select_until(cases, 2, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	cases[1] = WEFT_AFTER(WEFT_MS);
	T_EQ(weft_chan_select_until(cases, 2, weft_in(WEFT_SEC)), 1);
	/* closed channels are ready */
	v = 9;
	cases[0] = WEFT_RECV(closed, &v);
	T_EQ(weft_chan_select(cases, 1), 0);
	T_EQ(cases[0].status, WEFT_ECLOSED);
	T_EQ(v, 0);
	v = 9;
	cases[0] = WEFT_SEND(closed, &v);
	cases[1] = WEFT_DEFAULT();
	T_EQ(weft_chan_select(cases, 2), 0);
	T_EQ(cases[0].status, WEFT_ECLOSED);
	T_EQ(v, 9);
	/* none */
	cases[0] = WEFT_RECV(NULL, &v);
	cases[1] = WEFT_SEND(NULL, &v);
	cases[2] = (weft_case){.kind = WEFT_CASE_NONE, .chan = closed};
	T_EQ(weft_chan_select_until(cases, 3, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_chan_select_until(cases, 3, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_chan_select_until(NULL, 0, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_chan_select_until(NULL, 0, WEFT_NOW), WEFT_EAGAIN);
	/* bad */
	cases[0] = cases[1] = WEFT_DEFAULT();
	T_EQ(weft_chan_select(cases, 2), WEFT_EINVAL);
	T_EQ(weft_chan_select(cases, -1), WEFT_EINVAL);
	T_EQ(weft_chan_select(cases, 65536), WEFT_EINVAL);
	T_EQ(weft_chan_select(NULL, 1), WEFT_EINVAL);
	bad = WEFT_RECV(c, NULL);
	bad.kind = 17;
	T_EQ(weft_chan_select(&bad, 1), WEFT_EINVAL);
	weft_chan_free(c);
	weft_chan_free(closed);
	return 0;
}

/* Default, timeout, closed, NULL, no cases, and cases that make no sense. */
TEST_WORKERS(forms)
{
	run(forms_main, NULL);
}

static int empty_select(void *arg)
{
	(void)arg;
	return weft_chan_select(NULL, 0);
}

static int empty_main(void *arg)
{
	weft_task *t = start(empty_select, NULL);

	(void)arg;
	until_reason(t, "select");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	return 0;
}

/* A select of nothing waits until it is cancelled. */
TEST_WORKERS(nothing_waits_for_ever)
{
	run(empty_main, NULL);
}

/* --- losers --- */

enum { WIDE = 100 };

struct wide {
	weft_chan *c[WIDE];
	int n, out[WIDE];
};

static int wide_recv(void *arg)
{
	struct wide *w = arg;
	weft_case cases[WIDE];
	int rc;

	for (int i = 0; i < w->n; i++)
		cases[i] = WEFT_RECV(w->c[i], &w->out[i]);
	rc = weft_chan_select(cases, w->n);
	if (rc >= 0)
		T_EQ(cases[rc].status, 0);
	return rc;
}

static int wide_send(void *arg)
{
	struct wide *w = arg;
	weft_case cases[WIDE];
	int rc;

	for (int i = 0; i < w->n; i++)
		cases[i] = WEFT_SEND(w->c[i], &w->out[i]);
	rc = weft_chan_select(cases, w->n);
	if (rc >= 0)
		T_EQ(cases[rc].status, 0);
	return rc;
}

static int losers_main(void *arg)
{
	static struct wide w;
	static const int widths[] = {1, 2, 31, 32, 33, WIDE};

	(void)arg;
	for (size_t k = 0; k < ARRAY_LEN(widths); k++) {
		w.n = widths[k];
		for (int i = 0; i < w.n; i++)
			w.c[i] = weft_chan_make(sizeof(int), 0);
		for (int win = 0; win < w.n; win += 1 + w.n / 7) {
			for (int sending = 0; sending < 2; sending++) {
				weft_task *t;
				int v = 1000 + win;

				for (int i = 0; i < w.n; i++)
					w.out[i] = sending ? i : -1;
				t = start(sending ? wide_send : wide_recv, &w);
				until_reason(t, "select");
				T_EQ(sending ? weft_chan_tryrecv(w.c[win], &v) : weft_chan_trysend(w.c[win], &v), 0);
				/* at once, while it has not even run: the other cases are nobody's any more */
				for (int i = 0; i < w.n; i++) {
					T_EQ(weft_chan_trysend(w.c[i], &v), WEFT_EAGAIN);
					T_EQ(weft_chan_tryrecv(w.c[i], NULL), WEFT_EAGAIN);
				}
				T_EQ(finish(t), win);
				if (sending)
					T_EQ(v, win);
				for (int i = 0; !sending && i < w.n; i++)
					T_EQ(w.out[i], i == win ? 1000 + win : -1);
				for (int i = 0; i < w.n; i++)
					T_OK(list_empty(&w.c[i]->recvq) && list_empty(&w.c[i]->sendq));
			}
		}
		for (int i = 0; i < w.n; i++)
			weft_chan_free(w.c[i]);
	}
	return 0;
}

/* When one case has fired, a send to another is not swallowed by the dead waiter there. */
TEST_WORKERS(losers_are_off_their_queues)
{
	run(losers_main, NULL);
}

/* --- uniform --- */

static void ten_sigma(const int *seen, int n, int draws)
{
	double variance = (double)draws * (n - 1) / n / n;

	for (int i = 0; i < n; i++) {
		double off = seen[i] - (double)draws / n;

		if (off * off > 100 * variance)
			T_FAIL("case %d of %d fired %d times in %d (variance %.1f)", i, n, seen[i], draws, variance);
	}
}

static int uniform_main(void *arg)
{
	static const int widths[] = {2, 3, 10, 33, WIDE};
	int draws = (int)tap_iters(50000);

	(void)arg;
	for (size_t k = 0; k < ARRAY_LEN(widths); k++) {
		int n = widths[k], seen[WIDE] = {0}, seen_half[WIDE] = {0};
		weft_case cases[WIDE];
		weft_chan *c[WIDE];

		for (int i = 0; i < n; i++) {
			c[i] = weft_chan_make(1, 1);
			weft_chan_trysend(c[i], "x");
			cases[i] = WEFT_RECV(c[i], NULL);
		}
		for (int i = 0; i < draws; i++) {
			int rc = weft_chan_select(cases, n);

			T_GE(rc, 0);
			seen[rc]++;
			weft_chan_trysend(c[rc], "x");
		}
		ten_sigma(seen, n, draws);
		/* every other one ready: uniform among these, not among the gaps before them */
		for (int i = 0; i < n; i++) {
			if (i % 2 || i == 0)
				continue;
			weft_chan_tryrecv(c[i], NULL);
		}
		for (int i = 0; i < draws; i++) {
			int rc = weft_chan_select(cases, n);

			T_GE(rc, 0);
			T_OK(rc == 0 || rc % 2);
			seen_half[rc ? (rc + 1) / 2 : 0]++;
			weft_chan_trysend(c[rc], "x");
		}
		ten_sigma(seen_half, 1 + n / 2, draws);
		for (int i = 0; i < n; i++)
			weft_chan_free(c[i]);
	}
	return 0;
}

/* Among the ready each fires equally often, within ten sigma. */
TEST_WORKERS(uniform)
{
	tap_limit(60);
	run(uniform_main, NULL);
}

/* --- one instant --- */

struct instant {
	weft_chan *a, *b;
	ATOMIC(int) stop;
};

static int mover(void *arg)
{
	struct instant *s = arg;

	while (!load_acquire(&s->stop)) {
		/* the element is in a, in both, in b, in both: never in neither */
		weft_chan_trysend(s->b, "x");
		weft_chan_tryrecv(s->a, NULL);
		weft_chan_trysend(s->a, "x");
		weft_chan_tryrecv(s->b, NULL);
		weft_task_yield();
	}
	return 0;
}

static int instant_main(void *arg)
{
	struct instant s = {.a = weft_chan_make(1, 1), .b = weft_chan_make(1, 1)};
	long n = tap_iters(20000);
	weft_task *t;

	(void)arg;
	weft_chan_trysend(s.a, "x");
	t = start(mover, &s);
	for (long i = 0; i < n; i++) {
		weft_case cases[] = {WEFT_RECV(s.a, NULL), WEFT_RECV(s.b, NULL), WEFT_DEFAULT()};
		int rc = weft_chan_select(cases, 3);

		T_NE(rc, 2);
		/* Put back: whatever the mover did meanwhile, one of the two is full. */
		weft_chan_trysend(rc ? s.b : s.a, "x");
		if (i % 8 == 0)
			weft_task_yield();
	}
	store_release(&s.stop, 1);
	finish(t);
	weft_chan_free(s.a);
	weft_chan_free(s.b);
	return 0;
}

/* Which cases are ready is seen at one instant: an element that moves from channel to channel and back is never in neither. */
TEST_WORKERS(one_instant)
{
	run(instant_main, NULL);
}

/* --- against close, cancel, deadlines --- */

struct mix {
	struct wide w;
	ATOMIC(int) sent, got;
};

static int mix_select(void *arg)
{
	struct mix *m = arg;

	for (;;) {
		weft_case cases[4];
		int v[3], rc;

		for (int i = 0; i < 3; i++)
			cases[i] = WEFT_RECV(m->w.c[i], &v[i]);
		cases[3] = WEFT_AFTER(30 * WEFT_US);
		rc = weft_chan_select(cases, 4);
		if (rc == WEFT_ECANCELED)
			return 1;
		T_GE(rc, 0);
		if (rc == 3)
			continue;
		if (cases[rc].status == WEFT_ECLOSED)
			return 0;
		T_EQ(v[rc], rc);
		add_relaxed(&m->got, 1);
	}
}

static int mix_send(void *arg)
{
	struct mix *m = arg;

	for (int k = 0;; k++) {
		weft_case cases[3];
		int v[3] = {0, 1, 2}, rc;

		for (int i = 0; i < 3; i++)
			cases[i] = WEFT_SEND(m->w.c[i], &v[i]);
		rc = weft_chan_select_until(cases, 3, k % 2 ? WEFT_FOREVER : weft_in(20 * WEFT_US));
		if (rc == WEFT_ECANCELED)
			return 1;
		if (rc == WEFT_ETIMEDOUT)
			continue;
		T_GE(rc, 0);
		if (cases[rc].status == WEFT_ECLOSED)
			return 0;
		add_relaxed(&m->sent, 1);
	}
}

static int mix_main(void *arg)
{
	long n = tap_iters(150);

	(void)arg;
	for (long i = 0; i < n; i++) {
		static struct mix m;
		weft_task *r[3], *s[3];
		int v, left = 0;

		memset(&m, 0, sizeof m);
		for (int k = 0; k < 3; k++)
			m.w.c[k] = weft_chan_make(sizeof(int), (size_t)(i + k) % 3);
		for (int k = 0; k < 3; k++) {
			r[k] = start(mix_select, &m);
			s[k] = start(mix_send, &m);
		}
		for (int k = 0; k < (int)i % 40; k++)
			weft_task_yield();
		weft_task_cancel(r[0]);
		weft_task_cancel(s[0]);
		for (int k = 0; k < 3; k++)
			weft_chan_close(m.w.c[k]);
		for (int k = 0; k < 3; k++) {
			finish(s[k]);
			finish(r[k]);
		}
		for (int k = 0; k < 3; k++) {
			while (weft_chan_tryrecv(m.w.c[k], &v) ==
			       0) { /* a receiver that is told of one closed channel leaves the others' */
				T_EQ(v, k);
				left++;
			}
			weft_chan_free(m.w.c[k]);
		}
		T_EQ(m.got + left, m.sent);
	}
	return 0;
}

/* Selects that race closes, cancels and timeouts lose nothing and double nothing. */
TEST_WORKERS(against_close_cancel_and_time)
{
	run(mix_main, NULL);
}
