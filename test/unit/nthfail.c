/* SPDX-License-Identifier: MIT
 *
 * nthfail.c - the n-th call for memory, mappings or descriptors, or of a socket's, fails, for all n: on the way to a runtime, a task, a timer, a channel,
 * a context, a select of 100 cases, a listener, a connection, and to reads, writes and waits that have to wait.  An error comes back (or a task waits for
 * its stack and runs later, and accept for a descriptor), and nothing is left.
 */
#include "faileach.h"
#include "names.h"
#include "net.h"

#include "weft/bcast.h"
#include "weft/group.h"
#include "weft/cmap.h"
#include "weft/flight.h"
#include "weft/future.h"
#include "weft/breaker.h"
#include "weft/bulkhead.h"
#include "weft/flow.h"
#include "weft/limit.h"
#include "weft/limiter.h"
#include "weft/retry.h"
#include "weft/opool.h"
#include "weft/udp.h"
#include "weft/waker.h"
#include "weft/scope.h"
#include "weft/watch.h"
#include <stdlib.h>

static int returns_five(void *arg)
{
	(void)arg;
	return 5;
}

/* Descriptors are counted meanwhile: the monitor opens none for a moment, which it does to look for deadlocks and for workers that are stuck. */
static const weft_opts counted = {.no_deadlock = true, .spares = -1};

static bool is_shortage(int rc)
{
	return rc == WEFT_ENOMEM || rc == WEFT_EMFILE || rc == WEFT_EAGAIN || rc == -ENOBUFS;
}

/* Things the process makes once and keeps, so that they do not count as left. */
static void run_twice(void)
{
	for (int i = 0; i < 2; i++)
		T_EQ(run_with(returns_five, NULL, (weft_opts){.workers = 0}), 5);
}

/* --- the runtime --- */

static void bring_up(bool all, bool warm)
{
	int refused = 0;

	for (long n = 1;; n++) {
		bool fired;
		int rc, fds = rt_fds();

		if (all)
			failpoint_arm_all(n);
		else
			failpoint_arm(n);
		rc = weft_run(returns_five, NULL, &(weft_opts){.workers = tap_workers()});
		fired = failpoint_fired();
		failpoint_disarm();
		if (rc != 5 && !is_shortage(rc))
			T_FAIL("call %ld (%s): %d", n, failpoint_name(), rc);
		refused += rc != 5;
		nothing_left();
		if (warm && rt_fds() != fds)
			T_FAIL("call %ld (%s): %d descriptors, before %d", n, failpoint_name(), rt_fds(), fds);
		if (!fired)
			break;
		T_LT(n, 2000);
	}
	T_GT(refused, 0);
	T_EQ(run_with(returns_five, NULL, (weft_opts){.workers = 0}), 5);
}

/* The first start of a runtime in a process, which makes what stays. */
TEST_WORKERS(first_runtime)
{
	bring_up(false, false);
}

TEST_WORKERS(any_runtime)
{
	run_twice();
	bring_up(false, true);
}

/* From the n-th call on all fail: also the second try and the fallback. */
TEST_WORKERS(runtime_all_fail)
{
	run_twice();
	bring_up(true, true);
}

/* --- what a running program makes --- */

enum { CASES = 100 };

static int make_task(void)
{
	weft_task *t;
	int ret = 0, rc = weft_go_opts(&t, returns_five, NULL, NULL);

	if (rc) {
		T_EQ(t, NULL);
		return rc;
	}
	T_EQ(weft_task_join(t, &ret), 0); /* it may have waited for a stack */
	T_EQ(ret, 5);
	return 0;
}

static int make_fancy_task(void)
{
	weft_task *t;
	int ret = 0, rc = weft_go_opts(&t, returns_five, NULL, &(weft_task_opts){.name = "fancy", .stack = 1 << 20, .now = true});

	if (rc) {
		T_EQ(t, NULL);
		return rc;
	}
	T_EQ(weft_task_join(t, &ret), 0);
	T_EQ(ret, 5);
	return 0;
}

static ATOMIC(int) ended;

static void ends(void)
{
	add_relaxed(&ended, 1);
}

static int make_detached(void)
{
	int rc, before = load_relaxed(&ended);

	rc = weft_go(ends);
	if (!rc)
		until(load_relaxed(&ended) == before + 1);
	return rc;
}

static int make_crowd(void)
{
	enum { CROWD = 300 }; /* more than caches and a slab hold */
	int rc = 0, started = 0, before = load_relaxed(&ended);

	while (started < CROWD && !rc) {
		rc = weft_go(ends);
		started += !rc;
	}
	until(load_relaxed(&ended) == before + started);
	return rc;
}

static int sleeper_task(void *arg)
{
	(void)arg;
	return weft_task_sleep(10 * WEFT_US);
}

static int make_sleepers(void)
{
	weft_task *t[50];
	int rc = 0, n = 0;

	while (n < 50 && !rc) {
		rc = weft_go_opts(&t[n], sleeper_task, NULL, NULL);
		n += !rc;
	}
	while (n > 0)
		T_EQ(finish(t[--n]), 0);
	return rc;
}

static int make_chan(void)
{
	weft_chan *c = weft_chan_make(100, 1000);

	if (!c)
		return WEFT_ENOMEM;
	weft_chan_free(c);
	return 0;
}

static int make_ctx(void)
{
	weft_ctx *a = weft_ctx_make(NULL), *b = a ? weft_ctx_with_deadline(a, weft_in(WEFT_SEC)) : NULL;
	weft_task *t;
	int rc = a && b ? 0 : WEFT_ENOMEM;

	if (!rc && (rc = weft_go_opts(&t, returns_five, NULL, &(weft_task_opts){.ctx = b})) == 0)
		T_EQ(finish(t), 5);
	weft_ctx_free(a);
	weft_ctx_free(b);
	return rc;
}

static void ran_after(void *arg)
{
	add_relaxed((ATOMIC(int) *)arg, 1);
}

/* Blocks under a context hold without memory, too. */
static int make_blocks_of_ctx(void)
{
	weft_ctx *c = weft_ctx_make(NULL);
	int rc = c ? 0 : WEFT_ENOMEM;

	WEFT_WITH_TIMEOUT (0) {
		T_EQ(weft_task_sleep(1), WEFT_ETIMEDOUT);
	}
	if (c) {
		T_EQ(weft_ctx_cancel_cause(c, WEFT_REASON_CANCELED, "words"), 0);
		WEFT_WITH_CTX (c) {
			WEFT_WITH_SHIELD
			{
				T_EQ(weft_task_sleep(1), 0);
			}
			T_EQ(weft_task_sleep(1), WEFT_ECANCELED);
		}
	}
	weft_ctx_free(c);
	return rc;
}

static int make_ctx_with_all(void)
{
	int before = load_relaxed(&ended), value;
	weft_ctx *a = weft_ctx_make(NULL), *b = weft_ctx_make(NULL), *c = a && b ? weft_ctx_linked(a, b) : NULL;
	weft_ctx *d = c ? weft_ctx_with_value(c, &value, &value, NULL) : NULL, *e = d ? weft_ctx_without_cancel(d) : NULL;
	weft_ctx_hook *h = e ? weft_ctx_on_done(d, ran_after, &ended) : NULL;
	int rc = h ? 0 : WEFT_ENOMEM;

	if (h) {
		T_EQ(weft_ctx_cancel(b, WEFT_REASON_CANCELED), 0); /* needs none */
		until(load_relaxed(&ended) == before + 1);
		T_EQ(weft_ctx_forget(h), 0);
		T_EQ(weft_ctx_value(e, &value), &value);
	}
	weft_ctx_free(a);
	weft_ctx_free(b);
	weft_ctx_free(c);
	weft_ctx_free(d);
	weft_ctx_free(e);
	return rc;
}

static int make_timer(void)
{
	weft_timer *t = weft_timer_make(0);

	if (!t)
		return WEFT_ENOMEM;
	T_EQ(weft_chan_recv(weft_timer_chan(t), NULL), 0);
	weft_timer_free(t);
	t = weft_ticker_make(WEFT_SEC);
	if (!t)
		return WEFT_ENOMEM;
	weft_timer_free(t);
	return 0;
}

static int make_after(void)
{
	int before = load_relaxed(&ended);
	weft_timer *t = weft_timer_after(0, ran_after, &ended);
	int rc;

	if (!t)
		return WEFT_ENOMEM;
	until(load_relaxed(&ended) == before + 1);
	rc = weft_timer_reset(t, 0);
	if (rc >= 0)
		until(load_relaxed(&ended) == before + 2);
	weft_timer_free(t);
	return rc < 0 ? rc : 0;
}

static int make_chan_with_all(void)
{
	static const weft_chan_opts all[] = {
		{.elem = 8, .cap = 3, .mode = WEFT_CHAN_SPSC},
		{.elem = 8, .cap = 3, .mode = WEFT_CHAN_SPSC, .name = "pipe", .strict = true},
		{.elem = 8, .cap = WEFT_CHAN_UNBOUNDED, .mode = WEFT_CHAN_MPSC, .name = "pipe"},
		{.elem = 8, .cap = 3, .mode = WEFT_CHAN_SPMC, .node = 1},
		{.elem = 8, .cap = WEFT_CHAN_UNBOUNDED, .max_bytes = 100, .name = "pipe", .node = 1},
	};
	weft_tx *tx;
	weft_rx *rx;
	int rc = weft_oneshot_make(100, &tx, &rx);

	if (rc)
		T_OK(!tx && !rx);
	weft_tx_free(tx);
	weft_rx_free(rx);
	for (size_t i = 0; i < ARRAY_LEN(all) && !rc; i++) {
		weft_chan *c = (weft_chan *)all;

		rc = weft_chan_open(&c, &all[i]);
		if (rc)
			T_EQ(c, NULL);
		weft_chan_free(c);
	}
	return rc;
}

/* What is refused is not sent, by whatever call; all else arrives. */
static int make_blocks(void)
{
	weft_chan *c = weft_chan_make(1000, WEFT_CHAN_UNBOUNDED);
	char elems[3][1000] = {{0}};
	int rc = c ? 0 : WEFT_ENOMEM;
	size_t in = 0, out = 0;

	for (int i = 0; i < 200 && !rc; i++) {
		weft_case s[] = {WEFT_SEND(c, elems[0]), WEFT_DEFAULT()};
		ssize_t n = 1;
		void *slot;

		for (size_t k = 0; k < 3; k++)
			elems[k][999] = (char)(in + k);
		switch (i % 5) {
		case 0:
			n = weft_chan_send_many(c, elems, 3);
			break;
		case 1:
			T_EQ(weft_chan_select(s, 2), 0);
			n = s[0].status;
			break;
		case 2:
			n = weft_chan_reserve(c, &slot);
			if (n) {
				T_EQ(slot, NULL);
				break;
			}
			memcpy(slot, elems[0], 1000);
			n = weft_chan_commit(c);
			break;
		case 3:
			n = weft_chan_trysend(c, elems[0]);
			break;
		default:
			n = weft_chan_send(c, elems[0]);
			break;
		}
		if (n < 0)
			rc = (int)n;
		else
			in += n ? (size_t)n : 1;
		T_EQ(weft_chan_len(c), in - out);
	}
	for (; c && out < in; out++) {
		T_EQ(weft_chan_recv(c, elems[0]), 0);
		T_EQ(elems[0][999], (char)out);
	}
	if (c)
		T_EQ(weft_chan_send(c, elems[0]), 0); /* an empty one always has room */
	weft_chan_free(c);
	return rc;
}

static int make_select(void)
{
	weft_case cases[CASES];
	weft_chan *c = weft_chan_make(1, 1);
	int rc;

	if (!c)
		return WEFT_ENOMEM;
	for (int i = 0; i < CASES; i++)
		cases[i] = WEFT_RECV(c, NULL);
	rc = weft_chan_select_until(cases, CASES, WEFT_NOW);
	if (rc == WEFT_EAGAIN) {
		T_EQ(weft_chan_trysend(c, "x"), 0);
		rc = weft_chan_select(cases, CASES);
		if (rc == WEFT_ENOMEM)
			T_EQ(weft_chan_len(c), 1); /* nothing was taken */
	}
	weft_chan_free(c);
	return rc < 0 ? rc : 0;
}

/* Of many, and of few, that have to wait for a descriptor. */
static int make_select_of_sources(void)
{
	weft_case cases[CASES];
	int p[2], rc = 0;

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK))
		return WEFT_EMFILE;
	for (int i = 0; i < CASES; i++)
		cases[i] = i % 2 ? WEFT_EXIT(NULL, NULL) : WEFT_FD(p[0], WEFT_IO_R);
	for (int n = CASES; n > 0 && !rc; n -= CASES - 1) {
		rc = weft_chan_select_until(cases, n, weft_in(WEFT_MS));
		if (rc >= 0)
			rc = cases[rc].status;
		if (rc == WEFT_ETIMEDOUT)
			rc = 0;
	}
	(void)weft_io_forget(p[0]);
	close(p[0]);
	close(p[1]);
	return rc;
}

static int make_bcast(void)
{
	weft_bcast *b = weft_bcast_make(8, 4);
	weft_bsub *s = b ? weft_bcast_sub(b) : NULL;
	int rc = s ? 0 : WEFT_ENOMEM;

	weft_bsub_free(s);
	weft_bcast_free(b);
	return rc;
}

static int make_watch(void)
{
	weft_watch *w = weft_watch_make(8, NULL);

	weft_watch_free(w);
	return w ? 0 : WEFT_ENOMEM;
}

static int child_ends(void *arg)
{
	(void)arg;
	ends();
	return 0;
}

/* What was not started is told; what was is waited for. */
static int make_group(void)
{
	static const weft_group_opts crew = {.policy = WEFT_COLLECT, .max = 3, .name = "crew"};
	int rc = 0, begun = 0, before = load_relaxed(&ended);
	weft_group g;

	T_EQ(weft_group_init(&g, &crew) ? g.weft__init : 0, g.weft__init);
	while (begun < 300 && !rc) {
		rc = weft_group_go(&g, child_ends, NULL);
		begun += !rc;
	}
	T_EQ(weft_group_close(&g), rc); /* also what was not started is told by the group */
	T_EQ(load_relaxed(&ended), before + begun);
	return rc;
}

static int map_ends(const void *item, void *out, void *arg)
{
	(void)arg;
	(void)item;
	(void)out;
	ends();
	return 0;
}

static int make_map(void)
{
	char items[300] = {0};
	int before = load_relaxed(&ended), rc = weft_group_map(map_ends, items, sizeof items, 1, NULL, 0, NULL, NULL);

	if (!rc)
		T_EQ(load_relaxed(&ended), before + (int)sizeof items);
	T_LE(load_relaxed(&ended), before + (int)sizeof items);
	return rc;
}

static int range_ends(size_t from, size_t to, void *arg)
{
	(void)arg;
	for (; from < to; from++)
		ends();
	weft_task_yield();
	return 0;
}

/* Who finds no task for what he splits off does it himself. */
static int make_loop(void)
{
	int before = load_relaxed(&ended), rc = weft_par_for(300, 1, range_ends, NULL);

	if (!rc)
		T_EQ(load_relaxed(&ended), before + 300);
	return rc;
}

static int five_later(void *arg, void *out)
{
	(void)arg;
	*(int *)out = 5;
	return 0;
}

static int same_again(const void *value, void *out, void *arg)
{
	(void)arg;
	*(int *)out = *(const int *)value;
	return 0;
}

/* What was promised ends, if only with an error. */
static int make_futures(void)
{
	weft_promise *p;
	weft_future *f, *g, *h;
	int v = 0, rc = weft_promise_make(4, &p, &f);

	if (rc)
		return rc;
	h = weft_go_future(five_later, NULL, 4);
	g = weft_future_map(f, same_again, NULL, 4);
	T_EQ(weft_promise_resolve(p, &(int){5}), 0);
	rc = g && h ? weft_future_await(g, &v) : WEFT_ENOMEM;
	if (!rc)
		T_EQ(v, 5);
	if (!rc)
		rc = weft_future_await(h, &v);
	T_OK(rc || v == 5);
	weft_promise_free(p);
	weft_future_free(f);
	weft_future_free(g);
	weft_future_free(h);
	return rc;
}

static int make_ended_futures(void)
{
	weft_future *f = weft_future_ready(NULL, 4), *g = weft_future_failed(WEFT_EPIPE);
	int rc = f && g ? 0 : WEFT_ENOMEM;

	weft_future_free(f);
	weft_future_free(g);
	return rc;
}

/* All of a hundred: their waiters do not fit the frame. */
static int make_all(void)
{
	weft_future *fs[CASES];
	weft_promise *p;
	int rc = weft_promise_make(4, &p, &fs[0]);

	if (rc)
		return rc;
	for (int i = 1; i < CASES; i++)
		fs[i] = fs[0];
	rc = weft_future_all_until(fs, CASES, NULL, 0, weft_in(WEFT_MS));
	weft_promise_free(p);
	weft_future_free(fs[0]);
	return rc == WEFT_ETIMEDOUT ? 0 : rc;
}

static int make_flight(void)
{
	weft_flight *fl = weft_flight_make(4);
	int v = 0, rc = fl ? weft_flight_do(fl, "key", five_later, NULL, &v) : WEFT_ENOMEM;

	T_OK(rc || v == 5);
	weft_flight_free(fl);
	return rc;
}

static int make_waker(void)
{
	weft_waker *w;
	int rc = weft_waker_make(&w);

	if (rc) {
		T_EQ(w, NULL);
		return rc;
	}
	rc = weft_waker_wait_until(w, weft_in(WEFT_MS));
	weft_waker_free(w);
	return rc == WEFT_ETIMEDOUT ? 0 : rc;
}

static int make_limiter(void)
{
	weft_limiter *l = weft_limiter_make(1, 1, 1);

	weft_limiter_free(l);
	return l ? 0 : WEFT_ENOMEM;
}

static int make_bulkhead(void)
{
	weft_bulkhead *b;
	int rc = weft_bulkhead_make(&b, &(weft_bulkhead_opts){.max = 1});

	T_OK(!rc == !!b);
	weft_bulkhead_free(b);
	return rc;
}

static int make_limit(void)
{
	weft_limit *l;
	int rc = weft_limit_make(&l, &(weft_limit_opts){.line.max = 1});

	T_OK(!rc == !!l);
	weft_limit_free(l);
	return rc;
}

static int make_breaker(void)
{
	weft_breaker *b;
	int rc = weft_breaker_make(&b, &(weft_breaker_opts){.in_a_row = 1});

	T_OK(!rc == !!b);
	weft_breaker_free(b);
	return rc;
}

static int make_credit(void)
{
	weft_credit *c;
	int rc = weft_credit_make(&c, 1);

	T_OK(!rc == !!c);
	weft_credit_free(c);
	return rc;
}

static int second_try(void *arg)
{
	return ++*(int *)arg == 2 ? 0 : WEFT_EAGAIN;
}

/* Without memory for a try's context the try is made all the same. */
static int make_retry(void)
{
	weft_retry_budget *b;
	int rc = weft_retry_budget_make(&b, NULL), tries = 0;

	T_OK(!rc == !!b);
	T_EQ(weft_retry(&(weft_retry_opts){.each = WEFT_SEC, .budget = b, .backoff = {.base = 1, .cap = 1}}, second_try, &tries), 0);
	T_EQ(tries, 2);
	weft_retry_budget_free(b);
	return rc;
}

static void *make_object(void *arg)
{
	(void)arg;
	return malloc(8);
}

static void free_object(void *object, void *arg)
{
	(void)arg;
	free(object);
}

static int make_opool(void)
{
	weft_opool *p;
	int rc = weft_opool_make(&p, &(weft_opool_opts){.make = make_object, .destroy = free_object});
	void *object = weft_opool_get(p);

	if (rc)
		T_EQ(p, NULL);
	else if (!object)
		rc = WEFT_ENOMEM;
	weft_opool_put(p, object);
	weft_opool_free(p);
	return rc;
}

static bool counts(const void *key, size_t len, void *value, void *arg)
{
	(void)key;
	(void)len;
	(void)value;
	++*(size_t *)arg;
	return true;
}

/* What was refused is not in it, what was taken is. */
static int make_cmap(void)
{
	weft_cmap *m = weft_cmap_make(NULL);
	size_t in = 0, seen = 0;
	int rc = m ? 0 : WEFT_ENOMEM;

	for (uint64_t k = 0; k < 60 && !rc; k++) {
		rc = weft_cmap_set_u64(m, k, m);
		in += !rc;
		T_EQ(weft_cmap_get_u64(m, k), rc ? NULL : m);
		T_EQ(weft_cmap_len(m), in);
	}
	if (!rc)
		rc = weft_cmap_foreach(m, counts, &seen);
	T_OK(rc || seen == in);
	weft_cmap_free(m);
	return rc;
}

static int make_name(void)
{
	return weft_task_name("another name");
}

static const struct thing things[] = {
	{"task", make_task},
	{"fancy task", make_fancy_task},
	{"detached task", make_detached},
	{"many tasks", make_crowd},
	{"sleepers", make_sleepers},
	{"channel", make_chan},
	{"channels with all options", make_chan_with_all},
	{"channel without a bound", make_blocks},
	{"context", make_ctx},
	{"blocks of contexts", make_blocks_of_ctx},
	{"contexts with all", make_ctx_with_all},
	{"timer", make_timer},
	{"timer_after", make_after},
	{"select of 100", make_select},
	{"select of sources", make_select_of_sources},
	{"broadcast", make_bcast},
	{"watched value", make_watch},
	{"group", make_group},
	{"map", make_map},
	{"loop", make_loop},
	{"futures", make_futures},
	{"futures that have ended", make_ended_futures},
	{"all of 100 futures", make_all},
	{"flight", make_flight},
	{"waker", make_waker},
	{"limiter", make_limiter},
	{"bulkhead", make_bulkhead},
	{"limit", make_limit},
	{"breaker", make_breaker},
	{"credits", make_credit},
	{"retry", make_retry},
	{"object pool", make_opool},
	{"concurrent map", make_cmap},
	{"name", make_name},
};

static int things_main(void *arg)
{
	(void)arg;
	until_all_workers_run();
	for (size_t i = 0; i < ARRAY_LEN(things); i++)
		fail_each(&things[i], is_shortage);
	return 0;
}

/* In a running runtime: what is refused says so, what was promised comes, and the next try works. */
TEST_WORKERS(things_of_a_program)
{
	tap_limit(60);
	T_EQ(run_with(things_main, NULL, counted), 0);
}

/* --- sockets --- */

static int make_listener(void)
{
	weft_tcp_listener *l;
	int rc = weft_tcp_listen(&l, "127.0.0.1:0", &(weft_listen_opts){.reuse_port = true});

	if (rc) {
		T_EQ(l, NULL);
		return rc;
	}
	return weft_tcp_listener_close(l);
}

static int make_any_listener(void)
{
	weft_tcp_listener *l;
	int rc = weft_tcp_listen(&l, ":0", NULL);

	if (rc) {
		T_EQ(l, NULL);
		return rc;
	}
	return weft_tcp_listener_close(l);
}

/* Two ends of a connection, or neither. */
static int try_pair(weft_tcp **a, weft_tcp **b)
{
	char at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l;
	weft_addr addr;
	int rc;

	*a = *b = NULL;
	rc = weft_tcp_listen(&l, "127.0.0.1:0", NULL);
	if (rc)
		return rc;
	rc = weft_tcp_listener_addr(l, &addr);
	if (!rc) {
		T_GT(weft_addr_format(&addr, at, sizeof at), 0);
		rc = weft_tcp_dial(a, at);
		T_EQ(*a != NULL, rc == 0);
	}
	if (!rc) {
		rc = weft_tcp_accept(l, b);
		T_EQ(*b != NULL, rc == 0);
	}
	if (rc) {
		weft_tcp_close(*a);
		*a = NULL;
	}
	T_EQ(weft_tcp_listener_close(l), 0);
	return rc;
}

static int make_connection(void)
{
	weft_tcp *a, *b;
	int rc = try_pair(&a, &b);

	if (rc)
		return rc;
	rc = weft_tcp_nodelay(a, false);
	if (!rc)
		rc = weft_tcp_keepalive(a, WEFT_SEC);
	if (!rc)
		rc = weft_tcp_local(a, &(weft_addr){.sa.sa_family = 0});
	if (!rc)
		rc = weft_tcp_peer(a, &(weft_addr){.sa.sa_family = 0});
	weft_tcp_close(a);
	weft_tcp_close(b);
	return rc;
}

static weft_tcp *peer_of; /* the helpers' end */
static bool vectored;

/* Sends a byte once the other end waits for it; if that fails there is an end to be read. */
static int sends_later(void *arg)
{
	ssize_t n;

	until_reason(arg, "read");
	n = vectored ? weft_tcp_writev(peer_of, (struct iovec[]){{(void *)"a", 1}, {(void *)"b", 1}}, 2, NULL)
		     : weft_tcp_write(peer_of, "ab", 2, NULL);
	if (n < 0)
		T_EQ(weft_tcp_shutdown(peer_of, SHUT_WR), 0);
	return n < 0 ? (int)n : 0;
}

static int make_read(void)
{
	weft_tcp *a;
	weft_task *t;
	char buf[2];
	ssize_t n = 0;
	int rc = try_pair(&a, &peer_of), sent;

	if (rc)
		return rc;
	rc = weft_go_opts(&t, sends_later, weft_task_self(), NULL);
	if (!rc) {
		n = vectored ? weft_tcp_readv(a, (struct iovec[]){{buf, 1}, {buf + 1, 1}}, 2) : weft_tcp_read(a, buf, 2);
		if (n < 0) /* the helper waits for us to wait */
			T_EQ(weft_tcp_read(a, buf, 2), 2);
		sent = finish(t);
		rc = n < 0 ? (int)n : sent;
		T_OK(n < 0 || n == (sent ? 0 : 2));
	}
	weft_tcp_close(a);
	weft_tcp_close(peer_of);
	return rc;
}

static int make_readv(void)
{
	int rc;

	vectored = true;
	rc = make_read();
	vectored = false;
	return rc;
}

enum { MUCH = 8 << 20 };

/* Reads it all once the other end cannot go on; if that fails, closes: to shut it down would leave the writer waiting for room. */
static int reads_later(void *arg)
{
	static char buf[1 << 20]; /* few calls, each of which is failed */
	long left = MUCH;
	ssize_t n = 1;

	until_reason(arg, "write");
	while (left > 0 && (n = weft_tcp_read(peer_of, buf, sizeof buf)) > 0)
		left -= n;
	if (n < 0)
		T_EQ(weft_tcp_close(weft_tcp_ref(peer_of)), 0);
	return n < 0 ? (int)n : 0;
}

static int make_write(void)
{
	static const char much[MUCH];
	weft_tcp *a;
	weft_task *t;
	size_t done;
	ssize_t n;
	int rc = try_pair(&a, &peer_of), got;

	if (rc)
		return rc;
	rc = weft_go_opts(&t, reads_later, weft_task_self(), NULL);
	if (!rc) {
		n = weft_tcp_write(a, much, MUCH, &done);
		if (n == -ENOBUFS || n == WEFT_ENOMEM) { /* ours: the helper waits for us to wait */
			T_LT(done, MUCH);
			T_EQ(weft_tcp_write(a, much, MUCH - done, NULL), (ssize_t)(MUCH - done));
		}
		got = finish(t);
		rc = n == -ENOBUFS || n == WEFT_ENOMEM ? (int)n : got;
		T_OK(rc || n == MUCH);
	}
	weft_tcp_close(a);
	weft_tcp_close(peer_of);
	return rc;
}

static int pipe_of[2];

static int puts_later(void *arg)
{
	until_reason(arg, "io");
	T_EQ(write(pipe_of[1], "x", 1), 1);
	return 0;
}

static int make_io_wait(void)
{
	weft_task *t;
	int rc, got;

	T_EQ(pipe(pipe_of), 0);
	rc = weft_go_opts(&t, puts_later, weft_task_self(), NULL);
	if (!rc) {
		got = weft_io_wait(pipe_of[0], WEFT_IO_R);
		if (got < 0) /* the helper waits for us to wait */
			T_EQ(weft_io_wait(pipe_of[0], WEFT_IO_R), WEFT_IO_R);
		T_EQ(finish(t), 0);
		T_EQ(weft_io_forget(pipe_of[0]), 0);
		rc = got < 0 ? got : 0;
		T_OK(rc || got == WEFT_IO_R);
	}
	close(pipe_of[0]);
	close(pipe_of[1]);
	return rc;
}

/* --- datagrams --- */

static weft_task *udp_waits; /* for whom udp_sends_later waits */

static int make_socket(void)
{
	weft_udp_opts o = {.reuse_port = true, .reuse_addr = true, .broadcast = true, .receive_buffer = 50000, .send_buffer = 50000};
	weft_addr at;
	weft_udp *u;
	int rc = weft_udp_open(&u, ":0", &o);

	T_EQ(u != NULL, rc == 0);
	if (rc)
		return rc;
	rc = weft_udp_local(u, &at);
	if (!rc) {
		at.v6.sin6_addr = in6addr_loopback;
		rc = weft_udp_multicast_ttl(u, 3);
	}
	if (!rc)
		rc = weft_udp_multicast_loop(u, false);
	if (!rc && at.sa.sa_family == AF_INET6)
		rc = weft_udp_connect(u, &at);
	T_EQ(weft_udp_close(u), 0);
	return rc;
}

static int make_taken_over(void)
{
	int raw = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;
	weft_udp *u;

	if (raw < 0)
		return WEFT_EMFILE;
	rc = weft_udp_from_fd(&u, raw);
	T_EQ(u != NULL, rc == 0);
	if (rc)
		close(raw); /* ours still */
	weft_udp_close(u);
	return rc;
}

/* Once the other waits: one datagram, or two in one call. */
static int udp_sends_later(void *arg)
{
	struct iovec v = {(void *)"x", 1};
	weft_udp_msg m[2] = {{.iov = &v, .count = 1}, {.iov = &v, .count = 1}};
	weft_udp *u = arg;
	ssize_t n;

	until_reason(udp_waits, "read");
	n = vectored ? weft_udp_send_many(u, m, 2) : weft_udp_send(u, "x", 1);
	if (n < 0) /* the other waits for it */
		T_GT(vectored ? weft_udp_send_many(u, m, 2) : weft_udp_send(u, "x", 1), 0);
	return n < 0 ? (int)n : 0;
}

static ssize_t receive_some(weft_udp *u)
{
	char x[2];
	struct iovec v[2] = {{x, 1}, {x + 1, 1}};
	weft_udp_msg m[2] = {{.iov = &v[0], .count = 1}, {.iov = &v[1], .count = 1}};

	return vectored ? weft_udp_recv_many(u, m, 2) : weft_udp_recv(u, x, 1, NULL);
}

static int make_receive(void)
{
	weft_udp *u;
	weft_task *t;
	weft_addr at;
	ssize_t n;
	int rc = weft_udp_open(&u, "127.0.0.1:0", NULL), got;

	if (rc)
		return rc;
	rc = weft_udp_local(u, &at);
	if (!rc)
		rc = weft_udp_connect(u, &at); /* its own peer */
	udp_waits = weft_task_self();
	if (!rc)
		rc = weft_go_opts(&t, udp_sends_later, u, NULL);
	if (!rc) {
		n = receive_some(u);
		if (n < 0) /* the helper waits for us to wait */
			T_GT(receive_some(u), 0);
		got = finish(t);
		rc = n < 0 ? (int)n : got;
	}
	T_EQ(weft_udp_close(u), 0);
	return rc;
}

static int make_receive_many(void)
{
	int rc;

	vectored = true;
	rc = make_receive();
	vectored = false;
	return rc;
}

static int make_lookup(void)
{
	weft_addr *a = (void *)1;
	int n = weft_dns_resolve(&a, "here.test", "80", NULL);

	T_EQ(a != NULL, n > 0);
	T_EQ(weft__dns_count(), 0);
	weft_dns_free(a);
	return n < 0 ? n : 0;
}

static int make_reverse(void)
{
	char name[WEFT_DNS_NAME];
	weft_addr a;
	int n;

	T_EQ(weft_addr_parse(&a, "192.0.2.1:0"), 0);
	n = weft_dns_reverse(&a, name, sizeof name);
	T_EQ(weft__dns_count(), 0);
	return n < 0 ? n : 0;
}

/* Two addresses, the first of which answers. */
static int make_dial(void)
{
	char at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l;
	weft_tcp *c = NULL;
	weft_addr a;
	int rc = weft_tcp_listen(&l, "here.test:0", NULL);

	if (rc)
		return rc;
	rc = weft_tcp_listener_addr(l, &a);
	if (!rc) {
		snprintf(at, sizeof at, "both.test:%d", weft_addr_port(&a));
		rc = weft_tcp_dial(&c, at);
		T_EQ(c != NULL, rc == 0);
	}
	weft_tcp_close(c);
	weft_tcp_listener_close(l);
	return rc;
}

static int make_udp_dial(void)
{
	weft_udp *u;
	int rc = weft_udp_dial(&u, "both.test:9", &(weft_udp_opts){.broadcast = true});

	T_EQ(u != NULL, rc == 0);
	weft_udp_free(u);
	return rc;
}

static const struct thing net_things[] = {
	{"name", make_lookup},
	{"name of an address", make_reverse},
	{"dial of a name", make_dial},
	{"dial of a name for datagrams", make_udp_dial},
	{"listener", make_listener},
	{"listener on any address", make_any_listener},
	{"connection", make_connection},
	{"read that waits", make_read},
	{"readv that waits", make_readv},
	{"write that waits", make_write},
	{"io_wait", make_io_wait},
	{"socket for datagrams", make_socket},
	{"socket from elsewhere", make_taken_over},
	{"receive that waits", make_receive},
	{"receive of many that waits", make_receive_many},
};

static int net_things_main(void *arg)
{
	(void)arg;
	names_begin();
	names_say("here.test", "127.0.0.1");
	names_say("both.test", "127.0.0.1 127.0.0.2");
	names_say("192.0.2.1:0", "one.test");
	until_all_workers_run();
	for (size_t i = 0; i < ARRAY_LEN(net_things); i++)
		fail_each(&net_things[i], is_shortage);
	return 0;
}

/* The same of sockets. */
TEST_WORKERS(things_of_the_net)
{
	tap_limit(60);
	T_EQ(run_net_with(net_things_main, NULL, counted), 0);
}

static int all_fail_main(void *arg)
{
	char at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l = listen_at("127.0.0.1:0", at), *l2;
	int port = port_of(l), waits = 0;
	weft_tcp *a, *b;

	(void)arg;
	until_all_workers_run();
	snprintf(at, sizeof at, "localhost:%d", port);
	for (long n = 1;; n++) {
		int fds = rt_fds(), dialled, accepted, listened, records = (int)weft__fd_count();
		bool fired;

		failpoint_arm_all(n);
		listened = weft_tcp_listen(&l2, ":0", NULL);
		dialled = weft_tcp_dial_until(&a, at, weft_in(20 * WEFT_SEC));
		accepted = weft_tcp_accept_until(l, &b, weft_in(10 * WEFT_MS));
		fired = failpoint_fired();
		failpoint_disarm();
		if ((listened && !is_shortage(listened)) || (dialled && !is_shortage(dialled)))
			T_FAIL("call %ld (%s): listen %d, dial %d", n, failpoint_name(), listened, dialled);
		T_OK(accepted == 0 || accepted == WEFT_ETIMEDOUT || is_shortage(accepted));
		waits += accepted == WEFT_ETIMEDOUT;
		/* Nobody is lost; but he may be on his way. */
		if (accepted && weft_tcp_accept_until(l, &b, dialled ? WEFT_NOW : WEFT_FOREVER) == 0)
			accepted = 0;
		T_OK(dialled || !accepted);
		weft_tcp_listener_close(l2);
		weft_tcp_close(a);
		weft_tcp_close(b);
		while (weft_tcp_accept_until(l, &b, WEFT_NOW) == 0)
			weft_tcp_close(b);
		T_EQ(rt_fds(), fds);
		T_EQ(weft__fd_count(), records);
		if (!fired)
			break;
		T_LT(n, 2000);
	}
	T_GT(waits, 0);
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* From the n-th call on all fail: also the other address of a name, and the next try of accept. */
TEST_WORKERS(net_all_fail)
{
	T_EQ(run_net_with(all_fail_main, NULL, counted), 0);
}

/* From outside, without a runtime: a thread's own record, channels, contexts. */
TEST(foreign_record)
{
	weft_chan *c = weft_chan_make(1, 0);
	int refused = 0;

	for (long n = 1;; n++) {
		bool fired;
		int rc;

		failpoint_arm(n);
		rc = weft_chan_recv_until(c, NULL, WEFT_NOW);
		fired = failpoint_fired();
		failpoint_disarm();
		T_OK(rc == WEFT_EAGAIN || rc == WEFT_ENOMEM);
		refused += rc == WEFT_ENOMEM;
		if (!fired)
			break;
	}
	T_GT(refused, 0);
	T_EQ(weft_chan_recv_until(c, NULL, WEFT_NOW), WEFT_EAGAIN);
	weft_chan_free(c);
	nothing_left();
}
