/* SPDX-License-Identifier: MIT
 *
 * nil.c - the NULL channel: nothing ever happens on it, and in a select it is a case that is switched off.
 */
#include "conform.h"

/* A send on a NULL channel waits for ever: until its deadline, if it has one. */
LAW(send_waits_until_its_deadline)
{
	int64_t at = weft_in(WEFT_MS);
	int v = 1;

	T_EQ(weft_chan_send_until(NULL, &v, at), WEFT_ETIMEDOUT);
	T_GE(weft_now(), at);
	T_EQ(v, 1);
}

/* A receive from a NULL channel waits for ever: until its deadline, if it has one; nothing is received, not even a zero. */
LAW(receive_waits_until_its_deadline)
{
	int64_t at = weft_in(WEFT_MS);
	int v = 1;

	T_EQ(weft_chan_recv_until(NULL, &v, at), WEFT_ETIMEDOUT);
	T_GE(weft_now(), at);
	T_EQ(v, 1);
}

/* ... until it is cancelled. */
LAW(calls_wait_until_they_are_cancelled)
{
	struct other o[2];

	other_sends(&o[0], NULL, 1);
	other_receives(&o[1], NULL);
	for (int i = 0; i < 2; i++)
		T_OK(other_waits(&o[i]));
	for (int i = 0; i < 2; i++)
		T_EQ(other_cancelled(&o[i]), WEFT_ECANCELED);
	T_EQ(o[1].v, -1);
}

/* ... until the deadline of the context. */
LAW(calls_wait_until_the_contexts_deadline)
{
	weft_ctx *x = weft_ctx_with_deadline(NULL, weft_in(WEFT_MS)), *up = weft_ctx_enter(x);
	int v = 1;

	T_EQ(weft_chan_recv(NULL, &v), WEFT_ETIMEDOUT);
	T_EQ(weft_chan_send(NULL, &v), WEFT_ETIMEDOUT);
	T_EQ(weft_chan_select(NULL, 0), WEFT_ETIMEDOUT);
	weft_ctx_leave(up);
	weft_ctx_free(x);
	T_EQ(v, 1);
}

/* A sender and a receiver of NULL do not meet: it is no channel that they share. */
LAW(nobody_meets_at_null)
{
	struct other o[2];

	other_receives(&o[0], NULL);
	T_EQ(put(NULL, 1), WEFT_EAGAIN);
	other_sends(&o[1], NULL, 1);
	T_EQ(take(NULL), WEFT_EAGAIN);
	for (int i = 0; i < 2; i++)
		T_OK(other_waits(&o[i]));
	for (int i = 0; i < 2; i++)
		T_EQ(other_cancelled(&o[i]), WEFT_ECANCELED);
}

/* Without waiting, nothing can be done with it. */
LAW(try_says_that_it_would_wait)
{
	int v = 1;

	T_EQ(put(NULL, 1), WEFT_EAGAIN);
	T_EQ(take(NULL), WEFT_EAGAIN);
	T_EQ(weft_chan_send_until(NULL, &v, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_chan_recv_until(NULL, &v, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(v, 1);
}

/* Its length and capacity are 0. */
LAW(length_and_capacity_are_zero)
{
	T_EQ(weft_chan_len(NULL), 0);
	T_EQ(weft_chan_cap(NULL), 0);
}

/* It cannot be closed, but dropped. */
LAW(cannot_be_closed)
{
	T_EQ(weft_chan_close(NULL), WEFT_EINVAL);
	T_EQ(weft_chan_close(NULL), WEFT_EINVAL);
	weft_chan_free(NULL);
}

/* In a select a case with a NULL channel is never ready: default is taken. */
LAW(never_ready_beside_a_default)
{
	int v = 1;
	weft_case cases[] = {WEFT_RECV(NULL, &v), WEFT_DEFAULT(), WEFT_SEND(NULL, &v)};

	for (int i = 0; i < 100; i++)
		T_EQ(weft_chan_select(cases, 3), 1);
	T_EQ(v, 1);
}

/* ... and any other case that is ready. */
LAW(never_ready_beside_a_ready_one)
{
	weft_chan *c = ints(1);
	int v = 1, out;
	weft_case cases[] = {WEFT_RECV(NULL, &v), WEFT_SEND(NULL, &v), WEFT_RECV(c, &out), WEFT_RECV(NULL, NULL)};

	for (int i = 0; i < 100; i++) {
		T_EQ(put(c, i), 0);
		T_EQ(weft_chan_select(cases, 4), 2);
		T_EQ(out, i);
	}
	T_EQ(v, 1);
	emptied(c);
}

/* A select of NULL channels only waits for ever, as one without cases. */
LAW(select_of_nulls_waits)
{
	int v = 1;
	weft_case cases[] = {WEFT_RECV(NULL, &v), WEFT_SEND(NULL, &v)};
	struct other o;

	for (int n = 0; n <= 2; n++) {
		T_EQ(weft_chan_select_until(cases, n, WEFT_NOW), WEFT_EAGAIN);
		T_EQ(weft_chan_select_until(cases, n, weft_in(100 * WEFT_US)), WEFT_ETIMEDOUT);
		other_selects(&o, cases, n);
		T_OK(other_waits(&o));
		T_EQ(other_cancelled(&o), WEFT_ECANCELED);
	}
	T_EQ(v, 1);
}

/* A select that waits is woken by its other cases. */
LAW(waiting_select_passes_over_nulls)
{
	for (int n = 1; n < 6; n++) {
		for (int at = 0; at < n; at++) {
			weft_chan *c = ints(0);
			weft_case cases[6];
			struct other o;
			int v = -1;

			for (int i = 0; i < n; i++)
				cases[i] = i % 2 ? WEFT_RECV(NULL, &v) : WEFT_SEND(NULL, &v);
			cases[at] = WEFT_RECV(c, &v);
			other_selects(&o, cases, n);
			T_EQ(give(c, at), 0);
			T_EQ(other_ends(&o), at);
			T_EQ(v, at);
			emptied(c);
		}
	}
}

/* A timeout beside NULL channels is all there is. */
LAW(after_beside_nulls)
{
	weft_case cases[] = {WEFT_RECV(NULL, NULL), WEFT_AFTER(200 * WEFT_US), WEFT_SEND(NULL, &cases)};
	int64_t at = weft_now();

	T_EQ(weft_chan_select(cases, 3), 1);
	T_GE(weft_now(), at + 200 * WEFT_US);
}

static void numbers(weft_chan *c, int from, int n)
{
	for (int i = 0; i < n; i++)
		T_EQ(give(c, from + i), 0);
	T_EQ(weft_chan_close(c), 0);
	done();
}

/* A variable set to NULL when its channel is closed switches its case off: the loop ends when all are. */
LAW(closed_channels_are_switched_off)
{
	enum { WAYS = 4, EACH = 100 };
	weft_chan *c[WAYS], *open[WAYS];
	int next[WAYS] = {0}, left = WAYS;

	for (int i = 0; i < WAYS; i++) {
		open[i] = c[i] = ints((size_t)i);
		hire(numbers, c[i], i * EACH, EACH);
	}
	while (left) {
		weft_case cases[WAYS];
		int v[WAYS], i;

		for (int k = 0; k < WAYS; k++)
			cases[k] = WEFT_RECV(open[k], &v[k]);
		i = weft_chan_select(cases, WAYS);
		T_GE(i, 0);
		T_OK(open[i] != NULL);
		if (cases[i].status == 0) {
			T_EQ(v[i], i * EACH + next[i]);
			next[i]++;
		} else {
			T_EQ(cases[i].status, WEFT_ECLOSED);
			T_EQ(next[i], EACH);
			open[i] = NULL;
			left--;
		}
	}
	all_done();
	for (int i = 0; i < WAYS; i++)
		emptied(c[i]);
}

static void queue_between(weft_chan *in, weft_chan *out, int n)
{
	int *held = malloc((size_t)n * sizeof *held), head = 0, tail = 0;

	while (in || head < tail) {
		int none = 0;
		weft_case cases[] = {WEFT_RECV(in, &held[tail < n ? tail : 0]),
				     WEFT_SEND(head < tail ? out : NULL, head < tail ? &held[head] : &none)};

		if (tail == n)
			cases[0].elem = NULL; /* only the close can come */
		switch (weft_chan_select(cases, 2)) {
		case 0:
			if (cases[0].status)
				in = NULL;
			else
				tail++;
			break;
		case 1:
			head++;
			break;
		default:
			T_FAIL("neither case");
		}
	}
	free(held);
	T_EQ(weft_chan_close(out), 0);
	done();
}

/* A case is switched on when there is something to send, off when not: an endless queue between two channels. */
LAW(sends_are_switched_on_and_off)
{
	enum { N = 500 };
	weft_chan *in = ints(0), *out = ints(0);

	hire(queue_between, in, out, N);
	for (int i = 0; i < N; i++)
		T_EQ(give(in, i), 0); /* nobody receives from out yet: all are held */
	T_EQ(weft_chan_close(in), 0);
	for (int i = 0; i < N; i++)
		T_EQ(get(out), i);
	T_EQ(get(out), WEFT_ECLOSED);
	all_done();
	emptied(in);
	emptied(out);
}
