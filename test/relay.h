/* SPDX-License-Identifier: MIT
 *
 * relay.h - trouble on the way: a relay that stands between two ends, and does to what they send what networks do, from a seed.
 *
 *   relay_tcp(to, odds)    takes connections at r->at, and connects each on to `to`
 *   relay_udp(to, odds)    the same of datagrams: each sender has a socket of its own towards `to`
 *   relay_stall(r, on)     while it is stalled it takes nothing: buffers fill up
 *   relay_vanish(r)        from here on it forwards nothing, and says nothing either: no end, no reset
 *   relay_end(r)           all is closed, all its tasks have ended
 *
 * It is made of weft's own calls and runs in the runtime that is up. Odds are in thousandths: of the pieces that a TCP connection's bytes come in, of datagrams.
 */
#ifndef WEFT_TEST_RELAY_H
#define WEFT_TEST_RELAY_H

#include "base/atomic.h"
#include "weft/net.h"
#include <stdint.h>

struct relay_odds {
	uint64_t seed;
	/* both: */
	int delay; /* it waits up to 2 ms; datagrams are overtaken meanwhile */
	/* TCP: */
	int split;  /* a piece is forwarded in several, or a byte at a time */
	int linger; /* it reads nothing for 5 ms, so that buffers fill up */
	int cut;    /* of a piece only a part is forwarded, then this direction ends (half-close); the rest is swallowed */
	int reset;  /* both its connections are reset */
	/* UDP: */
	int drop, twice, swap; /* lost; sent twice; after the next one */
	int shorten;           /* only a part of it is sent */
};

/* What befell a connection. */
#define FATE_CUT_THERE 1u /* from who connected */
#define FATE_CUT_BACK 2u
#define FATE_RESET 4u

struct relay {
	char at[WEFT_ADDR_TEXT];
	ATOMIC(long) delays, splits, lingers, cuts, resets, drops, twices, swaps, shortened,
		forwarded; /* how often; pieces and datagrams */
	struct relay_inside *in;
};

struct relay *relay_tcp(const char *to, const struct relay_odds *odds);
struct relay *relay_udp(const char *to, const struct relay_odds *odds);
void relay_stall(struct relay *r, int on);
void relay_vanish(struct relay *r);

/* Of the connection that came from this port. It is settled once both of its ends have ended. */
unsigned relay_fate(struct relay *r, int port);

void relay_end(struct relay *r);

#endif
