/* SPDX-License-Identifier: MIT
 *
 * dns.c - names against a real server: dnsmasq answers, dig says what it answers, and weft has to agree.
 *
 * The system's resolver asks port 53 of whom /etc/resolv.conf names: so the test is alone in a network and a file system of its own (user namespaces), where both are its to give.
 */
#include "names.h"
#include "net.h"
#include "peer.h"

#include "weft/dns.h"
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

enum { MANY = 20 };

static void put_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	T_OK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* The end of a test that cannot be made here. */
static void cannot(const char *dir, const char *what)
{
	int err = errno;

	peer_dir_end(dir);
	tap_skip("%s: %s", what, strerror(err));
}

/* Another content for a file of the system's, for this process and its children. */
static void replace_file(const char *dir, const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", dir, strrchr(file, '/') + 1);
	put_file(path, text);
	if (mount(path, file, NULL, MS_BIND, NULL))
		cannot(dir, file);
}

/* dir: a directory of the test's own. */
static void go_apart(const char *dir)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	char map[64];
	uid_t uid = getuid();
	gid_t gid = getgid();
	int fd;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET))
		cannot(dir, "no namespaces here");
	put_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof map, "0 %u 1", uid);
	put_file("/proc/self/uid_map", map);
	snprintf(map, sizeof map, "0 %u 1", gid);
	put_file("/proc/self/gid_map", map);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		cannot(dir, "no file system of its own");
	replace_file(dir, "/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:5 attempts:2\n");
	replace_file(dir, "/etc/nsswitch.conf", "hosts: files dns\nservices: files\n");
	replace_file(dir, "/etc/hosts", "127.0.0.1 localhost\n192.0.2.200 here.test\n");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	T_GE(fd, 0);
	T_EQ(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	close(fd);
}

static void dnsmasq_start(struct peer *p, const char *dir)
{
	char hosts[128], text[2048];
	int n;

	n = snprintf(text, sizeof text,
		     "192.0.2.1 two.test\n2001:db8::1 two.test\n192.0.2.4 four.test\n2001:db8::6 six.test\n127.0.0.9 dial.test\n");
	for (int i = 0; i < MANY; i++)
		n += snprintf(text + n, sizeof text - (size_t)n, "192.0.2.%d many.test\n", 100 + i);
	snprintf(hosts, sizeof hosts, "%s/served", dir);
	put_file(hosts, text);
	snprintf(text, sizeof text, "--addn-hosts=%s", hosts);
	peer_start(p, PEER_ERR, peer_need("dnsmasq"), "--no-daemon", "--conf-file=/dev/null", "--port=53", "--listen-address=127.0.0.1",
		   "--bind-interfaces", "--no-resolv", "--no-hosts", "--local=/test/", "--cname=alias.test,two.test", text, NULL);
	peer_until_says(p, "read ");
	peer_until_bound(p, 53);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Lines, sorted, as one text. */
static void sorted(char *out, size_t room, char **lines, int n)
{
	qsort(lines, (size_t)n, sizeof *lines, by_text);
	out[0] = '\0';
	for (int i = 0; i < n; i++)
		snprintf(out + strlen(out), room - strlen(out), "%s\n", lines[i]);
}

/* What dig says of a name: addresses of that type, sorted. */
static void dig(char *out, size_t room, const char *host, const char *type)
{
	char text[4096], *lines[64], *save;
	struct peer p;
	size_t len;
	int n = 0;

	peer_start(&p, PEER_OUT, peer_need("dig"), "+short", "+tries=1", "@127.0.0.1", host, type, NULL);
	len = peer_read(&p, text, sizeof text - 1);
	text[len] = '\0';
	T_EQ(peer_end(&p), 0);
	for (char *l = strtok_r(text, "\n", &save); l && n < (int)ARRAY_LEN(lines); l = strtok_r(NULL, "\n", &save)) {
		if (l[strlen(l) - 1] != '.') /* the name an alias stands for */
			lines[n++] = l;
	}
	sorted(out, room, lines, n);
}

/* The same of weft; or the code. */
static void ours(char *out, size_t room, const char *host, int family)
{
	char texts[64][INET6_ADDRSTRLEN], *lines[64];
	weft_addr *a;
	int n = weft_dns_resolve(&a, host, "80", &(weft_dns_opts){.family = family});

	if (n < 0)
		snprintf(out, room, "%d", n);
	for (int i = 0; i < n; i++) {
		T_EQ(weft_addr_port(&a[i]), 80);
		if (a[i].sa.sa_family == AF_INET)
			inet_ntop(AF_INET, &a[i].v4.sin_addr, texts[i], sizeof texts[i]);
		else
			inet_ntop(AF_INET6, &a[i].v6.sin6_addr, texts[i], sizeof texts[i]);
		lines[i] = texts[i];
	}
	if (n > 0)
		sorted(out, room, lines, n);
	weft_dns_free(n > 0 ? a : NULL);
}

static int asks_four(void *arg)
{
	weft_addr *a;
	int n = weft_dns_resolve(&a, arg, "1", NULL);

	weft_dns_free(a);
	return n;
}

static int answers_main(void *arg)
{
	static const char *const hosts[] = {"two.test", "four.test", "six.test", "many.test", "alias.test"};
	static const char *const crowd[] = {"two.test", "four.test", "many.test", "nosuch.test"};
	static const int counts[] = {2, 1, MANY, WEFT_EAI_NONAME};
	char want[4096], got[4096], name[WEFT_DNS_NAME], at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l;
	weft_task *t[200];
	weft_tcp *c, *s;
	weft_addr a;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		for (int six = 0; six < 2; six++) {
			tap_note("%s", hosts[i]);
			dig(want, sizeof want, hosts[i], six ? "AAAA" : "A");
			ours(got, sizeof got, hosts[i], six ? AF_INET6 : AF_INET);
			if (*want)
				T_STR_EQ(got, want);
			else
				T_STR_EQ(got, "-3007"); /* the name has none of these */
		}
	}
	ours(got, sizeof got, "two.test", 0);
	T_STR_EQ(got, "192.0.2.1\n2001:db8::1\n");
	ours(got, sizeof got, "here.test", 0); /* of /etc/hosts */
	T_STR_EQ(got, "192.0.2.200\n");
	ours(got, sizeof got, "nosuch.test", 0);
	T_STR_EQ(got, "-3008");
	ours(got, sizeof got, "refused.example", 0); /* the server does not know whom to ask */
	T_STR_EQ(got, "-3001");
	T_EQ(weft_addr_parse(&a, "192.0.2.4:80"), 0);
	T_EQ(weft_dns_reverse(&a, name, sizeof name), 9);
	T_STR_EQ(name, "four.test");
	T_EQ(weft_addr_parse(&a, "[2001:db8::6]:80"), 0);
	T_EQ(weft_dns_reverse(&a, name, sizeof name), 8);
	T_STR_EQ(name, "six.test");
	T_EQ(weft_addr_parse(&a, "192.0.2.250:80"), 0);
	T_OK(weft_dns_reverse(&a, name, sizeof name) < 0);

	l = listen_at("dial.test:0", at);
	T_STR_HAS(at, "127.0.0.9:");
	snprintf(at, sizeof at, "dial.test:%d", port_of(l));
	c = dial_to(at);
	s = accept_from(l);
	talk(c, s);
	T_EQ(weft_tcp_close(c), 0);
	T_EQ(weft_tcp_close(s), 0);
	T_EQ(weft_tcp_listener_close(l), 0);

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		t[i] = start(asks_four, (void *)crowd[i % ARRAY_LEN(crowd)]);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		T_EQ(finish(t[i]), counts[i % ARRAY_LEN(crowd)]);
	return 0;
}

static int nobody_main(void *arg)
{
	char got[4096];

	(void)arg;
	ours(got, sizeof got, "two.test", 0);
	T_STR_EQ(got, "-3001");
	ours(got, sizeof got, "here.test", 0);
	T_STR_EQ(got, "192.0.2.200\n");
	return 0;
}

/* All kinds of answers as dig has them; names of /etc/hosts; a listener and a dial by name; many tasks at once; and what is said when the server is gone. */
TEST_WORKERS(dnsmasq)
{
	struct peer p;
	char dir[64];

	(void)peer_need("dnsmasq");
	(void)peer_need("dig");
	tap_limit(60);
	peer_dir(dir);
	go_apart(dir);
	dnsmasq_start(&p, dir);
	run_net(answers_main, NULL);
	peer_signal(&p, SIGTERM);
	T_EQ(peer_end(&p), 0);
	run_net(nobody_main, NULL);
	peer_dir_end(dir);
}
