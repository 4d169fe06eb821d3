/* SPDX-License-Identifier: MIT
 *
 * threads.c - the same laws for threads that weft did not make: on a channel they are tasks like any others.
 */
#include "conform.h"

#include <pthread.h>

/* A thread outside that makes one call: what other is for tasks. */
struct outsider {
	struct other o;
	weft_task_fn *call; /* of arg */
	void *arg;
	int rc;
	ATOMIC(struct weft_task *) proxy; /* what weft knows it by; NULL before it has begun */
	ATOMIC(bool) ended;
	pthread_t thread;
};

static void *outsider_body(void *arg)
{
	struct outsider *x = arg;

	T_EQ(weft_task_self(), NULL);
	store_release(&x->proxy, weft__foreign()); /* pairs with outsider_waits */
	x->rc = x->call(x->arg);
	store_release(&x->ended, true); /* pairs with outsider_ends */
	return NULL;
}

static void outsider_calls(struct outsider *x, weft_task_fn *call, void *arg)
{
	x->call = call;
	x->arg = arg;
	store_relaxed(&x->proxy, NULL); /* before the thread is made */
	store_relaxed(&x->ended, false);
	T_EQ(pthread_create(&x->thread, NULL, outsider_body, x), 0);
}

/* One of the calls that others make. */
static void outsider_begins(struct outsider *x, weft_task_fn *call, struct other o)
{
	x->o = o;
	outsider_calls(x, call, &x->o);
}

static void outsider_sends(struct outsider *x, weft_chan *c, int v)
{
	outsider_begins(x, other__send, (struct other){.c = c, .v = v, .deadline = WEFT_FOREVER});
}

static void outsider_receives(struct outsider *x, weft_chan *c)
{
	outsider_begins(x, other__receive, (struct other){.c = c, .v = -1, .deadline = WEFT_FOREVER});
}

static void outsider_selects(struct outsider *x, weft_case *cases, int n)
{
	outsider_begins(x, other__select, (struct other){.cases = cases, .n = n, .deadline = WEFT_FOREVER});
}

/* Until it waits in its call. */
static void outsider_waits(struct outsider *x)
{
	until(load_acquire(&x->proxy) != NULL);
	until_parked(load_acquire(&x->proxy));
}

static int outsider_ends(struct outsider *x)
{
	until(load_acquire(&x->ended)); /* a worker that waits in the system does not look after its timers */
	T_EQ(pthread_join(x->thread, NULL), 0);
	return x->rc;
}

/* A thread that sends on an unbuffered channel waits until a task receives. */
LAW(thread_waits_for_a_receiver)
{
	weft_chan *c = ints(0);
	struct outsider x;

	outsider_sends(&x, c, 7);
	outsider_waits(&x);
	T_EQ(weft_chan_len(c), 0);
	T_EQ(get(c), 7);
	T_EQ(outsider_ends(&x), 0);
	emptied(c);
}

/* A thread that receives waits until a task sends. */
LAW(thread_waits_for_a_sender)
{
	weft_chan *c = ints(0);
	struct outsider x;

	outsider_receives(&x, c);
	outsider_waits(&x);
	T_EQ(give(c, 7), 0);
	T_EQ(outsider_ends(&x), 0);
	T_EQ(x.o.v, 7);
	emptied(c);
}

/* Two threads meet without a task. */
LAW(threads_meet)
{
	weft_chan *c = ints(0);
	struct outsider s, r;

	outsider_sends(&s, c, 3);
	outsider_receives(&r, c);
	T_EQ(outsider_ends(&s), 0);
	T_EQ(outsider_ends(&r), 0);
	T_EQ(r.o.v, 3);
	emptied(c);
}

/* Threads and tasks wait in one line: first come first served. */
LAW(threads_stand_in_line_with_tasks)
{
	enum { N = 6 };
	weft_chan *c = ints(0);

	for (int sends = 0; sends < 2; sends++) {
		struct outsider x[N];
		struct other o[N];

		for (int i = 0; i < N; i++) {
			if (i % 2 == 0 && sends)
				outsider_sends(&x[i], c, i);
			else if (i % 2 == 0)
				outsider_receives(&x[i], c);
			else if (sends)
				other_sends(&o[i], c, i);
			else
				other_receives(&o[i], c);
			if (i % 2 == 0)
				outsider_waits(&x[i]);
		}
		for (int i = 0; i < N; i++)
			T_EQ(sends ? take(c) : put(c, i), sends ? i : 0);
		for (int i = 0; i < N; i++) {
			T_EQ(i % 2 ? other_ends(&o[i]) : outsider_ends(&x[i]), 0);
			T_EQ(i % 2 ? o[i].v : x[i].o.v, i);
		}
	}
	emptied(c);
}

/* A thread's select waits for the first of its cases that can go on; the others are untouched. */
LAW(thread_selects)
{
	weft_chan *c[3] = {ints(0), ints(0), ints(0)};

	for (int at = 0; at < 3; at++) {
		int v[3] = {-1, 8, -1};
		weft_case cases[] = {WEFT_RECV(c[0], &v[0]), WEFT_SEND(c[1], &v[1]), WEFT_RECV(c[2], &v[2])};
		struct outsider x;

		outsider_selects(&x, cases, 3);
		outsider_waits(&x);
		T_EQ(at == 1 ? get(c[at]) : give(c[at], at), at == 1 ? 8 : 0);
		for (int i = 0; i < 3; i++) {
			T_EQ(put(c[i], 1), WEFT_EAGAIN);
			T_EQ(take(c[i]), WEFT_EAGAIN);
		}
		T_EQ(outsider_ends(&x), at);
		for (int i = 0; i < 3; i++)
			T_EQ(v[i], i == 1 ? 8 : i == at ? at : -1);
	}
	for (int i = 0; i < 3; i++)
		emptied(c[i]);
}

/* A close by a task wakes threads, in all their forms. */
LAW(close_wakes_threads)
{
	weft_chan *c = ints(0), *d = ints(0);
	int v = 5;
	weft_case one = WEFT_RECV(c, &v);
	struct outsider x[3];

	outsider_receives(&x[0], c);
	outsider_selects(&x[1], &one, 1);
	outsider_sends(&x[2], d, 1);
	for (int i = 0; i < 3; i++)
		outsider_waits(&x[i]);
	T_EQ(weft_chan_close(c), 0);
	T_EQ(weft_chan_close(d), 0);
	T_EQ(outsider_ends(&x[0]), WEFT_ECLOSED);
	T_EQ(x[0].o.v, 0);
	T_EQ(outsider_ends(&x[1]), 0);
	T_EQ(one.status, WEFT_ECLOSED);
	T_EQ(v, 0);
	T_EQ(outsider_ends(&x[2]), WEFT_ECLOSED);
	emptied(c);
	emptied(d);
}

static int closes(void *arg)
{
	return weft_chan_close(arg);
}

/* A close by a thread wakes tasks. */
LAW(thread_closes)
{
	weft_chan *c = ints(0);
	struct other o[10];
	struct outsider x;

	for (int i = 0; i < 10; i++)
		other_receives(&o[i], c);
	outsider_calls(&x, closes, c);
	for (int i = 0; i < 10; i++)
		T_EQ(other_ends(&o[i]), WEFT_ECLOSED);
	T_EQ(outsider_ends(&x), 0);
	T_EQ(weft_chan_close(c), WEFT_ECLOSED);
	emptied(c);
}

static int nulls(void *arg)
{
	int v = 5;
	weft_case cases[] = {WEFT_RECV(NULL, &v), WEFT_AFTER(100 * WEFT_US)};
	int64_t at = weft_in(100 * WEFT_US);

	(void)arg;
	T_EQ(weft_chan_recv_until(NULL, &v, at), WEFT_ETIMEDOUT);
	T_GE(weft_now(), at);
	T_EQ(weft_chan_send_until(NULL, &v, weft_in(100 * WEFT_US)), WEFT_ETIMEDOUT);
	T_EQ(put(NULL, 1), WEFT_EAGAIN);
	T_EQ(take(NULL), WEFT_EAGAIN);
	T_EQ(weft_chan_select(cases, 2), 1);
	T_EQ(weft_chan_select_until(NULL, 0, weft_in(100 * WEFT_US)), WEFT_ETIMEDOUT);
	T_EQ(weft_chan_select_until(cases, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(v, 5);
	return 0;
}

/* A NULL channel is never ready for a thread either. */
LAW(null_for_threads)
{
	struct outsider x;

	outsider_calls(&x, nulls, NULL);
	T_EQ(outsider_ends(&x), 0);
}

static int late(void *arg)
{
	weft_chan *c = arg;
	int v = 5;

	T_EQ(weft_chan_recv_until(c, &v, weft_in(100 * WEFT_US)), WEFT_ETIMEDOUT);
	T_EQ(weft_chan_send_until(c, &v, weft_in(100 * WEFT_US)), WEFT_ETIMEDOUT);
	T_EQ(weft_chan_recv_until(c, &v, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(v, 5);
	return 0;
}

/* A thread that is late has sent and received nothing. */
LAW(late_threads_have_done_nothing)
{
	weft_chan *c = ints(0);
	struct outsider x;

	outsider_calls(&x, late, c);
	T_EQ(outsider_ends(&x), 0);
	T_EQ(put(c, 1), WEFT_EAGAIN);
	T_EQ(take(c), WEFT_EAGAIN);
	emptied(c);
}

/* --- several calls --- */

struct outside {
	weft_chan *in, *out;
	int n, page; /* plain, ordered by the channels */
	int seen[8];
};

static int passes(void *arg)
{
	struct outside *s = arg;
	int v;

	while ((v = get(s->in)) >= 0) {
		T_EQ(s->page, v);
		s->page = -v;
		T_EQ(give(s->out, v), 0);
	}
	return v;
}

/* A send happens before the receive of its value completes, from task to thread and back. */
LAW(order_goes_through_threads)
{
	for (size_t cap = 0; cap < 2; cap++) {
		struct outside s = {.in = ints(cap), .out = ints(cap)};
		struct outsider x;

		outsider_calls(&x, passes, &s);
		for (int i = 1; i <= 200; i++) {
			s.page = i;
			T_EQ(give(s.in, i), 0);
			T_EQ(get(s.out), i);
			T_EQ(s.page, -i);
		}
		T_EQ(weft_chan_close(s.in), 0);
		T_EQ(outsider_ends(&x), WEFT_ECLOSED);
		emptied(s.in);
		emptied(s.out);
	}
}

static int produces(void *arg)
{
	struct other *o = arg;

	for (int i = 0; i < o->v; i++)
		T_EQ(give(o->c, i), 0);
	return 0;
}

static int consumes(void *arg)
{
	struct other *o = arg;
	int n = 0;

	while (get(o->c) >= 0)
		n++;
	o->v = n;
	return 0;
}

/* Threads and tasks on both sides of one channel: each element is received once. */
LAW(threads_and_tasks_share_a_channel)
{
	enum { SIDE = 3 };
	int n = (int)tap_iters(1000), got = 0;

	for (size_t cap = 0; cap < 4; cap += 3) {
		weft_chan *c = ints(cap);
		struct other op[SIDE], oc[SIDE];
		struct outsider xp[SIDE], xc[SIDE];

		got = 0;
		for (int i = 0; i < SIDE; i++) {
			op[i] = oc[i] = (struct other){.c = c, .v = n};
			outsider_begins(&xp[i], produces, op[i]);
			outsider_begins(&xc[i], consumes, oc[i]);
			op[i].task = start(produces, &op[i]);
			oc[i].task = start(consumes, &oc[i]);
		}
		for (int i = 0; i < SIDE; i++)
			T_EQ(other_ends(&op[i]), 0);
		for (int i = 0; i < SIDE; i++)
			T_EQ(outsider_ends(&xp[i]), 0);
		T_EQ(weft_chan_close(c), 0);
		for (int i = 0; i < SIDE; i++) {
			T_EQ(other_ends(&oc[i]), 0);
			T_EQ(outsider_ends(&xc[i]), 0);
			got += oc[i].v + xc[i].o.v;
		}
		T_EQ(got, 2 * SIDE * n);
		emptied(c);
	}
}

static int holds(void *arg)
{
	struct outside *s = arg;

	for (int i = 0; i < s->n; i++) {
		T_EQ(give(s->in, 1), 0);
		s->page++;
		T_EQ(get(s->in), 1);
	}
	return 0;
}

/* A channel of capacity 1 is a lock between threads and tasks. */
LAW(capacity_one_is_a_lock_for_threads)
{
	struct outside s = {.in = ints(1), .n = (int)tap_iters(1000)};
	weft_task *t[2];
	struct outsider x[2];

	for (int i = 0; i < 2; i++) {
		outsider_calls(&x[i], holds, &s);
		t[i] = start(holds, &s);
	}
	for (int i = 0; i < 2; i++) {
		T_EQ(finish(t[i]), 0);
		T_EQ(outsider_ends(&x[i]), 0);
	}
	T_EQ(s.page, 4 * s.n);
	emptied(s.in);
}

enum { WAYS = 5 };

static int draws(void *arg)
{
	struct outside *s = arg;
	int pairs[WAYS * WAYS] = {0}, last = 0;
	weft_case cases[WAYS];

	for (int i = 0; i < WAYS; i++)
		cases[i] = WEFT_RECV(s->in, NULL);
	for (int i = 0; i < s->n; i++) {
		int rc = weft_chan_select(cases, WAYS);

		T_GE(rc, 0);
		s->seen[rc]++;
		pairs[last * WAYS + rc]++;
		last = rc;
	}
	T_OK(even(pairs, WAYS * WAYS));
	return 0;
}

/* A thread's select chooses as evenly as a task's, each time anew. */
LAW(threads_choose_evenly)
{
	struct outside s = {.in = ints(0), .n = (int)tap_iters(50000)};
	struct outsider x;

	T_EQ(weft_chan_close(s.in), 0);
	outsider_calls(&x, draws, &s);
	T_EQ(outsider_ends(&x), 0);
	T_OK(even(s.seen, WAYS));
	emptied(s.in);
}

/* The choice is chance, not the clock's: it is as even while time stands still. */
LAW(threads_choose_evenly_at_any_time)
{
	struct outside s = {.in = ints(0), .n = (int)tap_iters(20000)};
	struct outsider x;

	time_fake();
	T_EQ(weft_chan_close(s.in), 0);
	outsider_calls(&x, draws, &s);
	T_EQ(outsider_ends(&x), 0);
	T_OK(even(s.seen, WAYS));
	emptied(s.in);
	time_real();
}

static int stops(void *arg)
{
	weft_timer *t = arg;
	int64_t at;

	T_EQ(weft_timer_stop(t), 1);
	T_EQ(weft_timer_stop(t), 0);
	T_EQ(weft_timer_reset(t, 100 * WEFT_US), 0);
	T_EQ(weft_chan_recv(weft_timer_chan(t), &at), 0);
	T_LE(at, weft_now());
	T_EQ(weft_timer_reset(t, WEFT_US), 0);
	return 0;
}

/* A thread stops, resets and hears timers as tasks do. */
LAW(threads_use_timers)
{
	weft_timer *t = weft_timer_make(1000 * WEFT_SEC);
	struct outsider x;

	outsider_calls(&x, stops, t);
	T_EQ(outsider_ends(&x), 0);
	T_EQ(weft_chan_recv(weft_timer_chan(t), NULL), 0);
	weft_timer_free(t);
}
