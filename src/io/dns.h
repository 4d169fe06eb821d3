/* SPDX-License-Identifier: MIT
 *
 * dns.h - names, as the rest of io/ asks for them; and what tests put in the place of the system's resolver.
 */
#ifndef WEFT_IO_DNS_H
#define WEFT_IO_DNS_H

#include "base/compiler.h"
#include <weft/dns.h>

#define DNS_TARGETS 16 /* addresses of a name that a dial tries */
#define DNS_KEEP_NS (INT64_C(5) * 1000000000)

/* What a dial of "host:port" tries: addresses of the family (0: both), at most DNS_TARGETS. No host: this machine. Returns how many, at least one, or an error, as
 * weft_dns_resolve. Parks only if somebody has to be asked. */
int weft__dns_targets(weft_addr *out, const char *text, int family, int64_t deadline);

/* The first address of "host:port". No host: any. Returns 0 or an error. Parks only if somebody has to be asked. */
int weft__dns_first(weft_addr *out, const char *text, int64_t deadline);

/* --- what is asked, and of whom --- */

struct dns_query {
	const char *host;    /* NULL: only for the service, or for the name of `of` */
	const char *service; /* NULL: not asked for */
	int family;          /* AF_UNSPEC: any */
	weft_addr of;        /* its name is asked for; family AF_UNSPEC: no */
};

struct dns_answer {
	weft_addr *addrs; /* malloc'ed: n addresses, with the service's port; NULL: none */
	int n;
	char *name; /* malloc'ed: the name of an address; NULL: none */
	bool keep;  /* it came from a file of this machine's: may be given again for DNS_KEEP_NS */
};

/* Blocks its thread. Returns 0 or an error. The system's; replaced by tests. */
extern HIDDEN int (*weft__dns_lookup)(const struct dns_query *q, struct dns_answer *a);
int weft__dns_system(const struct dns_query *q, struct dns_answer *a);

/* Lookups under way: for tests. */
size_t weft__dns_count(void);

#endif
