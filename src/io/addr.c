/* SPDX-License-Identifier: MIT
 *
 * addr.c - socket addresses: to and from text.
 */
#include "io/addr.h"

#include "base/compiler.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define HOST_MAX 64 /* the longest literal address with its zone fits */

/* Decimal, 0 to 65,535, nothing else. -1: not that. */
static int parse_port(const char *s)
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

/* Splits "host:port" and "[host]:port". Returns the port, or -1. */
static int split(const char *text, char host[HOST_MAX], bool *brackets)
{
	const char *colon = strrchr(text, ':');
	size_t n;

	if (!colon)
		return -1;
	n = (size_t)(colon - text);
	*brackets = n >= 2 && text[0] == '[' && text[n - 1] == ']';
	if (*brackets) {
		text++;
		n -= 2;
	}
	if (n >= HOST_MAX) {
		if (*brackets)
			return -1;
		n = HOST_MAX - 1; /* no address: a name, of which nobody asks more than that */
	}
	memcpy(host, text, n);
	host[n] = '\0';
	return parse_port(colon + 1);
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

static bool parse_v6(weft_addr *out, char *host)
{
	char *zone = strchr(host, '%');

	if (zone) {
		*zone++ = '\0';
		out->v6.sin6_scope_id = parse_zone(zone);
		if (!out->v6.sin6_scope_id)
			return false;
	}
	out->v6.sin6_family = AF_INET6;
	return inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1;
}

int weft_addr_parse(weft_addr *out, const char *text)
{
	char host[HOST_MAX];
	bool brackets;
	int port;

	memset(out, 0, sizeof *out);
	port = text ? split(text, host, &brackets) : -1;
	if (port < 0)
		return WEFT_EINVAL;
	if (brackets) {
		if (!parse_v6(out, host))
			return WEFT_EINVAL;
		out->v6.sin6_port = htons((uint16_t)port);
		return 0;
	}
	if (!*host) {
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_addr = in6addr_any;
		out->v6.sin6_port = htons((uint16_t)port);
		return 0;
	}
	if (strchr(host, ':') || strchr(host, '[') || strchr(host, ']'))
		return WEFT_EINVAL; /* IPv6 without brackets */
	out->v4.sin_family = AF_INET;
	out->v4.sin_port = htons((uint16_t)port);
	if (strcmp(host, "localhost") == 0) {
		out->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return 0;
	}
	return inet_pton(AF_INET, host, &out->v4.sin_addr) == 1 ? 0 : WEFT_EAI_NONAME;
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

int weft__addr_targets(weft_addr *out, const char *text)
{
	int rc = weft_addr_parse(&out[0], text);
	in_port_t port;

	if (rc)
		return rc;
	if (text[0] != ':' && strncmp(text, "localhost:", strlen("localhost:")) != 0)
		return 1;
	port = htons((uint16_t)weft_addr_port(&out[0]));
	memset(out, 0, 2 * sizeof *out);
	out[0].v4.sin_family = AF_INET;
	out[0].v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	out[0].v4.sin_port = port;
	out[1].v6.sin6_family = AF_INET6;
	out[1].v6.sin6_addr = in6addr_loopback;
	out[1].v6.sin6_port = port;
	return 2;
}
