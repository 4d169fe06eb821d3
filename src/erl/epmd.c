/* SPDX-License-Identifier: MIT
 *
 * epmd.c - what is said to epmd: here we are; where is that one? And reading and writing as much as one wants.
 */
#include "erl/erl.h"

#include <stdio.h>
#include <string.h>

enum {
	ALIVE2_REQ = 120,
	ALIVE2_RESP = 121,
	ALIVE2_X_RESP = 118,
	PORT_PLEASE2_REQ = 122,
	PORT2_RESP = 119,
	HIDDEN = 72,
	VERSION = 6 /* of the distribution protocol */
};

int weft__erl_read(weft_tcp *t, void *buf, size_t n, int64_t deadline)
{
	for (size_t got = 0; got < n;) {
		ssize_t rc = weft_tcp_read_until(t, (char *)buf + got, n - got, deadline);

		if (rc <= 0)
			return rc ? (int)rc : WEFT_ECONNABORTED;
		got += (size_t)rc;
	}
	return 0;
}

int weft__erl_write(weft_tcp *t, const void *buf, size_t n, int64_t deadline)
{
	ssize_t rc = weft_tcp_write_until(t, buf, n, NULL, deadline);

	return rc < 0 ? (int)rc : 0;
}

static int ask(weft_tcp **tcp, const char *where, const unsigned char *q, size_t n, int64_t deadline)
{
	int rc = weft_tcp_dial_until(tcp, where, deadline);

	if (rc)
		return rc;
	rc = weft__erl_write(*tcp, q, n, deadline);
	if (rc)
		weft_tcp_close(*tcp);
	return rc;
}

static unsigned char *put16(unsigned char *p, unsigned v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
	return p + 2;
}

int weft__erl_publish(weft_erl *n, weft_tcp **tcp, uint32_t *creation, int64_t deadline)
{
	unsigned char q[NODE_MAX + 32], *p, a[6];
	int rc;

	p = put16(q, (unsigned)n->alive_len + 13);
	*p++ = ALIVE2_REQ;
	p = put16(p, (unsigned)n->port);
	*p++ = HIDDEN;
	*p++ = 0; /* TCP over IPv4 */
	p = put16(p, VERSION);
	p = put16(p, VERSION);
	p = put16(p, (unsigned)n->alive_len);
	memcpy(p, n->name, (size_t)n->alive_len);
	p = put16(p + n->alive_len, 0);
	rc = ask(tcp, n->epmd, q, (size_t)(p - q), deadline);
	if (rc)
		return rc;
	rc = weft__erl_read(*tcp, a, 2, deadline);
	if (rc == 0 && a[0] != ALIVE2_X_RESP && a[0] != ALIVE2_RESP)
		rc = WEFT_ECONNABORTED;
	else if (rc == 0 && a[1] != 0)
		rc = WEFT_EEXIST;
	if (rc == 0)
		rc = weft__erl_read(*tcp, a + 2, a[0] == ALIVE2_X_RESP ? 4 : 2, deadline);
	if (rc) {
		weft_tcp_close(*tcp);
		return rc;
	}
	*creation = a[0] == ALIVE2_X_RESP ? (uint32_t)a[2] << 24 | (uint32_t)a[3] << 16 | (uint32_t)a[4] << 8 | a[5]
					  : (uint32_t)a[2] << 8 | a[3];
	return 0;
}

int weft__erl_port_of(weft_erl *n, const char *peer, int64_t deadline)
{
	const char *at = strchr(peer, '@');
	char where[NODE_MAX + 16];
	unsigned char q[NODE_MAX + 4], *p, a[10];
	weft_tcp *tcp;
	int rc;

	snprintf(where, sizeof where, "%s:%d", at + 1, n->epmd_port);
	p = put16(q, (unsigned)(at - peer) + 1);
	*p++ = PORT_PLEASE2_REQ;
	memcpy(p, peer, (size_t)(at - peer));
	rc = ask(&tcp, where, q, (size_t)(p - q) + (size_t)(at - peer), deadline);
	if (rc)
		return rc;
	rc = weft__erl_read(tcp, a, 2, deadline);
	if (rc == 0 && a[0] != PORT2_RESP)
		rc = WEFT_ECONNABORTED;
	else if (rc == 0 && a[1] != 0)
		rc = WEFT_ENOENT;
	if (rc == 0)
		rc = weft__erl_read(tcp, a, 8, deadline);
	weft_tcp_close(tcp);
	if (rc)
		return rc;
	if ((a[4] << 8 | a[5]) < VERSION || (a[6] << 8 | a[7]) > VERSION)
		return WEFT_ECONNABORTED;
	return a[0] << 8 | a[1];
}
