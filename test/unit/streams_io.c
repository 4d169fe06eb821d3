/* SPDX-License-Identifier: MIT
 *
 * streams_io.c - the same questions to every kind of stream, through weft_io: TCP, Unix domain sockets, pipes, terminals.
 *
 * What is written at w comes out at r.
 */
#include "net.h"

#include "base/rand.h"
#include "io/stream.h"
#include "weft/pipe.h"
#include "weft/unix.h"
#include <pthread.h>
#include <signal.h>

struct pair {
	const struct kind *k;
	weft_io r, w; /* ops NULL: closed */
};

struct kind {
	const char *name;
	void (*make)(struct pair *p);
	bool socket; /* has two directions, and an end of each */
	bool ends;   /* who reads comes to an end, who writes is told that nobody reads */
	size_t some; /* bytes for a transfer */
	size_t big;  /* more than it takes while nobody reads */
};

static void make_tcp(struct pair *p)
{
	weft_tcp *a, *b;

	pair_make(&a, &b);
	T_EQ(weft_tcp_buffers(a, 1 << 20, 1 << 20), 0); /* a bound, whatever the system's limits are */
	T_EQ(weft_tcp_buffers(b, 1 << 20, 1 << 20), 0);
	p->r = weft_tcp_io(a);
	p->w = weft_tcp_io(b);
}

static void make_unix(struct pair *p)
{
	weft_unix *a, *b;

	T_EQ(weft_unix_pair(&a, &b), 0);
	p->r = weft_unix_io(a);
	p->w = weft_unix_io(b);
}

static void make_pipe(struct pair *p)
{
	weft_pipe *a, *b;

	T_EQ(weft_pipe_make(&a, &b), 0);
	p->r = weft_pipe_io(a);
	p->w = weft_pipe_io(b);
}

static void make_pty(struct pair *p)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
	weft_tty *a, *b;
	char name[64];

	if (master < 0 || grantpt(master) || unlockpt(master) || ptsname_r(master, name, sizeof name))
		tap_skip("no pseudo-terminals here");
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		tap_skip("no pseudo-terminals here");
	T_EQ(weft_tty_open(&a, slave), 0);
	T_EQ(weft_tty_open(&b, master), 0);
	T_EQ(weft_tty_mode(a, WEFT_TTY_RAW), 0);
	p->r = weft_tty_io(a);
	p->w = weft_tty_io(b);
}

static const struct kind tcp_kind = {"tcp", make_tcp, true, true, 1000000, 8 << 20};
static const struct kind unix_kind = {"unix", make_unix, true, true, 1000000, 1 << 20};
static const struct kind pipe_kind = {"pipe", make_pipe, false, true, 1000000, 1 << 20};
static const struct kind pty_kind = {"tty", make_pty, false, false, 100000, 1 << 20};

static void shut(weft_io *io)
{
	T_EQ(weft_io_close(*io), 0);
	io->ops = NULL;
}

static void pair_end(struct pair *p)
{
	weft_tty_restore();
	if (p->r.ops)
		shut(&p->r);
	if (p->w.ops)
		shut(&p->w);
}

typedef void ask(struct pair *p);

struct asked {
	const struct kind *k;
	ask *fn;
};

static int ask_main(void *arg)
{
	struct asked *a = arg;
	struct pair p = {.k = a->k};

	a->k->make(&p);
	T_STR_EQ(p.r.ops->kind, a->k->name);
	a->fn(&p);
	pair_end(&p);
	return 0;
}

#define ASK(q, kind)                                                 \
	TEST_WORKERS(q##_##kind)                                     \
	{                                                            \
		run_net(ask_main, &(struct asked){&kind##_kind, q}); \
	}
#define QUESTION(q)   \
	ASK(q, tcp)   \
	ASK(q, unix_) \
	ASK(q, pipe)  \
	ASK(q, pty)
#define unix__kind unix_kind /* unix alone is a macro of the compiler's */

/* --- nothing is there --- */

static void pieces_of_nothing(struct pair *p)
{
	char x[2];
	struct iovec v[2] = {{x, 1}, {x + 1, 1}};

	T_EQ(weft_io_readv_until(p->r, v, 2, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_io_readv_until(p->r, v, 2, weft_now() - 1), WEFT_ETIMEDOUT);
}
QUESTION(pieces_of_nothing)

/* --- those who try something once --- */

struct
try {
	weft_io io;
	char *buf;
	size_t n, done;
	ssize_t rc;
	int64_t deadline;
	ATOMIC(bool) over;
};

static int try_read(void *arg)
{
	struct try *t = arg;

	t->rc = weft_io_read_until(t->io, t->buf, t->n, t->deadline);
	store_release(&t->over, true);
	return 0;
}

static int try_write(void *arg)
{
	struct try *t = arg;

	t->done = 77;
	t->rc = weft_io_write_until(t->io, t->buf, t->n, &t->done, t->deadline);
	store_release(&t->over, true);
	return 0;
}

static char big[8 << 20];

static struct try reading(weft_io io, char *x)
{
	return (struct try){.io = io, .buf = x, .n = 1, .deadline = WEFT_FOREVER};
}

static struct try writing(const struct pair *p)
{
	return (struct try){.io = p->w, .buf = big, .n = p->k->big, .deadline = WEFT_FOREVER};
}

static void put(weft_io io, const char *s)
{
	T_EQ(weft_io_write(io, s, strlen(s), NULL), (ssize_t)strlen(s));
}

static void get(weft_io io, char *buf, size_t n)
{
	for (size_t got = 0; got < n;) {
		ssize_t rc = weft_io_read(io, buf + got, n - got);

		T_GT(rc, 0);
		got += (size_t)rc;
	}
}

static void expect(weft_io io, const char *s)
{
	char buf[64] = "";

	get(io, buf, strlen(s));
	T_STR_EQ(buf, s);
}

/* --- bytes --- */

static char byte_at(size_t i)
{
	return (char)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

struct stream {
	weft_io io;
	size_t n;
	uint64_t seed;
	bool many;
};

static int sends_all(void *arg)
{
	struct stream *s = arg;
	char buf[5000];
	struct rng r;

	rng_seed(&r, s->seed, 0);
	for (size_t at = 0; at < s->n;) {
		size_t n = 1 + rng_below(&r, sizeof buf), first = rng_below(&r, (uint32_t)n + 1), done = 77;
		struct iovec v[3];

		if (n > s->n - at)
			n = s->n - at;
		if (first > n)
			first = n;
		for (size_t i = 0; i < n; i++)
			buf[i] = byte_at(at + i);
		v[0] = (struct iovec){buf, first};
		v[1] = (struct iovec){NULL, 0};
		v[2] = (struct iovec){buf + first, n - first};
		T_EQ(s->many ? weft_io_writev(s->io, v, 3, &done) : weft_io_write(s->io, buf, n, &done), (ssize_t)n);
		T_EQ(done, n);
		at += n;
	}
	return 0;
}

static int receives_all(void *arg)
{
	struct stream *s = arg;
	char buf[3000];
	struct rng r;
	ssize_t n;

	rng_seed(&r, s->seed + 1, 0);
	for (size_t at = 0; at < s->n; at += (size_t)n) {
		size_t room = 1 + rng_below(&r, sizeof buf), first = rng_below(&r, (uint32_t)room + 1);
		struct iovec v[2] = {{buf, first}, {buf + first, room - first}};

		n = s->many ? weft_io_readv(s->io, v, 2) : weft_io_read(s->io, buf, room);
		T_GT(n, 0);
		T_LE((size_t)n, room);
		for (ssize_t i = 0; i < n; i++)
			T_EQ(buf[i], byte_at(at + (size_t)i));
	}
	return 0;
}

/* A large transfer through small buffers arrives as it was sent; both ways at once where there are two. */
static void transfer(struct pair *p)
{
	for (int many = 0; many < 2; many++) {
		size_t n = (size_t)tap_iters((long)p->k->some);
		struct stream s[4] = {{p->w, n, 1, many}, {p->r, n, 2, many}, {p->r, n, 3, many}, {p->w, n, 4, many}};
		int streams = p->k->socket ? 4 : 2;
		weft_task *t[4];

		for (int i = 0; i < streams; i++)
			t[i] = start(i % 2 ? receives_all : sends_all, &s[i]);
		for (int i = 0; i < streams; i++)
			T_EQ(finish(t[i]), 0);
	}
}
QUESTION(transfer)

/* Nothing is read or written where there is nothing to, and nothing is looked at; what makes no sense is refused. */
static void nothing_and_nonsense(struct pair *p)
{
	struct iovec none[2] = {{NULL, 0}, {NULL, 0}}, huge[2] = {{NULL, SSIZE_MAX}, {NULL, 1}};
	weft_io nobody = {NULL, NULL};
	size_t done;
	char x = 0;

	T_EQ(weft_io_read(p->r, NULL, 0), 0);
	T_EQ(weft_io_readv(p->r, NULL, 0), 0);
	T_EQ(weft_io_readv(p->r, none, 2), 0);
	T_EQ(weft_io_write(p->w, NULL, 0, NULL), 0);
	done = 77;
	T_EQ(weft_io_write(p->w, NULL, 0, &done), 0);
	T_EQ(done, 0);
	T_EQ(weft_io_writev(p->w, none, 2, NULL), 0);
	T_EQ(weft_io_writev(p->w, NULL, 0, NULL), 0);

	T_EQ(weft_io_read(p->r, &x, (size_t)SSIZE_MAX + 1), WEFT_EINVAL);
	T_EQ(weft_io_readv(p->r, huge, 2), WEFT_EINVAL);
	T_EQ(weft_io_readv(p->r, none, -1), WEFT_EINVAL);
	T_EQ(weft_io_readv(p->r, none, 1025), WEFT_EINVAL);
	done = 77;
	T_EQ(weft_io_write(p->w, &x, (size_t)SSIZE_MAX + 1, &done), WEFT_EINVAL);
	T_EQ(done, 0);
	done = 77;
	T_EQ(weft_io_writev(p->w, huge, 2, &done), WEFT_EINVAL);
	T_EQ(done, 0);
	T_EQ(weft_io_writev(p->w, none, -1, &done), WEFT_EINVAL);
	T_EQ(weft_io_writev(p->w, none, 1025, &done), WEFT_EINVAL);
	T_EQ(weft_io_shutdown(p->w, 77), WEFT_EINVAL);

	T_EQ(weft_io_read(nobody, &x, 1), WEFT_EINVAL);
	T_EQ(weft_io_readv(nobody, none, 1), WEFT_EINVAL);
	T_EQ(weft_io_write(nobody, &x, 1, NULL), WEFT_EINVAL);
	T_EQ(weft_io_writev(nobody, none, 1, NULL), WEFT_EINVAL);
	T_EQ(weft_io_shutdown(nobody, SHUT_WR), WEFT_EINVAL);
	T_EQ(weft_io_set_deadline(nobody, 1, 1), WEFT_EINVAL);
	T_EQ(weft_io_close(nobody), WEFT_EINVAL);
	T_EQ(weft__io_fd(nobody) == NULL, 1);
	T_EQ(weft__io_fd(p->r) == p->r.self, 1);
	put(p->w, "still fine");
	expect(p->r, "still fine");
}
QUESTION(nothing_and_nonsense)

/* --- deadlines --- */

/* The deadlines of a call, of a stream and of a context end a read; nothing is lost. */
static void late_reads(struct pair *p)
{
	char x = 0, y = 0;

	time_fake();
	for (int how = 0; how < 3; how++) {
		struct try r = reading(p->r, &x);
		weft_ctx *c = NULL, *up = NULL;
		weft_task *t;

		if (how == 0)
			r.deadline = weft_in(WEFT_SEC);
		else if (how == 1)
			T_EQ(weft_io_set_deadline(p->r, weft_in(WEFT_SEC), WEFT_FOREVER), 0);
		else
			up = weft_ctx_enter(c = weft_ctx_with_deadline(NULL, weft_in(WEFT_SEC)));
		t = start(try_read, &r);
		if (c)
			weft_ctx_leave(up);
		until_reason(t, "read");
		time_move(WEFT_SEC - 1);
		until_parked(t);
		T_OK(!load_acquire(&r.over));
		time_move(1);
		T_EQ(finish(t), 0);
		T_EQ(r.rc, WEFT_ETIMEDOUT);
		weft_ctx_free(c);
		if (how == 1) {
			put(p->w, "a");
			T_EQ(weft_io_read(p->r, &y, 1), WEFT_ETIMEDOUT);
			T_EQ(weft_io_set_deadline(p->r, WEFT_FOREVER, WEFT_FOREVER), 0);
			expect(p->r, "a");
		}
	}
	T_EQ(weft_io_read_until(p->r, &x, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_io_read_until(p->r, &x, 1, 1), WEFT_ETIMEDOUT);
	put(p->w, "b");
	T_EQ(weft_io_read_until(p->r, &x, 1, 1), WEFT_ETIMEDOUT);
	expect(p->r, "b");
	time_real();
}
QUESTION(late_reads)

/* ... and a write, which says how far it came. */
static void late_writes(struct pair *p)
{
	size_t done = 77;
	char *buf = malloc(p->k->big);

	T_OK(buf);
	time_fake();
	for (int how = 0; how < 2; how++) {
		struct try w = writing(p);
		weft_task *t;

		if (how == 0)
			w.deadline = weft_in(WEFT_SEC);
		else
			T_EQ(weft_io_set_deadline(p->w, WEFT_FOREVER, weft_in(WEFT_SEC)), 0);
		t = start(try_write, &w);
		until_reason(t, "write");
		time_move(WEFT_SEC);
		T_EQ(finish(t), 0);
		T_EQ(w.rc, WEFT_ETIMEDOUT);
		T_LT(w.done, p->k->big);
		if (how == 0)
			T_GT(w.done, 0);
		T_EQ(weft_io_set_deadline(p->w, WEFT_FOREVER, WEFT_FOREVER), 0);
		get(p->r, buf, w.done); /* that many are there, and no more */
		T_EQ(weft_io_read_until(p->r, buf, 1, WEFT_NOW), WEFT_EAGAIN);
	}
	T_EQ(weft_io_write_until(p->w, big, p->k->big, &done, WEFT_NOW), WEFT_EAGAIN);
	T_GT(done, 0);
	T_LT(done, p->k->big);
	get(p->r, buf, done);
	done = 77;
	T_EQ(weft_io_write_until(p->w, big, p->k->big, &done, 1), WEFT_ETIMEDOUT);
	T_EQ(done, 0);
	time_real();
	free(buf);
}
QUESTION(late_writes)

/* Another task moves the deadline of who waits: back, away, and before now. */
static void moved_deadlines(struct pair *p)
{
	char x = 0;
	struct try r = reading(p->r, &x), w = writing(p);
	weft_task *t;

	time_fake();
	T_EQ(weft_io_set_deadline(p->r, weft_in(WEFT_SEC), WEFT_FOREVER), 0);
	t = start(try_read, &r);
	until_reason(t, "read");
	T_EQ(weft_io_set_deadline(p->r, weft_in(3 * WEFT_SEC), WEFT_FOREVER), 0);
	time_move(2 * WEFT_SEC);
	until_parked(t);
	T_OK(!load_acquire(&r.over));
	T_EQ(weft_io_set_deadline(p->r, WEFT_FOREVER, WEFT_FOREVER), 0);
	time_move(100 * WEFT_SEC);
	until_parked(t);
	T_OK(!load_acquire(&r.over));
	T_EQ(weft_io_set_deadline(p->r, weft_in(WEFT_SEC), WEFT_FOREVER), 0);
	time_move(WEFT_SEC);
	T_EQ(finish(t), 0);
	T_EQ(r.rc, WEFT_ETIMEDOUT);

	t = start(try_write, &w);
	until_reason(t, "write");
	T_EQ(weft_io_set_deadline(p->w, WEFT_FOREVER, 1), 0);
	T_EQ(finish(t), 0);
	T_EQ(w.rc, WEFT_ETIMEDOUT);
	time_real();
}
QUESTION(moved_deadlines)

/* --- cancel and close --- */

/* Cancelled while it waits: nothing is taken, and the stream goes on. */
static void cancelled(struct pair *p)
{
	char x = 0;
	struct try r = reading(p->r, &x);
	weft_task *t = start(try_read, &r);

	until_reason(t, "read");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), 0);
	T_EQ(r.rc, WEFT_ECANCELED);
	put(p->w, "here");
	expect(p->r, "here");
}
QUESTION(cancelled)

static int cancels(void *arg)
{
	weft_task_yield();
	weft_task_cancel(arg);
	return 0;
}

static int writes_x(void *arg)
{
	put(*(weft_io *)arg, "x");
	return 0;
}

/* Cancelled at the moment it is woken: it has the byte, or the byte is still there. */
static void woken_or_cancelled(struct pair *p)
{
	long n = tap_iters(100);

	for (long i = 0; i < n; i++) {
		char x = 0;
		struct try r = reading(p->r, &x);
		weft_task *t = start(try_read, &r), *a, *b;

		if (i % 4)
			until_reason(t, "read");
		a = start(i & 1 ? cancels : writes_x, i & 1 ? (void *)t : &p->w);
		b = start(i & 1 ? writes_x : cancels, i & 1 ? &p->w : (void *)t);
		finish(a); /* before t, which one of them has the handle of */
		finish(b);
		finish(t);
		T_OK(r.rc == 1 || r.rc == WEFT_ECANCELED);
		if (r.rc == 1)
			T_EQ(x, 'x');
		else
			expect(p->r, "x");
		T_EQ(weft_io_read_until(p->r, &x, 1, WEFT_NOW), WEFT_EAGAIN);
	}
}
QUESTION(woken_or_cancelled)

/* A third task closes: a reader and a writer that wait, and those in line behind them, are told. */
static void closed(struct pair *p)
{
	char x[4];
	struct try r[2] = {reading(p->r, x), reading(p->r, x + 1)}, w[2] = {writing(p), writing(p)};
	weft_task *rt[2], *wt[2];

	for (int i = 0; i < 2; i++) {
		rt[i] = start(try_read, &r[i]);
		until_reason(rt[i], "read");
	}
	shut(&p->r);
	for (int i = 0; i < 2; i++) {
		T_EQ(finish(rt[i]), 0);
		T_EQ(r[i].rc, WEFT_ECLOSED);
	}
	pair_end(p);

	p->k->make(p);
	for (int i = 0; i < 2; i++) {
		w[i].io = p->w;
		wt[i] = start(try_write, &w[i]);
		until_reason(wt[i], "write");
	}
	shut(&p->w);
	for (int i = 0; i < 2; i++) {
		T_EQ(finish(wt[i]), 0);
		T_EQ(w[i].rc, WEFT_ECLOSED);
		T_LT(w[i].done, p->k->big);
	}
}
QUESTION(closed)

/* What was written comes before the end; then the end comes as often as it is asked for. */
static void the_end(struct pair *p)
{
	char x = 0;
	struct try r = reading(p->r, &x);
	weft_task *t;

	if (!p->k->ends)
		tap_skip("terminals end in their own way");
	put(p->w, "last words");
	shut(&p->w);
	expect(p->r, "last words");
	for (int i = 0; i < 3; i++)
		T_EQ(weft_io_read(p->r, &x, 1), 0);
	pair_end(p);

	p->k->make(p);
	r.io = p->r;
	t = start(try_read, &r);
	until_reason(t, "read");
	shut(&p->w);
	T_EQ(finish(t), 0);
	T_EQ(r.rc, 0);
}
QUESTION(the_end)

static bool nobody_reads(ssize_t rc)
{
	return rc == WEFT_EPIPE || rc == WEFT_ECONNRESET;
}

/* Whoever writes, or is waiting to, is told that nobody reads any more; no signal comes. */
static void nobody_is_there(struct pair *p)
{
	struct try w = writing(p);
	weft_task *t;

	if (!p->k->ends)
		tap_skip("a terminal keeps what is typed for the next who opens it");
	t = start(try_write, &w);
	until_reason(t, "write");
	shut(&p->r);
	T_EQ(finish(t), 0);
	T_OK(nobody_reads(w.rc));
	T_LT(w.done, p->k->big);
	T_OK(nobody_reads(weft_io_write(p->w, "x", 1, NULL)));
}
QUESTION(nobody_is_there)

/* --- turns --- */

static int reads_some(void *arg)
{
	struct try *t = arg;

	get(t->io, t->buf, t->n);
	return 0;
}

/* Two that read take turns. */
static void two_readers(struct pair *p)
{
	char x[2] = {0, 0};
	struct try r[2] = {reading(p->r, x), reading(p->r, x + 1)};
	weft_task *t[2];

	for (int i = 0; i < 2; i++) {
		t[i] = start(reads_some, &r[i]);
		until_reason(t[i], "read");
	}
	put(p->w, "1");
	T_EQ(finish(t[0]), 0);
	until_parked(t[1]);
	put(p->w, "2");
	T_EQ(finish(t[1]), 0);
	T_EQ(x[0], '1');
	T_EQ(x[1], '2');
}
QUESTION(two_readers)

enum { PIECE = 70000 };

/* What two write does not mix, though neither fits at once; a slow reader makes them wait. */
static void two_writers(struct pair *p)
{
	static char piece[2][PIECE];
	struct try w[2];
	char *got = malloc(sizeof piece);
	weft_task *t[2];

	T_OK(got);
	for (int i = 0; i < 2; i++) {
		memset(piece[i], 'a' + i, PIECE);
		w[i] = (struct try){.io = p->w, .buf = piece[i], .n = PIECE, .deadline = WEFT_FOREVER};
		t[i] = start(try_write, &w[i]);
		if (i == 0)
			until(weft_task_stateof(t[0]) == WEFT_TASK_PARKED || load_acquire(&w[0].over));
	}
	for (size_t at = 0; at < sizeof piece; at += 10000)
		get(p->r, got + at, 10000);
	for (int i = 0; i < 2; i++) {
		T_EQ(finish(t[i]), 0);
		T_EQ(w[i].rc, PIECE);
		T_EQ(w[i].done, PIECE);
		T_EQ(memcmp(got + (size_t)i * PIECE, piece[i], PIECE), 0);
	}
	free(got);
}
QUESTION(two_writers)

/* --- directions --- */

/* One that is done writing can still read; who has no directions says so. */
static void half_closed(struct pair *p)
{
	char x = 0;

	if (!p->k->socket) {
		T_EQ(weft_io_shutdown(p->w, SHUT_WR), WEFT_ENOTSUP);
		return;
	}
	put(p->w, "question");
	T_EQ(weft_io_shutdown(p->w, SHUT_WR), 0);
	T_EQ(weft_io_write(p->w, "x", 1, NULL), WEFT_EPIPE);
	expect(p->r, "question");
	T_EQ(weft_io_read(p->r, &x, 1), 0);
	put(p->r, "answer");
	expect(p->w, "answer");
	T_EQ(weft_io_shutdown(p->r, SHUT_RDWR), 0);
	T_EQ(weft_io_read(p->w, &x, 1), 0);
}
QUESTION(half_closed)

/* A reader that waits is told when its side is shut by another task. */
static void shut_reader(struct pair *p)
{
	char x = 0;
	struct try r = reading(p->r, &x);
	weft_task *t;

	if (!p->k->socket)
		tap_skip("no directions");
	t = start(try_read, &r);
	until_reason(t, "read");
	T_EQ(weft_io_shutdown_until(p->r, SHUT_RD, WEFT_NOW), 0);
	T_EQ(finish(t), 0);
	T_EQ(r.rc, 0);
}
QUESTION(shut_reader)

/* Who has shut down the writing of his own side has the writer that waits there told. */
static void shut_writer(struct pair *p)
{
	struct try w = writing(p);
	weft_task *t;

	if (!p->k->socket)
		return;
	t = start(try_write, &w);
	until_reason(t, "write");
	T_EQ(weft_io_shutdown(p->w, SHUT_WR), 0);
	T_EQ(finish(t), 0);
	T_EQ(w.rc, WEFT_EPIPE);
	T_GT(w.done, 0);
}
QUESTION(shut_writer)

/* --- threads that weft did not make --- */

static void *thread_reads(void *arg)
{
	try_read(arg);
	return NULL;
}

/* They wait like tasks. */
static void foreign_reader(struct pair *p)
{
	char x = 0;
	struct try r = reading(p->r, &x);
	pthread_t th;

	for (int i = 0; i < 3; i++) {
		r.deadline = i == 0 ? WEFT_NOW : i == 1 ? 1 : weft_in(WEFT_MS);
		T_EQ(pthread_create(&th, NULL, thread_reads, &r), 0);
		until(load_acquire(&r.over));
		pthread_join(th, NULL);
		T_EQ(r.rc, i == 0 ? WEFT_EAGAIN : WEFT_ETIMEDOUT);
		store_relaxed(&r.over, false); /* the thread is gone */
	}
	r.deadline = WEFT_FOREVER;
	T_EQ(pthread_create(&th, NULL, thread_reads, &r), 0);
	put(p->w, "f");
	until(load_acquire(&r.over));
	pthread_join(th, NULL);
	T_EQ(r.rc, 1);
	T_EQ(x, 'f');
}
QUESTION(foreign_reader)

/* A write of theirs to what nobody reads is answered with an error, not with a signal; a signal of somebody else's that is pending stays. */
TEST(foreign_writer_gets_no_signal)
{
	sigset_t pipes, pending;
	weft_pipe *r, *w;

	warm_up();
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&pipes);
	sigaddset(&pipes, SIGPIPE);
	T_EQ(weft_pipe_make(&r, &w), 0);
	T_EQ(weft_pipe_close(r), 0);
	T_EQ(weft_pipe_write(w, "x", 1, NULL), WEFT_EPIPE);
	T_EQ(sigpending(&pending), 0);
	T_OK(!sigismember(&pending, SIGPIPE));
	T_EQ(pthread_sigmask(SIG_BLOCK, &pipes, NULL), 0);
	T_EQ(weft_pipe_write(w, "x", 1, NULL), WEFT_EPIPE);
	T_EQ(sigpending(&pending), 0);
	T_OK(!sigismember(&pending, SIGPIPE));
	T_EQ(raise(SIGPIPE), 0);
	T_EQ(weft_pipe_write(w, "x", 1, NULL), WEFT_EPIPE);
	T_EQ(sigpending(&pending), 0);
	T_OK(sigismember(&pending, SIGPIPE));
	T_EQ(weft_pipe_close(w), 0);
}

/* Without a runtime what can be done is done, and what would have to wait says why it does not. */
TEST(without_a_runtime)
{
	weft_pipe *r, *w;
	char x = 0;

	T_EQ(weft_pipe_make(&r, &w), 0);
	T_EQ(weft_pipe_read(r, &x, 1), WEFT_ESRCH);
	T_EQ(weft_pipe_write(w, "x", 1, NULL), 1);
	T_EQ(weft_pipe_read(r, &x, 1), 1);
	T_EQ(weft_pipe_close(r), 0);
	T_EQ(weft_pipe_close(w), 0);
}

/* --- each kind's own calls --- */

/* Several pieces a call; and past the deadline, of the call or of the stream, nothing happens. */
#define OWN_CALLS(type)                                                            \
	static void type##_calls(type *r, type *w)                                 \
	{                                                                          \
		struct iovec out[2] = {{(char[]){"ab"}, 2}, {(char[]){"cde"}, 3}}; \
		char one[2] = "", two[3] = "";                                     \
		struct iovec in[2] = {{one, 2}, {two, 3}};                         \
		int64_t late = weft_now() - 1;                                     \
		size_t done = 9;                                                   \
                                                                                   \
		T_EQ(type##_read_until(r, one, 1, late), WEFT_ETIMEDOUT);          \
		T_EQ(type##_readv_until(r, in, 2, late), WEFT_ETIMEDOUT);          \
		T_EQ(type##_readv_until(r, in, 2, WEFT_NOW), WEFT_EAGAIN);         \
		T_EQ(type##_write_until(w, "x", 1, &done, late), WEFT_ETIMEDOUT);  \
		T_EQ(done, 0);                                                     \
		done = 9;                                                          \
		T_EQ(type##_writev_until(w, out, 2, &done, late), WEFT_ETIMEDOUT); \
		T_EQ(done, 0);                                                     \
		T_EQ(type##_writev(w, out, 2, &done), 5);                          \
		T_EQ(done, 5);                                                     \
		T_EQ(type##_readv(r, in, 2), 5);                                   \
		T_OK(memcmp(one, "ab", 2) == 0 && memcmp(two, "cde", 3) == 0);     \
		T_EQ(type##_set_deadline(r, late, WEFT_FOREVER), 0);               \
		T_EQ(type##_read(r, one, 1), WEFT_ETIMEDOUT);                      \
		T_EQ(type##_close(r), 0);                                          \
		T_EQ(type##_close(w), 0);                                          \
	}
OWN_CALLS(weft_pipe)
OWN_CALLS(weft_unix)

static int own_calls(void *arg)
{
	weft_pipe *r, *w;
	weft_unix *a, *b;

	(void)arg;
	T_EQ(weft_pipe_make(&r, &w), 0);
	weft_pipe_calls(r, w);
	T_EQ(weft_unix_pair(&a, &b), 0);
	weft_unix_calls(a, b);
	return 0;
}

TEST_WORKERS(calls_of_pipes_and_unix_sockets)
{
	run_net(own_calls, NULL);
}

/* --- kinds of one's own --- */

static ssize_t own_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	T_EQ(count, 1);
	T_EQ(deadline, 5);
	memset(v->iov_base, *(char *)self, v->iov_len);
	return (ssize_t)v->iov_len;
}

static ssize_t own_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	T_EQ(count, 1);
	T_EQ(deadline, WEFT_FOREVER);
	*(char *)self = *(char *)v->iov_base;
	*done = 1;
	return WEFT_EPIPE;
}

/* What has only the two calls that it must have. */
TEST(streams_of_ones_own)
{
	static const weft_io_ops ops = {.kind = "own", .readv = own_readv, .writev = own_writev};
	size_t done = 77;
	char c = 'c', buf[2];
	weft_io io = {&ops, &c};

	T_EQ(weft_io_write(io, "hey", 3, &done), WEFT_EPIPE);
	T_EQ(done, 1);
	T_EQ(weft_io_read_until(io, buf, 2, 5), 2);
	T_EQ(buf[1], 'h');
	T_EQ(weft_io_shutdown(io, SHUT_WR), WEFT_ENOTSUP);
	T_EQ(weft_io_set_deadline(io, 1, 1), WEFT_ENOTSUP);
	T_EQ(weft_io_close(io), WEFT_ENOTSUP);
	T_EQ(weft__io_fd(io) == NULL, 1);
}
