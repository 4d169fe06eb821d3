/* SPDX-License-Identifier: MIT
 *
 * tls.c - TLS by OpenSSL alone (P60): blocking sockets, a thread for the server, one for the client.
 *
 *     PROGRAM [-workers N] [-runs N] [-quick] [-only TEXT] P60
 */
#include "../../tls.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RUNS_MAX 100

static struct sockaddr_in at = {.sin_family = AF_INET};
static SSL_CTX *server, *client;
static SSL_SESSION *kept;
static int listener, resume;

static void need(int ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "tls: %s\n", what);
		exit(1);
	}
}

static int read_all(SSL *s, void *buf, int n)
{
	for (int i = 0, k; i < n; i += k) {
		k = SSL_read(s, (char *)buf + i, n - i);
		if (k <= 0)
			return 0;
	}
	return 1;
}

static void *serve(void *arg)
{
	static char buf[TLS_BLOCK];

	(void)arg;
	for (;;) {
		int fd = accept(listener, NULL, NULL), on = 1;
		SSL *s = SSL_new(server);
		uint64_t blocks;

		need(fd >= 0 && s && SSL_set_fd(s, fd) == 1, "accept");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (SSL_accept(s) == 1) {
			while (read_all(s, &blocks, sizeof(blocks))) {
				while (blocks > 0 && read_all(s, buf, TLS_BLOCK))
					blocks--;
				if (SSL_write(s, "x", 1) != 1)
					break;
			}
			SSL_shutdown(s);
		}
		SSL_free(s);
		close(fd);
	}
	return NULL;
}

static SSL *dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	SSL *s = SSL_new(client);

	need(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0, "connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	need(s && SSL_set_fd(s, fd) == 1 && SSL_set1_host(s, "127.0.0.1") == 1, "SSL_new");
	if (resume && kept) {
		SSL_set_session(s, kept);
		SSL_SESSION_free(kept);
		kept = NULL;
	}
	need(SSL_connect(s) == 1, "handshake");
	return s;
}

static void hang_up(SSL *s)
{
	int fd = SSL_get_fd(s);

	SSL_shutdown(s);
	SSL_free(s);
	close(fd);
}

static void ask(SSL *s, uint64_t blocks)
{
	static char block[TLS_BLOCK];
	char x;

	need(SSL_write(s, &blocks, sizeof(blocks)) == sizeof(blocks), "write");
	for (uint64_t i = 0; i < blocks; i++)
		need(SSL_write(s, block, TLS_BLOCK) == TLS_BLOCK, "write");
	need(read_all(s, &x, 1), "read");
}

static int keep(SSL *s, SSL_SESSION *sess)
{
	(void)s;
	SSL_SESSION_free(kept);
	kept = sess;
	return 1;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double handshakes(uint64_t n)
{
	double start = now();

	for (uint64_t i = 0; i < n; i++) {
		SSL *s = dial();

		ask(s, 0);
		hang_up(s);
	}
	return now() - start;
}

static double stream(uint64_t n)
{
	SSL *s = dial();
	double start = now();

	ask(s, n);
	start = now() - start;
	hang_up(s);
	return start;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int runs = 5, quick, workers = 1;
static const char *only = "";

static void measure(const char *variant, double (*work)(uint64_t))
{
	double target = quick ? 60e6 : 250e6, s[RUNS_MAX], took;
	uint64_t n = 100;

	if (!strstr(variant, only))
		return;
	while ((took = work(n)) < target / 4)
		n *= 4;
	n = (uint64_t)((double)n * target / took) + 1;
	for (int i = 0; i < runs; i++)
		s[i] = work(n) / (double)n;
	qsort(s, (size_t)runs, sizeof(*s), by_size);
	printf("{\"name\": \"P60\", \"variant\": \"%s\", \"workers\": %d, \"unit\": \"ns\", \"median\": %.4g, \"min\": %.4g, \"max\": "
	       "%.4g, "
	       "\"runs\": %d, \"peer\": \"openssl\", \"version\": \"%s\"}\n",
	       variant, workers, runs % 2 ? s[runs / 2] : (s[runs / 2 - 1] + s[runs / 2]) / 2, s[0], s[runs - 1], runs,
	       OpenSSL_version(OPENSSL_VERSION_STRING));
	fflush(stdout);
}

static void load(void)
{
	BIO *cert = BIO_new_mem_buf(TLS_CERT, -1), *key = BIO_new_mem_buf(TLS_KEY, -1);
	X509 *x = PEM_read_bio_X509(cert, NULL, NULL, NULL);
	EVP_PKEY *k = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);

	server = SSL_CTX_new(TLS_server_method());
	client = SSL_CTX_new(TLS_client_method());
	need(x && k && server && client, "certificate");
	need(SSL_CTX_use_certificate(server, x) == 1 && SSL_CTX_use_PrivateKey(server, k) == 1, "certificate");
	need(SSL_CTX_set_ciphersuites(server, TLS_SUITE) == 1 && SSL_CTX_set_ciphersuites(client, TLS_SUITE) == 1, "ciphersuites");
	need(X509_STORE_add_cert(SSL_CTX_get_cert_store(client), x) == 1, "authority");
	SSL_CTX_set_verify(client, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_read_ahead(server, 1);
	SSL_CTX_set_read_ahead(client, 1);
	SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client, keep);
	X509_free(x);
	EVP_PKEY_free(k);
	BIO_free(cert);
	BIO_free(key);
}

int main(int argc, char **argv)
{
	socklen_t size = sizeof(at);
	pthread_t thread;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-quick") == 0)
			quick = 1;
		else if (i + 1 < argc && strcmp(argv[i], "-workers") == 0)
			workers = atoi(argv[++i]);
		else if (i + 1 < argc && strcmp(argv[i], "-runs") == 0)
			runs = atoi(argv[++i]);
		else if (i + 1 < argc && strcmp(argv[i], "-only") == 0)
			only = argv[++i];
	}
	runs = runs < 1 ? (quick ? 3 : 5) : runs > RUNS_MAX ? RUNS_MAX : runs;
	signal(SIGPIPE, SIG_IGN);
	load();
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	need(listener >= 0 && bind(listener, (struct sockaddr *)&at, size) == 0 && listen(listener, 128) == 0 &&
		     getsockname(listener, (struct sockaddr *)&at, &size) == 0,
	     "listen");
	need(pthread_create(&thread, NULL, serve, NULL) == 0, "thread");
	measure(TLS_FULL, handshakes);
	resume = 1;
	measure(TLS_RESUMED, handshakes);
	measure(TLS_STREAM, stream);
	return 0;
}
