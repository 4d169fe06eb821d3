/* SPDX-License-Identifier: MIT
 *
 * sock.h - what sockets of all families have in common: options, accepting, taking over one that is open.
 */
#ifndef WEFT_IO_SOCK_H
#define WEFT_IO_SOCK_H

#include "io/fd.h"

/* An option that is an int. Returns 0 or a negative code; weft__sock_option: or WEFT_ECLOSED. */
int weft__sock_set(int fd, int level, int name, int value);
int weft__sock_option(struct fd *f, int level, int name, int value);

/* Sizes of its buffers in bytes; 0: as they are. WEFT_EINVAL: negative; weft__sock_resize: or WEFT_ECLOSED. */
int weft__sock_buffers(int fd, int send, int receive);
int weft__sock_resize(struct fd *f, int send, int receive);

/* The next connection, as weft_tcp_accept says. *out NULL on error. */
int weft__sock_accept(struct fd *l, struct fd **out, int64_t deadline);

/* A record for a stream socket that was opened elsewhere, of a family that fits; from here on it does not block, and is not handed on to other programs. Returns 0;
 * WEFT_EINVAL: not such a socket; WEFT_EBADF; WEFT_ENOMEM: it is still the caller's. */
int weft__sock_take(struct fd **out, int fd, bool (*fits)(int family), bool listens);

#endif
