/* SPDX-License-Identifier: MIT
 *
 * foreign.c - OS threads that weft did not make: they start tasks, wait for them, lock with them, and leave nothing behind when they end.
 */
#include "rt.h"

#include <pthread.h>
#include <stdlib.h>

struct meeting {
	weft_chan *to, *from;
	weft_mutex m;
	weft_wg g;
	ATOMIC(long) count;
	long plain; /* under m */
	long n;
};

static int echo(void *arg)
{
	struct meeting *k = arg;
	int v;

	while (weft_chan_recv(k->to, &v) == 0) {
		v = -v;
		if (weft_chan_send(k->from, &v))
			break;
	}
	return 0;
}

static int seven(void *arg)
{
	(void)arg;
	weft_task_sleep(WEFT_US);
	return 7;
}

static int adds(void *arg)
{
	struct meeting *k = arg;

	for (int i = 0; i < 200; i++) {
		T_EQ(weft_mutex_lock(&k->m), 0);
		k->plain++;
		if (i % 16 == 0)
			weft_task_yield();
		weft_mutex_unlock(&k->m);
	}
	weft_wg_done(&k->g);
	return 0;
}

static void *adds_outside(void *arg)
{
	return (void *)(intptr_t)adds(arg);
}

/* One thread, every call. */
static void *every_call(void *arg)
{
	struct meeting *k = arg;
	weft_task *t;
	weft_ctx *c;
	int64_t at;
	int v, ret;

	T_EQ(weft_task_self(), NULL);
	for (int i = 1; i <= k->n; i++) {
		T_EQ(weft_chan_send(k->to, &i), 0);
		T_EQ(weft_chan_recv(k->from, &v), 0);
		T_EQ(v, -i);
	}
	for (int i = 1; i <= k->n; i++) {
		weft_case cases[] = {WEFT_RECV(k->from, &v), WEFT_SEND(k->to, &i)};

		T_EQ(weft_chan_select(cases, 2), 1);
		T_EQ(weft_chan_select(cases, 1), 0);
		T_EQ(v, -i);
		cases[1] = WEFT_AFTER(WEFT_US);
		at = weft_now();
		T_EQ(weft_chan_select(cases, 2), 1);
		T_GE(weft_now(), at + WEFT_US);
	}
	T_EQ(weft_block_on(seven, NULL, &ret), 0);
	T_EQ(ret, 7);
	T_EQ(weft_block_on(seven, NULL, NULL), 0);
	T_EQ(weft_block_on(NULL, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_go_opts(&t, seven, NULL, NULL), 0);
	T_EQ(finish(t), 7);
	T_EQ(weft_go_opts(&t, seven, NULL, &(weft_task_opts){.now = true, .stack = 32768, .name = "x", .worker = 1}), 0);
	T_EQ(finish(t), 7);
	T_EQ(weft_go_opts(&t, seven, NULL, &(weft_task_opts){.now = true}), 0); /* nothing to be pushed aside: it just runs */
	T_EQ(finish(t), 7);
	at = weft_now();
	T_EQ(weft_task_sleep(300 * WEFT_US), 0);
	T_GE(weft_now(), at + 300 * WEFT_US);
	T_EQ(weft_task_sleep(-1), 0);
	weft_wg_add(&k->g, 2);
	T_EQ(weft_go_opts(NULL, adds, k, NULL), 0);
	adds(k);
	T_EQ(weft_wg_wait(&k->g), 0);
	c = weft_ctx_make(NULL);
	T_EQ(weft_go_opts(&t, echo, k, &(weft_task_opts){.ctx = c}), 0);
	T_EQ(weft_ctx_cancel(c, WEFT_REASON_CANCELED), 0);
	T_EQ(finish(t), 0);
	weft_ctx_free(c);
	t = start(echo, k);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), 0);
	T_EQ(weft_go_opts(&t, seven, NULL, NULL), 0);
	weft_task_detach(t);
	weft_task_yield();
	T_EQ(weft_task_park(), WEFT_EINVAL);
	return NULL;
}

struct thread_done {
	struct meeting *k;
	weft_chan *done;
};

static void *every_call_then_done(void *arg)
{
	struct thread_done *d = arg;

	every_call(d->k);
	weft_chan_send(d->done, NULL);
	return NULL;
}

static int outside_main(void *arg)
{
	struct meeting k = {.to = weft_chan_make(sizeof(int), 0), .from = weft_chan_make(sizeof(int), 0), .n = tap_iters(2000)};
	struct thread_done d = {&k, weft_chan_make(0, 0)};
	weft_task *t = start(echo, &k);
	pthread_t th;

	(void)arg;
	T_EQ(weft_block_on(seven, NULL, NULL), WEFT_EINVAL);
	T_EQ(pthread_create(&th, NULL, every_call_then_done, &d), 0);
	T_EQ(weft_chan_recv(d.done, NULL), 0);
	pthread_join(th, NULL);
	weft_chan_close(k.to);
	finish(t);
	weft_chan_free(k.to);
	weft_chan_free(k.from);
	weft_chan_free(d.done);
	return 0;
}

/* Every call works from a thread of the program's own, while the runtime runs. */
TEST_WORKERS(every_call_from_outside)
{
	run(outside_main, NULL);
}

/* --- proxies --- */

static void *blocks_once(void *arg)
{
	T_EQ(weft_chan_recv_until(arg, NULL, weft_in(WEFT_US)), WEFT_ETIMEDOUT);
	return NULL;
}

/* A thread's record is given back when the thread ends. */
TEST(records_of_threads_come_back)
{
	weft_chan *c = weft_chan_make(0, 0);
	struct rec_stats before, after;
	pthread_t th[8];

	blocks_once(c);
	weft__rec_stats(&before);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 8; i++)
			T_EQ(pthread_create(&th[i], NULL, blocks_once, c), 0);
		for (int i = 0; i < 8; i++)
			pthread_join(th[i], NULL);
		T_EQ(rt_left().proxies, 1);
	}
	weft__rec_stats(&after);
	T_EQ(after.records_in_use, before.records_in_use);
	T_EQ(after.slabs, before.slabs);
	weft_chan_free(c);
	nothing_left();
}

/* --- locks between threads alone --- */

static void *waits_for_group(void *arg)
{
	struct meeting *k = arg;

	T_EQ(weft_wg_wait(&k->g), 0);
	T_EQ(k->plain, 8 * 200);
	add_relaxed(&k->count, 1);
	return NULL;
}

/* Mutex and wait group need no runtime. */
TEST(locks_between_threads_alone)
{
	long n = tap_iters(50);

	for (long i = 0; i < n; i++) {
		struct meeting k = {.n = 0};
		pthread_t th[8], w[3];

		weft_wg_add(&k.g, 8);
		for (int j = 0; j < 3; j++)
			T_EQ(pthread_create(&w[j], NULL, waits_for_group, &k), 0);
		for (int j = 0; j < 8; j++)
			T_EQ(pthread_create(&th[j], NULL, adds_outside, &k), 0);
		for (int j = 0; j < 8; j++)
			pthread_join(th[j], NULL);
		for (int j = 0; j < 3; j++)
			pthread_join(w[j], NULL);
		T_EQ(k.plain, 8 * 200);
		T_EQ(load_relaxed(&k.count), 3);
		T_EQ(weft_mutex_trylock(&k.m), 0);
		weft_mutex_unlock(&k.m);
	}
	nothing_left();
}

static int mixed_locks_main(void *arg)
{
	struct meeting k = {.n = 0};
	weft_task *t[8];
	pthread_t th[4];

	(void)arg;
	weft_wg_add(&k.g, 12);
	for (int j = 0; j < 4; j++)
		T_EQ(pthread_create(&th[j], NULL, adds_outside, &k), 0);
	for (int j = 0; j < 8; j++)
		t[j] = start(adds, &k);
	T_EQ(weft_wg_wait(&k.g), 0);
	T_EQ(k.plain, 12 * 200);
	for (int j = 0; j < 8; j++)
		finish(t[j]);
	for (int j = 0; j < 4; j++)
		pthread_join(th[j], NULL);
	return 0;
}

/* Tasks and threads share one mutex and one wait group. */
TEST_WORKERS(locks_shared_with_tasks)
{
	run(mixed_locks_main, NULL);
}

/* --- the runtime goes first --- */

struct last_wait {
	ATOMIC(int) up, waiting;
	int rc, ret;
};

static int for_ever(void *arg)
{
	struct last_wait *l = arg;

	store_release(&l->waiting, 1);
	weft_chan_recv(NULL, NULL);
	T_FAIL("went on after the end");
}

static void *blocks_for_ever(void *arg)
{
	struct last_wait *l = arg;

	while (!load_acquire(&l->up))
		sched_yield();
	l->rc = weft_block_on(for_ever, l, &l->ret);
	return NULL;
}

static int leaves(void *arg)
{
	struct last_wait *l = arg;

	store_release(&l->up, 1);
	until(load_acquire(&l->waiting));
	return 0;
}

/* A thread that waits for a task learns that the runtime went down first. */
TEST_WORKERS(block_on_when_the_runtime_goes_down)
{
	long n = tap_iters(200);

	ends_with_main();
	for (long i = 0; i < n; i++) {
		struct last_wait l = {.ret = 55};
		pthread_t th;

		T_EQ(pthread_create(&th, NULL, blocks_for_ever, &l), 0);
		T_EQ(weft_run(leaves, &l, &(weft_opts){.workers = tap_workers()}), 0);
		pthread_join(th, NULL);
		T_EQ(l.rc, WEFT_ECANCELED);
		T_EQ(l.ret, 55);
		nothing_left();
	}
}

struct exit_from {
	ATOMIC(int) up;
	int how;
};

static void *exits_outside(void *arg)
{
	struct exit_from *e = arg;

	while (!load_acquire(&e->up))
		sched_yield();
	weft_exit(33);
	weft_exit(34); /* the first counts */
	return NULL;
}

static int exiter(void *arg)
{
	(void)arg;
	weft_exit(33);
	T_FAIL("weft_exit returned");
}

static int exit_main(void *arg)
{
	struct exit_from *e = arg;

	store_release(&e->up, 1);
	if (e->how == 0)
		weft_exit(33);
	if (e->how == 1)
		T_EQ(weft_go_opts(NULL, exiter, NULL, NULL), 0);
	weft_chan_recv(NULL, NULL);
	T_FAIL("went on after the end");
}

/* weft_exit from the main task, from another task, and from a thread: the runtime goes down with that result. */
TEST_WORKERS(exit_from_anywhere)
{
	ends_with_main();
	for (int i = 0; i < 60; i++) {
		struct exit_from e = {.how = i % 3};
		pthread_t th;

		if (e.how == 2)
			T_EQ(pthread_create(&th, NULL, exits_outside, &e), 0);
		T_EQ(run_with(exit_main, &e, (weft_opts){.no_deadlock = true}), 33);
		if (e.how == 2)
			pthread_join(th, NULL);
	}
	weft_exit(1); /* none is up: nothing happens */
}
