/* SPDX-License-Identifier: MIT
 *
 * config.c - what connections have in common: certificates, authorities, protocols.
 *
 * One SSL_CTX serves clients and servers. Which of several certificates a server shows is chosen when it has heard the client's wish (choose); a context a name, as OpenSSL's own example
 * does it, would lose sessions and settings from one to the other.
 */
#include "tls/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEM_MAX (16 << 20)
#define MEMORY(e) (ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE)

int weft__tls_reason(char *why, const char *otherwise)
{
	unsigned long e = ERR_peek_last_error(), first = ERR_peek_error();
	const char *text = e ? ERR_reason_error_string(e) : NULL;
	int rc = MEMORY(e) || MEMORY(first) ? WEFT_ENOMEM : WEFT_EINVAL;

	snprintf(why, WEFT_TLS_WHY, "%s", text ? text : otherwise);
	ERR_clear_error();
	return rc;
}

/* An error with what it is about. */
static int wrong(char *why, const char *what)
{
	char reason[WEFT_TLS_WHY];
	int rc = weft__tls_reason(reason, "it makes no sense");

	snprintf(why, WEFT_TLS_WHY, "%.80s: %.160s", what, reason);
	return rc;
}

/* --- PEM --- */

static int read_file(const char *path, BIO **out, char *why)
{
	char buf[8192];
	ssize_t n;
	int rc = 0, fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		rc = -errno;
		goto out;
	}
	*out = BIO_new(BIO_s_mem());
	if (!*out)
		rc = WEFT_ENOMEM;
	while (rc == 0) {
		n = read(fd, buf, sizeof buf);
		if (n < 0) {
			rc = errno == EINTR ? 0 : -errno;
			continue;
		}
		if (n == 0)
			break;
		if (BIO_write(*out, buf, (int)n) != n)
			rc = WEFT_ENOMEM;
		else if (BIO_pending(*out) > PEM_MAX)
			rc = WEFT_EINVAL;
	}
	OPENSSL_cleanse(buf, sizeof buf);
	close(fd);
	if (rc) {
		BIO_free(*out);
		*out = NULL;
	}
out:
	if (rc)
		snprintf(why, WEFT_TLS_WHY, "%.120s: %s", path, weft_strerror(rc));
	return rc;
}

static int open_pem(const char *text, BIO **out, char *why)
{
	*out = NULL;
	if (!strstr(text, "-----BEGIN "))
		return read_file(text, out, why);
	*out = BIO_new_mem_buf(text, -1);
	return *out ? 0 : WEFT_ENOMEM;
}

/* Nobody is asked: the terminal is not ours. */
static int no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

/* The next certificate, NULL at the end; *rc: whether that is an end. */
static X509 *next_cert(BIO *bio, int *rc, char *why)
{
	X509 *x = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL);
	unsigned long e = ERR_peek_last_error();

	*rc = 0;
	if (x)
		return x;
	if (ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE)
		ERR_clear_error();
	else
		*rc = wrong(why, "certificate");
	return NULL;
}

static int load_chain(struct tls_pair *p, BIO *bio, char *why)
{
	X509 *x;
	int rc;

	p->cert = next_cert(bio, &rc, why);
	if (!p->cert && rc == 0) {
		snprintf(why, WEFT_TLS_WHY, "no certificate in it");
		rc = WEFT_EINVAL;
	}
	if (rc)
		return rc;
	p->chain = sk_X509_new_null();
	if (!p->chain)
		return WEFT_ENOMEM;
	while ((x = next_cert(bio, &rc, why))) {
		if (!sk_X509_push(p->chain, x)) {
			X509_free(x);
			return WEFT_ENOMEM;
		}
	}
	return rc;
}

static int load_pair(struct tls_pair *p, const weft_tls_cert *c, char *why)
{
	BIO *bio;
	int rc;

	if (!c->chain) {
		snprintf(why, WEFT_TLS_WHY, "a certificate without chain");
		return WEFT_EINVAL;
	}
	rc = open_pem(c->chain, &bio, why);
	if (rc)
		return rc;
	rc = load_chain(p, bio, why);
	BIO_free(bio);
	if (rc)
		return rc;
	rc = open_pem(c->key ? c->key : c->chain, &bio, why);
	if (rc)
		return rc;
	p->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	BIO_free(bio);
	if (!p->key)
		return wrong(why, "private key");
	return X509_check_private_key(p->cert, p->key) == 1 ? 0 : wrong(why, "private key");
}

/* The last one set is what a client shows: from the last to the first. */
static int load_pairs(weft_tls_config *cfg, const weft_tls_opts *o, char *why)
{
	int rc;

	if (o->cert_count < 0 || (o->cert_count > 0 && !o->certs)) {
		snprintf(why, WEFT_TLS_WHY, "certs and cert_count");
		return WEFT_EINVAL;
	}
	cfg->pairs = calloc((size_t)o->cert_count + 1, sizeof cfg->pairs[0]);
	if (!cfg->pairs)
		return WEFT_ENOMEM;
	cfg->pair_count = o->cert_count;
	for (int i = o->cert_count - 1; i >= 0; i--) {
		struct tls_pair *p = &cfg->pairs[i];

		rc = load_pair(p, &o->certs[i], why);
		if (rc)
			return rc;
		if (SSL_CTX_use_cert_and_key(cfg->ctx, p->cert, p->key, p->chain, 1) != 1)
			return wrong(why, "certificate");
	}
	return 0;
}

/* --- authorities --- */

static int trust(weft_tls_config *cfg, X509 *x)
{
	if (X509_STORE_add_cert(SSL_CTX_get_cert_store(cfg->ctx), x) != 1)
		return WEFT_ENOMEM;
	if (cfg->auth != WEFT_TLS_AUTH_NONE && SSL_CTX_add_client_CA(cfg->ctx, x) != 1)
		return WEFT_ENOMEM;
	return 0;
}

static int trust_all(weft_tls_config *cfg, BIO *bio, char *why)
{
	int rc = 0, n = 0;
	X509 *x;

	while (rc == 0 && (x = next_cert(bio, &rc, why))) {
		rc = trust(cfg, x);
		X509_free(x);
		n++;
	}
	if (rc == 0 && n == 0) {
		snprintf(why, WEFT_TLS_WHY, "no authority in it");
		rc = WEFT_EINVAL;
	}
	return rc;
}

static int load_ca(weft_tls_config *cfg, const char *ca, char *why)
{
	struct stat st;
	BIO *bio;
	int rc;

	if (!ca)
		return SSL_CTX_set_default_verify_paths(cfg->ctx) == 1 ? 0 : wrong(why, "the system's authorities");
	if (!strstr(ca, "-----BEGIN ") && stat(ca, &st) == 0 && S_ISDIR(st.st_mode))
		return SSL_CTX_load_verify_dir(cfg->ctx, ca) == 1 ? 0 : wrong(why, ca);
	rc = open_pem(ca, &bio, why);
	if (rc)
		return rc;
	rc = trust_all(cfg, bio, why);
	BIO_free(bio);
	return rc;
}

/* --- ALPN --- */

/* "a,b" becomes lengths and names. */
static int parse_alpn(weft_tls_config *cfg, const char *text, char *why)
{
	size_t n = strlen(text), at = 0;

	cfg->alpn = malloc(n + 2);
	if (!cfg->alpn)
		return WEFT_ENOMEM;
	for (const char *s = text;; s++) {
		size_t len = strcspn(s, ",");

		if (len < 1 || len > 255 || n > 65000) {
			snprintf(why, WEFT_TLS_WHY, "ALPN: a protocol's name has 1 to 255 bytes");
			return WEFT_EINVAL;
		}
		cfg->alpn[at++] = (unsigned char)len;
		memcpy(cfg->alpn + at, s, len);
		at += len;
		s += len;
		if (!*s)
			break;
	}
	cfg->alpn_size = (unsigned)at;
	return SSL_CTX_set_alpn_protos(cfg->ctx, cfg->alpn, cfg->alpn_size) == 0 ? 0 : WEFT_ENOMEM;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in, unsigned n, void *arg)
{
	weft_tls_config *cfg = arg;
	unsigned char *chosen;

	(void)ssl;
	if (SSL_select_next_proto(&chosen, len, cfg->alpn, cfg->alpn_size, in, n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* --- what OpenSSL asks, inside a handshake: nobody parks here --- */

static int ack_name(SSL *ssl, int *alert, void *arg)
{
	(void)ssl;
	(void)alert;
	(void)arg;
	return SSL_TLSEXT_ERR_OK;
}

static bool is_for(const struct tls_pair *p, const char *name)
{
	return name && X509_check_host(p->cert, name, 0, 0, NULL) == 1;
}

/* Of one type of key only the first. */
static bool has_type(const struct tls_pair *p, const int *types, int n)
{
	for (int i = 0; i < n; i++) {
		if (types[i] == EVP_PKEY_get_base_id(p->key))
			return true;
	}
	return false;
}

/* 1: go on; 0: an error. */
static int choose(SSL *ssl, void *arg)
{
	weft_tls_config *cfg = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	int types[8], n = 0;

	if (!SSL_is_server(ssl) || cfg->pair_count < 2)
		return 1;
	SSL_certs_clear(ssl);
	for (int i = 0; i < cfg->pair_count && n < 8; i++) {
		struct tls_pair *p = &cfg->pairs[i];

		if (!is_for(p, name) || has_type(p, types, n))
			continue;
		types[n++] = EVP_PKEY_get_base_id(p->key);
		if (SSL_use_cert_and_key(ssl, p->cert, p->key, p->chain, 1) != 1)
			return 0;
	}
	if (n == 0)
		return SSL_use_cert_and_key(ssl, cfg->pairs[0].cert, cfg->pairs[0].key, cfg->pairs[0].chain, 1);
	return 1;
}

/* 1: s is taken. */
static int keep_session(SSL *ssl, SSL_SESSION *s)
{
	weft_tls *t = SSL_get_app_data(ssl);

	if (SSL_is_server(ssl) || !t || !t->session)
		return 0;
	weft__tls_cache_put(t->cfg->cache, t->session, s);
	return 1;
}

/* A line is one write, so lines of several processes do not mix. What cannot be written is no reason to fail. */
static void log_key(const SSL *ssl, const char *line)
{
	weft_tls_config *cfg = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	char text[1024];
	int n = snprintf(text, sizeof text, "%s\n", line);

	if (n > 0 && n < (int)sizeof text)
		(void)!write(cfg->keylog, text, (size_t)n);
	OPENSSL_cleanse(text, sizeof text);
}

/* --- making --- */

static int versions(weft_tls_config *cfg, const weft_tls_opts *o, char *why)
{
	int min = o->min_version ? o->min_version : WEFT_TLS_1_2;

	if (min < WEFT_TLS_1_2 || min > WEFT_TLS_1_3 || (o->max_version && (o->max_version < min || o->max_version > WEFT_TLS_1_3))) {
		snprintf(why, WEFT_TLS_WHY, "versions: 1.2 and 1.3 exist, and the least is not above the greatest");
		return WEFT_EINVAL;
	}
	if (SSL_CTX_set_min_proto_version(cfg->ctx, min) != 1 || SSL_CTX_set_max_proto_version(cfg->ctx, o->max_version) != 1)
		return wrong(why, "versions");
	return 0;
}

/* OpenSSL passes over names that it does not know, all of them if need be. */
static bool ciphersuites(weft_tls_config *cfg, const char *names)
{
	STACK_OF(SSL_CIPHER) * all;

	if (SSL_CTX_set_ciphersuites(cfg->ctx, names) != 1)
		return false;
	all = SSL_CTX_get_ciphers(cfg->ctx);
	for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
		if (SSL_CIPHER_get_protocol_id(sk_SSL_CIPHER_value(all, i)) >> 8 == 0x13)
			return true;
	}
	return false;
}

static int resumption(weft_tls_config *cfg, bool none)
{
	unsigned char id[16];

	if (none) {
		SSL_CTX_set_session_cache_mode(cfg->ctx, SSL_SESS_CACHE_OFF);
		SSL_CTX_set_options(cfg->ctx, SSL_OP_NO_TICKET);
		return SSL_CTX_set_num_tickets(cfg->ctx, 0) == 1 ? 0 : WEFT_ENOMEM;
	}
	cfg->cache = weft__tls_cache_make();
	if (!cfg->cache || RAND_bytes(id, sizeof id) != 1 || SSL_CTX_set_session_id_context(cfg->ctx, id, sizeof id) != 1)
		return WEFT_ENOMEM;
	SSL_CTX_set_session_cache_mode(cfg->ctx, SSL_SESS_CACHE_BOTH | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(cfg->ctx, keep_session);
	return 0;
}

static int fill_in(weft_tls_config *cfg, const weft_tls_opts *o, char *why)
{
	int rc;

	if (o->clients < WEFT_TLS_AUTH_NONE || o->clients > WEFT_TLS_AUTH_REQUIRE) {
		snprintf(why, WEFT_TLS_WHY, "clients: no enum weft_tls_auth");
		return WEFT_EINVAL;
	}
	cfg->auth = (int)o->clients;
	cfg->insecure = o->insecure;
	cfg->ctx = SSL_CTX_new(TLS_method());
	if (!cfg->ctx)
		return WEFT_ENOMEM;
	SSL_CTX_set_app_data(cfg->ctx, cfg);
	SSL_CTX_set_options(cfg->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(cfg->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_cert_cb(cfg->ctx, choose, cfg);
	SSL_CTX_set_tlsext_servername_callback(cfg->ctx, ack_name);
	rc = versions(cfg, o, why);
	if (rc == 0 && o->ciphers && SSL_CTX_set_cipher_list(cfg->ctx, o->ciphers) != 1)
		rc = wrong(why, "ciphers");
	if (rc == 0 && o->ciphersuites && !ciphersuites(cfg, o->ciphersuites))
		rc = wrong(why, "ciphersuites");
	if (rc == 0)
		rc = resumption(cfg, o->no_resume);
	if (rc == 0)
		rc = load_pairs(cfg, o, why);
	if (rc == 0 && (!o->insecure || o->ca))
		rc = load_ca(cfg, o->ca, why);
	if (rc == 0 && o->alpn) {
		rc = parse_alpn(cfg, o->alpn, why);
		SSL_CTX_set_alpn_select_cb(cfg->ctx, select_alpn, cfg);
	}
	if (rc == 0 && o->keylog) {
		cfg->keylog = open(o->keylog, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
		if (cfg->keylog < 0) {
			rc = -errno;
			snprintf(why, WEFT_TLS_WHY, "%.120s: %s", o->keylog, weft_strerror(rc));
		}
		SSL_CTX_set_keylog_callback(cfg->ctx, log_key);
	}
	return rc;
}

int weft_tls_config_make(weft_tls_config **out, const weft_tls_opts *o, char *why)
{
	static const weft_tls_opts none;
	char reason[WEFT_TLS_WHY] = "";
	weft_tls_config *cfg;
	int rc;

	*out = NULL;
	ERR_clear_error();
	cfg = calloc(1, sizeof *cfg);
	if (cfg) {
		cfg->keylog = -1;
		weft_store_relaxed(&cfg->refs, 1u); /* not shared yet */
		rc = fill_in(cfg, o ? o : &none, reason);
	} else {
		rc = WEFT_ENOMEM;
	}
	ERR_clear_error();
	if (rc) {
		if (why)
			snprintf(why, WEFT_TLS_WHY, "%s", reason[0] ? reason : weft_strerror(rc));
		weft_tls_config_free(cfg);
		return rc;
	}
	if (why)
		why[0] = '\0';
	*out = cfg;
	return 0;
}

weft_tls_config *weft_tls_config_ref(weft_tls_config *cfg)
{
	weft_add_relaxed(&cfg->refs, 1u); /* the caller's own reference keeps it */
	return cfg;
}

void weft_tls_config_free(weft_tls_config *cfg)
{
	if (!cfg || weft_add_acq_rel(&cfg->refs, (uint32_t)-1) != 1) /* acquire and release: the last one sees all */
		return;
	for (int i = 0; i < cfg->pair_count; i++) {
		X509_free(cfg->pairs[i].cert);
		EVP_PKEY_free(cfg->pairs[i].key);
		sk_X509_pop_free(cfg->pairs[i].chain, X509_free);
	}
	free(cfg->pairs);
	weft__tls_cache_free(cfg->cache);
	SSL_CTX_free(cfg->ctx);
	free(cfg->alpn);
	if (cfg->keylog >= 0)
		close(cfg->keylog);
	free(cfg);
}
