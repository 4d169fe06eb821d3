/* SPDX-License-Identifier: MIT
 *
 * tcp.h - TCP sockets, as tcp.c and dial.c make them.
 */
#ifndef WEFT_IO_TCP_H
#define WEFT_IO_TCP_H

#include "io/fd.h"
#include <weft/net.h>

struct weft_tcp {
	struct fd f;
};

struct weft_tcp_listener {
	struct fd f;
};

#define KEEPALIVE_S 15 /* as Go's */

/* A socket as connections shall be; keepalive: in seconds, 0: none. Returns it, or a negative code. */
int weft__tcp_socket(int family, int keepalive);

/* The near end's address. Returns 0 or WEFT_ECLOSED. */
int weft__tcp_local(struct fd *f, weft_addr *out);

/* Nanoseconds, as weft_tcp_keepalive takes them, in seconds; WEFT_EINVAL: out of range. */
int weft__tcp_keepalive_seconds(int64_t idle);

#endif
