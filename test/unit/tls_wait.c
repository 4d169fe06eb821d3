/* SPDX-License-Identifier: MIT
 *
 * tls_wait.c - the same questions to handshake, read and write of TLS: late, cancelled, closed, each before and during; and whether the connection is as good as before.
 *
 * Each over TCP, whose set_deadline wakes who waits, and over a stream in memory that has none. Small pieces: a call is ended in the middle of a record.
 */
#include "../tls.h"

#include <pthread.h>

enum { MUCH = 2 << 20 };
static unsigned char much[MUCH], got[MUCH + 16];

struct world {
	const struct op *op;
	struct ends e;
	int64_t deadline;
	size_t done; /* of a write */
	size_t sent; /* of much, by all calls */
	bool late;   /* the context's deadline, not the call's */
};

struct op {
	const char *name;
	bool shaken;
	ssize_t (*call)(struct world *w, int64_t deadline);
	void (*then)(struct world *w); /* what was begun comes to its end */
};

static ssize_t call_handshake(struct world *w, int64_t deadline)
{
	return weft_tls_handshake_until(w->e.c, deadline);
}

static void then_handshake(struct world *w)
{
	shake_well(&w->e);
}

static ssize_t call_read(struct world *w, int64_t deadline)
{
	char x[2] = {0, 77};
	ssize_t n = weft_tls_read_until(w->e.c, x, 1, deadline);

	T_EQ(x[1], 77);
	return n;
}

/* The handshake is the read's. */
static void then_first_read(struct world *w)
{
	weft_task *t = start(shake_server, &w->e);

	T_EQ(weft_tls_handshake(w->e.c), 0);
	T_EQ(finish(t), 0);
}

static void then_read(struct world *w)
{
	send_text(w->e.s, "at last");
	get_text(w->e.c, "at last");
}

static ssize_t call_write(struct world *w, int64_t deadline)
{
	ssize_t n = weft_tls_write_until(w->e.c, much + w->sent, MUCH - w->sent, &w->done, deadline);

	T_LT(n, 0);
	w->sent += w->done;
	return n;
}

static ssize_t call_writev(struct world *w, int64_t deadline)
{
	struct iovec v[3] = {{much + w->sent, 100}, {much + w->sent + 100, 50000}, {much + w->sent + 50100, MUCH - w->sent - 50100}};
	ssize_t n = weft_tls_writev_until(w->e.c, v, 3, &w->done, deadline);

	T_LT(n, 0);
	w->sent += w->done;
	return n;
}

static int write_rest(void *arg)
{
	struct world *w = arg;

	T_EQ(weft_tls_write(w->e.c, much + w->sent, MUCH - w->sent, NULL), (ssize_t)(MUCH - w->sent));
	return weft_tls_shutdown(w->e.c, SHUT_WR);
}

/* What was taken has arrived, once, and the rest comes behind it. */
static void then_write(struct world *w)
{
	weft_task *t = start(write_rest, w);
	size_t at = 0;
	ssize_t n;

	while ((n = weft_tls_read(w->e.s, got + at, sizeof got - at)) > 0)
		at += (size_t)n;
	T_EQ(n, 0);
	T_EQ(at, MUCH);
	T_EQ(memcmp(got, much, MUCH), 0);
	T_EQ(finish(t), 0);
}

static const struct op ops[] = {
	{"handshake", false, call_handshake, then_handshake},
	{"first read", false, call_read, then_first_read},
	{"read", true, call_read, then_read},
	{"write", true, call_write, then_write},
	{"writev", true, call_writev, then_write},
};

static void small_buffers(weft_tcp *c)
{
	T_EQ(setsockopt(number_of(c), SOL_SOCKET, SO_SNDBUF, &(int){32768}, sizeof(int)), 0);
	T_EQ(setsockopt(number_of(c), SOL_SOCKET, SO_RCVBUF, &(int){32768}, sizeof(int)), 0);
}

static void world_make(struct world *w, const struct op *op, bool mem)
{
	weft_tls_config *c = client_config((weft_tls_opts){.ca = NULL}), *s = server_config(NULL, (weft_tls_opts){.ca = NULL});

	memset(w, 0, sizeof *w);
	w->op = op;
	mem_room = mem && !op->shaken ? 100 : 0;
	ends_make(&w->e, c, s, mem ? 100 : 0);
	if (!mem) {
		small_buffers(w->e.tc);
		small_buffers(w->e.ts);
	}
	if (op->shaken) {
		shake_well(&w->e);
		tls_talk(&w->e);
	}
	weft_tls_config_free(c);
	weft_tls_config_free(s);
}

/* Every operation, over both kinds of stream. */
#define EACH_WORLD(w)                                                  \
	for (size_t i_ = 0; i_ < 2 * sizeof ops / sizeof ops[0]; i_++) \
		if (world_make(&(w), &ops[i_ / 2], i_ % 2), tap_note("%s, %s", ops[i_ / 2].name, i_ % 2 ? "memory" : "TCP"), true)

static void much_make(void)
{
	for (size_t i = 0; i < MUCH; i++)
		much[i] = (unsigned char)(i * 2654435761u >> 13);
}

/* --- before --- */

static int call_canceled(void *arg)
{
	struct world *w = arg;

	T_EQ(weft_task_cancel(weft_task_self()), 0);
	return (int)w->op->call(w, WEFT_FOREVER);
}

static int at_once(void *arg)
{
	static struct world w;

	(void)arg;
	much_make();
	EACH_WORLD(w)
	{
		T_EQ(w.op->call(&w, 1), WEFT_ETIMEDOUT);
		T_EQ(finish(start(call_canceled, &w)), WEFT_ECANCELED);
		T_EQ(w.sent, 0); /* nothing has happened */
		T_EQ(w.op->call(&w, WEFT_NOW), WEFT_EAGAIN);
		T_EQ(w.op->call(&w, WEFT_NOW), WEFT_EAGAIN);
		w.op->then(&w);
		ends_close(&w.e);
	}
	return 0;
}

TEST_WORKERS(late_cancelled_or_not_at_all)
{
	run(at_once, NULL);
}

static int limit_passed(void *arg)
{
	static struct world w;

	(void)arg;
	much_make();
	EACH_WORLD(w)
	{
		if (!w.e.tc) {
			T_EQ(weft_tls_set_deadline(w.e.c, 1, 1), WEFT_ENOTSUP);
		} else {
			T_EQ(weft_tls_set_deadline(w.e.c, 1, 1), 0);
			T_EQ(w.op->call(&w, WEFT_FOREVER), WEFT_ETIMEDOUT);
			T_EQ(w.op->call(&w, WEFT_FOREVER), WEFT_ETIMEDOUT);
			T_EQ(w.sent, 0);
			T_EQ(weft_tls_set_deadline(w.e.c, WEFT_FOREVER, WEFT_FOREVER), 0);
			w.op->then(&w);
		}
		ends_close(&w.e);
	}
	return 0;
}

TEST(the_connections_deadline_has_passed)
{
	run(limit_passed, NULL);
}

/* --- during --- */

static int caller(void *arg)
{
	struct world *w = arg;

	return (int)w->op->call(w, w->deadline);
}

/* The call, made by a task, which waits. */
static weft_task *caller_waits(struct world *w, int64_t until)
{
	weft_task *t;

	w->deadline = until;
	t = start(caller, w);
	until_parked(t);
	return t;
}

static int canceled(void *arg)
{
	static struct world w;
	weft_task *t;

	(void)arg;
	much_make();
	EACH_WORLD(w)
	{
		for (int i = 0; i < 2; i++) {
			t = caller_waits(&w, WEFT_FOREVER);
			T_EQ(weft_task_cancel(t), 0);
			T_EQ(finish(t), WEFT_ECANCELED);
		}
		w.op->then(&w);
		ends_close(&w.e);
	}
	return 0;
}

TEST_WORKERS(cancelled_while_it_waits)
{
	run(canceled, NULL);
}

static int times_out(void *arg)
{
	static struct world w;
	weft_task *t;

	(void)arg;
	time_fake();
	much_make();
	EACH_WORLD(w)
	{
		for (int i = 0; i < 2; i++) {
			t = caller_waits(&w, weft_in(3600 * WEFT_SEC));
			time_move(3601 * WEFT_SEC);
			T_EQ(finish(t), WEFT_ETIMEDOUT);
		}
		w.op->then(&w);
		ends_close(&w.e);
	}
	time_real(); /* once: the wheels do not go back */
	return 0;
}

TEST_WORKERS(late_while_it_waits)
{
	run(times_out, NULL);
}

static int limit_moves(void *arg)
{
	static struct world w;
	weft_task *t;

	(void)arg;
	much_make();
	EACH_WORLD(w)
	{
		if (w.e.tc) {
			t = caller_waits(&w, WEFT_FOREVER);
			T_EQ(weft_tls_set_deadline(w.e.c, 1, 1), 0);
			T_EQ(finish(t), WEFT_ETIMEDOUT);
			T_EQ(weft_tls_set_deadline(w.e.c, WEFT_FOREVER, WEFT_FOREVER), 0);
			w.op->then(&w);
		}
		ends_close(&w.e);
	}
	return 0;
}

TEST_WORKERS(the_connections_deadline_is_moved)
{
	run(limit_moves, NULL);
}

static int closed(void *arg)
{
	static struct world w, each[3];
	weft_task *t[3];

	(void)arg;
	much_make();
	EACH_WORLD(w)
	{
		w.deadline = WEFT_FOREVER;
		for (int i = 0; i < 3; i++)
			each[i] = w;        /* what is in w.e.mem is used through w alone */
		for (int i = 0; i < 3; i++) /* the second and third wait for their turns */
			t[i] = start(caller, &each[i]);
		for (int i = 0; i < 3; i++)
			until_parked(t[i]);
		T_EQ(weft_tls_close(w.e.c), 0);
		for (int i = 0; i < 3; i++)
			T_EQ(finish(t[i]), WEFT_ECLOSED);
		T_EQ(weft_tls_close(w.e.s), 0);
	}
	return 0;
}

TEST_WORKERS(closed_while_it_waits)
{
	run(closed, NULL);
}

/* A reader and a writer at once. */
static int closes_both(void *arg)
{
	static struct world r, w;
	weft_task *t[2];

	(void)arg;
	for (int i = 0; i < 2; i++) {
		world_make(&w, &ops[3], i);
		r = w;
		r.op = &ops[2];
		r.deadline = w.deadline = WEFT_FOREVER;
		t[0] = start(caller, &r);
		t[1] = start(caller, &w);
		until_parked(t[0]);
		until_parked(t[1]);
		T_EQ(weft_tls_close(w.e.c), 0);
		T_EQ(finish(t[0]), WEFT_ECLOSED);
		T_EQ(finish(t[1]), WEFT_ECLOSED);
		T_EQ(weft_tls_close(w.e.s), 0);
	}
	return 0;
}

TEST_WORKERS(a_close_wakes_reader_and_writer)
{
	run(closes_both, NULL);
}

/* Who is cancelled may still close, and the peer hears of it. */
static int close_canceled(void *arg)
{
	struct ends *e = arg;

	T_EQ(weft_task_cancel(weft_task_self()), 0);
	T_EQ(weft_tls_version(e->c), WEFT_TLS_1_3); /* and say whom it was */
	T_EQ(weft_tls_key_update(e->c, false), WEFT_ECANCELED);
	return weft_tls_close(e->c);
}

static int closes_canceled(void *arg)
{
	struct ends e;
	char x;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		ends_ready(&e, 0, i ? 100 : 0);
		T_EQ(finish(start(close_canceled, &e)), 0);
		T_EQ(weft_tls_read(e.s, &x, 1), 0);
		T_EQ(weft_tls_close(e.s), 0);
	}
	return 0;
}

TEST_WORKERS(a_cancelled_task_closes)
{
	run(closes_canceled, NULL);
}

/* A writer that waits for room does not keep the reader from reading. */
static int reads_meanwhile(void *arg)
{
	static struct world w;
	weft_task *t;

	(void)arg;
	much_make();
	for (int i = 0; i < 2; i++) {
		world_make(&w, &ops[3], i);
		t = caller_waits(&w, WEFT_FOREVER);
		for (int k = 0; k < 20; k++) {
			T_EQ(weft_tls_key_update(w.e.s, true), 0); /* each wants an answer, which has to wait */
			send_text(w.e.s, "are you listening");
			get_text(w.e.c, "are you listening");
		}
		T_EQ(weft_task_cancel(t), 0);
		T_EQ(finish(t), WEFT_ECANCELED);
		then_write(&w);
		ends_close(&w.e);
	}
	return 0;
}

TEST_WORKERS(a_writer_that_waits_keeps_nobody_from_reading)
{
	run(reads_meanwhile, NULL);
}

static int reads_one(void *arg)
{
	char x;

	return (int)weft_tls_read(arg, &x, 1);
}

/* A reader makes an answer while the writer has the turn; then the writer is cancelled. */
struct outlived {
	struct ends e;
	size_t n; /* bytes on their way then */
};

static void answer_and_cancel(void *arg)
{
	struct outlived *o = arg;

	o->e.mem.end[0].sent = NULL;  /* once */
	for (int i = 0; i < 2; i++) { /* the first makes it due, the next call makes it */
		T_EQ(weft_tls_key_update(o->e.s, true), 0);
		send_text(o->e.s, "x");
		T_EQ(finish(start(reads_one, o->e.c)), 1);
	}
	o->n = o->e.mem.flow[1].n;
	T_EQ(weft_task_cancel(weft_task_self()), 0);
}

static int writes_and_is_canceled(void *arg)
{
	struct outlived *o = arg;
	size_t done;

	o->e.mem.end[0].arg = o;
	o->e.mem.end[0].sent = answer_and_cancel;
	T_EQ(weft_tls_write(o->e.c, "hello", 5, &done), WEFT_ECANCELED);
	T_EQ(done, 5);
	return 0;
}

static int answers_all_the_same(void *arg)
{
	static struct outlived o;

	(void)arg;
	ends_ready(&o.e, WEFT_TLS_1_3, sizeof o.e.mem.flow[0].buf);
	T_EQ(finish(start(writes_and_is_canceled, &o)), 0);
	T_GT(o.e.mem.flow[1].n, o.n);
	get_text(o.e.s, "hello");
	tls_talk(&o.e);
	ends_close(&o.e);
	return 0;
}

TEST_WORKERS(a_cancelled_writer_sends_what_a_reader_has_left_to_it)
{
	run(answers_all_the_same, NULL);
}

/* A peer that wants ever more answers and takes none: a read sends them first, but waits no longer than it may. */
static int asks_too_much(void *arg)
{
	static struct ends e;
	int rc = 1;
	char x;

	(void)arg;
	ends_ready(&e, WEFT_TLS_1_3, sizeof e.mem.flow[0].buf);
	for (int i = 0; i < 20000 && rc == 1; i++) {
		T_EQ(weft_tls_key_update(e.s, true), 0);
		send_text(e.s, "x");
		rc = (int)weft_tls_read_until(e.c, &x, 1, WEFT_NOW);
	}
	T_EQ(rc, WEFT_EAGAIN);
	T_EQ(weft_tls_read_until(e.c, &x, 1, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	ends_close(&e);
	return 0;
}

TEST(a_read_that_has_to_send_first_keeps_its_deadline)
{
	run(asks_too_much, NULL);
}

/* Late while it shuts down: it goes on with the next. */
static int drains(void *arg)
{
	struct world *w = arg;
	size_t at = 0;
	ssize_t n;

	while ((n = weft_tls_read(w->e.s, got + at, sizeof got - at)) > 0)
		at += (size_t)n;
	T_EQ(at, w->sent);
	T_EQ(memcmp(got, much, at), 0);
	return (int)n;
}

static int shuts_late(void *arg)
{
	static struct world w;
	weft_task *t;

	(void)arg;
	much_make();
	for (int i = 0; i < 2; i++) {
		world_make(&w, &ops[3], i);
		T_EQ(call_write(&w, WEFT_NOW), WEFT_EAGAIN);
		T_GT(w.sent, 0);
		T_EQ(weft_tls_shutdown_until(w.e.c, SHUT_WR, 1), WEFT_ETIMEDOUT);
		T_EQ(weft_tls_shutdown_until(w.e.c, SHUT_WR, WEFT_NOW), WEFT_EAGAIN);
		T_EQ(weft_tls_write(w.e.c, "x", 1, NULL), WEFT_EPIPE);
		t = start(drains, &w);
		T_EQ(weft_tls_shutdown(w.e.c, SHUT_WR), 0);
		T_EQ(finish(t), 0);
		ends_close(&w.e);
	}
	return 0;
}

TEST(a_shutdown_that_is_late)
{
	run(shuts_late, NULL);
}

/* --- threads --- */

struct outside {
	struct ends e;
	ATOMIC(int) done;
};

static void *from_outside(void *arg)
{
	struct outside *o = arg;
	char x;

	send_text(o->e.c, "from a thread");
	get_text(o->e.c, "from a task");
	T_EQ(weft_tls_read(o->e.c, &x, 1), 0);
	T_EQ(weft_tls_close(o->e.c), 0);
	store_release(&o->done, 1); /* pairs with load_acquire in outside */
	return NULL;
}

static int outside(void *arg)
{
	weft_tls_config *c = client_config((weft_tls_opts){.ca = NULL}), *s = server_config(NULL, (weft_tls_opts){.ca = NULL});
	struct outside o;
	pthread_t thread;
	char x;

	(void)arg;
	store_relaxed(&o.done, 0); /* before there is a thread */
	ends_make(&o.e, c, s, 0);
	T_EQ(pthread_create(&thread, NULL, from_outside, &o), 0);
	get_text(o.e.s, "from a thread");
	send_text(o.e.s, "from a task");
	T_EQ(weft_tls_shutdown(o.e.s, SHUT_WR), 0);
	T_EQ(weft_tls_read(o.e.s, &x, 1), 0);
	T_EQ(weft_tls_close(o.e.s), 0);
	until(load_acquire(&o.done)); /* pairs with store_release in from_outside */
	T_EQ(pthread_join(thread, NULL), 0);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
	return 0;
}

TEST_WORKERS(threads_outside_use_it_too)
{
	run(outside, NULL);
}
