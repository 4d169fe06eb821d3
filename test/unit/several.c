/* SPDX-License-Identifier: MIT
 *
 * several.c - several runtimes in one process: what is made of waiters works between them, tasks stay where they were started, and each goes down alone.
 */
#include "net.h"

#include "several.h"

#include "core/loop.h"
#include "core/runtime.h"
#include "weft/actor.h"
#include "weft/blocking.h"
#include "weft/future.h"
#include "weft/lock.h"
#include "weft/pool.h"
#include "weft/scope.h"
#include "weft/signal.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUNDS 200

static weft_runtime *other; /* the one that a test has beside the default one */

/* fn is the first task of the default one, while there is `other`. */
static void beside(weft_task_fn *fn)
{
	warm_up();
	other = made(tap_workers());
	T_EQ(weft_run(fn, NULL, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(weft_free(other, WEFT_FOREVER), 0);
	nothing_left();
}

/* --- a channel --- */

struct ends {
	weft_chan *to, *from;
	weft_runtime *rt; /* where `echoes` is to run */
};

static int echoes(void *arg)
{
	struct ends *e = arg;
	int n;

	while (weft_chan_recv(e->to, &n) == 0) {
		T_EQ(weft_runtime_self() == e->rt, true);
		n++;
		T_EQ(weft_chan_send(e->from, &n), 0);
	}
	return 7;
}

static void ping(struct ends *e)
{
	for (int i = 0; i < ROUNDS; i++) {
		int n = i;

		T_EQ(weft_chan_send(e->to, &n), 0);
		T_EQ(weft_chan_recv(e->from, &n), 0);
		T_EQ(n, i + 1);
	}
}

static int pings(void *arg)
{
	ping(arg);
	return 0;
}

static struct ends ends_make(weft_runtime *rt, unsigned cap)
{
	return (struct ends){weft_chan_make(sizeof(int), cap), weft_chan_make(sizeof(int), cap), rt};
}

static void ends_free(struct ends *e)
{
	weft_chan_free(e->to);
	weft_chan_free(e->from);
}

static int channel_main(void *arg)
{
	struct ends e[2] = {ends_make(other, 0), ends_make(other, 3)};
	weft_task *t[2];

	(void)arg;
	T_OK(weft_runtime_self() == NULL);
	for (int i = 0; i < 2; i++)
		t[i] = start_in(other, echoes, &e[i]);
	for (int i = 0; i < 2; i++) {
		ping(&e[i]);
		weft_chan_close(e[i].to);
		T_EQ(finish(t[i]), 7);
		ends_free(&e[i]);
	}
	return 0;
}

TEST_WORKERS(a_channel_between_two)
{
	beside(channel_main);
}

/* Neither is the default one, which is not up. */
TEST_WORKERS(two_without_the_default_one)
{
	weft_runtime *a = made(tap_workers()), *b = made(1);
	struct ends e = ends_make(b, 0);
	weft_task *t = start_in(b, echoes, &e), *p = start_in(a, pings, &e);

	T_EQ(weft_state(), WEFT_STATE_DOWN);
	T_EQ(weft_runtime_state(a), WEFT_STATE_RUNNING);
	T_EQ(finish(p), 0);
	weft_chan_close(e.to);
	T_EQ(finish(t), 7);
	T_EQ(weft_free(b, WEFT_FOREVER), 0);
	T_EQ(weft_free(a, WEFT_FOREVER), 0);
	ends_free(&e);
	nothing_left();
}

/* --- locks, futures, select, timers --- */

static struct {
	weft_mutex lock;
	weft_wg wg;
	int n;
	weft_chan *a, *b;
} shared;

static int adds(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		weft_mutex_lock(&shared.lock);
		shared.n++;
		if (i % 16 == 0)
			weft_task_yield();
		weft_mutex_unlock(&shared.lock);
	}
	weft_wg_done(&shared.wg);
	return *(int *)arg;
}

static int mutex_main(void *arg)
{
	static int one = 1;
	weft_runtime *third = made(1), *in[3] = {NULL, other, third};
	weft_task *t[6];

	(void)arg;
	shared.n = 0;
	shared.wg = (weft_wg){0};
	weft_wg_add(&shared.wg, 6);
	for (int i = 0; i < 6; i++)
		t[i] = start_in(in[i % 3], adds, &one);
	T_EQ(weft_wg_wait(&shared.wg), 0);
	T_EQ(shared.n, 6 * ROUNDS);
	for (int i = 0; i < 6; i++)
		T_EQ(finish(t[i]), 1);
	T_EQ(weft_free(third, WEFT_FOREVER), 0);
	return 0;
}

TEST_WORKERS(a_mutex_and_a_wait_group_between_three)
{
	beside(mutex_main);
}

static int sleeps(void *arg)
{
	T_EQ(weft_task_sleep(*(int64_t *)arg), 0);
	return 5;
}

static int selects(void *arg)
{
	int got = 0, v = 0;
	weft_timer *never;

	(void)arg;
	never = weft_timer_make(3600 * WEFT_SEC);
	while (got < 2 * ROUNDS) {
		weft_case cs[3] = {WEFT_RECV(shared.a, &v), WEFT_RECV(shared.b, &v), WEFT_RECV(weft_timer_chan(never), NULL)};
		int at = weft_chan_select(cs, 3);

		T_OK(at == 0 || at == 1);
		T_EQ(v, at);
		got++;
	}
	weft_timer_free(never);
	return got;
}

static int sends(void *arg)
{
	int v = arg == shared.b;

	for (int i = 0; i < ROUNDS; i++)
		T_EQ(weft_chan_send(arg, &v), 0);
	return 0;
}

static int select_main(void *arg)
{
	weft_task *s, *t[2];
	int64_t ns = WEFT_MS;
	weft_timer *tm;

	(void)arg;
	shared.a = weft_chan_make(sizeof(int), 0);
	shared.b = weft_chan_make(sizeof(int), 2);
	s = start_in(other, selects, NULL);
	t[0] = start_in(NULL, sends, shared.a);
	t[1] = start_in(other, sends, shared.b);
	T_EQ(finish(s), 2 * ROUNDS);
	T_EQ(finish(t[0]), 0);
	T_EQ(finish(t[1]), 0);
	T_EQ(finish(start_in(other, sleeps, &ns)), 5);
	tm = weft_timer_make(3600 * WEFT_SEC); /* of ours, awaited there, set anew here */
	weft_timer_reset(tm, WEFT_US);
	T_EQ(weft_chan_recv(weft_timer_chan(tm), NULL), 0);
	weft_timer_free(tm);
	weft_chan_free(shared.a);
	weft_chan_free(shared.b);
	return 0;
}

TEST_WORKERS(select_and_timers)
{
	beside(select_main);
}

static int resets(void *arg)
{
	weft_timer *t = arg;

	T_GE(weft_timer_reset(t, 3600 * WEFT_SEC), 0);
	return 0;
}

static int stops(void *arg)
{
	return weft_timer_stop(arg);
}

static weft_timer *wandering;

static int sets(void *arg)
{
	(void)arg;
	wandering = weft_timer_make(3600 * WEFT_SEC);
	return wandering ? 0 : -1;
}

static ATOMIC(int) fired;

static void fires(void *arg)
{
	(void)arg;
	add_acq_rel(&fired, 1);
}

static int sets_call(void *arg)
{
	(void)arg;
	wandering = weft_timer_after(3600 * WEFT_SEC, fires, NULL);
	return wandering ? 0 : -1;
}

/* A timer is where it was set last; with its runtime it ends, and can be set again elsewhere. */
static int timers_main(void *arg)
{
	weft_runtime *rt = made(1);

	(void)arg;
	T_EQ(finish(start_in(rt, sets, NULL)), 0);
	T_EQ(resets(wandering), 0);
	T_EQ(finish(start_in(rt, stops, wandering)), 1);
	T_EQ(finish(start_in(rt, resets, wandering)), 0);
	T_EQ(weft_free(rt, 0), 0);
	T_EQ(weft_timer_stop(wandering), 0); /* it went with rt */
	T_EQ(weft_timer_reset(wandering, WEFT_US), 0);
	T_EQ(weft_chan_recv(weft_timer_chan(wandering), NULL), 0);
	weft_timer_free(wandering);
	rt = made(1);
	store_release(&fired, 0);
	T_EQ(finish(start_in(rt, sets_call, NULL)), 0);
	T_EQ(weft_timer_reset(wandering, WEFT_US), 1); /* a task of ours, now */
	until(load_acquire(&fired) == 1);
	T_EQ(finish(start_in(rt, resets, wandering)), 0);
	T_EQ(weft_free(rt, 0), 0);
	weft_timer_free(wandering);
	T_EQ(load_acquire(&fired), 1);
	until_others_end();
	return 0;
}

TEST_WORKERS(timers_move)
{
	run(timers_main, NULL);
}

static int keeps_promise(void *arg)
{
	int v = 11;

	T_EQ(weft_promise_resolve(arg, &v), 0);
	weft_promise_free(arg);
	return 0;
}

static int breaks_promise(void *arg)
{
	weft_promise_free(arg);
	return 0;
}

static int future_main(void *arg)
{
	weft_promise *promise;
	weft_future *future;
	int v = 0;

	(void)arg;
	T_EQ(weft_promise_make(sizeof(int), &promise, &future), 0);
	T_EQ(weft_runtime_go(other, NULL, keeps_promise, promise, NULL), 0);
	T_EQ(weft_future_await(future, &v), 0);
	T_EQ(v, 11);
	weft_future_free(future);
	T_EQ(weft_promise_make(sizeof(int), &promise, &future), 0);
	T_EQ(weft_runtime_go(other, NULL, breaks_promise, promise, NULL), 0);
	T_EQ(weft_future_await(future, &v), WEFT_EBROKEN);
	weft_future_free(future);
	return 0;
}

TEST_WORKERS(a_future)
{
	beside(future_main);
}

/* --- TCP --- */

static weft_tcp_listener *listener;
static char at[WEFT_ADDR_TEXT];

static int serves(void *arg)
{
	weft_tcp *c;
	char buf[64];
	ssize_t n;

	(void)arg;
	T_EQ(weft_tcp_accept(listener, &c), 0);
	while ((n = weft_tcp_read(c, buf, sizeof buf)) > 0)
		write_all(c, buf, (size_t)n);
	T_EQ(weft_tcp_close(c), 0);
	return 3;
}

static void dial_and_talk(void)
{
	weft_tcp *c;
	char out[32] = "from one to the other", in[32];

	c = dial_to(at);
	for (int i = 0; i < 20; i++) {
		write_all(c, out, sizeof out);
		read_all(c, in, sizeof in);
		T_EQ(memcmp(in, out, sizeof in), 0);
	}
	T_EQ(weft_tcp_close(c), 0);
}

static int tcp_main(void *arg)
{
	char any[64];
	weft_task *t;

	(void)arg;
	snprintf(any, sizeof any, "%s:0", own_host()); /* nobody else dials it */
	listener = listen_at(any, at);
	t = start_in(other, serves, NULL); /* accepts there on a listener of ours */
	dial_and_talk();
	T_EQ(finish(t), 3);
	t = start_in(NULL, serves, NULL); /* and here, on one that was watched there */
	dial_and_talk();
	T_EQ(finish(t), 3);
	T_EQ(weft_tcp_listener_close(listener), 0);
	return 0;
}

TEST_WORKERS(tcp_between_two)
{
	beside(tcp_main);
}

static weft_tcp *conn[2];

static int reads_one(void *arg)
{
	char c = 0;

	T_EQ(weft_tcp_read(arg, &c, 1), 1);
	return c;
}

/* A connection is watched by the loop of who waited first. When that runtime goes down others that wait go on waiting, by a loop of their own. */
static int loop_goes_main(void *arg)
{
	weft_runtime *rt = made(1);
	weft_task *first, *reader;

	(void)arg;
	pair_make(&conn[0], &conn[1]);
	first = start_in(rt, reads_one, conn[1]);
	until_reason(first, "read");
	write_all(conn[0], "a", 1);
	T_EQ(finish(first), 'a');
	reader = start(reads_one, conn[1]); /* watched there */
	until_reason(reader, "read");
	T_EQ(weft_free(rt, 0), 0);
	write_all(conn[0], "b", 1);
	T_EQ(finish(reader), 'b');
	T_EQ(weft_tcp_close(conn[0]), 0);
	T_EQ(weft_tcp_close(conn[1]), 0);
	return 0;
}

TEST_WORKERS(the_loop_that_watches_goes)
{
	run(loop_goes_main, NULL);
}

static int reads_for_ever(void *arg)
{
	char c;

	return (int)weft_tcp_read(arg, &c, 1);
}

/* A task that is left in the middle of a read gives its turn back: others read on. */
static int left_main(void *arg)
{
	weft_runtime *rt = made(1);
	weft_task *gone, *next;

	(void)arg;
	pair_make(&conn[0], &conn[1]);
	gone = start_in(rt, reads_for_ever, conn[1]);
	until_reason(gone, "read");
	next = start(reads_one, conn[1]); /* waits for its turn */
	until_reason(next, "read");
	T_EQ(weft_free(rt, -1), 0);
	was_left(gone);
	write_all(conn[0], "c", 1);
	T_EQ(finish(next), 'c');
	T_EQ(weft_tcp_close(conn[0]), 0);
	T_EQ(weft_tcp_close(conn[1]), 0);
	return 0;
}

TEST_WORKERS(a_read_that_is_left)
{
	run(left_main, NULL);
}

/* --- one goes down --- */

static int waits(void *arg)
{
	return weft_chan_recv(arg, NULL);
}

static int waits_shielded(void *arg)
{
	int rc = 0;

	WEFT_WITH_SHIELD
	{
		rc = weft_chan_recv(arg, NULL);
	}
	return rc;
}

static int joins(void *arg)
{
	return weft_task_join(arg, NULL);
}

static int down_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 0);
	weft_runtime *rt = made(2);
	weft_task *t, *shielded, *join;
	int v = 4;

	(void)arg;
	t = start_in(rt, waits, c);
	until_parked(t);
	T_EQ(weft_free(rt, WEFT_FOREVER), 0); /* cancelled */
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(weft_ctx_reason(NULL), WEFT_NOT_CANCELED); /* we are not */
	rt = made(1);
	shielded = start_in(rt, waits_shielded, c);
	until_parked(shielded);
	join = start(joins, shielded);
	until_parked(join);
	T_EQ(weft_free(rt, -1), 0);
	T_EQ(finish(join), WEFT_ECANCELED);
	was_left(shielded);
	T_EQ(weft_chan_trysend(c, &v), WEFT_EAGAIN); /* it is in nobody's line */
	T_EQ(weft_runtime_go(NULL, &t, waits, c, NULL), 0);
	T_EQ(weft_chan_send(c, &v), 0);
	T_EQ(finish(t), 0);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(one_goes_down_alone)
{
	run(down_main, NULL);
}

/* The default one goes first; who waits in the other goes on. */
static weft_chan *line;

static int leaves_main(void *arg)
{
	weft_task *t = start(waits, line);

	(void)arg;
	until_parked(t);
	weft_task_detach(t); /* it is left */
	return 0;
}

TEST_WORKERS(the_default_one_goes_first)
{
	weft_task *t;
	int v = 1;

	other = made(tap_workers());
	line = weft_chan_make(sizeof(int), 0);
	t = start_in(other, waits, line);
	until_parked(t);
	T_EQ(weft_run(leaves_main, NULL, &(weft_opts){.workers = tap_workers(), .exit = WEFT_EXIT_ON_MAIN}), 0);
	T_EQ(weft_chan_send(line, &v), 0);
	T_EQ(finish(t), 0);
	T_EQ(weft_free(other, WEFT_FOREVER), 0);
	weft_chan_free(line);
	nothing_left();
}

/* --- threads for what blocks --- */

static weft_pool *pool;
static ATOMIC(int) gate;

static int passes_gate(void *arg)
{
	while (!load_acquire(&gate))
		sched_yield();
	return *(int *)arg + 1;
}

static int makes_pool(void *arg)
{
	(void)arg;
	return weft_pool_make(&pool, &(weft_pool_opts){.max = 1, .queue = 1, .full = WEFT_POOL_WAIT});
}

static int calls_pool(void *arg)
{
	int ret = 0;

	T_EQ(weft_pool_call(pool, passes_gate, arg, &ret), 0);
	return ret;
}

/* Not before rt's workers have ended: its tasks, which are to be left, would come back and end. rt is there until then: it does not go before the gate is open. */
static void *opens_gate(void *rt)
{
	until(load_relaxed(&((struct runtime *)rt)->deserted));
	store_release(&gate, 1);
	return NULL;
}

/* A pool of one that tasks of three call: under way, in line, outside. */
static int pool_main(void *arg)
{
	static int n = 4;
	weft_runtime *rt = made(1);
	weft_task *t[6];
	pthread_t opener;

	(void)arg;
	store_release(&gate, 1);
	T_EQ(finish(start_in(other, makes_pool, NULL)), 0);
	for (int i = 0; i < 6; i++)
		t[i] = start_in(i % 3 == 0 ? NULL : i % 3 == 1 ? rt : other, calls_pool, &n);
	for (int i = 0; i < 6; i++)
		T_EQ(finish(t[i]), 5);
	store_release(&gate, 0);
	for (int i = 0; i < 3; i++) {
		t[i] = start_in(rt, calls_pool, &n);
		until_reason(t[i], "blocking call");
	}
	T_EQ(pthread_create(&opener, NULL, opens_gate, rt), 0);
	T_EQ(weft_free(rt, -1), 0); /* waits: what runs there writes to frames of its tasks */
	T_EQ(load_acquire(&gate), 1);
	T_EQ(pthread_join(opener, NULL), 0);
	for (int i = 0; i < 3; i++)
		was_left(t[i]);
	T_EQ(weft_pool_free(pool), 0);
	return 0;
}

TEST_WORKERS(a_pool_between_three)
{
	beside(pool_main);
}

static int adds_one(void *arg)
{
	return *(int *)arg + 1;
}

static int uses_pool(void *arg)
{
	weft_future *f;
	int ret = 0;

	T_EQ(weft_pool_call(pool, adds_one, arg, &ret), 0);
	T_EQ(ret, 5);
	T_EQ(weft_pool_submit(pool, adds_one, arg, &f), 0);
	T_EQ(weft_future_await(f, &ret), 0);
	weft_future_free(f);
	return ret;
}

static void *makes_pool_in(void *rt)
{
	T_EQ(weft_runtime_use(rt), 0);
	T_EQ(makes_pool(NULL), 0);
	return NULL;
}

/* Whoever is outside needs no worker of the pool's runtime: it is paused. */
static int paused_pool_main(void *arg)
{
	static int n = 4;
	weft_runtime *rt;
	pthread_t th;

	(void)arg;
	T_EQ(weft_make(&rt, &(weft_opts){.workers = 1, .paused = true}), 0);
	T_EQ(pthread_create(&th, NULL, makes_pool_in, rt), 0);
	T_EQ(pthread_join(th, NULL), 0);
	for (int i = 0; i < 10; i++)
		T_EQ(uses_pool(&n), 5);
	T_EQ(finish(start_in(other, uses_pool, &n)), 5);
	T_EQ(weft_pool_free(pool), 0); /* nor does who frees it */
	T_EQ(weft_free(rt, WEFT_FOREVER), 0);
	return 0;
}

TEST_WORKERS(a_pool_of_one_that_is_paused)
{
	beside(paused_pool_main);
}

static int submits_gate(void *arg)
{
	return weft_pool_submit(pool, passes_gate, arg, NULL);
}

/* A task of one that goes down stands outside a pool of another's. */
static int outside_pool_main(void *arg)
{
	static int n = 4;
	weft_runtime *rt = made(1);
	weft_pool_stat st;
	pthread_t opener;
	weft_task *t;

	(void)arg;
	store_release(&gate, 0);
	T_EQ(finish(start_in(other, makes_pool, NULL)), 0);
	T_EQ(submits_gate(&n), 0);
	do {
		weft_task_yield();
		weft_pool_stats(pool, &st);
	} while (st.queued);
	T_EQ(submits_gate(&n), 0);
	t = start_in(rt, submits_gate, &n);
	until_reason(t, "blocking call");
	T_EQ(pthread_create(&opener, NULL, opens_gate, rt), 0);
	T_EQ(weft_free(rt, -1), 0); /* waits: it is told of room in its frame */
	T_EQ(load_acquire(&gate), 1);
	T_EQ(pthread_join(opener, NULL), 0);
	was_left(t);
	T_EQ(weft_pool_free(pool), 0);
	return 0;
}

TEST_WORKERS(outside_a_pool_of_another)
{
	tap_leaky(); /* a task that never runs again owns its part of the job */
	beside(outside_pool_main);
}

struct waits_late {
	weft_task *left[2], *up[3]; /* of the one that goes down; of another: what joins the second of these, and two that go on */
	weft_actor_ref actor;
	weft_future *f[4];
	ATOMIC(int) entered;
	weft_chan *c;
};

static int joins_left(void *arg)
{
	struct waits_late *l = arg;

	add_acq_rel(&l->entered, 1);
	return weft_task_join(l->left[0], NULL);
}

static int awaits_left(void *arg)
{
	struct waits_late *l = arg;

	add_acq_rel(&l->entered, 1);
	return weft_actor_wait(l->actor, NULL);
}

/* What it waits for ends when that has been told. */
static int joins_joiner(void *arg)
{
	struct waits_late *l = arg;
	int ret = 0;

	add_acq_rel(&l->entered, 1);
	T_EQ(weft_task_join(l->up[0], &ret), 0);
	return ret;
}

static int joins_up(void *arg)
{
	struct waits_late *l = arg;

	add_acq_rel(&l->entered, 1);
	return weft_task_join(l->up[1], NULL);
}

static int drops_all(void *state, weft_msg *m)
{
	(void)state;
	(void)m;
	return 0;
}

static int leaves_late(void *arg)
{
	static weft_task_fn *const jobs[] = {joins_left, awaits_left, joins_joiner};
	struct waits_late *l = arg;

	for (int i = 0; i < 2; i++)
		T_EQ(weft_go_opts(&l->left[i], waits_shielded, l->c, NULL), 0);
	T_EQ(weft_actor_start(&l->actor, &(weft_actor_opts){.on_msg = drops_all}), 0);
	T_EQ(weft_runtime_go(NULL, &l->up[0], joins, l->left[1], NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		T_EQ(weft_pool_submit(NULL, jobs[i], l, &l->f[i]), 0);
	return 0;
}

static int late_main(void *arg)
{
	static const int ends[] = {WEFT_ECANCELED, WEFT_ESRCH, WEFT_ECANCELED};
	struct waits_late l = {.c = weft_chan_make(sizeof(int), 0)};
	weft_runtime *rt = made(tap_workers());
	weft_task *t;
	int v = 3;

	(void)arg;
	for (int i = 1; i < 3; i++)
		l.up[i] = start_in(other, waits, l.c);
	T_EQ(weft_pool_submit(NULL, joins_up, &l, &l.f[3]), 0);
	t = start_in(other, joins, l.up[2]);
	T_EQ(finish(start_in(rt, leaves_late, &l)), 0);
	until(load_acquire(&l.entered) == 4);
	until_parked(l.up[0]);
	until_reason(t, "join");
	T_EQ(weft_free(rt, -1), 0);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		T_EQ(weft_future_await(l.f[i], &v), 0);
		T_EQ(v, ends[i]);
		weft_future_free(l.f[i]);
	}
	for (int i = 0; i < 2; i++)
		was_left(l.left[i]);
	T_EQ(weft_future_poll(l.f[3], &v), WEFT_EAGAIN);
	T_EQ(weft_task_stateof(t), WEFT_TASK_PARKED);
	for (int i = 0; i < 2; i++)
		T_EQ(weft_chan_send(l.c, &v), 0);
	T_EQ(weft_future_await(l.f[3], &v), 0);
	T_EQ(v, 0);
	weft_future_free(l.f[3]);
	T_EQ(finish(t), 0);
	weft_chan_free(l.c);
	return 0;
}

/* Jobs of one that goes down wait for its tasks, and for another's that does so: all are told, or it would not go down. Who waits for tasks of others waits on. */
TEST_WORKERS(jobs_that_wait_for_what_is_left)
{
	beside(late_main);
}

static int blocks(void *arg)
{
	int n = 0;

	T_EQ(weft_chan_send(arg, &n), 0);
	return weft_runtime_self() == other; /* its own is what a call of a task's means */
}

static int calls(void *arg)
{
	int ret = 0;

	T_EQ(weft_blocking(blocks, arg, &ret), 0);
	WEFT_BLOCKING
	{
		T_EQ(weft_chan_recv(arg, NULL), 0);
	}
	return ret;
}

static int blocking_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 0);
	weft_task *t = start_in(other, calls, c);
	int n = 1;

	(void)arg;
	T_EQ(weft_chan_recv(c, NULL), 0);
	T_EQ(weft_chan_send(c, &n), 0);
	T_EQ(finish(t), 1);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(blocking_calls)
{
	beside(blocking_main);
}

/* --- contexts and actors --- */

static ATOMIC(int) told;
static weft_ctx *shared_ctx;
static weft_ctx_hook *hook;

static void is_told(void *arg)
{
	(void)arg;
	T_OK(weft_runtime_self() == other); /* where it was set */
	add_acq_rel(&told, 1);
}

static int listens(void *arg)
{
	(void)arg;
	hook = weft_ctx_on_done(shared_ctx, is_told, NULL);
	return hook ? 0 : -1;
}

static int waits_under(void *arg)
{
	weft_ctx *up = weft_ctx_enter(shared_ctx);
	int rc = weft_chan_recv(arg, NULL);

	weft_ctx_leave(up);
	return rc;
}

static int makes_ctx(void *arg)
{
	*(weft_ctx **)arg = weft_ctx_make(NULL);
	return 0;
}

static int ctx_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 0);
	weft_runtime *rt = made(1);
	weft_ctx *theirs;
	weft_task *t;

	(void)arg;
	store_release(&told, 0);
	shared_ctx = weft_ctx_make(NULL);
	T_EQ(finish(start_in(other, listens, NULL)), 0);
	t = start_in(other, waits_under, c);
	until_parked(t);
	T_EQ(weft_ctx_cancel(shared_ctx, WEFT_REASON_USER), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	until(load_acquire(&told) == 1);
	weft_ctx_forget(hook);
	weft_ctx_free(shared_ctx);
	/* one of theirs ends with their root, and ours with none of theirs */
	T_EQ(finish(start_in(rt, makes_ctx, &theirs)), 0);
	T_EQ(weft_runtime_shutdown(rt, WEFT_FOREVER), 0);
	T_EQ(weft_ctx_reason(NULL), WEFT_NOT_CANCELED);
	T_EQ(weft_free(rt, 0), 0);
	weft_ctx_free(theirs);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(contexts)
{
	beside(ctx_main);
}

struct under {
	weft_ctx *ctx;
	weft_chan *c;
	weft_task *heir;
	ATOMIC(int) waiting;
};

static int waits_here(void *arg)
{
	struct under *u = arg;

	add_acq_rel(&u->waiting, 1);
	return weft_chan_recv(u->c, NULL);
}

static int starts_heir(void *arg)
{
	struct under *u = arg;
	weft_ctx *up;

	u->ctx = weft_ctx_make(NULL);
	up = weft_ctx_enter(u->ctx);
	T_EQ(weft_runtime_go(NULL, &u->heir, waits_here, u, NULL), 0);
	weft_ctx_leave(up);
	return 0;
}

static int starts_child(void *arg)
{
	weft_task *child = start(waits_here, arg); /* under the same */
	int rc = 0;

	WEFT_WITH_SHIELD
	{
		rc = finish(child);
	}
	return rc;
}

static int enters(void *arg)
{
	struct under *u = arg;
	weft_ctx *up = weft_ctx_enter(u->ctx);
	int rc = waits_here(u);

	T_EQ(weft_ctx_check(), rc);
	weft_ctx_leave(up);
	T_EQ(weft_ctx_check(), 0);
	return rc;
}

static int awaits_end(void *arg)
{
	struct under *u = arg;

	add_acq_rel(&u->waiting, 1);
	return weft_ctx_wait(u->ctx);
}

/* Tasks of ours under a context of theirs end with it: when they are shut down (grace), and when they go without (negative), each in its own way of having come there. awaited: somebody waits for its end as well. */
static void goes_with_theirs(int64_t grace_ns, bool awaited)
{
	struct under u = {.c = weft_chan_make(sizeof(int), 0)};
	weft_runtime *rt = made(1);
	weft_ctx *ours = weft_ctx_make(NULL), *both, *late;
	weft_task *t[5], *after = NULL;
	int n = 0;

	T_EQ(finish(start_in(rt, starts_heir, &u)), 0);
	T_EQ(finish(start_in(rt, makes_ctx, &late)), 0);
	both = weft_ctx_linked(ours, u.ctx);
	t[n++] = u.heir;
	T_EQ(weft_go_opts(&t[n++], waits_here, &u, &(weft_task_opts){.ctx = u.ctx}), 0);
	T_EQ(weft_go_batch(waits_here, (void *[]){&u}, 1, &t[n++], &(weft_task_opts){.ctx = u.ctx}), 0);
	t[n++] = start(enters, &u);
	T_EQ(weft_runtime_go(other, &t[n++], starts_child, &u, &(weft_task_opts){.ctx = u.ctx}), 0);
	if (awaited) {
		after = start(awaits_end, &u);
		until_reason(after, "context");
	}
	until(load_acquire(&u.waiting) == n + awaited);
	for (int i = 0; i < n; i++)
		until_parked(t[i]);
	T_EQ(weft_free(rt, grace_ns), 0);
	weft_chan_close(u.c); /* who has not been told by now is told by this */
	for (int i = 0; i < n; i++)
		T_EQ(finish(t[i]), WEFT_ECANCELED);
	if (after)
		T_EQ(finish(after), 0);
	T_EQ(weft_ctx_reason(u.ctx), WEFT_REASON_SHUTDOWN);
	T_OK(weft_ctx_reason(both) != WEFT_NOT_CANCELED);
	T_EQ(weft_ctx_reason(ours), WEFT_NOT_CANCELED);
	T_EQ(weft_ctx_reason(late), WEFT_REASON_SHUTDOWN);
	rt = made(1); /* with the same number */
	T_EQ(weft_ctx_reason(u.ctx), WEFT_REASON_SHUTDOWN);
	T_EQ(weft_ctx_reason(late), WEFT_REASON_SHUTDOWN); /* which nobody has been under, or has waited for, until now */
	T_EQ(finish(start_in(rt, makes_ctx, &shared_ctx)), 0);
	T_EQ(weft_ctx_reason(shared_ctx), WEFT_NOT_CANCELED);
	weft_ctx_free(u.ctx);
	u.ctx = late;
	T_EQ(finish(start_in(rt, enters, &u)), WEFT_ECANCELED); /* also of who has the number now */
	T_EQ(weft_ctx_wait(late), 0);
	T_EQ(enters(&u), WEFT_ECANCELED);
	T_EQ(weft_free(rt, 0), 0);
	weft_ctx_free(shared_ctx);
	weft_ctx_free(late);
	weft_ctx_free(both);
	weft_ctx_free(ours);
	weft_chan_free(u.c);
}

static int under_main(void *arg)
{
	(void)arg;
	for (int awaited = 0; awaited < 2; awaited++) {
		goes_with_theirs(WEFT_FOREVER, awaited);
		goes_with_theirs(-1, awaited);
	}
	return 0;
}

TEST_WORKERS(under_a_context_of_another)
{
	beside(under_main);
}

#define MANY 100

static weft_ctx *of_two[2][MANY];
static weft_ctx_hook *hooks[2][MANY];
static weft_wg told_of[2];

static int makes_many(void *arg)
{
	weft_ctx **c = arg;

	for (int i = 0; i < MANY; i++)
		c[i] = weft_ctx_make(NULL);
	return 0;
}

static void counts(void *arg)
{
	weft_wg_done(arg);
}

static void *shuts_one(void *rt)
{
	T_EQ(weft_runtime_shutdown(rt, WEFT_FOREVER), 0);
	return NULL;
}

/* Two are shut down at once: each tells of its own contexts, all of them. */
static int shut_both_main(void *arg)
{
	(void)arg;
	for (int r = 0; r < tap_iters(20); r++) {
		weft_runtime *rt[2];
		pthread_t th[2];

		for (int k = 0; k < 2; k++) {
			rt[k] = made(1);
			told_of[k] = (weft_wg){0};
			weft_wg_add(&told_of[k], MANY);
			T_EQ(finish(start_in(rt[k], makes_many, of_two[k])), 0);
			for (int i = 0; i < MANY; i++) {
				hooks[k][i] = weft_ctx_on_done(of_two[k][i], counts, &told_of[k]);
				T_OK(hooks[k][i] != NULL);
			}
		}
		for (int k = 0; k < 2; k++)
			T_EQ(pthread_create(&th[k], NULL, shuts_one, rt[k]), 0);
		for (int k = 0; k < 2; k++) {
			T_EQ(weft_wg_wait(&told_of[k]), 0);
			T_EQ(pthread_join(th[k], NULL), 0);
			for (int i = 0; i < MANY; i++) {
				T_EQ(weft_ctx_forget(hooks[k][i]), 0);
				weft_ctx_free(of_two[k][i]);
			}
			T_EQ(weft_free(rt[k], 0), 0);
		}
	}
	until_others_end();
	return 0;
}

TEST_WORKERS(two_are_shut_down_at_once)
{
	beside(shut_both_main);
}

static weft_actor_ref adder;
static ATOMIC(int) sum;

static int adds_up(void *state, weft_msg *m)
{
	(void)state;
	add_acq_rel(&sum, (int)m->tag);
	return 0;
}

static int begins_actor(void *arg)
{
	(void)arg;
	return weft_actor_fn(&adder, adds_up);
}

static int actors_main(void *arg)
{
	weft_runtime *rt = made(1);
	weft_end end;

	(void)arg;
	store_release(&sum, 0);
	T_EQ(finish(start_in(rt, begins_actor, NULL)), 0);
	for (int i = 1; i <= 10; i++)
		T_EQ(weft_actor_send(adder, (uint64_t)i, NULL, 0, WEFT_PRIO_NORMAL), 0);
	until(load_acquire(&sum) == 55);
	T_OK(weft_actor_alive(adder));
	T_EQ(weft_free(rt, -1), 0);
	T_OK(!weft_actor_alive(adder));
	T_EQ(weft_actor_wait(adder, &end), WEFT_ESRCH);
	T_EQ(finish(start_in(other, begins_actor, NULL)), 0); /* ends with the shutdown of its runtime */
	return 0;
}

TEST_WORKERS(actors)
{
	beside(actors_main);
}

static int is_called(void *arg)
{
	char name[32];

	T_EQ(pthread_getname_np(pthread_self(), name, sizeof name), 0);
	T_STR_EQ(name, arg);
	return 0;
}

/* Its first worker is no thread of the program's, and is called as the others are. */
TEST(name_of_the_first_worker)
{
	weft_runtime *rt;

	T_EQ(weft_make(&rt, &(weft_opts){.workers = 1, .worker_name = "late"}), 0);
	T_EQ(finish(start_in(rt, is_called, (void *)(uintptr_t) "late-1")), 0);
	T_EQ(weft_free(rt, -1), 0);
	nothing_left();
}

/* --- signals and dumps --- */

static weft_chan *heard;

static int listens_for_signal(void *arg)
{
	(void)arg;
	return weft_signal_notify(heard, SIGUSR1);
}

static void hear_one(void)
{
	int sig = 0;

	T_EQ(kill(getpid(), SIGUSR1), 0);
	T_EQ(weft_chan_recv(heard, &sig), 0);
	T_EQ(sig, SIGUSR1);
}

static int signal_main(void *arg)
{
	weft_runtime *rt = made(1);

	(void)arg;
	T_EQ(finish(start_in(rt, listens_for_signal, NULL)), 0);
	hear_one();
	T_EQ(weft_free(rt, -1), 0); /* who reads them was a task of its */
	hear_one();
	return 0;
}

/* Signals are the process's: another runtime's task reads on when the reader's goes down; here twice. */
TEST_WORKERS(signals_go_on)
{
	heard = weft_chan_make(sizeof(int), 4);
	other = made(tap_workers());
	T_EQ(weft_run(signal_main, NULL, &(weft_opts){.workers = tap_workers()}), 0);
	hear_one();
	T_EQ(weft_signal_stop(heard), 0);
	T_EQ(weft_free(other, WEFT_FOREVER), 0);
	weft_chan_free(heard);
	nothing_left();
}

static void dumped(int (*dump)(int fd), char *buf, size_t size)
{
	FILE *f = tmpfile();
	ssize_t n;

	T_OK(f != NULL);
	T_EQ(dump(fileno(f)), 0);
	n = pread(fileno(f), buf, size - 1, 0);
	T_GT(n, 0);
	buf[n] = 0;
	fclose(f);
}

static int dump_other(int fd)
{
	return weft_runtime_dump(other, fd);
}

static int dump_main(void *arg)
{
	static char text[65536];
	weft_chan *c = weft_chan_make(sizeof(int), 0);
	weft_task *t = start_in(other, waits, c), *mine = start(waits, c);

	(void)arg;
	until_parked(t);
	until_parked(mine);
	dumped(weft_dump, text, sizeof text);
	T_OK(strstr(text, "weft: 2 tasks on") != NULL);
	T_OK(strstr(text, "weft: runtime ") != NULL);
	T_OK(strstr(text, ", in runtime ") != NULL);
	T_OK(strstr(text, ", main") != NULL);
	dumped(dump_other, text, sizeof text);
	T_OK(strstr(text, "weft: 2 tasks on") == NULL);
	T_OK(strstr(text, ", in runtime ") != NULL);
	T_OK(strstr(text, ", main") == NULL);
	weft_chan_close(c);
	T_EQ(finish(t), WEFT_ECLOSED);
	T_EQ(finish(mine), WEFT_ECLOSED);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(dumps)
{
	beside(dump_main);
}

/* Nor need the default one be up. */
TEST(dumps_without_the_default_one)
{
	static char text[65536];
	weft_runtime *rt = made(1);
	weft_chan *c = weft_chan_make(sizeof(int), 0);
	weft_task *t = start_in(rt, waits, c);

	until_parked(t);
	dumped(weft_dump, text, sizeof text);
	T_OK(strstr(text, "weft: runtime ") != NULL);
	T_OK(strstr(text, "parked, chan receive") != NULL);
	weft_chan_close(c);
	T_EQ(finish(t), WEFT_ECLOSED);
	weft_chan_free(c);
	T_EQ(weft_free(rt, -1), 0);
	T_EQ(weft_dump(2), WEFT_ESRCH);
}

/* --- storms --- */

static int answers(void *arg)
{
	int n;

	while (weft_chan_recv(arg, &n) == 0)
		;
	return 0;
}

/* Numbers are used again while others' tasks wake those that waited in the last. */
static int storm_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 0);

	(void)arg;
	for (int i = 0; i < tap_iters(40); i++) {
		weft_runtime *rt = made(1 + i % 2);
		int64_t until_when = weft_in(i % 3 * 100 * WEFT_US);
		int n = i;

		for (int k = 0; k < 4; k++)
			T_EQ(weft_runtime_go(rt, NULL, answers, c, NULL), 0);
		while (weft_chan_send_until(c, &n, until_when) == 0)
			;
		T_OK(weft_free(rt, i % 2 ? -1 : WEFT_FOREVER) == 0);
	}
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(made_and_freed_again_and_again)
{
	run(storm_main, NULL);
}

struct stormer {
	pthread_t thread;
	weft_chan *c;
	int rounds;
};

static void *storms(void *arg)
{
	struct stormer *s = arg;

	for (int i = 0; i < s->rounds; i++) {
		weft_runtime *rt = made(1 + i % 2);
		weft_task *t[4];

		T_EQ(weft_runtime_use(rt), 0);
		T_OK(weft_runtime_self() == rt);
		for (int k = 0; k < 4; k++)
			T_EQ(weft_go_opts(&t[k], answers, s->c, NULL), 0);
		T_EQ(weft_runtime_use(NULL), 0);
		T_EQ(weft_free(rt, i % 3 ? -1 : WEFT_FOREVER), 0);
		for (int k = 0; k < 4; k++)
			if (weft_task_join(t[k], NULL)) /* it was left */
				weft_task_detach(t[k]);
	}
	return NULL;
}

static int feed_main(void *arg)
{
	struct stormer s[3] = {{.rounds = tap_iters(10)}};
	int n = 0;

	(void)arg;
	for (int i = 0; i < 3; i++) {
		s[i] = (struct stormer){.c = weft_chan_make(sizeof(int), 1), .rounds = tap_iters(10)};
		T_EQ(pthread_create(&s[i].thread, NULL, storms, &s[i]), 0);
	}
	for (int i = 0; i < tap_iters(3000); i++) {
		for (int k = 0; k < 3; k++)
			(void)weft_chan_trysend(s[k].c, &n);
		weft_task_yield();
	}
	for (int i = 0; i < 3; i++) {
		int rc;

		do {
			rc = pthread_tryjoin_np(s[i].thread, NULL);
			weft_task_yield();
		} while (rc == EBUSY);
		T_EQ(rc, 0);
		weft_chan_free(s[i].c);
	}
	return 0;
}

/* Three threads, each with runtimes of its own, one after the other; the default one's tasks wake theirs. */
TEST_WORKERS(three_threads_make_their_own)
{
	run(feed_main, NULL);
}

static void a_loop_of_its_own(void)
{
	struct loop *l;

	T_EQ(weft__loop_make(&l, &weft__rts[0]), 0);
	weft__loop_free(l);
}

static void *comes_second(void *first_over)
{
	DIR *d[4];

	while (!load_relaxed((ATOMIC(bool) *)first_over))
		sched_yield();
	for (int i = 0; i < 4; i++)
		T_OK((d[i] = opendir("/")) != NULL);
	for (int i = 0; i < 4; i++)
		T_EQ(closedir(d[i]), 0);
	a_loop_of_its_own();
	return NULL;
}

/* Threads that nothing orders are given each other's numbers of descriptors: that is no race, and TSan is not to take it for one. */
TEST(numbers_of_descriptors_go_round)
{
	ATOMIC(bool) first_over;
	pthread_t second;

	store_relaxed(&first_over, false);
	T_EQ(pthread_create(&second, NULL, comes_second, (void *)&first_over), 0);
	a_loop_of_its_own();
	store_relaxed(&first_over, true);
	T_EQ(pthread_join(second, NULL), 0);
}

/* --- deadlocks --- */

static int sends_late(void *arg)
{
	int n = 0;

	T_EQ(weft_task_sleep(3 * DEADLOCK_NS), 0); /* longer than a verdict takes */
	return weft_chan_send(arg, &n);
}

static int frees_late(void *arg)
{
	(void)arg;
	T_EQ(weft_task_sleep(3 * DEADLOCK_NS), 0);
	return weft_free(other, WEFT_FOREVER);
}

static int hopes_main(void *arg)
{
	weft_chan *c = arg;

	other = made(1);
	T_EQ(weft_runtime_go(other, NULL, sends_late, c, NULL), 0);
	T_EQ(weft_chan_recv(c, NULL), 0); /* nobody here can send */
	T_EQ(weft_runtime_go(NULL, NULL, frees_late, NULL, NULL), 0);
	return weft_chan_recv(c, NULL); /* nor anybody, when it is gone */
}

TEST_WORKERS(no_verdict_while_there_is_another)
{
	weft_chan *c = weft_chan_make(sizeof(int), 0);

	T_EQ(weft_run(hopes_main, c, &(weft_opts){.workers = tap_workers()}), WEFT_EDEADLK);
	weft_chan_free(c);
	nothing_left();
}

/* --- what threads choose --- */

static int self_is(void *arg)
{
	return weft_runtime_self() == arg;
}

TEST(a_thread_chooses)
{
	weft_runtime *a = made(1), *b = made(1);
	weft_ctx *ctx;
	weft_stat s;
	weft_task *t;
	int ret = 0;

	T_OK(weft_runtime_self() == NULL);
	T_EQ(weft_go_opts(NULL, self_is, NULL, NULL), WEFT_ESRCH); /* the default one is not up */
	T_EQ(weft_stats(&s), WEFT_ESRCH);
	T_EQ(weft_runtime_use(a), 0);
	T_EQ(weft_block_on(self_is, a, &ret), 0);
	T_EQ(ret, 1);
	T_EQ(weft_runtime_use(b), 0);
	T_EQ(weft_go_opts(&t, self_is, b, NULL), 0);
	T_EQ(finish(t), 1);
	T_EQ(weft_stats(&s), 0);
	T_EQ(s.workers, 1);
	T_EQ(s.started, 1);
	T_EQ(weft_state(), WEFT_STATE_RUNNING);
	T_EQ(weft_free(b, 0), 0);
	T_EQ(weft_state(), WEFT_STATE_DOWN);
	T_EQ(weft_go_opts(NULL, self_is, NULL, NULL), WEFT_ESRCH); /* it has gone */
	T_EQ(weft_ctx_reason(NULL), WEFT_REASON_SHUTDOWN);
	b = made(2); /* with the same number */
	T_EQ(weft_go_opts(NULL, self_is, NULL, NULL), WEFT_ESRCH);
	T_EQ(weft_pool_submit(NULL, self_is, b, NULL), WEFT_ESRCH);
	T_EQ(weft_pool_make(&pool, NULL), WEFT_ESRCH);
	T_EQ(weft_ctx_reason(NULL), WEFT_REASON_SHUTDOWN);
	ctx = weft_ctx_make(NULL);
	T_EQ(weft_ctx_reason(ctx), WEFT_REASON_SHUTDOWN);
	T_EQ(weft_ctx_wait(ctx), 0);
	weft_ctx_free(ctx);
	T_EQ(weft_runtime_stats(b, &s), 0);
	T_EQ(s.workers, 2);
	T_EQ(weft_runtime_stats(NULL, &s), WEFT_ESRCH);
	T_EQ(weft_runtime_dump(NULL, 2), WEFT_ESRCH);
	T_EQ(weft_runtime_use(NULL), 0);
	T_EQ(weft_free(a, 0), 0);
	T_EQ(weft_free(b, 0), 0);
	nothing_left();
}

/* --- where threads run --- */

static int makes_one(void *arg)
{
	*(weft_runtime **)arg = made(0);
	return 0;
}

/* By a task whose worker keeps to one CPU: it gets as many workers as one that a thread makes. */
TEST(made_by_a_pinned_worker)
{
	weft_runtime *rt, *pins;
	weft_stat s[2];

	T_EQ(weft_make(&rt, NULL), 0);
	T_EQ(weft_runtime_stats(rt, &s[0]), 0);
	T_EQ(weft_free(rt, 0), 0);
	T_EQ(weft_make(&pins, &(weft_opts){.workers = 1, .pin_workers = true}), 0);
	T_EQ(finish(start_in(pins, makes_one, &rt)), 0);
	T_EQ(weft_runtime_stats(rt, &s[1]), 0);
	T_EQ(s[1].workers, s[0].workers);
	T_EQ(weft_free(rt, 0), 0);
	T_EQ(weft_free(pins, 0), 0);
	nothing_left();
}

/* --- errors --- */

static int not_there(void *arg)
{
	T_EQ(weft_runtime_use(arg), WEFT_EINVAL);
	T_EQ(weft_free(arg, 0), WEFT_EDEADLK);
	return 0;
}

TEST(errors)
{
	weft_runtime *rt[64];
	int n = 0, rc;

	T_EQ(weft_make(NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_make(&rt[0], &(weft_opts){.workers = -1}), WEFT_EINVAL);
	T_OK(rt[0] == NULL);
	T_EQ(weft_free(NULL, 0), 0);
	while ((rc = weft_make(&rt[n], &(weft_opts){.workers = 1, .workers_max = 1, .spares = -1})) == 0)
		n++;
	T_EQ(rc, WEFT_EAGAIN);
	T_EQ(n, 31);
	T_OK(rt[n] == NULL);
	T_EQ(finish(start_in(rt[0], not_there, rt[0])), 0);
	T_EQ(weft_runtime_go(rt[0], NULL, NULL, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_runtime_go(NULL, NULL, not_there, NULL, NULL), WEFT_ESRCH);
	T_EQ(weft_runtime_shutdown(NULL, 0), WEFT_ESRCH);
	T_EQ(weft_runtime_use(NULL), 0);
	while (n-- > 0)
		T_EQ(weft_free(rt[n], 0), 0);
	nothing_left();
}

/* --- shutdown --- */

static int exits(void *arg)
{
	(void)arg;
	weft_exit(3);
	return 0;
}

static int shut_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 0);
	weft_runtime *rt = made(2);
	weft_task *t = start_in(rt, waits, c);

	(void)arg;
	T_EQ(weft_runtime_shutdown(rt, WEFT_FOREVER), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(weft_free(rt, 0), 0);
	rt = made(1);
	was_left(start_in(rt, exits, NULL)); /* it goes down by itself, and is freed all the same */
	until(weft_runtime_state(rt) == WEFT_STATE_DOWN);
	T_EQ(weft_runtime_go(rt, NULL, exits, NULL, NULL), WEFT_ESRCH);
	T_EQ(weft_free(rt, WEFT_FOREVER), 0);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(shut_down_from_outside)
{
	run(shut_main, NULL);
}

/* --- makers and freers that are left --- */

static weft_runtime *kept;

static ATOMIC(int) at_gate;

static int comes_to_gate(void *arg)
{
	store_release(&at_gate, 1);
	return passes_gate(arg);
}

static int blocks_on_gate(void *arg)
{
	static int n = 1;

	(void)arg;
	return weft_blocking(comes_to_gate, &n, NULL);
}

static int frees_kept(void *arg)
{
	(void)arg;
	return weft_free(kept, WEFT_FOREVER);
}

/* Who frees one that takes its time goes down itself: that one is seen out all the same. */
static int freer_goes_main(void *arg)
{
	weft_runtime *rt = made(1);
	weft_task *busy, *freer;
	weft_stat s;

	(void)arg;
	store_release(&gate, 0);
	store_release(&at_gate, 0);
	kept = made(1);
	busy = start_in(kept, blocks_on_gate, NULL);
	until(load_acquire(&at_gate) == 1); /* from here on it is waited for, cancelled or not */
	freer = start_in(rt, frees_kept, NULL);
	until(weft_runtime_state(kept) == WEFT_STATE_STOPPING);
	until_parked(freer);
	T_EQ(weft_free(rt, -1), 0);
	was_left(freer);
	store_release(&gate, 1);
	until(weft_runtime_stats(kept, &s) == WEFT_ESRCH);
	until(load_acquire(&weft__others) == 0);
	if (weft_task_join(busy, NULL)) /* it was left */
		weft_task_detach(busy);
	return 0;
}

TEST_WORKERS(who_frees_it_goes_first)
{
	run(freer_goes_main, NULL);
}

static int makes_and_frees(void *arg)
{
	add_acq_rel((int _Atomic *)arg, 1);
	for (;;) {
		weft_runtime *rt;
		char name[] = "short"; /* in the stack, as the options are */

		if (weft_make(&rt, &(weft_opts){.workers = 1, .worker_name = name}) == 0)
			T_EQ(weft_free(rt, 0), 0);
		memset(name, 0, sizeof name);
	}
	return 0;
}

static int lost_makers_main(void *arg)
{
	static ATOMIC(int) begun;

	(void)arg;
	for (int i = 0; i < tap_iters(16); i++) {
		weft_runtime *rt = made(1);
		weft_task *t[2];

		store_release(&begun, 0);
		for (int k = 0; k < 2; k++)
			t[k] = start_in(rt, makes_and_frees, (void *)&begun);
		until(load_acquire(&begun) == 2);
		for (int k = i % 8 * 4; k > 0; k--)
			let_run();
		T_EQ(weft_free(rt, -1), 0);
		for (int k = 0; k < 2; k++)
			was_left(t[k]);
	}
	until(load_acquire(&weft__others) == 0);
	return 0;
}

/* Left in the middle of making one, or of freeing it: no number is lost, and nothing of theirs. */
TEST_WORKERS(makers_that_are_left)
{
	run(lost_makers_main, NULL);
}

static weft_runtime *patient;

static int shuts_patient(void *arg)
{
	(void)arg;
	return weft_runtime_shutdown(patient, WEFT_FOREVER);
}

/* Who shuts another one down goes down itself meanwhile: that one is not kept up by it. */
static int shutter_goes_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 0);
	weft_runtime *rt = made(1);
	weft_task *shielded, *shutter;

	(void)arg;
	patient = made(1);
	shielded = start_in(patient, waits_shielded, c);
	until_parked(shielded);
	shutter = start_in(rt, shuts_patient, NULL);
	until_reason(shutter, "shutdown");
	T_EQ(weft_free(rt, -1), 0);
	until(weft_runtime_state(patient) == WEFT_STATE_DOWN);
	was_left(shutter);
	was_left(shielded);
	T_EQ(weft_free(patient, 0), 0);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(who_shuts_it_down_goes_first)
{
	run(shutter_goes_main, NULL);
}

/* --- paused --- */

TEST(paused)
{
	weft_runtime *rt;
	weft_task *t;

	T_EQ(weft_make(&rt, &(weft_opts){.workers = 2, .paused = true}), 0);
	T_EQ(weft_runtime_state(rt), WEFT_STATE_PAUSED);
	t = start_in(rt, self_is, rt);
	T_EQ(weft_task_stateof(t), WEFT_TASK_NEW);
	T_EQ(weft_runtime_use(rt), 0);
	T_EQ(weft_resume(), 0);
	T_EQ(weft_runtime_use(NULL), 0);
	T_EQ(finish(t), 1);
	T_EQ(weft_free(rt, 0), 0);
}
