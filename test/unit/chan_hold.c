/* SPDX-License-Identifier: MIT
 *
 * chan_hold.c - elements in place: reserve and commit, abort, peek and release: what is refused, what ends a wait, and who may give back what is held.
 *
 * In line with whoever else uses the channel: chan_hold_line.c.
 */
#include "ways.h"

#include <pthread.h>

static weft_chan *opened(weft_chan_opts o)
{
	weft_chan *c;

	T_EQ(weft_chan_open(&c, &o), 0);
	return c;
}

/* --- alone --- */

/* Elements of any size and in any storage are written and read where they lie, past the buffer's end and over the edges of blocks, in order with what is
 * copied; both ends may be held at once, and whoever would have to wait is told so. */
TEST(in_place)
{
	static const size_t elems[] = {0, 1, 4, 8, 24, 4096}, caps[] = {1, 2, 3, 128, WEFT_CHAN_UNBOUNDED};
	static unsigned char buf[4096];

	for (size_t e = 0; e < ARRAY_LEN(elems); e++) {
		for (size_t k = 0; k < ARRAY_LEN(caps) * 4; k++) {
			weft_chan *c = opened((weft_chan_opts){.elem = elems[e], .cap = caps[k / 4], .mode = (enum weft_chan_mode)(k % 4)});
			size_t n = caps[k / 4] < 4 ? caps[k / 4] : 4, in = 0, out = 0;
			void *slot, *head;

			for (int i = 0; i < 300; i++) {
				while (in - out < n) {
					memset(buf, (int)in, sizeof buf);
					if (in % 3 == 0) {
						T_EQ(weft_chan_trysend(c, buf), 0);
					} else {
						T_EQ(weft_chan_reserve(c, &slot), 0);
						T_EQ(weft_chan_reserve_until(c, &head, WEFT_NOW), WEFT_EAGAIN);
						T_EQ(head, NULL);
						T_EQ(weft_chan_trysend(c, buf), WEFT_EAGAIN);
						T_EQ(weft_chan_send_many_until(c, buf, 1, WEFT_NOW), WEFT_EAGAIN);
						if (in % 5 == 0) {
							memset(slot, 0xee, elems[e]);
							T_EQ(weft_chan_abort(c), 0);
							T_EQ(weft_chan_len(c), in - out);
							T_EQ(weft_chan_reserve_until(c, &slot, WEFT_NOW), 0);
						}
						memcpy(slot, buf, elems[e]);
						T_EQ(weft_chan_len(c), in - out);
						if (in - out && in % 7 == 0) { /* both at once */
							T_EQ(weft_chan_peek(c, &head), 0);
							for (size_t b = 0; b < elems[e]; b++)
								T_EQ(((unsigned char *)head)[b], (unsigned char)out);
							T_EQ(weft_chan_commit(c), 0);
							T_EQ(weft_chan_release(c), 0);
							out++;
						} else {
							T_EQ(weft_chan_commit(c), 0);
						}
					}
					in++;
					T_EQ(weft_chan_len(c), in - out);
				}
				for (int take = 0; take < 1 + i % 3 && in > out; take++, out++) {
					memset(buf, (int)out, sizeof buf);
					T_EQ(weft_chan_peek(c, &slot), 0);
					T_EQ(memcmp(slot, buf, elems[e]), 0);
					T_EQ(weft_chan_tryrecv(c, buf), WEFT_EAGAIN);
					T_EQ(weft_chan_peek_until(c, &head, WEFT_NOW), WEFT_EAGAIN);
					T_EQ(head, NULL);
					T_EQ(weft_chan_recv_many_until(c, buf, 1, WEFT_NOW), WEFT_EAGAIN);
					T_EQ(weft_chan_len(c), in - out);
					T_EQ(weft_chan_release(c), 0);
				}
			}
			weft_chan_free(c);
		}
	}
	nothing_left();
}

/* A slot is where an object of the element's type may lie, in every storage and at every place of it. */
TEST(slots_are_aligned)
{
	static const size_t elems[] = {1, 2, 4, 8, 16, 32, 64, 24, 48, 192}, caps[] = {1, 3, 64, WEFT_CHAN_UNBOUNDED};

	for (size_t e = 0; e < ARRAY_LEN(elems); e++) {
		uintptr_t align = elems[e] & -elems[e]; /* the greatest that divides the size */

		if (align > 64)
			align = 64;
		for (size_t k = 0; k < ARRAY_LEN(caps) * 5; k++) {
			weft_chan *c = opened((weft_chan_opts){
				.elem = elems[e], .cap = caps[k / 5], .mode = (enum weft_chan_mode)(k % 5 % 4), .node = k % 5 == 4});
			void *slot, *head;

			for (int i = 0; i < 200; i++) {
				T_EQ(weft_chan_reserve(c, &slot), 0);
				T_EQ((uintptr_t)slot % align, 0);
				T_EQ(weft_chan_commit(c), 0);
				T_EQ(weft_chan_peek(c, &head), 0);
				T_EQ(head, slot);
				T_EQ(weft_chan_release(c), 0);
			}
			weft_chan_free(c);
		}
	}
}

TEST(refused)
{
	weft_chan *c = weft_chan_make(8, 0);
	void *slot = c;

	T_EQ(weft_chan_reserve(c, &slot), WEFT_EINVAL);
	T_EQ(slot, NULL);
	slot = c;
	T_EQ(weft_chan_peek(c, &slot), WEFT_EINVAL);
	T_EQ(slot, NULL);
	slot = c;
	T_EQ(weft_chan_reserve(NULL, &slot), WEFT_EINVAL);
	T_EQ(slot, NULL);
	slot = c;
	T_EQ(weft_chan_peek_until(NULL, &slot, WEFT_NOW), WEFT_EINVAL);
	T_EQ(slot, NULL);
	T_EQ(weft_chan_reserve(c, NULL), WEFT_EINVAL);
	T_EQ(weft_chan_peek(c, NULL), WEFT_EINVAL);
	T_EQ(weft_chan_commit(NULL), WEFT_EINVAL);
	T_EQ(weft_chan_abort(NULL), WEFT_EINVAL);
	T_EQ(weft_chan_release(NULL), WEFT_EINVAL);
	weft_chan_free(c);
}

TEST_DIES(commit_of_nothing, "weft_chan_commit: nothing of the channel is reserved")
{
	weft_chan_commit(weft_chan_make(8, 1));
}

TEST_DIES(commit_twice, "weft_chan_commit: nothing of the channel is reserved")
{
	weft_chan *c = weft_chan_make(8, 2);
	void *slot;

	weft_chan_reserve(c, &slot);
	weft_chan_commit(c);
	weft_chan_commit(c);
}

TEST_DIES(abort_of_what_is_peeked, "weft_chan_abort: nothing of the channel is reserved")
{
	weft_chan *c = weft_chan_make(8, 1);
	void *slot;

	weft_chan_trysend(c, &(int64_t){1});
	weft_chan_peek(c, &slot);
	weft_chan_abort(c);
}

TEST_DIES(release_of_what_is_reserved, "weft_chan_release: nothing of the channel is peeked at")
{
	weft_chan *c = weft_chan_make(8, 1);
	void *slot;

	weft_chan_reserve(c, &slot);
	weft_chan_release(c);
}

TEST_DIES(free_while_reserved, "weft_chan_free: an element of the channel is held")
{
	weft_chan *c = weft_chan_make(8, 1);
	void *slot;

	weft_chan_reserve(c, &slot);
	weft_chan_free(c);
}

TEST_DIES(free_while_peeked, "weft_chan_free: an element of the channel is held")
{
	weft_chan *c = weft_chan_make(8, 1);
	void *slot;

	weft_chan_trysend(c, &(int64_t){1});
	weft_chan_peek(c, &slot);
	weft_chan_free(c);
}

/* --- waits that end --- */

/* Before, during, past: what ends the wait for an end that is held, or for room, leaves nothing held. */
static int ends_main(void *arg)
{
	(void)arg;
	for (int dir = 0; dir < 2; dir++) {
		for (int full = 0; full < 2; full++) {
			weft_chan *c = weft_chan_make(8, 2);
			struct call k = {.c = c, .what = dir ? PEEK : RESERVE};
			weft_task *t;
			void *slot;

			/* what keeps them waiting: the end is held; or there is no room, or nothing */
			for (int n = 0; n < (full ? dir ? 0 : 2 : 1); n++)
				T_EQ(weft_chan_send(c, &(int64_t){n}), 0);
			if (!full)
				T_EQ(dir ? weft_chan_peek(c, &slot) : weft_chan_reserve(c, &slot), 0);

			k.now = true;
			T_EQ(call(&k), WEFT_EAGAIN);
			k.now = false;
			k.deadline = weft_now() - 5;
			T_EQ(call(&k), WEFT_ETIMEDOUT);
			k.deadline = weft_in(WEFT_MS);
			T_EQ(call(&k), WEFT_ETIMEDOUT);
			k.deadline = 0;
			t = start(call, &k); /* canceled during */
			until_reason(t, dir ? "chan receive" : "chan send");
			T_EQ(weft_task_cancel(t), 0);
			T_EQ(finish(t), WEFT_ECANCELED);
			t = start(call, &k);
			T_EQ(weft_task_cancel(t), 0); /* before, or during */
			T_EQ(finish(t), WEFT_ECANCELED);

			t = start(call, &k); /* closed during */
			until_parked(t);
			T_EQ(weft_chan_close(c), 0);
			if (dir && !full) {
				T_EQ(weft_task_stateof(t), WEFT_TASK_PARKED); /* who holds the head may still want it */
				T_EQ(weft_chan_release(c), 0);
			}
			T_EQ(finish(t), WEFT_ECLOSED);
			T_EQ(call(&k), WEFT_ECLOSED); /* later ones */
			if (!full && !dir) {
				T_EQ(weft_chan_commit(c), WEFT_ECLOSED);
				T_EQ(weft_chan_len(c), 1);
			}
			weft_chan_free(c);
		}
	}
	return 0;
}

TEST_WORKERS(waiting_for_an_end_ends)
{
	run(ends_main, NULL);
}

/* A cancelled task holds nothing, though it could have. */
static int cancelled_task(void *arg)
{
	struct call *k = arg;

	T_EQ(weft_task_cancel(weft_task_self()), 0);
	return call(k);
}

static int cancelled_main(void *arg)
{
	weft_chan *c = weft_chan_make(8, 2);

	(void)arg;
	T_EQ(weft_chan_send(c, &(int64_t){1}), 0);
	T_EQ(finish(start(cancelled_task, &(struct call){.c = c, .what = RESERVE})), WEFT_ECANCELED);
	T_EQ(finish(start(cancelled_task, &(struct call){.c = c, .what = PEEK})), WEFT_ECANCELED);
	T_EQ(weft_chan_len(c), 1);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(canceled_before)
{
	run(cancelled_main, NULL);
}

/* Closed while both ends are held: what is reserved is not sent; what is peeked at is released; who waits gets what is left, and then the end. */
static int closed_main(void *arg)
{
	(void)arg;
	for (int broken = 0; broken < 2; broken++) {
		weft_chan *c = weft_chan_make(8, 4);
		weft_rx *rx = weft_chan_rx(c);
		struct call r[3], s = {.c = c, .what = RESERVE};
		weft_task *t[3], *ts;
		int64_t *tail, *head;

		for (int64_t i = 0; i < 3; i++)
			T_EQ(weft_chan_send(c, &i), 0);
		T_EQ(weft_chan_peek(c, (void **)&head), 0);
		T_EQ(weft_chan_reserve(c, (void **)&tail), 0);
		ts = start(call, &s);
		until_parked(ts);
		for (int i = 0; i < 3; i++) {
			r[i] = (struct call){.c = c, .what = (enum what)(RECV + (i + broken) % 3), .v = 9};
			t[i] = start(call, &r[i]);
			until_parked(t[i]);
		}
		if (broken)
			weft_rx_free(rx);
		else
			T_EQ(weft_chan_close(c), 0);
		T_EQ(finish(ts), broken ? WEFT_EPIPE : WEFT_ECLOSED);
		*tail = 77;
		T_EQ(weft_chan_commit(c), broken ? WEFT_EPIPE : WEFT_ECLOSED);
		T_EQ(weft_chan_len(c), 3);
		for (int i = 0; i < 3; i++)
			T_EQ(weft_task_stateof(t[i]), WEFT_TASK_PARKED);
		T_EQ(*head, 0);
		T_EQ(weft_chan_release(c), 0);
		for (int i = 0; i < 2; i++) {
			T_EQ(finish(t[i]), 0);
			T_EQ(r[i].v, i + 1);
		}
		T_EQ(finish(t[2]), WEFT_ECLOSED);
		T_EQ(r[2].v, r[2].what == PEEK ? 9 : 0);
		if (!broken)
			weft_rx_free(rx);
		weft_chan_free(c);
	}
	return 0;
}

TEST_WORKERS(closed_while_held)
{
	run(closed_main, NULL);
}

/* What is held is given back by another task, or another thread. */
static int committer(void *arg)
{
	return weft_chan_commit(arg);
}

static void *releaser(void *arg)
{
	return (void *)(intptr_t)weft_chan_release(arg);
}

static int by_others_main(void *arg)
{
	weft_chan *c = weft_chan_make(8, 1);
	struct call r = {.c = c, .what = RECV}, s = {.c = c, .what = SEND, .v = 4};
	weft_task *t;
	pthread_t p;
	int64_t *slot;
	void *rc;

	(void)arg;
	for (int i = 0; i < 20; i++) {
		T_EQ(weft_chan_reserve(c, (void **)&slot), 0);
		*slot = i;
		t = start(call, &r);
		T_EQ(finish(start(committer, c)), 0);
		T_EQ(finish(t), 0);
		T_EQ(r.v, i);
		T_EQ(weft_chan_send(c, &(int64_t){3}), 0);
		T_EQ(weft_chan_peek(c, (void **)&slot), 0);
		t = start(call, &s);
		T_EQ(pthread_create(&p, NULL, releaser, c), 0);
		T_EQ(finish(t), 0);
		T_EQ(pthread_join(p, &rc), 0);
		T_EQ((intptr_t)rc, 0);
		T_EQ(weft_chan_recv(c, &r.v), 0);
		T_EQ(r.v, 4);
	}
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(given_back_by_others)
{
	run(by_others_main, NULL);
}
