/* SPDX-License-Identifier: MIT
 *
 * net.c - connections under stress: rough clients, thousands that come and go, a worker that is stuck while its connections go on, and tasks that do
 * everything to each other's connections at random.
 */
#include "net.h"

#include "base/rand.h"
#include <pthread.h>

/* --- rough clients --- */

static void serve_rough(weft_tcp *c, ATOMIC(long) *served)
{
	char buf[512];
	ssize_t n;

	while ((n = weft_tcp_read(c, buf, sizeof buf)) > 0 && weft_tcp_write(c, buf, (size_t)n, NULL) > 0)
		;
	weft_tcp_close(c);
	add_relaxed(served, 1);
}

struct rough {
	weft_tcp_listener *l;
	ATOMIC(long) accepted, served;
};

static int accepts_rough(void *arg)
{
	struct rough *k = arg;
	weft_tcp *c;
	int rc;

	while ((rc = weft_tcp_accept(k->l, &c)) == 0) {
		add_relaxed(&k->accepted, 1);
		T_EQ(weft_go(serve_rough, c, &k->served), 0);
	}
	weft_tcp_listener_close(k->l);
	return rc;
}

/* Reads some of what comes back, or nothing. */
static void rough_client(struct rough *k, struct rng *r)
{
	static char garbage[3000];
	int fd = raw_dial(k->l);

	if (rng_below(r, 4))
		T_GT(send(fd, garbage, 1 + rng_below(r, sizeof garbage), MSG_NOSIGNAL), 0);
	if (rng_below(r, 3) == 0)
		recv(fd, garbage, sizeof garbage, MSG_DONTWAIT);
	if (rng_below(r, 4) == 0)
		shutdown(fd, rng_below(r, 2) ? SHUT_WR : SHUT_RDWR);
	if (rng_below(r, 2))
		raw_reset(fd);
	else
		close(fd);
}

static int rough_main(void *arg)
{
	static struct rough k;
	long n = tap_iters(3000);
	struct rng r;
	weft_task *t;

	(void)arg;
	memset(&k, 0, sizeof k);
	rng_seed(&r, 11, 0);
	k.l = listen_at("127.0.0.1:0", NULL);
	weft_tcp_listener_ref(k.l);
	t = start(accepts_rough, &k);
	for (long i = 0; i < n; i++) {
		rough_client(&k, &r);
		if (i % 8 == 0)
			let_run();
		until(load_relaxed(&k.accepted) - load_relaxed(&k.served) < 200); /* descriptors are not without end */
	}
	{ /* a polite one is served as ever */
		int raw = raw_dial(k.l);
		char x = 0;

		T_EQ(write(raw, "p", 1), 1);
		until(holds(raw, POLLIN));
		T_EQ(read(raw, &x, 1), 1);
		T_EQ(x, 'p');
		close(raw);
	}
	until(load_relaxed(&k.served) == load_relaxed(&k.accepted) && !holds(number_of(k.l), POLLIN));
	T_EQ(weft_tcp_listener_close(k.l), 0);
	T_EQ(finish(t), WEFT_ECLOSED);
	until(load_relaxed(&k.served) == load_relaxed(&k.accepted));
	return 0;
}

/* Clients that send garbage, read nothing and cut the line leave nothing behind. */
TEST_WORKERS(rough_clients)
{
	run_net(rough_main, NULL);
}

static int connects_main(void *arg)
{
	static struct rough k;
	long n = tap_iters(10000);
	char at[WEFT_ADDR_TEXT];
	weft_task *t;

	(void)arg;
	memset(&k, 0, sizeof k);
	snprintf(at, sizeof at, "%s:0", own_host()); /* ports of its own: what lingers does not matter to others */
	k.l = listen_at(at, at);
	weft_tcp_listener_ref(k.l);
	t = start(accepts_rough, &k);
	for (long i = 0; i < n; i++) {
		weft_tcp *c = dial_to(at);

		if (i % 2)
			T_EQ(setsockopt(number_of(c), SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)), 0);
		T_EQ(weft_tcp_close(c), 0);
	}
	until(load_relaxed(&k.served) == load_relaxed(&k.accepted) && !holds(number_of(k.l), POLLIN));
	T_EQ(weft_tcp_listener_close(k.l), 0);
	T_EQ(finish(t), WEFT_ECLOSED);
	until(load_relaxed(&k.served) == load_relaxed(&k.accepted));
	return 0;
}

/* 10,000 connections are made and closed: nothing is left. */
TEST_WORKERS(connects_and_closes)
{
	tap_limit(60);
	run_net(connects_main, NULL);
}

/* --- a stuck worker --- */

enum { LINKS = 64, REPLIES = 10000 };

struct stuck {
	char at[WEFT_ADDR_TEXT];
	ATOMIC(int) flag, spinning, busy_stop;
	ATOMIC(long) replies;
	long want;
};

struct link {
	struct stuck *s;
	ATOMIC(weft_tcp *) c; /* asks' */
	weft_tcp *peer;
	int worker; /* where its ends are watched, from 1 */
};

static int answers(void *arg)
{
	struct link *k = arg;
	char buf[64];
	ssize_t n;

	while ((n = weft_tcp_read(k->peer, buf, sizeof buf)) > 0)
		write_all(k->peer, buf, (size_t)n);
	T_EQ(n, 0);
	T_EQ(weft_tcp_shutdown(k->peer, SHUT_WR), 0);
	return 0;
}

static int asks(void *arg)
{
	struct link *k = arg;
	struct stuck *s = k->s;
	char buf[8];
	weft_tcp *c = dial_to(s->at); /* waits: the connection is this worker's from here on */

	store_release(&k->c, c); /* pairs with load_acquire in stuck_main */
	T_EQ(weft_tcp_read(c, buf, 1), 1);
	while (load_relaxed(&s->replies) < s->want) {
		write_all(c, "question", 8);
		read_all(c, buf, 8);
		T_EQ(memcmp(buf, "question", 8), 0);
		if (add_acq_rel(&s->replies, 1) + 1 >= s->want)
			store_release(&s->flag, 1);
	}
	T_EQ(weft_tcp_shutdown(c, SHUT_WR), 0);
	T_EQ(weft_tcp_read(c, buf, 1), 0);
	return 0;
}

/* Spins without a look at anything of weft's. */
static int spins(void *arg)
{
	struct stuck *s = arg;

	store_release(&s->spinning, 1);
	while (!load_acquire(&s->flag))
		cpu_relax();
	return 0;
}

static int busy(void *arg)
{
	struct stuck *s = arg;

	while (!load_acquire(&s->busy_stop))
		weft_task_yield();
	return 0;
}

static weft_task *start_on(int worker, weft_task_fn *fn, void *arg)
{
	weft_task *t;

	T_EQ(weft_go_opts(&t, fn, arg, &(weft_task_opts){.worker = worker}), 0);
	return t;
}

/* The loop that watches a connection. */
static struct loop *home_of(weft_tcp *c)
{
	struct polldesc *pd = &record_of(c)->poll;
	struct loop *l;

	lock_take_solo(&pd->lock, RANK_DESC);
	l = pd->home;
	lock_drop_solo(&pd->lock);
	return l;
}

static int stuck_main(void *arg)
{
	static struct stuck s;
	static struct link k[LINKS];
	int n = (int)weft__rt->n, homes[8] = {0};
	weft_task *t[2][LINKS], *sp, *b = NULL;
	weft_tcp_listener *l;

	memset(&s, 0, sizeof s);
	l = listen_at("127.0.0.1:0", s.at);
	s.want = tap_iters(REPLIES);
	for (int i = 0; i < LINKS; i++) {
		k[i] = (struct link){.s = &s, .worker = 1 + i % n};
		t[0][i] = start_on(k[i].worker, asks, &k[i]);
		until(load_acquire(&k[i].c));
		k[i].peer = accept_from(l);
		while (!is_peer(load_acquire(&k[i].c), k[i].peer)) { /* of one who has dialled another program's port */
			T_EQ(weft_tcp_close(k[i].peer), 0);
			k[i].peer = accept_from(l);
		}
		t[1][i] = start_on(k[i].worker, answers, &k[i]);
	}
	for (int i = 0; i < LINKS; i++) {
		until_reason(t[0][i], "read");
		until_reason(t[1][i], "read");
		for (int w = 0; w < n; w++) /* where they were placed, unless that worker did not get a core for a while */
			homes[w] += (home_of(k[i].peer) == weft__rt->workers[w].loop) +
				    (home_of(load_acquire(&k[i].c)) == weft__rt->workers[w].loop);
	}
	T_GT(homes[n - 1], 0); /* of the one that will be stuck */
	T_GT(2 * LINKS - homes[n - 1], 0);
	if (arg) /* the others are never out of work */
		b = start_on(1, busy, &s);
	sp = start_on(n, spins, &s);
	until(load_acquire(&s.spinning));
	for (int i = 0; i < LINKS; i++)
		T_EQ(send(number_of(k[i].peer), "!", 1, MSG_NOSIGNAL), 1);
	T_EQ(finish(sp), 0);
	T_GE(load_relaxed(&s.replies), s.want);
	store_release(&s.busy_stop, 1);
	if (b)
		finish(b);
	for (int i = 0; i < LINKS; i++) {
		T_EQ(finish(t[0][i]), 0);
		T_EQ(finish(t[1][i]), 0);
		T_EQ(weft_tcp_close(load_acquire(&k[i].c)), 0);
		T_EQ(weft_tcp_close(k[i].peer), 0);
	}
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* One of two workers is stuck in a task: its connections and the other's go on, thousands of replies, before the last of them lets it go on. */
TEST(one_of_two_is_stuck)
{
	tap_limit(60);
	T_EQ(run_net_with(stuck_main, NULL, (weft_opts){.workers = 2}), 0);
}

/* One of eight. */
TEST(one_of_eight_is_stuck)
{
	tap_limit(60);
	T_EQ(run_net_with(stuck_main, NULL, (weft_opts){.workers = 8}), 0);
}

/* The other worker is never out of work. */
TEST(one_is_stuck_the_other_busy)
{
	tap_limit(60);
	T_EQ(run_net_with(stuck_main, (void *)1, (weft_opts){.workers = 2}), 0);
}

enum { ALARMS = 300 };

static int rings(void *arg)
{
	struct stuck *s = arg;

	weft_task_sleep(200 * US);
	store_release(&s->flag, 1);
	return 0;
}

/* On one worker, again and again: a task sleeps, and another stands on the worker until the sleeper has woken. */
static int waits_for_alarms(void *arg)
{
	struct stuck *s = arg;

	for (int i = tap_iters(ALARMS); i > 0; i--) {
		weft_task *t;

		store_release(&s->flag, 0);
		t = start_on(2, rings, s);
		until(strcmp(weft_task_reason(t), "sleep") == 0 || load_acquire(&s->flag)); /* on a slow machine it has woken already */
		T_EQ(finish(start_on(2, spins, s)), 0);
		T_EQ(finish(t), 0);
	}
	return 0;
}

static int alarms_main(void *arg)
{
	static struct stuck s;
	weft_tcp_listener *l;
	weft_tcp *c, *peer;
	weft_task *t;
	char buf[1];

	(void)arg;
	memset(&s, 0, sizeof s);
	l = listen_at("127.0.0.1:0", s.at);
	c = dial_to(s.at);
	peer = accept_from(l);
	t = start_on(2, waits_for_alarms, &s);
	T_EQ(weft_tcp_read_until(peer, buf, 1, weft_now() + 2 * MS), WEFT_ETIMEDOUT); /* this worker has something to watch */
	T_EQ(finish(t), 0);
	T_EQ(weft_tcp_close(c), 0);
	T_EQ(weft_tcp_close(peer), 0);
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* The other worker, which only searches, lets the timers of the one that is stuck fire, and runs what they wake, whatever its own loop wants just then. */
TEST(timers_of_the_stuck)
{
	tap_limit(60);
	T_EQ(run_net_with(alarms_main, NULL, (weft_opts){.workers = 2}), 0);
}

/* --- everything at random --- */

enum { ACTORS = 16, THREADS = 2, SLOTS = 8, OPS = 3000 };

struct stage {
	weft_tcp_listener *l;
	char at[WEFT_ADDR_TEXT], nowhere[WEFT_ADDR_TEXT];
	uint64_t seed;
	struct slot {
		ATOMIC(int) held;
		weft_tcp *c; /* one reference of the slot's; while held */
	} slots[SLOTS];
	struct actor {
		struct stage *st;
		int id;
		bool task; /* not a thread */
		ATOMIC(int) held;
		weft_ctx *scope; /* what it runs under; while held */
		struct rng r;
		long done[16]; /* by kind, for the notes */
	} actors[ACTORS + THREADS];
	ATOMIC(int) acting, serving;
	long ops;
};

/* A lock for a few instructions, which no cancel ends. */
static void hold(ATOMIC(int) *held)
{
	until(swap_acq_rel(held, 1) == 0);
}

static void let_go(ATOMIC(int) *held)
{
	store_release(held, 0);
}

static void serve_at_random(struct stage *st, weft_tcp *c, uint64_t seed)
{
	char buf[4096];
	struct rng r;
	ssize_t n;

	rng_seed(&r, seed, 99);
	while ((n = weft_tcp_read(c, buf, 1 + rng_below(&r, sizeof buf))) > 0) {
		if (rng_below(&r, 100) == 0)
			T_EQ(setsockopt(number_of(c), SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)), 0);
		if (rng_below(&r, 50) == 0)
			break;
		if (rng_below(&r, 3) && weft_tcp_write_until(c, buf, (size_t)n, NULL, weft_in(WEFT_MS)) < 0)
			break;
	}
	weft_tcp_close(c);
	add_acq_rel(&st->serving, -1);
}

static int accepts_at_random(void *arg)
{
	struct stage *st = arg;
	uint64_t seed = st->seed;
	weft_tcp *c;
	int rc;

	while ((rc = weft_tcp_accept(st->l, &c)) == 0) {
		add_relaxed(&st->serving, 1);
		T_EQ(weft_go(serve_at_random, st, c, seed++), 0);
	}
	return rc;
}

/* Errors that the others' doings may bring about. */
static bool expected(ssize_t rc)
{
	switch (rc) {
	case WEFT_ECLOSED:
	case WEFT_ETIMEDOUT:
	case WEFT_ECANCELED:
	case WEFT_EAGAIN:
	case WEFT_EPIPE:
	case WEFT_ECONNRESET:
	case WEFT_ECONNREFUSED:
	case WEFT_ENOTCONN:
		return true;
	default:
		return rc >= 0;
	}
}

static int64_t some_deadline(struct actor *a)
{
	switch (rng_below(&a->r, 6)) {
	case 0:
		return WEFT_NOW;
	case 1:
		return weft_now() - 1;
	case 2:
		return a->task ? WEFT_FOREVER : weft_in(WEFT_MS);
	default:
		return weft_in((int64_t)rng_below(&a->r, 300) * WEFT_US);
	}
}

/* The connection in some slot, with a reference; dials one if there is none. NULL: could not. */
static weft_tcp *some_connection(struct actor *a, struct slot **where)
{
	struct slot *s = *where = &a->st->slots[rng_below(&a->r, SLOTS)];
	weft_tcp *c, *extra = NULL;
	int rc;

	hold(&s->held);
	c = s->c ? weft_tcp_ref(s->c) : NULL;
	let_go(&s->held);
	if (c)
		return c;
	rc = weft_tcp_dial_until(&c, rng_below(&a->r, 20) ? a->st->at : a->st->nowhere, weft_in(5 * WEFT_SEC));
	T_OK(expected(rc));
	if (rc)
		return NULL;
	hold(&s->held);
	if (!s->c) {
		s->c = weft_tcp_ref(c);
	} else { /* somebody was faster */
		extra = c;
		c = weft_tcp_ref(s->c);
	}
	let_go(&s->held);
	weft_tcp_close(extra);
	return c;
}

/* Gives up c; it is closed thereby, and leaves its slot. */
static void leave(struct slot *s, weft_tcp *c)
{
	weft_tcp *was = NULL;

	hold(&s->held);
	if (s->c == c) {
		was = c;
		s->c = NULL;
	}
	let_go(&s->held);
	weft_tcp_close(was);
	weft_tcp_close(c);
}

static void cancel_scope(struct actor *a)
{
	hold(&a->held);
	if (a->scope)
		weft_ctx_cancel(a->scope, WEFT_REASON_CANCELED);
	let_go(&a->held);
}

static ssize_t one_thing(struct actor *a, weft_tcp *c, char *buf, size_t size)
{
	struct iovec v[2] = {{buf, size / 3}, {buf + size / 3, rng_below(&a->r, (uint32_t)(size - size / 3))}};
	uint32_t what = rng_below(&a->r, 40);
	size_t n = 1 + rng_below(&a->r, rng_below(&a->r, 8) ? 500 : (uint32_t)size - 1), done;
	weft_addr addr;
	ssize_t rc;

	a->done[what / 4]++;
	switch (what) {
	case 8:
	case 9:
		return weft_tcp_readv_until(c, v, 2, some_deadline(a));
	case 10:
	case 11:
	case 12:
	case 13:
	case 14:
	case 15:
		rc = weft_tcp_write_until(c, buf, n, &done, some_deadline(a));
		T_OK(rc < 0 ? done <= n : done == n);
		return rc;
	case 20:
	case 21:
		return weft_tcp_writev_until(c, v, 2, &done, some_deadline(a));
	case 23:
	case 24:
	case 25:
		return weft_tcp_set_deadline(c, weft_in((int64_t)rng_below(&a->r, 500) * WEFT_US),
					     weft_in((int64_t)rng_below(&a->r, 500) * WEFT_US));
	case 27:
		return weft_tcp_set_deadline(c, WEFT_FOREVER, WEFT_FOREVER);
	case 29:
		return weft_tcp_set_deadline(c, weft_now(), weft_now());
	case 30:
		return weft_tcp_local(c, &addr);
	case 31:
		return weft_tcp_peer(c, &addr);
	case 32:
		return weft_tcp_nodelay(c, rng_below(&a->r, 2));
	case 33:
		return rng_below(&a->r, 10) ? 0 : weft_tcp_shutdown(c, (int)rng_below(&a->r, 3));
	case 34:
	case 35:
		cancel_scope(&a->st->actors[rng_below(&a->r, ACTORS)]);
		return 0;
	case 36:
		return a->task ? weft_task_sleep(10 * WEFT_US) : 0;
	case 37:
	case 38:
		let_run();
		return 0;
	default:
		return weft_tcp_read_until(c, buf, n, some_deadline(a));
	}
}

/* The old scope is over, a new one begins: what others cancel is always the present one. */
static void renew_scope(struct actor *a, weft_ctx *next)
{
	weft_ctx *old;

	hold(&a->held);
	old = a->scope;
	a->scope = next;
	let_go(&a->held);
	weft_ctx_free(old);
}

static void act(struct actor *a)
{
	struct stage *st = a->st;
	weft_ctx *up = NULL;
	char buf[20000];

	memset(buf, 0, sizeof buf);
	for (long i = 0; i < st->ops;) {
		struct slot *s;
		weft_tcp *c;

		if (a->task) {
			weft_ctx *scope = rng_below(&a->r, 3) ? weft_ctx_make(NULL) : weft_ctx_with_deadline(NULL, weft_in(3 * WEFT_MS));

			T_NE(scope, NULL);
			renew_scope(a, scope);
			up = weft_ctx_enter(scope);
		}
		i++;
		c = some_connection(a, &s);
		for (int left = c ? 1 + (int)rng_below(&a->r, 40) : 0; left > 0; left--) {
			ssize_t rc = one_thing(a, c, buf, sizeof buf);

			i++;
			if (!expected(rc))
				T_FAIL("%zd", rc);
			if (rc == WEFT_ECLOSED || rc == WEFT_ECANCELED)
				break;
		}
		if (c)
			leave(s, c);
		if (a->task)
			weft_ctx_leave(up);
	}
	if (a->task)
		renew_scope(a, NULL);
	add_acq_rel(&st->acting, -1);
}

static int acts_as_task(void *arg)
{
	act(arg);
	return 0;
}

static void *acts_as_thread(void *arg)
{
	act(arg);
	return NULL;
}

static int random_main(void *arg)
{
	struct stage *st = arg;
	weft_task *t[ACTORS], *acceptor;
	pthread_t th[THREADS];
	weft_tcp_listener *none;
	unsigned next = 0;

	st->ops = tap_iters(OPS);
	st->l = listen_at("127.0.0.1:0", st->at);
	snprintf(st->nowhere, sizeof st->nowhere, "%s:0", own_host());
	none = listen_at(st->nowhere, st->nowhere);
	T_EQ(weft_tcp_listener_close(none), 0);
	acceptor = start(accepts_at_random, st);
	store_relaxed(&st->acting, ACTORS + THREADS);
	for (int i = 0; i < ACTORS + THREADS; i++) {
		st->actors[i] = (struct actor){.st = st, .id = i, .task = i < ACTORS};
		rng_seed(&st->actors[i].r, st->seed, (uint64_t)i);
	}
	for (int i = 0; i < ACTORS; i++)
		t[i] = start(acts_as_task, &st->actors[i]);
	for (int i = 0; i < THREADS; i++)
		T_EQ(pthread_create(&th[i], NULL, acts_as_thread, &st->actors[ACTORS + i]), 0);
	while (load_acquire(&st->acting) > 0) { /* who waits for ever, with nobody left to close or cancel, is called off */
		T_EQ(weft_task_sleep(WEFT_MS), 0);
		cancel_scope(&st->actors[next++ % ACTORS]);
	}
	for (int i = 0; i < ACTORS; i++)
		T_EQ(finish(t[i]), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	for (int i = 0; i < SLOTS; i++)
		weft_tcp_close(st->slots[i].c);
	until(!holds(number_of(st->l), POLLIN));
	T_EQ(weft_tcp_listener_close(st->l), 0);
	T_EQ(finish(acceptor), WEFT_ECLOSED);
	until(load_acquire(&st->serving) == 0);
	return 0;
}

/* Tasks and threads dial, read, write, move deadlines, and cancel each other and close each other's connections, at random: all ends, and nothing is left. */
TEST_WORKERS(everything_at_random)
{
	static struct stage st;
	const char *seed = getenv("WEFT_SEED");

	tap_limit(60);
	st.seed = seed ? strtoull(seed, NULL, 0) : (uint64_t)weft_now();
	tap_note("WEFT_SEED=%llu", (unsigned long long)st.seed);
	run_net(random_main, &st);
}
