/* SPDX-License-Identifier: MIT
 *
 * bus.c - actor/bus.c: who hears of an event; handlers that come, go, change places, fail; their owners.
 */
#include "actors.h"

#include "weft/bus.h"

enum { NOTE = 1, ASK, FAIL, DONE, PANIC, SILENT };

/* What all handlers of a test write down, in one go: a letter a handler, a digit an event. */
struct book {
	char text[200];
	size_t len;
};

struct scribe {
	struct book *book;
	char sign;
	int rc;         /* what event returns for FAIL */
	bool bad_start; /* init fails */
	bool panics;    /* in terminate */
	bool exits;     /* the same */
	long heard;
};

static void note(struct scribe *s, char what)
{
	if (s->book->len + 2 < sizeof s->book->text) {
		s->book->text[s->book->len++] = s->sign;
		s->book->text[s->book->len++] = what;
	}
	s->book->text[s->book->len] = 0;
}

static int init(void *state)
{
	struct scribe *s = state;

	if (s->bad_start && s->rc == WEFT_EPANIC)
		weft_task_panic("in init");
	if (s->bad_start)
		return -77;
	note(s, '+');
	return 0;
}

static int event(void *state, weft_msg *m)
{
	struct scribe *s = state;

	s->heard++;
	note(s, (char)('0' + m->tag));
	if (m->tag == FAIL && s->sign == *(char *)m->data)
		return -5;
	if (m->tag == DONE && s->sign == *(char *)m->data)
		return WEFT_BUS_REMOVE;
	if (m->tag == PANIC && s->sign == *(char *)m->data)
		weft_task_panic("as told");
	return 0;
}

static int info(void *state, weft_msg *m)
{
	note(state, m->kind == WEFT_MSG_USER ? 'i' : 'd');
	return 0;
}

static int on_call(void *state, weft_msg *m, weft_from from)
{
	struct scribe *s = state;
	weft_from same = weft_msg_from(m);

	T_OK(!memcmp(&same, &from, sizeof from));
	switch (m->tag) {
	case ASK:
		T_EQ(m->len % sizeof(long), 0);
		T_EQ((uintptr_t)m->data % 16, 0);
		return weft_server_answer(from, s->heard + *(long *)m->data);
	case FAIL:
		return -6;
	case DONE:
		(void)weft_server_answer(from, -1L);
		return WEFT_BUS_REMOVE;
	case PANIC:
		weft_task_panic("as asked");
	default: /* of itself */
		T_EQ(weft_bus_remove(weft_actor_self(), 1), WEFT_EDEADLK);
		T_EQ(weft_bus_notify_sync(weft_actor_self(), 1, NULL, 0), WEFT_EDEADLK);
		return weft_server_answer(from, -2L);
	}
}

static void terminate(void *state, enum weft_bus_why why, int code)
{
	static const char signs[] = {'r', 'd', 'f', 's', 'o', 'x'};
	struct scribe *s = state;

	T_EQ(code != 0, why == WEFT_BUS_FAILED);
	note(s, signs[why]);
	if (s->panics)
		weft_task_panic("in terminate");
	if (s->exits)
		weft_task_exit(0);
}

static const weft_bus_vt vt = {
	.size = sizeof(struct scribe), .init = init, .event = event, .info = info, .call = on_call, .terminate = terminate};

static int add(weft_actor_ref bus, uint64_t id, struct book *b, char sign)
{
	return weft_bus_add(bus, id, &vt, &(struct scribe){.book = b, .sign = sign});
}

/* All that has been sent so far has been heard; what is written since. */
static void written(weft_actor_ref bus, struct book *b, const char *text)
{
	T_GE(weft_bus_ids(bus, NULL, 0), 0);
	T_STR_EQ(b->text, text);
	b->len = 0;
	b->text[0] = 0;
}

static void notify(weft_actor_ref bus, uint64_t tag, char whom)
{
	T_EQ(weft_bus_notify(bus, tag, &whom, 1), 0);
}

/* --- events --- */

static int events_main(void *arg)
{
	static const weft_bus_vt none = {.size = 0};
	static const weft_server_vt no_bus = {.size = 0};
	struct book b = {.text = ""};
	weft_actor_ref bus, plain;
	uint64_t ids[4];
	char large[3000] = "x";
	long n;

	(void)arg;
	T_EQ(weft_bus_start(&bus, NULL), 0);
	notify(bus, NOTE, 'a'); /* to nobody */
	T_EQ(weft_bus_notify_sync(bus, NOTE, NULL, 0), 0);
	T_EQ(add(bus, 1, &b, 'a'), 0);
	T_EQ(add(bus, 2, &b, 'b'), 0);
	T_EQ(add(bus, 3, &b, 'c'), 0);
	T_EQ(add(bus, 2, &b, 'x'), WEFT_EEXIST);
	written(bus, &b, "a+b+c+");
	notify(bus, NOTE, 0);
	notify(bus, ASK, 0);
	written(bus, &b, "a1b1c1a2b2c2");
	T_EQ(weft_bus_notify_sync(bus, NOTE, large, sizeof large), 0);
	T_STR_EQ(b.text, "a1b1c1"); /* at once */
	T_EQ(weft_bus_notify_sync_until(bus, NOTE, large, sizeof large, weft_in(3600 * WEFT_SEC)), 0);
	T_EQ(weft_bus_notify_until(bus, NOTE, large, sizeof large, weft_in(3600 * WEFT_SEC)), 0);
	T_EQ(weft_actor_send(bus, NOTE, NULL, 0, 0), 0);
	written(bus, &b, "a1b1c1a1b1c1a1b1c1aibici");

	T_EQ(weft_bus_ids(bus, ids, 4), 3);
	T_EQ(ids[0] * 100 + ids[1] * 10 + ids[2], 123);
	T_EQ(weft_bus_ids_until(bus, ids, 2, weft_in(3600 * WEFT_SEC)), 2);
	T_EQ(weft_bus_ids(bus, NULL, 2), WEFT_EINVAL);

	T_EQ(weft_bus_call(bus, 2, ASK, &(long){1000}, sizeof(long), &n, sizeof n), sizeof n);
	T_EQ(n, 1005);
	T_EQ(weft_bus_call_until(bus, 2, ASK, large, 2000, &n, sizeof n, weft_in(3600 * WEFT_SEC)), sizeof n);
	T_EQ(weft_bus_call(bus, 2, SILENT, NULL, 0, &n, sizeof n), sizeof n);
	T_EQ(n, -2);
	T_EQ(weft_bus_call(bus, 9, ASK, NULL, 0, &n, sizeof n), WEFT_ENOENT);
	T_EQ(weft_bus_call(bus, 2, ASK, NULL, 1, &n, sizeof n), WEFT_EINVAL);
	T_EQ(weft_bus_call(bus, 2, ASK, large, (size_t)1 << 30, &n, sizeof n), WEFT_EMSGSIZE);
	T_EQ(weft_bus_call_until(bus, 2, ASK, NULL, 0, &n, sizeof n, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_bus_add(bus, 5, &none, large), 0);
	T_EQ(weft_bus_call(bus, 5, ASK, NULL, 0, &n, sizeof n), WEFT_ENOTSUP);
	T_EQ(weft_bus_add(bus, 6, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_bus_add(bus, 6, &(weft_bus_vt){.size = (size_t)1 << 40}, NULL), WEFT_EINVAL);
	T_EQ(weft_bus_add_until(bus, 6, &vt, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_bus_add_supervised(bus, 6, &vt, NULL), WEFT_EINVAL);
	T_EQ(weft_bus_add(bus, 6, &vt, &(struct scribe){.book = &b, .bad_start = true}), -77);
	T_EQ(weft_bus_add(bus, 6, &vt, &(struct scribe){.book = &b, .bad_start = true, .rc = WEFT_EPANIC}), WEFT_EPANIC);
	T_EQ(weft_bus_remove(bus, 6), WEFT_ENOENT);
	T_EQ(weft_bus_remove_until(bus, 2, weft_in(3600 * WEFT_SEC)), 0);
	notify(bus, NOTE, 0);
	written(bus, &b, "bra1c1");
	T_EQ(weft_actor_stop_wait(bus), 0);
	T_STR_EQ(b.text, "axcx");
	T_EQ(weft_bus_notify(bus, NOTE, NULL, 0), WEFT_ESRCH);
	T_EQ(weft_bus_remove(bus, 1), WEFT_ESRCH);

	T_EQ(weft_server_start(&plain, &no_bus, NULL, NULL), 0);
	T_EQ(weft_bus_remove(plain, 1), WEFT_EINVAL);
	T_EQ(weft_bus_add(plain, 1, &vt, NULL), WEFT_EINVAL);
	T_EQ(weft_actor_stop_wait(plain), 0);
	return 0;
}

/* All handlers hear all events, in order; one is called, added, removed. */
TEST_WORKERS(events)
{
	run(events_main, NULL);
}

static int start_main(void *arg)
{
	weft_actor_ref bus;
	char text[70];

	(void)arg;
	memset(text, 'x', sizeof text);
	text[64] = 0;
	T_EQ(weft_bus_start(&bus, &(weft_server_opts){.name = ""}), WEFT_EINVAL);
	T_EQ(weft_bus_start(&bus, &(weft_server_opts){.name = text}), WEFT_ENAMETOOLONG);
	T_EQ(weft_bus_start(&bus, &(weft_server_opts){.name = "bus"}), 0);
	T_EQ(weft_bus_start_until(NULL, &(weft_server_opts){.name = "bus"}, weft_in(3600 * WEFT_SEC)), WEFT_EEXIST);
	T_EQ(weft_reg_call("bus", NOTE, NULL, 0, NULL, 0), 0);
	T_EQ(weft_actor_stop_wait(bus), 0);
	return 0;
}

/* Names. */
TEST_WORKERS(starting)
{
	run(start_main, NULL);
}

/* --- failures --- */

static int fails_main(void *arg)
{
	struct book b = {.text = ""};
	weft_actor_ref bus;
	uint64_t ids[6];
	long n = 0;

	(void)arg;
	T_EQ(weft_bus_start(&bus, NULL), 0);
	for (int i = 0; i < 6; i++)
		T_EQ(add(bus, (uint64_t)i, &b, (char)('a' + i)), 0);
	written(bus, &b, "a+b+c+d+e+f+");
	notify(bus, FAIL, 'b');
	written(bus, &b, "a3b3bfc3d3e3f3");
	notify(bus, PANIC, 'a');
	written(bus, &b, "a5afc5d5e5f5");
	notify(bus, DONE, 'f');
	written(bus, &b, "c4d4e4f4fd");
	T_EQ(weft_bus_call(bus, 2, FAIL, NULL, 0, NULL, 0), -6);
	T_EQ(weft_bus_call(bus, 3, PANIC, NULL, 0, NULL, 0), WEFT_EPANIC);
	T_EQ(weft_bus_call(bus, 4, DONE, NULL, 0, &n, sizeof n), sizeof n);
	T_EQ(n, -1);
	written(bus, &b, "cfdfed");
	T_EQ(weft_bus_ids(bus, ids, 6), 0);
	T_EQ(weft_bus_add(bus, 1, &vt, &(struct scribe){.book = &b, .sign = 'a', .panics = true}), 0);
	T_EQ(weft_bus_remove(bus, 1), 0);
	notify(bus, NOTE, 0);
	written(bus, &b, "a+ar");
	T_EQ(weft_actor_stop_wait(bus), 0);
	return 0;
}

/* Who fails is removed; the others notice nothing. */
TEST_WORKERS(fails)
{
	run(fails_main, NULL);
}

/* --- changing places --- */

static int convert(const void *old, void *fresh, void *arg)
{
	const struct scribe *o = old;
	struct scribe *f = fresh;

	T_EQ(f->heard, 0);
	*f = *o;
	f->sign = *(char *)arg;
	if (f->sign == '!')
		return -9;
	if (f->sign == '?')
		weft_task_panic("in conv");
	f->bad_start = f->sign == '-';
	return 0;
}

static int swap_main(void *arg)
{
	static const weft_bus_vt none = {.size = 0};
	struct book b = {.text = ""};
	weft_actor_ref bus;
	uint64_t ids[4];
	long n;

	(void)arg;
	T_EQ(weft_bus_start(&bus, NULL), 0);
	for (int i = 1; i <= 3; i++)
		T_EQ(add(bus, (uint64_t)i, &b, (char)('a' + i - 1)), 0);
	notify(bus, NOTE, 0);
	T_EQ(weft_bus_swap(bus, 2, 7, &vt, convert, (char[]){"z"}), 0);
	notify(bus, NOTE, 0);
	written(bus, &b, "a+b+c+a1b1c1z+bsa1z1c1"); /* in its place */
	T_EQ(weft_bus_call(bus, 7, ASK, &(long){0}, sizeof(long), &n, sizeof n), sizeof n);
	T_EQ(n, 2);
	T_EQ(weft_bus_swap(bus, 2, 7, &vt, convert, (char[]){"y"}), WEFT_ENOENT);
	T_EQ(weft_bus_swap(bus, 7, 1, &vt, convert, (char[]){"y"}), WEFT_EEXIST);
	T_EQ(weft_bus_swap(bus, 7, 8, &vt, convert, (char[]){"!"}), -9);
	T_EQ(weft_bus_swap(bus, 7, 8, &vt, convert, (char[]){"?"}), WEFT_EPANIC);
	T_EQ(weft_bus_swap(bus, 7, 8, &vt, convert, (char[]){"-"}), -77);
	T_EQ(weft_bus_swap(bus, 7, 8, NULL, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_bus_swap(bus, 7, 8, &none, convert, NULL), WEFT_EINVAL);
	notify(bus, NOTE, 0);
	written(bus, &b, "a1z1c1");                                                                     /* all as it was */
	T_EQ(weft_bus_swap_until(bus, 7, 7, &vt, convert, (char[]){"y"}, weft_in(3600 * WEFT_SEC)), 0); /* the same id */
	T_EQ(weft_bus_swap(bus, 3, 4, &none, NULL, NULL), 0);
	T_EQ(weft_bus_ids(bus, ids, 4), 3);
	T_EQ(ids[0] * 100 + ids[1] * 10 + ids[2], 174);
	written(bus, &b, "y+zscs");
	T_EQ(weft_actor_kill(bus), 0);
	(void)weft_actor_wait(bus, NULL);
	T_STR_EQ(b.text, ""); /* no last words */
	return 0;
}

/* Another handler takes the place of one, or nothing changes. */
TEST_WORKERS(swap)
{
	run(swap_main, NULL);
}

/* --- owners --- */

static void gone(weft_actor_ref bus, uint64_t id, enum weft_bus_why why, int code)
{
	weft_msg *m;
	weft_bus_gone *g;

	T_EQ(weft_actor_recv(&m), 0);
	T_EQ(m->tag, WEFT_BUS_GONE);
	T_OK(weft_actor_same(m->from, bus));
	g = weft_msg_as(m, weft_bus_gone);
	T_EQ(g->id, id);
	T_EQ(g->why, why);
	T_EQ(g->code, code);
	weft_msg_free(m);
}

struct owner {
	weft_actor_ref bus;
	struct book *book;
	int rc;
};

static int owner_main(void *state)
{
	struct owner *o = state;
	weft_msg *m;

	for (uint64_t id = 100; id < 102; id++)
		o->rc |= weft_bus_add_supervised(o->bus, id, &vt, &(struct scribe){.book = o->book, .sign = (char)('p' + id - 100)});
	return weft_actor_recv(&m);
}

static int supervised(weft_actor_ref bus, uint64_t id, struct book *b, char sign)
{
	return weft_bus_add_supervised_until(bus, id, &vt, &(struct scribe){.book = b, .sign = sign}, weft_in(3600 * WEFT_SEC));
}

static int owners_main(void *arg)
{
	struct book b = {.text = ""};
	weft_actor_ref bus, me, other;
	struct owner o;
	weft_msg *m;

	(void)arg;
	T_EQ(weft_actor_attach(&me, &(weft_mailbox_opts){.cap = 1}), 0);
	T_EQ(weft_bus_start(&bus, NULL), 0);
	for (int i = 1; i <= 5; i++)
		T_EQ(supervised(bus, (uint64_t)i, &b, (char)('a' + i - 1)), 0);
	T_EQ(supervised(bus, 1, &b, 'x'), WEFT_EEXIST);
	T_EQ(weft_bus_add_supervised(bus, 9, &vt, &(struct scribe){.book = &b, .bad_start = true}), -77);
	T_EQ(stats_of(me).relations, 5);
	written(bus, &b, "a+b+c+d+e+");
	notify(bus, FAIL, 'a');
	notify(bus, DONE, 'b');
	T_EQ(weft_bus_remove(bus, 3), 0);
	T_EQ(weft_bus_swap(bus, 4, 44, &vt, convert, (char[]){"y"}), 0); /* tells nobody */
	until(stats_of(me).len == 3);                                    /* more than it holds */
	gone(bus, 1, WEFT_BUS_FAILED, -5);
	gone(bus, 2, WEFT_BUS_DONE, 0);
	gone(bus, 3, WEFT_BUS_REMOVED, 0);
	T_EQ(stats_of(me).relations, 2);
	written(bus, &b, "a3afb3c3d3e3b4bdc4d4e4cry+ds");

	o = (struct owner){.bus = bus, .book = &b}; /* an owner ends */
	T_EQ(weft_actor_start(&other, &(weft_actor_opts){.run = owner_main, .state = &o}), 0);
	until(stats_of(bus).relations == 4);
	T_EQ(weft_bus_notify_sync(bus, NOTE, NULL, 0), 0);
	written(bus, &b, "p+q+y1e1p1q1");
	T_EQ(weft_actor_kill(other), 0);
	(void)weft_actor_wait(other, NULL);
	T_EQ(o.rc, 0); /* its calls were answered before */
	until(stats_of(bus).relations == 2);
	while (weft_bus_ids(bus, (uint64_t[4]){0}, 4) != 2)
		let_run();
	written(bus, &b, "poqo");

	T_EQ(weft_actor_stop_wait(bus), 0);
	gone(bus, 44, WEFT_BUS_STOPPED, 0);
	gone(bus, 5, WEFT_BUS_STOPPED, 0);
	T_STR_EQ(b.text, "yxex");
	T_EQ(stats_of(me).relations, 0);
	T_EQ(weft_actor_recv_until(&m, WEFT_NOW), WEFT_EAGAIN);
	return 0;
}

static int killed_main(void *arg)
{
	struct book b = {.text = ""};
	weft_actor_ref bus;
	weft_msg *m;

	(void)arg;
	T_EQ(weft_actor_attach(NULL, NULL), 0);
	T_EQ(weft_bus_start(&bus, NULL), 0);
	T_EQ(supervised(bus, 1, &b, 'a'), 0);
	T_EQ(add(bus, 2, &b, 'b'), 0);
	T_EQ(supervised(bus, 3, &b, 'c'), 0);
	T_EQ(weft_actor_kill(bus), 0);
	gone(bus, 1, WEFT_BUS_STOPPED, 0);
	gone(bus, 3, WEFT_BUS_STOPPED, 0);
	(void)weft_actor_wait(bus, NULL);
	T_STR_EQ(b.text, "a+b+c+"); /* no last words */

	T_EQ(weft_bus_start(&bus, NULL), 0);
	b.len = 0;
	for (int i = 1; i <= 4; i++) {
		struct scribe s = {.book = &b, .sign = (char)('a' + i - 1), .exits = i & 1};

		T_EQ(weft_bus_add_supervised(bus, (uint64_t)i, &vt, &s), 0);
	}
	T_EQ(weft_bus_remove(bus, 1), WEFT_EDOWN); /* it ends the manager, and the third one that one's end */
	(void)weft_actor_wait(bus, NULL);
	gone(bus, 1, WEFT_BUS_REMOVED, 0);
	for (int i = 2; i <= 4; i++)
		gone(bus, (uint64_t)i, WEFT_BUS_STOPPED, 0);
	T_STR_EQ(b.text, "a+b+c+d+arbxcx");
	T_EQ(weft_actor_recv_until(&m, WEFT_NOW), WEFT_EAGAIN);
	return 0;
}

/* An owner is told of its handlers' ends, and they of its, however the manager ends. */
TEST_WORKERS(owners)
{
	run(owners_main, NULL);
	run(killed_main, NULL);
}

/* --- the mailbox --- */

struct caller {
	weft_actor_ref bus;
	int rc;
};

static int caller_main(void *arg)
{
	static const char large[2000];
	struct caller *c = arg;
	long n;

	c->rc = weft_bus_call(c->bus, 1, ASK, large, sizeof large, &n, sizeof n);
	return 0;
}

static weft_task *call_begin(struct caller *c, weft_actor_ref bus)
{
	weft_task *t;

	*c = (struct caller){.bus = bus};
	t = start(caller_main, c);
	until_reason(t, "server call");
	return t;
}

static int full_main(void *arg)
{
	struct book b = {.text = ""};
	struct caller c[3];
	weft_actor_ref bus;
	weft_task *t[3];

	(void)arg;
	for (enum weft_overflow o = WEFT_OVERFLOW_BLOCK; o <= WEFT_OVERFLOW_FAIL; o++) {
		T_EQ(weft_bus_start(&bus, &(weft_server_opts){.mailbox = {.cap = 2, .overflow = o}}), 0);
		T_EQ(add(bus, 1, &b, 'a'), 0);
		T_EQ(weft_actor_suspend(bus), 0);
		for (int i = 0; i < 2; i++)
			t[i] = call_begin(&c[i], bus);
		weft_task_cancel(t[0]); /* its letter stays */
		T_EQ(finish(t[0]), 0);
		T_EQ(c[0].rc, WEFT_ECANCELED);
		T_EQ(stats_of(bus).len, 2);
		if (o == WEFT_OVERFLOW_BLOCK) {
			t[2] = call_begin(&c[2], bus);
			T_EQ(stats_of(bus).senders, 1);
			T_EQ(stats_of(bus).len, 2);
		} else {
			T_EQ(weft_bus_add_until(bus, 2, &vt, NULL, weft_in(3600 * WEFT_SEC)), WEFT_ENOBUFS);
		}
		T_EQ(weft_actor_resume(bus), 0);
		for (int i = 1; i < (o == WEFT_OVERFLOW_BLOCK ? 3 : 2); i++) {
			T_EQ(finish(t[i]), 0);
			T_EQ(c[i].rc, sizeof(long));
		}
		T_EQ(stats_of(bus).len, 0);
		T_EQ(weft_actor_stop_wait(bus), 0);
	}
	return 0;
}

/* Calls of a manager take places in its mailbox. */
TEST_WORKERS(full)
{
	run(full_main, NULL);
}

static struct caller last; /* its task is left behind */

static int down_main(void *arg)
{
	weft_actor_ref bus;

	(void)arg;
	T_EQ(weft_bus_start(&bus, NULL), 0);
	T_EQ(weft_actor_suspend(bus), 0);
	weft_task_detach(call_begin(&last, bus));
	return 0;
}

/* The runtime goes down while one waits for its answer: nothing is left. */
TEST_WORKERS(down)
{
	ends_with_main();
	run(down_main, NULL);
}
