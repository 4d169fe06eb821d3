/* SPDX-License-Identifier: MIT
 *
 * addr.h - addresses from text, as the rest of io/ needs them.
 */
#ifndef WEFT_IO_ADDR_H
#define WEFT_IO_ADDR_H

#include <weft/net.h>

socklen_t weft__addr_len(const weft_addr *a);

/* Any IPv4 address, with a's port. */
void weft__addr_any4(weft_addr *a);

void weft__addr_set_port(weft_addr *a, int port);

/* Decimal, 0 to 65,535, nothing else. -1: not that. */
int weft__addr_port(const char *text);

/* "host:port" or "[host]:port" in two. */
struct addr_text {
	const char *port; /* in the text */
	bool brackets;    /* host stood in some */
	bool too_long;    /* host is cut off: it is no name */
	char host[256];
};

/* Returns 0; WEFT_EINVAL: not of that form. */
int weft__addr_split(struct addr_text *out, const char *text);

/* The addresses of a host that nobody needs to be asked for: literals, without brackets; localhost and what ends in it, which are this machine, and what ends in
 * "invalid", which is nowhere (RFC 6761); none ("" or NULL): this machine, or, with `any`, any address. Ports are 0.
 *
 * Into out[2], those of the family (0: both). Returns how many; 0: a name; WEFT_EAI_NONAME: neither; WEFT_EAI_NODATA: an address of the other family. */
int weft__addr_known(weft_addr *out, const char *host, int family, bool any);

#endif
