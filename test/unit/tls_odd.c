/* SPDX-License-Identifier: MIT
 *
 * tls_odd.c - TLS and odd peers: keys that change all the time, half a message, nonsense.
 */
#include "../tls.h"

#include "base/rand.h"
#include <openssl/ssl.h>

static const int versions[] = {WEFT_TLS_1_2, WEFT_TLS_1_3};

static int read_end(void *arg)
{
	char x;

	return (int)weft_tls_read(arg, &x, 1);
}

/* --- keys --- */

/* One side only writes, and asks for new keys all the while; the other reads. */
struct rekeyed {
	struct ends e;
	size_t n;
};

static int asks(void *arg)
{
	struct rekeyed *r = arg;

	for (size_t i = 0; i < r->n; i++) {
		T_EQ(weft_tls_key_update(r->e.c, i % 2), 0);
		send_text(r->e.c, "0123456789");
	}
	return weft_tls_shutdown(r->e.c, SHUT_WR);
}

static int rekeys(void *arg)
{
	struct rekeyed r = {.n = (size_t)tap_iters(300)};
	weft_task *t;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		ends_ready(&r.e, WEFT_TLS_1_3, i ? 7 : 0);
		t = start(asks, &r);
		for (size_t k = 0; k < r.n; k++)
			get_text(r.e.s, "0123456789");
		T_EQ(finish(t), 0);
		T_EQ(read_end(r.e.s), 0);
		send_text(r.e.s, "and back");
		get_text(r.e.c, "and back");
		ends_close(&r.e);
	}
	ends_ready(&r.e, WEFT_TLS_1_2, 0);
	T_EQ(weft_tls_key_update(r.e.c, true), WEFT_EINVAL);
	tls_talk(&r.e);
	ends_close(&r.e);
	return 0;
}

TEST_WORKERS(keys_change_while_one_side_only_writes)
{
	run(rekeys, NULL);
}

/* A key update is due when the direction is shut down, or the connection closed. */
static int rekeys_last(void *arg)
{
	struct ends e;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		ends_ready(&e, WEFT_TLS_1_3, 0);
		tls_talk(&e);
		T_EQ(weft_tls_key_update(e.c, true), 0);
		if (i == 0)
			T_EQ(weft_tls_shutdown(e.c, SHUT_WR), 0);
		else
			T_EQ(weft_tls_close(weft_tls_ref(e.c)), 0);
		T_EQ(read_end(e.s), 0);
		send_text(e.s, "and more");
		if (i == 0)
			get_text(e.c, "and more");
		T_EQ(weft_tls_close(e.c), i ? WEFT_ECLOSED : 0);
		T_EQ(weft_tls_close(e.s), 0);
	}
	return 0;
}

TEST_WORKERS(a_key_update_before_the_end)
{
	run_net(rekeys_last, NULL);
}

/* Two in a row, with nothing written in between: the second is one more. */
static int rekeys_twice(void *arg)
{
	struct ends e;

	(void)arg;
	ends_ready(&e, WEFT_TLS_1_3, 0);
	for (int i = 0; i < 6; i++)
		T_EQ(weft_tls_key_update(i & 4 ? e.c : e.s, i % 2), 0);
	tls_talk(&e);
	ends_close(&e);
	return 0;
}

TEST_WORKERS(a_key_update_behind_another)
{
	run_net(rekeys_twice, NULL);
}

/* --- a peer that stops in the middle of a message --- */

/* OpenSSL alone, at the other end of a TCP connection. */
struct raw {
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *in, *out;
	weft_tcp *tcp;
};

static void raw_reads(struct raw *r)
{
	char buf[4096];
	ssize_t n = weft_tcp_read(r->tcp, buf, sizeof buf);

	T_GT(n, 0);
	T_EQ(BIO_write(r->in, buf, (int)n), n);
}

static void raw_writes(struct raw *r, size_t n)
{
	char buf[16384];

	T_LE(n, sizeof buf);
	if (n == 0)
		return;
	T_EQ(BIO_read(r->out, buf, (int)n), (int)n);
	write_all(r->tcp, buf, n);
}

/* The tickets are made, and not sent. */
static int raw_shakes(void *arg)
{
	struct raw *r = arg;

	while (SSL_do_handshake(r->ssl) != 1) {
		raw_writes(r, BIO_ctrl_pending(r->out));
		raw_reads(r);
	}
	return 0;
}

static void raw_make(struct raw *r)
{
	BIO *bio = BIO_new_mem_buf(the_server.cert, -1);
	X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	EVP_PKEY *key;

	BIO_free(bio);
	bio = BIO_new_mem_buf(the_server.key, -1);
	key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	r->ctx = SSL_CTX_new(TLS_server_method());
	T_OK(x && key && r->ctx);
	T_EQ(SSL_CTX_use_certificate(r->ctx, x), 1);
	T_EQ(SSL_CTX_use_PrivateKey(r->ctx, key), 1);
	X509_free(x);
	EVP_PKEY_free(key);
	bio = BIO_new_mem_buf(the_ca.cert, -1);
	x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	T_EQ(X509_STORE_add_cert(SSL_CTX_get_cert_store(r->ctx), x), 1);
	X509_free(x);
	SSL_CTX_set_verify(r->ctx, SSL_VERIFY_PEER, NULL); /* a client's certificate makes its ticket long, */
	SSL_CTX_set_session_id_context(r->ctx, (const unsigned char *)"raw", 3);
	r->ssl = SSL_new(r->ctx);
	T_OK(r->ssl);
	T_EQ(SSL_set_max_send_fragment(r->ssl, 512), 1); /* and this makes it several records */
	r->in = BIO_new(BIO_s_mem());
	r->out = BIO_new(BIO_s_mem());
	SSL_set_bio(r->ssl, r->in, r->out);
	SSL_set_accept_state(r->ssl);
}

static int writes_hello(void *arg)
{
	send_text(arg, "hello");
	return 0;
}

/* A client of raw's, which has sent it half of a ticket. */
static weft_tls *short_make(struct raw *r)
{
	weft_tls_cert mine = {the_server.cert, the_server.key};
	weft_tls_config *c;
	weft_task *t;
	weft_tcp *tcp;
	weft_tls *tls;
	unsigned char *out;
	char x;
	size_t n;

	raw_make(r);
	c = client_config((weft_tls_opts){.min_version = WEFT_TLS_1_3, .certs = &mine, .cert_count = 1});
	pair_make(&tcp, &r->tcp);
	T_EQ(weft_tls_client(&tls, weft_tcp_io(tcp), c, &(weft_tls_conn_opts){.host = "localhost"}), 0);
	weft_tls_config_free(c);
	t = start(raw_shakes, r);
	T_EQ(weft_tls_handshake(tls), 0);
	T_EQ(finish(t), 0);

	T_GT(BIO_get_mem_data(r->out, &out), 5);
	n = 5 + (size_t)(out[3] << 8 | out[4]);
	T_LT(n, BIO_ctrl_pending(r->out));
	raw_writes(r, n);
	until(holds(number_of(tcp), POLLIN));
	T_EQ(weft_tls_read_until(tls, &x, 1, WEFT_NOW), WEFT_EAGAIN);
	return tls;
}

static void short_close(weft_tls *tls, struct raw *r)
{
	T_EQ(weft_tls_close(tls), 0);
	T_EQ(weft_tcp_close(r->tcp), 0);
	SSL_free(r->ssl);
	SSL_CTX_free(r->ctx);
}

static void raw_gets_hello(struct raw *r)
{
	char x[8];

	while (SSL_read(r->ssl, x, 5) != 5)
		raw_reads(r);
	T_EQ(memcmp(x, "hello", 5), 0);
}

static int stops_short(void *arg)
{
	struct raw r;
	weft_tls *tls;
	weft_task *t;

	(void)arg;
	pems_make();
	tls = short_make(&r);
	t = start(writes_hello, tls);
	until_parked(t); /* to write, it has to read */
	raw_writes(&r, BIO_ctrl_pending(r.out));
	T_EQ(finish(t), 0);
	raw_gets_hello(&r);
	short_close(tls, &r);
	return 0;
}

TEST_WORKERS(a_writer_reads_where_the_peer_has_stopped_in_a_message)
{
	run_net(stops_short, NULL);
}

static int writes(void *arg)
{
	return (int)weft_tls_write(arg, "hello", 5, NULL);
}

/* Its deadline, and not the reader's, ends its waiting: whether it reads itself, or another does. It may be moved on as well. */
static int short_and_late(void *arg)
{
	struct raw r;
	weft_tls *tls;
	weft_task *t, *reader = NULL;

	(void)arg;
	pems_make();
	for (int i = 0; i < 2; i++) {
		tls = short_make(&r);
		if (i) {
			reader = start(read_end, tls);
			until_parked(reader);
		}
		t = start(writes, tls);
		until_parked(t);
		T_EQ(weft_tls_set_deadline(tls, WEFT_FOREVER, 1), 0);
		T_EQ(finish(t), WEFT_ETIMEDOUT);
		T_EQ(weft_tls_set_deadline(tls, i ? WEFT_FOREVER : 1, weft_in(1000 * WEFT_SEC)), 0); /* a reader's is none of a writer's */
		t = start(writes_hello, tls);
		until_parked(t);
		T_EQ(weft_tls_set_deadline(tls, i ? WEFT_FOREVER : 1, WEFT_FOREVER), 0);
		raw_writes(&r, BIO_ctrl_pending(r.out));
		T_EQ(finish(t), 0);
		raw_gets_hello(&r);
		if (i) {
			T_EQ(SSL_write(r.ssl, "x", 1), 1);
			raw_writes(&r, BIO_ctrl_pending(r.out));
			T_EQ(finish(reader), 1);
		} else {
			char x;

			T_EQ(weft_tls_read(tls, &x, 1), WEFT_ETIMEDOUT);
		}
		short_close(tls, &r);
	}
	return 0;
}

TEST_WORKERS(a_writers_deadline_is_moved_where_the_peer_has_stopped_in_a_message)
{
	run_net(short_and_late, NULL);
}

/* What the writer needs is read by another, who then has data and leaves, or waits on for the answer to what is to be written. */
static int stops_short_for_two(void *arg)
{
	struct raw r;
	weft_tls *tls;
	weft_task *t[2];

	(void)arg;
	pems_make();
	for (int i = 0; i < 2; i++) {
		tls = short_make(&r);
		t[0] = start(read_end, tls);
		until_parked(t[0]);
		t[1] = start(writes_hello, tls);
		until_parked(t[1]);
		if (i)
			T_EQ(SSL_write(r.ssl, "x", 1), 1);
		raw_writes(&r, BIO_ctrl_pending(r.out));
		T_EQ(finish(t[1]), 0);
		raw_gets_hello(&r);
		if (!i) {
			T_EQ(SSL_write(r.ssl, "x", 1), 1);
			raw_writes(&r, BIO_ctrl_pending(r.out));
		}
		T_EQ(finish(t[0]), 1);
		short_close(tls, &r);
	}
	return 0;
}

TEST_WORKERS(a_writer_goes_on_when_another_has_read_what_it_needs)
{
	run_net(stops_short_for_two, NULL);
}

/* The same where nobody reads on: the reader is cancelled, and the writer takes its turn. */
static int turn_passes(void *arg)
{
	struct raw r;
	weft_tls *tls;
	weft_task *t[2];

	(void)arg;
	pems_make();
	tls = short_make(&r);
	t[0] = start(read_end, tls);
	until_parked(t[0]);
	t[1] = start(writes_hello, tls);
	until_parked(t[1]);
	T_EQ(weft_task_cancel(t[0]), 0);
	T_EQ(finish(t[0]), WEFT_ECANCELED);
	raw_writes(&r, BIO_ctrl_pending(r.out));
	T_EQ(finish(t[1]), 0);
	raw_gets_hello(&r);
	short_close(tls, &r);
	return 0;
}

TEST_WORKERS(a_writer_takes_the_turn_of_a_reader_that_leaves)
{
	run_net(turn_passes, NULL);
}

/* --- nonsense --- */

/* A server gets bytes that mean nothing, or a real greeting with some of its bytes changed or the rest missing. */
static void feed_nonsense(struct ends *e, struct rng *r, const unsigned char *hello, size_t n)
{
	unsigned char buf[4096];
	uint32_t kind = rng_below(r, 4);

	memcpy(buf, hello, n);
	if (kind == 0) {
		n = 1 + rng_below(r, 300);
		for (size_t i = 0; i < n; i++)
			buf[i] = (unsigned char)rng_next(r);
	} else if (kind == 1) {
		for (uint32_t i = rng_below(r, 8); i < 8; i++)
			buf[rng_below(r, (uint32_t)n)] = (unsigned char)rng_next(r);
	} else if (kind == 2) {
		n = 1 + rng_below(r, (uint32_t)n);
	} else {
		memcpy(buf, "GET / HTTP/1.1\r\n\r\n", 18);
		n = 18;
	}
	write_all(e->tc, buf, n);
	T_EQ(weft_tcp_shutdown(e->tc, SHUT_WR), 0);
}

static int fuzzes(void *arg)
{
	weft_tls_config *c = client_config((weft_tls_opts){.ca = NULL}), *s = server_config(NULL, (weft_tls_opts){.ca = NULL});
	unsigned char hello[4096];
	struct rng r;
	struct ends e;
	ssize_t n;

	(void)arg;
	rng_seed(&r, 42, 0);
	ends_make(&e, c, s, 0);
	T_EQ(weft_tls_handshake_until(e.c, WEFT_NOW), WEFT_EAGAIN);
	n = weft_tcp_read(e.ts, hello, sizeof hello);
	T_GT(n, 100);
	ends_close(&e);
	for (long i = tap_iters(300); i > 0; i--) {
		int rc;

		ends_make(&e, c, s, 0);
		feed_nonsense(&e, &r, hello, (size_t)n);
		rc = weft_tls_handshake(e.s);
		T_OK(rc == WEFT_ETLS || rc == WEFT_ECONNABORTED);
		T_EQ(weft_tls_close(e.s), 0);
		T_EQ(weft_tls_close(e.c), 0);
	}
	weft_tls_config_free(c);
	weft_tls_config_free(s);
	return 0;
}

TEST_WORKERS(nonsense_in_the_handshake_is_refused)
{
	run_net(fuzzes, NULL);
}

/* The same between two that have agreed: a record that is not the peer's ends it all, and the peer is told. */
static int forges(void *arg)
{
	static const char *const record[] = {
		"\x17\x03\x03\x00\x20"
		"0123456789abcdef0123456789abcdef", /* not encrypted by the peer */
		"\x17\x03\x03\xff\xff"
		"0123456789abcdef0123456789abcdef", /* too long */
		"\x63\x03\x03\x00\x20"
		"0123456789abcdef0123456789abcdef", /* no such kind */
		"\x17\x02\x00\x00\x20"
		"0123456789abcdef0123456789abcdef", /* no such version */
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n",
	};
	char why[WEFT_TLS_WHY];
	struct ends e;

	(void)arg;
	for (size_t i = 0; i < 10; i++) {
		ends_ready(&e, versions[i % 2], 0);
		write_all(e.tc, record[i / 2], 37);
		T_EQ(read_end(e.s), WEFT_ETLS);
		T_GT(strlen(weft_tls_why(e.s, why, sizeof why)), 0);
		T_EQ(weft_tls_write(e.s, "x", 1, NULL), WEFT_ETLS);
		T_EQ(weft_tls_shutdown(e.s, SHUT_WR), WEFT_ETLS);
		T_EQ(read_end(e.c), WEFT_ETLS);
		T_STR_HAS(weft_tls_why(e.c, why, sizeof why), "alert");
		ends_close(&e);
	}
	return 0;
}

TEST_WORKERS(forged_records_end_the_connection)
{
	run_net(forges, NULL);
}
