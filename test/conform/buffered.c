/* SPDX-License-Identifier: MIT
 *
 * buffered.c - channels with room: exactly as much as was asked for, first in first out; whoever finds none waits in line.
 */
#include "conform.h"

static const size_t caps[] = {1, 2, 3, 7, 8, 64, 1000};

/* A channel of capacity C takes C elements without a receiver; the next send waits. */
LAW(sends_wait_only_when_it_is_full)
{
	for (size_t k = 0; k < ARRAY_LEN(caps); k++) {
		int n = (int)caps[k];
		weft_chan *c = ints(caps[k]);
		struct other o;

		for (int i = 0; i < n; i++)
			T_EQ(i % 2 ? give(c, i) : put(c, i), 0);
		T_EQ(put(c, n), WEFT_EAGAIN);
		other_sends(&o, c, n);
		T_OK(other_waits(&o));
		for (int i = 0; i <= n; i++)
			T_EQ(get(c), i);
		T_EQ(other_ends(&o), 0);
		T_EQ(take(c), WEFT_EAGAIN);
		emptied(c);
	}
}

/* A receive from an empty channel waits, however much it has held before. */
LAW(receives_wait_only_when_it_is_empty)
{
	for (size_t k = 0; k < ARRAY_LEN(caps); k++) {
		weft_chan *c = ints(caps[k]);
		struct other o;

		for (size_t i = 0; i < caps[k] + 1; i++) {
			T_EQ(put(c, 1), 0);
			T_EQ(take(c), 1);
		}
		T_EQ(take(c), WEFT_EAGAIN);
		other_receives(&o, c);
		T_OK(other_waits(&o));
		T_EQ(put(c, 2), 0);
		T_EQ(other_ends(&o), 0);
		T_EQ(o.v, 2);
		emptied(c);
	}
}

/* len is the number of elements queued, cap the number there is room for. */
LAW(length_counts_and_capacity_stays)
{
	for (size_t k = 0; k < ARRAY_LEN(caps); k++) {
		weft_chan *c = ints(caps[k]);

		for (size_t i = 0; i < caps[k]; i++) {
			T_EQ(weft_chan_len(c), i);
			T_EQ(weft_chan_cap(c), caps[k]);
			T_EQ(put(c, 0), 0);
		}
		T_EQ(weft_chan_len(c), caps[k]);
		for (size_t i = caps[k]; i-- > 0;) {
			T_EQ(get(c), 0);
			T_EQ(weft_chan_len(c), i);
			T_EQ(weft_chan_cap(c), caps[k]);
		}
		emptied(c);
	}
}

/* Elements of senders that wait are not in the channel: len does not count them. */
LAW(length_does_not_count_who_waits)
{
	weft_chan *c = ints(2);
	struct other o[3];

	T_EQ(put(c, 0), 0);
	T_EQ(put(c, 1), 0);
	for (int i = 0; i < 3; i++) {
		other_sends(&o[i], c, 2 + i);
		T_EQ(weft_chan_len(c), 2);
	}
	for (int i = 0; i < 5; i++) {
		T_EQ(get(c), i); /* for each that leaves, the next that waits comes in */
		T_EQ(weft_chan_len(c), i < 3 ? 2 : 4 - i);
	}
	for (int i = 0; i < 3; i++)
		T_EQ(other_ends(&o[i]), 0);
	emptied(c);
}

/* A channel is a queue, first in first out: it does what a plain queue does, whatever the order of puts and takes. */
LAW(first_in_first_out)
{
	for (size_t k = 0; k < ARRAY_LEN(caps); k++) {
		int first = 0, next = 0, cap = (int)caps[k];
		long n = tap_iters(20000);
		weft_chan *c = ints(caps[k]);

		for (long i = 0; i < n; i++) {
			bool up = draw(4) < (i / 500 % 2 ? 1u : 3u); /* filling, then emptying */

			if (up) {
				int rc = put(c, next);

				T_EQ(rc, next - first < cap ? 0 : WEFT_EAGAIN);
				next += rc == 0;
			} else {
				bool dropped = draw(4) == 0;
				int v = dropped ? weft_chan_tryrecv(c, NULL) : take(c);

				T_EQ(v, next == first ? WEFT_EAGAIN : dropped ? 0 : first);
				first += next > first;
			}
			T_EQ(weft_chan_len(c), next - first);
		}
		for (; first < next; first++)
			T_EQ(get(c), first);
		T_EQ(take(c), WEFT_EAGAIN);
		emptied(c);
	}
}

/* A receive from a full channel takes the oldest element; that of the sender who has waited longest becomes the youngest. */
LAW(waiting_sender_is_let_in_at_the_end)
{
	weft_chan *c = ints(3);
	struct other o[5];

	for (int round = 0; round < 4; round++) { /* at every place of the ring */
		for (int i = 0; i < 3; i++)
			T_EQ(put(c, i), 0);
		for (int i = 0; i < 5; i++)
			other_sends(&o[i], c, 3 + i);
		T_EQ(get(c), 0);
		T_EQ(other_ends(&o[0]), 0);
		for (int i = 1; i < 5; i++)
			T_OK(other_waits(&o[i]));
		for (int i = 1; i < 8; i++)
			T_EQ(i % 2 ? take(c) : get(c), i);
		for (int i = 1; i < 5; i++)
			T_EQ(other_ends(&o[i]), 0);
		T_EQ(put(c, 9), 0);
		T_EQ(take(c), 9);
	}
	emptied(c);
}

/* Receivers that wait at an empty channel are served first come first served, past the buffer. */
LAW(waiting_receivers_are_served_in_line)
{
	weft_chan *c = ints(2);
	struct other o[8];

	for (int i = 0; i < 8; i++)
		other_receives(&o[i], c);
	for (int i = 0; i < 8; i++) {
		T_EQ(put(c, i), 0);
		T_EQ(weft_chan_len(c), 0);
	}
	for (int i = 0; i < 8; i++) {
		T_EQ(other_ends(&o[i]), 0);
		T_EQ(o[i].v, i);
	}
	emptied(c);
}

/* A send that finds room completes although nobody receives; what it sent outlives its sender. */
LAW(elements_outlive_their_sender)
{
	weft_chan *c = ints(4);
	struct other o = {.c = c, .deadline = WEFT_FOREVER};

	for (int i = 0; i < 4; i++) {
		o.v = i;
		T_EQ(finish(start(other__send, &o)), 0);
	}
	for (int i = 0; i < 4; i++)
		T_EQ(get(c), i);
	emptied(c);
}

/* A sender that gives up at a full channel leaves what is in it, and the order of who waits. */
LAW(sender_that_gives_up_changes_nothing)
{
	weft_chan *c = ints(2);
	struct other o[3];

	T_EQ(put(c, 0), 0);
	T_EQ(put(c, 1), 0);
	for (int i = 0; i < 3; i++)
		other_sends(&o[i], c, 2 + i);
	T_EQ(other_cancelled(&o[1]), WEFT_ECANCELED);
	T_EQ(weft_chan_len(c), 2);
	T_EQ(get(c), 0);
	T_EQ(get(c), 1);
	T_EQ(get(c), 2);
	T_EQ(get(c), 4);
	T_EQ(take(c), WEFT_EAGAIN);
	T_EQ(other_ends(&o[0]), 0);
	T_EQ(other_ends(&o[2]), 0);
	emptied(c);
}

/* A receiver that gives up at an empty channel takes nothing with it. */
LAW(receiver_that_gives_up_changes_nothing)
{
	weft_chan *c = ints(2);
	struct other o[3];

	for (int i = 0; i < 3; i++)
		other_receives(&o[i], c);
	T_EQ(other_cancelled(&o[0]), WEFT_ECANCELED);
	T_EQ(other_cancelled(&o[2]), WEFT_ECANCELED);
	T_EQ(put(c, 5), 0);
	T_EQ(weft_chan_len(c), 0);
	T_EQ(put(c, 6), 0);
	T_EQ(weft_chan_len(c), 1);
	T_EQ(other_ends(&o[1]), 0);
	T_EQ(o[1].v, 5);
	T_EQ(take(c), 6);
	emptied(c);
}

/* --- the k-th receive comes before the completion of the k+C-th send --- */

struct flow {
	weft_chan *c;
	int cap;
	ATOMIC(int) begun;     /* receives */
	ATOMIC(int) completed; /* sends */
};

static void flow_sender(struct flow *f, int n)
{
	for (int i = 0; i < n; i++) {
		int now;

		T_EQ(give(f->c, i), 0);
		now = add_acq_rel(&f->completed, 1) + 1; /* after the send, before the look */
		T_LE(now, load_acquire(&f->begun) + f->cap);
	}
	done();
}

static void flow_receiver(struct flow *f, int n)
{
	for (int i = 0; i < n; i++) {
		add_acq_rel(&f->begun, 1); /* before the receive */
		T_GE(get(f->c), 0);
		if (i % 64 == 0)
			weft_task_yield();
	}
	done();
}

/* The k-th receive on a channel of capacity C happens before the k+C-th send completes. */
LAW(sends_run_ahead_by_the_capacity_at_most)
{
	int n = (int)tap_iters(2000);

	for (size_t k = 0; k < 5; k++) {
		struct flow f = {.c = ints(caps[k]), .cap = (int)caps[k]};

		for (int i = 0; i < 2; i++)
			hire(flow_sender, &f, n);
		for (int i = 0; i < 2; i++)
			hire(flow_receiver, &f, n);
		all_done();
		emptied(f.c);
	}
}

/* Nobody receives: exactly C sends complete, by however many senders. */
LAW(exactly_the_capacity_runs_ahead)
{
	for (size_t k = 0; k < 5; k++) {
		struct flow f = {.c = ints(caps[k]), .cap = (int)caps[k]};
		int v = 0, got = 0;

		for (int i = 0; i < 3; i++)
			hire(flow_sender, &f, (int)caps[k]);
		until(load_acquire(&f.completed) == f.cap);
		settle();
		T_EQ(load_acquire(&f.completed), f.cap);
		T_EQ(weft_chan_len(f.c), caps[k]);
		for (; got < 3 * f.cap; got++) {
			add_acq_rel(&f.begun, 1); /* before the receive */
			T_EQ(weft_chan_recv(f.c, &v), 0);
		}
		all_done();
		emptied(f.c);
	}
}

/* --- the counting semaphore --- */

struct semaphore {
	weft_chan *c;
	int n;
	ATOMIC(int) inside, most;
};

static void holder(struct semaphore *s, int rounds, bool together)
{
	for (int i = 0; i < rounds; i++) {
		int now, most;

		T_EQ(give(s->c, 0), 0);
		now = add_acq_rel(&s->inside, 1) + 1; /* after the send */
		T_LE(now, s->n);
		most = load_relaxed(&s->most); /* checked by the compare-and-swap */
		while (now > most && !cas_acq_rel(&s->most, &most, now))
			;
		if (together)
			until(load_relaxed(&s->most) == s->n); /* all that may be in at once are */
		else
			weft_task_yield();
		add_acq_rel(&s->inside, -1); /* before the receive */
		T_EQ(get(s->c), 0);
	}
	done();
}

/* A buffered channel is a counting semaphore: send to acquire, receive to release; never are more than its capacity inside. */
LAW(semaphore_admits_no_more_than_its_capacity)
{
	int rounds = (int)tap_iters(200);

	for (size_t k = 0; k < 4; k++) {
		struct semaphore s = {.c = ints(caps[k]), .n = (int)caps[k]};

		for (int i = 0; i < 20; i++)
			hire(holder, &s, rounds, false);
		all_done();
		emptied(s.c);
	}
}

/* ... and no fewer. */
LAW(semaphore_admits_as_many_as_its_capacity)
{
	for (size_t k = 0; k < 6; k++) {
		struct semaphore s = {.c = ints(caps[k]), .n = (int)caps[k]};

		for (int i = 0; i < 2 * s.n; i++)
			hire(holder, &s, 1, true);
		all_done();
		T_EQ(load_relaxed(&s.most), s.n);
		emptied(s.c);
	}
}

/* --- odd ones --- */

/* Elements of no size are counted like any others. */
LAW(signals_are_counted)
{
	weft_chan *c = chan_of(0, 3);

	T_EQ(weft_chan_cap(c), 3);
	for (size_t i = 0; i < 3; i++) {
		T_EQ(weft_chan_len(c), i);
		T_EQ(weft_chan_send(c, NULL), 0);
	}
	T_EQ(weft_chan_trysend(c, NULL), WEFT_EAGAIN);
	for (int i = 0; i < 3; i++)
		T_EQ(weft_chan_recv(c, NULL), 0);
	T_EQ(weft_chan_tryrecv(c, NULL), WEFT_EAGAIN);
	emptied(c);
}

/* A large buffer is a buffer. */
LAW(large_buffers_hold_what_they_say)
{
	const int n = 200000;
	weft_chan *c = ints((size_t)n);

	for (int i = 0; i < n; i++)
		T_EQ(give(c, i), 0);
	T_EQ(put(c, n), WEFT_EAGAIN);
	T_EQ(weft_chan_len(c), n);
	for (int i = 0; i < n; i++)
		T_EQ(get(c), i);
	T_EQ(take(c), WEFT_EAGAIN);
	emptied(c);
}

/* Dropped elements make room as others do, in order. */
LAW(dropped_elements_make_room)
{
	weft_chan *c = ints(2);
	struct other o;

	T_EQ(put(c, 0), 0);
	T_EQ(put(c, 1), 0);
	other_sends(&o, c, 2);
	T_EQ(weft_chan_recv(c, NULL), 0);
	T_EQ(other_ends(&o), 0);
	T_EQ(weft_chan_len(c), 2);
	T_EQ(take(c), 1);
	T_EQ(take(c), 2);
	emptied(c);
}

/* What is left in a channel goes with its last reference, not before. */
LAW(references_keep_what_is_in_it)
{
	weft_chan *c = ints(3);

	T_EQ(weft_chan_ref(c), c);
	T_EQ(put(c, 1), 0);
	T_EQ(put(c, 2), 0);
	weft_chan_free(c);
	T_EQ(weft_chan_len(c), 2);
	T_EQ(take(c), 1);
	weft_chan_free(c);
}

static void mixed_sender(weft_chan *c, int from, int n)
{
	for (int i = 0; i < n; i++)
		T_EQ(give(c, from + i), 0);
	done();
}

/* Of many senders, each one's elements arrive in its order, each once. */
LAW(every_sender_keeps_its_order)
{
	enum { SENDERS = 10 };
	int n = (int)tap_iters(1000);

	for (size_t cap = 0; cap < 10; cap += 3) {
		int next[SENDERS] = {0};
		weft_chan *c = ints(cap);

		for (int i = 0; i < SENDERS; i++)
			hire(mixed_sender, c, i * n, n);
		for (int i = 0; i < SENDERS * n; i++) {
			int v = get(c);

			T_EQ(v % n, next[v / n]);
			next[v / n]++;
		}
		all_done();
		T_EQ(take(c), WEFT_EAGAIN);
		emptied(c);
	}
}
