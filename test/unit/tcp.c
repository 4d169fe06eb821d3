/* SPDX-License-Identifier: MIT
 *
 * tcp.c - reading and writing connections: sizes, the end, half-close, much data in pieces, a peer that is deaf or gone, and turns.
 */
#include "net.h"

#include "base/rand.h"
#include <signal.h>

/* --- reading and writing --- */

static int zero_main(void *arg)
{
	struct iovec none[3] = {{NULL, 0}, {(void *)"x", 0}, {NULL, 0}};
	size_t done = 77;
	weft_tcp *a, *b;
	char x = 'q';

	(void)arg;
	pair_make(&a, &b);
	for (int i = 0; i < 2; i++) { /* with nothing to be read, and with something */
		T_EQ(weft_tcp_read(a, &x, 0), 0);
		T_EQ(weft_tcp_read(a, NULL, 0), 0);
		T_EQ(weft_tcp_read_until(a, &x, 0, WEFT_NOW), 0);
		T_EQ(weft_tcp_readv(a, none, 3), 0);
		T_EQ(weft_tcp_readv(a, none, 0), 0);
		T_EQ(weft_tcp_readv(a, NULL, 0), 0);
		T_EQ(weft_tcp_write(a, NULL, 0, &done), 0);
		T_EQ(done, 0);
		T_EQ(weft_tcp_write(a, "x", 0, NULL), 0);
		T_EQ(weft_tcp_writev(a, none, 3, &done), 0);
		T_EQ(weft_tcp_writev(a, none, 0, &done), 0);
		T_EQ(weft_tcp_writev(a, NULL, 0, &done), 0);
		write_all(b, "y", 1);
	}
	T_EQ(x, 'q');
	read_all(a, &x, 1);
	read_all(a, &x, 1);
	T_EQ(weft_tcp_read_until(b, &x, 1, WEFT_NOW), WEFT_EAGAIN); /* nothing was sent */
	T_EQ(weft_tcp_close(a), 0);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* Nothing to read or write is done at once, and moves nothing. */
TEST(zero_bytes)
{
	run_net(zero_main, NULL);
}

static int impossible_main(void *arg)
{
	static struct iovec v[1025];
	struct iovec huge[2] = {{v, SSIZE_MAX}, {v, 1}}, wraps[2] = {{v, SIZE_MAX}, {v, 2}};
	weft_tcp *a, *b;
	size_t done;
	char x;

	(void)arg;
	pair_make(&a, &b);
	write_all(b, "x", 1);
	T_EQ(weft_tcp_read(a, &x, (size_t)SSIZE_MAX + 1), WEFT_EINVAL);
	T_EQ(weft_tcp_read(a, &x, SIZE_MAX), WEFT_EINVAL);
	T_EQ(weft_tcp_readv(a, v, -1), WEFT_EINVAL);
	T_EQ(weft_tcp_readv(a, v, 1025), WEFT_EINVAL);
	T_EQ(weft_tcp_readv(a, huge, 2), WEFT_EINVAL);
	T_EQ(weft_tcp_readv(a, wraps, 2), WEFT_EINVAL);
	done = 7;
	T_EQ(weft_tcp_write(a, &x, (size_t)SSIZE_MAX + 1, &done), WEFT_EINVAL);
	T_EQ(done, 0);
	T_EQ(weft_tcp_writev(a, v, -1, NULL), WEFT_EINVAL);
	done = 7;
	T_EQ(weft_tcp_writev(a, v, 1025, &done), WEFT_EINVAL);
	T_EQ(done, 0);
	T_EQ(weft_tcp_writev(a, huge, 2, &done), WEFT_EINVAL);
	T_EQ(weft_tcp_writev(a, wraps, 2, &done), WEFT_EINVAL);
	T_EQ(weft_tcp_readv(a, v, 1024), 0);
	T_EQ(weft_tcp_writev(a, v, 1024, &done), 0);
	read_all(a, &x, 1);
	T_EQ(weft_tcp_read_until(b, &x, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_tcp_close(a), 0);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* Sizes and counts that cannot be are refused before anything happens. */
TEST(impossible_sizes)
{
	run_net(impossible_main, NULL);
}

static int end_main(void *arg)
{
	char buf[100];
	weft_tcp *a, *b;

	(void)arg;
	for (int how = 0; how < 4; how++) {
		pair_make(&a, &b);
		if (how & 1)
			write_all(b, "last words", 10);
		if (how & 2)
			T_EQ(weft_tcp_close(b), 0);
		else
			T_EQ(weft_tcp_shutdown(b, SHUT_WR), 0);
		if (how & 1) {
			T_EQ(weft_tcp_read(a, buf, sizeof buf), 10); /* short, and there is no event to come */
			T_EQ(memcmp(buf, "last words", 10), 0);
		}
		for (int i = 0; i < 5; i++) {
			T_EQ(weft_tcp_read(a, buf, sizeof buf), 0);
			T_EQ(weft_tcp_read_until(a, buf, sizeof buf, WEFT_NOW), 0);
			T_EQ(weft_tcp_readv(a, &(struct iovec){buf, 10}, 1), 0);
			let_run();
		}
		T_EQ(weft_tcp_close(a), 0);
		if (!(how & 2))
			T_EQ(weft_tcp_close(b), 0);
	}
	return 0;
}

/* The end of the stream is read again and again, after all that was sent. */
TEST_WORKERS(end_stays_the_end)
{
	run_net(end_main, NULL);
}

static int end_wakes_main(void *arg)
{
	(void)arg;
	for (int how = 0; how < 4; how++) {
		struct reading r = {.rc = 77};
		weft_task *t;
		weft_tcp *b;

		pair_make(&r.c, &b);
		t = start(reads_once, &r);
		until_reason(t, "read");
		switch (how) {
		case 0:
			T_EQ(weft_tcp_shutdown(b, SHUT_WR), 0);
			break;
		case 1:
			T_EQ(weft_tcp_close(b), 0);
			break;
		case 2:
			T_EQ(weft_tcp_shutdown(r.c, SHUT_RD), 0); /* our own side */
			break;
		default:
			T_EQ(weft_tcp_shutdown(r.c, SHUT_RDWR), 0);
			break;
		}
		T_EQ(finish(t), 0);
		T_EQ(r.rc, 0);
		T_EQ(weft_tcp_close(r.c), 0);
		if (how != 1)
			T_EQ(weft_tcp_close(b), 0);
	}
	return 0;
}

/* A reader that waits learns of the end, whoever made it. */
TEST_WORKERS(end_wakes_the_reader)
{
	run_net(end_wakes_main, NULL);
}

static int half_close_main(void *arg)
{
	(void)arg;
	for (int swap = 0; swap < 2; swap++) {
		weft_tcp *p[2], *a, *b;
		char buf[100];
		size_t done = 7;

		pair_make(&p[0], &p[1]);
		a = p[swap];
		b = p[!swap];
		write_all(a, "question", 8);
		T_EQ(weft_tcp_shutdown(a, SHUT_WR), 0);
		T_EQ(weft_tcp_shutdown(a, SHUT_WR), 0);
		T_EQ(weft_tcp_write(a, "x", 1, &done), WEFT_EPIPE);
		T_EQ(done, 0);
		T_EQ(weft_tcp_read(b, buf, sizeof buf), 8);
		T_EQ(weft_tcp_read(b, buf, sizeof buf), 0);
		for (int i = 0; i < 100; i++) { /* the other way is still open */
			write_all(b, "answer", 6);
			read_all(a, buf, 6);
			T_EQ(memcmp(buf, "answer", 6), 0);
		}
		T_EQ(weft_tcp_shutdown(b, SHUT_WR), 0);
		T_EQ(weft_tcp_read(a, buf, sizeof buf), 0);
		T_EQ(weft_tcp_read(b, buf, sizeof buf), 0);
		T_EQ(weft_tcp_close(a), 0);
		T_EQ(weft_tcp_close(b), 0);
	}
	return 0;
}

/* One direction ends, the other goes on. */
TEST_WORKERS(half_close)
{
	run_net(half_close_main, NULL);
}

static int short_main(void *arg)
{
	struct reading r = {.n = 4};
	char buf[16];
	weft_task *t;
	weft_tcp *b;

	(void)arg;
	pair_make(&r.c, &b);
	for (int i = 0; i < 20; i++) {
		write_all(b, "0123456789", 10);
		T_EQ(weft_tcp_read(r.c, buf, 4), 4); /* full: there is more */
		T_EQ(weft_tcp_read(r.c, buf + 4, 4), 4);
		T_EQ(weft_tcp_read(r.c, buf + 8, 4), 2); /* short: there is not */
		T_EQ(memcmp(buf, "0123456789", 10), 0);
		t = start(reads_once, &r);
		until_reason(t, "read");
		write_all(b, "ab", 2);
		T_EQ(finish(t), 0);
		T_EQ(r.rc, 2);
		write_all(b, "cdef", 4); /* just as much as asked for */
		T_EQ(weft_tcp_read(r.c, buf, 4), 4);
		t = start(reads_once, &r);
		until_reason(t, "read");
		write_all(b, "g", 1);
		T_EQ(finish(t), 0);
		T_EQ(r.rc, 1);
		T_EQ(r.buf[0], 'g');
	}
	T_EQ(weft_tcp_close(r.c), 0);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* Reads take what is there, and wait only when there is nothing. */
TEST_WORKERS(short_reads)
{
	run_net(short_main, NULL);
}

static int looks_main(void *arg)
{
	weft_tcp *a, *b;
	char x;

	(void)arg;
	pair_make(&a, &b);
	for (int i = 0; i < 50; i++) { /* without ever waiting, and without letting anybody run */
		T_EQ(weft_tcp_read_until(a, &x, 1, WEFT_NOW), WEFT_EAGAIN);
		T_EQ(weft_tcp_read_until(a, &x, 1, WEFT_NOW), WEFT_EAGAIN);
		T_EQ(write(number_of(b), "x", 1), 1);
		while (!holds(number_of(a), POLLIN))
			sched_yield();
		T_EQ(weft_tcp_read_until(a, &x, 1, WEFT_NOW), 1);
		T_EQ(write(number_of(b), "yz", 2), 2);
		while (!holds(number_of(a), POLLIN))
			sched_yield();
		T_EQ(weft_tcp_read_until(a, (char[8]){0}, 8, WEFT_NOW), 2); /* a short read */
		T_EQ(weft_tcp_read_until(a, &x, 1, WEFT_NOW), WEFT_EAGAIN);
		if (i % 8 == 7) { /* once the loop knows it: the same */
			struct reading r = {.c = a};
			weft_task *t = start(reads_once, &r);

			until_reason(t, "read");
			T_EQ(weft_tcp_read_until(a, &x, 1, WEFT_NOW), WEFT_EAGAIN); /* it is another's turn */
			T_EQ(write(number_of(b), "w", 1), 1);
			T_EQ(finish(t), 0);
			T_EQ(r.rc, 1);
		}
	}
	fill(a, number_of(b));
	T_EQ(weft_tcp_write_until(a, &x, 1, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_tcp_write_until(a, &x, 1, NULL, WEFT_NOW), WEFT_EAGAIN);
	while (!holds(number_of(a), POLLOUT)) {
		drain(b);
		sched_yield();
	}
	T_EQ(weft_tcp_write_until(a, &x, 1, NULL, WEFT_NOW), 1);
	T_EQ(weft_tcp_close(a), 0);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* A call with WEFT_NOW sees what is there, though nobody has ever waited for it. */
TEST_WORKERS(look_without_waiting)
{
	run_net(looks_main, NULL);
}

static int look_accepts_main(void *arg)
{
	weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL);
	weft_tcp *c;

	(void)arg;
	for (int i = 0; i < 20; i++) {
		int raw;

		T_EQ(weft_tcp_accept_until(l, &c, WEFT_NOW), WEFT_EAGAIN);
		T_EQ(c, NULL);
		raw = raw_dial(l);
		while (!holds(number_of(l), POLLIN))
			sched_yield();
		T_EQ(weft_tcp_accept_until(l, &c, WEFT_NOW), 0);
		T_EQ(weft_tcp_close(c), 0);
		close(raw);
	}
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* The same of accept. */
TEST_WORKERS(look_accepts)
{
	run_net(look_accepts_main, NULL);
}

/* --- much --- */

static inline unsigned char pattern(size_t i)
{
	return (unsigned char)(i * 131 + (i >> 8) * 7 + (i >> 16));
}

struct flow {
	weft_tcp *c;
	size_t n;
	uint64_t seed; /* of the sizes of its pieces */
	bool vectored;
};

enum { PIECE = 20000, PARTS = 40 };

/* Cuts buf[n] into up to PARTS pieces, some of them empty. Returns how many. */
static int cut(struct rng *r, struct iovec *v, char *buf, size_t n)
{
	int parts = 1 + (int)rng_below(r, PARTS);
	size_t at = 0;

	for (int i = 0; i < parts; i++) {
		size_t len = i + 1 == parts ? n - at : rng_below(r, 3) ? rng_below(r, (uint32_t)(n - at) / 4 + 1) : 0;

		v[i] = (struct iovec){buf + at, len};
		at += len;
	}
	return parts;
}

static int flow_out(void *arg)
{
	struct flow *f = arg;
	unsigned char buf[PIECE];
	struct iovec v[PARTS];
	struct rng r;
	size_t at = 0;

	rng_seed(&r, f->seed, 1);
	while (at < f->n) {
		size_t n = 1 + rng_below(&r, rng_below(&r, 4) ? 3000 : PIECE), done = 0;

		if (n > f->n - at)
			n = f->n - at;
		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(at + i);
		if (f->vectored && rng_below(&r, 2))
			T_EQ(weft_tcp_writev(f->c, v, cut(&r, v, (char *)buf, n), &done), (ssize_t)n);
		else
			T_EQ(weft_tcp_write(f->c, buf, n, &done), (ssize_t)n);
		T_EQ(done, n);
		at += n;
	}
	T_EQ(weft_tcp_shutdown(f->c, SHUT_WR), 0);
	return 0;
}

static int flow_in(void *arg)
{
	struct flow *f = arg;
	unsigned char buf[PIECE];
	struct iovec v[PARTS];
	size_t at = 0, bad = 0;
	struct rng r;
	ssize_t n;

	rng_seed(&r, f->seed, 2);
	for (;;) {
		size_t want = 1 + rng_below(&r, rng_below(&r, 4) ? 3000 : PIECE);

		if (f->vectored && rng_below(&r, 2))
			n = weft_tcp_readv(f->c, v, cut(&r, v, (char *)buf, want));
		else
			n = weft_tcp_read(f->c, buf, want);
		T_GE(n, 0);
		T_LE(n, (ssize_t)want);
		if (n == 0)
			break;
		for (size_t i = 0; i < (size_t)n; i++)
			bad += buf[i] != pattern(at + i);
		T_EQ(bad, 0);
		at += (size_t)n;
	}
	T_EQ(at, f->n);
	return 0;
}

static int much_main(void *arg)
{
	size_t n = (size_t)16 << 20;
	struct flow f[4];
	weft_task *t[4];
	weft_tcp *a, *b;

	(void)arg;
	n /= (size_t)tap_slow();
	pair_make(&a, &b);
	f[0] = (struct flow){a, n, 1, true};
	f[1] = (struct flow){b, n, 2, true};
	f[2] = (struct flow){b, n, 3, true};
	f[3] = (struct flow){a, n, 4, true};
	for (int i = 0; i < 4; i++)
		t[i] = start(i % 2 ? flow_in : flow_out, &f[i]);
	for (int i = 0; i < 4; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(weft_tcp_close(a), 0);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* 16 MiB each way at once, in pieces of all sizes: every byte arrives in its place. */
TEST_WORKERS(much_both_ways)
{
	run_net(much_main, NULL);
}

static int gather_main(void *arg)
{
	enum { COUNT = 1024, ROUNDS = 3, EACH = 300 };
	struct flow f;
	struct iovec *v = calloc(COUNT, sizeof *v);
	unsigned char *bytes;
	size_t all = 0, at = 0, done = 0;
	weft_task *t;

	(void)arg;
	for (int round = 0; round < ROUNDS; round++) {
		size_t unit = round == 2 ? 40 * EACH : EACH; /* the last: more than the system takes at once */

		all = 0;
		for (int i = 0; i < COUNT; i++)
			all += v[i].iov_len = i % 3 == 1 || (round == 1 && i < 100) ? 0 : (size_t)i % 7 * unit / 7 + 1;
		bytes = malloc(all);
		for (size_t i = 0; i < all; i++)
			bytes[i] = pattern(i);
		at = 0;
		for (int i = 0; i < COUNT; i++) {
			v[i].iov_base = bytes + at;
			at += v[i].iov_len;
		}
		f = (struct flow){NULL, all, 5, true};
		{
			weft_tcp *a, *b;

			pair_make(&a, &b);
			f.c = b;
			t = start(flow_in, &f);
			T_EQ(weft_tcp_writev(a, v, COUNT, &done), (ssize_t)all);
			T_EQ(done, all);
			T_EQ(weft_tcp_shutdown(a, SHUT_WR), 0);
			T_EQ(finish(t), 0);
			write_all(b, bytes, all < 30000 ? all : 30000); /* back again, into as many buffers */
			memset(bytes, 0, all);
			T_EQ(weft_tcp_shutdown(b, SHUT_WR), 0);
			for (at = 0;;) {
				ssize_t n = weft_tcp_readv(a, v, COUNT);

				T_GE(n, 0);
				if (n == 0)
					break;
				for (size_t i = 0; i < (size_t)n; i++)
					T_EQ(bytes[i], pattern(at + i));
				at += (size_t)n;
			}
			T_EQ(at, all < 30000 ? all : 30000);
			T_EQ(weft_tcp_close(a), 0);
			T_EQ(weft_tcp_close(b), 0);
		}
		free(bytes);
	}
	free(v);
	return 0;
}

/* A thousand buffers, empty ones among them, in one call, also when it has to wait in the middle of one. */
TEST_WORKERS(thousand_buffers)
{
	run_net(gather_main, NULL);
}

static int deaf_peer_main(void *arg)
{
	size_t n = (size_t)32 << 20, got;
	char *big = malloc(n), chunk[32768];

	(void)arg;
	for (size_t i = 0; i < n; i++)
		big[i] = (char)pattern(i);
	for (int how = 0; how < 4; how++) {
		struct writing w = {.buf = big, .n = n, .done = 77, .rc = 77};
		weft_task *t;
		weft_tcp *b;
		int want;

		pair_make(&w.c, &b);
		if (how == 0)
			time_fake();
		w.deadline = how == 0 ? weft_in(30 * WEFT_MS) : 0;
		t = start(writes_once, &w);
		until_reason(t, "write"); /* it may go on a little */
		switch (how) {
		case 0:
			time_move(30 * WEFT_MS);
			want = WEFT_ETIMEDOUT;
			break;
		case 1:
			T_EQ(weft_task_cancel(t), 0);
			want = WEFT_ECANCELED;
			break;
		case 2:
			T_EQ(weft_tcp_set_deadline(w.c, WEFT_FOREVER, weft_now()), 0);
			want = WEFT_ETIMEDOUT;
			break;
		default:
			T_EQ(weft_tcp_shutdown(w.c, SHUT_WR), 0);
			want = WEFT_EPIPE;
			break;
		}
		T_EQ(finish(t), 0);
		if (how == 0)
			time_real();
		T_EQ(w.rc, want);
		T_GT(w.done, 0);
		T_LT(w.done, n);
		T_EQ(weft_tcp_shutdown(w.c, SHUT_WR), 0);
		for (got = 0;;) { /* exactly what it said is read by the peer in the end */
			ssize_t k = weft_tcp_read(b, chunk, sizeof chunk);

			T_GE(k, 0);
			if (k == 0)
				break;
			T_EQ(memcmp(chunk, big + got, (size_t)k), 0);
			got += (size_t)k;
		}
		T_EQ(got, w.done);
		T_EQ(weft_tcp_close(w.c), 0);
		T_EQ(weft_tcp_close(b), 0);
	}
	free(big);
	return 0;
}

/* A write to a peer that reads nothing waits; when it is called off it says how much was sent, and that is what arrives. */
TEST_WORKERS(peer_reads_nothing)
{
	run_net(deaf_peer_main, NULL);
}

/* --- the peer is gone --- */

static int gone_main(void *arg)
{
	struct sigaction was, is;
	static const char big[65536];

	(void)arg;
	T_EQ(sigaction(SIGPIPE, NULL, &was), 0);
	T_EQ(was.sa_handler == SIG_DFL, 1); /* would kill us */
	for (int how = 0; how < 4; how++) {
		weft_tcp *a, *b;
		size_t done;
		ssize_t rc;

		pair_make(&a, &b);
		if (how & 1)
			write_all(a, "never read", 10); /* then its close is a reset */
		T_EQ(weft_tcp_close(b), 0);
		do {
			done = 77;
			rc = how & 2 ? weft_tcp_writev(a, (struct iovec[]){{(void *)big, 10}, {(void *)big, sizeof big}}, 2, &done)
				     : weft_tcp_write(a, big, sizeof big, &done);
		} while (rc > 0);
		T_OK(rc == WEFT_EPIPE || rc == WEFT_ECONNRESET);
		T_LE(done, sizeof big + 10);
		for (int i = 0; i < 3; i++) {
			rc = weft_tcp_write(a, big, sizeof big, &done);
			T_OK(rc == WEFT_EPIPE || rc == WEFT_ECONNRESET);
			T_EQ(done, 0);
		}
		T_EQ(weft_tcp_close(a), 0);
	}
	T_EQ(sigaction(SIGPIPE, NULL, &is), 0);
	T_EQ(is.sa_handler == was.sa_handler, 1);
	T_EQ(is.sa_flags, was.sa_flags);
	return 0;
}

/* Writing to a peer that is gone is an error, and no signal. */
TEST_WORKERS(write_to_the_gone)
{
	run_net(gone_main, NULL);
}

static int reset_main(void *arg)
{
	static const char big[1 << 20];

	(void)arg;
	for (int how = 0; how < 4; how++) { /* a reader waits; a writer; both; nobody */
		weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL);
		struct writing w = {.buf = big, .n = sizeof big};
		struct reading r = {.rc = 77};
		weft_task *rt = NULL, *wt = NULL;
		int raw = raw_dial(l);
		weft_tcp *c = accept_from(l);
		weft_addr a;
		ssize_t rc;

		w.c = r.c = c;
		if (how == 1 || how == 2) {
			fill(c, raw);
			wt = start(writes_once, &w);
			until_reason(wt, "write");
		}
		if (how == 0 || how == 2) {
			rt = start(reads_once, &r);
			until_reason(rt, "read");
		}
		raw_reset(raw);
		if (rt) {
			T_EQ(finish(rt), 0);
			T_OK(r.rc == WEFT_ECONNRESET || (how == 2 && r.rc == 0)); /* the other may have been told first */
		}
		if (wt) {
			T_EQ(finish(wt), 0);
			T_OK(w.rc == WEFT_ECONNRESET || w.rc == WEFT_EPIPE);
		}
		if (how == 3)
			T_EQ(weft_tcp_read(c, r.buf, 1), WEFT_ECONNRESET);
		for (int i = 0; i < 3; i++) {
			rc = weft_tcp_read(c, r.buf, 1);
			T_OK(rc == 0 || rc == WEFT_ECONNRESET);
			rc = weft_tcp_write(c, "x", 1, NULL);
			T_OK(rc == WEFT_EPIPE || rc == WEFT_ECONNRESET);
		}
		T_EQ(weft_tcp_peer(c, &a), WEFT_ENOTCONN);
		T_EQ(weft_tcp_shutdown(c, SHUT_WR), WEFT_ENOTCONN);
		T_EQ(weft_tcp_local(c, &a), 0);
		T_EQ(weft_tcp_close(c), 0);
		T_EQ(weft_tcp_listener_close(l), 0);
	}
	return 0;
}

/* A reset wakes who waits, both ways, with an error; later calls do not wait. */
TEST_WORKERS(reset_by_peer)
{
	run_net(reset_main, NULL);
}

static int reset_before_main(void *arg)
{
	weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL);
	weft_tcp *c;
	char x;

	(void)arg;
	for (int i = 0; i < 20; i++) {
		int bad = raw_dial(l), good = raw_dial(l);

		raw_reset(bad);
		T_EQ(write(good, &(char){(char)i}, 1), 1);
		c = accept_from(l);
		while (weft_tcp_read(c, &x, 1) != 1) { /* Linux hands out the broken ones, too, and a late one behind the good one */
			T_EQ(weft_tcp_close(c), 0);
			c = accept_from(l);
		}
		T_EQ(x, i);
		T_EQ(weft_tcp_close(c), 0);
		close(good);
	}
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* A client that breaks before it is accepted does not disturb the next. */
TEST_WORKERS(reset_before_accept)
{
	run_net(reset_before_main, NULL);
}

/* --- turns --- */

static int readers_in_turn_main(void *arg)
{
	struct in_line w[LINE];
	weft_task *t[LINE];
	weft_tcp *a, *b;

	(void)arg;
	pair_make(&a, &b);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < LINE; i++) {
			w[i] = (struct in_line){.h = a};
			t[i] = start(line_read, &w[i]);
			until_reason(t[i], "read");
		}
		if (round) { /* all at once */
			write_all(b, "abcdefghij", LINE);
		} else {
			for (int i = 0; i < LINE; i++) {
				write_all(b, &(char){(char)('a' + i)}, 1);
				until_state(t[i], WEFT_TASK_DONE);
			}
		}
		for (int i = 0; i < LINE; i++) {
			T_EQ(finish(t[i]), 1);
			T_EQ(w[i].byte, 'a' + i);
		}
	}
	T_EQ(weft_tcp_close(a), 0);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* Tasks that read one connection are served in the order in which they came. */
TEST_WORKERS(readers_in_turn)
{
	run_net(readers_in_turn_main, NULL);
}

static int called_off_main(void *arg)
{
	struct in_line w[LINE];
	weft_task *t[LINE];
	weft_tcp *a, *b;

	(void)arg;
	pair_make(&a, &b);
	for (int i = 0; i < LINE; i++) {
		w[i] = (struct in_line){.h = a};
		t[i] = start(line_read, &w[i]);
		until_reason(t[i], "read");
	}
	for (int i = 0; i < LINE; i += 2) { /* the first, who waits for the system, and some of those who wait for their turn */
		T_EQ(weft_task_cancel(t[i]), 0);
		T_EQ(finish(t[i]), WEFT_ECANCELED);
	}
	write_all(b, "abcde", LINE / 2);
	for (int i = 1; i < LINE; i += 2) {
		T_EQ(finish(t[i]), 1);
		T_EQ(w[i].byte, 'a' + i / 2);
	}
	T_EQ(weft_tcp_read_until(a, &w[0].byte, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_tcp_close(a), 0);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* Who is called off in the line leaves the others in theirs. */
TEST_WORKERS(called_off_in_the_line)
{
	run_net(called_off_main, NULL);
}

enum { BLOCK = 300000, WRITERS = 4 };

static int writes_block(void *arg)
{
	struct in_line *me = arg;
	char *block = malloc(BLOCK);

	memset(block, me->byte, BLOCK);
	for (int i = 0; i < 3; i++)
		T_EQ(weft_tcp_write(me->h, block, BLOCK, NULL), BLOCK);
	free(block);
	return 0;
}

static int writers_main(void *arg)
{
	struct in_line w[WRITERS];
	weft_task *t[WRITERS];
	char buf[10000];
	long run = 0;
	weft_tcp *a, *b;
	char last = 0;

	(void)arg;
	pair_make(&a, &b);
	for (int i = 0; i < WRITERS; i++) {
		w[i] = (struct in_line){.h = a, .byte = (char)('a' + i)};
		t[i] = start(writes_block, &w[i]);
	}
	for (long left = (long)BLOCK * 3 * WRITERS; left > 0;) {
		ssize_t n = weft_tcp_read(b, buf, sizeof buf);

		T_GT(n, 0);
		left -= n;
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != last) {
				T_EQ(run % BLOCK, 0);
				run = 0;
				last = buf[i];
			}
			run++;
		}
	}
	for (int i = 0; i < WRITERS; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(weft_tcp_close(a), 0);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* What tasks write at the same time to one connection does not mix. */
TEST_WORKERS(writers_do_not_mix)
{
	run_net(writers_main, NULL);
}
