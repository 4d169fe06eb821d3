/* SPDX-License-Identifier: MIT
 *
 * request.c - actor/request.c: calls whose answers are futures: waited for, selected on, given up, in the order in which they come.
 */
#include "actors.h"

#include "failpoint.h"
#include "weft/blocking.h"
#include "weft/fsm.h"
#include "weft/future.h"
#include "weft/server.h"
#include <pthread.h>
#include <stdlib.h>

/* --- a server that does as it is asked --- */

enum {
	BACK = 1, /* what was sent */
	KEEP,     /* not answered: where to is kept */
	FAIL,     /* by this code */
	BREAK,    /* the handler returns this code */
	ITSELF,   /* asks itself, and answers what it is told later */
};

#define KEPT 16

struct server {
	ATOMIC(int) calls, kept, destroyed;
	weft_from from[KEPT];
};

static struct server srv;

static int on_call(void *state, weft_msg *m, weft_from from)
{
	struct server *s = state;
	weft_future *f;
	int n;

	add_acq_rel(&s->calls, 1);
	switch (m->tag) {
	case BACK:
		(void)weft_server_reply(from, m->data, m->len);
		return 0;
	case KEEP:
		n = load_relaxed(&s->kept); /* ours */
		s->from[n] = from;
		store_release(&s->kept, n + 1);
		return 0;
	case FAIL:
		return weft_server_fail(from, *weft_msg_as(m, int));
	case BREAK:
		return *weft_msg_as(m, int);
	default:
		T_EQ(weft_server_request(weft_actor_self(), BACK, "itself", 7, 10, &f), 0);
		T_EQ(weft_server_response_until(f, NULL, 0, WEFT_NOW), WEFT_EAGAIN); /* it is we who would have to answer */
		weft_future_free(f);
		return weft_server_answer(from, 5);
	}
}

static void destroy(weft_msg *m)
{
	(void)m;
	add_acq_rel(&srv.destroyed, 1);
}

static const weft_server_vt vt = {.call = on_call, .dtor = destroy};

static weft_actor_ref begin_with(weft_server_opts o)
{
	weft_actor_ref ref;

	store_relaxed(&srv.calls, 0);
	store_relaxed(&srv.kept, 0);
	store_relaxed(&srv.destroyed, 0);
	T_EQ(weft_server_start(&ref, &vt, &srv, &o), 0);
	return ref;
}

static weft_actor_ref begin(void)
{
	return begin_with((weft_server_opts){.name = NULL});
}

static weft_future *ask(weft_actor_ref to, uint64_t tag, int v)
{
	weft_future *f;

	T_EQ(weft_server_request(to, tag, &v, sizeof v, sizeof v, &f), 0);
	return f;
}

static int answer(weft_future *f)
{
	int v = -1, rc = weft_server_response(f, &v, sizeof v);

	weft_future_free(f);
	return rc < 0 ? rc : rc == sizeof v ? v : -1;
}

static int simple_main(void *arg)
{
	weft_actor_ref ref = begin();
	char much[1000], back[1000];
	weft_future *f, *g;
	int v;

	(void)arg;
	T_EQ(answer(ask(ref, BACK, 7)), 7);
	f = ask(ref, BACK, 8);
	T_EQ(weft_future_await(f, &v), 0);
	T_EQ(v, 8);
	v = 0;
	T_EQ(weft_server_response(f, &v, sizeof v), (int)sizeof v); /* as often as one likes */
	T_EQ(v, 8);
	T_EQ(weft_server_response(f, &v, 1), WEFT_EMSGSIZE);
	weft_future_free(f);
	memset(much, 'x', sizeof much);
	memset(back, 0, sizeof back);
	T_EQ(weft_server_request(ref, BACK, much, sizeof much, sizeof much, &f), 0);
	T_EQ(weft_server_response(f, back, sizeof back), (int)sizeof much);
	T_OK(!memcmp(much, back, sizeof much));
	weft_future_free(f);
	T_EQ(weft_server_request(ref, BACK, "abc", 3, 8, &f), 0); /* shorter than it may be */
	T_EQ(weft_server_response(f, back, sizeof back), 3);
	T_OK(!memcmp(back, "abcx", 4));
	T_EQ(weft_future_await(f, back), 0);
	T_OK(!memcmp(back, "abc\0\0\0\0\0", 8));
	weft_future_free(f);
	T_EQ(weft_server_request(ref, BACK, much, 9, 8, &f), 0);
	T_EQ(weft_server_response(f, back, sizeof back), WEFT_EMSGSIZE);
	weft_future_free(f);
	T_EQ(answer(ask(ref, FAIL, WEFT_EBUSY)), WEFT_EBUSY);
	T_EQ(answer(ask(ref, ITSELF, 0)), 5);
	T_EQ(weft_server_request(ref, BACK, NULL, 0, 0, &f), 0);
	T_EQ(weft_server_response(f, NULL, 0), 0);
	T_EQ(weft_server_response(f, NULL, 1), WEFT_EINVAL);
	T_EQ(weft_server_response(NULL, NULL, 0), WEFT_EINVAL);
	weft_future_free(f);
	g = weft_future_ready(NULL, 0);
	T_EQ(weft_server_response(g, NULL, 0), WEFT_EINVAL); /* no request's */
	weft_future_free(g);
	end_actor(ref);
	return 0;
}

/* The answer comes as a call's would, whatever its size; and so does what goes wrong. */
TEST_WORKERS(answered)
{
	run(simple_main, NULL);
}

static int errors_main(void *arg)
{
	weft_actor_ref ref = begin_with((weft_server_opts){.name = "requested"});
	weft_future *f = (weft_future *)&f;
	char c = 0;

	(void)arg;
	T_EQ(weft_server_request(ref, BACK, NULL, 1, 0, &f), WEFT_EINVAL);
	T_OK(f == NULL);
	T_EQ(weft_server_request(ref, BACK, NULL, 0, 65536, &f), WEFT_EINVAL);
	T_EQ(weft_server_request(ref, BACK, NULL, 0, 0, NULL), WEFT_EINVAL);
	T_EQ(weft_server_request(ref, BACK, &c, (size_t)1 << 30, 0, &f), WEFT_EMSGSIZE);
	T_EQ(weft_server_request(WEFT_NO_ACTOR, BACK, NULL, 0, 0, &f), WEFT_ESRCH);
	T_EQ(weft_reg_request("nobody", BACK, NULL, 0, 0, &f), WEFT_ENOENT);
	T_OK(f == NULL);
	T_EQ(weft_reg_request("requested", BACK, "x", 1, 1, &f), 0);
	T_EQ(weft_server_response(f, &c, 1), 1);
	T_EQ(c, 'x');
	weft_future_free(f);
	T_EQ(weft_reg_request_until("requested", BACK, "y", 1, 1, &f, weft_in(60 * WEFT_SEC)), 0);
	T_EQ(weft_server_response_until(f, &c, 1, weft_in(60 * WEFT_SEC)), 1);
	weft_future_free(f);
	end_actor(ref);
	T_EQ(weft_server_request(ref, BACK, NULL, 0, 0, &f), WEFT_ESRCH);
	weft_task_cancel(weft_task_self());
	T_EQ(weft_server_request(ref, BACK, NULL, 0, 0, &f), WEFT_ECANCELED);
	return 0;
}

/* What cannot be asked is not; by name, too. */
TEST_WORKERS(refused)
{
	run(errors_main, NULL);
}

/* --- waiting --- */

struct wait {
	weft_future *f;
	int64_t deadline;
};

static int waits(void *arg)
{
	struct wait *w = arg;
	int v = -1, rc = weft_server_response_until(w->f, &v, sizeof v, w->deadline);

	return rc < 0 ? rc : v;
}

static int wait_main(void *arg)
{
	weft_actor_ref ref = begin();
	struct wait w = {ask(ref, KEEP, 1), WEFT_FOREVER}, late;
	weft_task *t, *u, *v;
	int n = 9;

	(void)arg;
	time_fake();
	late = (struct wait){w.f, weft_in(WEFT_SEC)};
	t = start(waits, &w);
	u = start(waits, &late);
	v = start(waits, &w);
	until_reason(t, "future");
	until_reason(u, "future");
	until_reason(v, "future");
	time_move(2 * WEFT_SEC);
	T_EQ(finish(u), WEFT_ETIMEDOUT);
	weft_task_cancel(v);
	T_EQ(finish(v), WEFT_ECANCELED);
	T_EQ(weft_server_response_until(w.f, &n, sizeof n, WEFT_NOW), WEFT_EAGAIN);
	until(load_acquire(&srv.kept) == 1);
	T_OK(weft_server_waiting(srv.from[0]));
	T_EQ(weft_server_reply(srv.from[0], &n, sizeof n), 0); /* by anybody, later */
	T_EQ(finish(t), 9);
	T_OK(!weft_server_waiting(srv.from[0]));
	T_EQ(weft_server_reply(srv.from[0], &n, sizeof n), WEFT_ESRCH); /* once */
	T_EQ(weft_server_fail(srv.from[0], WEFT_EIO), WEFT_ESRCH);
	weft_future_free(w.f);
	time_real();
	end_actor(ref);
	return 0;
}

/* Who gives up waiting does not give up the request; it is answered once, and all who wait hear it. */
TEST_WORKERS(waited_for)
{
	run(wait_main, NULL);
}

static int given_up_main(void *arg)
{
	weft_actor_ref ref = begin();
	weft_future *f, *g;
	int n = 3;

	(void)arg;
	weft_future_free(ask(ref, KEEP, 1));
	f = ask(ref, KEEP, 2);
	until(load_acquire(&srv.kept) + load_acquire(&srv.destroyed) ==
	      2); /* the second is kept; so is the first, or it was not handed over */
	n = load_acquire(&srv.kept);
	T_EQ(weft_future_cancel(f), 0);
	T_EQ(weft_future_await(f, NULL), WEFT_ECANCELED);
	for (int i = 0; i < n; i++) {
		T_OK(!weft_server_waiting(srv.from[i]));
		T_EQ(weft_server_reply(srv.from[i], &n, sizeof n), WEFT_ESRCH);
	}
	weft_future_free(f);
	T_EQ(weft_server_reply(srv.from[0], &n, sizeof n), WEFT_ESRCH); /* long after */
	T_EQ(answer(ask(ref, BACK, 1)), 1);
	T_EQ(weft_actor_suspend(ref), 0);
	n = load_acquire(&srv.calls);
	f = ask(ref, BACK, 4);
	g = ask(ref, BACK, 5);
	weft_future_free(f);
	T_EQ(weft_actor_resume(ref), 0);
	T_EQ(answer(g), 5);
	T_EQ(load_acquire(&srv.calls), n + 1); /* the other was not handed over */
	end_actor(ref);
	return 0;
}

/* A request that is given up is not handed over any more; a late answer goes nowhere. */
TEST_WORKERS(given_up)
{
	run(given_up_main, NULL);
}

static int select_main(void *arg)
{
	weft_actor_ref ref = begin(), other = begin();
	weft_future *f = ask(ref, KEEP, 1), *g = ask(other, BACK, 2);
	int v = 0, w = 0;
	weft_case c[] = {WEFT_FUTURE(f, &v), WEFT_FUTURE(g, &w)};

	(void)arg;
	T_EQ(weft_chan_select(c, 2), 1);
	T_EQ(w, 2);
	weft_future_free(g);
	until(load_acquire(&srv.kept) == 1); /* two servers keep in one place: one after the other */
	g = ask(other, KEEP, 2);
	until(load_acquire(&srv.kept) == 2);
	T_EQ(weft_actor_kill(ref), 0);
	T_EQ(weft_chan_select((weft_case[]){WEFT_FUTURE(f, &v), WEFT_FUTURE(g, &w)}, 2), 0);
	T_EQ(weft_future_poll(f, NULL), WEFT_EDOWN);
	weft_future_free(f);
	weft_future_free(g);
	end_actor(other);
	return 0;
}

/* A select waits for answers of several, or for their ends. */
TEST_WORKERS(selected)
{
	run(select_main, NULL);
}

/* --- ends --- */

static int dies_main(void *arg)
{
	weft_actor_ref ref = begin();
	weft_future *f[4];
	int v = 1;

	(void)arg;
	for (int i = 0; i < 3; i++)
		f[i] = ask(ref, KEEP, i);
	until(load_acquire(&srv.kept) == 3);
	T_EQ(weft_actor_suspend(ref), 0);
	f[3] = ask(ref, BACK, 3); /* in the mailbox */
	T_EQ(weft_actor_kill(ref), 0);
	for (int i = 0; i < 4; i++)
		T_EQ(answer(f[i]), WEFT_EDOWN);
	for (int i = 0; i < 3; i++)
		T_EQ(weft_server_reply(srv.from[i], &v, sizeof v), WEFT_ESRCH);
	ref = begin(); /* in the same cell */
	f[0] = ask(ref, KEEP, 0);
	until(load_acquire(&srv.kept) == 1);
	T_EQ(weft_server_reply(srv.from[1], &v, sizeof v), WEFT_ESRCH);
	T_EQ(weft_server_reply(srv.from[0], &v, sizeof v), 0);
	T_EQ(answer(f[0]), 1);
	T_EQ(answer(ask(ref, BREAK, WEFT_EIO)), WEFT_EDOWN);
	T_EQ(weft_actor_wait(ref, NULL) == 0 || !weft_actor_alive(ref), 1);
	return 0;
}

/* All who wait hear of the server's end; an answer to one that has ended goes to nobody, whoever lives there now. */
TEST_WORKERS(server_ends)
{
	run(dies_main, NULL);
}

static weft_future *out_f;
static ATOMIC(bool) out_ready;

static void *waits_outside(void *arg)
{
	(void)arg;
	while (!load_acquire(&out_ready))
		sched_yield();
	T_EQ(weft_future_await(out_f, NULL), WEFT_EDOWN);
	return NULL;
}

static int outside_main(void *arg)
{
	weft_actor_ref ref = begin();

	(void)arg;
	out_f = ask(ref, KEEP, 1);
	until(load_acquire(&srv.kept) == 1);
	store_release(&out_ready, true);
	return 0;
}

/* Who waits outside hears of the runtime's end; an answer after that is none. */
TEST_WORKERS(runtime_ends)
{
	pthread_t th;
	int v = 1;

	ends_with_main();
	T_EQ(pthread_create(&th, NULL, waits_outside, NULL), 0);
	T_EQ(weft_run(outside_main, NULL, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(pthread_join(th, NULL), 0);
	T_EQ(weft_server_reply(srv.from[0], &v, sizeof v), WEFT_ESRCH);
	T_EQ(weft_future_cancel(out_f), WEFT_EALREADY);
	weft_future_free(out_f);
	nothing_left();
}

static void *asks_outside(void *arg)
{
	weft_actor_ref *ref = arg;

	for (int i = 0; i < 50; i++)
		T_EQ(answer(ask(*ref, BACK, i)), i);
	return NULL;
}

static int threads_main(void *arg)
{
	weft_actor_ref ref = begin();
	pthread_t th[2];

	(void)arg;
	for (int i = 0; i < 2; i++)
		T_EQ(pthread_create(&th[i], NULL, asks_outside, &ref), 0);
	for (int i = 0; i < 2; i++)
		WEFT_BLOCKING
		{
			T_EQ(pthread_join(th[i], NULL), 0);
		}
	T_EQ(load_acquire(&srv.calls), 100);
	end_actor(ref);
	return 0;
}

/* Threads that weft did not make ask as tasks do. */
TEST_WORKERS(from_outside)
{
	run(threads_main, NULL);
}

/* --- a mailbox that is full --- */

struct asker {
	weft_actor_ref to;
	int64_t deadline;
	weft_future *f;
};

static int asks(void *arg)
{
	struct asker *k = arg;
	int v = 6;

	return weft_server_request_until(k->to, BACK, &v, sizeof v, sizeof v, &k->f, k->deadline);
}

static int asks_itself(void *arg)
{
	weft_actor_ref self;
	weft_future *f;

	(void)arg;
	T_EQ(weft_actor_attach(&self, &(weft_mailbox_opts){.cap = 1}), 0);
	T_EQ(tell(self, 1, 0), 0);
	return weft_server_request(self, BACK, NULL, 0, 0, &f);
}

static ATOMIC(int) highs;

static void on_high(weft_actor_ref ref, uint32_t len, void *arg)
{
	(void)ref;
	(void)arg;
	T_EQ(len, 2);
	add_acq_rel(&highs, 1);
}

static int full_main(void *arg)
{
	weft_actor_ref ref = begin_with((weft_server_opts){.mailbox = {.cap = 2, .high = 2, .on_high = on_high}});
	struct asker k[4];
	weft_future *in[2], *f;
	weft_task *t[4];

	(void)arg;
	time_fake();
	store_relaxed(&highs, 0);
	T_EQ(weft_actor_suspend(ref), 0);
	in[0] = ask(ref, BACK, 0);
	T_EQ(load_acquire(&highs), 0);
	in[1] = ask(ref, BACK, 1);
	T_EQ(load_acquire(&highs), 1);
	for (int i = 0; i < 4; i++) {
		k[i] = (struct asker){ref, i == 1 ? weft_in(WEFT_SEC) : WEFT_FOREVER, NULL};
		t[i] = start(asks, &k[i]);
		until_reason(t[i], "mailbox room");
	}
	T_EQ(weft_server_request_until(ref, BACK, NULL, 0, 0, &f, WEFT_NOW), WEFT_EAGAIN);
	time_move(2 * WEFT_SEC);
	T_EQ(finish(t[1]), WEFT_ETIMEDOUT);
	weft_task_cancel(t[2]);
	T_EQ(finish(t[2]), WEFT_ECANCELED);
	T_OK(!k[1].f && !k[2].f);
	T_EQ(weft_actor_resume(ref), 0);
	T_EQ(finish(t[0]), 0);
	T_EQ(finish(t[3]), 0);
	T_EQ(answer(k[0].f), 6);
	T_EQ(answer(k[3].f), 6);
	T_EQ(answer(in[0]), 0);
	T_EQ(answer(in[1]), 1);
	T_EQ(weft_actor_suspend(ref), 0);
	in[0] = ask(ref, BACK, 0);
	in[1] = ask(ref, BACK, 1);
	t[0] = start(asks, &k[0]);
	until_reason(t[0], "mailbox room");
	T_EQ(weft_actor_kill(ref), 0);
	T_EQ(finish(t[0]), WEFT_ESRCH);
	T_OK(k[0].f == NULL);
	T_EQ(answer(in[0]), WEFT_EDOWN);
	T_EQ(answer(in[1]), WEFT_EDOWN);
	T_EQ(finish(start(asks_itself, NULL)), WEFT_EDEADLK);
	ref = begin_with((weft_server_opts){.mailbox = {.cap = 1, .overflow = WEFT_OVERFLOW_DROP}});
	T_EQ(weft_actor_suspend(ref), 0);
	in[0] = ask(ref, BACK, 0);
	T_EQ(weft_server_request(ref, BACK, NULL, 0, 0, &f), WEFT_ENOBUFS);
	T_EQ(weft_actor_resume(ref), 0);
	T_EQ(answer(in[0]), 0);
	end_actor(ref);
	time_real();
	return 0;
}

/* Who finds no room waits for it, as every sender does, or is told. */
TEST_WORKERS(full)
{
	run(full_main, NULL);
}

/* --- who answers --- */

static int on_msg(void *state, weft_msg *m)
{
	(void)state;
	T_EQ(weft_server_reply(weft_msg_from(m), m->data, m->len), 0);
	return 0;
}

static int on_event(void *data, const weft_fsm_event *e)
{
	(void)data;
	T_EQ(e->kind, WEFT_FSM_CALL);
	return weft_server_reply(e->from, e->m->data, e->m->len);
}

static int drains(void *state, weft_msg *m)
{
	(void)state;
	if (m->tag == KEEP)
		T_EQ(weft_actor_drain(NULL, NULL), 2);
	return 0;
}

static int kinds_main(void *arg)
{
	static const weft_fsm_state states[] = {{"only", on_event, NULL}};
	static const weft_fsm_vt machine = {.states = states, .n = 1};
	static const weft_server_vt deaf = {.size = 0};
	weft_future *f, *g;
	weft_actor_ref ref;

	(void)arg;
	T_EQ(weft_actor_fn(&ref, on_msg), 0);
	T_EQ(answer(ask(ref, BACK, 1)), 1);
	end_actor(ref);
	T_EQ(weft_fsm_start(&ref, &machine, NULL, NULL), 0);
	T_EQ(answer(ask(ref, BACK, 2)), 2);
	end_actor(ref);
	T_EQ(weft_server_start(&ref, &deaf, NULL, NULL), 0);
	T_EQ(answer(ask(ref, BACK, 3)), WEFT_ENOTSUP);
	end_actor(ref);
	T_EQ(weft_actor_fn(&ref, drains), 0);
	T_EQ(weft_actor_suspend(ref), 0);
	T_EQ(tell(ref, KEEP, 0), 0);
	f = ask(ref, BACK, 4);
	g = ask(ref, BACK, 5);
	T_EQ(weft_actor_resume(ref), 0);
	T_EQ(answer(f), WEFT_ENOBUFS);
	T_EQ(answer(g), WEFT_ENOBUFS);
	end_actor(ref);
	return 0;
}

/* Any actor that answers calls answers requests. */
TEST_WORKERS(kinds)
{
	run(kinds_main, NULL);
}

/* --- several --- */

static int order_main(void *arg)
{
	weft_actor_ref ref = begin();
	weft_futures *s = weft_futures_make();
	weft_ended e;
	int v;

	(void)arg;
	for (int i = 0; i < 5; i++)
		T_EQ(weft_futures_add(s, ask(ref, KEEP, i), (uint64_t)i), 0);
	until(load_acquire(&srv.kept) == 5);
	T_EQ(weft_futures_next_until(s, &e, WEFT_NOW), WEFT_EAGAIN);
	for (int i = 4; i > 0; i--) {
		v = 10 * i;
		T_EQ(weft_server_reply(srv.from[i], &v, sizeof v), 0);
	}
	for (int i = 4; i > 0; i--) {
		T_EQ(weft_futures_next(s, &e), 0);
		T_EQ(e.label, (uint64_t)i);
		T_EQ(answer(e.f), 10 * i);
	}
	T_EQ(weft_futures_len(s), 1);
	weft_futures_free(s); /* gives the last one up */
	T_OK(!weft_server_waiting(srv.from[0]));
	end_actor(ref);
	return 0;
}

/* Several requests at once, in the order in which the answers come. */
TEST_WORKERS(in_order_of_arrival)
{
	run(order_main, NULL);
}

/* --- races --- */

static int storms(void *arg)
{
	weft_actor_ref ref = *(weft_actor_ref *)arg;
	struct rng r;
	weft_future *f;
	int v, rc;

	rng_seed(&r, 5, weft_task_id(NULL));
	for (int i = 0; i < tap_iters(100); i++) {
		v = i;
		rc = weft_server_request(ref, rng_below(&r, 3) ? BACK : KEEP + 10, &v, sizeof v, sizeof v, &f);
		if (rc == WEFT_ESRCH)
			return 0;
		T_EQ(rc, 0);
		switch (rng_below(&r, 4)) {
		case 0:
			(void)weft_future_cancel(f);
			rc = weft_future_await(f, &v);
			T_OK(rc == 0 || rc == WEFT_ECANCELED || rc == WEFT_EDOWN);
			break;
		case 1:
			weft_task_yield();
			break;
		case 2:
			rc = weft_future_await(f, &v);
			T_OK(rc == WEFT_EDOWN || (rc == 0 && v == i));
			break;
		default:
			break;
		}
		weft_future_free(f);
	}
	return 0;
}

static int answers_all(void *state, weft_msg *m, weft_from from)
{
	(void)state;
	(void)weft_server_reply(from, m->data, m->len);
	return 0;
}

static int storm_main(void *arg)
{
	static const weft_server_vt all = {.call = answers_all};
	weft_actor_ref ref;
	weft_task *t[4];

	(void)arg;
	for (int round = 0; round < tap_iters(10); round++) {
		T_EQ(weft_server_start(&ref, &all, NULL, &(weft_server_opts){.mailbox.cap = 2}), 0);
		for (int i = 0; i < 4; i++)
			t[i] = start(storms, &ref);
		if (round & 1) {
			for (int i = 0; i < round; i++)
				weft_task_yield();
			T_EQ(weft_actor_kill(ref), 0);
		}
		for (int i = 0; i < 4; i++)
			T_EQ(finish(t[i]), 0);
		if (!(round & 1))
			end_actor(ref);
	}
	return 0;
}

/* Answers, requests given up, and the server's end at the same time. */
TEST_WORKERS(at_the_same_time)
{
	run(storm_main, NULL);
}

/* --- without memory --- */

static int fail_main(void *arg)
{
	weft_actor_ref ref = begin();
	char much[500] = "";
	weft_future *f[8];
	weft_futures *s;
	int n = 0, rc;

	(void)arg;
	until_all_workers_run();
	for (int left = 3; left;) { /* tickets come several at a time */
		failpoint_arm(1 + n % 4);
		rc = weft_server_request(ref, BACK, much, sizeof much, sizeof much, &f[0]);
		failpoint_disarm();
		n++;
		if (rc) {
			T_EQ(rc, WEFT_ENOMEM);
			T_OK(f[0] == NULL);
			continue;
		}
		T_EQ(weft_server_response(f[0], much, sizeof much), (int)sizeof much);
		weft_future_free(f[0]);
		left -= !failpoint_fired(); /* else it was somebody else's call */
	}
	failpoint_arm(1);
	s = weft_futures_make();
	failpoint_disarm();
	T_OK(s == NULL);
	s = weft_futures_make();
	f[0] = ask(ref, BACK, 1);
	failpoint_arm(1);
	T_EQ(weft_futures_add(s, f[0], 0), WEFT_ENOMEM);
	failpoint_disarm();
	T_EQ(answer(f[0]), 1); /* still ours */
	weft_futures_free(s);
	end_actor(ref);
	return 0;
}

/* Who can have no memory is told so, and nothing was sent. */
TEST_WORKERS(no_memory)
{
	run(fail_main, NULL);
}
