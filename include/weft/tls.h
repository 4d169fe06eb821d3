/* SPDX-License-Identifier: MIT
 *
 * weft/tls.h - TLS 1.2 and 1.3 over any byte stream, client and server: a library of its own, weft-tls, made of OpenSSL and of weft's public calls.
 *
 *     weft_tls_config *cfg;
 *     weft_tls *t;
 *
 *     weft_tls_config_make(&cfg, NULL, NULL);                  the system's authorities, every server's certificate and name checked
 *     if (weft_tls_dial(&t, "example.org:443", cfg, why) == 0)
 *             weft_tls_write(t, request, n, NULL);
 *
 * A connection is used like a TCP connection (weft/net.h): one task may read while another writes, two that read take turns, deadlines and cancellation work as there, and
 * the first close ends it for all. What differs:
 *
 *   - The handshake is made by the first call that needs it, or by weft_tls_handshake. If it fails, all later calls fail alike.
 *   - The peer's end comes by a message of its own (close_notify): then a read returns 0. A stream that ends without it has been cut off, perhaps by a third party: WEFT_ECONNABORTED.
 *   - A write that ends early (deadline, cancel) has taken what `done` says; of that, up to a few records may be encrypted and not sent. They go first with the next write or shutdown,
 *     or with the close as far as the stream takes them without waiting. After a read, a write or a handshake that was cancelled or late the connection is as good as before.
 *
 * Renegotiation (TLS 1.2) is refused, compression does not exist. A handshake takes some 16 KiB of stack.
 *
 * Errors of all calls, besides those of the stream below: WEFT_ETLS: the peer, or what it sent, is not acceptable, or it found so of us; WEFT_EUNTRUSTED: its certificate is not. weft_tls_why
 * says it in words. WEFT_ENOBUFS: more waits to be sent than is kept, for the peer asks for ever more answers and reads none. They end the connection for good.
 */
#ifndef WEFT_TLS_H
#define WEFT_TLS_H

#include "error.h"
#include "export.h"
#include "io.h"
#include "net.h"
#include "time.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

WEFT_BEGIN_DECLS

typedef struct weft_tls weft_tls;               /* a connection */
typedef struct weft_tls_config weft_tls_config; /* what connections have in common */

#define WEFT_TLS_WHY 256 /* bytes that any reason fits in as text */

/* --- configurations --- */

/* A certificate with its key. Each text is a path, or PEM itself (if it has "-----BEGIN " in it). */
typedef struct weft_tls_cert {
	const char *chain; /* the certificate, and behind it those that lead to the authority */
	const char *key;   /* its private key, unencrypted; NULL: it stands in chain */
} weft_tls_cert;

enum weft_tls_auth {
	WEFT_TLS_AUTH_NONE,    /* clients are not asked for a certificate */
	WEFT_TLS_AUTH_REQUEST, /* they are; one that is given must be good */
	WEFT_TLS_AUTH_REQUIRE, /* without one there is no connection */
};

enum weft_tls_version {
	WEFT_TLS_1_2 = 0x0303,
	WEFT_TLS_1_3 = 0x0304,
};

typedef struct weft_tls_opts {
	/* A server shows the first whose names (SAN, wildcards too) have what the client asks for (SNI), one of each type of key; else the first. Servers need at least one.
	 * A client shows it when asked. */
	const weft_tls_cert *certs;
	int cert_count;

	const char *ca; /* whose signatures are trusted: a path or PEM, or a directory that c_rehash has made; NULL: the system's */
	bool insecure;  /* clients take any certificate: for tests */
	enum weft_tls_auth clients;   /* of servers */
	int min_version, max_version; /* enum weft_tls_version; 0: 1.2, and the newest there is */
	const char *ciphers;          /* of TLS 1.2, in OpenSSL's words; NULL: OpenSSL's defaults */
	const char *ciphersuites;     /* of TLS 1.3 */
	const char *alpn;             /* protocols, the best first: "h2,http/1.1"; NULL: not spoken of */
	const char *keylog;           /* a file that gets every session's secrets (SSLKEYLOGFILE); NULL: none */
	bool no_resume;               /* every handshake is a full one */
} weft_tls_opts;

/* weft_tls_config_make - a configuration, for as many connections as you like, clients' and servers' alike.
 *
 *   out  receives it, with one reference; NULL on error
 *   o    copied, nothing in it is needed afterwards; NULL: all zero
 *   why  receives the reason of an error in words, WEFT_TLS_WHY bytes; NULL: not wanted
 *
 * A server resumes sessions by tickets whose key is the configuration's. A client keeps sessions of up to 64 hosts in it and resumes them; verified once, a session counts as verified.
 * New certificates, new configuration: connections hold on to the one they were made with.
 *
 * Returns 0; WEFT_EINVAL: no PEM, a key that is not the certificate's, a cipher, version or protocol that makes no sense; what open(2) says of a file; WEFT_ENOMEM.
 * Blocks: the thread, while it reads files. Threads: any.
 */
WEFT_API int weft_tls_config_make(weft_tls_config **out, const weft_tls_opts *o, char *why);

/* weft_tls_config_ref - one reference more. Returns cfg. weft_tls_config_free - one less; NULL is allowed. Connections have their own. Threads: any. */
WEFT_API weft_tls_config *weft_tls_config_ref(weft_tls_config *cfg);
WEFT_API void weft_tls_config_free(weft_tls_config *cfg);

/* --- connections --- */

typedef struct weft_tls_conn_opts {
	/* Of a client: whom to expect, a name or an address (no port); told to the server, if a name, and looked for in its certificate. */
	const char *host;
	const char *session; /* of a client: sessions are kept apart by host and this; NULL: by host */
	bool keep_under; /* close leaves the stream below open, and its deadlines as they are; but if it has to wake somebody there are none afterwards */
} weft_tls_conn_opts;

/* weft_tls_client, weft_tls_server - TLS over a stream, at its client's or server's end. Nothing is sent yet.
 *
 *   out    receives the connection, with one reference; NULL on error, and then the stream is still the caller's
 *   under  the stream; from now on the connection's: nobody else uses it, and the connection's close closes it. A stream of your own should have set_deadline, or a shutdown that wakes
 *          whoever waits: by them a close reaches calls under way
 *   cfg    borrowed; the connection takes a reference
 *   o      NULL: all zero
 *
 * Returns 0; WEFT_EINVAL: a client without host, unless insecure; a host that is neither name nor address, or has a port; a server without certificate; WEFT_ENOMEM.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_tls_client(weft_tls **out, weft_io under, weft_tls_config *cfg, const weft_tls_conn_opts *o);
WEFT_API int weft_tls_server(weft_tls **out, weft_io under, weft_tls_config *cfg, const weft_tls_conn_opts *o);

/* weft_tls_dial - connect by TCP, and make the handshake.
 *
 *   addr      "HOST:PORT" as for weft_tcp_dial; HOST is what the certificate must be for
 *   why       receives the reason of an error in words, WEFT_TLS_WHY bytes; NULL: not wanted
 *   deadline  of it all
 *
 * Returns 0; the errors of weft_tcp_dial and weft_tls_handshake. Blocks: yes. Threads: any.
 */
WEFT_API int weft_tls_dial(weft_tls **out, const char *addr, weft_tls_config *cfg, char *why);
WEFT_API int weft_tls_dial_until(weft_tls **out, const char *addr, weft_tls_config *cfg, char *why, int64_t deadline);

/* weft_tls_accept - accept by TCP, and be the server. The handshake is left to the connection's own task, so that a slow client is waited for by nobody else.
 *
 * Returns 0; the errors of weft_tcp_accept and weft_tls_server. Blocks: yes. Threads: any.
 */
WEFT_API int weft_tls_accept(weft_tcp_listener *l, weft_tls **out, weft_tls_config *cfg);
WEFT_API int weft_tls_accept_until(weft_tcp_listener *l, weft_tls **out, weft_tls_config *cfg, int64_t deadline);

/* weft_tls_handshake - agree on keys, and on who the peer is. If that is done already: nothing. In TLS 1.3 a client is done before the server has looked at its certificate: a refusal
 * is the first read's error.
 *
 * Returns 0; WEFT_ETLS, WEFT_EUNTRUSTED, WEFT_ECONNABORTED: the stream ended; WEFT_ECLOSED, WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW): it goes on with the
 * next call; WEFT_ENOMEM, or what the stream says.
 * Blocks: yes. Threads: any.
 */
WEFT_API int weft_tls_handshake(weft_tls *t);
WEFT_API int weft_tls_handshake_until(weft_tls *t, int64_t deadline);

/* weft_tls_read, weft_tls_readv - read what is there, waiting for the first byte. As weft_tcp_read and weft_tcp_readv; 0: the peer has said that no more comes.
 *
 * Returns as those, and the errors of weft_tls_handshake. Blocks: yes. Threads: any.
 */
WEFT_API ssize_t weft_tls_read(weft_tls *t, void *buf, size_t n);
WEFT_API ssize_t weft_tls_read_until(weft_tls *t, void *buf, size_t n, int64_t deadline);
WEFT_API ssize_t weft_tls_readv(weft_tls *t, const struct iovec *v, int count);
WEFT_API ssize_t weft_tls_readv_until(weft_tls *t, const struct iovec *v, int count, int64_t deadline);

/* weft_tls_write, weft_tls_writev - write all of it. As weft_tcp_write and weft_tcp_writev; several small buffers become one record.
 *
 *   done  receives how many bytes were taken. An error with done == n: all was, and what is not sent yet goes with the next call (see above)
 *
 * Returns as those, WEFT_EPIPE after weft_tls_shutdown, and the errors of weft_tls_handshake. Blocks: yes. Threads: any.
 */
WEFT_API ssize_t weft_tls_write(weft_tls *t, const void *buf, size_t n, size_t *done);
WEFT_API ssize_t weft_tls_write_until(weft_tls *t, const void *buf, size_t n, size_t *done, int64_t deadline);
WEFT_API ssize_t weft_tls_writev(weft_tls *t, const struct iovec *v, int count, size_t *done);
WEFT_API ssize_t weft_tls_writev_until(weft_tls *t, const struct iovec *v, int count, size_t *done, int64_t deadline);

/* weft_tls_shutdown - end a direction: SHUT_WR sends what is left, and close_notify: the peer reads to the end, and may still send. SHUT_RD: reads return 0 from now on. SHUT_RDWR.
 *
 * Once more does no harm; after an early end it goes on.
 * Returns 0; WEFT_ENOTCONN: no handshake was made yet; WEFT_EINVAL; SHUT_RD: WEFT_ENOTSUP, if the stream below cannot; WEFT_ECLOSED, WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN,
 * WEFT_ETLS, or what the stream says.
 * Blocks: yes, SHUT_WR for room to write. Threads: any.
 */
WEFT_API int weft_tls_shutdown(weft_tls *t, int how);
WEFT_API int weft_tls_shutdown_until(weft_tls *t, int how, int64_t deadline);

/* weft_tls_set_deadline - until when reads and writes may wait, as weft_tcp_set_deadline; a handshake obeys both. Returns 0; WEFT_ECLOSED; WEFT_ENOTSUP: the stream below has none. */
WEFT_API int weft_tls_set_deadline(weft_tls *t, int64_t rd, int64_t wr);

/* weft_tls_key_update - TLS 1.3: use a new key from the next write on, and, if `ask`, have the peer do so as well.
 *
 * Returns 0; WEFT_ENOTCONN: no handshake was made yet; WEFT_EINVAL: not TLS 1.3; WEFT_EAGAIN: half a message of the peer's has come, read first; WEFT_ECLOSED, WEFT_ECANCELED,
 * WEFT_EPIPE. Blocks: no. Threads: any.
 */
WEFT_API int weft_tls_key_update(weft_tls *t, bool ask);

/* weft_tls_ref - one reference more, for another task. Returns t. */
WEFT_API weft_tls *weft_tls_ref(weft_tls *t);

/* weft_tls_close - give up a reference; the first of them closes the connection, and wakes whoever waits on it with WEFT_ECLOSED.
 *
 * The peer is told (close_notify), if that can be sent without waiting and nobody is just writing. The stream below is closed when the last call that uses it has returned:
 * before this one does, if there is none. NULL is allowed.
 *
 * Returns 0; WEFT_ECLOSED: another reference closed it before. Blocks: as the close of the stream below; not ended by cancel. Threads: any.
 */
WEFT_API int weft_tls_close(weft_tls *t);

/* weft_tls_io - the connection as a byte stream (weft/io.h). */
WEFT_API weft_io weft_tls_io(weft_tls *t);

/* --- what was agreed upon --- */

/* weft_tls_resumed - 1: this handshake went on with an earlier session; 0: it was a full one; WEFT_ENOTCONN: it was not made yet. */
WEFT_API int weft_tls_resumed(weft_tls *t);

/* weft_tls_version - an enum weft_tls_version; WEFT_ENOTCONN. */
WEFT_API int weft_tls_version(weft_tls *t);

/* weft_tls_cipher, weft_tls_alpn, weft_tls_server_name, weft_tls_peer_name - in words, into buf of n bytes: the cipher; the protocol; the name that the client has asked for; the
 * subject of the peer's certificate ("CN=example.org,O=...").
 *
 * Return the length without the final zero; 0: there is none (then buf is ""); WEFT_ENOSPC: more than n - 1; WEFT_ENOTCONN: no handshake was made yet; WEFT_ENOMEM. Block: no. Threads: any.
 */
WEFT_API int weft_tls_cipher(weft_tls *t, char *buf, size_t n);
WEFT_API int weft_tls_alpn(weft_tls *t, char *buf, size_t n);
WEFT_API int weft_tls_server_name(weft_tls *t, char *buf, size_t n);
WEFT_API int weft_tls_peer_name(weft_tls *t, char *buf, size_t n);

/* weft_tls_peer_cert - the peer's certificate, in DER, into buf of n bytes. Returns its length; WEFT_ENOSPC; WEFT_ENOENT: it has shown none; WEFT_ENOTCONN; WEFT_ENOMEM. */
WEFT_API int weft_tls_peer_cert(weft_tls *t, void *buf, size_t n);

/* weft_tls_why - why the connection has failed, in words of OpenSSL's, into buf of n bytes (WEFT_TLS_WHY is always enough; less cuts it); "" if it has not. Returns buf. */
WEFT_API const char *weft_tls_why(weft_tls *t, char *buf, size_t n);

WEFT_END_DECLS

#endif
