/* SPDX-License-Identifier: MIT
 *
 * tls_config.c - TLS: sessions that go on, configurations that make no sense, certificates from files, dial and accept.
 */
#include "../tls.h"

static const int versions[] = {WEFT_TLS_1_2, WEFT_TLS_1_3};

/* --- resumption --- */

static int meet_as(weft_tls_config *c, weft_tls_config *s, const char *host, const char *session)
{
	struct ends e;
	int rc;

	ends_over(&e, c, s, (weft_tls_conn_opts){.host = host, .session = session}, 0);
	shake_well(&e);
	tls_talk(&e); /* with TLS 1.3 tickets come after the handshake */
	rc = weft_tls_resumed(e.c);
	T_EQ(weft_tls_resumed(e.s), rc);
	ends_close(&e);
	return rc;
}

static int meet(weft_tls_config *c, weft_tls_config *s, const char *host)
{
	return meet_as(c, s, host, NULL);
}

static int resumes(void *arg)
{
	weft_tls_config *c, *s, *s2;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		weft_tls_opts o = {.min_version = versions[i], .max_version = versions[i]};

		c = client_config(o);
		s = server_config(NULL, o);
		s2 = server_config(NULL, o);
		T_EQ(meet(c, s, "localhost"), 0);
		T_EQ(meet(c, s, "localhost"), 1);
		T_EQ(meet(c, s, "localhost"), 1);
		T_EQ(meet(c, s, "www.example.org"), 0); /* sessions are a host's */
		T_EQ(meet(c, s2, "localhost"), 0);      /* another server knows nothing of it: a full handshake */
		T_EQ(meet(c, s2, "localhost"), 1);
		weft_tls_config_free(c);
		weft_tls_config_free(s2);

		o.no_resume = true;
		c = client_config(o);
		T_EQ(meet(c, s, "localhost"), 0);
		T_EQ(meet(c, s, "localhost"), 0);
		weft_tls_config_free(c);
		weft_tls_config_free(s);

		s = server_config(NULL, o);
		o.no_resume = false;
		c = client_config(o);
		T_EQ(meet(c, s, "localhost"), 0);
		T_EQ(meet(c, s, "localhost"), 0);
		weft_tls_config_free(c);
		weft_tls_config_free(s);
	}
	return 0;
}

TEST_WORKERS(sessions_are_resumed)
{
	run_net(resumes, NULL);
}

/* A host is looked at before a session with it counts, whatever the caller calls the session. */
static int keeps_apart(void *arg)
{
	weft_tls_config *c = client_config((weft_tls_opts){.ca = NULL}), *s = server_config(NULL, (weft_tls_opts){.ca = NULL});
	struct ends e;

	(void)arg;
	T_OK(weft_tls_config_ref(c) == c);
	weft_tls_config_free(c); /* the other reference has it */
	T_EQ(meet_as(c, s, "localhost", "one"), 0);
	T_EQ(meet_as(c, s, "localhost", "two"), 0);
	T_EQ(meet_as(c, s, "localhost", "one"), 1);
	T_EQ(meet_as(c, s, "localhost", NULL), 0);
	ends_over(&e, c, s, (weft_tls_conn_opts){.host = "elsewhere.test", .session = "one"}, 0);
	shake(&e);
	T_EQ(e.rc_c, WEFT_EUNTRUSTED);
	ends_close(&e);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
	return 0;
}

TEST(sessions_are_kept_apart)
{
	run_net(keeps_apart, NULL);
}

/* More hosts than are kept: the oldest goes. */
static int many_hosts(void *arg)
{
	weft_tls_config *c = client_config((weft_tls_opts){.ca = NULL}), *s = server_config(NULL, (weft_tls_opts){.ca = NULL});
	char host[32];

	(void)arg;
	for (int i = 0; i < 70; i++) {
		snprintf(host, sizeof host, "h%d.example.org", i);
		T_EQ(meet(c, s, host), 0);
	}
	T_EQ(meet(c, s, "h69.example.org"), 1);
	T_EQ(meet(c, s, "h6.example.org"), 1);
	T_EQ(meet(c, s, "h0.example.org"), 0);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
	return 0;
}

TEST(sessions_of_the_last_hosts_are_kept)
{
	run_net(many_hosts, NULL);
}

/* --- configurations --- */

static void refused(weft_tls_opts o, int want, const char *text)
{
	char why[WEFT_TLS_WHY] = "";
	weft_tls_config *cfg = (void *)1;

	tap_note("%s", text);
	T_EQ(weft_tls_config_make(&cfg, &o, why), want);
	T_EQ(cfg, NULL);
	T_STR_HAS(why, text);
}

static void refused_cert(weft_tls_cert c, int want, const char *text)
{
	refused((weft_tls_opts){.certs = &c, .cert_count = 1}, want, text);
}

TEST(configurations_that_make_no_sense_are_refused)
{
	static struct pem p;
	char bad[4096];
	weft_tls_config *cfg;

	pems_make();
	pem_make(&p, NULL, (struct spec){.name = "p"});
	refused_cert((weft_tls_cert){NULL, p.key}, WEFT_EINVAL, "without chain");
	refused_cert((weft_tls_cert){p.cert, the_ca.key}, WEFT_EINVAL, "mismatch");
	refused_cert((weft_tls_cert){p.key, p.key}, WEFT_EINVAL, "no certificate");
	refused_cert((weft_tls_cert){p.cert, p.cert}, WEFT_EINVAL, "private key");
	refused_cert((weft_tls_cert){"/nowhere/cert.pem", p.key}, WEFT_ENOENT, "/nowhere/cert.pem");
	refused_cert((weft_tls_cert){p.cert, "/nowhere/key.pem"}, WEFT_ENOENT, "/nowhere/key.pem");
	refused_cert((weft_tls_cert){"/dev/null", p.key}, WEFT_EINVAL, "no certificate");
	snprintf(bad, sizeof bad, "%s", p.cert);
	bad[100] = '!';
	refused_cert((weft_tls_cert){bad, p.key}, WEFT_EINVAL, "certificate");
	refused((weft_tls_opts){.cert_count = 1}, WEFT_EINVAL, "cert_count");
	refused((weft_tls_opts){.cert_count = -1}, WEFT_EINVAL, "cert_count");
	refused((weft_tls_opts){.ca = "/nowhere"}, WEFT_ENOENT, "/nowhere");
	refused((weft_tls_opts){.ca = p.key}, WEFT_EINVAL, "no authority");
	refused((weft_tls_opts){.min_version = 0x0302}, WEFT_EINVAL, "versions");
	refused((weft_tls_opts){.min_version = WEFT_TLS_1_3, .max_version = WEFT_TLS_1_2}, WEFT_EINVAL, "versions");
	refused((weft_tls_opts){.ciphers = "nonsense"}, WEFT_EINVAL, "ciphers");
	refused((weft_tls_opts){.ciphersuites = "nonsense"}, WEFT_EINVAL, "ciphersuites");
	refused((weft_tls_opts){.alpn = ""}, WEFT_EINVAL, "ALPN");
	refused((weft_tls_opts){.alpn = "h2,"}, WEFT_EINVAL, "ALPN");
	refused((weft_tls_opts){.clients = (enum weft_tls_auth)7}, WEFT_EINVAL, "clients");
	refused((weft_tls_opts){.keylog = "/nowhere/keys"}, WEFT_ENOENT, "/nowhere/keys");
	T_EQ(weft_tls_config_make(&cfg, &(weft_tls_opts){.ca = "/nowhere"}, NULL), WEFT_ENOENT);
	weft_tls_config_free(NULL);
	T_STR_EQ(weft_strerror(WEFT_EUNTRUSTED), "the peer's certificate is not trusted");
}

TEST(ends_that_make_no_sense_are_refused)
{
	static const char *const no_host[] = {"",           ".",    "a b", ".example.org", "[::1]", "localhost:443", "https://localhost",
					      "localhost/", "::1::"};
	weft_tls_config *c = client_config((weft_tls_opts){.ca = NULL});
	struct mem_end end = {.closed = false};
	weft_io io = {&mem_ops, &end};
	weft_tls *t;

	T_EQ(weft_tls_client(&t, io, c, NULL), WEFT_EINVAL);
	T_EQ(weft_tls_client(&t, io, c, &(weft_tls_conn_opts){.host = ""}), WEFT_EINVAL);
	for (size_t i = 0; i < sizeof no_host / sizeof no_host[0]; i++)
		T_EQ(weft_tls_client(&t, io, c, &(weft_tls_conn_opts){.host = no_host[i]}), WEFT_EINVAL);
	T_EQ(weft_tls_server(&t, io, c, NULL), WEFT_EINVAL);
	T_EQ(weft_tls_client(&t, (weft_io){NULL, NULL}, c, &(weft_tls_conn_opts){.host = "a"}), WEFT_EINVAL);
	T_EQ(weft_tls_client(&t, io, NULL, &(weft_tls_conn_opts){.host = "a"}), WEFT_EINVAL);
	T_EQ(t, NULL);
	T_EQ(weft_tls_client(&t, io, c, &(weft_tls_conn_opts){.host = "::1", .keep_under = true}), 0);
	T_EQ(weft_tls_close(t), 0);
	weft_tls_config_free(c);
}

/* Files instead of text; and a file that gets the secrets. */
static void put(const char *dir, const char *name, const char *text, char *path)
{
	FILE *f;

	snprintf(path, 256, "%s/%s", dir, name);
	f = fopen(path, "we");
	T_OK(f);
	T_GE(fputs(text, f), 0);
	T_EQ(fclose(f), 0);
}

static int from_files(void *arg)
{
	char dir[64], ca[256], cert[256], both[256], keys[256], text[16384];
	weft_tls_config *c, *s;
	weft_tls_cert pair;
	struct ends e;
	FILE *f;
	size_t n;

	(void)arg;
	pems_make();
	snprintf(dir, sizeof dir, "%.40s/weft-tls-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	T_OK(mkdtemp(dir));
	put(dir, "ca.pem", the_ca.cert, ca);
	put(dir, "cert.pem", the_server.cert, cert);
	snprintf(text, sizeof text, "%s%s%s", the_server.key, the_server.cert, the_ca.cert);
	put(dir, "both.pem", text, both);
	snprintf(keys, sizeof keys, "%s/keys", dir);
	pair = (weft_tls_cert){both, NULL};
	c = config((weft_tls_opts){.ca = ca, .keylog = keys});
	s = config((weft_tls_opts){.certs = &pair, .cert_count = 1});
	ends_make(&e, c, s, 0);
	shake_well(&e);
	tls_talk(&e);
	ends_close(&e);
	weft_tls_config_free(c);
	weft_tls_config_free(s);
	f = fopen(keys, "re");
	T_OK(f);
	n = fread(text, 1, sizeof text - 1, f);
	text[n] = '\0';
	fclose(f);
	T_STR_HAS(text, "CLIENT_TRAFFIC_SECRET_0 ");
	T_EQ(unlink(ca) | unlink(cert) | unlink(both) | unlink(keys) | rmdir(dir), 0);
	return 0;
}

TEST(certificates_come_from_files)
{
	run_net(from_files, NULL);
}

/* --- dial, accept --- */

struct site {
	weft_tcp_listener *l;
	weft_tls_config *cfg;
};

static int serve_some(void *arg)
{
	struct site *s = arg;
	weft_tls *t;

	while (weft_tls_accept(s->l, &t, s->cfg) == 0) {
		if (weft_tls_handshake(t) == 0)
			send_text(t, "welcome");
		T_EQ(weft_tls_close(t), 0);
	}
	return 0;
}

static int dial_it(void *arg)
{
	weft_tls_config *c = client_config((weft_tls_opts){.ca = NULL}), *none = config((weft_tls_opts){.ca = NULL});
	char at[WEFT_ADDR_TEXT], by_name[64], own[64], why[WEFT_TLS_WHY];
	struct site site = {listen_at("127.0.0.1:0", at), server_config(NULL, (weft_tls_opts){.ca = NULL})};
	weft_task *server = start(serve_some, &site);
	weft_tls *t;
	char x;

	(void)arg;
	snprintf(by_name, sizeof by_name, "localhost:%d", port_of(site.l));
	snprintf(own, sizeof own, "%s:%d", own_host(), port_of(site.l)); /* nobody listens there; on 127.0.0.1 others may soon */
	T_EQ(weft_tls_dial(&t, at, c, why), 0);
	T_STR_EQ(why, "");
	get_text(t, "welcome");
	T_EQ(weft_tls_read(t, &x, 1), 0);
	T_EQ(weft_tls_close(t), 0);
	T_EQ(weft_tls_dial(&t, by_name, c, NULL), 0);
	get_text(t, "welcome");
	T_EQ(weft_tls_close(t), 0);
	T_EQ(weft_tls_dial(&t, at, none, why), WEFT_EUNTRUSTED);
	T_EQ(t, NULL);
	T_STR_HAS(why, "certificate");
	T_EQ(weft_tls_dial_until(&t, at, c, why, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_tls_dial_until(&t, at, c, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_tls_dial(&t, "nonsense", c, NULL), WEFT_EINVAL);
	T_EQ(weft_tls_accept_until(site.l, &t, c, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_tcp_listener_close(site.l), 0);
	T_EQ(finish(server), 0);
	T_EQ(weft_tls_dial(&t, own, c, why), WEFT_ECONNREFUSED);
	T_STR_HAS(why, "refused");
	weft_tls_config_free(site.cfg);
	weft_tls_config_free(c);
	weft_tls_config_free(none);
	return 0;
}

TEST_WORKERS(dial_and_accept)
{
	run_net(dial_it, NULL);
}
