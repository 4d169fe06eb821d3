/* SPDX-License-Identifier: MIT
 *
 * blocking.c - the same questions to every blocking call: ready now, woken, deadline, deadline past, never waiting, cancelled before and during,
 * under a context with a deadline, from a foreign thread, and cancelled or timed out at the very moment it is woken.
 *
 * A call is a row of `ops`.  Its world is made so that it has to wait; ready() makes it able to go on, give() offers once without waiting what it
 * waits for, and says whether it was taken.  Whatever happens, an exchange happens exactly if the call returns 0.
 */
#include "questions.h"
#include "rt.h"

#include "base/rand.h"
#include "weft/bcast.h"
#include "weft/watch.h"
#include "weft/group.h"
#include "weft/gen.h"
#include "weft/future.h"
#include "weft/waker.h"
#include <pthread.h>

enum { STICKS = -1 }; /* give: not an exchange between two; whoever comes finds it */

struct world {
	const struct op *op;
	weft_chan *c, *d;
	weft_mutex m;
	weft_wg g;
	weft_waker *waker;
	weft_promise *p[2];
	weft_future *f[2];
	weft_ctx *ctx;
	weft_watch *watch;
	uint64_t seen;
	weft_bcast *bcast;
	weft_bsub *bsub;
	bool told;
	weft_group crew;
	weft_gen *gen;
	ATOMIC(weft_task *) giver; /* the generator's task */
	weft_task *helper;         /* holds the mutex, or waits on the other side, or is joined */
	weft_task *caller;
	ATOMIC(int) gate; /* the caller may make its call */
	ATOMIC(int) fire; /* the race may begin */
	int64_t deadline;
	int64_t returned_at;
	ATOMIC(int) release; /* the helper may go on */
	bool joined;
	int got;
	/* blocking_sync.h */
	weft_rmutex rm;
	weft_rwlock rw;
	weft_cond cond;
	weft_sema s;
	weft_latch l;
	weft_barrier b;
	weft_once o;
	weft_event e;
	int flag;
};

struct op {
	const char *name, *reason;
	void (*make)(struct world *w);
	int (*call)(struct world *w, int64_t deadline);
	void (*ready)(struct world *w);
	int (*give)(struct world *w);
	/* Ends helpers. Did the exchange that ready() prepared take place? STICKS: cannot be told. */
	int (*taken)(struct world *w);
	void (*end)(struct world *w);
	bool tasks_only;
};

/* --- channels --- */

static void make_rendezvous(struct world *w)
{
	w->c = weft_chan_make(sizeof(int), 0);
	w->d = weft_chan_make(sizeof(int), 0);
}

static void make_empty(struct world *w)
{
	w->c = weft_chan_make(sizeof(int), 3);
	w->d = weft_chan_make(sizeof(int), 3);
}

static void make_full(struct world *w)
{
	int n = 0;

	w->c = weft_chan_make(sizeof(int), 2);
	w->d = weft_chan_make(sizeof(int), 0);
	T_EQ(weft_chan_trysend(w->c, &n), 0);
	n = 1;
	T_EQ(weft_chan_trysend(w->c, &n), 0);
}

static void end_chans(struct world *w)
{
	weft_chan_free(w->c);
	weft_chan_free(w->d);
}

static int call_recv(struct world *w, int64_t deadline)
{
	w->got = -1;
	return weft_chan_recv_until(w->c, &w->got, deadline);
}

static int call_send(struct world *w, int64_t deadline)
{
	int v = 42;

	return weft_chan_send_until(w->c, &v, deadline);
}

static int helper_send(void *arg)
{
	struct world *w = arg;
	int v = 42;

	return weft_chan_send(w->c, &v);
}

static int helper_recv(void *arg)
{
	struct world *w = arg;

	return weft_chan_recv(w->c, &w->got);
}

static void ready_sender(struct world *w)
{
	w->helper = start(helper_send, w);
	until_parked(w->helper);
}

static void ready_receiver(struct world *w)
{
	w->helper = start(helper_recv, w);
	until_parked(w->helper);
}

static int taken_helper(struct world *w)
{
	int rc;

	weft_task_cancel(w->helper);
	rc = finish(w->helper);
	T_OK(rc == 0 || rc == WEFT_ECANCELED);
	return rc == 0;
}

static void ready_element(struct world *w)
{
	int v = 42;

	T_EQ(weft_chan_trysend(w->c, &v), 0);
}

static int taken_element(struct world *w)
{
	return weft_chan_len(w->c) == 0;
}

static void ready_room(struct world *w)
{
	T_EQ(weft_chan_tryrecv(w->c, NULL), 0);
}

static int taken_room(struct world *w)
{
	return weft_chan_len(w->c) == 2;
}

static int give_element(struct world *w)
{
	int v = 42, rc = weft_chan_trysend(w->c, &v);

	T_OK(rc == 0 || rc == WEFT_EAGAIN);
	return weft_chan_cap(w->c) ? STICKS : rc == 0;
}

static int give_receiver(struct world *w)
{
	int rc = weft_chan_tryrecv(w->c, &w->got);

	T_OK(rc == 0 || rc == WEFT_EAGAIN);
	if (rc == 0 && weft_chan_cap(w->c) == 0)
		T_EQ(w->got, 42);
	return weft_chan_cap(w->c) ? STICKS : rc == 0;
}

static int call_select_recv(struct world *w, int64_t deadline)
{
	weft_case cases[] = {WEFT_RECV(w->d, NULL), WEFT_RECV(w->c, &w->got), WEFT_RECV(NULL, NULL)};
	int rc;

	w->got = -1;
	rc = weft_chan_select_until(cases, 3, deadline);
	if (rc >= 0) {
		T_EQ(rc, 1);
		T_EQ(cases[1].status, 0);
		return 0;
	}
	return rc;
}

static int call_select_send(struct world *w, int64_t deadline)
{
	int v = 42, rc;
	weft_case cases[] = {WEFT_RECV(w->d, NULL), WEFT_SEND(w->c, &v)};

	rc = weft_chan_select_until(cases, 2, deadline);
	if (rc >= 0) {
		T_EQ(rc, 1);
		T_EQ(cases[1].status, 0);
		return 0;
	}
	return rc;
}

enum { MANY = 100 };

static int call_select_many(struct world *w, int64_t deadline)
{
	weft_case cases[MANY];
	int rc;

	w->got = -1;
	for (int i = 0; i < MANY; i++)
		cases[i] = i % 2 ? WEFT_RECV(w->c, &w->got) : WEFT_RECV(w->d, NULL);
	rc = weft_chan_select_until(cases, MANY, deadline);
	if (rc >= 0) {
		T_EQ(rc % 2, 1);
		return 0;
	}
	return rc;
}

/* --- mutex --- */

static int holder(void *arg)
{
	struct world *w = arg;

	T_EQ(weft_mutex_lock(&w->m), 0);
	until(load_acquire(&w->release));
	weft_mutex_unlock(&w->m);
	return 0;
}

static void make_mutex(struct world *w)
{
	w->helper = start(holder, w);
	until(weft_mutex_trylock(&w->m) == WEFT_EAGAIN || (weft_mutex_unlock(&w->m), false));
}

static int call_mutex(struct world *w, int64_t deadline)
{
	int rc = weft_mutex_lock_until(&w->m, deadline);

	if (rc == 0) {
		int again = weft_mutex_lock_until(&w->m, WEFT_NOW);

		T_OK(again == WEFT_EDEADLK || (again && again == weft_ctx_check())); /* cancelled meanwhile */
		weft_mutex_unlock(&w->m);
	}
	return rc;
}

static int give_release(struct world *w)
{
	store_release(&w->release, 1);
	return STICKS;
}

static void ready_mutex(struct world *w)
{
	give_release(w);
	T_EQ(finish(w->helper), 0);
	w->helper = NULL;
}

static int taken_sticks(struct world *w)
{
	(void)w;
	return STICKS;
}

static void end_mutex(struct world *w)
{
	store_release(&w->release, 1);
	if (w->helper)
		T_EQ(finish(w->helper), 0);
	T_EQ(weft_mutex_trylock(&w->m), 0);
	weft_mutex_unlock(&w->m);
}

/* --- wait group --- */

static void make_wg(struct world *w)
{
	weft_wg_add(&w->g, 1);
}

static int call_wg(struct world *w, int64_t deadline)
{
	return weft_wg_wait_until(&w->g, deadline);
}

static int give_wg(struct world *w)
{
	if (!w->joined)
		weft_wg_done(&w->g);
	w->joined = true;
	return STICKS;
}

static void ready_wg(struct world *w)
{
	give_wg(w);
}

static void end_wg(struct world *w)
{
	give_wg(w);
}

/* --- group --- */

static int child(void *arg)
{
	struct world *w = arg;

	until(load_acquire(&w->release));
	return 0;
}

static void make_group(struct world *w)
{
	T_EQ(weft_group_init(&w->crew, &(weft_group_opts){.max = 1}), 0);
	T_EQ(weft_group_go(&w->crew, child, w), 0);
}

static int call_group(struct world *w, int64_t deadline)
{
	return weft_group_wait_until(&w->crew, deadline);
}

static int call_group_room(struct world *w, int64_t deadline)
{
	return weft_group_go_until(&w->crew, child, w, deadline);
}

static void ready_group(struct world *w)
{
	give_release(w);
	T_EQ(weft_group_wait(&w->crew), 0);
}

static void end_group(struct world *w)
{
	give_release(w);
	T_EQ(weft_group_close(&w->crew), 0);
}

/* --- future --- */

static void make_futures(struct world *w)
{
	for (int i = 0; i < 2; i++)
		T_EQ(weft_promise_make(sizeof(int), &w->p[i], &w->f[i]), 0);
}

static int future_got(struct world *w, int rc)
{
	T_EQ(w->got, rc == 0 ? 42 : -1);
	return rc;
}

static int call_future(struct world *w, int64_t deadline)
{
	w->got = -1;
	return future_got(w, weft_future_await_until(w->f[0], &w->got, deadline));
}

static int call_future_select(struct world *w, int64_t deadline)
{
	weft_case cases[] = {WEFT_FUTURE(w->f[0], &w->got), WEFT_FUTURE(w->f[1], NULL), WEFT_PROMISE(w->p[1])};
	int rc;

	w->got = -1;
	rc = weft_chan_select_until(cases, 3, deadline);
	if (rc == 0)
		T_EQ(cases[0].status, 0);
	return future_got(w, rc);
}

static int call_future_all(struct world *w, int64_t deadline)
{
	weft_future *fs[] = {w->f[0], w->f[1]};
	int got[2] = {-1, -1}, rc = weft_future_all_until(fs, 2, got, 0, deadline);

	T_EQ(got[0], got[1]);
	w->got = got[0];
	return future_got(w, rc);
}

static int call_future_race(struct world *w, int64_t deadline)
{
	weft_future *fs[] = {w->f[0], w->f[1], w->f[0]};

	w->got = -1;
	return future_got(w, weft_future_race_until(fs, 3, &w->got, WEFT_FUTURE_CANCEL_REST, deadline));
}

static int give_future(struct world *w)
{
	int v = 42, rc = weft_promise_resolve(w->p[0], &v);

	T_OK(rc == 0 || rc == WEFT_EALREADY);
	return STICKS;
}

static int give_futures(struct world *w)
{
	int v = 42, rc = weft_promise_resolve(w->p[1], &v);

	T_OK(rc == 0 || rc == WEFT_EALREADY);
	return give_future(w);
}

static void ready_future(struct world *w)
{
	give_future(w);
}

static void ready_futures(struct world *w)
{
	give_futures(w);
}

static void end_futures(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		weft_promise_free(w->p[i]);
		weft_future_free(w->f[i]);
	}
}

/* --- waker --- */

static void make_waker(struct world *w)
{
	T_EQ(weft_waker_make(&w->waker), 0);
}

static int call_waker(struct world *w, int64_t deadline)
{
	return weft_waker_wait_until(w->waker, deadline);
}

static int give_waker(struct world *w)
{
	weft_waker_wake(w->waker);
	return STICKS;
}

static void ready_waker(struct world *w)
{
	give_waker(w);
}

static void end_waker(struct world *w)
{
	weft_waker_free(w->waker);
}

/* --- join --- */

static int joined(void *arg)
{
	struct world *w = arg;

	until(load_acquire(&w->release));
	return 77;
}

static void make_join(struct world *w)
{
	w->helper = start(joined, w);
}

static int call_join(struct world *w, int64_t deadline)
{
	int ret = -1, rc = weft_task_join_until(w->helper, &ret, deadline);

	if (rc == 0) {
		T_EQ(ret, 77);
		w->joined = true;
	}
	return rc;
}

static void ready_join(struct world *w)
{
	give_release(w);
	until_state(w->helper, WEFT_TASK_DONE);
}

static int taken_join(struct world *w)
{
	return w->joined;
}

static void end_join(struct world *w)
{
	give_release(w);
	if (!w->joined)
		T_EQ(finish(w->helper), 77);
}

/* --- park --- */

static void make_park(struct world *w)
{
	(void)w;
}

static int call_park(struct world *w, int64_t deadline)
{
	int rc;

	(void)w;
	rc = weft_task_park_until(deadline);
	return rc;
}

static int give_park(struct world *w)
{
	weft_task_unpark(w->caller);
	return STICKS;
}

static void ready_park(struct world *w)
{
	weft_task_unpark(w->caller);
}

static void end_park(struct world *w)
{
	(void)w;
}

#include "blocking_sync.h"
/* --- generator: of what comes through d --- */

static int fed(void *arg)
{
	struct world *w = arg;
	int v;

	store_release(&w->giver, weft_task_self());
	while (weft_chan_recv(w->d, &v) == 0 && weft_gen_yield(&v) == 0)
		;
	return 0;
}

static void make_gen(struct world *w)
{
	w->d = weft_chan_make(sizeof(int), 4);
	T_EQ(weft_gen_make(&w->gen, sizeof(int), fed, w), 0);
}

static int call_gen(struct world *w, int64_t deadline)
{
	w->got = -1;
	return weft_gen_next_until(w->gen, &w->got, deadline);
}

static int give_gen(struct world *w)
{
	int v = 42;

	(void)weft_chan_trysend(w->d, &v);
	return STICKS;
}

static bool feeds(struct world *w)
{
	weft_task *t = load_acquire(&w->giver);

	return t && strcmp(weft_task_reason(t), "chan receive") == 0;
}

/* It has been asked, and has a value. */
static void ready_gen(struct world *w)
{
	while (!feeds(w)) {
		T_EQ(weft_gen_next_until(w->gen, NULL, WEFT_NOW), WEFT_EAGAIN);
		let_run();
	}
	give_gen(w);
	until_reason(load_acquire(&w->giver), "yield");
}

static int taken_gen(struct world *w)
{
	return weft_gen_next_until(w->gen, NULL, WEFT_NOW) == WEFT_EAGAIN;
}

static void end_gen(struct world *w)
{
	weft_gen_free(w->gen);
	weft_chan_free(w->d);
}

/* --- the table --- */

/* --- contexts --- */

static void make_ctx(struct world *w)
{
	w->ctx = weft_ctx_make(weft_ctx_self());
}

static int call_ctx(struct world *w, int64_t deadline)
{
	return weft_ctx_wait_until(w->ctx, deadline);
}

static int call_select_ctx(struct world *w, int64_t deadline)
{
	weft_case done = WEFT_DONE(w->ctx, &w->got);

	return weft_chan_select_until(&done, 1, deadline);
}

static void ready_ctx(struct world *w)
{
	T_EQ(weft_ctx_cancel(w->ctx, WEFT_REASON_CANCELED), 0);
}

static int give_ctx(struct world *w)
{
	(void)weft_ctx_cancel(w->ctx, WEFT_REASON_CANCELED);
	return STICKS;
}

static void end_ctx(struct world *w)
{
	weft_ctx_free(w->ctx);
}

/* --- what changes, and what is told to all --- */

static void make_watch(struct world *w)
{
	int v = 0;

	w->watch = weft_watch_make(sizeof v, &v);
	w->seen = weft_watch_get(w->watch, NULL);
}

static int call_watch(struct world *w, int64_t deadline)
{
	uint64_t seen = w->seen;
	int rc;

	w->got = -1;
	rc = weft_watch_changed_until(w->watch, &w->seen, &w->got, deadline);
	T_EQ(w->got, rc ? -1 : 42);
	T_EQ(w->seen, seen + !rc);
	return rc;
}

static int give_watch(struct world *w)
{
	int v = 42;

	if (weft_watch_get(w->watch, NULL) == 1)
		T_EQ(weft_watch_set(w->watch, &v), 0);
	return STICKS;
}

static void ready_watch(struct world *w)
{
	give_watch(w);
}

static void end_watch(struct world *w)
{
	weft_watch_free(w->watch);
}

static void make_bcast(struct world *w)
{
	w->bcast = weft_bcast_make(sizeof(int), 4);
	w->bsub = weft_bcast_sub(w->bcast);
	w->told = false;
}

static int call_bcast(struct world *w, int64_t deadline)
{
	int rc;

	w->got = -1;
	rc = weft_bsub_recv_until(w->bsub, &w->got, deadline);
	T_EQ(w->got, rc ? -1 : 42);
	return rc;
}

static int give_bcast(struct world *w)
{
	int v = 42;

	if (!w->told)
		T_EQ(weft_bcast_send(w->bcast, &v), 0);
	w->told = true;
	return STICKS;
}

static void ready_bcast(struct world *w)
{
	give_bcast(w);
}

/* Did somebody receive the one element? */
static int taken_bcast(struct world *w)
{
	return weft_bsub_recv_until(w->bsub, NULL, WEFT_NOW) == WEFT_EAGAIN;
}

static void end_bcast(struct world *w)
{
	weft_bsub_free(w->bsub);
	weft_bcast_free(w->bcast);
}

static const struct op ops[] = {
	{"recv, rendezvous", "chan receive", make_rendezvous, call_recv, ready_sender, give_element, taken_helper, end_chans, false},
	{"recv, buffer", "chan receive", make_empty, call_recv, ready_element, give_element, taken_element, end_chans, false},
	{"send, rendezvous", "chan send", make_rendezvous, call_send, ready_receiver, give_receiver, taken_helper, end_chans, false},
	{"send, buffer", "chan send", make_full, call_send, ready_room, give_receiver, taken_room, end_chans, false},
	{"select recv", "select", make_rendezvous, call_select_recv, ready_sender, give_element, taken_helper, end_chans, false},
	{"select recv, buffer", "select", make_empty, call_select_recv, ready_element, give_element, taken_element, end_chans, false},
	{"select send", "select", make_rendezvous, call_select_send, ready_receiver, give_receiver, taken_helper, end_chans, false},
	{"select send, buffer", "select", make_full, call_select_send, ready_room, give_receiver, taken_room, end_chans, false},
	{"select of 100", "select", make_rendezvous, call_select_many, ready_sender, give_element, taken_helper, end_chans, false},
	{"mutex", "mutex", make_mutex, call_mutex, ready_mutex, give_release, taken_sticks, end_mutex, false},
	{"wait group", "wait group", make_wg, call_wg, ready_wg, give_wg, taken_sticks, end_wg, false},
	{"group", "group", make_group, call_group, ready_group, give_release, taken_sticks, end_group, false},
	{"group room", "group room", make_group, call_group_room, ready_group, give_release, taken_sticks, end_group, false},
	{"future", "future", make_futures, call_future, ready_future, give_future, taken_sticks, end_futures, false},
	{"future, select", "select", make_futures, call_future_select, ready_future, give_future, taken_sticks, end_futures, false},
	{"future, all", "future", make_futures, call_future_all, ready_futures, give_futures, taken_sticks, end_futures, false},
	{"future, race", "future", make_futures, call_future_race, ready_future, give_future, taken_sticks, end_futures, false},
	{"waker", "io", make_waker, call_waker, ready_waker, give_waker, taken_sticks, end_waker, true}, /* a worker must hear of it */
	{"join", "join", make_join, call_join, ready_join, give_release, taken_join, end_join, false},
	SYNC_ROWS,
	{"generator", "generator", make_gen, call_gen, ready_gen, give_gen, taken_gen, end_gen, false},
	{"park", "park", make_park, call_park, ready_park, give_park, taken_sticks, end_park, true},
	{"watch", "watch", make_watch, call_watch, ready_watch, give_watch, taken_sticks, end_watch, false},
	{"broadcast", "broadcast", make_bcast, call_bcast, ready_bcast, give_bcast, taken_bcast, end_bcast, false},
	{"context", "context", make_ctx, call_ctx, ready_ctx, give_ctx, taken_sticks, end_ctx, false},
	{"select done", "select", make_ctx, call_select_ctx, ready_ctx, give_ctx, taken_sticks, end_ctx, false},
};

static void world_make(struct world *w, const struct op *op)
{
	memset(w, 0, sizeof *w);
	w->op = op;
	op->make(w);
}

static int caller(void *arg)
{
	struct world *w = arg;
	int rc;

	until(load_acquire(&w->gate)); /* yielding is no cancellation point */
	rc = w->op->call(w, w->deadline);
	w->returned_at = weft_now();
	return rc;
}

static void caller_start(struct world *w, int64_t deadline, weft_ctx *c)
{
	w->deadline = deadline;
	T_EQ(weft_go_opts(&w->caller, caller, w, &(weft_task_opts){.name = "caller", .ctx = c}), 0);
}

static void open_gate(struct world *w)
{
	store_release(&w->gate, 1);
}

#define QUESTION(q) QUESTION_TO(ops, run, q)

/* What it waits for is there: it returns 0 at once, whatever the deadline. */
static void ready_now(const struct op *op)
{
	const int64_t deadlines[] = {WEFT_FOREVER, WEFT_NOW, weft_in(WEFT_SEC), 1, weft_now() - WEFT_SEC, -1, INT64_MIN};

	for (size_t i = 0; i < ARRAY_LEN(deadlines); i++) {
		struct world w;

		world_make(&w, op);
		caller_start(&w, deadlines[i], NULL);
		op->ready(&w);
		open_gate(&w);
		T_EQ(finish(w.caller), 0);
		T_NE(op->taken(&w), 0);
		op->end(&w);
	}
}
QUESTION(ready_now)

/* It waits, says for what, and goes on when it is woken. */
static void woken(const struct op *op)
{
	struct world w;

	world_make(&w, op);
	caller_start(&w, WEFT_FOREVER, NULL);
	open_gate(&w);
	until_reason(w.caller, op->reason);
	T_NE(op->give(&w), 0);
	T_EQ(finish(w.caller), 0);
	op->end(&w);
}
QUESTION(woken)

/* Nothing comes: it returns at its deadline, not before, and has left no trace: what comes later is not swallowed by it. */
static void deadline(const struct op *op)
{
	const int64_t ins[] = {2 * WEFT_MS, 100 * WEFT_US, 0, -WEFT_SEC};

	for (size_t i = 0; i < ARRAY_LEN(ins); i++) {
		struct world w;
		int64_t at = weft_now() + ins[i];

		world_make(&w, op);
		caller_start(&w, at, NULL);
		open_gate(&w);
		T_EQ(finish(w.caller), WEFT_ETIMEDOUT);
		T_GE(w.returned_at, at);
		if (!op->tasks_only) { /* the same world, once more, woken */
			store_relaxed(&w.gate, 0);
			caller_start(&w, weft_in(20 * WEFT_SEC), NULL);
			open_gate(&w);
			until_reason(w.caller, op->reason);
			T_NE(op->give(&w), 0);
			T_EQ(finish(w.caller), 0);
		}
		op->end(&w);
	}
}
QUESTION(deadline)

/* Deadlines long past, however odd, end the call at once; WEFT_NOW says that it would have to wait. */
static void never_waits(const struct op *op)
{
	const int64_t deadlines[] = {WEFT_NOW, 1, -1, INT64_MIN};

	for (size_t i = 0; i < ARRAY_LEN(deadlines); i++) {
		struct world w;

		world_make(&w, op);
		caller_start(&w, deadlines[i], NULL);
		open_gate(&w);
		T_EQ(finish(w.caller), deadlines[i] == WEFT_NOW ? WEFT_EAGAIN : WEFT_ETIMEDOUT);
		op->end(&w);
	}
}
QUESTION(never_waits)

/* Cancelled before it calls: it takes nothing, even though all is ready. */
static void cancelled_before(const struct op *op)
{
	for (int by_ctx = 0; by_ctx < 2; by_ctx++) {
		weft_ctx *c = weft_ctx_make(NULL);
		struct world w;

		world_make(&w, op);
		caller_start(&w, WEFT_FOREVER, c);
		op->ready(&w);
		T_EQ(by_ctx ? weft_ctx_cancel(c, WEFT_REASON_CANCELED) : weft_task_cancel(w.caller), 0);
		T_EQ(by_ctx ? weft_ctx_cancel(c, WEFT_REASON_CANCELED) : weft_task_cancel(w.caller), WEFT_EALREADY);
		open_gate(&w);
		T_EQ(finish(w.caller), WEFT_ECANCELED);
		T_LE(op->taken(&w), 0);
		op->end(&w);
		weft_ctx_free(c);
	}
}
QUESTION(cancelled_before)

/* Cancelled while it waits: it ends, and what comes later is not swallowed by it. */
static void cancelled_during(const struct op *op)
{
	for (int by_ctx = 0; by_ctx < 2; by_ctx++) {
		weft_ctx *c = weft_ctx_make(NULL), *above = NULL;
		struct world w;

		if (by_ctx) { /* from two levels above */
			weft_ctx *below = weft_ctx_make(c);

			above = c;
			c = weft_ctx_make(below);
			weft_ctx_free(below);
		}
		world_make(&w, op);
		caller_start(&w, by_ctx ? WEFT_FOREVER : weft_in(20 * WEFT_SEC), c);
		open_gate(&w);
		until_reason(w.caller, op->reason);
		T_EQ(by_ctx ? weft_ctx_cancel(above, WEFT_REASON_USER + 5) : weft_task_cancel(w.caller), 0);
		T_EQ(finish(w.caller), WEFT_ECANCELED);
		if (by_ctx) {
			T_EQ(weft_ctx_reason(c), WEFT_REASON_PARENT);
			T_EQ(weft_ctx_reason(above), WEFT_REASON_USER + 5);
		}
		if (!op->tasks_only) {
			store_relaxed(&w.gate, 0);
			caller_start(&w, WEFT_FOREVER, NULL);
			open_gate(&w);
			until_reason(w.caller, op->reason);
			T_NE(op->give(&w), 0);
			T_EQ(finish(w.caller), 0);
		}
		op->end(&w);
		weft_ctx_free(c);
		weft_ctx_free(above);
	}
}
QUESTION(cancelled_during)

/* The context's deadline bounds a call without one, and one with a later one; a context past its deadline lets nothing happen. */
static void context_deadline(const struct op *op)
{
	for (int how = 0; how < 4; how++) {
		bool past = how == 3;
		int64_t at = past ? weft_now() : weft_in(2 * WEFT_MS);
		weft_ctx *above = how == 1 ? weft_ctx_with_deadline(NULL, at) : NULL;
		weft_ctx *c = weft_ctx_with_deadline(above, how == 1 ? weft_in(WEFT_SEC) : at);
		struct world w;

		T_EQ(weft_ctx_deadline(c), at);
		world_make(&w, op);
		caller_start(&w, how == 2 ? weft_in(20 * WEFT_SEC) : WEFT_FOREVER, c);
		if (past)
			op->ready(&w);
		open_gate(&w);
		T_EQ(finish(w.caller), WEFT_ETIMEDOUT);
		T_GE(w.returned_at, at);
		T_EQ(weft_ctx_reason(c), WEFT_REASON_DEADLINE);
		if (past)
			T_LE(op->taken(&w), 0);
		op->end(&w);
		weft_ctx_free(c);
		weft_ctx_free(above);
	}
}
QUESTION(context_deadline)

/* --- races --- */

static int do_cancel(void *arg)
{
	struct world *w = arg;

	until(load_acquire(&w->fire));
	weft_task_cancel(w->caller);
	return 0;
}

static int do_give(void *arg)
{
	struct world *w = arg;

	until(load_acquire(&w->fire));
	return w->op->give(w);
}

/* Did what the caller says happen? */
static void race_check(struct world *w, int rc, int given, int other)
{
	T_OK(rc == 0 || rc == other);
	if (given != STICKS)
		T_EQ(rc == 0, given);
	if (w->op->call == call_recv || w->op->call == call_select_recv || w->op->call == call_select_many) {
		T_EQ(w->got, rc == 0 ? 42 : -1);
		if (weft_chan_cap(w->c))
			T_EQ(weft_chan_len(w->c), rc != 0);
	} else if (weft_chan_cap(w->c)) {
		T_EQ(weft_chan_len(w->c), rc == 0 ? 2 : 1);
	}
}

/* Woken and cancelled at the same instant: one of the two happened, nothing is lost and nothing doubled. */
static void woken_or_cancelled(const struct op *op)
{
	long n = tap_iters(2000);
	int outcomes[2] = {0, 0};

	for (long i = 0; i < n; i++) {
		weft_task *a, *b;
		struct world w;
		int rc, given;

		world_make(&w, op);
		caller_start(&w, i % 3 ? WEFT_FOREVER : weft_in(20 * WEFT_SEC), NULL);
		open_gate(&w);
		if (i % 4)
			until_parked(w.caller);
		a = start(i & 1 ? do_cancel : do_give, &w);
		b = start(i & 1 ? do_give : do_cancel, &w);
		if (i & 2) { /* both stand ready */
			weft_task_yield();
			weft_task_yield();
		}
		store_release(&w.fire, 1);
		given = finish(i & 1 ? b : a);
		finish(i & 1 ? a : b);
		rc = finish(w.caller);
		race_check(&w, rc, given, WEFT_ECANCELED);
		outcomes[rc == 0]++;
		op->end(&w);
	}
	tap_note("%d cancelled, %d woken", outcomes[0], outcomes[1]);
}
QUESTION(woken_or_cancelled)

/* The same against a deadline that passes just then. */
static void woken_or_late(const struct op *op)
{
	long n = tap_iters(600);
	int outcomes[2] = {0, 0};
	struct rng r;

	rng_seed(&r, 3, 0);
	for (long i = 0; i < n; i++) {
		int64_t at;
		struct world w;
		int rc, given;

		world_make(&w, op);
		at = weft_now() + (int64_t)(20 + rng_below(&r, 60)) * WEFT_US;
		caller_start(&w, at, NULL);
		open_gate(&w);
		until(weft_now() >= at - WEFT_US || weft_task_stateof(w.caller) == WEFT_TASK_DONE);
		given = op->give(&w);
		rc = finish(w.caller);
		race_check(&w, rc, given, WEFT_ETIMEDOUT);
		if (rc)
			T_GE(w.returned_at, at);
		outcomes[rc == 0]++;
		op->end(&w);
	}
	tap_note("%d late, %d woken", outcomes[0], outcomes[1]);
}
QUESTION(woken_or_late)

/* --- foreign threads --- */

struct foreign {
	struct world *w;
	int rc;
	ATOMIC(bool) returned;
};

static void *foreign_caller(void *arg)
{
	struct foreign *f = arg;

	f->rc = f->w->op->call(f->w, f->w->deadline);
	f->w->returned_at = weft_now();
	store_release(&f->returned, true); /* pairs with load_acquire in foreign_threads */
	return NULL;
}

/* Tells by way of a channel that all is done, so that the runtime does not go idle for ever in between. */
static void foreign_threads(const struct op *op)
{
	const int64_t ins[] = {WEFT_FOREVER, WEFT_NOW, 5 * WEFT_MS, -WEFT_SEC};

	if (op->tasks_only)
		return;
	for (size_t i = 0; i < ARRAY_LEN(ins); i++) {
		for (int ready = 0; ready < 2; ready++) {
			struct world w;
			struct foreign f = {.w = &w, .rc = 1, .returned = false};
			pthread_t th;

			world_make(&w, op);
			w.deadline = ins[i] == WEFT_FOREVER || ins[i] == WEFT_NOW ? ins[i] : weft_now() + ins[i];
			if (ready)
				op->ready(&w);
			T_EQ(pthread_create(&th, NULL, foreign_caller, &f), 0);
			if (!ready && ins[i] == WEFT_FOREVER) {
				int given = 0;

				weft_task_sleep(WEFT_MS); /* likely waiting by now; either order is legal */
				do {
					given = op->give(&w);
					let_run();
				} while (!given);
			}
			until(load_acquire(&f.returned)); /* pairs with store_release; what it waits for may be a task's to do */
			pthread_join(th, NULL);
			if (ready || ins[i] == WEFT_FOREVER)
				T_EQ(f.rc, 0);
			else
				T_EQ(f.rc, ins[i] == WEFT_NOW ? WEFT_EAGAIN : WEFT_ETIMEDOUT);
			if (f.rc == WEFT_ETIMEDOUT)
				T_GE(w.returned_at, w.deadline);
			if (ready)
				T_NE(op->taken(&w), 0);
			op->end(&w);
		}
	}
}
QUESTION(foreign_threads)
