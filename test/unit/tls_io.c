/* SPDX-License-Identifier: MIT
 *
 * tls_io.c - TLS as a stream: pieces of any size, both directions at once, ends and what is cut off.
 */
#include "../stream.h"
#include "../tls.h"

static const int versions[] = {WEFT_TLS_1_2, WEFT_TLS_1_3};

/* --- transfers --- */

/* One direction. */
struct transfer {
	weft_tls *from, *to;
	struct stream out, in;
};

static int sends(void *arg)
{
	struct transfer *x = arg;

	T_EQ(stream_send(weft_tls_io(x->from), &x->out), 0);
	return weft_tls_shutdown(x->from, SHUT_WR);
}

static int receives(void *arg)
{
	struct transfer *x = arg;

	return stream_receive(weft_tls_io(x->to), &x->in);
}

static struct transfer transfer(weft_tls *from, weft_tls *to, uint64_t n, size_t piece)
{
	struct stream s = {.seed = n + piece, .bytes = n, .piece = piece, .till_end = true};

	return (struct transfer){from, to, s, s};
}

/* Both directions at once: four tasks. */
static void transfer_both(struct ends *e, uint64_t n, size_t piece)
{
	struct transfer up = transfer(e->c, e->s, n, piece), down = transfer(e->s, e->c, n, piece + 1);
	weft_task *t[4] = {start(sends, &up), start(receives, &up), start(sends, &down), start(receives, &down)};

	for (int i = 0; i < 4; i++)
		T_EQ(finish(t[i]), 0);
}

static int moves_much(void *arg)
{
	struct ends e;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		ends_ready(&e, versions[i], 0);
		transfer_both(&e, (uint64_t)tap_iters(4 << 20), 100000);
		ends_close(&e);
	}
	return 0;
}

TEST_WORKERS(both_directions_at_full_speed)
{
	run_net(moves_much, NULL);
}

static int moves_bits(void *arg)
{
	static const size_t piece[] = {1, 3, 64};
	struct ends e;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		for (size_t k = 0; k < 3; k++) {
			mem_room = piece[k];
			ends_ready(&e, versions[i], piece[k]);
			transfer_both(&e, 3000, 700);
			ends_close(&e);
		}
	}
	return 0;
}

TEST_WORKERS(over_a_stream_that_gives_a_byte_at_a_time)
{
	run(moves_bits, NULL);
}

static ATOMIC(int) rekeyed;

static int sends_twice(void *arg)
{
	struct transfer *x = arg;
	struct stream first = x->out;

	T_EQ(stream_send(weft_tls_io(x->from), &first), 0);
	until(load_acquire(&rekeyed)); /* pairs with store_release in rekeys_busily */
	return sends(arg);
}

static int receives_twice(void *arg)
{
	struct transfer *x = arg;
	struct stream first = x->in;

	first.till_end = false;
	T_EQ(stream_receive(weft_tls_io(x->to), &first), 0);
	return receives(arg);
}

/* Keys change while both directions are busy. */
static int rekeys_busily(void *arg)
{
	struct transfer up, down;
	weft_task *t[4];
	struct ends e;
	int n = 0;

	(void)arg;
	store_relaxed(&rekeyed, 0); /* nobody looks yet */
	ends_ready(&e, WEFT_TLS_1_3, 0);
	up = transfer(e.c, e.s, (uint64_t)tap_iters(1 << 19), 3000);
	down = transfer(e.s, e.c, (uint64_t)tap_iters(1 << 19), 3000);
	t[0] = start(sends_twice, &up);
	t[1] = start(receives_twice, &up);
	t[2] = start(sends_twice, &down);
	t[3] = start(receives_twice, &down);
	for (int i = 0; i < 100; i++) {
		int rc = weft_tls_key_update(i % 2 ? e.c : e.s, true);

		char why[WEFT_TLS_WHY];

		n += rc == 0;
		if (rc != 0 && rc != WEFT_EPIPE) /* all is written */
			T_FAIL("%d: %s", rc, weft_tls_why(i % 2 ? e.c : e.s, why, sizeof why));
		weft_task_yield();
		if (i == 49) {
			T_EQ(n, 50);
			store_release(&rekeyed, 1); /* they may end now */
		}
	}
	for (int i = 0; i < 4; i++)
		T_EQ(finish(t[i]), 0);
	ends_close(&e);
	return 0;
}

TEST_WORKERS(keys_change_while_both_sides_write)
{
	run_net(rekeys_busily, NULL);
}

/* WEFT_STREAM_BYTES asks for more. */
static int moves_all(void *arg)
{
	const char *asked = getenv("WEFT_STREAM_BYTES");
	struct transfer x;
	weft_task *t;
	struct ends e;

	(void)arg;
	ends_ready(&e, 0, 0);
	x = transfer(e.c, e.s, asked ? strtoull(asked, NULL, 0) : (uint64_t)tap_iters(16 << 20), 0);
	t = start(sends, &x);
	T_EQ(receives(&x), 0);
	T_EQ(finish(t), 0);
	ends_close(&e);
	return 0;
}

TEST_WORKERS(all_arrives)
{
	tap_limit(getenv("WEFT_STREAM_BYTES") ? 600 : 60);
	run_net(moves_all, NULL);
}

/* Several small buffers are one record; a buffer larger than a record is several. */
static int gathers(void *arg)
{
	struct iovec v[4] = {{(void *)"abc", 3}, {NULL, 0}, {(void *)"def", 3}, {(void *)"g", 1}}, w[3];
	static char big[40000], got[40000];
	char x[2], y[8] = "";
	struct ends e;
	size_t done = 1, all = 0;

	(void)arg;
	ends_ready(&e, 0, 0);
	T_EQ(weft_tls_writev(e.c, v, 4, &done), 7);
	T_EQ(done, 7);
	w[0] = (struct iovec){x, 2};
	w[1] = (struct iovec){NULL, 0};
	w[2] = (struct iovec){y, 7};
	T_EQ(weft_tls_readv_until(e.s, w, 3, WEFT_FOREVER), 7);
	T_EQ(x[1], 'b');
	T_STR_EQ(y, "cdefg");
	T_EQ(weft_tls_write(e.c, NULL, 0, &done), 0);
	T_EQ(done, 0);
	T_EQ(weft_tls_writev(e.c, v + 1, 1, NULL), 0);
	T_EQ(weft_tls_read(e.s, NULL, 0), 0);
	T_EQ(weft_tls_readv(e.s, NULL, 0), 0);
	T_EQ(weft_tls_readv(e.s, w, -1), WEFT_EINVAL);
	T_EQ(weft_tls_writev(e.s, v, 1025, NULL), WEFT_EINVAL);
	memset(big, 'B', sizeof big);
	T_EQ(weft_tls_write(e.c, big, sizeof big, NULL), (ssize_t)sizeof big);
	while (all < sizeof got) {
		ssize_t n = weft_tls_read(e.s, got + all, sizeof got - all);

		T_GT(n, 0);
		all += (size_t)n;
	}
	T_EQ(memcmp(big, got, sizeof big), 0);
	ends_close(&e);
	return 0;
}

TEST(buffers_are_gathered_into_records)
{
	run_net(gathers, NULL);
}

/* As a weft_io; and TLS in TLS. */
static int nested_server(void *arg)
{
	weft_tls *t = arg;

	get_text(t, "deep");
	send_text(t, "down");
	return weft_tls_close(t);
}

static int nests(void *arg)
{
	weft_tls_config *c = client_config((weft_tls_opts){.ca = NULL}), *s = server_config(NULL, (weft_tls_opts){.ca = NULL});
	weft_tls *ic, *is;
	struct ends e;
	weft_task *t;
	char x;

	(void)arg;
	ends_ready(&e, 0, 0);
	T_STR_EQ(weft_tls_io(e.c).ops->kind, "tls");
	T_EQ(weft_tls_client(&ic, weft_tls_io(e.c), c, &(weft_tls_conn_opts){.host = "localhost"}), 0);
	T_EQ(weft_tls_server(&is, weft_tls_io(e.s), s, NULL), 0);
	t = start(nested_server, is);
	send_text(ic, "deep");
	get_text(ic, "down");
	T_EQ(weft_io_read(weft_tls_io(ic), &x, 1), 0);
	T_EQ(weft_io_set_deadline(weft_tls_io(ic), 1, WEFT_FOREVER), 0);
	T_EQ(weft_io_shutdown(weft_tls_io(ic), SHUT_WR), 0);
	T_EQ(weft_io_close(weft_tls_io(ic)), 0);
	T_EQ(finish(t), 0);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
	return 0;
}

TEST_WORKERS(tls_over_tls)
{
	run_net(nests, NULL);
}

/* --- ends --- */

static int half_closes(void *arg)
{
	struct ends e;
	size_t done = 1;
	char x;

	(void)arg;
	for (int i = 0; i < 4; i++) {
		ends_ready(&e, versions[i % 2], i < 2 ? 0 : 5);
		send_text(e.c, "last words");
		T_EQ(weft_tls_shutdown(e.c, SHUT_WR), 0);
		T_EQ(weft_tls_shutdown(e.c, SHUT_WR), 0);
		T_EQ(weft_tls_write(e.c, "x", 1, &done), WEFT_EPIPE);
		T_EQ(done, 0);
		T_EQ(weft_tls_key_update(e.c, false), WEFT_EPIPE);
		get_text(e.s, "last words");
		T_EQ(weft_tls_read(e.s, &x, 1), 0);
		T_EQ(weft_tls_read(e.s, &x, 1), 0);
		send_text(e.s, "but I");
		get_text(e.c, "but I");
		send_text(e.s, "have more");
		T_EQ(weft_tls_close(e.s), 0);
		get_text(e.c, "have more");
		T_EQ(weft_tls_read(e.c, &x, 1), 0);
		T_EQ(weft_tls_shutdown(e.c, 7), WEFT_EINVAL);
		T_EQ(weft_tls_close(e.c), 0);
	}
	return 0;
}

TEST_WORKERS(a_direction_is_shut_down)
{
	run(half_closes, NULL);
}

static int read_end(void *arg)
{
	char x;

	return (int)weft_tls_read(arg, &x, 1);
}

static int ends_reading(void *arg)
{
	struct ends e;
	weft_task *t;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		ends_ready(&e, 0, i ? 5 : 0);
		t = start(read_end, e.c);
		until_parked(t);
		T_EQ(weft_tls_shutdown(e.c, SHUT_RD), 0);
		T_EQ(finish(t), 0);
		T_EQ(read_end(e.c), 0);
		send_text(e.c, "still speaking");
		get_text(e.s, "still speaking");
		T_EQ(weft_tls_shutdown(e.c, SHUT_RDWR), 0);
		T_EQ(read_end(e.s), 0);
		ends_close(&e);
	}
	return 0;
}

TEST_WORKERS(reading_is_shut_down)
{
	run(ends_reading, NULL);
}

/* The stream ends without the peer's word: what came is read, and then it is an error. */
static int cuts(void *arg)
{
	char why[WEFT_TLS_WHY];
	struct ends e;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		ends_ready(&e, versions[i], 0);
		send_text(e.s, "and then");
		T_EQ(weft_tcp_shutdown(e.ts, SHUT_WR), 0);
		get_text(e.c, "and then");
		T_EQ(read_end(e.c), WEFT_ECONNABORTED);
		T_EQ(read_end(e.c), WEFT_ECONNABORTED);
		T_STR_EQ(weft_tls_why(e.c, why, sizeof why), "");
		send_text(e.c, "are you there");
		get_text(e.s, "are you there");
		ends_close(&e);
	}
	return 0;
}

TEST_WORKERS(a_stream_that_is_cut_off_is_no_end)
{
	run_net(cuts, NULL);
}

/* In the middle of a record, too, and in the handshake. */
static int cuts_short(void *arg)
{
	weft_tls_config *c = client_config((weft_tls_opts){.ca = NULL}), *s = server_config(NULL, (weft_tls_opts){.ca = NULL});
	unsigned char hello[4096];
	struct ends e;
	ssize_t n;

	(void)arg;
	ends_ready(&e, 0, 0);
	write_all(e.ts, "\x17\x03\x03\x01\x00 and no more", 16);
	T_EQ(weft_tcp_shutdown(e.ts, SHUT_WR), 0);
	T_EQ(read_end(e.c), WEFT_ECONNABORTED);
	ends_close(&e);

	ends_make(&e, c, s, 0);
	T_EQ(weft_tls_handshake_until(e.c, WEFT_NOW), WEFT_EAGAIN); /* its greeting is sent */
	n = weft_tcp_read(e.ts, hello, sizeof hello);
	T_GT(n, 100);
	T_EQ(weft_tcp_shutdown(e.ts, SHUT_WR), 0);
	T_EQ(weft_tls_handshake(e.c), WEFT_ECONNABORTED);
	ends_close(&e);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
	return 0;
}

TEST(cut_off_in_a_record_and_in_the_handshake)
{
	run_net(cuts_short, NULL);
}

/* A reset is what the system says of it. */
static int resets(void *arg)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	struct ends e;
	ssize_t n;

	(void)arg;
	ends_ready(&e, 0, 0);
	T_EQ(setsockopt(number_of(e.ts), SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
	T_EQ(weft_tcp_close(weft_tcp_ref(e.ts)), 0);
	T_EQ(read_end(e.c), WEFT_ECONNRESET);
	do
		n = weft_tls_write(e.c, "x", 1, NULL);
	while (n == 1);
	T_OK(n == WEFT_EPIPE || n == WEFT_ECONNRESET);
	T_EQ(read_end(e.s), WEFT_ECLOSED); /* the stream below was closed */
	ends_close(&e);
	return 0;
}

TEST_WORKERS(a_reset_is_an_error)
{
	run_net(resets, NULL);
}

/* The stream below cannot shut down. */
static int cannot_shut(void *arg)
{
	static const weft_io_ops ops = {.kind = "memory", .readv = mem_readv, .writev = mem_writev, .close = mem_close};
	static struct mem_pair m;
	weft_tls_config *c = client_config((weft_tls_opts){.ca = NULL}), *s = server_config(NULL, (weft_tls_opts){.ca = NULL});
	struct ends e;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		m.flow[i] = (struct flow){.most = sizeof m.flow[i].buf, .room = sizeof m.flow[i].buf};
		m.end[i] = (struct mem_end){.in = &m.flow[i], .out = &m.flow[!i]};
	}
	T_EQ(weft_tls_client(&e.c, (weft_io){&ops, &m.end[0]}, c, &(weft_tls_conn_opts){.host = "localhost"}), 0);
	T_EQ(weft_tls_server(&e.s, (weft_io){&ops, &m.end[1]}, s, NULL), 0);
	shake_well(&e);
	T_EQ(weft_tls_shutdown(e.c, SHUT_RD), WEFT_ENOTSUP);
	tls_talk(&e); /* nothing has changed */
	ends_close(&e);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
	return 0;
}

TEST(a_direction_that_the_stream_cannot_end)
{
	run(cannot_shut, NULL);
}

/* --- references --- */

static int closes_below(void *arg)
{
	weft_tls_config *c = client_config((weft_tls_opts){.ca = NULL}), *s = server_config(NULL, (weft_tls_opts){.ca = NULL});
	struct ends e;
	weft_tls *again;
	char x;

	(void)arg;
	ends_ready(&e, 0, 0);
	again = weft_tls_ref(e.c);
	T_EQ(weft_tls_close(e.c), 0);
	T_EQ(weft_tls_read(again, &x, 1), WEFT_ECLOSED);
	T_EQ(weft_tls_write(again, "x", 1, NULL), WEFT_ECLOSED);
	T_EQ(weft_tls_handshake(again), WEFT_ECLOSED);
	T_EQ(weft_tls_shutdown(again, SHUT_WR), WEFT_ECLOSED);
	T_EQ(weft_tls_set_deadline(again, 1, 1), WEFT_ECLOSED);
	T_EQ(weft_tls_key_update(again, false), WEFT_ECLOSED);
	T_EQ(weft_tls_close(again), WEFT_ECLOSED);
	T_EQ(weft_tls_close(NULL), 0);
	T_EQ(read_end(e.s), 0);
	T_EQ(weft_tls_close(e.s), 0);

	/* The stream goes on without TLS. */
	ends_over(&e, c, s, (weft_tls_conn_opts){.keep_under = true}, 0);
	shake_well(&e);
	tls_talk(&e);
	T_EQ(weft_tls_close(e.c), 0);
	T_EQ(read_end(e.s), 0);
	talk(e.ts, e.tc);
	T_EQ(weft_tcp_close(e.tc), 0);
	T_EQ(weft_tls_close(e.s), 0);

	/* With the deadlines it had. */
	ends_over(&e, c, s, (weft_tls_conn_opts){.keep_under = true}, 0);
	T_EQ(weft_tcp_set_deadline(e.tc, 1, WEFT_FOREVER), 0);
	T_EQ(weft_tls_close(e.c), 0);
	T_EQ(weft_tcp_read(e.tc, &x, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_tcp_close(e.tc), 0);
	T_EQ(weft_tls_close(e.s), 0);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
	return 0;
}

TEST_WORKERS(close_and_references)
{
	run_net(closes_below, NULL);
}
