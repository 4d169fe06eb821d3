/* SPDX-License-Identifier: MIT
 *
 * info.c - what was agreed upon, and why it was not; a key update; dial and accept.
 */
#include "tls/tls.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <weft/ctx.h>
#include <weft/scope.h>

/* Around a look at ssl: 0, and then looked must follow. A cancelled task may look, too. */
static int look(weft_tls *t)
{
	int rc = 0;

	if (!weft_load_acquire(&t->shaken))
		return WEFT_ENOTCONN;
	WEFT_WITH_SHIELD
	{
		rc = weft_mutex_lock(&t->state);
	}
	return rc;
}

static void looked(weft_tls *t)
{
	weft_mutex_unlock(&t->state);
}

static int copy_out(char *buf, size_t n, const void *text, size_t len)
{
	if (n == 0)
		return WEFT_ENOSPC;
	buf[0] = '\0';
	if (len >= n)
		return WEFT_ENOSPC;
	if (len)
		memcpy(buf, text, len);
	buf[len] = '\0';
	return (int)len;
}

static int copy_text(char *buf, size_t n, const char *text)
{
	return copy_out(buf, n, text, text ? strlen(text) : 0);
}

int weft_tls_resumed(weft_tls *t)
{
	int rc = look(t);

	if (rc)
		return rc;
	rc = SSL_session_reused(t->ssl) == 1;
	looked(t);
	return rc;
}

int weft_tls_version(weft_tls *t)
{
	int rc = look(t);

	if (rc)
		return rc;
	rc = SSL_version(t->ssl);
	looked(t);
	return rc;
}

int weft_tls_cipher(weft_tls *t, char *buf, size_t n)
{
	int rc = look(t);

	if (rc)
		return rc;
	rc = copy_text(buf, n, SSL_get_cipher_name(t->ssl));
	looked(t);
	return rc;
}

int weft_tls_alpn(weft_tls *t, char *buf, size_t n)
{
	const unsigned char *name;
	unsigned len;
	int rc = look(t);

	if (rc)
		return rc;
	SSL_get0_alpn_selected(t->ssl, &name, &len);
	rc = copy_out(buf, n, name, len);
	looked(t);
	return rc;
}

int weft_tls_server_name(weft_tls *t, char *buf, size_t n)
{
	int rc = look(t);

	if (rc)
		return rc;
	rc = copy_text(buf, n, SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name));
	looked(t);
	return rc;
}

/* The subject in one line. */
static int subject(X509 *x, char *buf, size_t n)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int rc = WEFT_ENOMEM;
	char *text;
	long len;

	if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) >= 0) {
		len = BIO_get_mem_data(bio, &text);
		rc = copy_out(buf, n, text, (size_t)len);
	}
	BIO_free(bio);
	return rc;
}

int weft_tls_peer_name(weft_tls *t, char *buf, size_t n)
{
	X509 *x;
	int rc = look(t);

	if (rc)
		return rc;
	x = SSL_get0_peer_certificate(t->ssl);
	rc = x ? subject(x, buf, n) : copy_text(buf, n, NULL);
	ERR_clear_error();
	looked(t);
	return rc;
}

int weft_tls_peer_cert(weft_tls *t, void *buf, size_t n)
{
	unsigned char *p = buf;
	X509 *x;
	int rc = look(t);

	if (rc)
		return rc;
	x = SSL_get0_peer_certificate(t->ssl);
	rc = x ? i2d_X509(x, NULL) : WEFT_ENOENT;
	if (rc < 0)
		rc = x ? WEFT_ENOMEM : WEFT_ENOENT;
	else if ((size_t)rc > n)
		rc = WEFT_ENOSPC;
	else
		rc = i2d_X509(x, &p);
	ERR_clear_error();
	looked(t);
	return rc;
}

const char *weft_tls_why(weft_tls *t, char *buf, size_t n)
{
	WEFT_WITH_SHIELD
	{
		if (weft_mutex_lock(&t->state) == 0) {
			snprintf(buf, n, "%s", t->why);
			weft_mutex_unlock(&t->state);
		} else if (n) {
			buf[0] = '\0';
		}
	}
	return buf;
}

/* Under state. */
static int update(weft_tls *t, bool ask)
{
	int rc = 0, ret;

	if (t->dead || t->wr_shut)
		return t->dead ? t->dead : WEFT_EPIPE;
	if (SSL_version(t->ssl) < TLS1_3_VERSION)
		return WEFT_EINVAL;
	ERR_clear_error();
	if (SSL_in_init(t->ssl)) { /* one is due already, or half a message has come: OpenSSL takes no other then */
		ret = SSL_do_handshake(t->ssl);
		rc = ret == 1 ? 0 : weft__tls_unfinished(t, ret);
	}
	if (rc == 0 && SSL_key_update(t->ssl, ask ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
		rc = WEFT_EAGAIN;
	ERR_clear_error();
	return rc == WANT ? WEFT_EAGAIN : rc;
}

int weft_tls_key_update(weft_tls *t, bool ask)
{
	int rc = weft__tls_enter(t, WEFT_FOREVER);

	if (rc)
		return rc;
	rc = weft_ctx_check();
	if (rc == 0)
		rc = look(t);
	if (rc == 0) {
		rc = update(t, ask);
		looked(t);
		weft__tls_tidy(t);
	}
	weft__tls_leave(t);
	return rc;
}

/* --- dial and accept --- */

/* The host of "HOST:PORT" or "[HOST]:PORT", without a zone. */
static int host_in(char *out, size_t n, const char *addr)
{
	const char *end = strrchr(addr, ':');
	size_t len;

	if (!end)
		return WEFT_EINVAL;
	if (addr[0] == '[' && end > addr && end[-1] == ']') {
		addr++;
		end--;
	}
	len = (size_t)(end - addr);
	if (memchr(addr, '%', len))
		len = (size_t)((const char *)memchr(addr, '%', len) - addr);
	if (len == 0 || len >= n)
		return WEFT_EINVAL;
	memcpy(out, addr, len);
	out[len] = '\0';
	return 0;
}

int weft_tls_dial_until(weft_tls **out, const char *addr, weft_tls_config *cfg, char *why, int64_t deadline)
{
	char host[256], reason[WEFT_TLS_WHY] = "";
	weft_tcp *c = NULL;
	weft_tls *t = NULL;
	int rc;

	*out = NULL;
	rc = host_in(host, sizeof host, addr);
	if (rc == 0)
		rc = weft_tcp_dial_until(&c, addr, deadline);
	if (rc == 0)
		rc = weft_tls_client(&t, weft_tcp_io(c), cfg, &(weft_tls_conn_opts){.host = host});
	if (rc == 0)
		rc = weft_tls_handshake_until(t, deadline);
	if (rc == 0) {
		*out = t;
	} else if (t) {
		weft_tls_why(t, reason, sizeof reason);
		weft_tls_close(t);
	} else {
		weft_tcp_close(c);
	}
	if (why)
		snprintf(why, WEFT_TLS_WHY, "%s", rc == 0 ? "" : reason[0] ? reason : weft_strerror(rc));
	return rc;
}

int weft_tls_dial(weft_tls **out, const char *addr, weft_tls_config *cfg, char *why)
{
	return weft_tls_dial_until(out, addr, cfg, why, WEFT_FOREVER);
}

int weft_tls_accept_until(weft_tcp_listener *l, weft_tls **out, weft_tls_config *cfg, int64_t deadline)
{
	weft_tcp *c;
	int rc;

	*out = NULL;
	rc = weft_tcp_accept_until(l, &c, deadline);
	if (rc)
		return rc;
	rc = weft_tls_server(out, weft_tcp_io(c), cfg, NULL);
	if (rc)
		weft_tcp_close(c);
	return rc;
}

int weft_tls_accept(weft_tcp_listener *l, weft_tls **out, weft_tls_config *cfg)
{
	return weft_tls_accept_until(l, out, cfg, WEFT_FOREVER);
}
