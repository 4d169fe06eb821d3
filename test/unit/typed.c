/* SPDX-License-Identifier: MIT
 *
 * typed.c - typed channels: every call on every kind of element, the way to untyped ones and back, select over both, and loops that receive.
 *
 * What must not compile is in fail/typed.c.
 */
#include "rt.h"

#include "weft/typed.h"

struct point {
	double x, y;
};
struct nothing {
};
typedef int quad[4];
typedef int twice_fn(int);

WEFT_CHAN_DEFINE(int, ints);
WEFT_CHAN_DEFINE(long, longs);
WEFT_CHAN_DEFINE(double, doubles);
WEFT_CHAN_DEFINE(bool, bools);
WEFT_CHAN_DEFINE(const char *, words);
WEFT_CHAN_DEFINE(struct point, points);
WEFT_CHAN_DEFINE(quad, quads);
WEFT_CHAN_DEFINE(char[3], threes);
WEFT_CHAN_DEFINE(twice_fn *, functions);
WEFT_CHAN_DEFINE(struct nothing, signals);
WEFT_CHAN_DEFINE(ints *, int_chans);

/* Every call does what the untyped one does; none needs a runtime. */
TEST(calls)
{
	ints *c = ints_make(2);
	int v = 7;

	T_EQ(ints_cap(c), 2);
	T_EQ(weft_chan_elem(ints_chan(c)), sizeof(int));
	T_EQ(ints_send(c, 1), 0);
	T_EQ(ints_len(c), 1);
	T_EQ(ints_send_until(c, 2, WEFT_NOW), 0);
	T_EQ(ints_send_until(c, 3, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(ints_trysend(c, 3), WEFT_EAGAIN);
	T_EQ(ints_recv(c, &v), 0);
	T_EQ(v, 1);
	T_EQ(ints_trysend(c, 3), 0);
	T_EQ(ints_recv_until(c, &v, WEFT_NOW), 0);
	T_EQ(v, 2);
	T_EQ(ints_tryrecv(c, &v), 0);
	T_EQ(v, 3);
	T_EQ(ints_tryrecv(c, &v), WEFT_EAGAIN);
	T_EQ(ints_recv_until(c, &v, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(v, 3);
	T_EQ(WEFT_PUT(c, 4), 0);
	T_EQ(ints_recv(c, NULL), 0); /* dropped */
	T_EQ(WEFT_PUT(c, 5), 0);
	T_EQ(WEFT_GET(c, &v), 0);
	T_EQ(v, 5);
	T_EQ(WEFT_PUT(c, 6), 0);
	T_EQ(WEFT_GET(c, NULL), 0);
	T_EQ(ints_ref(c), c);
	ints_free(c);
	T_EQ(ints_close(c), 0);
	T_EQ(ints_close(c), WEFT_ECLOSED);
	T_EQ(ints_send(c, 1), WEFT_ECLOSED);
	T_EQ(WEFT_PUT(c, 1), WEFT_ECLOSED);
	T_EQ(WEFT_GET(c, &v), WEFT_ECLOSED);
	T_EQ(v, 0);
	ints_free(c);
}

/* NULL is the channel on which nothing happens, here as well. */
TEST(no_channel)
{
	ints *c = NULL;
	int v = 7;

	ints_free(c);
	T_EQ(ints_chan(c), NULL);
	T_EQ(ints_of(NULL), NULL);
	T_EQ(weft_chan_elem(NULL), 0);
	T_EQ(ints_len(c), 0);
	T_EQ(ints_cap(c), 0);
	T_EQ(ints_close(c), WEFT_EINVAL);
	T_EQ(ints_trysend(c, 1), WEFT_EAGAIN);
	T_EQ(ints_tryrecv(c, &v), WEFT_EAGAIN);
	T_EQ(v, 7);
	T_EQ(ints_make(SIZE_MAX - 1), NULL);
}

static int doubled(int n)
{
	return 2 * n;
}

/* Elements of every kind arrive as they were sent, whichever call sent and received them; numbers are converted as in an assignment. */
TEST(kinds_of_elements)
{
	static const char text[] = "text";
	const quad four = {1, 2, 3, 4};
	longs *l = longs_make(4);
	doubles *d = doubles_make(4);
	bools *b = bools_make(4);
	words *w = words_make(4);
	points *p = points_make(4);
	quads *q = quads_make(4);
	threes *t = threes_make(4);
	functions *f = functions_make(4);
	signals *s = signals_make(4);
	int_chans *cc = int_chans_make(1);
	ints *c = ints_make(1), *same = NULL;
	long lv;
	double dv;
	bool bv;
	const char *wv;
	struct point pv;
	quad qv;
	char tv[3];
	twice_fn *fv;
	struct nothing sv = {};

	T_EQ(longs_send(l, 'c'), 0);
	T_EQ(WEFT_PUT(l, -5), 0);
	T_EQ(longs_recv(l, &lv), 0);
	T_EQ(lv, 'c');
	T_EQ(WEFT_GET(l, &lv), 0);
	T_EQ(lv, -5);

	T_EQ(doubles_send(d, 3), 0);
	T_EQ(WEFT_PUT(d, 2.5), 0);
	T_EQ(WEFT_GET(d, &dv), 0);
	T_OK(dv == 3);
	T_EQ(doubles_recv(d, &dv), 0);
	T_OK(dv == 2.5);

	T_EQ(bools_send(b, 8), 0);
	T_EQ(WEFT_PUT(b, lv == 0), 0);
	T_EQ(WEFT_GET(b, &bv), 0);
	T_OK(bv);
	T_EQ(bools_recv(b, &bv), 0);
	T_OK(!bv);

	T_EQ(words_send(w, text), 0);
	T_EQ(WEFT_PUT(w, text + 1), 0);
	T_EQ(WEFT_PUT(w, "literal"), 0);
	T_EQ(WEFT_PUT(w, NULL), 0);
	T_EQ(words_recv(w, &wv), 0);
	T_EQ(wv, text);
	T_EQ(WEFT_GET(w, &wv), 0);
	T_EQ(wv, text + 1);
	T_EQ(WEFT_GET(w, &wv), 0);
	T_STR_EQ(wv, "literal");
	T_EQ(WEFT_GET(w, &wv), 0);
	T_EQ(wv, NULL);

	T_EQ(points_send(p, (struct point){1, 2}), 0);
	T_EQ(WEFT_PUT(p, ((struct point){3, 4})), 0);
	T_EQ(WEFT_GET(p, &pv), 0);
	T_OK(pv.x == 1 && pv.y == 2);
	T_EQ(points_recv(p, &pv), 0);
	T_OK(pv.x == 3 && pv.y == 4);

	T_EQ(quads_send(q, four), 0);
	T_EQ(quads_trysend(q, four), 0);
	T_EQ(quads_send_until(q, four, WEFT_NOW), 0);
	T_EQ(WEFT_PUT(q, four), 0);
	for (int i = 0; i < 4; i++) {
		memset(qv, 0, sizeof qv);
		T_EQ(i % 2 ? quads_recv(q, &qv) : WEFT_GET(q, &qv), 0);
		T_EQ(memcmp(qv, four, sizeof four), 0);
	}

	T_EQ(threes_send(t, "ab"), 0);
	T_EQ(WEFT_PUT(t, "cd"), 0);
	T_EQ(WEFT_GET(t, &tv), 0);
	T_STR_EQ(tv, "ab");
	T_EQ(threes_recv(t, &tv), 0);
	T_STR_EQ(tv, "cd");

	T_EQ(functions_send(f, doubled), 0);
	T_EQ(WEFT_PUT(f, &doubled), 0);
	T_EQ(WEFT_GET(f, &fv), 0);
	T_EQ(fv(21), 42);
	T_EQ(functions_recv(f, &fv), 0);
	T_EQ(fv(4), 8);

	T_EQ(signals_send(s, sv), 0);
	T_EQ(WEFT_PUT(s, sv), 0);
	T_EQ(signals_len(s), 2);
	T_EQ(WEFT_GET(s, &sv), 0);
	T_EQ(signals_recv(s, NULL), 0);

	T_EQ(int_chans_send(cc, c), 0);
	T_EQ(WEFT_GET(cc, &same), 0);
	T_EQ(same, c);

	longs_free(l);
	doubles_free(d);
	bools_free(b);
	words_free(w);
	points_free(p);
	quads_free(q);
	threes_free(t);
	functions_free(f);
	signals_free(s);
	int_chans_free(cc);
	ints_free(c);
}

/* Elements of any size arrive whole, through a buffer and from frame to frame, and nothing is written beside them. */
#define SIZED(n)                                                                                     \
	struct sized_##n {                                                                           \
		unsigned char b[n];                                                                  \
	};                                                                                           \
	WEFT_CHAN_DEFINE(struct sized_##n, sizeds_##n);                                              \
	static int sized_sender_##n(void *arg)                                                       \
	{                                                                                            \
		struct sized_##n e;                                                                  \
                                                                                                     \
		for (int i = 0; i < 4; i++) {                                                        \
			memset(&e, 'a' + i, sizeof e);                                               \
			T_EQ(i % 2 ? sizeds_##n##_send(arg, e) : WEFT_PUT((sizeds_##n *)arg, e), 0); \
		}                                                                                    \
		return 0;                                                                            \
	}                                                                                            \
	static void sized_run_##n(size_t cap)                                                        \
	{                                                                                            \
		sizeds_##n *c = sizeds_##n##_make(cap);                                              \
		weft_task *t = start(sized_sender_##n, c);                                           \
		struct {                                                                             \
			unsigned char before[8];                                                     \
			struct sized_##n e;                                                          \
			unsigned char after[8];                                                      \
		} got;                                                                               \
                                                                                                     \
		for (int i = 0; i < 4; i++) {                                                        \
			memset(&got, 0x5a, sizeof got);                                              \
			T_EQ(i < 2 ? sizeds_##n##_recv(c, &got.e) : WEFT_GET(c, &got.e), 0);         \
			for (size_t k = 0; k < (n); k++)                                             \
				T_EQ(got.e.b[k], 'a' + i);                                           \
			for (size_t k = 0; k < 8; k++)                                               \
				T_OK(got.before[k] == 0x5a && got.after[k] == 0x5a);                 \
		}                                                                                    \
		T_EQ(finish(t), 0);                                                                  \
		sizeds_##n##_free(c);                                                                \
	}

/* clang-format off */
#define SIZES(X) \
	X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(12) X(15) X(16) X(17) X(24) X(31) X(32) X(33) X(48) X(63) X(64) X(65) X(100) X(127) X(128) \
	X(129) X(255) X(256) X(257) X(1000) X(1023) X(1024) X(2047) X(2048) X(4095) X(4096)
SIZES(SIZED)
/* clang-format on */

static int sizes_main(void *arg)
{
	(void)arg;
	for (size_t cap = 0; cap < 4; cap++) {
#define RUN(n) sized_run_##n(cap);
		SIZES(RUN)
	}
	return 0;
}

TEST_WORKERS(sizes)
{
	run(sizes_main, NULL);
}

/* Channel and value are evaluated once each, also where one call stands within another. */
TEST(arguments_are_evaluated_once)
{
	ints *c[2] = {ints_make(8), ints_make(8)}, **at = c;
	int n = 1, v[3] = {0}, *out = v;

	T_EQ(WEFT_PUT(*at++, n++), 0);
	T_EQ(at - c, 1);
	T_EQ(n, 2);
	T_EQ(WEFT_PUT(c[1], WEFT_PUT(c[0], WEFT_PUT(c[0], 7) + 5)), 0); /* puts 7, 5, and 0 into the other */
	T_EQ(ints_len(c[0]), 3);
	for (int want = 0; want < 3; want++)
		T_EQ(WEFT_GET(c[0], out++), 0);
	T_EQ(out - v, 3);
	T_EQ(v[0], 1);
	T_EQ(v[1], 7);
	T_EQ(v[2], 5);
	T_EQ(WEFT_GET(*at--, &n), 0);
	T_EQ(n, 0);
	T_EQ(at - c, 0);
	ints_free(c[0]);
	ints_free(c[1]);
}

/* A typed channel is the untyped one, and can be had back from it. */
TEST(untyped_and_back)
{
	weft_chan *u = weft_chan_make(sizeof(int), 2);
	ints *c = ints_of(u);
	int v = 5;

	T_EQ(ints_chan(c), u);
	T_EQ(weft_chan_send(u, &v), 0);
	v = 0;
	T_EQ(ints_recv(c, &v), 0);
	T_EQ(v, 5);
	T_EQ(ints_send(c, 6), 0);
	T_EQ(weft_chan_recv(u, &v), 0);
	T_EQ(v, 6);
	ints_free(c);
}

TEST_DIES(of_another_size, "longs_of: the channel's elements have 4 bytes, not 8")
{
	weft_chan *u = weft_chan_make(4, 1);

	tap_leaky();
	longs_of(u);
}

TEST_DIES(foreach_of_another_size, "weft_chan_foreach: the channel's elements have 4 bytes, not 16")
{
	weft_chan *u = weft_chan_make(4, 1);

	tap_leaky();
	weft_chan_foreach (u, struct point, p)
		(void)p;
}

/* Typed and untyped cases stand in one select, in both directions. */
enum { MIXED = 300 };

struct mixed {
	ints *in;
	quads *out;
	weft_chan *plain;
};

static int mixed_sender(void *arg)
{
	struct mixed *m = arg;

	for (int i = 0; i < MIXED; i++)
		T_EQ(ints_send(m->in, i), 0);
	return 0;
}

static int mixed_plain(void *arg)
{
	struct mixed *m = arg;

	for (long i = 0; i < MIXED; i++)
		T_EQ(weft_chan_send(m->plain, &i), 0);
	return 0;
}

static int mixed_receiver(void *arg)
{
	struct mixed *m = arg;
	quad q;

	for (int i = 0; i < MIXED; i++) {
		T_EQ(quads_recv(m->out, &q), 0);
		T_EQ(q[0], i);
		T_EQ(q[3], -i);
	}
	return 0;
}

static int select_main(void *arg)
{
	struct mixed m = {ints_make(0), quads_make(0), weft_chan_make(sizeof(long), 0)};
	weft_task *t[] = {start(mixed_sender, &m), start(mixed_plain, &m), start(mixed_receiver, &m)};
	int in = 0, out = 0, got;
	long plain = 0, lgot;
	quad q = {0};

	(void)arg;
	while (in < MIXED || out < MIXED || plain < MIXED) {
		weft_case k[] = {
			ints_on_recv(in < MIXED ? m.in : NULL, &got),
			WEFT_RECV(plain < MIXED ? m.plain : NULL, &lgot),
			quads_on_send(out < MIXED ? m.out : NULL, &q),
		};

		switch (weft_chan_select(k, 3)) {
		case 0:
			T_EQ(got, in++);
			break;
		case 1:
			T_EQ(lgot, plain++);
			break;
		case 2:
			q[0] = ++out;
			q[3] = -out;
			break;
		default:
			T_FAIL("select failed");
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		T_EQ(finish(t[i]), 0);

	weft_case k[] = {ints_on_recv(m.in, NULL), WEFT_DEFAULT()};

	T_EQ(weft_chan_select(k, 2), 1);
	T_EQ(ints_close(m.in), 0);
	T_EQ(weft_chan_select(k, 2), 0);
	T_EQ(k[0].status, WEFT_ECLOSED);
	ints_free(m.in);
	quads_free(m.out);
	weft_chan_free(m.plain);
	return 0;
}

TEST_WORKERS(select_of_both)
{
	run(select_main, NULL);
}

/* --- loops --- */

/* A channel of 0 to n - 1, closed. */
static ints *filled(int n)
{
	ints *c = ints_make((size_t)n);

	for (int i = 0; i < n; i++)
		T_EQ(ints_send(c, i), 0);
	T_EQ(ints_close(c), 0);
	return c;
}

/* A loop receives all there is, and says that the channel is closed. */
TEST(foreach_to_the_end)
{
	ints *c = filled(5);
	int n = 0, end = 1;

	weft_chan_foreach (c, int, v, &end) {
		T_EQ(end, 0);
		T_EQ(v, n++);
	}
	T_EQ(n, 5);
	T_EQ(end, WEFT_ECLOSED);
	weft_chan_foreach (c, int, v, &end)
		T_FAIL("%d from an empty channel", v);
	T_EQ(end, WEFT_ECLOSED);
	weft_chan_foreach (c, int, v)
		T_FAIL("%d from an empty channel", v);
	ints_free(c);
}

/* One that is left takes no more than it got, and says so. */
TEST(foreach_break)
{
	ints *c = filled(5);
	int end, v;

	weft_chan_foreach (c, int, got, &end)
		if (got == 2)
			break;
	T_EQ(end, 0);
	T_EQ(ints_len(c), 2);
	weft_chan_foreach (c, int, got)
		break;
	T_EQ(ints_recv(c, &v), 0);
	T_EQ(v, 4);
	ints_free(c);
}

TEST(foreach_continue)
{
	ints *c = filled(6);
	int sum = 0, end;

	weft_chan_foreach (c, int, v, &end) {
		if (v % 2)
			continue;
		sum += v;
	}
	T_EQ(sum, 0 + 2 + 4);
	T_EQ(end, WEFT_ECLOSED);
	ints_free(c);
}

static int first_above(ints *c, int limit)
{
	weft_chan_foreach (c, int, v)
		if (v > limit)
			return v;
	return -1;
}

TEST(foreach_return)
{
	ints *c = filled(6);

	T_EQ(first_above(c, 2), 3);
	T_EQ(ints_len(c), 2);
	T_EQ(first_above(c, 8), -1);
	T_EQ(ints_len(c), 0);
	ints_free(c);
}

TEST(foreach_goto)
{
	ints *c = filled(6);
	int end;

	weft_chan_foreach (c, int, v, &end)
		weft_chan_foreach (c, int, w)
			if (v + w == 3)
				goto out;
out:
	T_EQ(end, 0);
	T_EQ(ints_len(c), 2);
	ints_free(c);
}

/* Loops within loops, of one channel and of several, one name in another's place; break and continue are the inner one's. */
TEST(foreach_nested)
{
	int_chans *all = int_chans_make(3);
	int inner, outer, sum = 0, rounds = 0;

	for (int i = 1; i <= 3; i++)
		T_EQ(WEFT_PUT(all, filled(10 * i)), 0);
	int_chans_close(all);
	weft_chan_foreach (all, ints *, c, &outer) {
		weft_chan_foreach (c, int, v, &inner) {
			if (v == 0)
				continue;
			if (v == 15)
				break;
			sum += v;
		}
		T_EQ(inner, rounds == 0 ? WEFT_ECLOSED : 0);
		T_EQ(outer, 0);
		rounds++;
		ints_free(c);
	}
	T_EQ(outer, WEFT_ECLOSED);
	T_EQ(rounds, 3);
	T_EQ(sum, 45 + 105 + 105);
	int_chans_free(all);
}

static int calls_made;

static ints *counted(ints *c)
{
	calls_made++;
	return c;
}

/* It is one statement, wherever one may stand; the channel is asked for once. */
TEST(foreach_is_one_statement)
{
	ints *c = filled(6);
	int n = 0;

	if (n)
		weft_chan_foreach (c, int, v)
			n += v;
	else
		weft_chan_foreach (counted(c), int, v)
			if (v == 3)
				break;
			else
				n += v;
	T_EQ(calls_made, 1);
	T_EQ(n, 0 + 1 + 2);
	switch (n) {
	case 3:
		weft_chan_foreach (c, int, v) {
			n += v;
			break;
		}
		n = -n;
	}
	T_EQ(n, -7);
	ints_free(c);
}

/* Every kind of element, typed and untyped. */
TEST(foreach_kinds)
{
	weft_chan *u = weft_chan_make(sizeof(struct point), 2);
	quads *q = quads_make(2);
	words *w = words_make(2);
	functions *f = functions_make(1);
	int n = 0;

	T_EQ(WEFT_PUT(q, ((quad){1, 2, 3, 4})), 0);
	T_EQ(WEFT_PUT(w, "a word"), 0);
	T_EQ(WEFT_PUT(f, doubled), 0);
	T_EQ(weft_chan_send(u, &(struct point){5, 6}), 0);
	quads_close(q);
	words_close(w);
	functions_close(f);
	weft_chan_close(u);
	weft_chan_foreach (q, quad, v)
		n += v[0] + v[3];
	weft_chan_foreach (w, const char *, v)
		n += v[2] == 'w';
	weft_chan_foreach (f, twice_fn *, v)
		n += v(4);
	weft_chan_foreach (u, struct point, p)
		n += p.x == 5 && p.y == 6;
	T_EQ(n, 5 + 1 + 8 + 1);
	quads_free(q);
	words_free(w);
	functions_free(f);
	weft_chan_free(u);
}

struct loop {
	ints *c;
	int sum, end;
};

static int loops(void *arg)
{
	struct loop *l = arg;

	weft_chan_foreach (l->c, int, v, &l->end)
		l->sum += v;
	return weft_ctx_check();
}

static int untyped_loops(void *arg)
{
	struct loop *l = arg;

	weft_chan_foreach (ints_chan(l->c), int, v, &l->end)
		l->sum += v;
	return weft_ctx_check();
}

/* A loop that waits ends when its task is cancelled; one that has not begun takes nothing. */
static int cancel_main(void *arg)
{
	weft_task_fn *fns[] = {loops, untyped_loops};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(fns); i++) {
		struct loop l = {.c = ints_make(0)};
		weft_task *t = start(fns[i], &l);

		for (int n = 1; n <= 10; n++)
			T_EQ(ints_send(l.c, n), 0);
		until_parked(t);
		T_EQ(l.end, 0);
		T_EQ(weft_task_cancel(t), 0);
		T_EQ(finish(t), WEFT_ECANCELED);
		T_EQ(l.sum, 55);
		T_EQ(l.end, WEFT_ECANCELED);
		ints_free(l.c);
	}
	return 0;
}

TEST_WORKERS(foreach_cancelled)
{
	run(cancel_main, NULL);
}

static int cancelled_before(void *arg)
{
	struct loop *l = arg;

	while (weft_ctx_check() == 0)
		weft_task_yield();
	return loops(l);
}

static int cancel_before_main(void *arg)
{
	struct loop l = {.c = filled(3)};
	weft_task *t = start(cancelled_before, &l);

	(void)arg;
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(l.end, WEFT_ECANCELED);
	T_EQ(ints_len(l.c), 3);
	ints_free(l.c);
	return 0;
}

TEST_WORKERS(foreach_cancelled_before)
{
	run(cancel_before_main, NULL);
}

/* Nor does it wait longer than its context may. */
static int deadline_main(void *arg)
{
	struct loop l = {.c = ints_make(1)};
	weft_ctx *c, *up;

	(void)arg;
	time_fake();
	c = weft_ctx_with_deadline(NULL, weft_in(WEFT_SEC));
	up = weft_ctx_enter(c);
	weft_task *t = start(loops, &l);
	weft_ctx_leave(up);
	T_EQ(ints_send(l.c, 4), 0);
	until_parked(t);
	time_move(2 * WEFT_SEC);
	T_EQ(finish(t), WEFT_ETIMEDOUT);
	T_EQ(l.end, WEFT_ETIMEDOUT);
	T_EQ(l.sum, 4);
	time_real();
	weft_ctx_free(c);
	ints_free(l.c);
	return 0;
}

TEST_WORKERS(foreach_out_of_time)
{
	run(deadline_main, NULL);
}

/* A loop that waits ends when the channel is closed. */
static int close_main(void *arg)
{
	struct loop l = {.c = ints_make(0)};
	weft_task *t = start(loops, &l);

	(void)arg;
	T_EQ(ints_send(l.c, 3), 0);
	until_parked(t);
	T_EQ(ints_close(l.c), 0);
	T_EQ(finish(t), 0);
	T_EQ(l.sum, 3);
	T_EQ(l.end, WEFT_ECLOSED);
	ints_free(l.c);
	return 0;
}

TEST_WORKERS(foreach_closed_while_it_waits)
{
	run(close_main, NULL);
}

/* Many senders, many loops: every point arrives once, and whole. */
enum { SENDERS = 4, LOOPS = 4 };

struct crowd {
	points *c;
	weft_wg senders;
	ATOMIC(long) got;
	ATOMIC(long) sum;
	long each;
};

static int crowd_sender(void *arg)
{
	struct crowd *k = arg;

	for (long i = 1; i <= k->each; i++)
		T_EQ(i % 2 ? points_send(k->c, (struct point){(double)i, (double)-i})
			   : WEFT_PUT(k->c, ((struct point){(double)i, (double)-i})),
		     0);
	weft_wg_done(&k->senders);
	return 0;
}

static int crowd_loop(void *arg)
{
	struct crowd *k = arg;
	int end;

	weft_chan_foreach (k->c, struct point, p, &end) {
		T_OK(p.x == -p.y);
		add_relaxed(&k->got, 1L); /* a join follows */
		add_relaxed(&k->sum, (long)p.x);
	}
	return end == WEFT_ECLOSED ? 0 : end;
}

static int crowd_main(void *arg)
{
	weft_task *t[SENDERS + LOOPS];

	(void)arg;
	for (size_t cap = 0; cap < 20; cap += 19) {
		struct crowd k = {.c = points_make(cap), .each = tap_iters(5000)};

		weft_wg_add(&k.senders, SENDERS);
		for (int i = 0; i < SENDERS + LOOPS; i++)
			t[i] = start(i < SENDERS ? crowd_sender : crowd_loop, &k);
		T_EQ(weft_wg_wait(&k.senders), 0);
		T_EQ(points_close(k.c), 0);
		for (int i = 0; i < SENDERS + LOOPS; i++)
			T_EQ(finish(t[i]), 0);
		T_EQ(load_relaxed(&k.got), SENDERS * k.each); /* joined */
		T_EQ(load_relaxed(&k.sum), SENDERS * k.each * (k.each + 1) / 2);
		points_free(k.c);
	}
	return 0;
}

TEST_WORKERS(many_senders_many_loops)
{
	run(crowd_main, NULL);
}
