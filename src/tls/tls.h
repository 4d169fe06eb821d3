/* SPDX-License-Identifier: MIT
 *
 * tls.h - what a TLS connection is made of.
 *
 * Nothing here but weft's public headers and OpenSSL's: anybody could have written it.
 *
 * An SSL object is one task's at a time, and whoever is inside OpenSSL stands on the thread's own list of errors: so nobody parks there. OpenSSL reads and writes memory:
 *
 *    wire -> in -> SSL -> caller          reading: the task whose turn rd is
 *    caller -> SSL -> made -> out -> wire     writing: the task whose turn wr is
 *
 *   state   a mutex, held for one call of OpenSSL's at a time, never while anybody waits for the wire. Guards ssl, made, in_from, in_end, and all that is said to be under it
 *   hs      whose turn the handshake is. Until shaken is set, its owner is the only one to read the wire
 *   rd, wr  whose turn reading and writing are: to be held while the wire is waited for
 *
 * They are taken in this order: hs, wr, rd, state; a reader only tries for wr, and a writer, with state, for rd (turn_or_settled). Each may fail (the task is cancelled), so whatever
 * the wire has given or taken is written down before the next is taken: in_new and out belong to the turn, not to state.
 *
 * What SSL has made while it read (an answer to a key update, an alert) must not make a reader wait for the wire, for the peer may wait for the reader: it is sent if nobody writes and
 * there is room, else it goes with the next to write. Who has written looks again after giving up its turn (weft__tls_tidy).
 */
#ifndef WEFT_TLS_TLS_H
#define WEFT_TLS_TLS_H

#include <openssl/ssl.h>
#include <weft/lf/atomic.h>
#include <weft/lock.h>
#include <weft/tls.h>

#define RECORD 16384          /* plaintext of the largest record */
#define BATCH (4 * RECORD)    /* encrypted at a time, before the wire is waited for */
#define IN_SMALL 2048         /* a reader's buffer while little comes; */
#define IN_BIG 34816          /* and two records, with what is around them, while much does */
#define OWED_MUCH (256 << 10) /* more than that waits to be sent: whoever reads sends it first, if nobody writes; */
#define OWED_MAX (1 << 20)    /* and here it ends, so that a peer cannot make us keep ever more */

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define NOINLINE __attribute__((noinline))

/* Bytes on their way out. */
struct bytes {
	unsigned char *at;
	size_t from, end, room;
};

struct weft_tls {
	weft_io under;
	weft_tls_config *cfg;
	SSL *ssl;
	weft_mutex state, hs, rd, wr;
	weft_cond settled; /* with state: SSL waits for nothing of the peer's any more, or rd is free; see turn_or_settled */

	WEFT_ATOMIC(uint32_t) refs; /* on the memory: the caller's, and one of each call under way */
	WEFT_ATOMIC(uint32_t) uses; /* calls under way, and CLOSED: who takes the last one away closes the stream */
	WEFT_ATOMIC(int) shaken;    /* the handshake is made: what it left is seen by who finds this set */
	WEFT_ATOMIC(int) woken;     /* close has moved the stream's deadlines */
	WEFT_ATOMIC(int) rd_shut;   /* reads return 0 */
	WEFT_ATOMIC(size_t) owed;   /* bytes in made and out; seq_cst: see weft__tls_tidy */
	WEFT_ATOMIC(int) stuck;     /* a writer waits on settled; changed under state */
	WEFT_ATOMIC(int64_t)
	rd_limit,
		wr_limit; /* the deadlines of weft_tls_set_deadline; looked at on entry, the stream keeps them otherwise; changed under state */
	bool server, keep_under; /* constant */
	char *session;           /* constant; a client's name in the cache; NULL: not kept */

	/* Under state. */
	struct bytes made;      /* what SSL has to send */
	size_t in_from, in_end; /* what SSL has not read yet of in */
	int dead;               /* 0, or the code that every call returns */
	bool in_over;           /* the peer's close_notify has come */
	bool wr_shut;           /* ours is made */
	bool first;             /* a writer reads what it needs: the stream's deadline of reading is that of writing */
	char why[WEFT_TLS_WHY]; /* of dead */

	/* The turn's: hs before shaken is set, rd afterwards. */
	unsigned char *in;
	size_t in_room, in_new; /* bytes that the wire has given since */
	bool in_much;           /* the last read filled its buffer */
	bool cut;               /* the wire has ended */

	/* wr's. */
	struct bytes out;
};

#define CLOSED (1u << 31)

/* --- config.c --- */

struct tls_cache;
struct weft_tls_config {
	SSL_CTX *ctx;
	struct tls_cache *cache;
	struct tls_pair {
		X509 *cert;
		EVP_PKEY *key;
		STACK_OF(X509) * chain;
	} * pairs; /* constant */
	int pair_count;
	unsigned char *alpn; /* as on the wire; NULL: none */
	unsigned alpn_size;
	int auth, keylog; /* enum weft_tls_auth; a descriptor, or -1 */
	bool insecure;
	WEFT_ATOMIC(uint32_t) refs;
};

/* Reason of OpenSSL's newest error as text, and its code here; the thread's list is empty afterwards. */
int weft__tls_reason(char *why, const char *otherwise);

/* --- sessions.c: what clients keep to resume --- */

struct tls_cache *weft__tls_cache_make(void);
void weft__tls_cache_free(struct tls_cache *c);
/* Takes over s. */
void weft__tls_cache_put(struct tls_cache *c, const char *name, SSL_SESSION *s);
/* NULL, or one that is the caller's. */
SSL_SESSION *weft__tls_cache_take(struct tls_cache *c, const char *name);

/* --- wire.c: between OpenSSL and the stream --- */

/* SSL's two ends become t's buffers. 0 or WEFT_ENOMEM. */
int weft__tls_attach(weft_tls *t);
void weft__tls_bytes_free(struct bytes *b);
/* n bytes are about to be encrypted; under state. */
void weft__tls_expect(weft_tls *t, size_t n);

/* Waits for bytes and keeps them for SSL. The turn's owner. 1: there are some; 0: the wire has ended; or the stream's error. */
int weft__tls_pull(weft_tls *t, int64_t deadline);
/* SSL may read what the wire has given. The turn's owner, under state. */
void weft__tls_feed(weft_tls *t);
/* Sends all that was made. wr's owner. 0 or the stream's error. */
int weft__tls_push(weft_tls *t, int64_t deadline);
/* Sends what was made if nobody else is about to, without waiting for room. */
void weft__tls_tidy(weft_tls *t);
/* The same before a read, where much waits to be sent; and until then there is room. 0 or the stream's error. */
int weft__tls_make_room(weft_tls *t, int64_t deadline);

/* --- conn.c --- */

/* Around every call: 0, and then leave must follow; or WEFT_ECLOSED, WEFT_ETIMEDOUT: the deadline has passed, and nothing is tried. */
int weft__tls_enter(weft_tls *t, int64_t deadline);
void weft__tls_leave(weft_tls *t);
/* Moves the stream's deadlines: those of reading and writing, while a writer reads that of writing for both. Under state. 0 or the stream's error. */
int weft__tls_limits(weft_tls *t, int64_t rd, int64_t wr);
bool weft__tls_closed(weft_tls *t);
/* What SSL's last call means, under state, on the thread that made it: WANT or END, or an error, which is written down. */
int weft__tls_outcome(weft_tls *t, int ret);
/* The same of a call that does not read data: close_notify in the middle of a message cuts that off. */
int weft__tls_unfinished(weft_tls *t, int ret);
int weft__tls_shake(weft_tls *t, int64_t deadline);
/* The code for what the wire says: for an error ours, if it was our close that caused it. */
int weft__tls_wire_error(weft_tls *t, int rc);

/* --- io.c --- */

/* After WANT from SSL's writing. wr's owner. */
int weft__tls_read_first(weft_tls *t, int64_t deadline);

static inline bool has_passed(int64_t deadline)
{
	return deadline != WEFT_FOREVER && deadline != WEFT_NOW && deadline <= weft_now();
}

#define WANT 1 /* SSL needs bytes from the wire */
#define END 2  /* close_notify */

#endif
