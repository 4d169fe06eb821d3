/* SPDX-License-Identifier: MIT
 *
 * several_actors.c - actors of several runtimes in one process: who writes, asks, watches and waits across hears of it when either goes down, and nothing of those that never run again is left.
 */
#include "several.h"

#include "actor/actor.h"
#include "weft/bus.h"
#include "weft/future.h"
#include "weft/pool.h"
#include "weft/server.h"

#define SENDERS 6

/* --- a full mailbox --- */

static weft_actor_ref full; /* has one message in hand, and one in its mailbox */
static weft_chan *gate;     /* where it stands */
static ATOMIC(int) entered, heard;

static int stands(void *state, weft_msg *m)
{
	(void)state;
	(void)m;
	add_acq_rel(&entered, 1);
	(void)weft_chan_recv(gate, NULL);
	add_acq_rel(&heard, 1);
	return 0;
}

static int begins_full(void *arg)
{
	(void)arg;
	T_EQ(weft_actor_start(&full, &(weft_actor_opts){.on_msg = stands, .mailbox = {.cap = 1}}), 0);
	until(load_acquire(&entered) == 0);
	T_EQ(weft_actor_send(full, 0, NULL, 0, WEFT_PRIO_NORMAL), 0);
	until(load_acquire(&entered) == 1);
	return weft_actor_send(full, 0, NULL, 0, WEFT_PRIO_NORMAL);
}

static void fill_one_in(weft_runtime *rt)
{
	gate = weft_chan_make(sizeof(int), 0);
	store_release(&entered, 0);
	store_release(&heard, 0);
	T_EQ(finish(start_in(rt, begins_full, NULL)), 0);
}

/* By arg: a message, a call, a request; each small, or of a letter of its own. */
static int writes(void *arg)
{
	static const char data[400];
	intptr_t n = (intptr_t)arg;
	size_t len = n % 2 ? sizeof data : 8;
	weft_future *f;

	switch (n / 2) {
	case 0:
		return weft_actor_send(full, 1, data, len, WEFT_PRIO_NORMAL);
	case 1:
		return weft_server_call(full, 1, data, len, NULL, 0);
	default:
		return weft_server_request(full, 1, data, len, 8, &f);
	}
}

static void write_from(weft_runtime *rt, weft_task **t)
{
	for (intptr_t i = 0; i < SENDERS; i++)
		t[i] = start_in(rt, writes, (void *)i);
	for (int i = 0; i < SENDERS; i++)
		until_reason(t[i], i / 2 == 1 ? "server call" : "mailbox room");
}

static ATOMIC(int) spinning; /* 1: it has begun; 2: it shall end */

static int spins(void *arg)
{
	(void)arg;
	store_release(&spinning, 1);
	while (load_acquire(&spinning) != 2)
		sched_yield();
	return 0;
}

/* They are told, and have not run since, when it goes: their letters are theirs to take away. */
TEST_WORKERS(the_receiver_goes)
{
	weft_runtime *rt = made(tap_workers()), *theirs;
	weft_task *t[SENDERS], *busy;

	T_EQ(weft_make(&theirs, &(weft_opts){.workers = 1, .workers_max = 1, .spares = -1}), 0);
	fill_one_in(rt);
	write_from(theirs, t);
	store_release(&spinning, 0);
	busy = start_in(theirs, spins, NULL);
	until(load_acquire(&spinning) == 1);
	T_EQ(weft_free(rt, -1), 0);
	store_release(&spinning, 2);
	for (int i = 0; i < SENDERS; i++)
		T_EQ(finish(t[i]), i / 2 == 1 ? WEFT_EDOWN : WEFT_ESRCH);
	T_EQ(finish(busy), 0);
	T_OK(list_empty(&actor_at(full)->outside));
	T_EQ(weft_free(theirs, WEFT_FOREVER), 0);
	weft_chan_free(gate);
	nothing_left();
}

/* What they would have sent goes with them; others' waits on, in its place. */
static int senders_go_main(void *arg)
{
	weft_runtime *rt = made(2);
	weft_task *t[SENDERS], *mine;
	int n = 0;

	(void)arg;
	fill_one_in(NULL);
	write_from(rt, t);
	mine = start(writes, (void *)0);
	until_reason(mine, "mailbox room");
	T_EQ(weft_free(rt, -1), 0);
	for (int i = 0; i < SENDERS; i++)
		was_left(t[i]);
	T_OK(list_first(&actor_at(full)->outside) && list_first(&actor_at(full)->outside) == actor_at(full)->outside.head.prev);
	T_OK(list_empty(&actor_at(full)->requests));
	for (int i = 0; i < 3; i++)
		T_EQ(weft_chan_send(gate, &n), 0);
	T_EQ(finish(mine), 0);
	until(load_acquire(&heard) == 3);
	T_EQ(weft_actor_stop_wait(full), 0);
	T_OK(list_empty(&actor_at(full)->outside));
	weft_chan_free(gate);
	return 0;
}

TEST_WORKERS(the_senders_go)
{
	run(senders_go_main, NULL);
}

/* --- who watches --- */

static weft_actor_ref watched;

static int drops(void *state, weft_msg *m)
{
	(void)state;
	(void)m;
	return 0;
}

static int begins_watched(void *arg)
{
	(void)arg;
	return weft_actor_fn(&watched, drops);
}

static int waits_for_watched(void *arg)
{
	weft_end e = {-1, -1};

	(void)arg;
	T_EQ(weft_actor_wait(watched, &e), 0);
	T_EQ(e.kind, WEFT_END_CANCELED);
	T_EQ(e.code, WEFT_ECANCELED);
	T_OK(!weft_actor_alive(watched));
	return 0;
}

static ATOMIC(int) linked;

static int links(void *state)
{
	weft_msg *m;

	(void)state;
	T_EQ(weft_actor_link(watched), 0);
	store_release(&linked, 1);
	return weft_actor_recv(&m);
}

static void hear(uint8_t kind, uint64_t monitor)
{
	const weft_down *d;
	weft_msg *m;

	T_EQ(weft_actor_recv(&m), 0);
	T_EQ(m->kind, kind);
	d = weft_msg_down(m);
	T_OK(weft_actor_same(d->ref, watched));
	T_EQ(d->monitor, monitor);
	T_EQ(d->end.kind, WEFT_END_CANCELED);
	T_EQ(d->end.code, WEFT_ECANCELED);
	T_OK(!weft_actor_alive(watched));
	weft_msg_free(m);
}

static int watches(void *arg)
{
	weft_runtime *rt = made(2);
	weft_actor_ref self, bound;
	uint64_t monitor;
	weft_task *t;
	weft_end e;

	T_EQ(finish(start_in(rt, begins_watched, NULL)), 0);
	T_EQ(weft_actor_attach(&self, NULL), 0);
	T_EQ(weft_actor_trap(true), 0);
	T_EQ(weft_actor_link(watched), 0);
	T_EQ(weft_actor_monitor(watched, &monitor), 0);
	store_release(&linked, 0);
	T_EQ(weft_actor_start(&bound, &(weft_actor_opts){.run = links}), 0);
	until(load_acquire(&linked));
	t = start(waits_for_watched, NULL);
	until_reason(t, "actor");
	T_EQ(weft_free(rt, *(int64_t *)arg), 0);
	T_EQ(finish(t), 0);
	hear(WEFT_MSG_EXIT, 0); /* the oldest relation first */
	hear(WEFT_MSG_DOWN, monitor);
	if (weft_actor_wait(bound, &e) == 0) /* else it has ended already */
		T_EQ(e.kind, WEFT_END_CANCELED);
	T_OK(!weft_actor_alive(bound));
	return 0;
}

static int watch_main(void *arg)
{
	return finish(start(watches, arg));
}

/* Its actors end without having run again. */
TEST_WORKERS(watchers_of_one_that_is_left)
{
	int64_t grace = -1;

	run(watch_main, &grace);
}

TEST_WORKERS(watchers_of_one_that_is_shut_down)
{
	int64_t grace = WEFT_FOREVER;

	run(watch_main, &grace);
}

/* --- requests --- */

static weft_future *answer;

static int awaits_answer(void *arg)
{
	char reply[8];

	(void)arg;
	add_acq_rel(&entered, 1);
	return weft_server_response(answer, reply, sizeof reply);
}

static int asks_and_submits(void *f)
{
	T_EQ(weft_server_request(watched, 1, NULL, 0, 8, &answer), 0);
	return weft_pool_submit(NULL, awaits_answer, NULL, f);
}

static int never_called(int status, const void *value, void *out, void *arg)
{
	(void)value;
	(void)out;
	(void)arg;
	T_FAIL("called, with %d", status);
	return 0;
}

/* A job awaits what is to be made of an answer: by a task of its own runtime, which starts none any more. */
static int awaits_more(void *arg)
{
	weft_future *g = weft_future_then(answer, never_called, NULL, 0);
	int rc;

	(void)arg;
	add_acq_rel(&entered, 1);
	rc = weft_future_await(g, NULL);
	weft_future_free(g);
	return rc;
}

static int submits_more(void *f)
{
	return weft_pool_submit(NULL, awaits_more, NULL, f);
}

static int never_answers(void *state, weft_msg *m)
{
	(void)state;
	weft_msg_keep(m);
	return 0;
}

static int begins_silent(void *arg)
{
	(void)arg;
	return weft_actor_fn(&watched, never_answers);
}

static int asks(void *arg)
{
	weft_future *f;
	int rc = weft_server_request(watched, 1, NULL, 0, 8, &f);

	(void)arg;
	T_EQ(rc, 0);
	rc = weft_server_response(f, NULL, 0);
	weft_future_free(f);
	return rc;
}

static int says_status(int status, const void *value, void *out, void *arg)
{
	(void)value;
	(void)arg;
	T_OK(weft_runtime_self() == NULL); /* the default one's */
	*(int *)out = status;
	return 0;
}

/* A job of the one that goes down waits for an answer of an actor that goes with it, or what is made of that, and so does another's task. */
static int request_main(void *arg)
{
	weft_runtime *rt = made(tap_workers());
	weft_future *f, *more, *g;
	weft_task *t;
	int v = 0;

	(void)arg;
	store_release(&entered, 0);
	T_EQ(finish(start_in(rt, begins_silent, NULL)), 0);
	T_EQ(finish(start_in(rt, asks_and_submits, &f)), 0);
	T_EQ(finish(start_in(rt, submits_more, &more)), 0);
	g = weft_future_then(answer, says_status, NULL, sizeof v);
	t = start(asks, NULL);
	until_reason(t, "future");
	until(load_acquire(&entered) == 2);
	T_EQ(weft_free(rt, -1), 0);
	T_EQ(weft_future_await(f, &v), 0);
	T_EQ(v, WEFT_EDOWN);
	T_EQ(weft_future_await(more, &v), 0);
	T_EQ(v, WEFT_ESRCH);
	T_EQ(weft_future_await(g, &v), 0);
	T_EQ(v, WEFT_EDOWN);
	T_EQ(finish(t), WEFT_EDOWN);
	weft_future_free(f);
	weft_future_free(more);
	weft_future_free(g);
	weft_future_free(answer);
	return 0;
}

TEST_WORKERS(requests_to_one_that_goes)
{
	run(request_main, NULL);
}

/* --- later --- */

static weft_actor_timer *alarm_there;

static int sends_later(void *arg)
{
	(void)arg;
	T_EQ(weft_actor_send_after(watched, 3600 * WEFT_SEC, 1, NULL, 0, WEFT_PRIO_NORMAL, &alarm_there), 0);
	return weft_actor_send_after(watched, WEFT_SEC, 7, NULL, 0, WEFT_PRIO_NORMAL, NULL);
}

/* It is sent when it is due, whatever has become of the sender. */
static int later_main(void *arg)
{
	weft_runtime *rt;
	weft_msg *m;

	(void)arg;
	T_EQ(weft_actor_attach(&watched, NULL), 0);
	rt = made(1);
	time_fake();
	T_EQ(finish(start_in(rt, sends_later, NULL)), 0);
	T_EQ(weft_free(rt, -1), 0);
	T_EQ(weft_actor_recv_until(&m, WEFT_NOW), WEFT_EAGAIN);
	T_GT(weft_actor_timer_left(alarm_there), 0);
	time_move(WEFT_SEC);
	T_EQ(weft_actor_recv(&m), 0);
	T_EQ(m->tag, 7);
	weft_msg_free(m);
	T_EQ(weft_actor_timer_cancel(alarm_there), 1);
	time_real();
	return 0;
}

static int later_root(void *arg)
{
	return finish(start(later_main, arg));
}

TEST_WORKERS(messages_sent_later)
{
	run(later_root, NULL);
}

static ATOMIC(int) destroyed;

static void destroys(weft_msg *m)
{
	T_EQ(m->tag, 5);
	add_acq_rel(&destroyed, 1);
}

static int begins_owner(void *arg)
{
	(void)arg;
	return weft_actor_start(&watched, &(weft_actor_opts){.on_msg = drops, .dtor = destroys});
}

/* The receiver goes: what would have come is destroyed, and the sender's timer is of no use. */
static int later_there_main(void *arg)
{
	weft_actor_timer *t;
	weft_runtime *rt = made(1);

	(void)arg;
	store_release(&destroyed, 0);
	T_EQ(finish(start_in(rt, begins_owner, NULL)), 0);
	T_EQ(weft_actor_send_after(watched, 3600 * WEFT_SEC, 5, NULL, 0, WEFT_PRIO_NORMAL, &t), 0);
	T_EQ(weft_free(rt, -1), 0);
	T_EQ(load_acquire(&destroyed), 1);
	T_EQ(weft_actor_timer_left(t), WEFT_ESRCH);
	T_EQ(weft_actor_timer_cancel(t), 0);
	T_EQ(weft_actor_send_after(watched, 1, 5, NULL, 0, WEFT_PRIO_NORMAL, &t), WEFT_ESRCH);
	return 0;
}

TEST_WORKERS(messages_to_one_that_goes)
{
	run(later_there_main, NULL);
}

/* --- event managers --- */

static weft_actor_ref bus;

static int begins_bus(void *arg)
{
	(void)arg;
	return weft_bus_start(&bus, NULL);
}

static ATOMIC(bool) ends; /* a handler waits in its terminate */

static void waits_at_its_end(void *state, enum weft_bus_why why, int code)
{
	(void)state;
	T_EQ(why, WEFT_BUS_REMOVED);
	T_EQ(code, 0);
	store_release(&ends, true);
	weft_task_sleep(WEFT_FOREVER);
}

static int removes(void *arg)
{
	(void)arg;
	return weft_bus_remove(bus, 4);
}

/* Handlers that stand by, and one whose terminate waits. */
static int owns(void *arg)
{
	static const weft_bus_vt vt = {.terminate = waits_at_its_end};
	bool waiting = arg;
	weft_task *remover = NULL;
	weft_runtime *rt = made(1);
	weft_actor_ref self;
	weft_bus_gone gone;
	weft_msg *m;

	store_relaxed(&ends, false);
	T_EQ(finish(start_in(rt, begins_bus, NULL)), 0);
	T_EQ(weft_actor_attach(&self, NULL), 0);
	T_EQ(weft_bus_add_supervised(bus, 4, &vt, NULL), 0);
	if (waiting) {
		remover = start(removes, NULL);
		until(load_acquire(&ends));
	}
	T_EQ(weft_free(rt, -1), 0);
	T_EQ(weft_actor_recv(&m), 0);
	T_OK(m->tag == WEFT_BUS_GONE);
	gone = *weft_msg_as(m, weft_bus_gone);
	T_EQ(gone.id, 4);
	T_EQ(gone.why, WEFT_BUS_STOPPED);
	weft_msg_free(m);
	if (remover)
		T_EQ(finish(remover), WEFT_EDOWN);
	return 0;
}

static int owns_main(void *arg)
{
	(void)arg;
	T_EQ(finish(start(owns, NULL)), 0);
	return finish(start(owns, &bus));
}

TEST_WORKERS(owners_of_handlers)
{
	run(owns_main, NULL);
}

/* --- storms --- */

static ATOMIC(bool) over;

static int churns(void *arg)
{
	int n = 0;

	(void)arg;
	while (!load_acquire(&over)) {
		weft_actor_ref a;

		T_EQ(weft_actor_fn(&a, drops), 0);
		T_EQ(weft_actor_send(a, 1, NULL, 0, WEFT_PRIO_NORMAL), 0);
		T_EQ(weft_actor_stop_wait(a), 0);
		n++;
	}
	return n ? 0 : -1;
}

/* Cells go to actors of one while another goes down. */
static int storm_main(void *arg)
{
	weft_task *t[2];

	(void)arg;
	store_release(&over, false);
	for (int i = 0; i < 2; i++)
		t[i] = start(churns, NULL);
	for (int i = 0; i < tap_iters(20); i++) {
		weft_runtime *rt = made(1);

		T_EQ(finish(start_in(rt, begins_watched, NULL)), 0);
		T_EQ(weft_free(rt, -1), 0);
		T_OK(!weft_actor_alive(watched));
		weft_task_yield();
	}
	store_release(&over, true);
	for (int i = 0; i < 2; i++)
		(void)finish(t[i]);
	return 0;
}

TEST_WORKERS(actors_come_while_one_goes)
{
	run(storm_main, NULL);
}
