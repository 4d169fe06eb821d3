/* SPDX-License-Identifier: MIT
 *
 * solo.c - when elision is on, when it is not, and that nothing is lost when it ends.
 */
#include "weft/future.h"
#include "weft/group.h"
#include "departure.h"

static int state_in(void *arg)
{
	(void)arg;
	return (int)load_relaxed(&weft__solo.state);
}

static int run_state(int workers)
{
	return weft_run(state_in, NULL, &(weft_opts){.workers = workers});
}

static void *run_elsewhere(void *arg)
{
	return (void *)(intptr_t)run_state(*(int *)arg);
}

static int elsewhere(int workers)
{
	pthread_t th;
	void *ret;

	T_EQ(pthread_create(&th, NULL, run_elsewhere, &workers), 0);
	T_EQ(pthread_join(th, &ret), 0);
	return (int)(intptr_t)ret;
}

TEST(one_worker_alone)
{
	departure_possible();
	T_EQ(run_state(1), SOLO_ON);
	T_EQ(load_relaxed(&weft__solo.state), SOLO_OFF);
}

/* What the owner does between two runs does not count, and neither do workers that are not alone. */
TEST(again_and_again)
{
	weft_chan *c = weft_chan_make(1, 1);

	departure_possible();
	T_EQ(weft_chan_send(c, "x"), 0);
	T_EQ(run_state(1), SOLO_ON);
	T_EQ(weft_chan_recv(c, NULL), 0);
	T_EQ(run_state(8), SOLO_OFF);
	T_EQ(run_state(1), SOLO_ON);
	T_EQ(run_state(2), SOLO_OFF);
	weft_chan_free(c);
	T_EQ(run_state(1), SOLO_ON);
}

/* A runtime on the first thread that ever used weft, which was not this one. */
TEST(on_any_thread)
{
	departure_possible();
	T_EQ(elsewhere(1), SOLO_ON);
}

TEST(never_on_a_second_thread)
{
	departure_possible();
	T_EQ(run_state(1), SOLO_ON);
	T_EQ(elsewhere(1), SOLO_NEVER);
	T_EQ(run_state(1), SOLO_NEVER);
}

static void *looks(void *arg)
{
	weft_chan_len(arg);
	return NULL;
}

TEST(never_after_a_thread_between_runs)
{
	weft_chan *c = weft_chan_make(1, 1);
	pthread_t th;

	departure_possible();
	T_EQ(run_state(1), SOLO_ON);
	T_EQ(pthread_create(&th, NULL, looks, c), 0);
	T_EQ(pthread_join(th, NULL), 0);
	T_EQ(run_state(1), SOLO_NEVER);
	weft_chan_free(c);
}

static void *just_is(void *arg)
{
	while (!load_acquire((ATOMIC(int) *)arg))
		sched_yield();
	return NULL;
}

static int outlasts_the_monitor(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20; i++) {
		int64_t until = weft_now() + 3 * WEFT_MS;

		while (i % 2 && weft_now() < until)
			weft_task_yield();
		weft_task_sleep(3 * WEFT_MS);
	}
	return (int)load_relaxed(&weft__solo.state);
}

/* The monitor, and threads that do not use weft, end nothing. */
TEST(others_do_not_count)
{
	ATOMIC(int) stop = 0;
	pthread_t th;

	departure_possible();
	T_EQ(pthread_create(&th, NULL, just_is, &stop), 0);
	T_EQ(weft_run(outlasts_the_monitor, NULL, &(weft_opts){.workers = 1}), SOLO_ON);
	store_release(&stop, 1);
	T_EQ(pthread_join(th, NULL), 0);
}

static int dumps(void *arg)
{
	(void)arg;
	store_relaxed(&weft__dump_wanted, 1u); /* as the SIGQUIT handler does */
	until(!load_relaxed(&weft__dump_wanted));
	weft_task_sleep(20 * WEFT_MS);
	return (int)load_relaxed(&weft__solo.state);
}

/* Neither does a dump that the monitor prints. */
TEST(dumps_do_not_count)
{
	departure_possible();
	T_EQ(weft_run(dumps, NULL, &(weft_opts){.workers = 1}), SOLO_ON);
}

/* Every public call that touches what is elided ends it, whichever comes first. */
struct first_call {
	weft_chan *c;
	weft_task *t;
	weft_ctx *ctx;
	weft_timer *timer;
	weft_mutex m;
	weft_wg g;
	weft_promise *p;
	weft_future *f;
	weft_ctx *below;
	weft_ctx_hook *hook;
	weft_event e;
	weft_group crew;
	weft_sema s;
	int which;
	ATOMIC(int) done;
};

enum { FIRST_CALLS = 27 };

static void nothing(void *arg)
{
	(void)arg;
}

static int naught(void *arg)
{
	(void)arg;
	return 0;
}

static int waits_for(void *arg)
{
	return weft_chan_recv(arg, NULL);
}

static void *calls_first(void *arg)
{
	struct first_call *k = arg;
	weft_case none[] = {WEFT_RECV(k->c, NULL), WEFT_CASE_OF(.kind = WEFT_CASE_DEFAULT)};
	weft_stat st;

	switch (k->which) {
	case 0:
		T_EQ(weft_chan_send(k->c, "x"), 0);
		break;
	case 1:
		T_EQ(weft_chan_recv_until(k->c, NULL, WEFT_NOW), WEFT_EAGAIN);
		break;
	case 2:
		T_EQ(weft_chan_trysend(k->c, "x"), 0);
		break;
	case 3:
		T_EQ(weft_chan_tryrecv(k->c, NULL), WEFT_EAGAIN);
		break;
	case 4:
		T_EQ(weft_chan_close(k->c), 0);
		break;
	case 5:
		T_EQ(weft_chan_len(k->c), 0);
		break;
	case 6:
		T_EQ(weft_chan_select(none, 2), 1);
		break;
	case 7:
		T_EQ(weft_ctx_cancel(k->ctx, WEFT_REASON_CANCELED), 0);
		break;
	case 8:
		T_EQ(weft_task_cancel(k->t), 0);
		break;
	case 9:
		weft_task_unpark(k->t);
		break;
	case 10:
		T_EQ(weft_task_join_until(k->t, NULL, WEFT_NOW), WEFT_EAGAIN);
		break;
	case 11:
		T_EQ(weft_mutex_trylock(&k->m), 0);
		break;
	case 12:
		weft_wg_add(&k->g, 1);
		break;
	case 13:
		T_EQ(weft_wg_wait(&k->g), 0);
		break;
	case 14:
		T_EQ(weft_timer_stop(k->timer), 1);
		break;
	case 15:
		T_EQ(weft_timer_reset(k->timer, WEFT_SEC), 1);
		break;
	case 16:
		T_EQ(weft_go(nothing, NULL), 0);
		break;
	case 17:
		T_EQ(weft_block_on(naught, NULL, NULL), 0);
		break;
	case 18:
		T_EQ(weft_stats(&st), 0);
		break;
	case 19:
		weft_promise_free(k->p);
		k->p = NULL;
		break;
	case 20:
		weft_future_free(k->f);
		k->f = NULL;
		break;
	case 21:
		weft_ctx_free(weft_ctx_make(k->ctx));
		break;
	case 22:
		weft_ctx_free(k->below);
		k->below = NULL;
		break;
	case 23:
		T_EQ(weft_ctx_forget(k->hook), 1);
		k->hook = NULL;
		break;
	case 24:
		T_OK(!weft_event_isset(&k->e));
		break;
	case 25:
		T_EQ(weft_group_close(&k->crew), 0);
		break;
	case 26:
		weft_sema_release(&k->s, 1);
		break;
	default:
		break;
	}
	T_EQ(load_relaxed(&weft__solo.state), SOLO_NEVER);
	store_release(&k->done, 1);
	return NULL;
}

static int first_call_main(void *arg)
{
	struct first_call *k = arg;
	pthread_t th;
	weft_chan *quiet = weft_chan_make(1, 0);

	k->c = weft_chan_make(1, 4);
	k->ctx = weft_ctx_make(NULL);
	k->timer = weft_timer_make(WEFT_SEC);
	T_EQ(weft_go_opts(&k->t, waits_for, quiet, &(weft_task_opts){.ctx = k->ctx}), 0);
	until_parked(k->t);
	T_EQ(weft_promise_make(0, &k->p, &k->f), 0);
	k->below = weft_ctx_make(k->ctx);
	k->hook = weft_ctx_on_done(k->ctx, nothing, NULL);
	T_EQ(weft_group_init(&k->crew, NULL), 0);
	T_EQ(load_relaxed(&weft__solo.state), SOLO_ON);
	T_EQ(pthread_create(&th, NULL, calls_first, k), 0);
	until(load_acquire(&k->done));
	T_EQ(pthread_join(th, NULL), 0);
	weft_ctx_cancel(k->ctx, WEFT_REASON_CANCELED);
	finish(k->t);
	weft_timer_free(k->timer);
	weft_promise_free(k->p);
	weft_future_free(k->f);
	weft_ctx_free(k->below);
	weft_ctx_forget(k->hook);
	weft_group_close(&k->crew);
	weft_ctx_free(k->ctx);
	weft_chan_free(k->c);
	weft_chan_free(quiet);
	return 0;
}

TEST(every_call_counts)
{
	departure_possible();
	for (int i = 0; i < FIRST_CALLS; i++) {
		struct first_call k = {.which = i};

		departure__again();
		T_EQ(weft_run(first_call_main, &k, &(weft_opts){.workers = 1}), 0);
		T_EQ(load_relaxed(&weft__solo.state), SOLO_NEVER);
	}
}

/* Each in a process of its own. */
TEST(nothing_lost_when_it_ends)
{
	tap_limit(120);
	departures(tap_iters(300), 1);
}

TEST(nothing_lost_when_it_ends_again)
{
	tap_limit(120);
	departures(tap_iters(1000), 50);
}
