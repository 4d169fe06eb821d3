/* SPDX-License-Identifier: MIT
 *
 * erl.c - src/erl, without Erlang: terms and digests; two nodes of ours that know each other by an epmd of the test's own; peers that speak nonsense, or not at all. With Erlang: test/peers/erl.c.
 */
#include "../actors.h"
#include "../erl.h"

#include "base/rand.h"
#include <pthread.h>
#include <stdlib.h>

/* --- terms --- */

static void add_fun(ei_x_buff *x)
{
	/* fun of module m with one free variable, the atom v: a size that it must have. */
	static const char rest[] = "\x01"
				   "0123456789abcdef"
				   "\0\0\0\1"
				   "\0\0\0\1"
				   "w\1m"
				   "a\1"
				   "a\2"
				   "Xw\3a@b\0\0\0\1\0\0\0\2\0\0\0\3"
				   "w\1v";
	size_t n = sizeof rest - 1 + 4;
	char head[5] = {ERL_NEW_FUN_EXT, 0, 0, 0, (char)n};

	T_EQ(ei_x_append_buf(x, head, 5), 0);
	T_EQ(ei_x_append_buf(x, rest, sizeof rest - 1), 0);
}

/* One of everything. */
static ei_x_buff sample(void)
{
	erlang_pid pid = {.node = "a@b", .num = 1, .serial = 2, .creation = 3};
	erlang_port port = {.node = "a@b", .id = 1, .creation = 3};
	erlang_ref ref = {.node = "a@b", .len = 3, .n = {1, 2, 3}, .creation = 3};
	ei_x_buff x;

	T_EQ(ei_x_new(&x), 0);
	T_EQ(ei_x_encode_tuple_header(&x, 14), 0);
	T_EQ(ei_x_encode_long(&x, 5), 0);
	T_EQ(ei_x_encode_long(&x, 100000), 0);
	T_EQ(ei_x_encode_long(&x, INT64_MIN + 1), 0);
	T_EQ(ei_x_encode_double(&x, 1.5), 0);
	T_EQ(ei_x_encode_atom(&x, "atom"), 0);
	T_EQ(ei_x_encode_string(&x, "string"), 0);
	T_EQ(ei_x_encode_binary(&x, "binary", 6), 0);
	T_EQ(ei_x_encode_list_header(&x, 4), 0);
	T_EQ(ei_x_encode_pid(&x, &pid), 0);
	T_EQ(ei_x_encode_port(&x, &port), 0);
	T_EQ(ei_x_encode_ref(&x, &ref), 0);
	T_EQ(ei_x_encode_bitstring(&x, "\xff\xf0", 0, 12), 0);
	T_EQ(ei_x_encode_empty_list(&x), 0);
	T_EQ(ei_x_encode_map_header(&x, 1), 0);
	T_EQ(ei_x_encode_atom(&x, "key"), 0);
	T_EQ(ei_x_encode_empty_list(&x), 0);
	T_EQ(ei_x_append_buf(&x, "qw\1mw\1fa\2", 9), 0); /* fun m:f/2 */
	add_fun(&x);
	T_EQ(ei_x_append_buf(&x, "n\11\0\1\2\3\4\5\6\7\10\11", 12), 0);
	T_EQ(ei_x_append_buf(&x, "c1.50000000000000000000e+00\0\0\0\0\0", 32), 0);
	T_EQ(ei_x_encode_boolean(&x, 1), 0);
	return x;
}

TEST(terms_are_as_long_as_they_are)
{
	ei_x_buff x = sample();
	struct slice t;
	int at = 0;

	T_EQ(weft__erl_size(x.buff, (size_t)x.index), x.index);
	T_EQ(ei_skip_term(x.buff, &at), 0);
	T_EQ(at, x.index);
	for (int n = 0; n < x.index; n++) {
		char *part = malloc((size_t)n + 1); /* of its own, so that ASan sees who reads behind it */

		memcpy(part, x.buff, (size_t)n);
		T_EQ(weft__erl_size(part, (size_t)n), WEFT_EINVAL);
		free(part);
	}
	T_EQ(weft__erl_check(&t, x.buff, (size_t)x.index), 0);
	T_EQ(weft__erl_check(&t, x.buff, (size_t)x.index - 1), WEFT_EINVAL);
	T_EQ(weft__erl_check(&t,
			     "\x83"
			     "a\1",
			     3),
	     0);
	T_EQ(t.len, 2);
	T_EQ(weft__erl_check(&t, "a\1a\1", 4), WEFT_EINVAL);
	T_EQ(weft__erl_check(&t, "\x83", 1), WEFT_EINVAL);
	T_EQ(weft__erl_check(&t, "", 0), WEFT_EINVAL);
	ei_x_free(&x);
}

/* Whatever is taken for a term, ei does not read behind it. */
TEST(no_bytes_lead_ei_astray)
{
	struct rng r = {1};
	ei_x_buff x = sample();
	int taken = 0, float_from_end = 32 + 6; /* true is behind it */
	double d;

	T_EQ(x.buff[x.index - float_from_end], ERL_FLOAT_EXT);

	for (int i = 0; i < tap_iters(100000); i++) {
		char *p = malloc((size_t)x.index);
		int at = 0;

		memcpy(p, x.buff, (size_t)x.index);
		for (uint64_t k = rng_next(&r) % 4; k > 0; k--)
			p[rng_next(&r) % (uint64_t)x.index] = (char)rng_next(&r);
		if (weft__erl_size(p, (size_t)x.index) == x.index) {
			taken++;
			if (ei_skip_term(p, &at) == 0)
				T_LE(at, x.index);
			at = x.index - float_from_end;
			if (p[at] == ERL_FLOAT_EXT)
				(void)ei_decode_double(p, &at, &d);
		}
		free(p);
	}
	T_GT(taken, 0);
	ei_x_free(&x);
}

#define IS(bytes, rc) T_EQ(weft__erl_check(&t, "" bytes, sizeof bytes - 1), (rc))

/* What Erlang closes a connection for, and what is next to it. */
TEST(what_erlang_does_not_take_is_no_term)
{
	char long_text[2 + 256], *big;
	struct slice t;

	IS("w\2\xc3\xa4", 0);
	IS("w\0", 0);
	IS("w\1\xc3", WEFT_EINVAL);
	IS("w\2\xc3"
	   "a",
	   WEFT_EINVAL);
	IS("w\1\x80", WEFT_EINVAL);
	IS("w\2\xc1\x81", WEFT_EINVAL); /* longer than need be */
	IS("w\3\xe0\x80\x81", WEFT_EINVAL);
	IS("w\3\xed\xa0\x80", WEFT_EINVAL); /* half a pair of UTF-16 */
	IS("w\3\xed\x9f\xbf", 0);
	IS("w\3\xee\x80\x80", 0);
	IS("w\4\xf0\x9f\x98\x80", 0);
	IS("w\4\xf4\x90\x80\x80", WEFT_EINVAL); /* beyond Unicode */
	IS("w\4\xf5\x80\x80\x80", WEFT_EINVAL);
	IS("s\1\xff", 0); /* Latin-1 */
	memset(long_text, 'x', sizeof long_text);
	memcpy(long_text, "w\xff", 2);
	T_EQ(weft__erl_check(&t, long_text, 2 + 255), 0);
	big = malloc(3 + 1020);
	memcpy(big, "v\3\xfc", 3);
	for (int i = 0; i < 255; i++)
		memcpy(big + 3 + 4 * (size_t)i, "\xf0\x9f\x98\x80", 4);
	T_EQ(weft__erl_check(&t, big, 3 + 1020), 0);
	memcpy(big, "v\1\0", 3);
	memset(big + 3, 'x', 256);
	T_EQ(weft__erl_check(&t, big, 3 + 256), WEFT_EINVAL);
	big[0] = 'd';
	T_EQ(weft__erl_check(&t, big, 3 + 256), WEFT_EINVAL);
	free(big);
	IS("F\x3f\xf8\0\0\0\0\0\0", 0);
	IS("F\x7f\xf0\0\0\0\0\0\0", WEFT_EINVAL);
	IS("F\xff\xf8\0\0\0\0\0\0", WEFT_EINVAL);
	IS("F\x7f\xef\xff\xff\xff\xff\xff\xff", 0);
	IS("c1.50000000000000000000e+00\0\0\0\0\0", 0);
	IS("cnan\0                           ", WEFT_EINVAL);
	IS("c\0                              ", WEFT_EINVAL);
	IS("c1.50000000000000000000000000000", WEFT_EINVAL); /* without an end */
	IS("M\0\0\0\1\4\xf0", 0);
	IS("M\0\0\0\1\0\xf0", WEFT_EINVAL);
	IS("M\0\0\0\1\x09\xf0", WEFT_EINVAL);
	IS("M\0\0\0\0\0", 0);
	IS("M\0\0\0\0\1", WEFT_EINVAL);
	IS("Z\0\0w\3a@b\0\0\0\1", WEFT_EINVAL); /* a reference of nothing */
	IS("qw\1ma\1a\1", WEFT_EINVAL);         /* m:1/1 */
	IS("qw\1mw\1fw\1a", WEFT_EINVAL);
}

/* n of them, one within the other. */
static char *nested(const char *head, size_t len, size_t n, const char *tail, size_t tail_len, size_t *size)
{
	char *p = malloc(n * (len + tail_len) + 2), *at = p;

	for (size_t i = 0; i < n; i++, at += len)
		memcpy(at, head, len);
	memcpy(at, "a\1", 2);
	at += 2;
	for (size_t i = 0; i < n; i++, at += tail_len)
		memcpy(at, tail, tail_len);
	*size = (size_t)(at - p);
	return p;
}

TEST(terms_are_nested_only_so_deep)
{
	static const struct {
		const char *head, *tail;
		size_t len, tail_len;
	} kinds[] = {{"h\1", "", 2, 0},
		     {"i\0\0\0\1", "", 5, 0},
		     {"l\0\0\0\1", "j", 5, 1},
		     {"t\0\0\0\1a\1", "", 7, 0},
		     {"l\0\0\0\1a\1", "", 7, 0}};
	struct slice t;
	size_t n;
	char *p;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		for (size_t deep = WEFT_ERL_DEPTH - 1; deep < 100000; deep = deep <= WEFT_ERL_DEPTH ? deep + 1 : 10 * deep) {
			int at = 0;

			p = nested(kinds[i].head, kinds[i].len, deep, kinds[i].tail, kinds[i].tail_len, &n);
			T_EQ(weft__erl_check(&t, p, n), deep <= WEFT_ERL_DEPTH ? 0 : WEFT_EMSGSIZE);
			if (deep <= WEFT_ERL_DEPTH)
				T_EQ(ei_skip_term(p, &at), 0);
			free(p);
		}
	}
	p = nested("h\2a\1", 4, WEFT_ERL_DEPTH, "", 0, &n); /* many that are not deep, behind each other, too */
	T_EQ(weft__erl_check(&t, p, n), 0);
	free(p);
	p = malloc(5 + 3 * 2000 + 1);
	memcpy(p, "l\0\0\x07\xd0", 5);
	for (int i = 0; i < 2000; i++)
		memcpy(p + 5 + 3 * i, "h\1j", 3);
	p[5 + 3 * 2000] = 'j';
	T_EQ(weft__erl_check(&t, p, 5 + 3 * 2000 + 1), 0);
	free(p);
}

static void digest(const char *a, const char *b, const char *wanted)
{
	unsigned char d[16];
	char text[33];

	weft__erl_md5(d, a, strlen(a), b, strlen(b));
	for (int i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", d[i]);
	T_STR_EQ(text, wanted);
}

TEST(digests_are_those_of_rfc_1321)
{
	digest("", "", "d41d8cd98f00b204e9800998ecf8427e");
	digest("a", "bc", "900150983cd24fb0d6963f7d28e17f72");
	digest("message ", "digest", "f96b697d7cb7938d525a2f31aaf161d0");
	digest("1234567890123456789012345678901234567890123456789012345678901234567890123456", "7890", "57edf4a22be3c955ac49da2e2107b67a");
}

static void there_and_back(weft_end e, weft_end wanted)
{
	struct out o = {.at = NULL};
	weft_end got;

	weft__erl_reason(&o, e);
	T_EQ(weft__erl_size(o.at, o.len), (ssize_t)o.len);
	got = weft__erl_end((struct slice){o.at, (int)o.len});
	T_EQ(got.kind, wanted.kind);
	T_EQ(got.code, wanted.code);
	weft__erl_out_free(&o);
}

static weft_end end_of(ei_x_buff x)
{
	weft_end e = weft__erl_end((struct slice){x.buff, x.index});

	ei_x_free(&x);
	return e;
}

TEST(ends_are_reasons_and_back)
{
	there_and_back((weft_end){WEFT_END_NORMAL, 0}, (weft_end){WEFT_END_NORMAL, 0});
	there_and_back((weft_end){WEFT_END_CODE, -7}, (weft_end){WEFT_END_CODE, -7});
	there_and_back((weft_end){WEFT_END_PANIC, WEFT_EPANIC}, (weft_end){WEFT_END_PANIC, WEFT_EPANIC});
	there_and_back((weft_end){WEFT_END_CANCELED, WEFT_ETIMEDOUT}, (weft_end){WEFT_END_CANCELED, WEFT_ETIMEDOUT});
	there_and_back((weft_end){WEFT_END_FAULT, WEFT_EFAULT}, (weft_end){WEFT_END_FAULT, WEFT_EFAULT});
	there_and_back((weft_end){WEFT_END_KILLED, WEFT_ECANCELED}, (weft_end){WEFT_END_KILLED, WEFT_ECANCELED});
	there_and_back((weft_end){WEFT_END_SHUTDOWN, 0}, (weft_end){WEFT_END_SHUTDOWN, 0});
	there_and_back((weft_end){WEFT_END_UNKNOWN, WEFT_ESRCH}, (weft_end){WEFT_END_UNKNOWN, WEFT_ESRCH});
	T_EQ(end_of(TERM("{shutdown,why}")).kind, WEFT_END_SHUTDOWN);
	T_EQ(end_of(TERM("noconnection")).code, WEFT_ENOTCONN);
	T_EQ(end_of(TERM("{badmatch,[1,2]}")).code, WEFT_EDOWN);
	T_EQ(end_of(TERM("{weft,code,5}")).code, WEFT_EDOWN); /* no code */
}

/* --- two nodes --- */

struct pair {
	struct epmd d;
	weft_erl *a, *b;
};

#define A "a@127.0.0.1"
#define B "b@127.0.0.1"

static weft_erl *node(struct epmd *d, const char *name, weft_erl_opts o)
{
	weft_erl *n;

	o.listen = "127.0.0.1:0";
	o.epmd_port = d->port;
	T_EQ(weft_erl_start(&n, name, "cookie", &o), 0);
	T_STR_EQ(weft_erl_name(n), name);
	T_GT(weft_erl_port(n), 0);
	return n;
}

static void two_begin(struct pair *p, weft_erl_opts o)
{
	book_open(&p->d);
	p->a = node(&p->d, A, o);
	p->b = node(&p->d, B, o);
}

static void two_end(struct pair *p)
{
	T_EQ(weft_erl_stop(p->a), 0);
	T_EQ(weft_erl_stop(p->b), 0);
	book_close(&p->d);
}

static int speak(void *arg)
{
	weft_actor_ref store, ear;
	weft_erl_stat st;
	erlang_pid pid;
	struct store s;
	struct pair p;
	char got[256];
	struct ear e;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	store = store_start(&s);
	ear = ear_start(&e, 0);
	T_EQ(weft_erl_ping(p.a, B), 0);
	T_OK(weft_erl_connected(p.a, B));
	until(weft_erl_connected(p.b, A)); /* it is told last */
	T_EQ(send_term(p.a, weft_erl_at("ear", B), TERM("{hello,~i}", 1)), 0);
	ear_until(&e, 1);
	T_STR_EQ(e.last, "{hello, 1}");
	T_STR_EQ(e.from.node, A);
	T_EQ(weft_erl_pid(p.b, ear, &pid), 0);
	T_EQ(send_term(p.a, weft_erl_at_pid(&pid), TERM("by_pid")), 0);
	ear_until(&e, 2);
	T_STR_EQ(e.last, "by_pid");
	T_STR_EQ(e.from.node, A); /* such a send says so, too */
	T_EQ(cast_term(p.a, weft_erl_at("store", B), TERM("{add,5}")), 0);
	T_EQ(call_term(p.a, weft_erl_at("store", B), TERM("{add,6}"), got, sizeof got, WEFT_FOREVER), 0);
	T_STR_EQ(got, "11");
	T_EQ(call_term(p.b, weft_erl_at("store", A), TERM("get"), got, sizeof got, WEFT_FOREVER), 0);
	T_STR_EQ(got, "11");
	T_EQ(s.cast, 1);
	T_EQ(call_term(p.a, weft_erl_at("store", B), TERM("fail"), got, sizeof got, WEFT_FOREVER), 0);
	T_STR_EQ(got, "{error, {weft, -42}}");
	T_EQ(call_term(p.a, weft_erl_at("store", B), TERM("bad"), got, sizeof got, WEFT_FOREVER), 0);
	T_STR_EQ(got, "{error, {weft, -22}}");
	T_EQ(call_term(p.a, weft_erl_at("store", B), TERM("deep"), got, sizeof got, WEFT_FOREVER), 0);
	T_STR_EQ(got, "{error, {weft, -90}}");
	T_EQ(call_term(p.a, weft_erl_at("nobody", B), TERM("get"), got, sizeof got, WEFT_FOREVER), WEFT_ESRCH);
	T_EQ(call_term(p.a, weft_erl_at("store", B), TERM("silent"), got, sizeof got, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_erl_stats(p.b, &st), 0);
	T_EQ(st.nodes, 1);
	T_GE(st.pids, 1);
	T_EQ(weft_erl_stats(p.a, &st), 0);
	T_EQ(st.calls, 0);
	T_EQ(call_term(p.a, weft_erl_at("store", B), TERM("stop"), got, sizeof got, WEFT_FOREVER), 0);
	T_STR_EQ(got, "{ok, bye}");
	(void)weft_actor_wait(store, NULL);
	end_actor(ear);
	T_EQ(weft_erl_pid(p.b, ear, &pid), WEFT_ESRCH);
	two_end(&p);
	return 0;
}

TEST_WORKERS(two_nodes_speak)
{
	run_net(speak, NULL);
}

static int refuses(void *arg)
{
	size_t size;
	char *deep = nested("h\1", 2, WEFT_ERL_DEPTH + 1, "", 0, &size);
	ei_x_buff x = TERM("atom");
	struct epmd d;
	erlang_pid far = {.node = "x@127.0.0.1", .num = 1};
	weft_actor_ref ref;
	weft_erl *n, *m, *l;

	(void)arg;
	book_open(&d);
	T_EQ(weft_erl_start(&n, "noat", "c", NULL), WEFT_EINVAL);
	T_EQ(weft_erl_start(&n, "@host", "c", NULL), WEFT_EINVAL);
	T_EQ(weft_erl_start(&n, "a@", "c", NULL), WEFT_EINVAL);
	T_EQ(weft_erl_start(&n, "a@b@c", "c", NULL), WEFT_EINVAL);
	T_EQ(weft_erl_start(&n, "a b@c", "c", NULL), WEFT_EINVAL);
	T_EQ(weft_erl_start(&n, NULL, "c", NULL), WEFT_EINVAL);
	T_EQ(weft_erl_start(&n, A, "", NULL), WEFT_EINVAL);
	T_EQ(weft_erl_start(&n, A, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_erl_start(&n, A, "c", &(weft_erl_opts){.tick = -1}), WEFT_EINVAL);
	T_EQ(weft_erl_start(&n, A, "c", &(weft_erl_opts){.epmd_port = 65536}), WEFT_EINVAL);
	T_EQ(weft_erl_start(&n, A, "c", &(weft_erl_opts){.listen = "nonsense"}), WEFT_EINVAL);
	T_EQ(weft_erl_start(&n, A, "c", &(weft_erl_opts){.message_max = (size_t)1 << 30}), WEFT_EINVAL);
	T_EQ(weft_erl_start(&n, A, "c", &(weft_erl_opts){.reply_max = (size_t)1 << 30}), WEFT_EINVAL);
	T_OK(!n);
	n = node(&d, A, (weft_erl_opts){.tick = 0});
	T_EQ(weft_erl_start(&m, A, "c", &(weft_erl_opts){.epmd_port = d.port, .listen = "127.0.0.1:0"}), WEFT_EEXIST);
	T_EQ(weft_erl_start(&m, B, "other", &(weft_erl_opts){.epmd_port = d.port, .listen = "127.0.0.1:0"}), 0);
	T_EQ(weft_erl_start_until(&l, "late@127.0.0.1", "c", &(weft_erl_opts){.epmd_port = d.port, .listen = "127.0.0.1:0"}, 1),
	     WEFT_ETIMEDOUT);
	T_OK(!l);
	T_EQ(weft_erl_connect(n, B), WEFT_EACCES);
	T_EQ(weft_erl_ping(m, A), WEFT_EACCES);
	T_OK(!weft_erl_connected(n, B) && !weft_erl_connected(m, A));
	T_EQ(weft_erl_connect(n, A), WEFT_EINVAL); /* itself */
	T_EQ(weft_erl_connect(n, "noat"), WEFT_EINVAL);
	T_EQ(weft_erl_connect(n, NULL), WEFT_EINVAL);
	T_EQ(weft_erl_connect(n, "c@127.0.0.1"), WEFT_ENOENT);
	T_EQ(weft_erl_connect_until(n, "c@127.0.0.1", WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_erl_disconnect(n, B), WEFT_ENOTCONN);
	T_EQ(weft_erl_disconnect(n, NULL), WEFT_EINVAL);
	T_EQ(weft_erl_watch(n, B), 0);
	T_EQ(weft_erl_watch(n, NULL), WEFT_EINVAL);
	T_EQ(weft_erl_send(n, weft_erl_at("x", "c@127.0.0.1"), x.buff, (size_t)x.index), WEFT_ENOENT);
	T_EQ(weft_erl_send(n, weft_erl_at_pid(&far), x.buff, (size_t)x.index), WEFT_ENOENT);
	T_EQ(weft_erl_send(n, weft_erl_at("x", B), x.buff, (size_t)x.index - 1), WEFT_EINVAL);
	T_EQ(weft_erl_send(n, weft_erl_at("x", B), NULL, 0), WEFT_EINVAL);
	T_EQ(weft_erl_send(n, weft_erl_at("x", B), x.buff, (size_t)1 << 30), WEFT_EMSGSIZE);
	T_EQ(weft_erl_send(n, weft_erl_at("x", B), deep, size), WEFT_EMSGSIZE);
	T_EQ(weft_erl_send(n, weft_erl_at("\xff", B), x.buff, (size_t)x.index), WEFT_EINVAL);
	T_EQ(weft_erl_send(n, weft_erl_at("", B), x.buff, (size_t)x.index), WEFT_EINVAL);
	T_EQ(weft_erl_send(n, weft_erl_at("x", NULL), x.buff, (size_t)x.index), WEFT_EINVAL);
	T_EQ(weft_erl_send_until(n, weft_erl_at("x", B), x.buff, (size_t)x.index, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_erl_call_until(n, weft_erl_at("x", B), x.buff, (size_t)x.index, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_erl_ping_until(n, B, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_erl_cast_until(n, weft_erl_at("x", B), x.buff, (size_t)x.index, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_erl_watch_until(n, B, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_erl_stand_in_until(n, &ref, weft_erl_at("x", B), 1), WEFT_ETIMEDOUT);
	T_EQ(weft_erl_stand_in(n, &ref, weft_erl_at("x", "c@127.0.0.1")), WEFT_ENOENT);
	T_OK(weft_actor_same(ref, WEFT_NO_ACTOR));
	WEFT_WITH_TIMEOUT (-1) {
		T_EQ(weft_erl_cast(n, weft_erl_at("x", B), x.buff, (size_t)x.index), WEFT_ETIMEDOUT);
		T_EQ(weft_erl_watch(n, B), WEFT_ETIMEDOUT);
		T_EQ(weft_erl_connect(n, B), WEFT_ETIMEDOUT);
	}
	T_EQ(weft_erl_stats(NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_erl_stop(NULL), WEFT_EINVAL);
	T_EQ(weft_erl_stop(m), 0);
	T_EQ(weft_erl_stop(n), 0);
	book_close(&d);
	ei_x_free(&x);
	free(deep);
	return 0;
}

TEST_WORKERS(who_may_not_is_told_so)
{
	run_net(refuses, NULL);
}

/* --- others than nodes --- */

/* A port that nobody listens on, and nobody can as long as the descriptor is open. */
static int nobodys_port(int *fd)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	T_GE(*fd, 0);
	T_EQ(bind(*fd, (struct sockaddr *)&a, sizeof a), 0);
	T_EQ(getsockname(*fd, (struct sockaddr *)&a, &n), 0);
	return ntohs(a.sin_port);
}

/* Says the same to all who come, and waits until they go. */
struct bore {
	weft_tcp_listener *l;
	const char *_Atomic says;
	_Atomic size_t n;
};

static int is_bore(void *arg)
{
	struct bore *b = arg;
	char buf[256];
	weft_tcp *c;

	while (weft_tcp_accept(b->l, &c) == 0) {
		(void)weft_tcp_write(c, b->says, b->n, NULL);
		while (weft_tcp_read(c, buf, sizeof buf) > 0)
			;
		weft_tcp_close(c);
	}
	weft_tcp_listener_free(b->l);
	return 0;
}

static int connects(void *arg)
{
	return weft_erl_connect(arg, "c@127.0.0.1");
}

static int others(void *arg)
{
	static const char junk[] = "hello, world",
			  old[] = "\0\3sok"
				  "\0\x1eN\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\1\0\x0b"
				  "c@127.0.0.1",
			  no[] = "\0\x0csnot_allowed",
			  another[] = "\0\3sok"
				      "\0\x1eN\0\0\0\4\x07\7\xff\xff\0\0\0\1\0\0\0\1\0\x0b"
				      "d@127.0.0.1";
	static const struct {
		const char *says;
		size_t n;
		int rc;
	} all[] = {{junk, sizeof junk, WEFT_ECONNABORTED},
		   {old, sizeof old - 1, WEFT_ECONNABORTED},
		   {another, sizeof another - 1, WEFT_ECONNABORTED},
		   {no, sizeof no - 1, WEFT_EACCES}};
	struct bore b = {.says = junk, .n = sizeof junk};
	weft_task *t, *c;
	struct epmd d;
	weft_erl *n;
	int fd;

	(void)arg;
	b.l = listen_at("127.0.0.1:0", NULL);
	(void)weft_tcp_listener_ref(b.l);
	t = start(is_bore, &b);
	T_EQ(weft_erl_start(&n, A, "c", &(weft_erl_opts){.epmd_port = port_of(b.l), .listen = "127.0.0.1:0"}), WEFT_ECONNABORTED);
	T_EQ(weft_erl_start(&n, A, "c", &(weft_erl_opts){.epmd_port = nobodys_port(&fd), .listen = "127.0.0.1:0"}), WEFT_ECONNREFUSED);
	T_EQ(close(fd), 0);
	book_open(&d);
	n = node(&d, A, (weft_erl_opts){.tick = 0});
	T_EQ(weft_mutex_lock(&d.lock), 0);
	d.book[d.count++] = (struct book){"c", port_of(b.l)};
	weft_mutex_unlock(&d.lock);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		b.says = all[i].says; /* nobody is connected now */
		b.n = all[i].n;
		T_EQ(weft_erl_connect(n, "c@127.0.0.1"), all[i].rc);
	}
	b.n = 0;
	T_EQ(weft_erl_connect_until(n, "c@127.0.0.1", weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	time_fake();
	c = start(connects, n);
	while (weft_task_stateof(c) != WEFT_TASK_DONE) {
		time_move(WEFT_SEC);
		let_run();
	}
	time_real();
	T_EQ(finish(c), WEFT_ETIMEDOUT); /* nobody shakes hands for so long */
	T_EQ(weft_tcp_listener_close(b.l), 0);
	T_EQ(finish(t), 0);
	T_EQ(weft_erl_stop(n), 0);
	book_close(&d);
	return 0;
}

TEST_WORKERS(what_is_no_node_is_told_from_one)
{
	run_net(others, NULL);
}

struct dialing {
	weft_erl *n;
	int64_t deadline;
};

static int connects_until(void *arg)
{
	struct dialing *d = arg;

	return weft_erl_connect_until(d->n, "c@127.0.0.1", d->deadline);
}

/* Has one of them come so far that his time runs, and do the others wait for him? */
static bool one_shakes(weft_task **c, int n)
{
	int reads = 0, wait = 0;

	for (int i = 0; i < n; i++) {
		reads += strcmp(weft_task_reason(c[i]), "read") == 0 && !on_stack(c[i]);
		wait += strcmp(weft_task_reason(c[i]), "condition") == 0 && !on_stack(c[i]);
	}
	return reads == 1 && wait == n - 1;
}

/* Whoever gives up by himself has found out nothing for the others. There is somebody, and he says nothing: the clock is moved once for all who wait, whoever dials then. */
static int together(void *arg)
{
	struct dialing first, others;
	struct bore b = {.says = ""};
	weft_task *t, *c[5];
	struct epmd d;
	weft_erl *n;

	(void)arg;
	b.l = listen_at("127.0.0.1:0", NULL);
	(void)weft_tcp_listener_ref(b.l);
	t = start(is_bore, &b);
	book_open(&d);
	n = node(&d, A, (weft_erl_opts){.tick = 0});
	T_EQ(weft_mutex_lock(&d.lock), 0);
	d.book[d.count++] = (struct book){"c", port_of(b.l)};
	weft_mutex_unlock(&d.lock);
	time_fake();
	first = (struct dialing){n, weft_in(2 * WEFT_SEC)};
	others = (struct dialing){n, WEFT_FOREVER};
	c[0] = start(connects_until, &first);
	until_reason(c[0], "read");
	for (int i = 1; i < 5; i++)
		c[i] = start(connects_until, &others);
	for (int i = 1; i < 5; i++)
		until_reason(c[i], "condition");
	time_move(2 * WEFT_SEC);
	T_EQ(finish(c[0]), WEFT_ETIMEDOUT);
	until(one_shakes(c + 1, 4));
	time_move(7 * WEFT_SEC);
	for (int i = 1; i < 5; i++)
		T_EQ(finish(c[i]), WEFT_ETIMEDOUT);
	time_real();
	T_EQ(weft_tcp_listener_close(b.l), 0);
	T_EQ(finish(t), 0);
	T_EQ(weft_erl_stop(n), 0);
	book_close(&d);
	return 0;
}

TEST_WORKERS(who_waits_for_a_dial_hears_of_its_end)
{
	run_net(together, NULL);
}

/* --- who may ask, and when --- */

TEST(without_a_runtime_there_is_no_node)
{
	weft_erl *n;

	T_EQ(weft_erl_start(&n, A, "c", &(weft_erl_opts){.listen = "127.0.0.1:0"}), WEFT_ESRCH);
	T_OK(!n);
}

/* As long as somebody stops it. */
static int closed(void *arg)
{
	weft_actor_ref ear, ref;
	weft_erl_stat st;
	erlang_pid pid;
	struct pair p;
	struct ear e;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	ear = ear_start(&e, 0);
	T_EQ(weft_erl_connect(p.a, B), 0);
	T_OK(weft_erl_connected(p.a, B));
	weft_add_relaxed(&p.a->users.inside, ENTRY_SHUT);
	T_EQ(weft_erl_connect(p.a, B), WEFT_ECLOSED);
	T_EQ(weft_erl_disconnect(p.a, B), WEFT_ECLOSED);
	T_OK(!weft_erl_connected(p.a, B));
	T_EQ(weft_erl_ping(p.a, B), WEFT_ECLOSED);
	T_EQ(weft_erl_watch(p.a, B), WEFT_ECLOSED);
	T_EQ(send_term(p.a, weft_erl_at("ear", B), TERM("x")), WEFT_ECLOSED);
	T_EQ(cast_term(p.a, weft_erl_at("ear", B), TERM("x")), WEFT_ECLOSED);
	T_EQ(call_term(p.a, weft_erl_at("ear", B), TERM("x"), NULL, 0, WEFT_FOREVER), WEFT_ECLOSED);
	T_EQ(weft_erl_stand_in(p.a, &ref, weft_erl_at("ear", B)), WEFT_ECLOSED);
	T_EQ(weft_erl_pid(p.a, ear, &pid), WEFT_ECLOSED);
	T_EQ(weft_erl_stats(p.a, &st), WEFT_ECLOSED);
	weft_add_relaxed(&p.a->users.inside, -ENTRY_SHUT);
	end_actor(ear);
	two_end(&p);
	return 0;
}

TEST_WORKERS(a_node_that_is_being_stopped_is_closed)
{
	run_net(closed, NULL);
}

struct thread {
	struct pair *p;
	weft_actor_ref there;
	_Atomic bool done;
};

static void *is_thread(void *arg)
{
	struct thread *t = arg;
	weft_erl *a = t->p->a;
	char got[64];

	T_EQ(weft_erl_ping(a, B), 0);
	T_EQ(cast_term(a, weft_erl_at("store", B), TERM("{add,5}")), 0);
	T_EQ(call_term(a, weft_erl_at("store", B), TERM("get"), got, sizeof got, WEFT_FOREVER), 0);
	T_STR_EQ(got, "5");
	T_EQ(send_term(a, weft_erl_at("store", B), TERM("hello")), 0);
	T_EQ(weft_erl_stand_in(a, &t->there, weft_erl_at("store", B)), 0);
	T_OK(weft_erl_connected(a, B));
	T_EQ(weft_erl_disconnect(a, B), 0);
	T_EQ(weft_erl_watch(a, B), 0);
	T_EQ(weft_erl_connect(a, B), 0);
	t->done = true;
	return NULL;
}

/* Threads that run no tasks. */
static int threads(void *arg)
{
	weft_actor_ref store;
	pthread_t thread;
	struct thread t;
	struct store s;
	struct pair p;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	store = store_start(&s);
	t = (struct thread){.p = &p};
	T_EQ(pthread_create(&thread, NULL, is_thread, &t), 0);
	until(t.done);
	T_EQ(pthread_join(thread, NULL), 0);
	(void)weft_actor_wait(t.there, NULL); /* its connection is cut */
	T_EQ(s.cast, 1);
	end_actor(store);
	two_end(&p);
	return 0;
}

TEST_WORKERS(threads_that_are_no_tasks_may_ask)
{
	run_net(threads, NULL);
}

/* A message to one of theirs, as it goes onto the wire; under wlock. */
static void append_term(struct conn *c, const char *name, const char *term, size_t n)
{
	struct out o = {.at = NULL};
	unsigned char len[4];

	weft__erl_raw(&o, "p\x83", 2);
	weft__erl_tuple(&o, 4);
	weft__erl_int(&o, OP_REG_SEND);
	weft__erl_pid(c->n, &o, 0);
	weft__erl_atom(&o, "");
	weft__erl_atom(&o, name);
	weft__erl_raw(&o, "\x83", 1);
	weft__erl_raw(&o, term, n);
	for (int i = 0; i < 4; i++)
		len[i] = (unsigned char)(o.len >> 8 * (3 - i));
	weft__erl_raw(&c->out, len, 4);
	weft__erl_raw(&c->out, o.at, o.len);
	T_OK(!c->out.failed);
	weft__erl_out_free(&o);
}

/* --- both at once --- */

static int pings_a(void *arg)
{
	return weft_erl_ping(arg, A);
}

static int pings_b(void *arg)
{
	return weft_erl_ping(arg, B);
}

/* Of one end of the connection to that node. */
static int port_at(weft_erl *n, const char *peer, int (*which)(weft_tcp *t, weft_addr *out))
{
	struct conn *c;
	weft_addr at;

	T_EQ(weft__erl_conn_get(n, peer, WEFT_FOREVER, &c), 0);
	T_EQ(which(c->tcp, &at), 0);
	weft__erl_conn_unref(c);
	return weft_addr_port(&at);
}

static int both(void *arg)
{
	struct pair p;
	weft_task *t[4];

	(void)arg;
	for (int i = 0; i < tap_iters(30); i++) {
		two_begin(&p, (weft_erl_opts){.tick = 0});
		for (int k = 0; k < 4; k++)
			t[k] = start(k % 2 ? pings_a : pings_b, k % 2 ? p.b : p.a);
		for (int k = 0; k < 4; k++)
			T_EQ(finish(t[k]), 0);
		T_EQ(port_at(p.a, B, weft_tcp_local), port_at(p.b, A, weft_tcp_peer)); /* the same */
		two_end(&p);
	}
	return 0;
}

TEST_WORKERS(two_that_dial_each_other_get_one_connection)
{
	run_net(both, NULL);
}

/* --- who stands for others --- */

static int stand_in(void *arg)
{
	weft_actor_ref store, ear, there, gone, cut;
	struct watcher w, v;
	struct store s;
	struct pair p;
	struct ear e;
	ei_x_buff x = TERM("{add,7}"), bad = TERM("get");
	char reply[64], got[64];
	int n;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	store = store_start(&s);
	ear = ear_start(&e, 0);
	T_EQ(weft_erl_stand_in(p.a, &there, weft_erl_at("store", B)), 0);
	T_EQ(weft_actor_send(there, WEFT_ERL_CAST, x.buff, (size_t)x.index, WEFT_PRIO_NORMAL), 0);
	n = weft_server_call(there, 0, x.buff, (size_t)x.index, reply, sizeof reply);
	T_GT(n, 0);
	T_TERM(reply, "14");
	T_EQ(weft_server_call(there, 0, "zz", 2, reply, sizeof reply), WEFT_EINVAL);
	T_EQ(weft_actor_send(there, 0, "zz", 2, WEFT_PRIO_NORMAL), 0); /* dropped */
	T_EQ(weft_actor_send(there, 0, x.buff, (size_t)x.index, WEFT_PRIO_NORMAL), 0);
	T_EQ(weft_server_call(there, 0, bad.buff, (size_t)bad.index, reply, sizeof reply), 2);
	T_EQ(s.info, 1);
	/* What another node sends to it goes there as well. */
	T_EQ(weft_reg_put("proxy", there), 0);
	T_EQ(call_term(p.b, weft_erl_at("proxy", A), TERM("{add,1}"), got, sizeof got, WEFT_FOREVER), 0);
	T_STR_EQ(got, "15");
	T_EQ(cast_term(p.b, weft_erl_at("proxy", A), TERM("{add,1}")), 0);
	T_EQ(send_term(p.b, weft_erl_at("proxy", A), TERM("hello")), 0);
	T_EQ(call_term(p.b, weft_erl_at("proxy", A), TERM("get"), got, sizeof got, WEFT_FOREVER), 0);
	T_STR_EQ(got, "16");
	T_EQ(s.info, 2);
	watch_begin(&w, there);
	T_EQ(weft_actor_stop(store, (weft_end){WEFT_END_SHUTDOWN, 0}), 0);
	watch_end(&w, WEFT_END_SHUTDOWN, 0);
	T_EQ(weft_erl_stand_in(p.a, &gone, weft_erl_at("store", B)), 0);
	(void)weft_actor_wait(gone, &w.end);
	T_EQ(weft_erl_stand_in(p.a, &there, weft_erl_at("ear", B)), 0);
	T_EQ(weft_actor_kill(there), 0);
	(void)weft_actor_wait(there, NULL);
	T_OK(weft_actor_alive(ear));
	T_EQ(weft_erl_stand_in(p.a, &cut, weft_erl_at("ear", B)), 0);
	watch_begin(&v, cut);
	T_EQ(weft_erl_disconnect(p.b, A), 0);
	watch_end(&v, WEFT_END_CODE, WEFT_ENOTCONN);
	end_actor(ear);
	two_end(&p);
	ei_x_free(&x);
	ei_x_free(&bad);
	return 0;
}

TEST_WORKERS(an_actor_stands_for_one_of_another_node)
{
	run_net(stand_in, NULL);
}

/* --- slow receivers --- */

static int slow(void *arg)
{
	weft_actor_ref store, ear;
	struct store s;
	struct pair p;
	struct ear e;
	char got[64];
	int n = tap_iters(500);

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	store = store_start(&s);
	ear = ear_start(&e, 2);
	T_EQ(weft_actor_suspend(ear), 0);
	for (int i = 0; i < n; i++)
		T_EQ(send_term(p.a, weft_erl_at("ear", B), TERM("~i", (long)i)), 0);
	/* What comes behind them is answered all the same. */
	T_EQ(call_term(p.a, weft_erl_at("store", B), TERM("{add,1}"), got, sizeof got, WEFT_FOREVER), 0);
	T_EQ(e.count, 0);
	T_EQ(weft_actor_resume(ear), 0);
	ear_until(&e, n);
	T_OK(e.in_order);
	end_actor(ear);
	end_actor(store);
	two_end(&p);
	return 0;
}

TEST_WORKERS(a_slow_receiver_holds_up_nobody_else)
{
	run_net(slow, NULL);
}

static size_t out_of(struct conn *c)
{
	size_t n;

	T_EQ(weft_mutex_lock(&c->wlock), 0);
	n = c->out.len;
	weft_mutex_unlock(&c->wlock);
	return n;
}

static size_t backlog_of(struct conn *c)
{
	size_t n;

	T_EQ(weft_mutex_lock(&c->block), 0);
	n = c->backlog;
	weft_mutex_unlock(&c->block);
	return n;
}

/* Beyond the bounds there is one message at most. */
static int bounded(void *arg)
{
	struct conn *to, *from;
	weft_actor_ref ear;
	struct pair p;
	struct ear e;
	char big[2000];
	int n = 300;

	(void)arg;
	memset(big, 'x', sizeof big);
	two_begin(&p, (weft_erl_opts){.out_max = 4000, .backlog_max = 8000});
	ear = ear_start(&e, 1);
	T_EQ(weft_erl_ping(p.a, B), 0);
	T_EQ(weft__erl_conn_get(p.a, B, WEFT_FOREVER, &to), 0);
	T_EQ(weft__erl_conn_get(p.b, A, WEFT_FOREVER, &from), 0);
	for (int i = 0; i < n; i++) {
		ei_x_buff x = {.buff = NULL};

		T_EQ(ei_x_new(&x), 0);
		T_EQ(ei_x_encode_binary(&x, big, sizeof big), 0);
		T_EQ(send_term(p.a, weft_erl_at("ear", B), x), 0);
		T_LE(out_of(to), 4000 + sizeof big + 256);
		T_LE(backlog_of(from), 8000 + sizeof big + 1024);
	}
	weft__erl_conn_unref(to);
	weft__erl_conn_unref(from);
	ear_until(&e, n);
	T_EQ(e.bytes, (size_t)n * (sizeof big + 5));
	end_actor(ear);
	two_end(&p);
	return 0;
}

TEST_WORKERS(bytes_that_wait_have_a_bound)
{
	run_net(bounded, NULL);
}

/* --- a peer that reads no more --- */

struct sending {
	weft_erl *n;
	ei_x_buff x;
	int64_t deadline;
	int rc;
};

static int sends(void *arg)
{
	struct sending *s = arg;

	s->rc = weft_erl_send_until(s->n, weft_erl_at("ear", B), s->x.buff, (size_t)s->x.index, s->deadline);
	return 0;
}

/* Waits for room; or has found some. */
static weft_task *waits_to_send(struct sending *s)
{
	weft_task *t;

	s->deadline = WEFT_FOREVER;
	t = start(sends, s);
	until(strcmp(weft_task_reason(t), "condition") == 0 || weft_task_stateof(t) == WEFT_TASK_DONE);
	return t;
}

static int full(void *arg)
{
	static char big[64 << 10];
	struct sending s;
	weft_actor_ref ear;
	weft_task *t;
	struct pair p;
	struct ear e;
	int rc;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.out_max = 4000, .backlog_max = 8000});
	ear = ear_start(&e, 1);
	T_EQ(weft_actor_suspend(ear), 0);
	T_EQ(weft_erl_connect(p.a, B), 0);
	s = (struct sending){.n = p.a, .x = term_begin(), .deadline = WEFT_NOW};
	T_EQ(ei_x_encode_binary(&s.x, big, sizeof big), 0);
	do { /* what is on its way may make room again for a while: so each of these until it comes */
		s.deadline = WEFT_NOW;
		(void)sends(&s);
	} while (s.rc == 0);
	T_EQ(s.rc, WEFT_EAGAIN);
	do {
		s.deadline = weft_in(WEFT_MS);
		(void)sends(&s);
	} while (s.rc == 0);
	T_EQ(s.rc, WEFT_ETIMEDOUT);
	do {
		t = waits_to_send(&s);
		(void)weft_task_cancel(t); /* it may have ended */
		T_EQ(finish(t), 0);
	} while (s.rc == 0);
	T_EQ(s.rc, WEFT_ECANCELED);
	t = waits_to_send(&s);
	rc = weft_erl_stop_until(p.a, WEFT_NOW);
	T_OK(rc == WEFT_EAGAIN || rc == 0);
	T_EQ(finish(t), 0);
	T_OK(s.rc == WEFT_ENOTCONN || s.rc == WEFT_ECLOSED || s.rc == 0);
	T_EQ(weft_actor_kill(ear), 0);
	(void)weft_actor_wait(ear, NULL);
	T_EQ(weft_erl_stop(p.b), 0);
	book_close(&p.d);
	ei_x_free(&s.x);
	return 0;
}

TEST_WORKERS(who_sends_waits_while_the_peer_does_not_read)
{
	run_net(full, NULL);
}

/* --- long messages --- */

static int large(void *arg)
{
	static char big[1 << 20];
	weft_actor_ref ear;
	struct conn *c;
	struct pair p;
	struct ear e;
	ei_x_buff x = {.buff = NULL};
	size_t size;
	char *deep;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.message_max = (1 << 20) + 4096});
	ear = ear_start(&e, 0);
	T_EQ(ei_x_new(&x), 0);
	T_EQ(ei_x_encode_binary(&x, big, sizeof big), 0);
	T_EQ(weft_erl_send(p.a, weft_erl_at("ear", B), x.buff, (size_t)x.index), 0);
	ear_until(&e, 1);
	T_STR_EQ(e.last, "binary of 1048576");
	x.index = 0;
	T_EQ(ei_x_encode_list_header(&x, 2), 0);
	T_EQ(ei_x_encode_binary(&x, big, sizeof big), 0);
	T_EQ(ei_x_encode_binary(&x, big, sizeof big), 0);
	T_EQ(ei_x_encode_empty_list(&x), 0);
	T_EQ(weft_erl_connect(p.a, B), 0);
	T_EQ(weft__erl_conn_get(p.a, B, WEFT_FOREVER, &c), 0);
	T_EQ(weft_mutex_lock(&c->wlock), 0); /* so that they go together */
	append_term(c, "ear", "w\6before", 8);
	append_term(c, "ear", x.buff, (size_t)x.index); /* too long: the connection ends */
	weft_cond_signal(&c->work);
	weft_mutex_unlock(&c->wlock);
	weft__erl_conn_unref(c);
	T_EQ(weft_erl_watch(p.a, B), 0);
	ear_until(&e, 2);
	T_STR_EQ(e.last, "before");
	T_EQ(send_term(p.a, weft_erl_at("ear", B), TERM("again")), 0);
	ear_until(&e, 3);
	T_STR_EQ(e.last, "again");
	deep = nested("h\1", 2, WEFT_ERL_DEPTH + 1, "", 0, &size);
	T_EQ(weft__erl_conn_get(p.a, B, WEFT_FOREVER, &c), 0);
	T_EQ(weft_mutex_lock(&c->wlock), 0);
	append_term(c, "ear", deep, size);
	weft_cond_signal(&c->work);
	weft_mutex_unlock(&c->wlock);
	weft__erl_conn_unref(c);
	free(deep);
	T_EQ(weft_erl_watch(p.a, B), 0);
	T_EQ(send_term(p.a, weft_erl_at("ear", B), TERM("again")), 0);
	ear_until(&e, 4);
	T_STR_EQ(e.last, "again");
	end_actor(ear);
	two_end(&p);
	ei_x_free(&x);
	return 0;
}

TEST_WORKERS(long_messages_have_a_bound)
{
	run_net(large, NULL);
}

/* --- ends of calls --- */

struct asking {
	weft_erl *n;
	weft_erl_to to;
	const char *what;
	int rc;
	char got[64]; /* once rc is 0 */
};

static int asks(void *arg)
{
	struct asking *a = arg;

	a->rc = call_term(a->n, a->to, TERM(a->what), a->got, sizeof a->got, WEFT_FOREVER);
	return 0;
}

static weft_task *until_asks(struct asking *a, struct store *s, int asked)
{
	weft_task *t = start(asks, a);

	until(s->asked == asked);
	until_reason(t, "condition");
	return t;
}

static int calls_end(void *arg)
{
	weft_actor_ref store;
	struct asking q;
	weft_erl_stat st;
	struct store s;
	struct pair p;
	weft_task *t;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	store = store_start(&s);
	q = (struct asking){.n = p.a, .to = weft_erl_at("store", B), .what = "silent"};
	t = until_asks(&q, &s, 1);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), 0);
	T_EQ(q.rc, WEFT_ECANCELED);
	t = until_asks(&q, &s, 2);
	end_actor(store);
	T_EQ(finish(t), 0);
	T_EQ(q.rc, WEFT_EDOWN);
	store = store_start(&s);
	t = until_asks(&q, &s, 1);
	T_EQ(weft_erl_disconnect(p.b, A), 0);
	T_EQ(finish(t), 0);
	T_EQ(q.rc, WEFT_ENOTCONN);
	t = until_asks(&q, &s, 2); /* by another connection */
	T_EQ(weft_erl_stats(p.a, &st), 0);
	T_EQ(st.calls, 1);
	T_EQ(weft_erl_stop(p.a), 0);
	T_EQ(finish(t), 0);
	T_EQ(q.rc, WEFT_ECLOSED);
	end_actor(store);
	T_EQ(weft_erl_stop(p.b), 0);
	book_close(&p.d);
	return 0;
}

TEST_WORKERS(calls_end_with_whom_they_ask)
{
	run_net(calls_end, NULL);
}

/* It ends as soon as it has answered: the answer is there first. */
static int last_words(void *arg)
{
	weft_actor_ref store;
	struct store s;
	struct pair p;
	char got[64];

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	for (int i = 0; i < tap_iters(100); i++) {
		store = store_start(&s);
		T_EQ(call_term(p.a, weft_erl_at("store", B), TERM("stop"), got, sizeof got, WEFT_FOREVER), 0);
		T_STR_EQ(got, "{ok, bye}");
		(void)weft_actor_wait(store, NULL);
	}
	two_end(&p);
	return 0;
}

TEST_WORKERS(an_answer_comes_before_the_end)
{
	run_net(last_words, NULL);
}

/* A call that its caller has given up while there was no room for it is never served. */
static int given_up(void *arg)
{
	weft_actor_ref store;
	struct store s;
	struct pair p;
	char got[64];

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	store = store_start(&s);
	T_EQ(weft_actor_suspend(store), 0);
	T_EQ(weft_erl_connect(p.a, B), 0);
	T_EQ(call_term(p.a, weft_erl_at("store", B), TERM("{add,1}"), got, sizeof got, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(call_term(p.a, weft_erl_at("net_kernel", B), TERM("{is_auth,x}"), got, sizeof got, WEFT_FOREVER),
	     0); /* behind the end of that */
	T_EQ(weft_actor_resume(store), 0);
	T_EQ(call_term(p.a, weft_erl_at("store", B), TERM("{add,10}"), got, sizeof got, WEFT_FOREVER), 0);
	T_STR_EQ(got, "10");
	end_actor(store);
	two_end(&p);
	return 0;
}

TEST_WORKERS(a_call_that_was_given_up_is_not_served)
{
	run_net(given_up, NULL);
}

/* --- calls that are answered later --- */

/* A server that counts what it is asked, and keeps whom to answer. */
struct keeper {
	_Atomic int asked;
	weft_from from;
};

static int keeps(void *state, weft_msg *m, weft_from from)
{
	struct keeper *k = state;

	T_EQ(m->tag, WEFT_ERL_CALL);
	k->from = from;
	k->asked++;
	return 0;
}

static int passes_over(void *state, weft_msg *m)
{
	(void)state;
	T_EQ(m->tag, WEFT_ERL_SEND);
	return 0;
}

static weft_actor_ref keeper_start(struct keeper *k, uint32_t cap)
{
	static const weft_server_vt vt = {.call = keeps, .info = passes_over};
	weft_actor_ref ref;

	k->asked = 0;
	T_EQ(weft_server_start(&ref, &vt, k, &(weft_server_opts){.name = "keeper", .mailbox = {.cap = cap}}), 0);
	return ref;
}

static weft_task *asks_keeper(struct asking *q, weft_erl *n)
{
	*q = (struct asking){.n = n, .to = weft_erl_at("keeper", B), .what = "get"};
	return start(asks, q);
}

/* What a server answers with comes there, whatever else its code means here; and before the end of a node that is stopped at once. */
static int codes(void *arg)
{
	static const int all[] = {-42, WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_ESRCH, WEFT_EDOWN, WEFT_ENOTCONN};
	char wanted[64];
	struct asking q;
	struct keeper k;
	weft_actor_ref ref;
	weft_task *t;
	struct pair p;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	ref = keeper_start(&k, 0);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		t = asks_keeper(&q, p.a);
		until(k.asked == (int)i + 1);
		T_EQ(weft_server_fail(k.from, all[i]), 0);
		T_EQ(finish(t), 0);
		T_EQ(q.rc, 0);
		snprintf(wanted, sizeof wanted, "{error, {weft, %d}}", all[i]);
		T_STR_EQ(q.got, wanted);
	}
	end_actor(ref);
	two_end(&p);
	return 0;
}

TEST_WORKERS(any_code_may_be_an_answer)
{
	run_net(codes, NULL);
}

static int stopped(void *arg)
{
	struct asking q, r;
	struct keeper k;
	weft_actor_ref ref;
	weft_task *t, *u;
	weft_from from;
	struct pair p;

	(void)arg;
	for (int i = 0; i < tap_iters(10); i++) {
		two_begin(&p, (weft_erl_opts){.tick = 0});
		ref = keeper_start(&k, 0);
		t = asks_keeper(&q, p.a);
		until(k.asked == 1);
		from = k.from;
		u = asks_keeper(&r, p.a);
		until(k.asked == 2);
		T_EQ(i % 2 ? weft_server_fail(from, -42) : weft_server_reply(from, "w\4done", 6), 0);
		T_EQ(weft_erl_stop(p.b), 0);
		T_EQ(finish(t), 0);
		T_EQ(q.rc, 0);
		T_STR_EQ(q.got, i % 2 ? "{error, {weft, -42}}" : "done");
		T_EQ(finish(u), 0);
		T_EQ(r.rc, WEFT_ENOTCONN); /* it has no answer, and is not waited for */
		end_actor(ref);
		T_EQ(weft_erl_stop(p.a), 0);
		book_close(&p.d);
	}
	return 0;
}

TEST_WORKERS(an_answer_comes_before_the_end_of_the_node)
{
	run_net(stopped, NULL);
}

static size_t asked_of(struct conn *c)
{
	size_t n;

	T_EQ(weft_mutex_lock(&c->block), 0);
	n = c->asked.count;
	weft_mutex_unlock(&c->block);
	return n;
}

/* Calls that wait behind messages for which there is no room: given up by their caller, by the loss of the connection, by the end of the node. */
static int aside(void *arg)
{
	struct asking q;
	struct keeper k;
	weft_actor_ref ref;
	struct conn *c;
	weft_task *t;
	struct pair p;
	char got[64];

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	ref = keeper_start(&k, 1);
	T_EQ(weft_erl_connect(p.a, B), 0);
	T_EQ(weft__erl_conn_get(p.b, A, WEFT_FOREVER, &c), 0);
	T_EQ(weft_actor_suspend(ref), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(send_term(p.a, weft_erl_at("keeper", B), TERM("~i", (long)i)), 0);
	t = asks_keeper(&q, p.a);
	until(asked_of(c) == 1);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), 0);
	T_EQ(q.rc, WEFT_ECANCELED);
	T_EQ(call_term(p.a, weft_erl_at("net_kernel", B), TERM("{is_auth,x}"), got, sizeof got, WEFT_FOREVER), 0); /* behind that */
	T_EQ(weft_actor_resume(ref), 0);
	until(asked_of(c) == 0);
	T_EQ(weft_actor_suspend(ref), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(send_term(p.a, weft_erl_at("keeper", B), TERM("~i", (long)i)), 0);
	t = asks_keeper(&q, p.a);
	until(asked_of(c) == 1);
	T_EQ(weft_erl_disconnect(p.a, B), 0);
	T_EQ(finish(t), 0);
	T_EQ(q.rc, WEFT_ENOTCONN);
	T_EQ(weft_erl_watch(p.b, A), 0);
	T_EQ(weft_actor_resume(ref), 0);
	until(asked_of(c) == 0);
	T_EQ(k.asked, 0);
	weft__erl_conn_unref(c);
	T_EQ(weft_actor_suspend(ref), 0);
	T_EQ(weft_erl_connect(p.a, B), 0);
	T_EQ(weft__erl_conn_get(p.b, A, WEFT_FOREVER, &c), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(send_term(p.a, weft_erl_at("keeper", B), TERM("~i", (long)i)), 0);
	t = asks_keeper(&q, p.a);
	until(asked_of(c) == 1);
	weft__erl_conn_unref(c);
	T_EQ(weft_erl_stop(p.b), 0); /* waits for none of them */
	T_EQ(finish(t), 0);
	T_EQ(q.rc, WEFT_ENOTCONN);
	T_EQ(weft_actor_kill(ref), 0);
	(void)weft_actor_wait(ref, NULL);
	T_EQ(k.asked, 0);
	T_EQ(weft_erl_stop(p.a), 0);
	book_close(&p.d);
	return 0;
}

TEST_WORKERS(a_call_behind_messages_may_be_given_up)
{
	run_net(aside, NULL);
}

enum { CROWD = 100 };

struct caller {
	weft_actor_ref to;
	weft_task *task;
	int rc;
};

static int calls(void *arg)
{
	struct caller *c = arg;
	char reply[16];

	c->rc = weft_server_call(c->to, 0, "w\3get", 5, reply, sizeof reply);
	return 0;
}

static void crowd_calls(struct caller *crowd, weft_actor_ref to)
{
	for (int i = 0; i < CROWD; i++) {
		crowd[i].to = to;
		crowd[i].task = start(calls, &crowd[i]);
	}
}

static void crowd_ends(struct caller *crowd, int rc)
{
	for (int i = 0; i < CROWD; i++) {
		T_EQ(finish(crowd[i].task), 0);
		T_EQ(crowd[i].rc, rc);
	}
}

static uint32_t calls_of(weft_erl *n)
{
	weft_erl_stat st;

	T_EQ(weft_erl_stats(n, &st), 0);
	return st.calls;
}

/* Calls that a stand-in has passed on: given up by their callers they do not stay for ever, nor behind its end. */
static int crowd(void *arg)
{
	struct caller all[CROWD], more[CROWD];
	weft_actor_ref ref, there;
	struct keeper k;
	struct pair p;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	ref = keeper_start(&k, 0);
	T_EQ(weft_erl_stand_in(p.a, &there, weft_erl_at("keeper", B)), 0);
	crowd_calls(all, there);
	until(k.asked == CROWD);
	T_EQ(calls_of(p.a), CROWD);
	for (int i = 0; i < CROWD; i++)
		T_EQ(weft_task_cancel(all[i].task), 0);
	crowd_ends(all, WEFT_ECANCELED);
	crowd_calls(more, there);
	until(k.asked == 2 * CROWD);
	until(calls_of(p.a) == CROWD); /* those who wait */
	T_EQ(weft_actor_stop_wait(there), 0);
	crowd_ends(more, WEFT_EDOWN);
	until(calls_of(p.a) == 0);
	T_EQ(weft_erl_stand_in(p.a, &there, weft_erl_at("keeper", B)), 0);
	crowd_calls(all, there);
	until(k.asked == 3 * CROWD);
	T_EQ(weft_actor_kill(ref), 0);
	crowd_ends(all, WEFT_EDOWN);
	two_end(&p);
	return 0;
}

TEST_WORKERS(calls_by_a_stand_in_that_are_given_up_do_not_stay)
{
	run_net(crowd, NULL);
}

/* All whom a server has left without an answer hear of its end, behind the answers to others. */
static int orphans(void *arg)
{
	static struct asking q[CROWD];
	weft_task *t[CROWD];
	struct keeper k;
	weft_actor_ref ref;
	struct pair p;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	ref = keeper_start(&k, 0);
	for (int i = 0; i < CROWD; i++) {
		t[i] = asks_keeper(&q[i], p.a);
		if (i % 2 == 0)
			continue;
		until(k.asked == i + 1);
		T_EQ(weft_server_reply(k.from, "w\4done", 6), 0);
	}
	T_EQ(weft_actor_kill(ref), 0);
	for (int i = 0, answered = 0; i < CROWD; i++) {
		T_EQ(finish(t[i]), 0);
		T_OK(q[i].rc == 0 || q[i].rc == WEFT_EDOWN);
		answered += q[i].rc == 0;
		if (i == CROWD - 1)
			T_EQ(answered, CROWD / 2);
	}
	two_end(&p);
	return 0;
}

TEST_WORKERS(all_who_ask_hear_of_the_end_of_a_server)
{
	run_net(orphans, NULL);
}

/* A pair that comes to the pid of a call, and is not its answer. */
static int progress(void *arg)
{
	weft_actor_ref ref;
	struct keeper k;
	struct asking q;
	erlang_pid who;
	weft_task *t;
	struct pair p;
	struct id *id;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	ref = keeper_start(&k, 0);
	t = asks_keeper(&q, p.a);
	until(k.asked == 1);
	T_EQ(weft_erl_pid(p.a, ref, &who), 0); /* the number behind the call's */
	T_EQ(weft_mutex_lock(&p.a->lock), 0);
	id = weft__erl_id(p.a, --who.num);
	T_OK(id && id->call);
	weft_mutex_unlock(&p.a->lock);
	T_EQ(send_term(p.b, weft_erl_at_pid(&who), TERM("{progress,~i}", 10)), 0);
	T_EQ(send_term(p.b, weft_erl_at_pid(&who), TERM("none")), 0);
	T_EQ(weft_server_reply(k.from, "w\4done", 6), 0);
	T_EQ(finish(t), 0);
	T_EQ(q.rc, 0);
	T_STR_EQ(q.got, "done");
	end_actor(ref);
	two_end(&p);
	return 0;
}

TEST_WORKERS(a_call_is_answered_by_its_answer_alone)
{
	run_net(progress, NULL);
}

/* A server that gets numbers, by calls and casts in turn. */
struct turns {
	_Atomic long next;
	long wrong;
};

static void in_turn(struct turns *t, weft_msg *m, uint64_t tag)
{
	const char *term = weft_erl_term(m, NULL, NULL);
	int at = 0;
	long n;

	T_EQ(m->tag, tag);
	T_EQ(ei_decode_long(term, &at, &n), 0);
	t->wrong += n != t->next;
	t->next++;
}

static int turn_call(void *state, weft_msg *m, weft_from from)
{
	in_turn(state, m, WEFT_ERL_CALL);
	(void)weft_server_reply(from, "j", 1);
	return 0;
}

static int turn_cast(void *state, weft_msg *m)
{
	in_turn(state, m, WEFT_ERL_CAST);
	return 0;
}

/* A call, or a cast, of v to "turns", as Erlang says it; under wlock. */
static void append_turn(struct conn *c, long v)
{
	struct out o = {.at = NULL};

	weft__erl_tuple(&o, v % 2 ? 2 : 3);
	weft__erl_atom(&o, v % 2 ? "$gen_cast" : "$gen_call");
	if (v % 2 == 0) {
		weft__erl_tuple(&o, 2);
		weft__erl_pid(c->n, &o, 0);
		weft__erl_ref(c->n, &o);
	}
	weft__erl_int(&o, v);
	T_OK(!o.failed);
	append_term(c, "turns", o.at, o.len);
	weft__erl_out_free(&o);
}

/* A call comes in its turn among messages of the same process, whoever steals. */
static int turns(void *arg)
{
	static const weft_server_vt vt = {.call = turn_call, .cast = turn_cast};
	long sent = 0, n = tap_iters(2000);
	struct turns s = {.next = 0};
	weft_actor_ref ref;
	struct conn *c;
	struct pair p;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	T_EQ(weft_server_start(&ref, &vt, &s, &(weft_server_opts){.name = "turns"}), 0);
	T_EQ(weft_erl_connect(p.a, B), 0);
	T_EQ(weft__erl_conn_get(p.a, B, WEFT_FOREVER, &c), 0);
	while (sent < n) {
		T_EQ(weft_mutex_lock(&c->wlock), 0);
		for (int i = 0; i < 4; i++)
			append_turn(c, sent++);
		weft_cond_signal(&c->work);
		weft_mutex_unlock(&c->wlock);
		until(s.next == sent);
	}
	T_EQ(s.wrong, 0);
	weft__erl_conn_unref(c);
	end_actor(ref);
	two_end(&p);
	return 0;
}

TEST_WORKERS(a_call_comes_in_its_turn)
{
	run_net(turns, NULL);
}

/* --- a connection of which nothing is read --- */

/* b keeps as much as its bound allows, and reads no more of a. */
static struct conn *until_full(struct pair *p, weft_actor_ref ear)
{
	static char big[2000];
	struct conn *c;

	T_EQ(weft_actor_suspend(ear), 0);
	for (int i = 0; i < 8; i++) {
		ei_x_buff x = term_begin();

		T_EQ(ei_x_encode_binary(&x, big, sizeof big), 0);
		T_EQ(send_term(p->a, weft_erl_at("ear", B), x), 0);
	}
	T_EQ(weft__erl_conn_get(p->b, A, WEFT_FOREVER, &c), 0);
	until(backlog_of(c) > c->n->backlog_max);
	return c;
}

/* Whoever cuts it is obeyed all the same, whoever waits for anything of it hears so, and there may be another. */
static int stuck(void *arg)
{
	weft_actor_ref store, ear, there;
	struct asking q;
	struct watcher v;
	struct store s;
	struct conn *c;
	weft_task *t;
	struct pair p;
	struct ear e;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.backlog_max = 8000});
	store = store_start(&s);
	ear = ear_start(&e, 1);
	T_EQ(weft_erl_stand_in(p.b, &there, weft_erl_at("store", A)), 0);
	watch_begin(&v, there);
	q = (struct asking){.n = p.b, .to = weft_erl_at("store", A), .what = "silent"};
	t = until_asks(&q, &s, 1);
	c = until_full(&p, ear);
	T_EQ(weft_erl_disconnect(p.b, A), 0);
	T_EQ(weft_erl_watch(p.b, A), 0);
	watch_end(&v, WEFT_END_CODE, WEFT_ENOTCONN);
	T_EQ(finish(t), 0);
	T_EQ(q.rc, WEFT_ENOTCONN);
	weft__erl_conn_unref(c);
	T_EQ(weft_erl_watch(p.a, B), 0);
	weft__erl_conn_unref(until_full(&p, ear));
	T_EQ(weft_erl_stop(p.b), 0);
	T_EQ(weft_actor_kill(ear), 0);
	(void)weft_actor_wait(ear, NULL);
	end_actor(store);
	T_EQ(weft_erl_stop(p.a), 0);
	book_close(&p.d);
	return 0;
}

TEST_WORKERS(a_connection_of_which_nothing_is_read_may_end)
{
	run_net(stuck, NULL);
}

/* What does not wait for room has a bound as well: news of those whom a peer asks after, which reads nothing. Calls wait before they say anything. */
static int mute(void *arg)
{
	weft_actor_ref ear;
	struct conn *c;
	struct pair p;
	struct ear e;
	size_t len, most = 0;
	char got[64];
	int rc;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.out_max = 4000, .backlog_max = 8000});
	ear = ear_start(&e, 1);
	weft__erl_conn_unref(until_full(&p, ear));
	T_EQ(weft__erl_conn_get(p.a, B, WEFT_FOREVER, &c), 0);
	do { /* until nothing goes; the writer may be late, and take what is there */
		ei_x_buff x = term_begin();

		T_EQ(ei_x_encode_binary(&x, (char[4000]){0}, 4000), 0);
		rc = weft_erl_send_until(p.a, weft_erl_at("ear", B), x.buff, (size_t)x.index, weft_in(WEFT_MS));
		ei_x_free(&x);
		len = out_of(c);
	} while (rc == 0 || len <= 4000);
	T_EQ(rc, WEFT_ETIMEDOUT);
	for (int i = 0; i < 5; i++) /* if room there is, that is less */
		T_EQ(call_term(p.a, weft_erl_at("nobody", B), TERM("get"), got, sizeof got, weft_in(WEFT_MS / 5)), WEFT_ETIMEDOUT);
	T_LE(out_of(c), len);
	for (;;) {
		struct out o = {.at = NULL};

		weft__erl_raw(&o, (char[1000]){0}, 1000);
		rc = weft__erl_put(c, &o, NULL, WEFT_NOW);
		weft__erl_out_free(&o);
		if (rc)
			break;
		len = out_of(c);
		T_LE(len, 4000 + 8000 + 1100);
		most = len > most ? len : most;
	}
	T_EQ(rc, WEFT_ENOTCONN);
	T_GT(most, 4000 + 8000);
	weft__erl_conn_unref(c);
	T_EQ(weft_erl_watch(p.a, B), 0);
	T_EQ(weft_actor_kill(ear), 0);
	(void)weft_actor_wait(ear, NULL);
	two_end(&p);
	return 0;
}

TEST_WORKERS(what_does_not_wait_for_room_has_a_bound)
{
	run_net(mute, NULL);
}

static int stops(void *arg)
{
	return weft_erl_stop(arg);
}

/* What waits to be sent to a node that reads nothing is waited for as long as whoever stops it says. */
static int unsent(void *arg)
{
	static const char ticks[8 << 20]; /* more than sockets take */
	static const int codes[] = {WEFT_EAGAIN, WEFT_ETIMEDOUT, WEFT_ECANCELED};
	struct conn *to, *from;
	weft_actor_ref ear;
	struct pair p;
	weft_task *t;
	struct ear e;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		two_begin(&p, (weft_erl_opts){.backlog_max = 8000});
		ear = ear_start(&e, 1);
		T_EQ(weft_erl_ping(p.a, B), 0);
		T_EQ(weft__erl_conn_get(p.a, B, WEFT_FOREVER, &to), 0);
		T_EQ(weft__erl_conn_get(p.b, A, WEFT_FOREVER, &from), 0);
		T_EQ(setsockopt(number_of(to->tcp), SOL_SOCKET, SO_SNDBUF, &(int){1 << 16}, sizeof(int)), 0);
		T_EQ(setsockopt(number_of(from->tcp), SOL_SOCKET, SO_RCVBUF, &(int){1 << 16}, sizeof(int)), 0);
		weft__erl_conn_unref(until_full(&p, ear));
		T_EQ(weft_mutex_lock(&to->wlock), 0);
		weft__erl_raw(&to->out, ticks, sizeof ticks);
		weft_cond_signal(&to->work);
		weft_mutex_unlock(&to->wlock);
		weft__erl_conn_unref(to);
		weft__erl_conn_unref(from);
		if (codes[i] == WEFT_EAGAIN) {
			T_EQ(weft_erl_stop_until(p.a, WEFT_NOW), WEFT_EAGAIN);
		} else if (codes[i] == WEFT_ETIMEDOUT) {
			T_EQ(weft_erl_stop_until(p.a, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
		} else {
			t = start(stops, p.a);
			until_reason(t, "condition");
			T_EQ(weft_task_cancel(t), 0);
			T_EQ(finish(t), WEFT_ECANCELED);
		}
		T_EQ(weft_actor_kill(ear), 0);
		(void)weft_actor_wait(ear, NULL);
		T_EQ(weft_erl_stop(p.b), 0);
		book_close(&p.d);
	}
	return 0;
}

TEST_WORKERS(who_stops_a_node_says_for_how_long_it_sends)
{
	run_net(unsent, NULL);
}

/* --- loss --- */

struct watching {
	weft_erl *n;
	int rc;
};

static int watches(void *arg)
{
	struct watching *w = arg;

	w->rc = weft_erl_watch(w->n, B);
	return 0;
}

/* One that is made again before whoever watches has looked has ended all the same. */
static int again(void *arg)
{
	struct conn next = {.state = CONN_UP, .peer = B};
	struct watching w;
	struct conn *c;
	weft_task *t;
	struct pair p;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	T_EQ(weft_erl_connect(p.a, B), 0);
	w.n = p.a;
	t = start(watches, &w);
	until_reason(t, "condition");
	T_EQ(weft__erl_conn_get(p.a, B, WEFT_FOREVER, &c), 0);
	T_EQ(weft_mutex_lock(&p.a->lock), 0);
	T_OK(p.a->conns == c && !c->next);
	c->state = CONN_DOWN;
	p.a->conns = &next;
	weft_cond_broadcast(&p.a->changed);
	weft_mutex_unlock(&p.a->lock);
	T_EQ(finish(t), 0);
	T_EQ(w.rc, 0);
	T_EQ(weft_mutex_lock(&p.a->lock), 0);
	c->state = CONN_UP;
	p.a->conns = c;
	weft_mutex_unlock(&p.a->lock);
	weft__erl_conn_unref(c);
	two_end(&p);
	return 0;
}

TEST_WORKERS(who_watches_a_connection_hears_of_its_end)
{
	run_net(again, NULL);
}

/* What asks for a connection that is there, of a node whose tasks' context has ended. */
static int cut_off(void *arg)
{
	weft_ctx *ctx = weft_ctx_make(NULL);
	struct epmd d;
	weft_erl *a, *b;
	weft_erl_stat st;
	int rc;

	(void)arg;
	T_OK(ctx);
	book_open(&d);
	a = node(&d, A, (weft_erl_opts){.ctx = ctx});
	b = node(&d, B, (weft_erl_opts){.tick = 0});
	T_EQ(weft_erl_connect(a, B), 0);
	T_EQ(weft_ctx_cancel(ctx, 0), 0);
	T_EQ(weft_erl_watch(b, A), 0);
	rc = weft_erl_watch(a, B);
	T_OK(rc == 0 || rc == WEFT_ECLOSED); /* as far as it is */
	T_EQ(weft_erl_connect(a, B), WEFT_ECLOSED);
	T_EQ(send_term(a, weft_erl_at("x", B), TERM("x")), WEFT_ECLOSED);
	while (weft_erl_stats(a, &st) == 0)
		let_run();
	T_EQ(weft_erl_stop(a), 0);
	T_EQ(weft_erl_stop(b), 0);
	weft_ctx_free(ctx);
	book_close(&d);
	return 0;
}

TEST_WORKERS(a_node_whose_context_has_ended_is_closed)
{
	run_net(cut_off, NULL);
}

/* b speaks every few hours, and a waits for a minute. */
static int silent(void *arg)
{
	struct epmd d;
	weft_erl *a, *b;

	(void)arg;
	book_open(&d);
	a = node(&d, A, (weft_erl_opts){.tick = 60 * WEFT_SEC});
	b = node(&d, B, (weft_erl_opts){.tick = 10 * 3600 * WEFT_SEC});
	T_EQ(weft_erl_connect(a, B), 0);
	time_fake();
	while (weft_erl_connected(a, B)) {
		time_move(30 * WEFT_SEC);
		let_run();
	}
	time_real();
	T_EQ(weft_erl_watch(b, A), 0);
	T_EQ(weft_erl_ping(b, A), 0);
	T_EQ(weft_erl_stop(a), 0);
	T_EQ(weft_erl_stop(b), 0);
	book_close(&d);
	return 0;
}

TEST_WORKERS(a_node_that_says_nothing_is_lost)
{
	run_net(silent, NULL);
}

/* --- nonsense --- */

static int strangers(void *arg)
{
	static const char *const says[] = {"",
					   "\0",
					   "\0\0",
					   "\0\1N",
					   "\0\3sok",
					   "\377\377NNNN",
					   "\0\x0fN\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
					   "\0\x12N\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\1\0\3x@y\0\5r\0\0\0\0"};
	static const size_t len[] = {0, 1, 2, 3, 5, 6, 17, 27};
	char at[WEFT_ADDR_TEXT], buf[256];
	struct pair p;
	weft_tcp *c;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	snprintf(at, sizeof at, "127.0.0.1:%d", weft_erl_port(p.a));
	for (size_t i = 0; i < sizeof len / sizeof len[0]; i++) {
		c = dial_to(at);
		T_EQ(weft_tcp_write(c, says[i], len[i], NULL), (ssize_t)len[i]);
		(void)weft_tcp_shutdown(c, SHUT_WR); /* it may have sent us away already */
		while (weft_tcp_read(c, buf, sizeof buf) > 0)
			;
		weft_tcp_close(c);
	}
	T_EQ(weft_erl_ping(p.b, A), 0);
	two_end(&p);
	return 0;
}

TEST_WORKERS(strangers_are_sent_away)
{
	run_net(strangers, NULL);
}

struct door {
	char at[WEFT_ADDR_TEXT];
	_Atomic bool shut;
};

static int comes(void *arg)
{
	struct door *d = arg;
	weft_tcp *c;

	while (!d->shut && weft_tcp_dial(&c, d->at) == 0)
		weft_tcp_close(c);
	return 0;
}

static int throng(void *arg)
{
	weft_task *t[2];
	struct door o;
	struct epmd d;
	weft_erl *n;

	(void)arg;
	for (int i = 0; i < tap_iters(20); i++) {
		book_open(&d);
		n = node(&d, A, (weft_erl_opts){.tick = 0});
		o.shut = false;
		snprintf(o.at, sizeof o.at, "127.0.0.1:%d", weft_erl_port(n));
		for (int k = 0; k < 2; k++)
			t[k] = start(comes, &o);
		for (int k = 0; k < i % 8; k++)
			let_run();
		T_EQ(weft_erl_stop(n), 0);
		o.shut = true;
		for (int k = 0; k < 2; k++)
			T_EQ(finish(t[k]), 0);
		book_close(&d);
	}
	return 0;
}

TEST_WORKERS(strangers_may_come_while_a_node_is_stopped)
{
	run_net(throng, NULL);
}

/* One that says the name of a node that is connected, and that the old connection is to go; but has no cookie. */
static int impostor(void *arg)
{
	static const char says[] = "\0\x1aN\0\0\0\4\x07\7\xff\xff"
				   "\0\0\0\1\0\x0b" B;
	char at[WEFT_ADDR_TEXT];
	unsigned char buf[256];
	weft_actor_ref ear, there;
	struct conn *c, *d;
	struct pair p;
	struct ear e;
	weft_tcp *t;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	ear = ear_start(&e, 0);
	T_EQ(weft_erl_stand_in(p.a, &there, weft_erl_at("ear", B)), 0);
	T_EQ(weft__erl_conn_get(p.a, B, WEFT_FOREVER, &c), 0);
	snprintf(at, sizeof at, "127.0.0.1:%d", weft_erl_port(p.a));
	for (int i = 0; i < 2; i++) {
		t = dial_to(at);
		T_EQ(weft_tcp_write(t, says, sizeof says - 1, NULL), (ssize_t)sizeof says - 1);
		T_EQ(reads_n(t, buf, 2 + 6), 0);
		T_OK(memcmp(buf, "\0\6salive", 8) == 0);
		T_EQ(weft_tcp_write(t, "\0\5strue", 7, NULL), 7);
		T_EQ(reads_n(t, buf, 2), 0);
		T_EQ(reads_n(t, buf + 2, buf[1]), 0);
		T_EQ(buf[2], 'N');
		if (i == 1) {
			T_EQ(weft_tcp_write(t, "\0\x15r01230123456789abcdef", 23, NULL), 23);
			while (weft_tcp_read(t, buf, sizeof buf) > 0)
				;
		}
		weft_tcp_close(t);
	}
	T_EQ(weft_erl_ping(p.a, B), 0);
	T_EQ(weft__erl_conn_get(p.a, B, WEFT_FOREVER, &d), 0);
	T_OK(c == d);
	weft__erl_conn_unref(c);
	weft__erl_conn_unref(d);
	T_OK(weft_actor_alive(there));
	T_EQ(weft_actor_stop_wait(there), 0);
	end_actor(ear);
	two_end(&p);
	return 0;
}

TEST_WORKERS(a_stranger_ends_no_connection)
{
	run_net(impostor, NULL);
}

/* One that has the cookie, and then says what is no message: the connection ends, and everything else goes on. */
static int liar(void *arg)
{
	static const struct {
		const char *bytes;
		size_t n;
	} lies[] = {
		{"\0\0\0\1x", 5},
		{"\0\0\0\1p", 5},
		{"\0\0\0\3p\x83h", 7},
		{"\0\0\0\4p\x83"
		 "a\1",
		 8},
		{"\0\0\0\4p\x83h\0", 8},
		{"\0\0\0\6p\x83h\1a\2", 10},
		{"\0\0\0\x0ap\x83h\3a\2w\0a\1", 14},
		{"\x7f\xff\xff\xffp", 5},
	};
	struct pair p;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		struct conn *c;

		T_EQ(weft__erl_conn_get(p.a, B, WEFT_FOREVER, &c), 0);
		T_EQ(weft_mutex_lock(&c->wlock), 0);
		weft__erl_raw(&c->out, lies[i].bytes, lies[i].n);
		weft_cond_signal(&c->work);
		weft_mutex_unlock(&c->wlock);
		weft__erl_conn_unref(c);
		T_EQ(weft_erl_watch(p.a, B), 0);
		T_EQ(weft_erl_watch(p.b, A), 0);
	}
	T_EQ(weft_erl_ping(p.a, B), 0);
	two_end(&p);
	return 0;
}

TEST_WORKERS(who_speaks_nonsense_is_cut_off)
{
	run_net(liar, NULL);
}

/* --- the sender of a message is nobody --- */

/* Whatever is done to m->from but to stop it, or to kill it, is done to nobody. */
static int is_rude(void *state, weft_msg *m)
{
	_Atomic int *heard = state;
	char buf[8];

	T_OK(weft_erl_term(m, NULL, NULL));
	if (!weft_actor_same(m->from, WEFT_NO_ACTOR)) {
		T_EQ(weft_actor_send(m->from, m->tag, "x", 1, WEFT_PRIO_NORMAL), 0);
		T_EQ(weft_server_call(m->from, m->tag, "x", 1, buf, sizeof buf), WEFT_ENOTSUP);
		T_EQ(weft_actor_signal(m->from, (weft_end){WEFT_END_CODE, -7}), 0);
		T_EQ(weft_actor_link(m->from), 0);
	}
	(*heard)++;
	return -7;
}

static int rude(void *arg)
{
	struct conn *c, *d;
	weft_actor_ref ref;
	_Atomic int heard = 0;
	struct pair p;
	weft_end e;

	(void)arg;
	two_begin(&p, (weft_erl_opts){.tick = 0});
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = is_rude, .state = &heard}), 0);
	T_EQ(weft_reg_put("rude", ref), 0);
	T_EQ(weft_erl_connect(p.a, B), 0);
	T_EQ(weft__erl_conn_get(p.a, B, WEFT_FOREVER, &c), 0);
	T_EQ(send_term(p.a, weft_erl_at("rude", B), TERM("hello")), 0);
	if (weft_actor_wait(ref, &e) == 0) /* it may be gone already */
		T_EQ(e.code, -7);
	T_EQ(heard, 1);
	T_EQ(weft_erl_ping(p.a, B), 0);
	T_EQ(weft_erl_ping(p.b, A), 0);
	T_EQ(weft__erl_conn_get(p.a, B, WEFT_FOREVER, &d), 0);
	T_OK(c == d);
	weft__erl_conn_unref(c);
	weft__erl_conn_unref(d);
	two_end(&p);
	return 0;
}

TEST_WORKERS(who_answers_the_sender_of_a_message_answers_nobody)
{
	run_net(rude, NULL);
}

/* --- names that are not for all --- */

static bool panics(const char *name, void *arg)
{
	(void)arg;
	if (strcmp(name, "panic") == 0)
		weft_task_panic("in allow");
	return true;
}

/* What a user's function does wrong ends the connection, and nobody waits for anything of it. */
static int panicked(void *arg)
{
	weft_actor_ref store, there;
	struct watcher v;
	struct store s;
	struct pair p;
	char got[64];

	(void)arg;
	two_begin(&p, (weft_erl_opts){.allow = panics});
	store = store_start(&s);
	T_EQ(weft_erl_stand_in(p.b, &there, weft_erl_at("store", A)), 0);
	watch_begin(&v, there);
	T_EQ(call_term(p.a, weft_erl_at("panic", B), TERM("get"), got, sizeof got, WEFT_FOREVER), WEFT_ENOTCONN);
	T_EQ(weft_erl_watch(p.b, A), 0);
	watch_end(&v, WEFT_END_CODE, WEFT_ENOTCONN);
	T_EQ(call_term(p.a, weft_erl_at("store", B), TERM("get"), got, sizeof got, WEFT_FOREVER), 0);
	T_STR_EQ(got, "0");
	end_actor(store);
	two_end(&p);
	return 0;
}

TEST_WORKERS(what_panics_in_a_function_of_a_user_ends_the_connection)
{
	run_net(panicked, NULL);
}

static bool only_ear(const char *name, void *arg)
{
	return strcmp(name, arg) == 0;
}

static int allows(void *arg)
{
	weft_actor_ref store, ear;
	weft_erl_stat st;
	struct store s;
	struct pair p;
	struct ear e;
	char got[64];

	(void)arg;
	two_begin(&p, (weft_erl_opts){.allow = only_ear, .arg = (void *)(uintptr_t) "ear"});
	store = store_start(&s);
	ear = ear_start(&e, 0);
	T_EQ(call_term(p.a, weft_erl_at("store", B), TERM("get"), got, sizeof got, WEFT_FOREVER), WEFT_ESRCH);
	T_EQ(send_term(p.a, weft_erl_at("store", B), TERM("get")), 0);
	T_EQ(send_term(p.a, weft_erl_at("ear", B), TERM("there")), 0);
	ear_until(&e, 1);
	T_EQ(weft_erl_stats(p.b, &st), 0);
	T_EQ(st.dropped, 2); /* the call's request, and the message */
	end_actor(ear);
	end_actor(store);
	two_end(&p);
	return 0;
}

TEST_WORKERS(names_may_be_kept_from_others)
{
	run_net(allows, NULL);
}
