/* SPDX-License-Identifier: MIT
 *
 * elements.c - what a channel carries: elements of every size, whole and nothing beside them; structs, pointers, functions, channels.
 */
#include "conform.h"

static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 63, 64, 65, 255, 256, 1000, 4096, 65534, 65535};

enum { GUARD = 16, UNTOUCHED = 0x5a };

/* One element of a size, with bytes around it that must stay as they are. */
struct box {
	size_t size;
	unsigned char *bytes; /* GUARD, the element, GUARD */
};

static struct box box_make(size_t size)
{
	struct box b = {size, malloc(size + 2 * GUARD)};

	T_OK(b.bytes != NULL);
	memset(b.bytes, UNTOUCHED, size + 2 * GUARD);
	return b;
}

static void *box_elem(struct box *b)
{
	return b->bytes + GUARD;
}

static unsigned char pattern(size_t i, int seed)
{
	return (unsigned char)(i * 31 + (i >> 8) * 7 + (size_t)seed);
}

static void box_fill(struct box *b, int seed)
{
	for (size_t i = 0; i < b->size; i++)
		b->bytes[GUARD + i] = pattern(i, seed);
}

static bool box_guarded(const struct box *b)
{
	for (size_t i = 0; i < GUARD; i++) {
		if (b->bytes[i] != UNTOUCHED || b->bytes[GUARD + b->size + i] != UNTOUCHED)
			return false;
	}
	return true;
}

static bool box_holds(const struct box *b, int seed)
{
	for (size_t i = 0; i < b->size; i++) {
		if (b->bytes[GUARD + i] != pattern(i, seed))
			return false;
	}
	return box_guarded(b);
}

static bool box_is(const struct box *b, unsigned char byte)
{
	for (size_t i = 0; i < b->size; i++) {
		if (b->bytes[GUARD + i] != byte)
			return false;
	}
	return box_guarded(b);
}

/* Somebody who sends or receives one box, plainly or by select. */
struct carrier {
	weft_chan *c;
	struct box b;
	bool sends, selects;
	int64_t deadline;
	weft_task *task;
};

static int carry(void *arg)
{
	struct carrier *k = arg;
	void *elem = box_elem(&k->b);
	weft_case cases[] = {WEFT_RECV(NULL, NULL), k->sends ? WEFT_SEND(k->c, elem) : WEFT_RECV(k->c, elem)};
	int rc;

	if (!k->selects)
		return k->sends ? weft_chan_send_until(k->c, elem, k->deadline) : weft_chan_recv_until(k->c, elem, k->deadline);
	rc = weft_chan_select_until(cases, 2, k->deadline);
	return rc == 1 ? cases[1].status : rc;
}

static void carrier_waits(struct carrier *k, weft_chan *c, size_t size, bool sends, bool selects)
{
	*k = (struct carrier){c, box_make(size), sends, selects, WEFT_FOREVER, NULL};
	if (sends)
		box_fill(&k->b, 1);
	k->task = start(carry, k);
	until_parked(k->task);
}

/* An element comes to a receiver that waits as it was sent, by plain receive and by select, and not a byte beside it. */
LAW(every_size_reaches_who_waits)
{
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		for (int selects = 0; selects < 2; selects++) {
			weft_chan *c = chan_of(sizes[s], 0);
			struct box b = box_make(sizes[s]);
			struct carrier k;

			carrier_waits(&k, c, sizes[s], false, selects);
			box_fill(&b, 2);
			T_EQ(weft_chan_send(c, box_elem(&b)), 0);
			T_EQ(finish(k.task), 0);
			T_OK(box_holds(&k.b, 2));
			T_OK(box_holds(&b, 2));
			free(k.b.bytes);
			free(b.bytes);
			emptied(c);
		}
	}
}

/* ... and from a sender that waits. */
LAW(every_size_comes_from_who_waits)
{
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		for (int selects = 0; selects < 2; selects++) {
			weft_chan *c = chan_of(sizes[s], 0);
			struct box b = box_make(sizes[s]);
			weft_case one = WEFT_RECV(c, box_elem(&b));
			struct carrier k;

			carrier_waits(&k, c, sizes[s], true, selects);
			if (selects)
				T_EQ(weft_chan_select(&one, 1), 0);
			else
				T_EQ(weft_chan_recv(c, box_elem(&b)), 0);
			T_EQ(finish(k.task), 0);
			T_OK(box_holds(&b, 1));
			T_OK(box_holds(&k.b, 1));
			free(k.b.bytes);
			free(b.bytes);
			emptied(c);
		}
	}
}

/* Elements lie side by side in a buffer, none touches its neighbours, all the way round. */
LAW(every_size_is_buffered)
{
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		for (size_t cap = 1; cap < 5; cap++) {
			weft_chan *c = chan_of(sizes[s], cap);
			struct box b = box_make(sizes[s]);
			int sent = 0, received = 0;

			for (int round = 0; round < 3; round++) {
				while (sent - received < (int)cap) {
					box_fill(&b, sent++);
					T_EQ(sent % 2 ? weft_chan_send(c, box_elem(&b)) : weft_chan_trysend(c, box_elem(&b)), 0);
				}
				for (int i = 0; i <= round && received < sent; i++) {
					memset(box_elem(&b), UNTOUCHED, sizes[s]);
					T_EQ(i % 2 ? weft_chan_recv(c, box_elem(&b)) : weft_chan_tryrecv(c, box_elem(&b)), 0);
					T_OK(box_holds(&b, received++));
				}
			}
			free(b.bytes);
			weft_chan_free(c);
		}
	}
}

/* The element of a sender that waits at a full channel comes out of the buffer as it was sent. */
LAW(every_size_comes_in_from_the_line)
{
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		weft_chan *c = chan_of(sizes[s], 1);
		struct box b = box_make(sizes[s]);
		struct carrier k;

		box_fill(&b, 9);
		T_EQ(weft_chan_send(c, box_elem(&b)), 0);
		carrier_waits(&k, c, sizes[s], true, s % 2);
		T_EQ(weft_chan_recv(c, NULL), 0);
		T_EQ(finish(k.task), 0);
		memset(k.b.bytes, 0, sizes[s] + 2 * GUARD); /* the sender's own is not looked at any more */
		T_EQ(weft_chan_recv(c, box_elem(&b)), 0);
		T_OK(box_holds(&b, 1));
		free(k.b.bytes);
		free(b.bytes);
		emptied(c);
	}
}

/* The zero value of a closed channel has as many bytes as an element. */
LAW(every_size_is_zeroed_by_close)
{
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		for (int how = 0; how < 5; how++) {
			weft_chan *c = chan_of(sizes[s], 1);
			struct box b = box_make(sizes[s]);
			weft_case one = WEFT_RECV(c, box_elem(&b));
			struct carrier k;

			if (how >= 3) { /* told while it waits */
				carrier_waits(&k, c, sizes[s], false, how == 4);
				T_EQ(weft_chan_close(c), 0);
				T_EQ(finish(k.task), WEFT_ECLOSED);
				T_OK(box_is(&k.b, 0));
				free(k.b.bytes);
			} else {
				T_EQ(weft_chan_close(c), 0);
				if (how == 0) {
					T_EQ(weft_chan_recv(c, box_elem(&b)), WEFT_ECLOSED);
				} else if (how == 1) {
					T_EQ(weft_chan_tryrecv(c, box_elem(&b)), WEFT_ECLOSED);
				} else {
					T_EQ(weft_chan_select(&one, 1), 0);
					T_EQ(one.status, WEFT_ECLOSED);
				}
				T_OK(box_is(&b, 0));
			}
			free(b.bytes);
			emptied(c);
		}
	}
}

/* When nothing was received the variable is as it was: empty, late, cancelled. */
LAW(nothing_received_nothing_written)
{
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		weft_chan *c = chan_of(sizes[s], s % 2);
		struct box b = box_make(sizes[s]);
		struct carrier k;

		T_EQ(weft_chan_tryrecv(c, box_elem(&b)), WEFT_EAGAIN);
		T_EQ(weft_chan_recv_until(c, box_elem(&b), WEFT_NOW), WEFT_EAGAIN);
		T_EQ(weft_chan_recv_until(c, box_elem(&b), weft_in(10 * WEFT_US)), WEFT_ETIMEDOUT);
		T_OK(box_is(&b, UNTOUCHED));
		carrier_waits(&k, c, sizes[s], false, s % 3 == 0);
		T_EQ(weft_task_cancel(k.task), 0);
		T_EQ(finish(k.task), WEFT_ECANCELED);
		T_OK(box_is(&k.b, UNTOUCHED));
		free(k.b.bytes);
		free(b.bytes);
		emptied(c);
	}
}

/* An element that was not sent is still its sender's, as it was: full, late, cancelled, closed. */
LAW(nothing_sent_nothing_changed)
{
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		weft_chan *c = chan_of(sizes[s], 0);
		struct box b = box_make(sizes[s]);
		struct carrier k[2];

		box_fill(&b, 3);
		T_EQ(weft_chan_trysend(c, box_elem(&b)), WEFT_EAGAIN);
		T_EQ(weft_chan_send_until(c, box_elem(&b), weft_in(10 * WEFT_US)), WEFT_ETIMEDOUT);
		for (int i = 0; i < 2; i++)
			carrier_waits(&k[i], c, sizes[s], true, i);
		T_EQ(weft_task_cancel(k[0].task), 0);
		T_EQ(finish(k[0].task), WEFT_ECANCELED);
		T_EQ(weft_chan_close(c), 0);
		T_EQ(finish(k[1].task), WEFT_ECLOSED);
		T_EQ(weft_chan_send(c, box_elem(&b)), WEFT_ECLOSED);
		T_OK(box_holds(&b, 3));
		for (int i = 0; i < 2; i++) {
			T_OK(box_holds(&k[i].b, 1));
			free(k[i].b.bytes);
		}
		free(b.bytes);
		emptied(c);
	}
}

/* Elements larger than 65,535 bytes, and buffers larger than memory, are refused. */
LAW(impossible_sizes_are_refused)
{
	T_EQ(weft_chan_make(65536, 0), NULL);
	T_EQ(weft_chan_make(SIZE_MAX, 0), NULL);
	T_EQ(weft_chan_make(0, SIZE_MAX - 1), NULL);
	T_EQ(weft_chan_make(65535, SIZE_MAX / 65535), NULL);
	T_EQ(weft_chan_make(2, SIZE_MAX / 2 + 1), NULL);
	weft_chan_free(chan_of(65535, 3));
}

/* --- types --- */

struct mixed {
	char c;
	double d;
	short s[3];
	void *p;
	bool b;
};

/* A struct is carried by value, field by field. */
LAW(structs_travel_by_value)
{
	weft_chan *c = chan_of(sizeof(struct mixed), 1);
	struct mixed in = {'x', -0.5, {1, 2, 3}, &in, true}, out;

	T_EQ(weft_chan_send(c, &in), 0);
	in.s[1] = 99;
	T_EQ(weft_chan_recv(c, &out), 0);
	T_EQ(out.c, 'x');
	T_OK(out.d == -0.5);
	T_OK(out.s[0] == 1 && out.s[1] == 2 && out.s[2] == 3);
	T_EQ(out.p, &in);
	T_OK(out.b);
	emptied(c);
}

/* A NULL pointer is a value like any other: it is sent and received, and is no end. */
LAW(null_pointers_are_values)
{
	weft_chan *c = chan_of(sizeof(void *), 2);
	void *p = NULL, *out = &p;

	T_EQ(weft_chan_send(c, &p), 0);
	p = &p;
	T_EQ(weft_chan_send(c, &p), 0);
	T_EQ(weft_chan_recv(c, &out), 0);
	T_EQ(out, NULL);
	T_EQ(weft_chan_recv(c, &out), 0);
	T_EQ(out, &p);
	T_EQ(weft_chan_close(c), 0);
	T_EQ(weft_chan_recv(c, &out), WEFT_ECLOSED);
	T_EQ(out, NULL);
	emptied(c);
}

typedef int operation(int, int);

static int plus(int a, int b)
{
	return a + b;
}

static int times(int a, int b)
{
	return a * b;
}

struct work {
	operation *op;
	int a, b;
	weft_chan *answer;
};

static void worker(weft_chan *jobs)
{
	struct work w;

	while (weft_chan_recv(jobs, &w) == 0)
		T_EQ(give(w.answer, w.op(w.a, w.b)), 0);
	done();
}

/* A channel may be sent over a channel: each request brings the channel for its answer. */
LAW(channels_travel_over_channels)
{
	weft_chan *jobs = chan_of(sizeof(struct work), 0), *answer[3];

	for (int i = 0; i < 3; i++) {
		hire(worker, jobs);
		answer[i] = ints(1);
	}
	for (int r = 0; r < 100; r++) {
		for (int i = 0; i < 3; i++) {
			struct work w = {i % 2 ? plus : times, r, i, answer[i]};

			T_EQ(weft_chan_send(jobs, &w), 0);
		}
		for (int i = 0; i < 3; i++)
			T_EQ(get(answer[i]), i % 2 ? r + i : r * i);
	}
	T_EQ(weft_chan_close(jobs), 0);
	all_done();
	emptied(jobs);
	for (int i = 0; i < 3; i++)
		emptied(answer[i]);
}

/* A channel may be sent over itself. */
LAW(channel_travels_over_itself)
{
	weft_chan *c = chan_of(sizeof(weft_chan *), 1), *out = NULL;

	T_EQ(weft_chan_send(c, &c), 0);
	T_EQ(weft_chan_recv(c, &out), 0);
	T_EQ(out, c);
	T_EQ(weft_chan_send(out, &out), 0);
	T_EQ(weft_chan_len(c), 1);
	T_EQ(weft_chan_recv(c, NULL), 0);
	emptied(c);
}

/* A reference may be sent along: who receives it keeps the channel when the sender has dropped his. */
LAW(references_travel_over_channels)
{
	weft_chan *post = chan_of(sizeof(weft_chan *), 1), *c = ints(1), *out;

	T_EQ(put(c, 5), 0);
	T_EQ(weft_chan_send(post, &c), 0); /* with the one reference */
	c = NULL;
	T_EQ(weft_chan_recv(post, &out), 0);
	T_EQ(take(out), 5);
	emptied(out);
	emptied(post);
}

static void large_sender(weft_chan *c, size_t size, int n)
{
	struct box b = box_make(size);

	for (int i = 0; i < n; i++) {
		box_fill(&b, i);
		T_EQ(weft_chan_send(c, box_elem(&b)), 0);
	}
	free(b.bytes);
	T_EQ(weft_chan_close(c), 0);
	done();
}

/* Large elements keep their order and their bytes when sender and receiver run side by side. */
LAW(large_elements_under_way)
{
	int n = (int)tap_iters(300);

	for (size_t cap = 0; cap < 3; cap++) {
		weft_chan *c = chan_of(4096, cap);
		struct box b = box_make(4096);

		hire(large_sender, c, (size_t)4096, n);
		for (int i = 0; i < n; i++) {
			T_EQ(weft_chan_recv(c, box_elem(&b)), 0);
			T_OK(box_holds(&b, i));
		}
		T_EQ(weft_chan_recv(c, box_elem(&b)), WEFT_ECLOSED);
		T_OK(box_is(&b, 0));
		all_done();
		free(b.bytes);
		emptied(c);
	}
}

/* --- many --- */

/* There may be very many channels, each with its own elements. */
LAW(many_channels)
{
	enum { MANY = 20000 };
	weft_chan **c = calloc(MANY, sizeof *c);

	for (int i = 0; i < MANY; i++) {
		c[i] = ints((size_t)i % 3 + 1);
		T_EQ(put(c[i], i), 0);
	}
	for (int i = 0; i < MANY; i++) {
		T_EQ(weft_chan_cap(c[i]), i % 3 + 1);
		T_EQ(get(c[i]), i);
		emptied(c[i]);
	}
	free(c);
}

static void queued(weft_chan *in, weft_chan *out)
{
	int v = get(in);

	T_EQ(give(out, v < 0 ? 0 : v), 0);
	done();
}

/* Very many may wait on one channel: each is served, each once. */
LAW(many_waiters)
{
	enum { MANY = 5000 };
	weft_chan *in = ints(0), *out = ints(MANY);
	int64_t sum = 0;

	for (int i = 0; i < MANY; i++)
		hire(queued, in, out);
	for (int i = 1; i <= MANY / 2; i++)
		T_EQ(give(in, i), 0);
	T_EQ(weft_chan_close(in), 0); /* the other half gets zeros */
	all_done();
	for (int i = 0; i < MANY; i++)
		sum += get(out);
	T_EQ(sum, (int64_t)MANY / 2 * (MANY / 2 + 1) / 2);
	emptied(in);
	emptied(out);
}
