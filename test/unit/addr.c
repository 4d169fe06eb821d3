/* SPDX-License-Identifier: MIT
 *
 * addr.c - socket addresses to and from text: every form that is read, every error, and that what is written is read back.
 */
#include "tap.h"

#include "base/compiler.h"
#include "io/addr.h"
#include "weft/error.h"
#include "weft/net.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parses; fails the test if that does not give `want`. */
static weft_addr parsed(const char *text, int want)
{
	weft_addr a;
	int rc;

	memset(&a, 0xa5, sizeof a);
	rc = weft_addr_parse(&a, text);
	if (rc != want)
		T_FAIL("\"%s\": %d, not %d", text, rc, want);
	return a;
}

static const char *formatted(const weft_addr *a)
{
	static char buf[WEFT_ADDR_TEXT];
	int n = weft_addr_format(a, buf, sizeof buf);

	T_EQ(n, (int)strlen(buf));
	return buf;
}

/* The same address in either family is equal; whatever else differs is not; what is no part of an address does not count. */
TEST(equal)
{
	static const char *const texts[] = {"192.0.2.1:80",     "192.0.2.1:81", "192.0.2.2:80",   "[2001:db8::1]:80",
					    "[2001:db8::1]:81", "[::1]:80",     "[fe80::1%1]:80", "[fe80::1%2]:80"};
	weft_addr a, b, none;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
			a = parsed(texts[i], 0);
			b = parsed(texts[k], 0);
			if (b.sa.sa_family == AF_INET6)
				b.v6.sin6_flowinfo = 7;
			else
				memset(b.v4.sin_zero, 7, sizeof b.v4.sin_zero);
			T_EQ(weft_addr_equal(&a, &b), i == k);
		}
	}
	a = parsed("192.0.2.1:80", 0);
	b = parsed("[::ffff:192.0.2.1]:80", 0);
	T_OK(weft_addr_equal(&a, &b) && weft_addr_equal(&b, &a));
	b = parsed("[::ffff:192.0.2.1]:81", 0);
	T_OK(!weft_addr_equal(&a, &b));
	memset(&none, 0, sizeof none);
	T_OK(!weft_addr_equal(&none, &none) && !weft_addr_equal(&a, &none));
}

/* What is read is written in the one form there is for it, and that is read as the same address. */
TEST(forms)
{
	static const struct {
		const char *text, *written;
		int family, port;
	} forms[] = {
		{"192.0.2.1:80", "192.0.2.1:80", AF_INET, 80},
		{"0.0.0.0:0", "0.0.0.0:0", AF_INET, 0},
		{"255.255.255.255:65535", "255.255.255.255:65535", AF_INET, 65535},
		{"127.0.0.1:00080", "127.0.0.1:80", AF_INET, 80},
		{"localhost:7000", "127.0.0.1:7000", AF_INET, 7000},
		{":80", "[::]:80", AF_INET6, 80},
		{":0", "[::]:0", AF_INET6, 0},
		{"[::]:1", "[::]:1", AF_INET6, 1},
		{"[::1]:443", "[::1]:443", AF_INET6, 443},
		{"[2001:db8::1]:80", "[2001:db8::1]:80", AF_INET6, 80},
		{"[2001:DB8:0:0:0:0:0:1]:80", "[2001:db8::1]:80", AF_INET6, 80},
		{"[1:2:3:4:5:6:7:8]:9", "[1:2:3:4:5:6:7:8]:9", AF_INET6, 9},
		{"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", AF_INET6,
		 65535},
		{"[::ffff:192.0.2.1]:80", "192.0.2.1:80", AF_INET6, 80},
		{"[::192.0.2.1]:80", "[::192.0.2.1]:80", AF_INET6, 80},
	};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		weft_addr a = parsed(forms[i].text, 0), b;

		T_EQ(a.sa.sa_family, forms[i].family);
		T_EQ(weft_addr_port(&a), forms[i].port);
		T_STR_EQ(formatted(&a), forms[i].written);
		b = parsed(forms[i].written, 0);
		T_STR_EQ(formatted(&b), forms[i].written);
	}
}

/* The words of the result that the system looks at. */
TEST(bytes)
{
	weft_addr a = parsed("192.0.2.1:258", 0);

	T_EQ(ntohl(a.v4.sin_addr.s_addr), 0xc0000201);
	T_EQ(a.v4.sin_port, htons(258));
	T_EQ(weft__addr_len(&a), sizeof(struct sockaddr_in));
	a = parsed("localhost:1", 0);
	T_EQ(ntohl(a.v4.sin_addr.s_addr), INADDR_LOOPBACK);
	a = parsed("[::1]:258", 0);
	T_OK(IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr));
	T_EQ(a.v6.sin6_port, htons(258));
	T_EQ(a.v6.sin6_scope_id, 0);
	T_EQ(a.v6.sin6_flowinfo, 0);
	T_EQ(weft__addr_len(&a), sizeof(struct sockaddr_in6));
	a = parsed(":1", 0);
	T_OK(IN6_IS_ADDR_UNSPECIFIED(&a.v6.sin6_addr));
}

/* A zone is an interface's name or number, and nothing else. */
TEST(zones)
{
	unsigned lo = if_nametoindex("lo");
	weft_addr a;

	if (lo) {
		a = parsed("[fe80::1%lo]:80", 0);
		T_EQ(a.v6.sin6_scope_id, lo);
		T_STR_EQ(formatted(&a), "[fe80::1%lo]:80");
	}
	a = parsed("[fe80::1%123456]:80", 0);
	T_EQ(a.v6.sin6_scope_id, 123456);
	T_STR_EQ(formatted(&a), "[fe80::1%123456]:80");
	a = parsed("[fe80::1%4294967295]:80", 0);
	T_EQ(a.v6.sin6_scope_id, 4294967295u);
	T_STR_EQ(formatted(&a), "[fe80::1%4294967295]:80");

	parsed("[fe80::1%]:80", WEFT_EINVAL);
	parsed("[fe80::1%0]:80", WEFT_EINVAL);
	parsed("[fe80::1%nosuchif]:80", WEFT_EINVAL);
	parsed("[fe80::1%1x]:80", WEFT_EINVAL);
	parsed("[fe80::1%-1]:80", WEFT_EINVAL);
	parsed("[fe80::1%+1]:80", WEFT_EINVAL);
	parsed("[fe80::1% 1]:80", WEFT_EINVAL);
	parsed("[fe80::1%4294967296]:80", WEFT_EINVAL);
	parsed("[fe80::1%18446744073709551617]:80", WEFT_EINVAL);
	parsed("[%1]:80", WEFT_EINVAL);
	parsed("127.0.0.1%1:80", WEFT_EAI_NONAME);
}

/* What is not an address with a port is refused. */
TEST(not_of_that_form)
{
	static const char *const bad[] = {
		"",
		":",
		"::",
		"80",
		"127.0.0.1",
		"localhost",
		"127.0.0.1:",
		"localhost:", /* no port */
		"127.0.0.1:65536",
		"127.0.0.1:99999",
		"127.0.0.1:100000",
		"127.0.0.1:000080", /* too great, too long */
		"127.0.0.1:-1",
		"127.0.0.1:+80",
		"127.0.0.1: 80",
		"127.0.0.1:80 ",
		"127.0.0.1:0x50",
		":http", /* not decimal */
		"127.0.0.1:8a",
		"127.0.0.1:80:",
		":80:",
		"127.0.0.1:18446744073709551696", /* 80 more than 2^64 */
		"::1:80",
		"2001:db8::1:80",
		"1:2:3:4:5:6:7:8:80",
		"1.2.3.4:5:6", /* IPv6 without brackets */
		"[::1]",
		"[::1",
		"[::1:80",
		"::1]:80",
		"[::1]80",
		"[::1]x:80",
		"x[::1]:80",
		"[[::1]]:80", /* brackets */
		"[]:80",
		"[:]:80",
		"[:::]:80",
		"[1]:80",
		"[::g]:80",
		"[1:2:3:4:5:6:7]:80",
		"[::1 ]:80",
		"[x]:80", /* no IPv6 address in them */
		"[127.0.0.1]:80",
		"[localhost]:80",
		"[::1]:",
		"[::1]:65536",
		"[1:2:3:4:5:6:7:8:9]:80",
		"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:80", /* overlong */
	};
	char long_port[300];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		parsed(bad[i], WEFT_EINVAL);
	parsed(NULL, WEFT_EINVAL);
	memset(long_port, '0', sizeof long_port - 1);
	memcpy(long_port, "127.0.0.1:", 10);
	long_port[sizeof long_port - 1] = '\0';
	parsed(long_port, WEFT_EINVAL);
}

/* A name other than localhost is a name, however long and odd, and there is nobody to ask. */
TEST(names)
{
	static const char *const names[] = {
		"example.com:80", "localhosts:80", "localhost.:80", "local:80", "1.2.3:80",      "1.2.3.4.5:80",
		"256.1.1.1:80",   "1.2.3.04x:80",  "0x7f000001:80", "a:80",     " 127.0.0.1:80", "a b:80",
	};
	char name[300];

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		parsed(names[i], WEFT_EAI_NONAME);
	for (size_t n = 1; n < sizeof name - 4; n++) { /* of every length */
		memset(name, 'a', n);
		memcpy(name + n, ":80", 4);
		parsed(name, WEFT_EAI_NONAME);
	}
}

/* A buffer that is too small is left alone beyond its end, and one that just fits is filled. */
TEST(no_room)
{
	static const char *const texts[] = {"1.2.3.4:5", "255.255.255.255:65535", "[::]:0",
					    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		weft_addr a = parsed(texts[i], 0);
		size_t len = strlen(texts[i]);

		T_LT(len, WEFT_ADDR_TEXT);
		for (size_t n = 0; n <= len + 1; n++) {
			char *buf = malloc(n + 8);
			int rc;

			memset(buf, 0x5a, n + 8);
			rc = weft_addr_format(&a, buf, n);
			T_EQ(rc, n > len ? (int)len : WEFT_ENOSPC);
			for (size_t k = n; k < n + 8; k++)
				T_EQ(buf[k], 0x5a);
			if (n > len)
				T_STR_EQ(buf, texts[i]);
			free(buf);
		}
		T_EQ(weft_addr_format(&a, NULL, 0), WEFT_ENOSPC);
	}
}

/* Of another family there is nothing to say. */
TEST(other_families)
{
	char buf[WEFT_ADDR_TEXT];
	weft_addr a;

	memset(&a, 0, sizeof a);
	a.sa.sa_family = AF_UNIX;
	T_EQ(weft_addr_format(&a, buf, sizeof buf), WEFT_EINVAL);
	T_EQ(weft_addr_port(&a), 0);
	a.sa.sa_family = AF_UNSPEC;
	T_EQ(weft_addr_format(&a, buf, sizeof buf), WEFT_EINVAL);
	T_EQ(weft_addr_port(&a), 0);
}

/* What is known of a host, as text: "A B", or the code. */
static const char *known(const char *host, int family, bool any)
{
	static char buf[3 * WEFT_ADDR_TEXT];
	weft_addr a[2];
	int n = weft__addr_known(a, host, family, any);

	if (n <= 0) {
		snprintf(buf, sizeof buf, "%d", n);
		return buf;
	}
	T_LE(n, 2);
	strcpy(buf, formatted(&a[0]));
	if (n == 2) {
		strcat(buf, " ");
		strcat(buf, formatted(&a[1]));
	}
	return buf;
}

/* Addresses, localhost and no host at all: nobody has to be asked for them. */
TEST(known_hosts)
{
	static const char *const own[] = {"localhost", "LocalHost", "localhost.", "a.localhost", "a.b.LOCALHOST.", "", NULL};

	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		T_STR_EQ(known(own[i], AF_UNSPEC, false), "127.0.0.1:0 [::1]:0");
		T_STR_EQ(known(own[i], AF_INET, false), "127.0.0.1:0");
		T_STR_EQ(known(own[i], AF_INET6, false), "[::1]:0");
	}
	T_STR_EQ(known("", AF_UNSPEC, true), "[::]:0 0.0.0.0:0");
	T_STR_EQ(known(NULL, AF_INET, true), "0.0.0.0:0");
	T_STR_EQ(known("", AF_INET6, true), "[::]:0");
	T_STR_EQ(known("localhost", AF_INET, true), "127.0.0.1:0");
	T_STR_EQ(known("192.0.2.1", AF_UNSPEC, false), "192.0.2.1:0");
	T_STR_EQ(known("192.0.2.1", AF_INET, true), "192.0.2.1:0");
	T_STR_EQ(known("2001:db8::1", AF_UNSPEC, false), "[2001:db8::1]:0");
	T_STR_EQ(known("2001:db8::1", AF_INET6, true), "[2001:db8::1]:0");
	T_STR_EQ(known("fe80::1%123456", AF_UNSPEC, false), "[fe80::1%123456]:0");
	T_EQ(weft__addr_known(&(weft_addr){.sa.sa_family = 0}, "192.0.2.1", AF_INET6, false), WEFT_EAI_NODATA);
	T_EQ(weft__addr_known(&(weft_addr){.sa.sa_family = 0}, "::1", AF_INET, false), WEFT_EAI_NODATA);
}

/* What could be asked for, and what nobody could have: too long, empty labels, numbers that are no address, odd bytes, and what does not exist by decree. */
TEST(known_names)
{
	static const char *const names[] = {
		"a",
		"example.com",
		"example.com.",
		"localhosts",
		"notlocalhost",
		"localhost.example.com",
		"xn--bcher-kva.example",
		"b\303\274cher.example",
		"_srv.example",
		"1.2.3.4.example",
		"a1",
		"1a",
		"0x",
		"invalid.com",
		"-a",
	};
	static const char *const none[] = {
		".",
		"..",
		"a..b",
		".a",
		"a..",
		"1",
		"127.1",
		"1.2.3",
		"1.2.3.4.5",
		"256.1.1.1",
		"1.2.3.04x.5",
		"0x7f000001",
		"0x7f.1",
		"1.2.3.4.",
		"a.1",
		"a.0xF",
		"a b",
		" a",
		"a\t",
		"a\n",
		"a%b",
		"a/b",
		"a\\b",
		"[a]",
		"a]",
		"a\177",
		"invalid",
		"a.invalid",
		"A.INVALID.",
		"::1%",
		"fe80::1%nosuchif",
		"[::1]",
		":",
		"1:2",
	};
	char text[300], label[80];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		tap_note("%s", names[i]);
		T_EQ(weft__addr_known(&(weft_addr){.sa.sa_family = 0}, names[i], AF_UNSPEC, false), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		tap_note("%s", none[i]);
		T_STR_EQ(known(none[i], AF_UNSPEC, false), "-3008");
	}
	for (size_t n = 1; n < sizeof label; n++) {
		memset(label, 'a', n);
		label[n] = '\0';
		T_STR_EQ(known(label, AF_UNSPEC, false), n <= 63 ? "0" : "-3008");
	}
	for (size_t n = 1; n < sizeof text; n++) {
		for (size_t i = 0; i < n; i++)
			text[i] = i % 2 && i != n - 1 ? '.' : 'a';
		text[n] = '\0';
		if (n % 2)
			T_STR_EQ(known(text, AF_UNSPEC, false), n <= 253 ? "0" : "-3008");
	}
}

/* Where a text is cut in two. */
TEST(split)
{
	static const struct {
		const char *text, *host, *port;
		bool brackets;
	} good[] = {
		{"a:80", "a", "80", false},         {":80", "", "80", false}, {"[::1]:80", "::1", "80", true},
		{"a.b:http", "a.b", "http", false}, {"a:", "a", "", false},   {"[x]:80", "x", "80", true},
	};
	static const char *const bad[] = {"", "a", "::1:80", "[::1", "[::1]", "a:b:c", "[a:80", "a]:80"};
	char text[400];
	struct addr_text t;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		T_EQ(weft__addr_split(&t, good[i].text), 0);
		T_STR_EQ(t.host, good[i].host);
		T_STR_EQ(t.port, good[i].port);
		T_EQ(t.brackets, good[i].brackets);
		T_OK(!t.too_long);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		T_EQ(weft__addr_split(&t, bad[i]), WEFT_EINVAL);
	T_EQ(weft__addr_split(&t, NULL), WEFT_EINVAL);
	memset(text, 'a', sizeof text);
	memcpy(text + 300, ":80", 4);
	T_EQ(weft__addr_split(&t, text), 0);
	T_OK(t.too_long);
	text[0] = '[';
	text[299] = ']';
	T_EQ(weft__addr_split(&t, text), WEFT_EINVAL);
}
