/* SPDX-License-Identifier: MIT
 *
 * fsm.c - actor/fsm.c: states, what comes in which order, timeouts, failures.
 *
 * A machine of three states is told by casts what to do, and writes down what it does: "aGO" is that it was told GO in a, ">ab" that it has entered b from a.
 */
#include "actors.h"

#include "weft/fsm.h"

enum { A, B, C, STATES };

enum {
	LOG,      /* a call, answered by what is written down since the last one; not written down */
	GO = 'g', /* to the state that the data says */
	GO2,      /* to B and to C by one function */
	AGAIN,
	ONLY_B, /* put off, unless in B */
	OFF_GO, /* put off, and go to the state, by one function; in B: no more than noted */
	IN,     /* puts in X and Y */
	IN_GO,  /* the same, and goes to the state */
	X,
	Y,
	T_STATE,  /* a state timeout, of so many seconds */
	T_GO,     /* goes to C, with a state timeout */
	T_BEFORE, /* the other way round */
	T_EVENT,
	T_ONE, /* by number: 1 */
	T_TWO,
	FAIL, /* the function returns that */
	PANIC,
	STOP,
	LOOP,     /* puts itself in */
	LATER,    /* a call: put off, unless in B; answered there */
	LATER_GO, /* the same, and goes to B */
	SILENT,   /* a call that is not answered */
	REST,
	BAD_ENTER, /* the next enter panics */
};

struct machine {
	char text[200];
	size_t len;
	bool enter_goes, enter_times, enter_panics, enter_puts;
	int first;
	_Atomic int *loops, *destroyed, *ended;
	bool goes_on;
};

static void note(struct machine *m, char where, char what)
{
	if (m->len + 3 < sizeof m->text) {
		m->text[m->len++] = where;
		m->text[m->len++] = what;
	}
	m->text[m->len] = 0;
}

static void enter(void *data, int from)
{
	struct machine *m = data;

	note(m, '>', (char)('a' + from));
	m->text[m->len++] = (char)('a' + weft_fsm_now());
	m->text[m->len] = 0;
	T_EQ(weft_fsm_again(), WEFT_EINVAL);
	if (m->enter_goes) {
		m->enter_goes = false;
		T_EQ(weft_fsm_go(C), 0);
	}
	if (m->enter_times)
		T_EQ(weft_fsm_state_timeout(WEFT_SEC), 0);
	if (m->enter_puts) {
		m->enter_puts = false;
		T_EQ(weft_fsm_next('z', NULL, 0), 0);
	}
	if (m->enter_panics) {
		m->enter_panics = false;
		weft_task_panic("in enter");
	}
}

static long number(const weft_fsm_event *e)
{
	return *weft_msg_as(e->m, long);
}

static int told(struct machine *m, const weft_fsm_event *e, int state)
{
	switch (e->m->tag) {
	case GO:
		return weft_fsm_go((int)number(e));
	case GO2:
		T_EQ(weft_fsm_go(B), 0);
		return weft_fsm_go(C);
	case AGAIN:
		return weft_fsm_again();
	case ONLY_B:
		return state == B ? 0 : WEFT_FSM_POSTPONE;
	case OFF_GO:
		if (state == B)
			return 0;
		T_EQ(weft_fsm_go(B), 0);
		return WEFT_FSM_POSTPONE;
	case IN_GO:
		T_EQ(weft_fsm_go((int)number(e)), 0);
		__attribute__((fallthrough));
	case IN:
		T_EQ(weft_fsm_next(X, NULL, 0), 0);
		T_EQ(weft_fsm_next(Y, m->text, 100), 0);
		return 0;
	case T_STATE:
		return weft_fsm_state_timeout(number(e) * WEFT_SEC);
	case T_GO:
		T_EQ(weft_fsm_go(C), 0);
		return weft_fsm_state_timeout(number(e) * WEFT_SEC);
	case T_BEFORE:
		T_EQ(weft_fsm_state_timeout(number(e) * WEFT_SEC), 0);
		return weft_fsm_go(C);
	case T_EVENT:
		return weft_fsm_event_timeout(number(e) * WEFT_SEC);
	case T_ONE:
	case T_TWO:
		return weft_fsm_timeout(e->m->tag == T_ONE, number(e) * WEFT_SEC);
	case FAIL:
		return (int)number(e);
	case PANIC:
		weft_task_panic("as told");
	case STOP:
		return WEFT_FSM_STOP;
	case BAD_ENTER:
		m->enter_panics = true;
		return 0;
	case LOOP:
		++*m->loops;
		m->len = 0;
		return weft_fsm_next(LOOP, NULL, 0);
	case REST:
		return WEFT_FSM_HIBERNATE;
	}
	return 0;
}

static int on(struct machine *m, const weft_fsm_event *e, int state)
{
	T_EQ(weft_fsm_now(), state);
	T_EQ(e->m == NULL, e->kind >= WEFT_FSM_STATE_TIMEOUT);
	T_EQ(weft_from_none(e->from), e->kind != WEFT_FSM_CALL);
	if (e->kind == WEFT_FSM_CALL && e->m->tag == LOG) {
		size_t len = m->len;

		m->len = 0;
		(void)weft_server_reply(e->from, m->text, len + 1);
		m->text[0] = 0;
		return 0;
	}
	note(m, (char)('a' + state),
	     e->kind == WEFT_FSM_STATE_TIMEOUT   ? 'S'
	     : e->kind == WEFT_FSM_EVENT_TIMEOUT ? 'E'
	     : e->kind == WEFT_FSM_TIMEOUT       ? (char)('0' + e->timeout)
	     : e->kind == WEFT_FSM_INFO          ? 'I'
						 : (char)e->m->tag);
	if (!e->m)
		return WEFT_FSM_POSTPONE; /* which is nothing, for these */
	if (e->kind == WEFT_FSM_CALL && (e->m->tag == LATER || e->m->tag == LATER_GO)) {
		if (state == B)
			return weft_server_answer(e->from, 5L);
		if (e->m->tag == LATER_GO)
			T_EQ(weft_fsm_go(B), 0);
		return WEFT_FSM_POSTPONE;
	}
	if (e->kind == WEFT_FSM_INTERNAL)
		T_EQ(e->m->len, e->m->tag == Y ? 100 : 0);
	return told(m, e, state);
}

static int on_a(void *data, const weft_fsm_event *e)
{
	return on(data, e, A);
}

static int on_b(void *data, const weft_fsm_event *e)
{
	return on(data, e, B);
}

static int on_c(void *data, const weft_fsm_event *e)
{
	return on(data, e, C);
}

static int init(void *data)
{
	struct machine *m = data;

	return m->first < 0 ? m->first : m->first ? weft_fsm_go(m->first) : 0;
}

static int error(void *data, int code, const weft_panic *p)
{
	struct machine *m = data;

	T_EQ(code == WEFT_EPANIC, p != NULL);
	note(m, '!', '!');
	return m->goes_on ? 0 : code;
}

static void terminate(void *data, weft_end e)
{
	struct machine *m = data;

	(void)e;
	if (m->ended)
		++*m->ended;
}

static const weft_fsm_state states[] = {{"a", on_a, enter}, {"b", on_b, enter}, {"c", on_c, enter}};
static const weft_fsm_vt vt = {.size = sizeof(struct machine),
			       .states = states,
			       .n = STATES,
			       .first = A,
			       .timeouts = 2,
			       .init = init,
			       .terminate = terminate,
			       .error = error};

static weft_actor_ref begin(const struct machine *m)
{
	weft_actor_ref ref;

	T_EQ(weft_fsm_start(&ref, &vt, m, NULL), 0);
	return ref;
}

static void order(weft_actor_ref ref, uint64_t what, long number)
{
	T_EQ(weft_server_cast(ref, what, &number, sizeof number), 0);
}

/* What it has done since it was asked last. */
static void has_done(weft_actor_ref ref, const char *text)
{
	char got[200] = "";

	T_GE(weft_server_call(ref, LOG, NULL, 0, got, sizeof got), 0);
	T_STR_EQ(got, text);
}

/* Several orders that are all in the mailbox before the first is handled. */
static void together(weft_actor_ref ref, const uint64_t *what, int n)
{
	T_EQ(weft_actor_suspend(ref), 0);
	for (int i = 0; i < n; i++)
		order(ref, what[i], B);
	T_EQ(weft_actor_resume(ref), 0);
}

#define TOGETHER(ref, ...) together((ref), (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* The letters that orders are written down as. */
static const char *line(const char *format, char *to)
{
	static const struct {
		char sign;
		int tag;
	} t[] = {{'G', GO}, {'2', GO2}, {'R', AGAIN}, {'B', ONLY_B}, {'O', OFF_GO}, {'N', IN}, {'M', IN_GO}, {'X', X}, {'Y', Y}};
	size_t i;

	for (i = 0; format[i]; i++) {
		to[i] = format[i];
		for (size_t k = 0; k < sizeof t / sizeof *t; k++) {
			if (format[i] == t[k].sign)
				to[i] = (char)t[k].tag;
		}
	}
	to[i] = 0;
	return to;
}

static void did(weft_actor_ref ref, const char *format)
{
	char text[200];

	has_done(ref, line(format, text));
}

/* --- states --- */

static int states_main(void *arg)
{
	weft_actor_ref ref = begin(NULL);

	(void)arg;
	did(ref, ">aa");
	order(ref, GO, B);
	did(ref, "aG>ab");
	order(ref, GO, B); /* where it is */
	order(ref, AGAIN, 0);
	did(ref, "bGbR>bb");
	order(ref, GO2, 0);
	order(ref, GO, A);
	did(ref, "b2>bccG>ca");
	order(ref, REST, 0);
	order(ref, GO2, 0);
	T_EQ(weft_actor_send(ref, 1, NULL, 0, 0), 0);
	T_EQ(weft_fsm_now(), WEFT_EINVAL);
	T_EQ(weft_fsm_go(A), WEFT_EINVAL);
	T_EQ(weft_fsm_again(), WEFT_EINVAL);
	T_EQ(weft_fsm_next(1, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_fsm_state_timeout(1), WEFT_EINVAL);
	T_EQ(weft_fsm_event_timeout(1), WEFT_EINVAL);
	T_EQ(weft_fsm_timeout(0, 1), WEFT_EINVAL);
	T_EQ(weft_actor_stop_wait(ref), 0);

	ref = begin(&(struct machine){.first = B, .enter_goes = true}); /* init, and enter, may go on */
	did(ref, ">bb>bc");
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* It goes where it is told to, and is told where it comes from. */
TEST_WORKERS(states_and_enter)
{
	run(states_main, NULL);
}

/* --- order --- */

static int off_main(void *arg)
{
	weft_actor_ref ref = begin(NULL);

	(void)arg;
	did(ref, ">aa");
	TOGETHER(ref, ONLY_B, ONLY_B, X, GO, Y);
	did(ref, "aBaBaXaG>abbBbBbY"); /* put off, and before what was behind them */
	order(ref, GO, C);
	TOGETHER(ref, ONLY_B, X);
	order(ref, GO, A); /* not yet: put off once more */
	did(ref, "bG>bccBcXcG>caaB");
	order(ref, GO, A);
	did(ref, "aG"); /* no change */
	order(ref, OFF_GO, 0);
	did(ref, "aO>abbBbO");
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* What is put off comes again when the state has changed, oldest first. */
TEST_WORKERS(put_off)
{
	run(off_main, NULL);
}

static int in_main(void *arg)
{
	weft_actor_ref ref = begin(NULL);

	(void)arg;
	did(ref, ">aa");
	TOGETHER(ref, IN, GO2);
	did(ref, "aNaXaYa2>ac"); /* before the mailbox */
	TOGETHER(ref, ONLY_B, ONLY_B, IN_GO, REST);
	has_done(ref,
		 (char[]){'c', ONLY_B, 'c', ONLY_B, 'c', IN_GO, '>', 'c', 'b', 'b', X, 'b', Y, 'b', ONLY_B, 'b', ONLY_B, 'b', REST, 0});
	TOGETHER(ref, IN, IN);
	did(ref, "bNbXbYbNbXbY");
	T_EQ(weft_actor_stop_wait(ref), 0);

	ref = begin(&(struct machine){.enter_puts = true});
	did(ref, ">aaaz");
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* What it puts in comes first, in order, before what was put off. */
TEST_WORKERS(put_in)
{
	run(in_main, NULL);
}

static int loops_main(void *arg)
{
	_Atomic int loops = 0, ended = 0;
	weft_actor_ref ref = begin(&(struct machine){.loops = &loops, .ended = &ended});

	(void)arg;
	order(ref, LOOP, 0);
	until(loops > 1000);
	T_EQ(weft_actor_stop_wait(ref), 0);
	T_EQ(ended, 1);
	return 0;
}

struct busy {
	_Atomic int *loops;
	bool by_state;
};

static int on_busy(void *data, const weft_fsm_event *e)
{
	struct busy *b = data;

	(void)e;
	++*b->loops;
	return b->by_state ? weft_fsm_state_timeout(0) : weft_fsm_timeout(0, 0);
}

static int busy_main(void *arg)
{
	static const weft_fsm_state one[] = {{"one", on_busy, NULL}};
	static const weft_fsm_vt busy = {.size = sizeof(struct busy), .states = one, .n = 1, .timeouts = 1};
	_Atomic int loops = 0;
	weft_actor_ref ref;

	(void)arg;
	for (int by_state = 0; by_state < 2; by_state++) {
		loops = 0;
		T_EQ(weft_fsm_start(&ref, &busy, &(struct busy){&loops, by_state}, NULL), 0);
		order(ref, 1, 0);
		until(loops > 1000);
		T_EQ(weft_actor_stop_wait(ref), 0);
	}
	return 0;
}

/* Whose context is cancelled. */
static int canceled_main(void *arg)
{
	static const weft_fsm_state one[] = {{"one", on_busy, NULL}};
	static const weft_fsm_vt busy = {.size = sizeof(struct busy), .states = one, .n = 1, .timeouts = 1};
	_Atomic int loops = 0, ended = 0;
	struct machine m = {.loops = &loops, .ended = &ended};
	struct watcher w;
	weft_actor_ref ref;

	(void)arg;
	for (int by_timeout = 0; by_timeout < 2; by_timeout++) {
		weft_ctx *ctx = weft_ctx_make(NULL);
		weft_server_opts o = {.ctx = ctx};

		loops = 0;
		T_EQ(by_timeout ? weft_fsm_start(&ref, &busy, &(struct busy){&loops, false}, &o) : weft_fsm_start(&ref, &vt, &m, &o), 0);
		order(ref, LOOP, 0);
		until(loops > 1000);
		watch_begin(&w, ref);
		T_EQ(weft_ctx_cancel(ctx, 0), 0);
		watch_end(&w, WEFT_END_CANCELED, WEFT_ECANCELED);
		weft_ctx_free(ctx);
	}
	T_EQ(ended, 1);
	return 0;
}

/* One that is never done with itself lets others run, and can be stopped. */
TEST_WORKERS(endless)
{
	run(loops_main, NULL);
	run(busy_main, NULL);
	run(canceled_main, NULL);
}

/* --- timeouts --- */

/* It has been given what is asked first, perhaps, when the clock moves; it looks at the clock before it takes what is asked second. */
static void later(weft_actor_ref ref, int64_t ns, const char *text)
{
	char got[200] = "";

	did(ref, "");
	time_move(ns);
	T_GE(weft_server_call(ref, LOG, NULL, 0, got, sizeof got), 0);
	T_GE(weft_server_call(ref, LOG, NULL, 0, got + strlen(got), 100), 0);
	T_STR_EQ(got, text);
}

static int state_timeout_main(void *arg)
{
	weft_actor_ref ref;

	(void)arg;
	time_fake();
	ref = begin(NULL);
	did(ref, ">aa");
	order(ref, T_STATE, 5);
	has_done(ref, (char[]){'a', T_STATE, 0});
	later(ref, 4 * WEFT_SEC, "");
	later(ref, 1 * WEFT_SEC, "aS"); /* other events do not end it */
	later(ref, 10 * WEFT_SEC, "");
	order(ref, T_STATE, 5);
	order(ref, T_STATE, 8); /* in its place */
	has_done(ref, (char[]){'a', T_STATE, 'a', T_STATE, 0});
	later(ref, 7 * WEFT_SEC, "");
	order(ref, T_STATE, -1);
	has_done(ref, (char[]){'a', T_STATE, 0});
	later(ref, 10 * WEFT_SEC, "");
	order(ref, T_STATE, 5);
	order(ref, GO, B); /* this ends it */
	has_done(ref, (char[]){'a', T_STATE, 'a', GO, '>', 'a', 'b', 0});
	later(ref, 10 * WEFT_SEC, "");
	order(ref, T_GO, 5); /* of the next one */
	has_done(ref, (char[]){'b', T_GO, '>', 'b', 'c', 0});
	later(ref, 5 * WEFT_SEC, "cS");
	order(ref, GO, A);
	order(ref, T_BEFORE, 5); /* of this one */
	has_done(ref, (char[]){'c', GO, '>', 'c', 'a', 'a', T_BEFORE, '>', 'a', 'c', 0});
	later(ref, 10 * WEFT_SEC, "");
	T_EQ(weft_actor_stop_wait(ref), 0);

	ref = begin(&(struct machine){.enter_times = true});
	did(ref, ">aa");
	later(ref, WEFT_SEC, "aS");
	order(ref, GO, B);
	did(ref, "aG>ab");
	later(ref, WEFT_SEC, "bS");
	T_EQ(weft_actor_stop_wait(ref), 0);
	time_real();
	return 0;
}

/* A state's timeout is that state's. */
TEST_WORKERS(state_timeout)
{
	run(state_timeout_main, NULL);
}

static int timeouts_main(void *arg)
{
	_Atomic int loops = 0;
	weft_actor_ref ref;

	(void)arg;
	time_fake();
	ref = begin(&(struct machine){.loops = &loops});
	did(ref, ">aa");
	order(ref, T_ONE, 5);
	order(ref, T_TWO, 3);
	order(ref, T_STATE, 4);
	order(ref, GO, B);
	has_done(ref, (char[]){'a', T_ONE, 'a', T_TWO, 'a', T_STATE, 'a', GO, '>', 'a', 'b', 0});
	order(ref, T_STATE, 4);
	has_done(ref, (char[]){'b', T_STATE, 0});
	later(ref, 10 * WEFT_SEC, "b0bSb1"); /* in their order */
	order(ref, T_ONE, 5);
	order(ref, T_TWO, 5);
	order(ref, T_ONE, -1);
	has_done(ref, (char[]){'b', T_ONE, 'b', T_TWO, 'b', T_ONE, 0});
	later(ref, 10 * WEFT_SEC, "b0");

	order(ref, T_EVENT, 5);
	has_done(ref, (char[]){'b', T_EVENT, 0}); /* which ends it */
	later(ref, 10 * WEFT_SEC, "");
	order(ref, T_TWO, 0); /* at once */
	order(ref, X, 0);
	has_done(ref, (char[]){'b', T_TWO, 'b', '0', 'b', X, 0});
	TOGETHER(ref, T_EVENT, T_EVENT, X);
	has_done(ref, (char[]){'b', T_EVENT, 'b', T_EVENT, 'b', X, 0});
	T_EQ(weft_actor_stop_wait(ref), 0);
	time_real();
	return 0;
}

/* Timeouts by number go on whatever comes; that of events does not. */
TEST_WORKERS(timeouts)
{
	run(timeouts_main, NULL);
}

struct quiet {
	_Atomic int *over;
};

static int on_quiet(void *data, const weft_fsm_event *e)
{
	struct quiet *q = data;

	if (e->kind == WEFT_FSM_EVENT_TIMEOUT) {
		++*q->over;
		return 0;
	}
	return weft_fsm_event_timeout(number(e));
}

static int quiet_main(void *arg)
{
	static const weft_fsm_state one[] = {{"one", on_quiet, NULL}};
	static const weft_fsm_vt quiet = {.size = sizeof(struct quiet), .states = one, .n = 1};
	_Atomic int over = 0;
	weft_actor_ref ref;

	(void)arg;
	T_EQ(weft_fsm_start(&ref, &quiet, &(struct quiet){&over}, NULL), 0);
	order(ref, 1, 1000);
	until(over == 1);
	order(ref, 1, 0);
	until(over == 2);
	order(ref, 1, 3600 * WEFT_SEC);
	order(ref, 1, -1);
	T_EQ(weft_actor_stop_wait(ref), 0);
	T_EQ(over, 2);
	return 0;
}

/* An event that nothing has come. */
TEST_WORKERS(event_timeout)
{
	run(quiet_main, NULL);
}

/* --- calls --- */

struct caller {
	weft_actor_ref ref;
	uint64_t tag;
	long req, reply;
	int rc;
};

static int caller_main(void *arg)
{
	struct caller *c = arg;

	c->rc = weft_server_call(c->ref, c->tag, &c->req, sizeof c->req, &c->reply, sizeof c->reply);
	return 0;
}

static weft_task *call_begin(struct caller *c, weft_actor_ref ref, uint64_t tag, long req)
{
	weft_task *t;

	*c = (struct caller){.ref = ref, .tag = tag, .req = req};
	t = start(caller_main, c);
	until_reason(t, "server call");
	return t;
}

static int calls_main(void *arg)
{
	struct caller c[3];
	weft_actor_ref ref = begin(&(struct machine){.goes_on = true});
	weft_task *t[3];

	(void)arg;
	did(ref, ">aa");
	for (int i = 0; i < 2; i++)
		t[i] = call_begin(&c[i], ref, LATER, 0);
	has_done(ref, (char[]){'a', LATER, 'a', LATER, 0});
	weft_task_cancel(t[0]);
	T_EQ(finish(t[0]), 0);
	T_EQ(c[0].rc, WEFT_ECANCELED);
	order(ref, GO, B);
	T_EQ(finish(t[1]), 0);
	T_EQ(c[1].rc, sizeof(long));
	T_EQ(c[1].reply, 5);
	has_done(ref, (char[]){'a', GO, '>', 'a', 'b', 'b', LATER, 0}); /* once: the other one has given up */

	T_EQ(weft_server_call(ref, FAIL, &(long){-70}, sizeof(long), NULL, 0), -70); /* a function that fails */
	order(ref, PANIC, 0);
	order(ref, GO, C);
	has_done(ref, (char[]){'b', FAIL, '!', '!', 'b', PANIC, '!', '!', 'b', GO, '>', 'b', 'c', 0});

	t[0] = call_begin(&c[0], ref, SILENT, 0); /* the machine ends */
	t[1] = call_begin(&c[1], ref, LATER, 0);
	order(ref, IN, 0);
	order(ref, STOP, 0);
	for (int i = 0; i < 2; i++) {
		T_EQ(finish(t[i]), 0);
		T_EQ(c[i].rc, WEFT_EDOWN);
	}
	return 0;
}

/* Calls are put off as all events are. */
TEST_WORKERS(calls)
{
	run(calls_main, NULL);
}

static void panics(weft_msg *m)
{
	if (m->tag == PANIC)
		weft_task_panic("in dtor");
}

static int not_its_fault_main(void *arg)
{
	weft_fsm_vt careless = vt;
	struct caller c[2];
	weft_actor_ref ref;
	weft_task *t[2];
	long reply = 0;

	(void)arg;
	careless.dtor = panics;
	T_EQ(weft_fsm_start(&ref, &careless, &(struct machine){.goes_on = true}, NULL), 0);
	did(ref, ">aa");
	t[0] = call_begin(&c[0], ref, SILENT, 0);
	T_EQ(weft_actor_suspend(ref), 0);
	t[1] = call_begin(&c[1], ref, PANIC, 0); /* what destroys it panics */
	weft_task_cancel(t[1]);
	T_EQ(finish(t[1]), 0);
	T_EQ(c[1].rc, WEFT_ECANCELED);
	T_EQ(weft_actor_resume(ref), 0);
	has_done(ref, (char[]){'a', SILENT, '!', '!', 0});
	T_STR_EQ(weft_task_reason(t[0]), "server call"); /* nobody has failed it */

	order(ref, BAD_ENTER, 0);
	T_EQ(weft_server_ask(ref, LATER_GO, &reply, 0L), 0); /* what is entered panics */
	T_EQ(reply, 5);
	has_done(ref, (char[]){'a', BAD_ENTER, 'a', LATER_GO, '>', 'a', 'b', '!', '!', 'b', LATER_GO, 0});
	T_EQ(weft_actor_stop_wait(ref), 0);
	T_EQ(finish(t[0]), 0);
	T_EQ(c[0].rc, WEFT_EDOWN);
	return 0;
}

/* What fails between two events is no call's failure. */
TEST_WORKERS(not_its_fault)
{
	run(not_its_fault_main, NULL);
}

static int fails_main(void *arg)
{
	struct watcher w;
	weft_actor_ref ref = begin(&(struct machine){.goes_on = true});

	(void)arg;
	did(ref, ">aa");
	T_EQ(weft_actor_stop_wait(ref), 0);
	ref = begin(&(struct machine){.goes_on = true, .enter_panics = true});
	did(ref, ">aa!!");
	order(ref, GO, 17); /* there is none: the function fails */
	has_done(ref, (char[]){'a', GO, '!', '!', 0});
	order(ref, FAIL, 17); /* a result that has no meaning, as well */
	has_done(ref, (char[]){'a', FAIL, '!', '!', 0});
	T_EQ(weft_actor_stop_wait(ref), 0);
	ref = begin(NULL);
	watch_begin(&w, ref);
	order(ref, FAIL, -5);
	watch_end(&w, WEFT_END_CODE, -5);
	ref = begin(NULL);
	watch_begin(&w, ref);
	order(ref, STOP, 0);
	watch_end(&w, WEFT_END_NORMAL, 0);
	return 0;
}

/* A function that fails is the end, or goes on in the same state. */
TEST_WORKERS(fails)
{
	run(fails_main, NULL);
}

/* --- what is left at the end --- */

struct owner {
	_Atomic int *destroyed, *seen;
};

static int on_owner(void *data, const weft_fsm_event *e)
{
	struct owner *o = data;

	++*o->seen;
	if (e->kind == WEFT_FSM_INTERNAL)
		return WEFT_FSM_POSTPONE;
	T_EQ(weft_fsm_next(1, e->m->data, e->m->len), 0);
	return WEFT_FSM_POSTPONE;
}

static void destroy(weft_msg *m)
{
	++**(_Atomic int **)m->data;
}

static int left_main(void *arg)
{
	static const weft_fsm_state one[] = {{"one", on_owner, NULL}};
	static const weft_fsm_vt owner = {.size = sizeof(struct owner), .states = one, .n = 1, .dtor = destroy};
	_Atomic int destroyed = 0, seen = 0, *p = &destroyed;
	struct watcher w;
	weft_actor_ref ref;

	(void)arg;
	T_EQ(weft_fsm_start(&ref, &owner, &(struct owner){&destroyed, &seen}, NULL), 0);
	for (int i = 0; i < 10; i++)
		T_EQ(weft_server_cast(ref, 1, &p, sizeof p), 0);
	until(seen == 20);
	T_EQ(destroyed, 0);
	watch_begin(&w, ref);
	T_EQ(weft_actor_kill(ref), 0);
	watch_end(&w, WEFT_END_KILLED, WEFT_ECANCELED);
	until(destroyed == 20); /* who waits is told first */
	return 0;
}

/* What was put off, or in, and is not handled any more, is destroyed. */
TEST_WORKERS(left_over)
{
	run(left_main, NULL);
}

/* --- start --- */

static int start_main(void *arg)
{
	static const weft_fsm_state none[] = {{"none", NULL, NULL}};
	weft_fsm_vt odd;
	weft_actor_ref ref;

	(void)arg;
	T_EQ(weft_fsm_start(&ref, NULL, NULL, NULL), WEFT_EINVAL);
	for (int i = 0; i < 7; i++) {
		odd = vt;
		if (i == 0)
			odd.states = NULL;
		else if (i == 1)
			odd.n = 0;
		else if (i == 2)
			odd.first = STATES;
		else if (i == 3)
			odd.timeouts = -1;
		else if (i == 4)
			odd.timeouts = 1001;
		else if (i == 5)
			odd.size = (size_t)1 << 40;
		else {
			odd.states = none;
			odd.n = 1;
		}
		T_EQ(weft_fsm_start(&ref, &odd, NULL, NULL), WEFT_EINVAL);
	}
	T_EQ(weft_fsm_start(&ref, &vt, &(struct machine){.first = -9}, NULL), -9);
	T_OK(weft_actor_same(ref, WEFT_NO_ACTOR));
	T_EQ(weft_fsm_start(&ref, &vt, NULL, &(weft_server_opts){.name = ""}), WEFT_EINVAL);
	T_EQ(weft_fsm_start_until(&ref, &vt, NULL, &(weft_server_opts){.name = "machine"}, weft_in(3600 * WEFT_SEC)), 0);
	T_EQ(weft_fsm_start(NULL, &vt, NULL, &(weft_server_opts){.name = "machine"}), WEFT_EEXIST);
	T_EQ(weft_server_migrate(ref, &(weft_server_vt){.size = 0}, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* What start refuses. */
TEST_WORKERS(starting)
{
	run(start_main, NULL);
}

static int never(void *data)
{
	(void)data;
	return weft_task_sleep_until(WEFT_FOREVER);
}

static int start_slow(void *arg)
{
	static const weft_fsm_vt slow = {.size = 2000, .states = states, .n = STATES, .timeouts = 10, .init = never};

	(void)arg;
	return weft_fsm_start(NULL, &slow, NULL, NULL);
}

static int down_main(void *arg)
{
	weft_task *t = start(start_slow, NULL);

	(void)arg;
	until_reason(t, "actor");
	weft_task_detach(t);
	return 0;
}

/* The runtime goes down while one is started: nothing is left. */
TEST_WORKERS(down)
{
	ends_with_main();
	run(down_main, NULL);
}
