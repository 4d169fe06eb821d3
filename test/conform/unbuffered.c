/* SPDX-License-Identifier: MIT
 *
 * unbuffered.c - channels of capacity 0: sender and receiver meet, in the order in which they came, or neither goes on.
 */
#include "conform.h"

enum { LINE = 24 };

/* A send on an unbuffered channel waits until somebody receives. */
LAW(send_waits_for_a_receiver)
{
	weft_chan *c = ints(0);
	struct other o;

	other_sends(&o, c, 7);
	T_OK(other_waits(&o));
	T_EQ(get(c), 7);
	T_EQ(other_ends(&o), 0);
	emptied(c);
}

/* A receive waits until somebody sends. */
LAW(receive_waits_for_a_sender)
{
	weft_chan *c = ints(0);
	struct other o;

	other_receives(&o, c);
	T_OK(other_waits(&o));
	T_EQ(o.v, -1);
	T_EQ(give(c, 7), 0);
	T_EQ(other_ends(&o), 0);
	T_EQ(o.v, 7);
	emptied(c);
}

/* The length and the capacity of an unbuffered channel are 0, whoever waits. */
LAW(length_and_capacity_are_zero)
{
	weft_chan *c = ints(0);
	struct other o[3];

	T_EQ(weft_chan_len(c), 0);
	T_EQ(weft_chan_cap(c), 0);
	for (int i = 0; i < 3; i++)
		other_sends(&o[i], c, i);
	T_EQ(weft_chan_len(c), 0);
	T_EQ(weft_chan_cap(c), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(take(c), i);
	for (int i = 0; i < 3; i++) {
		T_EQ(other_ends(&o[i]), 0);
		other_receives(&o[i], c);
	}
	T_EQ(weft_chan_len(c), 0);
	T_EQ(weft_chan_cap(c), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(put(c, i), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(other_ends(&o[i]), 0);
	emptied(c);
}

/* Without waiting, a send goes on only if a receiver waits already. */
LAW(try_to_send_needs_a_waiting_receiver)
{
	weft_chan *c = ints(0);
	struct other o;

	T_EQ(put(c, 1), WEFT_EAGAIN);
	other_receives(&o, c);
	T_EQ(put(c, 2), 0);
	T_EQ(put(c, 3), WEFT_EAGAIN);
	T_EQ(other_ends(&o), 0);
	T_EQ(o.v, 2);
	T_EQ(put(c, 4), WEFT_EAGAIN);
	emptied(c);
}

/* Without waiting, a receive goes on only if a sender waits already. */
LAW(try_to_receive_needs_a_waiting_sender)
{
	weft_chan *c = ints(0);
	struct other o;

	T_EQ(take(c), WEFT_EAGAIN);
	other_sends(&o, c, 2);
	T_EQ(take(c), 2);
	T_EQ(take(c), WEFT_EAGAIN);
	T_EQ(other_ends(&o), 0);
	T_EQ(take(c), WEFT_EAGAIN);
	emptied(c);
}

static void count_to(weft_chan *c, int n)
{
	for (int i = 0; i < n; i++)
		T_EQ(give(c, i), 0);
	T_EQ(weft_chan_close(c), 0);
	done();
}

/* The values of one sender are received in the order in which they were sent. */
LAW(one_senders_values_keep_their_order)
{
	int n = (int)tap_iters(5000);
	weft_chan *c = ints(0);

	hire(count_to, c, n);
	for (int i = 0; i < n; i++)
		T_EQ(get(c), i);
	T_EQ(get(c), WEFT_ECLOSED);
	all_done();
	emptied(c);
}

/* Senders that wait are served first come first served. */
LAW(senders_are_served_in_line)
{
	weft_chan *c = ints(0);
	struct other o[LINE];

	for (int i = 0; i < LINE; i++)
		other_sends(&o[i], c, i);
	for (int i = 0; i < LINE; i++)
		T_EQ(i % 2 ? take(c) : get(c), i);
	for (int i = 0; i < LINE; i++)
		T_EQ(other_ends(&o[i]), 0);
	emptied(c);
}

/* Receivers that wait are served first come first served. */
LAW(receivers_are_served_in_line)
{
	weft_chan *c = ints(0);
	struct other o[LINE];

	for (int i = 0; i < LINE; i++)
		other_receives(&o[i], c);
	for (int i = 0; i < LINE; i++)
		T_EQ(i % 2 ? put(c, i) : give(c, i), 0);
	for (int i = 0; i < LINE; i++) {
		T_EQ(other_ends(&o[i]), 0);
		T_EQ(o[i].v, i);
	}
	emptied(c);
}

/* One send releases one receiver: the others go on waiting, and their variables are as they were. */
LAW(one_send_releases_one_receiver)
{
	weft_chan *c = ints(0);
	struct other o[4];

	for (int i = 0; i < 4; i++)
		other_receives(&o[i], c);
	for (int i = 0; i < 4; i++) {
		T_EQ(give(c, 10 + i), 0);
		T_EQ(other_ends(&o[i]), 0);
		for (int k = i + 1; k < 4; k++) {
			T_OK(other_waits(&o[k]));
			T_EQ(o[k].v, -1);
		}
	}
	emptied(c);
}

/* One receive releases one sender: the others go on waiting. */
LAW(one_receive_releases_one_sender)
{
	weft_chan *c = ints(0);
	struct other o[4];

	for (int i = 0; i < 4; i++)
		other_sends(&o[i], c, 10 + i);
	for (int i = 0; i < 4; i++) {
		T_EQ(get(c), 10 + i);
		T_EQ(other_ends(&o[i]), 0);
		for (int k = i + 1; k < 4; k++)
			T_OK(other_waits(&o[k]));
	}
	emptied(c);
}

/* A channel carries copies: once the send has returned, what the sender does to his variable is not seen by the receiver. */
LAW(values_are_copied)
{
	weft_chan *c = ints(0);
	struct other o;

	other_receives(&o, c);
	for (int v = 5; v; v = 0) {
		T_EQ(weft_chan_send(c, &v), 0);
		v = 6;
		T_EQ(other_ends(&o), 0);
		T_EQ(o.v, 5);
	}
	other_sends(&o, c, 8);
	T_EQ(get(c), 8);
	T_EQ(other_ends(&o), 0);
	T_EQ(o.v, 8); /* the sender's own is left as it was */
	emptied(c);
}

/* A receiver that has given up takes nothing; a later sender waits. */
LAW(receiver_that_gave_up_takes_nothing)
{
	weft_chan *c = ints(0);
	struct other o, s;

	other_receives_until(&o, c, weft_in(WEFT_MS));
	T_EQ(other_ends(&o), WEFT_ETIMEDOUT);
	T_EQ(o.v, -1);
	T_EQ(put(c, 1), WEFT_EAGAIN);
	other_receives(&o, c);
	T_EQ(other_cancelled(&o), WEFT_ECANCELED);
	T_EQ(o.v, -1);
	other_sends(&s, c, 2);
	T_OK(other_waits(&s));
	T_EQ(get(c), 2);
	T_EQ(other_ends(&s), 0);
	emptied(c);
}

/* A sender that has given up has sent nothing. */
LAW(sender_that_gave_up_has_sent_nothing)
{
	weft_chan *c = ints(0);
	struct other o, r;

	other_sends_until(&o, c, 1, weft_in(WEFT_MS));
	T_EQ(other_ends(&o), WEFT_ETIMEDOUT);
	T_EQ(take(c), WEFT_EAGAIN);
	other_sends(&o, c, 2);
	T_EQ(other_cancelled(&o), WEFT_ECANCELED);
	other_receives(&r, c);
	T_OK(other_waits(&r));
	T_EQ(give(c, 3), 0);
	T_EQ(other_ends(&r), 0);
	T_EQ(r.v, 3);
	emptied(c);
}

/* Who gives up in the middle of the line leaves the order of the others. */
LAW(line_keeps_its_order_around_those_who_leave)
{
	weft_chan *c = ints(0);
	struct other o[LINE];

	for (int sends = 0; sends < 2; sends++) {
		for (int i = 0; i < LINE; i++) {
			if (sends)
				other_sends(&o[i], c, i);
			else
				other_receives(&o[i], c);
		}
		for (int i = 0; i < LINE; i++) {
			if (i % 3 != 1)
				T_EQ(other_cancelled(&o[i]), WEFT_ECANCELED);
		}
		for (int i = 1; i < LINE; i += 3) {
			T_EQ(sends ? get(c) : give(c, i), sends ? i : 0);
			T_EQ(other_ends(&o[i]), 0);
			T_EQ(o[i].v, i);
		}
	}
	emptied(c);
}

/* Who has been cancelled is served no more, even before he has heard of it: the next in line is. */
LAW(cancelled_ones_are_passed_over_at_once)
{
	weft_chan *c = ints(0);

	for (int sends = 0; sends < 2; sends++) {
		struct other o[LINE];
		weft_case cases[LINE];

		for (int i = 0; i < LINE; i++) {
			if (i % 3 == 0) {
				cases[i] = sends ? WEFT_SEND(c, &o[i].v) : WEFT_RECV(c, &o[i].v);
				other_selects(&o[i], &cases[i], 1);
				o[i].v = sends ? i : -1;
			} else if (sends) {
				other_sends(&o[i], c, i);
			} else {
				other_receives(&o[i], c);
			}
		}
		for (int i = 0; i < LINE; i += 2)
			T_EQ(weft_task_cancel(o[i].task), 0);
		for (int i = 1; i < LINE; i += 2)
			T_EQ(sends ? take(c) : put(c, i), sends ? i : 0);
		T_EQ(sends ? take(c) : put(c, 1), WEFT_EAGAIN);
		for (int i = 0; i < LINE; i++) {
			T_EQ(other_ends(&o[i]), i % 2 ? 0 : WEFT_ECANCELED);
			T_EQ(o[i].v, i % 2 || sends ? i : -1);
		}
	}
	emptied(c);
}

/* A received value may be thrown away: it is received all the same. */
LAW(dropped_value_is_received)
{
	weft_chan *c = ints(0);
	struct other o[2];

	other_sends(&o[0], c, 1);
	other_sends(&o[1], c, 2);
	T_EQ(weft_chan_recv(c, NULL), 0);
	T_EQ(other_ends(&o[0]), 0);
	T_OK(other_waits(&o[1]));
	T_EQ(weft_chan_tryrecv(c, NULL), 0);
	T_EQ(other_ends(&o[1]), 0);
	emptied(c);
}

/* Two senders do not meet, nor do two receivers. */
LAW(equals_do_not_meet)
{
	weft_chan *c = ints(0);
	struct other o[2];

	for (int i = 0; i < 2; i++)
		other_sends(&o[i], c, i);
	for (int i = 0; i < 2; i++)
		T_OK(other_waits(&o[i]));
	for (int i = 0; i < 2; i++)
		T_EQ(other_cancelled(&o[i]), WEFT_ECANCELED);
	for (int i = 0; i < 2; i++)
		other_receives(&o[i], c);
	for (int i = 0; i < 2; i++)
		T_OK(other_waits(&o[i]));
	for (int i = 0; i < 2; i++)
		T_EQ(other_cancelled(&o[i]), WEFT_ECANCELED);
	emptied(c);
}

/* One task alone cannot hand itself a value. */
LAW(nobody_meets_himself)
{
	weft_chan *c = ints(0);
	int v = 3;

	T_EQ(weft_chan_send_until(c, &v, weft_in(100 * WEFT_US)), WEFT_ETIMEDOUT);
	T_EQ(weft_chan_recv_until(c, &v, weft_in(100 * WEFT_US)), WEFT_ETIMEDOUT);
	T_EQ(v, 3);
	emptied(c);
}

/* Two channels are two: a send on one is not received from the other. */
LAW(channels_are_independent)
{
	weft_chan *a = ints(0), *b = ints(0);
	struct other o;

	other_sends(&o, a, 1);
	T_EQ(take(b), WEFT_EAGAIN);
	T_OK(other_waits(&o));
	T_EQ(take(a), 1);
	T_EQ(other_ends(&o), 0);
	emptied(a);
	emptied(b);
}

struct meetings {
	weft_chan *c;
	ATOMIC(int) begun;     /* receives */
	ATOMIC(int) completed; /* sends */
};

static void meeting_sender(struct meetings *m, int n)
{
	for (int i = 0; i < n; i++) {
		T_EQ(give(m->c, i), 0);
		T_LE(add_acq_rel(&m->completed, 1) + 1, load_acquire(&m->begun)); /* after the send, before the look */
	}
	done();
}

static void meeting_receiver(struct meetings *m)
{
	do
		add_acq_rel(&m->begun, 1); /* before the receive */
	while (get(m->c) >= 0);
	done();
}

/* The send completes after the receive has begun, whichever of many it is: never are more sends complete than receives were begun. */
LAW(no_send_completes_before_its_receive)
{
	struct meetings m = {.c = ints(0)};
	int n = (int)tap_iters(2000);

	for (int i = 0; i < 3; i++)
		hire(meeting_sender, &m, n);
	settle(); /* nobody receives */
	T_EQ(load_acquire(&m.completed), 0);
	for (int i = 0; i < 2; i++)
		hire(meeting_receiver, &m);
	until(load_acquire(&m.completed) == 3 * n);
	T_EQ(weft_chan_close(m.c), 0);
	all_done();
	emptied(m.c);
}
