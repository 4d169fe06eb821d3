/* SPDX-License-Identifier: MIT
 *
 * conn.c - the life of a TLS connection: made, shaken hands, shut down, closed.
 *
 * Reading and writing are io.c, what was agreed upon is info.c; the locks are explained in tls.h.
 */
#include "tls/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/scope.h>

#define HOST_MAX 253
#define LONG_AGO 1 /* a deadline that has passed */

/* --- who uses it --- */

static void unref(weft_tls *t)
{
	if (weft_add_acq_rel(&t->refs, (uint32_t)-1) != 1) /* acquire and release: the last one sees all */
		return;
	/* To OpenSSL a connection that ended without close_notify spoils its session, which others may be about to resume. */
	if (t->ssl && !t->dead)
		SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->ssl);
	weft__tls_bytes_free(&t->made);
	weft__tls_bytes_free(&t->out);
	free(t->in);
	free(t->session);
	weft_tls_config_free(t->cfg);
	free(t);
}

bool weft__tls_closed(weft_tls *t)
{
	return weft_load_acquire(&t->uses) & CLOSED;
}

int weft__tls_enter(weft_tls *t, int64_t deadline)
{
	uint32_t u = weft_load_relaxed(&t->uses);

	do {
		if (u & CLOSED)
			return WEFT_ECLOSED;
		if (has_passed(deadline))
			return WEFT_ETIMEDOUT;
	} while (!weft_cas_acquire(&t->uses, &u, u + 1));
	weft_add_relaxed(&t->refs, 1u); /* the caller's own reference keeps it until here */
	return 0;
}

/* Nobody uses the stream any more. */
static void close_under(weft_tls *t)
{
	if (!t->keep_under)
		(void)weft_io_close(t->under);
	else if (weft_load_relaxed(&t->woken)) /* uses has ordered it */
		(void)weft_io_set_deadline(t->under, WEFT_FOREVER, WEFT_FOREVER);
}

void weft__tls_leave(weft_tls *t)
{
	if (weft_add_acq_rel(&t->uses, (uint32_t)-1) == (CLOSED | 1))
		close_under(t);
	unref(t);
}

/* Ends calls that wait for the stream; they see that it was closed. */
static void wake(weft_tls *t)
{
	if ((weft_load_acquire(&t->uses) & ~CLOSED) <= 1)
		return;
	weft_store_relaxed(&t->woken, 1); /* for close_under: our own use ends after it */
	if (weft_io_set_deadline(t->under, LONG_AGO, LONG_AGO) == WEFT_ENOTSUP)
		(void)weft_io_shutdown_until(t->under, SHUT_RDWR, WEFT_NOW);
}

/* --- errors --- */

/* The certificate was it. */
static bool untrusted(unsigned long e)
{
	return ERR_GET_LIB(e) == ERR_LIB_SSL &&
	       (ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED || ERR_GET_REASON(e) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE);
}

static void die(weft_tls *t)
{
	unsigned long e = ERR_peek_last_error();
	long verified = SSL_get_verify_result(t->ssl);
	int rc = untrusted(e) ? WEFT_EUNTRUSTED : WEFT_ETLS;

	if (weft__tls_reason(t->why, "the connection has failed") == WEFT_ENOMEM)
		rc = WEFT_ENOMEM;
	if (rc == WEFT_EUNTRUSTED && verified != X509_V_OK)
		snprintf(t->why, sizeof t->why, "certificate: %s", X509_verify_cert_error_string(verified));
	t->dead = rc;
}

int weft__tls_outcome(weft_tls *t, int ret)
{
	switch (t->dead ? SSL_ERROR_SSL : SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_NONE:
		return 0;
	case SSL_ERROR_WANT_READ:
		return WANT;
	case SSL_ERROR_ZERO_RETURN:
		t->in_over = true;
		return END;
	default:
		if (!t->dead) /* else it is our own end that has failed, and has said why */
			die(t);
		ERR_clear_error();
		return t->dead;
	}
}

int weft__tls_unfinished(weft_tls *t, int ret)
{
	int rc = weft__tls_outcome(t, ret);

	return rc == END ? WEFT_ECONNABORTED : rc;
}

int weft__tls_wire_error(weft_tls *t, int rc)
{
	return rc && weft__tls_closed(t) ? WEFT_ECLOSED : rc;
}

/* Nothing waits for the next try. */
static bool is_for_good(int rc)
{
	return rc < 0 && rc != WEFT_ETIMEDOUT && rc != WEFT_ECANCELED && rc != WEFT_EAGAIN && rc != WEFT_ECLOSED && rc != WEFT_ENOMEM &&
	       rc != WEFT_ESRCH;
}

/* --- handshake --- */

static int step(weft_tls *t)
{
	int rc = weft_mutex_lock(&t->state);
	int ret;

	if (rc)
		return rc;
	rc = t->dead;
	if (rc == 0) {
		weft__tls_feed(t);
		ERR_clear_error();
		ret = SSL_do_handshake(t->ssl);
		if (ret != 1)
			rc = weft__tls_outcome(t, ret);
		if (rc == END) { /* close_notify instead of a greeting */
			strcpy(t->why, "the peer does not want to speak");
			rc = t->dead = WEFT_ETLS;
		}
	}
	weft_mutex_unlock(&t->state);
	return rc;
}

static int send_made(weft_tls *t, int64_t deadline)
{
	int rc = weft_mutex_lock_until(&t->wr, deadline);

	if (rc)
		return rc;
	rc = weft__tls_push(t, deadline);
	weft_mutex_unlock(&t->wr);
	return rc;
}

/* hs's owner. */
static int shake(weft_tls *t, int64_t deadline)
{
	int rc, sent, broken = 0;
	bool last;

	for (;;) {
		if (weft__tls_closed(t))
			return WEFT_ECLOSED;
		rc = step(t);
		/* A client of TLS 1.3 waits for nothing any more: it gets its tickets when it reads. */
		last = rc == 0 && t->server && SSL_version(t->ssl) == TLS1_3_VERSION;
		sent = last ? 0 : broken ? broken : send_made(t, deadline);
		if (rc < 0)
			return rc; /* the alert is on its way, if it could be */
		if (rc == WANT && is_for_good(sent) && !broken && weft__tls_pull(t, deadline) == 1) {
			broken = sent; /* the peer has gone, and may have said why before */
			continue;
		}
		if (sent)
			return weft__tls_wire_error(t, sent);
		if (rc == 0) {
			weft_store_release(&t->shaken, 1); /* pairs with the load in weft__tls_shake */
			return 0;
		}
		rc = weft__tls_pull(t, deadline);
		if (rc <= 0)
			return weft__tls_wire_error(t, rc ? rc : WEFT_ECONNABORTED);
	}
}

int weft__tls_shake(weft_tls *t, int64_t deadline)
{
	int rc;

	if (likely(weft_load_acquire(&t->shaken))) /* what the handshake has left for the reader is seen */
		return 0;
	rc = weft_mutex_lock_until(&t->hs, deadline);
	if (rc)
		return rc;
	if (!weft_load_acquire(&t->shaken))
		rc = shake(t, deadline);
	weft_mutex_unlock(&t->hs);
	weft__tls_tidy(t);
	return rc;
}

int weft_tls_handshake_until(weft_tls *t, int64_t deadline)
{
	int rc = weft__tls_enter(t, deadline);

	if (rc)
		return rc;
	rc = weft__tls_shake(t, deadline);
	weft__tls_leave(t);
	return rc;
}

int weft_tls_handshake(weft_tls *t)
{
	return weft_tls_handshake_until(t, WEFT_FOREVER);
}

/* --- making --- */

/* The host without a final dot: 0, or WEFT_EINVAL. */
static int host_of(char *out, const char *host)
{
	unsigned char ip[16];
	size_t n = strlen(host);

	if (n > 0 && host[n - 1] == '.')
		n--;
	if (n == 0 || n > HOST_MAX)
		return WEFT_EINVAL;
	if (host[0] == '.') /* OpenSSL would take any name that ends so */
		return WEFT_EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (host[i] <= ' ' || host[i] > '~' || strchr("[]/", host[i]))
			return WEFT_EINVAL;
	}
	memcpy(out, host, n);
	out[n] = '\0';
	return strchr(out, ':') && inet_pton(AF_INET6, out, ip) != 1 ? WEFT_EINVAL : 0;
}

/* Whom to expect. */
static int expect(weft_tls *t, const char *host)
{
	X509_VERIFY_PARAM *p = SSL_get0_param(t->ssl);
	unsigned char ip[16];

	X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (inet_pton(AF_INET, host, ip) == 1)
		return X509_VERIFY_PARAM_set1_ip(p, ip, 4) == 1 ? 0 : WEFT_ENOMEM;
	if (inet_pton(AF_INET6, host, ip) == 1)
		return X509_VERIFY_PARAM_set1_ip(p, ip, 16) == 1 ? 0 : WEFT_ENOMEM;
	if (SSL_set_tlsext_host_name(t->ssl, host) != 1 || SSL_set1_host(t->ssl, host) != 1)
		return WEFT_ENOMEM;
	return 0;
}

/* The host is always in the name: who resumes a session is not looked at again. */
static int resume(weft_tls *t, const char *host, const char *apart)
{
	size_t n = strlen(host) + strlen(apart) + 2;
	SSL_SESSION *s;

	if (!t->cfg->cache || (!host[0] && !apart[0]))
		return 0;
	t->session = malloc(n);
	if (!t->session)
		return WEFT_ENOMEM;
	snprintf(t->session, n, "%s %s", host, apart);
	s = weft__tls_cache_take(t->cfg->cache, t->session);
	if (s)
		(void)SSL_set_session(t->ssl, s); /* without it the handshake is a full one */
	SSL_SESSION_free(s);
	return 0;
}

static int be_client(weft_tls *t, const weft_tls_conn_opts *o)
{
	char host[HOST_MAX + 1] = "";
	int rc = o->host ? host_of(host, o->host) : t->cfg->insecure ? 0 : WEFT_EINVAL;

	if (rc == 0 && host[0])
		rc = expect(t, host);
	if (rc == 0)
		rc = resume(t, host, o->session ? o->session : "");
	if (rc)
		return rc;
	SSL_set_connect_state(t->ssl);
	SSL_set_verify(t->ssl, t->cfg->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	return 0;
}

static int be_server(weft_tls *t)
{
	static const int mode[] = {
		[WEFT_TLS_AUTH_NONE] = SSL_VERIFY_NONE,
		[WEFT_TLS_AUTH_REQUEST] = SSL_VERIFY_PEER,
		[WEFT_TLS_AUTH_REQUIRE] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	};

	if (t->cfg->pair_count == 0)
		return WEFT_EINVAL;
	SSL_set_accept_state(t->ssl);
	SSL_set_verify(t->ssl, mode[t->cfg->auth], NULL);
	return 0;
}

static int make(weft_tls **out, weft_io under, weft_tls_config *cfg, const weft_tls_conn_opts *o, bool server)
{
	static const weft_tls_conn_opts none;
	weft_tls *t;
	int rc;

	*out = NULL;
	if (!under.ops || !cfg)
		return WEFT_EINVAL;
	o = o ? o : &none;
	t = calloc(1, sizeof *t);
	if (!t)
		return WEFT_ENOMEM;
	t->under = under;
	t->cfg = weft_tls_config_ref(cfg);
	t->server = server;
	t->keep_under = o->keep_under;
	weft_store_relaxed(&t->refs, 1u); /* not shared yet, nor the next two */
	weft_store_relaxed(&t->rd_limit, WEFT_FOREVER);
	weft_store_relaxed(&t->wr_limit, WEFT_FOREVER);
	ERR_clear_error();
	t->ssl = SSL_new(cfg->ctx);
	rc = t->ssl && SSL_set_app_data(t->ssl, t) == 1 ? weft__tls_attach(t) : WEFT_ENOMEM;
	if (rc == 0)
		rc = server ? be_server(t) : be_client(t, o);
	ERR_clear_error();
	if (rc)
		unref(t);
	else
		*out = t;
	return rc;
}

int weft_tls_client(weft_tls **out, weft_io under, weft_tls_config *cfg, const weft_tls_conn_opts *o)
{
	return make(out, under, cfg, o, false);
}

int weft_tls_server(weft_tls **out, weft_io under, weft_tls_config *cfg, const weft_tls_conn_opts *o)
{
	return make(out, under, cfg, o, true);
}

/* --- shutting down --- */

/* 0; WANT: the peer has to finish a message first; or an error. wr's owner. */
static int say_end(weft_tls *t)
{
	int rc = weft_mutex_lock(&t->state);
	int ret;

	if (rc)
		return rc;
	rc = t->dead;
	if (rc == 0 && !t->wr_shut) {
		ERR_clear_error();
		ret = SSL_in_init(t->ssl) ? SSL_do_handshake(t->ssl)
					  : 1; /* a key update is due, or half a message has come: to OpenSSL no time for an end */
		ret = ret == 1 ? SSL_shutdown(t->ssl) : -1;
		if (ret < 0)
			rc = weft__tls_unfinished(t, ret);
		if (rc == 0)
			t->wr_shut = true;
	}
	weft_mutex_unlock(&t->state);
	return rc;
}

static int end_writing(weft_tls *t, int64_t deadline)
{
	int rc;

	if (!weft_load_acquire(&t->shaken))
		return WEFT_ENOTCONN;
	rc = weft_mutex_lock_until(&t->wr, deadline);
	if (rc)
		return rc;
	while ((rc = say_end(t)) == WANT && (rc = weft__tls_read_first(t, deadline)) == 0)
		;
	if (rc)
		rc = weft__tls_wire_error(t, rc);
	else
		rc = weft__tls_wire_error(t, weft__tls_push(t, deadline));
	weft_mutex_unlock(&t->wr);
	return rc;
}

static int end_reading(weft_tls *t, int64_t deadline)
{
	int rc;

	weft_store_seq_cst(&t->rd_shut, 1); /* before the stream says so to who waits: he looks here then */
	rc = weft_io_shutdown_until(t->under, SHUT_RD, deadline);
	if (rc == WEFT_ENOTSUP)
		weft_store_seq_cst(&t->rd_shut, 0);                   /* nothing has happened */
	return rc == WEFT_ENOTCONN ? 0 : weft__tls_wire_error(t, rc); /* the peer was first */
}

int weft_tls_shutdown_until(weft_tls *t, int how, int64_t deadline)
{
	int rc;

	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return WEFT_EINVAL;
	rc = weft__tls_enter(t, deadline);
	if (rc)
		return rc;
	if (how != SHUT_RD)
		rc = end_writing(t, deadline);
	if (how != SHUT_WR && rc == 0)
		rc = end_reading(t, deadline);
	weft__tls_leave(t);
	return rc;
}

int weft_tls_shutdown(weft_tls *t, int how)
{
	return weft_tls_shutdown_until(t, how, WEFT_FOREVER);
}

int weft__tls_limits(weft_tls *t, int64_t rd, int64_t wr)
{
	int rc = weft_io_set_deadline(t->under, t->first ? wr : rd, wr);

	if (rc == 0 && weft__tls_closed(t)) /* its close may have moved them before us */
		wake(t);
	return rc;
}

int weft_tls_set_deadline(weft_tls *t, int64_t rd, int64_t wr)
{
	int rc = weft__tls_enter(t, WEFT_FOREVER);

	if (rc)
		return rc;
	WEFT_WITH_SHIELD
	{
		rc = weft_mutex_lock(&t->state);
		if (rc == 0) {
			rc = weft__tls_limits(t, rd, wr);
			if (rc == 0) { /* for who comes later; who waits is told by the stream, or here */
				weft_store_relaxed(&t->rd_limit, rd == WEFT_NOW ? LONG_AGO : rd);
				weft_store_relaxed(&t->wr_limit, wr == WEFT_NOW ? LONG_AGO : wr);
				weft_cond_broadcast(&t->settled);
			}
			weft_mutex_unlock(&t->state);
		}
	}
	rc = weft__tls_wire_error(t, rc);
	weft__tls_leave(t);
	return rc;
}

/* --- closing --- */

weft_tls *weft_tls_ref(weft_tls *t)
{
	weft_add_relaxed(&t->refs, 1u); /* the caller's own reference keeps it */
	return t;
}

/* What is left, and close_notify, if nobody writes just now, and as far as there is room. */
static void say_goodbye(weft_tls *t)
{
	if (weft_mutex_trylock(&t->wr) != 0)
		return;
	if (weft_load_acquire(&t->shaken))
		(void)say_end(t);
	(void)weft__tls_push(t, WEFT_NOW);
	weft_mutex_unlock(&t->wr);
}

int weft_tls_close(weft_tls *t)
{
	uint32_t u;

	if (!t)
		return 0;
	u = weft_load_relaxed(&t->uses);
	do {
		if (u & CLOSED) {
			unref(t);
			return WEFT_ECLOSED;
		}
	} while (!weft_cas_acq_rel(&t->uses, &u, (u | CLOSED) + 1)); /* a use of our own: the stream stays until we are through with it */
	WEFT_WITH_SHIELD
	say_goodbye(t);
	wake(t);
	weft__tls_leave(t); /* with the caller's reference */
	return 0;
}
