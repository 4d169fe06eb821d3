/* SPDX-License-Identifier: MIT
 *
 * shake.c - the handshake of two nodes (version 6 of the protocol):
 *
 *    who dials                        who accepts
 *    name N ------------------------>
 *           <------------------------ status s: ok, ok_simultaneous, nok, not_allowed, alive
 *    status s: true, false --------->     after alive only
 *           <------------------------ challenge N
 *    reply r (digest, challenge) --->
 *           <------------------------ ack a (digest)
 *
 * Each message has two bytes of length before it. A digest is that of the cookie and the other's challenge in decimals.
 */
#include "erl/erl.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* What we can, in the words of OTP's Distribution Protocol. PUBLISHED is not among it: this is a hidden node. Nor are caches of atoms, fragments, reasons apart from control messages, aliases and remote spawns: what comes is
 * whole, and in the plainest form that there is. */
#define DFLAG_EXTENDED_REFERENCES 0x4u
#define DFLAG_DIST_MONITOR 0x8u
#define DFLAG_FUN_TAGS 0x10u
#define DFLAG_DIST_MONITOR_NAME 0x20u
#define DFLAG_NEW_FUN_TAGS 0x80u
#define DFLAG_EXTENDED_PIDS_PORTS 0x100u
#define DFLAG_EXPORT_PTR_TAG 0x200u
#define DFLAG_BIT_BINARIES 0x400u
#define DFLAG_NEW_FLOATS 0x800u
#define DFLAG_SMALL_ATOM_TAGS 0x4000u
#define DFLAG_UTF8_ATOMS 0x10000u
#define DFLAG_MAP_TAG 0x20000u
#define DFLAG_BIG_CREATION 0x40000u
#define DFLAG_HANDSHAKE_23 0x1000000u
#define DFLAG_UNLINK_ID 0x2000000u
#define DFLAG_MANDATORY_25_DIGEST 0x4000000u /* stands for all that OTP 25 asks of everybody */
#define DFLAG_V4_NC (UINT64_C(4) << 32)

#define NEEDED                                                                                                                  \
	(DFLAG_EXTENDED_REFERENCES | DFLAG_DIST_MONITOR | DFLAG_FUN_TAGS | DFLAG_NEW_FUN_TAGS | DFLAG_EXTENDED_PIDS_PORTS |     \
	 DFLAG_EXPORT_PTR_TAG | DFLAG_BIT_BINARIES | DFLAG_NEW_FLOATS | DFLAG_UTF8_ATOMS | DFLAG_MAP_TAG | DFLAG_BIG_CREATION | \
	 DFLAG_HANDSHAKE_23 | DFLAG_V4_NC)
#define OURS (NEEDED | DFLAG_DIST_MONITOR_NAME | DFLAG_SMALL_ATOM_TAGS | DFLAG_SEND_SENDER | DFLAG_UNLINK_ID | DFLAG_MANDATORY_25_DIGEST)

#define PACKET_MAX (NODE_MAX + 64)

static int send_packet(struct conn *c, const unsigned char *p, size_t n, int64_t deadline)
{
	unsigned char buf[2 + PACKET_MAX];

	buf[0] = (unsigned char)(n >> 8);
	buf[1] = (unsigned char)n;
	memcpy(buf + 2, p, n);
	return weft__erl_write(c->tcp, buf, n + 2, deadline);
}

/* Bytes of the packet, which is one of this kind; or an error. */
static int get_packet(struct conn *c, char kind, unsigned char *p, int64_t deadline)
{
	unsigned char len[2];
	int rc = weft__erl_read(c->tcp, len, 2, deadline), n;

	if (rc)
		return rc;
	n = len[0] << 8 | len[1];
	if (n == 0 || n > PACKET_MAX)
		return WEFT_ECONNABORTED;
	rc = weft__erl_read(c->tcp, p, (size_t)n, deadline);
	if (rc)
		return rc;
	return p[0] == (unsigned char)kind ? n : WEFT_ECONNABORTED;
}

static unsigned char *put(unsigned char *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (unsigned char)(v >> 8 * (bytes - 1 - i));
	return p + bytes;
}

static uint64_t get(const unsigned char *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static void digest_of(const weft_erl *n, unsigned char *digest, uint32_t challenge)
{
	char text[16];

	weft__erl_md5(digest, n->cookie, strlen(n->cookie), text, (size_t)snprintf(text, sizeof text, "%u", challenge));
}

/* Every byte is looked at, whether or not one before it differs. */
static bool is_digest(const weft_erl *n, const unsigned char *digest, uint32_t challenge)
{
	unsigned char ours[16], differs = 0;

	digest_of(n, ours, challenge);
	for (int i = 0; i < 16; i++)
		differs |= ours[i] ^ digest[i];
	return differs == 0;
}

static int make_challenge(uint32_t *out)
{
	return getrandom(out, sizeof *out, 0) == sizeof *out ? 0 : WEFT_EAGAIN;
}

/* A name message, or a challenge, which has that in the middle. */
static int send_name(struct conn *c, const uint32_t *challenge, int64_t deadline)
{
	unsigned char q[PACKET_MAX], *p = q;
	size_t len = strlen(c->n->name);

	*p++ = 'N';
	p = put(p, OURS, 8);
	if (challenge)
		p = put(p, *challenge, 4);
	p = put(p, c->n->creation, 4);
	p = put(p, len, 2);
	memcpy(p, c->n->name, len);
	return send_packet(c, q, (size_t)(p - q) + len, deadline);
}

static int take_name(struct conn *c, char *name, uint32_t *challenge, int64_t deadline)
{
	unsigned char p[PACKET_MAX];
	int n = get_packet(c, 'N', p, deadline), at = 9;
	size_t len;

	if (n < 0)
		return n;
	if (n < (challenge ? 19 : 15))
		return WEFT_ECONNABORTED;
	c->flags = get(p + 1, 8);
	if (challenge) {
		*challenge = (uint32_t)get(p + at, 4);
		at += 4;
	}
	c->creation = (uint32_t)get(p + at, 4);
	len = (size_t)get(p + at + 4, 2);
	at += 6;
	if (len == 0 || len > NODE_MAX || at + (int)len > n || (c->flags & NEEDED) != NEEDED)
		return WEFT_ECONNABORTED;
	memcpy(name, p + at, len);
	name[len] = '\0';
	return strlen(name) == len ? 0 : WEFT_ECONNABORTED;
}

/* Status messages have no end but that of the packet. */
static int take_status(struct conn *c, char *status, size_t room, int64_t deadline)
{
	unsigned char p[PACKET_MAX];
	int n = get_packet(c, 's', p, deadline);

	if (n < 0)
		return n;
	if ((size_t)n > room)
		return WEFT_ECONNABORTED;
	memcpy(status, p + 1, (size_t)n - 1);
	status[n - 1] = '\0';
	return 0;
}

int weft__erl_shake_say(struct conn *c, const char *status, int64_t deadline)
{
	unsigned char q[32] = "s";
	size_t len = strlen(status);

	memcpy(q + 1, status, len);
	return send_packet(c, q, 1 + len, deadline);
}

/* What the peer says of our coming. */
static int welcome(struct conn *c, int64_t deadline)
{
	char status[32];
	int rc = take_status(c, status, sizeof status, deadline);

	if (rc)
		return rc;
	if (strcmp(status, "ok") == 0 || strcmp(status, "ok_simultaneous") == 0)
		return 0;
	if (strcmp(status, "alive") == 0) /* it has not noticed yet that the last connection is gone */
		return weft__erl_shake_say(c, "true", deadline);
	if (strcmp(status, "nok") == 0)
		return WEFT_EBUSY;
	return strcmp(status, "not_allowed") == 0 ? WEFT_EACCES : WEFT_ECONNABORTED;
}

int weft__erl_shake_dial(struct conn *c, int64_t deadline)
{
	unsigned char p[PACKET_MAX];
	char name[NODE_MAX + 1];
	uint32_t ours, theirs;
	int rc = make_challenge(&ours);

	if (rc == 0)
		rc = send_name(c, NULL, deadline);
	if (rc == 0)
		rc = welcome(c, deadline);
	if (rc == 0)
		rc = take_name(c, name, &theirs, deadline);
	if (rc)
		return rc;
	if (strcmp(name, c->peer) != 0)
		return WEFT_ECONNABORTED;
	p[0] = 'r';
	put(p + 1, ours, 4);
	digest_of(c->n, p + 5, theirs);
	rc = send_packet(c, p, 21, deadline);
	if (rc)
		return rc;
	rc = get_packet(c, 'a', p, deadline);
	if (rc == WEFT_ECONNABORTED || rc == WEFT_ECONNRESET) /* which is how Erlang says that it does not like our digest */
		return WEFT_EACCES;
	if (rc < 0)
		return rc;
	return rc == 17 && is_digest(c->n, p + 1, ours) ? 0 : WEFT_EACCES;
}

int weft__erl_shake_hear(struct conn *c, int64_t deadline)
{
	int rc = take_name(c, c->peer, NULL, deadline);
	const char *at = strchr(c->peer, '@');

	if (rc)
		return rc;
	return at && at > c->peer && at[1] && strcmp(c->peer, c->n->name) != 0 ? 0 : WEFT_ECONNABORTED;
}

int weft__erl_shake_insists(struct conn *c, int64_t deadline)
{
	char status[32];
	int rc = take_status(c, status, sizeof status, deadline);

	return rc ? rc : strcmp(status, "true") == 0 ? 0 : WEFT_ECONNABORTED;
}

int weft__erl_shake_answer(struct conn *c, int64_t deadline)
{
	unsigned char p[PACKET_MAX];
	uint32_t ours, theirs;
	int rc = make_challenge(&ours);

	if (rc == 0)
		rc = send_name(c, &ours, deadline);
	if (rc)
		return rc;
	rc = get_packet(c, 'r', p, deadline);
	if (rc < 0)
		return rc;
	if (rc != 21 || !is_digest(c->n, p + 5, ours))
		return WEFT_EACCES;
	theirs = (uint32_t)get(p + 1, 4);
	p[0] = 'a';
	digest_of(c->n, p + 1, theirs);
	return send_packet(c, p, 17, deadline);
}
