/* SPDX-License-Identifier: MIT
 *
 * several_erl.c - a node in a runtime of its own (or in weft_run's), used by tasks of others and by threads: as if they were its own; and when either goes down the other goes on, and hears of it.
 */
#include "several.h"

#include "../erl.h"
#include "actors.h"
#include "weft/blocking.h"
#include "weft/several.h"

#define A "a@127.0.0.1"
#define B "b@127.0.0.1"
#define C "c@127.0.0.1"
#define TO_STORE weft_erl_at("store", B)

/* What tasks have that are left is lost: LeakSanitizer is not to look. */
static bool some_are_left;
int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
	return some_are_left;
}

static void run_left(weft_task_fn *fn)
{
	int fds;

	some_are_left = true;
	warm_up();
	fds = rt_fds();
	T_EQ(weft_run(fn, NULL, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(rt_fds(), fds);
}

/* --- nodes: a in the runtime of the question; epmd, b and a store in that of the caller --- */

struct world {
	weft_runtime *home;
	struct epmd d;
	weft_erl *a, *b;
	struct store s;
	weft_actor_ref store;
};

static int begin_node(struct epmd *d, weft_erl **n, const char *name)
{
	return weft_erl_start(n, name, "cookie", &(weft_erl_opts){.listen = "127.0.0.1:0", .epmd_port = d->port});
}

static int begins_a(void *arg)
{
	struct world *w = arg;

	return begin_node(&w->d, &w->a, A);
}

static void world_begin(struct world *w, weft_runtime *home)
{
	memset(w, 0, sizeof *w);
	w->home = home;
	book_open(&w->d);
	T_EQ(begin_node(&w->d, &w->b, B), 0);
	w->store = store_start(&w->s);
	T_EQ(finish(start_in(home, begins_a, w)), 0);
}

static void world_end(struct world *w)
{
	end_actor(w->store);
	T_EQ(weft_erl_stop(w->b), 0);
	book_close(&w->d);
}

static int gets(void *arg)
{
	struct world *w = arg;
	char got[64];

	return call_term(w->a, TO_STORE, TERM("get"), got, sizeof got, WEFT_FOREVER);
}

static int waits(void *arg)
{
	struct world *w = arg;
	char got[64];

	return call_term(w->a, TO_STORE, TERM("silent"), got, sizeof got, WEFT_FOREVER);
}

static weft_task *waits_in(weft_runtime *rt, struct world *w)
{
	int asked = w->s.asked;
	weft_task *t = start_in(rt, waits, w);

	until(w->s.asked > asked);
	return t;
}

static int stops(void *arg)
{
	struct world *w = arg;

	return weft_erl_stop_until(w->a, weft_in(20 * WEFT_SEC));
}

static void until_no_calls(weft_erl *n)
{
	weft_erl_stat st;

	do {
		let_run();
		T_EQ(weft_erl_stats(n, &st), 0);
	} while (st.calls > 0);
}

/* --- all that may be asked --- */

static weft_actor_ref there;

static int asks_all(void *arg)
{
	struct world *w = arg;
	ei_x_buff reply = {.buff = NULL};
	weft_actor_ref me = WEFT_NO_ACTOR;
	char got[256];
	weft_erl_stat st;
	erlang_pid pid;

	if (weft_task_self()) {
		T_EQ(weft_actor_attach(&me, NULL), 0);
		T_EQ(weft_erl_pid(w->a, me, &pid), 0);
	}
	T_EQ(weft_erl_pid(w->a, WEFT_NO_ACTOR, &pid), WEFT_ESRCH);
	T_EQ(weft_erl_watch(w->a, B), 0);
	T_EQ(weft_erl_disconnect(w->a, B), WEFT_ENOTCONN);
	T_OK(!weft_erl_connected(w->a, B));
	T_EQ(weft_erl_connect_until(w->a, B, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_erl_connect(w->a, "nobody@127.0.0.1"), WEFT_ENOENT);
	T_EQ(weft_erl_connect(w->a, NULL), WEFT_EINVAL);
	T_EQ(weft_erl_connect(w->a, B), 0);
	T_OK(weft_erl_connected(w->a, B));
	T_EQ(weft_erl_ping(w->a, B), 0);
	T_EQ(cast_term(w->a, TO_STORE, TERM("{add,5}")), 0);
	T_EQ(call_term(w->a, TO_STORE, TERM("{add,6}"), got, sizeof got, WEFT_FOREVER), 0);
	T_STR_EQ(got, "11");
	T_EQ(call_term(w->a, weft_erl_at("nobody", B), TERM("get"), got, sizeof got, WEFT_FOREVER), WEFT_ESRCH);
	T_EQ(call_term(w->a, TO_STORE, TERM("get"), got, sizeof got, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_erl_send(w->a, TO_STORE, NULL, 1), WEFT_EINVAL);
	T_EQ(weft_erl_send(w->a, TO_STORE, "", (size_t)1 << 30), WEFT_EMSGSIZE);
	T_EQ(weft_erl_call(w->a, weft_erl_at(NULL, NULL), "j", 1, &reply), WEFT_EINVAL);
	T_OK(!reply.buff);
	T_EQ(weft_erl_stand_in(w->a, &there, TO_STORE), 0);
	T_EQ(weft_server_call(there, 0, "w\3get", 5, got, sizeof got), 2);
	T_EQ(weft_erl_pid(w->b, w->store, &pid), 0);
	T_EQ(send_term(w->a, weft_erl_at_pid(&pid), TERM("hello")), 0);
	until(w->s.info == 1);
	if (weft_task_self()) {
		struct ear e;
		weft_actor_ref ear = ear_start(&e, 0);

		T_EQ(send_term(w->a, weft_erl_at("ear", B), TERM("x")), 0);
		ear_until(&e, 1);
		T_EQ(weft_erl_pid(w->a, me, &pid), 0);
		T_OK(pid.num == e.from.num && pid.serial == e.from.serial);
		end_actor(ear);
	}
	T_EQ(weft_erl_stats(w->a, &st), 0);
	T_EQ(st.nodes, 1);
	T_EQ(st.calls, 0);
	return 0;
}

static int others_ask(void *arg)
{
	weft_runtime *home = made(tap_workers()), *rt = made(2);
	struct world w;

	(void)arg;
	world_begin(&w, home);
	T_EQ(finish(start_in(rt, asks_all, &w)), 0);
	T_EQ(weft_free(rt, WEFT_FOREVER), 0);
	T_OK(weft_erl_connected(w.a, B)); /* is no matter of who has dialed */
	T_OK(weft_actor_alive(there));
	T_EQ(finish(start_in(home, gets, &w)), 0);
	T_EQ(stops(&w), 0);
	(void)weft_actor_wait(there, NULL);
	T_EQ(weft_free(home, WEFT_FOREVER), 0);
	world_end(&w);
	return 0;
}

TEST_WORKERS(tasks_of_others_may_ask)
{
	run_net(others_ask, NULL);
}

/* --- threads, and no runtime but the node's --- */

static int begins_world(void *arg)
{
	struct world *w = arg;

	world_begin(w, w->home);
	return 0;
}

static int ends_world(void *arg)
{
	world_end(arg);
	return 0;
}

TEST_WORKERS(threads_need_no_runtime_of_their_own)
{
	static struct world w;
	weft_runtime *home = made(tap_workers());

	w.home = home;
	T_EQ(finish(start_in(home, begins_world, &w)), 0);
	w.home = home;
	T_EQ(asks_all(&w), 0);
	T_EQ(weft_erl_stop(w.a), 0);
	(void)weft_actor_wait(there, NULL);
	T_EQ(finish(start_in(home, ends_world, &w)), 0);
	T_EQ(weft_free(home, WEFT_FOREVER), 0);
	nothing_left();
}

/* --- deadlines, and cancelling --- */

static int waits_shielded(void *arg)
{
	int rc = 0;

	WEFT_WITH_SHIELD
	{
		rc = gets(arg);
	}
	T_EQ(weft_ctx_check(), WEFT_ECANCELED);
	T_EQ(gets(arg), WEFT_ECANCELED); /* it is not begun */
	T_OK(weft_erl_connected(((struct world *)arg)->a, B));
	return rc;
}

static int bounded(void *arg)
{
	weft_runtime *home = made(tap_workers());
	weft_ctx *ctx = weft_ctx_make(NULL);
	char got[64];
	struct world w;
	weft_task *t;
	int rc = 0, asked;

	(void)arg;
	world_begin(&w, home);
	T_EQ(gets(&w), 0);
	T_EQ(call_term(w.a, TO_STORE, TERM("silent"), got, sizeof got, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(call_term(w.a, TO_STORE, TERM("silent"), got, sizeof got, 1), WEFT_ETIMEDOUT);
	WEFT_WITH_TIMEOUT (10 * WEFT_MS)
		rc = waits(&w);
	T_EQ(rc, WEFT_ETIMEDOUT);
	t = waits_in(NULL, &w);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	asked = w.s.asked;
	T_EQ(weft_go_opts(&t, waits, &w, &(weft_task_opts){.ctx = ctx}), 0);
	until(w.s.asked > asked);
	T_EQ(weft_ctx_cancel(ctx, 0), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(weft_go_opts(&t, waits_shielded, &w, &(weft_task_opts){.ctx = ctx}), 0);
	T_EQ(finish(t), 0);
	until_no_calls(w.a);
	weft_ctx_free(ctx);
	t = waits_in(NULL, &w);
	T_EQ(finish(start_in(home, stops, &w)), 0);
	T_EQ(finish(t), WEFT_ECLOSED);
	T_EQ(weft_free(home, WEFT_FOREVER), 0);
	world_end(&w);
	return 0;
}

TEST_WORKERS(calls_from_elsewhere_end_with_their_callers_time)
{
	run_net(bounded, NULL);
}

/* --- the caller's runtime goes --- */

/* The first to need the connection; then nothing of it is that one's. */
static int dialer_goes(void *arg)
{
	static const int64_t graces[] = {20 * WEFT_SEC, WEFT_NOW, -1};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(graces); i++) {
		weft_runtime *home = made(tap_workers()), *rt = made(2);
		struct world w;

		world_begin(&w, home);
		T_EQ(finish(start_in(rt, gets, &w)), 0);
		T_EQ(weft_free(rt, graces[i]), 0);
		T_OK(weft_erl_connected(w.a, B));
		T_EQ(finish(start_in(home, gets, &w)), 0);
		T_EQ(finish(start_in(home, stops, &w)), 0);
		T_EQ(weft_free(home, WEFT_FOREVER), 0);
		world_end(&w);
	}
	return 0;
}

TEST_WORKERS(a_connection_outlives_who_has_dialed)
{
	run_net(dialer_goes, NULL);
}

/* A call of one that is left is none of n's any more. */
static int caller_goes(void *arg)
{
	weft_runtime *home = made(tap_workers()), *rt = made(2);
	weft_task *t[5];
	struct world w;

	(void)arg;
	world_begin(&w, home);
	for (int i = 0; i < 5; i++)
		t[i] = waits_in(rt, &w);
	T_EQ(weft_free(rt, -1), 0);
	for (int i = 0; i < 5; i++)
		was_left(t[i]);
	for (int i = 0; i < 100; i++)
		T_EQ(finish(start_in(home, gets, &w)), 0);
	until_no_calls(w.a);
	T_EQ(weft_erl_disconnect(w.a, B), 0);
	T_EQ(weft_erl_watch(w.a, B), 0);
	T_EQ(stops(&w), 0);
	T_EQ(weft_free(home, WEFT_FOREVER), 0);
	world_end(&w);
	return 0;
}

TEST_WORKERS(a_call_that_is_left_is_given_up)
{
	run_left(caller_goes);
}

static int connects_c(void *arg)
{
	return weft_erl_connect(((struct world *)arg)->a, C);
}

static int dial_is_left(void *arg)
{
	weft_runtime *home = made(tap_workers()), *rt = made(2);
	weft_tcp_listener *mute = listen_at("127.0.0.1:0", NULL);
	struct world w;
	weft_erl *c;
	weft_tcp *tcp;
	weft_task *t;

	(void)arg;
	world_begin(&w, home);
	T_EQ(weft_mutex_lock(&w.d.lock), 0);
	w.d.book[w.d.count++] = (struct book){"c", port_of(mute)};
	weft_mutex_unlock(&w.d.lock);
	t = start_in(rt, connects_c, &w);
	T_EQ(weft_tcp_accept(mute, &tcp), 0);
	T_EQ(weft_free(rt, -1), 0);
	was_left(t);
	T_EQ(weft_mutex_lock(&w.d.lock), 0);
	w.d.count = book_find(&w.d, "c"); /* the last */
	weft_mutex_unlock(&w.d.lock);
	T_EQ(begin_node(&w.d, &c, C), 0);
	T_EQ(finish(start_in(home, connects_c, &w)), 0);
	weft_tcp_close(tcp);
	T_EQ(weft_tcp_listener_close(mute), 0);
	T_EQ(stops(&w), 0);
	T_EQ(weft_free(home, WEFT_FOREVER), 0);
	T_EQ(weft_erl_stop(c), 0);
	world_end(&w);
	return 0;
}

TEST_WORKERS(a_dial_that_is_left_is_given_up)
{
	run_left(dial_is_left);
}

/* --- the node's runtime goes --- */

static int home_goes(void *arg)
{
	static const int64_t graces[] = {20 * WEFT_SEC, WEFT_NOW, -1};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(graces); i++) {
		weft_runtime *home = made(tap_workers());
		struct world w;
		weft_erl_stat st;
		weft_task *t;
		int rc;

		world_begin(&w, home);
		t = waits_in(NULL, &w);
		rc = weft_free(home, graces[i]);
		T_OK(rc == 0 || (rc == WEFT_ETIMEDOUT && graces[i] == WEFT_NOW));
		rc = finish(t);
		T_OK(rc == WEFT_ECLOSED || (rc == WEFT_ENOTCONN && graces[i] >= 0)); /* there its tasks end in order, or may */
		T_EQ(gets(&w), WEFT_ECLOSED);
		T_OK(!weft_erl_connected(w.a, B));
		T_EQ(weft_erl_stats(w.a, &st), WEFT_ECLOSED);
		T_EQ(weft_erl_stop(w.a), 0);
		do {
			let_run();
			rc = begins_a(&w);
		} while (rc == WEFT_EEXIST); /* epmd has not heard yet */
		T_EQ(rc, 0);
		T_EQ(weft_erl_watch(w.b, A), 0);
		T_EQ(gets(&w), 0);
		T_EQ(stops(&w), 0);
		world_end(&w);
	}
	return 0;
}

TEST_WORKERS(a_node_whose_runtime_has_gone_is_stopped_all_the_same)
{
	run_left(home_goes);
}

static struct world one;
static _Atomic int heard, stopped;
static bool job_stops;

static int job(void *arg)
{
	heard = waits(arg);
	if (job_stops)
		stopped = weft_erl_stop(one.a); /* its tasks are not called off yet: that waits for us */
	return 0;
}

static int has_job(void *arg)
{
	return weft_blocking(job, arg, NULL);
}

static int exits(void *arg)
{
	(void)arg;
	world_begin(&one, NULL);
	(void)start(has_job, &one);
	until(one.s.asked == 1);
	weft_exit(0);
	return 0;
}

/* What runs on another thread while its runtime goes down, which waits for it. */
TEST_WORKERS(a_job_hears_that_its_node_has_gone)
{
	some_are_left = true;
	T_EQ(weft_run(exits, NULL, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(heard, WEFT_ECLOSED);
	T_EQ(weft_erl_stop(one.a), 0);
	T_EQ(weft_erl_stop(one.b), 0);
}

TEST_WORKERS(a_job_stops_a_node_whose_runtime_goes)
{
	some_are_left = true;
	job_stops = true;
	stopped = 1;
	T_EQ(weft_run(exits, NULL, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(heard, WEFT_ECLOSED);
	T_EQ(stopped, 0);
	T_EQ(weft_erl_stop(one.b), 0);
}
