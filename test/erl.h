/* SPDX-License-Identifier: MIT
 *
 * erl.h - for tests of nodes: terms as text, and actors of ours that others speak with.
 *
 *   TERM("{add,~i}", 5)      a term, made by ei_x_format; free it by ei_x_free
 *   text_of(p)               a term as text, valid until the next call
 *   book_open(&d)            an epmd of the test's own, on d.port; book_close
 *   store_start()            a server named "store": see there
 *   ear_start(e)             an actor named "ear", which writes down what it hears
 */
#ifndef WEFT_TEST_ERL_H
#define WEFT_TEST_ERL_H

#include "net.h"

#include "erl/erl.h"
#include "weft/erl.h"
#include "weft/lock.h"
#include "weft/registry.h"
#include "weft/server.h"

#define TERM(...)                                                       \
	__extension__({                                                 \
		ei_x_buff term__ = term_begin();                        \
		term_is(ei_x_format_wo_ver(&term__, __VA_ARGS__) == 0); \
		term__;                                                 \
	})

static inline ei_x_buff term_begin(void)
{
	ei_x_buff x;

	T_EQ(ei_x_new(&x), 0);
	return x;
}

static inline void term_is(bool fine)
{
	T_OK(fine);
}

static inline const char *text_of(const char *term, char *buf, size_t n)
{
	char *text = NULL;
	int at = 0;

	T_GE(ei_s_print_term(&text, term, &at), 0);
	snprintf(buf, n, "%s", text);
	free(text);
	return buf;
}

#define T_TERM(p, wanted)                                                \
	do {                                                             \
		char text__[512];                                        \
		T_STR_EQ(text_of((p), text__, sizeof text__), (wanted)); \
	} while (0)

/* --- an epmd --- */

struct book {
	char name[64];
	int port;
};

struct epmd {
	weft_tcp_listener *l;
	weft_task *task;
	weft_mutex lock;
	struct book book[16];
	int count, port;
};

struct asker {
	struct epmd *d;
	weft_tcp *c;
};

static inline int reads_n(weft_tcp *c, unsigned char *p, size_t n)
{
	return weft__erl_read(c, p, n, WEFT_FOREVER);
}

static inline int book_find(struct epmd *d, const char *name)
{
	for (int i = 0; i < d->count; i++) {
		if (strcmp(d->book[i].name, name) == 0)
			return i;
	}
	return -1;
}

static inline void registers(struct asker *a, const unsigned char *q)
{
	struct epmd *d = a->d;
	unsigned char r[6] = {118, 0, 0, 0, 0, 7};
	char name[64] = "", x;
	int i;

	memcpy(name, q + 11, (size_t)(q[9] << 8 | q[10]));
	T_EQ(weft_mutex_lock(&d->lock), 0);
	r[1] = book_find(d, name) >= 0;
	if (!r[1]) {
		memcpy(d->book[d->count].name, name, sizeof name);
		d->book[d->count++].port = q[1] << 8 | q[2];
	}
	weft_mutex_unlock(&d->lock);
	if (weft__erl_write(a->c, r, 6, WEFT_FOREVER) != 0 || r[1])
		return;
	while (weft_tcp_read(a->c, &x, 1) > 0)
		;
	WEFT_WITH_SHIELD
	{
		T_EQ(weft_mutex_lock(&d->lock), 0);
		i = book_find(d, name);
		T_GE(i, 0);
		d->book[i] = d->book[--d->count];
		weft_mutex_unlock(&d->lock);
	}
}

static inline void tells(struct asker *a, const char *name)
{
	unsigned char r[14] = {119, 1, 0, 0, 72, 0, 0, 6, 0, 6};
	int i;

	T_EQ(weft_mutex_lock(&a->d->lock), 0);
	i = book_find(a->d, name);
	if (i >= 0) {
		r[1] = 0;
		r[2] = (unsigned char)(a->d->book[i].port >> 8);
		r[3] = (unsigned char)a->d->book[i].port;
	}
	weft_mutex_unlock(&a->d->lock);
	(void)weft__erl_write(a->c, r, i >= 0 ? sizeof r : 2, WEFT_FOREVER);
}

static inline int epmd_answers(void *arg)
{
	struct asker *a = arg;
	unsigned char len[2], q[128] = {0};

	if (reads_n(a->c, len, 2) == 0 && reads_n(a->c, q, (size_t)(len[0] << 8 | len[1])) == 0) {
		if (q[0] == 120)
			registers(a, q);
		else
			tells(a, (char *)q + 1);
	}
	weft_tcp_close(a->c);
	free(a);
	return 0;
}

static inline int is_epmd(void *arg)
{
	struct epmd *d = arg;
	weft_tcp *c;

	WEFT_WITH_GROUP (g, .policy = WEFT_IGNORE) {
		while (weft_tcp_accept(d->l, &c) == 0) {
			struct asker *a = malloc(sizeof *a);

			*a = (struct asker){d, c};
			T_EQ(weft_group_go(&g, epmd_answers, a), 0);
		}
		weft_group_cancel(&g, 0);
	}
	weft_tcp_listener_free(d->l); /* its own: when the other is gone it may be between two connections */
	return 0;
}

static inline void book_open(struct epmd *d)
{
	memset(d, 0, sizeof *d);
	d->l = listen_at("127.0.0.1:0", NULL);
	d->port = port_of(d->l);
	(void)weft_tcp_listener_ref(d->l);
	d->task = start(is_epmd, d);
}

static inline void book_close(struct epmd *d)
{
	T_EQ(weft_tcp_listener_close(d->l), 0);
	T_EQ(finish(d->task), 0);
}

/* --- a server: {add, N} is answered by the sum; get by it; silent never; fail by a code; bad and deep by what is no term; stop: {ok, bye}, and it ends; who by the pid of whoever asks --- */

struct store {
	long sum;
	_Atomic int asked, cast, info;
};

static inline int reply_term(weft_from from, ei_x_buff x)
{
	int rc = weft_server_reply(from, x.buff, (size_t)x.index);

	ei_x_free(&x);
	return rc == WEFT_ESRCH ? 0 : rc;
}

static inline int store_call(void *state, weft_msg *m, weft_from from)
{
	struct store *s = *(struct store **)state;
	erlang_pid who;
	const char *term = weft_erl_term(m, NULL, &who);
	char what[MAXATOMLEN] = "";
	int at = 0, arity;
	long n;

	T_OK(term);
	T_EQ(m->tag, WEFT_ERL_CALL);
	s->asked++;
	if (ei_decode_tuple_header(term, &at, &arity) == 0) {
		T_EQ(ei_decode_atom(term, &at, what), 0);
		T_EQ(ei_decode_long(term, &at, &n), 0);
		s->sum += n;
		return reply_term(from, TERM("~i", s->sum));
	}
	T_EQ(ei_decode_atom(term, &at, what), 0);
	if (strcmp(what, "get") == 0)
		return reply_term(from, TERM("~i", s->sum));
	if (strcmp(what, "fail") == 0)
		return weft_server_fail(from, -42);
	if (strcmp(what, "bad") == 0)
		return weft_server_reply(from, "\x01\x02", 2);
	if (strcmp(what, "deep") == 0) {
		static char deep[2 * (WEFT_ERL_DEPTH + 1) + 1];

		for (int i = 0; i <= WEFT_ERL_DEPTH; i++)
			memcpy(deep + 2 * i, "h\1", 2);
		deep[sizeof deep - 1] = 'j';
		return weft_server_reply(from, deep, sizeof deep);
	}
	if (strcmp(what, "stop") == 0) {
		T_EQ(reply_term(from, TERM("{ok,bye}")), 0);
		return WEFT_SERVER_STOP;
	}
	if (strcmp(what, "who") == 0) {
		ei_x_buff x = {.buff = NULL};

		T_EQ(ei_x_new(&x), 0);
		T_EQ(ei_x_encode_pid(&x, &who), 0);
		return reply_term(from, x);
	}
	T_STR_EQ(what, "silent");
	return 0;
}

static inline int store_cast(void *state, weft_msg *m)
{
	struct store *s = *(struct store **)state;
	const char *term = weft_erl_term(m, NULL, NULL);
	int at = 0, arity;
	char what[MAXATOMLEN];
	long n;

	T_OK(term);
	T_EQ(m->tag, WEFT_ERL_CAST);
	T_EQ(ei_decode_tuple_header(term, &at, &arity), 0);
	T_EQ(ei_decode_atom(term, &at, what), 0);
	T_EQ(ei_decode_long(term, &at, &n), 0);
	s->sum += n;
	s->cast++;
	return 0;
}

static inline int store_info(void *state, weft_msg *m)
{
	struct store *s = *(struct store **)state;

	T_EQ(m->tag, WEFT_ERL_SEND);
	s->info++;
	return 0;
}

static const weft_server_vt store_vt = {.size = sizeof(struct store *), .call = store_call, .cast = store_cast, .info = store_info};

static inline weft_actor_ref store_start(struct store *s)
{
	weft_actor_ref ref;

	memset(s, 0, sizeof *s);
	T_EQ(weft_server_start(&ref, &store_vt, &s, &(weft_server_opts){.name = "store"}), 0);
	return ref;
}

/* --- an actor that hears --- */

struct ear {
	weft_mutex lock;
	weft_cond heard;
	int count;
	char last[512];
	erlang_pid from;
	size_t bytes;  /* of all terms */
	long next;     /* integers that come must count up from here */
	bool in_order; /* and have done so */
};

static inline int ear_hears(void *state, weft_msg *m)
{
	struct ear *e = state;
	const char *term;
	size_t len;
	int at = 0, type, size;
	long n;

	T_EQ(weft_mutex_lock(&e->lock), 0);
	term = weft_erl_term(m, &len, &e->from);
	T_OK(term);
	if (ei_decode_long(term, &at, &n) == 0) {
		e->in_order = e->in_order && n == e->next;
		e->next++;
	}
	at = 0;
	T_EQ(ei_get_type(term, &at, &type, &size), 0);
	if (type == ERL_BINARY_EXT)
		snprintf(e->last, sizeof e->last, "binary of %d", size);
	else
		text_of(term, e->last, sizeof e->last);
	e->bytes += len;
	e->count++;
	weft_cond_broadcast(&e->heard);
	weft_mutex_unlock(&e->lock);
	return 0;
}

static inline weft_actor_ref ear_start(struct ear *e, uint32_t cap)
{
	weft_actor_ref ref;

	memset(e, 0, sizeof *e);
	e->in_order = true;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ear_hears, .state = e, .mailbox = {.cap = cap}, .name = "ear"}), 0);
	T_EQ(weft_reg_put("ear", ref), 0);
	return ref;
}

static inline void ear_until(struct ear *e, int count)
{
	T_EQ(weft_mutex_lock(&e->lock), 0);
	while (e->count < count)
		T_EQ(weft_cond_wait(&e->heard, &e->lock), 0);
	T_EQ(e->count, count);
	weft_mutex_unlock(&e->lock);
}

/* --- what is asked of others --- */

static inline int send_term(weft_erl *n, weft_erl_to to, ei_x_buff x)
{
	int rc = weft_erl_send(n, to, x.buff, (size_t)x.index);

	ei_x_free(&x);
	return rc;
}

static inline int cast_term(weft_erl *n, weft_erl_to to, ei_x_buff x)
{
	int rc = weft_erl_cast(n, to, x.buff, (size_t)x.index);

	ei_x_free(&x);
	return rc;
}

/* out: the answer as text. */
static inline int call_term(weft_erl *n, weft_erl_to to, ei_x_buff x, char *out, size_t room, int64_t deadline)
{
	ei_x_buff got = {.buff = NULL};
	int rc = weft_erl_call_until(n, to, x.buff, (size_t)x.index, &got, deadline);

	ei_x_free(&x);
	if (rc == 0)
		text_of(got.buff, out, room);
	free(got.buff);
	return rc;
}

#endif
