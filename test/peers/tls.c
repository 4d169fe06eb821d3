/* SPDX-License-Identifier: MIT
 *
 * tls.c - TLS with others: openssl s_client asks our server, our client asks openssl s_server, curl fetches a page; and each refuses whom it does not trust.
 */
#include "../peer.h"
#include "../tls.h"

enum { PAGE = 100000 };

struct site {
	char dir[64], ca[128], cert[128], key[128], at[WEFT_ADDR_TEXT], by_name[64];
	weft_tcp_listener *l;
	weft_tls_config *cfg;
	weft_task *task;
	ATOMIC(size_t) served; /* counted last: what follows is read then */
	size_t resumed;
	char alpn[32];
};

static void put(char *path, size_t n, const char *dir, const char *name, const char *text)
{
	FILE *f;

	snprintf(path, n, "%s/%s", dir, name);
	f = fopen(path, "we");
	T_OK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* A page in a few lines: reads up to the empty line, and answers. */
static void answer(weft_tls *t)
{
	static char page[PAGE];
	char buf[2048], head[128];
	size_t have = 0;
	ssize_t n;

	memset(page, 'p', sizeof page);
	do {
		n = weft_tls_read(t, buf + have, sizeof buf - 1 - have);
		if (n <= 0)
			return;
		have += (size_t)n;
		buf[have] = '\0';
	} while (!strstr(buf, "\r\n\r\n"));
	n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", PAGE);
	T_EQ(weft_tls_writev(t, (struct iovec[]){{head, (size_t)n}, {page, PAGE}}, 2, NULL), n + PAGE);
	T_EQ(weft_tls_shutdown(t, SHUT_WR), 0);
	while (weft_tls_read(t, buf, sizeof buf) > 0)
		;
}

static int serve(void *arg)
{
	struct site *s = arg;
	weft_tls *t;

	while (weft_tls_accept(s->l, &t, s->cfg) == 0) {
		if (weft_tls_handshake(t) == 0) {
			s->resumed += weft_tls_resumed(t) == 1;
			weft_tls_alpn(t, s->alpn, sizeof s->alpn);
			add_acq_rel(&s->served, 1);
			answer(t);
		}
		T_EQ(weft_tls_close(t), 0);
	}
	return 0;
}

static void site_make(struct site *s)
{
	memset((void *)s, 0, sizeof *s);
	pems_make();
	peer_dir(s->dir);
	put(s->ca, sizeof s->ca, s->dir, "ca.pem", the_ca.cert);
	put(s->cert, sizeof s->cert, s->dir, "cert.pem", the_server.cert);
	put(s->key, sizeof s->key, s->dir, "key.pem", the_server.key);
	s->l = listen_at("127.0.0.1:0", s->at);
	snprintf(s->by_name, sizeof s->by_name, "localhost:%d", port_of(s->l));
}

static void site_serve(struct site *s, weft_tls_opts o)
{
	s->cfg = server_config(NULL, o);
	s->task = start(serve, s);
}

static void site_end(struct site *s)
{
	T_EQ(weft_tcp_listener_close(s->l), 0);
	if (s->task)
		T_EQ(finish(s->task), 0);
	weft_tls_config_free(s->cfg);
	peer_dir_end(s->dir);
}

/* --- curl --- */

static int curls(void *arg)
{
	static char out[2 * PAGE];
	char url[128];
	struct peer p;
	struct site s;

	(void)arg;
	peer_need("curl");
	site_make(&s);
	site_serve(&s, (weft_tls_opts){.alpn = "h2c-not,http/1.1"});
	snprintf(url, sizeof url, "https://127.0.0.1:%d/", port_of(s.l));
	peer_start(&p, PEER_OUT, peer_need("curl"), "-sS", "--noproxy", "*", "--cacert", s.ca, url, url, NULL);
	T_EQ(peer_read(&p, out, sizeof out), 2 * PAGE);
	T_EQ(out[PAGE], 'p');
	T_EQ(peer_end(&p), 0);
	T_EQ(load_acquire(&s.served), 2);
	T_STR_EQ(s.alpn, "http/1.1");
	peer_start(&p, PEER_ERR, peer_need("curl"), "-sS", "--noproxy", "*", url, NULL);
	peer_until_says(&p, "certificate");
	T_EQ(peer_end(&p), 60); /* it does not trust us */
	T_EQ(load_acquire(&s.served), 2);
	site_end(&s);
	return 0;
}

TEST_WORKERS(curl_fetches_pages)
{
	run_net(curls, NULL);
}

/* --- openssl s_client --- */

static void ask_with(struct site *s, const char *version)
{
	static const char request[] = "GET / HTTP/1.1\r\n\r\n";
	static char out[2 * PAGE];
	char sess[128];
	struct peer p;

	snprintf(sess, sizeof sess, "%s/session%s", s->dir, version);
	for (int i = 0; i < 2; i++) {
		peer_start(&p, PEER_IN | PEER_OUT, peer_need("openssl"), "s_client", "-connect", s->at, "-servername", "localhost",
			   "-verify_hostname", "localhost", "-CAfile", s->ca, "-verify_return_error", "-quiet", version,
			   i ? "-sess_in" : "-sess_out", sess, NULL);
		T_OK(peer_write(&p, request, strlen(request)));
		T_GT(peer_read(&p, out, sizeof out), PAGE);
		T_STR_HAS(out, "200 OK");
		T_EQ(peer_end(&p), 0);
	}
}

static int s_clients(void *arg)
{
	struct site s;

	(void)arg;
	peer_need("openssl");
	site_make(&s);
	site_serve(&s, (weft_tls_opts){.ca = NULL});
	ask_with(&s, "-tls1_2");
	T_EQ(load_acquire(&s.served), 2);
	T_EQ(s.resumed, 1);
	ask_with(&s, "-tls1_3");
	T_EQ(load_acquire(&s.served), 4);
	T_EQ(s.resumed, 2);
	site_end(&s);
	return 0;
}

TEST_WORKERS(s_client_asks_and_resumes)
{
	run_net(s_clients, NULL);
}

/* --- openssl s_server --- */

/* Another program may have this port at another address, which peer_until_listens takes for the peer's. */
static weft_tcp *dial_when_up(struct peer *p, const char *at)
{
	weft_tcp *c;
	int rc;

	while ((rc = weft_tcp_dial(&c, at)) == WEFT_ECONNREFUSED) {
		T_OK(peer_lives(p));
		let_run();
	}
	T_EQ(rc, 0);
	return c;
}

/* It answers what it gets with the line reversed. */
static void ask_server(struct site *s, const char *version, bool client_cert)
{
	weft_tls_cert mine = {the_server.cert, the_server.key};
	weft_tls_config *c = client_config((weft_tls_opts){.certs = &mine, .cert_count = 1}), *none = config((weft_tls_opts){.ca = NULL});
	char why[WEFT_TLS_WHY], at[WEFT_ADDR_TEXT];
	int port = peer_port(own_host(), SOCK_STREAM);
	struct peer p;
	weft_tls *t;
	char x;

	snprintf(at, sizeof at, "%s:%d", own_host(), port);
	peer_start(&p, 0, peer_need("openssl"), "s_server", "-accept", at, "-cert", s->cert, "-key", s->key, "-rev", "-quiet", version,
		   "-CAfile", s->ca, client_cert ? "-Verify" : "-naccept", client_cert ? "3" : "4", NULL);
	peer_until_listens(&p, port);
	for (int i = 0; i < 2; i++) {
		weft_tcp *tcp = dial_when_up(&p, at);

		T_EQ(weft_tls_client(&t, weft_tcp_io(tcp), c, &(weft_tls_conn_opts){.host = "localhost"}), 0);
		if (weft_tls_handshake(t))
			T_FAIL("handshake: %s", weft_tls_why(t, why, sizeof why));
		send_text(t, "stressed\n");
		get_text(t, "desserts\n");
		if (i == 0)
			T_EQ(weft_tls_resumed(t), 0);
		T_EQ(weft_tls_shutdown(t, SHUT_WR), 0);
		while (weft_tls_read(t, &x, 1) > 0)
			;
		T_EQ(weft_tls_close(t), 0);
	}
	T_EQ(weft_tls_dial(&t, at, none, why), WEFT_EUNTRUSTED);
	T_EQ(weft_tls_dial(&t, at, c, why), WEFT_EUNTRUSTED); /* own_host is not in its certificate */
	peer_signal(&p, SIGTERM);
	(void)peer_end(&p); /* it has an end of its own after four */
	weft_tls_config_free(c);
	weft_tls_config_free(none);
}

static int s_servers(void *arg)
{
	struct site s;

	(void)arg;
	peer_need("openssl");
	site_make(&s);
	ask_server(&s, "-tls1_2", false);
	ask_server(&s, "-tls1_3", false);
	ask_server(&s, "-tls1_2", true);
	ask_server(&s, "-tls1_3", true);
	site_end(&s);
	return 0;
}

TEST_WORKERS(s_server_is_asked)
{
	run_net(s_servers, NULL);
}
