/* SPDX-License-Identifier: MIT
 *
 * server.c - actor/call.c, actor/server.c, actor/server_many.c: calls, answers now, later and never; what a server does at its own accord; its end; another behaviour.
 */
#include "actors.h"

#include "weft/blocking.h"
#include "weft/server.h"
#include "weft/supervisor.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- a server that does as it is asked --- */

enum {
	ADD = 1, /* a long: answered by the sum */
	BACK,    /* answered by itself */
	SILENT,  /* not answered: where to is kept */
	FAIL,    /* answered by this code */
	BREAK,   /* the handler returns this code */
	PANIC,
	LAST, /* answered, and the end */
	SELF, /* answered by what a call of itself returns */
	WAIT, /* when the gate is open, by 1 */
	TIMEOUT,
	DEEP, /* uses much stack */
};

struct server {
	long sum;
	_Atomic int casts, infos, inits, timeouts, errors, destroyed, calls;
	weft_from kept;
	weft_event *gate, *begun;
	weft_end end;
	bool goes_on;      /* error says so */
	bool at_last;      /* terminate answers what was kept */
	bool over;         /* terminate has run */
	weft_task *task;   /* the server's; borrowed */
	uint64_t last_tag; /* of info or cast */
	uintptr_t deepest; /* where DEEP has been */
};

static int init(void *state)
{
	struct server *s = *(struct server **)state;

	s->inits++;
	s->task = weft_task_self();
	return s->sum < 0 ? (int)s->sum : 0;
}

/* NOINLINE: its frame is gone when it returns. */
NOINLINE static void use_stack(struct server *s)
{
	volatile char much[64 * 1024];

	for (size_t i = 0; i < sizeof much; i += 1024)
		much[i] = 1;
	s->deepest = (uintptr_t)much;
}

static int on_call(void *state, weft_msg *m, weft_from from)
{
	struct server *s = *(struct server **)state;
	weft_from same = weft_msg_from(m);
	int rc;

	T_OK(!memcmp(&same, &from, sizeof from));
	if (m->tag == SILENT)
		s->kept = from;
	s->calls++; /* who sees it sees what is kept */
	switch (m->tag) {
	case ADD:
		s->sum += *weft_msg_as(m, long);
		return weft_server_answer(from, s->sum);
	case BACK:
		rc = weft_server_reply(from, m->data, m->len);
		T_OK(rc == 0 || rc == WEFT_EMSGSIZE);
		return 0;
	case SILENT:
		if (s->begun)
			weft_event_set(s->begun);
		return 0;
	case FAIL:
		return weft_server_fail(from, (int)*weft_msg_as(m, long));
	case BREAK:
		return (int)*weft_msg_as(m, long);
	case PANIC:
		weft_task_panic("as asked");
	case LAST:
		T_EQ(weft_server_reply(from, &s->sum, sizeof s->sum), 0);
		return WEFT_SERVER_STOP;
	case SELF:
		return weft_server_answer(from, (long)weft_server_call(weft_actor_self(), ADD, &(long){1}, sizeof(long), NULL, 0));
	case WAIT:
		if (s->begun)
			weft_event_set(s->begun);
		T_EQ(weft_event_wait(s->gate), 0);
		return weft_server_answer(from, 1L);
	case TIMEOUT:
		T_EQ(weft_server_timeout((int64_t)*weft_msg_as(m, long)), 0);
		return weft_server_answer(from, 0L);
	case DEEP:
		use_stack(s);
		(void)weft_server_answer(from, 0L);
		return WEFT_SERVER_HIBERNATE;
	}
	return 0;
}

static int on_cast(void *state, weft_msg *m)
{
	struct server *s = *(struct server **)state;

	T_OK(weft_from_none(weft_msg_from(m)));
	s->casts++;
	s->last_tag = m->tag;
	if (m->tag == ADD)
		s->sum += *weft_msg_as(m, long);
	return m->tag == BREAK ? (int)*weft_msg_as(m, long) : 0;
}

static int on_info(void *state, weft_msg *m)
{
	struct server *s = *(struct server **)state;

	T_OK(weft_from_none(weft_msg_from(m)));
	s->infos++;
	s->last_tag = m->kind == WEFT_MSG_USER ? m->tag : 0;
	return 0;
}

static int on_timeout(void *state)
{
	struct server *s = *(struct server **)state;

	s->timeouts++;
	return 0;
}

static void terminate(void *state, weft_end e)
{
	struct server *s = *(struct server **)state;

	s->end = e;
	s->over = true;
	if (s->at_last)
		T_EQ(weft_server_reply(s->kept, &s->sum, sizeof s->sum), 0);
}

static int on_error(void *state, int code, const weft_panic *p)
{
	struct server *s = *(struct server **)state;

	T_EQ(p != NULL, code == WEFT_EPANIC);
	s->errors++;
	return s->goes_on ? 0 : code;
}

static void destroy(weft_msg *m)
{
	struct server *s = *(struct server **)m->data;

	s->destroyed++;
}

static const weft_server_vt vt = {.size = sizeof(struct server *),
				  .init = init,
				  .call = on_call,
				  .cast = on_cast,
				  .info = on_info,
				  .timeout = on_timeout,
				  .terminate = terminate,
				  .error = on_error};

static weft_actor_ref begin(struct server *s, const weft_server_opts *o)
{
	weft_actor_ref ref;

	T_EQ(weft_server_start(&ref, &vt, &s, o), 0);
	T_EQ(s->inits, 1);
	return ref;
}

static int add(weft_actor_ref ref, long n, long *sum)
{
	return weft_server_call(ref, ADD, &n, sizeof n, sum, sizeof *sum);
}

/* A task that calls. */
struct caller {
	weft_actor_ref ref;
	uint64_t tag;
	long req, reply;
	int64_t deadline;
	int rc;
};

static int caller_main(void *arg)
{
	struct caller *c = arg;

	c->reply = -1;
	c->rc = weft_server_call_until(c->ref, c->tag, &c->req, sizeof c->req, &c->reply, sizeof c->reply, c->deadline);
	return 0;
}

static weft_task *call_begin(struct caller *c, weft_actor_ref ref, uint64_t tag, int64_t deadline)
{
	weft_task *t;

	c->ref = ref;
	c->tag = tag;
	c->deadline = deadline;
	t = start(caller_main, c);
	until_reason(t, "server call");
	return t;
}

/* --- asking --- */

static int asking_main(void *arg)
{
	char large[5000], back[5000];
	struct server s = {.sum = 10};
	weft_actor_ref ref;
	long sum = 0;
	short little;

	(void)arg;
	ref = begin(&s, NULL);
	T_EQ(add(ref, 5, &sum), sizeof sum);
	T_EQ(sum, 15);
	T_EQ(weft_server_ask(ref, ADD, &sum, 5L), 0);
	T_EQ(sum, 20);
	T_EQ(weft_server_ask_until(ref, ADD, &sum, weft_in(3600 * WEFT_SEC), 1L), 0);
	T_EQ(sum, 21);

	/* sizes */
	for (size_t n = 0; n <= sizeof large; n = n < 70 ? n + 1 : n * 2) {
		memset(large, (int)n, n);
		memset(back, 0, sizeof back);
		T_EQ(weft_server_call(ref, BACK, large, n, back, sizeof back), n);
		T_OK(!memcmp(large, back, n));
		T_EQ(weft_server_call(ref, BACK, n ? large : NULL, n, back, n), n);
		if (n) {
			back[0] = 'x';
			T_EQ(weft_server_call(ref, BACK, large, n, back, n - 1), WEFT_EMSGSIZE);
			T_EQ(back[0], 'x');
		}
	}
	sum = 7;
	T_EQ(weft_server_ask(ref, ADD, &little, 1L), WEFT_EMSGSIZE);    /* too long */
	T_EQ(weft_server_ask(ref, BACK, &sum, (char)1), WEFT_EMSGSIZE); /* too short */

	/* codes */
	T_EQ(weft_server_call(ref, FAIL, &(long){-77}, sizeof(long), &sum, sizeof sum), -77);
	T_EQ(weft_server_ask(ref, FAIL, &sum, (long)WEFT_ENOENT), WEFT_ENOENT);
	T_EQ(weft_server_call(ref, ADD, NULL, 8, &sum, sizeof sum), WEFT_EINVAL);
	T_EQ(weft_server_call(ref, ADD, &sum, 8, NULL, 8), WEFT_EINVAL);
	T_EQ(weft_server_call(ref, ADD, &sum, (size_t)1 << 30, NULL, 0), WEFT_EMSGSIZE);
	T_EQ(weft_server_call_until(ref, ADD, &sum, 8, &sum, 8, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_server_call_until(ref, ADD, &sum, 8, &sum, 8, weft_now() - 1), WEFT_ETIMEDOUT);
	T_EQ(weft_server_call(WEFT_NO_ACTOR, ADD, &sum, 8, &sum, 8), WEFT_ESRCH);
	T_EQ(weft_server_ask(ref, SELF, &sum, 0), 0);
	T_EQ(sum, WEFT_EDEADLK);
	T_EQ(weft_server_timeout(1), WEFT_EINVAL); /* no server */

	/* others than calls, in their order */
	T_EQ(weft_server_cast(ref, ADD, &(long){100}, sizeof(long)), 0);
	T_EQ(add(ref, 0, &sum), sizeof sum);
	T_EQ(sum, 22 + 100);
	T_EQ(s.casts, 1);
	T_EQ(weft_actor_send(ref, 99, NULL, 0, WEFT_PRIO_NORMAL), 0);
	T_EQ(weft_server_cast_until(ref, 98, NULL, 0, weft_in(3600 * WEFT_SEC)), 0);
	T_EQ(add(ref, 0, &sum), sizeof sum);
	T_EQ(s.infos, 1);
	T_EQ(s.casts, 2);
	T_EQ(s.last_tag, 98);

	T_EQ(weft_server_call(ref, LAST, NULL, 0, &sum, sizeof sum), sizeof sum); /* an answer, and the end */
	T_EQ(sum, 122);
	(void)weft_actor_wait(ref, NULL);
	T_OK(s.over);
	T_EQ(s.end.kind, WEFT_END_NORMAL);
	T_EQ(add(ref, 1, &sum), WEFT_ESRCH);
	T_EQ(sum, 122);
	return 0;
}

/* What is asked comes to the server, and what is answered to the caller; sizes are looked at; what cannot be is said. */
TEST_WORKERS(asking)
{
	run(asking_main, NULL);
}

static int none_main(void *arg)
{
	static const weft_server_vt empty;
	weft_actor_ref ref;
	weft_from none = {WEFT_NO_ACTOR, NULL, 0};
	int given = 5;

	(void)arg;
	T_EQ(weft_server_start(&ref, &empty, &given, NULL), 0);
	T_EQ(weft_server_call(ref, 1, NULL, 0, NULL, 0), WEFT_ENOTSUP);
	T_EQ(weft_server_cast(ref, 1, NULL, 0), 0);
	T_EQ(weft_actor_send(ref, 1, NULL, 0, 0), 0);
	T_EQ(weft_server_call(ref, 1, NULL, 0, NULL, 0), WEFT_ENOTSUP);
	T_EQ(weft_server_stop(ref, (weft_end){WEFT_END_NORMAL, 0}), 0);
	T_EQ(weft_server_reply(none, NULL, 0), WEFT_ESRCH);
	T_EQ(weft_server_fail(none, -1), WEFT_ESRCH);
	T_EQ(weft_server_fail(none, 0), WEFT_EINVAL);
	T_EQ(weft_server_reply(none, NULL, 1), WEFT_EINVAL);
	T_OK(!weft_server_waiting(none));
	T_OK(weft_from_none(none));
	return 0;
}

/* A server without handlers says so; nobody's call is nobody's. */
TEST_WORKERS(no_handlers)
{
	run(none_main, NULL);
}

static void *thread_main(void *arg)
{
	weft_actor_ref *ref = arg;
	long sum;

	for (long i = 1; i <= 100; i++) {
		T_EQ(weft_server_ask(*ref, ADD, &sum, 1L), 0);
		T_EQ(sum, i);
	}
	T_EQ(weft_server_call_until(*ref, SILENT, NULL, 0, NULL, 0, weft_in(1000)), WEFT_ETIMEDOUT);
	return NULL;
}

static int foreign_main(void *arg)
{
	struct server s = {.sum = 0};
	weft_actor_ref ref = begin(&s, NULL);
	pthread_t t;

	(void)arg;
	T_EQ(pthread_create(&t, NULL, thread_main, &ref), 0);
	WEFT_BLOCKING
	{
		T_EQ(pthread_join(t, NULL), 0);
	}
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* A thread that weft did not make asks. */
TEST_WORKERS(foreign)
{
	run(foreign_main, NULL);
}

/* --- actors that are no servers --- */

static int on_msg(void *state, weft_msg *m)
{
	weft_from from = weft_msg_from(m);

	(void)state;
	return weft_from_none(from) ? 0 : weft_server_reply(from, m->data, m->len);
}

static int actors_main(void *arg)
{
	weft_actor_ref ref;
	long back = 0;

	(void)arg;
	T_EQ(weft_actor_fn(&ref, on_msg), 0);
	T_EQ(weft_actor_send(ref, 1, NULL, 0, 0), 0);
	T_EQ(weft_server_ask(ref, 1, &back, 9L), 0);
	T_EQ(back, 9);
	T_EQ(weft_server_migrate(ref, &vt, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

static int until_canceled(void *arg)
{
	(void)arg;
	return weft_task_sleep_until(WEFT_FOREVER);
}

/* A supervisor whose child takes its time to start. */
struct slow {
	weft_actor_ref sup;
	weft_event begins, go_on;
};

static int starts_slowly(weft_actor_ref *out, void *arg)
{
	struct slow *s = arg;

	(void)out;
	weft_event_set(&s->begins);
	T_EQ(weft_event_wait(&s->go_on), 0);
	return WEFT_CHILD_IGNORE;
}

static int adds(void *arg)
{
	struct slow *s = arg;

	return weft_sup_child_add(s->sup, &(weft_child_spec){.id = "slow", .start = starts_slowly, .arg = s}, NULL);
}

/* A call is in its mailbox when it begins to stop. */
static void call_what_stops(void)
{
	struct slow s = {.sup = WEFT_NO_ACTOR};
	weft_task *adder, *caller;
	struct caller c = {.req = 0};

	T_EQ(weft_sup_start(&s.sup, &(weft_sup_opts){.n = 0}), 0);
	adder = start(adds, &s);
	T_EQ(weft_event_wait(&s.begins), 0);
	caller = call_begin(&c, s.sup, 1, WEFT_FOREVER);
	T_EQ(weft_actor_stop(s.sup, (weft_end){WEFT_END_SHUTDOWN, 0}), 0);
	weft_event_set(&s.go_on);
	T_EQ(finish(caller), 0);
	T_EQ(c.rc, WEFT_ENOTSUP);
	T_EQ(finish(adder), 0);
	(void)weft_actor_wait(s.sup, NULL);
}

static int no_answers_main(void *arg)
{
	weft_actor_ref ref;

	(void)arg;
	T_EQ(weft_actor_adopt(&ref, start(until_canceled, NULL)), 0);
	T_EQ(weft_server_call(ref, 1, NULL, 0, NULL, 0), WEFT_ENOTSUP);
	T_EQ(weft_actor_stop_wait(ref), 0);
	T_EQ(weft_sup_start(&ref, &(weft_sup_opts){.n = 0}), 0);
	T_EQ(weft_server_call(ref, 1, NULL, 0, NULL, 0), WEFT_ENOTSUP);
	T_EQ(weft_sup_stop(ref), 0);
	call_what_stops();
	until(rt_left().tasks == 1); /* ours: the adopted one has ended */
	return 0;
}

/* Any actor can be called; those that take no calls say so. */
TEST_WORKERS(any_actor)
{
	run(actors_main, NULL);
	run(no_answers_main, NULL);
}

static int empties(void *state, weft_msg *m)
{
	(void)state;
	if (m->tag == 1)
		return weft_actor_drain(NULL, NULL) == 2 ? 0 : -1;
	return weft_server_reply(weft_msg_from(m), NULL, 0);
}

static int emptied_main(void *arg)
{
	struct server s = {.sum = 0};
	struct caller c[2] = {{.req = (long)(intptr_t)&s}, {.req = (long)(intptr_t)&s}};
	weft_task *t[2];
	weft_actor_ref ref;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = empties, .dtor = destroy}), 0);
	T_EQ(weft_actor_suspend(ref), 0);
	T_EQ(weft_actor_send(ref, 1, NULL, 0, WEFT_PRIO_URGENT), 0);
	for (int i = 0; i < 2; i++)
		t[i] = call_begin(&c[i], ref, 2, WEFT_FOREVER);
	T_EQ(weft_actor_resume(ref), 0);
	for (int i = 0; i < 2; i++) {
		T_EQ(finish(t[i]), 0);
		T_EQ(c[i].rc, WEFT_ENOBUFS);
	}
	T_EQ(weft_server_call(ref, 2, NULL, 0, NULL, 0), 0);
	T_EQ(s.destroyed, 2);
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* Calls that an actor throws away with the rest of its mail fail. */
TEST_WORKERS(emptied)
{
	run(emptied_main, NULL);
}

/* --- answers that come later, late, or not --- */

struct later {
	weft_from from;
	long value;
	int rc;
};

static int answer_later(void *arg)
{
	struct later *l = arg;

	l->rc = weft_server_reply(l->from, &l->value, sizeof l->value);
	return 0;
}

static int later_main(void *arg)
{
	struct server s = {.sum = 0};
	struct caller c = {.req = 1};
	struct later l[2] = {{.value = 41}, {.value = 42}};
	weft_actor_ref ref = begin(&s, NULL);
	weft_task *t, *a[2];
	long sum;

	(void)arg;
	for (int i = 0; i < 50; i++) {
		t = call_begin(&c, ref, SILENT, WEFT_FOREVER);
		until(s.calls == 2 * i + 1);
		T_EQ(add(ref, 1, &sum), sizeof sum); /* others are served meanwhile */
		T_OK(weft_server_waiting(s.kept));
		for (int k = 0; k < 2; k++) {
			l[k].from = s.kept;
			a[k] = start(answer_later, &l[k]);
		}
		T_EQ(finish(t), 0);
		for (int k = 0; k < 2; k++)
			T_EQ(finish(a[k]), 0);
		T_EQ(c.rc, sizeof(long));
		T_OK((l[0].rc == 0 && l[1].rc == WEFT_ESRCH && c.reply == 41) || (l[1].rc == 0 && l[0].rc == WEFT_ESRCH && c.reply == 42));
		T_OK(!weft_server_waiting(s.kept));
	}
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* A call may be answered by anybody, at any time, once. */
TEST_WORKERS(later)
{
	run(later_main, NULL);
}

static int late_main(void *arg)
{
	struct server s = {.sum = 5};
	struct caller c = {.req = 1};
	weft_actor_ref ref = begin(&s, NULL);
	weft_task *t;
	long sum;

	(void)arg;
	time_fake();
	/* timed out, cancelled after it was received */
	for (int i = 0; i < 2; i++) {
		t = call_begin(&c, ref, SILENT, i ? WEFT_FOREVER : weft_in(WEFT_SEC));
		until(s.calls == i + 1);
		T_EQ(add(ref, 0, &sum), sizeof sum);
		s.calls = i + 1;
		if (i)
			weft_task_cancel(t);
		else
			time_move(2 * WEFT_SEC);
		T_EQ(finish(t), 0);
		T_EQ(c.rc, i ? WEFT_ECANCELED : WEFT_ETIMEDOUT);
		T_OK(!weft_server_waiting(s.kept));
		T_EQ(weft_server_reply(s.kept, &(long){3}, sizeof(long)), WEFT_ESRCH);
		T_EQ(weft_server_fail(s.kept, -1), WEFT_ESRCH);
		T_EQ(c.reply, -1);
	}
	/* and before: it is not handled */
	T_EQ(weft_actor_suspend(ref), 0);
	s.calls = 0;
	for (int i = 0; i < 2; i++) {
		t = call_begin(&c, ref, ADD, i ? WEFT_FOREVER : weft_in(WEFT_SEC));
		if (i)
			weft_task_cancel(t);
		else
			time_move(2 * WEFT_SEC);
		T_EQ(finish(t), 0);
		T_EQ(c.rc, i ? WEFT_ECANCELED : WEFT_ETIMEDOUT);
	}
	T_EQ(stats_of(ref).len, 2);
	T_EQ(weft_actor_resume(ref), 0);
	T_EQ(add(ref, 0, &sum), sizeof sum);
	T_EQ(sum, 5);
	T_EQ(s.calls, 1);
	T_EQ(weft_actor_stop_wait(ref), 0);
	time_real();
	return 0;
}

/* Who has given up is not answered, nor served if that was before it began. */
TEST_WORKERS(given_up)
{
	run(late_main, NULL);
}

static int canceled_main(void *arg)
{
	struct server s = {.sum = 0};
	struct caller c = {.tag = ADD, .req = 1, .deadline = WEFT_FOREVER};
	weft_actor_ref ref = begin(&s, NULL);
	weft_ctx *ctx = weft_ctx_make(NULL);
	weft_task *t;

	(void)arg;
	T_EQ(weft_ctx_cancel(ctx, 0), 0);
	c.ref = ref;
	T_EQ(weft_go_opts(&t, caller_main, &c, &(weft_task_opts){.ctx = ctx}), 0);
	T_EQ(finish(t), 0);
	T_EQ(c.rc, WEFT_ECANCELED);
	T_EQ(s.calls, 0);
	weft_ctx_free(ctx);
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* Who is cancelled before asks nothing. */
TEST_WORKERS(canceled_before)
{
	run(canceled_main, NULL);
}

/* The deadline and the answer come at the same instant, from two tasks; the frame of the caller is another call's right afterwards. */
struct instant {
	struct later l;
	weft_barrier *together;
};

static int answer_now(void *arg)
{
	struct instant *i = arg;

	(void)weft_barrier_wait(i->together);
	return answer_later(&i->l);
}

static int move_now(void *arg)
{
	struct instant *i = arg;

	(void)weft_barrier_wait(i->together);
	time_move(2 * WEFT_SEC);
	return 0;
}

/* Frames like the call's, where it was. */
NOINLINE static int again(weft_actor_ref ref, long value)
{
	long sum = 0;

	T_EQ(weft_server_call(ref, BACK, &value, sizeof value, &sum, sizeof sum), sizeof sum);
	T_EQ(sum, value);
	return 0;
}

static int instant_caller(void *arg)
{
	struct caller *c = arg;

	(void)caller_main(c);
	for (int i = 0; i < 3; i++)
		again(c->ref, 1000 + i);
	return 0;
}

static int instant_main(void *arg)
{
	struct server s = {.sum = 0};
	weft_actor_ref ref = begin(&s, NULL);
	weft_barrier b;
	struct instant in;
	int answered = 0, rounds = (int)tap_iters(300);

	(void)arg;
	weft_barrier_init(&b, 2);
	in.together = &b;
	time_fake();
	for (int i = 0; i < rounds; i++) {
		struct caller c = {.ref = ref, .tag = SILENT, .deadline = weft_in(WEFT_SEC)};
		weft_task *t, *x, *y;

		s.kept.weft__who = NULL;
		s.calls = 0;
		t = start(instant_caller, &c);
		until_reason(t, "server call");
		until(s.calls == 1);
		T_EQ(weft_server_call(ref, BACK, NULL, 0, NULL, 0), 0); /* its handler is over */
		in.l = (struct later){.from = s.kept, .value = i};
		x = start(i & 1 ? answer_now : move_now, &in);
		y = start(i & 1 ? move_now : answer_now, &in);
		T_EQ(finish(t), 0);
		T_EQ(finish(x), 0);
		T_EQ(finish(y), 0);
		if (c.rc == sizeof(long)) {
			T_EQ(in.l.rc, 0);
			T_EQ(c.reply, i);
			answered++;
		} else {
			T_EQ(c.rc, WEFT_ETIMEDOUT);
			T_EQ(in.l.rc, WEFT_ESRCH);
			T_EQ(c.reply, -1);
		}
	}
	T_LE(answered, rounds);
	T_EQ(weft_actor_stop_wait(ref), 0);
	time_real();
	return 0;
}

/* Either the answer is there in time, and then it is whole, or it touches nothing. */
TEST_WORKERS(same_instant)
{
	run(instant_main, NULL);
}

/* --- the server's end --- */

static int end_main(void *arg)
{
	weft_event begun = {0};
	struct server s = {.begun = &begun};
	struct caller c[4];
	weft_actor_ref ref = begin(&s, &(weft_server_opts){.mailbox = {.cap = 2}});
	weft_task *t[4];

	(void)arg;
	for (int how = 0; how < 2; how++) {
		memset(c, 0, sizeof c);
		if (how) {
			memset(&s, 0, sizeof s);
			s.begun = &begun;
			ref = begin(&s, &(weft_server_opts){.mailbox = {.cap = 2}});
		}
		t[0] = call_begin(&c[0], ref, SILENT, WEFT_FOREVER); /* received */
		T_EQ(weft_event_wait(&begun), 0);
		weft_event_reset(&begun);
		T_EQ(weft_actor_suspend(ref), 0);
		t[1] = call_begin(&c[1], ref, ADD, WEFT_FOREVER); /* in the mailbox */
		t[2] = call_begin(&c[2], ref, ADD, WEFT_FOREVER);
		t[3] = call_begin(&c[3], ref, ADD, WEFT_FOREVER); /* waits for room */
		until(stats_of(ref).senders == 1);
		T_EQ(stats_of(ref).len, 2);
		if (how)
			T_EQ(weft_actor_kill(ref), 0);
		else
			T_EQ(weft_actor_stop(ref, (weft_end){WEFT_END_SHUTDOWN, 0}), 0);
		for (int i = 0; i < 4; i++) {
			T_EQ(finish(t[i]), 0);
			T_EQ(c[i].rc, WEFT_EDOWN);
			T_EQ(c[i].reply, -1);
		}
		T_EQ(weft_server_reply(s.kept, NULL, 0), WEFT_ESRCH);
		T_EQ(s.over, !how);
		T_EQ(s.sum, 0);
	}
	return 0;
}

/* All who wait are told at once, wherever their call has come to. */
TEST_WORKERS(end)
{
	run(end_main, NULL);
}

static int last_words_main(void *arg)
{
	struct server s = {.sum = 77, .at_last = true};
	struct caller c = {.req = 0};
	weft_actor_ref ref = begin(&s, NULL);
	weft_task *t = call_begin(&c, ref, SILENT, WEFT_FOREVER);

	(void)arg;
	until(s.calls == 1);
	T_EQ(weft_server_stop(ref, (weft_end){WEFT_END_CODE, -9}), 0);
	T_EQ(finish(t), 0);
	T_EQ(c.rc, sizeof(long));
	T_EQ(c.reply, 77);
	T_EQ(s.end.kind, WEFT_END_CODE);
	T_EQ(s.end.code, -9);
	T_EQ(weft_server_stop(ref, (weft_end){WEFT_END_NORMAL, 0}), WEFT_ESRCH);
	return 0;
}

/* terminate may still answer. */
TEST_WORKERS(last_words)
{
	run(last_words_main, NULL);
}

static int stops_itself(void *state, weft_msg *m, weft_from from)
{
	(void)state;
	(void)m;
	T_EQ(weft_server_stop(weft_actor_self(), (weft_end){WEFT_END_SHUTDOWN, 3}), WEFT_EDEADLK);
	T_EQ(weft_server_stop(weft_actor_self(), (weft_end){99, 3}), WEFT_EINVAL);
	return weft_server_answer(from, 1L);
}

static int blocks(void *state, weft_msg *m)
{
	(void)m;
	weft_event_set(state);
	return weft_task_sleep_until(WEFT_FOREVER);
}

static int stop_main(void *arg)
{
	static const weft_server_vt once = {.call = stops_itself, .info = blocks};
	weft_event begun = {0};
	struct watcher w;
	weft_actor_ref ref;
	long one;
	int rc;

	(void)arg;
	T_EQ(weft_server_start(&ref, &once, NULL, NULL), 0);
	watch_begin(&w, ref);
	T_EQ(weft_server_ask(ref, 1, &one, 0), 0);
	watch_end(&w, WEFT_END_SHUTDOWN, 3);
	T_EQ(weft_server_start(&ref, &once, &begun, NULL), 0);
	watch_begin(&w, ref);
	T_EQ(weft_actor_send(ref, 1, NULL, 0, 0), 0);
	T_EQ(weft_event_wait(&begun), 0);
	T_EQ(weft_server_stop_until(ref, (weft_end){WEFT_END_NORMAL, 0}, weft_now()), WEFT_ETIMEDOUT);
	watch_end(&w, WEFT_END_KILLED, WEFT_ECANCELED);
	T_EQ(weft_server_start(&ref, &once, NULL, NULL), 0);
	rc = weft_server_stop_until(ref, (weft_end){WEFT_END_NORMAL, 0}, WEFT_NOW);
	T_OK(rc == WEFT_EAGAIN || rc == 0);
	(void)weft_actor_wait(ref, NULL);
	return 0;
}

/* Stopping with a reason; the server itself; past the deadline. */
TEST_WORKERS(stop)
{
	run(stop_main, NULL);
}

/* --- failures --- */

static int fails_main(void *arg)
{
	struct server s = {.goes_on = true};
	struct watcher w;
	weft_actor_ref ref = begin(&s, NULL);
	long sum = 0;

	(void)arg;
	T_EQ(weft_server_ask(ref, BREAK, &sum, -33L), -33);
	T_EQ(s.errors, 1);
	T_EQ(weft_server_call(ref, PANIC, NULL, 0, NULL, 0), WEFT_EPANIC);
	T_EQ(s.errors, 2);
	T_EQ(weft_server_cast(ref, BREAK, &(long){-3}, sizeof(long)), 0); /* nobody waits */
	T_EQ(add(ref, 4, &sum), sizeof sum);
	T_EQ(sum, 4);
	T_EQ(s.errors, 3);
	s.goes_on = false;
	watch_begin(&w, ref);
	T_EQ(weft_server_ask(ref, BREAK, &sum, -44L), WEFT_EDOWN);
	watch_end(&w, WEFT_END_CODE, -44);
	T_EQ(s.end.code, -44);

	s = (struct server){.goes_on = false};
	ref = begin(&s, NULL);
	watch_begin(&w, ref);
	T_EQ(weft_server_call(ref, PANIC, NULL, 0, NULL, 0), WEFT_EDOWN);
	watch_end(&w, WEFT_END_PANIC, WEFT_EPANIC);
	T_EQ(s.end.kind, WEFT_END_PANIC);

	s = (struct server){.goes_on = true}; /* a result that has no meaning */
	ref = begin(&s, NULL);
	watch_begin(&w, ref);
	T_EQ(weft_server_ask(ref, BREAK, &sum, 7L), WEFT_EINVAL);
	T_EQ(s.errors, 1);
	s.goes_on = false;
	T_EQ(weft_server_ask(ref, BREAK, &sum, 7L), WEFT_EDOWN);
	watch_end(&w, WEFT_END_CODE, WEFT_EINVAL);
	T_EQ(s.errors, 2);
	return 0;
}

/* A handler that fails ends the server, or its call. */
TEST_WORKERS(fails)
{
	run(fails_main, NULL);
}

static int never(void *state)
{
	(void)state;
	return weft_task_sleep_until(WEFT_FOREVER);
}

static int start_main(void *arg)
{
	struct server s = {.sum = -12}, *p = &s;
	static const weft_server_vt large = {.size = 5000};
	static const weft_server_vt slow = {.init = never};
	static const weft_server_vt huge = {.size = (size_t)1 << 40};
	char text[70];
	weft_actor_ref ref, other;

	(void)arg;
	T_EQ(weft_server_start(&ref, &vt, &p, NULL), -12);
	T_OK(weft_actor_same(ref, WEFT_NO_ACTOR));
	T_OK(!s.over);
	T_EQ(weft_server_start(&ref, NULL, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_server_start(&ref, &huge, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_server_start(&ref, &vt, &p, &(weft_server_opts){.link = true}), WEFT_EINVAL);
	T_EQ(weft_server_start(&ref, &vt, &p, &(weft_server_opts){.name = ""}), WEFT_EINVAL);
	memset(text, 'x', sizeof text);
	text[64] = 0;
	T_EQ(weft_server_start(&ref, &vt, &p, &(weft_server_opts){.name = text}), WEFT_ENAMETOOLONG);
	T_EQ(weft_server_start_until(&ref, &slow, NULL, NULL, weft_in(1000)), WEFT_ETIMEDOUT);
	T_OK(weft_actor_same(ref, WEFT_NO_ACTOR));
	T_EQ(s.inits, 1);
	T_EQ(weft_server_start(&ref, &large, NULL, NULL), 0);
	T_EQ(weft_actor_stop_wait(ref), 0);

	/* with a name */
	s.sum = 0;
	T_EQ(weft_server_start(&ref, &vt, &p, &(weft_server_opts){.name = "adder"}), 0);
	T_EQ(weft_server_start(&other, &vt, &p, &(weft_server_opts){.name = "adder"}), WEFT_EEXIST);
	T_EQ(s.inits, 2);
	T_EQ(weft_reg_call("adder", ADD, &(long){3}, sizeof(long), NULL, 0), WEFT_EMSGSIZE);
	T_EQ(weft_reg_call("nobody", ADD, &(long){3}, sizeof(long), NULL, 0), WEFT_ENOENT);
	T_EQ(weft_reg_call(text, ADD, &(long){3}, sizeof(long), NULL, 0), WEFT_ENAMETOOLONG);
	T_EQ(weft_reg_call_until("adder", BACK, NULL, 0, NULL, 0, weft_in(3600 * WEFT_SEC)), 0);
	T_EQ(s.sum, 3);
	T_EQ(weft_actor_stop_wait(ref), 0);
	T_EQ(weft_reg_call("adder", BACK, NULL, 0, NULL, 0), WEFT_ENOENT);
	return 0;
}

/* What start refuses; names. */
TEST_WORKERS(starting)
{
	run(start_main, NULL);
}

/* --- a full mailbox --- */

static void above(weft_actor_ref ref, uint32_t len, void *arg)
{
	(void)ref;
	*(uint32_t *)arg = len;
}

static int full_main(void *arg)
{
	uint32_t high = 0;
	weft_mailbox_opts box = {.cap = 2, .high = 2, .on_high = above, .arg = &high};
	struct server s = {.sum = 0};
	struct caller c[6];
	weft_actor_ref ref = begin(&s, &(weft_server_opts){.mailbox = box});
	weft_task *t[6];
	long total = 0;

	(void)arg;
	memset(c, 0, sizeof c);
	time_fake();
	T_EQ(weft_actor_suspend(ref), 0);
	for (int i = 0; i < 6; i++) {
		c[i].req = 1L << i;
		t[i] = call_begin(&c[i], ref, ADD, i == 3 ? weft_in(WEFT_SEC) : WEFT_FOREVER);
		until(stats_of(ref).len + stats_of(ref).senders == (unsigned)i + 1);
	}
	T_EQ(high, 2);
	T_OK(stats_of(ref).above);
	T_EQ(stats_of(ref).senders, 4);
	time_move(2 * WEFT_SEC); /* who waits for room gives up */
	T_EQ(finish(t[3]), 0);
	T_EQ(c[3].rc, WEFT_ETIMEDOUT);
	weft_task_cancel(t[4]);
	T_EQ(finish(t[4]), 0);
	T_EQ(c[4].rc, WEFT_ECANCELED);
	until(stats_of(ref).senders == 2);
	T_EQ(weft_actor_resume(ref), 0);
	for (int i = 0; i < 6; i++) {
		if (i == 3 || i == 4)
			continue;
		T_EQ(finish(t[i]), 0);
		T_EQ(c[i].rc, sizeof(long));
		total += 1L << i;
		T_EQ(c[i].reply, total); /* in their order */
	}
	T_EQ(s.calls, 4);
	T_EQ(weft_actor_stop_wait(ref), 0);
	for (enum weft_overflow o = WEFT_OVERFLOW_DROP; o <= WEFT_OVERFLOW_FAIL; o++) {
		s = (struct server){.sum = 0};
		ref = begin(&s, &(weft_server_opts){.mailbox = {.cap = 1, .overflow = o}});
		T_EQ(weft_actor_suspend(ref), 0);
		t[0] = call_begin(&c[0], ref, ADD, WEFT_FOREVER);
		T_EQ(weft_server_call(ref, ADD, &total, sizeof total, NULL, 0), WEFT_ENOBUFS);
		T_EQ(weft_actor_resume(ref), 0);
		T_EQ(finish(t[0]), 0);
		T_EQ(c[0].rc, sizeof(long));
		T_EQ(weft_actor_stop_wait(ref), 0);
	}
	time_real();
	return 0;
}

/* Who finds it full waits for room, gives up, or is told, as the mailbox's options say. */
TEST_WORKERS(full)
{
	run(full_main, NULL);
}

/* What is told at the mark. */
struct mark {
	_Atomic int told;
	_Atomic int here; /* a task wants to go on on another worker than this; 0: none does */
	weft_event moved;
	_Atomic bool stop;
	bool panics, exits;
};

/* Whom it wakes goes on where it is. */
static int mover(void *arg)
{
	struct mark *k = arg;

	while (!k->stop) {
		int here = k->here;

		if (here && here != weft_task_worker() && atomic_compare_exchange_strong(&k->here, &here, 0))
			weft_event_set(&k->moved);
		let_run();
	}
	return 0;
}

/* As a send may, after its task has run for long: others run meanwhile, and it goes on elsewhere. */
static void goes_elsewhere(weft_actor_ref ref, uint32_t len, void *arg)
{
	struct mark *k = arg;

	(void)ref;
	T_EQ(len, 1);
	if (tap_workers() > 1) {
		k->here = weft_task_worker();
		T_EQ(weft_event_wait(&k->moved), 0);
		weft_event_reset(&k->moved);
	}
	k->told++;
	if (k->panics)
		weft_task_panic("at the mark");
	if (k->exits)
		weft_task_exit(5);
}

static int large_call(void *arg)
{
	static const char large[2000];
	weft_actor_ref ref = *(weft_actor_ref *)arg;

	return weft_server_call(ref, BACK, large, sizeof large, NULL, 0);
}

static int mark_main(void *arg)
{
	struct mark k = {.told = 0};
	weft_mailbox_opts box = {.cap = 4, .high = 1, .on_high = goes_elsewhere, .arg = &k};
	struct server s = {.sum = 0};
	struct caller c;
	weft_actor_ref ref = begin(&s, &(weft_server_opts){.mailbox = box});
	int rounds = (int)tap_iters(50);
	weft_task *t, *busy[4];

	(void)arg;
	for (int i = 0; i < 4; i++)
		busy[i] = start(mover, &k);
	for (int i = 1; i <= rounds; i++) {
		T_EQ(weft_actor_suspend(ref), 0);
		c.req = 1;
		t = call_begin(&c, ref, ADD, WEFT_FOREVER);
		T_EQ(weft_actor_resume(ref), 0);
		T_EQ(finish(t), 0);
		T_EQ(c.rc, sizeof(long));
		T_EQ(c.reply, i);
		T_EQ(k.told, i);
	}
	for (int how = 0; how < 2; how++) { /* and it may not return */
		T_EQ(weft_actor_suspend(ref), 0);
		k.panics = how == 0;
		k.exits = how == 1;
		T_EQ(finish(start(large_call, &ref)), how ? 5 : WEFT_EPANIC);
		T_EQ(k.told, rounds + 1 + how);
		T_EQ(stats_of(ref).len, 0);
		T_EQ(weft_actor_send(ref, 1, NULL, 0, 0), 0); /* past the mark, which is told again when it has gone down */
		T_EQ(weft_actor_resume(ref), 0);
		until(s.infos == how + 1);
	}
	k.stop = true;
	for (int i = 0; i < 4; i++)
		T_EQ(finish(busy[i]), 0);
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* Who is told of the mark is the caller, in the middle of its call. */
TEST_WORKERS(mark)
{
	run(mark_main, NULL);
}

static int migrator_main(void *arg)
{
	struct caller *c = arg;

	c->rc = weft_server_migrate(c->ref, &vt, NULL, NULL);
	return 0;
}

static int dtor_main(void *arg)
{
	static const weft_server_vt destroys = {.call = stops_itself, .dtor = destroy};
	struct server s = {.sum = 0}, *p = &s;
	struct caller c[2] = {{.req = (long)(intptr_t)p}, {.req = (long)(intptr_t)p}};
	weft_actor_ref ref;
	weft_task *t[2];

	(void)arg;
	T_EQ(weft_server_start(&ref, &destroys, NULL, NULL), 0);
	T_EQ(weft_server_cast(ref, 1, &p, sizeof p), 0);
	T_EQ(weft_actor_send(ref, 1, &p, sizeof p, 0), 0);
	until(s.destroyed == 2);
	T_EQ(weft_actor_suspend(ref), 0);
	t[0] = call_begin(&c[0], ref, 1, WEFT_FOREVER);
	weft_task_cancel(t[0]);
	T_EQ(finish(t[0]), 0);
	T_EQ(c[0].rc, WEFT_ECANCELED);
	T_EQ(weft_actor_resume(ref), 0);
	until(s.destroyed == 3);
	T_EQ(weft_actor_suspend(ref), 0);
	t[0] = call_begin(&c[0], ref, 1, WEFT_FOREVER);
	c[1].ref = ref;
	t[1] = start(migrator_main, &c[1]);
	until_reason(t[1], "server call");
	T_EQ(weft_actor_stop_wait(ref), 0);
	for (int i = 0; i < 2; i++) {
		T_EQ(finish(t[i]), 0);
		T_EQ(c[i].rc, WEFT_EDOWN);
	}
	until(s.destroyed == 4); /* who waits is told first */
	return 0;
}

/* What no handler gets is destroyed. */
TEST_WORKERS(destroyed)
{
	run(dtor_main, NULL);
}

/* --- at its own accord --- */

static int timeout_main(void *arg)
{
	struct server s = {.sum = 0};
	weft_actor_ref ref = begin(&s, NULL);
	long v;

	(void)arg;
	time_fake();
	T_EQ(weft_server_ask(ref, TIMEOUT, &v, (long)WEFT_SEC), 0);
	T_EQ(add(ref, 0, &v), sizeof v); /* this ends it */
	time_move(2 * WEFT_SEC);
	T_EQ(add(ref, 0, &v), sizeof v);
	T_EQ(s.timeouts, 0);
	T_EQ(weft_server_ask(ref, TIMEOUT, &v, (long)WEFT_SEC), 0);
	until(stats_of(ref).received == 4);
	do { /* it may not wait yet */
		time_move(2 * WEFT_SEC);
		let_run();
	} while (s.timeouts == 0);
	time_move(10 * WEFT_SEC); /* once */
	T_EQ(add(ref, 0, &v), sizeof v);
	T_EQ(s.timeouts, 1);
	T_EQ(weft_server_ask(ref, TIMEOUT, &v, 0L), 0);
	until(s.timeouts == 2);
	T_EQ(weft_server_ask(ref, TIMEOUT, &v, (long)WEFT_SEC), 0);
	T_EQ(weft_server_ask(ref, TIMEOUT, &v, -1L), 0);
	time_move(10 * WEFT_SEC);
	T_EQ(add(ref, 0, &v), sizeof v);
	T_EQ(s.timeouts, 2);
	T_EQ(weft_actor_stop_wait(ref), 0);
	time_real();
	return 0;
}

/* A call that is given up while it waits in the mailbox; a migration to the same. */
static void disturb(weft_actor_ref ref, struct server *s, bool migrate)
{
	uint64_t had = stats_of(ref).received;
	struct caller c;
	weft_task *t;

	if (migrate) {
		T_EQ(weft_server_migrate(ref, &vt, NULL, NULL), 0);
	} else {
		T_EQ(weft_actor_suspend(ref), 0);
		t = call_begin(&c, ref, ADD, WEFT_FOREVER);
		weft_task_cancel(t);
		T_EQ(finish(t), 0);
		T_EQ(c.rc, WEFT_ECANCELED);
		T_EQ(weft_actor_resume(ref), 0);
		until(stats_of(ref).received == had + 1);
	}
	until_reason(s->task, "mailbox");
}

static int goes_on_main(void *arg)
{
	struct server s = {.sum = 0};
	weft_actor_ref ref = begin(&s, NULL);
	long v;

	(void)arg;
	time_fake();
	for (int i = 0; i < 2; i++) {
		T_EQ(weft_server_ask(ref, TIMEOUT, &v, (long)(10 * WEFT_SEC)), 0);
		until_reason(s.task, "mailbox");
		time_move(6 * WEFT_SEC);
		disturb(ref, &s, i);
		T_EQ(s.timeouts, i);
		time_move(5 * WEFT_SEC); /* eleven in all */
		until(s.timeouts == i + 1);
	}
	T_EQ(weft_server_ask(ref, TIMEOUT, &v, (long)INT64_MAX), 0); /* never */
	disturb(ref, &s, false);
	time_move(WEFT_SEC);
	T_EQ(add(ref, 0, &v), sizeof v);
	T_EQ(s.timeouts, 2);
	T_EQ(weft_actor_stop_wait(ref), 0);
	time_real();
	return 0;
}

/* It is told when nothing has come for as long as it has said, whatever has come that is nothing to it. */
TEST_WORKERS(idle)
{
	run(timeout_main, NULL);
	run(goes_on_main, NULL);
}

static bool resident(uintptr_t at)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char there = 0;

	T_EQ(mincore((void *)(at & ~(page - 1)), page, &there), 0);
	return there & 1;
}

static int hibernate_main(void *arg)
{
	struct server s = {.sum = 0};
	weft_actor_ref ref = begin(&s, NULL);
	long v;

	(void)arg;
	for (int i = 0; i < 3; i++) {
		T_EQ(weft_server_ask(ref, DEEP, &v, 0), 0);
		until(!resident(s.deepest));
		T_EQ(add(ref, 1, &v), sizeof v);
		T_EQ(v, i + 1);
	}
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* A server that hibernates gives its stack's memory back, and works as before. */
TEST_WORKERS(hibernates)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool was;

	T_NE(p, MAP_FAILED);
	*p = 1;
	was = resident((uintptr_t)p);
	T_EQ(madvise(p, page, MADV_DONTNEED), 0);
	if (!was || resident((uintptr_t)p))
		tap_skip("MADV_DONTNEED or mincore is not real here");
	T_EQ(munmap(p, page), 0);
	run(hibernate_main, NULL);
}

/* --- another behaviour --- */

struct better {
	double sum;
	int version;
};

static int better_call(void *state, weft_msg *m, weft_from from)
{
	struct better *b = state;

	b->sum += (double)*weft_msg_as(m, long);
	return weft_server_answer(from, (long)(b->sum * 2));
}

static int to_better(const void *old, void *fresh, void *arg)
{
	struct server *s = *(struct server *const *)old;
	struct better *b = fresh;

	T_EQ(b->version, 0);
	if (!arg)
		return -66;
	if (*(int *)arg == -1)
		weft_task_panic("in conv");
	b->sum = (double)s->sum;
	b->version = *(int *)arg;
	return 0;
}

static int same_call(void *state, weft_msg *m, weft_from from)
{
	(void)state;
	(void)m;
	return weft_server_answer(from, -1L);
}

static int migrates_self(void *state, weft_msg *m, weft_from from)
{
	(void)state;
	(void)m;
	return weft_server_answer(from, (long)weft_server_migrate(weft_actor_self(), &vt, NULL, NULL));
}

static int migrate_main(void *arg)
{
	static const weft_server_vt better = {.size = sizeof(struct better), .call = better_call};
	static const weft_server_vt nothing = {.call = same_call};
	struct server s = {.sum = 100, .goes_on = true};
	weft_actor_ref ref = begin(&s, NULL);
	long v;
	int two = 2, panics = -1;

	(void)arg;
	T_EQ(weft_server_migrate(ref, NULL, to_better, NULL), WEFT_EINVAL);
	T_EQ(weft_server_migrate(ref, &better, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_server_migrate(ref, &nothing, to_better, NULL), WEFT_EINVAL);
	T_EQ(weft_server_migrate(ref, &better, to_better, NULL), -66);
	T_EQ(weft_server_migrate(ref, &better, to_better, &panics), WEFT_EPANIC);
	T_EQ(s.errors, 1);
	T_EQ(weft_server_migrate_until(ref, &better, to_better, &two, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(add(ref, 1, &v), sizeof v);
	T_EQ(v, 101);
	s.goes_on = false;
	T_EQ(weft_server_migrate(ref, &better, to_better, &panics), WEFT_EDOWN);
	(void)weft_actor_wait(ref, NULL);
	T_OK(s.over);
	T_EQ(s.end.kind, WEFT_END_PANIC);
	return 0;
}

static int migrate_more_main(void *arg)
{
	static const weft_server_vt better = {.size = sizeof(struct better), .call = better_call};
	static const weft_server_vt same = {.size = sizeof(struct better), .call = same_call};
	static const weft_server_vt itself = {.size = sizeof(struct better), .call = migrates_self};
	weft_event gate = {0}, begun = {0};
	struct server s = {.sum = 100, .gate = &gate, .begun = &begun};
	struct caller waits = {.req = 0}, next = {.req = 1};
	weft_actor_ref ref = begin(&s, NULL);
	weft_task *t, *u;
	long v;
	int two = 2;

	(void)arg;
	t = call_begin(&waits, ref, WAIT, WEFT_FOREVER);
	T_EQ(weft_event_wait(&begun), 0);
	u = call_begin(&next, ref, ADD, WEFT_FOREVER); /* in the mailbox: overtaken */
	weft_event_set(&gate);
	T_EQ(weft_server_migrate(ref, &better, to_better, &two), 0);
	T_EQ(finish(t), 0);
	T_EQ(finish(u), 0);
	T_EQ(waits.reply, 1);
	T_OK(next.reply == 202 || next.reply == 101); /* it may have been handled while we were about to ask */
	T_EQ(weft_server_ask(ref, ADD, &v, 1L), 0);
	T_EQ(v, 204);
	T_EQ(weft_server_migrate(ref, &same, NULL, NULL), 0);
	T_EQ(weft_server_ask(ref, ADD, &v, 1L), 0);
	T_EQ(v, -1);
	T_EQ(weft_server_migrate_until(ref, &itself, NULL, NULL, weft_in(3600 * WEFT_SEC)), 0);
	T_EQ(weft_server_ask(ref, 1, &v, 0), 0);
	T_EQ(v, WEFT_EDEADLK);
	T_EQ(weft_actor_stop_wait(ref), 0);
	T_OK(!s.over); /* the new table has no terminate */
	T_EQ(weft_server_migrate(ref, &same, NULL, NULL), WEFT_ESRCH);
	return 0;
}

/* A migration that fails changes nothing. */
TEST_WORKERS(migrate_fails)
{
	run(migrate_main, NULL);
}

/* One that succeeds comes before what waits, with the state made over. */
TEST_WORKERS(migrate)
{
	run(migrate_more_main, NULL);
}

/* --- a group --- */

static int group_main(void *arg)
{
	struct server s[3];
	weft_actor_ref ref[3], me;
	weft_reply r[5];
	long room[5];

	(void)arg;
	T_EQ(weft_pg_call("adders", ADD, &(long){1}, sizeof(long), r, 5, room, sizeof(long)), 0);
	for (int i = 0; i < 3; i++) {
		s[i] = (struct server){.sum = 10 * i};
		ref[i] = begin(&s[i], NULL);
		T_EQ(weft_pg_join("adders", ref[i]), 0);
	}
	T_EQ(weft_pg_call("adders", ADD, &(long){1}, sizeof(long), r, 5, room, sizeof(long)), 3);
	for (int i = 0; i < 3; i++) {
		T_OK(weft_actor_same(r[i].from, ref[i]));
		T_EQ(r[i].result, sizeof(long));
		T_EQ(*(long *)r[i].reply, 10 * i + 1);
	}
	T_EQ(weft_pg_call_until("adders", FAIL, &(long){-8}, sizeof(long), r, 2, NULL, 0, weft_in(3600 * WEFT_SEC)), 2);
	T_EQ(r[0].result, -8);
	T_EQ(r[1].result, -8);
	T_EQ(weft_pg_call_until("adders", ADD, NULL, 0, r, 2, NULL, 0, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_pg_call("adders", ADD, NULL, 0, NULL, 2, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_pg_call("adders", ADD, NULL, 1, r, 2, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_pg_call("adders", ADD, NULL, 0, r, 2, NULL, 8), WEFT_EINVAL);
	T_EQ(weft_pg_call("", ADD, NULL, 0, r, 2, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_pg_call("adders", ADD, NULL, 0, r, 0, NULL, 0), 0);

	/* the caller is one, one has ended, one does not answer in time */
	T_EQ(weft_actor_attach(&me, NULL), 0);
	T_EQ(weft_pg_join("adders", me), 0);
	T_EQ(weft_actor_stop_wait(ref[0]), 0);
	T_EQ(weft_actor_suspend(ref[2]), 0);
	T_EQ(weft_pg_call_until("adders", BACK, &(long){4}, sizeof(long), r, 5, room, sizeof(long), weft_in(20 * WEFT_MS)), 3);
	T_EQ(r[0].result == sizeof(long) || r[0].result == WEFT_ETIMEDOUT, 1);
	T_EQ(r[1].result, WEFT_ETIMEDOUT);
	T_EQ(r[2].result, WEFT_EDEADLK);
	for (int i = 1; i < 3; i++)
		T_EQ(weft_actor_stop_wait(ref[i]), 0);
	return 0;
}

/* All members are asked at once; each says what it says. */
TEST_WORKERS(groups)
{
	run(group_main, NULL);
}

/* --- many --- */

#define CLIENTS 20

struct client {
	long sent, answered;
};

static int client_main(void *arg)
{
	struct client *c = arg;
	int rounds = (int)tap_iters(100);

	for (int i = 0; i < rounds; i++) {
		long v = i * 3 + 1, back[4] = {0, 0, 0, 0x5a5a};
		weft_actor_ref to;
		int rc;

		(void)weft_reg_get("victim", &to);
		rc = weft_server_call_until(to, i % 7 ? BACK : SILENT, &v, sizeof v, back, 3 * sizeof(long),
					    weft_in(i % 5 ? WEFT_SEC * 100 : i % 11));
		c->sent++;
		if (rc == sizeof v) {
			T_EQ(back[0], i % 7 ? v : -5);
			c->answered++;
		} else {
			T_OK(rc == WEFT_ETIMEDOUT || rc == WEFT_EDOWN || rc == WEFT_ESRCH);
			T_EQ(back[0], 0);
		}
		T_EQ(back[3], 0x5a5a);
	}
	return 0;
}

static int keeps(void *state, weft_msg *m, weft_from from)
{
	weft_from *kept = state;

	if (m->tag == BACK)
		(void)weft_server_reply(from, m->data, m->len);
	(void)weft_server_reply(*kept, &(long){-5}, sizeof(long)); /* late, or the second one */
	if (!weft_server_waiting(*kept))
		*kept = from;
	return 0;
}

static int many_main(void *arg)
{
	static const weft_server_vt victim = {.size = sizeof(weft_from), .call = keeps};
	struct client c[CLIENTS];
	weft_task *t[CLIENTS];
	weft_actor_ref ref;
	int left = CLIENTS;

	(void)arg;
	T_EQ(weft_server_start(&ref, &victim, NULL, &(weft_server_opts){.name = "victim", .mailbox = {.cap = 3}}), 0);
	for (int i = 0; i < CLIENTS; i++) {
		c[i] = (struct client){.sent = 0};
		t[i] = start(client_main, &c[i]);
	}
	for (int i = 0; left; i++) {
		T_EQ(weft_server_start(&ref, &victim, NULL, NULL), 0);
		(void)weft_server_call(ref, BACK, NULL, 0, NULL, 0);
		T_EQ(weft_actor_stop_wait(ref), 0);
		T_EQ(weft_reg_get("victim", &ref), 0);
		if (i % 3)
			(void)weft_actor_kill(ref);
		(void)weft_actor_stop_wait(ref);
		T_EQ(weft_server_start(&ref, &victim, NULL, &(weft_server_opts){.name = "victim", .mailbox = {.cap = 3}}), 0);
		for (int k = 0; k < 20; k++)
			let_run();
		left = 0;
		for (int k = 0; k < CLIENTS; k++)
			left += weft_task_stateof(t[k]) != WEFT_TASK_DONE;
	}
	T_EQ(weft_actor_stop_wait(ref), 0);
	for (int i = 0; i < CLIENTS; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* Servers die with calls everywhere, callers give up, answers come late: nobody's frame is touched, and nobody waits for ever. */
TEST_WORKERS(many)
{
	run(many_main, NULL);
}

/* --- the runtime's end --- */

struct last_call {
	struct server s;
	struct caller outside, task;
	weft_actor_ref ref;
	_Atomic bool up;
};

static void *outside_main(void *arg)
{
	struct last_call *l = arg;

	while (!l->up)
		sched_yield();
	(void)caller_main(&l->outside);
	return NULL;
}

static int down_main(void *arg)
{
	struct last_call *l = arg;
	weft_task *t;

	l->ref = begin(&l->s, NULL);
	l->outside = (struct caller){.ref = l->ref, .tag = SILENT, .deadline = WEFT_FOREVER};
	t = call_begin(&l->task, l->ref, SILENT, WEFT_FOREVER);
	weft_task_detach(t);
	l->up = true;
	until(l->s.calls == 2);
	return 0;
}

/* A thread that waits for an answer is told when the runtime goes down. */
TEST_WORKERS(down)
{
	ends_with_main();
	for (int i = 0; i < 20; i++) {
		struct last_call l = {.up = false};
		pthread_t th;

		T_EQ(pthread_create(&th, NULL, outside_main, &l), 0);
		T_EQ(weft_run(down_main, &l, &(weft_opts){.workers = tap_workers()}), 0);
		pthread_join(th, NULL);
		T_EQ(l.outside.rc, WEFT_EDOWN);
		T_EQ(l.outside.reply, -1);
		T_EQ(weft_server_reply(l.s.kept, NULL, 0), WEFT_ESRCH);
		nothing_left();
	}
}

static int start_slow(void *arg)
{
	static const weft_server_vt slow = {.size = 5000, .init = never};

	(void)arg;
	return weft_server_start(NULL, &slow, NULL, NULL);
}

static int down_in_start(void *arg)
{
	weft_task *t = start(start_slow, NULL);

	(void)arg;
	until_reason(t, "actor");
	weft_task_detach(t);
	return 0;
}

/* Nor is anything lost of a start that is under way. */
TEST_WORKERS(start_and_down)
{
	ends_with_main();
	run(down_in_start, NULL);
}
