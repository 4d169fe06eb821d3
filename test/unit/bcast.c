/* SPDX-License-Identifier: MIT
 *
 * bcast.c - broadcast: who gets what, who has lagged and by how much, and how waiting for it ends.
 */
#include "late.h"

#include "weft/bcast.h"
#include <pthread.h>

static int recv_value(weft_bsub *s)
{
	int v = -1, rc = weft_bsub_recv_until(s, &v, WEFT_NOW);

	return rc ? rc : v;
}

static void send_value(weft_bcast *b, int v)
{
	T_EQ(weft_bcast_send(b, &v), 0);
}

/* --- order and lag --- */

static int lag_main(void *arg)
{
	static const size_t caps[] = {1, 2, 3, 7, 8, 9};

	(void)arg;
	for (size_t k = 0; k < ARRAY_LEN(caps); k++) {
		int cap = (int)caps[k], next = 0;
		weft_bcast *b = weft_bcast_make(sizeof(int), caps[k]);
		weft_bsub *s, *slow = weft_bcast_sub(b);

		send_value(b, 1000); /* before s: not for it */
		s = weft_bcast_sub(b);
		T_EQ(recv_value(s), WEFT_EAGAIN);
		for (int ahead = 0; ahead <= 3 * cap; ahead++) {
			for (int i = 0; i < ahead; i++)
				send_value(b, next + i);
			if (ahead > cap) {
				int v = -1;

				T_EQ(weft_bsub_recv(s, &v), WEFT_ELAGGED);
				T_EQ(v, -1);
				T_EQ(weft_bsub_missed(s), ahead - cap);
				T_EQ(weft_bsub_missed(s), 0);
			}
			for (int i = ahead > cap ? ahead - cap : 0; i < ahead; i++)
				T_EQ(recv_value(s), next + i);
			T_EQ(recv_value(s), WEFT_EAGAIN);
			next += ahead;
		}
		T_EQ(recv_value(slow), WEFT_ELAGGED);
		T_EQ(weft_bsub_recv(slow, NULL), 0); /* dropped */
		send_value(b, 1);
		send_value(b, 2);
		T_EQ(recv_value(slow), WEFT_ELAGGED);
		T_EQ(weft_bsub_missed(slow), 1 + next - cap + 1); /* of both times */
		/* drained, then closed, again and again */
		T_EQ(weft_bcast_close(b), 0);
		T_EQ(weft_bcast_close(b), WEFT_ECLOSED);
		T_EQ(weft_bcast_send(b, &cap), WEFT_ECLOSED);
		T_EQ(recv_value(s), cap > 1 ? 1 : WEFT_ELAGGED);
		T_EQ(recv_value(s), 2);
		for (int i = 0; i < 2; i++) {
			int v = 9;

			T_EQ(weft_bsub_recv(s, &v), WEFT_ECLOSED);
			T_EQ(v, 0);
		}
		weft_bcast_free(b);
		weft_bsub_free(s); /* in any order */
		weft_bsub_free(slow);
	}
	return 0;
}

/* Every element since it subscribed, in order; those overwritten are counted, exactly at `cap`. */
TEST_WORKERS(order_and_lag)
{
	run(lag_main, NULL);
}

TEST(arguments)
{
	weft_bcast *b = weft_bcast_make(0, 2);
	weft_bsub *s = weft_bcast_sub(b);

	T_EQ(weft_bcast_make(4, 0), NULL);
	T_EQ(weft_bcast_make(65536, 1), NULL);
	T_EQ(weft_bcast_make(4, SIZE_MAX), NULL);
	T_EQ(weft_bcast_send(NULL, ""), WEFT_EINVAL);
	T_EQ(weft_bcast_close(NULL), WEFT_EINVAL);
	T_EQ(weft_bsub_recv(NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_bcast_sub(NULL), NULL);
	weft_bcast_free(NULL);
	weft_bsub_free(NULL);
	T_EQ(weft_bcast_send(b, NULL), 0); /* of no size */
	T_EQ(weft_bsub_recv(s, NULL), 0);
	T_EQ(weft_bsub_recv_until(s, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_bsub_recv_until(s, NULL, weft_in(WEFT_MS)), WEFT_ETIMEDOUT); /* a thread of ours */
	T_STR_HAS(weft_strerror(WEFT_ELAGGED), "missed");
	weft_bcast_free(weft_bcast_ref(b));
	weft_bsub_free(s);
	weft_bcast_free(b);
}

/* --- waiting --- */

static int receives(void *arg)
{
	int v = -1, rc = weft_bsub_recv(arg, &v);

	return rc ? rc : v;
}

static weft_task *waits(weft_bsub *s)
{
	weft_task *t = start(receives, s);

	until_reason(t, "broadcast");
	return t;
}

static int waiting_main(void *arg)
{
	enum { SUBS = 10 };
	weft_bcast *b = weft_bcast_make(sizeof(int), 4);
	weft_bsub *s[SUBS];
	weft_task *t[SUBS];
	int v;

	(void)arg;
	for (int i = 0; i < SUBS; i++)
		s[i] = weft_bcast_sub(b);
	for (int k = 0; k < 20; k++) {
		for (int i = 0; i < SUBS; i++)
			t[i] = waits(s[i]);
		send_value(b, k);
		for (int i = 0; i < SUBS; i++)
			T_EQ(finish(t[i]), k);
	}
	T_EQ(weft_bsub_recv_until(s[0], &v, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_bsub_recv_until(s[0], &v, weft_in(-WEFT_MS)), WEFT_ETIMEDOUT);
	t[0] = waits(s[0]);
	T_EQ(weft_task_cancel(t[0]), 0);
	T_EQ(finish(t[0]), WEFT_ECANCELED);
	send_value(b, 7); /* nothing was taken by those who gave up */
	T_EQ(recv_value(s[0]), 7);
	/* two that share a subscription: one each */
	t[0] = waits(s[0]);
	t[1] = waits(s[0]);
	send_value(b, 8);
	send_value(b, 8);
	T_EQ(finish(t[0]), 8);
	T_EQ(finish(t[1]), 8);
	t[0] = waits(s[0]);
	t[1] = waits(s[0]);
	send_value(b, 9);
	until(weft_task_stateof(t[0]) == WEFT_TASK_DONE || weft_task_stateof(t[1]) == WEFT_TASK_DONE);
	until_parked(t[weft_task_stateof(t[0]) == WEFT_TASK_DONE]); /* the other goes on waiting */
	T_EQ(weft_bcast_close(b), 0);
	v = finish(t[0]);
	T_EQ(v == 9 ? finish(t[1]) : v, WEFT_ECLOSED);
	if (v != 9)
		T_EQ(finish(t[1]), 9);
	for (int i = 0; i < SUBS; i++)
		weft_bsub_free(s[i]);
	weft_bcast_free(b);
	return 0;
}

/* Woken, timed out, cancelled, closed during; shared subscriptions. */
TEST_WORKERS(waiting)
{
	run(waiting_main, NULL);
}

static int cancelled(void *arg)
{
	weft_task_cancel(weft_task_self());
	return receives(arg);
}

static int select_main(void *arg)
{
	weft_bcast *b = weft_bcast_make(sizeof(int), 2);
	weft_bsub *s = weft_bcast_sub(b);
	weft_chan *c = weft_chan_make(sizeof(int), 1);
	int v = -1, x = 3;
	weft_case cases[] = {WEFT_BSUB(NULL, &v), WEFT_BSUB(s, &v), WEFT_RECV(c, &x), WEFT_AFTER(WEFT_MS)};

	(void)arg;
	T_EQ(weft_chan_select(cases, 4), 3);
	for (int i = 0; i < 5; i++)
		send_value(b, i);
	T_EQ(weft_chan_select(cases, 4), 1);
	T_EQ(cases[1].status, WEFT_ELAGGED);
	T_EQ(weft_bsub_missed(s), 3);
	for (int i = 3; i < 5; i++) {
		T_EQ(weft_chan_select(cases, 4), 1);
		T_EQ(cases[1].status, 0);
		T_EQ(v, i);
	}
	T_EQ(weft_bcast_close(b), 0);
	T_EQ(weft_chan_select(cases, 4), 1);
	T_EQ(cases[1].status, WEFT_ECLOSED);
	T_EQ(finish(start(cancelled, s)), WEFT_ECANCELED); /* looked at first */
	weft_bsub_free(s);
	weft_bcast_free(b);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(in_a_select)
{
	run(select_main, NULL);
}

static void late_send(void *arg)
{
	send_value(arg, 6);
}

static int late_main(void *arg)
{
	weft_bcast *b = weft_bcast_make(sizeof(int), 2);
	weft_bsub *s = weft_bcast_sub(b);
	int v = -1;
	struct late late = {late_send, b};
	weft_case before[] = {WEFT_BSUB(s, &v), LATE(&late)}, after[] = {LATE(&late), WEFT_BSUB(s, &v)};

	(void)arg;
	T_EQ(weft_chan_select(before, 2), 0);
	T_EQ(v, 6);
	T_EQ(weft_chan_select(after, 2), 1);
	weft_bsub_free(s);
	weft_bcast_free(b);
	return 0;
}

/* Sent between the look and the listing, or just after it. */
TEST_WORKERS(sent_while_others_are_listed)
{
	run(late_main, NULL);
}

/* --- many --- */

struct crowd {
	weft_bcast *b;
	long n;
	ATOMIC(int) ready;
};

static void count(struct crowd *c, weft_bsub *s)
{
	long got = 0, missed = 0;
	int last = -1;

	add_relaxed(&c->ready, 1);
	for (;;) {
		int v, rc;

		weft_case cases[] = {WEFT_BSUB(s, &v)};
		if (got % 2) {
			rc = weft_bsub_recv(s, &v);
		} else {
			T_EQ(weft_chan_select(cases, 1), 0);
			rc = cases[0].status;
		}
		if (rc == WEFT_ECLOSED)
			break;
		if (rc == WEFT_ELAGGED) {
			long more = (long)weft_bsub_missed(s);

			T_GT(more, 0);
			missed += more;
			last += (int)more;
			continue;
		}
		T_EQ(rc, 0);
		T_EQ(v, last + 1);
		last = v;
		got++;
	}
	T_EQ(got + missed, c->n);
	weft_bsub_free(s);
}

static int counts(void *arg)
{
	struct crowd *c = arg;

	count(c, weft_bcast_sub(c->b));
	return 0;
}

static void *thread_counts(void *arg)
{
	counts(arg);
	return NULL;
}

static int crowd_main(void *arg)
{
	struct crowd c = {.b = weft_bcast_make(sizeof(int), 8), .n = tap_iters(10000)};
	weft_task *t[5];
	pthread_t thread;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		t[i] = start(counts, &c);
	T_EQ(pthread_create(&thread, NULL, thread_counts, &c), 0);
	until(load_acquire(&c.ready) == (int)ARRAY_LEN(t) + 1);
	for (int i = 0; i < c.n; i++) {
		send_value(c.b, i);
		if (i % 5 == 0)
			weft_task_yield();
	}
	T_EQ(weft_bcast_close(c.b), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		finish(t[i]);
	T_EQ(pthread_join(thread, NULL), 0);
	weft_bcast_free(c.b);
	return 0;
}

/* Received and missed add up to what was sent, for tasks and for a thread outside. */
TEST_WORKERS(nothing_is_lost_uncounted)
{
	run(crowd_main, NULL);
}

static int freed_main(void *arg)
{
	weft_bcast *b = weft_bcast_make(0, 1);
	weft_bsub *s = weft_bcast_sub(b);

	(void)arg;
	weft_task_detach(waits(s));
	weft_bsub_free(s);
	return 0;
}

TEST_DIES_WORKERS(subscription_freed_while_received_from, "weft_bsub_free: task")
{
	run(freed_main, NULL);
}
