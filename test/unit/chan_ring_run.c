/* SPDX-License-Identifier: MIT
 *
 * chan_ring_run.c - channels that are promised to one sender and one receiver: numbered elements against all that can interrupt the two, for long; closed at any moment; roles that
 * go from hand to hand, threads among them.
 */
#include "ring.h"

#include <pthread.h>
#include <stdlib.h>

enum { LARGEST = 4096 };

/* --- the long run --- */

struct pair {
	weft_chan *c;
	size_t elem;
	long n;                   /* so many are sent; then it is closed */
	ATOMIC(long) sent, taken; /* by whoever has the role; handed over by join */
	ATOMIC(bool) over;
	ATOMIC(bool) calm; /* plain send and receive only */
};

/* One element, by a call that is drawn. Returns 0 or an error. */
static int move(struct pair *p, uint32_t draw, bool send, unsigned char *e)
{
	static const enum way ways[] = {BY_TRY, BY_POLL, BY_HOLD, BY_SELECT, BY_MANY, BY_CALL};

	if (draw < 3) /* in place: what is held is not given up half-way */
		return move_by(ways[draw], p->c, send, e, p->elem, WEFT_FOREVER);
	if (draw < ARRAY_LEN(ways))
		return move_by(ways[draw], p->c, send, e, p->elem, weft_in(20 * WEFT_US));
	return move_by(BY_CALL, p->c, send, e, p->elem, WEFT_FOREVER);
}

/* Until all are sent, or it is closed (0), or it is cancelled (1). */
static int sender(void *arg)
{
	struct pair *p = arg;
	unsigned char *e = malloc(LARGEST);
	long i = load_relaxed(&p->sent), rc = 0;
	struct rng rng;

	rng_seed(&rng, (uint64_t)i, 1);
	while (i < p->n) {
		uint32_t way = load_relaxed(&p->calm) ? 9 : rng_below(&rng, 12);

		for (uint32_t turns = rng_below(&rng, way < 6 ? 20 : 200); turns && i < p->n; turns--) {
			fill(e, p->elem, i);
			rc = move(p, way, true, e);
			if (rc == 0)
				store_relaxed(&p->sent, ++i);
			else if (rc != WEFT_EAGAIN && rc != WEFT_ETIMEDOUT)
				goto out;
			if (rc == WEFT_EAGAIN || rng_below(&rng, 64) == 0)
				let_run();
		}
	}
	rc = 0;
out:
	free(e);
	T_OK(rc == 0 || rc == WEFT_ECLOSED || rc == WEFT_ECANCELED);
	return rc == WEFT_ECANCELED;
}

/* Until it is closed and empty (0), or it is cancelled (1). */
static int receiver(void *arg)
{
	struct pair *p = arg;
	unsigned char *e = malloc(LARGEST);
	long i = load_relaxed(&p->taken), rc;
	struct rng rng;

	rng_seed(&rng, (uint64_t)i, 2);
	for (;;) {
		uint32_t way = load_relaxed(&p->calm) ? 9 : rng_below(&rng, 12);

		for (uint32_t turns = rng_below(&rng, way < 6 ? 20 : 200); turns; turns--) {
			rc = move(p, way, false, e);
			if (rc == 0) {
				looks_like(e, p->elem, i);
				store_relaxed(&p->taken, ++i);
			} else if (rc != WEFT_EAGAIN && rc != WEFT_ETIMEDOUT) {
				free(e);
				T_OK(rc == WEFT_ECLOSED || rc == WEFT_ECANCELED);
				return rc == WEFT_ECANCELED;
			}
			if (rc == WEFT_EAGAIN || rng_below(&rng, 64) == 0)
				let_run();
		}
	}
}

/* So that tasks move between workers. */
static int busy(void *arg)
{
	struct pair *p = arg;

	while (!load_relaxed(&p->over)) {
		for (int i = 0; i < 200; i++)
			cpu_relax();
		let_run();
	}
	return 0;
}

/* Looks on: what it is told is true in one instant. */
static int looker(void *arg)
{
	struct pair *p = arg;
	uint64_t sent = 0, received = 0;
	weft_chan_stat st;

	(void)sent;
	(void)received;
	for (long i = 0; !load_relaxed(&p->over); i++) {
		T_LE(weft_chan_len(p->c), weft_chan_cap(p->c));
		if (i % 4 == 0) {
			(void)weft_chan_stats(p->c, &st);
			T_LE(st.len, weft_chan_cap(p->c));
			T_LE(st.senders + st.receivers, 2);
#if WEFT_CHAN_STATS
			T_EQ(st.sent - st.received, st.len);
			T_GE(st.sent, sent);
			T_GE(st.received, received);
			T_GE(st.most, st.len);
			sent = st.sent;
			received = st.received;
#endif
		}
		for (int k = 0; k < (i % 16) * 20; k++)
			cpu_relax();
		let_run();
	}
	return 0;
}

/* fn until it says that it is done; cancelled now and then, when the next task takes over. */
struct role {
	struct pair *p;
	weft_task_fn *fn;
	bool cancel;
};

static int role(void *arg)
{
	struct role *r = arg;
	struct rng rng;
	int ret;

	rng_seed(&rng, r->fn == sender, 3);
	do {
		weft_task *t = start(r->fn, r->p);

		if (r->cancel) {
			for (uint32_t i = rng_below(&rng, 300); i; i--)
				let_run();
			(void)weft_task_cancel(t);
		}
		ret = finish(t);
	} while (ret);
	return 0;
}

static void long_run(size_t elem, size_t cap, long n, bool cancel, bool early, int busy_tasks)
{
	struct pair p = {.c = opened(elem, cap), .elem = elem, .n = n};
	struct role s = {&p, sender, cancel}, r = {&p, receiver, cancel};
	weft_task *ts = start(role, &s), *tr = start(role, &r), *tl = start(looker, &p), *tb[8];

	for (int i = 0; i < busy_tasks; i++)
		tb[i] = start(busy, &p);
	if (early)
		until(load_relaxed(&p.taken) >= n / 2);
	else
		T_EQ(finish(ts), 0);
	T_EQ(weft_chan_close(p.c), 0);
	if (early)
		T_EQ(finish(ts), 0);
	T_EQ(finish(tr), 0);
	store_relaxed(&p.over, true);
	T_EQ(finish(tl), 0);
	for (int i = 0; i < busy_tasks; i++)
		T_EQ(finish(tb[i]), 0);
	T_EQ(load_relaxed(&p.taken), load_relaxed(&p.sent)); /* not one lost, not one that was not sent */
	if (!early)
		T_EQ(load_relaxed(&p.sent), n);
	weft_chan_free(p.c);
}

static int long_main(void *arg)
{
	static const size_t caps[] = {1, 2, 3, 128}, elems[] = {8, 0, 1, 4, 24, 4096};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(caps) * ARRAY_LEN(elems); i++) {
		size_t elem = elems[i % ARRAY_LEN(elems)];

		long_run(elem, caps[i / ARRAY_LEN(elems)],
			 tap_iters(elem == 8    ? 6000
				   : elem > 100 ? 600
						: 2000),
			 i % 2, i % 3 == 1, (int)(i % 5));
	}
	return 0;
}

/* Numbered elements by every call there is, with deadlines, polls, selects, in place; tasks are cancelled and others take over; somebody looks on;
 * it is closed at any moment: what was sent arrives, in order, and nothing else. */
TEST_WORKERS(long_run_interrupted)
{
	tap_limit(120);
	run(long_main, NULL);
}

/* Nothing but send and receive, so that the sides are apart nearly always, and a third who has them come together again and again. */
static int third_main(void *arg)
{
	static const size_t caps[] = {2, 64, 1024};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
		struct pair p = {.c = opened(8, caps[i]), .elem = 8, .n = tap_iters(200000), .calm = true};
		weft_task *ts = start(sender, &p), *tr = start(receiver, &p), *tl = start(looker, &p);

		T_EQ(finish(ts), 0);
		T_EQ(weft_chan_close(p.c), 0);
		T_EQ(finish(tr), 0);
		store_relaxed(&p.over, true);
		T_EQ(finish(tl), 0);
		T_EQ(load_relaxed(&p.taken), p.n);
		weft_chan_free(p.c);
	}
	return 0;
}

TEST_WORKERS(joined_by_a_third)
{
	tap_limit(120);
	run(third_main, NULL);
}

/* The same by either of the two, or by a third, but so seldom that they part again each time (sync/chan_ring.c: patience). */
enum { SELDOM = 2200 };

struct steady {
	weft_chan *c;
	int64_t n;
	int who; /* looks: 0 the sender, 1 the receiver, 2 a third */
	ATOMIC(int64_t) taken;
	ATOMIC(bool) over;
};

static void look(struct steady *s)
{
	weft_chan_stat st;

	(void)weft_chan_stats(s->c, &st);
#if WEFT_CHAN_STATS
	T_EQ(st.sent - st.received, st.len);
#endif
	T_LE(st.len, weft_chan_cap(s->c));
}

static int steady_sender(void *arg)
{
	struct steady *s = arg;

	for (int64_t i = 0; i < s->n; i++) {
		T_EQ(weft_chan_send(s->c, &i), 0);
		if (s->who == 0 && i % SELDOM == 0)
			look(s);
	}
	T_EQ(weft_chan_close(s->c), 0);
	return 0;
}

static int steady_receiver(void *arg)
{
	struct steady *s = arg;
	int64_t v, i;

	for (i = 0; weft_chan_recv(s->c, &v) == 0; i++) {
		T_EQ(v, i);
		if (s->who == 1 && i % SELDOM == 0)
			look(s);
		store_relaxed(&s->taken, i);
	}
	T_EQ(i, s->n);
	store_relaxed(&s->over, true);
	return 0;
}

static int steady_main(void *arg)
{
	(void)arg;
	for (int i = 0; i < 6; i++) {
		struct steady s = {.c = opened(8, i < 3 ? 64 : 1024), .n = tap_iters(2000000), .who = i % 3};
		weft_task *ts = start(steady_sender, &s), *tr = start(steady_receiver, &s);

		for (int64_t seen = 0; s.who == 2 && !load_relaxed(&s.over); let_run()) {
			if (load_relaxed(&s.taken) - seen > SELDOM) {
				look(&s);
				seen = load_relaxed(&s.taken);
			}
		}
		T_EQ(finish(ts), 0);
		T_EQ(finish(tr), 0);
		weft_chan_free(s.c);
	}
	return 0;
}

TEST_WORKERS(joined_seldom)
{
	tap_limit(60);
	run(steady_main, NULL);
}

/* --- closed at any moment --- */

static int close_main(void *arg)
{
	long n = tap_iters(1500);

	(void)arg;
	for (long i = 0; i < n; i++) {
		struct pair p = {.c = opened(8, (size_t)(1 + i % 7)), .elem = 8, .n = 1000000000, .calm = true};
		weft_task *s = start(sender, &p), *r = start(receiver, &p);

		for (long k = 0; k < i % 40; k++)
			let_run();
		for (long k = 0; k < i % 1000; k++)
			cpu_relax();
		T_EQ(weft_chan_close(p.c), 0);
		T_EQ(finish(s), 0);
		T_EQ(finish(r), 0);
		T_EQ(load_relaxed(&p.taken), load_relaxed(&p.sent));
		weft_chan_free(p.c);
	}
	return 0;
}

TEST_WORKERS(closed_at_any_moment)
{
	tap_limit(60);
	run(close_main, NULL);
}

/* --- threads --- */

static void *thread_sends(void *arg)
{
	T_EQ(sender(arg), 0);
	T_EQ(weft_chan_close(((struct pair *)arg)->c), 0);
	return NULL;
}

static void *thread_receives(void *arg)
{
	T_EQ(receiver(arg), 0);
	return NULL;
}

static int threads_main(void *arg)
{
	(void)arg;
	for (int who = 0; who < 3; who++) {
		for (size_t cap = 1; cap < 200; cap *= 5) {
			struct pair p = {.c = opened(8, cap), .elem = 8, .n = tap_iters(2000)};
			weft_task *t = who == 0 ? start(receiver, &p) : who == 1 ? start(sender, &p) : NULL;
			pthread_t s, r;

			if (who != 1)
				T_EQ(pthread_create(&s, NULL, thread_sends, &p), 0);
			if (who != 0)
				T_EQ(pthread_create(&r, NULL, thread_receives, &p), 0);
			if (t)
				T_EQ(finish(t), 0);
			if (who == 1)
				T_EQ(weft_chan_close(p.c), 0);
			else
				T_EQ(pthread_join(s, NULL), 0);
			if (who != 0)
				T_EQ(pthread_join(r, NULL), 0);
			T_EQ(load_relaxed(&p.taken), p.n);
			weft_chan_free(p.c);
		}
	}
	return 0;
}

/* A thread sends, or receives, or both. */
TEST_WORKERS(by_threads)
{
	tap_limit(60);
	run(threads_main, NULL);
}

/* A role goes from task to thread to task, to and fro between workers, while the sides are apart. */
static void *thread_sends_some(void *arg)
{
	struct pair *p = arg;
	int64_t v;

	for (int i = 0; i < 5; i++) {
		v = add_relaxed(&p->sent, 1l); /* handed over by join */
		T_EQ(weft_chan_send(p->c, &v), 0);
	}
	return NULL;
}

static int task_sends_some(void *arg)
{
	struct pair *p = arg;

	for (int i = 0; i < 40; i++)
		thread_sends_some(p);
	return 0;
}

static int handed_receiver(void *arg)
{
	struct pair *p = arg;
	int64_t v;

	for (long i = 0; weft_chan_recv(p->c, &v) == 0; i++)
		T_EQ(v, i);
	return 0;
}

static int handed_main(void *arg)
{
	struct pair p = {.c = opened(8, 16)};
	weft_task *r = start(handed_receiver, &p);
	long n = tap_iters(150);

	(void)arg;
	for (long i = 0; i < n; i++) {
		pthread_t t;

		T_EQ(finish(start(task_sends_some, &p)), 0);
		until(weft_chan_len(p.c) ==
		      0); /* so that there is room for all that the thread sends: it is waited for on what may be the only worker */
		T_EQ(pthread_create(&t, NULL, thread_sends_some, &p), 0);
		T_EQ(pthread_join(t, NULL), 0);
	}
	T_EQ(weft_chan_close(p.c), 0);
	T_EQ(finish(r), 0);
	weft_chan_free(p.c);
	return 0;
}

TEST_WORKERS(handed_over)
{
	run(handed_main, NULL);
}
