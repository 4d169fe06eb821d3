/* SPDX-License-Identifier: MIT
 *
 * tls.h - for tests of TLS: certificates made on the spot, and a byte stream of the test's own.
 *
 *   pem_make(&p, by, spec)     a key and a certificate as PEM, signed by `by` (NULL: by itself)
 *   config(o)                  a configuration, which must come about
 *   ends_make(&e, c, s, n)     a client and a server, connected by TCP (n 0) or in memory, n bytes at a time at most
 *   shake(&e)                  both handshakes at once: e.rc_c, e.rc_s
 */
#ifndef WEFT_TEST_TLS_H
#define WEFT_TEST_TLS_H

#include "net.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <weft/lock.h>
#include <weft/scope.h>
#include <weft/tls.h>

/* OpenSSL itself is not instrumented: TSan sees its memory, but not what orders it. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:libcrypto.so\ncalled_from_lib:libssl.so\n";
}

/* --- certificates --- */

struct pem {
	char cert[4096], key[4096];
};

struct spec {
	const char *name, *names; /* the subject's CN; SAN as OpenSSL writes it, "DNS:a,IP:1.2.3.4" */
	bool ca;
	long from, to; /* seconds from now that it holds; 0, 0: from an hour ago for a day */
	bool rsa;
};

#define MUST(x) T_OK((x) != 0)

static inline void to_text(BIO *bio, char *out, size_t n)
{
	int len = BIO_read(bio, out, (int)n - 1);

	T_GT(len, 0);
	T_LT(len, (int)n - 1);
	out[len] = '\0';
	BIO_free(bio);
}

static inline void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	MUST(e);
	MUST(X509_add_ext(x, e, -1));
	X509_EXTENSION_free(e);
}

static inline void pem_make(struct pem *out, const struct pem *by, struct spec s)
{
	EVP_PKEY *key = s.rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"), *signer = key;
	X509 *x = X509_new(), *issuer = x;
	X509_NAME *name;
	uint64_t serial;
	BIO *bio;

	T_OK(key && x);
	if (by) {
		bio = BIO_new_mem_buf(by->cert, -1);
		issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		BIO_free(bio);
		bio = BIO_new_mem_buf(by->key, -1);
		signer = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
		BIO_free(bio);
		T_OK(issuer && signer);
	}
	MUST(X509_set_version(x, 2));
	MUST(RAND_bytes((unsigned char *)&serial, sizeof serial) == 1);
	MUST(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1 | 1));
	MUST(X509_gmtime_adj(X509_getm_notBefore(x), s.from || s.to ? s.from : -3600));
	MUST(X509_gmtime_adj(X509_getm_notAfter(x), s.from || s.to ? s.to : 86400));
	MUST(X509_set_pubkey(x, key));
	name = X509_get_subject_name(x);
	MUST(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)s.name, -1, -1, 0));
	MUST(X509_set_issuer_name(x, X509_get_subject_name(issuer)));
	extend(x, issuer, NID_basic_constraints, s.ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	if (s.names)
		extend(x, issuer, NID_subject_alt_name, s.names);
	MUST(X509_sign(x, signer, EVP_sha256()));
	bio = BIO_new(BIO_s_mem());
	MUST(PEM_write_bio_X509(bio, x));
	to_text(bio, out->cert, sizeof out->cert);
	bio = BIO_new(BIO_s_mem());
	MUST(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
	to_text(bio, out->key, sizeof out->key);
	if (by) {
		X509_free(issuer);
		EVP_PKEY_free(signer);
	}
	X509_free(x);
	EVP_PKEY_free(key);
	ERR_clear_error();
}

/* An authority, and a server of hers for localhost and 127.0.0.1. */
static struct pem the_ca, the_server;

static inline void pems_make(void)
{
	if (the_ca.cert[0])
		return;
	pem_make(&the_ca, NULL, (struct spec){.name = "the test's authority", .ca = true});
	pem_make(&the_server, &the_ca, (struct spec){.name = "server", .names = "DNS:localhost,DNS:*.example.org,IP:127.0.0.1"});
}

static inline weft_tls_config *config(weft_tls_opts o)
{
	char why[WEFT_TLS_WHY];
	weft_tls_config *cfg;
	int rc = weft_tls_config_make(&cfg, &o, why);

	if (rc)
		T_FAIL("no configuration: %s", why);
	return cfg;
}

/* A server's with that certificate, or the usual one; o's other wishes are kept. */
static inline weft_tls_config *server_config(const struct pem *p, weft_tls_opts o)
{
	weft_tls_cert c;

	pems_make();
	p = p ? p : &the_server;
	c = (weft_tls_cert){p->cert, p->key};
	o.certs = &c;
	o.cert_count = 1;
	return config(o);
}

/* A client's that trusts the authority. */
static inline weft_tls_config *client_config(weft_tls_opts o)
{
	pems_make();
	o.ca = o.ca ? o.ca : the_ca.cert;
	return config(o);
}

/* --- a byte stream in memory --- */

/* One direction. */
struct flow {
	weft_mutex m;
	weft_cond moved;
	char buf[16384];
	size_t n, room, most; /* bytes in it; that go in; at a time */
	bool over, closed;
};

struct mem_end {
	struct flow *in, *out;
	bool closed;          /* what it was made from is gone */
	void (*sent)(void *); /* NULL, or called behind each write, with arg */
	void *arg;
};

struct mem_pair {
	struct flow flow[2];
	struct mem_end end[2];
};

static inline ssize_t mem_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	struct mem_end *e = self;
	struct flow *f = e->in;
	ssize_t rc;

	(void)count;
	T_OK(!e->closed);
	rc = weft_mutex_lock_until(&f->m, deadline);
	if (rc)
		return rc;
	while (f->n == 0 && !f->over && !f->closed && rc == 0)
		rc = weft_cond_wait_until(&f->moved, &f->m, deadline);
	if (f->closed) {
		rc = WEFT_ECLOSED;
	} else if (f->n > 0 && rc == 0) {
		size_t n = f->n < v->iov_len ? f->n : v->iov_len;

		n = n < f->most ? n : f->most;
		memcpy(v->iov_base, f->buf, n);
		memmove(f->buf, f->buf + n, f->n - n);
		f->n -= n;
		rc = (ssize_t)n;
		weft_cond_broadcast(&f->moved);
	}
	weft_mutex_unlock(&f->m);
	return rc;
}

/* Of one buffer: what TLS writes. */
static inline ssize_t mem_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	struct mem_end *e = self;
	struct flow *f = e->out;
	ssize_t rc;

	T_EQ(count, 1);
	T_OK(!e->closed);
	rc = weft_mutex_lock_until(&f->m, deadline);
	if (rc)
		return rc;
	while (*done < v->iov_len && rc == 0) {
		size_t n = v->iov_len - *done;

		while (f->n == f->room && !f->over && rc == 0)
			rc = weft_cond_wait_until(&f->moved, &f->m, deadline);
		if (f->over && rc == 0)
			rc = f->closed ? WEFT_ECLOSED : WEFT_EPIPE;
		if (rc)
			break;
		n = n < f->room - f->n ? n : f->room - f->n;
		n = n < f->most ? n : f->most;
		memcpy(f->buf + f->n, (const char *)v->iov_base + *done, n);
		f->n += n;
		*done += n;
		weft_cond_broadcast(&f->moved);
	}
	weft_mutex_unlock(&f->m);
	if (e->sent)
		e->sent(e->arg);
	return rc ? rc : (ssize_t)v->iov_len;
}

static inline void flow_end(struct flow *f)
{
	WEFT_WITH_SHIELD
	{ /* a cancelled task, too, can close */
		T_EQ(weft_mutex_lock(&f->m), 0);
		f->over = true;
		weft_cond_broadcast(&f->moved);
		weft_mutex_unlock(&f->m);
	}
}

static inline int mem_shutdown(void *self, int how, int64_t deadline)
{
	struct mem_end *e = self;

	(void)deadline;
	T_OK(!e->closed);
	if (how != SHUT_RD)
		flow_end(e->out);
	if (how != SHUT_WR)
		flow_end(e->in);
	return 0;
}

static inline int mem_close(void *self)
{
	struct mem_end *e = self;

	T_OK(!e->closed); /* once, and nobody uses it afterwards */
	flow_end(e->out);
	flow_end(e->in);
	e->closed = true;
	return 0;
}

static size_t mem_room; /* 0: much */
static const weft_io_ops mem_ops = {
	.kind = "memory", .readv = mem_readv, .writev = mem_writev, .shutdown = mem_shutdown, .close = mem_close};

/* --- two ends --- */

struct ends {
	weft_tls *c, *s;
	weft_tcp *tc, *ts; /* below, over TCP; borrowed */
	struct mem_pair mem;
	int rc_c, rc_s;
};

static inline void ends_over(struct ends *e, weft_tls_config *c, weft_tls_config *s, weft_tls_conn_opts o, size_t most)
{
	memset(e, 0, sizeof *e);
	o.host = o.host ? o.host : "localhost";
	if (most) {
		struct mem_pair *m = &e->mem;

		m->flow[0].most = m->flow[1].most = most;
		m->flow[0].room = m->flow[1].room = mem_room ? mem_room : sizeof m->flow[0].buf;
		m->end[0] = (struct mem_end){.in = &m->flow[0], .out = &m->flow[1]};
		m->end[1] = (struct mem_end){.in = &m->flow[1], .out = &m->flow[0]};
		T_EQ(weft_tls_client(&e->c, (weft_io){&mem_ops, &m->end[0]}, c, &o), 0);
		T_EQ(weft_tls_server(&e->s, (weft_io){&mem_ops, &m->end[1]}, s, NULL), 0);
	} else {
		pair_make(&e->tc, &e->ts);
		T_EQ(weft_tls_client(&e->c, weft_tcp_io(e->tc), c, &o), 0);
		T_EQ(weft_tls_server(&e->s, weft_tcp_io(e->ts), s, NULL), 0);
	}
}

static inline void ends_make(struct ends *e, weft_tls_config *c, weft_tls_config *s, size_t most)
{
	ends_over(e, c, s, (weft_tls_conn_opts){.host = NULL}, most);
}

static inline int shake_server(void *arg)
{
	struct ends *e = arg;

	e->rc_s = weft_tls_handshake(e->s);
	return 0;
}

static inline void shake(struct ends *e)
{
	weft_task *t = start(shake_server, e);

	e->rc_c = weft_tls_handshake(e->c);
	T_EQ(finish(t), 0);
}

static inline void shake_well(struct ends *e)
{
	char why[WEFT_TLS_WHY];

	shake(e);
	if (e->rc_c || e->rc_s)
		T_FAIL("client %d, server %d: %s", e->rc_c, e->rc_s, weft_tls_why(e->rc_c ? e->c : e->s, why, sizeof why));
}

static inline void ends_close(struct ends *e)
{
	T_EQ(weft_tls_close(e->c), 0);
	T_EQ(weft_tls_close(e->s), 0);
}

/* Two that trust each other, with default configurations of one version (0: any). */
static inline void ends_ready(struct ends *e, int version, size_t most)
{
	weft_tls_opts o = {.min_version = version, .max_version = version};
	weft_tls_config *c = client_config(o), *s = server_config(NULL, o);

	ends_make(e, c, s, most);
	shake_well(e);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
}

static inline void send_text(weft_tls *t, const char *text)
{
	T_EQ(weft_tls_write(t, text, strlen(text), NULL), (ssize_t)strlen(text));
}

static inline void get_text(weft_tls *t, const char *want)
{
	char buf[256];
	size_t n = strlen(want), got = 0;

	while (got < n) {
		ssize_t rc = weft_tls_read(t, buf + got, n - got);

		T_GT(rc, 0);
		got += (size_t)rc;
	}
	buf[n] = '\0';
	T_STR_EQ(buf, want);
}

static inline void tls_talk(struct ends *e)
{
	send_text(e->c, "a question");
	get_text(e->s, "a question");
	send_text(e->s, "its answer");
	get_text(e->c, "its answer");
}

#endif
