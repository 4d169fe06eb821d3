/* SPDX-License-Identifier: MIT
 *
 * weft/error.h - error codes: every call returns 0 or a count, or one of these negative numbers.
 *
 * The numbers are libuv's (negative errno values on Unix), so that its codes pass through unchanged; weft's own follow below -5000.
 */
#ifndef WEFT_ERROR_H
#define WEFT_ERROR_H

#include "export.h"
#include <errno.h>

#define WEFT_EAGAIN (-EAGAIN)       /* would have to wait, or a limit (tasks) is reached */
#define WEFT_EINVAL (-EINVAL)       /* an argument makes no sense */
#define WEFT_ENOMEM (-ENOMEM)       /* memory, mappings or guards are exhausted */
#define WEFT_ECANCELED (-ECANCELED) /* the task or its context was cancelled; nothing happened */
#define WEFT_ETIMEDOUT (-ETIMEDOUT) /* the deadline passed; nothing happened */
#define WEFT_EDEADLK (-EDEADLK)     /* every task waits for another */
#define WEFT_EALREADY (-EALREADY)   /* it was done before */
#define WEFT_ESRCH (-ESRCH)         /* no runtime is up */
#define WEFT_EBUSY (-EBUSY)         /* a runtime is up already */
#define WEFT_ECLOSED (-5001)        /* the channel, connection or listener is closed */

/* What the system says of descriptors and sockets. */
#define WEFT_EACCES (-EACCES)               /* the port is reserved, or a rule forbids it */
#define WEFT_EADDRINUSE (-EADDRINUSE)       /* somebody has the port */
#define WEFT_EADDRNOTAVAIL (-EADDRNOTAVAIL) /* not an address of this machine; or no port is left */
#define WEFT_EBADF (-EBADF)                 /* not an open descriptor */
#define WEFT_ECONNREFUSED (-ECONNREFUSED)   /* nobody listens there */
#define WEFT_ECONNRESET (-ECONNRESET)       /* the peer has cut the connection */
#define WEFT_EHOSTUNREACH (-EHOSTUNREACH)   /* no way to that machine */
#define WEFT_EMFILE (-EMFILE)               /* the process has no descriptor left */
#define WEFT_ENETUNREACH (-ENETUNREACH)     /* no way to that network */
#define WEFT_ENFILE (-ENFILE)               /* the system has no descriptor left */
#define WEFT_ENOENT (-ENOENT)               /* there is none */
#define WEFT_ENOSPC (-ENOSPC)               /* it does not fit */
#define WEFT_ENOTCONN (-ENOTCONN)           /* not connected, or not any more */
#define WEFT_EPERM (-EPERM)                 /* not for things of this kind */
#define WEFT_EPIPE (-EPIPE)                 /* the peer reads no more */
#define WEFT_EAI_NONAME (-3008)             /* no such name */

WEFT_BEGIN_DECLS

/* weft_strerror - the name of an error code in words.
 *
 *   code  0, a WEFT_E* code, or any libuv code
 *
 * Returns a static string, never NULL. Threads: any.
 */
WEFT_API const char *weft_strerror(int code);

WEFT_END_DECLS

#endif
