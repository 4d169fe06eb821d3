/* SPDX-License-Identifier: MIT
 *
 * wire.c - between OpenSSL and the stream below: SSL reads and writes memory (a BIO), and whose turn it is carries that to and from the wire.
 */
#include "tls/tls.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <weft/ctx.h>
#include <weft/scope.h>

#define ROOM_MIN 512
#define AROUND 64 /* bytes that a record has besides its plaintext, at most */
#define KEEP 4096 /* room that an empty buffer keeps */

/* --- SSL's end: under state --- */

static bool reserve(struct bytes *b, size_t more)
{
	size_t room = b->room * 2;
	unsigned char *at;

	if (b->room - b->end >= more)
		return true;
	if (room < b->end + more)
		room = b->end + more;
	if (room < ROOM_MIN)
		room = ROOM_MIN;
	at = realloc(b->at, room);
	if (!at)
		return false;
	b->at = at;
	b->room = room;
	return true;
}

void weft__tls_expect(weft_tls *t, size_t n)
{
	(void)reserve(&t->made, n + (n / RECORD + 1) * AROUND);
}

static int ssl_writes(BIO *bio, const char *from, int n)
{
	weft_tls *t = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (n <= 0)
		return 0;
	if (t->made.end + (size_t)n > OWED_MAX || !reserve(&t->made, (size_t)n)) {
		t->dead = t->made.end + (size_t)n > OWED_MAX ? WEFT_ENOBUFS : WEFT_ENOMEM;
		strcpy(t->why, "no room for what is to be sent");
		return -1;
	}
	memcpy(t->made.at + t->made.end, from, (size_t)n);
	t->made.end += (size_t)n;
	weft_add_seq_cst(&t->owed, (size_t)n); /* pairs with the look in weft__tls_tidy */
	return n;
}

static int ssl_reads(BIO *bio, char *to, int n)
{
	weft_tls *t = BIO_get_data(bio);
	size_t have = t->in_end - t->in_from;

	BIO_clear_retry_flags(bio);
	if (n <= 0)
		return 0;
	if (have == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (have > (size_t)n)
		have = (size_t)n;
	memcpy(to, t->in + t->in_from, have);
	t->in_from += have;
	return (int)have;
}

static long ssl_controls(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;
static CRYPTO_ONCE method_once = CRYPTO_ONCE_STATIC_INIT;

static void method_make(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weft");

	if (m && BIO_meth_set_write(m, ssl_writes) && BIO_meth_set_read(m, ssl_reads) && BIO_meth_set_ctrl(m, ssl_controls))
		method = m;
	else
		BIO_meth_free(m);
}

int weft__tls_attach(weft_tls *t)
{
	BIO *bio;

	if (!CRYPTO_THREAD_run_once(&method_once, method_make) || !method)
		return WEFT_ENOMEM;
	bio = BIO_new(method);
	if (!bio)
		return WEFT_ENOMEM;
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	return 0;
}

void weft__tls_bytes_free(struct bytes *b)
{
	free(b->at);
	*b = (struct bytes){.at = NULL};
}

/* --- the wire's end: the turn's owner --- */

int weft__tls_pull(weft_tls *t, int64_t deadline)
{
	size_t room = t->in_much ? IN_BIG : IN_SMALL;
	ssize_t n;

	if (t->in_new)
		return 1;
	if (t->cut)
		return 0;
	if (t->in_room != room) {
		free(t->in); /* SSL has read all of it, or it would not ask for more */
		t->in_room = 0;
		t->in = malloc(room);
		if (!t->in)
			return WEFT_ENOMEM;
		t->in_room = room;
	}
	n = weft_io_read_until(t->under, t->in, room, deadline);
	if (n < 0)
		return (int)n;
	if (n == 0) {
		t->cut = true;
		return 0;
	}
	t->in_much = (size_t)n == room || n > IN_SMALL;
	t->in_new = (size_t)n;
	return 1;
}

void weft__tls_feed(weft_tls *t)
{
	if (t->in_new == 0)
		return;
	t->in_from = 0;
	t->in_end = t->in_new;
	t->in_new = 0;
}

int weft__tls_push(weft_tls *t, int64_t deadline)
{
	struct bytes b;
	size_t done;
	ssize_t n;
	int rc;

	for (;;) {
		if (t->out.from == t->out.end) {
			if (t->out.room > KEEP)
				weft__tls_bytes_free(&t->out);
			t->out.from = t->out.end = 0;
			rc = weft_mutex_lock(&t->state);
			if (rc)
				return rc;
			b = t->out;
			t->out = t->made;
			t->made = b;
			weft_mutex_unlock(&t->state);
			if (t->out.end == 0)
				return 0;
		}
		n = weft_io_write_until(t->under, t->out.at + t->out.from, t->out.end - t->out.from, &done, deadline);
		t->out.from += done;
		weft_add_seq_cst(&t->owed, (size_t)0 - done); /* nobody waits for it to become less */
		if (n < 0)
			return (int)n;
	}
}

/* Until no more than `much` is owed, or somebody else writes. 0 or the stream's error. */
static int send_owed(weft_tls *t, size_t much, int64_t deadline)
{
	int rc;

	while (weft_add_seq_cst(&t->owed, (size_t)0) > much) {
		rc = weft_mutex_trylock(&t->wr);
		if (rc)
			return rc == WEFT_EAGAIN ? 0 : rc;
		rc = weft__tls_push(t, deadline);
		weft_mutex_unlock(&t->wr);
		if (rc)
			return rc;
	}
	return 0;
}

/* Either this finds wr free, or its owner, looking at owed after giving it up, finds what was made before this tried. So both look by a read-modify-write. */
void weft__tls_tidy(weft_tls *t)
{
	if (send_owed(t, 0, WEFT_NOW) == 0 || weft_ctx_check() == 0)
		return;
	WEFT_WITH_SHIELD
	{ /* others count on a cancelled task, too */
		(void)send_owed(t, 0, WEFT_NOW);
	}
}

int weft__tls_make_room(weft_tls *t, int64_t deadline)
{
	if (likely(weft_load_relaxed(&t->owed) <= OWED_MUCH)) /* our own, or somebody sends it */
		return 0;
	return send_owed(t, OWED_MUCH, deadline);
}
