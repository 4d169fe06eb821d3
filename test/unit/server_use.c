/* SPDX-License-Identifier: MIT
 *
 * server_use.c - servers as their users meet them: by name; what nobody takes; whose fault a code is; what a panic says, and a dump.
 */
#include "actors.h"

#include "dumped.h"
#include "weft/bus.h"
#include "weft/defer.h"
#include "weft/fsm.h"
#include "weft/scope.h"
#include "weft/server.h"
#include "weft/supervisor.h"

enum { ADD = 1, GET, SIX, GIVE, KEEP, PANIC, NESTED };

struct six {
	long first, second, third, fourth, fifth, sixth;
};

static weft_from kept;
static weft_actor_ref nested;

static int on_call(void *state, weft_msg *m, weft_from from)
{
	long *sum = state, got;
	int rc;

	switch (m->tag) {
	case ADD:
		*sum += *weft_msg_as(m, long);
		return weft_server_answer(from, *sum);
	case GIVE:
		return (int)*weft_msg_as(m, long);
	case SIX:
		return weft_server_answer(from, *sum + weft_msg_as(m, struct six)->first);
	case GET:
		T_EQ(m->len, 0);
		return weft_server_answer(from, *sum);
	case KEEP:
		kept = from;
		return 0;
	case NESTED: /* as one does that passes on what it is told */
		rc = weft_server_ask(nested, KEEP, &got, 0L);
		(void)weft_server_fail(from, rc);
		return *weft_msg_as(m, long) ? rc : 0;
	default:
		weft_task_panic("as asked");
	}
}

static int on_cast(void *state, weft_msg *m)
{
	*(long *)state += *weft_msg_as(m, long);
	return 0;
}

static const weft_server_vt sums = {.size = sizeof(long), .call = on_call, .cast = on_cast};

static weft_actor_ref begin(const char *name)
{
	weft_actor_ref ref;

	T_EQ(weft_server_start(&ref, &sums, NULL, &(weft_server_opts){.name = name}), 0);
	return ref;
}

/* --- by name --- */

#define TOO_LONG "1234567890123456789012345678901234567890123456789012345678901234"

static int names_main(void *arg)
{
	weft_actor_ref ref = begin("sums");
	int small = 0;
	long sum = 0;

	(void)arg;
	T_EQ(weft_reg_ask("sums", ADD, &sum, 5L), 0);
	T_EQ(sum, 5);
	T_EQ(weft_reg_cast("sums", ADD, &(long){2}, sizeof(long)), 0);
	T_EQ(weft_reg_cast_until("sums", ADD, &(long){3}, sizeof(long), WEFT_NOW), 0);
	T_EQ(weft_reg_ask_until("sums", ADD, &sum, WEFT_FOREVER, 1L), 0);
	T_EQ(sum, 11);
	T_EQ(weft_reg_ask("sums", ADD, &small, 1L), WEFT_EMSGSIZE); /* longer than that */
	sum = 0;
	T_EQ(weft_reg_ask("sums", GET, &sum), 0);
	T_EQ(sum, 12);
	T_EQ(weft_reg_ask_until("sums", GET, &sum, weft_in(3600 * WEFT_SEC)), 0);
	T_EQ(weft_server_ask(ref, GET, &sum), 0);
	T_EQ(weft_server_ask_until(ref, GET, &sum, WEFT_FOREVER), 0);
	T_EQ(weft_server_ask_until(ref, GET, &sum, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_server_ask_until(ref, ADD, &sum, WEFT_FOREVER, ((struct six){8, 1, 2, 3, 4, 5}).first), 0); /* commas */
	T_EQ(weft_server_ask(ref, SIX, &sum, (struct six){8, 1, 2, 3, 4, 5}), 0);
	T_EQ(sum, 28);
	T_EQ(weft_reg_ask("nobody", ADD, &sum, 5L), WEFT_ENOENT);
	T_EQ(weft_reg_ask("", ADD, &sum, 5L), WEFT_EINVAL);
	T_EQ(weft_reg_ask(TOO_LONG, ADD, &sum, 5L), WEFT_ENAMETOOLONG);
	T_EQ(weft_reg_ask_until("sums", ADD, &sum, WEFT_NOW, 5L), WEFT_EAGAIN);
	T_EQ(weft_reg_cast("nobody", ADD, NULL, 0), WEFT_ENOENT);
	T_EQ(weft_reg_cast(NULL, ADD, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_reg_cast(TOO_LONG, ADD, NULL, 0), WEFT_ENAMETOOLONG);
	T_EQ(weft_reg_cast("sums", ADD, NULL, 1), WEFT_EINVAL);
	T_EQ(weft_actor_stop_wait(ref), 0);
	T_EQ(weft_reg_cast("sums", ADD, NULL, 0), WEFT_ENOENT);
	return 0;
}

/* A value is asked for, and sent, by name. */
TEST_WORKERS(by_name)
{
	run(names_main, NULL);
}

/* --- what nobody takes --- */

struct dead {
	_Atomic long n;
	_Atomic uint64_t tags;
	weft_actor_ref to;
};

static void dead(const weft_dead_letter *d, void *arg)
{
	struct dead *k = arg;

	T_EQ(d->len, sizeof(long));
	T_EQ(*(const long *)d->data, 7);
	T_OK(weft_actor_same(d->to, k->to));
	k->tags += d->tag;
	k->n++;
}

static int is_up(void *arg)
{
	T_EQ(weft_event_wait(arg), 0);
	return 0;
}

static int dead_main(void *arg)
{
	static const weft_server_vt deaf = {.call = on_call}; /* neither cast nor info */
	struct dead k = {.n = 0};
	weft_event over = {0};
	weft_actor_ref ref;
	weft_task *t;

	(void)arg;
	weft_actor_on_dead_letter(dead, &k);
	T_EQ(weft_server_start(&ref, &deaf, NULL, NULL), 0);
	k.to = ref;
	T_EQ(tell(ref, 1, 7), 0); /* for info */
	T_EQ(weft_server_cast(ref, 10, &(long){7}, sizeof(long)), 0);
	T_EQ(weft_actor_signal(ref, (weft_end){WEFT_END_NORMAL, 0}), 0);
	until(k.n == 2);
	T_EQ(weft_actor_stop_wait(ref), 0);
	T_EQ(weft_sup_start(&ref, &(weft_sup_opts){.n = 0}), 0);
	k.to = ref;
	T_EQ(tell(ref, 100, 7), 0);
	until(k.n == 3);
	T_EQ(weft_sup_stop(ref), 0);
	t = start(is_up, &over);
	T_EQ(weft_actor_adopt(&ref, t), 0);
	k.to = ref;
	T_EQ(tell(ref, 1000, 7), 0);
	until(k.n == 4);
	weft_event_set(&over);
	until(!weft_actor_alive(ref));
	T_EQ(k.tags, 1111);
	weft_actor_on_dead_letter(NULL, NULL);
	return 0;
}

/* What is dropped because there is no handler for it is a dead letter. */
TEST_WORKERS(nobody_takes)
{
	run(dead_main, NULL);
}

/* --- whose code it is --- */

struct asking {
	weft_actor_ref ref;
	long how;
};

static int asks_nested(void *arg)
{
	struct asking *k = arg;
	long got;

	return weft_server_ask(k->ref, NESTED, &got, k->how);
}

static int canceled_main(void *arg)
{
	struct asking k;
	weft_task *t;

	(void)arg;
	nested = begin(NULL);
	for (int i = 0; i < 4; i++) { /* it answers, or returns the code; is killed, or told to end */
		k = (struct asking){begin(NULL), i & 1};
		t = start(asks_nested, &k);
		until(stats_of(nested).received == (uint64_t)i + 1);
		T_EQ(i & 2 ? weft_actor_kill(k.ref) : weft_actor_signal(k.ref, (weft_end){WEFT_END_SHUTDOWN, 0}), 0);
		T_EQ(finish(t), WEFT_EDOWN);
		until(!weft_actor_alive(k.ref));
	}
	T_EQ(weft_actor_stop_wait(nested), 0);
	return 0;
}

/* A caller is never told that it was cancelled when its server was. */
TEST_WORKERS(canceled_server)
{
	run(canceled_main, NULL);
}

static int gives_up(void *arg)
{
	long got;

	(void)arg;
	return weft_server_ask(nested, KEEP, &got, 0L);
}

static int own_main(void *arg)
{
	weft_task *t;
	long got;

	(void)arg;
	nested = begin(NULL);
	t = start(gives_up, NULL);
	until_reason(t, "server call");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED); /* its own */
	T_EQ(weft_server_ask(nested, GIVE, &got, (long)WEFT_ECANCELED), WEFT_EDOWN);
	nested = begin(NULL);
	t = start(gives_up, NULL);
	until(stats_of(nested).received == 1);
	T_EQ(weft_server_ask(nested, ADD, &got, 0L), 0); /* it has kept that */
	T_EQ(weft_server_fail(kept, WEFT_ECANCELED), 0); /* by one that is not: it means something */
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(weft_actor_stop_wait(nested), 0);
	return 0;
}

TEST_WORKERS(canceled_caller)
{
	run(own_main, NULL);
}

/* What its init does: waits, or ends its task. */
struct in_init {
	weft_event begun;
	int exit; /* with that, if it is not negative */
	weft_actor_ref ref;
};

static int init(void *state)
{
	struct in_init *i = *(struct in_init **)state;

	i->ref = weft_actor_self();
	weft_event_set(&i->begun);
	if (i->exit >= 0)
		weft_task_exit(i->exit);
	return weft_task_sleep(INT64_MAX);
}

static const weft_server_vt slow = {.size = sizeof(struct in_init *), .init = init};

static int starts(void *arg)
{
	weft_actor_ref ref;
	int rc = weft_server_start(&ref, &slow, &arg, NULL);

	T_OK(weft_actor_same(ref, WEFT_NO_ACTOR));
	return rc;
}

static int init_main(void *arg)
{
	struct in_init i = {.exit = -1};
	struct watcher w;
	weft_task *t;

	(void)arg;
	for (int kill = 0; kill < 2; kill++) {
		weft_event_reset(&i.begun);
		t = start(starts, &i);
		T_EQ(weft_event_wait(&i.begun), 0);
		watch_begin(&w, i.ref);
		T_EQ(kill ? weft_actor_kill(i.ref) : weft_actor_signal(i.ref, (weft_end){WEFT_END_SHUTDOWN, 0}), 0);
		T_EQ(finish(t), WEFT_EDOWN);
		watch_end(&w, kill ? WEFT_END_KILLED : WEFT_END_SHUTDOWN, kill ? WEFT_ECANCELED : 0);
	}
	weft_event_reset(&i.begun);
	t = start(starts, &i);
	T_EQ(weft_event_wait(&i.begun), 0);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED); /* the starter's own */
	until(!weft_actor_alive(i.ref));
	for (i.exit = 0; i.exit < 2; i.exit++)
		T_EQ(starts(&i), WEFT_EDOWN);
	return 0;
}

/* A start that fails because the server is cancelled, or ends its task, is not the starter's. */
TEST_WORKERS(canceled_init)
{
	run(init_main, NULL);
}

/* --- results that are none --- */

static int tells_back(void *state, weft_msg *m)
{
	(void)state;
	return (int)*weft_msg_as(m, long);
}

static int state_on(void *data, const weft_fsm_event *e)
{
	(void)data;
	return (int)*weft_msg_as(e->m, long);
}

static int results_main(void *arg)
{
	static const weft_fsm_state states[] = {{"only", state_on, NULL}};
	static const weft_fsm_vt machine = {.states = states, .n = 1};
	static const weft_bus_vt handler = {.event = tells_back};
	weft_actor_ref ref;
	struct watcher w;
	long got;

	(void)arg;
	ref = begin(NULL);
	watch_begin(&w, ref);
	T_EQ(weft_server_ask(ref, GIVE, &got, 8L), WEFT_EDOWN);
	watch_end(&w, WEFT_END_CODE, WEFT_EINVAL);
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = tells_back}), 0);
	watch_begin(&w, ref);
	T_EQ(tell(ref, 1, 2), 0);
	watch_end(&w, WEFT_END_CODE, WEFT_EINVAL);
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = tells_back}), 0);
	watch_begin(&w, ref);
	T_EQ(tell(ref, 1, WEFT_ACTOR_STOP), 0);
	watch_end(&w, WEFT_END_NORMAL, 0);
	T_EQ(weft_fsm_start(&ref, &machine, NULL, NULL), 0);
	watch_begin(&w, ref);
	T_EQ(tell(ref, 1, 4), 0);
	watch_end(&w, WEFT_END_CODE, WEFT_EINVAL);
	T_EQ(weft_bus_start(&ref, NULL), 0);
	T_EQ(weft_bus_add(ref, 1, &handler, NULL), 0);
	T_EQ(weft_bus_notify_sync(ref, 1, &(long){0}, sizeof(long)), 0);
	T_EQ(weft_bus_ids(ref, (uint64_t[1]){0}, 1), 1);
	T_EQ(weft_bus_notify_sync(ref, 1, &(long){2}, sizeof(long)), 0);
	T_EQ(weft_bus_ids(ref, (uint64_t[1]){0}, 1), 0);
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* A positive result that has no meaning is a failure, and no normal end. */
TEST_WORKERS(results)
{
	run(results_main, NULL);
}

/* --- what a panic says --- */

static int line_of_as;

NOINLINE static int misreads(void *state, weft_msg *m)
{
	char *c;

	(void)state;
	line_of_as = __LINE__ + 1;
	c = weft_msg_as(m, char);
	NO_TAIL_CALL();
	return *c;
}

static int line_of_down;

NOINLINE static int takes_for_news(void *state, weft_msg *m)
{
	int code;

	(void)state;
	line_of_down = __LINE__ + 1;
	code = weft_msg_down(m)->end.code;
	NO_TAIL_CALL();
	return code;
}

static weft_panic seen;

static int sees(void *state, int code, const weft_panic *p)
{
	(void)state;
	seen = *p;
	return code;
}

static void panics_with(int (*on_msg)(void *, weft_msg *), int (*on_error)(void *, int, const weft_panic *))
{
	weft_actor_ref ref;

	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = on_msg, .on_error = on_error, .name = "panics"}), 0);
	T_EQ(tell(ref, 3, 1), 0);
	until(!weft_actor_alive(ref));
}

static int panic_main(void *arg)
{
	char want[200], *text;

	(void)arg;
	hear();
	panics_with(misreads, NULL);
	text = heard_text();
	snprintf(want, sizeof want, "(panics) panicked: a message of tag 3 has %zu bytes, a char 1 (%s:%d)\n", sizeof(long), __FILE__,
		 line_of_as);
	T_STR_HAS(text, want);
	T_STR_HAS(text, "misreads+0x");
	free(text);
	hear();
	panics_with(takes_for_news, NULL);
	text = heard_text();
	snprintf(want, sizeof want, "a message of tag 3 is taken for the news of an end (%s:%d)\n", __FILE__, line_of_down);
	T_STR_HAS(text, want);
	T_STR_HAS(text, "takes_for_news+0x");
	free(text);
	hear();
	panics_with(misreads, sees);
	text = heard_text();
	T_STR_EQ(text, ""); /* on_error has it */
	free(text);
	T_STR_EQ(seen.file, __FILE__);
	T_EQ(seen.line, line_of_as);
	return 0;
}

/* A panic of an actor is told with the user's line, and the stack. */
TEST_WORKERS(panics)
{
	time_fake(); /* so many are shown a second */
	run(panic_main, NULL);
	time_real();
}

static int many_main(void *arg)
{
	char *text;

	(void)arg;
	hear();
	for (int i = 0; i < 50; i++)
		panics_with(misreads, NULL);
	text = heard_text();
	T_EQ(count_of(text, "panicked: "), 50);
	T_GE(count_of(text, "misreads+0x"), 1);
	T_LE(count_of(text, "misreads+0x"), 20);
	free(text);
	return 0;
}

/* Of many panics at the same time not all come with a stack. */
TEST_WORKERS(many_panics)
{
	time_fake();
	run(many_main, NULL);
	time_real();
}

/* --- what a dump says --- */

/* Soon: who it is about may not have come to that. */
static void says(const char *who, const char *what)
{
	bool found;

	do {
		char *text = dumped();

		found = strstr(part_of(text, who), what) != NULL;
		free(text);
		if (!found)
			let_run();
	} while (!found);
}

static int asks_kept(void *arg)
{
	long got;
	int rc = weft_server_ask(*(weft_actor_ref *)arg, KEEP, &got, 0L);

	NO_TAIL_CALL();
	return rc;
}

static int waits_for_end(void *arg)
{
	int rc = weft_actor_wait(*(weft_actor_ref *)arg, NULL);

	NO_TAIL_CALL();
	return rc;
}

static int sends_one(void *arg)
{
	int rc = tell(*(weft_actor_ref *)arg, 1, 1);

	NO_TAIL_CALL();
	return rc;
}

static int child_of_user(void *arg)
{
	return weft_event_wait(arg);
}

static weft_task *named(weft_task_fn *fn, void *arg, const char *name, const char *reason)
{
	weft_task *t;

	T_EQ(weft_go_opts(&t, fn, arg, &(weft_task_opts){.name = name}), 0);
	until_reason(t, reason);
	return t;
}

static int dump_main(void *arg)
{
	weft_event never = {0};
	const weft_child_spec c = {.id = "first", .task = child_of_user, .arg = &never};
	weft_actor_ref ref, full, sup;
	weft_task *t[3];

	(void)arg;
	T_EQ(weft_server_start(&ref, &sums, NULL, &(weft_server_opts){.name = "the bank"}), 0);
	T_EQ(weft_reg_put("its other name", ref), 0);
	T_EQ(weft_server_start(&full, &sums, NULL, &(weft_server_opts){.name = "full", .mailbox = {.cap = 1}}), 0);
	T_EQ(weft_sup_start(&sup, &(weft_sup_opts){.children = &c, .n = 1}), 0);
	t[0] = named(asks_kept, &ref, "asks", "server call");
	until(stats_of(ref).received == 1);
	T_EQ(weft_actor_suspend(ref), 0);
	T_EQ(tell(ref, 1, 1), 0);
	T_EQ(tell(ref, 1, 1), 0);
	t[1] = named(waits_for_end, &ref, "waits", "actor");
	T_EQ(weft_actor_suspend(full), 0);
	T_EQ(tell(full, 1, 1), 0);
	t[2] = named(sends_one, &full, "sends", "mailbox room");
	says(" \"asks\": parked, server call", "\n    waits for the answer of task ");
	says(" \"asks\": parked, server call", " (the bank), named \"the bank\" and 1 more, 2 of 1024 in its mailbox, suspended\n");
	says(" \"waits\": ", "\n    waits for the end of task ");
	says(" \"sends\": ", "\n    waits for room in the mailbox of task ");
	says(" \"sends\": ", " (full), named \"full\", 1 of 1 in its mailbox, suspended\n");
	says(" \"the bank\": ", "\n    actor, named \"the bank\" and 1 more, 2 of 1024 in its mailbox, suspended\n");
	says(" \"first\": ", " child_of_user \"first\": parked, event"); /* what it runs */
	says(" \"first\": ", "\n    actor, 0 of 1024 in its mailbox\n");
	says(" \"supervisor\": ", " actor \"supervisor\": parked, mailbox");
	says(" \"supervisor\": ", "\n    actor, 0 in its mailbox\n");
	T_EQ(weft_actor_kill(ref), 0);
	T_EQ(finish(t[0]), WEFT_EDOWN);
	T_EQ(finish(t[1]), 0);
	T_EQ(weft_actor_kill(full), 0);
	T_EQ(finish(t[2]), WEFT_ESRCH);
	T_EQ(weft_sup_stop(sup), 0);
	return 0;
}

/* Whom a task waits for, under which name it is known, how full its mailbox is. */
TEST_WORKERS(dumps)
{
	run(dump_main, NULL);
}

static int dumps_many_main(void *arg)
{
	weft_task *t[8];
	char *text;

	(void)arg;
	for (long i = 0, n = tap_iters(20); i < n; i++) {
		weft_actor_ref ref = begin("short-lived");

		for (int k = 0; k < 8; k++)
			t[k] = start(k % 2 ? asks_kept : waits_for_end, &ref);
		text = dumped(); /* while they come and go */
		free(text);
		T_EQ(weft_actor_kill(ref), 0);
		text = dumped();
		free(text);
		for (int k = 0; k < 8; k++) {
			int rc = finish(t[k]);

			T_OK(rc == 0 || rc == WEFT_EDOWN || rc == WEFT_ESRCH);
		}
		until(!weft_actor_alive(ref));
	}
	return 0;
}

/* Nothing is read that is not there any more. */
TEST_WORKERS(dumps_meanwhile)
{
	run(dumps_many_main, NULL);
}
