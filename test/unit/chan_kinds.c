/* SPDX-License-Identifier: MIT
 *
 * chan_kinds.c - channels with options: what is refused, names, destructors, marks, strictness, no bound; several elements a call; ends and one-shots;
 * statistics.
 */
#include "rt.h"

#include "sync/chan.h"
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

static weft_chan *opened(weft_chan_opts o)
{
	weft_chan *c;

	T_EQ(weft_chan_open(&c, &o), 0);
	return c;
}

/* --- options --- */

static void mark(weft_chan *c, size_t len, void *arg)
{
	(void)c;
	(void)len;
	add_relaxed((ATOMIC(int) *)arg, 1);
}

/* What cannot be is refused, and leaves nothing but NULL. */
TEST(refused)
{
	static const weft_chan_opts bad[] = {
		{.elem = 65536},
		{.elem = SIZE_MAX},
		{.elem = 8, .cap = SIZE_MAX - 1},
		{.elem = 1, .cap = (size_t)UINT32_MAX},
		{.elem = 65536, .cap = WEFT_CHAN_UNBOUNDED},
		{.mode = (enum weft_chan_mode)4},
		{.mode = (enum weft_chan_mode) - 1},
		{.mode = (enum weft_chan_mode)256},
		{.cap = 4, .high = 2},
		{.cap = 4, .high = 5, .on_high = mark},
		{.cap = 0, .high = 1, .on_high = mark},
		{.cap = 4, .on_high = mark},
		{.elem = 8, .cap = 4, .max_bytes = 100},
		{.elem = 8, .cap = 0, .max_bytes = 100},
		{.elem = 8, .cap = WEFT_CHAN_UNBOUNDED, .max_bytes = 7},
		{.node = -1},
		{.node = INT_MIN},
		{.node = INT_MAX},
		{.node = 1025},
		{.node = 1024},
	};
	weft_chan *c = (weft_chan *)bad;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		c = (weft_chan *)bad;
		T_EQ(weft_chan_open(&c, &bad[i]), WEFT_EINVAL);
		T_EQ(c, NULL);
	}
	c = (weft_chan *)bad;
	T_EQ(weft_chan_open(&c, NULL), WEFT_EINVAL);
	T_EQ(c, NULL);
	T_EQ(weft_chan_open(NULL, &bad[0]), WEFT_EINVAL);
	T_EQ(weft_chan_open(&c, &(weft_chan_opts){.elem = 0}), 0);
	T_EQ(weft_chan_cap(c), 0);
	T_EQ(weft_chan_elem(c), 0);
	T_STR_EQ(weft_chan_name(c), "");
	weft_chan_free(c);
	T_EQ(weft_chan_elem(NULL), 0);
	T_STR_EQ(weft_chan_name(NULL), "");
	T_EQ(weft_chan_stats(NULL, &(weft_chan_stat){.sent = 0}), WEFT_EINVAL);
	T_EQ(weft_chan_tx(NULL), NULL);
	T_EQ(weft_chan_rx(NULL), NULL);
	weft_tx_free(NULL);
	weft_rx_free(NULL);
}

/* A name is copied, and cut at 31 bytes. */
TEST(names)
{
	char name[] = "0123456789012345678901234567890123456789";
	weft_chan *c = opened((weft_chan_opts){.elem = 24, .cap = 1, .name = name});
	const char *kept = weft_chan_name(c);

	memset(name, 'x', sizeof name - 1);
	T_STR_EQ(kept, "0123456789012345678901234567890");
	T_EQ(weft_chan_elem(c), 24);
	weft_chan_free(c);
	c = opened((weft_chan_opts){.name = ""});
	T_STR_EQ(weft_chan_name(c), "");
	weft_chan_free(c);
}

/* Memory of the machine's first node, of all kinds of channels. */
TEST(on_a_node)
{
	for (int i = 0; i < 3; i++) {
		weft_chan *c = opened((weft_chan_opts){.elem = 8, .cap = i == 2 ? WEFT_CHAN_UNBOUNDED : i ? 100000 : 0, .node = 1});
		int64_t v;

		for (int64_t k = 0; i && k < 100000; k++)
			T_EQ(weft_chan_send(c, &k), 0);
		for (int64_t k = 0; i && k < 99990; k++) {
			T_EQ(weft_chan_recv(c, &v), 0);
			T_EQ(v, k);
		}
		weft_chan_free(c);
	}
}

/* --- dtor --- */

static int64_t doomed[4096];
static int ndoomed;

static void doom(void *elem)
{
	memcpy(&doomed[ndoomed++], elem, sizeof doomed[0]);
}

/* What is left when the channel is freed is given to its destructor, once each, oldest first, wherever it lies; nothing else is. */
TEST(destructor)
{
	static const size_t caps[] = {1, 2, 3, 100, WEFT_CHAN_UNBOUNDED};

	for (size_t i = 0; i < ARRAY_LEN(caps) * 4; i++) {
		for (int left = 0; left < 1500; left = 2 * left + 1) {
			weft_chan *c = opened(
				(weft_chan_opts){.elem = 24, .cap = caps[i / 4], .mode = (enum weft_chan_mode)(i % 4), .dtor = doom});
			int64_t v[3] = {0};
			int n = caps[i / 4] < (size_t)left ? (int)caps[i / 4] : left;
			void *slot;

			for (int k = 0; k < 70; k++) { /* received, dropped, released: all gone */
				T_EQ(weft_chan_send(c, v), 0);
				T_EQ(weft_chan_recv(c, k % 2 ? NULL : v), 0);
				T_EQ(weft_chan_send(c, v), 0);
				T_EQ(weft_chan_peek(c, &slot), 0);
				T_EQ(weft_chan_release(c), 0);
			}
			ndoomed = 0;
			for (int k = 0; k < n; k++) {
				v[0] = k;
				T_EQ(weft_chan_trysend(c, v), 0);
			}
			if (left % 4 == 1)
				T_EQ(weft_chan_close(c), 0);
			T_EQ(weft_chan_send_until(c, v, WEFT_NOW), left % 4 == 1              ? WEFT_ECLOSED
								   : caps[i / 4] == (size_t)n ? WEFT_EAGAIN
											      : 0);
			if (left % 4 != 1 && caps[i / 4] != (size_t)n)
				n++;
			weft_chan_ref(c);
			weft_chan_free(c);
			T_EQ(ndoomed, 0);
			weft_chan_free(c);
			T_EQ(ndoomed, n);
			for (int k = 0; k < left && k < n; k++)
				T_EQ(doomed[k], k);
		}
	}
}

/* Elements left for receivers that are gone. */
TEST(destructor_of_a_broken_channel)
{
	weft_chan *c = opened((weft_chan_opts){.elem = 8, .cap = 4, .dtor = doom});
	weft_tx *tx = weft_chan_tx(c);
	weft_rx *rx = weft_chan_rx(c);

	weft_chan_free(c);
	for (int64_t i = 0; i < 3; i++)
		T_EQ(weft_tx_send(tx, &i), 0);
	weft_rx_free(rx);
	T_EQ(weft_tx_send(tx, &(int64_t){3}), WEFT_EPIPE);
	T_EQ(ndoomed, 0);
	weft_tx_free(tx);
	T_EQ(ndoomed, 3);
	for (int i = 0; i < 3; i++)
		T_EQ(doomed[i], i);
}

/* --- marks --- */

struct marked {
	weft_chan *c;
	int calls;
	size_t len;
};

static void high(weft_chan *c, size_t len, void *arg)
{
	struct marked *m = arg;

	T_EQ(c, m->c);
	m->calls++;
	m->len = len;
	T_OK(weft_chan_len(c) <= weft_chan_cap(c)); /* nothing is locked */
	weft_task_yield();
}

static void one_in(weft_chan *c, int way)
{
	int64_t v = 1;
	weft_case s[] = {WEFT_SEND(c, &v)};
	void *slot;

	switch (way) {
	case 0:
		T_EQ(weft_chan_send(c, &v), 0);
		break;
	case 1:
		T_EQ(weft_chan_trysend(c, &v), 0);
		break;
	case 2:
		T_EQ(weft_chan_send_many(c, &v, 1), 1);
		break;
	case 3:
		T_EQ(weft_chan_reserve(c, &slot), 0);
		T_EQ(weft_chan_commit(c), 0);
		break;
	default:
		T_EQ(weft_chan_select(s, 1), 0);
		T_EQ(s[0].status, 0);
		break;
	}
}

/* It is called each time the mark is reached by whoever sends, but not again before there were half as many. */
static int marks_main(void *arg)
{
	(void)arg;
	for (int way = 0; way < 5; way++) {
		for (size_t mark = 1; mark < 8; mark++) {
			for (int unbounded = 0; unbounded < 2; unbounded++) {
				struct marked m = {.calls = 0};
				int calls = 0;
				bool above = false;

				m.c = opened((weft_chan_opts){
					.elem = 8, .cap = unbounded ? WEFT_CHAN_UNBOUNDED : 8, .high = mark, .on_high = high, .arg = &m});
				for (size_t low = mark; low-- > 0;) {
					while (weft_chan_len(m.c) < mark) {
						one_in(m.c, way);
						if (weft_chan_len(m.c) == mark && !above) {
							above = true;
							calls++;
							T_EQ(m.len, mark);
						}
						T_EQ(m.calls, calls);
					}
					one_in(m.c, way);
					T_EQ(m.calls, calls);
					while (weft_chan_len(m.c) > low)
						T_EQ(weft_chan_recv(m.c, NULL), 0);
					above = above && low > mark / 2;
				}
				T_GE(calls, 1);
				weft_chan_free(m.c);
			}
		}
	}
	return 0;
}

TEST_WORKERS(marks)
{
	run(marks_main, NULL);
}

/* Those who waited for the tail bring it past the mark when it is given up. */
static int mark_sender(void *arg)
{
	return weft_chan_send(arg, &(int64_t){1});
}

static int mark_abort_main(void *arg)
{
	(void)arg;
	for (int commit = 0; commit < 2; commit++) {
		struct marked m = {.c = NULL};
		weft_chan *c = m.c = opened((weft_chan_opts){.elem = 8, .cap = 8, .high = 3, .on_high = high, .arg = &m});
		weft_task *t[4];
		void *slot;

		T_EQ(weft_chan_reserve(c, &slot), 0);
		for (int i = 0; i < 4; i++) {
			t[i] = start(mark_sender, c);
			until_parked(t[i]);
		}
		T_EQ(m.calls, 0);
		T_EQ(commit ? weft_chan_commit(c) : weft_chan_abort(c), 0);
		T_EQ(m.calls, 1);
		T_EQ(m.len, 4 + commit);
		for (int i = 0; i < 4; i++)
			T_EQ(finish(t[i]), 0);
		weft_chan_free(c);
	}
	return 0;
}

TEST_WORKERS(mark_reached_by_those_who_waited)
{
	run(mark_abort_main, NULL);
}

/* --- strict --- */

static weft_chan *strict(void)
{
	return opened((weft_chan_opts){.elem = 8, .cap = 1, .strict = true, .name = "pipe"});
}

static weft_chan *strict_closed(void)
{
	weft_chan *c = strict();

	T_EQ(weft_chan_close(c), 0);
	T_EQ(weft_chan_recv(c, NULL), WEFT_ECLOSED); /* to receive is allowed, as in Go */
	return c;
}

TEST_DIES(strict_send, "weft_chan_send: the channel pipe is closed, and strict")
{
	weft_chan_send(strict_closed(), &(int64_t){1});
}

TEST_DIES(strict_trysend, "weft_chan_trysend: the channel pipe is closed, and strict")
{
	weft_chan_trysend(strict_closed(), &(int64_t){1});
}

TEST_DIES(strict_send_many, "weft_chan_send_many: the channel pipe is closed, and strict")
{
	weft_chan_send_many(strict_closed(), &(int64_t){1}, 1);
}

TEST_DIES(strict_reserve, "weft_chan_reserve: the channel pipe is closed, and strict")
{
	void *slot;

	weft_chan_reserve(strict_closed(), &slot);
}

TEST_DIES(strict_commit, "weft_chan_commit: the channel pipe is closed, and strict")
{
	weft_chan *c = strict();
	void *slot;

	weft_chan_reserve(c, &slot);
	weft_chan_close(c);
	weft_chan_commit(c);
}

TEST_DIES(strict_close, "weft_chan_close: the channel pipe is closed, and strict")
{
	weft_chan_close(strict_closed());
}

TEST_DIES(strict_broken, "weft_chan_send: the channel pipe is closed, and strict")
{
	weft_chan *c = strict();

	weft_rx_free(weft_chan_rx(c));
	weft_chan_send(c, &(int64_t){1});
}

TEST_DIES(strict_select, "weft_chan_select: the channel pipe is closed, and strict")
{
	weft_case s[] = {WEFT_SEND(strict_closed(), &(int64_t){1})};

	weft_chan_select(s, 1);
}

static int strict_sender(void *arg)
{
	return weft_chan_send(arg, &(int64_t){1});
}

static int strict_selector(void *arg)
{
	weft_chan *other = weft_chan_make(8, 0);
	weft_case s[] = {WEFT_RECV(other, NULL), WEFT_SEND(arg, &(int64_t){1})};

	return weft_chan_select(s, 2);
}

static int strict_parked_main(void *arg)
{
	weft_chan *c = strict();
	weft_task *t;

	T_EQ(weft_chan_send(c, &(int64_t){1}), 0);
	t = start(arg ? strict_selector : strict_sender, c);
	until_parked(t);
	T_EQ(weft_chan_close(c), 0);
	return finish(t);
}

TEST_DIES_WORKERS(strict_parked_sender, "closed, and is strict")
{
	run(strict_parked_main, NULL);
}

TEST_DIES_WORKERS(strict_parked_select, "weft_chan_select: the channel pipe is closed, and strict")
{
	run(strict_parked_main, (void *)(intptr_t)1);
}

/* --- no bound --- */

/* Sends never wait; all arrives in order, at any size of element and any number left in it, and the memory is given back but for a block or two. */
TEST(without_a_bound)
{
	static const size_t elems[] = {0, 1, 3, 4, 7, 8, 24, 31, 32, 33, 64, 65, 255, 256, 257, 4095, 4096, 4097, 65535};
	unsigned char *e = malloc(65535);

	for (size_t k = 0; k < ARRAY_LEN(elems); k++) {
		weft_chan *c = weft_chan_make(elems[k], WEFT_CHAN_UNBOUNDED);
		size_t n = elems[k] > 1000 ? 200 : 3000, in = 0, out = 0;

		T_EQ(weft_chan_cap(c), WEFT_CHAN_UNBOUNDED);
		for (size_t step = 1; step < n; step = step * 2 + 1) {
			for (size_t i = 0; i < step; i++) {
				memset(e, (int)(in++ % 251), elems[k]);
				T_EQ(i % 2 ? weft_chan_trysend(c, e) : weft_chan_send(c, e), 0);
			}
			T_EQ(weft_chan_len(c), in - out);
			for (size_t left = step % 5 ? step / 3 : 0; in - out > left; out++) {
				T_EQ(weft_chan_recv(c, e), 0);
				for (size_t b = 0; b < elems[k]; b += elems[k] / 7 + 1)
					T_EQ(e[b], out % 251);
			}
		}
		while (out < in) {
			T_EQ(weft_chan_tryrecv(c, e), 0);
			T_EQ(elems[k] ? e[elems[k] - 1] : 0, elems[k] ? out % 251 : 0);
			out++;
		}
		T_EQ(weft_chan_tryrecv(c, e), WEFT_EAGAIN);
		T_EQ(c->blocks->first, c->blocks->last);
		T_EQ(c->blocks->first->next, NULL);
		T_EQ(c->head, 0);
		T_EQ(c->blocks->tail, 0);
		weft_chan_free(c);
	}
	free(e);
}

/* Millions. */
static int millions_sender(void *arg)
{
	long n = tap_iters(2000000);

	for (int64_t i = 0; i < n; i++)
		T_EQ(weft_chan_send(arg, &i), 0);
	T_EQ(weft_chan_close(arg), 0);
	return 0;
}

static int millions_main(void *arg)
{
	weft_chan *c = opened((weft_chan_opts){.elem = 8, .cap = WEFT_CHAN_UNBOUNDED, .mode = arg ? WEFT_CHAN_SPSC : WEFT_CHAN_MPMC});
	weft_task *t = start(millions_sender, c);
	int64_t v, n = 0;

	while (weft_chan_recv(c, &v) == 0)
		T_EQ(v, n++);
	T_EQ(n, tap_iters(2000000));
	T_EQ(finish(t), 0);
	T_EQ(c->blocks->first, c->blocks->last);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(millions)
{
	tap_limit(60);
	run(millions_main, NULL);
	run(millions_main, (void *)(intptr_t)1);
}

/* max_bytes is exact; whoever sends is told, by whatever call. */
TEST(at_most_so_many_bytes)
{
	for (size_t elem = 1; elem < 200; elem = elem * 3 + 1) {
		for (size_t bytes = elem; bytes < 20 * elem; bytes += elem / 3 + 1) {
			weft_chan *c = opened((weft_chan_opts){.elem = elem, .cap = WEFT_CHAN_UNBOUNDED, .max_bytes = bytes});
			unsigned char e[256 * 4] = {0};
			weft_case s[] = {WEFT_SEND(c, e), WEFT_DEFAULT()};
			void *slot;

			for (int round = 0; round < 3; round++) {
				while (weft_chan_len(c) < bytes / elem)
					T_EQ(weft_chan_send(c, e), 0);
				T_EQ(weft_chan_send(c, e), WEFT_ENOBUFS);
				T_EQ(weft_chan_trysend(c, e), WEFT_ENOBUFS);
				T_EQ(weft_chan_send_many(c, e, 2), WEFT_ENOBUFS);
				T_EQ(weft_chan_reserve(c, &slot), WEFT_ENOBUFS);
				T_EQ(slot, NULL);
				T_EQ(weft_chan_select(s, 2), 0);
				T_EQ(s[0].status, WEFT_ENOBUFS);
				T_EQ(weft_chan_len(c), bytes / elem);
				T_EQ(weft_chan_recv(c, e), 0);
				T_EQ(weft_chan_send_many(c, e, 4), 1);
				for (int i = 0; i <= round && weft_chan_len(c); i++)
					T_EQ(weft_chan_recv(c, e), 0);
			}
			weft_chan_free(c);
		}
	}
}

static int select_sender(void *arg)
{
	weft_chan **c = arg;

	for (int64_t i = 0; i < 1000; i++) {
		weft_case s[] = {WEFT_SEND(c[0], &i), WEFT_SEND(c[1], &i)};
		int k = weft_chan_select(s, 2);

		T_OK(k == 0 || k == 1);
		T_EQ(s[k].status, 0);
	}
	return 0;
}

static int select_main(void *arg)
{
	weft_chan *c[2] = {weft_chan_make(8, WEFT_CHAN_UNBOUNDED), weft_chan_make(8, WEFT_CHAN_UNBOUNDED)};
	weft_task *t = start(select_sender, c);
	int64_t last[2] = {-1, -1}, v = 0;

	(void)arg;
	for (int i = 0; i < 1000; i++) {
		weft_case r[] = {WEFT_RECV(c[0], &v), WEFT_RECV(c[1], &v)};
		int k = weft_chan_select(r, 2);

		T_EQ(r[k].status, 0);
		T_LT(last[k], v);
		last[k] = v;
	}
	T_EQ(finish(t), 0);
	for (int k = 0; k < 2; k++) {
		T_EQ(weft_chan_len(c[k]), 0);
		T_GT(last[k], 0);
		weft_chan_free(c[k]);
	}
	return 0;
}

/* A select sends upon channels without a bound at once, upon either. */
TEST_WORKERS(select_without_a_bound)
{
	run(select_main, NULL);
}

/* --- statistics --- */

static int stat_waiter(void *arg)
{
	weft_chan **c = arg;
	int64_t v = 7;

	return c[1] ? weft_chan_send(c[0], &v) : weft_chan_recv(c[0], &v);
}

static int stats_main(void *arg)
{
	int built = WEFT_CHAN_STATS ? 0 : WEFT_ENOSYS;

	(void)arg;
	for (int mode = 0; mode < 4; mode++) {
		for (size_t cap = 0; cap < 4; cap++) {
			weft_chan *c = opened((weft_chan_opts){.elem = 8, .cap = cap, .mode = (enum weft_chan_mode)mode});
			weft_chan_stat st;
			weft_task *t;

			memset(&st, 0xee, sizeof st);
			T_EQ(weft_chan_stats(c, &st), built);
			T_OK(!st.sent && !st.received && !st.send_waits && !st.recv_waits && !st.len && !st.most && !st.senders &&
			     !st.receivers && !st.closed);
			for (size_t i = 0; i < cap; i++)
				T_EQ(weft_chan_send(c, &(int64_t){1}), 0);
			t = start(stat_waiter, (weft_chan *[]){c, c});
			until_parked(t);
			T_EQ(weft_chan_stats(c, &st), built);
			T_EQ(st.len, cap);
			T_EQ(st.senders, 1);
			T_EQ(st.receivers, 0);
			T_EQ(st.sent, WEFT_CHAN_STATS ? cap : 0);
			T_EQ(st.received, 0);
			T_EQ(st.most, WEFT_CHAN_STATS ? cap : 0);
			T_EQ(st.send_waits, WEFT_CHAN_STATS);
			for (size_t i = 0; i <= cap; i++)
				T_EQ(weft_chan_recv(c, NULL), 0);
			T_EQ(finish(t), 0);
			t = start(stat_waiter, (weft_chan *[]){c, NULL});
			until_parked(t);
			T_EQ(weft_chan_stats(c, &st), built);
			T_EQ(st.len, 0);
			T_EQ(st.senders, 0);
			T_EQ(st.receivers, 1);
			T_EQ(st.sent, WEFT_CHAN_STATS ? cap + 1 : 0);
			T_EQ(st.received, WEFT_CHAN_STATS ? cap + 1 : 0);
			T_EQ(st.recv_waits, WEFT_CHAN_STATS);
			T_EQ(weft_chan_close(c), 0);
			T_EQ(finish(t), WEFT_ECLOSED);
			T_EQ(weft_chan_stats(c, &st), built);
			T_EQ(st.closed, true);
			T_EQ(st.receivers, 0);
			weft_chan_free(c);
		}
	}
	return 0;
}

/* What is counted is what was done. */
TEST_WORKERS(statistics)
{
	run(stats_main, NULL);
}
