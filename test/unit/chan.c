/* SPDX-License-Identifier: MIT
 *
 * chan.c - channels: exact capacity, rendezvous, order, element sizes, close to the letter, NULL channels, and no call that is spuriously empty.
 */
#include "rt.h"

#include <pthread.h>
#include <stdlib.h>

/* A channel holds exactly what was asked for, needs no runtime for that, and gives it back in order. */
TEST(exact_capacity)
{
	static const size_t caps[] = {1, 2, 3, 5, 7, 100, 4097};

	for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
		weft_chan *c = weft_chan_make(sizeof(int), caps[i]);
		int v, got;

		T_EQ(weft_chan_cap(c), caps[i]);
		for (int round = 0; round < 3; round++) {
			for (v = 0; v < (int)caps[i]; v++) {
				T_EQ(weft_chan_len(c), v);
				T_EQ(weft_chan_trysend(c, &v), 0);
			}
			T_EQ(weft_chan_trysend(c, &v), WEFT_EAGAIN);
			T_EQ(weft_chan_send_until(c, &v, WEFT_NOW), WEFT_EAGAIN);
			for (v = 0; v < (int)caps[i]; v++) {
				T_EQ(weft_chan_tryrecv(c, &got), 0);
				T_EQ(got, v);
			}
			got = 7;
			T_EQ(weft_chan_tryrecv(c, &got), WEFT_EAGAIN);
			T_EQ(got, 7);
			v = 1; /* start the next round elsewhere in the ring */
			T_EQ(weft_chan_trysend(c, &v), 0);
			T_EQ(weft_chan_tryrecv(c, NULL), 0);
		}
		weft_chan_free(c);
	}
	nothing_left();
}

/* Elements of any size arrive as they were sent, and not a byte more is written. */
static int size_sender(void *arg)
{
	weft_chan *c = arg;
	static unsigned char big[65535];
	int rc = 0;

	for (int i = 0; i < 5 && !rc; i++) {
		memset(big, 'a' + i, sizeof big);
		rc = weft_chan_send(c, big);
	}
	return rc;
}

static int sizes(void *arg)
{
	static const size_t elems[] = {0, 1, 2, 3, 4, 7, 8, 9, 16, 100, 4096, 65535};

	(void)arg;
	for (size_t e = 0; e < ARRAY_LEN(elems); e++) {
		for (size_t cap = 0; cap < 4; cap++) {
			weft_chan *c = weft_chan_make(elems[e], cap);
			unsigned char *out = malloc(elems[e] + 16);
			weft_task *t = start(size_sender, c);

			T_EQ(weft_chan_elem(c), elems[e]);
			for (int i = 0; i < 4; i++) {
				memset(out, 0x5a, elems[e] + 16);
				T_EQ(weft_chan_recv(c, out), 0);
				for (size_t k = 0; k < elems[e] + 16; k++)
					T_EQ(out[k], k < elems[e] ? 'a' + i : 0x5a);
			}
			T_EQ(weft_chan_recv(c, NULL), 0); /* dropped */
			T_EQ(finish(t), 0);
			T_EQ(weft_chan_close(c), 0);
			memset(out, 0x5a, elems[e] + 16);
			T_EQ(weft_chan_recv(c, out), WEFT_ECLOSED);
			for (size_t k = 0; k < elems[e] + 16; k++)
				T_EQ(out[k], k < elems[e] ? 0 : 0x5a);
			free(out);
			weft_chan_free(c);
		}
	}
	return 0;
}

TEST_WORKERS(element_sizes)
{
	run(sizes, NULL);
}

/* What cannot be is refused. */
TEST(impossible_channels)
{
	T_EQ(weft_chan_make(65536, 1), NULL);
	T_EQ(weft_chan_make(8, SIZE_MAX - 1), NULL);
	T_EQ(weft_chan_make(8, SIZE_MAX / 8), NULL);
	T_EQ(weft_chan_make(65535, SIZE_MAX / 65535), NULL);
	T_EQ(weft_chan_make(1, SIZE_MAX - 100), NULL);
	weft_chan_free(NULL);
	T_EQ(weft_chan_len(NULL), 0);
	T_EQ(weft_chan_cap(NULL), 0);
	T_EQ(weft_chan_elem(NULL), 0);
	T_EQ(weft_chan_close(NULL), WEFT_EINVAL);
}

/* An unbuffered send returns only after a receiver has the element, and len stays 0. */
struct meet {
	weft_chan *c;
	ATOMIC(int) sent, taken;
};

static int meet_sender(void *arg)
{
	struct meet *m = arg;

	for (int i = 1; i <= 1000; i++) {
		T_EQ(weft_chan_send(m->c, &i), 0);
		T_GE(load_acquire(&m->taken) + 1, i); /* the receiver has it, if not yet counted it */
		store_release(&m->sent, i);
	}
	return 0;
}

static int rendezvous_main(void *arg)
{
	struct meet m = {.c = weft_chan_make(sizeof(int), 0)};
	weft_task *t = start(meet_sender, &m);
	int v;

	(void)arg;
	for (int i = 1; i <= 1000; i++) {
		if (i % 100 == 0) {
			until_reason(t, "chan send");
			T_EQ(load_acquire(&m.sent), i - 1);
		}
		T_EQ(weft_chan_len(m.c), 0);
		T_LT(load_acquire(&m.sent), i);
		T_EQ(weft_chan_recv(m.c, &v), 0);
		T_EQ(v, i);
		store_release(&m.taken, i);
	}
	T_EQ(finish(t), 0);
	T_EQ(weft_chan_cap(m.c), 0);
	weft_chan_free(m.c);
	return 0;
}

TEST_WORKERS(rendezvous)
{
	run(rendezvous_main, NULL);
}

/* Waiters are served in the order in which they came, on both sides, with and without a buffer. */
enum { QUEUE = 20 };

struct in_line {
	weft_chan *c;
	int i, got;
};

static int line_recv(void *arg)
{
	struct in_line *l = arg;

	return weft_chan_recv(l->c, &l->got);
}

static int line_send(void *arg)
{
	struct in_line *l = arg;

	return weft_chan_send(l->c, &l->i);
}

static int fifo_waiters_main(void *arg)
{
	(void)arg;
	for (size_t cap = 0; cap < 4; cap++) {
		struct in_line l[QUEUE];
		weft_task *t[QUEUE];
		weft_chan *c = weft_chan_make(sizeof(int), cap);
		int v;

		for (int i = 0; i < QUEUE; i++) {
			l[i] = (struct in_line){c, i, -1};
			t[i] = start(line_recv, &l[i]);
			until_parked(t[i]);
		}
		for (int i = 0; i < QUEUE; i++)
			T_EQ(weft_chan_trysend(c, &i), 0);
		for (int i = 0; i < QUEUE; i++) {
			T_EQ(finish(t[i]), 0);
			T_EQ(l[i].got, i);
		}
		for (int i = 0; i < (int)cap; i++)
			T_EQ(weft_chan_trysend(c, &(int){-1 - i}), 0);
		for (int i = 0; i < QUEUE; i++) {
			t[i] = start(line_send, &l[i]);
			until_parked(t[i]);
		}
		for (int i = -(int)cap; i < QUEUE; i++) {
			T_EQ(weft_chan_tryrecv(c, &v), 0);
			T_EQ(v, i < 0 ? -1 - ((int)cap + i) : i);
		}
		for (int i = 0; i < QUEUE; i++)
			T_EQ(finish(t[i]), 0);
		weft_chan_free(c);
	}
	return 0;
}

TEST_WORKERS(waiters_are_served_in_order)
{
	run(fifo_waiters_main, NULL);
}

/* A waiter that gave up in the middle of the line is skipped, and costs nobody an element. */
static int dead_waiters_main(void *arg)
{
	(void)arg;
	for (int side = 0; side < 2; side++) {
		struct in_line l[QUEUE];
		weft_task *t[QUEUE];
		weft_chan *c = weft_chan_make(sizeof(int), 0);
		int v;

		for (int i = 0; i < QUEUE; i++) {
			l[i] = (struct in_line){c, i, -1};
			t[i] = start(side ? line_send : line_recv, &l[i]);
			until_parked(t[i]);
		}
		for (int i = 0; i < QUEUE; i += 2)
			T_EQ(weft_task_cancel(t[i]), 0); /* not waited for: dead ones may still stand in line */
		for (int i = 1; i < QUEUE; i += 2) {
			if (side) {
				T_EQ(weft_chan_tryrecv(c, &v), 0);
				T_EQ(v, i);
			} else {
				T_EQ(weft_chan_trysend(c, &i), 0);
			}
		}
		T_EQ(side ? weft_chan_tryrecv(c, &v) : weft_chan_trysend(c, &v), WEFT_EAGAIN);
		for (int i = 0; i < QUEUE; i++) {
			T_EQ(finish(t[i]), i % 2 ? 0 : WEFT_ECANCELED);
			if (!side)
				T_EQ(l[i].got, i % 2 ? i : -1);
		}
		weft_chan_free(c);
	}
	return 0;
}

TEST_WORKERS(dead_waiters_are_skipped)
{
	run(dead_waiters_main, NULL);
}

/* --- close --- */

/* Receivers drain what is in it, then get WEFT_ECLOSED and zeros; senders get WEFT_ECLOSED; a second close says so. */
TEST(close_drains)
{
	weft_chan *c = weft_chan_make(sizeof(int64_t), 5);
	int64_t v;

	for (v = 1; v <= 3; v++)
		T_EQ(weft_chan_trysend(c, &v), 0);
	T_EQ(weft_chan_close(c), 0);
	T_EQ(weft_chan_close(c), WEFT_ECLOSED);
	T_EQ(weft_chan_trysend(c, &v), WEFT_ECLOSED);
	T_EQ(weft_chan_send(c, &v), WEFT_ECLOSED);
	T_EQ(weft_chan_send_until(c, &v, WEFT_NOW), WEFT_ECLOSED);
	T_EQ(weft_chan_len(c), 3);
	for (int64_t i = 1; i <= 3; i++) {
		T_EQ(i == 2 ? weft_chan_tryrecv(c, &v) : weft_chan_recv(c, &v), 0);
		T_EQ(v, i);
	}
	v = 99;
	T_EQ(weft_chan_tryrecv(c, &v), WEFT_ECLOSED);
	T_EQ(v, 0);
	v = 99;
	T_EQ(weft_chan_recv(c, &v), WEFT_ECLOSED);
	T_EQ(v, 0);
	T_EQ(weft_chan_recv(c, NULL), WEFT_ECLOSED);
	weft_chan_free(c);
}

/* Everybody who waits when it is closed gets WEFT_ECLOSED: receivers zeros, senders keep their elements. */
struct closing {
	weft_chan *c;
	int kind;
	int v;
};

static int closed_waiter(void *arg)
{
	struct closing *k = arg;
	weft_case recv = WEFT_RECV(k->c, &k->v), send = WEFT_SEND(k->c, &k->v);

	switch (k->kind) {
	case 0:
		return weft_chan_recv(k->c, &k->v);
	case 1:
		T_EQ(weft_chan_select(&recv, 1), 0);
		return recv.status;
	case 2:
		return weft_chan_recv_until(k->c, &k->v, weft_in(20 * WEFT_SEC));
	case 3:
		return weft_chan_send(k->c, &k->v);
	default:
		T_EQ(weft_chan_select(&send, 1), 0);
		return send.status;
	}
}

static int close_wakes_main(void *arg)
{
	(void)arg;
	for (int senders = 0; senders < 2; senders++) {
		for (size_t cap = 0; cap < 3; cap++) {
			struct closing k[QUEUE];
			weft_task *t[QUEUE];
			weft_chan *c = weft_chan_make(sizeof(int), cap);
			int v = 5;

			for (size_t i = 0; senders && i < cap; i++)
				T_EQ(weft_chan_trysend(c, &v), 0);
			for (int i = 0; i < QUEUE; i++) {
				k[i] = (struct closing){c, senders ? 3 + i % 2 : i % 3, 1000 + i};
				t[i] = start(closed_waiter, &k[i]);
			}
			for (int i = 0; i < QUEUE; i++)
				until_parked(t[i]);
			T_EQ(weft_chan_close(c), 0);
			for (int i = 0; i < QUEUE; i++) {
				T_EQ(finish(t[i]), WEFT_ECLOSED);
				T_EQ(k[i].v, senders ? 1000 + i : 0);
			}
			T_EQ(weft_chan_len(c), senders ? cap : 0);
			weft_chan_free(c);
		}
	}
	return 0;
}

TEST_WORKERS(close_wakes_all)
{
	run(close_wakes_main, NULL);
}

/* The closer may free the channel at once: those it woke do not touch it any more. */
static int close_and_free_main(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++) {
		struct closing k[2];
		weft_task *t[2];
		weft_chan *c = weft_chan_make(sizeof(int), 0);

		for (int j = 0; j < 2; j++) {
			k[j] = (struct closing){c, i % 2 ? 3 + j : j, 3};
			t[j] = start(closed_waiter, &k[j]);
			until_parked(t[j]);
		}
		weft_chan_close(c);
		weft_chan_free(c);
		for (int j = 0; j < 2; j++) {
			T_EQ(finish(t[j]), WEFT_ECLOSED);
			T_EQ(k[j].v, i % 2 ? 3 : 0);
		}
	}
	return 0;
}

TEST_WORKERS(close_and_free_at_once)
{
	run(close_and_free_main, NULL);
}

/* A receiver may free an unbuffered channel right after its element has come. */
static int last_word(void *arg)
{
	weft_chan *c = arg;

	return weft_chan_send(c, &(int){9});
}

static int free_after_recv_main(void *arg)
{
	long n = tap_iters(3000);

	(void)arg;
	for (long i = 0; i < n; i++) {
		weft_chan *c = weft_chan_make(sizeof(int), 0);
		weft_task *t = start(last_word, c);
		int v;

		if (i % 3 == 0)
			until_parked(t);
		T_EQ(weft_chan_recv(c, &v), 0);
		weft_chan_free(c);
		T_EQ(v, 9);
		T_EQ(finish(t), 0);
	}
	return 0;
}

TEST_WORKERS(free_after_the_last_rendezvous)
{
	run(free_after_recv_main, NULL);
}

/* Senders race a close: exactly what was said to be sent is received. */
struct race {
	weft_chan *c;
	ATOMIC(int) sent;
};

static int racing_sender(void *arg)
{
	struct race *r = arg;
	int rc;

	for (int i = 0;; i++) {
		rc = i % 3 ? weft_chan_send(r->c, &i) : weft_chan_trysend(r->c, &i);
		if (rc == 0)
			add_relaxed(&r->sent, 1);
		else if (rc == WEFT_ECLOSED)
			return 0;
		else
			T_EQ(rc, WEFT_EAGAIN);
	}
}

static int racing_receiver(void *arg)
{
	struct race *r = arg;
	int n = 0, v;

	while (weft_chan_recv(r->c, &v) == 0)
		n++;
	return n;
}

static int close_race_main(void *arg)
{
	long n = tap_iters(200);

	(void)arg;
	for (long i = 0; i < n; i++) {
		struct race r = {.c = weft_chan_make(sizeof(int), (size_t)i % 4)};
		weft_task *s[3], *g[3];
		int got = 0;

		for (int j = 0; j < 3; j++) {
			s[j] = start(racing_sender, &r);
			g[j] = start(racing_receiver, &r);
		}
		for (int j = 0; j < (int)i % 50; j++)
			weft_task_yield();
		T_EQ(weft_chan_close(r.c), 0);
		for (int j = 0; j < 3; j++) {
			T_EQ(finish(s[j]), 0);
			got += finish(g[j]);
		}
		T_EQ(got, load_relaxed(&r.sent));
		weft_chan_free(r.c);
	}
	return 0;
}

TEST_WORKERS(close_against_senders)
{
	run(close_race_main, NULL);
}

/* Of many that close it at once, one does. */
static int closer(void *arg)
{
	return weft_chan_close(arg);
}

static int close_once_main(void *arg)
{
	(void)arg;
	for (int i = 0; i < 50; i++) {
		weft_chan *c = weft_chan_make(1, 0);
		weft_task *t[8];
		int won = 0;

		for (int j = 0; j < 8; j++)
			t[j] = start(closer, c);
		for (int j = 0; j < 8; j++)
			won += finish(t[j]) == 0;
		T_EQ(won, 1);
		weft_chan_free(c);
	}
	return 0;
}

TEST_WORKERS(closed_once)
{
	run(close_once_main, NULL);
}

/* --- NULL --- */

static int null_waiter(void *arg)
{
	return arg ? weft_chan_send(NULL, "x") : weft_chan_recv(NULL, NULL);
}

static int null_main(void *arg)
{
	char x = 'x';

	(void)arg;
	T_EQ(weft_chan_trysend(NULL, &x), WEFT_EAGAIN);
	T_EQ(weft_chan_tryrecv(NULL, &x), WEFT_EAGAIN);
	T_EQ(weft_chan_send_until(NULL, &x, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_chan_recv_until(NULL, &x, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_chan_send_until(NULL, &x, weft_now() - 5), WEFT_ETIMEDOUT);
	for (int i = 0; i < 2; i++) {
		weft_task *t = start(null_waiter, i ? &x : NULL);

		until_reason(t, i ? "chan send" : "chan receive");
		T_EQ(weft_task_cancel(t), 0);
		T_EQ(finish(t), WEFT_ECANCELED);
	}
	return 0;
}

/* A NULL channel is never ready: calls wait until deadline or cancel. */
TEST_WORKERS(null_channel)
{
	run(null_main, NULL);
}

/* --- many to many --- */

enum { SIDES = 100, EACH = 200 };

static int producer(void *arg)
{
	struct in_line *l = arg;

	for (int i = 0; i < EACH; i++)
		T_EQ(weft_chan_send(l->c, &(int){l->i * EACH + i}), 0);
	return 0;
}

struct sink {
	weft_chan *c;
	int64_t sum;
	int n, last[SIDES];
};

static int consumer(void *arg)
{
	struct sink *s = arg;
	int v;

	memset(s->last, -1, sizeof s->last);
	while (weft_chan_recv(s->c, &v) == 0) {
		s->sum += v;
		s->n++;
		T_LT(s->last[v / EACH], v % EACH); /* one sender's elements come in order */
		s->last[v / EACH] = v % EACH;
	}
	return 0;
}

static int many_main(void *arg)
{
	static struct in_line l[SIDES];
	static struct sink s[SIDES];

	(void)arg;
	for (size_t cap = 0; cap < 12; cap += 5) {
		weft_chan *c = weft_chan_make(sizeof(int), cap);
		weft_task *p[SIDES], *q[SIDES];
		int64_t sum = 0, total = (int64_t)SIDES * EACH;
		int n = 0;

		for (int i = 0; i < SIDES; i++) {
			l[i] = (struct in_line){c, i, 0};
			s[i] = (struct sink){.c = c};
			p[i] = start(producer, &l[i]);
			q[i] = start(consumer, &s[i]);
		}
		for (int i = 0; i < SIDES; i++)
			T_EQ(finish(p[i]), 0);
		T_EQ(weft_chan_close(c), 0);
		for (int i = 0; i < SIDES; i++) {
			T_EQ(finish(q[i]), 0);
			sum += s[i].sum;
			n += s[i].n;
		}
		T_EQ(n, total);
		T_EQ(sum, total * (total - 1) / 2);
		weft_chan_free(c);
	}
	return 0;
}

/* A hundred senders and a hundred receivers: every element arrives once, and in its sender's order. */
TEST_WORKERS(many_to_many)
{
	tap_limit(60);
	run(many_main, NULL);
}

/* --- never spuriously empty (after Go's TestNonblockSelectRace) --- */

struct twins {
	weft_chan *a, *b;
	ATOMIC(int) done;
};

static int twin(void *arg)
{
	struct twins *t = arg;
	weft_case cases[] = {WEFT_RECV(t->a, NULL), WEFT_DEFAULT()};

	if (weft_chan_select(cases, 2) == 0)
		return 1;
	return weft_chan_tryrecv(t->b, NULL) == 0;
}

static int not_empty_main(void *arg)
{
	long n = tap_iters(20000);

	(void)arg;
	for (long i = 0; i < n; i++) {
		struct twins t = {weft_chan_make(1, 1), weft_chan_make(1, 1), 0};
		weft_task *k;

		weft_chan_trysend(t.a, "x");
		k = start(twin, &t);
		weft_chan_trysend(t.b, "x"); /* at any time one of the two holds an element ... */
		weft_chan_tryrecv(t.a, NULL);
		T_EQ(finish(k), 1); /* ... so who looks into a and then into b finds one */
		weft_chan_free(t.a);
		weft_chan_free(t.b);
	}
	return 0;
}

TEST_WORKERS(never_spuriously_empty)
{
	run(not_empty_main, NULL);
}

/* --- threads alone --- */

static void *pinger(void *arg)
{
	weft_chan **c = arg;
	int v;

	while (weft_chan_recv(c[0], &v) == 0) {
		v++;
		if (weft_chan_send(c[1], &v))
			break;
	}
	return NULL;
}

/* Channels work between threads without any runtime. */
TEST(threads_alone)
{
	long n = tap_iters(5000);

	for (size_t cap = 0; cap < 2; cap++) {
		weft_chan *c[2] = {weft_chan_make(sizeof(int), cap), weft_chan_make(sizeof(int), cap)};
		pthread_t t;
		int v;

		T_EQ(pthread_create(&t, NULL, pinger, c), 0);
		for (int i = 0; i < n; i++) {
			T_EQ(weft_chan_send(c[0], &i), 0);
			T_EQ(weft_chan_recv(c[1], &v), 0);
			T_EQ(v, i + 1);
		}
		T_EQ(weft_chan_recv_until(c[1], &v, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
		T_EQ(weft_chan_close(c[0]), 0);
		pthread_join(t, NULL);
		weft_chan_free(c[0]);
		weft_chan_free(c[1]);
	}
	nothing_left();
}

/* --- misuse --- */

static int free_waited_main(void *arg)
{
	weft_chan *c = weft_chan_make(1, 0);
	weft_task *t = start(closed_waiter, &(struct closing){c, 0, 0});

	(void)arg;
	until_parked(t);
	weft_chan_free(c);
	return 0;
}

/* Freeing a channel that a task waits on is a fatal error that says so. */
TEST_DIES(free_while_waited_upon, "weft_chan_free: task")
{
	weft_run(free_waited_main, NULL, NULL);
}
