/* SPDX-License-Identifier: MIT
 *
 * order.c - what happens before what: plain memory that one task writes and another reads, with nothing but a channel between them.
 *
 * Under ThreadSanitizer a missing order is a report even where the values come out right.
 */
#include "conform.h"

/* What is handed from task to task here: plain words, and a channel or two that order them. */
struct shared {
	weft_chan *c, *d;
	weft_wg g;
	weft_mutex m;
	int64_t page[8];
	int n;
};

static void scribble(struct shared *s, int64_t v)
{
	for (size_t i = 0; i < ARRAY_LEN(s->page); i++)
		s->page[i] = v + (int64_t)i;
}

static bool legible(const struct shared *s, int64_t v)
{
	for (size_t i = 0; i < ARRAY_LEN(s->page); i++) {
		if (s->page[i] != v + (int64_t)i)
			return false;
	}
	return true;
}

enum { TIMES = 300 };

/* --- send, receive --- */

static int writes_then_sends(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < s->n; i++) {
		scribble(s, i);
		T_EQ(give(s->c, i), 0);
		T_EQ(get(s->d), i); /* and may write again */
	}
	return 0;
}

/* A send happens before the receive of its value completes. */
LAW(send_before_its_receive)
{
	for (size_t cap = 0; cap < 3; cap++) {
		struct shared s = {.c = ints(cap), .d = ints(cap), .n = TIMES};
		weft_task *t = start(writes_then_sends, &s);

		for (int i = 0; i < TIMES; i++) {
			T_EQ(get(s.c), i);
			T_OK(legible(&s, i));
			T_EQ(give(s.d, i), 0);
		}
		T_EQ(finish(t), 0);
		emptied(s.c);
		emptied(s.d);
	}
}

/* The same through calls that do not wait. */
LAW(send_before_its_receive_by_try)
{
	struct shared s = {.c = ints(1), .d = ints(1), .n = TIMES};
	weft_task *t = start(writes_then_sends, &s);

	for (int i = 0; i < TIMES; i++) {
		until(take(s.c) == i);
		T_OK(legible(&s, i));
		until(put(s.d, i) == 0);
	}
	T_EQ(finish(t), 0);
	emptied(s.c);
	emptied(s.d);
}

static int selects_to_send(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < s->n; i++) {
		weft_case cases[] = {WEFT_SEND(s->c, &i), WEFT_RECV(NULL, NULL)};

		scribble(s, i);
		T_EQ(weft_chan_select(cases, 2), 0);
		cases[1].chan = s->d;
		T_EQ(weft_chan_select(&cases[1], 1), 0);
	}
	return 0;
}

/* The same through selects, as sender and as receiver. */
LAW(send_before_its_receive_by_select)
{
	for (size_t cap = 0; cap < 2; cap++) {
		struct shared s = {.c = ints(cap), .d = ints(cap), .n = TIMES};
		weft_task *t = start(selects_to_send, &s);

		for (int i = 0; i < TIMES; i++) {
			int v;
			weft_case cases[] = {WEFT_RECV(s.c, &v), WEFT_AFTER(60 * WEFT_SEC)};

			T_EQ(weft_chan_select(cases, 2), 0);
			T_EQ(v, i);
			T_OK(legible(&s, i));
			T_EQ(give(s.d, i), 0);
		}
		T_EQ(finish(t), 0);
		emptied(s.c);
		emptied(s.d);
	}
}

/* --- unbuffered: the other way round --- */

static int writes_then_receives(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < s->n; i++) {
		scribble(s, i);
		if (i % 2) {
			T_EQ(get(s->c), i);
		} else {
			weft_case one = WEFT_RECV(s->c, NULL);

			T_EQ(weft_chan_select(&one, 1), 0);
		}
		T_EQ(get(s->d), i); /* the reader has read */
	}
	return 0;
}

/* A receive from an unbuffered channel happens before the send of its value completes. */
LAW(unbuffered_receive_before_its_send_completes)
{
	struct shared s = {.c = ints(0), .d = ints(0), .n = TIMES};
	weft_task *t = start(writes_then_receives, &s);

	for (int i = 0; i < TIMES; i++) {
		T_EQ(give(s.c, i), 0);
		T_OK(legible(&s, i));
		T_EQ(give(s.d, i), 0);
	}
	T_EQ(finish(t), 0);
	emptied(s.c);
	emptied(s.d);
}

/* --- buffered: k and k + C --- */

enum { SLOTS = 3 };

struct slots {
	weft_chan *c;
	int slot[SLOTS]; /* plain: the sender may write one again when its reader has received C elements later */
	int n;
};

static int slot_reader(void *arg)
{
	struct slots *s = arg;

	for (int i = 0; i < s->n; i++) {
		if (i >= 1)
			T_EQ(s->slot[(i - 1) % SLOTS], i - 1); /* read before the i-th receive: element i - 1 has been received */
		T_EQ(get(s->c), i);
	}
	return 0;
}

/* The k-th receive from a channel of capacity C happens before the k+C-th send completes: slots can be used again by counting. */
LAW(receive_before_the_send_that_takes_its_room)
{
	struct slots s = {.c = ints(1), .n = (int)tap_iters(5000)};
	weft_task *t = start(slot_reader, &s);

	/* Slot i is written before send i, and read before receive i + 1, which comes before send i + 2 completes: then slot i + 3 may be written. */
	for (int i = 0; i < s.n; i++) {
		s.slot[i % SLOTS] = i;
		T_EQ(give(s.c, i), 0);
	}
	T_EQ(finish(t), 0);
	emptied(s.c);
}

static void holds(struct shared *s)
{
	for (int i = 0; i < s->n; i++) {
		T_EQ(give(s->c, 0), 0); /* acquires */
		s->page[0]++;
		if (i % 16 == 0)
			weft_task_yield();
		s->page[1]++;
		T_EQ(s->page[0], s->page[1]);
		T_EQ(get(s->c), 0); /* releases */
	}
	done();
}

/* A channel of capacity 1 is a lock: what its holder writes is seen by the next. */
LAW(capacity_one_is_a_lock)
{
	struct shared s = {.c = ints(1), .n = (int)tap_iters(2000)};

	for (int i = 0; i < 6; i++)
		hire(holds, &s);
	all_done();
	T_EQ(s.page[0], 6 * s.n);
	emptied(s.c);
}

static void holds_token(struct shared *s)
{
	for (int i = 0; i < s->n; i++) {
		int v = get(s->c); /* the token says what the page holds */

		T_EQ(s->page[0], v);
		s->page[0]++;
		T_EQ(give(s->c, v + 1), 0);
	}
	done();
}

/* A token in a channel is a lock, too: who has received it may write. */
LAW(token_is_a_lock)
{
	struct shared s = {.c = ints(1), .n = (int)tap_iters(2000)};

	for (int i = 0; i < 6; i++)
		hire(holds_token, &s);
	T_EQ(give(s.c, 0), 0);
	all_done();
	T_EQ(get(s.c), 6 * s.n);
	emptied(s.c);
}

/* --- close --- */

static int writes_then_closes(void *arg)
{
	struct shared *s = arg;

	scribble(s, 7);
	return weft_chan_close(s->c);
}

/* The close of a channel happens before a receive that returns because it is closed. */
LAW(close_before_the_receive_that_sees_it)
{
	for (int i = 0; i < TIMES; i++) {
		struct shared s = {.c = ints(i % 2)};
		weft_case one = WEFT_RECV(s.c, NULL);
		weft_task *t = start(writes_then_closes, &s);

		switch (i % 3) {
		case 0:
			T_EQ(get(s.c), WEFT_ECLOSED);
			break;
		case 1:
			until(take(s.c) == WEFT_ECLOSED);
			break;
		default:
			T_EQ(weft_chan_select(&one, 1), 0);
			T_EQ(one.status, WEFT_ECLOSED);
		}
		T_OK(legible(&s, 7));
		T_EQ(finish(t), 0);
		emptied(s.c);
	}
}

/* ... and before a send that is told so. */
LAW(close_before_the_send_that_sees_it)
{
	for (int i = 0; i < TIMES; i++) {
		struct shared s = {.c = ints(0)};
		weft_task *t = start(writes_then_closes, &s);

		if (i % 2)
			T_EQ(give(s.c, 1), WEFT_ECLOSED);
		else
			until(put(s.c, 1) == WEFT_ECLOSED);
		T_OK(legible(&s, 7));
		T_EQ(finish(t), 0);
		emptied(s.c);
	}
}

/* --- chains --- */

struct chain {
	weft_chan *from, *to;
};

static int passes_on(void *arg)
{
	struct chain *k = arg;
	int v;

	while ((v = get(k->from)) >= 0)
		T_EQ(give(k->to, v), 0);
	return weft_chan_close(k->to);
}

/* Happens-before is transitive: what the first wrote is seen by the last, through tasks that never looked at it. */
LAW(order_goes_through_others)
{
	enum { LINKS = 5 };
	struct shared s = {.n = 0};
	struct chain k[LINKS];
	weft_chan *c[LINKS + 1];
	weft_task *t[LINKS];

	for (int i = 0; i <= LINKS; i++)
		c[i] = ints((size_t)i % 2);
	for (int i = 0; i < LINKS; i++) {
		k[i] = (struct chain){c[i], c[i + 1]};
		t[i] = start(passes_on, &k[i]);
	}
	for (int i = 0; i < TIMES; i++) {
		scribble(&s, i);
		T_EQ(give(c[0], i), 0);
		T_EQ(get(c[LINKS]), i);
		T_OK(legible(&s, i));
	}
	T_EQ(weft_chan_close(c[0]), 0);
	T_EQ(get(c[LINKS]), WEFT_ECLOSED);
	for (int i = 0; i < LINKS; i++)
		T_EQ(finish(t[i]), 0);
	for (int i = 0; i <= LINKS; i++)
		emptied(c[i]);
}

struct parcel {
	int hops, sum;
};

static void carrier(weft_chan *in, weft_chan *out)
{
	struct parcel *p;

	while (weft_chan_recv(in, &p) == 0) {
		p->hops++; /* whoever has it owns it */
		p->sum += p->hops;
		T_EQ(weft_chan_send(out, &p), 0);
	}
	T_EQ(weft_chan_close(out), 0);
	done();
}

/* Memory changes hands with the pointer to it: each owner writes it plainly, the last frees it. */
LAW(ownership_travels_with_the_pointer)
{
	enum { HOPS = 8 };
	weft_chan *c[HOPS + 1];
	int n = (int)tap_iters(1000);

	for (int i = 0; i <= HOPS; i++)
		c[i] = chan_of(sizeof(struct parcel *), (size_t)i % 3);
	for (int i = 0; i < HOPS; i++)
		hire(carrier, c[i], c[i + 1]);
	for (int i = 0; i < n; i++) {
		struct parcel *p = calloc(1, sizeof *p), *q;

		T_EQ(weft_chan_send(c[0], &p), 0);
		T_EQ(weft_chan_recv(c[HOPS], &q), 0);
		T_EQ(q, p);
		T_EQ(q->hops, HOPS);
		T_EQ(q->sum, HOPS * (HOPS + 1) / 2);
		free(q);
	}
	T_EQ(weft_chan_close(c[0]), 0);
	all_done();
	for (int i = 0; i <= HOPS; i++)
		emptied(c[i]);
}

/* --- the beginning and the end of a task --- */

static int reads_at_its_beginning(void *arg)
{
	struct shared *s = arg;

	T_OK(legible(s, 3));
	scribble(s, 4);
	return 0;
}

/* What comes before a task is started is seen by it; what it does is seen by who has joined it. */
LAW(start_before_its_beginning_and_end_before_join)
{
	struct shared s = {.n = 0};

	for (int i = 0; i < TIMES; i++) {
		scribble(&s, 3);
		T_EQ(finish(start(reads_at_its_beginning, &s)), 0);
		T_OK(legible(&s, 4));
	}
}

static void writes_then_done(struct shared *s, int i)
{
	s->page[i] = i;
	weft_wg_done(&s->g);
}

/* What comes before done is seen after wait. */
LAW(done_before_wait_returns)
{
	struct shared s = {.n = 0};

	for (int r = 0; r < TIMES; r++) {
		memset(s.page, 0xff, sizeof s.page);
		weft_wg_add(&s.g, 8);
		for (int i = 0; i < 8; i++)
			T_EQ(weft_go(writes_then_done, &s, i), 0);
		T_EQ(weft_wg_wait(&s.g), 0);
		for (int i = 0; i < 8; i++)
			T_EQ(s.page[i], i);
	}
}

static void locks(struct shared *s)
{
	for (int i = 0; i < s->n; i++) {
		T_EQ(weft_mutex_lock(&s->m), 0);
		s->page[0]++;
		if (i % 16 == 0)
			weft_task_yield();
		s->page[1] = s->page[0];
		weft_mutex_unlock(&s->m);
	}
	done();
}

/* The n-th unlock of a mutex happens before the next lock of it returns. */
LAW(unlock_before_the_next_lock)
{
	struct shared s = {.n = (int)tap_iters(2000)};

	for (int i = 0; i < 6; i++)
		hire(locks, &s);
	all_done();
	T_EQ(s.page[0], 6 * s.n);
	T_EQ(s.page[1], 6 * s.n);
}

static void reads_when_it_fires(void *arg)
{
	struct shared *s = arg;

	T_OK(legible(s, 5));
	scribble(s, 6);
	T_EQ(give(s->c, 1), 0);
}

/* What comes before a timer is made is seen by the task that it starts. */
LAW(timer_made_before_its_task_runs)
{
	struct shared s = {.c = ints(0)};

	for (int i = 0; i < 20; i++) {
		weft_timer *t;

		scribble(&s, 5);
		t = weft_timer_after(10 * WEFT_US, reads_when_it_fires, &s);
		T_OK(t != NULL);
		T_EQ(get(s.c), 1);
		T_OK(legible(&s, 6));
		weft_timer_free(t);
	}
	emptied(s.c);
}

/* --- what is seen of elements themselves --- */

struct record {
	int64_t word[32];
};

static void record_sender(weft_chan *c, int n)
{
	struct record r;

	for (int i = 0; i < n; i++) {
		for (size_t k = 0; k < ARRAY_LEN(r.word); k++)
			r.word[k] = i;
		T_EQ(weft_chan_send(c, &r), 0);
	}
	done();
}

/* An element is received as it was sent, whole: never half of one and half of another. */
LAW(elements_are_whole)
{
	enum { SENDERS = 4 };
	int n = (int)tap_iters(1000);

	for (size_t cap = 0; cap < 3; cap++) {
		weft_chan *c = chan_of(sizeof(struct record), cap);

		for (int i = 0; i < SENDERS; i++)
			hire(record_sender, c, n);
		for (int i = 0; i < SENDERS * n; i++) {
			struct record r;

			T_EQ(weft_chan_recv(c, &r), 0);
			for (size_t k = 1; k < ARRAY_LEN(r.word); k++)
				T_EQ(r.word[k], r.word[0]);
		}
		all_done();
		emptied(c);
	}
}
