/* SPDX-License-Identifier: MIT
 *
 * tls_echo.c - an echo server and its client in one program, over TLS: the client looks whom it speaks to, agrees upon a protocol, and resumes its session the second time.
 *
 * Build:  cc tls_echo.c $(pkg-config --cflags --libs weft-tls)
 */
#include <stdio.h>
#include <string.h>
#include <weft.h>
#include <weft/tls.h>

/* A certificate for localhost that signs itself, and its key: a secret that everybody knows, for an example. Others are files: .chain = "/etc/.../fullchain.pem". */
static const char certificate[] = "-----BEGIN CERTIFICATE-----\n"
				  "MIIBSDCB8KADAgECAgEBMAoGCCqGSM49BAMCMBQxEjAQBgNVBAMMCWxvY2FsaG9z\n"
				  "dDAiGA8yMDIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAUMRIwEAYDVQQD\n"
				  "DAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARPI6wa/1aY5Op0\n"
				  "0woToRpRzrHETn8Cxf5A5U3t7Q1isfG6cp1q6vczgSK9IwJwJy2v+sNJL6oDkL5Q\n"
				  "39WZHm0hoy8wLTAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwDwYDVR0TAQH/\n"
				  "BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiB2lV5qcVCD6nV3G2GRGlC1CzJB9Imq\n"
				  "T46xEIoye9kkLAIgJcZBm5BubLZE7fSUSPjKSXBeXUqdRDFYDxbinwRgSuI=\n"
				  "-----END CERTIFICATE-----\n";
static const char key[] = "-----BEGIN PRIVATE KEY-----\n"
			  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCmVxK4b1SV7G32cR\n"
			  "lBk6vEO9r3BcYtwGaPJLlQO9IomhRANCAARPI6wa/1aY5Op00woToRpRzrHETn8C\n"
			  "xf5A5U3t7Q1isfG6cp1q6vczgSK9IwJwJy2v+sNJL6oDkL5Q39WZHm0h\n"
			  "-----END PRIVATE KEY-----\n";

/* Sends back what it gets, until the client has said all. */
static int echo(void *arg)
{
	weft_tls *t = arg;
	char buf[1024];
	ssize_t n;

	while ((n = weft_tls_read(t, buf, sizeof buf)) > 0) {
		if (weft_tls_write(t, buf, (size_t)n, NULL) < 0)
			break;
	}
	weft_tls_close(t);
	return 0;
}

struct server {
	tcp_listener *l;
	weft_tls_config *cfg;
};

/* The handshake is made by a connection's own task, at its first read: nobody else waits for a slow client. */
static int serve(void *arg)
{
	struct server *s = arg;
	weft_tls *t;

	WITH_GROUP (connections, .policy = WEFT_IGNORE) { /* they are over when this is left */
		while (weft_tls_accept(s->l, &t, s->cfg) == 0) {
			if (group_go(&connections, echo, t) != 0)
				weft_tls_close(t);
		}
	}
	return 0;
}

/* Returns 0 if what came back is what was said. */
static int ask(const char *where, weft_tls_config *cfg, const char *text)
{
	char why[WEFT_TLS_WHY], name[64], protocol[16], buf[64] = "";
	size_t got = 0;
	weft_tls *t;
	ssize_t n;
	int rc;

	rc = weft_tls_dial_until(&t, where, cfg, why, weft_in(10 * SEC));
	if (rc != 0) {
		printf("client: %s: %s\n", weft_strerror(rc), why);
		return rc;
	}
	weft_tls_peer_name(t, name, sizeof name);
	weft_tls_alpn(t, protocol, sizeof protocol);
	printf("connected to %s, protocol %s, session %s\n", name, protocol, weft_tls_resumed(t) == 1 ? "resumed" : "new");
	weft_tls_write(t, text, strlen(text), NULL);
	weft_tls_shutdown(t, SHUT_WR); /* that was all; the answer may still come */
	while ((n = weft_tls_read(t, buf + got, sizeof buf - 1 - got)) > 0)
		got += (size_t)n;
	printf("echo: %s\n", buf);
	weft_tls_close(t);
	return n == 0 && strcmp(buf, text) == 0 ? 0 : -1;
}

WEFT_MAIN(argc, argv)
{
	weft_tls_cert cert = {certificate, key};
	weft_tls_config *client, *doubter;
	char why[WEFT_TLS_WHY], where[WEFT_ADDR_TEXT];
	struct server s;
	weft_addr at;
	task *t;
	int rc;

	(void)argc;
	(void)argv;
	if (weft_tls_config_make(&s.cfg, &(weft_tls_opts){.certs = &cert, .cert_count = 1, .alpn = "echo/1"}, why) != 0 ||
	    weft_tls_config_make(&client, &(weft_tls_opts){.ca = certificate, .alpn = "echo/2,echo/1"}, why) != 0 ||
	    weft_tls_config_make(&doubter, NULL, why) != 0) { /* trusts those that the system trusts */
		printf("configuration: %s\n", why);
		return 1;
	}
	if (tcp_listen(&s.l, "127.0.0.1:0", NULL) != 0 || tcp_listener_addr(s.l, &at) != 0 || go_opts(&t, serve, &s, NULL) != 0)
		return 1;
	snprintf(where, sizeof where, "localhost:%d", weft_addr_port(&at));
	rc = ask(where, client, "hello");
	if (rc == 0)
		rc = ask(where, client, "hello again");
	if (rc == 0 && ask(where, doubter, "are you real?") != WEFT_EUNTRUSTED)
		rc = 1;
	tcp_listener_close(s.l); /* accepts no more */
	task_join(t, NULL);
	weft_tls_config_free(doubter);
	weft_tls_config_free(client);
	weft_tls_config_free(s.cfg);
	return rc != 0;
}
