/* SPDX-License-Identifier: MIT
 *
 * uv.c - requests of libuv's, awaited: results, errors, cancel and deadline, from tasks and threads, and the end of the runtime in the middle.
 */
#include "rt.h"

#include "weft/uv.h"

/* --- a timer of libuv's --- */

struct nap {
	uv_timer_t timer;
	weft_uv *call;
	uint64_t ms;
	int result;
	ATOMIC(int) started, stopped;
	int64_t deadline;
};

static void on_closed(uv_handle_t *h)
{
	struct nap *n = h->data;

	weft_uv_done(n->call, n->result);
}

static void on_timer(uv_timer_t *h)
{
	struct nap *n = h->data;

	n->result = 7;
	uv_close((uv_handle_t *)h, on_closed);
}

static int nap_start(uv_loop_t *loop, weft_uv *call, void *arg)
{
	struct nap *n = arg;

	add_relaxed(&n->started, 1); /* looked at by whoever waits for it */
	n->call = call;
	T_EQ(uv_timer_init(loop, &n->timer), 0);
	n->timer.data = n;
	return uv_timer_start(&n->timer, on_timer, n->ms, 0);
}

static void nap_stop(weft_uv *call, void *arg)
{
	struct nap *n = arg;

	T_OK(call == n->call);
	add_relaxed(&n->stopped, 1); /* the same */
	if (uv_is_closing((uv_handle_t *)&n->timer))
		return;
	n->result = UV_ECANCELED;
	uv_close((uv_handle_t *)&n->timer, on_closed);
}

static int naps(void *arg)
{
	struct nap *n = arg;

	return weft_uv_await_until(nap_start, nap_stop, n, n->deadline);
}

static int fails_at_once(uv_loop_t *loop, weft_uv *call, void *arg)
{
	(void)loop, (void)call, (void)arg;
	return UV_ENOSPC;
}

struct outside {
	struct nap nap;
	int result;
	ATOMIC(bool) over;
};

static void *naps_outside(void *arg)
{
	struct outside *o = arg;

	o->result = naps(&o->nap);
	store_release(&o->over, true);
	return NULL;
}

static int await_main(void *arg)
{
	struct outside o = {.nap = {.ms = 1, .deadline = WEFT_FOREVER}};
	struct nap n[10];
	weft_task *t[10];
	pthread_t th;

	(void)arg;
	for (int i = 0; i < 10; i++) {
		n[i] = (struct nap){.ms = (uint64_t)i % 3, .deadline = WEFT_FOREVER};
		t[i] = start(naps, &n[i]);
	}
	for (int i = 0; i < 10; i++) {
		T_EQ(finish(t[i]), 7);
		T_EQ(load_relaxed(&n[i].started), 1);
		T_EQ(load_relaxed(&n[i].stopped), 0);
	}
	T_EQ(pthread_create(&th, NULL, naps_outside, &o), 0);
	until(load_acquire(&o.over));
	T_EQ(pthread_join(th, NULL), 0);
	T_EQ(o.result, 7);
	T_EQ(weft_uv_await(fails_at_once, NULL, NULL), WEFT_ENOSPC);
	T_EQ(weft_uv_await(NULL, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_uv_await_until(nap_start, NULL, &n[1], WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_uv_await_until(nap_start, NULL, &n[1], 1), WEFT_ETIMEDOUT);
	weft_task_cancel(weft_task_self());
	T_EQ(weft_uv_await(nap_start, NULL, &n[1]), WEFT_ECANCELED);
	T_EQ(load_relaxed(&n[1].started), 1); /* never since */
	return 0;
}

/* The result is what the callback gave, or why it could not begin; at once, for tasks and for threads. */
TEST_WORKERS(awaited)
{
	struct nap n = {.ms = 1, .deadline = WEFT_FOREVER};

	T_EQ(naps(&n), WEFT_ESRCH);
	run(await_main, NULL);
}

static int frozen_main(void *arg)
{
	struct nap n = {.ms = 0, .deadline = WEFT_FOREVER};

	(void)arg;
	time_fake();
	T_EQ(finish(start(naps, &n)), 7);
	T_EQ(finish(start(naps, &n)), 7); /* the loop was looked at before, in the one moment that there is */
	time_move(3600 * WEFT_SEC);
	T_EQ(finish(start(naps, &n)), 7);
	time_real(); /* an hour back */
	T_EQ(finish(start(naps, &n)), 7);
	return 0;
}

static int busy(void *arg)
{
	while (!load_acquire((ATOMIC(bool) *)arg))
		weft_task_yield();
	return 0;
}

static int frozen_busy_main(void *arg)
{
	ATOMIC(bool) enough = false;
	weft_task *t = start(busy, &enough);

	frozen_main(arg);
	store_release(&enough, true);
	return finish(t);
}

/* However the clock of a test stands or jumps, a worker that does not run out of tasks looks at its loop. */
TEST_WORKERS(clock_stands_still)
{
	run(frozen_busy_main, NULL);
}

#define HOUR_MS (3600 * 1000)

static int stop_main(void *arg)
{
	struct nap long_one = {.ms = HOUR_MS, .deadline = WEFT_FOREVER}, late = {.ms = HOUR_MS};
	weft_task *t, *u;

	(void)arg;
	time_fake();
	late.deadline = weft_in(WEFT_SEC);
	t = start(naps, &long_one);
	u = start(naps, &late);
	until_reason(t, "libuv");
	until_reason(u, "libuv");
	until(load_relaxed(&long_one.started) && load_relaxed(&late.started));
	time_move(2 * WEFT_SEC);
	T_EQ(finish(u), WEFT_ETIMEDOUT);
	T_EQ(load_relaxed(&late.stopped), 1);
	weft_task_cancel(t);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(load_relaxed(&long_one.stopped), 1);
	time_real();
	return 0;
}

/* Cancelled, or too late: it is stopped, and over, when the call returns. */
TEST_WORKERS(stopped)
{
	run(stop_main, NULL);
}

static int cancel_main(void *arg)
{
	for (int i = 0; i < tap_iters(200); i++) {
		struct nap n = {.ms = (uint64_t)i % 2, .deadline = WEFT_FOREVER};
		weft_task *t = start(naps, &n);
		int rc;

		for (int k = 0; k < i % 5; k++)
			weft_task_yield();
		weft_task_cancel(t);
		rc = finish(t);
		T_OK(rc == 7 || rc == WEFT_ECANCELED);
		T_LE(load_relaxed(&n.started), 1);
	}
	(void)arg;
	return 0;
}

/* Whenever the cancel comes. */
TEST_WORKERS(stopped_any_time)
{
	run(cancel_main, NULL);
}

/* --- a request to the pool --- */

struct looked {
	uv_fs_t req;
	weft_uv *call;
};

static void on_looked(uv_fs_t *req)
{
	struct looked *l = container_of(req, struct looked, req);

	weft_uv_done(l->call, (int)req->result);
}

static int look_start(uv_loop_t *loop, weft_uv *call, void *arg)
{
	struct looked *l = arg;

	l->call = call;
	return uv_fs_stat(loop, &l->req, "/", on_looked);
}

static int looks(void *arg)
{
	struct looked l;
	int rc = weft_uv_await(look_start, NULL, &l);

	(void)arg;
	if (rc == 0) {
		T_OK(S_ISDIR(l.req.statbuf.st_mode));
		uv_fs_req_cleanup(&l.req);
	}
	return rc;
}

static int pool_main(void *arg)
{
	weft_task *t[20];

	(void)arg;
	for (int i = 0; i < 20; i++)
		t[i] = start(looks, NULL);
	for (int i = 0; i < 20; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

TEST_WORKERS(requests_to_the_pool)
{
	run(pool_main, NULL);
}

/* --- the runtime goes down --- */

static struct nap left[3];

static int leaves(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++) {
		weft_task *t;

		left[i] = (struct nap){.ms = i == 2 ? 1 : HOUR_MS, .deadline = WEFT_FOREVER};
		t = start(naps, &left[i]);
		if (i < 2)
			until_reason(t, "libuv");
		weft_task_detach(t);
	}
	return 0;
}

/* What is under way is stopped, and over when weft_run returns; what had not begun never does. */
TEST_WORKERS(stopped_at_the_end)
{
	ends_with_main();
	run(leaves, NULL);
	for (int i = 0; i < 3; i++)
		T_LE(load_relaxed(&left[i].stopped), load_relaxed(&left[i].started));
	for (int i = 0; i < 2; i++)
		T_EQ(load_relaxed(&left[i].stopped), load_relaxed(&left[i].started));
}

/* --- misuse --- */

static int off_start(uv_loop_t *loop, weft_uv *call, void *arg)
{
	(void)loop;
	*(weft_uv **)arg = call;
	return 0;
}

static int off_awaits(void *arg)
{
	return weft_uv_await(off_start, NULL, arg);
}

static int off_main(void *arg)
{
	weft_uv *volatile call = NULL;

	(void)arg;
	start(off_awaits, (void *)&call);
	while (!call)
		weft_task_yield();
	weft_uv_done(call, 0);
	return 0;
}

TEST_DIES(done_off_the_loop, "weft_uv_done was called off its loop")
{
	weft_run(off_main, NULL, &(weft_opts){.workers = 1});
}

static int leaks_start(uv_loop_t *loop, weft_uv *call, void *arg)
{
	(void)call;
	T_EQ(uv_timer_init(loop, arg), 0);
	T_EQ(uv_timer_start(arg, (uv_timer_cb)abort, HOUR_MS, 0), 0);
	return UV_EIO;
}

static int leak_main(void *arg)
{
	static uv_timer_t timer;

	(void)arg;
	T_EQ(weft_uv_await(leaks_start, NULL, &timer), UV_EIO);
	return 0;
}

TEST_DIES(left_open, "a libuv handle (timer) was left open")
{
	weft_run(leak_main, NULL, &(weft_opts){.workers = 1});
}
