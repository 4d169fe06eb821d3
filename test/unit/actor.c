/* SPDX-License-Identifier: MIT
 *
 * actor.c - actor/: starting, failing, stopping, attaching. What comes in which order: actor_mail.c; who is told of an end: actor_links.c.
 */
#include "actors.h"

#include "weft/blocking.h"
#include "weft/waker.h"
#include <stdlib.h>

enum { ADD = 1, GET, FAIL, PANIC, STOP, BECOME, EXIT_TASK, BLOCK };

/* --- a counter --- */

struct counter {
	long n;
	weft_chan *answer; /* longs: what is asked for */
	_Atomic int *stopped;
	weft_end *end;
};

static int twice(void *state, weft_msg *m)
{
	struct counter *c = state;

	if (m->tag == ADD)
		c->n += 2 * *weft_msg_as(m, long);
	else
		weft_chan_send(c->answer, &c->n);
	return 0;
}

static int count(void *state, weft_msg *m)
{
	struct counter *c = state;

	switch (m->tag) {
	case ADD:
		c->n += *weft_msg_as(m, long);
		return 0;
	case GET:
		return weft_chan_send(c->answer, &c->n);
	case FAIL:
		return (int)*weft_msg_as(m, long);
	case PANIC:
		weft_task_panic("as asked");
	case STOP:
		return WEFT_ACTOR_STOP;
	case BECOME:
		return weft_actor_become(twice);
	case EXIT_TASK:
		weft_task_exit((int)*weft_msg_as(m, long));
	case BLOCK:
		return weft_chan_recv(c->answer, NULL);
	}
	return 0;
}

static void counted(void *state, weft_end e)
{
	struct counter *c = state;

	weft_task_sleep(1); /* it may block, whatever has ended it */
	T_EQ(weft_ctx_check(), 0);
	if (c->end)
		*c->end = e;
	if (c->stopped)
		(*c->stopped)++;
}

static long ask(weft_actor_ref ref, weft_chan *answer)
{
	long n = -1;

	T_EQ(weft_actor_send(ref, GET, NULL, 0, WEFT_PRIO_NORMAL), 0);
	T_EQ(weft_chan_recv(answer, &n), 0);
	return n;
}

static int counts_main(void *arg)
{
	weft_chan *answer = weft_chan_make(sizeof(long), 1);
	struct counter c = {.n = 100, .answer = answer};
	weft_actor_ref ref;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = count, .state = &c, .size = sizeof c}), 0);
	T_OK(weft_actor_alive(ref));
	for (long i = 1; i <= 100; i++)
		T_EQ(weft_actor_tell(ref, ADD, i), 0);
	T_EQ(ask(ref, answer), 5150);
	T_EQ(c.n, 100); /* it has its own */
	T_EQ(tell(ref, BECOME, 0), 0);
	T_EQ(tell(ref, ADD, 5), 0);
	T_EQ(ask(ref, answer), 5160);
	T_EQ(stats_of(ref).received, 104);
	T_EQ(weft_actor_stop_wait(ref), 0);
	T_EQ(weft_actor_stop_wait(ref), WEFT_ESRCH);
	T_EQ(weft_actor_wait(ref, NULL), WEFT_ESRCH);
	T_OK(!weft_actor_alive(ref));
	weft_chan_free(answer);
	return 0;
}

/* State of its own, answers, another handler from now on; and the dead stay dead. */
TEST_WORKERS(counts)
{
	run(counts_main, NULL);
}

/* --- ends --- */

static int ends_main(void *arg)
{
	static const struct {
		uint64_t tag;
		long with;
		int kind, code;
	} way[] = {
		{STOP, 0, WEFT_END_NORMAL, 0},
		{FAIL, -77, WEFT_END_CODE, -77},
		{FAIL, WEFT_ECLOSED, WEFT_END_CODE, WEFT_ECLOSED},
		{PANIC, 0, WEFT_END_PANIC, WEFT_EPANIC},
		{ADD, 0, WEFT_END_PANIC, WEFT_EPANIC}, /* a message of the wrong size */
		{EXIT_TASK, 3, WEFT_END_CODE, 3},
		{EXIT_TASK, 0, WEFT_END_NORMAL, 0},
	};

	(void)arg;
	for (unsigned i = 0; i < sizeof way / sizeof way[0]; i++) {
		_Atomic int stopped = 0;
		weft_end told = {-1, -1};
		struct counter c = {.stopped = &stopped, .end = &told};
		struct watcher w;
		weft_actor_ref ref;

		T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = count, .on_stop = counted, .state = &c}), 0);
		watch_begin(&w, ref);
		T_EQ(weft_actor_wait_until(ref, NULL, WEFT_NOW), WEFT_EAGAIN);
		T_EQ(weft_actor_send(ref, way[i].tag, &way[i].with, way[i].tag == ADD ? 3 : sizeof(long), WEFT_PRIO_NORMAL), 0);
		watch_end(&w, way[i].kind, way[i].code);
		T_EQ(stopped, 1);
		T_EQ(told.kind, way[i].kind);
		T_EQ(told.code, way[i].code);
		T_EQ(tell(ref, ADD, 1), WEFT_ESRCH);
	}
	return 0;
}

/* on_stop and who waits are told how it ends: by a result, a code, a panic, weft_task_exit. */
TEST_WORKERS(ends)
{
	run(ends_main, NULL);
}

enum { BY_STOP, BY_SIGNAL, BY_KILL, BY_CTX };

static int orders_main(void *arg)
{
	weft_chan *never = weft_chan_make(sizeof(long), 0);
	static const weft_end shutdown = {WEFT_END_SHUTDOWN, 7};

	(void)arg;
	for (int how = BY_STOP; how <= BY_CTX; how++) {
		for (int busy = 0; busy < 2; busy++) {
			_Atomic int stopped = 0;
			struct counter c = {.answer = never, .stopped = &stopped};
			weft_ctx *ctx = weft_ctx_make(NULL);
			struct watcher w;
			weft_actor_ref ref;

			T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = count, .on_stop = counted, .state = &c, .ctx = ctx}), 0);
			watch_begin(&w, ref);
			if (busy) {
				T_EQ(tell(ref, BLOCK, 0), 0);
				until(stats_of(ref).received == 1);
			}
			if (how == BY_STOP) {
				T_EQ(weft_actor_stop(ref, shutdown), 0);
				if (busy) {
					T_EQ(weft_actor_stop(ref, shutdown), WEFT_EALREADY);
					T_EQ(weft_chan_send(never, &(long){0}), 0); /* it goes on waiting for that */
				}
			} else if (how == BY_SIGNAL) {
				T_EQ(weft_actor_signal(ref, (weft_end){WEFT_END_NORMAL, 0}), 0); /* which is none */
				T_EQ(weft_actor_signal(ref, shutdown), 0);
			} else if (how == BY_KILL) {
				T_EQ(weft_actor_kill(ref), 0);
			} else {
				T_EQ(weft_ctx_cancel(ctx, 0), 0);
			}
			if (how == BY_KILL)
				watch_end(&w, WEFT_END_KILLED, WEFT_ECANCELED);
			else if (how == BY_CTX)
				watch_end(&w, WEFT_END_CANCELED, WEFT_ECANCELED);
			else
				watch_end(&w, WEFT_END_SHUTDOWN, 7);
			T_EQ(stopped, how != BY_KILL);
			T_EQ(weft_actor_stop(ref, shutdown), WEFT_ESRCH);
			T_EQ(weft_actor_signal(ref, shutdown), WEFT_ESRCH);
			T_EQ(weft_actor_kill(ref), WEFT_ESRCH);
			weft_ctx_free(ctx);
		}
	}
	weft_chan_free(never);
	return 0;
}

/* Idle or in a handler that waits: a stop lets that finish, an exit signal, a kill and its context do not; only a kill skips on_stop. */
TEST_WORKERS(orders)
{
	run(orders_main, NULL);
}

static void hangs(void *state, weft_end e)
{
	_Atomic int *n = state;

	T_EQ(e.kind, WEFT_END_NORMAL);
	(*n)++;
	T_EQ(weft_task_sleep(WEFT_FOREVER), WEFT_ECANCELED);
	(*n)++;
}

static int stop_deadline_main(void *arg)
{
	_Atomic int n = 0;
	weft_actor_ref ref;
	struct watcher w;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .on_stop = hangs, .state = (void *)&n}), 0);
	watch_begin(&w, ref);
	T_EQ(weft_actor_stop_wait_until(ref, WEFT_NOW), WEFT_EAGAIN); /* told to stop, and killed */
	watch_end(&w, WEFT_END_KILLED, WEFT_ECANCELED);
	T_OK(n == 0 || n == 2); /* killed before on_stop, or in it */

	n = 0;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .on_stop = hangs, .state = (void *)&n}), 0);
	watch_begin(&w, ref);
	T_EQ(weft_actor_stop(ref, (weft_end){WEFT_END_NORMAL, 0}), 0);
	until(n == 1);
	T_EQ(stats_of(ref).state, WEFT_ACTOR_STOPPING);
	T_EQ(weft_actor_stop_wait_until(ref, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	watch_end(&w, WEFT_END_KILLED, WEFT_ECANCELED);
	T_EQ(n, 2);
	return 0;
}

/* Who waits for an end no longer than until a deadline has it killed, also in on_stop. */
TEST_WORKERS(stop_deadline)
{
	run(stop_deadline_main, NULL);
}

/* on_stop of an actor whose context is cancelled is not; a kill ends it all the same. */
static void hangs_shielded(void *state, weft_end e)
{
	_Atomic int *n = state;

	T_EQ(e.kind, WEFT_END_CANCELED);
	T_EQ(weft_ctx_check(), 0);
	(*n)++;
	T_EQ(weft_task_sleep(WEFT_FOREVER), WEFT_ECANCELED);
	(*n)++;
}

static int kill_in_stop_main(void *arg)
{
	weft_ctx *ctx = weft_ctx_make(NULL);
	_Atomic int n = 0;
	weft_actor_ref ref;
	struct watcher w;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .on_stop = hangs_shielded, .state = (void *)&n, .ctx = ctx}), 0);
	watch_begin(&w, ref);
	T_EQ(weft_ctx_cancel(ctx, 0), 0);
	until(n == 1);
	T_EQ(weft_actor_signal(ref, (weft_end){WEFT_END_CODE, 1}), 0); /* too late for that */
	T_EQ(weft_actor_stop(ref, (weft_end){WEFT_END_NORMAL, 0}), WEFT_EALREADY);
	T_EQ(weft_actor_kill(ref), 0);
	watch_end(&w, WEFT_END_KILLED, WEFT_ECANCELED);
	T_EQ(n, 2);
	weft_ctx_free(ctx);
	return 0;
}

TEST_WORKERS(kill_in_stop)
{
	run(kill_in_stop_main, NULL);
}

/* on_stop waits, and is not cancelled with the context that the actor's is below; what it starts is cancelled when it has ended. */
struct farewell {
	weft_chan *go;
	_Atomic int begun, over;
};

static int never_ends(void *arg)
{
	struct farewell *f = arg;

	T_EQ(weft_task_sleep(WEFT_FOREVER), WEFT_ECANCELED);
	f->over++;
	return 0;
}

static void takes_its_time(void *state, weft_end e)
{
	struct farewell *f = state;

	(void)e;
	T_EQ(weft_go_opts(NULL, never_ends, f, NULL), 0);
	f->begun = 1;
	T_EQ(weft_chan_recv(f->go, NULL), 0);
	T_EQ(weft_ctx_check(), 0);
	T_EQ(f->over, 0);
}

static int canceled_meanwhile_main(void *arg)
{
	struct farewell f = {.go = weft_chan_make(1, 1)};
	weft_ctx *ctx = weft_ctx_make(NULL);
	weft_actor_ref ref;
	struct watcher w;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .on_stop = takes_its_time, .state = &f, .ctx = ctx}), 0);
	watch_begin(&w, ref);
	T_EQ(weft_actor_stop(ref, (weft_end){WEFT_END_SHUTDOWN, 0}), 0);
	until(f.begun == 1);
	T_EQ(weft_ctx_cancel(ctx, 0), 0);
	T_EQ(weft_chan_send(f.go, ""), 0);
	watch_end(&w, WEFT_END_SHUTDOWN, 0);
	until(f.over == 1);
	weft_ctx_free(ctx);
	weft_chan_free(f.go);
	return 0;
}

TEST_WORKERS(canceled_meanwhile)
{
	run(canceled_meanwhile_main, NULL);
}

static void panics_last(void *state, weft_end e)
{
	(void)state;
	(void)e;
	weft_task_panic("at the very end");
}

static void exits_last(void *state, weft_end e)
{
	(void)state;
	(void)e;
	weft_task_exit(9);
}

static int bad_stop_main(void *arg)
{
	weft_actor_ref ref;
	struct watcher w;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .on_stop = panics_last}), 0);
	watch_begin(&w, ref);
	T_EQ(weft_actor_stop_wait(ref), 0);
	watch_end(&w, WEFT_END_PANIC, WEFT_EPANIC);
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .on_stop = exits_last}), 0);
	watch_begin(&w, ref);
	T_EQ(weft_actor_stop_wait(ref), 0);
	watch_end(&w, WEFT_END_NORMAL, 0);
	return 0;
}

/* An on_stop that panics, or ends the task, ends the actor all the same. */
TEST_WORKERS(bad_stop)
{
	run(bad_stop_main, NULL);
}

/* --- on_start --- */

struct starter {
	int rc;
	int panic;
	weft_chan *go; /* waits for it; NULL: does not */
	_Atomic int stopped, gave_up;
};

static int begin(void *state)
{
	struct starter *s = state;

	if (s->go) {
		int rc = weft_chan_recv(s->go, NULL);

		s->gave_up++;
		return rc;
	}
	if (s->panic == 1)
		weft_task_panic("not today");
	if (s->panic == 2)
		weft_task_exit(5);
	return s->rc;
}

static void stopped(void *state, weft_end e)
{
	struct starter *s = state;

	(void)e;
	s->stopped++;
}

static int starts_main(void *arg)
{
	struct starter s = {.rc = 0};
	const weft_actor_opts o = {.on_msg = ignore, .on_start = begin, .on_stop = stopped, .state = &s};
	weft_actor_ref ref;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &o), 0);
	T_EQ(stats_of(ref).state, WEFT_ACTOR_RUNNING);
	T_EQ(weft_actor_stop_wait(ref), 0);
	T_EQ(s.stopped, 1);
	s.rc = -42;
	T_EQ(weft_actor_start(&ref, &o), -42);
	T_OK(weft_actor_same(ref, WEFT_NO_ACTOR));
	s.panic = 1;
	T_EQ(weft_actor_start(&ref, &o), WEFT_EPANIC);
	s.panic = 2;
	T_EQ(weft_actor_start(&ref, &o), WEFT_EDOWN);
	s.panic = 0;
	s.rc = 0;
	s.go = weft_chan_make(1, 0);
	T_EQ(weft_actor_start_until(&ref, &o, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_actor_start_until(&ref, &o, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_OK(weft_actor_same(ref, WEFT_NO_ACTOR));
	until(s.gave_up == 2);
	T_EQ(s.stopped, 1);
	weft_chan_free(s.go);
	return 0;
}

/* A start waits for on_start, and returns what that says; without on_stop, if it fails. */
TEST_WORKERS(starts)
{
	run(starts_main, NULL);
}

struct slow_start {
	weft_chan *refs, *never;
};

static int tells_and_waits(void *state)
{
	struct slow_start *s = state;
	weft_actor_ref me = weft_actor_self();

	T_EQ(weft_chan_send(s->refs, &me), 0);
	return weft_chan_recv(s->never, NULL);
}

static int starts_slowly(void *arg)
{
	return weft_actor_start(NULL, &(weft_actor_opts){.on_msg = ignore, .on_start = tells_and_waits, .state = arg});
}

static int killed_in_start_main(void *arg)
{
	struct slow_start s = {weft_chan_make(sizeof(weft_actor_ref), 0), weft_chan_make(1, 0)};

	(void)arg;
	for (int kill = 0; kill < 2; kill++) {
		weft_task *t = start(starts_slowly, &s);
		weft_actor_ref ref;
		struct watcher w;

		T_EQ(weft_chan_recv(s.refs, &ref), 0);
		watch_begin(&w, ref);
		T_EQ(stats_of(ref).state, WEFT_ACTOR_STARTING);
		T_EQ(kill ? weft_actor_kill(ref) : weft_actor_signal(ref, (weft_end){WEFT_END_SHUTDOWN, 5}), 0);
		watch_end(&w, kill ? WEFT_END_KILLED : WEFT_END_SHUTDOWN, kill ? WEFT_ECANCELED : 5);
		T_EQ(finish(t), WEFT_EDOWN);
	}
	weft_chan_free(s.refs);
	weft_chan_free(s.never);
	return 0;
}

/* Killed, or ended by a signal, in on_start: that is the end others are told of. */
TEST_WORKERS(killed_in_start)
{
	run(killed_in_start_main, NULL);
}

static int canceled_start(void *arg)
{
	const weft_actor_opts *o = arg;
	weft_actor_ref ref;

	T_EQ(weft_actor_start(&ref, o), WEFT_ECANCELED);
	T_EQ(weft_actor_start(&ref, o), WEFT_ECANCELED); /* at once */
	return 0;
}

static int start_canceled_main(void *arg)
{
	struct starter s = {.go = weft_chan_make(1, 0)};
	const weft_actor_opts o = {.on_msg = ignore, .on_start = begin, .state = &s, .ctx = weft_ctx_self()};
	weft_task *t = start(canceled_start, (void *)&o);

	(void)arg;
	until_reason(t, "actor");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), 0);
	until(s.gave_up == 1);
	weft_chan_free(s.go);
	return 0;
}

TEST_WORKERS(start_canceled)
{
	run(start_canceled_main, NULL);
}

static int adopts_itself(void *arg)
{
	weft_actor_ref ref;

	(void)arg;
	return weft_actor_adopt(&ref, weft_task_self());
}

static int bad_args_main(void *arg)
{
	weft_actor_ref ref = {&ref, 7};
	weft_end bad = {99, 0};

	(void)arg;
	T_EQ(weft_actor_start(&ref, NULL), WEFT_EINVAL);
	T_OK(weft_actor_same(ref, WEFT_NO_ACTOR));
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = NULL}), WEFT_EINVAL);
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .run = watcher_main}), WEFT_EINVAL);
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .mailbox = {.overflow = 9}}), WEFT_EINVAL);
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .size = (size_t)1 << 40}), WEFT_EINVAL);
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .link = true}), WEFT_EINVAL);
	T_EQ(weft_actor_fn(&ref, NULL), WEFT_EINVAL);
	T_EQ(weft_actor_adopt(&ref, NULL), WEFT_EINVAL);
	T_EQ(finish(start(adopts_itself, NULL)), WEFT_EINVAL);
	T_EQ(weft_actor_stop(WEFT_NO_ACTOR, bad), WEFT_EINVAL);
	T_EQ(weft_actor_signal(WEFT_NO_ACTOR, bad), WEFT_EINVAL);
	T_EQ(weft_actor_signal(WEFT_NO_ACTOR, (weft_end){WEFT_END_KILLED, 0}), WEFT_EINVAL);
	T_EQ(weft_actor_stop(WEFT_NO_ACTOR, (weft_end){0, 0}), WEFT_ESRCH);
	T_EQ(weft_actor_kill(WEFT_NO_ACTOR), WEFT_ESRCH);
	T_EQ(weft_actor_suspend(WEFT_NO_ACTOR), WEFT_ESRCH);
	T_EQ(weft_actor_resume(WEFT_NO_ACTOR), WEFT_ESRCH);
	T_EQ(weft_actor_stats(WEFT_NO_ACTOR, &(weft_actor_stat){.len = 0}), WEFT_ESRCH);
	T_EQ(weft_actor_stats(WEFT_NO_ACTOR, NULL), WEFT_EINVAL);
	T_EQ(weft_actor_wait(WEFT_NO_ACTOR, NULL), WEFT_ESRCH);
	T_OK(!weft_actor_alive(WEFT_NO_ACTOR));
	T_OK(weft_actor_same(weft_actor_self(), WEFT_NO_ACTOR));
	T_EQ(weft_actor_become(ignore), WEFT_EINVAL);
	T_EQ(weft_actor_trap(true), WEFT_EINVAL);
	T_EQ(weft_actor_attach(&ref, &(weft_mailbox_opts){.overflow = 3}), WEFT_EINVAL);
	T_STR_EQ(weft_end_name(bad), "?");
	return 0;
}

TEST_WORKERS(bad_args)
{
	run(bad_args_main, NULL);
}

/* --- failures --- */

struct trouble {
	_Atomic int asked;
	int forgive;
	int code;
	bool told; /* what the panic was */
	int panic_in_it;
};

static int judge(void *state, int code, const weft_panic *p)
{
	struct trouble *t = *(struct trouble **)state;

	t->code = code;
	t->told = p && !strcmp(p->message, "as asked");
	t->asked++; /* last: who has seen it looks at the others */
	if (t->panic_in_it)
		weft_task_panic("that too");
	return t->forgive-- > 0 ? 0 : -5;
}

static int troubled(void *state, weft_msg *m)
{
	(void)state;
	if (m->tag == PANIC)
		weft_task_panic("as asked");
	return m->tag == FAIL ? -3 : 0;
}

static int forgiving_main(void *arg)
{
	struct trouble t = {.forgive = 3}, *p = &t;
	const weft_actor_opts o = {.on_msg = troubled, .on_error = judge, .state = &p, .size = sizeof p};
	weft_actor_ref ref;
	struct watcher w;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &o), 0);
	watch_begin(&w, ref);
	T_EQ(tell(ref, FAIL, 0), 0);
	T_EQ(tell(ref, PANIC, 0), 0);
	until(stats_of(ref).received == 2 && t.asked == 2);
	T_EQ(t.code, WEFT_EPANIC);
	T_OK(t.told);
	T_EQ(tell(ref, FAIL, 0), 0);
	T_EQ(tell(ref, FAIL, 0), 0);
	watch_end(&w, WEFT_END_CODE, -5);
	T_EQ(t.asked, 4);

	t = (struct trouble){.panic_in_it = 1};
	T_EQ(weft_actor_start(&ref, &o), 0);
	watch_begin(&w, ref);
	T_EQ(tell(ref, FAIL, 0), 0);
	watch_end(&w, WEFT_END_PANIC, WEFT_EPANIC);
	T_EQ(t.asked, 1);
	return 0;
}

/* on_error decides whether an actor goes on, with its state; it is not asked about itself. */
TEST_WORKERS(forgiving)
{
	run(forgiving_main, NULL);
}

static int says_it_panicked(void *state, weft_msg *m)
{
	(void)state;
	(void)m;
	return WEFT_EPANIC;
}

static int no_panic(void *state, int code, const weft_panic *p)
{
	(void)state;
	T_EQ(code, WEFT_EPANIC);
	T_OK(p == NULL);
	return -6;
}

static int false_panic_main(void *arg)
{
	weft_actor_ref ref;
	struct watcher w;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = says_it_panicked, .on_error = no_panic}), 0);
	watch_begin(&w, ref);
	T_EQ(tell(ref, ADD, 0), 0);
	watch_end(&w, WEFT_END_CODE, -6);
	return 0;
}

/* A handler that returns the code of a panic has not panicked. */
TEST_WORKERS(false_panic)
{
	run(false_panic_main, NULL);
}

/* --- a function in place of handlers --- */

static int echo(void *state)
{
	int rc;

	for (;;) {
		weft_msg *m;

		rc = weft_actor_recv(&m);
		if (rc)
			return rc;
		if (m->tag == STOP)
			return *(int *)state; /* m is freed, too */
		T_EQ(weft_actor_send(m->from, m->tag + 1, m->data, m->len, m->prio), 0);
		weft_msg_free(m);
	}
}

static int echo_main(void *arg)
{
	weft_actor_ref me, echoes, again;
	char big[1000];
	int result = 17;
	struct watcher w;
	weft_msg *m;

	(void)arg;
	memset(big, 'x', sizeof big);
	T_EQ(weft_actor_recv(&m), WEFT_EINVAL);
	T_EQ(weft_actor_attach(&me, NULL), 0);
	T_EQ(weft_actor_attach(&again, NULL), WEFT_EALREADY);
	T_OK(weft_actor_same(me, again) && weft_actor_same(me, weft_actor_self()));
	T_EQ(weft_actor_start(&echoes, &(weft_actor_opts){.run = echo, .state = &result, .name = "echo"}), 0);
	watch_begin(&w, echoes);
	for (size_t n = 0; n <= sizeof big; n = n * 2 + 1) {
		T_EQ(weft_actor_send(echoes, n, big, n, WEFT_PRIO_HIGH), 0);
		T_EQ(weft_actor_recv(&m), 0);
		T_EQ(m->tag, n + 1);
		T_EQ(m->len, n);
		T_EQ(m->prio, WEFT_PRIO_HIGH);
		T_EQ(m->kind, WEFT_MSG_USER);
		T_OK(weft_actor_same(m->from, echoes));
		T_EQ(memcmp(m->data, big, n), 0);
		weft_msg_free(m);
	}
	T_EQ(weft_actor_send(echoes, STOP, NULL, 0, WEFT_PRIO_LOW), 0);
	watch_end(&w, WEFT_END_CODE, 17);
	T_EQ(weft_actor_wait(me, NULL), WEFT_EDEADLK);
	T_EQ(weft_actor_become(ignore), WEFT_EINVAL); /* it has no handlers */
	return 0;
}

/* A loop that receives by itself; a task that has become an actor; messages of all sizes. */
TEST_WORKERS(echoes)
{
	run(echo_main, NULL);
}

/* --- off a task --- */

static int blocking_call(void *ref)
{
	weft_msg *m;

	T_OK(weft_actor_same(weft_actor_self(), WEFT_NO_ACTOR));
	T_EQ(weft_actor_recv(&m), WEFT_EINVAL);
	T_EQ(weft_actor_trap(true), WEFT_EINVAL);
	T_EQ(weft_actor_monitor(*(weft_actor_ref *)ref, NULL), WEFT_EINVAL);
	T_EQ(tell(*(weft_actor_ref *)ref, ADD, 1), 0);
	return 0;
}

static int in_blocking_main(void *arg)
{
	weft_actor_ref me;
	weft_msg *m;

	(void)arg;
	T_EQ(weft_actor_attach(&me, NULL), 0);
	T_EQ(weft_blocking(blocking_call, &me, NULL), 0);
	WEFT_BLOCKING
	blocking_call(&me);
	for (int i = 0; i < 2; i++) {
		T_EQ(weft_actor_recv_until(&m, WEFT_NOW), 0);
		T_OK(weft_actor_same(m->from, WEFT_NO_ACTOR));
		weft_msg_free(m);
	}
	T_EQ(weft_actor_trap(false), 0); /* it is one again */
	return 0;
}

/* In a blocking call or section an actor is a thread like any other. */
TEST_WORKERS(in_blocking)
{
	run(in_blocking_main, NULL);
}

/* --- tasks as actors --- */

struct guest {
	weft_chan *out; /* of weft_actor_ref */
	int result;
};

static int guest(void *arg)
{
	struct guest *g = arg;
	weft_actor_ref me;
	weft_msg *m;
	int rc;

	T_EQ(weft_actor_attach(&me, NULL), 0);
	T_EQ(weft_chan_send(g->out, &me), 0);
	rc = weft_actor_recv(&m);
	if (rc)
		return rc;
	switch (m->tag) {
	case PANIC:
		weft_task_panic("as asked");
	case EXIT_TASK:
		weft_task_exit(g->result);
	default:
		return g->result; /* the message is freed with the actor */
	}
}

static int guests_main(void *arg)
{
	static const struct {
		uint64_t tag;
		int result, kind, code;
	} way[] = {
		{ADD, 0, WEFT_END_NORMAL, 0},
		{ADD, -9, WEFT_END_CODE, -9},
		{EXIT_TASK, 4, WEFT_END_CODE, 4},
		{PANIC, 0, WEFT_END_PANIC, WEFT_EPANIC},
	};
	weft_chan *refs = weft_chan_make(sizeof(weft_actor_ref), 0);
	struct guest g = {.out = refs};
	weft_actor_ref ref;
	struct watcher w;
	weft_task *t;

	(void)arg;
	for (unsigned i = 0; i < sizeof way / sizeof way[0]; i++) {
		g.result = way[i].result;
		t = start(guest, &g);
		T_EQ(weft_chan_recv(refs, &ref), 0);
		watch_begin(&w, ref);
		T_EQ(tell(ref, way[i].tag, 0), 0);
		watch_end(&w, way[i].kind, way[i].code);
		T_EQ(finish(t), way[i].kind == WEFT_END_PANIC ? WEFT_EPANIC : way[i].result);
	}
	for (int kill = 0; kill < 2; kill++) {
		t = start(guest, &g);
		T_EQ(weft_chan_recv(refs, &ref), 0);
		watch_begin(&w, ref);
		T_EQ(kill ? weft_actor_kill(ref) : weft_actor_signal(ref, (weft_end){WEFT_END_CODE, 6}), 0);
		watch_end(&w, kill ? WEFT_END_KILLED : WEFT_END_CODE, kill ? WEFT_ECANCELED : 6);
		T_LT(finish(t), 0); /* it was cancelled, or told so */
	}
	weft_chan_free(refs);
	return 0;
}

/* A task that has attached itself: its end is the actor's, and an exit signal cancels it. */
TEST_WORKERS(guests)
{
	run(guests_main, NULL);
}

static _Atomic int sleepers;

static int sleeper(void *arg)
{
	int rc;

	sleepers++;
	rc = weft_chan_recv(arg, NULL);
	sleepers--;
	return rc ? rc : 12;
}

static int adopts_main(void *arg)
{
	weft_chan *c = weft_chan_make(1, 0);
	weft_actor_ref ref;
	struct watcher w;

	(void)arg;
	T_EQ(weft_actor_adopt(&ref, start(sleeper, c)), 0);
	watch_begin(&w, ref);
	T_EQ(tell(ref, ADD, 1), 0); /* which means nothing to it */
	T_EQ(weft_chan_send(c, ""), 0);
	watch_end(&w, WEFT_END_CODE, 12);
	for (int kill = 0; kill < 3; kill++) {
		weft_task *t = start(sleeper, c);

		until_reason(t, "chan receive");
		T_EQ(weft_actor_adopt(&ref, t), 0);
		watch_begin(&w, ref);
		if (kill == 2)
			T_EQ(weft_actor_stop(ref, (weft_end){WEFT_END_SHUTDOWN, 0}), 0);
		else if (kill)
			T_EQ(weft_actor_kill(ref), 0);
		else
			T_EQ(weft_actor_signal(ref, (weft_end){WEFT_END_CODE, 8}), 0);
		watch_end(&w,
			  kill == 2 ? WEFT_END_SHUTDOWN
			  : kill    ? WEFT_END_KILLED
				    : WEFT_END_CODE,
			  kill == 2 ? 0
			  : kill    ? WEFT_ECANCELED
				    : 8);
	}
	until(sleepers == 0);
	until(rt_left().tasks == 1); /* ours: they have ended, and been looked at */
	weft_chan_free(c);
	return 0;
}

static int panics_if_canceled(void *arg)
{
	if (weft_chan_recv(arg, NULL) == WEFT_ECANCELED)
		weft_task_panic("cancelled");
	return 0;
}

static int adopts_panicking_main(void *arg)
{
	weft_chan *c = weft_chan_make(1, 0);
	weft_task *t = start(panics_if_canceled, c);
	weft_actor_ref ref;

	(void)arg;
	T_EQ(weft_actor_adopt(&ref, t), 0);
	T_EQ(weft_actor_stop_wait(ref), 0);
	until(rt_left().tasks == 1); /* ours: the task has panicked, and somebody has looked at it */
	weft_chan_free(c);
	return 0;
}

/* An actor that stands for a task ends with it, or ends it; a task that panics then ends nobody else. */
TEST_WORKERS(adopts)
{
	run(adopts_main, NULL);
	run(adopts_panicking_main, NULL);
}

/* --- its context --- */

static int child(void *arg)
{
	T_EQ(weft_task_sleep(WEFT_FOREVER), WEFT_ECANCELED);
	weft_wg_done(arg);
	return 0;
}

static int parent(void *state, weft_msg *m)
{
	(void)m;
	weft_wg_add(state, 1);
	return weft_go_opts(NULL, child, state, NULL);
}

static int children_main(void *arg)
{
	weft_wg wg = {0};
	weft_actor_ref ref;

	(void)arg;
	weft_wg_add(&wg, 1);
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = parent, .state = &wg}), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(tell(ref, ADD, 0), 0);
	until(stats_of(ref).received == 3);
	T_EQ(weft_actor_stop_wait(ref), 0);
	weft_wg_done(&wg);
	T_EQ(weft_wg_wait(&wg), 0);
	return 0;
}

struct wanderer {
	weft_wg wg;
	weft_ctx *elsewhere;
};

static int wanders(void *state, weft_msg *m)
{
	struct wanderer *w = state;

	(void)parent(&w->wg, m);
	weft_ctx_free(weft_ctx_enter(w->elsewhere)); /* it does not come back */
	return 0;
}

static int wanders_main(void *arg)
{
	struct wanderer w = {.elsewhere = weft_ctx_make(NULL)};
	weft_actor_ref ref;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = wanders, .state = &w}), 0);
	T_EQ(tell(ref, ADD, 0), 0);
	until(stats_of(ref).received == 1);
	T_EQ(weft_actor_stop_wait(ref), 0);
	T_EQ(weft_wg_wait(&w.wg), 0);
	T_EQ(weft_ctx_reason(w.elsewhere), WEFT_NOT_CANCELED);
	weft_ctx_free(w.elsewhere);
	return 0;
}

/* What an actor has started under its context is cancelled at its end, also if it has left that context. */
TEST_WORKERS(children)
{
	run(children_main, NULL);
	run(wanders_main, NULL);
}

/* --- leftovers --- */

static weft_actor_ref left_alive;
static _Atomic int destroyed;

static void destroy(weft_msg *m)
{
	T_OK(weft_actor_same(weft_actor_self(), WEFT_NO_ACTOR)); /* it has ended */
	T_EQ(weft_actor_monitor(left_alive, NULL), WEFT_EINVAL);
	free(*(void **)m->data);
	destroyed++;
}

static int blocks(void *arg)
{
	void *p = malloc(10);
	int rc = weft_actor_send(*(weft_actor_ref *)arg, ADD, &p, sizeof p, WEFT_PRIO_NORMAL);

	if (rc)
		free(p);
	return rc;
}

static int leftovers_main(void *arg)
{
	const weft_actor_opts o = {.on_msg = ignore, .dtor = destroy, .mailbox = {.cap = 10}};
	weft_actor_ref ref;
	weft_task *t;

	(void)arg;
	destroyed = 0;
	T_EQ(weft_actor_start(&ref, &o), 0);
	T_EQ(weft_actor_suspend(ref), 0);
	for (int i = 0; i < 10; i++) {
		void *p = malloc(10);

		T_EQ(weft_actor_send(ref, ADD, &p, sizeof p, i % 4 - 2), 0);
	}
	t = start(blocks, &ref);
	until_reason(t, "mailbox room");
	T_EQ(weft_actor_kill(ref), 0);
	T_EQ(finish(t), WEFT_ESRCH);
	until(destroyed == 10);
	return 0;
}

/* What was sent and not received is destroyed, once; who waited for room is told. */
TEST_WORKERS(leftovers)
{
	run(leftovers_main, NULL);
}

static void destroy_badly(weft_msg *m)
{
	long n = *weft_msg_as(m, long);

	destroyed++;
	if (n % 3 == 0)
		weft_task_panic("message %ld", n);
	if (n % 3 == 1)
		weft_task_exit(0);
}

static int bad_dtor_main(void *arg)
{
	weft_wg wg = {0};
	struct watcher w;
	weft_actor_ref ref;

	(void)arg;
	for (int how = 0; how < 2; how++) {
		destroyed = 0;
		weft_wg_add(&wg, 1);
		T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = parent, .state = &wg, .dtor = destroy_badly}), 0);
		T_EQ(tell(ref, ADD, 0), 0);
		until(stats_of(ref).received == 1);
		T_EQ(weft_actor_suspend(ref), 0);
		for (long i = 0; i < 10; i++)
			T_EQ(weft_actor_send(ref, ADD, &i, sizeof i, (int)(i % 4 - 2)), 0);
		watch_begin(&w, ref);
		if (how)
			T_EQ(weft_actor_kill(ref), 0);
		else
			T_EQ(weft_actor_stop(ref, (weft_end){WEFT_END_SHUTDOWN, 3}), 0);
		watch_end(&w, how ? WEFT_END_KILLED : WEFT_END_SHUTDOWN, how ? WEFT_ECANCELED : 3);
		weft_wg_done(&wg);
		T_EQ(weft_wg_wait(&wg), 0);
		if (how)
			until(destroyed == 10);
		else
			T_EQ(destroyed, 10); /* what it has started is cancelled last of all */
	}
	until(rt_left().tasks == 1);
	return 0;
}

/* A dtor that panics, or ends the task, is called for all others as well, and the actor's end is what it was. */
TEST_WORKERS(bad_dtor)
{
	run(bad_dtor_main, NULL);
}

static int forsakes_main(void *arg)
{
	const weft_actor_opts o = {.on_msg = ignore, .dtor = destroy, .mailbox = {.cap = 2}, .size = 200};
	weft_task *t;

	(void)arg;
	destroyed = 0;
	T_EQ(weft_actor_start(&left_alive, &o), 0);
	T_EQ(weft_actor_suspend(left_alive), 0);
	for (int i = 0; i < 2; i++) {
		void *p = malloc(10);

		T_EQ(weft_actor_send(left_alive, ADD, &p, sizeof p, WEFT_PRIO_NORMAL), 0);
	}
	T_EQ(weft_go_opts(&t, (weft_task_fn *)blocks, &left_alive, NULL), 0);
	until_reason(t, "mailbox room");
	weft_task_detach(t);
	return 0;
}

/* Main returns while actors live: they are dead afterwards, and what they held is destroyed. */
TEST_WORKERS(forsakes)
{
	ends_with_main();
	tap_leaky(); /* what the blocked sender has allocated is its own */
	run(forsakes_main, NULL);
	T_EQ(destroyed, 2);
	T_OK(!weft_actor_alive(left_alive));
	T_EQ(tell(left_alive, ADD, 1), WEFT_ESRCH);
	run(counts_main, NULL);
}

#define GUESTS 10

static weft_actor_ref all_guests[GUESTS];

static int waits_for_mail(void *arg)
{
	weft_msg *m;

	T_EQ(weft_actor_attach(arg, NULL), 0);
	return weft_actor_recv(&m);
}

#define STRANGERS 8

/* A thread that has something of weft's, as a task has, and nothing to do with actors. */
static void *stranger(void *c)
{
	T_EQ(weft_chan_recv(c, NULL), 0); /* nobody cancels it */
	return NULL;
}

/* By the thread that takes the runtime down. An exit signal takes a reference to the task, and cancels it. */
static void signals_all(weft_msg *m)
{
	weft_chan *c = weft_chan_make(1, 0);
	pthread_t thread[STRANGERS];
	weft_chan_stat st;

	(void)m;
	for (int i = 0; i < STRANGERS; i++)
		T_EQ(pthread_create(&thread[i], NULL, stranger, c), 0);
	do {
		sched_yield();
		T_EQ(weft_chan_stats(c, &st), 0);
	} while (st.receivers < STRANGERS);
	for (int i = 0; i < GUESTS; i++) {
		int rc = weft_actor_signal(all_guests[i], (weft_end){WEFT_END_CODE, 1});

		T_OK(rc == 0 || rc == WEFT_ESRCH);
		destroyed += rc == 0;
	}
	for (int i = 0; i < STRANGERS; i++)
		T_EQ(weft_chan_trysend(c, ""), 0); /* each still waits */
	for (int i = 0; i < STRANGERS; i++)
		T_EQ(pthread_join(thread[i], NULL), 0);
	weft_chan_free(c);
}

static void leave_mail(void)
{
	weft_actor_ref ref;

	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .dtor = signals_all}), 0);
	T_EQ(weft_actor_suspend(ref), 0);
	T_EQ(tell(ref, ADD, 1), 0);
}

static int abandons_main(void *arg)
{
	weft_task *t;

	(void)arg;
	leave_mail(); /* one ends before the guests, and one behind them, whichever that is */
	for (int i = 0; i < GUESTS; i++) {
		t = start(waits_for_mail, &all_guests[i]);
		until_reason(t, "mailbox");
		weft_task_detach(t);
	}
	leave_mail();
	return 0;
}

/* When the runtime goes down, orders are for the tasks of their actors, and not for whoever has come after those. */
TEST_WORKERS(abandoned)
{
	ends_with_main();
	destroyed = 0;
	run(abandons_main, NULL);
	T_GT(destroyed, 0); /* how many are dead by then is by chance */
	run(counts_main, NULL);
}

/* --- a thread outside --- */

static void *outside(void *arg)
{
	struct counter *c = arg;
	weft_actor_ref ref;
	weft_end e;

	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = count, .on_stop = counted, .state = c}), 0);
	for (long i = 0; i < 100; i++)
		T_EQ(tell(ref, ADD, i), 0);
	T_EQ(ask(ref, c->answer), 4950);
	T_EQ(weft_actor_attach(NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_actor_stop(ref, (weft_end){WEFT_END_SHUTDOWN, 1}), 0);
	switch (weft_actor_wait(ref, &e)) {
	case 0:
		T_EQ(e.kind, WEFT_END_SHUTDOWN);
		break;
	case WEFT_ESRCH:
		break;
	default:
		T_FAIL("neither");
	}
	return NULL;
}

static void *outside_whole(void *arg)
{
	weft_waker *w = arg;
	struct counter c = {.answer = weft_chan_make(sizeof(long), 1)};

	outside(&c);
	weft_chan_free(c.answer);
	weft_waker_wake(w);
	return NULL;
}

static int thread_main(void *arg)
{
	pthread_t thread;
	weft_waker *w;

	(void)arg;
	T_EQ(weft_waker_make(&w), 0);
	T_EQ(pthread_create(&thread, NULL, outside_whole, w), 0);
	T_EQ(weft_waker_wait(w), 0);
	T_EQ(pthread_join(thread, NULL), 0);
	weft_waker_free(w);
	return 0;
}

/* A thread that weft did not make starts one, sends, stops it; it cannot become one. */
TEST_WORKERS(outsiders)
{
	run(thread_main, NULL);
}
