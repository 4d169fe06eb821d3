/* SPDX-License-Identifier: MIT
 *
 * weft/dns.h - names to addresses, and back.
 *
 *     weft_addr *a;
 *     int n = weft_dns_resolve(&a, "example.com", "https", NULL);
 *
 *     for (int i = 0; i < n; i++)
 *             ...
 *     weft_dns_free(a);
 *
 * The system's resolver is asked, getaddrinfo(3), so /etc/hosts, /etc/nsswitch.conf and /etc/resolv.conf say what they always do. It blocks, on a thread of a pool of its
 * own, while the task is parked: slow names delay no file, nor anybody's weft_blocking. Who gives up goes at once; the lookup comes to its end behind his back. Tasks that ask for the
 * same at the same time share one lookup. Up to 64 lookups that somebody waits for are under way at once; those that were given up are not counted.
 *
 * What /etc/hosts says is kept for five seconds. Nothing else is: the resolver does not say how long its answers hold. A machine that asks much runs a cache of its own (systemd-resolved, nscd, unbound).
 *
 * Nobody is asked for addresses ("192.0.2.1", "2001:db8::1", "fe80::1%eth0"), for localhost and names that end in ".localhost", which are 127.0.0.1 and ::1, for names that end in
 * ".invalid", which do not exist (RFC 6761), and for decimal ports. Numbers of other forms ("127.1", "0x7f000001") are no names.
 *
 * Addresses and services are all that getaddrinfo knows: other records (SRV, MX, TXT) are left to libraries that speak the protocol.
 */
#ifndef WEFT_DNS_H
#define WEFT_DNS_H

#include "error.h"
#include "export.h"
#include "net.h"
#include "time.h"
#include <stdbool.h>
#include <stddef.h>

WEFT_BEGIN_DECLS

typedef struct weft_dns_opts {
	int family;   /* AF_INET, AF_INET6; 0: both */
	bool numeric; /* nobody is asked: what would have to be is WEFT_EAI_NONAME or WEFT_EAI_SERVICE */
	bool passive; /* to listen on: no host is any address, not this machine */
} weft_dns_opts;

/* weft_dns_resolve - the addresses of a host.
 *
 *   out      receives them, in the order in which they should be tried (RFC 6724); to be given to weft_dns_free; NULL on error
 *   host     a name, or an address without brackets; NULL or "": this machine (127.0.0.1, ::1)
 *   service  a port ("80"), or the name of one ("http", /etc/services: of TCP, else of UDP); NULL: port 0
 *   o        NULL: all zero
 *
 * Returns how many, at least one; WEFT_EAI_NONAME: no such name; WEFT_EAI_NODATA: it has no address (of that family); WEFT_EAI_SERVICE: no such service;
 * WEFT_EAI_AGAIN: no name server has answered, try later; WEFT_EAI_FAIL: it has, but will not or cannot say; WEFT_EINVAL: a port that is none, a family; WEFT_ETIMEDOUT,
 * WEFT_ECANCELED; WEFT_EAGAIN (deadline WEFT_NOW and somebody has to be asked, or no thread can be had); WEFT_ENOMEM; what else the system says.
 * Blocks: yes (name). Threads: any; on one that weft did not make it runs to its end, deadline or not.
 */
WEFT_API int weft_dns_resolve(weft_addr **out, const char *host, const char *service, const weft_dns_opts *o);
WEFT_API int weft_dns_resolve_until(weft_addr **out, const char *host, const char *service, const weft_dns_opts *o, int64_t deadline);

/* weft_dns_free - gives back what weft_dns_resolve has given. NULL is allowed. */
WEFT_API void weft_dns_free(weft_addr *addrs);

#define WEFT_DNS_NAME 1025 /* bytes that any name fits in */

/* weft_dns_reverse - the name of an address.
 *
 *   a     its port does not matter
 *   name  room for n bytes (WEFT_DNS_NAME is always enough); untouched on error
 *
 * Whoever has the address says what its name is: do not trust it without looking up the name.
 * Returns the length without the final zero; WEFT_EAI_NONAME: it has none; WEFT_ENOSPC: more than n - 1; WEFT_EINVAL: another family; or as weft_dns_resolve.
 * Blocks: yes (name). Threads: as weft_dns_resolve.
 */
WEFT_API int weft_dns_reverse(const weft_addr *a, char *name, size_t n);
WEFT_API int weft_dns_reverse_until(const weft_addr *a, char *name, size_t n, int64_t deadline);

/* weft_addr_resolve - the first address of a text.
 *
 *   text  as for weft_addr_parse, or with a name: "example.com:80", "example.com:http", ":http"
 *
 * Returns 0; WEFT_EINVAL: not of that form; or as weft_dns_resolve. Blocks: yes (name), if there is one to be asked for. Threads: as weft_dns_resolve.
 */
WEFT_API int weft_addr_resolve(weft_addr *out, const char *text);
WEFT_API int weft_addr_resolve_until(weft_addr *out, const char *text, int64_t deadline);

WEFT_END_DECLS

#endif
