/* SPDX-License-Identifier: MIT
 *
 * tls.c - TLS: who is let in, who is not and what both are told; what is agreed upon.
 */
#include "../tls.h"

static const int versions[] = {WEFT_TLS_1_2, WEFT_TLS_1_3};

/* --- a connection --- */

/* Both sides speak, and know what they have agreed upon. */
static int talks(void *arg)
{
	char text[256], der[4096];
	struct ends e;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		ends_ready(&e, versions[i], 0);
		tls_talk(&e);
		T_EQ(weft_tls_version(e.c), versions[i]);
		T_EQ(weft_tls_version(e.s), versions[i]);
		T_GT(weft_tls_cipher(e.c, text, sizeof text), 0);
		T_EQ(weft_tls_server_name(e.s, text, sizeof text), 9);
		T_STR_EQ(text, "localhost");
		T_EQ(weft_tls_peer_name(e.c, text, sizeof text), 9);
		T_STR_EQ(text, "CN=server");
		T_EQ(weft_tls_peer_name(e.c, text, 9), WEFT_ENOSPC);
		T_EQ(weft_tls_peer_name(e.s, text, sizeof text), 0);
		T_GT(weft_tls_peer_cert(e.c, der, sizeof der), 100);
		T_EQ(weft_tls_peer_cert(e.c, der, 100), WEFT_ENOSPC);
		T_EQ(weft_tls_peer_cert(e.s, der, sizeof der), WEFT_ENOENT);
		T_EQ(weft_tls_alpn(e.c, text, sizeof text), 0);
		T_STR_EQ(weft_tls_why(e.c, text, sizeof text), "");
		T_EQ(weft_tls_resumed(e.c), 0);
		ends_close(&e);
	}
	return 0;
}

TEST_WORKERS(two_ends_talk)
{
	run_net(talks, NULL);
}

/* The first read and write make the handshake by themselves; before it nothing is known. */
static int first_read(void *arg)
{
	struct ends *e = arg;

	get_text(e->s, "hello");
	return 0;
}

static int by_itself(void *arg)
{
	weft_tls_config *c = client_config((weft_tls_opts){.ca = NULL}), *s = server_config(NULL, (weft_tls_opts){.ca = NULL});
	struct ends e;
	weft_task *t;
	char x[8];

	(void)arg;
	ends_make(&e, c, s, 0);
	T_EQ(weft_tls_version(e.c), WEFT_ENOTCONN);
	T_EQ(weft_tls_resumed(e.c), WEFT_ENOTCONN);
	T_EQ(weft_tls_cipher(e.c, x, sizeof x), WEFT_ENOTCONN);
	T_EQ(weft_tls_alpn(e.c, x, sizeof x), WEFT_ENOTCONN);
	T_EQ(weft_tls_server_name(e.c, x, sizeof x), WEFT_ENOTCONN);
	T_EQ(weft_tls_peer_name(e.c, x, sizeof x), WEFT_ENOTCONN);
	T_EQ(weft_tls_peer_cert(e.c, x, sizeof x), WEFT_ENOTCONN);
	T_EQ(weft_tls_key_update(e.c, false), WEFT_ENOTCONN);
	T_EQ(weft_tls_shutdown(e.c, SHUT_WR), WEFT_ENOTCONN);
	t = start(first_read, &e);
	send_text(e.c, "hello");
	T_EQ(finish(t), 0);
	T_EQ(weft_tls_handshake(e.c), 0);
	ends_close(&e);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
	return 0;
}

TEST_WORKERS(reading_and_writing_make_the_handshake)
{
	run_net(by_itself, NULL);
}

/* --- certificates --- */

static struct pem other_ca, expired, early, self_signed, cn_only, elsewhere;

static void bad_pems(void)
{
	pems_make();
	pem_make(&other_ca, NULL, (struct spec){.name = "another authority", .ca = true});
	pem_make(&expired, &the_ca, (struct spec){.name = "old", .names = "DNS:localhost", .from = -7200, .to = -3600});
	pem_make(&early, &the_ca, (struct spec){.name = "young", .names = "DNS:localhost", .from = 3600, .to = 7200});
	pem_make(&self_signed, NULL, (struct spec){.name = "itself", .names = "DNS:localhost"});
	pem_make(&cn_only, &the_ca, (struct spec){.name = "localhost"});
	pem_make(&elsewhere, &other_ca, (struct spec){.name = "elsewhere", .names = "DNS:localhost"});
}

static const struct {
	const struct pem *server;
	const char *host, *why; /* why NULL: it is all right */
} hosts[] = {
	{&the_server, "localhost", NULL},
	{&the_server, "localhost.", NULL},
	{&the_server, "LocalHost", NULL},
	{&the_server, "www.example.org", NULL},
	{&the_server, "127.0.0.1", NULL},
	{&the_server, "127.0.0.2", "IP address mismatch"},
	{&the_server, "::1", "IP address mismatch"},
	{&the_server, "example.org", "hostname mismatch"},
	{&the_server, "a.b.example.org", "hostname mismatch"},
	{&the_server, "localhost.example.com", "hostname mismatch"},
	{&cn_only, "localhost", "hostname mismatch"},
	{&expired, "localhost", "expired"},
	{&early, "localhost", "not yet valid"},
	{&self_signed, "localhost", "self-signed"},
	{&elsewhere, "localhost", "issuer"},
};

static void check_host(size_t i, int version)
{
	weft_tls_opts o = {.min_version = version, .max_version = version};
	weft_tls_config *c = client_config(o), *s = server_config(hosts[i].server, o);
	char why[WEFT_TLS_WHY], x;
	struct ends e;

	tap_note("%s, %s", hosts[i].host, hosts[i].why ? hosts[i].why : "good");
	ends_over(&e, c, s, (weft_tls_conn_opts){.host = hosts[i].host}, 0);
	shake(&e);
	weft_tls_why(e.c, why, sizeof why);
	if (hosts[i].why) {
		T_EQ(e.rc_c, WEFT_EUNTRUSTED);
		T_STR_HAS(why, hosts[i].why);
		T_EQ(e.rc_s, WEFT_ETLS); /* it is told by an alert */
		T_STR_HAS(weft_tls_why(e.s, why, sizeof why), "alert");
		T_EQ(weft_tls_handshake(e.c), WEFT_EUNTRUSTED); /* for good */
		T_EQ(weft_tls_read(e.c, &x, 1), WEFT_EUNTRUSTED);
		T_EQ(weft_tls_write(e.c, "x", 1, NULL), WEFT_EUNTRUSTED);
		T_EQ(weft_tls_read(e.s, &x, 1), WEFT_ETLS);
	} else {
		T_EQ(e.rc_c, 0);
		T_EQ(e.rc_s, 0);
		tls_talk(&e);
	}
	ends_close(&e);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
}

static int check_hosts(void *arg)
{
	(void)arg;
	bad_pems();
	for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
		for (int k = 0; k < 2; k++)
			check_host(i, versions[k]);
	}
	return 0;
}

TEST_WORKERS(certificates_and_hosts_are_checked)
{
	run_net(check_hosts, NULL);
}

static int take_any(void *arg)
{
	weft_tls_config *c = config((weft_tls_opts){.insecure = true}), *s;
	struct ends e;

	(void)arg;
	bad_pems();
	s = server_config(&self_signed, (weft_tls_opts){.ca = NULL});
	ends_over(&e, c, s, (weft_tls_conn_opts){.host = "whoever.example"}, 0);
	shake_well(&e);
	tls_talk(&e);
	ends_close(&e);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
	return 0;
}

TEST(insecure_takes_any)
{
	run_net(take_any, NULL);
}

/* The system's authorities do not know ours. */
static int by_system(void *arg)
{
	weft_tls_config *c = config((weft_tls_opts){.ca = NULL}), *s = server_config(NULL, (weft_tls_opts){.ca = NULL});
	struct ends e;

	(void)arg;
	ends_make(&e, c, s, 0);
	shake(&e);
	T_EQ(e.rc_c, WEFT_EUNTRUSTED);
	T_EQ(e.rc_s, WEFT_ETLS);
	ends_close(&e);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
	return 0;
}

TEST(by_default_the_system_says_whom_to_trust)
{
	run_net(by_system, NULL);
}

/* --- what does not fit --- */

static void misfit(weft_tls_opts co, weft_tls_opts so, const char *why_c, const char *why_s)
{
	weft_tls_config *c = client_config(co), *s = server_config(NULL, so);
	char why[WEFT_TLS_WHY];
	struct ends e;

	ends_make(&e, c, s, 0);
	shake(&e);
	T_EQ(e.rc_c, WEFT_ETLS);
	T_EQ(e.rc_s, WEFT_ETLS);
	T_STR_HAS(weft_tls_why(e.c, why, sizeof why), why_c);
	T_STR_HAS(weft_tls_why(e.s, why, sizeof why), why_s);
	ends_close(&e);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
}

static int misfits(void *arg)
{
	(void)arg;
	misfit((weft_tls_opts){.max_version = WEFT_TLS_1_2}, (weft_tls_opts){.min_version = WEFT_TLS_1_3}, "alert", "unsupported protocol");
	misfit((weft_tls_opts){.max_version = WEFT_TLS_1_2, .ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"},
	       (weft_tls_opts){.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"}, "alert", "no shared cipher");
	misfit((weft_tls_opts){.min_version = WEFT_TLS_1_3, .ciphersuites = "TLS_AES_128_GCM_SHA256"},
	       (weft_tls_opts){.ciphersuites = "TLS_AES_256_GCM_SHA384"}, "alert", "no shared cipher");
	misfit((weft_tls_opts){.alpn = "h2"}, (weft_tls_opts){.alpn = "http/1.1"}, "no application protocol", "no application protocol");
	return 0;
}

TEST_WORKERS(what_does_not_fit_is_refused_on_both_sides)
{
	run_net(misfits, NULL);
}

/* --- ALPN, SNI --- */

static void agree(const char *client, const char *server, const char *want)
{
	weft_tls_config *c = client_config((weft_tls_opts){.alpn = client}), *s = server_config(NULL, (weft_tls_opts){.alpn = server});
	char text[64];
	struct ends e;

	ends_make(&e, c, s, 0);
	shake_well(&e);
	T_EQ(weft_tls_alpn(e.c, text, sizeof text), (int)strlen(want));
	T_STR_EQ(text, want);
	T_EQ(weft_tls_alpn(e.s, text, sizeof text), (int)strlen(want));
	T_STR_EQ(text, want);
	ends_close(&e);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
}

static int agrees(void *arg)
{
	(void)arg;
	agree("h2,http/1.1", "http/1.1,h2", "http/1.1"); /* the server's choice */
	agree("http/1.1", "h2,http/1.1", "http/1.1");
	agree("h2", NULL, "");
	agree(NULL, "h2", "");
	return 0;
}

TEST(a_protocol_is_agreed_upon)
{
	run_net(agrees, NULL);
}

static int pick_by_name(void *arg)
{
	static struct pem p[3];
	static const struct {
		const char *host, *peer;
	} row[] = {{"one.test", "CN=1"}, {"two.test", "CN=2"}, {"x.three.test", "CN=3"}, {"nobody.test", "CN=1"}, {"127.0.0.1", "CN=1"}};
	weft_tls_cert certs[3];
	weft_tls_config *c = config((weft_tls_opts){.insecure = true}), *s;
	char text[64];
	struct ends e;

	(void)arg;
	pem_make(&p[0], NULL, (struct spec){.name = "1", .names = "DNS:one.test"});
	pem_make(&p[1], NULL, (struct spec){.name = "2", .names = "DNS:two.test", .rsa = true});
	pem_make(&p[2], NULL, (struct spec){.name = "3", .names = "DNS:*.three.test"});
	for (int i = 0; i < 3; i++)
		certs[i] = (weft_tls_cert){p[i].cert, p[i].key};
	s = config((weft_tls_opts){.certs = certs, .cert_count = 3});
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		ends_over(&e, c, s, (weft_tls_conn_opts){.host = row[i].host}, 0);
		shake_well(&e);
		T_GT(weft_tls_peer_name(e.c, text, sizeof text), 0);
		T_STR_EQ(text, row[i].peer);
		ends_close(&e);
	}
	weft_tls_config_free(c);
	weft_tls_config_free(s);
	return 0;
}

TEST(the_name_asked_for_picks_the_certificate)
{
	run_net(pick_by_name, NULL);
}

/* --- clients' certificates --- */

static struct pem friend, stranger;

/* rc_s: the server's end; a client of TLS 1.3 hears of it when it reads. */
static void client_shows(const struct pem *p, enum weft_tls_auth auth, int version, int rc_s, const char *name)
{
	weft_tls_cert cert = {p ? p->cert : NULL, p ? p->key : NULL};
	weft_tls_opts o = {.min_version = version, .max_version = version};
	weft_tls_config *c, *s;
	char text[64], x;
	struct ends e;

	o.certs = &cert;
	o.cert_count = p != NULL;
	c = client_config(o);
	o = (weft_tls_opts){.min_version = version, .max_version = version, .clients = auth, .ca = the_ca.cert};
	s = server_config(NULL, o);
	ends_make(&e, c, s, 0);
	shake(&e);
	T_EQ(e.rc_s, rc_s);
	if (rc_s == 0) {
		T_EQ(e.rc_c, 0);
		tls_talk(&e);
		T_EQ(weft_tls_peer_name(e.s, text, sizeof text), (int)strlen(name));
		T_STR_EQ(text, name);
	} else {
		if (version == WEFT_TLS_1_3) {
			T_EQ(e.rc_c, 0);
			e.rc_c = (int)weft_tls_read(e.c, &x, 1);
		}
		T_EQ(e.rc_c, WEFT_ETLS);
		T_STR_HAS(weft_tls_why(e.c, text, sizeof text), "alert");
	}
	ends_close(&e);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
}

static int clients_show(void *arg)
{
	(void)arg;
	bad_pems();
	pem_make(&friend, &the_ca, (struct spec){.name = "friend"});
	pem_make(&stranger, &other_ca, (struct spec){.name = "stranger"});
	for (int i = 0; i < 2; i++) {
		client_shows(NULL, WEFT_TLS_AUTH_REQUIRE, versions[i], WEFT_EUNTRUSTED, NULL);
		client_shows(NULL, WEFT_TLS_AUTH_REQUEST, versions[i], 0, "");
		client_shows(&friend, WEFT_TLS_AUTH_REQUIRE, versions[i], 0, "CN=friend");
		client_shows(&friend, WEFT_TLS_AUTH_REQUEST, versions[i], 0, "CN=friend");
		client_shows(&friend, WEFT_TLS_AUTH_NONE, versions[i], 0, "");
		client_shows(&stranger, WEFT_TLS_AUTH_REQUIRE, versions[i], WEFT_EUNTRUSTED, NULL);
		client_shows(&stranger, WEFT_TLS_AUTH_REQUEST, versions[i], WEFT_EUNTRUSTED, NULL);
	}
	return 0;
}

TEST_WORKERS(clients_are_asked_for_certificates)
{
	run_net(clients_show, NULL);
}
