/* SPDX-License-Identifier: MIT
 *
 * tls.c - P60: what does a TLS connection cost, full and resumed, and 64 KiB through one? Both ends are here.
 */
#include "bench.h"
#include "tls.h"

#include <weft/tls.h>

static char where[WEFT_ADDR_TEXT];

static bool read_all(weft_tls *t, void *buf, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t rc = weft_tls_read(t, (char *)buf + at, n - at);

		if (rc <= 0)
			return false;
		at += (size_t)rc;
	}
	return true;
}

static void answer(weft_tls *t)
{
	char *buf = bench_need(malloc(TLS_BLOCK), "a block");
	uint64_t blocks;

	while (read_all(t, &blocks, sizeof(blocks))) {
		while (blocks > 0 && read_all(t, buf, TLS_BLOCK))
			blocks--;
		if (weft_tls_write(t, "x", 1, NULL) < 0)
			break;
	}
	free(buf);
	weft_tls_close(t);
}

struct site {
	weft_tcp_listener *l;
	weft_tls_config *cfg;
};

static void serve(struct site *s)
{
	weft_tls *t;

	while (weft_tls_accept(s->l, &t, s->cfg) == 0)
		MUST(weft_go(answer, t));
}

static weft_tls *dial(weft_tls_config *cfg)
{
	char why[WEFT_TLS_WHY];
	weft_tls *t;

	MUST(weft_tls_dial(&t, where, cfg, why));
	return t;
}

static void ask(weft_tls *t, uint64_t blocks, const char *block)
{
	char x;

	MUST((int)weft_tls_write(t, &blocks, sizeof(blocks), NULL));
	for (uint64_t i = 0; i < blocks; i++)
		MUST((int)weft_tls_write(t, block, TLS_BLOCK, NULL));
	if (!read_all(t, &x, 1))
		MUST(WEFT_ECONNABORTED);
}

static int64_t handshakes(uint64_t n, void *cfg)
{
	int64_t start = bench_now();

	for (uint64_t i = 0; i < n; i++) {
		weft_tls *t = dial(cfg);

		ask(t, 0, NULL);
		weft_tls_close(t);
	}
	return bench_now() - start;
}

static int64_t stream(uint64_t n, void *cfg)
{
	char *block = bench_need(calloc(1, TLS_BLOCK), "a block");
	weft_tls *t = dial(cfg);
	int64_t start = bench_now();

	ask(t, n, block);
	start = bench_now() - start;
	weft_tls_close(t);
	free(block);
	return start;
}

static int body(void *arg)
{
	const struct bench *b = arg;
	weft_tls_cert cert = {TLS_CERT, TLS_KEY};
	weft_tls_config *fresh, *again;
	struct site s;
	weft_addr at;

	MUST(weft_tls_config_make(&s.cfg, &(weft_tls_opts){.certs = &cert, .cert_count = 1, .ciphersuites = TLS_SUITE}, NULL));
	MUST(weft_tls_config_make(&fresh, &(weft_tls_opts){.ca = TLS_CERT, .ciphersuites = TLS_SUITE, .no_resume = true}, NULL));
	MUST(weft_tls_config_make(&again, &(weft_tls_opts){.ca = TLS_CERT, .ciphersuites = TLS_SUITE}, NULL));
	MUST(weft_tcp_listen(&s.l, "127.0.0.1:0", NULL));
	MUST(weft_tcp_listener_addr(s.l, &at));
	MUST(weft_addr_format(&at, where, sizeof(where)));
	MUST(weft_go(serve, &s));
	bench_measure(b, "P60", TLS_FULL, handshakes, fresh);
	bench_measure(b, "P60", TLS_RESUMED, handshakes, again);
	bench_measure(b, "P60", TLS_STREAM, stream, again);
	exit(0); /* the server's tasks are in the middle of something */
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
