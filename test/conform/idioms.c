/* SPDX-License-Identifier: MIT
 *
 * idioms.c - what people build of channels: sieves, rings, pipelines, pools, servers. Each has an answer that is known.
 */
#include "conform.h"

/* --- one after the other --- */

static void candidates(weft_chan *out, weft_chan *quit)
{
	for (int i = 2;; i++) {
		weft_case cases[] = {WEFT_SEND(out, &i), WEFT_RECV(quit, NULL)};

		if (weft_chan_select(cases, 2) != 0)
			break;
	}
	T_EQ(weft_chan_close(out), 0);
	done();
}

static void filter(weft_chan *in, weft_chan *out, int prime)
{
	int v;

	while ((v = get(in)) >= 0) {
		if (v % prime)
			T_EQ(give(out, v), 0);
	}
	T_EQ(weft_chan_close(out), 0);
	done();
}

static void drain(weft_chan *c)
{
	while (get(c) >= 0)
		;
	done();
}

/* The sieve: a chain of filters, a task for each prime, with and without room between them. */
LAW(sieve)
{
	static const int primes[] = {2,  3,  5,  7,  11, 13,  17,  19,  23,  29,  31,  37,  41,  43,  47,  53,  59,  61,  67,  71,
				     73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173};

	for (size_t cap = 0; cap < 4; cap += 3) {
		weft_chan *c[ARRAY_LEN(primes) + 1], *quit = ints(0);

		c[0] = ints(cap);
		hire(candidates, c[0], quit);
		for (size_t i = 0; i < ARRAY_LEN(primes); i++) {
			T_EQ(get(c[i]), primes[i]);
			c[i + 1] = ints(cap);
			hire(filter, c[i], c[i + 1], primes[i]);
		}
		hire(drain, c[ARRAY_LEN(primes)]);
		T_EQ(weft_chan_close(quit), 0);
		all_done(); /* the end travels down the chain: no task is left behind */
		for (size_t i = 0; i <= ARRAY_LEN(primes); i++)
			emptied(c[i]);
		emptied(quit);
	}
}

static void pong(weft_chan *in, weft_chan *out)
{
	int v;

	while ((v = get(in)) >= 0)
		T_EQ(give(out, v + 1), 0);
	done();
}

/* Ping-pong: two tasks, a ball. */
LAW(ping_pong)
{
	int n = (int)tap_iters(5000);

	for (size_t cap = 0; cap < 2; cap++) {
		weft_chan *there = ints(cap), *back = ints(cap);
		int v = 0;

		hire(pong, there, back);
		for (int i = 0; i < n; i++) {
			T_EQ(give(there, v), 0);
			v = get(back);
			T_EQ(v, i + 1);
		}
		T_EQ(weft_chan_close(there), 0);
		all_done();
		emptied(there);
		emptied(back);
	}
}

static void one_more(weft_chan *in, weft_chan *out)
{
	T_EQ(give(out, get(in) + 1), 0);
	done();
}

/* The daisy chain: ten thousand tasks, each adds one to what it is handed. */
LAW(daisy_chain)
{
	int n = (int)tap_iters(10000);
	weft_chan **c = calloc((size_t)n + 1, sizeof *c);

	for (int i = 0; i <= n; i++)
		c[i] = ints(0);
	for (int i = 0; i < n; i++)
		hire(one_more, c[i], c[i + 1]);
	T_EQ(give(c[0], 0), 0);
	T_EQ(get(c[n]), n);
	all_done();
	for (int i = 0; i <= n; i++)
		emptied(c[i]);
	free(c);
}

static void ring_member(weft_chan *in, weft_chan *out, weft_chan *end)
{
	int v;

	while ((v = get(in)) > 0)
		T_EQ(give(out, v - 1), 0);
	if (v == 0)
		T_EQ(give(end, 1), 0);
	T_EQ(weft_chan_close(out), 0);
	done();
}

/* The ring: a token goes round until it is used up; its end goes round after it. */
LAW(token_ring)
{
	enum { N = 50 };
	int laps = (int)tap_iters(100);
	weft_chan *c[N], *end = ints(1);

	for (int i = 0; i < N; i++)
		c[i] = ints(1);
	for (int i = 0; i < N; i++)
		hire(ring_member, c[i], c[(i + 1) % N], end);
	T_EQ(give(c[0], laps * N), 0);
	all_done();
	T_EQ(get(end), 1);
	for (int i = 0; i < N; i++)
		emptied(c[i]);
	emptied(end);
}

/* --- many to one, one to many --- */

static void counts(weft_chan *out, int from, int to, bool closes)
{
	for (int i = from; i < to; i++)
		T_EQ(give(out, i), 0);
	if (closes)
		T_EQ(weft_chan_close(out), 0);
	done();
}

static void forwards(weft_chan *in, weft_chan *out, weft_wg *g)
{
	int v;

	while ((v = get(in)) >= 0)
		T_EQ(give(out, v), 0);
	weft_wg_done(g);
	done();
}

static void closes_after(weft_wg *g, weft_chan *c)
{
	T_EQ(weft_wg_wait(g), 0);
	T_EQ(weft_chan_close(c), 0);
	done();
}

/* Fan-in: a task a source forwards to one channel; when all are through, a last one closes it. */
LAW(fan_in)
{
	enum { SOURCES = 8, EACH = 200 };
	weft_chan *in[SOURCES], *out = ints(0);
	char seen[SOURCES * EACH] = {0};
	int last[SOURCES], v;
	weft_wg g = {0};

	memset(last, -1, sizeof last);
	weft_wg_add(&g, SOURCES);
	for (int i = 0; i < SOURCES; i++) {
		in[i] = ints((size_t)i % 3);
		hire(counts, in[i], i * EACH, (i + 1) * EACH, true);
		hire(forwards, in[i], out, &g);
	}
	hire(closes_after, &g, out);
	while ((v = get(out)) >= 0) {
		T_EQ(seen[v]++, 0);
		T_LT(last[v / EACH], v % EACH); /* each source's order is kept */
		last[v / EACH] = v % EACH;
	}
	T_EQ(v, WEFT_ECLOSED);
	for (int i = 0; i < SOURCES * EACH; i++)
		T_EQ(seen[i], 1);
	all_done();
	for (int i = 0; i < SOURCES; i++)
		emptied(in[i]);
	emptied(out);
}

static void squares(weft_chan *in, weft_chan *out, weft_wg *g)
{
	int64_t v;

	while (weft_chan_recv(in, &v) == 0) {
		v *= v;
		T_EQ(weft_chan_send(out, &v), 0);
	}
	weft_wg_done(g);
	done();
}

/* Fan-out: a pool of workers shares the jobs; every job is done once. */
LAW(worker_pool)
{
	enum { WORKERS = 10, JOBS = 1000 };
	weft_chan *jobs = chan_of(sizeof(int64_t), 5), *results = chan_of(sizeof(int64_t), JOBS);
	int64_t sum = 0, v;
	int n = 0;
	weft_wg g = {0};

	weft_wg_add(&g, WORKERS);
	for (int i = 0; i < WORKERS; i++)
		hire(squares, jobs, results, &g);
	for (v = 1; v <= JOBS; v++)
		T_EQ(weft_chan_send(jobs, &v), 0);
	T_EQ(weft_chan_close(jobs), 0);
	hire(closes_after, &g, results);
	while (weft_chan_recv(results, &v) == 0) {
		sum += v;
		n++;
	}
	all_done();
	T_EQ(n, JOBS);
	T_EQ(sum, (int64_t)JOBS * (JOBS + 1) * (2 * JOBS + 1) / 6);
	emptied(jobs);
	emptied(results);
}

static void subscriber(weft_chan *news, int n)
{
	for (int i = 0; i < n; i++)
		T_EQ(get(news), i);
	T_EQ(get(news), WEFT_ECLOSED);
	done();
}

/* Publish and subscribe: each of many subscribers gets all of it, in order. */
LAW(publish_to_subscribers)
{
	enum { SUBSCRIBERS = 20, NEWS = 100 };
	weft_chan *c[SUBSCRIBERS];

	for (int i = 0; i < SUBSCRIBERS; i++) {
		c[i] = ints((size_t)i % 4);
		hire(subscriber, c[i], NEWS);
	}
	for (int n = 0; n < NEWS; n++) {
		for (int i = 0; i < SUBSCRIBERS; i++)
			T_EQ(give(c[i], n), 0);
	}
	for (int i = 0; i < SUBSCRIBERS; i++)
		T_EQ(weft_chan_close(c[i]), 0);
	all_done();
	for (int i = 0; i < SUBSCRIBERS; i++)
		emptied(c[i]);
}

static void to_both(weft_chan *in, weft_chan *a, weft_chan *b)
{
	int v;

	while ((v = get(in)) >= 0) {
		weft_chan *to_a = a, *to_b = b;

		for (int i = 0; i < 2; i++) { /* whoever is ready first; then the other */
			weft_case cases[] = {WEFT_SEND(to_a, &v), WEFT_SEND(to_b, &v)};

			switch (weft_chan_select(cases, 2)) {
			case 0:
				to_a = NULL;
				break;
			case 1:
				to_b = NULL;
				break;
			default:
				T_FAIL("no case");
			}
		}
	}
	T_EQ(weft_chan_close(a), 0);
	T_EQ(weft_chan_close(b), 0);
	done();
}

/* A tee: both outlets get each element once, in order, whichever is faster. */
LAW(tee_to_two)
{
	enum { N = 200 };
	weft_chan *in = ints(0), *a = ints(0), *b = ints(2);

	hire(to_both, in, a, b);
	hire(counts, in, 0, N, true);
	hire(subscriber, a, N);
	hire(subscriber, b, N);
	all_done();
	emptied(in);
	emptied(a);
	emptied(b);
}

/* --- pipelines that are left --- */

static void generator(weft_chan *out, weft_chan *quit)
{
	for (int i = 0;; i++) {
		weft_case cases[] = {WEFT_SEND(out, &i), WEFT_RECV(quit, NULL)};

		if (weft_chan_select(cases, 2) == 1)
			break;
	}
	T_EQ(weft_chan_close(out), 0);
	done();
}

static void stage(weft_chan *in, weft_chan *out, weft_chan *quit)
{
	int v;

	while ((v = get(in)) >= 0) {
		weft_case cases[] = {WEFT_SEND(out, &v), WEFT_RECV(quit, NULL)};

		v++;
		if (weft_chan_select(cases, 2) == 1)
			break;
	}
	T_EQ(weft_chan_close(out), 0);
	done();
}

/* A pipeline whose reader leaves: the close of one channel ends every stage, wherever it waits. */
LAW(pipeline_ends_with_its_reader)
{
	enum { STAGES = 6 };

	for (size_t cap = 0; cap < 3; cap++) {
		for (int taken = 0; taken < 20; taken += 7) {
			weft_chan *c[STAGES + 1], *quit = ints(0);

			for (int i = 0; i <= STAGES; i++)
				c[i] = ints(cap);
			hire(generator, c[0], quit);
			for (int i = 0; i < STAGES; i++)
				hire(stage, c[i], c[i + 1], quit);
			for (int i = 0; i < taken; i++)
				T_EQ(get(c[STAGES]), i + STAGES);
			T_EQ(weft_chan_close(quit), 0);
			all_done();
			for (int i = 0; i <= STAGES; i++)
				weft_chan_free(c[i]); /* there may be something left in them */
			emptied(quit);
		}
	}
}

static void endless_stage(weft_chan *in, weft_chan *out)
{
	for (;;) {
		int v = 0;

		if (in)
			v = get(in);
		if (v < 0 || give(out, v) < 0)
			break;
	}
	done();
}

/* The same by cancelling a context instead of a channel of one's own. */
LAW(pipeline_ends_with_its_context)
{
	enum { STAGES = 6 };
	weft_chan *c[STAGES];
	weft_ctx *x = weft_ctx_make(NULL), *up = weft_ctx_enter(x);

	for (int i = 0; i < STAGES; i++) {
		c[i] = ints((size_t)i % 2);
		hire(endless_stage, i ? c[i - 1] : NULL, c[i]); /* under the context */
	}
	weft_ctx_leave(up);
	for (int i = 0; i < 20; i++)
		T_EQ(get(c[STAGES - 1]), 0);
	T_EQ(weft_ctx_cancel(x, WEFT_REASON_CANCELED), 0);
	all_done();
	weft_ctx_free(x);
	for (int i = 0; i < STAGES; i++)
		weft_chan_free(c[i]);
}

/* --- asking and answering --- */

static void answers(weft_chan *first, int me)
{
	(void)put(first, me); /* the first is taken; there is room for one, so nobody waits */
	done();
}

/* The first of many answers: a channel of capacity 1 keeps it, the others find it full and leave. */
LAW(first_answer_wins)
{
	for (int i = 0; i < 50; i++) {
		weft_chan *first = ints(1);
		int v;

		for (int k = 0; k < 5; k++)
			hire(answers, first, k);
		v = get(first);
		T_OK(v >= 0 && v < 5);
		all_done();
		weft_chan_free(first); /* a later one may have found room again */
	}
}

struct promise {
	weft_chan *ready; /* closed when value is there */
	int64_t value;
};

static void keeps_promise(struct promise *p)
{
	p->value = 0;
	for (int i = 1; i <= 1000; i++)
		p->value += i;
	T_EQ(weft_chan_close(p->ready), 0);
	done();
}

static void relies_on_promise(struct promise *p)
{
	T_EQ(get(p->ready), WEFT_ECLOSED);
	T_EQ(p->value, 500500);
	done();
}

/* A promise: a value, and a channel that is closed when it is there, for any number of readers. */
LAW(promise)
{
	struct promise p = {.ready = ints(0)};

	for (int i = 0; i < 10; i++)
		hire(relies_on_promise, &p);
	hire(keeps_promise, &p);
	for (int i = 0; i < 10; i++)
		hire(relies_on_promise, &p);
	all_done();
	emptied(p.ready);
}

struct server {
	weft_chan *add, *read, *quit;
};

static void serve(struct server *s)
{
	int total = 0, v;

	for (bool up = true; up;) {
		weft_case cases[] = {WEFT_RECV(s->add, &v), WEFT_SEND(s->read, &total), WEFT_RECV(s->quit, NULL)};

		switch (weft_chan_select(cases, 3)) {
		case 0:
			total += v;
			break;
		case 1:
			break;
		default:
			up = false;
		}
	}
	done();
}

static void adds(struct server *s, int n, weft_wg *g)
{
	int last = 0;

	for (int i = 0; i < n; i++) {
		int now;

		T_EQ(give(s->add, 1), 0);
		now = get(s->read);
		T_GT(now, last); /* his own is in it */
		last = now;
	}
	weft_wg_done(g);
	done();
}

/* A server that owns its state, and is asked by channels: writes, reads, and the end in one select. */
LAW(server_owns_its_state)
{
	enum { CLIENTS = 5 };
	struct server s = {ints(0), ints(0), ints(0)};
	int n = (int)tap_iters(500);
	weft_wg g = {0};

	hire(serve, &s);
	weft_wg_add(&g, CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		hire(adds, &s, n, &g);
	T_EQ(weft_wg_wait(&g), 0);
	T_EQ(get(s.read), CLIENTS * n);
	T_EQ(weft_chan_close(s.quit), 0);
	all_done();
	emptied(s.add);
	emptied(s.read);
	emptied(s.quit);
}

static void says_goodbye(weft_chan *quit, weft_chan *work)
{
	int v = 0;

	for (;;) {
		weft_case cases[] = {WEFT_SEND(work, &v), WEFT_RECV(quit, NULL)};

		if (weft_chan_select(cases, 2) == 1)
			break;
		v++;
	}
	T_EQ(give(quit, v), 0); /* on the way back of the same channel */
	done();
}

/* The round trip to quit: asked to stop by a channel, the worker answers by the same when it has stopped. */
LAW(quit_is_answered)
{
	weft_chan *quit = ints(0), *work = ints(0);

	hire(says_goodbye, quit, work);
	for (int i = 0; i < 30; i++)
		T_EQ(get(work), i);
	T_EQ(give(quit, 0), 0);
	T_EQ(get(quit), 30);
	all_done();
	emptied(quit);
	emptied(work);
}

/* --- sharing --- */

struct table {
	weft_chan *fork[5], *room;
	int eaten[5];
};

static void philosopher(struct table *t, int me, int meals)
{
	for (int i = 0; i < meals; i++) {
		T_EQ(give(t->room, 1), 0); /* at most four sit down */
		T_EQ(get(t->fork[me]), 1);
		T_EQ(get(t->fork[(me + 1) % 5]), 1);
		t->eaten[me]++;
		weft_task_yield();
		T_EQ(give(t->fork[(me + 1) % 5], 1), 0);
		T_EQ(give(t->fork[me], 1), 0);
		T_EQ(get(t->room), 1);
	}
	done();
}

/* Dining philosophers: forks are elements, the room a semaphore; all eat. */
LAW(philosophers_eat)
{
	struct table t = {.room = ints(4)};
	int meals = (int)tap_iters(500);

	for (int i = 0; i < 5; i++) {
		t.fork[i] = ints(1);
		T_EQ(put(t.fork[i], 1), 0);
	}
	for (int i = 0; i < 5; i++)
		hire(philosopher, &t, i, meals);
	all_done();
	emptied(t.room);
	for (int i = 0; i < 5; i++) {
		T_EQ(t.eaten[i], meals);
		T_EQ(take(t.fork[i]), 1);
		emptied(t.fork[i]);
	}
}

struct barrier {
	weft_chan *in, *out;
	int phase[6]; /* plain: written before the barrier, read after it */
};

static void walks(struct barrier *b, int me, int phases)
{
	for (int p = 1; p <= phases; p++) {
		b->phase[me] = p;
		T_EQ(give(b->in, me), 0);
		T_GE(get(b->out), 0);
		for (int i = 0; i < 6; i++)
			T_EQ(b->phase[i], p);
		T_EQ(give(b->in, me), 0);
		T_GE(get(b->out), 0);
	}
	done();
}

/* A barrier of two channels: nobody goes on before all have come. */
LAW(barrier)
{
	struct barrier b = {ints(0), ints(0), {0}};
	int phases = (int)tap_iters(100);

	for (int i = 0; i < 6; i++)
		hire(walks, &b, i, phases);
	for (int p = 0; p < 2 * phases; p++) {
		for (int i = 0; i < 6; i++)
			T_GE(get(b.in), 0);
		for (int i = 0; i < 6; i++)
			T_EQ(give(b.out, p), 0);
	}
	all_done();
	emptied(b.in);
	emptied(b.out);
}

/* --- trees --- */

/* Sends from..to in order, as a tree walk would: left, root, right. */
static bool walk(weft_chan *out, weft_chan *quit, int from, int to)
{
	int root = from + (to - from) / 2;
	weft_case cases[] = {WEFT_SEND(out, &root), WEFT_RECV(quit, NULL)};

	if (from > to)
		return true;
	return walk(out, quit, from, root - 1) && weft_chan_select(cases, 2) == 0 && walk(out, quit, root + 1, to);
}

static void walker(weft_chan *out, weft_chan *quit, int from, int to)
{
	(void)walk(out, quit, from, to);
	T_EQ(weft_chan_close(out), 0);
	done();
}

/* Two walkers compared element by element: the same fringe, or the first difference, after which both are told to leave. */
LAW(walkers_are_compared)
{
	for (int differ = 0; differ < 2; differ++) {
		weft_chan *a = ints(0), *b = ints(2), *quit = ints(0);
		int n = 0, va, vb;

		hire(walker, a, quit, 1, 200);
		hire(walker, b, quit, 1, differ ? 150 : 200);
		do {
			va = get(a);
			vb = get(b);
			n += va == vb && va >= 0;
		} while (va == vb && va >= 0);
		T_EQ(n, differ ? 150 : 200);
		T_EQ(vb, WEFT_ECLOSED);
		T_EQ(va, differ ? 151 : WEFT_ECLOSED);
		T_EQ(weft_chan_close(quit), 0);
		all_done();
		emptied(a);
		emptied(b);
		emptied(quit);
	}
}

static void merge_sort(weft_chan *out, const int *v, int n, weft_wg *up)
{
	if (n == 1) {
		T_EQ(give(out, v[0]), 0);
	} else if (n > 1) {
		weft_chan *half[2] = {ints(0), ints(0)};
		int head[2];
		weft_wg g = {0};

		weft_wg_add(&g, 2);
		T_EQ(weft_go(merge_sort, half[0], v, n / 2, &g), 0);
		T_EQ(weft_go(merge_sort, half[1], v + n / 2, n - n / 2, &g), 0);
		for (int i = 0; i < 2; i++)
			head[i] = get(half[i]);
		while (head[0] >= 0 || head[1] >= 0) {
			int i = head[1] < 0 || (head[0] >= 0 && head[0] <= head[1]) ? 0 : 1;

			T_EQ(give(out, head[i]), 0);
			head[i] = get(half[i]);
		}
		T_EQ(weft_wg_wait(&g), 0);
		for (int i = 0; i < 2; i++)
			emptied(half[i]);
	}
	T_EQ(weft_chan_close(out), 0);
	weft_wg_done(up);
}

/* Merge sort as a tree of tasks: what comes out at the root is in order, and all of it. */
LAW(sorting_tree)
{
	enum { N = 300 };
	weft_chan *out = ints(0);
	int v[N], last = -1;
	int64_t sum = 0;
	weft_wg g = {0};

	for (int i = 0; i < N; i++) {
		v[i] = (int)draw(1000);
		sum += v[i];
	}
	weft_wg_add(&g, 1);
	T_EQ(weft_go(merge_sort, out, v, N, &g), 0);
	for (int i = 0; i < N; i++) {
		int x = get(out);

		T_LE(last, x);
		last = x;
		sum -= x;
	}
	T_EQ(sum, 0);
	T_EQ(get(out), WEFT_ECLOSED);
	T_EQ(weft_wg_wait(&g), 0);
	emptied(out);
}
