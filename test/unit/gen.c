/* SPDX-License-Identifier: MIT
 *
 * gen.c - generators: they run only when asked, hand out every value once, and end however they are ended.
 */
#include "rt.h"

#include "failpoint.h"
#include "weft/defer.h"
#include "weft/gen.h"
#include "weft/scope.h"
#include <pthread.h>

struct counting {
	int from, to, result;
	ATOMIC(int) begun; /* how many values it has begun to make */
	ATOMIC(int) over;  /* fn has returned */
};

static int counts(void *arg)
{
	struct counting *c = arg;
	int rc = 0;

	for (int i = c->from; i < c->to && !rc; i++) {
		add_relaxed(&c->begun, 1);
		rc = weft_gen_yield(&i);
	}
	store_release(&c->over, 1);
	return rc ? rc : c->result;
}

static weft_gen *make(struct counting *c)
{
	weft_gen *g = NULL;

	T_EQ(weft_gen_make(&g, sizeof(int), counts, c), 0);
	return g;
}

static int next_of(weft_gen *g)
{
	int v = -1;

	T_EQ(weft_gen_next(g, &v), 0);
	return v;
}

/* --- one after the other --- */

static int values_main(void *arg)
{
	struct counting c = {.from = 10, .to = 13};
	weft_gen *g = make(&c);
	int v = -7;

	(void)arg;
	for (int i = 0; i < 20; i++)
		weft_task_yield();
	T_EQ(load_relaxed(&c.begun), 0); /* nobody has asked */
	for (int i = 10; i < 13; i++) {
		T_EQ(next_of(g), i);
		for (int k = 0; k < 5; k++)
			weft_task_yield();
		T_EQ(load_relaxed(&c.begun), i - 9); /* and no further than asked */
	}
	T_EQ(load_acquire(&c.over), 0);
	T_EQ(weft_gen_next(g, &v), WEFT_ECLOSED);
	T_EQ(load_acquire(&c.over), 1);
	T_EQ(weft_gen_next(g, &v), WEFT_ECLOSED); /* from then on */
	T_EQ(weft_gen_next_until(g, &v, WEFT_NOW), WEFT_ECLOSED);
	T_EQ(v, -7);
	weft_gen_free(g);
	return 0;
}

TEST_WORKERS(values)
{
	run(values_main, NULL);
}

static int ends_main(void *arg)
{
	struct counting c = {.to = 1, .result = -123456}, d = {.result = 7};
	weft_gen *g = make(&c);

	(void)arg;
	T_EQ(weft_gen_next(g, NULL), 0); /* not wanted */
	T_EQ(weft_gen_next(g, NULL), -123456);
	T_EQ(weft_gen_next(g, NULL), -123456);
	weft_gen_free(g);
	g = make(&d); /* no value at all */
	T_EQ(weft_gen_next(g, NULL), WEFT_ECLOSED);
	weft_gen_free(g);
	return 0;
}

TEST_WORKERS(ends_with_what_it_returned)
{
	run(ends_main, NULL);
}

static int exits(void *arg)
{
	int v = 1;

	(void)arg;
	T_EQ(weft_gen_yield(&v), 0);
	weft_task_exit(3);
}

static int exit_main(void *arg)
{
	weft_gen *g = NULL;

	(void)arg;
	T_EQ(weft_gen_make(&g, sizeof(int), exits, NULL), 0);
	T_EQ(next_of(g), 1);
	T_EQ(weft_gen_next(g, NULL), WEFT_ECLOSED);
	weft_gen_free(g);
	return 0;
}

TEST_WORKERS(ends_by_exit)
{
	run(exit_main, NULL);
}

static ATOMIC(int) on_its_way;

static int panics(void *arg)
{
	int v = 1;

	(void)arg;
	T_EQ(weft_gen_yield(&v), 0);
	store_release(&on_its_way, 1);
	weft_task_panic("on purpose");
}

static int panic_main(void *arg)
{
	weft_gen *g = NULL;

	T_EQ(weft_gen_make(&g, sizeof(int), panics, NULL), 0);
	T_EQ(next_of(g), 1);
	if (arg) {
		T_EQ(weft_gen_next_until(g, NULL, WEFT_NOW), WEFT_EAGAIN); /* asked for the next, not told */
		until(load_acquire(&on_its_way));                          /* to its panic, whatever is first: the free, or that */
	} else {
		T_EQ(weft_gen_next(g, NULL), WEFT_EPANIC);
		T_EQ(weft_gen_next(g, NULL), WEFT_EPANIC);
	}
	weft_gen_free(g);
	return 0;
}

TEST_WORKERS(ends_by_panic)
{
	run(panic_main, NULL);
}

TEST_DIES(panic_that_nobody_is_told_of, "panicked")
{
	int yes;

	run(panic_main, &yes);
}

static int arguments_main(void *arg)
{
	struct counting c = {.to = 3};
	weft_gen *g = make(&c);
	int v = 0;

	(void)arg;
	weft_gen_free(g); /* never asked: fn never runs */
	T_EQ(load_relaxed(&c.begun), 0);
	T_EQ(load_relaxed(&c.over), 0);
	T_EQ(weft_gen_make(NULL, 4, counts, &c), WEFT_EINVAL);
	g = (weft_gen *)&c;
	T_EQ(weft_gen_make(&g, 4, NULL, &c), WEFT_EINVAL);
	T_EQ(g, NULL);
	T_EQ(weft_gen_make(&g, 65536, counts, &c), WEFT_EINVAL);
	T_EQ(weft_gen_next(NULL, &v), WEFT_EINVAL);
	T_EQ(weft_gen_yield(&v), WEFT_EINVAL); /* no generator */
	weft_gen_free(NULL);
	return 0;
}

TEST_WORKERS(arguments)
{
	run(arguments_main, NULL);
}

TEST(needs_a_runtime)
{
	struct counting c = {.to = 3};
	weft_gen *g = (weft_gen *)&c;

	T_EQ(weft_gen_make(&g, sizeof(int), counts, &c), WEFT_ESRCH);
	T_EQ(g, NULL);
	T_EQ(weft_gen_yield(&c), WEFT_EINVAL);
}

static int foreach_main(void *arg)
{
	struct counting c = {.to = 10}, d = {.to = 10};
	weft_gen *g = make(&c);
	int sum = 0;

	(void)arg;
	WEFT_GEN_FOREACH(g, int, v)
	{
		if (v == 2)
			continue;
		sum += v;
	}
	T_EQ(sum, 43);
	T_EQ(weft_gen_next(g, NULL), WEFT_ECLOSED);
	weft_gen_free(g);
	g = make(&d);
	WEFT_GEN_FOREACH(g, int, v)
	if (v == 4)
		break;
	T_EQ(next_of(g), 5);
	weft_gen_free(g);
	T_EQ(load_acquire(&d.over), 1); /* stopped, and has ended */
	return 0;
}

TEST_WORKERS(foreach)
{
	run(foreach_main, NULL);
}

static int yields_nothing(void *arg)
{
	for (int i = 0; i < *(int *)arg; i++)
		T_EQ(weft_gen_yield(NULL), 0);
	return 0;
}

static int empty_main(void *arg)
{
	weft_gen *g = NULL;
	int n = 3;

	(void)arg;
	T_EQ(weft_gen_make(&g, 0, yields_nothing, &n), 0);
	for (int i = 0; i < n; i++)
		T_EQ(weft_gen_next(g, NULL), 0);
	T_EQ(weft_gen_next(g, NULL), WEFT_ECLOSED);
	weft_gen_free(g);
	return 0;
}

TEST_WORKERS(values_without_bytes)
{
	run(empty_main, NULL);
}

/* --- generators of generators --- */

static int sieve(void *arg)
{
	int depth = *(int *)arg, below = depth - 1, prime, v, rc = 0;
	weft_gen *g = NULL;

	if (!depth) {
		for (v = 2; !rc; v++)
			rc = weft_gen_yield(&v);
		return rc;
	}
	T_EQ(weft_gen_make(&g, sizeof(int), sieve, &below), 0);
	prime = next_of(g);
	while (!rc) {
		rc = weft_gen_next(g, &v);
		if (!rc && v % prime)
			rc = weft_gen_yield(&v);
	}
	weft_gen_free(g); /* which blocks, though this one is cancelled */
	return rc;
}

static int nested_main(void *arg)
{
	int depth = 9;
	weft_gen *g = NULL;

	(void)arg;
	T_EQ(weft_gen_make(&g, sizeof(int), sieve, &depth), 0);
	T_EQ(next_of(g), 29); /* the tenth prime */
	T_EQ(next_of(g), 31);
	weft_gen_free(g);
	return 0;
}

TEST_WORKERS(of_generators)
{
	run(nested_main, NULL);
}

static int asks_itself(void *arg)
{
	int rc = weft_gen_next(*(weft_gen **)arg, NULL);

	T_EQ(rc, WEFT_EDEADLK);
	return rc;
}

static int itself_main(void *arg)
{
	weft_gen *g = NULL;

	(void)arg;
	T_EQ(weft_gen_make(&g, sizeof(int), asks_itself, &g), 0);
	T_EQ(weft_gen_next(g, NULL), WEFT_EDEADLK);
	weft_gen_free(g);
	return 0;
}

TEST_WORKERS(may_not_ask_itself)
{
	run(itself_main, NULL);
}

/* --- who waits, and stops waiting --- */

struct slow {
	weft_chan *c;
	ATOMIC(int) ended;
};

/* Yields what comes through a channel. */
static int from_channel(void *arg)
{
	struct slow *s = arg;
	int v, rc = 0;

	while (!rc) {
		rc = weft_chan_recv(s->c, &v);
		if (!rc)
			rc = weft_gen_yield(&v);
	}
	store_release(&s->ended, rc);
	return rc;
}

struct taking {
	weft_gen *g;
	int64_t deadline;
	int got;
};

static int takes(void *arg)
{
	struct taking *t = arg;

	t->got = -1;
	return weft_gen_next_until(t->g, &t->got, t->deadline);
}

static void give(weft_chan *c, int v)
{
	T_EQ(weft_chan_send(c, &v), 0);
}

static int waiting_main(void *arg)
{
	struct slow s = {.c = weft_chan_make(sizeof(int), 4)};
	struct taking k[3];
	weft_task *t[3];
	int v = -1;

	(void)arg;
	T_EQ(weft_gen_make(&k[0].g, sizeof(int), from_channel, &s), 0);
	k[1].g = k[2].g = k[0].g;
	for (int i = 0; i < 3; i++)
		k[i].deadline = WEFT_FOREVER;

	t[0] = start(takes, &k[0]); /* woken */
	until_reason(t[0], "generator");
	give(s.c, 1);
	T_EQ(finish(t[0]), 0);
	T_EQ(k[0].got, 1);

	for (int i = 0; i < 3; i++) { /* several: in the order they came */
		t[i] = start(takes, &k[i]);
		until_reason(t[i], "generator");
	}
	for (int i = 0; i < 3; i++)
		give(s.c, 10 + i);
	for (int i = 0; i < 3; i++) {
		T_EQ(finish(t[i]), 0);
		T_EQ(k[i].got, 10 + i);
	}

	t[0] = start(takes, &k[0]); /* cancelled: the value is not lost */
	until_reason(t[0], "generator");
	T_EQ(weft_task_cancel(t[0]), 0);
	T_EQ(finish(t[0]), WEFT_ECANCELED);
	T_EQ(k[0].got, -1);
	give(s.c, 20);
	T_EQ(weft_gen_next(k[0].g, &v), 0);
	T_EQ(v, 20);

	T_EQ(weft_gen_next_until(k[0].g, &v, weft_in(WEFT_MS)), WEFT_ETIMEDOUT); /* nor after a deadline */
	T_EQ(v, 20);
	give(s.c, 21);
	T_EQ(weft_gen_next(k[0].g, &v), 0);
	T_EQ(v, 21);

	T_EQ(weft_gen_next_until(k[0].g, &v, WEFT_NOW), WEFT_EAGAIN); /* which asks all the same */
	T_EQ(v, 21);
	give(s.c, 22);
	until(weft_gen_next_until(k[0].g, &v, WEFT_NOW) == 0);
	T_EQ(v, 22);

	give(s.c, 23); /* a value that nobody fetches is dropped */
	T_EQ(weft_gen_next_until(k[0].g, &v, WEFT_NOW), WEFT_EAGAIN);
	until(weft_chan_len(s.c) == 0);
	weft_gen_free(k[0].g);
	T_EQ(load_acquire(&s.ended), WEFT_ECANCELED);
	weft_chan_free(s.c);
	return 0;
}

TEST_WORKERS(waiting)
{
	run(waiting_main, NULL);
}

static int ended_main(void *arg)
{
	struct slow s = {.c = weft_chan_make(sizeof(int), 4)};
	struct taking k = {.deadline = WEFT_FOREVER};
	weft_task *t;

	(void)arg;
	T_EQ(weft_gen_make(&k.g, sizeof(int), from_channel, &s), 0);
	t = start(takes, &k);
	until_reason(t, "generator");
	T_EQ(weft_chan_close(s.c), 0); /* the generator ends while somebody waits */
	T_EQ(finish(t), WEFT_ECLOSED);
	weft_gen_free(k.g);
	T_EQ(weft_gen_make(&k.g, sizeof(int), from_channel, &s), 0);
	weft_chan_free(s.c);
	weft_gen_free(k.g);
	return 0;
}

TEST_WORKERS(ended_during)
{
	run(ended_main, NULL);
}

static int stopped_main(void *arg)
{
	struct slow s = {.c = weft_chan_make(sizeof(int), 0)};
	weft_gen *g = NULL;

	(void)arg;
	T_EQ(weft_gen_make(&g, sizeof(int), from_channel, &s), 0);
	T_EQ(weft_gen_next_until(g, NULL, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	weft_gen_free(g); /* it waits for something else than to be asked */
	T_EQ(load_acquire(&s.ended), WEFT_ECANCELED);
	weft_chan_free(s.c);
	return 0;
}

TEST_WORKERS(freed_while_it_waits_elsewhere)
{
	run(stopped_main, NULL);
}

static int cancelled_main(void *arg)
{
	struct counting c = {.to = 100};
	weft_ctx *ctx = weft_ctx_make(NULL), *was;
	weft_gen *g;
	int rc, v;

	(void)arg;
	was = weft_ctx_enter(ctx);
	g = make(&c);
	T_EQ(next_of(g), 0);
	weft_ctx_leave(was);
	T_EQ(weft_ctx_cancel(ctx, WEFT_REASON_CANCELED), 0);
	rc = weft_gen_next(g, &v); /* the maker's context is the generator's */
	T_EQ(rc, WEFT_ECANCELED);
	weft_gen_free(g);
	weft_ctx_free(ctx);
	return 0;
}

TEST_WORKERS(cancelled_by_its_context)
{
	run(cancelled_main, NULL);
}

/* Takers that come and give up, all at once: every value goes to one of them, or stays for the next. */
struct crowd {
	weft_gen *g;
	ATOMIC(long) sum;
	ATOMIC(int) taken;
	ATOMIC(int) over; /* the thread's part */
};

static int impatient(void *arg)
{
	struct crowd *c = arg;
	int v;

	for (int i = 0; i < 200; i++) {
		int rc = weft_gen_next_until(c->g, &v, i % 3 ? weft_in(i % 7 * WEFT_US) : i % 2 ? WEFT_NOW : WEFT_FOREVER);

		if (rc == WEFT_ECLOSED)
			break;
		if (rc == 0) {
			add_relaxed(&c->sum, (long)v);
			add_relaxed(&c->taken, 1);
		} else {
			T_OK(rc == WEFT_ETIMEDOUT || rc == WEFT_EAGAIN);
		}
	}
	return 0;
}

static void *impatient_thread(void *arg)
{
	impatient(arg);
	store_release(&((struct crowd *)arg)->over, 1);
	return NULL;
}

static int crowd_main(void *arg)
{
	enum { N = 8, VALUES = 100000 };
	struct counting c = {.from = 0, .to = VALUES};
	struct crowd crowd = {.g = make(&c)};
	weft_task *t[N];
	pthread_t thread;
	long n;

	(void)arg;
	T_EQ(pthread_create(&thread, NULL, impatient_thread, &crowd), 0);
	for (int i = 0; i < N; i++)
		t[i] = start(impatient, &crowd);
	for (int i = 0; i < N; i++)
		T_EQ(finish(t[i]), 0);
	until(load_acquire(&crowd.over)); /* it needs a worker */
	pthread_join(thread, NULL);
	n = load_relaxed(&crowd.taken);
	T_GT(n, 0);
	T_EQ(load_relaxed(&crowd.sum), n * (n - 1) / 2); /* 0 .. n-1, each once */
	weft_gen_free(crowd.g);
	return 0;
}

TEST_WORKERS(a_crowd_of_takers)
{
	run(crowd_main, NULL);
}

/* A generator and its taker, who leave the worker to each other, let others run. */
struct pair {
	weft_gen *g;
	weft_chan *c;
	ATOMIC(bool) over;
	ATOMIC(long) n;
	ATOMIC(int) woken;
};

static int takes_all(void *arg)
{
	struct pair *p = arg;

	while (!load_relaxed(&p->over)) {
		(void)next_of(p->g);
		add_relaxed(&p->n, 1L);
	}
	return 0;
}

static int wakes_up(void *arg)
{
	struct pair *p = arg;
	int v;

	while (weft_chan_recv(p->c, &v) == 0)
		add_relaxed(&p->woken, 1);
	return 0;
}

static int fair_main(void *arg)
{
	struct counting c = {.to = INT32_MAX};
	struct pair p = {.g = make(&c), .c = weft_chan_make(sizeof(int), 0)};
	weft_task *taker = start(takes_all, &p), *other = start(wakes_up, &p);

	(void)arg;
	for (int i = 0; i < 50; i++) {
		long n = load_relaxed(&p.n);

		give(p.c, i); /* from its worker's slot */
		until(load_relaxed(&p.woken) == i + 1);
		until(load_relaxed(&p.n) > n);
		T_EQ(weft_task_sleep(WEFT_US), 0);
	}
	store_relaxed(&p.over, true);
	T_EQ(finish(taker), 0);
	T_EQ(weft_chan_close(p.c), 0);
	T_EQ(finish(other), 0);
	weft_chan_free(p.c);
	weft_gen_free(p.g);
	return 0;
}

TEST_WORKERS(others_get_their_turn)
{
	run(fair_main, NULL);
}

/* From a thread that weft did not make. */
static void *thread_uses(void *arg)
{
	struct counting c = {.to = 50};
	weft_gen *g = make(&c);

	for (int i = 0; i < 30; i++)
		T_EQ(next_of(g), i);
	weft_gen_free(g);
	store_release((ATOMIC(int) *)arg, 1);
	return NULL;
}

static int thread_main(void *arg)
{
	ATOMIC(int) done;
	pthread_t t;

	(void)arg;
	store_relaxed(&done, 0);
	T_EQ(pthread_create(&t, NULL, thread_uses, &done), 0);
	until(load_acquire(&done));
	pthread_join(t, NULL);
	return 0;
}

TEST_WORKERS(of_a_foreign_thread)
{
	run(thread_main, NULL);
}

/* --- what there is not enough of --- */

static int no_memory_main(void *arg)
{
	struct counting c = {.to = 1};
	int refused = 0, rc;

	(void)arg;
	until_all_workers_run();
	weft_gen_free(make(&c)); /* stacks and records are at hand now */
	for (long n = 1;; n++) {
		weft_gen *g = (weft_gen *)&c;

		failpoint_arm(n);
		rc = weft_gen_make(&g, sizeof(int), counts, &c);
		failpoint_disarm();
		T_EQ(g == NULL, rc != 0);
		weft_gen_free(g);
		if (!failpoint_fired())
			break;
		T_OK(rc == 0 || rc == WEFT_ENOMEM);
		refused += rc != 0;
	}
	T_EQ(rc, 0);
	T_GT(refused, 0);
	return 0;
}

TEST_WORKERS(no_memory)
{
	run(no_memory_main, NULL);
}

static int no_task_main(void *arg)
{
	struct counting c = {.to = 1};
	weft_gen *g = (weft_gen *)&c;

	(void)arg;
	T_EQ(weft_gen_make(&g, sizeof(int), counts, &c), WEFT_EAGAIN);
	T_EQ(g, NULL);
	return 0;
}

TEST(no_more_tasks)
{
	T_EQ(run_with(no_task_main, NULL, (weft_opts){.max_tasks = 1}), 0);
}

static int left_behind_main(void *arg)
{
	T_EQ(weft_gen_next(*(weft_gen **)arg = make(&(struct counting){.to = 3}), NULL), 0);
	return 0;
}

/* The runtime goes down while it stands in its yield: then it has ended, and can be freed. */
TEST_WORKERS(left_behind)
{
	weft_gen *g = NULL;

	ends_with_main();
	T_EQ(weft_run(left_behind_main, &g, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(weft_gen_next(g, NULL), WEFT_ECLOSED);
	weft_gen_free(g);
	nothing_left();
}

/* --- misuse --- */

static int small_variable(void *arg)
{
	struct counting c = {.to = 3};
	weft_gen *g = make(&c);

	(void)arg;
	WEFT_GEN_FOREACH(g, char, v)
	(void)v;
	return 0;
}

TEST_DIES(another_size, "the variable has 1 bytes")
{
	run(small_variable, NULL);
}

static int frees_itself(void *arg)
{
	weft_gen_free(*(weft_gen **)arg);
	return 0;
}

static int inside_main(void *arg)
{
	weft_gen *g = NULL;

	(void)arg;
	T_EQ(weft_gen_make(&g, sizeof(int), frees_itself, &g), 0);
	return weft_gen_next(g, NULL);
}

TEST_DIES(freed_from_inside, "freed from inside")
{
	run(inside_main, NULL);
}

static int waited_main(void *arg)
{
	struct slow s = {.c = weft_chan_make(sizeof(int), 0)};
	struct taking k = {.deadline = WEFT_FOREVER};
	weft_task *t;

	(void)arg;
	T_EQ(weft_gen_make(&k.g, sizeof(int), from_channel, &s), 0);
	t = start(takes, &k);
	until_reason(t, "generator");
	weft_gen_free(k.g);
	return 0;
}

TEST_DIES(freed_while_waited_for, "still waits for it")
{
	run(waited_main, NULL);
}

static int yields_shielded(void *arg)
{
	int v = 1, rc = 0;

	WEFT_WITH_SHIELD
	{
		for (; !rc; v++)
			rc = weft_gen_yield(&v);
	}
	*(int *)arg = rc;
	return rc;
}

static int shielded_main(void *arg)
{
	weft_gen *g;
	int rc = 0, v = 0;

	(void)arg;
	for (int k = 0; k < 3; k++) {
		T_EQ(weft_gen_make(&g, sizeof v, yields_shielded, &rc), 0);
		for (int i = 0; i < k; i++)
			T_EQ(weft_gen_next(g, &v), 0);
		weft_gen_free(g);
		T_EQ(rc, k ? WEFT_ECANCELED : 0); /* the first has not begun */
	}
	return 0;
}

/* A shield does not keep it from being freed. */
TEST_WORKERS(freed_under_a_shield)
{
	run(shielded_main, NULL);
}

static weft_gen *kept;

static int keeps_main(void *arg)
{
	int v, rc;

	T_EQ(weft_gen_make(&kept, sizeof v, yields_shielded, arg), 0);
	rc = weft_gen_next(kept, &v);
	T_EQ(rc, 0);
	T_EQ(weft_gen_next_until(kept, &v, WEFT_NOW), WEFT_EAGAIN); /* asked: the value comes, and lies in the generator's frame */
	for (int i = 0; i < 100; i++)
		weft_task_yield();
	return 0;
}

TEST_WORKERS(nothing_of_a_runtime_that_is_gone)
{
	int rc = 0, v = -1;

	ends_with_main();
	T_EQ(weft_run(keeps_main, &rc, &(weft_opts){.workers = (int)tap_workers()}), 0);
	T_EQ(weft_gen_next(kept, &v), WEFT_ECLOSED);
	T_EQ(v, -1);
	weft_gen_free(kept);
}
