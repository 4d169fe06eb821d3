/* SPDX-License-Identifier: MIT
 *
 * fairness.c - chance and turns: of the ready cases each is equally likely, every time anew; in a line everybody has his turn.
 *
 * Counts are held against ten sigma: what chance does not do in the age of the world.
 */
#include "conform.h"

enum { WIDTH = 64 };

static const int widths[] = {2, 3, 5, 16, 33, WIDTH};

/* Among receives that are all ready each is as likely as any other. */
LAW(receives_are_chosen_evenly)
{
	int draws = (int)tap_iters(40000);

	for (size_t k = 0; k < ARRAY_LEN(widths); k++) {
		int n = widths[k], seen[WIDTH] = {0};
		weft_case cases[WIDTH];
		weft_chan *c[WIDTH];

		for (int i = 0; i < n; i++) {
			c[i] = ints(1);
			T_EQ(put(c[i], i), 0);
			cases[i] = WEFT_RECV(c[i], NULL);
		}
		for (int i = 0; i < draws; i++) {
			int rc = weft_chan_select(cases, n);

			T_GE(rc, 0);
			seen[rc]++;
			T_EQ(put(c[rc], 0), 0);
		}
		T_OK(even(seen, n));
		for (int i = 0; i < n; i++)
			weft_chan_free(c[i]);
	}
}

/* Among sends, too. */
LAW(sends_are_chosen_evenly)
{
	int draws = (int)tap_iters(40000);

	for (size_t k = 0; k < ARRAY_LEN(widths); k++) {
		int n = widths[k], seen[WIDTH] = {0};
		weft_case cases[WIDTH];
		weft_chan *c[WIDTH];

		for (int i = 0; i < n; i++) {
			c[i] = ints(1);
			cases[i] = WEFT_SEND(c[i], &n);
		}
		for (int i = 0; i < draws; i++) {
			int rc = weft_chan_select(cases, n);

			T_GE(rc, 0);
			seen[rc]++;
			T_EQ(take(c[rc]), n);
		}
		T_OK(even(seen, n));
		for (int i = 0; i < n; i++)
			emptied(c[i]);
	}
}

/* Sends, receives and closed channels side by side: a case's kind does not count. */
LAW(kinds_are_chosen_evenly)
{
	enum { N = 8 };
	int draws = (int)tap_iters(80000), seen[N] = {0}, v = 0;
	weft_case cases[N];
	weft_chan *c[N];

	for (int i = 0; i < N; i++) {
		c[i] = ints(1);
		cases[i] = i % 2 ? WEFT_RECV(c[i], &v) : WEFT_SEND(c[i], &v);
		if (i % 4 > 1)
			T_EQ(weft_chan_close(c[i]), 0);
		else if (i % 2)
			T_EQ(put(c[i], 1), 0);
	}
	for (int i = 0; i < draws; i++) {
		int rc = weft_chan_select(cases, N);

		T_GE(rc, 0);
		seen[rc]++;
		T_EQ(cases[rc].status, rc % 4 > 1 ? WEFT_ECLOSED : 0);
		if (rc % 4 == 1)
			T_EQ(put(c[rc], 1), 0);
		if (rc % 4 == 0)
			T_EQ(weft_chan_tryrecv(c[rc], NULL), 0);
	}
	T_OK(even(seen, N));
	for (int i = 0; i < N; i++)
		weft_chan_free(c[i]);
}

/* A channel that stands in several cases has as many chances: it is cases that are drawn, not channels. */
LAW(cases_are_drawn_not_channels)
{
	int draws = (int)tap_iters(40000), seen[4] = {0};
	weft_chan *a = ints(1), *b = ints(1);
	weft_case cases[] = {WEFT_RECV(a, NULL), WEFT_RECV(b, NULL), WEFT_RECV(a, NULL), WEFT_RECV(a, NULL)};

	T_EQ(put(a, 1), 0);
	T_EQ(put(b, 1), 0);
	for (int i = 0; i < draws; i++) {
		int rc = weft_chan_select(cases, 4);

		T_GE(rc, 0);
		seen[rc]++;
		T_EQ(put(cases[rc].chan, 1), 0);
	}
	T_OK(even(seen, 4));
	weft_chan_free(a);
	weft_chan_free(b);
}

/* Only the ready count: those between them that are not, NULL ones included, shift nothing. */
LAW(gaps_shift_nothing)
{
	enum { N = 12, READY = 4 };
	static const int at[READY] = {0, 1, 7, 11};
	int draws = (int)tap_iters(40000), seen[READY] = {0};
	weft_chan *full = ints(1), *empty = ints(1);
	weft_case cases[N];

	T_EQ(put(full, 1), 0);
	for (int i = 0; i < N; i++)
		cases[i] = i % 3 ? WEFT_RECV(empty, NULL) : WEFT_RECV(NULL, NULL);
	for (int i = 0; i < READY; i++)
		cases[at[i]] = WEFT_RECV(full, NULL);
	for (int i = 0; i < draws; i++) {
		int rc = weft_chan_select(cases, N), k = 0;

		T_GE(rc, 0);
		while (k < READY && at[k] != rc)
			k++;
		T_LT(k, READY);
		seen[k]++;
		T_EQ(put(full, 1), 0);
	}
	T_OK(even(seen, READY));
	weft_chan_free(full);
	emptied(empty);
}

/* Each draw is its own: what was drawn last says nothing about what comes next. */
LAW(draws_are_independent)
{
	enum { N = 3 };
	int draws = (int)tap_iters(90000), pairs[N * N] = {0}, triples[N * N * N] = {0}, last = 0, before = 0;
	weft_case cases[N];
	weft_chan *c = ints(0);

	T_EQ(weft_chan_close(c), 0);
	for (int i = 0; i < N; i++)
		cases[i] = WEFT_RECV(c, NULL);
	for (int i = 0; i < draws; i++) {
		int rc = weft_chan_select(cases, N);

		T_GE(rc, 0);
		pairs[last * N + rc]++;
		triples[(before * N + last) * N + rc]++;
		before = last;
		last = rc;
	}
	T_OK(even(pairs, N * N));
	T_OK(even(triples, N * N * N));
	emptied(c);
}

/* Senders that wait are chosen as evenly as full buffers. */
LAW(waiting_senders_are_chosen_evenly)
{
	enum { N = 3 };
	int draws = (int)tap_iters(3000), seen[N] = {0}, v[N];
	weft_case cases[N];
	struct other o[N];
	weft_chan *c[N];

	for (int i = 0; i < N; i++) {
		c[i] = ints(0);
		cases[i] = WEFT_RECV(c[i], &v[i]);
		other_sends(&o[i], c[i], i);
	}
	for (int i = 0; i < draws; i++) {
		int rc = weft_chan_select(cases, N);

		T_GE(rc, 0);
		T_EQ(v[rc], rc);
		T_EQ(other_ends(&o[rc]), 0);
		seen[rc]++;
		other_sends(&o[rc], c[rc], rc);
	}
	T_OK(even(seen, N));
	for (int i = 0; i < N; i++) {
		T_EQ(take(c[i]), i);
		T_EQ(other_ends(&o[i]), 0);
		emptied(c[i]);
	}
}

/* --- several who draw --- */

enum { DRAWS = 256 };

struct drawer {
	weft_chan *closed;
	unsigned char drawn[DRAWS];
};

static void drawer(struct drawer *d)
{
	weft_case cases[] = {WEFT_RECV(d->closed, NULL), WEFT_RECV(d->closed, NULL)};

	for (int i = 0; i < DRAWS; i++) {
		d->drawn[i] = (unsigned char)weft_chan_select(cases, 2);
		if (i % 32 == 0)
			weft_task_yield();
	}
	done();
}

/* Two tasks do not draw the same: their choices are not in step. */
LAW(tasks_do_not_draw_in_step)
{
	enum { TASKS = 4 };
	static struct drawer d[TASKS];
	weft_chan *closed = ints(0);

	T_EQ(weft_chan_close(closed), 0);
	for (int i = 0; i < TASKS; i++) {
		d[i].closed = closed;
		hire(drawer, &d[i]);
	}
	all_done();
	for (int i = 0; i < TASKS; i++) {
		for (int k = 0; k < i; k++) {
			int seen[2] = {0};

			for (int j = 0; j < DRAWS; j++)
				seen[d[i].drawn[j] == d[k].drawn[j]]++;
			T_OK(even(seen, 2));
		}
	}
	emptied(closed);
}

/* --- turns --- */

/* Who has been served and comes again is behind those who wait: the line goes round. */
LAW(line_goes_round)
{
	enum { N = 5 };
	int rounds = (int)tap_iters(100);
	weft_chan *c = ints(0);

	for (int sends = 0; sends < 2; sends++) {
		struct other o[N];

		for (int i = 0; i < (rounds + 1) * N; i++) {
			struct other *x = &o[i % N];

			if (i >= N) {
				T_EQ(sends ? take(c) : put(c, i - N), sends ? i - N : 0);
				T_EQ(other_ends(x), 0);
				T_EQ(x->v, i - N);
			}
			if (i < rounds * N && sends)
				other_sends(x, c, i);
			else if (i < rounds * N)
				other_receives(x, c);
		}
	}
	emptied(c);
}

static void tireless(weft_chan *c, int me)
{
	while (give(c, me) == 0)
		;
	done();
}

/* Of many senders that never rest, none is kept waiting for ever. */
LAW(no_sender_starves)
{
	enum { SENDERS = 8 };
	int seen[SENDERS] = {0}, served = 0, turns = (int)tap_iters(500);
	weft_chan *c = ints(0);

	for (int i = 0; i < SENDERS; i++)
		hire(tireless, c, i);
	while (served < SENDERS)
		served += ++seen[get(c)] == turns;
	T_EQ(weft_chan_close(c), 0);
	all_done();
	emptied(c);
}

static void insatiable(weft_chan *c, ATOMIC(int) *had, ATOMIC(int) *served, int turns)
{
	while (get(c) >= 0) {
		if (add_relaxed(had, 1) + 1 == turns) /* his own */
			add_relaxed(served, 1);       /* only how many */
	}
	done();
}

/* Nor is a receiver. */
LAW(no_receiver_starves)
{
	enum { RECEIVERS = 8 };
	ATOMIC(int) had[RECEIVERS] = {0}, served = 0;
	int turns = (int)tap_iters(500);
	weft_chan *c = ints(0);

	for (int i = 0; i < RECEIVERS; i++)
		hire(insatiable, c, &had[i], &served, turns);
	while (load_relaxed(&served) < RECEIVERS) /* as above */
		T_EQ(give(c, 0), 0);
	T_EQ(weft_chan_close(c), 0);
	all_done();
	emptied(c);
}

/* A select over two busy channels, each with a sender that never rests, hears both. */
LAW(no_case_starves)
{
	weft_chan *c[2] = {ints(0), ints(0)};
	int seen[2] = {0}, turns = (int)tap_iters(1000);

	for (int i = 0; i < 2; i++)
		hire(tireless, c[i], i);
	while (seen[0] < turns || seen[1] < turns) {
		weft_case cases[] = {WEFT_RECV(c[0], NULL), WEFT_RECV(c[1], NULL)};
		int rc = weft_chan_select(cases, 2);

		T_GE(rc, 0);
		seen[rc]++;
	}
	for (int i = 0; i < 2; i++)
		T_EQ(weft_chan_close(c[i]), 0);
	all_done();
	for (int i = 0; i < 2; i++)
		emptied(c[i]);
}
