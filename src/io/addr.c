/* SPDX-License-Identifier: MIT
 *
 * addr.c - socket addresses: to and from text, and which names nobody needs to be asked for.
 */
#include "io/addr.h"

#include "base/compiler.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LABEL_MAX 63 /* bytes of a name between two dots */
#define NAME_MAX_BYTES 253

int weft__addr_port(const char *s)
{
	long port = 0;

	if (!*s || strlen(s) > 5)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -1;
		port = port * 10 + (*s - '0');
	}
	return port <= 65535 ? (int)port : -1;
}

int weft__addr_split(struct addr_text *out, const char *text)
{
	const char *colon = text ? strrchr(text, ':') : NULL;
	size_t n;

	if (!colon)
		return WEFT_EINVAL;
	n = (size_t)(colon - text);
	out->port = colon + 1;
	out->brackets = n >= 2 && text[0] == '[' && text[n - 1] == ']';
	if (out->brackets) {
		text++;
		n -= 2;
	}
	out->too_long = n >= sizeof out->host;
	if (out->too_long)
		n = sizeof out->host - 1;
	memcpy(out->host, text, n);
	out->host[n] = '\0';
	if (out->brackets)
		return out->too_long ? WEFT_EINVAL : 0;
	if (strchr(out->host, ':') || strchr(out->host, '[') || strchr(out->host, ']'))
		return WEFT_EINVAL; /* IPv6 without brackets */
	return 0;
}

/* An interface's name, or its number. 0: neither. */
static uint32_t parse_zone(const char *s)
{
	uint32_t id = if_nametoindex(s);
	uint64_t number = 0;

	if (id)
		return id;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return 0;
		number = number * 10 + (uint64_t)(*s - '0');
		if (number > UINT32_MAX)
			return 0;
	}
	return (uint32_t)number;
}

/* An IPv6 address with or without a zone. */
static bool parse_v6(weft_addr *out, const char *text)
{
	char host[INET6_ADDRSTRLEN];
	const char *zone = strchr(text, '%');
	size_t n = zone ? (size_t)(zone - text) : strlen(text);

	if (n >= sizeof host)
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	if (zone) {
		out->v6.sin6_scope_id = parse_zone(zone + 1);
		if (!out->v6.sin6_scope_id)
			return false;
	}
	out->v6.sin6_family = AF_INET6;
	return inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1;
}

void weft__addr_set_port(weft_addr *a, int port)
{
	if (a->sa.sa_family == AF_INET)
		a->v4.sin_port = htons((uint16_t)port);
	else
		a->v6.sin6_port = htons((uint16_t)port);
}

static void set_v4(weft_addr *a, in_addr_t host)
{
	memset(a, 0, sizeof *a);
	a->v4.sin_family = AF_INET;
	a->v4.sin_addr.s_addr = htonl(host);
}

static void set_v6(weft_addr *a, const struct in6_addr *host)
{
	memset(a, 0, sizeof *a);
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_addr = *host;
}

int weft_addr_parse(weft_addr *out, const char *text)
{
	struct addr_text t;
	int port, rc;

	memset(out, 0, sizeof *out);
	rc = weft__addr_split(&t, text);
	port = rc ? -1 : weft__addr_port(t.port);
	if (port < 0)
		return WEFT_EINVAL;
	if (t.brackets) {
		if (!parse_v6(out, t.host))
			return WEFT_EINVAL;
	} else if (!*t.host) {
		set_v6(out, &in6addr_any);
	} else if (strcmp(t.host, "localhost") == 0) {
		set_v4(out, INADDR_LOOPBACK);
	} else {
		out->v4.sin_family = AF_INET;
		if (t.too_long || inet_pton(AF_INET, t.host, &out->v4.sin_addr) != 1)
			return WEFT_EAI_NONAME;
	}
	weft__addr_set_port(out, port);
	return 0;
}

/* The 16 bytes of an address, in IPv6's form. */
static bool bytes_of(const weft_addr *a, struct in6_addr *out, uint32_t *zone)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

	*zone = 0;
	if (a->sa.sa_family == AF_INET6) {
		*out = a->v6.sin6_addr;
		*zone = a->v6.sin6_scope_id;
	} else if (a->sa.sa_family == AF_INET) {
		memcpy(out->s6_addr, mapped, sizeof mapped);
		memcpy(out->s6_addr + sizeof mapped, &a->v4.sin_addr, 4);
	} else {
		return false;
	}
	return true;
}

bool weft_addr_equal(const weft_addr *a, const weft_addr *b)
{
	struct in6_addr of_a, of_b;
	uint32_t zone_a, zone_b;

	return bytes_of(a, &of_a, &zone_a) && bytes_of(b, &of_b, &zone_b) && memcmp(&of_a, &of_b, sizeof of_a) == 0 && zone_a == zone_b &&
	       weft_addr_port(a) == weft_addr_port(b);
}

int weft_addr_format(const weft_addr *a, char *buf, size_t n)
{
	char host[INET6_ADDRSTRLEN], zone[IF_NAMESIZE + 1] = "";
	int len;

	switch (a->sa.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof host);
		len = snprintf(buf, n, "%s:%d", host, weft_addr_port(a));
		break;
	case AF_INET6:
		if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) {
			inet_ntop(AF_INET, &a->v6.sin6_addr.s6_addr[12], host, sizeof host);
			len = snprintf(buf, n, "%s:%d", host, weft_addr_port(a));
			break;
		}
		inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof host);
		if (a->v6.sin6_scope_id) {
			zone[0] = '%';
			if (!if_indextoname(a->v6.sin6_scope_id, zone + 1))
				snprintf(zone + 1, IF_NAMESIZE, "%u", a->v6.sin6_scope_id);
		}
		len = snprintf(buf, n, "[%s%s]:%d", host, zone, weft_addr_port(a));
		break;
	default:
		return WEFT_EINVAL;
	}
	return (size_t)len < n ? len : WEFT_ENOSPC;
}

int weft_addr_port(const weft_addr *a)
{
	switch (a->sa.sa_family) {
	case AF_INET:
		return ntohs(a->v4.sin_port);
	case AF_INET6:
		return ntohs(a->v6.sin6_port);
	default:
		return 0;
	}
}

socklen_t weft__addr_len(const weft_addr *a)
{
	return a->sa.sa_family == AF_INET ? sizeof a->v4 : sizeof a->v6;
}

void weft__addr_any4(weft_addr *a)
{
	in_port_t port = a->v6.sin6_port;

	memset(a, 0, sizeof *a);
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = port;
}

/* Does the last label of a name say that it is a number? Then it is an address in a form of old (127.1, 0x7f.1), or a slip: no name. */
static bool ends_in_number(const char *label, size_t n)
{
	size_t digits;

	if (n > 2 && label[0] == '0' && (label[1] | 32) == 'x')
		return strspn(label + 2, "0123456789abcdefABCDEF") >= n - 2;
	digits = strspn(label, "0123456789");
	return digits >= n;
}

/* Is the last label of host, of n bytes, this one? */
static bool ends_in(const char *host, size_t n, const char *label)
{
	size_t len = strlen(label);

	return n >= len && strncasecmp(host + n - len, label, len) == 0 && (n == len || host[n - len - 1] == '.');
}

/* Something that a name server could be asked for. n: without the dot at the end. */
static bool is_name(const char *host, size_t n)
{
	const char *label = host;

	if (n == 0 || n > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i <= n; i++) {
		unsigned char c = (unsigned char)host[i];

		if (i < n && (c <= ' ' || c == 0x7f || strchr("%/:[\\]", c)))
			return false;
		if (i < n && c != '.')
			continue;
		if (host + i == label || host + i > label + LABEL_MAX)
			return false;
		if (i == n)
			return !ends_in_number(label, (size_t)(host + i - label));
		label = host + i + 1;
	}
	return false;
}

/* Two addresses of the same meaning, one a family; those of the family wanted. */
static int both(weft_addr *out, in_addr_t four, const struct in6_addr *six, int family, bool six_first)
{
	int n = 0;

	if (six_first && family != AF_INET)
		set_v6(&out[n++], six);
	if (family != AF_INET6)
		set_v4(&out[n++], four);
	if (!six_first && family != AF_INET)
		set_v6(&out[n++], six);
	return n;
}

int weft__addr_known(weft_addr *out, const char *host, int family, bool any)
{
	size_t n = host ? strlen(host) : 0;

	if (!n && any)
		return both(out, INADDR_ANY, &in6addr_any, family, true);
	if (!n)
		return both(out, INADDR_LOOPBACK, &in6addr_loopback, family, false);
	memset(out, 0, sizeof *out);
	if (strchr(host, ':')) {
		if (!parse_v6(out, host))
			return WEFT_EAI_NONAME;
		return family == AF_INET ? WEFT_EAI_NODATA : 1;
	}
	if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
		out->v4.sin_family = AF_INET;
		return family == AF_INET6 ? WEFT_EAI_NODATA : 1;
	}
	if (host[n - 1] == '.')
		n--;
	if (!is_name(host, n) || ends_in(host, n, "invalid"))
		return WEFT_EAI_NONAME;
	return ends_in(host, n, "localhost") ? both(out, INADDR_LOOPBACK, &in6addr_loopback, family, false) : 0;
}
