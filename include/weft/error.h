/* SPDX-License-Identifier: MIT
 *
 * weft/error.h - error codes: every call returns 0 or a count, or one of these negative numbers.
 *
 * The numbers are libuv's (negative errno values on Unix), so that its codes pass through unchanged; weft's own follow below -5000.
 *
 * Of all calls of weft: a pointer must not be NULL unless the call says that it may be. Some look, and return WEFT_EINVAL; others crash.
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
#define WEFT_EDEADLK (-EDEADLK)     /* the caller would wait for itself; every task waits for another */
#define WEFT_EALREADY (-EALREADY)   /* it was done before, or is being done */
#define WEFT_ESRCH (-ESRCH)         /* whom it is about has ended, or is not there; no runtime is up */
#define WEFT_EBUSY (-EBUSY)         /* it is in use; a runtime is up already */
#define WEFT_ECLOSED (-5001)        /* the channel, connection or listener is closed */
#define WEFT_ELAGGED (-5002)        /* too slow: elements of a broadcast were overwritten before they were received */

#define WEFT_EBROKEN (-5003)    /* who should have made it happen is gone: a promise dropped, a barrier left */
#define WEFT_EPANIC (-5004)     /* it ended by a panic */
#define WEFT_EDOWN (-5005)      /* whom we have asked has ended */
#define WEFT_EINTENSITY (-5006) /* its children have failed too often: a supervisor has given up */
#define WEFT_EPOISONED (-5007)  /* the owner of the lock has failed: what it guards may be half done */
#define WEFT_EOPEN (-5031)      /* a circuit breaker is open: the call was not made */
#define WEFT_EOVERLOAD (-5032)  /* turned away: as many are in, and wait, as may be */
#define WEFT_EOF (-4095)        /* the end came before what was asked for (libuv's number) */

/* How an actor that is contained has failed (weft/actor.h). */
#define WEFT_EOVERFLOW (-5041) /* its stack is full */
#define WEFT_EFAULT (-EFAULT)  /* it has touched memory that is not there, or not to be touched */
#define WEFT_EARITH (-5042)    /* division by zero, or other arithmetic that has no result */
#define WEFT_EILLEGAL (-5043)  /* an instruction that cannot be carried out, as of a compiler's trap */
#define WEFT_EABORT (-5044)    /* abort, or a failed assertion */

/* TLS (weft/tls.h). */
#define WEFT_ETLS (-5021)                 /* the peer, or what it sent, is not acceptable, or it found so of us */
#define WEFT_EUNTRUSTED (-5022)           /* the peer's certificate is not */
#define WEFT_ECONNABORTED (-ECONNABORTED) /* the stream was cut off: it ended without the peer's word for it */

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
#define WEFT_ENOBUFS (-ENOBUFS)             /* it is full: a channel without a bound, in bytes; a mailbox; the system's buffers */
#define WEFT_ENOSPC (-ENOSPC)               /* it does not fit */
#define WEFT_ENOSYS (-ENOSYS)               /* not in this build, or not on this system */
#define WEFT_ENOTCONN (-ENOTCONN)           /* not connected, or not any more */
#define WEFT_ENOTSUP (-ENOTSUP)             /* things of this kind cannot */
#define WEFT_ENOTTY (-ENOTTY)               /* not a terminal */
#define WEFT_EPERM (-EPERM)                 /* not for things of this kind */
#define WEFT_EPIPE (-EPIPE)                 /* nobody receives any more: the peer of a connection, the last receiving end of a channel */
#define WEFT_EDQUOT (-EDQUOT)               /* the user may not have more of the disk */
#define WEFT_EEXIST (-EEXIST)               /* there is one already */
#define WEFT_EFBIG (-EFBIG)                 /* a file cannot be that long */
#define WEFT_EIO (-EIO)                     /* the device failed */
#define WEFT_EISDIR (-EISDIR)               /* it is a directory */
#define WEFT_ELOOP (-ELOOP)                 /* too many links, or one where none is wanted */
#define WEFT_ENAMETOOLONG (-ENAMETOOLONG)   /* the path, or a name in it */
#define WEFT_ENOTDIR (-ENOTDIR)             /* a part of the path is no directory */
#define WEFT_ENOTEMPTY (-ENOTEMPTY)         /* there is something in the directory */
#define WEFT_ENXIO (-ENXIO)                 /* nobody is at the other end */
#define WEFT_EROFS (-EROFS)                 /* nothing can be written there */
#define WEFT_ESPIPE (-ESPIPE)               /* a byte stream has no positions */
#define WEFT_EXDEV (-EXDEV)                 /* on another file system */
#define WEFT_ETOOMANYREFS (-ETOOMANYREFS)   /* too many descriptors are under way */
#define WEFT_EAFNOSUPPORT (-EAFNOSUPPORT)   /* the other kind of address: IPv6, IPv4 */
#define WEFT_EDESTADDRREQ (-EDESTADDRREQ)   /* a datagram to nobody */
#define WEFT_EMSGSIZE (-EMSGSIZE)           /* too long for a datagram */
#define WEFT_ENODEV (-ENODEV)               /* no such interface or device, or not for things of this kind */
#define WEFT_ENOPROTOOPT (-ENOPROTOOPT)     /* the kernel does not know this option */
#define WEFT_E2BIG (-E2BIG)                 /* arguments and environment are too large */
#define WEFT_ECHILD (-ECHILD)               /* not a child any more */
#define WEFT_ENOEXEC (-ENOEXEC)             /* not a program */

/* What is said of names. */
#define WEFT_EAI_AGAIN (-3001)   /* no name server has answered */
#define WEFT_EAI_FAIL (-3004)    /* a name server will not, or cannot, say */
#define WEFT_EAI_NODATA (-3007)  /* the name has no address, of that family */
#define WEFT_EAI_NONAME (-3008)  /* no such name */
#define WEFT_EAI_SERVICE (-3010) /* no such service */

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
